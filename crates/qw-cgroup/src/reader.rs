//! Files of one container's groups, kept open, and what they say.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{
    Groups, Limits, Memory, Sample, Unreadable, Version,
    parse::{self, Counted},
    read::{Buffer, read, read_path},
    sample::shares_of_weight,
};

/// Limits change seldom: they are read with the first sample and with each sixth after it.
const LIMITS_EVERY: u32 = 6;
/// `cpuacct.stat` counts in hundredths of a second on every processor that Linux knows (`USER_HZ`).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads samples of one container.
#[derive(Debug)]
pub struct Reader {
    groups: Groups,
    files: Files,
    net_dev: Option<PathBuf>,
    buffer: Buffer,
    limits: Limits,
    samples: u32,
}

/// A file, and where it is, for errors.
#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
}

/// The files; those that the kernel does not offer are `None`.
#[derive(Debug, Default)]
struct Files {
    /// Version 1.
    cpu_usage: Option<Open>,
    /// Version 1.
    cpu_ticks: Option<Open>,
    cpu_stat: Option<Open>,
    memory_usage: Option<Open>,
    memory_peak: Option<Open>,
    memory_stat: Option<Open>,
    /// Version 1.
    memory_kernel: Option<Open>,
    /// Version 1.
    memory_failures: Option<Open>,
    /// Version 2, where swap is apart.
    memory_swap: Option<Open>,
    /// `memory.events` or `memory.oom_control`.
    memory_events: Option<Open>,
    pids: Option<Open>,
    processes: Option<Open>,
    io_bytes: Option<Open>,
    /// Version 1.
    io_operations: Option<Open>,
    /// Folders of the limits.
    cpu: Option<PathBuf>,
    memory: Option<PathBuf>,
    threads: Option<PathBuf>,
}

impl Reader {
    /// Opens the files of `groups`. `network` is the process whose network namespace is the
    /// container's own, and the process file system it is in; `None` leaves the network out.
    ///
    /// # Errors
    /// [`Unreadable::Io`] when a file is there and may not be opened; [`Unreadable::NoControllers`]
    /// when none of those are there that matter.
    pub fn open(groups: Groups, network: Option<(&Path, u32)>) -> Result<Self, Unreadable> {
        let files = match groups.version {
            Version::V1 => Files::open_v1(&groups)?,
            Version::V2 => Files::open_v2(&groups)?,
        };
        if files.cpu_usage.is_none() && files.cpu_stat.is_none() && files.memory_usage.is_none() {
            let group = PathBuf::from(&groups.path);
            return Err(Unreadable::NoControllers { group });
        }
        let net_dev = network.map(|(proc, pid)| proc.join(pid.to_string()).join("net/dev"));
        Ok(Self {
            groups,
            files,
            net_dev,
            buffer: Buffer::default(),
            limits: Limits::default(),
            samples: 0,
        })
    }

    /// The groups that are read.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What the container uses now.
    ///
    /// # Errors
    /// [`Unreadable::Io`]: the group is gone, thus the container has stopped, or was started anew
    /// in another one.
    pub fn sample(&mut self) -> Result<Sample, Unreadable> {
        let mut sample = Sample::default();
        match self.groups.version {
            Version::V1 => self.files.read_v1(&mut sample, &mut self.buffer)?,
            Version::V2 => self.files.read_v2(&mut sample, &mut self.buffer)?,
        }
        if let Some(path) = &self.net_dev {
            // Not kept open: that would keep the namespace of a container that has ended.
            sample.interfaces = read_path(path, &mut self.buffer).ok().map(parse::net_dev);
        }
        if self.samples.is_multiple_of(LIMITS_EVERY) {
            self.limits = match self.groups.version {
                Version::V1 => self.files.limits_v1(&mut self.buffer),
                Version::V2 => self.files.limits_v2(&mut self.buffer),
            };
        }
        self.samples = self.samples.wrapping_add(1);
        sample.limits = self.limits;
        Ok(sample)
    }
}

impl Files {
    fn open_v1(groups: &Groups) -> Result<Self, Unreadable> {
        let folders = &groups.folders;
        let in_folder = |folder: &Option<PathBuf>, names: &[&str]| first(folder.as_deref(), names);
        Ok(Self {
            cpu_usage: in_folder(&folders.cpuacct, &["cpuacct.usage"])?,
            cpu_ticks: in_folder(&folders.cpuacct, &["cpuacct.stat"])?,
            cpu_stat: in_folder(&folders.cpu, &["cpu.stat"])?,
            memory_usage: in_folder(&folders.memory, &["memory.usage_in_bytes"])?,
            memory_peak: in_folder(&folders.memory, &["memory.max_usage_in_bytes"])?,
            memory_stat: in_folder(&folders.memory, &["memory.stat"])?,
            memory_kernel: in_folder(&folders.memory, &["memory.kmem.usage_in_bytes"])?,
            memory_failures: in_folder(&folders.memory, &["memory.failcnt"])?,
            memory_swap: None,
            memory_events: in_folder(&folders.memory, &["memory.oom_control"])?,
            pids: in_folder(&folders.pids, &["pids.current"])?,
            processes: first(
                [&folders.memory, &folders.cpuacct]
                    .into_iter()
                    .flatten()
                    .map(PathBuf::as_path)
                    .next(),
                &["cgroup.procs"],
            )?,
            // What passed the throttling layer, whichever scheduler the device has.
            io_bytes: in_folder(
                &folders.blkio,
                &[
                    "blkio.throttle.io_service_bytes_recursive",
                    "blkio.throttle.io_service_bytes",
                ],
            )?,
            io_operations: in_folder(
                &folders.blkio,
                &[
                    "blkio.throttle.io_serviced_recursive",
                    "blkio.throttle.io_serviced",
                ],
            )?,
            cpu: folders.cpu.clone(),
            memory: folders.memory.clone(),
            threads: folders.pids.clone(),
        })
    }

    fn open_v2(groups: &Groups) -> Result<Self, Unreadable> {
        let folder = groups.folders.memory.as_deref();
        let open = |name: &str| first(folder, &[name]);
        Ok(Self {
            cpu_stat: open("cpu.stat")?,
            memory_usage: open("memory.current")?,
            memory_peak: open("memory.peak")?,
            memory_stat: open("memory.stat")?,
            memory_swap: open("memory.swap.current")?,
            memory_events: open("memory.events")?,
            pids: open("pids.current")?,
            processes: open("cgroup.procs")?,
            io_bytes: open("io.stat")?,
            cpu: folder.map(Path::to_owned),
            memory: folder.map(Path::to_owned),
            threads: folder.map(Path::to_owned),
            ..Self::default()
        })
    }

    fn read_v1(&self, sample: &mut Sample, buffer: &mut Buffer) -> Result<(), Unreadable> {
        let cpu = &mut sample.cpu;
        cpu.usage_nanoseconds = value(self.cpu_usage.as_ref(), buffer)?.unwrap_or(0);
        each(self.cpu_ticks.as_ref(), buffer, |key, ticks| match key {
            b"user" => cpu.user_nanoseconds = ticks.saturating_mul(NANOSECONDS_PER_TICK),
            b"system" => cpu.system_nanoseconds = ticks.saturating_mul(NANOSECONDS_PER_TICK),
            _ => {}
        })?;
        each(self.cpu_stat.as_ref(), buffer, |key, value| match key {
            b"nr_periods" => cpu.periods = value,
            b"nr_throttled" => cpu.throttled_periods = value,
            b"throttled_time" => cpu.throttled_nanoseconds = value,
            _ => {}
        })?;
        let memory = &mut sample.memory;
        each(self.memory_stat.as_ref(), buffer, |key, value| match key {
            b"total_cache" => memory.cache_bytes = value,
            b"total_rss" => memory.rss_bytes = value,
            b"total_swap" => memory.swap_bytes = value,
            b"total_mapped_file" => memory.mapped_file_bytes = value,
            b"total_active_file" => memory.active_file_bytes = value,
            b"total_inactive_file" => memory.inactive_file_bytes = value,
            b"total_pgfault" => memory.page_faults = value,
            b"total_pgmajfault" => memory.major_page_faults = value,
            _ => {}
        })?;
        memory.kernel_bytes = value(self.memory_kernel.as_ref(), buffer)?;
        memory.limit_hits = value(self.memory_failures.as_ref(), buffer)?;
        each(self.memory_events.as_ref(), buffer, |key, value| {
            if key == b"oom_kill" {
                memory.oom_kills = Some(value);
            }
        })?;
        self.read_common(sample, buffer)?;
        for (file, counted) in [
            (&self.io_bytes, Counted::Bytes),
            (&self.io_operations, Counted::Operations),
        ] {
            if let Some(open) = file {
                parse::blkio(open.read(buffer)?, counted, &mut sample.devices);
            }
        }
        Ok(())
    }

    fn read_v2(&self, sample: &mut Sample, buffer: &mut Buffer) -> Result<(), Unreadable> {
        let cpu = &mut sample.cpu;
        each(self.cpu_stat.as_ref(), buffer, |key, value| {
            let place = match key {
                b"usage_usec" => &mut cpu.usage_nanoseconds,
                b"user_usec" => &mut cpu.user_nanoseconds,
                b"system_usec" => &mut cpu.system_nanoseconds,
                b"throttled_usec" => &mut cpu.throttled_nanoseconds,
                b"nr_periods" => return cpu.periods = value,
                b"nr_throttled" => return cpu.throttled_periods = value,
                _ => return,
            };
            *place = value.saturating_mul(1000);
        })?;
        let memory = &mut sample.memory;
        each(self.memory_stat.as_ref(), buffer, |key, value| match key {
            b"anon" => memory.rss_bytes = value,
            b"file" => memory.cache_bytes = value,
            b"kernel" => memory.kernel_bytes = Some(value),
            b"file_mapped" => memory.mapped_file_bytes = value,
            b"active_file" => memory.active_file_bytes = value,
            b"inactive_file" => memory.inactive_file_bytes = value,
            b"pgfault" => memory.page_faults = value,
            b"pgmajfault" => memory.major_page_faults = value,
            _ => {}
        })?;
        memory.swap_bytes = value(self.memory_swap.as_ref(), buffer)?.unwrap_or(0);
        each(
            self.memory_events.as_ref(),
            buffer,
            |key, value| match key {
                b"max" => memory.limit_hits = Some(value),
                b"oom_kill" => memory.oom_kills = Some(value),
                _ => {}
            },
        )?;
        self.read_common(sample, buffer)?;
        if let Some(open) = &self.io_bytes {
            parse::io_stat(open.read(buffer)?, &mut sample.devices);
        }
        Ok(())
    }

    fn read_common(&self, sample: &mut Sample, buffer: &mut Buffer) -> Result<(), Unreadable> {
        let memory = &mut sample.memory;
        memory.usage_bytes = value(self.memory_usage.as_ref(), buffer)?.unwrap_or(0);
        memory.peak_bytes = value(self.memory_peak.as_ref(), buffer)?;
        memory.set_working_set();
        sample.tasks.threads = value(self.pids.as_ref(), buffer)?;
        if let Some(open) = &self.processes {
            // A group of threads refuses to list processes; that is no fault.
            sample.tasks.processes = open.read(buffer).ok().map(parse::lines_in);
        }
        Ok(())
    }

    fn limits_v1(&self, buffer: &mut Buffer) -> Limits {
        let mut read = |folder: &Option<PathBuf>, name: &str, parse: fn(&[u8]) -> Option<u64>| {
            let path = folder.as_ref()?.join(name);
            parse(read_path(&path, buffer).ok()?)
        };
        Limits {
            cpu_quota_microseconds: read(&self.cpu, "cpu.cfs_quota_us", parse::limit),
            cpu_period_microseconds: read(&self.cpu, "cpu.cfs_period_us", parse::number)
                .unwrap_or(0),
            cpu_shares: read(&self.cpu, "cpu.shares", parse::number).unwrap_or(0),
            memory_bytes: read(&self.memory, "memory.limit_in_bytes", parse::limit),
            memory_swap_bytes: read(&self.memory, "memory.memsw.limit_in_bytes", parse::limit),
            memory_reservation_bytes: read(
                &self.memory,
                "memory.soft_limit_in_bytes",
                parse::limit,
            ),
            threads: read(&self.threads, "pids.max", parse::limit),
        }
    }

    fn limits_v2(&self, buffer: &mut Buffer) -> Limits {
        let (quota, period) = self
            .cpu
            .as_ref()
            .and_then(|folder| {
                let text = read_path(&folder.join("cpu.max"), buffer).ok()?;
                parse::cpu_max(text)
            })
            .unwrap_or((None, 0));
        let mut read = |folder: &Option<PathBuf>, name: &str, parse: fn(&[u8]) -> Option<u64>| {
            let path = folder.as_ref()?.join(name);
            parse(read_path(&path, buffer).ok()?)
        };
        Limits {
            cpu_quota_microseconds: quota,
            cpu_period_microseconds: period,
            cpu_shares: read(&self.cpu, "cpu.weight", parse::number).map_or(0, shares_of_weight),
            memory_bytes: read(&self.memory, "memory.max", parse::limit),
            memory_swap_bytes: read(&self.memory, "memory.swap.max", parse::limit),
            memory_reservation_bytes: read(&self.memory, "memory.low", parse::limit)
                .filter(|bytes| *bytes > 0),
            threads: read(&self.threads, "pids.max", parse::limit),
        }
    }
}

impl Memory {
    /// Usage without inactive page cache, the way cAdvisor and Kubernetes count it.
    pub fn set_working_set(&mut self) {
        self.working_set_bytes = self.usage_bytes.saturating_sub(self.inactive_file_bytes);
    }
}

impl Open {
    fn read<'a>(&self, buffer: &'a mut Buffer) -> Result<&'a [u8], Unreadable> {
        read(&self.file, buffer).map_err(|source| Unreadable::Io {
            path: self.path.clone(),
            source,
        })
    }
}

/// The first of `names` that is in `folder`; `None` when none is.
fn first(folder: Option<&Path>, names: &[&str]) -> Result<Option<Open>, Unreadable> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    for name in names {
        let path = folder.join(name);
        match File::open(&path) {
            Ok(file) => return Ok(Some(Open { file, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Unreadable::Io { path, source }),
        }
    }
    Ok(None)
}

/// The number that a file holds; `None` when there is no such file.
fn value(open: Option<&Open>, buffer: &mut Buffer) -> Result<Option<u64>, Unreadable> {
    match open {
        Some(open) => Ok(parse::number(open.read(buffer)?)),
        None => Ok(None),
    }
}

/// Gives the lines of a flat keyed file to `take`, when there is such a file.
fn each(
    open: Option<&Open>,
    buffer: &mut Buffer,
    take: impl FnMut(&[u8], u64),
) -> Result<(), Unreadable> {
    if let Some(open) = open {
        parse::flat_keyed(open.read(buffer)?, take);
    }
    Ok(())
}
