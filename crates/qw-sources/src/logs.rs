//! Collects what containers print: nothing lost, nothing doubled, and where something could not be had,
//! an event that says how much.
//!
//! The engine's own log files are read when they may be, because that costs the engine nothing; else the
//! engine is asked. Each container has a position of its own, stored together with its records:
//!
//! - **Files**: one thread ([`crew`]) reads all of them in turn; another ([`spot`]) is told by the kernel
//!   when a log is rotated and opens the new file before it can get away ([`files`]). After a restart the
//!   file that was being read is found again by its identity and content, under whatever number it has.
//! - **The engine's stream**: followed by the same code as Falco's output ([`crate::docker`]), which
//!   takes each record once although the engine repeats and leaves out.
//!
//! A record that is not complete (a long line, of which the engine has written a piece; a stack trace)
//! is not acknowledged: after a restart it is read again from its beginning.

mod api;
mod choose;
mod crew;
mod files;
mod generation;
mod glob;
mod inside;
mod journal;
mod paths;
mod place;
mod reader;
mod record;
mod spot;
mod tail;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use qw_docker::Docker;
use qw_event::{ContainerRef, Event, SourceId};
use qw_log::{Multiline, Redactor, join};
use qw_pipeline::{Intake, Source, SourceError, SourceState, SourceStatuses};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use self::{
    choose::{InvalidPattern, Pattern},
    glob::{Glob, InvalidGlob},
    inside::{InsideConfig, InsideRule, InsideSource},
    journal::{JournalConfig, JournalSource},
    paths::{FileGroup, PathsConfig, PathsSource, Plan, Pods},
    record::GAP_TAG,
};
use crate::{StartFrom, clock::now};

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "logs";

/// Longest wait, when stopping, for the store.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to begin.
    pub from: StartFrom,
    /// How to read.
    pub way: Way,
    /// Containers to read; all when empty.
    pub include: Vec<Pattern>,
    /// Containers not to read.
    pub exclude: Vec<Pattern>,
    /// Standard output is read.
    pub stdout: bool,
    /// Standard error is read.
    pub stderr: bool,
    /// Longest record, in bytes; what is longer becomes several.
    pub max_line_bytes: usize,
    /// Which lines belong together, in containers whose label does not say.
    pub multiline: Option<Multiline>,
    /// Takes secrets out of records before they go anywhere.
    pub redactor: Option<Arc<Redactor>>,
    /// Where the engine's data folder is seen by us, when elsewhere than by the engine.
    pub docker_root: Option<PathBuf>,
    /// Bytes of one log that may wait, unread, in files that were rotated away.
    pub max_held_bytes: u64,
    /// Files that are held open at most; `None` for half of what the process may open.
    pub max_open_files: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            from: StartFrom::default(),
            way: Way::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            stdout: true,
            stderr: true,
            max_line_bytes: 1 << 20,
            multiline: None,
            redactor: None,
            docker_root: None,
            max_held_bytes: 1 << 30,
            max_open_files: None,
        }
    }
}

impl Config {
    /// Name of the source.
    pub fn source_id() -> SourceId {
        SourceId::new("logs:docker")
    }

    /// What the source reads, in words.
    pub fn description(&self, docker: &Docker) -> String {
        let list = |patterns: &[Pattern]| {
            let patterns: Vec<String> = patterns.iter().map(|each| format!("`{each}`")).collect();
            patterns.join(", ")
        };
        let included = if self.include.is_empty() {
            "all containers".to_owned()
        } else {
            format!("containers {}", list(&self.include))
        };
        let excluded = if self.exclude.is_empty() {
            String::new()
        } else {
            format!(" but {}", list(&self.exclude))
        };
        format!("logs of {included}{excluded} of {}", docker.endpoint())
    }
}

/// How logs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From the engine's files when they can be read, else through the engine.
    #[default]
    Auto,
    /// Only from the engine's files.
    File,
    /// Only through the engine.
    Api,
}

/// The source; [`Config::source_id`] is its name.
#[derive(Debug)]
pub struct LogsSource {
    config: Config,
    docker: Docker,
}

impl LogsSource {
    /// A source that reads the logs of the containers of `docker`.
    pub fn new(config: Config, docker: Docker) -> Self {
        Self { config, docker }
    }
}

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The engine's driver `json-file`.
    JsonFile,
    /// Any program.
    Plain,
}

/// Reads the log file at `path` to its end, as the source does, and hands on the events of each block;
/// for measurements.
pub fn read_file(path: &Path, kind: FileKind, mut each: impl FnMut(Vec<Event>)) -> io::Result<()> {
    let status = SourceStatuses::default().register(&Config::source_id(), KIND, "a file");
    let common = tail::Common {
        key: "".into(),
        format: match kind {
            FileKind::JsonFile => tail::Format::JsonFile,
            FileKind::Plain => tail::Format::Plain,
        },
        attributes: Arc::default(),
        container: Arc::new(ContainerRef::default()),
        words: Arc::new(record::Words::new("", None)),
        status,
        reader: Arc::new(reader::ReaderState::new("", "", "file", String::new())),
        streams: tail::Streams {
            stdout: true,
            stderr: true,
        },
    };
    let files = Arc::new(files::LogFiles::new(path.to_owned(), u64::MAX));
    let options = join::Options::default();
    let mut tail = tail::Tail::new(files, tail::Start::Beginning, common, options);
    let mut block = vec![0; 256 << 10];
    loop {
        let step = tail.step(&mut block, now())?;
        match step {
            tail::Step::Idle => tail.finish(&mut block, now()),
            tail::Step::NeedsRoom => block.resize(block.len() * 2, 0),
            tail::Step::Read => {}
        }
        // As for each batch that is sent.
        tail.place()?;
        each(tail.take_events());
        if step == tail::Step::Idle {
            return Ok(());
        }
    }
}

#[async_trait]
impl Source for LogsSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let status = Arc::clone(intake.status());
        let mut watcher = watch::Watcher::start(self.config, self.docker, intake, &stop)
            .map_err(|error| SourceError::new("cannot start to read logs", error))?;
        watcher.watch(&stop).await;
        if tokio::time::timeout(FINISH_WITHIN, watcher.finish())
            .await
            .is_err()
        {
            tracing::warn!("stopped before all records of logs were stored; they are read again");
        }
        status.set_state(SourceState::Stopped, now());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
