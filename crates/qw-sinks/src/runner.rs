//! One sink's task: reads the history, hands on, moves the position.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_event::{Alert, AlertAction, AlertChange, AlertId, AlertState, Timestamp};
use qw_store::{
    AlertFilter, AlertQuery, AlertSort, AlertStore, StateChange, StateStore, StoreError,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    config::{From, SinkConfig},
    message::{Kind, Message},
    notifier::Options,
    pace::{Leave, Meter},
    receiver::{Answer, Receiver, Refusal, chain},
    status::{Failure, SinkStatus, Standing},
};

/// Collection of the store of state that holds the positions, by name of the sink.
const POSITIONS: &str = "notification_positions";

/// Changes read at once.
const PAGE: usize = 500;

/// Open alerts that a receiver is reminded of, at most.
const MAX_REMINDERS: usize = 10_000;

/// How long a message on its way may take after the stop.
const GRACE: Duration = Duration::from_secs(3);

/// A sink, as its task and those who ask about it share it.
pub(crate) struct Sink {
    pub(crate) config: SinkConfig,
    /// `None` when it is switched off.
    pub(crate) receiver: Option<Box<dyn Receiver>>,
    status: Mutex<SinkStatus>,
}

impl Sink {
    pub(crate) fn new(
        config: SinkConfig,
        receiver: Option<Box<dyn Receiver>>,
        status: SinkStatus,
    ) -> Self {
        Self {
            config,
            receiver,
            status: Mutex::new(status),
        }
    }

    pub(crate) fn status(&self) -> SinkStatus {
        self.status.lock().clone()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.config.name).finish()
    }
}

/// What is kept of a sink.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    sequence: u64,
}

/// Where `sink` begins, when the newest change has the number `newest`; a new sink's beginning is
/// stored at once, so that a restart does not move it.
pub(crate) fn starting_position(
    sink: &SinkConfig,
    state: &dyn StateStore,
    newest: u64,
) -> Result<u64, StoreError> {
    let stored = state
        .get(POSITIONS, &sink.name)?
        .and_then(|text| serde_json::from_str::<Stored>(&text).ok());
    let beginning = match (stored, sink.from) {
        (Some(stored), _) if stored.sequence <= newest => return Ok(stored.sequence),
        (Some(stored), _) => {
            tracing::warn!(
                sink = sink.name,
                position = stored.sequence,
                newest,
                "the history of alerts is shorter than the sink's position; it goes on from its end"
            );
            newest
        }
        (None, From::Now) => newest,
        (None, From::Beginning) => 0,
    };
    store_position(state, &sink.name, beginning)?;
    Ok(beginning)
}

fn store_position(state: &dyn StateStore, name: &str, sequence: u64) -> Result<(), StoreError> {
    state.apply(&[StateChange::Put {
        collection: POSITIONS,
        key: name,
        value: &format!(r#"{{"sequence":{sequence}}}"#),
    }])
}

/// One sink's task.
pub(crate) struct Runner {
    sink: Arc<Sink>,
    console_url: Option<String>,
    alerts: Arc<dyn AlertStore>,
    state: Arc<dyn StateStore>,
    head: Arc<watch::Sender<u64>>,
    news: watch::Receiver<u64>,
    options: Options,
    stop: CancellationToken,
    /// Everything up to here is done.
    position: u64,
    /// The position as it is stored.
    stored: u64,
    meter: Meter,
    /// Failures in a row.
    failures: u32,
    /// When the receiver was last reminded of open alerts.
    reminded: Option<Timestamp>,
}

/// What comes after a round.
enum Next {
    /// Another round at once.
    Go,
    /// One when there is news.
    Wait,
    /// One after this pause.
    Pause(Duration),
    /// None.
    Stop,
}

/// One change of the history, and what the sink makes of it.
struct Entry {
    sequence: u64,
    verdict: Verdict,
}

enum Verdict {
    Tell(Box<Message>),
    Filtered,
    Missing,
}

/// The attempt was broken off by the stop.
struct Stopped;

impl Runner {
    #[allow(
        clippy::too_many_arguments,
        reason = "called in one place, which has all of them"
    )]
    pub(crate) fn new(
        sink: Arc<Sink>,
        position: u64,
        console_url: Option<String>,
        alerts: Arc<dyn AlertStore>,
        state: Arc<dyn StateStore>,
        head: Arc<watch::Sender<u64>>,
        options: Options,
        stop: CancellationToken,
    ) -> Self {
        Self {
            meter: Meter::new(sink.config.pace()),
            news: head.subscribe(),
            sink,
            console_url,
            alerts,
            state,
            head,
            options,
            stop,
            position,
            stored: position,
            failures: 0,
            reminded: None,
        }
    }

    /// Runs until the stop.
    pub(crate) async fn run(mut self) {
        loop {
            // Before the history is read, so that news in between is not slept through.
            self.news.mark_unchanged();
            match self.round().await {
                Next::Go if !self.stop.is_cancelled() => {}
                Next::Wait => {
                    let wait = self.options.poll.min(self.until_reminder());
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        _ = self.news.changed() => {}
                        () = sleep(wait) => self.store().await,
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
        let page = match self.read().await {
            Ok(page) => page,
            Err(error) => {
                let text = format!("cannot read the history of alerts: {}", chain(&error));
                return self.failed(&Refusal::passing(text));
            }
        };
        let entries: Vec<Entry> = page.into_iter().map(|row| self.entry(row)).collect();
        let Some(last) = entries.last().map(|entry| entry.sequence) else {
            if self.until_reminder().is_zero() {
                return self.remind().await;
            }
            self.report(|status| {
                status.standing = Standing::Idle;
                status.waiting_since = None;
                status.next_attempt = None;
            });
            return Next::Wait;
        };
        let messages: Vec<&Message> = entries.iter().filter_map(Entry::message).collect();
        let Some(first) = messages.first() else {
            self.advance(&entries, last, Ok(()));
            return Next::Go;
        };
        let since = first.change.time;
        self.report(|status| {
            status.standing = Standing::Sending;
            status.waiting_since = Some(since);
            status.next_attempt = None;
        });
        match self.meter.leave(self.now(), messages.len()) {
            Leave::Wait(pause) => {
                let at = self.now().saturating_add(pause);
                self.report(|status| {
                    status.standing = Standing::Paced;
                    status.next_attempt = Some(at);
                });
                Next::Pause(pause)
            }
            Leave::Together => {
                let all = messages.into_iter().cloned().collect();
                let Some(together) = Message::together(all) else {
                    return Next::Go;
                };
                let outcome = self.attempt(std::slice::from_ref(&together), 1).await;
                self.settle(outcome, &entries, last).await
            }
            Leave::Messages(count) => {
                let count = count.min(messages.len());
                let is_all = count == messages.len();
                let mut batches: Vec<Vec<Message>> = Vec::new();
                let size = self.receiver().batch().max(1);
                for batch in messages.get(..count).unwrap_or_default().chunks(size) {
                    batches.push(batch.iter().map(|&message| message.clone()).collect());
                }
                let ends: Vec<u64> = batches
                    .iter()
                    .filter_map(|batch| batch.last().map(|message| message.change.sequence))
                    .collect();
                let count = batches.len();
                for (place, (batch, end)) in batches.into_iter().zip(ends).enumerate() {
                    // Behind the last message, what is not for this sink is done with it.
                    let end = if is_all && place + 1 == count {
                        last
                    } else {
                        end
                    };
                    match self.hand_on(&entries, &batch, end).await {
                        Next::Go if !self.stop.is_cancelled() => {}
                        next => return next,
                    }
                }
                Next::Go
            }
        }
    }

    /// Hands on one batch; when it is refused for good, each of its messages alone, so that one bad
    /// message takes no other with it.
    async fn hand_on(&mut self, entries: &[Entry], batch: &[Message], end: u64) -> Next {
        let outcome = self.attempt(batch, batch.len()).await;
        let refused = matches!(&outcome, Ok(Err(refusal)) if refusal.permanent);
        if !refused || batch.len() == 1 {
            return self.settle(outcome, entries, end).await;
        }
        for (place, message) in batch.iter().enumerate() {
            let end = if place + 1 == batch.len() {
                end
            } else {
                message.change.sequence
            };
            let outcome = self.attempt(std::slice::from_ref(message), 1).await;
            match self.settle(outcome, entries, end).await {
                Next::Go if !self.stop.is_cancelled() => {}
                next => return next,
            }
        }
        Next::Go
    }

    /// One attempt at `messages`, which count as `paced` messages once they are taken.
    async fn attempt(
        &mut self,
        messages: &[Message],
        paced: usize,
    ) -> Result<Result<Answer, Refusal>, Stopped> {
        let sink = Arc::clone(&self.sink);
        let Some(receiver) = &sink.receiver else {
            return Err(Stopped);
        };
        let stop = self.stop.clone();
        let outcome = tokio::select! {
            outcome = receiver.deliver(messages, self.now()) => outcome,
            () = async { stop.cancelled().await; sleep(GRACE).await } => return Err(Stopped),
        };
        if let Ok(answer) = &outcome {
            self.meter.count(paced);
            self.failures = 0;
            let (now, answer) = (self.now(), answer.clone());
            let reminders = messages
                .iter()
                .filter(|one| one.kind == Kind::Reminder)
                .count();
            let grouped: u64 = messages
                .iter()
                .filter(|message| message.more > 0)
                .map(Message::changes)
                .sum();
            self.report(|status| {
                status.last_success = Some(now);
                status.last_answer = Some(answer);
                status.reminders += reminders as u64;
                status.grouped += grouped;
            });
        }
        Ok(outcome)
    }

    /// Moves the position to `end` when the receiver took the message or refused it for good.
    async fn settle(
        &mut self,
        outcome: Result<Result<Answer, Refusal>, Stopped>,
        entries: &[Entry],
        end: u64,
    ) -> Next {
        match outcome {
            Err(Stopped) => Next::Stop,
            Ok(Ok(_)) => {
                self.advance(entries, end, Ok(()));
                self.store().await;
                Next::Go
            }
            Ok(Err(refusal)) if refusal.permanent => {
                self.advance(entries, end, Err(&refusal));
                self.store().await;
                Next::Go
            }
            Ok(Err(refusal)) => self.failed(&refusal),
        }
    }

    /// Everything up to `end` is done; the messages among it with this outcome. The caller stores
    /// the position where something was told: what was only passed over may be read again.
    fn advance(&mut self, entries: &[Entry], end: u64, outcome: Result<(), &Refusal>) {
        let done = entries
            .iter()
            .filter(|entry| entry.sequence > self.position && entry.sequence <= end);
        let (mut told, mut filtered, mut missing) = (0, 0, 0);
        for entry in done {
            match entry.verdict {
                Verdict::Tell(_) => told += 1,
                Verdict::Filtered => filtered += 1,
                Verdict::Missing => missing += 1,
            }
        }
        self.position = end;
        let now = self.now();
        if let Err(refusal) = outcome {
            tracing::warn!(
                sink = self.sink.config.name,
                error = refusal.text,
                "a notification was refused for good"
            );
        }
        self.report(|status| {
            status.position = end;
            status.filtered += filtered;
            status.missing += missing;
            match outcome {
                Ok(()) => status.sent += told,
                Err(refusal) => {
                    status.failed += told;
                    status.last_failure = Some(Failure {
                        time: now,
                        text: refusal.text.clone(),
                        given_up: true,
                    });
                }
            }
        });
    }

    /// The attempt failed and is made again.
    fn failed(&mut self, refusal: &Refusal) -> Next {
        self.failures = self.failures.saturating_add(1);
        let backoff = Backoff {
            first: self.options.first_pause,
            longest: self.options.longest_pause,
        };
        let pause = backoff.pause(self.failures, (self.options.jitter)(), refusal.after);
        let now = self.now();
        if self.failures == 1 {
            tracing::warn!(
                sink = self.sink.config.name,
                error = refusal.text,
                "a notification could not be sent; it is tried again"
            );
        }
        self.report(|status| {
            status.retried += 1;
            status.standing = Standing::Retrying;
            status.next_attempt = Some(now.saturating_add(pause));
            status.last_failure = Some(Failure {
                time: now,
                text: refusal.text.clone(),
                given_up: false,
            });
        });
        Next::Pause(pause)
    }

    /// Stores the position when it has moved. A failure is tried again with the next move: what
    /// comes of it is that messages are repeated after a restart.
    async fn store(&mut self) {
        if self.position == self.stored {
            return;
        }
        let (state, name) = (Arc::clone(&self.state), self.sink.config.name.clone());
        let position = self.position;
        let stored = blocking(move || store_position(&*state, &name, position)).await;
        match stored {
            Ok(()) => self.stored = position,
            Err(error) => {
                let text = format!("cannot store the sink's position: {}", chain(&error));
                tracing::warn!(sink = self.sink.config.name, error = text);
                let time = self.now();
                self.report(|status| {
                    status.last_failure = Some(Failure {
                        time,
                        text,
                        given_up: false,
                    });
                });
            }
        }
    }

    /// The next page of the history.
    async fn read(&mut self) -> Result<Vec<(AlertChange, Option<Alert>)>, StoreError> {
        let (alerts, position) = (Arc::clone(&self.alerts), self.position);
        let (page, newest) = blocking(move || {
            let page = alerts.alert_changes_after(position, PAGE)?;
            Ok((page, alerts.last_alert()?.1))
        })
        .await?;
        // Nobody else need look again because of this.
        self.head.send_if_modified(|head| {
            *head = newest.max(*head);
            false
        });
        Ok(page)
    }

    fn entry(&self, (change, alert): (AlertChange, Option<Alert>)) -> Entry {
        let sequence = change.sequence;
        let Some(alert) = alert else {
            return Entry {
                sequence,
                verdict: Verdict::Missing,
            };
        };
        let keeps_state = self.receiver().keeps_state();
        let quiet =
            alert.silenced_by.is_some() && !matches!(change.what, AlertAction::Silenced { .. });
        let message = Message::new(change, alert, Kind::Change, self.console_url.as_deref());
        let takes = self.sink.config.takes(&message, keeps_state) && (keeps_state || !quiet);
        Entry {
            sequence,
            verdict: if takes {
                Verdict::Tell(Box::new(message))
            } else {
                Verdict::Filtered
            },
        }
    }

    /// Reminds the receiver of all open alerts.
    async fn remind(&mut self) -> Next {
        let mut after = None;
        for _ in 0..MAX_REMINDERS.div_ceil(PAGE) {
            let query = AlertQuery {
                states: AlertState::ALL
                    .into_iter()
                    .filter(|state| state.is_open())
                    .collect(),
                filter: AlertFilter {
                    min_priority: Some(self.sink.config.min_priority),
                    ..AlertFilter::default()
                },
                silenced: Some(false),
                sort: AlertSort::FirstSeen,
                after: after.take(),
                limit: PAGE,
                ..AlertQuery::default()
            };
            let alerts = Arc::clone(&self.alerts);
            let page = match blocking(move || alerts.alerts(&query)).await {
                Ok(page) => page,
                Err(error) => {
                    let text = format!("cannot read the open alerts: {}", chain(&error));
                    return self.failed(&Refusal::passing(text));
                }
            };
            let now = self.now();
            let messages: Vec<Message> = page
                .alerts
                .into_iter()
                .map(|alert| {
                    let change = AlertChange {
                        sequence: 0,
                        alert: AlertId(alert.id.0),
                        time: now,
                        who: String::new(),
                        what: AlertAction::Raised,
                    };
                    Message::new(change, alert, Kind::Reminder, self.console_url.as_deref())
                })
                .filter(|message| self.sink.config.takes(message, true))
                .collect();
            for batch in messages.chunks(self.receiver().batch().max(1)) {
                match self.attempt(batch, 0).await {
                    Err(Stopped) => return Next::Stop,
                    Ok(Ok(_)) => {}
                    // They are told again with the next reminders anyway.
                    Ok(Err(refusal)) if refusal.permanent => self.report(|status| {
                        status.last_failure = Some(Failure {
                            time: now,
                            text: refusal.text,
                            given_up: true,
                        });
                    }),
                    Ok(Err(refusal)) => return self.failed(&refusal),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        self.reminded = Some(self.now());
        Next::Go
    }

    /// Time until the receiver is to be reminded of open alerts.
    fn until_reminder(&self) -> Duration {
        match (self.receiver().reminders(), self.reminded) {
            (None, _) => Duration::MAX,
            (Some(_), None) => Duration::ZERO,
            (Some(every), Some(last)) => {
                let now = self.now();
                if now < last {
                    return Duration::ZERO;
                }
                every.saturating_sub(now.since(last))
            }
        }
    }

    fn receiver(&self) -> &dyn Receiver {
        match &self.sink.receiver {
            Some(receiver) => &**receiver,
            None => unreachable!("a sink that is switched off has no task"),
        }
    }

    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    fn report(&self, change: impl FnOnce(&mut SinkStatus)) {
        change(&mut self.sink.status.lock());
    }
}

impl Entry {
    fn message(&self) -> Option<&Message> {
        match &self.verdict {
            Verdict::Tell(message) => Some(message),
            Verdict::Filtered | Verdict::Missing => None,
        }
    }
}

/// Calls the store, which blocks.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
