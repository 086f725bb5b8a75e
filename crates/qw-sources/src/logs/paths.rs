//! Logs that are found by their paths: files of programs, and those of Kubernetes' pods.
//!
//! The folders are looked through again and again. A file that is new is read from its beginning; one
//! that is gone is read to its end, and forgotten after a while: until then it may only be about to get
//! its name back. How each is read is the same as for the engine's files ([`super::tail`]).

mod plain;
mod pods;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use qw_event::{ContainerRef, SourceId};
use qw_log::{Multiline, Redactor, join};
use qw_pipeline::{Intake, Reader, Source, SourceError, SourceState};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::{plain::FileGroup, pods::Pods};
use super::{
    crew::Crew,
    files::LogFiles,
    generation::Generation,
    place::Stored,
    reader::ReaderState,
    record::{Attributes, Words},
    spot::Spotter,
    tail::{Common, Format, Start, Streams, Tail},
    watch::open_files_limit,
};
use crate::{StartFrom, clock::now};

/// Entries of folders that are looked at in one search.
const MOST_ENTRIES: usize = 100_000;
/// The folders are looked through this often, and less often when that takes long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// Share of the time that looking may take: one in so many.
const LOOKING_SHARE: u32 = 20;
/// A file without a name is held open for so long.
const GONE_AFTER: Duration = Duration::from_secs(60);
/// Part of the files that the process may open which one such source uses.
const OPEN_SHARE: usize = 8;
/// Longest wait, when stopping, for the store.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// What is read by its path, and how.
#[derive(Debug, Clone)]
pub struct PathsConfig {
    /// Which files.
    pub plan: Plan,
    /// Longest record, in bytes; what is longer becomes several.
    pub max_line_bytes: usize,
    /// Takes secrets out of records before they go anywhere.
    pub redactor: Option<Arc<Redactor>>,
    /// Name of this host.
    pub hostname: String,
    /// Bytes of one log that may wait, unread, in files that were rotated away.
    pub max_held_bytes: u64,
    /// A file without a name is held open for so long.
    pub gone_after: Duration,
}

impl PathsConfig {
    /// Files of `plan` on `hostname`, everything else as usual.
    pub fn new(plan: Plan, hostname: &str) -> Self {
        Self {
            plan,
            max_line_bytes: 1 << 20,
            redactor: None,
            hostname: hostname.to_owned(),
            max_held_bytes: 1 << 30,
            gone_after: GONE_AFTER,
        }
    }

    /// Name of the source.
    pub fn source_id(&self) -> SourceId {
        SourceId::new(match &self.plan {
            Plan::Files(_) => "logs:files",
            Plan::Pods(_) => "logs:pods",
        })
    }

    /// What the source reads, in words.
    pub fn description(&self) -> String {
        match &self.plan {
            Plan::Files(groups) => {
                let globs = groups.iter().flat_map(|group| &group.paths);
                let globs: Vec<String> = globs.map(|glob| format!("`{glob}`")).collect();
                format!("files {}", globs.join(", "))
            }
            Plan::Pods(pods) => format!("logs of Kubernetes' pods below `{}`", pods.path.display()),
        }
    }
}

/// Which files are read.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Files of programs.
    Files(Vec<FileGroup>),
    /// Logs that Kubernetes' runtimes write.
    Pods(Pods),
}

/// The source; [`PathsConfig::source_id`] is its name.
#[derive(Debug)]
pub struct PathsSource {
    config: PathsConfig,
}

impl PathsSource {
    /// A source of the files of `config`.
    pub fn new(config: PathsConfig) -> Self {
        Self { config }
    }
}

/// A log that was found.
#[derive(Debug, Clone)]
struct Found {
    /// Its file, links resolved.
    path: PathBuf,
    /// What the operator calls it.
    name: String,
    container: ContainerRef,
    attributes: Map<String, Value>,
    format: Format,
    multiline: Option<Multiline>,
    from: StartFrom,
    /// Whether rotated files are read, too, of one never seen.
    with_older: bool,
    streams: Streams,
    /// Why it is read, for people.
    why: String,
}

/// What a search gave.
#[derive(Debug, Default)]
struct Search {
    found: BTreeMap<PathBuf, Found>,
    /// Files that are not read, and why.
    refused: BTreeMap<PathBuf, (String, String)>,
    errors: Vec<String>,
}

struct Watcher {
    config: PathsConfig,
    intake: Intake,
    words: Arc<Words>,
    spotter: Spotter,
    crew: Crew,
    members: BTreeMap<PathBuf, Member>,
    refused: BTreeMap<PathBuf, Arc<ReaderState>>,
    /// What was there when we first looked is not new.
    has_looked: bool,
}

struct Member {
    reader: Arc<ReaderState>,
    /// Since when it was not found.
    gone: Option<Instant>,
}

#[async_trait]
impl Source for PathsSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let status = Arc::clone(intake.status());
        let mut watcher = Watcher::start(self.config, intake, &stop)
            .map_err(|error| SourceError::new("cannot start to read logs", error))?;
        // Batches of an earlier run in this process move the positions.
        watcher.settle().await;
        while !stop.is_cancelled() {
            let looking = Instant::now();
            watcher.look(&stop).await;
            let pause = looking.elapsed() * LOOKING_SHARE;
            let pause = pause.clamp(LOOK_EVERY, LOOK_AT_MOST_EVERY);
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        let finish = async {
            watcher.crew.stop().await;
            watcher.settle().await;
            watcher.tell_readers();
        };
        if tokio::time::timeout(FINISH_WITHIN, finish).await.is_err() {
            tracing::warn!("stopped before all records of files were stored; they are read again");
        }
        status.set_state(SourceState::Stopped, now());
        Ok(())
    }
}

impl Watcher {
    fn start(config: PathsConfig, intake: Intake, stop: &CancellationToken) -> io::Result<Self> {
        let (redactor, hostname) = (config.redactor.clone(), &config.hostname);
        let words = match &config.plan {
            Plan::Files(_) => Words::with_streams(hostname, redactor, ["file"; 2]),
            Plan::Pods(_) => Words::new(hostname, redactor),
        };
        let most_open = (open_files_limit() / OPEN_SHARE).max(16);
        Ok(Self {
            words: Arc::new(words),
            spotter: Spotter::start()?,
            crew: Crew::start(most_open, stop.clone())?,
            config,
            intake,
            members: BTreeMap::new(),
            refused: BTreeMap::new(),
            has_looked: false,
        })
    }

    /// Waits until what was sent before is on disk or given up.
    async fn settle(&self) {
        if let Ok(receipt) = self.intake.send(Vec::new(), None, now()).await {
            // Whether this empty batch was stored is of no interest; those before it are settled.
            drop(receipt.await);
        }
    }

    /// Looks which files there are now.
    async fn look(&mut self, stop: &CancellationToken) {
        let plan = self.config.plan.clone();
        let known: BTreeSet<PathBuf> = self.members.keys().cloned().collect();
        let search = tokio::task::spawn_blocking(move || match plan {
            Plan::Files(groups) => plain::search(&groups, &known),
            Plan::Pods(pods) => pods::search(&pods, &known),
        });
        let status = Arc::clone(self.intake.status());
        let mut search = match search.await {
            Ok(search) => search,
            Err(error) => {
                status.error(format!("looking for files failed: {error}"), now());
                return;
            }
        };
        for error in search.errors {
            status.error(error, now());
        }
        let gone_after = self.config.gone_after;
        let (found, crew) = (&search.found, &self.crew);
        self.members.retain(|path, member| {
            if found.contains_key(path) {
                member.gone = None;
                return true;
            }
            let gone = *member.gone.get_or_insert_with(Instant::now);
            let stays = gone.elapsed() < gone_after;
            if !stays {
                crew.end_for_good(&key(path));
            }
            stays
        });
        self.refused
            .retain(|path, _| search.refused.contains_key(path));
        for (path, found) in search.found {
            if stop.is_cancelled() {
                return;
            }
            if self.members.contains_key(&path) {
                continue;
            }
            match Generation::open(&path) {
                Ok(Some(_)) => self.begin(found).await,
                // It is gone again.
                Ok(None) => {}
                Err(error) => {
                    let why = format!("it cannot be read: {error}");
                    search.refused.insert(path, (found.name, why));
                }
            }
        }
        for (path, (name, why)) in search.refused {
            let reader = self.refused.entry(path).or_insert_with_key(|path| {
                let id = path.display().to_string();
                Arc::new(ReaderState::new(&id, &name, "none", String::new()))
            });
            reader.set_why(why);
        }
        self.has_looked = true;
        status.set_state(SourceState::Running, now());
        self.tell_readers();
    }

    async fn begin(&mut self, found: Found) {
        let key = key(&found.path);
        let intake = self.intake.part(SourceId::new(&format!("logs:file:{key}")));
        let stored = if found.from == StartFrom::Position {
            match stored(&intake).await {
                Ok(stored) => stored,
                Err(error) => {
                    // Tried again with the next look: without it, lines would come twice.
                    let text = format!("`{key}`: {error}");
                    self.intake.status().error(text, now());
                    return;
                }
            }
        } else {
            None
        };
        let start = match stored {
            Some(Stored::File(place)) => Start::At(Box::new(place)),
            _ if found.from == StartFrom::Now && !self.has_looked => Start::Now,
            _ if found.with_older || found.from == StartFrom::Beginning => Start::Beginning,
            _ => Start::Newest,
        };
        let files = Arc::new(LogFiles::new(
            found.path.clone(),
            self.config.max_held_bytes,
        ));
        let reader = Arc::new(ReaderState::new(&key, &found.name, "file", found.why));
        if let Err(error) = self.spotter.watch(&files) {
            reader.add_to_why(&format!("looked at from time to time, because {error}"));
        }
        let common = Common {
            key: key.as_str().into(),
            format: found.format,
            attributes: Arc::new(Attributes::new(found.attributes)),
            container: Arc::new(found.container),
            words: Arc::clone(&self.words),
            status: Arc::clone(self.intake.status()),
            reader: Arc::clone(&reader),
            streams: found.streams,
        };
        let options = join::Options {
            max_record_bytes: self.config.max_line_bytes,
            // Files come from systems where lines end so.
            strip_carriage_return: found.format == Format::Plain,
            multiline: found.multiline,
            ..join::Options::default()
        };
        self.crew
            .add(Tail::new(files, start, common, options), intake);
        let member = Member { reader, gone: None };
        self.members.insert(found.path, member);
        self.refused.remove(Path::new(&key));
    }

    fn tell_readers(&self) {
        let members = self.members.values().map(|member| &member.reader);
        let readers: Vec<Reader> = members
            .chain(self.refused.values())
            .map(|reader| reader.snapshot())
            .collect();
        self.intake.status().set_readers(readers);
    }
}

/// The name of the log at `path` among those of its source, and in its stored position.
fn key(path: &Path) -> String {
    path.display().to_string()
}

/// Where the reading of a log was left.
async fn stored(intake: &Intake) -> Result<Option<Stored>, String> {
    let cursor = intake
        .cursor()
        .await
        .map_err(|error| format!("cannot read where it was left: {error}"))?;
    let Some(position) = cursor.and_then(|cursor| cursor.position) else {
        return Ok(None);
    };
    Stored::parse(&position)
        .map(Some)
        .map_err(|error| format!("its stored position cannot be read: {error}"))
}

#[cfg(test)]
mod tests;
