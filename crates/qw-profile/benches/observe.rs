//! What comparing an event costs: known ones and misses.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark: its macros are undocumented and its failures are for people"
)]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use qw_profile::{Observation, Options, Profiles};
use serde_json::json;

const START: i64 = 1_800_000_000;

fn container(name: &str, repository: &str) -> Arc<ContainerRef> {
    Arc::new(ContainerRef {
        id: format!("{name:0<64}").into(),
        name: name.into(),
        image: format!("{repository}:1").into(),
        image_repository: repository.into(),
        image_tag: "1".into(),
        ..ContainerRef::default()
    })
}

/// An event with the fields that Falco's default output has, about 700 bytes.
fn event(
    container: &Arc<ContainerRef>,
    second: i64,
    process: &str,
    special: &serde_json::Value,
) -> Event {
    let mut fields = json!({
        "container.id": container.short_id(), "container.name": container.name, "container.image.repository": container.image_repository,
        "container.image.tag": "1", "evt.time": 1_700_000_000_000_000_000_u64 + second as u64, "k8s.ns.name": null, "k8s.pod.name": null,
        "proc.cmdline": format!("{process} -g daemon off;"), "proc.exepath": format!("/usr/sbin/{process}"), "proc.name": process,
        "proc.pname": "containerd-shim", "proc.tty": 0, "user.loginuid": -1, "user.name": "root", "user.uid": 0,
    });
    let into = fields.as_object_mut().unwrap();
    for (key, value) in special.as_object().unwrap() {
        into.insert(key.clone(), value.clone());
    }
    Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(START + second),
        source: "syscall".into(),
        rule: "Everything".into(),
        priority: Priority::Debug,
        category: Category::Unknown,
        hostname: "host-1".into(),
        container: Arc::clone(container),
        process_name: process.into(),
        tags: [].into(),
        output: "".into(),
        output_fields: serde_json::value::to_raw_value(&fields).unwrap(),
    }
}

fn life(container: &Arc<ContainerRef>, size: usize) -> Vec<Event> {
    let mut all = Vec::new();
    for n in 0..size {
        let special = match n % 4 {
            0 => {
                json!({"evt.type": "openat", "fd.name": format!("/usr/share/nginx/html/section/{}.html", word(n)), "fd.type": "file", "evt.arg.flags": "O_RDONLY"})
            }
            1 => {
                json!({"evt.type": "connect", "fd.name": format!("172.17.0.2:{}->10.0.{}.7:8080", 40_000 + n, n % 8), "fd.type": "ipv4", "fd.l4proto": "tcp"})
            }
            2 => {
                json!({"evt.type": "accept4", "fd.name": format!("198.51.100.7:{}->172.17.0.2:80", 40_000 + n), "fd.type": "ipv4"})
            }
            _ => {
                json!({"evt.type": "execve", "proc.pname": "nginx", "proc.args": format!("--mode={} --verbose /srv/{}", word(n % 40), word(n % 20))})
            }
        };
        all.push(event(container, n as i64, "nginx", &special));
    }
    all
}

fn word(n: usize) -> String {
    const SYLLABLES: [&str; 8] = ["ba", "co", "de", "fi", "go", "hu", "ka", "lo"];
    let mut text = String::new();
    let mut rest = n + 8;
    while rest > 0 {
        text.push_str(SYLLABLES[rest % 8]);
        rest /= 8;
    }
    text
}

/// Half of the names in each directory are met often, so that directories stay closed.
fn learned() -> (Profiles, Vec<Event>) {
    let options = Options {
        minimum_time: Duration::from_hours(24),
        open_ended: usize::MAX / 8,
        ..Options::default()
    };
    let mut profiles = Profiles::new(options);
    let events = life(&container("web", "nginx"), 600);
    for _ in 0..3 {
        for event in &events {
            profiles.observe(event, event.time);
        }
    }
    let now = Timestamp::from_seconds(START + 600);
    profiles.freeze("nginx/web", None, now).unwrap();
    (profiles, events)
}

fn observe(criterion: &mut Criterion) {
    let (mut profiles, events) = learned();
    for event in &events {
        assert_eq!(profiles.observe(event, event.time), Observation::Known);
    }
    let mut group = criterion.benchmark_group("observe");
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function("known", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % events.len();
            black_box(profiles.observe(&events[at], events[at].time))
        });
    });
    // One process name short: everything but the fields of the event is skipped.
    let mut nameless = events.clone();
    for event in &mut nameless {
        event.process_name = "".into();
        let text = event.output_fields.get().replace("proc.name", "proc.nome");
        event.output_fields = serde_json::value::RawValue::from_string(text).unwrap();
    }
    group.bench_function("fields only", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % nameless.len();
            black_box(profiles.observe(&nameless[at], nameless[at].time))
        });
    });
    let container = Arc::clone(&events[0].container);
    let misses: Vec<Event> = (0..512)
        .map(|n| {
            let name = format!("/usr/share/nginx/html/section/{}.php", word(n * 7_919));
            let special = json!({"evt.type": "openat", "fd.name": name, "fd.type": "file"});
            event(&container, 700, "nginx", &special)
        })
        .collect();
    group.bench_function("miss beside 150 names", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % misses.len();
            black_box(profiles.observe(&misses[at], misses[at].time))
        });
    });
    group.finish();

    // The 99th percentile of a stream in which one event in fifty is a miss.
    let mut times: Vec<Duration> = (0..200_000)
        .map(|n| {
            let event = if n % 50 == 0 {
                &misses[n % misses.len()]
            } else {
                &events[n % events.len()]
            };
            let start = std::time::Instant::now();
            black_box(profiles.observe(event, event.time));
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "one miss in fifty: p50 {:?}, p99 {:?}, p99.9 {:?}",
        times[100_000], times[198_000], times[199_800]
    );
}

criterion_group!(benches, observe);
criterion_main!(benches);
