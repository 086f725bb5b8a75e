//! Messages of RFC 3164, and what is sent under its name.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use qw_event::Timestamp;
use qw_log::time::parse_rfc3339;

use super::{
    Offset,
    calendar::{date_of, days_in, days_since_epoch},
    parse::{is_number, text},
};
use crate::Received;

/// A tag, with its process id, is looked for within so many bytes.
const LONGEST_TAG: usize = 512;

/// Reads what stands behind the priority.
pub(super) fn parse<'a>(rest: &'a [u8], now: Timestamp, zone: Offset, received: &mut Received<'a>) {
    let Some((time, rest)) = time(rest, now, zone) else {
        // Without a time nobody writes a host: `logger` and programs that write to `/dev/log`.
        tag_and_text(rest, received);
        return;
    };
    received.time = Some(time);
    // A host is one word, which does not end as a tag does; Docker's default and local programs have none.
    let Some(space) = memchr(b' ', rest) else {
        tag_and_text(rest, received);
        return;
    };
    let (word, behind) = rest.split_at(space);
    if is_host(word) {
        received.hostname = text(word);
        tag_and_text(behind.get(1..).unwrap_or_default(), received);
    } else {
        tag_and_text(rest, received);
    }
}

/// A name or an address: `web-1`, `10.0.0.1`, `fe80::1`.
fn is_host(word: &[u8]) -> bool {
    !word.is_empty()
        && word.last() != Some(&b':')
        && word
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'))
}

/// `TAG[PID]: TEXT`, `TAG: TEXT`, or text only.
fn tag_and_text<'a>(rest: &'a [u8], received: &mut Received<'a>) {
    // Cisco's devices put `: ` between time and tag.
    let rest = rest.strip_prefix(b": ").unwrap_or(rest);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let near = rest.get(..LONGEST_TAG).unwrap_or(rest);
    let colon = memchr_iter(b':', near).find(|colon| match near.get(colon + 1) {
        Some(b' ' | b'\t') => true,
        // At the end of the message, not only of what is looked at.
        None => colon + 1 == rest.len(),
        // `TAG[PID]:TEXT`.
        Some(_) => *colon > 0 && near.get(colon - 1) == Some(&b']'),
    });
    if let Some(colon) = colon
        && let Some((head, behind)) = rest.split_at_checked(colon)
        && let Some((tag, process_id)) = tag(head)
    {
        let behind = behind.get(1..).unwrap_or_default();
        received.tag = text(tag);
        received.process_id = text(process_id);
        received.text = Cow::Borrowed(behind.strip_prefix(b" ").unwrap_or(behind));
        return;
    }
    received.text = Cow::Borrowed(rest);
}

/// Tag and process id of what stands in front of the colon.
fn tag(head: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(head) = head.strip_suffix(b"]")
        && let Some(bracket) = memchr::memrchr(b'[', head)
        && let Some((tag, process_id)) = head.split_at_checked(bracket)
    {
        let process_id = process_id.get(1..).unwrap_or_default();
        // A tag with spaces is believed only with a number behind it, as Docker writes it.
        let is_plain = !tag.contains(&b' ') && !process_id.contains(&b' ');
        if is_plain || is_number(process_id) {
            return Some((tag, process_id));
        }
    }
    let is_word = !head.is_empty() && !head.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    is_word.then_some((head, &[]))
}

/// The time at the beginning, and what stands behind it and its space.
fn time(rest: &[u8], now: Timestamp, zone: Offset) -> Option<(Timestamp, &[u8])> {
    // Go's default formatter puts a space behind the priority.
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    if let [b'0'..=b'9', ..] = rest
        && let Some(space) = memchr(b' ', rest)
    {
        let (word, behind) = rest.split_at(space);
        let behind = behind.get(1..)?;
        if let Some(time) = parse_rfc3339(word) {
            return Some((time, behind));
        }
        // `1990 Oct 22 10:52:01 `, as an example of the RFC has it.
        if let Some(year) = year(word) {
            return month_day_time(behind, now, zone, Some(year));
        }
        // Cisco's devices count their messages: `29: `, and mark clocks that are not set: `*Mar  1 …`.
        let number = word.strip_suffix(b":")?;
        if !is_number(number) {
            return None;
        }
        return month_day_time(behind, now, zone, None);
    }
    month_day_time(rest, now, zone, None)
}

/// `Oct  1 10:52:01 `, with a year behind the day or the time, and a fraction of the second.
fn month_day_time(
    rest: &[u8],
    now: Timestamp,
    zone: Offset,
    mut said_year: Option<i64>,
) -> Option<(Timestamp, &[u8])> {
    let rest = match rest {
        [b'*' | b'.', rest @ ..] => rest,
        rest => rest,
    };
    let (name, rest) = rest.split_first_chunk::<3>()?;
    let month = month(*name)?;
    let rest = rest.strip_prefix(b" ")?;
    let (day, mut rest) = match rest {
        [b' ', d @ b'1'..=b'9', b' ', rest @ ..] => (d - b'0', rest),
        [d @ b'1'..=b'9', b' ', rest @ ..] => (d - b'0', rest),
        [t @ b'0'..=b'3', d @ b'0'..=b'9', b' ', rest @ ..] => ((t - b'0') * 10 + (d - b'0'), rest),
        _ => return None,
    };
    if let Some((word, behind)) = rest.split_first_chunk::<4>()
        && let Some(found) = year(word)
        && let [b' ', behind @ ..] = behind
    {
        said_year = Some(found);
        rest = behind;
    }
    let (clock, mut rest) = rest.split_first_chunk::<8>()?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock else {
        return None;
    };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut nanos = 0;
    if let [b'.' | b',', digits @ ..] = rest {
        let mut scale = 100_000_000;
        let count = digits.iter().take(9).take_while(|it| it.is_ascii_digit());
        for digit in count.clone() {
            nanos += i64::from(digit - b'0') * scale;
            scale /= 10;
        }
        rest = digits.get(count.count()..)?;
    }
    // `Oct 22 10:52:01 2026 `: a host of four digits is rarer.
    if said_year.is_none()
        && let [b' ', behind @ ..] = rest
        && let Some((word, [b' ', ..])) = behind.split_first_chunk::<4>()
        && let Some(found) = year(word)
    {
        said_year = Some(found);
        rest = behind.get(4..)?;
    }
    // Cisco's devices name a zone and put a colon; a name says little: `zone` counts, but for UTC.
    let mut zone = zone;
    if let Some(end) = memchr(b':', rest.get(..8).unwrap_or(rest))
        && let Some([b' ', name @ ..]) = rest.get(..end)
        && (2..=5).contains(&name.len())
        && name.iter().all(u8::is_ascii_uppercase)
        && rest.get(end + 1) == Some(&b' ')
    {
        if matches!(name, b"UTC" | b"GMT") {
            zone = Offset::UTC;
        }
        rest = rest.get(end..)?;
    }
    let rest = match rest {
        [b' ', rest @ ..] => rest,
        [b':', ..] | [] => rest,
        _ => return None,
    };
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second.min(59));
    let time = |year: i64| {
        if day < 1 || day > days_in(year, month) {
            return None;
        }
        let seconds = days_since_epoch(year, month, day) * 86_400 + seconds;
        Some(seconds - i64::from(zone.seconds()))
    };
    let seconds = match said_year {
        Some(year) => time(year)?,
        None => {
            let latest = now.as_seconds().saturating_add(86_400);
            let local = now.as_seconds() + i64::from(zone.seconds());
            let (this_year, _, _) = date_of(local.div_euclid(86_400));
            // A leap day may be years away.
            (0..10).find_map(|back| time(this_year + 1 - back).filter(|it| *it <= latest))?
        }
    };
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some((Timestamp::from_nanos(nanos), rest))
}

fn month(name: [u8; 3]) -> Option<u8> {
    const NAMES: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let name = name.map(|letter| letter.to_ascii_lowercase());
    let index = NAMES.iter().position(|known| **known == name)?;
    Some(index as u8 + 1)
}

/// A year that syslog messages can be from.
fn year(word: &[u8]) -> Option<i64> {
    let [a, b, c, d] = *word else { return None };
    let year = i64::from(two(a, b)?) * 100 + i64::from(two(c, d)?);
    (1970..2200).contains(&year).then_some(year)
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| tens * 10 + ones)
}
