//! Where reading of one log goes on, as it is stored.

use qw_event::{Position, Timestamp};
use qw_log::join::Resume;
use serde::{Deserialize, Serialize};

use crate::{
    docker::Cursor,
    file::place::{Head, Identity},
};

/// Where reading of the log of one container goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "lowercase")]
pub(super) enum Stored {
    /// It was read from its files.
    File(FilesPlace),
    /// It was read through the engine.
    Api(ApiPlace),
    /// It was read to its end and is gone: what gets its name is another.
    Done,
}

impl Stored {
    pub(super) fn position(&self) -> Position {
        Position(serde_json::to_string(self).expect("numbers and texts are JSON"))
    }

    pub(super) fn parse(position: &Position) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&position.0)
    }
}

/// A place in a log that is read through the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ApiPlace {
    /// Behind the records that nothing incomplete needs.
    pub(super) cursor: Cursor,
    /// Records behind the cursor that were read, too.
    pub(super) ahead: u64,
    /// Of these, counted from the cursor, where each stream must be read again.
    pub(super) resume: Resume,
}

/// A place in a log that is kept in files.
///
/// Offsets are counted over all files of the log, from where reading first began: each file begins at
/// its `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilesPlace {
    /// Files that are needed to go on, oldest first; the last one is the one being read.
    pub(super) files: Vec<FilePlace>,
    /// Behind the last entry that was read.
    pub(super) read_to: u64,
    /// From where each stream must be read again, because a record of it is not complete.
    pub(super) resume: Resume,
    /// What stands right before `read_to`.
    pub(super) before: Head,
    /// When the file being read was last written to, in nanoseconds since the epoch.
    pub(super) modified: i64,
    /// Latest time of an entry.
    pub(super) newest: Timestamp,
    /// Entries of that time.
    pub(super) newest_count: u64,
    /// Where the engine's own stream is to be read again, when an incomplete record has entries before
    /// `read_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) incomplete: Option<Incomplete>,
}

/// Entries from the first one on that an incomplete record needs, as a reader of the engine's stream
/// counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Incomplete {
    /// Latest time of an entry before them.
    pub(super) newest: Timestamp,
    /// Entries of that time before them; 0 when there are none at all.
    pub(super) newest_count: u64,
    /// How many of them were read.
    pub(super) ahead: u64,
    /// Of these, where each stream must be read again.
    pub(super) resume: Resume,
}

/// One file, and where it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePlace {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) head: Head,
    pub(super) base: u64,
}

impl FilePlace {
    pub(super) fn new(identity: Identity, head: Head, base: u64) -> Self {
        Self {
            device: identity.device,
            inode: identity.inode,
            head,
            base,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
        }
    }
}
