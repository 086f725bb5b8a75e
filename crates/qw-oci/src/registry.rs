//! One repository of a registry, by the distribution specification 1.1.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, WWW_AUTHENTICATE},
};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::{
    Descriptor, Digest, INDEX_TYPE, MANIFEST_TYPE, MAX_MANIFEST, Manifest, OciError, Reference,
    challenge::Challenge,
    credentials::{self, Credentials},
    http::{Answer, Http, is_same_server},
    model::media_type_of,
};

/// Kinds of manifests that are asked for.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
application/vnd.docker.distribution.manifest.list.v2+json";
/// Longest answer that says only that something was done, or why not, in bytes.
const MAX_WORD: usize = 1 << 20;
/// Most referrers of an image that are read.
const MAX_REFERRERS: usize = 10_000;
/// How often the list of an image's referrers is written when others write it at the same time.
const ATTEMPTS: usize = 3;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Speak HTTP without TLS.
    pub plain_http: bool,
    /// PEM file of the only authorities that are trusted; the system's without it.
    pub ca_file: Option<PathBuf>,
    /// File of credentials; those that docker, podman and skopeo use without it.
    pub auth_file: Option<PathBuf>,
}

/// A repository that is asked and written to.
pub struct Registry {
    http: Http,
    reference: Reference,
    files: Vec<PathBuf>,
    credentials: OnceCell<Option<Credentials>>,
    authorization: Mutex<Option<HeaderValue>>,
}

/// A manifest as the registry has it.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it is and which one; says nothing of artifact type and annotations.
    pub descriptor: Descriptor,
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// How an artifact is found from its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// The registry lists the referrers of an image by itself.
    Listed,
    /// A list under this tag says it, for registries that do not.
    Tagged(String),
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Registry {
    /// The repository of `reference`.
    ///
    /// # Errors
    /// When the certificate authorities cannot be used.
    pub fn new(reference: &Reference, options: &Options) -> Result<Self, OciError> {
        let files = match &options.auth_file {
            Some(file) if !file.exists() => {
                return Err(OciError::CredentialFile {
                    path: file.clone(),
                    why: "there is no such file".to_owned(),
                });
            }
            Some(file) => vec![file.clone()],
            None => credentials::usual_files(),
        };
        Ok(Self {
            http: Http::new(options.ca_file.as_deref(), options.plain_http)?,
            reference: reference.clone(),
            files,
            credentials: OnceCell::new(),
            authorization: Mutex::new(None),
        })
    }

    /// The manifest named `name`, a tag or digest.
    ///
    /// # Errors
    /// [`OciError::Absent`] when there is none; [`OciError::Mismatch`] when it is not what its digest
    /// says.
    pub async fn manifest(&self, name: &str) -> Result<Document, OciError> {
        let what = format!("manifest `{}`", self.named(name));
        let path = format!("manifests/{name}");
        let headers = [(ACCEPT, ACCEPTED)];
        let answer = self
            .exchange(
                &Method::GET,
                &path,
                &headers,
                &Bytes::new(),
                &what,
                MAX_MANIFEST,
            )
            .await?;
        let answer = self.good(answer, &what)?;
        let digest = Digest::of(&answer.body);
        let header = answer.headers.get(&CONTENT_DIGEST);
        let promised: Option<Digest> = match (name.parse(), header) {
            (Ok(asked), _) => Some(asked),
            (Err(_), Some(header)) => header.to_str().ok().and_then(|text| text.parse().ok()),
            (Err(_), None) => None,
        };
        let digest = match promised {
            Some(promised) if !promised.is_of(&answer.body) => {
                return Err(OciError::Mismatch {
                    what,
                    digest: promised,
                });
            }
            Some(promised) => promised,
            None => digest,
        };
        let manifest = Manifest::parse(&what, &answer.body)?;
        let media_type = media_type_of(&what, &answer.body)?;
        Ok(Document {
            descriptor: Descriptor::new(&media_type, digest, answer.body.len() as u64),
            manifest,
            bytes: answer.body,
        })
    }

    /// The blob that `descriptor` describes.
    ///
    /// # Errors
    /// [`OciError::TooLong`] when it has more than `most` bytes; [`OciError::Mismatch`] when it is
    /// not what the descriptor says.
    pub async fn blob(&self, descriptor: &Descriptor, most: usize) -> Result<Bytes, OciError> {
        let what = format!("blob `{}`", descriptor.digest);
        if descriptor.size > most as u64 {
            return Err(OciError::TooLong { what, most });
        }
        let path = format!("blobs/{}", descriptor.digest);
        let answer = self
            .exchange(&Method::GET, &path, &[], &Bytes::new(), &what, most)
            .await?;
        let answer = self.good(answer, &what)?;
        if !descriptor.is_of(&answer.body) {
            return Err(OciError::Mismatch {
                what,
                digest: descriptor.digest.clone(),
            });
        }
        Ok(answer.body)
    }

    /// Brings a blob to the repository, unless it is there.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn push_blob(&self, media_type: &str, blob: &[u8]) -> Result<Descriptor, OciError> {
        let descriptor = Descriptor::of(media_type, blob);
        let what = format!("blob `{}`", descriptor.digest);
        let path = format!("blobs/{}", descriptor.digest);
        let nothing = Bytes::new();
        let there = self
            .exchange(&Method::HEAD, &path, &[], &nothing, &what, MAX_WORD)
            .await?;
        if there.status == StatusCode::OK {
            return Ok(descriptor);
        }
        let what = format!("upload of a blob to `{}`", self.repository());
        let answer = self
            .exchange(
                &Method::POST,
                "blobs/uploads/",
                &[],
                &nothing,
                &what,
                MAX_WORD,
            )
            .await?;
        let answer = self.good(answer, &what)?;
        let malformed = |why: &str| OciError::Malformed {
            what: what.clone(),
            why: why.to_owned(),
        };
        let location = answer
            .location()
            .ok_or_else(|| malformed("the registry does not say where to send it"))?;
        let text = location.to_string();
        let sign = if text.contains('?') { '&' } else { '?' };
        let target: Uri = format!("{text}{sign}digest={}", descriptor.digest)
            .parse()
            .map_err(|_| malformed("the place to send it to is no address"))?;
        let body = Bytes::copy_from_slice(blob);
        let headers = [(CONTENT_TYPE, "application/octet-stream")];
        let answer = self
            .exchange_at(&Method::PUT, &target, &headers, &body, &what, MAX_WORD)
            .await?;
        self.good(answer, &what)?;
        Ok(descriptor)
    }

    /// Writes a manifest under `name`, a tag or its digest; true when the registry says that it
    /// lists the manifest among the referrers of its subject.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn push_manifest(&self, name: &str, manifest: &[u8]) -> Result<bool, OciError> {
        let what = format!("manifest `{}`", self.named(name));
        let media_type = media_type_of(&what, manifest)?;
        let path = format!("manifests/{name}");
        let headers = [(CONTENT_TYPE, &*media_type)];
        let body = Bytes::copy_from_slice(manifest);
        let answer = self
            .exchange(&Method::PUT, &path, &headers, &body, &what, MAX_WORD)
            .await?;
        let answer = self.good(answer, &what)?;
        Ok(answer.headers.contains_key(&SUBJECT))
    }

    /// Writes `manifest`, whose blobs are there already, so that it is found from its subject.
    /// `listed` is what a list of referrers says of it: its descriptor with artifact type and
    /// annotations.
    ///
    /// # Errors
    /// When the registry does not take it, or others keep overwriting the list.
    pub async fn attach(
        &self,
        manifest: &[u8],
        subject: &Digest,
        listed: &Descriptor,
    ) -> Result<Attached, OciError> {
        if self.push_manifest(listed.digest.as_str(), manifest).await? {
            return Ok(Attached::Listed);
        }
        let tag = referrers_tag(subject);
        for _ in 0..ATTEMPTS {
            let mut entries = self.tagged_referrers(&tag).await?;
            if entries.iter().any(|entry| entry.digest == listed.digest) {
                return Ok(Attached::Tagged(tag));
            }
            entries.push(listed.clone());
            let list = Manifest::list(entries).to_json();
            self.push_manifest(&tag, &list).await?;
            // Somebody else may have written the list between our reading and writing; the next
            // round finds that out.
        }
        let entries = self.tagged_referrers(&tag).await?;
        if entries.iter().any(|entry| entry.digest == listed.digest) {
            return Ok(Attached::Tagged(tag));
        }
        Err(OciError::Malformed {
            what: format!("the list of referrers `{}`", self.named(&tag)),
            why: "others keep overwriting it".to_owned(),
        })
    }

    /// What refers to the manifest with the digest `subject`: descriptors of manifests, of the
    /// artifact type `artifact_type` where that is told.
    ///
    /// # Errors
    /// When the registry does not answer as it should.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: &str,
    ) -> Result<Vec<Descriptor>, OciError> {
        let entries = match self.listed_referrers(subject).await? {
            Some(entries) => entries,
            None => self.tagged_referrers(&referrers_tag(subject)).await?,
        };
        let is_wanted = |entry: &Descriptor| {
            let told = entry.artifact_type.as_deref();
            told.is_none_or(|told| told == artifact_type) && entry.media_type == MANIFEST_TYPE
        };
        Ok(entries.into_iter().filter(is_wanted).collect())
    }

    /// What the registry's own list of referrers says; `None` when it keeps none.
    async fn listed_referrers(
        &self,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, OciError> {
        let what = format!("list of what refers to `{}`", self.named(subject.as_str()));
        let mut page = self.address(&format!("referrers/{subject}"))?;
        let mut entries = Vec::new();
        loop {
            let headers = [(ACCEPT, INDEX_TYPE)];
            let nothing = Bytes::new();
            let answer = self
                .exchange_at(&Method::GET, &page, &headers, &nothing, &what, MAX_MANIFEST)
                .await?;
            let has_no_list = matches!(
                answer.status,
                StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_IMPLEMENTED
            );
            if has_no_list && entries.is_empty() {
                return Ok(None);
            }
            let answer = self.good(answer, &what)?;
            let list = Manifest::parse(&what, &answer.body)?;
            let found = list.manifests.unwrap_or_default();
            let is_empty = found.is_empty();
            entries.extend(found);
            match next_page(&answer) {
                Some(_) if entries.len() > MAX_REFERRERS => {
                    return Err(OciError::Malformed {
                        what,
                        why: format!("it has more than {MAX_REFERRERS} entries"),
                    });
                }
                Some(next) if !is_empty && is_same_server(&next, &page) => page = next,
                _ => return Ok(Some(entries)),
            }
        }
    }

    /// The list under the tag `tag`; empty when there is none.
    async fn tagged_referrers(&self, tag: &str) -> Result<Vec<Descriptor>, OciError> {
        match self.manifest(tag).await {
            Ok(list) => list.manifest.manifests.ok_or_else(|| OciError::Malformed {
                what: format!("the list of referrers `{}`", self.named(tag)),
                why: "it is an image".to_owned(),
            }),
            Err(OciError::Absent(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn repository(&self) -> String {
        format!(
            "{}/{}",
            self.reference.registry(),
            self.reference.repository()
        )
    }

    /// The whole name of the manifest `name`.
    fn named(&self, name: &str) -> String {
        let sign = if name.contains(':') { '@' } else { ':' };
        format!("{}{sign}{name}", self.repository())
    }

    fn address(&self, path: &str) -> Result<Uri, OciError> {
        let (scheme, host) = (self.http.scheme(), self.reference.host());
        let repository = self.reference.repository();
        let text = format!("{scheme}://{host}/v2/{repository}/{path}");
        text.parse().map_err(|_| OciError::Malformed {
            what: format!("`{text}`"),
            why: "it is no address".to_owned(),
        })
    }

    /// An answer that says that it was done; else the error that it is.
    fn good(&self, answer: Answer, what: &str) -> Result<Answer, OciError> {
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => Err(OciError::Absent(what.to_owned())),
            StatusCode::FORBIDDEN => Err(OciError::Denied {
                registry: self.reference.registry().to_owned(),
                said: answer.said(),
            }),
            _ => Err(answer.refused(what)),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: &Bytes,
        what: &str,
        most: usize,
    ) -> Result<Answer, OciError> {
        let address = self.address(path)?;
        self.exchange_at(method, &address, headers, body, what, most)
            .await
    }

    /// Sends a request; shows who we are when that is asked for.
    async fn exchange_at(
        &self,
        method: &Method,
        address: &Uri,
        headers: &[(HeaderName, &str)],
        body: &Bytes,
        what: &str,
        most: usize,
    ) -> Result<Answer, OciError> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                all.insert(name.clone(), value);
            }
        }
        let mut request = Request::new(body.clone());
        *request.method_mut() = method.clone();
        *request.uri_mut() = address.clone();
        *request.headers_mut() = all;
        // Some registries have uploads sent elsewhere; whom that is, is not told who we are.
        if !is_same_server(address, &self.address("")?) {
            return self.http.send(&request, what, most).await;
        }
        if let Some(authorization) = self.authorization.lock().clone() {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let answer = self.http.send(&request, what, most).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let authorization = self.authorize(&answer, what).await?;
        *self.authorization.lock() = Some(authorization.clone());
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let answer = self.http.send(&request, what, most).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(self.unknown().await?);
        }
        Ok(answer)
    }

    /// What answers the challenges of `answer`.
    async fn authorize(&self, answer: &Answer, what: &str) -> Result<HeaderValue, OciError> {
        let headers = answer.headers.get_all(WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> = headers
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Challenge::parse)
            .collect();
        let find = |scheme: &str| challenges.iter().find(|each| each.scheme == scheme);
        let credentials = self.credentials().await?;
        if let Some(challenge) = find("bearer") {
            let token = self.token(challenge, credentials).await?;
            return secret_header(&format!("Bearer {token}"), self.reference.registry());
        }
        match (find("basic"), credentials) {
            (Some(_), Some(Credentials::Password { user, password })) => {
                secret_header(&basic(user, password), self.reference.registry())
            }
            (Some(_), _) => Err(self.unknown().await?),
            (None, _) => Err(answer.refused(what)),
        }
    }

    /// A token from the server that `challenge` names (distribution's token authentication).
    async fn token(
        &self,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<String, OciError> {
        let what = format!("token for `{}`", self.repository());
        let malformed = |why: &str| OciError::Malformed {
            what: what.clone(),
            why: why.to_owned(),
        };
        let realm = challenge
            .parameter("realm")
            .ok_or_else(|| malformed("the registry does not say where it is given"))?;
        let mut parameters = Vec::new();
        for name in ["service", "scope"] {
            if let Some(value) = challenge.parameter(name) {
                parameters.push(format!("{name}={}", encoded(value)));
            }
        }
        let mut request = Request::new(Bytes::new());
        let mut address = realm.to_owned();
        if let Some(Credentials::Identity(token)) = credentials {
            parameters.push("grant_type=refresh_token".to_owned());
            parameters.push("client_id=quaywatch".to_owned());
            parameters.push(format!("refresh_token={}", encoded(token)));
            *request.method_mut() = Method::POST;
            *request.body_mut() = parameters.join("&").into();
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
        } else {
            let sign = if realm.contains('?') { '&' } else { '?' };
            address = format!("{realm}{sign}{}", parameters.join("&"));
            if let Some(Credentials::Password { user, password }) = credentials {
                let header = secret_header(&basic(user, password), self.reference.registry())?;
                request.headers_mut().insert(AUTHORIZATION, header);
            }
        }
        *request.uri_mut() = address
            .parse()
            .map_err(|_| malformed("the place where it is given is no address"))?;
        let answer = self.http.send(&request, &what, MAX_WORD).await?;
        match answer.status {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.unknown().await?),
            _ => return Err(answer.refused(&what)),
        }
        // The message of the parser could quote the token.
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| malformed("the answer is not as expected"))?;
        match (answer.token, answer.access_token) {
            (token, _) if !token.is_empty() => Ok(token),
            (_, token) if !token.is_empty() => Ok(token),
            _ => Err(malformed("the answer holds none")),
        }
    }

    async fn credentials(&self) -> Result<Option<&Credentials>, OciError> {
        let find = || credentials::find(&self.files, &self.reference);
        Ok(self.credentials.get_or_try_init(find).await?.as_ref())
    }

    /// The error that says that the registry does not know us.
    async fn unknown(&self) -> Result<OciError, OciError> {
        let registry = self.reference.registry().to_owned();
        Ok(match self.credentials().await? {
            None => OciError::NoCredentials(registry),
            Some(credentials) => OciError::BadCredentials {
                registry,
                user: credentials.user().to_owned(),
            },
        })
    }
}

/// The tag under which the referrers of `subject` are listed where the registry does not list them
/// by itself (distribution specification, "Referrers Tag Schema").
fn referrers_tag(subject: &Digest) -> String {
    let digits = subject.hexadecimal();
    let digits = digits.get(..64).unwrap_or(digits);
    format!("{}-{digits}", subject.algorithm())
}

/// The address of the next page, by the header `Link` (RFC 8288).
fn next_page(answer: &Answer) -> Option<Uri> {
    let links = answer.headers.get_all(LINK).into_iter();
    let mut links = links.filter_map(|value| value.to_str().ok());
    let next = links.find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let (target, _) = next.trim_start().strip_prefix('<')?.split_once('>')?;
    answer.resolve(target)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn secret_header(text: &str, registry: &str) -> Result<HeaderValue, OciError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| OciError::Malformed {
        what: format!("what shows `{registry}` who we are"),
        why: "it has characters that cannot be sent".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Percent-encodes a parameter (RFC 3986, unreserved characters stay).
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_referrers_are_those_of_the_specification() {
        let short = Digest::of(b"x");
        assert_eq!(
            referrers_tag(&short),
            format!("sha256-{}", short.hexadecimal())
        );
        let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        assert_eq!(referrers_tag(&long), format!("sha512-{}", "a".repeat(64)));
    }
}
