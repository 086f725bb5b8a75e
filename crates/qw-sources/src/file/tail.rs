//! Which file is read now, and which comes next.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use super::{
    content::{Content, Listed},
    place::{Head, Identity, Place},
};
use crate::lines::{Line, Splitter};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Files remembered as read to their end.
const FINISHED: usize = 64;

/// Where reading begins.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Beginning,
    End,
    At(Place),
}

/// What one step did.
#[derive(Debug)]
pub(super) enum Step {
    /// There may be more at once.
    Read,
    /// Everything there is was read.
    AtEnd,
    /// Everything was read, and under the configured name there is no file.
    Missing,
    /// Something that was to be read is gone; reading goes on behind it.
    Lost(String),
}

/// Follows one name. Every call does a little and returns.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    start: Start,
    current: Option<Content>,
    splitter: Splitter,
    buffer: Vec<u8>,
    /// The first line that comes is the end of one that began before the place to begin.
    skips_line: bool,
    /// The next file, seen while the current one may still have grown.
    next: Option<Identity>,
    /// Files that were read to their end, newest last.
    finished: VecDeque<(Identity, Head)>,
}

impl Tail {
    pub(super) fn new(path: &Path, start: Start, most_line_bytes: usize) -> Self {
        Self {
            path: path.to_owned(),
            start,
            current: None,
            splitter: Splitter::new(most_line_bytes),
            buffer: vec![0; CHUNK_BYTES],
            skips_line: false,
            next: None,
            finished: VecDeque::new(),
        }
    }

    /// Behind the last line that was given; `None` before a file was opened.
    pub(super) fn place(&self) -> Option<Place> {
        self.current.as_ref().map(Content::place)
    }

    /// Reads on and gives `each` every complete line.
    pub(super) fn step(&mut self, mut each: impl FnMut(&Line<'_>)) -> io::Result<Step> {
        let Some(current) = &mut self.current else {
            return self.begin();
        };
        if current.is_replaced()? {
            return self.go_on_elsewhere(each);
        }
        let length = current.read(&mut self.buffer)?;
        if length > 0 {
            self.next = None;
            let skips_line = &mut self.skips_line;
            let bytes = self.buffer.get(..length).unwrap_or_default();
            self.splitter.push(bytes, |line, bytes| {
                current.taken += bytes;
                if !std::mem::take(skips_line) {
                    each(&line);
                }
            });
            return Ok(Step::Read);
        }
        if current.is_replaced()? {
            return self.go_on_elsewhere(each);
        }

        let named = Listed::at(&self.path)?;
        if named
            .as_ref()
            .is_some_and(|named| named.identity == current.identity())
        {
            return Ok(Step::AtEnd);
        }
        let is_missing = named.is_none();
        let Some(next) = self.next_file(named)? else {
            return Ok(if is_missing {
                Step::Missing
            } else {
                Step::AtEnd
            });
        };
        // The writer has moved on, but may have written to the old file until it did.
        if self.next != Some(next.identity) {
            self.next = Some(next.identity);
            return Ok(Step::Read);
        }
        self.finish(each);
        self.open(&next.path, Some(0))?;
        Ok(Step::Read)
    }

    /// Opens the first file.
    fn begin(&mut self) -> io::Result<Step> {
        if let Start::At(place) = &self.start {
            let place = place.clone();
            let step = self.find(&place)?;
            // From here on the stored place is of no more use.
            self.start = Start::Beginning;
            return Ok(step);
        }
        let Some(named) = Listed::at(&self.path)? else {
            // Whatever will be there is new.
            self.start = Start::Beginning;
            return Ok(Step::Missing);
        };
        let offset = if matches!(self.start, Start::End) {
            None
        } else {
            Some(0)
        };
        self.open(&named.path, offset)?;
        if let Some(current) = &self.current {
            self.skips_line = !current.begins_line()?;
        }
        Ok(Step::Read)
    }

    /// Opens the file that `place` is in, or what came after it.
    fn find(&mut self, place: &Place) -> io::Result<Step> {
        if let Some(held) = self.holder(place, |_| true)? {
            self.open(&held.path, Some(place.offset))?;
            return Ok(Step::Read);
        }
        let rotated = Listed::rotated(&self.path)?;
        let newer = |listed: &Listed| listed.modified >= place.modified && listed.bytes > 0;
        let next = match rotated.into_iter().find(newer) {
            Some(rotated) => Some(rotated),
            None => Listed::at(&self.path)?,
        };
        if let Some(next) = next {
            self.open(&next.path, Some(0))?;
        }
        let (path, offset) = (&place.path, place.offset);
        if offset == 0 {
            return Ok(Step::Read);
        }
        Ok(Step::Lost(format!(
            "the file `{path}` that was read up to byte {offset} is gone; what it got after that is lost"
        )))
    }

    /// The file that has the content of `place`: the same file, else a copy.
    fn holder(
        &self,
        place: &Place,
        accepts: impl Fn(&Listed) -> bool,
    ) -> io::Result<Option<Listed>> {
        let mut listed = Vec::new();
        for path in [Path::new(&place.path), &self.path] {
            // Either may be unreadable by now; then it is not there for us.
            listed.extend(Listed::at(path).ok().flatten());
        }
        listed.extend(Listed::rotated(&self.path)?);
        listed.retain(|listed| accepts(listed));
        let same = |listed: &Listed| listed.identity == place.identity;
        listed.sort_by_key(|listed| !same(listed));
        for listed in listed {
            let may_hold = same(&listed) || place.head.is_telling();
            if may_hold && listed.holds(place).unwrap_or(false) {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }

    /// The current file has another content now; what it had may be in a copy.
    fn go_on_elsewhere(&mut self, each: impl FnMut(&Line<'_>)) -> io::Result<Step> {
        let Some(current) = &self.current else {
            return Ok(Step::Read);
        };
        let place = current.place();
        if let Some(copy) = self.holder(&place, |listed| listed.identity != place.identity)? {
            self.splitter.discard();
            self.open(&copy.path, Some(place.offset))?;
            return Ok(Step::Read);
        }
        self.finish(each);
        match Listed::at(&self.path)? {
            Some(named) => {
                self.open(&named.path, Some(0))?;
                Ok(Step::Read)
            }
            None => {
                self.current = None;
                Ok(Step::Missing)
            }
        }
    }

    /// The file that was written after the current one, if there is one with content; `named` is
    /// the one that has the configured name now.
    fn next_file(&self, named: Option<Listed>) -> io::Result<Option<Listed>> {
        let Some(current) = &self.current else {
            return Ok(None);
        };
        let modified = current.modified()?;
        let named_identity = named.as_ref().map(|named| named.identity);
        for rotated in Listed::rotated(&self.path)? {
            let is_candidate = rotated.identity != current.identity()
                && Some(rotated.identity) != named_identity
                && rotated.bytes > 0
                && rotated.modified >= modified;
            if is_candidate && !self.is_finished(&rotated)? && !is_copy(&rotated, current)? {
                return Ok(Some(rotated));
            }
        }
        Ok(named.filter(|named| named.bytes > 0))
    }

    fn is_finished(&self, listed: &Listed) -> io::Result<bool> {
        for (identity, head) in &self.finished {
            if *identity == listed.identity && head.begins(&listed.head(head.length)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives the line without newline at the end of the current file, and remembers the file.
    fn finish(&mut self, mut each: impl FnMut(&Line<'_>)) {
        let skips_line = std::mem::take(&mut self.skips_line);
        self.splitter.finish(|line, _| {
            if !skips_line {
                each(&line);
            }
        });
        if let Some(current) = &self.current {
            if self.finished.len() == FINISHED {
                self.finished.pop_front();
            }
            self.finished
                .push_back((current.identity(), current.head()));
        }
    }

    fn open(&mut self, path: &Path, offset: Option<u64>) -> io::Result<()> {
        self.current = Some(Content::open(path, offset)?);
        self.next = None;
        self.skips_line = false;
        Ok(())
    }
}

fn is_copy(listed: &Listed, current: &Content) -> io::Result<bool> {
    let head = current.head();
    Ok(head.is_telling() && head.begins(&listed.head(head.length)?))
}
