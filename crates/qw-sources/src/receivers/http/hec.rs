//! Splunk's HTTP event collector.
//!
//! Source: Splunk, "Format events for HTTP Event Collector" and "HTTP Event Collector REST API
//! endpoints".

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use qw_wire::hec;

use super::{Invalid, Receiver, Refused};

/// What the query of a raw request may say, and what is done with each line.
const RAW_PARAMETERS: [&str; 5] = ["host", "source", "sourcetype", "index", "time"];

pub(super) fn router(receiver: Receiver) -> Router {
    // Docker's driver asks with OPTIONS whether somebody is there.
    let events = || post(events).options(async || StatusCode::OK);
    let raw = || post(raw).options(async || StatusCode::OK);
    let health = || get(async || json(StatusCode::OK, hec::HEALTHY));
    Router::new()
        .route("/services/collector", events())
        .route("/services/collector/event", events())
        .route("/services/collector/event/1.0", events())
        .route("/services/collector/raw", raw())
        .route("/services/collector/raw/1.0", raw())
        .route("/services/collector/health", health())
        .route("/services/collector/health/1.0", health())
        .route("/services/collector/ack", post(acknowledgements))
        .with_state(receiver)
}

fn json(status: StatusCode, body: impl Into<String>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.into()).into_response()
}

/// A refusal in Splunk's words.
fn refuse(refused: Refused) -> Response {
    // 9: "Server is busy", 6: "Invalid data format", 8: "Internal server error".
    let code = match refused.status {
        StatusCode::SERVICE_UNAVAILABLE => 9,
        status if status.is_server_error() => 8,
        _ => 6,
    };
    let body = serde_json::json!({"text": refused.text, "code": code});
    json(refused.status, body.to_string())
}

/// What a request is answered whose events are on disk. One with a channel wants a number by which it
/// can ask; the answer to that is always yes.
fn taken(has_channel: bool) -> Response {
    let body = if has_channel {
        hec::success_with_acknowledgement(0)
    } else {
        hec::success().to_owned()
    };
    json(StatusCode::OK, body)
}

fn has_channel(request: &Request) -> bool {
    let in_query = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|each| each.starts_with("channel=")));
    in_query || request.headers().contains_key("x-splunk-request-channel")
}

async fn events(State(receiver): State<Receiver>, request: Request) -> Response {
    let has_channel = has_channel(&request);
    let result = receiver
        .receive(request, |body, each| {
            hec::parse_events(body, each).map_err(invalid)
        })
        .await;
    answer(result, has_channel)
}

async fn raw(State(receiver): State<Receiver>, request: Request) -> Response {
    let has_channel = has_channel(&request);
    let query = request.uri().query().unwrap_or_default();
    let parameters: Vec<(String, String)> = form(query)
        .filter(|(name, _)| RAW_PARAMETERS.contains(&name.as_str()))
        .collect();
    let result = receiver
        .receive(request, move |body, each| {
            let parameters: Vec<(&str, &str)> = parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            hec::parse_raw(body, &parameters, each).map_err(invalid)
        })
        .await;
    answer(result, has_channel)
}

fn invalid(fault: hec::Fault) -> Invalid<hec::Fault> {
    let reason = fault.reason();
    Invalid { fault, reason }
}

fn answer(result: Result<Result<usize, hec::Fault>, Refused>, has_channel: bool) -> Response {
    match result {
        Ok(Ok(_)) => taken(has_channel),
        Ok(Err(fault)) => json(StatusCode::BAD_REQUEST, fault.answer()),
        Err(refused) => refuse(refused),
    }
}

async fn acknowledgements(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match receiver.body(&parts.headers, body).await {
        Ok(body) => body,
        Err(refused) => return refuse(refused),
    };
    match hec::parse_acknowledgements(&body.bytes) {
        Ok(ids) => {
            let stored = ids.into_iter().map(|id| (id, true));
            json(StatusCode::OK, hec::acknowledged(stored))
        }
        Err(fault) => json(StatusCode::BAD_REQUEST, fault.answer()),
    }
}

/// Names and values of a query.
pub(super) fn form(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter(|each| !each.is_empty())
        .map(move |each| {
            let (name, value) = each.split_once('=').unwrap_or((each, ""));
            (decode(name), decode(value))
        })
}
