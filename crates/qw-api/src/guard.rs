//! Who sends this request, and may they? One check in front of every route that needs one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{FromRequestParts, Request, State as Extract},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, header, request};
use qw_auth::{Permission, SessionSecret};

use crate::{
    access::{Audit, Identity, Who},
    layers::RequestId,
    problem::{Code, Problem, chain},
    state::State,
};

/// Name of the session cookie.
pub(crate) const SESSION_COOKIE: &str = "quaywatch_session";

/// Header that carries the CSRF token.
pub(crate) const CSRF_HEADER: &str = "x-quaywatch-csrf";

const FORWARDED_HOST: header::HeaderName = header::HeaderName::from_static("x-forwarded-host");

/// What a route asks of whoever sends a request; declared where the route is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) need: Need,
    pub(crate) data: Data,
}

/// What a sender must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// A signed-in user; tokens will not do.
    Session,
    /// A user or token with this permission.
    Permission(Permission),
}

/// What data of containers a route gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// None.
    Nothing,
    /// Of those containers only that the sender may see; the handler sees to it.
    Filtered,
    /// Of all containers: who is confined to a scope may not ask.
    Whole,
}

impl Need {
    /// The name in the document; `None` when nothing is needed.
    pub(crate) const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Session => Some("session"),
            Self::Permission(permission) => Some(permission.as_str()),
        }
    }
}

impl Data {
    /// The name in the document.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Filtered => "filtered",
            Self::Whole => "whole",
        }
    }
}

/// Lets a request pass when its sender may send it, and tells the handler who that is.
pub(crate) async fn guard(
    Extract((state, rule)): Extract<(State, Rule)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let identity = identify(&state, request.headers())?;
    if let Some(audit) = request.extensions().get::<Audit>() {
        audit.by(&identity);
    }
    watch_token(&state, &identity, request.extensions()).await;
    check_forgery(&identity, request.method(), request.headers())?;
    check_rule(&identity, rule)?;
    if let Err(wait) = state.parts.access.charge_request(&identity, state.now()) {
        return Err(Problem::rate_limited(wait));
    }
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

/// Has the audit log tell when a token comes from where it never came from.
pub(crate) async fn watch_token(state: &State, identity: &Identity, of: &http::Extensions) {
    let (access, now) = (state.parts.access.clone(), state.now());
    let address = Peer::ip(of.get::<Peer>());
    let Some(news) = access.note_address(identity, address, now) else {
        return;
    };
    let request_id = of.get::<RequestId>();
    let request_id = request_id.map_or_else(String::new, |RequestId(id)| id.clone());
    let identity = identity.clone();
    let written = tokio::task::spawn_blocking(move || {
        access.tell_token_news(&identity, news, request_id, now)
    });
    // Who may use the token may do so all the same: its address says nothing of that.
    let why = match written.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => chain(&error),
        Err(panic) => panic.to_string(),
    };
    tracing::error!(error = why, "cannot write the audit log");
}

fn check_rule(identity: &Identity, rule: Rule) -> Result<(), Problem> {
    let refused = |why: String| Err(Problem::new(Code::Forbidden, why));
    match rule.need {
        Need::Session if !matches!(identity.who, Who::Session(_)) => {
            return refused("this needs a signed-in user; a token will not do".to_owned());
        }
        Need::Permission(permission) if !identity.allows(permission) => {
            return refused(format!("this needs the permission `{permission}`"));
        }
        _ => {}
    }
    if rule.data == Data::Whole && identity.scope.is_some() {
        return refused("this shows all containers, and you may see some of them".to_owned());
    }
    Ok(())
}

fn identify(state: &State, headers: &HeaderMap) -> Result<Identity, Problem> {
    let now = state.now();
    let access = &state.parts.access;
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers)
            .and_then(|token| access.recognise_token(token, now))
            .ok_or_else(|| Problem::unauthenticated("the token is not valid"));
    }
    let secret = session_cookie(headers)
        .ok_or_else(|| Problem::unauthenticated("sign in, or send a token as `Bearer`"))?;
    access
        .recognise_session(&secret, now)
        .ok_or_else(|| Problem::unauthenticated("the session has ended; sign in again"))
}

/// A browser sends its cookie with whatever a page makes it send; a change also needs what only our
/// own page knows.
fn check_forgery(identity: &Identity, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let Who::Session(secret) = &identity.who else {
        return Ok(());
    };
    if method.is_safe() {
        return Ok(());
    }
    check_origin(headers)?;
    let token = headers
        .get(CSRF_HEADER)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if !secret.accepts_csrf(token) {
        return Err(Problem::new(
            Code::Csrf,
            "the header `X-Quaywatch-CSRF` does not carry this session's token",
        ));
    }
    Ok(())
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The secret of the session cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<SessionSecret> {
    cookie_value(headers, SESSION_COOKIE).and_then(SessionSecret::presented)
}

/// The value of the cookie called `name`.
pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Refuses a request that a page of another origin made.
///
/// Browsers say so in `Sec-Fetch-Site`, and in `Origin`, whose host then differs from the host
/// asked for. Programs say neither. A proxy may have put another host in place of the one asked
/// for and then says so in `X-Forwarded-Host`, which a foreign page cannot set unasked.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = || {
        Problem::new(
            Code::Csrf,
            "the request comes from a page of another origin",
        )
    };
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site"))
        && !matches!(site, "same-origin" | "none")
    {
        return Err(foreign());
    }
    if let Some(origin) = text(header::ORIGIN) {
        let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
        let asked_for = [text(header::HOST), text(FORWARDED_HOST)];
        if !asked_for
            .into_iter()
            .flatten()
            .any(|host| origin_host.eq_ignore_ascii_case(host))
        {
            return Err(foreign());
        }
    }
    Ok(())
}

/// True when a browser page sent the request, whatever page.
pub(crate) fn is_from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
        || headers
            .get("sec-fetch-site")
            .is_some_and(|site| site.as_bytes() != b"none")
}

/// The sender, as [`guard`] found it.
pub(crate) struct Caller(pub(crate) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Identity>()
            .cloned()
            .map(Self)
            .ok_or_else(|| Problem::unauthenticated("sign in, or send a token as `Bearer`"))
    }
}

/// Where a connection comes from; the listener puts it into every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// True when the client proved itself with a certificate.
    pub(crate) certified: bool,
    /// True when the connection is encrypted.
    pub(crate) encrypted: bool,
}

impl Peer {
    /// The address, or `0.0.0.0` for requests that came over no connection.
    pub(crate) fn ip(peer: Option<&Self>) -> IpAddr {
        peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            certified: false,
            encrypted: false,
        }))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[track_caller]
    fn check(pairs: &[(&'static str, &'static str)], passes: bool) {
        assert_eq!(check_origin(&headers(pairs)).is_ok(), passes, "{pairs:?}");
    }

    #[test]
    fn origins() {
        check(&[("host", "a:1")], true);
        check(&[("host", "a:1"), ("origin", "http://a:1")], true);
        check(&[("host", "a:1"), ("origin", "https://A:1")], true);
        check(&[("host", "a:1"), ("origin", "http://a:2")], false);
        check(&[("host", "a:1"), ("origin", "http://evil")], false);
        check(&[("host", "a:1"), ("origin", "null")], false);
        check(&[("origin", "http://a:1")], false);
        check(
            &[
                ("host", "inside:1"),
                ("x-forwarded-host", "quay.example"),
                ("origin", "https://quay.example"),
            ],
            true,
        );
        check(&[("host", "a"), ("sec-fetch-site", "same-origin")], true);
        check(&[("host", "a"), ("sec-fetch-site", "cross-site")], false);
        check(&[("host", "a"), ("sec-fetch-site", "same-site")], false);
    }

    #[test]
    fn cookies() {
        let value = |pairs: &[(&'static str, &'static str)]| {
            session_cookie(&headers(pairs)).map(|secret| secret.cookie_value().to_owned())
        };
        assert_eq!(
            value(&[("cookie", "a=b; quaywatch_session=xyz; c=d")]),
            Some("xyz".into())
        );
        assert_eq!(value(&[("cookie", "quaywatch_sessions=xyz")]), None);
        assert_eq!(value(&[("cookie", "quaywatch_session=")]), None);
        assert_eq!(value(&[]), None);
    }

    #[test]
    fn bearers() {
        assert_eq!(
            bearer(&headers(&[("authorization", "bearer qw_1")])),
            Some("qw_1")
        );
        assert_eq!(bearer(&headers(&[("authorization", "Basic eA==")])), None);
        assert_eq!(bearer(&headers(&[("authorization", "Bearer")])), None);
    }
}
