//! How each sink fares.

use qw_event::{Priority, Timestamp};
use serde::Serialize;

use crate::{
    config::{Happening, SinkConfig},
    receiver::Answer,
};

/// One sink, and how it fares. Counts begin anew with the process, and speak of changes of alerts
/// unless said otherwise: what was read is `sent + failed + filtered + missing`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// `webhook`, `alertmanager`, `syslog` or `smtp`.
    pub kind: &'static str,
    /// Where messages go, without secrets.
    pub place: String,
    /// What it is told of.
    pub on: Vec<Happening>,
    /// Least urgency it is told of.
    pub min_priority: Priority,
    /// What it does at the moment.
    pub standing: Standing,
    /// Place in the history of alerts up to which everything is done.
    pub position: u64,
    /// Changes in the history after that place, whether or not the sink is told of them.
    pub lag: u64,
    /// Time of the oldest change that could not be told yet.
    pub waiting_since: Option<Timestamp>,
    /// Taken by the receiver.
    pub sent: u64,
    /// Of these, told together with others in one message.
    pub grouped: u64,
    /// Refused for good, and given up.
    pub failed: u64,
    /// Not for this sink.
    pub filtered: u64,
    /// Retention dropped the alert before it could be told.
    pub missing: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// Open alerts that the receiver was reminded of.
    pub reminders: u64,
    /// When the receiver last took a message.
    pub last_success: Option<Timestamp>,
    /// What it answered.
    pub last_answer: Option<Answer>,
    /// The newest failure, whether or not it was overcome.
    pub last_failure: Option<Failure>,
    /// When the next attempt is made, after a failure or because of the pace.
    pub next_attempt: Option<Timestamp>,
}

/// What a sink does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is switched off.
    Disabled,
    /// Everything is told.
    Idle,
    /// It hands on messages.
    Sending,
    /// It waits because of its own bound on messages.
    Paced,
    /// It waits after a failure.
    Retrying,
}

/// A failure of a sink.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// When.
    pub time: Timestamp,
    /// What went wrong, with its causes; no secrets.
    pub text: String,
    /// True when the message was given up.
    pub given_up: bool,
}

impl SinkStatus {
    pub(crate) fn new(config: &SinkConfig, place: String, position: u64) -> Self {
        Self {
            name: config.name.clone(),
            kind: config.to.kind(),
            place,
            on: config.on.clone(),
            min_priority: config.min_priority,
            standing: if config.enabled {
                Standing::Idle
            } else {
                Standing::Disabled
            },
            position,
            lag: 0,
            waiting_since: None,
            sent: 0,
            grouped: 0,
            failed: 0,
            filtered: 0,
            missing: 0,
            retried: 0,
            reminders: 0,
            last_success: None,
            last_answer: None,
            last_failure: None,
            next_attempt: None,
        }
    }

    /// Values of `quaywatch_notifications_total` by its label `outcome`.
    pub const fn outcomes(&self) -> [(&'static str, u64); 5] {
        [
            ("sent", self.sent),
            ("failed", self.failed),
            ("filtered", self.filtered),
            ("missing", self.missing),
            ("retried", self.retried),
        ]
    }
}
