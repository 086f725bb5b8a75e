//! Follows the log of one container, from where it was left, as long as it is wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use qw_docker::{Docker, Error, LogFormat, LogPiece, LogsQuery, StreamKind};
use qw_event::{Event, InvalidReason, Outcome, Timestamp};
use qw_pipeline::{Intake, Receipt, SourceState};
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    cursor::Cursor,
    lines::{Line, Lines},
    now,
    positions::Positions,
};
use crate::falco;

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
pub(super) struct Shared {
    pub(super) docker: Docker,
    pub(super) intake: Intake,
    pub(super) max_line_bytes: usize,
    /// Held while a batch is handed over, so that positions are sent in the order they grow.
    pub(super) sent: Mutex<Sent>,
    /// Followers that have a log stream open.
    pub(super) reading: AtomicUsize,
}

/// What was handed to the pipeline.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) positions: Positions,
    /// Of the newest batch; when it is on disk, all are.
    pub(super) last: Option<Receipt>,
}

/// What the source knows of a container from its listings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// It runs.
    pub(super) running: bool,
    /// It is still selected; if not, what it has written is read to the end and no more.
    pub(super) wanted: bool,
    /// How often the engine's clock was set back so far, and to when the last time.
    pub(super) set_back: (u64, Timestamp),
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The container is gone.
    Gone,
    /// It is no longer wanted and read to its end.
    Drained,
    /// We are to stop.
    Stopped,
}

/// Follows one container.
pub(super) struct Follower {
    shared: Arc<Shared>,
    id: String,
    name: String,
    cursor: Cursor,
    parser: falco::Parser,
    seen: watch::Receiver<Seen>,
    /// Set-backs of the engine's clock that the cursor is prepared for.
    set_backs: u64,
    stop: CancellationToken,
    pending: Pending,
    /// A record older than the one before it, met on the last pass, and how often in a row.
    doubted: Option<(Timestamp, Bytes)>,
    doubts: u32,
    /// The last pass ended only to be followed by another at once.
    is_live: bool,
    /// Lines taken in the current pass.
    taken: u64,
}

/// Events not yet sent.
#[derive(Default)]
struct Pending {
    events: Vec<Event>,
    lines: usize,
    bytes: u64,
    due: Option<Instant>,
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

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: String,
        name: String,
        cursor: Cursor,
        seen: watch::Receiver<Seen>,
        stop: CancellationToken,
    ) -> Self {
        let limits = falco::Limits {
            line_bytes: shared.max_line_bytes,
            ..falco::Limits::default()
        };
        let (set_backs, _) = seen.borrow().set_back;
        Self {
            shared,
            id,
            name,
            cursor,
            parser: falco::Parser::new(limits),
            set_backs,
            seen,
            stop,
            pending: Pending::default(),
            doubted: None,
            doubts: 0,
            is_live: false,
            taken: 0,
        }
    }

    /// Reads and sends until the container is gone or no longer wanted, or until stopped.
    pub(super) async fn run(mut self) -> Ended {
        let mut pause = RETRY_FIRST;
        loop {
            if self.stop.is_cancelled() {
                return Ended::Stopped;
            }
            self.taken = 0;
            let error = match self.round().await {
                Ok(Next::End(ended)) => return ended,
                Ok(Next::AtOnce) => {
                    pause = RETRY_FIRST;
                    continue;
                }
                Ok(Next::Later) => None,
                Err(Failure::NoPipeline) => return Ended::Stopped,
                Err(Failure::Engine(error)) if error.is_not_found() => return Ended::Gone,
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
                self.shared.intake.status().error(text, now());
            }
            if self.taken > 0 {
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
                Pass::Ended if self.taken == 0 => Next::Later,
                Pass::Ended | Pass::Again => Next::AtOnce,
            });
        }
        // Its output is complete, or all that is still asked for: read until nothing new comes.
        let until = if runs { Until::Now } else { Until::Complete };
        loop {
            match self.pass(format, until).await? {
                Pass::Stopped => return Ok(Next::End(Ended::Stopped)),
                Pass::Ended if self.taken == 0 => break,
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
        let query = LogsQuery {
            stdout: true,
            stderr: false,
            follow,
            since: self.cursor.ask_since(),
            until: None,
            timestamps: true,
            tail: None,
        };
        let mut stream = self.shared.docker.logs(&self.id, &query, format).await?;
        let reading = follow.then(|| Reading::begin(&self.shared));
        let mut lines = Lines::new(self.shared.max_line_bytes);
        let mut resumption = self.cursor.resume();
        let mut previous = self.cursor.last();
        let mut previous_piece: Option<LogPiece> = None;
        let mut told_gap = false;
        self.taken = 0;
        let ended = loop {
            let piece = tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(Pass::Stopped),
                piece = stream.next() => piece,
                () = due(self.pending.due) => {
                    self.send().await?;
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
                StreamKind::Stdout => {}
                StreamKind::EngineError => {
                    let text = String::from_utf8_lossy(&piece.text);
                    break Err(Failure::Reported(text.trim().chars().take(300).collect()));
                }
                StreamKind::Stdin | StreamKind::Stderr => continue,
            }
            let time = piece.time.unwrap_or(previous);
            let skipped = resumption.skips(time);
            if resumption.has_gap() && !told_gap {
                told_gap = true;
                self.tell_gap();
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
            for line in lines.push(piece, time).into_iter().flatten() {
                self.take(line);
            }
            if self.pending.lines >= BATCH_LINES || self.pending.bytes >= BATCH_BYTES {
                self.send().await?;
            }
        };
        // What a container wrote last without a newline is whole once it has stopped.
        if until == Until::Complete
            && matches!(ended, Ok(Pass::Ended))
            && let Some(line) = lines.finish()
        {
            self.take(line);
        }
        self.send().await?;
        drop(reading);
        ended
    }

    /// A record is older than the one before it, or the same. Either the clock was set back, or the
    /// engine sends again what it sent before, as it does when a log file is rotated. True when the
    /// log must be read again to tell: what it has on record, it sends once.
    fn doubts(&mut self, time: Timestamp, piece: &LogPiece) -> bool {
        let is_same =
            matches!(&self.doubted, Some((then, text)) if *then == time && *text == piece.text);
        if self.taken == 0 && (is_same || self.doubts >= DOUBTS) {
            return false;
        }
        self.doubts = if self.taken == 0 { self.doubts + 1 } else { 1 };
        self.doubted = Some((time, piece.text.clone()));
        self.cursor.include(time);
        true
    }

    fn repeated(&self, piece: &LogPiece) {
        let status = self.shared.intake.status();
        status.received(1, piece.text.len() as u64, now());
        status.count(Outcome::Duplicate, 1);
    }

    fn tell_gap(&self) {
        let text = format!(
            "log of container `{}`: records are missing, because the engine threw them away (log \
             rotation) before they were read; raise `max-size` or `max-file` of its log driver",
            self.name
        );
        tracing::warn!(
            container = self.name,
            "records were thrown away before they were read"
        );
        self.shared.intake.status().error(text, now());
    }

    fn take(&mut self, line: Line) {
        let received = now();
        let status = self.shared.intake.status();
        status.received(1, line.length, received);
        if line.too_long {
            status.invalid(InvalidReason::TooLong, &line.text);
        } else {
            match self.parser.parse(&line.text, received) {
                Ok(event) => self.pending.events.push(event),
                Err(reason) => status.invalid(reason, &line.text),
            }
        }
        for time in line.times.iter() {
            self.cursor.take(time);
        }
        self.taken += 1;
        self.pending.lines += 1;
        self.pending.bytes += line.length;
        self.pending
            .due
            .get_or_insert_with(|| Instant::now() + BATCH_DELAY);
    }

    /// Hands over what is pending, with the cursor behind it.
    async fn send(&mut self) -> Result<(), Failure> {
        if self.pending.lines == 0 {
            return Ok(());
        }
        let events = std::mem::take(&mut self.pending).events;
        let mut sent = self.shared.sent.lock().await;
        let mut positions = sent.positions.clone();
        positions.set(&self.id, self.cursor.clone());
        let position = positions.render();
        let receipt = self.shared.intake.send(events, Some(position), now()).await;
        // Only now has it been handed over; before this the future may be dropped.
        sent.last = Some(receipt.map_err(|_| Failure::NoPipeline)?);
        sent.positions = positions;
        Ok(())
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
        shared
            .intake
            .status()
            .set_state(SourceState::Running, now());
        Self(Arc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.0.reading.fetch_sub(1, Relaxed) == 1 {
            self.0
                .intake
                .status()
                .set_state(SourceState::Waiting, now());
        }
    }
}
