//! Spans and sizes as people write them: `30d`, `500ms`, `20GiB`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time such as `30d`, `12h`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

const SPANS: [(&str, u64); 7] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &SPANS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| {
                format!(
                    "`{text}` is no span of time; write it as `30d`, `12h`, `5m`, `10s` or `500ms`"
                )
            })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        // Weeks are read, but days are what people expect to see.
        write_with(f, millis, SPANS.get(1..).unwrap_or_default(), "0s")
    }
}

/// An amount of bytes such as `20GiB` or `500MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &SIZES)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size; write it as `20GiB`, `500MiB` or `64KiB`"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with(f, self.0, &SIZES, "0B")
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
        .1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn write_with(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    units: &[(&str, u64)],
    zero: &str,
) -> fmt::Result {
    if value == 0 {
        return f.write_str(zero);
    }
    let exact = units
        .iter()
        .filter(|(_, factor)| value.is_multiple_of(*factor));
    match exact.max_by_key(|(_, factor)| factor) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "{value}"),
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    };
}

as_text!(Span);
as_text!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_round_trip() {
        for text in ["30d", "12h", "5m", "10s", "500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["20GiB", "500MiB", "64KiB", "1MB", "7B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("2w".parse::<Span>().unwrap().to_string(), "14d");
        assert_eq!("5 m".parse::<Span>().unwrap().0, Duration::from_secs(300));
    }

    #[test]
    fn nonsense_says_how_to_write_it() {
        assert!("soon".parse::<Span>().unwrap_err().contains("`30d`"));
        assert!("10".parse::<Size>().unwrap_err().contains("`20GiB`"));
        assert!("99999999999999999999TiB".parse::<Size>().is_err());
        assert!("18446744073709551615TiB".parse::<Size>().is_err());
    }
}
