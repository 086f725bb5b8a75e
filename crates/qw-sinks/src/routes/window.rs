//! The newest records, in memory, as they were committed.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use qw_event::{EventId, StoredEvent};
use tokio::sync::watch;

/// Memory that the window may hold, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// The newest committed batches without a gap between them.
#[derive(Debug)]
pub(crate) struct Window {
    content: Mutex<Content>,
    head: watch::Sender<EventId>,
}

#[derive(Debug)]
struct Content {
    batches: VecDeque<Entry>,
    bytes: usize,
    /// Everything after this number, up to the head, is here.
    after: EventId,
}

#[derive(Debug)]
struct Entry {
    records: Arc<[StoredEvent]>,
    last: EventId,
    bytes: usize,
}

/// What the window has for somebody.
#[derive(Debug)]
pub(crate) enum Newest {
    /// The batch with the records behind the position.
    Batch(Arc<[StoredEvent]>),
    /// There is nothing behind the position.
    Nothing,
    /// It is not here any more, or never was.
    Elsewhere,
}

impl Window {
    /// A window behind `head`, the newest record there is.
    pub(crate) fn new(head: EventId) -> Self {
        Self {
            content: Mutex::new(Content {
                batches: VecDeque::new(),
                bytes: 0,
                after: head,
            }),
            head: watch::Sender::new(head),
        }
    }

    /// Takes a batch that was committed; batches come in the order of their numbers.
    pub(crate) fn push(&self, records: &Arc<[StoredEvent]>) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return;
        };
        let last = last.id;
        let bytes = records.iter().map(|record| record.event.size_bytes()).sum();
        let mut content = self.content.lock();
        let head = content
            .batches
            .back()
            .map_or(content.after, |entry| entry.last);
        if first.id.0 != head.0 + 1 {
            // Something was committed that nobody told us of: it is in the store.
            content.batches.clear();
            content.bytes = 0;
            content.after = EventId(first.id.0.saturating_sub(1));
        }
        content.bytes += bytes;
        content.batches.push_back(Entry {
            records: Arc::clone(records),
            last,
            bytes,
        });
        while content.bytes > MAX_BYTES && content.batches.len() > 1 {
            content.pop();
        }
        drop(content);
        self.head.send_if_modified(|head| {
            let is_new = last > *head;
            *head = last.max(*head);
            is_new
        });
    }

    /// The oldest batch with a record after `position`.
    pub(crate) fn after(&self, position: EventId) -> Newest {
        let content = self.content.lock();
        if position < content.after {
            return Newest::Elsewhere;
        }
        let place = content
            .batches
            .partition_point(|entry| entry.last <= position);
        content.batches.get(place).map_or(Newest::Nothing, |entry| {
            Newest::Batch(Arc::clone(&entry.records))
        })
    }

    /// Forgets what nobody needs: `positions` are those of all who read. Those who read elsewhere do not
    /// count.
    pub(crate) fn release(&self, positions: impl Iterator<Item = EventId>) {
        let mut content = self.content.lock();
        let after = content.after;
        let Some(needed) = positions.filter(|position| *position >= after).min() else {
            return;
        };
        while content
            .batches
            .front()
            .is_some_and(|entry| entry.last <= needed)
        {
            content.pop();
        }
    }

    /// Tells of news.
    pub(crate) fn subscribe(&self) -> watch::Receiver<EventId> {
        self.head.subscribe()
    }
}

impl Content {
    fn pop(&mut self) {
        if let Some(entry) = self.batches.pop_front() {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.after = entry.last;
        }
    }
}
