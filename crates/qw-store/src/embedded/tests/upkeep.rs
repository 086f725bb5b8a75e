//! Sealing, merging, retention and reopening, beyond what the contract says.

use std::{collections::BTreeSet, thread, time::Duration};

use fs_err as fs;
use qw_event::{EventId, Timestamp};

use crate::{
    Embedded, EventQuery, Kinds, Options, Order, RecordStore, Retention, TimeRange,
    embedded::{
        format::SCHEMA,
        tests::{fast_directory, ids, numbered, open, small},
    },
    query::{Filter, parse},
};

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn reopened_store_has_the_same_events() {
    let directory = fast_directory();
    let store = open(directory.path());
    store.append(&mut vec![numbered(0, 30)]).unwrap();
    store.append(&mut vec![numbered(30, 150)]).unwrap();
    store.append(&mut vec![numbered(180, 20)]).unwrap();
    let before = store.events_after(EventId(0), 1000, Kinds::ALL).unwrap();
    let statistics = store.statistics();
    assert_eq!((statistics.hot_events, statistics.segments), (50, 1));
    drop(store);
    let store = open(directory.path());
    assert_eq!(
        store.events_after(EventId(0), 1000, Kinds::ALL).unwrap(),
        before
    );
    assert_eq!(store.last_id(), EventId(200));
    store.append(&mut vec![numbered(200, 1)]).unwrap();
    assert_eq!(store.last_id(), EventId(201));
    let statistics = store.statistics();
    assert_eq!(
        (statistics.oldest, statistics.newest),
        (Some(seconds(0)), Some(seconds(200)))
    );
    assert!(statistics.segment_bytes > 0 && statistics.catalogue_bytes > 0);
}

#[test]
fn hot_tail_is_sealed_by_number_by_age_and_by_append() {
    let directory = fast_directory();
    let store = open(directory.path());
    let sealed = |now| store.maintain(now, &Retention::default()).unwrap().sealed;
    store.append(&mut vec![numbered(0, 59)]).unwrap();
    assert_eq!(sealed(seconds(100)), 0);
    store.append(&mut vec![numbered(59, 1)]).unwrap();
    assert_eq!(sealed(seconds(100)), 1);
    store.append(&mut vec![numbered(60, 1)]).unwrap();
    assert_eq!(sealed(seconds(60 + 3600)), 0);
    assert_eq!(sealed(seconds(61 + 3600)), 1);
    assert_eq!(store.statistics().hot_events, 0);
    // Without maintenance the hot tail stays bounded all the same.
    for start in 1..10 {
        store.append(&mut vec![numbered(start * 90, 90)]).unwrap();
    }
    assert!(store.statistics().hot_events <= 2 * 100 + 90);
}

#[test]
fn merging_makes_few_large_segments_and_loses_nothing() {
    let directory = fast_directory();
    let store = open(directory.path());
    let mut merged = 0;
    for round in 0..60_u64 {
        // Now a dense segment, now a sparse one.
        let count = if round % 2 == 0 { 128 } else { 10 };
        let next = store.last_id().0;
        store.append(&mut vec![numbered(next, count)]).unwrap();
        store.seal().unwrap();
        if round % 5 == 0 {
            merged += store
                .maintain(seconds(0), &Retention::default())
                .unwrap()
                .compacted;
        }
    }
    merged += store
        .maintain(seconds(0), &Retention::default())
        .unwrap()
        .compacted;
    let statistics = store.statistics();
    assert!(
        merged > 50 && statistics.segments < 20,
        "{merged} merged, {statistics:?}"
    );
    let last = store.last_id().0;
    let check = |store: &Embedded| {
        assert_eq!(
            ids(&store.events_after(EventId(0), 10_000, Kinds::ALL).unwrap()),
            (1..=last).collect::<Vec<_>>()
        );
        for text in [
            "container-3",
            "number:77",
            "container.name:container-5 and rule:\"rule 2\"",
        ] {
            let query = EventQuery {
                kinds: Kinds::ALL,
                range: TimeRange::ALL,
                filter: parse(text).unwrap(),
                order: Order::NewestFirst,
                after: None,
                limit: 10_000,
                budget: Duration::MAX,
            };
            let everything = store.events_after(EventId(0), 10_000, Kinds::ALL).unwrap();
            let mut expected: Vec<_> = everything
                .into_iter()
                .filter(|stored| query.filter.matches(&stored.event))
                .collect();
            expected.reverse();
            assert!(!expected.is_empty());
            assert_eq!(store.events(&query).unwrap().events, expected, "{text}");
        }
    };
    check(&store);
    drop(store);
    let store = open(directory.path());
    check(&store);
    let files = fs::read_dir(directory.path().join("segments"))
        .unwrap()
        .count();
    assert_eq!(files as u64, store.statistics().segments);
    // What has been merged up to its bounds is left alone.
    assert_eq!(
        store
            .maintain(seconds(0), &Retention::default())
            .unwrap()
            .compacted,
        0
    );
}

#[test]
fn retention_drops_whole_segments_by_age_and_by_size() {
    let directory = fast_directory();
    let options = Options {
        segment_span: Duration::from_secs(200),
        ..small()
    };
    let store = Embedded::open(directory.path(), options).unwrap();
    for start in 0..10 {
        store.append(&mut vec![numbered(start * 200, 200)]).unwrap();
    }
    let retention = |seconds| Retention {
        max_age: Some(Duration::from_secs(seconds)),
        ..Retention::default()
    };
    let done = store.maintain(seconds(2000), &retention(1401)).unwrap();
    assert_eq!((done.dropped_segments, done.dropped_events), (2, 400));
    assert_eq!(store.statistics().oldest, Some(seconds(400)));
    assert_eq!(store.event(EventId(400)).unwrap(), None);
    assert!(store.event(EventId(401)).unwrap().is_some());
    let counted: u64 = store
        .rule_activity(TimeRange::ALL, Kinds::ALL)
        .unwrap()
        .iter()
        .map(|rule| rule.count)
        .sum();
    assert_eq!(counted, 1600);
    let statistics = store.statistics();
    let segment = statistics.segment_bytes / statistics.segments;
    let max = statistics.catalogue_bytes + statistics.segment_bytes - 2 * segment;
    let retention = Retention {
        max_size_bytes: Some(max),
        ..Retention::default()
    };
    let done = store.maintain(seconds(2000), &retention).unwrap();
    assert!((2..=4).contains(&done.dropped_segments), "{done:?}");
    assert_eq!(store.statistics().events, 1600 - done.dropped_events);
    let files = fs::read_dir(directory.path().join("segments"))
        .unwrap()
        .count();
    assert_eq!(files as u64, store.statistics().segments);
}

#[test]
fn queries_and_appends_go_on_during_maintenance() {
    let directory = fast_directory();
    let store = open(directory.path());
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..80 {
                let next = store.last_id().0;
                store
                    .append(&mut vec![numbered(next, 40 + next % 100)])
                    .unwrap();
            }
        });
        let keeper = scope.spawn(|| {
            while store.last_id().0 < 3000 {
                store.maintain(seconds(0), &Retention::default()).unwrap();
            }
        });
        while !writer.is_finished() || !keeper.is_finished() {
            let last = store.last_id().0;
            let events = store.events_after(EventId(0), 10_000, Kinds::ALL).unwrap();
            assert!(
                events.len() as u64 >= last,
                "a reader never misses an event"
            );
            let unique: BTreeSet<u64> = ids(&events).into_iter().collect();
            assert_eq!(
                unique.len(),
                events.len(),
                "a reader never sees an event twice"
            );
        }
    });
    let statistics = store.statistics();
    assert_eq!(statistics.counters["segments_damaged_total"], 0);
    assert_eq!(statistics.events, store.last_id().0);
}

#[test]
fn blooms_and_lists_keep_segments_and_row_groups_unread() {
    let directory = fast_directory();
    let store = open(directory.path());
    for start in 0..8 {
        store.append(&mut vec![numbered(start * 128, 128)]).unwrap();
    }
    let read = |text: &str| {
        let before = store.statistics().counters["row_groups_read_total"];
        let query = EventQuery {
            kinds: Kinds::ALL,
            range: TimeRange::ALL,
            filter: parse(text).unwrap(),
            order: Order::NewestFirst,
            after: None,
            limit: 100,
            budget: Duration::MAX,
        };
        let found = store.events(&query).unwrap().events.len();
        (
            found,
            store.statistics().counters["row_groups_read_total"] - before,
        )
    };
    assert_eq!(read("nowhere"), (0, 0));
    assert_eq!(read("container:nowhere"), (0, 0));
    let (found, groups) = read("number:517");
    assert!(
        found == 1 && groups <= 2,
        "{groups} row groups read for one number"
    );
    let (found, groups) = read("517");
    assert!(
        found == 1 && groups <= 2,
        "{groups} row groups read for one word"
    );
    assert!(store.statistics().counters["row_groups_skipped_total"] > 0);
    assert_eq!(
        store
            .events(&EventQuery {
                kinds: Kinds::ALL,
                range: TimeRange {
                    start: seconds(500),
                    end: seconds(510)
                },
                filter: Filter::everything(),
                order: Order::NewestFirst,
                after: None,
                limit: 100,
                budget: Duration::MAX,
            })
            .unwrap()
            .events
            .len(),
        10
    );
}

/// One event from the year 2116 keeps neither its segment nor what is merged with it.
#[test]
fn events_from_the_future_age_as_of_when_they_were_received() {
    let directory = fast_directory();
    let store = open(directory.path());
    let future = seconds(4_600_000_000);
    for (index, (first, count)) in [(0, 150), (150, 30), (180, 30), (210, 150)]
        .into_iter()
        .enumerate()
    {
        let mut batch = numbered(first, count);
        batch.received = seconds((first + count) as i64);
        batch.events[0].time = future;
        batch.events[0].container = qw_event::ContainerRef {
            id: format!("of the future {index}").into(),
            ..qw_event::ContainerRef::default()
        }
        .into();
        store.append(&mut vec![batch]).unwrap();
    }
    drop(store);
    // The hot tail and the segments know it again after a start.
    let store = open(directory.path());
    let forever = Retention::default();
    store.maintain(seconds(400), &forever).unwrap();
    assert_eq!(store.statistics().events, 360);
    assert_eq!(store.statistics().newest, Some(future));
    let retention = Retention {
        max_age: Some(Duration::from_secs(100)),
        ..Retention::default()
    };
    let done = store.maintain(seconds(250), &retention).unwrap();
    assert_eq!(done.dropped_events, 0, "the oldest are 100 seconds old");
    let done = store.maintain(seconds(460), &retention).unwrap();
    assert_eq!(done.dropped_events, 210);
    let done = store.maintain(seconds(461), &retention).unwrap();
    assert_eq!(done.dropped_events, 150);
    assert_eq!(
        store
            .container_activity(TimeRange::ALL, Kinds::ALL)
            .unwrap(),
        []
    );
    assert!(store.names().containers.is_empty(), "{:?}", store.names());
    store.append(&mut vec![numbered(400, 10)]).unwrap();
    assert_eq!(
        store
            .container_activity(TimeRange::ALL, Kinds::ALL)
            .unwrap()
            .len(),
        10
    );
}

/// Trigrams keep row groups unread in which a part of a word does not occur.
#[test]
fn parts_of_words_that_do_not_occur_are_not_searched() {
    let directory = fast_directory();
    let store = open(directory.path());
    for start in 0..4 {
        let mut batch = numbered(start * 128, 128);
        if start == 2 {
            batch.events[5].output = "the tail of a Kangaroo".into();
        }
        store.append(&mut vec![batch]).unwrap();
    }
    store.maintain(seconds(0), &Retention::default()).unwrap();
    let read = |text: &str| {
        let before = store.statistics().counters["row_groups_read_total"];
        let query = EventQuery {
            kinds: Kinds::ALL,
            range: TimeRange::ALL,
            filter: parse(text).unwrap(),
            order: Order::NewestFirst,
            after: None,
            limit: 1000,
            budget: Duration::MAX,
        };
        let found = store.events(&query).unwrap().events.len();
        let after = store.statistics().counters["row_groups_read_total"];
        (found, after - before)
    };
    assert_eq!(read("*allaby*"), (0, 0));
    assert_eq!(read("*ANGAR*"), (1, 1));
    assert_eq!(read("output:*angar*"), (1, 1));
    assert_eq!(read("*angar* or *allaby*"), (1, 1));
    assert_eq!(read("*angar* and *event num*"), (0, 1));
    assert_eq!(read("*angar* and *allaby*"), (0, 0));
    assert_eq!(read("*vent num*").0, 511);
    assert_eq!(read("*12*").0, read("output:*12*").0);
}

/// Facets of whole segments are remembered and forgotten with the segments.
#[test]
fn totals_follow_the_segments() {
    let directory = fast_directory();
    let store = open(directory.path());
    for start in 0..6 {
        store.append(&mut vec![numbered(start * 150, 150)]).unwrap();
    }
    let ask = |end: i64| {
        let query = crate::FacetQuery {
            kinds: Kinds::ALL,
            range: TimeRange {
                start: seconds(0),
                end: seconds(end),
            },
            filter: Filter::everything(),
            fields: vec!["proc.name".into(), "priority".into(), "hostname".into()],
            limit: 10,
            budget: Duration::MAX,
        };
        let facets = store.facets(&query).unwrap();
        assert!(facets.complete);
        facets.facets[0].values[0].count
    };
    let bytes = || store.statistics().counters["segment_totals_bytes"];
    assert_eq!(bytes(), 0);
    assert_eq!(
        (ask(900), ask(900), ask(149), ask(450)),
        (900, 900, 149, 450)
    );
    assert!(bytes() > 0);
    store.maintain(seconds(0), &Retention::default()).unwrap();
    assert_eq!(ask(900), 900);
    let retention = Retention {
        max_age: Some(Duration::ZERO),
        ..Retention::default()
    };
    store.maintain(seconds(10_000), &retention).unwrap();
    assert_eq!(bytes(), 0);
}

/// The columns that other programs read by name; a change is a new version of the format.
#[test]
fn schema_of_segments_is_fixed() {
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, &SCHEMA);
    expect_test::expect![[r"
        message event {
          REQUIRED INT64 id (INTEGER(64,false));
          REQUIRED INT64 time (TIMESTAMP(NANOS,true));
          REQUIRED INT32 priority (INTEGER(8,false));
          REQUIRED BYTE_ARRAY category (STRING);
          REQUIRED BYTE_ARRAY source (STRING);
          REQUIRED BYTE_ARRAY rule (STRING);
          REQUIRED BYTE_ARRAY hostname (STRING);
          REQUIRED BYTE_ARRAY container_id (STRING);
          REQUIRED BYTE_ARRAY container_name (STRING);
          REQUIRED BYTE_ARRAY container_image (STRING);
          REQUIRED BYTE_ARRAY container_image_repository (STRING);
          REQUIRED BYTE_ARRAY container_image_tag (STRING);
          REQUIRED BYTE_ARRAY container_image_digest (STRING);
          REQUIRED BYTE_ARRAY compose_project (STRING);
          REQUIRED BYTE_ARRAY compose_service (STRING);
          REQUIRED BYTE_ARRAY k8s_namespace (STRING);
          REQUIRED BYTE_ARRAY k8s_pod (STRING);
          REQUIRED BYTE_ARRAY process_name (STRING);
          REQUIRED BYTE_ARRAY tags (JSON);
          REQUIRED BYTE_ARRAY output (STRING);
          REQUIRED BYTE_ARRAY output_fields (JSON);
        }
    "]]
    .assert_eq(&String::from_utf8(text).unwrap());
}
