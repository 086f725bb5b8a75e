//! One route's task: reads the log, hands on, moves the position.

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
    news: watch::Receiver<EventId>,
    /// What is done.
    stored: Stored,
    /// What is done as it is on disk.
    on_disk: EventId,
    reading: Reading,
    batch: Batch,
    /// When the first record of the batch was found.
    began: Option<Instant>,
    /// Looked at since the position, and not for this route.
    filtered: u64,
    failures: u32,
    /// Dead letters that are not stored yet.
    dead: Vec<DeadLetter>,
    /// No batch goes out before, because of the bound on records per second.
    free_at: Instant,
}

/// What comes after a round.
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
        Self {
            news: shared.window.subscribe(),
            reading: Reading::new(stored.id),
            on_disk: stored.id,
            shared,
            route,
            selection,
            destination,
            stop,
            stored,
            batch: Batch::default(),
            began: None,
            filtered: 0,
            failures: 0,
            dead: Vec::new(),
            free_at: Instant::now(),
        }
    }

    /// Runs until the stop.
    pub(crate) async fn run(mut self) {
        loop {
            // Before the log is read, so that news in between is not slept through.
            self.news.mark_unchanged();
            match self.round().await {
                Next::Go if !self.stop.is_cancelled() => tokio::task::yield_now().await,
                Next::Wait => {
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        _ = self.news.changed() => {}
                        () = sleep(self.shared.options.poll) => {
                            self.reading.look_into_store();
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
                        _ = self.news.changed() => {}
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

    async fn round(&mut self) -> Next {
        let has_more = match self.fill().await {
            Ok(has_more) => has_more,
            Err(text) => return Next::Pause(self.failed(&Refusal::passing(text))),
        };
        if self.batch.len() == 0 {
            // Nothing of it is for this route: it is done.
            self.advance(self.reading.scanned());
            if has_more {
                return Next::Go;
            }
            self.shared.release();
            self.report(|status| {
                status.state = RouteState::Idle;
                status.next_attempt = None;
            });
            return Next::Wait;
        }
        if !has_more {
            let linger = Duration::from_millis(self.route.config.batch.linger_millis.into());
            let until = *self.began.get_or_insert_with(Instant::now) + linger;
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
            let seconds = self.batch.len() as f64 / f64::from(most.max(1));
            self.free_at = now + Duration::from_secs_f64(seconds);
        }
        self.report(|status| status.state = RouteState::Sending);
        let batch = std::mem::take(&mut self.batch);
        self.began = None;
        let end = self.reading.scanned();
        self.hand_on(&batch, end).await
    }

    /// Most records of one batch.
    fn most_records(&self) -> usize {
        let most = self.route.config.max_records_per_second;
        let paced = most.map_or(usize::MAX, |most| most as usize);
        self.route.config.batch.records.min(paced).max(1)
    }

    /// Adds records to the batch; true when there may be more than fit.
    async fn fill(&mut self) -> Result<bool, String> {
        let (records, bytes) = (self.most_records(), self.route.config.batch.bytes);
        loop {
            if self.batch.len() >= records || self.batch.bytes() >= bytes || self.batch.is_heavy() {
                return Ok(true);
            }
            let kinds = self.selection.kinds();
            let shared = Arc::clone(&self.shared);
            let Some(page) = self.reading.next(&shared, kinds).await? else {
                self.note_lost();
                return Ok(false);
            };
            self.note_lost();
            let source = self.batch.add_source(&page);
            let scanned = self.reading.scanned();
            let begin = page.partition_point(|record| record.id <= scanned);
            let mut last = scanned;
            for (place, record) in page.iter().enumerate().skip(begin) {
                if self.batch.len() >= records || self.batch.bytes() >= bytes {
                    break;
                }
                last = record.id;
                if !self.selection.add(&mut self.batch, source, place, record) {
                    self.filtered += 1;
                }
            }
            self.reading.looked_at(last);
            self.route.set_reading(self.reading.scanned());
            if self.batch.len() == 0 {
                // Nothing of it is needed; and others may want the thread.
                self.batch = Batch::default();
                return Ok(true);
            }
        }
    }

    /// Sends `batch` until it is done, and moves the position to `end`.
    async fn hand_on(&mut self, batch: &Batch, end: EventId) -> Next {
        let mut progress = Progress::new(batch.len());
        while let Some(indices) = progress.current() {
            let part = Part::new(batch, indices);
            let (now, stop) = (self.now(), self.stop.clone());
            let outcome = tokio::select! {
                outcome = self.destination.deliver(part, now) => outcome,
                () = async { stop.cancelled().await; sleep(GRACE).await } => {
                    return self.break_off(batch, &progress);
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
                return self.break_off(batch, &progress);
            }
        }
        self.advance(end);
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
            self.dead.push(DeadLetter {
                id,
                reason: reason.clone(),
                time: now,
            });
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
    fn break_off(&mut self, batch: &Batch, progress: &Progress) -> Next {
        if let Some(id) = progress.first_pending().and_then(|index| batch.id(index)) {
            self.filtered = 0;
            self.advance(EventId(id.0.saturating_sub(1)));
        }
        Next::Stop
    }

    /// Everything up to `end` is done. The caller stores the position where something was sent: what was
    /// only passed over may be read again.
    fn advance(&mut self, end: EventId) {
        self.stored.id = self.stored.id.max(end);
        self.route.set_reading(self.stored.id);
        let (position, filtered) = (self.stored.id, std::mem::take(&mut self.filtered));
        self.report(|status| {
            status.position = position;
            status.filtered += filtered;
        });
    }

    /// Stores position and dead letters when they are new. A failure is told and overcome later: it must
    /// not keep records from where they are wanted.
    async fn store(&mut self) {
        if self.stored.id == self.on_disk && self.dead.is_empty() {
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
                self.on_disk = self.stored.id;
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
    fn note_lost(&mut self) {
        let lost = self.reading.take_lost();
        if lost == 0 {
            return;
        }
        tracing::warn!(
            route = self.route.config.name,
            lost,
            "retention dropped records before they could be forwarded"
        );
        let now = self.now();
        self.report(|status| {
            status.lost += lost;
            status.notice = Some(format!(
                "retention dropped at most {} records before they could be forwarded, the last at {now}",
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
