//! How grave a line of a log says it is.
//!
//! Only what a line's own form tells counts: a member of a JSON object, a `level=`, a level where
//! formats put one. A word within a sentence never does: `no errors found` has no severity.

mod plain;
mod words;

use memchr::memchr2;
use qw_event::Priority;

use words::{from_number, from_word};

/// Plain lines are looked at up to here, in bytes.
const SEEN: usize = 256;
/// JSON objects are looked at up to here, in bytes: some writers put the level behind the message.
const SEEN_JSON: usize = 2048;

/// How grave a line is, in the words of syslog and OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Finer than debugging.
    Trace,
    /// For debugging.
    Debug,
    /// Informational.
    Info,
    /// Normal but significant.
    Notice,
    /// A warning.
    Warn,
    /// An error.
    Error,
    /// A critical condition, or the end of the program.
    Critical,
    /// Action is needed at once.
    Alert,
    /// The system is unusable.
    Emergency,
}

impl Severity {
    /// OpenTelemetry's short text, one of `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info | Self::Notice => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Critical | Self::Alert | Self::Emergency => "FATAL",
        }
    }

    /// The priority of a record of this severity.
    pub const fn priority(self) -> Priority {
        match self {
            Self::Trace | Self::Debug => Priority::Debug,
            Self::Info => Priority::Informational,
            Self::Notice => Priority::Notice,
            Self::Warn => Priority::Warning,
            Self::Error => Priority::Error,
            Self::Critical => Priority::Critical,
            Self::Alert => Priority::Alert,
            Self::Emergency => Priority::Emergency,
        }
    }

    /// The severity with syslog's number: 0 is Emergency, 7 is Debug.
    pub fn from_syslog(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warn,
            5 => Self::Notice,
            6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }
}

/// The severity that a line states; `None` when it states none. Looks at the beginning only.
pub fn detect(line: &[u8]) -> Option<Severity> {
    let line = skip_style(line);
    match line.first()? {
        b'{' => json(line.get(..SEEN_JSON).unwrap_or(line)),
        b'<' => syslog(line).or_else(|| plain::detect(line.get(..SEEN).unwrap_or(line))),
        _ => plain::detect(line.get(..SEEN).unwrap_or(line)),
    }
}

/// What stands behind white space and terminal colours at the beginning.
fn skip_style(line: &[u8]) -> &[u8] {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let Some(style) = rest.strip_prefix(b"\x1b[") else {
            return rest;
        };
        let end = style.iter().take(16).position(u8::is_ascii_alphabetic);
        match end.and_then(|end| style.get(end + 1..)) {
            Some(behind) => rest = behind,
            None => return rest,
        }
    }
}

/// `<34>1 …`, `<34>Nov 21 …`, `<3>…`: facility times eight plus severity.
fn syslog(line: &[u8]) -> Option<Severity> {
    let digits = line.get(1..5.min(line.len()))?;
    let end = digits.iter().position(|byte| *byte == b'>')?;
    let number: u8 = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    Severity::from_syslog(number % 8).filter(|_| number < 192)
}

/// Looks for members with known names, in the object itself and in its member `log`.
fn json(text: &[u8]) -> Option<Severity> {
    let mut rest = text.get(1..)?;
    // Open brackets; whether each is that of the member `log`.
    let mut depth = 1_u32;
    let mut in_log = false;
    let mut found = None;
    let mut has_mongo_time = false;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_log &= depth > 1;
                if depth == 0 {
                    break;
                }
            }
            b'"' => {
                let (name, behind) = string(rest)?;
                rest = behind.trim_ascii_start();
                let Some(value) = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else {
                    continue;
                };
                rest = value;
                if depth == 1 && name == b"log" {
                    in_log = value.starts_with(b"{");
                }
                has_mongo_time |= depth == 1 && name == b"t" && value.starts_with(b"{\"$date\"");
                let is_level = match name {
                    b"s" => depth == 1 && has_mongo_time,
                    b"level" => depth == 1 || (depth == 2 && in_log),
                    _ => depth == 1 && is_level_name(name),
                };
                if is_level && let Some(severity) = json_value(name, value) {
                    // A text is clearer than a number that stands beside it.
                    if value.starts_with(b"\"") {
                        return Some(severity);
                    }
                    found = found.or(Some(severity));
                }
                if let Some(string_value) = value.strip_prefix(b"\"") {
                    let Some((_, behind)) = string(string_value) else {
                        return found;
                    };
                    rest = behind;
                }
            }
            _ => {}
        }
    }
    found
}

/// Bytes up to the quote that ends a string, escapes left as they are, and what stands behind it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        from = at + 2;
    }
}

fn is_level_name(name: &[u8]) -> bool {
    if !(3..=15).contains(&name.len()) {
        return false;
    }
    let mut lower = [0; 15];
    for (into, byte) in lower.iter_mut().zip(name) {
        *into = byte.to_ascii_lowercase();
    }
    matches!(
        lower.get(..name.len()).unwrap_or_default(),
        b"level"
            | b"lvl"
            | b"severity"
            | b"log.level"
            | b"loglevel"
            | b"log_level"
            | b"levelname"
            | b"level_name"
            | b"@level"
            | b"severity_text"
            | b"severitytext"
            | b"severity_number"
            | b"severitynumber"
            | b"priority"
            | b"sev"
    )
}

fn json_value(name: &[u8], value: &[u8]) -> Option<Severity> {
    if let Some(text) = value.strip_prefix(b"\"") {
        let (text, _) = string(text)?;
        let text = skip_style(text);
        let text = text.split(|byte| *byte == 0x1b || *byte == b'\\').next()?;
        if name == b"s" {
            return words::from_letter(*text.first()?);
        }
        return match number(text) {
            Some(number) => from_number(number),
            None => from_word(text.trim_ascii()).map(|(severity, _)| severity),
        };
    }
    let number = number(value)?;
    if name.to_ascii_lowercase().ends_with(b"number") {
        words::from_opentelemetry(number)
    } else {
        from_number(number)
    }
}

/// The number that `text` is, or begins with when a separator follows.
fn number(text: &[u8]) -> Option<u8> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if matches!(text.get(digits), Some(byte) if !matches!(byte, b',' | b'}' | b' ' | b'"')) {
        return None;
    }
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
