//! Events as Falco writes them, and lines as programs log them, from a seed.

use std::{sync::Arc, time::Duration};

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use serde_json::value::RawValue;

/// Numbers that look random and are the same for the same seed (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; zero when `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// One of `choices`, the first ones far more often than the last.
    fn pick_skewed<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let fraction = self.below(1 << 20) as f64 / f64::from(1 << 20);
        &choices[(fraction * fraction * fraction * choices.len() as f64) as usize]
    }
}

const RULES: [(&str, Priority, Category, &str); 12] = [
    (
        "Terminal shell in container",
        Priority::Notice,
        Category::Process,
        "A shell was spawned in a container with an attached terminal",
    ),
    (
        "Read sensitive file untrusted",
        Priority::Warning,
        Category::File,
        "Sensitive file opened for reading by non-trusted program",
    ),
    (
        "Contact K8S API Server From Container",
        Priority::Notice,
        Category::Network,
        "Unexpected connection to K8s API Server from container",
    ),
    (
        "Write below etc",
        Priority::Error,
        Category::File,
        "File below /etc opened for writing",
    ),
    (
        "Drop and execute new binary in container",
        Priority::Critical,
        Category::Process,
        "Executing binary not part of base image",
    ),
    (
        "Redirect STDOUT/STDIN to Network Connection in Container",
        Priority::Notice,
        Category::Network,
        "Redirect stdout/stdin to network connection",
    ),
    (
        "Clear Log Activities",
        Priority::Warning,
        Category::File,
        "Log files were tampered with or cleared",
    ),
    (
        "Run shell untrusted",
        Priority::Notice,
        Category::Process,
        "Shell spawned by untrusted binary: it spawned a shell",
    ),
    (
        "Outbound Connection to C2 Servers",
        Priority::Emergency,
        Category::Network,
        "Outbound connection to a known server",
    ),
    (
        "Launch Package Management Process in Container",
        Priority::Informational,
        Category::Process,
        "Package management process launched in container",
    ),
    (
        "Debugfs Launched in Privileged Container",
        Priority::Debug,
        Category::Unknown,
        "Größe É",
    ),
    (
        "System user interactive",
        Priority::Alert,
        Category::Unknown,
        "System user ran a command",
    ),
];

const LEVELS: [(&str, Priority); 6] = [
    ("INFO", Priority::Informational),
    ("", Priority::Informational),
    ("DEBUG", Priority::Debug),
    ("WARN", Priority::Warning),
    ("ERROR", Priority::Error),
    ("FATAL", Priority::Critical),
];

const PROCESSES: [&str; 16] = [
    "bash",
    "sh",
    "nginx",
    "curl",
    "python3",
    "postgres",
    "java",
    "node",
    "redis-server",
    "cat",
    "apt-get",
    "wget",
    "nc",
    "sshd",
    "cron",
    "perl",
];
const PATHS: [&str; 10] = [
    "/etc/shadow",
    "/etc/passwd",
    "/var/log/auth.log",
    "/usr/bin/python3",
    "/tmp/payload",
    "/proc/self/environ",
    "/root/.ssh/authorized_keys",
    "/etc/ld.so.preload",
    "/dev/shm/x",
    "/data",
];
const USERS: [(&str, u32); 5] = [
    ("root", 0),
    ("www-data", 33),
    ("postgres", 999),
    ("deploy", 1001),
    ("ann", 1002),
];

/// Name and tags of a rule.
type Rule = (Arc<str>, Arc<[Arc<str>]>);

/// Makes events as the rules of Falco do, about 1.2 kB each.
#[derive(Debug)]
pub struct Sampler {
    random: Random,
    containers: Vec<Arc<ContainerRef>>,
    rules: Vec<Rule>,
    processes: Vec<Arc<str>>,
    hosts: Vec<Arc<str>>,
    source: Arc<str>,
    levels: Vec<(Arc<str>, Priority)>,
    streams: [Arc<str>; 2],
}

impl Sampler {
    /// The events of `seed`, from 40 containers on 6 hosts.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let containers = (0..40)
            .map(|number| Arc::new(container(&mut random, number)))
            .collect();
        let tags = |index: usize| -> Arc<[Arc<str>]> {
            let all = [
                "container",
                "mitre_execution",
                "maturity_stable",
                "shell",
                "filesystem",
            ];
            all.iter()
                .skip(index % 3)
                .take(1 + index % 4)
                .map(|tag| Arc::from(*tag))
                .collect()
        };
        Self {
            random,
            containers,
            rules: RULES
                .iter()
                .enumerate()
                .map(|(index, rule)| (Arc::from(rule.0), tags(index)))
                .collect(),
            processes: PROCESSES.iter().map(|name| Arc::from(*name)).collect(),
            hosts: (1..=6)
                .map(|number| format!("node-{number}").into())
                .collect(),
            source: "syscall".into(),
            levels: LEVELS
                .iter()
                .map(|(level, priority)| (Arc::from(*level), *priority))
                .collect(),
            streams: ["stdout".into(), "stderr".into()],
        }
    }

    /// `count` events from `start` on, about `step` apart, now and then one late.
    pub fn events(&mut self, start: Timestamp, step: Duration, count: usize) -> Vec<Event> {
        self.made(start, step, count, Self::event)
    }

    /// As [`Self::events`], lines of logs.
    pub fn lines(&mut self, start: Timestamp, step: Duration, count: usize) -> Vec<Event> {
        self.made(start, step, count, Self::line)
    }

    /// As [`Self::events`], now an event, now a few lines.
    pub fn records(&mut self, start: Timestamp, step: Duration, count: usize) -> Vec<Event> {
        self.made(start, step, count, |sampler, time| {
            if sampler.random.below(4) == 0 {
                sampler.event(time)
            } else {
                sampler.line(time)
            }
        })
    }

    fn made(
        &mut self,
        start: Timestamp,
        step: Duration,
        count: usize,
        make: impl Fn(&mut Self, Timestamp) -> Event,
    ) -> Vec<Event> {
        let mut time = start;
        (0..count)
            .map(|_| {
                let nanos = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
                let gap = self.random.below(nanos.saturating_mul(2).max(1));
                time = time.saturating_add(Duration::from_nanos(gap));
                let late = if self.random.below(20) == 0 {
                    3_000_000_000
                } else {
                    0
                };
                make(self, time.saturating_sub(Duration::from_nanos(late)))
            })
            .collect()
    }

    /// One line of a log at `time`: plain, JSON or logfmt.
    pub fn line(&mut self, time: Timestamp) -> Event {
        let random = &mut self.random;
        let container = random.pick_skewed(&self.containers).clone();
        let (level, priority) = random.pick(&self.levels).clone();
        let status = *random.pick(&["200", "204", "404", "500", "5e2", "500.0"]);
        let took = random.below(2000);
        let user = random.pick(&USERS).0;
        let number = random.below(20_000);
        let output = match random.below(6) {
            0 => format!(
                "{{\"level\":\"{level}\",\"message\":\"request {number:x} done\",\"status\":{status},\
                 \"took\":{took},\"user\":\"{user}\",\"path\":\"/api/v1/orders/{number}\"}}"
            ),
            1 => format!(
                "{{\"message\":\"gr\\u00f6\\u00dfe\\ttab\",\"status\":{status},\"took\":1.2e3,\
                 \"path\":\"\\/api\\/v2\",\"user\":null}}"
            ),
            2 => format!(
                "level={level} status={status} took={took}ms user={user} path=/api/{number}"
            ),
            3 => format!("{user}: connection timeout after {took} ms, größe {number}"),
            4 => format!(
                "java.lang.IllegalStateException: {number:x}\n\tat com.example.Shop.buy(Shop.java:{took})"
            ),
            _ => format!("GET /api/v1/orders/{number} {status} {took}"),
        };
        Event {
            kind: RecordKind::Log,
            time,
            source: random.pick(&self.streams).clone(),
            rule: level,
            priority,
            category: Category::Unknown,
            hostname: random.pick(&self.hosts).clone(),
            container,
            process_name: "".into(),
            tags: [].into(),
            output: output.into(),
            output_fields: RawValue::from_string("{}".to_owned()).expect("an object"),
        }
    }

    /// One event at `time`.
    pub fn event(&mut self, time: Timestamp) -> Event {
        let random = &mut self.random;
        let number = random.pick_skewed(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let (_, priority, category, message) = RULES[*number];
        let (rule, tags) = self.rules[*number].clone();
        let container = random.pick_skewed(&self.containers).clone();
        let process = random.pick_skewed(&self.processes).clone();
        let parent = random.pick_skewed(&self.processes).clone();
        let (user, uid) = *random.pick(&USERS);
        let path = *random.pick(&PATHS);
        let path = if random.below(3) == 0 {
            path.to_owned()
        } else {
            format!("{path}/{:x}", random.below(20_000))
        };
        let (pid, ppid) = (random.below(60_000), random.below(60_000));
        let port = 1024 + random.below(60_000);
        let address = format!(
            "10.{}.{}.{}:{port}->172.17.0.{}:443",
            random.below(4),
            random.below(256),
            random.below(256),
            random.below(40)
        );
        let connection = if category == Category::Network {
            &address
        } else {
            &path
        };
        let kind = *random.pick(&["execve", "openat", "connect", "open", "sendto"]);
        let second = time.as_seconds().rem_euclid(24 * 3600);
        let clock = format!(
            "{:02}:{:02}:{:02}.{:09}",
            second / 3600,
            second / 60 % 60,
            second % 60,
            time.as_nanos().rem_euclid(1_000_000_000)
        );
        let output = format!(
            "{clock}: {priority} {message} (evt_type={kind} user={user} user_uid={uid} \
             user_loginuid=-1 process={process} proc_exepath=/usr/bin/{process} parent={parent} \
             command={process} -c {path} pid={pid} ppid={ppid} terminal=34816 exe_flags=EXE_WRITABLE \
             file={connection} container_id={} container_name={} container_image_repository={} \
             container_image_tag={} k8s_pod_name={} k8s_ns_name={})",
            container.short_id(),
            container.name,
            container.image_repository,
            container.image_tag,
            container.k8s_pod,
            container.k8s_namespace,
        );
        let nanos = time.as_nanos();
        let fields = serde_json::json!({
            "container.id": container.short_id(),
            "container.image.repository": &*container.image_repository,
            "container.image.tag": &*container.image_tag,
            "container.name": &*container.name,
            "evt.arg.flags": "EXE_WRITABLE|EXE_LOWER_LAYER",
            "evt.time": nanos,
            "evt.type": kind,
            "fd.name": connection,
            "k8s.ns.name": &*container.k8s_namespace,
            "k8s.pod.name": &*container.k8s_pod,
            "proc.cmdline": format!("{process} -c {path}"),
            "proc.exepath": format!("/usr/bin/{process}"),
            "proc.name": &*process,
            "proc.pname": &*parent,
            "proc.pid": pid,
            "proc.ppid": ppid,
            "proc.tty": 34816,
            "user.loginuid": -1,
            "user.name": user,
            "user.uid": uid,
        });
        Event {
            kind: RecordKind::Event,
            time,
            source: self.source.clone(),
            rule,
            priority,
            category,
            hostname: random.pick(&self.hosts).clone(),
            container,
            process_name: process,
            tags,
            output: output.into(),
            output_fields: RawValue::from_string(fields.to_string())
                .expect("a JSON value writes JSON"),
        }
    }
}

fn container(random: &mut Random, number: usize) -> ContainerRef {
    if number == 39 {
        return ContainerRef {
            id: "host".into(),
            name: "host".into(),
            ..ContainerRef::default()
        };
    }
    let kind = ["web", "db", "cache", "worker", "gateway"][number % 5];
    let name = format!("{kind}-{}", number / 5 + 1);
    let repository = format!("registry.example.com/shop/{kind}");
    let hex = |random: &mut Random| format!("{:016x}", random.next_u64());
    let long = |random: &mut Random| (0..4).map(|_| hex(random)).collect::<String>();
    ContainerRef {
        id: long(random).into(),
        image: format!("{repository}:1.{number}").into(),
        image_repository: repository.into(),
        image_tag: format!("1.{number}").into(),
        image_digest: format!("sha256:{}", long(random)).into(),
        compose_project: "shop".into(),
        compose_service: kind.into(),
        k8s_namespace: if number.is_multiple_of(4) {
            "shop".into()
        } else {
            "".into()
        },
        k8s_pod: if number.is_multiple_of(4) {
            format!("{name}-7d9f").into()
        } else {
            "".into()
        },
        name: name.into(),
    }
}
