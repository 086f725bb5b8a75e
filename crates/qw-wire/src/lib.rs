//! Wire formats of logs, both ways: bytes → what a sender says, and a record → bytes.
//!
//! Pure: no input, no output, no clock. Each module knows one format, bounds what it holds before it
//! holds it, and names the byte where something is wrong. What a record means to us (its container,
//! its severity when the format does not tell) is decided by who receives it. Beside the formats stand
//! the protocols of brokers that carry records (NATS, Redis, MQTT, AMQP), as far as a sender needs them.

pub mod amqp;
pub mod cloudwatch;
pub mod elasticsearch;
pub mod forward;
pub mod gelf;
pub mod hec;
pub mod loki;
pub mod mqtt;
pub mod nats;
pub mod otlp;
mod outgoing;
mod received;
pub mod resp;
pub mod syslog;

pub use outgoing::{Outgoing, fault::Fault};
pub use received::{Piece, Received, Said};
