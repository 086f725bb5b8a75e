//! What containers use: who may see it, and what is said where there is nothing.

use std::time::Duration;

use qw_auth::{DataScope, Role};
use qw_inventory::Container;
use qw_usage::{Options, Sampler, Target, Usage};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::harness::{Harness, START};
use crate::HubOptions;

fn id(name: &str) -> String {
    format!("{name:0<64}")
}

/// Reads two containers from made-up control groups, twice.
async fn read(folder: &std::path::Path, usage: &Usage) {
    let write = |name: &str, file: &str, text: &str| {
        let group = folder.join("docker").join(id(name));
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join(file), text).unwrap();
    };
    std::fs::write(folder.join("cgroup.controllers"), "cpu memory").unwrap();
    for (name, bytes) in [("web", "1000"), ("db", "2000")] {
        write(
            name,
            "cpu.stat",
            "usage_usec 7000000\nsystem_usec 1000000\n",
        );
        write(name, "cpu.max", "50000 100000\n");
        write(name, "memory.current", bytes);
        write(name, "memory.max", "4096\n");
        write(name, "io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
    }
    let options = Options {
        interval: Duration::from_secs(10),
        keep: Duration::from_secs(3600),
        max_containers: 10,
        roots: qw_cgroup::Roots {
            cgroup: folder.to_owned(),
            proc: folder.join("proc"),
        },
        clock: || START.saturating_sub(Duration::from_secs(60)),
    };
    let targets = || {
        let target = |name: &str| Target {
            id: id(name),
            started: None,
        };
        vec![target("web"), target("db")]
    };
    let sampler = Sampler::new(options, None, Box::new(targets), usage.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(sampler.run(stop.clone()));
    while usage.status().rounds < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    running.await.unwrap();
}

async fn harness(folder: &std::path::Path) -> Harness {
    let usage = Usage::default();
    read(folder, &usage).await;
    let harness = Harness::with(|parts| parts.usage = Some(usage), HubOptions::default());
    let container = |name: &str, state: &str| Container {
        id: id(name),
        name: name.to_owned(),
        state: state.to_owned(),
        labels: [(String::from("team"), name.to_owned())].into(),
        ..Container::default()
    };
    harness.state.parts.inventory.set_static(vec![
        container("web", "running"),
        container("db", "running"),
        container("old", "exited"),
    ]);
    harness
}

#[tokio::test(start_paused = true)]
async fn use_is_told_with_its_way_its_limits_and_its_history() {
    let folder = tempfile::tempdir().unwrap();
    let harness = harness(folder.path()).await;
    let reader = harness.reader();
    let answer = harness.get("/api/containers/web/usage", &reader).await;
    let usage = answer.expect(200).json();
    assert_eq!(usage["way"], "cgroup_v2");
    assert_eq!(usage["container_name"], "web");
    assert_eq!(usage["interval_seconds"], 10.0);
    assert_eq!(usage["current"]["memory_usage_bytes"], 1000);
    assert_eq!(usage["current"]["cpu_usage_seconds_total"], 7.0);
    assert_eq!(usage["current"]["devices"][0]["name"], "254:0");
    assert_eq!(usage["current"]["interfaces"], Value::Null);
    assert_eq!(usage["limits"]["cpu_cores"], 0.5);
    assert_eq!(usage["limits"]["memory_bytes"], 4096);
    assert_eq!(usage["limits"]["threads"], Value::Null);
    let history = usage["history"].as_object().unwrap();
    for (name, values) in history {
        assert_eq!(values.as_array().unwrap().len(), 2, "{name}");
    }
    assert_eq!(
        history["times"][0],
        START.saturating_sub(Duration::from_secs(60)).to_string()
    );
    // The second reading has a rate, of nothing.
    assert_eq!(history["cpu_cores"][1], 0.0);
    assert_eq!(history["cpu_cores"][0], Value::Null);

    let recent = "/api/containers/web/usage?start=now-30s";
    let usage = harness.get(recent, &reader).await.expect(200).json();
    assert!(usage["history"]["times"].as_array().unwrap().is_empty());
    assert_ne!(usage["current"], Value::Null);

    let usage = harness.get("/api/containers/old/usage", &reader).await;
    let usage = usage.expect(200).json();
    assert_eq!(usage["why"], "it does not run");
    let answer = harness.get("/api/containers/none/usage", &reader).await;
    assert_eq!(answer.expect(404).code(), "not_found");
    let all = harness.get("/api/usage", &reader).await.expect(200).json();
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        let name = |item: &Value| item["container_name"].as_str().unwrap().to_owned();
        items.map(name).collect()
    };
    assert_eq!(names(&all), ["db", "web"]);
    assert_eq!(all["items"][0]["current"]["memory_usage_bytes"], 2000);

    // Who is confined to one label sees its containers.
    let scope = DataScope {
        namespaces: Vec::new(),
        labels: vec!["team=web".parse().unwrap()],
    };
    let confined = harness.session_of("wendy", Role::Viewer, Some(scope));
    let all = harness.get("/api/usage", &confined).await.expect(200);
    assert_eq!(names(&all.json()), ["web"]);
    harness
        .get("/api/containers/web/usage", &confined)
        .await
        .expect(200);
    for hidden in ["db", &id("db")] {
        let path = format!("/api/containers/{hidden}/usage");
        harness.get(&path, &confined).await.expect(404);
    }
}

#[tokio::test]
async fn where_nothing_is_read_that_is_said() {
    let harness = Harness::new();
    harness.know("web", "running");
    let reader = harness.reader();
    let usage = harness.get("/api/containers/web/usage", &reader).await;
    let usage = usage.expect(200).json();
    assert_eq!(usage["way"], "none");
    assert_eq!(usage["interval_seconds"], Value::Null);
    assert!(
        usage["why"].as_str().unwrap().contains("usage.enabled"),
        "{usage}"
    );
    let answer = harness
        .get("/api/containers/web/usage?start=yesterday", &reader)
        .await;
    assert_eq!(answer.expect(400).code(), "invalid_parameter");
}
