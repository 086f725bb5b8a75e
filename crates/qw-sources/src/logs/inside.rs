//! Files inside containers, fetched through the engine: nothing is executed in the container.
//!
//! The engine says what lies at a path (size and time), and hands out whole files only. So a file is
//! fetched when it has changed, and what was read of it before is passed over; files beyond a bound are
//! told, not fetched. A file is known again by its beginning: when another has its place, what was left
//! of the old one is looked for under the name `.1`. Folders are listed, for patterns, when they change.

mod tar;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use qw_docker::{ContainerFilter, ContainerSummary, Docker, Error, PathStat};
use qw_event::{ContainerRef, Event, SourceId, Timestamp};
use qw_log::{
    Redactor,
    join::{self, Joiner, Record},
    plain,
};
use qw_pipeline::{Intake, NotAccepted, Reader, Source, SourceError, SourceState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use self::tar::{Item, TarReader};
use super::{
    choose::{Choice, Facts, Pattern},
    files::{Gap, GapReason},
    generation,
    glob::Glob,
    reader::ReaderState,
    record::{Attributes, Words},
};
use crate::{clock::now, file::place::Head};

/// Label by which a container names its files: patterns, with commas between them.
const LABEL: &str = "quaywatch.logs.files";
/// Bytes at the beginning by which a file is known again.
const HEAD_BYTES: usize = 256;
/// New bytes of a file that are taken in one round.
const MOST_NEW: usize = 8 << 20;
/// Files of one container, and containers, that are looked at.
const MOST_FILES: usize = 100;
const MOST_CONTAINERS: usize = 500;
/// Names in one folder.
const MOST_NAMES: usize = 10_000;
/// Longest wait, when stopping, for the store.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Which files of which containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsideRule {
    /// Containers.
    pub containers: Vec<Pattern>,
    /// Files in them; patterns stand in the last part alone.
    pub paths: Vec<Glob>,
}

/// What is fetched, and how often.
#[derive(Debug, Clone)]
pub struct InsideConfig {
    /// Files besides those that containers name by their label.
    pub rules: Vec<InsideRule>,
    /// Time between two looks.
    pub every: Duration,
    /// Largest file, and largest folder that is listed, in bytes.
    pub max_file_bytes: u64,
    /// Longest record, in bytes; what is longer becomes several.
    pub max_line_bytes: usize,
    /// Takes secrets out of records before they go anywhere.
    pub redactor: Option<Arc<Redactor>>,
}

impl InsideConfig {
    /// What cannot be used.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn check(&self) -> Result<(), String> {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.containers.is_empty() || rule.paths.is_empty() {
                return Err(format!("`rules[{index}]` needs `containers` and `paths`"));
            }
            if let Some(glob) = rule
                .paths
                .iter()
                .find(|glob| glob.in_one_folder().is_none())
            {
                return Err(format!(
                    "`rules[{index}].paths`: {}",
                    not_in_one_folder(glob)
                ));
            }
        }
        Ok(())
    }
}

fn not_in_one_folder(glob: &Glob) -> String {
    format!("`{glob}` has a pattern before its last part; the engine lists single folders only")
}

/// The source; [`InsideSource::source_id`] is its name.
#[derive(Debug)]
pub struct InsideSource {
    config: InsideConfig,
    docker: Docker,
}

impl InsideSource {
    /// A source of the files inside containers of `docker`.
    pub fn new(config: InsideConfig, docker: Docker) -> Self {
        Self { config, docker }
    }

    /// Name of the source.
    pub fn source_id() -> SourceId {
        SourceId::new("logs:inside")
    }

    /// What the source reads, in words.
    pub fn description(docker: &Docker) -> String {
        format!("files inside containers of {}", docker.endpoint())
    }
}

#[async_trait]
impl Source for InsideSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let status = Arc::clone(intake.status());
        let mut looker = Looker {
            words: None,
            config: self.config,
            docker: self.docker,
            intake,
            members: BTreeMap::new(),
        };
        looker.settle().await;
        loop {
            match stop.run_until_cancelled(looker.look()).await {
                None | Some(Err(Failure::NoPipeline)) => break,
                Some(Ok(())) => status.set_state(SourceState::Running, now()),
                Some(Err(Failure::Engine(error))) => {
                    status.error(error.chain(), now());
                    status.set_state(SourceState::Waiting, now());
                }
            }
            looker.tell_readers();
            let pause = tokio::time::sleep(looker.config.every);
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        if tokio::time::timeout(FINISH_WITHIN, looker.settle())
            .await
            .is_err()
        {
            tracing::warn!("stopped before all records of files were stored; they are read again");
        }
        status.set_state(SourceState::Stopped, now());
        Ok(())
    }
}

enum Failure {
    Engine(Error),
    NoPipeline,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<NotAccepted> for Failure {
    fn from(_: NotAccepted) -> Self {
        Self::NoPipeline
    }
}

struct Looker {
    config: InsideConfig,
    docker: Docker,
    intake: Intake,
    words: Option<Words>,
    members: BTreeMap<String, Member>,
}

/// A container of which files are wanted.
struct Member {
    container: Arc<ContainerRef>,
    folders: BTreeMap<PathBuf, Folder>,
    files: BTreeMap<PathBuf, Watched>,
    /// What it named that is no pattern.
    refused: Option<ReaderState>,
}

/// A folder as it was listed.
struct Folder {
    modified: Timestamp,
    names: Vec<String>,
}

/// A file that is read.
struct Watched {
    reader: ReaderState,
    attributes: Attributes,
    joiner: Joiner,
    place: Place,
    /// The last look: size and time, when all of it was read.
    seen: Option<(u64, Timestamp)>,
    newest: Option<Timestamp>,
}

/// Where reading of a file goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    offset: u64,
    head: Head,
}

impl Place {
    /// Whether what was fetched is the file that was read up to here.
    fn is_in(self, fetched: &Fetched) -> bool {
        fetched.size >= self.offset && self.head.begins(&fetched.head)
    }
}

/// What a file held from an offset on.
struct Fetched {
    head: Vec<u8>,
    bytes: Vec<u8>,
    /// How long it is.
    size: u64,
    /// Nothing was left out at its end.
    is_whole: bool,
}

impl Looker {
    /// Waits until what was sent before is on disk or given up.
    async fn settle(&self) {
        if let Ok(receipt) = self.intake.send(Vec::new(), None, now()).await {
            // Whether this empty batch was stored is of no interest; those before it are settled.
            drop(receipt.await);
        }
    }

    fn tell_readers(&self) {
        let members = self.members.values();
        let readers = members.flat_map(|member| {
            let files = member.files.values().map(|file| &file.reader);
            files.chain(&member.refused).map(ReaderState::snapshot)
        });
        self.intake
            .status()
            .set_readers(readers.collect::<Vec<Reader>>());
    }

    /// Looks at all files of all containers once. One that ended since the last time is looked at once
    /// more.
    async fn look(&mut self) -> Result<(), Failure> {
        if self.words.is_none() {
            let info = self.docker.info().await?;
            let redactor = self.config.redactor.clone();
            self.words = Some(Words::with_streams(&info.name, redactor, ["file"; 2]));
        }
        let listed = self.docker.containers(&ContainerFilter::default()).await?;
        let mut running = BTreeSet::new();
        for container in listed.into_iter().take(MOST_CONTAINERS) {
            let (globs, refused) = self.wanted(&container);
            if globs.is_empty() && refused.is_none() {
                continue;
            }
            let id = container.id.clone();
            running.insert(id.clone());
            let mut member = self
                .members
                .remove(&id)
                .unwrap_or_else(|| Member::new(&container));
            member.refused =
                refused.map(|why| ReaderState::new(&id, container.name(), "none", why));
            let looked = match self.paths(&mut member, &globs).await {
                Ok(paths) => self.look_into(&mut member, paths, false).await,
                Err(error) => Err(error),
            };
            self.members.insert(id, member);
            looked?;
        }
        let ended: Vec<String> = self
            .members
            .keys()
            .filter(|id| !running.contains(*id))
            .cloned()
            .collect();
        for id in ended {
            if let Some(mut member) = self.members.remove(&id) {
                let paths = member.files.keys().cloned().collect();
                self.look_into(&mut member, paths, true).await?;
            }
        }
        Ok(())
    }

    /// What is wanted of a container; or what it names and nobody understands.
    fn wanted(&self, container: &ContainerSummary) -> (Vec<Glob>, Option<String>) {
        let facts = Facts {
            name: container.name().to_owned(),
            image: container.image.clone(),
            labels: container.labels.clone(),
            env: Vec::new(),
        };
        let mut globs = Vec::new();
        let mut refused = None;
        for text in facts
            .label(LABEL)
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            match text.parse::<Glob>() {
                Ok(glob) if glob.in_one_folder().is_some() => globs.push(glob),
                Ok(glob) => refused = Some(not_in_one_folder(&glob)),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        for rule in &self.config.rules {
            let choice = Choice {
                include: rule.containers.clone(),
                exclude: Vec::new(),
            };
            if choice.wants(&facts) {
                globs.extend(rule.paths.iter().cloned());
            }
        }
        let refused = refused.map(|why| format!("label `{LABEL}`: {why}"));
        if Choice::default().wants(&facts) {
            (globs, refused)
        } else {
            (Vec::new(), None)
        }
    }

    /// What `globs` select in a container.
    async fn paths(
        &self,
        member: &mut Member,
        globs: &[Glob],
    ) -> Result<BTreeSet<PathBuf>, Failure> {
        let mut paths = BTreeSet::new();
        for glob in globs {
            let Some((folder, is_pattern)) = glob.in_one_folder() else {
                continue;
            };
            if !is_pattern {
                paths.insert(PathBuf::from(glob.to_string()));
                continue;
            }
            let names = self.names(member, &folder).await?;
            let selected = names
                .iter()
                .filter(|name| generation::rotated(name).is_none());
            let selected = selected.map(|name| folder.join(name));
            paths.extend(selected.filter(|path| glob.matches(path)));
        }
        Ok(paths)
    }

    async fn look_into(
        &self,
        member: &mut Member,
        paths: BTreeSet<PathBuf>,
        is_last: bool,
    ) -> Result<(), Failure> {
        for path in paths.into_iter().take(MOST_FILES) {
            let shown = path.display().to_string();
            let found = self.docker.path_stat(&member.container.id, &shown);
            match found.await {
                Ok(Some(stat)) => self.look_at(member, &path, &stat, is_last).await?,
                Ok(None) => {}
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Names in a folder; it is listed anew when it has changed.
    async fn names(&self, member: &mut Member, folder: &Path) -> Result<Vec<String>, Failure> {
        let (id, path) = (&member.container.id, folder.display().to_string());
        let stat = match self.docker.path_stat(id, &path).await {
            Ok(Some(stat)) if stat.is_folder => stat,
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if let Some(known) = member.folders.get(folder)
            && known.modified == stat.modified
        {
            return Ok(known.names.clone());
        }
        let mut names = Vec::new();
        let mut reader = TarReader::default();
        let mut archive = match self.docker.archive(id, &path).await {
            Ok(archive) => archive,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = 0_u64;
        while let Some(piece) = archive.next().await? {
            bytes += piece.len() as u64;
            let read = reader.push(&piece, &mut |item| {
                // `log/a.log` lies in the folder, `log/old/a.log` below it.
                if let Item::File { name, .. } = item
                    && let Some((_, name)) = name.split_once('/')
                    && !name.contains('/')
                    && names.len() < MOST_NAMES
                {
                    names.push(name.to_owned());
                }
            });
            if read.is_err() || bytes > self.config.max_file_bytes {
                let why = if read.is_err() {
                    "what the engine sends of it is no tar archive".to_owned()
                } else {
                    let most = self.config.max_file_bytes;
                    format!("it holds more than {most} bytes; what was listed so far is read")
                };
                let text = format!(
                    "folder `{path}` of container `{}`: {why}",
                    member.container.name
                );
                self.intake.status().error(text, now());
                break;
            }
        }
        let listed = Folder {
            modified: stat.modified,
            names: names.clone(),
        };
        member.folders.insert(folder.to_owned(), listed);
        Ok(names)
    }

    async fn look_at(
        &self,
        member: &mut Member,
        path: &Path,
        stat: &PathStat,
        is_last: bool,
    ) -> Result<(), Failure> {
        let Member {
            container, files, ..
        } = member;
        let intake = self.intake.part(SourceId::new(&format!(
            "logs:inside:{}:{}",
            container.id,
            path.display()
        )));
        if !files.contains_key(path) {
            match self.watched(container, path, &intake).await {
                Ok(file) => files.insert(path.to_owned(), file),
                Err(error) => {
                    // Tried again with the next look: without it, lines would come twice.
                    self.intake.status().error(error, now());
                    return Ok(());
                }
            };
        }
        let Some(file) = files.get_mut(path) else {
            return Ok(());
        };
        let mut events = Vec::new();
        if !stat.is_file {
            let why = "it is no regular file; only those are fetched";
            file.reader.set_way("none", why.to_owned());
        } else if stat.size > self.config.max_file_bytes {
            let most = self.config.max_file_bytes;
            let why = format!(
                "it has {} bytes, more than `max_file` ({most}); the engine would have to send all of it each time",
                stat.size
            );
            file.reader.set_way("none", why);
        } else if is_last || file.seen != Some((stat.size, stat.modified)) {
            file.reader.set_way(
                "archive",
                format!(
                    "`{}` is fetched through the engine when it has changed",
                    path.display()
                ),
            );
            match self
                .read(container, path, file, (stat, is_last), &mut events)
                .await
            {
                Ok(()) => {}
                Err(Failure::Engine(error)) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let words = self.words.as_ref();
        let mut take =
            |record: Record<'_>| events.extend(event(words, container, &file.attributes, &record));
        if is_last {
            file.joiner.finish(&mut take);
        } else {
            file.joiner.flush(now(), &mut take);
        }
        self.send(file, events, &intake).await
    }

    /// Begins with a file, where it was left.
    async fn watched(
        &self,
        container: &ContainerRef,
        path: &Path,
        intake: &Intake,
    ) -> Result<Watched, String> {
        let shown = format!("`{}` of container `{}`", path.display(), container.name);
        let cursor = intake
            .cursor()
            .await
            .map_err(|error| format!("{shown}: cannot read where it was left: {error}"))?;
        let place = match cursor.and_then(|cursor| cursor.position) {
            Some(position) => serde_json::from_str(&position.0)
                .map_err(|error| format!("{shown}: its stored position cannot be read: {error}"))?,
            None => Place {
                offset: 0,
                head: Head::of(b""),
            },
        };
        let mut fields = Map::new();
        let text = path.display().to_string();
        fields.insert("log.file.path".to_owned(), Value::String(text));
        Ok(Watched {
            reader: ReaderState::new(
                &format!("{}:{}", container.id, path.display()),
                &container.name,
                "archive",
                String::new(),
            ),
            attributes: Attributes::new(fields),
            joiner: Joiner::new(join::Options {
                max_record_bytes: self.config.max_line_bytes,
                strip_carriage_return: true,
                ..join::Options::default()
            }),
            place,
            seen: None,
            newest: None,
        })
    }

    /// Takes what is new in a file; when it is looked at for the last time, its last line, too, if that has
    /// no end.
    async fn read(
        &self,
        container: &Arc<ContainerRef>,
        path: &Path,
        file: &mut Watched,
        (stat, is_last): (&PathStat, bool),
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        let shown = path.display().to_string();
        let Some(mut fetched) = self.fetch(&container.id, &shown, file.place.offset).await? else {
            return Ok(());
        };
        if !file.place.is_in(&fetched) {
            self.read_rest(container, &shown, file, events).await?;
            file.place = Place {
                offset: 0,
                head: Head::of(b""),
            };
            let anew = self.fetch(&container.id, &shown, 0).await?;
            let Some(anew) = anew else {
                return Ok(());
            };
            fetched = anew;
        }
        let is_end = is_last && fetched.is_whole;
        self.take(container, file, &fetched, is_end, events);
        // What was not taken whole is fetched again with the next look.
        file.seen = fetched.is_whole.then_some((stat.size, stat.modified));
        Ok(())
    }

    /// Another file has the place of the one that was read: takes what is left of that one.
    async fn read_rest(
        &self,
        container: &Arc<ContainerRef>,
        path: &str,
        file: &mut Watched,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        loop {
            let rotated = format!("{path}.1");
            let stat = self.docker.path_stat(&container.id, &rotated).await?;
            let fits = |stat: &PathStat| {
                stat.is_file
                    && (file.place.offset..=self.config.max_file_bytes).contains(&stat.size)
            };
            let fetched = match stat.filter(fits) {
                Some(_) => {
                    self.fetch(&container.id, &rotated, file.place.offset)
                        .await?
                }
                None => None,
            };
            let place = file.place;
            let known = fetched.filter(|fetched| place.head.length > 0 && place.is_in(fetched));
            let Some(fetched) = known else {
                break;
            };
            let before = file.place.offset;
            self.take(container, file, &fetched, fetched.is_whole, events);
            if fetched.is_whole {
                return Ok(());
            }
            if file.place.offset == before {
                break;
            }
        }
        if file.place.offset == 0 {
            return Ok(());
        }
        let gap = Gap {
            reason: GapReason::Rotated,
            files: None,
            bytes: None,
        };
        let words = self.words.as_ref();
        events
            .extend(words.map(|words| {
                words.gap(gap, file.newest, None, now(), container, &file.attributes)
            }));
        file.reader.gap();
        Ok(())
    }

    /// Takes the lines of what was fetched from the file's place on; `is_end` takes what has no line
    /// end, too.
    fn take(
        &self,
        container: &Arc<ContainerRef>,
        file: &mut Watched,
        fetched: &Fetched,
        is_end: bool,
        events: &mut Vec<Event>,
    ) {
        let words = self.words.as_ref();
        let Watched {
            joiner,
            attributes,
            place,
            newest,
            ..
        } = file;
        let mut take =
            |record: Record<'_>| events.extend(event(words, container, attributes, &record));
        let mut rest = &*fetched.bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let length = match end {
                Some(end) => end + 1,
                None if is_end || rest.len() >= MOST_NEW => rest.len(),
                None => break,
            };
            let (line, more) = rest.split_at(length);
            rest = more;
            let begin = place.offset;
            place.offset += length as u64;
            let time = now();
            if let Ok(mut entry) = plain::parse(line, time) {
                // A line of which there is no end in sight goes on.
                entry.ends_line = end.is_some() || is_end;
                *newest = Some(time);
                joiner.push(&entry, begin..place.offset, time, &mut take);
            }
        }
        place.head = Head::of(&fetched.head);
    }

    /// The file at `path`, from `offset` on; `None` when no file is there.
    async fn fetch(&self, id: &str, path: &str, offset: u64) -> Result<Option<Fetched>, Failure> {
        let mut archive = match self.docker.archive(id, path).await {
            Ok(archive) => archive,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut reader = TarReader::default();
        let mut fetched = Fetched {
            head: Vec::new(),
            bytes: Vec::new(),
            size: 0,
            is_whole: true,
        };
        let (mut files, mut read) = (0, 0_u64);
        while let Some(piece) = archive.next().await? {
            let pushed = reader.push(&piece, &mut |item| match item {
                Item::File { size: length, .. } => {
                    files += 1;
                    fetched.size = length;
                }
                Item::Bytes(bytes) if files == 1 => {
                    let room = HEAD_BYTES
                        .saturating_sub(fetched.head.len())
                        .min(bytes.len());
                    fetched
                        .head
                        .extend_from_slice(bytes.get(..room).unwrap_or_default());
                    let passed = usize::try_from(offset.saturating_sub(read)).unwrap_or(usize::MAX);
                    let new = bytes.get(passed..).unwrap_or_default();
                    let room = MOST_NEW.saturating_sub(fetched.bytes.len()).min(new.len());
                    fetched
                        .bytes
                        .extend_from_slice(new.get(..room).unwrap_or_default());
                    fetched.is_whole &= room == new.len();
                    read += bytes.len() as u64;
                }
                Item::Bytes(_) => {}
            });
            if pushed.is_err() || files > 1 {
                return Ok(None);
            }
            if !fetched.is_whole || read > self.config.max_file_bytes {
                // Enough for this time.
                fetched.is_whole = false;
                break;
            }
        }
        Ok((files == 1).then_some(fetched))
    }

    async fn send(
        &self,
        file: &mut Watched,
        events: Vec<Event>,
        intake: &Intake,
    ) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let status = self.intake.status();
        let bytes: usize = events.iter().map(|event| event.output.len()).sum();
        status.received(events.len() as u64, bytes as u64, now());
        file.reader.lines(events.len() as u64);
        let place = Place {
            offset: file.joiner.resume(file.place.offset).start(),
            ..file.place
        };
        let position = serde_json::to_string(&place).expect("numbers are JSON");
        // Whether it was stored, the pipeline tells.
        drop(
            intake
                .send(events, Some(qw_event::Position(position)), now())
                .await?,
        );
        Ok(())
    }
}

impl Member {
    fn new(container: &ContainerSummary) -> Self {
        let label =
            |key: &str| -> Arc<str> { container.labels.get(key).map_or("", String::as_str).into() };
        Self {
            container: Arc::new(ContainerRef {
                id: container.id.as_str().into(),
                name: container.name().into(),
                image: container.image.as_str().into(),
                compose_project: label("com.docker.compose.project"),
                compose_service: label("com.docker.compose.service"),
                k8s_namespace: label("io.kubernetes.pod.namespace"),
                k8s_pod: label("io.kubernetes.pod.name"),
                ..ContainerRef::default()
            }),
            folders: BTreeMap::new(),
            files: BTreeMap::new(),
            refused: None,
        }
    }
}

fn event(
    words: Option<&Words>,
    container: &Arc<ContainerRef>,
    attributes: &Attributes,
    record: &Record<'_>,
) -> Option<Event> {
    Some(words?.event(record, container, attributes))
}
