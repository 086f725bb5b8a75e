//! Conversations with brokers: connections that stay open, and what is said on them both ways.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use qw_wire::Fault;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::stream::{Connection, Peer};
use crate::{
    receiver::{Refusal, chain},
    secret::{Secret, SecretFrom},
};

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// Most bytes of the peer that may wait to be understood.
const MAX_UNREAD: usize = 256 << 10;

/// A connection, and what the peer has said that is not understood yet.
pub(super) struct Session {
    connection: Box<dyn Connection>,
    unread: Vec<u8>,
    /// Bytes at the beginning of `unread` that are done.
    done: usize,
    place: String,
    timeout: Duration,
}

impl Session {
    /// Connects to `peer`; `with_tls` says whether its transport begins at once.
    pub(super) async fn open(
        peer: &Peer,
        timeout_seconds: u32,
        with_tls: bool,
    ) -> Result<Self, Refusal> {
        let place = peer.place();
        let wait = Duration::from_secs(u64::from(timeout_seconds));
        let connecting = async {
            if with_tls {
                peer.connect().await
            } else {
                peer.connect_plain().await
            }
        };
        let connection = match timeout(wait, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                return Err(Refusal::because(&format!("cannot reach `{place}`"), &error));
            }
            Err(_) => {
                let seconds = wait.as_secs();
                return Err(Refusal::passing(format!(
                    "`{place}` cannot be reached within {seconds} s"
                )));
            }
        };
        Ok(Self {
            connection,
            unread: Vec::new(),
            done: 0,
            place,
            timeout: wait,
        })
    }

    /// Goes on over TLS.
    pub(super) async fn encrypt(self, peer: &Peer) -> Result<Self, Refusal> {
        if self.unread.len() > self.done {
            // Whatever was said before belongs to nobody whom we know.
            return Err(Refusal::passing(format!(
                "`{}` says more before TLS begins than it may",
                self.place
            )));
        }
        match timeout(self.timeout, peer.encrypt(self.connection)).await {
            Ok(Ok(connection)) => Ok(Self {
                connection,
                unread: Vec::new(),
                done: 0,
                ..self
            }),
            Ok(Err(error)) => Err(Refusal::because(
                &format!("cannot encrypt the connection to `{}`", self.place),
                &error,
            )),
            Err(_) => Err(Refusal::passing(format!(
                "`{}` does not begin TLS in time",
                self.place
            ))),
        }
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Writes all of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        // In pieces, so that each has the whole time: a slow peer is none that hangs.
        for piece in bytes.chunks(1 << 20) {
            self.bounded_write(piece).await?;
        }
        Ok(())
    }

    async fn bounded_write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let connection = &mut self.connection;
        let writing = async {
            connection.write_all(bytes).await?;
            connection.flush().await
        };
        match timeout(self.timeout, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::because(
                &format!("cannot send to `{}`", self.place),
                &error,
            )),
            Err(_) => Err(self.silent("does not read what it is sent")),
        }
    }

    /// The next thing that the peer says, as `parse` understands it: what it is, and its length; `None`
    /// while more bytes are needed.
    pub(super) async fn next<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Fault>,
    ) -> Result<T, Refusal> {
        loop {
            if let Some(said) = self.understood(&parse)? {
                return Ok(said);
            }
            self.make_room()?;
            self.unread.reserve(READ);
            let reading = self.connection.read_buf(&mut self.unread);
            match timeout(self.timeout, reading).await {
                Ok(Ok(0)) => return Err(self.ended()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let doing = format!("cannot read the answer of `{}`", self.place);
                    return Err(Refusal::because(&doing, &error));
                }
                Err(_) => return Err(self.silent("does not answer")),
            }
        }
    }

    /// What the peer has said already, as `parse` understands it, without waiting.
    pub(super) fn understood<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Fault>,
    ) -> Result<Option<T>, Refusal> {
        let found = parse(self.unread.get(self.done..).unwrap_or_default())
            .map_err(|fault| self.unclear(&fault))?;
        Ok(found.map(|(said, length)| {
            self.done += length;
            said
        }))
    }

    /// Takes in what the peer has said without waiting; an error when it has ended the connection.
    pub(super) async fn listen(&mut self) -> Result<(), Refusal> {
        loop {
            self.make_room()?;
            self.unread.reserve(READ);
            let (connection, unread) = (&mut self.connection, &mut self.unread);
            let mut reading = pin!(connection.read_buf(unread));
            let read = poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await;
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(self.ended()),
                Poll::Ready(Ok(_)) => {}
            }
        }
    }

    fn make_room(&mut self) -> Result<(), Refusal> {
        self.unread.drain(..self.done.min(self.unread.len()));
        self.done = 0;
        if self.unread.len() > MAX_UNREAD {
            let place = &self.place;
            return Err(Refusal::passing(format!(
                "`{place}` says more than can be understood"
            )));
        }
        Ok(())
    }

    fn ended(&self) -> Refusal {
        Refusal::passing(format!("`{}` has ended the connection", self.place))
    }

    fn silent(&self, what: &str) -> Refusal {
        let (place, seconds) = (&self.place, self.timeout.as_secs());
        Refusal::passing(format!("`{place}` {what} within {seconds} s"))
    }

    fn unclear(&self, fault: &Fault) -> Refusal {
        Refusal::passing(format!(
            "`{}` answers what cannot be understood: {fault}",
            self.place
        ))
    }
}

/// Reads a secret when there is one.
pub(super) fn read(secret: Option<&SecretFrom>) -> Result<Option<Secret>, Refusal> {
    secret
        .map(SecretFrom::read)
        .transpose()
        .map_err(|error| Refusal::passing(chain(&error)))
}
