//! The contract of a store of alerts and their history.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qw_event::{
    Alert, AlertChange, AlertId, AlertSource, AlertState, ContainerRef, Priority, Timestamp,
};

use crate::{Appended, QueryError, StateChange, StoreError, TimeRange};

/// Keeps alerts, how often each occurred when, and the history of all of them.
pub trait AlertStore: Send + Sync + 'static {
    /// Stores alerts and history without events; all or nothing. Returns the changes with their
    /// sequence numbers.
    fn write_alerts(&self, written: &AlertsWritten) -> Result<Vec<AlertChange>, StoreError> {
        self.write_alerts_with(&mut || Accompaniment {
            alerts: written.clone(),
            state: Vec::new(),
        })
    }

    /// As [`AlertStore::write_alerts`], with documents that are stored in the same transaction. `make`
    /// is asked for both within it: nobody else writes between what it looks at and what is stored.
    fn write_alerts_with(
        &self,
        make: &mut dyn FnMut() -> Accompaniment,
    ) -> Result<Vec<AlertChange>, StoreError>;

    /// The alert numbered `id`.
    fn alert(&self, id: AlertId) -> Result<Option<Alert>, StoreError>;

    /// One page of alerts.
    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, QueryError>;

    /// Every alert that is not closed, oldest first, and the newest closed one of each group that
    /// has been closed since `closed_since`.
    fn alerts_to_fold(&self, closed_since: Timestamp) -> Result<Vec<Alert>, StoreError>;

    /// Occurrences per interval and priority in `range`, widened outward to whole minutes, of the
    /// alerts that `filter` selects; intervals without any are left out. `step` is at least a minute.
    fn alert_trend(
        &self,
        range: TimeRange,
        step: Duration,
        filter: &AlertFilter,
    ) -> Result<Vec<AlertTrendPoint>, QueryError>;

    /// Whatever occurred most in `range` in the alerts that `filter` selects, at most `limit`.
    fn alert_top(
        &self,
        range: TimeRange,
        by: AlertGrouping,
        limit: usize,
        filter: &AlertFilter,
    ) -> Result<Vec<AlertTop>, QueryError>;

    /// History of one alert, oldest first.
    fn alert_history(&self, id: AlertId) -> Result<Vec<AlertChange>, StoreError>;

    /// Changes numbered above `sequence`, in order, at most `limit`, each with its alert as it is
    /// now; the alert is missing when retention has dropped it.
    fn alert_changes_after(
        &self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(AlertChange, Option<Alert>)>, StoreError>;

    /// The highest number of an alert and of a change so far; zero when there is none.
    fn last_alert(&self) -> Result<(AlertId, u64), StoreError>;

    /// Drops closed alerts last changed before `before`, and the oldest closed ones while there are
    /// more than `most`; returns how many.
    fn expire_alerts(&self, before: Timestamp, most: u64) -> Result<u64, StoreError>;
}

/// What is stored of alerts in one transaction.
#[derive(Debug, Clone, Default)]
pub struct AlertsWritten {
    /// Alerts as they are now.
    pub alerts: Vec<Alert>,
    /// How often each occurred, by the minute its events fall in.
    pub occurrences: Vec<Occurrence>,
    /// History; sequence numbers are given when it is stored.
    pub changes: Vec<AlertChange>,
}

impl AlertsWritten {
    /// True when there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.occurrences.is_empty() && self.changes.is_empty()
    }
}

/// Events of an alert in one container in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Which alert.
    pub alert: AlertId,
    /// Id of the container.
    pub container: Arc<str>,
    /// Start of the minute.
    pub minute: Timestamp,
    /// Events to add.
    pub count: u64,
}

/// Says what is to be committed together with events.
pub trait Companion {
    /// Called within the transaction of an append, once the events have their numbers and
    /// repetitions are known. `appended` has one entry per batch.
    ///
    /// Called again when the transaction is tried again, so nothing may be remembered before
    /// [`Companion::committed`] is called.
    fn accompany(&mut self, appended: &[Appended]) -> Accompaniment;

    /// What [`Companion::accompany`] returned last is on disk; `changes` carry their numbers.
    fn committed(&mut self, changes: Vec<AlertChange>);
}

/// What is committed together with events.
#[derive(Debug, Clone, Default)]
pub struct Accompaniment {
    /// Alerts.
    pub alerts: AlertsWritten,
    /// Documents.
    pub state: Vec<OwnedStateChange>,
}

/// A change of state that owns its texts; see [`StateChange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedStateChange {
    /// Which collection.
    pub collection: String,
    /// Which key.
    pub key: String,
    /// JSON text; `None` removes the key.
    pub value: Option<String>,
}

impl OwnedStateChange {
    /// The change, borrowed.
    pub fn as_change(&self) -> StateChange<'_> {
        let (collection, key) = (&*self.collection, &*self.key);
        match &self.value {
            Some(value) => StateChange::Put {
                collection,
                key,
                value,
            },
            None => StateChange::Delete { collection, key },
        }
    }
}

/// Accompanies events with nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Companion for Alone {
    fn accompany(&mut self, _: &[Appended]) -> Accompaniment {
        Accompaniment::default()
    }

    fn committed(&mut self, _: Vec<AlertChange>) {}
}

/// Which alerts somebody may see: those that hold nothing from a container out of his reach.
#[derive(Debug, Clone, Default)]
pub struct AlertAccess {
    /// The alert is within these, as [`Alert::is_within`] says; `None` for all.
    pub only: Option<ContainerSelection>,
}

impl AlertAccess {
    /// True when `alert` may be seen.
    pub fn allows(&self, alert: &Alert) -> bool {
        let Some(only) = &self.only else { return true };
        let among = |list: &[Arc<str>], name: &str| list.iter().any(|one| **one == *name);
        alert.is_within(
            |name| among(&only.namespaces, name),
            |label| among(&only.labels, label),
            |id| among(&only.containers, id),
        )
    }
}

/// Some containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSelection {
    /// Ids of containers.
    pub containers: Vec<Arc<str>>,
    /// Kubernetes namespaces.
    pub namespaces: Vec<Arc<str>>,
    /// Labels such as `team=shop`; the containers that carry them now are among `containers`.
    pub labels: Vec<Arc<str>>,
}

impl ContainerSelection {
    /// True when `container` is selected.
    pub fn contains(&self, container: &ContainerRef) -> bool {
        self.containers.iter().any(|id| **id == *container.id)
            || (!container.k8s_namespace.is_empty()
                && self
                    .namespaces
                    .iter()
                    .any(|namespace| **namespace == *container.k8s_namespace))
    }
}

/// Which alerts. Empty lists and `None` leave a question out.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// At least this urgent.
    pub min_priority: Option<Priority>,
    /// Of one of these priorities.
    pub priorities: Vec<Priority>,
    /// Noticed by one of these.
    pub sources: Vec<AlertSource>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this workload.
    pub workload: Option<String>,
    /// About the container with this id or name, among others.
    pub container: Option<String>,
    /// About a container of this image, among others: a reference, or a repository.
    pub image: Option<String>,
    /// About a container in this Kubernetes namespace, among others.
    pub namespace: Option<String>,
    /// What the asker may see.
    pub access: AlertAccess,
}

/// Which alerts, in which order, how many. Empty lists and `None` leave a question out.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// What they are about.
    pub filter: AlertFilter,
    /// Last seen in this range.
    pub range: Option<TimeRange>,
    /// In one of these states.
    pub states: Vec<AlertState>,
    /// Taken care of by this user; an empty text asks for those of nobody.
    pub assignee: Option<String>,
    /// Silenced or not.
    pub silenced: Option<bool>,
    /// Title, rule, workload or container name contains this, whatever the case.
    pub text: Option<String>,
    /// Order of the page.
    pub sort: AlertSort,
    /// Continues after this place.
    pub after: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// Order of a page of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertSort {
    /// Newest event first.
    #[default]
    LastSeen,
    /// Most urgent first, then newest.
    Priority,
    /// Most events first, then newest.
    Count,
    /// Oldest first event first.
    FirstSeen,
}

/// A page of alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// Alerts that the query selects, whatever their state, by state.
    pub by_state: BTreeMap<AlertState, u64>,
    /// Alerts that the query selects, by priority, index = [`Priority::as_number`].
    pub by_priority: [u64; 8],
    /// Alerts that the query selects, of the ten most frequent rules.
    pub by_rule: Vec<(Arc<str>, u64)>,
}

/// Occurrences of one interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertTrendPoint {
    /// Start of the interval.
    pub start: Timestamp,
    /// Events by the priority of their alert, index = [`Priority::as_number`].
    pub by_priority: [u64; 8],
}

/// By what alerts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertGrouping {
    /// Rule.
    Rule,
    /// Container, by name.
    Container,
    /// Image repository.
    Image,
    /// Workload.
    Workload,
}

/// One of those that occurred most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTop {
    /// Name of the rule, container, image or workload.
    pub name: Arc<str>,
    /// Events.
    pub occurrences: u64,
    /// Alerts they belong to.
    pub alerts: u64,
    /// Highest urgency.
    pub priority: Priority,
}
