//! MQTT 3.1.1 and 5.0, as a client that publishes with quality of service 1 speaks them.
//!
//! Source: OASIS, "MQTT Version 3.1.1" and "MQTT Version 5.0"; numbers of sections are of the latter.

use crate::Fault;

/// Largest packet that is taken from a server, in bytes; it is told with version 5.
pub const MAX_PACKET: usize = 64 << 10;

/// Longest that a packet can be behind its length, in bytes (1.5.5).
pub const MAX_LENGTH: usize = 268_435_455;

/// Longest topic, in bytes (1.5.4).
const MAX_TEXT: usize = 65_535;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1: an answer says only that a message came.
    V3,
    /// 5.0: answers say what became of it.
    V5,
}

/// What a client is: `CONNECT`.
#[derive(Debug, Clone, Copy)]
pub struct Connect<'a> {
    /// The version.
    pub version: Version,
    /// Its name at the server.
    pub client: &'a str,
    /// User.
    pub user: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// Seconds after which silence of ours means that we are gone.
    pub keep_alive: u16,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The answer to `CONNECT`: 0, or why not.
    Connected {
        /// Code: of 3.1.1 (1 to 5), or a reason of 5.0 (128 and above).
        code: u8,
        /// What it allows.
        limits: Limits,
    },
    /// The answer to a message.
    Taken {
        /// Number of the message.
        id: u16,
        /// 0, 16 (nobody listens), or why not (128 and above); 0 with 3.1.1.
        reason: u8,
    },
    /// The answer to `PINGREQ`.
    Pong,
    /// It ends the connection.
    Ended {
        /// Why.
        reason: u8,
    },
}

/// What a server allows (3.2.2.3); the defaults are those of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages that may be without an answer.
    pub receive: u16,
    /// Best quality of service.
    pub quality: u8,
    /// Largest packet, in bytes.
    pub packet: u32,
    /// Its own keep-alive, in seconds, in place of ours.
    pub keep_alive: Option<u16>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            receive: u16::MAX,
            quality: 2,
            packet: u32::MAX,
            keep_alive: None,
        }
    }
}

/// The first packet in `bytes`, and its length; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes are none of the protocol, or a packet is larger than 64 KiB.
pub fn parse(version: Version, bytes: &[u8]) -> Result<Option<(Packet, usize)>, Fault> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    // The lower half is reserved and 0 in all that servers say to a publisher (2.1.3).
    if !matches!(first, 0x20 | 0x40 | 0xd0 | 0xe0) {
        return Err(Fault::form(
            "a packet of MQTT is none that was asked for",
            0,
        ));
    }
    let Some((length, begin)) = variable(bytes, 1)? else {
        return Ok(None);
    };
    if length > MAX_PACKET {
        return Err(Fault::too_long("a packet of MQTT is larger than 64 KiB", 1));
    }
    let Some(body) = bytes.get(begin..begin + length) else {
        return Ok(None);
    };
    let byte = |at: usize| body.get(at).copied();
    let short = Fault::form("a packet of MQTT is too short", begin);
    let packet = match first >> 4 {
        2 => Packet::Connected {
            code: byte(1).ok_or(short)?,
            limits: match version {
                Version::V3 => Limits::default(),
                Version::V5 => limits(body).map_err(|fault| fault.after(begin))?,
            },
        },
        4 => Packet::Taken {
            id: match (byte(0), byte(1)) {
                (Some(high), Some(low)) => u16::from_be_bytes([high, low]),
                _ => return Err(short),
            },
            reason: match version {
                Version::V3 => 0,
                Version::V5 => byte(2).unwrap_or(0),
            },
        },
        13 => Packet::Pong,
        _ => Packet::Ended {
            reason: byte(0).unwrap_or(0),
        },
    };
    Ok(Some((packet, begin + length)))
}

/// A variable byte integer at `at` (1.5.5), and where it ends.
fn variable(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0_usize;
    for place in 0..4 {
        let Some(byte) = bytes.get(at + place) else {
            return Ok(None);
        };
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + place + 1)));
        }
    }
    Err(Fault::form("a length of MQTT has more than four bytes", at))
}

/// The properties of `CONNACK` that bind us.
fn limits(body: &[u8]) -> Result<Limits, Fault> {
    let mut limits = Limits::default();
    let broken = Fault::form("the properties of `CONNACK` break off", 2);
    // A refusal may come without properties, of servers that do not know version 5.
    if body.len() <= 2 {
        return Ok(limits);
    }
    let (length, mut at) = variable(body, 2)?.ok_or(broken)?;
    let end = at + length;
    if end > body.len() {
        return Err(broken);
    }
    let byte = |at: usize| body.get(at).copied().map(u32::from);
    let number = |at: usize, bytes: usize| {
        (0..bytes).try_fold(0_u32, |sum, place| Some((sum << 8) | byte(at + place)?))
    };
    while at < end {
        let name = byte(at).ok_or(broken)?;
        at += 1;
        let size = match name {
            // One byte: best quality, retained, wildcards, identifiers, shared.
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            // Two: receive maximum, topic alias maximum, keep alive.
            0x21 | 0x22 | 0x13 => 2,
            // Four: expiry, packet size.
            0x11 | 0x27 => 4,
            // A text, or bytes: client, reason, response, reference, method, data.
            0x12 | 0x1f | 0x1a | 0x1c | 0x15 | 0x16 => 2 + number(at, 2).ok_or(broken)? as usize,
            // A pair of texts.
            0x26 => {
                let name = 2 + number(at, 2).ok_or(broken)? as usize;
                name + 2 + number(at + name, 2).ok_or(broken)? as usize
            }
            _ => return Err(Fault::form("`CONNACK` has an unknown property", at - 1)),
        };
        if at + size > end {
            return Err(broken);
        }
        let value = number(at, size.min(4)).ok_or(broken)?;
        match name {
            0x21 => limits.receive = (value as u16).max(1),
            0x24 => limits.quality = value as u8,
            0x27 => limits.packet = value,
            0x13 => limits.keep_alive = Some(value as u16),
            _ => {}
        }
        at += size;
    }
    Ok(limits)
}

/// Appends `CONNECT` with a clean start to `out` (3.1).
pub fn encode_connect(connect: &Connect<'_>, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    text("MQTT".as_bytes(), &mut body);
    body.push(match connect.version {
        Version::V3 => 4,
        Version::V5 => 5,
    });
    // Version 3.1.1 knows no password without a user.
    let user = connect.user.or(connect.password.map(|_| ""));
    let flags = 0x02
        | if user.is_some() { 0x80 } else { 0 }
        | if connect.password.is_some() { 0x40 } else { 0 };
    body.push(flags);
    body.extend_from_slice(&connect.keep_alive.to_be_bytes());
    if connect.version == Version::V5 {
        // One property: the largest packet that we take.
        body.extend_from_slice(&[5, 0x27]);
        body.extend_from_slice(&(MAX_PACKET as u32).to_be_bytes());
    }
    text(connect.client.as_bytes(), &mut body);
    if let Some(user) = user {
        text(user.as_bytes(), &mut body);
    }
    if let Some(password) = connect.password {
        text(password, &mut body);
    }
    packet(0x10, &body, out);
}

/// Appends a message with quality of service 1 to `out` (3.3). `id` is not 0.
pub fn encode_publish(
    version: Version,
    id: u16,
    topic: &str,
    retain: bool,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let mut head = Vec::with_capacity(topic.len() + 8);
    text(topic.as_bytes(), &mut head);
    head.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        // No properties.
        head.push(0);
    }
    out.push(0x32 | u8::from(retain));
    push_variable(head.len() + payload.len(), out);
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// Bytes of the packet that [`encode_publish`] makes.
pub fn publish_size(version: Version, topic: &str, payload: &[u8]) -> usize {
    let body = 2 + topic.len().min(MAX_TEXT) + 2 + payload.len();
    // At most five bytes in front.
    body + usize::from(version == Version::V5) + 5
}

/// Appends `PINGREQ` to `out`.
pub fn encode_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// `text` as a topic that can be published to: what has a meaning of its own becomes `_` (4.7.1), and it
/// is neither empty nor longer than a topic can be.
pub fn topic(text: &str) -> String {
    let mut topic: String = text
        .chars()
        .map(|character| match character {
            '+' | '#' => '_',
            other if other.is_control() => '_',
            other => other,
        })
        .collect();
    topic.truncate(topic.floor_char_boundary(MAX_TEXT));
    if topic.is_empty() {
        topic.push('_');
    }
    // Topics that begin so are the server's own (4.7.2).
    if topic.starts_with('$') {
        topic.replace_range(..1, "_");
    }
    topic
}

/// What the code of a refused connection or message means, in the words of the specification.
pub const fn meaning(code: u8) -> &'static str {
    match code {
        1 | 0x84 => "unsupported protocol version",
        2 | 0x85 => "client identifier not valid",
        3 | 0x88 => "server unavailable",
        4 | 0x86 => "bad user name or password",
        5 | 0x87 => "not authorized",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8d => "keep alive timeout",
        0x8e => "session taken over",
        0x90 => "topic name invalid",
        0x93 => "receive maximum exceeded",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "quality of service not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9f => "connection rate exceeded",
        _ => "unspecified error",
    }
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    push_variable(body.len(), out);
    out.extend_from_slice(body);
}

fn push_variable(mut value: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        for (version, bytes, expected) in [
            (
                Version::V3,
                &[0x20, 2, 0, 5][..],
                Packet::Connected {
                    code: 5,
                    limits: Limits::default(),
                },
            ),
            (
                Version::V5,
                &[
                    0x20, 24, 0, 0, 21, 0x21, 0, 20, 0x24, 1, 0x26, 0, 1, b'a', 0, 1, b'b', 0x27,
                    0, 1, 0, 0, 0x13, 0, 30, 0x29,
                ],
                Packet::Pong,
            ),
            (
                Version::V3,
                &[0x40, 2, 1, 2],
                Packet::Taken { id: 258, reason: 0 },
            ),
            (
                Version::V5,
                &[0x40, 3, 0, 1, 0x97],
                Packet::Taken {
                    id: 1,
                    reason: 0x97,
                },
            ),
            (Version::V5, &[0xd0, 0], Packet::Pong),
            (
                Version::V5,
                &[0xe0, 1, 0x8b],
                Packet::Ended { reason: 0x8b },
            ),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(parse(version, &bytes[..end]).unwrap(), None);
            }
            if bytes[1] == 24 {
                // The last property breaks off.
                assert!(parse(version, bytes).is_err());
                continue;
            }
            assert_eq!(
                parse(version, bytes).unwrap(),
                Some((expected, bytes.len()))
            );
        }
        let connected = [
            0x20, 22, 0, 0, 19, 0x21, 0, 20, 0x24, 1, 0x26, 0, 1, b'a', 0, 1, b'b', 0x27, 0, 1, 0,
            0, 0x29, 1,
        ];
        let Some((Packet::Connected { code: 0, limits }, 24)) =
            parse(Version::V5, &connected).unwrap()
        else {
            panic!("it is an answer");
        };
        assert_eq!(
            (limits.receive, limits.quality, limits.packet),
            (20, 1, 65_536)
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            &b"HTTP/1.1 400 Bad"[..],
            &[0x20, 1, 0],
            &[0x40, 1, 0],
            &[0x20, 0xff, 0xff, 0xff, 0xff],
            &[0x20, 0xff, 0xff, 0x7f],
            &[0x20, 4, 0, 0, 9, 0x21],
        ] {
            assert!(parse(Version::V5, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn packets_are_written_as_specified() {
        let mut out = Vec::new();
        let connect = Connect {
            version: Version::V3,
            client: "qw",
            user: Some("u"),
            password: Some(b"p"),
            keep_alive: 60,
        };
        encode_connect(&connect, &mut out);
        assert_eq!(
            out,
            b"\x10\x14\0\x04MQTT\x04\xc2\0\x3c\0\x02qw\0\x01u\0\x01p"
        );
        out.clear();
        encode_publish(Version::V5, 10, "a/b", false, b"hi", &mut out);
        assert_eq!(out, b"\x32\x0a\0\x03a/b\0\x0a\0hi");
        assert!(publish_size(Version::V5, "a/b", b"hi") >= out.len());
        out.clear();
        encode_publish(Version::V3, 1, "a", true, &[0; 200], &mut out);
        assert_eq!(out.get(..8), Some(&b"\x33\xcd\x01\0\x01a\0\x01"[..]));
        assert_eq!(topic("$a/+/#\n"), "_a/_/__");
        assert_eq!(topic(""), "_");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, is_old: bool) {
            let version = if is_old { Version::V3 } else { Version::V5 };
            if let Ok(Some((_, length))) = parse(version, &bytes) {
                proptest::prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn any_connack_is_read_or_refused(body in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let mut bytes = vec![0x20, body.len() as u8];
            bytes.extend_from_slice(&body);
            let _answer = parse(Version::V5, &bytes);
        }
    }
}
