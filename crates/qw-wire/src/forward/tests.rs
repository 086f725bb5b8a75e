use std::{borrow::Cow, io::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use qw_event::Timestamp;
use qw_log::{Severity, Stream};

use super::*;
use crate::{Piece, Received, Said};

/// Just enough MessagePack for tests, independent of the encoder.
fn text(text: &str) -> Vec<u8> {
    let mut out = match text.len() {
        length @ 0..32 => vec![0xa0 | length as u8],
        length => vec![0xd9, length as u8],
    };
    out.extend(text.as_bytes());
    out
}

fn array(values: &[Vec<u8>]) -> Vec<u8> {
    [&[0x90 | values.len() as u8], &*values.concat()].concat()
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0xde, 0, pairs.len() as u8];
    for (name, value) in pairs {
        out.extend(text(name));
        out.extend(value);
    }
    out
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc6];
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 1700000000 as `fluent-logger-golang` writes it.
const INTEGER: [u8; 5] = [0xd2, 0x65, 0x53, 0xf1, 0x00];
/// The same with 1.5 µs, as `fixext8` and as `ext8`.
const EVENT_TIME: [u8; 10] = [0xd7, 0, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0x05, 0xdc];
const EVENT_TIME_LONG: [u8; 11] = [0xc7, 8, 0, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0x05, 0xdc];
const ID: &str = "3f293f293f293f293f293f293f293f293f293f293f293f293f293f293f293f29";

/// A line as moby's `daemon/logger/fluentd` writes it, with a label, time and option as given.
fn docker(time: &[u8], option: &[u8]) -> Vec<u8> {
    array(&[
        text("docker.web"),
        time.to_vec(),
        map(&[
            ("container_id", text(ID)),
            ("container_name", text("/shop-web-1")),
            ("source", text("stderr")),
            ("log", text("hello")),
            ("team", text("a")),
        ]),
        option.to_vec(),
    ])
}

fn docker_received() -> Received<'static> {
    Received {
        time: Some(Timestamp::from_seconds(1_700_000_000)),
        stream: Some(Stream::Stderr),
        tag: "docker.web".into(),
        container: Said {
            id: ID.into(),
            name: "shop-web-1".into(),
            ..Said::default()
        },
        text: Cow::Borrowed(b"hello"),
        fields: vec![("team".into(), "\"a\"".into())],
        ..Received::default()
    }
}

fn limits() -> Limits {
    Limits {
        max_message_bytes: 4_096,
        max_entries: 10,
        max_depth: 8,
        max_inflated_bytes: 8_192,
    }
}

type Found = (
    Vec<Result<String, Fault>>,
    Vec<Option<Vec<u8>>>,
    Option<Fault>,
);

/// Texts and faults of all entries, chunks of all messages, and the fault that ended the stream.
fn found(reads: &[&[u8]]) -> Found {
    let mut decoder = Decoder::new(limits());
    let (mut entries, mut chunks) = (Vec::new(), Vec::new());
    for read in reads {
        decoder.feed(read);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    chunks.push(message.chunk.map(<[u8]>::to_vec));
                    message.for_each(&mut |entry| {
                        entries
                            .push(entry.map(|it| String::from_utf8_lossy(&it.text).into_owned()));
                    });
                }
                Err(fault) => return (entries, chunks, Some(fault)),
            }
        }
        assert!(decoder.pending_bytes() <= limits().max_message_bytes);
    }
    (entries, chunks, None)
}

#[track_caller]
fn with_one(bytes: &[u8], check: impl FnOnce(Received<'_>)) {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(bytes);
    let message = decoder.next().unwrap().unwrap();
    let mut check = Some(check);
    let count = message.for_each(&mut |entry| check.take().unwrap()(entry.unwrap()));
    assert_eq!(count, 1);
}

#[test]
fn dockers_driver_is_read() {
    with_one(&docker(&INTEGER, &[0x80]), |received| {
        assert_eq!(received, docker_received());
    });
    for time in [&EVENT_TIME[..], &EVENT_TIME_LONG] {
        with_one(&docker(time, &[0x80]), |received| {
            let nanos = received.time.map(Timestamp::as_nanos);
            assert_eq!(nanos, Some(1_700_000_000_000_001_500));
        });
    }
}

#[test]
fn dockers_pieces_are_marked() {
    let piece = |last: &str| {
        array(&[
            text("t"),
            INTEGER.to_vec(),
            map(&[
                ("log", text("part")),
                ("partial_message", text("true")),
                ("partial_id", text("abc")),
                ("partial_ordinal", text("2")),
                ("partial_last", text(last)),
            ]),
        ])
    };
    for (last, is_last) in [("false", false), ("true", true)] {
        with_one(&piece(last), |received| {
            let expected = Piece {
                id: "abc".into(),
                ordinal: 2,
                is_last,
            };
            assert_eq!(received.piece, Some(expected));
            assert!(received.fields.is_empty());
        });
    }
}

#[test]
fn a_chunk_is_told_and_acknowledged() {
    let chunk = BASE64_STANDARD.encode([7; 16]);
    let message = docker(&INTEGER, &map(&[("chunk", text(&chunk))]));
    let (entries, chunks, fault) = found(&[&message]);
    assert_eq!((entries.len(), fault), (1, None));
    assert_eq!(chunks, [Some(chunk.clone().into_bytes())]);
    let answer = ack(chunk.as_bytes());
    assert_eq!(answer, [&[0x81][..], &text("ack"), &text(&chunk)].concat());
    assert_eq!(&*decode_ack(&answer).unwrap(), chunk.as_bytes());
    assert_eq!(&*decode_ack(&ack(&[0xff, 1])).unwrap(), [0xff, 1]);
    assert!(decode_ack(&text("ack")).is_err() && decode_ack(&[0x81, 1, 2]).is_err());
}

#[test]
fn every_mode_is_read() {
    let entry = |line: &str| array(&[EVENT_TIME.to_vec(), map(&[("log", text(line))])]);
    let packed = [entry("a"), entry("b")].concat();
    let size = map(&[("size", vec![2]), ("chunk", text("c"))]);
    let compressed = map(&[("compressed", text("gzip")), ("size", vec![2])]);
    let forward = array(&[text("t"), array(&[entry("a"), entry("b")]), size.clone()]);
    let packed_forward = array(&[text("t"), binary(&packed), size]);
    // Fluentd appends members of gzip to one another.
    let members = [gzip(&entry("a")), gzip(&entry("b"))].concat();
    for message in [
        forward.clone(),
        packed_forward.clone(),
        array(&[text("t"), binary(&packed)]),
        array(&[text("t"), binary(&gzip(&packed)), compressed.clone()]),
        array(&[text("t"), binary(&members), compressed]),
        // Fluent Bit with metadata.
        array(&[
            text("t"),
            array(&[
                array(&[
                    array(&[EVENT_TIME.to_vec(), map(&[])]),
                    map(&[("log", text("a"))]),
                ]),
                array(&[
                    array(&[EVENT_TIME.to_vec(), map(&[])]),
                    map(&[("log", text("b\n"))]),
                ]),
            ]),
        ]),
    ] {
        let stream = [
            &[0xc0][..],
            &message,
            &[0xc0, 0xc0],
            &docker(&INTEGER, &[0x80]),
        ]
        .concat();
        let whole = found(&[&stream]);
        let expected = ["a", "b", "hello"].map(|line| Ok(line.to_owned()));
        assert_eq!((&*whole.0, &whole.2), (&expected[..], &None));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(found(&bytes), whole);
    }
    let mut decoder = Decoder::new(limits());
    decoder.feed(&packed_forward);
    let message = decoder.next().unwrap().unwrap();
    assert_eq!((&*message.tag, message.size), ("t", Some(2)));
}

#[test]
fn records_of_fluent_bit_on_kubernetes_are_read() {
    let record = map(&[
        ("time", text("x")),
        ("stream", text("stdout")),
        ("message", text("other")),
        ("log", text("line\n")),
        (
            "kubernetes",
            map(&[
                ("namespace_name", text("shop")),
                ("pod_name", text("web-1")),
                ("container_name", text("web")),
                ("docker_id", text(ID)),
                ("container_image", text("shop/web:1")),
                ("host", text("node-1")),
                ("labels", map(&[("app", text("web"))])),
            ]),
        ),
    ]);
    with_one(
        &array(&[
            text("kube"),
            vec![0xcb, 0x41, 0xd9, 0x54, 0xfc, 0x40, 0x20, 0, 0],
            record,
        ]),
        |received| {
            assert_eq!(
                received.time,
                Some(Timestamp::from_millis(1_700_000_000_500))
            );
            assert_eq!(received.stream, Some(Stream::Stdout));
            assert_eq!(&*received.text, b"line");
            let said = &received.container;
            assert_eq!((&*said.k8s_namespace, &*said.k8s_pod), ("shop", "web-1"));
            assert_eq!(
                (&*said.name, &*said.id, &*said.image),
                ("web", ID, "shop/web:1")
            );
            let fields: Vec<String> = received
                .fields
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(
                fields,
                [
                    "time=\"x\"",
                    "message=\"other\"",
                    "k8s.node.name=\"node-1\"",
                    "kubernetes.labels={\"app\":\"web\"}"
                ]
            );
        },
    );
}

#[test]
fn every_value_becomes_json() {
    let nan = [&[0xcb][..], &f64::NAN.to_be_bytes()].concat();
    let record = map(&[
        ("msg", vec![0x92, 1, 0xc2]),
        ("a", vec![0xff]),
        ("b", nan),
        ("c", binary(&[0xff, 0xfe])),
        ("d", binary(b"ok")),
        ("e", vec![0x82, 1, 0xc0, 0xa1, b'"', 0xca, 0x3f, 0, 0, 0]),
        ("f", vec![0xd4, 5, 1]),
        ("g", [&[0xd3][..], &i64::MIN.to_be_bytes()].concat()),
        ("h", [&[0xcf][..], &u64::MAX.to_be_bytes()].concat()),
        ("severity", text("notice")),
        ("source", text("elsewhere")),
        ("container_id", vec![1]),
    ]);
    with_one(&array(&[text("t"), vec![0], record]), |received| {
        assert_eq!((&*received.text, received.time), (&b"[1,false]"[..], None));
        assert_eq!(received.severity, Some(Severity::Notice));
        let fields: Vec<String> = received
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            fields,
            [
                "a=-1",
                "b=null",
                "c=\"//4=\"",
                "d=\"ok\"",
                "e={\"1\":null,\"\\\"\":0.5}",
                "f={\"type\":5,\"base64\":\"AQ==\"}",
                "g=-9223372036854775808",
                "h=18446744073709551615",
                "source=\"elsewhere\"",
                "container_id=1",
            ]
        );
    });
    with_one(
        &array(&[text("t"), vec![0], map(&[("cpu", vec![3])])]),
        |received| {
            assert_eq!(&*received.text, b"{\"cpu\":3}");
            assert_eq!(received.fields, [("cpu".into(), "3".into())]);
        },
    );
}

#[test]
fn one_bad_entry_harms_no_other() {
    let good = array(&[INTEGER.to_vec(), map(&[("log", text("a"))])]);
    let packed = [
        good.clone(),
        vec![0x91, 1],
        vec![7],
        array(&[text("x"), map(&[])]),
        good.clone(),
    ];
    let message = array(&[text("t"), binary(&packed.concat())]);
    let (entries, _, fault) = found(&[&message]);
    assert_eq!(fault, None);
    assert_eq!(entries.iter().filter(|entry| entry.is_ok()).count(), 2);
    assert_eq!(entries.len(), 5);
    let said = entries[2].as_ref().unwrap_err().to_string();
    let at = 1 + 2 + 5 + good.len() + 2;
    assert_eq!(
        said,
        format!(
            "not the forward protocol: no entry, which is an array, at byte {at} of the stream"
        )
    );
    // Torn, and more than is allowed.
    let torn = array(&[text("t"), binary(&good[..good.len() - 1])]);
    let (entries, ..) = found(&[&torn]);
    assert!(matches!(entries[..], [Err(Fault::Torn { .. })]));
    let many = array(&[text("t"), binary(&good.repeat(11))]);
    let (entries, ..) = found(&[&many]);
    assert_eq!(entries.len(), 11);
    assert_eq!(entries[10], Err(Fault::TooManyEntries { max_entries: 10 }));
    // A message of a bad form, and a good one behind it.
    let stream = [array(&[vec![1], vec![2]]), docker(&INTEGER, &[0x80])].concat();
    let (entries, _, fault) = found(&[&stream]);
    assert!(
        matches!(entries[..], [Err(Fault::NotForward { at: 1, .. }), Ok(_)]),
        "{entries:?}"
    );
    assert_eq!(fault, None);
}

#[test]
fn lies_about_lengths_end_the_stream_early() {
    let check = |bytes: &[u8], expected: InvalidReason| {
        let (_, _, fault) = found(&[bytes]);
        let fault = fault.unwrap();
        assert_eq!(fault.reason(), expected, "{bytes:x?}: {fault}");
    };
    for head in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
        check(
            &[0x92, head, 0xff, 0xff, 0xff, 0xff, 0],
            InvalidReason::TooLong,
        );
    }
    check(&[0xdd, 0xff, 0xff, 0xff, 0xff], InvalidReason::TooLong);
    check(&[0x91; 100], InvalidReason::TooDeep);
    check(&[0x92, 0xc1], InvalidReason::NotAnEvent);
    for other in [
        &b"GET / HTTP/1.1"[..],
        b"{\"a\":1}",
        b"\x16\x03\x01",
        b"\x80",
    ] {
        check(other, InvalidReason::NotAnEvent);
    }
    // What came before it is read, and nothing behind it.
    let stream = [
        docker(&INTEGER, &[0x80]),
        vec![0x16],
        docker(&INTEGER, &[0x80]),
    ]
    .concat();
    let (entries, _, fault) = found(&[&stream]);
    let at = docker(&INTEGER, &[0x80]).len() as u64;
    assert_eq!(entries.len(), 1);
    assert!(matches!(fault, Some(Fault::NotForward { at: found, .. }) if found == at));
}

#[test]
fn bombs_and_damage_are_refused() {
    let compressed = map(&[("compressed", text("gzip"))]);
    let bomb = array(&[
        text("t"),
        binary(&gzip(&vec![0xc0; 1_000_000])),
        compressed.clone(),
    ]);
    let (entries, ..) = found(&[&bomb]);
    assert_eq!(
        entries,
        [Err(Fault::TooLong {
            at: 3,
            place: "stream",
            max_bytes: 8_192
        })]
    );
    let damaged = array(&[text("t"), binary(b"\x1f\x8b nonsense"), compressed]);
    let (entries, ..) = found(&[&damaged]);
    assert!(
        matches!(entries[..], [Err(Fault::Damaged { .. })]),
        "{entries:?}"
    );
    let unknown = array(&[text("t"), binary(b""), map(&[("compressed", text("zstd"))])]);
    let (entries, ..) = found(&[&unknown]);
    assert!(matches!(
        entries[..],
        [Err(Fault::NotForward {
            expected: "known compression",
            ..
        })]
    ));
    let mut many = array(&[text("t"), vec![1]]);
    many[0] = 0x93;
    many.extend([0xde, 0x10, 0x01]);
    many.extend([0xa0, 0xc0].repeat(0x1001));
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&many);
    let count = decoder.next().unwrap().unwrap().for_each(&mut |entry| {
        let at = 4;
        let max_fields = 4_096;
        assert_eq!(entry, Err(Fault::TooManyFields { at, max_fields }));
    });
    assert_eq!(count, 1);
    // Deep only within the packed entries.
    let deep = array(&[text("t"), binary(&[0x91; 20])]);
    let (entries, ..) = found(&[&deep]);
    assert!(
        matches!(entries[..], [Err(Fault::TooDeep { .. })]),
        "{entries:?}"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 0_usize..60,
        head in 0_usize..4,
    ) {
        let mut stream: Vec<u8> = [&[][..], &[0x93, 0xa1, b't'], &[0x92, 0xa0, 0x92], &[0x93, 0xa0, 1, 0x82]][head].to_vec();
        stream.extend(bytes);
        let whole = found(&[&stream]);
        let (one, other) = stream.split_at(cut.min(stream.len()));
        prop_assert_eq!(found(&[one, other]), whole);
        let (_, _, _) = (Helo::decode(&stream).is_ok(), Ping::decode(&stream).is_ok(), Pong::decode(&stream).is_ok());
        let _ack = decode_ack(&stream).is_ok();
    }

    #[test]
    fn damaged_messages_never_panic(at in 0_usize..150, byte in any::<u8>()) {
        let mut message = docker(&EVENT_TIME, &map(&[("chunk", text("abc"))]));
        let at = at % message.len();
        message[at] = byte;
        let _found = found(&[&message]);
    }
}

/// `cargo test --release -p qw-wire -- --ignored --nocapture forward`.
#[test]
#[ignore = "figures, not a test"]
fn nanoseconds_an_entry() {
    let stream = docker(&EVENT_TIME, &map(&[("chunk", text("abc"))])).repeat(200);
    let mut decoder = Decoder::new(Limits::default());
    let (mut bytes, rounds) = (0, 2_000);
    let begin = std::time::Instant::now();
    for _ in 0..rounds {
        decoder.feed(&stream);
        while let Some(message) = decoder.next().unwrap() {
            message.for_each(&mut |entry| {
                bytes += std::hint::black_box(&entry).as_ref().unwrap().text.len();
            });
        }
    }
    println!(
        "forward: {} ns an entry",
        begin.elapsed().as_nanos() / (rounds * 200)
    );
    assert!(bytes > 0);
}
