//! Requests to registries: bounded in time and size.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, LOCATION, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{OciError, error::chain};

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Longest text of a refusal that is shown, in characters.
const MAX_SAID: usize = 300;

/// Sends requests; connections are kept for a while.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    plain: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who answered at last.
    pub(crate) from: Uri,
}

impl Http {
    /// A client that trusts the authorities of `ca_file`, else the system's. With `plain`, addresses
    /// of `http` are taken.
    pub(crate) fn new(ca_file: Option<&Path>, plain: bool) -> Result<Self, OciError> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match ca_file {
            Some(path) => builder.with_tls_config(trusting(path)?),
            None => builder
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
                .map_err(|error| OciError::Trust {
                    path: "the system".into(),
                    why: error.to_string(),
                })?,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            plain,
        })
    }

    /// `https`, or `http` where that was asked for.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.plain { "http" } else { "https" }
    }

    /// Sends `request` and reads an answer of at most `most` bytes, which `what` names in errors.
    /// Follows redirects of `GET` and `HEAD`; another server is not shown the authorization.
    pub(crate) async fn send(
        &self,
        request: &Request<Bytes>,
        what: &str,
        most: usize,
    ) -> Result<Answer, OciError> {
        let mut address = request.uri().clone();
        let mut redirects = 0;
        loop {
            let answer = self.send_once(request, &address, what, most).await?;
            let follows = answer.status.is_redirection()
                && answer.status != StatusCode::NOT_MODIFIED
                && matches!(*request.method(), Method::GET | Method::HEAD);
            if !follows {
                return Ok(answer);
            }
            redirects += 1;
            let target = answer.location().filter(|_| redirects <= MAX_REDIRECTS);
            address = target.ok_or_else(|| answer.refused(what))?;
        }
    }

    async fn send_once(
        &self,
        request: &Request<Bytes>,
        address: &Uri,
        what: &str,
        most: usize,
    ) -> Result<Answer, OciError> {
        let place = place(address);
        if address.scheme_str() != Some("https") && !self.plain {
            return Err(OciError::Plain(place));
        }
        let mut sent = Request::new(Full::new(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = address.clone();
        *sent.headers_mut() = request.headers().clone();
        let name = concat!("quaywatch/", env!("CARGO_PKG_VERSION"));
        sent.headers_mut()
            .insert(USER_AGENT, http::HeaderValue::from_static(name));
        if !is_same_server(request.uri(), address) {
            sent.headers_mut().remove(AUTHORIZATION);
        }
        let exchange = async {
            let answer = self.client.request(sent).await.map_err(|error| {
                if is_plain(&error) {
                    return OciError::Plain(place.clone());
                }
                OciError::Unreachable {
                    place: place.clone(),
                    why: chain(&error),
                }
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    let what = what.to_owned();
                    return OciError::TooLong { what, most };
                }
                OciError::Unreachable {
                    place: place.clone(),
                    why: chain(&*error),
                }
            })?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
                from: address.clone(),
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(OciError::Slow {
                    place: place.clone(),
                    seconds: PATIENCE.as_secs(),
                })
            })
    }
}

impl Answer {
    /// Where `Location` points to.
    pub(crate) fn location(&self) -> Option<Uri> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        self.resolve(location)
    }

    /// The address that `target` means in this answer.
    pub(crate) fn resolve(&self, target: &str) -> Option<Uri> {
        resolve(&self.from, target)
    }

    /// What the server said, for people: the messages of its errors, else its text.
    pub(crate) fn said(&self) -> String {
        let parsed: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = parsed["errors"].as_array().into_iter().flatten();
        let messages: Vec<&str> = errors
            .filter_map(|error| error["message"].as_str().or(error["code"].as_str()))
            .collect();
        let text = match messages.as_slice() {
            [] => String::from_utf8_lossy(&self.body).trim().to_owned(),
            messages => messages.join("; "),
        };
        let shown = text.chars().take(MAX_SAID);
        let plain = shown.map(|each| if each.is_control() { ' ' } else { each });
        let plain: String = plain.collect();
        if plain.is_empty() {
            self.status
                .canonical_reason()
                .unwrap_or("nothing")
                .to_owned()
        } else {
            plain
        }
    }

    /// The error that this answer is, to a request for `what`.
    pub(crate) fn refused(&self, what: &str) -> OciError {
        OciError::Answer {
            place: place(&self.from),
            status: self.status.as_u16(),
            what: what.to_owned(),
            said: self.said(),
        }
    }
}

/// Scheme, host and port: what of an address is no secret.
pub(crate) fn place(address: &Uri) -> String {
    let scheme = address.scheme_str().unwrap_or_default();
    let authority = address.authority().map_or("", http::uri::Authority::as_str);
    // A user and password before the host are a secret.
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// True when both addresses are of one server.
pub(crate) fn is_same_server(one: &Uri, other: &Uri) -> bool {
    place(one) == place(other)
}

/// The address that `location` means in an answer from `base` (RFC 3986, section 5.2, without paths
/// relative to a folder, which registries do not send).
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let text = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}://{rest}", base.scheme_str()?)
    } else if location.starts_with('/') {
        format!("{}{location}", place(base))
    } else {
        return None;
    };
    text.parse().ok()
}

/// True when the other side answered the beginning of TLS with something else.
fn is_plain(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidMessage(_)) = error.downcast_ref() {
        return true;
    }
    // An error of input or output leaves out of its sources what it wraps.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|inner| is_plain(inner));
    wrapped || error.source().is_some_and(is_plain)
}

/// TLS that trusts the authorities in the file, and no other.
fn trusting(path: &Path) -> Result<ClientConfig, OciError> {
    let unusable = |why: String| OciError::Trust {
        path: path.to_owned(),
        why,
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base: Uri = "https://r.example:5000/v2/a/blobs/x?y".parse().unwrap();
        for (location, expected) in [
            ("/v2/b?c=d", Some("https://r.example:5000/v2/b?c=d")),
            ("//s.example/b", Some("https://s.example/b")),
            ("http://s.example/b", Some("http://s.example/b")),
            ("b", None),
            ("", None),
            ("ftp://s.example/b", None),
        ] {
            let resolved = resolve(&base, location).map(|address| address.to_string());
            assert_eq!(resolved.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn servers_differ_by_scheme_host_and_port() {
        let base: Uri = "https://r.example/a".parse().unwrap();
        for (other, expected) in [
            ("https://r.example/b", true),
            ("http://r.example/a", false),
            ("https://r.example:444/a", false),
            ("https://s.example/a", false),
        ] {
            assert_eq!(
                is_same_server(&base, &other.parse().unwrap()),
                expected,
                "{other}"
            );
        }
        let secret: Uri = "https://u:hunter2@r.example/a".parse().unwrap();
        assert_eq!(place(&secret), "https://r.example");
    }
}
