//! AWS CloudWatch Logs, for Docker's `awslogs` driver with `awslogs-endpoint`, and for AWS's own agents.
//!
//! Groups and streams need not be made: what is sent to one that nobody made is kept all the same. That
//! they are there is remembered, so that clients hear what they expect.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use parking_lot::Mutex;
use qw_event::Timestamp;
use qw_pipeline::SourceError;
use qw_wire::cloudwatch::{
    self as wire, Exception, LogGroup, LogStream,
    sigv4::{self, SignatureFault},
};
use std::sync::Arc;

use super::{super::CloudwatchKey, Invalid, Receiver, Refused};
use crate::clock::now;

/// Groups and streams that are remembered; more are taken and not listed.
const MOST_REMEMBERED: usize = 10_000;
/// Every token does; clients send back what they were given.
const NEXT_TOKEN: &str = "1";

#[derive(Clone)]
struct Logs {
    receiver: Receiver,
    keys: Arc<BTreeMap<String, String>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    groups: BTreeMap<String, (Timestamp, Option<u32>)>,
    streams: BTreeMap<(String, String), Timestamp>,
}

pub(super) fn router(receiver: Receiver, keys: &[CloudwatchKey]) -> Result<Router, SourceError> {
    let mut secrets = BTreeMap::new();
    for key in keys {
        let secret = key.secret.read()?;
        let secret = String::from_utf8(secret).map_err(|error| {
            let doing = format!("the secret of `{}` is no text", key.access_key_id);
            SourceError::new(doing, error)
        })?;
        secrets.insert(key.access_key_id.clone(), secret);
    }
    Ok(Router::new().route("/", post(operation)).with_state(Logs {
        receiver,
        keys: Arc::new(secrets),
        known: Arc::default(),
    }))
}

fn json(status: StatusCode, body: impl Into<String>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, content_type, body.into()).into_response()
}

fn exception(exception: Exception, text: &str) -> Response {
    let status = StatusCode::from_u16(exception.status()).unwrap_or(StatusCode::BAD_REQUEST);
    json(status, exception.answer(text))
}

fn refuse(refused: &Refused) -> Response {
    let kind = match refused.status {
        StatusCode::SERVICE_UNAVAILABLE => Exception::ServiceUnavailable,
        StatusCode::PAYLOAD_TOO_LARGE => Exception::InvalidParameter,
        _ => Exception::Serialization,
    };
    exception(kind, &refused.text)
}

async fn operation(State(logs): State<Logs>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let _place = match logs.receiver.place() {
        Ok(place) => place,
        Err(refused) => return refuse(&refused),
    };
    let body = match logs.receiver.body(&parts.headers, body).await {
        Ok(body) => body,
        Err(refused) => return refuse(&refused),
    };
    if let Err(fault) = logs.check(&parts, &body.bytes) {
        return exception(fault.exception(), &fault.to_string());
    }
    let target = header_text(&parts.headers, "x-amz-target").to_owned();
    let answer = match wire::Request::parse(&target, &body.bytes) {
        Ok(wire::Request::PutLogEvents(_)) => None,
        Ok(request) => Some(logs.other(&request)),
        Err(fault) => {
            let status = logs.receiver.0.shared.intake.status();
            status.received(1, body.bytes.len() as u64, now());
            status.invalid(fault.reason(), fault.to_string().as_bytes());
            return exception(fault.exception, &fault.to_string());
        }
    };
    if let Some(answer) = answer {
        return answer;
    }
    let known = Arc::clone(&logs.known);
    let result = logs
        .receiver
        .receive_body(body, move |body, each| {
            match wire::Request::parse(&target, body) {
                Ok(wire::Request::PutLogEvents(request)) => {
                    let mut known = known.lock();
                    known.add_stream(&request.group, &request.stream);
                    request.records(each);
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(fault) => Err(Invalid {
                    reason: fault.reason(),
                    fault,
                }),
            }
        })
        .await;
    match result {
        Ok(Ok(())) => json(StatusCode::OK, wire::put_log_events(NEXT_TOKEN, None)),
        Ok(Err(fault)) => exception(fault.exception, &fault.to_string()),
        Err(refused) => refuse(&refused),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

impl Logs {
    /// Who sends must have signed with one of the keys, when there are any.
    fn check(&self, parts: &Parts, body: &[u8]) -> Result<(), SignatureFault> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let headers: Vec<(&str, &str)> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        // Over HTTP/2 the host stands in the address.
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let has_host = parts.headers.contains_key(header::HOST);
        let host = authority.filter(|_| !has_host).map(|host| ("host", host));
        let headers: Vec<_> = headers.into_iter().chain(host).collect();
        let request = sigv4::Parts {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body,
        };
        let find = |access_key: &str| self.keys.get(access_key).cloned();
        sigv4::verify(&request, &find, now()).map(drop)
    }

    fn other(&self, request: &wire::Request<'_>) -> Response {
        use wire::Request::{
            CreateLogGroup, CreateLogStream, DescribeLogGroups, DescribeLogStreams, PutLogEvents,
            PutRetentionPolicy,
        };
        let mut known = self.known.lock();
        let done = || json(StatusCode::OK, "");
        let exists = |what: &str| {
            let text = format!("The specified log {what} already exists");
            exception(Exception::ResourceAlreadyExists, &text)
        };
        match request {
            CreateLogGroup { group } if known.groups.contains_key(group.as_ref()) => {
                exists("group")
            }
            CreateLogGroup { group } => {
                known.add_group(group);
                done()
            }
            CreateLogStream { group, stream } => {
                if known.has_stream(group, stream) {
                    return exists("stream");
                }
                known.add_stream(group, stream);
                done()
            }
            DescribeLogStreams { group, prefix } => {
                let streams = known
                    .streams
                    .iter()
                    .filter(|((of, name), _)| of == group.as_ref() && name.starts_with(&**prefix))
                    .take(50)
                    .map(|((_, name), created)| LogStream {
                        name,
                        created: *created,
                        sequence_token: NEXT_TOKEN,
                    });
                json(StatusCode::OK, wire::describe_log_streams(group, streams))
            }
            DescribeLogGroups { prefix } => {
                let groups = known
                    .groups
                    .iter()
                    .filter(|(name, _)| name.starts_with(&**prefix))
                    .take(50)
                    .map(|(name, (created, retention_days))| LogGroup {
                        name,
                        created: *created,
                        retention_days: *retention_days,
                    });
                json(StatusCode::OK, wire::describe_log_groups(groups))
            }
            PutRetentionPolicy { group, days } => {
                known.add_group(group);
                if let Some((_, retention)) = known.groups.get_mut(group.as_ref()) {
                    *retention = Some(*days);
                }
                done()
            }
            PutLogEvents(_) => done(),
        }
    }
}

impl Known {
    fn has_stream(&self, group: &str, stream: &str) -> bool {
        self.streams
            .contains_key(&(group.to_owned(), stream.to_owned()))
    }

    fn add_group(&mut self, group: &str) {
        if self.groups.len() < MOST_REMEMBERED && !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), (now(), None));
        }
    }

    fn add_stream(&mut self, group: &str, stream: &str) {
        self.add_group(group);
        if self.streams.len() < MOST_REMEMBERED && !self.has_stream(group, stream) {
            self.streams
                .insert((group.to_owned(), stream.to_owned()), now());
        }
    }
}
