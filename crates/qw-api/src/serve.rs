//! The three listeners: console with API, metrics, and the receiver of events.

use std::net::IpAddr;

use axum::{
    Router,
    extract::{Request, State as Extract},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use qw_auth::Scope;
use qw_exporters::{
    Format, Inputs, Page, ProcessSnapshot, RouteSnapshot, SinkSnapshot, accepts_gzip, gzip,
};
use qw_sinks::Notifications;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    ListenError, ListenerOptions, State,
    guard::{Peer, bearer, is_from_a_page, watch_token},
    layers::{self, Hosts, nothing_here},
    listen::{Stopping, serve},
    problem::{Code, Problem},
    routes,
    usage_view::UsageOfAll,
};

/// Serves console, API, streams and `/falco` until `stop` fires.
///
/// `falco` is the receiver of events (`qw_sources::http::router`); its routes answer below `/falco`
/// to tokens with the scope `ingest`, or to everyone on loopback or when `open`.
pub async fn serve_console(
    listener: TcpListener,
    options: ListenerOptions,
    state: State,
    falco: Router,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let address = local_address(&listener)?;
    let receiver = receiver(falco, &state, address, &options);
    let router = routes::console(&state, receiver).layer(axum::Extension(Stopping(stop.clone())));
    let hosts = Hosts::of(address, &options.allowed_hosts);
    let router = layers::around(router, state.parts.metrics.clone(), hosts);
    serve(listener, router, &options, stop).await
}

/// Serves `/metrics`, `/metrics/falco` and a page that links them until `stop` fires.
///
/// Not bound to loopback and not `open`, it asks for a token with the scope `metrics`, or for a
/// client certificate when TLS has client authorities.
pub async fn serve_metrics(
    listener: TcpListener,
    options: ListenerOptions,
    state: State,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let address = local_address(&listener)?;
    let hosts = Hosts::of(address, &options.allowed_hosts);
    let metrics = state.parts.metrics.clone();
    let router = metrics_router(state, address, &options);
    serve(
        listener,
        layers::around(router, metrics, hosts),
        &options,
        stop,
    )
    .await
}

/// Serves a receiver of records at every path until `stop` fires: to tokens with the scope `ingest`,
/// or to everyone on loopback or when `open`.
pub async fn serve_ingest(
    listener: TcpListener,
    options: ListenerOptions,
    state: State,
    records: Router,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let address = local_address(&listener)?;
    let router = receiver(records, &state, address, &options);
    // Senders know this host by many names, and a page is told by its own headers.
    let router = layers::around(router, state.parts.metrics.clone(), Hosts::Any);
    serve(listener, router, &options, stop).await
}

fn local_address(listener: &TcpListener) -> Result<IpAddr, ListenError> {
    listener
        .local_addr()
        .map(|address| address.ip())
        .map_err(ListenError::Address)
}

/// Who may use a listener that is not for people.
#[derive(Clone)]
struct Door {
    state: State,
    scope: Scope,
    /// True when no credentials are needed.
    open: bool,
}

impl Door {
    fn new(state: &State, scope: Scope, address: IpAddr, options: &ListenerOptions) -> Self {
        let open = options.open || address.to_canonical().is_loopback();
        Self {
            state: state.clone(),
            scope,
            open,
        }
    }

    /// Says yes to whom the door is open, who has a certificate, or who has a good token. A bad token
    /// is refused at an open door too.
    async fn check(&self, of: &http::Extensions, token: Option<&str>) -> Result<(), Problem> {
        let is_certified = of.get::<Peer>().is_some_and(|peer| peer.certified);
        // One of ours that is sent must be good even where none is needed: who revokes it, or gave it
        // another scope, is not to find that it works.
        let is_ours = token.is_some_and(|token| token.starts_with("qw_"));
        if (self.open || is_certified) && !is_ours {
            return Ok(());
        }
        let token = token.ok_or_else(|| {
            Problem::unauthenticated(format!("send a token with the scope `{}`", self.scope))
        })?;
        let identity = self
            .state
            .parts
            .access
            .recognise_token(token, self.state.now())
            .ok_or_else(|| Problem::unauthenticated("the token is not valid"))?;
        watch_token(&self.state, &identity, of).await;
        // Neither door can be confined to some containers.
        if !identity.permissions.include(self.scope.permissions()) || identity.scope.is_some() {
            return Err(Problem::new(
                Code::Forbidden,
                format!("this needs the scope `{}`", self.scope),
            ));
        }
        Ok(())
    }
}

/// `falco` behind its door.
fn receiver(falco: Router, state: &State, address: IpAddr, options: &ListenerOptions) -> Router {
    let door = Door::new(state, Scope::Ingest, address, options);
    Router::new()
        .route("/", routes::pass_to(&falco))
        .route("/{*rest}", routes::pass_to(&falco))
        .layer(from_fn_with_state(door, check_ingest))
}

/// Checks a sender of events, whose token stands in a header or, for senders that cannot set one,
/// in the path: `/qw_…`, `/falco/qw_…`.
async fn check_ingest(
    Extract(door): Extract<Door>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if is_from_a_page(request.headers()) {
        return Err(Problem::new(
            Code::Forbidden,
            "events do not come from pages of a browser",
        ));
    }
    let (path, path_token) = without_token(request.uri().path());
    let token = sender_token(request.headers()).or(path_token);
    door.check(request.extensions(), token.as_deref()).await?;
    // The token goes no further: not to handlers, not to logs.
    if path != request.uri().path() {
        let mut parts = request.uri().clone().into_parts();
        let query = request
            .uri()
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        parts.path_and_query = format!("{path}{query}").parse().ok();
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    Ok(next.run(request).await)
}

/// The token that a sender shows, in the words of its protocol: `Bearer`, Splunk's `Splunk`, the
/// password of `Basic`, or the last part of Elasticsearch's `ApiKey`.
fn sender_token(headers: &HeaderMap) -> Option<String> {
    if let Some(token) = bearer(headers) {
        return Some(token.to_owned());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "splunk" => Some(rest.to_owned()),
        "basic" | "apikey" => {
            let decoded = BASE64_STANDARD.decode(rest).ok()?;
            let (_, token) = str::from_utf8(&decoded).ok()?.split_once(':')?;
            Some(token.to_owned())
        }
        _ => None,
    }
}

/// A path without a last part that is a token, and the token.
fn without_token(path: &str) -> (String, Option<String>) {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some((rest, token)) if token.starts_with("qw_") => {
            let rest = if rest.is_empty() { "/" } else { rest };
            (rest.to_owned(), Some(token.to_owned()))
        }
        _ => (path.to_owned(), None),
    }
}

fn metrics_router(state: State, address: IpAddr, options: &ListenerOptions) -> Router {
    let door = Door::new(&state, Scope::Metrics, address, options);
    Router::new()
        .route("/metrics", get(main_page))
        .route("/metrics/falco", get(falco_page))
        .route("/", get(landing_page))
        .fallback(nothing_here)
        .with_state(state)
        .layer(from_fn_with_state(door, check_metrics))
}

async fn check_metrics(
    Extract(door): Extract<Door>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer(request.headers());
    door.check(request.extensions(), token).await?;
    Ok(next.run(request).await)
}

async fn main_page(state: Extract<State>, headers: HeaderMap) -> Result<Response, Problem> {
    scrape(state.0, Page::Main, &headers).await
}

async fn falco_page(state: Extract<State>, headers: HeaderMap) -> Result<Response, Problem> {
    scrape(state.0, Page::Falco, &headers).await
}

async fn scrape(state: State, page: Page, headers: &HeaderMap) -> Result<Response, Problem> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let format = Format::negotiate(text(header::ACCEPT));
    let zip = accepts_gzip(text(header::ACCEPT_ENCODING));
    let rendered = tokio::task::spawn_blocking(move || {
        let parts = &state.parts;
        let sinks: Vec<SinkSnapshot> = parts
            .notifications
            .iter()
            .flat_map(Notifications::statuses)
            .map(|sink| SinkSnapshot {
                outcomes: sink.outcomes(),
                lag: sink.lag,
                name: sink.name,
            })
            .collect();
        let routes: Vec<RouteSnapshot> = parts
            .forwarding
            .iter()
            .flat_map(qw_sinks::routes::Routes::statuses)
            .map(|route| RouteSnapshot {
                outcomes: route.outcomes(),
                sent_bytes: route.sent_bytes,
                lag: route.lag,
                name: route.name,
            })
            .collect();
        let profiles = parts.profiles.lock().stats();
        let usage = UsageOfAll::of(&state);
        let containers = usage.containers();
        let text = parts.metrics.render(
            page,
            format,
            state.now(),
            &Inputs {
                sources: &parts.sources,
                pipeline: &parts.pipeline,
                store: &parts.records.statistics(),
                streams: parts.hub.snapshot(),
                profiles,
                alerts: &parts.desk.counts(),
                sinks: &sinks,
                routes: &routes,
                usage: &usage.snapshot(&state, &containers),
                process: ProcessSnapshot::read().ok(),
            },
        );
        if zip {
            Bytes::from(gzip(&text))
        } else {
            Bytes::from(text)
        }
    });
    let body = rendered
        .await
        .map_err(|panic| Problem::internal("render the metrics", &panic))?;
    let mut response = body.into_response();
    let answer = response.headers_mut();
    answer.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    answer.insert(
        header::VARY,
        HeaderValue::from_static("accept, accept-encoding"),
    );
    if zip {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

async fn landing_page() -> axum::response::Html<&'static str> {
    axum::response::Html(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Quaywatch metrics</title></head><body><h1>Quaywatch metrics</h1><ul>\
         <li><a href=\"/metrics\">/metrics</a>: security events and Quaywatch itself</li>\
         <li><a href=\"/metrics/falco\">/metrics/falco</a>: the names of falco-exporter and \
         falcosidekick</li></ul></body></html>",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, rest: &str, token: Option<&str>) {
        assert_eq!(
            without_token(path),
            (rest.to_owned(), token.map(ToOwned::to_owned))
        );
    }

    #[test]
    fn senders_show_tokens_in_the_words_of_their_protocols() {
        for (value, token) in [
            ("Bearer qw_a", Some("qw_a")),
            ("Splunk qw_a", Some("qw_a")),
            ("Basic dXNlcjpxd19h", Some("qw_a")),
            ("ApiKey dXNlcjpxd19h", Some("qw_a")),
            ("Basic ???", None),
            ("AWS4-HMAC-SHA256 Credential=a", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(sender_token(&headers).as_deref(), token, "{value}");
        }
    }

    #[test]
    fn tokens_in_paths() {
        check("/", "/", None);
        check("/falco", "/falco", None);
        check("/qw_a_b", "/", Some("qw_a_b"));
        check("/qw_a_b/", "/", Some("qw_a_b"));
        check("/falco/qw_a_b", "/falco", Some("qw_a_b"));
        check("/qw_a_b/falco", "/qw_a_b/falco", None);
    }
}
