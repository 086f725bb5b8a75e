//! Counting events: from the roll-ups where they can answer, else by reading within a budget.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use parquet::errors::Result as ParquetResult;
use qw_event::{Priority, RecordKind, StoredEvent, Timestamp};
use rustc_hash::FxHashMap;

use crate::{
    ContainerActivity, Facet, FacetQuery, FacetValue, Facets, Histogram, HistogramBucket,
    HistogramQuery, Kinds, QueryError, RuleActivity, TimeRange,
    embedded::{
        Embedded, View,
        format::{Column, ColumnSet},
        plan::{Plan, columns_of_field, number},
        rollup::{self, Cell, HOUR_MINUTES, MINUTE, Names},
        rows::{as_str, priority, read_events},
        scan::{Matched, Scanned},
        segment_reader::{GroupReader, Rows},
        totals::Totals,
    },
    query::{canonical_name, for_each_output_value, for_each_value},
};

/// A histogram has at most this many intervals with events.
const MAX_BUCKETS: usize = 100_000;
/// A facet counts at most this many different values apart; events with others go to `other`.
const MAX_VALUES: usize = 65_536;
/// A facet query asks for at most this many fields.
const MAX_FIELDS: usize = 32;

type RollUpSums = Arc<[rollup::Sum]>;

/// The sums asked for last of each kind: after how many commits, of which minutes.
pub(super) type NewestSums = Mutex<[Option<(u64, Range<i64>, RollUpSums)>; RecordKind::ALL.len()]>;

impl Embedded {
    pub(super) fn count_histogram(&self, query: &HistogramQuery) -> Result<Histogram, QueryError> {
        let step = i64::try_from(query.step.as_nanos()).unwrap_or(i64::MAX);
        if query.step < Duration::from_secs(1) {
            return Err(QueryError::Invalid(
                "the step is shorter than a second".to_owned(),
            ));
        }
        let range = widened(query.range, query.step);
        let view = self.view();
        let names = self.names();
        let plan = Plan::new(&query.filter, range, query.kinds, &names);
        let mut buckets = Buckets::new(step);
        let complete = if plan.exact && step % MINUTE == 0 {
            self.histogram_from_roll_ups(&plan, &names, &mut buckets, query.budget)?
        } else {
            let start = || Buckets::new(step);
            let count = |buckets: &mut Buckets, matched: Matched<'_>| {
                if buckets.full {
                    return Ok(true);
                }
                match matched {
                    Matched::Hot(_, events) => {
                        for stored in events {
                            let event = &stored.event;
                            buckets.add(event.time.as_nanos(), event.priority, 1);
                        }
                    }
                    Matched::Rows(reader, rows) => {
                        let rows = Rows::Some(rows);
                        let times = reader.numbers(Column::Time, rows)?;
                        let priorities = reader.priorities(rows)?;
                        for (time, number) in times.into_iter().zip(priorities) {
                            buckets.add(time, priority(number)?, 1);
                        }
                    }
                    Matched::Whole(..) => return Ok(false),
                }
                Ok(true)
            };
            let (parts, scanned) = self.scan(&view, &plan, query.budget, start, count);
            for part in parts {
                buckets.absorb(part);
            }
            scanned.complete
        };
        if buckets.full {
            return Err(QueryError::Invalid(format!(
                "there are more than {MAX_BUCKETS} intervals with events; ask for a longer step"
            )));
        }
        let buckets: Vec<HistogramBucket> = buckets
            .counts
            .into_iter()
            .map(|(start, by_priority)| HistogramBucket {
                start: Timestamp::from_nanos(start),
                by_priority,
            })
            .collect();
        let total = buckets.iter().map(HistogramBucket::total).sum();
        Ok(Histogram {
            buckets,
            total,
            complete,
        })
    }

    fn histogram_from_roll_ups(
        &self,
        plan: &Plan<'_>,
        names: &Names,
        buckets: &mut Buckets,
        budget: Duration,
    ) -> Result<bool, QueryError> {
        let started = Instant::now();
        let minutes = rollup::minute_of(plan.times.start)..minutes_up(plan.times.end);
        let complete = self.readers.read("read roll-ups", |connection| {
            for kind in plan.kinds.iter() {
                if plan.everything || plan.only_totals() {
                    rollup::totals(
                        connection,
                        kind,
                        &minutes,
                        |minute, priority, category, count| {
                            if plan.matches_rollup(kind, ("", ""), "", priority, category) {
                                buckets.add_minute(minute, priority, count);
                            }
                        },
                    )?;
                    continue;
                }
                let mut judge = RollUpJudge::new(plan, kind, names);
                let mut matching = Vec::new();
                rollup::counts(connection, kind, &minutes, |cell, count| {
                    if let Some(priority) = judge.priority_if_matching(cell) {
                        matching.push((cell, priority, count));
                    }
                })?;
                let whole = rollup::whole_hours(&minutes);
                let by_hour = buckets.step % (MINUTE * HOUR_MINUTES) == 0;
                for (cell, priority, count) in matching {
                    let hour = cell.minute.div_euclid(HOUR_MINUTES);
                    if by_hour || !whole.contains(&hour) {
                        buckets.add_minute(cell.minute, priority, count);
                        continue;
                    }
                    if started.elapsed() > budget {
                        return Ok(false);
                    }
                    rollup::minutes_of(connection, kind, hour, cell, |minute, count| {
                        buckets.add_minute(minute, priority, count);
                    })?;
                }
            }
            Ok(true)
        })?;
        Ok(complete)
    }

    pub(super) fn count_facets(&self, query: &FacetQuery) -> Result<Facets, QueryError> {
        if query.fields.len() > MAX_FIELDS {
            return Err(QueryError::Invalid(format!(
                "more than {MAX_FIELDS} fields"
            )));
        }
        let started = Instant::now();
        let view = self.view();
        let names = self.names();
        let plan = Plan::new(&query.filter, query.range, query.kinds, &names);
        let mut counts: Vec<FieldCount> = query
            .fields
            .iter()
            .map(|field| FieldCount::new(field))
            .collect();
        let mut result = Facets {
            facets: Vec::new(),
            complete: true,
            scanned: 0,
        };
        let minutes = minutes_within(&plan.times);
        let (mut rolled, mut read): (Vec<_>, Vec<_>) = counts.iter_mut().partition(|count| {
            plan.exact && count.dimension.is_some() && minutes.start < minutes.end
        });
        if !rolled.is_empty() {
            result.scanned += self.facets_from_roll_ups(&plan, &names, &minutes, &mut rolled)?;
            // What the minutes leave over at either end is read.
            let start = minutes.start.saturating_mul(MINUTE);
            let end = minutes.end.saturating_mul(MINUTE);
            for times in [plan.times.start..start, end..plan.times.end] {
                if times.start < times.end {
                    let (start, end) = (
                        Timestamp::from_nanos(times.start),
                        Timestamp::from_nanos(times.end),
                    );
                    let range = TimeRange { start, end };
                    let edge = Plan::new(&query.filter, range, query.kinds, &names);
                    let scanned = self.scan_facets(&view, &edge, query.budget, &mut rolled);
                    result.complete &= scanned.complete;
                    result.scanned += scanned.events;
                }
            }
        }
        if !read.is_empty() {
            let budget = query.budget.saturating_sub(started.elapsed());
            let scanned = self.scan_facets(&view, &plan, budget, &mut read);
            result.complete &= scanned.complete;
            result.scanned = result.scanned.max(scanned.events);
        }
        result.facets = counts
            .into_iter()
            .map(|count| count.finish(query.limit))
            .collect();
        Ok(result)
    }

    fn scan_facets(
        &self,
        view: &View,
        plan: &Plan<'_>,
        budget: Duration,
        counts: &mut [&mut FieldCount],
    ) -> Scanned {
        let fields: Vec<String> = counts.iter().map(|count| count.field.clone()).collect();
        let start = || -> Vec<FieldCount> {
            let fields = fields.iter();
            fields.map(|field| FieldCount::new(field)).collect()
        };
        let (parts, scanned) = self.scan(view, plan, budget, start, |counts, matched| {
            count_fields(counts, matched, &self.totals)
        });
        for part in parts {
            for (count, part) in counts.iter_mut().zip(part) {
                count.absorb(part);
            }
        }
        scanned
    }

    fn facets_from_roll_ups(
        &self,
        plan: &Plan<'_>,
        names: &Names,
        minutes: &Range<i64>,
        counts: &mut [&mut FieldCount],
    ) -> Result<u64, QueryError> {
        let mut total = 0;
        for kind in plan.kinds.iter() {
            total += self.facets_of_kind(plan, kind, names, minutes, counts)?;
        }
        Ok(total)
    }

    fn facets_of_kind(
        &self,
        plan: &Plan<'_>,
        kind: RecordKind,
        names: &Names,
        minutes: &Range<i64>,
        counts: &mut [&mut FieldCount],
    ) -> Result<u64, QueryError> {
        let mut judge = RollUpJudge::new(plan, kind, names);
        let mut total = 0;
        let sums = self.roll_up_sums(minutes, kind)?;
        for ((container, rule, priority), count) in sums.iter().copied() {
            let cell = Cell {
                minute: minutes.start,
                container,
                rule,
                priority,
            };
            if judge.priority_if_matching(cell).is_none() {
                continue;
            }
            total += count;
            let (Some(container), Some(rule)) =
                (names.containers.get(&container), names.rules.get(&rule))
            else {
                continue;
            };
            for field in counts.iter_mut().filter(|field| field.kinds.contains(kind)) {
                let value: &str = match field.dimension {
                    Some(Dimension::Kind) => kind.as_str(),
                    Some(Dimension::Rule) => &rule.rule,
                    Some(Dimension::Category) => rule.category.as_str(),
                    Some(Dimension::Priority) => {
                        Priority::from_number(priority).map_or("", Priority::as_str)
                    }
                    Some(Dimension::ContainerId) => &container.id,
                    Some(Dimension::ContainerName) => &container.name,
                    None => "",
                };
                if !value.is_empty() {
                    field.add(value, count);
                }
            }
        }
        Ok(total)
    }

    /// Sums over `minutes`, remembered until something is written: several questions about the same
    /// range come together.
    fn roll_up_sums(
        &self,
        minutes: &Range<i64>,
        kind: RecordKind,
    ) -> Result<RollUpSums, QueryError> {
        // Read before the roll-ups: what is written meanwhile makes the memory old, never wrong.
        let commits = self.counters.commits();
        {
            let newest = self.sums.lock();
            if let Some((at, range, sums)) = &newest[kind as usize]
                && *at == commits
                && range == minutes
            {
                return Ok(Arc::clone(sums));
            }
        }
        let sums = self.readers.read("read roll-ups", |connection| {
            rollup::sums(connection, kind, minutes)
        })?;
        let sums: RollUpSums = sums.into();
        self.sums.lock()[kind as usize] = Some((commits, minutes.clone(), Arc::clone(&sums)));
        Ok(sums)
    }

    pub(super) fn count_containers(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        let names = self.names();
        let minutes = rollup::minute_of(range.start.as_nanos())..minutes_up(range.end.as_nanos());
        let mut sums: BTreeMap<u32, [u64; 8]> = BTreeMap::new();
        for kind in kinds.iter() {
            let counts = self.roll_up_sums(&minutes, kind)?;
            for ((container, _, priority), count) in counts.iter().copied() {
                let by_priority = sums.entry(container).or_default();
                if let Some(sum) = by_priority.get_mut(usize::from(priority)) {
                    *sum += count;
                }
            }
        }
        let rows = self.readers.read("read roll-ups", rollup::containers)?;
        // A container may have had several names; they count as one, under the latest.
        let mut merged: BTreeMap<(Arc<str>, Arc<str>), ContainerActivity> = BTreeMap::new();
        for (number, by_priority) in sums {
            let (Some(name), Some(row)) = (names.containers.get(&number), rows.get(&number)) else {
                continue;
            };
            let nameless = if name.id.is_empty() {
                name.name.clone()
            } else {
                Arc::default()
            };
            let times = || kinds.iter().map(|kind| row.times[kind as usize]);
            let first = times().map(|(first, _)| first).min().unwrap_or(i64::MAX);
            let last = times().map(|(_, last)| last).max().unwrap_or(i64::MIN);
            let activity = ContainerActivity {
                container_id: name.id.clone(),
                container_name: name.name.clone(),
                image: row.image.clone(),
                by_priority,
                first_event: Timestamp::from_nanos(first),
                last_event: Timestamp::from_nanos(last),
            };
            match merged.entry((name.id.clone(), nameless)) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(activity);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    join(entry.get_mut(), activity);
                }
            }
        }
        let mut activities: Vec<ContainerActivity> = merged.into_values().collect();
        activities.sort_by(|left, right| {
            let key = |activity: &ContainerActivity| std::cmp::Reverse(activity.last_event);
            key(left)
                .cmp(&key(right))
                .then_with(|| left.container_id.cmp(&right.container_id))
        });
        Ok(activities)
    }

    pub(super) fn count_rules(
        &self,
        range: TimeRange,
        kinds: Kinds,
    ) -> Result<Vec<RuleActivity>, QueryError> {
        let names = self.names();
        let minutes = rollup::minute_of(range.start.as_nanos())..minutes_up(range.end.as_nanos());
        let mut sums: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        for kind in kinds.iter() {
            let counts = self.roll_up_sums(&minutes, kind)?;
            for ((_, rule, priority), count) in counts.iter().copied() {
                *sums.entry((rule, priority)).or_default() += count;
            }
        }
        let mut activities: Vec<RuleActivity> = sums
            .into_iter()
            .filter_map(|((rule, priority), count)| {
                let name = names.rules.get(&rule)?;
                Some(RuleActivity {
                    rule: name.rule.clone(),
                    priority: Priority::from_number(priority)?,
                    category: name.category,
                    count,
                })
            })
            .collect();
        activities.sort_by(|left, right| {
            right
                .count
                .cmp(&left.count)
                .then_with(|| left.rule.cmp(&right.rule))
        });
        Ok(activities)
    }
}

fn join(into: &mut ContainerActivity, other: ContainerActivity) {
    for (sum, count) in into.by_priority.iter_mut().zip(other.by_priority) {
        *sum += count;
    }
    let first_event = into.first_event.min(other.first_event);
    if other.last_event > into.last_event {
        let by_priority = into.by_priority;
        *into = ContainerActivity {
            by_priority,
            ..other
        };
    }
    into.first_event = first_event;
}

/// The range widened outward to whole steps counted from the epoch.
fn widened(range: TimeRange, step: Duration) -> TimeRange {
    let end = range.end.floor_to(step);
    TimeRange {
        start: range.start.floor_to(step),
        end: if end == range.end {
            end
        } else {
            end.saturating_add(step)
        },
    }
}

/// The first minute that begins at `nanos` or later.
fn minutes_up(nanos: i64) -> i64 {
    let minute = rollup::minute_of(nanos);
    if minute.saturating_mul(MINUTE) == nanos {
        minute
    } else {
        minute + 1
    }
}

/// The minutes that lie in a range as a whole.
fn minutes_within(times: &Range<i64>) -> Range<i64> {
    minutes_up(times.start)..rollup::minute_of(times.end)
}

/// Counts by interval and priority.
struct Buckets {
    /// Nanoseconds.
    step: i64,
    counts: BTreeMap<i64, [u64; 8]>,
    full: bool,
}

impl Buckets {
    fn new(step: i64) -> Self {
        Self {
            step,
            counts: BTreeMap::new(),
            full: false,
        }
    }

    fn absorb(&mut self, other: Self) {
        self.full |= other.full;
        for (start, by_priority) in other.counts {
            for (priority, count) in Priority::ALL.into_iter().zip(by_priority) {
                self.add(start, priority, count);
            }
        }
    }

    fn add(&mut self, time: i64, priority: Priority, count: u64) {
        let start = time.saturating_sub(time.rem_euclid(self.step));
        if self.counts.len() >= MAX_BUCKETS && !self.counts.contains_key(&start) {
            self.full = true;
            return;
        }
        let by_priority = self.counts.entry(start).or_default();
        if let Some(sum) = by_priority.get_mut(usize::from(priority.as_number())) {
            *sum += count;
        }
    }

    fn add_minute(&mut self, minute: i64, priority: Priority, count: u64) {
        self.add(minute.saturating_mul(MINUTE), priority, count);
    }
}

/// Judges roll-ups, each combination once.
struct RollUpJudge<'a> {
    plan: &'a Plan<'a>,
    kind: RecordKind,
    names: &'a Names,
    verdicts: FxHashMap<(u32, u32, u8), Option<Priority>>,
}

impl<'a> RollUpJudge<'a> {
    fn new(plan: &'a Plan<'a>, kind: RecordKind, names: &'a Names) -> Self {
        Self {
            plan,
            kind,
            names,
            verdicts: FxHashMap::default(),
        }
    }

    /// The priority of a roll-up that matches.
    fn priority_if_matching(&mut self, cell: Cell) -> Option<Priority> {
        if self.plan.everything {
            return Priority::from_number(cell.priority);
        }
        *self
            .verdicts
            .entry((cell.container, cell.rule, cell.priority))
            .or_insert_with(|| {
                let container = self.names.containers.get(&cell.container)?;
                let rule = self.names.rules.get(&cell.rule)?;
                let priority = Priority::from_number(cell.priority)?;
                let container = (&*container.id, &*container.name);
                self.plan
                    .matches_rollup(self.kind, container, &rule.rule, priority, rule.category)
                    .then_some(priority)
            })
    }
}

/// A field that roll-ups count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Kind,
    Rule,
    Priority,
    Category,
    ContainerId,
    ContainerName,
}

/// The values of one field being counted.
struct FieldCount {
    field: String,
    dimension: Option<Dimension>,
    /// Records of other kinds have no such field.
    kinds: Kinds,
    /// What holds it in an event.
    columns: ColumnSet,
    values: FxHashMap<String, u64>,
    /// Events with values beyond those counted apart.
    folded: u64,
}

impl FieldCount {
    fn new(field: &str) -> Self {
        let name = canonical_name(field);
        let dimension = match name {
            "kind" => Some(Dimension::Kind),
            "rule" | "severity_text" => Some(Dimension::Rule),
            "priority" => Some(Dimension::Priority),
            "category" => Some(Dimension::Category),
            "container.id" => Some(Dimension::ContainerId),
            "container.name" => Some(Dimension::ContainerName),
            _ => None,
        };
        Self {
            field: field.to_owned(),
            dimension,
            kinds: match name {
                "severity_text" => Kinds::LOGS,
                _ => Kinds::ALL,
            },
            columns: columns_of_field(field),
            values: FxHashMap::default(),
            folded: 0,
        }
    }

    fn add(&mut self, value: &str, count: u64) {
        if let Some(sum) = self.values.get_mut(value) {
            *sum += count;
        } else if self.values.len() < MAX_VALUES {
            self.values.insert(value.to_owned(), count);
        } else {
            self.folded += count;
        }
    }

    fn absorb(&mut self, other: Self) {
        self.folded += other.folded;
        let mut values: Vec<_> = other.values.into_iter().collect();
        values.sort_unstable();
        for (value, count) in values {
            self.add(&value, count);
        }
    }

    /// True when the field is looked for in `output_fields`, and in the text of a line.
    fn is_within(&self) -> bool {
        self.columns == ColumnSet::of(&[Column::OutputFields])
    }

    /// The column of few different values that holds the field's values as they are, if there is
    /// one.
    fn narrow_column(&self) -> Option<Column> {
        Column::ALL.into_iter().find(|column| {
            self.columns == ColumnSet::of(&[*column])
                && !matches!(
                    column,
                    Column::Id
                        | Column::Time
                        | Column::Tags
                        | Column::Output
                        | Column::OutputFields
                )
        })
    }

    fn finish(self, limit: usize) -> Facet {
        let mut values: Vec<FacetValue> = self
            .values
            .into_iter()
            .map(|(value, count)| FacetValue { value, count })
            .collect();
        values.sort_unstable_by(|left, right| {
            right
                .count
                .cmp(&left.count)
                .then_with(|| left.value.cmp(&right.value))
        });
        let rest = values.split_off(limit.min(values.len()));
        let other = self.folded + rest.iter().map(|value| value.count).sum::<u64>();
        Facet {
            field: self.field,
            values,
            other,
        }
    }
}

/// Counts the values of what matched; false when a segment is to be read row by row.
fn count_fields(
    counts: &mut [FieldCount],
    matched: Matched<'_>,
    totals: &Totals,
) -> ParquetResult<bool> {
    let kind = match &matched {
        Matched::Hot(kind, _) => *kind,
        Matched::Whole(segment, _) => segment.row.kind,
        Matched::Rows(reader, _) => reader.kind(),
    };
    let applies = |count: &&mut FieldCount| count.kinds.contains(kind);
    match matched {
        Matched::Hot(_, events) => {
            for stored in events {
                for count in counts.iter_mut().filter(applies) {
                    count_event(count, stored);
                }
            }
        }
        Matched::Whole(segment, file) => {
            let mut found = Vec::with_capacity(counts.len());
            for count in counts.iter() {
                found.push(match (count.dimension, count.narrow_column()) {
                    (Some(Dimension::Kind), _) => None,
                    (_, Some(column)) => match totals.of(segment, file, column)? {
                        Some(counts) => Some(counts),
                        None => return Ok(false),
                    },
                    (_, None) => return Ok(false),
                });
            }
            for (count, values) in counts.iter_mut().zip(found) {
                if !count.kinds.contains(kind) {
                    continue;
                }
                match values {
                    Some(values) => values
                        .iter()
                        .for_each(|(value, sum)| count.add(value, *sum)),
                    None => count.add(kind.as_str(), segment.row.count),
                }
            }
        }
        Matched::Rows(reader, rows) => {
            let mut others = ColumnSet::default();
            for count in counts.iter_mut().filter(applies) {
                if count.dimension == Some(Dimension::Kind) {
                    if !rows.is_empty() {
                        count.add(kind.as_str(), rows.len() as u64);
                    }
                } else if let Some(column) = count.narrow_column() {
                    count_column(count, reader, column, rows)?;
                } else if count.is_within() && kind == RecordKind::Event {
                    for json in reader.texts(Column::OutputFields, Rows::Some(rows))? {
                        let field = std::mem::take(&mut count.field);
                        for_each_output_value(as_str(&json)?, &field, &mut |value| {
                            count.add(value, 1);
                        });
                        count.field = field;
                    }
                } else {
                    others = others.union(count.columns);
                    if count.is_within() {
                        others = others.with(Column::Output);
                    }
                }
            }
            if !others.is_empty() {
                for slice in rows.chunks(1024) {
                    for stored in read_events(reader, slice, others)? {
                        for count in counts.iter_mut().filter(applies) {
                            let is_counted = count.dimension == Some(Dimension::Kind)
                                || count.narrow_column().is_some()
                                || count.is_within() && kind == RecordKind::Event;
                            if !is_counted {
                                count_event(count, &stored);
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(true)
}

fn count_column(
    count: &mut FieldCount,
    reader: &mut GroupReader,
    column: Column,
    rows: &[u32],
) -> ParquetResult<()> {
    let codes = reader.codes(column)?;
    let all = rows.len() == codes.rows.len();
    let counts = codes.counts((!all).then_some(rows));
    let mut sums: Vec<_> = codes
        .values
        .iter()
        .zip(counts)
        .filter(|(value, sum)| *sum > 0 && !value.is_empty())
        .collect();
    sums.sort_unstable_by_key(|(value, _)| value.data());
    for (value, sum) in sums {
        match column {
            Column::Priority => count.add(priority(number(value)?)?.as_str(), sum),
            _ => count.add(as_str(value)?, sum),
        }
    }
    Ok(())
}

fn count_event(count: &mut FieldCount, stored: &StoredEvent) {
    let field = std::mem::take(&mut count.field);
    for_each_value(&stored.event, &field, &mut |value| count.add(value, 1));
    count.field = field;
}
