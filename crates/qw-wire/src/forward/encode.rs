//! Records → messages, and acknowledgements.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use qw_event::Timestamp;
use rmp::encode;
use serde_json::Value as Json;

use super::{
    Fault,
    reader::{Reader, Value},
    record::{self, SEVERITIES},
};
use crate::Received;

/// A message in the mode PackedForward, or CompressedPackedForward with gzip.
///
/// With `chunk_id` the receiver is asked to acknowledge it. `size` says how many entries there are.
pub fn encode_packed<'r>(
    tag: &str,
    entries: impl IntoIterator<Item = &'r Received<'r>>,
    chunk_id: Option<&str>,
    compressed: bool,
) -> Vec<u8> {
    let (mut packed, mut count) = (Vec::new(), 0);
    for entry in entries {
        write_entry(entry, &mut packed);
        count += 1;
    }
    if compressed {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory cannot fail.
        if encoder.write_all(&packed).is_ok()
            && let Ok(smaller) = encoder.finish()
        {
            packed = smaller;
        }
    }
    let mut out = Vec::with_capacity(packed.len() + tag.len() + 96);
    sure(encode::write_array_len(&mut out, 3));
    text(tag, &mut out);
    sure(encode::write_bin(&mut out, &packed));
    let options = 1 + u32::from(chunk_id.is_some()) + u32::from(compressed);
    sure(encode::write_map_len(&mut out, options));
    text("size", &mut out);
    sure(encode::write_uint(&mut out, count));
    if let Some(chunk_id) = chunk_id {
        text("chunk", &mut out);
        text(chunk_id, &mut out);
    }
    if compressed {
        text("compressed", &mut out);
        text("gzip", &mut out);
    }
    out
}

/// Appends one entry, `[time, record]`, to `out`.
///
/// Names are those of Docker's driver and of Fluent Bit's Kubernetes filter, and `hostname`, `process_id`,
/// `severity` (`trace` to `emergency`), `container_image` and `container_image_id` for what they do not
/// know; a field of such a name gets a `_` in front. The tag belongs to the message. A text that is no UTF-8 is written as binary.
pub fn write_entry(record: &Received<'_>, out: &mut Vec<u8>) {
    sure(encode::write_array_len(out, 2));
    time(record.time, out);
    let said = &record.container;
    let name = if said.name.is_empty() {
        String::new()
    } else {
        format!("/{}", said.name)
    };
    let severity = record.severity.and_then(|severity| {
        let known = SEVERITIES.iter().find(|(_, known)| *known == severity);
        known.map(|(word, _)| *word)
    });
    let (ordinal, is_last) = match &record.piece {
        Some(piece) => (piece.ordinal.to_string(), piece.is_last),
        None => (String::new(), false),
    };
    let partial = record.piece.as_ref();
    let texts = [
        ("container_id", &*said.id),
        ("container_name", &name),
        ("container_image", &said.image),
        ("container_image_id", &said.image_id),
        ("source", record.stream.map_or("", |stream| stream.as_str())),
        ("hostname", &record.hostname),
        ("process_id", &record.process_id),
        ("severity", severity.unwrap_or_default()),
        ("partial_message", partial.map_or("", |_| "true")),
        ("partial_id", partial.map_or("", |piece| &piece.id)),
        ("partial_ordinal", &ordinal),
        (
            "partial_last",
            partial.map_or("", |_| if is_last { "true" } else { "false" }),
        ),
    ];
    let pod = [
        ("namespace_name", &*said.k8s_namespace),
        ("pod_name", &said.k8s_pod),
    ];
    let in_pod = pod.iter().filter(|(_, value)| !value.is_empty()).count();
    let filled = texts.iter().filter(|(_, value)| !value.is_empty()).count();
    let pairs = 1 + filled + usize::from(in_pod > 0) + record.fields.len();
    sure(encode::write_map_len(out, bounded(pairs)));
    for (name, value) in texts {
        if !value.is_empty() {
            text(name, out);
            text(value, out);
        }
    }
    text("log", out);
    match std::str::from_utf8(&record.text) {
        Ok(line) => text(line, out),
        Err(_) => sure(encode::write_bin(out, &record.text)),
    }
    if in_pod > 0 {
        text("kubernetes", out);
        sure(encode::write_map_len(out, bounded(in_pod)));
        for (name, value) in pod {
            if !value.is_empty() {
                text(name, out);
                text(value, out);
            }
        }
    }
    for (name, value) in &record.fields {
        // A field must not pass for what is said above.
        if record::is_known(name.as_bytes()) || matches!(&**name, "log" | "kubernetes") {
            text(&format!("_{name}"), out);
        } else {
            text(name, out);
        }
        match serde_json::from_str(value) {
            Ok(value) => json(&value, out),
            Err(_) => text(value, out),
        }
    }
}

/// The acknowledgement of a message with `chunk`, `{"ack": chunk}`.
pub fn ack(chunk: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(chunk.len() + 8);
    sure(encode::write_map_len(&mut out, 1));
    text("ack", &mut out);
    match std::str::from_utf8(chunk) {
        Ok(chunk) => text(chunk, &mut out),
        Err(_) => sure(encode::write_bin(&mut out, chunk)),
    }
    out
}

/// The chunk that an acknowledgement names; `bytes` come from [`super::Decoder::next_value`].
///
/// # Errors
/// When it is no acknowledgement.
pub fn decode_ack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Fault> {
    let mut reader = Reader::new(bytes, 0, "message", 8);
    let Value::Map(pairs) = reader.value()? else {
        return Err(reader.no_at("acknowledgement, which is a map,", 0));
    };
    for _ in 0..pairs {
        let name = reader.text()?;
        if name == Some(b"ack")
            && let Some(chunk) = reader.text()?
        {
            return Ok(Cow::Borrowed(chunk));
        }
        if name.is_none() {
            reader.skip()?;
        }
        reader.skip()?;
    }
    Err(reader.no("`ack`"))
}

/// `EventTime` where it reaches, from 1970 to 2106; whole seconds elsewhere, 0 for none.
fn time(time: Option<Timestamp>, out: &mut Vec<u8>) {
    let nanos = time.map_or(0, Timestamp::as_nanos);
    let seconds = nanos.div_euclid(1_000_000_000);
    match u32::try_from(seconds) {
        Ok(seconds) if nanos != 0 => {
            sure(encode::write_ext_meta(out, 8, 0));
            out.extend_from_slice(&seconds.to_be_bytes());
            let fraction = nanos.rem_euclid(1_000_000_000) as u32;
            out.extend_from_slice(&fraction.to_be_bytes());
        }
        _ => sure(encode::write_sint(out, seconds)),
    }
}

/// JSON as MessagePack; `serde_json` bounds its depth.
fn json(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => sure(encode::write_nil(out)),
        Json::Bool(value) => sure(encode::write_bool(out, *value)),
        Json::String(value) => text(value, out),
        Json::Number(value) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
            (Some(value), _, _) => sure(encode::write_uint(out, value)),
            (_, Some(value), _) => sure(encode::write_sint(out, value)),
            (_, _, Some(value)) => sure(encode::write_f64(out, value)),
            _ => sure(encode::write_nil(out)),
        },
        Json::Array(values) => {
            sure(encode::write_array_len(out, bounded(values.len())));
            for value in values {
                json(value, out);
            }
        }
        Json::Object(members) => {
            sure(encode::write_map_len(out, bounded(members.len())));
            for (name, value) in members {
                text(name, out);
                json(value, out);
            }
        }
    }
}

pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    sure(encode::write_str(out, text));
}

/// Nothing that is held in memory here has more members.
fn bounded(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Writing to memory cannot fail.
pub(super) fn sure<T, E>(written: Result<T, E>) {
    debug_assert!(written.is_ok(), "memory takes what is written");
}
