//! GELF: datagrams and streams → messages → records, and records → messages.
//!
//! [`Assembler`] makes whole, inflated messages of UDP datagrams, [`Framer`] cuts a TCP stream, [`parse`]
//! reads the JSON of one message; [`encode`] and [`chunks`] are the way back. Source: GELF 1.1,
//! <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>.

mod assembler;
mod encode;
mod framer;
pub(crate) mod inflate;
mod outgoing;
mod parse;
#[cfg(test)]
mod tests;

use qw_event::InvalidReason;

pub use crate::syslog::Frame;
pub use assembler::{Assembler, Options};
pub use encode::{Chunks, chunks, encode};
pub use framer::Framer;
pub use parse::parse;

/// Chunks that one message has at most.
pub const MAX_CHUNKS: usize = 128;
/// How each chunk begins.
const CHUNK_MAGIC: [u8; 2] = [0x1e, 0x0f];
/// Bytes of a chunk in front of its part of the message.
const CHUNK_HEADER: usize = 12;

/// Why bytes are no message, or none yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing stands in it.
    #[error("the GELF message is empty")]
    Empty,
    /// A chunk ends within its header of 12 bytes.
    #[error("the GELF chunk has {length} bytes, which end within its header of 12")]
    ShortChunk {
        /// Its length.
        length: usize,
    },
    /// A chunk's number or count is impossible, or another than that of its neighbours.
    #[error(
        "the GELF chunk says at byte 10 that it is number {number} of {count}; {expected} is possible"
    )]
    BadChunk {
        /// Its number, from 0.
        number: u8,
        /// The count that it states.
        count: u8,
        /// What would have been possible.
        expected: &'static str,
    },
    /// Too many messages wait for chunks.
    #[error("a GELF chunk was refused: {what}")]
    TooMuchPending {
        /// Which bound was reached.
        what: &'static str,
    },
    /// It is longer than the bound, perhaps only once it is inflated.
    #[error("the GELF message is longer than {max_bytes} bytes")]
    TooLong {
        /// The bound.
        max_bytes: usize,
    },
    /// The compressed data is damaged.
    #[error("the compressed GELF message is damaged at byte {at}")]
    Damaged {
        /// Where, in compressed bytes.
        at: u64,
    },
    /// It is no JSON object.
    #[error("the GELF message is no JSON object: {problem} at byte {at}")]
    NotJson {
        /// What the JSON parser says.
        problem: String,
        /// Where.
        at: usize,
    },
    /// A value is nested too deeply.
    #[error("`{name}` of the GELF message is nested deeper than {max_depth} levels")]
    TooDeep {
        /// The name of the member.
        name: String,
        /// The bound.
        max_depth: usize,
    },
    /// It has too many members.
    #[error("the GELF message has more than {max_members} members")]
    TooManyMembers {
        /// The bound.
        max_members: usize,
    },
    /// It has no text.
    #[error("the GELF message has neither `short_message` nor `full_message`")]
    NoText,
}

impl Fault {
    /// The reason that counters name.
    pub const fn reason(&self) -> InvalidReason {
        match self {
            Self::Empty
            | Self::ShortChunk { .. }
            | Self::BadChunk { .. }
            | Self::Damaged { .. }
            | Self::NoText => InvalidReason::NotAnEvent,
            Self::TooMuchPending { .. } | Self::TooLong { .. } | Self::TooManyMembers { .. } => {
                InvalidReason::TooLong
            }
            Self::NotJson { .. } => InvalidReason::NotJson,
            Self::TooDeep { .. } => InvalidReason::TooDeep,
        }
    }
}
