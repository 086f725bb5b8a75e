//! Documents of whoever means ill: refused, or taken within the caps, and never a panic.

use proptest::prelude::*;
use qw_event::{Behaviour, EventId, Timestamp};
use qw_profile::{Acceptance, Branch, Document, Options, Profiles, TreeQuery, diff};
use serde_json::{Value, json};

use crate::common::{START, World, connect, exec, open, options, web_server};

/// One change of a document: where, by the numbers of children on the way, and what.
#[derive(Debug, Clone)]
enum Change {
    Replace(Vec<usize>, Value),
    Remove(Vec<usize>),
    Double(Vec<usize>),
    Accept(u32, String),
}

fn value() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "branch",
        "operation",
        "process",
        "path",
        "flag",
        "file",
        "lineage",
        "-",
        "*",
        "/etc/*",
        "/a/**",
        "learning",
        "detecting",
        "new",
        "command",
        "",
    ];
    prop_oneof![
        any::<u64>().prop_map(|number| json!(number)),
        (0_u64..300).prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|truth| json!(truth)),
        "\\PC{0,12}".prop_map(|text| json!(text)),
        (1_usize..400).prop_map(|length| json!("x".repeat(length))),
        prop::sample::select(WORDS).prop_map(|word| json!(word)),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("1678-01-01T00:00:00Z")),
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([3, "path", "/x", 1, 0, u32::MAX, 255])),
        Just(json!([1, "operation", "y", 0, 5, 5, 2])),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let way = || prop::collection::vec(any::<usize>(), 1..5);
    prop_oneof![
        6 => (way(), value()).prop_map(|(way, value)| Change::Replace(way, value)),
        1 => way().prop_map(Change::Remove),
        1 => way().prop_map(Change::Double),
        2 => (0_u32..80, "\\PC{0,40}").prop_map(|(row, by)| Change::Accept(row, by)),
    ]
}

/// The node that `way` leads to, and under which number it stands in its parent.
fn follow<'a>(document: &'a mut Value, way: &[usize]) -> Option<(&'a mut Value, usize)> {
    let (last, above) = way.split_last()?;
    let mut at = document;
    for step in above {
        at = match at {
            Value::Array(items) if !items.is_empty() => {
                let place = step % items.len();
                items.get_mut(place)?
            }
            Value::Object(entries) if !entries.is_empty() => {
                let place = step % entries.len();
                entries.values_mut().nth(place)?
            }
            _ => return None,
        };
    }
    Some((at, *last))
}

fn apply(document: &mut Value, change: Change) {
    match change {
        Change::Replace(way, value) => {
            let Some((parent, place)) = follow(document, &way) else {
                return;
            };
            match parent {
                Value::Array(items) if !items.is_empty() => {
                    let place = place % items.len();
                    items[place] = value;
                }
                Value::Object(entries) if !entries.is_empty() => {
                    let place = place % entries.len();
                    if let Some(entry) = entries.values_mut().nth(place) {
                        *entry = value;
                    }
                }
                _ => {}
            }
        }
        Change::Remove(way) => {
            if let Some((Value::Array(items), place)) = follow(document, &way)
                && !items.is_empty()
            {
                items.remove(place % items.len());
            }
        }
        Change::Double(way) => {
            if let Some((Value::Array(items), place)) = follow(document, &way)
                && !items.is_empty()
            {
                let item = items[place % items.len()].clone();
                items.insert(place % items.len(), item);
            }
        }
        Change::Accept(row, by) => {
            let entry = json!([row, { "by": by, "time": "2026-01-01T00:00:00Z", "alert": row }]);
            if let Some(accepted) = document["accepted"].as_array_mut() {
                accepted.push(entry);
            } else {
                document["accepted"] = json!([entry]);
            }
        }
    }
}

fn good() -> Value {
    let mut world = World::new(options());
    world.live(&web_server());
    world.see(&open("cat", "/etc/shadow"));
    let document = world.profiles.snapshot("nginx/web", EventId(7)).unwrap();
    serde_json::from_slice(&document.to_json()).unwrap()
}

/// Takes a document in every way there is, and does everything there is to do with it.
fn take(document: &Document, small: &Options) -> Result<(), TestCaseError> {
    let most = small.max_nodes + small.max_deviating_nodes;
    for is_import in [false, true] {
        let mut world = World::new(small.clone());
        world.now = 5_000;
        let now = Timestamp::from_seconds(START + world.now);
        let taken = if is_import {
            world.profiles.import(document, Some("nginx/web"), now)
        } else {
            let mut document = document.clone();
            document.rename("nginx/web").unwrap();
            world.profiles.restore(&document)
        };
        let Ok(key) = taken else {
            prop_assert_eq!(world.profiles.stats().profiles, 0);
            continue;
        };
        let events = [
            open("nginx", "/etc/nginx/nginx.conf"),
            exec("nginx", "sh", "sh -c true"),
            connect("nginx", "45.9.148.3:4444"),
            open("cat", "/etc/shadow"),
        ];
        for fields in &events {
            world.now += 50_000;
            world.see(fields);
        }
        let lesson = Behaviour {
            branch: "file".to_owned(),
            operation: "openat".to_owned(),
            process: "cat".to_owned(),
            kind: "path".to_owned(),
            token: "/etc/shadow".to_owned(),
        };
        let acceptance = Acceptance {
            by: "anna".into(),
            time: now,
            alert: Some(1),
        };
        world.profiles.teach(&key, &[lesson], &acceptance).unwrap();
        for branch in Branch::ALL {
            world
                .profiles
                .accept(&key, branch, &[], &acceptance)
                .unwrap();
            world.profiles.freeze(&key, Some(branch), now).unwrap();
            world.profiles.learn(&key, Some(branch), now).unwrap();
        }
        world.profiles.unteach(&key, 1).unwrap();
        for fields in &events {
            world.now += 50_000;
            world.see(fields);
        }
        let summary = world.profiles.summary(&key).unwrap();
        prop_assert!(summary.nodes <= most, "{} nodes", summary.nodes);
        prop_assert!((0.0..=1.0).contains(&summary.progress()), "{summary:?}");
        prop_assert!(world.profiles.tree(&key, &TreeQuery::default()).is_some());
        let again = world.profiles.snapshot(&key, EventId(9)).unwrap();
        let read = Document::parse(&again.to_json());
        prop_assert!(read.is_ok(), "{:?}", read);
        diff(&again, document);
        Profiles::new(small.clone()).restore(&again).unwrap();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_documents_are_refused_or_taken_within_the_caps(
        changes in prop::collection::vec(change(), 1..6),
        max_nodes in 20_usize..200,
    ) {
        thread_local! {
            static GOOD: Value = good();
        }
        let small = Options { max_nodes, max_deviating_nodes: 12, max_children: 16, ..options() };
        let mut document = GOOD.with(Value::clone);
        for change in changes {
            apply(&mut document, change);
        }
        let text = serde_json::to_vec(&document).unwrap();
        if let Ok(document) = Document::parse(&text) {
            take(&document, &small)?;
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Document::parse(&bytes).is_err());
    }
}

#[test]
fn used_up_memory_takes_in_nothing_more() {
    let document = Document::parse(&serde_json::to_vec(&good()).unwrap()).unwrap();
    let mut profiles = Profiles::new(Options {
        max_bytes: 40 << 10,
        ..options()
    });
    let now = Timestamp::from_seconds(START);
    let mut taken = 0;
    for n in 0..100 {
        match profiles.import(&document, Some(&format!("key-{n}")), now) {
            Ok(_) => taken += 1,
            Err(error) => assert!(error.to_string().contains("memory"), "{error}"),
        }
    }
    assert!((1..100).contains(&taken), "{taken}");
    assert_eq!(profiles.stats().profiles, taken);
}
