//! Questions to Prometheus, when one is configured.

use axum::{
    extract::{RawQuery, State as Extract},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use utoipa_axum::routes;

use crate::{
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

/// Longest query string, in bytes.
const MAX_QUERY: usize = 8 << 10;

pub(super) fn routes() -> Routes {
    vec![routes!(query), routes!(query_range)]
}

/// Asks Prometheus for values at an instant
///
/// Parameters and answer are Prometheus' own (`GET /api/v1/query`). Answers are remembered for ten
/// seconds. The templates of earlier consoles work unchanged, with windows of 5 and 15 minutes:
/// `sum by (priority) (rate(syscall_events_total{container_name="web"}[5m]))`.
#[utoipa::path(get, path = "/api/prom/query", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("time" = Option<String>, Query, description = "Instant; now when absent"),
        ("timeout" = Option<String>, Query, description = "Longest time for the answer"),
    ),
    responses(
        (status = 200, description = "Prometheus' answer", body = Object),
        (status = 404, description = "No Prometheus is configured", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "Prometheus does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn query(
    Extract(state): Extract<State>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    forward(&state, "query", text.as_deref()).await
}

/// Asks Prometheus for values over a range
///
/// Parameters and answer are Prometheus' own (`GET /api/v1/query_range`). Answers are remembered
/// for ten seconds.
#[utoipa::path(get, path = "/api/prom/query_range", tag = "prometheus",
    params(
        ("query" = String, Query, description = "PromQL"),
        ("start" = String, Query, description = "Begin"),
        ("end" = String, Query, description = "End"),
        ("step" = String, Query, description = "Distance of the values"),
        ("timeout" = Option<String>, Query, description = "Longest time for the answer"),
    ),
    responses(
        (status = 200, description = "Prometheus' answer", body = Object),
        (status = 404, description = "No Prometheus is configured", body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "Prometheus does not answer", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn query_range(
    Extract(state): Extract<State>,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    forward(&state, "query_range", text.as_deref()).await
}

async fn forward(state: &State, endpoint: &str, text: Option<&str>) -> Result<Response, Problem> {
    let Some(prometheus) = &state.prometheus else {
        return Err(Problem::not_found(
            "no Prometheus is configured (`PROMETHEUS_URL`)",
        ));
    };
    let text = text.unwrap_or("");
    if text.is_empty() {
        return Err(Problem::invalid("`query` is missing"));
    }
    if text.len() > MAX_QUERY {
        return Err(Problem::invalid(format!(
            "the query is longer than {MAX_QUERY} bytes"
        )));
    }
    let answer = prometheus.ask(endpoint, text).await?;
    if answer.status.is_server_error() || answer.status.is_redirection() {
        return Err(Problem::new(
            Code::UpstreamFailed,
            format!("prometheus answers {}", answer.status.as_u16()),
        ));
    }
    // What is wrong with a query Prometheus says itself, in its own form.
    let json = HeaderValue::from_static("application/json");
    Ok((answer.status, [(header::CONTENT_TYPE, json)], answer.body).into_response())
}
