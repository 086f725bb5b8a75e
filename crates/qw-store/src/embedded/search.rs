//! Finding events: a merge over hot chunks and row groups in the order asked for.
//!
//! Every hot chunk, segment and row group is a unit with a bound: no event in it comes before the
//! bound. Units are looked at in the order of their bounds, and the search ends once enough events
//! come before the bound of the next unit. Narrow columns decide; the wide ones are read for the
//! events that are returned.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use parquet::errors::ParquetError;
use qw_event::{EventId, StoredEvent, Timestamp};

use crate::{
    EventPage, EventQuery, Kinds, Order, PageCursor, QueryError, TimeRange,
    embedded::{
        Embedded, View,
        format::{Column, ColumnSet},
        hot::HotChunk,
        plan::Plan,
        rows::read_events,
        segment::Segment,
        segment_reader::{GroupReader, Rows, SegmentFile},
    },
    query::Filter,
};

/// A page has at most this many events.
const MAX_LIMIT: usize = 10_000;
/// Rows judged at a time when a judgement needs the wide columns: those that share a page.
const SLICE: u32 = 1024;

/// Order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    NewestFirst,
    OldestFirst,
    ByNumber,
}

/// Place in a listing; smaller comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(i64, u64);

impl Key {
    const FIRST: Self = Self(i64::MIN, 0);
}

impl Sequence {
    fn key(self, time: i64, id: u64) -> Key {
        match self {
            Self::NewestFirst => Key(!time, !id),
            Self::OldestFirst => Key(time, id),
            Self::ByNumber => Key(i64::MIN, id),
        }
    }

    /// No event within these bounds comes before the first key, none after the second.
    fn bounds(self, times: (i64, i64), ids: (u64, u64)) -> (Key, Key) {
        match self {
            Self::NewestFirst => (self.key(times.1, u64::MAX), self.key(times.0, 0)),
            Self::OldestFirst => (self.key(times.0, 0), self.key(times.1, u64::MAX)),
            Self::ByNumber => (self.key(0, ids.0), self.key(0, ids.1)),
        }
    }

    /// The cursor that goes on with the events whose keys are `bound` or later.
    fn cursor_at(self, bound: Key) -> PageCursor {
        match self {
            Self::NewestFirst => PageCursor {
                time: Timestamp::from_nanos(!bound.0),
                id: EventId(u64::MAX),
            },
            Self::OldestFirst | Self::ByNumber => PageCursor {
                time: Timestamp::from_nanos(bound.0),
                id: EventId(0),
            },
        }
    }
}

/// Something that holds events.
#[derive(Clone)]
enum Unit {
    Hot(Arc<HotChunk>),
    Segment(Arc<Segment>),
    Group(Arc<Segment>, Arc<SegmentFile>, usize),
}

/// A unit waiting to be looked at; orders by its bound, then by arrival.
struct Waiting {
    bound: Key,
    ticket: usize,
    unit: Unit,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.bound, self.ticket).cmp(&(other.bound, other.ticket))
    }
}

/// Where a found event lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Index into [`Search::units`].
    unit: usize,
    row: u32,
}

struct Search<'a> {
    store: &'a Embedded,
    plan: &'a Plan<'a>,
    sequence: Sequence,
    /// Events at or before this place are left out.
    after: Option<Key>,
    limit: usize,
    waiting: BinaryHeap<Reverse<Waiting>>,
    tickets: usize,
    /// The first `limit` events found so far.
    found: BTreeMap<Key, Place>,
    /// Units that found events lie in.
    units: Vec<Unit>,
    /// True when an event was found that is not among the first `limit`.
    overflowed: bool,
    /// False when something could not be read.
    whole: bool,
    scanned: u64,
}

impl Embedded {
    pub(super) fn search_events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        if query.limit == 0 || query.limit > MAX_LIMIT {
            return Err(QueryError::Invalid(format!(
                "limit is not between 1 and {MAX_LIMIT}"
            )));
        }
        let sequence = match query.order {
            Order::NewestFirst => Sequence::NewestFirst,
            Order::OldestFirst => Sequence::OldestFirst,
        };
        let view = self.view();
        let names = self.names();
        let plan = Plan::new(&query.filter, query.range, query.kinds, &names);
        let after = query
            .after
            .map(|after| sequence.key(after.time.as_nanos(), after.id.0));
        Ok(self.search(&view, &plan, sequence, after, query.limit, query.budget))
    }

    pub(super) fn search_after(
        &self,
        after: EventId,
        limit: usize,
        kinds: Kinds,
    ) -> Vec<StoredEvent> {
        if limit == 0 {
            return Vec::new();
        }
        let view = self.view();
        let filter = Filter::everything();
        let plan = Plan::new(&filter, TimeRange::ALL, kinds, &self.names());
        let sequence = Sequence::ByNumber;
        let after = Some(sequence.key(0, after.0));
        let limit = limit.min(MAX_LIMIT);
        self.search(&view, &plan, sequence, after, limit, Duration::MAX)
            .events
    }

    pub(super) fn search_event(&self, id: EventId) -> Option<StoredEvent> {
        let before = EventId(id.0.checked_sub(1)?);
        self.search_after(before, 1, Kinds::ALL)
            .pop()
            .filter(|stored| stored.id == id)
    }

    fn search(
        &self,
        view: &View,
        plan: &Plan<'_>,
        sequence: Sequence,
        after: Option<Key>,
        limit: usize,
        budget: Duration,
    ) -> EventPage {
        let mut search = Search {
            store: self,
            plan,
            sequence,
            after,
            limit,
            waiting: BinaryHeap::new(),
            tickets: 0,
            found: BTreeMap::new(),
            units: Vec::new(),
            overflowed: false,
            whole: true,
            scanned: 0,
        };
        for chunk in &view.hot {
            if !plan.kinds.contains(chunk.kind) {
                continue;
            }
            let ids = (chunk.first_id(), chunk.last_id());
            search.wait(
                (chunk.min_time, chunk.max_time),
                ids,
                Unit::Hot(chunk.clone()),
            );
        }
        for segment in view.segments.iter() {
            let row = &segment.row;
            if plan.may_match_segment(row) {
                let unit = Unit::Segment(segment.clone());
                search.wait(
                    (row.min_time, row.max_time),
                    (row.first_id, row.last_id),
                    unit,
                );
            } else {
                self.counters.segments_pruned.fetch_add(1, Relaxed);
            }
        }
        let frontier = search.run(budget);
        search.page(frontier)
    }

    /// Counts and, once per segment, reports that a segment cannot be read.
    pub(super) fn report_damage(&self, segment: &Segment, error: &ParquetError) {
        if !segment.damaged.swap(true, Relaxed) {
            tracing::error!(segment = segment.name(), %error, "a segment cannot be read");
            self.counters.damaged();
        }
    }
}

impl Search<'_> {
    /// Queues a unit unless all or none of it matters already.
    fn wait(&mut self, times: (i64, i64), ids: (u64, u64), unit: Unit) {
        if !self.plan.overlaps(times.0, times.1) {
            return;
        }
        let range = &self.plan.times;
        let times = (times.0.max(range.start), times.1.min(range.end - 1));
        let (first, last) = self.sequence.bounds(times, ids);
        if self.after.is_some_and(|after| last <= after) {
            return;
        }
        let bound = self.after.map_or(first, |after| first.max(after));
        let ticket = self.tickets;
        self.tickets += 1;
        self.waiting.push(Reverse(Waiting {
            bound,
            ticket,
            unit,
        }));
    }

    /// Looks at units until enough is found; the bound of the next unit when the budget ended it.
    fn run(&mut self, budget: Duration) -> Option<Key> {
        let started = Instant::now();
        let first_bound = self
            .waiting
            .peek()
            .map_or(Key::FIRST, |Reverse(next)| next.bound);
        while let Some(Reverse(next)) = self.waiting.peek() {
            let next_bound = next.bound;
            if self.found.len() >= self.limit
                && self
                    .found
                    .last_key_value()
                    .is_some_and(|(worst, _)| *worst < next_bound)
            {
                return None;
            }
            // A cut search must have moved on, or the next page would begin where this one did.
            if next_bound > first_bound && started.elapsed() > budget {
                return Some(next_bound);
            }
            if let Some(Reverse(next)) = self.waiting.pop() {
                self.look_at(next.unit);
            }
        }
        None
    }

    fn look_at(&mut self, unit: Unit) {
        match unit {
            Unit::Hot(chunk) => self.look_at_hot(chunk),
            Unit::Segment(segment) => match self.store.cache.open(&segment) {
                Ok(file) => {
                    self.store.counters.segments_read.fetch_add(1, Relaxed);
                    for (index, group) in file.groups().iter().enumerate() {
                        let unit = Unit::Group(segment.clone(), file.clone(), index);
                        let times = (group.min_time, group.max_time);
                        self.wait(times, (group.min_id, group.max_id), unit);
                    }
                }
                Err(error) => self.fail(&segment, &error),
            },
            Unit::Group(segment, file, group) => {
                if let Err(error) = self.look_at_group(&segment, &file, group) {
                    self.fail(&segment, &error);
                }
            }
        }
    }

    fn fail(&mut self, segment: &Segment, error: &ParquetError) {
        self.whole = false;
        self.store.report_damage(segment, error);
    }

    fn look_at_hot(&mut self, chunk: Arc<HotChunk>) {
        self.scanned += chunk.events.len() as u64;
        let unit = self.units.len();
        let mut used = false;
        for (row, stored) in (0..).zip(chunk.events.iter()) {
            let time = stored.event.time.as_nanos();
            let key = self.sequence.key(time, stored.id.0);
            if self.plan.times.contains(&time)
                && self.is_wanted(key)
                && self.plan.matches(&stored.event)
            {
                self.insert(key, Place { unit, row });
                used = true;
            }
        }
        if used {
            self.units.push(Unit::Hot(chunk));
        }
    }

    fn look_at_group(
        &mut self,
        segment: &Arc<Segment>,
        file: &Arc<SegmentFile>,
        group: usize,
    ) -> Result<(), ParquetError> {
        let counters = &self.store.counters;
        let parts = self.plan.parts_of_group(file, group)?;
        if parts.is_empty() {
            counters.row_groups_skipped.fetch_add(1, Relaxed);
            return Ok(());
        }
        counters.row_groups_read.fetch_add(1, Relaxed);
        let mut reader = file.group(group);
        self.scanned += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let times = reader.numbers(Column::Time, Rows::All)?;
        let ids = reader.numbers(Column::Id, Rows::All)?;
        let keys: Vec<Key> = times
            .iter()
            .zip(&ids)
            .map(|(time, id)| self.sequence.key(*time, *id as u64))
            .collect();
        let candidates = parts
            .into_iter()
            .flatten()
            .filter(|row| {
                let row = *row as usize;
                self.plan.times.contains(&times[row]) && self.is_wanted(keys[row])
            })
            .collect();
        let mut rows: Vec<u32> = self.plan.preselect(&mut reader, candidates)?;
        let unit = self.units.len();
        let place = |row| Place { unit, row };
        // Best first, so that the rest can be left alone once enough is found.
        rows.sort_unstable_by_key(|row| keys[*row as usize]);
        let mut used = false;
        let slices = if self.plan.exact {
            vec![rows]
        } else {
            by_page(&rows)
        };
        for mut slice in slices {
            slice.retain(|row| self.is_wanted(keys[*row as usize]));
            if slice.is_empty() {
                break;
            }
            slice.sort_unstable();
            for row in self.plan.verify(&mut reader, &slice)? {
                used = true;
                self.insert(keys[row as usize], place(row));
            }
        }
        if used {
            self.units
                .push(Unit::Group(segment.clone(), file.clone(), group));
        }
        Ok(())
    }

    /// True when an event at `key` belongs to the listing and may be among the first.
    fn is_wanted(&self, key: Key) -> bool {
        self.after.is_none_or(|after| key > after)
            && (!self.overflowed
                || self
                    .found
                    .last_key_value()
                    .is_none_or(|(worst, _)| key < *worst))
    }

    fn insert(&mut self, key: Key, place: Place) {
        self.found.insert(key, place);
        if self.found.len() > self.limit {
            self.found.pop_last();
            self.overflowed = true;
        }
    }

    /// Reads the events found before `frontier`.
    fn page(mut self, frontier: Option<Key>) -> EventPage {
        if let Some(frontier) = frontier {
            self.store.counters.queries_cut.fetch_add(1, Relaxed);
            drop(self.found.split_off(&frontier));
        }
        let mut by_unit: BTreeMap<usize, Vec<(u32, Key)>> = BTreeMap::new();
        for (key, place) in &self.found {
            by_unit
                .entry(place.unit)
                .or_default()
                .push((place.row, *key));
        }
        let mut events = BTreeMap::new();
        for (unit, mut rows) in by_unit {
            rows.sort_unstable();
            match &self.units[unit] {
                Unit::Hot(chunk) => {
                    for (row, key) in rows {
                        if let Some(stored) = chunk.events.get(row as usize) {
                            events.insert(key, stored.clone());
                        }
                    }
                }
                Unit::Group(segment, file, group) => {
                    let indices: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
                    let mut reader: GroupReader = file.group(*group);
                    match read_events(&mut reader, &indices, ColumnSet::ALL) {
                        Ok(read) => {
                            events.extend(rows.iter().map(|(_, key)| *key).zip(read));
                        }
                        Err(error) => {
                            self.whole = false;
                            self.store.report_damage(segment, &error);
                        }
                    }
                }
                Unit::Segment(_) => {}
            }
        }
        let last = self.found.last_key_value().map(|(key, _)| *key);
        let more = self.overflowed || (self.found.len() >= self.limit && !self.waiting.is_empty());
        let next = match frontier {
            Some(frontier) => Some(self.sequence.cursor_at(frontier)),
            None if more => last.map(|key| self.cursor_of(key)),
            None => None,
        };
        EventPage {
            events: events.into_values().collect(),
            next,
            complete: frontier.is_none() && self.whole,
            scanned: self.scanned,
        }
    }

    fn cursor_of(&self, key: Key) -> PageCursor {
        let (time, id) = match self.sequence {
            Sequence::NewestFirst => (!key.0, !key.1),
            Sequence::OldestFirst | Sequence::ByNumber => (key.0, key.1),
        };
        PageCursor {
            time: Timestamp::from_nanos(time),
            id: EventId(id),
        }
    }
}

/// The rows of each page together, the pages in the order in which `rows` come to them.
fn by_page(rows: &[u32]) -> Vec<Vec<u32>> {
    let mut pages: Vec<(u32, Vec<u32>)> = Vec::new();
    for row in rows {
        let page = row / SLICE;
        // The newest page is mostly the one of the row before.
        match pages.iter_mut().rev().find(|(number, _)| *number == page) {
            Some((_, rows)) => rows.push(*row),
            None => pages.push((page, vec![*row])),
        }
    }
    pages.into_iter().map(|(_, rows)| rows).collect()
}
