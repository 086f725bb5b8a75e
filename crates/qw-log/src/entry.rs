//! One entry of a log file, whatever the file's format.

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

/// One entry of a log file: a whole line that a program wrote, or a piece of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When the engine received it.
    pub time: Timestamp,
    /// What it was written to.
    pub stream: Stream,
    /// What was written, without its line end. UTF-8 unless the file says otherwise.
    pub text: &'a [u8],
    /// Whether its line ends here; otherwise the next entry of the same stream goes on with it.
    pub ends_line: bool,
    /// Labels and variables that the engine added: a JSON object as it stands in the file.
    pub attrs: Option<&'a str>,
    /// Bytes of a torn write in front of the entry, which are no part of it: a crash leaves NUL bytes
    /// or half an entry. Usually 0. When only the line end was torn off, they are an entry themselves:
    /// decoding them alone finds it.
    pub skipped: usize,
}

/// What a program wrote to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Stream {
    /// Standard output; all of a container with a terminal.
    #[default]
    Stdout = 0,
    /// Standard error.
    Stderr = 1,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name that files and OpenTelemetry's `log.iostream` use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The stream that `name` names.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// Why a line of a file is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reject {
    /// Nothing stands in it.
    #[error("the line is empty")]
    Empty,
    /// Only NUL bytes stand in it: space that a crash left.
    #[error("the line holds only NUL bytes, which a crash leaves")]
    Nuls,
    /// It is no JSON object of the shape that the driver `json-file` writes.
    #[error("the line is not a JSON object as the driver `json-file` writes it")]
    NotJson,
    /// It is not of the form that the Kubernetes container runtime interface defines.
    #[error("the line is not of the form `<time> stdout|stderr P|F <text>`")]
    NotCri,
    /// Its time is missing, or no RFC 3339 time.
    #[error("the time of the line is missing or is not RFC 3339")]
    BadTime,
    /// Its stream is neither `stdout` nor `stderr`.
    #[error("the stream of the line is neither `stdout` nor `stderr`")]
    BadStream,
}

impl Reject {
    /// A label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Nuls => "nuls",
            Self::NotJson => "not_json",
            Self::NotCri => "not_cri",
            Self::BadTime => "bad_time",
            Self::BadStream => "bad_stream",
        }
    }
}
