//! Destinations that speak HTTP, and what they answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use flate2::read::GzDecoder;
use parking_lot::Mutex;
use qw_wire::{
    elasticsearch::{Action, BulkAnswer, parse_bulk},
    loki, otlp,
};
use serde_json::json;

use super::{log::Stores, number};
use crate::http_server::{Answer, HttpServer, Request};

fn plain(request: &Request) -> Vec<u8> {
    if request.headers.get("content-encoding").map(String::as_str) != Some("gzip") {
        return request.body.clone();
    }
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut GzDecoder::new(&*request.body), &mut plain).unwrap();
    plain
}

#[test]
fn elasticsearch_has_each_record_once_whatever_it_answers() {
    let documents: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let (kept, round) = (Arc::clone(&documents), AtomicU64::new(0));
    let server = HttpServer::start(move |request| {
        let round = round.fetch_add(1, Ordering::SeqCst);
        assert!(request.path.starts_with("/es/_bulk?"), "{}", request.path);
        if round == 0 {
            return Answer::Say(429, "retry-after: 0\r\n".into(), String::new());
        }
        let mut answer = BulkAnswer::new();
        parse_bulk(&plain(request), None, &mut |place, _, index, id, line| {
            let text = String::from_utf8(line.unwrap().text.into_owned()).unwrap();
            let number = number(&text).unwrap();
            let mut kept = kept.lock();
            if kept.iter().any(|(known, _)| known == id) {
                answer.failed(Action::Create, index, id, 409, "version_conflict", "there");
            } else if number == 17 {
                answer.failed(
                    Action::Create,
                    index,
                    id,
                    400,
                    "mapper_parsing",
                    "bad field",
                );
            } else if place % 3 == 0 && round < 4 {
                answer.failed(Action::Create, index, id, 429, "rejected", "queue is full");
            } else {
                kept.push((id.to_owned(), number));
                answer.accepted(Action::Create, index, id);
            }
        })
        .unwrap();
        if round == 2 {
            // All of it was kept, and nobody is told.
            return Answer::Break;
        }
        Answer::Say(
            200,
            String::new(),
            String::from_utf8(answer.finish(1)).unwrap(),
        )
    });
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "es", "batch": {"records": 20},
        "to": {"type": "elasticsearch", "url": format!("http://{}/es/", server.address)},
    }]));
    forwarding.commit(50);
    let status = forwarding.wait_for_all("es");
    let mut numbers: Vec<u64> = documents.lock().iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).filter(|n| *n != 17).collect::<Vec<u64>>());
    assert_eq!((status.sent, status.failed), (49, 1));
    let letters = forwarding
        .runtime
        .block_on(forwarding.routes.dead_letters("es"));
    let letters = letters.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].id.0, 17);
    assert!(letters[0].reason.contains("bad field"), "{letters:?}");
    forwarding.stop();
}

#[test]
fn bodies_too_large_are_halved_and_dead_letters_replayed() {
    let limit = Arc::new(AtomicU64::new(400));
    let bound = Arc::clone(&limit);
    let server = HttpServer::start(move |request| {
        if request.body.len() as u64 > bound.load(Ordering::SeqCst) {
            return Answer::status(413);
        }
        Answer::status(204)
    });
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "loki",
        "to": {"type": "loki", "url": format!("http://{}", server.address),
            "labels": {"site": "north"}, "tenant": "shop"},
    }]));
    forwarding.commit_with(64, |record| {
        if record.id.0 == 40 {
            let noise: String = (0..2_000_u64)
                .map(|n| char::from(b'a' + (n * n * 7_919 % 251 % 26) as u8))
                .collect();
            record.event.output = format!("line 40 {noise}").into();
        }
    });
    let status = forwarding.wait_for_all("loki");
    assert_eq!((status.sent, status.failed), (63, 1));
    let lines = |server: &HttpServer, most: u64| {
        let mut lines = Vec::new();
        for request in server.requests() {
            if request.body.len() as u64 <= most {
                assert_eq!(request.headers["x-scope-orgid"], "shop");
                loki::parse_protobuf(&request.body, &mut |line| {
                    lines.extend(number(&String::from_utf8_lossy(&line.text)));
                })
                .unwrap();
            }
        }
        lines
    };
    assert_eq!(
        lines(&server, 400),
        (1..=64).filter(|n| *n != 40).collect::<Vec<u64>>()
    );
    limit.store(1 << 20, Ordering::SeqCst);
    let replayed = forwarding
        .runtime
        .block_on(forwarding.routes.replay_dead_letters("loki"))
        .unwrap();
    assert_eq!(
        (replayed.sent, replayed.refused, replayed.missing),
        (1, 0, 0)
    );
    let letters = forwarding
        .runtime
        .block_on(forwarding.routes.dead_letters("loki"));
    assert!(letters.unwrap().is_empty());
    forwarding.stop();
}

#[test]
fn collectors_have_all_of_it_after_errors_of_the_moment() {
    let round = AtomicU64::new(0);
    let server = HttpServer::start(move |request| {
        let rejected = if request.path == "/v1/logs" { 2 } else { 0 };
        match round.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::status(503),
            1 => Answer::status(404),
            2 => Answer::Break,
            3 => Answer::Hang,
            // Text, as far as this server goes: field 1 with field 1 in it.
            4 => Answer::Say(
                200,
                String::new(),
                format!("\n\u{2}\u{8}{}", char::from(rejected)),
            ),
            _ => Answer::status(200),
        }
    });
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "otel", "batch": {"records": 10},
        "to": {"type": "otlp", "url": format!("http://{}", server.address),
            "http": {"timeout_seconds": 1}},
    }]));
    forwarding.commit(30);
    let status = forwarding.wait_for_all("otel");
    assert_eq!((status.sent, status.failed, status.lost), (28, 2, 0));
    assert!(status.retried >= 40, "{status:?}");
    let mut numbers = Vec::new();
    // The first two were refused, the third broken, and the fourth read without an answer.
    for request in server.requests().iter().skip(3) {
        otlp::parse_protobuf(&plain(request), &mut |line| {
            numbers.extend(number(&String::from_utf8_lossy(&line.text)));
        })
        .unwrap();
    }
    assert_eq!(numbers, (1..=30).collect::<Vec<u64>>());
    forwarding.stop();
}

#[test]
fn tokens_are_sent_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs_err::write(&token, "hunter22-hunter22\n").unwrap();
    let server = HttpServer::start(|request| {
        let said = request.headers["authorization"].clone();
        Answer::Say(403, String::new(), format!("`{said}` is not let in"))
    });
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "s",
        "to": {"type": "splunk_hec", "url": format!("http://{}", server.address),
            "token": {"file": token}},
    }]));
    forwarding.commit(1);
    let status = forwarding.wait("s", "it is refused", |status| status.last_error.is_some());
    let error = status.last_error.unwrap();
    assert!(
        error.contains("not let in") && !error.contains("hunter22"),
        "{error}"
    );
    assert_eq!(
        server.requests()[0].headers["authorization"],
        "Splunk hunter22-hunter22"
    );
    assert_eq!((status.sent, status.failed), (0, 0));
    forwarding.stop();
    assert_eq!(stores.position("s"), 0);
}
