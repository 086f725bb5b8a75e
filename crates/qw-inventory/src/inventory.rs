//! The set itself: what is known, what of it is published, what of it is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qw_docker::Docker;
use qw_event::{ContainerRef, Timestamp};
use qw_pipeline::{ContainerIndex, Notices, SharedContainerIndex};
use qw_store::{StateChange, StateStore, StoreError};
use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

use crate::{Container, Image, REMOVED, UNKNOWN, watch};

const COLLECTION: &str = "containers";
/// A store of state takes values of at most 1 MiB.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// So many changes go to the store at once.
const CHANGES_AT_ONCE: usize = 500;

/// Bounds of the inventory.
#[derive(Debug, Clone)]
pub struct Options {
    /// Removed containers stay known for this long,
    pub keep_removed: Duration,
    /// and at most so many of them.
    pub max_removed: usize,
    /// The engine is asked for its whole list at least this often.
    pub resync: Duration,
    /// Containers looked at at once.
    pub inspections: usize,
    /// First and longest pause between tries when the engine does not answer.
    pub retry: (Duration, Duration),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_removed: Duration::from_secs(7 * 24 * 3600),
            max_removed: 2000,
            resync: Duration::from_secs(300),
            inspections: 4,
            retry: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// The current set of containers and images. Clones share it.
#[derive(Clone)]
pub struct Inventory {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    state: Arc<dyn StateStore>,
    known: Mutex<Known>,
    containers: ArcSwap<Vec<Arc<Container>>>,
    pub(crate) images: ArcSwap<Vec<Image>>,
    index: SharedContainerIndex,
    status: Mutex<Status>,
    /// Held while changes go to the store, so that whoever comes later waits for them.
    storing: Mutex<()>,
}

#[derive(Default)]
struct Known {
    containers: BTreeMap<String, Entry>,
    /// What the store holds, as a hash, to write only what has changed.
    stored: FxHashMap<String, u64>,
    /// Ids to compare with the store.
    touched: BTreeSet<String>,
}

#[derive(Clone)]
struct Entry {
    container: Arc<Container>,
    /// What events carry of it.
    reference: Arc<ContainerRef>,
}

impl From<Container> for Entry {
    fn from(container: Container) -> Self {
        Self {
            reference: Arc::new(container.reference()),
            container: Arc::new(container),
        }
    }
}

/// How the inventory fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The engine's stream of events is open.
    pub connected: bool,
    /// Where the engine listens; empty without one.
    pub endpoint: String,
    /// Version of the engine; empty while not known.
    pub engine_version: String,
    /// Name of the engine's host; empty while not known.
    pub host: String,
    /// When something last went wrong, and what.
    pub last_error: Option<(Timestamp, String)>,
    /// When the whole list was last read.
    pub last_sync: Option<Timestamp>,
}

impl Inventory {
    /// An inventory of the containers that `state` remembers.
    ///
    /// # Errors
    /// When the store cannot be read. Entries that cannot be understood are left out.
    pub fn open(state: Arc<dyn StateStore>, options: Options) -> Result<Self, StoreError> {
        let mut known = Known::default();
        for (id, text) in state.list(COLLECTION)? {
            match serde_json::from_str::<Container>(&text) {
                Ok(mut container) if container.id == id => {
                    known.stored.insert(id.clone(), hash(&text));
                    if container.state != REMOVED {
                        UNKNOWN.clone_into(&mut container.state);
                        container.status.clear();
                    }
                    known.containers.insert(id, container.into());
                }
                Ok(_) => tracing::warn!(id, "a remembered container has another id; left out"),
                Err(error) => {
                    tracing::warn!(id, error = %error, "a remembered container is unreadable; left out");
                }
            }
        }
        let inventory = Self {
            shared: Arc::new(Shared {
                options,
                state,
                known: Mutex::new(known),
                containers: ArcSwap::default(),
                images: ArcSwap::default(),
                index: SharedContainerIndex::default(),
                status: Mutex::default(),
                storing: Mutex::default(),
            }),
        };
        inventory.shared.publish();
        Ok(inventory)
    }

    /// All containers that are known, those that are there first, then by name and id.
    pub fn containers(&self) -> Arc<Vec<Arc<Container>>> {
        self.shared.containers.load_full()
    }

    /// The container with this id, a prefix of it of at least twelve characters, or this name. Of
    /// several with one name, the one that is there, then the newest.
    pub fn container(&self, id_or_name: &str) -> Option<Arc<Container>> {
        let containers = self.containers();
        containers
            .iter()
            .filter(|container| container.answers_to(id_or_name))
            .max_by_key(|container| rank(container))
            .cloned()
    }

    /// The images the engine has.
    pub fn images(&self) -> Arc<Vec<Image>> {
        self.shared.images.load_full()
    }

    /// Where the newest index for enrichment is found.
    pub fn index(&self) -> SharedContainerIndex {
        Arc::clone(&self.shared.index)
    }

    /// How the inventory fares.
    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// Makes exactly `containers` known, without an engine and without remembering them.
    pub fn set_static(&self, containers: Vec<Container>) {
        let mut known = self.shared.known.lock();
        known.containers = containers
            .into_iter()
            .map(|one| (one.id.clone(), one.into()))
            .collect();
        drop(known);
        self.shared.publish();
    }

    /// Keeps the set up to date with the engine of `docker` until `stop` fires; raises a notice when
    /// the engine is away.
    pub async fn run(&self, docker: Docker, notices: Notices, stop: CancellationToken) {
        watch::run(&self.shared, docker, &notices, stop).await;
    }
}

impl Shared {
    pub(crate) fn with_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock());
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Container>> {
        self.known
            .lock()
            .containers
            .get(id)
            .map(|entry| Arc::clone(&entry.container))
    }

    /// Ids of the containers that are not known to be removed.
    pub(crate) fn present_ids(&self) -> BTreeSet<String> {
        let known = self.known.lock();
        let present = known
            .containers
            .iter()
            .filter(|(_, entry)| entry.container.state != REMOVED);
        present.map(|(id, _)| id.clone()).collect()
    }

    /// Sets containers without publishing them.
    pub(crate) fn put(&self, containers: impl IntoIterator<Item = Container>) {
        let mut known = self.known.lock();
        for container in containers {
            known.touched.insert(container.id.clone());
            known
                .containers
                .insert(container.id.clone(), container.into());
        }
    }

    /// Marks a container as removed at `now`; without effect when it is not known or marked already.
    pub(crate) fn mark_removed(&self, id: &str, now: Timestamp) {
        let Some(before) = self.get(id).filter(|container| container.state != REMOVED) else {
            return;
        };
        let mut container = Container::clone(&before);
        if container.is_running() || container.state == UNKNOWN {
            container.finished.get_or_insert(now);
        }
        REMOVED.clone_into(&mut container.state);
        container.status.clear();
        container.removed = Some(now);
        self.put([container]);
    }

    pub(crate) fn set_images(&self, images: Vec<Image>) {
        self.images.store(Arc::new(images));
    }

    /// Forgets removed containers that are too many or too old at `now`.
    pub(crate) fn forget_removed(&self, now: Timestamp) {
        let oldest = now.saturating_sub(self.options.keep_removed);
        let mut known = self.known.lock();
        let mut removed: Vec<(Timestamp, String)> = known
            .containers
            .values()
            .filter(|entry| entry.container.state == REMOVED)
            .map(|entry| {
                (
                    entry.container.removed.unwrap_or_default(),
                    entry.container.id.clone(),
                )
            })
            .collect();
        removed.sort_unstable_by(|a, b| b.cmp(a));
        for (number, (time, id)) in removed.into_iter().enumerate() {
            if number >= self.options.max_removed || time < oldest {
                known.containers.remove(&id);
                known.touched.insert(id);
            }
        }
    }

    /// Publishes what is known.
    pub(crate) fn publish(&self) {
        let mut entries: Vec<_> = self.known.lock().containers.values().cloned().collect();
        // Of those with one name the index finds the last.
        entries.sort_by_key(|entry| rank(&entry.container));
        let references = entries.iter().map(|entry| Arc::clone(&entry.reference));
        self.index.store(Arc::new(ContainerIndex::new(references)));
        let mut containers: Vec<_> = entries.into_iter().map(|entry| entry.container).collect();
        containers.sort_by(|a, b| {
            let key = |container: &Container| container.state == REMOVED;
            key(a)
                .cmp(&key(b))
                .then_with(|| a.name.cmp(&b.name))
                .then_with(|| a.id.cmp(&b.id))
        });
        self.containers.store(Arc::new(containers));
    }

    /// Writes what has changed to the store; waits for it.
    pub(crate) async fn store(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || shared.store_blocking()).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "cannot remember containers; will try again");
            }
            Err(error) => tracing::error!(error = %error, "remembering containers failed"),
        }
    }

    fn store_blocking(&self) -> Result<(), StoreError> {
        let _storing = self.storing.lock();
        let touched = std::mem::take(&mut self.known.lock().touched);
        let result = self.store_changes(&touched);
        if result.is_err() {
            self.known.lock().touched.extend(touched);
        }
        result
    }

    fn store_changes(&self, touched: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for id in touched {
            let Some(container) = self.get(id) else {
                gone.push(id);
                continue;
            };
            let text = text(&container);
            let hash = hash(&text);
            if self.known.lock().stored.get(id) != Some(&hash) {
                changed.push((id, text, hash));
            }
        }
        for part in changed.chunks(CHANGES_AT_ONCE) {
            let changes: Vec<_> = part
                .iter()
                .map(|(key, value, _)| StateChange::Put {
                    collection: COLLECTION,
                    key,
                    value,
                })
                .collect();
            self.state.apply(&changes)?;
            let stored = part.iter().map(|(id, _, hash)| ((*id).clone(), *hash));
            self.known.lock().stored.extend(stored);
        }
        for part in gone.chunks(CHANGES_AT_ONCE) {
            let changes: Vec<_> = part
                .iter()
                .map(|key| StateChange::Delete {
                    collection: COLLECTION,
                    key,
                })
                .collect();
            self.state.apply(&changes)?;
            let mut known = self.known.lock();
            for id in part {
                known.stored.remove(*id);
            }
        }
        Ok(())
    }
}

/// Those that are there before those that are gone, newer before older: the greatest is meant.
fn rank(container: &Container) -> (u8, Timestamp) {
    let presence = match container.state.as_str() {
        REMOVED => 0,
        UNKNOWN => 1,
        _ if container.is_running() => 3,
        _ => 2,
    };
    (presence, container.created.unwrap_or_default())
}

/// What is remembered: without the words that change by themselves, and bounded.
fn text(container: &Container) -> String {
    let mut container = container.clone();
    container.status.clear();
    let text = serde_json::to_string(&container).expect("texts, numbers and lists are JSON");
    if text.len() <= MAX_VALUE_BYTES {
        return text;
    }
    container.labels.clear();
    container.mounts.clear();
    container.ports.clear();
    serde_json::to_string(&container).expect("texts, numbers and lists are JSON")
}

fn hash(text: &str) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in memory.
    #[derive(Default)]
    struct Memory(Mutex<BTreeMap<(String, String), String>>);

    impl StateStore for Memory {
        fn get(&self, collection: &str, key: &str) -> Result<Option<String>, StoreError> {
            Ok(self
                .0
                .lock()
                .get(&(collection.to_owned(), key.to_owned()))
                .cloned())
        }

        fn list(&self, collection: &str) -> Result<Vec<(String, String)>, StoreError> {
            let all = self.0.lock();
            let found = all.iter().filter(|((of, _), _)| of == collection);
            Ok(found
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect())
        }

        fn apply(&self, changes: &[StateChange<'_>]) -> Result<(), StoreError> {
            let mut all = self.0.lock();
            for change in changes {
                match *change {
                    StateChange::Put {
                        collection,
                        key,
                        value,
                    } => {
                        all.insert((collection.to_owned(), key.to_owned()), value.to_owned());
                    }
                    StateChange::Delete { collection, key } => {
                        all.remove(&(collection.to_owned(), key.to_owned()));
                    }
                }
            }
            Ok(())
        }
    }

    fn container(id: &str, name: &str, state: &str, seconds: i64) -> Container {
        Container {
            id: id.repeat(64),
            name: name.to_owned(),
            image: "shop/web:1".to_owned(),
            state: state.to_owned(),
            created: Some(Timestamp::from_seconds(seconds)),
            ..Container::default()
        }
    }

    fn open(state: &Arc<Memory>) -> Inventory {
        let options = Options {
            max_removed: 2,
            ..Options::default()
        };
        Inventory::open(Arc::clone(state) as Arc<dyn StateStore>, options).unwrap()
    }

    #[test]
    fn what_is_gone_still_resolves_after_a_restart() {
        let state = Arc::new(Memory::default());
        let inventory = open(&state);
        inventory.shared.put([
            container("a", "web", "running", 1),
            container("b", "db", "running", 2),
        ]);
        inventory
            .shared
            .mark_removed(&"a".repeat(64), Timestamp::from_seconds(9));
        inventory.shared.store_blocking().unwrap();

        let inventory = open(&state);
        let web = inventory.container("web").unwrap();
        assert_eq!(
            (web.state.as_str(), web.finished),
            (REMOVED, Some(Timestamp::from_seconds(9)))
        );
        assert_eq!(inventory.container("db").unwrap().state, UNKNOWN);
        let index = inventory.index().load_full();
        let found = index.find(&"a".repeat(12)).unwrap();
        assert_eq!(
            (&*found.name, &*found.image_repository),
            ("web", "shop/web")
        );
    }

    #[test]
    fn of_two_with_one_name_the_one_that_is_there_is_meant() {
        let inventory = open(&Arc::default());
        inventory.shared.put([
            container("a", "web", "exited", 1),
            container("b", "web", "running", 2),
        ]);
        inventory.shared.put([container("c", "web", REMOVED, 3)]);
        inventory.shared.publish();
        assert_eq!(inventory.container("web").unwrap().id, "b".repeat(64));
        let index = inventory.index().load_full();
        assert_eq!(*index.find("web").unwrap().id, *"b".repeat(64));
        let states: Vec<_> = inventory
            .containers()
            .iter()
            .map(|one| one.state.clone())
            .collect();
        assert_eq!(states, ["exited", "running", REMOVED]);
    }

    #[test]
    fn removed_ones_are_forgotten_by_number_and_age() {
        let state = Arc::new(Memory::default());
        let inventory = open(&state);
        for (number, id) in ["a", "b", "c", "d"].iter().enumerate() {
            inventory.shared.put([container(id, "web", "exited", 1)]);
            inventory
                .shared
                .mark_removed(&id.repeat(64), Timestamp::from_seconds(number as i64));
        }
        inventory.shared.store_blocking().unwrap();
        inventory.shared.forget_removed(Timestamp::from_seconds(10));
        inventory.shared.store_blocking().unwrap();
        assert_eq!(state.list(COLLECTION).unwrap().len(), 2);
        assert!(inventory.shared.get(&"d".repeat(64)).is_some());
        inventory
            .shared
            .forget_removed(Timestamp::from_seconds(1_000_000));
        assert!(inventory.shared.get(&"d".repeat(64)).is_none());
    }

    #[test]
    fn a_static_set_replaces_all_and_is_not_remembered() {
        let state = Arc::new(Memory::default());
        let inventory = open(&state);
        inventory.set_static(vec![container("a", "demo", "running", 1)]);
        assert_eq!(inventory.containers().len(), 1);
        assert!(inventory.index().load().find("demo").is_some());
        assert!(state.list(COLLECTION).unwrap().is_empty());
    }
}
