//! Opening a store: the lock, the catalogue, leftovers, and what the catalogue says there is.

use std::{
    ffi::OsStr,
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use fs_err as fs;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashSet;

use crate::embedded::{
    Embedded, Options, View, Writer,
    catalogue::{self, Readers, SegmentRow},
    format,
    hot::{self, HotChunk},
    rollup::Names,
    scan::Helpers,
    segment::{Segment, SegmentCache, file_name},
    statistics::Counters,
    totals::Totals,
};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another place in this one, has the store open.
    #[error("the store in `{}` is in use by another process", .directory.display())]
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// A file could not be opened; the message names it.
    #[error("cannot open the store in `{}`", .directory.display())]
    File {
        /// The store's directory.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The catalogue could not be opened.
    #[error("cannot open the catalogue `{}`: {reason}", .path.display())]
    Catalogue {
        /// The SQLite file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An option has an impossible value.
    #[error("{0}")]
    Options(String),
}

impl Embedded {
    /// Opens the store in `directory`, creating it when there is none.
    ///
    /// # Errors
    /// When another process has it open, when the directory or a file in it cannot be used, or when
    /// a newer version of this program wrote it. Segments that are missing or cut short are no
    /// error: they are reported in the log and counted in [`StoreStatistics`].
    ///
    /// [`StoreStatistics`]: crate::StoreStatistics
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let properties = format::properties(options.compression_level)
            .map_err(|error| OpenError::Options(error.to_string()))?;
        if options.group_rows == 0 || options.direct_events == 0 {
            return Err(OpenError::Options(
                "a size of zero makes no sense".to_owned(),
            ));
        }
        let file_error = |source| OpenError::File {
            directory: directory.to_owned(),
            source,
        };
        let segments = directory.join("segments");
        fs::create_dir_all(&segments).map_err(file_error)?;
        let lock = lock(directory)?;
        let path = directory.join("catalogue.sqlite");
        let connection = catalogue::open_writer(&path).map_err(|error| OpenError::Catalogue {
            path: path.clone(),
            reason: describe(&error),
        })?;
        let readers = Readers::new(path.clone());
        let counters = Counters::default();
        let loaded = load(&connection, &counters).map_err(|reason| OpenError::Catalogue {
            path: path.clone(),
            reason,
        })?;
        let next_file =
            remove_leftovers(&segments, &loaded.segments, &options).map_err(file_error)?;
        let mut view = View {
            last_id: loaded.last_id,
            ..View::default()
        };
        for chunk in loaded.hot {
            view.push_hot(chunk);
        }
        view.segments = loaded
            .segments
            .into_iter()
            .filter(|row| is_whole(&segments, row, &counters))
            .map(|row| {
                let path = segments.join(file_name(row.file));
                Arc::new(Segment::new(row, path, options.files.clone()))
            })
            .collect();
        Ok(Self {
            directory: directory.to_owned(),
            properties: Arc::new(properties),
            writer: Mutex::new(Writer {
                connection,
                orphans: Vec::new(),
            }),
            readers,
            view: RwLock::new(view),
            names: RwLock::new(Arc::new(loaded.names)),
            cache: SegmentCache::new(options.cache_bytes, options.cache_files),
            totals: Totals::new(options.totals_bytes),
            helpers: Helpers::new(),
            sums: Mutex::default(),
            sealing: Mutex::new(()),
            compaction: Mutex::new(()),
            next_file: AtomicU64::new(next_file),
            counters,
            options,
            _lock: lock,
        })
    }
}

/// Keeps other processes out of a directory.
#[derive(Debug)]
pub(super) struct DirectoryLock(std::fs::File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing would do, but for copies of the file that a process being started still has.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the store");
        }
    }
}

fn lock(directory: &Path) -> Result<DirectoryLock, OpenError> {
    let file_error = |source| OpenError::File {
        directory: directory.to_owned(),
        source,
    };
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))
        .map_err(file_error)?
        .into_parts()
        .0;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            directory: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

struct Loaded {
    segments: Vec<SegmentRow>,
    hot: Vec<Arc<HotChunk>>,
    names: Names,
    last_id: u64,
}

fn load(connection: &rusqlite::Connection, counters: &Counters) -> Result<Loaded, String> {
    let failed = |error: rusqlite::Error| describe(&error);
    let mut chunks = Vec::new();
    for row in catalogue::hot_rows(connection).map_err(failed)? {
        match hot::decode(&row.payload, row.first_id) {
            Ok(events) if events.len() as u64 == row.count => {
                chunks.extend(HotChunk::new(events.into(), row.age_time));
            }
            result => {
                let error = result
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default();
                tracing::error!(
                    first_id = row.first_id,
                    last_id = row.last_id,
                    events = row.count,
                    error,
                    "events of the hot tail cannot be read and are left out"
                );
                counters.lost(row.count);
            }
        }
    }
    Ok(Loaded {
        segments: catalogue::segments(connection).map_err(failed)?,
        hot: chunks,
        names: Names::load(connection).map_err(failed)?,
        last_id: catalogue::meta(connection, "last_id").map_err(failed)?,
    })
}

/// Removes files that the catalogue does not name; the number for the next file.
fn remove_leftovers(
    directory: &Path,
    segments: &[SegmentRow],
    options: &Options,
) -> io::Result<u64> {
    let named: FxHashSet<String> = segments.iter().map(|row| file_name(row.file)).collect();
    let mut next = segments.iter().map(|row| row.file + 1).max().unwrap_or(1);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else {
            continue;
        };
        if let Some(number) = name
            .split('.')
            .next()
            .and_then(|digits| digits.parse::<u64>().ok())
        {
            next = next.max(number.saturating_add(1));
        }
        if !named.contains(name) {
            tracing::info!(file = name, "removing a segment that was never committed");
            options.files.remove(&entry.path())?;
        }
    }
    Ok(next)
}

fn is_ours(name: &str) -> bool {
    let path = Path::new(name);
    let path = match path.extension() {
        Some(extension) if extension == OsStr::new("tmp") => {
            Path::new(path.file_stem().unwrap_or_default())
        }
        _ => path,
    };
    path.extension() == Some(OsStr::new("parquet"))
        && path
            .file_stem()
            .and_then(OsStr::to_str)
            .is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_whole(directory: &Path, row: &SegmentRow, counters: &Counters) -> bool {
    let path = directory.join(file_name(row.file));
    let problem = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() == row.bytes => return true,
        Ok(metadata) => format!("it has {} bytes instead of {}", metadata.len(), row.bytes),
        Err(error) => error.to_string(),
    };
    tracing::error!(
        segment = %path.display(),
        events = row.count,
        problem,
        "a segment is missing or damaged; its events cannot be found"
    );
    counters.lost(row.count);
    counters.damaged();
    false
}

fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = error.source();
    }
    text
}
