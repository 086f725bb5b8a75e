//! The journal of this host, by `journalctl`: what services, the kernel, and containers of the driver
//! `journald` wrote.
//!
//! `journalctl` is there wherever there is a journal, and reads what its own version writes. It follows
//! the journal in its export format; a pipe that is not read makes it wait. The cursor of the last entry
//! is stored with its records. It is asked for that very entry when reading goes on: when another comes
//! in its place, the journal has thrown entries away, and that is told as a gap.
//!
//! All boots are read: of itself, `--follow` shows the newest one alone, and what was written before a
//! restart of the host would be missing.

mod entries;

use std::{io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use qw_event::{Position, SourceId};
use qw_log::{
    Redactor,
    journal::{JournalDecoder, JournalEntry, NotExport},
};
use qw_pipeline::{Intake, Source, SourceError, SourceState};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use self::entries::{Collector, Place};
use crate::{StartFrom, clock::now};

/// Records are sent so often, at most, as long as they are few.
const SEND_EVERY: Duration = Duration::from_millis(50);
const FEW_EVENTS: usize = 512;
/// A place that has moved without records is stored so often.
const STORE_PLACE_EVERY: Duration = Duration::from_secs(5);
/// Bytes read at once.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of what `journalctl` complains of that are kept.
const COMPLAINT_BYTES: u64 = 4096;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// Longest wait, when stopping, for the store.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Which journal is read, and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Read it.
    pub enabled: bool,
    /// Folder of the journal, when it is elsewhere than usual.
    pub directory: Option<PathBuf>,
    /// Units of systemd to read; everything when empty.
    pub units: Vec<String>,
    /// Entries to read, `FIELD=value` each, as `journalctl` takes them.
    pub matches: Vec<String>,
    /// Where to begin.
    pub from: StartFrom,
}

impl JournalConfig {
    /// What cannot be used.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn check(&self) -> Result<(), String> {
        let is_match = |text: &String| {
            let is_name =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            let parts = text.split_once('=');
            parts.is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(is_name))
        };
        match self.matches.iter().find(|text| !is_match(text)) {
            Some(text) => Err(format!(
                "`matches`: `{text}` is not of the form `FIELD=value`, such as `_TRANSPORT=kernel`"
            )),
            None => Ok(()),
        }
    }

    /// What the source reads, in words.
    pub fn description(&self) -> String {
        let place = match &self.directory {
            Some(directory) => format!("the journal in `{}`", directory.display()),
            None => "the journal of this host".to_owned(),
        };
        let selected: Vec<String> = self
            .units
            .iter()
            .chain(&self.matches)
            .map(|each| format!("`{each}`"))
            .collect();
        if selected.is_empty() {
            place
        } else {
            format!("{} of {place}", selected.join(", "))
        }
    }

    /// What selects the entries: a place counts entries, and counts others when this changes.
    fn selection(&self) -> Vec<String> {
        let directory = self.directory.iter();
        let directory = directory.map(|path| format!("--directory={}", path.display()));
        let units = self.units.iter().map(|unit| format!("--unit={unit}"));
        directory.chain(units).chain(self.matches.clone()).collect()
    }
}

/// The source; [`JournalSource::source_id`] is its name.
#[derive(Debug)]
pub struct JournalSource {
    config: JournalConfig,
    redactor: Option<Arc<Redactor>>,
    max_line_bytes: usize,
    with_containers: bool,
    program: PathBuf,
}

impl JournalSource {
    /// A source of the journal of `config`. Entries of containers are left out unless
    /// `with_containers`: another source reads them.
    pub fn new(
        config: JournalConfig,
        redactor: Option<Arc<Redactor>>,
        max_line_bytes: usize,
        with_containers: bool,
    ) -> Self {
        Self {
            config,
            redactor,
            max_line_bytes,
            with_containers,
            program: PathBuf::from("journalctl"),
        }
    }

    /// Name of the source.
    pub fn source_id() -> SourceId {
        SourceId::new("logs:journal")
    }

    /// Where the reading was left.
    async fn place(&self, intake: &Intake) -> Result<Place, SourceError> {
        let doing = "cannot go on where the journal was left; `from: beginning` goes on without";
        let stored = match self.config.from {
            StartFrom::Position => intake
                .cursor()
                .await
                .map_err(|error| SourceError::new(doing, error))?
                .and_then(|cursor| cursor.position),
            StartFrom::Beginning | StartFrom::Now => None,
        };
        let Some(position) = stored else {
            return Ok(Place::default());
        };
        serde_json::from_str(&position.0).map_err(|error| SourceError::new(doing, error))
    }

    fn command(&self, place: &Place, starts_now: bool) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--follow", "--merge", "--output=export", "--quiet"])
            .args(["--no-pager", "--all"])
            .args(self.config.selection());
        match place.cursor() {
            Some(cursor) => command.arg(format!("--cursor={cursor}")).arg("--no-tail"),
            None if starts_now => command.arg("--lines=0"),
            None => command.arg("--no-tail"),
        };
        command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn start(&self, place: &Place, starts_now: bool) -> Result<Child, String> {
        self.command(place, starts_now).spawn().map_err(|error| {
            let program = self.program.display();
            if error.kind() == io::ErrorKind::NotFound {
                format!(
                    "there is no program `{program}` here, and without it the journal cannot be read; \
                     install the package `systemd`, or set `logs.journal.enabled: false`"
                )
            } else {
                format!("cannot start `{program}`: {error}")
            }
        })
    }
}

/// How a run of `journalctl` ended.
enum Ended {
    /// We are to stop.
    Stopped,
    /// It ended, or never began.
    Failed(String),
}

#[async_trait]
impl Source for JournalSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let status = Arc::clone(intake.status());
        if let Ok(receipt) = intake.send(Vec::new(), None, now()).await {
            // Batches of an earlier run in this process move the position.
            drop(receipt.await);
        }
        let mut place = self.place(&intake).await?;
        let mut collector = Collector::new(
            self.redactor.clone(),
            self.max_line_bytes,
            self.with_containers,
            &self.config,
        );
        let mut pause = RETRY_FIRST;
        let mut starts_now = self.config.from == StartFrom::Now;
        loop {
            let began = Instant::now();
            collector.resume(&place);
            let ended = match self.start(&place, starts_now) {
                Ok(child) => {
                    starts_now = false;
                    self.follow(child, &mut collector, &intake, &stop).await
                }
                Err(error) => Ended::Failed(error),
            };
            let Ended::Failed(error) = ended else { break };
            // What it ends with is not complete: its rest is read again with it.
            place = collector.place();
            tracing::warn!(error, "cannot follow the journal");
            collector.note_error(&error);
            status.error(error, now());
            status.set_state(SourceState::Waiting, now());
            status.set_readers(collector.readers());
            if began.elapsed() > RETRY_LAST {
                pause = RETRY_FIRST;
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
        let finish = async {
            if let Ok(receipt) = intake.send(Vec::new(), None, now()).await {
                drop(receipt.await);
            }
        };
        if tokio::time::timeout(FINISH_WITHIN, finish).await.is_err() {
            tracing::warn!(
                "stopped before all records of the journal were stored; they are read again"
            );
        }
        status.set_readers(collector.readers());
        status.set_state(SourceState::Stopped, now());
        Ok(())
    }
}

impl JournalSource {
    /// Takes what `child` writes until it ends.
    async fn follow(
        &self,
        mut child: Child,
        collector: &mut Collector,
        intake: &Intake,
        stop: &CancellationToken,
    ) -> Ended {
        let (Some(mut output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Ended::Failed("`journalctl` was started without its output".to_owned());
        };
        let complaints = tokio::spawn(complaints(errors));
        let status = intake.status();
        status.set_state(SourceState::Running, now());
        status.set_readers(collector.readers());
        let mut decoder = JournalDecoder::new(self.max_line_bytes);
        let mut block = vec![0; BLOCK_BYTES];
        let mut tick = tokio::time::interval(SEND_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sender = Sender::new(intake);
        loop {
            let mut is_due = false;
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    sender.send(collector, stop).await;
                    return Ended::Stopped;
                }
                _ = tick.tick() => {
                    collector.flush(now());
                    is_due = true;
                }
                read = output.read(&mut block) => match read {
                    Ok(0) => break,
                    Ok(length) => {
                        let bytes = block.get(..length).unwrap_or_default();
                        let mut take = |entry: Result<JournalEntry, NotExport>| match entry {
                            Ok(entry) => collector.take(entry, status, now()),
                            Err(error) => collector.note_error(&error.to_string()),
                        };
                        decoder.push(bytes, &mut take);
                    }
                    Err(error) => {
                        return Ended::Failed(format!("reading from `journalctl` failed: {error}"));
                    }
                },
            }
            if (is_due || collector.waiting() >= FEW_EVENTS) && !sender.send(collector, stop).await
            {
                return Ended::Stopped;
            }
        }
        sender.send(collector, stop).await;
        let code = child.wait().await;
        let code = code.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = complaints.await.unwrap_or_default();
        Ended::Failed(format!("`journalctl` ended ({code}): {}", said.trim()))
    }
}

/// Sends records and the place behind them.
struct Sender<'a> {
    intake: &'a Intake,
    sent: Instant,
    sent_place: Option<Position>,
}

impl<'a> Sender<'a> {
    fn new(intake: &'a Intake) -> Self {
        Self {
            intake,
            sent: Instant::now(),
            sent_place: None,
        }
    }

    /// Sends what there is; false when the pipeline or we are to stop.
    async fn send(&mut self, collector: &mut Collector, stop: &CancellationToken) -> bool {
        let is_empty = collector.waiting() == 0;
        if is_empty && self.sent.elapsed() < STORE_PLACE_EVERY {
            return true;
        }
        self.sent = Instant::now();
        let text = serde_json::to_string(&collector.place()).expect("texts and numbers are JSON");
        let place = Position(text);
        let status = self.intake.status();
        if is_empty && self.sent_place.as_ref() == Some(&place) {
            collector.count(status, now());
            status.set_readers(collector.readers());
            return true;
        }
        let events = collector.take_events(status, now());
        status.set_readers(collector.readers());
        let sending = self.intake.send(events, Some(place.clone()), now());
        self.sent_place = Some(place);
        // When we are to stop it is read again after the next start.
        matches!(stop.run_until_cancelled(sending).await, Some(Ok(_)))
    }
}

/// What `journalctl` complains of, to its end; only the beginning is kept.
async fn complaints(mut errors: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut beginning = (&mut errors).take(COMPLAINT_BYTES);
    // What cannot be read any more adds nothing.
    beginning.read_to_end(&mut kept).await.unwrap_or_default();
    tokio::io::copy(&mut errors, &mut tokio::io::sink())
        .await
        .unwrap_or_default();
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests;
