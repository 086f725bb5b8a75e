//! The embedded store through its contract, and through crashes, faults and damage.

mod contract;
mod faults;
mod kill;
mod upkeep;

use std::path::Path;

use qw_event::{
    Batch, BatchId, Category, ContainerRef, Event, Position, Priority, RecordKind, SourceId,
    StoredEvent, Timestamp,
};
use serde_json::value::RawValue;

use crate::{Embedded, Options};

/// Sizes so small that a few hundred events exercise sealing, row groups and merging.
fn small() -> Options {
    Options {
        direct_events: 100,
        seal_events: 60,
        group_rows: 32,
        segment_events: 1_000,
        cache_files: 4,
        ..Options::default()
    }
}

fn open(directory: &Path) -> Embedded {
    Embedded::open(directory, small()).unwrap()
}

/// A directory in memory where there is one, for tests that commit thousands of times.
fn fast_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A batch of `count` events numbered from `first` on; its sequence is the number after the last.
fn numbered(first: u64, count: u64) -> Batch {
    let end = first + count;
    let event = |number: u64| Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(number as i64),
        source: "test".into(),
        rule: format!("rule {}", number % 7).into(),
        priority: Priority::from_number((number % 8) as u8).unwrap(),
        category: Category::from_number((number % 4) as u8).unwrap(),
        hostname: "node".into(),
        container: ContainerRef {
            id: format!("{:064x}", number % 11).into(),
            name: format!("container-{}", number % 11).into(),
            ..ContainerRef::default()
        }
        .into(),
        process_name: "counter".into(),
        tags: ["a".into(), format!("{}", number % 3).into()].into(),
        output: format!("event number {number}").into(),
        output_fields: RawValue::from_string(format!("{{\"number\":{number}}}")).unwrap(),
    };
    Batch {
        id: BatchId {
            source: SourceId::new("numbers"),
            epoch: 1,
            sequence: end,
        },
        position: Some(Position(end.to_string())),
        received: Timestamp::EPOCH,
        events: (first..end).map(event).collect(),
    }
}

/// The number in a numbered event.
fn number_of(stored: &StoredEvent) -> u64 {
    stored
        .event
        .output
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn ids(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|stored| stored.id.0).collect()
}
