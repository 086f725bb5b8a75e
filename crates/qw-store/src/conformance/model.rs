//! A store that is a list: slow, small, and right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use qw_event::{StoredEvent, Timestamp};

use crate::{
    ContainerActivity, Facet, FacetQuery, FacetValue, HistogramBucket, Kinds, Order, RuleActivity,
    TimeRange,
    query::{Filter, for_each_value},
};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Model {
    /// In order of their numbers.
    pub(super) events: Vec<StoredEvent>,
    /// No longer in the store.
    dropped: Vec<StoredEvent>,
}

impl Model {
    /// Drops all events that `keep` does not name.
    pub(super) fn retain(&mut self, keep: impl Fn(&StoredEvent) -> bool) {
        let (kept, dropped) = std::mem::take(&mut self.events).into_iter().partition(keep);
        self.events = kept;
        self.dropped.extend::<Vec<_>>(dropped);
    }

    /// Records of `kinds` in the store.
    pub(super) fn count(&self, kinds: Kinds) -> u64 {
        let events = self.events.iter();
        events
            .filter(|stored| kinds.contains(stored.event.kind))
            .count() as u64
    }

    pub(super) fn select(
        &self,
        filter: &Filter,
        range: TimeRange,
        kinds: Kinds,
        order: Order,
    ) -> Vec<StoredEvent> {
        let mut events: Vec<StoredEvent> = self.matching(filter, range, kinds).cloned().collect();
        events.sort_by_key(|stored| (stored.event.time, stored.id));
        if order == Order::NewestFirst {
            events.reverse();
        }
        events
    }

    fn matching(
        &self,
        filter: &Filter,
        range: TimeRange,
        kinds: Kinds,
    ) -> impl Iterator<Item = &StoredEvent> {
        self.events.iter().filter(move |stored| {
            kinds.contains(stored.event.kind)
                && range.contains(stored.event.time)
                && filter.matches(&stored.event)
        })
    }

    pub(super) fn histogram(
        &self,
        filter: &Filter,
        range: TimeRange,
        kinds: Kinds,
        step: Duration,
    ) -> Vec<HistogramBucket> {
        let mut buckets: BTreeMap<Timestamp, [u64; 8]> = BTreeMap::new();
        for stored in self.matching(filter, widened(range, step), kinds) {
            let start = stored.event.time.floor_to(step);
            let priority = usize::from(stored.event.priority.as_number());
            buckets.entry(start).or_default()[priority] += 1;
        }
        buckets
            .into_iter()
            .map(|(start, by_priority)| HistogramBucket { start, by_priority })
            .collect()
    }

    pub(super) fn facets(&self, query: &FacetQuery) -> Vec<Facet> {
        let count = |field: &String| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for stored in self.matching(&query.filter, query.range, query.kinds) {
                for_each_value(&stored.event, field, &mut |value| {
                    *counts.entry(value.to_owned()).or_default() += 1;
                });
            }
            let mut values: Vec<FacetValue> = counts
                .into_iter()
                .map(|(value, count)| FacetValue { value, count })
                .collect();
            values.sort_by_key(|value| std::cmp::Reverse(value.count));
            let rest = values.split_off(query.limit.min(values.len()));
            let other = rest.iter().map(|value| value.count).sum();
            Facet {
                field: field.clone(),
                values,
                other,
            }
        };
        query.fields.iter().map(count).collect()
    }

    /// Activity counts whole minutes; first and last events are those ever known.
    pub(super) fn containers(&self, range: TimeRange, kinds: Kinds) -> Vec<ContainerActivity> {
        let range = widened(range, MINUTE);
        let mut activities: BTreeMap<Arc<str>, ContainerActivity> = BTreeMap::new();
        let mut active = BTreeSet::new();
        let kept = self.events.iter().map(|stored| (&stored.event, true));
        let dropped = self.dropped.iter().map(|stored| (&stored.event, false));
        let of_kinds = kept
            .chain(dropped)
            .filter(|(event, _)| kinds.contains(event.kind));
        for (event, is_kept) in of_kinds {
            let container = &event.container;
            let image = if container.image.is_empty() {
                &container.image_repository
            } else {
                &container.image
            };
            let activity =
                activities
                    .entry(container.id.clone())
                    .or_insert_with(|| ContainerActivity {
                        container_id: container.id.clone(),
                        container_name: container.name.clone(),
                        image: image.clone(),
                        by_priority: [0; 8],
                        first_event: event.time,
                        last_event: event.time,
                    });
            activity.first_event = activity.first_event.min(event.time);
            activity.last_event = activity.last_event.max(event.time);
            if is_kept && range.contains(event.time) {
                activity.by_priority[usize::from(event.priority.as_number())] += 1;
                active.insert(container.id.clone());
            }
        }
        let mut activities: Vec<ContainerActivity> = activities
            .into_values()
            .filter(|activity| active.contains(&activity.container_id))
            .collect();
        activities.sort_by_key(|activity| {
            (
                std::cmp::Reverse(activity.last_event),
                activity.container_id.clone(),
            )
        });
        activities
    }

    pub(super) fn rules(&self, range: TimeRange, kinds: Kinds) -> Vec<RuleActivity> {
        let mut counts = BTreeMap::new();
        for stored in self.matching(&Filter::everything(), widened(range, MINUTE), kinds) {
            let event = &stored.event;
            *counts
                .entry((event.rule.clone(), event.category, event.priority))
                .or_insert(0) += 1;
        }
        let mut activities: Vec<RuleActivity> = counts
            .into_iter()
            .map(|((rule, category, priority), count)| RuleActivity {
                rule,
                priority,
                category,
                count,
            })
            .collect();
        activities.sort_by_key(|activity| std::cmp::Reverse(activity.count));
        activities
    }
}

fn widened(range: TimeRange, step: Duration) -> TimeRange {
    let end = range.end.floor_to(step);
    TimeRange {
        start: range.start.floor_to(step),
        end: if end == range.end {
            end
        } else {
            end.saturating_add(step)
        },
    }
}
