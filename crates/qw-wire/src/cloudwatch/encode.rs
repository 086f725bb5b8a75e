//! Records → requests.

use super::{EVENT_OVERHEAD, MAX_BYTES, MAX_EVENTS, MAX_SPAN_MILLIS};
use crate::{
    Outgoing,
    outgoing::json::{ObjectWriter, push_string},
};

/// Most bytes of one message, as Docker's driver splits them: 256 KiB less what each event counts.
const MAX_MESSAGE: usize = (256 << 10) - EVENT_OVERHEAD;

/// The body of `CreateLogGroup`.
pub fn encode_create_log_group(group: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut request = ObjectWriter::begin(&mut out);
    request.text("logGroupName", group);
    request.end();
    out
}

/// The body of `CreateLogStream`.
pub fn encode_create_log_stream(group: &str, stream: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut request = ObjectWriter::begin(&mut out);
    request
        .text("logGroupName", group)
        .text("logStreamName", stream);
    request.end();
    out
}

/// A request that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedEvents {
    /// Its body.
    pub body: Vec<u8>,
    /// How many records are in it.
    pub taken: usize,
    /// Of each event, in order, the place of its record: what an answer counts by.
    pub order: Vec<usize>,
}

/// The body of `PutLogEvents` with as many of `records` as one request may hold, and their number; the
/// caller sends the others with the next.
///
/// Events are sorted by time, which AWS wants; those of one millisecond stay in their order. Messages
/// beyond 256 KiB are split, an empty line becomes a space, because AWS takes no empty message. A record
/// is taken as a whole or not at all, and the first always is: one of more than 1 MiB goes as far as a
/// request can hold.
pub fn encode_put_log_events(group: &str, stream: &str, records: &[Outgoing<'_>]) -> EncodedEvents {
    let mut events: Vec<(i64, usize, &str)> = Vec::new();
    let (mut bytes, mut taken) = (0, 0);
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    'records: for (place, record) in records.iter().enumerate() {
        let time = record.time.as_millis().max(0);
        let (first, last) = (earliest.min(time), latest.max(time));
        if taken > 0 && last.saturating_sub(first) > MAX_SPAN_MILLIS {
            break;
        }
        let before = (events.len(), bytes);
        for piece in pieces(record.text) {
            let more = piece.len() + EVENT_OVERHEAD;
            if events.len() == MAX_EVENTS || bytes + more > MAX_BYTES {
                if taken > 0 {
                    events.truncate(before.0);
                    break 'records;
                }
                break;
            }
            bytes += more;
            events.push((time, place, piece));
        }
        (earliest, latest) = (first, last);
        taken += 1;
    }
    events.sort_by_key(|(time, _, _)| *time);
    let order = events.iter().map(|(_, place, _)| *place).collect();

    let mut out = Vec::with_capacity(bytes + 64);
    let mut request = ObjectWriter::begin(&mut out);
    request
        .text("logGroupName", group)
        .text("logStreamName", stream);
    let list = request.name("logEvents");
    for (index, (time, _, message)) in events.into_iter().enumerate() {
        list.extend_from_slice(if index > 0 { b"," } else { b"[" });
        list.extend_from_slice(format!("{{\"timestamp\":{time},\"message\":").as_bytes());
        push_string(list, message);
        list.push(b'}');
    }
    list.extend_from_slice(if taken > 0 { b"]" } else { b"[]" });
    request.end();
    EncodedEvents {
        body: out,
        taken,
        order,
    }
}

/// A text in pieces that fit an event.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = if text.is_empty() { " " } else { text };
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at_checked(rest.floor_char_boundary(MAX_MESSAGE))?;
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}
