//! Events of one source as a bounded queue, for programs that want no store.
//!
//! The source waits while the queue is full; nothing is dropped before [`EventQueue::stop`].

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use qw_event::{Batch, Event, EventId, Outcome, SourceId, StoredEvent, Timestamp};
use qw_pipeline::{
    CancellationToken, Notices, Options, Pipeline, Source, SourceError, SourceStatus,
    SourceStatuses,
};
use qw_store::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Kinds, Maintenance, QueryError, RecordStore, Retention, RuleActivity,
    SourceCursor, StoreError, StoreStatistics, TimeRange,
};

use crate::clock::now;

/// A running source and the events it has sent.
pub struct EventQueue {
    shared: Arc<Shared>,
    status: Arc<SourceStatus>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

/// Counts of a queue since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStatistics {
    /// Lines received.
    pub lines: u64,
    /// Lines that were no events.
    pub errors: u64,
    /// Events that nobody took, because the queue was stopped.
    pub dropped: u64,
}

/// Why no event was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    /// None came in time.
    #[error("no event came in time")]
    Timeout,
    /// None will come: the input has ended, or the queue was stopped.
    #[error("the source has ended")]
    Ended,
}

impl EventQueue {
    /// Starts `source` on threads of its own. The queue holds `capacity` events, at least one.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(source: Box<dyn Source>, capacity: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            capacity: capacity.max(1),
            ..Shared::default()
        });
        let pipeline = Pipeline::new(
            Arc::new(Entrance(Arc::clone(&shared))),
            Arc::default(),
            SourceStatuses::default(),
            Notices::default(),
            Options {
                batches: 4,
                commit_events: 1,
                ..Options::default()
            },
        );
        let intake = pipeline.intake(&SourceId::new("queue"), "queue", "an event queue");
        let status = Arc::clone(intake.status());
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (running, stopped) = (Arc::clone(&shared), stop.clone());
        let read = move || {
            let ended = runtime.block_on(source.run(intake, stopped));
            running.state.lock().failure = ended.err();
            // A read that does not return must not hold up the end.
            runtime.shutdown_background();
        };
        let (filled, stopped) = (Arc::clone(&shared), stop.clone());
        let fill = move || {
            pipeline.run(&stopped, now);
            filled.end();
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = vec![
            thread("queue-fill").spawn(fill)?,
            thread("queue-read").spawn(read)?,
        ];
        Ok(Self {
            shared,
            status,
            stop,
            threads,
        })
    }

    /// The next event; waits for it until `timeout` is over.
    pub fn recv(&self, timeout: Duration) -> Result<Event, NoEvent> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                self.shared.changed.notify_all();
                return Ok(event);
            }
            if state.ended {
                return Err(NoEvent::Ended);
            }
            if self
                .shared
                .changed
                .wait_until(&mut state, deadline)
                .timed_out()
                && state.events.is_empty()
            {
                return Err(if state.ended {
                    NoEvent::Ended
                } else {
                    NoEvent::Timeout
                });
            }
        }
    }

    /// The next event if there is one now.
    pub fn try_recv(&self) -> Option<Event> {
        let event = self.shared.state.lock().events.pop_front();
        self.shared.changed.notify_all();
        event
    }

    /// Events that wait to be received.
    pub fn len(&self) -> usize {
        self.shared.state.lock().events.len()
    }

    /// True when none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts so far.
    pub fn stats(&self) -> QueueStatistics {
        let snapshot = self.status.snapshot();
        let outcome = |wanted: fn(&Outcome) -> bool| -> u64 {
            let outcomes = Outcome::ALL.into_iter().zip(snapshot.outcomes);
            outcomes
                .filter(|(outcome, _)| wanted(outcome))
                .map(|(_, count)| count)
                .sum()
        };
        QueueStatistics {
            lines: snapshot.received,
            errors: outcome(|outcome| matches!(outcome, Outcome::Invalid(_))),
            dropped: outcome(|outcome| matches!(outcome, Outcome::Dropped(_)))
                + self.shared.dropped.load(Relaxed),
        }
    }

    /// Stops the source and waits for its threads. Events that were not received are dropped and
    /// counted.
    ///
    /// # Errors
    /// Why the source ended before it was stopped, if it could not go on.
    pub fn stop(mut self) -> Result<QueueStatistics, SourceError> {
        self.end();
        let failure = self.shared.state.lock().failure.take();
        failure.map_or_else(|| Ok(self.stats()), Err)
    }

    fn end(&mut self) {
        self.stop.cancel();
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A panic has been reported by its thread.
            drop(thread.join());
        }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// Number of the newest event.
    last: u64,
    /// Nobody receives any more.
    closed: bool,
    /// Nothing comes any more.
    ended: bool,
    failure: Option<SourceError>,
}

impl Shared {
    /// Puts `events` in one by one, each as soon as there is room.
    fn put(&self, events: Vec<Event>) {
        let mut state = self.state.lock();
        for event in events {
            while state.events.len() >= self.capacity && !state.closed {
                self.changed.wait(&mut state);
            }
            if state.closed {
                self.dropped.fetch_add(1, Relaxed);
                continue;
            }
            state.last += 1;
            state.events.push_back(event);
            self.changed.notify_all();
        }
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.events);
        self.dropped.fetch_add(left.len() as u64, Relaxed);
        self.changed.notify_all();
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Where the pipeline puts events: a store that hands on and keeps nothing.
struct Entrance(Arc<Shared>);

impl RecordStore for Entrance {
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        _: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        let put = |batch: Batch| {
            self.0.put(batch.events);
            Appended::Stored(Arc::default())
        };
        Ok(batches.drain(..).map(put).collect())
    }

    fn cursor(&self, _: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        Ok(None)
    }

    fn events(&self, _: &EventQuery) -> Result<EventPage, QueryError> {
        Ok(EventPage {
            complete: true,
            ..EventPage::default()
        })
    }

    fn event(&self, _: EventId) -> Result<Option<StoredEvent>, QueryError> {
        Ok(None)
    }

    fn events_after(&self, _: EventId, _: usize, _: Kinds) -> Result<Vec<StoredEvent>, QueryError> {
        Ok(Vec::new())
    }

    fn histogram(&self, _: &HistogramQuery) -> Result<Histogram, QueryError> {
        Ok(Histogram {
            complete: true,
            ..Histogram::default()
        })
    }

    fn facets(&self, _: &FacetQuery) -> Result<Facets, QueryError> {
        Ok(Facets {
            complete: true,
            ..Facets::default()
        })
    }

    fn container_activity(
        &self,
        _: TimeRange,
        _: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        Ok(Vec::new())
    }

    fn rule_activity(&self, _: TimeRange, _: Kinds) -> Result<Vec<RuleActivity>, QueryError> {
        Ok(Vec::new())
    }

    fn maintain(&self, _: Timestamp, _: &Retention) -> Result<Maintenance, StoreError> {
        Ok(Maintenance::default())
    }

    fn last_id(&self) -> EventId {
        EventId(self.0.state.lock().last)
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::{
        harness::{DEADLINE, line},
        stdin::{Config, StdinSource},
    };

    fn queue(input: impl std::io::Read + Send + 'static, capacity: usize) -> EventQueue {
        let source = StdinSource::reading(Config::default(), input);
        EventQueue::start(Box::new(source), capacity).unwrap()
    }

    #[test]
    fn events_come_in_order_until_the_input_ends() {
        let queue = queue(Cursor::new(line("a") + "starting up\n" + &line("b")), 10);
        assert_eq!(&*queue.recv(DEADLINE).unwrap().rule, "a");
        assert_eq!(&*queue.recv(DEADLINE).unwrap().rule, "b");
        assert_eq!(queue.recv(DEADLINE).unwrap_err(), NoEvent::Ended);
        assert!(queue.is_empty() && queue.try_recv().is_none());
        let expected = QueueStatistics {
            lines: 3,
            errors: 1,
            dropped: 0,
        };
        assert_eq!((queue.stats(), queue.stop().unwrap()), (expected, expected));
    }

    #[test]
    fn waiting_ends_in_time() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let queue = queue(reader, 10);
        assert_eq!(
            queue.recv(Duration::from_millis(1)).unwrap_err(),
            NoEvent::Timeout
        );
        writer.write_all(line("a").as_bytes()).unwrap();
        assert_eq!(&*queue.recv(DEADLINE).unwrap().rule, "a");
        queue.stop().unwrap();
    }

    #[test]
    fn a_full_queue_holds_the_source_back_and_loses_nothing() {
        let queue = queue(Cursor::new(line("a").repeat(20_000)), 7);
        let mut received = 0;
        while queue.recv(DEADLINE).is_ok() {
            received += 1;
            assert!(queue.len() <= 7);
        }
        assert_eq!(received, 20_000);
        assert_eq!(queue.stats().dropped, 0);
    }

    #[test]
    fn what_nobody_took_is_counted_when_stopped() {
        let queue = queue(Cursor::new(line("a").repeat(20_000)), 1);
        queue.recv(DEADLINE).unwrap();
        let QueueStatistics {
            lines,
            errors: 0,
            dropped,
        } = queue.stop().unwrap()
        else {
            panic!()
        };
        assert_eq!(lines, dropped + 1);
    }
}
