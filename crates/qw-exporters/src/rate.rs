//! What each container did lately: its newest event, and its rate over the last ten seconds.

use std::{sync::Arc, time::Duration};

use qw_event::Timestamp;

use crate::{
    exposition::write_labels,
    series::{LabelMap, TableSize},
};

/// Seconds the rate looks back.
const WINDOW: usize = 10;

/// Containers by name, bounded in number; those beyond share the name `other`.
#[derive(Debug)]
pub(crate) struct Containers {
    bound: usize,
    by_name: LabelMap<u32>,
    all: Vec<Container>,
    folded: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Container {
    name: Arc<str>,
    last_event: Timestamp,
    rate: Rate,
    touched: Timestamp,
}

/// A container of the table, valid until the table forgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerIndex {
    index: u32,
    folded: bool,
}

/// One container at one moment.
#[derive(Debug, PartialEq)]
pub(crate) struct ContainerSample {
    /// The label, as `write_labels` writes it.
    pub(crate) labels: String,
    /// Newest event, seconds since 1970.
    pub(crate) last_event_seconds: f64,
    /// Events per second.
    pub(crate) rate: f64,
}

impl Containers {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(10),
            by_name: LabelMap::default(),
            all: Vec::new(),
            folded: 0,
            forgotten: 0,
        }
    }

    /// The container called `name`, made when it is new.
    pub(crate) fn find(&mut self, name: &str) -> ContainerIndex {
        if let Some(index) = self.by_name.get(name) {
            return ContainerIndex {
                index: *index,
                folded: false,
            };
        }
        let folded = self.all.len() >= self.bound;
        let name = if folded { "other" } else { name };
        if folded && let Some(index) = self.by_name.get(name) {
            return ContainerIndex {
                index: *index,
                folded,
            };
        }
        let index = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), index);
        self.all.push(Container {
            name,
            last_event: Timestamp::MIN,
            rate: Rate::default(),
            touched: Timestamp::MIN,
        });
        ContainerIndex { index, folded }
    }

    /// Notes that `events` arrived at `now`, the newest of which happened at `newest`.
    ///
    /// An event from the future counts as having happened now, or one wrong clock would hide all
    /// that follows.
    pub(crate) fn add(
        &mut self,
        at: ContainerIndex,
        events: u64,
        newest: Timestamp,
        now: Timestamp,
    ) {
        if let Some(container) = self.all.get_mut(at.index as usize) {
            container.last_event = container.last_event.max(newest.min(now));
            container.touched = container.touched.max(now);
            container.rate.add(events, now);
        }
        if at.folded {
            self.folded += events;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= self.bound
    }

    /// Forgets the containers that were silent for `idle`; returns whether there were any.
    /// Every [`ContainerIndex`] is void after that.
    pub(crate) fn forget_idle(&mut self, now: Timestamp, idle: Duration) -> bool {
        let before = self.all.len();
        let since = now.saturating_sub(idle);
        self.all.retain(|container| container.touched >= since);
        let forgotten = before - self.all.len();
        if forgotten == 0 {
            return false;
        }
        self.forgotten += forgotten as u64;
        self.by_name.clear();
        for (index, container) in (0_u32..).zip(&self.all) {
            self.by_name.insert(Arc::clone(&container.name), index);
        }
        true
    }

    /// All containers as of `now`, in no order.
    pub(crate) fn samples(&self, now: Timestamp, label: &'static str) -> Vec<ContainerSample> {
        self.all
            .iter()
            .map(|container| {
                let mut labels = String::new();
                write_labels(&mut labels, &[label], &[&container.name]);
                ContainerSample {
                    labels,
                    last_event_seconds: container.last_event.as_seconds_f64(),
                    rate: container.rate.per_second(now),
                }
            })
            .collect()
    }

    pub(crate) fn size(&self) -> TableSize {
        TableSize {
            series: self.all.len() as u64,
            bound: self.bound as u64,
            folded: self.folded,
            forgotten: self.forgotten,
        }
    }
}

/// Events per second of arrival, for the newest seconds.
#[derive(Debug, Default)]
struct Rate {
    newest_second: i64,
    /// The count of second `s` stands at `s` modulo the length.
    seconds: [u64; WINDOW + 1],
}

impl Rate {
    fn add(&mut self, events: u64, now: Timestamp) {
        let second = now.as_seconds();
        let behind = self.newest_second.saturating_sub(second);
        if behind > WINDOW as i64 {
            // The clock was set back.
            *self = Self::default();
        }
        if second > self.newest_second {
            let ahead = second
                .saturating_sub(self.newest_second)
                .min(WINDOW as i64 + 1);
            for passed in 0..ahead {
                self.seconds[slot(second - passed)] = 0;
            }
            self.newest_second = second;
        }
        self.seconds[slot(second)] += events;
    }

    /// Events in the ten seconds before `now`, by ten. The oldest second is only partly within, and
    /// its events are taken to be spread over it evenly.
    fn per_second(&self, now: Timestamp) -> f64 {
        let this_second = now.as_seconds();
        let within = |second: i64| {
            let behind = self.newest_second.saturating_sub(second);
            if (0..=WINDOW as i64).contains(&behind) {
                self.seconds[slot(second)]
            } else {
                0
            }
        };
        let whole: u64 = (0..WINDOW as i64)
            .map(|back| within(this_second - back))
            .sum();
        let partly = within(this_second - WINDOW as i64) as f64;
        let passed = now
            .since(Timestamp::from_seconds(this_second))
            .as_secs_f64();
        (whole as f64 + partly * (1.0 - passed)) / WINDOW as f64
    }
}

fn slot(second: i64) -> usize {
    second.rem_euclid(WINDOW as i64 + 1) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_nanos((seconds * 1e9) as i64)
    }

    #[test]
    fn rate_is_that_of_the_last_ten_seconds() {
        let mut rate = Rate::default();
        rate.add(100, at(1000.2));
        for (now, expected) in [
            (1000.2, 10.0),
            (1009.9, 10.0),
            (1010.0, 10.0),
            (1010.25, 7.5),
            (1011.0, 0.0),
            (2000.0, 0.0),
        ] {
            assert!(
                (rate.per_second(at(now)) - expected).abs() < 1e-9,
                "at {now}"
            );
        }
        rate.add(50, at(1008.0));
        assert!((rate.per_second(at(1010.0)) - 15.0).abs() < 1e-9);
        rate.add(10, at(1030.0));
        assert!((rate.per_second(at(1030.0)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn clock_that_is_set_back_starts_anew() {
        let mut rate = Rate::default();
        rate.add(100, at(5000.0));
        assert!(rate.per_second(at(1000.0)).abs() < 1e-9);
        rate.add(20, at(1000.0));
        assert!((rate.per_second(at(1000.0)) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn late_seconds_find_their_place() {
        let mut rate = Rate::default();
        rate.add(10, at(100.0));
        rate.add(30, at(95.0));
        assert!((rate.per_second(at(100.5)) - 4.0).abs() < 1e-9);
        assert!((rate.per_second(at(105.5)) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn containers_beyond_the_bound_share_a_name() {
        let mut containers = Containers::new(10);
        for number in 0..15 {
            let container = containers.find(&format!("c{number}"));
            containers.add(container, 10, at(number.into()), at(20.0));
        }
        let samples = containers.samples(at(20.0), "container_name");
        assert_eq!(samples.len(), 11);
        let other = samples
            .iter()
            .find(|sample| sample.labels.contains("other"))
            .unwrap();
        assert!((other.rate - 5.0).abs() < 1e-9);
        assert!((other.last_event_seconds - 14.0).abs() < 1e-9);
        assert_eq!(containers.size().folded, 50);
        assert!(containers.forget_idle(at(100.0), Duration::from_secs(10)));
        assert_eq!(containers.size().series, 0);
    }

    #[test]
    fn event_from_the_future_counts_as_now() {
        let mut containers = Containers::new(10);
        let container = containers.find("c");
        containers.add(container, 1, Timestamp::MAX, at(20.0));
        let samples = containers.samples(at(20.0), "container_name");
        assert!((samples[0].last_event_seconds - 20.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn rate_is_never_above_what_arrived(
            arrivals in proptest::collection::vec((any::<i64>(), 0_u64..1000), 0..20),
            now in any::<i64>(),
        ) {
            let mut rate = Rate::default();
            let mut total = 0;
            for (nanos, events) in arrivals {
                rate.add(events, Timestamp::from_nanos(nanos));
                total += events;
            }
            let per_second = rate.per_second(Timestamp::from_nanos(now));
            prop_assert!((0.0..=total as f64 / 10.0 + 1e-9).contains(&per_second));
        }
    }
}
