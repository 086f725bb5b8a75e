//! Alerts as clients see them.

use std::sync::Arc;

use qw_event::{
    Alert, AlertAction, AlertChange, AlertContainer, AlertSource, AlertState, Behaviour,
    CloseReason, ContainerRef, Priority, Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::event_view::{ContainerReference, PriorityName};

/// What needs somebody's attention.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertView {
    /// Number.
    id: u64,
    /// Which part noticed: `falco` or `profile`.
    #[schema(value_type = String, example = "profile")]
    source: AlertSource,
    /// Falco's rule, or the name of the check.
    #[schema(value_type = String)]
    rule: Arc<str>,
    /// Highest urgency of what was folded into it.
    #[schema(value_type = PriorityName)]
    priority: Priority,
    /// Workload it concerns.
    #[schema(value_type = String, example = "registry.example/shop/api/api")]
    workload: Arc<str>,
    /// Container of the newest event.
    #[schema(value_type = ContainerReference)]
    container: Arc<ContainerRef>,
    /// Containers of its events, the one seen last first; at most 32.
    containers: Vec<AlertContainerView>,
    /// True when there are others.
    more_containers: bool,
    /// Host of the newest event.
    #[schema(value_type = String)]
    hostname: Arc<str>,
    /// What happened, in a sentence.
    title: String,
    /// How unusual it is, 0 to 1; null where nothing is graded.
    score: Option<f32>,
    /// Why, in order of time.
    reasons: Vec<ReasonView>,
    /// How much of its behaviour the profile of its workload can be taught, at most 200; nothing of
    /// what only Falco noticed.
    teachable: usize,
    /// How much of that the profile has been taught since, because the alert was closed so.
    taught: u32,
    /// Numbers of the events that caused it: the first and the newest.
    evidence: Vec<String>,
    /// Time of the first event.
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// Time of the newest event.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// Events folded into it.
    count: u64,
    /// `new`, `acknowledged`, `in_progress` or `closed`.
    #[schema(value_type = String, example = "new")]
    state: AlertState,
    /// Why it was closed: `resolved`, `false_positive`, `expected`, `duplicate` or `accepted`.
    #[schema(value_type = Option<String>)]
    close_reason: Option<CloseReason>,
    /// User who takes care of it.
    assignee: Option<String>,
    /// Number of the silence that keeps it quiet.
    silenced_by: Option<u64>,
    /// When its state, assignee or silence last changed, or it was raised.
    #[schema(value_type = String, format = DateTime)]
    changed: Timestamp,
}

/// A container of an alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertContainer)]
struct AlertContainerView {
    /// Id.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// Name.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Reference of its image.
    #[schema(value_type = String)]
    image: Arc<str>,
    /// Kubernetes namespace; empty for none.
    #[schema(value_type = String)]
    namespace: Arc<str>,
    /// Time of its newest event in the alert.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

impl From<&AlertContainer> for AlertContainerView {
    fn from(container: &AlertContainer) -> Self {
        Self {
            id: Arc::clone(&container.id),
            name: Arc::clone(&container.name),
            image: Arc::clone(&container.image),
            namespace: Arc::clone(&container.namespace),
            last_seen: container.last_seen,
        }
    }
}

/// One part of an explanation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertReason)]
struct ReasonView {
    /// Stable name.
    #[schema(value_type = String, example = "new_process")]
    code: Arc<str>,
    /// A sentence.
    text: String,
    /// When the event happened that it speaks of.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// What it adds to the score.
    weight: f32,
}

/// Something that a workload does: a way through the tree of its profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertBehaviour)]
pub(crate) struct BehaviourView {
    /// Part of the profile: `process`, `network`, `file` or `lineage`.
    #[schema(example = "file")]
    branch: String,
    /// System call, or `spawn`.
    #[schema(example = "openat")]
    operation: String,
    /// Name of the process; of the parent in the lineage.
    #[schema(example = "cat")]
    process: String,
    /// What the attribute is.
    #[schema(example = "path")]
    kind: String,
    /// The attribute in its comparable form.
    #[schema(example = "/etc/shadow")]
    token: String,
}

impl From<&Behaviour> for BehaviourView {
    fn from(behaviour: &Behaviour) -> Self {
        Self {
            branch: behaviour.branch.clone(),
            operation: behaviour.operation.clone(),
            process: behaviour.process.clone(),
            kind: behaviour.kind.clone(),
            token: behaviour.token.clone(),
        }
    }
}

/// One entry of the history of an alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertChange)]
pub(crate) struct ChangeView {
    /// Number in the history of all alerts.
    sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// User; empty when nobody did it.
    who: String,
    /// `raised`, `escalated`, `state`, `assigned`, `note` or `silenced`, with what belongs to it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    what: AlertAction,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id.0,
            source: alert.source,
            rule: Arc::clone(&alert.rule),
            priority: alert.priority,
            workload: Arc::clone(&alert.workload),
            container: Arc::clone(&alert.container),
            containers: alert.containers.iter().map(Into::into).collect(),
            more_containers: alert.more_containers,
            hostname: Arc::clone(&alert.hostname),
            title: alert.title.clone(),
            score: alert.score,
            reasons: alert
                .reasons
                .iter()
                .map(|reason| ReasonView {
                    code: Arc::clone(&reason.code),
                    text: reason.text.clone(),
                    time: reason.time,
                    weight: reason.weight,
                })
                .collect(),
            teachable: alert.behaviour.len(),
            taught: alert.taught,
            evidence: alert.evidence.iter().map(ToString::to_string).collect(),
            first_seen: alert.first_seen,
            last_seen: alert.last_seen,
            count: alert.count,
            state: alert.state,
            close_reason: alert.close_reason,
            assignee: alert.assignee.clone(),
            silenced_by: alert.silenced_by,
            changed: alert.changed,
        }
    }
}

impl From<AlertChange> for ChangeView {
    fn from(change: AlertChange) -> Self {
        Self {
            sequence: change.sequence,
            time: change.time,
            who: change.who,
            what: change.what,
        }
    }
}

/// An alert as JSON in one line, shared between all who send it.
pub(crate) fn json_line(alert: &Alert) -> Arc<str> {
    serde_json::to_string(&AlertView::from(alert))
        .expect("alerts have text keys only")
        .into()
}
