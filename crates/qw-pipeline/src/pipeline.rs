//! The one loop that every event passes: number, filter, enrich, commit, tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use qw_alerts::{Desk, Folding, Seen};
use qw_event::{
    AlertChange, Batch, BatchId, Detection, DropReason, Event, Outcome, SourceId, StoredEvent,
    Timestamp,
};
use qw_store::{Accompaniment, Appended, Companion, RecordStore, StoreError, query::Filter};
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Detector, Intake, NotStored, NoticeLevel, Notices, Observe, SharedContainerIndex,
    SourceStatuses,
    enrich::Enrich,
    forward::Forwarding,
    intake::{PERMIT_BYTES, Submission},
    keep::Keep,
    transit::{TransitError, TransitLog, Written},
};

/// Sees every event that was committed, in the order of their numbers.
///
/// Called on the pipeline's thread: must be quick and must not wait.
pub trait Observer: Send {
    /// `events` were stored; `source` sent them and they were received at `received`.
    fn committed(&mut self, source: &SourceId, events: &Arc<[StoredEvent]>, received: Timestamp);

    /// `events` are in the disk buffer of routes and not stored, in the order of the numbers they have
    /// there.
    fn forwarded(
        &mut self,
        _source: &SourceId,
        _events: &Arc<[StoredEvent]>,
        _received: Timestamp,
    ) {
    }

    /// `events` are counted and profiled and not kept.
    fn observed(&mut self, _source: &SourceId, _events: &[Event], _received: Timestamp) {}

    /// `detection` was made in `event`, which was stored. Called before
    /// [`Observer::committed`] for its batch.
    fn detected(&mut self, _detection: &Detection, _event: &StoredEvent) {}

    /// These alerts were raised or have changed. Called before [`Observer::committed`] for the
    /// events that caused it.
    fn alerted(&mut self, _alerts: &[Seen]) {}
}

/// Bounds of the pipeline, and what it leaves out.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory that events on their way may hold, in bytes.
    pub memory_bytes: usize,
    /// Batches on their way.
    pub batches: usize,
    /// Events in one commit; a larger batch is committed alone.
    pub commit_events: usize,
    /// Events that match one of these are not stored (outcome `filtered`). Lines of logs are left out
    /// only by a filter that names kinds, such as `kind:log level:debug`.
    pub exclude: Vec<Filter>,
    /// Events that are counted and profiled, and stored only under conditions (outcome `observed`).
    pub observe: Observe,
    /// First and longest pause between tries when the store fails.
    pub retry: (Duration, Duration),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes: 32 << 20,
            batches: 1024,
            commit_events: 20_000,
            exclude: Vec::new(),
            observe: Observe::default(),
            retry: (Duration::from_millis(100), Duration::from_secs(5)),
        }
    }
}

/// Counts of the pipeline itself, since the process started.
#[derive(Debug, Default)]
pub struct PipelineStatistics {
    commits: AtomicU64,
    events: AtomicU64,
    failures: AtomicU64,
    failing: AtomicU64,
}

impl PipelineStatistics {
    /// Commits done.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// Events committed.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Commits that failed, each try counted.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// True while the newest try to commit has failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed) != 0
    }
}

/// The pipeline of one process.
pub struct Pipeline {
    store: Arc<dyn RecordStore>,
    statuses: SourceStatuses,
    notices: Notices,
    statistics: Arc<PipelineStatistics>,
    memory: Arc<Semaphore>,
    sender: mpsc::Sender<Submission>,
    receiver: mpsc::Receiver<Submission>,
    index: SharedContainerIndex,
    observers: Vec<Box<dyn Observer>>,
    detectors: Vec<Box<dyn Detector>>,
    desk: Option<Desk>,
    forwarding: Option<Forwarding>,
    options: Options,
}

impl Pipeline {
    /// A pipeline into `store`, which looks containers up in `index`.
    pub fn new(
        store: Arc<dyn RecordStore>,
        index: SharedContainerIndex,
        statuses: SourceStatuses,
        notices: Notices,
        options: Options,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(options.batches.max(1));
        let memory = Arc::new(Semaphore::new(permits(&options) as usize));
        Self {
            store,
            statuses,
            notices,
            statistics: Arc::default(),
            memory,
            sender,
            receiver,
            index,
            observers: Vec::new(),
            detectors: Vec::new(),
            desk: None,
            forwarding: None,
            options,
        }
    }

    /// Adds someone who looks at every event before it is stored. Without a desk, what detectors
    /// notice only decides what is kept.
    pub fn detect(&mut self, detector: Box<dyn Detector>) {
        self.detectors.push(detector);
    }

    /// Has what detectors notice folded into alerts at `desk`.
    pub fn alert(&mut self, desk: Desk) {
        self.desk = Some(desk);
    }

    /// Has records that match one of `filters` and in which nothing was noticed forwarded and not stored, by
    /// way of `log`, while `is_wanted` says that there is a route.
    pub fn forward_only(
        &mut self,
        log: Arc<TransitLog>,
        filters: Vec<Filter>,
        is_wanted: impl Fn() -> bool + Send + 'static,
    ) {
        self.forwarding = Some(Forwarding::new(log, filters, Box::new(is_wanted)));
    }

    /// Adds someone who sees what was committed.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observers.push(observer);
    }

    /// A door for the source `id`.
    pub fn intake(&self, id: &SourceId, kind: &'static str, description: &str) -> Intake {
        let status = self.statuses.register(id, kind, description);
        status.set_capacity(self.options.memory_bytes as u64);
        Intake {
            source: id.clone(),
            status,
            sender: self.sender.clone(),
            memory: Arc::clone(&self.memory),
            memory_permits: permits(&self.options),
            store: Arc::clone(&self.store),
        }
    }

    /// Counts of the pipeline.
    pub fn statistics(&self) -> Arc<PipelineStatistics> {
        Arc::clone(&self.statistics)
    }

    /// Runs until every intake is gone, or, once `stop` has fired, until the queue is empty or the
    /// store fails. Blocks; give it a thread of its own. `now` tells the time.
    pub fn run(self, stop: &CancellationToken, now: impl Fn() -> Timestamp) {
        let Self {
            store,
            notices,
            statistics,
            sender,
            mut receiver,
            index,
            options,
            ..
        } = self;
        drop(sender);
        let mut worker = Worker {
            store,
            notices,
            statistics,
            enrich: Enrich::new(index),
            detectors: self.detectors,
            desk: self.desk,
            forwarding: self.forwarding,
            keep: Keep::new(options.observe.clone()),
            observers: self.observers,
            numbering: FxHashMap::default(),
            options,
            now,
        };
        let mut group = Vec::new();
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            let first = match worker.keep.look_again() {
                None => receiver.blocking_recv(),
                Some(limit) => match receive(&mut receiver, &waker, limit) {
                    Ok(received) => received,
                    Err(Idle) => {
                        worker.let_go(Some((worker.now)()));
                        continue;
                    }
                },
            };
            let Some(first) = first else { break };
            let mut events = first.events.len();
            group.push(first);
            while events < worker.options.commit_events
                && let Ok(next) = receiver.try_recv()
            {
                events += next.events.len();
                group.push(next);
            }
            worker.commit(std::mem::take(&mut group), stop);
            worker.let_go(Some((worker.now)()));
        }
        worker.let_go(None);
    }
}

/// Wakes the pipeline's thread when something arrives.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Nothing arrived in time.
struct Idle;

/// As `blocking_recv`, for at most `limit`.
fn receive(
    receiver: &mut mpsc::Receiver<Submission>,
    waker: &Waker,
    limit: Duration,
) -> Result<Option<Submission>, Idle> {
    let start = Instant::now();
    let mut context = Context::from_waker(waker);
    loop {
        if let Poll::Ready(received) = receiver.poll_recv(&mut context) {
            return Ok(received);
        }
        let rest = limit.checked_sub(start.elapsed()).ok_or(Idle)?;
        std::thread::park_timeout(rest);
    }
}

fn permits(options: &Options) -> u32 {
    u32::try_from(options.memory_bytes / PERMIT_BYTES)
        .unwrap_or(u32::MAX)
        .max(1)
}

struct Worker<Now> {
    store: Arc<dyn RecordStore>,
    notices: Notices,
    statistics: Arc<PipelineStatistics>,
    enrich: Enrich,
    detectors: Vec<Box<dyn Detector>>,
    desk: Option<Desk>,
    forwarding: Option<Forwarding>,
    keep: Keep,
    observers: Vec<Box<dyn Observer>>,
    /// Newest epoch and sequence of each source that we number.
    numbering: FxHashMap<SourceId, (u64, u64)>,
    options: Options,
    now: Now,
}

/// What the store commits together with events: alerts, what detectors have learned, and the end of the
/// disk buffer.
struct Together<'a> {
    written: Option<&'a Written>,
    folding: Option<Folding<'a>>,
    detectors: &'a mut [Box<dyn Detector>],
    now: Timestamp,
}

impl Companion for Together<'_> {
    fn accompany(&mut self, appended: &[Appended]) -> Accompaniment {
        let folding = self.folding.as_mut();
        let mut accompaniment = folding
            .map(|folding| folding.accompany(appended))
            .unwrap_or_default();
        let end = self.written.map(TransitLog::end_state);
        accompaniment.state.extend(end);
        let newest = appended.iter().rev().find_map(|appended| match appended {
            Appended::Stored(events) => events.last().map(|stored| stored.id),
            Appended::Duplicate => None,
        });
        if let Some(newest) = newest {
            for detector in &mut *self.detectors {
                accompaniment.state.extend(detector.state(newest, self.now));
            }
        }
        accompaniment
    }

    fn committed(&mut self, changes: Vec<AlertChange>) {
        if let Some(folding) = &mut self.folding {
            folding.committed(changes);
        }
        for detector in &mut *self.detectors {
            detector.state_stored();
        }
    }
}

/// What of a submission is not in its batch.
struct Rest {
    submission: Submission,
    size: u64,
    /// Epoch and sequence.
    number: (u64, u64),
}

impl<Now: Fn() -> Timestamp> Worker<Now> {
    fn commit(&mut self, mut group: Vec<Submission>, stop: &CancellationToken) {
        for submission in &mut group {
            self.prepare(submission);
        }

        let mut pause = self.options.retry.0;
        loop {
            let (taken, withdrawn): (Vec<_>, Vec<_>) = group
                .into_iter()
                .partition(|submission| submission.ticket.take());
            for submission in withdrawn {
                end(
                    submission,
                    Outcome::Dropped(DropReason::StoreFailed),
                    NotStored::Withdrawn,
                );
            }
            if taken.is_empty() {
                return;
            }
            match self.append(taken) {
                Ok(()) => return,
                Err((error, back)) => {
                    self.report(&error);
                    if !error.is_retryable() {
                        self.refuse(back, &error, stop);
                        return;
                    }
                    for submission in &back {
                        submission.ticket.give_back();
                    }
                    if stop.is_cancelled() {
                        for submission in back {
                            end(
                                submission,
                                Outcome::Dropped(DropReason::Stopped),
                                NotStored::Stopped,
                            );
                        }
                        return;
                    }
                    group = back;
                    wait(pause, stop);
                    pause = (pause * 2).min(self.options.retry.1);
                }
            }
        }
    }

    /// Filters, enriches and looks at the events of `submission`, once.
    fn prepare(&mut self, submission: &mut Submission) {
        if std::mem::replace(&mut submission.is_prepared, true) {
            return;
        }
        let before = submission.events.len();
        if !self.options.exclude.is_empty() {
            let exclude = &self.options.exclude;
            // A filter that does not say so is not about logs.
            let is_about =
                |filter: &Filter, event: &Event| event.kind.is_event() || filter.names_kinds();
            submission.events.retain(|event| {
                !exclude
                    .iter()
                    .any(|filter| is_about(filter, event) && filter.matches(event))
            });
            let filtered = (before - submission.events.len()) as u64;
            submission.status.count(Outcome::Filtered, filtered);
            submission.status.left(filtered);
        }
        // What was stored before is not looked at again: nothing is learned twice.
        if self.is_stored(submission) {
            return;
        }
        self.enrich.apply(&mut submission.events);
        for detector in &mut self.detectors {
            detector.detect(
                &submission.events,
                submission.received,
                &mut submission.detections,
            );
        }
        if self.detectors.len() > 1 {
            submission
                .detections
                .sort_by_key(|detection| detection.event);
        }
        self.keep.apply(submission);
        if let Some(forwarding) = &self.forwarding {
            forwarding.apply(submission);
        }
    }

    /// True when the store has this batch already, which its sender sent again. One whose first copy
    /// is still on its way is not known.
    fn is_stored(&self, submission: &Submission) -> bool {
        let Some((epoch, sequence)) = submission.numbered else {
            return false;
        };
        let cursor = self.store.cursor(&submission.source).ok().flatten();
        cursor.is_some_and(|cursor| cursor.epoch == epoch && sequence <= cursor.sequence)
    }

    /// Counts what was held in vain; everything when `now` is `None`.
    fn let_go(&mut self, now: Option<Timestamp>) {
        for group in self.keep.let_go(now) {
            for observer in &mut self.observers {
                observer.observed(&group.source, &group.events, group.received);
            }
            let events = group.events.len() as u64;
            group.status.count(Outcome::Observed, events);
            group.status.left(events);
        }
    }

    /// One of `group` cannot be stored: finds out which by committing each alone.
    fn refuse(&mut self, mut group: Vec<Submission>, error: &StoreError, stop: &CancellationToken) {
        if group.len() == 1 {
            let refused = NotStored::Refused(error.to_string());
            end(
                group.remove(0),
                Outcome::Dropped(DropReason::StoreFailed),
                refused,
            );
            return;
        }
        for submission in group {
            submission.ticket.give_back();
            self.commit(vec![submission], stop);
        }
    }

    fn append(&mut self, group: Vec<Submission>) -> Result<(), (StoreError, Vec<Submission>)> {
        let mut batches = Vec::with_capacity(group.len());
        let mut rests = Vec::with_capacity(group.len());
        let mut numbering = FxHashMap::default();
        for mut submission in group {
            let (epoch, sequence) = match submission.numbered {
                Some(numbered) => numbered,
                None => match self.next_number(&submission.source, &mut numbering) {
                    Ok(number) => number,
                    Err(error) => {
                        let mut back = give_back(rests, batches);
                        back.push(submission);
                        return Err((error, back));
                    }
                },
            };
            // The second of two copies that are on their way together is not known to `is_stored`.
            let is_second = |rest: &Rest| {
                rest.submission.source == submission.source && rest.number == (epoch, sequence)
            };
            let is_numbered = submission.numbered.is_some();
            if is_numbered && !submission.passing.is_empty() && rests.iter().any(is_second) {
                submission.events.append(&mut submission.passing);
            }
            let events = std::mem::take(&mut submission.events);
            rests.push(Rest {
                size: events.len() as u64,
                number: (epoch, sequence),
                submission,
            });
            let Some(Rest { submission, .. }) = rests.last() else {
                continue;
            };
            batches.push(Batch {
                id: BatchId {
                    source: submission.source.clone(),
                    epoch,
                    sequence,
                },
                position: submission.position.clone(),
                received: submission.received,
                events,
            });
        }
        let detections: Vec<Vec<Detection>> = rests
            .iter_mut()
            .map(|rest| std::mem::take(&mut rest.submission.detections))
            .collect();
        let now = (self.now)();
        let is_noticed = detections.iter().any(|found| !found.is_empty());
        let desk = self.desk.as_ref().filter(|_| is_noticed);
        let written = match self.write_passing(&rests) {
            Ok(written) => written,
            Err(error) => {
                restore(&mut rests, detections);
                return Err((error, give_back(rests, batches)));
            }
        };
        let (appended, seen) = {
            let mut together = Together {
                written: written.as_ref(),
                folding: desk.map(|desk| desk.fold(&detections, now)),
                detectors: &mut self.detectors,
                now,
            };
            let appended = self.store.append_with(&mut batches, &mut together);
            let seen = together.folding.take().map(Folding::finish);
            (appended, seen.unwrap_or_default())
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                restore(&mut rests, detections);
                return Err((error, give_back(rests, batches)));
            }
        };
        self.numbering.extend(numbering);
        self.statistics.commits.fetch_add(1, Relaxed);
        self.statistics.failing.store(0, Relaxed);
        if let Some(written) = &written {
            self.tell_passing(written, &mut rests);
        }
        if !seen.is_empty() {
            for observer in &mut self.observers {
                observer.alerted(&seen);
            }
        }
        for ((rest, appended), detections) in rests.into_iter().zip(appended).zip(&detections) {
            self.tell(rest, appended, detections);
        }
        Ok(())
    }

    /// Writes what is forwarded and not stored into the disk buffer.
    fn write_passing(&self, rests: &[Rest]) -> Result<Option<Written>, StoreError> {
        let Some(forwarding) = &self.forwarding else {
            return Ok(None);
        };
        let passing = rests.iter().map(|rest| &*rest.submission.passing);
        forwarding
            .log
            .write(passing)
            .map_err(TransitError::into_store_error)
    }

    /// What was written to the disk buffer is committed.
    fn tell_passing(&mut self, written: &Written, rests: &mut [Rest]) {
        let Some(forwarding) = &self.forwarding else {
            return;
        };
        forwarding.log.committed(written);
        let mut next = written.first;
        for rest in rests {
            let submission = &mut rest.submission;
            if submission.passing.is_empty() {
                continue;
            }
            let numbered = |event| {
                let id = next;
                next.0 += 1;
                StoredEvent { id, event }
            };
            let passing = std::mem::take(&mut submission.passing);
            let passing: Arc<[StoredEvent]> = passing.into_iter().map(numbered).collect();
            let count = passing.len() as u64;
            submission.status.count(Outcome::Forwarded, count);
            submission.status.left(count);
            let newest = passing.iter().map(|stored| stored.event.time).max();
            submission.status.committed(newest, None);
            for observer in &mut self.observers {
                observer.forwarded(&submission.source, &passing, submission.received);
            }
        }
    }

    fn next_number(
        &self,
        source: &SourceId,
        pending: &mut FxHashMap<SourceId, (u64, u64)>,
    ) -> Result<(u64, u64), StoreError> {
        let newest = match pending.get(source).or_else(|| self.numbering.get(source)) {
            Some(newest) => *newest,
            None => self
                .store
                .cursor(source)?
                .map_or((1, 0), |cursor| (cursor.epoch, cursor.sequence)),
        };
        let next = (newest.0, newest.1 + 1);
        pending.insert(source.clone(), next);
        Ok(next)
    }

    fn tell(&mut self, rest: Rest, appended: Appended, detections: &[Detection]) {
        let Rest {
            submission, size, ..
        } = rest;
        let status = &submission.status;
        match appended {
            Appended::Stored(events) => {
                status.count(Outcome::Stored, size);
                status.committed(
                    events.iter().map(|stored| stored.event.time).max(),
                    submission
                        .position
                        .as_ref()
                        .map(|position| position.0.as_str()),
                );
                self.statistics.events.fetch_add(size, Relaxed);
                if !events.is_empty() {
                    for observer in &mut self.observers {
                        for detection in detections {
                            if let Some(event) = events.get(detection.event) {
                                observer.detected(detection, event);
                            }
                        }
                        observer.committed(&submission.source, &events, submission.received);
                    }
                }
            }
            Appended::Duplicate => status.count(Outcome::Duplicate, size),
        }
        status.left(size);
        // The source may have gone without waiting.
        drop(submission.done.send(Ok(())));
    }

    fn report(&self, error: &StoreError) {
        self.statistics.failures.fetch_add(1, Relaxed);
        self.statistics.failing.store(1, Relaxed);
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        tracing::error!(error = text, "cannot commit; sources wait");
        self.notices.raise(
            (self.now)(),
            NoticeLevel::Error,
            "store",
            &format!("events cannot be stored, sources wait: {text}"),
        );
    }
}

/// Gives submissions the detections back that were taken out for a commit.
fn restore(rests: &mut [Rest], detections: Vec<Vec<Detection>>) {
    for (rest, detections) in rests.iter_mut().zip(detections) {
        rest.submission.detections = detections;
    }
}

fn give_back(rests: Vec<Rest>, batches: Vec<Batch>) -> Vec<Submission> {
    let mut back = Vec::with_capacity(rests.len());
    for (rest, batch) in rests.into_iter().zip(batches) {
        back.push(Submission {
            events: batch.events,
            ..rest.submission
        });
    }
    back
}

fn end(submission: Submission, outcome: Outcome, reason: NotStored) {
    let size = (submission.events.len() + submission.passing.len()) as u64;
    submission.status.count(outcome, size);
    submission.status.left(size);
    // The source may have gone without waiting.
    drop(submission.done.send(Err(reason)));
}

/// Waits `pause`, less when `stop` fires. On the pipeline's own thread, which has nothing else to do.
fn wait(pause: Duration, stop: &CancellationToken) {
    let step = Duration::from_millis(50);
    let mut left = pause;
    while !left.is_zero() && !stop.is_cancelled() {
        let now = step.min(left);
        std::thread::park_timeout(now);
        left = left.saturating_sub(now);
    }
}
