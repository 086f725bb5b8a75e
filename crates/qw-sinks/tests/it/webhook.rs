//! Webhooks: order, durability, refusals, pace, secrets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use qw_event::Priority;
use qw_sinks::Standing;
use qw_testkit::wait_for;
use serde_json::json;

use crate::{
    LIMIT, Running, assert_in_order_and_complete,
    http_server::{Answer, HttpServer},
    memory::Memory,
};

/// A sink without a bound on messages that begins at the beginning.
fn sink(server: &HttpServer) -> serde_json::Value {
    json!({
        "name": "hook", "from": "beginning", "at_most": {"messages": 0},
        "to": {"type": "webhook", "url": server.url(), "timeout_seconds": 60},
    })
}

#[test]
fn every_change_arrives_across_failures_of_either_side() {
    let memory = Arc::new(Memory::default());
    // Every fifth request is broken off before it is kept.
    let count = AtomicU32::new(0);
    let mut server = HttpServer::start(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) % 5 == 4 {
            Answer::Break
        } else {
            Answer::status(204)
        }
    });
    for _ in 0..20 {
        memory.raise();
    }
    let running = Running::start(&memory, json!([sink(&server)]));
    wait_for("some arrive", LIMIT, || {
        (server.requests().len() >= 5).then_some(())
    });

    // The receiver goes away and comes back.
    server.stop();
    for _ in 0..20 {
        running.notifications.committed(memory.raise().1);
    }
    running.wait("it is tried again", |status| {
        status.standing == Standing::Retrying
    });
    server.launch();
    wait_for("more arrive", LIMIT, || {
        (server.requests().len() >= 25).then_some(())
    });

    // We crash and come back.
    for _ in 0..20 {
        running.notifications.committed(memory.raise().1);
    }
    running.crash();
    let running = Running::start(&memory, json!([sink(&server)]));
    let status = running.wait("all is told", |status| {
        status.standing == Standing::Idle && status.position == 60
    });
    assert_eq!(status.lag, 0);
    assert_in_order_and_complete(&server.sequences(), 1..=60);
    assert_eq!(memory.position("hook").unwrap(), r#"{"sequence":60}"#);
    let last = server.requests().pop().unwrap();
    assert_eq!((&*last.method, &*last.path), ("POST", "/hook"));
    assert_eq!(last.headers["x-quaywatch-delivery"], "hook-60");
    assert_eq!(last.headers["content-type"], "application/json");
    running.stop();
}

#[test]
fn a_new_sink_begins_now_and_a_known_one_where_it_was() {
    let memory = Arc::new(Memory::default());
    let server = HttpServer::start(|_| Answer::status(200));
    memory.raise();
    let mut sink = sink(&server);
    sink["from"] = json!("now");
    let sinks = json!([sink]);
    Running::start(&memory, sinks.clone()).stop();
    let (_, second) = memory.raise();
    let running = Running::start(&memory, sinks);
    running.wait("the second is told", |status| status.position == second);
    assert_eq!(server.sequences(), [second]);
    // Nobody says that there is something new: it is found all the same.
    let (_, third) = memory.raise();
    running.wait("the third is told", |status| status.position == third);
    running.stop();
}

#[test]
fn what_is_refused_for_good_is_given_up_alone() {
    let memory = Arc::new(Memory::default());
    let later = AtomicBool::new(true);
    let server =
        HttpServer::start(
            move |request| match request.json()["change"]["sequence"].as_u64() {
                Some(2) => Answer::Say(422, String::new(), "no such field".into()),
                Some(3) if later.swap(false, Ordering::SeqCst) => {
                    Answer::Say(429, "retry-after: 0\r\n".into(), String::new())
                }
                _ => Answer::status(200),
            },
        );
    for _ in 0..2 {
        memory.raise();
    }
    memory.raise();
    // Not for this sink, and gone before it could be told.
    memory.raise_with(|alert| alert.priority = Priority::Notice);
    let (gone, _) = memory.raise();
    memory.forget(gone);
    let mut sink = sink(&server);
    sink["min_priority"] = json!("warning");
    let running = Running::start(&memory, json!([sink]));
    let status = running.wait("all is done", |status| status.position == 5);
    assert_eq!(server.sequences(), [1, 2, 3, 3]);
    assert_eq!(
        status.outcomes(),
        [
            ("sent", 2),
            ("failed", 1),
            ("filtered", 1),
            ("missing", 1),
            ("retried", 1)
        ]
    );
    running.stop();
}

#[test]
fn a_slow_receiver_delays_nobody_else() {
    let memory = Arc::new(Memory::default());
    let slow = HttpServer::start(|_| Answer::Hang);
    let quick = HttpServer::start(|_| Answer::status(200));
    let mut first = sink(&slow);
    first["name"] = json!("slow");
    let running = Running::start(&memory, json!([first, sink(&quick)]));
    for _ in 0..30 {
        running.notifications.committed(memory.raise().1);
    }
    wait_for("the quick one has all", LIMIT, || {
        (quick.requests().len() == 30).then_some(())
    });
    wait_for("the slow one was asked", LIMIT, || {
        (slow.requests().len() == 1).then_some(())
    });
    let status = running.status();
    assert_eq!((status.position, status.lag), (0, 30));
    assert!(status.waiting_since.is_some());
    running.stop();
}

#[test]
fn a_flood_comes_together_and_says_how_many_more_there_are() {
    let memory = Arc::new(Memory::default());
    let server = HttpServer::start(|_| Answer::status(200));
    for number in 0..40 {
        memory.raise_with(|alert| {
            if number == 20 {
                alert.priority = Priority::Emergency;
            }
        });
    }
    let mut sink = sink(&server);
    sink["at_most"] = json!({"messages": 3, "seconds": 3600});
    let running = Running::start(&memory, json!([sink]));
    let status = running.wait("all is told", |status| status.position == 40);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    let last = requests[2].json();
    assert_eq!(
        (&last["more"], &last["change"]["sequence"]),
        (&json!(37), &json!(21))
    );
    assert!(last["line"].as_str().unwrap().ends_with(", and 37 more"));
    assert_eq!(last["others"].as_array().unwrap().len(), 20);
    assert_eq!((status.sent, status.grouped), (40, 38));
    // The next one waits for the next interval.
    memory.raise();
    let status = running.wait("it waits", |status| status.standing == Standing::Paced);
    assert!(status.next_attempt.is_some());
    running.stop();
}

#[test]
fn what_is_over_comes_with_the_next_interval() {
    let memory = Arc::new(Memory::default());
    let server = HttpServer::start(|_| Answer::status(200));
    let mut sink = sink(&server);
    sink["at_most"] = json!({"messages": 1, "seconds": 1});
    for _ in 0..10 {
        memory.raise();
    }
    let running = Running::start(&memory, json!([sink]));
    running.wait("all is told", |status| status.position == 10);
    for _ in 0..10 {
        running.notifications.committed(memory.raise().1);
    }
    running.wait("the rest is told", |status| status.position == 20);
    let told: u64 = server
        .requests()
        .iter()
        .map(|request| request.json()["more"].as_u64().unwrap() + 1)
        .sum();
    assert_eq!(told, 20);
    running.stop();
}

#[test]
fn secrets_are_sent_and_not_shown() {
    let memory = Arc::new(Memory::default());
    // A receiver that repeats in its answer what it was sent.
    let server = HttpServer::start(|request| {
        Answer::Say(
            401,
            String::new(),
            format!("{} {:?}", request.path, request.headers),
        )
    });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let sink = json!({
        "name": "hook", "from": "beginning",
        "to": {
            "type": "webhook",
            "url_from": {"file": file("url", &format!("http://{}/T0/pathsecret\n", server.address))},
            "secret_headers": {"Authorization": {"file": file("token", "Bearer tokensecret\n")}},
            "signature": {"secret": {"file": file("key", "keysecret")}},
        },
    });
    memory.raise();
    let running = Running::start(&memory, json!([sink]));
    let status = running.wait("it is refused", |status| status.last_failure.is_some());
    let request = server.requests().remove(0);
    assert_eq!(request.path, "/T0/pathsecret");
    assert_eq!(request.headers["authorization"], "Bearer tokensecret");
    assert!(request.headers["x-quaywatch-signature"].starts_with("sha256="));
    let shown = serde_json::to_string(&status).unwrap();
    let failure = status.last_failure.unwrap();
    assert!(
        failure.text.contains("401") && !failure.given_up,
        "{failure:?}"
    );
    let answer = running.test_send("hook").unwrap_err();
    for text in [shown, answer] {
        for secret in ["pathsecret", "tokensecret", "keysecret"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    running.stop();
}

#[test]
fn redirects_are_not_followed() {
    let memory = Arc::new(Memory::default());
    let other = HttpServer::start(|_| Answer::status(200));
    let location = format!("location: {}\r\n", other.url());
    let server = HttpServer::start(move |_| Answer::Say(307, location.clone(), String::new()));
    memory.raise();
    let running = Running::start(&memory, json!([sink(&server)]));
    let status = running.wait("it is refused", |status| status.last_failure.is_some());
    assert!(
        status
            .last_failure
            .unwrap()
            .text
            .contains("redirects to `http://127.0.0.1:")
    );
    assert!(other.requests().is_empty());
    running.stop();
}

#[test]
fn a_test_is_clearly_one() {
    let memory = Arc::new(Memory::default());
    let server = HttpServer::start(|_| Answer::Say(200, String::new(), "all is well".into()));
    let mut disabled = sink(&server);
    disabled["name"] = json!("off");
    disabled["enabled"] = json!(false);
    let running = Running::start(&memory, json!([sink(&server), disabled]));
    assert_eq!(running.test_send("hook").unwrap(), "200 OK all is well");
    let body = server.requests().remove(0).json();
    assert_eq!(body["test"], true);
    assert!(body["line"].as_str().unwrap().starts_with("[TEST] "));
    assert!(running.test_send("none").unwrap_err().contains("`none`"));
    assert!(
        running
            .test_send("off")
            .unwrap_err()
            .contains("switched off")
    );
    let position = running.status().position;
    assert_eq!(position, 0);
    running.stop();
}
