//! Saved views of the console.

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use qw_auth::Permission;
use qw_event::Timestamp;
use qw_store::StateChange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::Audit,
    guard::Caller,
    parameters::Body,
    problem::{Code, Problem, ProblemBody},
    routes::{Routes, access::blocking},
    state::State,
};

const VIEWS: &str = "views";
const MAX_VIEWS: usize = 1_000;
const MAX_NAME_CHARACTERS: usize = 100;
const MAX_STATE_CHARACTERS: usize = 16 << 10;

pub(super) fn read_routes() -> Routes {
    vec![routes!(views)]
}

pub(super) fn write_routes() -> Routes {
    vec![routes!(create), routes!(change, delete)]
}

/// A saved view.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct View {
    /// Id.
    id: String,
    /// What people call it.
    name: String,
    /// Page of the console.
    #[schema(example = "events")]
    page: String,
    /// Query string of the page's address.
    state: String,
    /// True when other users see it too.
    shared: bool,
    /// User who made it.
    owner: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
}

/// Saved views.
#[derive(Serialize, ToSchema)]
struct ViewList {
    /// Own and shared views, by name.
    items: Vec<View>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists saved views
#[utoipa::path(get, path = "/api/views", tag = "views", responses((status = 200, body = ViewList)))]
async fn views(Extract(state): Extract<State>, caller: Caller) -> Result<Json<ViewList>, Problem> {
    let owner = caller.0.username;
    let mut items = read(&state).await?;
    items.retain(|view| view.shared || view.owner == owner);
    items.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(Json(ViewList {
        items,
        next_cursor: None,
    }))
}

/// A view to be saved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewView {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    /// Page of the console.
    #[schema(
        example = "events",
        min_length = 1,
        max_length = 100,
        pattern = "^[a-z-]+$"
    )]
    page: String,
    /// Query string of the page's address.
    #[schema(max_length = 16_384)]
    state: String,
    /// True when other users should see it too.
    #[serde(default)]
    shared: bool,
}

/// Saves a view
#[utoipa::path(post, path = "/api/views", tag = "views", request_body = NewView, responses(
    (status = 201, body = View),
    (status = 409, description = "There are as many views as there may be", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Body(new): Body<NewView>,
) -> Result<Response, Problem> {
    let name = plain("name", &new.name)?;
    let page = plain("page", &new.page)?;
    check_state(&new.state)?;
    if !page
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    {
        return Err(Problem::invalid(
            "`page` is the name of a page, such as `events`",
        ));
    }
    if read(&state).await?.len() >= MAX_VIEWS {
        return Err(Problem::new(
            Code::Conflict,
            format!("there are {MAX_VIEWS} views; remove one first"),
        ));
    }
    let id = getrandom::u64().map_err(|error| Problem::internal("make an id", &error))?;
    let view = View {
        id: format!("{id:016x}"),
        name,
        page,
        state: new.state,
        shared: new.shared,
        owner: caller.0.username,
        created: state.now(),
    };
    put(&state, &view, "view.create", audit).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// What is to be different in a view; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ViewChange {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: Option<String>,
    /// Query string of the page's address.
    #[schema(max_length = 16_384)]
    state: Option<String>,
    /// True when other users should see it too.
    shared: Option<bool>,
}

/// Changes a saved view
#[utoipa::path(patch, path = "/api/views/{id}", tag = "views", request_body = ViewChange,
    params(("id" = String, Path, description = "Id of the view")),
    responses(
        (status = 200, body = View),
        (status = 404, description = "There is no such view", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn change(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<ViewChange>,
) -> Result<Json<View>, Problem> {
    let mut view = changeable(&state, &caller, &id).await?;
    if let Some(name) = change.name {
        view.name = plain("name", &name)?;
    }
    if let Some(text) = change.state {
        check_state(&text)?;
        view.state = text;
    }
    if let Some(shared) = change.shared {
        view.shared = shared;
    }
    put(&state, &view, "view.change", audit).await?;
    Ok(Json(view))
}

/// Removes a saved view
#[utoipa::path(delete, path = "/api/views/{id}", tag = "views",
    params(("id" = String, Path, description = "Id of the view")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is no such view", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn delete(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    changeable(&state, &caller, &id).await?;
    audit.action("view.delete", &id);
    blocking(&state, move |state| {
        let change = StateChange::Delete {
            collection: VIEWS,
            key: &id,
        };
        let (access, now) = (&state.parts.access, state.now());
        access.write(&[change], &audit, now)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The view, when `caller` sees it and may change or remove it.
async fn changeable(state: &State, caller: &Caller, id: &str) -> Result<View, Problem> {
    let missing = || Problem::not_found(format!("there is no view `{id}`"));
    let view = read(state)
        .await?
        .into_iter()
        .find(|view| view.id == id)
        .ok_or_else(missing)?;
    let is_own = view.owner == caller.0.username;
    if !is_own && !view.shared {
        return Err(missing());
    }
    if !is_own && !caller.0.allows(Permission::ManageAccess) {
        return Err(Problem::new(Code::Forbidden, "the view is another user's"));
    }
    Ok(view)
}

async fn put(
    state: &State,
    view: &View,
    action: &'static str,
    audit: Audit,
) -> Result<(), Problem> {
    let (key, value) = (view.id.clone(), to_json(view)?);
    audit.action(action, &key);
    audit.detail(view.name.clone());
    blocking(state, move |state| {
        let change = StateChange::Put {
            collection: VIEWS,
            key: &key,
            value: &value,
        };
        let (access, now) = (&state.parts.access, state.now());
        access.write(&[change], &audit, now)
    })
    .await
}

fn check_state(text: &str) -> Result<(), Problem> {
    if text.chars().count() > MAX_STATE_CHARACTERS {
        return Err(Problem::invalid(format!(
            "`state` is longer than {MAX_STATE_CHARACTERS} characters"
        )));
    }
    Ok(())
}

async fn read(state: &State) -> Result<Vec<View>, Problem> {
    let rows = state.documents(|documents| documents.list(VIEWS)).await?;
    rows.into_iter()
        .map(|(_, value)| {
            serde_json::from_str(&value)
                .map_err(|error| Problem::internal("read a saved view", &error))
        })
        .collect()
}

fn to_json(view: &View) -> Result<String, Problem> {
    serde_json::to_string(view).map_err(|error| Problem::internal("write a saved view", &error))
}

fn plain(what: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > MAX_NAME_CHARACTERS || text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "`{what}` has 1 to {MAX_NAME_CHARACTERS} printable characters"
        )));
    }
    Ok(text.to_owned())
}
