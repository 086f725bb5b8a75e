//! One event's whole way: receiver → store → API, stream and metrics.

use std::time::Duration;

use qw_testkit::{http, wait_for};

use crate::{falco_line, server};

#[test]
fn event_is_found_in_api_stream_and_metrics() {
    let quaywatch = server().start();
    let mut stream = quaywatch.stream("/api/stream", Duration::from_secs(60));
    let first = stream
        .next_message()
        .unwrap()
        .expect("a stream begins with a heartbeat");
    assert_eq!(first.data["type"], "heartbeat");

    let answer = quaywatch.post_events(&falco_line(
        "web",
        1,
        "Terminal shell in container",
        "Notice",
    ));
    assert_eq!(answer.unwrap().status, 200);

    // The answer means: on disk. So the very next question finds it.
    let logs = quaywatch.get("/api/containers/web/logs");
    let [event] = &logs["items"].as_array().expect("items")[..] else {
        panic!("{logs}")
    };
    assert_eq!(event["rule"], "Terminal shell in container");
    assert_eq!(event["priority"], "Notice");
    assert_eq!(event["category"], "process");
    assert_eq!(event["container"]["name"], "web");
    assert_eq!(event["output_fields"]["number"], 1);

    let message = loop {
        let message = stream.next_message().unwrap().expect("the stream goes on");
        if message.data["type"] == "event" {
            break message;
        }
    };
    assert_eq!(message.data["payload"]["events"][0]["id"], event["id"]);
    assert!(
        message.id.is_some(),
        "messages carry the cursor to resume from"
    );

    let metrics = quaywatch.metrics("/metrics");
    let series = metrics
        .lines()
        .find(|line| line.starts_with("syscall_events_total{"))
        .unwrap_or_else(|| panic!("no syscall_events_total in:\n{metrics}"));
    for label in [
        r#"rule="Terminal shell in container""#,
        r#"priority="Notice""#,
        r#"container_name="web""#,
        r#"image_repository="registry.example/web""#,
        r#"process_name="sh""#,
        r#"rule_category="process""#,
        r#"k8s_namespace="none""#,
        r#"k8s_pod="none""#,
    ] {
        assert!(series.contains(label), "{label} is not in {series}");
    }
    assert!(series.ends_with(" 1"), "{series}");
    assert!(
        quaywatch
            .metrics("/metrics/falco")
            .contains("falcosecurity_falcosidekick_falco_events_total{")
    );
}

#[test]
fn every_record_has_exactly_one_outcome() {
    let quaywatch = server().start();
    let body = format!(
        "{}\nMon Nov 21 09:00:00 2026: Falco version 0.44.0\n{{\"no\":\"event\"}}\n{}\n",
        falco_line("web", 1, "A", "Warning"),
        falco_line("web", 2, "A", "Warning"),
    );
    let answer = quaywatch.post_events(&body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["stored"], 2);
    assert_eq!(answer.json()["invalid"], 2);

    let sources = quaywatch.get("/api/sources");
    let source = sources["items"]
        .as_array()
        .and_then(|items| items.iter().find(|source| source["received_total"] == 4))
        .unwrap_or_else(|| panic!("{sources}"));
    assert_eq!(source["outcomes"]["stored"], 2);
    assert_eq!(source["outcomes"]["invalid"]["not_json"], 1);
    assert_eq!(source["outcomes"]["invalid"]["not_an_event"], 1);
    let metrics = quaywatch.metrics("/metrics");
    let sum = |family: &str| {
        metrics
            .lines()
            .filter(|line| line.starts_with(&format!("{family}{{")))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>()
    };
    let (ended, received) = (
        sum("quaywatch_records_total"),
        sum("quaywatch_records_received_total"),
    );
    assert!(
        received > 0.0 && (ended - received).abs() < 0.5,
        "{ended} of {received}"
    );
}

#[test]
fn events_survive_a_restart_and_queries_select_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let quaywatch = server().data_dir(&data).start();
    let lines: Vec<String> = (0..200)
        .map(|number| {
            let (rule, priority) = if number % 10 == 0 {
                ("B", "Critical")
            } else {
                ("A", "Debug")
            };
            falco_line(
                if number % 2 == 0 { "web" } else { "db" },
                number,
                rule,
                priority,
            )
        })
        .collect();
    assert_eq!(
        quaywatch.post_events(&lines.join("\n")).unwrap().status,
        200
    );
    assert!(quaywatch.stop().success(), "SIGTERM is an orderly end");

    let quaywatch = server().data_dir(&data).start();
    let count = |query: &str| {
        let page = quaywatch.get(&format!("/api/events?limit=1000&query={query}"));
        page["items"].as_array().map(Vec::len).unwrap_or_default()
    };
    assert_eq!(count(""), 200);
    assert_eq!(count("rule:B"), 20);
    assert_eq!(count("priority%3E%3DCritical"), 20);
    assert_eq!(count("container.name:db"), 100);
    assert_eq!(count("number:17"), 1);
    assert_eq!(count("-rule:A%20and%20container:web"), 20);
    let histogram = quaywatch.get("/api/events/histogram");
    assert_eq!(histogram["total"], 200);
    let facets = quaywatch.get("/api/events/facets?fields=rule");
    assert_eq!(facets["facets"][0]["values"][0]["value"], "A");
    assert_eq!(facets["facets"][0]["values"][0]["count"], 180);
    let overview = quaywatch.get("/api/overview");
    assert_eq!(overview["events_total"], 200);
}

#[test]
fn api_wants_credentials_and_says_so_as_problem_json() {
    let quaywatch = server().start();
    let answer = http::request(quaywatch.console, "GET", "/api/events", &[], b"").unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["code"], "unauthenticated");
    let answer = quaywatch.request("GET", "/api/events?query=rule%3A(", &[], b"");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["code"], "query_syntax");
    assert!(answer.json()["position"].is_u64(), "{}", answer.text());
    assert_eq!(
        http::request(quaywatch.console, "GET", "/healthz", &[], b"")
            .unwrap()
            .status,
        200
    );
    wait_for("ready", Duration::from_secs(60), || {
        let answer = http::request(quaywatch.console, "GET", "/readyz", &[], b"").ok()?;
        (answer.status == 200).then_some(())
    });
}
