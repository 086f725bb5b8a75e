//! Questions to a Prometheus server, with a short memory for answers.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    cache::Cache,
    problem::{Code, Problem},
    state::SettingsError,
};

/// Longest time for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Largest answer that is passed on, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Largest answer that is remembered, in bytes.
const MAX_REMEMBERED: usize = 256 << 10;

/// A Prometheus server that is asked over HTTP.
pub(crate) struct Prometheus {
    base: String,
    authorization: Option<HeaderValue>,
    client: Client<HttpConnector, Empty<Bytes>>,
    answers: Cache<String, Answer>,
}

/// What the server said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Prometheus {
    /// The server at `address`, such as `http://127.0.0.1:9090` or `http://user:password@host/path`.
    pub(crate) fn new(address: &str) -> Result<Self, SettingsError> {
        let wrong = |what| SettingsError {
            address: without_credentials(address),
            what,
        };
        let uri: Uri = address.parse().map_err(|_| wrong("it is no address"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(
                "only `http://` is spoken; put a proxy before it for TLS",
            ));
        }
        let authority = uri
            .authority()
            .ok_or_else(|| wrong("it names no host"))?
            .as_str();
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let authorization = credentials
            .map(|credentials| {
                let encoded = BASE64_STANDARD.encode(credentials);
                let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
                    .map_err(|_| wrong("its credentials cannot be sent"))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self {
            base: format!("http://{host}{}", uri.path().trim_end_matches('/')),
            authorization,
            client: Client::builder(TokioExecutor::new()).build_http(),
            answers: Cache::new(Duration::from_secs(10), 256),
        })
    }

    /// Asks `endpoint` (`query` or `query_range`) with `parameters`, a query string.
    pub(crate) async fn ask(&self, endpoint: &str, parameters: &str) -> Result<Answer, Problem> {
        let address = format!("{}/api/v1/{endpoint}?{parameters}", self.base);
        if let Some(answer) = self.answers.get(&address) {
            return Ok(answer);
        }
        let failed = |what: &str| {
            tracing::warn!(prometheus = self.base, what, "prometheus does not answer");
            Problem::new(
                Code::UpstreamFailed,
                format!("prometheus does not answer: {what}"),
            )
        };
        let mut request = Request::get(&address)
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|_| Problem::invalid("the query cannot be sent"))?;
        if let Some(authorization) = &self.authorization {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|_| failed("cannot connect"))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await
                .map_err(|_| failed("its answer breaks off or is too large"))?
                .to_bytes();
            Ok::<_, Problem>(Answer { status, body })
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| failed("it takes too long"))??;
        if answer.status.is_success() && answer.body.len() <= MAX_REMEMBERED {
            self.answers.put(address, answer.clone());
        }
        Ok(answer)
    }
}

fn without_credentials(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let base = |address: &str| Prometheus::new(address).map(|server| server.base);
        assert_eq!(
            base("http://127.0.0.1:9090/").unwrap(),
            "http://127.0.0.1:9090"
        );
        assert_eq!(base("http://a:b@host/prom/").unwrap(), "http://host/prom");
        for bad in ["https://host", "host:9090", "", "http://"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_stay_out_of_errors() {
        let error = Prometheus::new("https://admin:hunter2@host").err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
