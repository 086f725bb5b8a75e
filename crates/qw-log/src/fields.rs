//! Named values in a line, found when somebody asks for them: nothing is stored twice.
//!
//! Known shapes: JSON objects, logfmt and `name=value` anywhere, access logs of web servers, klog,
//! syslog with structured data. Names are those the line uses, nested ones joined by dots; where a
//! format has none, OpenTelemetry's and the Elastic Common Schema's.

mod access;
mod header;
mod json;
mod pairs;

use std::ops::ControlFlow;

/// Most fields of a line that are looked at.
const MAX_FIELDS: usize = 1000;

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// `name=value name="value"` from the beginning on.
    Logfmt,
    /// The common or combined log format of web servers.
    Access,
    /// `I1121 07:15:50.601341       1 main.go:12] …`.
    Klog,
    /// `<34>1 …`: RFC 5424.
    Syslog,
    /// None of these; it may hold `name=value`.
    Plain,
}

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// What was written; of a JSON string what it stands for.
    pub text: &'a str,
    /// What kind of value it is by its form.
    pub kind: ValueKind,
}

/// What kind of value a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// A text.
    Text,
    /// A number in JSON's form.
    Number,
    /// `true` or `false`.
    Bool,
    /// JSON's `null`; its text is `null`.
    Null,
}

/// A value that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As [`Value::text`].
    pub text: String,
    /// As [`Value::kind`].
    pub kind: ValueKind,
}

/// What `line` looks like; looks at a few bytes of it.
pub fn shape(line: &str) -> Shape {
    let text = line.trim_start();
    match text.as_bytes() {
        [b'{', ..] => Shape::Json,
        [b'<', b'0'..=b'9', ..] if header::syslog(text).is_some() => Shape::Syslog,
        [b'I' | b'W' | b'E' | b'F', b'0'..=b'9', ..] if header::klog(text).is_some() => Shape::Klog,
        _ if pairs::begins(text) => Shape::Logfmt,
        _ if access::parse(text).is_some() => Shape::Access,
        _ => Shape::Plain,
    }
}

/// Calls `visit` with the name and value of each field, until it breaks.
///
/// Elements of a JSON array have the name of the array. Objects are followed eight levels deep, and a
/// thousand fields are visited at most. Of a line that is damaged, what comes before the damage counts.
pub fn for_each_field(line: &str, visit: &mut dyn FnMut(&str, Value<'_>) -> ControlFlow<()>) {
    let mut left = MAX_FIELDS;
    let mut bounded = |name: &str, value: Value<'_>| {
        left -= 1;
        visit(name, value)?;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let text = line.trim_start();
    let _ended_early = match shape(text) {
        Shape::Json => json::visit(text, &mut bounded),
        Shape::Logfmt | Shape::Plain => pairs::visit(text, &mut bounded),
        Shape::Access => access::visit(text, &mut bounded),
        Shape::Klog => header::visit_klog(text, &mut bounded),
        Shape::Syslog => header::visit_syslog(text, &mut bounded),
    };
}

/// The first field of `line` with this name.
pub fn find(line: &str, name: &str) -> Option<Found> {
    if cannot_hold(line, name) {
        return None;
    }
    let mut found = None;
    for_each_field(line, &mut |field, value| {
        if field != name {
            return ControlFlow::Continue(());
        }
        found = Some(Found {
            text: value.text.to_owned(),
            kind: value.kind,
        });
        ControlFlow::Break(())
    });
    found
}

/// Names of JSON members and of pairs stand in the line itself, which most lines do not hold.
fn cannot_hold(line: &str, name: &str) -> bool {
    let bytes = line.trim_start().as_bytes();
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_json = bytes.first() == Some(&b'{');
    is_json
        && memchr::memmem::find(bytes, last.as_bytes()).is_none()
        && memchr::memmem::find(bytes, b"\\u").is_none()
}

/// What the parsers of shapes call.
type Visit<'v> = dyn FnMut(&str, Value<'_>) -> ControlFlow<()> + 'v;

/// A value that was written without quotes.
fn unquoted(text: &str) -> Value<'_> {
    let kind = match text {
        "true" | "false" => ValueKind::Bool,
        _ if is_number(text) => ValueKind::Number,
        _ => ValueKind::Text,
    };
    Value { text, kind }
}

fn quoted(text: &str) -> Value<'_> {
    Value {
        text,
        kind: ValueKind::Text,
    }
}

/// A number in JSON's form; leading zeros are no number, so that identifiers stay texts.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts = matches!(
        digits.as_bytes(),
        [b'0'] | [b'0', b'.' | b'e' | b'E', ..] | [b'1'..=b'9', ..]
    );
    starts && digits.len() <= 40 && digits.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The content of a quoted string without its escapes; `raw` stands between the quotes.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut after = escape.chars();
        let escaped = match after.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let (scalar, behind) = unicode(after.as_str());
                text.push(scalar);
                rest = behind;
                continue;
            }
            Some(other) => other,
            None => '\\',
        };
        text.push(escaped);
        rest = after.as_str();
    }
    text.push_str(rest);
    text
}

/// The character of `0041…`, or of a pair of surrogates, and what stands behind.
fn unicode(text: &str) -> (char, &str) {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(first) = unit(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    let rest = text.get(4..).unwrap_or_default();
    if let 0xd800..0xdc00 = first
        && let Some(low) = rest.strip_prefix("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(low)
    {
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        let scalar = char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER);
        return (scalar, low.get(4..).unwrap_or_default());
    }
    let scalar = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    (scalar, rest)
}

/// Where the quote stands that ends a string whose first byte is `text`'s first.
fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests;
