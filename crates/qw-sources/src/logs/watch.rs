//! Watches which containers there are, and decides for each how its log is read.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use qw_docker::{
    ContainerDetails, ContainerFilter, ContainerSummary, Docker, EngineEvent, EngineEvents, Error,
};
use qw_event::{ContainerRef, SourceId};
use qw_log::{Multiline, join};
use qw_pipeline::{Intake, Reader, SourceState};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Way,
    api::LogGather,
    choose::{Choice, Facts},
    crew::Crew,
    files::LogFiles,
    place::{Incomplete, Stored},
    reader::ReaderState,
    record::Words,
    spot::Spotter,
    tail::{Common, Format, Start, Streams, Tail},
};
use crate::{
    StartFrom,
    clock::now,
    docker::{Cursor, Ended, EngineClock, Follower, Seen, Shared},
};

/// Label by which a container says which of its lines belong together.
const MULTILINE_LABEL: &str = "quaywatch.logs.multiline";
/// The engine is asked for its containers at least this often, in case that an event was missed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Events of the engine come in groups; one listing serves those that come within this time.
const SETTLE: Duration = Duration::from_millis(30);
/// Containers that are looked at at once.
const INSPECTIONS: usize = 8;
/// Followers of the engine's streams; each needs a connection.
const MOST_FOLLOWERS: usize = 256;
/// The log of a container of which nothing more is heard is held open for so long.
const EXPECT_FOR: Duration = Duration::from_secs(60);
const MOST_EXPECTED: usize = 256;
/// Readers are told so often.
const TELL_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// Files that the process may open when it does not say.
const USUAL_OPEN_FILES: usize = 1024;

/// Keeps a reader for each container that is wanted.
pub(super) struct Watcher {
    config: Config,
    choice: Choice,
    docker: Docker,
    intake: Intake,
    words: Option<Arc<Words>>,
    spotter: Spotter,
    crew: Crew,
    followers: Arc<Shared>,
    tasks: JoinSet<(String, Ended)>,
    members: BTreeMap<String, Member>,
    /// Logs of containers that were just made, opened before more is known of them.
    expected: BTreeMap<String, Expected>,
    /// The engine's folder of containers, as we see it.
    folder: Option<PathBuf>,
    clock: EngineClock,
    /// What was there when we first looked is not new.
    has_looked: bool,
    stop: CancellationToken,
}

/// A container that is known.
struct Member {
    facts: Facts,
    /// It is not wanted, or cannot be read, without `reader`.
    reader: Option<Arc<ReaderState>>,
    reading: Reading,
}

enum Reading {
    /// Not at all.
    Nothing,
    /// From its files.
    Files,
    /// Through the engine.
    Api(watch::Sender<Seen>),
}

struct Expected {
    files: Arc<LogFiles>,
    watched: Result<(), String>,
    facts: Facts,
    since: Instant,
}

/// How a container is to be read.
enum Decision {
    File(PathBuf, String),
    Api(String),
    None(String),
    /// It has no log yet.
    NotYet,
}

impl Watcher {
    /// Starts the threads that read files.
    pub(super) fn start(
        config: Config,
        docker: Docker,
        intake: Intake,
        stop: &CancellationToken,
    ) -> io::Result<Self> {
        let most_open = config
            .max_open_files
            .unwrap_or_else(|| open_files_limit() / 2);
        let followers = Arc::new(Shared {
            docker: docker.clone(),
            status: Arc::clone(intake.status()),
            reading: AtomicUsize::new(0),
            tells_state: false,
        });
        Ok(Self {
            choice: Choice {
                include: config.include.clone(),
                exclude: config.exclude.clone(),
            },
            spotter: Spotter::start()?,
            crew: Crew::start(most_open, stop.clone())?,
            config,
            docker,
            intake,
            words: None,
            followers,
            tasks: JoinSet::new(),
            members: BTreeMap::new(),
            expected: BTreeMap::new(),
            folder: None,
            clock: EngineClock::default(),
            has_looked: false,
            stop: stop.child_token(),
        })
    }

    /// Watches until stopped.
    pub(super) async fn watch(&mut self, stop: &CancellationToken) {
        let mut pause = RETRY_FIRST;
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => return,
                error = self.watch_engine(&mut pause) => error,
            };
            let status = self.intake.status();
            if let Err(error) = error {
                tracing::warn!(error = error.chain(), "cannot watch the Docker engine");
                status.error(error.chain(), now());
            }
            status.set_state(SourceState::Waiting, now());
            self.tell_readers();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// Ends all readers and waits until what they have sent is on disk or given up.
    pub(super) async fn finish(&mut self) {
        self.stop.cancel();
        self.crew.stop().await;
        while self.tasks.join_next().await.is_some() {}
        self.settle().await;
        self.tell_readers();
    }

    /// Waits until what was sent before is on disk or given up.
    async fn settle(&self) {
        if let Ok(receipt) = self.intake.send(Vec::new(), None, now()).await {
            // Whether this empty batch was stored is of no interest; those before it are settled.
            drop(receipt.await);
        }
    }

    /// Watches until the connection to the engine ends.
    async fn watch_engine(&mut self, pause: &mut Duration) -> Result<(), Error> {
        let info = self.docker.info().await?;
        if self.words.is_none() {
            self.words = Some(Arc::new(Words::new(
                &info.name,
                self.config.redactor.clone(),
            )));
            // Batches of an earlier run in this process move the positions.
            self.settle().await;
        }
        let root = self.config.docker_root.clone();
        let root = root.unwrap_or_else(|| PathBuf::from(&info.docker_root_dir));
        self.folder = (!root.as_os_str().is_empty()).then(|| root.join("containers"));
        // Events first, so that nothing happens unseen between the two.
        let mut events = self.docker.events(None, &["container"]).await?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = tell.tick() => {
                    self.tell_readers();
                    continue;
                }
                _ = look.tick() => self.look_at_clock().await?,
                event = events.next() => match event? {
                    Some(event) => {
                        if !self.note(event) {
                            continue;
                        }
                        if !self.note_more(&mut events).await? {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
                Some(ended) = self.tasks.join_next() => {
                    match ended {
                        Ok((id, ended)) => {
                            tracing::debug!(container = id, ?ended, "log no longer followed");
                            self.members.remove(&id);
                        }
                        Err(error) => {
                            tracing::error!(error = %error, "a follower of a log failed");
                        }
                    }
                }
            }
            self.reconcile().await?;
            self.intake.status().set_state(SourceState::Running, now());
            *pause = RETRY_FIRST;
        }
    }

    /// Takes the events that come within a moment; false when the engine ends the stream.
    async fn note_more(&mut self, events: &mut EngineEvents) -> Result<bool, Error> {
        let settled = Instant::now() + SETTLE;
        while let Ok(event) = tokio::time::timeout_at(settled, events.next()).await {
            let Some(event) = event? else {
                return Ok(false);
            };
            self.note(event);
        }
        Ok(true)
    }

    /// Notes an event; false when it changes nothing. The log of a container that is new is opened at
    /// once: it may be gone before the container can be looked at.
    fn note(&mut self, event: EngineEvent) -> bool {
        match event.action.as_str() {
            "create" | "start" | "restart" => {
                if !self.members.contains_key(&event.id) && !self.expected.contains_key(&event.id) {
                    self.expect(event);
                }
            }
            "destroy" => self.remove(&event.id),
            "die" | "rename" => {}
            _ => return false,
        }
        true
    }

    fn expect(&mut self, event: EngineEvent) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.config.way != Way::Api) else {
            return;
        };
        self.expected
            .retain(|_, expected| expected.since.elapsed() < EXPECT_FOR);
        if self.expected.len() >= MOST_EXPECTED {
            return;
        }
        let path = folder
            .join(&event.id)
            .join(format!("{}-json.log", event.id));
        let files = Arc::new(LogFiles::new(path, self.config.max_held_bytes));
        let watched = self.spotter.watch(&files);
        if files.begin_unless_begun().is_err() {
            return;
        }
        let attribute = |name: &str| event.attributes.get(name).cloned().unwrap_or_default();
        let facts = Facts {
            name: attribute("name"),
            image: attribute("image"),
            labels: event.attributes.clone(),
            env: Vec::new(),
        };
        self.expected.insert(
            event.id,
            Expected {
                files,
                watched,
                facts,
                since: Instant::now(),
            },
        );
    }

    /// The container `id` is gone; what it has left is read to its end.
    fn remove(&mut self, id: &str) {
        if let Some(member) = self.members.remove(id) {
            if matches!(member.reading, Reading::Files) {
                self.crew.end(id);
            }
            return;
        }
        // It was gone before it could be looked at.
        let Some(expected) = self.expected.remove(id) else {
            return;
        };
        if self.choice.wants(&expected.facts) && expected.files.has_next() {
            let why = "its log was opened when it was made".to_owned();
            let reader = Arc::new(ReaderState::new(id, &expected.facts.name, "file", why));
            if let Some(common) = self.common(id, &expected.facts, &reader) {
                let options = self.join_options(&expected.facts, false);
                let tail = Tail::new(expected.files, Start::Beginning, common, options);
                self.crew.add(tail, self.part(id));
                self.crew.end(id);
            }
        }
    }

    /// Has logs that are followed read from earlier when the engine's clock was set back: the engine
    /// leaves out records that are older than what a stream was asked for.
    async fn look_at_clock(&mut self) -> Result<(), Error> {
        if let Some(time) = self.docker.ping().await?
            && self.clock.observe(Instant::now().into_std(), time)
        {
            tracing::warn!(to = %time, "the clock of the Docker engine was set back");
            for member in self.members.values() {
                if let Reading::Api(sender) = &member.reading {
                    sender.send_modify(|seen| seen.set_back = self.clock.set_back());
                }
            }
        }
        Ok(())
    }

    /// Starts readers of new containers, and ends those of what is gone or no longer wanted.
    async fn reconcile(&mut self) -> Result<(), Error> {
        let all = ContainerFilter {
            all: true,
            ..ContainerFilter::default()
        };
        let listed = self.docker.containers(&all).await?;
        let listed: BTreeMap<String, ContainerSummary> = listed
            .into_iter()
            .map(|container| (container.id.clone(), container))
            .collect();
        let known: Vec<String> = self.members.keys().cloned().collect();
        for id in known {
            match listed.get(&id) {
                Some(container) => self.see(&id, container),
                None => self.remove(&id),
            }
        }
        let mut new: Vec<String> = listed
            .keys()
            .filter(|id| !self.members.contains_key(*id))
            .cloned()
            .collect();
        let mut tasks = JoinSet::new();
        while !(new.is_empty() && tasks.is_empty()) {
            while tasks.len() < INSPECTIONS
                && let Some(id) = new.pop()
            {
                let docker = self.docker.clone();
                tasks.spawn(async move {
                    let details = docker.container(&id).await;
                    (id, details)
                });
            }
            match tasks.join_next().await {
                Some(Ok((id, Ok(details)))) => {
                    let is_live = listed.get(&id).is_some_and(is_live);
                    self.begin(details, is_live).await;
                }
                Some(Ok((id, Err(error)))) if error.is_not_found() => self.remove(&id),
                Some(Ok((_, Err(error)))) => return Err(error),
                Some(Err(error)) => {
                    tracing::error!(error = %error, "looking at a container failed");
                }
                None => {}
            }
        }
        self.has_looked = true;
        Ok(())
    }

    /// Takes over what a listing says of a container that is known.
    fn see(&mut self, id: &str, container: &ContainerSummary) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let has_other_name = member.facts.name != container.name();
        if has_other_name {
            container.name().clone_into(&mut member.facts.name);
            if let Some(reader) = &member.reader {
                reader.rename(container.name());
            }
        }
        if let Reading::Api(sender) = &member.reading {
            let seen = Seen {
                running: is_live(container),
                wanted: true,
                set_back: self.clock.set_back(),
            };
            sender.send_replace(seen);
        }
        // A name may decide whether it is wanted.
        let is_wanted = self.choice.wants(&member.facts);
        if has_other_name
            && is_wanted != !matches!(member.reading, Reading::Nothing)
            && let Some(member) = self.members.remove(id)
        {
            match member.reading {
                Reading::Files => self.crew.end(id),
                Reading::Api(sender) => sender.send_modify(|seen| seen.wanted = false),
                Reading::Nothing => {}
            }
        }
    }

    /// Begins to read a container, if it is wanted.
    async fn begin(&mut self, details: ContainerDetails, is_live: bool) {
        let id = details.id.clone();
        let facts = Facts {
            name: details.name.trim_start_matches('/').to_owned(),
            image: details.config.image.clone(),
            labels: details.config.labels.clone(),
            env: details.config.env.clone(),
        };
        if !self.choice.wants(&facts) {
            self.expected.remove(&id);
            self.members.insert(
                id,
                Member {
                    facts,
                    reader: None,
                    reading: Reading::Nothing,
                },
            );
            return;
        }
        let decision = self.decide(&details);
        let (way, why) = match &decision {
            Decision::File(_, why) => ("file", why.clone()),
            Decision::Api(why) => ("api", why.clone()),
            Decision::None(why) => ("none", why.clone()),
            Decision::NotYet => return,
        };
        let stored = match self.stored(&id).await {
            Ok(stored) => stored,
            Err(error) => {
                // Tried again with the next listing: without it, lines would come twice.
                let text = format!("log of container `{}`: {error}", facts.name);
                self.intake.status().error(text, now());
                return;
            }
        };
        let reader = Arc::new(ReaderState::new(&id, &facts.name, way, why));
        let Some(common) = self.common(&id, &facts, &reader) else {
            return;
        };
        let options = self.join_options(&facts, details.config.tty);
        let intake = self.part(&id);
        let starts_now = self.config.from == StartFrom::Now && !self.has_looked;
        let reading = match decision {
            Decision::File(path, why) => {
                let (files, watched) = match self.expected.remove(&id) {
                    Some(expected) if expected.files.path() == path => {
                        (expected.files, expected.watched)
                    }
                    _ => {
                        let files = Arc::new(LogFiles::new(path, self.config.max_held_bytes));
                        let watched = self.spotter.watch(&files);
                        (files, watched)
                    }
                };
                if let Err(error) = watched {
                    reader.set_why(format!(
                        "{why}; looked at from time to time, because {error}"
                    ));
                }
                let start = match stored {
                    Some(Stored::File(place)) => Start::At(Box::new(place)),
                    Some(Stored::Api(place)) => Start::Behind(Box::new(place)),
                    None if starts_now => Start::Now,
                    None | Some(Stored::Done) => Start::Beginning,
                };
                self.crew
                    .add(Tail::new(files, start, common, options), intake);
                Reading::Files
            }
            Decision::Api(_) if self.tasks.len() >= MOST_FOLLOWERS => {
                let text =
                    format!("more than {MOST_FOLLOWERS} logs would be read through the engine");
                reader.set_way("none", text);
                Reading::Nothing
            }
            Decision::Api(_) => {
                let (cursor, known) = match stored {
                    Some(Stored::Api(place)) => (place.cursor, (place.ahead, place.resume)),
                    Some(Stored::File(place)) => match place.incomplete {
                        Some(Incomplete {
                            newest_count: 0,
                            ahead,
                            resume,
                            ..
                        }) => (Cursor::at_beginning(), (ahead, resume)),
                        Some(place) => (
                            Cursor::behind(place.newest, place.newest_count),
                            (place.ahead, place.resume),
                        ),
                        None => (
                            Cursor::behind(place.newest, place.newest_count),
                            (0, join::Resume::default()),
                        ),
                    },
                    None if starts_now => (Cursor::since(now()), (0, join::Resume::default())),
                    None | Some(Stored::Done) => {
                        (Cursor::at_beginning(), (0, join::Resume::default()))
                    }
                };
                let (sender, receiver) = watch::channel(Seen {
                    running: is_live,
                    wanted: true,
                    set_back: self.clock.set_back(),
                });
                let follower = Follower::new(
                    Arc::clone(&self.followers),
                    id.clone(),
                    facts.name.clone(),
                    cursor,
                    LogGather::new(common, intake, options, known),
                    receiver,
                    self.stop.clone(),
                );
                let task_id = id.clone();
                self.tasks
                    .spawn(async move { (task_id, follower.run().await) });
                Reading::Api(sender)
            }
            Decision::None(_) | Decision::NotYet => Reading::Nothing,
        };
        self.members.insert(
            id,
            Member {
                facts,
                reader: Some(reader),
                reading,
            },
        );
    }

    /// Where the reading of a container was left; `None` when it is to begin anew.
    async fn stored(&self, id: &str) -> Result<Option<Stored>, String> {
        if self.config.from != StartFrom::Position {
            return Ok(None);
        }
        let cursor = self
            .part(id)
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

    fn decide(&self, details: &ContainerDetails) -> Decision {
        let driver = details.host_config.log_config.driver.as_str();
        if driver == "none" {
            return Decision::None("its log driver `none` keeps nothing".to_owned());
        }
        let is_local = driver == "json-file" || driver.is_empty();
        if self.config.way == Way::Api {
            return Decision::Api("so it is configured".to_owned());
        }
        let unreadable = |why: String| match self.config.way {
            Way::File => Decision::None(why),
            Way::Auto | Way::Api => Decision::Api(why),
        };
        if !is_local {
            return unreadable(format!(
                "only the engine can read what the log driver `{driver}` keeps"
            ));
        }
        if details.log_path.is_empty() {
            // The engine makes it when the container starts, and says so.
            return Decision::NotYet;
        }
        let path = self.map_path(&details.id, &details.log_path);
        match readable(&path) {
            Ok(()) => {
                let why = format!("`{}` can be read", path.display());
                Decision::File(path, why)
            }
            Err(error) => unreadable(format!("`{}` cannot be read: {error}", path.display())),
        }
    }

    /// The engine's path as we see it.
    fn map_path(&self, id: &str, path: &str) -> PathBuf {
        let path = Path::new(path);
        match (&self.config.docker_root, &self.folder, path.file_name()) {
            (Some(_), Some(folder), Some(name)) => folder.join(id).join(name),
            _ => path.to_owned(),
        }
    }

    fn part(&self, id: &str) -> Intake {
        self.intake.part(SourceId::new(&format!("logs:{id}")))
    }

    fn common(&self, id: &str, facts: &Facts, reader: &Arc<ReaderState>) -> Option<Common> {
        let shared = |text: &str| -> Arc<str> { text.into() };
        let container = ContainerRef {
            id: shared(id),
            name: shared(&facts.name),
            image: shared(&facts.image),
            compose_project: shared(facts.label("com.docker.compose.project")),
            compose_service: shared(facts.label("com.docker.compose.service")),
            k8s_namespace: shared(facts.label("io.kubernetes.pod.namespace")),
            k8s_pod: shared(facts.label("io.kubernetes.pod.name")),
            ..ContainerRef::default()
        };
        Some(Common {
            key: shared(id),
            format: Format::JsonFile,
            attributes: Arc::default(),
            container: Arc::new(container),
            words: Arc::clone(self.words.as_ref()?),
            status: Arc::clone(self.intake.status()),
            reader: Arc::clone(reader),
            streams: Streams {
                stdout: self.config.stdout,
                stderr: self.config.stderr,
            },
        })
    }

    fn join_options(&self, facts: &Facts, is_terminal: bool) -> join::Options {
        let multiline = match facts.label(MULTILINE_LABEL) {
            "" => self.config.multiline.clone(),
            text => Multiline::parse(text).unwrap_or_else(|error| {
                let name = &facts.name;
                let text = format!("label `{MULTILINE_LABEL}` of container `{name}`: {error}");
                tracing::warn!("{text}");
                self.intake.status().error(text, now());
                self.config.multiline.clone()
            }),
        };
        join::Options {
            max_record_bytes: self.config.max_line_bytes,
            // The driver keeps the `\r` that a terminal adds.
            strip_carriage_return: is_terminal,
            multiline,
            ..join::Options::default()
        }
    }

    fn tell_readers(&self) {
        let readers: Vec<Reader> = self
            .members
            .values()
            .filter_map(|member| Some(member.reader.as_ref()?.snapshot()))
            .collect();
        self.intake.status().set_readers(readers);
    }
}

fn is_live(container: &ContainerSummary) -> bool {
    ["running", "paused", "restarting"].contains(&container.state.as_str())
}

/// Whether the log at `path` can be read, now or when it is made.
fn readable(path: &Path) -> io::Result<()> {
    match fs_err::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A rotation may be under way.
            let folder = path.parent().unwrap_or(path);
            fs_err::read_dir(folder).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Files that this process may open.
pub(super) fn open_files_limit() -> usize {
    let limits = fs_err::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .unwrap_or(USUAL_OPEN_FILES)
}
