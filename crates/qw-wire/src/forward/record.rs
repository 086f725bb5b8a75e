//! One entry → a record.

use std::borrow::Cow;

use qw_event::Timestamp;
use qw_log::{Severity, Stream};

use super::{
    Fault, json,
    reader::{Reader, Value},
};
use crate::{Piece, Received};

/// Names of the text, the best first.
const TEXTS: [&[u8]; 3] = [b"log", b"message", b"msg"];

/// Fields of one record.
const MAX_FIELDS: usize = 4_096;

/// Severities as [`super::write_entry`] writes them.
pub(super) const SEVERITIES: [(&str, Severity); 9] = [
    ("trace", Severity::Trace),
    ("debug", Severity::Debug),
    ("info", Severity::Info),
    ("notice", Severity::Notice),
    ("warn", Severity::Warn),
    ("error", Severity::Error),
    ("critical", Severity::Critical),
    ("alert", Severity::Alert),
    ("emergency", Severity::Emergency),
];

/// Reads a time and a record.
///
/// Names of Docker's driver and of Fluent Bit's Kubernetes filter are understood; every other is a field.
/// The text is `log`, else `message`, else `msg`, else the whole record as JSON.
///
/// Sources: moby/moby, `daemon/logger/fluentd`; fluent/fluent-bit, `plugins/filter_kubernetes`.
pub(super) fn entry<'a>(reader: &mut Reader<'a>, tag: &'a str) -> Result<Received<'a>, Fault> {
    let mut received = Received {
        tag: Cow::Borrowed(tag),
        ..Received::default()
    };
    received.time = time(reader, &mut received)?;
    let whole = reader.clone();
    let position = reader.position();
    let Value::Map(pairs) = reader.value()? else {
        return Err(reader.no_at("record, which is a map,", position));
    };
    check_count(pairs, position)?;
    let mut text: Option<(usize, Cow<'a, [u8]>)> = None;
    let mut piece = Partial::default();
    for _ in 0..pairs {
        let Some(name) = reader.text()? else {
            let mut name = Vec::new();
            json::write(reader, reader.max_depth(), &mut name)?;
            field(reader, json::text(name).into(), &mut received)?;
            continue;
        };
        if let Some(rank) = TEXTS.iter().position(|known| *known == name) {
            let value = line(reader)?;
            let (worse, best) = match text.take() {
                Some(before) if before.0 <= rank => (Some((rank, value)), before),
                before => (before, (rank, value)),
            };
            text = Some(best);
            if let Some((rank, value)) = worse {
                let mut json = Vec::new();
                json::quote(&value, &mut json);
                let name = TEXTS.get(rank).copied().unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                received.fields.push((name, json::text(json).into()));
            }
        } else if name == b"kubernetes" {
            kubernetes(reader, &mut received)?;
        } else if !known(name, reader, &mut received, &mut piece)? {
            field(reader, String::from_utf8_lossy(name), &mut received)?;
        }
    }
    received.piece = piece.into_piece();
    received.text = match text {
        Some((_, text)) => text,
        None => {
            let mut json = Vec::new();
            json::write(&mut whole.clone(), whole.max_depth(), &mut json)?;
            Cow::Owned(json)
        }
    };
    Ok(received)
}

/// Few bytes make a field, and each takes many times its bytes in memory.
fn check_count(fields: u32, at: u64) -> Result<(), Fault> {
    if fields as usize > MAX_FIELDS {
        let max_fields = MAX_FIELDS;
        return Err(Fault::TooManyFields { at, max_fields });
    }
    Ok(())
}

/// What Docker says of the pieces of a line.
#[derive(Default)]
struct Partial<'a> {
    is_there: bool,
    id: Cow<'a, str>,
    ordinal: u32,
    is_last: bool,
}

impl<'a> Partial<'a> {
    /// Engines before 19.03 say only that it is a piece, of all but the last: those have neither id nor
    /// ordinal here.
    fn into_piece(self) -> Option<Piece<'a>> {
        self.is_there.then_some(Piece {
            id: self.id,
            ordinal: self.ordinal,
            is_last: self.is_last,
        })
    }
}

/// Whether a name says something of the line or its container.
pub(super) fn is_known(name: &[u8]) -> bool {
    matches!(
        name,
        b"container_id"
            | b"container_name"
            | b"container_image"
            | b"container_image_id"
            | b"source"
            | b"stream"
            | b"hostname"
            | b"process_id"
            | b"severity"
            | b"partial_message"
            | b"partial_id"
            | b"partial_ordinal"
            | b"partial_last"
    )
}

/// Reads a value of a known name; whether it was one that fits.
fn known<'a>(
    name: &[u8],
    reader: &mut Reader<'a>,
    received: &mut Received<'a>,
    piece: &mut Partial<'a>,
) -> Result<bool, Fault> {
    if !is_known(name) {
        return Ok(false);
    }
    let before = reader.clone();
    let Some(bytes) = reader.text()? else {
        // Others than Docker write numbers and booleans.
        match (name, reader.value()?) {
            (b"partial_message", Value::Boolean(value)) => piece.is_there = value,
            (b"partial_last", Value::Boolean(value)) => piece.is_last = value,
            (b"partial_ordinal", Value::Unsigned(value)) => {
                piece.ordinal = u32::try_from(value).unwrap_or(u32::MAX);
            }
            _ => {
                *reader = before;
                return Ok(false);
            }
        }
        return Ok(true);
    };
    let value = String::from_utf8_lossy(bytes);
    match name {
        b"container_id" => received.container.id = value,
        b"container_name" => {
            received.container.name =
                String::from_utf8_lossy(bytes.strip_prefix(b"/").unwrap_or(bytes));
        }
        b"container_image" => received.container.image = value,
        b"container_image_id" => received.container.image_id = value,
        b"hostname" => received.hostname = value,
        b"process_id" => received.process_id = value,
        b"partial_message" => piece.is_there = bytes == b"true",
        b"partial_last" => piece.is_last = bytes == b"true",
        b"partial_id" => piece.id = value,
        b"partial_ordinal" => piece.ordinal = value.parse().unwrap_or_default(),
        b"source" | b"stream" => match Stream::from_name(bytes) {
            Some(stream) => received.stream = Some(stream),
            None => *reader = before.clone(),
        },
        _ => match SEVERITIES.iter().find(|(word, _)| *word == value) {
            Some((_, severity)) => received.severity = Some(*severity),
            None => *reader = before.clone(),
        },
    }
    Ok(reader.position() != before.position())
}

/// What Fluent Bit's filter adds.
fn kubernetes<'a>(reader: &mut Reader<'a>, received: &mut Received<'a>) -> Result<(), Fault> {
    let before = reader.clone();
    let Value::Map(pairs) = reader.value()? else {
        *reader = before;
        return field(reader, "kubernetes".into(), received);
    };
    check_count(pairs, before.position())?;
    for _ in 0..pairs {
        let Some(name) = reader.text()? else {
            reader.skip()?;
            reader.skip()?;
            continue;
        };
        let said = &mut received.container;
        let slot = match name {
            b"namespace_name" => &mut said.k8s_namespace,
            b"pod_name" => &mut said.k8s_pod,
            b"container_name" => &mut said.name,
            b"docker_id" | b"container_id" => &mut said.id,
            b"container_image" => &mut said.image,
            _ => {
                let name = match name {
                    b"host" => Cow::Borrowed("k8s.node.name"),
                    b"pod_id" => Cow::Borrowed("k8s.pod.uid"),
                    name => Cow::Owned(format!("kubernetes.{}", String::from_utf8_lossy(name))),
                };
                field(reader, name, received)?;
                continue;
            }
        };
        match reader.text()? {
            Some(value) => *slot = String::from_utf8_lossy(value),
            None => reader.skip()?,
        }
    }
    Ok(())
}

fn field<'a>(
    reader: &mut Reader<'a>,
    name: Cow<'a, str>,
    received: &mut Received<'a>,
) -> Result<(), Fault> {
    let mut value = Vec::new();
    json::write(reader, reader.max_depth(), &mut value)?;
    received.fields.push((name, json::text(value).into()));
    Ok(())
}

/// A text without its line end; any other value as JSON.
fn line<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    if let Some(text) = reader.text()? {
        return Ok(Cow::Borrowed(text.strip_suffix(b"\n").unwrap_or(text)));
    }
    let mut json = Vec::new();
    json::write(reader, reader.max_depth(), &mut json)?;
    Ok(Cow::Owned(json))
}

/// Seconds, `EventTime` or a float; 0 and nil say nothing. Fluent Bit may write `[time, {…}]`.
fn time<'a>(
    reader: &mut Reader<'a>,
    received: &mut Received<'a>,
) -> Result<Option<Timestamp>, Fault> {
    let position = reader.position();
    let value = reader.value()?;
    let Value::Array(count) = value else {
        return instant(value).map_err(|()| reader.no_at("time", position));
    };
    if count == 0 {
        return Err(reader.no_at("time", position));
    }
    let value = reader.value()?;
    let time = instant(value).map_err(|()| reader.no_at("time", position));
    for _ in 1..count {
        let before = reader.clone();
        if reader.value()? != Value::Map(0) {
            *reader = before;
            field(reader, "fluentbit.metadata".into(), received)?;
        }
    }
    time
}

fn instant(value: Value<'_>) -> Result<Option<Timestamp>, ()> {
    let nanos = match value {
        Value::Nil => None,
        Value::Unsigned(seconds) => i64::try_from(seconds)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000_000_000)),
        Value::Signed(seconds) => seconds.checked_mul(1_000_000_000),
        Value::Float(seconds) => {
            let nanos = seconds * 1e9;
            (nanos.is_finite() && nanos.abs() < 9.2e18).then_some(nanos as i64)
        }
        Value::Extension(0, bytes) => {
            let (seconds, nanos) = bytes.split_first_chunk::<4>().ok_or(())?;
            let nanos = u32::from_be_bytes(*nanos.first_chunk::<4>().ok_or(())?);
            let seconds = u32::from_be_bytes(*seconds);
            Some(i64::from(seconds) * 1_000_000_000 + i64::from(nanos))
        }
        _ => return Err(()),
    };
    Ok(nanos.filter(|nanos| *nanos != 0).map(Timestamp::from_nanos))
}
