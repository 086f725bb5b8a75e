//! The fields of an event by the names queries give them.
//!
//! Some fields the event itself has; any other name is looked up in Falco's `output_fields`, which
//! are read from their JSON text without building a tree, and of a line of a log then in the line.

use std::borrow::Cow;

use qw_event::{Event, RecordKind};

use crate::query::lines;

/// A field worth proposing; unknown names are legal too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name as queries write it.
    pub name: &'static str,
    /// What its values are.
    pub kind: FieldKind,
    /// One sentence for people.
    pub description: &'static str,
}

/// What the values of a field are, and so which operators it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A text; no order.
    Text,
    /// Several texts, one of which has to match; no order.
    List,
    /// A number.
    Number,
    /// An instant.
    Time,
    /// One of Falco's eight priorities; the more urgent is the greater.
    Priority,
    /// One of the four categories; no order.
    Category,
    /// An IP address, which can be matched against a network.
    Address,
    /// Whatever the event says: text, number, truth value, time, or a list of these.
    Any,
}

impl FieldKind {
    /// The name in lower case, as the API gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::List => "list",
            Self::Number => "number",
            Self::Time => "time",
            Self::Priority => "priority",
            Self::Category => "category",
            Self::Address => "address",
            Self::Any => "any",
        }
    }
}

/// The fields of events themselves, and those of `output_fields` that Falco's rules use most.
pub const FIELDS: &[Field] = &[
    field(
        "kind",
        FieldKind::Text,
        "What the record is: event, or log for a line of a log",
    ),
    field("rule", FieldKind::Text, "Rule that matched"),
    field(
        "priority",
        FieldKind::Priority,
        "Urgency; `priority>=Warning` is Warning or more urgent",
    ),
    field(
        "category",
        FieldKind::Category,
        "Kind of activity: process, network, file, unknown",
    ),
    field(
        "source",
        FieldKind::Text,
        "Falco's event source, such as syscall or k8s_audit",
    ),
    field("hostname", FieldKind::Text, "Host the event happened on"),
    field(
        "tags",
        FieldKind::List,
        "Tags of the rule, such as mitre_execution",
    ),
    field(
        "output",
        FieldKind::Text,
        "Falco's rendered message; of a log the line",
    ),
    field("body", FieldKind::Text, "Line of a log; the same as output"),
    field(
        "severity_text",
        FieldKind::Text,
        "Level of a line of a log: TRACE, DEBUG, INFO, WARN, ERROR, FATAL",
    ),
    field(
        "level",
        FieldKind::Text,
        "Level of a line of a log; the same as severity_text",
    ),
    field(
        "log.iostream",
        FieldKind::Text,
        "Where a line of a log came from: stdout, stderr",
    ),
    field(
        "time",
        FieldKind::Time,
        "When it happened, such as 2026-11-21T09:00:00Z",
    ),
    field(
        "container",
        FieldKind::Text,
        "Container by id, id prefix of 12 or more, or name",
    ),
    field(
        "container.id",
        FieldKind::Text,
        "Id of the container, or a prefix of 12 or more",
    ),
    field("container.name", FieldKind::Text, "Name of the container"),
    field(
        "container.image",
        FieldKind::Text,
        "Image reference the container was started with",
    ),
    field(
        "container.image.repository",
        FieldKind::Text,
        "Repository of the image",
    ),
    field("container.image.tag", FieldKind::Text, "Tag of the image"),
    field(
        "container.image.digest",
        FieldKind::Text,
        "Digest of the image, sha256:…",
    ),
    field(
        "compose.project",
        FieldKind::Text,
        "Compose project of the container",
    ),
    field(
        "compose.service",
        FieldKind::Text,
        "Compose service of the container",
    ),
    field("k8s.ns.name", FieldKind::Text, "Kubernetes namespace"),
    field("k8s.pod.name", FieldKind::Text, "Kubernetes pod"),
    field("proc.name", FieldKind::Text, "Name of the process"),
    field(
        "proc.cmdline",
        FieldKind::Text,
        "Process with its arguments",
    ),
    field("proc.exepath", FieldKind::Text, "Path of the executable"),
    field("proc.pname", FieldKind::Text, "Name of the parent process"),
    field(
        "proc.aname[2]",
        FieldKind::Text,
        "Name of the grandparent process",
    ),
    field("proc.pid", FieldKind::Number, "Process id"),
    field("proc.ppid", FieldKind::Number, "Process id of the parent"),
    field(
        "proc.tty",
        FieldKind::Number,
        "Terminal of the process; 0 is none",
    ),
    field(
        "proc.cwd",
        FieldKind::Text,
        "Working directory of the process",
    ),
    field(
        "proc.exe_flags",
        FieldKind::Text,
        "Flags of the executable, such as EXE_UPPER_LAYER",
    ),
    field("user.name", FieldKind::Text, "Name of the user"),
    field("user.uid", FieldKind::Number, "Number of the user"),
    field(
        "user.loginuid",
        FieldKind::Number,
        "Number of the user who signed in; -1 is none",
    ),
    field(
        "fd.name",
        FieldKind::Text,
        "Path of the file, or both ends of the connection",
    ),
    field("fd.directory", FieldKind::Text, "Directory of the file"),
    field(
        "fd.type",
        FieldKind::Text,
        "Kind of descriptor, such as file or ipv4",
    ),
    field("fd.l4proto", FieldKind::Text, "Transport protocol"),
    field(
        "fd.sip",
        FieldKind::Address,
        "Address of the server, such as 10.0.0.0/8",
    ),
    field("fd.cip", FieldKind::Address, "Address of the client"),
    field("fd.rip", FieldKind::Address, "Address of the remote end"),
    field("fd.lip", FieldKind::Address, "Address of the local end"),
    field("fd.sport", FieldKind::Number, "Port of the server"),
    field("fd.cport", FieldKind::Number, "Port of the client"),
    field("evt.type", FieldKind::Text, "System call, such as execve"),
    field(
        "evt.time",
        FieldKind::Number,
        "Time of the system call in nanoseconds",
    ),
    field("evt.res", FieldKind::Text, "Result of the system call"),
];

const fn field(name: &'static str, kind: FieldKind, description: &'static str) -> Field {
    Field {
        name,
        kind,
        description,
    }
}

/// The value of `field` of `event` as text; `None` when it has none.
///
/// `field` is a name as queries write it. Lists come as their members joined by commas; of
/// `container` comes the name, or the short id where there is no name.
pub fn field_value<'a>(event: &'a Event, field: &str) -> Option<Cow<'a, str>> {
    match resolve(field) {
        Place::Event(EventField::Time) => Some(Cow::Owned(event.time.to_string())),
        Place::Event(EventField::Tags) => match &*event.tags {
            [] => None,
            [tag] => Some(Cow::Borrowed(tag)),
            tags => Some(Cow::Owned(tags.join(","))),
        },
        Place::Event(EventField::Container) => present(event.container.display_name()),
        Place::Event(field) => present(field.text(event)),
        Place::Output => match OutputFields::find(event.output_fields.get(), field) {
            None => within_line(event, field),
            Some(Json::Null) => None,
            Some(list @ Json::List(_)) => {
                let mut members = Vec::new();
                list.for_each_element(&mut |member| {
                    if !matches!(member, Json::Null) {
                        members.push(member.text());
                    }
                });
                if members.is_empty() {
                    None
                } else {
                    Some(Cow::Owned(members.join(",")))
                }
            }
            Some(value) => Some(value.text()),
        },
    }
}

/// The values that the line of a log has under `field`, joined by commas.
fn within_line<'a>(event: &'a Event, field: &str) -> Option<Cow<'a, str>> {
    let mut all: Option<String> = None;
    lines::for_each_value(event, &[field], &mut |_, found| {
        if lines::as_json(&found) == Json::Null {
            return;
        }
        match &mut all {
            None => all = Some(found.text),
            Some(all) => {
                all.push(',');
                all.push_str(&found.text);
            }
        }
    });
    all.map(Cow::Owned)
}

/// Calls `visit` with each value of `field` of `event` as text: once for most fields, once per
/// member for lists, never when there is no value.
pub fn for_each_value(event: &Event, field: &str, visit: &mut impl FnMut(&str)) {
    match resolve(field) {
        Place::Event(EventField::Tags) => event.tags.iter().for_each(|tag| visit(tag)),
        Place::Output => {
            if !for_each_output_value(event.output_fields.get(), field, visit) {
                lines::for_each_value(event, &[field], &mut |_, found| {
                    if lines::as_json(&found) != Json::Null {
                        visit(&found.text);
                    }
                });
            }
        }
        Place::Event(_) => {
            if let Some(value) = field_value(event, field) {
                visit(&value);
            }
        }
    }
}

/// Calls `visit` with each value of the field `field` of `output_fields`, a JSON object as text; false
/// when there is no such field.
pub(crate) fn for_each_output_value(json: &str, field: &str, visit: &mut impl FnMut(&str)) -> bool {
    let Some(value) = OutputFields::find(json, field) else {
        return false;
    };
    value.for_each_element(&mut |member| {
        if !matches!(member, Json::Null) {
            visit(&member.text());
        }
    });
    true
}

fn present(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        None
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// Where a field is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Event(EventField),
    Output,
}

/// A field the event itself has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventField {
    Kind,
    Rule,
    /// The rule of a line of a log, which is its level; events have none.
    Severity,
    Priority,
    Category,
    Source,
    Hostname,
    Tags,
    Output,
    Time,
    Container,
    ContainerId,
    ContainerName,
    ContainerImage,
    ImageRepository,
    ImageTag,
    ImageDigest,
    ComposeProject,
    ComposeService,
    K8sNamespace,
    K8sPod,
    ProcessName,
}

/// Names of the fields the event itself has; the first name of each is the canonical one.
const EVENT_FIELDS: [(&str, EventField); 26] = [
    ("kind", EventField::Kind),
    ("rule", EventField::Rule),
    ("severity_text", EventField::Severity),
    ("level", EventField::Severity),
    ("priority", EventField::Priority),
    ("category", EventField::Category),
    ("rule_category", EventField::Category),
    ("source", EventField::Source),
    ("log.iostream", EventField::Source),
    ("hostname", EventField::Hostname),
    ("tags", EventField::Tags),
    ("output", EventField::Output),
    ("body", EventField::Output),
    ("time", EventField::Time),
    ("container", EventField::Container),
    ("container.id", EventField::ContainerId),
    ("container.name", EventField::ContainerName),
    ("container.image", EventField::ContainerImage),
    ("container.image.repository", EventField::ImageRepository),
    ("container.image.tag", EventField::ImageTag),
    ("container.image.digest", EventField::ImageDigest),
    ("compose.project", EventField::ComposeProject),
    ("compose.service", EventField::ComposeService),
    ("k8s.ns.name", EventField::K8sNamespace),
    ("k8s.pod.name", EventField::K8sPod),
    ("proc.name", EventField::ProcessName),
];

impl EventField {
    /// The text of the field; empty for what is no single text (time, tags, container).
    pub(crate) fn text(self, event: &Event) -> &str {
        let container = &*event.container;
        match self {
            Self::Kind => event.kind.as_str(),
            Self::Rule => &event.rule,
            Self::Severity if event.kind == RecordKind::Log => &event.rule,
            Self::Severity => "",
            Self::Priority => event.priority.as_str(),
            Self::Category => event.category.as_str(),
            Self::Source => &event.source,
            Self::Hostname => &event.hostname,
            Self::Output => &event.output,
            Self::ContainerId => &container.id,
            Self::ContainerName => &container.name,
            Self::ContainerImage => &container.image,
            Self::ImageRepository => &container.image_repository,
            Self::ImageTag => &container.image_tag,
            Self::ImageDigest => &container.image_digest,
            Self::ComposeProject => &container.compose_project,
            Self::ComposeService => &container.compose_service,
            Self::K8sNamespace => &container.k8s_namespace,
            Self::K8sPod => &container.k8s_pod,
            Self::ProcessName => &event.process_name,
            Self::Time | Self::Tags | Self::Container => "",
        }
    }
}

/// Finds the place of a field; names of the event's own fields are known in any case.
pub(crate) fn resolve(name: &str) -> Place {
    EVENT_FIELDS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or(Place::Output, |(_, field)| Place::Event(*field))
}

/// The one name of a field that has several; names from `output_fields` stay as they are.
pub(crate) fn canonical_name(name: &str) -> &str {
    match resolve(name) {
        Place::Event(field) => EVENT_FIELDS
            .iter()
            .find(|(_, known)| *known == field)
            .map_or(name, |(canonical, _)| *canonical),
        Place::Output => name,
    }
}

/// True for the field that tells events from lines of logs.
pub(crate) fn is_kind(name: &str) -> bool {
    resolve(name) == Place::Event(EventField::Kind)
}

/// What the values of a field are; [`FieldKind::Any`] for all of `output_fields`.
pub(crate) fn kind(name: &str) -> FieldKind {
    match resolve(name) {
        Place::Event(EventField::Priority) => FieldKind::Priority,
        Place::Event(EventField::Category) => FieldKind::Category,
        Place::Event(EventField::Time) => FieldKind::Time,
        Place::Event(EventField::Tags) => FieldKind::List,
        Place::Event(_) => FieldKind::Text,
        Place::Output => FieldKind::Any,
    }
}

/// One value of `output_fields`, still as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    /// What stands between the quotes.
    Text {
        raw: &'a str,
        escaped: bool,
    },
    /// With its brackets.
    List(&'a str),
    /// With its braces.
    Object(&'a str),
}

impl<'a> Json<'a> {
    /// The value as people write it; lists and objects as their JSON.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match *self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(raw) | Self::List(raw) | Self::Object(raw) => Cow::Borrowed(raw),
            Self::Text {
                raw,
                escaped: false,
            } => Cow::Borrowed(raw),
            Self::Text { raw, escaped: true } => unescape(raw),
        }
    }

    /// Calls `visit` with each member of a list, or with the value itself when it is no list.
    pub(crate) fn for_each_element(&self, visit: &mut impl FnMut(&Self)) {
        match *self {
            Self::List(raw) => {
                let mut scanner = Scanner {
                    text: raw,
                    position: 1,
                };
                while let Some(member) = scanner.value() {
                    visit(&member);
                    scanner.skip_whitespace();
                    if !scanner.take(b',') {
                        return;
                    }
                }
            }
            value => visit(&value),
        }
    }
}

/// The members of an event's `output_fields`, in order.
pub(crate) struct OutputFields<'a> {
    scanner: Scanner<'a>,
}

impl<'a> OutputFields<'a> {
    pub(crate) fn of(event: &'a Event) -> Self {
        Self::of_text(event.output_fields.get())
    }

    fn of_text(text: &'a str) -> Self {
        let mut scanner = Scanner { text, position: 0 };
        scanner.skip_whitespace();
        scanner.take(b'{');
        Self { scanner }
    }

    /// The first member named `name`.
    fn find(json: &'a str, name: &str) -> Option<Json<'a>> {
        Self::of_text(json)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for OutputFields<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let scanner = &mut self.scanner;
        scanner.skip_whitespace();
        scanner.take(b',');
        scanner.skip_whitespace();
        let (raw, escaped) = scanner.string()?;
        let key = if escaped {
            unescape(raw)
        } else {
            Cow::Borrowed(raw)
        };
        scanner.skip_whitespace();
        scanner.take(b':');
        let value = scanner.value()?;
        Some((key, value))
    }
}

/// Reads JSON that is known to be valid; on anything else it ends early, without a panic.
struct Scanner<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.position += usize::from(taken);
        taken
    }

    /// Takes a string; returns what stands between its quotes and whether it has escapes.
    fn string(&mut self) -> Option<(&'a str, bool)> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.position + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(end..)?;
            end += memchr::memchr2(b'"', b'\\', rest)?;
            if self.text.as_bytes().get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.position = end + 1;
        Some((self.text.get(start..end)?, escaped))
    }

    fn value(&mut self) -> Option<Json<'a>> {
        self.skip_whitespace();
        match self.peek()? {
            b'"' => {
                let (raw, escaped) = self.string()?;
                Some(Json::Text { raw, escaped })
            }
            b'[' => self.nested().map(Json::List),
            b'{' => self.nested().map(Json::Object),
            _ => {
                let start = self.position;
                while let Some(byte) = self.peek() {
                    if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
                        break;
                    }
                    self.position += 1;
                }
                match self.text.get(start..self.position)? {
                    "" => None,
                    "null" => Some(Json::Null),
                    "true" => Some(Json::Bool(true)),
                    "false" => Some(Json::Bool(false)),
                    number => Some(Json::Number(number)),
                }
            }
        }
    }

    /// Takes a list or an object with all that is in it, without recursion.
    fn nested(&mut self) -> Option<&'a str> {
        let start = self.position;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.position += 1;
            if depth == 0 {
                return self.text.get(start..self.position);
            }
        }
    }
}

fn unescape(raw: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(&format!("\"{raw}\"")) {
        Ok(text) => Cow::Owned(text),
        // Half a surrogate pair, say: better as written than not at all.
        Err(_) => Cow::Borrowed(raw),
    }
}
