//! Splunk's HTTP Event Collector.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::hec;

use super::http::{Beside, Poster, header, path_or};
use crate::{
    receiver::{Refusal, chain},
    routes::{
        config::{ConfigError, RouteConfig, SplunkConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Sends events to one collector.
pub(crate) struct Splunk {
    poster: Poster,
    config: SplunkConfig,
}

impl Splunk {
    /// Reads address, files and token, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &SplunkConfig) -> Result<Self, ConfigError> {
        if let Some(token) = &config.token {
            token
                .read()
                .map_err(|error| route.wrong("to.token", chain(&error)))?;
        }
        let path = path_or("/services/collector/event");
        Ok(Self {
            poster: Poster::new(route, &config.url, path, &config.http, "application/json")?,
            config: config.clone(),
        })
    }

    fn beside(&self) -> Result<Beside, Refusal> {
        let mut beside = Beside::default();
        if let Some(token) = &self.config.token {
            let token = token
                .read()
                .map_err(|error| Refusal::because("cannot read the token", &error))?;
            let (name, value) = header("authorization", &format!("Splunk {}", token.reveal()))?;
            beside.headers.insert(name, value);
            beside.secrets.push(token);
        }
        Ok(beside)
    }
}

#[async_trait]
impl Destination for Splunk {
    fn place(&self) -> String {
        self.poster.place()
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let to = hec::Destination {
            index: &self.config.index,
            source: &self.config.source,
            sourcetype: &self.config.sourcetype,
        };
        let mut body = Vec::with_capacity(2 * part.bytes());
        for record in part.records() {
            hec::encode_for(&record.outgoing, &to, &mut body);
        }
        let (reply, bytes) = self
            .poster
            .post(body, self.beside()?, MAX_ANSWER, now)
            .await?;
        Ok(Delivered {
            bytes,
            answer: reply.status.to_string(),
            ..Delivered::default()
        })
    }
}
