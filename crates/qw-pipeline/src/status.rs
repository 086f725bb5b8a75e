//! What is known about each source: state, counts, last error, lag.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, RwLock};
use qw_event::{InvalidReason, Outcome, SourceId, Timestamp};

/// All sources of the process.
#[derive(Debug, Clone, Default)]
pub struct SourceStatuses {
    sources: Arc<RwLock<BTreeMap<SourceId, Arc<SourceStatus>>>>,
}

impl SourceStatuses {
    /// The status of `id`, made with `kind` and `description` when it is new.
    pub fn register(
        &self,
        id: &SourceId,
        kind: &'static str,
        description: &str,
    ) -> Arc<SourceStatus> {
        let mut sources = self.sources.write();
        let status = sources.entry(id.clone()).or_insert_with(|| {
            Arc::new(SourceStatus {
                id: id.clone(),
                kind,
                description: description.into(),
                received: AtomicU64::new(0),
                received_bytes: AtomicU64::new(0),
                outcomes: Default::default(),
                last_received: AtomicI64::new(i64::MIN),
                last_event: AtomicI64::new(i64::MIN),
                in_flight: AtomicU64::new(0),
                capacity: AtomicU64::new(0),
                state: Mutex::default(),
            })
        });
        Arc::clone(status)
    }

    /// What is known of every source now, ordered by id.
    pub fn snapshots(&self) -> Vec<SourceSnapshot> {
        self.sources
            .read()
            .values()
            .map(|status| status.snapshot())
            .collect()
    }
}

/// Counts and state of one source. Counters only grow while the process runs.
#[derive(Debug)]
pub struct SourceStatus {
    id: SourceId,
    kind: &'static str,
    description: String,
    received: AtomicU64,
    received_bytes: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    last_received: AtomicI64,
    last_event: AtomicI64,
    in_flight: AtomicU64,
    capacity: AtomicU64,
    state: Mutex<Detail>,
}

#[derive(Debug, Default)]
struct Detail {
    state: SourceState,
    since: Timestamp,
    last_error: Option<(Timestamp, String)>,
    last_rejected: Option<String>,
    position: Option<String>,
    readers: Arc<[Reader]>,
}

/// How one of several things that a source reads is read, such as the log of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Full id of the container, with the path of a file inside it; of a file of no container its path.
    pub container_id: String,
    /// Its name.
    pub container_name: String,
    /// `file`, `api`, `archive`, `journal`, or `none` when it cannot be read.
    pub way: &'static str,
    /// Why it is read this way, for people.
    pub why: String,
    /// Bytes that are there and not yet read; `None` when that cannot be told.
    pub lag_bytes: Option<u64>,
    /// Places where something is missing, since the process started.
    pub gaps: u64,
    /// Records read, since the process started.
    pub lines: u64,
    /// Newest error.
    pub last_error: Option<String>,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceState {
    /// Not yet connected.
    #[default]
    Starting,
    /// Reads.
    Running,
    /// Its peer is not there (container not started, engine away); tries again.
    Waiting,
    /// Cannot go on without the operator.
    Failed,
    /// Ended, by request or at the end of its input.
    Stopped,
}

impl SourceState {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl SourceStatus {
    /// Name of the source.
    pub fn id(&self) -> &SourceId {
        &self.id
    }

    /// Counts `records` lines or objects of together `bytes` bytes that arrived at `now`.
    pub fn received(&self, records: u64, bytes: u64, now: Timestamp) {
        self.received.fetch_add(records, Relaxed);
        self.received_bytes.fetch_add(bytes, Relaxed);
        self.last_received.fetch_max(now.as_nanos(), Relaxed);
    }

    /// Counts one received record that is no event; keeps the first 200 characters of the newest
    /// for the operator to see.
    pub fn invalid(&self, reason: InvalidReason, sample: &[u8]) {
        self.count(Outcome::Invalid(reason), 1);
        let sample = sample.get(..200).unwrap_or(sample);
        self.state.lock().last_rejected = Some(format!(
            "{}: {}",
            reason.name(),
            String::from_utf8_lossy(sample)
        ));
    }

    /// Counts `records` with the outcome `outcome`.
    pub fn count(&self, outcome: Outcome, records: u64) {
        if let Some(counter) = self.outcomes.get(outcome.index()) {
            counter.fetch_add(records, Relaxed);
        }
    }

    /// Notes what the source does from `now` on.
    pub fn set_state(&self, state: SourceState, now: Timestamp) {
        let mut detail = self.state.lock();
        if detail.state != state || detail.since == Timestamp::EPOCH {
            detail.state = state;
            detail.since = now;
        }
    }

    /// Notes an error for the operator to see; the source goes on.
    pub fn error(&self, text: impl Into<String>, now: Timestamp) {
        self.state.lock().last_error = Some((now, text.into()));
    }

    /// Tells how each of the things is read that the source reads, in place of what was told before.
    pub fn set_readers(&self, readers: Vec<Reader>) {
        self.state.lock().readers = readers.into();
    }

    pub(crate) fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, Relaxed);
    }

    pub(crate) fn entered(&self, records: u64) {
        self.in_flight.fetch_add(records, Relaxed);
    }

    pub(crate) fn left(&self, records: u64) {
        self.in_flight.fetch_sub(records, Relaxed);
    }

    pub(crate) fn committed(&self, newest_event: Option<Timestamp>, position: Option<&str>) {
        if let Some(time) = newest_event {
            self.last_event.fetch_max(time.as_nanos(), Relaxed);
        }
        if let Some(position) = position {
            self.state.lock().position = Some(position.to_owned());
        }
    }

    /// What is known now.
    pub fn snapshot(&self) -> SourceSnapshot {
        let detail = self.state.lock();
        let time = |nanos: i64| (nanos != i64::MIN).then(|| Timestamp::from_nanos(nanos));
        SourceSnapshot {
            id: self.id.clone(),
            kind: self.kind,
            description: self.description.clone(),
            state: detail.state,
            since: detail.since,
            last_error: detail.last_error.clone(),
            last_rejected: detail.last_rejected.clone(),
            last_received: time(self.last_received.load(Relaxed)),
            last_event: time(self.last_event.load(Relaxed)),
            received: self.received.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            outcomes: std::array::from_fn(|index| {
                self.outcomes
                    .get(index)
                    .map_or(0, |counter| counter.load(Relaxed))
            }),
            in_flight: self.in_flight.load(Relaxed),
            capacity: self.capacity.load(Relaxed),
            position: detail.position.clone(),
            readers: Arc::clone(&detail.readers),
        }
    }
}

/// What is known of a source at one moment.
#[derive(Debug, Clone)]
pub struct SourceSnapshot {
    /// Name.
    pub id: SourceId,
    /// Kind, such as `docker`.
    pub kind: &'static str,
    /// What it reads, for people.
    pub description: String,
    /// What it does.
    pub state: SourceState,
    /// Since when.
    pub since: Timestamp,
    /// Newest error.
    pub last_error: Option<(Timestamp, String)>,
    /// Reason and beginning of the newest line that was no event.
    pub last_rejected: Option<String>,
    /// When something last arrived, by our clock.
    pub last_received: Option<Timestamp>,
    /// Time of the newest event stored, by the sender's clock.
    pub last_event: Option<Timestamp>,
    /// Records received.
    pub received: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Records by outcome, index = [`Outcome::index`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Events in the pipeline now.
    pub in_flight: u64,
    /// Bound of the pipeline's memory, in bytes, which all sources share.
    pub capacity: u64,
    /// Position last committed in this process.
    pub position: Option<String>,
    /// How each of the things is read that the source reads; empty for a source of one.
    pub readers: Arc<[Reader]>,
}
