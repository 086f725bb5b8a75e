//! What containers use, under the names, labels, types and units of cAdvisor.
//!
//! `id` is the path of the control group, `name` and `image` are the engine's, and each label of a
//! container is `container_label_` and its name, with `_` for what may not stand there. One thing
//! differs: `container_memory_failcnt` is a gauge here, since no linter takes a counter of that name.
//! Samples carry no timestamps; `container_last_seen` says when they were read.
//!
//! Source: cAdvisor, `lib/metrics/prometheus.go`.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use qw_cgroup::{Device, Interface, Sample};
use qw_event::Timestamp;

use crate::{
    Exposition, Family,
    exposition::{Value, write_labels},
};

/// Labels of one container that are told.
const MAX_LABELS: usize = 64;
/// Longest name of a label of a container, in bytes; those with longer ones are left out.
const MAX_LABEL_NAME: usize = 128;

const BASE: &[&str] = &["id", "image", "name", "container_label_*"];
const PER_CPU: &[&str] = &["id", "image", "name", "container_label_*", "cpu"];
const PER_DEVICE: &[&str] = &["id", "image", "name", "container_label_*", "device"];
const PER_INTERFACE: &[&str] = &["id", "image", "name", "container_label_*", "interface"];

/// One container as a scrape tells of it.
#[derive(Debug, Clone, Copy)]
pub struct ContainerUsage<'a> {
    /// Path of its control group.
    pub group: &'a str,
    /// Name.
    pub name: &'a str,
    /// Image it was started with.
    pub image: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last started.
    pub started: Option<Timestamp>,
    /// When it was read.
    pub time: Timestamp,
    /// What was read.
    pub sample: &'a Sample,
    /// Names of the sample's devices, in its order.
    pub devices: &'a [Box<str>],
}

/// What a scrape says of the use of all containers.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsageSnapshot<'a> {
    /// Containers with a reading.
    pub containers: &'a [ContainerUsage<'a>],
    /// Labels of containers that are told; `None` tells all.
    pub labels: Option<&'a [String]>,
    /// Containers by the way they are read.
    pub ways: &'a [(&'static str, u64)],
    /// Rounds done.
    pub rounds: u64,
    /// Readings taken.
    pub readings: u64,
    /// Readings that failed.
    pub failures: u64,
    /// How long the last round took; `None` before the first.
    pub took: Option<Duration>,
    /// Where numbers are sent to.
    pub graphite: &'a [GraphiteSnapshot],
}

/// One Graphite server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphiteSnapshot {
    /// Host and port.
    pub address: String,
    /// True while there is a connection.
    pub connected: bool,
    /// Points written.
    pub sent: u64,
    /// Points that gave way to newer ones.
    pub dropped: u64,
    /// Points that wait.
    pub waiting: u64,
}

/// A family with at most one sample per container.
struct Plain {
    family: Family,
    value: fn(&ContainerUsage<'_>) -> Option<Value>,
}

/// A family with a sample per block device.
struct PerDevice {
    family: Family,
    value: fn(&Device) -> u64,
}

/// A family with a sample per interface.
struct PerInterface {
    family: Family,
    value: fn(&Interface) -> u64,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&ContainerUsage<'_>) -> Option<Value>,
) -> Plain {
    let family = Family::counter(name, help, BASE);
    Plain { family, value }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&ContainerUsage<'_>) -> Option<Value>,
) -> Plain {
    let family = Family::gauge(name, help, BASE);
    Plain { family, value }
}

const fn per_device(
    name: &'static str,
    help: &'static str,
    value: fn(&Device) -> u64,
) -> PerDevice {
    let family = Family::counter(name, help, PER_DEVICE);
    PerDevice { family, value }
}

const fn per_interface(
    name: &'static str,
    help: &'static str,
    value: fn(&Interface) -> u64,
) -> PerInterface {
    let family = Family::counter(name, help, PER_INTERFACE);
    PerInterface { family, value }
}

#[allow(clippy::unnecessary_wraps, reason = "a column of the table")]
fn seconds(nanoseconds: u64) -> Option<Value> {
    Some(Value::Float(nanoseconds as f64 / 1e9))
}

#[allow(clippy::unnecessary_wraps, reason = "a column of the table")]
fn whole(number: u64) -> Option<Value> {
    Some(Value::Integer(number))
}

fn when_throttled(of: &ContainerUsage<'_>, value: Option<Value>) -> Option<Value> {
    of.sample.limits.cpu_quota_microseconds.and(value)
}

/// Seconds since 1970, without their fraction, as cAdvisor writes them.
fn since_1970(time: Option<Timestamp>) -> Option<Value> {
    time.map(|time| Value::Float(time.as_seconds() as f64))
}

static CPU_USAGE: Family = Family::counter(
    "container_cpu_usage_seconds_total",
    "Cumulative cpu time consumed in seconds.",
    PER_CPU,
);

static MEMORY_FAILURES: Family = Family::counter(
    "container_memory_failures_total",
    "Cumulative count of memory allocation failures.",
    &[
        "id",
        "image",
        "name",
        "container_label_*",
        "failure_type",
        "scope",
    ],
);

static BLKIO_DEVICE_USAGE: Family = Family::counter(
    "container_blkio_device_usage_total",
    "Blkio Device bytes usage.",
    &[
        "id",
        "image",
        "name",
        "container_label_*",
        "device",
        "major",
        "minor",
        "operation",
    ],
);

static PLAIN: [Plain; 29] = [
    gauge(
        "container_last_seen",
        "Last time a container was seen by the exporter.",
        |of| since_1970(Some(of.time)),
    ),
    gauge(
        "container_creation_time_seconds",
        "Container creation time since unix epoch in seconds.",
        |of| since_1970(of.created),
    ),
    gauge(
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        |of| since_1970(of.started.or(of.created)),
    ),
    counter(
        "container_cpu_user_seconds_total",
        "Cumulative user cpu time consumed in seconds.",
        |of| seconds(of.sample.cpu.user_nanoseconds),
    ),
    counter(
        "container_cpu_system_seconds_total",
        "Cumulative system cpu time consumed in seconds.",
        |of| seconds(of.sample.cpu.system_nanoseconds),
    ),
    counter(
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        |of| when_throttled(of, whole(of.sample.cpu.periods)),
    ),
    counter(
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        |of| when_throttled(of, whole(of.sample.cpu.throttled_periods)),
    ),
    counter(
        "container_cpu_cfs_throttled_seconds_total",
        "Total time duration the container has been throttled.",
        |of| when_throttled(of, seconds(of.sample.cpu.throttled_nanoseconds)),
    ),
    gauge(
        "container_spec_cpu_period",
        "CPU period of the container.",
        |of| whole(of.sample.limits.cpu_period_microseconds),
    ),
    gauge(
        "container_spec_cpu_quota",
        "CPU quota of the container.",
        |of| of.sample.limits.cpu_quota_microseconds.map(Value::Integer),
    ),
    gauge(
        "container_spec_cpu_shares",
        "CPU share of the container.",
        |of| whole(of.sample.limits.cpu_shares),
    ),
    gauge(
        "container_spec_memory_limit_bytes",
        "Memory limit for the container.",
        |of| whole(of.sample.limits.memory_bytes.unwrap_or(0)),
    ),
    gauge(
        "container_spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        |of| whole(of.sample.limits.memory_swap_bytes.unwrap_or(0)),
    ),
    gauge(
        "container_spec_memory_reservation_limit_bytes",
        "Memory reservation limit for the container.",
        |of| whole(of.sample.limits.memory_reservation_bytes.unwrap_or(0)),
    ),
    gauge(
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed.",
        |of| whole(of.sample.memory.usage_bytes),
    ),
    gauge(
        "container_memory_max_usage_bytes",
        "Maximum memory usage recorded in bytes.",
        |of| of.sample.memory.peak_bytes.map(Value::Integer),
    ),
    gauge(
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        |of| whole(of.sample.memory.working_set_bytes),
    ),
    gauge("container_memory_rss", "Size of RSS in bytes.", |of| {
        whole(of.sample.memory.rss_bytes)
    }),
    gauge(
        "container_memory_cache",
        "Number of bytes of page cache memory.",
        |of| whole(of.sample.memory.cache_bytes),
    ),
    gauge(
        "container_memory_swap",
        "Container swap usage in bytes.",
        |of| whole(of.sample.memory.swap_bytes),
    ),
    gauge(
        "container_memory_mapped_file",
        "Size of memory mapped files in bytes.",
        |of| whole(of.sample.memory.mapped_file_bytes),
    ),
    gauge(
        "container_memory_kernel_usage",
        "Size of kernel memory allocated in bytes.",
        |of| of.sample.memory.kernel_bytes.map(Value::Integer),
    ),
    gauge(
        "container_memory_total_active_file_bytes",
        "Current total active file in bytes.",
        |of| whole(of.sample.memory.active_file_bytes),
    ),
    gauge(
        "container_memory_total_inactive_file_bytes",
        "Current total inactive file in bytes.",
        |of| whole(of.sample.memory.inactive_file_bytes),
    ),
    gauge(
        "container_memory_failcnt",
        "Number of memory usage hits limits.",
        |of| of.sample.memory.limit_hits.map(Value::Integer),
    ),
    counter(
        "container_oom_events_total",
        "Count of out of memory events observed for the container.",
        |of| of.sample.memory.oom_kills.map(Value::Integer),
    ),
    gauge(
        "container_processes",
        "Number of processes running inside the container.",
        |of| of.sample.tasks.processes.map(Value::Integer),
    ),
    gauge(
        "container_threads",
        "Number of threads running inside the container.",
        |of| of.sample.tasks.threads.map(Value::Integer),
    ),
    gauge(
        "container_threads_max",
        "Maximum number of threads allowed inside the container, infinity if value is zero.",
        |of| whole(of.sample.limits.threads.unwrap_or(0)),
    ),
];

static PER_DEVICE_FAMILIES: [PerDevice; 4] = [
    per_device(
        "container_fs_reads_bytes_total",
        "Cumulative count of bytes read.",
        |device| device.read_bytes,
    ),
    per_device(
        "container_fs_reads_total",
        "Cumulative count of reads completed.",
        |device| device.reads,
    ),
    per_device(
        "container_fs_writes_bytes_total",
        "Cumulative count of bytes written.",
        |device| device.written_bytes,
    ),
    per_device(
        "container_fs_writes_total",
        "Cumulative count of writes completed.",
        |device| device.writes,
    ),
];

static PER_INTERFACE_FAMILIES: [PerInterface; 8] = [
    per_interface(
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received.",
        |interface| interface.received.bytes,
    ),
    per_interface(
        "container_network_receive_packets_total",
        "Cumulative count of packets received.",
        |interface| interface.received.packets,
    ),
    per_interface(
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving.",
        |interface| interface.received.dropped,
    ),
    per_interface(
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving.",
        |interface| interface.received.errors,
    ),
    per_interface(
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted.",
        |interface| interface.transmitted.bytes,
    ),
    per_interface(
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted.",
        |interface| interface.transmitted.packets,
    ),
    per_interface(
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting.",
        |interface| interface.transmitted.dropped,
    ),
    per_interface(
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting.",
        |interface| interface.transmitted.errors,
    ),
];

static WAYS: Family = Family::gauge(
    "quaywatch_usage_containers",
    "Containers that run, by the way their use is read.",
    &["way"],
);
static ROUNDS: Family = Family::counter(
    "quaywatch_usage_rounds_total",
    "Times all containers were read.",
    &[],
);
static READINGS: Family = Family::counter(
    "quaywatch_usage_readings_total",
    "Readings of single containers, by what became of them.",
    &["result"],
);
static ROUND_SECONDS: Family = Family::gauge(
    "quaywatch_usage_round_duration_seconds",
    "How long the last round took.",
    &[],
);
static LEFT_OUT: Family = Family::gauge(
    "quaywatch_usage_series_left_out",
    "Series of containers' use that the bound of their families leaves out of this page.",
    &[],
);
static GRAPHITE_CONNECTED: Family = Family::gauge(
    "quaywatch_graphite_connected",
    "1 while there is a connection to the Graphite server.",
    &["address"],
);
static GRAPHITE_POINTS: Family = Family::counter(
    "quaywatch_graphite_points_total",
    "Points for a Graphite server, by what became of them.",
    &["address", "outcome"],
);
static GRAPHITE_WAITING: Family = Family::gauge(
    "quaywatch_graphite_points_waiting",
    "Points that wait for a Graphite server.",
    &["address"],
);

/// All families, in the order in which they are written.
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    let own: [&'static Family; 8] = [
        &WAYS,
        &ROUNDS,
        &READINGS,
        &ROUND_SECONDS,
        &LEFT_OUT,
        &GRAPHITE_CONNECTED,
        &GRAPHITE_POINTS,
        &GRAPHITE_WAITING,
    ];
    let single: [&'static Family; 3] = [&CPU_USAGE, &MEMORY_FAILURES, &BLKIO_DEVICE_USAGE];
    PLAIN
        .iter()
        .map(|one| &one.family)
        .chain(single)
        .chain(PER_DEVICE_FAMILIES.iter().map(|one| &one.family))
        .chain(PER_INTERFACE_FAMILIES.iter().map(|one| &one.family))
        .chain(own)
}

/// Takes one sample: its labels besides those of the container, and its value.
type Put<'a> = dyn FnMut(&[(&str, &str)], Value) + 'a;
/// Gives the samples of one container.
type Each<'a> = dyn Fn(&ContainerUsage<'_>, &mut Put<'_>) + 'a;

/// Writes all families; of each at most `bound` series, those of the containers that come first.
pub(crate) fn write(page: &mut Exposition, usage: &UsageSnapshot<'_>, bound: usize) {
    let base: Vec<String> = usage
        .containers
        .iter()
        .map(|of| base_labels(of, usage.labels))
        .collect();
    let mut left_out = 0_u64;
    let mut write_family = |family: &'static Family, each: &Each<'_>| {
        let mut samples = page.family(family);
        let mut scratch = String::new();
        let mut written = 0;
        for (of, base) in usage.containers.iter().zip(&base) {
            each(of, &mut |extra, value| {
                if written >= bound {
                    left_out += 1;
                    return;
                }
                written += 1;
                scratch.clear();
                scratch.push_str(base);
                for (name, value) in extra {
                    scratch.push(',');
                    write_labels(&mut scratch, &[name], &[value]);
                }
                samples.sample_written(&scratch, value);
            });
        }
    };

    for plain in &PLAIN {
        write_family(&plain.family, &|of, sample| {
            if let Some(value) = (plain.value)(of) {
                sample(&[], value);
            }
        });
    }
    write_family(&CPU_USAGE, &|of, sample| {
        let usage = of.sample.cpu.usage_nanoseconds as f64 / 1e9;
        sample(&[("cpu", "total")], Value::Float(usage));
    });
    write_family(&MEMORY_FAILURES, &|of, sample| {
        let memory = &of.sample.memory;
        for (kind, count) in [
            ("pgfault", memory.page_faults),
            ("pgmajfault", memory.major_page_faults),
        ] {
            for scope in ["container", "hierarchy"] {
                let labels = [("failure_type", kind), ("scope", scope)];
                sample(&labels, Value::Integer(count));
            }
        }
    });
    write_family(&BLKIO_DEVICE_USAGE, &|of, sample| {
        for (device, name) in of.sample.devices.iter().zip(of.devices) {
            let (major, minor) = (device.major.to_string(), device.minor.to_string());
            for (operation, bytes) in [("Read", device.read_bytes), ("Write", device.written_bytes)]
            {
                let labels = [
                    ("device", &**name),
                    ("major", &major),
                    ("minor", &minor),
                    ("operation", operation),
                ];
                sample(&labels, Value::Integer(bytes));
            }
        }
    });
    for one in &PER_DEVICE_FAMILIES {
        write_family(&one.family, &|of, sample| {
            for (device, name) in of.sample.devices.iter().zip(of.devices) {
                sample(&[("device", name)], Value::Integer((one.value)(device)));
            }
        });
    }
    for one in &PER_INTERFACE_FAMILIES {
        write_family(&one.family, &|of, sample| {
            for interface in of.sample.interfaces.iter().flatten() {
                let value = Value::Integer((one.value)(interface));
                sample(&[("interface", &interface.name)], value);
            }
        });
    }
    write_own(page, usage, left_out);
}

fn write_own(page: &mut Exposition, usage: &UsageSnapshot<'_>, left_out: u64) {
    let mut ways = page.family(&WAYS);
    for (way, count) in usage.ways {
        ways.sample(&[way], *count);
    }
    page.single(&ROUNDS, usage.rounds);
    let mut readings = page.family(&READINGS);
    readings.sample(&["taken"], usage.readings);
    readings.sample(&["failed"], usage.failures);
    if let Some(took) = usage.took {
        page.single(&ROUND_SECONDS, took.as_secs_f64());
    }
    page.single(&LEFT_OUT, left_out);
    let mut connected = page.family(&GRAPHITE_CONNECTED);
    for server in usage.graphite {
        connected.sample(&[&server.address], server.connected);
    }
    let mut points = page.family(&GRAPHITE_POINTS);
    for server in usage.graphite {
        points.sample(&[&server.address, "sent"], server.sent);
        points.sample(&[&server.address, "dropped"], server.dropped);
    }
    let mut waiting = page.family(&GRAPHITE_WAITING);
    for server in usage.graphite {
        waiting.sample(&[&server.address], server.waiting);
    }
}

/// What all samples of a container have between their braces.
fn base_labels(of: &ContainerUsage<'_>, wanted: Option<&[String]>) -> String {
    let mut text = String::with_capacity(256);
    write_labels(
        &mut text,
        &["id", "image", "name"],
        &[of.group, of.image, of.name],
    );
    let labels = of
        .labels
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted.contains(name)))
        .filter(|(name, value)| name.len() <= MAX_LABEL_NAME && !value.is_empty());
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in labels {
        if seen.len() == MAX_LABELS {
            break;
        }
        let mut label = String::from("container_label_");
        let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '_';
        label.extend(name.chars().map(|c| if is_kept(c) { c } else { '_' }));
        // Two names may become one; the first stays.
        if seen.contains(&label) {
            continue;
        }
        write!(text, ",").expect("writing into a string does not fail");
        write_labels(&mut text, &[&label], &[value]);
        seen.push(label);
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use qw_cgroup::{Cpu, Limits, Memory, Tasks, Traffic};

    use super::*;
    use crate::Format;

    fn sample() -> Sample {
        Sample {
            cpu: Cpu {
                usage_nanoseconds: 5_500_000_000,
                user_nanoseconds: 4_000_000_000,
                system_nanoseconds: 1_500_000_000,
                periods: 723,
                throttled_periods: 18,
                throttled_nanoseconds: 1_724_314_000,
            },
            memory: Memory {
                usage_bytes: 60_000_000,
                working_set_bytes: 51_000_000,
                page_faults: 10,
                major_page_faults: 2,
                oom_kills: Some(1),
                ..Memory::default()
            },
            tasks: Tasks {
                processes: Some(2),
                threads: Some(5),
            },
            devices: vec![Device {
                major: 254,
                minor: 0,
                read_bytes: 4096,
                written_bytes: 8192,
                reads: 1,
                writes: 2,
            }],
            interfaces: Some(vec![Interface {
                name: "eth0".into(),
                received: Traffic {
                    bytes: 1306,
                    packets: 17,
                    errors: 1,
                    dropped: 2,
                },
                transmitted: Traffic::default(),
            }]),
            limits: Limits {
                cpu_quota_microseconds: Some(50_000),
                cpu_period_microseconds: 100_000,
                cpu_shares: 1024,
                memory_bytes: Some(64 << 20),
                ..Limits::default()
            },
        }
    }

    fn page(count: usize, bound: usize, change: impl Fn(&mut Sample)) -> String {
        let mut sample = sample();
        change(&mut sample);
        let labels = [
            ("com.example/tier", "a \"b\""),
            ("com.example.tier", "c"),
            ("empty", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let devices = [Box::from("/dev/vda")];
        let names: Vec<_> = (0..count).map(|number| format!("web-{number}")).collect();
        let containers: Vec<_> = names
            .iter()
            .map(|name| ContainerUsage {
                group: "/docker/ab",
                name,
                image: "nginx:1",
                labels: &labels,
                created: Some(Timestamp::from_seconds(90)),
                started: Some(Timestamp::from_seconds(100)),
                time: Timestamp::from_seconds(200),
                sample: &sample,
                devices: &devices,
            })
            .collect();
        let usage = UsageSnapshot {
            containers: &containers,
            ..UsageSnapshot::default()
        };
        let mut page = Exposition::new(Format::Text);
        write(&mut page, &usage, bound);
        page.finish()
    }

    fn lines(page: &str, part: &str) -> String {
        let lines: Vec<_> = page.lines().filter(|line| line.contains(part)).collect();
        lines.join("\n")
    }

    #[test]
    fn names_labels_and_units_are_those_of_cadvisor() {
        let page = page(1, 100, |_| {});
        expect![[r#"
            # HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.
            # TYPE container_cpu_usage_seconds_total counter
            container_cpu_usage_seconds_total{id="/docker/ab",image="nginx:1",name="web-0",container_label_com_example_tier="c",cpu="total"} 5.5"#]]
        .assert_eq(&lines(&page, "container_cpu_usage"));
        let without_base = page.replace(
            r#"id="/docker/ab",image="nginx:1",name="web-0",container_label_com_example_tier="c""#,
            "…",
        );
        let samples: Vec<_> = without_base
            .lines()
            .filter(|line| line.starts_with("container_"))
            .collect();
        expect![[r#"
            container_last_seen{…} 200
            container_creation_time_seconds{…} 90
            container_start_time_seconds{…} 100
            container_cpu_user_seconds_total{…} 4
            container_cpu_system_seconds_total{…} 1.5
            container_cpu_cfs_periods_total{…} 723
            container_cpu_cfs_throttled_periods_total{…} 18
            container_cpu_cfs_throttled_seconds_total{…} 1.724314
            container_spec_cpu_period{…} 100000
            container_spec_cpu_quota{…} 50000
            container_spec_cpu_shares{…} 1024
            container_spec_memory_limit_bytes{…} 67108864
            container_spec_memory_swap_limit_bytes{…} 0
            container_spec_memory_reservation_limit_bytes{…} 0
            container_memory_usage_bytes{…} 60000000
            container_memory_working_set_bytes{…} 51000000
            container_memory_rss{…} 0
            container_memory_cache{…} 0
            container_memory_swap{…} 0
            container_memory_mapped_file{…} 0
            container_memory_total_active_file_bytes{…} 0
            container_memory_total_inactive_file_bytes{…} 0
            container_oom_events_total{…} 1
            container_processes{…} 2
            container_threads{…} 5
            container_threads_max{…} 0
            container_cpu_usage_seconds_total{…,cpu="total"} 5.5
            container_memory_failures_total{…,failure_type="pgfault",scope="container"} 10
            container_memory_failures_total{…,failure_type="pgfault",scope="hierarchy"} 10
            container_memory_failures_total{…,failure_type="pgmajfault",scope="container"} 2
            container_memory_failures_total{…,failure_type="pgmajfault",scope="hierarchy"} 2
            container_blkio_device_usage_total{…,device="/dev/vda",major="254",minor="0",operation="Read"} 4096
            container_blkio_device_usage_total{…,device="/dev/vda",major="254",minor="0",operation="Write"} 8192
            container_fs_reads_bytes_total{…,device="/dev/vda"} 4096
            container_fs_reads_total{…,device="/dev/vda"} 1
            container_fs_writes_bytes_total{…,device="/dev/vda"} 8192
            container_fs_writes_total{…,device="/dev/vda"} 2
            container_network_receive_bytes_total{…,interface="eth0"} 1306
            container_network_receive_packets_total{…,interface="eth0"} 17
            container_network_receive_packets_dropped_total{…,interface="eth0"} 2
            container_network_receive_errors_total{…,interface="eth0"} 1
            container_network_transmit_bytes_total{…,interface="eth0"} 0
            container_network_transmit_packets_total{…,interface="eth0"} 0
            container_network_transmit_packets_dropped_total{…,interface="eth0"} 0
            container_network_transmit_errors_total{…,interface="eth0"} 0
        "#]]
        .assert_eq(&(samples.join("\n") + "\n"));
    }

    #[test]
    fn without_a_quota_nothing_is_said_of_throttling() {
        let page = page(1, 100, |sample| sample.limits = Limits::default());
        assert_eq!(lines(&page, "_cfs_"), "");
        assert_eq!(lines(&page, "container_spec_cpu_quota"), "");
        let limit = lines(&page, "container_spec_memory_limit_bytes{");
        assert!(limit.ends_with(" 0"), "{limit}");
    }

    #[test]
    fn series_are_bounded_and_what_is_left_out_is_counted() {
        let many = |bound| page(30, bound, |_| {});
        let page = many(20);
        let count = |part: &str| lines(&page, part).lines().count();
        assert_eq!(count("container_memory_usage_bytes{"), 20);
        assert_eq!(count("container_memory_failures_total{"), 20);
        // Of 30 containers with one series each, 10; of those with two and four, 40 and 100.
        let samples = |page: &str| {
            let samples = page.lines().filter(|line| line.starts_with("container_"));
            samples.count()
        };
        let all = samples(&many(1000));
        let left_out = page
            .lines()
            .find(|line| line.starts_with("quaywatch_usage_series_left_out"))
            .unwrap();
        let expected = format!("quaywatch_usage_series_left_out {}", all - samples(&page));
        assert_eq!(left_out, expected);
    }

    #[test]
    fn labels_can_be_chosen() {
        let sample = sample();
        let labels = [("a", "1"), ("b", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let of = ContainerUsage {
            group: "/",
            name: "web",
            image: "",
            labels: &labels,
            created: None,
            started: None,
            time: Timestamp::EPOCH,
            sample: &sample,
            devices: &[],
        };
        let with = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
            base_labels(&of, Some(&wanted))
        };
        assert!(with(&["b"]).ends_with(r#"name="web",container_label_b="2""#));
        assert!(with(&[]).ends_with(r#"name="web""#));
    }
}
