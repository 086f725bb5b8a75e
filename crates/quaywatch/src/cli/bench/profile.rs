//! … → profiled: what it costs, how long one event takes, what ten thousand profiles hold.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qw_event::{
    Category, ContainerRef, Detection, Event, EventId, Priority, RecordKind, SourceId, StoredEvent,
    Timestamp,
};
use qw_exporters::Metrics;
use qw_pipeline::{ContainerIndex, Detector as _, Enrich, ProfileDetector, SharedProfiles};
use qw_profile::{Options, Profiles};
use qw_sources::{
    demo,
    falco::{Limits, Parser},
};
use serde_json::value::RawValue;

use super::{Row, Show, machine, parse, recordings};
use crate::{config::Config, wiring};

/// Made-up lines, and as many others to compare with.
const LINES: usize = 100_000;
/// Lines that each measurement goes through at least.
const LEAST_LINES: usize = 1_000_000;
/// Lines in one batch.
const BATCH: usize = 1_000;
/// Profiles of which the memory is measured.
const PROFILES: usize = 10_000;
/// Nodes of a profile of ordinary size: the mean of the recorded programs.
const ORDINARY_NODES: usize = 290;
/// Attributes that a profile is offered at most until the cap stops it.
const MOST_NODES: usize = 3_000;

/// Measures memory, then cost and time over made-up lines, then over `recordings`.
pub(super) fn run(
    recordings: Option<&Path>,
    peers: &[(String, PathBuf)],
    show: Show<'_>,
) -> Result<()> {
    memory(show)?;
    let learned: Vec<String> = demo::benchmark_lines(1, LINES).collect();
    let judged: Vec<String> = demo::benchmark_lines(2, LINES).collect();
    let fleet = demo::fleet()
        .iter()
        .map(|container| Arc::new(container.container_ref()));
    cost(
        "made-up lines",
        ContainerIndex::new(fleet),
        &learned,
        &judged,
        peers,
        show,
    )?;
    if let Some(folder) = recordings {
        let learned = recordings::lines(folder, recordings::Role::Learn)?;
        let judged = recordings::lines(folder, recordings::Role::Heldout)?;
        let index = ContainerIndex::new(std::iter::empty());
        cost("recorded lines", index, &learned, &judged, peers, show)?;
    }
    Ok(())
}

/// How profiles learn as they are shipped.
pub(super) fn shipped() -> Options {
    wiring::profile_options(&Config::default())
}

/// The way of a line up to the profiles.
struct Chain {
    parser: Parser,
    enrich: Enrich,
    observer: Box<dyn qw_pipeline::Observer>,
    profiles: SharedProfiles,
    detector: ProfileDetector,
    found: Vec<Detection>,
    source: SourceId,
}

impl Chain {
    fn new(index: ContainerIndex) -> Self {
        let metrics = Metrics::new(qw_exporters::Options::new(env!("CARGO_PKG_VERSION")));
        let profiles = Arc::new(Mutex::new(learner()));
        let least_score = Config::default().profiles.least_score as f32;
        Self {
            parser: Parser::new(Limits::default()),
            enrich: Enrich::new(Arc::new(ArcSwap::from_pointee(index))),
            observer: metrics.observer(),
            detector: ProfileDetector::new(Arc::clone(&profiles), least_score),
            profiles,
            found: Vec::new(),
            source: SourceId::new("bench"),
        }
    }

    fn events(&mut self, lines: &[String]) -> Result<Vec<Event>> {
        let mut events = Vec::with_capacity(lines.len());
        for line in lines {
            events.push(
                self.parser
                    .parse(line.as_bytes(), Timestamp::EPOCH)
                    .map_err(|reason| anyhow::anyhow!("a line is invalid: {}", reason.name()))?,
            );
        }
        self.enrich.apply(&mut events);
        Ok(events)
    }

    fn pass(&mut self, lines: &[String]) -> Result<()> {
        for lines in lines.chunks(BATCH) {
            let events = self.events(lines)?;
            self.found.clear();
            self.detector
                .detect(&events, Timestamp::MAX, &mut self.found);
            let stored: Arc<[StoredEvent]> = events
                .into_iter()
                .map(|event| StoredEvent {
                    id: EventId(1),
                    event,
                })
                .collect();
            self.observer
                .committed(&self.source, &stored, Timestamp::EPOCH);
        }
        Ok(())
    }

    fn freeze(&self) -> Result<()> {
        let mut profiles = self.profiles.lock();
        for summary in profiles.list() {
            profiles.freeze(&summary.key, None, summary.last_seen)?;
        }
        Ok(())
    }
}

/// Learns for as long as it is let, and counts what is new from its first event on.
fn learner() -> Profiles {
    Profiles::new(Options {
        warm_up: Duration::ZERO,
        minimum_time: Duration::from_hours(1_000_000),
        ..shipped()
    })
}

fn cost(
    name: &str,
    index: ContainerIndex,
    learned: &[String],
    judged: &[String],
    peers: &[(String, PathBuf)],
    show: Show<'_>,
) -> Result<()> {
    let mut chain = Chain::new(index);
    let rounds = LEAST_LINES.div_ceil(learned.len().max(1));
    let ((), cpu) = machine::measured(|| {
        for _ in 0..rounds {
            *chain.profiles.lock() = learner();
            chain.pass(learned)?;
        }
        Ok(())
    })?;
    let row = Row::new(
        format!("{name} → … → counted → learned from nothing"),
        cpu / ((rounds * learned.len()) as f64 / 1e6),
        "CPU s per million",
    )
    .must(3.0);
    show(beside(row, "original-learning", 52.0, peers, learned)?)?;

    chain.freeze()?;
    let before = chain.profiles.lock().stats();
    show(Row::new(
        format!("{name}: profiles, of {} nodes in all", before.nodes),
        before.profiles as f64,
        "profiles",
    ))?;
    let rounds = LEAST_LINES.div_ceil(judged.len().max(1));
    let ((), cpu) = machine::measured(|| {
        for _ in 0..rounds {
            chain.pass(judged)?;
        }
        Ok(())
    })?;
    let row = Row::new(
        format!("{name}, others → … → counted → compared"),
        cpu / ((rounds * judged.len()) as f64 / 1e6),
        "CPU s per million",
    )
    .must(3.0);
    show(beside(row, "original-detecting", 30.0, peers, judged)?)?;
    let after = chain.profiles.lock().stats();
    let lines = (rounds * judged.len()) as f64;
    show(Row::new(
        format!("{name}, others: of all, deviations of any score"),
        (after.deviations - before.deviations) as f64 / lines * 100.0,
        "%",
    ))?;
    latency(name, &mut chain, judged, show)
}

/// Time on the clock that one comparison takes, alone on its thread.
fn latency(name: &str, chain: &mut Chain, lines: &[String], show: Show<'_>) -> Result<()> {
    let mut times = Vec::with_capacity(lines.len());
    for lines in lines.chunks(BATCH) {
        let events = chain.events(lines)?;
        let mut profiles = chain.profiles.lock();
        for event in &events {
            let start = Instant::now();
            std::hint::black_box(profiles.observe(std::hint::black_box(event), event.time));
            times.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
    }
    for (what, quantile, must) in [
        ("p50", 0.5, None),
        ("p99", 0.99, Some(10.0)),
        ("p99.9", 0.999, None),
    ] {
        show(Row {
            must,
            ..Row::new(
                format!("{name}: one event compared, {what} on the clock"),
                machine::quantile(&mut times, quantile),
                "µs",
            )
        })?;
    }
    Ok(())
}

fn beside(
    row: Row,
    name: &str,
    cited: f64,
    peers: &[(String, PathBuf)],
    lines: &[String],
) -> Result<Row> {
    Ok(match peers.iter().find(|(peer, _)| peer == name) {
        Some((_, path)) => {
            let cpu = parse::run_peer(path, lines)?;
            row.peer(name, cpu / (lines.len() as f64 / 1e6), false)
        }
        None => row.peer(name, cited, true),
    })
}

/// Memory of many profiles: of ordinary size, and with as much as the cap lets in.
///
/// All grow together, one attribute after the other, as they would in life.
fn memory(show: Show<'_>) -> Result<()> {
    let before = machine::resident_megabytes("self")?;
    for (name, nodes, own) in [
        (
            "ordinary profiles, half of the texts their own",
            ORDINARY_NODES,
            2,
        ),
        ("at the cap, all texts shared", MOST_NODES, usize::MAX),
        ("at the cap, half of the texts their own", MOST_NODES, 2),
        ("at the cap, all texts their own", MOST_NODES, 1),
    ] {
        machine::forget_most_resident();
        let mut profiles = Profiles::new(Options {
            open_ended: usize::MAX / 8,
            ..shipped()
        });
        let containers: Vec<Arc<ContainerRef>> = (0..PROFILES).map(container).collect();
        for at in 0..nodes {
            for container in &containers {
                let event = opened(container, at, own);
                profiles.observe(&event, event.time);
            }
            if at % 8 == 0 && profiles.stats().refused > 0 {
                break;
            }
        }
        let stats = profiles.stats();
        show(
            Row::new(
                format!("{} {name}: resident", stats.profiles),
                machine::resident_megabytes("self")? - before,
                "MB",
            )
            .must(400.0),
        )?;
        show(Row::new(
            format!("… the most while they grew ({} nodes)", stats.nodes),
            machine::most_resident_megabytes("self")? - before,
            "MB",
        ))?;
        show(Row::new(
            "… by our own count",
            stats.bytes as f64 / 1e6,
            "MB",
        ))?;
    }
    Ok(())
}

fn container(number: usize) -> Arc<ContainerRef> {
    let name = format!("service{}", word(number));
    let repository = format!("registry.example/team{}/app{number}", number % 50);
    Arc::new(ContainerRef {
        id: format!("{number:064x}").into(),
        name: name.into(),
        image: format!("{repository}:1").into(),
        image_repository: repository.into(),
        image_tag: "1".into(),
        ..ContainerRef::default()
    })
}

/// A file opened by one of eight programs; every `own`-th name is one that no other container has.
fn opened(container: &Arc<ContainerRef>, at: usize, own: usize) -> Event {
    const PROGRAMS: [&str; 8] = [
        "nginx", "worker", "cron", "helper", "server", "backup", "agent", "shipper",
    ];
    let (directory, name) = (word(at / 16), word(at));
    let path = if at % own == own - 1 {
        format!("/srv/{}/{directory}/{name}.dat", container.name)
    } else {
        format!("/usr/share/common/{directory}/{name}.html")
    };
    let fields = format!(
        r#"{{"evt.type":"openat","fd.name":"{path}","fd.type":"file","proc.name":"{}"}}"#,
        PROGRAMS[at % PROGRAMS.len()]
    );
    Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(1_800_000_000 + at as i64),
        source: "syscall".into(),
        rule: Arc::default(),
        priority: Priority::Debug,
        category: Category::Unknown,
        hostname: Arc::default(),
        container: Arc::clone(container),
        process_name: Arc::default(),
        tags: [].into(),
        output: Box::default(),
        output_fields: RawValue::from_string(fields).unwrap_or_default(),
    }
}

/// A word that no rule takes for a number.
fn word(number: usize) -> String {
    const SYLLABLES: [&str; 8] = ["ba", "co", "de", "fi", "go", "hu", "ka", "lo"];
    let mut text = String::new();
    let mut rest = number + 8;
    while rest > 0 {
        text.push_str(SYLLABLES[rest % 8]);
        rest /= 8;
    }
    text
}
