//! The destinations.

pub(crate) mod elasticsearch;
pub(crate) mod file;
pub(crate) mod fluentd;
pub(crate) mod gelf;
mod http;
pub(crate) mod json_lines;
mod line;
pub(crate) mod loki;
pub(crate) mod otlp;
pub(crate) mod splunk;
mod stream;
pub(crate) mod syslog;
