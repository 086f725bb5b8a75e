//! kill -9 at random moments: nothing acknowledged is lost, nothing is there twice.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use qw_testkit::{
    http, kills,
    quaywatch::{Quaywatch, sum_of},
    wait_for,
};

use crate::{check_conservation, falco_lines, once_each, server};

const BATCH: usize = 100;
const SOON: Duration = Duration::from_secs(120);

/// What a life of the server must have done before it is killed a random moment later.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    /// Taken a few events.
    Ingest,
    /// Sealed segments.
    Seal,
    /// Merged segments.
    Compaction,
}

/// What all lives together have been seen doing.
#[derive(Debug, Default)]
struct Seen {
    sealed: AtomicU64,
    compacted: AtomicU64,
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let kills = kills();
    // A simple generator suffices for moments; its seed is fixed, the machine's speed is not.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut next_batch, mut interrupted) = (0, 0);
    let seen = Seen::default();
    for life in 0..kills {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let until = [Until::Ingest, Until::Seal, Until::Compaction][life % 3];
        let moment = Duration::from_micros((random >> 33) % 200_000);
        let mut quaywatch = start(&data);
        next_batch = live_and_die(&mut quaywatch, next_batch, until, moment, &seen);
        interrupted += usize::from(has_unfinished_file(&data));
    }
    let (sealed, compacted) = (seen.sealed.into_inner(), seen.compacted.into_inner());
    assert!(
        sealed > 0 && compacted > 0,
        "{sealed} sealed, {compacted} merged"
    );

    let quaywatch = start(&data);
    // The batch that was on its way is sent again, as any sender would.
    assert!(send(quaywatch.falco, next_batch));
    let expected = (next_batch + 1) * BATCH;
    let context = format!(
        "after {kills} kills, {next_batch} batches, {sealed} segments sealed, {compacted} merged, \
         {interrupted} files left unfinished"
    );
    let stored = quaywatch.numbers("rule:A");
    let wrong: Vec<_> = (0..expected as u64)
        .map(|number| (number, stored.get(&number).copied().unwrap_or(0)))
        .filter(|(_, times)| *times != 1)
        .collect();
    assert!(wrong.is_empty(), "{context}: (number, times) {wrong:?}");
    assert_eq!(stored, once_each(0..expected), "{context}");
    assert_eq!(
        quaywatch.get("/api/events/histogram?start=now-24h")["total"],
        expected,
        "{context}"
    );
    check_conservation(&quaywatch);
    println!("{context}");
}

/// A server that seals and merges all the time, so that kills fall there, too.
fn start(data: &Path) -> Quaywatch {
    server()
        .data_dir(data)
        .configuration(
            "inventory: {docker: false}\nstore: {seal_events: 400, upkeep_every: 10ms}\n",
        )
        .start()
}

/// Sends batches until the server has done what it is to do, and kills it `moment` later, with a
/// sender still at work; the number of the next batch to send.
fn live_and_die(
    quaywatch: &mut Quaywatch,
    first_batch: usize,
    until: Until,
    moment: Duration,
    seen: &Seen,
) -> usize {
    let (falco, metrics) = (quaywatch.falco, quaywatch.metrics);
    let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut batch = first_batch;
            while !over.load(Relaxed) && send(falco, batch) {
                acknowledged.fetch_add(1, Relaxed);
                batch += 1;
            }
            batch
        });
        let (sealed, compacted) = wait_for("the server to do its work", SOON, || {
            let done = operations(metrics);
            let is_time = acknowledged.load(Relaxed) > 0
                && match until {
                    Until::Ingest => true,
                    Until::Seal => done.0 > 0,
                    Until::Compaction => done.1 > 0,
                };
            is_time.then_some(done)
        });
        seen.sealed.fetch_add(sealed, Relaxed);
        seen.compacted.fetch_add(compacted, Relaxed);
        std::thread::park_timeout(moment);
        quaywatch.kill();
        over.store(true, Relaxed);
        sender.join().unwrap()
    })
}

/// Segments sealed and segments merged by this process.
fn operations(metrics: SocketAddr) -> (u64, u64) {
    let text = http::request(metrics, "GET", "/metrics", &[], b"")
        .expect("metrics answer")
        .text();
    let count = |name: &str| sum_of(&text, "quaywatch_store_operations_total", name);
    (
        count("\"segments_sealed\""),
        count("\"segments_compacted\""),
    )
}

/// True when the kill fell while a segment was being written.
fn has_unfinished_file(data: &Path) -> bool {
    std::fs::read_dir(data.join("segments"))
        .unwrap()
        .flatten()
        .any(|entry| entry.path().extension().is_some_and(|is| is == "tmp"))
}

/// Sends one numbered batch; true when it was acknowledged.
fn send(falco: SocketAddr, batch: usize) -> bool {
    let lines = falco_lines("web", batch * BATCH..(batch + 1) * BATCH);
    let sequence = (batch + 1).to_string();
    let headers = [
        ("x-quaywatch-source", "kill-test"),
        ("x-quaywatch-epoch", "1"),
        ("x-quaywatch-sequence", sequence.as_str()),
    ];
    http::request(falco, "POST", "/", &headers, lines.as_bytes())
        .is_ok_and(|answer| answer.status == 200)
}
