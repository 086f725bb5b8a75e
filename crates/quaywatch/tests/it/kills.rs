//! kill -9 at random moments: nothing acknowledged is lost, nothing is there twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use qw_testkit::{http, scale};

use crate::{falco_line, server};

const BATCH: usize = 400;

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let kills = scale("QUAYWATCH_KILLS", 5);
    let mut next_batch = 0;
    // A simple generator suffices for moments; its seed is fixed, the machine's speed is not.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..kills {
        let mut quaywatch = server().data_dir(&data).start();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let alive_for = Duration::from_millis(100 + (random >> 33) % 1_400);
        let falco = quaywatch.falco;
        let over = Arc::new(AtomicBool::new(false));
        let sender = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let mut batch = next_batch;
                while !over.load(Ordering::Relaxed) {
                    if send(falco, batch) {
                        batch += 1;
                    } else {
                        break;
                    }
                }
                batch
            }
        });
        std::thread::park_timeout(alive_for);
        quaywatch.kill();
        over.store(true, Ordering::Relaxed);
        next_batch = sender.join().unwrap();
    }

    let quaywatch = server().data_dir(&data).start();
    // The batch that was on its way is sent again, as any sender would.
    assert!(send(quaywatch.falco, next_batch));
    let expected = (next_batch + 1) * BATCH;
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/events?limit=1000&start=now-2h&cursor={cursor}"
        ));
        for event in page["items"].as_array().into_iter().flatten() {
            *seen
                .entry(event["output_fields"]["number"].as_u64().unwrap())
                .or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let doubled = seen.values().filter(|count| **count > 1).count();
    assert_eq!(
        (seen.len(), doubled),
        (expected, 0),
        "after {kills} kills and {next_batch} batches"
    );
    assert_eq!(
        quaywatch.get("/api/events/histogram?start=now-2h")["total"],
        expected
    );
}

/// Sends one numbered batch; true when it was acknowledged.
fn send(falco: std::net::SocketAddr, batch: usize) -> bool {
    let lines: Vec<String> = (0..BATCH)
        .map(|number| falco_line("web", batch * BATCH + number, "A", "Notice"))
        .collect();
    let sequence = (batch + 1).to_string();
    let headers = [
        ("x-quaywatch-source", "kill-test"),
        ("x-quaywatch-epoch", "1"),
        ("x-quaywatch-sequence", sequence.as_str()),
    ];
    http::request(falco, "POST", "/", &headers, lines.join("\n").as_bytes())
        .is_ok_and(|answer| answer.status == 200)
}
