//! One message → a record.

use std::borrow::Cow;

use memchr::memchr;
use qw_event::Timestamp;
use qw_log::{Severity, Stream, time::parse_rfc3339};

use super::{Fault, Offset, legacy, structured};
use crate::Received;

/// The facility of daemons, Docker's default.
const DAEMON: u8 = 3;

/// Reads one message, without what ended it.
///
/// `now` and `zone` complete the times of RFC 3164, which know no year and no zone: they become the
/// latest that is at most a day after `now`, on a clock that is `zone` ahead of UTC.
///
/// Understood are RFC 5424, RFC 3164 with and without a host name (Docker's default has none), with RFC
/// 3339 times (rsyslog's forward format), with a year or milliseconds, and messages without a priority.
/// A tag may be whatever Docker's templates make. A message of no such form is text from where it
/// stops being one. Host, tag and process hold U+FFFD for bytes that are no UTF-8; the text is as it came.
///
/// `fields` become `syslog.facility.code` (left out where it is Docker's default), `syslog.msg.id` and
/// `syslog.structured_data`, an object of objects in the order of the sender, where a name may come twice
/// as the RFC allows. A message that only Docker's driver writes so has a stream; a tag that is or ends in
/// `/` and a container's id names the container.
///
/// # Errors
/// When nothing stands in it.
///
/// Sources: RFC 5424, section 6; RFC 3164, section 4; moby/moby, `daemon/logger/syslog`.
pub fn parse(message: &[u8], now: Timestamp, zone: Offset) -> Result<Received<'_>, Fault> {
    if message.is_empty() {
        return Err(Fault::Empty);
    }
    let (priority, rest) = match priority(message) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, message),
    };
    let mut received = Received {
        severity: priority.and_then(|priority| Severity::from_syslog(priority & 7)),
        ..Received::default()
    };
    let facility = priority.map(|priority| priority >> 3);
    let shape = match rest.strip_prefix(b"1 ").and_then(header) {
        Some(header) => modern(&header, &mut received),
        None => {
            legacy::parse(rest, now, zone, &mut received);
            Shape::Legacy
        }
    };
    if let Some(id) = container_id(&received.tag) {
        received.container.id = match &received.tag {
            Cow::Borrowed(tag) => Cow::Borrowed(tag.get(id..).unwrap_or_default()),
            Cow::Owned(tag) => Cow::Owned(tag.get(id..).unwrap_or_default().to_owned()),
        };
    }
    let knows_container = !received.container.id.is_empty();
    let is_docker = match shape {
        Shape::Docker => facility == Some(DAEMON) || knows_container,
        Shape::Legacy => knows_container && is_number(received.process_id.as_bytes()),
        Shape::Other => false,
    };
    if is_docker {
        received.stream = match received.severity {
            Some(Severity::Info) => Some(Stream::Stdout),
            Some(Severity::Error) => Some(Stream::Stderr),
            _ => None,
        };
    }
    if let Some(facility) = facility
        && !(facility == DAEMON && received.stream.is_some())
    {
        let code = FACILITIES.get(usize::from(facility)).copied();
        let field = ("syslog.facility.code".into(), code.unwrap_or("0").into());
        received.fields.insert(0, field);
    }
    Ok(received)
}

/// Facilities as JSON numbers.
const FACILITIES: [&str; 24] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23",
];

/// Which writer a message has the form of.
enum Shape {
    /// RFC 5424 as Docker's driver writes it.
    Docker,
    /// RFC 3164, which Docker's driver and everybody else write alike.
    Legacy,
    Other,
}

/// `<30>`, and what stands behind; the highest is 191.
fn priority(message: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = match message {
        [b'<', a, b'>', rest @ ..] => ([b'0', b'0', *a], rest),
        [b'<', a, b, b'>', rest @ ..] => ([b'0', *a, *b], rest),
        [b'<', a, b, c, b'>', rest @ ..] => ([*a, *b, *c], rest),
        _ => return None,
    };
    let mut priority = 0_u16;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        priority = priority * 10 + u16::from(digit - b'0');
    }
    let priority = u8::try_from(priority).ok().filter(|it| *it <= 191)?;
    Some((priority, rest))
}

/// Time and host of RFC 5424, and what stands behind them.
struct Header<'a> {
    time: Option<Timestamp>,
    hostname: &'a [u8],
    rest: &'a [u8],
}

/// `None` when the first word is no time of RFC 5424.
fn header(rest: &[u8]) -> Option<Header<'_>> {
    let (time, rest) = word(rest)?;
    let time = match time {
        b"-" => None,
        time => Some(parse_rfc3339(time)?),
    };
    let (hostname, rest) = word(rest)?;
    Some(Header {
        time,
        hostname: value(hostname),
        rest,
    })
}

fn modern<'a>(header: &Header<'a>, received: &mut Received<'a>) -> Shape {
    received.time = header.time;
    received.hostname = text(header.hostname);
    let rest = header.rest;
    let Some((tag, process_id, message_id, data)) = fields(rest) else {
        // The header is cut short.
        received.text = Cow::Borrowed(rest);
        return Shape::Other;
    };
    let is_named_twice = message_id == tag;
    if !is_named_twice && let Some((tag, process_id, behind)) = spaced_tag(rest) {
        received.tag = text(tag);
        received.process_id = text(process_id);
        received.text = Cow::Borrowed(behind);
        return Shape::Docker;
    }
    received.tag = text(value(tag));
    received.process_id = text(value(process_id));
    if !is_named_twice && !value(message_id).is_empty() {
        let id = serde_json::to_string(&String::from_utf8_lossy(message_id));
        let id = Cow::Owned(id.unwrap_or_default());
        received.fields.push(("syslog.msg.id".into(), id));
    }
    let Some((data, behind)) = structured::split(data) else {
        // It is none, and belongs to the text.
        received.text = Cow::Borrowed(data);
        return Shape::Other;
    };
    if !data.is_empty() {
        let data = Cow::Owned(structured::to_json(data));
        received
            .fields
            .push(("syslog.structured_data".into(), data));
    }
    received.text = Cow::Borrowed(behind.strip_prefix(b"\xef\xbb\xbf").unwrap_or(behind));
    if is_named_twice && data.is_empty() && is_number(process_id) {
        Shape::Docker
    } else {
        Shape::Other
    }
}

type Fields<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8]);

/// `APP-NAME PROCID MSGID `, and what stands behind.
fn fields(rest: &[u8]) -> Option<Fields<'_>> {
    let (tag, rest) = word(rest)?;
    let (process_id, rest) = word(rest)?;
    let (message_id, rest) = word(rest)?;
    Some((tag, process_id, message_id, rest))
}

/// Docker's `TAG PID TAG - TEXT` with a tag that holds spaces.
fn spaced_tag(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    /// Longer tags are not looked for, so that no message is looked at again and again.
    const LONGEST: usize = 512;
    let head = rest.get(..LONGEST).unwrap_or(rest);
    for space in memchr::memchr_iter(b' ', head) {
        let (tag, behind) = rest.split_at_checked(space)?;
        let behind = behind.get(1..)?;
        if !behind.first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let (process_id, behind) = word(behind)?;
        if !is_number(process_id) {
            continue;
        }
        if let Some(text) = behind
            .strip_prefix(tag)
            .and_then(|behind| behind.strip_prefix(b" - "))
        {
            return Some((tag, process_id, text));
        }
    }
    None
}

/// What stands in front of the next space, and behind it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', bytes)?;
    let (word, rest) = bytes.split_at(space);
    Some((word, rest.get(1..).unwrap_or_default()))
}

/// A field of the header, empty when it is RFC 5424's nil.
fn value(word: &[u8]) -> &[u8] {
    if word == b"-" { b"" } else { word }
}

pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub(super) fn is_number(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// Where the id begins in a tag that is, or ends in `/` and, 12 or 64 hexadecimal digits.
fn container_id(tag: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let begin = memchr::memrchr(b'/', bytes).map_or(0, |slash| slash + 1);
    let id = bytes.get(begin..)?;
    let is_id = matches!(id.len(), 12 | 64)
        && id
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then_some(begin)
}
