//! The process itself, as Linux tells it, under the names every Prometheus client uses.

use std::{fs, io};

use crate::{Exposition, Family};

/// Ticks per second in `/proc`; the kernel scales its own clock to this number for every reader.
const TICKS_PER_SECOND: f64 = 100.0;

static CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    "Processor time used by the process, in user and system mode, in seconds.",
    &[],
);
static RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    "Memory of the process that is in physical memory, in bytes.",
    &[],
);
static VIRTUAL: Family = Family::gauge(
    "process_virtual_memory_bytes",
    "Address space of the process, in bytes.",
    &[],
);
static START: Family = Family::gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970.",
    &[],
);
static OPEN_FDS: Family = Family::gauge(
    "process_open_fds",
    "File descriptors the process has open.",
    &[],
);
static MAX_FDS: Family = Family::gauge(
    "process_max_fds",
    "File descriptors the process may have open.",
    &[],
);

pub(crate) static FAMILIES: [&Family; 6] = [&CPU, &RESIDENT, &VIRTUAL, &START, &OPEN_FDS, &MAX_FDS];

/// What the system knows of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessSnapshot {
    /// Processor time used, in seconds.
    pub cpu_seconds: f64,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
    /// File descriptors open.
    pub open_fds: u64,
    /// File descriptors allowed; `None` when there is no limit.
    pub max_fds: Option<u64>,
}

impl ProcessSnapshot {
    /// Reads `/proc/self`; an error where there is none, as on systems other than Linux.
    pub fn read() -> io::Result<Self> {
        let descriptors = fs::read_dir("/proc/self/fd")?.count();
        parse(
            &fs::read_to_string("/proc/self/stat")?,
            &fs::read_to_string("/proc/self/status")?,
            &fs::read_to_string("/proc/self/limits")?,
            &fs::read_to_string("/proc/stat")?,
            // One of them was the listing's own.
            (descriptors as u64).saturating_sub(1),
        )
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "`/proc/self` is not as proc(5) says",
            )
        })
    }

    pub(crate) fn write(&self, exposition: &mut Exposition) {
        exposition.single(&CPU, self.cpu_seconds);
        exposition.single(&RESIDENT, self.resident_bytes);
        exposition.single(&VIRTUAL, self.virtual_bytes);
        exposition.single(&START, self.start_seconds);
        exposition.single(&OPEN_FDS, self.open_fds);
        if let Some(limit) = self.max_fds {
            exposition.single(&MAX_FDS, limit);
        }
    }
}

/// Source: proc(5).
fn parse(
    stat: &str,
    status: &str,
    limits: &str,
    system: &str,
    open_fds: u64,
) -> Option<ProcessSnapshot> {
    // The command may hold spaces and parentheses; the fields after the last one are counted from 3.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    let boot: f64 = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    Some(ProcessSnapshot {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        resident_bytes: kilobytes("VmRSS:")?,
        virtual_bytes: kilobytes("VmSize:")?,
        start_seconds: boot + field(22)? / TICKS_PER_SECOND,
        open_fds,
        max_fds: limit.split_whitespace().next()?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_files_are_read() {
        let stat = "42 (a b) (c) S 1 42 42 0 -1 4194560 1209 0 3 0 150 50 0 0 20 0 4 0 12345 \
            9437184 853 18446744073709551615 1 1 0 0 0 0 0 4096 17663 0 0 0 17 1 0 0 0 0 0";
        let status =
            "Name:\ta b\nVmPeak:\t    9300 kB\nVmSize:\t    9216 kB\nVmRSS:\t    3412 kB\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n";
        let system = "cpu  1 2 3\nbtime 1795251600\nprocesses 5\n";
        let snapshot = parse(stat, status, limits, system, 9).unwrap();
        assert_eq!(
            snapshot,
            ProcessSnapshot {
                cpu_seconds: 2.0,
                resident_bytes: 3412 * 1024,
                virtual_bytes: 9216 * 1024,
                start_seconds: 1_795_251_723.45,
                open_fds: 9,
                max_fds: Some(1024),
            }
        );
        let unlimited = limits.replace("1024 ", "unlimited ");
        assert_eq!(
            parse(stat, status, &unlimited, system, 9).unwrap().max_fds,
            None
        );
        assert_eq!(parse("", status, limits, system, 9), None);
        assert_eq!(parse(stat, "", limits, system, 9), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn own_process_is_read() {
        let snapshot = ProcessSnapshot::read().unwrap();
        assert!(snapshot.resident_bytes > 100 << 10);
        assert!(snapshot.virtual_bytes >= snapshot.resident_bytes);
        assert!(snapshot.open_fds >= 3);
        assert!(snapshot.start_seconds > 1.5e9);
    }
}
