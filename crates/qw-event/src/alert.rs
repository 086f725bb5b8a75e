//! What needs somebody's attention, and what became of it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{ContainerRef, EventId, Priority, Timestamp};

/// Events an alert names as evidence: the first, and the newest up to this many.
pub const MAX_EVIDENCE: usize = 20;

/// Reasons an alert carries; further ones only count.
pub const MAX_REASONS: usize = 50;

/// Number of an alert: assigned in order, never used twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AlertId(pub u64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AlertId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Which part noticed; label `source` of `security_alerts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSource {
    /// A Falco rule of sufficient priority.
    Falco,
    /// A deviation from a learned profile.
    Profile,
}

impl AlertSource {
    /// All sources.
    pub const ALL: [Self; 2] = [Self::Falco, Self::Profile];

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Falco => "falco",
            Self::Profile => "profile",
        }
    }
}

/// One thing that a detector noticed in an event, before the event is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Index of the event in its batch.
    pub event: usize,
    /// Which part noticed.
    pub source: AlertSource,
    /// Falco's rule, or the name of the check.
    pub rule: Arc<str>,
    /// Urgency.
    pub priority: Priority,
    /// Which workload it concerns: detections of one rule and workload become one alert.
    pub workload: Arc<str>,
    /// How unusual it is, 0 to 1; `None` where nothing is graded.
    pub score: Option<f32>,
    /// Why, most important first; never empty.
    pub reasons: Vec<Reason>,
}

/// One part of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable name, such as `new_process`.
    pub code: Arc<str>,
    /// A sentence for people.
    pub text: String,
    /// When the event happened that it speaks of.
    pub time: Timestamp,
    /// What it adds to the score; zero where nothing is graded.
    #[serde(default)]
    pub weight: f32,
}

/// Where an alert is on its way.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has looked at it.
    #[default]
    New,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody works on it.
    InProgress,
    /// Done; the alert carries a [`CloseReason`].
    Closed,
}

impl AlertState {
    /// All states, in the order of work.
    pub const ALL: [Self; 4] = [
        Self::New,
        Self::Acknowledged,
        Self::InProgress,
        Self::Closed,
    ];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Acknowledged => "acknowledged",
            Self::InProgress => "in_progress",
            Self::Closed => "closed",
        }
    }

    /// True unless closed.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Closed)
    }
}

/// Why an alert was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// It was real and has been dealt with.
    Resolved,
    /// It was not what it seemed.
    FalsePositive,
    /// It is how this workload works.
    Expected,
    /// Another alert tells the same.
    Duplicate,
    /// It was real and will be lived with.
    Accepted,
}

impl CloseReason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::Resolved,
        Self::FalsePositive,
        Self::Expected,
        Self::Duplicate,
        Self::Accepted,
    ];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
            Self::Expected => "expected",
            Self::Duplicate => "duplicate",
            Self::Accepted => "accepted",
        }
    }
}

/// What needs somebody's attention: everything one rule noticed in one workload while it was open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// Which part noticed.
    pub source: AlertSource,
    /// Falco's rule, or the name of the check.
    pub rule: Arc<str>,
    /// Highest urgency of what was folded into it.
    pub priority: Priority,
    /// Workload it concerns.
    pub workload: Arc<str>,
    /// Container of the newest event.
    pub container: Arc<ContainerRef>,
    /// Host of the newest event.
    pub hostname: Arc<str>,
    /// One sentence that says what happened.
    pub title: String,
    /// Highest score of what was folded into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Why, in order of time, each once; at most [`MAX_REASONS`].
    pub reasons: Vec<Reason>,
    /// Events that caused it, ascending: the first and the newest; at most [`MAX_EVIDENCE`].
    pub evidence: Vec<EventId>,
    /// Time of the first event.
    pub first_seen: Timestamp,
    /// Time of the newest event.
    pub last_seen: Timestamp,
    /// Events folded into it.
    pub count: u64,
    /// Where it is on its way.
    pub state: AlertState,
    /// Why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    /// User who takes care of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Silence that keeps it quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_by: Option<u64>,
    /// When its state, assignee, notes or silence last changed, or it was raised.
    pub changed: Timestamp,
}

/// One entry of the history of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChange {
    /// Its number in the history of all alerts; zero until it is stored.
    pub sequence: u64,
    /// Which alert.
    pub alert: AlertId,
    /// When, by our clock.
    pub time: Timestamp,
    /// User, or empty when a detector did it.
    pub who: String,
    /// What happened.
    pub what: AlertAction,
}

/// What happened to an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum AlertAction {
    /// It was raised.
    Raised,
    /// More came: its urgency rose, or a reason was added.
    Escalated {
        /// Urgency since then.
        priority: Priority,
    },
    /// Its state changed.
    State {
        /// State since then.
        state: AlertState,
        /// Why, when it was closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<CloseReason>,
    },
    /// It was given to somebody, or to nobody.
    Assigned {
        /// User who takes care of it since then.
        assignee: Option<String>,
    },
    /// Somebody wrote something down.
    Note {
        /// What.
        text: String,
    },
    /// A silence began or ceased to apply.
    Silenced {
        /// Its number; `None` when it ceased.
        silence: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_serde_form() {
        for state in AlertState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in CloseReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for source in AlertSource::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.as_str());
        }
        let closed = AlertAction::State {
            state: AlertState::Closed,
            reason: Some(CloseReason::Expected),
        };
        assert_eq!(
            serde_json::to_string(&closed).unwrap(),
            r#"{"action":"state","state":"closed","reason":"expected"}"#
        );
    }
}
