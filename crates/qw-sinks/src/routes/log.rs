//! What routes read: the stored log, and the disk buffer of what is not stored.

use std::sync::Arc;

use qw_event::{EventId, RecordKind, StoredEvent};
use qw_pipeline::TransitLog;
use qw_store::{Kinds, QueryError, RecordStore};

use super::window::Window;
use crate::receiver::chain;

/// Records read out of the store at once.
const PAGE: usize = 5_000;

/// Pages that are read to tell how many of some numbers are of other kinds.
const MAX_COUNTED_PAGES: usize = 20;

/// Records in the order of their numbers: the newest in memory, all of them on disk.
pub(crate) struct Log {
    records: Records,
    pub(crate) window: Window,
}

/// Which of the logs; each numbers its records by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogKind {
    /// What the store keeps.
    Stored,
    /// What is only forwarded.
    Transit,
}

enum Records {
    Stored(Arc<dyn RecordStore>),
    Transit(Arc<TransitLog>),
}

/// What was read.
pub(crate) struct Page {
    pub(crate) records: Vec<StoredEvent>,
    /// Up to here it leaves nothing out.
    pub(crate) end: EventId,
    /// Of each kind, up to where everything is lost that is not there, and how much that is.
    pub(crate) lost: [(EventId, u64); 2],
}

impl Log {
    pub(crate) fn stored(records: Arc<dyn RecordStore>) -> Self {
        Self {
            window: Window::new(records.last_id()),
            records: Records::Stored(records),
        }
    }

    pub(crate) fn transit(records: Arc<TransitLog>) -> Self {
        Self {
            window: Window::new(records.last_id()),
            records: Records::Transit(records),
        }
    }

    pub(crate) fn kind(&self) -> LogKind {
        match self.records {
            Records::Stored(_) => LogKind::Stored,
            Records::Transit(_) => LogKind::Transit,
        }
    }

    /// Number of the newest record.
    pub(crate) fn last_id(&self) -> EventId {
        match &self.records {
            Records::Stored(records) => records.last_id(),
            Records::Transit(records) => records.last_id(),
        }
    }

    /// Everything up to `position` is done with for good.
    pub(crate) fn release(&self, position: EventId) {
        if let Records::Transit(records) = &self.records {
            records.release(position);
        }
    }

    /// Records of `kinds` behind `after`, as many as are worth reading at once. Counts what is lost of each
    /// kind behind `counted` when `checks_lost`, or when there is a gap. Blocks.
    pub(crate) fn read(
        &self,
        after: EventId,
        kinds: Kinds,
        checks_lost: bool,
        counted: [EventId; 2],
    ) -> Result<Page, String> {
        match &self.records {
            Records::Stored(records) => read_stored(&**records, after, kinds, checks_lost, counted)
                .map_err(|error| format!("cannot read the log: {}", chain(&error))),
            Records::Transit(records) => {
                let page = records
                    .read_after(after)
                    .map_err(|error| format!("cannot read the disk buffer: {}", chain(&error)))?;
                let (end, lost) = (page.end, page.lost);
                let mut records = page.records;
                records.retain(|record| kinds.contains(record.event.kind));
                Ok(Page {
                    records,
                    end,
                    lost: [(after, lost), (after, 0)],
                })
            }
        }
    }
}

fn read_stored(
    store: &dyn RecordStore,
    after: EventId,
    kinds: Kinds,
    checks_lost: bool,
    counted: [EventId; 2],
) -> Result<Page, QueryError> {
    // Before the records: what is committed meanwhile is left for the next page.
    let head = store.last_id();
    let records = store.events_after(after, PAGE, kinds)?;
    let last = records.last().map_or(after, |record| record.id);
    let is_whole = records.len() < PAGE;
    let end = if is_whole { last.max(head) } else { last };
    let first = records.first().map_or(head.0 + 1, |record| record.id.0);
    let mut lost = counted.map(|counted| (counted, 0));
    if checks_lost || first > after.0 + 1 {
        for (kind, (until, lost)) in RecordKind::ALL.into_iter().zip(&mut lost) {
            if kinds.contains(kind) {
                let from = after.max(*until);
                (*until, *lost) = missing(store, from, head, kind)?;
            }
        }
    }
    Ok(Page { records, end, lost })
}

/// How many records of `kind` after `from` retention has dropped, at most, and up to where.
///
/// Retention drops the oldest first: when the oldest record there is comes after `from`, all numbers
/// between them are either of other kinds, or dropped.
fn missing(
    store: &dyn RecordStore,
    from: EventId,
    head: EventId,
    kind: RecordKind,
) -> Result<(EventId, u64), QueryError> {
    let of_kind = Kinds::of(kind);
    let oldest = store.events_after(EventId(0), 1, of_kind)?;
    let until = oldest
        .first()
        .map_or(head.0, |record| record.id.0.saturating_sub(1));
    if until <= from.0 {
        return Ok((from, 0));
    }
    let others: Kinds = RecordKind::ALL
        .into_iter()
        .filter(|other| *other != kind)
        .collect();
    let (mut at, mut kept) = (from, 0);
    for _ in 0..MAX_COUNTED_PAGES {
        let page = store.events_after(at, PAGE, others)?;
        kept += page.iter().filter(|record| record.id.0 <= until).count() as u64;
        match page.last() {
            Some(last) if last.id.0 < until && page.len() == PAGE => at = last.id,
            _ => {
                at = EventId(until);
                break;
            }
        }
    }
    // What could not be looked at counts as of other kinds.
    Ok((EventId(until), (at.0 - from.0).saturating_sub(kept)))
}
