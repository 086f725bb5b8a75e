//! One record: a runtime security event, shaped as Falco shapes it, or a line of a container's log.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{ContainerRef, Priority, Timestamp};

/// One record: a runtime security event, or a line of a container's log.
///
/// Both are found by one query language, kept by one store and shown on one time line, so they are
/// one type. A line of a log uses the fields as the description of each says.
///
/// Texts that recur from event to event are shared. The serde form is the JSON that the API and the
/// exports carry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// What it is.
    #[serde(default, skip_serializing_if = "RecordKind::is_event")]
    pub kind: RecordKind,
    /// When it happened, by the sender's clock.
    pub time: Timestamp,
    /// Falco's event source: `syscall`, `k8s_audit`, `internal`, a plugin's own. Of a line of a log
    /// OpenTelemetry's `log.iostream` (`stdout`, `stderr`), or the kind of receiver it came by, such as
    /// `syslog`.
    pub source: Arc<str>,
    /// Rule that matched. Of a line of a log OpenTelemetry's severity text (`TRACE`, `DEBUG`, `INFO`,
    /// `WARN`, `ERROR`, `FATAL`); empty when the line does not tell.
    pub rule: Arc<str>,
    /// Urgency the rule gives it. Of a line of a log its severity; `Informational` when it does not
    /// tell.
    pub priority: Priority,
    /// Kind of activity.
    pub category: Category,
    /// Host Falco ran on; empty when not said.
    pub hostname: Arc<str>,
    /// Container it happened in.
    pub container: Arc<ContainerRef>,
    /// `proc.name`; empty when not said.
    pub process_name: Arc<str>,
    /// Tags of the rule, sorted.
    pub tags: Arc<[Arc<str>]>,
    /// Falco's rendered message, or the line as it was written, without its line end.
    pub output: Box<str>,
    /// Falco's `output_fields`: a JSON object, kept to the letter. Of a line of a log what is known of
    /// it beside its text.
    pub output_fields: Box<RawValue>,
}

impl Event {
    /// Approximate memory that belongs to this event alone, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.output.len() + self.output_fields.get().len()
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.time == other.time
            && self.source == other.source
            && self.rule == other.rule
            && self.priority == other.priority
            && self.category == other.category
            && self.hostname == other.hostname
            && self.container == other.container
            && self.process_name == other.process_name
            && self.tags == other.tags
            && self.output == other.output
            && self.output_fields.get() == other.output_fields.get()
    }
}

/// What a record is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RecordKind {
    /// A runtime security event.
    #[default]
    Event = 0,
    /// A line of a container's log; several lines when they belong together.
    Log = 1,
}

impl RecordKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Event, Self::Log];

    /// The name in lower case, as queries and the API use it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Log => "log",
        }
    }

    /// The kind with number `number`; `None` above 1.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// True for a runtime security event.
    pub fn is_event(&self) -> bool {
        *self == Self::Event
    }
}

/// Kind of activity an event reports; `rule_category` of `syscall_events_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Category {
    /// Programs started, stopped, or changed.
    Process = 0,
    /// Connections and sockets.
    Network = 1,
    /// Files opened, written, or changed.
    File = 2,
    /// None of these, or it could not be told.
    Unknown = 3,
}

impl Category {
    /// All categories, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Process, Self::Network, Self::File, Self::Unknown];

    /// The name in lower case, as metrics and queries use it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::File => "file",
            Self::Unknown => "unknown",
        }
    }

    /// The category with number `number`; `None` above 3.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Number of an event in the store: assigned in order of arrival, never used twice.
///
/// It is the cursor of streams and pages.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An event with the number the store gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Its number.
    pub id: EventId,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}
