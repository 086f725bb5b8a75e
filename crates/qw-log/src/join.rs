//! Entries → records: pieces of long lines become lines, lines that belong together become one record.
//!
//! Each stream of a container is joined on its own. Nothing is dropped: a bound ends a record early,
//! and what follows is a record that says so. Positions pass through, so that a reader knows from where
//! to read again after a restart.

mod pending;

use std::{ops::Range, time::Duration};

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Entry, Stream,
    multiline::{Multiline, Progress, Step},
};
use pending::{Line, Pending};

/// How entries are joined.
#[derive(Debug, Clone)]
pub struct Options {
    /// A record does not grow beyond this many bytes; at least 4.
    pub max_record_bytes: usize,
    /// A record does not grow beyond this many lines; at least 1.
    pub max_record_lines: u32,
    /// How long a record of several lines waits for its next line.
    pub flush_lines_after: Duration,
    /// How long a piece waits for the rest of its line.
    pub flush_piece_after: Duration,
    /// Whether lines end in `\r\n`, as those of a terminal do: the `\r` is cut off.
    pub strip_carriage_return: bool,
    /// Which lines belong together; `None`: each is a record.
    pub multiline: Option<Multiline>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_record_bytes: 1 << 20,
            max_record_lines: 500,
            flush_lines_after: Duration::from_secs(1),
            flush_piece_after: Duration::from_secs(5),
            strip_carriage_return: false,
            multiline: None,
        }
    }
}

/// One or more lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Time of its first entry.
    pub time: Timestamp,
    /// What it was written to.
    pub stream: Stream,
    /// What was written, without the last line end; several lines are joined by `\n`.
    pub text: &'a [u8],
    /// [`Entry::attrs`] of its first entry.
    pub attrs: Option<&'a str>,
    /// Where its first entry begins and its last one ends.
    pub span: Range<u64>,
    /// Number of lines in it, at least 1.
    pub lines: u32,
    /// Why it ends here.
    pub ended_by: EndedBy,
    /// Whether it is the rest of a record that a bound or the time ended.
    pub continues: bool,
}

impl Record<'_> {
    /// Whether a bound ended it; the rest is the next record of its stream.
    pub fn is_truncated(&self) -> bool {
        matches!(self.ended_by, EndedBy::Size | EndedBy::Lines)
    }
}

/// Why a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Its line ended; of several lines, the next does not belong to it.
    Line,
    /// It would have grown beyond [`Options::max_record_bytes`].
    Size,
    /// It would have grown beyond [`Options::max_record_lines`].
    Lines,
    /// Nothing more came in time.
    Time,
    /// Nothing more will come.
    Close,
}

/// From where each stream is to be read after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resume {
    /// Entries of standard output that begin before this position have been handed on.
    pub stdout: u64,
    /// Entries of standard error that begin before this position have been handed on.
    pub stderr: u64,
}

impl Resume {
    /// Both streams from `position` on.
    pub const fn at(position: u64) -> Self {
        Self {
            stdout: position,
            stderr: position,
        }
    }

    /// The position from which the log is to be read.
    pub fn start(self) -> u64 {
        self.stdout.min(self.stderr)
    }

    /// Whether an entry of `stream` that begins at `begin` has not been handed on yet.
    pub fn wants(self, stream: Stream, begin: u64) -> bool {
        begin
            >= match stream {
                Stream::Stdout => self.stdout,
                Stream::Stderr => self.stderr,
            }
    }
}

/// Joins the entries of one container.
#[derive(Debug)]
pub struct Joiner {
    options: Options,
    lanes: [Lane; 2],
}

impl Joiner {
    /// A joiner that holds nothing.
    pub fn new(options: Options) -> Self {
        let options = Options {
            // A character must fit.
            max_record_bytes: options.max_record_bytes.max(4),
            max_record_lines: options.max_record_lines.max(1),
            ..options
        };
        Self {
            options,
            lanes: Stream::ALL.map(Lane::new),
        }
    }

    /// Takes the next entry; calls `emit` with each record that is finished by it.
    ///
    /// `span` says where the entry begins and ends, in a measure of the caller's that never goes down;
    /// `now` is the reader's clock, which should not jump.
    #[inline]
    pub fn push(
        &mut self,
        entry: &Entry<'_>,
        span: Range<u64>,
        now: Timestamp,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        let lane = &mut self.lanes[entry.stream as usize];
        lane.push(&self.options, entry, span, now, emit);
    }

    /// Calls `emit` with each record that has waited long enough at `now`.
    pub fn flush(&mut self, now: Timestamp, emit: &mut impl FnMut(Record<'_>)) {
        for lane in &mut self.lanes {
            lane.flush(&self.options, now, emit);
        }
    }

    /// Calls `emit` with all that is held, because nothing that belongs to it will come.
    pub fn finish(&mut self, emit: &mut impl FnMut(Record<'_>)) {
        for lane in &mut self.lanes {
            lane.group.emit(lane.stream, EndedBy::Close, emit);
            lane.line.emit(lane.stream, EndedBy::Close, emit);
            lane.progress = Progress::default();
            lane.rest_follows = false;
        }
    }

    /// The earliest time at which [`Self::flush`] has something to do.
    pub fn next_flush(&self) -> Option<Timestamp> {
        let due = |lane: &Lane| lane.due(&self.options);
        self.lanes.iter().filter_map(due).min()
    }

    /// Where the oldest record that is not finished begins.
    pub fn oldest_pending(&self) -> Option<u64> {
        self.lanes.iter().filter_map(Lane::begin).min()
    }

    /// Bytes of text that are held.
    pub fn pending_bytes(&self) -> usize {
        let bytes = |lane: &Lane| lane.line.text().len() + lane.group.text().len();
        self.lanes.iter().map(bytes).sum()
    }

    /// From where to read after a restart, when the log has been read up to `read_to`.
    pub fn resume(&self, read_to: u64) -> Resume {
        let [stdout, stderr] = &self.lanes;
        Resume {
            stdout: stdout.begin().unwrap_or(read_to),
            stderr: stderr.begin().unwrap_or(read_to),
        }
    }
}

/// What is held of one stream.
#[derive(Debug)]
struct Lane {
    stream: Stream,
    /// Lines that belong together.
    group: Pending,
    /// Pieces of a line that has not ended; later than `group`.
    line: Pending,
    progress: Progress,
    /// The last record of `line`'s kind was ended before its line was.
    rest_follows: bool,
}

impl Lane {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            group: Pending::default(),
            line: Pending::default(),
            progress: Progress::default(),
            rest_follows: false,
        }
    }

    #[inline]
    fn push(
        &mut self,
        options: &Options,
        entry: &Entry<'_>,
        span: Range<u64>,
        now: Timestamp,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        let is_ordinary = entry.ends_line
            && self.line.is_empty()
            && !self.rest_follows
            && entry.text.len() <= options.max_record_bytes;
        if is_ordinary {
            let line = Line {
                time: entry.time,
                text: strip(options, entry.text),
                attrs: entry.attrs,
                span,
                continues: false,
            };
            self.complete(options, line, now, emit);
        } else {
            self.push_piece(options, entry, span, now, emit);
        }
    }

    fn push_piece(
        &mut self,
        options: &Options,
        entry: &Entry<'_>,
        span: Range<u64>,
        now: Timestamp,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        let limit = options.max_record_bytes;
        if !self.line.is_empty() && self.line.text().len() + entry.text.len() > limit {
            self.cut_line(EndedBy::Size, emit);
        }
        let mut rest = entry.text;
        while rest.len() > limit {
            let (part, tail) = rest.split_at(boundary(rest, limit));
            let continues = std::mem::replace(&mut self.rest_follows, true);
            self.group.emit(self.stream, EndedBy::Line, emit);
            emit(Record {
                time: entry.time,
                stream: self.stream,
                text: part,
                attrs: entry.attrs,
                span: span.start..span.start,
                lines: 1,
                ended_by: EndedBy::Size,
                continues,
            });
            rest = tail;
        }
        let line = Line {
            time: entry.time,
            text: rest,
            attrs: entry.attrs,
            span,
            continues: self.rest_follows,
        };
        if !entry.ends_line {
            self.rest_follows = false;
            self.line.add(&line, false, now);
            return;
        }
        self.rest_follows = false;
        if self.line.is_empty() {
            let text = strip(options, rest);
            self.complete(options, Line { text, ..line }, now, emit);
            return;
        }
        self.line.add(&line, false, now);
        let mut whole = std::mem::take(&mut self.line);
        let line = whole.line();
        let text = strip(options, line.text);
        self.complete(options, Line { text, ..line }, now, emit);
        whole.clear();
        self.line = whole;
    }

    /// Ends the line under way before its end.
    fn cut_line(&mut self, ended_by: EndedBy, emit: &mut impl FnMut(Record<'_>)) {
        self.group
            .emit(self.stream, ended_by_of_group(ended_by), emit);
        self.line.emit(self.stream, ended_by, emit);
        self.rest_follows = true;
    }

    /// Takes a line that has ended.
    #[inline]
    fn complete(
        &mut self,
        options: &Options,
        line: Line<'_>,
        now: Timestamp,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        match &options.multiline {
            None => line.emit(self.stream, EndedBy::Line, emit),
            Some(_) if line.continues => {
                self.group.emit(self.stream, EndedBy::Line, emit);
                line.emit(self.stream, EndedBy::Line, emit);
            }
            Some(multiline) => match multiline.step(&mut self.progress, line.text) {
                Step::Single => {
                    self.group.emit(self.stream, EndedBy::Line, emit);
                    line.emit(self.stream, EndedBy::Line, emit);
                }
                Step::First => {
                    self.group.emit(self.stream, EndedBy::Line, emit);
                    self.group.add(&line, true, now);
                }
                Step::Next => self.group_on(options, line, now, emit),
            },
        }
    }

    /// Adds a line to the group, within its bounds.
    fn group_on(
        &mut self,
        options: &Options,
        mut line: Line<'_>,
        now: Timestamp,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        let held = &self.group;
        let bound = if held.is_empty() {
            None
        } else if held.text().len() + 1 + line.text.len() > options.max_record_bytes {
            Some(EndedBy::Size)
        } else if held.lines() >= options.max_record_lines {
            Some(EndedBy::Lines)
        } else {
            None
        };
        if let Some(bound) = bound {
            self.group.emit(self.stream, bound, emit);
        }
        // The group was ended by a bound or the time: its rest begins.
        line.continues = self.group.is_empty();
        self.group.add(&line, true, now);
    }

    fn flush(&mut self, options: &Options, now: Timestamp, emit: &mut impl FnMut(Record<'_>)) {
        self.line.not_after(now);
        self.group.not_after(now);
        if self.due(options).is_some_and(|due| due <= now) {
            if self.line.is_empty() {
                self.group.emit(self.stream, EndedBy::Time, emit);
            } else {
                self.cut_line(EndedBy::Time, emit);
            }
        }
    }

    /// When what is held has waited long enough. Lines that belong together wait for a line under way.
    fn due(&self, options: &Options) -> Option<Timestamp> {
        let line = self.line.since(options.flush_piece_after);
        line.or_else(|| self.group.since(options.flush_lines_after))
    }

    fn begin(&self) -> Option<u64> {
        self.group.begin().or_else(|| self.line.begin())
    }
}

/// Lines before one that a bound cuts are whole.
fn ended_by_of_group(ended_by: EndedBy) -> EndedBy {
    match ended_by {
        EndedBy::Size | EndedBy::Lines => EndedBy::Line,
        other => other,
    }
}

fn strip<'t>(options: &Options, text: &'t [u8]) -> &'t [u8] {
    match text {
        [text @ .., b'\r'] if options.strip_carriage_return => text,
        _ => text,
    }
}

/// The last place at or before `limit` that is not within a character; `limit` is at least 4.
fn boundary(text: &[u8], limit: usize) -> usize {
    let is_inner = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (limit - 3..=limit)
        .rev()
        .find(|at| !is_inner(*at))
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests;
