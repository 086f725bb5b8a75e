//! Streams: what a client reads, over a clock that is moved by hand.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::Method;
use qw_alerts::Seen;
use qw_event::ContainerRef;
use qw_store::Kinds;
use serde_json::Value;
use tower::ServiceExt;

use super::harness::{Harness, Proof, alert, request};
use crate::{HubOptions, event_view::tests::event, hub::tests::feed};

/// A client that reads one stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

struct Message {
    id: u64,
    kind: String,
    data: Value,
}

impl Message {
    fn rules(&self) -> Vec<&str> {
        let events = self.data["payload"]["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["rule"].as_str().unwrap())
            .collect()
    }

    fn ids(&self) -> Vec<u64> {
        let events = self.data["payload"]["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["id"].as_str().unwrap().parse().unwrap())
            .collect()
    }
}

impl Client {
    async fn open(harness: &Harness, path: &str, proof: &Proof, last: Option<&str>) -> Self {
        let mut request = request(Method::GET, path, proof, None);
        request
            .headers_mut()
            .insert("accept-encoding", "gzip".parse().unwrap());
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = harness.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
        assert_eq!(headers.get("content-encoding"), None);
        Self {
            body: Body::into_data_stream(response.into_body()),
            text: String::new(),
        }
    }

    /// The next message; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let line = |name: &str| {
                    frame
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::trim)
                };
                if let Some(data) = line("data:") {
                    let data: Value = serde_json::from_str(data).unwrap();
                    return Some(Message {
                        id: line("id:").unwrap().parse().unwrap(),
                        kind: data["type"].as_str().unwrap().to_owned(),
                        data,
                    });
                }
            }
            let chunk = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn expect(&mut self, kind: &str) -> Message {
        let message = self.next().await.expect("the stream goes on");
        assert_eq!(message.kind, kind, "{}", message.data);
        assert!(message.data["ts"].is_string());
        message
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_at_once_and_every_half_minute() {
    let harness = Harness::new();
    let mut client = Client::open(&harness, "/api/stream", &harness.reader(), None).await;
    let begun = tokio::time::Instant::now();
    client.expect("heartbeat").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for beat in 1..4 {
        let message = client.expect("heartbeat").await;
        assert_eq!(message.data["payload"]["last_event_id"], "0");
        assert_eq!(begun.elapsed().as_secs(), beat * 30);
    }
    assert_eq!(harness.state.parts.hub.snapshot().clients, 1);
    drop(client);
    assert_eq!(harness.state.parts.hub.snapshot().clients, 0);
}

#[tokio::test(start_paused = true)]
async fn events_of_half_a_second_travel_together() {
    let mut harness = Harness::new();
    let mut client = Client::open(&harness, "/api/stream", &harness.reader(), None).await;
    client.expect("heartbeat").await;
    harness.store(&[(0, "A", "web")]);
    let begun = tokio::time::Instant::now();
    let reading = tokio::spawn(async move {
        let message = client.expect("event").await;
        (client, message)
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    harness.store(&[(0, "B", "web")]);
    let (mut client, message) = reading.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
    assert_eq!(message.rules(), ["A", "B"]);
    assert_eq!(message.data["container"], format!("{:0<64}", "web"));
    harness.store(&[(0, "C", "web"), (0, "C", "db")]);
    let mixed = client.expect("event").await;
    assert_eq!(mixed.rules(), ["C", "C"]);
    assert_eq!(mixed.data["container"], "");
    assert_eq!(mixed.id, 4);
}

#[tokio::test(start_paused = true)]
async fn streams_are_filtered_and_their_cursor_moves_on() {
    let mut harness = Harness::new();
    let reader = harness.reader();
    let mut web = Client::open(&harness, "/api/stream/web", &reader, None).await;
    let mut rule = Client::open(&harness, "/api/stream?query=rule:B", &reader, None).await;
    let mut urgent = Client::open(&harness, "/api/stream?priority=Warning", &reader, None).await;
    for client in [&mut web, &mut rule, &mut urgent] {
        client.expect("heartbeat").await;
    }
    harness.store(&[(0, "A", "web"), (0, "B", "db"), (0, "A", "db")]);
    assert_eq!(web.expect("event").await.ids(), [1]);
    let message = rule.expect("event").await;
    assert_eq!((message.ids(), message.id), (vec![2], 3));
    let beat = urgent.expect("heartbeat").await;
    assert_eq!(
        (beat.id, &beat.data["payload"]["last_event_id"]),
        (3, &Value::from("3"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_resumes_where_it_was() {
    let mut harness = Harness::new();
    let reader = harness.reader();
    for batch in 0..3 {
        let events: Vec<(i64, &str, &str)> = (0..400).map(|_| (batch, "Rule", "web")).collect();
        harness.store(&events);
    }
    for (path, last) in [
        ("/api/stream", Some("10")),
        ("/api/stream?last_event_id=10", None),
        ("/api/stream?last_event_id=999", Some("10")),
    ] {
        let mut client = Client::open(&harness, path, &reader, last).await;
        client.expect("heartbeat").await;
        let mut seen = Vec::new();
        while seen.len() < 1_190 {
            seen.extend(client.expect("event").await.ids());
        }
        assert_eq!(seen, (11..=1_200).collect::<Vec<u64>>(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_ring_has_lost_comes_from_the_store() {
    let ring_bytes = event(1, harness_time(), "Rule", "web").event.size_bytes() * 50;
    let mut harness = Harness::with(
        |_| {},
        HubOptions {
            ring_bytes,
            ..HubOptions::default()
        },
    );
    let reader = harness.reader();
    for _ in 0..30 {
        harness.store(&[(0, "Rule", "web"); 40]);
    }
    let mut client = Client::open(&harness, "/api/stream", &reader, Some("0")).await;
    client.expect("heartbeat").await;
    let mut seen = Vec::new();
    while seen.len() < 1_200 {
        seen.extend(client.expect("event").await.ids());
    }
    assert_eq!(seen, (1..=1_200).collect::<Vec<u64>>());
    harness.store(&[(0, "Rule", "web")]);
    assert_eq!(client.expect("event").await.ids(), [1_201]);
}

fn harness_time() -> qw_event::Timestamp {
    super::harness::START
}

#[tokio::test(start_paused = true)]
async fn too_much_at_once_is_told_as_a_gap() {
    let harness = Harness::new();
    let mut client = Client::open(&harness, "/api/stream", &harness.reader(), None).await;
    client.expect("heartbeat").await;
    feed(&harness.state.parts.hub, 1, 1_500, "Rule", "web");
    let gap = client.expect("gap").await;
    assert_eq!(
        gap.data["payload"],
        serde_json::json!({ "missed": 500, "from": "1", "to": "500" })
    );
    assert_eq!(gap.id, 500);
    let message = client.expect("event").await;
    assert_eq!(message.ids(), (501..=1_500).collect::<Vec<u64>>());
    assert_eq!(harness.state.parts.hub.snapshot().events_missed, 500);
}

#[tokio::test(start_paused = true)]
async fn what_lies_too_far_back_is_told_as_a_gap() {
    let mut harness = Harness::with(
        |_| {},
        HubOptions {
            ring_bytes: 1,
            ..HubOptions::default()
        },
    );
    harness.store(&[(0, "Rule", "web"); 10]);
    // A store with as many events would take the test long; the hub says how far it has come.
    feed(&harness.state.parts.hub, 30_000, 1, "Rule", "web");
    let mut client = Client::open(&harness, "/api/stream", &harness.reader(), Some("2")).await;
    client.expect("heartbeat").await;
    let gap = client.expect("gap").await;
    assert_eq!(gap.data["payload"]["from"], "3");
    assert_eq!(gap.data["payload"]["to"], "10000");
    feed(&harness.state.parts.hub, 30_001, 1, "Rule", "web");
    assert_eq!(client.expect("event").await.ids(), [30_001]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_costs_no_memory_and_learns_what_it_missed() {
    let ring_bytes = event(1, harness_time(), "Rule", "web").event.size_bytes() * 10;
    let harness = Harness::with(
        |_| {},
        HubOptions {
            ring_bytes,
            ..HubOptions::default()
        },
    );
    let mut client = Client::open(&harness, "/api/stream", &harness.reader(), None).await;
    client.expect("heartbeat").await;
    for batch in 0..5_000 {
        feed(&harness.state.parts.hub, batch * 10 + 1, 10, "Rule", "web");
    }
    assert!(
        harness
            .state
            .parts
            .hub
            .after(0, Kinds::EVENTS)
            .batches
            .len()
            <= 2
    );
    let gap = client.expect("gap").await;
    assert_eq!(
        gap.data["payload"],
        serde_json::json!({ "missed": 49_990, "from": "1", "to": "49990" })
    );
    assert_eq!(
        client.expect("event").await.ids(),
        (49_991..=50_000).collect::<Vec<u64>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_its_streams_at_once() {
    let harness = Harness::new();
    let proof = harness.reader();
    let mut client = Client::open(&harness, "/api/stream", &proof, None).await;
    client.expect("heartbeat").await;
    let begun = tokio::time::Instant::now();
    let access = harness.state.parts.access.clone();
    let id = access.tokens()[0].id.clone();
    let reading = tokio::spawn(async move { client.next().await.is_none() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    access.revoke_token(&id, harness.now()).unwrap();
    assert!(reading.await.unwrap());
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn signing_out_or_expiring_ends_streams() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let mut client = Client::open(&harness, "/api/stream", &session, None).await;
    client.expect("heartbeat").await;
    harness.delete("/api/session", &session).await.expect(204);
    assert!(client.next().await.is_none());

    let session = harness.sign_in().await;
    let mut client = Client::open(&harness, "/api/stream", &session, None).await;
    client.expect("heartbeat").await;
    client.expect("heartbeat").await;
    harness.advance(25 * 3_600);
    assert!(client.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_in_number() {
    let harness = Harness::with(
        |_| {},
        HubOptions {
            max_clients: 2,
            ..HubOptions::default()
        },
    );
    let reader = harness.reader();
    let _first = Client::open(&harness, "/api/stream", &reader, None).await;
    let second = Client::open(&harness, "/api/stream", &reader, None).await;
    let refused = harness.get("/api/stream", &reader).await;
    assert_eq!(refused.code(), "unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    drop(second);
    Client::open(&harness, "/api/stream", &reader, None).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_ones_own_containers_only() {
    let mut harness = Harness::new();
    let scope = qw_auth::DataScope {
        namespaces: vec!["shop".to_owned()],
        labels: Vec::new(),
    };
    let own = harness.session_of("ada", qw_auth::Role::LogReader, Some(scope));
    let events = |now, rules: &[(&str, &str)]| -> Vec<qw_event::Event> {
        let made = rules.iter().map(|(rule, namespace)| {
            let mut event = event(0, now, rule, "web").event;
            event.container = Arc::new(ContainerRef {
                k8s_namespace: (*namespace).into(),
                ..ContainerRef::clone(&event.container)
            });
            event
        });
        made.collect()
    };
    let now = harness.now();
    harness.store_events(events(now, &[("a", "shop"), ("b", "bank"), ("c", "")]));
    let mut client = Client::open(&harness, "/api/stream", &own, Some("0")).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let message = client.next().await.unwrap();
        if message.kind == "event" {
            told.extend(message.rules().into_iter().map(ToOwned::to_owned));
            harness.store_events(events(now, &[("d", "bank"), ("e", "shop")]));
        } else {
            assert_eq!(message.kind, "heartbeat");
        }
    }
    assert_eq!(told, ["a", "e"]);
    // Other rights end the stream; the client comes back with them.
    let change = crate::access::UserChange {
        scope: Some(None),
        ..crate::access::UserChange::default()
    };
    let access = &harness.state.parts.access;
    access
        .change_user("ada", change, &crate::access::Audit::system(), now)
        .unwrap();
    while let Some(message) = client.next().await {
        assert_ne!(message.kind, "event");
    }
}

/// Tells of an alert of containers in these namespaces, the one seen last first.
fn tell_alert(harness: &Harness, id: u64, namespaces: &[&str]) {
    let containers: Vec<Arc<ContainerRef>> = namespaces
        .iter()
        .map(|namespace| {
            Arc::new(ContainerRef {
                id: format!("id-{namespace}").into(),
                name: format!("web-{namespace}").into(),
                k8s_namespace: (*namespace).into(),
                ..ContainerRef::default()
            })
        })
        .collect();
    let containers: Vec<&Arc<ContainerRef>> = containers.iter().collect();
    let mut alert = alert(id, "Rule", &containers, harness.now());
    if let [namespace] = namespaces {
        alert.audience.namespace = (*namespace).into();
    }
    harness.state.parts.hub.tell_alerts(&[Seen {
        alert: Arc::new(alert),
        changes: Vec::new(),
    }]);
}

fn alert_ids(message: &Message) -> Vec<u64> {
    let alerts = message.data["payload"]["alerts"].as_array().unwrap();
    let ids = alerts.iter().map(|alert| alert["id"].as_u64().unwrap());
    ids.collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_says_which_types_it_wants() {
    let harness = Harness::new();
    let reader = harness.reader();
    let mut clients = Vec::new();
    for types in ["", "event,alert", "event", "alert"] {
        let path = format!("/api/stream?types={types}");
        let mut client = Client::open(&harness, &path, &reader, None).await;
        client.expect("heartbeat").await;
        clients.push((types, client));
    }
    tell_alert(&harness, 1, &["shop"]);
    feed(&harness.state.parts.hub, 1, 3, "Rule", "web");
    for (types, client) in &mut clients {
        if *types != "event" {
            let message = client.expect("alert").await;
            assert_eq!(alert_ids(&message), [1], "{types}");
        }
        if *types != "alert" {
            let message = client.expect("event").await;
            assert_eq!(message.ids(), [1, 2, 3], "{types}");
        }
    }
    for (types, client) in &mut clients {
        // Its cursor has moved on all the same.
        let message = client.expect("heartbeat").await;
        assert_eq!(message.id, 3, "{types}");
    }
    // Alerts of a stream that was cut off come again.
    tell_alert(&harness, 2, &["shop"]);
    let mut again = Client::open(&harness, "/api/stream?types=alert", &reader, Some("3")).await;
    again.expect("heartbeat").await;
    assert_eq!(alert_ids(&again.expect("alert").await), [2]);

    let wrong = harness.get("/api/stream?types=events", &reader).await;
    assert_eq!(wrong.code(), "invalid_parameter");
    let log_reader = harness.session_of("eve", qw_auth::Role::LogReader, None);
    let refused = harness.get("/api/stream?types=alert", &log_reader).await;
    assert_eq!(refused.code(), "forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_alerts_that_are_ones_own_as_a_whole() {
    let harness = Harness::new();
    let scope = qw_auth::DataScope {
        namespaces: vec!["shop".to_owned()],
        labels: Vec::new(),
    };
    let own = harness.session_of("ada", qw_auth::Role::Viewer, Some(scope));
    let log_reader = harness.session_of("eve", qw_auth::Role::LogReader, None);
    let mut client = Client::open(&harness, "/api/stream", &own, None).await;
    let mut of_other = Client::open(&harness, "/api/stream/web-bank", &own, None).await;
    let mut without = Client::open(&harness, "/api/stream", &log_reader, None).await;
    for client in [&mut client, &mut of_other, &mut without] {
        client.expect("heartbeat").await;
    }
    tell_alert(&harness, 1, &["shop", "bank"]);
    tell_alert(&harness, 2, &["bank"]);
    tell_alert(&harness, 3, &["shop"]);
    assert_eq!(alert_ids(&client.expect("alert").await), [3]);
    of_other.expect("heartbeat").await;
    without.expect("heartbeat").await;
}
