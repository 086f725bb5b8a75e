//! Fluentd's forward protocol: a stream → messages → records, and records → messages.
//!
//! [`Decoder`] cuts a stream into messages of all four modes, [`Message::for_each`] reads their entries;
//! [`encode_packed`] writes a message, [`ack`] and [`decode_ack`] are its acknowledgement; [`Helo`],
//! [`Ping`] and [`Pong`] are the handshake with a shared key. Source: Forward Protocol Specification v1,
//! <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>.

mod decoder;
mod encode;
mod handshake;
mod json;
mod reader;
mod record;
#[cfg(test)]
mod tests;

use qw_event::InvalidReason;

pub use decoder::{Decoder, Message};
pub use encode::{ack, decode_ack, encode_packed, write_entry};
pub use handshake::{Helo, Ping, Pong};

/// What a [`Decoder`] accepts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest message, as it comes.
    pub max_message_bytes: usize,
    /// Entries of one message.
    pub max_entries: usize,
    /// Levels of arrays and maps within each other, the message itself included; at most 128.
    pub max_depth: usize,
    /// Entries of one message, once they are inflated.
    pub max_inflated_bytes: usize,
}

impl Default for Limits {
    /// Messages of 16 MiB with 262,144 entries of 64 MiB, 32 levels deep.
    fn default() -> Self {
        Self {
            max_message_bytes: 16 << 20,
            max_entries: 1 << 18,
            max_depth: 32,
            max_inflated_bytes: 64 << 20,
        }
    }
}

/// Why bytes are no message, or an entry is none.
///
/// Bytes are counted from the beginning of `place`: `stream`, `inflated entries`, or `message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else stands where the protocol wants something.
    #[error("not the forward protocol: no {expected} at byte {at} of the {place}")]
    NotForward {
        /// What was to stand there.
        expected: &'static str,
        /// Where.
        at: u64,
        /// Of what.
        place: &'static str,
    },
    /// The bytes end within a value.
    #[error("the {place} ends at byte {at}, within a value")]
    Torn {
        /// Where.
        at: u64,
        /// Of what.
        place: &'static str,
    },
    /// A message, as it comes or once it is inflated, is longer than the bound, or says that it is.
    #[error("the forward message at byte {at} of the {place} is longer than {max_bytes} bytes")]
    TooLong {
        /// Where it begins.
        at: u64,
        /// Of what.
        place: &'static str,
        /// The bound.
        max_bytes: usize,
    },
    /// A value is nested too deeply.
    #[error("a value at byte {at} of the {place} is nested deeper than {max_depth} levels")]
    TooDeep {
        /// Where.
        at: u64,
        /// Of what.
        place: &'static str,
        /// The bound.
        max_depth: usize,
    },
    /// A message has too many entries; those before the bound were handed on.
    #[error("the forward message has more than {max_entries} entries")]
    TooManyEntries {
        /// The bound.
        max_entries: usize,
    },
    /// A record has too many fields.
    #[error("the record at byte {at} has more than {max_fields} fields")]
    TooManyFields {
        /// Where.
        at: u64,
        /// The bound.
        max_fields: usize,
    },
    /// The compressed entries are damaged.
    #[error("the compressed entries of the forward message are damaged at their byte {at}")]
    Damaged {
        /// Where, in compressed bytes.
        at: u64,
    },
}

impl Fault {
    /// The reason that counters name.
    pub const fn reason(&self) -> InvalidReason {
        match self {
            Self::NotForward { .. } | Self::Torn { .. } | Self::Damaged { .. } => {
                InvalidReason::NotAnEvent
            }
            Self::TooLong { .. } | Self::TooManyEntries { .. } | Self::TooManyFields { .. } => {
                InvalidReason::TooLong
            }
            Self::TooDeep { .. } => InvalidReason::TooDeep,
        }
    }
}
