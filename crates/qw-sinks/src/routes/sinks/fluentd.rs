//! Fluentd's forward protocol, with acknowledgements and a shared key.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::{
    Received,
    forward::{Decoder, Helo, Limits, Ping, Pong, decode_ack, encode_packed},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::{Connection, Peer};
use crate::{
    receiver::{Refusal, chain},
    routes::{
        config::{ConfigError, FluentdConfig, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        positions::{random_bytes, random_name},
        record::Part,
    },
};

/// Sends to one server.
pub(crate) struct Fluentd {
    peer: Peer,
    config: FluentdConfig,
    open: Option<Open>,
}

struct Open {
    connection: Box<dyn Connection>,
    decoder: Decoder,
}

impl Fluentd {
    /// Reads address, files and secrets, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &FluentdConfig) -> Result<Self, ConfigError> {
        for (key, secret) in [
            ("to.shared_key", &config.shared_key),
            ("to.password", &config.password),
        ] {
            if let Some(secret) = secret {
                secret
                    .read()
                    .map_err(|error| route.wrong(key, chain(&error)))?;
            }
        }
        if config.username.is_some() && (config.password.is_none() || config.shared_key.is_none()) {
            return Err(route.wrong("to.username", "wants `password` and `shared_key`, too"));
        }
        Ok(Self {
            peer: Peer::new(route, config.transport, &config.address, &config.tls)?,
            config: config.clone(),
            open: None,
        })
    }

    async fn connect(&self) -> Result<Open, Refusal> {
        let place = self.peer.place();
        let connection = self.peer.connect().await;
        let mut open = Open {
            connection: connection
                .map_err(|error| Refusal::because(&format!("cannot reach `{place}`"), &error))?,
            decoder: Decoder::new(Limits {
                max_message_bytes: 64 << 10,
                ..Limits::default()
            }),
        };
        if let Some(key) = &self.config.shared_key {
            let read = |secret: &crate::secret::SecretFrom| {
                secret
                    .read()
                    .map_err(|error| Refusal::because("cannot read the secret", &error))
            };
            let key = read(key)?;
            let password = self.config.password.as_ref().map(read).transpose()?;
            let greeting = open.value(&place).await?;
            let helo = Helo::decode(&greeting).map_err(|fault| not_forward(&place, &fault))?;
            let salt = random_name();
            let user = self.config.username.as_deref().zip(password.as_ref());
            let ping = Ping::new(
                &helo,
                &self.config.hostname,
                key.reveal().as_bytes(),
                salt.as_bytes(),
                user.map(|(name, password)| (name, password.reveal())),
            );
            open.write(&place, &ping.encode()).await?;
            let verdict = open.value(&place).await?;
            let pong = Pong::decode(&verdict).map_err(|fault| not_forward(&place, &fault))?;
            if !pong.is_accepted {
                let reason: String = pong.reason.chars().take(200).collect();
                return Err(Refusal::passing(format!(
                    "`{place}` does not let us in: {reason}"
                )));
            }
            if !pong.knows_key(&helo, &ping, key.reveal().as_bytes()) {
                return Err(Refusal::passing(format!(
                    "`{place}` does not know the shared key"
                )));
            }
        }
        Ok(open)
    }

    /// Sends one message, and waits until it is acknowledged.
    async fn send(&mut self, message: &[u8], chunk: Option<&str>) -> Result<(), Refusal> {
        let place = self.peer.place();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        open.write(&place, message).await?;
        if let Some(chunk) = chunk {
            let answer = open.value(&place).await?;
            let acknowledged = decode_ack(&answer).map_err(|fault| not_forward(&place, &fault))?;
            if *acknowledged != *chunk.as_bytes() {
                let text = format!("`{place}` acknowledged something else");
                return Err(Refusal::passing(text));
            }
        }
        // It is used again only when all went well.
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    async fn write(&mut self, place: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let write = async {
            self.connection.write_all(bytes).await?;
            self.connection.flush().await
        };
        write
            .await
            .map_err(|error| Refusal::because(&format!("cannot send to `{place}`"), &error))
    }

    /// The next value that the server sends.
    async fn value(&mut self, place: &str) -> Result<Vec<u8>, Refusal> {
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next_value() {
                Ok(Some(value)) => return Ok(value.to_vec()),
                Ok(None) => {}
                Err(fault) => return Err(not_forward(place, &fault)),
            }
            let read = self.connection.read(&mut buffer).await;
            match read {
                Ok(0) => {
                    let text = format!("`{place}` ended the connection without an answer");
                    return Err(Refusal::passing(text));
                }
                Ok(count) => self.decoder.feed(buffer.get(..count).unwrap_or_default()),
                Err(error) => {
                    let doing = format!("cannot read the answer of `{place}`");
                    return Err(Refusal::because(&doing, &error));
                }
            }
        }
    }
}

fn not_forward(place: &str, fault: &qw_wire::forward::Fault) -> Refusal {
    Refusal::passing(format!(
        "`{place}` answered what cannot be understood: {fault}"
    ))
}

#[async_trait]
impl Destination for Fluentd {
    fn place(&self) -> String {
        self.peer.place()
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        // One message for each tag, in the order of their names; within it the order of the records.
        let mut by_tag: BTreeMap<&Arc<str>, Vec<Received<'_>>> = BTreeMap::new();
        for record in part.records() {
            let entry = Received::from(&record.outgoing);
            by_tag.entry(record.tag).or_default().push(entry);
        }
        let timeout = Duration::from_secs(u64::from(self.config.timeout_seconds));
        let messages: Vec<(Vec<u8>, Option<String>)> = by_tag
            .into_iter()
            .map(|(tag, entries)| {
                let tag = if tag.is_empty() { "quaywatch" } else { &**tag };
                let chunk = self.config.acknowledge.then(chunk_id);
                let compressed = self.config.compressed;
                let message = encode_packed(tag, &entries, chunk.as_deref(), compressed);
                (message, chunk)
            })
            .collect();
        let mut bytes = 0;
        for (message, chunk) in messages {
            bytes += message.len() as u64;
            let sent = tokio::time::timeout(timeout, self.send(&message, chunk.as_deref())).await;
            sent.unwrap_or_else(|_| {
                Err(Refusal::passing(format!(
                    "`{}` did not answer within {} s",
                    self.peer.place(),
                    timeout.as_secs()
                )))
            })?;
        }
        Ok(Delivered {
            bytes,
            answer: String::from(if self.config.acknowledge {
                "acknowledged"
            } else {
                "written"
            }),
            ..Delivered::default()
        })
    }
}

/// Base64 of 16 random bytes is what Fluentd sends; any text does.
fn chunk_id() -> String {
    format!("{:032x}", u128::from_le_bytes(random_bytes()))
}
