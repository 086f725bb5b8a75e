//! Values of templates, and how they are written.

use std::{borrow::Cow, collections::BTreeMap};

use qw_event::Timestamp;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Self>),
    Map(BTreeMap<Cow<'a, str>, Cow<'a, str>>),
    Time(Timestamp),
    /// The container itself: what `.` is at first.
    Container,
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl Value<'_> {
    /// Whether `if` takes it for true: everything but nothing, zero, and what is empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Text(text) => !text.is_empty(),
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(is_true) => *is_true,
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Time(_) | Self::Container => true,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Time(_) => "time",
            Self::Container => "container",
        }
    }

    /// As Go prints it.
    pub(super) fn print(&self, into: &mut String) {
        match self {
            Self::Nil => into.push_str("<no value>"),
            Self::Text(text) => into.push_str(text),
            Self::Int(number) => into.push_str(&format!("{number}")),
            Self::Float(number) => into.push_str(&format!("{number}")),
            Self::Bool(is_true) => into.push_str(if *is_true { "true" } else { "false" }),
            Self::List(list) => {
                into.push('[');
                for (number, value) in list.iter().enumerate() {
                    if number > 0 {
                        into.push(' ');
                    }
                    value.print(into);
                }
                into.push(']');
            }
            Self::Map(map) => {
                into.push_str("map[");
                for (number, (name, value)) in map.iter().enumerate() {
                    let space = if number > 0 { " " } else { "" };
                    into.push_str(&format!("{space}{name}:{value}"));
                }
                into.push(']');
            }
            Self::Time(time) => {
                let text = time.to_string();
                let text = text.replacen('T', " ", 1);
                into.push_str(&format!("{} +0000 UTC", text.trim_end_matches('Z')));
            }
            Self::Container => into.push_str("{container}"),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.print(&mut text);
        text
    }

    /// As JSON; `None` for the container itself.
    pub(super) fn to_json(&self) -> Option<String> {
        let json = |text: &str| {
            let json = serde_json::to_string(text).ok()?;
            Some(
                json.replace('\u{2028}', "\\u2028")
                    .replace('\u{2029}', "\\u2029"),
            )
        };
        Some(match self {
            Self::Nil => "null".to_owned(),
            Self::Text(text) => json(text)?,
            Self::Int(_) | Self::Float(_) | Self::Bool(_) => self.to_text(),
            Self::List(list) => {
                let parts: Option<Vec<_>> = list.iter().map(Self::to_json).collect();
                format!("[{}]", parts?.join(","))
            }
            Self::Map(map) => {
                let member = |(name, value): (&Cow<'_, str>, &Cow<'_, str>)| {
                    Some(format!("{}:{}", json(name)?, json(value)?))
                };
                let parts: Option<Vec<_>> = map.iter().map(member).collect();
                format!("{{{}}}", parts?.join(","))
            }
            Self::Time(time) => json(&time.to_string())?,
            Self::Container => return None,
        })
    }
}
