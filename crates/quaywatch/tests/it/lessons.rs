//! Closing an alert as expected teaches the profile; reopening takes it back; a kill changes nothing.

use qw_testkit::{http, quaywatch::Quaywatch};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    alerts::{
        KEY, SLOW_LEARNING, alerts, break_in, cli, cli_ok, encoded, freeze, live, only, post, send,
        triage,
    },
    server,
};

fn start(folder: &TempDir) -> Quaywatch {
    server()
        .data_dir(&folder.path().join("data"))
        .configuration(SLOW_LEARNING)
        .start()
}

/// `kill -9`, and a new life.
fn kill(quaywatch: &mut Quaywatch, folder: &TempDir) {
    quaywatch.kill();
    *quaywatch = start(folder);
}

/// A server that knows what the web server does, and met something else.
fn alarmed(folder: &TempDir) -> (Quaywatch, u64) {
    let quaywatch = start(folder);
    live(&quaywatch, "web");
    freeze(&quaywatch);
    post(&quaywatch, &break_in("web"));
    let id = only(&alerts(&quaywatch, ""))["id"].as_u64().unwrap();
    (quaywatch, id)
}

fn nodes_in(quaywatch: &Quaywatch, state: &str) -> Vec<Value> {
    let tree = quaywatch.get(&format!("/api/hbt/{}?state={state}", encoded(KEY)));
    let mut found = Vec::new();
    let mut waiting = vec![tree];
    while let Some(mut node) = waiting.pop() {
        let children = node["children"].as_array_mut().map(std::mem::take);
        let children = children.unwrap_or_default();
        if children.is_empty() && node["metadata"]["state"] == state {
            found.push(node);
        }
        waiting.extend(children);
    }
    found
}

fn history(quaywatch: &Quaywatch, id: u64) -> Vec<Value> {
    let alert = quaywatch.get(&format!("/api/alerts/{id}"));
    let history = alert["history"].as_array().unwrap().clone();
    let states = history
        .into_iter()
        .filter(|change| change["action"] == "state");
    states.collect()
}

/// The same again is known: nobody is told anything.
#[track_caller]
fn same_again_is_no_news(quaywatch: &mut Quaywatch, folder: &TempDir) {
    for _ in 0..2 {
        let before = quaywatch.get("/api/alerts?state=closed");
        post(quaywatch, &break_in("web"));
        assert_eq!(alerts(quaywatch, "state=open"), [] as [Value; 0]);
        // Not even counted: it is no deviation any more.
        let after = quaywatch.get("/api/alerts?state=closed");
        assert_eq!(after["items"][0]["count"], before["items"][0]["count"]);
        kill(quaywatch, folder);
    }
}

#[test]
fn closing_as_expected_teaches_the_profile_also_when_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut quaywatch, id) = alarmed(&folder);
    let shown = quaywatch.get(&format!("/api/alerts/{id}"));
    let behaviour = shown["behaviour"].as_array().unwrap().clone();
    assert_eq!(shown["teachable"], behaviour.len());
    assert_eq!(shown["taught"], 0);
    let agent = json!({ "branch": "file", "operation": "openat", "process": "sh",
        "kind": "written_path", "token": "/tmp/.x/agent" });
    assert!(behaviour.contains(&agent), "{behaviour:?}");
    assert_eq!(nodes_in(&quaywatch, "deviating").len(), behaviour.len());

    let printed = cli_ok(
        &quaywatch,
        &["alerts", "close", &id.to_string(), "--reason", "expected"],
    );
    assert!(printed.contains("closed"), "{printed}");
    // The moment after the answer.
    kill(&mut quaywatch, &folder);

    let closed = quaywatch.get(&format!("/api/alerts/{id}"));
    assert_eq!(closed["state"], "closed");
    assert_eq!(closed["taught"], behaviour.len());
    let last = history(&quaywatch, id).pop().unwrap();
    assert_eq!(
        (&last["reason"], &last["taught"]),
        (&json!("expected"), &json!(behaviour.len()))
    );
    let accepted = nodes_in(&quaywatch, "accepted");
    assert_eq!(accepted.len(), behaviour.len());
    for node in &accepted {
        assert_eq!(node["metadata"]["accepted"]["alert"], id, "{node}");
        assert!(
            node["metadata"]["accepted"]["by"]
                .as_str()
                .is_some_and(|by| !by.is_empty())
        );
    }
    assert_eq!(nodes_in(&quaywatch, "deviating").len(), 0);
    let audit = quaywatch.get("/api/audit?action=alert.close");
    let entry = audit["items"][0].to_string();
    assert!(entry.contains("learned"), "{entry}");
    same_again_is_no_news(&mut quaywatch, &folder);

    // Opened again, it is news again.
    cli_ok(&quaywatch, &["alerts", "reopen", &id.to_string()]);
    let reopened = quaywatch.get(&format!("/api/alerts/{id}"));
    assert_eq!(
        (&reopened["state"], &reopened["taught"]),
        (&json!("new"), &json!(0))
    );
    assert_eq!(nodes_in(&quaywatch, "accepted").len(), 0);
    let count = reopened["count"].as_u64().unwrap();
    post(&quaywatch, &break_in("web"));
    let again = quaywatch.get(&format!("/api/alerts/{id}"));
    assert_eq!(again["count"], count + 3, "they belong to the open alert");
}

#[test]
fn only_who_asks_for_it_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let (quaywatch, id) = alarmed(&folder);
    let number = id.to_string();
    for arguments in [
        ["--reason", "expected", "--no-teach"],
        ["--reason", "false-positive", "--output=text"],
    ] {
        cli_ok(
            &quaywatch,
            &[&["alerts", "close", &number][..], &arguments].concat(),
        );
        assert_eq!(nodes_in(&quaywatch, "accepted").len(), 0, "{arguments:?}");
        cli_ok(&quaywatch, &["alerts", "reopen", &number]);
    }
    let both = ["alerts", "close", &number, "--teach", "--no-teach"];
    assert_eq!(cli(&quaywatch, &both).status.code(), Some(2));
    let close =
        json!({ "ids": [id], "action": "close", "reason": "false_positive", "teach": true });
    let closed = triage(&quaywatch, &close);
    assert_eq!(
        closed["items"][0]["taught"],
        closed["items"][0]["teachable"]
    );
    assert!(!nodes_in(&quaywatch, "accepted").is_empty());
    // Whoever is confined to some containers cannot change what others share.
    let refused = as_confined_analyst(&quaywatch, &close);
    assert_eq!(refused.status, 403, "{}", refused.text());
}

/// Asks for triage as an analyst who sees one namespace only.
fn as_confined_analyst(quaywatch: &Quaywatch, body: &Value) -> http::Response {
    let (name, password) = ("eve", "a long enough password");
    let user = json!({ "username": name, "password": password, "role": "analyst",
        "scope": { "namespaces": ["shop"] } });
    let made = send(quaywatch, "POST", "/api/users", &user);
    assert_eq!(made.status, 201, "{}", made.text());
    let json = ("content-type", "application/json");
    let credentials = json!({ "username": name, "password": password }).to_string();
    let console = quaywatch.console;
    let signed_in = http::request(
        console,
        "POST",
        "/api/session",
        &[json],
        credentials.as_bytes(),
    )
    .unwrap();
    let csrf = signed_in.json()["csrf_token"].as_str().unwrap().to_owned();
    let cookie = signed_in.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let headers = [
        ("cookie", cookie),
        ("x-quaywatch-csrf", csrf.as_str()),
        json,
    ];
    let body = body.to_string();
    http::request(
        console,
        "POST",
        "/api/alerts/triage",
        &headers,
        body.as_bytes(),
    )
    .unwrap()
}

#[test]
fn acknowledging_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let (quaywatch, id) = alarmed(&folder);
    let number = id.to_string();
    cli_ok(&quaywatch, &["alerts", "ack", &number]);
    let printed = cli_ok(&quaywatch, &["alerts", "unack", &number]);
    assert!(printed.contains(" new "), "{printed}");
    let states: Vec<Value> = history(&quaywatch, id)
        .into_iter()
        .map(|change| change["state"].clone())
        .collect();
    assert_eq!(states, ["acknowledged", "new"]);
    let body = json!({ "ids": [id], "action": "close" });
    triage(&quaywatch, &body);
    let body = json!({ "ids": [id], "action": "unacknowledge" });
    let refused = send(&quaywatch, "POST", "/api/alerts/triage", &body);
    assert_eq!(refused.status, 409, "{}", refused.text());
}
