//! Who may do what, through the real binary and its command line.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use qw_testkit::{
    http::{self, EventStream},
    quaywatch::Quaywatch,
};
use serde_json::{Value, json};

use crate::{BINARY, falco_line, server};

const JSON: (&str, &str) = ("content-type", "application/json");

const PASSWORD: &str = "tide-and-lantern";

fn run(quaywatch: &Quaywatch, arguments: &[&str]) -> Output {
    let data_dir = quaywatch.data_dir().to_str().unwrap();
    Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .env("QUAYWATCH_DATA_DIR", data_dir)
        .output()
        .expect("the binary starts")
}

#[track_caller]
fn good(quaywatch: &Quaywatch, arguments: &[&str]) -> String {
    let output = run(quaywatch, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes the user `name` and signs in; the cookie.
fn session_of(quaywatch: &Quaywatch, name: &str, role: &str, scope: Value) -> String {
    let user = json!({ "username": name, "password": PASSWORD, "role": role, "scope": scope });
    let user = user.to_string();
    let made = quaywatch.request("POST", "/api/users", &[JSON], user.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    let body = json!({ "username": name, "password": PASSWORD }).to_string();
    let headers = [JSON];
    let console = quaywatch.console;
    let answer = http::request(console, "POST", "/api/session", &headers, body.as_bytes());
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn get(quaywatch: &Quaywatch, path: &str, cookie: &str) -> http::Response {
    http::request(quaywatch.console, "GET", path, &[("cookie", cookie)], b"").unwrap()
}

/// A line of `container` in `namespace`, an alert each.
fn line_in(namespace: &str, container: &str, number: usize) -> String {
    falco_line(container, number, "Shell", "Critical")
        .replace(
            "\"user.name\"",
            &format!("\"k8s.ns.name\":\"{namespace}\",\"user.name\""),
        )
        // The same workload everywhere.
        .replace(
            &format!("registry.example/{container}"),
            "registry.example/shop/web",
        )
}

#[test]
fn people_of_two_namespaces_see_their_own_alerts_of_one_workload() {
    let quaywatch = server().start();
    let scope = |namespace: &str| json!({ "namespaces": [namespace], "labels": [] });
    let blue = session_of(&quaywatch, "blue", "analyst", scope("blue"));
    let green = session_of(&quaywatch, "green", "viewer", scope("green"));
    let stream = |cookie: &str| {
        let path = "/api/stream?types=alert";
        let wait = std::time::Duration::from_secs(60);
        EventStream::open(quaywatch.console, path, &[("cookie", cookie)], wait).unwrap()
    };
    let mut streams = [stream(&blue), stream(&green)];
    let lines = [
        line_in("blue", "web-1", 1),
        line_in("green", "web-2", 2),
        line_in("blue", "web-3", 3),
    ];
    quaywatch.post_events(&lines.join("\n")).unwrap();
    let all = quaywatch.get("/api/alerts");
    assert_eq!(all["aggregates"]["total"], 2, "{all}");
    for (stream, (cookie, own, containers, foreign)) in streams.iter_mut().zip([
        (&blue, "blue", vec!["web-3", "web-1"], "web-2"),
        (&green, "green", vec!["web-2"], "web-1"),
    ]) {
        let page = get(&quaywatch, "/api/alerts", cookie);
        assert!(!page.text().contains(foreign), "{own}: {}", page.text());
        let alerts = page.json();
        assert_eq!(alerts["aggregates"]["total"], 1, "{own}: {alerts}");
        let alert = &alerts["items"][0];
        let names: Vec<&str> = alert["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|container| container["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, containers, "{own}");
        assert_eq!(alert["count"], containers.len());
        let message = loop {
            let data = stream.next_message().unwrap().unwrap().data;
            if data["type"] == "alert" {
                break data;
            }
            assert_eq!(data["type"], "heartbeat", "{own}");
        };
        let told = message["payload"]["alerts"].as_array().unwrap();
        assert!(told.iter().all(|it| it["id"] == alert["id"]), "{message}");
        // Nobody reads or works on what is not theirs.
        let other = all["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] != alert["id"])
            .unwrap();
        let path = format!("/api/alerts/{}", other["id"]);
        assert_eq!(get(&quaywatch, &path, cookie).status, 404, "{own}");
        let overview = get(&quaywatch, "/api/overview", cookie).json();
        assert_eq!(overview["alerts"]["total"], 1, "{own}: {overview}");
        assert_eq!(overview["alerts"]["by_priority"]["Critical"], 1);
        let top = get(&quaywatch, "/api/alerts/top?by=container", cookie).json();
        assert_eq!(top["items"].as_array().unwrap().len(), containers.len());
    }
    let of = |arguments: &[&str]| {
        let arguments = [&["alerts", "list"], arguments].concat();
        good(&quaywatch, &arguments).lines().count()
    };
    assert_eq!(of(&["--namespace", "blue"]), 1);
    assert_eq!(of(&["--image", "registry.example/shop/web"]), 2);
    assert_eq!(of(&["--container", "web-1"]), 1);
    assert_eq!(of(&["--image", "registry.example/other"]), 0);
}

#[test]
fn a_reader_of_logs_reads_logs_and_nothing_else() {
    let quaywatch = server().start();
    quaywatch
        .post_events(&falco_line("web", 1, "Shell", "Critical"))
        .unwrap();
    let reader = session_of(&quaywatch, "eve", "log_reader", Value::Null);
    let document = http::request(quaywatch.console, "GET", "/api/openapi.json", &[], b"");
    let document = document.unwrap().json();
    let (mut may, mut declared, mut may_not) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        if !item["get"].is_object() || path.contains("/stream") || path.contains("/oidc/") {
            continue;
        }
        if matches!(
            item["get"]["x-permission"].as_str(),
            None | Some("session" | "view_events")
        ) {
            declared.insert(path.as_str());
        }
        let asked = path.replace("{id}", "1").replace("{name}", "x");
        let asked = asked.replace("{key}", "x").replace("{container}", "web");
        match get(&quaywatch, &asked, &reader).status {
            403 => may_not += 1,
            _ => {
                may.insert(path.as_str());
            }
        }
    }
    assert_eq!(may, declared);
    for path in ["/api/events", "/api/containers/{id}/logs", "/api/session"] {
        assert!(may.contains(path), "{path}");
    }
    for path in [
        "/api/alerts",
        "/api/containers",
        "/api/overview",
        "/api/tokens",
    ] {
        assert!(!may.contains(path), "{path}");
    }
    assert!(may_not >= 20, "{may_not}");
    let events = get(&quaywatch, "/api/events", &reader).json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
}

#[test]
fn the_audit_log_is_read_checked_and_taken_away_by_command() {
    let quaywatch = server().start();
    let analyst = session_of(&quaywatch, "adelaide", "analyst", Value::Null);
    quaywatch
        .post_events(&falco_line("web", 1, "Shell", "Critical"))
        .unwrap();
    assert_eq!(
        get(&quaywatch, "/api/users/assignable", &analyst).status,
        200
    );

    // Only those who may triage can be asked to.
    let id = quaywatch.get("/api/alerts")["items"][0]["id"].to_string();
    let wrong = run(&quaywatch, &["alerts", "assign", &id, "--to", "adelaid"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("`adelaide`"), "{said}");
    good(&quaywatch, &["alerts", "assign", &id, "--to", "adelaide"]);
    let alert = quaywatch.get(&format!("/api/alerts/{id}"));
    assert_eq!(alert["assignee"], "adelaide");

    // A token's first use is told once.
    let token = good(
        &quaywatch,
        &["token", "create", "probe", "--scopes", "read"],
    );
    for _ in 0..2 {
        let bearer = format!("Bearer {}", token.trim());
        let headers = [("authorization", bearer.as_str())];
        let answer = http::request(quaywatch.console, "GET", "/api/events", &headers, b"");
        assert_eq!(answer.unwrap().status, 200);
    }
    let used = quaywatch.get("/api/audit?action=token.first_use");
    let of_probe = |entry: &&Value| entry["detail"] == "probe";
    let used: Vec<&Value> = used["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_probe)
        .collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(used[0]["address"], "127.0.0.1");

    let listed = good(&quaywatch, &["audit", "list", "--action", "alert"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let hash = good(&quaywatch, &["audit", "verify"]);
    assert_eq!(hash.trim().len(), 64, "{hash}");
    let newest = quaywatch.get("/api/audit?limit=1");
    assert_eq!(newest["items"][0]["hash"], hash.trim());
    let lines = good(&quaywatch, &["audit", "export"]);
    let entries: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries[0]["hash"], hash.trim());
    for pair in entries.windows(2) {
        assert_eq!(pair[0]["previous"], pair[1]["hash"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.csv");
    let arguments = ["audit", "export", "--format", "csv", file.to_str().unwrap()];
    good(&quaywatch, &arguments);
    let csv = std::fs::read_to_string(file).unwrap();
    assert!(csv.starts_with("sequence,time,user,"), "{csv}");
    assert_eq!(csv.lines().count(), entries.len() + 1, "{csv}");
}
