//! Any bytes as logs of OpenTelemetry: nothing panics, fields are JSON on one line, and faults lie
//! within the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_wire::{Received, otlp};

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
    let result = if bytes.first() == Some(&b'{') {
        otlp::parse_json(bytes, &mut each)
    } else {
        otlp::parse_protobuf(bytes, &mut each)
    };
    match result {
        Ok(lines) => assert_eq!(lines, count),
        Err(fault) => assert!(fault.byte <= bytes.len(), "{fault}"),
    }
    assert_eq!(
        otlp::grpc::unframe(&otlp::grpc::frame(bytes)),
        Ok((false, bytes))
    );
    let _fault = otlp::grpc::unframe(bytes);
});
