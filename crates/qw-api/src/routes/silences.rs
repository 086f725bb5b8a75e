//! Silences: alerts that shall be quiet for a while.

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use qw_alerts::{MatchField, MatchOperator, Matcher, NewSilence, Silence};
use qw_event::Timestamp;
use qw_inventory::Inventory;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::{Audit, Visibility},
    guard::Caller,
    parameters::Body,
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

pub(super) fn read_routes() -> Routes {
    vec![routes!(silences)]
}

pub(super) fn write_routes() -> Routes {
    vec![routes!(create_silence), routes!(end_silence)]
}

/// Keeps the alerts that all matchers match quiet.
#[derive(Serialize, ToSchema)]
#[schema(as = Silence)]
struct SilenceView {
    /// Number.
    id: u64,
    /// What it silences.
    #[schema(value_type = Vec<MatcherBody>)]
    matchers: Vec<Matcher>,
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    starts: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    ends: Timestamp,
    /// Who made it.
    created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Why.
    comment: String,
    /// `pending`, `active` or `expired`.
    #[schema(example = "active")]
    state: &'static str,
}

/// One condition of a silence.
#[derive(ToSchema)]
#[schema(as = SilenceMatcher)]
#[expect(dead_code, reason = "describes the matcher to readers of the document")]
struct MatcherBody {
    /// `rule`, `source`, `priority`, `workload`, `container`, `image`, `namespace` or `hostname`.
    #[schema(pattern = "^(rule|source|priority|workload|container|image|namespace|hostname)$")]
    field: String,
    /// `equal` (the default), `not_equal`, `glob` or `not_glob`.
    #[schema(pattern = "^(equal|not_equal|glob|not_glob)$")]
    operator: Option<String>,
    /// With what; in globs `*` is any text and `?` one character.
    #[schema(max_length = 256)]
    value: String,
}

impl SilenceView {
    fn new(silence: Silence, now: Timestamp) -> Self {
        Self {
            state: if silence.is_active(now) {
                "active"
            } else if silence.ends <= now {
                "expired"
            } else {
                "pending"
            },
            id: silence.id,
            matchers: silence.matchers,
            starts: silence.starts,
            ends: silence.ends,
            created_by: silence.created_by,
            created: silence.created,
            comment: silence.comment,
        }
    }
}

/// All silences.
#[derive(Serialize, ToSchema)]
struct SilenceList {
    /// Newest first.
    items: Vec<SilenceView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists silences
///
/// Whoever is confined to some containers gets those that name nothing but rules, sources, priorities
/// and containers or namespaces of his own.
#[utoipa::path(get, path = "/api/silences", tag = "alerts", responses((status = 200, body = SilenceList)))]
async fn silences(Extract(state): Extract<State>, visibility: Visibility) -> Json<SilenceList> {
    let now = state.now();
    let silences = state.parts.desk.silences().into_iter().rev();
    Json(SilenceList {
        items: silences
            .filter(|silence| {
                let mut matchers = silence.matchers.iter();
                matchers.all(|matcher| may_be_named(matcher, &visibility, &state.parts.inventory))
            })
            .map(|silence| SilenceView::new(silence, now))
            .collect(),
        next_cursor: None,
    })
}

/// True when `matcher` names nothing that may not be seen.
fn may_be_named(matcher: &Matcher, visibility: &Visibility, inventory: &Inventory) -> bool {
    if visibility.is_everything() {
        return true;
    }
    let (value, is_equal) = (&matcher.value, matcher.operator == MatchOperator::Equal);
    match matcher.field {
        MatchField::Rule | MatchField::Source | MatchField::Priority => true,
        MatchField::Namespace => is_equal && visibility.has_namespace(value),
        MatchField::Container => {
            let known = inventory.container(value).filter(|_| is_equal);
            known.is_some_and(|container| visibility.contains_id(&container.id))
        }
        MatchField::Workload | MatchField::Image | MatchField::Hostname => false,
    }
}

/// A silence to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewSilence)]
#[serde(deny_unknown_fields)]
struct SilenceRequest {
    /// What to silence: alerts that all of these match.
    #[schema(value_type = Vec<MatcherBody>, min_items = 1, max_items = 20)]
    matchers: Vec<Matcher>,
    /// When it begins; now when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, deserialize_with = "crate::parameters::time_or_nearest")]
    starts: Option<Timestamp>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    #[serde(deserialize_with = "crate::parameters::time_or_nearest")]
    ends: Option<Timestamp>,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 256)]
    comment: String,
}

/// Makes a silence
#[utoipa::path(post, path = "/api/silences", tag = "alerts", request_body = SilenceRequest, responses(
    (status = 201, body = SilenceView),
))]
async fn create_silence(
    Extract(state): Extract<State>,
    caller: Caller,
    audit: Audit,
    Body(request): Body<SilenceRequest>,
) -> Result<Response, Problem> {
    let now = state.now();
    let ends = request
        .ends
        .ok_or_else(|| Problem::invalid("`ends` says when it ends"))?;
    let asked = NewSilence {
        matchers: request.matchers,
        starts: request.starts.unwrap_or(now),
        ends,
        comment: request.comment,
    };
    asked
        .check(now)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let (desk, who) = (state.parts.desk.clone(), caller.0.username.clone());
    let made = tokio::task::spawn_blocking(move || desk.add_silence(asked, &who, now)).await;
    let (silence, seen) = match made {
        Ok(made) => made.map_err(|error| Problem::internal("keep a silence", &error))?,
        Err(panic) => return Err(Problem::internal("make a silence", &panic)),
    };
    audit.action("silence.create", &silence.id.to_string());
    state.tell_alerts(&seen);
    Ok((StatusCode::CREATED, Json(SilenceView::new(silence, now))).into_response())
}

/// Ends a silence
#[utoipa::path(delete, path = "/api/silences/{id}", tag = "alerts",
    params(("id" = u64, Path, description = "Number of the silence", maximum = 9_007_199_254_740_991_u64)),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such silence", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn end_silence(
    Extract(state): Extract<State>,
    caller: Caller,
    audit: Audit,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    audit.action("silence.end", &id.chars().take(20).collect::<String>());
    let none = || Problem::new(Code::NotFound, format!("there is no silence {id}"));
    let number: u64 = id.parse().map_err(|_| none())?;
    let (desk, who, now) = (
        state.parts.desk.clone(),
        caller.0.username.clone(),
        state.now(),
    );
    let ended = tokio::task::spawn_blocking(move || desk.remove_silence(number, &who, now)).await;
    let seen = match ended {
        Ok(ended) => ended.map_err(|error| Problem::internal("end a silence", &error))?,
        Err(panic) => return Err(Problem::internal("end a silence", &panic)),
    };
    state.tell_alerts(&seen.ok_or_else(none)?);
    Ok(StatusCode::NO_CONTENT)
}
