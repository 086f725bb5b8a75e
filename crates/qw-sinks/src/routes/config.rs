//! What can be configured about routes, and what is wrong with it.

use std::{collections::BTreeMap, path::PathBuf};

use qw_event::{Priority, RecordKind};
use qw_log::{Builtin, tag::Template};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{Facility, From, TlsConfig},
    secret::SecretFrom,
};

/// Most routes.
pub const MAX_ROUTES: usize = 50;

/// Where records are forwarded to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The routes; each has a position of its own in the stored log.
    pub routes: Vec<RouteConfig>,
}

/// Which records go to one destination, and what is made of them before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Name: letters, digits, `-` and `_`, at most 64. The stored position goes by it: whoever
    /// changes it begins anew.
    pub name: String,
    /// False leaves the route alone; its position stays.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Kinds of records.
    #[serde(default = "default_kinds")]
    pub kinds: Vec<RecordKind>,
    /// A query that a record has to match (`docs/query-language.md`); an empty one takes all.
    #[serde(default, rename = "match")]
    pub matching: String,
    /// Least urgency of a record.
    #[serde(default = "default_priority")]
    pub min_priority: Priority,
    /// Keeps one of so many records: those whose number can be divided by it. 1 to 1,000,000.
    #[serde(default = "one")]
    pub sample: u32,
    /// Secrets that are replaced in text and fields before anything is sent.
    #[serde(default)]
    pub redact: Vec<Builtin>,
    /// Changes of the fields of each record.
    #[serde(default)]
    pub fields: FieldChanges,
    /// Where a route begins that has no position yet.
    #[serde(default)]
    pub from: From,
    /// What is sent at once.
    #[serde(default)]
    pub batch: BatchConfig,
    /// Most records per second; without it as many as the destination takes.
    #[serde(default)]
    pub max_records_per_second: Option<u32>,
    /// The destination.
    pub to: Target,
}

/// Changes of the fields of a record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldChanges {
    /// Fields that are set, whatever the record says.
    pub add: BTreeMap<String, Value>,
    /// Fields that are left out.
    pub remove: Vec<String>,
}

/// What is sent at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Most records; 1 to 5,000, and to 100,000 for objects in S3.
    pub records: usize,
    /// Text and fields of about so many bytes at most; 1 KiB to 16 MiB. A larger record goes alone.
    pub bytes: usize,
    /// How long records wait for others when there are no more, in milliseconds; at most 10,000, and
    /// 900,000 for objects in S3.
    pub linger_millis: u32,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            records: 5_000,
            bytes: 1 << 20,
            linger_millis: 200,
        }
    }
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Target {
    /// A syslog server.
    Syslog(SyslogConfig),
    /// JSON lines over TCP, TLS or a Unix socket.
    #[serde(alias = "raw")]
    TcpJson(JsonConfig),
    /// Graylog, and others that speak GELF.
    Gelf(GelfConfig),
    /// Fluentd, Fluent Bit: the forward protocol, with acknowledgements.
    Fluentd(FluentdConfig),
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkConfig),
    /// Grafana Loki.
    Loki(LokiConfig),
    /// Elasticsearch and OpenSearch: `_bulk`.
    Elasticsearch(ElasticsearchConfig),
    /// OpenTelemetry's protocol over HTTP, as protobuf.
    Otlp(OtlpConfig),
    /// Any HTTP server.
    #[serde(alias = "webhook")]
    Http(Box<WebhookConfig>),
    /// NATS, core or JetStream.
    Nats(NatsConfig),
    /// A stream of Redis.
    Redis(RedisConfig),
    /// MQTT.
    Mqtt(MqttConfig),
    /// AMQP 0-9-1: RabbitMQ and others.
    Amqp(Box<AmqpConfig>),
    /// Kafka.
    Kafka(Box<KafkaConfig>),
    /// Objects in S3, and in what speaks as it does.
    S3(Box<S3Config>),
    /// CloudWatch Logs.
    Cloudwatch(Box<CloudwatchConfig>),
    /// A file that is rotated.
    File(FileConfig),
}

impl Target {
    /// The name of the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Syslog(_) => "syslog",
            Self::TcpJson(_) => "tcp_json",
            Self::Gelf(_) => "gelf",
            Self::Fluentd(_) => "fluentd",
            Self::SplunkHec(_) => "splunk_hec",
            Self::Loki(_) => "loki",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Otlp(_) => "otlp",
            Self::Http(_) => "http",
            Self::Nats(_) => "nats",
            Self::Redis(_) => "redis",
            Self::Mqtt(_) => "mqtt",
            Self::Amqp(_) => "amqp",
            Self::Kafka(_) => "kafka",
            Self::S3(_) => "s3",
            Self::Cloudwatch(_) => "cloudwatch",
            Self::File(_) => "file",
        }
    }

    /// Docker's tag template, where the destination has a place for a tag, or where it tells the place
    /// within the destination.
    pub(crate) fn tag(&self) -> &str {
        match self {
            Self::Syslog(to) => &to.tag,
            Self::TcpJson(to) => &to.tag,
            Self::Gelf(to) => &to.tag,
            Self::Fluentd(to) => &to.tag,
            Self::File(to) => &to.tag,
            Self::Http(to) => &to.tag,
            Self::Nats(to) => &to.subject,
            Self::Redis(to) => &to.stream,
            Self::Mqtt(to) => &to.topic,
            Self::Amqp(to) => &to.routing_key,
            Self::Kafka(to) => &to.topic,
            Self::S3(to) => &to.object,
            Self::Cloudwatch(to) => &to.log_stream,
            Self::SplunkHec(_) | Self::Loki(_) | Self::Elasticsearch(_) | Self::Otlp(_) => "",
        }
    }

    const fn timeout_seconds(&self) -> Option<u32> {
        Some(match self {
            Self::Syslog(to) => to.timeout_seconds,
            Self::TcpJson(to) => to.timeout_seconds,
            Self::Gelf(to) => to.timeout_seconds,
            Self::Fluentd(to) => to.timeout_seconds,
            Self::SplunkHec(to) => to.http.timeout_seconds,
            Self::Loki(to) => to.http.timeout_seconds,
            Self::Elasticsearch(to) => to.http.timeout_seconds,
            Self::Otlp(to) => to.http.timeout_seconds,
            Self::Http(to) => to.http.timeout_seconds,
            Self::Nats(to) => to.timeout_seconds,
            Self::Redis(to) => to.timeout_seconds,
            Self::Mqtt(to) => to.timeout_seconds,
            Self::Amqp(to) => to.timeout_seconds,
            Self::Kafka(to) => to.timeout_seconds,
            Self::S3(to) => to.http.timeout_seconds,
            Self::Cloudwatch(to) => to.http.timeout_seconds,
            Self::File(_) => return None,
        })
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Too many routes.
    #[error("{count} routes; at most {MAX_ROUTES} are possible")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A name that is no name.
    #[error("route `{name}`: a name has 1 to 64 letters, digits, `-` or `_`, and no two are alike")]
    Name {
        /// The name.
        name: String,
    },
    /// A value that cannot be.
    #[error("route `{route}`: `{key}` {problem}")]
    Value {
        /// Name of the route.
        route: String,
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The position of a route cannot be read.
    #[error("route `{route}`: cannot read its position")]
    Position {
        /// Name of the route.
        route: String,
        /// Why.
        source: qw_store::StoreError,
    },
}

impl RouteConfig {
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
        if self.kinds.is_empty() {
            return Err(self.wrong("kinds", "is empty, so nothing would ever be sent"));
        }
        if !(1..=1_000_000).contains(&self.sample) {
            return Err(self.wrong("sample", "is from 1 to 1000000"));
        }
        // An object may hold more, and wait longer, than a request.
        let (records, linger) = match self.to {
            Target::S3(_) => (100_000, 900_000),
            _ => (5_000, 10_000),
        };
        if !(1..=records).contains(&self.batch.records) {
            return Err(self.wrong("batch.records", format!("is from 1 to {records}")));
        }
        if !(1 << 10..=16 << 20).contains(&self.batch.bytes) {
            return Err(self.wrong("batch.bytes", "is from 1024 to 16777216"));
        }
        if self.batch.linger_millis > linger {
            let problem = format!("is from 0 to {linger}");
            return Err(self.wrong("batch.linger_millis", problem));
        }
        if self.max_records_per_second == Some(0) {
            return Err(self.wrong("max_records_per_second", "is at least 1"));
        }
        if self.fields.add.len() > 100 || self.fields.remove.len() > 100 {
            return Err(self.wrong("fields", "names more than 100 fields"));
        }
        if self
            .to
            .timeout_seconds()
            .is_some_and(|seconds| !(1..=120).contains(&seconds))
        {
            return Err(self.wrong("to.timeout_seconds", "is from 1 to 120"));
        }
        Ok(())
    }

    /// The template of the tag; `None` when there is none.
    pub(crate) fn tag(&self) -> Result<Option<Template>, ConfigError> {
        let text = self.to.tag();
        if text.is_empty() {
            return Ok(None);
        }
        let template =
            Template::parse(text).map_err(|error| self.wrong("to.tag", error.to_string()))?;
        Ok(Some(template))
    }

    pub(crate) fn wrong(&self, key: &'static str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            route: self.name.clone(),
            key,
            problem: problem.into(),
        }
    }
}

mod targets;

pub use targets::{
    AmqpConfig, AwsConfig, CloudwatchConfig, Compression, Confirm, ElasticsearchConfig, FileConfig,
    FileFormat, FluentdConfig, GelfCompression, GelfConfig, GelfTransport, HttpConfig, HttpFraming,
    JsonConfig, KafkaCompression, KafkaConfig, KafkaMechanism, LokiConfig, MqttConfig, NatsConfig,
    ObjectCompression, OtlpConfig, RedisConfig, S3Config, SplunkConfig, StreamTransport,
    SyslogConfig, SyslogFormat, SyslogFraming, SyslogTransport, WebhookConfig,
};

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn default_kinds() -> Vec<RecordKind> {
    vec![RecordKind::Log]
}

fn default_priority() -> Priority {
    Priority::Debug
}
