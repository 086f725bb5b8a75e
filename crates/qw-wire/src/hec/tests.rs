use proptest::prelude::*;
use qw_log::Severity;

use super::*;
use crate::outgoing::tests::{container, record};

fn read(body: &str) -> Result<Vec<Received<'static>>, Fault> {
    read_bytes(body.as_bytes())
}

/// Owned copies of what `each` is called with.
fn read_bytes(body: &[u8]) -> Result<Vec<Received<'static>>, Fault> {
    let mut list = Vec::new();
    let count = parse_events(body, &mut |received| list.push(own(&received)))?;
    assert_eq!(count, list.len());
    Ok(list)
}

fn own(received: &Received<'_>) -> Received<'static> {
    let text = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
    let container = &received.container;
    Received {
        time: received.time,
        severity: received.severity,
        stream: received.stream,
        hostname: text(&received.hostname),
        tag: text(&received.tag),
        container: crate::Said {
            id: text(&container.id),
            name: text(&container.name),
            image: text(&container.image),
            image_id: text(&container.image_id),
            k8s_namespace: text(&container.k8s_namespace),
            k8s_pod: text(&container.k8s_pod),
        },
        text: Cow::Owned(received.text.clone().into_owned()),
        fields: received
            .fields
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        ..Received::default()
    }
}

fn fields(received: &Received<'_>) -> Vec<String> {
    received
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What moby/moby writes with `splunk-format=inline`, two messages of one batch.
const INLINE: &str = concat!(
    r#"{"event":{"line":"a \"b\" \u003cc\u003e","source":"stdout","tag":"0123456789ab","#,
    r#""attrs":{"com.example.team":"shop","MODE":"x"}},"time":"1700000000.123456","host":"box"}"#,
    r#"{"event":{"line":"two","source":"stderr","tag":"web/1"},"time":"1700000000.123457","host":"box","#,
    r#""source":"s","sourcetype":"t","index":"i"}"#,
);

#[test]
fn dockers_inline_shape() {
    let list = read(INLINE).unwrap();
    let [one, two] = &list[..] else {
        panic!("{list:?}")
    };
    assert_eq!(&*one.text, br#"a "b" <c>"#);
    assert_eq!(
        one.time,
        Some(Timestamp::from_nanos(1_700_000_000_123_456_000))
    );
    assert_eq!((one.stream, &*one.hostname), (Some(Stream::Stdout), "box"));
    assert_eq!(
        (&*one.tag, &*one.container.id),
        ("0123456789ab", "0123456789ab")
    );
    assert_eq!(fields(one), ["com.example.team=\"shop\"", "MODE=\"x\""]);
    assert_eq!(
        (two.stream, &*two.tag, &*two.container.id),
        (Some(Stream::Stderr), "web/1", "")
    );
    assert_eq!(
        fields(two),
        [
            "com.splunk.source=\"s\"",
            "com.splunk.sourcetype=\"t\"",
            "com.splunk.index=\"i\""
        ]
    );
}

#[test]
fn dockers_other_shapes() {
    let text = |event: &str| {
        let list = read(&format!(r#"{{"event":{event},"time":"1.5","host":"h"}}"#)).unwrap();
        (
            String::from_utf8(list[0].text.to_vec()).unwrap(),
            list[0].container.id.clone(),
        )
    };
    let check = |event: &str, expected: &str, id: &str| {
        assert_eq!(text(event), (expected.to_owned(), id.into()), "{event}");
    };
    check(
        r#"{"line":{"msg":"x","n":[1]},"source":"stdout","tag":"t"}"#,
        r#"{"msg":"x","n":[1]}"#,
        "",
    );
    check(r#"{"line":12,"source":"stderr"}"#, "12", "");
    check(r#"{"line":"","source":"stderr"}"#, "", "");
    check(
        "\"0123456789ab k=v the line\"",
        "0123456789ab k=v the line",
        "0123456789ab",
    );
    check("\"0123456789ab\"", "0123456789ab", "");
    check("\"web the line\"", "web the line", "");
    check(
        r#"{"line":"x","source":"syslog"}"#,
        r#"{"line":"x","source":"syslog"}"#,
        "",
    );
    check("{\"a\":1,\n\"b\":2}", r#"{"a":1,"b":2}"#, "");
    check("12.5", "12.5", "");
    check("[1]", "[1]", "");
}

#[test]
fn bodies_may_be_spaced_or_an_array() {
    for body in [
        r#"{"event":"a"}{"event":"b"}"#,
        "\n{\"event\":\"a\"}\r\n\r\n{\"event\":\"b\"} ",
        r#" [ {"event":"a"} , {"event":"b"} ] "#,
    ] {
        let list = read(body).unwrap();
        assert_eq!(list.len(), 2, "{body}");
        assert_eq!(&*list[1].text, b"b");
    }
}

#[test]
fn fields_of_senders_find_their_place() {
    let list = read(
        r#"{"time":1700000000,"event":"x","fields":{"container_name":"web","pod":"web-0","severity":"error","n":[1,2]}}"#,
    )
    .unwrap();
    let received = &list[0];
    assert_eq!(
        (&*received.container.name, &*received.container.k8s_pod),
        ("web", "web-0")
    );
    assert_eq!(received.severity, Some(Severity::Error));
    assert_eq!(fields(received), ["n=[1,2]"]);
}

#[test]
fn faults_are_splunks() {
    let check = |body: &str, answer: &str, byte: usize| {
        let fault = read(body).unwrap_err();
        assert_eq!((&*fault.answer(), fault.byte), (answer, byte), "{body}");
    };
    let numbered = |code: u8, text: &str, number: usize| {
        format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{number}}}"#)
    };
    check("", r#"{"text":"No data","code":5}"#, 0);
    check(" \n", r#"{"text":"No data","code":5}"#, 0);
    check("[ ]", r#"{"text":"No data","code":5}"#, 0);
    let invalid = |number| numbered(6, "Invalid data format", number);
    check("{", &invalid(0), 0);
    check("plain", &invalid(0), 0);
    check(r#"{"event":"a"} {"event":}"#, &invalid(1), 23);
    check(r#"[{"event":"a"} {"event":"b"}]"#, &invalid(1), 15);
    check(r#"[{"event":"a"},]"#, &invalid(1), 15);
    check(r#"{"event":"a","time":"now"}"#, &invalid(0), 20);
    check(r#"{"event":"a"}"a""#, &invalid(1), 15);
    check(
        &format!("{{\"event\":{}1{}}}", "[".repeat(127), "]".repeat(127)),
        &invalid(0),
        135,
    );
    check(
        r#"{"event":"a"}{"host":"h"}"#,
        &numbered(12, "Event field is required", 1),
        13,
    );
    check(
        r#"{"event":null}"#,
        &numbered(12, "Event field is required", 0),
        0,
    );
    check(
        r#"{"event":""}"#,
        &numbered(13, "Event field cannot be blank", 0),
        9,
    );
    check(
        r#"{"event":{}}"#,
        &numbered(13, "Event field cannot be blank", 0),
        9,
    );
    check(
        r#"{"event":"a","fields":[1]}"#,
        &numbered(15, "Error in handling indexed fields", 0),
        22,
    );
    let fault = read_bytes(b"{\"event\":\"\xff\"}").unwrap_err();
    assert_eq!((fault.byte, fault.reason()), (10, InvalidReason::NotUtf8));
}

#[test]
fn times_are_seconds_in_many_forms() {
    let check = |text: &str, expected: Option<i64>| {
        let found = parse_seconds(text).map(Timestamp::as_nanos);
        assert_eq!(found, expected, "{text}");
    };
    check("1700000000", Some(1_700_000_000_000_000_000));
    check("1700000000.123456789", Some(1_700_000_000_123_456_789));
    check(
        " 1700000000.1234567891234 ",
        Some(1_700_000_000_123_456_789),
    );
    check("1700000000123", Some(1_700_000_000_123_000_000));
    check("1700000000123.5", Some(1_700_000_000_123_500_000));
    check("1700000000123456789", Some(1_700_000_000_123_456_789));
    check("-1.5", Some(-1_500_000_000));
    check("0", Some(0));
    check("1.7e9", Some(1_700_000_000_000_000_000));
    for text in [
        "",
        "-",
        ".",
        "1.x",
        "now",
        "1e400",
        "inf",
        "99999999999999999999",
        "1.2.3",
    ] {
        check(text, None);
    }
}

#[test]
fn raw_bodies_are_lines() {
    let mut list = Vec::new();
    let query = [
        ("host", "h"),
        ("sourcetype", "t"),
        ("channel", "c"),
        ("time", "5"),
    ];
    let count = parse_raw(b"one\r\n\n\xff two", &query, &mut |received| {
        list.push(own(&received));
    });
    assert_eq!(count.unwrap(), 2);
    assert_eq!(
        (&*list[0].text, &*list[1].text),
        (&b"one"[..], &b"\xff two"[..])
    );
    assert_eq!(
        (&*list[1].hostname, list[1].time),
        ("h", Some(Timestamp::from_seconds(5)))
    );
    assert_eq!(fields(&list[1]), ["com.splunk.sourcetype=\"t\""]);
    assert_eq!(parse_raw(b"\n", &[], &mut |_| {}).unwrap_err().code, 5);
}

#[test]
fn answers_are_splunks() {
    assert_eq!(success(), r#"{"text":"Success","code":0}"#);
    assert_eq!(
        success_with_acknowledgement(3),
        r#"{"text":"Success","code":0,"ackId":3}"#
    );
    assert_eq!(
        parse_acknowledgements(br#"{"acks":[1, 2]}"#).unwrap(),
        [1, 2]
    );
    assert_eq!(
        parse_acknowledgements(br#"{"acks":[1,-2]}"#)
            .unwrap_err()
            .byte,
        11
    );
    assert_eq!(parse_acknowledgements(b"{}").unwrap_err().code, 6);
    assert_eq!(
        acknowledged([(1, true), (2, false)]),
        r#"{"acks":{"1":true,"2":false}}"#
    );
    assert_eq!(AuthenticationFault::InvalidToken.status(), 403);
    assert_eq!(
        AuthenticationFault::TokenRequired.answer(),
        r#"{"text":"Token is required","code":2}"#
    );
}

#[test]
fn what_is_written_is_read_again() {
    let container = container();
    let record = record(&container, "one");
    let mut body = Vec::new();
    encode(&record, &mut body);
    let destination = Destination {
        index: "main",
        ..Destination::default()
    };
    encode_for(&record, &destination, &mut body);
    let list = read_bytes(&body).unwrap();
    let one = &list[0];
    assert_eq!((&*one.text, one.time), (&b"one"[..], Some(record.time)));
    assert_eq!(
        (one.severity, one.stream),
        (record.severity, Some(Stream::Stderr))
    );
    assert_eq!((&*one.hostname, &*one.tag), ("box", "web/1"));
    assert_eq!(&*one.container.id, &*container.id);
    assert_eq!(&*one.container.image, &*container.image);
    assert_eq!(
        fields(one),
        [
            "com.splunk.source=\"web/1\"",
            "com.docker.compose.project=\"shop\"",
            "com.docker.compose.service=\"front\"",
            "log.record.uid=\"7\"",
            "answer=42",
            "user=\"a\\\"b\"",
            "deep=\"{\\\"x\\\":[1,null]}\"",
        ]
    );
    assert!(fields(&list[1]).contains(&"com.splunk.index=\"main\"".to_owned()));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "\\PC{1,40}|[\\x00-\\x7f]{1,20}", nanos in 0..i64::MAX) {
        let container = container();
        let mut record = record(&container, &text);
        record.time = Timestamp::from_nanos(nanos);
        let mut body = Vec::new();
        encode(&record, &mut body);
        encode(&record, &mut body);
        let list = read_bytes(&body).unwrap();
        prop_assert_eq!(list.len(), 2);
        prop_assert_eq!(&*list[1].text, text.as_bytes());
        prop_assert_eq!(list[1].time, Some(record.time));
    }

    #[test]
    fn damaged_events_never_panic(at in 0..INLINE.len(), byte in any::<u8>()) {
        let mut body = INLINE.as_bytes().to_vec();
        body[at] = byte;
        let _fault = read_bytes(&body);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _fault = read_bytes(&bytes);
        let _fault = parse_raw(&bytes, &[], &mut |_| {});
        let _fault = parse_acknowledgements(&bytes);
    }
}
