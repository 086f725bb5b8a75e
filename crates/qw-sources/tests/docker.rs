//! The Docker source against a real engine, into a real store: every line once, whoever restarts.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use qw_docker::{LogFormat, LogsQuery};
use qw_event::{EventId, Outcome};
use qw_pipeline::{
    Notices, Pipeline, SharedContainerIndex, Source, SourceSnapshot, SourceState, SourceStatuses,
};
use qw_sources::{
    StartFrom,
    docker::{Config, DockerSource, KIND},
};
use qw_store::{Embedded, Kinds, RecordStore};
use qw_testkit::docker::{DockerEngine, Printer};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Prints numbered events, each with the id of the run, in groups with a pause between them.
fn printer_script(groups: u32, lines: u32, pause_micros: u32) -> String {
    format!(
        r#"run=$(cat /proc/sys/kernel/random/uuid); i=0; g=0
        while [ $g -lt {groups} ]; do
          n=0
          while [ $n -lt {lines} ]; do
            echo "{{\"rule\":\"Numbered\",\"priority\":\"Notice\",\"output\":\"$run $i\",\"output_fields\":{{}}}}"
            i=$((i+1)); n=$((n+1))
          done
          g=$((g+1)); usleep {pause_micros}
        done"#
    )
}

/// A store that outlives runs of the source.
struct World {
    store: Arc<Embedded>,
    _folder: TempDir,
}

/// One run of the source, with a pipeline of its own.
struct Run {
    source: tokio::task::JoinHandle<()>,
    pipeline: JoinHandle<()>,
    statuses: SourceStatuses,
    stop_source: CancellationToken,
    stop_pipeline: CancellationToken,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path(), qw_store::Options::default()).unwrap();
        Self {
            store: Arc::new(store),
            _folder: folder,
        }
    }

    fn run(&self, engine: &DockerEngine, config: Config) -> Run {
        let statuses = SourceStatuses::default();
        let pipeline = Pipeline::new(
            Arc::clone(&self.store) as Arc<dyn RecordStore>,
            SharedContainerIndex::default(),
            statuses.clone(),
            Notices::default(),
            qw_pipeline::Options::default(),
        );
        let docker = engine.docker().clone();
        let intake = pipeline.intake(&config.source_id(), KIND, &config.description(&docker));
        let (stop_source, stop_pipeline) = (CancellationToken::new(), CancellationToken::new());
        let source = Box::new(DockerSource::new(config, docker));
        let token = stop_source.clone();
        let source = tokio::spawn(async move { source.run(intake, token).await.unwrap() });
        let token = stop_pipeline.clone();
        let pipeline = std::thread::spawn(move || pipeline.run(&token, now));
        Run {
            source,
            pipeline,
            statuses,
            stop_source,
            stop_pipeline,
        }
    }

    /// Outputs of all stored events, in the order they were stored.
    fn outputs(&self) -> Vec<String> {
        let mut outputs = Vec::new();
        let mut after = EventId(0);
        loop {
            let page = self
                .store
                .events_after(after, 10_000, Kinds::EVENTS)
                .unwrap();
            let Some(last) = page.last() else {
                return outputs;
            };
            after = last.id;
            outputs.extend(page.iter().map(|stored| stored.event.output.to_string()));
        }
    }

    async fn wait_for(&self, what: &str, is_met: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let outputs = self.outputs();
            if is_met(&outputs) {
                return outputs;
            }
            let stored = outputs.len();
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: {stored} stored: {:?}",
                outputs.last()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all that the engine has of `containers` is stored, and checks that it is stored
    /// once and in order.
    async fn expect_exactly(&self, engine: &DockerEngine, containers: &[&str]) {
        let mut expected = Vec::new();
        for id in containers {
            expected.extend(printed(engine, id).await);
        }
        assert!(!expected.is_empty());
        let stored = self
            .wait_for("all lines", |outputs| outputs.len() >= expected.len())
            .await;
        assert_eq!(first_difference(&stored, &expected), None);
    }
}

impl Run {
    fn snapshot(&self) -> SourceSnapshot {
        self.statuses.snapshots().remove(0)
    }

    /// Stops as the program does.
    async fn stop(self) {
        self.stop_source.cancel();
        self.source.await.unwrap();
        self.stop_pipeline.cancel();
        self.pipeline.join().unwrap();
    }

    /// Ends the source in the middle of whatever it does, as a failure of it would.
    async fn abort(self) {
        self.source.abort();
        drop(self.source.await);
        self.stop_pipeline.cancel();
        self.pipeline.join().unwrap();
    }
}

/// What the engine says a container has printed.
async fn printed(engine: &DockerEngine, id: &str) -> Vec<String> {
    let query = LogsQuery {
        stderr: false,
        ..LogsQuery::default()
    };
    let mut stream = engine
        .docker()
        .logs(id, &query, LogFormat::Framed)
        .await
        .unwrap();
    let mut outputs = Vec::new();
    while let Some(piece) = stream.next().await.unwrap() {
        let event: serde_json::Value = serde_json::from_slice(&piece.text).unwrap();
        outputs.push(event["output"].as_str().unwrap().to_owned());
    }
    outputs
}

fn first_difference(stored: &[String], expected: &[String]) -> Option<String> {
    let at = (0..stored.len().max(expected.len()))
        .find(|number| stored.get(*number) != expected.get(*number))?;
    Some(format!(
        "line {at} of {} ({} stored): {:?} instead of {:?}",
        expected.len(),
        stored.len(),
        stored.get(at),
        expected.get(at)
    ))
}

fn follow(selectors: &[&str]) -> Config {
    Config {
        container: selectors.iter().map(|text| text.parse().unwrap()).collect(),
        ..Config::default()
    }
}

fn now() -> qw_event::Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    qw_event::Timestamp::from_nanos(since.as_nanos() as i64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_once_while_source_container_and_engine_restart() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let script = printer_script(150, 40, 10_000);
    let id = engine.run_printer("falco", &script).await.unwrap();

    // The source, at moments spread over its work, stopped or cut off.
    for round in 1..=6_usize {
        let run = world.run(&engine, follow(&["falco"]));
        let target = round * 400;
        world
            .wait_for("lines of one run", |outputs| outputs.len() >= target)
            .await;
        if round % 2 == 0 {
            run.stop().await;
        } else {
            run.abort().await;
        }
    }
    // The container, under a running source.
    let run = world.run(&engine, follow(&["falco"]));
    world
        .wait_for("lines before the restart", |outputs| outputs.len() >= 3000)
        .await;
    engine.restart_container(&id).await.unwrap();
    let before = world.outputs().len();
    world
        .wait_for("lines of the second run", |outputs| {
            outputs.len() >= before + 500
        })
        .await;
    // The engine.
    engine.restart().await.unwrap();
    engine.start_container(&id).await.unwrap();
    let before = world.outputs().len();
    world
        .wait_for("lines after the engine's restart", |outputs| {
            outputs.len() >= before + 500
        })
        .await;
    // The engine, killed.
    engine.kill();
    engine.launch().await.unwrap();
    engine.start_container(&id).await.unwrap();
    let before = world.outputs().len();
    world
        .wait_for("lines after the engine was killed", |outputs| {
            outputs.len() >= before + 500
        })
        .await;
    // The engine, while the source is away.
    run.stop().await;
    engine.restart().await.unwrap();
    engine.start_container(&id).await.unwrap();
    let run = world.run(&engine, follow(&["falco"]));
    engine.wait_container(&id).await.unwrap();
    world.expect_exactly(&engine, &[&id]).await;

    let snapshot = run.snapshot();
    let outcomes: u64 = snapshot.outcomes.iter().sum();
    assert_eq!((snapshot.received, snapshot.in_flight), (outcomes, 0));
    run.stop().await;

    // Nothing comes again when nothing is new.
    let stored = world.outputs().len();
    let run = world.run(&engine, follow(&["falco"]));
    engine.start_container(&id).await.unwrap();
    world
        .wait_for("lines of the last run", |outputs| outputs.len() > stored)
        .await;
    engine.stop_container(&id).await.unwrap();
    world.expect_exactly(&engine, &[&id]).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_of_the_log_file_loses_and_repeats_nothing() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let run = world.run(&engine, follow(&["falco"]));
    // A rotation every 2,600 lines or so; all files together hold everything.
    let id = engine
        .run(&Printer {
            name: "falco",
            script: &printer_script(800, 20, 3000),
            log_options: &[("max-size", "500k"), ("max-file", "60")],
            ..Printer::default()
        })
        .await
        .unwrap();
    engine.wait_container(&id).await.unwrap();
    world.expect_exactly(&engine, &[&id]).await;
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_engine_loses_by_rotating_too_fast_is_told_and_nothing_comes_twice() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let run = world.run(&engine, follow(&["falco"]));
    // A rotation every 50 ms: the engine's own reader leaves out whole files.
    let id = engine
        .run(&Printer {
            name: "falco",
            script: &printer_script(400, 20, 3000),
            log_options: &[("max-size", "50k"), ("max-file", "60")],
            ..Printer::default()
        })
        .await
        .unwrap();
    engine.wait_container(&id).await.unwrap();
    let expected = printed(&engine, &id).await;
    let stored = world
        .wait_for("the last line", |outputs| outputs.last() == expected.last())
        .await;
    let mut rest = expected.iter();
    for output in &stored {
        assert!(
            rest.any(|line| line == output),
            "`{output}` comes twice or too late"
        );
    }
    if stored.len() < expected.len() {
        let is_told = |snapshot: SourceSnapshot| {
            snapshot
                .last_error
                .is_some_and(|(_, text)| text.contains("records are missing"))
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !is_told(run.snapshot()) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{:?}",
                run.snapshot()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_made_anew_is_read_from_its_beginning_and_the_old_one_to_its_end() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let script = printer_script(3, 10, 1000);

    // Made anew while we watch.
    let run = world.run(&engine, follow(&["falco"]));
    let first = engine.run_printer("falco", &script).await.unwrap();
    engine.wait_container(&first).await.unwrap();
    world
        .wait_for("the first container", |outputs| outputs.len() >= 30)
        .await;
    engine.remove_container(&first).await.unwrap();
    let second = engine.run_printer("falco", &script).await.unwrap();
    engine.wait_container(&second).await.unwrap();
    world
        .wait_for("the second container", |outputs| outputs.len() >= 60)
        .await;
    run.stop().await;

    // Made anew while we are away, the old one renamed with lines of it not read.
    engine.start_container(&second).await.unwrap();
    engine.wait_container(&second).await.unwrap();
    engine.rename_container(&second, "falco-old").await.unwrap();
    let third = engine.run_printer("falco", &script).await.unwrap();
    engine.wait_container(&third).await.unwrap();
    let run = world.run(&engine, follow(&["falco"]));
    let outputs = world
        .wait_for("the third container", |outputs| outputs.len() >= 120)
        .await;
    let mut expected = printed(&engine, &second).await;
    assert_eq!(expected.len(), 60);
    expected.extend(printed(&engine, &third).await);
    assert_eq!(first_difference(&outputs[30..], &expected), None);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lines_terminals_labels_and_lines_that_are_no_events() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let labels: &[(&str, &str)] = &[("app", "falco")];
    let long = r#"echo "Falco version 0.44"
        printf '{"rule":"Long","priority":"Notice","output":"'; head -c 40000 /dev/zero | tr '\0' x
        echo ' end","output_fields":{}}'
        head -c 3000000 /dev/zero | tr '\0' y; echo
        printf '{"rule":"Tail","priority":"Notice","output":"tail","output_fields":{}}'"#;
    for (name, tty) in [("plain", false), ("terminal", true)] {
        let printer = Printer {
            name,
            script: long,
            labels,
            tty,
            ..Printer::default()
        };
        let id = engine.run(&printer).await.unwrap();
        engine.wait_container(&id).await.unwrap();
    }
    engine
        .run_printer("other", r#"echo '{"rule":"Other","output":"other"}'"#)
        .await
        .unwrap();

    let run = world.run(&engine, follow(&["label:app=falco"]));
    let outputs = world
        .wait_for("two containers", |outputs| outputs.len() >= 4)
        .await;
    let lengths: Vec<usize> = outputs.iter().map(String::len).collect();
    assert_eq!(
        lengths.iter().filter(|length| **length == 40_004).count(),
        2,
        "{lengths:?}"
    );
    assert_eq!(outputs.iter().filter(|output| *output == "tail").count(), 2);
    let snapshot = run.snapshot();
    let count = |name, reason| {
        Outcome::ALL
            .iter()
            .filter(|outcome| outcome.name() == name && outcome.reason() == reason)
            .map(|outcome| snapshot.outcomes[outcome.index()])
            .sum::<u64>()
    };
    assert_eq!(
        (count("invalid", "not_json"), count("invalid", "too_long")),
        (2, 2)
    );
    assert_eq!(snapshot.received, 8);
    run.stop().await;

    // Lines that are no events are not counted again.
    let run = world.run(&engine, follow(&["label:app=falco"]));
    let late = Printer {
        name: "late",
        script: r#"echo '{"rule":"Late","output":"late"}'"#,
        labels,
        ..Printer::default()
    };
    engine.run(&late).await.unwrap();
    world
        .wait_for("the late container", |outputs| {
            outputs.iter().any(|output| output == "late")
        })
        .await;
    assert_eq!(run.snapshot().received, 1);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_now_leaves_out_what_was_printed_before_and_an_absent_engine_is_waited_for() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let world = World::new();
    let script = r#"cat /proc/uptime > /dev/null; n=$(cat /n 2>/dev/null || echo 0); echo $((n+1)) > /n
        echo "{\"rule\":\"Run\",\"priority\":\"Notice\",\"output\":\"run $n\"}""#;
    let id = engine.run_printer("falco", script).await.unwrap();
    engine.wait_container(&id).await.unwrap();
    engine.stop();

    let run = world.run(
        &engine,
        Config {
            from: StartFrom::Now,
            ..follow(&["falco"])
        },
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while run.snapshot().last_error.is_none() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let snapshot = run.snapshot();
    assert_eq!(snapshot.state, SourceState::Waiting);
    let (_, error) = snapshot.last_error.unwrap();
    assert!(error.contains("docker.sock"), "{error}");

    engine.launch().await.unwrap();
    // Seen once it is connected: then its moment "now" has passed.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut runs = 1;
    while world.outputs().is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            run.snapshot()
        );
        engine.start_container(&id).await.unwrap();
        engine.wait_container(&id).await.unwrap();
        runs += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let outputs = world.outputs();
    assert!(
        !outputs.contains(&"run 0".to_owned()),
        "{outputs:?} of {runs}"
    );
    run.stop().await;
}
