//! A real Prometheus scrapes the binary, and the dashboards' queries get their answers.

use std::time::Duration;

use qw_testkit::{prometheus::Prometheus, skip_without, wait_for};
use serde_json::Value;

use crate::{falco_line, server};

/// The queries of the Falco Prometheus stack's dashboard and templates, to the letter; `web` stands for
/// the container.
pub(super) const QUERIES: &[&str] = &[
    "sum(rate(syscall_events_total[5m]))",
    "sum by (priority) (rate(syscall_events_total[5m]))",
    "sum by (rule_category) (rate(syscall_events_total[5m]))",
    "topk(10, sum by (rule) (rate(syscall_events_total[5m])))",
    "max(syscall_last_event_timestamp_seconds)",
    r#"sum(rate(syscall_events_total{container_name="web"}[5m]))"#,
    r#"sum by(rule,priority) (rate(security_alerts_total{container_name="web"}[5m]))"#,
];

#[test]
fn prometheus_scrapes_and_answers_the_dashboards_queries() {
    let quaywatch = server().start();
    let configuration = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - job_name: falco\n  static_configs: [{{targets: ['{0}']}}]\n\
         - job_name: falco-compatible\n  metrics_path: /metrics/falco\n  static_configs: [{{targets: ['{0}']}}]\n",
        quaywatch.metrics
    );
    if !Prometheus::is_installed() {
        skip_without("prometheus");
        return;
    }
    let prometheus = Prometheus::start(&configuration);
    let mut number = 0;
    let mut post = || {
        let lines: Vec<String> = (0..10)
            .map(|offset| falco_line("web", number + offset, &format!("Rule {offset}"), "Warning"))
            .collect();
        number += 10;
        assert_eq!(
            quaywatch.post_events(&lines.join("\n")).unwrap().status,
            200
        );
    };
    post();
    for query in QUERIES {
        let answer = wait_for(query, Duration::from_secs(40), || {
            post();
            let answer = prometheus.query(query);
            let value = answer.pointer("/0/value/1").and_then(Value::as_str)?;
            let value: f64 = value.parse().ok()?;
            std::thread::park_timeout(Duration::from_millis(200));
            (value > 0.0).then_some(answer)
        });
        assert!(
            answer.as_array().is_some_and(|series| !series.is_empty()),
            "{query}: {answer}"
        );
    }
    let up = prometheus.query("sum(up)");
    assert_eq!(
        up.pointer("/0/value/1"),
        Some(&Value::from("2")),
        "both pages are scraped: {up}"
    );
    let last = prometheus.query("time() - max(syscall_last_event_timestamp_seconds)");
    let age: f64 = last
        .pointer("/0/value/1")
        .and_then(Value::as_str)
        .unwrap()
        .parse()
        .unwrap();
    assert!(age < 60.0, "the last event is seconds old, not {age}");
    let folded = prometheus
        .query("falcosecurity_falcosidekick_falco_events_total{priority_raw=\"warning\"}");
    assert!(folded.as_array().is_some_and(|series| !series.is_empty()));

    // The same through our own proxy, with the templates' windows.
    let proxied = server()
        .environment(
            "PROMETHEUS_URL",
            &format!("http://{}", prometheus.address()),
        )
        .start();
    for window in ["5m", "15m"] {
        let query = format!("sum(rate(syscall_events_total%5B{window}%5D))");
        let answer = proxied.get(&format!("/api/prom/query?query={query}"));
        assert_eq!(answer["status"], "success", "{answer}");
    }
    let without = quaywatch.request("GET", "/api/prom/query?query=up", &[], b"");
    assert_eq!(without.status, 404);
}

/// What the panels and variables of our dashboards ask, with Grafana's variables replaced: place and
/// expression.
pub(super) fn dashboard_queries() -> Vec<(String, String)> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/grafana/dashboards"
    );
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut add = |what: &Value, expression: &str| {
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$__range", "1h");
            let expression = ["$job", "$instance", "$container"]
                .into_iter()
                .fold(expression, |text, variable| text.replace(variable, ".*"));
            queries.push((format!("{name}: {what}"), expression));
        };
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                add(&panel["title"], target["expr"].as_str().unwrap());
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else {
                continue;
            };
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|rest| rest.strip_suffix(')'));
            let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
            add(&variable["name"], &format!("count by ({label}) ({series})"));
        }
    }
    assert!(queries.len() > 60, "{} queries", queries.len());
    queries
}
