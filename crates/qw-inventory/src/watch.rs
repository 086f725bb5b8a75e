//! Keeps the set up to date with an engine: its list, then its events, and its list again from time
//! to time.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use qw_docker::{ContainerDetails, ContainerFilter, Docker, EngineEvent, EngineEvents, Error};
use qw_event::Timestamp;
use qw_pipeline::{NoticeLevel, Notices};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Container, Image, UNKNOWN, inventory::Shared};

/// Events come in groups; those within this time are handled together.
const SETTLE: Duration = Duration::from_millis(50);
/// With more containers changed at once, the whole list is cheaper.
const MAX_CHANGED: usize = 100;
/// While many containers are looked at, what is known so far is published this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// Watches the engine until `stop` fires; waits and tries again when it does not answer.
///
/// Says once, and not at every try, that the engine is away.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    docker: Docker,
    notices: &Notices,
    stop: CancellationToken,
) {
    let endpoint = docker.endpoint().to_string();
    shared.with_status(|status| status.endpoint.clone_from(&endpoint));
    let mut is_told = false;
    let watcher = Watcher {
        shared: Arc::clone(shared),
        docker,
    };
    let mut pause = shared.options.retry.0;
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => break,
            error = watcher.watch() => error,
        };
        let was_connected = {
            let mut was = false;
            shared.with_status(|status| {
                was = std::mem::take(&mut status.connected);
                if let Err(error) = &error {
                    status.last_error = Some((now(), error.chain()));
                }
            });
            was
        };
        if was_connected {
            pause = shared.options.retry.0;
            is_told = false;
        }
        if let Err(error) = error
            && !std::mem::replace(&mut is_told, true)
        {
            let error = error.chain();
            tracing::warn!(error, endpoint, "no Docker engine; tried again");
            let level = if was_connected {
                NoticeLevel::Warning
            } else {
                NoticeLevel::Info
            };
            let text = format!(
                "the Docker engine at {endpoint} does not answer, so containers are known only as \
                 far as events name them; tried again: {error}"
            );
            notices.raise(now(), level, "inventory", &text);
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(shared.options.retry.1);
    }
    shared.with_status(|status| status.connected = false);
    shared.store().await;
}

struct Watcher {
    shared: Arc<Shared>,
    docker: Docker,
}

/// What a group of events asks for.
#[derive(Debug, Default)]
struct Changes {
    /// Containers to look at.
    containers: BTreeSet<String>,
    /// Containers that were removed.
    removed: BTreeSet<String>,
    images: bool,
    /// One of the containers was not known before.
    is_new: bool,
}

impl Watcher {
    /// Watches until the engine ends the stream of events, or an error.
    async fn watch(&self) -> Result<(), Error> {
        let info = self.docker.info().await?;
        // Events first, so that nothing happens unseen between the two.
        let mut events = self.docker.events(None, &["container", "image"]).await?;
        let host = info.name;
        self.shared.with_status(|status| {
            status.connected = true;
            status.engine_version = info.server_version;
            status.host.clone_from(&host);
        });
        self.sync(&host).await?;
        let mut next_sync = Instant::now() + self.shared.options.resync;
        loop {
            tokio::select! {
                changes = self.next_changes(&mut events, &host) => {
                    let Some(changes) = changes? else { return Ok(()) };
                    if changes.containers.len() > MAX_CHANGED {
                        self.sync(&host).await?;
                    } else {
                        self.apply(changes, &host).await?;
                    }
                }
                () = tokio::time::sleep_until(next_sync) => {
                    self.sync(&host).await?;
                    next_sync = Instant::now() + self.shared.options.resync;
                }
            }
        }
    }

    /// Waits for events and gathers those that come together; `None` at the end of the stream.
    async fn next_changes(
        &self,
        events: &mut EngineEvents,
        host: &str,
    ) -> Result<Option<Changes>, Error> {
        let mut changes = Changes::default();
        loop {
            let Some(event) = events.next().await? else {
                return Ok(None);
            };
            if self.note(event, &mut changes, host) {
                break;
            }
        }
        if std::mem::take(&mut changes.is_new) {
            self.shared.publish();
        }
        let settled = Instant::now() + SETTLE;
        while let Ok(event) = tokio::time::timeout_at(settled, events.next()).await {
            let Some(event) = event? else { break };
            self.note(event, &mut changes, host);
        }
        if changes.is_new {
            self.shared.publish();
        }
        Ok(Some(changes))
    }

    /// Notes what an event changes; false when it changes nothing. A new container is known
    /// at once, by what the event says of it: it may be gone before it can be looked at.
    fn note(&self, event: EngineEvent, changes: &mut Changes, host: &str) -> bool {
        match (event.kind.as_str(), event.action.as_str()) {
            ("image", _) => changes.images = true,
            ("container", "destroy") => {
                changes.containers.remove(&event.id);
                changes.removed.insert(event.id);
            }
            (
                "container",
                "create" | "start" | "restart" | "stop" | "die" | "kill" | "oom" | "pause"
                | "unpause" | "rename" | "update",
            ) => {
                if self.shared.get(&event.id).is_none() {
                    let mut container = Container::from_event(&event, host);
                    self.add_image(&mut container);
                    self.shared.put([container]);
                    changes.is_new = true;
                }
                changes.containers.insert(event.id);
            }
            _ => return false,
        }
        true
    }

    /// Reads the whole list, publishes it, then looks at each container that is new or has changed.
    async fn sync(&self, host: &str) -> Result<(), Error> {
        let all = ContainerFilter {
            all: true,
            ..ContainerFilter::default()
        };
        let listed = self.docker.containers(&all).await?;
        self.read_images().await?;
        let mut gone = self.shared.present_ids();
        for container in &listed {
            gone.remove(&container.id);
        }
        let listed = listed
            .into_iter()
            .map(|summary| Container::from_summary(summary, host));
        let to_inspect = self.take_list(listed.collect());
        let now = now();
        for id in &gone {
            self.shared.mark_removed(id, now);
        }
        self.shared.forget_removed(now);
        self.shared.publish();
        self.inspect(to_inspect).await?;
        self.shared.publish();
        self.shared
            .with_status(|status| status.last_sync = Some(now));
        self.shared.store().await;
        Ok(())
    }

    async fn apply(&self, changes: Changes, host: &str) -> Result<(), Error> {
        if changes.images {
            self.read_images().await?;
        }
        if !changes.containers.is_empty() {
            let filter = ContainerFilter {
                all: true,
                ids: changes.containers.iter().cloned().collect(),
                ..ContainerFilter::default()
            };
            let listed = self.docker.containers(&filter).await?;
            let listed: Vec<_> = listed
                .into_iter()
                .map(|summary| Container::from_summary(summary, host))
                .collect();
            if listed.iter().any(|container| self.lacks_image(container)) {
                self.read_images().await?;
            }
            self.take_list(listed);
        }
        let now = now();
        for id in &changes.removed {
            self.shared.mark_removed(id, now);
        }
        self.shared.forget_removed(now);
        self.inspect(changes.containers.into_iter().collect())
            .await?;
        self.shared.publish();
        self.shared.store().await;
        Ok(())
    }

    async fn read_images(&self) -> Result<(), Error> {
        let images = self.docker.images().await?;
        self.shared
            .set_images(images.into_iter().map(Image::from).collect());
        Ok(())
    }

    fn lacks_image(&self, container: &Container) -> bool {
        !self
            .shared
            .images
            .load()
            .iter()
            .any(|image| image.id == container.image_id)
    }

    fn add_image(&self, container: &mut Container) {
        let images = self.shared.images.load();
        let image = if container.image_id.is_empty() {
            images
                .iter()
                .find(|image| image.references.contains(&container.image))
        } else {
            images.iter().find(|image| image.id == container.image_id)
        };
        if container.image_id.is_empty()
            && let Some(image) = image
        {
            container.image_id.clone_from(&image.id);
        }
        container.set_digest(image);
    }

    /// Takes over what a listing says; returns the ids of those that are new or have changed.
    fn take_list(&self, listed: Vec<Container>) -> Vec<String> {
        let mut changed = Vec::new();
        let mut containers = Vec::with_capacity(listed.len());
        for mut container in listed {
            let before = self.shared.get(&container.id);
            if let Some(before) = &before {
                container.keep_details(before);
            }
            let is_new = before.is_none_or(|before| {
                before.state != container.state
                    || before.state == UNKNOWN
                    || before.name != container.name
                    || (before.started.is_none() && container.is_running())
                    || (before.finished.is_none() && container.state == "exited")
            });
            if is_new {
                changed.push(container.id.clone());
            }
            self.add_image(&mut container);
            containers.push(container);
        }
        self.shared.put(containers);
        changed
    }

    /// Looks at each of these containers, several at once. One that is gone is left to its event.
    async fn inspect(&self, ids: Vec<String>) -> Result<(), Error> {
        let mut tasks: JoinSet<Result<Option<ContainerDetails>, Error>> = JoinSet::new();
        let mut ids = ids.into_iter();
        let mut published = Instant::now();
        loop {
            while tasks.len() < self.shared.options.inspections.max(1)
                && let Some(id) = ids.next()
            {
                let docker = self.docker.clone();
                tasks.spawn(async move {
                    match docker.container(&id).await {
                        Ok(details) => Ok(Some(details)),
                        Err(error) if error.is_not_found() => Ok(None),
                        Err(error) => Err(error),
                    }
                });
            }
            let Some(result) = tasks.join_next().await else {
                return Ok(());
            };
            match result {
                Ok(Ok(Some(details))) => {
                    if let Some(known) = self.shared.get(&details.id) {
                        let mut container = Container::clone(&known);
                        container.add_details(&details);
                        self.add_image(&mut container);
                        self.shared.put([container]);
                    }
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(error),
                Err(error) => tracing::error!(error = %error, "looking at a container failed"),
            }
            if published.elapsed() > PUBLISH_EVERY {
                self.shared.publish();
                published = Instant::now();
            }
        }
    }
}

/// The clock, read where the engine's answers come in.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}
