//! Sign-in through an OpenID Connect provider.

use std::sync::Arc;

use axum::{
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use qw_oidc::{Callback, Provider, Refused};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::{
    access::{AccessError, Audit},
    guard::{Peer, cookie_value},
    parameters::Parameters,
    problem::{Code, Problem, ProblemBody},
    routes::{
        Routes,
        access::{blocking, is_encrypted, session_cookie_header, visitor},
    },
    state::State,
};

/// Cookie that ties a sign-in to one browser.
const COOKIE: &str = "quaywatch_oidc";

/// The cookie goes to these routes only.
const PATH: &str = "/api/auth/oidc";

pub(super) fn routes() -> Routes {
    vec![routes!(login), routes!(callback)]
}

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LoginParameters {
    /// Path of the console, such as `/events`.
    #[param(example = "/events", pattern = "^/")]
    return_to: Option<String>,
}

/// Sends the browser to the provider
///
/// When that cannot be asked, a browser, which asks for `text/html`, is sent back to the page where it
/// can sign in otherwise, with a word for what went wrong in `error`.
#[utoipa::path(get, path = "/api/auth/oidc/login", tag = "access", params(LoginParameters), responses(
    (status = 303, description = "To the provider's page; the cookie `quaywatch_oidc` is set. Or back to `/login`"),
    (status = 404, description = "No provider is configured", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Tried too often; `Retry-After` says when to try again", body = ProblemBody, content_type = "application/problem+json"),
    (status = 502, description = "The provider cannot be asked", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn login(
    Extract(state): Extract<State>,
    peer: Peer,
    headers: HeaderMap,
    Parameters(parameters): Parameters<LoginParameters>,
) -> Result<Response, Problem> {
    let provider = provider(&state)?;
    let now = state.now();
    let address = Peer::ip(Some(&peer));
    state.parts.access.charge_sign_in(address, now)?;
    let return_to = parameters.return_to.as_deref().unwrap_or("/");
    let begun = match provider.begin(return_to, now).await {
        Ok(begun) => begun,
        Err(refused) => {
            tracing::warn!(error = %refused, "the provider of single sign-on is of no use");
            if wants_page(&headers) {
                return Ok(go_to(&format!("/login?error={}", refused.code()), []));
            }
            return Err(problem(&refused));
        }
    };
    let cookie = cookie(begun.browser.expose(), 600, is_encrypted(peer, &headers));
    Ok(go_to(&begun.redirect, [cookie]))
}

/// What the provider sends along.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CallbackParameters {
    /// Code to be exchanged.
    code: Option<String>,
    /// State of the sign-in.
    state: Option<String>,
    /// Issuer (RFC 9207).
    iss: Option<String>,
    /// What went wrong at the provider.
    error: Option<String>,
    /// The same for people.
    error_description: Option<String>,
}

/// Takes the browser back from the provider and begins a session
///
/// A browser, which asks for `text/html`, is sent on to the console in any case; a word for what
/// went wrong is then in `error`.
#[utoipa::path(get, path = "/api/auth/oidc/callback", tag = "access", params(CallbackParameters), responses(
    (status = 303, description = "Signed in; the cookie `quaywatch_session` is set"),
    (status = 401, description = "The provider's answer is not to be trusted", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "This person may not sign in here", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "No provider is configured", body = ProblemBody, content_type = "application/problem+json"),
    (status = 502, description = "The provider cannot be asked", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn callback(
    Extract(state): Extract<State>,
    peer: Peer,
    audit: Audit,
    headers: HeaderMap,
    Parameters(parameters): Parameters<CallbackParameters>,
) -> Result<Response, Problem> {
    let provider = provider(&state)?;
    audit.action("session.begin", "");
    audit.detail(format!("through {}", provider.issuer()));
    let secure = is_encrypted(peer, &headers);
    let forget = cookie("", 0, secure);
    match finish(&state, &provider, peer, &audit, &headers, parameters).await {
        Ok((return_to, session)) => Ok(go_to(&return_to, [session, forget])),
        Err((code, problem)) => {
            tracing::info!(address = %peer.address, code, "sign-in through the provider refused");
            if !wants_page(&headers) || problem.code() == Code::RateLimited {
                return Err(problem);
            }
            audit.refuse(problem.detail());
            Ok(go_to(&format!("/login?error={code}"), [forget]))
        }
    }
}

/// Where to go on, and the cookie of the session; or a word for the page, and the problem.
async fn finish(
    state: &State,
    provider: &Provider,
    peer: Peer,
    audit: &Audit,
    headers: &HeaderMap,
    parameters: CallbackParameters,
) -> Result<(String, HeaderValue), (&'static str, Problem)> {
    let address = Peer::ip(Some(&peer));
    let limited = |error: AccessError| ("limited", Problem::from(error));
    let now = state.now();
    state
        .parts
        .access
        .charge_sign_in(address, now)
        .map_err(limited)?;
    let answer = Callback {
        code: parameters.code,
        state: parameters.state,
        iss: parameters.iss,
        error: parameters.error,
        error_description: parameters.error_description,
    };
    let browser = cookie_value(headers, COOKIE);
    let proved = provider
        .finish(&answer, browser, now)
        .await
        .map_err(|refused| (refused.code(), problem(&refused)))?;
    let return_to = proved.return_to.clone();
    let (visitor, audit) = (visitor(peer, headers), audit.clone());
    let signed_in = blocking(state, move |state| {
        let access = &state.parts.access;
        access.sign_in_proved(proved, &visitor, &audit, state.now())
    })
    .await
    .map_err(|problem| ("not_here", problem))?;
    tracing::info!(user = signed_in.user.name, address = %peer.address, "signed in through the provider");
    let secure = is_encrypted(peer, headers);
    Ok((return_to, session_cookie_header(&signed_in, secure)))
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn provider(state: &State) -> Result<Arc<Provider>, Problem> {
    let provider = state.parts.settings.oidc.clone();
    provider.ok_or_else(|| Problem::not_found("no provider is configured"))
}

fn problem(refused: &Refused) -> Problem {
    let code = match refused {
        Refused::NoRole => Code::Forbidden,
        Refused::Unreachable { .. } => Code::UpstreamFailed,
        _ => Code::Unauthenticated,
    };
    Problem::new(code, refused.to_string())
}

fn cookie(value: &str, max_age_seconds: u32, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    // Lax, because the browser comes back from another site.
    let text = format!(
        "{COOKIE}={value}; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}"
    );
    let mut value =
        HeaderValue::from_str(&text).expect("the secret is base64url, which a header can carry");
    value.set_sensitive(true);
    value
}

fn go_to<const N: usize>(place: &str, cookies: [HeaderValue; N]) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    match HeaderValue::from_str(place) {
        Ok(place) => {
            headers.insert(header::LOCATION, place);
            response
        }
        Err(error) => Problem::internal("send the browser on", &error).into_response(),
    }
}
