//! The series of one counter family, bounded in number.

use std::{collections::HashMap, sync::Arc, time::Duration};

use qw_event::Timestamp;

/// By labels as `write_labels` writes them. The hash is keyed, since label values come from outside.
pub(crate) type LabelMap<V> = HashMap<Arc<str>, V>;

/// The series of one counter family.
///
/// At its bound the table folds: a new combination of labels is counted under labels of which some
/// are `other`. The last tenth of the bound is kept for combinations folded once ([`Fold::Once`]);
/// when that is used up too, the rest is counted under labels of which all but those from closed
/// sets are `other` ([`Fold::Fully`]), so few that they need no bound. Sums over all series stay
/// right at every stage.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    bound: usize,
    by_labels: LabelMap<u32>,
    series: Vec<Series>,
    folded: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Series {
    labels: Arc<str>,
    count: u64,
    /// When it was last added to.
    touched: Timestamp,
}

/// How much of the labels is `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// Nothing.
    Not,
    /// The label that grows fastest.
    Once,
    /// All labels but those from closed sets.
    Fully,
}

/// A series of a table, valid until the table forgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesIndex {
    index: u32,
    folded: bool,
}

impl SeriesTable {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(10),
            by_labels: LabelMap::default(),
            series: Vec::new(),
            folded: 0,
            forgotten: 0,
        }
    }

    /// The series for labels that `write` writes, made when it is new.
    pub(crate) fn find(
        &mut self,
        scratch: &mut String,
        mut write: impl FnMut(&mut String, Fold),
    ) -> SeriesIndex {
        let unfolded_bound = self.bound - self.bound / 10;
        let stages = [
            (Fold::Not, unfolded_bound),
            (Fold::Once, self.bound),
            (Fold::Fully, usize::MAX),
        ];
        for (fold, bound) in stages {
            scratch.clear();
            write(scratch, fold);
            let folded = fold != Fold::Not;
            if let Some(index) = self.by_labels.get(scratch.as_str()) {
                return SeriesIndex {
                    index: *index,
                    folded,
                };
            }
            if self.series.len() < bound {
                break;
            }
        }
        let folded = self.series.len() >= unfolded_bound;
        let index = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let labels: Arc<str> = scratch.as_str().into();
        self.by_labels.insert(Arc::clone(&labels), index);
        self.series.push(Series {
            labels,
            count: 0,
            touched: Timestamp::MIN,
        });
        SeriesIndex { index, folded }
    }

    /// Adds `events` to a series at `now`.
    pub(crate) fn add(&mut self, at: SeriesIndex, events: u64, now: Timestamp) {
        if let Some(series) = self.series.get_mut(at.index as usize) {
            series.count += events;
            series.touched = series.touched.max(now);
        }
        if at.folded {
            self.folded += events;
        }
    }

    /// True when new combinations are being folded.
    pub(crate) fn is_full(&self) -> bool {
        self.series.len() >= self.bound - self.bound / 10
    }

    /// Forgets the series that nothing was added to for `idle`; returns whether there were any.
    /// Every [`SeriesIndex`] is void after that.
    pub(crate) fn forget_idle(&mut self, now: Timestamp, idle: Duration) -> bool {
        let before = self.series.len();
        let since = now.saturating_sub(idle);
        self.series.retain(|series| series.touched >= since);
        let forgotten = before - self.series.len();
        if forgotten == 0 {
            return false;
        }
        self.forgotten += forgotten as u64;
        self.by_labels.clear();
        for (index, series) in (0_u32..).zip(&self.series) {
            self.by_labels.insert(Arc::clone(&series.labels), index);
        }
        true
    }

    /// Labels and counts, in no order.
    pub(crate) fn snapshot(&self) -> Vec<(Arc<str>, u64)> {
        self.series
            .iter()
            .map(|series| (Arc::clone(&series.labels), series.count))
            .collect()
    }

    pub(crate) fn size(&self) -> TableSize {
        TableSize {
            series: self.series.len() as u64,
            bound: self.bound as u64,
            folded: self.folded,
            forgotten: self.forgotten,
        }
    }
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableSize {
    /// Series now.
    pub(crate) series: u64,
    /// Series at most, but for the few that are folded fully.
    pub(crate) bound: u64,
    /// Events counted under `other`.
    pub(crate) folded: u64,
    /// Series forgotten.
    pub(crate) forgotten: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(table: &mut SeriesTable, process: usize, priority: usize, now: i64) {
        let at = table.find(&mut String::new(), |text, fold| {
            let process = match fold {
                Fold::Not => process.to_string(),
                Fold::Once => format!("other of {}", process % 7),
                Fold::Fully => "other".into(),
            };
            text.push_str(&format!("{process}|{priority}"));
        });
        table.add(at, 1, Timestamp::from_seconds(now));
    }

    #[test]
    fn folding_has_two_stages() {
        let mut table = SeriesTable::new(20);
        for process in 0..100 {
            add(&mut table, process, 1, 0);
        }
        let mut labels: Vec<_> = table
            .snapshot()
            .into_iter()
            .map(|(labels, _)| labels)
            .collect();
        labels.sort();
        assert_eq!(labels.len(), 18 + 2 + 1);
        assert!(labels.iter().any(|labels| &**labels == "other|1"));
        assert_eq!(
            labels
                .iter()
                .filter(|labels| labels.starts_with("other of"))
                .count(),
            2
        );
        assert_eq!(table.size().folded, 82);
    }

    #[test]
    fn idle_series_make_room() {
        let mut table = SeriesTable::new(10);
        for process in 0..9 {
            add(&mut table, process, 1, 0);
        }
        add(&mut table, 3, 1, 100);
        assert!(table.is_full());
        assert!(!table.forget_idle(Timestamp::from_seconds(100), Duration::from_secs(100)));
        assert!(table.forget_idle(Timestamp::from_seconds(100), Duration::from_secs(99)));
        assert_eq!(table.snapshot(), [("3|1".into(), 2)]);
        assert_eq!(table.size().forgotten, 8);
        add(&mut table, 50, 1, 100);
        add(&mut table, 3, 1, 100);
        assert_eq!(table.snapshot(), [("3|1".into(), 3), ("50|1".into(), 1)]);
        assert_eq!(table.size().folded, 0);
    }

    proptest! {
        #[test]
        fn sums_stay_right(
            events in proptest::collection::vec((0_usize..60, 0_usize..8), 0..400),
            bound in 10_usize..80,
        ) {
            let mut table = SeriesTable::new(bound);
            for (process, priority) in &events {
                add(&mut table, *process, *priority, 0);
            }
            let series = table.snapshot();
            prop_assert_eq!(series.iter().map(|(_, count)| count).sum::<u64>(), events.len() as u64);
            prop_assert!(series.len() <= bound.max(10) + 8);
            for priority in 0..8 {
                let end = format!("|{priority}");
                prop_assert_eq!(
                    series.iter().filter(|(labels, _)| labels.ends_with(&end)).map(|(_, n)| n).sum::<u64>(),
                    events.iter().filter(|(_, p)| *p == priority).count() as u64
                );
            }
        }
    }
}
