//! Notifications about alerts: webhooks, Alertmanager, syslog, mail; records that are forwarded
//! ([`routes`]); and numbers for Graphite ([`graphite`]).
//!
//! The history of alerts is the queue. Each sink reads it from a position of its own, hands on what
//! its selection takes, and moves the position only once the receiver has taken the message: a
//! receiver that is down or slow delays nobody else, and nothing is lost by a restart of either
//! side. What arrives may arrive twice, in order; every message carries its number in the history.
//!
//! To add a sink, write one file with `impl Receiver` and add its line to [`config::Target`] and to
//! `notifier::receiver`.

mod alertmanager;
mod backoff;
pub mod config;
mod describe;
pub mod graphite;
mod http;
mod message;
mod notifier;
mod pace;
mod receiver;
pub mod routes;
mod runner;
pub mod secret;
mod smtp;
mod status;
mod syslog;
mod template;
mod tls;
mod webhook;

pub use config::Config;
pub use notifier::{Notifications, Notifier, Options, TestFailed};
pub use receiver::Answer;
pub use status::{Failure, SinkStatus, Standing};
pub use template::TemplateError;
