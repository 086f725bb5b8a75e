//! Connections: accepted, bounded, encrypted when asked, ended in good order.

mod patience;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use qw_tls::{Tls, TlsError, TlsFiles};

use self::patience::Patience;
use crate::guard::Peer;

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// TLS; without it, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// True answers metrics and takes events without credentials though not bound to loopback.
    pub open: bool,
    /// Names besides loopback's under which a listener on loopback may be asked, such as the name
    /// of a proxy in front of it.
    pub allowed_hosts: Vec<String>,
    /// Connections at the same time; more wait in the backlog of the system.
    pub max_connections: usize,
    /// Longest time for a TLS handshake, and for the head of a request.
    pub header_timeout: Duration,
    /// Longest time for which a client may take nothing of an answer.
    pub write_timeout: Duration,
    /// Clients may speak HTTP/2 without TLS and without asking first, as gRPC does.
    pub plain_http2: bool,
    /// Time that open requests have to end after the stop.
    pub shutdown_deadline: Duration,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            tls: None,
            open: false,
            allowed_hosts: Vec::new(),
            max_connections: 1_024,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            plain_http2: false,
            shutdown_deadline: Duration::from_secs(5),
        }
    }
}

/// Why a listener cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket does not tell its address.
    #[error("cannot read the address of a listening socket")]
    Address(#[source] io::Error),
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Fires for handlers whose answer has no end, when the listener stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

/// Answers connections of `listener` with `router` until `stop` fires and open requests have ended
/// or the deadline has passed.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    options: &ListenerOptions,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let tls = options
        .tls
        .clone()
        .map(|files| Tls::load(files, &["h2", "http/1.1"]))
        .transpose()?
        .map(Arc::new);
    let places = Arc::new(Semaphore::new(options.max_connections.max(1)));
    let connections = TaskTracker::new();
    let kill = CancellationToken::new();
    let mut reload = tokio::time::interval(Duration::from_secs(5));
    reload.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = reload.tick(), if tls.is_some() => {
                if let Some(tls) = &tls {
                    tls.reload();
                }
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else {
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            tls: tls.clone(),
            address,
            header_timeout: options.header_timeout,
            write_timeout: options.write_timeout,
            plain_http2: options.plain_http2,
            stop: stop.clone(),
        };
        let kill = kill.clone();
        connections.spawn(async move {
            tokio::select! {
                () = kill.cancelled() => {}
                () = connection.run(stream) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(options.shutdown_deadline, connections.wait())
        .await
        .is_err()
    {
        tracing::info!(
            connections = connections.len(),
            "closing connections that did not end"
        );
        kill.cancel();
        connections.wait().await;
    }
    Ok(())
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Messages of streams are small and should leave at once.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            Some((stream, address, place))
        }
        Err(error) => {
            // Out of descriptors, or the client is gone already: the next may fare better.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

struct Connection {
    router: Router,
    tls: Option<Arc<Tls>>,
    address: SocketAddr,
    header_timeout: Duration,
    write_timeout: Duration,
    plain_http2: bool,
    stop: CancellationToken,
}

/// True when the first bytes are those of HTTP/2 spoken without being asked for (RFC 9113, section
/// 3.3), as gRPC does without TLS. No method of HTTP/1 begins like that.
async fn begins_with_http2(stream: &TcpStream, within: Duration) -> bool {
    let mut first = [0; 3];
    loop {
        match tokio::time::timeout(within, stream.peek(&mut first)).await {
            Ok(Ok(length)) if length == first.len() => return &first == b"PRI",
            Ok(Ok(length @ 1..)) if b"PRI".starts_with(first.get(..length).unwrap_or_default()) => {
                // The rest of three bytes is on its way.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => return false,
        }
    }
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let address = self.address;
        let Some(tls) = self.tls.clone() else {
            let peer = Peer {
                address,
                certified: false,
                encrypted: false,
            };
            return if self.plain_http2 && begins_with_http2(&stream, self.header_timeout).await {
                self.http2(stream, peer).await;
            } else {
                self.http1(stream, peer).await;
            };
        };
        let handshake = tls.acceptor().accept(stream);
        match tokio::time::timeout(self.header_timeout, handshake).await {
            Ok(Ok(stream)) => {
                let (_, session) = stream.get_ref();
                let certified = session
                    .peer_certificates()
                    .is_some_and(|chain| !chain.is_empty());
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let peer = Peer {
                    address,
                    certified,
                    encrypted: true,
                };
                if is_http2 {
                    self.http2(stream, peer).await;
                } else {
                    self.http1(stream, peer).await;
                }
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: Peer,
    ) {
        let io = TokioIo::new(Patience::new(stream, self.write_timeout));
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(64 * 1024);
        let mut connection = pin!(builder.serve_connection(io, service(&self.router, peer)));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        note_end(ended, peer);
    }

    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: Peer,
    ) {
        let io = TokioIo::new(Patience::new(stream, self.write_timeout));
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .max_concurrent_streams(64)
            .max_header_list_size(64 * 1024)
            .max_send_buf_size(256 * 1024);
        let mut connection = pin!(builder.serve_connection(io, service(&self.router, peer)));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        note_end(ended, peer);
    }
}

fn service(
    router: &Router,
    peer: Peer,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + use<> {
    let router = router.clone();
    service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().call(request)
    })
}

fn note_end(ended: Result<(), hyper::Error>, peer: Peer) {
    if let Err(error) = ended {
        tracing::debug!(
            address = %peer.address,
            error = crate::problem::chain(&error),
            "a connection broke"
        );
    }
}
