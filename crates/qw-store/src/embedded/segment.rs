//! Segments as the catalogue knows them, writing them safely, and the cache of open ones.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use parquet::errors::ParquetError;
use qw_event::{RecordKind, StoredEvent};
use rustc_hash::FxHashMap;

use crate::{
    StoreError,
    embedded::{
        Embedded,
        catalogue::SegmentRow,
        files::FileSystem,
        rollup::Tally,
        segment_reader::SegmentFile,
        segment_writer::{SegmentWriter, temporary},
    },
};

/// A segment lists its containers and rules when there are at most this many.
const LISTED: usize = 256;

/// A sealed segment that the catalogue names.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) row: SegmentRow,
    path: PathBuf,
    files: Arc<dyn FileSystem>,
    /// Set once the catalogue no longer names it: the file goes when the last reader lets go of it.
    obsolete: AtomicBool,
    /// Set when reading it has failed, so that it is reported once.
    pub(super) damaged: AtomicBool,
}

impl Segment {
    pub(super) fn new(row: SegmentRow, path: PathBuf, files: Arc<dyn FileSystem>) -> Self {
        let (obsolete, damaged) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            row,
            path,
            files,
            obsolete,
            damaged,
        }
    }

    /// File name, for messages.
    pub(super) fn name(&self) -> String {
        file_name(self.row.file)
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error for a segment that could not be read or written.
    pub(super) fn error(&self, error: &ParquetError) -> StoreError {
        StoreError::Segment {
            segment: self.name(),
            what: error.to_string(),
        }
    }

    pub(super) fn make_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if *self.obsolete.get_mut()
            && let Err(error) = self.files.remove(&self.path)
        {
            tracing::warn!(%error, "cannot remove a segment; the next start removes it");
        }
    }
}

/// Name of the file with number `file`.
pub(super) fn file_name(file: u64) -> String {
    format!("{file:012}.parquet")
}

/// A segment that is on disk but not in the catalogue yet.
#[derive(Debug)]
pub(super) struct NewSegment {
    pub(super) file: u64,
    pub(super) kind: RecordKind,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl NewSegment {
    /// What the catalogue is to say of it, given what `events` counts.
    pub(super) fn row(
        &self,
        bounds: Bounds,
        age_time: i64,
        row_groups: u32,
        tally: &Tally,
    ) -> SegmentRow {
        let (priorities, categories) = tally.masks();
        SegmentRow {
            file: self.file,
            kind: self.kind,
            first_id: bounds.first_id,
            last_id: bounds.last_id,
            min_time: bounds.min_time,
            max_time: bounds.max_time,
            age_time,
            count: self.rows,
            bytes: self.bytes,
            row_groups,
            priorities,
            categories,
            containers: listed(tally.container_numbers()),
            rules: listed(tally.rule_numbers()),
        }
    }
}

fn listed(numbers: impl ExactSizeIterator<Item = u32>) -> Option<Box<[u32]>> {
    (numbers.len() <= LISTED).then(|| numbers.collect())
}

/// The union of two lists of numbers, unless it is too long to list.
pub(super) fn union(left: Option<&[u32]>, right: Option<&[u32]>) -> Option<Box<[u32]>> {
    let mut numbers: Vec<u32> = left?.iter().chain(right?).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    (numbers.len() <= LISTED).then(|| numbers.into())
}

/// Extremes of some events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
}

impl Bounds {
    /// Of no events; joins to the other side.
    pub(super) const EMPTY: Self = Self {
        first_id: u64::MAX,
        last_id: 0,
        min_time: i64::MAX,
        max_time: i64::MIN,
    };

    pub(super) fn of<'a>(events: impl Iterator<Item = &'a StoredEvent>) -> Self {
        events.fold(Self::EMPTY, |bounds, stored| {
            let (id, time) = (stored.id.0, stored.event.time.as_nanos());
            bounds.join(Self {
                first_id: id,
                last_id: id,
                min_time: time,
                max_time: time,
            })
        })
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self {
            first_id: self.first_id.min(other.first_id),
            last_id: self.last_id.max(other.last_id),
            min_time: self.min_time.min(other.min_time),
            max_time: self.max_time.max(other.max_time),
        }
    }
}

impl Embedded {
    /// Writes a segment of records of `kind`: a temporary file, synced, renamed, the directory synced.
    ///
    /// On an error nothing is left behind, or at most a file that the next start removes.
    pub(super) fn write_segment(
        &self,
        kind: RecordKind,
        fill: impl FnOnce(&mut SegmentWriter) -> parquet::errors::Result<()>,
    ) -> Result<NewSegment, StoreError> {
        let file = self.next_file();
        let path = self.segment_path(file);
        let temporary = temporary(&path);
        let files = &self.options.files;
        let written = self
            .write_file(&temporary, kind, fill)
            .and_then(|(bytes, rows)| {
                files.rename(&temporary, &path)?;
                Ok((bytes, rows))
            });
        let result = written.and_then(|(bytes, rows)| {
            files.sync_directory(&self.segment_directory())?;
            Ok(NewSegment {
                file,
                kind,
                path: path.clone(),
                bytes,
                rows,
            })
        });
        result.map_err(|error| {
            for path in [&temporary, &path] {
                if let Err(error) = files.remove(path) {
                    tracing::warn!(%error, "cannot remove an unfinished segment");
                }
            }
            match error {
                ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                    Ok(source) => StoreError::File {
                        doing: "write a segment",
                        source: *source,
                    },
                    Err(error) => StoreError::Segment {
                        segment: file_name(file),
                        what: error.to_string(),
                    },
                },
                error => StoreError::Segment {
                    segment: file_name(file),
                    what: error.to_string(),
                },
            }
        })
    }

    fn write_file(
        &self,
        path: &Path,
        kind: RecordKind,
        fill: impl FnOnce(&mut SegmentWriter) -> parquet::errors::Result<()>,
    ) -> parquet::errors::Result<(u64, u64)> {
        let sink = self.options.files.create(path)?;
        let mut writer = SegmentWriter::new(sink, self.properties.clone(), kind)?;
        fill(&mut writer)?;
        let rows = writer.rows();
        Ok((writer.finish()?, rows))
    }

    pub(super) fn segment_directory(&self) -> PathBuf {
        self.directory.join("segments")
    }

    pub(super) fn segment_path(&self, file: u64) -> PathBuf {
        self.segment_directory().join(file_name(file))
    }

    /// The segment as readers see it.
    pub(super) fn segment(&self, row: SegmentRow) -> Arc<Segment> {
        let path = self.segment_path(row.file);
        Arc::new(Segment::new(row, path, self.options.files.clone()))
    }
}

/// Open segment files with their layouts, the least recently used ones closed first.
#[derive(Debug)]
pub(super) struct SegmentCache {
    open: Mutex<Open>,
    max_bytes: usize,
    max_files: usize,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    files: FxHashMap<u64, (Arc<SegmentFile>, u64)>,
    bytes: usize,
    tick: u64,
}

impl SegmentCache {
    pub(super) fn new(max_bytes: usize, max_files: usize) -> Self {
        Self {
            open: Mutex::default(),
            max_bytes,
            max_files: max_files.max(1),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The segment's file, opened when it is not open yet.
    pub(super) fn open(&self, segment: &Segment) -> parquet::errors::Result<Arc<SegmentFile>> {
        let number = segment.row.file;
        {
            let mut open = self.open.lock();
            open.tick += 1;
            let tick = open.tick;
            if let Some((file, used)) = open.files.get_mut(&number) {
                *used = tick;
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(Arc::clone(file));
            }
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(SegmentFile::open(segment.path())?);
        let mut open = self.open.lock();
        open.tick += 1;
        let tick = open.tick;
        if open
            .files
            .insert(number, (Arc::clone(&file), tick))
            .is_none()
        {
            open.bytes += file.size_bytes();
        }
        while open.files.len() > 1
            && (open.bytes > self.max_bytes || open.files.len() > self.max_files)
        {
            let oldest = open
                .files
                .iter()
                .map(|(number, (_, used))| (*used, *number))
                .min();
            if let Some((_, number)) = oldest {
                open.close(number);
            }
        }
        Ok(file)
    }

    /// Closes a file that will not be read again.
    pub(super) fn close(&self, file: u64) {
        self.open.lock().close(file);
    }

    /// Memory taken, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.open.lock().bytes
    }
}

impl Open {
    fn close(&mut self, number: u64) {
        if let Some((file, _)) = self.files.remove(&number) {
            self.bytes -= file.size_bytes();
        }
    }
}
