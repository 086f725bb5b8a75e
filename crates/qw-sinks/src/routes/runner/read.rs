//! Reading of the log: its head out of memory, everything else out of the store.

use std::sync::Arc;

use qw_event::{EventId, RecordKind, StoredEvent};
use qw_store::{Kinds, QueryError, RecordStore};

use crate::{
    receiver::chain,
    routes::{router::Shared, window::Newest},
    runner::blocking,
};

/// Records read out of the store at once.
const PAGE: usize = 5_000;

/// Pages that are read to tell how many of some numbers are of other kinds.
const MAX_COUNTED_PAGES: usize = 20;

/// Where a route reads.
#[derive(Debug)]
pub(super) struct Reading {
    /// Everything up to here was looked at.
    scanned: EventId,
    /// A page of the store, and up to where it leaves nothing out.
    page: Option<(Arc<[StoredEvent]>, EventId)>,
    /// Whether the store may hold what the window does not know of.
    looks_into_store: bool,
    /// Whether it is to be found out what retention has dropped.
    checks_lost: bool,
    /// Of each kind, what is lost up to here is counted.
    counted: [EventId; 2],
    /// Lost since it was told last.
    lost: u64,
}

/// What the store said.
struct Page {
    records: Vec<StoredEvent>,
    /// Up to here it leaves nothing out.
    end: EventId,
    /// Of each kind, up to where everything is lost that is not there, and how much that is.
    lost: [(EventId, u64); 2],
}

impl Reading {
    /// Reading behind `position`.
    pub(super) fn new(position: EventId) -> Self {
        Self {
            scanned: position,
            page: None,
            looks_into_store: true,
            checks_lost: true,
            counted: [position; 2],
            lost: 0,
        }
    }

    /// Up to where everything was looked at.
    pub(super) fn scanned(&self) -> EventId {
        self.scanned
    }

    /// Everything up to `last` was looked at.
    pub(super) fn looked_at(&mut self, last: EventId) {
        self.scanned = self.scanned.max(last);
        if let Some((page, end)) = &self.page
            && page.last().is_none_or(|record| record.id <= self.scanned)
        {
            self.scanned = self.scanned.max(*end);
            self.page = None;
        }
    }

    /// The store is asked when the window has nothing, the next time.
    pub(super) fn look_into_store(&mut self) {
        self.looks_into_store = true;
    }

    /// How much was found to be lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Records, some of which were not looked at yet; `None` at the head of the log.
    pub(super) async fn next(
        &mut self,
        shared: &Shared,
        kinds: Kinds,
    ) -> Result<Option<Arc<[StoredEvent]>>, String> {
        loop {
            if let Some((page, _)) = &self.page {
                return Ok(Some(Arc::clone(page)));
            }
            match shared.window.after(self.scanned) {
                Newest::Batch(records) => {
                    self.checks_lost = true;
                    return Ok(Some(records));
                }
                Newest::Nothing if !self.looks_into_store => return Ok(None),
                Newest::Nothing => {
                    self.looks_into_store = false;
                    if shared.records.last_id() <= self.scanned {
                        return Ok(None);
                    }
                }
                Newest::Elsewhere => {}
            }
            let before = self.scanned;
            self.read(shared, kinds).await?;
            if self.page.is_none() && self.scanned == before {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self, shared: &Shared, kinds: Kinds) -> Result<(), String> {
        let (records, after) = (Arc::clone(&shared.records), self.scanned);
        let (checks_lost, counted) = (self.checks_lost, self.counted);
        let page = blocking(move || read_page(&*records, after, kinds, checks_lost, counted))
            .await
            .map_err(|error| format!("cannot read the log: {}", chain(&error)))?;
        self.checks_lost = false;
        for (counted, (until, lost)) in self.counted.iter_mut().zip(page.lost) {
            *counted = until.max(*counted);
            self.lost += lost;
        }
        if page.records.is_empty() {
            self.scanned = self.scanned.max(page.end);
        } else {
            self.page = Some((page.records.into(), page.end));
        }
        Ok(())
    }
}

fn read_page(
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
