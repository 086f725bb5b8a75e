//! What a record costs, for the table of `docs/bench.md`. Run with `--release -- --ignored --nocapture`.

use std::{io::Read as _, net::TcpListener, sync::Arc};

use parking_lot::Mutex;
use qw_event::StoredEvent;
use serde_json::{Value, json};

use super::log::Stores;

const RECORDS: u64 = 1_000_000;
const BATCH: u64 = 1_000;

/// Seconds of CPU of this process.
fn cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn thread_cpu_seconds() -> f64 {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
#[ignore = "measures; needs an idle machine and a release build"]
fn cost_per_record() {
    for (name, to) in [
        ("syslog", json!({"type": "syslog", "tag": "{{.Name}}"})),
        ("json lines", json!({"type": "tcp_json"})),
        (
            "json lines, open",
            json!({"type": "tcp_json", "confirm": "written"}),
        ),
        ("gelf tcp", json!({"type": "gelf", "transport": "tcp"})),
        ("file", json!({"type": "file", "max_size": 0})),
    ] {
        measure(name, to);
    }
}

#[allow(clippy::print_stdout, reason = "the measurement is what it is run for")]
fn measure(name: &str, mut to: Value) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    if to["type"] == "file" {
        to["path"] = json!(folder.path().join("out.log"));
    } else {
        to["address"] = json!(listener.local_addr().unwrap().to_string());
    }
    let others = Arc::new(Mutex::new(0.0));
    let reader = Arc::clone(&others);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        for mut stream in listener.incoming().map_while(Result::ok) {
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                *reader.lock() = thread_cpu_seconds();
            }
        }
    });
    let stores = Stores::default();
    // Before the route begins, so that making records is not measured.
    let line = "x".repeat(96);
    let batches: Vec<Arc<[StoredEvent]>> = (0..RECORDS / BATCH)
        .map(|_| {
            stores.log.add(BATCH, |record| {
                record.event.output = format!("{} {line}", record.event.output).into();
            })
        })
        .collect();
    let empty = Stores::default();
    let forwarding = empty.start(json!([
        {"name": "r", "match": "container.name:web", "min_priority": "informational", "to": to},
    ]));
    let before = cpu_seconds() - *others.lock();
    for batch in &batches {
        forwarding.routes.committed(batch);
        // The window holds 64 MiB: what it forgets is not in the log of this test.
        forwarding.wait("r", "it keeps up", |status| {
            batch[0].id.0 < status.position.0 + 100_000
        });
    }
    forwarding.wait("r", "all is sent", |status| status.sent == RECORDS);
    let spent = cpu_seconds() - *others.lock() - before;
    println!(
        "{name}: {:.2} µs of CPU per record of 120 bytes, without the receiver",
        spent / RECORDS as f64 * 1e6
    );
    forwarding.stop();
}
