//! CloudWatch Logs, JSON 1.1: what Docker's driver `awslogs` and AWS's clients send, and what they want
//! to be answered.
//!
//! Sources: AWS, "Amazon CloudWatch Logs API Reference" (`PutLogEvents` and the other operations,
//! "Common Errors"); moby/moby, `daemon/logger/awslogs/cloudwatchlogs.go`. Signatures: [`sigv4`].

mod answers;
mod encode;
pub mod sigv4;

use std::borrow::Cow;

use qw_event::{InvalidReason, Timestamp};

use crate::{
    Received,
    otlp::attributes::{Value, is_container_id, put_field},
    outgoing::json::{self, Member, quote},
};

pub use answers::{
    Exception, LogGroup, LogStream, Rejected, describe_log_groups, describe_log_streams,
    put_log_events, rejected_by_time,
};
pub use encode::{
    EncodedEvents, encode_create_log_group, encode_create_log_stream, encode_put_log_events,
};

/// Most events of one request.
pub const MAX_EVENTS: usize = 10_000;
/// Most bytes of one request: of each event its message and [`EVENT_OVERHEAD`].
pub const MAX_BYTES: usize = 1 << 20;
/// What each event counts beside its message.
pub const EVENT_OVERHEAD: usize = 26;
/// Longest time between the first and the last event of a request, in milliseconds.
const MAX_SPAN_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Longest name of a group or a stream.
const MAX_NAME: usize = 512;
/// What `X-Amz-Target` begins with.
const PREFIX: &str = "Logs_20140328.";

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make a log group. Answer: nothing, or [`Exception::ResourceAlreadyExists`].
    CreateLogGroup {
        /// Its name.
        group: Cow<'a, str>,
    },
    /// Make a log stream. Answer: nothing, or [`Exception::ResourceAlreadyExists`].
    CreateLogStream {
        /// The group it is in.
        group: Cow<'a, str>,
        /// Its name.
        stream: Cow<'a, str>,
    },
    /// Keep events. Answer: [`put_log_events`].
    PutLogEvents(PutLogEvents<'a>),
    /// List the streams of a group. Answer: [`describe_log_streams`].
    DescribeLogStreams {
        /// The group.
        group: Cow<'a, str>,
        /// What the names begin with.
        prefix: Cow<'a, str>,
    },
    /// List groups. Answer: [`describe_log_groups`].
    DescribeLogGroups {
        /// What the names begin with.
        prefix: Cow<'a, str>,
    },
    /// Keep the events of a group for some time only. Answer: nothing.
    PutRetentionPolicy {
        /// The group.
        group: Cow<'a, str>,
        /// How long.
        days: u32,
    },
}

/// Events of one stream, checked as AWS checks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutLogEvents<'a> {
    /// The group.
    pub group: Cow<'a, str>,
    /// The stream, which Docker names after the container's id unless told otherwise.
    pub stream: Cow<'a, str>,
    /// The token of the request before; AWS ignores it since 2023.
    pub sequence_token: Cow<'a, str>,
    /// The events, the oldest first.
    pub events: Vec<LogEvent<'a>>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent<'a> {
    /// When it was written, to the millisecond.
    pub time: Timestamp,
    /// The line.
    pub message: Cow<'a, str>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {byte}")]
pub struct Fault {
    /// What AWS calls it.
    pub exception: Exception,
    /// What is wrong, in AWS's words where it has some.
    pub what: &'static str,
    /// The byte of the body, counted from 0, at which it was noticed.
    pub byte: usize,
    reason: InvalidReason,
}

impl Fault {
    const fn invalid(what: &'static str, byte: usize) -> Self {
        Self {
            exception: Exception::InvalidParameter,
            what,
            byte,
            reason: InvalidReason::NotAnEvent,
        }
    }

    const fn too_long(what: &'static str, byte: usize) -> Self {
        let mut fault = Self::invalid(what, byte);
        fault.reason = InvalidReason::TooLong;
        fault
    }

    /// The reason under which it is counted.
    pub const fn reason(&self) -> InvalidReason {
        self.reason
    }

    /// The body of the answer; its status is [`Exception::status`].
    pub fn answer(&self) -> String {
        self.exception.answer(self.what)
    }
}

impl From<json::Fault> for Fault {
    fn from(fault: json::Fault) -> Self {
        Self {
            exception: Exception::Serialization,
            what: fault.what,
            byte: fault.byte,
            reason: fault.reason(),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a request: `target` is the header `X-Amz-Target`, such as `Logs_20140328.PutLogEvents`.
    ///
    /// # Errors
    /// When the target is not known, the body is not as it has to be, or holds more than AWS takes:
    /// 10,000 events, 1 MiB with 26 bytes for each, 24 hours; or when events are not in order of time.
    pub fn parse(target: &str, body: &'a [u8]) -> Result<Self, Fault> {
        let operation = target.strip_prefix(PREFIX).unwrap_or_default();
        let text = json::utf8(body)?;
        // Clients may leave out a body without members.
        let members = match text.trim_ascii() {
            "" => Vec::new(),
            _ => {
                json::check_depth(text)?;
                json::object(text)?
            }
        };
        let reader = Reader {
            whole: text,
            members,
        };
        let group = || reader.name("logGroupName");
        let stream = || reader.name("logStreamName");
        Ok(match operation {
            "CreateLogGroup" => Self::CreateLogGroup { group: group()? },
            "CreateLogStream" => Self::CreateLogStream {
                group: group()?,
                stream: stream()?,
            },
            "PutLogEvents" => Self::PutLogEvents(PutLogEvents {
                group: group()?,
                stream: stream()?,
                sequence_token: reader.text("sequenceToken")?,
                events: reader.events()?,
            }),
            "DescribeLogStreams" => Self::DescribeLogStreams {
                group: match reader.find("logGroupName") {
                    Some(_) => group()?,
                    None => reader.name("logGroupIdentifier")?,
                },
                prefix: reader.text("logStreamNamePrefix")?,
            },
            "DescribeLogGroups" => Self::DescribeLogGroups {
                prefix: reader.text("logGroupNamePrefix")?,
            },
            "PutRetentionPolicy" => Self::PutRetentionPolicy {
                group: group()?,
                days: reader.days()?,
            },
            _ => {
                return Err(Fault {
                    exception: Exception::UnknownOperation,
                    ..Fault::invalid("the operation is not known", 0)
                });
            }
        })
    }
}

impl PutLogEvents<'_> {
    /// Calls `each` with every event, in order. Group and stream become the fields `aws.log.group.names`
    /// and `aws.log.stream.names`; the stream is the tag, and the id of the container if it is one.
    pub fn records(&self, each: &mut dyn FnMut(Received<'_>)) -> usize {
        let names = |name: &str| format!("[{}]", quote(name));
        let (group, stream) = (names(&self.group), names(&self.stream));
        for event in &self.events {
            let message = event.message.as_bytes();
            let mut received = Received {
                time: Some(event.time),
                tag: Cow::Borrowed(&self.stream),
                text: Cow::Borrowed(message.strip_suffix(b"\n").unwrap_or(message)),
                ..Received::default()
            };
            if is_container_id(&self.stream) {
                received.container.id = Cow::Borrowed(&self.stream);
            }
            for (name, value) in [
                ("aws.log.group.names", &group),
                ("aws.log.stream.names", &stream),
            ] {
                put_field(&mut received, name, Value::Json(Cow::Borrowed(value)));
            }
            each(received);
        }
        self.events.len()
    }
}

struct Reader<'a> {
    whole: &'a str,
    members: Vec<Member<'a>>,
}

impl<'a> Reader<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        let found = self.members.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| *value != "null")
    }

    fn offset(&self, value: &str) -> usize {
        json::offset_in(self.whole, value)
    }

    /// A text, empty when it is missing.
    fn text(&self, name: &str) -> Result<Cow<'a, str>, Fault> {
        let Some(value) = self.find(name) else {
            return Ok(Cow::Borrowed(""));
        };
        let what = "a text is no string, or too long";
        let text = json::string(value).filter(|text| text.len() <= MAX_NAME);
        text.ok_or(Fault::invalid(what, self.offset(value)))
    }

    /// The name of a group or stream.
    fn name(&self, name: &str) -> Result<Cow<'a, str>, Fault> {
        let text = self.text(name)?;
        let byte = self.find(name).map_or(0, |value| self.offset(value));
        // `:` and `*` are not allowed in streams, other characters not in groups: we are more lenient.
        if text.is_empty() || text.contains(char::is_control) {
            let what = "the name of a group or stream is missing, or not allowed";
            return Err(Fault::invalid(what, byte));
        }
        Ok(text)
    }

    fn days(&self) -> Result<u32, Fault> {
        let what = "retentionInDays is missing, or no number of days";
        let value = self
            .find("retentionInDays")
            .ok_or(Fault::invalid(what, 0))?;
        let days = value.parse().ok().filter(|days| *days > 0);
        days.ok_or(Fault::invalid(what, self.offset(value)))
    }

    fn events(&self) -> Result<Vec<LogEvent<'a>>, Fault> {
        let what = "logEvents is missing";
        let list = self.find("logEvents").ok_or(Fault::invalid(what, 0))?;
        let at = self.offset(list);
        let mut events: Vec<LogEvent<'a>> = Vec::new();
        let mut bytes = 0;
        for value in json::elements(list) {
            let value = value.map_err(|fault| fault.after(at))?;
            let at = self.offset(value);
            if events.len() == MAX_EVENTS {
                return Err(Fault::too_long(
                    "a request has more than 10,000 log events",
                    at,
                ));
            }
            let event = event(value).map_err(|mut fault| {
                fault.byte += at;
                fault
            })?;
            bytes += event.message.len() + EVENT_OVERHEAD;
            if bytes > MAX_BYTES {
                return Err(Fault::too_long(
                    "Upload too large: more than 1048576 bytes",
                    at,
                ));
            }
            let first = events.first().map_or(event.time, |first| first.time);
            if events.last().is_some_and(|last| last.time > event.time) {
                let what =
                    "Log events in a single PutLogEvents request must be in chronological order.";
                return Err(Fault::invalid(what, at));
            }
            if event.time.as_millis() - first.as_millis() > MAX_SPAN_MILLIS {
                let what = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
                return Err(Fault::invalid(what, at));
            }
            events.push(event);
        }
        if events.is_empty() {
            return Err(Fault::invalid("logEvents holds no event", at));
        }
        Ok(events)
    }
}

fn event(value: &str) -> Result<LogEvent<'_>, Fault> {
    let (mut time, mut message) = (None, None);
    for (name, inner) in json::object(value)? {
        let at = json::offset_in(value, inner);
        match &*name {
            "timestamp" => {
                // Since the epoch, in a range that time stamps here can hold.
                let what = "the timestamp of an event is no number of milliseconds";
                let millis = inner.parse::<i64>().ok();
                let millis = millis.filter(|millis| (0..=i64::MAX / 1_000_000).contains(millis));
                time = Some(Timestamp::from_millis(
                    millis.ok_or(Fault::invalid(what, at))?,
                ));
            }
            "message" => {
                let what = "the message of an event is empty, or no string";
                let text = json::string(inner).filter(|text| !text.is_empty());
                message = Some(text.ok_or(Fault::invalid(what, at))?);
            }
            _ => {}
        }
    }
    let what = "an event has no timestamp or no message";
    match (time, message) {
        (Some(time), Some(message)) => Ok(LogEvent { time, message }),
        _ => Err(Fault::invalid(what, 0)),
    }
}

#[cfg(test)]
mod tests;
