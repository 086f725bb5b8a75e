//! Follows what containers print, through the Docker engine.
//!
//! Each selected container's standard output is read from where it was left: the position holds, per
//! container id, a place in its log that is exact to the record, and is stored together with the
//! events. So nothing is missing and nothing comes twice when we, the container, or the engine are
//! restarted, as long as the engine still has the log. A container made anew under the same name has
//! another id and is read from its beginning; the old one, when it still exists, is read to its end
//! first.
//!
//! It does not read log files of the engine directly.

mod clock;
mod cursor;
mod falco_lines;
mod follow;
mod lines;
mod positions;
mod selector;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use qw_docker::{ContainerFilter, ContainerSummary, Docker, EngineEvents, Error};
use qw_event::{SourceId, Timestamp};
use qw_pipeline::{Intake, Source, SourceError, SourceState};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::selector::{InvalidSelector, Selector};
pub(crate) use self::{
    clock::EngineClock,
    cursor::{Cursor, Resumption},
    follow::{Ended, Follower, Gather, Seen, Shared},
};
use self::{
    falco_lines::{FalcoLines, Sent},
    positions::Positions,
};
use crate::StartFrom;

/// Containers followed at once by one source.
const MAX_CONTAINERS: usize = 256;
/// The engine is asked for its containers, in case that an event was missed, and for its time at
/// least this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Events of the engine come in groups; one listing serves those that come within this time.
const SETTLE: Duration = Duration::from_millis(50);
/// Longest wait for old containers to be read to their end before new ones are begun.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait, when stopping, for the store.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Which containers, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Distinguishes several sources of this kind. Part of the stored position's name: whoever
    /// changes it starts anew.
    pub name: String,
    /// Containers; one that any of these selects is followed.
    #[serde(deserialize_with = "one_or_many")]
    pub container: Vec<Selector>,
    /// Engine, such as `unix:///var/run/docker.sock`; without it the one of `DOCKER_HOST`, or the
    /// usual socket.
    pub endpoint: Option<String>,
    /// Where to begin.
    pub from: StartFrom,
    /// Longest line, in bytes; longer ones are counted as invalid.
    pub max_line_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            container: Vec::new(),
            endpoint: None,
            from: StartFrom::default(),
            max_line_bytes: 1 << 20,
        }
    }
}

impl Config {
    /// Name of the source: `docker`, or `docker:` and the configured name. It does not depend on the
    /// selectors, so that changing them loses no position.
    pub fn source_id(&self) -> SourceId {
        if self.name.is_empty() {
            SourceId::new("docker")
        } else {
            SourceId::new(&format!("docker:{}", self.name))
        }
    }

    /// What the source follows, in words.
    pub fn description(&self, docker: &Docker) -> String {
        format!("containers {}, via {}", self.selectors(), docker.endpoint())
    }

    fn selectors(&self) -> String {
        let selectors: Vec<String> = self
            .container
            .iter()
            .map(|selector| format!("`{selector}`"))
            .collect();
        selectors.join(", ")
    }
}

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "docker";

/// The source; [`Config::source_id`] is its name.
#[derive(Debug)]
pub struct DockerSource {
    config: Config,
    docker: Docker,
}

impl DockerSource {
    /// A source that reads the containers of `config` through `docker`.
    pub fn new(config: Config, docker: Docker) -> Self {
        Self { config, docker }
    }
}

#[async_trait]
impl Source for DockerSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        if self.config.container.is_empty() {
            return Err(SourceError {
                doing: "the Docker source selects no container; set `container`".to_owned(),
                cause: None,
            });
        }
        let positions = tokio::select! {
            positions = stored_positions(&intake, self.config.from) => positions?,
            () = stop.cancelled() => return Ok(()),
        };
        let shared = Arc::new(Shared {
            docker: self.docker,
            status: Arc::clone(intake.status()),
            reading: AtomicUsize::new(0),
            tells_state: true,
        });
        let sent = Arc::new(Mutex::new(Sent {
            positions,
            last: None,
        }));
        let mut watcher = Watcher {
            shared: Arc::clone(&shared),
            intake,
            sent,
            config: self.config,
            followers: BTreeMap::new(),
            tasks: JoinSet::new(),
            begin: None,
            clock: EngineClock::default(),
            drained: false,
            stop: stop.child_token(),
        };
        watcher.watch(&stop).await;
        watcher.finish().await;
        shared.status.set_state(SourceState::Stopped, now());
        Ok(())
    }
}

/// Where to go on. First waits for batches of an earlier run in this process that are still on
/// their way, since they move the position.
async fn stored_positions(intake: &Intake, from: StartFrom) -> Result<Positions, SourceError> {
    if let Ok(receipt) = intake.send(Vec::new(), None, now()).await {
        // Whether this empty batch was stored is of no interest; those before it are settled.
        drop(receipt.await);
    }
    if from != StartFrom::Position {
        return Ok(Positions::default());
    }
    let cursor = intake.cursor().await.map_err(|error| {
        SourceError::new(
            "cannot read from the store where the Docker source was left",
            error,
        )
    })?;
    let Some(position) = cursor.and_then(|cursor| cursor.position) else {
        return Ok(Positions::default());
    };
    Positions::parse(&position).map_err(|error| {
        SourceError::new(
            "cannot go on where the Docker source was left (another `name` starts anew)",
            error,
        )
    })
}

/// Watches which containers there are, and keeps a follower for each that is selected.
struct Watcher {
    shared: Arc<Shared>,
    intake: Intake,
    sent: Arc<Mutex<Sent>>,
    config: Config,
    followers: BTreeMap<String, watch::Sender<Seen>>,
    tasks: JoinSet<(String, Ended)>,
    /// The engine's time when we first saw it, for [`StartFrom::Now`].
    begin: Option<Timestamp>,
    clock: EngineClock,
    /// Containers of the stored position that are no longer selected were read to their end.
    drained: bool,
    stop: CancellationToken,
}

impl Watcher {
    async fn watch(&mut self, stop: &CancellationToken) {
        let mut pause = RETRY_FIRST;
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => return,
                error = self.watch_engine(&mut pause) => error,
            };
            let status = &self.shared.status;
            if let Err(error) = error {
                tracing::warn!(error = error.chain(), "cannot watch the Docker engine");
                status.error(error.chain(), now());
            }
            if self
                .shared
                .reading
                .load(std::sync::atomic::Ordering::Relaxed)
                == 0
            {
                status.set_state(SourceState::Waiting, now());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    /// Watches until the connection to the engine ends.
    async fn watch_engine(&mut self, pause: &mut Duration) -> Result<(), Error> {
        let docker = self.shared.docker.clone();
        if self.config.from == StartFrom::Now && self.begin.is_none() {
            self.begin = Some(docker.info().await?.system_time.unwrap_or_else(now));
        }
        // Events first, so that nothing happens unseen between the two.
        let mut events = docker.events(None, &["container"]).await?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => self.look_at_clock().await?,
                more = wait_for_change(&mut events) => {
                    if !more? {
                        return Ok(());
                    }
                }
                Some(ended) = self.tasks.join_next() => self.forget(ended).await,
            }
            // After each of these, since a change that was being waited for may be cut short.
            self.reconcile().await?;
            *pause = RETRY_FIRST;
        }
    }

    /// Has the logs read from earlier when the engine's clock was set back: the engine leaves out
    /// records that are older than what a stream was asked for.
    async fn look_at_clock(&mut self) -> Result<(), Error> {
        if let Some(time) = self.shared.docker.ping().await?
            && self.clock.observe(Instant::now().into_std(), time)
        {
            tracing::warn!(to = %time, "the clock of the Docker engine was set back");
            for sender in self.followers.values() {
                sender.send_modify(|seen| seen.set_back = self.clock.set_back());
            }
        }
        Ok(())
    }

    /// Starts followers of new containers and tells the others what is seen of theirs.
    async fn reconcile(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.forget(ended).await;
        }
        let known = self.sent.lock().await.positions.ids();
        let containers = self.list(&known).await?;
        let exists = |id: &str| containers.contains_key(id);
        self.sent.lock().await.positions.prune(exists);

        let selected = |container: &ContainerSummary| {
            self.config
                .container
                .iter()
                .any(|selector| selector.matches(container))
        };
        for (id, sender) in &self.followers {
            let container = containers.get(id);
            let wanted = container.is_none_or(selected);
            let running = container.is_none_or(is_live);
            let set_back = self.clock.set_back();
            sender.send_replace(Seen {
                running,
                wanted,
                set_back,
            });
        }
        let old: Vec<_> = containers
            .values()
            .filter(|container| !selected(container) && !is_live(container))
            .filter(|container| known.contains(&container.id))
            .map(|container| (container.id.clone(), container.name().to_owned()))
            .collect();
        let new: Vec<_> = containers
            .values()
            .filter(|container| selected(container) && !self.followers.contains_key(&container.id))
            .map(|container| {
                (
                    container.id.clone(),
                    container.name().to_owned(),
                    is_live(container),
                )
            })
            .collect();
        if !std::mem::replace(&mut self.drained, true) {
            self.drain(old).await;
        }
        for (id, name, running) in new {
            if self.followers.len() >= MAX_CONTAINERS {
                let text = format!(
                    "more than {MAX_CONTAINERS} containers are selected; `{name}` is not followed"
                );
                self.shared.status.error(text, now());
                continue;
            }
            self.follow(id, name, running, true).await;
        }
        if self.followers.is_empty() {
            let status = &self.shared.status;
            status.set_state(SourceState::Waiting, now());
            let text = format!(
                "no container is selected by {} at `{}`; waiting for one",
                self.config.selectors(),
                self.shared.docker.endpoint()
            );
            status.error(text, now());
        }
        Ok(())
    }

    /// Those that may be selected, and those of the position, by id.
    async fn list(&self, known: &[String]) -> Result<BTreeMap<String, ContainerSummary>, Error> {
        let mut filters: Vec<ContainerFilter> = self
            .config
            .container
            .iter()
            .flat_map(Selector::filters)
            .collect();
        if !known.is_empty() {
            filters.push(ContainerFilter {
                all: true,
                ids: known.to_vec(),
                ..ContainerFilter::default()
            });
        }
        let mut containers = BTreeMap::new();
        for filter in &filters {
            for container in self.shared.docker.containers(filter).await? {
                containers.insert(container.id.clone(), container);
            }
        }
        Ok(containers)
    }

    /// Reads stopped containers that are no longer selected to their end.
    async fn drain(&mut self, containers: Vec<(String, String)>) {
        if containers.is_empty() {
            return;
        }
        for (id, name) in containers {
            self.follow(id, name, false, false).await;
        }
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.forget(ended).await;
            }
        };
        if tokio::time::timeout(DRAIN_WITHIN, all).await.is_err() {
            tracing::warn!("old containers are not read to their end yet; going on with the new");
        }
    }

    async fn follow(&mut self, id: String, name: String, running: bool, wanted: bool) {
        let seen = Seen {
            running,
            wanted,
            set_back: self.clock.set_back(),
        };
        let stored = self.sent.lock().await.positions.get(&id).cloned();
        let cursor = match (stored, self.begin) {
            (Some(mut cursor), _) => {
                // No record still to come is older, even when the clock was set back meanwhile.
                if let Some(time) = self.clock.latest() {
                    cursor.include(time);
                }
                cursor
            }
            (None, Some(begin)) => Cursor::since(begin),
            (None, None) => Cursor::at_beginning(),
        };
        let (sender, receiver) = watch::channel(seen);
        let lines = FalcoLines::new(
            id.clone(),
            self.intake.clone(),
            Arc::clone(&self.sent),
            self.config.max_line_bytes,
        );
        let follower = Follower::new(
            Arc::clone(&self.shared),
            id.clone(),
            name,
            cursor,
            lines,
            receiver,
            self.stop.clone(),
        );
        self.followers.insert(id.clone(), sender);
        self.tasks.spawn(async move { (id, follower.run().await) });
    }

    async fn forget(&mut self, ended: Result<(String, Ended), JoinError>) {
        match ended {
            Ok((id, ended)) => {
                tracing::debug!(container = id, ?ended, "container no longer followed");
                self.followers.remove(&id);
            }
            Err(error) => {
                // Which one it was is not known; all begin again from what was sent.
                tracing::error!(error = %error, "a follower of a container failed; all start anew");
                self.tasks.shutdown().await;
                self.followers.clear();
            }
        }
    }

    /// Stops the followers and waits until what they have sent is on disk or given up. What is not
    /// on disk in time has not moved the position, and is read again by the next run.
    async fn finish(&mut self) {
        self.stop.cancel();
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            let last = self.sent.lock().await.last.take();
            if let Some(receipt) = last {
                // Whether it was stored, the pipeline tells.
                drop(receipt.await);
            }
        };
        if tokio::time::timeout(FINISH_WITHIN, all).await.is_err() {
            tracing::warn!("stopped before all events read from containers were stored");
        }
    }
}

/// Waits until containers have come, gone, started, stopped or changed their name; false when the
/// engine ends the stream.
async fn wait_for_change(events: &mut EngineEvents) -> Result<bool, Error> {
    loop {
        let Some(event) = events.next().await? else {
            return Ok(false);
        };
        if is_change(&event.action) {
            break;
        }
    }
    let settled = tokio::time::sleep(SETTLE);
    tokio::pin!(settled);
    loop {
        tokio::select! {
            () = &mut settled => return Ok(true),
            event = events.next() => {
                if event?.is_none() {
                    return Ok(false);
                }
            }
        }
    }
}

fn is_live(container: &ContainerSummary) -> bool {
    ["running", "paused", "restarting"].contains(&container.state.as_str())
}

fn is_change(action: &str) -> bool {
    [
        "create", "start", "restart", "die", "destroy", "rename", "update",
    ]
    .contains(&action)
}

/// The clock, read where lines come in.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

/// A list, or a single one without its brackets.
fn one_or_many<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Selector>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        Many(Vec<String>),
        One(String),
    }
    let texts = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(texts) => texts,
        OneOrMany::One(text) => vec![text],
    };
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_or_several() {
        let config: Config = serde_json::from_str(r#"{"container":"falco","from":"now"}"#).unwrap();
        assert_eq!(config.container, [Selector::NameOrId("falco".to_owned())]);
        assert_eq!(
            (config.from, config.max_line_bytes),
            (StartFrom::Now, 1 << 20)
        );
        let config: Config =
            serde_json::from_str(r#"{"container":["label:app=falco","id:3f2a"],"name":"a"}"#)
                .unwrap();
        assert_eq!(config.container.len(), 2);
        assert_eq!(config.source_id().as_str(), "docker:a");
        let error = serde_json::from_str::<Config>(r#"{"containers":[]}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `containers`"),
            "{error}"
        );
        let error = serde_json::from_str::<Config>(r#"{"container":"what:x"}"#).unwrap_err();
        assert!(
            error.to_string().contains("`what:x` selects no container"),
            "{error}"
        );
    }
}
