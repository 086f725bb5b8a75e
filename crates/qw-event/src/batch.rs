//! The unit that moves: records of one source, with the source's position after them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Event, Timestamp};

/// Name of a source, unique in one process and stable across restarts, such as `docker:falco`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub Arc<str>);

impl SourceId {
    /// The name `name`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What makes a batch the same batch when it comes again.
///
/// Within an epoch sequences only grow; a batch whose sequence is not above the highest one stored
/// for (source, epoch) is a repetition and is acknowledged without being stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchId {
    /// Source it comes from.
    pub source: SourceId,
    /// One uninterrupted numbering of the source; a source that loses its count starts a new one.
    pub epoch: u64,
    /// Number of the batch within the epoch.
    pub sequence: u64,
}

/// Where a source goes on reading: text that only the source understands, at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub String);

/// Records of one source, stored together with the position behind them or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Identity of the batch.
    pub id: BatchId,
    /// Position after the last record; `None` leaves the stored position as it is.
    pub position: Option<Position>,
    /// When we received it, by our clock.
    pub received: Timestamp,
    /// The records, in the order they arrived. May be empty, to move the position only.
    pub events: Vec<Event>,
}
