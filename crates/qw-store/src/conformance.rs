//! What every store must do, checked against a model that keeps everything in a list.
//!
//! [`run`] and [`run_state`] are called by the tests of each implementation. Events, batches and
//! questions come from a generator with fixed seeds, so a failure comes again; its message names
//! the seed.

mod model;
mod sample;

use std::{collections::BTreeMap, time::Duration};

use qw_event::{Batch, BatchId, EventId, Position, SourceId, Timestamp};

pub use self::sample::{Random, Sampler};
use crate::{
    Appended, EventQuery, FacetQuery, HistogramQuery, KeyRange, Kinds, LogRetention, Order,
    PageCursor, RecordStore, Retention, SourceCursor, StateChange, StateStore, StoreError,
    TimeRange,
    conformance::model::Model,
    query::{Filter, parse},
};

/// Long enough for any answer.
const BUDGET: Duration = Duration::from_secs(600);
/// When the events of the tests begin: 2026-11-21T09:00:00Z.
const START: Timestamp = Timestamp::from_seconds(1_795_251_600);

/// Questions of every kind that the query language knows.
const QUERIES: [&str; 44] = [
    "*",
    "priority>=Warning",
    "priority:(Notice or Debug)",
    "category:network",
    "rule:\"Terminal shell in container\"",
    "container:web-1",
    "container.name:db-*",
    "not container:host",
    "container:web-1 and priority>=Error",
    "container:web-1 or rule:\"Read sensitive file untrusted\"",
    "not rule:\"Terminal shell in container\" and category:process",
    "rule:\"No such rule\"",
    "proc.name:bash",
    "hostname:node-2",
    "tags:mitre_execution",
    "fd.name:/etc/shadow",
    "user.uid>1000",
    "shadow",
    "\"spawned a shell\"",
    "spawn*",
    "größe",
    "nowhere-to-be-found",
    "time>=2026-11-21T09:30:00Z",
    "evt.type:open* and not user.name:root",
    "*hado*",
    "*HELL in*",
    "*rö*",
    "*zzunknow*",
    "fd.name:(*tc/sh* or *passw*)",
    "proc.name:*as* or *assw*",
    "kind:log",
    "-kind:log and container:web-1",
    "kind:event or level:error",
    "level:(warning or critical)",
    "severity_text:* and priority<=Warning",
    "log.iostream:stderr",
    "body:*timeout*",
    "rule:INFO and container:web-1",
    "status:500",
    "status>=400 and container:web-1",
    "path:/api/*",
    "message:\"größe\ttab\"",
    "took:1200",
    "user:ann or user.name:ann",
];

/// Checks a store of events. `open` opens an empty one each time it is called.
///
/// # Panics
/// When the store does anything but what the contract says.
pub fn run(open: &dyn Fn() -> Box<dyn RecordStore>) {
    an_empty_store_answers(&*open());
    repeated_batches_are_stored_once(&*open());
    positions_are_kept(&*open());
    pages_stay_whole_while_events_arrive(&*open());
    a_tiny_budget_still_finds_everything(&*open());
    for seed in 1..=3 {
        answers_equal_the_model(&*open(), seed);
    }
    retention_drops_the_oldest(&*open());
    logs_have_their_own_bounds(&*open());
}

fn batch(source: &str, epoch: u64, sequence: u64, events: Vec<qw_event::Event>) -> Batch {
    Batch {
        id: BatchId {
            source: SourceId::new(source),
            epoch,
            sequence,
        },
        position: Some(Position(format!("{epoch}/{sequence}"))),
        received: START,
        events,
    }
}

fn append(store: &dyn RecordStore, batches: Vec<Batch>) -> Vec<Appended> {
    let mut batches = batches;
    let appended = store.append(&mut batches).expect("append");
    assert!(batches.is_empty(), "append leaves batches behind");
    appended
}

fn everything(order: Order, limit: usize) -> EventQuery {
    EventQuery {
        range: TimeRange::ALL,
        kinds: Kinds::ALL,
        filter: Filter::everything(),
        order,
        after: None,
        limit,
        budget: BUDGET,
    }
}

/// All events a query selects, page by page.
fn all_pages(store: &dyn RecordStore, query: &EventQuery) -> Vec<qw_event::StoredEvent> {
    let mut query = query.clone();
    let mut events = Vec::new();
    loop {
        let page = store.events(&query).expect("a page");
        assert!(
            page.events.len() <= query.limit,
            "a page is longer than asked for"
        );
        events.extend(page.events);
        let Some(next) = page.next else { return events };
        assert_ne!(Some(next), query.after, "a page leads to itself");
        let text = next.to_string();
        query.after = Some(text.parse::<PageCursor>().expect("a cursor reads back"));
    }
}

fn an_empty_store_answers(store: &dyn RecordStore) {
    assert_eq!(store.last_id(), EventId(0));
    assert_eq!(
        store.cursor(&SourceId::new("nobody")).expect("a cursor"),
        None
    );
    let page = store
        .events(&everything(Order::NewestFirst, 10))
        .expect("a page");
    assert!(page.events.is_empty() && page.next.is_none() && page.complete);
    assert_eq!(store.event(EventId(1)).expect("no event"), None);
    assert!(
        store
            .events_after(EventId(0), 10, Kinds::ALL)
            .expect("no events")
            .is_empty()
    );
    assert!(
        store
            .container_activity(TimeRange::ALL, Kinds::ALL)
            .expect("no activity")
            .is_empty()
    );
    assert!(
        store
            .rule_activity(TimeRange::ALL, Kinds::ALL)
            .expect("no activity")
            .is_empty()
    );
    assert!(store.maintain(START, &Retention::default()).is_ok());
    let statistics = store.statistics();
    assert_eq!((statistics.events, statistics.logs.lines), (0, 0));
    assert!(append(store, Vec::new()).is_empty());
    for limit in [0, 10_001] {
        assert!(
            store
                .events(&everything(Order::NewestFirst, limit))
                .is_err(),
            "limit {limit}"
        );
    }
}

fn repeated_batches_are_stored_once(store: &dyn RecordStore) {
    let mut sampler = Sampler::new(7);
    let mut events = |count| sampler.events(START, Duration::from_secs(1), count);
    let first = append(
        store,
        vec![batch("a", 1, 1, events(3)), batch("b", 1, 1, events(2))],
    );
    let numbers: Vec<u64> = first
        .iter()
        .flat_map(|appended| match appended {
            Appended::Stored(events) => events.iter().map(|stored| stored.id.0).collect(),
            Appended::Duplicate => Vec::new(),
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "numbers follow one another");
    let again = append(
        store,
        vec![
            batch("a", 1, 1, events(3)),
            batch("a", 1, 2, events(1)),
            batch("a", 1, 2, events(1)),
            batch("a", 2, 1, events(1)),
            batch("a", 1, 1, events(1)),
        ],
    );
    let stored: Vec<bool> = again
        .iter()
        .map(|appended| matches!(appended, Appended::Stored(_)))
        .collect();
    assert_eq!(stored, [false, true, false, true, false]);
    assert_eq!(store.last_id(), EventId(7));
    assert_eq!(
        all_pages(store, &everything(Order::OldestFirst, 3)).len(),
        7
    );
}

fn positions_are_kept(store: &dyn RecordStore) {
    let source = SourceId::new("a");
    let cursor = |epoch, sequence, position: Option<&str>| {
        let position = position.map(|position| Position(position.to_owned()));
        Some(SourceCursor {
            epoch,
            sequence,
            position,
        })
    };
    let mut without = batch("a", 3, 9, Vec::new());
    without.position = None;
    append(store, vec![without]);
    assert_eq!(store.cursor(&source).expect("a cursor"), cursor(3, 9, None));
    append(store, vec![batch("a", 3, 10, Vec::new())]);
    assert_eq!(
        store.cursor(&source).expect("a cursor"),
        cursor(3, 10, Some("3/10"))
    );
    let mut without = batch("a", 4, 1, Vec::new());
    without.position = None;
    append(store, vec![without]);
    assert_eq!(
        store.cursor(&source).expect("a cursor"),
        cursor(4, 1, Some("3/10"))
    );
    append(store, vec![batch("a", 3, 10, Vec::new())]);
    assert_eq!(
        store.cursor(&source).expect("a cursor"),
        cursor(4, 1, Some("3/10"))
    );

    let mut huge = batch(
        "a",
        4,
        2,
        Sampler::new(1).events(START, Duration::from_secs(1), 2),
    );
    huge.position = Some(Position("x".repeat((64 << 10) + 1)));
    let mut batches = vec![huge];
    let error = store
        .append(&mut batches)
        .expect_err("a huge position is refused");
    assert!(matches!(error, StoreError::TooLarge { .. }) && !error.is_retryable());
    assert!(
        batches.len() == 1 && batches[0].events.len() == 2,
        "a refused batch stays whole"
    );
}

fn pages_stay_whole_while_events_arrive(store: &dyn RecordStore) {
    let mut sampler = Sampler::new(11);
    let step = Duration::from_millis(700);
    append(
        store,
        vec![batch("a", 1, 1, sampler.events(START, step, 300))],
    );
    let expected = all_pages(store, &everything(Order::NewestFirst, 1000));
    assert_eq!(expected.len(), 300);
    let mut query = everything(Order::NewestFirst, 37);
    let mut seen = Vec::new();
    for sequence in 2.. {
        let page = store.events(&query).expect("a page");
        seen.extend(page.events);
        let Some(next) = page.next else { break };
        query.after = Some(next);
        let later = START.saturating_add(Duration::from_secs(1000 * sequence));
        append(
            store,
            vec![batch("a", 1, sequence, sampler.events(later, step, 60))],
        );
        store
            .maintain(later, &Retention::default())
            .expect("maintenance");
    }
    assert_eq!(
        seen, expected,
        "events that arrive later change the pages of a listing"
    );
}

fn a_tiny_budget_still_finds_everything(store: &dyn RecordStore) {
    let mut sampler = Sampler::new(13);
    for sequence in 1..=20 {
        // Sources that run behind one another, so that what is stored overlaps in time.
        let start = START.saturating_add(Duration::from_secs(sequence % 4 * 50));
        let events = sampler.events(start, Duration::from_millis(800), 80);
        append(store, vec![batch("a", 1, sequence, events)]);
        store
            .maintain(START, &Retention::default())
            .expect("maintenance");
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        for text in ["*", "shadow", "container:web-1"] {
            let mut query = everything(order, 50);
            query.filter = filter(text);
            let expected = all_pages(store, &query);
            query.budget = Duration::ZERO;
            assert_eq!(all_pages(store, &query), expected, "{text}, {order:?}");
        }
    }
}

fn filter(text: &str) -> Filter {
    parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn answers_equal_the_model(store: &dyn RecordStore, seed: u64) {
    let mut random = Random::new(seed);
    let mut sampler = Sampler::new(seed);
    let mut model = Model::default();
    let mut sequences: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..12_u64 {
        let mut batches = Vec::new();
        for _ in 0..random.below(4) {
            let source = *random.pick(&["docker:falco", "http", "logs:web", "logs:db", "mixed"]);
            let sequence = sequences.entry(source).or_default();
            *sequence += 1;
            let count = *random.pick(&[0, 1, 7, 40, 130]);
            let start = START.saturating_add(Duration::from_secs(round * 400 + random.below(900)));
            let step = Duration::from_millis(random.below(4000));
            let records = match source {
                "mixed" => sampler.records(start, step, count),
                logs if logs.starts_with("logs:") => sampler.lines(start, step, count),
                _ => sampler.events(start, step, count),
            };
            batches.push(batch(source, 1, *sequence, records));
        }
        for appended in append(store, batches) {
            if let Appended::Stored(events) = appended {
                model.events.extend(events.iter().cloned());
            }
        }
        if random.below(2) == 0 {
            store
                .maintain(START, &Retention::default())
                .expect("maintenance");
        }
        if round % 4 == 3 {
            compare(
                store,
                &model,
                &mut random,
                &format!("seed {seed}, round {round}"),
            );
        }
    }
}

fn compare(store: &dyn RecordStore, model: &Model, random: &mut Random, context: &str) {
    let statistics = store.statistics();
    assert_eq!(
        (statistics.events, statistics.logs.lines),
        (model.count(Kinds::EVENTS), model.count(Kinds::LOGS)),
        "{context}"
    );
    for text in QUERIES {
        // Over all rounds and seeds each has its turn.
        if random.below(3) == 0 {
            continue;
        }
        let filter = filter(text);
        let kinds = *random.pick(&[Kinds::EVENTS, Kinds::LOGS, Kinds::ALL]);
        let range = if random.below(3) == 0 {
            TimeRange::ALL
        } else {
            some_range(random)
        };
        let order = *random.pick(&[Order::NewestFirst, Order::OldestFirst]);
        let limit = *random.pick(&[1, 13, 100, 1000]);
        let query = EventQuery {
            range,
            kinds,
            filter: filter.clone(),
            order,
            after: None,
            limit,
            budget: BUDGET,
        };
        let context =
            format!("{context}, `{text}`, {kinds:?}, {range:?}, {order:?}, limit {limit}");
        let limited = model.select(&filter, range, kinds, order);
        if limit > 1 || limited.len() < 50 {
            let found = all_pages(store, &query);
            let ids = |events: &[qw_event::StoredEvent]| -> Vec<u64> {
                events.iter().map(|stored| stored.id.0).collect()
            };
            assert_eq!(ids(&found), ids(&limited), "pages: {context}");
            for (found, expected) in found.iter().zip(&limited) {
                assert_eq!(found, expected, "pages: {context}");
            }
        }
        let step = Duration::from_secs(*random.pick(&[1, 30, 60, 300, 3600, 7200]));
        let histogram = store
            .histogram(&HistogramQuery {
                range,
                kinds,
                filter: filter.clone(),
                step,
                budget: BUDGET,
            })
            .expect("a histogram");
        let expected = model.histogram(&filter, range, kinds, step);
        assert_eq!(
            histogram.buckets, expected,
            "histogram, step {step:?}: {context}"
        );
        assert!(histogram.complete, "histogram: {context}");
        assert_eq!(
            histogram.total,
            expected
                .iter()
                .map(crate::HistogramBucket::total)
                .sum::<u64>()
        );
        let fields: Vec<String> = [
            "rule",
            "priority",
            "category",
            "container.id",
            "container.name",
            "container",
            "hostname",
            "proc.name",
            "tags",
            "fd.name",
            "user.uid",
            "source",
            "kind",
            "level",
            "status",
            "nothing",
        ]
        .map(str::to_owned)
        .into();
        let limit = *random.pick(&[1, 3, 50]);
        let query = FacetQuery {
            range,
            kinds,
            filter,
            fields,
            limit,
            budget: BUDGET,
        };
        let facets = store.facets(&query).expect("facets");
        let expected = model.facets(&query);
        for (facet, expected) in facets.facets.iter().zip(expected) {
            let found = (&facet.field, &facet.values, facet.other);
            assert_eq!(
                found,
                (&expected.field, &expected.values, expected.other),
                "{context}"
            );
        }
        assert!(facets.complete, "facets: {context}");
    }
    for range in [TimeRange::ALL, some_range(random)] {
        let kinds = *random.pick(&[Kinds::EVENTS, Kinds::LOGS, Kinds::ALL]);
        let containers = store.container_activity(range, kinds).expect("activity");
        let expected = model.containers(range, kinds);
        assert_eq!(
            containers.len(),
            expected.len(),
            "containers: {context}, {range:?}"
        );
        for (found, expected) in containers.iter().zip(&expected) {
            assert_eq!(found, expected, "containers: {context}, {range:?}");
        }
        let rules = store.rule_activity(range, kinds).expect("activity");
        assert_eq!(
            rules,
            model.rules(range, kinds),
            "rules: {context}, {kinds:?}, {range:?}"
        );
    }
    let last = store.last_id().0;
    for _ in 0..20 {
        let id = EventId(random.below(last + 2));
        let expected = model.events.iter().find(|stored| stored.id == id);
        assert_eq!(
            store.event(id).expect("an event").as_ref(),
            expected,
            "{id}: {context}"
        );
        let limit = 1 + random.below(60) as usize;
        let kinds = *random.pick(&[Kinds::EVENTS, Kinds::LOGS, Kinds::ALL]);
        let after: Vec<_> = model
            .events
            .iter()
            .filter(|stored| stored.id > id && kinds.contains(stored.event.kind))
            .take(limit)
            .cloned()
            .collect();
        assert_eq!(
            store.events_after(id, limit, kinds).expect("events"),
            after,
            "after {id}: {kinds:?}, {context}"
        );
    }
}

fn some_range(random: &mut Random) -> TimeRange {
    let mut instant = || {
        let nanos = random.below(6000 * 1_000_000_000);
        let instant = START.saturating_add(Duration::from_nanos(nanos));
        // Often on a whole minute, where roll-ups have their seams.
        if random.below(2) == 0 {
            instant.floor_to(Duration::from_secs(60))
        } else {
            instant
        }
    };
    let (one, other) = (instant(), instant());
    TimeRange {
        start: one.min(other),
        end: one.max(other),
    }
}

fn retention_drops_the_oldest(store: &dyn RecordStore) {
    let mut sampler = Sampler::new(17);
    let mut model = Model::default();
    for sequence in 1..=8_u64 {
        let start = START.saturating_add(Duration::from_secs(sequence * 3600));
        let events = sampler.events(start, Duration::from_secs(2), 200);
        for appended in append(store, vec![batch("a", 1, sequence, events)]) {
            if let Appended::Stored(events) = appended {
                model.events.extend(events.iter().cloned());
            }
        }
    }
    let now = START.saturating_add(Duration::from_secs(9 * 3600));
    let max_age = Duration::from_secs(4 * 3600);
    let retention = Retention {
        max_age: Some(max_age),
        ..Retention::default()
    };
    let done = store.maintain(now, &retention).expect("maintenance");
    let kept = all_pages(store, &everything(Order::OldestFirst, 1000));
    let cutoff = now.saturating_sub(max_age);
    let ids: std::collections::BTreeSet<_> = kept.iter().map(|stored| stored.id).collect();
    assert!(
        model
            .events
            .iter()
            .all(|stored| stored.event.time < cutoff || ids.contains(&stored.id)),
        "events younger than the retention age are kept"
    );
    assert_eq!(
        kept.len() as u64 + done.dropped_events,
        model.events.len() as u64
    );
    model.retain(|stored| ids.contains(&stored.id));
    compare(store, &model, &mut Random::new(17), "after retention");

    let retention = Retention {
        max_size_bytes: Some(1),
        ..Retention::default()
    };
    store.maintain(now, &retention).expect("maintenance");
    assert_eq!(
        store.statistics().segments,
        0,
        "everything sealed is over the size"
    );
    assert_eq!(
        store.last_id(),
        EventId(1600),
        "numbers are never used twice"
    );
    let histogram = store.histogram(&HistogramQuery {
        range: TimeRange::ALL,
        kinds: Kinds::ALL,
        filter: Filter::everything(),
        step: Duration::from_secs(60),
        budget: BUDGET,
    });
    assert_eq!(
        histogram.expect("a histogram").total,
        store.statistics().events,
        "roll-ups count what is kept"
    );
}

/// Events and lines of the same containers at the same times: each kind goes by its own retention, and
/// what goes of one kind leaves the figures of the other alone.
fn logs_have_their_own_bounds(store: &dyn RecordStore) {
    let mut sampler = Sampler::new(19);
    let mut model = Model::default();
    for sequence in 1..=6_u64 {
        let start = START.saturating_add(Duration::from_secs(sequence * 3600));
        let step = Duration::from_secs(2);
        let batches = vec![
            batch("falco", 1, sequence, sampler.events(start, step, 150)),
            batch("logs:a", 1, sequence, sampler.lines(start, step, 150)),
        ];
        for appended in append(store, batches) {
            if let Appended::Stored(events) = appended {
                model.events.extend(events.iter().cloned());
            }
        }
    }
    compare(store, &model, &mut Random::new(19), "both kinds");
    let now = START.saturating_add(Duration::from_secs(8 * 3600));
    let mut step = |retention: &Retention, kept: Kinds, context: &str| {
        store.maintain(now, retention).expect("maintenance");
        let ids: std::collections::BTreeSet<_> =
            all_pages(store, &everything(Order::OldestFirst, 1000))
                .iter()
                .map(|stored| stored.id)
                .collect();
        let before = model.events.len();
        assert!(
            model
                .events
                .iter()
                .all(|stored| !kept.contains(stored.event.kind) || ids.contains(&stored.id)),
            "{context}: nothing of the other kind is dropped"
        );
        model.retain(|stored| ids.contains(&stored.id));
        compare(store, &model, &mut Random::new(23), context);
        before - model.events.len()
    };
    let of_logs = |logs| Retention {
        logs,
        ..Retention::default()
    };
    let by_age = LogRetention {
        max_age: Some(Duration::from_secs(4 * 3600)),
        max_size_bytes: None,
    };
    step(&of_logs(by_age), Kinds::EVENTS, "logs by age");
    let by_age = Retention {
        max_age: Some(Duration::from_secs(1800)),
        ..Retention::default()
    };
    assert_eq!(step(&by_age, Kinds::LOGS, "events by age"), 900);
    let by_size = LogRetention {
        max_age: Some(Duration::from_secs(1)),
        max_size_bytes: Some(1),
    };
    assert!(step(&of_logs(by_size), Kinds::EVENTS, "logs by size") > 0);
    assert_eq!(store.statistics().logs.segment_bytes, 0);
    assert_eq!(store.last_id(), EventId(1800));
}

/// Checks a store of state. `open` opens an empty one each time it is called.
///
/// # Panics
/// When the store does anything but what the contract says.
pub fn run_state(open: &dyn Fn() -> Box<dyn StateStore>) {
    let store = open();
    let put = |key, value| StateChange::Put {
        collection: "users",
        key,
        value,
    };
    assert_eq!(store.get("users", "ann").expect("state"), None);
    store
        .apply(&[put("bob", "2"), put("ann", "1")])
        .expect("apply");
    store
        .apply(&[
            put("ann", "{\"a\":1}"),
            StateChange::Delete {
                collection: "users",
                key: "bob",
            },
            StateChange::Delete {
                collection: "users",
                key: "nobody",
            },
            put("cid", "3"),
            StateChange::Put {
                collection: "tokens",
                key: "ann",
                value: "0",
            },
        ])
        .expect("apply");
    assert_eq!(
        store.get("users", "ann").expect("state").as_deref(),
        Some("{\"a\":1}")
    );
    let list = store.list("users").expect("state");
    let list: Vec<_> = list
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(list, [("ann", "{\"a\":1}"), ("cid", "3")]);

    let keys = |after, before, descending, limit| -> Vec<String> {
        let between = KeyRange {
            after,
            before,
            descending,
        };
        let found = store.range("users", between, limit).expect("state");
        found.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(None, None, false, 9), ["ann", "cid"]);
    assert_eq!(keys(None, None, true, 1), ["cid"]);
    assert_eq!(keys(Some("ann"), None, false, 9), ["cid"]);
    assert_eq!(keys(None, Some("cid"), true, 9), ["ann"]);
    assert!(keys(Some("ann"), Some("cid"), false, 9).is_empty());

    let (long_key, long_value) = ("k".repeat(1025), "v".repeat((8 << 20) + 1));
    for bad in [put(&long_key, "1"), put("dan", &long_value)] {
        let error = store.apply(&[put("dan", "4"), bad]).expect_err("too large");
        assert!(!error.is_retryable(), "{error}");
    }
    assert_eq!(
        store.get("users", "dan").expect("state"),
        None,
        "all changes or none"
    );
}
