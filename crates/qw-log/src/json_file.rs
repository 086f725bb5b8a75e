//! Lines of Docker's log driver `json-file` → entries.
//!
//! `{"log":"line\n","stream":"stdout","attrs":{…},"time":"2026-11-21T07:15:50.601341045Z"}`; `attrs` only
//! with log options that ask for it, `log` not when it is empty; a piece of a long line has no `\n`.
//! Lines as the engine writes them are taken apart by hand; any other order or shape goes to a JSON
//! parser, with the same result. Source: moby/moby, `daemon/logger/jsonfilelog/jsonlog`.

use std::{borrow::Cow, fmt};

use memchr::{memchr2, memmem, memrchr};
use qw_event::Timestamp;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::{Entry, Reject, Stream, time};

/// How an entry that the engine wrote begins. It cannot stand within a JSON string.
const START: &[u8] = b"{\"log\":\"";

/// Decodes lines; keeps memory that it uses again.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Text of the current line, when it cannot be borrowed from it.
    scratch: Vec<u8>,
    /// The last `attrs` that were found to be JSON: usually those of every line of a file.
    known_attrs: Vec<u8>,
}

impl Decoder {
    /// A decoder without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one line, with or without its line end.
    ///
    /// Remains of a torn write in front of an entry (NUL bytes, half an entry without a line end) are
    /// passed over and counted in [`Entry::skipped`]. Escaped lone surrogates become U+FFFD. Text is
    /// borrowed from `line` unless more than its line end was escaped.
    ///
    /// # Errors
    /// When no entry stands in the line.
    pub fn decode<'a>(&'a mut self, line: &'a [u8]) -> Result<Entry<'a>, Reject> {
        let whole = line.strip_suffix(b"\n").unwrap_or(line);
        let nuls = whole.iter().take_while(|byte| **byte == 0).count();
        let mut skipped = nuls;
        let line = whole.get(nuls..).unwrap_or_default();
        if line.is_empty() {
            return Err(if nuls > 0 {
                Reject::Nuls
            } else {
                Reject::Empty
            });
        }
        let found = match self.decode_at(line) {
            Ok(found) => found,
            Err(reject) => {
                let torn = memmem::rfind(line, START).filter(|begin| *begin > 0);
                let begin = torn.ok_or(reject)?;
                skipped += begin;
                self.decode_at(line.get(begin..).unwrap_or_default())?
            }
        };
        Ok(Entry {
            time: found.time,
            stream: found.stream,
            text: match found.text {
                Text::Borrowed(text) => text,
                Text::Scratch => &self.scratch,
            },
            ends_line: found.ends_line,
            attrs: found.attrs,
            skipped,
        })
    }

    fn decode_at<'l>(&mut self, line: &'l [u8]) -> Result<Found<'l>, Reject> {
        match self.as_written(line) {
            Some(found) => Ok(found),
            None => self.as_json(line),
        }
    }

    /// The shape that the engine writes; `None` for any other.
    fn as_written<'l>(&mut self, line: &'l [u8]) -> Option<Found<'l>> {
        let line = line.strip_prefix(START)?;
        let (text, ends_line, rest) = self.text(line)?;
        let rest = rest.strip_prefix(b",\"stream\":\"std")?;
        let (stream, rest) = match rest {
            [b'o', b'u', b't', b'"', b',', rest @ ..] => (Stream::Stdout, rest),
            [b'e', b'r', b'r', b'"', b',', rest @ ..] => (Stream::Stderr, rest),
            _ => return None,
        };
        let rest = rest.strip_suffix(b"\"}")?;
        let (attrs, time) = match rest.strip_prefix(b"\"time\":\"") {
            Some(time) => (None, time),
            None => {
                let attrs = rest.strip_prefix(b"\"attrs\":")?;
                let quote = memrchr(b'"', attrs)?;
                let time = attrs.get(quote + 1..)?;
                let attrs = attrs.get(..quote)?.strip_suffix(b",\"time\":")?;
                (Some(self.attrs(attrs)?), time)
            }
        };
        let time = time::parse_rfc3339(time)?;
        Some(Found {
            time,
            stream,
            text,
            ends_line,
            attrs,
        })
    }

    /// Text up to the quote that ends it, whether it ends a line, and what stands behind the quote.
    fn text<'l>(&mut self, line: &'l [u8]) -> Option<(Text<'l>, bool, &'l [u8])> {
        let special = memchr2(b'"', b'\\', line)?;
        let (text, rest) = line.split_at_checked(special)?;
        match rest {
            [b'"', rest @ ..] => return Some((Text::Borrowed(text), false, rest)),
            [b'\\', b'n', b'"', rest @ ..] => return Some((Text::Borrowed(text), true, rest)),
            _ => {}
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(text);
        let mut rest = rest;
        let rest = loop {
            rest = match rest {
                [b'"', rest @ ..] => break rest,
                [b'\\', rest @ ..] => unescape(rest, &mut self.scratch)?,
                _ => {
                    let special = memchr2(b'"', b'\\', rest)?;
                    let (plain, rest) = rest.split_at_checked(special)?;
                    self.scratch.extend_from_slice(plain);
                    rest
                }
            };
        };
        let ends_line = self.scratch.pop_if(|last| *last == b'\n').is_some();
        Some((Text::Scratch, ends_line, rest))
    }

    fn attrs<'l>(&mut self, attrs: &'l [u8]) -> Option<&'l str> {
        let text = std::str::from_utf8(attrs).ok()?;
        if attrs != self.known_attrs {
            let value: &RawValue = serde_json::from_str(text).ok()?;
            // White space around it would not be part of the value.
            if value.get() != text || !text.starts_with('{') {
                return None;
            }
            self.known_attrs.clear();
            self.known_attrs.extend_from_slice(attrs);
        }
        Some(text)
    }

    /// Any JSON object with the members that matter.
    fn as_json<'l>(&mut self, line: &'l [u8]) -> Result<Found<'l>, Reject> {
        let members: Members<'l> = serde_json::from_slice(line).map_err(|_| Reject::NotJson)?;
        let attrs = members.attrs.map(RawValue::get);
        if attrs.is_some_and(|attrs| !attrs.starts_with('{')) {
            return Err(Reject::NotJson);
        }
        let stream = match members.stream {
            None => Stream::Stdout,
            Some(name) => Stream::from_name(name.as_bytes()).ok_or(Reject::BadStream)?,
        };
        let time = members.time.ok_or(Reject::BadTime)?;
        let time = time::parse_rfc3339(time.as_bytes()).ok_or(Reject::BadTime)?;
        self.scratch.clear();
        replace_surrogates(&members.log.0, &mut self.scratch);
        let ends_line = self.scratch.pop_if(|last| *last == b'\n').is_some();
        Ok(Found {
            time,
            stream,
            text: Text::Scratch,
            ends_line,
            attrs,
        })
    }
}

struct Found<'l> {
    time: Timestamp,
    stream: Stream,
    text: Text<'l>,
    ends_line: bool,
    attrs: Option<&'l str>,
}

/// Where the text of an entry is.
enum Text<'l> {
    Borrowed(&'l [u8]),
    Scratch,
}

/// Adds what the escape behind a backslash stands for; returns what follows it.
fn unescape<'l>(escape: &'l [u8], into: &mut Vec<u8>) -> Option<&'l [u8]> {
    let (kind, rest) = escape.split_first()?;
    let byte = match kind {
        b'n' => b'\n',
        b'"' | b'\\' | b'/' => *kind,
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'u' => return unescape_unicode(rest, into),
        _ => return None,
    };
    into.push(byte);
    Some(rest)
}

fn unescape_unicode<'l>(digits: &'l [u8], into: &mut Vec<u8>) -> Option<&'l [u8]> {
    let (first, rest) = hexadecimal(digits)?;
    if first < 0x80 {
        into.push(first as u8);
        return Some(rest);
    }
    let (scalar, rest) = match first {
        0xd800..0xdc00 => match rest.strip_prefix(b"\\u").map(hexadecimal) {
            Some(Some((second @ 0xdc00..0xe000, rest))) => {
                let pair = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                (pair, rest)
            }
            _ => (first, rest),
        },
        _ => (first, rest),
    };
    let scalar = char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER);
    into.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

fn hexadecimal(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let mut value = 0;
    for digit in digits {
        value = value << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((value, rest))
}

/// The JSON parser leaves lone surrogates as three bytes that no UTF-8 has.
fn replace_surrogates(text: &[u8], into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(0xed, rest)
        && let Some((plain, tail)) = rest.split_at_checked(at)
    {
        into.extend_from_slice(plain);
        rest = match tail {
            [_, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => {
                into.extend_from_slice("\u{fffd}".as_bytes());
                rest
            }
            [first, rest @ ..] => {
                into.push(*first);
                rest
            }
            [] => tail,
        };
    }
    into.extend_from_slice(rest);
}

#[derive(Deserialize)]
struct Members<'l> {
    #[serde(default, borrow)]
    log: Bytes<'l>,
    #[serde(borrow)]
    stream: Option<Cow<'l, str>>,
    #[serde(borrow)]
    time: Option<Cow<'l, str>>,
    #[serde(borrow)]
    attrs: Option<&'l RawValue>,
}

/// A JSON string as bytes, which need not be UTF-8.
#[derive(Default)]
struct Bytes<'l>(Cow<'l, [u8]>);

impl<'de: 'l, 'l> Deserialize<'de> for Bytes<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Bytes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Bytes(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Bytes(Cow::Owned(bytes.to_owned())))
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-11-21T07:15:50.601341045Z";

    #[track_caller]
    fn check(line: &str, text: &str, ends_line: bool, stream: Stream, attrs: Option<&str>) {
        check_bytes(line.as_bytes(), text, ends_line, stream, attrs, 0);
    }

    #[track_caller]
    fn check_bytes(
        line: &[u8],
        text: &str,
        ends_line: bool,
        stream: Stream,
        attrs: Option<&str>,
        skipped: usize,
    ) {
        let mut decoder = Decoder::new();
        let entry = decoder.decode(line).unwrap();
        assert_eq!(String::from_utf8_lossy(entry.text), text);
        let found = (entry.ends_line, entry.stream, entry.attrs, entry.skipped);
        assert_eq!(found, (ends_line, stream, attrs, skipped));
        assert_eq!(entry.time.to_string(), TIME);
    }

    #[test]
    fn lines_as_the_engine_writes_them() {
        use Stream::{Stderr, Stdout};
        check(
            &format!(r#"{{"log":"hello\n","stream":"stdout","time":"{TIME}"}}"#),
            "hello",
            true,
            Stdout,
            None,
        );
        check(
            &format!("{{\"log\":\"piece\",\"stream\":\"stderr\",\"time\":\"{TIME}\"}}\n"),
            "piece",
            false,
            Stderr,
            None,
        );
        check(
            &format!(r#"{{"log":"\n","stream":"stdout","time":"{TIME}"}}"#),
            "",
            true,
            Stdout,
            None,
        );
        check(
            &format!(r#"{{"stream":"stdout","time":"{TIME}"}}"#),
            "",
            false,
            Stdout,
            None,
        );
        check(
            &format!(
                r#"{{"log":"a\"b\\c\u003cd\u003e\t\u0026\r\n","stream":"stdout","time":"{TIME}"}}"#
            ),
            "a\"b\\c<d>\t&\r",
            true,
            Stdout,
            None,
        );
        check(
            &format!(
                r#"{{"log":"\u001b[31mé\u2028😀\ufffd\n","stream":"stdout","attrs":{{"tag":"a\"}},\"time\":\"x","n":{{"b":"c"}}}},"time":"{TIME}"}}"#
            ),
            "\u{1b}[31mé\u{2028}😀\u{fffd}",
            true,
            Stdout,
            Some(r#"{"tag":"a\"},\"time\":\"x","n":{"b":"c"}}"#),
        );
    }

    #[test]
    fn other_orders_and_shapes_are_read_too() {
        use Stream::{Stderr, Stdout};
        check(
            &format!(
                r#" {{ "time" : "{TIME}", "attrs": {{"a": "b"}}, "stream":"stderr", "extra": [1], "log": "x\u0041\n" }}"#
            ),
            "xA",
            true,
            Stderr,
            Some(r#"{"a": "b"}"#),
        );
        check(
            &format!(r#"{{"log":"no stream\n","time":"{TIME}"}}"#),
            "no stream",
            true,
            Stdout,
            None,
        );
        check(
            &format!(r#"{{"log":"x\n","stream":"st\u0064out","time":"{TIME}"}}"#),
            "x",
            true,
            Stdout,
            None,
        );
    }

    #[test]
    fn surrogates_are_paired_or_replaced() {
        use Stream::Stdout;
        for (escaped, expected) in [
            (r"\ud83d\ude00", "😀"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00x", "\u{fffd}x"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83dA", "\u{fffd}A"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\u0000", "\0"),
        ] {
            let line = format!(r#"{{"log":"{escaped}|","stream":"stdout","time":"{TIME}"}}"#);
            check(&line, &format!("{expected}|"), false, Stdout, None);
            let line = format!(r#"{{"time":"{TIME}","log":"{escaped}|","stream":"stdout"}}"#);
            check(&line, &format!("{expected}|"), false, Stdout, None);
        }
    }

    #[test]
    fn torn_writes_cost_no_entry_but_their_own() {
        use Stream::Stdout;
        let whole = format!(r#"{{"log":"whole\n","stream":"stdout","time":"{TIME}"}}"#);
        for torn in [
            "\0\0\0\0",
            r#"{"log":"ha"#,
            r#"{"log":"half\n","stream":"st"#,
            r#"{"log":"half\n","stream":"stdout","time":"2026-11"#,
            "{\"log\":\"half\0\0\0\0",
            "{",
            r#"{"log":"half\"#,
        ] {
            let line = format!("{torn}{whole}");
            check_bytes(line.as_bytes(), "whole", true, Stdout, None, torn.len());
        }
        // Only the line end was torn off: what was passed over is an entry of its own.
        let twice = whole.repeat(2);
        check_bytes(twice.as_bytes(), "whole", true, Stdout, None, whole.len());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept() {
        let mut line = br#"{"log":"a"#.to_vec();
        line.push(0xff);
        line.extend_from_slice(br#"b\n","stream":"stdout","time":"2026-11-21T07:15:50Z"}"#);
        let mut decoder = Decoder::new();
        assert_eq!(decoder.decode(&line).unwrap().text, b"a\xffb");
        line.insert(1, b' ');
        assert_eq!(decoder.decode(&line).unwrap().text, b"a\xffb");
    }

    #[test]
    fn other_lines_are_refused_with_the_reason() {
        let check = |line: &str, expected: Reject| {
            assert_eq!(
                Decoder::new().decode(line.as_bytes()),
                Err(expected),
                "{line:?}"
            );
        };
        check("", Reject::Empty);
        check("\n", Reject::Empty);
        check("\0\0\0\n", Reject::Nuls);
        check("plain text", Reject::NotJson);
        check("[1]", Reject::NotJson);
        check("{}", Reject::BadTime);
        check(
            r#"{"log":"x\n","stream":"stdout","time":"now"}"#,
            Reject::BadTime,
        );
        check(
            r#"{"log":"x\n","stream":"stdin","time":"2026-11-21T07:15:50Z"}"#,
            Reject::BadStream,
        );
        check(
            r#"{"log":"x\n","stream":"stdout","time":"2026-11-21T07:15:50Z""#,
            Reject::NotJson,
        );
        check(
            r#"{"log":"x\q","stream":"stdout","time":"2026-11-21T07:15:50Z"}"#,
            Reject::NotJson,
        );
        check(
            r#"{"log":"x\u12","stream":"stdout","time":"2026-11-21T07:15:50Z"}"#,
            Reject::NotJson,
        );
        check(
            r#"{"log":"x","stream":"stdout","attrs":{"a":1,"time":"2026-11-21T07:15:50Z"}"#,
            Reject::NotJson,
        );
        check(
            r#"{"log":"x","stream":"stdout","attrs":[],"time":"2026-11-21T07:15:50Z"}"#,
            Reject::NotJson,
        );
        check(
            r#"{"log":7,"stream":"stdout","time":"2026-11-21T07:15:50Z"}"#,
            Reject::NotJson,
        );
    }

    #[test]
    fn lines_of_a_mebibyte_are_read() {
        let long = "x\\\"".repeat(1 << 19);
        let line = format!(r#"{{"log":"{long}\n","stream":"stdout","time":"{TIME}"}}"#);
        check(&line, &"x\"".repeat(1 << 19), true, Stream::Stdout, None);
        let cut = &line.as_bytes()[..line.len() - 40];
        assert_eq!(Decoder::new().decode(cut), Err(Reject::NotJson));
    }

    /// What the engine writes for `text`, escaped as it does.
    fn written(text: &str, stream: &str, attrs: Option<&str>) -> String {
        let log = serde_json::to_string(text).unwrap();
        let log = log
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028");
        let attrs = attrs.map_or(String::new(), |attrs| format!("\"attrs\":{attrs},"));
        format!(r#"{{"log":{log},"stream":"{stream}",{attrs}"time":"{TIME}"}}"#)
    }

    proptest! {
        #[test]
        fn both_ways_agree(
            text in "(\\PC|[\\x00-\\x1f\"\\\\<>&\u{2028}]){0,60}\n?",
            stream in "std(out|err|in)",
            attrs in proptest::option::of(prop_oneof![
                Just("{}".to_owned()), Just(r#"{"tag":"x\"y"}"#.to_owned()), Just("{]".to_owned()), Just("7".to_owned()),
            ]),
        ) {
            let line = written(&text, &stream, attrs.as_deref());
            let mut decoder = Decoder::new();
            let mut reference = Decoder::new();
            let fast = decoder.decode(line.as_bytes());
            let slow = reference.as_json(line.as_bytes());
            match (fast, slow) {
                (Ok(fast), Ok(slow)) => {
                    prop_assert_eq!(fast.text, &reference.scratch[..]);
                    prop_assert_eq!(fast.text, text.strip_suffix('\n').unwrap_or(&text).as_bytes());
                    prop_assert_eq!(fast.ends_line, slow.ends_line);
                    prop_assert_eq!(fast.stream, slow.stream);
                    prop_assert_eq!(fast.time, slow.time);
                    prop_assert_eq!(fast.attrs, slow.attrs);
                }
                (fast, slow) => prop_assert_eq!(fast.err(), slow.err()),
            }
        }

        #[test]
        fn escapes_agree(escapes in "(\\\\u[dD][89a-fA-F0-9][0-9a-f]{2}|\\\\u[0-9a-fA-F]{4}|\\\\[nrtbf/\"\\\\qux]|[a-z\"]){0,12}") {
            let line = format!(r#"{{"log":"{escapes}","stream":"stdout","time":"{TIME}"}}"#);
            let mut reference = Decoder::new();
            let mut decoder = Decoder::new();
            let fast = decoder.decode_at(line.as_bytes());
            let slow = reference.as_json(line.as_bytes());
            prop_assert_eq!(fast.is_ok(), slow.is_ok(), "{}", line);
            if let Ok(fast) = fast {
                let text = match fast.text {
                    Text::Borrowed(text) => text,
                    Text::Scratch => &decoder.scratch,
                };
                prop_assert_eq!(text, &reference.scratch[..], "{}", line);
            }
        }

        #[test]
        fn cuts_never_panic_nor_invent(text in "\\PC{0,20}\n", cut in 0_usize..200) {
            let line = written(&text, "stdout", None);
            let cut = cut.min(line.len());
            let mut decoder = Decoder::new();
            let found = decoder.decode(&line.as_bytes()[..cut]);
            prop_assert_eq!(found.is_ok(), cut == line.len());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _entry = Decoder::new().decode(&bytes);
        }
    }
}
