use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const RECEIVED: Timestamp = Timestamp::from_seconds(1_795_255_200);

/// Parses every line and compares what came out, one paragraph per line.
#[track_caller]
fn check(lines: &str, expected: Expect) {
    let mut parser = Parser::default();
    let mut seen = String::new();
    for line in lines.lines() {
        match parser.parse(line.as_bytes(), RECEIVED) {
            Ok(event) => describe(&event, &mut seen),
            Err(reason) => writeln!(seen, "{}", reason.name()).unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

fn describe(event: &Event, into: &mut String) {
    let container = serde_json::to_value(&*event.container).unwrap();
    let container: Vec<_> = container
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| *value != "")
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    writeln!(
        into,
        "{} {} {} {} [{}] {} host={} process={} tags={:?}\n  {:?}\n  {}",
        event.time,
        event.priority,
        event.category.as_str(),
        event.source,
        event.rule,
        container.join(" "),
        event.hostname,
        event.process_name,
        event.tags,
        event.output.chars().take(60).collect::<String>(),
        event.output_fields.get(),
    )
    .unwrap();
}

#[test]
fn system_call_events() {
    check(
        include_str!("../../test_data/falco/syscall.jsonl"),
        expect![[r#"
            2026-11-21T09:15:30.123456789Z Notice process syscall [Terminal shell in container] id=3ad7b26ded6d name=web image=docker.io/library/nginx:1.27 image_repository=docker.io/library/nginx image_tag=1.27 host=node-1 process=bash tags=["T1059", "container", "maturity_stable", "mitre_execution", "shell"]
              "09:15:30.123456789: Notice A shell was spawned in a containe"
              {"container.id":"3ad7b26ded6d","container.image.repository":"docker.io/library/nginx","container.image.tag":"1.27","container.name":"web","evt.arg.flags":"EXE_WRITABLE|EXE_LOWER_LAYER","evt.time.iso8601":1795252530123456789,"evt.type":"execve","k8s.ns.name":null,"k8s.pod.name":null,"proc.cmdline":"bash","proc.exepath":"/bin/bash","proc.name":"bash","proc.pname":"runc","proc.tty":34816,"user.loginuid":-1,"user.name":"root","user.uid":0}
            2026-11-21T09:15:31.000000001Z Warning file syscall [Read sensitive file untrusted] id=host name=host host=node-1 process=cat tags=["T1555", "container", "filesystem", "host", "maturity_stable", "mitre_credential_access"]
              "09:15:31.000000001: Warning Sensitive file opened for readin"
              {"container.id":"host","container.image.repository":"","container.image.tag":"","container.name":"host","evt.time":1795252531000000001,"evt.type":"openat","fd.name":"/etc/shadow","proc.aname[2]":"systemd","proc.cmdline":"cat /etc/shadow","proc.name":"cat","user.name":"root"}
            2026-11-21T09:15:32.5Z Critical network syscall [Redirect STDOUT/STDIN to Network Connection in Container] id=aabbccddeeff name=shop-api-1 image=registry:5000/shop/api:2.0 image_repository=registry:5000/shop/api image_tag=2.0 k8s_namespace=shop k8s_pod=api-7d9 host=node-2 process=sh tags=["container", "network", "process"]
              "09:15:32.500000000: Critical Redirect stdout/stdin to networ"
              {"container.id":"aabbccddeeff","container.image.repository":"registry:5000/shop/api","container.image.tag":"2.0","container.name":"shop-api-1","evt.time":1795252532500000000,"evt.type":"dup2","fd.name":"172.17.0.2:40000->203.0.113.9:4444","fd.sip":"203.0.113.9","fd.type":"ipv4","k8s.ns.name":"shop","k8s.pod.name":"api-7d9","proc.name":"sh"}
        "#]],
    );
}

#[test]
fn switched_off_odd_and_old_variants() {
    check(
        include_str!("../../test_data/falco/variants.jsonl"),
        expect![[r#"
            2026-11-21T09:15:30.000000007Z Warning network syscall [Only fields] id=0123456789ab image=registry:5000/app:2@sha256:ab image_repository=registry:5000/app image_tag=2 image_digest=sha256:ab host= process= tags=[]
              ""
              {"evt.time":1795252530000000007,"evt.type":"connect","container.image":"registry:5000/app:2@sha256:ab","container.id":"0123456789ab"}
            2026-11-21T10:00:00Z Error unknown syscall [Only output]  host= process= tags=[]
              "09:00:00.000000000: Error Something was written below /etc"
              {}
            2026-11-21T09:15:30Z Error unknown syscall [Number for priority]  host= process= tags=[]
              "only the message"
              {}
            2026-11-21T09:00:00Z Notice unknown syscall [Unknown priority]  host= process= tags=[]
              "text"
              {}
            2026-11-21T10:00:00Z Informational unknown syscall [Fields in a string]  host= process= tags=[]
              "x"
              {"proc.name":"a","b":1}
            2026-11-21T10:00:00Z Informational unknown syscall [Fields in an array]  host= process= tags=[]
              "x"
              {"output_fields":[1,{"a":[]}]}
            2026-11-21T10:00:00Z Debug process syscall [Twice]  host= process=c tags=["a", "b"]
              "x"
              {"proc.name":"b","proc.name":"c"}
            2026-11-21T10:00:00Z Notice file syscall [Escapes é😀]  host= process=half � tags=[]
              "tab\tquote\" half �."
              {"fd.name":"\/tmp\/x","proc.name":"half \ufffd"}
            2026-11-21T10:00:00Z Notice unknown syscall [Spaces]  host= process= tags=[]
              "x"
              { "a" : 1 }
            2026-11-21T09:15:30.5Z Alert file syscall [Inside a log file]  host= process= tags=[]
              "x"
              {}
        "#]],
    );
}

#[test]
fn notices_of_falco_about_itself() {
    check(
        include_str!("../../test_data/falco/internal.jsonl"),
        expect![[r#"
            2026-11-21T09:15:33Z Debug unknown internal [Falco internal: syscall event drop]  host=node-1 process= tags=[]
              "Falco internal: syscall event drop. 42 system calls dropped "
              {"ebpf_enabled":"1","n_drops":"42","n_drops_buffer_total":"42","n_evts":"1000"}
            2026-11-21T09:15:34Z Informational unknown internal [Falco internal: metrics snapshot]  host=node-1 process= tags=[]
              "Falco metrics snapshot"
              {"evt.source":"syscall","evt.time":1795252534000000000,"falco.cpu_usage_perc":1.5,"falco.num_evts":12345,"scap.engine_name":"modern_bpf"}
        "#]],
    );
}

#[test]
fn plugin_events() {
    check(
        include_str!("../../test_data/falco/plugins.jsonl"),
        expect![[r#"
            2026-11-21T09:15:35Z Notice unknown k8s_audit [Attach/Exec Pod] k8s_namespace=shop k8s_pod=api-7d9 host=control-1 process= tags=["k8s"]
              "09:15:35.000000000: Notice Attach/Exec to pod (user=admin po"
              {"evt.time":1795252535000000000,"ka.target.name":"api-7d9","ka.target.namespace":"shop","ka.target.resource":"pods","ka.target.subresource":"exec","ka.uri.param[command]":"sh","ka.user.name":"admin"}
            2026-11-21T09:15:36Z Warning unknown aws_cloudtrail [Console Login Without MFA]  host= process= tags=["aws", "cloud"]
              "09:15:36.000000000: Warning Console login without multi-fact"
              {"ct.name":"ConsoleLogin","ct.srcip":"203.0.113.5","ct.user":"root","evt.time":1795252536000000000}
        "#]],
    );
}

#[test]
fn falcosidekick_payloads() {
    check(
        include_str!("../../test_data/falco/falcosidekick.jsonl"),
        expect![[r#"
            2026-11-21T09:15:37.123Z Debug process syscall [Test rule]  host=node-3 process=falcosidekick tags=["example", "test"]
              "This is a test from falcosidekick"
              {"proc.name":"falcosidekick","proc.tty":1234,"team":"blue","uuid":"0b5c6f0e-9a3e-4f0a-8b1d-2f4b8f9d7a11"}
            2026-11-21T09:15:38Z Warning unknown syscall [In an envelope]  host=node-3 process= tags=[]
              "x"
              {"uuid":"1b5c6f0e-9a3e-4f0a-8b1d-2f4b8f9d7a11"}
        "#]],
    );
}

#[test]
fn lines_that_are_no_events_say_why() {
    check(
        include_str!("../../test_data/falco/startup.txt"),
        expect![[r"
        not_json
        not_json
        not_json
        not_json
        not_json
        not_json
        not_json
        not_json
        not_an_event
        not_an_event
        not_an_event
        not_an_event
        not_an_event
        not_an_event
        not_json
        not_json
    "]],
    );
}

#[test]
fn bounds_are_kept() {
    let mut parser = Parser::new(Limits {
        line_bytes: 100,
        depth: 4,
    });
    let mut check = |line: &str, expected| {
        assert_eq!(
            parser.parse(line.as_bytes(), RECEIVED).map(|_| ()),
            expected,
            "{line}"
        );
    };
    let event =
        |fields: &str| format!(r#"{{"rule":"r","priority":"Info","output_fields":{fields}}}"#);
    check(&event("{\"a\":[[1]]}"), Ok(()));
    check(&event("{\"a\":[[[1]]]}"), Err(InvalidReason::TooDeep));
    check(
        &event(&format!("{{\"a\":\"{}\"}}", "x".repeat(100))),
        Err(InvalidReason::TooLong),
    );
    check(&"[".repeat(100), Err(InvalidReason::TooDeep));
}

#[test]
fn invalid_utf8_is_replaced() {
    let line = b"{\"rule\":\"a\xffb\",\"priority\":\"Info\",\"output\":\"\xc3\",\"output_fields\":{\"x\":\"\xf0\x9f\"}}";
    let event = Parser::default().parse(line, RECEIVED).unwrap();
    assert_eq!(&*event.rule, "a\u{fffd}b");
    assert_eq!(event.output_fields.get(), "{\"x\":\"\u{fffd}\"}");
}

#[test]
fn a_byte_order_mark_and_line_ends_are_passed_over() {
    let line = "\u{feff}{\"rule\":\"r\",\"priority\":\"Info\"}\r\n";
    assert!(Parser::default().parse(line.as_bytes(), RECEIVED).is_ok());
}

#[test]
fn recurring_values_are_shared() {
    let mut parser = Parser::default();
    let line = include_str!("../../test_data/falco/syscall.jsonl")
        .lines()
        .next()
        .unwrap();
    let first = parser.parse(line.as_bytes(), RECEIVED).unwrap();
    let second = parser.parse(line.as_bytes(), RECEIVED).unwrap();
    assert!(Arc::ptr_eq(&first.rule, &second.rule));
    assert!(Arc::ptr_eq(&first.tags, &second.tags));
    assert!(Arc::ptr_eq(&first.container, &second.container));
}

#[test]
fn bodies_of_many_objects() {
    let check = |body: &str, expected: &[&str]| {
        let mut seen = Vec::new();
        Parser::default().parse_all(body.as_bytes(), RECEIVED, |result| {
            seen.push(match result {
                Ok(event) => event.rule.to_string(),
                Err((reason, text)) => format!("{}: {text}", reason.name()),
            });
        });
        assert_eq!(seen, expected, "{body}");
    };
    let (a, b) = (
        r#"{"rule":"a","priority":"Info"}"#,
        r#"{"rule":"b","priority":"Info"}"#,
    );
    check("", &[]);
    check(" \n ", &[]);
    check(a, &["a"]);
    check(&format!("{a}{b}"), &["a", "b"]);
    check(&format!("{a}\n\r\n{b}\n"), &["a", "b"]);
    check(&format!("[{a},\n{b}]"), &["a", "b"]);
    check(&format!("[]\n[{a}] {b}"), &["a", "b"]);
    check(&format!("[{a},1,{b}]"), &["a", "not_an_event: 1", "b"]);
    check(
        &format!("{a}\nstarting up\n{b}"),
        &["a", "not_json: starting up", "b"],
    );
    check(&format!("{{\"rule\":\n{b}"), &["not_json: {\"rule\":", "b"]);
    check(
        &format!("[{a},\n{b}\noops\n{a}"),
        &["a", "b", "not_json: oops", "a"],
    );
}

fn arbitrary_event() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|number| serde_json::json!(number)),
        any::<String>().prop_map(Into::into),
    ];
    let value = leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    });
    let key = prop_oneof![
        Just("container.id".to_owned()),
        Just("evt.time".to_owned()),
        Just("proc.name".to_owned()),
        any::<String>(),
    ];
    (prop::collection::hash_map(key, value.clone(), 0..8), value, any::<String>()).prop_map(
        |(fields, tags, output)| {
            let fields: serde_json::Map<_, _> = fields.into_iter().collect();
            serde_json::json!({
                "rule": "r", "priority": "Info", "output": output, "output_fields": fields, "tags": tags, "x": 1,
            })
            .to_string()
        },
    )
}

#[test]
fn tags_in_a_text_are_an_array_or_a_list() {
    for (text, expected) in [
        (r#""[\"b\",\"a\"]""#, vec!["a", "b"]),
        (r#""b, a""#, vec!["a", "b"]),
        (r#""[""#, vec!["["]),
        (r#""[a""#, vec!["[a"]),
    ] {
        let line = format!(r#"{{"rule":"r","priority":"Info","output":"","tags":{text}}}"#);
        let event = Parser::default().parse(line.as_bytes(), RECEIVED).unwrap();
        let tags: Vec<&str> = event.tags.iter().map(|tag| &**tag).collect();
        assert_eq!(tags, expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut parser = Parser::default();
        parser.parse(&bytes, RECEIVED).ok();
        parser.parse_all(&bytes, RECEIVED, |_| ());
    }

    #[test]
    fn a_damaged_event_is_answered(
        line in arbitrary_event(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = line.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(event) = Parser::default().parse(&bytes, RECEIVED) {
            let fields: serde_json::Value =
                serde_json::from_str(event.output_fields.get()).unwrap();
            prop_assert!(fields.is_object());
        }
    }

    #[test]
    fn fields_survive_to_the_letter(line in arbitrary_event()) {
        let event = Parser::default().parse(line.as_bytes(), RECEIVED).unwrap();
        let sent: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut kept: serde_json::Value =
            serde_json::from_str(event.output_fields.get()).unwrap();
        let sent = &sent["output_fields"];
        if sent.get("x").is_none() {
            prop_assert_eq!(&kept["x"], 1);
            kept.as_object_mut().unwrap().remove("x");
        }
        prop_assert_eq!(&kept, sent);
    }
}
