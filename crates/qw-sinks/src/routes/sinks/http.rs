//! What destinations that speak HTTP have in common.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression as Level, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    uri::PathAndQuery,
};
use qw_event::Timestamp;

use crate::{
    http::{Client, Post, Reply, address, headers, judge, place},
    receiver::Refusal,
    routes::{
        config::{Compression, ConfigError, HttpConfig, RouteConfig},
        destination::Undelivered,
    },
    runner::blocking,
    secret::{Secret, redacted},
};

/// Posts bodies to one address.
pub(super) struct Poster {
    client: Client,
    address: Uri,
    config: HttpConfig,
    content_type: HeaderValue,
    method: Method,
    /// Statuses that say that the records are to blame. Whatever else is refused is an error of the
    /// set-up, which must cost no records.
    refusing: &'static [u16],
}

/// What is sent beside the configured headers.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Address in place of the configured one.
    pub(super) address: Option<Uri>,
    /// Headers, which win over the configured ones.
    pub(super) headers: HeaderMap,
    /// What is blackened in answers.
    pub(super) secrets: Vec<Secret>,
}

impl Poster {
    /// Reads address, files and secrets, so that what is wrong with them is said at the start.
    /// `path` is given the path of the address (`/` when it has none), and returns path and query.
    pub(super) fn new(
        route: &RouteConfig,
        url: &str,
        path: impl FnOnce(&str) -> String,
        config: &HttpConfig,
        content_type: &'static str,
    ) -> Result<Self, ConfigError> {
        let wrong = |problem: String| route.wrong("to.url", problem);
        let address = address(url).map_err(wrong)?;
        let mut parts = address.into_parts();
        let old = parts
            .path_and_query
            .as_ref()
            .map_or("/", PathAndQuery::path);
        let new: PathAndQuery = path(old)
            .parse()
            .map_err(|_| wrong(String::from("is no address")))?;
        parts.path_and_query = Some(new);
        let address = Uri::from_parts(parts).map_err(|_| wrong(String::from("is no address")))?;
        headers(&config.headers, &config.secret_headers)
            .map_err(|problem| route.wrong("to.http.headers", problem))?;
        let client = Client::new(&config.tls, config.timeout_seconds)
            .map_err(|problem| route.wrong("to.http.tls", problem))?;
        Ok(Self {
            client,
            address,
            config: config.clone(),
            content_type: HeaderValue::from_static(content_type),
            method: Method::POST,
            refusing: &[400, 413, 422],
        })
    }

    /// With this method.
    #[must_use]
    pub(super) fn with_method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// With this type of bodies.
    #[must_use]
    pub(super) fn with_content_type(self, content_type: HeaderValue) -> Self {
        Self {
            content_type,
            ..self
        }
    }

    /// With these statuses in place of 400, 413 and 422 for records that are refused for good.
    #[must_use]
    pub(super) fn refusing(self, refusing: &'static [u16]) -> Self {
        Self { refusing, ..self }
    }

    /// Where it posts to.
    pub(super) fn address(&self) -> &Uri {
        &self.address
    }

    pub(super) fn place(&self) -> String {
        place(&self.address)
    }

    /// Posts `body`; the answer when it is of the 200s. Returns the bytes that travelled beside it.
    pub(super) async fn post(
        &self,
        body: Vec<u8>,
        beside: Beside,
        max_answer: usize,
        now: Timestamp,
    ) -> Result<(Reply, u64), Undelivered> {
        let (reply, bytes, secrets) = self.exchange(body, beside, max_answer).await?;
        self.judged(reply, &secrets, now)
            .map(|reply| (reply, bytes))
    }

    /// Posts `body`; whatever is answered, the bytes that travelled, and what is blackened in the answer.
    pub(super) async fn exchange(
        &self,
        body: Vec<u8>,
        beside: Beside,
        max_answer: usize,
    ) -> Result<(Reply, u64, Vec<Secret>), Refusal> {
        let (mut all, mut secrets) =
            headers(&self.config.headers, &self.config.secret_headers).map_err(Refusal::passing)?;
        secrets.extend(beside.secrets);
        all.insert(CONTENT_TYPE, self.content_type.clone());
        let mut body = body;
        if self.config.compression == Compression::Gzip {
            body = blocking(move || gzip(body)).await;
            all.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in &beside.headers {
            all.insert(name, value.clone());
        }
        let bytes = body.len() as u64;
        let post = Post {
            method: self.method.clone(),
            address: beside.address.unwrap_or_else(|| self.address.clone()),
            headers: all,
            body: Bytes::from(body),
            secrets: secrets.clone(),
        };
        let reply = self.client.exchange(post, max_answer).await?;
        Ok((reply, bytes, secrets))
    }

    /// `reply`, when it is of the 200s.
    pub(super) fn judged(
        &self,
        reply: Reply,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Reply, Undelivered> {
        let said = redacted(&String::from_utf8_lossy(&reply.body), secrets);
        match judge(&self.place(), reply.status, &reply.headers, &said, now) {
            Ok(_) => Ok(reply),
            Err(refusal) if self.refusing.contains(&reply.status.as_u16()) => {
                Err(Undelivered::Split(refusal.text))
            }
            Err(refusal) => Err(Undelivered::Later {
                done: 0,
                refusal: Refusal {
                    permanent: false,
                    ..refusal
                },
            }),
        }
    }
}

/// A header, when its value can be one.
pub(super) fn header(
    name: &'static str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), Refusal> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Refusal::passing(format!("header `{name}` has a value that cannot be sent"))
    })?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}

/// `new` in place of no path.
pub(super) fn path_or(new: &'static str) -> impl FnOnce(&str) -> String {
    move |old| String::from(if old == "/" { new } else { old })
}

pub(super) fn gzip(body: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Level::fast());
    // Writing to memory cannot fail.
    let made = encoder.write_all(&body).and_then(|()| encoder.finish());
    made.unwrap_or_default()
}
