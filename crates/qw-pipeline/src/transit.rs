//! The disk buffer of records that are forwarded and not stored.
//!
//! One sequence of files for all routes: each keeps a position of its own in it, so that a slow
//! destination delays nobody. A commit writes and syncs records here first; their end then goes into
//! the store in the same transaction as the position of their source ([`TransitLog::end_state`]). What
//! stands behind that end at a start was never acknowledged: it is cut off, and its source sends it
//! again. So a kill at any moment loses nothing and repeats nothing.
//!
//! Numbers of records count without a gap from [`FIRST_ID`] on, which the store does not reach: no two
//! records have the same.

mod file;
mod frame;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use qw_event::{Event, EventId, StoredEvent};
use qw_store::{OwnedStateChange, StateStore, StoreError};
use serde::{Deserialize, Serialize};

use self::file::Segment;

/// Number of the first record there ever was. Programs that keep numbers as floating point know it, too.
pub const FIRST_ID: EventId = EventId(1 << 52);

/// Collection of the store of state that holds the end of what is committed.
const COLLECTION: &str = "transit";
const END: &str = "end";

/// A file is not written to any more once it has this many bytes, or a fourth of what all may have.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Records of about this many bytes are read at once.
const READ_BYTES: u64 = 8 << 20;

/// Why the buffer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("`{path}` is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The end of what is committed cannot be read.
    #[error("cannot read how far the buffer is committed")]
    Store(#[from] StoreError),
}

/// Records on their way to routes. Clones of the `Arc` share it.
#[derive(Debug)]
pub struct TransitLog {
    folder: PathBuf,
    most_bytes: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Oldest first; the last one is written to.
    segments: VecDeque<Arc<Segment>>,
    /// Number of the newest committed record.
    last: EventId,
    /// Records that were pushed out before every route had them.
    pushed_out: u64,
}

/// Records that are written and not committed yet.
#[derive(Debug)]
pub(crate) struct Written {
    /// Number of the first one.
    pub(crate) first: EventId,
    /// Number of the last one.
    last: EventId,
    segment: u64,
    bytes: u64,
}

/// The end of what is committed, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct End {
    /// Number of the newest record.
    last: u64,
    /// The file that holds it, by the number of its first record.
    segment: u64,
    /// Length of that file.
    bytes: u64,
}

/// Records behind a position.
#[derive(Debug)]
pub struct TransitPage {
    /// The records, in order.
    pub records: Vec<StoredEvent>,
    /// Up to here nothing is left out.
    pub end: EventId,
    /// Records between the position and the first of these that are not there any more.
    pub lost: u64,
}

impl TransitLog {
    /// Opens the buffer in `folder`, which is made when it is missing, and cuts off what was not
    /// committed. From `most_bytes` on the oldest records are pushed out, whoever still needs them.
    ///
    /// # Errors
    /// When files or the end of what is committed cannot be read, or a file is damaged.
    pub fn open(
        folder: &Path,
        most_bytes: u64,
        state: &dyn StateStore,
    ) -> Result<Arc<Self>, TransitError> {
        let end = state
            .get(COLLECTION, END)?
            .and_then(|text| serde_json::from_str::<End>(&text).ok())
            .unwrap_or_default();
        fs_err::create_dir_all(folder).map_err(|source| file_error("make", folder, source))?;
        let mut numbers = file::list(folder)?;
        numbers.sort_unstable();
        let mut segments = VecDeque::new();
        for number in numbers {
            if number > end.segment || end.last == 0 {
                let path = file::path(folder, number);
                fs_err::remove_file(&path).map_err(|source| file_error("remove", &path, source))?;
                continue;
            }
            let bytes = (number == end.segment).then_some(end.bytes);
            segments.push_back(Arc::new(Segment::open(folder, number, bytes)?));
        }
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            most_bytes,
            inner: Mutex::new(Inner {
                segments,
                last: EventId(end.last.max(FIRST_ID.0 - 1)),
                pushed_out: 0,
            }),
        }))
    }

    /// Number of the newest committed record; one less than [`FIRST_ID`] when there never was one.
    pub fn last_id(&self) -> EventId {
        self.inner.lock().last
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let inner = self.inner.lock();
        inner.segments.iter().map(|segment| segment.bytes()).sum()
    }

    /// Records that were pushed out before every route had them, since the process started.
    pub fn pushed_out(&self) -> u64 {
        self.inner.lock().pushed_out
    }

    /// Committed records behind `after`, the oldest first: some megabytes of them at most, and none at
    /// the end. Reads files, so it blocks.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub fn read_after(&self, after: EventId) -> Result<TransitPage, TransitError> {
        let after = after.max(EventId(FIRST_ID.0 - 1));
        let (segment, last) = {
            let inner = self.inner.lock();
            let place = inner
                .segments
                .partition_point(|segment| segment.last() <= after);
            (inner.segments.get(place).cloned(), inner.last)
        };
        let Some(segment) = segment.filter(|_| after < last) else {
            // Whatever came between is gone with its file.
            return Ok(TransitPage {
                records: Vec::new(),
                lost: last.0.saturating_sub(after.0),
                end: last.max(after),
            });
        };
        let mut records = Vec::new();
        for stored in segment.read_after(after, READ_BYTES)? {
            if stored.id > after && stored.id <= last {
                records.push(stored);
            }
        }
        let first = records.first().map_or(last.0 + 1, |first| first.id.0);
        let lost = first.saturating_sub(after.0 + 1);
        let end = records.last().map_or(last, |record| record.id);
        Ok(TransitPage { records, end, lost })
    }

    /// Everything up to `position` is needed no more.
    pub fn release(&self, position: EventId) {
        let mut inner = self.inner.lock();
        while inner.segments.len() > 1
            && let Some(oldest) = inner.segments.front()
            && oldest.last() <= position
        {
            file::remove(oldest);
            inner.segments.pop_front();
        }
    }

    /// Writes and syncs `batches`. What was written before and not committed is overwritten. `None` when
    /// there is nothing to be written.
    pub(crate) fn write<'a>(
        &self,
        batches: impl Iterator<Item = &'a [Event]>,
    ) -> Result<Option<Written>, TransitError> {
        let (first, current) = {
            let inner = self.inner.lock();
            let last = inner.last;
            (EventId(last.0 + 1), inner.segments.back().cloned())
        };
        let mut next = first;
        let mut buffer = Vec::new();
        for events in batches.filter(|events| !events.is_empty()) {
            frame::encode(events, next, &mut buffer);
            next.0 += events.len() as u64;
        }
        if next == first {
            return Ok(None);
        }
        let segment = match current {
            Some(segment) if segment.bytes() < SEGMENT_BYTES.min(self.most_bytes / 4) => segment,
            _ => {
                let segment = Arc::new(Segment::create(&self.folder, first)?);
                self.inner.lock().segments.push_back(Arc::clone(&segment));
                segment
            }
        };
        segment.write(&buffer)?;
        Ok(Some(Written {
            first,
            last: EventId(next.0 - 1),
            segment: segment.number(),
            bytes: segment.bytes() + buffer.len() as u64,
        }))
    }

    /// What has to be stored together with the position of the source of `written`.
    pub(crate) fn end_state(written: &Written) -> OwnedStateChange {
        let end = End {
            last: written.last.0,
            segment: written.segment,
            bytes: written.bytes,
        };
        OwnedStateChange {
            collection: COLLECTION.to_owned(),
            key: END.to_owned(),
            value: serde_json::to_string(&end).ok(),
        }
    }

    /// `written` is committed: it can be read from now on. Pushes the oldest records out when there are
    /// too many bytes.
    pub(crate) fn committed(&self, written: &Written) {
        let mut inner = self.inner.lock();
        inner.last = written.last;
        if let Some(segment) = inner.segments.back() {
            segment.committed(written.bytes, written.first, written.last);
        }
        let mut bytes: u64 = inner.segments.iter().map(|segment| segment.bytes()).sum();
        while bytes > self.most_bytes
            && inner.segments.len() > 1
            && let Some(oldest) = inner.segments.pop_front()
        {
            bytes -= oldest.bytes();
            inner.pushed_out += (oldest.last().0 + 1).saturating_sub(oldest.number());
            file::remove(&oldest);
        }
    }
}

impl TransitError {
    /// As a commit reports it, of which this is a part.
    pub(crate) fn into_store_error(self) -> StoreError {
        let doing = "write the disk buffer of routes";
        let source = match self {
            Self::File { source, .. } => source,
            Self::Store(error) => return error,
            damaged @ Self::Damaged { .. } => std::io::Error::other(damaged),
        };
        StoreError::File { doing, source }
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> TransitError {
    TransitError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
