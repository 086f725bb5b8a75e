//! Scenarios through the real binary, with real parts around it.

#![allow(
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a scenario that meets what it did not expect is to end, and its texts are its own"
)]

mod access;
mod alerts;
mod brokers;
mod browser;
mod clock;
mod collect;
mod command_line;
mod demo;
mod deploy;
mod disk;
mod docker;
mod engine_events;
mod faults;
mod kills;
mod lessons;
mod logs;
mod notifications;
mod oidc;
mod prometheus;
mod receivers;
mod registry;
mod routes;
mod schemathesis;
mod sources;
mod spine;
mod streams;
mod tls;
mod usage;

use std::{net::TcpListener, time::Duration};

use qw_testkit::{
    quaywatch::{Builder, Quaywatch},
    wait_for,
};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_quaywatch");

fn server() -> Builder {
    Builder::new(BINARY)
}

/// Ports that nobody uses now.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners: [TcpListener; COUNT] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
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

/// Numbered lines of `container`, one below the other.
fn falco_lines(container: &str, numbers: std::ops::Range<usize>) -> String {
    let lines = numbers.map(|number| falco_line(container, number, "A", "Notice") + "\n");
    lines.collect()
}

/// Every number of the range, once.
fn once_each(numbers: std::ops::Range<usize>) -> std::collections::BTreeMap<u64, usize> {
    numbers.map(|number| (number as u64, 1)).collect()
}

/// Waits until every record of every source has had exactly one outcome, and the API and the metrics
/// say the same.
#[track_caller]
fn check_conservation(quaywatch: &Quaywatch) {
    wait_for("nothing on its way", Duration::from_secs(60), || {
        let sources = quaywatch.get("/api/sources");
        let idle = |source: &serde_json::Value| source["queue"]["length"] == 0;
        sources["items"].as_array()?.iter().all(idle).then_some(())
    });
    let sources = quaywatch.get("/api/sources");
    let metrics = quaywatch.metrics("/metrics");
    for source in sources["items"].as_array().expect("sources") {
        let name = source["id"].as_str().expect("a name");
        let received = source["received_total"].as_u64();
        assert_eq!(Some(sum(&source["outcomes"])), received, "{source}");
        let label = format!("source=\"{name}\"");
        let metric = |family| qw_testkit::quaywatch::sum_of(&metrics, family, &label);
        let received = received.unwrap_or_default();
        assert_eq!(
            metric("quaywatch_records_received_total"),
            received,
            "{name}"
        );
        assert_eq!(metric("quaywatch_records_total"), received, "{name}");
        let stored = qw_testkit::quaywatch::sum_of(
            &metrics,
            "quaywatch_records_total",
            &format!("{label},outcome=\"stored\""),
        );
        assert_eq!(
            source["outcomes"]["stored"].as_u64(),
            Some(stored),
            "{name}"
        );
    }
}

/// All numbers in `value`.
fn sum(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Object(entries) => entries.values().map(sum).sum(),
        value => value.as_u64().unwrap_or_default(),
    }
}
