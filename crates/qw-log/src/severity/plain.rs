//! Severities in lines that are no JSON: a walk over the words in front of the message.
//!
//! Formats put times, hosts, threads and loggers there. The walk ends at the first word that belongs to
//! a sentence.

use super::{
    Severity,
    words::{Place, from_letter, from_number, from_word},
};

/// Words that are looked at.
const MAX_WORDS: usize = 16;
/// Names without digits or signs that may stand in front of a level, such as a host's.
const MAX_NAMES: usize = 2;

pub(super) fn detect(line: &[u8]) -> Option<Severity> {
    if memchr::memchr(0x1b, line).is_some() {
        return detect_unstyled(&without_styles(line));
    }
    detect_unstyled(line)
}

fn without_styles(line: &[u8]) -> Vec<u8> {
    let mut parts = line.split(|byte| *byte == 0x1b);
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let is_style = part.first() == Some(&b'[');
        let end = part
            .iter()
            .position(u8::is_ascii_alphabetic)
            .filter(|_| is_style);
        plain.extend_from_slice(end.and_then(|end| part.get(end + 1..)).unwrap_or(part));
    }
    plain
}

fn detect_unstyled(line: &[u8]) -> Option<Severity> {
    klog(line)
        .or_else(|| redis(line))
        .or_else(|| prefixed(line))
        .or_else(|| walk(line))
}

/// `E1121 07:15:50.601341       1 main.go:12] text`.
fn klog(line: &[u8]) -> Option<Severity> {
    match line {
        [letter, a, b, c, d, b' ', hour, ..]
            if [a, b, c, d, hour].iter().all(|byte| byte.is_ascii_digit()) =>
        {
            from_letter(*letter).filter(|severity| *severity != Severity::Debug)
        }
        _ => None,
    }
}

/// `1:M 21 Nov 2026 07:15:50.123 * text`: the sign behind the time.
fn redis(line: &[u8]) -> Option<Severity> {
    let digits = line
        .iter()
        .take(8)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let [b':', b'M' | b'S' | b'C' | b'X', b' ', rest @ ..] = line.get(digits..)? else {
        return None;
    };
    let mark = rest
        .split(|byte| *byte == b' ')
        .nth(4)
        .filter(|_| digits > 0)?;
    Some(match mark {
        b"." => Severity::Debug,
        b"-" => Severity::Info,
        b"*" => Severity::Notice,
        b"#" => Severity::Warn,
        _ => return None,
    })
}

/// Lines of npm and PHP, which name themselves first, and `I, […` of Ruby's logger.
fn prefixed(line: &[u8]) -> Option<Severity> {
    if let [letter, b',', b' ', b'[', ..] = line {
        return from_letter(*letter);
    }
    if let Some(rest) = line.strip_prefix(b"npm ") {
        let word = rest.split(|byte| matches!(byte, b' ' | b'!')).next()?;
        return from_word(word).map(|(severity, _)| severity);
    }
    let text = line.strip_prefix(b"PHP ").unwrap_or(line);
    if text.starts_with(b"Fatal error: ") || text.starts_with(b"fatal error: ") {
        return Some(Severity::Critical);
    }
    if text.starts_with(b"Parse error: ") {
        return Some(Severity::Error);
    }
    if text.len() < line.len() {
        walk(text)
    } else {
        None
    }
}

fn walk(line: &[u8]) -> Option<Severity> {
    let mut words = Words { rest: line };
    let mut depth = 0_u32;
    let mut names = 0;
    let mut before = Before {
        separator: true,
        digit: false,
        tab: false,
        first: true,
    };
    for _ in 0..MAX_WORDS {
        let word = words.next()?;
        let next = words.rest.trim_ascii_start();
        let after_separator = next.is_empty() || is_separator(first_word(next));
        let after_tab = words.rest.starts_with(b"\t");
        if let Some(severity) = assigned(word) {
            return Some(severity);
        }
        if let Some(severity) = in_brackets(word, depth, next) {
            return Some(severity);
        }
        let surrounded = before.separator && !before.first && after_separator && !next.is_empty();
        let tabbed = before.tab && after_tab;
        if let Some(severity) = bare(word, before.first, surrounded || tabbed, next) {
            return Some(severity);
        }
        let opens = word
            .iter()
            .filter(|byte| matches!(byte, b'[' | b'(' | b'{'))
            .count();
        let closes = word
            .iter()
            .filter(|byte| matches!(byte, b']' | b')' | b'}'))
            .count();
        let bracketed = depth > 0 || opens > 0;
        depth = (depth + opens as u32).saturating_sub(closes as u32);
        let digit = word.iter().any(u8::is_ascii_digit);
        if !bracketed && !digit && !is_separator(word) && !is_calendar(word) {
            let is_name = if word.ends_with(b":") || word.iter().any(|byte| is_sign(*byte)) {
                true
            } else {
                (before.separator && !before.first && after_separator)
                    || tabbed
                    || (before.digit && word.iter().all(u8::is_ascii_lowercase))
            };
            names += 1;
            if !is_name || names > MAX_NAMES {
                return None;
            }
        }
        before = Before {
            separator: is_separator(word) || matches!(word.last(), Some(b'|')),
            digit,
            tab: after_tab,
            first: false,
        };
    }
    None
}

/// What stands in front of a word.
struct Before {
    separator: bool,
    digit: bool,
    tab: bool,
    first: bool,
}

/// Words between white space; the value of `name="a b"` is part of its word.
struct Words<'l> {
    rest: &'l [u8],
}

impl<'l> Iterator for Words<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let text = self.rest.trim_ascii_start();
        let mut end = 0;
        let mut in_quotes = false;
        while let Some(byte) = text.get(end) {
            match byte {
                b'\\' if in_quotes => end += 1,
                b'"' if in_quotes => in_quotes = false,
                b'"' if end > 0 && text.get(end - 1) == Some(&b'=') => in_quotes = true,
                b' ' | b'\t' if !in_quotes => break,
                _ => {}
            }
            end += 1;
        }
        let (word, rest) = text.split_at_checked(end).unwrap_or((text, b""));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default()
}

/// `level=error`, `log.level="error"`, `severity=3`.
fn assigned(word: &[u8]) -> Option<Severity> {
    let equals = memchr::memchr(b'=', word)?;
    let (name, value) = (word.get(..equals)?, word.get(equals + 1..)?);
    let name = name
        .rsplit(|byte| matches!(byte, b'.' | b'[' | b'('))
        .next()?;
    if !matches!(
        name,
        b"level" | b"lvl" | b"severity" | b"loglevel" | b"log_level" | b"LEVEL"
    ) {
        return None;
    }
    let value = value.trim_ascii();
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b',' | b']' | b')' | b';');
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let end = value.iter().position(is_quote).unwrap_or(value.len());
    let value = value.get(..end)?;
    match std::str::from_utf8(value).ok()?.parse() {
        Ok(number) => from_number(number),
        Err(_) => from_word(value).map(|(severity, _)| severity),
    }
}

/// `[error]`, `[core:error]`, `<Error>`, `|INFO|`, `[…][INFO`, and `INFO` within `[… INFO name]`.
fn in_brackets(word: &[u8], depth: u32, next: &[u8]) -> Option<Severity> {
    let is_bracket = |byte: &u8| {
        matches!(
            byte,
            b'[' | b']' | b'<' | b'>' | b'|' | b'(' | b')' | b'{' | b'}'
        )
    };
    if depth == 0 && !word.iter().any(is_bracket) {
        return None;
    }
    let mut from = 0;
    for part in word.split(is_bracket) {
        let to = from + part.len();
        let opened = from > 0 && word.get(from - 1).is_some_and(is_bracket);
        let closed = word.get(to).is_some_and(is_bracket) || next.starts_with(b"]");
        from = to + 1;
        let name = part.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        let upper = name.iter().all(|byte| !byte.is_ascii_lowercase());
        let name = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        let whole = name.len() == part.len();
        let within = (opened || depth > 0) && (closed || upper);
        if !within || !(opened || closed || whole) {
            continue;
        }
        if let Some((severity, place)) = from_word(name) {
            let counts = match place {
                Place::Any | Place::Upper | Place::Bracket => true,
                Place::Java => upper,
                Place::UpperColon | Place::FirstColon => false,
            };
            if counts {
                return Some(severity);
            }
        }
    }
    None
}

/// `ERROR`, `ERROR:`, `error:`, `app.ERROR:`, `ERROR:root:text`; `separated`: `- error -`.
fn bare(word: &[u8], first: bool, separated: bool, next: &[u8]) -> Option<Severity> {
    let end = memchr::memchr(b':', word).unwrap_or(word.len());
    let (name, behind) = (word.get(..end)?, word.get(end..)?);
    let name = name.strip_suffix(b",").unwrap_or(name);
    let name = name.rsplit(|byte| *byte == b'.').next()?;
    let upper = name
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    // Something of its own stands in front of the last dot: only `channel.LEVEL:` is meant.
    let dotted = name.len() + 1 < end;
    if dotted && !(upper && behind == b":") {
        return None;
    }
    let (severity, place) = from_word(name)?;
    let counts = match place {
        Place::Any => upper || behind == b":" || separated,
        Place::Upper => upper,
        Place::Bracket => false,
        Place::Java => upper && (behind == b":" || next.starts_with(b"[")),
        Place::UpperColon => upper && behind == b":",
        Place::FirstColon => first && behind == b":",
    };
    counts.then_some(severity)
}

/// `-`, `--`, `|`, `:`.
fn is_separator(word: &[u8]) -> bool {
    word.iter()
        .all(|byte| matches!(byte, b'-' | b'|' | b':' | b'*' | b'>' | b'#' | b'='))
}

/// Signs that words of a sentence do not have.
fn is_sign(byte: u8) -> bool {
    matches!(byte, b'/' | b'_' | b'@' | b'=' | b'#' | b'|' | b'-' | b'<') || byte == b'\\'
}

/// Names of days and months, and of time zones.
fn is_calendar(word: &[u8]) -> bool {
    let word = word.strip_suffix(b",").unwrap_or(word);
    matches!(
        word,
        b"Mon"
            | b"Tue"
            | b"Wed"
            | b"Thu"
            | b"Fri"
            | b"Sat"
            | b"Sun"
            | b"Jan"
            | b"Feb"
            | b"Mar"
            | b"Apr"
            | b"May"
            | b"Jun"
            | b"Jul"
            | b"Aug"
            | b"Sep"
            | b"Oct"
            | b"Nov"
            | b"Dec"
            | b"AM"
            | b"PM"
            | b"UTC"
            | b"GMT"
            | b"CET"
            | b"CEST"
            | b"EST"
            | b"EDT"
            | b"PST"
            | b"PDT"
            | b"Z"
    )
}
