//! Users: listed, made, changed, removed.

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use qw_auth::{Origin, Permission::Triage, Role, User};
use qw_event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::{Audit, NewUser, UserChange},
    parameters::Body,
    problem::{Problem, ProblemBody},
    routes::{
        Routes,
        access::{DataScopeView, blocking, hashing},
    },
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![
        routes!(users, create_user),
        routes!(change_user, remove_user),
    ]
}

pub(super) fn triage_routes() -> Routes {
    vec![routes!(assignable)]
}

/// Somebody who can be asked to take care of alerts.
#[derive(Serialize, ToSchema)]
struct AssignableUser {
    /// Name.
    #[schema(example = "ada")]
    username: String,
    /// What the user may do.
    #[schema(value_type = RoleName)]
    role: Role,
}

/// Everyone who can be asked to take care of alerts.
#[derive(Serialize, ToSchema)]
struct AssignableUserList {
    /// The users, by name.
    items: Vec<AssignableUser>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists the users that alerts can be assigned to
///
/// They may triage, and are not disabled.
#[utoipa::path(get, path = "/api/users/assignable", tag = "alerts", responses((status = 200, body = AssignableUserList)))]
async fn assignable(Extract(state): Extract<State>) -> Json<AssignableUserList> {
    let users = state.parts.access.users().into_iter();
    let users = users.filter(|user| !user.disabled && user.role.permissions().allow(Triage));
    Json(AssignableUserList {
        items: users
            .map(|user| AssignableUser {
                username: user.name,
                role: user.role,
            })
            .collect(),
        next_cursor: None,
    })
}

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
struct UserView {
    /// Name, in lower case.
    #[schema(example = "ada")]
    username: String,
    /// What the user may do.
    #[schema(value_type = RoleName)]
    role: Role,
    /// Whose data the user sees; null for everything.
    scope: Option<DataScopeView>,
    /// `local`, or `oidc` when a provider proves who it is.
    #[schema(example = "local")]
    origin: &'static str,
    /// True while the user may not sign in.
    disabled: bool,
    /// When the user was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When the user last signed in.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_sign_in: Option<Timestamp>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            username: user.name,
            role: user.role,
            scope: user.scope.map(DataScopeView::from),
            origin: match user.origin {
                Origin::Local => "local",
                Origin::Oidc { .. } => "oidc",
            },
            disabled: user.disabled,
            created: user.created,
            last_sign_in: user.last_sign_in,
        }
    }
}

/// What a user may do; each role may do what the one before may.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "describes `qw_auth::Role` to readers of the document"
)]
enum RoleName {
    LogReader,
    Viewer,
    Analyst,
    Admin,
}

/// All users.
#[derive(Serialize, ToSchema)]
struct UserList {
    /// The users, by name.
    items: Vec<UserView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists users
#[utoipa::path(get, path = "/api/users", tag = "access", responses((status = 200, body = UserList)))]
async fn users(Extract(state): Extract<State>) -> Json<UserList> {
    let users = state.parts.access.users().into_iter();
    Json(UserList {
        items: users.map(UserView::from).collect(),
        next_cursor: None,
    })
}

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserRequest {
    /// Name: a-z, 0-9, `.`, `_`, `-`, `@`.
    #[schema(min_length = 1, max_length = 64)]
    username: String,
    /// Password, at least 12 characters; made up and told once when absent.
    #[schema(min_length = 12)]
    #[serde(default)]
    password: Option<String>,
    /// What the user may do.
    #[schema(value_type = RoleName)]
    role: Role,
    /// Whose data the user sees; everything when absent.
    #[serde(default)]
    scope: Option<DataScopeView>,
}

/// A user who has just been made.
#[derive(Serialize, ToSchema)]
struct UserCreated {
    #[serde(flatten)]
    view: UserView,
    /// The password that was made up. It is shown here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// Makes a user
#[utoipa::path(post, path = "/api/users", tag = "access", request_body = UserRequest, responses(
    (status = 201, body = UserCreated),
    (status = 409, description = "A user of this name exists, or there are as many as there may be", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create_user(
    Extract(state): Extract<State>,
    audit: Audit,
    Body(asked): Body<UserRequest>,
) -> Result<Response, Problem> {
    let new = NewUser {
        name: asked.username,
        password: asked.password,
        role: asked.role,
        scope: asked.scope.map(TryInto::try_into).transpose()?,
    };
    let (user, password) = hashing(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.add_user(new, &audit, now)
    })
    .await?;
    tracing::info!(user = user.name, role = user.role.as_str(), "user made");
    let created = UserCreated {
        view: user.into(),
        password: password.map(|password| password.expose().to_owned()),
    };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// What is to be different in a user; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChangeRequest {
    /// What the user may do.
    #[schema(value_type = Option<RoleName>)]
    role: Option<Role>,
    /// Whose data the user sees; null for everything.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<DataScopeView>)]
    #[expect(
        clippy::option_option,
        reason = "absent, null and a scope are three things"
    )]
    scope: Option<Option<DataScopeView>>,
    /// True ends the user's sessions and lets nobody in.
    disabled: Option<bool>,
    /// A new password, at least 12 characters; ends the user's sessions.
    #[schema(min_length = 12)]
    password: Option<String>,
}

/// Tells null from absent.
#[expect(
    clippy::option_option,
    reason = "absent, null and a scope are three things"
)]
fn said<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<DataScopeView>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes a user; new rights count at once, also for the user's tokens and open streams
#[utoipa::path(patch, path = "/api/users/{name}", tag = "access", request_body = UserChangeRequest,
    params(("name" = String, Path, description = "Name of the user")),
    responses(
        (status = 200, body = UserView),
        (status = 404, description = "There is no such user", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The last active administrator must stay one", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn change_user(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
    Body(asked): Body<UserChangeRequest>,
) -> Result<Json<UserView>, Problem> {
    let scope = match asked.scope {
        None => None,
        Some(None) => Some(None),
        Some(Some(scope)) => Some(Some(scope.try_into()?)),
    };
    let change = UserChange {
        role: asked.role,
        scope,
        disabled: asked.disabled,
        password: asked.password,
    };
    let user = hashing(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.change_user(&name, change, &audit, now)
    })
    .await?;
    tracing::info!(user = user.name, "user changed");
    Ok(Json(user.into()))
}

/// Removes a user with all sessions and tokens
#[utoipa::path(delete, path = "/api/users/{name}", tag = "access",
    params(("name" = String, Path, description = "Name of the user")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is no such user", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The last active administrator must stay", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn remove_user(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    blocking(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.remove_user(&name, &audit, now)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
