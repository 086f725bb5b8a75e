//! One line of about 1,040 bytes → event, beside serde_json's full value of the same line.
#![allow(
    missing_docs,
    reason = "the macros of criterion make undocumented functions"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_event::Timestamp;
use qw_sources::falco::Parser;

const LINES: u64 = 1000;

fn lines() -> Vec<String> {
    (0..LINES)
        .map(|number| {
            let container = number % 40;
            let process = ["nginx", "bash", "python3", "java"][number as usize % 4];
            let rule = ["Terminal shell in container", "Read sensitive file untrusted"];
            let rule = rule[number as usize % 2];
            let nanoseconds = 1_795_252_530_000_000_000 + number * 1_000_003;
            let fraction = nanoseconds % 1_000_000_000;
            format!(
                "{{\"hostname\":\"node-{}\",\"output\":\"09:15:30.{fraction:09}: Notice Something happened in a container that somebody should look at | evt_type=execve user=root user_uid=0 user_loginuid=-1 process={process} proc_exepath=/usr/bin/{process} parent=runc command={process} -c 'exit {number}' terminal=34816 container_id=3ad7b26ded{container:02x} container_name=service-{container} container_image_repository=docker.io/library/nginx container_image_tag=1.27\",\"output_fields\":{{\"container.id\":\"3ad7b26ded{container:02x}\",\"container.image.repository\":\"docker.io/library/nginx\",\"container.image.tag\":\"1.27\",\"container.name\":\"service-{container}\",\"evt.arg.flags\":\"EXE_WRITABLE|EXE_LOWER_LAYER\",\"evt.time.iso8601\":{nanoseconds},\"evt.type\":\"execve\",\"fd.name\":null,\"k8s.ns.name\":null,\"k8s.pod.name\":null,\"proc.cmdline\":\"{process} -c 'exit {number}'\",\"proc.exepath\":\"/usr/bin/{process}\",\"proc.name\":\"{process}\",\"proc.pname\":\"runc\",\"proc.tty\":34816,\"user.loginuid\":-1,\"user.name\":\"root\",\"user.uid\":0}},\"priority\":\"Notice\",\"rule\":\"{rule}\",\"source\":\"syscall\",\"tags\":[\"T1059\",\"container\",\"maturity_stable\",\"mitre_execution\",\"shell\"],\"time\":\"2026-11-21T09:15:30.{fraction:09}Z\"}}",
                container % 6,
            )
        })
        .collect()
}

fn parse(criterion: &mut Criterion) {
    let lines = lines();
    let bytes: usize = lines.iter().map(String::len).sum();
    let mut group = criterion.benchmark_group(format!("{} bytes", bytes as u64 / LINES));
    group.throughput(Throughput::Elements(LINES));
    let received = Timestamp::EPOCH;
    let mut parser = Parser::default();
    group.bench_function("event", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                black_box(parser.parse(line.as_bytes(), received).expect("an event"));
            }
        });
    });
    group.bench_function("serde_json value", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                black_box(serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
