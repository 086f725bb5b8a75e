//! Events as a file: exactly those that a query selects, streamed page by page.

use std::{collections::VecDeque, io, time::Duration};

use axum::{
    body::Body,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, header};
use qw_event::StoredEvent;
use qw_store::{EventQuery, query::field_value};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    event_view::json_line,
    parameters::{MAX_LIMIT, Parameters, filter, kinds, limit, order, range},
    problem::{Code, Problem},
    routes::{
        Routes,
        events::{HOUR, field_names},
    },
    state::State,
};

/// Most events of one file.
const MAX_EVENTS: usize = 1_000_000;

/// A file that has been begun waits longer for the store than a question does.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

const DEFAULT_COLUMNS: [&str; 10] = [
    "time",
    "priority",
    "rule",
    "category",
    "container.name",
    "container.image",
    "proc.name",
    "hostname",
    "source",
    "output",
];

pub(super) fn routes() -> Routes {
    vec![routes!(export)]
}

/// Which events, and in which form.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExportParameters {
    /// Query; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// `event`, `log` for lines of container logs, or `all`; events when absent, unless the query names
    /// kinds.
    #[param(pattern = "^(event|log|all)?$", default = "event")]
    kind: Option<String>,
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// `csv`, `json` (one array) or `ndjson` (one event a line).
    #[param(pattern = "^(csv|json|ndjson)?$", default = "csv")]
    format: Option<String>,
    /// Columns of `csv`: names of fields with commas between them, at most 50.
    #[param(example = "time,priority,rule,output", format = "field-names-50")]
    columns: Option<String>,
    /// Most events; all when absent, at most a million.
    #[param(minimum = 1, maximum = 1_000_000)]
    limit: Option<usize>,
    /// `desc` (newest first) or `asc`.
    #[param(pattern = "^(asc|desc)?$", default = "desc")]
    order: Option<String>,
}

/// Gives events as a file
#[utoipa::path(get, path = "/api/events/export", tag = "events", params(ExportParameters), responses(
    (status = 200, description = "The file. A transfer that breaks off is not complete.", content(
        (String = "text/csv"), (Vec<crate::event_view::EventView> = "application/json"), (String = "application/x-ndjson")
    )),
))]
async fn export(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<ExportParameters>,
) -> Result<Response, Problem> {
    let form = match parameters.format.as_deref() {
        None | Some("" | "csv") => Form::Csv(field_names(
            parameters.columns.as_deref(),
            &DEFAULT_COLUMNS,
            50,
        )?),
        Some("json") => Form::Json,
        Some("ndjson") => Form::Lines,
        Some(_) => {
            return Err(Problem::invalid(
                "`format` must be `csv`, `json` or `ndjson`",
            ));
        }
    };
    let now = state.now();
    let filter = filter(parameters.query.as_deref())?;
    let query = EventQuery {
        kinds: kinds(parameters.kind.as_deref(), &filter)?,
        range: range(
            parameters.start.as_deref(),
            parameters.end.as_deref(),
            HOUR,
            now,
        )?,
        filter: visibility.narrow(filter),
        order: order(parameters.order.as_deref())?,
        after: None,
        limit: MAX_LIMIT,
        budget: state.parts.settings.query_budget,
    };
    let left = limit(parameters.limit, MAX_EVENTS, MAX_EVENTS)?;
    let (content_type, suffix) = form.kind();
    let day = now.to_string();
    let name = format!(
        "quaywatch-events-{}.{suffix}",
        day.get(..10).unwrap_or("now")
    );
    let mut export = Export {
        state,
        query,
        form,
        left,
        written: 0,
        headed: false,
        ready: VecDeque::new(),
        done: false,
    };
    // The first page before the head of the answer, so that an error is an error.
    export.read().await?;
    let body = stream::unfold(export, |mut export| async move {
        let chunk = export.next().await?;
        Some((chunk, export))
    })
    // Compression asks once more after the end.
    .fuse();
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

enum Form {
    Csv(Vec<String>),
    Json,
    Lines,
}

impl Form {
    const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Csv(_) => ("text/csv; charset=utf-8", "csv"),
            Self::Json => ("application/json", "json"),
            Self::Lines => ("application/x-ndjson", "ndjson"),
        }
    }
}

/// A file that is being written.
struct Export {
    state: State,
    query: EventQuery,
    form: Form,
    left: usize,
    written: usize,
    headed: bool,
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
            let mut tries = 0;
            while let Err(problem) = self.read().await {
                tries += 1;
                if problem.code() == Code::Unavailable && tries < TRIES {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                // Breaking the transfer off is the only way left to say that it is not complete.
                self.done = true;
                return Some(Err(io::Error::other("the store cannot be read")));
            }
        }
    }

    /// Reads a page and puts what it becomes into `ready`.
    async fn read(&mut self) -> Result<(), Problem> {
        let query = EventQuery {
            limit: MAX_LIMIT.min(self.left),
            ..self.query.clone()
        };
        let page = self
            .state
            .ask(move |records| records.events(&query))
            .await?;
        let mut text = String::new();
        if !self.headed {
            self.headed = true;
            match &self.form {
                Form::Csv(columns) => csv_row(&mut text, columns.iter().map(String::as_str)),
                Form::Json => text.push('['),
                Form::Lines => {}
            }
        }
        self.left = self.left.saturating_sub(page.events.len());
        for stored in &page.events {
            self.write(&mut text, stored);
            self.written += 1;
        }
        self.query.after = page.next;
        if page.next.is_none() || self.left == 0 {
            self.done = true;
            if matches!(self.form, Form::Json) {
                text.push_str("\n]\n");
            }
        }
        if !text.is_empty() {
            self.ready.push_back(text.into());
        }
        Ok(())
    }

    fn write(&self, text: &mut String, stored: &StoredEvent) {
        match &self.form {
            Form::Csv(columns) => {
                let cells: Vec<_> = columns
                    .iter()
                    .map(|column| match column.as_str() {
                        "id" => Some(stored.id.to_string().into()),
                        column => field_value(&stored.event, column),
                    })
                    .map(Option::unwrap_or_default)
                    .collect();
                csv_row(text, cells.iter().map(AsRef::as_ref));
            }
            Form::Json => {
                text.push_str(if self.written == 0 { "\n" } else { ",\n" });
                text.push_str(&json_line(stored));
            }
            Form::Lines => {
                text.push_str(&json_line(stored));
                text.push('\n');
            }
        }
    }
}

/// Writes one row (RFC 4180).
///
/// A cell that a spreadsheet would run as a formula gets an apostrophe in front: what attackers
/// write into process names and paths ends up here.
pub(super) fn csv_row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        let is_number = cell.parse::<f64>().is_ok();
        let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
        let needs_quotes = is_formula || cell.contains(['"', ',', '\n', '\r']);
        if !needs_quotes {
            text.push_str(cell);
            continue;
        }
        text.push('"');
        if is_formula {
            text.push('\'');
        }
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cells: &[&str], expected: &str) {
        let mut text = String::new();
        csv_row(&mut text, cells.iter().copied());
        assert_eq!(text, expected);
    }

    #[test]
    fn rows() {
        check(&["a", "", "b c"], "a,,b c\r\n");
        check(
            &["a,b", "say \"hi\"", "two\nlines"],
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n",
        );
        check(
            &["=1+1", "@x", "-5", "-rf", "+49"],
            "\"'=1+1\",\"'@x\",-5,\"'-rf\",+49\r\n",
        );
    }
}
