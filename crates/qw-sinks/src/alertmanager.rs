//! Alerts as Alertmanager keeps them (its API, version 2).
//!
//! Alertmanager forgets an alert that is not told again, so open ones are repeated until they are
//! closed or silenced; then their end is told once. It groups, inhibits and routes by itself.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Uri, header::CONTENT_TYPE};
use qw_event::{AlertAction, AlertState, Priority, Timestamp};
use serde::Serialize;

use crate::{
    config::{AlertmanagerConfig, ConfigError, SinkConfig},
    describe::{at_most_bytes, one_line},
    http::{Client, Post, address, headers, place},
    message::{Kind, Message},
    receiver::{Answer, Receiver, Refusal},
};

/// Alerts in one request.
const BATCH: usize = 200;

/// Longest value of a label or annotation, in bytes.
const MAX_VALUE: usize = 4 << 10;

/// Members of one cluster.
const MAX_MEMBERS: usize = 16;

/// Sends alerts to all members of a cluster.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    config: AlertmanagerConfig,
    client: Client,
    members: Vec<Uri>,
}

impl Alertmanager {
    /// Reads addresses, files and secrets, so that what is wrong with them is said at the start.
    pub(crate) fn new(sink: &SinkConfig, config: &AlertmanagerConfig) -> Result<Self, ConfigError> {
        if config.urls.is_empty() || config.urls.len() > MAX_MEMBERS {
            return Err(sink.wrong("to.urls", format!("names 1 to {MAX_MEMBERS} addresses")));
        }
        let members = config
            .urls
            .iter()
            .map(|url| {
                address(&format!("{}/api/v2/alerts", url.trim_end_matches('/')))
                    .map_err(|problem| sink.wrong("to.urls", format!("`{url}` {problem}")))
            })
            .collect::<Result<_, _>>()?;
        if let Some(name) = config.labels.keys().find(|name| !is_label(name)) {
            return Err(sink.wrong("to.labels", format!("`{name}` is no name of a label")));
        }
        if !(5..=3_600).contains(&config.resend_seconds) {
            return Err(sink.wrong("to.resend_seconds", "is from 5 to 3600"));
        }
        headers(&config.headers, &config.secret_headers)
            .map_err(|problem| sink.wrong("to.headers", problem))?;
        let client = Client::new(&config.tls, config.timeout_seconds)
            .map_err(|problem| sink.wrong("to.tls", problem))?;
        Ok(Self {
            config: config.clone(),
            client,
            members,
        })
    }

    /// Alerts to tell, each set of labels once: what is last holds.
    fn alerts(&self, messages: &[Message], now: Timestamp) -> Vec<Posted> {
        let mut alerts: Vec<Posted> = Vec::new();
        for message in messages {
            if let Some(posted) = self.posted(message, now) {
                alerts.retain(|earlier| earlier.labels != posted.labels);
                alerts.push(posted);
            }
        }
        alerts
    }

    fn posted(&self, message: &Message, now: Timestamp) -> Option<Posted> {
        let alert = &message.alert;
        let ends_at = if alert.state.is_open() && alert.silenced_by.is_none() {
            // When we fall silent, the alert ends by itself; until then four repetitions may fail.
            match message.kind {
                Kind::Test => now.saturating_add(Duration::from_secs(60)),
                Kind::Change | Kind::Reminder => now.saturating_add(self.lifetime()),
            }
        } else {
            // Its end is told with the change that ended it, and never later: a newer alert may
            // have the same labels.
            let ended = match &message.change.what {
                AlertAction::State { state, .. } => *state == AlertState::Closed,
                AlertAction::Silenced { silence } => silence.is_some(),
                _ => false,
            };
            if !ended || message.kind != Kind::Change {
                return None;
            }
            message.change.time.min(now).max(alert.first_seen)
        };
        Some(Posted {
            labels: self.labels(message),
            annotations: annotations(message),
            starts_at: alert.first_seen.min(ends_at),
            ends_at,
            generator_url: message.link.clone(),
        })
    }

    fn lifetime(&self) -> Duration {
        let resend = Duration::from_secs(u64::from(self.config.resend_seconds));
        (resend * 4).max(Duration::from_secs(60))
    }

    fn labels(&self, message: &Message) -> BTreeMap<String, String> {
        let (alert, container) = (&message.alert, &message.alert.container);
        let own = [
            ("alertname", &*alert.rule),
            ("severity", severity(alert.priority)),
            ("priority", alert.priority.as_lowercase()),
            ("source", alert.source.as_str()),
            ("container_name", container.display_name()),
            ("image", &*container.image_repository),
            ("workload", &*alert.workload),
            ("namespace", &*container.k8s_namespace),
        ];
        let given = self
            .config
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        // Ours come last and win. An empty label is none.
        given
            .chain(own)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), at_most_bytes(value, MAX_VALUE).to_owned()))
            .collect()
    }

    async fn post(&self, member: &Uri, body: Bytes, now: Timestamp) -> Result<Answer, Refusal> {
        let (mut headers, secrets) =
            headers(&self.config.headers, &self.config.secret_headers).map_err(Refusal::passing)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let post = Post {
            method: Method::POST,
            address: member.clone(),
            headers,
            body,
            secrets,
        };
        self.client.send(post, now).await
    }
}

#[async_trait]
impl Receiver for Alertmanager {
    fn place(&self) -> String {
        let members: Vec<String> = self.members.iter().map(place).collect();
        members.join(", ")
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn reminders(&self) -> Option<Duration> {
        Some(Duration::from_secs(u64::from(self.config.resend_seconds)))
    }

    /// One member that takes them is enough: repetitions bring the others up to date.
    async fn deliver(&self, messages: &[Message], now: Timestamp) -> Result<Answer, Refusal> {
        let alerts = self.alerts(messages, now);
        if alerts.is_empty() {
            return Ok(Answer::new("nothing to tell"));
        }
        let body = serde_json::to_vec(&alerts)
            .map(Bytes::from)
            .map_err(|error| Refusal::because("cannot write alerts as JSON", &error))?;
        let posts = self
            .members
            .iter()
            .map(|member| self.post(member, body.clone(), now));
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for outcome in join_all(posts).await {
            match outcome {
                Ok(answer) => taken.push(answer),
                Err(refusal) => refused.push(refusal),
            }
        }
        let texts: Vec<&str> = refused
            .iter()
            .map(|refusal| refusal.text.as_str())
            .collect();
        let texts = texts.join("; ");
        match taken.into_iter().next() {
            Some(answer) if refused.is_empty() => Ok(answer),
            Some(answer) => Ok(Answer::new(&format!(
                "{}; not all members: {texts}",
                answer.0
            ))),
            None => Err(Refusal {
                permanent: refused.iter().all(|refusal| refusal.permanent),
                after: refused.iter().filter_map(|refusal| refusal.after).min(),
                text: texts,
            }),
        }
    }
}

/// An alert in the API's words.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

fn annotations(message: &Message) -> BTreeMap<&'static str, String> {
    let alert = &message.alert;
    let reasons: Vec<&str> = alert
        .reasons
        .iter()
        .map(|reason| reason.text.as_str())
        .collect();
    let mut annotations = BTreeMap::from([
        ("summary", one_line(&alert.title)),
        ("description", reasons.join("\n")),
        ("events", alert.count.to_string()),
        ("hostname", alert.hostname.to_string()),
        ("console", message.link.clone().unwrap_or_default()),
    ]);
    annotations.retain(|_, value| {
        value.truncate(at_most_bytes(value, MAX_VALUE).len());
        !value.is_empty()
    });
    annotations
}

/// The word that routes of Alertmanager commonly ask for.
const fn severity(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical => "critical",
        Priority::Error => "error",
        Priority::Warning => "warning",
        Priority::Notice | Priority::Informational | Priority::Debug => "info",
    }
}

fn is_label(name: &str) -> bool {
    name.bytes().enumerate().all(|(place, byte)| {
        byte.is_ascii_alphabetic() || byte == b'_' || (place > 0 && byte.is_ascii_digit())
    }) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    fn alertmanager(more: &str) -> Result<Alertmanager, String> {
        let sink: SinkConfig = serde_json::from_str(&format!(
            r#"{{"name":"s","to":{{"type":"alertmanager"{more}}}}}"#
        ))
        .map_err(|error| error.to_string())?;
        let crate::config::Target::Alertmanager(config) = &sink.to else {
            panic!("an Alertmanager was asked for");
        };
        Alertmanager::new(&sink, config).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said_at_the_start() {
        for (more, expected) in [
            ("", "1 to 16 addresses"),
            (r#","urls":["nowhere"]"#, "`nowhere`"),
            (r#","urls":["http://a"],"labels":{"a-b":"c"}"#, "`a-b`"),
            (r#","urls":["http://a"],"resend_seconds":1"#, "5 to 3600"),
        ] {
            let error = alertmanager(more).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_alert_is_open_until_its_end_is_told() {
        let alertmanager =
            alertmanager(r#","urls":["http://a/"],"labels":{"team":"blue","severity":"x"}"#)
                .unwrap();
        let now = Timestamp::from_seconds(1_795_251_700);
        let open = alertmanager.posted(&sample(), now).unwrap();
        assert_eq!(
            serde_json::to_value(&open).unwrap(),
            serde_json::json!({
                "labels": {
                    "alertname": "Terminal shell in container", "severity": "critical",
                    "priority": "critical", "source": "falco", "container_name": "shop-web-1",
                    "image": "registry.example/shop/web", "workload": "shop/web",
                    "namespace": "shop", "team": "blue",
                },
                "annotations": {
                    "summary": sample().alert.title,
                    "description": "`bash` never ran here.\nIt spoke to 203.0.113.7:4444.",
                    "events": "3", "hostname": "node-1",
                    "console": "https://quaywatch.example/alerts/12",
                },
                "startsAt": "2026-11-21T09:00:00Z",
                "endsAt": "2026-11-21T09:05:40Z",
                "generatorURL": "https://quaywatch.example/alerts/12",
            })
        );
        let mut closed = sample();
        closed.alert.state = AlertState::Closed;
        assert_eq!(alertmanager.posted(&closed, now), None);
        closed.change.what = AlertAction::to_state(AlertState::Closed, None);
        closed.change.time = Timestamp::from_seconds(1_795_251_650);
        let ended = alertmanager.posted(&closed, now).unwrap();
        assert_eq!(ended.ends_at, closed.change.time);
        closed.kind = Kind::Reminder;
        assert_eq!(alertmanager.posted(&closed, now), None);
        let mut silenced = sample();
        silenced.alert.silenced_by = Some(1);
        assert_eq!(alertmanager.posted(&silenced, now), None);
        silenced.change.what = AlertAction::Silenced { silence: Some(1) };
        assert!(alertmanager.posted(&silenced, now).unwrap().ends_at <= now);

        // The same labels, closed and then raised anew: the newer holds.
        let mut again = closed.clone();
        again.kind = Kind::Change;
        let alerts = alertmanager.alerts(&[again, sample()], now);
        assert_eq!(alerts, [open]);
    }
}
