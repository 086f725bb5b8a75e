//! Storing batches: one transaction for all of them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use qw_event::{
    AlertChange, Batch, BatchId, EventId, Position, RecordKind, StoredEvent, Timestamp,
};
use rusqlite::Connection;

use crate::{
    Appended, Companion, SourceCursor, StoreError,
    embedded::{
        Embedded, alerts,
        catalogue::{self, HotRow},
        change_states,
        hot::{self, HotChunk},
        rollup::{self, Added},
        segment::{Bounds, NewSegment, Segment},
    },
};

/// A position is at most this long, in bytes.
const MAX_POSITION: usize = 64 << 10;

/// What an append has written, to be shown once it is durable.
struct Written {
    last_id: u64,
    added: Added,
    /// In the order of the numbers of what is hot.
    hot: Vec<Arc<HotChunk>>,
    segments: Vec<Arc<Segment>>,
}

/// Records of one batch and one kind, whose numbers follow one another.
struct Run {
    kind: RecordKind,
    events: Arc<[StoredEvent]>,
    age_time: i64,
}

impl Embedded {
    pub(super) fn append_batches(
        &self,
        batches: &mut Vec<Batch>,
        companion: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        let too_long = |position: &Position| position.0.len() > MAX_POSITION;
        if batches
            .iter()
            .any(|batch| batch.position.as_ref().is_some_and(too_long))
        {
            return Err(StoreError::TooLarge {
                what: "a position",
                limit: MAX_POSITION,
            });
        }
        for kind in RecordKind::ALL {
            if self.hot_is_overfull(kind) {
                self.seal_kind(kind)?;
            }
        }
        let mut appended = Vec::with_capacity(batches.len());
        let mut new_segments = Vec::new();
        let mut companion_changes = Vec::new();
        let result = self.transact(
            "append events",
            |connection| {
                let written =
                    self.write_batches(connection, batches, &mut appended, &mut new_segments)?;
                let changes = accompany(connection, companion, &appended)?;
                Ok((written, changes))
            },
            |(written, changes)| {
                self.show(written);
                companion_changes = changes;
            },
        );
        if let Err(error) = result {
            for segment in new_segments {
                self.orphan(segment.path);
            }
            for (batch, appended) in batches.iter_mut().zip(appended) {
                if let Appended::Stored(events) = appended {
                    batch.events = events.iter().map(|stored| stored.event.clone()).collect();
                }
            }
            return Err(error);
        }
        batches.clear();
        companion.committed(companion_changes);
        Ok(appended)
    }

    fn hot_is_overfull(&self, kind: RecordKind) -> bool {
        let view = self.view.read();
        view.hot_bytes.iter().sum::<usize>() > 2 * self.options.seal_bytes
            || view.hot_events[kind as usize]
                > 2 * self.options.seal_events.max(self.options.direct_events)
    }

    /// Writes `batches`; moves the events of those that are new to `appended`.
    fn write_batches(
        &self,
        connection: &Connection,
        batches: &mut [Batch],
        appended: &mut Vec<Appended>,
        new_segments: &mut Vec<NewSegment>,
    ) -> Result<Written, StoreError> {
        let failed = |doing| move |source| StoreError::Catalogue { doing, source };
        let mut last_id = self.view.read().last_id;
        for batch in batches.iter_mut() {
            if !claim(connection, batch, last_id).map_err(failed("record a position"))? {
                self.counters.batches_repeated.fetch_add(1, Relaxed);
                appended.push(Appended::Duplicate);
                continue;
            }
            let stored = std::mem::take(&mut batch.events).into_iter().map(|event| {
                last_id += 1;
                StoredEvent {
                    id: EventId(last_id),
                    event,
                }
            });
            appended.push(Appended::Stored(stored.collect()));
        }
        let runs: Vec<Run> = appended
            .iter()
            .zip(batches.iter())
            .filter_map(|(appended, batch)| match appended {
                Appended::Stored(events) => Some((events, batch.received)),
                Appended::Duplicate => None,
            })
            .flat_map(|(events, received)| runs(events, received))
            .collect();
        let mut written = Written {
            last_id,
            added: Added::default(),
            hot: Vec::new(),
            segments: Vec::new(),
        };
        if runs.is_empty() {
            return Ok(written);
        }
        let events = || runs.iter().flat_map(|run| run.events.iter());
        let (tallies, added) = rollup::count(connection, &self.names(), events())
            .map_err(failed("number containers and rules"))?;
        written.added = added;
        catalogue::set_meta(connection, "last_id", last_id)
            .map_err(failed("record the last number"))?;
        let mut hot: Vec<&Run> = Vec::new();
        for (kind, tally) in RecordKind::ALL.into_iter().zip(&tallies) {
            let own: Vec<&Run> = runs.iter().filter(|run| run.kind == kind).collect();
            if own.is_empty() {
                continue;
            }
            rollup::add(connection, kind, tally).map_err(failed("write roll-ups"))?;
            let events = || own.iter().flat_map(|run| run.events.iter());
            let count = own.iter().map(|run| run.events.len()).sum::<usize>();
            let bytes: usize = events().map(|stored| stored.event.size_bytes()).sum();
            if count < self.options.direct_events && bytes <= self.options.seal_bytes {
                hot.extend(own);
                continue;
            }
            let mut sorted: Vec<&StoredEvent> = events().collect();
            sorted.sort_by_key(|stored| (stored.event.time, stored.id));
            let mut groups = 0;
            let segment = self.write_segment(kind, |writer| {
                writer.write(&sorted, self.options.group_rows)?;
                groups = writer.groups();
                Ok(())
            })?;
            let age_time = own.iter().map(|run| run.age_time).max().unwrap_or_default();
            let row = segment.row(Bounds::of(events()), age_time, groups, tally);
            new_segments.push(segment);
            catalogue::insert_segment(connection, &row).map_err(failed("record a segment"))?;
            written.segments.push(self.segment(row));
        }
        hot.sort_unstable_by_key(|run| run.first_id());
        for runs in hot.chunk_by(|left, right| {
            left.kind == right.kind && left.last_id() + 1 == right.first_id()
        }) {
            let row = hot_row(runs).map_err(|source| StoreError::File {
                doing: "pack events",
                source,
            })?;
            catalogue::insert_hot(connection, &row).map_err(failed("write events"))?;
        }
        written.hot = hot
            .into_iter()
            .filter_map(|run| HotChunk::new(Arc::clone(&run.events), run.age_time))
            .collect();
        Ok(written)
    }

    fn show(&self, written: Written) {
        if !written.added.is_empty() {
            Arc::make_mut(&mut *self.names.write()).extend(written.added);
        }
        let mut view = self.view.write();
        self.counters
            .events_appended
            .fetch_add(written.last_id - view.last_id, Relaxed);
        view.last_id = written.last_id;
        for chunk in written.hot {
            view.push_hot(chunk);
        }
        if !written.segments.is_empty() {
            let count = written.segments.len() as u64;
            self.counters.direct_segments.fetch_add(count, Relaxed);
            let segments = view.segments.iter().cloned();
            view.segments = segments.chain(written.segments).collect();
        }
    }
}

/// The runs of a batch; nearly always one.
fn runs(events: &Arc<[StoredEvent]>, received: Timestamp) -> Vec<Run> {
    let run = |events: Arc<[StoredEvent]>| {
        let kind = events.first()?.event.kind;
        let age_time = hot::age_time(&events, received);
        Some(Run {
            kind,
            events,
            age_time,
        })
    };
    let same = |left: &StoredEvent, right: &StoredEvent| left.event.kind == right.event.kind;
    let mut runs = events.chunk_by(same);
    match (runs.next(), runs.next()) {
        (_, None) => run(Arc::clone(events)).into_iter().collect(),
        _ => events
            .chunk_by(same)
            .filter_map(|events| run(events.into()))
            .collect(),
    }
}

impl Run {
    fn first_id(&self) -> u64 {
        self.events.first().map_or(0, |stored| stored.id.0)
    }

    fn last_id(&self) -> u64 {
        self.events.last().map_or(0, |stored| stored.id.0)
    }
}

/// The row for runs of one kind whose numbers follow one another.
fn hot_row(runs: &[&Run]) -> std::io::Result<HotRow> {
    let events = || runs.iter().flat_map(|run| run.events.iter());
    let times = runs.iter().filter_map(|run| hot::time_bounds(&run.events));
    Ok(HotRow {
        kind: runs.first().map_or(RecordKind::Event, |run| run.kind),
        first_id: runs.first().map_or(0, |run| run.first_id()),
        last_id: runs.last().map_or(0, |run| run.last_id()),
        min_time: times.clone().map(|(min, _)| min).min().unwrap_or_default(),
        max_time: times.map(|(_, max)| max).max().unwrap_or_default(),
        age_time: runs
            .iter()
            .map(|run| run.age_time)
            .max()
            .unwrap_or_default(),
        count: runs.iter().map(|run| run.events.len() as u64).sum(),
        payload: hot::encode(events())?,
    })
}

/// Writes what `companion` wants committed with the events; returns the history with its numbers.
fn accompany(
    connection: &Connection,
    companion: &mut dyn Companion,
    appended: &[Appended],
) -> Result<Vec<AlertChange>, StoreError> {
    let failed = |doing| move |source| StoreError::Catalogue { doing, source };
    let accompaniment = companion.accompany(appended);
    change_states(connection, &accompaniment.state, "write state")?;
    if accompaniment.alerts.is_empty() {
        return Ok(Vec::new());
    }
    alerts::write(connection, &accompaniment.alerts).map_err(failed("write alerts"))
}

/// Moves the source on to `batch`; false when it was stored before.
fn claim(connection: &Connection, batch: &Batch, last_id: u64) -> rusqlite::Result<bool> {
    let BatchId {
        source,
        epoch,
        sequence,
    } = &batch.id;
    let highest = catalogue::highest_sequence(connection, source, *epoch)?;
    if highest.is_some_and(|highest| *sequence <= highest) {
        return Ok(false);
    }
    let cursor = SourceCursor {
        epoch: *epoch,
        sequence: *sequence,
        position: batch.position.clone(),
    };
    catalogue::set_cursor(connection, source, &cursor, highest.is_none(), last_id)?;
    Ok(true)
}
