//! MQTT 3.1.1 and 5.0 with quality of service 1: an answer to each message.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::mqtt::{
    self, Connect, Limits, Packet, Version, encode_connect, encode_ping, encode_publish, meaning,
};

use super::{
    line::LineWriter,
    session::{Session, read},
    stream::Peer,
};
use crate::{
    receiver::Refusal,
    routes::{
        config::{ConfigError, MqttConfig, RouteConfig, StreamTransport},
        destination::{Delivered, Destination, Undelivered},
        positions::random_name,
        record::Part,
    },
    secret::Secret,
};

/// Seconds of silence after which the server may think that we are gone. Idle routes speak twice a
/// minute.
const KEEP_ALIVE: u16 = 120;

/// Most messages without an answer, whatever the server allows.
const WINDOW: usize = 1_000;

/// Publishes to one server.
pub(crate) struct Mqtt {
    peer: Peer,
    config: MqttConfig,
    version: Version,
    client: String,
    lines: LineWriter,
    open: Option<(Session, Limits)>,
}

impl Mqtt {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &MqttConfig) -> Result<Self, ConfigError> {
        if config.transport == StreamTransport::Unix {
            return Err(route.wrong("to.transport", "is `tcp` or `tls` for MQTT"));
        }
        let version = match config.version {
            3 => Version::V3,
            5 => Version::V5,
            _ => return Err(route.wrong("to.version", "is 3 (for 3.1.1) or 5")),
        };
        if config.topic.trim().is_empty() {
            return Err(route.wrong("to.topic", "is empty"));
        }
        read(config.password.as_ref())
            .map_err(|refusal| route.wrong("to.password", refusal.text))?;
        Ok(Self {
            peer: Peer::new(route, config.transport, &config.address, &config.tls)?,
            client: match config.client_id.as_str() {
                "" => format!("quaywatch-{}", random_name()),
                own => own.to_owned(),
            },
            config: config.clone(),
            version,
            lines: LineWriter::new(),
            open: None,
        })
    }

    async fn connect(&self) -> Result<(Session, Limits), Refusal> {
        let mut session = Session::open(&self.peer, self.config.timeout_seconds, true).await?;
        let password = read(self.config.password.as_ref())?;
        let mut greeting = Vec::new();
        let connect = Connect {
            version: self.version,
            client: &self.client,
            user: self.config.username.as_deref(),
            password: password
                .as_ref()
                .map(|password| Secret::reveal(password).as_bytes()),
            keep_alive: KEEP_ALIVE,
        };
        encode_connect(&connect, &mut greeting);
        session.write(&greeting).await?;
        let place = self.peer.place();
        let version = self.version;
        match session.next(|bytes| mqtt::parse(version, bytes)).await? {
            Packet::Connected { code: 0, limits } if limits.quality > 0 => Ok((session, limits)),
            Packet::Connected { code: 0, .. } => Err(Refusal::passing(format!(
                "`{place}` confirms no messages: it offers quality of service 0 only"
            ))),
            Packet::Connected { code, .. } | Packet::Ended { reason: code } => {
                let meaning = meaning(code);
                Err(Refusal::passing(format!(
                    "`{place}` refuses the connection: {meaning} ({code})"
                )))
            }
            _ => Err(Refusal::passing(format!(
                "`{place}` does not begin as MQTT does"
            ))),
        }
    }

    async fn open(&mut self) -> Result<(Session, Limits), Refusal> {
        let version = self.version;
        if let Some((mut session, limits)) = self.open.take()
            && session.listen().await.is_ok()
            && let Ok(None) = session.understood(|bytes| after_pongs(version, bytes))
        {
            return Ok((session, limits));
        }
        self.connect().await
    }
}

/// The first packet behind answers to pings.
fn after_pongs(version: Version, bytes: &[u8]) -> Result<Option<(Packet, usize)>, qw_wire::Fault> {
    let mut before = 0;
    loop {
        match mqtt::parse(version, bytes.get(before..).unwrap_or_default())? {
            Some((Packet::Pong, length)) => before += length,
            found => return Ok(found.map(|(packet, length)| (packet, before + length))),
        }
    }
}

#[async_trait]
impl Destination for Mqtt {
    fn place(&self) -> String {
        format!("{} {}", self.peer.place(), self.config.topic)
    }

    async fn idle(&mut self) -> Result<(), Refusal> {
        // A connection that has ended is made anew when there is something to send.
        if let Some((mut session, limits)) = self.open.take()
            && session.listen().await.is_ok()
        {
            let mut ping = Vec::new();
            encode_ping(&mut ping);
            if session.write(&ping).await.is_ok() {
                self.open = Some((session, limits));
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, part: Part<'_>, _: Timestamp) -> Result<Delivered, Undelivered> {
        let (mut session, limits) = self.open().await?;
        let (version, place_name) = (self.version, self.peer.place());
        let window = usize::from(limits.receive).min(WINDOW);
        let mut delivered = Delivered::default();
        // Of each record: whether its answer is missing.
        let mut waiting = vec![false; part.len()];
        let mut left = 0;
        let (mut bytes, mut payload) = (Vec::new(), Vec::new());
        let mut records = part.records().enumerate();
        loop {
            // What may go out without an answer, goes at once.
            bytes.clear();
            while left < window && delivered.again.is_empty() && bytes.len() < 1 << 20 {
                let Some((place, record)) = records.next() else {
                    break;
                };
                payload.clear();
                self.lines
                    .payload(&record, self.config.format, &mut payload);
                let topic = mqtt::topic(record.tag);
                let size = mqtt::publish_size(version, &topic, &payload);
                let most = (limits.packet as usize).min(mqtt::MAX_LENGTH);
                if size > most {
                    let reason =
                        format!("a message of {size} bytes is larger than the server's {most}");
                    delivered.refused.push((place, reason));
                    continue;
                }
                let id = u16::try_from(place + 1).unwrap_or(u16::MAX);
                encode_publish(
                    version,
                    id,
                    &topic,
                    self.config.retain,
                    &payload,
                    &mut bytes,
                );
                if let Some(waits) = waiting.get_mut(place) {
                    *waits = true;
                }
                left += 1;
            }
            session.write(&bytes).await?;
            delivered.bytes += bytes.len() as u64;
            if left == 0 {
                break;
            }
            match session.next(|bytes| mqtt::parse(version, bytes)).await? {
                Packet::Taken { id, reason } => {
                    let place = usize::from(id).wrapping_sub(1);
                    let Some(waits) = waiting.get_mut(place).filter(|waits| **waits) else {
                        continue;
                    };
                    *waits = false;
                    left -= 1;
                    if reason < 0x80 {
                        continue;
                    }
                    let text = format!("`{place_name}` answers {} ({reason})", meaning(reason));
                    // Too large, or of a form that it does not take: the record is to blame.
                    if matches!(reason, 0x95 | 0x99) {
                        delivered.refused.push((place, text));
                    } else {
                        delivered.again.push(place);
                        delivered.why_again = text;
                    }
                }
                Packet::Ended { reason } => {
                    return Err(Refusal::passing(format!(
                        "`{place_name}` ends the connection: {} ({reason})",
                        meaning(reason)
                    ))
                    .into());
                }
                Packet::Pong | Packet::Connected { .. } => {}
            }
        }
        // What was held back because of a refusal goes out behind it.
        delivered.again.extend(records.map(|(place, _)| place));
        delivered.again.sort_unstable();
        delivered.refused.sort_by_key(|(place, _)| *place);
        delivered.answer = String::from("acknowledged");
        self.open = Some((session, limits));
        Ok(delivered)
    }
}
