//! What can be configured about notifications, and what is wrong with it.

use std::{collections::BTreeMap, path::PathBuf};

use qw_event::{AlertAction, AlertSource, Priority};
use serde::{Deserialize, Serialize};

use crate::{message::Message, secret::SecretFrom, template::TemplateError};

/// Most sinks.
pub const MAX_SINKS: usize = 50;

/// Who is told of alerts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address under which people reach the console, such as `https://quaywatch.example`: links in
    /// messages begin with it. Without it messages carry no links.
    pub console_url: Option<String>,
    /// Receivers of notifications.
    pub sinks: Vec<SinkConfig>,
}

/// One receiver, what it is told, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Name: letters, digits, `-` and `_`, at most 64. The stored position goes by it: whoever
    /// changes it begins anew.
    pub name: String,
    /// False leaves the sink alone; its position stays.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What happened to an alert.
    #[serde(default = "default_on")]
    pub on: Vec<Happening>,
    /// Least urgency of the alert.
    #[serde(default = "default_priority")]
    pub min_priority: Priority,
    /// Which parts noticed; empty takes all.
    #[serde(default)]
    pub sources: Vec<AlertSource>,
    /// Rules, as patterns with `*` and `?`; empty takes all.
    #[serde(default)]
    pub rules: Vec<Pattern>,
    /// Names or ids of containers, as patterns; empty takes all.
    #[serde(default)]
    pub containers: Vec<Pattern>,
    /// Kubernetes namespaces, as patterns; empty takes all.
    #[serde(default)]
    pub namespaces: Vec<Pattern>,
    /// Where a sink begins that has no position yet.
    #[serde(default)]
    pub from: From,
    /// Most messages per interval; what is over comes together in one message that says how many
    /// more there are. Without it: 30 a minute for webhooks and mail, unbounded for the others.
    /// Not for Alertmanager.
    #[serde(default)]
    pub at_most: Option<Pace>,
    /// The receiver.
    pub to: Target,
}

/// Messages per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Messages; 0 is unbounded.
    pub messages: u32,
    /// Length of the interval, in seconds; 1 to 86,400.
    #[serde(default = "minute")]
    pub seconds: u32,
}

/// Something that happens to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It was raised.
    Raised,
    /// Its urgency rose, or a reason was added.
    Escalated,
    /// Its state changed.
    State,
    /// It was given to somebody.
    Assigned,
    /// Somebody wrote something down.
    Note,
    /// A silence began or ceased to apply.
    Silenced,
}

impl Happening {
    /// What `action` is.
    pub fn of(action: &AlertAction) -> Self {
        match action {
            AlertAction::Raised => Self::Raised,
            AlertAction::Escalated { .. } => Self::Escalated,
            AlertAction::State { .. } => Self::State,
            AlertAction::Assigned { .. } => Self::Assigned,
            AlertAction::Note { .. } => Self::Note,
            AlertAction::Silenced { .. } => Self::Silenced,
        }
    }

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::State => "state",
            Self::Assigned => "assigned",
            Self::Note => "note",
            Self::Silenced => "silenced",
        }
    }
}

/// Where a sink begins that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// With what happens from now on.
    #[default]
    Now,
    /// With the oldest entry of the history.
    Beginning,
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Target {
    /// An HTTP request with a body made by a template.
    Webhook(WebhookConfig),
    /// Prometheus' Alertmanager.
    Alertmanager(AlertmanagerConfig),
    /// A syslog server.
    Syslog(SyslogConfig),
    /// Mail.
    Smtp(SmtpConfig),
}

impl Target {
    /// The name of the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Syslog(_) => "syslog",
            Self::Smtp(_) => "smtp",
        }
    }
}

/// An HTTP request with a body made by a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Address. It is shown as it stands here: use `url_from` when it holds a secret.
    pub url: Option<String>,
    /// Address that is a secret, such as those of Slack, Teams and Discord.
    pub url_from: Option<SecretFrom>,
    /// `POST`, `PUT` or `PATCH`.
    pub method: String,
    /// Ready-made body.
    pub format: Format,
    /// Key of the service: the integration key of PagerDuty, the API key of Opsgenie, the token of a bot
    /// of Telegram.
    pub key: Option<SecretFrom>,
    /// Where Telegram shows messages: the number of a chat, or `@name` of a channel.
    pub chat: Option<String>,
    /// Template of a body of your own, in place of `format`.
    pub body: Option<String>,
    /// File with a template, in place of `body`.
    pub body_file: Option<PathBuf>,
    /// Type of a body of your own; JSON is escaped by the template as JSON.
    pub content_type: Option<String>,
    /// Headers. They are shown as they stand here.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    pub secret_headers: BTreeMap<String, SecretFrom>,
    /// Signs the body.
    pub signature: Option<Signature>,
    /// Trust and identity for `https`.
    pub tls: TlsConfig,
    /// Longest wait for an answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_from: None,
            method: String::from("POST"),
            format: Format::default(),
            key: None,
            chat: None,
            body: None,
            body_file: None,
            content_type: None,
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
            signature: None,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// Ready-made bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Our own JSON: alert, change, link.
    #[default]
    Quaywatch,
    /// What falcosidekick and its receivers take: the shape of a Falco event.
    Falcosidekick,
    /// Slack, and Rocket.Chat, which takes the same.
    Slack,
    /// Mattermost.
    Mattermost,
    /// Microsoft Teams: an adaptive card.
    Teams,
    /// Discord.
    Discord,
    /// CloudEvents 1.0, structured JSON.
    Cloudevents,
    /// PagerDuty, Events API version 2: an alert is triggered, acknowledged and resolved there as it is
    /// here.
    Pagerduty,
    /// Opsgenie, Alert API: an alert is made, acknowledged and closed there as it is here.
    Opsgenie,
    /// Telegram, Bot API.
    Telegram,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::Quaywatch,
        Self::Falcosidekick,
        Self::Slack,
        Self::Mattermost,
        Self::Teams,
        Self::Discord,
        Self::Cloudevents,
        Self::Pagerduty,
        Self::Opsgenie,
        Self::Telegram,
    ];

    /// Where the service of this format listens, when it is always the same.
    pub(crate) const fn service(self) -> Option<&'static str> {
        match self {
            Self::Pagerduty => Some("https://events.pagerduty.com"),
            Self::Opsgenie => Some("https://api.opsgenie.com"),
            Self::Telegram => Some("https://api.telegram.org"),
            _ => None,
        }
    }

    /// True when the receiver keeps the state of alerts: it is told of every change, one by one.
    pub(crate) const fn keeps_state(self) -> bool {
        matches!(self, Self::Pagerduty | Self::Opsgenie)
    }
}

/// HMAC-SHA256 over the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Key.
    pub secret: SecretFrom,
    /// Header that carries `sha256=` and the code in hexadecimal.
    #[serde(default = "default_signature_header")]
    pub header: String,
}

/// Prometheus' Alertmanager, API version 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Addresses of all members of one cluster, such as `http://127.0.0.1:9093`.
    pub urls: Vec<String>,
    /// Labels added to each alert.
    pub labels: BTreeMap<String, String>,
    /// Headers. They are shown as they stand here.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    pub secret_headers: BTreeMap<String, SecretFrom>,
    /// How often open alerts are told again, in seconds; 5 to 3,600.
    pub resend_seconds: u32,
    /// Trust and identity for `https`.
    pub tls: TlsConfig,
    /// Longest wait for an answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            labels: BTreeMap::new(),
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
            resend_seconds: 60,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// Host and port, such as `logs.example:514`.
    pub address: String,
    /// How messages travel.
    pub transport: Transport,
    /// Shape of the text.
    pub format: SyslogFormat,
    /// Facility, such as `local0` or `auth`.
    pub facility: Facility,
    /// Private enterprise number in the name of the structured data.
    pub enterprise: u32,
    /// Largest message, in bytes; 480 to 65,000. A longer text is cut.
    pub max_bytes: usize,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for the receiver, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: Transport::Tcp,
            format: SyslogFormat::Rfc5424,
            facility: Facility::Local0,
            enterprise: 32_473,
            max_bytes: 8_192,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// How syslog messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// One datagram each (RFC 5426). Nothing tells whether it arrived.
    Udp,
    /// Octet counting over TCP (RFC 6587).
    Tcp,
    /// Octet counting over TLS (RFC 5425).
    Tls,
}

/// Shape of a syslog text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// A sentence, and structured data with everything else (RFC 5424).
    Rfc5424,
    /// ArcSight's Common Event Format within an RFC 5424 message.
    Cef,
}

/// Facilities of syslog (RFC 5424, table 1) that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub enum Facility {
    User = 1,
    Daemon = 3,
    Auth = 4,
    Authpriv = 10,
    Audit = 13,
    Alert = 14,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

/// Mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// Host of the server.
    pub host: String,
    /// Port; without it 587 with `starttls`, 465 with `tls`, 25 with `none`.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub security: Security,
    /// User, when the server wants one.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<SecretFrom>,
    /// Sender, such as `Quaywatch <quaywatch@example.org>`.
    pub sender: String,
    /// Receivers.
    pub recipients: Vec<String>,
    /// Template of the subject.
    pub subject: Option<String>,
    /// Template of the text.
    pub body: Option<String>,
    /// Name with which we greet the server; without it `localhost`.
    pub hello: Option<String>,
    /// Trust and identity for `starttls` and `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: None,
            security: Security::Starttls,
            username: None,
            password: None,
            sender: String::new(),
            recipients: Vec::new(),
            subject: None,
            body: None,
            hello: None,
            tls: TlsConfig::default(),
            timeout_seconds: 20,
        }
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS by `STARTTLS`; a server without it is refused.
    Starttls,
    /// None; a password is then never sent.
    None,
}

/// Trust and identity of TLS connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificate chain, leaf first, for receivers that want one.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
}

/// A text with `*` for any characters and `?` for one; letters match whatever their case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// True when the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
        let (pattern, text) = (lower(&self.0), lower(text));
        let (mut at, mut place) = (0, 0);
        // Where the newest `*` stands, and how much of the text it has taken: the only place worth
        // going back to.
        let mut star = None;
        while place < text.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, place));
                    at += 1;
                }
                Some(&wanted) if wanted == '?' || Some(&wanted) == text.get(place) => {
                    at += 1;
                    place += 1;
                }
                _ => match star {
                    Some((behind, taken)) => {
                        star = Some((behind, taken + 1));
                        at = behind + 1;
                        place = taken + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(at).all(|&left| left == '*')
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Too many sinks.
    #[error("{count} sinks of notifications; at most {MAX_SINKS} are possible")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A name that is no name.
    #[error(
        "notification sink `{name}`: a name has 1 to 64 letters, digits, `-` or `_`, and no two are alike"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A value that cannot be.
    #[error("notification sink `{sink}`: `{key}` {problem}")]
    Value {
        /// Name of the sink.
        sink: String,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A template that cannot be used.
    #[error("notification sink `{sink}`: `{key}`")]
    Template {
        /// Name of the sink.
        sink: String,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// The position of a sink cannot be read.
    #[error("notification sink `{sink}`: cannot read its position")]
    Position {
        /// Name of the sink.
        sink: String,
        /// Why.
        source: qw_store::StoreError,
    },
}

impl SinkConfig {
    /// True when the sink is told of `message`; whatever happened to the alert when `state_only`.
    pub(crate) fn takes(&self, message: &Message, state_only: bool) -> bool {
        let (alert, container) = (&message.alert, &message.alert.container);
        let any = |patterns: &[Pattern], texts: &[&str]| {
            patterns.is_empty()
                || patterns
                    .iter()
                    .any(|pattern| texts.iter().any(|text| pattern.matches(text)))
        };
        (state_only || self.on.contains(&Happening::of(&message.change.what)))
            && alert.priority <= self.min_priority
            && (self.sources.is_empty() || self.sources.contains(&alert.source))
            && any(&self.rules, &[&alert.rule])
            && any(&self.containers, &[&container.name, &container.id])
            && any(&self.namespaces, &[&container.k8s_namespace])
    }

    /// Checks name and bounds.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let named = (1..=64).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !named {
            let name = self.name.chars().take(64).collect();
            return Err(ConfigError::Name { name });
        }
        let seconds = match &self.to {
            Target::Webhook(webhook) => webhook.timeout_seconds,
            Target::Alertmanager(alertmanager) => alertmanager.timeout_seconds,
            Target::Syslog(syslog) => syslog.timeout_seconds,
            Target::Smtp(smtp) => smtp.timeout_seconds,
        };
        if !(1..=120).contains(&seconds) {
            return Err(self.wrong("timeout_seconds", "is from 1 to 120"));
        }
        if let Some(pace) = self.at_most
            && !(1..=86_400).contains(&pace.seconds)
        {
            return Err(self.wrong("at_most.seconds", "is from 1 to 86400"));
        }
        if self.at_most.is_some() && matches!(self.to, Target::Alertmanager(_)) {
            return Err(self.wrong(
                "at_most",
                "has no meaning for Alertmanager, which groups by itself",
            ));
        }
        if self.on.is_empty() {
            return Err(self.wrong("on", "is empty, so nothing would ever be sent"));
        }
        Ok(())
    }

    /// Messages per interval, with the kind's own in place of none.
    pub(crate) fn pace(&self) -> Pace {
        self.at_most.unwrap_or(Pace {
            messages: match &self.to {
                Target::Webhook(to) if to.format.keeps_state() => 0,
                Target::Webhook(_) | Target::Smtp(_) => 30,
                Target::Alertmanager(_) | Target::Syslog(_) => 0,
            },
            seconds: minute(),
        })
    }

    pub(crate) fn wrong(&self, key: &'static str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            sink: self.name.clone(),
            key,
            problem: problem.into(),
        }
    }
}

fn yes() -> bool {
    true
}

fn minute() -> u32 {
    60
}

fn default_on() -> Vec<Happening> {
    vec![Happening::Raised, Happening::Escalated]
}

fn default_priority() -> Priority {
    Priority::Debug
}

fn default_signature_header() -> String {
    String::from("X-Quaywatch-Signature")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("web-*", "web-1", true),
            ("web-*", "WEB-", true),
            ("web-*", "a web-1", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxbxxa", false),
            ("a**b", "ab", true),
            ("*ü*", "Über", true),
        ] {
            assert_eq!(
                Pattern(pattern.into()).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn the_example_in_the_manual_is_read() {
        let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/notifications.md");
        let text = fs_err::read_to_string(manual).unwrap();
        let (_, rest) = text.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        #[derive(Deserialize)]
        struct Whole {
            notifications: Config,
        }
        let whole: Whole = serde_saphyr::from_str(example).unwrap();
        let kinds: Vec<&str> = whole
            .notifications
            .sinks
            .iter()
            .map(|sink| sink.to.kind())
            .collect();
        assert_eq!(kinds, ["webhook", "alertmanager", "syslog", "smtp"]);
        for sink in &whole.notifications.sinks {
            sink.check().unwrap();
        }
    }

    fn sink(more: &str) -> Result<SinkConfig, String> {
        serde_json::from_str(&format!(
            r#"{{"name":"s","to":{{"type":"webhook","url":"http://a/"}}{more}}}"#
        ))
        .map_err(|error| error.to_string())
    }

    #[test]
    fn a_selection_takes_what_it_names() {
        // The sample: a critical alert of the source `falco`, rule `Terminal shell in container`,
        // container `shop-web-1` in the namespace `shop`; it was raised.
        for (more, expected) in [
            ("", true),
            (r#","on":["state"]"#, false),
            (r#","min_priority":"critical""#, true),
            (r#","min_priority":"alert""#, false),
            (r#","sources":["profile"]"#, false),
            (r#","rules":["terminal*"]"#, true),
            (r#","rules":["x","y"]"#, false),
            (r#","containers":["shop-web-?"]"#, true),
            (r#","containers":["3f29*"]"#, true),
            (r#","containers":["db"]"#, false),
            (r#","namespaces":["shop"]"#, true),
            (r#","namespaces":["kube-*"]"#, false),
        ] {
            let sink = sink(more).unwrap();
            assert_eq!(sink.takes(&sample(), false), expected, "{more}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(
            sink(r#","minpriority":"error""#)
                .unwrap_err()
                .contains("minpriority")
        );
        for (more, key) in [
            (r#","on":[]"#, "`on`"),
            (r#","at_most":{"messages":1,"seconds":0}"#, "at_most"),
        ] {
            let error = sink(more).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        for name in ["", "a b", "ü", &"a".repeat(65)] {
            let mut sink = sink("").unwrap();
            name.clone_into(&mut sink.name);
            assert!(matches!(sink.check(), Err(ConfigError::Name { .. })));
        }
    }
}
