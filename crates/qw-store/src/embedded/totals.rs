//! How often each value of a column occurs in a whole segment, remembered: segments never change,
//! and the console asks for the same facets over and over.

use std::sync::Arc;

use parking_lot::Mutex;
use parquet::errors::Result;
use qw_event::Priority;
use rustc_hash::FxHashMap;

use crate::embedded::{
    format::Column,
    plan::number,
    rows::{as_str, priority},
    segment::Segment,
    segment_reader::SegmentFile,
};

/// Values of one column that are remembered of one segment, at most.
const MAX_VALUES: usize = 1024;
/// What one value takes beside its text, in bytes.
const VALUE_BYTES: usize = 32;
/// What an entry takes beside its values, in bytes.
const ENTRY_BYTES: usize = 64;

/// Values that occur, ascending, and how often.
pub(super) type Counts = Arc<[(Box<str>, u64)]>;

/// The totals of segments by file and column, within a bound of memory.
#[derive(Debug)]
pub(super) struct Totals {
    known: Mutex<Known>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// `None` for columns of too many values.
    counts: FxHashMap<(u64, Column), Option<Counts>>,
    bytes: usize,
}

impl Totals {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            known: Mutex::default(),
            max_bytes,
        }
    }

    /// The values of `column`, a text or [`Column::Priority`]; `None` when they are too many.
    /// Events without a value are left out.
    pub(super) fn of(
        &self,
        segment: &Segment,
        file: &Arc<SegmentFile>,
        column: Column,
    ) -> Result<Option<Counts>> {
        let key = (segment.row.file, column);
        if let Some(counts) = self.known.lock().counts.get(&key) {
            return Ok(counts.clone());
        }
        let counts = count(file, column)?;
        let bytes = size(counts.as_ref());
        let mut known = self.known.lock();
        if known.bytes + bytes > self.max_bytes {
            // What is asked for again comes back soon enough.
            *known = Known::default();
        }
        if known.counts.insert(key, counts.clone()).is_none() {
            known.bytes += bytes;
        }
        Ok(counts)
    }

    /// Forgets a segment that will not be read again.
    pub(super) fn forget(&self, file: u64) {
        let known = &mut *self.known.lock();
        for column in Column::ALL {
            if let Some(counts) = known.counts.remove(&(file, column)) {
                known.bytes -= size(counts.as_ref());
            }
        }
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.known.lock().bytes
    }
}

fn size(counts: Option<&Counts>) -> usize {
    let value = |(text, _): &(Box<str>, u64)| text.len() + VALUE_BYTES;
    ENTRY_BYTES + counts.map_or(0, |counts| counts.iter().map(value).sum())
}

fn count(file: &Arc<SegmentFile>, column: Column) -> Result<Option<Counts>> {
    let mut sums: FxHashMap<Box<str>, u64> = FxHashMap::default();
    for group in 0..file.groups().len() {
        let codes = file.group(group).codes(column)?;
        for (value, count) in codes.values.iter().zip(codes.counts(None)) {
            let text = match column {
                Column::Priority => priority(number(value)?).map(Priority::as_str)?,
                _ => as_str(value)?,
            };
            if text.is_empty() || count == 0 {
                continue;
            }
            match sums.get_mut(text) {
                Some(sum) => *sum += count,
                None => drop(sums.insert(text.into(), count)),
            }
        }
        if sums.len() > MAX_VALUES {
            return Ok(None);
        }
    }
    let mut counts: Vec<_> = sums.into_iter().collect();
    counts.sort_unstable();
    Ok(Some(counts.into()))
}
