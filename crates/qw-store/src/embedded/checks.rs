//! Checksums of a segment: of every column chunk, of the filters, and of the layout that the footer
//! states, so that a bit that has changed on the medium shows as an error and never as an answer.
//!
//! Parquet's own page checksums would leave out the footer and the filters, and copying row groups
//! could not verify what it copies.

use qw_event::RecordKind;
use serde::{Deserialize, Serialize};

use crate::embedded::{format::COLUMNS, segment_reader::Group};

/// What the footer's key-value metadata says of a segment's checksums. All are CRC-32.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checks {
    /// Of the layout as [`of_layout`] spells it.
    pub(super) layout: u32,
    /// Of each row group.
    pub(super) groups: Vec<GroupChecks>,
}

/// Checksums of one row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupChecks {
    /// Of the bytes of each column chunk.
    pub(super) columns: [u32; COLUMNS],
    /// Of its bloom filters, one after the other.
    pub(super) blooms: u32,
    /// Offset and checksum of its trigrams; none in row groups copied from older segments.
    pub(super) trigrams: Option<(u64, u32)>,
}

/// The checksum of `bytes`.
pub(super) fn of(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The checksum of everything that reading relies on in the footer.
pub(super) fn of_layout(groups: &[Group], kind: RecordKind) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut number = |number: u64| hasher.update(&number.to_le_bytes());
    if kind != RecordKind::Event {
        number(kind as u64);
    }
    for group in groups {
        number(u64::from(group.rows));
        number(group.min_time as u64);
        number(group.max_time as u64);
        number(group.min_id);
        number(group.max_id);
        number(group.blooms.len() as u64);
        for (offset, blocks) in &group.blooms {
            number(*offset);
            number(u64::from(*blocks));
        }
        for chunk in &group.chunks {
            number(chunk.offset);
            number(u64::from(chunk.length));
            number(u64::from(chunk.dictionary) << 1 | u64::from(chunk.compressed));
        }
        if let Some(checks) = &group.checks {
            for checksum in checks.columns {
                number(u64::from(checksum));
            }
            number(u64::from(checks.blooms));
            let (offset, checksum) = checks.trigrams.unwrap_or((u64::MAX, 0));
            number(offset);
            number(u64::from(checksum));
        }
    }
    hasher.finalize()
}
