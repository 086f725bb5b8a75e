//! RESP 2, the protocol of Redis and of what follows it: commands out, replies in.
//!
//! Source: Redis documentation, "Redis serialization protocol specification".

use crate::Fault;

/// Longest line and longest text of a reply that is taken, in bytes.
const MAX_REPLY: usize = 64 << 10;

/// One piece of a reply. An array is its head, and as many pieces behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A short text, such as `OK`.
    Simple(&'a str),
    /// Why a command was refused; its first word is the kind, such as `NOAUTH`.
    Error(&'a str),
    /// A number.
    Integer(i64),
    /// A text.
    Bulk(&'a [u8]),
    /// Nothing.
    Null,
    /// So many replies follow.
    Array(usize),
}

/// The first piece in `bytes`, and its length; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes are none of the protocol, or a piece is longer than 64 KiB.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Fault> {
    let Some(kind) = bytes.first() else {
        return Ok(None);
    };
    if !b"+-:$*".contains(kind) {
        return Err(Fault::form("a reply of Redis begins with another sign", 0));
    }
    let Some(end) = memchr::memchr(
        b'\n',
        bytes.get(..bytes.len().min(MAX_REPLY)).unwrap_or(bytes),
    ) else {
        return if bytes.len() >= MAX_REPLY {
            Err(Fault::too_long("a line of Redis is longer than 64 KiB", 0))
        } else {
            Ok(None)
        };
    };
    let line = bytes
        .get(1..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(Fault::form("a line of Redis does not end with CR LF", end))?;
    let text =
        std::str::from_utf8(line).map_err(|_| Fault::form("a line of Redis is not UTF-8", 1))?;
    let number = || {
        text.parse::<i64>()
            .map_err(|_| Fault::form("a number of Redis is none", 1))
    };
    let reply = match kind {
        b'+' => Reply::Simple(text),
        b'-' => Reply::Error(text),
        b':' => Reply::Integer(number()?),
        b'*' => match number()? {
            -1 => Reply::Null,
            count => Reply::Array(
                usize::try_from(count)
                    .map_err(|_| Fault::form("an array of Redis has a negative length", 1))?,
            ),
        },
        _ => match number()? {
            -1 => Reply::Null,
            length => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MAX_REPLY)
                    .ok_or(Fault::too_long("a text of Redis is longer than 64 KiB", 1))?;
                let begin = end + 1;
                let Some(text) = bytes.get(begin..begin + length + 2) else {
                    return Ok(None);
                };
                let text = text.strip_suffix(b"\r\n").ok_or(Fault::form(
                    "a text of Redis does not end where it should",
                    begin + length,
                ))?;
                return Ok(Some((Reply::Bulk(text), begin + length + 2)));
            }
        },
    };
    Ok(Some((reply, end + 1)))
}

/// Appends a command with its arguments to `out`.
pub fn encode(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        // Of the specification's examples.
        for (bytes, expected) in [
            ("+OK\r\n", Reply::Simple("OK")),
            (
                "-ERR unknown command 'x'\r\n",
                Reply::Error("ERR unknown command 'x'"),
            ),
            (":-1000\r\n", Reply::Integer(-1000)),
            ("$5\r\nhello\r\n", Reply::Bulk(b"hello")),
            ("$0\r\n\r\n", Reply::Bulk(b"")),
            ("$-1\r\n", Reply::Null),
            ("*-1\r\n", Reply::Null),
            ("*3\r\n", Reply::Array(3)),
        ] {
            let expected = Some((expected, bytes.len()));
            assert_eq!(parse(bytes.as_bytes()).unwrap(), expected, "{bytes}");
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes.as_bytes()[..end]).unwrap(), None, "{bytes}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in [
            "HTTP/1.1 400\r\n",
            ":x\r\n",
            "$99999999\r\n",
            "$-2\r\n",
            "*-2\r\n",
            "+OK\n",
            "$2\r\nabcd",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse(&vec![b'+'; MAX_REPLY]).is_err());
    }

    #[test]
    fn commands_are_written_as_arrays() {
        let mut out = Vec::new();
        encode(&[b"LLEN", b"my\r\nlist"], &mut out);
        assert_eq!(out, b"*2\r\n$4\r\nLLEN\r\n$8\r\nmy\r\nlist\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                proptest::prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn texts_survive(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut out = Vec::new();
            encode(&[&text], &mut out);
            let (head, length) = parse(&out).unwrap().unwrap();
            proptest::prop_assert_eq!(head, Reply::Array(1));
            let (reply, _) = parse(&out[length..]).unwrap().unwrap();
            proptest::prop_assert_eq!(reply, Reply::Bulk(&text));
        }
    }
}
