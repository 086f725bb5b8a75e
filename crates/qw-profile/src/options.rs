//! What can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::key::Per;

/// How profiles learn, compare, and where they stop growing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What has one profile.
    pub per: Per,
    /// After the first event of a profile, time in which nodes are learned without counting as new:
    /// programs do many things once when they start.
    pub warm_up: Duration,
    /// Shortest time of learning.
    pub minimum_time: Duration,
    /// Fewest events of a branch before the share of unseen behaviour is believed.
    pub minimum_events: u64,
    /// Learning ends below this estimated share of events that show something new, 0 to 1.
    pub unseen_mass: f64,
    /// Learning ends below this number of new nodes per hour.
    pub new_nodes_per_hour: f64,
    /// Time in which the weight of a node that is not met any more halves.
    pub half_life: Duration,
    /// While learning, nodes that were not met for so long are removed.
    pub forget_after: Duration,
    /// Paths and flags at least this similar are the same, 0 to 1.
    pub threshold: f32,
    /// While a known profile learns a new image, deviations with at least this score are reported
    /// and not learned.
    pub guard_score: f32,
    /// From this many names on of which most were met once, a directory stands for all of them;
    /// four times as many for directories of the system.
    pub open_ended: usize,
    /// From this many networks on that one program reaches at one port, the port stands for all.
    pub networks: usize,
    /// Most profiles.
    pub max_profiles: usize,
    /// Most nodes of a profile.
    pub max_nodes: usize,
    /// Most nodes of a profile that stand for deviations.
    pub max_deviating_nodes: usize,
    /// Most children of one kind under one node; beyond, paths and flags become wildcards.
    pub max_children: usize,
    /// Most memory of all profiles together, in bytes; beyond, nothing new is recorded.
    pub max_bytes: usize,
    /// A full set of profiles gives up one that was not met for so long.
    pub idle_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            per: Per::ImageAndRole,
            warm_up: Duration::from_secs(60),
            minimum_time: Duration::from_hours(1),
            minimum_events: 300,
            unseen_mass: 0.01,
            new_nodes_per_hour: 2.0,
            half_life: 7 * day,
            forget_after: 30 * day,
            threshold: 0.85,
            guard_score: 0.70,
            open_ended: 16,
            networks: 16,
            max_profiles: 10_000,
            max_nodes: 4_096,
            max_deviating_nodes: 512,
            max_children: 256,
            max_bytes: 288 << 20,
            idle_after: 14 * day,
        }
    }
}
