//! Documents: kept, shipped, compared, refused.

use qw_event::{EventId, Timestamp};
use qw_profile::{Document, DocumentError, Mode, Observation, Profiles, diff};
use serde_json::{Value, json};

use crate::common::{START, World, container, event, open, options, web_server};

fn learned() -> World {
    let mut world = World::new(options());
    world.live(&web_server());
    world
}

#[test]
fn a_learned_profile_is_shipped_with_its_image() {
    let world = learned();
    let json = world
        .profiles
        .snapshot("nginx/web", EventId(42))
        .unwrap()
        .to_json();
    let document = Document::parse(&json).unwrap();
    assert_eq!(document.seen(), EventId(42));
    assert_eq!(&*document.images()[0].reference, "nginx:1.27");
    let mut elsewhere = Profiles::new(options());
    let now = Timestamp::from_seconds(START + 5);
    let key = elsewhere
        .import(&document, Some("nginx/shop"), now)
        .unwrap();
    assert_eq!(&*key, "nginx/shop");
    assert_eq!(elsewhere.summary(&key).unwrap().mode(), Mode::Detecting);
    let container = container("shop", "nginx:1.27");
    let mut see = |fields: &Value| {
        let event = event(&container, 10, fields);
        elsewhere.observe(&event, event.time)
    };
    assert_eq!(
        see(&open("nginx", "/etc/nginx/nginx.conf")),
        Observation::Known
    );
    assert!(matches!(
        see(&open("nginx", "/etc/shadow")),
        Observation::Deviation(_)
    ));
}

#[test]
fn profiles_are_compared() {
    let mut world = learned();
    let before = world.profiles.snapshot("nginx/web", EventId(1)).unwrap();
    world.see(&open("nginx", "/srv/other/place.txt"));
    let after = world.profiles.snapshot("nginx/web", EventId(2)).unwrap();
    let difference = diff(&before, &after);
    assert_eq!(difference.only_first, []);
    assert_eq!(difference.only_second.len(), 1);
    assert_eq!(difference.only_second[0].token, "/srv/other/place.txt");
    assert!(difference.only_second[0].is_deviating);
    assert_eq!(difference.common, before.paths().len());
}

#[test]
fn what_changed_is_told_once() {
    let mut world = learned();
    assert_eq!(world.profiles.take_changed(10).len(), 1);
    assert_eq!(world.profiles.take_changed(10).len(), 0);
    world.see(&open("nginx", "/etc/nginx/nginx.conf"));
    assert_eq!(world.profiles.take_changed(10), ["nginx/web".into()]);
}

#[test]
fn bad_documents_are_refused_with_the_reason() {
    let good: Value = serde_json::from_slice(
        &learned()
            .profiles
            .snapshot("nginx/web", EventId(1))
            .unwrap()
            .to_json(),
    )
    .unwrap();
    let check = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut document = good.clone();
        change(&mut document);
        let json = serde_json::to_vec(&document).unwrap();
        let mut profiles = Profiles::new(options());
        let outcome = Document::parse(&json).and_then(|document| profiles.restore(&document));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(profiles.stats().profiles, 0);
    };
    check(&|document| document["version"] = json!(2), "version 2");
    check(&|document| document["format"] = json!("other"), "`other`");
    check(&|document| document["key"] = json!(""), "key");
    check(&|document| document["surprise"] = json!(1), "not a profile");
    check(
        &|document| document["nodes"][0] = json!([1, "operation", "x", 0, 0, 0, 0]),
        "row 0",
    );
    check(&|document| document["nodes"][1][0] = json!(3), "row 1");
    check(
        &|document| document["nodes"][1][2] = json!("x".repeat(300)),
        "too long",
    );
    check(
        &|document| document["nodes"][3][3] = json!(u64::MAX),
        "count",
    );
    check(&|document| document["nodes"][3][6] = json!(255), "marks");
    check(
        &|document| {
            let row = document["nodes"][3].clone();
            document["nodes"].as_array_mut().unwrap().insert(4, row);
        },
        "twice",
    );
    check(
        &|document| {
            document["nodes"] =
                Value::Array(vec![json!([0, "branch", "file", 0, 0, 0, 0]); 70_000]);
        },
        "70000",
    );
    assert!(matches!(
        Document::parse(&vec![b' '; 17 << 20]),
        Err(DocumentError::TooLong(_))
    ));
    assert!(Document::parse(b"\xff").is_err());
}

#[test]
fn the_seed_of_the_fuzzer_is_a_profile() {
    let seed = include_bytes!("../../../../fuzz/corpus/profile_document/seed-1");
    let document = Document::parse(seed).unwrap();
    let mut profiles = Profiles::new(options());
    assert_eq!(&*profiles.restore(&document).unwrap(), "nginx/web");
}
