//! Reading every matching event of a range within a budget, the newest first, on a second thread as
//! well when there is much to read and nobody else does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parquet::errors::{ParquetError, Result as ParquetResult};
use qw_event::{RecordKind, StoredEvent};

use crate::embedded::{
    Embedded, View,
    format::Column,
    hot::HotChunk,
    plan::Plan,
    segment::Segment,
    segment_reader::{GroupReader, Rows, SegmentFile},
};

/// A second thread takes part when at least this many events are to be read.
const SHARED_EVENTS: u64 = 100_000;

/// Matching events of one unit.
pub(super) enum Matched<'a> {
    Hot(RecordKind, &'a [&'a StoredEvent]),
    /// All events of a segment. A visitor that answers false is given them group by group.
    Whole(&'a Segment, &'a Arc<SegmentFile>),
    /// Ascending indices of rows.
    Rows(&'a mut GroupReader, &'a [u32]),
}

/// How far a scan came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    pub(super) events: u64,
    pub(super) complete: bool,
}

/// Threads that help with scans, beside those that ask.
#[derive(Debug)]
pub(super) struct Helpers {
    free: AtomicUsize,
}

impl Helpers {
    /// One for every processor but the first, at least one.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            free: AtomicUsize::new((processors - 1).max(1)),
        }
    }

    fn take(&self) -> Option<Helper<'_>> {
        self.free
            .fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1))
            .ok()
            .map(|_| Helper(self))
    }
}

/// Leave to start one thread.
struct Helper<'a>(&'a Helpers);

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Relaxed);
    }
}

enum Unit<'a> {
    Hot(&'a HotChunk),
    Segment(&'a Arc<Segment>),
}

/// A scan that one thread or two carry out.
struct Scan<'a> {
    store: &'a Embedded,
    plan: &'a Plan<'a>,
    /// The newest first.
    units: Vec<(i64, Unit<'a>)>,
    next: AtomicUsize,
    started: Instant,
    budget: Duration,
    events: AtomicU64,
    complete: AtomicBool,
}

impl Embedded {
    /// Hands the matching events to `visit`, unit by unit, the newest first.
    ///
    /// Every thread that takes part begins with a `start` of its own; they come back.
    pub(super) fn scan<S: Send>(
        &self,
        view: &View,
        plan: &Plan<'_>,
        budget: Duration,
        start: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, Matched<'_>) -> ParquetResult<bool> + Sync,
    ) -> (Vec<S>, Scanned) {
        let hot = view
            .hot
            .iter()
            .filter(|chunk| {
                plan.kinds.contains(chunk.kind) && plan.overlaps(chunk.min_time, chunk.max_time)
            })
            .map(|chunk| (chunk.max_time, Unit::Hot(chunk)));
        let segments = view.segments.iter().filter(|segment| {
            let may_match = plan.may_match_segment(&segment.row);
            if !may_match {
                self.counters.segments_pruned.fetch_add(1, Relaxed);
            }
            may_match
        });
        let segments: Vec<&Arc<Segment>> = segments.collect();
        let much = segments
            .iter()
            .map(|segment| segment.row.count)
            .sum::<u64>()
            >= SHARED_EVENTS;
        let segments = segments
            .into_iter()
            .map(|segment| (segment.row.max_time, Unit::Segment(segment)));
        let mut units: Vec<(i64, Unit<'_>)> = hot.chain(segments).collect();
        units.sort_by_key(|(max_time, _)| std::cmp::Reverse(*max_time));
        let scan = Scan {
            store: self,
            plan,
            units,
            next: AtomicUsize::new(0),
            started: Instant::now(),
            budget,
            events: AtomicU64::new(0),
            complete: AtomicBool::new(true),
        };
        let work = || {
            let mut state = start();
            scan.run(&mut |matched| visit(&mut state, matched));
            state
        };
        let helper = if much { self.helpers.take() } else { None };
        let states = std::thread::scope(|scope| {
            let other = helper.as_ref().and_then(|_| {
                std::thread::Builder::new()
                    .name("store-scan".to_owned())
                    .spawn_scoped(scope, work)
                    .ok()
            });
            let mut states = vec![work()];
            match other.map(std::thread::ScopedJoinHandle::join) {
                Some(Ok(state)) => states.push(state),
                Some(Err(_)) => scan.complete.store(false, Relaxed),
                None => {}
            }
            states
        });
        let scanned = Scanned {
            events: scan.events.load(Relaxed),
            complete: scan.complete.load(Relaxed),
        };
        if !scanned.complete {
            self.counters.queries_cut.fetch_add(1, Relaxed);
        }
        (states, scanned)
    }
}

impl Scan<'_> {
    /// Takes units until there are none left or the budget is used up.
    fn run(&self, visit: &mut impl FnMut(Matched<'_>) -> ParquetResult<bool>) {
        loop {
            let Some((_, unit)) = self.units.get(self.next.fetch_add(1, Relaxed)) else {
                return;
            };
            if self.is_over() {
                return;
            }
            match unit {
                Unit::Hot(chunk) => self.scan_hot(chunk, visit),
                Unit::Segment(segment) => match self.store.cache.open(segment) {
                    Ok(file) => self.scan_segment(segment, &file, visit),
                    Err(error) => self.fail(segment, &error),
                },
            }
        }
    }

    /// True, and the scan incomplete, when the budget is used up.
    fn is_over(&self) -> bool {
        let is_over = self.started.elapsed() > self.budget;
        if is_over {
            self.complete.store(false, Relaxed);
        }
        is_over
    }

    fn fail(&self, segment: &Segment, error: &ParquetError) {
        self.complete.store(false, Relaxed);
        self.store.report_damage(segment, error);
    }

    fn scan_hot(
        &self,
        chunk: &HotChunk,
        visit: &mut impl FnMut(Matched<'_>) -> ParquetResult<bool>,
    ) {
        self.events.fetch_add(chunk.events.len() as u64, Relaxed);
        let matching: Vec<&StoredEvent> = chunk
            .events
            .iter()
            .filter(|stored| {
                self.plan.times.contains(&stored.event.time.as_nanos())
                    && self.plan.matches(&stored.event)
            })
            .collect();
        if let Err(error) = visit(Matched::Hot(chunk.kind, &matching)) {
            tracing::error!(%error, "events in memory cannot be counted");
            self.complete.store(false, Relaxed);
        }
    }

    /// A row group that cannot be read is left out; the others of the segment are not.
    fn scan_segment(
        &self,
        segment: &Segment,
        file: &Arc<SegmentFile>,
        visit: &mut impl FnMut(Matched<'_>) -> ParquetResult<bool>,
    ) {
        let counters = &self.store.counters;
        counters.segments_read.fetch_add(1, Relaxed);
        let times = &self.plan.times;
        let row = &segment.row;
        if self.plan.everything && times.contains(&row.min_time) && times.contains(&row.max_time) {
            match visit(Matched::Whole(segment, file)) {
                Ok(true) => {
                    self.events.fetch_add(row.count, Relaxed);
                    return;
                }
                Ok(false) => {}
                Err(error) => self.fail(segment, &error),
            }
        }
        for group in (0..file.groups().len()).rev() {
            if self.is_over() {
                return;
            }
            if let Err(error) = self.scan_group(file, group, visit) {
                self.fail(segment, &error);
            }
        }
    }

    fn scan_group(
        &self,
        file: &Arc<SegmentFile>,
        group: usize,
        visit: &mut impl FnMut(Matched<'_>) -> ParquetResult<bool>,
    ) -> ParquetResult<()> {
        let (plan, counters) = (self.plan, &self.store.counters);
        let parts = plan.parts_of_group(file, group)?;
        if parts.is_empty() {
            counters.row_groups_skipped.fetch_add(1, Relaxed);
            return Ok(());
        }
        counters.row_groups_read.fetch_add(1, Relaxed);
        let mut reader = file.group(group);
        let layout = reader.layout();
        let within = plan.times.contains(&layout.min_time) && plan.times.contains(&layout.max_time);
        let events = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let mut candidates: Vec<u32> = parts.into_iter().flatten().collect();
        if !within {
            let times = reader.numbers(Column::Time, Rows::All)?;
            candidates.retain(|row| plan.times.contains(&times[*row as usize]));
        }
        let candidates = plan.preselect(&mut reader, candidates)?;
        let rows = if plan.exact {
            candidates
        } else {
            let mut rows = Vec::with_capacity(candidates.len());
            for slice in candidates.chunks(1024) {
                rows.extend(plan.verify(&mut reader, slice)?);
            }
            rows
        };
        visit(Matched::Rows(&mut reader, &rows))?;
        self.events.fetch_add(events, Relaxed);
        Ok(())
    }
}
