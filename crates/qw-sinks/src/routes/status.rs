//! How each route fares.

use qw_event::{EventId, Timestamp};
use serde::Serialize;

/// One route, and how it fares. Counts speak of records, and begin anew with the process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Kind of the destination, such as `syslog` or `elasticsearch`.
    pub kind: &'static str,
    /// Where records go, without secrets.
    pub place: String,
    /// What it does at the moment.
    pub state: RouteState,
    /// Everything up to this record is done.
    pub position: EventId,
    /// Everything up to this record of the disk buffer is done.
    pub transit_position: EventId,
    /// Records in log and disk buffer after that, whether or not they are for this route.
    pub lag: u64,
    /// Taken by the destination.
    pub sent: u64,
    /// Bytes handed to the destination, as they travelled, repetitions included.
    pub sent_bytes: u64,
    /// Not for this route, or left out by `sample`.
    pub filtered: u64,
    /// Refused for good: dead letters.
    pub failed: u64,
    /// Records sent again, or to be sent again, after a failure.
    pub retried: u64,
    /// Records that retention dropped before they could be sent; at most so many, because numbers that
    /// are missing may have been of another kind.
    pub lost: u64,
    /// Texts that were cut, because the destination takes no longer ones.
    pub cut: u64,
    /// What was lost, in words.
    pub notice: Option<String>,
    /// When the destination last took records.
    pub last_success: Option<Timestamp>,
    /// What went wrong last, whether or not it was overcome; no secrets.
    pub last_error: Option<String>,
    /// When.
    pub last_error_time: Option<Timestamp>,
    /// When the next attempt is made, after a failure.
    pub next_attempt: Option<Timestamp>,
}

/// What a route does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// It is switched off.
    Disabled,
    /// Everything is sent.
    Idle,
    /// It reads the log, and sends.
    Sending,
    /// It waits because of its own bound on records per second.
    Paced,
    /// It waits after a failure.
    Retrying,
}

impl RouteStatus {
    /// Values of a counter of records by its label `outcome`.
    pub const fn outcomes(&self) -> [(&'static str, u64); 5] {
        [
            ("sent", self.sent),
            ("filtered", self.filtered),
            ("failed", self.failed),
            ("retried", self.retried),
            ("lost", self.lost),
        ]
    }
}
