//! The audit log: read, checked, taken away as a file.

use std::{collections::VecDeque, io};

use axum::{
    Json,
    body::Body,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use qw_auth::{AuditEntry, AuditOutcome};
use qw_event::Timestamp;
use qw_store::TimeRange;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::AuditQuery,
    parameters::{
        DEFAULT_LIMIT, MAX_LIMIT, Parameters, instant, limit, open_cursor, seal_cursor,
        wrong_cursor,
    },
    problem::Problem,
    routes::{Routes, access::blocking, export::csv_row},
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![routes!(audit_entries), routes!(verify_audit)]
}

/// What has no end has no limit either.
pub(super) fn export_routes() -> Routes {
    vec![routes!(export_audit)]
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditParameters {
    /// Name of the user who did it.
    user: Option<String>,
    /// What was done, whole or up to a dot: `user` also selects `user.create`.
    #[param(example = "user")]
    action: Option<String>,
    /// `done`, `refused` or `failed`.
    #[param(pattern = "^(done|refused|failed)?$")]
    outcome: Option<String>,
    /// Begin, RFC 3339 or `now-7d`; the beginning of the log when absent.
    #[param(example = "now-7d", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; the end of the log when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "audit-cursor")]
    cursor: Option<String>,
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryView {
    /// Number, one more than that of the entry before.
    sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Name of the user; empty for nobody.
    user: String,
    /// `session`, `token`, `system` (the process itself) or `nobody`.
    #[schema(example = "session")]
    by: &'static str,
    /// Public part of the token; empty when it was none.
    token: String,
    /// Address it came from; empty for the process itself.
    address: String,
    /// What was done.
    #[schema(example = "user.create")]
    action: String,
    /// What it was done to.
    target: String,
    /// `done`, `refused` or `failed`.
    #[schema(example = "done")]
    outcome: &'static str,
    /// More, for people.
    detail: String,
    /// Id of the request.
    request_id: String,
    /// SHA-256 of the entry before, in hexadecimal digits.
    previous: String,
    /// SHA-256 of this entry.
    hash: String,
}

impl From<AuditEntry> for EntryView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            time: entry.time,
            user: entry.actor,
            by: entry.by.as_str(),
            token: entry.token,
            address: entry.address,
            action: entry.action,
            target: entry.target,
            outcome: entry.outcome.as_str(),
            detail: entry.detail,
            request_id: entry.request_id,
            previous: entry.previous.to_string(),
            hash: entry.hash.to_string(),
        }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
struct AuditList {
    /// The entries, newest first. A page may hold fewer than asked for, or none, and go on.
    items: Vec<EntryView>,
    /// Where the next page begins; null when this is the last.
    next_cursor: Option<String>,
}

/// Lists entries of the audit log
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(AuditParameters), responses((status = 200, body = AuditList)))]
async fn audit_entries(
    Extract(state): Extract<State>,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<AuditList>, Problem> {
    let before = parameters.cursor.as_deref().filter(|text| !text.is_empty());
    let before = before
        .map(|text| open_cursor(text)?.parse().map_err(|_| wrong_cursor()))
        .transpose()?;
    let query = AuditQuery {
        before,
        limit: limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        ..query(
            parameters.user,
            parameters.action,
            parameters.outcome.as_deref(),
            parameters.start.as_deref(),
            parameters.end.as_deref(),
            state.now(),
        )?
    };
    let page = blocking(&state, move |state| state.parts.access.audit_page(&query)).await?;
    Ok(Json(AuditList {
        items: page.entries.into_iter().map(EntryView::from).collect(),
        next_cursor: page.next.map(|next| seal_cursor(&next.to_string())),
    }))
}

fn query(
    user: Option<String>,
    action: Option<String>,
    outcome: Option<&str>,
    start: Option<&str>,
    end: Option<&str>,
    now: Timestamp,
) -> Result<AuditQuery, Problem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let outcome = match outcome {
        None | Some("") => None,
        Some("done") => Some(AuditOutcome::Done),
        Some("refused") => Some(AuditOutcome::Refused),
        Some("failed") => Some(AuditOutcome::Failed),
        Some(_) => {
            return Err(Problem::invalid(
                "`outcome` must be `done`, `refused` or `failed`",
            ));
        }
    };
    let time = |name: &str, text: Option<&str>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| instant(name, text, now)).transpose()
    };
    let (start, end) = (time("start", start)?, time("end", end)?);
    let range = (start.is_some() || end.is_some()).then(|| TimeRange {
        start: start.unwrap_or(Timestamp::MIN),
        end: end.unwrap_or(Timestamp::MAX),
    });
    Ok(AuditQuery {
        actor: given(user),
        action: given(action),
        outcome,
        range,
        before: None,
        limit: MAX_LIMIT,
    })
}

/// What checking the log has shown.
#[derive(Serialize, ToSchema)]
struct AuditState {
    /// True when no entry has been changed or removed.
    whole: bool,
    /// What is wrong; null when it is whole.
    problem: Option<String>,
    /// Entries that are in order.
    entries: u64,
    /// Number of the last entry that retention has removed; 0 for none.
    removed_up_to: u64,
    /// Number of the newest entry.
    newest: u64,
    /// Its hash; noted elsewhere, it shows later that everything up to here is still the same.
    newest_hash: String,
}

/// Checks the whole audit log
#[utoipa::path(get, path = "/api/audit/verify", tag = "audit", responses((status = 200, body = AuditState)))]
async fn verify_audit(Extract(state): Extract<State>) -> Result<Json<AuditState>, Problem> {
    let check = blocking(&state, move |state| state.parts.access.verify_audit()).await?;
    Ok(Json(AuditState {
        whole: check.broken.is_none(),
        problem: check.broken.map(|broken| broken.to_string()),
        entries: check.entries,
        removed_up_to: check.floor.sequence,
        newest: check.head.sequence,
        newest_hash: check.head.hash.to_string(),
    }))
}

/// Which entries, and in which form.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditExportParameters {
    /// Name of the user who did it.
    user: Option<String>,
    /// What was done, whole or up to a dot.
    #[param(example = "user")]
    action: Option<String>,
    /// `done`, `refused` or `failed`.
    #[param(pattern = "^(done|refused|failed)?$")]
    outcome: Option<String>,
    /// Begin, RFC 3339 or `now-7d`; the beginning of the log when absent.
    #[param(example = "now-7d", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; the end of the log when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// `csv` or `ndjson`.
    #[param(pattern = "^(csv|ndjson)?$", default = "ndjson")]
    format: Option<String>,
}

const COLUMNS: [&str; 13] = [
    "sequence",
    "time",
    "user",
    "by",
    "token",
    "address",
    "action",
    "target",
    "outcome",
    "detail",
    "request_id",
    "previous",
    "hash",
];

/// Gives the audit log as a file, newest entry first
#[utoipa::path(get, path = "/api/audit/export", tag = "audit", params(AuditExportParameters), responses(
    (status = 200, description = "The file. A transfer that breaks off is not complete.", content(
        (String = "application/x-ndjson"), (String = "text/csv")
    )),
))]
async fn export_audit(
    Extract(state): Extract<State>,
    Parameters(parameters): Parameters<AuditExportParameters>,
) -> Result<Response, Problem> {
    let is_csv = match parameters.format.as_deref() {
        None | Some("" | "ndjson") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::invalid("`format` must be `csv` or `ndjson`")),
    };
    let now = state.now();
    let query = query(
        parameters.user,
        parameters.action,
        parameters.outcome.as_deref(),
        parameters.start.as_deref(),
        parameters.end.as_deref(),
        now,
    )?;
    let mut export = Export {
        state,
        query,
        is_csv,
        ready: VecDeque::new(),
        done: false,
    };
    if is_csv {
        let mut head = String::new();
        csv_row(&mut head, COLUMNS.into_iter());
        export.ready.push_back(head.into());
    }
    // The first page before the head of the answer, so that an error is an error.
    export.read().await?;
    let body = stream::unfold(export, |mut export| async move {
        let chunk = export.next().await?;
        Some((chunk, export))
    })
    .fuse();
    let (content_type, suffix) = if is_csv {
        ("text/csv; charset=utf-8", "csv")
    } else {
        ("application/x-ndjson", "ndjson")
    };
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let day = now.to_string();
    let day = day.get(..10).unwrap_or("now");
    let name = format!("attachment; filename=\"quaywatch-audit-{day}.{suffix}\"");
    if let Ok(value) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A file that is being written.
struct Export {
    state: State,
    query: AuditQuery,
    is_csv: bool,
    ready: VecDeque<Bytes>,
    done: bool,
}

impl Export {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.done {
                return None;
            }
            if self.read().await.is_err() {
                // Breaking the transfer off is the only way left to say that it is not complete.
                self.done = true;
                return Some(Err(io::Error::other("the store cannot be read")));
            }
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        let query = self.query.clone();
        let page = blocking(&self.state, move |state| {
            state.parts.access.audit_page(&query)
        })
        .await?;
        self.query.before = page.next;
        self.done = page.next.is_none();
        let mut text = String::new();
        for entry in page.entries {
            self.write(&mut text, entry.into())?;
        }
        if !text.is_empty() {
            self.ready.push_back(text.into());
        }
        Ok(())
    }

    fn write(&self, text: &mut String, entry: EntryView) -> Result<(), Problem> {
        if self.is_csv {
            let (sequence, time) = (entry.sequence.to_string(), entry.time.to_string());
            let cells = [
                &sequence,
                &time,
                &entry.user,
                entry.by,
                &entry.token,
                &entry.address,
                &entry.action,
                &entry.target,
                entry.outcome,
                &entry.detail,
                &entry.request_id,
                &entry.previous,
                &entry.hash,
            ];
            csv_row(text, cells.into_iter());
        } else {
            let line = serde_json::to_string(&entry);
            text.push_str(&line.map_err(|error| Problem::internal("write an entry", &error))?);
            text.push('\n');
        }
        Ok(())
    }
}
