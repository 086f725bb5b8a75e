//! Lines of logs → durable store: lines as services write them, of 40 containers.

use std::{fmt::Write as _, path::Path, sync::Arc};

use anyhow::Result;
use qw_event::{
    Batch, BatchId, Category, ContainerRef, Event, Position, Priority, RecordKind, SourceId,
    Timestamp,
};
use qw_store::{Embedded, RecordStore as _, Retention};
use serde_json::value::RawValue;

use super::{Row, Show, machine};

/// Lines measured.
const LINES: usize = 1_000_000;
/// Lines in one commit.
const COMMIT: usize = 10_000;
/// Containers, five of each service.
const CONTAINERS: usize = 40;

/// Stores a million lines of 24 h, in commits of one batch per container, and reports cost and size.
pub(super) fn run(folder: &Path, show: Show<'_>) -> Result<()> {
    let folder = folder.join("store-of-lines");
    match fs_err::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let store = Embedded::open(&folder, qw_store::Options::default())?;
    let end = 1_795_251_600_i64;
    let start = Timestamp::from_seconds(end - 86_400);
    let step = 86_400_000_000_000 / LINES as i64;
    let mut fleet = Fleet::new(1);
    let (mut bytes, mut cpu) = (0, 0.0);
    for commit in 0..LINES / COMMIT {
        let begin = start.as_nanos() + (commit * COMMIT) as i64 * step;
        let mut batches = fleet.batches(begin, step, COMMIT, commit as u64 + 1);
        bytes += batches
            .iter()
            .flat_map(|batch| &batch.events)
            .map(|event| event.output.len())
            .sum::<usize>();
        let ((), storing) = machine::measured(|| {
            store.append(&mut batches)?;
            if commit % 20 == 19 {
                store.maintain(Timestamp::from_seconds(end), &Retention::default())?;
            }
            Ok(())
        })?;
        cpu += storing;
    }
    let statistics = store.statistics();
    let sealed = (statistics.logs.lines - statistics.logs.hot_lines).max(1);
    show(Row::new(
        "lines of logs: length",
        bytes as f64 / LINES as f64,
        "bytes on average",
    ))?;
    show(
        Row::new(
            "line of a log → durable store, with compaction",
            cpu * 1e6 / LINES as f64,
            "CPU s per million",
        )
        .must(6.0),
    )?;
    show(
        Row::new(
            "sealed size of lines",
            statistics.logs.segment_bytes as f64 / sealed as f64,
            "bytes per line",
        )
        .must(55.0),
    )?;
    show(Row::new(
        "lines: catalogue, roll-ups, hot tail",
        statistics.catalogue_bytes as f64 / LINES as f64,
        "bytes per line",
    ))
}

/// Containers that write.
struct Fleet {
    random: Random,
    containers: Vec<Arc<ContainerRef>>,
    sources: Vec<SourceId>,
    streams: [Arc<str>; 2],
    hostname: Arc<str>,
    nothing: Arc<str>,
    no_tags: Arc<[Arc<str>]>,
    levels: Vec<(Arc<str>, Priority)>,
}

const SERVICES: [&str; 8] = [
    "edge",
    "orders",
    "billing",
    "catalogue",
    "mail",
    "postgres",
    "redis",
    "search",
];
const LEVELS: [(&str, Priority); 4] = [
    ("DEBUG", Priority::Debug),
    ("INFO", Priority::Informational),
    ("WARN", Priority::Warning),
    ("ERROR", Priority::Error),
];
const PATHS: [&str; 8] = [
    "/api/v1/orders",
    "/api/v1/carts",
    "/api/v1/products",
    "/static/app.js",
    "/login",
    "/healthz",
    "/api/v2/search",
    "/images/thumb",
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8.5.0",
    "okhttp/4.12.0",
];
const WORDS: [&str; 10] = [
    "payment accepted",
    "cart updated",
    "stock reserved",
    "retrying upstream",
    "cache miss",
    "session refreshed",
    "message queued",
    "invoice rendered",
    "rate limited",
    "order shipped",
];

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let containers: Vec<_> = (0..CONTAINERS)
            .map(|number| Arc::new(container(&mut random, number)))
            .collect();
        let sources = containers
            .iter()
            .map(|container| SourceId::new(&format!("logs:{}", container.id)))
            .collect();
        Self {
            random,
            containers,
            sources,
            streams: ["stdout".into(), "stderr".into()],
            hostname: "node-1".into(),
            nothing: "".into(),
            no_tags: Arc::from([]),
            levels: LEVELS
                .iter()
                .map(|(level, priority)| (Arc::from(*level), *priority))
                .collect(),
        }
    }

    /// `count` lines from `begin` on, about `step` nanoseconds apart, by container.
    fn batches(&mut self, begin: i64, step: i64, count: usize, sequence: u64) -> Vec<Batch> {
        let mut events: Vec<Vec<Event>> = vec![Vec::new(); CONTAINERS];
        for number in 0..count {
            let jitter = self.random.below(step as u64) as i64;
            let time = Timestamp::from_nanos(begin + number as i64 * step + jitter);
            // Some write more than others.
            let writer = self
                .random
                .below(CONTAINERS as u64)
                .min(self.random.below(60)) as usize;
            let event = self.line(writer, time);
            events[writer].push(event);
        }
        events
            .into_iter()
            .enumerate()
            .filter(|(_, events)| !events.is_empty())
            .map(|(writer, events)| Batch {
                id: BatchId {
                    source: self.sources[writer].clone(),
                    epoch: 1,
                    sequence,
                },
                position: Some(Position(format!(
                    "{{\"device\":64769,\"inode\":{writer},\"offset\":{sequence}}}"
                ))),
                received: Timestamp::from_nanos(begin),
                events,
            })
            .collect()
    }

    fn line(&mut self, writer: usize, time: Timestamp) -> Event {
        let random = &mut self.random;
        let level = match random.below(100) {
            0..5 => 0,
            5..92 => 1,
            92..98 => 2,
            _ => 3,
        };
        let (name, priority) = self.levels[level].clone();
        let (rule, priority) = match writer % SERVICES.len() {
            0 => (self.nothing.clone(), Priority::Informational),
            _ => (name, priority),
        };
        Event {
            kind: RecordKind::Log,
            time,
            source: self.streams[usize::from(level == 3)].clone(),
            output: text(random, writer % SERVICES.len(), &rule, time).into(),
            rule,
            priority,
            category: Category::Unknown,
            hostname: self.hostname.clone(),
            container: Arc::clone(&self.containers[writer]),
            process_name: self.nothing.clone(),
            tags: Arc::clone(&self.no_tags),
            output_fields: RawValue::from_string("{}".to_owned()).unwrap_or_default(),
        }
    }
}

/// What a service writes.
fn text(random: &mut Random, service: usize, level: &str, time: Timestamp) -> String {
    let now = time.to_string();
    let clock = now.get(..23).unwrap_or(&now);
    let path = PATHS[random.below(8) as usize];
    let (order, took) = (random.below(900_000), random.skewed(4_000));
    let status = [200, 200, 200, 200, 201, 304, 404, 500][random.below(8) as usize];
    let word = WORDS[random.below(10) as usize];
    let mut text = String::with_capacity(160);
    let written = match service {
        0 => write!(
            text,
            "10.{}.{}.{} - - [{clock}] \"GET {path}/{order} HTTP/1.1\" {status} {} \"-\" \"{}\" 0.{:03}",
            random.below(4),
            random.below(256),
            random.below(256),
            random.skewed(90_000),
            AGENTS[random.below(3) as usize],
            took % 1000,
        ),
        1 => write!(
            text,
            "{{\"time\":\"{clock}Z\",\"level\":\"{level}\",\"msg\":\"{word}\",\"order\":{order},\"took_ms\":{took},\"trace\":\"{:016x}\"}}",
            random.next(),
        ),
        2 => write!(
            text,
            "{clock} {level} [http-nio-8080-exec-{}] com.example.billing.InvoiceService : {word} invoice={order} took={took}ms",
            random.below(20),
        ),
        3 => write!(
            text,
            "time=\"{clock}Z\" level={} msg=\"{word}\" path={path} status={status} duration={took}ms id={order}",
            level.to_lowercase(),
        ),
        4 => write!(
            text,
            "{clock} {level}: {:08X}: to=<user{order}@example.com>, relay=mx{}.example.com[203.0.113.{}]:25, delay={took}, status=sent",
            random.next() as u32,
            random.below(4),
            random.below(256),
        ),
        5 => write!(
            text,
            "{clock} UTC [{}] shop@orders {level}:  duration: {took}.{:03} ms  statement: SELECT * FROM orders WHERE id = {order}",
            random.below(400) + 70,
            random.below(1000),
        ),
        6 => write!(
            text,
            "1:M {clock} * {} changes in 60 seconds. Saving... {word} keys={order} took {took} usec",
            random.below(10_000),
        ),
        _ => write!(
            text,
            "{{\"@timestamp\":\"{clock}Z\",\"log.level\":\"{level}\",\"message\":\"{word}\",\"url.path\":\"{path}/{order}\",\"status\":{status}}}",
        ),
    };
    written.expect("writing into a string does not fail");
    text
}

fn container(random: &mut Random, number: usize) -> ContainerRef {
    let service = SERVICES[number % SERVICES.len()];
    let repository = format!("registry.example.com/shop/{service}");
    let mut hex = || {
        let mut half = || (u128::from(random.next()) << 64) | u128::from(random.next());
        format!("{:032x}{:032x}", half(), half())
    };
    ContainerRef {
        id: hex().into(),
        name: format!("shop-{service}-{}", number / SERVICES.len() + 1).into(),
        image: format!("{repository}:2.{}", number % SERVICES.len()).into(),
        image_repository: repository.into(),
        image_tag: format!("2.{}", number % SERVICES.len()).into(),
        image_digest: format!("sha256:{}", hex()).into(),
        compose_project: "shop".into(),
        compose_service: service.into(),
        ..ContainerRef::default()
    }
}

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number below `bound`, mostly a small one.
    fn skewed(&mut self, bound: u64) -> u64 {
        let fraction = self.below(1 << 20) as f64 / f64::from(1 << 20);
        (fraction * fraction * fraction * bound as f64) as u64
    }
}
