//! Through the real pipeline into the real store: what is counted is what is on disk.

use std::{sync::Arc, time::Duration};

use qw_alerts::AlertCounts;
use qw_event::{InvalidReason, SourceId};
use qw_exporters::{Format, Inputs, Metrics, Options, Page, StreamSnapshot};
use qw_pipeline::{CancellationToken, Notices, Pipeline, SharedContainerIndex, SourceStatuses};
use qw_profile::Stats;
use qw_store::{Embedded, RecordStore};

use crate::page::{NOW, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sums_of_series_are_the_events_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn RecordStore> =
        Arc::new(Embedded::open(folder.path(), qw_store::Options::default()).unwrap());
    let sources = SourceStatuses::default();
    let mut pipeline = Pipeline::new(
        Arc::clone(&store),
        SharedContainerIndex::default(),
        sources.clone(),
        Notices::default(),
        qw_pipeline::Options::default(),
    );
    let metrics = Metrics::new(Options {
        series_per_family: 100,
        ..Options::new("1.2.3")
    });
    pipeline.observe(metrics.observer());
    let statistics = pipeline.statistics();
    let intake = pipeline.intake(&SourceId::new("test"), "test", "a test");
    let running = tokio::task::spawn_blocking(move || {
        pipeline.run(&CancellationToken::new(), || NOW);
    });

    for batch in 0..5_u64 {
        let events: Vec<_> = (0..200).map(|number| event(batch * 200 + number)).collect();
        intake.status().received(201, 4_096, NOW);
        intake
            .status()
            .invalid(InvalidReason::NotJson, b"not an event");
        // The same batch twice: the second is a repetition.
        for _ in 0..2 {
            intake
                .send_numbered(events.clone(), NOW, 1, batch + 1)
                .await
                .unwrap()
                .await
                .unwrap();
        }
        intake.status().received(200, 4_096, NOW);
    }
    drop(intake);
    running.await.unwrap();

    let now = NOW.saturating_add(Duration::from_secs(1));
    let text = metrics.render(
        Page::Main,
        Format::Text,
        now,
        &Inputs {
            sources: &sources,
            pipeline: &statistics,
            store: &store.statistics(),
            streams: StreamSnapshot::default(),
            profiles: Stats::default(),
            alerts: &AlertCounts::default(),
            sinks: &[],
            routes: &[],
            usage: &qw_exporters::UsageSnapshot::default(),
            process: None,
        },
    );
    let sum = |prefix: &str| -> f64 {
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with(prefix))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!values.is_empty(), "`{prefix}` is missing in\n{text}");
        values.into_iter().sum()
    };
    for (prefix, expected) in [
        ("quaywatch_store_events ", 1_000.0),
        ("syscall_events_total{", 1_000.0),
        ("falco_events_total{", 1_000.0),
        ("syscall_event_rate_10s{", 100.0),
        ("quaywatch_pipeline_committed_events_total ", 1_000.0),
        ("quaywatch_records_received_total{", 2_005.0),
        ("quaywatch_records_total{", 2_005.0),
        (
            r#"quaywatch_records_total{source="test",outcome="duplicate""#,
            1_000.0,
        ),
        ("quaywatch_queue_events{", 0.0),
        (
            "quaywatch_source_last_event_timestamp_seconds{",
            1_795_251_600.0,
        ),
        (
            r#"quaywatch_metric_series_limit{family="syscall_events_total"}"#,
            100.0,
        ),
    ] {
        assert!(
            (sum(prefix) - expected).abs() < 1e-6,
            "{prefix} {} ≠ {expected}",
            sum(prefix)
        );
    }
    assert!(sum("quaywatch_metric_series_folded_total{") > 0.0);
}
