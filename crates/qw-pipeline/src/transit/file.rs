//! One file of the buffer.

use std::{
    io::ErrorKind,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use fs_err::File;
use parking_lot::Mutex;
use qw_event::{EventId, StoredEvent};

use super::{
    TransitError, file_error,
    frame::{self, HEAD_BYTES, Head},
};

const EXTENSION: &str = "transit";

/// A file and where its frames are.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number of its first record.
    number: u64,
    path: PathBuf,
    file: File,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    /// Committed bytes.
    bytes: u64,
    /// Number of the newest committed record; one less than the first when there is none.
    last: EventId,
    /// Groups of frames: number of the last record, and where the group begins.
    groups: Vec<(EventId, u64)>,
}

/// The file of the records from `number` on.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{EXTENSION}"))
}

/// Numbers of the files in `folder`; others are left alone.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>, TransitError> {
    let fault = |source| file_error("read", folder, source);
    let mut numbers = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let is_ours = path.extension().is_some_and(|name| name == EXTENSION);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(number) = stem.filter(|_| is_ours).and_then(|stem| stem.parse().ok()) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Deletes the file. Whoever reads it now reads on.
pub(super) fn remove(segment: &Segment) {
    if let Err(error) = fs_err::remove_file(&segment.path) {
        // It is tried again by the next start, which finds it behind every position.
        tracing::warn!(%error, "a file of the disk buffer cannot be removed");
    }
}

impl Segment {
    /// A new file for the records from `first` on, which replaces one of the same number that was never
    /// committed.
    pub(super) fn create(folder: &Path, first: EventId) -> Result<Self, TransitError> {
        let path = path(folder, first.0);
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| file_error("make", &path, source))?;
        // The name has to be on disk before anything is acknowledged that stands in the file.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| file_error("sync", folder, source))?;
        Ok(Self {
            number: first.0,
            path,
            file,
            content: Mutex::new(Content {
                bytes: 0,
                last: EventId(first.0.saturating_sub(1)),
                groups: Vec::new(),
            }),
        })
    }

    /// Opens a file of which `bytes` are committed, everything when `None`, and cuts off the rest.
    pub(super) fn open(
        folder: &Path,
        number: u64,
        bytes: Option<u64>,
    ) -> Result<Self, TransitError> {
        let path = path(folder, number);
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| file_error("open", &path, source))?;
        let length = file
            .metadata()
            .map_err(|source| file_error("read", &path, source))?
            .len();
        let committed = bytes.unwrap_or(length);
        if committed > length {
            return Err(TransitError::Damaged {
                path,
                offset: length,
                what: "it is shorter than what was committed",
            });
        }
        file.set_len(committed)
            .map_err(|source| file_error("cut", &path, source))?;
        let mut segment = Self {
            number,
            path,
            file,
            content: Mutex::new(Content {
                bytes: committed,
                last: EventId(number.saturating_sub(1)),
                groups: Vec::new(),
            }),
        };
        segment.find_frames(committed)?;
        Ok(segment)
    }

    fn find_frames(&mut self, end: u64) -> Result<(), TransitError> {
        let mut at = 0;
        while at < end {
            let head = self.head(at)?;
            let content = self.content.get_mut();
            content.last = head.last();
            content.groups.push((head.last(), at));
            at += HEAD_BYTES as u64 + u64::from(head.length);
        }
        if at == end {
            Ok(())
        } else {
            Err(self.damaged(at, "a frame reaches beyond what was committed"))
        }
    }

    /// Number of its first record.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Number of its newest committed record.
    pub(super) fn last(&self) -> EventId {
        self.content.lock().last
    }

    /// Committed bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.content.lock().bytes
    }

    /// Writes `buffer` behind what is committed, and syncs.
    pub(super) fn write(&self, buffer: &[u8]) -> Result<(), TransitError> {
        let at = self.bytes();
        let file = self.file.file();
        file.write_all_at(buffer, at)
            .and_then(|()| file.sync_data())
            .map_err(|source| file_error("write to", &self.path, source))
    }

    /// Everything up to `bytes` is committed; new are the records `first` to `last`.
    pub(super) fn committed(&self, bytes: u64, first: EventId, last: EventId) {
        debug_assert!(first <= last, "a commit holds records");
        let mut content = self.content.lock();
        let start = content.bytes;
        content.groups.push((last, start));
        content.bytes = bytes;
        content.last = last;
    }

    /// The records behind `after`, and perhaps some before: frames of at most `most` bytes, but at least
    /// one.
    pub(super) fn read_after(
        &self,
        after: EventId,
        most: u64,
    ) -> Result<Vec<StoredEvent>, TransitError> {
        let (mut at, end) = {
            let content = self.content.lock();
            let place = content.groups.partition_point(|(last, _)| *last <= after);
            let Some((_, start)) = content.groups.get(place) else {
                return Ok(Vec::new());
            };
            (*start, content.bytes)
        };
        let mut records = Vec::new();
        let mut read = 0;
        let mut payload = Vec::new();
        while at < end {
            let head = self.head(at)?;
            let length = u64::from(head.length);
            if !records.is_empty() && read + length > most {
                break;
            }
            let start = at + HEAD_BYTES as u64;
            if start + length > end {
                return Err(self.damaged(at, "a frame reaches beyond what was committed"));
            }
            if head.last() > after {
                payload.resize(head.length as usize, 0);
                self.file
                    .file()
                    .read_exact_at(&mut payload, start)
                    .map_err(|source| file_error("read", &self.path, source))?;
                match frame::decode(&head, &payload) {
                    Ok(decoded) => records.extend(decoded),
                    // The gap in the numbers tells the reader how many are lost.
                    Err(_) if !records.is_empty() => break,
                    Err(what) => {
                        let error = self.damaged(at, what);
                        tracing::error!(%error, records = head.count, "records are lost");
                    }
                }
                read += length;
            }
            at = start + length;
        }
        Ok(records)
    }

    fn head(&self, at: u64) -> Result<Head, TransitError> {
        let mut bytes = [0; HEAD_BYTES];
        match self.file.file().read_exact_at(&mut bytes, at) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(self.damaged(at, "it ends within a frame"));
            }
            Err(source) => return Err(file_error("read", &self.path, source)),
        }
        Head::read(&bytes).ok_or_else(|| self.damaged(at, "no frame begins there"))
    }

    fn damaged(&self, offset: u64, what: &'static str) -> TransitError {
        TransitError::Damaged {
            path: self.path.clone(),
            offset,
            what,
        }
    }
}
