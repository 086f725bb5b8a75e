//! Forwarding of records: lines of logs, and events, to syslog, GELF, Fluentd, Splunk, Loki,
//! Elasticsearch, OpenTelemetry, NATS, Redis, MQTT, AMQP, Kafka, S3, CloudWatch, any HTTP server, JSON lines and
//! files.
//!
//! The stored log is the queue; what is forwarded and not stored has a disk buffer of the same kind. Each
//! route reads both from positions of its own (near their heads out of memory, further back from disk),
//! and moves a position only once the destination has the records: one that is slow or away delays nobody, and nothing is lost by a restart of either side. A
//! batch on its way when one side dies may arrive twice, except where the destination can tell
//! (Elasticsearch and JetStream by id, files by their length).
//!
//! To add a destination, write one file under `sinks/` with `impl Destination`, and add its line to
//! [`Target`] and to `destination::open`.

mod config;
mod dead_letters;
mod deliver;
mod destination;
mod log;
mod positions;
mod record;
mod router;
mod runner;
mod select;
mod sinks;
mod status;
mod window;

pub use config::{
    AmqpConfig, AwsConfig, BatchConfig, CloudwatchConfig, Compression, Config, ConfigError,
    Confirm, ElasticsearchConfig, FieldChanges, FileConfig, FileFormat, FluentdConfig,
    GelfCompression, GelfConfig, GelfTransport, HttpConfig, HttpFraming, JsonConfig,
    KafkaCompression, KafkaConfig, KafkaMechanism, LokiConfig, MAX_ROUTES, MqttConfig, NatsConfig,
    ObjectCompression, OtlpConfig, RedisConfig, RouteConfig, S3Config, SplunkConfig,
    StreamTransport, SyslogConfig, SyslogFormat, SyslogFraming, SyslogTransport, Target,
    WebhookConfig,
};
pub use dead_letters::{DeadLetter, MAX_DEAD_LETTERS, Replayed};
pub use router::{RouteError, Router, Routes};
pub use status::{RouteState, RouteStatus};
