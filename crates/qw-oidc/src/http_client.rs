//! Requests to the provider: bounded in time and size, without redirects.

use std::{path::Path, pin::Pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::ConfigError;

/// Longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the provider. Clones share connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Plain `http` is meant, because the issuer is on loopback.
    plain: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("`{0}` is not `https`")]
    Plain(String),
    #[error("cannot ask")]
    Ask(#[source] hyper_util::client::legacy::Error),
    #[error("no answer within 10 s")]
    Slow,
    #[error("the answer is over 1 MiB, or broke off")]
    Answer,
}

impl HttpClient {
    pub(crate) fn new(ca_file: Option<&Path>, plain: bool) -> Result<Self, ConfigError> {
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let builder = match ca_file {
            Some(path) => builder.with_tls_config(trusting(path)?),
            None => builder
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
                .map_err(|source| ConfigError::File {
                    key: "ca_file",
                    path: "the system's authorities".into(),
                    source,
                })?,
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            plain,
        })
    }

    pub(crate) async fn ask(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        if !self.plain && request.uri().scheme_str() != Some("https") {
            let host = request.uri().host().unwrap_or("");
            return Err(HttpError::Plain(host.to_owned()));
        }
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let answer = async {
            let answer = self.client.request(request).await.map_err(HttpError::Ask)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|_| HttpError::Answer)?.to_bytes().to_vec();
            Ok(http::Response::from_parts(head, body))
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or(Err(HttpError::Slow))
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// TLS that trusts the authorities in the file, and no other.
fn trusting(path: &Path) -> Result<rustls::ClientConfig, ConfigError> {
    let content = |what: String| ConfigError::Content {
        key: "ca_file",
        path: path.to_owned(),
        what,
    };
    let pem = std::fs::read(path).map_err(|source| ConfigError::File {
        key: "ca_file",
        path: path.to_owned(),
        source,
    })?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| content(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| content(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(content("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| content(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
