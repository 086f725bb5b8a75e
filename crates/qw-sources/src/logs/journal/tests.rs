//! Entries as dockerd and services write them, restarts in between, and `journalctl` itself.

use std::{path::Path, process::Command as Process};

use qw_event::{Event, Outcome, Timestamp};
use qw_pipeline::{SourceStatus, SourceStatuses};
use qw_testkit::skip_without;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::*;
use crate::harness::{DEADLINE, Harness};

const ID: &str = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";

fn status() -> Arc<SourceStatus> {
    SourceStatuses::default().register(&JournalSource::source_id(), "logs", "")
}

fn collector(with_containers: bool) -> Collector {
    Collector::new(None, 1000, with_containers, &JournalConfig::default())
}

/// Entries from text: a line per field, an empty one between two.
fn entries(text: &str) -> Vec<JournalEntry> {
    let mut found = Vec::new();
    let mut decoder = JournalDecoder::new(1000);
    decoder.push(text.as_bytes(), &mut |entry| found.push(entry.unwrap()));
    found
}

/// An entry of the driver `journald`.
fn docker(number: usize, priority: u8, text: &str, is_piece: bool) -> JournalEntry {
    let piece = if is_piece {
        "CONTAINER_PARTIAL_MESSAGE=true\n"
    } else {
        ""
    };
    entries(&format!(
        "__CURSOR=c{number}\n__REALTIME_TIMESTAMP=1795311519926943\n_UID=0\n_HOSTNAME=node-1\nPRIORITY={priority}\nCONTAINER_ID_FULL={ID}\nCONTAINER_NAME=/web\nCONTAINER_TAG=aaaabbbbcccc\nIMAGE_NAME=shop:1\n{piece}MESSAGE={text}\n\n"
    ))
    .remove(0)
}

fn fields(event: &Event) -> Value {
    serde_json::from_str(event.output_fields.get()).unwrap()
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.output).collect()
}

#[test]
fn entries_become_records() {
    let (mut collector, status) = (collector(true), status());
    let service = "__CURSOR=c0\n__REALTIME_TIMESTAMP=1795311519926943\n_SOURCE_REALTIME_TIMESTAMP=1795311519000001\n_HOSTNAME=node-1\n_UID=33\n_PID=42\n_SYSTEMD_UNIT=cron.service\nSYSLOG_IDENTIFIER=CRON\nSYSLOG_FACILITY=9\nPRIORITY=4\nJOB=nightly\nMESSAGE=late\n\n";
    for entry in entries(service) {
        collector.take(entry, &status, Timestamp::EPOCH);
    }
    collector.take(
        docker(1, 3, "level=error boom", false),
        &status,
        Timestamp::EPOCH,
    );
    let events = collector.take_events(&status, Timestamp::EPOCH);
    let [service, container] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(service.time.to_string(), "2026-11-22T01:38:39.000001Z");
    assert_eq!((&*service.source, &*service.rule), ("journal", "WARN"));
    assert_eq!(
        (&*service.container.name, &*service.container.id),
        ("host", "host")
    );
    assert_eq!(
        (&*service.process_name, &*service.hostname),
        ("CRON", "node-1")
    );
    assert_eq!(
        fields(service),
        serde_json::json!({"systemd.unit": "cron.service", "process.pid": 42, "journal.JOB": "nightly"})
    );
    assert_eq!(
        (&*container.container.id, &*container.container.name),
        (ID, "web")
    );
    assert_eq!(&*container.container.image, "shop:1");
    assert_eq!((&*container.source, &*container.rule), ("stderr", "ERROR"));
    assert_eq!(
        fields(container),
        serde_json::json!({"log.tag": "aaaabbbbcccc"})
    );
    let readers = collector.readers();
    assert_eq!(readers.len(), 2);
    assert!(
        readers
            .iter()
            .all(|reader| reader.way == "journal" && reader.lines == 1)
    );
}

#[test]
fn root_alone_speaks_for_containers() {
    let (mut collector, status) = (collector(true), status());
    let forged = format!(
        "__CURSOR=c\n__REALTIME_TIMESTAMP=1\n_UID=1000\n_COMM=evil\nCONTAINER_ID_FULL={ID}\nCONTAINER_NAME=web\nMESSAGE=x\n\n"
    );
    for entry in entries(&forged) {
        collector.take(entry, &status, Timestamp::EPOCH);
    }
    let events = collector.take_events(&status, Timestamp::EPOCH);
    assert_eq!(
        (&*events[0].container.id, &*events[0].container.name),
        ("host", "host")
    );
}

#[test]
fn containers_that_others_read_are_left_out() {
    let (mut collector, status) = (collector(false), status());
    collector.take(docker(1, 6, "x", false), &status, Timestamp::EPOCH);
    assert_eq!(
        texts(&collector.take_events(&status, Timestamp::EPOCH)),
        Vec::<&str>::new()
    );
    let filtered = status.snapshot().outcomes[Outcome::Filtered.index()];
    assert_eq!((filtered, status.snapshot().received), (1, 1));
    assert_eq!(collector.place().cursor(), Some("c1"));
}

#[test]
fn pieces_are_joined_across_restarts_and_nothing_comes_twice() {
    let journal = [
        docker(0, 6, "whole", false),
        docker(1, 6, "one ", true),
        docker(2, 3, "other", false),
        docker(3, 6, "two ", true),
        docker(4, 3, "begin ", true),
        docker(5, 6, "three", false),
        docker(6, 3, "end", false),
        docker(7, 6, "last", false),
    ];
    let expected = ["whole", "other", "one two three", "begin end", "last"];
    // Stopped behind any entry, and once more behind any later one.
    for first in 0..=journal.len() {
        for second in first..=journal.len() {
            let status = status();
            let mut found = Vec::new();
            let mut place = Place::default();
            let mut read = 0;
            for stop in [first, second, journal.len()] {
                let mut collector = collector(true);
                // As it is stored.
                place = serde_json::from_str(&serde_json::to_string(&place).unwrap()).unwrap();
                collector.resume(&place);
                // `journalctl` begins with the entry of the cursor.
                let begin = match place.cursor() {
                    Some(cursor) => cursor.trim_start_matches('c').parse().unwrap(),
                    None => 0,
                };
                assert!(begin <= read);
                for entry in journal.get(begin..stop).unwrap_or_default() {
                    collector.take(entry.clone(), &status, Timestamp::EPOCH);
                }
                read = stop;
                place = collector.place();
                found.extend(collector.take_events(&status, Timestamp::EPOCH));
            }
            assert_eq!(
                texts(&found),
                expected,
                "stopped behind {first} and {second}"
            );
            assert!(found.iter().all(|event| event.tags.is_empty()));
        }
    }
}

#[test]
fn entries_that_were_thrown_away_are_a_gap() {
    let (mut collector, status) = (collector(true), status());
    collector.take(docker(1, 6, "a", false), &status, Timestamp::EPOCH);
    let place = collector.place();
    collector.resume(&place);
    collector.take(docker(5, 6, "b", false), &status, Timestamp::EPOCH);
    let events = collector.take_events(&status, Timestamp::EPOCH);
    assert_eq!(texts(&events).len(), 3);
    assert_eq!(fields(&events[1])["log.gap.reason"], "vacuumed");
    assert_eq!(collector.readers()[0].gaps, 1);
}

#[test]
fn pieces_that_never_end_are_bounded() {
    let (mut collector, status) = (collector(true), status());
    for number in 0..500 {
        let id = format!("{number:064}");
        let text = format!(
            "__CURSOR=c{number}\n__REALTIME_TIMESTAMP=1\n_UID=0\nCONTAINER_ID_FULL={id}\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=x\n\n"
        );
        for entry in entries(&text) {
            collector.take(entry, &status, Timestamp::EPOCH);
        }
    }
    let came = collector.take_events(&status, Timestamp::EPOCH).len();
    assert_eq!(came, 500 - 64, "the oldest are given up, not lost");
    let long = Timestamp::from_seconds(3600);
    collector.flush(long);
    assert_eq!(collector.take_events(&status, long).len(), 64);
}

fn start(harness: &Harness, source: JournalSource) -> (CancellationToken, JoinHandle<()>) {
    let intake = harness.intake("logs:journal");
    harness.settle("logs:journal");
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move { Box::new(source).run(intake, stopped).await.unwrap() });
    (stop, task)
}

async fn wait_for_error(harness: &Harness) -> String {
    let start = std::time::Instant::now();
    loop {
        if let Some((_, error)) = harness.snapshot("logs:journal").last_error {
            return error;
        }
        assert!(start.elapsed() < DEADLINE, "no error was told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_named() {
    let harness = Harness::start();
    let mut source = JournalSource::new(JournalConfig::default(), None, 1000, true);
    source.program = PathBuf::from("journalctl-is-not-here");
    let (stop, task) = start(&harness, source);
    let error = wait_for_error(&harness).await;
    assert!(
        error.contains("no program `journalctl-is-not-here`"),
        "{error}"
    );
    let snapshot = harness.snapshot("logs:journal");
    assert_eq!(snapshot.state, SourceState::Waiting);
    assert_eq!(snapshot.readers[0].last_error.as_deref(), Some(&*error));
    stop.cancel();
    task.await.unwrap();
}

/// Where Debian's package `systemd-journal-remote` puts its program, which is on nobody's path.
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Writes a journal file with these entries.
fn write_journal(folder: &Path, name: &str, export: &str) {
    let input = folder.join("export");
    fs_err::write(&input, export).unwrap();
    let journal = folder.join("journal");
    fs_err::create_dir_all(&journal).unwrap();
    let made = Process::new(REMOTE)
        .arg("--output")
        .arg(journal.join(name))
        .arg(&input)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_of_all_boots_are_read_once() {
    if !Path::new(REMOTE).exists() && skip_without("systemd-journal-remote") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let boot = |digit: char, lines: std::ops::Range<u64>| -> String {
        let boot = String::from(digit).repeat(32);
        let mut entries = String::new();
        for line in lines {
            let time = 1_795_311_519_000_000 + line;
            entries.push_str(&format!("__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={line}\n_BOOT_ID={boot}\n_UID=0\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\nMESSAGE=line {line}\n\n"));
        }
        entries
    };
    write_journal(folder.path(), "one.journal", &boot('a', 0..50));
    let harness = Harness::start();
    let source = || {
        let config = JournalConfig {
            directory: Some(folder.path().join("journal")),
            ..JournalConfig::default()
        };
        JournalSource::new(config, None, 1000, true)
    };
    let (stop, task) = start(&harness, source());
    harness.store.wait_for(50);
    stop.cancel();
    task.await.unwrap();
    // The host was restarted meanwhile, and then once more.
    write_journal(folder.path(), "two.journal", &boot('b', 50..80));
    write_journal(folder.path(), "three.journal", &boot('c', 80..100));
    let (stop, task) = start(&harness, source());
    let events = harness.store.wait_for(100);
    let expected: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
    assert_eq!(texts(&events), expected);
    harness.check_conservation("logs:journal");
    stop.cancel();
    task.await.unwrap();

    // A folder without a journal is told with what `journalctl` says.
    let config = JournalConfig {
        directory: Some(folder.path().join("nothing")),
        ..JournalConfig::default()
    };
    let (stop, task) = start(&harness, JournalSource::new(config, None, 1000, true));
    let error = wait_for_error(&harness).await;
    assert!(
        error.contains("`journalctl` ended") && error.contains("nothing"),
        "{error}"
    );
    stop.cancel();
    task.await.unwrap();
}

#[test]
fn what_selects_entries_is_checked() {
    let check = |matches: &[&str], expected: bool| {
        let config = JournalConfig {
            matches: matches.iter().map(|text| (*text).to_owned()).collect(),
            ..JournalConfig::default()
        };
        assert_eq!(config.check().is_ok(), expected, "{matches:?}");
    };
    check(&[], true);
    check(&["_TRANSPORT=kernel", "A1="], true);
    check(&["--file=/etc/shadow"], false);
    check(&["=x"], false);
    check(&["+"], false);
}
