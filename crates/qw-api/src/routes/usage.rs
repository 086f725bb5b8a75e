//! What containers use: now, and in the last hour.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use qw_event::Timestamp;
use qw_inventory::Container;
use qw_usage::{Point, Reading, Series, Tracked, Way};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    parameters::{Parameters, range},
    problem::{Problem, ProblemBody},
    routes::{Routes, events::HOUR},
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![routes!(all_usage), routes!(container_usage)]
}

/// What all running containers use.
#[derive(Serialize, ToSchema)]
struct UsageList {
    /// Seconds between two readings; null when nothing is read.
    interval_seconds: Option<f64>,
    /// The running containers, by name.
    items: Vec<UsageItem>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// What one container uses now.
#[derive(Serialize, ToSchema)]
struct UsageItem {
    /// Full id.
    container_id: String,
    /// Name.
    container_name: String,
    /// How it is read: `cgroup_v1`, `cgroup_v2`, `engine`, or `none` when it cannot be read.
    #[schema(example = "cgroup_v2")]
    way: &'static str,
    /// Why it is read this way.
    why: String,
    /// The newest reading; null when there is none.
    current: Option<CurrentUsage>,
    /// What it may use; null when there is no reading.
    limits: Option<UsageLimits>,
}

/// What one container uses and has used.
#[derive(Serialize, ToSchema)]
struct ContainerUsage {
    /// Full id.
    container_id: String,
    /// Name.
    container_name: String,
    /// How it is read: `cgroup_v1`, `cgroup_v2`, `engine`, or `none` when it is not.
    #[schema(example = "cgroup_v2")]
    way: &'static str,
    /// Why it is read this way, or not at all.
    why: String,
    /// Seconds between two readings; null when nothing is read.
    interval_seconds: Option<f64>,
    /// The newest reading; null when there is none since it started, and when it has stopped.
    current: Option<CurrentUsage>,
    /// What it may use; null when there is no reading.
    limits: Option<UsageLimits>,
    /// Readings of the range, with rates since the one before. Nothing is kept over a restart of
    /// the server.
    history: UsageHistory,
}

/// The newest reading of a container. Counters begin with its start.
#[derive(Serialize, ToSchema)]
struct CurrentUsage {
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Processors used at once, in the mean since the reading before; null for the first.
    cpu_cores: Option<f64>,
    /// Processor time used.
    cpu_usage_seconds_total: f64,
    /// Of that, inside the kernel.
    cpu_system_seconds_total: f64,
    /// Time held back because a quota was used up.
    cpu_throttled_seconds_total: f64,
    /// Periods in which a quota was enforced.
    cpu_periods_total: u64,
    /// Periods in which it was used up.
    cpu_throttled_periods_total: u64,
    /// All memory that is charged, with page cache.
    memory_usage_bytes: u64,
    /// That without inactive page cache.
    memory_working_set_bytes: u64,
    /// Anonymous memory.
    memory_rss_bytes: u64,
    /// Page cache.
    memory_cache_bytes: u64,
    /// Swapped out.
    memory_swap_bytes: u64,
    /// The most memory it ever used; null when the kernel does not say.
    memory_peak_bytes: Option<u64>,
    /// Processes killed because memory ran out; null when the kernel does not say.
    oom_kills_total: Option<u64>,
    /// Processes; null when that is not known.
    processes: Option<u64>,
    /// Threads; null when that is not known.
    threads: Option<u64>,
    /// Interfaces; null when it has no network of its own, or that cannot be read.
    interfaces: Option<Vec<InterfaceUsage>>,
    /// Block devices.
    devices: Vec<DeviceUsage>,
}

/// What passed an interface.
#[derive(Serialize, ToSchema)]
struct InterfaceUsage {
    /// Name.
    #[schema(example = "eth0")]
    name: String,
    /// Bytes received.
    receive_bytes_total: u64,
    /// Packets received with errors, or dropped.
    receive_failures_total: u64,
    /// Bytes transmitted.
    transmit_bytes_total: u64,
    /// Packets transmitted with errors, or dropped.
    transmit_failures_total: u64,
}

/// What went to and came from a block device.
#[derive(Serialize, ToSchema)]
struct DeviceUsage {
    /// Name, or `major:minor`.
    #[schema(example = "/dev/sda")]
    name: String,
    /// Bytes read.
    read_bytes_total: u64,
    /// Bytes written.
    write_bytes_total: u64,
    /// Reads.
    reads_total: u64,
    /// Writes.
    writes_total: u64,
}

/// What a container may use; null is without limit.
#[derive(Serialize, ToSchema)]
struct UsageLimits {
    /// Processors at once.
    cpu_cores: Option<f64>,
    /// Weight among others when processors are short.
    cpu_shares: u64,
    /// Memory.
    memory_bytes: Option<u64>,
    /// Threads.
    threads: Option<u64>,
}

/// Readings, oldest first: the lists are as long as `times`. Null is where there is nothing to say,
/// such as a rate at the first reading after a start.
#[derive(Serialize, ToSchema)]
struct UsageHistory {
    /// When each was read.
    #[schema(value_type = Vec<String>, format = DateTime)]
    times: Vec<Timestamp>,
    /// Processors used at once, in the mean since the reading before.
    cpu_cores: Vec<Option<f64>>,
    /// Of that, inside the kernel.
    cpu_system_cores: Vec<Option<f64>>,
    /// Share of the periods in which a quota was used up, 0 to 1; null without a quota.
    cpu_throttled_ratio: Vec<Option<f64>>,
    /// All memory that is charged, with page cache.
    memory_usage_bytes: Vec<Option<f64>>,
    /// That without inactive page cache.
    memory_working_set_bytes: Vec<Option<f64>>,
    /// Anonymous memory.
    memory_rss_bytes: Vec<Option<f64>>,
    /// Page cache.
    memory_cache_bytes: Vec<Option<f64>>,
    /// Received over all interfaces.
    network_receive_bytes_per_second: Vec<Option<f64>>,
    /// Transmitted over all interfaces.
    network_transmit_bytes_per_second: Vec<Option<f64>>,
    /// Read from all block devices.
    block_read_bytes_per_second: Vec<Option<f64>>,
    /// Written to all block devices.
    block_write_bytes_per_second: Vec<Option<f64>>,
    /// Processes.
    processes: Vec<Option<f64>>,
    /// Threads.
    threads: Vec<Option<f64>>,
}

/// Which readings.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UsageParameters {
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
}

/// Lists what the running containers use now
///
/// Each with how it is read, and why.
#[utoipa::path(get, path = "/api/usage", tag = "containers", responses(
    (status = 200, body = UsageList),
))]
async fn all_usage(Extract(state): Extract<State>, visibility: Visibility) -> Json<UsageList> {
    let known = state.parts.inventory.containers();
    let items = known
        .iter()
        .filter(|container| container.is_running() && visibility.contains_id(&container.id))
        .map(|container| {
            let tracked = tracked(&state, &container.id);
            let reading = tracked.as_ref().and_then(|one| one.reading.as_deref());
            let (way, why) = way(&state, container, tracked.as_ref());
            UsageItem {
                container_id: container.id.clone(),
                container_name: container.name.clone(),
                way: way.as_str(),
                why,
                current: reading.map(CurrentUsage::from),
                limits: reading.map(UsageLimits::from),
            }
        })
        .collect();
    Json(UsageList {
        interval_seconds: interval(&state),
        items,
        next_cursor: None,
    })
}

/// Gives what one container uses and has used in the last hour
///
/// Rates are means between two readings. How it is read, and why, is said with it.
#[utoipa::path(get, path = "/api/containers/{id}/usage", tag = "containers",
    params(
        ("id" = String, Path, description = "Id, a prefix of it of at least 12 characters, or name"),
        UsageParameters,
    ),
    responses(
        (status = 200, body = ContainerUsage),
        (status = 404, description = "No such container is known", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn container_usage(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<UsageParameters>,
) -> Result<Json<ContainerUsage>, Problem> {
    let range = range(
        parameters.start.as_deref(),
        parameters.end.as_deref(),
        HOUR,
        state.now(),
    )?;
    let known = state.parts.inventory.container(&id);
    let container = known
        .filter(|known| visibility.contains_id(&known.id))
        .ok_or_else(|| Problem::not_found(format!("no container `{id}` is known")))?;
    let tracked = tracked(&state, &container.id);
    let reading = tracked.as_ref().and_then(|one| one.reading.as_deref());
    let points = state
        .parts
        .usage
        .as_ref()
        .map(|usage| usage.points(&container.id, range.start, range.end))
        .unwrap_or_default();
    let (way, why) = way(&state, &container, tracked.as_ref());
    Ok(Json(ContainerUsage {
        way: way.as_str(),
        why,
        interval_seconds: interval(&state),
        current: reading.map(CurrentUsage::from),
        limits: reading.map(UsageLimits::from),
        history: UsageHistory::from(points.as_slice()),
        container_id: container.id.clone(),
        container_name: container.name.clone(),
    }))
}

fn tracked(state: &State, id: &str) -> Option<Tracked> {
    state.parts.usage.as_ref()?.get(id)
}

fn interval(state: &State) -> Option<f64> {
    let usage = state.parts.usage.as_ref()?;
    let interval = usage.status().interval.as_secs_f64();
    (interval > 0.0).then_some(interval)
}

/// How a container is read, and why.
fn way(state: &State, container: &Container, tracked: Option<&Tracked>) -> (Way, String) {
    match tracked {
        Some(tracked) => (tracked.way, tracked.why.to_string()),
        None if state.parts.usage.is_none() => {
            let why = if state.parts.settings.demo {
                "containers of the demonstration are made up"
            } else {
                "reading what containers use is switched off, or there is no engine: `usage.enabled`, `inventory.docker`"
            };
            (Way::None, why.to_owned())
        }
        None if !container.is_running() => (Way::None, String::from("it does not run")),
        None => (
            Way::None,
            String::from("not read yet, or more containers run than `usage.max_containers` allows"),
        ),
    }
}

impl From<&Reading> for CurrentUsage {
    fn from(reading: &Reading) -> Self {
        let sample = &reading.sample;
        let (cpu, memory) = (&sample.cpu, &sample.memory);
        let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
        let interfaces = sample.interfaces.as_ref().map(|interfaces| {
            let interfaces = interfaces.iter().map(|interface| {
                let (received, transmitted) = (&interface.received, &interface.transmitted);
                InterfaceUsage {
                    name: interface.name.to_string(),
                    receive_bytes_total: received.bytes,
                    receive_failures_total: received.errors.saturating_add(received.dropped),
                    transmit_bytes_total: transmitted.bytes,
                    transmit_failures_total: transmitted.errors.saturating_add(transmitted.dropped),
                }
            });
            interfaces.collect()
        });
        let devices = sample.devices.iter().zip(&*reading.devices);
        let devices = devices.map(|(device, name)| DeviceUsage {
            name: name.to_string(),
            read_bytes_total: device.read_bytes,
            write_bytes_total: device.written_bytes,
            reads_total: device.reads,
            writes_total: device.writes,
        });
        Self {
            time: reading.time,
            cpu_cores: reading.point.get(Series::CpuCores),
            cpu_usage_seconds_total: seconds(cpu.usage_nanoseconds),
            cpu_system_seconds_total: seconds(cpu.system_nanoseconds),
            cpu_throttled_seconds_total: seconds(cpu.throttled_nanoseconds),
            cpu_periods_total: cpu.periods,
            cpu_throttled_periods_total: cpu.throttled_periods,
            memory_usage_bytes: memory.usage_bytes,
            memory_working_set_bytes: memory.working_set_bytes,
            memory_rss_bytes: memory.rss_bytes,
            memory_cache_bytes: memory.cache_bytes,
            memory_swap_bytes: memory.swap_bytes,
            memory_peak_bytes: memory.peak_bytes,
            oom_kills_total: memory.oom_kills,
            processes: sample.tasks.processes,
            threads: sample.tasks.threads,
            interfaces,
            devices: devices.collect(),
        }
    }
}

impl From<&Reading> for UsageLimits {
    fn from(reading: &Reading) -> Self {
        let limits = &reading.sample.limits;
        Self {
            cpu_cores: limits.processors(),
            cpu_shares: limits.cpu_shares,
            memory_bytes: limits.memory_bytes,
            threads: limits.threads,
        }
    }
}

impl From<&[Point]> for UsageHistory {
    fn from(points: &[Point]) -> Self {
        let of = |series| points.iter().map(|point| point.get(series)).collect();
        Self {
            times: points.iter().map(|point| point.time).collect(),
            cpu_cores: of(Series::CpuCores),
            cpu_system_cores: of(Series::CpuSystemCores),
            cpu_throttled_ratio: of(Series::CpuThrottledRatio),
            memory_usage_bytes: of(Series::MemoryUsageBytes),
            memory_working_set_bytes: of(Series::MemoryWorkingSetBytes),
            memory_rss_bytes: of(Series::MemoryRssBytes),
            memory_cache_bytes: of(Series::MemoryCacheBytes),
            network_receive_bytes_per_second: of(Series::NetworkReceiveBytesPerSecond),
            network_transmit_bytes_per_second: of(Series::NetworkTransmitBytesPerSecond),
            block_read_bytes_per_second: of(Series::BlockReadBytesPerSecond),
            block_write_bytes_per_second: of(Series::BlockWriteBytesPerSecond),
            processes: of(Series::Processes),
            threads: of(Series::Threads),
        }
    }
}
