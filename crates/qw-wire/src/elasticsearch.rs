//! Elasticsearch's `_bulk`, and what its clients ask before they send.
//!
//! Sources: Elastic, "Bulk API", "Root API", "Get license", "Get index template"; Elastic Common
//! Schema 8; documents as Filebeat, Fluent Bit, Vector and Logstash write them.
//!
//! Members of a document that name the container, the host, the stream or the level go where
//! [`Received`] has a place for them; all others become fields, those within `host`, `container`,
//! `kubernetes`, `docker`, `log`, `attributes` and the like under names joined by dots.

mod answers;
mod encode;

use std::borrow::Cow;

use qw_event::{InvalidReason, Timestamp};
use qw_log::time::parse_rfc3339;

use crate::{
    Received,
    otlp::attributes::{self, Names, Value},
    outgoing::json,
};

pub use crate::outgoing::fault::Fault;
pub use answers::{
    ACKNOWLEDGED, BulkAnswer, DEFAULT_VERSION, error_answer, index_template, license, root,
};
pub use encode::encode_bulk_item;

/// Longest name of an index, and longest id of a document, in bytes, as Elasticsearch has it.
const MAX_ID: usize = 512;
/// Objects are followed this deep for names joined by dots.
const MAX_FOLLOWED: usize = 4;

/// What is to be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep it, under a new id or an old one.
    Index,
    /// Keep it under a new id.
    Create,
    /// Change one that is there.
    Update,
    /// Remove one that is there.
    Delete,
}

impl Action {
    /// Its name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Index, Self::Create, Self::Update, Self::Delete]
            .into_iter()
            .find(|action| action.as_str() == name)
    }
}

/// Called with each item: its number, what is to be done, index and id (empty when the sender leaves it
/// to us), and the line, or why there is none.
pub type Each<'e> = dyn FnMut(usize, Action, &str, &str, Result<Received<'_>, Fault>) + 'e;

/// Reads a body of `_bulk` and calls `each` with every item, in order.
///
/// Index and id are those of the action, or `default_index`, which the path of the request names.
/// Updates and removals have a fault, because lines of logs are neither changed nor removed. Returns
/// the number of items.
///
/// # Errors
/// When a line that should be an action is none, so that what follows cannot be told apart; `each` was
/// called for the items before it then.
pub fn parse_bulk(
    body: &[u8],
    default_index: Option<&str>,
    each: &mut Each<'_>,
) -> Result<usize, Fault> {
    let mut lines = Lines { body, at: 0 };
    let mut number = 0;
    while let Some((at, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let head = Head::parse(line).map_err(|fault| fault.after(at))?;
        let index = if head.index.is_empty() {
            default_index.unwrap_or_default()
        } else {
            &head.index
        };
        let document = match head.action {
            Action::Delete => Some((at, line)),
            Action::Index | Action::Create | Action::Update => lines.next(),
        };
        let what = "the document of an action is missing";
        let (at, document) = document.ok_or(Fault::form(what, body.len()))?;
        let received = match head.action {
            _ if index.is_empty() => Err(Fault::form("an action names no index", at)),
            Action::Index | Action::Create => {
                parse_document(document).map_err(|fault| fault.after(at))
            }
            Action::Update => Err(Fault::form("lines of logs cannot be updated", at)),
            Action::Delete => Err(Fault::form("lines of logs cannot be deleted", at)),
        };
        each(number, head.action, index, &head.id, received);
        number += 1;
    }
    if number == 0 {
        return Err(Fault::form("the body holds no action", 0));
    }
    Ok(number)
}

/// Lines of a body, each with the place where it begins.
struct Lines<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.body.get(at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += length + 1;
        let line = rest.get(..length)?;
        Some((at, line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// A line that says what to do.
struct Head<'a> {
    action: Action,
    index: Cow<'a, str>,
    id: Cow<'a, str>,
}

impl<'a> Head<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        let text = json::utf8(line)?;
        let members = json::object(text)?;
        let [(name, value)] = &members[..] else {
            return Err(Fault::form("an action is no object with one member", 0));
        };
        let what = "an action is none of index, create, update and delete";
        let mut head = Self {
            action: Action::from_name(name).ok_or(Fault::form(what, 0))?,
            index: Cow::Borrowed(""),
            id: Cow::Borrowed(""),
        };
        let at = json::offset_in(text, value);
        for (name, value) in json::object(value).map_err(|fault| fault.after(at))? {
            let into = match &*name {
                "_index" => &mut head.index,
                "_id" => &mut head.id,
                _ => continue,
            };
            *into = json::text(value);
            if into.len() > MAX_ID {
                let what = "an index or id is longer than 512 bytes";
                return Err(Fault::too_long(what, json::offset_in(text, value)));
            }
        }
        Ok(head)
    }
}

/// Reads one document.
///
/// # Errors
/// When it is no JSON object, or nested too deep.
pub fn parse_document(document: &[u8]) -> Result<Received<'_>, Fault> {
    let text = json::utf8(document)?;
    json::check_depth(text)?;
    let members = json::object(text)?;
    let mut reader = Document {
        whole: text,
        received: Received::default(),
        left: json::MAX_MEMBERS,
    };
    let find = |name: &str| {
        let found = members
            .iter()
            .find(|(known, value)| known == name && value.starts_with('"'));
        found.map(|(name, _)| &**name)
    };
    let line = ["message", "log", "MESSAGE", "msg"]
        .into_iter()
        .find_map(find);
    let has_time = members.iter().any(|(name, _)| name == "@timestamp");
    for (name, value) in &members {
        let value = *value;
        let time = match &**name {
            "@timestamp" => parse_time(value),
            "timestamp" | "time" if !has_time && reader.received.time.is_none() => {
                parse_rfc3339(json::text(value).as_bytes())
            }
            _ => None,
        };
        if time.is_some() {
            reader.received.time = time;
        } else if Some(&**name) == line {
            reader.received.text = line_text(value);
        } else {
            reader.put(name, value, 0)?;
        }
    }
    if line.is_none() {
        // The document itself is the line, and its fields stand in it.
        reader.received.text = Cow::Borrowed(document.trim_ascii());
        reader.received.fields.clear();
    }
    Ok(reader.received)
}

struct Document<'a> {
    whole: &'a str,
    received: Received<'a>,
    left: usize,
}

impl<'a> Document<'a> {
    /// Puts a member, or all members within it when its name is one of those that group others.
    fn put(&mut self, name: &str, value: &'a str, depth: usize) -> Result<(), Fault> {
        let first = name.split('.').next().unwrap_or_default();
        let groups = matches!(
            first,
            "host"
                | "container"
                | "kubernetes"
                | "k8s"
                | "docker"
                | "log"
                | "service"
                | "attributes"
                | "resource"
                | "orchestrator"
        );
        if groups && value.starts_with('{') && depth < MAX_FOLLOWED {
            let members = json::object(value);
            let at = json::offset_in(self.whole, value);
            for (inner, value) in members.map_err(|fault| fault.after(at))? {
                // What OpenTelemetry's exporters group is named as a whole.
                let name = match name {
                    "attributes" | "resource.attributes" => inner.into_owned(),
                    _ => format!("{name}.{inner}"),
                };
                self.put(&name, value, depth + 1)?;
            }
            return Ok(());
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let at = json::offset_in(self.whole, value);
            Fault::new(
                "a document has more than 4096 fields",
                at,
                InvalidReason::TooLong,
            )
        })?;
        let value = Value::Json(Cow::Borrowed(value));
        attributes::put(&mut self.received, Names::Any, name.to_owned(), value);
        Ok(())
    }
}

/// RFC 3339, or milliseconds since the epoch.
fn parse_time(value: &str) -> Option<Timestamp> {
    let text = json::text(value);
    parse_rfc3339(text.as_bytes()).or_else(|| text.parse().ok().map(Timestamp::from_millis))
}

fn line_text(value: &str) -> Cow<'_, [u8]> {
    match json::text(value) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => {
            // Fluent Bit keeps the line end of Docker's files.
            let mut text = text.into_bytes();
            text.pop_if(|last| *last == b'\n');
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests;
