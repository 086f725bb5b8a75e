//! Any bytes as events and raw lines of Splunk's collector: nothing panics, fields are JSON on one line,
//! faults lie within the body, and a text that was read is read again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::{ContainerRef, Priority, Timestamp};
use qw_wire::{Outgoing, Received, hec};

fn check(received: &Received<'_>) {
    for (_, value) in &received.fields {
        assert!(!value.contains(['\n', '\r']), "{value}");
        serde_json::from_str::<&serde_json::value::RawValue>(value).expect("a field is JSON");
    }
    let Ok(text) = std::str::from_utf8(&received.text) else {
        return;
    };
    if text.is_empty() {
        return;
    }
    let record = Outgoing {
        time: received.time.unwrap_or(Timestamp::EPOCH),
        severity: received.severity,
        priority: Priority::Informational,
        stream: "",
        hostname: &received.hostname,
        tag: &received.tag,
        container: &ContainerRef::default(),
        text,
        fields: "",
        id: 0,
    };
    let mut body = Vec::new();
    hec::encode(&record, &mut body);
    let count = hec::parse_events(&body, &mut |again| {
        assert_eq!(
            (&again.text, &again.hostname),
            (&received.text, &received.hostname)
        );
    });
    assert_eq!(count, Ok(1));
}

fuzz_target!(|bytes: &[u8]| {
    let mut count = 0;
    let result = hec::parse_events(bytes, &mut |received| {
        check(&received);
        count += 1;
    });
    match result {
        Ok(events) => assert_eq!(events, count),
        Err(fault) => {
            assert_eq!(fault.number, count);
            assert!(fault.byte <= bytes.len());
            serde_json::from_str::<serde_json::Value>(&fault.answer()).expect("an answer is JSON");
        }
    }
    let query = [("host", "h"), ("source", "s")];
    let _fault = hec::parse_raw(bytes, &query, &mut |received| check(&received));
    let _fault = hec::parse_acknowledgements(bytes);
});
