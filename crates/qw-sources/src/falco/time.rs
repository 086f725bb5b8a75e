//! The times that events say → [`Timestamp`].

use qw_event::Timestamp;

use super::{fields::text, scan::Value};

/// A time as RFC 3339, or as a number since the epoch whose size tells its unit.
pub(super) fn time(value: Value<'_>) -> Option<Timestamp> {
    let text = text(value);
    if let Some(time) = as_falco_writes(text.as_bytes()) {
        return Some(time);
    }
    let Ok(number) = text.parse::<i64>() else {
        return text.parse().ok();
    };
    let nanoseconds_each = match number {
        i64::MIN..=0 => return None,
        1..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    Some(Timestamp::from_nanos(
        number.saturating_mul(nanoseconds_each),
    ))
}

/// A time as a number of nanoseconds, or as a text that is one, or as RFC 3339.
pub(super) fn nanoseconds(value: Value<'_>) -> Option<Timestamp> {
    let text = text(value);
    match text.parse::<i64>() {
        Ok(nanoseconds) => (nanoseconds > 0).then(|| Timestamp::from_nanos(nanoseconds)),
        Err(_) => text.parse().ok(),
    }
}

/// `2026-11-21T09:15:30.123456789Z`, in the years 1970 to 2261 and without leap seconds; anything
/// else is left to the full parser, which takes several times as long.
fn as_falco_writes(text: &[u8]) -> Option<Timestamp> {
    let (date_time, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        mi1,
        mi2,
        b':',
        s1,
        s2,
    ] = *date_time
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let month = number(&[mo1, mo2])?;
    let day = number(&[d1, d2])?;
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[mi1, mi2])?, number(&[s1, s2])?);
    let fraction = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_i64.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    let is_valid = (1970..2262).contains(&year)
        && (1..=days_of_month).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_valid {
        return None;
    }
    // Years that begin in March end with the leap day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day
        - DAYS_BEFORE_EPOCH;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::from_nanos(seconds * 1_000_000_000 + fraction))
}

/// From the first of March of year 0, counted as one, to the epoch.
const DAYS_BEFORE_EPOCH: i64 = 719_469;

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_falco_writes_needs_no_full_parser() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(
                as_falco_writes(text.as_bytes()).map(Timestamp::as_nanos),
                expected,
                "{text}"
            );
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check(
            "2026-11-21T09:00:00.123456789Z",
            Some(1_795_251_600_123_456_789),
        );
        check("2024-02-29T23:59:59.5Z", Some(1_709_251_199_500_000_000));
        for text in [
            "",
            "Z",
            "2026-11-21T09:00:00",
            "2026-11-21 09:00:00Z",
            "2026-11-21T09:00:00.Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+01:00",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        let check = |number: &str, expected: Option<&str>| {
            let expected = expected.map(|time| time.parse().unwrap());
            assert_eq!(time(Value::Number(number)), expected, "{number}");
        };
        check("1795251600", Some("2026-11-21T09:00:00Z"));
        check("1795251600123", Some("2026-11-21T09:00:00.123Z"));
        check("1795251600123456", Some("2026-11-21T09:00:00.123456Z"));
        check(
            "1795251600123456789",
            Some("2026-11-21T09:00:00.123456789Z"),
        );
        check("0", None);
        check("-5", None);
        check("1.5", None);
    }

    proptest! {
        #[test]
        fn both_parsers_agree(nanoseconds in 0_i64..9_214_646_400_000_000_000) {
            let time = Timestamp::from_nanos(nanoseconds);
            let text = time.to_string();
            prop_assert_eq!(as_falco_writes(text.as_bytes()), Some(time), "{}", text);
        }
    }
}
