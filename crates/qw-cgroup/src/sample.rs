//! What is read of a container at one moment, the same for both versions.

/// What a container has used and holds now. Counters begin with its control group, thus with each
/// start of the container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Time on processors, and time it was held back from them.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub tasks: Tasks,
    /// Reads and writes of block devices, by device number. What is written through the page cache
    /// is attributed to a container by version 2 alone.
    pub devices: Vec<Device>,
    /// Interfaces of its network namespace, without the loopback; `None` when it has no namespace
    /// of its own or the namespace cannot be read.
    pub interfaces: Option<Vec<Interface>>,
    /// What it may use.
    pub limits: Limits,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cpu {
    /// On all processors together.
    pub usage_nanoseconds: u64,
    /// Of that, outside the kernel.
    pub user_nanoseconds: u64,
    /// Of that, inside the kernel.
    pub system_nanoseconds: u64,
    /// Periods in which a quota was enforced.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time that threads were held back in them.
    pub throttled_nanoseconds: u64,
}

/// Memory. `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All that is charged, with page cache and kernel memory.
    pub usage_bytes: u64,
    /// The most it ever was.
    pub peak_bytes: Option<u64>,
    /// Usage without inactive page cache; what cannot be given back easily.
    pub working_set_bytes: u64,
    /// Anonymous memory.
    pub rss_bytes: u64,
    /// Page cache, with shared memory.
    pub cache_bytes: u64,
    /// Swapped out.
    pub swap_bytes: u64,
    /// Files mapped into memory.
    pub mapped_file_bytes: u64,
    /// Of the kernel, on the container's behalf.
    pub kernel_bytes: Option<u64>,
    /// Page cache in use.
    pub active_file_bytes: u64,
    /// Page cache not in use.
    pub inactive_file_bytes: u64,
    /// Page faults.
    pub page_faults: u64,
    /// Page faults that read from a device.
    pub major_page_faults: u64,
    /// Times the limit was reached.
    pub limit_hits: Option<u64>,
    /// Processes killed because memory ran out.
    pub oom_kills: Option<u64>,
}

/// Processes and threads now; `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tasks {
    /// Processes in the container's own group, without those that it put into groups below.
    pub processes: Option<u64>,
    /// Threads, with those in groups below.
    pub threads: Option<u64>,
}

/// What went to and came from one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// One interface of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Name, such as `eth0`.
    pub name: Box<str>,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub transmitted: Traffic,
}

/// What passed an interface in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Packets dropped.
    pub dropped: u64,
}

/// What a container may use; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Processor time per period.
    pub cpu_quota_microseconds: Option<u64>,
    /// Length of the period; 0 when unknown.
    pub cpu_period_microseconds: u64,
    /// Weight among others when processors are short, 2 to 262,144; 0 when unknown.
    pub cpu_shares: u64,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Version 1: memory and swap together; version 2: swap.
    pub memory_swap_bytes: Option<u64>,
    /// Memory below which it is not reclaimed under pressure.
    pub memory_reservation_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Limits {
    /// Processors it may use at once; `None` without a quota.
    pub fn processors(&self) -> Option<f64> {
        let quota = self.cpu_quota_microseconds?;
        (self.cpu_period_microseconds > 0)
            .then(|| quota as f64 / self.cpu_period_microseconds as f64)
    }
}

/// A weight of version 2 (1 to 10,000) as shares of version 1, the way cAdvisor tells it.
///
/// Source: cAdvisor, `lib/container/common/helpers.go`, `convertCPUWeightToCPULimit`.
pub fn shares_of_weight(weight: u64) -> u64 {
    if weight == 0 {
        return 0;
    }
    2 + (weight.min(10_000) - 1) * 262_142 / 9_999
}
