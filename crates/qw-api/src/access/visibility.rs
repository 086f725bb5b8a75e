//! Whose data somebody may see: a scope of namespaces and labels, resolved through the inventory.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request;
use qw_auth::{DataScope, LabelMatch};
use qw_event::{Alert, ContainerRef};
use qw_inventory::{Container, Inventory};
use qw_store::{
    ContainerSelection,
    query::{Expression, Filter},
};
use rustc_hash::FxHashSet;

use crate::{guard::Caller, problem::Problem, state::State};

/// The containers somebody may see.
///
/// Labels become ids of containers through the inventory, which also knows those that are gone for
/// a while. Namespaces are looked for in the events themselves too. What belongs to no container,
/// and what no scope can tell, is for those who may see everything. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Visibility(Option<Confined>);

#[derive(Clone)]
struct Confined {
    scope: Arc<DataScope>,
    inventory: Inventory,
    /// What the ids were resolved from.
    #[expect(clippy::rc_buffer, reason = "what the inventory gives out")]
    known: Arc<Vec<Arc<Container>>>,
    ids: Arc<FxHashSet<Arc<str>>>,
}

impl Visibility {
    /// What somebody with `scope` may see; `None` is everything.
    pub(crate) fn new(scope: Option<Arc<DataScope>>, inventory: &Inventory) -> Self {
        Self(scope.map(|scope| {
            let known = inventory.containers();
            Confined {
                ids: Arc::new(resolve(&scope, &known)),
                inventory: inventory.clone(),
                known,
                scope,
            }
        }))
    }

    /// Takes containers into account that the inventory has come to know since.
    pub(crate) fn refresh(&mut self) {
        if let Some(confined) = &mut self.0 {
            let known = confined.inventory.containers();
            if !Arc::ptr_eq(&known, &confined.known) {
                confined.ids = Arc::new(resolve(&confined.scope, &known));
                confined.known = known;
            }
        }
    }

    /// True when nothing is hidden.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// What an event must match to be seen; `None` when every event may be.
    pub(crate) fn filter(&self) -> Option<Filter> {
        let confined = self.0.as_ref()?;
        let mut ids: Vec<&str> = confined.ids.iter().map(|id| &**id).collect();
        ids.sort_unstable();
        let namespaces = &confined.scope.namespaces;
        let parts = [
            Filter::equals("container.id", ids),
            Filter::equals("k8s.ns.name", namespaces.iter().map(String::as_str)),
        ];
        // Of nothing equals says that it matches nothing.
        let parts = parts.iter().filter_map(|part| part.expression().cloned());
        Some(Filter::from(Expression::any(parts)))
    }

    /// `filter`, and what is seen.
    pub(crate) fn narrow(&self, filter: Filter) -> Filter {
        match self.filter() {
            Some(seen) => filter.and(seen),
            None => filter,
        }
    }

    /// How many records were looked at, for who sees all of them; else the number would tell of records
    /// that are not seen.
    pub(crate) fn tell(&self, scanned: u64) -> Option<u64> {
        self.0.is_none().then_some(scanned)
    }

    /// True when records of `container` may be seen.
    pub(crate) fn contains(&self, container: &ContainerRef) -> bool {
        self.0.as_ref().is_none_or(|confined| {
            confined.ids.contains(&container.id)
                || confined.scope.has_namespace(&container.k8s_namespace)
        })
    }

    /// True when the container with this id may be seen.
    pub(crate) fn contains_id(&self, id: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|confined| confined.ids.contains(id))
    }

    /// True when everything in `namespace` may be seen.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        let confined = self.0.as_ref();
        confined.is_none_or(|confined| confined.scope.has_namespace(namespace))
    }

    /// True when all that `alert` tells may be seen.
    pub(crate) fn contains_alert(&self, alert: &Alert) -> bool {
        self.0.as_ref().is_none_or(|confined| {
            alert.is_within(
                |name| confined.scope.has_namespace(name),
                |label| confined.scope.labels.iter().any(|it| it.is_written(label)),
                |id| confined.ids.contains(id),
            )
        })
    }

    /// The containers, for stores that do not speak the query language; `None` for all.
    pub(crate) fn selection(&self) -> Option<ContainerSelection> {
        let confined = self.0.as_ref()?;
        let mut containers: Vec<Arc<str>> = confined.ids.iter().cloned().collect();
        containers.sort_unstable();
        let namespaces = confined.scope.namespaces.iter();
        Some(ContainerSelection {
            containers,
            namespaces: namespaces.map(|name| name.as_str().into()).collect(),
            labels: confined.scope.labels.iter().map(label_text).collect(),
        })
    }
}

/// A label as the audience of an alert names it.
pub(super) fn label_text(label: &LabelMatch) -> Arc<str> {
    label.to_string().into()
}

fn resolve(scope: &DataScope, known: &[Arc<Container>]) -> FxHashSet<Arc<str>> {
    known
        .iter()
        .filter(|container| !container.id.is_empty())
        .filter(|container| scope.contains(&container.k8s_namespace, &container.labels))
        .map(|container| Arc::from(container.id.as_str()))
        .collect()
}

impl FromRequestParts<State> for Visibility {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut request::Parts,
        state: &State,
    ) -> Result<Self, Problem> {
        let Caller(identity) = Caller::from_request_parts(parts, state).await?;
        Ok(Self::new(identity.scope, &state.parts.inventory))
    }
}

#[cfg(test)]
mod tests {
    use qw_event::Timestamp;
    use qw_store::StateStore;

    use super::*;
    use crate::event_view::tests::event;

    fn container(name: &str, namespace: &str, team: &str) -> Container {
        Container {
            id: format!("{name:0<64}"),
            name: name.to_owned(),
            k8s_namespace: namespace.to_owned(),
            labels: [("team".to_owned(), team.to_owned())].into(),
            ..Container::default()
        }
    }

    fn inventory() -> (Inventory, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = qw_store::Embedded::open(folder.path(), qw_store::Options::default()).unwrap();
        let store: Arc<dyn StateStore> = Arc::new(store);
        let inventory = Inventory::open(store, qw_inventory::Options::default()).unwrap();
        inventory.set_static(vec![
            container("web", "shop", "a"),
            container("db", "", "b"),
            container("job", "batch", "c"),
        ]);
        (inventory, folder)
    }

    fn scope(namespaces: &[&str], labels: &[&str]) -> Arc<DataScope> {
        Arc::new(DataScope {
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
        })
    }

    #[track_caller]
    fn check(visibility: &Visibility, name: &str, namespace: &str, expected: bool) {
        let mut stored = event(1, Timestamp::EPOCH, "Rule", name);
        let mut container = ContainerRef::clone(&stored.event.container);
        container.id = format!("{name:0<64}").into();
        container.k8s_namespace = namespace.into();
        stored.event.container = Arc::new(container);
        let seen = visibility.contains(&stored.event.container);
        let filter = visibility.narrow(Filter::everything());
        assert_eq!(seen, expected, "{name} {namespace}");
        assert_eq!(
            filter.matches(&stored.event),
            expected,
            "{name} {namespace}"
        );
        if let Some(selection) = visibility.selection() {
            assert_eq!(selection.contains(&stored.event.container), expected);
        }
    }

    #[test]
    fn filter_test_and_selection_agree() {
        let (inventory, _folder) = inventory();
        let both = Visibility::new(Some(scope(&["shop"], &["team=b"])), &inventory);
        check(&both, "web", "shop", true);
        check(&both, "web", "", true);
        check(&both, "db", "", true);
        check(&both, "job", "batch", false);
        check(&both, "new", "shop", true);
        check(&both, "new", "", false);
        check(&both, "host", "", false);
        let nothing = Visibility::new(Some(scope(&[], &[])), &inventory);
        for name in ["web", "db", "job", "host"] {
            check(&nothing, name, "", false);
        }
        let everything = Visibility::new(None, &inventory);
        assert!(everything.is_everything() && everything.filter().is_none());
        check(&everything, "host", "", true);
    }

    #[test]
    fn containers_that_come_later_are_seen_after_a_refresh() {
        let (inventory, _folder) = inventory();
        let mut seen = Visibility::new(Some(scope(&[], &["team=b"])), &inventory);
        let mut all: Vec<Container> = inventory
            .containers()
            .iter()
            .map(|container| Container::clone(container))
            .collect();
        all.push(container("late", "", "b"));
        inventory.set_static(all);
        check(&seen, "late", "", false);
        seen.refresh();
        check(&seen, "late", "", true);
        check(&seen, "db", "", true);
    }
}
