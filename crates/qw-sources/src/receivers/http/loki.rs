//! Grafana Loki's push API.
//!
//! Source: Grafana Loki, "HTTP API: Ingest logs".

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use qw_wire::loki;

use super::{Invalid, Receiver};

pub(super) fn router(receiver: Receiver) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push))
        .route("/api/prom/push", post(push))
        .route("/ready", get(async || "ready\n"))
        .with_state(receiver)
}

async fn push(State(receiver): State<Receiver>, request: Request) -> Response {
    let is_json = is_json(request.headers());
    let result = receiver
        .receive(request, move |body, each| {
            let parsed = if is_json {
                loki::parse_json(body, each)
            } else {
                loki::parse_protobuf(body, each)
            };
            parsed.map_err(|fault| Invalid {
                reason: fault.reason(),
                fault,
            })
        })
        .await;
    match result {
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(fault)) => (StatusCode::BAD_REQUEST, fault.to_string()).into_response(),
        // Senders repeat what is answered with 429 or 5xx.
        Err(refused) => (refused.status, refused.text).into_response(),
    }
}

/// True when the body is JSON, by its type.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("application/json"))
}
