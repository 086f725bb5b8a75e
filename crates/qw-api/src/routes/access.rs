//! Setup, sessions, passwords, tokens.

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use qw_auth::{
    ApiToken, DataScope, LabelMatch, NewToken, Permission, Scope, SessionSecret, TokenRefused, User,
};
use qw_event::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::{AccessError, Audit, SignedIn, Visitor, Who},
    guard::{Caller, Peer, SESSION_COOKIE, check_origin},
    parameters::{Body, time_or_nearest},
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

/// For everyone.
pub(super) fn open_routes() -> Routes {
    vec![routes!(setup_state, set_up), routes!(sign_in)]
}

/// For whoever is signed in.
pub(super) fn session_routes() -> Routes {
    vec![routes!(session, sign_out), routes!(change_password)]
}

/// For whoever may have tokens.
pub(super) fn token_routes() -> Routes {
    vec![routes!(tokens, create_token), routes!(revoke_token)]
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Wrong => Self::unauthenticated("the name or the password is wrong"),
            AccessError::Limited(wait) => Self::rate_limited(wait),
            AccessError::SetUpAlready
            | AccessError::UserExists(_)
            | AccessError::LastAdmin(_)
            | AccessError::NoPasswordHere(_)
            | AccessError::Token(TokenRefused::ExpiresInThePast)
            | AccessError::TooManyUsers
            | AccessError::ScopedAdmin
            | AccessError::TooManyTokens => Self::new(Code::Conflict, error.to_string()),
            AccessError::NameTaken(_)
            | AccessError::Unknown(_)
            | AccessError::Disabled(_)
            | AccessError::Token(TokenRefused::ExceedsMaker(_)) => {
                Self::new(Code::Forbidden, error.to_string())
            }
            AccessError::NotFound(_) => Self::not_found(error.to_string()),
            AccessError::Username(_)
            | AccessError::Password(_)
            | AccessError::DataScope(_)
            | AccessError::Token(_) => Self::invalid(error.to_string()),
            AccessError::Store(_) | AccessError::Damaged { .. } | AccessError::Secret(_) => {
                Self::internal("change who has access", &error)
            }
        }
    }
}

/// Whether the first user has still to be made.
#[derive(Serialize, ToSchema)]
struct SetupState {
    /// True while no user exists; `POST /api/setup` then takes the token printed at start.
    required: bool,
    /// True when the data is made up.
    demo: bool,
    /// Version of Quaywatch.
    version: &'static str,
    /// Another way to sign in; null when there is none.
    sign_in_with: Option<SignInWith>,
}

/// A provider through which people may sign in.
#[derive(Serialize, ToSchema)]
struct SignInWith {
    /// What the button says.
    #[schema(example = "Single sign-on")]
    name: String,
    /// Where the browser goes.
    #[schema(example = "/api/auth/oidc/login")]
    url: &'static str,
}

/// Tells whether the first user has still to be made
#[utoipa::path(get, path = "/api/setup", tag = "access", responses((status = 200, body = SetupState)))]
async fn setup_state(Extract(state): Extract<State>) -> Json<SetupState> {
    Json(SetupState {
        required: state.parts.access.setup_required(),
        demo: state.parts.settings.demo,
        version: state.parts.settings.version,
        sign_in_with: state
            .parts
            .settings
            .oidc
            .as_ref()
            .map(|provider| SignInWith {
                name: provider.name().to_owned(),
                url: "/api/auth/oidc/login",
            }),
    })
}

/// The first user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// Token printed at start.
    token: String,
    /// Name of the user.
    username: String,
    /// Password, at least 12 characters.
    password: String,
}

/// Makes the first user and signs in
#[utoipa::path(post, path = "/api/setup", tag = "access", request_body = Setup, responses(
    (status = 201, body = SessionView),
    (status = 401, description = "The setup token is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "A user exists already", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn set_up(
    Extract(state): Extract<State>,
    peer: Peer,
    audit: Audit,
    headers: HeaderMap,
    Body(setup): Body<Setup>,
) -> Result<Response, Problem> {
    check_origin(&headers)?;
    let visitor = visitor(peer, &headers);
    let signed_in = hashing(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        let Setup {
            token,
            username,
            password,
        } = setup;
        access.set_up(&token, &username, &password, &visitor, &audit, now)
    })
    .await?;
    tracing::info!(user = signed_in.user.name, address = %peer.address, "first user made");
    Ok((
        StatusCode::CREATED,
        begun(&state, &signed_in, is_encrypted(peer, &headers)),
    )
        .into_response())
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// Name of the user.
    username: String,
    /// The user's password.
    password: String,
}

/// A session of a signed-in user.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionView {
    /// The user.
    username: String,
    /// Goes into the header `X-Quaywatch-CSRF` of every request but GET.
    csrf_token: String,
    /// When the session ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// What the user is: `log_reader`, `viewer`, `analyst` or `admin`.
    #[schema(example = "admin")]
    role: &'static str,
    /// What the user may do.
    #[schema(example = json!(["view_events", "view"]))]
    permissions: Vec<&'static str>,
    /// Whose data the user sees; null for everything.
    scope: Option<DataScopeView>,
    /// True when there is a password here that can be changed.
    has_password: bool,
    /// Where to send the browser after signing out, to end the session at the provider too; null
    /// for none.
    sign_out_url: Option<String>,
    /// True when the data is made up.
    demo: bool,
}

/// Signs in
#[utoipa::path(post, path = "/api/session", tag = "access", request_body = Credentials, responses(
    (status = 200, body = SessionView, description = "Signed in; the cookie `quaywatch_session` is set"),
    (status = 401, description = "Name or password is wrong", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Tried too often; `Retry-After` says when to try again", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn sign_in(
    Extract(state): Extract<State>,
    peer: Peer,
    audit: Audit,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    check_origin(&headers)?;
    audit.action("session.begin", "");
    let visitor = visitor(peer, &headers);
    let result = hashing(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        let Credentials { username, password } = credentials;
        access.sign_in(&username, &password, &visitor, &audit, now)
    })
    .await;
    match result {
        Ok(signed_in) => {
            tracing::info!(user = signed_in.user.name, address = %peer.address, "signed in");
            Ok(begun(&state, &signed_in, is_encrypted(peer, &headers)))
        }
        Err(problem) => {
            tracing::info!(address = %peer.address, "sign-in refused");
            Err(problem)
        }
    }
}

/// Tells who is signed in
#[utoipa::path(get, path = "/api/session", tag = "access", responses((status = 200, body = SessionView)))]
async fn session(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<SessionView>, Problem> {
    let secret = session_secret(&caller)?;
    let signed_in = state
        .parts
        .access
        .signed_in(secret)
        .ok_or_else(|| Problem::unauthenticated("the session has ended; sign in again"))?;
    Ok(Json(view(&state, &signed_in)))
}

/// Signs out; open streams of the session end
#[utoipa::path(delete, path = "/api/session", tag = "access", responses((status = 204, description = "Signed out")))]
async fn sign_out(
    Extract(state): Extract<State>,
    peer: Peer,
    audit: Audit,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let secret = session_secret(&caller)?.clone();
    blocking(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.sign_out(&secret, &audit, now)
    })
    .await?;
    let cookie = cookie("", 0, is_encrypted(peer, &headers));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// A change of password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The password until now.
    current: String,
    /// The password from now on, at least 12 characters.
    new: String,
}

/// Changes the password; other sessions of the user end
#[utoipa::path(post, path = "/api/session/password", tag = "access", request_body = PasswordChange, responses(
    (status = 204, description = "Changed"),
))]
async fn change_password(
    Extract(state): Extract<State>,
    peer: Peer,
    audit: Audit,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let secret = session_secret(&caller)?.clone();
    let username = caller.0.username;
    hashing(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        let address = Peer::ip(Some(&peer));
        let PasswordChange { current, new } = change;
        access.change_password(&secret, &username, &current, &new, address, &audit, now)
    })
    .await
    .map_err(|problem| match problem.code() {
        // The session is good; only the current password is not.
        Code::Unauthenticated => Problem::new(Code::Forbidden, "the current password is wrong"),
        _ => problem,
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// An API token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenView {
    /// Public part of the token.
    id: String,
    /// What people call it.
    name: String,
    /// What it allows.
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it ends; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    /// Addresses it was used from, the latest first, IPv6 as networks; at most 32.
    addresses: Vec<String>,
    /// User who made it, and whom it never exceeds.
    created_by: String,
    /// True for a token of the process itself, which no user bounds.
    system: bool,
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes.iter().map(Scope::as_str).collect(),
            created: token.created,
            expires: token.expires,
            last_used: token.last_used,
            addresses: token.addresses.into_iter().rev().collect(),
            created_by: token.created_by,
            system: token.system,
        }
    }
}

/// All tokens.
#[derive(Serialize, ToSchema)]
struct TokenList {
    /// The tokens, newest first.
    items: Vec<TokenView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// Lists API tokens; administrators see those of everyone
#[utoipa::path(get, path = "/api/tokens", tag = "access", responses((status = 200, body = TokenList)))]
async fn tokens(Extract(state): Extract<State>, caller: Caller) -> Json<TokenList> {
    let only_of = only_of(&caller);
    let items = state
        .parts
        .access
        .tokens()
        .into_iter()
        .filter(|token| {
            let is_own = |name: &String| token.created_by == *name && !token.system;
            only_of.as_ref().is_none_or(is_own)
        })
        .map(TokenView::from)
        .collect();
    Json(TokenList {
        items,
        next_cursor: None,
    })
}

/// What a token may allow; `triage` includes `read`, and `admin` the others.
#[derive(ToSchema)]
#[schema(as = Scope, rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "describes `qw_auth::Scope` to readers of the document"
)]
enum ScopeName {
    Read,
    Triage,
    Ingest,
    Metrics,
    Admin,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    /// What it allows.
    #[schema(value_type = Vec<ScopeName>, min_items = 1)]
    scopes: Vec<String>,
    /// When it ends; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, deserialize_with = "time_or_nearest")]
    expires: Option<Timestamp>,
}

/// A token that has just been made.
#[derive(Serialize, ToSchema)]
struct TokenCreated {
    #[serde(flatten)]
    view: TokenView,
    /// The token itself. It is shown here and never again.
    token: String,
}

/// Makes an API token, which never allows more than its maker may
#[utoipa::path(post, path = "/api/tokens", tag = "access", request_body = TokenRequest, responses(
    (status = 201, body = TokenCreated),
    (status = 409, description = "There are as many tokens as there may be, or this one would have expired already", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create_token(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Body(asked): Body<TokenRequest>,
) -> Result<Response, Problem> {
    let scopes = asked
        .scopes
        .iter()
        .map(|scope| scope.parse::<Scope>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let own = caller.0.permissions;
    if let Some(scope) = scopes
        .iter()
        .find(|scope| !own.include(scope.permissions()))
    {
        return Err(AccessError::Token(TokenRefused::ExceedsMaker(*scope)).into());
    }
    let system = caller.0.system;
    let asked = NewToken {
        name: asked.name,
        scopes: scopes.into_iter().collect(),
        expires: asked.expires,
        created_by: caller.0.username,
    };
    let (token, secret) = blocking(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.add_token(asked, system, &audit, now)
    })
    .await?;
    tracing::info!(
        token = token.id,
        name = token.name,
        user = token.created_by,
        "token made"
    );
    let created = TokenCreated {
        view: token.into(),
        token: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// Revokes an API token; its open streams end
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "access",
    params(("id" = String, Path, description = "Public part of the token")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "There is no such token", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn revoke_token(
    Extract(state): Extract<State>,
    audit: Audit,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let only_of = only_of(&caller);
    let revoked = id.clone();
    blocking(&state, move |state| {
        let (access, now) = (&state.parts.access, state.now());
        access.remove_token(&id, only_of.as_deref(), &audit, now)
    })
    .await?;
    tracing::info!(token = revoked, user = caller.0.username, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// The user whose things `caller` is confined to; `None` for administrators.
pub(super) fn only_of(caller: &Caller) -> Option<String> {
    let may_all = caller.0.allows(Permission::ManageAccess);
    (!may_all).then(|| caller.0.username.clone())
}

/// Whose data somebody sees: containers in one of the namespaces, and containers with one of the
/// labels.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = DataScope)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DataScopeView {
    /// Kubernetes namespaces.
    #[schema(example = json!(["shop"]), max_items = 64)]
    namespaces: Vec<String>,
    /// Labels as `key=value`.
    #[schema(example = json!(["team=shop"]), max_items = 64)]
    labels: Vec<String>,
}

impl From<DataScope> for DataScopeView {
    fn from(scope: DataScope) -> Self {
        Self {
            namespaces: scope.namespaces,
            labels: scope.labels.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<DataScopeView> for DataScope {
    type Error = Problem;

    fn try_from(view: DataScopeView) -> Result<Self, Problem> {
        let labels = view.labels.iter().map(|label| label.parse::<LabelMatch>());
        let labels = labels
            .collect::<Result<_, _>>()
            .map_err(|error| Problem::invalid(error.to_string()))?;
        Ok(Self {
            namespaces: view.namespaces,
            labels,
        })
    }
}

fn session_secret(caller: &Caller) -> Result<&SessionSecret, Problem> {
    match &caller.0.who {
        Who::Session(secret) => Ok(secret),
        Who::Token(_) => Err(Problem::new(Code::Forbidden, "this needs a signed-in user")),
    }
}

fn view(state: &State, signed_in: &SignedIn) -> SessionView {
    SessionView {
        username: signed_in.user.name.clone(),
        csrf_token: signed_in.secret.csrf_token(),
        expires: signed_in.expires,
        role: signed_in.user.role.as_str(),
        permissions: signed_in
            .user
            .role
            .permissions()
            .iter()
            .map(Permission::as_str)
            .collect(),
        scope: signed_in.user.scope.clone().map(DataScopeView::from),
        has_password: User::usable_hash(&signed_in.user).is_some(),
        sign_out_url: Some(signed_in.logout_url.clone()).filter(|url| !url.is_empty()),
        demo: state.parts.settings.demo,
    }
}

/// The answer that begins a session.
fn begun(state: &State, signed_in: &SignedIn, encrypted: bool) -> Response {
    let cookie = session_cookie_header(signed_in, encrypted);
    ([(header::SET_COOKIE, cookie)], Json(view(state, signed_in))).into_response()
}

/// The cookie of a session that has begun.
pub(super) fn session_cookie_header(signed_in: &SignedIn, encrypted: bool) -> HeaderValue {
    // The server decides when the session ends; the cookie only has to live as long.
    let week = 7 * 24 * 3_600;
    cookie(signed_in.secret.cookie_value(), week, encrypted)
}

/// Where a sign-in comes from.
pub(super) fn visitor(peer: Peer, headers: &HeaderMap) -> Visitor {
    let agent = headers.get(header::USER_AGENT);
    Visitor {
        address: Peer::ip(Some(&peer)),
        agent: agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or("")
            .to_owned(),
    }
}

/// True when the browser's connection is encrypted, here or at a proxy in front of us.
pub(super) fn is_encrypted(peer: Peer, headers: &HeaderMap) -> bool {
    peer.encrypted
        || headers
            .get("x-forwarded-proto")
            .is_some_and(|scheme| scheme == "https")
}

fn cookie(value: &str, max_age_seconds: u32, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!(
        "{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}"
    );
    let mut value = HeaderValue::from_str(&text)
        .expect("a session's secret is base64url, which a header can carry");
    value.set_sensitive(true);
    value
}

/// Does `work` that hashes passwords, few at a time.
pub(super) async fn hashing<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&State) -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Problem> {
    let Some(_turn) = state.parts.access.turn_to_hash().await else {
        return Err(Problem::unavailable("too many sign-ins at once; try again"));
    };
    blocking(state, work).await
}

/// Does `work` that writes to the store.
pub(super) async fn blocking<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&State) -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Problem> {
    let state = state.clone();
    match tokio::task::spawn_blocking(move || work(&state)).await {
        Ok(result) => result.map_err(Problem::from),
        Err(panic) => Err(Problem::internal("change who has access", &panic)),
    }
}
