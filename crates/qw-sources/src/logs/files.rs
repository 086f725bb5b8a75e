//! The files of one log in the order in which they were written, opened before they can get away.
//!
//! Whoever rotates a log removes its oldest file. A reader that has fallen behind would lose it; so
//! each file is opened as soon as it is there, and waits, open, until the reader gets to it. What has
//! got away nevertheless is a [`Gap`] at its place between the others.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use parking_lot::Mutex;

use super::{
    generation::{Generation, identity_and_length, identity_at, list, list_until},
    place::{FilePlace, FilesPlace},
};
use crate::file::place::{Head, Identity};

/// Open files that wait to be read, of one log.
const MOST_WAITING: usize = 512;
/// Files remembered as known.
const RECENT: usize = 32;

/// The files of one log.
#[derive(Debug)]
pub(super) struct LogFiles {
    path: PathBuf,
    /// Bytes of one log that may wait to be read in files that were rotated away.
    most_held: u64,
    /// Files that got the log's name, as the kernel tells; counted while `is_watched`.
    created: AtomicU64,
    is_watched: AtomicBool,
    /// The kernel has told less than has happened.
    has_missed: AtomicBool,
    rotation: Mutex<Rotation>,
}

#[derive(Debug, Default)]
struct Rotation {
    has_begun: bool,
    /// The newest file, which is open somewhere, so that nothing else can get its identity.
    newest: Option<(Identity, Head)>,
    waiting: VecDeque<Next>,
    /// Of `created`, those that were opened or found missing.
    accounted: u64,
    recent: VecDeque<Known>,
}

/// A file that was opened.
#[derive(Debug)]
struct Known {
    identity: Identity,
    head: Head,
    /// As long as it is open, nothing else has its identity.
    is_open: bool,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A file.
    File(Generation),
    /// Something that is missing.
    Gap(Gap),
}

/// What is known of something that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) reason: GapReason,
    /// Files, when that is known.
    pub(super) files: Option<u64>,
    /// Bytes of the log's files, when that is known.
    pub(super) bytes: Option<u64>,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapReason {
    /// Files were rotated away before they were read.
    Rotated,
    /// Files went with their container before they could be opened.
    Removed,
    /// The file was emptied.
    Truncated,
    /// The engine's stream left something out.
    Api,
    /// Something cannot be read.
    Unreadable,
    /// The journal has thrown entries away.
    Vacuumed,
}

impl GapReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Removed => "removed",
            Self::Truncated => "truncated",
            Self::Api => "api",
            Self::Unreadable => "unreadable",
            Self::Vacuumed => "vacuumed",
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<'a> {
    /// With the oldest file that is there.
    Beginning,
    /// With the file that has the log's name, leaving older ones alone.
    Newest,
    /// At the end of what is there now.
    End,
    /// Where it was left.
    At(&'a FilesPlace),
}

/// Where the first file begins, and where to read on in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// Offset of the first byte of the first file.
    pub(super) base: u64,
    /// Bytes of it to pass over.
    pub(super) skip: u64,
    /// Files of the place that are gone; reading goes on in the others.
    pub(super) is_found: bool,
}

impl LogFiles {
    pub(super) fn new(path: PathBuf, most_held: u64) -> Self {
        Self {
            path,
            most_held,
            created: AtomicU64::new(0),
            is_watched: AtomicBool::new(false),
            has_missed: AtomicBool::new(false),
            rotation: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says that from now on every file that gets the log's name is told by [`Self::created`].
    pub(super) fn set_watched(&self) {
        self.is_watched.store(true, SeqCst);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.load(Relaxed)
    }

    /// A file got the log's name.
    pub(super) fn created(&self) {
        self.created.fetch_add(1, SeqCst);
    }

    /// It is not known what happened to the log's name.
    pub(super) fn missed_events(&self) {
        self.has_missed.store(true, SeqCst);
    }

    /// Opens what there is from `begin` on.
    pub(super) fn begin(&self, begin: Begin<'_>) -> io::Result<Begun> {
        let mut rotation = self.rotation.lock();
        *rotation = Rotation::default();
        let found = match begin {
            Begin::Newest | Begin::End => list_until(&self.path, |_| true)?,
            Begin::Beginning | Begin::At(_) => list(&self.path)?,
        };
        rotation.has_begun = true;
        let begun = match begin {
            Begin::Beginning => {
                rotation.push_from(found, None);
                Begun::default()
            }
            Begin::Newest => {
                let is_newest = |(number, _): &(u32, Generation)| *number == 0;
                rotation.push_from(found.into_iter().take(1).filter(is_newest).collect(), None);
                Begun::default()
            }
            Begin::End => {
                let newest = found.into_iter().next();
                let skip = match &newest {
                    Some((_, newest)) => newest.length()?,
                    None => 0,
                };
                rotation.push_from(newest.into_iter().collect(), None);
                Begun {
                    skip,
                    ..Begun::default()
                }
            }
            Begin::At(place) => rotation.push_behind(found, place),
        };
        rotation.accounted = self.created.load(SeqCst);
        rotation.bound(self.most_held);
        Ok(begun)
    }

    /// As [`Self::begin`] with the oldest file, unless it was done already.
    pub(super) fn begin_unless_begun(&self) -> io::Result<Begun> {
        if self.rotation.lock().has_begun {
            return Ok(Begun::default());
        }
        self.begin(Begin::Beginning)
    }

    /// What has the log's name now, and how long it is.
    pub(super) fn identity_and_length(&self) -> io::Result<Option<(Identity, u64)>> {
        identity_and_length(&self.path)
    }

    /// Opens files that are new, and notes what has got away.
    pub(super) fn catch_up(&self) -> io::Result<()> {
        let mut rotation = self.rotation.lock();
        if !rotation.has_begun {
            return Ok(());
        }
        let has_missed = self.has_missed.swap(false, SeqCst);
        let created = self.created.load(SeqCst);
        let Some((newest, head)) = rotation.newest else {
            let found = list(&self.path)?;
            rotation.push_from(found, None);
            rotation.accounted = created;
            return Ok(());
        };
        let now = identity_at(&self.path)?;
        if now.is_none() || now == Some(newest) {
            return Ok(());
        }
        let mut first_rotated = self.path.clone().into_os_string();
        first_rotated.push(".1");
        if let Some(next) = Generation::open(&self.path)?
            && next.identity() != newest
            && identity_at(Path::new(&first_rotated))? == Some(newest)
        {
            rotation.push(next);
        } else {
            let is_known = |generation: &Generation| {
                generation.identity() == newest || generation.is_compressed_copy(head)
            };
            let mut found = list_until(&self.path, is_known)?;
            let known = found
                .iter()
                .position(|(_, generation)| is_known(generation));
            if let Some(known) = known {
                let number = found.get(known).map(|(number, _)| *number);
                found.truncate(known);
                rotation.push_from(found, number);
            } else {
                found.retain(|(_, generation)| !rotation.knows(generation));
                let is_single = found.len() <= 1;
                let accounted = rotation.accounted + found.len() as u64;
                let lost = created.saturating_sub(accounted);
                let gap = if self.is_watched() && !has_missed {
                    rotation.accounted += lost;
                    (lost > 0).then_some(Some(lost))
                } else {
                    (has_missed || !is_single).then_some(None)
                };
                if let Some(files) = gap {
                    rotation.push_gap(Gap::rotated(files));
                }
                rotation.push_from(found, None);
            }
        }
        if has_missed {
            rotation.accounted = created;
        }
        rotation.bound(self.most_held);
        Ok(())
    }

    /// As [`Self::catch_up`] for the last time: what was told and cannot be opened any more is a gap.
    pub(super) fn last_look(&self) -> io::Result<()> {
        self.catch_up()?;
        let mut rotation = self.rotation.lock();
        let lost = self.created.load(SeqCst).saturating_sub(rotation.accounted);
        if rotation.has_begun && self.is_watched() && lost > 0 {
            rotation.accounted += lost;
            rotation.push_gap(Gap {
                reason: GapReason::Removed,
                files: Some(lost),
                bytes: None,
            });
        }
        Ok(())
    }

    /// A copy of the file that `file` speaks of, as it was before it was emptied: it holds what was
    /// read up to `offset`, before which stands `before`, and perhaps more.
    pub(super) fn copy_of(
        &self,
        file: &FilePlace,
        offset: u64,
        before: Head,
    ) -> Option<Generation> {
        let is_copy = |generation: &mut Generation| {
            let is_other = generation.identity() != file.identity();
            is_other && generation.holds(file, offset, before).unwrap_or(false)
        };
        let found = list(&self.path).unwrap_or_default();
        let mut others = found.into_iter().map(|(_, generation)| generation);
        others.find_map(|mut generation| is_copy(&mut generation).then_some(generation))
    }

    /// `generation` is what comes next.
    pub(super) fn put_back(&self, generation: Generation) {
        let mut rotation = self.rotation.lock();
        rotation.waiting.push_front(Next::File(generation));
    }

    /// What comes after what was taken last.
    pub(super) fn next(&self) -> Option<Next> {
        self.rotation.lock().waiting.pop_front()
    }

    /// A file that was taken is open no more.
    pub(super) fn closed(&self, identity: Identity, head: Head) {
        self.rotation.lock().closed(identity, head);
    }

    pub(super) fn has_next(&self) -> bool {
        !self.rotation.lock().waiting.is_empty()
    }

    /// Bytes of the files that wait.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.rotation.lock().waiting_bytes()
    }

    /// Files that are open and wait.
    pub(super) fn waiting_files(&self) -> usize {
        self.rotation.lock().waiting.len()
    }

    /// The newest file will not be open any more: reading begins anew from a place.
    pub(super) fn let_go(&self) {
        *self.rotation.lock() = Rotation::default();
    }
}

impl Default for Begun {
    fn default() -> Self {
        Self {
            base: 0,
            skip: 0,
            is_found: true,
        }
    }
}

impl Gap {
    fn rotated(files: Option<u64>) -> Self {
        Self {
            reason: GapReason::Rotated,
            files,
            bytes: None,
        }
    }
}

impl Rotation {
    /// Adds the files of a listing, newest first, oldest first; holes in their numbers, and before the
    /// oldest of them when the number of the one before it is known, are gaps.
    fn push_from(&mut self, found: Vec<(u32, Generation)>, before: Option<u32>) {
        let mut expected = before.and_then(|before| before.checked_sub(1));
        for (number, generation) in found.into_iter().rev() {
            if let Some(expected) = expected
                && number < expected
            {
                self.push_gap(Gap::rotated(Some(u64::from(expected - number))));
                self.accounted += u64::from(expected - number);
            }
            expected = number.checked_sub(1);
            self.push(generation);
        }
    }

    /// As [`Self::push_from`], from `place` on.
    fn push_behind(&mut self, mut found: Vec<(u32, Generation)>, place: &FilesPlace) -> Begun {
        let last = place.files.len().saturating_sub(1);
        for (index, file) in place.files.iter().enumerate() {
            let (offset, before) = if index == last {
                (place.read_to.saturating_sub(file.base), place.before)
            } else {
                (0, Head::of(b""))
            };
            let mut held = None;
            for (at, (_, generation)) in found.iter_mut().enumerate() {
                // One that cannot be read is none that we can go on in.
                if generation.holds(file, offset, before).unwrap_or(false) {
                    held = Some(at);
                    break;
                }
            }
            let Some(held) = held else { continue };
            if index > 0 {
                self.push_gap(Gap::rotated(Some(index as u64)));
            }
            found.truncate(held + 1);
            self.push_from(found, None);
            let start = place.resume.start().max(file.base);
            return Begun {
                base: file.base,
                skip: start - file.base,
                is_found: true,
            };
        }
        found.retain(|(_, generation)| {
            generation
                .modified()
                .is_ok_and(|modified| modified >= place.modified)
        });
        self.push_gap(Gap::rotated(None));
        self.push_from(found, None);
        Begun {
            base: place.read_to,
            skip: 0,
            is_found: false,
        }
    }

    fn push(&mut self, generation: Generation) {
        let (identity, head) = (generation.identity(), generation.head());
        self.newest = Some((identity, head));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Known {
            identity,
            head,
            is_open: true,
        });
        self.accounted += 1;
        self.waiting.push_back(Next::File(generation));
    }

    /// A file is open no more; how it began is known better now than when it was new.
    fn closed(&mut self, identity: Identity, head: Head) {
        let mut newest_first = self.recent.iter_mut().rev();
        if let Some(known) = newest_first.find(|known| known.is_open && known.identity == identity)
        {
            known.is_open = false;
            known.head = head;
        }
    }

    fn push_gap(&mut self, gap: Gap) {
        self.waiting.push_back(Next::Gap(gap));
    }

    fn knows(&self, generation: &Generation) -> bool {
        self.recent.iter().any(|known| {
            known.identity == generation.identity()
                && (known.is_open
                    || known.head.is_telling() && known.head.begins(generation.head_bytes()))
        })
    }

    fn waiting_bytes(&self) -> u64 {
        let length = |next: &Next| match next {
            Next::File(generation) => generation.length().unwrap_or(0),
            Next::Gap(_) => 0,
        };
        self.waiting.iter().map(length).sum()
    }

    /// Gives up the oldest files when too much waits. The newest stays: it has its name, and its space
    /// is not ours.
    fn bound(&mut self, most_held: u64) {
        let mut bytes = match self.waiting.len() {
            0..=2 => return,
            _ => self.waiting_bytes(),
        };
        let mut given_up = None;
        while self.waiting.len() > 1 && (bytes > most_held || self.waiting.len() > MOST_WAITING) {
            let gap = given_up.get_or_insert(Gap {
                reason: GapReason::Rotated,
                files: Some(0),
                bytes: Some(0),
            });
            match self.waiting.pop_front() {
                Some(Next::File(generation)) => {
                    let length = generation.length().unwrap_or(0);
                    bytes = bytes.saturating_sub(length);
                    gap.add(Some(1), Some(length));
                    self.closed(generation.identity(), generation.head());
                }
                Some(Next::Gap(other)) => gap.add(other.files, other.bytes),
                None => break,
            }
        }
        if let Some(gap) = given_up {
            self.waiting.push_front(Next::Gap(gap));
        }
    }
}

impl Gap {
    fn add(&mut self, files: Option<u64>, bytes: Option<u64>) {
        self.files = self.files.zip(files).map(|(a, b)| a + b);
        self.bytes = self.bytes.zip(bytes).map(|(a, b)| a + b);
    }
}
