//! What containers use: read, and told to Graphite.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use qw_docker::Docker;
use qw_inventory::{Container, Inventory};
use qw_pipeline::CancellationToken;
use qw_sinks::graphite::{Graphite, MAX_DESTINATIONS, Place};
use qw_usage::{Sampler, Series, Target, Tracked, Usage};
use tokio::task::JoinHandle;

use crate::{
    Usage as Wrong,
    config::UsageConfig,
    wiring::{jitter, now},
};

/// Most points that one container's history may have.
const MAX_POINTS: u128 = 10_000;

/// Reads what containers use, and who is told.
pub(crate) struct Reading {
    options: qw_usage::Options,
    pub(crate) usage: Usage,
    pub(crate) graphite: Vec<Graphite>,
}

impl Reading {
    /// Checks `config`, and opens nothing; `None` when it is switched off.
    pub(crate) fn new(config: &UsageConfig) -> Result<Option<Self>> {
        let (interval, history) = (config.interval.0, config.history.0);
        let check = |holds: bool, key: &str, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(Wrong(format!("`usage.{key}` {what}")))
            }
        };
        check(
            (1..=300).contains(&interval.as_secs()),
            "interval",
            "is from `1s` to `5m`",
        )?;
        let points = history.as_millis() / interval.as_millis().max(1);
        check(
            (1..=MAX_POINTS).contains(&points),
            "history",
            "is at least `usage.interval`, and at most 10000 times as long",
        )?;
        check(
            (1..=100_000).contains(&config.max_containers),
            "max_containers",
            "is from 1 to 100000",
        )?;
        check(
            config.graphite.len() <= MAX_DESTINATIONS,
            "graphite",
            "has at most 10 servers",
        )?;
        let mut graphite = Vec::new();
        let mut addresses = BTreeSet::new();
        for (index, server) in config.graphite.iter().enumerate() {
            let sink = Graphite::new(server.clone())
                .map_err(|error| Wrong(format!("`usage.graphite[{index}]`: {error}")))?;
            let is_new = addresses.insert(&server.address);
            let what = format!("`{}` is there already", server.address);
            check(is_new, &format!("graphite[{index}].address"), &what)?;
            graphite.push(sink);
        }
        Ok(config.enabled.then(|| Self {
            options: qw_usage::Options {
                interval,
                keep: history,
                max_containers: config.max_containers,
                roots: qw_cgroup::Roots {
                    cgroup: config.cgroup_root.clone(),
                    proc: config.proc_root.clone(),
                },
                clock: now,
            },
            usage: Usage::default(),
            graphite,
        }))
    }

    /// Begins to read the running containers of `inventory`, until `stop` fires.
    pub(crate) fn start(
        &self,
        inventory: &Inventory,
        docker: Docker,
        stop: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let running = inventory.clone();
        let targets = move || {
            let all = running.containers();
            let running = all.iter().filter(|container| container.is_running());
            running
                .map(|container| Target {
                    id: container.id.clone(),
                    started: container.started,
                })
                .collect()
        };
        let mut sampler = Sampler::new(
            self.options.clone(),
            Some(docker),
            Box::new(targets),
            self.usage.clone(),
        );
        let mut tasks = Vec::new();
        if !self.graphite.is_empty() {
            let (sinks, inventory) = (self.graphite.clone(), inventory.clone());
            sampler.observe(Box::new(move |tracked| {
                tell(&sinks, &inventory, tracked);
            }));
            for sink in &self.graphite {
                tasks.push(tokio::spawn(sink.clone().run(jitter, stop.clone())));
            }
        }
        tasks.push(tokio::spawn(sampler.run(stop.clone())));
        tasks
    }
}

/// Queues what was read for each of `sinks`.
fn tell(sinks: &[Graphite], inventory: &Inventory, tracked: &[Tracked]) {
    let known = inventory.containers();
    let by_id: BTreeMap<&str, &Container> = known
        .iter()
        .map(|container| (container.id.as_str(), &**container))
        .collect();
    for one in tracked {
        let (Some(reading), Some(container)) = (&one.reading, by_id.get(&*one.id)) else {
            continue;
        };
        let limits = &reading.sample.limits;
        let values = Series::ALL
            .into_iter()
            .map(|series| (series.as_str(), reading.point.get(series)))
            .chain([
                ("cpu_limit_cores", limits.processors()),
                (
                    "memory_limit_bytes",
                    limits.memory_bytes.map(|bytes| bytes as f64),
                ),
            ]);
        for (metric, value) in values {
            let Some(value) = value else { continue };
            for sink in sinks {
                sink.push(value, reading.time.as_seconds(), |place| {
                    part(container, metric, place)
                });
            }
        }
    }
}

fn part<'a>(container: &'a Container, metric: &'a str, place: Place) -> &'a str {
    match place {
        Place::Host => &container.host,
        Place::Name => &container.name,
        Place::Id => &container.id,
        Place::Image => &container.image,
        Place::ComposeProject => &container.compose_project,
        Place::ComposeService => &container.compose_service,
        Place::K8sNamespace => &container.k8s_namespace,
        Place::K8sPod => &container.k8s_pod,
        Place::Metric => metric,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::Span;

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = |change: fn(&mut UsageConfig)| {
            let mut config = UsageConfig::default();
            change(&mut config);
            match Reading::new(&config) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(error(|_| {}), "");
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        assert_eq!(seconds(10), UsageConfig::default().interval);
        for (found, key) in [
            (
                error(|config| config.interval = Span(Duration::from_millis(10))),
                "usage.interval",
            ),
            (
                error(|config| config.history = Span(Duration::from_secs(1))),
                "usage.history",
            ),
            (
                error(|config| config.history = Span(Duration::from_secs(10_000_000))),
                "usage.history",
            ),
            (
                error(|config| config.max_containers = 0),
                "usage.max_containers",
            ),
        ] {
            assert!(found.contains(key), "{found}");
        }
    }
}
