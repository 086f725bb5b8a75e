//! Requests to receivers that speak HTTP.
//!
//! One request, one answer: redirects are not followed, answers are read up to a bound, and neither
//! address nor headers appear in errors.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{LOCATION, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use qw_event::Timestamp;

use crate::{
    config::TlsConfig,
    receiver::{Answer, Refusal, chain},
    secret::{Secret, SecretFrom, redacted},
    tls,
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Sends requests; connections are kept for a while.
#[derive(Debug)]
pub(crate) struct Client {
    client: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) method: Method,
    pub(crate) address: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What is blackened in answers.
    pub(crate) secrets: Vec<Secret>,
}

impl Client {
    /// A client with this trust; an error is a sentence.
    pub(crate) fn new(config: &TlsConfig, timeout_seconds: u32) -> Result<Self, String> {
        let timeout = Duration::from_secs(u64::from(timeout_seconds));
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client(config)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = HyperClient::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self { client, timeout })
    }

    /// Sends `post`; the answer when it is of the 200s. `now` is for dates in answers.
    pub(crate) async fn send(&self, post: Post, now: Timestamp) -> Result<Answer, Refusal> {
        let place = place(&post.address);
        let secrets = post.secrets.clone();
        let reply = self.exchange(post, MAX_ANSWER).await?;
        let said = redacted(&String::from_utf8_lossy(&reply.body), &secrets);
        judge(&place, reply.status, &reply.headers, &said, now)
    }

    /// Sends `post`; whatever is answered, of which `max_answer` bytes are read at most.
    pub(crate) async fn exchange(&self, post: Post, max_answer: usize) -> Result<Reply, Refusal> {
        let place = place(&post.address);
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = post.method;
        *request.uri_mut() = post.address;
        *request.headers_mut() = post.headers;
        let name = concat!("quaywatch/", env!("CARGO_PKG_VERSION"));
        request
            .headers_mut()
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(name));
        let exchange = async {
            let answer =
                self.client.request(request).await.map_err(|error| {
                    Refusal::because(&format!("cannot reach `{place}`"), &error)
                })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, max_answer).collect().await;
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                is_whole: body.is_ok(),
                // The status decides; a text that breaks off or is too long takes nothing from it.
                body: body
                    .map(http_body_util::Collected::to_bytes)
                    .unwrap_or_default(),
            })
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| {
                let seconds = self.timeout.as_secs();
                Refusal::passing(format!("`{place}` did not answer within {seconds} s"))
            })?
    }
}

/// What was answered to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// False when the body broke off or was too long; it is empty then.
    pub(crate) is_whole: bool,
    pub(crate) body: Bytes,
}

/// Reads the headers of a configuration; an error names the header.
pub(crate) fn headers(
    plain: &BTreeMap<String, String>,
    secret: &BTreeMap<String, SecretFrom>,
) -> Result<(HeaderMap, Vec<Secret>), String> {
    let mut headers = HeaderMap::new();
    let mut secrets = Vec::new();
    let named = |name: &str| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))
    };
    for (name, value) in plain {
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("header `{name}` has a value that cannot be sent"))?;
        headers.insert(named(name)?, value);
    }
    for (name, from) in secret {
        let read = from.read().map_err(|error| chain(&error))?;
        let mut value = HeaderValue::from_str(read.reveal())
            .map_err(|_| format!("header `{name}` has a value that cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(named(name)?, value);
        secrets.push(read);
    }
    Ok((headers, secrets))
}

/// Reads an address; an error is a sentence without the address.
pub(crate) fn address(text: &str) -> Result<Uri, String> {
    let address: Uri = text.parse().map_err(|_| String::from("is no address"))?;
    if !matches!(address.scheme_str(), Some("http" | "https")) {
        return Err(String::from("begins with neither `http://` nor `https://`"));
    }
    match address.authority() {
        None => Err(String::from("names no host")),
        Some(authority) if authority.as_str().contains('@') => Err(String::from(
            "holds a user or password; put them into a header of `secret_headers`",
        )),
        Some(_) => Ok(address),
    }
}

/// Scheme, host and port: what of an address is no secret.
pub(crate) fn place(address: &Uri) -> String {
    let scheme = address.scheme_str().unwrap_or_default();
    let authority = address
        .authority()
        .map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}")
}

/// What an answer means.
///
/// A status of the 400s says that the message is bad, and it is given up; except where it speaks of
/// the sender or the moment (401, 403, 407, 408, 421, 425, 429): there the next attempt may succeed.
pub(crate) fn judge(
    place: &str,
    status: StatusCode,
    headers: &HeaderMap,
    said: &str,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let answer = Answer::new(&format!("{status} {}", said.trim()));
    if status.is_success() {
        return Ok(answer);
    }
    let text = if status.is_redirection() {
        let target = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<Uri>().ok())
            .filter(|target| target.authority().is_some())
            .map_or(String::from("another path"), |target| {
                format!("`{}`", self::place(&target))
            });
        format!("`{place}` redirects to {target}, and redirects are not followed ({status})")
    } else {
        format!("`{place}` answered {}", answer.0)
    };
    let of_the_moment = matches!(status.as_u16(), 401 | 403 | 407 | 408 | 421 | 425 | 429);
    if status.is_client_error() && !of_the_moment {
        return Err(Refusal::permanent(text));
    }
    Err(Refusal {
        after: headers
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value, now))
            .or_else(|| retry_after_said(said)),
        ..Refusal::passing(text)
    })
}

/// The pause that a body asks for: `retry_after` in seconds, where Discord and Telegram say it.
fn retry_after_said(said: &str) -> Option<Duration> {
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    let seconds = said
        .get("retry_after")
        .or_else(|| said.get("parameters")?.get("retry_after"))?
        .as_f64()?;
    (0.0..=1e9)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

/// The pause that `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        // Discord sends fractions.
        return (0.0..=1e9)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let at = i64::try_from(date.timestamp().as_nanosecond()).ok()?;
    Some(Timestamp::from_nanos(at).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        for (status, permanent) in [
            (200, None),
            (204, None),
            (302, Some(false)),
            (400, Some(true)),
            (401, Some(false)),
            (403, Some(false)),
            (404, Some(true)),
            (408, Some(false)),
            (410, Some(true)),
            (413, Some(true)),
            (422, Some(true)),
            (429, Some(false)),
            (500, Some(false)),
            (503, Some(false)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let judged = judge("http://a", status, &HeaderMap::new(), "x", Timestamp::EPOCH);
            assert_eq!(
                judged.err().map(|refusal| refusal.permanent),
                permanent,
                "{status}"
            );
        }
    }

    #[test]
    fn redirects_name_the_host_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "https://b.example/token".parse().unwrap());
        let refusal = judge(
            "http://a",
            StatusCode::FOUND,
            &headers,
            "",
            Timestamp::EPOCH,
        )
        .unwrap_err();
        assert!(refusal.text.contains("`https://b.example`"), "{refusal}");
        assert!(!refusal.text.contains("token"));
    }

    #[test]
    fn pauses_are_read() {
        // Sun, 06 Nov 1994 08:49:37 GMT is the example of RFC 9110.
        let now = Timestamp::from_seconds(784_111_777 - 90);
        for (text, seconds) in [
            ("120", Some(120.0)),
            ("0.5", Some(0.5)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90.0)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0.0)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(
                retry_after(&value, now),
                seconds.map(Duration::from_secs_f64),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_with_secrets_are_refused_without_showing_them() {
        for text in [
            "",
            "hooks.example/x",
            "ftp://a/",
            "/x",
            "http://u:hunter2@a/",
        ] {
            let error = address(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let address = address("https://a.example:8443/services/T0/hunter2?x=y").unwrap();
        assert_eq!(place(&address), "https://a.example:8443");
    }
}
