use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::outgoing::tests::{container, record};

fn parse(operation: &str, body: &str) -> Result<Request<'static>, Fault> {
    let target = format!("Logs_20140328.{operation}");
    Request::parse(&target, body.to_owned().leak().as_bytes())
}

#[test]
fn requests_of_dockers_driver_are_read() {
    let group = || Cow::Borrowed("group");
    let check = |operation: &str, body: &str, expected: Request<'_>| {
        assert_eq!(parse(operation, body), Ok(expected), "{operation}");
    };
    check(
        "CreateLogGroup",
        r#"{"logGroupName":"group","tags":{"a":"b"}}"#,
        Request::CreateLogGroup { group: group() },
    );
    check(
        "CreateLogStream",
        r#"{"logGroupName":"group","logStreamName":"s/1"}"#,
        Request::CreateLogStream {
            group: group(),
            stream: "s/1".into(),
        },
    );
    check(
        "PutLogEvents",
        r#"{"logEvents":[{"message":"one","timestamp":1700000000123},{"message":"tw\u00f6","timestamp":1700000000123}],
            "logGroupName":"group","logStreamName":"s","sequenceToken":null}"#,
        Request::PutLogEvents(PutLogEvents {
            group: group(),
            stream: "s".into(),
            sequence_token: "".into(),
            events: vec![
                LogEvent {
                    time: Timestamp::from_millis(1_700_000_000_123),
                    message: "one".into(),
                },
                LogEvent {
                    time: Timestamp::from_millis(1_700_000_000_123),
                    message: "twö".into(),
                },
            ],
        }),
    );
    check(
        "DescribeLogStreams",
        r#"{"logGroupName":"group","logStreamNamePrefix":"s"}"#,
        Request::DescribeLogStreams {
            group: group(),
            prefix: "s".into(),
        },
    );
    check(
        "DescribeLogGroups",
        "",
        Request::DescribeLogGroups { prefix: "".into() },
    );
    check(
        "PutRetentionPolicy",
        r#"{"logGroupName":"group","retentionInDays":30}"#,
        Request::PutRetentionPolicy {
            group: group(),
            days: 30,
        },
    );
}

fn put(events: &str) -> Result<Request<'static>, Fault> {
    parse(
        "PutLogEvents",
        &format!(r#"{{"logGroupName":"g","logStreamName":"s","logEvents":[{events}]}}"#),
    )
}

#[test]
fn faults_are_awss() {
    let check = |found: Result<Request<'_>, Fault>, kind: &str, byte: usize| {
        let fault = found.unwrap_err();
        let answer: Json = serde_json::from_str(&fault.answer()).unwrap();
        assert_eq!(
            (answer["__type"].as_str(), fault.byte),
            (Some(kind), byte),
            "{fault}"
        );
        assert_eq!(answer["message"], fault.what);
    };
    let invalid = "InvalidParameterException";
    check(
        parse("DeleteLogGroup", "{}"),
        "UnknownOperationException",
        0,
    );
    check(
        Request::parse("PutLogEvents", b"{}"),
        "UnknownOperationException",
        0,
    );
    check(parse("CreateLogGroup", "{"), "SerializationException", 0);
    check(parse("CreateLogGroup", "{}"), invalid, 0);
    check(
        parse("CreateLogGroup", r#"{"logGroupName":"a\n"}"#),
        invalid,
        16,
    );
    check(
        parse("CreateLogGroup", r#"{"logGroupName":1}"#),
        invalid,
        16,
    );
    check(
        parse(
            "PutRetentionPolicy",
            r#"{"logGroupName":"a","retentionInDays":0}"#,
        ),
        invalid,
        38,
    );
    check(put(""), invalid, 52);
    check(put(r#"{"timestamp":1}"#), invalid, 53);
    check(put(r#"{"timestamp":1,"message":""}"#), invalid, 78);
    check(put(r#"{"timestamp":-1,"message":"x"}"#), invalid, 66);
    check(
        put(r#"{"timestamp":9223372036854775807,"message":"x"}"#),
        invalid,
        66,
    );
    check(
        put(r#"{"timestamp":2,"message":"x"},{"timestamp":1,"message":"x"}"#),
        invalid,
        83,
    );
    check(
        put(r#"{"timestamp":0,"message":"x"},{"timestamp":86400001,"message":"x"}"#),
        invalid,
        83,
    );
    assert!(put(r#"{"timestamp":0,"message":"x"},{"timestamp":86400000,"message":"x"}"#).is_ok());
    let events = |count: usize, message: &str| {
        vec![format!(r#"{{"timestamp":1,"message":"{message}"}}"#); count].join(",")
    };
    assert!(put(&events(MAX_EVENTS, "x")).is_ok());
    let fault = put(&events(MAX_EVENTS + 1, "x")).unwrap_err();
    assert_eq!(fault.reason(), InvalidReason::TooLong);
    let large = "x".repeat(MAX_BYTES / 2 - EVENT_OVERHEAD);
    assert!(put(&events(2, &large)).is_ok());
    assert_eq!(
        put(&events(3, &large)).unwrap_err().reason(),
        InvalidReason::TooLong
    );
}

#[test]
fn events_become_lines() {
    let id = "0123456789abcdef".repeat(4);
    let request = PutLogEvents {
        group: "gr\"oup".into(),
        stream: (&*id).into(),
        sequence_token: "".into(),
        events: vec![LogEvent {
            time: Timestamp::from_millis(5),
            message: "one\n".into(),
        }],
    };
    let mut seen = 0;
    let count = request.records(&mut |received| {
        seen += 1;
        assert_eq!(
            (&*received.text, received.time),
            (&b"one"[..], Some(Timestamp::from_millis(5)))
        );
        assert_eq!((&*received.tag, &*received.container.id), (&*id, &*id));
        assert_eq!(
            received.fields[0],
            ("aws.log.group.names".into(), r#"["gr\"oup"]"#.into())
        );
        assert_eq!(received.fields[1].1, format!("[\"{id}\"]"));
    });
    assert_eq!((count, seen), (1, 1));
}

#[test]
fn answers_are_awss() {
    assert_eq!(put_log_events("7", None), r#"{"nextSequenceToken":"7"}"#);
    let event = |millis: i64| LogEvent {
        time: Timestamp::from_millis(millis),
        message: "x".into(),
    };
    let day = 86_400_000;
    let mut request = PutLogEvents {
        group: "g".into(),
        stream: "s".into(),
        sequence_token: "".into(),
        events: vec![event(0), event(1), event(20 * day), event(40 * day)],
    };
    let now = Timestamp::from_millis(20 * day);
    let rejected = rejected_by_time(&request, now);
    assert_eq!(
        put_log_events("7", rejected),
        r#"{"nextSequenceToken":"7","rejectedLogEventsInfo":{"tooNewLogEventStartIndex":3,"tooOldLogEventEndIndex":2}}"#
    );
    request.events = vec![event(20 * day)];
    assert_eq!(rejected_by_time(&request, now), None);
    let stream = LogStream {
        name: "s\"",
        created: Timestamp::from_millis(5),
        sequence_token: "7",
    };
    let streams: Json = serde_json::from_str(&describe_log_streams("g", [stream, stream])).unwrap();
    assert_eq!(streams["logStreams"][1]["logStreamName"], "s\"");
    assert_eq!(streams["logStreams"][0]["uploadSequenceToken"], "7");
    let group = LogGroup {
        name: "g",
        created: Timestamp::EPOCH,
        retention_days: Some(3),
    };
    let groups: Json = serde_json::from_str(&describe_log_groups([group])).unwrap();
    assert_eq!(
        groups["logGroups"][0],
        json!({"logGroupName": "g", "creationTime": 0, "metricFilterCount": 0,
            "arn": "arn:aws:logs:local:000000000000:log-group:g:*", "storedBytes": 0, "retentionInDays": 3})
    );
    assert_eq!(
        Exception::ResourceAlreadyExists.answer("it is there"),
        r#"{"__type":"ResourceAlreadyExistsException","message":"it is there"}"#
    );
    assert_eq!(Exception::ServiceUnavailable.status(), 503);
}

fn read(body: &[u8]) -> Vec<(i64, String)> {
    let request = Request::parse("Logs_20140328.PutLogEvents", body).unwrap();
    let Request::PutLogEvents(request) = request else {
        panic!("{request:?}")
    };
    let events = request.events.into_iter();
    events
        .map(|event| (event.time.as_millis(), event.message.into_owned()))
        .collect()
}

#[test]
fn what_is_written_is_read_again() {
    let container = container();
    let at = |millis: i64, text: &'static str| {
        let mut record = record(&container, text);
        record.time = Timestamp::from_millis(millis);
        record
    };
    let EncodedEvents { body, taken, order } = encode_put_log_events(
        "g",
        "s",
        &[at(5, "b"), at(3, "a"), at(5, ""), at(5, "c\u{1}")],
    );
    assert_eq!((taken, order), (4, vec![1, 0, 2, 3]));
    let events = read(&body);
    let expected = [(3, "a"), (5, "b"), (5, " "), (5, "c\u{1}")];
    assert_eq!(events, expected.map(|(time, text)| (time, text.to_owned())));
    let far = at(86_400_006, "far");
    let taken = encode_put_log_events("g", "s", &[at(5, "a"), far, at(6, "b")]).taken;
    assert_eq!(taken, 1);
    assert_eq!(
        encode_put_log_events("g", "s", &[]),
        EncodedEvents {
            body: br#"{"logGroupName":"g","logStreamName":"s","logEvents":[]}"#.to_vec(),
            taken: 0,
            order: Vec::new(),
        }
    );
    let name = parse(
        "CreateLogGroup",
        &String::from_utf8(encode_create_log_group("g")).unwrap(),
    );
    assert_eq!(name, Ok(Request::CreateLogGroup { group: "g".into() }));
    let name = parse(
        "CreateLogStream",
        &String::from_utf8(encode_create_log_stream("g", "s")).unwrap(),
    );
    assert!(matches!(name, Ok(Request::CreateLogStream { .. })));
}

#[test]
fn requests_hold_what_aws_takes() {
    let container = container();
    let line = "é".repeat(200_000);
    let long = record(&container, &line);
    let EncodedEvents { body, taken, .. } = encode_put_log_events("g", "s", &[long, long, long]);
    assert_eq!(taken, 2);
    let events = read(&body);
    assert_eq!(events.len(), 4);
    assert_eq!(format!("{}{}", events[0].1, events[1].1), line);
    let line = "x".repeat(3 << 20);
    let EncodedEvents { body, taken, .. } =
        encode_put_log_events("g", "s", &[record(&container, &line), long]);
    assert_eq!(taken, 1);
    assert!(read(&body).len() >= 3);
    let many = vec![record(&container, "x"); MAX_EVENTS + 1];
    assert_eq!(encode_put_log_events("g", "s", &many).taken, MAX_EVENTS);
}

proptest! {
    #[test]
    fn any_text_comes_back(texts in proptest::collection::vec("\\PC{1,20}|[\\x00-\\x7f]{1,5}", 1..10)) {
        let container = container();
        let records: Vec<_> = texts.iter().map(|text| record(&container, text)).collect();
        let EncodedEvents { body, taken, .. } = encode_put_log_events("g", "s", &records);
        prop_assert_eq!(taken, texts.len());
        let found: Vec<_> = read(&body).into_iter().map(|(_, text)| text).collect();
        prop_assert_eq!(found, texts);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0..80_usize, byte in any::<u8>()) {
        let target = "Logs_20140328.PutLogEvents";
        let _fault = Request::parse(target, &bytes);
        let mut body = br#"{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"x"}]}"#.to_vec();
        body[at] = byte;
        let _fault = Request::parse(target, &body);
    }
}
