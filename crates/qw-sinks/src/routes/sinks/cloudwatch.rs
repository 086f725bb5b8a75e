//! CloudWatch Logs: `PutLogEvents`, a stream for each name.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use http::{HeaderValue, StatusCode};
use qw_event::Timestamp;
use qw_wire::{
    Outgoing,
    cloudwatch::{encode_create_log_group, encode_create_log_stream, encode_put_log_events},
};
use serde::Deserialize;

use super::{
    aws,
    http::{Poster, path_or},
};
use crate::{
    http::Reply,
    receiver::Refusal,
    routes::{
        config::{CloudwatchConfig, Compression, ConfigError, HttpConfig, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    secret::redacted,
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Longest name of a group or stream, in characters, as AWS says.
const MAX_NAME: usize = 512;

/// Streams that are known to be there, at most.
const MAX_KNOWN: usize = 10_000;

/// Puts events into one group.
pub(crate) struct Cloudwatch {
    poster: Poster,
    config: CloudwatchConfig,
    known: BTreeSet<String>,
}

/// What AWS says of an error, or of events that it did not keep.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
    #[serde(rename = "rejectedLogEventsInfo")]
    rejected: Option<Rejected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rejected {
    /// The first that is too new.
    #[serde(rename = "tooNewLogEventStartIndex")]
    too_new: Option<usize>,
    /// The first that is not too old.
    #[serde(rename = "tooOldLogEventEndIndex")]
    not_too_old: Option<usize>,
    /// The first that has not expired.
    #[serde(rename = "expiredLogEventEndIndex")]
    not_expired: Option<usize>,
}

impl Rejected {
    /// Why the event at `index` was not kept.
    fn reason(&self, index: usize) -> Option<&'static str> {
        let is_before = |end: Option<usize>| end.is_some_and(|end| index < end);
        if is_before(self.not_too_old) {
            Some("it is older than 14 days")
        } else if is_before(self.not_expired) {
            Some("it is older than what the group keeps")
        } else if self.too_new.is_some_and(|start| index >= start) {
            Some("it is more than two hours in the future")
        } else {
            None
        }
    }
}

impl Cloudwatch {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &CloudwatchConfig) -> Result<Self, ConfigError> {
        aws::check(route, &config.aws)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.#".contains(&byte);
        if config.log_group.is_empty()
            || config.log_group.len() > MAX_NAME
            || !config.log_group.bytes().all(is_name)
        {
            let problem = "has 1 to 512 letters, digits, or signs of `_-/.#`";
            return Err(route.wrong("to.log_group", problem));
        }
        let url = match config.url.as_str() {
            "" => format!("https://logs.{}.amazonaws.com/", config.aws.region),
            own => own.to_owned(),
        };
        let http = HttpConfig {
            compression: Compression::None,
            ..config.http.clone()
        };
        let poster = Poster::new(route, &url, path_or("/"), &http, "")?
            .with_content_type(HeaderValue::from_static("application/x-amz-json-1.1"))
            .refusing(&[413]);
        Ok(Self {
            poster,
            config: config.clone(),
            known: BTreeSet::new(),
        })
    }

    /// Calls `operation`; the answer, and what it says of errors.
    async fn call(
        &self,
        operation: &str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<(Reply, Said, u64), Undelivered> {
        let target = format!("Logs_20140328.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &target),
        ];
        let address = self.poster.address().clone();
        let beside = aws::signed(
            &self.config.aws,
            "logs",
            "POST",
            address,
            &headers,
            &body,
            now,
        )?;
        let (reply, bytes, secrets) = self.poster.exchange(body, beside, MAX_ANSWER).await?;
        if reply.status != StatusCode::BAD_REQUEST {
            let reply = self.poster.judged(reply, &secrets, now)?;
            let said = serde_json::from_slice(&reply.body).unwrap_or_default();
            return Ok((reply, said, bytes));
        }
        let mut said: Said = serde_json::from_slice(&reply.body).unwrap_or_default();
        said.message = redacted(&said.message, &secrets);
        Ok((reply, said, bytes))
    }

    /// Why `operation` failed; whatever it is must cost no records.
    fn refusal(&self, operation: &str, said: &Said) -> Undelivered {
        let kind: String = said.kind.chars().take(100).collect();
        let message: String = said.message.chars().take(300).collect();
        let place = self.poster.place();
        Refusal::passing(format!("`{place}` refuses {operation}: {kind} {message}")).into()
    }

    async fn create(&mut self, stream: &str, now: Timestamp) -> Result<(), Undelivered> {
        let group = &self.config.log_group;
        let mut calls = Vec::new();
        if self.config.create_group {
            calls.push(("CreateLogGroup", encode_create_log_group(group)));
        }
        calls.push(("CreateLogStream", encode_create_log_stream(group, stream)));
        for (operation, body) in calls {
            let (reply, said, _) = self.call(operation, body, now).await?;
            if !reply.status.is_success() && !said.is("ResourceAlreadyExistsException") {
                return Err(self.refusal(operation, &said));
            }
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(stream.to_owned());
        Ok(())
    }

    /// Puts as many of `records` as fit into one request: how many were done, those that are refused, and
    /// the bytes that travelled.
    async fn put(
        &mut self,
        stream: &str,
        records: &[Outgoing<'_>],
        now: Timestamp,
    ) -> Result<(usize, Vec<(usize, String)>, u64), Undelivered> {
        if self.config.create_stream && !self.known.contains(stream) {
            self.create(stream, now).await?;
        }
        let put = encode_put_log_events(&self.config.log_group, stream, records);
        let (reply, said, bytes) = self.call("PutLogEvents", put.body, now).await?;
        if !reply.status.is_success() && !said.is("DataAlreadyAcceptedException") {
            if said.is("ResourceNotFoundException") {
                // Somebody has removed it: it is made anew with the next attempt.
                self.known.remove(stream);
            }
            return Err(self.refusal("PutLogEvents", &said));
        }
        let mut refused = BTreeMap::new();
        if let Some(rejected) = &said.rejected {
            for (index, record) in put.order.iter().enumerate() {
                if let Some(reason) = rejected.reason(index) {
                    refused.insert(*record, format!("CloudWatch did not keep it: {reason}"));
                }
            }
        }
        Ok((put.taken, refused.into_iter().collect(), bytes))
    }
}

impl Said {
    /// True when the kind is `name`, whatever stands before it.
    fn is(&self, name: &str) -> bool {
        self.kind.rsplit('#').next() == Some(name)
    }
}

#[async_trait]
impl Destination for Cloudwatch {
    fn place(&self) -> String {
        format!("{} {}", self.poster.place(), self.config.log_group)
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let mut streams: BTreeMap<String, (Vec<usize>, Vec<Outgoing<'_>>)> = BTreeMap::new();
        for (place, record) in part.records().enumerate() {
            let (places, records) = streams.entry(stream_name(record.tag)).or_default();
            places.push(place);
            records.push(record.outgoing);
        }
        let mut delivered = Delivered {
            answer: String::from("taken"),
            ..Delivered::default()
        };
        for (stream, (places, records)) in streams {
            let (mut places, mut records) = (&*places, &*records);
            while !records.is_empty() && delivered.again.is_empty() {
                match self.put(&stream, records, now).await {
                    Ok((taken, refused, bytes)) => {
                        let taken = taken.clamp(1, records.len());
                        delivered.bytes += bytes;
                        let refused = refused.into_iter();
                        let refused =
                            refused.filter_map(|(at, reason)| Some((*places.get(at)?, reason)));
                        delivered.refused.extend(refused);
                        places = places.get(taken..).unwrap_or_default();
                        records = records.get(taken..).unwrap_or_default();
                    }
                    Err(Undelivered::Split(text)) => {
                        delivered.why_again = text;
                        break;
                    }
                    Err(Undelivered::Later { refusal, .. }) => {
                        delivered.why_again = refusal.text;
                        break;
                    }
                }
            }
            delivered.again.extend_from_slice(places);
        }
        delivered.again.sort_unstable();
        delivered.refused.sort_by_key(|(place, _)| *place);
        Ok(delivered)
    }
}

/// `text` as the name of a stream: without what AWS does not allow, and not too long.
fn stream_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|character| match character {
            ':' | '*' => '_',
            other if other.is_control() => '_',
            other => other,
        })
        .take(MAX_NAME)
        .collect();
    if name.is_empty() {
        String::from("_")
    } else {
        name
    }
}
