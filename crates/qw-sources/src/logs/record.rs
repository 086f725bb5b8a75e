//! Records of logs → events, and what is missing → an event that says so.

use std::sync::Arc;

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use qw_log::{Redactor, Stream, join::Record, severity};
use serde_json::{Map, Value, value::RawValue};

use super::files::Gap;
use crate::receivers::readable;

/// Tag of an event that says that something is missing.
pub const GAP_TAG: &str = "gap";

/// What the events of one log say beyond their text.
#[derive(Debug)]
pub(super) struct Attributes {
    fields: Map<String, Value>,
    json: Box<RawValue>,
}

impl Attributes {
    /// Events that say all of `fields`, too.
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        let json = fields_json(&fields);
        Self { fields, json }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new(Map::new())
    }
}

/// Texts that the events of all logs share.
#[derive(Debug)]
pub(super) struct Words {
    hostname: Arc<str>,
    streams: [Arc<str>; 2],
    severities: Vec<Arc<str>>,
    nothing: Arc<str>,
    no_tags: Arc<[Arc<str>]>,
    gap_tags: Arc<[Arc<str>]>,
    redactor: Option<Arc<Redactor>>,
}

impl Words {
    /// Words of logs of containers of the host `hostname`.
    pub(super) fn new(hostname: &str, redactor: Option<Arc<Redactor>>) -> Self {
        Self::with_streams(hostname, redactor, Stream::ALL.map(Stream::as_str))
    }

    /// As [`Self::new`], where the two streams have other names.
    pub(super) fn with_streams(
        hostname: &str,
        redactor: Option<Arc<Redactor>>,
        streams: [&str; 2],
    ) -> Self {
        Self {
            hostname: hostname.into(),
            streams: streams.map(Arc::from),
            severities: ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
                .map(Arc::from)
                .into(),
            nothing: "".into(),
            no_tags: [].into(),
            gap_tags: [GAP_TAG.into()].into(),
            redactor,
        }
    }

    /// The event for `record` of `container`, which says all of `attributes`, too.
    pub(super) fn event(
        &self,
        record: &Record<'_>,
        container: &Arc<ContainerRef>,
        attributes: &Attributes,
    ) -> Event {
        let severity = severity::detect(record.text);
        let mut extra = Map::new();
        let (output, original) = readable(record.text, self.redactor.as_deref());
        if let Some(original) = original {
            extra.insert("log.record.original".to_owned(), Value::String(original));
        }
        if record.is_truncated() {
            extra.insert("log.truncated".to_owned(), Value::Bool(true));
        }
        if let Some(attributes) = record.attrs
            && let Ok(attributes) = serde_json::from_str(attributes)
        {
            extra.insert("log.attributes".to_owned(), attributes);
        }
        let (rule, priority) = match severity {
            Some(severity) => (self.severity(severity.text()), severity.priority()),
            None => (Arc::clone(&self.nothing), Priority::Informational),
        };
        Event {
            kind: RecordKind::Log,
            time: record.time,
            source: self.stream(record.stream),
            rule,
            priority,
            category: Category::Unknown,
            hostname: Arc::clone(&self.hostname),
            container: Arc::clone(container),
            process_name: Arc::clone(&self.nothing),
            tags: Arc::clone(&self.no_tags),
            output,
            output_fields: if extra.is_empty() {
                attributes.json.clone()
            } else {
                extra.extend(attributes.fields.clone());
                fields_json(&extra)
            },
        }
    }

    /// The event that says that something is missing between the records of the times `after` and
    /// `before`, as far as these are known.
    pub(super) fn gap(
        &self,
        gap: Gap,
        after: Option<Timestamp>,
        before: Option<Timestamp>,
        now: Timestamp,
        container: &Arc<ContainerRef>,
        attributes: &Attributes,
    ) -> Event {
        let mut extra = attributes.fields.clone();
        let mut insert = |name: &str, value: Option<Value>| {
            extra.extend(value.map(|value| (name.to_owned(), value)));
        };
        let time = |time: Timestamp| Value::from(time.to_string());
        insert("log.gap.reason", Some(gap.reason.as_str().into()));
        insert("log.gap.bytes", gap.bytes.map(Value::from));
        insert("log.gap.files", gap.files.map(Value::from));
        insert("log.gap.after", after.map(time));
        insert("log.gap.before", before.map(time));
        Event {
            kind: RecordKind::Log,
            time: after.or(before).unwrap_or(now),
            source: self.stream(Stream::Stdout),
            rule: Arc::clone(&self.nothing),
            priority: Priority::Warning,
            category: Category::Unknown,
            hostname: Arc::clone(&self.hostname),
            container: Arc::clone(container),
            process_name: Arc::clone(&self.nothing),
            tags: Arc::clone(&self.gap_tags),
            output: describe(gap).into(),
            output_fields: fields_json(&extra),
        }
    }

    fn stream(&self, stream: Stream) -> Arc<str> {
        Arc::clone(match (stream, &self.streams) {
            (Stream::Stdout, [stdout, _]) => stdout,
            (Stream::Stderr, [_, stderr]) => stderr,
        })
    }

    fn severity(&self, text: &str) -> Arc<str> {
        let known = self.severities.iter().find(|known| known.as_ref() == text);
        known.map_or_else(|| text.into(), Arc::clone)
    }
}

/// A gap in words.
fn describe(gap: Gap) -> String {
    use super::files::GapReason::{Api, Removed, Rotated, Truncated, Unreadable, Vacuumed};
    let size = match (gap.files, gap.bytes) {
        (Some(1), None) => " (1 file)".to_owned(),
        (Some(files), None) => format!(" ({files} files)"),
        (Some(files), Some(bytes)) => format!(" ({files} files of together {bytes} bytes)"),
        (None, Some(bytes)) => format!(" ({bytes} bytes)"),
        (None, None) => " (how much is not known)".to_owned(),
    };
    match gap.reason {
        Rotated => format!("log files were thrown away by rotation before they were read{size}"),
        Removed => format!("log files went with their container before they could be opened{size}"),
        Truncated => format!("the log file was emptied, perhaps before all of it was read{size}"),
        Api => format!("the engine's log stream left records out{size}"),
        Unreadable => format!("a part of the log cannot be read{size}"),
        Vacuumed => format!("the journal threw entries away before they were read{size}"),
    }
}

fn fields_json(fields: &Map<String, Value>) -> Box<RawValue> {
    serde_json::value::to_raw_value(fields).expect("maps of texts and numbers are JSON")
}
