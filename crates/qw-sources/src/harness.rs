//! For tests: a running pipeline over a store in memory.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use qw_event::{Batch, Event, EventId, Outcome, Position, SourceId, StoredEvent, Timestamp};
use qw_pipeline::{Intake, Notices, Options, Pipeline, SourceSnapshot, SourceStatuses};
use qw_store::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Kinds, Maintenance, QueryError, RecordStore, Retention, RuleActivity,
    SourceCursor, StoreError, StoreStatistics, TimeRange,
};
use tokio_util::sync::CancellationToken;

/// Longest wait of a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A pipeline that runs until this is dropped.
pub(crate) struct Harness {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) statuses: SourceStatuses,
    intake: Option<Intake>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Harness {
    pub(crate) fn start() -> Self {
        Self::over(Arc::default(), Options::default())
    }

    /// As [`Self::start`], over a store that may have something already.
    pub(crate) fn over(store: Arc<MemoryStore>, options: Options) -> Self {
        let statuses = SourceStatuses::default();
        let pipeline = Pipeline::new(
            Arc::clone(&store) as Arc<dyn RecordStore>,
            Arc::default(),
            statuses.clone(),
            Notices::default(),
            options,
        );
        let intake = pipeline.intake(&SourceId::new("test"), "test", "test");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || pipeline.run(&stopped, crate::clock::now));
        Self {
            store,
            statuses,
            intake: Some(intake),
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn intake(&self, id: &str) -> Intake {
        let intake = self.intake.as_ref().unwrap();
        intake.for_source(&self.statuses, &SourceId::new(id), "test", "test")
    }

    pub(crate) fn snapshot(&self, id: &str) -> SourceSnapshot {
        let snapshots = self.statuses.snapshots();
        snapshots
            .into_iter()
            .find(|snapshot| snapshot.id.as_str() == id)
            .unwrap()
    }

    /// Every record of the source `id` has exactly one outcome.
    #[track_caller]
    pub(crate) fn check_conservation(&self, id: &str) {
        let snapshot = self.snapshot(id);
        let outcomes: u64 = snapshot.outcomes.iter().sum();
        assert_eq!(
            snapshot.received,
            outcomes + snapshot.in_flight,
            "{snapshot:?}"
        );
    }

    /// Events of `id` with this outcome, once those on their way have theirs; what is stored is seen
    /// in the store a moment before it is counted.
    pub(crate) fn outcome(&self, id: &str, outcome: Outcome) -> u64 {
        self.settle(id);
        self.snapshot(id).outcomes[outcome.index()]
    }

    /// Waits until nothing of `id` is on its way, not for long.
    pub(crate) fn settle(&self, id: &str) {
        let start = Instant::now();
        while self.snapshot(id).in_flight > 0 && start.elapsed() < Duration::from_secs(1) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.stop.cancel();
        self.store.fail(false);
        drop(self.intake.take());
        drop(self.thread.take());
    }
}

/// Keeps everything in memory, and can be made to fail.
#[derive(Default)]
pub(crate) struct MemoryStore {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: Vec<StoredEvent>,
    cursors: BTreeMap<SourceId, SourceCursor>,
    highest: BTreeMap<(SourceId, u64), u64>,
    fails: bool,
}

impl MemoryStore {
    /// Whether appending fails from now on.
    pub(crate) fn fail(&self, fails: bool) {
        self.state.lock().fails = fails;
    }

    /// Waits for `count` events and returns all there are then.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Event> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.state.lock();
        while state.events.len() < count {
            let late = self.changed.wait_until(&mut state, deadline).timed_out();
            assert!(!late, "{} of {count} events came", state.events.len());
        }
        state
            .events
            .iter()
            .map(|stored| stored.event.clone())
            .collect()
    }

    /// The rules of the events, in order, once there are `count`.
    #[track_caller]
    pub(crate) fn rules(&self, count: usize) -> Vec<String> {
        self.wait_for(count)
            .iter()
            .map(|event| event.rule.to_string())
            .collect()
    }

    pub(crate) fn position(&self, source: &str) -> Option<Position> {
        self.state
            .lock()
            .cursors
            .get(&SourceId::new(source))?
            .position
            .clone()
    }
}

impl RecordStore for MemoryStore {
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        _: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut state = self.state.lock();
        if state.fails {
            let source = std::io::Error::other("made to fail");
            return Err(StoreError::File {
                doing: "append",
                source,
            });
        }
        let appended = batches.drain(..).map(|batch| state.append(batch)).collect();
        self.changed.notify_all();
        Ok(appended)
    }

    fn cursor(&self, source: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        Ok(self.state.lock().cursors.get(source).cloned())
    }

    fn events(&self, _: &EventQuery) -> Result<EventPage, QueryError> {
        no_answer()
    }

    fn event(&self, _: EventId) -> Result<Option<StoredEvent>, QueryError> {
        no_answer()
    }

    fn events_after(&self, _: EventId, _: usize, _: Kinds) -> Result<Vec<StoredEvent>, QueryError> {
        no_answer()
    }

    fn histogram(&self, _: &HistogramQuery) -> Result<Histogram, QueryError> {
        no_answer()
    }

    fn facets(&self, _: &FacetQuery) -> Result<Facets, QueryError> {
        no_answer()
    }

    fn container_activity(
        &self,
        _: TimeRange,
        _: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        no_answer()
    }

    fn rule_activity(&self, _: TimeRange, _: Kinds) -> Result<Vec<RuleActivity>, QueryError> {
        no_answer()
    }

    fn maintain(&self, _: Timestamp, _: &Retention) -> Result<Maintenance, StoreError> {
        Ok(Maintenance::default())
    }

    fn last_id(&self) -> EventId {
        EventId(self.state.lock().events.len() as u64)
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

impl State {
    fn append(&mut self, batch: Batch) -> Appended {
        let highest = self
            .highest
            .entry((batch.id.source.clone(), batch.id.epoch))
            .or_default();
        if batch.id.sequence <= *highest {
            return Appended::Duplicate;
        }
        *highest = batch.id.sequence;
        let before = self
            .cursors
            .get(&batch.id.source)
            .and_then(|cursor| cursor.position.clone());
        let cursor = SourceCursor {
            epoch: batch.id.epoch,
            sequence: batch.id.sequence,
            position: batch.position.or(before),
        };
        self.cursors.insert(batch.id.source, cursor);
        let first = self.events.len() as u64 + 1;
        let stored: Vec<_> = (first..)
            .zip(batch.events)
            .map(|(id, event)| StoredEvent {
                id: EventId(id),
                event,
            })
            .collect();
        self.events.extend(stored.iter().cloned());
        Appended::Stored(stored.into())
    }
}

/// A line as Falco writes it, for the rule `rule`.
pub(crate) fn line(rule: &str) -> String {
    format!(
        "{{\"rule\":\"{rule}\",\"priority\":\"Notice\",\"output\":\"x\",\"time\":\"2026-11-21T09:00:00Z\"}}\n"
    )
}

/// The harness keeps what sources send; nobody asks it anything.
fn no_answer<T>() -> Result<T, QueryError> {
    Err(QueryError::Invalid(
        "the harness answers no questions".to_owned(),
    ))
}
