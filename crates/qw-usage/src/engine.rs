//! What the engine says of a container → a [`Sample`], as if we had read it ourselves.

use qw_cgroup::{
    Cpu, Device, Interface, Limits, Memory, Sample, Tasks, Traffic,
    parse::{MAX_DEVICES, MAX_INTERFACES},
};
use qw_docker::{BlkioEntry, ContainerStats, HostConfig};

/// Processor time per period when the engine was given none.
const USUAL_PERIOD_MICROSECONDS: u64 = 100_000;

/// `stats` as a sample; `None` when the container does not run. `limits` come from its inspection:
/// the answer itself gives the host's memory where there is no limit.
pub(crate) fn sample(stats: &ContainerStats, limits: Limits) -> Option<Sample> {
    let usage_bytes = stats.memory_stats.usage?;
    let cpu = stats.cpu_stats.cpu_usage?;
    let throttling = stats.cpu_stats.throttling_data;
    let of = |keys: [&str; 2]| {
        let found = keys
            .into_iter()
            .find_map(|key| stats.memory_stats.stats.get(key));
        found.copied()
    };
    // Version 1 has totals over the hierarchy under names of their own, version 2 nothing else.
    let is_v1 = stats.memory_stats.stats.contains_key("total_cache");
    let pick = |v1: &'static str, v2: &'static str| {
        of([if is_v1 { v1 } else { v2 }, v2]).unwrap_or_default()
    };
    let mut memory = Memory {
        usage_bytes,
        peak_bytes: stats.memory_stats.max_usage.filter(|bytes| *bytes > 0),
        working_set_bytes: 0,
        rss_bytes: pick("total_rss", "anon"),
        cache_bytes: pick("total_cache", "file"),
        swap_bytes: pick("total_swap", "swap"),
        mapped_file_bytes: pick("total_mapped_file", "file_mapped"),
        kernel_bytes: stats.memory_stats.stats.get("kernel").copied(),
        active_file_bytes: pick("total_active_file", "active_file"),
        inactive_file_bytes: pick("total_inactive_file", "inactive_file"),
        page_faults: pick("total_pgfault", "pgfault"),
        major_page_faults: pick("total_pgmajfault", "pgmajfault"),
        limit_hits: stats.memory_stats.failcnt.filter(|_| is_v1),
        oom_kills: None,
    };
    memory.set_working_set();
    let interfaces = stats.networks.as_ref().map(|networks| {
        let interfaces = networks.iter().take(MAX_INTERFACES);
        interfaces
            .map(|(name, counts)| Interface {
                name: name.chars().take(64).collect::<String>().into(),
                received: Traffic {
                    bytes: counts.rx_bytes,
                    packets: counts.rx_packets,
                    errors: counts.rx_errors,
                    dropped: counts.rx_dropped,
                },
                transmitted: Traffic {
                    bytes: counts.tx_bytes,
                    packets: counts.tx_packets,
                    errors: counts.tx_errors,
                    dropped: counts.tx_dropped,
                },
            })
            .collect()
    });
    let blkio = &stats.blkio_stats;
    Some(Sample {
        cpu: Cpu {
            usage_nanoseconds: cpu.total_usage,
            user_nanoseconds: cpu.usage_in_usermode,
            system_nanoseconds: cpu.usage_in_kernelmode,
            periods: throttling.periods,
            throttled_periods: throttling.throttled_periods,
            throttled_nanoseconds: throttling.throttled_time,
        },
        memory,
        tasks: Tasks {
            processes: None,
            threads: stats.pids_stats.current,
        },
        devices: devices(
            &blkio.io_service_bytes_recursive,
            &blkio.io_serviced_recursive,
        ),
        interfaces,
        limits,
    })
}

fn devices(bytes: &[BlkioEntry], operations: &[BlkioEntry]) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    let all = bytes
        .iter()
        .map(|entry| (entry, true))
        .chain(operations.iter().map(|entry| (entry, false)));
    for (entry, is_bytes) in all {
        let is_read = entry.op.eq_ignore_ascii_case("read");
        if !is_read && !entry.op.eq_ignore_ascii_case("write") {
            continue;
        }
        let number = (entry.major, entry.minor);
        let at = devices
            .iter()
            .position(|device| (device.major, device.minor) == number);
        let at = match at {
            Some(at) => at,
            None if devices.len() < MAX_DEVICES => {
                devices.push(Device {
                    major: entry.major,
                    minor: entry.minor,
                    ..Device::default()
                });
                devices.len() - 1
            }
            None => continue,
        };
        if let Some(device) = devices.get_mut(at) {
            *match (is_bytes, is_read) {
                (true, true) => &mut device.read_bytes,
                (true, false) => &mut device.written_bytes,
                (false, true) => &mut device.reads,
                (false, false) => &mut device.writes,
            } = entry.value;
        }
    }
    devices
}

/// What the container was created with, as limits.
pub(crate) fn limits(host: &HostConfig) -> Limits {
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    let period = positive(host.cpu_period).unwrap_or(USUAL_PERIOD_MICROSECONDS);
    // Billionths of a processor, for each microsecond of the period.
    let quota = positive(host.nano_cpus).map_or_else(
        || positive(host.cpu_quota),
        |nano| {
            let quota = u128::from(nano) * u128::from(period) / 1_000_000_000;
            u64::try_from(quota).ok()
        },
    );
    Limits {
        cpu_quota_microseconds: quota,
        cpu_period_microseconds: period,
        cpu_shares: positive(host.cpu_shares).unwrap_or(1024),
        memory_bytes: positive(host.memory),
        memory_swap_bytes: positive(host.memory_swap),
        memory_reservation_bytes: positive(host.memory_reservation),
        threads: positive(host.pids_limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `stats?stream=false&one-shot=true` of engine 20.10 on version 1, shortened to what is read.
    const V1: &str = r#"{"read":"2026-11-22T01:40:00Z","pids_stats":{"current":3},
        "blkio_stats":{"io_service_bytes_recursive":[{"major":254,"minor":0,"op":"Read","value":4096},
        {"major":254,"minor":0,"op":"Write","value":8192},{"major":254,"minor":0,"op":"Total","value":12288}],
        "io_serviced_recursive":[{"major":254,"minor":0,"op":"Read","value":1}]},
        "cpu_stats":{"cpu_usage":{"total_usage":5000000000,"percpu_usage":[1,2],"usage_in_kernelmode":1000000000,
        "usage_in_usermode":4000000000},"system_cpu_usage":1,"online_cpus":2,
        "throttling_data":{"periods":100,"throttled_periods":40,"throttled_time":2000000000}},
        "memory_stats":{"usage":60000000,"max_usage":70000000,"failcnt":2,"limit":8589934592,
        "stats":{"cache":1,"total_cache":20000000,"rss":1,"total_rss":30000000,"inactive_file":1,
        "total_inactive_file":9000000,"total_active_file":8000000,"total_pgfault":10,"total_pgmajfault":1,"total_mapped_file":5,"total_swap":4}},
        "networks":{"eth0":{"rx_bytes":1306,"rx_packets":17,"rx_errors":0,"rx_dropped":0,"tx_bytes":42,"tx_packets":1,"tx_errors":0,"tx_dropped":0}}}"#;

    /// The same on version 2.
    const V2: &str = r#"{"pids_stats":{"current":3,"limit":100},
        "blkio_stats":{"io_service_bytes_recursive":[{"major":254,"minor":0,"op":"read","value":4096},
        {"major":254,"minor":0,"op":"write","value":8192}],"io_serviced_recursive":null},
        "cpu_stats":{"cpu_usage":{"total_usage":5000000000,"usage_in_kernelmode":1000000000,
        "usage_in_usermode":4000000000},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},
        "memory_stats":{"usage":60000000,"limit":8589934592,"stats":{"anon":30000000,"file":20000000,
        "inactive_file":9000000,"active_file":8000000,"pgfault":10,"pgmajfault":1,"file_mapped":5}}}"#;

    #[test]
    fn both_versions_say_the_same() {
        for text in [V1, V2] {
            let stats = serde_json::from_str(text).unwrap();
            let sample = sample(&stats, Limits::default()).unwrap();
            let memory = sample.memory;
            assert_eq!(sample.cpu.usage_nanoseconds, 5_000_000_000);
            assert_eq!(
                (memory.rss_bytes, memory.cache_bytes, memory.page_faults),
                (30_000_000, 20_000_000, 10)
            );
            assert_eq!(memory.working_set_bytes, 51_000_000);
            assert_eq!(sample.tasks.threads, Some(3));
            let device = sample.devices.first().unwrap();
            assert_eq!((device.read_bytes, device.written_bytes), (4096, 8192));
        }
    }

    #[test]
    fn one_that_does_not_run_has_no_sample() {
        let text = r#"{"cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{}}"#;
        let stats = serde_json::from_str(text).unwrap();
        assert_eq!(sample(&stats, Limits::default()), None);
    }

    #[test]
    fn limits_of_the_engine() {
        let host = HostConfig {
            memory: 64 << 20,
            memory_swap: -1,
            nano_cpus: 250_000_000,
            pids_limit: 50,
            ..HostConfig::default()
        };
        let limits = limits(&host);
        assert_eq!(limits.processors(), Some(0.25));
        assert_eq!(
            (limits.memory_bytes, limits.memory_swap_bytes),
            (Some(64 << 20), None)
        );
        assert_eq!((limits.threads, limits.cpu_shares), (Some(50), 1024));
        assert_eq!(super::limits(&HostConfig::default()).processors(), None);
    }
}
