//! Server-sent events: the hub's events → messages for one client.
//!
//! The stream is pulled: nothing is made for a client until its connection takes more, so one that
//! does not read costs a place and nothing else. A client that comes back gets what it has not seen
//! from the ring and, further back, from the store. One that is live but too slow, or to whom too
//! much comes at once, gets the newest, and is told as a gap what it missed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use qw_auth::Permission;
use qw_event::{AlertId, EventId, StoredEvent, Timestamp};
use qw_store::{Kinds, query::Filter};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Identity, Visibility},
    event_view::json_line,
    hub::{Batch, LiveAlert, Seat},
    state::State,
};

/// Events that arrive within this time travel in one message.
const MERGE: Duration = Duration::from_millis(500);

/// Time between heartbeats. Clients give a stream up after three times this.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Most events of a message; of more within [`MERGE`] the newest are sent, the others told as a gap.
const MESSAGE_EVENTS: usize = 1_000;

/// Most bytes of events in a message, the first event aside.
const MESSAGE_BYTES: usize = 2 << 20;

/// Bytes that are put together for the connection at a time.
const CHUNK_BYTES: usize = 32 << 10;

/// Events read from the store at a time.
const PAGE: usize = 500;

/// Farthest back a stream resumes, counted in event numbers.
const RESUME: u64 = 20_000;

/// What a client asks for.
pub(crate) struct Wanted {
    pub(crate) types: Types,
    /// Which events.
    pub(crate) filter: Filter,
    /// Container of the stream, for messages that hold no event; empty for all.
    pub(crate) container: String,
}

/// Which messages come beside heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Types {
    pub(crate) events: bool,
    /// Lines of logs, as events of their kind.
    pub(crate) logs: bool,
    pub(crate) alerts: bool,
}

impl Types {
    /// The kinds of records among them.
    fn kinds(self) -> Kinds {
        let events = if self.events {
            Kinds::EVENTS
        } else {
            Kinds::NONE
        };
        let logs = if self.logs { Kinds::LOGS } else { Kinds::NONE };
        events.union(logs)
    }
}

/// One client's stream.
pub(crate) struct Subscription {
    state: State,
    identity: Identity,
    visibility: Visibility,
    types: Types,
    filter: Filter,
    container: String,
    /// Every event up to this number has been sent, passed over, or told as missed.
    position: u64,
    /// Up to here nothing is passed over for being much; what comes later is live.
    resume_to: u64,
    newest: watch::Receiver<u64>,
    /// Every alert up to this number has been sent or passed over.
    alerts_seen: u64,
    newest_alert: watch::Receiver<u64>,
    /// When events that have been noticed are sent.
    due: Option<Instant>,
    heartbeat: Interval,
    outbox: VecDeque<Piece>,
    stop: CancellationToken,
    finished: bool,
    _seat: Seat,
}

/// What to do next.
enum Turn {
    Events,
    Heartbeat,
    Stop,
    End,
}

impl Subscription {
    /// A stream of what is `wanted`, beginning after `last_seen`, or now.
    pub(crate) fn new(
        state: State,
        identity: Identity,
        wanted: Wanted,
        last_seen: Option<EventId>,
        stop: CancellationToken,
        seat: Seat,
    ) -> Self {
        let visibility = Visibility::new(identity.scope.clone(), &state.parts.inventory);
        let newest = state.parts.hub.watch();
        let now = state.parts.hub.newest();
        // A number from the future is another store's.
        let position = last_seen.map_or(now, |seen| seen.0.min(now));
        let newest_alert = state.parts.hub.watch_alerts();
        let alerts_seen = match last_seen {
            Some(_) => state.parts.hub.alerts_seen_at(position),
            None => *newest_alert.borrow(),
        };
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscription = Self {
            state,
            identity,
            visibility,
            types: wanted.types,
            filter: wanted.filter,
            container: wanted.container,
            position,
            resume_to: now,
            newest,
            alerts_seen,
            newest_alert,
            due: None,
            heartbeat,
            outbox: VecDeque::new(),
            stop,
            finished: false,
            _seat: seat,
        };
        // At once, so that proxies and browsers see that the stream is open.
        subscription
            .outbox
            .push_back(Piece::text(": quaywatch\nretry: 1000\n\n"));
        subscription.put_heartbeat();
        if position < now {
            subscription.due = Some(Instant::now());
        }
        subscription
    }

    /// The messages as they go over the wire.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        stream::unfold(self, |mut subscription| async move {
            let message = subscription.next().await?;
            Some((Ok(message), subscription))
        })
        .fuse()
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.identity.ended.is_cancelled() {
                return None;
            }
            if let Some(piece) = self.outbox.front_mut() {
                let chunk = piece.take();
                if piece.is_taken() {
                    self.outbox.pop_front();
                }
                return Some(chunk);
            }
            if self.finished {
                return None;
            }
            match self.turn().await {
                Turn::Events => self.collect().await,
                Turn::Heartbeat => {
                    if !self
                        .state
                        .parts
                        .access
                        .is_valid(&self.identity, self.state.now())
                    {
                        return None;
                    }
                    self.put_heartbeat();
                }
                Turn::Stop => {
                    self.finished = true;
                    self.outbox.push_back(Piece::text("retry: 2000\n\n"));
                }
                Turn::End => return None,
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        loop {
            let (position, alerts_seen) = (self.position, self.alerts_seen);
            let due = self.due;
            let events = async {
                match due {
                    Some(due) => {
                        tokio::time::sleep_until(due).await;
                        true
                    }
                    None => tokio::select! {
                        event = self.newest.wait_for(|newest| *newest > position) => event.is_ok(),
                        alert = self.newest_alert.wait_for(|newest| *newest > alerts_seen) => {
                            alert.is_ok()
                        }
                    },
                }
            };
            tokio::select! {
                biased;
                () = self.identity.ended.cancelled() => return Turn::End,
                () = self.stop.cancelled() => return Turn::Stop,
                _ = self.heartbeat.tick() => return Turn::Heartbeat,
                alive = events => {
                    if !alive {
                        return Turn::End;
                    }
                    if due.is_some() {
                        self.due = None;
                        return Turn::Events;
                    }
                    self.due = Some(Instant::now() + MERGE);
                }
            }
        }
    }

    /// True when the client asked for the event and may see it.
    fn wants(&self, stored: &StoredEvent) -> bool {
        self.types.kinds().contains(stored.event.kind)
            && self.visibility.contains(&stored.event.container)
            && self.filter.matches(&stored.event)
    }

    /// Puts what has happened since `position` into the outbox.
    async fn collect(&mut self) {
        self.visibility.refresh();
        // Alerts are told to the hub before the events that caused them.
        let events_to_come = self.state.parts.hub.newest() > self.position;
        self.put_alerts();
        if !events_to_come {
            return;
        }
        if self.types.kinds() == Kinds::NONE {
            self.position = self.state.parts.hub.newest();
            return;
        }
        // Whatever is numbered up to here is in the ring by now, or has gone from it.
        let newest = self.state.parts.hub.newest();
        let recent = self
            .state
            .parts
            .hub
            .after(self.position, self.types.kinds());
        if self.position < self.resume_to {
            if recent.gone_to <= self.position {
                self.resume_from_ring(&recent.batches, newest);
            } else {
                self.resume_from_store().await;
            }
            return;
        }
        if recent.gone_to > self.position {
            // The client reads too slowly, or much came at once.
            let missed = recent.gone_to - self.position;
            self.put_gap(self.position + 1, recent.gone_to, missed);
            self.position = recent.gone_to;
        }
        self.follow(&recent.batches, newest);
    }

    /// Sends the newest of `batches`, as many as a message may hold.
    fn follow(&mut self, batches: &[Arc<Batch>], newest: u64) {
        let mut wanted: VecDeque<(&Arc<Batch>, usize, &StoredEvent)> = VecDeque::new();
        let mut passed: Option<(u64, u64, u64)> = None;
        let mut bytes = 0;
        for batch in batches {
            for (place, stored) in batch.after(self.position) {
                if !self.wants(stored) {
                    continue;
                }
                bytes += stored.event.size_bytes();
                wanted.push_back((batch, place, stored));
                while wanted.len() > 1
                    && (wanted.len() > MESSAGE_EVENTS || bytes > MESSAGE_BYTES)
                    && let Some((_, _, old)) = wanted.pop_front()
                {
                    bytes -= old.event.size_bytes();
                    let (from, _, missed) = passed.unwrap_or((old.id.0, 0, 0));
                    passed = Some((from, old.id.0, missed + 1));
                }
            }
            self.position = self.position.max(batch.last());
        }
        // Records of kinds that are not wanted are passed over.
        self.position = self.position.max(newest);
        if let Some((from, to, missed)) = passed {
            self.put_gap(from, to, missed);
        }
        let mut message = Message::default();
        for (batch, place, stored) in wanted {
            if let Some(line) = batch.line(place) {
                message.add(line, stored);
            }
        }
        self.put_events(message, self.position);
    }

    /// Sends the oldest of `batches`, as many as a message may hold; the rest follows at once.
    fn resume_from_ring(&mut self, batches: &[Arc<Batch>], newest: u64) {
        let mut message = Message::default();
        let mut is_cut = false;
        'batches: for batch in batches {
            for (place, stored) in batch.after(self.position) {
                if message.is_full() {
                    is_cut = true;
                    break 'batches;
                }
                if self.wants(stored)
                    && let Some(line) = batch.line(place)
                {
                    message.add(line, stored);
                }
                self.position = stored.id.0;
            }
        }
        if !is_cut {
            self.position = self.position.max(newest);
        }
        self.put_events(message, self.position);
        self.go_on();
    }

    async fn resume_from_store(&mut self) {
        let reachable = self.resume_to.saturating_sub(RESUME);
        if self.position < reachable {
            let from = self.position + 1;
            self.position = reachable;
            self.put_gap(from, reachable, reachable - from + 1);
        }
        let (after, kinds) = (EventId(self.position), self.types.kinds());
        let page = self
            .state
            .ask(move |records| records.events_after(after, PAGE, kinds))
            .await;
        let Ok(page) = page else {
            // The store is busy or failing: try again, the position is kept.
            self.due = Some(Instant::now() + Duration::from_secs(1));
            return;
        };
        let is_last = page.len() < PAGE;
        let mut message = Message::default();
        for stored in page {
            if message.is_full() {
                let cursor = self.position;
                self.put_events(std::mem::take(&mut message), cursor);
            }
            self.position = self.position.max(stored.id.0);
            if self.wants(&stored) {
                message.add(json_line(&stored), &stored);
            }
        }
        if is_last {
            // What is missing up to here has gone by retention.
            self.position = self.position.max(self.resume_to);
        }
        self.put_events(message, self.position);
        self.go_on();
    }

    /// Does not wait for more when there is more already.
    fn go_on(&mut self) {
        if self.state.parts.hub.newest() > self.position {
            self.due = Some(Instant::now());
        }
    }

    fn put_events(&mut self, message: Message, cursor: u64) {
        if message.lines.is_empty() {
            return;
        }
        self.state
            .parts
            .hub
            .counts()
            .sent
            .fetch_add(message.lines.len() as u64, Relaxed);
        let container = message.container.as_deref().unwrap_or("");
        let head = head(cursor, "event", self.state.now(), container);
        self.outbox.push_back(Piece::text(head + "{\"events\":["));
        self.outbox
            .push_back(Piece::Lines(message.lines.into_iter(), Separator::None));
        self.outbox.push_back(Piece::text("]}}\n\n"));
    }

    /// Sends what has become of alerts, each as it is now.
    fn put_alerts(&mut self) {
        let live = self.state.parts.hub.alerts_after(self.alerts_seen);
        let Some(last) = live.last() else { return };
        self.alerts_seen = last.sequence;
        if !self.types.alerts || !self.identity.allows(Permission::View) {
            return;
        }
        let mut newest: BTreeMap<AlertId, &LiveAlert> = BTreeMap::new();
        for live in &live {
            let mut containers = live.alert.containers.iter();
            let is_wanted = self.container.is_empty()
                || containers.any(|one| *one.id == *self.container || *one.name == *self.container);
            if is_wanted && self.visibility.contains_alert(&live.alert) {
                newest.insert(live.alert.id, live);
            }
        }
        if newest.is_empty() {
            return;
        }
        let lines: Vec<Arc<str>> = newest.values().map(|live| live.line()).collect();
        let head = head(self.position, "alert", self.state.now(), &self.container);
        self.outbox.push_back(Piece::text(head + "{\"alerts\":["));
        self.outbox
            .push_back(Piece::Lines(lines.into_iter(), Separator::None));
        self.outbox.push_back(Piece::text("]}}\n\n"));
    }

    fn put_gap(&mut self, from: u64, to: u64, missed: u64) {
        self.state
            .parts
            .hub
            .counts()
            .missed
            .fetch_add(missed, Relaxed);
        let payload = format!("{{\"missed\":{missed},\"from\":\"{from}\",\"to\":\"{to}\"}}");
        let head = head(to, "gap", self.state.now(), &self.container);
        self.outbox
            .push_back(Piece::text(head + &payload + "}\n\n"));
    }

    fn put_heartbeat(&mut self) {
        let payload = format!("{{\"last_event_id\":\"{}\"}}", self.position);
        let head = head(
            self.position,
            "heartbeat",
            self.state.now(),
            &self.container,
        );
        self.outbox
            .push_back(Piece::text(head + &payload + "}\n\n"));
    }
}

/// A part of a message that waits for its client.
///
/// The lines of events are shared with the ring and with other clients, and are put together only
/// when the connection takes them: what waits for a client that does not read is held once.
enum Piece {
    Text(Bytes),
    Lines(std::vec::IntoIter<Arc<str>>, Separator),
}

#[derive(Clone, Copy, PartialEq)]
enum Separator {
    None,
    Comma,
}

impl Piece {
    fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// The next bytes of it, about [`CHUNK_BYTES`].
    fn take(&mut self) -> Bytes {
        match self {
            Self::Text(text) => std::mem::take(text),
            Self::Lines(lines, separator) => {
                let mut chunk = String::new();
                while chunk.len() < CHUNK_BYTES
                    && let Some(line) = lines.next()
                {
                    if *separator == Separator::Comma {
                        chunk.push(',');
                    }
                    *separator = Separator::Comma;
                    chunk.push_str(&line);
                }
                chunk.into()
            }
        }
    }

    fn is_taken(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Lines(lines, _) => lines.len() == 0,
        }
    }
}

/// Events on their way into one message.
#[derive(Default)]
struct Message {
    lines: Vec<Arc<str>>,
    bytes: usize,
    /// The container all have in common; `Some("")` when they have not.
    container: Option<Arc<str>>,
}

impl Message {
    fn add(&mut self, line: Arc<str>, stored: &StoredEvent) {
        self.bytes += line.len();
        self.lines.push(line);
        let id = &stored.event.container.id;
        match &self.container {
            None => self.container = Some(Arc::clone(id)),
            Some(common) if common == id => {}
            Some(_) => self.container = Some("".into()),
        }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= MESSAGE_EVENTS || self.bytes >= MESSAGE_BYTES
    }
}

/// The beginning of a message, up to its payload; `}` and an empty line follow that.
///
/// The types are `event`, `alert`, `heartbeat` and `gap`; of one round, alerts come before the events
/// that caused them.
fn head(cursor: u64, kind: &str, now: Timestamp, container: &str) -> String {
    let container = serde_json::to_string(container).unwrap_or_else(|_| "\"\"".to_owned());
    format!(
        "id: {cursor}\ndata: {{\"type\":\"{kind}\",\"ts\":\"{now}\",\"container\":{container},\"payload\":"
    )
}
