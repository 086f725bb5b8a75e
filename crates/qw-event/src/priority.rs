//! Falco's eight priorities.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How urgent a rule says an event is; the first is the most urgent, and compares as the smallest.
///
/// Source: Falco, `userspace/engine/falco_common`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// The system is unusable.
    Emergency = 0,
    /// Action is needed at once.
    Alert = 1,
    /// A critical condition.
    Critical = 2,
    /// An error condition.
    Error = 3,
    /// A warning condition.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Informational = 6,
    /// For debugging.
    Debug = 7,
}

impl Priority {
    /// All priorities, most urgent first.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// The name as Falco writes it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "Emergency",
            Self::Alert => "Alert",
            Self::Critical => "Critical",
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Notice => "Notice",
            Self::Informational => "Informational",
            Self::Debug => "Debug",
        }
    }

    /// The name in lower case.
    pub const fn as_lowercase(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Informational => "informational",
            Self::Debug => "debug",
        }
    }

    /// Falco's number: 0 is Emergency, 7 is Debug.
    pub const fn as_number(self) -> u8 {
        self as u8
    }

    /// The priority with Falco's number `number`; `None` above 7.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// falcosidekick's number, which runs the other way: 8 is Emergency, 1 is Debug.
    pub const fn as_falcosidekick_number(self) -> u8 {
        8 - self as u8
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no priority; expected one of Emergency, Alert, Critical, Error, Warning, Notice, Informational, Debug"
)]
pub struct UnknownPriority(String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    /// Accepts any case, and `info` for Informational, as Falco does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("info") {
            return Ok(Self::Informational);
        }
        Self::ALL
            .into_iter()
            .find(|priority| text.eq_ignore_ascii_case(priority.as_str()))
            .ok_or_else(|| UnknownPriority(text.chars().take(64).collect()))
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_the_short_form_are_accepted() {
        assert_eq!("WARNING".parse(), Ok(Priority::Warning));
        assert_eq!("info".parse(), Ok(Priority::Informational));
        assert_eq!("Informational".parse(), Ok(Priority::Informational));
        assert!("urgent".parse::<Priority>().is_err());
    }

    #[test]
    fn numbers_follow_each_tool() {
        assert_eq!(Priority::Emergency.as_number(), 0);
        assert_eq!(Priority::Debug.as_number(), 7);
        assert_eq!(Priority::Emergency.as_falcosidekick_number(), 8);
        assert_eq!(Priority::Debug.as_falcosidekick_number(), 1);
        for priority in Priority::ALL {
            assert_eq!(Priority::from_number(priority.as_number()), Some(priority));
        }
        assert_eq!(Priority::from_number(8), None);
    }
}
