//! Any text: parsing never panics; what parses has a text form that parses to the same, runs over an
//! event, and is never pruned away where it matches.
#![no_main]

use std::{collections::BTreeSet, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use qw_event::Event;
use qw_store::query::{event_tokens, parse};

static EVENT: LazyLock<(Event, BTreeSet<String>)> = LazyLock::new(|| {
    let event: Event = serde_json::from_str(
        r#"{"time":"2026-11-21T09:30:00.5Z","source":"syscall","rule":"Read sensitive file untrusted",
        "priority":"Warning","category":"file","hostname":"node-1",
        "container":{"id":"4f1c2d3e5a6b","name":"shop-api-1","image":"registry.example/shop/api:1.4"},
        "process_name":"cat","tags":["T1555"],"output":"file=/etc/shadow user=ÜBER",
        "output_fields":{"fd.name":"/etc/shadow","fd.sport":443,"fd.sip":"10.1.2.3","a":[1,null,"x\n"],"b":true}}"#,
    )
    .expect("the event is valid");
    let mut tokens = BTreeSet::new();
    event_tokens(&event, &mut |token| {
        tokens.insert(token.to_owned());
    });
    (event, tokens)
});

fuzz_target!(|text: &str| {
    let (event, tokens) = &*EVENT;
    match parse(text) {
        Ok(filter) => {
            let constraints = filter.constraints();
            if filter.matches(event) {
                assert!(constraints.allow_tokens(|token| tokens.contains(token)));
                assert!(constraints.allow_rule(&event.rule));
                assert!(constraints.allow_priority(event.priority));
                assert!(constraints.allow_category(event.category));
                assert!(constraints.allow_times(event.time, event.time));
            }
            if let Some(expression) = filter.expression() {
                let again = expression.to_string();
                // The text form may be longer than a query may be.
                if again.len() <= qw_store::query::MAX_TEXT_BYTES {
                    assert_eq!(parse(&again), Ok(filter), "{again}");
                }
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.position), "{error}");
            assert!(
                text.is_char_boundary(error.position + error.length),
                "{error}"
            );
        }
    }
});
