//! Mail to a real server.

use std::sync::Arc;

use qw_sinks::Standing;
use qw_testkit::{
    mail::{MailServer, Protection},
    skip_without, wait_for,
};
use serde_json::json;

use crate::{LIMIT, Running, assert_in_order_and_complete, memory::Memory};

/// A certificate for `127.0.0.1` that signs itself, and its key; PEM.
pub(crate) fn identity() -> (String, String) {
    let mut parameters =
        rcgen::CertificateParams::new(vec![String::from("127.0.0.1"), String::from("localhost")])
            .unwrap();
    parameters.distinguished_name.push(
        rcgen::DnType::CommonName,
        format!("quaywatch test {}", crate::unique()),
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn to(server: &MailServer, security: &str) -> serde_json::Value {
    json!({
        "type": "smtp", "host": "127.0.0.1", "port": server.address().port(),
        "security": security, "sender": "Quaywatch <quaywatch@example.org>",
        "recipients": ["anna@example.org"],
    })
}

fn sequences(server: &MailServer) -> Vec<u64> {
    let sequence = |mail: serde_json::Value| {
        let text = mail["text"].as_str()?.to_owned();
        let (_, rest) = text.split_once("Message-ID: <quaywatch.mail-")?;
        rest.split('@').next()?.parse().ok()
    };
    server.received().into_iter().filter_map(sequence).collect()
}

#[test]
fn every_change_arrives_across_a_kill_of_the_server() {
    if !MailServer::is_installed() {
        skip_without("python3-aiosmtpd");
        return;
    }
    let mut server = MailServer::start(Protection::None);
    let memory = Arc::new(Memory::default());
    for _ in 0..10 {
        memory.raise();
    }
    let running = Running::start(
        &memory,
        json!([{
            "name": "mail", "from": "beginning", "at_most": {"messages": 0},
            "to": to(&server, "none"),
        }]),
    );
    wait_for("some arrive", LIMIT, || {
        (!server.received().is_empty()).then_some(())
    });
    server.kill();
    for _ in 0..10 {
        running.notifications.committed(memory.raise().1);
    }
    running.wait("it is tried again", |status| {
        status.standing == Standing::Retrying
    });
    server.launch();
    running.wait("all is told", |status| status.position == 20);
    assert_in_order_and_complete(&sequences(&server), 1..=20);
    let mail = server.received().remove(0);
    let text = mail["text"].as_str().unwrap();
    for expected in [
        "Subject: [Quaywatch] Critical: A shell was opened, number 1 (raised)",
        "To: anna@example.org",
        "Auto-Submitted: auto-generated",
        "Container:  shop-web-1",
        "https://quaywatch.example/alerts/1",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    running.stop();
}

#[test]
fn a_bad_address_keeps_nobody_else_from_being_told() {
    if !MailServer::is_installed() {
        skip_without("python3-aiosmtpd");
        return;
    }
    let server = MailServer::start(Protection::None);
    let memory = Arc::new(Memory::default());
    memory.raise();
    let mut some = to(&server, "none");
    some["recipients"] = json!(["nobody@example.org", "anna@example.org", "bert@example.org"]);
    let mut none = to(&server, "none");
    none["recipients"] = json!(["nobody@example.org"]);
    let running = Running::start(
        &memory,
        json!([
            {"name": "some", "from": "beginning", "to": some},
            {"name": "none", "from": "beginning", "to": none},
        ]),
    );
    let status = running.wait("it is told", |status| status.position == 1);
    let answer = status.last_answer.unwrap().0;
    assert!(
        answer.ends_with("not taken for nobody@example.org"),
        "{answer}"
    );
    let to: Vec<_> = server
        .received()
        .iter()
        .map(|mail| mail["to"].clone())
        .collect();
    assert_eq!(
        to,
        [json!(["anna@example.org"]), json!(["bert@example.org"])]
    );
    let refused = wait_for("it is given up", LIMIT, || {
        running
            .notifications
            .statuses()
            .pop()
            .filter(|status| status.failed == 1)
    });
    let failure = refused.last_failure.unwrap();
    assert!(
        failure.given_up && failure.text.contains("no such user"),
        "{failure:?}"
    );
    running.stop();
}

#[test]
fn passwords_travel_protected_and_wrong_ones_lose_nothing() {
    if !MailServer::is_installed() {
        skip_without("python3-aiosmtpd");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = identity();
    let trusted = file("ca.pem", &certificate);
    let starttls = MailServer::start(Protection::Starttls(certificate.clone(), key.clone()));
    let tls = MailServer::start(Protection::Tls(certificate, key));
    let memory = Arc::new(Memory::default());
    memory.raise();
    let password = file("password", "wrongwrong");
    let mut first = to(&starttls, "starttls");
    first["tls"] = json!({"ca_file": trusted});
    first["username"] = json!("quaywatch");
    first["password"] = json!({"file": password});
    let mut second = to(&tls, "tls");
    second["tls"] = json!({"ca_file": trusted});
    let running = Running::start(
        &memory,
        json!([
            {"name": "starttls", "from": "beginning", "to": first},
            {"name": "tls", "from": "beginning", "to": second},
        ]),
    );
    let status = running.wait("it is refused", |status| status.last_failure.is_some());
    let failure = status.last_failure.unwrap();
    assert!(
        failure.text.contains("535") && !failure.given_up,
        "{failure:?}"
    );
    assert!(!failure.text.contains("wrongwrong"));
    // The password is set right while we run.
    file("password", "hunter2hunter2\n");
    running.wait("it is told", |status| status.position == 1);
    let mail = starttls.received().remove(0);
    assert_eq!(
        (&mail["tls"], &mail["user"]),
        (&json!(true), &json!("quaywatch"))
    );
    wait_for("it is told over TLS", LIMIT, || {
        tls.received().into_iter().next()
    });
    let answer = running.test_send("starttls").unwrap();
    assert!(answer.starts_with("250"), "{answer}");
    let test = starttls.received().pop().unwrap();
    assert!(
        test["text"]
            .as_str()
            .unwrap()
            .contains("Subject: [Quaywatch] [TEST] ")
    );
    running.stop();
}
