//! Stored events: pages, one, facets.

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use qw_event::EventId;
use qw_store::{EventPage, EventQuery, FacetQuery, Facets, QueryError};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    event_view::EventView,
    parameters::{
        DEFAULT_LIMIT, MAX_LIMIT, Parameters, event_cursor, filter, kinds, limit, order, range,
        seal_cursor,
    },
    problem::{Problem, ProblemBody},
    routes::Routes,
    state::State,
};

/// Range of a listing unless asked otherwise.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// Bytes of events in one page; a page that would be larger ends earlier and says where to go on.
const MAX_PAGE_BYTES: usize = 16 << 20;

const DEFAULT_FACETS: [&str; 8] = [
    "priority",
    "category",
    "rule",
    "container.name",
    "container.image.repository",
    "proc.name",
    "hostname",
    "source",
];

pub(super) fn routes() -> Routes {
    vec![routes!(events), routes!(facets), routes!(event)]
}

/// Which events, in which order, how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventParameters {
    /// Query, such as `rule:shell and priority>=Warning`; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// `event`, `log` for lines of container logs, or `all`; events when absent, unless the query names
    /// kinds.
    #[param(pattern = "^(event|log|all)?$", default = "event")]
    kind: Option<String>,
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "event-cursor")]
    cursor: Option<String>,
    /// `desc` (newest first) or `asc`.
    #[param(pattern = "^(asc|desc)?$", default = "desc")]
    order: Option<String>,
}

/// A page of events. It describes the answer; [`write_page`] writes it.
#[derive(Serialize, ToSchema)]
pub(super) struct EventList {
    /// The events, in the order asked for.
    items: Vec<EventView>,
    /// Where the next page begins; null when this is the last.
    next_cursor: Option<String>,
    /// False when the search took too long and stopped; `next_cursor` then goes on with it.
    complete: bool,
    /// Events looked at; absent for users who see only some containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<u64>,
}

/// Lists events
#[utoipa::path(get, path = "/api/events", tag = "events", params(EventParameters), responses(
    (status = 200, body = EventList),
))]
async fn events(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<EventParameters>,
) -> Result<Response, Problem> {
    let filter = filter(parameters.query.as_deref())?;
    let query = EventQuery {
        kinds: kinds(parameters.kind.as_deref(), &filter)?,
        range: range(
            parameters.start.as_deref(),
            parameters.end.as_deref(),
            HOUR,
            state.now(),
        )?,
        filter: visibility.narrow(filter),
        order: order(parameters.order.as_deref())?,
        after: event_cursor(parameters.cursor.as_deref())?,
        limit: limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        budget: state.parts.settings.query_budget,
    };
    page(&state, query, visibility).await
}

/// Answers with the page that `query` selects.
pub(super) async fn page(
    state: &State,
    query: EventQuery,
    visibility: Visibility,
) -> Result<Response, Problem> {
    // Written where it was read: a large page takes milliseconds.
    let body = state
        .ask(move |records| write_page(records.events(&query)?, &visibility))
        .await?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

fn write_page(mut page: EventPage, visibility: &Visibility) -> Result<Vec<u8>, QueryError> {
    let mut bytes = 0;
    let fits = page.events.iter().take_while(|stored| {
        let first = bytes == 0;
        bytes += stored.event.size_bytes();
        first || bytes <= MAX_PAGE_BYTES
    });
    let fits = fits.count();
    if fits < page.events.len() {
        page.events.truncate(fits);
        page.next = page.events.last().map(|stored| qw_store::PageCursor {
            time: stored.event.time,
            id: stored.id,
        });
    }
    let list = EventList {
        items: page.events.into_iter().map(EventView::from).collect(),
        next_cursor: page.next.map(|cursor| seal_cursor(&cursor.to_string())),
        complete: page.complete,
        scanned: visibility.tell(page.scanned),
    };
    serde_json::to_vec(&list).map_err(|error| QueryError::Invalid(error.to_string()))
}

/// Gives one event
#[utoipa::path(get, path = "/api/events/{id}", tag = "events",
    params(("id" = String, Path, description = "Number of the event", pattern = "^[0-9]{1,19}$")),
    responses(
        (status = 200, body = EventView),
        (status = 404, description = "There is none, or retention has dropped it", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn event(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
) -> Result<Json<EventView>, Problem> {
    let number: EventId = id
        .parse()
        .map_err(|_| Problem::invalid("the id of an event is a number"))?;
    let stored = state.ask(move |records| records.event(number)).await?;
    let stored = stored
        .filter(|stored| visibility.contains(&stored.event.container))
        .ok_or_else(|| Problem::not_found(format!("there is no event `{number}`")))?;
    Ok(Json(stored.into()))
}

/// Which fields of which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FacetParameters {
    /// Query; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// `event`, `log` for lines of container logs, or `all`; events when absent, unless the query names
    /// kinds.
    #[param(pattern = "^(event|log|all)?$", default = "event")]
    kind: Option<String>,
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// Names of fields with commas between them, at most 20.
    #[param(example = "priority,rule", format = "field-names-20")]
    fields: Option<String>,
    /// Values per field.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<usize>,
}

/// Most frequent values of some fields.
#[derive(Serialize, ToSchema)]
struct FacetList {
    /// One per field, in the order asked for.
    facets: Vec<FacetView>,
    /// False when the counts come from the newest part only.
    complete: bool,
    /// Events the counts come from; absent for users who see only some containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<u64>,
}

/// Most frequent values of one field.
#[derive(Serialize, ToSchema)]
#[schema(as = Facet)]
struct FacetView {
    /// Name of the field.
    field: String,
    /// Values, most frequent first.
    values: Vec<FacetValueView>,
    /// Events with other values.
    other: u64,
}

/// One value and how often it occurs.
#[derive(Serialize, ToSchema)]
#[schema(as = FacetValue)]
struct FacetValueView {
    /// The value.
    value: String,
    /// Events that have it.
    count: u64,
}

impl FacetList {
    fn new(facets: Facets, visibility: &Visibility) -> Self {
        let facet = |facet: qw_store::Facet| FacetView {
            field: facet.field,
            values: facet
                .values
                .into_iter()
                .map(|entry| FacetValueView {
                    value: entry.value,
                    count: entry.count,
                })
                .collect(),
            other: facet.other,
        };
        Self {
            facets: facets.facets.into_iter().map(facet).collect(),
            complete: facets.complete,
            scanned: visibility.tell(facets.scanned),
        }
    }
}

/// Counts the most frequent values of fields
#[utoipa::path(get, path = "/api/events/facets", tag = "events", params(FacetParameters), responses(
    (status = 200, body = FacetList),
))]
async fn facets(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<FacetParameters>,
) -> Result<Json<FacetList>, Problem> {
    let fields = field_names(parameters.fields.as_deref(), &DEFAULT_FACETS, 20)?;
    let filter = filter(parameters.query.as_deref())?;
    let query = FacetQuery {
        kinds: kinds(parameters.kind.as_deref(), &filter)?,
        range: range(
            parameters.start.as_deref(),
            parameters.end.as_deref(),
            HOUR,
            state.now(),
        )?,
        filter: visibility.narrow(filter),
        fields,
        limit: limit(parameters.limit, 10, 100)?,
        budget: state.parts.settings.query_budget,
    };
    let facets = state.ask(move |records| records.facets(&query)).await?;
    Ok(Json(FacetList::new(facets, &visibility)))
}

/// The names in a list with commas, or `default` when there is none.
pub(super) fn field_names(
    text: Option<&str>,
    default: &[&str],
    most: usize,
) -> Result<Vec<String>, Problem> {
    let names: Vec<String> = text
        .unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    if names.len() > most {
        return Err(Problem::invalid(format!(
            "at most {most} fields can be named"
        )));
    }
    if names
        .iter()
        .any(|name| name.chars().count() > 128 || name.chars().any(char::is_control))
    {
        return Err(Problem::invalid("a field has no such name"));
    }
    if names.is_empty() {
        return Ok(default.iter().map(|name| (*name).to_owned()).collect());
    }
    Ok(names)
}
