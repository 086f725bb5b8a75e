//! Scenarios through the real binary, with real parts around it.

#![allow(
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a scenario that meets what it did not expect is to end, and its texts are its own"
)]

mod browser;
mod command_line;
mod docker;
mod faults;
mod kills;
mod prometheus;
mod spine;
mod streams;
mod tls;

use qw_testkit::quaywatch::Builder;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_quaywatch");

fn server() -> Builder {
    Builder::new(BINARY)
}

/// One line as Falco prints it: event `number` of `container`, `age_seconds` old.
fn falco_line(container: &str, number: usize, rule: &str, priority: &str) -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_nanos())
        .unwrap_or_default();
    let time = qw_event::Timestamp::from_nanos(i64::try_from(nanos).unwrap_or_default());
    format!(
        r#"{{"hostname":"node-1","output":"{rule} (number={number} container={container})","output_fields":{{"container.id":"{container}0000","container.image.repository":"registry.example/{container}","container.name":"{container}","evt.time":{nanos},"evt.type":"execve","number":{number},"proc.name":"sh","user.name":"root"}},"priority":"{priority}","rule":"{rule}","source":"syscall","tags":["container","process"],"time":"{time}"}}"#
    )
}
