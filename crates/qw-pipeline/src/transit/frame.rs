//! Records ⇄ frames of a file.
//!
//! A frame is 24 bytes of head (magic, length, CRC-32 of the payload, count, number of the first record;
//! little-endian) and a payload in postcard's wire format. What recurs from record to record stands once
//! in a frame.

use std::{borrow::Cow, sync::Arc};

use qw_event::{
    Category, ContainerRef, Event, EventId, Priority, RecordKind, StoredEvent, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const MAGIC: [u8; 4] = *b"QWT1";

/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 24;

/// Longest payload, in bytes; what says more is damaged.
const MAX_PAYLOAD: u32 = 512 << 20;

/// How many of the newest origins are compared with a record's own.
const REMEMBERED: usize = 16;

/// What a frame's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) length: u32,
    /// CRC-32 of the payload.
    pub(super) checksum: u32,
    /// Records in it.
    pub(super) count: u32,
    /// Number of the first one.
    pub(super) first: EventId,
}

impl Head {
    /// The head at the beginning of `bytes`; `None` when that is none.
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let first = rest.first_chunk()?;
        let head = Self {
            length: u32::from_le_bytes(*length),
            checksum: u32::from_le_bytes(*checksum),
            count: u32::from_le_bytes(*count),
            first: EventId(u64::from_le_bytes(*first)),
        };
        let is_possible = head.length <= MAX_PAYLOAD && head.count > 0 && head.count <= head.length;
        is_possible.then_some(head)
    }

    /// Number of the last record.
    pub(super) fn last(&self) -> EventId {
        EventId(self.first.0.saturating_add(u64::from(self.count) - 1))
    }

    fn write(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let parts = MAGIC
            .into_iter()
            .chain(self.length.to_le_bytes())
            .chain(self.checksum.to_le_bytes())
            .chain(self.count.to_le_bytes())
            .chain(self.first.0.to_le_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }
}

/// What many records of a frame share.
#[derive(Serialize, Deserialize)]
struct Origin<'a> {
    kind: RecordKind,
    priority: Priority,
    category: Category,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    rule: Cow<'a, str>,
    #[serde(borrow)]
    hostname: Cow<'a, str>,
    #[serde(borrow)]
    process_name: Cow<'a, str>,
    tags: Cow<'a, [Arc<str>]>,
    container: Cow<'a, ContainerRef>,
}

/// One record beside what it shares.
#[derive(Serialize, Deserialize)]
struct Own<'a> {
    origin: u32,
    time: i64,
    output: &'a str,
    output_fields: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    origins: Vec<Origin<'a>>,
    #[serde(borrow)]
    records: Vec<Own<'a>>,
}

/// Adds a frame of `events` to `buffer`; the first one has the number `first`. No frame for no events.
pub(super) fn encode(events: &[Event], first: EventId, buffer: &mut Vec<u8>) {
    if events.is_empty() {
        return;
    }
    let mut origins: Vec<&Event> = Vec::new();
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        let newest = origins.len().saturating_sub(REMEMBERED);
        let same = origins
            .iter()
            .skip(newest)
            .rposition(|other| is_same(other, event));
        let origin = same.map_or(origins.len(), |place| newest + place);
        if same.is_none() {
            origins.push(event);
        }
        records.push(Own {
            origin: u32::try_from(origin).unwrap_or(u32::MAX),
            time: event.time.as_nanos(),
            output: &event.output,
            output_fields: event.output_fields.get(),
        });
    }
    let origins = origins.into_iter().map(origin).collect();
    let start = buffer.len();
    buffer.extend([0; HEAD_BYTES]);
    let payload = Payload { origins, records };
    let whole = std::mem::take(buffer);
    // Memory and texts cannot refuse to be written.
    *buffer = postcard::to_extend(&payload, whole).unwrap_or_default();
    let payload = buffer.get(start + HEAD_BYTES..).unwrap_or_default();
    let head = Head {
        length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        checksum: crc32fast::hash(payload),
        count: u32::try_from(events.len()).unwrap_or(u32::MAX),
        first,
    };
    if let Some(place) = buffer.get_mut(start..start + HEAD_BYTES) {
        place.copy_from_slice(&head.write());
    }
}

/// True when both share everything that an [`Origin`] says. Texts that recur are shared in memory.
fn is_same(first: &Event, second: &Event) -> bool {
    Arc::ptr_eq(&first.container, &second.container)
        && Arc::ptr_eq(&first.source, &second.source)
        && first.rule == second.rule
        && first.priority == second.priority
        && first.kind == second.kind
        && first.category == second.category
        && first.hostname == second.hostname
        && first.process_name == second.process_name
        && first.tags == second.tags
}

fn origin(event: &Event) -> Origin<'_> {
    Origin {
        kind: event.kind,
        priority: event.priority,
        category: event.category,
        source: Cow::Borrowed(&event.source),
        rule: Cow::Borrowed(&event.rule),
        hostname: Cow::Borrowed(&event.hostname),
        process_name: Cow::Borrowed(&event.process_name),
        tags: Cow::Borrowed(&event.tags),
        container: Cow::Borrowed(&event.container),
    }
}

/// The records of a frame.
///
/// # Errors
/// What is wrong with the payload.
pub(super) fn decode(head: &Head, payload: &[u8]) -> Result<Vec<StoredEvent>, &'static str> {
    if crc32fast::hash(payload) != head.checksum {
        return Err("its checksum does not match");
    }
    let payload: Payload<'_> =
        postcard::from_bytes(payload).map_err(|_| "its records cannot be read")?;
    if payload.records.len() != head.count as usize {
        return Err("it holds another number of records than it says");
    }
    let no_fields = RawValue::from_string(String::from("{}")).unwrap_or_default();
    let origins: Vec<Event> = payload.origins.into_iter().map(template).collect();
    let mut records = Vec::with_capacity(payload.records.len());
    for (own, number) in payload.records.into_iter().zip(head.first.0..) {
        let origin = origins
            .get(own.origin as usize)
            .ok_or("a record has no origin")?;
        let output_fields = match own.output_fields {
            "{}" => no_fields.clone(),
            fields => RawValue::from_string(fields.to_owned())
                .map_err(|_| "the fields of a record are no JSON")?,
        };
        records.push(StoredEvent {
            id: EventId(number),
            event: Event {
                time: Timestamp::from_nanos(own.time),
                output: own.output.into(),
                output_fields,
                ..origin.clone()
            },
        });
    }
    Ok(records)
}

/// A record with everything that `origin` says and nothing else.
fn template(origin: Origin<'_>) -> Event {
    Event {
        kind: origin.kind,
        time: Timestamp::EPOCH,
        source: origin.source.into(),
        rule: origin.rule.into(),
        priority: origin.priority,
        category: origin.category,
        hostname: origin.hostname.into(),
        container: Arc::new(origin.container.into_owned()),
        process_name: origin.process_name.into(),
        tags: origin.tags.into_owned().into(),
        output: "".into(),
        output_fields: RawValue::NULL.to_owned(),
    }
}
