//! Any HTTP server: records as a JSON array, as lines, or one by one, each made by a template of one's own.

use async_trait::async_trait;
use http::{HeaderValue, Method, Uri};
use qw_event::Timestamp;
use serde_json::{Value, json};

use super::{
    http::{Beside, Poster},
    line::LineWriter,
};
use crate::{
    http::{address, place},
    receiver::{Refusal, chain},
    routes::{
        config::{ConfigError, FileFormat, HttpFraming, RouteConfig, WebhookConfig},
        destination::{Delivered, Destination, Undelivered},
        record::{Part, Record},
    },
    secret::Secret,
    template::{Makes, Template},
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Posts to one address.
pub(crate) struct Webhook {
    poster: Poster,
    config: WebhookConfig,
    template: Option<Template>,
    lines: LineWriter,
}

impl Webhook {
    /// Reads address, template and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &WebhookConfig) -> Result<Self, ConfigError> {
        let method = match config.method.to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            _ => return Err(route.wrong("to.method", "is none of POST, PUT and PATCH")),
        };
        let usual = match config.framing {
            HttpFraming::Array | HttpFraming::Single => "application/json",
            HttpFraming::Lines => "application/x-ndjson",
        };
        let own = config.content_type.as_deref();
        let content_type = HeaderValue::from_str(own.unwrap_or(usual))
            .map_err(|_| route.wrong("to.content_type", "is no header value"))?;
        let makes_json = own.unwrap_or(usual).contains("json");
        if config.framing == HttpFraming::Array && !makes_json {
            return Err(route.wrong("to.framing", "`array` wants a `content_type` of JSON"));
        }
        let makes = if makes_json { Makes::Json } else { Makes::Text };
        let template = config
            .body
            .as_deref()
            .map(|source| Template::parse_for(source, makes, complete()))
            .transpose()
            .map_err(|error| route.wrong("to.body", chain(&error)))?;
        let (url, _) = url(config).map_err(|problem| route.wrong("to.url", problem))?;
        let poster = Poster::new(route, &url.to_string(), same, &config.http, "")?
            .with_method(method)
            .with_content_type(content_type);
        Ok(Self {
            poster,
            template,
            config: config.clone(),
            lines: LineWriter::new(),
        })
    }

    /// What is sent of one record, without a line end behind it.
    fn piece(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.template {
            None => {
                self.lines.json(record, out);
                out.pop();
                Ok(())
            }
            Some(template) => {
                let text = template
                    .fill(document(record))
                    .map_err(|error| chain(&error))?;
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
    }

    async fn post(&self, body: Vec<u8>, now: Timestamp) -> Result<(String, u64), Undelivered> {
        let (address, secret) = url(&self.config).map_err(|problem| {
            Undelivered::from(Refusal::passing(format!("the address {problem}")))
        })?;
        let beside = Beside {
            address: Some(address),
            secrets: secret.into_iter().collect(),
            ..Beside::default()
        };
        let (reply, bytes) = self.poster.post(body, beside, MAX_ANSWER, now).await?;
        Ok((reply.status.to_string(), bytes))
    }

    /// One request for all records.
    async fn together(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let mut delivered = Delivered::default();
        let is_array = self.config.framing == HttpFraming::Array;
        let mut body = Vec::with_capacity(2 * part.bytes());
        for (place, record) in part.records().enumerate() {
            let before = body.len();
            if is_array {
                body.push(if before == 0 { b'[' } else { b',' });
            }
            if let Err(reason) = self.piece(&record, &mut body) {
                body.truncate(before);
                delivered.refused.push((place, reason));
            } else if !is_array {
                body.push(b'\n');
            }
        }
        if body.is_empty() {
            return Ok(delivered);
        }
        if is_array {
            body.push(b']');
        }
        match self.post(body, now).await {
            Ok((answer, bytes)) => {
                delivered.answer = answer;
                delivered.bytes = bytes;
                Ok(delivered)
            }
            Err(undelivered) => Err(undelivered),
        }
    }

    /// One request for each record.
    async fn one_by_one(&mut self, part: Part<'_>, now: Timestamp) -> Delivered {
        let mut delivered = Delivered::default();
        for (place, record) in part.records().enumerate() {
            let mut body = Vec::new();
            if let Err(reason) = self.piece(&record, &mut body) {
                delivered.refused.push((place, reason));
                continue;
            }
            match self.post(body, now).await {
                Ok((answer, bytes)) => {
                    delivered.answer = answer;
                    delivered.bytes += bytes;
                }
                Err(Undelivered::Split(reason)) => delivered.refused.push((place, reason)),
                Err(Undelivered::Later { refusal, .. }) => {
                    delivered.again = (place..part.len()).collect();
                    delivered.why_again = refusal.text;
                    break;
                }
            }
        }
        delivered
    }
}

#[async_trait]
impl Destination for Webhook {
    fn place(&self) -> String {
        url(&self.config).map_or(self.poster.place(), |(address, _)| place(&address))
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        match self.config.framing {
            HttpFraming::Array | HttpFraming::Lines => self.together(part, now).await,
            HttpFraming::Single => Ok(self.one_by_one(part, now).await),
        }
    }
}

fn same(path: &str) -> String {
    path.to_owned()
}

/// The address; beside it itself as a secret when it is one.
fn url(config: &WebhookConfig) -> Result<(Uri, Option<Secret>), String> {
    match (&config.url, &config.url_from) {
        (Some(url), None) => Ok((address(url)?, None)),
        (None, Some(from)) => {
            let secret = from.read().map_err(|error| chain(&error))?;
            Ok((address(secret.reveal())?, Some(secret)))
        }
        _ => Err(String::from("or `url_from` is wanted, and not both")),
    }
}

/// What templates see of a record.
fn document(record: &Record<'_>) -> Value {
    let from = &record.outgoing;
    let mut line = Vec::new();
    LineWriter::new().payload(record, FileFormat::Json, &mut line);
    let fields: Value = serde_json::from_str(from.fields).unwrap_or_else(|_| json!({}));
    json!({
        "id": from.id,
        "time": from.time,
        "seconds": from.time.as_seconds(),
        "priority": from.priority,
        "severity": from.severity.map_or("", qw_log::Severity::text),
        "stream": from.stream,
        "host": from.hostname,
        "tag": from.tag,
        "container": **record.container,
        "text": from.text,
        "fields": fields,
        "record": serde_json::from_slice::<Value>(&line).unwrap_or_default(),
    })
}

/// A document in which nothing is missing, to check templates with.
fn complete() -> Value {
    let container = qw_event::ContainerRef::default();
    json!({
        "id": 1,
        "time": Timestamp::from_seconds(1),
        "seconds": 1,
        "priority": qw_event::Priority::Informational,
        "severity": "INFO",
        "stream": "stdout",
        "host": "check",
        "tag": "check",
        "container": container,
        "text": "check",
        "fields": {},
        "record": {},
    })
}
