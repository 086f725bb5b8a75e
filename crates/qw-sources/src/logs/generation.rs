//! One file of a log that is rotated: open, read at any offset, known again by what it begins with.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use fs_err::{File, OpenOptions, os::unix::fs::OpenOptionsExt as _};
use rustix::fs::OFlags;

use super::place::FilePlace;
use crate::file::place::{Head, Identity};

/// Bytes at the beginning by which a file is known again.
const HEAD_BYTES: usize = 256;
/// Bytes before an offset by which it is known that the file is the same up to there.
pub(super) const BEFORE_BYTES: usize = 256;
/// Most that one compressed file may hold when decompressed.
const MOST_DECOMPRESSED: u64 = 8 << 30;
/// Rotated files of one log.
const MOST_FILES: u32 = 4096;
/// Fewest digits of a date in the name of a rotated file: `20261122`.
const DATE_DIGITS: usize = 8;
/// Most characters of a date in such a name.
const DATE_LENGTH: usize = 32;
/// A rotation that is under way is over by then.
const LISTINGS: u32 = 40;

/// An open file of a log. It can be read to its end even when it has lost its name.
#[derive(Debug)]
pub(super) struct Generation {
    identity: Identity,
    reader: Reader,
    head: Vec<u8>,
}

#[derive(Debug)]
enum Reader {
    Plain(File),
    Gzip(Box<Gzip>),
}

/// What reading gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// So many bytes; zero at the end.
    Bytes(usize),
    /// The file was emptied or written anew.
    Replaced,
}

impl Generation {
    /// Opens `path`; `None` when nothing is there. A link is not followed, and what is no file, such as
    /// a pipe that nobody writes to, keeps nobody waiting: log folders may belong to strangers.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let text = format!("`{}` is not a regular file", path.display());
            return Err(io::Error::other(text));
        }
        let reader = if is_gzip(path) {
            Reader::Gzip(Box::new(Gzip::new(file)))
        } else {
            Reader::Plain(file)
        };
        let mut generation = Self {
            identity: identity(&metadata),
            reader,
            head: Vec::new(),
        };
        generation.grow_head()?;
        Ok(Some(generation))
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn head(&self) -> Head {
        Head::of(&self.head)
    }

    pub(super) fn head_bytes(&self) -> &[u8] {
        &self.head
    }

    /// Its length now; of a compressed one what is known of it.
    pub(super) fn length(&self) -> io::Result<u64> {
        match &self.reader {
            Reader::Plain(file) => Ok(file.metadata()?.len()),
            Reader::Gzip(gzip) => Ok(gzip.read),
        }
    }

    /// When it was last written to, in nanoseconds since the epoch.
    pub(super) fn modified(&self) -> io::Result<i64> {
        let metadata = match &self.reader {
            Reader::Plain(file) => file.metadata()?,
            Reader::Gzip(gzip) => gzip.decoder.get_ref().metadata()?,
        };
        Ok(modified(&metadata))
    }

    /// Reads from `offset` on into `buffer`. Offsets count decompressed bytes; a compressed file can
    /// only be read onward.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<Got> {
        let got = match &mut self.reader {
            Reader::Gzip(gzip) => return gzip.read_at(offset, buffer).map(Got::Bytes),
            Reader::Plain(file) => file.file().read_at(buffer, offset)?,
        };
        if got == 0 {
            return if self.length()? < offset {
                Ok(Got::Replaced)
            } else {
                Ok(Got::Bytes(0))
            };
        }
        // Asked after the reading, so that nothing of another content is taken for this one.
        if self.is_replaced()? {
            return Ok(Got::Replaced);
        }
        if self.head.len() < HEAD_BYTES {
            self.grow_head()?;
        }
        Ok(Got::Bytes(got))
    }

    /// What stands right before `offset`, to know the place again; at most [`BEFORE_BYTES`].
    pub(super) fn bytes_before(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = offset.min(BEFORE_BYTES as u64);
        let mut bytes = vec![0; length as usize];
        match &self.reader {
            Reader::Plain(file) => file.file().read_exact_at(&mut bytes, offset - length)?,
            Reader::Gzip(gzip) => {
                // Read apart, since this one is only read onward.
                let mut other = Gzip::new(File::open(gzip.decoder.get_ref().path())?);
                let got = other.read_at(offset - length, &mut bytes)?;
                bytes.truncate(got);
            }
        }
        Ok(bytes)
    }

    /// Whether a line ends right before `offset`; `None` when that cannot be read.
    pub(super) fn ends_line_at(&self, offset: u64) -> Option<bool> {
        let Reader::Plain(file) = &self.reader else {
            return None;
        };
        let mut byte = [0];
        file.file()
            .read_exact_at(&mut byte, offset.checked_sub(1)?)
            .ok()?;
        Some(byte == *b"\n")
    }

    /// True when this is the file that `place` speaks of, or a copy of it, and it still holds what was
    /// read of it up to `offset`.
    pub(super) fn holds(
        &mut self,
        place: &FilePlace,
        offset: u64,
        before: Head,
    ) -> io::Result<bool> {
        let is_same = self.identity == place.identity();
        let may_be_copy = place.head.is_telling() && (self.is_compressed() || before.length > 0);
        if !(is_same || may_be_copy) || !place.head.begins(&self.head) {
            return Ok(false);
        }
        if !self.is_compressed() && self.length()? < offset {
            return Ok(false);
        }
        Ok(before.length == 0 || Head::of(&self.bytes_before(offset)?) == before)
    }

    /// Begins anew with a file that was emptied or written anew.
    pub(super) fn begin_anew(&mut self) -> io::Result<()> {
        self.head.clear();
        self.grow_head()
    }

    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.reader, Reader::Gzip(_))
    }

    /// True when this is a compressed copy of the file that began with `head`.
    pub(super) fn is_compressed_copy(&self, head: Head) -> bool {
        self.is_compressed() && head.is_telling() && head.begins(&self.head)
    }

    fn is_replaced(&self) -> io::Result<bool> {
        let Reader::Plain(file) = &self.reader else {
            return Ok(false);
        };
        let mut now = [0; HEAD_BYTES];
        let now = now.get_mut(..self.head.len()).unwrap_or_default();
        let length = file.file().read_at(now, 0)?;
        Ok(now.get(..length) != Some(&self.head))
    }

    fn grow_head(&mut self) -> io::Result<()> {
        let mut head = vec![0; HEAD_BYTES];
        let length = match &mut self.reader {
            Reader::Plain(file) => file.file().read_at(&mut head, 0)?,
            Reader::Gzip(gzip) => gzip.read_at(0, &mut head)?,
        };
        head.truncate(length);
        if head.starts_with(&self.head) {
            self.head = head;
        }
        Ok(())
    }
}

/// A compressed file, read onward; the bytes behind the last offset asked for are kept, so that a
/// reader may ask again for those that it could not use.
#[derive(Debug)]
struct Gzip {
    decoder: MultiGzDecoder<File>,
    /// Decompressed bytes so far; the last of them are `kept`.
    read: u64,
    kept: Vec<u8>,
}

impl Gzip {
    fn new(file: File) -> Self {
        Self {
            decoder: MultiGzDecoder::new(file),
            read: 0,
            kept: Vec::new(),
        }
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let first_kept = self.read - self.kept.len() as u64;
        let Some(passed) = offset.checked_sub(first_kept) else {
            return Err(io::Error::other(
                "a compressed file cannot be read backward",
            ));
        };
        let drained = usize::try_from(passed)
            .unwrap_or(usize::MAX)
            .min(self.kept.len());
        self.kept.drain(..drained);
        let skipped = offset.saturating_sub(self.read);
        if self.read.saturating_add(skipped) > MOST_DECOMPRESSED {
            return Err(io::Error::other("a compressed file is larger than 8 GiB"));
        }
        self.read += io::copy(&mut self.decoder.by_ref().take(skipped), &mut io::sink())?;
        while self.kept.len() < buffer.len() {
            let before = self.kept.len();
            self.kept.resize(buffer.len(), 0);
            let result = self
                .decoder
                .read(self.kept.get_mut(before..).unwrap_or_default());
            let got = *result.as_ref().unwrap_or(&0);
            self.kept.truncate(before + got);
            self.read += got as u64;
            if let Err(error) = result
                && self.kept.is_empty()
            {
                return Err(error);
            }
            if got == 0 {
                break;
            }
        }
        let length = self.kept.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), self.kept.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}

/// The files of the log at `path` by age: itself, as number 0, then `.1`, `.2`, …, or those with dates,
/// compressed or not. Empty when there is none.
pub(super) fn list(path: &Path) -> io::Result<Vec<(u32, Generation)>> {
    list_until(path, |_| false)
}

/// As [`list`], up to the first file of which `is_last` is true.
pub(super) fn list_until(
    path: &Path,
    is_last: impl Fn(&Generation) -> bool,
) -> io::Result<Vec<(u32, Generation)>> {
    for attempt in 1.. {
        if let Some(found) = try_list(path, attempt >= LISTINGS, &is_last)? {
            return Ok(found);
        }
        // A rotation is under way; it takes a few system calls.
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    Ok(Vec::new())
}

/// `None` when files were seen changing their names, unless `accepts` what is seen.
fn try_list(
    path: &Path,
    accepts: bool,
    is_last: impl Fn(&Generation) -> bool,
) -> io::Result<Option<Vec<(u32, Generation)>>> {
    let numbers = numbers(path)?;
    let is_whole = numbers
        .iter()
        .map(|(number, _)| *number)
        .eq(0..numbers.len() as u32);
    if !is_whole && !accepts {
        return Ok(None);
    }
    let mut found: Vec<(u32, Generation)> = Vec::new();
    for (number, name) in numbers {
        match Generation::open(&name)? {
            Some(generation) => {
                let is_again =
                    |(_, other): &(u32, Generation)| other.identity == generation.identity;
                if !found.iter().any(is_again) {
                    let is_last = is_last(&generation);
                    found.push((number, generation));
                    if is_last {
                        break;
                    }
                }
            }
            None if accepts => {}
            None => return Ok(None),
        }
    }
    let newest = found.first().map(|(_, generation)| generation.identity);
    let is_stable = identity_at(path)? == newest;
    Ok((is_stable || accepts).then_some(found))
}

/// Numbers and names of the files of the log at `path`. Of a file that is there twice, compressed and
/// not, the latter: the former is still being written.
fn numbers(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Ok(Vec::new());
    };
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut by_age = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(age) = file_name.to_str().and_then(|found| age(found, name)) else {
            continue;
        };
        // One that is gone meanwhile is met again when it is opened.
        if entry.file_type().is_ok_and(|kind| !kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if !is_gzip(&path) || !by_age.contains_key(&age) {
            by_age.insert(age, path);
        }
    }
    let mut last = 0;
    let numbered = by_age.into_iter().take(MOST_FILES as usize);
    Ok(numbered
        .map(|(age, path)| {
            last = match age {
                Age::Current => 0,
                Age::Number(number) => number,
                Age::Date(_) => last + 1,
            };
            (last, path)
        })
        .collect())
}

/// How old one file of a log is among its others, as its name tells; the newest is the least.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    /// The one that is written.
    Current,
    /// `.1`, `.2`, …: the engine and `logrotate` count.
    Number(u32),
    /// `.20261122-101500`, `-20261122`, `.2026-11-22`: Kubernetes, `logrotate` with `dateext`, and
    /// programs themselves write a date.
    Date(Reverse<String>),
}

/// How old the file `found` is among those of the log `name`; `None` when it is none of them.
pub(super) fn age(found: &str, name: &str) -> Option<Age> {
    let rest = found.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(Age::Current);
    }
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    let suffix = rest.strip_prefix(['.', '-'])?;
    if is_date(suffix) {
        return Some(Age::Date(Reverse(suffix.to_owned())));
    }
    let is_number = rest.starts_with('.')
        && !suffix.starts_with('0')
        && suffix.bytes().all(|byte| byte.is_ascii_digit());
    let number = suffix.parse().ok().filter(|number| *number < MOST_FILES);
    number.filter(|_| is_number).map(Age::Number)
}

/// Name and age of `found`, when it is one that a rotation gives.
pub(super) fn rotated(found: &str) -> Option<(&str, Age)> {
    let whole = found.strip_suffix(".gz").unwrap_or(found);
    // The suffix may hold `-` and `.` itself: the longest that is one counts.
    let mut names = whole
        .char_indices()
        .filter(|(_, character)| ['.', '-'].contains(character));
    names.find_map(|(at, _)| {
        let name = found.get(..at).filter(|name| !name.is_empty())?;
        Some((name, age(found, name)?))
    })
}

/// Digits, with single signs between them, that sort as their times do.
fn is_date(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_sign = |byte: u8| b"-_T:.".contains(&byte);
    let ends_well =
        text.starts_with(['1', '2']) && text.ends_with(|last: char| last.is_ascii_digit());
    digits >= DATE_DIGITS
        && text.len() <= DATE_LENGTH
        && ends_well
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || is_sign(byte))
}

/// The file that has the name `path` now.
pub(super) fn identity_at(path: &Path) -> io::Result<Option<Identity>> {
    Ok(identity_and_length(path)?.map(|(identity, _)| identity))
}

/// The file that has the name `path` now, and its length.
pub(super) fn identity_and_length(path: &Path) -> io::Result<Option<(Identity, u64)>> {
    match fs_err::metadata(path) {
        Ok(metadata) => Ok(Some((identity(&metadata), metadata.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn names_that_rotations_give() {
        let check = |name: &str, expected| {
            assert_eq!(age(name, "a-json.log"), expected, "{name}");
        };
        let date = |text: &str| Some(Age::Date(Reverse(text.to_owned())));
        check("a-json.log", Some(Age::Current));
        check("a-json.log.1", Some(Age::Number(1)));
        check("a-json.log.12.gz", Some(Age::Number(12)));
        check("a-json.log.20261122-101500", date("20261122-101500"));
        check("a-json.log-20261122.gz", date("20261122"));
        check("a-json.log.2026-11-22", date("2026-11-22"));
        check("a-json.log-1", None);
        check("a-json.log.9999", None);
        check("a-json.log.2026-11-", None);
        check("a-json.log.gz", None);
        check("a-json.log.01", None);
        check("a-json.log.1.tmp", None);
        check("a-json.logs.1", None);
        check("b-json.log.1", None);
        let newer = age("a.log-20261122", "a.log") < age("a.log-20261121.gz", "a.log");
        assert!(newer && age("a.log.7", "a.log") < age("a.log-20261121", "a.log"));
    }

    #[test]
    fn names_of_rotated_files_tell_whose_they_are() {
        let check = |found: &str, expected: Option<&str>| {
            assert_eq!(rotated(found).map(|(name, _)| name), expected, "{found}");
        };
        check("app.log", None);
        check("app.log.1", Some("app.log"));
        check("app.log.1.gz", Some("app.log"));
        check("app.log-20261122", Some("app.log"));
        check("app.log.2026-11-22", Some("app.log"));
        check("app-2026-11-22.log", None);
        check("app-2026-11-22", Some("app"));
        check("0.log.20261122-101500.gz", Some("0.log"));
        check(".1", None);
    }

    #[test]
    fn what_is_no_file_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(folder.path().join("secret"), "s").unwrap();
        fs_err::os::unix::fs::symlink(folder.path().join("secret"), &path).unwrap();
        assert!(Generation::open(&path).is_err());
        fs_err::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let error = Generation::open(&path).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn files_are_listed_by_age_and_plain_ones_preferred() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(list(&path).unwrap().is_empty());
        for (name, text) in [
            ("log", "d"),
            ("log.1", "c"),
            ("log.1.gz", "?"),
            ("log.2", "b"),
        ] {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        let found = list(&path).unwrap();
        let heads: Vec<_> = found
            .iter()
            .map(|(number, generation)| {
                (*number, String::from_utf8(generation.head.clone()).unwrap())
            })
            .collect();
        assert_eq!(heads, [(0, "d".into()), (1, "c".into()), (2, "b".into())]);
    }

    #[test]
    fn compressed_files_are_read_onward_and_may_be_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.1.gz");
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut encoder = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap();
        let mut generation = Generation::open(&path).unwrap().unwrap();
        let mut buffer = vec![0; 1000];
        for offset in [0_u64, 0, 990, 1500, 399_500] {
            let Got::Bytes(got) = generation.read_at(offset, &mut buffer).unwrap() else {
                panic!("it does not change")
            };
            let offset = offset as usize;
            assert_eq!(
                &buffer[..got],
                &text[offset..(offset + 1000).min(text.len())]
            );
        }
        assert_eq!(
            generation.read_at(400_000, &mut buffer).unwrap(),
            Got::Bytes(0)
        );
        assert!(generation.read_at(0, &mut buffer).is_err());
    }

    #[test]
    fn a_file_written_anew_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs_err::write(&path, "first content\n").unwrap();
        let mut generation = Generation::open(&path).unwrap().unwrap();
        let mut buffer = vec![0; 1000];
        assert_eq!(generation.read_at(0, &mut buffer).unwrap(), Got::Bytes(14));
        fs_err::write(&path, "").unwrap();
        assert_eq!(generation.read_at(14, &mut buffer).unwrap(), Got::Replaced);
        fs_err::write(&path, "other content, and more\n").unwrap();
        assert_eq!(generation.read_at(14, &mut buffer).unwrap(), Got::Replaced);
    }
}
