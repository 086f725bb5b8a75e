//! Protobuf of logs, read in place.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use qw_event::InvalidReason;

use super::{
    Fault, MAX_ATTRIBUTES, MAX_DEPTH, Record,
    attributes::{self, Names, Spread, Value},
    protobuf::{self, Field, Message, Value as Wire},
};
use crate::{
    Received,
    outgoing::{hexadecimal, json::push_string},
};

pub(super) fn parse(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    let mut spread = Spread::new(body.len());
    Message::new(body).for_each(|field| match message(field, 1)? {
        Some(resource_logs) => read_resource(resource_logs, &mut spread, each),
        None => Ok(()),
    })?;
    Ok(spread.count())
}

fn read_resource(
    resource_logs: Message<'_>,
    spread: &mut Spread,
    each: &mut dyn FnMut(Received<'_>),
) -> Result<(), Fault> {
    // The resource usually stands in front, but need not.
    let mut resource = Received::default();
    resource_logs.for_each(|field| match message(field, 1)? {
        Some(of) => read_attributes(of, 1, &mut resource),
        None => Ok(()),
    })?;
    resource_logs.for_each(|field| match message(field, 2)? {
        Some(scope_logs) => read_scope(scope_logs, &resource, spread, each),
        None => Ok(()),
    })
}

fn read_scope(
    scope_logs: Message<'_>,
    resource: &Received<'_>,
    spread: &mut Spread,
    each: &mut dyn FnMut(Received<'_>),
) -> Result<(), Fault> {
    let mut scope = Received::default();
    scope_logs.for_each(|field| {
        let Some(of) = message(field, 1)? else {
            return Ok(());
        };
        of.for_each(|field| {
            let name = match field.number {
                1 => "otel.scope.name",
                2 => "otel.scope.version",
                _ => return Ok(()),
            };
            super::put_text(&mut scope, name, length(field)?.text());
            Ok(())
        })?;
        read_attributes(of, 3, &mut scope)
    })?;
    scope_logs.for_each(|field| match message(field, 2)? {
        Some(record) => {
            let mut received = read_record(record)?;
            spread.fill(&mut received, &[&scope, resource], record.at())?;
            each(received);
            Ok(())
        }
        None => Ok(()),
    })
}

fn read_record(of: Message<'_>) -> Result<Received<'_>, Fault> {
    let mut received = Received::default();
    let mut record = Record::default();
    of.for_each(|field| {
        match (field.number, field.value) {
            (1, Wire::Fixed64(time)) => record.time = time,
            (2, Wire::Varint(number)) => record.severity_number = number.cast_signed(),
            (3, Wire::Length(text)) => record.severity_text = text.text(),
            (5, Wire::Length(body)) => record.text = body_text(body)?,
            (6, Wire::Length(_)) => {}
            (7, Wire::Varint(count)) => record.dropped_attributes = count as u32,
            (8, Wire::Fixed32(flags)) => record.flags = flags,
            (9, Wire::Length(id)) => record.trace_id = digits(id),
            (10, Wire::Length(id)) => record.span_id = digits(id),
            (11, Wire::Fixed64(time)) => record.observed_time = time,
            (12, Wire::Length(name)) => record.event_name = name.text(),
            (1..=12, _) => return Err(wrong_type(field)),
            _ => {}
        }
        Ok(())
    })?;
    read_attributes(of, 6, &mut received)?;
    record.put(&mut received);
    Ok(received)
}

/// Puts the attributes that stand in the fields `number` of a message.
fn read_attributes<'a>(of: Message<'a>, number: u32, into: &mut Received<'a>) -> Result<(), Fault> {
    let mut left = MAX_ATTRIBUTES;
    of.for_each(|field| {
        let Some(pair) = message(field, number)? else {
            return Ok(());
        };
        let Some(now) = left.checked_sub(1) else {
            return Err(Fault::too_long(
                "there are more than 4096 attributes",
                field.at,
            ));
        };
        left = now;
        let (key, value) = key_value(pair)?;
        let value = match value {
            Any::String(text) => Value::Text(text.text()),
            other => Value::Json(json(&other)?.into()),
        };
        attributes::put(into, Names::OpenTelemetry, key, value);
        Ok(())
    })
}

/// An `AnyValue`.
#[derive(Clone, Copy)]
enum Any<'a> {
    Nothing,
    String(Message<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Message<'a>),
    KeyValueList(Message<'a>),
    Bytes(Message<'a>),
}

fn any(of: Message<'_>) -> Result<Any<'_>, Fault> {
    let mut any = Any::Nothing;
    of.for_each(|field| {
        any = match (field.number, field.value) {
            (1, Wire::Length(text)) => Any::String(text),
            (2, Wire::Varint(value)) => Any::Bool(value != 0),
            (3, Wire::Varint(value)) => Any::Int(value.cast_signed()),
            (4, Wire::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
            (5, Wire::Length(array)) => Any::Array(array),
            (6, Wire::Length(list)) => Any::KeyValueList(list),
            (7, Wire::Length(bytes)) => Any::Bytes(bytes),
            (1..=7, _) => return Err(wrong_type(field)),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(any)
}

fn key_value(of: Message<'_>) -> Result<(Cow<'_, str>, Any<'_>), Fault> {
    let (mut key, mut value) = (Cow::Borrowed(""), Any::Nothing);
    of.for_each(|field| {
        match field.number {
            1 => key = length(field)?.text(),
            2 => value = any(length(field)?)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, value))
}

fn body_text(of: Message<'_>) -> Result<Cow<'_, [u8]>, Fault> {
    Ok(match any(of)? {
        Any::Nothing => Cow::Borrowed(b""),
        Any::String(text) => Cow::Borrowed(text.bytes()),
        other => Cow::Owned(json(&other)?.into_bytes()),
    })
}

fn json(any: &Any<'_>) -> Result<String, Fault> {
    let mut out = Vec::new();
    push_json(any, &mut out, 0)?;
    Ok(String::from_utf8(out).unwrap_or_default())
}

fn push_json(of: &Any<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Fault> {
    match of {
        Any::Nothing => out.extend_from_slice(b"null"),
        Any::String(text) => push_string(out, &text.text()),
        Any::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Any::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Any::Double(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
            None if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            None if *value > 0.0 => out.extend_from_slice(b"\"Infinity\""),
            None => out.extend_from_slice(b"\"-Infinity\""),
        },
        Any::Bytes(bytes) => push_string(out, &STANDARD.encode(bytes.bytes())),
        Any::Array(list) | Any::KeyValueList(list) => {
            if depth == MAX_DEPTH {
                let what = "a value is nested deeper than 32";
                return Err(Fault::new(what, list.at(), InvalidReason::TooDeep));
            }
            let is_array = matches!(of, Any::Array(_));
            out.push(if is_array { b'[' } else { b'{' });
            let mut is_first = true;
            list.for_each(|field| {
                let Some(element) = message(field, 1)? else {
                    return Ok(());
                };
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                let value = if is_array {
                    any(element)?
                } else {
                    let (key, value) = key_value(element)?;
                    push_string(out, &key);
                    out.push(b':');
                    value
                };
                push_json(&value, out, depth + 1)
            })?;
            out.push(if is_array { b']' } else { b'}' });
        }
    }
    Ok(())
}

fn digits(id: Message<'_>) -> Cow<'_, str> {
    // No id is longer than 16 bytes.
    let bytes = id.bytes();
    hexadecimal(bytes.get(..32).unwrap_or(bytes)).into()
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
        protobuf::Value::Length(part) => Ok(part),
        _ => Err(wrong_type(field)),
    }
}

const fn wrong_type(field: Field<'_>) -> Fault {
    Fault::form("a field of a message is of another type", field.at)
}
