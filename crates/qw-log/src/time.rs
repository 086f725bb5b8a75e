//! RFC 3339 times as the writers of log files form them, read by hand.

use qw_event::Timestamp;

/// Reads an RFC 3339 time with up to nine fractional digits, in UTC or with an offset.
///
/// Times out of [`Timestamp`]'s reach become its nearest; a leap second becomes the second before it.
/// Nothing else may stand before or after it.
pub fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
    let head = text.first_chunk::<19>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
    ] = *head
    else {
        return None;
    };
    let year = i64::from(two(y1, y2)?) * 100 + i64::from(two(y3, y4)?);
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(i1, i2)?, two(s1, s2)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, rest) = fraction(text.get(19..)?)?;
    let offset = offset_minutes(rest)?;
    let seconds = days_since_epoch(year, month, day) * 86_400
        + i64::from(hour) * 3_600
        + i64::from(minute) * 60
        + i64::from(second.min(59))
        - offset * 60;
    // Within the first second that can be expressed only its end can be: thus 128 bits.
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let nanos = nanos.clamp(i64::MIN.into(), i64::MAX.into());
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| tens * 10 + ones)
}

/// Nanoseconds of `.123`, and what stands behind.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    const SCALE: [u32; 10] = [
        0,
        100_000_000,
        10_000_000,
        1_000_000,
        100_000,
        10_000,
        1_000,
        100,
        10,
        1,
    ];
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let (mut value, mut count) = (0, 0);
    while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        if count == 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
        count += 1;
    }
    let scale = SCALE.get(count).copied().filter(|_| count > 0)?;
    Some((value * scale, digits.get(count..)?))
}

fn offset_minutes(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = i64::from(hours) * 60 + i64::from(minutes);
            Some(if sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn days_in(year: i64, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin with March.
fn days_since_epoch(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + i64::from(day) - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_that_writers_use_is_read() {
        let check = |text: &str, expected: &str| {
            let found = parse_rfc3339(text.as_bytes()).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        };
        check(
            "2026-11-21T07:15:50.601341045Z",
            "2026-11-21T07:15:50.601341045Z",
        );
        check("2026-11-21T07:15:50.6Z", "2026-11-21T07:15:50.6Z");
        check("2026-11-21T07:15:50Z", "2026-11-21T07:15:50Z");
        check("2026-11-21t07:15:50z", "2026-11-21T07:15:50Z");
        check("2026-11-21T07:15:50.5+01:30", "2026-11-21T05:45:50.5Z");
        check("2026-11-21T23:15:50.5-01:00", "2026-11-22T00:15:50.5Z");
        check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
        check(
            "1969-12-31T23:59:59.000000001Z",
            "1969-12-31T23:59:59.000000001Z",
        );
        check("2016-12-31T23:59:60.5Z", "2016-12-31T23:59:59.5Z");
    }

    #[test]
    fn times_out_of_reach_saturate() {
        assert_eq!(parse_rfc3339(b"0001-01-01T00:00:00Z"), Some(Timestamp::MIN));
        assert_eq!(parse_rfc3339(b"9999-12-31T23:59:59Z"), Some(Timestamp::MAX));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-21",
            "2026-11-21T07:15:50",
            "2026-11-21T07:15:50.Z",
            "2026-11-21T07:15:50.1234567890Z",
            "2026-13-21T07:15:50Z",
            "2026-02-29T07:15:50Z",
            "2026-11-00T07:15:50Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T07:60:00Z",
            "2026-11-21T07:15:61Z",
            "2026-11-21T07:15:50Z ",
            "2026-11-21T07:15:50+1:00",
            "2026-11-21T07:15:50+24:00",
            "2026-11-2\u{661}T07:15:50Z",
            "+026-11-21T07:15:50Z",
        ] {
            assert_eq!(parse_rfc3339(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_calendar_of_the_other_parser(nanos in any::<i64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(parse_rfc3339(time.to_string().as_bytes()), Some(time));
        }

        #[test]
        fn any_digits_and_offset_agree(
            date in "2[0-9]{3}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])",
            clock in "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
            fraction in "(\\.[0-9]{1,9})?",
            offset in "(Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])",
        ) {
            let text = format!("{date}T{clock}{fraction}{offset}");
            let expected = Timestamp::parse_saturating(&text).ok();
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _time = parse_rfc3339(&bytes);
        }
    }
}
