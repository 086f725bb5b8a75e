//! Datagrams: read as fast as they come, and counted when the kernel had no room for them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use qw_event::{DropReason, Event, Outcome, Timestamp};
use qw_pipeline::{CancellationToken, SourceError};
use qw_wire::gelf;
use tokio::net::{UdpSocket, UnixDatagram};

use super::{Address, Kind, Shared, convert, lines::Lines, stream::remove_stale};
use crate::clock::now;

/// Room that the kernel is asked to keep for datagrams that wait.
const KERNEL_BYTES: usize = 16 << 20;
/// Largest datagram of UDP; those of socket files are longer, up to what is asked of the kernel.
const DATAGRAM_BYTES: usize = 256 * 1024;
/// Datagrams taken before they are handed on.
const MOST_AT_ONCE: usize = 1_024;
/// Pieces, chunks and the kernel's counter are looked after so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An address at which datagrams come.
pub(super) struct Datagrams {
    socket: Bound,
    /// Number of the socket in the kernel's tables.
    inode: Option<u64>,
}

enum Bound {
    Udp(std::net::UdpSocket),
    Unix(std::os::unix::net::UnixDatagram, PathBuf),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Datagrams {
    /// Takes `address`.
    pub(super) fn bind(address: &Address) -> Result<Self, SourceError> {
        let bound = match address {
            Address::UnixDatagram(path) => remove_stale(path).and_then(|()| {
                let socket = std::os::unix::net::UnixDatagram::bind(path)?;
                socket.set_nonblocking(true)?;
                make_room(&socket);
                Ok((inode(&socket), Bound::Unix(socket, path.clone())))
            }),
            _ => match address.socket() {
                Some(socket) => std::net::UdpSocket::bind(socket).and_then(|socket| {
                    socket.set_nonblocking(true)?;
                    make_room(&socket);
                    Ok((inode(&socket), Bound::Udp(socket)))
                }),
                None => Err(io::ErrorKind::Unsupported.into()),
            },
        };
        let (inode, socket) = bound
            .map_err(|error| SourceError::new(format!("cannot listen at `{address}`"), error))?;
        Ok(Self { socket, inode })
    }

    /// Reads until `stop` fires.
    pub(super) async fn run(
        self,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let failed = |error| SourceError::new("cannot read datagrams", error);
        let mut path = None;
        let socket = match self.socket {
            Bound::Udp(socket) => Socket::Udp(UdpSocket::from_std(socket).map_err(failed)?),
            Bound::Unix(socket, at) => {
                path = Some(at);
                Socket::Unix(UnixDatagram::from_std(socket).map_err(failed)?)
            }
        };
        let mut reader = Reader {
            lines: Lines::new(&shared.config, &shared.options),
            assembler: (shared.config.kind() == Kind::Gelf).then(|| {
                gelf::Assembler::new(gelf::Options {
                    max_message_bytes: shared.options.max_line_bytes,
                    ..gelf::Options::default()
                })
            }),
            newest_host: None,
            dropped: self.inode.and_then(dropped).unwrap_or(0),
            inode: self.inode,
        };
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = look.tick() => {
                    let time = now();
                    shared.with_converter(|converter| reader.lines.flush(converter, time));
                    reader.look(&shared, time);
                }
                ready = socket.readable() => if let Err(error) = ready {
                    shared.intake.status().error(format!("cannot read datagrams: {error}"), now());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
            }
            let time = now();
            shared.with_converter(|converter| {
                for _ in 0..MOST_AT_ONCE {
                    let (length, peer) = match socket.receive(&mut buffer) {
                        Ok(received) => received,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        // An ICMP answer to something else on this port; the next may be well.
                        Err(_) => continue,
                    };
                    let datagram = buffer.get(..length).unwrap_or_default();
                    reader.datagram(&shared, converter, datagram, peer, time);
                }
            });
            let events = reader.lines.take(&shared, time);
            shared.gatherer.send(events).await;
        }
        let time = now();
        shared.with_converter(|converter| reader.lines.finish(converter, time));
        reader.look(&shared, time);
        let events = reader.lines.take(&shared, time);
        shared.gatherer.send(events).await;
        if let Some(path) = path {
            // It may be gone already.
            drop(std::fs::remove_file(path));
        }
        Ok(())
    }
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        match self {
            Self::Udp(socket) => {
                let (length, peer) = socket.try_recv_from(buffer)?;
                Ok((length, Some(peer)))
            }
            Self::Unix(socket) => Ok((socket.try_recv(buffer)?, None)),
        }
    }
}

struct Reader {
    lines: Lines,
    assembler: Option<gelf::Assembler<Option<SocketAddr>>>,
    /// Who sent the newest datagram, and what stands for it.
    newest_host: Option<(Option<IpAddr>, String)>,
    inode: Option<u64>,
    /// What the kernel had thrown away when it was last asked.
    dropped: u64,
}

impl Reader {
    fn datagram(
        &mut self,
        shared: &Shared,
        converter: &mut convert::Converter,
        datagram: &[u8],
        peer: Option<SocketAddr>,
        time: Timestamp,
    ) {
        let address = peer.map(|peer| peer.ip());
        if self
            .newest_host
            .as_ref()
            .is_none_or(|(known, _)| *known != address)
        {
            self.newest_host = Some((address, shared.host_of(address)));
        }
        let host = self.newest_host.as_ref().map_or("", |(_, host)| host);
        let lines = &mut self.lines;
        let Some(assembler) = &mut self.assembler else {
            let message = datagram.strip_suffix(b"\n").unwrap_or(datagram);
            let most = shared.options.max_line_bytes;
            let is_truncated = message.len() > most;
            let message = message.get(..most).unwrap_or(message);
            lines.message(shared, converter, message, host, time, is_truncated);
            return;
        };
        match assembler.datagram(peer, datagram, time) {
            Ok(Some(message)) => lines.message(shared, converter, &message, host, time, false),
            Ok(None) => {}
            Err(fault) => lines.invalid(shared, fault.reason(), fault.to_string().as_bytes()),
        }
    }

    /// Looks for what has been lost since the last time.
    fn look(&mut self, shared: &Shared, time: Timestamp) {
        if let Some(assembler) = &mut self.assembler {
            let given_up = assembler.expire(time);
            self.lost(
                shared,
                given_up,
                "chunks",
                "messages of which chunks never came",
                time,
            );
        }
        if let Some(total) = self.inode.and_then(dropped) {
            let since = total.saturating_sub(self.dropped);
            self.dropped = total;
            self.lost(
                shared,
                since,
                "datagrams",
                "datagrams that the kernel had no room for",
                time,
            );
        }
    }

    fn lost(&mut self, shared: &Shared, records: u64, reason: &str, what: &str, time: Timestamp) {
        if records == 0 {
            return;
        }
        self.lines.others(records);
        let outcome = Outcome::Dropped(DropReason::QueueFull);
        shared.intake.status().count(outcome, records);
        self.lines
            .events
            .push(gap(shared, records, reason, what, time));
    }
}

fn gap(shared: &Shared, records: u64, reason: &str, what: &str, time: Timestamp) -> Event {
    let id = shared.config.source_id();
    let text = format!("{records} {what} were lost on their way to `{id}`");
    let fields = serde_json::json!({"log.gap.reason": reason, "log.gap.records": records});
    convert::gap(shared, id.as_str(), &text, &fields, time)
}

/// Asks the kernel to keep more than it usually does for a socket.
fn make_room(socket: &impl AsFd) {
    use rustix::net::sockopt;
    // Only root may take more than the system's usual bound.
    if sockopt::set_socket_recv_buffer_size_force(socket, KERNEL_BYTES).is_err() {
        // What it allows is enough to go on.
        sockopt::set_socket_recv_buffer_size(socket, KERNEL_BYTES).unwrap_or_default();
    }
}

fn inode(socket: &impl AsFd) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|status| status.st_ino)
}

/// Datagrams for the socket `inode` that the kernel had no room for, since it was opened.
fn dropped(inode: u64) -> Option<u64> {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| dropped_in(&table, inode))
}

/// Columns of the table: the tenth is the inode, the last the count.
fn dropped_in(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let own = columns.get(9)?.parse::<u64>().ok()?;
        (own == inode)
            .then(|| columns.last()?.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_table_tells_what_was_thrown_away() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n  100: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12345 2 0000000000000000 17        \n";
        assert_eq!(dropped_in(table, 12345), Some(17));
        assert_eq!(dropped_in(table, 1), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(dropped(inode(&socket).unwrap()), Some(0));
    }
}
