//! A record → one message.

use memchr::memchr2;
use qw_event::Timestamp;
use qw_log::Severity;

use super::{Offset, calendar::date_of};

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `<30>Nov 21 07:15:50 host tag[12]: text`, RFC 3164, in the local time of the sender.
    Rfc3164,
    /// `<30>1 2026-11-21T07:15:50Z host tag 12 id - text`, RFC 5424 in whole seconds.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

/// What tells where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A line end. Line ends and NUL within the text become `#012` and `#000`, as rsyslog writes them.
    Lf,
    /// The length in front, RFC 6587, section 3.4.1.
    OctetCounting,
    /// Nothing: one message is one datagram.
    None,
}

/// What a message says. Texts may be empty.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// From 0 to 23; others become 1 (user).
    pub facility: u8,
    /// How grave it is.
    pub severity: Severity,
    /// When it was written.
    pub time: Timestamp,
    /// Host it comes from; of 5424 at most 255 bytes are written.
    pub hostname: &'a str,
    /// Name of the program; of it at most 48 bytes are written, 32 in RFC 3164.
    pub app_name: &'a str,
    /// Process; at most 128 bytes are written.
    pub process_id: &'a str,
    /// Kind of message, RFC 5424 only; at most 32 bytes are written.
    pub message_id: &'a str,
    /// Elements as [`structured_data`] writes them, RFC 5424 only.
    pub structured_data: &'a str,
    /// The text.
    pub text: &'a [u8],
}

/// Writes messages; remembers the text of the last second.
#[derive(Debug, Clone)]
pub struct Formatter {
    format: Format,
    framing: Framing,
    zone: Offset,
    /// Second since the epoch whose text is known.
    second: Option<i64>,
    /// `2026-11-21T07:15:50` or `Nov 21 07:15:50`.
    second_text: Vec<u8>,
}

/// Room for a length and its space in front of a message.
const LENGTH: usize = 21;

impl Formatter {
    /// A writer; `zone` is for RFC 3164, whose times are local.
    pub const fn new(format: Format, framing: Framing, zone: Offset) -> Self {
        Self {
            format,
            framing,
            zone,
            second: None,
            second_text: Vec::new(),
        }
    }

    /// Appends one message, framed, to `out`.
    ///
    /// Bytes of the header that the format forbids become `_`, empty fields `-`. The text is written as it
    /// is but for what would end the message early. Sources: RFC 5424, section 6; RFC 3164, section 4.1.
    pub fn write(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        if self.framing == Framing::OctetCounting {
            out.extend_from_slice(&[b' '; LENGTH]);
        }
        let facility = if message.facility > 23 {
            1
        } else {
            message.facility
        };
        out.push(b'<');
        number(
            u64::from(facility) * 8 + u64::from(severity(message.severity)),
            out,
        );
        out.push(b'>');
        match self.format {
            Format::Rfc3164 => self.rfc3164(message, out),
            Format::Rfc5424 | Format::Rfc5424Micro => self.rfc5424(message, out),
        }
        match self.framing {
            Framing::Lf => {
                one_line(message.text, out);
                out.push(b'\n');
            }
            Framing::None => out.extend_from_slice(message.text),
            Framing::OctetCounting => {
                out.extend_from_slice(message.text);
                put_length(begin, out);
            }
        }
    }

    fn rfc3164(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let seconds = message.time.as_seconds() + i64::from(self.zone.seconds());
        if self.second != Some(seconds) {
            self.second = Some(seconds);
            self.second_text.clear();
            let (_, month, day) = date_of(seconds.div_euclid(86_400));
            let name = MONTHS.get(usize::from(month) - 1).copied();
            let tens = if day < 10 { b' ' } else { b'0' + day / 10 };
            self.second_text
                .extend_from_slice(name.unwrap_or("Jan").as_bytes());
            self.second_text
                .extend_from_slice(&[b' ', tens, b'0' + day % 10, b' ']);
            clock(seconds, &mut self.second_text);
        }
        out.extend_from_slice(&self.second_text);
        out.push(b' ');
        field(message.hostname, 255, &HEADER, out);
        out.push(b' ');
        field(message.app_name, 32, &TAG, out);
        if !message.process_id.is_empty() {
            out.push(b'[');
            field(message.process_id, 128, &TAG, out);
            out.push(b']');
        }
        out.extend_from_slice(b": ");
    }

    fn rfc5424(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        let seconds = message.time.as_seconds();
        if self.second != Some(seconds) {
            self.second = Some(seconds);
            self.second_text.clear();
            let (year, month, day) = date_of(seconds.div_euclid(86_400));
            // The years that a timestamp can express have four digits.
            four(year as u32, &mut self.second_text);
            for part in [month, day] {
                self.second_text
                    .extend_from_slice(&[b'-', b'0' + part / 10, b'0' + part % 10]);
            }
            self.second_text.push(b'T');
            clock(seconds, &mut self.second_text);
        }
        out.extend_from_slice(b"1 ");
        out.extend_from_slice(&self.second_text);
        if self.format == Format::Rfc5424Micro {
            let micros = message.time.as_nanos().rem_euclid(1_000_000_000) as u32 / 1_000;
            out.push(b'.');
            four(micros / 100, out);
            out.extend_from_slice(&[b'0' + (micros / 10 % 10) as u8, b'0' + (micros % 10) as u8]);
        }
        out.extend_from_slice(b"Z ");
        for (text, longest) in [
            (message.hostname, 255),
            (message.app_name, 48),
            (message.process_id, 128),
            (message.message_id, 32),
        ] {
            field(text, longest, &HEADER, out);
            out.push(b' ');
        }
        if message.structured_data.is_empty() {
            out.extend_from_slice(b"- ");
        } else {
            // Values may hold line ends, which the framing must not see.
            match self.framing {
                Framing::Lf => one_line(message.structured_data.as_bytes(), out),
                Framing::OctetCounting | Framing::None => {
                    out.extend_from_slice(message.structured_data.as_bytes());
                }
            }
            out.push(b' ');
        }
    }
}

/// Appends one element, `[id name="value" …]`, to `out`, for [`Message::structured_data`].
///
/// `id` has the form `name@enterprise`. Names are cut at 32 bytes, and bytes that RFC 5424 forbids in them
/// become `_`; an empty name becomes `-`. Values are escaped.
pub fn structured_data<'a>(
    id: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    out: &mut String,
) {
    out.push('[');
    name(id, out);
    for (key, value) in parameters {
        out.push(' ');
        name(key, out);
        out.push_str("=\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\' | ']') {
                out.push('\\');
            }
            out.push(character);
        }
        out.push('"');
    }
    out.push(']');
}

fn name(text: &str, out: &mut String) {
    let before = out.len();
    out.extend(text.chars().take(32).map(|character| match character {
        '=' | ']' | '"' => '_',
        character if character.is_ascii_graphic() => character,
        _ => '_',
    }));
    if out.len() == before {
        out.push('-');
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Bytes that may stand in a field of the header.
const HEADER: [bool; 256] = allowed(b"");
/// Bytes that may stand in a tag of RFC 3164 without ending it for some reader.
const TAG: [bool; 256] = allowed(b":[]");

const fn allowed(but: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 33;
    while byte < 127 {
        table[byte] = true;
        byte += 1;
    }
    let mut index = 0;
    while index < but.len() {
        table[but[index] as usize] = false;
        index += 1;
    }
    table
}

/// A field of the header, `-` when it is empty; a character that is not allowed becomes one `_`.
fn field(text: &str, longest: usize, allowed: &[bool; 256], out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        out.push(b'-');
        return;
    }
    let is_allowed = |byte: u8| allowed.get(usize::from(byte)).copied().unwrap_or(false);
    let head = bytes.get(..longest).unwrap_or(bytes);
    if head.iter().all(|byte| is_allowed(*byte)) {
        out.extend_from_slice(head);
        return;
    }
    let whole_characters = bytes.iter().filter(|byte| (**byte & 0xc0) != 0x80);
    for byte in whole_characters.take(longest) {
        out.push(if is_allowed(*byte) { *byte } else { b'_' });
    }
}

/// A text without what ends a line: LF, NUL, and a CR at its end.
fn one_line(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(found) = memchr2(b'\n', 0, rest) {
        out.extend_from_slice(rest.get(..found).unwrap_or_default());
        let is_nul = rest.get(found) == Some(&0);
        out.extend_from_slice(if is_nul { b"#000" } else { b"#012" });
        rest = rest.get(found + 1..).unwrap_or_default();
    }
    match rest {
        [head @ .., b'\r'] => {
            out.extend_from_slice(head);
            out.extend_from_slice(b"#015");
        }
        _ => out.extend_from_slice(rest),
    }
}

/// Writes the length of what stands behind the room at `begin`, and closes the room.
fn put_length(begin: usize, out: &mut Vec<u8>) {
    let body = begin + LENGTH;
    let length = out.len().saturating_sub(body);
    let mut digits = [b' '; LENGTH];
    let mut at = LENGTH - 1;
    let mut value = length;
    while at > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (value % 10) as u8;
        }
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let written = LENGTH - at;
    if let Some(room) = out.get_mut(begin..begin + written)
        && let Some(digits) = digits.get(at..)
    {
        room.copy_from_slice(digits);
    }
    out.copy_within(body.., begin + written);
    out.truncate(begin + written + length);
}

fn clock(seconds: i64, out: &mut Vec<u8>) {
    let of_day = seconds.rem_euclid(86_400) as u32;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let digits = |part: u32| [b'0' + (part / 10) as u8, b'0' + (part % 10) as u8];
    out.extend_from_slice(&digits(hour));
    out.push(b':');
    out.extend_from_slice(&digits(minute));
    out.push(b':');
    out.extend_from_slice(&digits(second));
}

fn four(value: u32, out: &mut Vec<u8>) {
    for scale in [1_000, 100, 10, 1] {
        out.push(b'0' + (value / scale % 10) as u8);
    }
}

fn number(value: u64, out: &mut Vec<u8>) {
    if value >= 100 {
        out.push(b'0' + (value / 100 % 10) as u8);
    }
    if value >= 10 {
        out.push(b'0' + (value / 10 % 10) as u8);
    }
    out.push(b'0' + (value % 10) as u8);
}

/// Syslog's number of a severity.
const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Emergency => 0,
        Severity::Alert => 1,
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Warn => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
        Severity::Debug | Severity::Trace => 7,
    }
}
