//! Real containers that print Falco's lines are followed across restarts of all three (ourselves,
//! the container, the engine), across names and removals, and by every way to select them.

use std::{collections::BTreeMap, time::Duration};

use qw_testkit::{
    docker::{DockerEngine, Printer},
    quaywatch::Quaywatch,
    sampled, wait_for,
};

use crate::{check_conservation, server};

/// Long enough for an engine and a server on a machine that does many other things.
const SOON: Duration = Duration::from_secs(120);

/// Prints one Falco event of `rule` every 20 ms, numbered across its own restarts by a file.
fn falco(rule: &str) -> String {
    format!(
        r#"
echo "Sat Nov 21 09:00:00 2026: Falco version: 0.44.0 (x86_64)"
n=$(cat /count 2>/dev/null || echo 0)
while true; do
  n=$((n+1))
  echo $n > /count.new && mv /count.new /count
  echo "{{\"hostname\":\"node-1\",\"output\":\"number $n\",\"output_fields\":{{\"container.id\":\"host\",\"evt.type\":\"execve\",\"number\":$n,\"proc.name\":\"sh\"}},\"priority\":\"Notice\",\"rule\":\"{rule}\",\"source\":\"syscall\",\"tags\":[\"process\"],\"time\":\"$(date -u +%Y-%m-%dT%H:%M:%S).000000000Z\"}}"
  usleep 20000
done
"#
    )
}

/// How often the engine has each number on record.
async fn logged(engine: &DockerEngine, container: &str) -> BTreeMap<u64, usize> {
    let mut seen = BTreeMap::new();
    for line in engine.logged_lines(container).await.unwrap() {
        let event: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        if let Some(number) = event.and_then(|event| event["output_fields"]["number"].as_u64()) {
            *seen.entry(number).or_default() += 1;
        }
    }
    seen
}

fn wait_for_more(quaywatch: &Quaywatch, rule: &str, than: usize) -> usize {
    wait_for("more events", SOON, || {
        let count = quaywatch.numbers(&format!("rule:{rule}")).len();
        (count > than + 20).then_some(count)
    })
}

/// Waits until the events of `rule` are exactly what the engine has on record of a container that
/// prints no more; shows the difference when they never are.
#[track_caller]
fn wait_for_exactly(quaywatch: &Quaywatch, rule: &str, logged: &BTreeMap<u64, usize>) {
    assert!(logged.len() > 20, "the container of {rule} printed nothing");
    let query = format!("rule:{rule}");
    let start = std::time::Instant::now();
    loop {
        let stored = quaywatch.numbers(&query);
        if stored == *logged {
            return;
        }
        let count = |of: &BTreeMap<u64, usize>, number: &u64| of.get(number).copied().unwrap_or(0);
        let wrong: Vec<_> = logged
            .keys()
            .chain(stored.keys())
            .filter(|number| count(logged, number) != count(&stored, number))
            .map(|number| (number, count(logged, number), count(&stored, number)))
            .collect();
        // What is there too often or was never printed goes never away.
        let hopeless = wrong.iter().any(|(_, logged, stored)| stored > logged);
        assert!(
            !hopeless && start.elapsed() < SOON,
            "rule {rule}: (number, times logged, times stored): {wrong:?}"
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
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
    engine.run_printer("falco", &falco("A")).await.unwrap();
    let mut quaywatch = start();
    let mut seen = wait_for_more(&quaywatch, "A", 0);
    for _ in 0..sampled(1, 5) {
        quaywatch.kill();
        quaywatch = start();
        seen = wait_for_more(&quaywatch, "A", seen);

        engine.restart_container("falco").await.unwrap();
        seen = wait_for_more(&quaywatch, "A", seen);

        engine.restart().await.unwrap();
        engine.start_container("falco").await.unwrap();
        seen = wait_for_more(&quaywatch, "A", seen);

        assert!(quaywatch.stop().success());
        engine.restart_container("falco").await.unwrap();
        quaywatch = start();
        seen = wait_for_more(&quaywatch, "A", seen);
    }
    engine.stop_container("falco").await.unwrap();
    wait_for_exactly(&quaywatch, "A", &logged(&engine, "falco").await);
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn falco_container_is_followed_when_renamed_and_made_anew() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let configuration = format!(
        "inventory: {{docker: false}}\nsources:\n  - {{type: docker, container: falco, endpoint: \"{}\"}}\n",
        engine.address()
    );
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration)
            .start()
    };
    let quaywatch = start();

    // Upgraded as people do it: stopped, put aside under another name, made anew under its own.
    engine.run_printer("falco", &falco("A")).await.unwrap();
    wait_for_more(&quaywatch, "A", 0);
    engine.stop_container("falco").await.unwrap();
    engine.rename_container("falco", "falco-old").await.unwrap();
    engine.run_printer("falco", &falco("B")).await.unwrap();
    wait_for_exactly(&quaywatch, "A", &logged(&engine, "falco-old").await);
    let seen = wait_for_more(&quaywatch, "B", 0);

    // Renamed while it prints, and back: what it printed meanwhile comes, too.
    engine.rename_container("falco", "elsewhere").await.unwrap();
    let before = logged(&engine, "elsewhere").await.len();
    let mut now = before;
    while now < before + 20 {
        now = logged(&engine, "elsewhere").await.len();
    }
    engine.rename_container("elsewhere", "falco").await.unwrap();
    wait_for_more(&quaywatch, "B", seen.max(now));
    engine.stop_container("falco").await.unwrap();
    wait_for_exactly(&quaywatch, "B", &logged(&engine, "falco").await);

    // Removed and made anew under the same name.
    engine.remove_container("falco").await.unwrap();
    engine.run_printer("falco", &falco("C")).await.unwrap();
    wait_for_more(&quaywatch, "C", 0);

    // The same while we are away.
    assert!(quaywatch.stop().success());
    engine.restart_container("falco").await.unwrap();
    engine
        .rename_container("falco", "falco-older")
        .await
        .unwrap();
    engine.stop_container("falco-older").await.unwrap();
    engine.run_printer("falco", &falco("D")).await.unwrap();
    let quaywatch = start();
    wait_for_exactly(&quaywatch, "C", &logged(&engine, "falco-older").await);
    wait_for_more(&quaywatch, "D", 0);
    engine.stop_container("falco").await.unwrap();
    wait_for_exactly(&quaywatch, "D", &logged(&engine, "falco").await);
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_selected_by_label_by_environment_and_from_now() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let followed = sampled(3, 20);
    let mut names = Vec::new();
    for number in 0..followed {
        names.push((format!("node-{number}"), format!("L{number}")));
    }
    let labels: &[(&str, &str)] = &[("app", "falco")];
    for (name, rule) in &names {
        let (script, name) = (falco(rule), name.as_str());
        let printer = Printer {
            name,
            script: &script,
            labels,
            ..Printer::default()
        };
        engine.run(&printer).await.unwrap();
    }
    engine.run_printer("by-name", &falco("N")).await.unwrap();
    let sources = |more: &str| {
        format!(
            "inventory: {{docker: false}}\nsources: [{{type: docker, endpoint: \"{}\", {more}}}]\n",
            engine.address()
        )
    };

    let by_label = server()
        .configuration(&sources("container: 'label:app=falco'"))
        .start();
    let by_environment = server()
        .environment("FALCO_CONTAINER", "by-name")
        .environment("DOCKER_HOST", &engine.address())
        .start();
    let several = server()
        .configuration(&sources("container: ['name:by-name', node-0]"))
        .start();
    wait_for_more(&by_environment, "N", 0);
    let before = logged(&engine, "by-name").await;
    let from_now = server()
        .configuration(&sources("container: by-name, from: now"))
        .start();
    wait_for_more(&from_now, "N", 0);
    wait_for_more(&several, "N", 0);
    wait_for_more(&several, "L0", 0);
    for (_, rule) in &names {
        wait_for_more(&by_label, rule, 0);
    }

    for (name, _) in &names {
        engine.stop_container(name).await.unwrap();
    }
    engine.stop_container("by-name").await.unwrap();
    let by_name = logged(&engine, "by-name").await;
    for (name, rule) in &names {
        wait_for_exactly(&by_label, rule, &logged(&engine, name).await);
    }
    wait_for_exactly(&by_environment, "N", &by_name);
    wait_for_exactly(&several, "N", &by_name);
    wait_for_exactly(&several, "L0", &logged(&engine, "node-0").await);
    assert!(by_label.numbers("rule:N").is_empty(), "it has no label");
    assert!(by_environment.numbers("-rule:N").is_empty());
    assert!(several.numbers("rule:L1").is_empty());

    // From now: nothing of before, and from the first on everything.
    let first = wait_for("the last line", SOON, || {
        let stored = from_now.numbers("rule:N");
        let first = *stored.keys().next()?;
        (stored.keys().last() == by_name.keys().last()).then_some(first)
    });
    let last_before = before.keys().last().copied().unwrap_or_default();
    assert!(first > last_before, "{first} was printed before the start");
    let mut since = by_name;
    since.retain(|number, _| *number >= first);
    assert_eq!(from_now.numbers("rule:N"), since);
    for quaywatch in [&by_label, &by_environment, &several, &from_now] {
        check_conservation(quaywatch);
    }
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
    wait_for("the container in the inventory", SOON, || {
        let container = quaywatch.request("GET", "/api/containers/shop-web-1", &[], b"");
        (container.status == 200 && container.json()["state"] == "running").then_some(())
    });
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
    let logs = quaywatch.get("/api/containers/shop-web-1/logs?query=rule:A");
    assert_eq!(logs["items"][0]["container"]["id"], id.as_str(), "{logs}");
    assert_eq!(logs["items"][0]["container"]["compose_service"], "web");

    // Its events are still its own when it is gone, also after a restart.
    engine.remove_container(&id).await.unwrap();
    wait_for("the container to be gone", SOON, || {
        let container = quaywatch.request("GET", &format!("/api/containers/{id}"), &[], b"");
        (container.status == 200 && container.json()["state"] != "running").then_some(())
    });
    quaywatch.post_events(&line).unwrap();
    let logs = quaywatch.get(&format!("/api/containers/{id}/logs?query=rule:A"));
    assert_eq!(logs["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        logs["items"][0]["container"]["name"], "shop-web-1",
        "{logs}"
    );
}
