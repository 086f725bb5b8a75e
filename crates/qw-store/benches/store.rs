//! What storing and finding costs: CPU per event, bytes per event, time per question.
//!
//! `QUAYWATCH_BENCH_EVENTS` sets how many events are stored first, one million by default. Their
//! cost is printed as a table before the questions are timed.

#![allow(clippy::print_stderr, reason = "a benchmark reports to the terminal")]

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use qw_event::{Batch, BatchId, SourceId, Timestamp};
use qw_store::{
    Embedded, EventQuery, FacetQuery, HistogramQuery, Kinds, Options, Order, RecordStore,
    Retention, TimeRange, conformance::Sampler, query::parse,
};

const BATCH: usize = 10_000;
/// Bytes per event of the same kind as a row of SQLite (`docs/bench.md`).
const SQLITE_BYTES: f64 = 1_034.0;
const START: i64 = 1_795_251_600;
const DAY: i64 = 24 * 3600;

/// CPU seconds of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

/// Resident memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn fill(directory: &Path, count: usize) -> Embedded {
    let store = Embedded::open(directory, Options::default()).expect("an empty directory opens");
    let mut sampler = Sampler::new(1);
    let step = Duration::from_nanos(DAY as u64 * 1_000_000_000 / count as u64);
    let (mut append, mut maintain, mut wall) = (0.0, 0.0, Duration::ZERO);
    let mut time = Timestamp::from_seconds(START);
    for sequence in 1..=(count / BATCH) as u64 {
        let events = sampler.events(time, step, BATCH);
        time = time.saturating_add(step * BATCH as u32);
        let id = BatchId {
            source: SourceId::new("bench"),
            epoch: 1,
            sequence,
        };
        let mut batches = vec![Batch {
            id,
            position: None,
            received: time,
            events,
        }];
        let (cpu, started) = (cpu_seconds(), Instant::now());
        black_box(store.append(&mut batches).expect("append"));
        append += cpu_seconds() - cpu;
        wall += started.elapsed();
        if sequence % 20 == 0 {
            let cpu = cpu_seconds();
            store
                .maintain(time, &Retention::default())
                .expect("maintain");
            maintain += cpu_seconds() - cpu;
        }
    }
    let statistics = store.statistics();
    let events = statistics.events as f64;
    let bytes = statistics.segment_bytes as f64 / events;
    let rows = [
        ("append, CPU s per million events", append * 1e6 / events),
        (
            "maintenance, CPU s per million events",
            maintain * 1e6 / events,
        ),
        ("events per CPU second", events / (append + maintain)),
        (
            "append, wall s per million events",
            wall.as_secs_f64() * 1e6 / events,
        ),
        ("sealed bytes per event", bytes),
        (
            "catalogue bytes per event",
            statistics.catalogue_bytes as f64 / events,
        ),
        (
            "SQLite rows would be larger by a factor of",
            SQLITE_BYTES / bytes,
        ),
        ("segments", statistics.segments as f64),
        ("resident memory, MiB", resident_mib()),
    ];
    eprintln!("{events} events");
    for (what, number) in rows {
        eprintln!("  {what:<45} {number:>12.2}");
    }
    store
}

fn questions(criterion: &mut Criterion) {
    let count = std::env::var("QUAYWATCH_BENCH_EVENTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let count = count.unwrap_or(1_000_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = fill(directory.path(), count);
    let day = TimeRange {
        start: Timestamp::from_seconds(START),
        end: Timestamp::from_seconds(START + DAY + 3600),
    };
    let budget = Duration::from_secs(60);
    let mut group = criterion.benchmark_group("store");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));
    for (name, text) in [
        ("newest page", "*"),
        ("page of a busy container", "container:web-1"),
        ("page of a rare container", "container:host"),
        (
            "page of a container, urgent",
            "container:web-3 and priority>=Error",
        ),
        ("page by a field", "fd.name:/etc/shadow and user.name:ann"),
        ("common word", "shadow"),
        ("rare word", "4e1f"),
        ("phrase", "\"spawned by untrusted binary\""),
        ("absent word", "nowhereatall"),
    ] {
        let query = EventQuery {
            kinds: Kinds::EVENTS,
            range: day,
            filter: parse(text).expect("a query"),
            order: Order::NewestFirst,
            after: None,
            limit: 100,
            budget,
        };
        let page = store.events(&query).expect("a page");
        eprintln!(
            "{name}: {} events, {} scanned",
            page.events.len(),
            page.scanned
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(store.events(&query).expect("a page")));
        });
    }
    for (name, text) in [
        ("histogram", "*"),
        ("histogram of a container", "container:web-1"),
        ("histogram of a rule", "rule:\"Clear Log Activities\""),
        (
            "histogram of a negation",
            "not rule:\"Clear Log Activities\"",
        ),
        ("histogram of a word", "4e1f"),
    ] {
        let filter = parse(text).expect("a query");
        let query = HistogramQuery {
            kinds: Kinds::EVENTS,
            range: day,
            filter,
            step: Duration::from_secs(60),
            budget,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(store.histogram(&query).expect("a histogram")));
        });
    }
    for (name, fields) in [
        (
            "facets of roll-ups",
            &["rule", "priority", "container.name"][..],
        ),
        (
            "facets of columns",
            &[
                "proc.name",
                "hostname",
                "source",
                "container.image.repository",
            ],
        ),
        ("facets of a field", &["fd.name"]),
    ] {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let filter = parse("*").expect("a query");
        let query = FacetQuery {
            kinds: Kinds::EVENTS,
            range: day,
            filter,
            fields,
            limit: 10,
            budget,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(store.facets(&query).expect("facets")));
        });
    }
    group.bench_function("container activity", |bencher| {
        bencher.iter(|| {
            black_box(
                store
                    .container_activity(day, Kinds::EVENTS)
                    .expect("activity"),
            )
        });
    });
    group.finish();
    eprintln!(
        "resident memory after all questions: {:.1} MiB",
        resident_mib()
    );
}

criterion_group!(benches, questions);
criterion_main!(benches);
