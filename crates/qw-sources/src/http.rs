//! Events that senders post over HTTP: Falco's `http_output`, falcosidekick, batches of anybody.
//!
//! | Route | What |
//! |---|---|
//! | `POST /`, `/falco` | one object, an array, or several objects, with or without newlines |
//! | `POST /api/v1`, `/api/v1/` | the envelope of falcosidekick's web interface |
//! | `POST /test` | stores one test event |
//! | `GET /ping`, `/healthz` | answers that it is there |
//!
//! The answer 200 means that the events are on disk. A sender that numbers its batches (headers
//! `X-Quaywatch-Source`, `-Epoch`, `-Sequence`) may send them again and again without effect. TLS,
//! credentials and the address belong to the server that mounts [`router`].

pub(crate) mod body;
pub(crate) mod problem;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use qw_event::{DropReason, Event, InvalidReason, Outcome, SourceId, Timestamp};
use qw_pipeline::{Intake, NotAccepted, NotStored, SourceState, SourceStatuses};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use self::{
    body::{Budget, read},
    problem::Problem,
};
use crate::{
    clock::now,
    falco::{Limits, Parser},
};

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "falco_http";

/// Bounds of the receiver.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bounds of one event.
    pub limits: Limits,
    /// Largest body as sent, in bytes.
    pub body_bytes: usize,
    /// Largest body after decompression, in bytes.
    pub inflated_bytes: usize,
    /// A body may grow by this factor when it is decompressed; small ones (1 MiB) by any.
    pub inflated_ratio: usize,
    /// Bytes that all requests together may hold.
    pub memory_bytes: usize,
    /// Requests at once; more are answered 503.
    pub requests: usize,
    /// How long a sender may take for its body.
    pub read_within: Duration,
    /// How long the store may take; after that the events are taken back and the answer is 503.
    pub store_within: Duration,
    /// Senders that number their batches themselves, over the life of the process.
    pub numbered_sources: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            body_bytes: 16 << 20,
            inflated_bytes: 64 << 20,
            inflated_ratio: 200,
            memory_bytes: 128 << 20,
            requests: 256,
            read_within: Duration::from_secs(30),
            store_within: Duration::from_secs(10),
            numbered_sources: 256,
        }
    }
}

/// Receives events and answers when they are stored. Clones share it.
#[derive(Clone)]
pub struct Receiver {
    shared: Arc<Shared>,
}

struct Shared {
    intake: Intake,
    statuses: SourceStatuses,
    options: Options,
    requests: Semaphore,
    budget: Budget,
    parsers: Mutex<Vec<Parser>>,
    /// Doors of the senders that number their batches, by the name they gave.
    numbered: Mutex<BTreeMap<String, Intake>>,
}

impl Receiver {
    /// A receiver that sends through `intake`; senders that number their batches get sources of
    /// their own in `statuses`.
    pub fn new(intake: Intake, statuses: SourceStatuses, options: Options) -> Self {
        intake.status().set_state(SourceState::Running, now());
        Self {
            shared: Arc::new(Shared {
                requests: Semaphore::new(options.requests),
                budget: Budget::new(options.memory_bytes),
                intake,
                statuses,
                options,
                parsers: Mutex::default(),
                numbered: Mutex::default(),
            }),
        }
    }
}

/// The routes of the receiver, to be served alone or nested under a path.
pub fn router(receiver: Receiver) -> Router {
    let events = || post(receive);
    Router::new()
        .route("/", events())
        .route("/falco", events())
        .route("/falco/", events())
        .route("/api/v1", events())
        .route("/api/v1/", events())
        .route("/test", post(receive_test))
        .route("/ping", get(async || "pong\n"))
        .route(
            "/healthz",
            get(async || {
                (
                    [(header::CONTENT_TYPE, "application/json")],
                    "{\"status\":\"ok\"}\n",
                )
            }),
        )
        .with_state(receiver)
}

/// What the sender is told when its events are stored.
#[derive(Debug, Serialize)]
struct Accepted {
    stored: usize,
    invalid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_error: Option<String>,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    answer(receiver.shared.receive(request).await)
}

async fn receive_test(State(receiver): State<Receiver>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    let test = Request::from_parts(parts, Body::from(test_event(now())));
    answer(receiver.shared.receive(test).await)
}

fn answer(result: Result<Accepted, Problem>) -> Response {
    result.map_or_else(IntoResponse::into_response, IntoResponse::into_response)
}

fn test_event(time: Timestamp) -> String {
    serde_json::json!({
        "rule": "Test rule",
        "priority": "Debug",
        "source": "internal",
        "output": "This is a test event; nothing happened.",
        "output_fields": {},
        "tags": ["test"],
        "time": time,
    })
    .to_string()
}

/// Number and origin that the sender gave a batch.
struct Numbered {
    source: String,
    epoch: u64,
    sequence: u64,
}

/// What a body holds.
#[derive(Default)]
struct Parsed {
    events: Vec<Event>,
    invalid: usize,
    first_error: Option<String>,
}

impl Shared {
    async fn receive(self: &Arc<Self>, request: Request) -> Result<Accepted, Problem> {
        let (parts, body) = request.into_parts();
        let _request = self.requests.try_acquire().map_err(|_| Problem::busy())?;
        let numbered = numbered(&parts.headers)?;
        let intake = match &numbered {
            Some(numbered) => self.numbered_intake(&numbered.source)?,
            None => self.intake.clone(),
        };

        let reading = read(&parts.headers, body, &self.options, &self.budget);
        let body = match timeout(self.options.read_within, reading).await {
            Ok(body) => body,
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the body did not come in time",
            )),
        };
        let body = body.inspect_err(|problem| count_refused(&intake, problem))?;

        let received = now();
        let parsed = self.parse(&intake, body, received).await?;
        let stored = parsed.events.len();
        if stored == 0 {
            let detail = parsed
                .first_error
                .unwrap_or_else(|| "the body holds no event".to_owned());
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_event",
                detail,
            ));
        }
        self.store(&intake, parsed.events, received, numbered.as_ref())
            .await?;
        Ok(Accepted {
            stored,
            invalid: parsed.invalid,
            first_error: parsed.first_error,
        })
    }

    fn numbered_intake(&self, name: &str) -> Result<Intake, Problem> {
        let mut numbered = self.numbered.lock();
        if let Some(intake) = numbered.get(name) {
            return Ok(intake.clone());
        }
        let id = SourceId::new(&format!("http:{name}"));
        if id == *self.intake.source() {
            return Err(Problem::parameter(
                "`X-Quaywatch-Source` is the name of the receiver itself",
            ));
        }
        if numbered.len() >= self.options.numbered_sources {
            return Err(Problem::unavailable(
                "too many senders number their batches",
            ));
        }
        let intake = self.intake.for_source(
            &self.statuses,
            &id,
            KIND,
            &format!("batches numbered by `{name}`"),
        );
        intake.status().set_state(SourceState::Running, now());
        numbered.insert(name.to_owned(), intake.clone());
        Ok(intake)
    }

    async fn parse(
        self: &Arc<Self>,
        intake: &Intake,
        body: body::Read,
        received: Timestamp,
    ) -> Result<Parsed, Problem> {
        // Parsing takes about a millisecond per megabyte; larger bodies would keep others waiting.
        const INLINE_BYTES: usize = 64 * 1024;
        if body.bytes.len() <= INLINE_BYTES {
            return Ok(self.parse_now(intake, &body.bytes, received));
        }
        let (shared, intake) = (Arc::clone(self), intake.clone());
        tokio::task::spawn_blocking(move || shared.parse_now(&intake, &body.bytes, received))
            .await
            .map_err(|_| {
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "parsing failed",
                )
            })
    }

    fn parse_now(&self, intake: &Intake, body: &[u8], received: Timestamp) -> Parsed {
        // Parsers remember what recurs, so they are kept.
        const KEPT_PARSERS: usize = 4;
        let parser = self.parsers.lock().pop();
        let mut parser = parser.unwrap_or_else(|| Parser::new(self.options.limits));
        let status = intake.status();
        let mut parsed = Parsed::default();
        let mut invalid = Vec::new();
        parser.parse_all(body, received, |result| match result {
            Ok(event) => parsed.events.push(event),
            Err((reason, text)) => {
                parsed.invalid += 1;
                invalid.push(reason);
                if parsed.first_error.is_none() {
                    let sample: String = text.chars().take(80).collect();
                    parsed.first_error = Some(format!("{} at `{sample}`", reason.name()));
                    status.invalid(reason, text.as_bytes());
                    invalid.pop();
                }
            }
        });
        for reason in invalid {
            status.count(Outcome::Invalid(reason), 1);
        }
        status.received(
            (parsed.events.len() + parsed.invalid) as u64,
            body.len() as u64,
            received,
        );
        let mut parsers = self.parsers.lock();
        if parsers.len() < KEPT_PARSERS {
            parsers.push(parser);
        }
        parsed
    }

    /// Waits until `events` are on disk, but not for ever.
    async fn store(
        &self,
        intake: &Intake,
        events: Vec<Event>,
        received: Timestamp,
        numbered: Option<&Numbered>,
    ) -> Result<(), Problem> {
        let deadline = Instant::now() + self.options.store_within;
        let records = events.len() as u64;
        let sending = async {
            match numbered {
                None => intake.send(events, None, received).await,
                Some(Numbered {
                    epoch, sequence, ..
                }) => {
                    intake
                        .send_numbered(events, received, *epoch, *sequence)
                        .await
                }
            }
        };
        let dropped = |reason| intake.status().count(Outcome::Dropped(reason), records);
        let mut receipt = match timeout_at(deadline, sending).await {
            Ok(Ok(receipt)) => receipt,
            Ok(Err(NotAccepted::Stopped)) => {
                dropped(DropReason::Stopped);
                return Err(Problem::unavailable("the process is stopping"));
            }
            Ok(Err(NotAccepted::Full)) | Err(_) => {
                dropped(DropReason::QueueFull);
                return Err(Problem::unavailable(
                    "events come faster than they can be stored",
                ));
            }
        };
        let mut until = deadline;
        loop {
            match timeout_at(until, &mut receipt).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(NotStored::Refused(why))) => {
                    return Err(Problem::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "refused",
                        why,
                    ));
                }
                Ok(Err(NotStored::Stopped | NotStored::Withdrawn)) => {
                    return Err(Problem::unavailable("the process is stopping"));
                }
                Err(_) if receipt.withdraw() => {
                    return Err(Problem::unavailable(
                        "the events could not be stored in time",
                    ));
                }
                // The commit has begun and says soon how it ended.
                Err(_) => until = Instant::now() + Duration::from_millis(100),
            }
        }
    }
}

/// A body that was not even read is one invalid record.
fn count_refused(intake: &Intake, problem: &Problem) {
    let reason = match problem.status() {
        StatusCode::PAYLOAD_TOO_LARGE => InvalidReason::TooLong,
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => InvalidReason::NotJson,
        _ => return,
    };
    intake.status().received(1, 0, now());
    intake.status().invalid(reason, problem.detail().as_bytes());
}

fn numbered(headers: &HeaderMap) -> Result<Option<Numbered>, Problem> {
    const LONGEST_NAME: usize = 64;
    let header = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let number = |name, value: &str| {
        value
            .parse::<u64>()
            .map_err(|_| Problem::parameter(format!("`{name}` is not a number")))
    };
    match (
        header("x-quaywatch-source"),
        header("x-quaywatch-epoch"),
        header("x-quaywatch-sequence"),
    ) {
        (None, None, None) => Ok(None),
        (Some(source), Some(epoch), Some(sequence)) => {
            let allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            if source.is_empty() || source.len() > LONGEST_NAME || !source.bytes().all(allowed) {
                return Err(Problem::parameter(format!(
                    "`X-Quaywatch-Source` must be 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`"
                )));
            }
            Ok(Some(Numbered {
                source: source.to_owned(),
                epoch: number("X-Quaywatch-Epoch", epoch)?,
                sequence: number("X-Quaywatch-Sequence", sequence)?,
            }))
        }
        _ => Err(Problem::parameter(
            "a numbered batch needs `X-Quaywatch-Source`, `X-Quaywatch-Epoch` and `X-Quaywatch-Sequence`",
        )),
    }
}

#[cfg(test)]
mod tests;
