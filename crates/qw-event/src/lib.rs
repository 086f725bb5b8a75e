//! The words every part of Quaywatch shares.
//!
//! Values only: no I/O, no async, no clock. Parsers live where bytes arrive (`qw-sources`),
//! storage in `qw-store`.

mod alert;
mod batch;
mod container;
mod event;
mod outcome;
mod priority;
mod time;

pub use alert::{
    Alert, AlertAction, AlertChange, AlertContainer, AlertId, AlertSource, AlertState, Audience,
    Behaviour, CloseReason, Detection, MAX_ALERT_CONTAINERS, MAX_BEHAVIOUR, MAX_EVIDENCE,
    MAX_REASONS, Reason,
};
pub use batch::{Batch, BatchId, Position, SourceId};
pub use container::ContainerRef;
pub use event::{Category, Event, EventId, RecordKind, StoredEvent};
pub use outcome::{DropReason, InvalidReason, Outcome};
pub use priority::{Priority, UnknownPriority};
pub use time::{ParseTimestampError, Timestamp};
