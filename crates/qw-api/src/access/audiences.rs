//! Which containers the scopes of users tell apart.

use std::sync::Arc;

use parking_lot::Mutex;
use qw_alerts::Audiences;
use qw_auth::LabelMatch;
use qw_event::{Audience, ContainerRef};
use qw_inventory::{Container, Inventory};
use rustc_hash::FxHashMap;

use super::{Access, visibility::label_text};

/// Who may see a container: everyone whose scope names its namespace, or a label it carries. For
/// [`qw_alerts::Desk::keep_apart_by`].
pub fn audiences(access: &Access, inventory: &Inventory) -> Arc<Audiences> {
    let (access, inventory) = (access.clone(), inventory.clone());
    let known = Mutex::new(Known::default());
    Arc::new(move |container| Audience {
        namespace: Arc::clone(&container.k8s_namespace),
        labels: labels_of(&access, &inventory, &known, container),
    })
}

/// Labels of containers, as far as scopes name them.
#[derive(Default)]
struct Known {
    /// What it was made from.
    named: Arc<[LabelMatch]>,
    #[expect(clippy::rc_buffer, reason = "what the inventory gives out")]
    containers: Arc<Vec<Arc<Container>>>,
    by_id: FxHashMap<Arc<str>, Arc<[Arc<str>]>>,
}

fn labels_of(
    access: &Access,
    inventory: &Inventory,
    known: &Mutex<Known>,
    container: &ContainerRef,
) -> Arc<[Arc<str>]> {
    let named = access.labels_in_scopes();
    if named.is_empty() {
        return Arc::default();
    }
    let containers = inventory.containers();
    let mut known = known.lock();
    if !Arc::ptr_eq(&known.named, &named) || !Arc::ptr_eq(&known.containers, &containers) {
        *known = Known::new(named, containers);
    }
    known.by_id.get(&container.id).cloned().unwrap_or_default()
}

impl Known {
    #[expect(clippy::rc_buffer, reason = "what the inventory gives out")]
    fn new(named: Arc<[LabelMatch]>, containers: Arc<Vec<Arc<Container>>>) -> Self {
        let texts: Vec<Arc<str>> = named.iter().map(label_text).collect();
        let labels = |container: &Container| -> Arc<[Arc<str>]> {
            let carried = named.iter().zip(&texts).filter(|(label, _)| {
                let value = container.labels.get(&label.key);
                value == Some(&label.value)
            });
            carried.map(|(_, text)| Arc::clone(text)).collect()
        };
        let by_id = containers
            .iter()
            .map(|container| (Arc::from(container.id.as_str()), labels(container)))
            .filter(|(_, labels)| !labels.is_empty())
            .collect();
        Self {
            named,
            containers,
            by_id,
        }
    }
}

impl Access {
    /// Labels that some user's scope names.
    pub(super) fn labels_in_scopes(&self) -> Arc<[LabelMatch]> {
        self.0.memory.lock().users.labels()
    }
}
