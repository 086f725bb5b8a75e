//! Readings of what containers use, joined with the containers' names, for the metrics.

use std::sync::Arc;

use qw_exporters::{ContainerUsage, GraphiteSnapshot, UsageSnapshot};
use qw_inventory::Container;
use qw_usage::{Reading, RoundStatus, Way};

use crate::state::State;

/// The use of all containers at one moment.
pub(crate) struct UsageOfAll {
    /// By name.
    read: Vec<(Arc<Container>, Arc<Reading>)>,
    ways: Vec<(&'static str, u64)>,
    graphite: Vec<GraphiteSnapshot>,
    status: RoundStatus,
}

impl UsageOfAll {
    /// As of now.
    pub(crate) fn of(state: &State) -> Self {
        let parts = &state.parts;
        let graphite = parts.graphite.iter().map(|sink| {
            let status = sink.status();
            GraphiteSnapshot {
                address: status.address,
                connected: status.connected,
                sent: status.sent,
                dropped: status.dropped,
                waiting: status.waiting,
            }
        });
        let graphite = graphite.collect();
        let Some(usage) = &parts.usage else {
            return Self {
                read: Vec::new(),
                ways: Vec::new(),
                graphite,
                status: RoundStatus::default(),
            };
        };
        let tracked = usage.tracked();
        let ways = Way::ALL.map(|way| {
            let count = tracked.iter().filter(|one| one.way == way).count();
            (way.as_str(), count as u64)
        });
        let known = parts.inventory.containers();
        // The inventory is by name, what is tracked by id.
        let read = known.iter().filter_map(|container| {
            let at = tracked
                .binary_search_by(|one| (*one.id).cmp(container.id.as_str()))
                .ok()?;
            let reading = tracked.get(at)?.reading.clone()?;
            Some((Arc::clone(container), reading))
        });
        Self {
            read: read.collect(),
            ways: ways.into(),
            graphite,
            status: usage.status(),
        }
    }

    /// The containers with a reading.
    pub(crate) fn containers(&self) -> Vec<ContainerUsage<'_>> {
        self.read
            .iter()
            .map(|(container, reading)| ContainerUsage {
                group: &reading.group,
                name: &container.name,
                image: &container.image,
                labels: &container.labels,
                created: container.created,
                started: container.started,
                time: reading.time,
                sample: &reading.sample,
                devices: &reading.devices,
            })
            .collect()
    }

    /// What a scrape says.
    pub(crate) fn snapshot<'a>(
        &'a self,
        state: &'a State,
        containers: &'a [ContainerUsage<'a>],
    ) -> UsageSnapshot<'a> {
        let status = self.status;
        UsageSnapshot {
            containers,
            labels: state.parts.settings.usage_labels.as_deref(),
            ways: &self.ways,
            rounds: status.rounds,
            readings: status.readings,
            failures: status.failures,
            took: status.last.map(|_| status.took),
            graphite: &self.graphite,
        }
    }
}
