//! What happens to real containers is an event, and an alert when it should not have happened.

use std::time::Duration;

use qw_testkit::{
    docker::{DockerEngine, Printer},
    quaywatch::Quaywatch,
    wait_for,
};
use serde_json::Value;

use crate::{check_conservation, server};

const SOON: Duration = Duration::from_secs(60);

/// What happened to the container `name`, the oldest first.
fn fate(quaywatch: &Quaywatch, name: &str) -> Vec<Value> {
    let path = format!(
        "/api/events?query=source:docker%20container.name:{name}&order=asc&limit=200&start=now-1h&end=2200-01-01T00:00:00Z"
    );
    quaywatch.get(&path)["items"].as_array().unwrap().clone()
}

fn rules(quaywatch: &Quaywatch, name: &str) -> Vec<String> {
    let fate = fate(quaywatch, name);
    let rule = |event: &Value| event["rule"].as_str().unwrap().to_owned();
    fate.iter().map(rule).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_containers_is_told_and_alerts() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        "inventory: {{endpoint: '{0}'}}\nsources: [{{type: docker, container: none, endpoint: '{0}'}}]\n",
        engine.address()
    );
    let start = || {
        server()
            .data_dir(&folder.path().join("data"))
            .configuration(&configuration)
            .start()
    };
    let mut quaywatch = start();
    wait_for("the engine's stream", SOON, || {
        let sources = quaywatch.get("/api/sources");
        let sources = sources["items"].as_array()?.clone();
        let events = sources
            .iter()
            .find(|source| source["id"] == "docker:events")?;
        (events["state"] == "running").then_some(())
    });

    engine.run_printer("well", "exit 0").await.unwrap();
    engine.run_printer("ill", "exit 3").await.unwrap();
    engine.run_printer("stopped", "sleep 1000").await.unwrap();
    engine.stop_container("stopped").await.unwrap();
    wait_for("the ends", SOON, || {
        let ended = |name: &str, rule: &str| rules(&quaywatch, name).iter().any(|own| own == rule);
        let all = ended("well", "Container ended")
            && ended("ill", "Container ended with an error")
            && ended("stopped", "Container ended");
        all.then_some(())
    });
    assert_eq!(
        rules(&quaywatch, "ill"),
        [
            "Container created",
            "Container started",
            "Container ended with an error"
        ]
    );
    let end = fate(&quaywatch, "ill").pop().unwrap();
    assert_eq!(end["output_fields"]["process.exit.code"], 3, "{end}");
    assert_eq!(end["container"]["image_repository"], "busybox", "{end}");

    // What happens while we are away is read afterwards, once.
    quaywatch.kill();
    for _ in 0..3 {
        engine.start_container("ill").await.unwrap();
        engine.wait_container("ill").await.unwrap();
    }
    quaywatch = start();
    let looping = |quaywatch: &Quaywatch| {
        let rules = rules(quaywatch, "ill");
        rules
            .iter()
            .any(|rule| rule == "Container restarts in a loop")
            .then_some(rules)
    };
    let told = wait_for("the loop", SOON, || looping(&quaywatch));
    let ends = told
        .iter()
        .filter(|rule| *rule == "Container ended with an error")
        .count();
    assert_eq!(ends, 4, "{told:?}");

    let alerts = quaywatch.get("/api/alerts?source=engine&limit=100");
    let mut alerts: Vec<String> = alerts["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["rule"].as_str().unwrap().to_owned())
        .collect();
    alerts.sort();
    assert_eq!(
        alerts,
        [
            "Container ended with an error",
            "Container restarts in a loop"
        ],
        "neither what ended well nor what was stopped"
    );

    // Another engine under the same address has forgotten; nothing comes twice, and new things do come.
    engine.restart().await.unwrap();
    engine
        .run(&Printer {
            name: "later",
            script: "exit 0",
            ..Printer::default()
        })
        .await
        .unwrap();
    wait_for("news after the engine's restart", SOON, || {
        rules(&quaywatch, "later")
            .iter()
            .any(|rule| rule == "Container ended")
            .then_some(())
    });
    assert_eq!(
        rules(&quaywatch, "ill")
            .iter()
            .filter(|rule| *rule == "Container ended with an error")
            .count(),
        4
    );
    let metrics = quaywatch.metrics("/metrics");
    assert!(
        !metrics.contains("rule=\"Container started\""),
        "these are no events of Falco"
    );
    check_conservation(&quaywatch);
}
