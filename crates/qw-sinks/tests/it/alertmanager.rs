//! Alerts in a real Alertmanager.

use std::sync::Arc;

use qw_sinks::Standing;
use qw_testkit::{alertmanager::Alertmanager, skip_without, wait_for};
use serde_json::{Value, json};

use crate::{LIMIT, Running, memory::Memory};

fn workloads(server: &Alertmanager) -> Vec<String> {
    let mut workloads: Vec<String> = server
        .alerts()
        .iter()
        .map(|alert| {
            alert["labels"]["workload"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    workloads.sort();
    workloads
}

#[test]
fn alerts_stay_open_until_they_are_closed() {
    if !Alertmanager::is_installed() {
        skip_without("prometheus-alertmanager");
        return;
    }
    let mut server = Alertmanager::start();
    let memory = Arc::new(Memory::default());
    // The second member of the cluster is down all the time.
    let down = qw_testkit::free_port();
    let sinks = json!([{
        "name": "manager", "from": "beginning",
        "to": {
            "type": "alertmanager",
            "urls": [format!("http://{}/", server.address()), format!("http://127.0.0.1:{down}")],
            "labels": {"team": "blue"}, "resend_seconds": 5,
        },
    }]);
    let running = Running::start(&memory, sinks.clone());
    let (first, _) = memory.raise();
    let (_, second) = memory.raise();
    running.notifications.committed(second);
    wait_for("both are open", LIMIT, || {
        (workloads(&server) == ["shop/web-1", "shop/web-2"]).then_some(())
    });
    running.wait("the other member is named", |status| {
        let answer = status.last_answer.as_ref();
        answer.is_some_and(|answer| answer.0.contains("not all members"))
    });
    let alerts = server.alerts();
    let alert: &Value = alerts
        .iter()
        .find(|alert| alert["labels"]["workload"] == "shop/web-1")
        .unwrap();
    assert_eq!(
        alert["labels"],
        json!({
            "alertname": "Terminal shell in container", "severity": "critical",
            "priority": "critical", "source": "falco", "container_name": "shop-web-1",
            "image": "registry.example/shop/web", "workload": "shop/web-1", "namespace": "shop",
            "team": "blue",
        })
    );
    assert_eq!(
        alert["annotations"]["summary"],
        "A shell was opened, number 1"
    );
    assert_eq!(
        alert["annotations"]["console"],
        "https://quaywatch.example/alerts/1"
    );

    // It forgets everything: it is reminded.
    server.kill();
    server.launch();
    wait_for("both are open again", LIMIT, || {
        (workloads(&server).len() == 2).then_some(())
    });

    // One is closed while it is away, and so are we.
    server.kill();
    let closed = memory.close(first);
    running.notifications.committed(closed);
    running.wait("it is tried again", |status| {
        status.standing == Standing::Retrying
    });
    running.stop();
    server.launch();
    let running = Running::start(&memory, sinks);
    running.wait("its end is told", |status| status.position == closed);
    wait_for("one is open", LIMIT, || {
        (workloads(&server) == ["shop/web-2"]).then_some(())
    });

    let answer = running.test_send("manager").unwrap();
    assert!(answer.starts_with("200 OK"), "{answer}");
    wait_for("the test is there", LIMIT, || {
        let alerts = server.alerts();
        let mut names = alerts.iter().map(|alert| &alert["labels"]["alertname"]);
        names.any(|name| name == "QuaywatchTest").then_some(())
    });
    running.stop();
}
