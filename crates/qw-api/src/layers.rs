//! What happens to every request and answer: id, measure, host check, safe headers, problems.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::HttpBody,
    extract::{MatchedPath, Request, State as Extract},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tower_http::catch_panic::CatchPanicLayer;

use crate::problem::{Code, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything comes from our own origin; images may also be drawn by the page itself, and the
/// components of the console write styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; \
     style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'self'; object-src 'none'";

/// Wraps `router` in what every request passes, outermost first: id and problems, measure, host
/// check, panics.
pub(crate) fn around(router: Router, metrics: qw_exporters::Metrics, hosts: Hosts) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::new(hosts), check_host))
        .layer(from_fn(safe_headers))
        .layer(from_fn_with_state(metrics, measure))
        .layer(from_fn(identify_request))
}

/// Which `Host` a request may name.
///
/// A page that makes its own name resolve to our loopback address sends that name; so a listener
/// on loopback takes loopback's names only.
#[derive(Debug, Clone)]
pub(crate) enum Hosts {
    /// Any.
    Any,
    /// Loopback's names, and these.
    Loopback(Vec<String>),
}

impl Hosts {
    /// The rule of a listener on `address`; `allowed` are names that a proxy in front of it is
    /// known by.
    pub(crate) fn of(address: IpAddr, allowed: &[String]) -> Self {
        if address.to_canonical().is_loopback() {
            Self::Loopback(allowed.to_vec())
        } else {
            Self::Any
        }
    }

    fn accept(&self, host: &str) -> bool {
        let Self::Loopback(allowed) = self else {
            return true;
        };
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => host.split(':').next().unwrap_or(""),
        };
        name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.to_canonical().is_loopback())
            || allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

async fn check_host(
    Extract(hosts): Extract<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or("");
    if hosts.accept(host) {
        Ok(next.run(request).await)
    } else {
        Err(Problem::new(
            Code::Forbidden,
            "this address is for this machine; name other hosts in `allowed_hosts`",
        ))
    }
}

/// The id of a request, for whoever handles it.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives the request an id, and turns errors into problems that carry it.
async fn identify_request(mut request: Request, next: Next) -> Response {
    name_host(&mut request);
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_id(id))
        .map_or_else(fresh_id, ToOwned::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let is_head = request.method() == http::Method::HEAD;
    let mut response = next.run(request).await;
    let problem = response
        .extensions_mut()
        .remove::<Problem>()
        .or_else(|| bare_error(&response));
    if let Some(problem) = problem {
        let mut answer = problem.into_answer(&id);
        // The router says here which methods it takes.
        for name in [header::ALLOW, header::SET_COOKIE] {
            if let Some(value) = response.headers().get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        copy_safe_headers(response.headers(), answer.headers_mut());
        if is_head {
            *answer.body_mut() = axum::body::Body::empty();
        }
        response = answer;
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// HTTP/2 names the host in `:authority` (RFC 9113, section 8.3.1); puts it where HTTP/1 does and
/// everyone looks.
fn name_host(request: &mut Request) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    if let Some(Ok(host)) = authority.map(HeaderValue::from_str) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// The problem of an error that has no body of its own kind, such as the router's 404 and 405.
fn bare_error(response: &Response) -> Option<Problem> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_bare = match content_type {
        None => true,
        Some(value) => {
            value.as_bytes().starts_with(b"text/plain")
                && response
                    .body()
                    .size_hint()
                    .upper()
                    .is_some_and(|size| size < 1_024)
        }
    };
    (is_error && is_bare).then(|| Problem::of_status(status, ""))
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn fresh_id() -> String {
    static START: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let start = *START.get_or_init(|| getrandom::u32().unwrap_or(0));
    format!("{start:08x}{:08x}", NEXT.fetch_add(1, Relaxed))
}

/// Counts how long the answer's head took, by the route's template.
async fn measure(
    Extract(metrics): Extract<qw_exporters::Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    let elapsed = begun.elapsed();
    metrics
        .http()
        .record(method.as_str(), route, response.status().as_u16(), elapsed);
    tracing::debug!(
        method = method.as_str(),
        route,
        status = response.status().as_u16(),
        seconds = elapsed.as_secs_f64(),
        "answered"
    );
    response
}

async fn safe_headers(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let constant = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in constant {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn copy_safe_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [
        header::CONTENT_SECURITY_POLICY,
        header::X_CONTENT_TYPE_OPTIONS,
        header::REFERRER_POLICY,
        header::X_FRAME_OPTIONS,
    ] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer asks for"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    Problem::new(
        Code::Internal,
        "the request could not be answered; the log says why",
    )
    .into_response()
}

/// Ends a request that takes longer than `limit`.
pub(crate) async fn time_limit(
    Extract(limit): Extract<Duration>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the answer took too long").into_response(),
    }
}

/// What is answered where no route is.
pub(crate) async fn nothing_here() -> StatusCode {
    StatusCode::NOT_FOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_takes_loopbacks_names() {
        let hosts = Hosts::of("127.0.0.1".parse().unwrap(), &["quay.example".to_owned()]);
        for good in [
            "localhost",
            "LOCALHOST:18000",
            "127.0.0.1:18000",
            "127.9.9.9",
            "[::1]:18000",
            "quay.localhost:1",
            "Quay.Example:443",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(hosts.accept(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost.evil",
        ] {
            assert!(!hosts.accept(bad), "{bad}");
        }
        assert!(Hosts::of("0.0.0.0".parse().unwrap(), &[]).accept("anything"));
    }

    #[test]
    fn foreign_ids_are_taken_when_they_are_harmless() {
        assert!(is_id("a-b_c.9"));
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
        assert_ne!(fresh_id(), fresh_id());
    }
}
