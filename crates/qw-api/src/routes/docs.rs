//! The document of the API, and pages to read and try it.

use axum::{Json, Router, response::Redirect, routing::get};
use http::{HeaderValue, header};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::state::State;

/// `/api/openapi.json`, and `/docs/` with its files from the binary: it asks no other host.
pub(super) fn routes(document: utoipa::openapi::OpenApi) -> Router<State> {
    let config = Config::new(["/api/openapi.json"])
        // The validator's badge would ask a host on the internet.
        .validator_url("none")
        .try_it_out_enabled(false)
        .with_credentials(true);
    Router::new()
        .route(
            "/api/openapi.json",
            get(move || async move {
                let no_cache = HeaderValue::from_static("no-cache");
                ([(header::CACHE_CONTROL, no_cache)], Json(document))
            }),
        )
        .route("/docs/index.html", get(|| async { Redirect::to("/docs/") }))
        .merge(Router::from(SwaggerUi::new("/docs").config(config)))
}
