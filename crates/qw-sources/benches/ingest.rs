//! One line of about 1,090 bytes → parsed → enriched → counted, through the real pipeline.
//!
//! The store keeps nothing and the counter is a map, so that this is the cost of the way alone.
//! Everything runs on one thread and processor time is measured.
#![allow(
    missing_docs,
    reason = "the macros of criterion make undocumented functions"
)]

mod shared;

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_event::{Batch, ContainerRef, EventId, Priority, SourceId, StoredEvent, Timestamp};
use qw_pipeline::{
    CancellationToken, ContainerIndex, Notices, Observer, Options, Pipeline, SharedContainerIndex,
    SourceStatuses,
};
use qw_sources::falco::Parser;
use qw_store::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Kinds, Maintenance, QueryError, RecordStore, Retention, RuleActivity,
    SourceCursor, StoreError, StoreStatistics, TimeRange,
};

use crate::shared::{LINES, ProcessorTime, lines};

/// Numbers events and keeps nothing.
#[derive(Default)]
struct Nothing {
    last: AtomicU64,
}

impl RecordStore for Nothing {
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        _: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        let number = |event| StoredEvent {
            id: EventId(self.last.fetch_add(1, Relaxed)),
            event,
        };
        let store = |batch: Batch| Appended::Stored(batch.events.into_iter().map(number).collect());
        Ok(batches.drain(..).map(store).collect())
    }

    fn cursor(&self, _: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        Ok(None)
    }

    fn events(&self, _: &EventQuery) -> Result<EventPage, QueryError> {
        Ok(EventPage::default())
    }

    fn event(&self, _: EventId) -> Result<Option<StoredEvent>, QueryError> {
        Ok(None)
    }

    fn events_after(&self, _: EventId, _: usize, _: Kinds) -> Result<Vec<StoredEvent>, QueryError> {
        Ok(Vec::new())
    }

    fn histogram(&self, _: &HistogramQuery) -> Result<Histogram, QueryError> {
        Ok(Histogram::default())
    }

    fn facets(&self, _: &FacetQuery) -> Result<Facets, QueryError> {
        Ok(Facets::default())
    }

    fn container_activity(
        &self,
        _: TimeRange,
        _: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        Ok(Vec::new())
    }

    fn rule_activity(&self, _: TimeRange, _: Kinds) -> Result<Vec<RuleActivity>, QueryError> {
        Ok(Vec::new())
    }

    fn maintain(&self, _: Timestamp, _: &Retention) -> Result<Maintenance, StoreError> {
        Ok(Maintenance::default())
    }

    fn last_id(&self) -> EventId {
        EventId(self.last.load(Relaxed))
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

#[derive(Default)]
struct Counter {
    counts: HashMap<(Arc<str>, Priority, Arc<str>), u64>,
}

impl Observer for Counter {
    fn committed(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
        for StoredEvent { event, .. } in events.iter() {
            let labels = (
                Arc::clone(&event.rule),
                event.priority,
                Arc::clone(&event.container.name),
            );
            *self.counts.entry(labels).or_default() += 1;
        }
        black_box(&self.counts);
    }
}

/// Every container of the lines, known in full.
fn inventory() -> SharedContainerIndex {
    let containers = (0..40).map(|number| {
        let id = format!("3ad7b26ded{number:02x}{}", "0".repeat(52));
        let name = format!("service-{number}").into();
        Arc::new(ContainerRef {
            id: id.into(),
            name,
            ..ContainerRef::default()
        })
    });
    let index = SharedContainerIndex::default();
    index.store(Arc::new(ContainerIndex::new(containers)));
    index
}

fn ingest(criterion: &mut Criterion<ProcessorTime>) {
    let lines = lines();
    let index = inventory();
    let mut parser = Parser::default();
    let mut group = criterion.benchmark_group("line to counter");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("parse, enrich, count", |bencher| {
        bencher.iter(|| {
            let mut pipeline = Pipeline::new(
                Arc::new(Nothing::default()),
                index.clone(),
                SourceStatuses::default(),
                Notices::default(),
                Options::default(),
            );
            pipeline.observe(Box::new(Counter::default()));
            let intake = pipeline.intake(&SourceId::new("bench"), "bench", "bench");
            let now = Timestamp::EPOCH;
            let parse = |line: &String| parser.parse(line.as_bytes(), now).expect("an event");
            let events = lines.iter().map(parse).collect();
            intake.try_send(events, None, now).expect("there is room");
            drop(intake);
            pipeline.run(&CancellationToken::new(), || now);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = ingest
}
criterion_main!(benches);
