//! What needs somebody's attention, and what became of it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{ContainerRef, EventId, Priority, Timestamp};

/// Events an alert names as evidence: the first, and the newest up to this many.
pub const MAX_EVIDENCE: usize = 20;

/// Reasons an alert carries; further ones only count.
pub const MAX_REASONS: usize = 50;

/// Containers an alert names; of more, those that were seen longest ago are left out.
pub const MAX_ALERT_CONTAINERS: usize = 32;

/// Behaviour that an alert names; more is not taught by it.
pub const MAX_BEHAVIOUR: usize = 200;

/// Number of an alert: assigned in order, never used twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AlertId(pub u64);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AlertId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Which part noticed; label `source` of `security_alerts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSource {
    /// A Falco rule of sufficient priority.
    Falco,
    /// A deviation from a learned profile.
    Profile,
    /// What the container engine tells of a container.
    Engine,
}

impl AlertSource {
    /// All sources.
    pub const ALL: [Self; 3] = [Self::Falco, Self::Profile, Self::Engine];

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Falco => "falco",
            Self::Profile => "profile",
            Self::Engine => "engine",
        }
    }
}

/// One thing that a detector noticed in an event, before the event is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Index of the event in its batch.
    pub event: usize,
    /// Which part noticed.
    pub source: AlertSource,
    /// Falco's rule, or the name of the check.
    pub rule: Arc<str>,
    /// Urgency.
    pub priority: Priority,
    /// Which workload it concerns: detections of one rule and workload become one alert.
    pub workload: Arc<str>,
    /// How unusual it is, 0 to 1; `None` where nothing is graded.
    pub score: Option<f32>,
    /// Why, most important first; never empty.
    pub reasons: Vec<Reason>,
    /// What the profile of the workload does not know of it; nothing where no profile was asked.
    pub behaviour: Vec<Behaviour>,
}

/// Something that a workload does: a way through the tree of its profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Behaviour {
    /// Part of the profile: `process`, `network`, `file` or `lineage`.
    pub branch: String,
    /// System call, or `spawn`.
    pub operation: String,
    /// Name of the process; of the parent in the lineage.
    pub process: String,
    /// What the attribute is, such as `path`.
    pub kind: String,
    /// The attribute in its comparable form.
    pub token: String,
}

/// One part of an explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable name, such as `new_process`.
    pub code: Arc<str>,
    /// A sentence for people.
    pub text: String,
    /// When the event happened that it speaks of.
    pub time: Timestamp,
    /// What it adds to the score; zero where nothing is graded.
    #[serde(default)]
    pub weight: f32,
}

/// Where an alert is on its way.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has looked at it.
    #[default]
    New,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody works on it.
    InProgress,
    /// Done; the alert carries a [`CloseReason`].
    Closed,
}

impl AlertState {
    /// All states, in the order of work.
    pub const ALL: [Self; 4] = [
        Self::New,
        Self::Acknowledged,
        Self::InProgress,
        Self::Closed,
    ];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Acknowledged => "acknowledged",
            Self::InProgress => "in_progress",
            Self::Closed => "closed",
        }
    }

    /// True unless closed.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Closed)
    }
}

/// Why an alert was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// It was real and has been dealt with.
    Resolved,
    /// It was not what it seemed.
    FalsePositive,
    /// It is how this workload works.
    Expected,
    /// Another alert tells the same.
    Duplicate,
    /// It was real and will be lived with.
    Accepted,
}

impl CloseReason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::Resolved,
        Self::FalsePositive,
        Self::Expected,
        Self::Duplicate,
        Self::Accepted,
    ];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::FalsePositive => "false_positive",
            Self::Expected => "expected",
            Self::Duplicate => "duplicate",
            Self::Accepted => "accepted",
        }
    }
}

/// What needs somebody's attention: everything one rule noticed in one workload while it was open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// Which part noticed.
    pub source: AlertSource,
    /// Falco's rule, or the name of the check.
    pub rule: Arc<str>,
    /// Highest urgency of what was folded into it.
    pub priority: Priority,
    /// Workload it concerns.
    pub workload: Arc<str>,
    /// Container of the newest event.
    pub container: Arc<ContainerRef>,
    /// Containers of its events, the one seen last first; at most [`MAX_ALERT_CONTAINERS`].
    #[serde(default)]
    pub containers: Vec<AlertContainer>,
    /// True when there are containers that `containers` does not name.
    #[serde(default = "unknown")]
    pub more_containers: bool,
    /// What all its containers have in common that decides who may see them.
    #[serde(default)]
    pub audience: Audience,
    /// Host of the newest event.
    pub hostname: Arc<str>,
    /// One sentence that says what happened.
    pub title: String,
    /// Highest score of what was folded into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Why, in order of time, each once; at most [`MAX_REASONS`].
    pub reasons: Vec<Reason>,
    /// What of it the profile of the workload did not know; at most [`MAX_BEHAVIOUR`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behaviour: Vec<Behaviour>,
    /// How much of that the profile has been taught since, because the alert was closed so.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taught: u32,
    /// Events that caused it, ascending: the first and the newest; at most [`MAX_EVIDENCE`].
    pub evidence: Vec<EventId>,
    /// Time of the first event.
    pub first_seen: Timestamp,
    /// Time of the newest event.
    pub last_seen: Timestamp,
    /// Events folded into it.
    pub count: u64,
    /// Where it is on its way.
    pub state: AlertState,
    /// Why it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    /// User who takes care of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Silence that keeps it quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_by: Option<u64>,
    /// When its state, assignee, notes or silence last changed, or it was raised.
    pub changed: Timestamp,
}

/// Alerts of a time when containers were not written down.
const fn unknown() -> bool {
    true
}

impl Alert {
    /// Notes that an event of `container` at `time` belongs to it.
    pub fn saw(&mut self, container: &ContainerRef, time: Timestamp) {
        let containers = &mut self.containers;
        let known = containers.iter().position(|seen| seen.id == container.id);
        let before = known.map(|place| containers.remove(place).last_seen);
        // Its name may have become known since.
        let seen = AlertContainer {
            id: Arc::clone(&container.id),
            name: Arc::clone(&container.name),
            image: Arc::clone(&container.image),
            image_repository: Arc::clone(&container.image_repository),
            namespace: Arc::clone(&container.k8s_namespace),
            last_seen: before.map_or(time, |before| before.max(time)),
        };
        let place = containers.partition_point(|other| other.last_seen > seen.last_seen);
        containers.insert(place, seen);
        if containers.len() > MAX_ALERT_CONTAINERS {
            containers.truncate(MAX_ALERT_CONTAINERS);
            self.more_containers = true;
        }
    }

    /// True when nothing in it comes from a container outside of a scope, which holds what is in a
    /// namespace or carries a label that it names, and the containers with the ids it names.
    ///
    /// What all containers had in common when their events came is enough. Else every single
    /// container must be in scope; then none may be missing from the list.
    pub fn is_within(
        &self,
        namespace: impl Fn(&str) -> bool,
        label: impl Fn(&str) -> bool,
        container: impl Fn(&str) -> bool,
    ) -> bool {
        let audience = &self.audience;
        (!audience.namespace.is_empty() && namespace(&audience.namespace))
            || audience.labels.iter().any(|it| label(it))
            || (!self.more_containers
                && !self.containers.is_empty()
                && self.containers.iter().all(|it| container(&it.id)))
    }
}

/// One of the containers of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertContainer {
    /// Id.
    pub id: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Reference of its image.
    pub image: Arc<str>,
    /// Repository part of it.
    pub image_repository: Arc<str>,
    /// Kubernetes namespace; empty for none.
    pub namespace: Arc<str>,
    /// Time of its newest event in the alert.
    pub last_seen: Timestamp,
}

/// What decides who may see a container, as far as scopes of users tell containers apart.
///
/// Only containers of one audience are folded into one alert: whoever may see one of them then may
/// see all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Audience {
    /// Kubernetes namespace; empty for none.
    #[serde(default)]
    pub namespace: Arc<str>,
    /// Labels such as `team=shop` that some user's scope names, in order.
    #[serde(default)]
    pub labels: Arc<[Arc<str>]>,
}

/// One entry of the history of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChange {
    /// Its number in the history of all alerts; zero until it is stored.
    pub sequence: u64,
    /// Which alert.
    pub alert: AlertId,
    /// When, by our clock.
    pub time: Timestamp,
    /// User, or empty when a detector did it.
    pub who: String,
    /// What happened.
    pub what: AlertAction,
}

/// What happened to an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum AlertAction {
    /// It was raised.
    Raised,
    /// More came: its urgency rose, or a reason was added.
    Escalated {
        /// Urgency since then.
        priority: Priority,
    },
    /// Its state changed.
    State {
        /// State since then.
        state: AlertState,
        /// Why, when it was closed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<CloseReason>,
        /// How much behaviour the profile of the workload was taught with it.
        #[serde(default, skip_serializing_if = "is_zero")]
        taught: u32,
        /// How much of what it had been taught it forgot again.
        #[serde(default, skip_serializing_if = "is_zero")]
        untaught: u32,
    },
    /// It was given to somebody, or to nobody.
    Assigned {
        /// User who takes care of it since then.
        assignee: Option<String>,
    },
    /// Somebody wrote something down.
    Note {
        /// What.
        text: String,
    },
    /// A silence began or ceased to apply.
    Silenced {
        /// Its number; `None` when it ceased.
        silence: Option<u64>,
    },
}

impl AlertAction {
    /// A change of state that touches no profile.
    pub const fn to_state(state: AlertState, reason: Option<CloseReason>) -> Self {
        Self::State {
            state,
            reason,
            taught: 0,
            untaught: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(containers: &[&str]) -> Alert {
        let time = Timestamp::from_seconds(1_000);
        let mut alert = Alert {
            id: AlertId(1),
            source: AlertSource::Falco,
            rule: "A".into(),
            priority: Priority::Warning,
            workload: "shop/web".into(),
            container: Arc::default(),
            containers: Vec::new(),
            more_containers: false,
            audience: Audience::default(),
            hostname: "node".into(),
            title: String::new(),
            score: None,
            reasons: Vec::new(),
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
        };
        for (second, id) in containers.iter().enumerate() {
            let container = ContainerRef {
                id: (*id).into(),
                ..ContainerRef::default()
            };
            alert.saw(&container, Timestamp::from_seconds(second as i64));
        }
        alert
    }

    #[track_caller]
    fn check(alert: &Alert, namespaces: &[&str], labels: &[&str], ids: &[&str], expected: bool) {
        let within = alert.is_within(
            |it| namespaces.contains(&it),
            |it| labels.contains(&it),
            |it| ids.contains(&it),
        );
        assert_eq!(within, expected, "{namespaces:?} {labels:?} {ids:?}");
    }

    #[test]
    fn an_alert_is_within_a_scope_as_a_whole() {
        let mut mixed = alert(&["a", "b", "a"]);
        assert_eq!(mixed.containers.len(), 2);
        assert_eq!(&*mixed.containers[0].id, "a");
        check(&mixed, &[""], &[""], &[], false);
        check(&mixed, &[], &[], &["a"], false);
        check(&mixed, &[], &[], &["a", "b"], true);
        mixed.audience = Audience {
            namespace: "shop".into(),
            labels: ["team=a".into()].into(),
        };
        check(&mixed, &["shop"], &[], &[], true);
        check(&mixed, &["bank"], &["team=a"], &[], true);
        check(&mixed, &["bank"], &["team=b"], &["a"], false);
        check(&alert(&[]), &[], &[], &["a"], false);
    }

    #[test]
    fn what_the_list_does_not_name_is_in_no_scope() {
        let ids: Vec<String> = (0..=MAX_ALERT_CONTAINERS)
            .map(|it| it.to_string())
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let full = alert(&ids[1..]);
        check(&full, &[], &[], &ids, true);
        let over = alert(&ids);
        assert_eq!(over.containers.len(), MAX_ALERT_CONTAINERS);
        assert!(over.more_containers && over.containers.iter().all(|it| &*it.id != "0"));
        check(&over, &[], &[], &ids, false);
        // Late events do not push out what has been seen since.
        let mut late = full;
        let old = ContainerRef {
            id: "old".into(),
            ..ContainerRef::default()
        };
        late.saw(&old, Timestamp::from_seconds(-1));
        assert!(late.more_containers && late.containers.iter().all(|it| &*it.id != "old"));
        // Written before containers were.
        let mut json = serde_json::to_value(alert(&["a"])).unwrap();
        for key in ["containers", "more_containers", "audience"] {
            json.as_object_mut().unwrap().remove(key);
        }
        let before: Alert = serde_json::from_value(json).unwrap();
        check(&before, &[], &[], &["a"], false);
    }

    #[test]
    fn names_are_those_of_the_serde_form() {
        for state in AlertState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for reason in CloseReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for source in AlertSource::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.as_str());
        }
        let closed = AlertAction::State {
            state: AlertState::Closed,
            reason: Some(CloseReason::Expected),
            taught: 3,
            untaught: 0,
        };
        let text = r#"{"action":"state","state":"closed","reason":"expected","taught":3}"#;
        assert_eq!(serde_json::to_string(&closed).unwrap(), text);
        let older = r#"{"action":"state","state":"new"}"#;
        assert_eq!(
            serde_json::from_str::<AlertAction>(older).unwrap(),
            AlertAction::to_state(AlertState::New, None)
        );
    }
}
