//! Streams of Redis, Valkey and others that speak RESP: `XADD` within a transaction.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::resp::{self, Reply};

use super::{
    line::LineWriter,
    session::{Session, read},
    stream::Peer,
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, RedisConfig, RouteConfig},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    secret::{Secret, redacted},
};

/// Adds to streams of one server.
pub(crate) struct Redis {
    peer: Peer,
    config: RedisConfig,
    lines: LineWriter,
    open: Option<Session>,
}

/// A reply, free of the bytes that it was read from.
enum Said {
    Good,
    Array(usize),
    Error(String),
}

impl Redis {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &RedisConfig) -> Result<Self, ConfigError> {
        if config.stream.trim().is_empty() || config.field.is_empty() {
            return Err(route.wrong("to.stream", "and `field` have at least one letter"));
        }
        if config.max_length == Some(0) {
            return Err(route.wrong("to.max_length", "is at least 1"));
        }
        if config.username.is_some() && config.password.is_none() {
            return Err(route.wrong("to.username", "wants a `password`"));
        }
        read(config.password.as_ref())
            .map_err(|refusal| route.wrong("to.password", refusal.text))?;
        Ok(Self {
            peer: Peer::new(route, config.transport, &config.address, &config.tls)?,
            config: config.clone(),
            lines: LineWriter::new(),
            open: None,
        })
    }

    async fn connect(&self) -> Result<Session, Refusal> {
        let mut session = Session::open(&self.peer, self.config.timeout_seconds, true).await?;
        let password = read(self.config.password.as_ref())?;
        let mut greeting = Vec::new();
        let mut answers = 1;
        if let Some(password) = &password {
            let mut words = vec![&b"AUTH"[..]];
            words.extend(self.config.username.as_deref().map(str::as_bytes));
            words.push(password.reveal().as_bytes());
            resp::encode(&words, &mut greeting);
            answers += 1;
        }
        let database = self.config.database.to_string();
        resp::encode(&[b"SELECT", database.as_bytes()], &mut greeting);
        session.write(&greeting).await?;
        for _ in 0..answers {
            if let Said::Error(text) = session.next(hear).await? {
                return Err(refused(&session, &text, password.as_slice()));
            }
        }
        Ok(session)
    }

    async fn open(&mut self) -> Result<Session, Refusal> {
        if let Some(mut session) = self.open.take()
            && session.listen().await.is_ok()
        {
            return Ok(session);
        }
        self.connect().await
    }
}

fn hear(bytes: &[u8]) -> Result<Option<(Said, usize)>, qw_wire::Fault> {
    let said = |reply: Reply<'_>| match reply {
        Reply::Error(text) => Said::Error(text.chars().take(300).collect()),
        Reply::Array(count) => Said::Array(count),
        _ => Said::Good,
    };
    Ok(resp::parse(bytes)?.map(|(reply, length)| (said(reply), length)))
}

fn refused(session: &Session, text: &str, secrets: &[Secret]) -> Refusal {
    let text = redacted(text, secrets);
    Refusal::passing(format!("`{}` refuses: {text}", session.place()))
}

#[async_trait]
impl Destination for Redis {
    fn place(&self) -> String {
        format!("{} {}", self.peer.place(), self.config.stream)
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        let mut session = self.open().await?;
        let most = self.config.max_length.map(|most| most.to_string());
        let mut bytes = Vec::with_capacity(2 * part.bytes());
        let mut payload = Vec::new();
        // All of them or none: one that is refused must not come after those behind it.
        resp::encode(&[b"MULTI"], &mut bytes);
        for record in part.records() {
            payload.clear();
            self.lines
                .payload(&record, self.config.format, &mut payload);
            let stream: &str = record.tag;
            let mut words = vec![&b"XADD"[..], stream.as_bytes()];
            if let Some(most) = &most {
                words.extend([&b"MAXLEN"[..], b"~", most.as_bytes()]);
            }
            words.extend([b"*", self.config.field.as_bytes(), &payload]);
            resp::encode(&words, &mut bytes);
        }
        resp::encode(&[b"EXEC"], &mut bytes);
        session.write(&bytes).await?;

        let mut first_error = None;
        for _ in 0..=part.len() {
            if let Said::Error(text) = session.next(hear).await? {
                first_error.get_or_insert(text);
            }
        }
        match session.next(hear).await? {
            Said::Array(count) if count == part.len() && first_error.is_none() => {
                for _ in 0..count {
                    if let Said::Error(text) = session.next(hear).await? {
                        first_error.get_or_insert(text);
                    }
                }
            }
            Said::Error(text) => {
                first_error.get_or_insert(text);
            }
            _ => {
                first_error.get_or_insert(String::from("the transaction was not carried out"));
            }
        }
        if let Some(text) = first_error {
            // Whatever is refused is an error of the set-up or of the moment, which must cost no records.
            let password = read(self.config.password.as_ref())?;
            return Err(refused(&session, &text, password.as_slice()).into());
        }
        self.open = Some(session);
        Ok(Delivered {
            bytes: bytes.len() as u64,
            answer: String::from("added"),
            ..Delivered::default()
        })
    }
}
