//! Questions to a Prometheus server: what is passed on, remembered, and bounded.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{Router, extract::RawQuery, routing::get};
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use super::harness::{Harness, encode};
use crate::HubOptions;

/// A server that answers with what it was asked, and counts; and a harness that knows it.
async fn server(path: &str) -> (Harness, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |RawQuery(query): RawQuery, headers: HeaderMap| {
        let number = count.fetch_add(1, Relaxed);
        let query = query.unwrap_or_default();
        let status = if query.contains("fail") {
            StatusCode::INTERNAL_SERVER_ERROR
        } else if query.contains("bad") {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        let credentials = headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let body = serde_json::json!({ "asked": query, "number": number, "auth": credentials });
        async move { (status, body.to_string()) }
    };
    let endless = get(|| async {
        axum::body::Body::from_stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 1 << 20]))
        }))
    });
    let router = Router::new()
        .route("/base/api/v1/query", get(answer))
        .route("/base/api/v1/query_range", endless);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let url = format!("http://user:secret@{address}{path}");
    let harness = Harness::with(
        |parts| parts.settings.prometheus_url = Some(url),
        HubOptions::default(),
    );
    (harness, asked)
}

#[tokio::test]
async fn a_query_is_passed_on_as_it_is_and_its_answer_remembered() {
    let (harness, asked) = server("/base/").await;
    let reader = harness.reader();
    let query = "sum by(rule,priority) (rate(syscall_events_total{container_name=\"web\"}[5m]))";
    let path = format!("/api/prom/query?query={}", encode(query));
    for _ in 0..3 {
        let answer = harness.get(&path, &reader).await.expect(200).json();
        assert_eq!(answer["asked"], format!("query={}", encode(query)));
        assert_eq!(answer["auth"], "Basic dXNlcjpzZWNyZXQ=");
    }
    assert_eq!(asked.load(Relaxed), 1);
    harness
        .get("/api/prom/query?query=other", &reader)
        .await
        .expect(200);
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_not_remembered() {
    let (harness, asked) = server("/base").await;
    let reader = harness.reader();
    for _ in 0..2 {
        let failed = harness.get("/api/prom/query?query=fail", &reader).await;
        assert_eq!(failed.code(), "upstream_failed");
        // What is wrong with the query is said in Prometheus' own words.
        let bad = harness
            .get("/api/prom/query?query=bad", &reader)
            .await
            .expect(400);
        assert_eq!(bad.json()["asked"], "query=bad");
    }
    assert_eq!(asked.load(Relaxed), 4);
    assert_eq!(
        harness.get("/api/prom/query", &reader).await.code(),
        "invalid_parameter"
    );
    let long = format!("/api/prom/query?query={}", "x".repeat(9_000));
    assert_eq!(
        harness.get(&long, &reader).await.code(),
        "invalid_parameter"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (harness, _) = server("/base").await;
    let answer = harness
        .get("/api/prom/query_range?query=up", &harness.reader())
        .await;
    assert_eq!(answer.code(), "upstream_failed");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let harness = Harness::with(
        |parts| parts.settings.prometheus_url = Some("http://127.0.0.1:1".to_owned()),
        HubOptions::default(),
    );
    let answer = harness
        .get("/api/prom/query?query=up", &harness.reader())
        .await;
    assert_eq!(answer.code(), "upstream_failed");
}
