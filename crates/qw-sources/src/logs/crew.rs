//! One thread that reads the files of all containers in turn.
//!
//! Each container gets one block at a time, so none of them keeps the others waiting. A container that
//! writes is looked at every few milliseconds, a silent one a few times a second. The place behind the
//! records of a batch is sent with it, so both are stored together or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{JoinHandle, Thread},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qw_pipeline::Intake;
use tokio_util::sync::CancellationToken;

use super::{
    place::Stored,
    tail::{MOST_BLOCK_BYTES, Step, Tail},
};
use crate::clock::now;

/// Bytes read at once, at first.
const BLOCK_BYTES: usize = 256 << 10;
/// Pause of a container that writes, and of one that is silent.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_millis(100);
/// The same, of one that is silent among very many.
const PAUSE_AMONG_MANY: Duration = Duration::from_millis(250);
/// Containers that make many.
const MANY: usize = 400;
/// Records are sent so often, at most, as long as they are few.
const SEND_EVERY: Duration = Duration::from_millis(50);
const FEW_EVENTS: usize = 512;
/// A place that has moved without records is stored so often.
const STORE_PLACE_EVERY: Duration = Duration::from_secs(5);
/// What is read to its end ends after this time: the kernel's notices of its last files come by then.
const LAST_NOTICES: Duration = Duration::from_millis(100);
/// Pause after a fault of the file system.
const RETRY: Duration = Duration::from_secs(1);

/// The thread, and what it is told.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Vec<Order>>,
    is_stopping: AtomicBool,
}

enum Order {
    Add(Box<Tail>, Intake),
    /// Nothing more will come: what is there is read to its end.
    End {
        key: String,
        /// What gets its name later is another log.
        is_done: bool,
    },
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Add(..) => "Add",
            Self::End { .. } => "End",
        })
    }
}

impl Crew {
    /// Starts the thread; it holds about `most_open` files open. `stop` ends its waiting for the
    /// pipeline.
    pub(super) fn start(most_open: usize, stop: CancellationToken) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: Arc::clone(&shared),
            runtime: tokio::runtime::Handle::current(),
            stop,
            members: Vec::new(),
            block: vec![0; BLOCK_BYTES],
            most_open,
        };
        let thread = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Has a log read.
    pub(super) fn add(&self, tail: Tail, intake: Intake) {
        self.order(Order::Add(Box::new(tail), intake));
    }

    /// Has what is there of the log `key` read to its end, and no more.
    pub(super) fn end(&self, key: &str) {
        self.order(Order::End {
            key: key.to_owned(),
            is_done: false,
        });
    }

    /// As [`Self::end`], of a log that is gone: what gets its name later is another one, and is read
    /// from its beginning.
    pub(super) fn end_for_good(&self, key: &str) {
        self.order(Order::End {
            key: key.to_owned(),
            is_done: true,
        });
    }

    fn order(&self, order: Order) {
        self.shared.orders.lock().push(order);
        if let Some(thread) = self.thread() {
            thread.unpark();
        }
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }

    /// Ends the thread, and waits for its end.
    pub(super) async fn stop(&mut self) {
        self.shared.is_stopping.store(true, SeqCst);
        let Some(thread) = self.thread.take() else {
            return;
        };
        thread.thread().unpark();
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread that reads logs has failed");
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
    members: Vec<Member>,
    block: Vec<u8>,
    most_open: usize,
}

struct Member {
    tail: Tail,
    intake: Intake,
    due: Instant,
    pause: Duration,
    sent: Instant,
    /// Where the newest place that was sent is.
    sent_to: u64,
    /// Not before then it ends, once it is to.
    ends: Option<Instant>,
    /// Its place is forgotten with its end.
    is_done: bool,
}

/// The pipeline has stopped, or we are to.
struct Stopped;

impl Worker {
    fn run(mut self) {
        while !self.shared.is_stopping.load(SeqCst) {
            self.take_orders();
            let start = Instant::now();
            let mut next = start + RETRY;
            let mut index = 0;
            while let Some(member) = self.members.get_mut(index) {
                if member.due <= start {
                    let pause = if self.members_are_many() {
                        PAUSE_AMONG_MANY
                    } else {
                        PAUSE_LAST
                    };
                    match self.work(index, pause) {
                        Ok(true) => {}
                        Ok(false) => {
                            self.members.swap_remove(index);
                            continue;
                        }
                        Err(Stopped) => return,
                    }
                }
                if let Some(member) = self.members.get(index) {
                    next = next.min(member.due);
                }
                index += 1;
            }
            self.bound_open();
            let wait = next.saturating_duration_since(Instant::now());
            if !wait.is_zero() && self.shared.orders.lock().is_empty() {
                std::thread::park_timeout(wait);
            }
        }
    }

    fn members_are_many(&self) -> bool {
        self.members.len() > MANY
    }

    fn take_orders(&mut self) {
        for order in std::mem::take(&mut *self.shared.orders.lock()) {
            match order {
                Order::Add(tail, intake) => self.members.push(Member {
                    tail: *tail,
                    intake,
                    due: Instant::now(),
                    pause: PAUSE_FIRST,
                    sent: Instant::now(),
                    sent_to: 0,
                    ends: None,
                    is_done: false,
                }),
                Order::End { key, is_done } => {
                    for member in &mut self.members {
                        if *member.tail.common().key == *key {
                            member.ends = Some(Instant::now() + LAST_NOTICES);
                            member.is_done = is_done;
                            member.due = Instant::now();
                        }
                    }
                }
            }
        }
    }

    /// One block of the member `index`; false when it has ended.
    fn work(&mut self, index: usize, longest_pause: Duration) -> Result<bool, Stopped> {
        let Some(member) = self.members.get_mut(index) else {
            return Ok(false);
        };
        let step = match member.tail.step(&mut self.block, now()) {
            Ok(step) => step,
            Err(error) => {
                let reader = &member.tail.common().reader;
                reader.error(error.to_string());
                if member.ends.is_some() {
                    Step::Idle
                } else {
                    member.due = Instant::now() + RETRY;
                    return Ok(true);
                }
            }
        };
        let is_over = member.ends.is_some_and(|ends| Instant::now() >= ends);
        let mut has_ended = is_over && step == Step::Idle;
        if has_ended {
            let looked = member.tail.files().last_look();
            has_ended = looked.is_err() || !member.tail.files().has_next();
        }
        match step {
            Step::Read => {
                member.pause = PAUSE_FIRST;
                member.due = Instant::now();
            }
            Step::Idle => {
                member.due = Instant::now() + member.pause;
                member.pause = (member.pause * 2).min(longest_pause);
                if !member.tail.files().is_watched()
                    && let Err(error) = member.tail.files().catch_up()
                {
                    member.tail.common().reader.error(error.to_string());
                }
            }
            Step::NeedsRoom => {
                let room = (self.block.len() * 2).min(MOST_BLOCK_BYTES);
                self.block.resize(room, 0);
            }
        }
        if has_ended {
            member.tail.finish(&mut self.block, now());
        }
        let reader = &member.tail.common().reader;
        reader.set_lag(if step == Step::Idle {
            0
        } else {
            member.tail.lag()
        });
        self.send(index, has_ended, step)?;
        Ok(!has_ended)
    }

    /// Sends the records of the member `index`, when they are many, or wait long enough.
    fn send(&mut self, index: usize, is_last: bool, step: Step) -> Result<(), Stopped> {
        let Some(member) = self.members.get_mut(index) else {
            return Ok(());
        };
        let waiting = member.tail.waiting_events();
        let since = member.sent.elapsed();
        let is_due = match waiting {
            0 => since >= STORE_PLACE_EVERY && step == Step::Idle,
            1..FEW_EVENTS => since >= SEND_EVERY,
            _ => true,
        };
        if !is_due && !is_last {
            if waiting > 0 {
                member.due = member.due.min(member.sent + SEND_EVERY);
            }
            return Ok(());
        }
        let is_done = is_last && member.is_done;
        let stored = match member.tail.place() {
            _ if is_done => Stored::Done,
            Ok(Some(place)) => {
                member.sent = Instant::now();
                if waiting == 0 && place.resume.start() == member.sent_to {
                    return Ok(());
                }
                member.sent_to = place.resume.start();
                Stored::File(place)
            }
            // Nothing to go on from yet; what there is waits for it.
            Ok(None) if !is_last => {
                member.sent = Instant::now();
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                member.tail.common().reader.error(error.to_string());
                return Ok(());
            }
        };
        let position = stored.position();
        let events = member.tail.take_events();
        let sending = member.intake.send(events, Some(position), now());
        let sent = self
            .runtime
            .block_on(self.stop.run_until_cancelled(sending));
        match sent {
            // Whether it was stored, the pipeline tells.
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Stopped),
        }
    }

    /// Closes files of silent containers when too many are open.
    fn bound_open(&mut self) {
        let mut open: usize = self
            .members
            .iter()
            .map(|member| member.tail.open_files())
            .sum();
        if open <= self.most_open {
            return;
        }
        for member in &mut self.members {
            if open <= self.most_open {
                return;
            }
            if member.pause >= PAUSE_LAST && member.tail.open_files() == 1 {
                member.tail.park();
                open -= 1 - member.tail.open_files();
            }
        }
    }
}
