//! A record → the JSON of one message, and a message → datagrams.

use std::borrow::Cow;

use qw_log::{Severity, Stream};

use super::{CHUNK_HEADER, CHUNK_MAGIC, Fault, MAX_CHUNKS};
use crate::Received;

/// Appends a record as the JSON of a GELF 1.1 message to `out`; the NUL of a stream is the caller's.
///
/// The fields are those of Docker's driver, and OpenTelemetry's names for what it does not know. The level
/// is that of the record, else Docker's of its stream: 3 for standard error, 6 otherwise. Bytes of the
/// text that are no UTF-8 become U+FFFD; an empty text is written, though Graylog refuses it. Fields that
/// are neither text nor number become their JSON as a text: GELF knows no others.
///
/// Source: GELF 1.1, "GELF Payload Specification".
pub fn encode(record: &Received<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"version\":\"1.1\",\"host\":");
    let host = &*record.hostname;
    text(if host.is_empty() { "-" } else { host }, out);
    out.extend_from_slice(b",\"short_message\":");
    text(&String::from_utf8_lossy(&record.text), out);
    if let Some(time) = record.time {
        out.extend_from_slice(b",\"timestamp\":");
        let nanos = i128::from(time.as_nanos());
        let sign = if nanos < 0 { "-" } else { "" };
        let nanos = nanos.unsigned_abs();
        let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        out.extend_from_slice(format!("{sign}{seconds}").as_bytes());
        if fraction > 0 {
            let fraction = format!(".{fraction:09}");
            out.extend_from_slice(fraction.trim_end_matches('0').as_bytes());
        }
    }
    let of_stream = match record.stream {
        Some(Stream::Stderr) => Severity::Error,
        _ => Severity::Info,
    };
    let severity = record.severity.unwrap_or(of_stream);
    out.extend_from_slice(b",\"level\":");
    out.push(b'0' + level(severity));
    let said = &record.container;
    // The level of a container's record tells its stream, as Docker's driver uses it.
    let tells_stream = severity == of_stream && !said.id.is_empty();
    let stream = record.stream.filter(|_| !tells_stream);
    for (name, value) in [
        ("_container_id", &*said.id),
        ("_container_name", &said.name),
        ("_image_id", &said.image_id),
        ("_image_name", &said.image),
        ("_k8s.namespace.name", &said.k8s_namespace),
        ("_k8s.pod.name", &said.k8s_pod),
        ("_tag", &record.tag),
        ("_process.pid", &record.process_id),
        ("_log.iostream", stream.map_or("", Stream::as_str)),
    ] {
        if !value.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            text(value, out);
        }
    }
    for (name, value) in &record.fields {
        out.extend_from_slice(b",\"");
        field_name(name, out);
        out.extend_from_slice(b"\":");
        match value.as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') => out.extend_from_slice(value.as_bytes()),
            _ => text(value, out),
        }
    }
    out.push(b'}');
}

/// The name of a field: `_`, and letters, digits, `_`, `.` and `-`. A name that means something else to
/// readers gets another `_`.
fn field_name(name: &str, out: &mut Vec<u8>) {
    match name {
        "container.command_line" => return out.extend_from_slice(b"_command"),
        "container.created" => return out.extend_from_slice(b"_created"),
        _ => {}
    }
    let begin = out.len();
    out.push(b'_');
    out.extend(name.chars().map(|character| match character {
        character if character.is_ascii_alphanumeric() => character as u8,
        '.' | '-' => character as u8,
        _ => b'_',
    }));
    let written = out.get(begin..).unwrap_or_default();
    if KNOWN.iter().any(|known| known.as_bytes() == written) {
        out.insert(begin, b'_');
    }
}

/// Names that a field cannot have: GELF reserves the first, Docker's driver and we write the others.
const KNOWN: [&str; 12] = [
    "_id",
    "_container_id",
    "_container_name",
    "_image_id",
    "_image_name",
    "_k8s.namespace.name",
    "_k8s.pod.name",
    "_tag",
    "_process.pid",
    "_log.iostream",
    "_command",
    "_created",
];

fn text(text: &str, out: &mut Vec<u8>) {
    // Writing a text to memory cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"\"\"");
    }
}

/// Syslog's number of a severity.
const fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Emergency => 0,
        Severity::Alert => 1,
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Warn => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
        Severity::Debug | Severity::Trace => 7,
    }
}

/// Datagrams of at most `max_datagram_bytes` for a message, compressed or not, with `id` for its chunks.
///
/// A message that fits is one datagram without a header.
///
/// # Errors
/// When the message needs more than 128 chunks.
///
/// Source: GELF 1.1, "Chunking".
pub fn chunks(message: &[u8], id: [u8; 8], max_datagram_bytes: usize) -> Result<Chunks<'_>, Fault> {
    let part_bytes = max_datagram_bytes.saturating_sub(CHUNK_HEADER).max(1);
    let count = if message.len() <= max_datagram_bytes {
        1
    } else {
        message.len().div_ceil(part_bytes)
    };
    if count > MAX_CHUNKS {
        let max_bytes = part_bytes * MAX_CHUNKS;
        return Err(Fault::TooLong { max_bytes });
    }
    Ok(Chunks {
        message,
        id,
        part_bytes,
        count,
        next: 0,
    })
}

/// The datagrams of one message, in their order.
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    message: &'a [u8],
    id: [u8; 8],
    part_bytes: usize,
    count: usize,
    next: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        if number >= self.count {
            return None;
        }
        self.next += 1;
        if self.count == 1 {
            return Some(Cow::Borrowed(self.message));
        }
        let begin = number * self.part_bytes;
        let rest = self.message.get(begin..)?;
        let part = rest.get(..self.part_bytes).unwrap_or(rest);
        let mut datagram = Vec::with_capacity(CHUNK_HEADER + part.len());
        datagram.extend_from_slice(&CHUNK_MAGIC);
        datagram.extend_from_slice(&self.id);
        datagram.extend_from_slice(&[number as u8, self.count as u8]);
        datagram.extend_from_slice(part);
        Some(Cow::Owned(datagram))
    }
}
