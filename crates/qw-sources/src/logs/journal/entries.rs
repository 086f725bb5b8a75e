//! Entries of the journal → events, and the place behind them.

use std::{collections::BTreeMap, sync::Arc};

use qw_event::{
    Category, ContainerRef, Event, InvalidReason, Outcome, Priority, RecordKind, Timestamp,
};
use qw_log::{
    Entry, Redactor, Severity, Stream,
    join::{self, Joiner},
    journal::JournalEntry,
    severity, time,
};
use qw_pipeline::{Reader, SourceStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::JournalConfig;
use crate::{
    falco::{Containers, Interner},
    logs::{
        files::{Gap, GapReason},
        reader::ReaderState,
        record::{Attributes, Words},
    },
    receivers::readable,
};

/// Longest cursor that is believed.
const MOST_CURSOR: usize = 1024;
/// Lines of which only pieces have come, at most.
const MOST_PENDING: usize = 64;
/// Containers that are told of.
const MOST_READERS: usize = 1000;
/// Fields that a program added, and the length of one, that are kept.
const MOST_ADDED: usize = 32;
const MOST_ADDED_BYTES: usize = 1024;
/// What the journal is called as a way of reading, and as a stream.
const JOURNAL: &str = "journal";
/// Id and name of what is of no container but of the host itself, as Falco writes them. A name that its
/// writer chose could be that of a container.
const HOST: &str = "host";

/// Where reading goes on.
///
/// Entries behind the cursor are counted from 0. The first `ahead` of them were read; of these only the
/// pieces of lines that are not complete are wanted again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    cursor: Option<String>,
    #[serde(default)]
    ahead: u64,
    /// Whose line is not complete, and where it begins.
    #[serde(default)]
    pending: Vec<(String, u64)>,
    /// What selects the entries that are counted.
    #[serde(default)]
    selection: String,
}

impl Place {
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

/// Makes events of entries.
pub(super) struct Collector {
    containers: Containers,
    texts: Interner<Arc<str>, Arc<str>>,
    no_tags: Arc<[Arc<str>]>,
    redactor: Option<Arc<Redactor>>,
    words: Words,
    options: join::Options,
    with_containers: bool,
    selection: String,
    /// Cursor of the newest entry.
    cursor: Option<String>,
    /// Entries behind the place where reading went on.
    count: u64,
    /// Where it went on.
    from: Place,
    /// The next entry is to be the one of the place.
    is_first: bool,
    pending: BTreeMap<String, Pending>,
    readers: BTreeMap<String, ReaderState>,
    own: ReaderState,
    events: Vec<Event>,
    records: u64,
    filtered: u64,
    bytes: u64,
    newest: Option<Timestamp>,
}

/// A line of which pieces have come.
struct Pending {
    joiner: Joiner,
    /// Number of its first entry, and the cursor before it.
    begin: u64,
    before: Option<String>,
    /// Its newest entry, without its text.
    entry: JournalEntry,
}

/// What a container wrote, as dockerd says.
struct Said<'a> {
    id: &'a str,
    stream: Stream,
    is_piece: bool,
}

impl Collector {
    pub(super) fn new(
        redactor: Option<Arc<Redactor>>,
        max_record_bytes: usize,
        with_containers: bool,
        config: &JournalConfig,
    ) -> Self {
        let why = format!("`journalctl` follows {}", config.description());
        Self {
            containers: Containers::new(1024),
            texts: Interner::new(1024),
            no_tags: [].into(),
            words: Words::with_streams("", redactor.clone(), [JOURNAL; 2]),
            redactor,
            options: join::Options {
                max_record_bytes,
                ..join::Options::default()
            },
            with_containers,
            selection: config.selection().join(" "),
            cursor: None,
            count: 0,
            from: Place::default(),
            is_first: false,
            pending: BTreeMap::new(),
            readers: BTreeMap::new(),
            own: ReaderState::new(JOURNAL, JOURNAL, JOURNAL, why),
            events: Vec::new(),
            records: 0,
            filtered: 0,
            bytes: 0,
            newest: None,
        }
    }

    /// Begins behind `place`: the entry of its cursor is to come first.
    pub(super) fn resume(&mut self, place: &Place) {
        self.cursor.clone_from(&place.cursor);
        self.count = 0;
        self.from = place.clone();
        if place.selection != self.selection {
            self.from.ahead = 0;
        }
        self.is_first = place.cursor.is_some();
        self.pending.clear();
    }

    /// Behind what was taken.
    pub(super) fn place(&self) -> Place {
        let oldest = self.pending.values().min_by_key(|pending| pending.begin);
        let place = match oldest {
            // Among what was read before, what it completes is not whole yet.
            _ if self.count < self.from.ahead => return self.from.clone(),
            None => Place {
                cursor: self.cursor.clone(),
                ..Place::default()
            },
            Some(oldest) => {
                let pending = self.pending.iter();
                Place {
                    cursor: oldest.before.clone(),
                    ahead: self.count - oldest.begin,
                    pending: pending
                        .map(|(key, pending)| (key.clone(), pending.begin - oldest.begin))
                        .collect(),
                    selection: String::new(),
                }
            }
        };
        Place {
            selection: self.selection.clone(),
            ..place
        }
    }

    /// Records that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.events.len()
    }

    /// Records that were made; they are counted.
    pub(super) fn take_events(&mut self, status: &SourceStatus, now: Timestamp) -> Vec<Event> {
        self.count(status, now);
        std::mem::take(&mut self.events)
    }

    /// Counts what was taken since the last time.
    pub(super) fn count(&mut self, status: &SourceStatus, now: Timestamp) {
        let records = std::mem::take(&mut self.records);
        let filtered = std::mem::take(&mut self.filtered);
        let bytes = std::mem::take(&mut self.bytes);
        if records + filtered > 0 {
            status.received(records + filtered, bytes, now);
            status.count(Outcome::Filtered, filtered);
        }
    }

    pub(super) fn note_error(&self, text: &str) {
        self.own.error(text.to_owned());
    }

    /// How the journal is read, and each container in it.
    pub(super) fn readers(&self) -> Vec<Reader> {
        let all = std::iter::once(&self.own).chain(self.readers.values());
        all.map(ReaderState::snapshot).collect()
    }

    /// Takes the next entry.
    pub(super) fn take(&mut self, mut entry: JournalEntry, status: &SourceStatus, now: Timestamp) {
        let cursor = entry
            .text("__CURSOR")
            .filter(|text| text.len() <= MOST_CURSOR);
        let Some(cursor) = cursor.map(str::to_owned) else {
            let text = entry.get("MESSAGE").unwrap_or_default();
            status.received(1, text.len() as u64, now);
            status.invalid(InvalidReason::NotAnEvent, text);
            return;
        };
        if std::mem::take(&mut self.is_first) {
            if self.cursor.as_ref() == Some(&cursor) {
                return;
            }
            self.tell_gap(&entry, now);
        }
        let before = self.cursor.replace(cursor);
        let number = self.count;
        self.count += 1;
        let said = said(&entry);
        let key = said
            .as_ref()
            .map(|said| format!("{} {}", said.id, said.stream.as_str()));
        if number < self.from.ahead {
            let mut pending = self.from.pending.iter();
            let is_wanted =
                pending.any(|(wanted, begin)| Some(wanted) == key.as_ref() && number >= *begin);
            if !is_wanted {
                return;
            }
        }
        if said.is_some() && !self.with_containers {
            self.filtered += 1;
            self.bytes += entry.get("MESSAGE").map_or(0, <[u8]>::len) as u64;
            return;
        }
        if entry.cut_bytes > 0 {
            status.received(1, entry.cut_bytes, now);
            status.invalid(
                InvalidReason::TooLong,
                entry.get("MESSAGE").unwrap_or_default(),
            );
        }
        let time = entry_time(&entry, now);
        self.newest = self.newest.max(Some(time));
        let stream = said.as_ref().map_or(Stream::Stdout, |said| said.stream);
        let is_piece = said.is_some_and(|said| said.is_piece);
        let Some(key) = key.filter(|key| is_piece || self.pending.contains_key(key)) else {
            let text = entry.take("MESSAGE").unwrap_or_default();
            let event = self.event(&entry, &text, time, false);
            self.push(event, text.len());
            return;
        };
        let text = entry.take("MESSAGE").unwrap_or_default();
        let mut pending = self.pending.remove(&key).unwrap_or_else(|| Pending {
            joiner: Joiner::new(self.options.clone()),
            begin: number,
            before: before.clone(),
            entry: JournalEntry::default(),
        });
        pending.entry = entry;
        let piece = Entry {
            time,
            stream,
            text: &text,
            ends_line: !is_piece,
            attrs: None,
            skipped: 0,
        };
        let mut lines = Vec::new();
        pending
            .joiner
            .push(&piece, number..number + 1, now, &mut |record| {
                lines.push(Line::of(&record));
            });
        self.emit(&pending.entry, lines);
        match pending.joiner.oldest_pending() {
            Some(begin) => {
                if begin != pending.begin {
                    pending.begin = begin;
                    pending.before = before;
                }
                self.pending.insert(key, pending);
            }
            None => return,
        }
        if self.pending.len() > MOST_PENDING {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.begin);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.finish(&key, |joiner, emit| {
                    joiner.finish(&mut |record| emit(record));
                });
            }
        }
    }

    /// Takes pieces whose line has waited long enough.
    pub(super) fn flush(&mut self, now: Timestamp) {
        let keys: Vec<String> = self.pending.keys().cloned().collect();
        for key in keys {
            self.finish(&key, |joiner, emit| {
                joiner.flush(now, &mut |record| emit(record));
            });
        }
    }

    /// Has a line's joiner do something, and forgets it when nothing is left.
    fn finish(
        &mut self,
        key: &str,
        work: impl FnOnce(&mut Joiner, &mut dyn FnMut(join::Record<'_>)),
    ) {
        let Some(mut pending) = self.pending.remove(key) else {
            return;
        };
        let mut lines = Vec::new();
        work(&mut pending.joiner, &mut |record| {
            lines.push(Line::of(&record));
        });
        self.emit(&pending.entry, lines);
        if pending.joiner.oldest_pending().is_some() {
            self.pending.insert(key.to_owned(), pending);
        }
    }

    fn emit(&mut self, entry: &JournalEntry, lines: Vec<Line>) {
        for line in lines {
            let event = self.event(entry, &line.text, line.time, line.is_truncated);
            self.push(event, line.text.len());
        }
    }

    fn push(&mut self, event: Event, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
        if &*event.container.id == HOST {
            self.own.lines(1);
        } else {
            let (id, name) = (&event.container.id, &event.container.name);
            if let Some(reader) = self.readers.get(&**id) {
                reader.lines(1);
            } else if self.readers.len() < MOST_READERS {
                let why = "the journal has what its log driver `journald` wrote".to_owned();
                let reader = ReaderState::new(id, name, JOURNAL, why);
                reader.lines(1);
                self.readers.insert(id.to_string(), reader);
            }
        }
        self.events.push(event);
    }

    /// The journal no longer has the entry behind which reading was to go on.
    fn tell_gap(&mut self, next: &JournalEntry, now: Timestamp) {
        let gap = Gap {
            reason: GapReason::Vacuumed,
            files: None,
            bytes: None,
        };
        let container = Arc::new(ContainerRef {
            id: HOST.into(),
            name: HOST.into(),
            ..ContainerRef::default()
        });
        let before = Some(entry_time(next, now));
        let attributes = Attributes::default();
        let gap = self
            .words
            .gap(gap, self.newest, before, now, &container, &attributes);
        self.own.gap();
        self.records += 1;
        self.events.push(gap);
        // What was counted behind the old place is gone with it.
        self.from.ahead = 0;
    }

    fn event(
        &mut self,
        entry: &JournalEntry,
        text: &[u8],
        time: Timestamp,
        is_truncated: bool,
    ) -> Event {
        let said = said(entry);
        let field = |name: &str| entry.text(name).unwrap_or_default();
        let program = match field("SYSLOG_IDENTIFIER") {
            "" => field("_COMM"),
            program => program,
        };
        let (id, name, image) = match &said {
            Some(said) => (said.id, field("CONTAINER_NAME"), field("IMAGE_NAME")),
            None => (HOST, HOST, ""),
        };
        let name = name.trim_start_matches('/');
        let container = self
            .containers
            .get([id, name, image, "", "", "", "", "", "", ""]);
        // Docker's driver tells the stream by the priority, so there the line itself knows better.
        let severity = match &said {
            Some(_) => severity::detect(text),
            None => field("PRIORITY")
                .parse()
                .ok()
                .and_then(Severity::from_syslog),
        };
        let source = said.as_ref().map_or(JOURNAL, |said| said.stream.as_str());
        let program = if said.is_some() { "" } else { program };
        let (output, original) = readable(text, self.redactor.as_deref());
        let output_fields = self.output_fields(entry, said.is_some(), original, is_truncated);
        Event {
            kind: RecordKind::Log,
            time,
            source: self.shared(source),
            rule: self.shared(severity.map_or("", Severity::text)),
            priority: severity.map_or(Priority::Informational, Severity::priority),
            category: Category::Unknown,
            hostname: self.shared(field("_HOSTNAME")),
            container,
            process_name: self.shared(program),
            tags: Arc::clone(&self.no_tags),
            output,
            output_fields,
        }
    }

    /// What else is known, as a JSON object.
    fn output_fields(
        &self,
        entry: &JournalEntry,
        is_container: bool,
        original: Option<String>,
        is_truncated: bool,
    ) -> Box<RawValue> {
        let mut fields = Map::new();
        let known = if is_container {
            &[("CONTAINER_TAG", "log.tag")][..]
        } else {
            &[
                ("_SYSTEMD_UNIT", "systemd.unit"),
                ("_SYSTEMD_USER_UNIT", "systemd.user_unit"),
                ("_TRANSPORT", "journal.transport"),
            ]
        };
        for (name, ours) in known {
            if let Some(text) = entry.text(name) {
                fields.insert((*ours).to_owned(), text.into());
            }
        }
        if !is_container && let Some(id) = entry.text("_PID").and_then(|id| id.parse::<u32>().ok())
        {
            fields.insert("process.pid".to_owned(), id.into());
        }
        let added = entry.fields().filter(|(name, value)| is_added(name, value));
        for (name, value) in added.take(MOST_ADDED) {
            let (value, _) = readable(value, self.redactor.as_deref());
            fields.insert(format!("journal.{name}"), Value::String(value.into()));
        }
        if let Some(original) = original {
            fields.insert("log.record.original".to_owned(), original.into());
        }
        if is_truncated {
            fields.insert("log.truncated".to_owned(), true.into());
        }
        serde_json::value::to_raw_value(&fields).expect("maps of texts and numbers are JSON")
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        self.texts.get(
            text,
            |key, wanted| **key == *wanted,
            |wanted| {
                let text: Arc<str> = wanted.into();
                (Arc::clone(&text), text)
            },
        )
    }
}

/// A line that was joined.
struct Line {
    time: Timestamp,
    text: Vec<u8>,
    is_truncated: bool,
}

impl Line {
    fn of(record: &join::Record<'_>) -> Self {
        Self {
            time: record.time,
            text: record.text.to_vec(),
            is_truncated: record.is_truncated(),
        }
    }
}

/// What the engine's driver `journald` says of a container. Anybody may write such fields to the
/// journal: root alone is believed.
fn said(entry: &JournalEntry) -> Option<Said<'_>> {
    let is_root = entry.text("_UID") == Some("0");
    let id = entry
        .text("CONTAINER_ID_FULL")
        .filter(|id| is_root && !id.is_empty())?;
    let stream = match entry.text("PRIORITY") {
        Some("3") => Stream::Stderr,
        _ => Stream::Stdout,
    };
    let is_piece = entry.text("CONTAINER_PARTIAL_MESSAGE") == Some("true");
    Some(Said {
        id,
        stream,
        is_piece,
    })
}

/// When it was written: as the engine says, as its writer's clock said, or when it arrived.
fn entry_time(entry: &JournalEntry, now: Timestamp) -> Timestamp {
    let engine = said(entry).and_then(|_| time::parse_rfc3339(entry.get("SYSLOG_TIMESTAMP")?));
    let micros = |name: &str| entry.text(name)?.parse::<i64>().ok();
    engine.unwrap_or_else(|| {
        micros("_SOURCE_REALTIME_TIMESTAMP")
            .or_else(|| micros("__REALTIME_TIMESTAMP"))
            .map_or(now, |micros| {
                Timestamp::from_nanos(micros.saturating_mul(1000))
            })
    })
}

/// Whether a field is one that a program added of its own, and short.
fn is_added(name: &str, value: &[u8]) -> bool {
    let is_ours = name.starts_with(['_'])
        || name.starts_with("CONTAINER_")
        || name.starts_with("SYSLOG_")
        || ["MESSAGE", "PRIORITY", "IMAGE_NAME"].contains(&name);
    !is_ours && value.len() <= MOST_ADDED_BYTES
}
