//! Records of the engine's log stream → events.

use async_trait::async_trait;
use qw_docker::{LogPiece, StreamKind};
use qw_event::{Event, InvalidReason, Timestamp};
use qw_log::{
    Entry, Stream,
    join::{self, Joiner, Resume},
};
use qw_pipeline::{Intake, NotAccepted};

use super::{
    files::{Gap, GapReason},
    place::{ApiPlace, Stored},
    tail::Common,
};
use crate::{
    clock::now,
    docker::{Cursor, Gather},
};

/// Joins the records of one container's log stream.
pub(super) struct LogGather {
    common: Common,
    intake: Intake,
    options: join::Options,
    joiner: Joiner,
    /// Records behind the cursor that were read before, and which of them are wanted again.
    known: (u64, Resume),
    events: Vec<Event>,
    bytes: u64,
    newest: Option<Timestamp>,
    has_gap: bool,
}

impl LogGather {
    pub(super) fn new(
        common: Common,
        intake: Intake,
        options: join::Options,
        known: (u64, Resume),
    ) -> Self {
        Self {
            common,
            intake,
            joiner: Joiner::new(options.clone()),
            options,
            known,
            events: Vec::new(),
            bytes: 0,
            newest: None,
            has_gap: false,
        }
    }

    /// Records of the pass behind the first `settled`, of which `read` were read.
    fn known_behind(&self, settled: u64, read: u64) -> (u64, Resume) {
        let from_cursor = |number: u64| number.saturating_sub(settled);
        let resume = self.joiner.resume(read);
        let resume = Resume {
            stdout: from_cursor(resume.stdout),
            stderr: from_cursor(resume.stderr),
        };
        (from_cursor(read), resume)
    }

    /// Has the joiner do something, and takes the records that come out.
    fn join(&mut self, work: impl FnOnce(&mut Joiner, &mut dyn FnMut(join::Record<'_>))) {
        let Self {
            joiner,
            common,
            events,
            ..
        } = self;
        work(joiner, &mut |record| {
            events.push(common.event(&record));
        });
    }
}

#[async_trait]
impl Gather for LogGather {
    fn streams(&self) -> (bool, bool) {
        // Both, so that records are numbered alike whatever is wanted.
        (true, true)
    }

    fn begin(&mut self) {
        self.joiner = Joiner::new(self.options.clone());
    }

    fn known(&self) -> u64 {
        self.known.0
    }

    fn push(&mut self, piece: LogPiece, time: Timestamp, number: u64) {
        let stream = if piece.stream == StreamKind::Stderr {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        let (known, resume) = self.known;
        if number < known && !resume.wants(stream, number) {
            return;
        }
        if std::mem::take(&mut self.has_gap) {
            let gap = Gap {
                reason: GapReason::Api,
                files: None,
                bytes: None,
            };
            let common = &self.common;
            let event = common.gap(gap, self.newest, Some(time), now());
            self.events.push(event);
            self.common.reader.gap();
        }
        self.newest = self.newest.max(Some(time));
        self.bytes += piece.text.len() as u64;
        if piece.cut_bytes > 0 {
            let status = &self.common.status;
            status.received(1, piece.cut_bytes, now());
            status.invalid(InvalidReason::TooLong, &piece.text);
        }
        if !self.common.streams.wants(stream) {
            return;
        }
        let entry = Entry {
            time,
            stream,
            text: &piece.text,
            ends_line: piece.ends_line,
            attrs: None,
            skipped: 0,
        };
        self.join(|joiner, emit| {
            joiner.push(&entry, number..number + 1, now(), &mut |record| {
                emit(record);
            });
        });
    }

    fn oldest_pending(&self) -> Option<u64> {
        self.joiner.oldest_pending()
    }

    fn next_flush(&self) -> Option<Timestamp> {
        self.joiner.next_flush()
    }

    fn flush(&mut self) {
        self.join(|joiner, emit| joiner.flush(now(), &mut |record| emit(record)));
    }

    fn finish(&mut self) {
        self.join(|joiner, emit| joiner.finish(&mut |record| emit(record)));
    }

    fn gap(&mut self, _: &str) {
        self.finish();
        self.has_gap = true;
    }

    fn failed(&mut self, error: &str) {
        self.common.reader.error(error.to_owned());
    }

    fn unreadable(&mut self, error: &str) {
        let why = format!(
            "its log driver keeps nothing that the engine could read, and the engine's own copy is \
             switched off (`cache-disabled`): {error}"
        );
        self.common.reader.set_way("none", why);
    }

    fn waiting(&self) -> (usize, u64) {
        (self.events.len(), self.bytes)
    }

    fn end(&mut self, settled: u64, read: u64) {
        self.known = self.known_behind(settled, read);
    }

    async fn send(&mut self, cursor: &Cursor, settled: u64, read: u64) -> Result<(), NotAccepted> {
        let (ahead, resume) = self.known_behind(settled, read);
        let place = ApiPlace {
            cursor: cursor.clone(),
            ahead,
            resume,
        };
        let events = std::mem::take(&mut self.events);
        let records = events.len() as u64;
        let bytes = std::mem::take(&mut self.bytes);
        self.common.status.received(records, bytes, now());
        self.common.reader.lines(records);
        let position = Stored::Api(place).position();
        // Whether it was stored, the pipeline tells.
        drop(self.intake.send(events, Some(position), now()).await?);
        Ok(())
    }
}
