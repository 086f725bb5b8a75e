//! Objects in S3, and in what speaks as it does: lines, compressed, one object for each batch and name.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, Method, Uri};
use qw_event::Timestamp;

use super::{
    aws,
    http::{Poster, gzip},
    line::LineWriter,
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{
            Compression, ConfigError, FileFormat, HttpConfig, ObjectCompression, RouteConfig,
            S3Config,
        },
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    runner::blocking,
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Longest name of an object, in bytes, as S3 says.
const MAX_NAME: usize = 1_024;

/// Compression of Zstandard: quick, and smaller than gzip.
const ZSTD_LEVEL: i32 = 3;

/// Puts objects into one bucket.
pub(crate) struct S3 {
    poster: Poster,
    config: S3Config,
    lines: LineWriter,
    /// Stands before the numbers in the name of an object.
    epoch: String,
}

/// The records of one object.
#[derive(Default)]
struct Object {
    first: u64,
    last: u64,
    places: Vec<usize>,
    lines: Vec<u8>,
}

impl S3 {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(
        route: &RouteConfig,
        config: &S3Config,
        epoch: &str,
    ) -> Result<Self, ConfigError> {
        aws::check(route, &config.aws)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !config.bucket.bytes().all(is_name) || config.bucket.len() > 63 {
            let problem = "has at most 63 letters, digits, `.`, `-` or `_`";
            return Err(route.wrong("to.bucket", problem));
        }
        // An object is compressed as a whole, and stays so.
        let http = HttpConfig {
            compression: Compression::None,
            ..config.http.clone()
        };
        let path = |old: &str| match config.bucket.as_str() {
            "" => old.trim_end_matches('/').to_owned() + "/",
            bucket => format!("{}/{bucket}/", old.trim_end_matches('/')),
        };
        let kind = match (config.compression, config.format) {
            (ObjectCompression::Gzip, _) => "application/gzip",
            (ObjectCompression::Zstd, _) => "application/zstd",
            (ObjectCompression::None, FileFormat::Json) => "application/x-ndjson",
            (ObjectCompression::None, FileFormat::Text) => "text/plain; charset=utf-8",
        };
        let poster = Poster::new(route, &config.url, path, &http, "")?
            .with_method(Method::PUT)
            .with_content_type(HeaderValue::from_static(kind))
            // With 400 S3 speaks of regions, tokens and clocks.
            .refusing(&[413]);
        Ok(Self {
            poster,
            config: config.clone(),
            lines: LineWriter::new(),
            epoch: epoch.to_owned(),
        })
    }

    const fn ending(&self) -> &'static str {
        match (self.config.format, self.config.compression) {
            (FileFormat::Json, ObjectCompression::None) => "ndjson",
            (FileFormat::Json, ObjectCompression::Gzip) => "ndjson.gz",
            (FileFormat::Json, ObjectCompression::Zstd) => "ndjson.zst",
            (FileFormat::Text, ObjectCompression::None) => "log",
            (FileFormat::Text, ObjectCompression::Gzip) => "log.gz",
            (FileFormat::Text, ObjectCompression::Zstd) => "log.zst",
        }
    }

    /// Puts one object; the bytes that travelled.
    async fn put(
        &self,
        beginning: &str,
        object: &mut Object,
        now: Timestamp,
    ) -> Result<u64, Undelivered> {
        let lines = std::mem::take(&mut object.lines);
        let compression = self.config.compression;
        let body = blocking(move || compressed(lines, compression))
            .await
            .map_err(|error| Refusal::because("cannot compress", &error))?;
        let ending = self.ending();
        // The same records have the same name, so that a repetition replaces them.
        let (first, last) = (object.first, object.last);
        let name = format!("{beginning}{}-{first:012}-{last:012}.{ending}", self.epoch);
        if name.len() > MAX_NAME {
            let text = format!("the name of an object is longer than {MAX_NAME} bytes");
            return Err(Undelivered::Split(text));
        }
        let base = self.poster.address();
        let unusable = |_| Refusal::passing(format!("`{name}` cannot be the name of an object"));
        let address = Uri::builder()
            .scheme(base.scheme_str().unwrap_or_default())
            .authority(base.authority().map_or("", http::uri::Authority::as_str))
            .path_and_query(format!("{}{}", base.path(), escaped(&name)))
            .build()
            .map_err(unusable)?;
        let beside = aws::signed(&self.config.aws, "s3", "PUT", address, &[], &body, now)?;
        let (_, bytes) = self.poster.post(body, beside, MAX_ANSWER, now).await?;
        Ok(bytes)
    }
}

#[async_trait]
impl Destination for S3 {
    fn place(&self) -> String {
        let base = self.poster.address();
        format!(
            "{}{}{}",
            self.poster.place(),
            base.path(),
            self.config.object
        )
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let mut objects: BTreeMap<String, Object> = BTreeMap::new();
        for (place, record) in part.records().enumerate() {
            let beginning = dated(record.tag, record.outgoing.time);
            let object = objects.entry(beginning).or_default();
            if object.places.is_empty() {
                object.first = record.outgoing.id;
            }
            object.last = record.outgoing.id;
            object.places.push(place);
            self.lines
                .payload(&record, self.config.format, &mut object.lines);
            object.lines.push(b'\n');
        }
        let mut delivered = Delivered::default();
        let count = objects.len();
        for (beginning, mut object) in objects {
            // What failed once fails for the others, too.
            if !delivered.again.is_empty() {
                delivered.again.extend(object.places);
                continue;
            }
            match self.put(&beginning, &mut object, now).await {
                Ok(bytes) => delivered.bytes += bytes,
                Err(Undelivered::Split(reason)) if object.places.len() == 1 => {
                    let refused = object.places.into_iter();
                    delivered
                        .refused
                        .extend(refused.map(|place| (place, reason.clone())));
                }
                // In halves: the others of this part are put again under the same names.
                Err(split @ Undelivered::Split(_)) => return Err(split),
                Err(Undelivered::Later { refusal, .. }) => {
                    delivered.again = object.places;
                    delivered.why_again = refusal.text;
                }
            }
        }
        delivered.again.sort_unstable();
        delivered.refused.sort_by_key(|(place, _)| *place);
        delivered.answer = format!("{count} objects");
        Ok(delivered)
    }
}

/// `text` with the time in place of `%Y`, `%m`, `%d` and `%H`, and without a `/` in front.
fn dated(text: &str, time: Timestamp) -> String {
    let rfc3339 = Timestamp::from_seconds(time.as_seconds()).to_string();
    let piece = |from: usize, to: usize| rfc3339.get(from..to).unwrap_or_default();
    let mut dated = String::with_capacity(text.len() + 8);
    let mut rest = text.trim_start_matches('/');
    while let Some((before, behind)) = rest.split_once('%') {
        dated.push_str(before);
        let mut letters = behind.chars();
        rest = letters.as_str();
        let value = match letters.next() {
            Some('Y') => piece(0, 4),
            Some('m') => piece(5, 7),
            Some('d') => piece(8, 10),
            Some('H') => piece(11, 13),
            _ => {
                dated.push('%');
                continue;
            }
        };
        dated.push_str(value);
        rest = letters.as_str();
    }
    dated.push_str(rest);
    dated
}

/// `name` as a path, by the rules of signatures: all but letters, digits, `-._~` and `/` as `%XX`.
fn escaped(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn compressed(lines: Vec<u8>, compression: ObjectCompression) -> std::io::Result<Vec<u8>> {
    match compression {
        ObjectCompression::None => Ok(lines),
        ObjectCompression::Gzip => Ok(gzip(lines)),
        ObjectCompression::Zstd => zstd::encode_all(&*lines, ZSTD_LEVEL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_the_time_of_their_records() {
        let time = Timestamp::from_seconds(1_795_251_600);
        assert_eq!(
            dated("/logs/web/%Y-%m-%d/%H/100%/%x%", time),
            "logs/web/2026-11-21/09/100%/%x%"
        );
        assert_eq!(escaped("a b/ü+%~"), "a%20b/%C3%BC%2B%25~");
    }
}
