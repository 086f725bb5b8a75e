//! Events per second over the last minute.

use std::sync::Arc;

use qw_event::{StoredEvent, Timestamp};
use rustc_hash::FxHashMap;

const SECONDS: usize = 60;

/// Counts of the last minute, of all containers and of each.
pub(super) struct Rates {
    max_containers: usize,
    all: Minute,
    containers: FxHashMap<Arc<str>, Minute>,
}

/// One count per second, in a ring.
#[derive(Clone)]
struct Minute {
    counts: Box<[u32; SECONDS]>,
    /// Second of the newest count.
    newest: i64,
}

impl Rates {
    pub(super) fn new(max_containers: usize) -> Self {
        Self {
            max_containers,
            all: Minute::new(),
            containers: FxHashMap::default(),
        }
    }

    /// Counts `events`, which arrived at `received`.
    pub(super) fn count(&mut self, events: &[StoredEvent], received: Timestamp) {
        let second = received.as_seconds();
        self.all
            .add(second, u32::try_from(events.len()).unwrap_or(u32::MAX));
        let mut rest = events;
        while let Some(first) = rest.first() {
            let id = &first.event.container.id;
            let run = rest
                .iter()
                .take_while(|stored| stored.event.container.id == *id)
                .count();
            self.count_container(id, second, run as u32);
            rest = rest.get(run..).unwrap_or_default();
        }
    }

    fn count_container(&mut self, id: &Arc<str>, second: i64, count: u32) {
        if let Some(minute) = self.containers.get_mut(id) {
            minute.add(second, count);
            return;
        }
        if self.containers.len() >= self.max_containers {
            self.containers
                .retain(|_, minute| second - minute.newest < SECONDS as i64);
            if self.containers.len() >= self.max_containers {
                return;
            }
        }
        let mut minute = Minute::new();
        minute.add(second, count);
        self.containers.insert(Arc::clone(id), minute);
    }

    pub(super) fn all(&self, now: Timestamp) -> f64 {
        self.all.rate(now.as_seconds())
    }

    pub(super) fn container(&self, id: &str, now: Timestamp) -> f64 {
        self.containers
            .get(id)
            .map_or(0.0, |minute| minute.rate(now.as_seconds()))
    }
}

impl Minute {
    fn new() -> Self {
        Self {
            counts: Box::new([0; SECONDS]),
            newest: i64::MIN / 2,
        }
    }

    fn add(&mut self, second: i64, count: u32) {
        let ahead = second.saturating_sub(self.newest);
        if ahead >= SECONDS as i64 {
            self.counts.fill(0);
        } else {
            for skipped in 1..=ahead {
                self.at(self.newest + skipped, |slot| *slot = 0);
            }
        }
        if ahead > -(SECONDS as i64) {
            self.at(second, |slot| *slot = slot.saturating_add(count));
        }
        self.newest = self.newest.max(second);
    }

    fn at(&mut self, second: i64, change: impl FnOnce(&mut u32)) {
        let index = second.rem_euclid(SECONDS as i64) as usize;
        if let Some(slot) = self.counts.get_mut(index) {
            change(slot);
        }
    }

    fn rate(&self, now: i64) -> f64 {
        let sum: u64 = (0..SECONDS as i64)
            .map(|back| now - back)
            .filter(|second| {
                *second <= self.newest && self.newest.saturating_sub(*second) < SECONDS as i64
            })
            .filter_map(|second| self.counts.get(second.rem_euclid(SECONDS as i64) as usize))
            .map(|count| u64::from(*count))
            .sum();
        sum as f64 / SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_view::tests::event;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + second)
    }

    fn events(container: &str, count: u64) -> Vec<StoredEvent> {
        (0..count)
            .map(|id| event(id, Timestamp::EPOCH, "Rule", container))
            .collect()
    }

    #[test]
    fn the_rate_is_the_last_minutes() {
        let mut rates = Rates::new(10);
        let mut both = events("a", 60);
        both.extend(events("b", 30));
        rates.count(&both, at(0));
        let (a, b) = (format!("{:0<64}", "a"), format!("{:0<64}", "b"));
        assert!((rates.all(at(0)) - 1.5).abs() < 1e-9);
        assert!((rates.container(&a, at(59)) - 1.0).abs() < 1e-9);
        assert!((rates.container(&b, at(59)) - 0.5).abs() < 1e-9);
        assert!(rates.container(&a, at(60)).abs() < 1e-9);
        rates.count(&events("a", 6), at(50));
        assert!((rates.container(&a, at(59)) - 1.1).abs() < 1e-9);
        assert!((rates.container(&a, at(60)) - 0.1).abs() < 1e-9);
        rates.count(&events("a", 6), at(500));
        assert!((rates.container(&a, at(500)) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn containers_are_bounded() {
        let mut rates = Rates::new(2);
        for name in ["a", "b", "c"] {
            rates.count(&events(name, 1), at(0));
        }
        assert_eq!(rates.containers.len(), 2);
        rates.count(&events("c", 1), at(100));
        assert_eq!(rates.containers.len(), 1);
    }
}
