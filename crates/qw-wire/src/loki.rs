//! Loki's push API: protobuf in snappy, and JSON.
//!
//! Sources: grafana/loki, `pkg/push/push.proto`, `docs/sources/reference/loki-http-api.md` ("Ingest
//! logs"); prometheus/prometheus, `model/labels` (text of labels); google/snappy,
//! `format_description.txt`.
//!
//! Labels that name the container, the host, the stream or the level go where [`Received`] has a place
//! for them, all others become fields; those of the line, which Loki calls structured metadata, stand
//! before those of the stream.

mod encode;
mod labels;

use std::borrow::Cow;

use qw_event::{InvalidReason, Timestamp};
use qw_log::time::parse_rfc3339;

use crate::{
    Received,
    otlp::{
        attributes::{self, Names, Spread, Value},
        protobuf::{Field, Message, Value as Wire},
    },
    outgoing::json::{self, Member},
};

pub use crate::outgoing::fault::Fault;
pub use encode::{Stream, encode_json, encode_protobuf, group};

/// Most bytes of a body after decompression.
pub const MAX_BODY: usize = 64 << 20;
/// Snappy makes at most this many bytes of one: a copy of 64 bytes takes three.
const MAX_RATIO: usize = 22;
/// Most labels of a stream, or of a line.
const MAX_LABELS: usize = 1024;

/// Reads a `PushRequest` of protobuf in snappy's block format and calls `each` with every line, in
/// order of the streams.
///
/// Returns the number of lines.
///
/// # Errors
/// When `body` is no such message, or larger than [`MAX_BODY`]; `each` was called for the lines before
/// the fault then. Bytes are counted after decompression, but for faults of the compression.
pub fn parse_protobuf(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    parse_push_request(&decompress(body)?, each)
}

/// As [`parse_protobuf`], of a body that is not compressed.
///
/// # Errors
/// As there.
pub fn parse_push_request(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    let mut spread = Spread::new(body.len());
    Message::new(body).for_each(|field| match message(field, 1)? {
        Some(stream) => read_stream(stream, &mut spread, each),
        None => Ok(()),
    })?;
    Ok(spread.count())
}

fn decompress(body: &[u8]) -> Result<Vec<u8>, Fault> {
    let wrong = Fault::form("the body is not compressed with snappy", 0);
    let length = snap::raw::decompress_len(body).map_err(|_| wrong)?;
    if length > MAX_BODY {
        return Err(Fault::too_long("the body is larger than 64 MiB", 0));
    }
    if length > body.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::too_long(
            "the body claims more bytes than it can hold",
            0,
        ));
    }
    let mut plain = vec![0; length];
    let written = snap::raw::Decoder::new()
        .decompress(body, &mut plain)
        .map_err(|_| wrong)?;
    plain.truncate(written);
    Ok(plain)
}

fn read_stream(
    stream: Message<'_>,
    spread: &mut Spread,
    each: &mut dyn FnMut(Received<'_>),
) -> Result<(), Fault> {
    let mut said = Received::default();
    stream.for_each(|field| match message(field, 1)? {
        Some(text) => {
            let plain = std::str::from_utf8(text.bytes()).map_err(|error| {
                let what = "the labels are not UTF-8";
                Fault::new(
                    what,
                    text.at() + error.valid_up_to(),
                    InvalidReason::NotUtf8,
                )
            })?;
            put_labels(plain, &mut said).map_err(|fault| fault.after(text.at()))
        }
        None => Ok(()),
    })?;
    stream.for_each(|field| match message(field, 2)? {
        Some(entry) => {
            let mut received = read_entry(entry)?;
            spread.fill(&mut received, &[&said], entry.at())?;
            each(received);
            Ok(())
        }
        None => Ok(()),
    })
}

fn read_entry(entry: Message<'_>) -> Result<Received<'_>, Fault> {
    let mut received = Received::default();
    let mut labels = 0;
    entry.for_each(|field| {
        match field.number {
            1 => received.time = Some(read_time(length(field)?)?),
            2 => received.text = without_line_end(Cow::Borrowed(length(field)?.bytes())),
            // Structured metadata, and labels that were parsed out of the line.
            3 | 4 => {
                labels += 1;
                check_count(labels, field.at)?;
                let (mut name, mut value) = (Cow::Borrowed(""), Cow::Borrowed(""));
                length(field)?.for_each(|field| {
                    match field.number {
                        1 => name = length(field)?.text(),
                        2 => value = length(field)?.text(),
                        _ => {}
                    }
                    Ok(())
                })?;
                put(&mut received, name, value);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(received)
}

/// `google.protobuf.Timestamp`.
fn read_time(of: Message<'_>) -> Result<Timestamp, Fault> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    of.for_each(|field| {
        match (field.number, field.value) {
            (1, Wire::Varint(value)) => seconds = value.cast_signed(),
            (2, Wire::Varint(value)) => nanos = value.cast_signed(),
            (1 | 2, _) => return Err(wrong_type(field)),
            _ => {}
        }
        Ok(())
    })?;
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let nanos = i64::try_from(nanos);
    let nanos = nanos.map_err(|_| Fault::form("a timestamp is out of reach", of.at()))?;
    Ok(Timestamp::from_nanos(nanos))
}

/// Reads a push request of JSON and calls `each` with every line, in order of the streams.
///
/// The form `{"streams":[{"stream":{…},"values":[["NANOSECONDS","LINE",{…}]]}]}`, and the older one
/// with `labels` as text and `entries` of `ts` and `line`. Returns the number of lines.
///
/// # Errors
/// When `body` is no such JSON; `each` was called for the lines before the fault then.
pub fn parse_json(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    let whole = json::utf8(body)?;
    json::check_depth(whole)?;
    let reader = Reader { whole };
    let mut spread = Spread::new(body.len());
    let members = json::object(whole)?;
    let streams = find(&members, "streams");
    let streams = streams.ok_or(Fault::form("the member `streams` is missing", 0))?;
    for stream in reader.elements(streams) {
        let members = reader.object(stream?)?;
        let mut said = Received::default();
        if let Some(labels) = find(&members, "stream") {
            reader.put_members(labels, &mut said)?;
        }
        if let Some(value) = find(&members, "labels") {
            let what = "the labels are no string";
            let text = json::string(value).ok_or(reader.wrong(what, value))?;
            // An escape makes the place within uncertain: the beginning is told.
            let at = reader.offset(value);
            let wrong = |fault: Fault| Fault::new(fault.what, at, fault.reason());
            labels::for_each(&text, &mut |name, value| {
                put(&mut said, name.into_owned(), value.into_owned().into());
            })
            .map_err(wrong)?;
        }
        let values = find(&members, "values").or_else(|| find(&members, "entries"));
        let Some(values) = values else { continue };
        for entry in reader.elements(values) {
            let entry = entry?;
            let mut received = reader.entry(entry)?;
            spread.fill(&mut received, &[&said], reader.offset(entry))?;
            each(received);
        }
    }
    Ok(spread.count())
}

/// Knows where in the body a value stands.
#[derive(Clone, Copy)]
struct Reader<'a> {
    whole: &'a str,
}

impl<'a> Reader<'a> {
    fn offset(self, value: &str) -> usize {
        json::offset_in(self.whole, value)
    }

    fn wrong(self, what: &'static str, value: &str) -> Fault {
        Fault::form(what, self.offset(value))
    }

    fn object(self, value: &'a str) -> Result<Vec<Member<'a>>, Fault> {
        json::object(value).map_err(|fault| fault.after(self.offset(value)))
    }

    fn elements(self, value: &'a str) -> impl Iterator<Item = Result<&'a str, Fault>> {
        let elements = json::elements(value);
        elements.map(move |element| element.map_err(|fault| fault.after(self.offset(value))))
    }

    /// `["NANOSECONDS","LINE",{…}]` or `{"ts":…,"line":…}`.
    fn entry(self, entry: &'a str) -> Result<Received<'a>, Fault> {
        let mut received = Received::default();
        if entry.starts_with('{') {
            let members = self.object(entry)?;
            let time = find(&members, "ts").or_else(|| find(&members, "timestamp"));
            let line = find(&members, "line");
            let missing = self.wrong("a line has no time or no text", entry);
            received.time = Some(self.time(time.ok_or(missing)?)?);
            received.text = self.line(line.ok_or(missing)?)?;
            if let Some(metadata) = find(&members, "structuredMetadata") {
                self.put_members(metadata, &mut received)?;
            }
            return Ok(received);
        }
        let mut elements = self.elements(entry);
        let missing = self.wrong("a line has no time or no text", entry);
        received.time = Some(self.time(elements.next().ok_or(missing)??)?);
        received.text = self.line(elements.next().ok_or(missing)??)?;
        if let Some(metadata) = elements.next() {
            self.put_members(metadata?, &mut received)?;
        }
        Ok(received)
    }

    fn time(self, value: &str) -> Result<Timestamp, Fault> {
        let text = json::text(value);
        let nanos = text.parse().ok().map(Timestamp::from_nanos);
        let time = nanos.or_else(|| parse_rfc3339(text.as_bytes()));
        time.ok_or(self.wrong("a time is neither nanoseconds nor RFC 3339", value))
    }

    fn line(self, value: &'a str) -> Result<Cow<'a, [u8]>, Fault> {
        let text = json::string(value);
        let text = text.ok_or(self.wrong("the text of a line is no string", value))?;
        Ok(without_line_end(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }))
    }

    fn put_members(self, value: &'a str, into: &mut Received<'a>) -> Result<(), Fault> {
        if value == "null" {
            return Ok(());
        }
        let members = self.object(value)?;
        check_count(members.len(), self.offset(value))?;
        for (name, value) in members {
            attributes::put(into, Names::Any, name, Value::Json(Cow::Borrowed(value)));
        }
        Ok(())
    }
}

fn find<'a>(members: &[Member<'a>], name: &str) -> Option<&'a str> {
    let found = members.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| *value)
}

/// Puts the labels of `{a="b", c="d"}`.
fn put_labels<'a>(text: &'a str, into: &mut Received<'a>) -> Result<(), Fault> {
    labels::for_each(text, &mut |name, value| put(into, name, value))
}

fn put<'a>(into: &mut Received<'a>, name: impl Into<Cow<'a, str>>, value: Cow<'a, str>) {
    attributes::put(into, Names::Any, name, Value::Text(value));
}

fn check_count(labels: usize, at: usize) -> Result<(), Fault> {
    if labels > MAX_LABELS {
        return Err(Fault::too_long("there are more than 1024 labels", at));
    }
    Ok(())
}

fn without_line_end(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix(b"\n").unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.pop_if(|last| *last == b'\n');
            Cow::Owned(text)
        }
    }
}

/// The message in `field` when it has this number.
fn message(field: Field<'_>, number: u32) -> Result<Option<Message<'_>>, Fault> {
    if field.number == number {
        length(field).map(Some)
    } else {
        Ok(None)
    }
}

fn length(field: Field<'_>) -> Result<Message<'_>, Fault> {
    match field.value {
        Wire::Length(part) => Ok(part),
        _ => Err(wrong_type(field)),
    }
}

const fn wrong_type(field: Field<'_>) -> Fault {
    Fault::form("a field of a message is of another type", field.at)
}

#[cfg(test)]
mod tests;
