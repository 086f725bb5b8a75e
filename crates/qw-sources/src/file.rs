//! Follows a file of JSON lines across its rotations.
//!
//! A file is known by device, inode, and its first bytes, so it is found again under another name,
//! and it is noticed when a file was emptied and written anew. Before the next file is begun the old
//! one is read to its end. The position is stored together with the events: nothing is missing and
//! nothing comes twice across a restart of ours, as long as the rotated files are still there, as
//! they are or compressed with gzip. A line counts when its newline has come.

mod content;
pub(crate) mod place;
mod tail;

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use qw_event::{Position, SourceId};
use qw_pipeline::{Intake, Source, SourceError, SourceState};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::{
    place::Place,
    tail::{Start, Step, Tail},
};
use crate::{
    StartFrom,
    clock::now,
    falco::Limits,
    lines::{Assembly, Fill},
};

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "file";

/// Pause after a fault of the file system.
const RETRY: Duration = Duration::from_secs(1);

/// Which file, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file; it may be a symbolic link, and need not be there yet.
    pub path: PathBuf,
    /// Distinguishes several sources of this kind; the path when empty. Part of the stored
    /// position's name: whoever changes it starts anew.
    #[serde(default)]
    pub name: String,
    /// Where to begin.
    #[serde(default)]
    pub from: StartFrom,
    /// How often the file is looked at, in milliseconds.
    #[serde(default = "default_poll")]
    pub poll_milliseconds: u64,
    /// Longest line, in bytes; longer ones are counted as invalid.
    #[serde(default = "default_line_bytes")]
    pub max_line_bytes: usize,
}

fn default_poll() -> u64 {
    100
}

fn default_line_bytes() -> usize {
    Limits::default().line_bytes
}

impl Config {
    /// The file at `path`, with everything else as usual.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: String::new(),
            from: StartFrom::default(),
            poll_milliseconds: default_poll(),
            max_line_bytes: default_line_bytes(),
        }
    }

    /// Name of the source: `file:` and the configured name or path.
    pub fn source_id(&self) -> SourceId {
        if self.name.is_empty() {
            SourceId::new(&format!("file:{}", self.path.display()))
        } else {
            SourceId::new(&format!("file:{}", self.name))
        }
    }

    /// What the source follows, in words.
    pub fn description(&self) -> String {
        format!("file `{}`", self.path.display())
    }
}

/// The source; [`Config::source_id`] is its name.
#[derive(Debug)]
pub struct FileSource {
    config: Config,
}

impl FileSource {
    /// A source that follows the file of `config`.
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let config = self.config;
        let start = match config.from {
            StartFrom::Beginning => Start::Beginning,
            StartFrom::Now => Start::End,
            StartFrom::Position => match stored_place(&intake, &config).await? {
                Some(place) => Start::At(place),
                None => Start::Beginning,
            },
        };
        let limits = Limits {
            line_bytes: config.max_line_bytes,
            ..Limits::default()
        };
        let mut tail = Tail::new(&config.path, start, config.max_line_bytes);
        let mut assembly = Assembly::new(intake, limits, Fill::default());
        let mut sent_place = None;
        let poll = Duration::from_millis(config.poll_milliseconds.max(1));
        while !stop.is_cancelled() {
            let step;
            (tail, assembly, step) = tokio::task::spawn_blocking(move || {
                let step = tail.step(|line| assembly.line(line, now()));
                (tail, assembly, step)
            })
            .await
            .map_err(|error| SourceError::new("reading a file has failed", error))?;

            let status = assembly.intake().status();
            let pause = match step {
                Ok(Step::Read) if !assembly.is_full() => continue,
                Ok(Step::Read) => Duration::ZERO,
                Ok(Step::AtEnd) => {
                    status.set_state(SourceState::Running, now());
                    poll
                }
                Ok(Step::Missing) => {
                    status.set_state(SourceState::Waiting, now());
                    poll
                }
                Ok(Step::Lost(what)) => {
                    tracing::warn!(what, "events of a file are lost");
                    status.error(what, now());
                    continue;
                }
                Err(error) => {
                    status.error(error.to_string(), now());
                    status.set_state(SourceState::Waiting, now());
                    RETRY
                }
            };
            let place = tail.place();
            if place != sent_place {
                let position = place.as_ref().map(|place| Position(place.to_text()));
                if assembly.send(position, now(), &stop).await.is_err() {
                    break;
                }
                sent_place = place;
            }
            if !pause.is_zero() {
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            }
        }
        if !assembly.is_empty() {
            let position = tail.place().map(|place| Position(place.to_text()));
            // When the pipeline has stopped, the lines are read again after the next start.
            drop(assembly.send(position, now(), &stop).await);
        }
        Ok(())
    }
}

async fn stored_place(intake: &Intake, config: &Config) -> Result<Option<Place>, SourceError> {
    let path = config.path.display();
    let doing =
        || format!("cannot go on where file `{path}` was left; `from: beginning` goes on without");
    let cursor = intake
        .cursor()
        .await
        .map_err(|error| SourceError::new(doing(), error))?;
    let Some(position) = cursor.and_then(|cursor| cursor.position) else {
        return Ok(None);
    };
    Place::from_text(&position.0)
        .map(Some)
        .map_err(|error| SourceError::new(doing(), error))
}

#[cfg(test)]
mod tests;
