//! A log in memory, and routes that read it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use qw_event::{
    Batch, Category, ContainerRef, Event, EventId, Priority, RecordKind, SourceId, StoredEvent,
    Timestamp,
};
use qw_pipeline::TransitLog;
use qw_sinks::routes::{Config, RouteStatus, Router, Routes};
use qw_store::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Kinds, Maintenance, QueryError, RecordStore, Retention, RuleActivity,
    SourceCursor, StateStore, StoreError, StoreStatistics, TimeRange,
};
use serde_json::{Value, value::RawValue};
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, memory::Memory, options};

/// Records in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Mutex<Vec<StoredEvent>>,
    last: AtomicU64,
    /// Pages that were read.
    pub(crate) pages: AtomicU64,
}

/// One line, whose text is `line N` and whatever `text` says.
pub(crate) fn line(id: u64, text: &str) -> StoredEvent {
    let container = ContainerRef {
        id: "3f29".repeat(16).into(),
        name: "web".into(),
        image: "shop/web:1".into(),
        ..ContainerRef::default()
    };
    StoredEvent {
        id: EventId(id),
        event: Event {
            kind: RecordKind::Log,
            time: Timestamp::from_nanos(1_790_000_000_000_000_000 + i64::try_from(id).unwrap()),
            source: "stdout".into(),
            rule: "INFO".into(),
            priority: Priority::Informational,
            category: Category::Unknown,
            hostname: "box".into(),
            container: Arc::new(container),
            process_name: "".into(),
            tags: Arc::new([]),
            output: format!("line {id}{text}").into(),
            output_fields: RawValue::from_string("{}".into()).unwrap(),
        },
    }
}

impl Log {
    /// Adds `count` lines as one batch, changed by `change`.
    pub(crate) fn add(&self, count: u64, change: impl Fn(&mut StoredEvent)) -> Arc<[StoredEvent]> {
        let mut records = self.records.lock();
        let first = self.last.load(Ordering::SeqCst) + 1;
        let container = line(0, "").event.container;
        let batch: Arc<[StoredEvent]> = (first..first + count)
            .map(|id| {
                let mut record = line(id, "");
                record.event.container = Arc::clone(&container);
                change(&mut record);
                record
            })
            .collect();
        records.extend(batch.iter().cloned());
        self.last.store(first + count - 1, Ordering::SeqCst);
        batch
    }

    /// Drops what is up to `id`, as retention does.
    pub(crate) fn drop_up_to(&self, id: u64) {
        self.records.lock().retain(|record| record.id.0 > id);
    }
}

impl RecordStore for Log {
    fn append_with(
        &self,
        _: &mut Vec<Batch>,
        _: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        Ok(Vec::new())
    }

    fn cursor(&self, _: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        Ok(None)
    }

    fn events(&self, _: &EventQuery) -> Result<EventPage, QueryError> {
        Ok(EventPage::default())
    }

    fn event(&self, id: EventId) -> Result<Option<StoredEvent>, QueryError> {
        let records = self.records.lock();
        Ok(records.iter().find(|record| record.id == id).cloned())
    }

    fn events_after(
        &self,
        after: EventId,
        limit: usize,
        kinds: Kinds,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        self.pages.fetch_add(1, Ordering::SeqCst);
        let records = self.records.lock();
        let begin = records.partition_point(|record| record.id <= after);
        Ok(records
            .iter()
            .skip(begin)
            .filter(|record| kinds.contains(record.event.kind))
            .take(limit)
            .cloned()
            .collect())
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
        EventId(self.last.load(Ordering::SeqCst))
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

/// Log and state of one test; both outlive routes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stores {
    pub(crate) log: Arc<Log>,
    pub(crate) state: Arc<Memory>,
    /// The disk buffer of what is not stored.
    pub(crate) transit: Option<Arc<TransitLog>>,
}

/// Routes on a runtime of their own.
pub(crate) struct Forwarding {
    pub(crate) runtime: tokio::runtime::Runtime,
    router: Option<Router>,
    stop: CancellationToken,
    pub(crate) routes: Routes,
    log: Arc<Log>,
}

impl Stores {
    /// Starts `routes`, a JSON list.
    #[track_caller]
    pub(crate) fn start(&self, routes: Value) -> Forwarding {
        self.try_start(routes).unwrap()
    }

    pub(crate) fn try_start(&self, routes: Value) -> Result<Forwarding, String> {
        let config: Config = serde_json::from_value(serde_json::json!({ "routes": routes }))
            .map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let router = {
            let _inside = runtime.enter();
            let records: Arc<dyn RecordStore> = Arc::<Log>::clone(&self.log);
            let state: Arc<dyn StateStore> = Arc::<Memory>::clone(&self.state);
            Router::start(
                &config,
                records,
                self.transit.clone(),
                state,
                options(),
                &stop,
            )
            .map_err(|error| error.to_string())?
        };
        Ok(Forwarding {
            routes: router.routes(),
            runtime,
            router: Some(router),
            stop,
            log: Arc::clone(&self.log),
        })
    }

    /// The stored position of a route.
    pub(crate) fn position(&self, route: &str) -> u64 {
        let text = self.state.get("route_positions", route).unwrap().unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        value["id"].as_u64().unwrap()
    }
}

impl Forwarding {
    /// Commits `count` lines as the pipeline does.
    pub(crate) fn commit(&self, count: u64) {
        self.commit_with(count, |_| {});
    }

    pub(crate) fn commit_with(&self, count: u64, change: impl Fn(&mut StoredEvent)) {
        let batch = self.log.add(count, change);
        self.routes.committed(&batch);
    }

    pub(crate) fn status(&self, name: &str) -> RouteStatus {
        let mut statuses = self.routes.statuses().into_iter();
        statuses.find(|status| status.name == name).unwrap()
    }

    /// Waits until a route is as `accept` wants it.
    #[track_caller]
    pub(crate) fn wait(
        &self,
        name: &str,
        what: &str,
        accept: impl Fn(&RouteStatus) -> bool,
    ) -> RouteStatus {
        let begin = std::time::Instant::now();
        loop {
            let status = self.status(name);
            if accept(&status) {
                return status;
            }
            assert!(begin.elapsed() < LIMIT, "{what}: {status:#?}");
            self.runtime
                .block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    /// Waits until everything is done.
    #[track_caller]
    pub(crate) fn wait_for_all(&self, name: &str) -> RouteStatus {
        self.wait(name, "all is done", |status| status.lag == 0)
    }

    /// Ends as a killed process does: nothing is finished but the call of the system on its way.
    pub(crate) fn crash(self) {
        self.runtime.shutdown_timeout(LIMIT);
    }

    pub(crate) fn stop(mut self) {
        self.stop.cancel();
        if let Some(router) = self.router.take() {
            self.runtime.block_on(router.stopped());
        }
    }
}
