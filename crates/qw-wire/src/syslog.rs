//! Syslog: streams → messages → records, and records → messages.
//!
//! [`Framer`] cuts a stream into messages (RFC 6587), [`parse`] reads one message (RFC 5424, RFC 3164 and
//! what is sent under its name), [`Formatter`] writes one. A message that fits no form is not refused:
//! all of it is its text, as RFC 3164, section 4.3.3, asks of relays.

mod calendar;
mod formatter;
mod framer;
mod legacy;
mod parse;
mod structured;
#[cfg(test)]
mod tests;

use qw_event::InvalidReason;

pub use formatter::{Format, Formatter, Framing, Message, structured_data};
pub use framer::{Frame, Framer};
pub use parse::parse;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Nothing stands in it.
    #[error("the syslog message is empty")]
    Empty,
    /// The length in front of a message cannot be meant; all up to the next line end is skipped.
    #[error(
        "the length in front of the syslog message at byte {at} of the stream has more than seven \
         digits or is far beyond the longest message; skipped up to the next line end"
    )]
    BadLength {
        /// Where the length begins, in bytes from the beginning of the stream.
        at: u64,
    },
}

impl Fault {
    /// The reason that counters name.
    pub const fn reason(&self) -> InvalidReason {
        match self {
            Self::Empty => InvalidReason::NotAnEvent,
            Self::BadLength { .. } => InvalidReason::TooLong,
        }
    }
}

/// How far a clock on the wall is ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Offset {
    seconds: i32,
}

impl Offset {
    /// Not at all.
    pub const UTC: Self = Self { seconds: 0 };

    /// By `seconds`, which are negative west of Greenwich; at most a day.
    pub const fn from_seconds(seconds: i32) -> Self {
        let seconds = if seconds > 86_400 {
            86_400
        } else if seconds < -86_400 {
            -86_400
        } else {
            seconds
        };
        Self { seconds }
    }

    /// Seconds east of Greenwich.
    pub const fn seconds(self) -> i32 {
        self.seconds
    }
}
