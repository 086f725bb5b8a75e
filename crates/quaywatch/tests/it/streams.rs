//! Live streams: resume, gaps, many clients, clients that never read.

use std::{collections::BTreeSet, time::Duration};

use qw_testkit::wait_for;

use crate::{falco_line, server};

/// Longest wait for a message, on a machine that does many other things.
const SILENCE: Duration = Duration::from_secs(60);

fn numbers(message: &serde_json::Value) -> Vec<u64> {
    message["payload"]["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["output_fields"]["number"].as_u64())
        .collect()
}

#[test]
fn stream_resumes_after_the_last_message_seen() {
    let quaywatch = server().start();
    let mut stream = quaywatch.stream("/api/stream", SILENCE);
    stream.next_message().unwrap();
    quaywatch
        .post_events(&falco_line("web", 1, "A", "Notice"))
        .unwrap();
    let last = loop {
        let message = stream.next_message().unwrap().expect("the stream goes on");
        if numbers(&message.data) == [1] {
            break message.id.expect("a cursor");
        }
    };
    drop(stream);
    for number in 2..=50 {
        quaywatch
            .post_events(&falco_line("web", number, "A", "Notice"))
            .unwrap();
    }
    let mut stream = quaywatch.stream(&format!("/api/stream?last_event_id={last}"), SILENCE);
    let mut seen = Vec::new();
    while seen.len() < 49 {
        let message = stream.next_message().unwrap().expect("the stream goes on");
        assert_ne!(message.data["type"], "gap", "{}", message.data);
        seen.extend(numbers(&message.data));
    }
    assert_eq!(seen, (2..=50).collect::<Vec<u64>>());
}

#[test]
fn stream_of_one_container_has_only_its_events() {
    let quaywatch = server().start();
    let mut stream = quaywatch.stream("/api/stream/db", SILENCE);
    stream.next_message().unwrap();
    let lines: Vec<String> = (0..20)
        .map(|number| {
            falco_line(
                if number < 10 { "web" } else { "db" },
                number,
                "A",
                "Notice",
            )
        })
        .collect();
    quaywatch.post_events(&lines.join("\n")).unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        seen.extend(numbers(
            &stream
                .next_message()
                .unwrap()
                .expect("the stream goes on")
                .data,
        ));
    }
    assert_eq!(seen, (10..20).collect());
}

#[test]
fn two_hundred_clients_all_see_every_event() {
    let quaywatch = server().start();
    let mut streams: Vec<_> = (0..200)
        .map(|_| quaywatch.stream("/api/stream", SILENCE))
        .collect();
    for stream in &mut streams {
        stream.next_message().unwrap();
    }
    let lines: Vec<String> = (0..100)
        .map(|number| falco_line("web", number, "A", "Notice"))
        .collect();
    quaywatch.post_events(&lines.join("\n")).unwrap();
    for stream in &mut streams {
        let mut seen = 0;
        while seen < 100 {
            seen += numbers(
                &stream
                    .next_message()
                    .unwrap()
                    .expect("the stream goes on")
                    .data,
            )
            .len();
        }
    }
}

#[test]
fn client_that_never_reads_delays_nobody_and_learns_of_its_gap() {
    let quaywatch = server().start();
    let mut idle = quaywatch.stream("/api/stream", SILENCE);
    let padding = "x".repeat(4000);
    let mut sent = 0;
    // More than sockets and the client's queue can hold.
    for _ in 0..20 {
        let lines: Vec<String> = (0..500)
            .map(|number| falco_line("web", sent + number, &format!("A {padding}"), "Notice"))
            .collect();
        assert_eq!(
            quaywatch.post_events(&lines.join("\n")).unwrap().status,
            200
        );
        sent += 500;
    }
    let mut reader = quaywatch.stream("/api/stream", SILENCE);
    reader.next_message().unwrap();
    quaywatch
        .post_events(&falco_line("web", 999_999, "A", "Notice"))
        .unwrap();
    while numbers(
        &reader
            .next_message()
            .unwrap()
            .expect("the stream goes on")
            .data,
    ) != [999_999]
    {}

    let mut missed = 0;
    let mut seen = 0;
    wait_for("all events or their gap", 2 * SILENCE, || {
        let message = idle.next_message().unwrap().expect("the stream goes on");
        seen += numbers(&message.data).len() as u64;
        missed += message.data["payload"]["missed"]
            .as_u64()
            .unwrap_or_default();
        (seen + missed > sent as u64).then_some(())
    });
    assert_eq!(
        seen + missed,
        sent as u64 + 1,
        "seen {seen}, missed {missed}"
    );
    assert!(
        missed > 0,
        "the client was never behind, so this test tests nothing"
    );
}
