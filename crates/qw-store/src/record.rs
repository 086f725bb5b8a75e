//! The contract of a store of records: events, and lines of logs.

use std::{collections::BTreeMap, num::ParseIntError, str::FromStr, sync::Arc, time::Duration};

use qw_event::{
    Batch, Category, EventId, Position, Priority, RecordKind, SourceId, StoredEvent, Timestamp,
};

use crate::{Alone, Companion, query::Filter};

/// Keeps events and answers questions about them.
///
/// Lines of logs are records of a kind of their own ([`RecordKind`]): numbered, kept and found as events
/// are, and left out of every answer that is not asked for them ([`Kinds`]). Every implementation passes
/// the conformance suite.
pub trait RecordStore: Send + Sync + 'static {
    /// Stores `batches` in order, each with its position, in one transaction.
    ///
    /// Returns one entry per batch. When this returns, the batches are on disk and `batches` is
    /// empty; on an error none of them is, and `batches` is as it was, to be tried again. One
    /// caller at a time appends.
    fn append(&self, batches: &mut Vec<Batch>) -> Result<Vec<Appended>, StoreError> {
        self.append_with(batches, &mut Alone)
    }

    /// As [`Self::append`], and commits in the same transaction what `companion` says once it sees
    /// the events with their numbers.
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        companion: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError>;

    /// Where `source` goes on, as committed with its newest batch; `None` when it never stored.
    fn cursor(&self, source: &SourceId) -> Result<Option<SourceCursor>, StoreError>;

    /// One page of the events that `query` selects.
    fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError>;

    /// The event numbered `id`; `None` when there is none or retention has dropped it.
    fn event(&self, id: EventId) -> Result<Option<StoredEvent>, QueryError>;

    /// Records of `kinds` numbered above `after`, in order of their numbers, at most `limit`.
    fn events_after(
        &self,
        after: EventId,
        limit: usize,
        kinds: Kinds,
    ) -> Result<Vec<StoredEvent>, QueryError>;

    /// Counts per interval and priority.
    fn histogram(&self, query: &HistogramQuery) -> Result<Histogram, QueryError>;

    /// The most frequent values of some fields.
    fn facets(&self, query: &FacetQuery) -> Result<Facets, QueryError>;

    /// What each container did in `range`, most recent first, from the roll-ups of `kinds`.
    fn container_activity(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError>;

    /// The rules that fired in `range`, most frequent first, from the roll-ups of `kinds`; of logs the
    /// levels of their lines.
    fn rule_activity(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<RuleActivity>, QueryError>;

    /// Seals, compacts and applies `retention` as far as is due at `now`; returns what was done.
    fn maintain(&self, now: Timestamp, retention: &Retention) -> Result<Maintenance, StoreError>;

    /// The highest number given to an event so far; zero when there is none.
    fn last_id(&self) -> EventId;

    /// Sizes and counts of the store itself.
    fn statistics(&self) -> StoreStatistics;
}

/// What became of one batch.
#[derive(Debug, Clone)]
pub enum Appended {
    /// Stored; the events carry the numbers they were given.
    Stored(Arc<[StoredEvent]>),
    /// Stored before; nothing was written.
    Duplicate,
}

/// Where a source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCursor {
    /// Epoch of the newest batch.
    pub epoch: u64,
    /// Sequence of the newest batch within that epoch.
    pub sequence: u64,
    /// Newest position given; `None` when no batch carried one.
    pub position: Option<Position>,
}

/// Which kinds of records an answer is made of; of events alone unless something else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// Runtime security events.
    pub const EVENTS: Self = Self::of(RecordKind::Event);
    /// Lines of logs.
    pub const LOGS: Self = Self::of(RecordKind::Log);
    /// Records of every kind.
    pub const ALL: Self = Self::EVENTS.union(Self::LOGS);
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// The records of `kind`.
    pub const fn of(kind: RecordKind) -> Self {
        Self(1 << kind as u8)
    }

    /// What is in this set or in `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and in `other`.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True when records of `kind` are in the set.
    pub const fn contains(self, kind: RecordKind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    /// The kinds in the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = RecordKind> {
        RecordKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::EVENTS
    }
}

impl FromIterator<RecordKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = RecordKind>>(kinds: I) -> Self {
        kinds
            .into_iter()
            .fold(Self::NONE, |set, kind| set.union(Self::of(kind)))
    }
}

/// Events from `start` (included) to `end` (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

impl TimeRange {
    /// All time.
    pub const ALL: Self = Self {
        start: Timestamp::MIN,
        end: Timestamp::MAX,
    };

    /// True when `time` lies in the range.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

/// Direction of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Latest time first.
    #[default]
    NewestFirst,
    /// Earliest time first.
    OldestFirst,
}

/// Place between two events of a listing: continues after the event with this time and number.
///
/// Text form `nanoseconds.number`, opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageCursor {
    /// Time of the last event seen.
    pub time: Timestamp,
    /// Its number.
    pub id: EventId,
}

/// Short name for [`PageCursor`].
pub type Cursor = PageCursor;

impl std::fmt::Display for PageCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.time.as_nanos(), self.id)
    }
}

impl FromStr for PageCursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (time, id) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self {
            time: Timestamp::from_nanos(time.parse()?),
            id: EventId(id.parse()?),
        })
    }
}

/// Which events, in which order, how many.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// When.
    pub range: TimeRange,
    /// Of which kinds.
    pub kinds: Kinds,
    /// Which.
    pub filter: Filter,
    /// Direction by (time, number).
    pub order: Order,
    /// Continues after this place.
    pub after: Option<PageCursor>,
    /// At most this many, 1 to 10,000.
    pub limit: usize,
    /// Gives up after reading for this long and returns what it has.
    pub budget: Duration,
}

/// A page of events.
#[derive(Debug, Clone, Default)]
pub struct EventPage {
    /// The events, in the order asked for.
    pub events: Vec<StoredEvent>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<PageCursor>,
    /// False when the budget ended the search early; `next` then continues it.
    pub complete: bool,
    /// Events looked at to find these.
    pub scanned: u64,
}

/// Counts per interval.
#[derive(Debug, Clone)]
pub struct HistogramQuery {
    /// When; widened outward to whole steps.
    pub range: TimeRange,
    /// Of which kinds.
    pub kinds: Kinds,
    /// Which.
    pub filter: Filter,
    /// Width of an interval, at least one second.
    pub step: Duration,
    /// Gives up after reading for this long.
    pub budget: Duration,
}

/// Counts per interval; intervals without events are left out.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// The intervals, earliest first.
    pub buckets: Vec<HistogramBucket>,
    /// Sum of all.
    pub total: u64,
    /// False when the budget ended the count early, so counts are lower bounds.
    pub complete: bool,
}

/// One interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramBucket {
    /// Start of the interval.
    pub start: Timestamp,
    /// Events by priority, index = [`Priority::as_number`].
    pub by_priority: [u64; 8],
}

impl HistogramBucket {
    /// Events of all priorities.
    pub fn total(&self) -> u64 {
        self.by_priority.iter().sum()
    }
}

/// Frequencies of the values of some fields.
#[derive(Debug, Clone)]
pub struct FacetQuery {
    /// When.
    pub range: TimeRange,
    /// Of which kinds.
    pub kinds: Kinds,
    /// Which.
    pub filter: Filter,
    /// Fields by query name, such as `rule`, `container.name`, `proc.name`, `fd.name`.
    pub fields: Vec<String>,
    /// At most this many values per field.
    pub limit: usize,
    /// Gives up after reading for this long.
    pub budget: Duration,
}

/// The facets of a query.
#[derive(Debug, Clone, Default)]
pub struct Facets {
    /// One per field asked for, in that order.
    pub facets: Vec<Facet>,
    /// False when counts come from the newest part only.
    pub complete: bool,
    /// Events the counts come from.
    pub scanned: u64,
}

/// Most frequent values of one field.
#[derive(Debug, Clone, Default)]
pub struct Facet {
    /// Field by query name.
    pub field: String,
    /// Values, most frequent first, ties by value.
    pub values: Vec<FacetValue>,
    /// Events whose value is not among `values`.
    pub other: u64,
}

/// One value and how often it occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacetValue {
    /// The value as text.
    pub value: String,
    /// Events that have it.
    pub count: u64,
}

/// What one container did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerActivity {
    /// Id as the events carry it.
    pub container_id: Arc<str>,
    /// Name as the events carry it.
    pub container_name: Arc<str>,
    /// Image reference, or repository when that is all that is known.
    pub image: Arc<str>,
    /// Events by priority, index = [`Priority::as_number`].
    pub by_priority: [u64; 8],
    /// Time of the earliest record of the kinds asked for that is known of the container at all.
    pub first_event: Timestamp,
    /// Time of the latest one.
    pub last_event: Timestamp,
}

/// How often one rule fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleActivity {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Its priority.
    pub priority: Priority,
    /// Its category.
    pub category: Category,
    /// Events.
    pub count: u64,
}

/// How long and how much is kept, of each kind by itself, so that a talkative log drives out no events.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// Events older than this are dropped; `None` keeps them.
    pub max_age: Option<Duration>,
    /// The oldest events are dropped while their segments and the catalogue are larger together;
    /// `None` sets no bound.
    pub max_size_bytes: Option<u64>,
    /// The same for lines of logs.
    pub logs: LogRetention,
}

/// How long and how much of logs is kept.
#[derive(Debug, Clone, Default)]
pub struct LogRetention {
    /// Lines older than this are dropped; `None` keeps them.
    pub max_age: Option<Duration>,
    /// The oldest lines are dropped while their segments are larger together; `None` sets no bound.
    pub max_size_bytes: Option<u64>,
}

impl Retention {
    /// The greatest age of records of `kind`.
    pub fn max_age(&self, kind: RecordKind) -> Option<Duration> {
        match kind {
            RecordKind::Event => self.max_age,
            RecordKind::Log => self.logs.max_age,
        }
    }

    /// The greatest size of all records of `kind`, in bytes.
    pub fn max_size_bytes(&self, kind: RecordKind) -> Option<u64> {
        match kind {
            RecordKind::Event => self.max_size_bytes,
            RecordKind::Log => self.logs.max_size_bytes,
        }
    }
}

/// What a round of maintenance did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Segments written from the hot tail.
    pub sealed: u64,
    /// Segments merged away.
    pub compacted: u64,
    /// Segments dropped by age or size.
    pub dropped_segments: u64,
    /// Records in them, of every kind.
    pub dropped_events: u64,
}

/// Sizes and counts of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoreStatistics {
    /// Events that can be found.
    pub events: u64,
    /// Of these, in the hot tail.
    pub hot_events: u64,
    /// Sealed segments, of every kind.
    pub segments: u64,
    /// Bytes of sealed segments and their blooms, of every kind.
    pub segment_bytes: u64,
    /// Bytes of the SQLite files.
    pub catalogue_bytes: u64,
    /// Time of the oldest event.
    pub oldest: Option<Timestamp>,
    /// Time of the newest event.
    pub newest: Option<Timestamp>,
    /// Lines of logs.
    pub logs: LogStatistics,
    /// Commits so far in this process.
    pub commits: u64,
    /// Seconds spent in commits so far in this process.
    pub commit_seconds: f64,
    /// Counters an implementation adds, by name, such as `segments_pruned`.
    pub counters: BTreeMap<&'static str, u64>,
}

/// How much of logs there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogStatistics {
    /// Lines that can be found.
    pub lines: u64,
    /// Of these, in the hot tail.
    pub hot_lines: u64,
    /// Bytes of their sealed segments.
    pub segment_bytes: u64,
    /// Time of the oldest line.
    pub oldest: Option<Timestamp>,
    /// Time of the newest line.
    pub newest: Option<Timestamp>,
}

/// Why something could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The catalogue failed.
    #[error("store catalogue: cannot {doing}")]
    Catalogue {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
    /// A file failed; the message names it.
    #[error("store file: cannot {doing}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Why not; names the path.
        #[source]
        source: std::io::Error,
    },
    /// A segment could not be written or read.
    #[error("segment `{segment}`: {what}")]
    Segment {
        /// File name.
        segment: String,
        /// What is wrong with it.
        what: String,
    },
    /// A value is over a bound.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
}

impl StoreError {
    /// True when the same call may succeed later without anyone changing the data (disk full,
    /// read-only, busy).
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value of the query is out of its bounds.
    #[error("{0}")]
    Invalid(String),
}
