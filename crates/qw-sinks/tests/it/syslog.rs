//! Messages in a real rsyslog.

use std::sync::Arc;

use qw_sinks::Standing;
use qw_testkit::{
    rsyslog::{Rsyslog, Transport},
    skip_without, wait_for,
};
use serde_json::json;

use crate::{LIMIT, Running, assert_in_order_and_complete, memory::Memory, unique};

fn sequences(server: &Rsyslog) -> Vec<u64> {
    let lines = server.received();
    let sequence = |line: &String| {
        let (_, rest) = line.split_once("sequence=\"")?;
        rest.split('"').next()?.parse().ok()
    };
    lines.iter().filter_map(sequence).collect()
}

#[test]
fn every_change_arrives_over_tcp_across_a_restart() {
    if !Rsyslog::is_installed(false) {
        skip_without("rsyslog");
        return;
    }
    let mut server = Rsyslog::start(Transport::Tcp);
    let memory = Arc::new(Memory::default());
    let running = Running::start(
        &memory,
        json!([{
            "name": "logs", "from": "beginning",
            "to": {"type": "syslog", "address": server.address().to_string()},
        }]),
    );
    for _ in 0..150 {
        running.notifications.committed(memory.raise().1);
    }
    wait_for("some arrive", LIMIT, || {
        (!sequences(&server).is_empty()).then_some(())
    });
    server.stop();
    for _ in 0..150 {
        running.notifications.committed(memory.raise().1);
    }
    running.wait("it is tried again", |status| {
        status.standing == Standing::Retrying
    });
    server.launch();
    running.wait("all is told", |status| status.position == 300);
    wait_for("all is written", LIMIT, || {
        sequences(&server).contains(&300).then_some(())
    });
    assert_in_order_and_complete(&sequences(&server), 1..=300);
    let lines = server.received();
    let first = lines
        .iter()
        .find(|line| line.contains("sequence=\"1\""))
        .unwrap();
    for expected in [
        "130 20",
        " node-1 quaywatch raised [quaywatch@32473 id=\"1\" ",
        " container=\"shop-web-1\" ",
        " link=\"https://quaywatch.example/alerts/1\"] ",
        "Critical: A shell was opened, number 1 (raised)",
    ] {
        assert!(first.contains(expected), "{expected:?} is not in {first}");
    }
    let answer = running.test_send("logs").unwrap();
    assert!(answer.contains("read to its end"), "{answer}");
    wait_for("the test is written", LIMIT, || {
        server
            .received()
            .iter()
            .any(|line| line.contains("[TEST]"))
            .then_some(())
    });
    running.stop();
}

#[test]
fn events_in_common_format_arrive_as_datagrams() {
    if !Rsyslog::is_installed(false) {
        skip_without("rsyslog");
        return;
    }
    let server = Rsyslog::start(Transport::Udp);
    let memory = Arc::new(Memory::default());
    memory.raise_with(|alert| alert.rule = "a|b".into());
    let running = Running::start(
        &memory,
        json!([{
            "name": "logs", "from": "beginning",
            "to": {
                "type": "syslog", "address": server.address().to_string(), "transport": "udp",
                "format": "cef", "facility": "auth",
            },
        }]),
    );
    let line = wait_for("it arrives", LIMIT, || server.received().into_iter().next());
    assert!(line.starts_with("34 "), "{line}");
    assert!(
        line.contains(r"CEF:0|Quaywatch|Quaywatch|0.1.0|a\|b|Critical: A shell was"),
        "{line}"
    );
    running.stop();
}

#[test]
fn messages_arrive_over_tls_from_those_who_trust_it() {
    if !Rsyslog::is_installed(true) {
        skip_without("rsyslog-gnutls");
        return;
    }
    let (certificate, key) = crate::mail::identity();
    let server = Rsyslog::start(Transport::Tls {
        authority: certificate.clone(),
        certificate: certificate.clone(),
        key,
    });
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join(format!("{}.pem", unique()));
    fs_err::write(&trusted, certificate).unwrap();
    let memory = Arc::new(Memory::default());
    memory.raise();
    let to = |tls: serde_json::Value| {
        json!({
            "type": "syslog", "transport": "tls", "tls": tls,
            "address": server.address().to_string(),
        })
    };
    let running = Running::start(
        &memory,
        json!([
            {"name": "good", "from": "beginning", "to": to(json!({"ca_file": trusted}))},
            {"name": "bad", "from": "beginning", "to": to(json!({"ca_file": stranger(&folder)}))},
        ]),
    );
    running.wait("it is told", |status| status.position == 1);
    wait_for("it arrives", LIMIT, || {
        (sequences(&server) == [1]).then_some(())
    });
    let refused = wait_for("a stranger is not trusted", LIMIT, || {
        running.notifications.statuses().pop()?.last_failure
    });
    assert!(refused.text.contains("certificate"), "{refused:?}");
    running.stop();
}

/// A file with an authority that vouches for nobody here.
fn stranger(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join(format!("{}.pem", unique()));
    fs_err::write(&path, crate::mail::identity().0).unwrap();
    path
}
