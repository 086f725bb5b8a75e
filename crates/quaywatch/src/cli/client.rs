//! A client of our own API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{Usage, arguments::Server, config::Config};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Talks to one server with one token. Clones share connections.
#[derive(Clone)]
pub(crate) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: String,
    token: String,
}

impl Client {
    /// A client of the server named in `arguments`, or of the one that runs on the data folder.
    pub(crate) fn new(config: &Config, arguments: &Server) -> Result<Self> {
        let server = match &arguments.address {
            Some(address) => address.trim_end_matches('/').to_owned(),
            None => running(config)?,
        };
        let token = match &arguments.token {
            Some(token) => token.clone(),
            None => local_token(config)?,
        };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("cannot load the system's certificate authorities")?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            server,
            token,
        })
    }

    /// Sends a request; JSON of a good answer, `null` of an empty one.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) = self.exchange(method, path, &[], body.into_bytes()).await?;
        Self::judge(status, answer).map_err(|problem| self.failed(method, path, &problem))
    }

    /// As `GET` with [`Self::send`]; an error in `query` is shown with its place.
    pub(crate) async fn query(&self, path: &str, query: &str) -> Result<Value> {
        let (status, answer) = self.exchange("GET", path, &[], Vec::new()).await?;
        Self::judge(status, answer).map_err(|problem| match problem["position"].as_u64() {
            Some(position) => Usage(format!(
                "{}\n  {query}\n  {}{}",
                problem["detail"]
                    .as_str()
                    .unwrap_or("the query is not understood"),
                " ".repeat(
                    query
                        .get(..position as usize)
                        .unwrap_or(query)
                        .chars()
                        .count()
                ),
                "^".repeat(problem["length"].as_u64().unwrap_or(1).clamp(1, 80) as usize),
            ))
            .into(),
            None => self.failed("GET", path, &problem),
        })
    }

    /// Sends a body with headers; the status and JSON of the answer, whatever it is.
    pub(crate) async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(StatusCode, Value)> {
        let (status, body) = self.fetch(method, path, headers, body).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// The body of a good answer to `GET`, to the byte.
    pub(crate) async fn download(&self, path: &str) -> Result<Bytes> {
        let (status, body) = self.fetch("GET", path, &[], Vec::new()).await?;
        if status.is_success() {
            return Ok(body);
        }
        let problem = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self::judge(status, problem)
            .map(|_| body)
            .map_err(|problem| self.failed("GET", path, &problem))
    }

    /// Writes the body of a good answer to `GET` to `out` as it comes, whatever its size.
    pub(crate) async fn copy(&self, path: &str, out: &mut impl std::io::Write) -> Result<()> {
        let late = || format!("`{}` sent nothing for 60 s", self.server);
        let minute = Duration::from_secs(60);
        let answer = self.request("GET", path, &[], Vec::new());
        let answer = tokio::time::timeout(minute, answer).await;
        let answer = answer.with_context(late)??;
        let status = answer.status();
        let mut body = answer.into_body();
        if !status.is_success() {
            let problem = Limited::new(body, MAX_ANSWER).collect();
            let problem = tokio::time::timeout(minute, problem).await;
            let problem = problem
                .with_context(late)?
                .map_err(anyhow::Error::from_boxed)?;
            let problem = serde_json::from_slice(&problem.to_bytes()).unwrap_or(Value::Null);
            return Self::judge(status, problem)
                .map(|_| ())
                .map_err(|problem| self.failed("GET", path, &problem));
        }
        while let Some(frame) = tokio::time::timeout(minute, body.frame())
            .await
            .with_context(late)?
        {
            if let Ok(data) = frame.context("the transfer broke off")?.into_data() {
                out.write_all(&data).context("cannot write what came")?;
            }
        }
        out.flush().context("cannot write what came")
    }

    /// As `POST` with [`Self::send`], of a body that is JSON already.
    pub(crate) async fn upload(&self, path: &str, body: Vec<u8>) -> Result<Value> {
        let (status, answer) = self.exchange("POST", path, &[], body).await?;
        Self::judge(status, answer).map_err(|problem| self.failed("POST", path, &problem))
    }

    async fn fetch(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes)> {
        let answer = tokio::time::timeout(Duration::from_secs(60), async {
            let answer = self.request(method, path, headers, body).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(anyhow::Error::from_boxed)?
                .to_bytes();
            Ok::<_, anyhow::Error>((status, body))
        });
        answer
            .await
            .with_context(|| format!("`{}` did not answer within 60 s", self.server))?
    }

    /// Opens the live stream of the records of `types` that `query` selects, after the record `last`.
    pub(crate) async fn stream(&self, types: &str, query: &str, last: &str) -> Result<Stream> {
        let path = format!(
            "/api/stream?types={types}&query={}&last_event_id={}",
            encode(query),
            encode(last)
        );
        let answer = self.request("GET", &path, &[], Vec::new()).await?;
        if !answer.status().is_success() {
            bail!("`{}` refused the stream: {}", self.server, answer.status());
        }
        Ok(Stream {
            body: answer.into_body(),
            buffer: Vec::new(),
        })
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .with_context(|| format!("`{}` is no address of a server", self.server))?;
        self.http.request(request).await.with_context(|| {
            format!(
                "cannot reach `{}`; is `quaywatch serve` running?",
                self.server
            )
        })
    }

    fn judge(status: StatusCode, answer: Value) -> std::result::Result<Value, Value> {
        if status.is_success() {
            return Ok(answer);
        }
        Err(if answer.is_object() {
            answer
        } else {
            serde_json::json!({ "title": status.to_string() })
        })
    }

    fn failed(&self, method: &str, path: &str, problem: &Value) -> anyhow::Error {
        let path = path.split('?').next().unwrap_or(path);
        let what = problem["detail"]
            .as_str()
            .or(problem["title"].as_str())
            .unwrap_or("refused");
        anyhow::anyhow!("{method} {path} at `{}`: {what}", self.server)
    }
}

/// An open live stream.
pub(crate) struct Stream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Stream {
    /// The next message's envelope; `None` when the server has ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8_lossy(&block);
                let data: Vec<&str> = block
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .collect();
                if let Ok(message) = serde_json::from_str(&data.join("\n")) {
                    return Ok(Some(message));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.context("the stream broke")?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
            if self.buffer.len() > MAX_ANSWER {
                bail!("a message of the stream is larger than {MAX_ANSWER} bytes");
            }
        }
    }
}

/// Percent-encodes a query parameter (RFC 3986, unreserved characters stay).
pub(crate) fn encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

fn running(config: &Config) -> Result<String> {
    let path = config.data_dir.join("run.json");
    let text = std::fs::read(&path).map_err(|_| {
        Usage(format!(
            "no server runs on `{}`; name one with --server, or set data_dir",
            config.data_dir.display()
        ))
    })?;
    let run: Value = serde_json::from_slice(&text)
        .with_context(|| format!("`{}` is damaged", path.display()))?;
    let address = run["listen"]["console"]
        .as_str()
        .context("the running server has no console")?;
    let scheme = if run["tls"].as_bool() == Some(true) {
        "https"
    } else {
        "http"
    };
    Ok(format!("{scheme}://{address}"))
}

fn local_token(config: &Config) -> Result<String> {
    let path = config.data_dir.join("cli.token");
    let token = std::fs::read_to_string(&path).map_err(|error| {
        Usage(format!(
            "no token: give --token or set QUAYWATCH_TOKEN (cannot read `{}`: {error})",
            path.display()
        ))
    })?;
    Ok(token.trim().to_owned())
}
