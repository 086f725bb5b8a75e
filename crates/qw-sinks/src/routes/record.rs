//! Records on their way to one destination.

use std::{collections::HashMap, sync::Arc};

use qw_event::{ContainerRef, Event, EventId, Priority, RecordKind, StoredEvent};
use qw_log::Severity;
use qw_wire::Outgoing;

/// Memory that a batch may hold while it waits for more records, in bytes.
const MAX_HELD: usize = 64 << 20;

/// Records that are sent together, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    sources: Vec<Arc<[StoredEvent]>>,
    items: Vec<Item>,
    bytes: usize,
    /// Bytes of all records of `sources`, taken or not.
    held: usize,
}

/// One record, and what the route has made of it.
#[derive(Debug)]
pub(crate) struct Item {
    /// Place in `sources`, and within that.
    pub(crate) place: (u32, u32),
    /// Docker's tag; empty when there is none.
    pub(crate) tag: Arc<str>,
    /// Text in place of the record's own.
    pub(crate) text: Option<Box<str>>,
    /// Fields in place of the record's own: a JSON object.
    pub(crate) fields: Option<Box<str>>,
}

impl Batch {
    /// Keeps `records`, of which items are taken; returns its place.
    pub(crate) fn add_source(&mut self, records: &Arc<[StoredEvent]>) -> u32 {
        let is_last = |last: &Arc<[StoredEvent]>| Arc::ptr_eq(last, records);
        if !self.sources.last().is_some_and(is_last) {
            let sizes = records.iter().map(|record| record.event.size_bytes());
            self.held += sizes.sum::<usize>();
            self.sources.push(Arc::clone(records));
        }
        u32::try_from(self.sources.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Adds an item of about `bytes` bytes.
    pub(crate) fn push(&mut self, item: Item, bytes: usize) {
        self.items.push(item);
        self.bytes += bytes;
    }

    /// Number of its records.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes of text and fields, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when it keeps so much in memory that it has to go out, however few of it are for the route.
    pub(crate) fn is_heavy(&self) -> bool {
        self.held >= MAX_HELD
    }

    fn event(&self, item: &Item) -> Option<&StoredEvent> {
        let (source, place) = item.place;
        self.sources.get(source as usize)?.get(place as usize)
    }

    /// The number of its record at `index`.
    pub(crate) fn id(&self, index: u32) -> Option<EventId> {
        self.record(index).map(|record| record.id)
    }

    /// Its record at `index`, as it was before the route.
    pub(crate) fn record(&self, index: u32) -> Option<&StoredEvent> {
        self.event(self.items.get(index as usize)?)
    }
}

/// Some of the records of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    batch: &'a Batch,
    indices: &'a [u32],
}

/// One record of a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// As the encoders take it.
    pub(crate) outgoing: Outgoing<'a>,
    /// Its container, for caches.
    pub(crate) container: &'a Arc<ContainerRef>,
    /// Its tag, for groups.
    pub(crate) tag: &'a Arc<str>,
}

impl<'a> Part<'a> {
    /// The records of `batch` at `indices`.
    pub(crate) fn new(batch: &'a Batch, indices: &'a [u32]) -> Self {
        Self { batch, indices }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// Bytes of text and fields of the whole batch, roughly: what a buffer may need.
    pub(crate) fn bytes(&self) -> usize {
        self.batch.bytes
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let batch = self.batch;
        self.indices.iter().filter_map(move |index| {
            let item = batch.items.get(*index as usize)?;
            let stored = batch.event(item)?;
            Some(record(stored, item))
        })
    }

    /// The records as the encoders take them.
    pub(crate) fn outgoing(&self) -> Vec<Outgoing<'a>> {
        self.records().map(|record| record.outgoing).collect()
    }
}

fn record<'a>(stored: &'a StoredEvent, item: &'a Item) -> Record<'a> {
    let event = &stored.event;
    let fields = item.fields.as_deref();
    let fields = fields.unwrap_or_else(|| event.output_fields.get());
    Record {
        outgoing: Outgoing {
            time: event.time,
            severity: severity(event),
            priority: event.priority,
            stream: match event.kind {
                RecordKind::Log => &event.source,
                RecordKind::Event => "",
            },
            hostname: &event.hostname,
            tag: &item.tag,
            container: &event.container,
            text: item.text.as_deref().unwrap_or(&event.output),
            fields: if fields == "{}" { "" } else { fields },
            id: stored.id.0,
        },
        container: &event.container,
        tag: &item.tag,
    }
}

/// How grave a record says it is; `None` for a line that does not say.
fn severity(event: &Event) -> Option<Severity> {
    match (event.kind, &*event.rule) {
        (RecordKind::Log, "") => None,
        (RecordKind::Log, "TRACE") => Some(Severity::Trace),
        _ => Some(of_priority(event.priority)),
    }
}

/// The severity of a priority.
pub(crate) const fn of_priority(priority: Priority) -> Severity {
    match priority {
        Priority::Emergency => Severity::Emergency,
        Priority::Alert => Severity::Alert,
        Priority::Critical => Severity::Critical,
        Priority::Error => Severity::Error,
        Priority::Warning => Severity::Warn,
        Priority::Notice => Severity::Notice,
        Priority::Informational => Severity::Info,
        Priority::Debug => Severity::Debug,
    }
}

/// Most containers that a cache knows.
const MAX_CACHED: usize = 1024;

/// What was made of a container, so that it need not be made for each of its records.
#[derive(Debug)]
pub(crate) struct PerContainer<T> {
    /// By address; the container is held, so that no other can have it.
    known: HashMap<usize, (Arc<ContainerRef>, T)>,
}

impl<T> PerContainer<T> {
    pub(crate) fn new() -> Self {
        Self {
            known: HashMap::new(),
        }
    }

    /// What belongs to `container`; made by `make` when it is not known.
    pub(crate) fn get(&mut self, container: &Arc<ContainerRef>, make: impl FnOnce() -> T) -> &T {
        let address = Arc::as_ptr(container).addr();
        if self.known.len() >= MAX_CACHED && !self.known.contains_key(&address) {
            self.known.clear();
        }
        let (_, made) = self
            .known
            .entry(address)
            .or_insert_with(|| (Arc::clone(container), make()));
        made
    }
}
