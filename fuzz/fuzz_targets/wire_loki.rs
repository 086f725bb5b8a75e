//! Any bytes as pushes to Loki: nothing panics, fields are JSON on one line, and faults lie within the
//! body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_wire::{Received, loki};

fn check(received: &Received<'_>) {
    for (_, value) in &received.fields {
        assert!(!value.contains(['\n', '\r']), "{value}");
        serde_json::from_str::<&serde_json::value::RawValue>(value).expect("a field is JSON");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut count = 0;
    let mut each = |received: Received<'_>| {
        check(&received);
        count += 1;
    };
    let _fault = loki::parse_protobuf(bytes, &mut each);
    count = 0;
    let results = match bytes.first() {
        Some(b'{') => loki::parse_json(bytes, &mut |received| {
            check(&received);
            count += 1;
        }),
        _ => loki::parse_push_request(bytes, &mut |received| {
            check(&received);
            count += 1;
        }),
    };
    match results {
        Ok(lines) => assert_eq!(lines, count),
        Err(fault) => assert!(fault.byte <= bytes.len(), "{fault}"),
    }
});
