//! One open file, plain or compressed, read from some offset on.

use std::{
    ffi::OsStr,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use fs_err::File;

use super::place::{HEAD_BYTES, Head, Identity, Place};

/// An open file. Offsets count decompressed bytes.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    identity: Identity,
    reader: Reader,
    /// Behind the last byte that was read.
    read: u64,
    /// Behind the last line that was taken.
    pub(super) taken: u64,
    /// The first bytes, as far as they were read.
    head: Vec<u8>,
    /// Length and time of change when the end was last seen.
    seen: Option<(u64, i64)>,
    /// It was found to be written anew.
    replaced: bool,
}

#[derive(Debug)]
enum Reader {
    Plain(File),
    Gzip(File, Box<MultiGzDecoder<File>>),
}

/// A file's name and what its directory says about it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) bytes: u64,
    /// Nanoseconds since the epoch.
    pub(super) modified: i64,
}

impl Listed {
    /// What is at `path`, links followed; `None` when nothing is.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match fs_err::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Opening a pipe would wait for its writer.
        if !metadata.is_file() {
            return Err(io::Error::other(format!(
                "`{}` is not a regular file",
                path.display()
            )));
        }
        Ok(Some(Self {
            path: path.to_owned(),
            identity: identity(&metadata),
            bytes: metadata.len(),
            modified: modified(&metadata),
        }))
    }

    /// Files beside `path` that a rotation may have made of it, oldest change first: its name and
    /// a number or date behind it, perhaps compressed.
    pub(super) fn rotated(path: &Path) -> io::Result<Vec<Self>> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Vec::new());
        };
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let mut rotated = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if is_rotated(&entry.file_name(), name)
                && let Ok(Some(listed)) = Self::at(&entry.path())
            {
                rotated.push(listed);
            }
        }
        rotated.sort_by_key(|listed| listed.modified);
        Ok(rotated)
    }

    /// The first bytes, at most `length`, decompressed.
    pub(super) fn head(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let file = File::open(&self.path)?;
        if is_gzip(&self.path) {
            MultiGzDecoder::new(file)
                .take(length as u64)
                .read_to_end(&mut head)?;
        } else {
            file.take(length as u64).read_to_end(&mut head)?;
        }
        Ok(head)
    }

    /// True when this is the content that `place` is in.
    pub(super) fn holds(&self, place: &Place) -> io::Result<bool> {
        if !is_gzip(&self.path) && self.bytes < place.offset {
            return Ok(false);
        }
        Ok(place.head.begins(&self.head(place.head.length)?))
    }
}

fn is_rotated(name: &OsStr, original: &OsStr) -> bool {
    let (Some(name), Some(original)) = (name.to_str(), original.to_str()) else {
        return false;
    };
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let Some(suffix) = name.strip_prefix(original) else {
        return false;
    };
    suffix.starts_with(['.', '-', '_'])
        && suffix.bytes().any(|byte| byte.is_ascii_digit())
        && suffix
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".-_T:Z".contains(&byte))
}

fn is_gzip(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("gz"))
}

fn identity(metadata: &std::fs::Metadata) -> Identity {
    Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

fn modified(metadata: &std::fs::Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

impl Content {
    /// Opens `path` to be read from `offset` on; from its present end when there is none.
    pub(super) fn open(path: &Path, offset: Option<u64>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (reader, read, head) = if is_gzip(&path) {
            let mut decoder = Box::new(MultiGzDecoder::new(file.try_clone()?));
            let (read, head) = pass(&mut decoder, offset.unwrap_or(u64::MAX))?;
            (Reader::Gzip(file, decoder), read, head)
        } else {
            let offset = offset.unwrap_or(metadata.len());
            let mut head = vec![0; HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES))];
            let length = file.file().read_at(&mut head, 0)?;
            head.truncate(length);
            file.seek(SeekFrom::Start(offset))?;
            (Reader::Plain(file), offset, head)
        };
        Ok(Self {
            path,
            identity: identity(&metadata),
            reader,
            read,
            taken: read,
            head,
            seen: None,
            replaced: false,
        })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn head(&self) -> Head {
        Head::of(&self.head)
    }

    /// The place behind the last line that was taken.
    pub(super) fn place(&self) -> Place {
        Place {
            path: self.path.to_string_lossy().into_owned(),
            identity: self.identity,
            offset: self.taken,
            modified: self.modified().unwrap_or(i64::MIN),
            head: self.head(),
        }
    }

    pub(super) fn modified(&self) -> io::Result<i64> {
        Ok(modified(&self.file().metadata()?))
    }

    /// True when the byte before the first that will be read ends a line.
    pub(super) fn begins_line(&self) -> io::Result<bool> {
        let Some(before) = self.read.checked_sub(1) else {
            return Ok(true);
        };
        let mut byte = [0];
        match &self.reader {
            Reader::Plain(file) => file.file().read_exact_at(&mut byte, before)?,
            Reader::Gzip(..) => return Ok(true),
        }
        Ok(byte == *b"\n")
    }

    /// True when the file was emptied or written anew since it was last read.
    pub(super) fn is_replaced(&mut self) -> io::Result<bool> {
        let Reader::Plain(file) = &self.reader else {
            return Ok(false);
        };
        if self.replaced {
            return Ok(true);
        }
        let Some(seen) = self.seen else {
            return Ok(false);
        };
        let metadata = file.metadata()?;
        let is_now = (metadata.len(), modified(&metadata));
        if metadata.len() < self.read {
            return Ok(true);
        }
        if is_now == seen {
            return Ok(false);
        }
        has_another_head(file, &self.head)
    }

    /// Reads on into `buffer`; the number of bytes, zero at the end and when the file was written
    /// anew.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.reader {
            Reader::Plain(file) => {
                let length = file.read(buffer)?;
                // Asked after the reading, so that nothing of another content is taken for ours.
                self.replaced = has_another_head(file, &self.head)?;
                if self.replaced {
                    return Ok(0);
                }
                length
            }
            Reader::Gzip(_, decoder) => decoder.read(buffer)?,
        };
        let room = HEAD_BYTES.saturating_sub(self.head.len());
        if room > 0 && self.read == self.head.len() as u64 {
            self.head.extend(buffer.iter().take(length.min(room)));
        }
        self.read += length as u64;
        self.seen = None;
        if length == 0 {
            let metadata = self.file().metadata()?;
            self.seen = Some((metadata.len(), modified(&metadata)));
        }
        Ok(length)
    }

    fn file(&self) -> &File {
        match &self.reader {
            Reader::Plain(file) | Reader::Gzip(file, _) => file,
        }
    }
}

/// True when `file` no longer begins with `head`.
fn has_another_head(file: &File, head: &[u8]) -> io::Result<bool> {
    let mut now = vec![0; head.len()];
    let length = file.file().read_at(&mut now, 0)?;
    Ok(now.get(..length) != Some(head))
}

/// Reads `offset` bytes away; their number, and the first of them.
fn pass(reader: &mut impl Read, offset: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut head = Vec::new();
    reader
        .by_ref()
        .take(offset.min(HEAD_BYTES as u64))
        .read_to_end(&mut head)?;
    let rest = offset.saturating_sub(head.len() as u64);
    let passed = io::copy(&mut reader.by_ref().take(rest), &mut io::sink())?;
    Ok((head.len() as u64 + passed, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotations_give() {
        let check = |name: &str, expected| {
            assert_eq!(
                is_rotated(name.as_ref(), "falco.json".as_ref()),
                expected,
                "{name}"
            );
        };
        check("falco.json", false);
        check("falco.json.1", true);
        check("falco.json.12.gz", true);
        check("falco.json-20261121", true);
        check("falco.json.2026-11-21T09:00:00Z", true);
        check("falco.json.gz", false);
        check("falco.json.bak", false);
        check("falco.json.1.tmp", false);
        check("falco.jsonl.1", false);
    }
}
