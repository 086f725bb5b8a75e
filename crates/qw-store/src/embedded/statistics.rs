//! What the store counts about itself.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use fs_err as fs;
use qw_event::{RecordKind, Timestamp};

use crate::{LogStatistics, StoreStatistics, embedded::Embedded};

/// Counters that only grow while the process lives.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    commit_nanos: AtomicU64,
    events_lost: AtomicU64,
    segments_damaged: AtomicU64,
    pub(super) events_appended: AtomicU64,
    pub(super) batches_repeated: AtomicU64,
    pub(super) direct_segments: AtomicU64,
    pub(super) segments_sealed: AtomicU64,
    pub(super) segments_compacted: AtomicU64,
    pub(super) segments_dropped: AtomicU64,
    pub(super) segments_pruned: AtomicU64,
    pub(super) segments_read: AtomicU64,
    pub(super) row_groups_skipped: AtomicU64,
    pub(super) row_groups_read: AtomicU64,
    pub(super) queries_cut: AtomicU64,
}

impl Counters {
    pub(super) fn committed(&self, elapsed: Duration) {
        self.commits.fetch_add(1, Relaxed);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.commit_nanos.fetch_add(nanos, Relaxed);
    }

    /// Transactions that have been committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// Counts events that the catalogue names but that cannot be read.
    pub(super) fn lost(&self, events: u64) {
        self.events_lost.fetch_add(events, Relaxed);
    }

    /// Counts a segment that cannot be read.
    pub(super) fn damaged(&self) {
        self.segments_damaged.fetch_add(1, Relaxed);
    }
}

impl Embedded {
    pub(super) fn collect_statistics(&self) -> StoreStatistics {
        let view = self.view();
        let segments = &view.segments;
        let counters = &self.counters;
        let [events, lines] = RecordKind::ALL.map(|kind| {
            let own = segments.iter().filter(|segment| segment.row.kind == kind);
            let hot = view.hot.iter().filter(|chunk| chunk.kind == kind);
            let hot_times = hot.map(|chunk| (chunk.min_time, chunk.max_time));
            let times = own
                .clone()
                .map(|segment| (segment.row.min_time, segment.row.max_time))
                .chain(hot_times);
            let hot = view.hot_events[kind as usize] as u64;
            LogStatistics {
                lines: hot + own.clone().map(|segment| segment.row.count).sum::<u64>(),
                hot_lines: hot,
                segment_bytes: own.map(|segment| segment.row.bytes).sum(),
                oldest: times
                    .clone()
                    .map(|(min, _)| min)
                    .min()
                    .map(Timestamp::from_nanos),
                newest: times.map(|(_, max)| max).max().map(Timestamp::from_nanos),
            }
        });
        StoreStatistics {
            events: events.lines,
            hot_events: events.hot_lines,
            segments: segments.len() as u64,
            segment_bytes: events.segment_bytes + lines.segment_bytes,
            catalogue_bytes: self.catalogue_bytes(),
            oldest: events.oldest,
            newest: events.newest,
            logs: lines,
            commits: counters.commits.load(Relaxed),
            commit_seconds: Duration::from_nanos(counters.commit_nanos.load(Relaxed)).as_secs_f64(),
            counters: [
                ("batches_repeated_total", &counters.batches_repeated),
                ("direct_segments_total", &counters.direct_segments),
                ("events_appended_total", &counters.events_appended),
                ("events_lost_total", &counters.events_lost),
                ("queries_cut_total", &counters.queries_cut),
                ("row_groups_read_total", &counters.row_groups_read),
                ("row_groups_skipped_total", &counters.row_groups_skipped),
                ("segment_cache_hits_total", &self.cache.hits),
                ("segment_cache_misses_total", &self.cache.misses),
                ("segments_compacted_total", &counters.segments_compacted),
                ("segments_damaged_total", &counters.segments_damaged),
                ("segments_dropped_total", &counters.segments_dropped),
                ("segments_pruned_total", &counters.segments_pruned),
                ("segments_read_total", &counters.segments_read),
                ("segments_sealed_total", &counters.segments_sealed),
            ]
            .into_iter()
            .map(|(name, counter)| (name, counter.load(Relaxed)))
            .chain([
                ("hot_bytes", view.hot_bytes.iter().sum::<usize>() as u64),
                ("segment_cache_bytes", self.cache.bytes() as u64),
                ("segment_totals_bytes", self.totals.bytes() as u64),
            ])
            .collect(),
        }
    }

    /// Bytes of the SQLite file and its write-ahead log.
    pub(super) fn catalogue_bytes(&self) -> u64 {
        ["catalogue.sqlite", "catalogue.sqlite-wal"]
            .iter()
            .filter_map(|name| fs::metadata(self.directory.join(name)).ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}
