//! What is wrong with bytes that were received.

use qw_event::InvalidReason;

/// What is wrong with a body, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {byte}")]
pub struct Fault {
    /// What is wrong, as the beginning of a sentence in lower case.
    pub what: &'static str,
    /// The byte of the body, counted from 0, at which it was noticed.
    pub byte: usize,
    reason: InvalidReason,
}

impl Fault {
    pub(crate) const fn new(what: &'static str, byte: usize, reason: InvalidReason) -> Self {
        Self { what, byte, reason }
    }

    /// Not of the form that the format prescribes.
    pub(crate) const fn form(what: &'static str, byte: usize) -> Self {
        Self::new(what, byte, InvalidReason::NotAnEvent)
    }

    /// More than the bound allows.
    pub(crate) const fn too_long(what: &'static str, byte: usize) -> Self {
        Self::new(what, byte, InvalidReason::TooLong)
    }

    /// The reason under which it is counted.
    pub const fn reason(&self) -> InvalidReason {
        self.reason
    }

    /// The same within a whole that has `bytes` before it.
    #[must_use]
    pub(crate) const fn after(mut self, bytes: usize) -> Self {
        self.byte = self.byte.saturating_add(bytes);
        self
    }
}
