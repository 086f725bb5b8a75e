//! The demo through parser, pipeline and store: nothing invalid, nothing missing, nothing twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use qw_event::{Category, ContainerRef, EventId, Outcome, Priority, Timestamp};
use qw_pipeline::{
    CancellationToken, Detector, FalcoRules, Notices, Pipeline, SharedContainerIndex, Source,
    SourceState, SourceStatuses,
};
use qw_profile::{Mode, Observation, Per, Profiles};
use qw_sources::{
    demo::{Config, DemoSource, Generator, KIND, benchmark_lines, fleet},
    falco::Parser,
};
use qw_store::{Embedded, Kinds, RecordStore};

/// 2026-11-21T12:00:00Z.
const NOON: i64 = 1_795_262_400;

/// Runs the demo until it has told everything up to `until`, and stops it.
async fn run_until(folder: &Path, config: &Config, from: i64, until: i64) -> Arc<Embedded> {
    let store = Arc::new(
        Embedded::open(folder, qw_store::Options::default())
            .expect("an empty folder becomes a store"),
    );
    let statuses = SourceStatuses::default();
    let pipeline = Pipeline::new(
        Arc::clone(&store) as Arc<dyn RecordStore>,
        SharedContainerIndex::default(),
        statuses.clone(),
        Notices::default(),
        qw_pipeline::Options::default(),
    );
    let intake = pipeline.intake(&config.source_id(), KIND, &config.description());
    let stop = CancellationToken::new();
    let clock = Arc::new(AtomicI64::new(from));
    let now = Arc::clone(&clock);
    let source = Box::new(DemoSource::new(
        config.clone(),
        Arc::new(move || Timestamp::from_seconds(now.load(SeqCst))),
    ));
    let source = tokio::spawn(source.run(intake, stop.clone()));
    let stop_pipeline = CancellationToken::new();
    let token = stop_pipeline.clone();
    let pipeline =
        std::thread::spawn(move || pipeline.run(&token, || Timestamp::from_seconds(until)));

    let told = |second: i64| {
        let position = (second * 1_000_000_000).to_string();
        let statuses = statuses.clone();
        async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            while statuses.snapshots()[0].position.as_deref() != Some(position.as_str()) {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "the demo tells up to {second}"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    told(from).await;
    clock.store(until, SeqCst);
    told(until).await;
    stop.cancel();
    source.await.expect("no panic").expect("no error");
    stop_pipeline.cancel();
    pipeline.join().expect("no panic");

    let snapshot = &statuses.snapshots()[0];
    assert_eq!(snapshot.state, SourceState::Stopped);
    let stored = snapshot.outcomes[Outcome::Stored.index()];
    assert_eq!(snapshot.received, stored, "{snapshot:?}");
    store
}

fn stored(store: &Embedded) -> Vec<(Timestamp, String)> {
    let mut all = Vec::new();
    let mut after = EventId(0);
    loop {
        let page = store
            .events_after(after, 10_000, Kinds::EVENTS)
            .expect("the store answers");
        let Some(last) = page.last() else { return all };
        after = last.id;
        all.extend(
            page.iter()
                .map(|stored| (stored.event.time, stored.event.output.to_string())),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_fill_live_and_restart_are_one_story() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        seed: 5,
        began: Some(Timestamp::from_seconds(NOON)),
        rate: 4.0,
        backfill_hours: 1,
        speed: 1.0,
    };
    let until = NOON + 60;
    // An hour back, a minute live; then away for five minutes; then a minute live again.
    drop(run_until(folder.path(), &config, NOON, until).await);
    let store = run_until(folder.path(), &config, until + 300, until + 360).await;

    let range = Timestamp::from_seconds(NOON - 3_600)..Timestamp::from_seconds(until + 360);
    let mut parser = Parser::default();
    let expected: Vec<(Timestamp, String)> = Generator::new(5, Timestamp::from_seconds(NOON))
        .lines(range, 4.0)
        .map(|(time, line)| {
            (
                time,
                parser
                    .parse(line.as_bytes(), time)
                    .unwrap()
                    .output
                    .to_string(),
            )
        })
        .collect();
    let found = stored(&store);
    assert!(found.len() > 10_000, "more than one batch: {}", found.len());
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the same events in the same order");
}

#[test]
fn the_parser_takes_every_line_for_what_it_is() {
    let mut parser = Parser::default();
    let mut categories = [0_u32; 4];
    let mut priorities = [0_u32; 8];
    for line in benchmark_lines(2, 20_000) {
        let event = parser.parse(line.as_bytes(), Timestamp::EPOCH).unwrap();
        categories[event.category as usize] += 1;
        priorities[usize::from(event.priority.as_number())] += 1;
        let container = fleet()
            .iter()
            .find(|container| container.name == &*event.container.name)
            .expect("a container of the fleet");
        assert!(container.container_ref().answers_to(&event.container.id));
        assert_eq!(*event.container.image_repository, *container.repository);
        assert_eq!(*event.hostname, *container.host);
        assert_eq!(*event.container.k8s_pod, *container.k8s_pod);
        assert!(!event.process_name.is_empty() && !event.tags.is_empty());
    }
    for category in [Category::Process, Category::Network, Category::File] {
        assert!(categories[category as usize] > 1_000, "{categories:?}");
    }
    assert!(
        categories[Category::Unknown as usize] < 100,
        "{categories:?}"
    );
    for priority in [
        Priority::Critical,
        Priority::Error,
        Priority::Warning,
        Priority::Notice,
    ] {
        assert!(
            priorities[usize::from(priority.as_number())] > 0,
            "{priorities:?}"
        );
    }
}

/// What the demo of `seed` sets off until half an hour after it began at second `began`, with a
/// back-fill of a day: by container, the scores of deviations, and the urgent rules of Falco.
fn noticed(seed: u64, began: i64) -> BTreeMap<String, (Vec<f32>, BTreeSet<String>)> {
    let began = Timestamp::from_seconds(began);
    let day = Duration::from_hours(24);
    let until = began.saturating_add(Duration::from_mins(30));
    let references: BTreeMap<&str, Arc<ContainerRef>> = fleet()
        .iter()
        .map(|container| (container.name, Arc::new(container.container_ref())))
        .collect();
    let mut parser = Parser::default();
    let mut profiles = Profiles::new(qw_profile::Options::default());
    let mut rules = FalcoRules::new(Priority::Warning, Priority::Warning, Per::default());
    let mut noticed: BTreeMap<String, (Vec<f32>, BTreeSet<String>)> = BTreeMap::new();
    let lines = Generator::new(seed, began).lines(began.saturating_sub(day)..until, 0.0);
    for (time, line) in lines {
        let mut event = parser
            .parse(line.as_bytes(), time)
            .expect("a line of Falco");
        let name = event.container.name.to_string();
        event.container = Arc::clone(&references[&*name]);
        if let Observation::Deviation(deviation) = profiles.observe(&event, time) {
            let scores = &mut noticed.entry(name.clone()).or_default().0;
            scores.push(deviation.score);
        }
        let mut found = Vec::new();
        rules.detect(std::slice::from_ref(&event), time, &mut found);
        if let Some(detection) = found.pop() {
            let rules = &mut noticed.entry(name).or_default().1;
            rules.insert(detection.rule.to_string());
        }
    }
    for profile in profiles.list() {
        assert_eq!(
            profile.mode(),
            Mode::Detecting,
            "seed {seed}: {}: {:?}",
            profile.key,
            profile.branches
        );
    }
    noticed
}

#[test]
fn only_the_attacked_containers_are_noticed() {
    // Two threads, because there is much to do; every seed begins at another time of the day.
    let seeds: Vec<u64> = (1..=20).collect();
    std::thread::scope(|scope| {
        for seeds in seeds.chunks(10) {
            scope.spawn(move || {
                for &seed in seeds {
                    let began = NOON + seed as i64 * 7_919;
                    let noticed = noticed(seed, began);
                    let containers: Vec<&str> = noticed.keys().map(String::as_str).collect();
                    assert_eq!(
                        containers,
                        ["checkout-api-2", "ops-jenkins-1", "shop-web-2"],
                        "seed {seed}: {noticed:?}"
                    );
                    for (container, (scores, rules)) in &noticed {
                        assert!(
                            scores.iter().any(|score| *score >= 0.8),
                            "{container}: {scores:?}"
                        );
                        assert!(rules.len() >= 3, "{container}: {rules:?}");
                    }
                }
            });
        }
    });
}
