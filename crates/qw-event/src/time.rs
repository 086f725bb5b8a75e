//! Instants in UTC nanoseconds.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant: nanoseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// Text form is RFC 3339 in UTC with as many fractional digits as are needed, in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// The latest instant that can be expressed, in the year 2262.
    pub const MAX: Self = Self(i64::MAX);
    /// The earliest instant that can be expressed, in the year 1677.
    pub const MIN: Self = Self(i64::MIN);

    /// Nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Milliseconds since the epoch; saturates beyond the years 1677 and 2262.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Seconds since the epoch; saturates beyond the years 1677 and 2262.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Seconds since the epoch with a fraction, as Prometheus gauges hold them.
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This instant, `span` later; saturates at [`Self::MAX`].
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// This instant, `span` earlier; saturates at [`Self::MIN`].
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The start of the interval of length `step` that holds this instant, counted from the epoch.
    ///
    /// A `step` of zero returns the instant itself.
    #[must_use]
    pub fn floor_to(self, step: Duration) -> Self {
        match nanos(step) {
            0 => self,
            step => Self(self.0.saturating_sub(self.0.rem_euclid(step))),
        }
    }
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A text that is not an RFC 3339 instant between the years 1677 and 2262.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as `2026-11-21T09:00:00Z`")]
pub struct ParseTimestampError(String);

impl Timestamp {
    /// Reads an RFC 3339 time; one before [`Self::MIN`] or after [`Self::MAX`] becomes that.
    ///
    /// # Errors
    /// When `text` is no RFC 3339 time.
    pub fn parse_saturating(text: &str) -> Result<Self, ParseTimestampError> {
        let parsed: Result<jiff::Timestamp, _> = text.parse();
        let Ok(instant) = parsed else {
            // The last hours of the year 9999 are a time, too, though the parser knows none so late.
            let is_last = jiff::fmt::temporal::Pieces::parse(text).is_ok_and(|pieces| {
                let is_whole = pieces.time().is_some() && pieces.offset().is_some();
                is_whole && pieces.date().year() == 9999
            });
            return if is_last {
                Ok(Self::MAX)
            } else {
                Err(ParseTimestampError(text.chars().take(64).collect()))
            };
        };
        let nanos = instant
            .as_nanosecond()
            .clamp(i64::MIN.into(), i64::MAX.into());
        Ok(i64::try_from(nanos).map_or(Self::MAX, Self))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTimestampError(text.chars().take(64).collect());
        let instant: jiff::Timestamp = text.parse().map_err(|_| error())?;
        i64::try_from(instant.as_nanosecond())
            .map(Self)
            .map_err(|_| error())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_form_keeps_nanoseconds() {
        let time: Timestamp = "2026-11-21T09:00:00.123456789Z".parse().unwrap();
        assert_eq!(time.as_nanos(), 1_795_251_600_123_456_789);
        assert_eq!(time.to_string(), "2026-11-21T09:00:00.123456789Z");
    }

    #[test]
    fn offsets_are_converted_to_utc() {
        let time: Timestamp = "2026-11-21T10:00:00+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-21T09:00:00Z");
    }

    #[test]
    fn nonsense_is_named_in_the_error() {
        let error = "yesterday".parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().contains("`yesterday`"));
    }

    #[test]
    fn times_out_of_reach_saturate_where_asked() {
        for (text, expected) in [
            ("0001-01-01T00:00:00Z", Timestamp::MIN),
            ("9999-12-31T23:59:59Z", Timestamp::MAX),
            ("1970-01-01T00:00:01Z", Timestamp::from_seconds(1)),
        ] {
            assert_eq!(Timestamp::parse_saturating(text).unwrap(), expected);
        }
        assert!(Timestamp::parse_saturating("yesterday").is_err());
    }

    #[test]
    fn floor_goes_down_before_the_epoch_too() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            Timestamp::from_seconds(61).floor_to(minute),
            Timestamp::from_seconds(60)
        );
        assert_eq!(
            Timestamp::from_seconds(-1).floor_to(minute),
            Timestamp::from_seconds(-60)
        );
    }

    proptest! {
        #[test]
        fn text_form_round_trips(nanos in any::<i64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn arithmetic_never_panics(nanos in any::<i64>(), span in any::<u64>()) {
            let time = Timestamp::from_nanos(nanos);
            let span = Duration::from_secs(span);
            prop_assert!(time.saturating_add(span) >= time);
            prop_assert!(time.saturating_sub(span) <= time);
            prop_assert!(time.floor_to(span) <= time);
        }
    }
}
