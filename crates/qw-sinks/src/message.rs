//! What is told: one change of an alert, or several together.

use std::sync::Arc;

use qw_event::{
    Alert, AlertAction, AlertChange, AlertId, AlertSource, AlertState, Audience, CloseReason,
    ContainerRef, Priority, Reason, Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    config::Happening,
    describe::{colour, happening, line, one_line, short},
};

/// Changes that a message for several lists, beside the first.
pub(crate) const MAX_LISTED: usize = 20;

/// One change of an alert, or several together.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// What happened; in a message for several, the most urgent of them.
    pub(crate) change: AlertChange,
    /// The alert as it is now.
    pub(crate) alert: Alert,
    /// The alert's page in the console.
    pub(crate) link: Option<String>,
    /// Why it is sent.
    pub(crate) kind: Kind,
    /// How many further changes it stands for.
    pub(crate) more: usize,
    /// The most urgent of these.
    pub(crate) others: Vec<Other>,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something happened.
    Change,
    /// The alert is still open.
    Reminder,
    /// Somebody tries the sink.
    Test,
}

/// What a receiver that keeps states is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The alert is there, or is there again.
    Trigger,
    /// Somebody has seen it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    /// As PagerDuty names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// A further change in a message for several.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Other {
    sequence: u64,
    alert: AlertId,
    priority: Priority,
    rule: Arc<str>,
    title: String,
    happened: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl Message {
    /// Tells that `change` happened to `alert`.
    pub(crate) fn new(
        change: AlertChange,
        alert: Alert,
        kind: Kind,
        console_url: Option<&str>,
    ) -> Self {
        let link =
            console_url.map(|base| format!("{}/alerts/{}", base.trim_end_matches('/'), alert.id));
        Self {
            change,
            alert,
            link,
            kind,
            more: 0,
            others: Vec::new(),
        }
    }

    /// One message for all of `messages`, which are in order; `None` when there is none. The most
    /// urgent, and of these the first, stands for them.
    pub(crate) fn together(mut messages: Vec<Self>) -> Option<Self> {
        messages.sort_by_key(|message| (message.alert.priority, message.change.sequence));
        let mut rest = messages.into_iter();
        let mut first = rest.next()?;
        first.more = rest.len();
        first.others = rest.take(MAX_LISTED).map(Other::of).collect();
        Some(first)
    }

    /// A message that is clearly a test.
    pub(crate) fn test(sink: &str, now: Timestamp, console_url: Option<&str>) -> Self {
        let title = format!("Test of the notification sink `{sink}`: nothing has happened");
        let container = ContainerRef {
            id: "0".repeat(64).into(),
            name: "quaywatch-test".into(),
            image: "quaywatch/test:1".into(),
            image_repository: "quaywatch/test".into(),
            image_tag: "1".into(),
            ..ContainerRef::default()
        };
        let alert = Alert {
            id: AlertId(0),
            source: AlertSource::Falco,
            rule: "QuaywatchTest".into(),
            priority: Priority::Notice,
            workload: "quaywatch-test".into(),
            container: Arc::new(container),
            containers: Vec::new(),
            more_containers: false,
            audience: Audience::default(),
            hostname: "quaywatch".into(),
            title: title.clone(),
            score: None,
            reasons: vec![Reason {
                code: "test".into(),
                text: String::from("Somebody tried this sink from Quaywatch."),
                time: now,
                weight: 0.0,
            }],
            behaviour: Vec::new(),
            taught: 0,
            evidence: Vec::new(),
            first_seen: now,
            last_seen: now,
            count: 1,
            state: AlertState::New,
            close_reason: None,
            assignee: None,
            silenced_by: None,
            changed: now,
        };
        let change = AlertChange {
            sequence: 0,
            alert: alert.id,
            time: now,
            who: String::new(),
            what: AlertAction::Raised,
        };
        let mut message = Self::new(change, alert, Kind::Test, None);
        message.link = console_url.map(|base| base.trim_end_matches('/').to_owned());
        message
    }

    /// A message in which nothing is missing, to check templates with.
    pub(crate) fn complete() -> Self {
        let time = Timestamp::from_seconds(1);
        let mut message = Self::test("check", time, Some("https://quaywatch.example"));
        message.alert.score = Some(0.5);
        message.alert.assignee = Some(String::from("anna"));
        message.alert.close_reason = Some(CloseReason::Resolved);
        message.alert.silenced_by = Some(1);
        message.others = vec![Other::of(message.clone())];
        message.more = 1;
        message
    }

    /// How many changes it stands for.
    pub(crate) fn changes(&self) -> u64 {
        self.more as u64 + 1
    }

    /// A name that a repetition of the message shares.
    pub(crate) fn delivery(&self, sink: &str) -> String {
        match self.kind {
            Kind::Change => format!("{sink}-{}", self.change.sequence),
            Kind::Reminder => format!("{sink}-{}-reminder", self.alert.id),
            Kind::Test => format!("{sink}-test-{}", self.change.time.as_millis()),
        }
    }

    /// What templates see, and our own JSON: the whole message as one document.
    pub(crate) fn document(&self) -> Value {
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
        put("version", json!(1));
        put("test", json!(self.kind == Kind::Test));
        put("line", json!(line(self)));
        put("happened", json!(happening(&self.change)));
        put("change", json!(self.change));
        put("alert", json!(self.alert));
        if let Some(link) = &self.link {
            put("link", json!(link));
        }
        put("more", json!(self.more));
        put("others", json!(self.others));
        Value::Object(document)
    }

    /// [`Self::document`] and what only templates need.
    pub(crate) fn context(&self, sink: &str) -> Value {
        let mut document = self.document();
        if let Some(document) = document.as_object_mut() {
            let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
            let colour = colour(self.alert.priority);
            put("sink", json!(sink));
            put("delivery", json!(self.delivery(sink)));
            put("kind", json!(Happening::of(&self.change.what).as_str()));
            put("colour", json!(format!("#{colour:06x}")));
            put("colour_number", json!(colour));
            put("seconds", json!(self.change.time.as_seconds()));
            put("container", json!(self.alert.container.display_name()));
            put("open", json!(self.alert.state.is_open()));
            put("link", json!(self.link.as_deref().unwrap_or_default()));
            put("action", json!(self.action().as_str()));
            put("dedup", json!(self.dedup(sink)));
        }
        document
    }

    /// What a receiver that keeps states is asked to do: what is closed or silenced here is over there.
    pub(crate) fn action(&self) -> Action {
        let alert = &self.alert;
        if !alert.state.is_open() || alert.silenced_by.is_some() {
            return Action::Resolve;
        }
        let is_news = matches!(
            self.change.what,
            AlertAction::Raised | AlertAction::Escalated { .. }
        );
        match alert.state {
            AlertState::Acknowledged | AlertState::InProgress if !is_news => Action::Acknowledge,
            _ => Action::Trigger,
        }
    }

    /// A name of the alert for receivers that keep states: letters, digits and `._-`, at most 250. The
    /// address of the console tells it from those of others.
    pub(crate) fn dedup(&self, sink: &str) -> String {
        let ours = self.link.as_deref().and_then(|link| {
            let (_, behind) = link.split_once("://")?;
            behind.split('/').next()
        });
        let name = format!("{}-{sink}", ours.unwrap_or("quaywatch"));
        let name = name.chars().map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => character,
            _ => '_',
        });
        // Tests that follow one another are not the same.
        let number = match self.kind {
            Kind::Test => format!("test-{}", self.change.time.as_millis()),
            Kind::Change | Kind::Reminder => self.alert.id.to_string(),
        };
        format!("{}-{number}", name.take(200).collect::<String>())
    }
}

impl Other {
    fn of(message: Message) -> Self {
        Self {
            sequence: message.change.sequence,
            alert: message.alert.id,
            priority: message.alert.priority,
            happened: happening(&message.change),
            title: short(&one_line(&message.alert.title), 200),
            rule: message.alert.rule,
            link: message.link,
        }
    }
}

#[cfg(test)]
pub(crate) use tests::sample;

#[cfg(test)]
mod tests {
    use super::*;

    /// A message about an alert with everything in it.
    pub(crate) fn sample() -> Message {
        let time = Timestamp::from_seconds(1_795_251_600);
        let reason = |code: &str, text: &str| Reason {
            code: code.into(),
            text: text.into(),
            time,
            weight: 0.4,
        };
        let alert = Alert {
            id: AlertId(12),
            source: AlertSource::Falco,
            rule: "Terminal shell in container".into(),
            priority: Priority::Critical,
            workload: "shop/web".into(),
            container: Arc::new(ContainerRef {
                id: "3f29".repeat(16).into(),
                name: "shop-web-1".into(),
                image: "registry.example/shop/web:1.4".into(),
                image_repository: "registry.example/shop/web".into(),
                image_tag: "1.4".into(),
                image_digest: "sha256:00".into(),
                compose_project: "shop".into(),
                compose_service: "web".into(),
                k8s_namespace: "shop".into(),
                k8s_pod: "web-1".into(),
            }),
            containers: Vec::new(),
            more_containers: false,
            audience: Audience::default(),
            hostname: "node-1".into(),
            title: String::from(r#"A shell was opened: "bash" <!channel> @everyone *now* \ ü"#),
            score: Some(0.75),
            reasons: vec![
                reason("new_process", "`bash` never ran here."),
                reason("egress", "It spoke to 203.0.113.7:4444."),
            ],
            behaviour: Vec::new(),
            taught: 0,
            evidence: vec![qw_event::EventId(7), qw_event::EventId(9)],
            first_seen: time,
            last_seen: time,
            count: 3,
            state: AlertState::New,
            close_reason: None,
            assignee: None,
            silenced_by: None,
            changed: time,
        };
        let change = AlertChange {
            sequence: 41,
            alert: alert.id,
            time,
            who: String::new(),
            what: AlertAction::Raised,
        };
        Message::new(
            change,
            alert,
            Kind::Change,
            Some("https://quaywatch.example/"),
        )
    }

    #[test]
    fn the_most_urgent_stands_for_all() {
        let message = |sequence, priority| {
            let mut message = sample();
            message.change.sequence = sequence;
            message.alert.priority = priority;
            message
        };
        let mut all: Vec<Message> = (1..=30).map(|n| message(n, Priority::Warning)).collect();
        all.push(message(31, Priority::Alert));
        all.push(message(32, Priority::Alert));
        let together = Message::together(all).unwrap();
        assert_eq!(together.change.sequence, 31);
        assert_eq!((together.more, together.changes()), (31, 32));
        assert_eq!(together.others.len(), MAX_LISTED);
        assert_eq!(together.others[0].sequence, 32);
        assert_eq!(together.others[1].sequence, 1);
        assert!(Message::together(Vec::new()).is_none());
    }

    #[test]
    fn links_lead_to_the_alert() {
        assert_eq!(
            sample().link.as_deref(),
            Some("https://quaywatch.example/alerts/12")
        );
    }
}
