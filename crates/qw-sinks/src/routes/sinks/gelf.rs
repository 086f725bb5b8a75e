//! GELF over UDP, in chunks, and TCP.

use std::io::Write as _;

use async_trait::async_trait;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use qw_event::Timestamp;
use qw_wire::{Received, gelf};

use super::{
    stream::{OneWay, Peer},
    syslog::Datagrams,
};
use crate::{
    config::TlsConfig,
    receiver::Refusal,
    routes::{
        config::{
            ConfigError, GelfCompression, GelfConfig, GelfTransport, RouteConfig, StreamTransport,
        },
        destination::{Delivered, Destination, Undelivered},
        positions::random_bytes,
        record::Part,
    },
};

/// Sends GELF messages.
pub(crate) struct Gelf {
    way: Way,
    compression: GelfCompression,
    max_datagram_bytes: usize,
    buffer: Vec<u8>,
}

/// Datagrams, where those of each record end, and the records that need too many.
type Prepared = (Vec<Vec<u8>>, Vec<usize>, Vec<(usize, String)>);

enum Way {
    Stream(OneWay),
    Datagrams(Datagrams),
}

impl Gelf {
    /// Reads the address, so that what is wrong with it is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &GelfConfig) -> Result<Self, ConfigError> {
        if !(512..=65_000).contains(&config.max_datagram_bytes) {
            return Err(route.wrong("to.max_datagram_bytes", "is from 512 to 65000"));
        }
        let (address, seconds) = (&config.address, config.timeout_seconds);
        let way = match config.transport {
            GelfTransport::Udp => Way::Datagrams(Datagrams::udp(route, address, seconds)?),
            GelfTransport::Tcp => {
                let no_tls = TlsConfig::default();
                let peer = Peer::new(route, StreamTransport::Tcp, address, &no_tls)?;
                Way::Stream(OneWay::new(peer, config.confirm, seconds))
            }
        };
        Ok(Self {
            way,
            compression: config.compression,
            max_datagram_bytes: config.max_datagram_bytes,
            buffer: Vec::new(),
        })
    }

    /// The datagrams of all messages of `part`, and those records that need too many.
    fn datagrams(&mut self, part: Part<'_>) -> Prepared {
        let (mut datagrams, mut ends, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, record) in part.records().enumerate() {
            self.buffer.clear();
            gelf::encode(&Received::from(&record.outgoing), &mut self.buffer);
            let message = compressed(self.compression, &self.buffer);
            let id = random_bytes::<8>();
            match gelf::chunks(&message, id, self.max_datagram_bytes) {
                Ok(chunks) => datagrams.extend(chunks.map(std::borrow::Cow::into_owned)),
                Err(fault) => refused.push((place, fault.to_string())),
            }
            ends.push(datagrams.len());
        }
        (datagrams, ends, refused)
    }
}

/// The message as it travels.
fn compressed(compression: GelfCompression, message: &[u8]) -> Vec<u8> {
    let level = Compression::fast();
    let made = match compression {
        GelfCompression::None => None,
        GelfCompression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder
                .write_all(message)
                .and_then(|()| encoder.finish())
                .ok()
        }
        GelfCompression::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder
                .write_all(message)
                .and_then(|()| encoder.finish())
                .ok()
        }
    };
    made.unwrap_or_else(|| message.to_vec())
}

#[async_trait]
impl Destination for Gelf {
    fn place(&self) -> String {
        match &self.way {
            Way::Stream(stream) => stream.place(),
            Way::Datagrams(datagrams) => datagrams.place(),
        }
    }

    async fn idle(&mut self) -> Result<(), Refusal> {
        match &mut self.way {
            Way::Stream(stream) => stream.idle().await,
            Way::Datagrams(_) => Ok(()),
        }
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        if matches!(self.way, Way::Datagrams(_)) {
            let (datagrams, ends, refused) = self.datagrams(part);
            let Way::Datagrams(way) = &mut self.way else {
                return Ok(Delivered::default());
            };
            let bytes = datagrams.iter().map(|datagram| datagram.len() as u64).sum();
            let sent = way.send(datagrams.iter().map(Vec::as_slice)).await;
            // What comes before a failure is done, but for a record that is still to be refused.
            let first_refused = refused.first().map_or(usize::MAX, |(place, _)| *place);
            let answer = sent.map_err(|undelivered| match undelivered {
                // A record is done when all its datagrams are.
                Undelivered::Later { done, refusal } => Undelivered::Later {
                    done: ends.partition_point(|end| *end <= done).min(first_refused),
                    refusal,
                },
                split @ Undelivered::Split(_) => split,
            })?;
            return Ok(Delivered {
                bytes,
                refused,
                answer: answer.to_owned(),
                ..Delivered::default()
            });
        }
        self.buffer.clear();
        self.buffer.reserve(part.bytes());
        for record in part.records() {
            gelf::encode(&Received::from(&record.outgoing), &mut self.buffer);
            self.buffer.push(0);
        }
        let bytes = self.buffer.len() as u64;
        let Way::Stream(stream) = &mut self.way else {
            return Ok(Delivered::default());
        };
        let answer = stream.send(&mut self.buffer).await?;
        Ok(Delivered {
            bytes,
            answer: answer.to_owned(),
            ..Delivered::default()
        })
    }
}
