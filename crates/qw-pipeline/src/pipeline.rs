//! The one loop that every event passes: number, filter, enrich, commit, tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use qw_event::{Batch, BatchId, DropReason, Outcome, SourceId, StoredEvent, Timestamp};
use qw_store::{Appended, RecordStore, StoreError, query::Filter};
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Intake, NotStored, NoticeLevel, Notices, SharedContainerIndex, SourceStatuses,
    enrich::Enrich,
    intake::{PERMIT_BYTES, Submission},
};

/// Sees every event that was committed, in the order of their numbers.
///
/// Called on the pipeline's thread: must be quick and must not wait.
pub trait Observer: Send {
    /// `events` were stored; `source` sent them and they were received at `received`.
    fn committed(&mut self, source: &SourceId, events: &Arc<[StoredEvent]>, received: Timestamp);
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
    /// Events that match one of these are not stored (outcome `filtered`).
    pub exclude: Vec<Filter>,
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
            options,
        }
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
            observers: self.observers,
            numbering: FxHashMap::default(),
            options,
            now,
        };
        let mut group = Vec::new();
        while let Some(first) = receiver.blocking_recv() {
            let mut events = first.events.len();
            group.push(first);
            while events < worker.options.commit_events
                && let Ok(next) = receiver.try_recv()
            {
                events += next.events.len();
                group.push(next);
            }
            worker.commit(std::mem::take(&mut group), stop);
        }
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
    observers: Vec<Box<dyn Observer>>,
    /// Newest epoch and sequence of each source that we number.
    numbering: FxHashMap<SourceId, (u64, u64)>,
    options: Options,
    now: Now,
}

/// What of a submission is not in its batch.
struct Rest {
    submission: Submission,
    size: u64,
}

impl<Now: Fn() -> Timestamp> Worker<Now> {
    fn commit(&mut self, mut group: Vec<Submission>, stop: &CancellationToken) {
        for submission in &mut group {
            let before = submission.events.len();
            if !self.options.exclude.is_empty() {
                let exclude = &self.options.exclude;
                submission
                    .events
                    .retain(|event| !exclude.iter().any(|filter| filter.matches(event)));
                let filtered = (before - submission.events.len()) as u64;
                submission.status.count(Outcome::Filtered, filtered);
                submission.status.left(filtered);
            }
            self.enrich.apply(&mut submission.events);
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
            let events = std::mem::take(&mut submission.events);
            rests.push(Rest {
                size: events.len() as u64,
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
        match self.store.append(&mut batches) {
            Ok(appended) => {
                self.numbering.extend(numbering);
                self.statistics.commits.fetch_add(1, Relaxed);
                self.statistics.failing.store(0, Relaxed);
                for (rest, appended) in rests.into_iter().zip(appended) {
                    self.tell(rest, appended);
                }
                Ok(())
            }
            Err(error) => Err((error, give_back(rests, batches))),
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

    fn tell(&mut self, rest: Rest, appended: Appended) {
        let Rest { submission, size } = rest;
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
    let size = submission.events.len() as u64;
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
