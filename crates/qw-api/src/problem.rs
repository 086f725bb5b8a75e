//! What went wrong, as `application/problem+json` (RFC 9457) with a stable `code`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use qw_store::{QueryError, query::ParseError};
use serde::Serialize;
use utoipa::ToSchema;

/// An error as clients see it. Inner detail goes to the log, never in here.
///
/// Handlers return it; the outermost layer adds the request's id and writes the body.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    /// Byte offset and length of what is wrong in a query.
    place: Option<(usize, usize)>,
    retry_after_seconds: Option<u64>,
}

/// Codes that clients may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unauthenticated,
    Forbidden,
    Csrf,
    NotFound,
    MethodNotAllowed,
    QuerySyntax,
    InvalidParameter,
    UnsupportedMediaType,
    TooLarge,
    RateLimited,
    Conflict,
    Unavailable,
    UpstreamFailed,
    Internal,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Csrf => "csrf",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::QuerySyntax => "query_syntax",
            Self::InvalidParameter => "invalid_parameter",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::UpstreamFailed => "upstream_failed",
            Self::Internal => "internal",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Csrf => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::QuerySyntax | Self::InvalidParameter => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            place: None,
            retry_after_seconds: None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameter, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(Code::Unavailable, detail)
        }
    }

    pub(crate) fn rate_limited(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            retry_after_seconds: Some(seconds),
            ..Self::new(
                Code::RateLimited,
                format!("too many tries; the next in {seconds} s"),
            )
        }
    }

    /// Something failed that the client cannot mend; `error` goes to the log.
    pub(crate) fn internal(doing: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "cannot {doing}");
        Self::new(Code::Internal, format!("cannot {doing}; the log says why"))
    }

    /// The problem that a bare error status stands for, such as the router's own 405.
    pub(crate) fn of_status(status: StatusCode, detail: &str) -> Self {
        let code = match status.as_u16() {
            401 => Code::Unauthenticated,
            403 => Code::Forbidden,
            404 => Code::NotFound,
            405 => Code::MethodNotAllowed,
            413 => Code::TooLarge,
            415 => Code::UnsupportedMediaType,
            429 => Code::RateLimited,
            502 => Code::UpstreamFailed,
            503 => Code::Unavailable,
            400..=499 => Code::InvalidParameter,
            _ => Code::Internal,
        };
        let detail = if detail.is_empty() {
            default_detail(code)
        } else {
            detail
        };
        Self::new(code, detail)
    }

    /// The answer, with the request's id in it.
    pub(crate) fn into_answer(self, request_id: &str) -> Response {
        let status = self.code.status();
        let body = ProblemBody {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail,
            request_id: request_id.to_owned(),
            position: self.place.map(|(position, _)| position),
            length: self.place.map(|(_, length)| length),
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"quaywatch\""),
            );
        }
        response
    }
}

const fn default_detail(code: Code) -> &'static str {
    match code {
        Code::NotFound => "there is nothing at this address",
        Code::MethodNotAllowed => "the address does not take this method",
        Code::TooLarge => "the request is too large",
        _ => "the request cannot be answered",
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Body of every error answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`.
    r#type: &'static str,
    /// Name of the status.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// Stable word for programs.
    #[schema(example = "invalid_parameter")]
    code: &'static str,
    /// Sentence for people.
    detail: String,
    /// Id under which the log knows the request.
    request_id: String,
    /// Byte offset into the query; with `query_syntax` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// Length of the faulty part in bytes; with `query_syntax` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Self {
        Self {
            place: Some((error.position, error.length)),
            ..Self::new(Code::QuerySyntax, error.message)
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid(what) => Self::invalid(what),
            error => Self::internal("read the store", &error),
        }
    }
}
