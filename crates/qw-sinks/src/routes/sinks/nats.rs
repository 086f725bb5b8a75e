//! NATS: core, and JetStream with an answer to each message.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::nats::{
    Connect, Info, Operation, PublishAnswer, encode_connect, encode_publish, parse,
};

use super::{
    line::LineWriter,
    session::{Session, read},
    stream::Peer,
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, NatsConfig, RouteConfig, StreamTransport},
        destination::{Delivered, Destination, Undelivered},
        positions::random_name,
        record::Part,
    },
    secret::{Secret, redacted},
};

/// Publishes to one server.
pub(crate) struct Nats {
    peer: Peer,
    config: NatsConfig,
    lines: LineWriter,
    /// Stands before the number in the id of a message.
    epoch: String,
    open: Option<Open>,
}

/// A connection that has been greeted.
struct Open {
    session: Session,
    info: Info,
    /// Answers come to this subject, and a number behind it.
    inbox: String,
    secrets: Vec<Secret>,
}

/// What matters of an operation, free of the bytes that it was read from.
enum Heard {
    Ping,
    Pong,
    Info(Info),
    Answer {
        place: usize,
        what: Result<(), Problem>,
    },
    Refused(String),
    Nothing,
}

/// Why one message was not stored.
struct Problem {
    text: String,
    /// The message itself is to blame.
    is_permanent: bool,
}

impl Nats {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(
        route: &RouteConfig,
        config: &NatsConfig,
        epoch: &str,
    ) -> Result<Self, ConfigError> {
        if config.transport == StreamTransport::Unix {
            return Err(route.wrong("to.transport", "is `tcp` or `tls` for NATS"));
        }
        if config.subject.trim().is_empty() {
            return Err(route.wrong("to.subject", "is empty"));
        }
        for secret in [&config.password, &config.token] {
            read(secret.as_ref()).map_err(|refusal| route.wrong("to.password", refusal.text))?;
        }
        Ok(Self {
            peer: Peer::new(route, config.transport, &config.address, &config.tls)?,
            config: config.clone(),
            lines: LineWriter::new(),
            epoch: epoch.to_owned(),
            open: None,
        })
    }

    async fn connect(&self) -> Result<Open, Refusal> {
        let mut session = Session::open(&self.peer, self.config.timeout_seconds, false).await?;
        let Heard::Info(info) = session.next(|bytes| hear(bytes, "")).await? else {
            return Err(Refusal::passing(format!(
                "`{}` does not begin as NATS does",
                session.place()
            )));
        };
        if self.peer.has_tls() {
            if !info.tls_required && !info.tls_available {
                return Err(Refusal::passing(format!(
                    "`{}` speaks no TLS",
                    session.place()
                )));
            }
            session = session.encrypt(&self.peer).await?;
        } else if info.tls_required {
            let place = session.place();
            return Err(Refusal::passing(format!(
                "`{place}` wants TLS; set `transport: tls`"
            )));
        }
        if self.config.jetstream && !info.headers {
            return Err(Refusal::passing(format!(
                "`{}` is too old for JetStream: it knows no headers",
                session.place()
            )));
        }
        let (password, token) = (
            read(self.config.password.as_ref())?,
            read(self.config.token.as_ref())?,
        );
        let connect = Connect {
            // Subjects are free of what would be wrong: the stricter check would only cost.
            pedantic: false,
            verbose: false,
            tls_required: self.peer.has_tls(),
            name: "quaywatch",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            headers: info.headers,
            no_responders: info.headers,
            user: self.config.username.as_deref(),
            pass: password.as_ref().map(Secret::reveal),
            auth_token: token.as_ref().map(Secret::reveal),
        };
        let inbox = format!("_INBOX.{}.", random_name());
        let mut greeting = Vec::new();
        encode_connect(&connect, &mut greeting);
        if self.config.jetstream {
            greeting.extend_from_slice(format!("SUB {inbox}* 1\r\n").as_bytes());
        }
        greeting.extend_from_slice(b"PING\r\n");
        session.write(&greeting).await?;
        let secrets = [password, token].into_iter().flatten().collect();
        let mut open = Open {
            session,
            info,
            inbox,
            secrets,
        };
        while !matches!(open.hear().await?, Heard::Pong) {}
        Ok(open)
    }

    /// A connection that works as far as can be seen.
    async fn open(&mut self) -> Result<Open, Refusal> {
        if let Some(mut open) = self.open.take()
            && !open.info.ldm
            && open.catch_up().await.is_ok()
        {
            return Ok(open);
        }
        self.connect().await
    }
}

impl Open {
    /// The next thing said that is not settled here.
    async fn hear(&mut self) -> Result<Heard, Refusal> {
        loop {
            let inbox = &self.inbox;
            let heard = self.session.next(|bytes| hear(bytes, inbox)).await?;
            if let Some(heard) = self.settle(heard).await? {
                return Ok(heard);
            }
        }
    }

    /// Answers what was said in the meantime.
    async fn catch_up(&mut self) -> Result<(), Refusal> {
        self.session.listen().await?;
        loop {
            let inbox = &self.inbox;
            match self.session.understood(|bytes| hear(bytes, inbox))? {
                None => return Ok(()),
                Some(heard) => drop(self.settle(heard).await?),
            }
        }
    }

    async fn settle(&mut self, heard: Heard) -> Result<Option<Heard>, Refusal> {
        match heard {
            Heard::Ping => {
                self.session.write(b"PONG\r\n").await?;
                Ok(None)
            }
            Heard::Info(info) => {
                self.info = info;
                Ok(None)
            }
            Heard::Nothing => Ok(None),
            Heard::Refused(text) => {
                let text = redacted(&text, &self.secrets);
                let place = self.session.place();
                Err(Refusal::passing(format!("`{place}` refuses: {text}")))
            }
            other => Ok(Some(other)),
        }
    }
}

/// Reads one operation; answers are those to `inbox`.
fn hear(bytes: &[u8], inbox: &str) -> Result<Option<(Heard, usize)>, qw_wire::Fault> {
    let Some((operation, length)) = parse(bytes)? else {
        return Ok(None);
    };
    let heard = match operation {
        Operation::Ping => Heard::Ping,
        Operation::Pong => Heard::Pong,
        Operation::Done => Heard::Nothing,
        Operation::Info(info) => Heard::Info(info),
        Operation::Refused(text) => Heard::Refused(text.chars().take(300).collect()),
        Operation::Message {
            subject,
            status,
            payload,
        } => {
            let place = subject.strip_prefix(inbox);
            match place.and_then(|place| place.parse().ok()) {
                Some(place) => Heard::Answer {
                    place,
                    what: answer(status, payload),
                },
                None => Heard::Nothing,
            }
        }
    };
    Ok(Some((heard, length)))
}

/// What JetStream says about one message.
fn answer(status: Option<u16>, payload: &[u8]) -> Result<(), Problem> {
    let passing = |text: String| Problem {
        text,
        is_permanent: false,
    };
    if status == Some(503) {
        return Err(passing(String::from(
            "no stream of JetStream takes this subject; make one, or set `jetstream: false`",
        )));
    }
    let answer: PublishAnswer = serde_json::from_slice(payload).map_err(|error| {
        passing(format!(
            "somebody answers who is not JetStream; set `jetstream: false` ({error})"
        ))
    })?;
    match answer.error {
        None if answer.stream.is_empty() => Err(passing(String::from(
            "somebody answers who is not JetStream; set `jetstream: false`",
        ))),
        None => Ok(()),
        // 10054: larger than what the stream takes.
        Some(error) => Err(Problem {
            is_permanent: error.err_code == 10_054,
            text: format!(
                "JetStream answers {} ({}): {}",
                error.code,
                error.err_code,
                error.description.chars().take(300).collect::<String>()
            ),
        }),
    }
}

#[async_trait]
impl Destination for Nats {
    fn place(&self) -> String {
        format!("{} {}", self.peer.place(), self.config.subject)
    }

    async fn idle(&mut self) -> Result<(), Refusal> {
        // An answer to the server's question whether we are still there. A connection that has ended is
        // made anew when there is something to send.
        if let Some(mut open) = self.open.take()
            && open.catch_up().await.is_ok()
        {
            self.open = Some(open);
        }
        Ok(())
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        let mut open = self.open().await?;
        let mut delivered = Delivered::default();
        let mut bytes = Vec::with_capacity(2 * part.bytes());
        let mut payload = Vec::new();
        let mut waiting = vec![false; part.len()];
        for (place, record) in part.records().enumerate() {
            payload.clear();
            self.lines
                .payload(&record, self.config.format, &mut payload);
            let subject = qw_wire::nats::subject(record.tag);
            let id = format!("qw-{}-{}", self.epoch, record.outgoing.id);
            // The headers count, too.
            let size = payload.len() + id.len() + 32;
            if open.info.max_payload > 0 && size > open.info.max_payload {
                let most = open.info.max_payload;
                let reason =
                    format!("a message of {size} bytes is larger than the server's {most}");
                delivered.refused.push((place, reason));
                continue;
            }
            let (answer_to, id) = if self.config.jetstream {
                (Some(format!("{}{place}", open.inbox)), Some(id))
            } else {
                (None, None)
            };
            encode_publish(
                &subject,
                answer_to.as_deref(),
                id.as_deref(),
                &payload,
                &mut bytes,
            );
            if let Some(waiting) = waiting.get_mut(place) {
                *waiting = self.config.jetstream;
            }
        }
        bytes.extend_from_slice(b"PING\r\n");
        open.session.write(&bytes).await?;
        delivered.bytes = bytes.len() as u64;
        let mut left = waiting.iter().filter(|waits| **waits).count();
        let mut has_all = false;
        while left > 0 || !has_all {
            match open.hear().await? {
                Heard::Pong => has_all = true,
                Heard::Answer { place, what } => {
                    let Some(waits) = waiting.get_mut(place).filter(|waits| **waits) else {
                        continue;
                    };
                    *waits = false;
                    left -= 1;
                    match what {
                        Ok(()) => {}
                        Err(problem) if problem.is_permanent => {
                            delivered.refused.push((place, problem.text));
                        }
                        Err(problem) => {
                            delivered.again.push(place);
                            delivered.why_again = problem.text;
                        }
                    }
                }
                _ => {}
            }
        }
        delivered.again.sort_unstable();
        delivered.refused.sort_by_key(|(place, _)| *place);
        delivered.answer = String::from(if self.config.jetstream {
            "stored by JetStream"
        } else {
            "taken by the server"
        });
        self.open = Some(open);
        Ok(delivered)
    }
}
