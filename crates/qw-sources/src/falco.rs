//! One line of Falco's JSON output → [`Event`].
//!
//! Source: Falco, `userspace/engine/formats.cpp`; falcosidekick's payload adds `uuid` and friends.
//! Pure: bytes and the time of their arrival come in, an event or the reason why there is none goes
//! out. Everything in `output_fields` is kept to the letter, and top-level entries that Falco does
//! not define are added to it, so that every field stays queryable. Nothing is looked up; who the
//! container is, enrichment says later.

mod category;
mod fields;
mod intern;
mod raw;
mod scan;
mod time;

use std::{borrow::Cow, sync::Arc};

use qw_event::{Category, Event, InvalidReason, Priority, RecordKind, Timestamp};

use self::{
    category::Hints,
    fields::{Fields, text},
    raw::raw_value,
    scan::{Fault, MOST_DEPTH, Scanner, Text, Value, tidy},
    time::time,
};
pub(crate) use self::{fields::Containers, intern::Interner};

/// Bounds of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest line or object, in bytes.
    pub line_bytes: usize,
    /// Deepest nesting of arrays and objects, the outermost counted; at most 100.
    pub depth: usize,
}

impl Default for Limits {
    /// 1 MiB and 64 levels.
    fn default() -> Self {
        Self {
            line_bytes: 1 << 20,
            depth: 64,
        }
    }
}

/// Texts that are longer than this are not worth remembering, in bytes.
const REMEMBERED_BYTES: usize = 512;

/// Turns lines into events, and remembers what recurs so that events share it.
///
/// Each source has its own.
pub struct Parser {
    limits: Limits,
    memory: Memory,
}

/// What recurs.
struct Memory {
    texts: Interner<Arc<str>, Arc<str>>,
    /// By the text of the JSON array.
    tags: Interner<Box<str>, Tags>,
    containers: Containers,
    empty: Arc<str>,
    no_tags: Tags,
}

#[derive(Clone)]
struct Tags {
    sorted: Arc<[Arc<str>]>,
    category: Option<Category>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Parser {
    /// A parser that refuses what is beyond `limits`. Remembers about a megabyte at most.
    pub fn new(limits: Limits) -> Self {
        let memory = Memory {
            texts: Interner::new(2048),
            tags: Interner::new(256),
            containers: Containers::new(1024),
            empty: "".into(),
            no_tags: Tags {
                sorted: Arc::default(),
                category: None,
            },
        };
        Self {
            limits: Limits {
                depth: limits.depth.clamp(1, MOST_DEPTH),
                ..limits
            },
            memory,
        }
    }

    /// The bounds in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Parses one line, with or without its newline.
    ///
    /// `received` is the event's time when it says none. Invalid UTF-8 becomes U+FFFD. An event
    /// needs a rule, and a priority or an output; a priority that is missing or unknown is taken
    /// from the output, else it is Notice.
    pub fn parse(&mut self, line: &[u8], received: Timestamp) -> Result<Event, InvalidReason> {
        if line.len() > self.limits.line_bytes {
            return Err(InvalidReason::TooLong);
        }
        let text = utf8(line);
        let mut scanner = Scanner::new(text.trim_start_matches('\u{feff}'), self.limits.depth);
        let event = self
            .memory
            .one(&mut scanner, self.limits, received)
            .map_err(reason)?;
        if scanner.peek().is_some() {
            Err(InvalidReason::NotJson)
        } else {
            event
        }
    }

    /// Parses all of `body`: objects one after the other with or without newlines between them, or
    /// arrays of them. Calls `each` with every event, or with the reason and the text where there
    /// is none. After a fault in the JSON it goes on with the next line; objects of an array that
    /// came before the fault have been given to `each`.
    pub fn parse_all(
        &mut self,
        body: &[u8],
        received: Timestamp,
        mut each: impl FnMut(Result<Event, (InvalidReason, &str)>),
    ) {
        let text = utf8(body);
        let text = text.trim_start_matches('\u{feff}');
        let mut scanner = Scanner::new(text, self.limits.depth);
        while let Some(first) = scanner.peek() {
            let start = scanner.at();
            let mut element = |scanner: &mut Scanner<'_>| {
                scanner.peek();
                let start = scanner.at();
                let event = self.memory.one(scanner, self.limits, received)?;
                each(event.map_err(|reason| (reason, scanner.since(start))));
                Ok(())
            };
            let (outcome, lost_from) = match first {
                b'[' => (scanner.array(element), scanner.at()),
                _ => (element(&mut scanner), start),
            };
            if let Err(fault) = outcome {
                let rest = text.as_bytes().get(lost_from..).unwrap_or_default();
                let line = rest
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .unwrap_or(rest.len());
                scanner.jump(lost_from + line);
                each(Err((reason(fault), scanner.since(lost_from))));
            }
        }
    }
}

/// Bytes as text. Valid text is checked many times faster than invalid text is mended.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn reason(fault: Fault) -> InvalidReason {
    match fault {
        Fault::Syntax => InvalidReason::NotJson,
        Fault::TooDeep => InvalidReason::TooDeep,
    }
}

/// The entries of one object.
#[derive(Default)]
struct Entries<'a> {
    rule: Cow<'a, str>,
    output: Cow<'a, str>,
    message: Cow<'a, str>,
    source: Cow<'a, str>,
    hostname: Cow<'a, str>,
    priority: Option<Value<'a>>,
    time: Option<Timestamp>,
    tags: Option<Value<'a>>,
    /// `output_fields` as written.
    output_fields: Option<Value<'a>>,
    /// What `output_fields` says, when it is an object.
    fields: Fields<'a>,
    /// Entries that Falco does not define: key without quotes and value, as written.
    unknown: Vec<(Text<'a>, &'a str)>,
    /// An event in an envelope: falcosidekick's `event`, or the `log` of a container's log file.
    enclosed: Option<Value<'a>>,
}

impl<'a> Entries<'a> {
    /// Takes note of the next value, if it is an object.
    fn read(
        &mut self,
        scanner: &mut Scanner<'a>,
        limits: Limits,
    ) -> Result<Result<(), InvalidReason>, Fault> {
        if scanner.peek() != Some(b'{') {
            scanner.value()?;
            return Ok(Err(InvalidReason::NotAnEvent));
        }
        let start = scanner.at();
        scanner.untidy = false;
        scanner.object(|scanner, key| self.note(scanner, key))?;
        let is_too_long = scanner.at() - start > limits.line_bytes;
        Ok(if is_too_long {
            Err(InvalidReason::TooLong)
        } else {
            Ok(())
        })
    }

    fn note(&mut self, scanner: &mut Scanner<'a>, key: Text<'a>) -> Result<(), Fault> {
        let next = scanner.peek();
        let start = scanner.at();
        let name = key.decode();
        if name == "output_fields" && next == Some(b'{') {
            if self.output_fields.is_some() {
                self.fields = Fields::default();
            }
            scanner.object(|scanner, key| {
                self.fields.note(key, scanner.value()?);
                Ok(())
            })?;
            self.output_fields = Some(Value::Object(scanner.since(start)));
            return Ok(());
        }
        let value = scanner.value()?;
        match &*name {
            "rule" => self.rule = text(value),
            "output" => self.output = text(value),
            "source" => self.source = text(value),
            "hostname" => self.hostname = text(value),
            "priority" => self.priority = Some(value).filter(|value| *value != Value::Null),
            "time" => self.time = time(value),
            "tags" => self.tags = Some(value),
            "output_fields" => {
                self.fields = Fields::default();
                self.output_fields = Some(value);
            }
            name => {
                match (name, value) {
                    ("message", value) => self.message = text(value),
                    ("event", Value::Object(_)) | ("log", Value::Text(_)) => {
                        self.enclosed = Some(value);
                    }
                    _ => {}
                }
                self.unknown.push((key, scanner.since(start)));
            }
        }
        Ok(())
    }

    /// The text of `output_fields` as an object, and of what else was said.
    fn object(&mut self, is_untidy: bool, most_depth: usize) -> Cow<'a, str> {
        let mut object = match self.output_fields {
            Some(Value::Object(object)) => Cow::Borrowed(object),
            // Some forwarders write objects as strings.
            Some(Value::Text(text)) if is_object(&text.decode(), most_depth) => {
                Cow::Owned(tidy(&text.decode()))
            }
            None | Some(Value::Null) => Cow::Borrowed("{}"),
            Some(Value::Text(text)) => {
                Cow::Owned(format!("{{\"output_fields\":\"{}\"}}", text.raw))
            }
            Some(Value::Number(other) | Value::Array(other)) => {
                Cow::Owned(format!("{{\"output_fields\":{other}}}"))
            }
            Some(Value::Bool(other)) => Cow::Owned(format!("{{\"output_fields\":{other}}}")),
        };
        // The output says it already, or it stands in for the output.
        if self.output.is_empty() || self.output.ends_with(&*self.message) {
            self.unknown.retain(|(key, _)| key.raw != "message");
        }
        if !self.unknown.is_empty() {
            object = Cow::Owned(with_more(&object, &self.unknown, most_depth));
        }
        if is_untidy {
            Cow::Owned(tidy(&object))
        } else {
            object
        }
    }

    fn priority(&self) -> Priority {
        let said = self.priority.and_then(|value| priority(&text(value)));
        // `09:00:00.123456789: Warning Something happened`.
        let printed = || self.output.split(' ').nth(1).and_then(priority);
        said.or_else(printed).unwrap_or(Priority::Notice)
    }
}

impl Memory {
    /// The next value as an event. A fault leaves the scanner somewhere within the value.
    fn one(
        &mut self,
        scanner: &mut Scanner<'_>,
        limits: Limits,
        received: Timestamp,
    ) -> Result<Result<Event, InvalidReason>, Fault> {
        let mut entries = Entries::default();
        if let Err(reason) = entries.read(scanner, limits)? {
            return Ok(Err(reason));
        }
        if entries.rule.is_empty()
            && let Some(enclosed) = entries.enclosed
        {
            return Ok(self.enclosed(enclosed, limits, entries.time.unwrap_or(received)));
        }
        Ok(self.event(&mut entries, scanner.untidy, limits, received))
    }

    fn enclosed(
        &mut self,
        enclosed: Value<'_>,
        limits: Limits,
        received: Timestamp,
    ) -> Result<Event, InvalidReason> {
        let json = match enclosed {
            Value::Object(json) => Cow::Borrowed(json),
            value => text(value),
        };
        let mut scanner = Scanner::new(&json, limits.depth);
        let mut entries = Entries::default();
        entries.read(&mut scanner, limits).map_err(reason)??;
        self.event(&mut entries, scanner.untidy, limits, received)
    }

    fn event(
        &mut self,
        entries: &mut Entries<'_>,
        is_untidy: bool,
        limits: Limits,
        received: Timestamp,
    ) -> Result<Event, InvalidReason> {
        let says_something =
            entries.priority.is_some() || !entries.output.is_empty() || !entries.message.is_empty();
        if entries.rule.is_empty() || !says_something {
            return Err(InvalidReason::NotAnEvent);
        }
        let output_fields = raw_value(entries.object(is_untidy, limits.depth).into_owned());
        let fields = &entries.fields;
        let tags = self.tags(entries.tags);
        let source = match &*entries.source {
            "" => fields.plugin_source.unwrap_or("syscall"),
            "syscalls" => "syscall",
            source => source,
        };
        let category = category::of(&Hints {
            source,
            rule: &entries.rule,
            tags: tags.category,
            event_type: &fields.event_type,
            fd_type: &fields.fd_type,
            fd_name: &fields.fd_name,
            has_connection: fields.has_connection,
            has_process: fields.has_process,
        });
        let hostname = if entries.hostname.is_empty() {
            &fields.hostname
        } else {
            &entries.hostname
        };
        let priority = entries.priority();
        let output = if entries.output.is_empty() {
            &mut entries.message
        } else {
            &mut entries.output
        };
        Ok(Event {
            kind: RecordKind::Event,
            time: entries.time.or_else(|| fields.time()).unwrap_or(received),
            source: self.text(source),
            rule: self.text(&entries.rule),
            priority,
            category,
            hostname: self.text(hostname),
            container: fields.container(&mut self.containers),
            process_name: self.text(&fields.process_name),
            tags: tags.sorted,
            output: std::mem::take(output).into_owned().into_boxed_str(),
            output_fields,
        })
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        match text.len() {
            0 => Arc::clone(&self.empty),
            1..=REMEMBERED_BYTES => self.texts.get(
                text,
                |key, wanted| **key == *wanted,
                |wanted| {
                    let text: Arc<str> = wanted.into();
                    (Arc::clone(&text), text)
                },
            ),
            _ => text.into(),
        }
    }

    fn tags(&mut self, value: Option<Value<'_>>) -> Tags {
        let written = match value {
            Some(Value::Array(json)) => Cow::Borrowed(json),
            Some(Value::Text(text)) => text.decode(),
            _ => return self.no_tags.clone(),
        };
        if written.len() > REMEMBERED_BYTES {
            return tags(&written);
        }
        self.tags.get(
            &*written,
            |key, wanted| **key == *wanted,
            |written| (written.into(), tags(written)),
        )
    }
}

/// Tags of a JSON array of strings, or of a list with commas.
fn tags(written: &str) -> Tags {
    let mut sorted: Vec<Arc<str>> = Vec::new();
    let mut scanner = Scanner::new(written, MOST_DEPTH);
    let is_array = scanner.peek() == Some(b'[')
        && scanner
            .array(|scanner| {
                sorted.push(text(scanner.value()?).into());
                Ok(())
            })
            .is_ok();
    if !is_array {
        // Also of a text that begins like an array and is none.
        sorted.clear();
        sorted.extend(written.split(',').map(|tag| Arc::from(tag.trim())));
    }
    sorted.retain(|tag| !tag.is_empty());
    sorted.sort_unstable();
    sorted.dedup();
    let category = category::of_tags(sorted.iter().map(|tag| &**tag));
    Tags {
        sorted: sorted.into(),
        category,
    }
}

/// A priority by name, by a name other tools use, or by Falco's number.
fn priority(word: &str) -> Option<Priority> {
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    match word.parse() {
        Ok(priority) => Some(priority),
        Err(_) if is("warn") => Some(Priority::Warning),
        Err(_) if is("err") => Some(Priority::Error),
        Err(_) if is("crit") => Some(Priority::Critical),
        Err(_) if is("emerg") => Some(Priority::Emergency),
        Err(_) => word.parse().ok().and_then(Priority::from_number),
    }
}

/// The time an event says, and where its `time` is in the text.
pub(crate) fn said_time(line: &str) -> Option<(Timestamp, Option<std::ops::Range<usize>>)> {
    let mut said = None;
    let mut place = None;
    let mut fields = Fields::default();
    let mut scanner = Scanner::new(line, Limits::default().depth);
    let outcome = scanner.object(|scanner, key| {
        let next = scanner.peek();
        let start = scanner.at();
        match (key.raw, next) {
            ("output_fields", Some(b'{')) => {
                return scanner.object(|scanner, key| {
                    fields.note(key, scanner.value()?);
                    Ok(())
                });
            }
            ("time", _) => {
                said = time(scanner.value()?);
                place = Some(start..scanner.at());
            }
            _ => {
                scanner.value()?;
            }
        }
        Ok(())
    });
    outcome.ok()?;
    Some((said.or_else(|| fields.time())?, place))
}

fn is_object(json: &str, most_depth: usize) -> bool {
    let mut scanner = Scanner::new(json, most_depth);
    matches!(scanner.value(), Ok(Value::Object(_))) && scanner.peek().is_none()
}

/// `object` with the entries `more` behind its own; entries it has already are left out.
fn with_more(object: &str, more: &[(Text<'_>, &str)], most_depth: usize) -> String {
    let mut present = Vec::new();
    fields::entries(object, most_depth, |key, _| present.push(key.decode()));
    let mut whole = object.strip_suffix('}').unwrap_or(object).to_owned();
    for (key, value) in more {
        let name = key.decode();
        if *value == "null" || present.contains(&name) {
            continue;
        }
        if !present.is_empty() {
            whole.push(',');
        }
        whole.extend(["\"", key.raw, "\":", value]);
        present.push(name);
    }
    whole.push('}');
    whole
}

#[cfg(test)]
mod tests;
