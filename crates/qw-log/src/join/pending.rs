//! What is held until a record is finished.

use std::{ops::Range, time::Duration};

use qw_event::Timestamp;

use super::{EndedBy, Record};
use crate::Stream;

/// Memory beyond this is given back when a record is finished.
const KEPT_BYTES: usize = 64 << 10;

/// A line, whole.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    pub(super) time: Timestamp,
    pub(super) text: &'a [u8],
    pub(super) attrs: Option<&'a str>,
    pub(super) span: Range<u64>,
    pub(super) continues: bool,
}

impl Line<'_> {
    /// Hands it on as a record.
    #[inline]
    pub(super) fn emit(self, stream: Stream, ended_by: EndedBy, emit: &mut impl FnMut(Record<'_>)) {
        emit(Record {
            time: self.time,
            stream,
            text: self.text,
            attrs: self.attrs,
            span: self.span,
            lines: 1,
            ended_by,
            continues: self.continues,
        });
    }
}

/// The beginning of a record.
#[derive(Debug, Default)]
pub(super) struct Pending {
    text: Vec<u8>,
    attrs: Option<String>,
    time: Timestamp,
    span: Range<u64>,
    /// 0: nothing is held.
    lines: u32,
    continues: bool,
    /// When it last grew.
    grown: Timestamp,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn lines(&self) -> u32 {
        self.lines
    }

    pub(super) fn begin(&self) -> Option<u64> {
        (self.lines > 0).then_some(self.span.start)
    }

    /// The time when it has not grown for `span`.
    pub(super) fn since(&self, span: Duration) -> Option<Timestamp> {
        (self.lines > 0).then(|| self.grown.saturating_add(span))
    }

    /// A clock that was set back shall not make it wait longer.
    pub(super) fn not_after(&mut self, now: Timestamp) {
        self.grown = self.grown.min(now);
    }

    /// Adds a piece of the same line, or a line of its own.
    pub(super) fn add(&mut self, line: &Line<'_>, is_line: bool, now: Timestamp) {
        if self.lines == 0 {
            self.time = line.time;
            self.span.start = line.span.start;
            self.attrs = line.attrs.map(str::to_owned);
            self.continues = line.continues;
            self.lines = 1;
        } else if is_line {
            self.text.push(b'\n');
            self.lines += 1;
        }
        self.span.end = line.span.end;
        self.grown = now;
        self.text.extend_from_slice(line.text);
    }

    /// What is held, as one line.
    pub(super) fn line(&self) -> Line<'_> {
        Line {
            time: self.time,
            text: &self.text,
            attrs: self.attrs.as_deref(),
            span: self.span.clone(),
            continues: self.continues,
        }
    }

    /// Hands on what is held, if anything, and holds nothing.
    pub(super) fn emit(
        &mut self,
        stream: Stream,
        ended_by: EndedBy,
        emit: &mut impl FnMut(Record<'_>),
    ) {
        if self.lines == 0 {
            return;
        }
        emit(Record {
            time: self.time,
            stream,
            text: &self.text,
            attrs: self.attrs.as_deref(),
            span: self.span.clone(),
            lines: self.lines,
            ended_by,
            continues: self.continues,
        });
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.lines = 0;
        self.attrs = None;
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
    }
}
