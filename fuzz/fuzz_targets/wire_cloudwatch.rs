//! Any bytes as requests to CloudWatch Logs, and as their signatures: nothing panics, bounds hold, and
//! nothing but what was signed is verified.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::Timestamp;
use qw_wire::cloudwatch::{self, Request, sigv4};

fuzz_target!(|input: (u8, &str, &str, &[u8])| {
    let (operation, authorization, path, body) = input;
    let operations = [
        "PutLogEvents",
        "CreateLogGroup",
        "CreateLogStream",
        "DescribeLogStreams",
        "DescribeLogGroups",
        "PutRetentionPolicy",
        "Other",
    ];
    let operation = operations[usize::from(operation) % operations.len()];
    match Request::parse(&format!("Logs_20140328.{operation}"), body) {
        Ok(Request::PutLogEvents(request)) => {
            assert!(request.events.len() <= cloudwatch::MAX_EVENTS);
            assert!(request.events.is_sorted_by_key(|event| event.time));
            let mut count = 0;
            let all = request.records(&mut |_| count += 1);
            assert_eq!((all, count), (request.events.len(), count));
        }
        Ok(_) => {}
        Err(fault) => {
            assert!(fault.byte <= body.len(), "{fault}");
            serde_json::from_str::<serde_json::Value>(&fault.answer()).expect("an answer is JSON");
        }
    }

    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let now = Timestamp::from_seconds(1_700_000_000);
    let credentials = sigv4::Credentials {
        access_key: "key",
        secret_key: "secret",
        session_token: None,
    };
    let plain = [("host", "h"), ("x-other", authorization)];
    let parts = sigv4::Parts {
        method: "POST",
        path,
        query,
        headers: &plain,
        body,
    };
    let added = sigv4::sign(&parts, &credentials, "region", "logs", now);
    let mut headers = plain.to_vec();
    headers.extend(added.iter().map(|(name, value)| (&**name, &**value)));
    let secret_of = |key: &str| (key == "key").then(|| "secret".to_owned());
    let signed = sigv4::Parts {
        headers: &headers,
        ..parts
    };
    assert!(sigv4::verify(&signed, &secret_of, now).is_ok());
    let forged = [
        ("host", "h"),
        ("x-amz-date", "20231114T221320Z"),
        ("authorization", authorization),
    ];
    let forged = sigv4::Parts {
        headers: &forged,
        ..parts
    };
    assert!(sigv4::verify(&forged, &secret_of, now).is_err());
});
