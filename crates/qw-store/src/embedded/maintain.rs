//! Upkeep: sealing the hot tail, merging segments, dropping what retention has outlived.
//!
//! Files are written while appends and queries go on; only the swap of catalogue rows excludes
//! appends. Nothing is removed that a query still reads.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use parquet::errors::{ParquetError, Result as ParquetResult};
use qw_event::{RecordKind, StoredEvent, Timestamp};
use rusqlite::Connection;

use crate::{
    Maintenance, Retention, StoreError,
    embedded::{
        Embedded,
        catalogue::{self, SegmentRow},
        format::{Column, ColumnSet},
        rollup::{self, Cell, Tally, minute_of},
        rows::{address, as_str, category, priority, read_events},
        segment::{Bounds, NewSegment, Segment, union},
        segment_reader::{Rows, SegmentFile},
    },
};

/// Segments are merged when at least this many can be.
const MERGE_AT_LEAST: usize = 4;
/// Segments merged into one at most.
const MERGE_AT_MOST: usize = 256;
/// Bytes of plain text merged by writing anew at most, which bounds the memory.
const REWRITE_BYTES: u64 = 48 << 20;

impl Embedded {
    pub(super) fn run_maintenance(
        &self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Maintenance, StoreError> {
        let mut done = Maintenance::default();
        for kind in RecordKind::ALL {
            if self.hot_is_due(kind, now, retention) {
                done.sealed += self.seal_kind(kind)?;
            }
        }
        let _compaction = self.compaction.lock();
        self.apply_retention(now, retention, &mut done)?;
        for kind in RecordKind::ALL {
            while let Some(group) = self.next_merge(kind) {
                let merged = group.segments().len() as u64;
                self.merge(kind, &group)?;
                done.compacted += merged;
                self.counters.segments_compacted.fetch_add(merged, Relaxed);
            }
        }
        Ok(done)
    }

    fn hot_is_due(&self, kind: RecordKind, now: Timestamp, retention: &Retention) -> bool {
        let seal_age = self.options.seal_age;
        let max_age = retention
            .max_age(kind)
            .map_or(seal_age, |age| age.min(seal_age));
        let view = self.view.read();
        let hot = view.hot.iter().filter(|chunk| chunk.kind == kind);
        let oldest = hot.map(|chunk| chunk.min_time).min();
        view.hot_events[kind as usize] >= self.options.seal_events
            || view.hot_bytes[kind as usize] >= self.options.seal_bytes
            || oldest.is_some_and(|oldest| now.since(Timestamp::from_nanos(oldest)) > max_age)
    }

    /// Writes the whole hot tail to segments; the number of segments written.
    #[cfg(test)]
    pub(super) fn seal(&self) -> Result<u64, StoreError> {
        let mut sealed = 0;
        for kind in RecordKind::ALL {
            sealed += self.seal_kind(kind)?;
        }
        Ok(sealed)
    }

    /// Writes what is hot of `kind` to a segment; the number of segments written.
    pub(super) fn seal_kind(&self, kind: RecordKind) -> Result<u64, StoreError> {
        let _sealing = self.sealing.lock();
        let mut hot = self.view.read().hot.clone();
        hot.retain(|chunk| chunk.kind == kind);
        let Some(last_id) = hot.last().map(|chunk| chunk.last_id()) else {
            return Ok(0);
        };
        let mut events: Vec<&StoredEvent> =
            hot.iter().flat_map(|chunk| chunk.events.iter()).collect();
        events.sort_by_key(|stored| (stored.event.time, stored.id));
        let mut groups = 0;
        let segment = self.write_segment(kind, |writer| {
            writer.write(&events, self.options.group_rows)?;
            groups = writer.groups();
            Ok(())
        })?;
        let bounds = Bounds::of(events.iter().copied());
        let age_time = hot.iter().map(|chunk| chunk.age_time).max();
        let age_time = age_time.unwrap_or_default();
        self.swap(
            "seal events",
            &[],
            Some(last_id),
            segment,
            |connection, segment| {
                // Every container and rule has had its number since the events were appended.
                let events = events.iter().copied();
                let (tallies, _) = rollup::count(connection, &self.names(), events)?;
                catalogue::delete_hot_through(connection, kind, last_id)?;
                Ok(segment.row(bounds, age_time, groups, &tallies[kind as usize]))
            },
        )?;
        self.counters.segments_sealed.fetch_add(1, Relaxed);
        Ok(1)
    }

    /// Puts `segment` in the place of `old` segments or of what is hot of its kind through
    /// `hot_through`, in the catalogue and then for readers.
    fn swap(
        &self,
        doing: &'static str,
        old: &[Arc<Segment>],
        hot_through: Option<u64>,
        segment: NewSegment,
        describe: impl FnOnce(&Connection, &NewSegment) -> rusqlite::Result<SegmentRow>,
    ) -> Result<(), StoreError> {
        let change = |connection: &Connection| {
            let row = describe(connection, &segment)?;
            for segment in old {
                catalogue::delete_segment(connection, segment.row.file)?;
            }
            catalogue::insert_segment(connection, &row)?;
            Ok(row)
        };
        let result = self.transact(
            doing,
            |connection| {
                change(connection).map_err(|source| StoreError::Catalogue { doing, source })
            },
            |row| {
                let added = self.segment(row);
                let mut view = self.view.write();
                view.replace_segments(old, Some(added));
                if let Some(last_id) = hot_through {
                    view.drop_hot_through(segment.kind, last_id);
                }
            },
        );
        match result {
            Ok(()) => self.retire(old),
            Err(_) => self.orphan(segment.path.clone()),
        }
        result
    }

    /// Lets the files of segments go that the catalogue no longer names.
    fn retire(&self, segments: &[Arc<Segment>]) {
        for segment in segments {
            segment.make_obsolete();
            self.cache.close(segment.row.file);
            self.totals.forget(segment.row.file);
        }
    }

    /// The next segments of `kind` to merge into one, in order of time.
    fn next_merge(&self, kind: RecordKind) -> Option<Merge> {
        let view = self.view();
        let mut segments: Vec<&Arc<Segment>> = view
            .segments
            .iter()
            .filter(|segment| segment.row.kind == kind && !segment.damaged.load(Relaxed))
            .collect();
        segments.sort_by_key(|segment| (segment.row.min_time, segment.row.file));
        // Row groups half full on average are copied; emptier ones are worth writing anew.
        let dense_rows = (self.options.group_rows / 2) as u64;
        let (dense, sparse): (Vec<_>, Vec<_>) = segments.into_iter().partition(|segment| {
            segment.row.count >= dense_rows * u64::from(segment.row.row_groups)
        });
        let sparse = sparse.into_iter().filter_map(|segment| {
            let file = self.cache.open(segment);
            let file = file
                .inspect_err(|error| self.report_damage(segment, error))
                .ok()?;
            Some((segment, file.plain_bytes()))
        });
        let sparse = self
            .run(sparse, 2 * self.options.group_rows as u64, REWRITE_BYTES)
            .map(Merge::Rewrite);
        sparse.or_else(|| {
            let dense = dense.into_iter().map(|segment| (segment, 0));
            self.run(dense, self.options.segment_events, u64::MAX)
                .map(Merge::Splice)
        })
    }

    /// The first run of neighbours that is worth merging: enough of them, small enough together,
    /// and the largest no larger than the others, so that no event is copied often.
    fn run<'a>(
        &self,
        segments: impl Iterator<Item = (&'a Arc<Segment>, u64)>,
        max_events: u64,
        max_bytes: u64,
    ) -> Option<Vec<Arc<Segment>>> {
        let span = i64::try_from(self.options.segment_span.as_nanos()).unwrap_or(i64::MAX);
        let fits = |run: &[(Arc<Segment>, u64)]| {
            let rows = || run.iter().map(|(segment, _)| &segment.row);
            let start = rows().map(|row| row.min_time).min().unwrap_or_default();
            // A single event from far in the future is no reason to leave a segment alone.
            let end = rows().map(|row| row.age_time).max().unwrap_or_default();
            run.len() <= MERGE_AT_MOST
                && rows().map(|row| row.count).sum::<u64>() <= max_events
                && run.iter().map(|(_, size)| size).sum::<u64>() <= max_bytes
                && end.saturating_sub(start) <= span
        };
        let is_worth = |run: &[(Arc<Segment>, u64)]| {
            let counts = || run.iter().map(|(segment, _)| segment.row.count);
            let (sum, largest) = (counts().sum::<u64>(), counts().max().unwrap_or(0));
            run.len() >= MERGE_AT_LEAST && sum - largest >= largest
        };
        let worthy = |run: &[(Arc<Segment>, u64)]| {
            let start = (0..run.len()).find(|start| is_worth(&run[*start..]))?;
            Some(
                run[start..]
                    .iter()
                    .map(|(segment, _)| Arc::clone(segment))
                    .collect(),
            )
        };
        let mut run: Vec<(Arc<Segment>, u64)> = Vec::new();
        for (segment, size) in segments {
            run.push((Arc::clone(segment), size));
            if fits(&run) {
                continue;
            }
            if let Some(found) = worthy(&run[..run.len() - 1]) {
                return Some(found);
            }
            while !fits(&run) && !run.is_empty() {
                run.remove(0);
            }
        }
        worthy(&run)
    }

    fn merge(&self, kind: RecordKind, merge: &Merge) -> Result<(), StoreError> {
        let old = merge.segments();
        let mut groups = 0;
        let segment = match merge {
            Merge::Splice(_) => {
                let mut sources = Vec::with_capacity(old.len());
                for segment in old {
                    let read = self.read(segment, |file| file.metadata())?;
                    sources.push((self.read(segment, |file| Ok(Arc::clone(file)))?, read));
                }
                let mut failed = None;
                let written = self.write_segment(kind, |writer| {
                    for ((file, metadata), segment) in sources.iter().zip(old) {
                        for group in 0..file.groups().len() {
                            let copied = writer.splice(file, metadata, group);
                            copied.inspect_err(|error| failed = Some(failure(segment, error)))?;
                        }
                    }
                    groups = writer.groups();
                    Ok(())
                });
                match (written, failed.flatten()) {
                    (Err(_), Some((segment, error))) => {
                        self.report_damage(segment, &error);
                        return Err(segment.error(&error));
                    }
                    (written, _) => written?,
                }
            }
            Merge::Rewrite(_) => {
                let mut events = Vec::new();
                for segment in old {
                    self.read(segment, |file| {
                        for (index, group) in file.groups().iter().enumerate() {
                            let rows: Vec<u32> = (0..group.rows).collect();
                            let mut reader = file.group(index);
                            events.extend(read_events(&mut reader, &rows, ColumnSet::ALL)?);
                        }
                        Ok(())
                    })?;
                }
                let mut sorted: Vec<&StoredEvent> = events.iter().collect();
                sorted.sort_by_key(|stored| (stored.event.time, stored.id));
                self.write_segment(kind, |writer| {
                    writer.write(&sorted, self.options.group_rows)?;
                    groups = writer.groups();
                    Ok(())
                })?
            }
        };
        self.swap("merge segments", old, None, segment, |_, segment| {
            Ok(merged_row(old, segment, groups))
        })
    }

    /// Reads from a segment; a failure marks it as damaged.
    fn read<T>(
        &self,
        segment: &Segment,
        read: impl FnOnce(&Arc<SegmentFile>) -> ParquetResult<T>,
    ) -> Result<T, StoreError> {
        self.cache
            .open(segment)
            .and_then(|file| read(&file))
            .map_err(|error| {
                self.report_damage(segment, &error);
                segment.error(&error)
            })
    }

    fn apply_retention(
        &self,
        now: Timestamp,
        retention: &Retention,
        done: &mut Maintenance,
    ) -> Result<(), StoreError> {
        let mut cutoffs = [None; RecordKind::ALL.len()];
        let before = done.dropped_segments;
        for kind in RecordKind::ALL {
            let cutoff = retention
                .max_age(kind)
                .map(|age| now.saturating_sub(age).as_nanos());
            cutoffs[kind as usize] = cutoff;
            let max_size = retention.max_size_bytes(kind);
            self.drop_outlived(kind, cutoff, max_size, done)?;
        }
        if done.dropped_segments > before {
            self.forget(now, cutoffs)?;
        }
        Ok(())
    }

    /// Drops the segments of `kind` that are older than `cutoff`, and the oldest ones that are too
    /// much.
    fn drop_outlived(
        &self,
        kind: RecordKind,
        cutoff: Option<i64>,
        max_size: Option<u64>,
        done: &mut Maintenance,
    ) -> Result<(), StoreError> {
        let view = self.view();
        let segments = view.segments.iter();
        let mut segments: Vec<Arc<Segment>> = segments
            .filter(|segment| segment.row.kind == kind)
            .cloned()
            .collect();
        drop(view);
        segments.sort_by_key(|segment| (segment.row.age_time, segment.row.file));
        let mut bytes = segments
            .iter()
            .map(|segment| segment.row.bytes)
            .sum::<u64>();
        if max_size.is_some() && kind == RecordKind::Event {
            bytes += self.catalogue_bytes();
        }
        for segment in segments {
            let too_old = cutoff.is_some_and(|cutoff| segment.row.age_time < cutoff);
            let too_much = max_size.is_some_and(|max| bytes > max);
            if !too_old && !too_much {
                break;
            }
            self.drop_segment(&segment)?;
            bytes = bytes.saturating_sub(segment.row.bytes);
            done.dropped_segments += 1;
            done.dropped_events += segment.row.count;
            self.counters.segments_dropped.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Removes a segment and takes its events off the roll-ups.
    fn drop_segment(&self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        // What cannot be read cannot be uncounted; its minutes go with `forget`.
        let tally = self
            .read(segment, |file| self.tally(file))
            .unwrap_or_default();
        let doing = "drop a segment";
        let old = std::slice::from_ref(segment);
        self.transact(
            doing,
            |connection| {
                catalogue::delete_segment(connection, segment.row.file)
                    .and_then(|()| rollup::subtract(connection, segment.row.kind, &tally))
                    .map_err(|source| StoreError::Catalogue { doing, source })
            },
            |()| self.view.write().replace_segments(old, None),
        )?;
        self.retire(old);
        Ok(())
    }

    /// Counts the events of a segment as [`rollup::count`] did when they were appended.
    fn tally(&self, file: &Arc<SegmentFile>) -> ParquetResult<Tally> {
        let names = self.names();
        let mut tally = Tally::default();
        let mut containers = rustc_hash::FxHashMap::default();
        let mut rules = rustc_hash::FxHashMap::default();
        for group in 0..file.groups().len() {
            containers.clear();
            rules.clear();
            let mut reader = file.group(group);
            let times = reader.numbers(Column::Time, Rows::All)?;
            let priorities = reader.priorities(Rows::All)?;
            let categories = reader.texts(Column::Category, Rows::All)?;
            let ids = reader.texts(Column::ContainerId, Rows::All)?;
            let container_names = reader.texts(Column::ContainerName, Rows::All)?;
            let rule_names = reader.texts(Column::Rule, Rows::All)?;
            for (row, time) in times.into_iter().enumerate() {
                let (id, name) = (&ids[row], &container_names[row]);
                let container = match containers.get(&(address(id), address(name))) {
                    Some(container) => *container,
                    None => {
                        let number = names.container_number(as_str(id)?, as_str(name)?);
                        containers.insert((address(id), address(name)), number);
                        number
                    }
                };
                let (rule_name, category_text) = (&rule_names[row], &categories[row]);
                let category = category(category_text)?;
                let key = (address(rule_name), category);
                let rule = match rules.get(&key) {
                    Some(rule) => *rule,
                    None => {
                        let number = names.rule_number(as_str(rule_name)?, category);
                        rules.insert(key, number);
                        number
                    }
                };
                if let (Some(container), Some(rule)) = (container, rule) {
                    let priority = priority(priorities[row])?.as_number();
                    let minute = minute_of(time);
                    tally.add(
                        Cell {
                            minute,
                            container,
                            rule,
                            priority,
                        },
                        category,
                    );
                }
            }
        }
        Ok(tally)
    }

    /// Forgets what is only known of records that are gone; `cutoffs` by kind.
    fn forget(
        &self,
        now: Timestamp,
        cutoffs: [Option<i64>; RecordKind::ALL.len()],
    ) -> Result<(), StoreError> {
        let view = self.view();
        let before = RecordKind::ALL.map(|kind| {
            let hot = view.hot.iter().filter(|chunk| chunk.kind == kind);
            let segments = view.segments.iter();
            let segments = segments.filter(|segment| segment.row.kind == kind);
            let oldest = hot
                .map(|chunk| chunk.min_time)
                .chain(segments.map(|segment| segment.row.min_time))
                .min();
            match (oldest, cutoffs[kind as usize]) {
                (Some(oldest), Some(cutoff)) => Some(oldest.min(cutoff)),
                (Some(time), None) | (None, Some(time)) => Some(time),
                (None, None) => None,
            }
        });
        let doing = "forget what was dropped";
        self.transact(
            doing,
            |connection| {
                let forget = || {
                    for (kind, before) in RecordKind::ALL.into_iter().zip(before) {
                        if let Some(before) = before {
                            rollup::forget_before(connection, kind, before)?;
                        }
                    }
                    let before = before.map(|before| before.unwrap_or(i64::MIN));
                    rollup::forget_containers(connection, before, now.as_nanos())
                };
                forget().map_err(|source| StoreError::Catalogue { doing, source })
            },
            |numbers| {
                if !numbers.is_empty() {
                    Arc::make_mut(&mut *self.names.write()).remove_containers(&numbers);
                }
            },
        )
    }
}

/// The segment that is to blame for an error while it was copied, unless the disk is.
fn failure<'a>(segment: &'a Segment, error: &ParquetError) -> Option<(&'a Segment, ParquetError)> {
    match error {
        ParquetError::External(_) => None,
        error => Some((segment, ParquetError::General(error.to_string()))),
    }
}

/// Segments to be made one.
enum Merge {
    /// By copying their row groups.
    Splice(Vec<Arc<Segment>>),
    /// By sorting their events and writing them anew.
    Rewrite(Vec<Arc<Segment>>),
}

impl Merge {
    fn segments(&self) -> &[Arc<Segment>] {
        match self {
            Self::Splice(segments) | Self::Rewrite(segments) => segments,
        }
    }
}

fn merged_row(old: &[Arc<Segment>], new: &NewSegment, row_groups: u32) -> SegmentRow {
    let rows = || old.iter().map(|segment| &segment.row);
    let first = &old[0].row;
    let (containers, rules) = rows().skip(1).fold(
        (first.containers.clone(), first.rules.clone()),
        |(containers, rules), row| {
            (
                union(containers.as_deref(), row.containers.as_deref()),
                union(rules.as_deref(), row.rules.as_deref()),
            )
        },
    );
    SegmentRow {
        file: new.file,
        kind: new.kind,
        first_id: rows().map(|row| row.first_id).min().unwrap_or_default(),
        last_id: rows().map(|row| row.last_id).max().unwrap_or_default(),
        min_time: rows().map(|row| row.min_time).min().unwrap_or_default(),
        max_time: rows().map(|row| row.max_time).max().unwrap_or_default(),
        age_time: rows().map(|row| row.age_time).max().unwrap_or_default(),
        count: new.rows,
        bytes: new.bytes,
        row_groups,
        priorities: rows().fold(0, |mask, row| mask | row.priorities),
        categories: rows().fold(0, |mask, row| mask | row.categories),
        containers,
        rules,
    }
}
