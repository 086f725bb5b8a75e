//! AMQP 0-9-1 (RabbitMQ and others): durable messages with publisher confirms.

use std::collections::HashMap;

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::amqp::{
    self, MAX_FRAME, Said, encode_channel_open, encode_confirm_select, encode_open, encode_publish,
    encode_start_ok, encode_tune_ok,
};

use super::{
    line::LineWriter,
    session::{Session, read},
    stream::Peer,
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{AmqpConfig, ConfigError, FileFormat, RouteConfig, StreamTransport},
        destination::{Delivered, Destination, Undelivered},
        record::Part,
    },
    secret::{Secret, redacted},
};

/// Publishes to one exchange.
pub(crate) struct Amqp {
    peer: Peer,
    config: AmqpConfig,
    lines: LineWriter,
    /// Stands before the number in the id of a message.
    epoch: String,
    open: Option<Open>,
}

/// A channel that confirms.
struct Open {
    session: Session,
    frame: u32,
    /// Number of the next message on the channel.
    next: u64,
}

impl Amqp {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(
        route: &RouteConfig,
        config: &AmqpConfig,
        epoch: &str,
    ) -> Result<Self, ConfigError> {
        if config.transport == StreamTransport::Unix {
            return Err(route.wrong("to.transport", "is `tcp` or `tls` for AMQP"));
        }
        if config.exchange.len() > 255 || config.virtual_host.len() > 255 {
            return Err(route.wrong("to.exchange", "and `virtual_host` have at most 255 bytes"));
        }
        if config.routing_key.trim().is_empty() {
            return Err(route.wrong("to.routing_key", "is empty"));
        }
        read(config.password.as_ref())
            .map_err(|refusal| route.wrong("to.password", refusal.text))?;
        Ok(Self {
            peer: Peer::new(route, config.transport, &config.address, &config.tls)?,
            config: config.clone(),
            lines: LineWriter::new(),
            epoch: epoch.to_owned(),
            open: None,
        })
    }

    fn refused(&self, code: u16, text: &str) -> Refusal {
        let secrets: Vec<Secret> = read(self.config.password.as_ref())
            .ok()
            .flatten()
            .into_iter()
            .collect();
        let text: String = redacted(text, &secrets).chars().take(300).collect();
        Refusal::passing(format!("`{}` answers {code}: {text}", self.peer.place()))
    }

    /// The next thing said; the end of channel or connection is a refusal.
    async fn hear(&self, session: &mut Session) -> Result<Said, Refusal> {
        match session.next(amqp::parse).await? {
            Said::Closed(code, text) => Err(self.refused(code, &text)),
            said => Ok(said),
        }
    }

    async fn connect(&self) -> Result<Open, Refusal> {
        let mut session = Session::open(&self.peer, self.config.timeout_seconds, true).await?;
        let strange = || {
            let place = self.peer.place();
            Refusal::passing(format!("`{place}` does not begin as AMQP 0-9-1 does"))
        };
        session.write(amqp::PROTOCOL_HEADER).await?;
        let Said::Start(ways) = self.hear(&mut session).await? else {
            return Err(strange());
        };
        if !ways.split(' ').any(|way| way == "PLAIN") {
            let place = self.peer.place();
            return Err(Refusal::passing(format!(
                "`{place}` takes no passwords (PLAIN), but only {ways}"
            )));
        }
        let password = read(self.config.password.as_ref())?;
        let mut answer = Vec::new();
        let password = password.as_ref().map_or("", Secret::reveal);
        encode_start_ok(&self.config.username, password, &mut answer);
        session.write(&answer).await?;
        // RabbitMQ ends the connection without a word when it refuses an old client's password; with a
        // new one's it says so.
        let Said::Tune { frame, .. } = self.hear(&mut session).await? else {
            return Err(strange());
        };
        let frame = if frame == 0 {
            MAX_FRAME
        } else {
            frame.min(MAX_FRAME)
        };
        answer.clear();
        encode_tune_ok(frame, &mut answer);
        encode_open(&self.config.virtual_host, &mut answer);
        session.write(&answer).await?;
        for (encode, expected) in [
            (None, Said::Opened),
            (
                Some(encode_channel_open as fn(&mut Vec<u8>)),
                Said::ChannelOpened,
            ),
            (Some(encode_confirm_select), Said::WillConfirm),
        ] {
            if let Some(encode) = encode {
                answer.clear();
                encode(&mut answer);
                session.write(&answer).await?;
            }
            if self.hear(&mut session).await? != expected {
                return Err(strange());
            }
        }
        Ok(Open {
            session,
            frame,
            next: 1,
        })
    }

    async fn open(&mut self) -> Result<Open, Refusal> {
        if let Some(mut open) = self.open.take()
            && open.session.listen().await.is_ok()
            && let Ok(None) = open.session.understood(amqp::parse)
        {
            return Ok(open);
        }
        self.connect().await
    }
}

#[async_trait]
impl Destination for Amqp {
    fn place(&self) -> String {
        format!("{} {}", self.peer.place(), self.config.exchange)
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        let mut open = self.open().await?;
        let mut delivered = Delivered::default();
        let content_type = match self.config.format {
            FileFormat::Json => "application/json",
            FileFormat::Text => "text/plain",
        };
        let first = open.next;
        let mut bytes = Vec::with_capacity(2 * part.bytes());
        let mut payload = Vec::new();
        let mut ids = HashMap::with_capacity(part.len());
        for (place, record) in part.records().enumerate() {
            payload.clear();
            self.lines
                .payload(&record, self.config.format, &mut payload);
            let id = format!("qw-{}-{}", self.epoch, record.outgoing.id);
            encode_publish(
                &self.config.exchange,
                record.tag,
                content_type,
                &id,
                &payload,
                open.frame,
                &mut bytes,
            );
            ids.insert(id, place);
            open.next += 1;
        }
        open.session.write(&bytes).await?;
        // Of each record: whether its confirm is missing.
        let mut waiting = vec![true; part.len()];
        let mut left = waiting.len();
        let mut again = vec![false; part.len()];
        let mut returned = String::new();
        while left > 0 {
            match self.hear(&mut open.session).await? {
                Said::Taken {
                    tag,
                    multiple,
                    good,
                } => {
                    // 0 with `multiple` means all.
                    let last = match tag {
                        0 => part.len().saturating_sub(1),
                        tag => usize::try_from(tag.saturating_sub(first)).unwrap_or(usize::MAX),
                    };
                    let begin = if multiple { 0 } else { last };
                    let known = last.saturating_add(1).min(waiting.len());
                    for place in begin..known {
                        if let Some(waits) = waiting.get_mut(place)
                            && std::mem::take(waits)
                        {
                            left -= 1;
                            if !good && let Some(again) = again.get_mut(place) {
                                *again = true;
                                delivered.why_again =
                                    format!("`{}` could not keep it", self.peer.place());
                            }
                        }
                    }
                }
                Said::Returned(code, text) => returned = self.refused(code, &text).text,
                Said::ReturnedId(id) => {
                    if let Some(again) = ids.get(&id).and_then(|place| again.get_mut(*place)) {
                        *again = true;
                        delivered.why_again = format!(
                            "{returned}: no queue takes it from exchange `{}`",
                            self.config.exchange
                        );
                    }
                }
                Said::Blocked(text) => {
                    return Err(Refusal::passing(format!(
                        "`{}` takes nothing for now: {text}",
                        self.peer.place()
                    ))
                    .into());
                }
                _ => {}
            }
        }
        let places = again.into_iter().enumerate();
        delivered.again = places
            .filter_map(|(place, again)| again.then_some(place))
            .collect();
        delivered.bytes = bytes.len() as u64;
        delivered.answer = String::from("confirmed");
        self.open = Some(open);
        Ok(delivered)
    }
}
