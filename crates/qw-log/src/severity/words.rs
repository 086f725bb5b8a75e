//! Words and numbers that name severities.

use super::Severity;

/// Where a word counts as a severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In every place where formats put levels.
    Any,
    /// There, and only in upper case or in brackets.
    Upper,
    /// In brackets only: elsewhere it is an ordinary word.
    Bracket,
    /// In upper case only, and only before `:` or `[`: a word of Java's own logging.
    Java,
    /// Only before `:`, in upper case: a word of PostgreSQL.
    UpperColon,
    /// Only as the first word of a line, before `:`.
    FirstColon,
}

/// The severity that a word names in any case, and where it may stand in plain text.
pub(super) fn from_word(word: &[u8]) -> Option<(Severity, Place)> {
    use Place::{Any, Bracket, FirstColon, Java, Upper, UpperColon};
    use Severity::{Alert, Critical, Debug, Emergency, Error, Info, Notice, Trace, Warn};
    if !(3..=13).contains(&word.len()) {
        return None;
    }
    let mut lower = [0; 13];
    for (into, byte) in lower.iter_mut().zip(word) {
        *into = byte.to_ascii_lowercase();
    }
    Some(match lower.get(..word.len())? {
        b"trace" | b"trc" => (Trace, Any),
        b"trce" => (Trace, FirstColon),
        b"verbose" | b"vrb" | b"silly" => (Trace, Upper),
        b"finest" | b"finer" => (Trace, Java),
        b"debug" | b"dbg" | b"debug1" | b"debug2" | b"debug3" | b"debug4" | b"debug5" => {
            (Debug, Any)
        }
        b"dbug" => (Debug, FirstColon),
        b"fine" | b"config" => (Debug, Java),
        b"info" | b"information" | b"informational" => (Info, Any),
        b"inf" => (Info, Upper),
        b"note" | b"system" => (Info, Bracket),
        b"log" => (Info, UpperColon),
        b"notice" => (Notice, Any),
        b"warn" | b"warning" => (Warn, Any),
        b"wrn" => (Warn, Upper),
        b"error" => (Error, Any),
        b"err" | b"eror" => (Error, Any),
        b"severe" => (Error, Upper),
        b"fail" => (Error, FirstColon),
        b"critical" | b"crit" | b"fatal" | b"panic" => (Critical, Any),
        b"ftl" | b"pnc" | b"dpanic" => (Critical, Upper),
        b"alert" => (Alert, Upper),
        b"emerg" | b"emergency" => (Emergency, Any),
        _ => return None,
    })
}

/// Syslog's 0–7, or the tens of pino and bunyan: 10 (trace) to 60 (fatal).
pub(super) fn from_number(number: u8) -> Option<Severity> {
    Some(match number {
        0..=7 => return Severity::from_syslog(number),
        10..20 => Severity::Trace,
        20..30 => Severity::Debug,
        30..40 => Severity::Info,
        40..50 => Severity::Warn,
        50..60 => Severity::Error,
        60..70 => Severity::Critical,
        _ => return None,
    })
}

/// OpenTelemetry's severity number, 1–24.
pub(super) fn from_opentelemetry(number: u8) -> Option<Severity> {
    Some(match number {
        1..=4 => Severity::Trace,
        5..=8 => Severity::Debug,
        9..=12 => Severity::Info,
        13..=16 => Severity::Warn,
        17..=20 => Severity::Error,
        21..=24 => Severity::Critical,
        _ => return None,
    })
}

/// The letter with which klog and MongoDB name a severity.
pub(super) fn from_letter(letter: u8) -> Option<Severity> {
    Some(match letter {
        b'D' => Severity::Debug,
        b'I' => Severity::Info,
        b'W' => Severity::Warn,
        b'E' => Severity::Error,
        b'F' => Severity::Critical,
        _ => return None,
    })
}
