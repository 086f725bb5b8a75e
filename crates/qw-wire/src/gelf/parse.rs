//! The JSON of one message → a record.

use std::{borrow::Cow, fmt};

use qw_event::Timestamp;
use qw_log::{Severity, Stream};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::Fault;
use crate::{Received, Said};

/// Values may be nested so deeply; GELF itself knows only numbers and texts.
const MAX_DEPTH: usize = 32;

/// Members of one message: few bytes make one, and each takes many times its bytes in memory.
const MAX_MEMBERS: usize = 4_096;

/// Reads one message.
///
/// Bytes that are no UTF-8 become U+FFFD. The text is `full_message` when it is longer than
/// `short_message`, which is a field then unless the text begins with it. Docker's fields name the
/// container; `_x` is the field `x`, but for `_id` and names that GELF itself knows, which keep their `_`.
/// A container's message of level 6 is of its standard output, of level 3 of its standard error.
///
/// # Errors
/// When it is no JSON object, has no text, or has too many members or one that is nested too deeply.
///
/// Sources: GELF 1.1, "GELF Payload Specification"; moby/moby, `daemon/logger/gelf`.
pub fn parse(json: &[u8]) -> Result<Received<'_>, Fault> {
    match std::str::from_utf8(json) {
        Ok(text) => read(text),
        Err(_) => read(&String::from_utf8_lossy(json)).map(owned),
    }
}

fn read(text: &str) -> Result<Received<'_>, Fault> {
    if text.trim_ascii().is_empty() {
        return Err(Fault::Empty);
    }
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|problem| not_json(text, &problem))?;
    if members.0.len() > MAX_MEMBERS {
        let max_members = MAX_MEMBERS;
        return Err(Fault::TooManyMembers { max_members });
    }
    let mut received = Received::default();
    let (mut short, mut full, mut level) = (None, None, None);
    for (name, raw) in members.0 {
        let value = raw.get();
        if depth(value) > MAX_DEPTH {
            let (name, max_depth) = (name.chars().take(64).collect(), MAX_DEPTH);
            return Err(Fault::TooDeep { name, max_depth });
        }
        match &*name {
            "version" => {}
            "host" => received.hostname = plain(value),
            "short_message" | "message" => short = said(value).or(short),
            "full_message" => full = said(value),
            "timestamp" => received.time = time(&plain(value)),
            "level" => level = plain(value).trim_ascii().parse::<u8>().ok(),
            "_container_id" => received.container.id = plain(value),
            "_container_name" => received.container.name = without_slash(plain(value)),
            "_image_id" => received.container.image_id = plain(value),
            "_image_name" => received.container.image = plain(value),
            "_k8s.namespace.name" => received.container.k8s_namespace = plain(value),
            "_k8s.pod.name" => received.container.k8s_pod = plain(value),
            "_tag" => received.tag = plain(value),
            "_process.pid" => received.process_id = plain(value),
            "_log.iostream" => received.stream = Stream::from_name(plain(value).as_bytes()),
            _ => received.fields.push((field_name(name), value.into())),
        }
    }
    received.severity = level.and_then(Severity::from_syslog);
    if received.stream.is_none() && !received.container.id.is_empty() {
        received.stream = match level {
            Some(6) => Some(Stream::Stdout),
            Some(3) => Some(Stream::Stderr),
            _ => None,
        };
    }
    let text = match (short, full) {
        (Some(short), Some(full)) if full.len() > short.len() => {
            if !full.starts_with(&*short) {
                let short = serde_json::to_string(&*short).unwrap_or_default();
                received.fields.push(("short_message".into(), short.into()));
            }
            full
        }
        (Some(short), _) => short,
        (None, Some(full)) => full,
        (None, None) => return Err(Fault::NoText),
    };
    received.text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    Ok(received)
}

/// Members of an object, in their order; one more than the bound when there are more.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    let value = map.next_value()?;
                    if members.len() <= MAX_MEMBERS {
                        members.push((name, value));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// A name, borrowed when nothing in it is escaped.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}

fn not_json(text: &str, problem: &serde_json::Error) -> Fault {
    let before = text.split_inclusive('\n').take(problem.line().max(1) - 1);
    let at = before.map(str::len).sum::<usize>() + problem.column().saturating_sub(1);
    let problem = problem.to_string();
    let problem = problem.split(" at line ").next().unwrap_or_default();
    Fault::NotJson {
        problem: problem.to_owned(),
        at,
    }
}

/// How deeply a JSON value is nested.
fn depth(json: &str) -> usize {
    if !matches!(json.as_bytes().first(), Some(b'{' | b'[')) {
        return 0;
    }
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The text of a JSON text, any other value as it stands; null is nothing.
fn said(json: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return (json != "null").then_some(Cow::Borrowed(json));
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    // A lone surrogate is no text; it stays as it was escaped.
    let text = serde_json::from_str(json).unwrap_or_else(|_| inner.to_owned());
    Some(Cow::Owned(text))
}

fn plain(json: &str) -> Cow<'_, str> {
    said(json).unwrap_or_default()
}

fn without_slash(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix('/').unwrap_or(name)),
        Cow::Owned(name) => match name.strip_prefix('/') {
            Some(rest) => Cow::Owned(rest.to_owned()),
            None => Cow::Owned(name),
        },
    }
}

fn field_name(name: Cow<'_, str>) -> Cow<'_, str> {
    match &*name {
        "_command" => return "container.command_line".into(),
        "_created" => return "container.created".into(),
        "_id" | "_version" | "_host" | "_short_message" | "_full_message" | "_timestamp"
        | "_level" | "_facility" | "_line" | "_file" => return name,
        _ => {}
    }
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(match name.strip_prefix('_') {
            Some("") | None => name,
            Some(rest) => rest,
        }),
        Cow::Owned(name) => match name.strip_prefix('_') {
            Some("") | None => Cow::Owned(name),
            Some(rest) => Cow::Owned(rest.to_owned()),
        },
    }
}

/// Seconds since the epoch with a fraction, as the digits stand there: a float would lose some.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = !whole.is_empty()
        && whole.len() <= 18
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|it| it.is_ascii_digit());
    if !is_plain {
        let seconds: f64 = text.parse().ok()?;
        let nanos = seconds * 1e9;
        // Beyond what an integer holds it is no time.
        let is_time = nanos.is_finite() && nanos.abs() < 9.2e18;
        return is_time.then(|| Timestamp::from_nanos(nanos as i64));
    }
    let mut nanos = 0;
    let mut scale = 100_000_000;
    for digit in fraction.bytes().take(9) {
        nanos += i64::from(digit - b'0') * scale;
        scale /= 10;
    }
    let whole: i64 = whole.parse().ok()?;
    let nanos = whole.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Timestamp::from_nanos(if is_negative {
        -nanos
    } else {
        nanos
    }))
}

/// The same, borrowing nothing.
fn owned(received: Received<'_>) -> Received<'static> {
    fn text(text: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(text.into_owned())
    }
    let said = received.container;
    let fields = received.fields.into_iter();
    Received {
        time: received.time,
        severity: received.severity,
        stream: received.stream,
        hostname: text(received.hostname),
        tag: text(received.tag),
        process_id: text(received.process_id),
        container: Said {
            id: text(said.id),
            name: text(said.name),
            image: text(said.image),
            image_id: text(said.image_id),
            k8s_namespace: text(said.k8s_namespace),
            k8s_pod: text(said.k8s_pod),
        },
        text: Cow::Owned(received.text.into_owned()),
        fields: fields
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        piece: None,
    }
}
