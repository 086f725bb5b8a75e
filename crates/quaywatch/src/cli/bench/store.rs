//! … → durable store, in big batches.

use std::path::Path;

use anyhow::Result;
use qw_event::{Batch, BatchId, SourceId, Timestamp};
use qw_sources::{
    demo,
    falco::{Limits, Parser},
};
use qw_store::{Embedded, RecordStore as _, Retention};

use super::{Row, Show, machine};

/// Events in one batch.
const BATCH: usize = 10_000;

/// Folder of the store that the measurements of questions use, too.
pub(super) fn folder(folder: &Path) -> std::path::PathBuf {
    folder.join("store")
}

/// Stores `count` events over 24 h and reports cost and size.
pub(super) fn run(folder: &Path, count: u64, show: Show<'_>) -> Result<()> {
    let store = Embedded::open(&self::folder(folder), qw_store::Options::default())?;
    let already = store.statistics().events;
    if already >= count {
        show(Row::new(
            "events already in the folder",
            already as f64,
            "events",
        ))?;
        return Ok(());
    }
    let end = 1_795_251_600_i64;
    let start = Timestamp::from_seconds(end - 86_400);
    let step = 86_400_000_000_000 / count as i64;
    let mut parser = Parser::new(Limits::default());
    let mut lines_cpu = 0.0;
    let mut cpu = 0.0;
    let mut worst_memory: f64 = 0.0;
    let mut stored: u64 = 0;
    let mut sequence = 0;
    while stored < count {
        let size = BATCH.min((count - stored) as usize);
        let (lines, generating) = machine::measured(|| {
            Ok(demo::benchmark_lines(1 + sequence, size).collect::<Vec<String>>())
        })?;
        lines_cpu += generating;
        let ((), batch_cpu) = machine::measured(|| {
            let mut events = Vec::with_capacity(size);
            for (offset, line) in lines.iter().enumerate() {
                let mut event = parser
                    .parse(line.as_bytes(), start)
                    .map_err(|reason| anyhow::anyhow!("invalid: {}", reason.name()))?;
                let number = stored as i64 + offset as i64;
                event.time = Timestamp::from_nanos(start.as_nanos() + number * step);
                events.push(event);
            }
            sequence += 1;
            let id = BatchId {
                source: SourceId::new("bench"),
                epoch: 1,
                sequence,
            };
            let mut batches = vec![Batch {
                id,
                position: None,
                received: start,
                events,
            }];
            store.append(&mut batches)?;
            Ok(())
        })?;
        cpu += batch_cpu;
        stored += size as u64;
        if sequence % 20 == 0 {
            let (_, maintaining) = machine::measured(|| {
                Ok(store.maintain(Timestamp::from_seconds(end), &Retention::default())?)
            })?;
            cpu += maintaining;
            worst_memory = worst_memory.max(machine::resident_megabytes("self")?);
        }
    }
    let (_, maintaining) = machine::measured(|| {
        Ok(store.maintain(Timestamp::from_seconds(end), &Retention::default())?)
    })?;
    cpu += maintaining;
    let statistics = store.statistics();
    let millions = count as f64 / 1e6;
    show(Row::new(
        "making the lines (not counted below)",
        lines_cpu / millions,
        "CPU s per million",
    ))?;
    show(
        Row::new(
            "line → … → durable store, with compaction",
            cpu / millions,
            "CPU s per million",
        )
        .must(8.0),
    )?;
    let sealed = (statistics.events - statistics.hot_events).max(1);
    show(
        Row::new(
            "sealed size",
            statistics.segment_bytes as f64 / sealed as f64,
            "bytes per event",
        )
        .must(130.0)
        .peer("SQLite rows", 1034.0, true),
    )?;
    show(Row::new(
        "catalogue, roll-ups, hot tail",
        statistics.catalogue_bytes as f64 / statistics.events.max(1) as f64,
        "bytes per event",
    ))?;
    show(Row::new("segments", statistics.segments as f64, "files"))?;
    show(Row::new(
        "memory while storing, largest",
        worst_memory,
        "MB",
    ))
}

/// Stores small batches, each an append of its own, in a store of its own.
pub(super) fn small(folder: &Path, show: Show<'_>) -> Result<()> {
    for (size, count) in [(1, 20_000_u64), (10, 100_000), (100, 200_000)] {
        let folder = folder.join(format!("store-of-{size}"));
        match fs_err::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let store = Embedded::open(&folder, qw_store::Options::default())?;
        let start = Timestamp::from_seconds(1_795_251_600);
        let mut parser = Parser::new(Limits::default());
        let lines: Vec<String> = demo::benchmark_lines(1, 10_000).collect();
        let mut events = Vec::with_capacity(lines.len());
        for line in &lines {
            events.push(
                parser
                    .parse(line.as_bytes(), start)
                    .map_err(|reason| anyhow::anyhow!("invalid: {}", reason.name()))?,
            );
        }
        let ((), cpu) = machine::measured(|| {
            for sequence in 0..count / size {
                let from = (sequence * size) as usize % events.len();
                let mut some = events[from..from + size as usize].to_vec();
                let step = i64::try_from(sequence)? * 10_000_000;
                for event in &mut some {
                    event.time = Timestamp::from_nanos(start.as_nanos() + step);
                }
                let id = BatchId {
                    source: SourceId::new("bench"),
                    epoch: 1,
                    sequence: sequence + 1,
                };
                let mut batches = vec![Batch {
                    id,
                    position: None,
                    received: start,
                    events: some,
                }];
                store.append(&mut batches)?;
                if store.statistics().hot_events >= 8_192 {
                    store.maintain(start, &Retention::default())?;
                }
            }
            Ok(())
        })?;
        show(Row::new(
            format!("stored in batches of {size}"),
            cpu * 1e6 / count as f64,
            "CPU s per million",
        ))?;
    }
    Ok(())
}
