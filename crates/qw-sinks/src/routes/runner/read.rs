//! Reading of a log: its head out of memory, everything else from disk.

use std::sync::Arc;

use qw_event::{EventId, StoredEvent};
use qw_store::Kinds;

use crate::{
    routes::{log::Log, window::Newest},
    runner::blocking,
};

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
        log: &Arc<Log>,
        kinds: Kinds,
    ) -> Result<Option<Arc<[StoredEvent]>>, String> {
        loop {
            if let Some((page, _)) = &self.page {
                return Ok(Some(Arc::clone(page)));
            }
            match log.window.after(self.scanned) {
                Newest::Batch(records) => {
                    self.checks_lost = true;
                    return Ok(Some(records));
                }
                Newest::Nothing if !self.looks_into_store => return Ok(None),
                Newest::Nothing => {
                    self.looks_into_store = false;
                    if log.last_id() <= self.scanned {
                        return Ok(None);
                    }
                }
                Newest::Elsewhere => {}
            }
            let before = self.scanned;
            self.read(log, kinds).await?;
            if self.page.is_none() && self.scanned == before {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self, log: &Arc<Log>, kinds: Kinds) -> Result<(), String> {
        let (log, after) = (Arc::clone(log), self.scanned);
        let (checks_lost, counted) = (self.checks_lost, self.counted);
        let page = blocking(move || log.read(after, kinds, checks_lost, counted)).await?;
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
