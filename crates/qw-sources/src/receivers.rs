//! Endpoints for Docker's log drivers, and for everybody else who speaks their formats.
//!
//! A receiver listens at one or more addresses, turns what comes into records ([`qw_wire`] knows the
//! formats), and hands them to the pipeline in batches ([`gather`]). Where the protocol can say so, a
//! sender is told that its records are on disk, and not before: Fluentd's `ack`, the answers of HTTP.
//! Where it cannot (syslog, GELF), a connection is read no faster than its records are stored, so that
//! its sender waits; datagrams that the kernel had to throw away are counted and shown as a gap.

mod address;
mod config;
mod convert;
mod datagram;
mod fluentd;
mod gather;
mod held;
pub mod http;
mod lines;
mod pieces;
mod stream;

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use qw_event::SourceId;
use qw_log::Redactor;
use qw_pipeline::{CancellationToken, Intake, Source, SourceError, SourceState};
use tokio::task::JoinSet;

pub(crate) use self::convert::readable;
pub use self::{
    address::{Address, InvalidAddress},
    config::{CloudwatchKey, Config, InvalidReceiver, Kind, SecretFile, Tls},
};
use self::{
    convert::Converter, datagram::Datagrams, gather::Gatherer, lines::Lines, stream::Streams,
};
use crate::{clock::now, http::body::Budget};

/// What all receivers share.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest record, in bytes; what is longer is cut there, and says so.
    pub max_line_bytes: usize,
    /// Takes secrets out of records before they go anywhere.
    pub redactor: Option<Arc<Redactor>>,
    /// Name of this host, for what is sent from it.
    pub hostname: String,
    /// Connections of one address at the same time; more wait in the backlog of the system.
    pub max_connections: usize,
    /// Longest time for a TLS handshake or another greeting.
    pub greet_within: Duration,
    /// How long a connection may be silent.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_line_bytes: 1 << 20,
            redactor: None,
            hostname: String::new(),
            max_connections: 16_384,
            greet_within: Duration::from_secs(30),
            idle: Duration::from_secs(24 * 3_600),
        }
    }
}

/// A receiver of streams and datagrams, its addresses taken. The kinds that speak HTTP are served by
/// the server that mounts [`http::router`].
pub struct ReceiverSource {
    config: Config,
    options: Options,
    doors: Vec<Door>,
}

enum Door {
    Datagrams(Datagrams),
    Streams(Streams),
}

impl ReceiverSource {
    /// Takes the addresses of `config`, which has been checked.
    pub fn bind(config: Config, options: Options) -> Result<Self, SourceError> {
        let mut doors = Vec::new();
        for address in config.addresses() {
            doors.push(match &address {
                Address::Udp(_) | Address::UnixDatagram(_) => {
                    Door::Datagrams(Datagrams::bind(&address)?)
                }
                Address::Tcp(_) | Address::Tls(_) | Address::Unix(_) => {
                    Door::Streams(Streams::bind(&address, config.tls())?)
                }
                Address::Http(_) | Address::Https(_) => continue,
            });
        }
        Ok(Self {
            config,
            options,
            doors,
        })
    }

    /// Name of the source.
    pub fn source_id(&self) -> SourceId {
        self.config.source_id()
    }
}

/// What the parts of one running receiver share.
struct Shared {
    config: Config,
    options: Options,
    intake: Intake,
    gatherer: Gatherer,
    /// Converters remember what recurs, so they are kept; one for each thread that is at it.
    converters: Mutex<Vec<Converter>>,
    /// For messages that are not complete.
    memory: Budget,
    /// Fluentd's shared key.
    forward_key: Option<Vec<u8>>,
    chunks: fluentd::Chunks,
    /// Unfinished lines of Fluentd's senders, whatever connection they use.
    lines: Mutex<Lines>,
}

impl Shared {
    /// Lends a converter to `work`, which must not wait for anything.
    fn with_converter<R>(&self, work: impl FnOnce(&mut Converter) -> R) -> R {
        let converter = self.converters.lock().pop();
        let mut converter =
            converter.unwrap_or_else(|| Converter::new(self.config.kind(), &self.options));
        let result = work(&mut converter);
        self.converters.lock().push(converter);
        result
    }

    /// What stands for a sender that does not name its host.
    fn host_of(&self, peer: Option<IpAddr>) -> String {
        match peer.map(|peer| peer.to_canonical()) {
            Some(peer) if !peer.is_loopback() => peer.to_string(),
            _ => self.options.hostname.clone(),
        }
    }
}

#[async_trait]
impl Source for ReceiverSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let Self {
            config,
            options,
            doors,
        } = *self;
        let forward_key = config
            .shared_key
            .as_ref()
            .map(SecretFile::read)
            .transpose()?;
        let (gatherer, gathering) = gather::start(intake.clone());
        let lines = Mutex::new(Lines::new(&config, &options));
        let shared = Arc::new(Shared {
            config,
            options,
            intake,
            gatherer,
            converters: Mutex::default(),
            memory: Budget::new(held::MOST_BYTES),
            forward_key,
            chunks: fluentd::Chunks::default(),
            lines,
        });
        shared
            .intake
            .status()
            .set_state(SourceState::Running, now());
        let mut tasks = JoinSet::new();
        for door in doors {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            match door {
                Door::Datagrams(datagrams) => tasks.spawn(datagrams.run(shared, stop)),
                Door::Streams(streams) => tasks.spawn(streams.run(shared, stop)),
            };
        }
        if shared.config.kind() == Kind::Fluentd {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tasks.spawn(async move {
                fluentd::end_lines(&shared, &stop).await;
                Ok(())
            });
        }
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => outcome = Err(error),
                Err(error) => outcome = Err(SourceError::new("a part of the receiver", error)),
            }
        }
        let events = {
            let mut lines = shared.lines.lock();
            shared.with_converter(|converter| lines.finish(converter, now()));
            lines.take(&shared, now())
        };
        shared.gatherer.send(events).await;
        drop(shared);
        // What was received is stored before the receiver has ended.
        gathering
            .await
            .map_err(|error| SourceError::new("the receiver's last batches", error))?;
        outcome
    }
}
