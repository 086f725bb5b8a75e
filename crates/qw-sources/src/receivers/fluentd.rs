//! Fluentd's forward protocol: greeting, messages, and an acknowledgement for each chunk that is on disk.
//!
//! One exception: a piece of a line is acknowledged when it is held in memory, because Docker's driver
//! sends the next piece only then. Pieces are held for the receiver as a whole, so a line goes on over a
//! new connection.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use qw_event::{Event, Outcome};
use qw_pipeline::CancellationToken;
use qw_wire::forward::{self, Decoder, Helo, Limits, Ping, Pong};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::{Shared, held::Held};
use crate::clock::now;

/// Room for what is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Entries of one message at most.
const MOST_ENTRIES: usize = 100_000;
/// Chunks that are remembered, to know one that is sent again because its acknowledgement was lost.
const REMEMBERED_CHUNKS: usize = 8_192;
/// A chunk's name is 16 random bytes in base64; a longer one is not remembered.
const CHUNK_BYTES: usize = 256;

/// Chunks that are on disk.
#[derive(Default)]
pub(super) struct Chunks(Mutex<Known>);

#[derive(Default)]
struct Known {
    names: BTreeSet<Box<[u8]>>,
    /// The oldest first.
    order: VecDeque<Box<[u8]>>,
}

impl Chunks {
    fn contains(&self, chunk: &[u8]) -> bool {
        self.0.lock().names.contains(chunk)
    }

    fn insert(&self, chunk: &[u8]) {
        if chunk.len() > CHUNK_BYTES {
            return;
        }
        let mut known = self.0.lock();
        if !known.names.insert(chunk.into()) {
            return;
        }
        known.order.push_back(chunk.into());
        if known.order.len() > REMEMBERED_CHUNKS
            && let Some(oldest) = known.order.pop_front()
        {
            known.names.remove(&oldest);
        }
    }
}

/// Reads messages until the sender ends or breaks off, or `stop` fires. The error says what was wrong.
pub(super) async fn connection(
    shared: &Shared,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    stop: &CancellationToken,
) -> Result<(), String> {
    let mut decoder = Decoder::new(Limits {
        max_entries: MOST_ENTRIES,
        ..Limits::default()
    });
    let mut buffer = vec![0; READ_BYTES];
    let mut held = Held::default();
    if shared.forward_key.is_some() {
        let greeting = greet(shared, &mut stream, &mut decoder, &mut buffer);
        match stop
            .run_until_cancelled(timeout(shared.options.greet_within, greeting))
            .await
        {
            Some(Ok(result)) => result?,
            Some(Err(_)) => return Err("the greeting took too long".to_owned()),
            None => return Ok(()),
        }
    }
    loop {
        while let Some((events, chunk)) = message(shared, &mut decoder, host)? {
            let Some(chunk) = chunk else {
                shared.gatherer.send(events).await;
                continue;
            };
            shared
                .gatherer
                .store(events)
                .await
                .map_err(|error| format!("a chunk is not acknowledged: {error}"))?;
            shared.chunks.insert(&chunk);
            let answer = forward::ack(&chunk);
            match timeout(shared.options.greet_within, stream.write_all(&answer)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    return Err(format!("an acknowledgement could not be sent: {error}"));
                }
                Err(_) => return Err("the sender does not take acknowledgements".to_owned()),
            }
        }
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            read = timeout(shared.options.idle, stream.read(&mut buffer)) => read,
        };
        match read {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(Ok(length)) => {
                decoder.feed(buffer.get(..length).unwrap_or_default());
                held.set(&shared.memory, decoder.pending_bytes())?;
            }
            Ok(Err(error)) => return Err(format!("the connection broke: {error}")),
        }
    }
}

type Taken = (Vec<Event>, Option<Vec<u8>>);

/// The records of the next message, and the name of its chunk; `None` when it is not complete. A chunk
/// that is on disk already has no records.
fn message(shared: &Shared, decoder: &mut Decoder, host: &str) -> Result<Option<Taken>, String> {
    let time = now();
    let status = shared.intake.status();
    let message = match decoder.next() {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(None),
        Err(fault) => {
            status.received(1, 0, time);
            status.invalid(fault.reason(), fault.to_string().as_bytes());
            return Err(format!("{fault}; the connection is closed"));
        }
    };
    let chunk = message.chunk.map(<[u8]>::to_vec);
    let is_known = chunk
        .as_ref()
        .is_some_and(|chunk| shared.chunks.contains(chunk));
    let mut lines = shared.lines.lock();
    shared.with_converter(|converter| {
        message.for_each(&mut |entry| match entry {
            Ok(_) if is_known => {
                lines.others(1);
                status.count(Outcome::Duplicate, 1);
            }
            Ok(entry) => lines.line(converter, entry, host, time, false),
            Err(fault) => {
                lines.invalid(shared, fault.reason(), fault.to_string().as_bytes());
            }
        });
    });
    Ok(Some((lines.take(shared, time), chunk)))
}

/// Ends lines whose next piece does not come, until `stop` fires.
pub(super) async fn end_lines(shared: &Shared, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let time = now();
        let events = {
            let mut lines = shared.lines.lock();
            shared.with_converter(|converter| lines.flush(converter, time));
            lines.take(shared, time)
        };
        shared.gatherer.send(events).await;
    }
}

/// The handshake with a shared key.
async fn greet(
    shared: &Shared,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    decoder: &mut Decoder,
    buffer: &mut [u8],
) -> Result<(), String> {
    let key = shared.forward_key.as_deref().unwrap_or_default();
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| format!("no random numbers: {error}"))?;
    let helo = Helo {
        nonce: nonce.as_slice().into(),
        auth_salt: [].as_slice().into(),
        keepalive: true,
    };
    let broken = |error: std::io::Error| format!("the connection broke in the greeting: {error}");
    stream.write_all(&helo.encode()).await.map_err(broken)?;
    loop {
        if let Some(value) = decoder.next_value().map_err(|fault| fault.to_string())? {
            let ping = Ping::decode(value).map_err(|fault| fault.to_string())?;
            let is_known = ping.knows_key(&helo, key);
            let pong = if is_known {
                Pong::accept(&helo, &ping, &shared.options.hostname, key)
            } else {
                Pong::refuse("shared_key mismatch")
            };
            let sender = ping.hostname.chars().take(100).collect::<String>();
            stream.write_all(&pong.encode()).await.map_err(broken)?;
            return if is_known {
                Ok(())
            } else {
                Err(format!("`{sender}` does not know the shared key"))
            };
        }
        match stream.read(buffer).await.map_err(broken)? {
            0 => return Err("the sender left in the greeting".to_owned()),
            length => decoder.feed(buffer.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_chunks_are_remembered() {
        let chunks = Chunks::default();
        for number in 0..=REMEMBERED_CHUNKS {
            chunks.insert(&number.to_le_bytes());
            chunks.insert(&number.to_le_bytes());
        }
        assert!(!chunks.contains(&0_usize.to_le_bytes()));
        assert!(chunks.contains(&1_usize.to_le_bytes()));
        chunks.insert(&[0; 1000]);
        assert!(!chunks.contains(&[0; 1000]));
    }
}
