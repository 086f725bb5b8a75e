//! NATS, as a client that publishes speaks it.
//!
//! Operations are lines; `MSG` and `HMSG` carry a payload behind theirs. Source: NATS documentation,
//! "Client Protocol", and ADR-4 for headers.

use serde::{Deserialize, Serialize};

use crate::Fault;

/// Longest line of the server that is taken, in bytes: `INFO` lists every server of a cluster.
const MAX_LINE: usize = 64 << 10;

/// Largest message of the server that is taken, in bytes: answers to what was published are short.
const MAX_MESSAGE: usize = 64 << 10;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// What it is and wants, at the beginning, and whenever that changes.
    Info(Info),
    /// A message of a subscription.
    Message {
        /// Where it was published.
        subject: &'a str,
        /// Status in its headers: 503 says that nobody listens.
        status: Option<u16>,
        /// The payload.
        payload: &'a [u8],
    },
    /// It wants a `PONG`.
    Ping,
    /// Everything sent before our `PING` is done.
    Pong,
    /// What was sent is taken; only said to those who ask for it.
    Done,
    /// Something was refused: the text, without quotes.
    Refused(&'a str),
}

/// What a server is and wants: what matters here of `INFO`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Largest payload with headers, in bytes.
    pub max_payload: usize,
    /// It understands headers.
    pub headers: bool,
    /// It goes on over TLS only.
    pub tls_required: bool,
    /// It can go on over TLS.
    pub tls_available: bool,
    /// It is about to end, and takes no new work.
    pub ldm: bool,
}

/// What a client is and wants: `CONNECT`.
#[derive(Debug, Default, Serialize)]
pub struct Connect<'a> {
    /// Asks for `+OK` after each operation.
    pub verbose: bool,
    /// Asks for a stricter check of subjects.
    pub pedantic: bool,
    /// The connection is over TLS.
    pub tls_required: bool,
    /// Name of the program.
    pub name: &'a str,
    /// Language of the program.
    pub lang: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// 1: `INFO` may come at any time.
    pub protocol: u8,
    /// Understands headers.
    pub headers: bool,
    /// Wants to be told when nobody listens.
    pub no_responders: bool,
    /// User.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// Password of that user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<&'a str>,
    /// Token, in place of user and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<&'a str>,
}

/// What JetStream answers to a message: stored, or not (`PubAck`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PublishAnswer {
    /// The stream that has it.
    pub stream: String,
    /// The stream had a message with this id already.
    pub duplicate: bool,
    /// Why it was not stored.
    pub error: Option<PublishError>,
}

/// Why JetStream did not store a message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PublishError {
    /// As a status of HTTP.
    pub code: u16,
    /// Of JetStream's own numbers.
    pub err_code: u32,
    /// In words.
    pub description: String,
}

/// The first operation in `bytes`, and its length with its end; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes are none of the protocol, or an operation is longer than 64 KiB.
pub fn parse(bytes: &[u8]) -> Result<Option<(Operation<'_>, usize)>, Fault> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > MAX_LINE {
            Err(Fault::too_long("a line of NATS is longer than 64 KiB", 0))
        } else {
            Ok(None)
        };
    };
    if end > MAX_LINE {
        return Err(Fault::too_long("a line of NATS is longer than 64 KiB", 0));
    }
    let line = bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line =
        std::str::from_utf8(line).map_err(|_| Fault::form("a line of NATS is not UTF-8", 0))?;
    let (name, arguments) = line
        .split_once([' ', '\t'])
        .map_or((line, ""), |(name, rest)| (name, rest.trim()));
    let rest = bytes.get(end + 1..).unwrap_or_default();
    let operation = match name.to_ascii_uppercase().as_str() {
        "PING" => Operation::Ping,
        "PONG" => Operation::Pong,
        "+OK" => Operation::Done,
        "-ERR" => Operation::Refused(arguments.trim_matches('\'')),
        "INFO" => Operation::Info(
            serde_json::from_str(arguments)
                .map_err(|_| Fault::form("`INFO` of NATS carries no JSON of the right form", 5))?,
        ),
        "MSG" => return message(arguments, rest, false, end + 1),
        "HMSG" => return message(arguments, rest, true, end + 1),
        _ => {
            return Err(Fault::form("a line is no operation of a server of NATS", 0));
        }
    };
    Ok(Some((operation, end + 1)))
}

/// `subject sid [reply-to] [header bytes] total bytes`, and what follows.
fn message<'a>(
    arguments: &'a str,
    rest: &'a [u8],
    has_headers: bool,
    before: usize,
) -> Result<Option<(Operation<'a>, usize)>, Fault> {
    let words: Vec<&str> = arguments.split_ascii_whitespace().take(6).collect();
    let numbers = 1 + usize::from(has_headers);
    let is_right = (2 + numbers..=3 + numbers).contains(&words.len());
    let number = |back: usize| -> Option<usize> {
        words
            .get(words.len().checked_sub(back)?)
            .and_then(|word| word.parse().ok())
    };
    let (Some(subject), Some(total), true) = (words.first(), number(1), is_right) else {
        return Err(Fault::form("a message of NATS has no right head", 0));
    };
    let head = if has_headers {
        number(2).ok_or(Fault::form("a message of NATS has no right head", 0))?
    } else {
        0
    };
    if total > MAX_MESSAGE || head > total {
        return Err(Fault::too_long(
            "a message of NATS is longer than 64 KiB, or its headers than itself",
            0,
        ));
    }
    if rest.len() < total + 2 {
        return Ok(None);
    }
    if rest.get(total..total + 2) != Some(b"\r\n") {
        return Err(Fault::form(
            "a message of NATS does not end where it should",
            before + total,
        ));
    }
    let headers = rest.get(..head).unwrap_or_default();
    let payload = rest.get(head..total).unwrap_or_default();
    let operation = Operation::Message {
        subject,
        status: status(headers),
        payload,
    };
    Ok(Some((operation, before + total + 2)))
}

/// The status of `NATS/1.0 503\r\n…`.
fn status(headers: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(headers.get(..12)?).ok()?;
    text.strip_prefix("NATS/1.0 ")?.parse().ok()
}

/// Appends `CONNECT` to `out`.
pub fn encode_connect(connect: &Connect<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"CONNECT ");
    // Writing texts and truths to memory cannot fail.
    if serde_json::to_writer(&mut *out, connect).is_err() {
        out.extend_from_slice(b"{}");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a message to `out`; with `answer_to`, its answer comes to that subject, and with `id`,
/// JetStream takes it only once. Both subjects and the id have to be free of white space.
pub fn encode_publish(
    subject: &str,
    answer_to: Option<&str>,
    id: Option<&str>,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let headers = id.map_or(String::new(), |id| {
        format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n")
    });
    let name = if headers.is_empty() { "PUB " } else { "HPUB " };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(subject.as_bytes());
    if let Some(answer_to) = answer_to {
        out.push(b' ');
        out.extend_from_slice(answer_to.as_bytes());
    }
    if !headers.is_empty() {
        out.extend_from_slice(format!(" {}", headers.len()).as_bytes());
    }
    out.extend_from_slice(format!(" {}\r\n", headers.len() + payload.len()).as_bytes());
    out.extend_from_slice(headers.as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// `text` as a subject that can be published to: what has a meaning of its own, or cannot be, becomes
/// `_`, and no part between dots is empty.
pub fn subject(text: &str) -> String {
    let mut subject = String::with_capacity(text.len());
    for part in text.split('.') {
        if !subject.is_empty() {
            subject.push('.');
        }
        if part.is_empty() {
            subject.push('_');
        }
        subject.extend(part.chars().map(|character| match character {
            '*' | '>' => '_',
            other if other.is_whitespace() || other.is_control() => '_',
            other => other,
        }));
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<String> {
        let mut said = Vec::new();
        while let Some((operation, length)) = parse(bytes).unwrap() {
            said.push(format!("{operation:?}"));
            bytes = &bytes[length..];
        }
        said
    }

    #[test]
    fn what_servers_say_is_read() {
        // Of the documentation's examples, and of a server's answers.
        let said = all(concat!(
            "INFO {\"server_id\":\"x\",\"max_payload\":1048576,\"headers\":true} \r\n",
            "+OK\r\nPING\r\npong\r\n-ERR 'Unknown Protocol Operation'\r\n",
            "MSG FOO.BAR 9 11\r\nHello World\r\n",
            "MSG FOO.BAR 9 GREETING.34 0\r\n\r\n",
            "HMSG _INBOX.a.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
            "HMSG FOO 9 BAZ.69 22 33\r\nNATS/1.0\r\nBar: Baz\r\n\r\nHello World\r\n",
        )
        .as_bytes());
        assert_eq!(said.len(), 9, "{said:#?}");
        assert!(said[0].contains("max_payload: 1048576"), "{}", said[0]);
        assert!(said[4].contains("\"Unknown Protocol Operation\""));
        assert!(said[5].contains("FOO.BAR") && said[6].contains("payload: []"));
        assert!(said[7].contains("status: Some(503)"));
        assert!(said[8].contains("status: None"));
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for_and_what_is_wrong_refused() {
        let whole = b"HMSG FOO 9 BAZ.69 22 33\r\nNATS/1.0\r\nBar: Baz\r\n\r\nHello World\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).unwrap(), None, "{end}");
        }
        for wrong in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"INFO x\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 99999999999\r\n",
            b"HMSG a 1 9 3\r\n",
            b"MSG a 1 2\r\nabcd",
            b"\xff\r\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse(&vec![b'x'; MAX_LINE + 1]).is_err());
    }

    #[test]
    fn messages_are_written_as_documented() {
        let mut out = Vec::new();
        encode_publish("FOO", None, None, b"Hello NATS!", &mut out);
        encode_publish("FOO", Some("R"), Some("a-1"), b"x", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "PUB FOO 11\r\nHello NATS!\r\n\
             HPUB FOO R 30 31\r\nNATS/1.0\r\nNats-Msg-Id: a-1\r\n\r\nx\r\n"
        );
        assert_eq!(subject("logs..a b.*>"), "logs._.a_b.__");
        assert_eq!(subject(""), "_");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                proptest::prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn any_text_becomes_a_subject(text: String) {
            let subject = subject(&text);
            proptest::prop_assert!(!subject.contains([' ', '\r', '\n', '*', '>', '\t']));
            proptest::prop_assert!(subject.split('.').all(|part| !part.is_empty()));
        }
    }
}
