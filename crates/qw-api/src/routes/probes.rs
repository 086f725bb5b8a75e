//! Is it alive, is it ready?

use axum::{
    Json,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{routes::Routes, state::State};

pub(super) fn routes() -> Routes {
    vec![routes!(alive), routes!(ready)]
}

/// Answers while the process runs
#[utoipa::path(get, path = "/healthz", tag = "probes", responses(
    (status = 200, description = "It runs", body = String, content_type = "text/plain"),
))]
async fn alive() -> &'static str {
    "ok"
}

/// Whether requests and events are taken.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// True when every part is.
    ready: bool,
    /// True when events can be stored.
    store: bool,
}

/// Answers 200 while events can be stored, else 503
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "Not ready"),
))]
async fn ready(Extract(state): Extract<State>) -> Response {
    let store = !state.parts.pipeline.is_failing();
    let status = if store {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Readiness {
            ready: store,
            store,
        }),
    )
        .into_response()
}
