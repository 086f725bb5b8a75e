//! Logs of the OpenTelemetry protocol, as protobuf and as JSON.
//!
//! Sources: opentelemetry-proto, `collector/logs/v1/logs_service.proto` and `docs/specification.md`;
//! OpenTelemetry, "Logs Data Model".
//!
//! Attributes that name the container, the host or the stream go where [`Received`] has a place for
//! them; all others become fields under their own names, those of the line before those of the
//! resource. A name may come twice then: the first is nearer to the line.

pub(crate) mod attributes;
mod encode;
pub mod grpc;
mod message;
pub(crate) mod protobuf;
mod read_json;
mod read_protobuf;

use std::borrow::Cow;

use qw_event::Timestamp;
use qw_log::Severity;

use crate::Received;
use attributes::{Value, put_field, severity_of};

pub use crate::outgoing::fault::Fault;
pub use encode::{
    answer_json, answer_protobuf, encode_json, encode_protobuf, status_json, status_protobuf,
};

/// Most attributes of a line or of a resource.
const MAX_ATTRIBUTES: usize = 4096;
/// Values are nested at most this deep.
const MAX_DEPTH: usize = 32;

/// Reads an `ExportLogsServiceRequest` of protobuf and calls `each` with every line, in order.
///
/// Returns their number.
///
/// # Errors
/// When `body` is no such message; `each` was called for the lines before the fault then.
pub fn parse_protobuf(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    read_protobuf::parse(body, each)
}

/// Reads an `ExportLogsServiceRequest` of JSON and calls `each` with every line, in order.
///
/// Names are taken in `lowerCamelCase` and `snake_case`, numbers also as strings, ids as hexadecimal
/// digits. Returns the number of lines.
///
/// # Errors
/// When `body` is no such JSON; `each` was called for the lines before the fault then.
pub fn parse_json(body: &[u8], each: &mut dyn FnMut(Received<'_>)) -> Result<usize, Fault> {
    read_json::parse(body, each)
}

/// What a `LogRecord` says beside its attributes.
#[derive(Default)]
struct Record<'a> {
    time: u64,
    observed_time: u64,
    severity_number: i64,
    severity_text: Cow<'a, str>,
    text: Cow<'a, [u8]>,
    trace_id: Cow<'a, str>,
    span_id: Cow<'a, str>,
    event_name: Cow<'a, str>,
    flags: u32,
    dropped_attributes: u32,
}

impl<'a> Record<'a> {
    /// Adds it to a line, of which the attributes are known already.
    fn put(self, received: &mut Received<'a>) {
        let time = match self.time {
            0 => self.observed_time,
            time => time,
        };
        received.time = i64::try_from(time)
            .ok()
            .filter(|nanos| *nanos != 0)
            .map(Timestamp::from_nanos);
        received.text = self.text;
        let stated = severity_of_number(self.severity_number);
        let in_words = severity_of(&Value::Text(Cow::Borrowed(&self.severity_text)));
        received.severity = stated.or(in_words).or(received.severity);
        // A word of the sender's own is told, too.
        if in_words.is_none() || in_words != received.severity {
            put_text(received, "severity_text", self.severity_text);
        }
        put_text(received, "trace_id", self.trace_id);
        put_text(received, "span_id", self.span_id);
        put_text(received, "event.name", self.event_name);
        put_number(received, "trace_flags", self.flags);
        put_number(
            received,
            "otel.dropped_attributes_count",
            self.dropped_attributes,
        );
    }
}

fn put_text<'a>(received: &mut Received<'a>, name: &'static str, text: Cow<'a, str>) {
    if !text.is_empty() {
        put_field(received, name, Value::Text(text));
    }
}

fn put_number(received: &mut Received<'_>, name: &'static str, number: u32) {
    if number != 0 {
        put_field(received, name, Value::Json(number.to_string().into()));
    }
}

/// The severity of OpenTelemetry's number: of each four only the step counts.
const fn severity_of_number(number: i64) -> Option<Severity> {
    Some(match number {
        1..=4 => Severity::Trace,
        5..=8 => Severity::Debug,
        9..=12 => Severity::Info,
        13..=16 => Severity::Warn,
        17..=20 => Severity::Error,
        21..=24 => Severity::Critical,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
