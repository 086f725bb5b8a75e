//! What a process has used of the machine.

use anyhow::{Context as _, Result};

/// CPU seconds, user and system, that process `pid` (`self` for our own) has used so far.
///
/// Resolution is one clock tick, 10 ms. Source: proc(5), `/proc/[pid]/stat` fields 14 and 15.
pub(super) fn cpu_seconds(pid: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs_err::read_to_string(&path)?;
    let after_name = text
        .rsplit_once(") ")
        .map(|(_, rest)| rest)
        .context("no name in stat")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let (user, system) = (ticks(11), ticks(12));
    // Linux reports in units of 1/100 s on every architecture (USER_HZ).
    Ok((user.context("no utime")? + system.context("no stime")?) / 100.0)
}

/// Resident memory of process `pid` in MB (10⁶ bytes).
pub(super) fn resident_megabytes(pid: &str) -> Result<f64> {
    memory_megabytes(pid, "VmRSS:")
}

/// Begins to count anew what is the most that is resident of this process; a kernel that cannot
/// counts from its start. Source: proc(5), `/proc/[pid]/clear_refs`.
pub(super) fn forget_most_resident() {
    fs_err::write("/proc/self/clear_refs", "5").ok();
}

/// The most that was resident of process `pid`, in MB (10⁶ bytes).
pub(super) fn most_resident_megabytes(pid: &str) -> Result<f64> {
    memory_megabytes(pid, "VmHWM:")
}

fn memory_megabytes(pid: &str, name: &'static str) -> Result<f64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context(name)?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Runs `work` and returns its result with the CPU seconds of this process meanwhile.
pub(super) fn measured<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let before = cpu_seconds("self")?;
    let value = work()?;
    Ok((value, cpu_seconds("self")? - before))
}

/// The value below which the share `quantile` (0 to 1) of `values` lies; sorts them.
pub(super) fn quantile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * quantile).round() as usize)
        .copied()
        .unwrap_or_default()
}
