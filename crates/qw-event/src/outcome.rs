//! What became of a record. Each record has exactly one outcome, and each outcome is counted.

/// The end of a record's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// On disk.
    Stored,
    /// In the disk buffer of routes, by choice not stored.
    Forwarded,
    /// Counted and profiled, by choice not kept.
    Observed,
    /// Left out by a rule of the operator.
    Filtered,
    /// Came again and was already stored.
    Duplicate,
    /// Not a record.
    Invalid(InvalidReason),
    /// A record that could not be kept.
    Dropped(DropReason),
}

impl Outcome {
    /// Every outcome, in a fixed order; one metric series each.
    pub const ALL: [Self; 14] = [
        Self::Stored,
        Self::Forwarded,
        Self::Observed,
        Self::Filtered,
        Self::Duplicate,
        Self::Invalid(InvalidReason::NotJson),
        Self::Invalid(InvalidReason::NotAnEvent),
        Self::Invalid(InvalidReason::TooLong),
        Self::Invalid(InvalidReason::TooDeep),
        Self::Invalid(InvalidReason::NotUtf8),
        Self::Dropped(DropReason::QueueFull),
        Self::Dropped(DropReason::StoreFailed),
        Self::Dropped(DropReason::Stopped),
        Self::Invalid(InvalidReason::NotCri),
    ];

    /// Label value `outcome` of `quaywatch_records_total`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Forwarded => "forwarded",
            Self::Observed => "observed",
            Self::Filtered => "filtered",
            Self::Duplicate => "duplicate",
            Self::Invalid(_) => "invalid",
            Self::Dropped(_) => "dropped",
        }
    }

    /// Label value `reason`; empty for outcomes that need none.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stored | Self::Forwarded | Self::Observed | Self::Filtered | Self::Duplicate => {
                ""
            }
            Self::Invalid(reason) => reason.name(),
            Self::Dropped(reason) => reason.name(),
        }
    }

    /// Index of this outcome in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Stored => 0,
            Self::Forwarded => 1,
            Self::Observed => 2,
            Self::Filtered => 3,
            Self::Duplicate => 4,
            Self::Invalid(InvalidReason::NotJson) => 5,
            Self::Invalid(InvalidReason::NotAnEvent) => 6,
            Self::Invalid(InvalidReason::TooLong) => 7,
            Self::Invalid(InvalidReason::TooDeep) => 8,
            Self::Invalid(InvalidReason::NotUtf8) => 9,
            Self::Dropped(DropReason::QueueFull) => 10,
            Self::Dropped(DropReason::StoreFailed) => 11,
            Self::Dropped(DropReason::Stopped) => 12,
            Self::Invalid(InvalidReason::NotCri) => 13,
        }
    }
}

/// Why a line is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidReason {
    /// Not JSON, such as Falco's start-up lines between its events.
    NotJson,
    /// JSON, but without what makes an event (rule, priority or output).
    NotAnEvent,
    /// Longer than the configured bound.
    TooLong,
    /// Nested deeper than the configured bound.
    TooDeep,
    /// Not UTF-8 where replacing the bad bytes was not possible.
    NotUtf8,
    /// A line of a Kubernetes log that is not of the form `<time> stdout|stderr P|F <text>`.
    NotCri,
}

impl InvalidReason {
    /// Label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAnEvent => "not_an_event",
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::NotUtf8 => "not_utf8",
            Self::NotCri => "not_cri",
        }
    }
}

/// Why a record was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue was full and the source cannot wait.
    QueueFull,
    /// The store refused it and the source cannot send it again.
    StoreFailed,
    /// The process stopped before it was stored and the source cannot send it again.
    Stopped,
}

impl DropReason {
    /// Label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::StoreFailed => "store_failed",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_list_agree() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index);
        }
    }
}
