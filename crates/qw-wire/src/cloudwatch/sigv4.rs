//! AWS Signature Version 4: signing requests, and verifying those of others.
//!
//! Source: AWS, "Create a signed AWS API request" (canonical request, string to sign, signing key).
//! The path is normalised and escaped once more than it was sent, except for S3.

mod canonical;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use qw_event::Timestamp;
use qw_log::time::parse_rfc3339;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Exception;
use crate::outgoing::hexadecimal;

/// How far the time of a request may be from ours.
pub const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Most bytes of the header `Authorization`.
const MAX_AUTHORIZATION: usize = 4096;
/// Most headers that are signed.
const MAX_HEADERS: usize = 64;

/// A request as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// The path as it is sent, with its escapes.
    pub path: &'a str,
    /// The query as it is sent, without the `?`.
    pub query: &'a str,
    /// Names in any case, and values. To sign, at least `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as it is sent, before any `Content-Encoding` is undone.
    pub body: &'a [u8],
}

/// Who signs.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The public part.
    pub access_key: &'a str,
    /// The secret part.
    pub secret_key: &'a str,
    /// The token of temporary credentials.
    pub session_token: Option<&'a str>,
}

/// Who signed a request, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The public part of the credentials.
    pub access_key: String,
    /// The region.
    pub region: String,
    /// The service, `logs`.
    pub service: String,
    /// When.
    pub time: Timestamp,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Without a header `Authorization`.
    #[error("the request is not signed")]
    Missing,
    /// The header is not of the right form.
    #[error("the header `Authorization` is not of the form of AWS4-HMAC-SHA256")]
    Malformed,
    /// Headers that have to be signed are not.
    #[error(
        "`host` and all `x-amz-` headers have to be signed, and every signed header has to be there"
    )]
    Headers,
    /// The time is missing, or not that of the credential.
    #[error("the header `X-Amz-Date` is missing, or does not fit the credential")]
    Date,
    /// The time is too far from ours.
    #[error("the request was signed more than 15 minutes from now")]
    Skew,
    /// The access key is not known.
    #[error("the access key is not known")]
    UnknownKey,
    /// The body is not the one that was signed.
    #[error("the body is not the one that was signed")]
    Body,
    /// The signature is not what the secret makes of the request.
    #[error("the signature does not match the request")]
    Mismatch,
}

impl SignatureFault {
    /// What AWS calls it.
    pub const fn exception(self) -> Exception {
        match self {
            Self::Missing => Exception::MissingAuthenticationToken,
            Self::Malformed | Self::Headers | Self::Date => Exception::IncompleteSignature,
            Self::UnknownKey => Exception::UnrecognizedClient,
            Self::Skew | Self::Body | Self::Mismatch => Exception::InvalidSignature,
        }
    }
}

/// The headers that have to be added to a request, so that it is signed: `x-amz-date`, for temporary
/// credentials `x-amz-security-token`, for S3 `x-amz-content-sha256`, and `authorization`.
///
/// All of `parts.headers` are signed. `service` is `logs`, `s3` and the like.
pub fn sign(
    parts: &Parts<'_>,
    credentials: &Credentials<'_>,
    region: &str,
    service: &str,
    time: Timestamp,
) -> Vec<(String, String)> {
    let date = date_text(time);
    let body_hash = hexadecimal(&Sha256::digest(parts.body));
    let mut added = vec![("x-amz-date".to_owned(), date.clone())];
    if let Some(token) = credentials.session_token {
        added.push(("x-amz-security-token".to_owned(), token.to_owned()));
    }
    if service == "s3" {
        added.push(("x-amz-content-sha256".to_owned(), body_hash.clone()));
    }
    let mut headers: Vec<(String, &str)> = Vec::new();
    for (name, value) in parts.headers {
        headers.push((name.to_ascii_lowercase(), value));
    }
    for (name, value) in &added {
        headers.push((name.clone(), value));
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| &**name).collect();
    names.dedup();
    let names = names.join(";");

    let request = canonical::request(parts, &headers, &names, &body_hash, service == "s3");
    let day = date.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let key = signing_key(credentials.secret_key, day, region, service);
    let signature = hexadecimal(&hmac(
        &key,
        string_to_sign(&date, &scope, &request).as_bytes(),
    ));
    let access_key = credentials.access_key;
    let authorization = format!(
        "{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    added.push(("authorization".to_owned(), authorization));
    added
}

/// Verifies the signature of a request at `now`, and tells who signed it. `secret_of` gives the secret
/// for an access key.
///
/// # Errors
/// When the request is not signed, not in time, or not as it was signed. Which of them is told only as
/// far as AWS does; the comparison takes the same time wherever signatures differ.
pub fn verify(
    parts: &Parts<'_>,
    secret_of: &dyn Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Result<Signed, SignatureFault> {
    let header = |name: &str| {
        let mut found = parts
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim_ascii())
    };
    let authorization = header("authorization").ok_or(SignatureFault::Missing)?;
    let claim = Claim::parse(authorization).ok_or(SignatureFault::Malformed)?;

    let date = header("x-amz-date").ok_or(SignatureFault::Date)?;
    let time = parse_date(date).ok_or(SignatureFault::Date)?;
    if date.get(..8) != Some(claim.day) {
        return Err(SignatureFault::Date);
    }
    if time.since(now) > MAX_SKEW || now.since(time) > MAX_SKEW {
        return Err(SignatureFault::Skew);
    }

    let mut headers: Vec<(String, &str)> = Vec::new();
    for name in claim.signed_headers.split(';') {
        if headers.len() == MAX_HEADERS || header(name).is_none() {
            return Err(SignatureFault::Headers);
        }
        let found = parts
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        headers.extend(found.map(|(_, value)| (name.to_owned(), *value)));
    }
    let is_signed = |name: &str| headers.iter().any(|(signed, _)| signed == name);
    let mut amazons = parts
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase());
    if !is_signed("host") || !amazons.all(|name| !name.starts_with("x-amz-") || is_signed(&name)) {
        return Err(SignatureFault::Headers);
    }

    let body_hash = hexadecimal(&Sha256::digest(parts.body));
    if header("x-amz-content-sha256").is_some_and(|claimed| claimed != body_hash) {
        return Err(SignatureFault::Body);
    }
    let is_s3 = claim.service == "s3";
    let request = canonical::request(parts, &headers, claim.signed_headers, &body_hash, is_s3);
    let secret = secret_of(claim.access_key);
    // Without a secret the same work is done, so that time does not tell which keys exist.
    let is_known = secret.is_some();
    let key = signing_key(
        &secret.unwrap_or_default(),
        claim.day,
        claim.region,
        claim.service,
    );
    let text = string_to_sign(date, &claim.scope(), &request);
    let expected = hexadecimal(&hmac(&key, text.as_bytes()));
    let is_right: bool = expected.as_bytes().ct_eq(claim.signature.as_bytes()).into();
    match (is_known, is_right) {
        (false, _) => Err(SignatureFault::UnknownKey),
        (true, false) => Err(SignatureFault::Mismatch),
        (true, true) => Ok(Signed {
            access_key: claim.access_key.to_owned(),
            region: claim.region.to_owned(),
            service: claim.service.to_owned(),
            time,
        }),
    }
}

/// The parts of the header `Authorization`.
struct Claim<'a> {
    access_key: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        if authorization.len() > MAX_AUTHORIZATION {
            return None;
        }
        let parts = authorization.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let find = |name: &str| {
            let mut parts = parts.split(',').map(str::trim_ascii);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let mut credential = find("Credential")?.rsplitn(5, '/');
        let mut next = || credential.next().filter(|part| !part.is_empty());
        let end = next()?;
        let (service, region, day, access_key) = (next()?, next()?, next()?, next()?);
        (end == "aws4_request").then_some(Self {
            access_key,
            day,
            region,
            service,
            signed_headers: find("SignedHeaders")?,
            signature: find("Signature")?,
        })
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }
}

fn string_to_sign(date: &str, scope: &str, request: &str) -> String {
    let hash = hexadecimal(&Sha256::digest(request.as_bytes()));
    format!("{ALGORITHM}\n{date}\n{scope}\n{hash}")
}

fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    let key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    let key = hmac(&key, region.as_bytes());
    let key = hmac(&key, service.as_bytes());
    hmac(&key, b"aws4_request")
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; 32],
    }
}

/// `20150830T123600Z`.
fn date_text(time: Timestamp) -> String {
    let whole = time.floor_to(Duration::from_secs(1)).to_string();
    whole.replace(['-', ':'], "")
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let (day, clock) = text.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to).map(str::to_owned);
    if day.len() != 8 || clock.len() != 7 {
        return None;
    }
    let (year, month, day) = (part(day, 0, 4)?, part(day, 4, 6)?, part(day, 6, 8)?);
    let (hour, minute, second) = (part(clock, 0, 2)?, part(clock, 2, 4)?, part(clock, 4, 7)?);
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}");
    parse_rfc3339(text.as_bytes())
}

#[cfg(test)]
mod tests;
