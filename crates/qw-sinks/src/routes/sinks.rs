//! The destinations.

pub(crate) mod amqp;
mod aws;
pub(crate) mod cloudwatch;
pub(crate) mod elasticsearch;
pub(crate) mod file;
pub(crate) mod fluentd;
pub(crate) mod gelf;
mod http;
pub(crate) mod json_lines;
pub(crate) mod kafka;
mod line;
pub(crate) mod loki;
pub(crate) mod mqtt;
pub(crate) mod nats;
pub(crate) mod otlp;
pub(crate) mod redis;
pub(crate) mod s3;
mod session;
pub(crate) mod splunk;
mod stream;
pub(crate) mod syslog;
pub(crate) mod webhook;
