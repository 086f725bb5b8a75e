//! The embedded store: SQLite as catalogue and hot tail, Parquet segments for everything older.
//!
//! One directory holds `catalogue.sqlite`, the lock file and `segments/`. What has been appended is
//! in the catalogue (small batches) or in a segment that the catalogue names (big ones) before
//! `append` returns; a file that the catalogue does not name is a leftover and is removed when the
//! store is opened. `docs/design/store.md` specifies the files and what happens at each crash.

mod aggregate;
mod alerts;
mod append;
mod bloom;
mod catalogue;
mod checks;
mod codes;
mod files;
mod format;
mod hot;
mod maintain;
mod open;
mod plan;
mod rollup;
mod rows;
mod scan;
mod search;
mod segment;
mod segment_reader;
mod segment_writer;
mod statistics;
#[cfg(test)]
mod tests;
mod totals;
mod trigrams;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use parquet::file::properties::WriterProperties;
use qw_event::{Batch, EventId, RecordKind, SourceId, StoredEvent, Timestamp};
use rusqlite::{Connection, TransactionBehavior};

pub use self::{
    files::{FileSink, FileSystem, OsFiles},
    open::OpenError,
};
use crate::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, KeyRange, Kinds, Maintenance, OwnedStateChange, QueryError, RecordStore,
    Retention, RuleActivity, SourceCursor, StateChange, StateStore, StoreError, StoreStatistics,
    TimeRange,
    embedded::{
        catalogue::Readers,
        hot::HotChunk,
        open::DirectoryLock,
        rollup::Names,
        scan::Helpers,
        segment::{Segment, SegmentCache},
        statistics::Counters,
        totals::Totals,
    },
};

/// How an embedded store works; the defaults suit one host.
#[derive(Debug, Clone)]
pub struct Options {
    /// An append of at least this many events goes straight to a segment.
    pub direct_events: usize,
    /// Maintenance seals the hot tail when it holds this many events.
    pub seal_events: usize,
    /// Maintenance seals the hot tail when it takes this much memory; an append that finds twice as
    /// much seals it itself.
    pub seal_bytes: usize,
    /// Maintenance seals the hot tail when its oldest event is older than this.
    pub seal_age: Duration,
    /// Rows of a row group, the unit that queries skip and read.
    pub group_rows: usize,
    /// Compaction makes segments of at most this many events.
    pub segment_events: u64,
    /// Compaction merges no segments whose events together span more than this.
    pub segment_span: Duration,
    /// Memory for what is known of open segments, in bytes.
    pub cache_bytes: usize,
    /// Open segment files kept.
    pub cache_files: usize,
    /// Memory for how often each value occurs in whole segments, in bytes.
    pub totals_bytes: usize,
    /// zstd level of the texts in segments.
    pub compression_level: i32,
    /// Writes the segment files.
    pub files: Arc<dyn FileSystem>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            direct_events: 5_000,
            seal_events: 8_192,
            seal_bytes: 10 << 20,
            seal_age: Duration::from_secs(3600),
            group_rows: 8_192,
            segment_events: 500_000,
            segment_span: Duration::from_secs(24 * 3600),
            cache_bytes: 16 << 20,
            cache_files: 128,
            totals_bytes: 8 << 20,
            compression_level: 3,
            files: Arc::new(OsFiles),
        }
    }
}

/// Events and state in one directory of the local disk.
#[derive(Debug)]
pub struct Embedded {
    directory: PathBuf,
    options: Options,
    properties: Arc<WriterProperties>,
    /// The one connection that writes. Whoever changes `view` or `names` holds it.
    writer: Mutex<Writer>,
    readers: Readers,
    view: RwLock<View>,
    names: RwLock<Arc<Names>>,
    cache: SegmentCache,
    totals: Totals,
    helpers: Helpers,
    sums: aggregate::NewestSums,
    /// Held while the hot tail is sealed. Taken before `writer`.
    sealing: Mutex<()>,
    /// Held while segments are merged or dropped. Taken before `writer`.
    compaction: Mutex<()>,
    next_file: AtomicU64,
    counters: Counters,
    /// Keeps other processes out; last, so that it goes when everything else is closed.
    _lock: DirectoryLock,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// Files of transactions that failed. Whether such a transaction is durable after all shows
    /// only when the next one has committed over it, so they are removed then.
    orphans: Vec<PathBuf>,
}

/// What can be found at one moment.
#[derive(Debug, Clone, Default)]
struct View {
    segments: Arc<[Arc<Segment>]>,
    hot: Vec<Arc<HotChunk>>,
    /// Records in `hot` by kind, index = its number.
    hot_events: [usize; RecordKind::ALL.len()],
    /// Memory they take, bytes.
    hot_bytes: [usize; RecordKind::ALL.len()],
    last_id: u64,
}

impl View {
    fn push_hot(&mut self, chunk: Arc<HotChunk>) {
        self.hot_events[chunk.kind as usize] += chunk.events.len();
        self.hot_bytes[chunk.kind as usize] += chunk.bytes;
        self.hot.push(chunk);
    }

    /// Takes `old` segments out and puts `new` in.
    fn replace_segments(&mut self, old: &[Arc<Segment>], new: Option<Arc<Segment>>) {
        let is_old =
            |segment: &Arc<Segment>| old.iter().any(|old| old.row.file == segment.row.file);
        self.segments = self
            .segments
            .iter()
            .filter(|segment| !is_old(segment))
            .cloned()
            .chain(new)
            .collect();
    }

    /// Removes the hot chunks of `kind` up to the record numbered `last_id`.
    fn drop_hot_through(&mut self, kind: RecordKind, last_id: u64) {
        self.hot_events = Default::default();
        self.hot_bytes = Default::default();
        for chunk in std::mem::take(&mut self.hot) {
            if chunk.kind != kind || chunk.first_id() > last_id {
                self.push_hot(chunk);
            }
        }
    }
}

impl Embedded {
    /// Runs `change` as one transaction and, when it is durable, `publish` before anyone else can
    /// write.
    fn transact<T, U>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Connection) -> Result<T, StoreError>,
        publish: impl FnOnce(T) -> U,
    ) -> Result<U, StoreError> {
        let failed = |source| StoreError::Catalogue { doing, source };
        let mut writer = self.writer.lock();
        let started = std::time::Instant::now();
        let transaction = writer
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(failed)?;
        self.counters.committed(started.elapsed());
        let published = publish(value);
        let orphans = std::mem::take(&mut writer.orphans);
        for orphan in orphans {
            if let Err(error) = self.options.files.remove(&orphan) {
                tracing::warn!(%error, "cannot remove a leftover segment");
                writer.orphans.push(orphan);
            }
        }
        Ok(published)
    }

    /// Leaves `path` to be removed after the next transaction.
    fn orphan(&self, path: PathBuf) {
        self.writer.lock().orphans.push(path);
    }

    fn view(&self) -> View {
        self.view.read().clone()
    }

    fn names(&self) -> Arc<Names> {
        self.names.read().clone()
    }
}

impl RecordStore for Embedded {
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        companion: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        self.append_batches(batches, companion)
    }

    fn cursor(&self, source: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        self.readers
            .read("read the position of a source", |connection| {
                catalogue::cursor(connection, source)
            })
    }

    fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        self.search_events(query)
    }

    fn event(&self, id: EventId) -> Result<Option<StoredEvent>, QueryError> {
        Ok(self.search_event(id))
    }

    fn events_after(
        &self,
        after: EventId,
        limit: usize,
        kinds: Kinds,
    ) -> Result<Vec<StoredEvent>, QueryError> {
        Ok(self.search_after(after, limit, kinds))
    }

    fn histogram(&self, query: &HistogramQuery) -> Result<Histogram, QueryError> {
        self.count_histogram(query)
    }

    fn facets(&self, query: &FacetQuery) -> Result<Facets, QueryError> {
        self.count_facets(query)
    }

    fn container_activity(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        self.count_containers(range, kinds)
    }

    fn rule_activity(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<RuleActivity>, QueryError> {
        self.count_rules(range, kinds)
    }

    fn maintain(&self, now: Timestamp, retention: &Retention) -> Result<Maintenance, StoreError> {
        self.run_maintenance(now, retention)
    }

    fn last_id(&self) -> EventId {
        EventId(self.view.read().last_id)
    }

    fn statistics(&self) -> StoreStatistics {
        self.collect_statistics()
    }
}

/// A value of state is at most this long, in bytes.
const MAX_STATE_VALUE: usize = 8 << 20;
/// A key or the name of a collection is at most this long, in bytes.
const MAX_STATE_KEY: usize = 1024;

impl StateStore for Embedded {
    fn get(&self, collection: &str, key: &str) -> Result<Option<String>, StoreError> {
        self.readers.read("read state", |connection| {
            catalogue::state(connection, collection, key)
        })
    }

    fn range(
        &self,
        collection: &str,
        between: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.readers.read("list state", |connection| {
            catalogue::states_between(connection, collection, between, limit)
        })
    }

    fn list(&self, collection: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.readers.read("list state", |connection| {
            catalogue::states(connection, collection)
        })
    }

    fn apply(&self, changes: &[StateChange<'_>]) -> Result<(), StoreError> {
        changes.iter().try_for_each(check_state)?;
        let doing = "write state";
        let change = |connection: &Connection| {
            changes
                .iter()
                .try_for_each(|change| catalogue::change_state(connection, change))
                .map_err(|source| StoreError::Catalogue { doing, source })
        };
        self.transact(doing, change, |()| ())
    }

    fn apply_made(
        &self,
        make: &mut dyn FnMut() -> Vec<OwnedStateChange>,
    ) -> Result<(), StoreError> {
        let doing = "write state";
        let change = |connection: &Connection| change_states(connection, &make(), doing);
        self.transact(doing, change, |()| ())
    }
}

/// Carries out changes of state within a transaction.
fn change_states(
    connection: &Connection,
    changes: &[OwnedStateChange],
    doing: &'static str,
) -> Result<(), StoreError> {
    for change in changes {
        let change = change.as_change();
        check_state(&change)?;
        catalogue::change_state(connection, &change)
            .map_err(|source| StoreError::Catalogue { doing, source })?;
    }
    Ok(())
}

/// Refuses a change of state that is over its bounds.
fn check_state(change: &StateChange<'_>) -> Result<(), StoreError> {
    let (collection, key, value) = match *change {
        StateChange::Put {
            collection,
            key,
            value,
        } => (collection, key, value),
        StateChange::Delete { collection, key } => (collection, key, ""),
    };
    for (what, text, limit) in [
        (
            "the name of a collection of state",
            collection,
            MAX_STATE_KEY,
        ),
        ("a key of state", key, MAX_STATE_KEY),
        ("a value of state", value, MAX_STATE_VALUE),
    ] {
        if text.len() > limit {
            return Err(StoreError::TooLarge { what, limit });
        }
    }
    Ok(())
}

impl Embedded {
    fn next_file(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }
}
