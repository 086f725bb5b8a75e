//! Why the engine did not answer as asked.

use std::{io, time::Duration};

use crate::LogFault;

/// Result of a call to the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. `call` is the method and path, such as `GET /containers/json`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no endpoint.
    #[error("`{endpoint}` is no Docker endpoint: {reason}")]
    InvalidEndpoint {
        /// The text, at most 200 characters.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing listens there: the engine does not run.
    #[error(
        "the Docker engine at `{endpoint}` does not answer (connection refused); is it running?"
    )]
    Refused {
        /// Where.
        endpoint: String,
    },
    /// There is no such socket.
    #[error(
        "there is no Docker engine at `{endpoint}` (no such socket); is it installed and, in a container, is the socket mounted?"
    )]
    NoSocket {
        /// Where.
        endpoint: String,
    },
    /// We may not open the socket.
    #[error(
        "no permission to use the Docker engine at `{endpoint}`; run as a member of the group that owns the socket (`docker`)"
    )]
    PermissionDenied {
        /// Where.
        endpoint: String,
    },
    /// No connection for another reason.
    #[error("cannot connect to the Docker engine at `{endpoint}`")]
    Connect {
        /// Where.
        endpoint: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate or key is missing or unusable.
    #[error("cannot use `{file}` for TLS to the Docker engine: {reason}")]
    Tls {
        /// Which file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// No answer in time.
    #[error("`{call}`: no answer from the Docker engine within {after:?}")]
    TimedOut {
        /// Which call.
        call: String,
        /// The bound.
        after: Duration,
    },
    /// The engine does not know the container or image.
    #[error("`{call}`: {message}")]
    NotFound {
        /// Which call.
        call: String,
        /// What the engine says.
        message: String,
    },
    /// The engine refuses or fails.
    #[error("`{call}`: the Docker engine answers {status}: {message}")]
    Engine {
        /// Which call.
        call: String,
        /// HTTP status.
        status: u16,
        /// What the engine says, at most 1,000 characters.
        message: String,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("`{call}`: the connection to the Docker engine broke")]
    Broken {
        /// Which call.
        call: String,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// The call cannot be expressed in HTTP.
    #[error("`{call}` is no request")]
    Request {
        /// Which call.
        call: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// The answer is not what the API describes.
    #[error("`{call}`: the Docker engine's answer is not as its API describes")]
    Decode {
        /// Which call.
        call: String,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is larger than we read.
    #[error("`{call}`: the Docker engine's answer is larger than {limit} bytes")]
    TooLarge {
        /// Which call.
        call: String,
        /// The bound.
        limit: usize,
    },
    /// The log stream is not framed as expected.
    #[error("`{call}`: the log stream is broken")]
    Log {
        /// Which call.
        call: String,
        /// How.
        #[source]
        source: LogFault,
    },
    /// The engine is too old.
    #[error("the Docker engine at `{endpoint}` speaks API `{version}`; 1.24 or newer is needed")]
    TooOld {
        /// Where.
        endpoint: String,
        /// Its version.
        version: String,
    },
}

impl Error {
    /// True when the engine does not know the container or image that was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// True when the engine keeps nothing of a log that it could be asked for: its driver sends the
    /// records away, and the engine's own copy is switched off.
    pub fn is_unreadable_log(&self) -> bool {
        matches!(self, Self::Engine { status: 501, .. })
    }

    /// True when the same call may succeed later without a change of configuration.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::NoSocket { .. }
            | Self::PermissionDenied { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Log { .. }
            | Self::TooOld { .. } => true,
            Self::Engine { status, .. } => *status >= 500 && *status != 501,
            Self::InvalidEndpoint { .. }
            | Self::Tls { .. }
            | Self::NotFound { .. }
            | Self::Request { .. }
            | Self::Decode { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// The error with its causes in one line, for an operator.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        text
    }
}
