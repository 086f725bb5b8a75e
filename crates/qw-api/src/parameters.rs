//! What requests carry → checked values: query strings, JSON bodies, times, cursors, filters.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Query, Request},
    response::IntoResponse,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{StatusCode, header, request};
use qw_event::{Priority, Timestamp};
use qw_store::{
    Kinds, Order, PageCursor, TimeRange,
    query::{self, Filter},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::problem::{Code, Problem};

/// Items of a page unless asked otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 100;

/// Most items of a page.
pub(crate) const MAX_LIMIT: usize = 1_000;

/// The query string as `T`.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::invalid(rejection.body_text())),
        }
    }
}

/// A JSON body as `T`.
///
/// The content type must be `application/json`: a foreign page cannot send that without asking the
/// browser first, which is one of the walls against forged requests.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_json(request.headers())?;
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => {
                        Problem::new(Code::TooLarge, "the body is too large")
                    }
                    _ => Problem::invalid("the body could not be read"),
                })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::invalid(format!("body: {error}")))
    }
}

/// Refuses a body that does not call itself JSON.
pub(crate) fn check_json(headers: &http::HeaderMap) -> Result<(), Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or("")
        .trim();
    if content_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "the body must be `Content-Type: application/json`",
    ))
}

/// Reads an instant: RFC 3339, or `now`, `now-15m`, `now+1h` (units s, m, h, d, w).
pub(crate) fn instant(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let text = text.trim();
    let wrong = || {
        Problem::invalid(format!(
            "`{name}` is neither a time such as `2026-11-21T09:00:00Z` nor one such as `now-15m`"
        ))
    };
    if let Some(offset) = text.strip_prefix("now") {
        if offset.is_empty() {
            return Ok(now);
        }
        // In a query string an unescaped `+` arrives as a space.
        return if let Some(span) = offset.strip_prefix('-') {
            Ok(now.saturating_sub(span_of(span).ok_or_else(wrong)?))
        } else if let Some(span) = offset.strip_prefix(['+', ' ']) {
            Ok(now.saturating_add(span_of(span).ok_or_else(wrong)?))
        } else {
            Err(wrong())
        };
    }
    Timestamp::parse_saturating(text)
        .or_else(|_| Timestamp::parse_saturating(&text.replacen(' ', "+", 1)))
        .map_err(|_| wrong())
}

/// An RFC 3339 time in a body; one that 64 bits of nanoseconds cannot hold becomes the first or last
/// that they can.
pub(crate) fn time_or_nearest<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| Timestamp::parse_saturating(&text).map_err(serde::de::Error::custom))
        .transpose()
}

/// Reads a span such as `90s`, `15m`, `2h`, `7d`, `1w`; a bare number is seconds.
pub(crate) fn span_of(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The range from `start` to `end`; absent ends mean `default` before now, and now.
pub(crate) fn range(
    start: Option<&str>,
    end: Option<&str>,
    default: Duration,
    now: Timestamp,
) -> Result<TimeRange, Problem> {
    let end = match end.filter(|text| !text.is_empty()) {
        // Events of this very moment belong to "until now".
        None => now.saturating_add(Duration::from_secs(1)),
        Some(text) => instant("end", text, now)?,
    };
    let start = match start.filter(|text| !text.is_empty()) {
        None => end.min(now).saturating_sub(default),
        Some(text) => instant("start", text, now)?,
    };
    if start >= end {
        return Err(Problem::invalid("`start` must lie before `end`"));
    }
    Ok(TimeRange { start, end })
}

/// The filter of the query `text`.
pub(crate) fn filter(text: Option<&str>) -> Result<Filter, Problem> {
    Ok(query::parse(text.unwrap_or(""))?)
}

/// The kinds of records that a `kind` parameter asks for. Without one it is events, or what the query
/// says when it names kinds itself.
pub(crate) fn kinds(text: Option<&str>, filter: &Filter) -> Result<Kinds, Problem> {
    match text.map(str::trim) {
        None | Some("") if filter.names_kinds() => Ok(Kinds::ALL),
        None | Some("" | "event") => Ok(Kinds::EVENTS),
        Some("log") => Ok(Kinds::LOGS),
        Some("all") => Ok(Kinds::ALL),
        Some(_) => Err(Problem::invalid("`kind` must be `event`, `log` or `all`")),
    }
}

/// The filter of a `priority` parameter: one name is the least urgent that is wanted, a list with
/// commas is exactly those.
pub(crate) fn priority_filter(text: Option<&str>) -> Result<Filter, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(Filter::everything());
    };
    let priority = |text: &str| {
        text.trim()
            .parse::<Priority>()
            .map_err(|error| Problem::invalid(error.to_string()))
    };
    if !text.contains(',') {
        return Ok(Filter::minimum_priority(priority(text)?));
    }
    let mut names = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        names.push(priority(part)?.as_str());
    }
    if names.is_empty() {
        return Err(Problem::invalid("`priority` names no priority"));
    }
    Ok(Filter::equals("priority", names))
}

/// The number of items asked for.
pub(crate) fn limit(asked: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("`limit` must be 1 to {most}"))),
    }
}

/// The order of a listing.
pub(crate) fn order(text: Option<&str>) -> Result<Order, Problem> {
    match text {
        None | Some("" | "desc") => Ok(Order::NewestFirst),
        Some("asc") => Ok(Order::OldestFirst),
        Some(_) => Err(Problem::invalid("`order` must be `asc` or `desc`")),
    }
}

/// The cursor of an event page, from its opaque form.
pub(crate) fn event_cursor(text: Option<&str>) -> Result<Option<PageCursor>, Problem> {
    text.filter(|text| !text.is_empty())
        .map(|text| open_cursor(text)?.parse().map_err(|_| wrong_cursor()))
        .transpose()
}

/// The opaque form of a cursor.
pub(crate) fn seal_cursor(inner: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(inner)
}

/// The cursor inside its opaque form.
pub(crate) fn open_cursor(text: &str) -> Result<String, Problem> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| wrong_cursor())?;
    String::from_utf8(bytes).map_err(|_| wrong_cursor())
}

pub(crate) fn wrong_cursor() -> Problem {
    Problem::invalid("`cursor` is not one that a listing gave out")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        let read = instant("start", text, NOW).ok().map(Timestamp::as_seconds);
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn instants() {
        check("now", Some(1_000_000));
        check("now-15m", Some(1_000_000 - 900));
        check("now-1d", Some(1_000_000 - 86_400));
        check("now+1h", Some(1_003_600));
        check("now 1h", Some(1_003_600));
        check("1970-01-01T00:01:00Z", Some(60));
        check("1970-01-01T01:01:00+01:00", Some(60));
        check("1970-01-01T01:01:00 01:00", Some(60));
        check("0001-01-01T00:00:00Z", Some(Timestamp::MIN.as_seconds()));
        check("9999-01-01T00:00:00Z", Some(Timestamp::MAX.as_seconds()));
        for bad in [
            "",
            "yesterday",
            "now-",
            "now-5",
            "now-5y",
            "now15m",
            "now-99999999999999999999s",
        ] {
            if bad == "now-5" {
                check(bad, Some(999_995));
            } else {
                check(bad, None);
            }
        }
    }

    #[test]
    fn ranges() {
        let hour = Duration::from_secs(3_600);
        let both = range(Some("now-10m"), Some("now"), hour, NOW).unwrap();
        assert_eq!(
            (both.start.as_seconds(), both.end.as_seconds()),
            (999_400, 1_000_000)
        );
        let none = range(None, None, hour, NOW).unwrap();
        assert_eq!(none.start.as_seconds(), 996_400);
        assert!(none.contains(NOW));
        let late = range(None, Some("now-1d"), hour, NOW).unwrap();
        assert_eq!(late.start.as_seconds(), 1_000_000 - 86_400 - 3_600);
        assert!(range(Some("now"), Some("now-1m"), hour, NOW).is_err());
    }

    #[test]
    fn limits() {
        assert_eq!(limit(None, 5, 10).unwrap(), 5);
        assert_eq!(limit(Some(10), 5, 10).unwrap(), 10);
        assert!(limit(Some(0), 5, 10).is_err());
        assert!(limit(Some(11), 5, 10).is_err());
    }

    #[test]
    fn cursors_round_trip_and_nonsense_is_refused() {
        let cursor = PageCursor {
            time: NOW,
            id: qw_event::EventId(7),
        };
        let sealed = seal_cursor(&cursor.to_string());
        assert_eq!(event_cursor(Some(&sealed)).unwrap(), Some(cursor));
        assert_eq!(event_cursor(Some("")).unwrap(), None);
        assert!(event_cursor(Some("%%%")).is_err());
        assert!(event_cursor(Some(&seal_cursor("x.y"))).is_err());
    }
}
