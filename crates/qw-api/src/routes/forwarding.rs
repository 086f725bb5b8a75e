//! Where records are forwarded to, and how that goes.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use http::StatusCode;
use qw_event::Timestamp;
use qw_sinks::routes::{
    RouteConfig, RouteError, RouteState, RouteStatus, Routes as Forwarding, Target,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::Audit,
    parameters::Body,
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![
        routes!(forwarding_routes),
        routes!(put_route, remove_route),
        routes!(test_route),
        routes!(dead_letters),
        routes!(replay_dead_letters),
    ]
}

/// All routes.
#[derive(Serialize, ToSchema)]
struct RouteList {
    /// The routes, those of the configuration first.
    items: Vec<RouteView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// A route: which records go where. Counts begin anew with the process.
#[derive(Serialize, ToSchema)]
#[schema(as = Route)]
struct RouteView {
    /// Name.
    name: String,
    /// `syslog`, `tcp_json`, `gelf`, `fluentd`, `splunk_hec`, `loki`, `elasticsearch`, `otlp`, `http`,
    /// `nats`, `redis`, `mqtt`, `amqp`, `kafka`, `s3`, `cloudwatch` or `file`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where records go, without secrets.
    place: String,
    /// Query that a record has to match; empty when all do.
    #[serde(rename = "match")]
    matching: String,
    /// Kinds of records: `event`, `log`.
    kinds: Vec<&'static str>,
    /// Least urgency of a record.
    min_priority: &'static str,
    /// `running`, `waiting` (because of its own bound on records per second), `failing` (tries again) or
    /// `disabled`.
    state: &'static str,
    /// Records that the destination took.
    sent_total: u64,
    /// Bytes that were handed to it.
    sent_bytes_total: u64,
    /// Records that are not for this route.
    filtered_total: u64,
    /// Records that were refused for good.
    failed_total: u64,
    /// Records that were sent again.
    retried_total: u64,
    /// Records that retention dropped before they could be sent, at most.
    lost_total: u64,
    /// Texts that were cut, because the destination takes no longer ones.
    cut_total: u64,
    /// Refused records that are kept to be sent once more.
    dead_letters: u64,
    /// Records in the log that the route has not looked at.
    lag: u64,
    /// What was lost, in words.
    notice: Option<String>,
    /// When the destination last took records.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success: Option<Timestamp>,
    /// Newest failure, with its causes.
    last_error: Option<String>,
    /// When it failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_error_time: Option<Timestamp>,
}

impl RouteView {
    fn new(status: RouteStatus, config: Option<&RouteConfig>, dead_letters: u64) -> Self {
        Self {
            matching: config.map_or_else(String::new, |config| config.matching.clone()),
            kinds: config.map_or_else(Vec::new, |config| {
                config.kinds.iter().map(|kind| kind.as_str()).collect()
            }),
            min_priority: config.map_or("", |config| config.min_priority.as_str()),
            state: match status.state {
                RouteState::Disabled => "disabled",
                RouteState::Idle | RouteState::Sending => "running",
                RouteState::Paced => "waiting",
                RouteState::Retrying => "failing",
            },
            dead_letters,
            name: status.name,
            kind: status.kind,
            place: status.place,
            sent_total: status.sent,
            sent_bytes_total: status.sent_bytes,
            filtered_total: status.filtered,
            failed_total: status.failed,
            retried_total: status.retried,
            lost_total: status.lost,
            cut_total: status.cut,
            lag: status.lag,
            notice: status.notice,
            last_success: status.last_success,
            last_error: status.last_error,
            last_error_time: status.last_error_time,
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(100).collect()
}

fn forwarding<'a>(state: &'a State, name: &str) -> Result<&'a Forwarding, Problem> {
    let unknown = || {
        Problem::new(
            Code::NotFound,
            format!("there is no route `{}`", short(name)),
        )
    };
    state.parts.forwarding.as_ref().ok_or_else(unknown)
}

fn problem(error: RouteError) -> Problem {
    match &error {
        RouteError::Unknown(_) => Problem::new(Code::NotFound, error.to_string()),
        RouteError::Config(_) => Problem::invalid(error.to_string()),
        _ => Problem::internal("forward records", &error),
    }
}

/// Lists the routes
#[utoipa::path(get, path = "/api/routes", tag = "routes", responses(
    (status = 200, body = RouteList),
))]
async fn forwarding_routes(Extract(state): Extract<State>) -> Result<Json<RouteList>, Problem> {
    let mut items = Vec::new();
    if let Some(forwarding) = &state.parts.forwarding {
        let configs = forwarding.configs();
        for status in forwarding.statuses() {
            let config = configs.iter().find(|config| config.name == status.name);
            // One that was removed just now has none.
            let letters = forwarding
                .dead_letters(&status.name)
                .await
                .unwrap_or_default();
            items.push(RouteView::new(status, config, letters.len() as u64));
        }
    }
    Ok(Json(RouteList {
        items,
        next_cursor: None,
    }))
}

/// Adds a route, or replaces one
///
/// The body is what stands in the configuration under `routes`, without the name. It holds after a
/// restart, too, unless the configuration names a route alike. Files of the server, be it to write to or
/// to read a secret from, are left to the configuration.
#[utoipa::path(put, path = "/api/routes/{name}", tag = "routes",
    params(("name" = String, Path, description = "Name of the route")),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 204, description = "The route runs"),
        (status = 400, description = "The route cannot be like that", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn put_route(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
    Body(mut body): Body<Value>,
) -> Result<StatusCode, Problem> {
    audit.action("route.put", &short(&name));
    let forwarding = forwarding(&state, &name)?;
    if let Some(body) = body.as_object_mut() {
        body.insert("name".to_owned(), name.into());
    }
    if names_a_file(&body) {
        return Err(Problem::invalid(
            "files and variables of the server can only be named in its configuration",
        ));
    }
    let config: RouteConfig = serde_json::from_value(body)
        .map_err(|error| Problem::invalid(format!("the route cannot be read: {error}")))?;
    if matches!(config.to, Target::File(_)) {
        return Err(Problem::invalid(
            "a route to a file can only stand in the server's configuration",
        ));
    }
    forwarding.put(config).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// True when a secret, certificate or key is to be read from the server: whoever may set a route could
/// have it sent to himself.
fn names_a_file(value: &Value) -> bool {
    const NAMES: [&str; 6] = ["file", "env", "ca_file", "certificate", "key", "path"];
    match value {
        Value::Object(entries) => entries.iter().any(|(name, value)| {
            let is_free = name == "fields" || name == "headers";
            NAMES.contains(&name.as_str()) || (!is_free && names_a_file(value))
        }),
        Value::Array(values) => values.iter().any(names_a_file),
        _ => false,
    }
}

/// Ends a route
///
/// Its position and its dead letters are forgotten. A route of the configuration comes back with a
/// restart.
#[utoipa::path(delete, path = "/api/routes/{name}", tag = "routes",
    params(("name" = String, Path, description = "Name of the route")),
    responses(
        (status = 204, description = "The route has ended"),
        (status = 404, description = "There is no such route", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn remove_route(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    audit.action("route.remove", &short(&name));
    let forwarding = forwarding(&state, &name)?;
    forwarding.remove(&name).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a test record fared.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteTest)]
struct TestAnswer {
    /// True when the destination took it.
    ok: bool,
    /// What the destination said, or why it could not be reached.
    detail: String,
}

/// Sends a test record
///
/// It is marked as such. Answers once the destination has.
#[utoipa::path(post, path = "/api/routes/{name}/test", tag = "routes",
    params(("name" = String, Path, description = "Name of the route")),
    responses(
        (status = 200, body = TestAnswer),
        (status = 404, description = "There is no such route", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn test_route(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
) -> Result<Json<TestAnswer>, Problem> {
    audit.action("route.test", &short(&name));
    let (ok, detail) = match forwarding(&state, &name)?.test_send(&name).await {
        Ok(answer) => (true, answer),
        Err(error @ RouteError::Unknown(_)) => return Err(problem(error)),
        Err(error) => (false, error.to_string()),
    };
    Ok(Json(TestAnswer { ok, detail }))
}

/// Records that a destination refused for good.
#[derive(Serialize, ToSchema)]
struct DeadLetterList {
    /// The oldest first; the newest 1,000 are kept.
    items: Vec<DeadLetterView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// A record that a destination refused for good.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct DeadLetterView {
    /// Its number.
    id: String,
    /// What the destination said.
    reason: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

/// Lists what a destination refused
#[utoipa::path(get, path = "/api/routes/{name}/dead-letters", tag = "routes",
    params(("name" = String, Path, description = "Name of the route")),
    responses(
        (status = 200, body = DeadLetterList),
        (status = 404, description = "There is no such route", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn dead_letters(
    Extract(state): Extract<State>,
    Path(name): Path<String>,
) -> Result<Json<DeadLetterList>, Problem> {
    let letters = forwarding(&state, &name)?
        .dead_letters(&name)
        .await
        .map_err(problem)?;
    let view = |letter: qw_sinks::routes::DeadLetter| DeadLetterView {
        id: letter.id.0.to_string(),
        reason: letter.reason,
        time: letter.time,
    };
    Ok(Json(DeadLetterList {
        items: letters.into_iter().map(view).collect(),
        next_cursor: None,
    }))
}

/// What became of dead letters that were sent once more.
#[derive(Serialize, ToSchema)]
struct ReplayAnswer {
    /// Taken by the destination now.
    replayed: u64,
    /// Refused again.
    refused: u64,
    /// Dropped by retention in the meantime.
    missing: u64,
}

/// Sends what a destination refused once more
#[utoipa::path(post, path = "/api/routes/{name}/dead-letters/replay", tag = "routes",
    params(("name" = String, Path, description = "Name of the route")),
    responses(
        (status = 200, body = ReplayAnswer),
        (status = 404, description = "There is no such route", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn replay_dead_letters(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
) -> Result<Json<ReplayAnswer>, Problem> {
    audit.action("route.replay", &short(&name));
    let replayed = forwarding(&state, &name)?
        .replay_dead_letters(&name)
        .await
        .map_err(problem)?;
    Ok(Json(ReplayAnswer {
        replayed: replayed.sent,
        refused: replayed.refused,
        missing: replayed.missing,
    }))
}
