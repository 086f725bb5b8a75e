//! What is known about containers, for enrichment.

use std::sync::Arc;

use arc_swap::ArcSwap;
use qw_event::ContainerRef;
use rustc_hash::FxHashMap;

/// A snapshot of the known containers, found by id, short id, or name.
#[derive(Debug, Default)]
pub struct ContainerIndex {
    ids: FxHashMap<Arc<str>, Arc<ContainerRef>>,
    short_ids: FxHashMap<Box<str>, Arc<ContainerRef>>,
    names: FxHashMap<Arc<str>, Arc<ContainerRef>>,
}

/// The newest snapshot; the inventory replaces it, the pipeline reads it.
pub type SharedContainerIndex = Arc<ArcSwap<ContainerIndex>>;

impl ContainerIndex {
    /// An index of `containers`. Of two with the same name the later one is found by name, so
    /// give those that are gone first.
    pub fn new(containers: impl IntoIterator<Item = Arc<ContainerRef>>) -> Self {
        let mut index = Self::default();
        for container in containers {
            index
                .short_ids
                .insert(container.short_id().into(), Arc::clone(&container));
            if !container.name.is_empty() {
                index
                    .names
                    .insert(Arc::clone(&container.name), Arc::clone(&container));
            }
            index.ids.insert(Arc::clone(&container.id), container);
        }
        index
    }

    /// The container with this id, a prefix of it of twelve characters, or this name.
    pub fn find(&self, id_or_name: &str) -> Option<&Arc<ContainerRef>> {
        self.ids
            .get(id_or_name)
            .or_else(|| self.short_ids.get(id_or_name))
            .or_else(|| self.names.get(id_or_name))
    }

    /// The container an event speaks of: by its id, or by its name when it says no id.
    pub fn resolve(&self, said: &ContainerRef) -> Option<&Arc<ContainerRef>> {
        if !said.id.is_empty() {
            self.ids
                .get(&said.id)
                .or_else(|| self.short_ids.get(said.short_id()))
        } else if !said.name.is_empty() {
            self.names.get(&said.name)
        } else {
            None
        }
    }

    /// Number of containers.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when nothing is known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
