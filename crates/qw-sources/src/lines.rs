//! Bytes → lines → batches: what all sources that read text share.

use std::time::Duration;

use qw_event::{DropReason, Event, InvalidReason, Outcome, Position, Timestamp};
use qw_pipeline::{CancellationToken, Intake, NotAccepted, NotStored, Receipt};
use tokio::time::Instant;

use crate::falco::{Limits, Parser};

/// What is kept of a line that is too long, for the operator to see.
const SAMPLE_BYTES: usize = 256;

/// One complete line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Within the bound.
    Whole(&'a [u8]),
    /// Longer than the bound: its beginning, and its length in bytes.
    TooLong(&'a [u8], u64),
}

/// Cuts a stream of bytes into lines, holding at most one bound's worth of bytes.
#[derive(Debug)]
pub(crate) struct Splitter {
    most_bytes: usize,
    /// Beginning of a line whose newline has not come.
    partial: Vec<u8>,
    /// Length of that line so far; more than `partial` holds once it is too long.
    length: u64,
}

impl Splitter {
    /// Lines of at most `most_bytes` bytes are kept whole.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            partial: Vec::new(),
            length: 0,
        }
    }

    /// Takes `bytes` and gives every line that they complete to `each`, with the number of bytes
    /// since the last line that was given, its newline included.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Line<'_>, u64)) {
        let mut rest = bytes;
        while let Some(end) = memchr(rest) {
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if self.length == 0 && line.len() <= self.most_bytes {
                each(Line::Whole(line), line.len() as u64 + 1);
                continue;
            }
            self.keep(line);
            self.give(1, &mut each);
        }
        self.keep(rest);
    }

    /// Gives the line whose newline never came, if there is one.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Line<'_>, u64)) {
        if self.length > 0 {
            self.give(0, &mut each);
        }
    }

    /// Forgets the beginning of a line.
    pub(crate) fn discard(&mut self) {
        self.partial.clear();
        self.length = 0;
    }

    fn give(&mut self, newline: u64, each: &mut impl FnMut(Line<'_>, u64)) {
        let line = if self.length > self.most_bytes as u64 {
            Line::TooLong(&self.partial, self.length)
        } else {
            Line::Whole(&self.partial)
        };
        each(line, self.length + newline);
        self.partial.clear();
        self.partial.shrink_to(64 * 1024);
        self.length = 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length <= self.most_bytes as u64 {
            self.partial.extend_from_slice(bytes);
        } else if self.partial.len() < SAMPLE_BYTES {
            let room = SAMPLE_BYTES - self.partial.len();
            self.partial
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        } else {
            self.partial.truncate(SAMPLE_BYTES);
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// When a batch is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    /// With this many events.
    pub(crate) events: usize,
    /// With this many bytes of lines.
    pub(crate) bytes: usize,
    /// When its first line has waited for this long.
    pub(crate) wait: Duration,
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            events: 1000,
            bytes: 4 << 20,
            wait: Duration::from_millis(100),
        }
    }
}

/// Parses lines, counts what is none, and collects events to a batch.
pub(crate) struct Assembly {
    intake: Intake,
    parser: Parser,
    fill: Fill,
    events: Vec<Event>,
    bytes: usize,
    since: Option<Instant>,
}

impl Assembly {
    pub(crate) fn new(intake: Intake, limits: Limits, fill: Fill) -> Self {
        Self {
            intake,
            parser: Parser::new(limits),
            fill,
            events: Vec::new(),
            bytes: 0,
            since: None,
        }
    }

    /// Where the batches go.
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Takes a line that arrived at `now`. Blank lines are nothing.
    pub(crate) fn line(&mut self, line: &Line<'_>, now: Timestamp) {
        if let Some(event) = self.parse(line, now) {
            self.push(event);
        }
    }

    /// Counts a line and parses it; `None` when it is no event.
    pub(crate) fn parse(&mut self, line: &Line<'_>, now: Timestamp) -> Option<Event> {
        let status = self.intake.status();
        match *line {
            Line::Whole(line) if line.trim_ascii().is_empty() => None,
            Line::Whole(line) => {
                status.received(1, line.len() as u64, now);
                self.bytes += line.len();
                self.parser
                    .parse(line, now)
                    .map_err(|reason| status.invalid(reason, line))
                    .ok()
            }
            Line::TooLong(sample, length) => {
                status.received(1, length, now);
                status.invalid(InvalidReason::TooLong, sample);
                None
            }
        }
    }

    /// Adds an event to the batch.
    pub(crate) fn push(&mut self, event: Event) {
        self.since.get_or_insert_with(Instant::now);
        self.events.push(event);
    }

    /// True when the batch should be sent now.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= self.fill.events || self.bytes >= self.fill.bytes
    }

    /// True when nothing was collected.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// When the batch should be sent at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.fill.wait)
    }

    /// Sends what was collected, and `position`; waits while the pipeline is full, but not for long
    /// once `stop` has fired. What was not sent is counted as dropped.
    pub(crate) async fn send(
        &mut self,
        position: Option<Position>,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Receipt, NotAccepted> {
        let events = std::mem::take(&mut self.events);
        let records = events.len() as u64;
        self.bytes = 0;
        self.since = None;
        let sent = tokio::select! {
            biased;
            sent = self.intake.send(events, position, now) => sent,
            () = stopped_for(stop, GRACE) => Err(NotAccepted::Stopped),
        };
        if sent.is_err() {
            self.intake
                .status()
                .count(Outcome::Dropped(DropReason::Stopped), records);
        }
        sent
    }
}

/// Waits until the batch of `receipt` is stored, but not for long once `stop` has fired; the
/// pipeline then says what becomes of it.
pub(crate) async fn settled(receipt: Receipt, stop: &CancellationToken) -> Result<(), NotStored> {
    tokio::select! {
        biased;
        result = receipt => result,
        () = stopped_for(stop, GRACE) => Err(NotStored::Stopped),
    }
}

/// How long a source that was stopped waits for the pipeline.
const GRACE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 2000 });

async fn stopped_for(stop: &CancellationToken, grace: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::harness::{Harness, line};

    fn lines(chunks: &[&[u8]], most_bytes: usize) -> (Vec<String>, u64) {
        let mut splitter = Splitter::new(most_bytes);
        let (mut seen, mut consumed) = (Vec::new(), 0);
        let mut each = |line: Line<'_>, bytes| {
            consumed += bytes;
            seen.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong(_, length) => format!("too long: {length}"),
            });
        };
        for chunk in chunks {
            splitter.push(chunk, &mut each);
        }
        splitter.finish(&mut each);
        (seen, consumed)
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let check = |chunks: &[&str], expected: &[&str]| {
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            assert_eq!(lines(&chunks, 5).0, expected);
        };
        check(&[], &[]);
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "b\nc", "\n"], &["ab", "c"]);
        check(&["\n\na"], &["", "", "a"]);
        check(&["12345\n"], &["12345"]);
        check(&["123456\nok\n"], &["too long: 6", "ok"]);
        check(&["123", "456", "789\nok\n"], &["too long: 9", "ok"]);
        check(&["1234567"], &["too long: 7"]);
    }

    #[test]
    fn a_line_that_never_ends_takes_no_memory() {
        let mut splitter = Splitter::new(1000);
        for _ in 0..10_000 {
            splitter.push(&[b'x'; 999], |_, _| panic!("no line ended"));
        }
        assert!(splitter.partial.len() <= 1000);
        splitter.finish(|line, _| {
            let Line::TooLong(sample, 9_990_000) = line else {
                panic!("{line:?}")
            };
            assert_eq!(sample.len(), SAMPLE_BYTES);
        });
    }

    #[tokio::test]
    async fn a_stopped_source_does_not_wait_for_a_pipeline_that_is_full() {
        let options = qw_pipeline::Options {
            batches: 1,
            ..qw_pipeline::Options::default()
        };
        let harness = Harness::over(std::sync::Arc::default(), options);
        harness.store.fail(true);
        let mut assembly = Assembly::new(
            harness.intake("test-full"),
            Limits::default(),
            Fill::default(),
        );
        let stop = CancellationToken::new();
        stop.cancel();
        let mut sent = 0;
        let refused = loop {
            assembly.line(&Line::Whole(line("a").as_bytes()), Timestamp::EPOCH);
            match assembly.send(None, Timestamp::EPOCH, &stop).await {
                Ok(_) => sent += 1,
                Err(refused) => break refused,
            }
            assert!(sent < 10, "the pipeline takes no more than it can hold");
        };
        assert_eq!(refused, NotAccepted::Stopped);
        assert_eq!(
            harness.outcome("test-full", Outcome::Dropped(DropReason::Stopped)),
            1
        );
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(chunks in prop::collection::vec("[ab\n]{0,12}", 0..12)) {
            let whole = chunks.concat();
            let chunks: Vec<&[u8]> = chunks.iter().map(String::as_bytes).collect();
            let (seen, consumed) = lines(&chunks, usize::MAX);
            prop_assert_eq!(consumed, whole.len() as u64);
            let expected: Vec<&str> = whole.lines().collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
