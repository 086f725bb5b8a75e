//! The dashboards, rules and scrape configuration that users copy speak of families that exist, and
//! are as Prometheus and Grafana want them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
    process::Command,
};

use qw_exporters::{Kind, families};
use serde::Deserialize;
use serde_json::Value;

fn repository(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../..", path].iter().collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("`{path}`: {error}"))
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = repository("deploy/grafana/dashboards");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                serde_json::from_str(&text).unwrap(),
            )
        })
        .collect()
}

/// The dashboard whose queries are someone else's, kept to the letter.
const FOREIGN: &str = "falco-security-events.json";

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|panel| panel["type"] != "row")
}

fn queries(dashboard: &Value) -> Vec<String> {
    panels(dashboard)
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn rules() -> Vec<Rule> {
    let rules: Rules =
        serde_saphyr::from_str(&read("deploy/prometheus/rules/quaywatch.rules.yml")).unwrap();
    rules
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect()
}

/// Names of the metrics that an expression reads.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let skip_past = |end: char| rest.find(end).map_or(rest.len(), |at| at + end.len_utf8());
        if first == '"' {
            let after = rest.split_at(1).1;
            rest = after
                .split_at(after.find('"').map_or(after.len(), |at| at + 1))
                .1;
        } else if first == '{' {
            rest = rest.split_at(skip_past('}')).1;
        } else if first == '[' {
            rest = rest.split_at(skip_past(']')).1;
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            match word {
                "by" | "on" | "without" | "ignoring" | "group_left" | "group_right" => {
                    if rest.starts_with('(') {
                        rest = rest.split_at(rest.find(')').unwrap() + 1).1;
                    }
                }
                "and" | "or" | "unless" | "bool" | "offset" => {}
                "sum" | "min" | "max" | "avg" | "count" | "topk" => {}
                _ if rest.starts_with('(') => {}
                _ => {
                    names.insert(word.to_owned());
                }
            }
        } else {
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    names
}

#[test]
fn names_of_metrics_are_found() {
    for (expression, expected) in [
        ("sum by (a, b) (rate(x_total{y=\"z\"}[5m])) > 0", "x_total"),
        (
            "a:b:c / on (d) group_left e unless f offset 5m",
            "a:b:c e f",
        ),
        (
            "topk(10, histogram_quantile(0.95, sum by (le) (rate(h_bucket[$__rate_interval])))) or vector(0)",
            "h_bucket",
        ),
        ("time() - t > 1e9 and u == 24 * 3600", "t u"),
    ] {
        let found: Vec<String> = metrics_of(expression).into_iter().collect();
        assert_eq!(found.join(" "), expected);
    }
}

#[test]
fn every_metric_named_exists() {
    let mut known: BTreeSet<String> = ["up".to_owned()].into();
    for (_, family) in families() {
        if family.kind == Kind::Histogram {
            for suffix in ["_bucket", "_sum", "_count"] {
                known.insert(format!("{}{suffix}", family.name));
            }
        } else {
            known.insert(family.name.to_owned());
        }
    }
    known.extend(rules().into_iter().filter_map(|rule| rule.record));
    let of_rules = rules()
        .into_iter()
        .map(|rule| ("rules".to_owned(), rule.expr));
    let of_dashboards = dashboards().into_iter().flat_map(|(name, dashboard)| {
        queries(&dashboard)
            .into_iter()
            .map(move |query| (name.clone(), query))
    });
    for (place, expression) in of_rules.chain(of_dashboards) {
        for metric in metrics_of(&expression) {
            assert!(
                known.contains(&metric),
                "`{metric}` in {place} does not exist: {expression}"
            );
        }
    }
}

#[test]
fn dashboards_follow_the_conventions() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert!(
            uids.insert(text(&dashboard["uid"])),
            "{name} has no uid of its own"
        );
        assert!(
            (39..=41).contains(&dashboard["schemaVersion"].as_u64().unwrap()),
            "{name}"
        );
        assert_eq!(dashboard["editable"], false, "{name}");
        assert!(
            !text(&dashboard["title"]).is_empty() && !text(&dashboard["description"]).is_empty()
        );
        let variables: Vec<String> = dashboard["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variable| text(&variable["name"]))
            .collect();
        assert_eq!(
            variables.first().map(String::as_str),
            Some("datasource"),
            "{name}"
        );

        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(&panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}: id of `{title}` is twice there"
            );
            assert!(!title.is_empty(), "{name}: a panel has no title");
            assert!(
                text(&panel["description"]).ends_with('.'),
                "{name}: `{title}` is not described"
            );
            assert!(
                !text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(),
                "{name}: `{title}` has no unit"
            );
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name}: `{title}` asks nothing");
            for asked in targets.iter().chain([panel]) {
                assert_eq!(
                    asked["datasource"]["uid"], "${datasource}",
                    "{name}: `{title}`"
                );
            }
        }
        if name == FOREIGN {
            continue;
        }
        for query in queries(&dashboard) {
            let selectors = query.matches('{').count();
            assert_eq!(
                query.matches("job=~\"$job\"").count(),
                selectors,
                "{name}: {query}"
            );
            assert_eq!(
                query.matches("instance=~\"$instance\"").count(),
                selectors,
                "{name}: {query}"
            );
            assert_eq!(
                metrics_of(&query).len().min(1),
                selectors.min(1),
                "{name}: {query}"
            );
            assert!(
                query.matches("rate(").count() == query.matches("[$__rate_interval]").count(),
                "{name}: {query}"
            );
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    for (name, dashboard) in dashboards() {
        let mut taken = BTreeMap::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(
                at("x") + at("w") <= 24,
                "{name}: `{}` is too wide",
                panel["title"]
            );
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    let before = taken.insert((x, y), &panel["title"]);
                    assert_eq!(before, None, "{name}: `{}` lies on it", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn foreign_dashboard_asks_the_five_queries_to_the_letter() {
    let (_, dashboard) = dashboards()
        .into_iter()
        .find(|(name, _)| name == FOREIGN)
        .unwrap();
    assert_eq!(
        queries(&dashboard),
        [
            "sum(rate(syscall_events_total[5m]))",
            "sum by (priority) (rate(syscall_events_total[5m]))",
            "sum by (rule_category) (rate(syscall_events_total[5m]))",
            "topk(10, sum by (rule) (rate(syscall_events_total[5m])))",
            "max(syscall_last_event_timestamp_seconds)",
        ]
    );
}

#[test]
fn datasource_has_the_name_that_foreign_dashboards_expect() {
    assert!(
        read("deploy/grafana/provisioning/datasources/prometheus.yml")
            .lines()
            .any(|line| line == "  - name: Prometheus")
    );
}

#[test]
fn every_alert_is_complete_explained_and_tested() {
    #[derive(Deserialize)]
    struct Tests {
        tests: Vec<Test>,
    }
    #[derive(Deserialize)]
    struct Test {
        alert_rule_test: Vec<Check>,
    }
    #[derive(Deserialize)]
    struct Check {
        alertname: String,
        exp_alerts: Vec<Value>,
    }
    let tests: Tests =
        serde_saphyr::from_str(&read("deploy/prometheus/rules/quaywatch.test.yml")).unwrap();
    let (firing, silent): (Vec<Check>, Vec<Check>) = tests
        .tests
        .into_iter()
        .flat_map(|test| test.alert_rule_test)
        .partition(|check| !check.exp_alerts.is_empty());
    let page = read("docs/metrics.md");
    let headings: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .collect();
    for rule in rules() {
        let Some(alert) = rule.alert else { continue };
        assert!(
            matches!(
                rule.labels["severity"].as_str(),
                "critical" | "warning" | "info"
            ),
            "{alert} has no severity"
        );
        for annotation in ["summary", "description"] {
            assert!(
                rule.annotations[annotation].ends_with('.'),
                "{alert}: {annotation}"
            );
        }
        let anchor = alert.to_lowercase();
        assert_eq!(
            rule.annotations["runbook_url"],
            format!("docs/metrics.md#{anchor}")
        );
        assert!(
            headings.contains(&anchor),
            "docs/metrics.md does not explain {alert}"
        );
        assert!(
            firing.iter().any(|check| check.alertname == alert),
            "{alert} never fires in tests"
        );
        assert!(
            silent.iter().any(|check| check.alertname == alert),
            "{alert} is never silent in tests"
        );
    }
}

#[test]
fn reference_page_names_every_family() {
    let page = read("docs/metrics.md");
    for (_, family) in families() {
        let name = format!("`{}", family.name);
        assert!(
            page.contains(&name),
            "docs/metrics.md does not name `{}`",
            family.name
        );
    }
}

fn run_promtool(arguments: &[&str]) {
    let Some(promtool) = crate::promtool::find() else {
        return;
    };
    let output = Command::new(promtool).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "promtool {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn promtool_accepts_the_rules() {
    let rules = repository("deploy/prometheus/rules/quaywatch.rules.yml");
    run_promtool(&["check", "rules", "--lint-fatal", rules.to_str().unwrap()]);
}

#[test]
fn promtool_accepts_the_configuration() {
    let configuration = repository("deploy/prometheus/prometheus.yml");
    run_promtool(&[
        "check",
        "config",
        "--lint-fatal",
        configuration.to_str().unwrap(),
    ]);
}

#[test]
fn promtool_sees_the_alerts_fire_and_be_silent() {
    let tests = repository("deploy/prometheus/rules/quaywatch.test.yml");
    run_promtool(&["test", "rules", tests.to_str().unwrap()]);
}

#[test]
fn promtool_parses_the_queries_of_the_dashboards() {
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    let queries = dashboards()
        .into_iter()
        .flat_map(|(_, dashboard)| queries(&dashboard));
    for (number, query) in queries.enumerate() {
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        writeln!(
            rules,
            "      - record: q{number}\n        expr: {}",
            Value::from(query)
        )
        .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboards.yml");
    std::fs::write(&file, rules).unwrap();
    run_promtool(&["check", "rules", file.to_str().unwrap()]);
}
