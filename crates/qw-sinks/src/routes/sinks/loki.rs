//! Loki's push API.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::loki;

use super::http::{Beside, Poster, header, path_or};
use crate::routes::{
    config::{Compression, ConfigError, HttpConfig, LokiConfig, RouteConfig},
    destination::{Delivered, Destination, Undelivered},
    record::Part,
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Pushes to one Loki.
pub(crate) struct Loki {
    poster: Poster,
    config: LokiConfig,
}

impl Loki {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &LokiConfig) -> Result<Self, ConfigError> {
        // Bodies are in snappy's format, which is part of their type.
        let http = HttpConfig {
            compression: Compression::None,
            ..config.http.clone()
        };
        let path = path_or("/loki/api/v1/push");
        Ok(Self {
            poster: Poster::new(route, &config.url, path, &http, "application/x-protobuf")?,
            config: config.clone(),
        })
    }
}

#[async_trait]
impl Destination for Loki {
    fn place(&self) -> String {
        self.poster.place()
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let labels = self.config.labels.iter();
        let labels: Vec<(&str, &str)> = labels.map(|(name, text)| (&**name, &**text)).collect();
        let body = loki::encode_protobuf(&loki::group(&part.outgoing(), &labels));
        let mut beside = Beside::default();
        if let Some(tenant) = &self.config.tenant {
            let (name, value) = header("x-scope-orgid", tenant)?;
            beside.headers.insert(name, value);
        }
        let (reply, bytes) = self.poster.post(body, beside, MAX_ANSWER, now).await?;
        Ok(Delivered {
            bytes,
            answer: reply.status.to_string(),
            ..Delivered::default()
        })
    }
}
