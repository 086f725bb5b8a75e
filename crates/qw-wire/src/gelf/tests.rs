use std::{borrow::Cow, io::Write as _, time::Duration};

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;
use qw_event::Timestamp;
use qw_log::{Severity, Stream};

use super::*;
use crate::{Received, Said};

const ID: &str = "3f293f293f293f293f293f293f293f293f293f293f293f293f293f293f293f29";

/// A line as moby's `daemon/logger/gelf` writes it, with a label.
const DOCKER: &str = r#"{"version":"1.1","host":"node-1","short_message":"he said \"hi\"","timestamp":1795251600.123,"level":6,"_command":"/bin/sh -c run","_container_id":"3f293f293f293f293f293f293f293f293f293f293f293f293f293f293f293f29","_container_name":"shop-web-1","_created":"2026-11-21T07:15:50.601341045Z","_image_id":"sha256:aa","_image_name":"shop/web:1","_tag":"3f293f293f29","_team":"a"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn options() -> Options {
    Options {
        max_message_bytes: 4_096,
        max_pending_bytes: 16_384,
        max_pending_messages: 8,
        max_per_source: 4,
        give_up_after: Duration::from_secs(5),
    }
}

fn chunk(id: u8, number: u8, count: u8, part: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x1e, 0x0f];
    bytes.extend([id; 8]);
    bytes.extend([number, count]);
    bytes.extend(part);
    bytes
}

struct Sender(Assembler<u8>);

impl Sender {
    fn new() -> Self {
        Self(Assembler::new(options()))
    }

    fn send(&mut self, source: u8, bytes: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let found = self.0.datagram(source, bytes, Timestamp::EPOCH)?;
        Ok(found.map(Cow::into_owned))
    }
}

#[test]
fn dockers_driver_is_read() {
    let received = parse(DOCKER.as_bytes()).unwrap();
    let expected = Received {
        time: Some(Timestamp::from_millis(1_795_251_600_123)),
        severity: Some(Severity::Info),
        stream: Some(Stream::Stdout),
        hostname: "node-1".into(),
        tag: "3f293f293f29".into(),
        container: Said {
            id: ID.into(),
            name: "shop-web-1".into(),
            image: "shop/web:1".into(),
            image_id: "sha256:aa".into(),
            ..Said::default()
        },
        text: Cow::Borrowed(b"he said \"hi\""),
        fields: vec![
            ("container.command_line".into(), "\"/bin/sh -c run\"".into()),
            (
                "container.created".into(),
                "\"2026-11-21T07:15:50.601341045Z\"".into(),
            ),
            ("team".into(), "\"a\"".into()),
        ],
        ..Received::default()
    };
    assert_eq!(received, expected);
    let error = DOCKER.replace("\"level\":6", "\"level\":3");
    let received = parse(error.as_bytes()).unwrap();
    assert_eq!(received.stream, Some(Stream::Stderr));
    assert_eq!(received.severity, Some(Severity::Error));
}

#[test]
fn times_lose_nothing() {
    let time = |value: &str| {
        let json = format!("{{\"short_message\":\"x\",\"timestamp\":{value}}}");
        let found = parse(json.as_bytes()).unwrap().time;
        found.map(Timestamp::as_nanos)
    };
    assert_eq!(
        time("1795251600.123456789"),
        Some(1_795_251_600_123_456_789)
    );
    assert_eq!(time("\"1795251600.7\""), Some(1_795_251_600_700_000_000));
    assert_eq!(time("1795251600"), Some(1_795_251_600_000_000_000));
    assert_eq!(time("1.7952516e9"), Some(1_795_251_600_000_000_000));
    assert_eq!(time("-1.5"), Some(-1_500_000_000));
    for no_time in [
        "null",
        "\"today\"",
        "1e300",
        "99999999999999999999",
        "true",
        "{}",
    ] {
        assert_eq!(time(no_time), None, "{no_time}");
    }
}

#[test]
fn the_longer_text_counts() {
    let check = |json: &str, text: &str, fields: usize| {
        let received = parse(json.as_bytes()).unwrap();
        assert_eq!(&*received.text, text.as_bytes(), "{json}");
        assert_eq!(received.fields.len(), fields, "{json}");
    };
    check(r#"{"short_message":"a","full_message":"a\nb"}"#, "a\nb", 0);
    check(
        r#"{"short_message":"sum","full_message":"longer"}"#,
        "longer",
        1,
    );
    check(r#"{"short_message":"abc","full_message":"ab"}"#, "abc", 0);
    check(r#"{"full_message":"ab"}"#, "ab", 0);
    check(r#"{"message":"ab"}"#, "ab", 0);
    check(r#"{"short_message":{"a":1}}"#, r#"{"a":1}"#, 0);
    check(
        r#"{"short_message":"","_x":null,"_id":7,"_facility":"f","line":3}"#,
        "",
        4,
    );
    check(r#"{"short_message":"\ud800 x"}"#, r"\ud800 x", 0);
}

#[test]
fn field_names_lose_their_underscore_unless_reserved() {
    let json =
        r#"{"short_message":"x","_a":1,"_id":2,"facility":"f","_facility":"g","_":3,"__b":4}"#;
    let received = parse(json.as_bytes()).unwrap();
    let names: Vec<&str> = received.fields.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "_id", "facility", "_facility", "_", "_b"]);
}

#[test]
fn what_is_no_message_is_said() {
    assert_eq!(parse(b" "), Err(Fault::Empty));
    assert_eq!(parse(b"{}"), Err(Fault::NoText));
    let fault = parse(b"{\"a\":1,\n \"b\" 2}").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the GELF message is no JSON object: expected `:` at byte 13"
    );
    assert_eq!(fault.reason(), InvalidReason::NotJson);
    assert!(matches!(parse(b"[1]"), Err(Fault::NotJson { .. })));
    assert!(matches!(parse(b"{\"a\":1} {"), Err(Fault::NotJson { .. })));
    let deep = format!(
        "{{\"short_message\":\"x\",\"_a\":{}{}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    assert_eq!(
        parse(deep.as_bytes()).unwrap_err().reason(),
        InvalidReason::TooDeep
    );
    let many = format!("{{\"short_message\":\"x\"{}}}", ",\"_a\":1".repeat(4_096));
    let fault = parse(many.as_bytes()).unwrap_err();
    assert_eq!(fault, Fault::TooManyMembers { max_members: 4_096 });
    let latin = parse(b"{\"short_message\":\"caf\xe9\",\"host\":\"h\"}").unwrap();
    assert_eq!(&*latin.text, "caf\u{fffd}".as_bytes());
    assert_eq!(latin.hostname, "h");
}

#[test]
fn every_compression_is_told_apart() {
    let mut sender = Sender::new();
    let plain = DOCKER.as_bytes();
    let two_members = [gzip(&plain[..100]), gzip(&plain[100..])].concat();
    for datagram in [plain.to_vec(), gzip(plain), zlib(plain), two_members] {
        assert_eq!(sender.send(1, &datagram), Ok(Some(plain.to_vec())));
    }
    assert_eq!(sender.0.pending_bytes(), 0);
}

#[test]
fn bombs_and_damage_are_refused() {
    let mut sender = Sender::new();
    let too_long = Fault::TooLong { max_bytes: 4_096 };
    let bomb = vec![b' '; 10_000_000];
    assert_eq!(sender.send(1, &gzip(&bomb)), Err(too_long.clone()));
    assert_eq!(sender.send(1, &zlib(&bomb)), Err(too_long.clone()));
    assert!(sender.0.inflated.capacity() <= 4_097);
    assert_eq!(sender.send(1, &bomb[..4_097]), Err(too_long.clone()));
    assert_eq!(sender.send(1, &gzip(&bomb[..4_097])), Err(too_long));
    assert_eq!(
        sender
            .send(1, &gzip(&bomb[..4_096]))
            .unwrap()
            .unwrap()
            .len(),
        4_096
    );
    let whole = gzip(DOCKER.as_bytes());
    for end in 2..whole.len() {
        let fault = sender.send(1, &whole[..end]).unwrap_err();
        assert!(matches!(fault, Fault::Damaged { .. }), "{end}: {fault}");
    }
    let mut bad_sum = whole.clone();
    let at = bad_sum.len() - 8;
    bad_sum[at] ^= 1;
    assert_eq!(
        sender.send(1, &bad_sum),
        Err(Fault::Damaged { at: at as u64 })
    );
    assert_eq!(sender.send(1, b""), Err(Fault::Empty));
}

#[test]
fn chunks_come_in_any_order_and_twice() {
    let mut sender = Sender::new();
    assert_eq!(sender.send(1, &chunk(7, 2, 3, b"c")), Ok(None));
    assert_eq!(sender.send(1, &chunk(7, 0, 3, b"a")), Ok(None));
    assert_eq!(sender.send(1, &chunk(7, 0, 3, b"z")), Ok(None));
    assert_eq!(
        sender.send(1, &chunk(7, 1, 3, b"b")),
        Ok(Some(b"abc".to_vec()))
    );
    assert_eq!(
        (sender.0.pending_bytes(), sender.0.pending_messages()),
        (0, 0)
    );
    // Two sources with one id, compressed, and Docker's empty chunk at the end.
    let packed = gzip(DOCKER.as_bytes());
    for source in [1, 2] {
        assert_eq!(sender.send(source, &chunk(7, 0, 2, &packed)), Ok(None));
    }
    for source in [2, 1] {
        let found = sender.send(source, &chunk(7, 1, 2, b"")).unwrap();
        assert_eq!(found.as_deref(), Some(DOCKER.as_bytes()));
    }
    assert_eq!(
        sender.send(1, &chunk(1, 0, 1, b"{}")),
        Ok(Some(b"{}".to_vec()))
    );
}

#[test]
fn forged_chunks_are_refused() {
    let mut sender = Sender::new();
    assert_eq!(
        sender.send(1, b"\x1e\x0f12345678\0"),
        Err(Fault::ShortChunk { length: 11 })
    );
    for (number, count) in [(0, 0), (0, 129), (0, 255), (3, 3), (255, 128)] {
        let fault = sender.send(1, &chunk(7, number, count, b"a")).unwrap_err();
        assert!(matches!(fault, Fault::BadChunk { .. }), "{fault}");
    }
    assert_eq!(sender.send(1, &chunk(7, 0, 3, b"a")), Ok(None));
    assert!(sender.send(1, &chunk(7, 1, 2, b"a")).is_err());
    // The message that it disturbed is completed nevertheless.
    assert_eq!(sender.send(1, &chunk(7, 1, 3, b"b")), Ok(None));
    assert_eq!(
        sender.send(1, &chunk(7, 2, 3, b"c")),
        Ok(Some(b"abc".to_vec()))
    );
}

#[test]
fn what_is_pending_is_bounded_and_given_up() {
    let mut sender = Sender::new();
    for id in 0..4 {
        assert_eq!(sender.send(1, &chunk(id, 0, 2, b"a")), Ok(None));
    }
    let fault = sender.send(1, &chunk(4, 0, 2, b"a")).unwrap_err();
    assert!(fault.to_string().contains("of its source"), "{fault}");
    for id in 0..4 {
        assert_eq!(sender.send(2, &chunk(id, 0, 2, b"a")), Ok(None));
    }
    let fault = sender.send(3, &chunk(4, 0, 2, b"a")).unwrap_err();
    assert!(
        fault.to_string().contains("too many messages are"),
        "{fault}"
    );
    assert_eq!(fault.reason(), InvalidReason::TooLong);
    assert_eq!(sender.0.expire(Timestamp::from_seconds(4)), 0);
    // A full assembler makes room by itself.
    let later = Timestamp::from_seconds(5);
    let next = chunk(4, 0, 2, b"a");
    assert_eq!(sender.0.datagram(3, &next, later), Ok(None));
    assert_eq!(sender.0.expire(later), 8);
    assert_eq!(sender.0.pending_messages(), 1);
    assert_eq!(sender.0.expire(Timestamp::from_seconds(10)), 1);
    assert_eq!((sender.0.pending_bytes(), sender.0.of_source.len()), (0, 0));

    let mut sender = Sender::new();
    let part = vec![b'x'; 3_000];
    assert_eq!(sender.send(1, &chunk(1, 0, 9, &part)), Ok(None));
    assert_eq!(
        sender.send(1, &chunk(1, 1, 9, &part)),
        Err(Fault::TooLong { max_bytes: 4_096 })
    );
    assert_eq!(sender.0.pending_bytes(), 0);
    let refused = (0..8).filter(|id| sender.send(*id, &chunk(1, 0, 9, &part)).is_err());
    assert_eq!(refused.count(), 4);
    assert!(sender.0.pending_bytes() <= options().max_pending_bytes);
}

fn frames(max_bytes: usize, reads: &[&[u8]]) -> Vec<(String, bool)> {
    let (mut framer, mut found) = (Framer::new(max_bytes), Vec::new());
    let mut each = |frame: Frame<'_>| {
        let text = String::from_utf8_lossy(frame.bytes).into_owned();
        found.push((text, frame.is_truncated));
    };
    for read in reads {
        framer.feed(read, &mut each);
        assert!(framer.pending_bytes() <= max_bytes);
    }
    framer.finish(&mut each);
    found
}

#[test]
fn a_stream_is_cut_at_nul() {
    let found = frames(
        5,
        &[
            b"ab",
            b"\0\0cde",
            b"fg\n\0",
            b"12345\0",
            b"123456789",
            b"0\0x",
        ],
    );
    let found: Vec<(&str, bool)> = found.iter().map(|(text, cut)| (&**text, *cut)).collect();
    assert_eq!(
        found,
        [
            ("ab", false),
            ("cdefg", true),
            ("12345", false),
            ("12345", true),
            ("x", true)
        ]
    );
}

#[test]
fn what_docker_writes_is_written() {
    let mut out = Vec::new();
    encode(&parse(DOCKER.as_bytes()).unwrap(), &mut out);
    let written: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let expected: serde_json::Value = serde_json::from_str(DOCKER).unwrap();
    assert_eq!(written, expected);
}

#[test]
fn a_record_that_leaves_us_is_written() {
    let container = qw_event::ContainerRef {
        id: ID.into(),
        name: "web".into(),
        image: "shop/web:1".into(),
        compose_project: "shop".into(),
        ..qw_event::ContainerRef::default()
    };
    let record = crate::Outgoing {
        time: Timestamp::from_millis(1_500),
        severity: None,
        priority: qw_event::Priority::Informational,
        stream: "stderr",
        hostname: "",
        tag: "web",
        container: &container,
        text: "x",
        fields: r#"{"a b":{"c":true},"n":1}"#,
        id: 7,
    };
    let mut out = Vec::new();
    encode(&Received::from(&record), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"version\":\"1.1\",\"host\":\"-\",\"short_message\":\"x\",\"timestamp\":1.5,\
             \"level\":3,\"_container_id\":\"{ID}\",\"_container_name\":\"web\",\
             \"_image_name\":\"shop/web:1\",\"_tag\":\"web\",\
             \"_com.docker.compose.project\":\"shop\",\"_a_b\":\"{{\\\"c\\\":true}}\",\"_n\":1}}"
        )
    );
    assert_eq!(parse(text.as_bytes()).unwrap().stream, Some(Stream::Stderr));
}

#[test]
fn a_field_cannot_pass_for_what_we_say() {
    let mut record = parse(DOCKER.as_bytes()).unwrap();
    let names = [
        "container_id",
        "container id",
        "_container_id",
        "tag",
        "command",
        "id",
        "_id",
    ];
    record.fields = names
        .map(|name| (name.into(), "\"forged\"".into()))
        .to_vec();
    let mut out = Vec::new();
    encode(&record, &mut out);
    let again = parse(&out).unwrap();
    assert_eq!(
        (&again.container, &again.tag),
        (&record.container, &record.tag)
    );
    assert_eq!(again.fields.len(), names.len());
}

#[test]
fn a_message_that_needs_too_many_chunks_is_refused() {
    assert_eq!(
        chunks(b"abc", [1; 8], 3).unwrap().collect::<Vec<_>>(),
        [&b"abc"[..]]
    );
    assert_eq!(chunks(&[0; 128], [1; 8], 13).unwrap().count(), 128);
    assert!(chunks(&[0; 129], [1; 8], 13).is_err());
}

fn any_text() -> impl Strategy<Value = String> {
    any::<String>()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        datagrams in proptest::collection::vec(
            (0_u8..3, proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..20),
    ) {
        let mut sender = Sender::new();
        for (source, mut bytes, is_chunk) in datagrams {
            let _parsed = parse(&bytes);
            if is_chunk {
                bytes.splice(0..0, [0x1e, 0x0f, 0, 0, 0, 0, 0, 0, 0]);
                if let Some(count) = bytes.get_mut(11) {
                    *count %= 5;
                }
            }
            let _found = sender.send(source, &bytes);
            prop_assert!(sender.0.pending_bytes() <= options().max_pending_bytes);
        }
        sender.0.expire(Timestamp::MAX);
        prop_assert_eq!(sender.0.pending_bytes(), 0);
    }

    #[test]
    fn what_is_written_is_read_back(
        text in any_text(), hostname in ".{1,9}", tag in any_text(), id in "([0-9a-f]{12})?",
        nanos in any::<i64>(), is_error in any::<bool>(), is_grave in any::<bool>(),
        name in "[a-z.]{2,9}[a-z]", value in any_text(), split in 20_usize..400,
    ) {
        prop_assume!(nanos > i64::MIN);
        let stream = if is_error { Stream::Stderr } else { Stream::Stdout };
        let record = Received {
            time: Some(Timestamp::from_nanos(nanos)),
            severity: Some(if is_grave { Severity::Error } else { Severity::Info }),
            stream: Some(stream),
            hostname: hostname.into(),
            tag: tag.into(),
            container: Said { id: id.into(), ..Said::default() },
            text: Cow::Owned(text.into_bytes()),
            fields: vec![(name.into(), serde_json::to_string(&value).unwrap().into())],
            ..Received::default()
        };
        let mut json = Vec::new();
        encode(&record, &mut json);
        prop_assert_eq!(parse(&json), Ok(record));
        if let Ok(datagrams) = chunks(&json, [9; 8], split) {
            let mut assembler = Assembler::new(Options::default());
            let mut found = None;
            for datagram in datagrams {
                prop_assert!(found.is_none() && datagram.len() <= split);
                let message = assembler.datagram(1, &datagram, Timestamp::EPOCH).unwrap();
                found = message.map(Cow::into_owned);
            }
            prop_assert_eq!(found, Some(json));
        }
    }
}
