//! JSON text → the values somebody asks for, checked and without recursion (RFC 8259).
//!
//! One pass finds the values of an object and validates everything it walks over. Nothing is copied
//! and nothing is allocated. Nesting costs one bit per level, so depth is bounded by a number and
//! not by the stack. Numbers keep their text; nobody here calculates with them.

use std::borrow::Cow;

use wide::u8x16;

/// Deepest nesting a scanner can be asked to allow.
pub(crate) const MOST_DEPTH: usize = 100;

/// Why a text is not JSON that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON.
    Syntax,
    /// Nested deeper than allowed.
    TooDeep,
}

/// A string of the JSON text, without its quotes, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    /// As written.
    pub(crate) raw: &'a str,
    /// True when `raw` holds escapes.
    pub(crate) escaped: bool,
}

impl<'a> Text<'a> {
    /// The string it stands for; half a surrogate pair becomes U+FFFD.
    #[inline]
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A value of the JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array, as written.
    Array(&'a str),
    /// An object, as written.
    Object(&'a str),
}

/// Shape of a value.
#[derive(Clone, Copy)]
enum Kind {
    Text { escaped: bool },
    Number,
    True,
    False,
    Null,
    Array,
    Object,
}

/// A place in a JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    most_depth: usize,
    /// True once something was passed that other readers of JSON may refuse or that breaks lines:
    /// half a surrogate pair, a number beyond 64-bit floating point, a line break.
    pub(crate) untidy: bool,
}

impl<'a> Scanner<'a> {
    /// At the beginning of `text`; more than `most_depth` nested arrays and objects are refused.
    pub(crate) fn new(text: &'a str, most_depth: usize) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            most_depth: most_depth.min(MOST_DEPTH),
            untidy: false,
        }
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at offset `at`, outside of every array and object.
    pub(crate) fn jump(&mut self, at: usize) {
        self.at = at;
        self.depth = 0;
    }

    /// The text from offset `start` to here.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The next byte, white space skipped; `None` at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at).copied() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\n' | b'\r') => {
                    self.untidy = true;
                    self.at += 1;
                }
                next => return next,
            }
        }
    }

    /// Passes `byte`, white space before it skipped; false when something else comes.
    #[inline]
    pub(crate) fn pass(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Walks over an object and calls `each` behind the colon of every entry, in order; `each` must
    /// consume the value.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(b'{')?;
        if !self.pass(b'}') {
            loop {
                let key = self.key()?;
                each(self, key)?;
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return Err(Fault::Syntax),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Walks over an array and calls `each` before every element; `each` must consume it.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(b'[')?;
        if !self.pass(b']') {
            loop {
                each(self)?;
                if self.pass(b']') {
                    break;
                }
                if !self.pass(b',') {
                    return Err(Fault::Syntax);
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes the next value.
    #[allow(
        clippy::inline_always,
        reason = "texts that pass through memory cost a third of the time"
    )]
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Fault> {
        self.peek();
        let start = self.at;
        let kind = self.pass_value()?;
        let text = self.since(start);
        Ok(match kind {
            Kind::Text { escaped } => Value::Text(Text {
                raw: text.get(1..text.len() - 1).unwrap_or_default(),
                escaped,
            }),
            Kind::Number => Value::Number(text),
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Null => Value::Null,
            Kind::Array => Value::Array(text),
            Kind::Object => Value::Object(text),
        })
    }

    /// Passes the next value, which begins here. What it returns fits into a register; texts do not,
    /// and handing them through memory would cost more than finding them.
    fn pass_value(&mut self) -> Result<Kind, Fault> {
        match self.bytes.get(self.at) {
            Some(b'"') => self.pass_string().map(|escaped| Kind::Text { escaped }),
            Some(b'{') => self.skip().map(|()| Kind::Object),
            Some(b'[') => self.skip().map(|()| Kind::Array),
            Some(b't') => self.word(b"true").map(|()| Kind::True),
            Some(b'f') => self.word(b"false").map(|()| Kind::False),
            Some(b'n') => self.word(b"null").map(|()| Kind::Null),
            Some(_) => self.number().map(|()| Kind::Number),
            None => Err(Fault::Syntax),
        }
    }

    #[inline]
    fn enter(&mut self, opening: u8) -> Result<(), Fault> {
        if !self.pass(opening) {
            return Err(Fault::Syntax);
        }
        self.depth += 1;
        if self.depth > self.most_depth {
            Err(Fault::TooDeep)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    #[allow(
        clippy::inline_always,
        reason = "texts that pass through memory cost a third of the time"
    )]
    #[inline(always)]
    fn key(&mut self) -> Result<Text<'a>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax);
        }
        let start = self.at + 1;
        let escaped = self.pass_string()?;
        let raw = self.text.get(start..self.at - 1).unwrap_or_default();
        if self.pass(b':') {
            Ok(Text { raw, escaped })
        } else {
            Err(Fault::Syntax)
        }
    }

    /// Passes one value of any shape.
    fn skip(&mut self) -> Result<(), Fault> {
        // One bit per open array (0) or object (1), the innermost lowest.
        let mut kinds = 0_u128;
        let mut open = 0_usize;
        loop {
            match self.peek().ok_or(Fault::Syntax)? {
                opening @ (b'{' | b'[') => {
                    self.at += 1;
                    open += 1;
                    if self.depth + open > self.most_depth {
                        return Err(Fault::TooDeep);
                    }
                    let is_object = opening == b'{';
                    kinds = kinds << 1 | u128::from(is_object);
                    if !self.pass(if is_object { b'}' } else { b']' }) {
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                    kinds >>= 1;
                    open -= 1;
                }
                b'"' => {
                    self.pass_string()?;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended, and with it perhaps what it is in.
            loop {
                if open == 0 {
                    return Ok(());
                }
                let is_object = kinds & 1 == 1;
                match self.next()? {
                    b',' => {
                        if is_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return Err(Fault::Syntax),
                }
                kinds >>= 1;
                open -= 1;
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if self.bytes.get(self.at..self.at + word.len()) == Some(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let leading = self.at;
        let whole = self.digits()?;
        if whole > 1 && self.bytes.get(leading) == Some(&b'0') {
            return Err(Fault::Syntax);
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
            self.untidy |= is_beyond_float(self.since(start));
        } else if whole > 300 {
            self.untidy |= is_beyond_float(self.since(start));
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            Err(Fault::Syntax)
        } else {
            Ok(self.at - start)
        }
    }

    /// Passes a string; its opening quote comes next. True when it has escapes.
    fn pass_string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = special(self.bytes, self.at).ok_or(Fault::Syntax)?;
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// Passes an escape; its backslash comes next.
    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = code_unit(self.bytes, self.at).ok_or(Fault::Syntax)?;
                self.at += 6;
                if is_leading(unit) && code_unit(self.bytes, self.at).is_some_and(is_trailing) {
                    self.at += 6;
                } else {
                    self.untidy |= is_leading(unit) || is_trailing(unit);
                }
            }
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }
}

/// Rewrites validated JSON so that every reader takes it and it stands on one line: white space
/// between values goes, half surrogate pairs become U+FFFD, numbers beyond floating point become
/// strings.
pub(crate) fn tidy(json: &str) -> String {
    let mut tidied = String::with_capacity(json.len());
    let mut scanner = Scanner::new(json, MOST_DEPTH);
    while let Some(byte) = scanner.peek() {
        let start = scanner.at();
        match byte {
            b'"' => {
                let Ok(_) = scanner.pass_string() else {
                    return tidied;
                };
                mend_surrogates(scanner.since(start), &mut tidied);
            }
            b'-' | b'0'..=b'9' => {
                let Ok(()) = scanner.number() else {
                    return tidied;
                };
                let number = scanner.since(start);
                if is_beyond_float(number) {
                    tidied.extend(["\"", number, "\""]);
                } else {
                    tidied.push_str(number);
                }
            }
            other => {
                tidied.push(char::from(other));
                scanner.jump(start + 1);
            }
        }
    }
    tidied
}

/// Offset of the first quote, backslash or control character from `from` on.
#[inline]
fn special(bytes: &[u8], from: usize) -> Option<usize> {
    const QUOTES: u8x16 = u8x16::splat(b'"');
    const BACKSLASHES: u8x16 = u8x16::splat(b'\\');
    const CONTROLS: u8x16 = u8x16::splat(b' ' - 1);

    let mut at = from;
    // Sixteen bytes at a time, which most strings end within.
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let chunk = u8x16::new(*chunk);
        let found = chunk.simd_eq(QUOTES)
            | chunk.simd_eq(BACKSLASHES)
            | chunk.max(CONTROLS).simd_eq(CONTROLS);
        let found = found.to_bitmask();
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 16;
    }
    special_near_end(bytes, at)
}

/// As [`special`], byte by byte.
#[cold]
fn special_near_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let found = rest
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
    Some(from + found)
}

/// The value of `\uXXXX` at offset `at`; `None` when there is no such escape.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, &digit| {
        Some(unit << 4 | char::from(digit).to_digit(16)?)
    })
}

fn is_leading(unit: u32) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

fn is_trailing(unit: u32) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

fn is_beyond_float(number: &str) -> bool {
    !number.parse::<f64>().is_ok_and(f64::is_finite)
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let (character, length) = unicode_escape(rest.get(before.len()..).unwrap_or(""));
                text.push(character);
                rest = rest.get(before.len() + length..).unwrap_or("");
                continue;
            }
            Some(other) => text.push(other),
            None => {}
        }
        rest = characters.as_str();
    }
    text.push_str(rest);
    text
}

/// The character that the escape at the start of `text` stands for, and the escape's length.
fn unicode_escape(text: &str) -> (char, usize) {
    let bytes = text.as_bytes();
    let Some(unit) = code_unit(bytes, 0) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    if is_leading(unit)
        && let Some(trailing) = code_unit(bytes, 6).filter(|unit| is_trailing(*unit))
    {
        let scalar = 0x1_0000 + ((unit - 0xd800) << 10) + (trailing - 0xdc00);
        return (
            char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER),
            12,
        );
    }
    (
        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
        6,
    )
}

fn mend_surrogates(raw: &str, into: &mut String) {
    let mut rest = raw;
    while let Some((before, _)) = rest.split_once('\\') {
        let escape = rest.get(before.len()..).unwrap_or("");
        into.push_str(before);
        let length = if escape.starts_with("\\u") {
            let (character, length) = unicode_escape(escape);
            let is_half = length == 6 && character == char::REPLACEMENT_CHARACTER;
            into.push_str(if is_half {
                "\\ufffd"
            } else {
                escape.get(..length).unwrap_or("")
            });
            length
        } else {
            into.push_str(escape.get(..2).unwrap_or(""));
            2
        };
        rest = escape.get(length..).unwrap_or("");
    }
    into.push_str(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str, most_depth: usize) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text, most_depth);
        scanner.value()?;
        if scanner.peek().is_some() {
            Err(Fault::Syntax)
        } else {
            Ok(())
        }
    }

    #[test]
    fn what_serde_json_takes_is_taken_and_nothing_else() {
        for text in [
            "",
            " ",
            "{}",
            "[]",
            "[1]",
            "[1,]",
            "[,1]",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[{\"b\":[]},{}],\"c\":null}",
            "nul",
            "null",
            "truex",
            "true",
            "false",
            "-",
            "-0",
            "0",
            "01",
            "1.",
            "1.5",
            "-1.5e3",
            "1e",
            "1e+",
            "1E-2",
            ".5",
            "+1",
            "\"",
            "\"a",
            "\"a\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\u1234\"",
            "\"\\n\\t\\\"\\\\\\/\"",
            "\"a\tb\"",
            "\"a\u{1}b\"",
            "[1 2]",
            "[}",
            "{]",
            "[[]",
            "[]]",
            "{} {}",
            " {} ",
            "\u{feff}{}",
            "'a'",
            "{\"a\":1}x",
            "NaN",
            "Infinity",
        ] {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            assert_eq!(scan(text, 64).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_never_recursive() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(scan(&nested(64), 64), Ok(()));
        assert_eq!(scan(&nested(65), 64), Err(Fault::TooDeep));
        assert_eq!(scan(&nested(1_000_000), 1_000_000), Err(Fault::TooDeep));
        assert_eq!(scan(&"{\"a\":".repeat(65), 64), Err(Fault::TooDeep));
    }

    #[test]
    fn escapes_become_characters() {
        let check = |raw: &str, expected: &str| {
            let json = format!("\"{raw}\"");
            let mut scanner = Scanner::new(&json, 1);
            let Ok(Value::Text(text)) = scanner.value() else {
                panic!("{raw}")
            };
            assert_eq!(text.decode(), expected, "{raw}");
        };
        check("plain", "plain");
        check(r#"a\nb\t\"c\"\\ \/"#, "a\nb\t\"c\"\\ /");
        check(r"\b\f\r", "\u{8}\u{c}\r");
        check(r"\u00e9\u4e2d", "é中");
        check(r"\ud83d\ude00!", "😀!");
        check(r"\ud83d!", "\u{fffd}!");
        check(r"\ude00\ud83d", "\u{fffd}\u{fffd}");
    }

    #[test]
    fn tidied_json_means_the_same_and_is_taken_by_all() {
        let check = |json: &str, expected: &str| {
            assert_eq!(tidy(json), expected);
            serde_json::from_str::<serde_json::Value>(expected).unwrap();
        };
        check("{ \"a\" :\n [ 1 , \"x y\" ] }", "{\"a\":[1,\"x y\"]}");
        check(
            r#"{"a":"\ud800x\ud83d\ude00\n"}"#,
            r#"{"a":"\ufffdx\ud83d\ude00\n"}"#,
        );
        check("[1e999,-1E999,1e3]", "[\"1e999\",\"-1E999\",1e3]");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{},:\"\\\\0-9eE.+\\-truefalsn u\\PC]{0,40}") {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(scan(&text, MOST_DEPTH).is_ok(), expected);
        }

        #[test]
        fn strings_decode_as_serde_json_decodes_them(original in any::<String>()) {
            let json = serde_json::to_string(&original).unwrap();
            let mut scanner = Scanner::new(&json, 1);
            let Ok(Value::Text(text)) = scanner.value() else { panic!("{json}") };
            prop_assert_eq!(text.decode(), original);
        }

        #[test]
        fn special_finds_the_first(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let expected = bytes.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
            prop_assert_eq!(special(&bytes, 0), expected);
        }
    }
}
