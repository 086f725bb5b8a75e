//! Around every route: what is done leaves one entry in the audit log, whatever becomes of it.

use axum::{
    extract::{MatchedPath, Request, State as Extract},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use qw_auth::AuditOutcome;
use tokio::task::JoinError;

use crate::{
    access::Audit,
    guard::Peer,
    layers::RequestId,
    problem::{Problem, chain},
    state::State,
};

/// Gives the handler an [`Audit`] to fill, and writes it unless it was written with a change.
///
/// Requests that change something are carried through when their sender goes away, so that nothing
/// is done without being told.
pub(crate) async fn audited(
    Extract(state): Extract<State>,
    mut request: Request,
    next: Next,
) -> Response {
    let audit = begin(&request);
    let peer = Peer::ip(request.extensions().get::<Peer>());
    let is_write = !request.method().is_safe();
    request.extensions_mut().insert(audit.clone());
    if !is_write {
        let response = next.run(request).await;
        return record(&state, audit, peer, false, response).await;
    }
    let answered = tokio::spawn(async move {
        let handled = tokio::spawn(next.run(request)).await;
        let (response, panic) = match handled {
            Ok(response) => (response, None),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                Some(error),
            ),
        };
        let response = record(&state, audit, peer, true, response).await;
        (response, panic)
    });
    match answered.await {
        Ok((response, None)) => response,
        Ok((_, Some(error))) | Err(error) => go_on(error),
    }
}

/// Panics as the handler did; the outermost layer answers.
fn go_on(error: JoinError) -> Response {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Problem::internal("answer the request", &error).into_response(),
    }
}

fn begin(request: &Request) -> Audit {
    let extensions = request.extensions();
    let address = extensions.get::<Peer>().map_or_else(String::new, |peer| {
        peer.address.ip().to_canonical().to_string()
    });
    let id = extensions
        .get::<RequestId>()
        .map_or_else(String::new, |RequestId(id)| id.clone());
    let route = extensions
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str);
    Audit::of_request(
        address,
        id,
        format!("{} {route}", request.method()),
        request.uri().path().to_owned(),
    )
}

async fn record(
    state: &State,
    audit: Audit,
    peer: std::net::IpAddr,
    is_write: bool,
    response: Response,
) -> Response {
    if !audit.is_due(is_write) {
        return response;
    }
    let status = response.status();
    let outcome = match status.as_u16() {
        401 | 403 | 429 => AuditOutcome::Refused,
        400.. => AuditOutcome::Failed,
        _ => AuditOutcome::Done,
    };
    let problem = response.extensions().get::<Problem>();
    audit.end(outcome, problem.map_or("", Problem::detail));
    let is_cheap = matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
    );
    let (access, now) = (state.parts.access.clone(), state.now());
    let written =
        tokio::task::spawn_blocking(move || access.record(&audit, is_cheap, peer, now)).await;
    let why = match written {
        Ok(Ok(())) => return response,
        Ok(Err(error)) => chain(&error),
        Err(panic) => panic.to_string(),
    };
    tracing::error!(error = why, "cannot write the audit log");
    if outcome == AuditOutcome::Done {
        return Problem::unavailable(
            "it was done, and could not be written to the audit log; the log says why",
        )
        .into_response();
    }
    response
}
