//! Alerts, profiles, silences and notifications, from the event that causes one to who is told.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use qw_event::Timestamp;
use qw_testkit::{
    alertmanager::Alertmanager,
    free_port, http,
    quaywatch::{Quaywatch, sum_of},
    skip_without, wait_for,
};
use serde_json::{Value, json};

use crate::{BINARY, check_conservation, server};

/// Longest wait for anything, on a machine that does many other things.
const SOON: Duration = Duration::from_secs(120);
/// Profiles end to learn by command only.
pub(super) const SLOW_LEARNING: &str =
    "inventory: {docker: false}\nprofiles: {warm_up: 1s, minimum_time: 30d}\n";
const EVERYTHING: &str = "Everything";
pub(super) const KEY: &str = "registry.example/shop/web/web";

/// An event as Falco prints it; `fields` are added to its output fields.
pub(super) fn event(container: &str, rule: &str, priority: &str, fields: &Value) -> String {
    let time = now();
    let mut all = json!({
        "container.id": format!("{container}0000"),
        "container.name": container,
        "container.image.repository": "registry.example/shop/web",
        "evt.time": time.as_nanos(),
        "evt.type": "execve",
        "proc.name": "sh",
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    json!({
        "hostname": "node-1",
        "output": format!("{time}: {priority} {rule} in {container}"),
        "output_fields": all,
        "priority": priority,
        "rule": rule,
        "source": "syscall",
        "tags": ["container"],
        "time": time,
    })
    .to_string()
}

fn now() -> Timestamp {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_nanos())
        .unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or_default())
}

#[track_caller]
pub(super) fn post(quaywatch: &Quaywatch, lines: &[String]) {
    let answer = quaywatch.post_events(&lines.join("\n")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
pub(super) fn send(
    quaywatch: &Quaywatch,
    method: &str,
    path: &str,
    body: &Value,
) -> http::Response {
    let headers = [("content-type", "application/json")];
    quaywatch.request(method, path, &headers, body.to_string().as_bytes())
}

#[track_caller]
pub(super) fn triage(quaywatch: &Quaywatch, body: &Value) -> Value {
    let answer = send(quaywatch, "POST", "/api/alerts/triage", body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

#[track_caller]
pub(super) fn alerts(quaywatch: &Quaywatch, parameters: &str) -> Vec<Value> {
    let page = quaywatch.get(&format!("/api/alerts?limit=1000&{parameters}"));
    page["items"].as_array().unwrap().clone()
}

#[track_caller]
pub(super) fn only(list: &[Value]) -> &Value {
    match list {
        [one] => one,
        list => panic!("{} and not one: {list:?}", list.len()),
    }
}

pub(super) fn encoded(key: &str) -> String {
    key.replace('/', "%2F")
}

/// The command line, about a running server.
pub(super) fn cli(quaywatch: &Quaywatch, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .env("QUAYWATCH_SERVER", format!("http://{}", quaywatch.console))
        .env("QUAYWATCH_TOKEN", &quaywatch.token)
        .current_dir(std::env::temp_dir())
        .output()
        .expect("the binary starts")
}

/// What it prints when it ends well.
#[track_caller]
pub(super) fn cli_ok(quaywatch: &Quaywatch, arguments: &[&str]) -> String {
    let output = cli(quaywatch, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What a small web server does all day.
pub(super) fn habits(container: &str) -> Vec<String> {
    let habit = |fields: Value| event(container, EVERYTHING, "Debug", &fields);
    let mut habits = vec![habit(json!({
        "evt.type": "execve", "proc.name": "nginx", "proc.pname": "containerd-shim",
        "proc.cmdline": "nginx -g daemon off;", "proc.exepath": "/usr/sbin/nginx",
    }))];
    for path in [
        "/etc/nginx/nginx.conf",
        "/etc/nginx/mime.types",
        "/etc/passwd",
    ] {
        habits.push(habit(json!({
            "evt.type": "openat", "proc.name": "nginx", "proc.pname": "containerd-shim",
            "fd.name": path, "fd.type": "file", "evt.arg.flags": "O_RDONLY|O_CLOEXEC",
        })));
    }
    habits.push(habit(json!({
        "evt.type": "accept4", "proc.name": "nginx", "proc.pname": "containerd-shim",
        "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.name": "172.17.0.1:40000->172.17.0.2:80",
    })));
    habits
}

/// Somebody gets a shell, writes a file, and reaches out.
pub(super) fn break_in(container: &str) -> Vec<String> {
    let step = |fields: Value| event(container, EVERYTHING, "Debug", &fields);
    vec![
        step(json!({
            "evt.type": "execve", "proc.name": "sh", "proc.pname": "nginx", "proc.cmdline": "sh -i",
            "proc.exepath": "/bin/sh", "proc.stdin.type": "ipv4",
        })),
        step(json!({
            "evt.type": "openat", "proc.name": "sh", "proc.pname": "nginx", "fd.name": "/tmp/.x/agent",
            "fd.type": "file", "evt.arg.flags": "O_WRONLY|O_CREAT", "evt.arg.mode": "0755",
        })),
        step(json!({
            "evt.type": "connect", "proc.name": "sh", "proc.pname": "nginx", "fd.type": "ipv4",
            "fd.l4proto": "tcp", "fd.name": "172.17.0.2:41000->45.9.148.3:4444",
        })),
    ]
}

const ROUNDS: usize = 20;

/// Lets `container` live for a while; how many events that were.
#[track_caller]
pub(super) fn live(quaywatch: &Quaywatch, container: &str) -> usize {
    let mut sent = 0;
    for _ in 0..ROUNDS {
        let lines = habits(container);
        sent += lines.len();
        post(quaywatch, &lines);
    }
    sent
}

#[track_caller]
pub(super) fn freeze(quaywatch: &Quaywatch) {
    let path = format!("/api/profiles/{}/freeze", encoded(KEY));
    let answer = send(quaywatch, "POST", &path, &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "detecting");
}

#[test]
fn repeats_of_a_rule_in_a_workload_are_one_alert() {
    let quaywatch = server().start();
    let mut lines = Vec::new();
    for (container, times) in [("web-1", 3), ("web-2", 2), ("db", 4)] {
        for _ in 0..times {
            lines.push(event(container, "Terminal shell", "Warning", &json!({})));
        }
    }
    lines.push(event(
        "web-1",
        "Terminal shell, harmless",
        "Notice",
        &json!({}),
    ));
    lines.push(event("web-1", "Another rule", "Error", &json!({})));
    post(&quaywatch, &lines);

    // Replicas of a service are one workload.
    let shells = alerts(&quaywatch, "rule=Terminal%20shell&sort=count");
    let found: Vec<_> = shells
        .iter()
        .map(|alert| (alert["workload"].as_str().unwrap(), alert["count"].as_u64()))
        .collect();
    assert_eq!(
        found,
        [(KEY, Some(5)), ("registry.example/shop/web/db", Some(4))]
    );
    assert_eq!(alerts(&quaywatch, "priority=Debug").len(), 3);
    post(
        &quaywatch,
        &[event("db", "Terminal shell", "Critical", &json!({}))],
    );
    let shell = alerts(&quaywatch, "container=db");
    assert_eq!(only(&shell)["count"], 5);
    assert_eq!(only(&shell)["priority"], "Critical");
    assert_eq!(only(&shell)["source"], "falco");

    let rows =
        quaywatch.get("/api/containers/db/alerts?start=now-1h&end=now%2B1h&priority=Warning");
    assert_eq!(rows["items"].as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(rows["aggregates"]["total"], 1);
    assert_eq!(rows["aggregates"]["by_priority"]["Critical"], 1);
    assert_eq!(rows["aggregates"]["by_rule"][0]["rule"], "Terminal shell");

    // Every event that is of an alert counts once, wherever it is counted.
    let occurrences = 11;
    let trend = quaywatch.get("/api/alerts/trend?start=now-1h&end=now%2B1h&step=5m");
    let trend: u64 = trend["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["total"].as_u64().unwrap())
        .sum();
    assert_eq!(trend, occurrences);
    for window in ["5m", "15m"] {
        let top = quaywatch.get(&format!("/api/alerts/top?window={window}&by=rule"));
        let items = top["items"].as_array().unwrap();
        // The window may have passed on a machine that stood still.
        assert!(items.len() <= 2, "{top}");
        if let Some(first) = items.first() {
            assert_eq!(first["name"], "Terminal shell");
            assert_eq!(first["occurrences"], 10);
        }
    }
    assert_eq!(
        quaywatch.metric("security_alerts_total", "source=\"falco\""),
        occurrences
    );
    assert_eq!(
        quaywatch.metric("quaywatch_alerts_open", "state=\"new\""),
        3
    );
}

#[test]
fn break_in_becomes_one_alert_with_a_story() {
    let quaywatch = server().configuration(SLOW_LEARNING).start();
    let sent = live(&quaywatch, "web");
    let profile = quaywatch.get(&format!("/api/profiles/{}", encoded(KEY)));
    assert_eq!(profile["state"], "learning");
    assert_eq!(profile["events"], sent);
    assert_eq!(alerts(&quaywatch, ""), [] as [Value; 0]);
    assert_eq!(quaywatch.metric("quaywatch_profiles", "learning"), 1);

    // Learning ends by command.
    let frozen = cli_ok(&quaywatch, &["profile", "freeze", KEY, "--output", "json"]);
    let frozen: Value = serde_json::from_str(&frozen).unwrap();
    assert_eq!(frozen["state"], "detecting");
    assert_eq!(frozen["frozen"], true);
    post(&quaywatch, &habits("web"));
    assert_eq!(
        alerts(&quaywatch, ""),
        [] as [Value; 0],
        "what is known is no news"
    );

    post(&quaywatch, &break_in("web"));
    let all = alerts(&quaywatch, "");
    let alert = only(&all);
    assert_eq!(alert["source"], "profile");
    assert_eq!(alert["workload"], KEY);
    assert_eq!(alert["count"], 3);
    assert!(
        alert["score"].as_f64().is_some_and(|score| score >= 0.9),
        "{alert}"
    );
    assert!(
        matches!(
            alert["priority"].as_str(),
            Some("Emergency" | "Alert" | "Critical")
        ),
        "{alert}"
    );
    let reasons = alert["reasons"].as_array().unwrap();
    let times: Vec<&str> = reasons
        .iter()
        .filter_map(|reason| reason["time"].as_str())
        .collect();
    assert_eq!(times.len(), reasons.len());
    assert!(times.is_sorted(), "{reasons:?}");
    let codes: Vec<&str> = reasons
        .iter()
        .filter_map(|reason| reason["code"].as_str())
        .collect();
    let at = |code: &str| codes.iter().position(|other| *other == code);
    let (shell, reach) = (at("shell_from_server"), at("new_destination"));
    assert!(shell.is_some() && shell < reach, "{codes:?}");
    let evidence = alert["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 3);
    let first = quaywatch.get(&format!("/api/events/{}", evidence[0].as_str().unwrap()));
    assert_eq!(first["output_fields"]["proc.cmdline"], "sh -i");

    // The same again is the same alert.
    post(&quaywatch, &break_in("web"));
    let again = alerts(&quaywatch, "");
    assert_eq!(only(&again)["id"], alert["id"]);
    assert_eq!(only(&again)["count"], 6);

    // The tree tells it apart, from the API and from the command line.
    let tree = quaywatch.get("/api/hbt/web0000?state=deviating");
    assert_eq!(tree["type"], "profile");
    assert!(tree.to_string().contains(":4444"), "{tree}");
    let shown = cli_ok(&quaywatch, &["profile", "show", "web0000", "--deviating"]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with('!') && line.contains("sh")),
        "{shown}"
    );
    let listed = cli_ok(&quaywatch, &["profile", "list", "--state", "frozen"]);
    assert!(
        listed.contains(KEY) && listed.contains("detecting, frozen"),
        "{listed}"
    );
    let diff = cli_ok(
        &quaywatch,
        &["profile", "diff", KEY, "--at", "now", "-o", "json"],
    );
    let diff: Value = serde_json::from_str(&diff).unwrap();
    assert!(diff["added"].to_string().contains(":4444"), "{diff}");

    // What is accepted is known from now on.
    for branch in ["process", "network", "file", "lineage"] {
        cli_ok(&quaywatch, &["profile", "accept", KEY, branch]);
    }
    post(&quaywatch, &break_in("web"));
    assert_eq!(only(&alerts(&quaywatch, ""))["count"], 6);
    let metrics = quaywatch.metrics("/metrics");
    let deviations = sum_of(&metrics, "quaywatch_profile_events_total", "deviating");
    assert_eq!(deviations, 6);
    assert_eq!(
        sum_of(&metrics, "security_alerts_total", "source=\"profile\""),
        6
    );
}

#[test]
fn streams_tell_an_alert_before_the_events_that_caused_it() {
    let quaywatch = server().start();
    let mut stream = quaywatch.stream("/api/stream", SOON);
    stream.next_message().unwrap();
    for number in 0..5 {
        let rule = format!("Rule {number}");
        post(&quaywatch, &[event("web", &rule, "Error", &json!({}))]);
        let (mut told, mut seen) = (false, false);
        while !seen {
            let message = stream.next_message().unwrap().expect("the stream goes on");
            let payload = &message.data["payload"];
            match message.data["type"].as_str() {
                Some("alert") => {
                    told |= payload["alerts"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|alert| alert["rule"] == rule.as_str());
                }
                Some("event") => {
                    seen = payload["events"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|event| event["rule"] == rule.as_str());
                }
                _ => {}
            }
            assert!(told || !seen, "{rule}: the event came first");
        }
    }
}

#[test]
fn triage_is_kept_with_its_history() {
    let quaywatch = server().start();
    let shell = event("web", "Shell", "Warning", &json!({}));
    post(
        &quaywatch,
        &[shell.clone(), event("web", "Other", "Error", &json!({}))],
    );
    let shells = alerts(&quaywatch, "rule=Shell");
    let id = only(&shells)["id"].as_u64().unwrap();
    let text = id.to_string();
    let other = only(&alerts(&quaywatch, "rule=Other"))["id"]
        .as_u64()
        .unwrap();

    // By the command line, and by the API.
    let found = cli(&quaywatch, &["alerts", "list", "--fail-on", "Error"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&found.stdout).contains("Shell"));
    cli_ok(&quaywatch, &["alerts", "list", "--fail-on", "Critical"]);
    cli_ok(&quaywatch, &["alerts", "ack", &text]);
    let anna =
        json!({ "username": "anna", "password": "a long enough password", "role": "analyst" });
    let json = [("content-type", "application/json")];
    let made = quaywatch.request("POST", "/api/users", &json, anna.to_string().as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    cli_ok(&quaywatch, &["alerts", "assign", &text, "--to", "anna"]);
    cli_ok(&quaywatch, &["alerts", "start", &text]);
    triage(
        &quaywatch,
        &json!({ "ids": [id], "action": "note", "text": "asked the team" }),
    );
    let list = cli_ok(
        &quaywatch,
        &[
            "alerts",
            "list",
            "--assignee",
            "anna",
            "--state",
            "in_progress",
            "-o",
            "json",
        ],
    );
    let listed: Value = serde_json::from_str(list.trim()).unwrap();
    assert_eq!(listed["id"], id);
    cli_ok(
        &quaywatch,
        &["alerts", "close", &text, "--reason", "false-positive"],
    );

    // All or none, and why not.
    for (ids, status) in [(vec![other, id], 409), (vec![other, 9999], 404)] {
        let body = json!({ "ids": ids, "action": "acknowledge" });
        let answer = send(&quaywatch, "POST", "/api/alerts/triage", &body);
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(
        quaywatch.get(&format!("/api/alerts/{other}"))["state"],
        "new"
    );
    let refused = cli(&quaywatch, &["alerts", "ack", &text]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(!refused.stderr.is_empty() && refused.stdout.is_empty());

    // A false positive mutes its like: it counts, and nobody is bothered.
    post(&quaywatch, std::slice::from_ref(&shell));
    let muted = quaywatch.get(&format!("/api/alerts/{id}"));
    assert_eq!(muted["state"], "closed");
    assert_eq!(muted["count"], 2);
    cli_ok(&quaywatch, &["alerts", "reopen", &text]);
    cli_ok(&quaywatch, &["alerts", "close", &text]);
    // What is resolved is news when it happens again.
    post(&quaywatch, &[shell]);
    let open = alerts(&quaywatch, "rule=Shell&state=open");
    assert_ne!(only(&open)["id"], id);

    let alert = quaywatch.get(&format!("/api/alerts/{id}"));
    let history: Vec<(String, String)> = alert["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
            let details = text("state") + &text("assignee") + &text("text");
            (text("who"), text("action") + " " + &details)
        })
        .collect();
    let expected = [
        ("", "raised "),
        ("admin", "state acknowledged"),
        ("admin", "assigned anna"),
        ("admin", "state in_progress"),
        ("admin", "note asked the team"),
        ("admin", "state closed"),
        ("admin", "state new"),
        ("admin", "state closed"),
    ];
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(who, what)| ((*who).to_owned(), (*what).to_owned()))
        .collect();
    assert_eq!(history, expected);
    let shown = cli_ok(&quaywatch, &["alerts", "show", &text]);
    assert!(
        shown.contains("asked the team") && shown.contains("anna"),
        "{shown}"
    );
}

#[test]
fn viewers_see_alerts_and_change_none() {
    let quaywatch = server().start();
    post(&quaywatch, &[event("web", "Shell", "Warning", &json!({}))]);
    let id = only(&alerts(&quaywatch, ""))["id"].clone();
    for (role, expected) in [("viewer", 403), ("log_reader", 403), ("analyst", 200)] {
        let password = "a long enough password";
        let user = json!({ "username": role, "password": password, "role": role });
        let made = send(&quaywatch, "POST", "/api/users", &user);
        assert_eq!(made.status, 201, "{}", made.text());
        let credentials = json!({ "username": role, "password": password });
        let signed_in = http::request(
            quaywatch.console,
            "POST",
            "/api/session",
            &[("content-type", "application/json")],
            credentials.to_string().as_bytes(),
        )
        .unwrap();
        assert_eq!(signed_in.status, 200, "{}", signed_in.text());
        let csrf = signed_in.json()["csrf_token"].as_str().unwrap().to_owned();
        let cookie = signed_in.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let ask = |method, path, body: &Value| {
            let headers = [
                ("cookie", cookie),
                ("x-quaywatch-csrf", csrf.as_str()),
                ("content-type", "application/json"),
            ];
            let body = body.to_string();
            http::request(quaywatch.console, method, path, &headers, body.as_bytes()).unwrap()
        };
        let body = json!({ "ids": [id], "action": "acknowledge" });
        assert_eq!(
            ask("POST", "/api/alerts/triage", &body).status,
            expected,
            "{role}"
        );
        let silence = json!({ "matchers": [{ "field": "rule", "value": "x" }],
            "ends": "2200-01-01T00:00:00Z" });
        let silenced = ask("POST", "/api/silences", &silence).status;
        assert_eq!(silenced == 403, expected == 403, "{role}: {silenced}");
        let seen = ask("GET", "/api/alerts", &json!(null)).status;
        assert_eq!(seen, if role == "log_reader" { 403 } else { 200 }, "{role}");
        let frozen = ask(
            "POST",
            &format!("/api/profiles/{}/freeze", encoded(KEY)),
            &json!({}),
        );
        assert_eq!(
            frozen.status == 403,
            expected == 403,
            "{role}: {}",
            frozen.status
        );
    }
}

#[test]
fn silences_quieten_and_end() {
    let quaywatch = server().start();
    let made = cli_ok(
        &quaywatch,
        &[
            "alerts",
            "silence",
            "add",
            "rule=~Known *",
            "container!=db",
            "--for",
            "1h",
            "--comment",
            "being mended",
            "-o",
            "json",
        ],
    );
    let silence: Value = serde_json::from_str(&made).unwrap();
    let number = silence["id"].to_string();
    let known = event("web", "Known noise", "Warning", &json!({}));
    post(
        &quaywatch,
        &[
            known.clone(),
            event("db", "Known noise", "Warning", &json!({})),
        ],
    );
    let quiet = alerts(&quaywatch, "silenced=true");
    assert_eq!(only(&quiet)["silenced_by"], silence["id"]);
    assert_eq!(
        only(&alerts(&quaywatch, "silenced=false"))["container"]["name"],
        "db"
    );
    assert_eq!(quaywatch.metric("quaywatch_alerts_silenced", ""), 1);
    let listed = cli_ok(&quaywatch, &["alerts", "silence", "list"]);
    assert!(
        listed.contains("rule=~Known * and container!=db being mended"),
        "{listed}"
    );
    cli_ok(&quaywatch, &["alerts", "silence", "end", &number]);
    assert_eq!(alerts(&quaywatch, "silenced=true"), [] as [Value; 0]);

    // One that ends by itself: the next event of its kind is heard again.
    let ends = now().saturating_add(Duration::from_secs(15));
    let body = json!({ "matchers": [{ "field": "container", "operator": "equal", "value": "web" }],
        "ends": ends, "comment": "" });
    let made = send(&quaywatch, "POST", "/api/silences", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let number = made.json()["id"].clone();
    wait_for("the end of the silence", SOON, || {
        let list = quaywatch.get("/api/silences");
        let mut list = list["items"].as_array()?.iter();
        let silence = list.find(|silence| silence["id"] == number)?;
        (silence["state"] == "expired").then_some(())
    });
    post(&quaywatch, &[known]);
    assert_eq!(alerts(&quaywatch, "silenced=true"), [] as [Value; 0]);
    let id = only(&quiet)["id"].clone();
    let alert = quaywatch.get(&format!("/api/alerts/{id}"));
    let silences: Vec<&Value> = alert["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["action"] == "silenced")
        .map(|change| &change["silence"])
        .collect();
    assert_eq!(
        silences,
        [&silence["id"], &Value::Null, &number, &Value::Null]
    );
}

const BATCH: usize = 50;

/// Sends one numbered batch; true when it was acknowledged.
fn send_batch(falco: SocketAddr, batch: usize) -> bool {
    let lines: Vec<String> = (batch * BATCH..(batch + 1) * BATCH)
        .map(|number| {
            let container = ["web", "db", "cache"][number % 3];
            event(
                container,
                "A",
                "Warning",
                &json!({ "number": number, "proc.pname": "sh" }),
            )
        })
        .collect();
    let sequence = (batch + 1).to_string();
    let headers = [
        ("x-quaywatch-source", "kill-test"),
        ("x-quaywatch-epoch", "1"),
        ("x-quaywatch-sequence", sequence.as_str()),
    ];
    http::request(falco, "POST", "/", &headers, lines.join("\n").as_bytes())
        .is_ok_and(|answer| answer.status == 200)
}

#[test]
fn kills_neither_lose_nor_double_what_alerts_and_profiles_count() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut batch = 0;
    for _ in 0..5 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = Duration::from_micros((random >> 33) % 200_000);
        let mut quaywatch = server()
            .data_dir(&data)
            .configuration(SLOW_LEARNING)
            .start();
        let falco = quaywatch.falco;
        let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        batch = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut batch = batch;
                while !over.load(Relaxed) && send_batch(falco, batch) {
                    acknowledged.fetch_add(1, Relaxed);
                    batch += 1;
                }
                batch
            });
            wait_for("a batch to be acknowledged", SOON, || {
                (acknowledged.load(Relaxed) > 0).then_some(())
            });
            std::thread::park_timeout(moment);
            quaywatch.kill();
            over.store(true, Relaxed);
            sender.join().unwrap()
        });
    }
    let quaywatch = server()
        .data_dir(&data)
        .configuration(SLOW_LEARNING)
        .start();
    // What was on its way is sent again, whether or not it was stored.
    assert!(send_batch(quaywatch.falco, batch));
    // And once more, to no effect.
    assert!(send_batch(quaywatch.falco, batch));
    let expected = (batch + 1) * BATCH;
    assert_eq!(quaywatch.numbers("rule:A"), crate::once_each(0..expected));
    let counted: u64 = alerts(&quaywatch, "rule=A")
        .iter()
        .map(|alert| alert["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, expected as u64, "alerts count every event once");
    assert_eq!(alerts(&quaywatch, "rule=A").len(), 3);
    let trend = quaywatch.get("/api/alerts/trend?start=now-24h&end=now%2B1h&step=1h");
    let trend: u64 = trend["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["total"].as_u64().unwrap())
        .sum();
    assert_eq!(trend, expected as u64, "and so does the trend");
    let profiles = quaywatch.get("/api/profiles");
    let learned: u64 = profiles["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| profile["events"].as_u64().unwrap())
        .sum();
    assert_eq!(
        learned, expected as u64,
        "nothing is learned twice, nor forgotten"
    );
    check_conservation(&quaywatch);
}

#[test]
fn profiles_survive_an_end_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trees) = (folder.path().join("data"), folder.path().join("trees"));
    let start = || {
        server()
            .data_dir(&data)
            .configuration(SLOW_LEARNING)
            .environment("HBT_STORAGE_PATH", trees.to_str().unwrap())
            .start()
    };
    let profile = |quaywatch: &Quaywatch| {
        let profile = quaywatch.get(&format!("/api/profiles/{}", encoded(KEY)));
        let tree = quaywatch.get("/api/hbt/web0000");
        let branches: u64 = tree["children"]
            .as_array()
            .unwrap()
            .iter()
            .map(|branch| branch["events_count"].as_u64().unwrap())
            .sum();
        assert_eq!(tree["events_count"], branches, "the sum of what is below");
        (profile["state"].clone(), profile["events"].clone(), tree)
    };
    let mut quaywatch = start();
    let mut sent = live(&quaywatch, "web");
    freeze(&quaywatch);
    sent += live(&quaywatch, "web");
    let before = profile(&quaywatch);
    assert_eq!((&before.0, &before.1), (&json!("detecting"), &json!(sent)));
    quaywatch.kill();

    let quaywatch = start();
    let after = profile(&quaywatch);
    assert_eq!((&after.0, &after.1), (&before.0, &before.1));
    assert_eq!(after.2["events_count"], before.2["events_count"]);
    sent += live(&quaywatch, "web");
    assert!(quaywatch.stop().success());
    let file = trees.join("registry.example%2Fshop%2Fweb%2Fweb.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for name in ["name", "type", "events_count", "metadata", "children"] {
        assert!(!written[name].is_null(), "{name} of {written}");
    }

    let quaywatch = start();
    let again = profile(&quaywatch);
    assert_eq!((&again.0, &again.1), (&json!("detecting"), &json!(sent)));
    assert_eq!(written["events_count"], again.2["events_count"]);
    assert_eq!(alerts(&quaywatch, ""), [] as [Value; 0]);
    post(&quaywatch, &break_in("web"));
    assert_eq!(
        only(&alerts(&quaywatch, ""))["count"],
        3,
        "it goes on detecting"
    );
}

/// Waits until everything that arrived has had its outcome.
fn settled(quaywatch: &Quaywatch) -> Value {
    check_conservation(quaywatch);
    let sources = quaywatch.get("/api/sources");
    let mut sources = sources["items"].as_array().unwrap().iter();
    sources
        .find(|source| source["id"] == "falco_http")
        .unwrap()
        .clone()
}

#[test]
fn observed_events_are_profiled_and_counted_and_kept_by_choice() {
    let quaywatch = server()
        .configuration(&format!(
            "{SLOW_LEARNING}pipeline: {{observe: ['rule:{EVERYTHING}'], observe_sample: 50, observe_context: 5s}}\n"
        ))
        .start();
    let mut number = 0;
    let mut numbered = |lines: Vec<String>| -> Vec<String> {
        let number = |line: String| {
            let mut event: Value = serde_json::from_str(&line).unwrap();
            event["output_fields"]["number"] = number.into();
            number += 1;
            event.to_string()
        };
        lines.into_iter().map(number).collect()
    };
    let mut sent = 0;
    for _ in 0..40 {
        let lines = numbered(habits("web").into_iter().chain(habits("db")).collect());
        sent += lines.len();
        post(&quaywatch, &lines);
    }
    let quiet = settled(&quaywatch);
    assert_eq!(quiet["received_total"], sent);
    assert_eq!(quiet["outcomes"]["stored"], sent / 50, "{quiet}");
    assert_eq!(quiet["outcomes"]["observed"], sent - sent / 50, "{quiet}");
    let sample = quaywatch.numbers("");
    assert_eq!(sample.len(), sent / 50);
    freeze(&quaywatch);

    // Noticed in the middle of a batch: it is kept with what its container did around it.
    let before = sent;
    let lines = numbered(habits("web").into_iter().chain(habits("db")).collect());
    let noticed = numbered(break_in("web").split_off(2));
    let after = numbered(habits("web").into_iter().chain(habits("db")).collect());
    sent += lines.len() + noticed.len() + after.len();
    post(&quaywatch, &[lines, noticed, after].concat());
    let loud = settled(&quaywatch);
    assert_eq!(loud["received_total"], sent);
    let kept = quaywatch.numbers("");
    let new: Vec<usize> = kept
        .keys()
        .filter(|number| !sample.contains_key(number))
        .map(|number| *number as usize)
        .collect();
    let is_web = |offset: usize| offset < 5 || (10..16).contains(&offset);
    let context: Vec<usize> = (before..sent)
        .filter(|number| is_web(number - before))
        .collect();
    assert_eq!(new, context);
    assert_eq!(only(&alerts(&quaywatch, ""))["count"], 1);
    assert_eq!(loud["outcomes"]["stored"], kept.len());
    let metrics = quaywatch.metrics("/metrics");
    let count = |family: &str, label: &str| sum_of(&metrics, family, label);
    assert_eq!(
        count("quaywatch_records_total", "outcome=\"observed\""),
        (sent - kept.len()) as u64
    );
    assert_eq!(
        count("syscall_events_total", ""),
        sent as u64,
        "all are counted"
    );
    let profiles = quaywatch.get("/api/profiles");
    let profiled: u64 = profiles["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| profile["events"].as_u64().unwrap())
        .sum();
    assert_eq!(profiled, sent as u64, "all are profiled");
}

/// A webhook that answers 503 while it is `busy`.
pub(super) struct Hook {
    pub(super) address: SocketAddr,
    pub(super) busy: Arc<AtomicBool>,
    pub(super) bodies: mpsc::Receiver<Value>,
}

impl Hook {
    pub(super) fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let busy = Arc::new(AtomicBool::new(false));
        let (told, bodies) = mpsc::channel();
        let is_busy = Arc::clone(&busy);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut reader = BufReader::new(connection);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    let header = line.to_lowercase();
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    continue;
                }
                let status = if is_busy.load(Relaxed) {
                    "503 Service Unavailable"
                } else {
                    if let Ok(body) = serde_json::from_slice(&body) {
                        told.send(body).unwrap_or_default();
                    }
                    "200 OK"
                };
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                // Whoever asked may have gone.
                drop(reader.into_inner().write_all(head.as_bytes()));
            }
        });
        Self {
            address,
            busy,
            bodies,
        }
    }

    fn next(&self) -> Value {
        self.bodies.recv_timeout(SOON).expect("the webhook is told")
    }

    fn configuration(&self) -> String {
        format!(
            "inventory: {{docker: false}}\nnotifications:\n  sinks:\n  - name: hook\n    on: [raised, state]\n    \
             to: {{type: webhook, url: 'http://{}/'}}\n",
            self.address
        )
    }
}

#[test]
fn webhook_is_told_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::open();
    let start = || {
        server()
            .data_dir(folder.path())
            .configuration(&hook.configuration())
            .start()
    };
    let mut quaywatch = start();
    let tested = send(
        &quaywatch,
        "POST",
        "/api/notifications/hook/test",
        &json!({}),
    );
    assert_eq!(tested.json()["ok"], true, "{}", tested.text());
    assert_eq!(hook.next()["test"], true);
    post(&quaywatch, &[event("web", "First", "Warning", &json!({}))]);
    let told = hook.next();
    assert_eq!(told["alert"]["rule"], "First", "{told}");
    let outcome = |quaywatch: &Quaywatch, outcome: &str| {
        let label = format!("sink=\"hook\",outcome=\"{outcome}\"");
        quaywatch.metric("quaywatch_notifications_total", &label)
    };
    wait_for("the count of what was sent", SOON, || {
        (outcome(&quaywatch, "sent") == 1).then_some(())
    });

    hook.busy.store(true, Relaxed);
    post(&quaywatch, &[event("web", "Second", "Warning", &json!({}))]);
    wait_for("a try", SOON, || {
        (outcome(&quaywatch, "retried") > 0).then_some(())
    });
    assert_eq!(
        quaywatch.metric("quaywatch_notification_lag", "sink=\"hook\""),
        1
    );
    quaywatch.kill();
    hook.busy.store(false, Relaxed);
    let quaywatch = start();
    let told = hook.next();
    assert_eq!(told["alert"]["rule"], "Second", "{told}");
    wait_for("nothing to wait", SOON, || {
        (quaywatch.metric("quaywatch_notification_lag", "") == 0).then_some(())
    });
}

#[test]
fn alertmanager_holds_what_is_open() {
    if !Alertmanager::is_installed() && skip_without("prometheus-alertmanager") {
        return;
    }
    let alertmanager = Alertmanager::start();
    let quaywatch = server()
        .configuration(&format!(
            "inventory: {{docker: false}}\nnotifications:\n  sinks:\n  - name: manager\n    \
             to: {{type: alertmanager, urls: ['http://{}']}}\n",
            alertmanager.address()
        ))
        .start();
    post(&quaywatch, &[event("web", "Shell", "Critical", &json!({}))]);
    let held = wait_for("the alert at Alertmanager", SOON, || {
        Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty())
    });
    let labels = &only(&held)["labels"];
    assert_eq!(labels["alertname"], "Shell");
    assert_eq!(labels["severity"], "critical");
    let id = only(&alerts(&quaywatch, ""))["id"].clone();
    triage(&quaywatch, &json!({ "ids": [id], "action": "close" }));
    wait_for("its end at Alertmanager", SOON, || {
        alertmanager.alerts().is_empty().then_some(())
    });
    let list = quaywatch.get("/api/notifications");
    assert_eq!(list["items"][0]["name"], "manager");
    assert_eq!(list["items"][0]["failed"], 0, "{list}");
}

#[test]
fn profile_travels_to_another_server_and_detects_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, layout) = (path("web.quaywatch-profile.json"), path("layout"));
    let image = path("image.json");
    std::fs::write(&image, r#"{"schemaVersion":2,"layers":[]}"#).unwrap();
    let first = server().configuration(SLOW_LEARNING).start();
    live(&first, "web");
    cli_ok(&first, &["profile", "export", KEY, &file]);
    let digest = cli_ok(
        &first,
        &[
            "profile",
            "export",
            KEY,
            "--oci",
            &layout,
            "--tag",
            "v1",
            "--subject",
            &image,
        ],
    );
    assert!(digest.starts_with("sha256:"), "{digest}");

    let check = |import: &[&str]| {
        let second = server().configuration(SLOW_LEARNING).start();
        let imported = cli_ok(
            &second,
            &[&["profile", "import"], import, &["-o", "json"]].concat(),
        );
        let imported: Value = serde_json::from_str(&imported).unwrap();
        assert_eq!(
            (&imported["key"], &imported["state"]),
            (&json!(KEY), &json!("detecting"))
        );
        post(&second, &habits("web"));
        assert_eq!(alerts(&second, ""), [] as [Value; 0], "it knows");
        post(&second, &break_in("web"));
        assert_eq!(only(&alerts(&second, ""))["count"], 3, "it detects at once");
        let refused = cli(&second, &["profile", "import", &image]);
        assert_eq!(refused.status.code(), Some(3));
    };
    check(&[&file]);
    check(&["--oci", &layout]);
    through_a_registry(folder.path(), &layout, digest.trim());
    let copied = path("copied");
    if Path::new(&copied).exists() {
        check(&["--oci", &copied]);
    }
}

/// Pushes the layout to a real registry and pulls it into the folder `copied`.
fn through_a_registry(folder: &Path, layout: &str, digest: &str) {
    let is_there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    for program in ["docker-registry", "skopeo"] {
        if !is_there(program) && skip_without(program) {
            return;
        }
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let configuration = folder.join("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n",
        folder.join("registry").display()
    );
    std::fs::write(&configuration, text).unwrap();
    let mut registry = Command::new("docker-registry")
        .arg("serve")
        .arg(&configuration)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the registry", SOON, || {
        let answer = http::request(address, "GET", "/v2/", &[], b"").ok()?;
        (answer.status == 200).then_some(())
    });
    let copy = |from: &str, to: &str| {
        let output = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
            ])
            .args([from, to])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "skopeo copy {from} {to}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let remote = format!("docker://{address}/shop/web-profile:v1");
    copy(&format!("oci:{layout}:v1"), &remote);
    copy(
        &remote,
        &format!("oci:{}:v1", folder.join("copied").display()),
    );
    // Not a byte has changed on the way, so that the digest that was signed or noted still holds.
    let accept = [("accept", "application/vnd.oci.image.manifest.v1+json")];
    let path = format!("/v2/shop/web-profile/manifests/{digest}");
    let manifest = http::request(address, "GET", &path, &accept, b"").unwrap();
    assert_eq!(manifest.status, 200, "{}", manifest.text());
    let manifest = manifest.json();
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.quaywatch.profile.v1+json"
    );
    assert!(manifest["subject"]["digest"].is_string(), "{manifest}");
    // Nothing of it is needed any more.
    drop(registry.kill());
    drop(registry.wait());
}
