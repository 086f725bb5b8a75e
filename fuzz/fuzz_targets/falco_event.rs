//! Any bytes: parsing never panics; what becomes an event has an object in its fields that other
//! readers of JSON take, and survives its own JSON form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::{Event, Timestamp};
use qw_sources::falco::Parser;

fn check(event: &Event) {
    let fields = event.output_fields.get();
    assert!(!fields.contains(['\n', '\r']), "{fields}");
    let fields: serde_json::Value = serde_json::from_str(fields).expect("fields are JSON");
    assert!(fields.is_object());
    let json = serde_json::to_string(event).expect("an event has a JSON form");
    let again: Event = serde_json::from_str(&json).expect("that can be read again");
    assert_eq!(*event, again);
}

fuzz_target!(|bytes: &[u8]| {
    let mut parser = Parser::default();
    let one = parser.parse(bytes, Timestamp::EPOCH);
    let (mut events, mut others) = (0, 0);
    parser.parse_all(bytes, Timestamp::EPOCH, |result| match result {
        Ok(event) => {
            check(&event);
            events += 1;
        }
        Err(_) => others += 1,
    });
    if let Ok(event) = one {
        check(&event);
        assert_eq!((events, others), (1, 0));
    }
});
