//! Splunk's HTTP Event Collector: events and raw lines, and what a receiver answers.
//!
//! Sources: Splunk, "Format events for HTTP Event Collector", "Troubleshoot HTTP Event Collector"
//! (codes), "About HTTP Event Collector Indexer Acknowledgment"; moby/moby,
//! `daemon/logger/splunk/splunk.go` (shapes of the Docker driver); names of the fields as
//! OpenTelemetry's exporter for Splunk has them.

mod answers;
mod encode;

use std::borrow::Cow;

use qw_event::{InvalidReason, Timestamp};
use qw_log::Stream;

use crate::{
    Received,
    otlp::attributes::{self, Names, Spread, Value, put_field},
    outgoing::json,
};

pub use answers::{
    AuthenticationFault, HEALTHY, SERVER_BUSY, SUCCESS, acknowledged, parse_acknowledgements,
    success, success_with_acknowledgement,
};
pub(crate) use encode::word;
pub use encode::{Destination, encode, encode_for};

/// Why events were refused, in the words of Splunk's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event {number}: {text} (code {code}), at byte {byte}")]
pub struct Fault {
    /// The number of the event that is refused, counted from 0; those before it are taken.
    pub number: usize,
    /// Splunk's code.
    pub code: u8,
    /// What Splunk calls it.
    pub text: &'static str,
    /// The byte of the body, counted from 0, at which it was noticed.
    pub byte: usize,
    reason: InvalidReason,
}

/// Code and text of Splunk's answers.
type Code = (u8, &'static str);
const NO_DATA: Code = (5, "No data");
const INVALID_DATA_FORMAT: Code = (6, "Invalid data format");
const EVENT_IS_REQUIRED: Code = (12, "Event field is required");
const EVENT_IS_BLANK: Code = (13, "Event field cannot be blank");
const INDEXED_FIELDS: Code = (15, "Error in handling indexed fields");

impl Fault {
    const fn new(number: usize, (code, text): Code, byte: usize, reason: InvalidReason) -> Self {
        Self {
            number,
            code,
            text,
            byte,
            reason,
        }
    }

    /// The reason under which it is counted.
    pub const fn reason(&self) -> InvalidReason {
        self.reason
    }
}

/// Reads events, one JSON object behind the other or in an array, and calls `each` with every one.
///
/// An `event` of Docker's driver (`line` beside `source`) becomes a line of its own; of any other
/// object the whole text is the line. Returns the number of events.
///
/// # Errors
/// At the first event that Splunk would refuse; `each` was called for those before it then.
pub fn parse_events(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    let invalid = |number, fault: json::Fault| {
        Fault::new(number, INVALID_DATA_FORMAT, fault.byte, fault.reason())
    };
    let whole = json::utf8(body).map_err(|fault| invalid(0, fault))?;
    let mut rest = whole.trim_ascii();
    let is_array = rest.starts_with('[') && rest.ends_with(']');
    if is_array {
        rest = rest.get(1..rest.len() - 1).unwrap_or_default().trim_ascii();
    }
    let mut number = 0;
    while !rest.is_empty() {
        if is_array && number > 0 {
            let at = json::offset_in(whole, rest);
            let behind = rest.strip_prefix(',').ok_or_else(|| {
                Fault::new(number, INVALID_DATA_FORMAT, at, InvalidReason::NotJson)
            })?;
            rest = behind.trim_ascii_start();
        }
        let at = json::offset_in(whole, rest);
        let (members, behind) =
            json::first_object(rest).map_err(|fault| invalid(number, fault.after(at)))?;
        let length = rest.len() - behind.len();
        json::check_depth(rest.get(..length).unwrap_or_default())
            .map_err(|fault| invalid(number, fault.after(at)))?;
        let event = Event {
            whole,
            at,
            number,
            members,
        };
        each(event.read()?);
        number += 1;
        rest = behind.trim_ascii_start();
    }
    if number == 0 {
        return Err(Fault::new(0, NO_DATA, 0, InvalidReason::NotAnEvent));
    }
    Ok(number)
}

/// Makes a record of every line of `body` that is not empty, and calls `each` with it.
///
/// `query` holds the parameters of the request, decoded: `host`, `source`, `sourcetype`, `index` and
/// `time` are told with each line; a `channel` is the caller's. Returns the number of lines.
///
/// # Errors
/// When there is no line, or what is told with each is more than 64 times the body.
pub fn parse_raw(
    body: &[u8],
    query: &[(&str, &str)],
    each: &mut dyn FnMut(Received<'_>),
) -> Result<usize, Fault> {
    let mut said = Received::default();
    for (name, value) in query {
        match *name {
            "host" => said.hostname = Cow::Borrowed(value),
            "time" => said.time = parse_seconds(value),
            _ => {
                if let Some(field) = field_name(name) {
                    put_field(&mut said, field, Value::Text(Cow::Borrowed(value)));
                }
            }
        }
    }
    let mut spread = Spread::new(body.len());
    let mut at = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let begin = at;
        at += line.len() + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let mut received = Received {
            time: said.time,
            text: Cow::Borrowed(line),
            ..Received::default()
        };
        let number = spread.count();
        let filled = spread.fill(&mut received, &[&said], begin);
        filled
            .map_err(|fault| Fault::new(number, INVALID_DATA_FORMAT, fault.byte, fault.reason()))?;
        each(received);
    }
    if spread.count() == 0 {
        return Err(Fault::new(0, NO_DATA, 0, InvalidReason::NotAnEvent));
    }
    Ok(spread.count())
}

/// Members of one event.
struct Event<'a> {
    whole: &'a str,
    at: usize,
    number: usize,
    members: Vec<json::Member<'a>>,
}

impl<'a> Event<'a> {
    fn fault(&self, code: Code, value: &str) -> Fault {
        let byte = json::offset_in(self.whole, value);
        Fault::new(self.number, code, byte, InvalidReason::NotAnEvent)
    }

    fn read(&self) -> Result<Received<'a>, Fault> {
        let mut received = Received::default();
        let mut event = None;
        for (name, value) in &self.members {
            let value = *value;
            match &**name {
                "event" => event = Some(value),
                "time" => received.time = self.time(value)?,
                "host" => received.hostname = json::text(value),
                "fields" => self.fields(value, &mut received)?,
                name => {
                    // What is empty is the same as absent.
                    if let Some(field) = field_name(name)
                        && !json::text(value).is_empty()
                    {
                        put_field(&mut received, field, Value::Json(Cow::Borrowed(value)));
                    }
                }
            }
        }
        match event {
            None | Some("null") => {
                let (byte, reason) = (self.at, InvalidReason::NotAnEvent);
                Err(Fault::new(self.number, EVENT_IS_REQUIRED, byte, reason))
            }
            Some(event) => {
                self.event(event, &mut received)?;
                Ok(received)
            }
        }
    }

    fn time(&self, value: &str) -> Result<Option<Timestamp>, Fault> {
        let text = json::text(value);
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        match parse_seconds(&text) {
            Some(time) => Ok(Some(time)),
            None => Err(self.fault(INVALID_DATA_FORMAT, value)),
        }
    }

    fn fields(&self, value: &'a str, received: &mut Received<'a>) -> Result<(), Fault> {
        if value == "null" {
            return Ok(());
        }
        let members = json::object(value).map_err(|_| self.fault(INDEXED_FIELDS, value))?;
        for (name, value) in members {
            attributes::put(
                received,
                Names::Any,
                name,
                Value::Json(Cow::Borrowed(value)),
            );
        }
        Ok(())
    }

    fn event(&self, event: &'a str, received: &mut Received<'a>) -> Result<(), Fault> {
        if let Some(text) = json::string(event) {
            if text.is_empty() {
                return Err(self.fault(EVENT_IS_BLANK, event));
            }
            // Docker's shape `raw` begins with the tag.
            let word = text.split(' ').next().unwrap_or_default();
            if word.len() < text.len() && attributes::is_container_id(word) {
                attributes::put_tag(received, Cow::Owned(word.to_owned()));
            }
            received.text = bytes(text);
            return Ok(());
        }
        if event.starts_with('{') {
            let members = json::object(event);
            let members = members.map_err(|_| self.fault(INVALID_DATA_FORMAT, event))?;
            if members.is_empty() {
                return Err(self.fault(EVENT_IS_BLANK, event));
            }
            if dockers(&members, received) {
                return Ok(());
            }
        }
        received.text = bytes(json::on_one_line(event));
        Ok(())
    }
}

/// The shapes `inline` and `json` of Docker's driver; `false` for any other object.
fn dockers<'a>(members: &[json::Member<'a>], received: &mut Received<'a>) -> bool {
    let find = |name: &str| {
        let found = members.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    };
    let (Some(line), Some(source)) = (find("line"), find("source")) else {
        return false;
    };
    let Some(stream) = Stream::from_name(json::text(source).as_bytes()) else {
        return false;
    };
    received.stream = Some(stream);
    received.text = bytes(match json::string(line) {
        Some(text) => text,
        None => json::on_one_line(line),
    });
    for (name, value) in members {
        let value = *value;
        match &**name {
            "line" | "source" => {}
            "tag" => attributes::put_tag(received, json::text(value)),
            "attrs" => {
                // Labels and variables, under their own names.
                for (name, value) in json::object(value).unwrap_or_default() {
                    put_field(received, name, Value::Json(Cow::Borrowed(value)));
                }
            }
            _ => put_field(received, name.clone(), Value::Json(Cow::Borrowed(value))),
        }
    }
    true
}

/// The field for a member that an event has beside its text.
fn field_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "source" => "com.splunk.source",
        "sourcetype" => "com.splunk.sourcetype",
        "index" => "com.splunk.index",
        _ => return None,
    })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Seconds since the epoch with a fraction; numbers that are too large for it are milliseconds or
/// nanoseconds, as some senders write them.
fn parse_seconds(text: &str) -> Option<Timestamp> {
    /// The years 2400 in seconds and 10,000 in milliseconds.
    const SECONDS_END: i128 = 13_569_465_600;
    const MILLIS_END: i128 = 253_402_300_800_000;
    let text = text.trim_ascii();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = (1..=19).contains(&whole.len())
        && fraction.len() <= 30
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    let nanos = if is_plain {
        let mut nanos: i128 = whole.parse().ok()?;
        let unit = match nanos {
            ..SECONDS_END => 9,
            SECONDS_END..MILLIS_END => 6,
            _ => 0,
        };
        let mut digits = fraction.bytes();
        for _ in 0..unit {
            let digit = digits.next().map_or(0, |digit| digit - b'0');
            nanos = nanos * 10 + i128::from(digit);
        }
        nanos
    } else {
        // `1.7e9`: no sender needs the last digits.
        let seconds: f64 = digits.parse().ok()?;
        if !digits.starts_with(|first: char| first.is_ascii_digit()) || !seconds.is_finite() {
            return None;
        }
        (seconds * 1e9) as i128
    };
    let nanos = if text.starts_with('-') { -nanos } else { nanos };
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests;
