//! Any bytes as a bulk of Elasticsearch: nothing panics, items are numbered, fields are JSON on one line,
//! and every answer is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_wire::elasticsearch::{BulkAnswer, parse_bulk};

fuzz_target!(|bytes: &[u8]| {
    let mut count = 0;
    let mut answer = BulkAnswer::new();
    let result = parse_bulk(
        bytes,
        Some("logs"),
        &mut |number, action, index, id, received| {
            assert_eq!(number, count);
            count += 1;
            match received {
                Ok(received) => {
                    for (_, value) in &received.fields {
                        assert!(!value.contains(['\n', '\r']), "{value}");
                        serde_json::from_str::<&serde_json::value::RawValue>(value)
                            .expect("a field is JSON");
                    }
                    answer.accepted(action, index, id);
                }
                Err(fault) => {
                    assert!(fault.byte <= bytes.len(), "{fault}");
                    answer.refused(action, index, id, &fault);
                }
            }
        },
    );
    match result {
        Ok(items) => assert_eq!(items, count),
        Err(fault) => assert!(fault.byte <= bytes.len(), "{fault}"),
    }
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.finish(1)).expect("the answer is JSON");
    assert_eq!(answer["items"].as_array().map(Vec::len), Some(count));
});
