//! Connections: accepted, bounded, decrypted, read no faster than what they bring is stored.

use std::{
    io,
    net::IpAddr,
    os::unix::{fs::FileTypeExt as _, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use qw_pipeline::{CancellationToken, SourceError};
use qw_tls::{Tls, TlsFiles};
use qw_wire::{gelf, syslog};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{Address, Kind, Shared, fluentd, held::Held, lines::Lines};
use crate::clock::now;

/// First and largest room for what is read at once.
const READ_BYTES: std::ops::RangeInclusive<usize> = 4 * 1024..=256 * 1024;
/// Pieces of lines are looked after so often.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Time that connections have to hand over what they have read, after the stop.
const END_WITHIN: Duration = Duration::from_secs(5);

/// An address at which connections are accepted.
pub(super) struct Streams {
    listening: Listening,
    tls: Option<Arc<Tls>>,
}

enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

impl Streams {
    /// Takes `address`.
    pub(super) fn bind(address: &Address, tls: Option<TlsFiles>) -> Result<Self, SourceError> {
        let doing = || format!("cannot listen at `{address}`");
        let listening = match address {
            Address::Unix(path) => {
                remove_stale(path).map_err(|error| SourceError::new(doing(), error))?;
                std::os::unix::net::UnixListener::bind(path)
                    .map(|listener| Listening::Unix(listener, path.clone()))
            }
            _ => match address.socket() {
                Some(socket) => std::net::TcpListener::bind(socket).map(Listening::Tcp),
                None => Err(io::ErrorKind::Unsupported.into()),
            },
        };
        let listening = listening
            .and_then(|listening| {
                match &listening {
                    Listening::Tcp(listener) => listener.set_nonblocking(true)?,
                    Listening::Unix(listener, _) => listener.set_nonblocking(true)?,
                }
                Ok(listening)
            })
            .map_err(|error| SourceError::new(doing(), error))?;
        let tls = match tls.filter(|_| address.is_encrypted()) {
            Some(files) => Some(Arc::new(
                Tls::load(files, &[]).map_err(|error| SourceError::new(doing(), error))?,
            )),
            None => None,
        };
        Ok(Self { listening, tls })
    }

    /// Accepts until `stop` fires, then lets connections hand over what they have read.
    pub(super) async fn run(
        self,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let failed = |error| SourceError::new("cannot accept connections", error);
        let acceptor = match self.listening {
            Listening::Tcp(listener) => {
                Acceptor::Tcp(TcpListener::from_std(listener).map_err(failed)?)
            }
            Listening::Unix(listener, path) => {
                Acceptor::Unix(UnixListener::from_std(listener).map_err(failed)?, path)
            }
        };
        let places = Arc::new(Semaphore::new(shared.options.max_connections.max(1)));
        let connections = TaskTracker::new();
        let mut reload = tokio::time::interval(Duration::from_secs(5));
        reload.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (accepted, place) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = reload.tick(), if self.tls.is_some() => {
                    if let Some(tls) = &self.tls {
                        tls.reload();
                    }
                    continue;
                }
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await;
                    (acceptor.accept().await, place)
                } => accepted,
            };
            let (shared, stop, tls) = (Arc::clone(&shared), stop.clone(), self.tls.clone());
            match accepted {
                Ok(Accepted::Tcp(stream, peer)) => connections.spawn(async move {
                    let _place = place;
                    tcp(&shared, stream, peer, tls, &stop).await;
                }),
                Ok(Accepted::Unix(stream)) => connections.spawn(async move {
                    let _place = place;
                    connection(&shared, stream, None, &stop).await;
                }),
                Err(error) => {
                    // Out of descriptors, or the sender is gone already: the next may fare better.
                    shared
                        .intake
                        .status()
                        .error(format!("cannot accept a connection: {error}"), now());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
        }
        drop(acceptor);
        connections.close();
        // Each ends by itself; one whose sender hangs in a handshake is not waited for.
        drop(timeout(END_WITHIN, connections.wait()).await);
        Ok(())
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer.ip()))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Removes the socket that a process left behind; one at which somebody listens stays.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of this name that is no socket",
        ));
    }
    let is_dead = match StdUnixStream::connect(path) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    };
    if is_dead {
        std::fs::remove_file(path)
    } else {
        Ok(())
    }
}

async fn tcp(
    shared: &Shared,
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<Arc<Tls>>,
    stop: &CancellationToken,
) {
    let Some(tls) = tls else {
        return connection(shared, stream, Some(peer), stop).await;
    };
    let handshake = timeout(shared.options.greet_within, tls.acceptor().accept(stream));
    let failed = |text: String| {
        let text = format!("TLS with {peer}: {text}");
        shared.intake.status().error(text, now());
    };
    match stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => connection(shared, stream, Some(peer), stop).await,
        Some(Ok(Err(error))) => failed(error.to_string()),
        Some(Err(_)) => failed("the handshake took too long".to_owned()),
        None => {}
    }
}

async fn connection(
    shared: &Shared,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    peer: Option<IpAddr>,
    stop: &CancellationToken,
) {
    let host = shared.host_of(peer);
    let ended = match shared.config.kind() {
        Kind::Fluentd => fluentd::connection(shared, stream, &host, stop).await,
        _ => messages(shared, stream, &host, stop).await,
    };
    if let Err(text) = ended {
        let peer = peer.map_or_else(|| "a local sender".to_owned(), |peer| peer.to_string());
        shared
            .intake
            .status()
            .error(format!("{peer}: {text}"), now());
    }
}

/// What cuts a stream into messages.
enum Framer {
    Syslog(syslog::Framer),
    Gelf(gelf::Framer),
}

/// Reads messages of syslog or GELF until the sender ends, breaks off, is silent for too long, or
/// `stop` fires. The error says what was wrong, with the place in the stream.
async fn messages(
    shared: &Shared,
    mut stream: impl AsyncRead + Unpin,
    host: &str,
    stop: &CancellationToken,
) -> Result<(), String> {
    let most = shared.options.max_line_bytes;
    let mut framer = match shared.config.kind() {
        Kind::Gelf => Framer::Gelf(gelf::Framer::new(most)),
        _ => Framer::Syslog(syslog::Framer::new(most)),
    };
    let mut lines = Lines::new(&shared.config, &shared.options);
    let mut buffer = vec![0; *READ_BYTES.start()];
    let mut ended = Ok(());
    let mut held = Held::default();
    loop {
        let wait = if lines.is_waiting() {
            FLUSH_EVERY
        } else {
            shared.options.idle
        };
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            read = timeout(wait, stream.read(&mut buffer)) => read,
        };
        let time = now();
        let length = match read {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => length,
            Ok(Err(error)) => {
                ended = Err(format!("the connection broke: {error}"));
                break;
            }
            Err(_) if lines.is_waiting() => {
                shared.with_converter(|converter| lines.flush(converter, time));
                shared.gatherer.send(lines.take(shared, time)).await;
                continue;
            }
            Err(_) => {
                ended = Err("nothing came for too long; the connection is closed".to_owned());
                break;
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        shared.with_converter(|converter| {
            let mut each = |message: &[u8], is_truncated: bool| {
                lines.message(shared, converter, message, host, time, is_truncated);
            };
            let fed = match &mut framer {
                Framer::Syslog(framer) => framer
                    .feed(bytes, &mut |frame| each(frame.bytes, frame.is_truncated))
                    .map_err(|fault| (fault.to_string(), fault.reason())),
                Framer::Gelf(framer) => {
                    framer.feed(bytes, &mut |frame| each(frame.bytes, frame.is_truncated));
                    Ok(())
                }
            };
            if let Err((text, reason)) = fed {
                lines.invalid(shared, reason, text.as_bytes());
            }
            if lines.is_waiting() {
                lines.flush(converter, time);
            }
        });
        shared.gatherer.send(lines.take(shared, time)).await;
        let pending = match &framer {
            Framer::Syslog(framer) => framer.pending_bytes(),
            Framer::Gelf(framer) => framer.pending_bytes(),
        };
        if let Err(text) = held.set(&shared.memory, pending) {
            ended = Err(text);
            break;
        }
        if length == buffer.len() && length < *READ_BYTES.end() {
            buffer.resize(length * 4, 0);
        }
    }
    let time = now();
    shared.with_converter(|converter| {
        let mut each = |message: &[u8], is_truncated: bool| {
            lines.message(shared, converter, message, host, time, is_truncated);
        };
        match &mut framer {
            Framer::Syslog(framer) => {
                framer.finish(&mut |frame| each(frame.bytes, frame.is_truncated));
            }
            Framer::Gelf(framer) => {
                framer.finish(&mut |frame| each(frame.bytes, frame.is_truncated));
            }
        }
        lines.finish(converter, time);
    });
    shared.gatherer.send(lines.take(shared, time)).await;
    ended
}
