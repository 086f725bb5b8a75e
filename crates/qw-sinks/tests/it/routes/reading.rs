//! What a route reads, takes and makes of it.

use qw_event::{Priority, RecordKind};
use serde_json::json;

use super::log::Stores;
use crate::http_server::{Answer, HttpServer};

/// A collector that takes everything, and the events it has.
pub(super) fn splunk() -> HttpServer {
    HttpServer::start(|_| Answer::Say(200, String::new(), qw_wire::hec::SUCCESS.into()))
}

pub(super) fn texts(server: &HttpServer) -> Vec<String> {
    let mut texts = Vec::new();
    for request in server.requests() {
        qw_wire::hec::parse_events(&request.body, &mut |event| {
            texts.push(String::from_utf8_lossy(&event.text).into_owned());
        })
        .unwrap();
    }
    texts
}

#[test]
fn a_route_takes_what_it_names_and_changes_it() {
    let server = splunk();
    let stores = Stores::default();
    let to = json!({"type": "splunk_hec", "url": format!("http://{}", server.address),
        "http": {"compression": "none"}});
    let forwarding = stores.start(json!([{
        "name": "r", "match": "container.name:web -\"skip me\"", "min_priority": "informational",
        "sample": 2, "redact": ["jwt", "url-password"],
        "fields": {"add": {"site": "north"}, "remove": ["secret"]}, "to": to,
    }]));
    forwarding.commit_with(20, |record| {
        record.event.output_fields =
            serde_json::value::to_raw_value(&json!({"secret": 1, "kept": 2})).unwrap();
        match record.id.0 {
            4 => record.event.output = "skip me".into(),
            6 => record.event.priority = Priority::Debug,
            8 => record.event.kind = RecordKind::Event,
            10 => record.event.output = "line 10 postgres://u:hunter22@db/x".into(),
            _ => {}
        }
    });
    let status = forwarding.wait_for_all("r");
    let texts = texts(&server);
    assert_eq!(
        texts,
        [
            "line 2",
            "line 10 postgres://u:[redacted:url-password]@db/x",
            "line 12",
            "line 14",
            "line 16",
            "line 18",
            "line 20"
        ]
    );
    assert_eq!((status.sent, status.filtered, status.lag), (7, 13, 0));
    let body = String::from_utf8(server.requests()[0].body.clone()).unwrap();
    assert!(
        body.contains(r#""site":"north""#) && body.contains(r#""kept":2"#),
        "{body}"
    );
    assert!(!body.contains("secret"), "{body}");
    forwarding.stop();
    assert_eq!(stores.position("r"), 20);
}

#[test]
fn a_route_that_comes_late_reads_the_store_and_then_the_head() {
    let server = splunk();
    let stores = Stores::default();
    stores.log.add(12_000, |_| {});
    let to = json!({"type": "splunk_hec", "url": format!("http://{}", server.address),
        "http": {"compression": "none"}});
    let forwarding = stores.start(json!([
        {"name": "old", "from": "beginning", "batch": {"records": 3_000}, "to": to},
    ]));
    forwarding.commit(100);
    forwarding.wait_for_all("old");
    // From now on out of memory.
    let pages = stores.log.pages.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..20 {
        forwarding.commit(50);
        forwarding.wait_for_all("old");
    }
    assert_eq!(
        stores.log.pages.load(std::sync::atomic::Ordering::SeqCst),
        pages
    );
    // Someone forgets to tell: it is found in the store.
    stores.log.add(10, |_| {});
    let status = forwarding.wait_for_all("old");
    assert_eq!((status.sent, status.lost), (13_110, 0));
    let numbers: Vec<u64> = texts(&server)
        .iter()
        .filter_map(|text| super::number(text))
        .collect();
    assert_eq!(numbers, (1..=13_110).collect::<Vec<u64>>());
    forwarding.stop();
}

#[test]
fn what_retention_dropped_is_counted() {
    let server = splunk();
    let stores = Stores::default();
    // Every fourth is an event.
    stores.log.add(1_000, |record| {
        if record.id.0.is_multiple_of(4) {
            record.event.kind = RecordKind::Event;
        }
    });
    stores.log.drop_up_to(400);
    let to = json!({"type": "splunk_hec", "url": format!("http://{}", server.address)});
    let forwarding = stores.start(json!([
        {"name": "logs", "from": "beginning", "to": to},
        {"name": "all", "from": "beginning", "kinds": ["log", "event"], "to": to},
    ]));
    let logs = forwarding.wait_for_all("logs");
    // Of what is gone nobody knows what it was.
    assert_eq!((logs.sent, logs.lost), (450, 400));
    assert!(logs.notice.is_some());
    let all = forwarding.wait_for_all("all");
    assert_eq!(all.sent, 600);
    forwarding.stop();
}

#[test]
fn routes_come_and_go_at_run_time() {
    let server = splunk();
    let stores = Stores::default();
    let forwarding = stores.start(json!([]));
    let route = json!({"name": "late", "from": "beginning",
        "to": {"type": "splunk_hec", "url": format!("http://{}", server.address),
            "http": {"compression": "none"}}});
    forwarding.commit(3);
    let config = serde_json::from_value(route.clone()).unwrap();
    forwarding
        .runtime
        .block_on(forwarding.routes.put(config))
        .unwrap();
    forwarding.wait_for_all("late");
    let mut bad: qw_sinks::routes::RouteConfig = serde_json::from_value(route).unwrap();
    bad.matching = "((".into();
    let error = forwarding.runtime.block_on(forwarding.routes.put(bad));
    assert!(error.unwrap_err().to_string().contains("`match`"));
    forwarding.stop();
    // It is there after a restart, and goes on where it was.
    let forwarding = stores.start(json!([]));
    forwarding.commit(2);
    forwarding.wait_for_all("late");
    assert_eq!(texts(&server).len(), 5);
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("late"))
        .unwrap();
    assert!(answer.contains("200"), "{answer}");
    forwarding
        .runtime
        .block_on(forwarding.routes.remove("late"))
        .unwrap();
    assert!(forwarding.routes.statuses().is_empty());
    forwarding.stop();
    let forwarding = stores.start(json!([]));
    assert!(forwarding.routes.statuses().is_empty());
    forwarding.stop();
}

#[test]
fn what_is_wrong_is_named() {
    let stores = Stores::default();
    for (route, expected) in [
        (
            json!({"name": "a b", "to": {"type": "loki", "url": "http://x"}}),
            "`a b`",
        ),
        (
            json!({"name": "a", "to": {"type": "loki", "url": "x"}}),
            "to.url",
        ),
        (
            json!({"name": "a", "match": "(", "to": {"type": "loki", "url": "http://x"}}),
            "`match`",
        ),
        (
            json!({"name": "a", "to": {"type": "loki", "url": "http://x", "urll": 1}}),
            "urll",
        ),
        (
            json!({"name": "a", "sample": 0, "to": {"type": "otlp", "url": "http://x"}}),
            "sample",
        ),
        (
            json!({"name": "a", "to": {"type": "syslog", "address": "x"}}),
            "to.address",
        ),
        (
            json!({"name": "a", "to": {"type": "syslog", "address": "x:1", "tag": "{{.Nme}}"}}),
            "to.tag",
        ),
        (
            json!({"name": "a", "to": {"type": "file", "path": "relative"}}),
            "to.path",
        ),
        (
            json!({"name": "a", "to": {"type": "splunk_hec", "url": "http://x",
            "token": {"file": "/no/such"}}}),
            "to.token",
        ),
    ] {
        let error = stores.try_start(json!([route])).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
