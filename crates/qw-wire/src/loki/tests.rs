use proptest::prelude::*;
use prost::Message as _;
use qw_log::Severity;

use super::{
    encode::{EntryAdapter, LabelPair, PushRequest, StreamAdapter, Time},
    *,
};
use crate::{
    Outgoing,
    outgoing::tests::{container, record},
};

fn told(result: impl FnOnce(&mut dyn FnMut(Received<'_>)) -> Result<usize, Fault>) -> Vec<String> {
    let mut list = Vec::new();
    let count = result(&mut |received| list.push(in_words(&received))).unwrap();
    assert_eq!(count, list.len());
    list
}

fn in_words(received: &Received<'_>) -> String {
    let container = &received.container;
    let mut words = vec![String::from_utf8_lossy(&received.text).into_owned()];
    words.extend(received.time.map(|time| time.as_nanos().to_string()));
    words.extend(received.severity.map(|severity| format!("{severity:?}")));
    words.extend(received.stream.map(|stream| stream.as_str().to_owned()));
    for text in [
        &received.hostname,
        &received.tag,
        &container.id,
        &container.name,
        &container.image,
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

fn request(labels: &str, line: &str) -> PushRequest {
    PushRequest {
        streams: vec![StreamAdapter {
            labels: labels.to_owned(),
            entries: vec![EntryAdapter {
                timestamp: Some(Time {
                    seconds: -1,
                    nanos: 5,
                }),
                line: line.to_owned(),
                structured_metadata: vec![
                    LabelPair {
                        name: "container_id".to_owned(),
                        value: "abc".to_owned(),
                    },
                    LabelPair {
                        name: "trace_id".to_owned(),
                        value: "0\"1".to_owned(),
                    },
                ],
            }],
        }],
    }
}

fn compressed(request: &PushRequest) -> Vec<u8> {
    let plain = request.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

#[test]
fn dockers_driver_is_read() {
    // Labels of Loki's Docker driver.
    let id = "0123456789abcdef".repeat(4);
    let labels = format!(
        r#"{{compose_project="shop", compose_service="web", container_name="shop-web-1", filename="/var/log/docker/{id}/json.log", host="box", source="stderr", service_name="web"}}"#
    );
    let body = compressed(&request(&labels, "hello\n"));
    assert_eq!(
        told(|each| parse_protobuf(&body, each)),
        [
            "hello | -999999995 | stderr | box | abc | shop-web-1 | trace_id=\"0\\\"1\" \
            | com.docker.compose.project=\"shop\" | com.docker.compose.service=\"web\" \
            | log.file.path=\"/var/log/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/json.log\" \
            | service.name=\"web\""
        ]
    );
}

#[test]
fn json_is_read_in_both_forms() {
    let body = r#"{"streams":[
        {"values":[["1700000000123456789","one \"q\"",{"detected_level":"error","user_id":"1"}],
                   ["5","two"]],
         "stream":{"namespace":"prod","pod":"web-0","container":"web","stream":"stdout","image":"web:1","nodename":"n"}},
        {"labels":"{container_name=\"old\", x=\"y\"}","entries":[{"ts":"1970-01-01T00:00:01Z","line":"three"}]},
        {"stream":{}}]}"#;
    assert_eq!(
        told(|each| parse_json(body.as_bytes(), each)),
        [
            "one \"q\" | 1700000000123456789 | Error | stdout | n | web | web:1 | prod | web-0 | user_id=\"1\"",
            "two | 5 | stdout | n | web | web:1 | prod | web-0",
            "three | 1000000000 | old | x=\"y\"",
        ]
    );
}

#[test]
fn faults_name_the_byte() {
    let check = |body: &str, byte: usize| {
        let fault = parse_json(body.as_bytes(), &mut |_| {}).unwrap_err();
        assert_eq!(fault.byte, byte, "{body}: {fault}");
    };
    check("{}", 0);
    check(r#"{"streams":{}}"#, 11);
    check(r#"{"streams":[{"values":[["x","y"]]}]}"#, 24);
    check(r#"{"streams":[{"values":[["1"]]}]}"#, 23);
    check(r#"{"streams":[{"values":[["1",2]]}]}"#, 28);
    check(r#"{"streams":[{"values":[["1","a",3]]}]}"#, 32);
    check(r#"{"streams":[{"labels":"{a"}]}"#, 22);
    let message = |labels: &str| {
        let plain = request(labels, "x").encode_to_vec();
        parse_push_request(&plain, &mut |_| {}).unwrap_err().byte
    };
    assert_eq!(message("{a"), 6);
}

#[test]
fn lies_about_lengths_are_refused_before_anything_is_allocated() {
    let fault = |body: &[u8]| parse_protobuf(body, &mut |_| {}).unwrap_err();
    let large = fault(&[0xff, 0xff, 0xff, 0x7f, 0]);
    assert_eq!(large.what, "the body is larger than 64 MiB");
    let more = fault(&[0x80, 0x80, 0x80, 0x08, 0, 0]);
    assert_eq!(
        (more.what, more.reason()),
        (
            "the body claims more bytes than it can hold",
            InvalidReason::TooLong
        )
    );
    assert_eq!(fault(b"").what, "the body is not compressed with snappy");
    assert_eq!(
        fault(&[5, 0, 0]).what,
        "the body is not compressed with snappy"
    );
    // The best that snappy does is within the ratio.
    let plain = vec![b'a'; 1 << 20];
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(decompress(&packed).unwrap(), plain);
}

#[test]
fn what_is_written_is_read_again() {
    let container = container();
    let mut out = record(&container, "two");
    out.stream = "stdout";
    out.severity = None;
    out.fields = "";
    let records = [record(&container, "one"), out, record(&container, "three")];
    let streams = group(&records, &[("job", "q"), ("cluster.name", "c")]);
    let labels: Vec<_> = streams[0]
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        labels,
        [
            "cluster_name=c",
            "compose_project=shop",
            "compose_service=front",
            "container=web",
            "host=box",
            "job=q",
            "namespace=prod",
            "pod=web-0",
            "stream=stderr",
        ]
    );
    let id = "ab".repeat(32);
    let rest = "cluster_name=\"c\" | com.docker.compose.project=\"shop\" | com.docker.compose.service=\"front\" | job=\"q\"";
    let line = |text: &str| {
        format!(
            "{text} | 1700000000123456789 | Warn | stderr | box | web/1 | {id} | web | registry/web:1.4 | prod \
             | web-0 | log_record_uid=\"7\" | answer=\"42\" | user=\"a\\\"b\" | deep=\"{{\\\"x\\\":[1,null]}}\" | {rest}"
        )
    };
    let expected = [
        line("one"),
        line("three"),
        format!(
            "two | 1700000000123456789 | stdout | box | web/1 | {id} | web | registry/web:1.4 | prod \
             | web-0 | log_record_uid=\"7\" | {rest}"
        ),
    ];
    assert_eq!(
        told(|each| parse_protobuf(&encode_protobuf(&streams), each)),
        expected
    );
    assert_eq!(
        told(|each| parse_json(&encode_json(&streams), each)),
        expected
    );
}

#[test]
fn structured_metadata_stays_within_lokis_bounds() {
    let container = container();
    let mut record = record(&container, "x");
    let many: Vec<_> = (0..200)
        .map(|number| format!("\"{number}.é\":\"{number}\""))
        .collect();
    let many = format!("{{{}}}", many.join(","));
    record.fields = &many;
    let streams = group(&[record], &[]);
    let body = encode_json(&streams);
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let metadata = value["streams"][0]["values"][0][2].as_object().unwrap();
    assert_eq!(metadata.len(), 120);
    assert_eq!(metadata["_0__"], "0");
}

#[test]
fn a_record_without_anything_has_a_label() {
    let nothing = qw_event::ContainerRef::default();
    let record = Outgoing {
        stream: "",
        hostname: "",
        ..record(&nothing, "x")
    };
    let streams = group(&[record, record], &[]);
    assert_eq!(streams[0].labels, [("job".into(), "quaywatch".into())]);
    assert_eq!(streams[0].records.len(), 2);
}

#[test]
fn severity_is_lokis_level() {
    let mut received = Received::default();
    put_labels(r#"{level="info"}"#, &mut received).unwrap();
    assert_eq!(received.severity, Some(Severity::Info));
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>(), nanos in any::<i64>()) {
        prop_assume!(!text.ends_with('\n'));
        let mut container = container();
        container.name = text.clone().into();
        let mut record = record(&container, &text);
        record.time = Timestamp::from_nanos(nanos);
        let streams = group(&[record], &[]);
        let mut check = |received: Received<'_>| {
            assert_eq!(&*received.text, text.as_bytes());
            assert_eq!(received.time, Some(record.time));
            if !text.is_empty() && !text.starts_with('/') {
                assert_eq!(received.container.name, text);
            }
        };
        prop_assert_eq!(parse_protobuf(&encode_protobuf(&streams), &mut check), Ok(1));
        prop_assert_eq!(parse_json(&encode_json(&streams), &mut check), Ok(1));
    }

    #[test]
    fn damaged_messages_never_panic(at in any::<usize>(), byte in any::<u8>()) {
        let request = request(r#"{a="b", container="web"}"#, "line");
        let mut plain = request.encode_to_vec();
        let length = plain.len();
        plain[at % length] = byte;
        let count = parse_push_request(&plain, &mut |_| {});
        if let (Ok(count), Ok(other)) = (count, PushRequest::decode(&plain[..])) {
            let others: usize = other.streams.iter().map(|stream| stream.entries.len()).sum();
            prop_assert_eq!(count, others);
        }
        let mut packed = compressed(&request);
        let length = packed.len();
        packed[at % length] = byte;
        let _fault = parse_protobuf(&packed, &mut |_| {});
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _fault = parse_protobuf(&bytes, &mut |_| {});
        let _fault = parse_push_request(&bytes, &mut |_| {});
        let _fault = parse_json(&bytes, &mut |_| {});
    }
}
