//! JSON of logs, read in place.

use std::borrow::Cow;

use qw_event::InvalidReason;

use super::{
    Fault, MAX_DEPTH, Record,
    attributes::{self, Names, Spread, Value},
};
use crate::{
    Received,
    outgoing::json::{self, Member, push_string},
};

pub(super) fn parse(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    let text = json::utf8(body)?;
    json::check_depth(text)?;
    let reader = Reader { whole: text };
    let mut spread = Spread::new(body.len());
    for resource_logs in reader.elements(&reader.object(text)?, "resourceLogs", "resource_logs") {
        let members = reader.object(resource_logs?)?;
        let mut resource = Received::default();
        if let Some(of) = find(&members, "resource", "resource") {
            reader.attributes(&reader.object(of)?, &mut resource)?;
        }
        for scope_logs in reader.elements(&members, "scopeLogs", "scope_logs") {
            let members = reader.object(scope_logs?)?;
            let mut scope = Received::default();
            if let Some(of) = find(&members, "scope", "scope") {
                let members = reader.object(of)?;
                for (own, name) in [
                    ("name", "otel.scope.name"),
                    ("version", "otel.scope.version"),
                ] {
                    let text = find(&members, own, own).map(json::text);
                    super::put_text(&mut scope, name, text.unwrap_or_default());
                }
                reader.attributes(&members, &mut scope)?;
            }
            for record in reader.elements(&members, "logRecords", "log_records") {
                let record = record?;
                let mut received = reader.record(record)?;
                spread.fill(&mut received, &[&scope, &resource], reader.offset(record))?;
                each(received);
            }
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
    fn object(self, value: &'a str) -> Result<Vec<Member<'a>>, Fault> {
        if value == "null" {
            return Ok(Vec::new());
        }
        json::object(value).map_err(|fault| fault.after(self.offset(value)))
    }

    fn elements(
        self,
        members: &[Member<'a>],
        camel: &str,
        snake: &str,
    ) -> impl Iterator<Item = Result<&'a str, Fault>> + use<'a> {
        let value = find(members, camel, snake).unwrap_or("[]");
        json::elements(value)
            .map(move |element| element.map_err(|fault| fault.after(self.offset(value))))
    }

    fn offset(self, value: &str) -> usize {
        json::offset_in(self.whole, value)
    }

    fn wrong(self, what: &'static str, value: &str) -> Fault {
        Fault::form(what, self.offset(value))
    }

    fn record(self, value: &'a str) -> Result<Received<'a>, Fault> {
        let members = self.object(value)?;
        let mut received = Received::default();
        let mut record = Record::default();
        self.attributes(&members, &mut received)?;
        for (name, value) in &members {
            let value = *value;
            match &**name {
                "timeUnixNano" | "time_unix_nano" => record.time = self.number(value)?,
                "observedTimeUnixNano" | "observed_time_unix_nano" => {
                    record.observed_time = self.number(value)?;
                }
                "severityNumber" | "severity_number" => {
                    record.severity_number = self.severity_number(value)?;
                }
                "severityText" | "severity_text" => record.severity_text = json::text(value),
                "body" => record.text = self.body(value)?,
                "traceId" | "trace_id" => record.trace_id = lower(json::text(value)),
                "spanId" | "span_id" => record.span_id = lower(json::text(value)),
                "eventName" | "event_name" => record.event_name = json::text(value),
                "flags" => record.flags = self.number(value)?,
                "droppedAttributesCount" | "dropped_attributes_count" => {
                    record.dropped_attributes = self.number(value)?;
                }
                _ => {}
            }
        }
        record.put(&mut received);
        Ok(received)
    }

    fn attributes(self, members: &[Member<'a>], into: &mut Received<'a>) -> Result<(), Fault> {
        let mut left = super::MAX_ATTRIBUTES;
        for pair in self.elements(members, "attributes", "attributes") {
            let pair = pair?;
            let what = "there are more than 4096 attributes";
            left = left
                .checked_sub(1)
                .ok_or(Fault::too_long(what, self.offset(pair)))?;
            let (key, value) = self.key_value(pair)?;
            let (kind, value) = self.any(value)?;
            let value = match kind {
                Kind::String => Value::Json(Cow::Borrowed(value)),
                _ => {
                    let mut out = Vec::new();
                    self.push_any(kind, value, &mut out, 0)?;
                    Value::Json(String::from_utf8(out).unwrap_or_default().into())
                }
            };
            attributes::put(into, Names::OpenTelemetry, key, value);
        }
        Ok(())
    }

    fn key_value(self, pair: &'a str) -> Result<(Cow<'a, str>, &'a str), Fault> {
        let members = self.object(pair)?;
        let key = find(&members, "key", "key").map(json::text);
        let value = find(&members, "value", "value").unwrap_or("null");
        Ok((key.unwrap_or_default(), value))
    }

    /// Of which kind an `AnyValue` is, and what stands for it.
    fn any(self, value: &'a str) -> Result<(Kind, &'a str), Fault> {
        for (name, inner) in self.object(value)? {
            let kind = match &*name {
                "stringValue" | "string_value" => Kind::String,
                "boolValue" | "bool_value" => Kind::Bool,
                "intValue" | "int_value" => Kind::Int,
                "doubleValue" | "double_value" => Kind::Double,
                "arrayValue" | "array_value" => Kind::Array,
                "kvlistValue" | "kvlist_value" => Kind::KeyValueList,
                "bytesValue" | "bytes_value" => Kind::Bytes,
                _ => continue,
            };
            if inner == "null" {
                continue;
            }
            let is_string = inner.starts_with('"');
            if matches!(kind, Kind::String | Kind::Bytes) && !is_string {
                return Err(self.wrong("a text of a value is no string", inner));
            }
            return Ok((kind, inner));
        }
        Ok((Kind::Nothing, "null"))
    }

    fn body(self, value: &'a str) -> Result<Cow<'a, [u8]>, Fault> {
        let (kind, value) = self.any(value)?;
        Ok(match kind {
            Kind::Nothing => Cow::Borrowed(b""),
            Kind::String => match json::text(value) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
            _ => {
                let mut out = Vec::new();
                self.push_any(kind, value, &mut out, 0)?;
                Cow::Owned(out)
            }
        })
    }

    fn push_any(
        self,
        kind: Kind,
        value: &'a str,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Fault> {
        match kind {
            Kind::Nothing => out.extend_from_slice(b"null"),
            Kind::String | Kind::Bytes => out.extend_from_slice(value.as_bytes()),
            Kind::Bool => match value {
                "true" | "false" => out.extend_from_slice(value.as_bytes()),
                _ => return Err(self.wrong("a truth value is neither true nor false", value)),
            },
            Kind::Int => {
                let number: i64 = self.number(value)?;
                out.extend_from_slice(number.to_string().as_bytes());
            }
            Kind::Double => {
                let text = json::text(value);
                match text.parse().ok().and_then(serde_json::Number::from_f64) {
                    Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
                    None if matches!(&*text, "NaN" | "Infinity" | "-Infinity") => {
                        push_string(out, &text);
                    }
                    None => return Err(self.wrong("a number is none", value)),
                }
            }
            Kind::Array | Kind::KeyValueList => {
                if depth == MAX_DEPTH {
                    let what = "a value is nested deeper than 32";
                    return Err(Fault::new(what, self.offset(value), InvalidReason::TooDeep));
                }
                let is_array = kind == Kind::Array;
                out.push(if is_array { b'[' } else { b'{' });
                let members = self.object(value)?;
                for (index, element) in self.elements(&members, "values", "values").enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    let mut element = element?;
                    if !is_array {
                        let (key, inner) = self.key_value(element)?;
                        push_string(out, &key);
                        out.push(b':');
                        element = inner;
                    }
                    let (kind, inner) = self.any(element)?;
                    self.push_any(kind, inner, out, depth + 1)?;
                }
                out.push(if is_array { b']' } else { b'}' });
            }
        }
        Ok(())
    }

    /// A number, also as a string; 0 for `null` and an empty string.
    fn number<T: std::str::FromStr + Default>(self, value: &str) -> Result<T, Fault> {
        let text = json::text(value);
        if text.is_empty() {
            return Ok(T::default());
        }
        let wrong = self.wrong("a number is none, or out of its range", value);
        text.parse().map_err(|_| wrong)
    }

    /// The number, or the name of it as protobuf has it: `SEVERITY_NUMBER_WARN2`.
    fn severity_number(self, value: &str) -> Result<i64, Fault> {
        let text = json::text(value);
        let Some(name) = text.strip_prefix("SEVERITY_NUMBER_") else {
            return self.number(value);
        };
        let word = name.trim_end_matches(|last: char| last.is_ascii_digit());
        let step = match name.get(word.len()..) {
            Some("2") => 1,
            Some("3") => 2,
            Some("4") => 3,
            _ => 0,
        };
        Ok(step
            + match word {
                "TRACE" => 1,
                "DEBUG" => 5,
                "INFO" => 9,
                "WARN" => 13,
                "ERROR" => 17,
                "FATAL" => 21,
                _ => return Ok(0),
            })
    }
}

/// Of which kind an `AnyValue` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    String,
    Bool,
    Int,
    Double,
    Array,
    KeyValueList,
    Bytes,
}

fn find<'a>(members: &[Member<'a>], camel: &str, snake: &str) -> Option<&'a str> {
    let found = members
        .iter()
        .find(|(name, _)| name == camel || name == snake);
    found
        .map(|(_, value)| *value)
        .filter(|value| *value != "null")
}

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        text
    }
}
