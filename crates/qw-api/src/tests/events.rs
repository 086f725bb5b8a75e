//! Stored events, containers, overview: what goes in comes out.

use std::collections::BTreeSet;

use qw_event::{Priority, SourceId};
use qw_pipeline::{CancellationToken, NoticeLevel, Pipeline};
use serde_json::{Value, json};

use super::harness::{Harness, Proof, encode};
use crate::HubOptions;

fn ids(list: &Value) -> Vec<u64> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_hold_every_event_once_in_both_orders() {
    let mut harness = Harness::new();
    let events: Vec<(i64, &str, &str)> = (0..25).map(|ago| (ago / 3, "Rule", "web")).collect();
    harness.store(&events);
    let reader = harness.reader();
    for order in ["asc", "desc"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/events?limit=4&order={order}&cursor={cursor}");
            let page = harness.get(&path, &reader).await.expect(200).json();
            assert_eq!(page["complete"], true);
            seen.extend(ids(&page));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(seen.len(), 25, "{order}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 25, "{order}");
    }
}

#[tokio::test]
async fn an_event_is_the_contracts_event() {
    let mut harness = Harness::new();
    let stored = harness.store(&[(5, "Terminal shell in container", "web")]);
    let reader = harness.reader();
    let id = stored[0].id;
    let event = harness
        .get(&format!("/api/events/{id}"), &reader)
        .await
        .expect(200)
        .json();
    assert_eq!(event["id"], id.to_string());
    assert_eq!(event["rule"], "Terminal shell in container");
    assert_eq!(event["priority"], "Notice");
    assert_eq!(event["container"]["name"], "web");
    assert_eq!(event["output_fields"]["proc.name"], "bash");
    assert_eq!(
        harness.get("/api/events/999999", &reader).await.code(),
        "not_found"
    );
    assert_eq!(
        harness.get("/api/events/x", &reader).await.code(),
        "invalid_parameter"
    );
}

#[tokio::test]
async fn queries_and_times_select() {
    let mut harness = Harness::new();
    harness.store(&[
        (10, "Shell", "web"),
        (100, "Write", "db"),
        (4_000, "Shell", "db"),
    ]);
    let reader = harness.reader();
    for (parameters, count) in [
        ("", 2),
        ("start=now-2h", 3),
        ("start=now-2h&end=now-1h", 1),
        ("start=now-2h&query=rule:Shell", 2),
        ("start=now-2h&query=container.name:db%20and%20rule:Shell", 1),
        ("query=rule:Nothing", 0),
    ] {
        let page = harness
            .get(&format!("/api/events?{parameters}"), &reader)
            .await
            .expect(200);
        assert_eq!(ids(&page.json()).len(), count, "{parameters}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let harness = Harness::new();
    let reader = harness.reader();
    for (path, code) in [
        ("/api/events?limit=0", "invalid_parameter"),
        ("/api/events?limit=1001", "invalid_parameter"),
        ("/api/events?limit=ten", "invalid_parameter"),
        ("/api/events?limt=10", "invalid_parameter"),
        ("/api/events?start=yesterday", "invalid_parameter"),
        ("/api/events?start=now&end=now-1h", "invalid_parameter"),
        ("/api/events?order=up", "invalid_parameter"),
        ("/api/events?cursor=%00", "invalid_parameter"),
        ("/api/events?query=rule:", "query_syntax"),
        ("/api/events/histogram?step=0s", "invalid_parameter"),
        ("/api/events/export?format=xml", "invalid_parameter"),
        (
            "/api/containers/web/logs?priority=urgent",
            "invalid_parameter",
        ),
        ("/api/stream?last_event_id=x", "invalid_parameter"),
        ("/api/nothing", "not_found"),
        ("/api/containers/nobody", "not_found"),
        ("/api/prom/query?query=up", "not_found"),
    ] {
        let answer = harness.get(path, &reader).await;
        assert_eq!(answer.code(), code, "{path}");
    }
    let problem = harness
        .get("/api/events?query=rule:a%20and%20(", &reader)
        .await
        .json();
    assert_eq!(problem["position"], 11);
    assert!(problem["length"].is_u64());
    let put = harness
        .call(http::Method::PUT, "/api/events", &reader, None)
        .await;
    assert_eq!(put.code(), "method_not_allowed");
    assert!(put.headers.contains_key("allow"));
}

#[tokio::test]
async fn histograms_are_filled_and_add_up() {
    let mut harness = Harness::new();
    harness.store(&[(10, "A", "web"), (70, "A", "web"), (80, "B", "web")]);
    let reader = harness.reader();
    let path = "/api/events/histogram?start=now-5m&end=now&step=60s";
    let histogram = harness.get(path, &reader).await.expect(200).json();
    assert_eq!(histogram["step_seconds"], 60);
    assert_eq!(histogram["total"], 3);
    let buckets = histogram["buckets"].as_array().unwrap();
    assert_eq!(buckets.len(), 5);
    let total: u64 = buckets
        .iter()
        .map(|bucket| bucket["total"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 3);
    assert_eq!(buckets[0]["by_priority"].as_object().unwrap().len(), 8);
    let picked = harness
        .get("/api/events/histogram?start=now-24h", &reader)
        .await
        .json();
    assert!(picked["buckets"].as_array().unwrap().len() <= 120);
}

#[tokio::test]
async fn facets_count_values() {
    let mut harness = Harness::new();
    harness.store(&[(1, "A", "web"), (2, "A", "web"), (3, "B", "db")]);
    let reader = harness.reader();
    let facets = harness
        .get(
            "/api/events/facets?fields=rule,container.name&limit=1",
            &reader,
        )
        .await;
    let facets = facets.expect(200).json();
    assert_eq!(
        facets["facets"],
        json!([
            { "field": "rule", "values": [{ "value": "A", "count": 2 }], "other": 1 },
            { "field": "container.name", "values": [{ "value": "web", "count": 2 }], "other": 1 },
        ])
    );
    let all = harness
        .get("/api/events/facets", &reader)
        .await
        .expect(200)
        .json();
    assert_eq!(all["facets"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn queries_are_checked_and_completed() {
    let mut harness = Harness::new();
    harness.store(&[
        (1, "Terminal shell", "web"),
        (2, "Test", "web"),
        (3, "Write", "db"),
    ]);
    let reader = harness.reader();
    let check = |query: &str| format!("/api/query/check?query={}", encode(query));
    let good = harness.get(&check("rule:shell"), &reader).await.json();
    assert_eq!(good, json!({ "valid": true }));
    let bad = harness.get(&check("rule:("), &reader).await.json();
    assert_eq!(bad["valid"], false);
    assert!(bad["message"].is_string() && bad["position"].is_u64() && bad["length"].is_u64());

    let values = harness
        .get("/api/query/values?field=rule&prefix=te", &reader)
        .await
        .json();
    let items: BTreeSet<&str> = values["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item.as_str().unwrap())
        .collect();
    assert_eq!(items, BTreeSet::from(["Terminal shell", "Test"]));

    let fields = harness
        .get("/api/query/fields", &reader)
        .await
        .expect(200)
        .json();
    let names: Vec<&str> = fields["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    for name in ["rule", "priority", "container.name", "proc.name"] {
        assert_eq!(
            names.iter().filter(|known| **known == name).count(),
            1,
            "{name}"
        );
    }
}

#[tokio::test]
async fn exports_hold_exactly_what_is_selected() {
    let mut harness = Harness::new();
    let events: Vec<(i64, &str, &str)> = (0..2_500)
        .map(|ago| (ago, if ago % 2 == 0 { "Even" } else { "Odd" }, "web"))
        .collect();
    harness.store(&events);
    let reader = harness.reader();
    let path = |rest: &str| format!("/api/events/export?query=rule:Even&start=now-2h&{rest}");

    let csv = harness
        .get(&path("columns=id,rule,container.name"), &reader)
        .await
        .expect(200);
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let disposition = csv.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"quaywatch-events-2027-01-15.csv"));
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines[0], "id,rule,container.name");
    assert_eq!(lines.len(), 1_251);
    assert!(lines[1..].iter().all(|line| line.ends_with(",Even,web")));

    let json = harness
        .get(&path("format=json"), &reader)
        .await
        .expect(200)
        .json();
    assert_eq!(json.as_array().unwrap().len(), 1_250);
    let ndjson = harness
        .get(&path("format=ndjson&limit=7&order=asc"), &reader)
        .await
        .expect(200);
    let times: Vec<String> = ndjson
        .text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["time"].to_string())
        .collect();
    assert_eq!(times.len(), 7);
    assert!(times.is_sorted());

    let none = "/api/events/export?query=rule:Nothing&format=json";
    assert_eq!(
        harness.get(none, &reader).await.expect(200).json(),
        json!([])
    );
    let none = "/api/events/export?query=rule:Nothing&columns=rule";
    assert_eq!(
        harness.get(none, &reader).await.expect(200).text,
        "rule\r\n"
    );
}

#[tokio::test]
async fn exports_are_compressed_to_their_end() {
    use std::io::Read;

    let mut harness = Harness::new();
    let events: Vec<(i64, &str, &str)> = (0..1_500).map(|_| (1, "Rule", "web")).collect();
    harness.store(&events);
    let path = "/api/events/export?columns=rule";
    let mut request = super::harness::request(http::Method::GET, path, &harness.reader(), None);
    request
        .headers_mut()
        .insert("accept-encoding", "gzip".parse().unwrap());
    let response = tower::ServiceExt::oneshot(harness.router.clone(), request)
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*bytes)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.lines().count(), 1_501);
}

#[tokio::test]
async fn containers_of_engine_and_events_are_one_list() {
    let mut harness = Harness::new();
    harness.know("web", "running");
    harness.know("old", "exited");
    harness.store(&[(1, "A", "web"), (2, "A", "web"), (3, "B", "gone")]);
    let reader = harness.reader();
    let list = harness
        .get("/api/containers", &reader)
        .await
        .expect(200)
        .json();
    let items = list["items"].as_array().unwrap();
    let names: Vec<&str> = items
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["gone", "old", "web"]);
    assert_eq!(items[0]["state"], "unknown");
    assert_eq!(items[1]["events"]["total"], 0);
    assert_eq!(items[1]["last_event"], Value::Null);
    assert_eq!(items[2]["state"], "running");
    assert_eq!(items[2]["events"]["total"], 2);
    assert_eq!(items[2]["events"]["by_priority"]["Notice"], 2);
    assert!(items[2]["event_rate_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(items[2].get("mounts"), None);

    let running = harness
        .get("/api/containers?state=running", &reader)
        .await
        .json();
    assert_eq!(running["items"].as_array().unwrap().len(), 1);
    let found = harness
        .get("/api/containers?search=GON", &reader)
        .await
        .json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = harness
            .get(&format!("/api/containers?limit=1&cursor={cursor}"), &reader)
            .await;
        let page = page.expect(200).json();
        seen.push(page["items"][0]["name"].as_str().unwrap().to_owned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, ["gone", "old", "web"]);
}

#[tokio::test]
async fn a_container_is_found_by_id_prefix_and_name() {
    let mut harness = Harness::new();
    harness.know("web", "running");
    harness.store(&[(1, "A", "web"), (2, "A", "gone"), (9, "B", "gone")]);
    let reader = harness.reader();
    let web = format!("{:0<64}", "web");
    for id in [web.as_str(), web.get(..12).unwrap(), "web"] {
        let container = harness
            .get(&format!("/api/containers/{id}"), &reader)
            .await
            .expect(200);
        let container = container.json();
        assert_eq!(container["id"], web);
        assert_eq!(container["mounts"], json!([]));
    }
    let gone = harness
        .get("/api/containers/gone", &reader)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&gone["state"], &gone["events"]["total"]),
        (&json!("unknown"), &json!(2))
    );
    for id in [web.as_str(), web.get(..12).unwrap(), "web"] {
        let logs = harness
            .get(&format!("/api/containers/{id}/logs"), &reader)
            .await
            .expect(200);
        assert_eq!(ids(&logs.json()).len(), 1, "{id}");
    }
}

#[tokio::test]
async fn one_priority_is_the_least_urgent_and_a_list_is_exact() {
    let mut harness = Harness::new();
    let mut events = Vec::new();
    for priority in Priority::ALL {
        let mut event =
            crate::event_view::tests::event(0, harness.now(), priority.as_str(), "web").event;
        event.priority = priority;
        events.push(event);
    }
    harness.store_events(events);
    let reader = harness.reader();
    for (priority, expected) in [
        (
            "Warning",
            vec!["Alert", "Critical", "Emergency", "Error", "Warning"],
        ),
        ("warning,debug", vec!["Debug", "Warning"]),
        ("Debug,", vec!["Debug"]),
    ] {
        let path = format!("/api/containers/web/logs?priority={priority}");
        let page = harness.get(&path, &reader).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        let rules: BTreeSet<&str> = items
            .iter()
            .map(|item| item["rule"].as_str().unwrap())
            .collect();
        assert_eq!(
            rules.into_iter().collect::<Vec<_>>(),
            expected,
            "{priority}"
        );
    }
}

#[tokio::test]
async fn the_overview_adds_up() {
    let mut harness = Harness::new();
    harness.know("web", "running");
    harness.store(&[(1, "A", "web"), (2, "A", "web"), (3, "B", "gone")]);
    let now = harness.now();
    harness
        .state
        .parts
        .notices
        .raise(now, NoticeLevel::Warning, "falco", "dropped 3 events");
    let overview = harness
        .get("/api/overview", &harness.reader())
        .await
        .expect(200)
        .json();
    assert_eq!(overview["events_total"], 3);
    assert_eq!(overview["by_priority"]["Notice"], 3);
    assert_eq!(overview["by_category"]["process"], 3);
    assert_eq!(overview["top_rules"][0]["rule"], "A");
    assert_eq!(overview["top_rules"][0]["count"], 2);
    assert_eq!(overview["top_containers"][0]["name"], "web");
    assert_eq!(overview["containers"], json!({ "running": 1, "total": 2 }));
    assert_eq!(overview["hosts"], 1);
    assert_eq!(overview["images"], 1);
    assert_eq!(overview["histogram"]["total"], 3);
    assert_eq!(overview["store"]["events"], 3);
    assert_eq!(
        overview["notices"][0],
        json!({ "time": now, "level": "warning", "text": "dropped 3 events", "source": "falco" })
    );
    assert!((overview["event_rate_per_second"].as_f64().unwrap() - 0.05).abs() < 1e-9);
    assert_eq!(overview["demo"], false);
}

#[tokio::test]
async fn sources_tell_what_became_of_their_records() {
    let harness = Harness::new();
    let id = SourceId::new("docker:falco");
    let status = harness
        .state
        .parts
        .sources
        .register(&id, "docker", "container falco");
    let now = harness.now();
    status.received(2, 100, now);
    status.invalid(qw_event::InvalidReason::NotJson, b"Falco version");
    status.error("engine away", now);
    let list = harness
        .get("/api/sources", &harness.reader())
        .await
        .expect(200)
        .json();
    let item = &list["items"][0];
    assert_eq!(item["id"], "docker:falco");
    assert_eq!(item["state"], "starting");
    assert_eq!(item["received_total"], 2);
    assert_eq!(item["outcomes"]["invalid"]["not_json"], 1);
    assert_eq!(item["outcomes"]["dropped"]["queue_full"], 0);
    assert_eq!(item["last_error"]["text"], "engine away");
}

#[tokio::test]
async fn a_test_event_passes_through_the_whole_pipeline() {
    let mut running = None;
    let mut stop = None;
    let harness = Harness::with(
        |parts| {
            let mut pipeline = Pipeline::new(
                std::sync::Arc::clone(&parts.records),
                parts.inventory.index(),
                parts.sources.clone(),
                parts.notices.clone(),
                qw_pipeline::Options::default(),
            );
            pipeline.observe(parts.hub.observer());
            let id = SourceId::new("internal:test");
            parts.test_events = Some(pipeline.intake(&id, "test", "test events"));
            let (token, clock) = (
                CancellationToken::new(),
                std::sync::Arc::clone(&parts.clock),
            );
            stop = Some(token.clone());
            running = Some(std::thread::spawn(move || pipeline.run(&token, || clock())));
        },
        HubOptions::default(),
    );
    harness.know("web", "running");
    let session = harness.sign_in().await;
    let sent = harness
        .post("/api/events/test", &session, r#"{"container":"web"}"#)
        .await;
    let id = sent.expect(202).json()["id"].as_str().unwrap().to_owned();
    let event = harness
        .get(&format!("/api/events/{id}"), &session)
        .await
        .expect(200)
        .json();
    assert_eq!(event["rule"], "Quaywatch test event");
    assert_eq!(event["source"], "internal");
    assert_eq!(event["container"]["id"], format!("{:0<64}", "web"));
    harness
        .post("/api/events/test", &session, "{}")
        .await
        .expect(202);
    let sources = harness.get("/api/sources", &session).await.json();
    assert_eq!(sources["items"][0]["outcomes"]["stored"], 2);
    assert_eq!(sources["items"][0]["received_total"], 2);
    drop((harness, stop));
    running.unwrap().join().unwrap();
}

#[tokio::test]
async fn probes_and_documents_are_for_everyone() {
    let harness = Harness::new();
    let nobody = Proof::default();
    assert_eq!(
        harness.get("/healthz", &nobody).await.expect(200).text,
        "ok"
    );
    assert_eq!(
        harness.get("/readyz", &nobody).await.expect(200).json()["ready"],
        true
    );
    let document = harness
        .get("/api/openapi.json", &nobody)
        .await
        .expect(200)
        .json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = harness.get("/docs/", &nobody).await.expect(200);
    assert!(page.text.contains("swagger"));
    for text in ["http://", "https://", "//unpkg", "//cdn"] {
        assert!(
            !page.text.contains(text),
            "the page reaches out: {text}\n{}",
            page.text
        );
    }
    let answer = harness
        .get("/docs/swagger-initializer.js", &nobody)
        .await
        .expect(200);
    assert!(answer.text.contains("/api/openapi.json"), "{}", answer.text);
}

#[tokio::test]
async fn answers_carry_safe_headers_and_are_compressed_when_asked() {
    let mut harness = Harness::new();
    let events: Vec<(i64, &str, &str)> = (0..50).map(|ago| (ago, "Rule", "web")).collect();
    harness.store(&events);
    let reader = harness.reader();
    let mut request = super::harness::request(http::Method::GET, "/api/events", &reader, None);
    request
        .headers_mut()
        .insert("accept-encoding", "gzip".parse().unwrap());
    let response = tower::ServiceExt::oneshot(harness.router.clone(), request)
        .await
        .unwrap();
    let headers = response.headers();
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    let refused = harness.get("/api/events", &Proof::default()).await;
    assert_eq!(refused.headers["x-content-type-options"], "nosniff");
    assert!(
        refused.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
}

#[tokio::test]
async fn the_metrics_know_each_route_by_its_template() {
    let harness = Harness::new();
    let reader = harness.reader();
    harness.get("/api/events/12345", &reader).await;
    harness.get("/api/no/such/thing", &reader).await;
    let parts = &harness.state.parts;
    let text = parts.metrics.render(
        qw_exporters::Page::Main,
        qw_exporters::Format::negotiate(None),
        harness.now(),
        &qw_exporters::Inputs {
            sources: &parts.sources,
            pipeline: &parts.pipeline,
            store: &parts.records.statistics(),
            streams: parts.hub.snapshot(),
            profiles: parts.profiles.lock().stats(),
            alerts: &parts.desk.counts(),
            sinks: &[],
            routes: &[],
            usage: &qw_exporters::UsageSnapshot::default(),
            process: None,
        },
    );
    assert!(
        text.contains(r#"route="/api/events/{id}",status="404""#),
        "{text}"
    );
    assert!(!text.contains("12345"));
}
