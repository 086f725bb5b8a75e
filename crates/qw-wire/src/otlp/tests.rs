use proptest::prelude::*;
use prost::Message as _;
use qw_event::{ContainerRef, InvalidReason};
use qw_log::Stream;

use super::{message::*, *};
use crate::outgoing::tests::{container, record};

/// Everything that `each` is called with, in words.
fn told(result: impl FnOnce(&mut dyn FnMut(Received<'_>)) -> Result<usize, Fault>) -> Vec<String> {
    let mut list = Vec::new();
    let count = result(&mut |received| list.push(in_words(&received))).unwrap();
    assert_eq!(count, list.len());
    list
}

fn in_words(received: &Received<'_>) -> String {
    let mut words = vec![String::from_utf8_lossy(&received.text).into_owned()];
    words.extend(received.time.map(|time| time.as_nanos().to_string()));
    words.extend(received.severity.map(|severity| format!("{severity:?}")));
    words.extend(received.stream.map(|stream| stream.as_str().to_owned()));
    let container = &received.container;
    for text in [
        &received.hostname,
        &received.tag,
        &container.id,
        &container.name,
        &container.image,
        &container.image_id,
        &container.k8s_namespace,
        &container.k8s_pod,
    ] {
        if !text.is_empty() {
            words.push(text.to_string());
        }
    }
    words.extend(
        received
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    words.join(" | ")
}

/// In the shape of `examples/logs.json` of opentelemetry-proto.
const EXAMPLE: &str = r#"{
  "resourceLogs": [
    {
      "resource": {
        "attributes": [
          { "key": "service.name", "value": { "stringValue": "my.service" } }
        ]
      },
      "scopeLogs": [
        {
          "scope": {
            "name": "my.library",
            "version": "1.0.0",
            "attributes": [
              { "key": "my.scope.attribute", "value": { "stringValue": "some scope attribute" } }
            ]
          },
          "logRecords": [
            {
              "timeUnixNano": "1544712660300000000",
              "observedTimeUnixNano": "1544712660300000000",
              "severityNumber": 10,
              "severityText": "Information",
              "traceId": "5B8EFFF798038103D269B633813FC60C",
              "spanId": "EEE19B7EC3C1B174",
              "body": { "stringValue": "Example log record" },
              "attributes": [
                { "key": "string.attribute", "value": { "stringValue": "some string" } },
                { "key": "boolean.attribute", "value": { "boolValue": true } },
                { "key": "int.attribute", "value": { "intValue": "10" } },
                { "key": "double.attribute", "value": { "doubleValue": 637.704 } },
                { "key": "array.attribute", "value": { "arrayValue": { "values": [
                    { "stringValue": "many" }, { "stringValue": "values" } ] } } },
                { "key": "map.attribute", "value": { "kvlistValue": { "values": [
                    { "key": "some.map.key", "value": { "stringValue": "some value" } } ] } } }
              ]
            }
          ]
        }
      ]
    }
  ]
}"#;

#[test]
fn the_shape_of_the_specification_is_read() {
    let lines = told(|each| parse_json(EXAMPLE.as_bytes(), each));
    let expected = "Example log record | 1544712660300000000 | Info \
        | string.attribute=\"some string\" | boolean.attribute=true | int.attribute=10 \
        | double.attribute=637.704 | array.attribute=[\"many\",\"values\"] \
        | map.attribute={\"some.map.key\":\"some value\"} \
        | trace_id=\"5b8efff798038103d269b633813fc60c\" | span_id=\"eee19b7ec3c1b174\" \
        | otel.scope.name=\"my.library\" | otel.scope.version=\"1.0.0\" \
        | my.scope.attribute=\"some scope attribute\" | service.name=\"my.service\"";
    assert_eq!(lines, [expected]);
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value.into()),
    }
}

#[test]
fn protobuf_of_the_other_writer_is_read() {
    let nested = serde_json::json!({"a": [1, 2.5, null, true, "x"], "b": {}});
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![
                    text("container.id", "abc"),
                    text("k8s.pod.name", "web-0"),
                    text("k8s.namespace.name", "prod"),
                    text("container.image.name", "web"),
                    text("host.name", "collector"),
                    text("service.name", "front"),
                ],
            }),
            scope_logs: vec![ScopeLogs {
                scope: None,
                log_records: vec![
                    LogRecord {
                        observed_time_unix_nano: 5,
                        severity_number: 17,
                        severity_text: "loud".into(),
                        body: Some("one".into()),
                        attributes: vec![text("log.iostream", "stderr"), text("host.name", "box")],
                        flags: 1,
                        trace_id: vec![0xab; 16],
                        ..LogRecord::default()
                    },
                    LogRecord {
                        time_unix_nano: 6,
                        severity_text: "debug".into(),
                        body: Some(nested.into()),
                        dropped_attributes_count: 3,
                        event_name: "started".into(),
                        ..LogRecord::default()
                    },
                    LogRecord::default(),
                ],
            }],
        }],
    };
    let lines = told(|each| parse_protobuf(&request.encode_to_vec(), each));
    let rest = "abc | web | prod | web-0";
    let trace = "ab".repeat(16);
    assert_eq!(
        lines,
        [
            format!(
                "one | 5 | Error | stderr | box | {rest} | severity_text=\"loud\" \
                 | trace_id=\"{trace}\" | trace_flags=1 | service.name=\"front\""
            ),
            format!(
                "{{\"a\":[1,2.5,null,true,\"x\"],\"b\":{{}}}} | 6 | Debug | collector | {rest} \
                 | event.name=\"started\" | otel.dropped_attributes_count=3 | service.name=\"front\""
            ),
            format!(" | collector | {rest} | service.name=\"front\""),
        ]
    );
}

#[test]
fn json_is_read_leniently() {
    let body = r#"{"resource_logs":[{"scope_logs":[{"log_records":[
        {"time_unix_nano":7,"severity_number":"SEVERITY_NUMBER_WARN2","body":{"int_value":3},
         "attributes":[{"key":"a","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"YQ=="}},
         {"key":"c","value":null},{"key":"d"}]},
        {"timeUnixNano":null,"body":null}]}, {"logRecords":null}],"resource":null}]}"#;
    let lines = told(|each| parse_json(body.as_bytes(), each));
    assert_eq!(
        lines,
        [
            "3 | 7 | Warn | a=\"NaN\" | b=\"YQ==\" | c=null | d=null",
            ""
        ]
    );
    assert_eq!(told(|each| parse_json(b"{}", each)), [""; 0]);
    assert_eq!(told(|each| parse_protobuf(b"", each)), [""; 0]);
}

#[test]
fn faults_name_the_byte() {
    let check = |body: &str, byte: usize, reason: InvalidReason| {
        let fault = parse_json(body.as_bytes(), &mut |_| {}).unwrap_err();
        assert_eq!(
            (fault.byte, fault.reason()),
            (byte, reason),
            "{body}: {fault}"
        );
    };
    check("{", 0, InvalidReason::NotJson);
    check(r#"{"resourceLogs":[{]}"#, 18, InvalidReason::NotJson);
    check(r#"{"resourceLogs":{}}"#, 16, InvalidReason::NotAnEvent);
    check(
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"x"}]}]}]}"#,
        62,
        InvalidReason::NotAnEvent,
    );
    check(&"[".repeat(128), 127, InvalidReason::TooDeep);
    let value = format!(
        "{}{}",
        r#"{"arrayValue":{"values":["#.repeat(33),
        "]}}".repeat(33)
    );
    let body =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#);
    check(&body, 868, InvalidReason::TooDeep);

    let mut any = AnyValue::from(serde_json::json!(1));
    for _ in 0..40 {
        any = AnyValue {
            value: Some(Any::Array(ArrayValue { values: vec![any] })),
        };
    }
    let log_record = LogRecord {
        body: Some(any),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: None,
            scope_logs: vec![ScopeLogs {
                scope: None,
                log_records: vec![log_record],
            }],
        }],
    };
    let fault = parse_protobuf(&request.encode_to_vec(), &mut |_| {}).unwrap_err();
    assert_eq!(fault.reason(), InvalidReason::TooDeep);
    let many = Resource {
        attributes: vec![KeyValue::default(); MAX_ATTRIBUTES + 1],
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(many),
            scope_logs: Vec::new(),
        }],
    };
    let fault = parse_protobuf(&request.encode_to_vec(), &mut |_| {}).unwrap_err();
    assert_eq!(fault.reason(), InvalidReason::TooLong);
    assert_eq!(
        parse_protobuf(&[0x10, 1, 0x0a, 9], &mut |_| {})
            .unwrap_err()
            .to_string(),
        "a part of a message is longer than what is there, at byte 4"
    );
}

#[test]
fn what_is_written_is_read_again() {
    let (known, unknown) = (container(), ContainerRef::default());
    let mut other = record(&unknown, "two\u{1b}");
    other.severity = None;
    other.fields = "";
    let records = [record(&known, "one"), record(&known, ""), other];
    let id = "ab".repeat(32);
    let first = |text: &str| {
        format!(
            "{text} | 1700000000123456789 | Warn | stderr | box | web/1 | {id} | web | registry/web:1.4 \
             | prod | web-0 | log.record.uid=\"7\" | answer=42 | user=\"a\\\"b\" \
             | deep={{\"x\":[1,null]}} | otel.scope.name=\"quaywatch\" \
             | com.docker.compose.project=\"shop\" | com.docker.compose.service=\"front\""
        )
    };
    let expected = [
        first("one"),
        first(""),
        "two\u{1b} | 1700000000123456789 | stderr | box | web/1 | log.record.uid=\"7\" \
         | otel.scope.name=\"quaywatch\""
            .to_owned(),
    ];
    let body = encode_protobuf(&records);
    assert_eq!(told(|each| parse_protobuf(&body, each)), expected);
    let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
    assert_eq!(request.resource_logs.len(), 2);
    let body = encode_json(&records);
    assert_eq!(told(|each| parse_json(&body, each)), expected);
}

#[test]
fn what_lines_share_is_bounded() {
    let shared = "x".repeat(100_000);
    let request = |lines: usize| ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text("a", &shared)],
            }),
            scope_logs: vec![ScopeLogs {
                scope: None,
                log_records: vec![LogRecord::default(); lines],
            }],
        }],
    };
    let read = |lines: usize| parse_protobuf(&request(lines).encode_to_vec(), &mut |_| {});
    assert_eq!(read(60), Ok(60));
    assert_eq!(read(80).unwrap_err().reason(), InvalidReason::TooLong);
}

#[test]
fn answers_are_as_the_specification_says() {
    assert_eq!(answer_protobuf(0, ""), b"");
    assert_eq!(answer_json(0, ""), "{}");
    let answer = ExportLogsServiceResponse::decode(&answer_protobuf(2, "full")[..]).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_log_records, 2);
    assert_eq!(
        answer_json(2, "full"),
        r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"full"}}"#
    );
    assert_eq!(status_protobuf(3, "a"), b"\x08\x03\x12\x01a");
    assert_eq!(status_json(3, "a\""), r#"{"code":3,"message":"a\""}"#);
}

#[test]
fn the_stream_is_one_of_two() {
    let mut received = Received::default();
    attributes::put(
        &mut received,
        attributes::Names::OpenTelemetry,
        "log.iostream",
        Value::Json("\"stdout\"".into()),
    );
    assert_eq!(received.stream, Some(Stream::Stdout));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>(), nanos in 1..i64::MAX) {
        let container = container();
        let mut record = record(&container, &text);
        record.time = Timestamp::from_nanos(nanos);
        for is_json in [true, false] {
            let mut seen = 0;
            let mut each = |received: Received<'_>| {
                assert_eq!(&*received.text, text.as_bytes());
                assert_eq!(received.time, Some(record.time));
                seen += 1;
            };
            if is_json {
                parse_json(&encode_json(&[record]), &mut each).unwrap();
            } else {
                parse_protobuf(&encode_protobuf(&[record]), &mut each).unwrap();
            }
            prop_assert_eq!(seen, 1);
        }
    }

    /// What `prost` reads, this reader reads, and it counts the same lines.
    #[test]
    fn damaged_messages_never_panic(at in 0..400_usize, byte in any::<u8>()) {
        let container = container();
        let mut body = encode_protobuf(&[record(&container, "one"), record(&container, "two")]);
        let length = body.len();
        body[at % length] = byte;
        let count = parse_protobuf(&body, &mut |_| {});
        if let Ok(other) = ExportLogsServiceRequest::decode(&body[..]) {
            let scopes = other.resource_logs.iter().flat_map(|of| &of.scope_logs);
            let others: usize = scopes.map(|of| of.log_records.len()).sum();
            prop_assert_eq!(count, Ok(others));
        }
        let mut body = encode_json(&[record(&container, "one")]);
        let length = body.len();
        body[at % length] = byte;
        let _fault = parse_json(&body, &mut |_| {});
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _fault = parse_protobuf(&bytes, &mut |_| {});
        let _fault = parse_json(&bytes, &mut |_| {});
    }
}
