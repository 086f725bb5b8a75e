//! Connections to destinations that take a stream of bytes.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    config::TlsConfig,
    receiver::Refusal,
    routes::config::{ConfigError, Confirm, RouteConfig, StreamTransport},
    syslog::hand_over,
    tls,
};

/// Both directions of a connection.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Connection for T {}

/// Where a connection leads.
pub(super) enum Peer {
    Tcp(String),
    Tls {
        address: String,
        connector: TlsConnector,
        name: ServerName<'static>,
    },
    Unix(PathBuf),
}

impl Peer {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(super) fn new(
        route: &RouteConfig,
        transport: StreamTransport,
        address: &str,
        tls: &TlsConfig,
    ) -> Result<Self, ConfigError> {
        if transport == StreamTransport::Unix {
            if !address.starts_with('/') {
                return Err(route.wrong("to.address", "is a path that begins with `/`"));
            }
            return Ok(Self::Unix(address.into()));
        }
        let host = host_of(route, address)?;
        if transport == StreamTransport::Tcp {
            return Ok(Self::Tcp(address.to_owned()));
        }
        let client = tls::client(tls).map_err(|problem| route.wrong("to.tls", problem))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| route.wrong("to.address", "names no host"))?;
        Ok(Self::Tls {
            address: address.to_owned(),
            connector: TlsConnector::from(Arc::new(client)),
            name,
        })
    }

    /// Where it leads, in words.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Tcp(address) => format!("tcp://{address}"),
            Self::Tls { address, .. } => format!("tls://{address}"),
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    pub(super) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(tcp(address).await?),
            Self::Tls {
                address,
                connector,
                name,
            } => Box::new(connector.connect(name.clone(), tcp(address).await?).await?),
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }

    /// The same without TLS, for protocols in which it begins later ([`Self::encrypt`]).
    pub(super) async fn connect_plain(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tcp(address) | Self::Tls { address, .. } => Ok(Box::new(tcp(address).await?)),
            Self::Unix(_) => self.connect().await,
        }
    }

    /// Begins TLS on `connection`, when it is wanted.
    pub(super) async fn encrypt(
        &self,
        connection: Box<dyn Connection>,
    ) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tls {
                connector, name, ..
            } => Ok(Box::new(connector.connect(name.clone(), connection).await?)),
            Self::Tcp(_) | Self::Unix(_) => Ok(connection),
        }
    }

    /// Whether it is meant to be reached over TLS.
    pub(super) const fn has_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The host of `host:port`, or what is wrong with it.
pub(super) fn host_of<'a>(route: &RouteConfig, address: &'a str) -> Result<&'a str, ConfigError> {
    address
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
        .map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
        .filter(|host| !host.is_empty())
        .ok_or_else(|| route.wrong("to.address", "is a host and a port, as in `host:514`"))
}

/// Hands batches of bytes to a peer whose protocol knows no answers.
pub(super) struct OneWay {
    peer: Peer,
    confirm: Confirm,
    timeout: Duration,
    open: Option<Box<dyn Connection>>,
    /// What was written last on `open`: sent again when it breaks.
    last: Vec<u8>,
}

impl OneWay {
    pub(super) fn new(peer: Peer, confirm: Confirm, timeout_seconds: u32) -> Self {
        Self {
            peer,
            confirm,
            timeout: Duration::from_secs(u64::from(timeout_seconds)),
            open: None,
            last: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> String {
        self.peer.place()
    }

    /// Hands on `bytes`; returns what happened in words once they count as taken. `bytes` is changed only
    /// when they are kept.
    pub(super) async fn send(&mut self, bytes: &mut Vec<u8>) -> Result<&'static str, Refusal> {
        let timeout = self.timeout;
        let sent = match self.confirm {
            Confirm::Close => {
                tokio::time::timeout(timeout, async {
                    hand_over(self.peer.connect().await?, bytes).await
                })
                .await
            }
            Confirm::Written => tokio::time::timeout(timeout, self.write(bytes)).await,
        };
        let place = self.peer.place();
        let refusal = match sent {
            Ok(Ok(answer)) => {
                if self.confirm == Confirm::Written {
                    std::mem::swap(&mut self.last, bytes);
                }
                return Ok(answer);
            }
            Ok(Err(error)) => Refusal::because(&format!("cannot send to `{place}`"), &error),
            Err(_) => Refusal::passing(format!(
                "`{place}` has not read everything within {} s",
                timeout.as_secs()
            )),
        };
        self.open = None;
        Err(refusal)
    }

    /// Sends the last batch again when the connection that it went through has ended since.
    pub(super) async fn idle(&mut self) -> Result<(), Refusal> {
        if self.last.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(self.timeout, self.write(&[])).await;
        let place = self.peer.place();
        let refusal = match sent {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Refusal::because(&format!("cannot send to `{place}`"), &error),
            Err(_) => Refusal::passing(format!("`{place}` cannot be reached in time")),
        };
        self.open = None;
        Err(refusal)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<&'static str> {
        if let Some(open) = &mut self.open
            && has_ended(open).await
        {
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let open = self.open.insert(self.peer.connect().await?);
                open.write_all(&self.last).await?;
                open
            }
        };
        open.write_all(bytes).await?;
        open.flush().await?;
        Ok("written")
    }
}

/// Whether the peer has ended the connection, as far as that can be seen without waiting.
async fn has_ended(connection: &mut Box<dyn Connection>) -> bool {
    use std::{future::poll_fn, pin::Pin, task::Poll};
    let mut ignored = [0; 512];
    poll_fn(|context| {
        loop {
            let mut buffer = tokio::io::ReadBuf::new(&mut ignored);
            match Pin::new(&mut *connection).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Ready(false),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(true),
            }
        }
    })
    .await
}
