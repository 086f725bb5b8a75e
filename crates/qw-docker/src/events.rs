//! The engine's stream of events: one JSON object per line.

use std::collections::BTreeMap;

use bytes::{Buf, BytesMut};
use qw_event::Timestamp;
use serde::Deserialize;

use crate::{Error, Result, transport::Body};

const MAX_EVENT_BYTES: usize = 1 << 20;

/// Something that happened in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// `container`, `image`, `network`, …
    pub kind: String,
    /// What happened: `create`, `start`, `die`, `destroy`, `rename`, …; some carry more behind a
    /// colon, such as `health_status: healthy`.
    pub action: String,
    /// Id of the container, image or network.
    pub id: String,
    /// `name`, `image`, and, for containers, the labels.
    pub attributes: BTreeMap<String, String>,
    /// When, by the engine's clock.
    pub time: Timestamp,
}

/// Events as they come.
#[derive(Debug)]
pub struct EngineEvents {
    body: Body,
    buffer: BytesMut,
}

impl EngineEvents {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The next event; `None` when the engine ends the stream. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<EngineEvent>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                if !line.trim_ascii().is_empty() {
                    return decode(&line, self.body.call()).map(Some);
                }
            }
            if self.buffer.len() > MAX_EVENT_BYTES {
                let call = self.body.call().to_owned();
                return Err(Error::TooLarge {
                    call,
                    limit: MAX_EVENT_BYTES,
                });
            }
            match self.body.next().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = self.buffer.split();
                    return decode(&line, self.body.call()).map(Some);
                }
            }
        }
    }
}

fn decode(line: &[u8], call: &str) -> Result<EngineEvent> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Wire {
        #[serde(rename = "Type")]
        kind: String,
        #[serde(rename = "Action")]
        action: String,
        #[serde(rename = "Actor")]
        actor: Actor,
        time: i64,
        #[serde(rename = "timeNano")]
        time_nano: i64,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Actor {
        #[serde(rename = "ID")]
        id: String,
        #[serde(rename = "Attributes")]
        attributes: Option<BTreeMap<String, String>>,
    }
    let wire: Wire = serde_json::from_slice(line).map_err(|source| Error::Decode {
        call: call.to_owned(),
        source,
    })?;
    Ok(EngineEvent {
        kind: wire.kind,
        action: wire.action,
        id: wire.actor.id,
        attributes: wire.actor.attributes.unwrap_or_default(),
        time: match wire.time_nano {
            0 => Timestamp::from_seconds(wire.time),
            nanos => Timestamp::from_nanos(nanos),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_as_the_engine_writes_it() {
        let line = br#"{"status":"start","id":"ab","from":"busybox:test","Type":"container","Action":"start","Actor":{"ID":"ab","Attributes":{"image":"busybox:test","name":"falco"}},"scope":"local","time":1795254022,"timeNano":1795254022015145000}"#;
        let event = decode(line, "GET /events").unwrap();
        assert_eq!(event.action, "start");
        assert_eq!(event.id, "ab");
        assert_eq!(
            event.attributes.get("name").map(String::as_str),
            Some("falco")
        );
        assert_eq!(event.time.to_string(), "2026-11-21T09:40:22.015145Z");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(decode(b"[1,2]", "GET /events").is_err());
    }
}
