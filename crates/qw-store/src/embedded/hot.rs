//! The hot tail: the newest events, in memory for queries and as one blob per append in SQLite.
//!
//! A blob is a version byte and then zstd: JSON, the array of the events in order of their numbers,
//! which follow one another.

use std::{sync::Arc, time::Duration};

use qw_event::{Event, EventId, RecordKind, StoredEvent, Timestamp};
use serde::ser::{SerializeSeq, Serializer};

const VERSION: u8 = 1;
/// An event whose time lies more than this after it was received ages from when it was received.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// A blob never unpacks to more than this; an append that would is refused.
pub(super) const MAX_PLAIN_BYTES: usize = 1 << 30;

/// Records of one batch and one kind.
#[derive(Debug)]
pub(super) struct HotChunk {
    pub(super) kind: RecordKind,
    /// In order of arrival; never empty.
    pub(super) events: Arc<[StoredEvent]>,
    /// Earliest time, nanoseconds.
    pub(super) min_time: i64,
    /// Latest time, nanoseconds.
    pub(super) max_time: i64,
    /// The time that retention goes by, nanoseconds: that of the latest event, where an event from
    /// far in the future, which would stay for ever, counts as of when it was received.
    pub(super) age_time: i64,
    /// Approximate memory, bytes.
    pub(super) bytes: usize,
}

impl HotChunk {
    /// The chunk of `events`; `None` when there are none.
    pub(super) fn new(events: Arc<[StoredEvent]>, age_time: i64) -> Option<Arc<Self>> {
        let (min_time, max_time) = time_bounds(&events)?;
        let kind = events.first()?.event.kind;
        let bytes = events.iter().map(|stored| stored.event.size_bytes()).sum();
        Some(Arc::new(Self {
            kind,
            events,
            min_time,
            max_time,
            age_time,
            bytes,
        }))
    }

    /// Number of the first event.
    pub(super) fn first_id(&self) -> u64 {
        self.events.first().map_or(0, |stored| stored.id.0)
    }

    /// Number of the last event.
    pub(super) fn last_id(&self) -> u64 {
        self.events.last().map_or(0, |stored| stored.id.0)
    }
}

/// The [`HotChunk::age_time`] of events that were received at `received`.
pub(super) fn age_time(events: &[StoredEvent], received: Timestamp) -> i64 {
    let latest = received.saturating_add(MAX_AHEAD);
    events
        .iter()
        .map(|stored| match stored.event.time {
            time if time > latest => received.as_nanos(),
            time => time.as_nanos(),
        })
        .max()
        .unwrap_or(i64::MIN)
}

/// Earliest and latest time in nanoseconds.
pub(super) fn time_bounds(events: &[StoredEvent]) -> Option<(i64, i64)> {
    let times = events.iter().map(|stored| stored.event.time.as_nanos());
    Some((times.clone().min()?, times.max()?))
}

/// Packs events whose numbers follow one another.
pub(super) fn encode<'a>(
    events: impl Iterator<Item = &'a StoredEvent>,
) -> std::io::Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut sequence = serializer.serialize_seq(None)?;
    for stored in events {
        sequence.serialize_element(&stored.event)?;
    }
    sequence.end()?;
    if json.len() > MAX_PLAIN_BYTES {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let mut blob = vec![VERSION];
    zstd::stream::copy_encode(json.as_slice(), &mut blob, 1)?;
    Ok(blob)
}

/// Unpacks events; the first has the number `first_id`.
pub(super) fn decode(blob: &[u8], first_id: u64) -> std::io::Result<Vec<StoredEvent>> {
    use std::io::{Error, ErrorKind::InvalidData, Read};
    let Some((&VERSION, packed)) = blob.split_first() else {
        return Err(Error::new(InvalidData, "hot batch of an unknown version"));
    };
    let mut json = Vec::new();
    let limit = MAX_PLAIN_BYTES as u64 + 1;
    zstd::stream::Decoder::new(packed)?
        .take(limit)
        .read_to_end(&mut json)?;
    let events: Vec<Event> = serde_json::from_slice(&json)?;
    Ok(events
        .into_iter()
        .zip(first_id..)
        .map(|(event, id)| StoredEvent {
            id: EventId(id),
            event,
        })
        .collect())
}
