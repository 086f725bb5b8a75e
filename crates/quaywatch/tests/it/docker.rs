//! A real container that prints Falco's lines is followed across restarts of all three: of
//! ourselves, of the container, of the engine.

use std::{collections::BTreeMap, time::Duration};

use qw_testkit::{
    docker::{DockerEngine, Printer},
    quaywatch::Quaywatch,
    wait_for,
};

use crate::server;

/// Prints one Falco event every 20 ms, numbered across its own restarts by a file.
const FALCO: &str = r#"
echo "Sat Nov 21 09:00:00 2026: Falco version: 0.44.0 (x86_64)"
n=$(cat /count 2>/dev/null || echo 0)
while true; do
  n=$((n+1))
  echo $n > /count.new && mv /count.new /count
  echo "{\"hostname\":\"node-1\",\"output\":\"number $n\",\"output_fields\":{\"container.id\":\"host\",\"evt.type\":\"execve\",\"number\":$n,\"proc.name\":\"sh\"},\"priority\":\"Notice\",\"rule\":\"A\",\"source\":\"syscall\",\"tags\":[\"process\"],\"time\":\"$(date -u +%Y-%m-%dT%H:%M:%S).000000000Z\"}"
  usleep 20000
done
"#;

/// By number, when the printer printed it; one that is stored twice is there twice.
fn numbers(quaywatch: &Quaywatch) -> BTreeMap<u64, Vec<String>> {
    let mut seen = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/events?query=rule:A&limit=1000&start=now-1h&cursor={cursor}");
        let page = quaywatch.get(&path);
        for event in page["items"].as_array().into_iter().flatten() {
            let number = event["output_fields"]["number"].as_u64().expect("a number");
            let printed: &mut Vec<String> = seen.entry(number).or_default();
            printed.push(event["time"].to_string());
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return seen,
        }
    }
}

fn wait_for_more(quaywatch: &Quaywatch, than: usize) -> usize {
    wait_for("more events", Duration::from_secs(30), || {
        let count = numbers(quaywatch).len();
        (count > than + 20).then_some(count)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn falco_container_is_followed_across_restarts_of_all_three() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let configuration = format!(
        "inventory: {{endpoint: \"{0}\"}}\nsources:\n  - {{type: docker, container: falco, endpoint: \"{0}\"}}\n",
        engine.address()
    );
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration)
            .start()
    };

    // Events from before our start are there, too.
    engine.run_printer("falco", FALCO).await.unwrap();
    let mut quaywatch = start();
    let mut seen = wait_for_more(&quaywatch, 0);

    quaywatch.kill();
    quaywatch = start();
    seen = wait_for_more(&quaywatch, seen);

    engine.restart_container("falco").await.unwrap();
    seen = wait_for_more(&quaywatch, seen);

    engine.restart().await.unwrap();
    engine.start_container("falco").await.unwrap();
    seen = wait_for_more(&quaywatch, seen);

    assert!(quaywatch.stop().success());
    engine.restart_container("falco").await.unwrap();
    let quaywatch = start();
    seen = wait_for_more(&quaywatch, seen);

    engine.stop_container("falco").await.unwrap();
    let last: u64 = wait_for("the last events", Duration::from_secs(30), || {
        let count = numbers(&quaywatch);
        // The printer may die between its counter and its line, so the end is where it is quiet.
        std::thread::park_timeout(Duration::from_millis(500));
        (count == numbers(&quaywatch))
            .then(|| count.keys().copied().max())
            .flatten()
    });
    let numbers = numbers(&quaywatch);
    let doubled: Vec<_> = numbers.iter().filter(|(_, printed)| printed.len() > 1).collect();
    assert!(doubled.is_empty(), "stored twice: {doubled:?}");
    let missing: Vec<u64> = (1..=last)
        .filter(|number| !numbers.contains_key(number))
        .collect();
    // Each stop of the printer may fall between its counter and its line.
    assert!(
        missing.len() <= 4,
        "missing {missing:?} of {last}, {seen} seen"
    );

    let sources = quaywatch.get("/api/sources");
    let source = sources["items"]
        .as_array()
        .and_then(|items| items.iter().find(|source| source["kind"] == "docker"))
        .unwrap_or_else(|| panic!("{sources}"));
    assert!(source["outcomes"]["stored"].as_u64() > Some(0), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_shows_the_engines_containers_and_events_carry_them() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let id = engine
        .run(&Printer {
            name: "shop-web-1",
            script: "while true; do sleep 1; done",
            labels: &[
                ("com.docker.compose.project", "shop"),
                ("com.docker.compose.service", "web"),
            ],
            ..Printer::default()
        })
        .await
        .unwrap();
    let configuration = format!("inventory: {{endpoint: \"{}\"}}\n", engine.address());
    let quaywatch = server().configuration(&configuration).start();
    wait_for(
        "the container in the inventory",
        Duration::from_secs(20),
        || {
            let container = quaywatch.request("GET", "/api/containers/shop-web-1", &[], b"");
            (container.status == 200 && container.json()["state"] == "running").then_some(())
        },
    );
    let container = quaywatch.get("/api/containers/shop-web-1");
    assert_eq!(container["id"], id.as_str());
    assert_eq!(container["compose_project"], "shop");
    assert_eq!(container["compose_service"], "web");

    // An event that names only the short id gets the full reference.
    let line = crate::falco_line("x", 1, "A", "Notice").replace(
        "\"container.id\":\"x0000\",\"container.image.repository\":\"registry.example/x\",\"container.name\":\"x\"",
        &format!("\"container.id\":\"{}\"", &id[..12]),
    );
    assert!(line.contains(&id[..12]), "{line}");
    quaywatch.post_events(&line).unwrap();
    let logs = quaywatch.get("/api/containers/shop-web-1/logs");
    assert_eq!(logs["items"][0]["container"]["id"], id.as_str(), "{logs}");
    assert_eq!(logs["items"][0]["container"]["compose_service"], "web");

    // Its events are still its own when it is gone, also after a restart.
    engine.remove_container(&id).await.unwrap();
    wait_for("the container to be gone", Duration::from_secs(20), || {
        let container = quaywatch.request("GET", &format!("/api/containers/{id}"), &[], b"");
        (container.status == 200 && container.json()["state"] != "running").then_some(())
    });
    quaywatch.post_events(&line).unwrap();
    let logs = quaywatch.get(&format!("/api/containers/{id}/logs"));
    assert_eq!(logs["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        logs["items"][0]["container"]["name"], "shop-web-1",
        "{logs}"
    );
}
