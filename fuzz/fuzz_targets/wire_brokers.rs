//! Any bytes as answers of brokers (NATS, Redis, MQTT, AMQP): nothing panics, what is understood lies within the
//! bytes, and a beginning is never understood as something else than the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_wire::{Fault, amqp, mqtt, nats, resp};

fn check<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Fault>,
) {
    let Ok(Some((found, length))) = parse(bytes) else {
        return;
    };
    assert!((1..=bytes.len()).contains(&length));
    let whole = bytes.get(..length).unwrap_or_default();
    assert_eq!(parse(whole), Ok(Some((found, length))));
    for end in 0..length.min(64) {
        assert!(matches!(
            parse(bytes.get(..end).unwrap_or_default()),
            Ok(None)
        ));
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes, |bytes| {
        Ok(nats::parse(bytes)?.map(|(found, length)| (format!("{found:?}"), length)))
    });
    check(bytes, |bytes| {
        Ok(resp::parse(bytes)?.map(|(found, length)| (format!("{found:?}"), length)))
    });
    for version in [mqtt::Version::V3, mqtt::Version::V5] {
        check(bytes, |bytes| mqtt::parse(version, bytes));
    }
    check(bytes, amqp::parse);
    let text = String::from_utf8_lossy(bytes);
    assert!(!nats::subject(&text).contains([' ', '\r', '\n', '*', '>']));
    assert!(!mqtt::topic(&text).contains(['+', '#', '\0']));
});
