//! JSON lines over TCP, TLS and Unix sockets.

use async_trait::async_trait;
use qw_event::Timestamp;

use super::{
    line::LineWriter,
    stream::{OneWay, Peer},
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, JsonConfig, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
};

/// Sends one object per line.
pub(crate) struct JsonLines {
    stream: OneWay,
    lines: LineWriter,
    buffer: Vec<u8>,
}

impl JsonLines {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &JsonConfig) -> Result<Self, ConfigError> {
        let peer = Peer::new(route, config.transport, &config.address, &config.tls)?;
        Ok(Self {
            stream: OneWay::new(peer, config.confirm, config.timeout_seconds),
            lines: LineWriter::new(),
            buffer: Vec::new(),
        })
    }
}

#[async_trait]
impl Destination for JsonLines {
    fn place(&self) -> String {
        self.stream.place()
    }

    async fn idle(&mut self) -> Result<(), Refusal> {
        self.stream.idle().await
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        self.buffer.clear();
        self.buffer.reserve(part.bytes());
        for record in part.records() {
            self.lines.json(&record, &mut self.buffer);
        }
        let bytes = self.buffer.len() as u64;
        let answer = self.stream.send(&mut self.buffer).await?;
        Ok(Delivered {
            bytes,
            answer: answer.to_owned(),
            ..Delivered::default()
        })
    }
}
