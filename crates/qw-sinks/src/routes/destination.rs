//! What a destination does, and what it may answer.

use async_trait::async_trait;
use qw_event::Timestamp;

use super::{
    config::{ConfigError, RouteConfig, Target},
    record::Part,
    sinks::{
        amqp::Amqp, cloudwatch::Cloudwatch, elasticsearch::Elasticsearch, file::File,
        fluentd::Fluentd, gelf::Gelf, json_lines::JsonLines, kafka::Kafka, loki::Loki, mqtt::Mqtt,
        nats::Nats, otlp::Otlp, redis::Redis, s3::S3, splunk::Splunk, syslog::Syslog,
        webhook::Webhook,
    },
};
use crate::receiver::Refusal;

/// Takes records to one place.
#[async_trait]
pub(crate) trait Destination: Send + 'static {
    /// Where they go, without secrets.
    fn place(&self) -> String;

    /// Hands on `part` (at least one record, in order) at the time `now`; returns once the destination
    /// has it.
    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered>;

    /// What is to be stored with the position, for [`open`] after a restart: JSON.
    fn mark(&self) -> Option<String> {
        None
    }

    /// There was nothing to hand on for a while.
    async fn idle(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Looks whether records could be handed on without handing on any; `None` when only a record tells.
    async fn probe(&mut self) -> Option<Result<String, Refusal>> {
        None
    }
}

/// What became of a part.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// Bytes as they travelled.
    pub(crate) bytes: u64,
    /// Records that are refused for good, by their place within the part, each with the reason.
    pub(crate) refused: Vec<(usize, String)>,
    /// Records to be sent again later, by their place within the part.
    pub(crate) again: Vec<usize>,
    /// Why.
    pub(crate) why_again: String,
    /// Records that the destination dropped without saying which.
    pub(crate) dropped: u64,
    /// Texts that were cut.
    pub(crate) cut: u64,
    /// What the destination said.
    pub(crate) answer: String,
}

/// Why a part was not taken.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The first `done` records were; the others may be later.
    Later {
        /// How many are done.
        done: usize,
        /// Why.
        refusal: Refusal,
    },
    /// It is too large, or at least one record is bad: to be tried in halves. One record alone is given
    /// up.
    Split(String),
}

impl From<Refusal> for Undelivered {
    fn from(refusal: Refusal) -> Self {
        if refusal.permanent {
            Self::Split(refusal.text)
        } else {
            Self::Later { done: 0, refusal }
        }
    }
}

/// The destination of `route`, as it was left with `mark`. Reads addresses, files and secrets, so that
/// what is wrong with them is said at the start. `epoch` tells this position's numbers from those of all
/// others.
pub(crate) fn open(
    route: &RouteConfig,
    epoch: &str,
    mark: Option<&str>,
) -> Result<Box<dyn Destination>, ConfigError> {
    Ok(match &route.to {
        Target::Syslog(to) => Box::new(Syslog::new(route, to)?),
        Target::TcpJson(to) => Box::new(JsonLines::new(route, to)?),
        Target::Gelf(to) => Box::new(Gelf::new(route, to)?),
        Target::Fluentd(to) => Box::new(Fluentd::new(route, to)?),
        Target::SplunkHec(to) => Box::new(Splunk::new(route, to)?),
        Target::Loki(to) => Box::new(Loki::new(route, to)?),
        Target::Elasticsearch(to) => Box::new(Elasticsearch::new(route, to, epoch)?),
        Target::Otlp(to) => Box::new(Otlp::new(route, to)?),
        Target::Http(to) => Box::new(Webhook::new(route, to)?),
        Target::Nats(to) => Box::new(Nats::new(route, to, epoch)?),
        Target::Redis(to) => Box::new(Redis::new(route, to)?),
        Target::Mqtt(to) => Box::new(Mqtt::new(route, to)?),
        Target::Amqp(to) => Box::new(Amqp::new(route, to, epoch)?),
        Target::Kafka(to) => Box::new(Kafka::new(route, to)?),
        Target::S3(to) => Box::new(S3::new(route, to, epoch)?),
        Target::Cloudwatch(to) => Box::new(Cloudwatch::new(route, to)?),
        Target::File(to) => Box::new(File::new(route, to, mark)?),
    })
}
