use proptest::prelude::*;
use qw_log::Stream;

use super::*;
use crate::{
    Piece, Said,
    forward::{Decoder, Limits},
};

fn any_received() -> impl Strategy<Value = Received<'static>> {
    let stream = prop_oneof![
        Just(None),
        Just(Some(Stream::Stdout)),
        Just(Some(Stream::Stderr))
    ];
    let piece = proptest::option::of(("[a-f0-9]{1,8}", any::<u32>(), any::<bool>()));
    (
        (any::<i64>(), 0..SEVERITY_COUNT, stream, piece),
        (".{0,9}", ".{0,9}", "[^/]{0,9}", ".{0,9}", ".{0,9}"),
        proptest::collection::vec(
            any::<u8>().prop_filter("no line end", |it| *it != b'\n'),
            0..40,
        ),
        proptest::option::of(("x[a-z]{0,5}", any::<String>(), any::<i32>())),
    )
        .prop_map(
            |((nanos, severity, stream, piece), said, text, field)| Received {
                time: Some(Timestamp::from_nanos(nanos)).filter(|time| *time != Timestamp::EPOCH),
                severity: SEVERITIES.get(severity).map(|(_, severity)| *severity),
                stream,
                tag: "t".into(),
                hostname: said.0.into(),
                container: Said {
                    id: said.1.into(),
                    name: said.2.into(),
                    k8s_pod: said.3.into(),
                    image_id: said.4.into(),
                    ..Said::default()
                },
                text: text.into(),
                piece: piece.map(|(id, ordinal, is_last)| Piece {
                    id: id.into(),
                    ordinal,
                    is_last,
                }),
                fields: field
                    .into_iter()
                    .map(|(name, value, number)| {
                        // `serde_json` rounds the last digit of others.
                        let number = f64::from(number) / 4.0;
                        let json = serde_json::json!({"a": [value, number, null], "b": 7, "c": -7});
                        (name.into(), json.to_string().into())
                    })
                    .collect(),
                ..Received::default()
            },
        )
}

const SEVERITY_COUNT: usize = 10;

#[test]
fn a_field_cannot_pass_for_what_we_say() {
    let names = ["container_id", "log", "stream", "kubernetes", "other"];
    let entry = Received {
        text: Cow::Borrowed(b"said"),
        fields: names
            .map(|name| (name.into(), "\"stdout\"".into()))
            .to_vec(),
        ..Received::default()
    };
    let bytes = encode_packed("t", [&entry], None, false);
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&bytes);
    let count = decoder.next().unwrap().unwrap().for_each(&mut |again| {
        let again = again.unwrap();
        assert_eq!((&*again.text, again.stream), (&b"said"[..], None));
        assert_eq!(again.container, Said::default());
        let names: Vec<&str> = again.fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            ["_container_id", "_log", "_stream", "_kubernetes", "other"]
        );
    });
    assert_eq!(count, 1);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        entries in proptest::collection::vec(any_received(), 0..5),
        compressed in any::<bool>(), chunk in proptest::option::of("[a-z]{1,40}"),
    ) {
        let bytes = encode_packed("t", &entries, chunk.as_deref(), compressed);
        let mut decoder = Decoder::new(Limits::default());
        let (one, other) = bytes.split_at(bytes.len() / 2);
        decoder.feed(one);
        prop_assert!(decoder.next().unwrap().is_none());
        decoder.feed(other);
        let message = decoder.next().unwrap().unwrap();
        prop_assert_eq!(message.chunk, chunk.as_deref().map(str::as_bytes));
        prop_assert_eq!(message.size, Some(entries.len() as u64));
        let mut expected = entries.iter();
        message.for_each(&mut |entry| {
            let (mut expected, found) = (expected.next().unwrap().clone(), entry.unwrap());
            // `EventTime` ends in 2106 and begins in 1970.
            let seconds = expected.time.unwrap_or_default().as_seconds();
            if u32::try_from(seconds).is_err() {
                expected.time = Some(Timestamp::from_seconds(seconds));
            }
            assert_eq!(found, expected);
        });
        prop_assert!(expected.next().is_none());
    }
}
