//! Reads one log from its files, and makes records of what it reads.

use std::{collections::VecDeque, io, sync::Arc};

use qw_event::{ContainerRef, Event, InvalidReason, Outcome, Timestamp};
use qw_log::{
    Entry, Reject, Stream, cri,
    join::{self, Joiner, Resume},
    json_file, plain,
};
use qw_pipeline::SourceStatus;

use super::{
    files::{Begin, Gap, GapReason, LogFiles, Next},
    generation::{BEFORE_BYTES, Generation, Got},
    place::{ApiPlace, FilePlace, FilesPlace, Incomplete},
    reader::ReaderState,
    record::{Attributes, Words},
};
use crate::{docker::Resumption, file::place::Head};

/// Largest block to be read at once, which also is the longest line of a file.
pub(super) const MOST_BLOCK_BYTES: usize = 8 << 20;

/// Where to begin.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// With the oldest record that is there.
    Beginning,
    /// With the file that has the log's name, leaving older ones alone.
    Newest,
    /// With what is written from now on.
    Now,
    /// Where it was left.
    At(Box<FilesPlace>),
    /// As [`Self::Beginning`], but records that were read through the engine are passed over.
    Behind(Box<ApiPlace>),
}

/// Which of the two streams are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

impl Streams {
    pub(super) fn wants(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

/// How the lines of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As the engine's driver `json-file` writes them.
    JsonFile,
    /// As the runtimes of Kubernetes write them.
    Cri,
    /// As some program wrote them.
    Plain,
}

/// Makes entries of lines.
enum Decoder {
    JsonFile(json_file::Decoder),
    Cri,
    Plain,
}

impl Decoder {
    fn new(format: Format) -> Self {
        match format {
            Format::JsonFile => Self::JsonFile(json_file::Decoder::new()),
            Format::Cri => Self::Cri,
            Format::Plain => Self::Plain,
        }
    }

    /// Why a line that is no entry is none.
    fn reason(&self) -> InvalidReason {
        match self {
            Self::JsonFile(_) | Self::Plain => InvalidReason::NotJson,
            Self::Cri => InvalidReason::NotCri,
        }
    }

    fn decode<'a>(&'a mut self, line: &'a [u8], now: Timestamp) -> Result<Entry<'a>, Reject> {
        match self {
            Self::JsonFile(decoder) => decoder.decode(line),
            Self::Cri => cri::parse(line),
            Self::Plain => plain::parse(line, now),
        }
    }
}

/// What the records of one log have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    /// Tells the logs of one source apart.
    pub(super) key: Arc<str>,
    pub(super) format: Format,
    pub(super) attributes: Arc<Attributes>,
    pub(super) container: Arc<ContainerRef>,
    pub(super) words: Arc<Words>,
    pub(super) status: Arc<SourceStatus>,
    pub(super) reader: Arc<ReaderState>,
    pub(super) streams: Streams,
}

impl Common {
    /// The event for `record`.
    pub(super) fn event(&self, record: &join::Record<'_>) -> Event {
        self.words.event(record, &self.container, &self.attributes)
    }

    /// The event that says that something is missing, see [`Words::gap`].
    pub(super) fn gap(
        &self,
        gap: Gap,
        after: Option<Timestamp>,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Event {
        let (words, container) = (&self.words, &self.container);
        words.gap(gap, after, before, now, container, &self.attributes)
    }
}

/// Reads one log. Every call does a little and returns.
pub(super) struct Tail {
    files: Arc<LogFiles>,
    state: State,
    decoder: Decoder,
    joiner: Joiner,
    sink: Sink,
    /// Files before the current one, in which records began that are not complete.
    older: Vec<FilePlace>,
    /// What was read before, up to the first number; of that only what these places want is news.
    resumed: Option<(u64, Resume)>,
    /// Records that were read through the engine.
    passed: Option<Passed>,
    /// A line that is too long is being passed over.
    is_skipping: bool,
    newest: Timestamp,
    newest_count: u64,
    unfinished: Unfinished,
}

/// Entries from the first one on that an incomplete record needs, for whoever goes on through the engine,
/// where entries have times and no offsets.
struct Unfinished {
    /// Offset and time of each.
    entries: VecDeque<(u64, Timestamp)>,
    /// Latest time of an entry before them, and how many have it.
    newest: Timestamp,
    newest_count: u64,
    /// Whether nothing is known of what comes before `newest`: reading began within the log.
    is_partial: bool,
}

/// Entries that an incomplete record may span; beyond that it is not known again through the engine.
const MOST_UNFINISHED: usize = 65_536;

impl Unfinished {
    fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            newest: Timestamp::MIN,
            newest_count: 0,
            is_partial: false,
        }
    }

    /// Goes on behind `place`.
    fn go_on(&mut self, place: &FilesPlace) {
        self.entries.clear();
        (self.newest, self.newest_count) = match place.incomplete {
            Some(incomplete) => (incomplete.newest, incomplete.newest_count),
            None => (place.newest, place.newest_count),
        };
        self.is_partial = place.incomplete.is_none() && place.newest_count == 0;
    }

    /// An entry that begins at `begin` was read; what stands before `needed` is complete.
    fn pass(&mut self, begin: u64, time: Timestamp, needed: u64) {
        self.entries.push_back((begin, time));
        while let Some((_, time)) = self.entries.pop_front_if(|(begin, _)| *begin < needed) {
            if time > self.newest {
                self.newest = time;
                self.newest_count = 0;
            }
            self.newest_count += u64::from(time == self.newest);
        }
        if self.entries.len() > MOST_UNFINISHED {
            self.entries.clear();
            self.is_partial = true;
        }
    }

    fn place(&self, resume: Resume) -> Option<Incomplete> {
        let is_unknown = self.is_partial && self.newest_count == 0;
        if self.entries.is_empty() || is_unknown {
            return None;
        }
        let number = |offset| self.entries.partition_point(|(begin, _)| *begin < offset) as u64;
        Some(Incomplete {
            newest: self.newest,
            newest_count: self.newest_count,
            ahead: self.entries.len() as u64,
            resume: Resume {
                stdout: number(resume.stdout),
                stderr: number(resume.stderr),
            },
        })
    }
}

enum State {
    NotBegun(Start),
    /// Where nothing was open yet: the first file begins here, with so many bytes to pass over.
    Open {
        current: Option<Current>,
        next_base: u64,
        skip: u64,
    },
    /// Nothing is open, because others need the descriptors.
    Parked(Box<FilesPlace>, u64),
}

struct Current {
    generation: Generation,
    base: u64,
    offset: u64,
    /// The last bytes before `offset`: by them the place is known in a copy of the file, too, when the
    /// file itself has been emptied.
    last: Vec<u8>,
}

impl Current {
    /// `bytes` were read.
    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        if bytes.len() >= BEFORE_BYTES {
            self.last.clear();
        }
        let kept = bytes.len().min(BEFORE_BYTES);
        let bytes = bytes.get(bytes.len() - kept..).unwrap_or_default();
        let surplus = (self.last.len() + kept).saturating_sub(BEFORE_BYTES);
        self.last.drain(..surplus);
        self.last.extend_from_slice(bytes);
    }

    fn place(&self) -> FilePlace {
        FilePlace::new(
            self.generation.identity(),
            self.generation.head(),
            self.base,
        )
    }
}

/// Passes over the records that were read through the engine.
struct Passed {
    resumption: Resumption,
    /// Records behind those, and which of them are wanted.
    ahead: u64,
    resume: Resume,
    number: u64,
}

impl Passed {
    fn skips(&mut self, stream: Stream, time: Timestamp) -> bool {
        if self.resumption.skips(time) {
            return true;
        }
        let number = self.number;
        self.number += 1;
        number < self.ahead && !self.resume.wants(stream, number)
    }
}

/// Takes records and makes events of them.
struct Sink {
    common: Common,
    events: Vec<Event>,
    bytes: u64,
    records: u64,
    filtered: u64,
    /// Something is missing before the next record.
    gap: Option<Gap>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more at once.
    Read,
    /// Everything there is was read.
    Idle,
    /// The next line is longer than the block.
    NeedsRoom,
}

impl Tail {
    pub(super) fn new(
        files: Arc<LogFiles>,
        start: Start,
        common: Common,
        options: join::Options,
    ) -> Self {
        Self {
            files,
            state: State::NotBegun(start),
            decoder: Decoder::new(common.format),
            joiner: Joiner::new(options),
            sink: Sink {
                common,
                events: Vec::new(),
                bytes: 0,
                records: 0,
                filtered: 0,
                gap: None,
            },
            older: Vec::new(),
            resumed: None,
            passed: None,
            is_skipping: false,
            newest: Timestamp::MIN,
            newest_count: 0,
            unfinished: Unfinished::new(),
        }
    }

    pub(super) fn files(&self) -> &Arc<LogFiles> {
        &self.files
    }

    pub(super) fn common(&self) -> &Common {
        &self.sink.common
    }

    /// Reads a block into `block` and takes its lines.
    pub(super) fn step(&mut self, block: &mut [u8], now: Timestamp) -> io::Result<Step> {
        if !matches!(self.state, State::Open { .. }) && !self.begin()? {
            return Ok(Step::Idle);
        }
        // Asked before the reading: whoever rotates a file writes no more to it.
        let has_next = self.files.has_next();
        let State::Open {
            current: Some(current),
            ..
        } = &mut self.state
        else {
            return Ok(if has_next {
                self.advance(now)
            } else {
                Step::Idle
            });
        };
        let length = match current.generation.read_at(current.offset, block) {
            Ok(Got::Bytes(length)) => length,
            Ok(Got::Replaced) => {
                self.begin_anew(now)?;
                return Ok(Step::Read);
            }
            Err(error) if has_next => {
                // A file that cannot be read does not keep us from the others.
                self.sink.common.reader.error(error.to_string());
                self.note_gap(
                    Gap {
                        reason: GapReason::Unreadable,
                        files: Some(1),
                        bytes: None,
                    },
                    now,
                );
                return Ok(self.advance(now));
            }
            Err(error) => return Err(error),
        };
        let bytes = block.get(..length).unwrap_or_default();
        let begin = current.base + current.offset;
        let used = self.take_lines(bytes, begin, now);
        let rest = bytes.get(used..).unwrap_or_default();
        self.pass(bytes.get(..used).unwrap_or_default());
        if used > 0 {
            return Ok(Step::Read);
        }
        if length == block.len() && length > 0 {
            if length < MOST_BLOCK_BYTES {
                return Ok(Step::NeedsRoom);
            }
            if !std::mem::replace(&mut self.is_skipping, true) {
                self.sink.received_invalid(InvalidReason::TooLong, rest);
            }
            self.pass(bytes);
            return Ok(Step::Read);
        }
        if has_next {
            // A crash of the engine leaves a line without its end.
            if !rest.is_empty() {
                self.line(rest, begin, begin + rest.len() as u64, now);
                self.pass(rest);
            }
            return Ok(self.advance(now));
        }
        self.joiner
            .flush(now, &mut |record| self.sink.take(&record));
        self.sink.tell_gap(self.newest, None, now);
        Ok(Step::Idle)
    }

    /// Takes what is not complete, because nothing more will come.
    pub(super) fn finish(&mut self, block: &mut [u8], now: Timestamp) {
        if let State::Open {
            current: Some(current),
            ..
        } = &mut self.state
            && let Ok(Got::Bytes(length)) = current.generation.read_at(current.offset, block)
            && let Some(rest) = block.get(..length).filter(|rest| !rest.is_empty())
        {
            let begin = current.base + current.offset;
            let rest = rest.to_vec();
            self.line(&rest, begin, begin + rest.len() as u64, now);
            self.pass(&rest);
        }
        self.joiner.finish(&mut |record| self.sink.take(&record));
        self.sink.tell_gap(self.newest, None, now);
    }

    /// Records that were made, and those that are filtered or invalid are counted.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        self.sink.count();
        std::mem::take(&mut self.sink.events)
    }

    /// Records that wait to be taken.
    pub(super) fn waiting_events(&self) -> usize {
        self.sink.events.len()
    }

    /// Where to go on behind the records that were made; `None` before anything was opened.
    pub(super) fn place(&mut self) -> io::Result<Option<FilesPlace>> {
        let State::Open {
            current: Some(current),
            ..
        } = &self.state
        else {
            return Ok(None);
        };
        let read_to = current.base + current.offset;
        let resume = match &self.resumed {
            // Among what was read before: what it completes is not whole yet.
            Some((until, _)) if read_to < *until => return Ok(None),
            _ => self.joiner.resume(read_to),
        };
        let start = resume.start();
        let ends: Vec<u64> = self
            .older
            .iter()
            .skip(1)
            .map(|file| file.base)
            .chain([current.base])
            .collect();
        let mut ends = ends.into_iter();
        self.older
            .retain(|_| ends.next().is_some_and(|end| end > start));
        Ok(Some(FilesPlace {
            files: self
                .older
                .iter()
                .cloned()
                .chain([current.place()])
                .collect(),
            read_to,
            resume,
            before: Head::of(&current.last),
            modified: current.generation.modified()?,
            newest: self.newest,
            newest_count: self.newest_count,
            incomplete: self.unfinished.place(resume),
        }))
    }

    /// Bytes that are there and not yet read.
    pub(super) fn lag(&self) -> u64 {
        let current = match &self.state {
            State::Open {
                current: Some(current),
                ..
            } => current
                .generation
                .length()
                .unwrap_or(0)
                .saturating_sub(current.offset),
            _ => 0,
        };
        current + self.files.waiting_bytes()
    }

    /// Files that are held open.
    pub(super) fn open_files(&self) -> usize {
        let current = matches!(
            self.state,
            State::Open {
                current: Some(_),
                ..
            }
        );
        usize::from(current) + self.files.waiting_files()
    }

    /// Holds no file open until something changes, when nothing is pending; a log that is rotated
    /// more often than it has files may then lose some.
    pub(super) fn park(&mut self) {
        if self.sink.events.is_empty()
            && self.sink.gap.is_none()
            && !self.files.has_next()
            && let Ok(Some(place)) = self.place()
            && place.resume.start() == place.read_to
            && let Some(file) = place.files.last()
        {
            let length = place.read_to - file.base;
            self.files.let_go();
            self.state = State::Parked(Box::new(place), length);
        }
    }

    /// Opens the first file; false when there is nothing to do.
    fn begin(&mut self) -> io::Result<bool> {
        let begun = match &self.state {
            State::Open { .. } => return Ok(true),
            State::Parked(place, length) => {
                let now = self.files.identity_and_length()?;
                let file = place.files.last().map(FilePlace::identity);
                if now.is_none() || now == file.map(|file| (file, *length)) {
                    return Ok(false);
                }
                self.files.begin(Begin::At(place))?
            }
            State::NotBegun(Start::Beginning | Start::Behind(_)) => {
                self.files.begin_unless_begun()?
            }
            State::NotBegun(Start::Newest) => self.files.begin(Begin::Newest)?,
            State::NotBegun(Start::Now) => self.files.begin(Begin::End)?,
            State::NotBegun(Start::At(place)) => self.files.begin(Begin::At(place))?,
        };
        let open = State::Open {
            current: None,
            next_base: begun.base,
            skip: begun.skip,
        };
        match std::mem::replace(&mut self.state, open) {
            State::Parked(place, _) | State::NotBegun(Start::At(place)) => {
                self.resumed = begun.is_found.then_some((place.read_to, place.resume));
                self.newest = place.newest;
                self.newest_count = place.newest_count;
                self.unfinished.go_on(&place);
            }
            State::NotBegun(Start::Behind(place)) => {
                self.unfinished.is_partial = true;
                self.passed = Some(Passed {
                    resumption: place.cursor.resume_everything(),
                    ahead: place.ahead,
                    resume: place.resume,
                    number: 0,
                });
            }
            State::NotBegun(Start::Newest | Start::Now) => self.unfinished.is_partial = true,
            State::NotBegun(Start::Beginning) | State::Open { .. } => {}
        }
        Ok(true)
    }

    /// Goes on to what comes next.
    fn advance(&mut self, now: Timestamp) -> Step {
        match self.files.next() {
            Some(Next::File(generation)) => self.open(generation),
            Some(Next::Gap(gap)) => self.note_gap(gap, now),
            None => return Step::Idle,
        }
        Step::Read
    }

    fn open(&mut self, generation: Generation) {
        let State::Open {
            current,
            next_base,
            skip,
        } = &mut self.state
        else {
            return;
        };
        let offset = std::mem::take(skip);
        // Someone who begins at the end may begin within a line.
        if offset > 0 && self.resumed.is_none() && generation.ends_line_at(offset) == Some(false) {
            self.is_skipping = true;
        }
        let mut base = *next_base;
        if let Some(old) = current.take() {
            let (identity, head) = (old.generation.identity(), old.generation.head());
            self.files.closed(identity, head);
            self.older.push(FilePlace::new(identity, head, old.base));
            base = old.base + old.offset;
        }
        // A place that cannot be told by what stands before it is told by the file's beginning.
        let last = generation.bytes_before(offset).unwrap_or_default();
        *current = Some(Current {
            generation,
            base,
            offset,
            last,
        });
    }

    /// The current file was emptied or written anew. When somebody has made a copy before, as
    /// `logrotate` does with `copytruncate`, what was not read yet is read from there.
    fn begin_anew(&mut self, now: Timestamp) -> io::Result<()> {
        let State::Open {
            current: Some(current),
            ..
        } = &mut self.state
        else {
            return Ok(());
        };
        let before = Head::of(&current.last);
        if let Some(copy) = self.files.copy_of(&current.place(), current.offset, before) {
            let mut emptied = std::mem::replace(&mut current.generation, copy);
            emptied.begin_anew()?;
            self.files.put_back(emptied);
            return Ok(());
        }
        current.generation.begin_anew()?;
        current.base += current.offset;
        current.offset = 0;
        current.last.clear();
        let gap = Gap {
            reason: GapReason::Truncated,
            files: None,
            bytes: None,
        };
        self.note_gap(gap, now);
        Ok(())
    }

    /// What was begun before a gap does not go on behind it.
    fn note_gap(&mut self, gap: Gap, now: Timestamp) {
        self.joiner.finish(&mut |record| self.sink.take(&record));
        self.sink.tell_gap(self.newest, None, now);
        self.sink.gap = Some(gap);
    }

    fn pass(&mut self, bytes: &[u8]) {
        if let State::Open {
            current: Some(current),
            ..
        } = &mut self.state
        {
            current.pass(bytes);
        }
    }

    /// Takes the whole lines of `bytes`, the first of which is at `begin`; returns how many bytes they
    /// have.
    fn take_lines(&mut self, bytes: &[u8], begin: u64, now: Timestamp) -> usize {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = bytes.get(start..end).unwrap_or_default();
            if !std::mem::take(&mut self.is_skipping) {
                self.line(line, begin + start as u64, begin + end as u64 + 1, now);
            }
            start = end + 1;
        }
        // A file that was emptied while its writer kept its place begins with a hole.
        let rest = bytes.get(start..).unwrap_or_default();
        if !rest.is_empty() && rest.iter().all(|byte| *byte == 0) {
            return bytes.len();
        }
        start
    }

    fn line(&mut self, line: &[u8], begin: u64, end: u64, now: Timestamp) {
        let Self {
            decoder,
            joiner,
            sink,
            resumed,
            passed,
            newest,
            newest_count,
            unfinished,
            ..
        } = self;
        let reason = decoder.reason();
        let entry = match decoder.decode(line, now) {
            Ok(entry) => entry,
            Err(Reject::Empty | Reject::Nuls) => return,
            Err(_) => {
                sink.received_invalid(reason, line);
                return;
            }
        };
        let mut is_again = false;
        if let Some((until, resume)) = resumed {
            is_again = begin < *until;
            if is_again && !resume.wants(entry.stream, begin) {
                unfinished.pass(begin, entry.time, joiner.resume(end).start());
                return;
            }
            if !is_again {
                *resumed = None;
            }
        }
        if let Some(passed) = passed
            && passed.skips(entry.stream, entry.time)
        {
            return;
        }
        if entry.skipped > 0 {
            sink.received_invalid(reason, line);
        }
        sink.tell_gap(*newest, Some(entry.time), now);
        if !is_again {
            if entry.time > *newest {
                *newest = entry.time;
                *newest_count = 0;
            }
            *newest_count += u64::from(entry.time == *newest);
        }
        if !sink.common.streams.wants(entry.stream) {
            sink.filtered += 1;
            sink.bytes += end - begin;
            return;
        }
        let time = entry.time;
        joiner.push(&entry, begin..end, now, &mut |record| sink.take(&record));
        unfinished.pass(begin, time, joiner.resume(end).start());
    }
}

impl Sink {
    fn take(&mut self, record: &join::Record<'_>) {
        self.records += 1;
        self.bytes += record.span.end - record.span.start;
        self.events.push(self.common.event(record));
    }

    /// Makes an event of what is missing, before anything that comes after it.
    fn tell_gap(&mut self, newest: Timestamp, before: Option<Timestamp>, now: Timestamp) {
        let Some(gap) = self.gap.take() else { return };
        let after = (newest > Timestamp::MIN).then_some(newest);
        let common = &self.common;
        let event = common.gap(gap, after, before, now);
        self.records += 1;
        self.events.push(event);
        common.reader.gap();
        tracing::warn!(
            container = &*common.container.name,
            reason = gap.reason.as_str(),
            files = gap.files,
            bytes = gap.bytes,
            "a part of a log is missing"
        );
    }

    fn received_invalid(&self, reason: InvalidReason, line: &[u8]) {
        let status = &self.common.status;
        status.received(1, line.len() as u64, crate::clock::now());
        status.invalid(reason, line);
    }

    /// Counts what was taken since the last time.
    fn count(&mut self) {
        let (records, filtered) = (
            std::mem::take(&mut self.records),
            std::mem::take(&mut self.filtered),
        );
        let bytes = std::mem::take(&mut self.bytes);
        if records + filtered > 0 {
            let status = &self.common.status;
            status.received(records + filtered, bytes, crate::clock::now());
            status.count(Outcome::Filtered, filtered);
            self.common.reader.lines(records);
        }
    }
}
