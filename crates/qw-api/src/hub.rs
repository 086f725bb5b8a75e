//! What was committed lately, shared by everyone who watches live.
//!
//! The pipeline adds batches and never waits. A bounded ring keeps the newest; each client reads it
//! at its own pace from the number it has seen, so a client that does not read costs nothing. An
//! event becomes JSON at most once, when the first client wants it.

mod rates;

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use qw_alerts::Seen;
use qw_event::{Alert, EventId, RecordKind, SourceId, StoredEvent, Timestamp};
use qw_exporters::StreamSnapshot;
use qw_pipeline::Observer;
use qw_store::Kinds;
use tokio::sync::watch;

use crate::{alert_view, event_view::json_line, hub::rates::Rates};

/// Bounds of the hub.
#[derive(Debug, Clone, Copy)]
pub struct HubOptions {
    /// Bytes of records in the ring, of each kind; the newest batch stays whatever its size.
    pub ring_bytes: usize,
    /// Streams at the same time.
    pub max_clients: u64,
    /// Containers whose event rate is kept.
    pub max_rates: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            ring_bytes: 16 << 20,
            max_clients: 500,
            max_rates: 20_000,
        }
    }
}

/// The newest events, and who watches. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    options: HubOptions,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    alerts: Mutex<VecDeque<Arc<LiveAlert>>>,
    newest_alert: watch::Sender<u64>,
    rates: Mutex<Rates>,
    clients: AtomicU64,
    counts: StreamCounts,
}

/// What happened on streams since the process started.
#[derive(Default)]
pub(crate) struct StreamCounts {
    pub(crate) opened: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// The newest records, each kind for itself: many lines of logs push no events out.
struct Ring {
    events: Lane,
    logs: Lane,
}

/// The newest batches in which there is something of one kind.
struct Lane {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Above this number everything is there.
    gone_to: u64,
}

impl Lane {
    const fn new(gone_to: u64) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            gone_to,
        }
    }

    /// Adds `batch`; gives back what had to go for it.
    fn push(&mut self, batch: Arc<Batch>, most_bytes: usize) -> Vec<Arc<Batch>> {
        let mut old = Vec::new();
        self.bytes += batch.bytes;
        self.batches.push_back(batch);
        while self.bytes > most_bytes
            && self.batches.len() > 1
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.gone_to = oldest.last();
            old.push(oldest);
        }
        old
    }
}

impl Ring {
    fn lanes(&self, kinds: Kinds) -> impl Iterator<Item = &Lane> {
        let lanes = [
            (RecordKind::Event, &self.events),
            (RecordKind::Log, &self.logs),
        ];
        lanes
            .into_iter()
            .filter(move |(kind, _)| kinds.contains(*kind))
            .map(|(_, lane)| lane)
    }
}

/// Alerts in the ring.
const ALERTS: usize = 1_000;

/// An alert as it became at some moment.
pub(crate) struct LiveAlert {
    /// Grows with every alert of the process.
    pub(crate) sequence: u64,
    /// Number of the newest event when it became so.
    at: u64,
    pub(crate) alert: Arc<Alert>,
    line: OnceLock<Arc<str>>,
}

impl LiveAlert {
    /// The alert as JSON.
    pub(crate) fn line(&self) -> Arc<str> {
        let line = self.line.get_or_init(|| alert_view::json_line(&self.alert));
        Arc::clone(line)
    }
}

/// Events that were committed together.
pub(crate) struct Batch {
    events: Arc<[StoredEvent]>,
    lines: Box<[OnceLock<Arc<str>>]>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.id.0)
    }

    pub(crate) fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.id.0)
    }

    /// The events numbered above `position`, each with its place for [`Self::line`].
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = (usize, &StoredEvent)> {
        let skip = self.events.partition_point(|event| event.id.0 <= position);
        self.events.iter().enumerate().skip(skip)
    }

    /// The event at `place` as JSON.
    pub(crate) fn line(&self, place: usize) -> Option<Arc<str>> {
        let (line, event) = (self.lines.get(place)?, self.events.get(place)?);
        Some(Arc::clone(line.get_or_init(|| json_line(event))))
    }
}

/// What the ring holds after some number.
pub(crate) struct Recent {
    /// Batches with records above the number, in order.
    pub(crate) batches: Vec<Arc<Batch>>,
    /// Above this number everything is among them.
    pub(crate) gone_to: u64,
}

impl Hub {
    /// A hub that has seen events up to `newest`, the highest number in the store.
    pub fn new(options: HubOptions, newest: EventId) -> Self {
        Self(Arc::new(Inner {
            ring: Mutex::new(Ring {
                events: Lane::new(newest.0),
                logs: Lane::new(newest.0),
            }),
            newest: watch::Sender::new(newest.0),
            alerts: Mutex::default(),
            newest_alert: watch::Sender::new(0),
            rates: Mutex::new(Rates::new(options.max_rates)),
            clients: AtomicU64::new(0),
            counts: StreamCounts::default(),
            options,
        }))
    }

    /// The end that the pipeline feeds; give it to `Pipeline::observe`.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Feed(self.clone()))
    }

    /// Streams open now, and what happened on streams so far.
    pub fn snapshot(&self) -> StreamSnapshot {
        let counts = &self.0.counts;
        StreamSnapshot {
            clients: self.0.clients.load(Relaxed),
            opened: counts.opened.load(Relaxed),
            events_sent: counts.sent.load(Relaxed),
            events_missed: counts.missed.load(Relaxed),
        }
    }

    /// Highest number seen.
    pub(crate) fn newest(&self) -> u64 {
        *self.0.newest.borrow()
    }

    /// Tells when the highest number changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// Tells everyone who watches what has become of alerts.
    pub fn tell_alerts(&self, seen: &[Seen]) {
        let mut ring = self.0.alerts.lock();
        let mut sequence = *self.0.newest_alert.borrow();
        let newest = self.newest();
        for seen in seen {
            sequence += 1;
            let evidence = seen.alert.evidence.last().map_or(0, |event| event.0);
            ring.push_back(Arc::new(LiveAlert {
                sequence,
                at: evidence.max(newest),
                alert: Arc::clone(&seen.alert),
                line: OnceLock::new(),
            }));
        }
        while ring.len() > ALERTS {
            ring.pop_front();
        }
        drop(ring);
        self.0.newest_alert.send_replace(sequence);
    }

    /// Tells when alerts change.
    pub(crate) fn watch_alerts(&self) -> watch::Receiver<u64> {
        self.0.newest_alert.subscribe()
    }

    /// Alerts numbered above `sequence` that are still in the ring.
    pub(crate) fn alerts_after(&self, sequence: u64) -> Vec<Arc<LiveAlert>> {
        let ring = self.0.alerts.lock();
        let skip = ring.partition_point(|live| live.sequence <= sequence);
        ring.iter().skip(skip).cloned().collect()
    }

    /// Number of the last alert that whoever has seen the events up to `position` has surely seen.
    pub(crate) fn alerts_seen_at(&self, position: u64) -> u64 {
        let ring = self.0.alerts.lock();
        match ring.iter().find(|live| live.at >= position) {
            Some(unseen) => unseen.sequence - 1,
            None => *self.0.newest_alert.borrow(),
        }
    }

    pub(crate) fn counts(&self) -> &StreamCounts {
        &self.0.counts
    }

    /// The records of these kinds above `position` that are still in the ring.
    pub(crate) fn after(&self, position: u64, kinds: Kinds) -> Recent {
        let mut recent = Recent {
            batches: Vec::new(),
            gone_to: 0,
        };
        for lane in self.0.ring.lock().lanes(kinds) {
            let skip = lane
                .batches
                .partition_point(|batch| batch.last() <= position);
            recent
                .batches
                .extend(lane.batches.iter().skip(skip).cloned());
            recent.gone_to = recent.gone_to.max(lane.gone_to);
        }
        recent.batches.sort_by_key(|batch| batch.first());
        recent
            .batches
            .dedup_by(|one, other| Arc::ptr_eq(one, other));
        recent
    }

    /// Newest event in the ring that `wanted` picks.
    pub(crate) fn find(&self, wanted: impl Fn(&StoredEvent) -> bool) -> Option<StoredEvent> {
        let batches: Vec<Arc<Batch>> = {
            let ring = self.0.ring.lock();
            ring.events.batches.iter().rev().cloned().collect()
        };
        batches
            .iter()
            .flat_map(|batch| batch.events.iter().rev())
            .find(|event| wanted(event))
            .cloned()
    }

    /// Events per second over the last minute before `now`, of all containers.
    pub(crate) fn rate(&self, now: Timestamp) -> f64 {
        self.0.rates.lock().all(now)
    }

    /// Events per second over the last minute before `now`, of the container with this id.
    pub(crate) fn container_rate(&self, id: &str, now: Timestamp) -> f64 {
        self.0.rates.lock().container(id, now)
    }

    /// A place among the clients, until it is dropped; `None` when there is none left.
    pub(crate) fn join(&self) -> Option<Seat> {
        let clients = &self.0.clients;
        let joined = clients.fetch_update(Relaxed, Relaxed, |count| {
            (count < self.0.options.max_clients).then_some(count + 1)
        });
        if joined.is_ok() {
            self.0.counts.opened.fetch_add(1, Relaxed);
            Some(Seat(self.clone()))
        } else {
            self.0.counts.refused.fetch_add(1, Relaxed);
            None
        }
    }

    fn add(&self, events: &Arc<[StoredEvent]>, received: Timestamp) {
        let Some(last) = events.last() else { return };
        let last = last.id.0;
        let has_events = events.iter().any(|stored| stored.event.kind.is_event());
        let has_logs = events.iter().any(|stored| !stored.event.kind.is_event());
        if has_events {
            self.0.rates.lock().count(events, received);
        }
        let bytes = events.iter().map(|stored| stored.event.size_bytes()).sum();
        let batch = Arc::new(Batch {
            events: Arc::clone(events),
            lines: events.iter().map(|_| OnceLock::new()).collect(),
            bytes,
        });
        let most_bytes = self.0.options.ring_bytes;
        // Dropped after the lock is released: freeing many records takes a while.
        let mut old = Vec::new();
        {
            let mut ring = self.0.ring.lock();
            if has_events {
                old.extend(ring.events.push(Arc::clone(&batch), most_bytes));
            }
            if has_logs {
                old.extend(ring.logs.push(batch, most_bytes));
            }
        }
        drop(old);
        self.0.newest.send_replace(last);
    }
}

/// A client's place.
pub(crate) struct Seat(Hub);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.clients.fetch_sub(1, Relaxed);
    }
}

struct Feed(Hub);

impl Observer for Feed {
    fn committed(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, received: Timestamp) {
        self.0.add(events, received);
    }

    fn alerted(&mut self, alerts: &[Seen]) {
        self.0.tell_alerts(alerts);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::event_view::tests::event;

    /// Feeds `count` events numbered from `first` into `hub`.
    pub(crate) fn feed(hub: &Hub, first: u64, count: u64, rule: &str, container: &str) {
        let now = Timestamp::from_seconds(1_000_000);
        let events: Vec<StoredEvent> = (first..first + count)
            .map(|id| event(id, now, rule, container))
            .collect();
        hub.observer()
            .committed(&SourceId::new("test"), &events.into(), now);
    }

    fn small() -> Hub {
        let event_bytes = event(1, Timestamp::EPOCH, "Rule", "web").event.size_bytes();
        let options = HubOptions {
            ring_bytes: event_bytes * 10,
            ..HubOptions::default()
        };
        Hub::new(options, EventId(0))
    }

    #[test]
    fn the_ring_is_bounded_and_tells_what_it_still_has() {
        let hub = small();
        assert_eq!(hub.after(0, Kinds::EVENTS).gone_to, 0);
        for batch in 0..10 {
            feed(&hub, batch * 4 + 1, 4, "Rule", "web");
        }
        let recent = hub.after(0, Kinds::EVENTS);
        assert_eq!(recent.gone_to, 32);
        assert_eq!(recent.batches.len(), 2);
        assert_eq!(hub.newest(), 40);
        assert_eq!(hub.after(36, Kinds::EVENTS).batches.len(), 1);
        assert!(hub.after(40, Kinds::EVENTS).batches.is_empty());
        let ids: Vec<u64> = hub.after(34, Kinds::EVENTS).batches[0]
            .after(34)
            .map(|(_, event)| event.id.0)
            .collect();
        assert_eq!(ids, [35, 36]);
    }

    #[test]
    fn lines_of_logs_push_no_events_out() {
        let hub = small();
        feed(&hub, 1, 4, "Rule", "web");
        for batch in 1..20 {
            let lines: Vec<StoredEvent> = (batch * 4 + 1..batch * 4 + 5)
                .map(|id| {
                    let mut line = event(id, Timestamp::EPOCH, "", "web");
                    line.event.kind = RecordKind::Log;
                    line
                })
                .collect();
            hub.observer()
                .committed(&SourceId::new("logs"), &lines.into(), Timestamp::EPOCH);
        }
        let events = hub.after(0, Kinds::EVENTS);
        assert_eq!((events.batches.len(), events.gone_to), (1, 0));
        let lines = hub.after(0, Kinds::LOGS);
        assert_eq!((lines.batches.len(), lines.gone_to), (2, 72));
        let both = hub.after(0, Kinds::EVENTS.union(Kinds::LOGS));
        let firsts: Vec<u64> = both.batches.iter().map(|batch| batch.first()).collect();
        assert_eq!((firsts, both.gone_to), (vec![1, 73, 77], 72));
    }

    #[test]
    fn one_batch_stays_whatever_its_size() {
        let hub = small();
        feed(&hub, 1, 100, "Rule", "web");
        assert_eq!(hub.after(0, Kinds::EVENTS).batches.len(), 1);
    }

    #[test]
    fn lines_are_made_once() {
        let hub = small();
        feed(&hub, 1, 1, "Rule", "web");
        let batch = &hub.after(0, Kinds::EVENTS).batches[0];
        let (first, second) = (batch.line(0).unwrap(), batch.line(0).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(batch.line(1).is_none());
    }

    #[test]
    fn seats_are_bounded_and_given_back() {
        let hub = Hub::new(
            HubOptions {
                max_clients: 2,
                ..HubOptions::default()
            },
            EventId(0),
        );
        let first = hub.join().unwrap();
        let _second = hub.join().unwrap();
        assert!(hub.join().is_none());
        drop(first);
        assert!(hub.join().is_some());
        assert_eq!(hub.counts().refused.load(Relaxed), 1);
    }
}
