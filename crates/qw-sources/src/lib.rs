//! Sources of records: Docker, HTTP, files, standard input, receivers of logs, demo.
//!
//! [`falco`] turns one line into an event and is all that knows Falco's format. A source reads
//! bytes from one place, has them parsed, and sends batches through its `Intake`. To add a source,
//! write one file with `impl Source` and add its line here.

mod clock;
pub mod demo;
pub mod docker;
pub mod engine;
pub mod falco;
pub mod file;
#[cfg(test)]
mod harness;
pub mod http;
mod lines;
pub mod logs;
pub mod queue;
pub mod receivers;
pub mod replay;
mod start;
pub mod stdin;

pub use start::StartFrom;
