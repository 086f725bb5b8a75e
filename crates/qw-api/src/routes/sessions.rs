//! Sessions: one's own, and for administrators everyone's.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use http::StatusCode;
use qw_auth::Permission;
use qw_event::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::{Audit, LiveView, Who},
    guard::Caller,
    parameters::Parameters,
    problem::{Code, Problem, ProblemBody},
    routes::{
        Routes,
        access::{blocking, only_of},
    },
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![routes!(sessions), routes!(revoke_session)]
}

/// Whose sessions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SessionParameters {
    /// True lists those of everyone, for administrators.
    all: Option<bool>,
}

/// A session, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionInfo)]
struct SessionInfo {
    /// Public name of the session.
    id: String,
    /// Whose it is.
    username: String,
    /// When the user signed in.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    /// When it ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Address it was begun from.
    address: String,
    /// What the browser called itself.
    agent: String,
    /// True for the session that asks.
    current: bool,
}

/// Sessions.
#[derive(Serialize, ToSchema)]
struct SessionInfoList {
    /// The sessions, latest used first.
    items: Vec<SessionInfo>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists sessions
#[utoipa::path(get, path = "/api/sessions", tag = "access", params(SessionParameters), responses((status = 200, body = SessionInfoList)))]
async fn sessions(
    Extract(state): Extract<State>,
    caller: Caller,
    Parameters(parameters): Parameters<SessionParameters>,
) -> Result<Json<SessionInfoList>, Problem> {
    let all = parameters.all.unwrap_or(false);
    if all && !caller.0.allows(Permission::ManageAccess) {
        return Err(Problem::new(
            Code::Forbidden,
            "only administrators see everyone's sessions",
        ));
    }
    let own = match &caller.0.who {
        Who::Session(secret) => Some(secret.hash()),
        Who::Token(_) => None,
    };
    let name = (!all).then_some(caller.0.username.as_str());
    let view = |live: LiveView| SessionInfo {
        id: live.session.id(),
        current: Some(live.session.hash) == own,
        username: live.session.username,
        created: live.session.created,
        last_used: live.session.last_used,
        expires: live.expires,
        address: live.session.address,
        agent: live.session.agent,
    };
    let sessions = state.parts.access.sessions(name, state.now());
    Ok(Json(SessionInfoList {
        items: sessions.into_iter().map(view).collect(),
        next_cursor: None,
    }))
}

/// Ends a session; its open streams end
#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "access",
    params(("id" = String, Path, description = "Public name of the session")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "There is no such session of yours", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn revoke_session(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let only_of = only_of(&caller);
    blocking(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.end_session(&id, only_of.as_deref(), &audit, now)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
