//! OpenTelemetry logs, over HTTP and over gRPC.
//!
//! Source: OpenTelemetry, "OTLP Specification 1.10". A call of gRPC with one message each way is a
//! request of HTTP/2 whose body is framed and whose outcome stands in the trailers, so nothing more than
//! that is needed here.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use qw_event::InvalidReason;
use qw_wire::otlp::{self, grpc};

use super::{Invalid, Receiver, Refused, loki::is_json};

/// gRPC's codes.
const OK: i32 = 0;
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;

pub(super) fn router(receiver: Receiver) -> Router {
    Router::new()
        .route("/v1/logs", post(over_http))
        .route(
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            post(over_grpc),
        )
        .fallback(other)
        .with_state(receiver)
}

async fn over_http(State(receiver): State<Receiver>, request: Request) -> Response {
    let is_json = is_json(request.headers());
    let result = receiver
        .receive(request, move |body, each| {
            let parsed = if is_json {
                otlp::parse_json(body, each)
            } else {
                otlp::parse_protobuf(body, each)
            };
            parsed.map_err(|fault| Invalid {
                reason: fault.reason(),
                fault,
            })
        })
        .await;
    let (status, body) = match result {
        Ok(Ok(_)) if is_json => (StatusCode::OK, otlp::answer_json(0, "").into_bytes()),
        Ok(Ok(_)) => (StatusCode::OK, otlp::answer_protobuf(0, "")),
        Ok(Err(fault)) => {
            let status = StatusCode::BAD_REQUEST;
            (
                status,
                failure(is_json, INVALID_ARGUMENT, &fault.to_string()),
            )
        }
        Err(refused) => (
            refused.status,
            failure(is_json, code_of(&refused), &refused.text),
        ),
    };
    let content_type = if is_json {
        "application/json"
    } else {
        "application/x-protobuf"
    };
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn failure(is_json: bool, code: i32, text: &str) -> Vec<u8> {
    if is_json {
        otlp::status_json(code, text).into_bytes()
    } else {
        otlp::status_protobuf(code, text)
    }
}

fn code_of(refused: &Refused) -> i32 {
    match refused.status {
        StatusCode::PAYLOAD_TOO_LARGE => RESOURCE_EXHAUSTED,
        status if status.is_client_error() => INVALID_ARGUMENT,
        _ => UNAVAILABLE,
    }
}

async fn over_grpc(State(receiver): State<Receiver>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // Compression is said for the message within the frame, not for the body.
    let encoding = parts.headers.remove("grpc-encoding");
    parts.headers.remove(header::CONTENT_ENCODING);
    let exported = export(&receiver, &parts.headers, body, encoding).await;
    match exported {
        Ok(()) => call_ended(grpc::frame(&otlp::answer_protobuf(0, "")), OK, ""),
        Err((code, text)) => call_ended(Vec::new(), code, &text),
    }
}

async fn export(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: Body,
    encoding: Option<HeaderValue>,
) -> Result<(), (i32, String)> {
    let refused = |refused: Refused| (code_of(&refused), refused.text);
    let invalid = |fault: otlp::Fault| (INVALID_ARGUMENT, fault.to_string());
    let _place = receiver.place().map_err(refused)?;
    let framed = receiver.body(headers, body).await.map_err(refused)?;
    let (is_compressed, message) = grpc::unframe(&framed.bytes).map_err(invalid)?;
    let message = if is_compressed {
        let mut headers = HeaderMap::new();
        headers.extend(encoding.map(|encoding| (header::CONTENT_ENCODING, encoding)));
        let message = Body::from(Bytes::copy_from_slice(message));
        receiver.body(&headers, message).await.map_err(refused)?
    } else {
        let message = Body::from(Bytes::copy_from_slice(message));
        receiver
            .body(&HeaderMap::new(), message)
            .await
            .map_err(refused)?
    };
    drop(framed);
    let result = receiver
        .receive_body(message, |body, each| {
            otlp::parse_protobuf(body, each).map_err(|fault| Invalid {
                reason: fault.reason(),
                fault,
            })
        })
        .await;
    result.map_err(refused)?.map(drop).map_err(invalid)
}

/// The answer to a call: a body, and its outcome in the trailers.
fn call_ended(body: Vec<u8>, code: i32, text: &str) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    let text = percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string();
    if let (false, Ok(text)) = (text.is_empty(), HeaderValue::from_str(&text)) {
        trailers.insert("grpc-message", text);
    }
    let body = Full::new(Bytes::from(body)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let content_type = [(header::CONTENT_TYPE, "application/grpc")];
    (content_type, Body::new(body)).into_response()
}

/// Traces and metrics have no place here, which senders are told in their own words.
async fn other(State(receiver): State<Receiver>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let status = receiver.0.shared.intake.status();
    status.received(1, 0, crate::clock::now());
    status.invalid(InvalidReason::NotAnEvent, path.as_bytes());
    let is_call = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/grpc"));
    if is_call {
        return call_ended(Vec::new(), UNIMPLEMENTED, "only logs are received here");
    }
    let text = "only logs are received here, at /v1/logs";
    (StatusCode::NOT_FOUND, text).into_response()
}
