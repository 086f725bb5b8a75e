//! kill -9 at random moments: a child process appends, seals, merges and drops; after each kill the
//! parent opens the store and finds every acknowledged event once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use qw_event::{EventId, SourceId, Timestamp};

use crate::{
    Appended, Kinds, RecordStore, Retention,
    conformance::Random,
    embedded::tests::{number_of, numbered, open},
};

const DIRECTORY: &str = "QUAYWATCH_KILL_TEST_DIRECTORY";

/// What the child does until it is killed: stores numbered events, tells which are acknowledged,
/// and repeats the newest batch now and then, as a source does that missed the acknowledgement.
fn child(directory: &Path) {
    let store = open(directory);
    let source = SourceId::new("numbers");
    let mut next = store
        .cursor(&source)
        .unwrap()
        .map_or(0, |cursor| cursor.sequence);
    let mut random = Random::new(next + 1);
    let mut output = std::io::stdout();
    loop {
        let count = *random.pick(&[1, 8, 30, 160]);
        let batch = numbered(next, count);
        next = batch.id.sequence;
        store.append(&mut vec![batch.clone()]).unwrap();
        writeln!(output, "acknowledged {next}").unwrap();
        output.flush().unwrap();
        if random.below(4) == 0 {
            let appended = store.append(&mut vec![batch]).unwrap();
            assert!(matches!(appended.as_slice(), [Appended::Duplicate]));
        }
        if random.below(3) == 0 {
            store
                .maintain(Timestamp::EPOCH, &Retention::default())
                .unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_or_repeated() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        child(Path::new(&directory));
        return;
    }
    let kills = std::env::var("QUAYWATCH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = std::env::var("QUAYWATCH_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut random = Random::new(seed.unwrap_or(1));
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..kills.unwrap_or(3) {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("embedded::tests::kill::killed_at_any_moment_nothing_is_lost_or_repeated")
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // A number of acknowledgements, then a moment measured by a spinning clock.
        for _ in 0..=random.below(120) {
            let line = lines
                .by_ref()
                .map_while(Result::ok)
                .find(|line| line.contains("acknowledged"));
            let Some(line) = line else {
                let mut error = String::new();
                process
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut error)
                    .unwrap();
                panic!("the child ended by itself: {error}");
            };
            acknowledged = line.rsplit(' ').next().unwrap().parse().unwrap();
        }
        let until = Instant::now() + Duration::from_micros(random.below(30_000));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            // A line the kill has cut off has no line end; its number may be cut as well.
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = acknowledged.max(number.parse().unwrap_or(0));
            }
        }
        verify(directory.path(), acknowledged, kill);
    }
}

fn verify(directory: &Path, acknowledged: u64, kill: u64) {
    let store = open(directory);
    let sequence = store
        .cursor(&SourceId::new("numbers"))
        .unwrap()
        .map_or(0, |cursor| cursor.sequence);
    assert!(
        sequence >= acknowledged,
        "kill {kill}: {acknowledged} acknowledged, at {sequence}"
    );
    let mut numbers = BTreeSet::new();
    let mut after = EventId(0);
    loop {
        let events = store.events_after(after, 10_000, Kinds::ALL).unwrap();
        let Some(last) = events.last() else { break };
        after = last.id;
        for stored in &events {
            assert!(
                numbers.insert(number_of(stored)),
                "kill {kill}: {} twice",
                number_of(stored)
            );
        }
    }
    // The source numbers its events without gaps, and its position commits with them.
    assert_eq!(
        numbers.len() as u64,
        sequence,
        "kill {kill}: every event up to the position"
    );
    assert!(
        numbers.iter().copied().eq(0..sequence),
        "kill {kill}: no event is missing"
    );
    assert_eq!(store.statistics().events, sequence);
    assert_eq!(store.statistics().counters["events_lost_total"], 0);
    let rules = store
        .rule_activity(crate::TimeRange::ALL, Kinds::ALL)
        .unwrap();
    assert_eq!(
        rules.iter().map(|rule| rule.count).sum::<u64>(),
        sequence,
        "roll-ups agree"
    );
}
