//! Follows the log of one container, from where it was left, as long as it is wanted.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use qw_docker::{Docker, Error, LogFormat, LogPiece, LogsQuery, StreamKind};
use qw_event::{Outcome, Timestamp};
use qw_pipeline::{NotAccepted, SourceState, SourceStatus};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{cursor::Cursor, now};

/// A batch goes out with so many lines, or bytes of lines, or after so long.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_DELAY: Duration = Duration::from_millis(100);

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// For what only an operator can change, such as a log driver that cannot be read.
const RETRY_HOPELESS: Duration = Duration::from_secs(60);
/// A stopped container is looked at this often even when nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// So often the engine is asked again before records older than the last are believed.
const DOUBTS: u32 = 3;
/// How far before the newest record reading begins again: at once, and after a time without reading.
const LOOK_BACK_LIVE: Duration = Duration::from_secs(5);
const LOOK_BACK_AWAY: Duration = Duration::from_secs(60);

/// What the followers of one source share.
pub(crate) struct Shared {
    pub(crate) docker: Docker,
    pub(crate) status: Arc<SourceStatus>,
    /// Followers that have a log stream open.
    pub(crate) reading: AtomicUsize,
    /// Whether the state of the source is that of its followers.
    pub(crate) tells_state: bool,
}

/// Makes something of the records of one log, and hands it on.
///
/// Records are numbered within a pass, from the one behind the cursor on.
#[async_trait]
pub(crate) trait Gather: Send {
    /// Standard output and standard error: which are wanted.
    fn streams(&self) -> (bool, bool);

    /// A pass begins: what is not complete will come again.
    fn begin(&mut self);

    /// Records that were read before, although the cursor is not behind them.
    fn known(&self) -> u64 {
        0
    }

    /// Takes the record `number`.
    fn push(&mut self, piece: LogPiece, time: Timestamp, number: u64);

    /// The first record that something incomplete needs.
    fn oldest_pending(&self) -> Option<u64>;

    /// When something incomplete is to be taken as it is.
    fn next_flush(&self) -> Option<Timestamp> {
        None
    }

    /// Takes what has been incomplete for long enough.
    fn flush(&mut self) {}

    /// Takes what is incomplete, because nothing more will come.
    fn finish(&mut self);

    /// Records are missing before the next one.
    fn gap(&mut self, container: &str);

    /// The log could not be read.
    fn failed(&mut self, error: &str);

    /// The engine keeps nothing of the log that could be read.
    fn unreadable(&mut self, error: &str) {
        self.failed(error);
    }

    /// Lines, and bytes of them, that were not handed on yet.
    fn waiting(&self) -> (usize, u64);

    /// A pass has ended: of the `read` records that were read, the cursor is behind the first
    /// `settled`.
    fn end(&mut self, _settled: u64, _read: u64) {}

    /// Hands on what is complete. `cursor` is behind the first `settled` records of the pass, of which
    /// `read` were read.
    async fn send(&mut self, cursor: &Cursor, settled: u64, read: u64) -> Result<(), NotAccepted>;
}

/// What the source knows of a container from its listings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// It runs.
    pub(crate) running: bool,
    /// It is still selected; if not, what it has written is read to the end and no more.
    pub(crate) wanted: bool,
    /// How often the engine's clock was set back so far, and to when the last time.
    pub(crate) set_back: (u64, Timestamp),
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The container is gone.
    Gone,
    /// It is no longer wanted and read to its end.
    Drained,
    /// We are to stop.
    Stopped,
}

/// Follows one container.
pub(crate) struct Follower<G> {
    shared: Arc<Shared>,
    id: String,
    name: String,
    cursor: Cursor,
    gather: G,
    seen: watch::Receiver<Seen>,
    /// Set-backs of the engine's clock that the cursor is prepared for.
    set_backs: u64,
    stop: CancellationToken,
    /// When what was gathered is to be handed on.
    due: Option<Instant>,
    /// A record older than the one before it, met on the last pass, and how often in a row.
    doubted: Option<(Timestamp, Bytes)>,
    doubts: u32,
    /// The last pass ended only to be followed by another at once.
    is_live: bool,
    /// Times of the records of this pass that the cursor is not behind yet.
    open: VecDeque<Timestamp>,
    /// Records of this pass that were read, and that the cursor has got behind.
    read: u64,
    settled: u64,
}

/// What to do after a round.
enum Next {
    /// Another one at once.
    AtOnce,
    /// Another one after a pause.
    Later,
    /// Nothing more.
    End(Ended),
}

/// How far to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Until the container stops.
    Stopped,
    /// To the end of what there is, while the container may go on.
    Now,
    /// To the end of what there is, which is complete.
    Complete,
}

/// How reading one stream ended.
#[derive(PartialEq, Eq)]
enum Pass {
    /// The engine has ended it.
    Ended,
    /// It must be read again from the cursor.
    Again,
    /// We are to stop.
    Stopped,
}

/// Why a pass failed.
enum Failure {
    Engine(Error),
    /// The engine says within the stream that it cannot go on.
    Reported(String),
    /// The pipeline has stopped.
    NoPipeline,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl<G: Gather> Follower<G> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: String,
        name: String,
        cursor: Cursor,
        gather: G,
        seen: watch::Receiver<Seen>,
        stop: CancellationToken,
    ) -> Self {
        let (set_backs, _) = seen.borrow().set_back;
        Self {
            shared,
            id,
            name,
            cursor,
            gather,
            set_backs,
            seen,
            stop,
            due: None,
            doubted: None,
            doubts: 0,
            is_live: false,
            open: VecDeque::new(),
            read: 0,
            settled: 0,
        }
    }

    /// Reads and sends until the container is gone or no longer wanted, or until stopped.
    pub(crate) async fn run(mut self) -> Ended {
        let mut pause = RETRY_FIRST;
        loop {
            if self.stop.is_cancelled() {
                return Ended::Stopped;
            }
            self.settled = 0;
            let error = match self.round().await {
                Ok(Next::End(ended)) => return ended,
                Ok(Next::AtOnce) => {
                    pause = RETRY_FIRST;
                    continue;
                }
                Ok(Next::Later) => None,
                Err(Failure::NoPipeline) => return Ended::Stopped,
                Err(Failure::Engine(error)) if error.is_not_found() => return Ended::Gone,
                Err(Failure::Engine(error)) if error.is_unreadable_log() => {
                    self.gather.unreadable(&error.chain());
                    // Nothing changes that as long as the container is there.
                    pause = RETRY_HOPELESS;
                    None
                }
                Err(Failure::Engine(error)) => {
                    if !error.is_retryable() {
                        pause = RETRY_HOPELESS;
                    }
                    Some(error.chain())
                }
                Err(Failure::Reported(text)) => Some(format!("the engine reports: {text}")),
            };
            if let Some(error) = error {
                tracing::warn!(container = self.name, error, "cannot read the log");
                let text = format!("log of container `{}`: {error}", self.name);
                self.gather.failed(&error);
                self.shared.status.error(text, now());
            }
            if self.settled > 0 {
                pause = RETRY_FIRST;
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ended::Stopped,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// Looks at the container, reads what there is, and waits when it does not run.
    async fn round(&mut self) -> Result<Next, Failure> {
        let seen = *self.seen.borrow_and_update();
        let container = self.shared.docker.container(&self.id).await?;
        container
            .name
            .trim_start_matches('/')
            .clone_into(&mut self.name);
        let format = if container.config.tty {
            LogFormat::Raw
        } else {
            LogFormat::Framed
        };
        // Between two runs the engine calls it running, too.
        let runs = container.state.running && !container.state.restarting;
        if runs && seen.wanted {
            return Ok(match self.pass(format, Until::Stopped).await? {
                Pass::Stopped => Next::End(Ended::Stopped),
                // The stream ended although the container runs, and gave nothing: not too often.
                Pass::Ended if self.settled == 0 => Next::Later,
                Pass::Ended | Pass::Again => Next::AtOnce,
            });
        }
        // Its output is complete, or all that is still asked for: read until nothing new comes.
        let until = if runs { Until::Now } else { Until::Complete };
        loop {
            match self.pass(format, until).await? {
                Pass::Stopped => return Ok(Next::End(Ended::Stopped)),
                Pass::Ended if self.settled == 0 => break,
                Pass::Ended | Pass::Again => {}
            }
        }
        if !seen.wanted {
            return Ok(Next::End(Ended::Drained));
        }
        tokio::select! {
            () = self.stop.cancelled() => return Ok(Next::End(Ended::Stopped)),
            () = woken(&mut self.seen) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        Ok(Next::AtOnce)
    }

    /// Reads one log stream to its end. Whatever was taken has been sent when this returns.
    async fn pass(&mut self, format: LogFormat, until: Until) -> Result<Pass, Failure> {
        let follow = until == Until::Stopped;
        let (set_backs, to) = self.seen.borrow().set_back;
        if set_backs != self.set_backs {
            self.set_backs = set_backs;
            self.cursor.include(to);
        }
        // Set-backs while we read are seen within seconds, others may be larger.
        self.cursor.look_back(if self.is_live {
            LOOK_BACK_LIVE
        } else {
            LOOK_BACK_AWAY
        });
        self.is_live = false;
        let (stdout, stderr) = self.gather.streams();
        let query = LogsQuery {
            stdout,
            stderr,
            follow,
            since: self.cursor.ask_since(),
            until: None,
            timestamps: true,
            tail: None,
        };
        let mut stream = self.shared.docker.logs(&self.id, &query, format).await?;
        let reading = follow.then(|| Reading::begin(&self.shared));
        self.gather.begin();
        self.open.clear();
        self.read = 0;
        let mut resumption = self.cursor.resume();
        let mut previous = self.cursor.last();
        let mut previous_piece: Option<LogPiece> = None;
        let mut told_gap = false;
        self.settled = 0;
        let ended = loop {
            let piece = tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(Pass::Stopped),
                piece = stream.next() => piece,
                () = due(self.due) => {
                    self.send().await?;
                    continue;
                }
                () = flush_due(self.gather.next_flush()) => {
                    self.gather.flush();
                    self.settle();
                    continue;
                }
                () = interrupted(&mut self.seen, self.set_backs), if follow => break Ok(Pass::Again),
            };
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(Pass::Ended),
                Err(error) => break Err(error.into()),
            };
            match piece.stream {
                StreamKind::Stdout if stdout => {}
                StreamKind::Stderr if stderr => {}
                StreamKind::EngineError => {
                    let text = String::from_utf8_lossy(&piece.text);
                    break Err(Failure::Reported(text.trim().chars().take(300).collect()));
                }
                StreamKind::Stdin | StreamKind::Stdout | StreamKind::Stderr => continue,
            }
            let time = piece.time.unwrap_or(previous);
            let skipped = resumption.skips(time);
            if resumption.has_gap() && !told_gap {
                told_gap = true;
                self.gather.gap(&self.name);
                self.cursor.accept_gap();
            }
            if skipped {
                continue;
            }
            let is_again = time == previous && previous_piece.as_ref() == Some(&piece);
            if is_again && piece.ends_line && shows_nanoseconds(time) {
                // No engine writes two lines in one nanosecond: it sends one again.
                self.repeated(&piece);
                continue;
            }
            if (time < previous || is_again) && self.doubts(time, &piece) {
                self.is_live = true;
                break Ok(Pass::Again);
            }
            previous = time;
            previous_piece = Some(piece.clone());
            self.open.push_back(time);
            self.gather.push(piece, time, self.read);
            self.read += 1;
            self.settle();
            let (lines, bytes) = self.gather.waiting();
            if lines >= BATCH_LINES || bytes >= BATCH_BYTES {
                self.send().await?;
            }
        };
        // What a container wrote last without a newline is whole once it has stopped.
        if until == Until::Complete && matches!(ended, Ok(Pass::Ended)) {
            self.gather.finish();
            self.settle();
        }
        self.send().await?;
        // Before that, what comes again is as it was.
        if self.read >= self.gather.known() {
            self.gather.end(self.settled, self.read);
        }
        drop(reading);
        ended
    }

    /// A record is older than the one before it, or the same. Either the clock was set back, or the
    /// engine sends again what it sent before, as it does when a log file is rotated. True when the
    /// log must be read again to tell: what it has on record, it sends once.
    fn doubts(&mut self, time: Timestamp, piece: &LogPiece) -> bool {
        let is_same =
            matches!(&self.doubted, Some((then, text)) if *then == time && *text == piece.text);
        if self.settled == 0 && (is_same || self.doubts >= DOUBTS) {
            return false;
        }
        self.doubts = if self.settled == 0 {
            self.doubts + 1
        } else {
            1
        };
        self.doubted = Some((time, piece.text.clone()));
        self.cursor.include(time);
        true
    }

    fn repeated(&self, piece: &LogPiece) {
        let status = &self.shared.status;
        status.received(1, piece.text.len() as u64, now());
        status.count(Outcome::Duplicate, 1);
    }

    /// Moves the cursor behind the records that nothing incomplete needs.
    fn settle(&mut self) {
        // What was read before comes again, in part.
        if self.read < self.gather.known() {
            return;
        }
        let until = self.gather.oldest_pending().unwrap_or(self.read);
        while self.settled < until
            && let Some(time) = self.open.pop_front()
        {
            self.cursor.take(time);
            self.settled += 1;
        }
        if self.gather.waiting().0 > 0 {
            self.due.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
        }
    }

    /// Hands over what is complete, with the cursor behind it.
    async fn send(&mut self) -> Result<(), Failure> {
        self.due = None;
        if self.gather.waiting().0 == 0 || self.read < self.gather.known() {
            return Ok(());
        }
        self.gather
            .send(&self.cursor, self.settled, self.read)
            .await
            .map_err(|_| Failure::NoPipeline)
    }
}

/// False for times of a coarse clock.
fn shows_nanoseconds(time: Timestamp) -> bool {
    time.as_nanos() % 1000 != 0
}

/// Waits until the container is seen running or unwanted.
async fn woken(seen: &mut watch::Receiver<Seen>) {
    while seen.changed().await.is_ok() {
        let now = *seen.borrow_and_update();
        if now.running || !now.wanted {
            return;
        }
    }
    // The source has gone and will stop us.
    std::future::pending::<()>().await;
}

/// Waits until the container is no longer wanted or the engine's clock is set back.
async fn interrupted(seen: &mut watch::Receiver<Seen>, set_backs: u64) {
    let changed = seen
        .wait_for(|seen| !seen.wanted || seen.set_back.0 != set_backs)
        .await
        .is_ok();
    if !changed {
        // The source has gone and will stop us.
        std::future::pending::<()>().await;
    }
}

/// Waits until `due`, by the clock.
async fn flush_due(due: Option<Timestamp>) {
    match due {
        Some(due) => {
            let wait = due.as_nanos().saturating_sub(now().as_nanos()).max(0);
            tokio::time::sleep(Duration::from_nanos(wait as u64)).await;
        }
        None => std::future::pending().await,
    }
}

async fn due(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Counts an open stream, and tells the operator that the source reads.
struct Reading(Arc<Shared>);

impl Reading {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.reading.fetch_add(1, Relaxed);
        if shared.tells_state {
            shared.status.set_state(SourceState::Running, now());
        }
        Self(Arc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.0.reading.fetch_sub(1, Relaxed) == 1 && self.0.tells_state {
            self.0.status.set_state(SourceState::Waiting, now());
        }
    }
}
