//! One connection per call: unix socket, TCP, or TLS, with HTTP/1.1 on it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream, UnixStream},
    task::AbortHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Endpoint, Error, Result, TlsFiles};

/// How to reach one engine.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
}

/// The body of an answer, with the connection that carries it.
#[derive(Debug)]
pub(crate) struct Body {
    incoming: Incoming,
    call: String,
    _connection: Connection,
}

/// Ends the connection's task when the answer is no longer wanted.
#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        let tls = match &endpoint {
            Endpoint::Tls { files, .. } => Some(Arc::new(client_config(files)?)),
            Endpoint::Unix(_) | Endpoint::Tcp { .. } => None,
        };
        Ok(Self { endpoint, tls })
    }

    /// Sends `request` on a connection of its own; waits at most `within` for the answer's head.
    pub(crate) async fn send(
        &self,
        call: &str,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Response<Body>> {
        let exchange = async {
            let stream = self.connect().await?;
            let broken = |source| Error::Broken {
                call: call.to_owned(),
                source,
            };
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(broken)?;
            let task = tokio::spawn(async move {
                // What goes wrong here also ends the body, which reports it.
                drop(connection.await);
            });
            let connection = Connection(task.abort_handle());
            let response = sender.send_request(request).await.map_err(broken)?;
            Ok(response.map(|incoming| Body {
                incoming,
                call: call.to_owned(),
                _connection: connection,
            }))
        };
        tokio::time::timeout(within, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(Error::TimedOut {
                    call: call.to_owned(),
                    after: within,
                })
            })
    }

    async fn connect(&self) -> Result<Stream> {
        let connected = match &self.endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Endpoint::Tcp { host, port } => connect_tcp(host, *port).await.map(Stream::Tcp),
            Endpoint::Tls { host, port, .. } => self.connect_tls(host, *port).await,
        };
        connected.map_err(|source| {
            let endpoint = self.endpoint.to_string();
            match source.kind() {
                io::ErrorKind::ConnectionRefused => Error::Refused { endpoint },
                io::ErrorKind::NotFound => Error::NoSocket { endpoint },
                io::ErrorKind::PermissionDenied => Error::PermissionDenied { endpoint },
                _ => Error::Connect { endpoint, source },
            }
        })
    }

    async fn connect_tls(&self, host: &str, port: u16) -> io::Result<Stream> {
        let config = self
            .tls
            .clone()
            .ok_or_else(|| io::Error::other("TLS is not set up"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tcp = connect_tcp(host, port).await?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(Stream::Tls(Box::new(tls)))
    }
}

impl Body {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.incoming.frame().await {
                None => return Ok(None),
                Some(Err(source)) => {
                    return Err(Error::Broken {
                        call: self.call.clone(),
                        source,
                    });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole, at most `limit` bytes and `within` this time.
    pub(crate) async fn collect(mut self, limit: usize, within: Duration) -> Result<Bytes> {
        let call = self.call.clone();
        let collect = async {
            let mut all = Vec::new();
            while let Some(piece) = self.next().await? {
                if all.len() + piece.len() > limit {
                    return Err(Error::TooLarge {
                        call: self.call.clone(),
                        limit,
                    });
                }
                all.extend_from_slice(&piece);
            }
            Ok(Bytes::from(all))
        };
        tokio::time::timeout(within, collect)
            .await
            .unwrap_or_else(|_| {
                Err(Error::TimedOut {
                    call,
                    after: within,
                })
            })
    }

    pub(crate) fn call(&self) -> &str {
        &self.call
    }
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Streams may be silent for hours; this finds out that the peer has gone.
        socket.set_keepalive(true)?;
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(if failure.kind() == io::ErrorKind::NotFound {
        io::Error::other(failure)
    } else {
        failure
    })
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig> {
    let unusable = |file: &std::path::Path, reason: String| Error::Tls {
        file: file.display().to_string(),
        reason,
    };
    let certificates = |file: &std::path::Path| {
        let read =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(found) if found.is_empty() => Err(unusable(file, "it holds no certificate".into())),
            Ok(found) => Ok(found),
            Err(error) => Err(unusable(file, error.to_string())),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.authorities)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(&files.authorities, error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.authorities, error.to_string()))?
        .with_root_certificates(roots);
    match &files.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unusable(key, error.to_string()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| unusable(certificate, error.to_string()))
        }
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
