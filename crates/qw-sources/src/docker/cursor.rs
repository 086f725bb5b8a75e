//! Where to go on in the log of one container, exactly.
//!
//! The engine can be asked for all records since an instant, that instant included, and for nothing
//! finer. So a cursor is an instant and the number of records since it that were taken already: on
//! resumption they come again first, and are skipped. Usually the instant is that of the newest
//! record. Records need not be in order of time, since clocks are set back; the engine then leaves
//! out new records that are older than the instant asked for. So the cursor remembers some older
//! instants too, from which the count is known, and starts a little earlier than it would have to.
//!
//! Pure: no clock, no I/O.

use std::time::Duration;

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

/// Marks kept for clocks that are set back: near ones dense, far ones sparse.
const MAX_MARKS: usize = 16;
const MARK_SPACING_NANOS: i64 = 1_000_000_000;

/// Position in the log of one container.
///
/// Invariant: of the records taken, exactly those from number `anchor.taken` on are not older than
/// `anchor.time`; the same holds for every older mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    anchor: Mark,
    /// Older marks, in order of time. The first, if any, is where the reading began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older: Vec<Mark>,
    /// Records taken since the reading began.
    taken: u64,
    /// Time of the newest record taken, in nanoseconds.
    newest: i64,
    /// Time of the last record taken, in nanoseconds.
    last: i64,
    /// Records of that time taken without another between them.
    run: u64,
}

/// A time in nanoseconds, and how many records had been taken when the first one of it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64)", into = "(i64, u64)")]
struct Mark {
    time: i64,
    taken: u64,
}

impl From<(i64, u64)> for Mark {
    fn from((time, taken): (i64, u64)) -> Self {
        Self { time, taken }
    }
}

impl From<Mark> for (i64, u64) {
    fn from(mark: Mark) -> Self {
        (mark.time, mark.taken)
    }
}

impl Cursor {
    /// The beginning of the log.
    pub(crate) fn at_beginning() -> Self {
        Self::at(i64::MIN)
    }

    /// Records of `time` and later.
    pub(crate) fn since(time: Timestamp) -> Self {
        Self::at(time.as_nanos())
    }

    /// Behind `count` records of `time`, the newest that were taken.
    pub(crate) fn behind(time: Timestamp, count: u64) -> Self {
        Self {
            taken: count,
            newest: time.as_nanos(),
            last: time.as_nanos(),
            run: count,
            ..Self::at(time.as_nanos())
        }
    }

    fn at(time: i64) -> Self {
        let before = time.saturating_sub(1);
        Self {
            anchor: Mark { time, taken: 0 },
            older: Vec::new(),
            taken: 0,
            newest: before,
            last: before,
            run: 0,
        }
    }

    /// Notes that the next record, of `time`, was taken.
    pub(crate) fn take(&mut self, time: Timestamp) {
        let time = time.as_nanos();
        if time > self.newest {
            self.remember();
            self.anchor = Mark {
                time,
                taken: self.taken,
            };
            self.newest = time;
        } else {
            self.rewind(time);
        }
        self.run = if time == self.last { self.run + 1 } else { 1 };
        self.taken += 1;
        self.last = time;
    }

    /// Prepares a resumption that begins `span` before the newest record, so that a clock set back by
    /// less than that hides nothing.
    pub(crate) fn look_back(&mut self, span: Duration) {
        let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        self.rewind(self.newest.saturating_sub(span).max(self.beginning()));
    }

    /// Where the reading began.
    fn beginning(&self) -> i64 {
        self.older
            .first()
            .map_or(self.anchor.time, |mark| mark.time)
    }

    /// Makes sure that a resumption includes records of `time`, if need be by starting earlier.
    pub(crate) fn include(&mut self, time: Timestamp) {
        self.rewind(time.as_nanos());
    }

    fn rewind(&mut self, time: i64) {
        while self.anchor.time > time {
            match self.older.pop() {
                Some(mark) => self.anchor = mark,
                None => self.anchor.time = time,
            }
        }
    }

    fn remember(&mut self) {
        let is_due = self
            .older
            .last()
            .is_none_or(|mark| mark.time.saturating_add(MARK_SPACING_NANOS) <= self.anchor.time);
        if !is_due {
            return;
        }
        self.older.push(self.anchor);
        if self.older.len() > MAX_MARKS
            && let Some(index) = self.least_needed_mark()
        {
            self.older.remove(index);
        }
    }

    /// The mark whose neighbours are closest together, seen from now. The first always stays.
    fn least_needed_mark(&self) -> Option<usize> {
        let weight = |neighbours: &[Mark]| match neighbours {
            [before, mark, after] => {
                let gap = (after.time as f64) - (before.time as f64);
                let age = (self.newest as f64) - (mark.time as f64);
                gap / age.max(1.0)
            }
            _ => f64::MAX,
        };
        (1..self.older.len().saturating_sub(1)).min_by(|a, b| {
            let at =
                |index: usize| weight(self.older.get(index - 1..=index + 1).unwrap_or_default());
            at(*a).total_cmp(&at(*b))
        })
    }

    /// Accepts that records are missing before the last one taken: what was counted before it says
    /// nothing any more, and is forgotten.
    pub(crate) fn accept_gap(&mut self) {
        if self.last == self.newest {
            self.older.clear();
            self.anchor = Mark {
                time: self.newest,
                taken: self.taken.saturating_sub(self.run),
            };
        }
    }

    /// Forgets all marks but the first, to be shorter.
    pub(crate) fn shorten(&mut self) {
        self.older.truncate(1);
    }

    /// Time of the last record taken; the beginning when none was.
    pub(crate) fn last(&self) -> Timestamp {
        Timestamp::from_nanos(self.last)
    }

    /// From when to ask for records; `None` for all.
    pub(crate) fn ask_since(&self) -> Option<Timestamp> {
        (self.anchor.time > 0).then(|| Timestamp::from_nanos(self.anchor.time))
    }

    /// What to do with all records of the log from its beginning, when these are read in another way.
    /// The count says nothing there, since records may have been thrown away meanwhile.
    pub(crate) fn resume_everything(&self) -> Resumption {
        Resumption {
            state: Skipping::UpToLast,
            ..self.resume()
        }
    }

    /// What to do with the records that then come.
    pub(crate) fn resume(&self) -> Resumption {
        Resumption {
            left: self.taken.saturating_sub(self.anchor.taken),
            // At the place where the reading began no record need be of that time.
            first: (!self.older.is_empty()).then_some(self.anchor.time),
            newest: self.newest,
            last: self.last,
            run: self.run,
            previous: None,
            state: Skipping::Counted,
            gap: false,
        }
    }
}

/// Skips the records that were taken before a resumption.
#[derive(Debug, Clone)]
pub(crate) struct Resumption {
    /// Records to skip, by the count.
    left: u64,
    first: Option<i64>,
    newest: i64,
    last: i64,
    run: u64,
    previous: Option<i64>,
    state: Skipping,
    gap: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    /// By the count.
    Counted,
    /// The count says nothing, so up to the last record taken.
    UpToLast,
    Done,
}

impl Resumption {
    /// True when the next record, of `time`, was taken before or cannot be told from those.
    pub(crate) fn skips(&mut self, time: Timestamp) -> bool {
        let time = time.as_nanos();
        if self.state == Skipping::Counted {
            if self.first.take().is_some_and(|first| first != time) {
                // The record to start from has been thrown away.
                self.state = Skipping::UpToLast;
            } else if self.left > 0 {
                self.left -= 1;
                self.previous = Some(time);
                return true;
            } else if self.previous.is_none_or(|previous| previous == self.last) {
                self.state = Skipping::Done;
            } else {
                // The engine now has records that it left out when it followed the log.
                self.state = Skipping::UpToLast;
                self.gap = true;
            }
        }
        if self.state == Skipping::Done {
            return false;
        }
        if time > self.newest {
            self.gap = true;
            self.state = Skipping::Done;
            return false;
        }
        if time == self.last {
            self.run = self.run.saturating_sub(1);
            if self.run == 0 {
                self.state = Skipping::Done;
            }
        }
        true
    }

    /// True when records are missing: the engine has thrown them away before they were read, or left
    /// them out when they were to be read.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an engine with this log answers to a cursor.
    fn answer(log: &[i64], cursor: &Cursor) -> Vec<(usize, Timestamp)> {
        let since = cursor.ask_since().unwrap_or(Timestamp::MIN);
        log.iter()
            .enumerate()
            .map(|(number, time)| (number, Timestamp::from_nanos(*time)))
            .filter(|(_, time)| *time >= since)
            .collect()
    }

    /// Reads `log` in passes of the given numbers of new records, each from a stored cursor; a few
    /// more records than that are there. A pass that meets a record older than the one before it
    /// first includes it and starts anew. Returns the numbers of the records in the order read.
    fn read(log: &[i64], passes: &[usize]) -> Vec<usize> {
        let mut cursor = Cursor::at_beginning();
        let mut seen = Vec::new();
        for (pass, count) in passes.iter().chain([&usize::MAX]).enumerate() {
            let text = serde_json::to_string(&cursor).unwrap();
            assert!(text.len() < 1000, "{text}");
            cursor = serde_json::from_str(&text).unwrap();
            let there = if pass == passes.len() {
                log.len()
            } else {
                log.len().min(seen.len() + count + 3)
            };
            let mut believed = None;
            let mut taken = 0;
            'again: loop {
                cursor.look_back(Duration::from_secs(60));
                let mut resumption = cursor.resume();
                for (number, time) in answer(log.get(..there).unwrap_or(log), &cursor) {
                    if resumption.skips(time) {
                        continue;
                    }
                    assert!(!resumption.has_gap());
                    if taken == *count {
                        break;
                    }
                    if time < cursor.last() && believed != Some(number) {
                        believed = Some(number);
                        cursor.include(time);
                        continue 'again;
                    }
                    cursor.take(time);
                    seen.push(number);
                    taken += 1;
                }
                break;
            }
        }
        seen
    }

    #[test]
    fn equal_times_are_counted() {
        let log = [5, 5, 5, 6, 6, 7];
        assert_eq!(read(&log, &[1, 1, 2, 1]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_clock_set_back_loses_and_repeats_nothing() {
        let second = 1_000_000_000;
        let log = [110, 120, 130, 115, 116, 140].map(|time| time * second);
        assert_eq!(read(&log, &[3, 1, 1, 1]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn little_is_asked_for_again() {
        let mut cursor = Cursor::at_beginning();
        for seconds in 1..100_000 {
            cursor.take(Timestamp::from_seconds(seconds));
        }
        assert_eq!(cursor.resume().left, 1);
        cursor.look_back(Duration::from_secs(60));
        assert!(
            (60..300).contains(&cursor.resume().left),
            "{:?}",
            cursor.resume()
        );
        assert!(cursor.older.len() <= MAX_MARKS);
    }

    #[test]
    fn reading_from_now_never_goes_back_before_it() {
        let mut cursor = Cursor::since(Timestamp::from_seconds(1000));
        cursor.look_back(Duration::from_secs(60));
        assert_eq!(cursor.ask_since(), Some(Timestamp::from_seconds(1000)));
        cursor.take(Timestamp::from_seconds(1001));
        cursor.look_back(Duration::from_secs(60));
        assert_eq!(cursor.ask_since(), Some(Timestamp::from_seconds(1000)));
        assert_eq!(cursor.resume().left, 1);
    }

    #[test]
    fn a_record_thrown_away_by_rotation_is_a_gap_and_nothing_newer_is_skipped() {
        let mut cursor = Cursor::at_beginning();
        for seconds in [1, 2, 3] {
            cursor.take(Timestamp::from_seconds(seconds));
        }
        let mut resumption = cursor.resume();
        assert!(!resumption.skips(Timestamp::from_seconds(9)));
        assert!(resumption.has_gap());
        cursor.include(Timestamp::from_seconds(1));
        let mut displaced = cursor.resume();
        assert!(displaced.skips(Timestamp::from_seconds(2)));
        assert!(displaced.skips(Timestamp::from_seconds(3)));
        assert!(
            !displaced.skips(Timestamp::from_seconds(2)),
            "the clock was set back"
        );
        assert!(!displaced.has_gap());
        let mut whole = cursor.resume();
        assert!(whole.skips(Timestamp::from_seconds(1)));
        assert!(whole.skips(Timestamp::from_seconds(2)));
        assert!(whole.skips(Timestamp::from_seconds(3)));
        assert!(!whole.skips(Timestamp::from_seconds(9)));
        assert!(!whole.has_gap());
    }

    #[test]
    fn records_the_engine_left_out_are_a_gap_and_nothing_comes_twice() {
        let mut cursor = Cursor::at_beginning();
        for seconds in [1, 2, 5, 6] {
            cursor.take(Timestamp::from_seconds(seconds));
        }
        cursor.include(Timestamp::from_seconds(1));
        let mut resumption = cursor.resume();
        for seconds in [1, 2, 3, 4, 5, 6] {
            assert!(
                resumption.skips(Timestamp::from_seconds(seconds)),
                "{seconds}"
            );
        }
        assert!(resumption.has_gap());
        assert!(!resumption.skips(Timestamp::from_seconds(7)));

        // It is told once.
        cursor.accept_gap();
        cursor.take(Timestamp::from_seconds(7));
        cursor.look_back(Duration::from_secs(60));
        let mut resumption = cursor.resume();
        assert!(resumption.skips(Timestamp::from_seconds(6)));
        assert!(resumption.skips(Timestamp::from_seconds(7)));
        assert!(!resumption.skips(Timestamp::from_seconds(8)));
        assert!(!resumption.has_gap());
    }

    proptest! {
        #[test]
        fn every_record_is_read_once(
            steps in prop::collection::vec((-55_i64..30, any::<bool>()), 0..60),
            passes in prop::collection::vec(0_usize..8, 0..20),
        ) {
            let mut newest = 1_000_000_000_000;
            let log: Vec<i64> = steps
                .iter()
                .map(|(step, seconds)| {
                    let time = newest + step * if *seconds { 1_000_000_000 } else { 1 };
                    newest = newest.max(time);
                    time
                })
                .collect();
            prop_assert_eq!(read(&log, &passes), (0..log.len()).collect::<Vec<_>>());
        }
    }
}
