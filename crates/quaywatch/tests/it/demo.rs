//! What a person sees who tries the demo: three incidents, and nothing else alarms.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use qw_testkit::{http, prometheus::Prometheus, skip_without, wait_for};
use serde_json::{Value, json};

use crate::{
    BINARY,
    prometheus::{QUERIES, dashboard_queries},
};

/// A running `quaywatch demo`; killed when dropped.
struct Demo {
    child: Child,
    console: SocketAddr,
    metrics: SocketAddr,
    token: String,
}

impl Demo {
    /// Starts the demo, which makes its own data folder below `folder`, and waits until it is ready.
    fn start(folder: &Path) -> Self {
        // Somebody is told, but never listens.
        let configuration = folder.join("quaywatch.yaml");
        let sink = "{name: hook, from: beginning, to: {type: webhook, url: 'http://127.0.0.1:9/'}}";
        let text = format!("notifications: {{sinks: [{sink}]}}\n");
        std::fs::write(&configuration, text).unwrap();
        let child = Command::new(BINARY)
            // Less to back-fill than usual; the story is the same.
            .args(["demo", "--rate", "1"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", folder)
            .env("QUAYWATCH_CONFIG", configuration)
            .env("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_METRICS_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_FALCO_ADDRESS", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut demo = Self {
            console: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: String::new(),
            child,
        };
        let data = folder.join(format!("quaywatch-demo-{}", demo.child.id()));
        let run: Value = wait_for("the demo ready", Duration::from_secs(120), || {
            if let Ok(Some(status)) = demo.child.try_wait() {
                panic!("the demo ended with {status} before it was ready");
            }
            serde_json::from_slice(&std::fs::read(data.join("run.json")).ok()?).ok()
        });
        let address = |name: &str| run["listen"][name].as_str().unwrap().parse().unwrap();
        demo.console = address("console");
        demo.metrics = address("metrics");
        let token = std::fs::read_to_string(data.join("cli.token")).unwrap();
        token.trim().clone_into(&mut demo.token);
        demo
    }

    fn get(&self, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        let answer = http::request(self.console, "GET", path, &headers, b"").unwrap();
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Events of the incident that happens while one looks, from the first to the last.
const LIVE_EVENTS: u64 = 10;

#[test]
fn the_demo_has_three_alerts_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let has_prometheus = Prometheus::is_installed() || !skip_without("prometheus");
    let prometheus = has_prometheus.then(|| Prometheus::scraping(demo.metrics));
    // The third incident begins 75 seconds after the start and lasts 35.
    let alerts = wait_for("the third incident", Duration::from_secs(300), || {
        let page = demo.get("/api/alerts?sort=first_seen");
        let items = page["items"].as_array().expect("alerts").clone();
        let is_live = |alert: &&Value| alert["container"]["name"] == "checkout-api-2";
        let sent_away = |alert: &Value| {
            alert["count"].as_u64() >= Some(LIVE_EVENTS)
                && alert["reasons"].to_string().contains("192.0.2.0/24:443")
        };
        items
            .iter()
            .find(is_live)
            .is_some_and(sent_away)
            .then_some(items)
    });
    let mut told: Vec<(&str, &str, &str)> = Vec::new();
    for alert in &alerts {
        let text = |value: &'static str| alert[value].as_str().unwrap_or_default();
        told.push((
            alert["container"]["name"].as_str().unwrap_or_default(),
            text("source"),
            text("state"),
        ));
        assert!(
            matches!(text("priority"), "Critical" | "Error"),
            "{alert:#}"
        );
        let reasons = alert["reasons"].as_array().expect("reasons");
        assert!(reasons.len() > 10, "{alert:#}");
        assert!(
            reasons.is_sorted_by_key(|reason| reason["time"].as_str().unwrap_or_default()),
            "{alert:#}"
        );
        let by_falco = |reason: &&Value| reason["code"] == "falco_rule";
        assert!(reasons.iter().filter(by_falco).count() >= 3, "{alert:#}");
        assert!(text("title").contains('`'), "{alert:#}");
    }
    told.sort_unstable();
    assert_eq!(
        told,
        ["checkout-api-2", "ops-jenkins-1", "shop-web-2"].map(|name| (name, "profile", "new")),
        "{alerts:#?}"
    );

    let profiles = demo.get("/api/profiles?limit=100");
    assert_eq!(profiles["aggregates"]["learning"], 0, "{profiles:#}");
    for profile in profiles["items"].as_array().expect("profiles") {
        let key = profile["key"].as_str().unwrap_or_default();
        let is_attacked = ["nginx/web", "jenkins/jenkins", "api/checkout-api"]
            .iter()
            .any(|end| key.ends_with(end));
        assert_eq!(profile["deviations"] != json!(0), is_attacked, "{profile}");
    }
    for (container, state) in [("shop-web-2", "deviating"), ("shop-redis-1", "learned")] {
        let tree = demo.get(&format!("/api/hbt/{container}"));
        assert_eq!(tree["metadata"]["state"], state, "{container}");
    }
    if let Some(prometheus) = prometheus {
        every_dashboard_shows_something(&prometheus);
    }
}

/// Queries of the dashboards that have nothing to show while all is well.
const QUIET: &[&str] = &["outcome=\"ignored\""];

/// The dashboard of what containers use: those of the demo are made up and use nothing. The test of
/// `usage` asks its queries.
const OF_REAL_CONTAINERS: &str = "quaywatch-containers.json";

/// Each query had an answer at one time at least while the incident went on.
#[track_caller]
fn every_dashboard_shows_something(prometheus: &Prometheus) {
    let mut silent = Vec::new();
    for (place, query) in dashboard_queries() {
        let may_be_silent =
            QUIET.iter().any(|part| query.contains(part)) || place.starts_with(OF_REAL_CONTAINERS);
        let answer = prometheus.query(&format!("count_over_time(({query})[15m:5s])"));
        if answer.as_array().is_none_or(Vec::is_empty) && !may_be_silent {
            silent.push(format!("{place}: {query}"));
        }
    }
    for query in QUERIES {
        let query = query.replace("\"web\"", "\"checkout-api-2\"");
        let answer = prometheus.query(&format!("max_over_time(({query})[15m:5s]) > 0"));
        if answer.as_array().is_none_or(Vec::is_empty) {
            silent.push(query);
        }
    }
    assert_eq!(silent, [] as [String; 0], "queries without an answer");
}
