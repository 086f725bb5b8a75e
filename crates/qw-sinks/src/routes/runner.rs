//! One route's task: reads the logs, hands on, moves the positions.

mod read;

use std::{sync::Arc, time::Duration};

use qw_event::{EventId, Timestamp};
use qw_store::{OwnedStateChange, StateChange};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    dead_letters::{self, DeadLetter, MAX_DEAD_LETTERS},
    deliver::{Progress, Step},
    destination::Destination,
    log::{Log, LogKind},
    positions::{POSITIONS, Stored},
    record::{Batch, Part},
    router::{Route, Shared},
    select::Selection,
    status::{RouteState, RouteStatus},
};
use crate::{
    backoff::Backoff,
    receiver::{Refusal, chain},
    runner::blocking,
};
use read::Reading;

/// How long a batch on its way may take after the stop.
const GRACE: Duration = Duration::from_secs(3);

/// One route's task.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    route: Arc<Route>,
    selection: Selection,
    destination: Box<dyn Destination>,
    stop: CancellationToken,
    /// What is done.
    stored: Stored,
    /// What is done as it is on disk.
    on_disk: Stored,
    lanes: Vec<Lane>,
    /// The lane that is looked at first.
    turn: usize,
    failures: u32,
    /// Dead letters that are not stored yet.
    dead: Vec<DeadLetter>,
    /// No batch goes out before, because of the bound on records per second.
    free_at: Instant,
}

/// One log, as the route reads it. A batch holds records of one log.
struct Lane {
    log: Arc<Log>,
    news: watch::Receiver<EventId>,
    reading: Reading,
    batch: Batch,
    /// When the first record of the batch was found.
    began: Option<Instant>,
    /// Looked at since the position, and not for this route.
    filtered: u64,
}

/// What comes after a round.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Another round at once.
    Go,
    /// One when there is news.
    Wait,
    /// One when there is news, or at this time.
    WaitUntil(Instant),
    /// One after this pause.
    Pause(Duration),
    /// None.
    Stop,
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        route: Arc<Route>,
        selection: Selection,
        destination: Box<dyn Destination>,
        stored: Stored,
        stop: CancellationToken,
    ) -> Self {
        let lane = |log: &Arc<Log>| Lane {
            log: Arc::clone(log),
            news: log.window.subscribe(),
            reading: Reading::new(stored.of(log.kind())),
            batch: Batch::default(),
            began: None,
            filtered: 0,
        };
        Self {
            lanes: shared.logs.iter().map(lane).collect(),
            turn: 0,
            on_disk: stored.clone(),
            shared,
            route,
            selection,
            destination,
            stop,
            stored,
            failures: 0,
            dead: Vec::new(),
            free_at: Instant::now(),
        }
    }

    /// Runs until the stop.
    pub(crate) async fn run(mut self) {
        loop {
            // Before the logs are read, so that news in between is not slept through.
            for lane in &mut self.lanes {
                lane.news.mark_unchanged();
            }
            match self.round().await {
                Next::Go if !self.stop.is_cancelled() => tokio::task::yield_now().await,
                Next::Wait => {
                    let poll = self.shared.options.poll;
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = news(&mut self.lanes) => {}
                        () = sleep(poll) => {
                            for lane in &mut self.lanes {
                                lane.reading.look_into_store();
                            }
                            self.store().await;
                            if let Err(refusal) = self.destination.idle().await {
                                self.failed(&refusal);
                            }
                        }
                    }
                }
                Next::WaitUntil(at) => {
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = news(&mut self.lanes) => {}
                        () = sleep_until(at) => {}
                    }
                }
                Next::Pause(pause) => {
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = sleep(pause) => {}
                    }
                }
                Next::Go | Next::Stop => break,
            }
        }
        self.store().await;
    }

    /// Looks at each lane until one has something to do.
    async fn round(&mut self) -> Next {
        let mut until = None;
        for _ in 0..self.lanes.len() {
            let place = self.turn;
            self.turn = (place + 1) % self.lanes.len();
            // Borrowed apart from the rest, and put back below.
            let mut lane = self.lanes.remove(place);
            let next = self.round_of(&mut lane).await;
            self.lanes.insert(place, lane);
            match next {
                Next::Wait => {}
                Next::WaitUntil(at) => until = until.into_iter().chain([at]).min(),
                next => return next,
            }
        }
        if let Some(at) = until {
            return Next::WaitUntil(at);
        }
        self.shared.release();
        self.report(|status| {
            status.state = RouteState::Idle;
            status.next_attempt = None;
        });
        Next::Wait
    }

    async fn round_of(&mut self, lane: &mut Lane) -> Next {
        let has_more = match self.fill(lane).await {
            Ok(has_more) => has_more,
            Err(text) => return Next::Pause(self.failed(&Refusal::passing(text))),
        };
        if lane.batch.len() == 0 {
            // Nothing of it is for this route: it is done.
            self.advance(lane, lane.reading.scanned());
            return if has_more { Next::Go } else { Next::Wait };
        }
        if !has_more {
            let linger = Duration::from_millis(self.route.config.batch.linger_millis.into());
            let until = *lane.began.get_or_insert_with(Instant::now) + linger;
            if Instant::now() < until {
                return Next::WaitUntil(until);
            }
        }
        let now = Instant::now();
        if self.free_at > now {
            self.report(|status| status.state = RouteState::Paced);
            return Next::Pause(self.free_at - now);
        }
        if let Some(most) = self.route.config.max_records_per_second {
            let seconds = lane.batch.len() as f64 / f64::from(most.max(1));
            self.free_at = now + Duration::from_secs_f64(seconds);
        }
        self.report(|status| status.state = RouteState::Sending);
        let batch = std::mem::take(&mut lane.batch);
        lane.began = None;
        let end = lane.reading.scanned();
        self.hand_on(lane, &batch, end).await
    }

    /// Most records of one batch.
    fn most_records(&self) -> usize {
        let most = self.route.config.max_records_per_second;
        let paced = most.map_or(usize::MAX, |most| most as usize);
        self.route.config.batch.records.min(paced).max(1)
    }

    /// Adds records to the batch; true when there may be more than fit.
    async fn fill(&mut self, lane: &mut Lane) -> Result<bool, String> {
        let (records, bytes) = (self.most_records(), self.route.config.batch.bytes);
        loop {
            let is_full = lane.batch.len() >= records || lane.batch.bytes() >= bytes;
            if is_full || lane.batch.is_heavy() {
                return Ok(true);
            }
            let kinds = self.selection.kinds();
            let Some(page) = lane.reading.next(&lane.log, kinds).await? else {
                self.note_lost(lane);
                return Ok(false);
            };
            self.note_lost(lane);
            let source = lane.batch.add_source(&page);
            let scanned = lane.reading.scanned();
            let begin = page.partition_point(|record| record.id <= scanned);
            let mut last = scanned;
            for (place, record) in page.iter().enumerate().skip(begin) {
                if lane.batch.len() >= records || lane.batch.bytes() >= bytes {
                    break;
                }
                last = record.id;
                if !self.selection.add(&mut lane.batch, source, place, record) {
                    lane.filtered += 1;
                }
            }
            lane.reading.looked_at(last);
            self.route
                .set_reading(lane.log.kind(), lane.reading.scanned());
            if lane.batch.len() == 0 {
                // Nothing of it is needed; and others may want the thread.
                lane.batch = Batch::default();
                return Ok(true);
            }
        }
    }

    /// Sends `batch` until it is done, and moves the position to `end`.
    async fn hand_on(&mut self, lane: &mut Lane, batch: &Batch, end: EventId) -> Next {
        let mut progress = Progress::new(batch.len());
        while let Some(indices) = progress.current() {
            let part = Part::new(batch, indices);
            let (now, stop) = (self.now(), self.stop.clone());
            let outcome = tokio::select! {
                outcome = self.destination.deliver(part, now) => outcome,
                () = async { stop.cancelled().await; sleep(GRACE).await } => {
                    return self.break_off(lane, batch, &progress);
                }
            };
            let step = progress.settle(outcome);
            if let Some(pause) = self.took(batch, step) {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = sleep(pause) => {}
                }
            }
            if self.stop.is_cancelled() && progress.current().is_some() {
                return self.break_off(lane, batch, &progress);
            }
        }
        self.advance(lane, end);
        self.store().await;
        self.shared.release();
        Next::Go
    }

    /// Counts what came of an attempt; how long to wait before the next one.
    fn took(&mut self, batch: &Batch, step: Step) -> Option<Duration> {
        let now = self.now();
        for (index, reason) in &step.dead {
            let Some(id) = batch.id(*index) else { continue };
            let (route, id_number) = (&self.route.config.name, id.0);
            tracing::warn!(
                route,
                record = id_number,
                reason,
                "a record was refused for good"
            );
            let record = batch.record(*index);
            self.dead
                .push(DeadLetter::new(id, reason.clone(), now, record));
        }
        let surplus = self.dead.len().saturating_sub(MAX_DEAD_LETTERS);
        self.dead.drain(..surplus);
        self.report(|status| {
            status.sent += step.taken;
            status.sent_bytes += step.bytes;
            status.retried += step.retried;
            status.cut += step.cut;
            status.failed += step.dead.len() as u64 + step.dropped;
            if step.taken > 0 {
                status.last_success = Some(now);
            }
            let dropped = (step.dropped > 0).then(|| step.answer.clone());
            if let Some(reason) = step
                .dead
                .last()
                .map(|(_, reason)| reason.clone())
                .or(dropped)
            {
                status.last_error = Some(reason);
                status.last_error_time = Some(now);
            }
        });
        if step.taken > 0 {
            self.failures = 0;
        }
        step.failure.map(|refusal| self.failed(&refusal))
    }

    /// The stop came within a batch: what of its beginning is done stays done.
    fn break_off(&mut self, lane: &mut Lane, batch: &Batch, progress: &Progress) -> Next {
        if let Some(id) = progress.first_pending().and_then(|index| batch.id(index)) {
            lane.filtered = 0;
            self.advance(lane, EventId(id.0.saturating_sub(1)));
        }
        Next::Stop
    }

    /// Everything up to `end` is done. The caller stores the position where something was sent: what was
    /// only passed over may be read again.
    fn advance(&mut self, lane: &mut Lane, end: EventId) {
        let log = lane.log.kind();
        let position = self.stored.of_mut(log);
        *position = end.max(*position);
        self.route.set_reading(log, *position);
        let (stored, transit) = (self.stored.id, self.stored.transit);
        let filtered = std::mem::take(&mut lane.filtered);
        self.report(|status| {
            status.position = stored;
            status.transit_position = transit;
            status.filtered += filtered;
        });
    }

    /// Stores position and dead letters when they are new. A failure is told and overcome later: it must
    /// not keep records from where they are wanted.
    async fn store(&mut self) {
        let is_stored = |log| self.stored.of(log) == self.on_disk.of(log);
        if is_stored(LogKind::Stored) && is_stored(LogKind::Transit) && self.dead.is_empty() {
            return;
        }
        if let Some(mark) = self.destination.mark() {
            self.stored.mark = Some(mark);
        }
        let (state, name) = (
            Arc::clone(&self.shared.state),
            self.route.config.name.clone(),
        );
        let (position, letters) = (self.stored.encode(), self.dead.clone());
        let written = blocking(move || {
            let mut owned: Vec<OwnedStateChange> = Vec::new();
            if !letters.is_empty() {
                owned = dead_letters::changes(&*state, &name, &letters)?;
            }
            let position = StateChange::Put {
                collection: POSITIONS,
                key: &name,
                value: &position,
            };
            let letters = owned.iter().map(OwnedStateChange::as_change);
            let changes: Vec<StateChange<'_>> = std::iter::once(position).chain(letters).collect();
            state.apply(&changes)
        })
        .await;
        match written {
            Ok(()) => {
                self.on_disk = self.stored.clone();
                for log in [LogKind::Stored, LogKind::Transit] {
                    self.route.set_done(log, self.on_disk.of(log));
                }
                self.dead.clear();
            }
            Err(error) => {
                let text = format!("cannot store the position: {}", chain(&error));
                tracing::warn!(route = self.route.config.name, error = text);
                let now = self.now();
                self.report(|status| {
                    status.last_error = Some(text);
                    status.last_error_time = Some(now);
                });
            }
        }
    }

    /// The attempt failed and is made again after this pause.
    fn failed(&mut self, refusal: &Refusal) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let options = &self.shared.options;
        let backoff = Backoff {
            first: options.first_pause,
            longest: options.longest_pause,
        };
        let pause = backoff.pause(self.failures, (options.jitter)(), refusal.after);
        let now = self.now();
        if self.failures == 1 {
            let error = &refusal.text;
            tracing::warn!(
                route = self.route.config.name,
                error,
                "records could not be forwarded; they are tried again"
            );
        }
        self.report(|status| {
            status.state = RouteState::Retrying;
            status.last_error = Some(refusal.text.clone());
            status.last_error_time = Some(now);
            status.next_attempt = Some(now.saturating_add(pause));
        });
        pause
    }

    /// Tells what retention dropped.
    fn note_lost(&mut self, lane: &mut Lane) {
        let lost = lane.reading.take_lost();
        if lost == 0 {
            return;
        }
        tracing::warn!(
            route = self.route.config.name,
            lost,
            "records were dropped before they could be forwarded"
        );
        let now = self.now();
        self.report(|status| {
            status.lost += lost;
            status.notice = Some(format!(
                "at most {} records were dropped before they could be forwarded, the last at {now}: by retention, or because the disk buffer was full",
                status.lost
            ));
        });
    }

    fn now(&self) -> Timestamp {
        (self.shared.options.clock)()
    }

    fn report(&self, change: impl FnOnce(&mut RouteStatus)) {
        self.route.report(change);
    }
}

/// Waits for news of any of the logs.
async fn news(lanes: &mut [Lane]) {
    let changes = lanes.iter_mut().map(|lane| Box::pin(lane.news.changed()));
    // A log that has ended has no news; the stop ends the task.
    drop(futures_util::future::select_all(changes).await);
}
