//! Messages to a syslog server: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octet counting) and
//! TLS (RFC 5425), with structured data or as Common Event Format.
//!
//! Syslog knows no answers. Over TCP and TLS we therefore end our side after the last message and
//! wait until the receiver ends its own: it does so once it has read everything, and breaks the
//! connection when it dies before that. UDP tells nothing.

mod format;

use std::{io, time::Duration};

use async_trait::async_trait;
use qw_event::Timestamp;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, lookup_host},
};
use tokio_rustls::TlsConnector;

use crate::{
    config::{ConfigError, SinkConfig, SyslogConfig, Transport},
    message::Message,
    receiver::{Answer, Receiver, Refusal},
    tls,
};

/// Messages on one connection.
const BATCH: usize = 100;

/// Sends messages to one server.
pub(crate) struct Syslog {
    config: SyslogConfig,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl Syslog {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(sink: &SinkConfig, config: &SyslogConfig) -> Result<Self, ConfigError> {
        let host = config
            .address
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
            .map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
            .filter(|host| !host.is_empty())
            .ok_or_else(|| sink.wrong("to.address", "is a host and a port, as in `host:514`"))?;
        if !(480..=65_000).contains(&config.max_bytes) {
            return Err(sink.wrong("to.max_bytes", "is from 480 to 65000"));
        }
        let tls = match config.transport {
            Transport::Udp | Transport::Tcp => None,
            Transport::Tls => {
                let client =
                    tls::client(&config.tls).map_err(|problem| sink.wrong("to.tls", problem))?;
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| sink.wrong("to.address", "names no host"))?;
                Some((TlsConnector::from(std::sync::Arc::new(client)), name))
            }
        };
        Ok(Self {
            config: config.clone(),
            tls,
            timeout: Duration::from_secs(u64::from(config.timeout_seconds)),
        })
    }

    async fn send(&self, messages: &[Message]) -> io::Result<&'static str> {
        let texts = messages
            .iter()
            .map(|message| format::message(&self.config, message));
        if self.config.transport == Transport::Udp {
            let peer = lookup_host(&self.config.address)
                .await?
                .next()
                .ok_or_else(|| io::Error::other("the host has no address"))?;
            let own = if peer.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(own).await?;
            socket.connect(peer).await?;
            for text in texts {
                socket.send(text.as_bytes()).await?;
            }
            return Ok("sent; datagrams are not acknowledged");
        }
        let mut frames = Vec::new();
        for text in texts {
            frames.extend(format!("{} ", text.len()).into_bytes());
            frames.extend(text.into_bytes());
        }
        let stream = TcpStream::connect(&self.config.address).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => hand_over(stream, &frames).await,
            Some((connector, name)) => {
                hand_over(connector.connect(name.clone(), stream).await?, &frames).await
            }
        }
    }
}

#[async_trait]
impl Receiver for Syslog {
    fn place(&self) -> String {
        let transport = match self.config.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        format!("{transport}://{}", self.config.address)
    }

    fn batch(&self) -> usize {
        BATCH
    }

    async fn deliver(&self, messages: &[Message], _: Timestamp) -> Result<Answer, Refusal> {
        match tokio::time::timeout(self.timeout, self.send(messages)).await {
            Ok(Ok(answer)) => Ok(Answer::new(answer)),
            Ok(Err(error)) => Err(Refusal::because(
                &format!("cannot send to `{}`", self.place()),
                &error,
            )),
            Err(_) => Err(Refusal::passing(format!(
                "`{}` has not read everything within {} s",
                self.place(),
                self.timeout.as_secs()
            ))),
        }
    }
}

/// Writes `frames`, ends our side, and waits until the receiver ends its own.
pub(crate) async fn hand_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    frames: &[u8],
) -> io::Result<&'static str> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    writer.write_all(frames).await?;
    writer.shutdown().await?;
    let mut ignored = [0; 512];
    loop {
        match reader.read(&mut ignored).await {
            Ok(0) => return Ok("read to its end by the receiver"),
            Ok(_) => {}
            // Some receivers end TLS without saying so; a connection that breaks says otherwise.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok("read to its end by the receiver");
            }
            Err(error) => return Err(error),
        }
    }
}
