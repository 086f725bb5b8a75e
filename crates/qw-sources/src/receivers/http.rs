//! Receivers that speak HTTP: Splunk HEC, Loki, OTLP, Elasticsearch, CloudWatch Logs.
//!
//! A request is answered with success when its records are on disk. TLS, credentials and addresses
//! belong to the server that mounts [`router`]; only CloudWatch's signatures are checked here.

mod cloudwatch;
mod elasticsearch;
mod hec;
mod loki;
mod otlp;

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, http::HeaderMap};
use http::StatusCode;
use parking_lot::Mutex;
use qw_event::{Event, InvalidReason};
use qw_pipeline::{Intake, NotStored, SourceError};
use qw_wire::Received;
use tokio::{
    sync::Semaphore,
    time::{Duration, timeout},
};

use super::{Config, Kind, Options, Shared, fluentd, gather, lines::Lines};
use crate::{
    clock::now,
    http::{
        Options as Bounds,
        body::{Budget, Read, read},
    },
};

/// Bodies up to this size are parsed at once; larger ones would keep others waiting.
const INLINE_BYTES: usize = 64 * 1024;
/// Records of one body at most; a body of a few megabytes can hold millions that are empty.
const MOST_RECORDS: usize = 200_000;
/// Lines that are not finished are looked after so often.
const END_LINES_EVERY: Duration = Duration::from_secs(1);

/// The routes of the receiver `config`, which has been checked. Records go to `intake`; the last of them
/// when the routes are gone.
pub fn router(config: &Config, options: Options, intake: Intake) -> Result<Router, SourceError> {
    let (gatherer, _) = gather::start(intake.clone());
    let lines = Mutex::new(Lines::new(config, &options));
    let receiver = Receiver(Arc::new(Inner {
        shared: Shared {
            config: config.clone(),
            options,
            intake,
            gatherer,
            converters: Mutex::default(),
            memory: Budget::new(0),
            forward_key: None,
            chunks: fluentd::Chunks::default(),
            lines,
        },
        bounds: Bounds::default(),
        budget: Budget::new(Bounds::default().memory_bytes),
        requests: Semaphore::new(Bounds::default().requests),
    }));
    Ok(match config.kind() {
        Kind::SplunkHec => {
            receiver.end_lines();
            hec::router(receiver)
        }
        Kind::Loki => loki::router(receiver),
        Kind::Otlp => otlp::router(receiver),
        Kind::Elasticsearch => elasticsearch::router(receiver),
        Kind::Cloudwatch => cloudwatch::router(receiver, &config.keys)?,
        Kind::Syslog | Kind::Gelf | Kind::Fluentd => Router::new(),
    })
}

/// What the handlers of one receiver share.
#[derive(Clone)]
struct Receiver(Arc<Inner>);

struct Inner {
    shared: Shared,
    bounds: Bounds,
    budget: Budget,
    requests: Semaphore,
}

/// Why a request has no success, before a protocol puts it into its words.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    text: String,
}

impl Refused {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

/// What a format says of a body that is not as it should be.
struct Invalid<F> {
    fault: F,
    reason: InvalidReason,
}

/// How a body is read: hands every record on, and tells what it learned or what is wrong.
type Parsed<R, F> = Result<R, Invalid<F>>;

impl Receiver {
    /// Reads the body of a request, within bounds.
    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Read, Refused> {
        let inner = &self.0;
        let reading = read(headers, body, &inner.bounds, &inner.budget);
        let result = match timeout(inner.bounds.read_within, reading).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(problem)) => Refused::new(problem.status(), problem.detail()),
            Err(_) => Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        };
        let reason = match result.status {
            StatusCode::PAYLOAD_TOO_LARGE => InvalidReason::TooLong,
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => InvalidReason::NotJson,
            _ => return Err(result),
        };
        let status = inner.shared.intake.status();
        status.received(1, 0, now());
        status.invalid(reason, result.text.as_bytes());
        Err(result)
    }

    /// Reads the body of `request`, has `parse` find the records in it, and stores them. When the body
    /// is not as it should be, the records before the fault are stored all the same: senders do not
    /// repeat what is refused as wrong.
    async fn receive<R: Send + 'static, F: ToString + Send + 'static>(
        &self,
        request: Request,
        parse: impl FnOnce(&[u8], &mut dyn FnMut(Received<'_>)) -> Parsed<R, F> + Send + 'static,
    ) -> Result<Result<R, F>, Refused> {
        let (parts, body) = request.into_parts();
        self.receive_parts(&parts.headers, body, parse).await
    }

    async fn receive_parts<R: Send + 'static, F: ToString + Send + 'static>(
        &self,
        headers: &HeaderMap,
        body: Body,
        parse: impl FnOnce(&[u8], &mut dyn FnMut(Received<'_>)) -> Parsed<R, F> + Send + 'static,
    ) -> Result<Result<R, F>, Refused> {
        let _request = self.place()?;
        let body = self.body(headers, body).await?;
        self.receive_body(body, parse).await
    }

    /// Room for one request more.
    fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refused> {
        self.0
            .requests
            .try_acquire()
            .map_err(|_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"))
    }

    async fn receive_body<R: Send + 'static, F: ToString + Send + 'static>(
        &self,
        body: Read,
        parse: impl FnOnce(&[u8], &mut dyn FnMut(Received<'_>)) -> Parsed<R, F> + Send + 'static,
    ) -> Result<Result<R, F>, Refused> {
        let (events, result) = if body.bytes.len() <= INLINE_BYTES {
            self.0.shared.parse(&body.bytes, parse)
        } else {
            let receiver = self.clone();
            let parsing =
                tokio::task::spawn_blocking(move || receiver.0.shared.parse(&body.bytes, parse));
            parsing
                .await
                .map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "parsing failed"))?
        };
        let Some(events) = events else {
            let text = format!("the body holds more than {MOST_RECORDS} records");
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        };
        self.store(events).await?;
        Ok(result)
    }

    async fn store(&self, events: Vec<Event>) -> Result<(), Refused> {
        let unavailable = |text: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, text);
        // What is handed over is stored even when nobody waits for it any longer; then it may come twice.
        match timeout(
            self.0.bounds.store_within,
            self.0.shared.gatherer.store(events),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(NotStored::Refused(why))) => {
                Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, why))
            }
            Ok(Err(NotStored::Stopped | NotStored::Withdrawn)) => {
                Err(unavailable("the process is stopping"))
            }
            Err(_) => Err(unavailable("records come faster than they can be stored")),
        }
    }

    /// Ends lines whose next piece does not come, as long as somebody may send.
    fn end_lines(&self) {
        let receiver = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(END_LINES_EVERY).await;
                let Some(inner) = receiver.upgrade() else {
                    return;
                };
                let time = now();
                let events = {
                    let mut lines = inner.shared.lines.lock();
                    inner
                        .shared
                        .with_converter(|converter| lines.flush(converter, time));
                    lines.take(&inner.shared, time)
                };
                inner.shared.gatherer.send(events).await;
            }
        });
    }
}

impl Shared {
    /// The records in `body`, counted; `None` when they are too many.
    fn parse<R, F: ToString>(
        &self,
        body: &[u8],
        parse: impl FnOnce(&[u8], &mut dyn FnMut(Received<'_>)) -> Parsed<R, F>,
    ) -> (Option<Vec<Event>>, Result<R, F>) {
        let time = now();
        // Only Docker's driver for Splunk sends lines in pieces.
        let has_pieces = self.config.kind() == Kind::SplunkHec;
        let mut own = None;
        let mut shared = None;
        let lines = if has_pieces {
            &mut **shared.insert(self.lines.lock())
        } else {
            own.insert(Lines::new(&self.config, &self.options))
        };
        let mut records = 0;
        let parsed = self.with_converter(|converter| {
            parse(body, &mut |record| {
                records += 1;
                if records > MOST_RECORDS {
                } else if has_pieces {
                    lines.line(converter, record, "", time, false);
                } else {
                    lines.whole(converter, &record, "", time);
                }
            })
        });
        let result = parsed.map_err(|invalid| {
            lines.invalid(self, invalid.reason, invalid.fault.to_string().as_bytes());
            invalid.fault
        });
        lines.bytes(body.len() as u64);
        if records > MOST_RECORDS {
            lines.events.clear();
            lines.invalid(
                self,
                InvalidReason::TooLong,
                b"too many records in one body",
            );
        }
        let events = lines.take(self, time);
        ((records <= MOST_RECORDS).then_some(events), result)
    }
}
