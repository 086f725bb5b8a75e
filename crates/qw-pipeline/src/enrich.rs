//! Events' containers → what the inventory knows of them.

use std::sync::Arc;

use qw_event::{ContainerRef, Event};
use rustc_hash::FxHashMap;

use crate::{ContainerIndex, SharedContainerIndex};

/// Container references remembered before the memory is cleared.
const REMEMBERED: usize = 65_536;

/// Completes the container reference of events.
#[derive(Debug)]
pub struct Enrich {
    index: SharedContainerIndex,
    seen: Arc<ContainerIndex>,
    /// By address of the shared reference, which the entry keeps alive.
    resolved: FxHashMap<usize, (Arc<ContainerRef>, Arc<ContainerRef>)>,
}

impl Enrich {
    /// Looks containers up in the newest snapshot that `index` holds.
    pub fn new(index: SharedContainerIndex) -> Self {
        let seen = index.load_full();
        Self {
            index,
            seen,
            resolved: FxHashMap::default(),
        }
    }

    /// Gives each event the fullest reference to its container; the event's own words fill what the
    /// inventory does not know.
    pub fn apply(&mut self, events: &mut [Event]) {
        let newest = self.index.load();
        if !Arc::ptr_eq(&newest, &self.seen) || self.resolved.len() > REMEMBERED {
            self.seen = Arc::clone(&newest);
            self.resolved.clear();
        }
        drop(newest);
        for event in events {
            let address = Arc::as_ptr(&event.container) as usize;
            let (_, resolved) = self.resolved.entry(address).or_insert_with(|| {
                let said = Arc::clone(&event.container);
                let resolved = complete(&said, &self.seen);
                (said, resolved)
            });
            if !Arc::ptr_eq(resolved, &event.container) {
                event.container = Arc::clone(resolved);
            }
        }
    }
}

fn complete(said: &Arc<ContainerRef>, index: &ContainerIndex) -> Arc<ContainerRef> {
    let Some(known) = index.resolve(said) else {
        return Arc::clone(said);
    };
    let either =
        |known: &Arc<str>, said: &Arc<str>| Arc::clone(if known.is_empty() { said } else { known });
    let merged = ContainerRef {
        id: either(&known.id, &said.id),
        name: either(&known.name, &said.name),
        image: either(&known.image, &said.image),
        image_repository: either(&known.image_repository, &said.image_repository),
        image_tag: either(&known.image_tag, &said.image_tag),
        image_digest: either(&known.image_digest, &said.image_digest),
        compose_project: either(&known.compose_project, &said.compose_project),
        compose_service: either(&known.compose_service, &said.compose_service),
        k8s_namespace: either(&known.k8s_namespace, &said.k8s_namespace),
        k8s_pod: either(&known.k8s_pod, &said.k8s_pod),
    };
    if merged == **known {
        Arc::clone(known)
    } else {
        Arc::new(merged)
    }
}
