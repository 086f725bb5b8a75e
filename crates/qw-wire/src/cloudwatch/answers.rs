//! What a receiver answers.

use std::time::Duration;

use qw_event::Timestamp;

use super::PutLogEvents;
use crate::outgoing::json::{ObjectWriter, push_string, quote};

/// What AWS calls an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    /// The group or stream is there already.
    ResourceAlreadyExists,
    /// The group or stream is not there.
    ResourceNotFound,
    /// A parameter is not allowed.
    InvalidParameter,
    /// The events of this request were taken before.
    DataAlreadyAccepted,
    /// The sequence token is not the expected one.
    InvalidSequenceToken,
    /// More than is allowed is there.
    LimitExceeded,
    /// The body is not of the form it has to have.
    Serialization,
    /// There is no such operation.
    UnknownOperation,
    /// The request has no signature.
    MissingAuthenticationToken,
    /// The signature misses a part.
    IncompleteSignature,
    /// The signature is not right, or too old.
    InvalidSignature,
    /// The access key is not known.
    UnrecognizedClient,
    /// The access key may not do this.
    AccessDenied,
    /// Too many requests; to be sent again.
    Throttling,
    /// Nothing can be taken now; to be sent again.
    ServiceUnavailable,
}

impl Exception {
    /// The value of `__type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResourceAlreadyExists => "ResourceAlreadyExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::InvalidParameter => "InvalidParameterException",
            Self::DataAlreadyAccepted => "DataAlreadyAcceptedException",
            Self::InvalidSequenceToken => "InvalidSequenceTokenException",
            Self::LimitExceeded => "LimitExceededException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::AccessDenied => "AccessDeniedException",
            Self::Throttling => "ThrottlingException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The status of the answer. Clients tell errors apart by `__type`, not by it.
    pub const fn status(self) -> u16 {
        match self {
            Self::ServiceUnavailable => 503,
            _ => 400,
        }
    }

    /// The body of the answer.
    pub fn answer(self, message: &str) -> String {
        format!(
            "{{\"__type\":\"{}\",\"message\":{}}}",
            self.as_str(),
            quote(message)
        )
    }
}

/// Which events of a request were not taken, by their places in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rejected {
    /// The first that is too new.
    pub too_new_start: Option<usize>,
    /// The first that is not too old.
    pub too_old_end: Option<usize>,
    /// The first that is younger than what the group keeps.
    pub expired_end: Option<usize>,
}

/// Which events AWS would not take at `now`: older than 14 days, or more than two hours ahead.
///
/// `None` when it would take all.
pub fn rejected_by_time(request: &PutLogEvents<'_>, now: Timestamp) -> Option<Rejected> {
    let oldest = now.saturating_sub(Duration::from_secs(14 * 86_400));
    let newest = now.saturating_add(Duration::from_secs(2 * 3_600));
    let events = &request.events;
    let old = events.partition_point(|event| event.time < oldest);
    let new = events.partition_point(|event| event.time <= newest);
    let rejected = Rejected {
        too_new_start: (new < events.len()).then_some(new),
        too_old_end: (old > 0).then_some(old),
        expired_end: None,
    };
    (rejected != Rejected::default()).then_some(rejected)
}

/// The answer to `PutLogEvents`.
pub fn put_log_events(next_sequence_token: &str, rejected: Option<Rejected>) -> String {
    let mut out = Vec::new();
    let mut answer = ObjectWriter::begin(&mut out);
    answer.text_if_any("nextSequenceToken", next_sequence_token);
    if let Some(rejected) = rejected {
        let mut info = ObjectWriter::begin(answer.name("rejectedLogEventsInfo"));
        for (name, index) in [
            ("tooNewLogEventStartIndex", rejected.too_new_start),
            ("tooOldLogEventEndIndex", rejected.too_old_end),
            ("expiredLogEventEndIndex", rejected.expired_end),
        ] {
            if let Some(index) = index {
                info.raw(name, &index.to_string());
            }
        }
        info.end();
    }
    answer.end();
    String::from_utf8(out).unwrap_or_default()
}

/// A stream, as [`describe_log_streams`] tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStream<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Timestamp,
    /// The token for its next request.
    pub sequence_token: &'a str,
}

/// A group, as [`describe_log_groups`] tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGroup<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub created: Timestamp,
    /// How long its events are kept.
    pub retention_days: Option<u32>,
}

/// The answer to `DescribeLogStreams`.
pub fn describe_log_streams<'a>(
    group: &str,
    streams: impl IntoIterator<Item = LogStream<'a>>,
) -> String {
    let streams = streams.into_iter().map(|stream| {
        let mut out = Vec::new();
        let mut of = ObjectWriter::begin(&mut out);
        let arn = format!("{ARN}{group}:log-stream:{}", stream.name);
        of.text("logStreamName", stream.name)
            .raw("creationTime", &stream.created.as_millis().to_string())
            .text_if_any("uploadSequenceToken", stream.sequence_token)
            .text("arn", &arn)
            .raw("storedBytes", "0");
        of.end();
        out
    });
    list("logStreams", streams)
}

/// The answer to `DescribeLogGroups`.
pub fn describe_log_groups<'a>(groups: impl IntoIterator<Item = LogGroup<'a>>) -> String {
    let groups = groups.into_iter().map(|group| {
        let mut out = Vec::new();
        let mut of = ObjectWriter::begin(&mut out);
        of.text("logGroupName", group.name)
            .raw("creationTime", &group.created.as_millis().to_string())
            .raw("metricFilterCount", "0")
            .text("arn", &format!("{ARN}{}:*", group.name))
            .raw("storedBytes", "0");
        if let Some(days) = group.retention_days {
            of.raw("retentionInDays", &days.to_string());
        }
        of.end();
        out
    });
    list("logGroups", groups)
}

/// Neither account nor region are AWS's.
const ARN: &str = "arn:aws:logs:local:000000000000:log-group:";

fn list(name: &str, elements: impl Iterator<Item = Vec<u8>>) -> String {
    let mut out = vec![b'{'];
    push_string(&mut out, name);
    out.extend_from_slice(b":[");
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&element);
    }
    out.extend_from_slice(b"]}");
    String::from_utf8(out).unwrap_or_default()
}
