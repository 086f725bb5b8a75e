//! What a receiver of messages does, and what it may answer.

use std::time::Duration;

use async_trait::async_trait;
use qw_event::Timestamp;
use serde::Serialize;

use crate::{describe::short, message::Message};

/// Longest excerpt of an answer that is kept, in characters.
const MAX_EXCERPT: usize = 300;

/// Takes messages to one place.
#[async_trait]
pub(crate) trait Receiver: Send + Sync + 'static {
    /// Where they go, without secrets.
    fn place(&self) -> String;

    /// Most messages that one call takes.
    fn batch(&self) -> usize {
        1
    }

    /// How often it wants to be reminded of open alerts. Such a receiver keeps the state of alerts.
    fn reminders(&self) -> Option<Duration> {
        None
    }

    /// True when it keeps the state of alerts: it is told of every change, whatever happened.
    fn keeps_state(&self) -> bool {
        self.reminders().is_some()
    }

    /// Hands on `messages` (at least one, in order) at the time `now`; returns once the receiver
    /// has taken all of them.
    async fn deliver(&self, messages: &[Message], now: Timestamp) -> Result<Answer, Refusal>;
}

/// What a receiver answered when it took a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Answer(pub String);

impl Answer {
    /// An answer with a bounded excerpt of what was said.
    pub(crate) fn new(text: &str) -> Self {
        Self(short(text.trim(), MAX_EXCERPT))
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    /// True when the same message would be refused again: it is given up.
    pub(crate) permanent: bool,
    /// Pause that the receiver asks for.
    pub(crate) after: Option<Duration>,
    /// What went wrong, with its causes.
    pub(crate) text: String,
}

impl Refusal {
    /// The message is good, and is tried again.
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Self {
            permanent: false,
            after: None,
            text: text.into(),
        }
    }

    /// This message is not wanted.
    pub(crate) fn permanent(text: impl Into<String>) -> Self {
        Self {
            permanent: true,
            ..Self::passing(text)
        }
    }

    /// As [`Self::passing`], from an error and its causes.
    pub(crate) fn because(doing: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::passing(format!("{doing}: {}", chain(error)))
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // Some errors repeat their cause.
        if !text.contains(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    short(&text, 2 * MAX_EXCERPT)
}
