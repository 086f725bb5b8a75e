//! Alerts, their history and state in memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_event::{
    Alert, AlertAction, AlertChange, AlertId, AlertSource, AlertState, Audience, ContainerRef,
    Priority, Reason, Timestamp,
};
use qw_store::{
    Accompaniment, AlertFilter, AlertGrouping, AlertPage, AlertQuery, AlertStore, AlertTop,
    AlertTrendPoint, QueryError, StateChange, StateStore, StoreError, TimeRange,
};

/// The stores of one test.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    alerts: BTreeMap<u64, Alert>,
    changes: Vec<AlertChange>,
    state: BTreeMap<(String, String), String>,
}

impl Memory {
    /// Raises a critical alert; its number and that of the change.
    pub(crate) fn raise(&self) -> (AlertId, u64) {
        self.raise_with(|_| {})
    }

    /// Raises an alert that `change` has changed before.
    pub(crate) fn raise_with(&self, change: impl FnOnce(&mut Alert)) -> (AlertId, u64) {
        let mut content = self.0.lock();
        let id = AlertId(content.alerts.len() as u64 + 1);
        let mut alert = alert(id);
        change(&mut alert);
        content.alerts.insert(id.0, alert);
        (id, content.change(id, AlertAction::Raised))
    }

    /// Closes an alert; the number of the change.
    pub(crate) fn close(&self, id: AlertId) -> u64 {
        let mut content = self.0.lock();
        if let Some(alert) = content.alerts.get_mut(&id.0) {
            alert.state = AlertState::Closed;
        }
        let state = AlertState::Closed;
        content.change(id, AlertAction::to_state(state, None))
    }

    /// Acknowledges an alert; the number of the change.
    pub(crate) fn acknowledge(&self, id: AlertId) -> u64 {
        let mut content = self.0.lock();
        if let Some(alert) = content.alerts.get_mut(&id.0) {
            alert.state = AlertState::Acknowledged;
        }
        content.change(id, AlertAction::to_state(AlertState::Acknowledged, None))
    }

    /// Drops an alert, as retention does.
    pub(crate) fn forget(&self, id: AlertId) {
        self.0.lock().alerts.remove(&id.0);
    }

    /// The stored position of a sink.
    pub(crate) fn position(&self, sink: &str) -> Option<String> {
        self.get("notification_positions", sink).unwrap()
    }
}

impl Content {
    fn change(&mut self, alert: AlertId, what: AlertAction) -> u64 {
        let sequence = self.changes.len() as u64 + 1;
        self.changes.push(AlertChange {
            sequence,
            alert,
            time: crate::now(),
            who: String::new(),
            what,
        });
        sequence
    }
}

fn alert(id: AlertId) -> Alert {
    let time = crate::now();
    Alert {
        id,
        source: AlertSource::Falco,
        rule: "Terminal shell in container".into(),
        priority: Priority::Critical,
        workload: format!("shop/web-{id}").into(),
        container: Arc::new(ContainerRef {
            id: "3f29".repeat(16).into(),
            name: "shop-web-1".into(),
            image_repository: "registry.example/shop/web".into(),
            k8s_namespace: "shop".into(),
            ..ContainerRef::default()
        }),
        containers: Vec::new(),
        more_containers: false,
        audience: Audience::default(),
        hostname: "node-1".into(),
        title: format!("A shell was opened, number {id}"),
        score: Some(0.5),
        reasons: vec![Reason {
            code: "new_process".into(),
            text: "`bash` never ran here.".into(),
            time,
            weight: 0.5,
        }],
        behaviour: Vec::new(),
        taught: 0,
        evidence: Vec::new(),
        first_seen: time,
        last_seen: time,
        count: 1,
        state: AlertState::New,
        close_reason: None,
        assignee: None,
        silenced_by: None,
        changed: time,
    }
}

impl AlertStore for Memory {
    fn write_alerts_with(
        &self,
        _: &mut dyn FnMut() -> Accompaniment,
    ) -> Result<Vec<AlertChange>, StoreError> {
        Ok(Vec::new())
    }

    fn alert(&self, id: AlertId) -> Result<Option<Alert>, StoreError> {
        Ok(self.0.lock().alerts.get(&id.0).cloned())
    }

    /// Understands states, silences, limit and place; by number.
    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, QueryError> {
        let after: u64 = query
            .after
            .as_ref()
            .map_or(0, |place| place.parse().unwrap());
        let content = self.0.lock();
        let mut found = content
            .alerts
            .range(after + 1..)
            .map(|(_, alert)| alert)
            .filter(|alert| query.states.contains(&alert.state))
            .filter(|alert| query.silenced != Some(false) || alert.silenced_by.is_none());
        let alerts: Vec<Alert> = found.by_ref().take(query.limit).cloned().collect();
        let next = found
            .next()
            .and(alerts.last())
            .map(|alert| alert.id.to_string());
        Ok(AlertPage {
            alerts,
            next,
            ..AlertPage::default()
        })
    }

    fn alerts_to_fold(&self, _: Timestamp) -> Result<Vec<Alert>, StoreError> {
        Ok(Vec::new())
    }

    fn alert_trend(
        &self,
        _: TimeRange,
        _: Duration,
        _: &AlertFilter,
    ) -> Result<Vec<AlertTrendPoint>, QueryError> {
        Ok(Vec::new())
    }

    fn alert_top(
        &self,
        _: TimeRange,
        _: AlertGrouping,
        _: usize,
        _: &AlertFilter,
    ) -> Result<Vec<AlertTop>, QueryError> {
        Ok(Vec::new())
    }

    fn alert_history(&self, _: AlertId) -> Result<Vec<AlertChange>, StoreError> {
        Ok(Vec::new())
    }

    fn alert_changes_after(
        &self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(AlertChange, Option<Alert>)>, StoreError> {
        let content = self.0.lock();
        Ok(content
            .changes
            .iter()
            .filter(|change| change.sequence > sequence)
            .take(limit)
            .map(|change| (change.clone(), content.alerts.get(&change.alert.0).cloned()))
            .collect())
    }

    fn last_alert(&self) -> Result<(AlertId, u64), StoreError> {
        let content = self.0.lock();
        Ok((
            AlertId(content.alerts.len() as u64),
            content.changes.len() as u64,
        ))
    }

    fn expire_alerts(&self, _: Timestamp, _: u64) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl StateStore for Memory {
    fn get(&self, collection: &str, key: &str) -> Result<Option<String>, StoreError> {
        let key = (collection.to_owned(), key.to_owned());
        Ok(self.0.lock().state.get(&key).cloned())
    }

    fn list(&self, collection: &str) -> Result<Vec<(String, String)>, StoreError> {
        let content = self.0.lock();
        let own = content
            .state
            .iter()
            .filter(|((own, _), _)| own == collection);
        Ok(own
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, changes: &[StateChange<'_>]) -> Result<(), StoreError> {
        let mut content = self.0.lock();
        for change in changes {
            match *change {
                StateChange::Put {
                    collection,
                    key,
                    value,
                } => {
                    let key = (collection.to_owned(), key.to_owned());
                    content.state.insert(key, value.to_owned());
                }
                StateChange::Delete { collection, key } => {
                    content
                        .state
                        .remove(&(collection.to_owned(), key.to_owned()));
                }
            }
        }
        Ok(())
    }
}
