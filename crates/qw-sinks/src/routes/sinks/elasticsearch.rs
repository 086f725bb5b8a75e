//! Elasticsearch and OpenSearch: `_bulk`.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::elasticsearch::encode_bulk_item;
use serde::Deserialize;

use super::http::{Beside, Poster};
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, ElasticsearchConfig, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
};

/// Largest answer read, in bytes: that to 5,000 items with an error each.
const MAX_ANSWER: usize = 16 << 20;

/// Longest reason of an item, in characters.
const MAX_REASON: usize = 300;

/// Writes to one data stream or index.
pub(crate) struct Elasticsearch {
    poster: Poster,
    index: String,
    /// Stands before the number in the id of a document.
    epoch: String,
}

impl Elasticsearch {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(
        route: &RouteConfig,
        config: &ElasticsearchConfig,
        epoch: &str,
    ) -> Result<Self, ConfigError> {
        if config.index.is_empty() || config.index.len() > 255 {
            return Err(route.wrong("to.index", "has 1 to 255 bytes"));
        }
        // Only what tells what became of each item.
        let path = |old: &str| {
            let old = old.trim_end_matches('/');
            format!(
                "{old}/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
            )
        };
        let kind = "application/x-ndjson";
        Ok(Self {
            poster: Poster::new(route, &config.url, path, &config.http, kind)?,
            index: config.index.clone(),
            epoch: epoch.to_owned(),
        })
    }
}

#[async_trait]
impl Destination for Elasticsearch {
    fn place(&self) -> String {
        format!("{}/{}", self.poster.place(), self.index)
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let mut body = Vec::with_capacity(2 * part.bytes());
        for record in part.records() {
            let id = format!("qw-{}-{}", self.epoch, record.outgoing.id);
            encode_bulk_item(&record.outgoing, &self.index, &id, &mut body);
        }
        let beside = Beside::default();
        let (reply, bytes) = self.poster.post(body, beside, MAX_ANSWER, now).await?;
        let unclear = |what: &str| {
            let text = format!(
                "`{}` answered what cannot be understood: {what}",
                self.place()
            );
            Undelivered::from(Refusal::passing(text))
        };
        if !reply.is_whole {
            return Err(unclear("it broke off, or is too long"));
        }
        let answer: Answer =
            serde_json::from_slice(&reply.body).map_err(|error| unclear(&error.to_string()))?;
        let mut delivered = Delivered {
            bytes,
            answer: reply.status.to_string(),
            ..Delivered::default()
        };
        if !answer.errors {
            return Ok(delivered);
        }
        if answer.items.len() != part.len() {
            return Err(unclear("there is not one answer for each record"));
        }
        for (place, item) in answer.items.into_iter().enumerate() {
            let item = item.result();
            match item.status {
                // With status 409 it is there already: that was us.
                200..=299 | 409 => {}
                429 | 500..=599 => {
                    delivered.again.push(place);
                    if delivered.why_again.is_empty() {
                        delivered.why_again = format!("`{}` answered {item}", self.place());
                    }
                }
                _ => delivered.refused.push((place, item.to_string())),
            }
        }
        Ok(delivered)
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    create: Option<Outcome>,
    index: Option<Outcome>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    status: u16,
    error: Option<Problem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
}

impl Item {
    /// What became of it; one that does not say is to be sent again.
    fn result(self) -> Outcome {
        self.create.or(self.index).unwrap_or(Outcome {
            status: 500,
            error: None,
        })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(Problem { kind, reason }) = &self.error {
            let reason: String = reason.chars().take(MAX_REASON).collect();
            write!(f, ", {kind}: {reason}")?;
        }
        Ok(())
    }
}
