//! Syslog: RFC 5424 and RFC 3164 over UDP, TCP, TLS and Unix sockets.

use std::{io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::{
    Outgoing,
    syslog::{self, Format, Formatter, Framing, Offset},
};
use tokio::net::{UdpSocket, UnixDatagram, lookup_host};

use super::stream::{OneWay, Peer, host_of};
use crate::{
    receiver::Refusal,
    routes::{
        config::{
            ConfigError, RouteConfig, StreamTransport, SyslogConfig, SyslogFormat, SyslogFraming,
            SyslogTransport,
        },
        destination::{Delivered, Destination, Undelivered},
        record::{Part, of_priority},
    },
};

/// Longest text in a datagram, and on a stream, unless it is configured.
const MAX_DATAGRAM_TEXT: usize = 60_000;
const MAX_STREAM_TEXT: usize = 1 << 20;

/// Sends to one syslog server.
pub(crate) struct Syslog {
    config: SyslogConfig,
    formatter: Formatter,
    way: Way,
    max_bytes: usize,
    /// Bytes of a batch; kept for the next one.
    buffer: Vec<u8>,
    data: String,
}

enum Way {
    Stream(OneWay),
    Datagrams(Datagrams),
}

impl Syslog {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &SyslogConfig) -> Result<Self, ConfigError> {
        let (address, seconds) = (&config.address, config.timeout_seconds);
        let stream = |transport| -> Result<Way, ConfigError> {
            let peer = Peer::new(route, transport, address, &config.tls)?;
            Ok(Way::Stream(OneWay::new(peer, config.confirm, seconds)))
        };
        let way = match config.transport {
            SyslogTransport::Tcp => stream(StreamTransport::Tcp)?,
            SyslogTransport::Tls => stream(StreamTransport::Tls)?,
            SyslogTransport::Unix => stream(StreamTransport::Unix)?,
            SyslogTransport::Udp => Way::Datagrams(Datagrams::udp(route, address, seconds)?),
            SyslogTransport::Unixgram if address.starts_with('/') => {
                Way::Datagrams(Datagrams::unix(address.into(), seconds))
            }
            SyslogTransport::Unixgram => {
                return Err(route.wrong("to.address", "is a path that begins with `/`"));
            }
        };
        if config
            .max_bytes
            .is_some_and(|bytes| !(480..=1 << 20).contains(&bytes))
        {
            return Err(route.wrong("to.max_bytes", "is from 480 to 1048576"));
        }
        let (framing, max_bytes) = match (&way, config.framing) {
            (Way::Datagrams(_), _) => (Framing::None, MAX_DATAGRAM_TEXT),
            (_, SyslogFraming::Lf) => (Framing::Lf, MAX_STREAM_TEXT),
            (_, SyslogFraming::OctetCounting) => (Framing::OctetCounting, MAX_STREAM_TEXT),
        };
        let format = match config.format {
            SyslogFormat::Rfc5424 => Format::Rfc5424,
            SyslogFormat::Rfc5424micro => Format::Rfc5424Micro,
            SyslogFormat::Rfc3164 => Format::Rfc3164,
        };
        Ok(Self {
            max_bytes: config.max_bytes.unwrap_or(max_bytes),
            config: config.clone(),
            formatter: Formatter::new(format, framing, Offset::UTC),
            way,
            buffer: Vec::new(),
            data: String::new(),
        })
    }

    /// Appends a message to the buffer; whether its text had to be cut.
    fn write(&mut self, record: &Outgoing<'_>) -> bool {
        self.data.clear();
        if self.config.structured_data && self.config.format != SyslogFormat::Rfc3164 {
            let id = record.id.to_string();
            let container = record.container;
            let parameters = [
                ("id", &*id),
                ("container", container.display_name()),
                ("image", &*container.image),
                ("stream", record.stream),
            ];
            let parameters = parameters.into_iter().filter(|(_, text)| !text.is_empty());
            syslog::structured_data("quaywatch@32473", parameters, &mut self.data);
        }
        let whole = record.text;
        let text = whole.get(..whole.floor_char_boundary(self.max_bytes));
        let text = text.unwrap_or(whole);
        self.formatter.write(
            &syslog::Message {
                facility: self.config.facility as u8,
                severity: record.severity.unwrap_or(of_priority(record.priority)),
                time: record.time,
                hostname: record.hostname,
                app_name: record.tag,
                process_id: "",
                message_id: "",
                structured_data: &self.data,
                text: text.as_bytes(),
            },
            &mut self.buffer,
        );
        text.len() < whole.len()
    }
}

#[async_trait]
impl Destination for Syslog {
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
        self.buffer.clear();
        let mut cut = 0;
        let mut ends = Vec::new();
        for record in part.records() {
            cut += u64::from(self.write(&record.outgoing));
            if matches!(self.way, Way::Datagrams(_)) {
                ends.push(self.buffer.len());
            }
        }
        let bytes = self.buffer.len() as u64;
        let answer = match &mut self.way {
            Way::Stream(stream) => stream.send(&mut self.buffer).await?,
            Way::Datagrams(datagrams) => {
                let mut begin = 0;
                let messages = ends.iter().map(|end| {
                    let message = self.buffer.get(begin..*end).unwrap_or_default();
                    begin = *end;
                    message
                });
                datagrams.send(messages).await?
            }
        };
        Ok(Delivered {
            bytes,
            cut,
            answer: answer.to_owned(),
            ..Delivered::default()
        })
    }
}

/// Sends datagrams to one peer.
pub(super) struct Datagrams {
    peer: DatagramPeer,
    timeout: Duration,
    open: Option<Socket>,
}

enum DatagramPeer {
    Udp(String),
    Unix(PathBuf),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Datagrams {
    pub(super) fn udp(
        route: &RouteConfig,
        address: &str,
        timeout_seconds: u32,
    ) -> Result<Self, ConfigError> {
        host_of(route, address)?;
        Ok(Self::to(
            DatagramPeer::Udp(address.to_owned()),
            timeout_seconds,
        ))
    }

    fn unix(path: PathBuf, timeout_seconds: u32) -> Self {
        Self::to(DatagramPeer::Unix(path), timeout_seconds)
    }

    fn to(peer: DatagramPeer, timeout_seconds: u32) -> Self {
        Self {
            peer,
            timeout: Duration::from_secs(u64::from(timeout_seconds)),
            open: None,
        }
    }

    pub(super) fn place(&self) -> String {
        match &self.peer {
            DatagramPeer::Udp(address) => format!("udp://{address}"),
            DatagramPeer::Unix(path) => format!("unixgram://{}", path.display()),
        }
    }

    /// Sends each message as one datagram. On a failure `done` tells how many are on their way.
    pub(super) async fn send<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m [u8]> + Send,
    ) -> Result<&'static str, Undelivered> {
        let mut done = 0;
        let sent = tokio::time::timeout(self.timeout, async {
            let socket = match &mut self.open {
                Some(socket) => socket,
                None => self.open.insert(connect(&self.peer).await?),
            };
            for message in messages {
                match socket {
                    Socket::Udp(socket) => socket.send(message).await?,
                    Socket::Unix(socket) => socket.send(message).await?,
                };
                done += 1;
            }
            io::Result::Ok(())
        })
        .await;
        let place = self.place();
        let refusal = match sent {
            Ok(Ok(())) => return Ok("sent; datagrams are not acknowledged"),
            // The one that is too long comes first in the next attempt, and is given up when it is alone.
            Ok(Err(error)) if done == 0 && is_too_long(&error) => {
                return Err(Undelivered::Split(format!("`{place}`: {error}")));
            }
            Ok(Err(error)) => Refusal::because(&format!("cannot send to `{place}`"), &error),
            Err(_) => Refusal::passing(format!(
                "`{place}` has not taken everything within {} s",
                self.timeout.as_secs()
            )),
        };
        // Its address may be another one next time.
        self.open = None;
        Err(Undelivered::Later { done, refusal })
    }
}

fn is_too_long(error: &io::Error) -> bool {
    const EMSGSIZE: i32 = 90;
    error.raw_os_error() == Some(EMSGSIZE)
}

async fn connect(peer: &DatagramPeer) -> io::Result<Socket> {
    match peer {
        DatagramPeer::Udp(address) => {
            let peer = lookup_host(address)
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
            Ok(Socket::Udp(socket))
        }
        DatagramPeer::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(Socket::Unix(socket))
        }
    }
}
