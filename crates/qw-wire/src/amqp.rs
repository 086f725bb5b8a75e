//! AMQP 0-9-1, as a client that publishes with confirms speaks it.
//!
//! Source: "AMQP 0-9-1 specification" and its XML; RabbitMQ documentation, "Consumer Acknowledgements and
//! Publisher Confirms", for `confirm.select` and `basic.nack`.

use crate::Fault;

/// What a client says first.
pub const PROTOCOL_HEADER: &[u8] = b"AMQP\0\0\x09\x01";

/// Largest frame that is taken, in bytes; it is told with [`encode_tune_ok`].
pub const MAX_FRAME: u32 = 128 << 10;

/// The channel that messages go through.
const CHANNEL: u16 = 1;

/// What ends a frame.
const END: u8 = 0xce;

/// Bytes of a frame around its payload.
const AROUND: usize = 8;

/// Property flags of a message: content type, delivery mode, message id.
const PROPERTIES: u16 = 1 << 15 | 1 << 12 | 1 << 7;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The connection begins; the ways to prove a user, with spaces between.
    Start(String),
    /// What it wants of the connection.
    Tune {
        /// Most channels; 0 is no bound.
        channels: u16,
        /// Largest frame, in bytes; 0 is no bound.
        frame: u32,
    },
    /// The virtual host is open.
    Opened,
    /// The channel is open.
    ChannelOpened,
    /// Messages will be confirmed.
    WillConfirm,
    /// Messages are taken.
    Taken {
        /// Number of the message on the channel, from 1.
        tag: u64,
        /// All before it, too.
        multiple: bool,
        /// False when the server could not keep them.
        good: bool,
    },
    /// A message that nobody takes comes back: code and reason.
    Returned(u16, String),
    /// The id of the message that comes back.
    ReturnedId(String),
    /// The channel or the connection ends: code and reason.
    Closed(u16, String),
    /// The server takes nothing for now.
    Blocked(String),
    /// What has no meaning for a publisher.
    Nothing,
}

/// The first frame in `bytes`, and its length; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes are none of the protocol, or a frame is larger than [`MAX_FRAME`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Said, usize)>, Fault> {
    if bytes.starts_with(b"AMQP") {
        return Err(Fault::form("the server speaks another version of AMQP", 0));
    }
    let Some((head, rest)) = bytes.split_at_checked(7) else {
        return Ok(None);
    };
    let mut head = Reader { bytes: head, at: 0 };
    let (kind, _channel, size) = (head.u8()?, head.u16()?, head.u32()?);
    if !matches!(kind, 1 | 2 | 3 | 8) {
        return Err(Fault::form("a frame of AMQP is of an unknown kind", 0));
    }
    if size > MAX_FRAME {
        return Err(Fault::too_long(
            "a frame of AMQP is larger than was agreed",
            3,
        ));
    }
    let size = size as usize;
    let Some(payload) = rest.get(..size) else {
        return Ok(None);
    };
    match rest.get(size) {
        None => return Ok(None),
        Some(&END) => {}
        Some(_) => {
            let what = "a frame of AMQP does not end where it should";
            return Err(Fault::form(what, 7 + size));
        }
    }
    let mut reader = Reader {
        bytes: payload,
        at: 0,
    };
    let said = match kind {
        1 => method(&mut reader),
        2 => header(&mut reader),
        _ => Ok(Said::Nothing),
    }
    .map_err(|fault| fault.after(7))?;
    Ok(Some((said, size + AROUND)))
}

fn method(reader: &mut Reader<'_>) -> Result<Said, Fault> {
    Ok(match (reader.u16()?, reader.u16()?) {
        (10, 10) => {
            reader.skip(2)?;
            let table = reader.u32()?;
            reader.skip(table as usize)?;
            Said::Start(reader.long_text()?)
        }
        (10, 30) => Said::Tune {
            channels: reader.u16()?,
            frame: reader.u32()?,
        },
        (10, 41) => Said::Opened,
        (20, 11) => Said::ChannelOpened,
        (85, 11) => Said::WillConfirm,
        (60, 80) => Said::Taken {
            tag: reader.u64()?,
            multiple: reader.u8()? & 1 > 0,
            good: true,
        },
        (60, 120) => Said::Taken {
            tag: reader.u64()?,
            multiple: reader.u8()? & 1 > 0,
            good: false,
        },
        (60, 50) => Said::Returned(reader.u16()?, reader.short_text()?),
        (10, 50) | (20, 40) => Said::Closed(reader.u16()?, reader.short_text()?),
        (10, 60) => Said::Blocked(reader.short_text()?),
        _ => Said::Nothing,
    })
}

/// The header of a message that comes back, with the properties that we gave it.
fn header(reader: &mut Reader<'_>) -> Result<Said, Fault> {
    reader.skip(12)?;
    if reader.u16()? != PROPERTIES {
        return Ok(Said::Nothing);
    }
    reader.short_text()?;
    reader.u8()?;
    Ok(Said::ReturnedId(reader.short_text()?))
}

/// Reads values one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.saturating_add(count);
        let taken = self
            .bytes
            .get(self.at..end)
            .ok_or(Fault::form("a frame of AMQP is too short", self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.take(count).map(drop)
    }

    fn number(&mut self, count: usize) -> Result<u64, Fault> {
        let bytes = self.take(count)?.iter();
        Ok(bytes.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.number(1)? as u8)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        Ok(self.number(2)? as u16)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(self.number(4)? as u32)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.number(8)
    }

    fn short_text(&mut self) -> Result<String, Fault> {
        let length = self.u8()?;
        Ok(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn long_text(&mut self) -> Result<String, Fault> {
        let length = self.u32()?;
        Ok(String::from_utf8_lossy(self.take(length as usize)?).into_owned())
    }
}

/// Appends the answer to [`Said::Start`]: the user by the password itself (`PLAIN`).
pub fn encode_start_ok(user: &str, password: &str, out: &mut Vec<u8>) {
    let mut capabilities = Vec::new();
    for name in ["publisher_confirms", "basic.nack", "connection.blocked"] {
        short_text(name, &mut capabilities);
        capabilities.extend_from_slice(b"t\x01");
    }
    let mut properties = Vec::new();
    for (name, text) in [("product", "quaywatch"), ("platform", "Rust")] {
        short_text(name, &mut properties);
        properties.push(b'S');
        long(text.as_bytes(), &mut properties);
    }
    short_text("capabilities", &mut properties);
    properties.push(b'F');
    long(&capabilities, &mut properties);
    call(0, 10, 11, out, |body| {
        long(&properties, body);
        short_text("PLAIN", body);
        long(format!("\0{user}\0{password}").as_bytes(), body);
        short_text("en_US", body);
    });
}

/// Appends the answer to [`Said::Tune`]: one channel, frames of at most `frame` bytes, no heartbeats.
pub fn encode_tune_ok(frame: u32, out: &mut Vec<u8>) {
    call(0, 10, 31, out, |body| {
        body.extend_from_slice(&1_u16.to_be_bytes());
        body.extend_from_slice(&frame.to_be_bytes());
        body.extend_from_slice(&[0, 0]);
    });
}

/// Appends what opens a virtual host.
pub fn encode_open(host: &str, out: &mut Vec<u8>) {
    call(0, 10, 40, out, |body| {
        short_text(host, body);
        body.extend_from_slice(&[0, 0]);
    });
}

/// Appends what opens the channel.
pub fn encode_channel_open(out: &mut Vec<u8>) {
    call(CHANNEL, 20, 10, out, |body| body.push(0));
}

/// Appends what asks for confirms.
pub fn encode_confirm_select(out: &mut Vec<u8>) {
    call(CHANNEL, 85, 10, out, |body| body.push(0));
}

/// Appends a durable message that has to be routed to a queue. Names beyond 255 bytes are cut.
pub fn encode_publish(
    exchange: &str,
    routing_key: &str,
    content_type: &str,
    id: &str,
    payload: &[u8],
    max_frame: u32,
    out: &mut Vec<u8>,
) {
    call(CHANNEL, 60, 40, out, |body| {
        body.extend_from_slice(&[0, 0]);
        short_text(exchange, body);
        short_text(routing_key, body);
        // Mandatory: what nobody takes comes back.
        body.push(1);
    });
    frame(2, CHANNEL, out, |body| {
        body.extend_from_slice(&[0, 60, 0, 0]);
        body.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        body.extend_from_slice(&PROPERTIES.to_be_bytes());
        short_text(content_type, body);
        // Kept on disk where the queue is.
        body.push(2);
        short_text(id, body);
    });
    let most = (max_frame as usize).saturating_sub(AROUND).max(1);
    for piece in payload.chunks(most) {
        frame(3, CHANNEL, out, |body| body.extend_from_slice(piece));
    }
}

fn call(channel: u16, class: u16, method: u16, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    frame(1, channel, out, |payload| {
        payload.extend_from_slice(&class.to_be_bytes());
        payload.extend_from_slice(&method.to_be_bytes());
        body(payload);
    });
}

fn frame(kind: u8, channel: u16, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::new();
    body(&mut payload);
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    long(&payload, out);
    out.push(END);
}

fn short_text(text: &str, out: &mut Vec<u8>) {
    let text = text
        .get(..text.floor_char_boundary(255))
        .unwrap_or_default();
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn long(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        call(1, class, method, &mut out, |body| {
            body.extend_from_slice(arguments);
        });
        out
    }

    #[test]
    fn what_servers_say_is_read() {
        let start = b"\0\x09\0\0\0\x04\x01xt\x01\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US";
        let taken = |tag, multiple, good| Said::Taken {
            tag,
            multiple,
            good,
        };
        for (bytes, expected) in [
            (made(10, 10, start), Said::Start("PLAIN AMQPLAIN".into())),
            (
                made(10, 30, &[7, 255, 0, 2, 0, 0, 0, 60]),
                Said::Tune {
                    channels: 2047,
                    frame: 131_072,
                },
            ),
            (made(10, 41, &[0]), Said::Opened),
            (
                made(60, 80, &[0, 0, 0, 0, 0, 0, 1, 2, 1]),
                taken(258, true, true),
            ),
            (
                made(60, 120, &[0, 0, 0, 0, 0, 0, 0, 3, 0]),
                taken(3, false, false),
            ),
            (
                made(60, 50, b"\x01\x38\x08NO_ROUTE"),
                Said::Returned(312, "NO_ROUTE".into()),
            ),
            (
                made(20, 40, b"\x01\x94\x02no\0\x3c\0\x28"),
                Said::Closed(404, "no".into()),
            ),
            (vec![8, 0, 0, 0, 0, 0, 0, 0xce], Said::Nothing),
        ] {
            assert_eq!(parse(&bytes).unwrap(), Some((expected, bytes.len())));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]).unwrap(), None);
            }
        }
    }

    #[test]
    fn messages_are_framed_as_specified() {
        let mut out = Vec::new();
        encode_publish(
            "logs",
            "web",
            "text/plain",
            "id-7",
            &[b'x'; 30],
            20,
            &mut out,
        );
        let mut rest = &out[..];
        let mut frames = Vec::new();
        while let Some((said, length)) = parse(rest).unwrap() {
            frames.push((rest[0], length, said));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        let kinds: Vec<(u8, usize)> = frames
            .iter()
            .map(|(kind, size, _)| (*kind, *size))
            .collect();
        assert_eq!(kinds, [(1, 24), (2, 39), (3, 20), (3, 20), (3, 14)]);
        // What comes back names the message.
        assert_eq!(frames[1].2, Said::ReturnedId("id-7".into()));
        assert_eq!(
            out.get(..15),
            Some(&b"\x01\0\x01\0\0\0\x10\0\x3c\0\x28\0\0\x04l"[..])
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            &b"HTTP/1.1 400 Bad"[..],
            b"AMQP\0\0\x09\x01",
            &[1, 0, 0, 255, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 1, 0, 0],
            &made(60, 80, &[1]),
            &made(10, 10, &[0, 9, 255, 255, 255, 255]),
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                proptest::prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn any_method_is_read_or_refused(class in 0..100_u16, method in 0..130_u16, body: Vec<u8>) {
            let _said = parse(&made(class, method, &body));
        }
    }
}
