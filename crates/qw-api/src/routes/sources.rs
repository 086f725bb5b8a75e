//! Where events come from, and what became of them.

use std::collections::BTreeMap;

use axum::{Json, extract::State as Extract};
use qw_event::{Outcome, Timestamp};
use qw_pipeline::{Reader, SourceSnapshot};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{routes::Routes, state::State};

pub(super) fn routes() -> Routes {
    vec![routes!(sources)]
}

/// All sources.
#[derive(Serialize, ToSchema)]
struct SourceList {
    /// The sources, by id.
    items: Vec<SourceView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// A source of events.
#[derive(Serialize, ToSchema)]
#[schema(as = Source)]
struct SourceView {
    /// Name, stable across restarts.
    #[schema(example = "docker:falco")]
    id: String,
    /// `docker`, `falco_http`, `file`, `stdin`, `demo`, …
    #[schema(example = "docker")]
    kind: &'static str,
    /// What it reads.
    description: String,
    /// `starting`, `running`, `waiting` (for its peer), `failed` or `stopped`.
    #[schema(example = "running")]
    state: &'static str,
    /// Since when it is in that state.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Newest error.
    last_error: Option<SourceFault>,
    /// Reason and beginning of the newest line that was no event.
    last_rejected: Option<String>,
    /// When something last arrived, by our clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_received: Option<Timestamp>,
    /// Time of the newest event stored, by the sender's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event: Option<Timestamp>,
    /// Seconds between the newest event's time and its arrival.
    lag_seconds: Option<f64>,
    /// Records received.
    received_total: u64,
    /// Bytes received.
    received_bytes_total: u64,
    /// What became of the records.
    outcomes: OutcomesView,
    /// What is on its way.
    queue: QueueView,
    /// Where it goes on reading after a restart.
    position: Option<String>,
    /// How each of the things it reads is read, such as the log of each container.
    readers: Vec<ReaderView>,
}

/// How one log is read, such as that of a container.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceReader)]
struct ReaderView {
    /// Full id of the container, with the path of a file inside it; of a file of no container its path.
    container_id: String,
    /// Its name.
    container_name: String,
    /// `file`, `api`, `archive`, `journal`, or `none` when it cannot be read.
    #[schema(example = "file")]
    way: &'static str,
    /// Why it is read this way.
    why: String,
    /// Bytes that are there and not yet read; null when that cannot be told.
    lag_bytes: Option<u64>,
    /// Places where something is missing, since the server started.
    gaps: u64,
    /// Records read, since the server started.
    lines: u64,
    /// Newest error.
    last_error: Option<String>,
}

impl From<&Reader> for ReaderView {
    fn from(reader: &Reader) -> Self {
        Self {
            container_id: reader.container_id.clone(),
            container_name: reader.container_name.clone(),
            way: reader.way,
            why: reader.why.clone(),
            lag_bytes: reader.lag_bytes,
            gaps: reader.gaps,
            lines: reader.lines,
            last_error: reader.last_error.clone(),
        }
    }
}

/// An error of a source.
#[derive(Serialize, ToSchema)]
struct SourceFault {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// What, and what can be done.
    text: String,
}

/// Records by what became of them; their sum is what was received, but for those on their way.
#[derive(Serialize, ToSchema)]
struct OutcomesView {
    /// On disk.
    stored: u64,
    /// Not a record, by reason.
    invalid: BTreeMap<&'static str, u64>,
    /// Could not be kept, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// Left out by a rule of the operator.
    filtered: u64,
    /// Came again.
    duplicate: u64,
    /// Forwarded by routes and not stored.
    forwarded: u64,
    /// Counted, by choice not kept.
    observed: u64,
}

/// What is on its way.
#[derive(Serialize, ToSchema)]
struct QueueView {
    /// Events.
    length: u64,
    /// Bytes that all sources together may have on their way.
    capacity: u64,
}

impl From<SourceSnapshot> for SourceView {
    fn from(source: SourceSnapshot) -> Self {
        let lag = source
            .last_received
            .zip(source.last_event)
            .map(|(received, event)| received.since(event).as_secs_f64());
        Self {
            id: source.id.to_string(),
            kind: source.kind,
            description: source.description,
            state: source.state.as_str(),
            since: source.since,
            last_error: source
                .last_error
                .map(|(time, text)| SourceFault { time, text }),
            last_rejected: source.last_rejected,
            last_received: source.last_received,
            last_event: source.last_event,
            lag_seconds: lag,
            readers: source.readers.iter().map(ReaderView::from).collect(),
            received_total: source.received,
            received_bytes_total: source.received_bytes,
            outcomes: outcomes(&source.outcomes),
            queue: QueueView {
                length: source.in_flight,
                capacity: source.capacity,
            },
            position: source.position,
        }
    }
}

fn outcomes(counts: &[u64; Outcome::ALL.len()]) -> OutcomesView {
    let mut view = OutcomesView {
        stored: 0,
        invalid: BTreeMap::new(),
        dropped: BTreeMap::new(),
        filtered: 0,
        duplicate: 0,
        forwarded: 0,
        observed: 0,
    };
    for (outcome, count) in Outcome::ALL.into_iter().zip(counts.iter().copied()) {
        match outcome {
            Outcome::Stored => view.stored = count,
            Outcome::Forwarded => view.forwarded = count,
            Outcome::Observed => view.observed = count,
            Outcome::Filtered => view.filtered = count,
            Outcome::Duplicate => view.duplicate = count,
            Outcome::Invalid(reason) => {
                view.invalid.insert(reason.name(), count);
            }
            Outcome::Dropped(reason) => {
                view.dropped.insert(reason.name(), count);
            }
        }
    }
    view
}

/// Lists the sources of events
#[utoipa::path(get, path = "/api/sources", tag = "sources", responses((status = 200, body = SourceList)))]
async fn sources(Extract(state): Extract<State>) -> Json<SourceList> {
    let items = state
        .parts
        .sources
        .snapshots()
        .into_iter()
        .map(SourceView::from)
        .collect();
    Json(SourceList {
        items,
        next_cursor: None,
    })
}
