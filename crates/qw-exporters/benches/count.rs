//! What counting an event and rendering a page cost.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_alerts::AlertCounts;
use qw_event::{
    Category, ContainerRef, Event, EventId, Priority, RecordKind, SourceId, StoredEvent, Timestamp,
};
use qw_exporters::{Format, Inputs, Metrics, Options, Page, StreamSnapshot, gzip};
use qw_pipeline::{PipelineStatistics, SourceStatuses};
use qw_profile::Stats;
use qw_store::StoreStatistics;

const NOW: Timestamp = Timestamp::from_seconds(1_795_251_600);

/// `count` events of 40 containers with `processes` process names each, their texts shared as a
/// parser shares them.
fn events(count: usize, processes: usize) -> Arc<[StoredEvent]> {
    let texts = |prefix: &str, count: usize| -> Vec<Arc<str>> {
        (0..count)
            .map(|number| format!("{prefix}-{number}").into())
            .collect()
    };
    let containers: Vec<Arc<ContainerRef>> = (0..40)
        .map(|number| {
            Arc::new(ContainerRef {
                id: format!("{number:064x}").into(),
                name: format!("container-{number}").into(),
                image_repository: format!("registry.example/app-{}", number % 12).into(),
                ..ContainerRef::default()
            })
        })
        .collect();
    let (rules, names) = (
        texts("Rule with a name of usual length", 5),
        texts("process", processes),
    );
    let (source, hostname): (Arc<str>, Arc<str>) = ("syscall".into(), "node-1".into());
    let tags: Arc<[Arc<str>]> = Arc::from([Arc::from("container"), Arc::from("process")]);
    (0..count)
        .map(|number| {
            // A fixed sequence without a pattern that a processor could learn.
            let at = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_usize) >> 32;
            StoredEvent {
                id: EventId(number as u64),
                event: Event {
                    kind: RecordKind::Event,
                    time: NOW,
                    source: Arc::clone(&source),
                    rule: Arc::clone(&rules[at % rules.len()]),
                    priority: Priority::ALL[at % rules.len()],
                    category: Category::ALL[at % rules.len() % 4],
                    hostname: Arc::clone(&hostname),
                    container: Arc::clone(&containers[at / 8 % containers.len()]),
                    process_name: Arc::clone(&names[at / 512 % names.len()]),
                    tags: Arc::clone(&tags),
                    output: "".into(),
                    output_fields: serde_json::value::RawValue::NULL.to_owned(),
                },
            }
        })
        .collect()
}

fn count(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("count");
    let source = SourceId::new("bench");
    for processes in [5, 40] {
        let events = events(20_000, processes);
        let metrics = Metrics::new(Options::new("bench"));
        let mut observer = metrics.observer();
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(format!("{}_series", 5 * 40 * processes), |bencher| {
            bencher.iter(|| observer.committed(&source, black_box(&events), NOW));
        });
    }
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render_10000_series");
    let metrics = Metrics::new(Options::new("bench"));
    metrics
        .observer()
        .committed(&SourceId::new("bench"), &events(200_000, 50), NOW);
    let (sources, pipeline) = (SourceStatuses::default(), PipelineStatistics::default());
    let store = StoreStatistics::default();
    let page = |format| {
        let inputs = Inputs {
            sources: &sources,
            pipeline: &pipeline,
            store: &store,
            streams: StreamSnapshot::default(),
            profiles: Stats::default(),
            alerts: &AlertCounts::default(),
            sinks: &[],
            routes: &[],
            usage: &qw_exporters::UsageSnapshot::default(),
            process: None,
        };
        metrics.render(Page::Main, format, NOW, &inputs)
    };
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("text", |bencher| bencher.iter(|| page(Format::Text)));
    group.bench_function("open_metrics", |bencher| {
        bencher.iter(|| page(Format::OpenMetrics));
    });
    let text = page(Format::Text);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("gzip", |bencher| bencher.iter(|| gzip(black_box(&text))));
    group.finish();
}

criterion_group!(benches, count, render);
criterion_main!(benches);
