//! What is known of all containers' use, for those who show it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_cgroup::Sample;
use qw_event::Timestamp;
use rustc_hash::FxHashMap;

use crate::{History, Point};

/// How a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Files of control groups, version 1.
    CgroupV1,
    /// Files of control groups, version 2.
    CgroupV2,
    /// The engine is asked.
    Engine,
    /// Not at all, at the moment.
    None,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CgroupV1, Self::CgroupV2, Self::Engine, Self::None];

    /// `cgroup_v1`, `cgroup_v2`, `engine` or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV1 => "cgroup_v1",
            Self::CgroupV2 => "cgroup_v2",
            Self::Engine => "engine",
            Self::None => "none",
        }
    }
}

/// One reading of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When.
    pub time: Timestamp,
    /// Path of its control group; as the engine usually names it where it is not visible.
    pub group: Arc<str>,
    /// What was read.
    pub sample: Sample,
    /// Names of the sample's devices, in its order.
    pub devices: Arc<[Box<str>]>,
    /// The reading with its rates.
    pub point: Point,
}

/// A container, how it is read, and what was read of it.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Full id.
    pub id: Arc<str>,
    /// How it is read now.
    pub way: Way,
    /// Why so, in words.
    pub why: Arc<str>,
    /// The newest reading; `None` when there is none since it started, or it has stopped.
    pub reading: Option<Arc<Reading>>,
}

/// How the rounds go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundStatus {
    /// Rounds done.
    pub rounds: u64,
    /// Readings taken.
    pub readings: u64,
    /// Readings that failed.
    pub failures: u64,
    /// When the last round began.
    pub last: Option<Timestamp>,
    /// How long it took.
    pub took: Duration,
    /// Time between two rounds.
    pub interval: Duration,
}

/// The newest readings and their history. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    tracked: Arc<[Tracked]>,
    histories: FxHashMap<Arc<str>, History>,
    status: RoundStatus,
}

impl Usage {
    /// The containers that ran in the last round, by id.
    pub fn tracked(&self) -> Arc<[Tracked]> {
        Arc::clone(&self.shared.lock().tracked)
    }

    /// The container with this full id, when it ran in the last round.
    pub fn get(&self, id: &str) -> Option<Tracked> {
        let tracked = self.tracked();
        let at = tracked.binary_search_by(|one| (*one.id).cmp(id)).ok()?;
        tracked.get(at).cloned()
    }

    /// The points of a container from `start` to before `end`, oldest first; also of one that has
    /// stopped since.
    pub fn points(&self, id: &str, start: Timestamp, end: Timestamp) -> Vec<Point> {
        let shared = self.shared.lock();
        let points = shared.histories.get(id).into_iter();
        points
            .flat_map(History::points)
            .filter(|point| (start..end).contains(&point.time))
            .copied()
            .collect()
    }

    /// How the rounds go.
    pub fn status(&self) -> RoundStatus {
        self.shared.lock().status
    }

    /// Takes over a round: `tracked` by id, with `keep` and `most` as bounds of each history and
    /// `containers` as the bound of their number.
    pub(crate) fn publish(
        &self,
        tracked: Vec<Tracked>,
        status: RoundStatus,
        now: Timestamp,
        keep: Duration,
        most: usize,
        containers: usize,
    ) {
        let mut shared = self.shared.lock();
        for one in &tracked {
            if let Some(reading) = &one.reading {
                shared
                    .histories
                    .entry(Arc::clone(&one.id))
                    .or_default()
                    .push(reading.point, keep, most);
            }
        }
        let oldest = now.saturating_sub(keep);
        let newest = |history: &History| history.newest().map(|point| point.time);
        shared
            .histories
            .retain(|_, history| newest(history).is_some_and(|time| time >= oldest));
        let room = containers.max(tracked.len());
        if shared.histories.len() > room {
            // Those that stopped longest ago make room.
            let mut times: Vec<_> = shared.histories.values().filter_map(newest).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            if let Some(last) = times.get(room.saturating_sub(1)).copied() {
                shared
                    .histories
                    .retain(|_, history| newest(history).is_some_and(|time| time >= last));
            }
        }
        shared.tracked = tracked.into();
        shared.status = status;
    }
}
