//! Events as they come.

use axum::{
    Extension,
    body::Body,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use qw_auth::Permission;
use qw_event::EventId;
use qw_store::query::Filter;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    guard::Caller,
    listen::Stopping,
    parameters::{Parameters, filter, priority_filter},
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
    stream::{Subscription, Types, Wanted},
};

pub(super) fn routes() -> Routes {
    vec![routes!(stream), routes!(container_stream)]
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StreamParameters {
    /// Query; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// Least urgent priority that is wanted, such as `Warning`; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// What is to come, with commas: `event`, `alert`, `log`; events and alerts when empty. Lines of
    /// logs come in messages of events. Heartbeats always come, gaps when events or lines do.
    #[param(
        example = "alert",
        pattern = "^((event|alert|log)(,(event|alert|log))*)?$",
        default = "event,alert"
    )]
    types: Option<String>,
    /// Resumes after this event; the header `Last-Event-ID` says the same and wins.
    #[param(pattern = "^[0-9]{0,19}$")]
    last_event_id: Option<String>,
}

/// One event of a stream, as clients of server-sent events see it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes messages to readers of the document")]
struct StreamEvent {
    /// Cursor to resume from.
    #[schema(pattern = "^[0-9]+$", example = "123")]
    id: String,
    /// Always `message`: events have no names.
    #[schema(pattern = "^message$")]
    event: Option<String>,
    /// JSON: `{"type":"event|alert|heartbeat|gap","ts":"…","container":"…","payload":…}`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Streams the events of all containers
///
/// Server-sent events without names. `id` is a cursor; `data` is
/// `{"type":"event|alert|heartbeat|gap","ts":"…","container":"…","payload":…}`. Events are merged over
/// 500 ms into `{"events":[…]}`; what has become of alerts comes before the events that caused it, as
/// `{"alerts":[…]}`; a heartbeat `{"last_event_id":"…"}` comes at once and every 30 s;
/// `{"missed":n,"from":"…","to":"…"}` tells of a gap. `types` leaves events or alerts out. Clients give a stream up after 90 s of
/// silence.
#[utoipa::path(get, path = "/api/stream", tag = "streams", params(StreamParameters), responses(
    (status = 200, description = "The stream", body = StreamEvent, content_type = "text/event-stream"),
    (status = 503, description = "There are as many streams as there may be", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn stream(
    Extract(state): Extract<State>,
    caller: Caller,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<StreamParameters>,
) -> Result<Response, Problem> {
    open(state, caller, stopping, &headers, &parameters, None)
}

/// Streams the events of one container
///
/// As the stream of all containers. The container need not be known yet.
#[utoipa::path(get, path = "/api/stream/{container}", tag = "streams",
    params(
        ("container" = String, Path, description = "Id, a prefix of it of at least 12 characters, or name"),
        StreamParameters,
    ),
    responses(
        (status = 200, description = "The stream", body = StreamEvent, content_type = "text/event-stream"),
        (status = 503, description = "There are as many streams as there may be", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn container_stream(
    Extract(state): Extract<State>,
    caller: Caller,
    stopping: Option<Extension<Stopping>>,
    Path(container): Path<String>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<StreamParameters>,
) -> Result<Response, Problem> {
    open(
        state,
        caller,
        stopping,
        &headers,
        &parameters,
        Some(container),
    )
}

fn open(
    state: State,
    caller: Caller,
    stopping: Option<Extension<Stopping>>,
    headers: &HeaderMap,
    parameters: &StreamParameters,
    container: Option<String>,
) -> Result<Response, Problem> {
    let of_container = container
        .as_deref()
        .map_or(Filter::everything(), Filter::container);
    let filter = of_container
        .and(priority_filter(parameters.priority.as_deref())?)
        .and(filter(parameters.query.as_deref())?);
    let types = types(parameters.types.as_deref())?;
    if !types.events && !types.logs && !caller.0.allows(Permission::View) {
        return Err(Problem::new(
            Code::Forbidden,
            "alerts need the permission `view`",
        ));
    }
    let last_seen = last_seen(headers, parameters.last_event_id.as_deref())?;
    let seat = state
        .parts
        .hub
        .join()
        .ok_or_else(|| Problem::unavailable("there are as many streams as there may be"))?;
    let visibility = Visibility::new(caller.0.scope.clone(), &state.parts.inventory);
    let container_id = container.map_or(String::new(), |asked| {
        let known = state.parts.inventory.container(&asked);
        let known = known.filter(|known| visibility.contains_id(&known.id));
        known.map_or(asked, |known| known.id.clone())
    });
    let stop = stopping
        .map(|Extension(Stopping(stop))| stop)
        .unwrap_or_default();
    let wanted = Wanted {
        types,
        filter,
        container: container_id,
    };
    let subscription = Subscription::new(state, caller.0, wanted, last_seen, stop, seat);
    let mut response = Body::from_stream(subscription.into_stream()).into_response();
    let answer = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx would collect the messages otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        answer.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn types(text: Option<&str>) -> Result<Types, Problem> {
    let words = text.unwrap_or("").split(',').map(str::trim);
    let mut types = Types {
        events: false,
        logs: false,
        alerts: false,
    };
    for word in words.filter(|word| !word.is_empty()) {
        match word {
            "event" => types.events = true,
            "alert" => types.alerts = true,
            "log" => types.logs = true,
            _ => return Err(Problem::invalid("`types` lists `event`, `alert`, `log`")),
        }
    }
    Ok(match types {
        Types {
            events: false,
            logs: false,
            alerts: false,
        } => Types {
            events: true,
            logs: false,
            alerts: true,
        },
        types => types,
    })
}

fn last_seen(headers: &HeaderMap, parameter: Option<&str>) -> Result<Option<EventId>, Problem> {
    let header = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let text = header
        .or(parameter)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    text.map(str::parse)
        .transpose()
        .map_err(|_| Problem::invalid("the last event's id is not a number"))
}
