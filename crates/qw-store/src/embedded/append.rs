//! Storing batches: one transaction for all of them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use qw_event::{AlertChange, Batch, BatchId, EventId, Position, StoredEvent};
use rusqlite::Connection;

use crate::{
    Appended, Companion, SourceCursor, StoreError,
    embedded::{
        Embedded, alerts,
        catalogue::{self, HotRow},
        check_state,
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
    place: Place,
}

enum Place {
    Nowhere,
    Hot(Vec<Arc<HotChunk>>),
    Segment(Arc<Segment>),
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
        if self.hot_is_overfull() {
            self.seal()?;
        }
        let mut appended = Vec::with_capacity(batches.len());
        let mut new_segment = None;
        let mut companion_changes = Vec::new();
        let result = self.transact(
            "append events",
            |connection| {
                let written =
                    self.write_batches(connection, batches, &mut appended, &mut new_segment)?;
                let changes = accompany(connection, companion, &appended)?;
                Ok((written, changes))
            },
            |(written, changes)| {
                self.show(written);
                companion_changes = changes;
            },
        );
        if let Err(error) = result {
            if let Some(segment) = new_segment {
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

    fn hot_is_overfull(&self) -> bool {
        let view = self.view.read();
        view.hot_bytes > 2 * self.options.seal_bytes
            || view.hot_events > 2 * self.options.seal_events.max(self.options.direct_events)
    }

    /// Writes `batches`; moves the events of those that are new to `appended`.
    fn write_batches(
        &self,
        connection: &Connection,
        batches: &mut [Batch],
        appended: &mut Vec<Appended>,
        new_segment: &mut Option<NewSegment>,
    ) -> Result<Written, StoreError> {
        let failed = |doing| move |source| StoreError::Catalogue { doing, source };
        let mut last_id = self.view.read().last_id;
        let first_id = last_id + 1;
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
        let chunks: Vec<(Arc<[StoredEvent]>, i64)> = appended
            .iter()
            .zip(batches.iter())
            .filter_map(|(appended, batch)| match appended {
                Appended::Stored(events) if !events.is_empty() => {
                    Some((Arc::clone(events), hot::age_time(events, batch.received)))
                }
                Appended::Stored(_) | Appended::Duplicate => None,
            })
            .collect();
        let events = || chunks.iter().flat_map(|(events, _)| events.iter());
        let count = chunks.iter().map(|(events, _)| events.len()).sum::<usize>();
        let age_time = chunks.iter().map(|(_, age)| *age).max().unwrap_or_default();
        if count == 0 {
            let (added, place) = (Added::default(), Place::Nowhere);
            return Ok(Written {
                last_id,
                added,
                place,
            });
        }
        let (tally, added) = rollup::count(connection, &self.names(), events())
            .map_err(failed("number containers and rules"))?;
        rollup::add(connection, &tally).map_err(failed("write roll-ups"))?;
        catalogue::set_meta(connection, "last_id", last_id)
            .map_err(failed("record the last number"))?;
        let bytes: usize = events().map(|stored| stored.event.size_bytes()).sum();
        let place = if count >= self.options.direct_events || bytes > self.options.seal_bytes {
            let mut sorted: Vec<&StoredEvent> = events().collect();
            sorted.sort_by_key(|stored| (stored.event.time, stored.id));
            let mut groups = 0;
            let segment = new_segment.insert(self.write_segment(|writer| {
                writer.write(&sorted, self.options.group_rows)?;
                groups = writer.groups();
                Ok(())
            })?);
            let row = segment.row(Bounds::of(events()), age_time, groups, &tally);
            catalogue::insert_segment(connection, &row).map_err(failed("record a segment"))?;
            Place::Segment(self.segment(row))
        } else {
            let payload = hot::encode(events()).map_err(|source| StoreError::File {
                doing: "pack events",
                source,
            })?;
            let chunks: Vec<Arc<HotChunk>> = chunks
                .into_iter()
                .filter_map(|(events, age_time)| HotChunk::new(events, age_time))
                .collect();
            let times = chunks.iter().map(|chunk| (chunk.min_time, chunk.max_time));
            let row = HotRow {
                first_id,
                last_id,
                min_time: times.clone().map(|(min, _)| min).min().unwrap_or_default(),
                max_time: times.map(|(_, max)| max).max().unwrap_or_default(),
                age_time,
                count: count as u64,
                payload,
            };
            catalogue::insert_hot(connection, &row).map_err(failed("write events"))?;
            Place::Hot(chunks)
        };
        Ok(Written {
            last_id,
            added,
            place,
        })
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
        match written.place {
            Place::Nowhere => {}
            Place::Hot(chunks) => chunks.into_iter().for_each(|chunk| view.push_hot(chunk)),
            Place::Segment(segment) => {
                self.counters.direct_segments.fetch_add(1, Relaxed);
                view.segments = view.segments.iter().cloned().chain([segment]).collect();
            }
        }
    }
}

/// Writes what `companion` wants committed with the events; returns the history with its numbers.
fn accompany(
    connection: &Connection,
    companion: &mut dyn Companion,
    appended: &[Appended],
) -> Result<Vec<AlertChange>, StoreError> {
    let failed = |doing| move |source| StoreError::Catalogue { doing, source };
    let accompaniment = companion.accompany(appended);
    for change in &accompaniment.state {
        let change = change.as_change();
        check_state(&change)?;
        catalogue::change_state(connection, &change).map_err(failed("write state"))?;
    }
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
