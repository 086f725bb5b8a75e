//! `GET /containers/{id}/stats`: what the engine reads of a container's control groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// What a container uses, as the engine says. All counters begin with its start.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStats {
    /// Processor time.
    #[serde(deserialize_with = "or_default")]
    pub cpu_stats: CpuStats,
    /// Memory.
    #[serde(deserialize_with = "or_default")]
    pub memory_stats: MemoryStats,
    /// Threads.
    #[serde(deserialize_with = "or_default")]
    pub pids_stats: PidsStats,
    /// Interfaces by name; `None` for a container without a network of its own.
    pub networks: Option<BTreeMap<String, InterfaceStats>>,
    /// Block devices.
    #[serde(deserialize_with = "or_default")]
    pub blkio_stats: BlkioStats,
}

/// Processor time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Time used; `None` when the container does not run.
    pub cpu_usage: Option<CpuUsage>,
    /// Time held back.
    #[serde(deserialize_with = "or_default")]
    pub throttling_data: ThrottlingData,
}

/// Processor time used, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// In all.
    pub total_usage: u64,
    /// Inside the kernel.
    pub usage_in_kernelmode: u64,
    /// Outside it.
    pub usage_in_usermode: u64,
}

/// How a quota was enforced.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time held back, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// All that is charged; `None` when the container does not run.
    pub usage: Option<u64>,
    /// The most it ever was; version 1 of control groups only.
    pub max_usage: Option<u64>,
    /// Times the limit was reached; version 1 only.
    pub failcnt: Option<u64>,
    /// `memory.stat` of the kernel: its keys differ between versions.
    #[serde(deserialize_with = "or_default")]
    pub stats: BTreeMap<String, u64>,
}

/// Threads.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    pub current: Option<u64>,
}

/// One interface.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct InterfaceStats {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes by device and operation.
    #[serde(deserialize_with = "or_default")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations by device and operation.
    #[serde(deserialize_with = "or_default")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
}

/// One count of one device.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Major number of the device.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// `Read`, `Write`, … in either case.
    #[serde(deserialize_with = "or_default")]
    pub op: String,
    /// Count.
    pub value: u64,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_does_not_run_has_no_usage() {
        // What engine 20.10 answers for a container that was created and not started.
        let text = r#"{"read":"0001-01-01T00:00:00Z","pids_stats":{},"blkio_stats":{
            "io_service_bytes_recursive":null,"io_serviced_recursive":null},"num_procs":0,
            "storage_stats":{},"cpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,
            "usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,
            "throttled_time":0}},"memory_stats":{},"name":"/web","id":"ab"}"#;
        let stats: ContainerStats = serde_json::from_str(text).unwrap();
        assert_eq!(stats.memory_stats.usage, None);
        assert!(stats.networks.is_none());
        assert!(stats.blkio_stats.io_serviced_recursive.is_empty());
    }
}
