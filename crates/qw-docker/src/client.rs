//! The calls.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use qw_event::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    ArchiveStream, ContainerDetails, ContainerStats, ContainerSummary, Endpoint, EngineEvents,
    EngineInfo, EngineVersion, Error, ImageDetails, ImageSummary, LogDecoder, LogFormat, LogStream,
    PathStat, Result,
    archive::STAT_HEADER,
    transport::{Body, Transport},
};

/// Newest minor version of API 1 whose fields were checked, and the oldest that has them all.
const NEWEST_MINOR: u32 = 51;
const OLDEST_MINOR: u32 = 24;

/// Bounds of every call.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest wait for the head of an answer, and again for the rest of one that is no stream.
    pub timeout: Duration,
    /// Largest answer that is no stream, in bytes.
    pub body_bytes: usize,
    /// Bytes kept of one record of a log.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            body_bytes: 64 << 20,
            record_bytes: 1 << 20,
        }
    }
}

/// A client of one engine. Clones share it; it holds no connection while no call is under way.
#[derive(Debug, Clone)]
pub struct Docker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    limits: Limits,
    /// Agreed minor version of API 1; zero before it is agreed.
    minor: AtomicU32,
}

/// Which containers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFilter {
    /// Also those that do not run.
    pub all: bool,
    /// Only with all of these labels, `key` or `key=value`.
    pub labels: Vec<String>,
    /// Only with one of these names (the engine matches parts of names).
    pub names: Vec<String>,
    /// Only with one of these ids or prefixes of ids.
    pub ids: Vec<String>,
}

/// Which part of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsQuery {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Goes on with what comes, until the container stops.
    pub follow: bool,
    /// Records of this time and later.
    pub since: Option<Timestamp>,
    /// Records of this time and earlier.
    pub until: Option<Timestamp>,
    /// Each record with its time.
    pub timestamps: bool,
    /// Only the last so many lines of what is there.
    pub tail: Option<u64>,
}

impl Default for LogsQuery {
    /// The whole of both streams with times, without following.
    fn default() -> Self {
        Self {
            stdout: true,
            stderr: true,
            follow: false,
            since: None,
            until: None,
            timestamps: true,
            tail: None,
        }
    }
}

impl Docker {
    /// A client of the engine at `endpoint`; reads certificates, but does not connect yet.
    ///
    /// # Errors
    /// [`Error::Tls`] when a certificate or key cannot be used.
    pub fn new(endpoint: Endpoint, limits: Limits) -> Result<Self> {
        let transport = Transport::new(endpoint)?;
        Ok(Self {
            shared: Arc::new(Shared {
                transport,
                limits,
                minor: AtomicU32::new(0),
            }),
        })
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.transport.endpoint
    }

    /// Asks whether the engine answers; gives its clock, to the second, if it says so.
    pub async fn ping(&self) -> Result<Option<Timestamp>> {
        let response = self.open(Method::GET, "/_ping", None).await?;
        let date = response
            .headers()
            .get(header::DATE)
            .and_then(|date| date.to_str().ok());
        Ok(date.and_then(http_date))
    }

    /// Versions of the engine and its API.
    pub async fn version(&self) -> Result<EngineVersion> {
        self.read("/version".to_owned()).await
    }

    /// What the engine says about itself and its host.
    pub async fn info(&self) -> Result<EngineInfo> {
        self.get("/info").await
    }

    /// The containers that `filter` selects.
    pub async fn containers(&self, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
        let filters = filters(&[
            ("label", &filter.labels),
            ("name", &filter.names),
            ("id", &filter.ids),
        ]);
        let all = if filter.all { "1" } else { "0" };
        self.get(&path(
            "/containers/json",
            &[("all", all), ("filters", &filters)],
        ))
        .await
    }

    /// Everything about the container with this id or name.
    pub async fn container(&self, id_or_name: &str) -> Result<ContainerDetails> {
        self.get(&format!("/containers/{}/json", encode(id_or_name)))
            .await
    }

    /// What the container with this id or name uses now.
    pub async fn stats(&self, id_or_name: &str) -> Result<ContainerStats> {
        // `one-shot` spares the engine a second look after a second; those before API 1.41 do not
        // know it and take that second.
        self.get(&format!(
            "/containers/{}/stats?stream=false&one-shot=true",
            encode(id_or_name)
        ))
        .await
    }

    /// All images with a name or a container.
    pub async fn images(&self) -> Result<Vec<ImageSummary>> {
        self.get("/images/json").await
    }

    /// The image with this id or reference.
    pub async fn image(&self, id_or_reference: &str) -> Result<ImageDetails> {
        // A slash is part of a reference and stays.
        let name = encode(id_or_reference).replace("%2F", "/");
        self.get(&format!("/images/{name}/json")).await
    }

    /// What happens in the engine from `since` on (from now on without it), to things of these
    /// `kinds` (`container`, `image`, …; all when empty).
    pub async fn events(&self, since: Option<Timestamp>, kinds: &[&str]) -> Result<EngineEvents> {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let filters = filters(&[("type", &kinds)]);
        let since = since.map(seconds).unwrap_or_default();
        let body = self
            .versioned(
                Method::GET,
                &path("/events", &[("since", &since), ("filters", &filters)]),
                None,
            )
            .await?;
        Ok(EngineEvents::new(body.into_body()))
    }

    /// The log of the container with this id or name. `format` follows from the container's
    /// `config.tty`.
    ///
    /// # Errors
    /// Besides the usual, [`Error::Engine`] with status 501 when the container's log driver cannot
    /// be read.
    pub async fn logs(
        &self,
        id_or_name: &str,
        query: &LogsQuery,
        format: LogFormat,
    ) -> Result<LogStream> {
        let flag = |on: bool| if on { "1" } else { "0" };
        let path = path(
            &format!("/containers/{}/logs", encode(id_or_name)),
            &[
                ("stdout", flag(query.stdout)),
                ("stderr", flag(query.stderr)),
                ("follow", flag(query.follow)),
                ("timestamps", flag(query.timestamps)),
                ("since", &query.since.map(seconds).unwrap_or_default()),
                ("until", &query.until.map(seconds).unwrap_or_default()),
                (
                    "tail",
                    &query
                        .tail
                        .map(|lines| lines.to_string())
                        .unwrap_or_default(),
                ),
            ],
        );
        let response = self.versioned(Method::GET, &path, None).await?;
        let limit = self.shared.limits.record_bytes;
        let decoder = LogDecoder::new(format, query.timestamps, limit);
        Ok(LogStream::new(response.into_body(), decoder))
    }

    /// What lies at `path` inside the container with this id or name, which need not run; `None` when
    /// nothing does.
    ///
    /// # Errors
    /// Besides the usual, [`Error::NotFound`] when there is no such container.
    pub async fn path_stat(&self, id_or_name: &str, path: &str) -> Result<Option<PathStat>> {
        let call = archive_path(id_or_name, path);
        let response = match self.versioned(Method::HEAD, &call, None).await {
            Ok(response) => response,
            // An answer to `HEAD` does not say whether it is the container that is not there.
            Err(error) if error.is_not_found() => {
                self.container(id_or_name).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let header = response.headers().get(STAT_HEADER);
        Ok(header.and_then(|header| PathStat::parse(header.as_bytes())))
    }

    /// What lies at `path` inside the container with this id or name, as a tar archive: a file, or a
    /// folder with everything in it.
    ///
    /// # Errors
    /// Besides the usual, [`Error::NotFound`] when nothing is there.
    pub async fn archive(&self, id_or_name: &str, path: &str) -> Result<ArchiveStream> {
        let call = archive_path(id_or_name, path);
        let response = self.versioned(Method::GET, &call, None).await?;
        let within = self.shared.limits.timeout;
        Ok(ArchiveStream::new(response.into_body(), within))
    }

    /// Any other call: `path` is without the version and with its query; `body` is its content type
    /// and bytes. Returns the answer's body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Bytes> {
        self.collect(self.versioned(method, path, body).await?)
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.read(format!("/v1.{}{path}", self.minor().await?))
            .await
    }

    async fn read<T: DeserializeOwned>(&self, path: String) -> Result<T> {
        let response = self.open(Method::GET, &path, None).await?;
        let call = response.body().call().to_owned();
        let bytes = self.collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Decode { call, source })
    }

    async fn versioned(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Body>> {
        let path = format!("/v1.{}{path}", self.minor().await?);
        self.open(method, &path, body).await
    }

    /// The minor version to speak: the engine's own, but none that we do not know, unless the
    /// engine has dropped all that we know.
    async fn minor(&self) -> Result<u32> {
        let agreed = self.shared.minor.load(Relaxed);
        if agreed != 0 {
            return Ok(agreed);
        }
        let version = self.version().await?;
        let minor = |text: &str| {
            text.strip_prefix("1.")
                .and_then(|minor| minor.parse::<u32>().ok())
        };
        let (newest, oldest) = (minor(&version.api_version), minor(&version.min_api_version));
        let Some(newest) = newest.filter(|newest| *newest >= OLDEST_MINOR) else {
            return Err(Error::TooOld {
                endpoint: self.endpoint().to_string(),
                version: version.api_version.chars().take(40).collect(),
            });
        };
        let agreed = newest.min(NEWEST_MINOR.max(oldest.unwrap_or(0)));
        self.shared.minor.store(agreed, Relaxed);
        Ok(agreed)
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Body>> {
        let call = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "docker")
            .header(header::CONNECTION, "close")
            .header(
                header::USER_AGENT,
                concat!("quaywatch/", env!("CARGO_PKG_VERSION")),
            );
        if let Some((kind, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *kind);
        }
        let bytes = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|source| Error::Request {
                call: call.clone(),
                source,
            })?;
        let response = self
            .shared
            .transport
            .send(&call, request, self.shared.limits.timeout)
            .await
            .inspect_err(|_| self.shared.minor.store(0, Relaxed))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let bytes = response
            .into_body()
            .collect(64 << 10, self.shared.limits.timeout)
            .await
            .unwrap_or_default();
        let message = message(&bytes);
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound { call, message },
            status => Error::Engine {
                call,
                status: status.as_u16(),
                message,
            },
        })
    }

    async fn collect(&self, response: Response<Body>) -> Result<Bytes> {
        let limits = &self.shared.limits;
        response
            .into_body()
            .collect(limits.body_bytes, limits.timeout)
            .await
    }
}

fn archive_path(id_or_name: &str, inside: &str) -> String {
    let call = format!("/containers/{}/archive", encode(id_or_name));
    path(&call, &[("path", inside)])
}

/// What the engine says in an error's body: its `message`, else the text.
fn message(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Wire {
        message: String,
    }
    let text = serde_json::from_slice::<Wire>(bytes).map_or_else(
        |_| String::from_utf8_lossy(bytes).into_owned(),
        |wire| wire.message,
    );
    text.trim().chars().take(1000).collect()
}

/// `path` with those of `parameters` that are not empty.
fn path(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut all = path.to_owned();
    let mut mark = '?';
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        all.push(mark);
        all.push_str(name);
        all.push('=');
        all.push_str(&encode(value));
        mark = '&';
    }
    all
}

/// The engine's `filters` parameter; empty when there is nothing to filter by.
fn filters(filters: &[(&str, &[String])]) -> String {
    let filters: BTreeMap<_, _> = filters
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .copied()
        .collect();
    if filters.is_empty() {
        return String::new();
    }
    serde_json::to_string(&filters).expect("maps of lists of texts are JSON")
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

/// Seconds with nine decimals, as the engine's `since` and `until` take them.
fn seconds(time: Timestamp) -> String {
    let nanos = time.as_nanos().max(0);
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// An instant as HTTP writes it: `Sat, 21 Nov 2026 09:40:30 GMT` (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split(' ').skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_empty_ones_left_out() {
        let names = ["a b".to_owned()];
        let filters = filters(&[("name", &names), ("label", &[])]);
        assert_eq!(
            path(
                "/containers/json",
                &[("all", "1"), ("since", ""), ("filters", &filters)]
            ),
            "/containers/json?all=1&filters=%7B%22name%22%3A%5B%22a%20b%22%5D%7D"
        );
        assert_eq!(path("/events", &[("filters", "")]), "/events");
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(encode("../info?x=1"), "..%2Finfo%3Fx%3D1");
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        let time: Timestamp = "2026-11-21T09:00:00.000000007Z".parse().unwrap();
        assert_eq!(seconds(time), "1795251600.000000007");
        assert_eq!(seconds(Timestamp::MIN), "0.000000000");
    }

    #[test]
    fn dates_of_http_are_read() {
        let date = http_date("Sat, 21 Nov 2026 09:40:30 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-21T09:40:30Z");
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(http_date("Sat, 21 Foo 2026 09:40:30 GMT"), None);
    }

    #[test]
    fn the_message_of_an_error_is_found() {
        assert_eq!(
            message(br#"{"message":"No such container: a"}"#),
            "No such container: a"
        );
        assert_eq!(message(b"page not found\n"), "page not found");
    }
}
