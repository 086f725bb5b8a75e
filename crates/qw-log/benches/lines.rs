//! What a line of 120 bytes costs on its way from a file to a record, step by step.
//!
//! One element is one line: nanoseconds a line are milliseconds of CPU a million lines.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: its macros are undocumented and its failures are for people"
)]

use std::{hint::black_box, ops::ControlFlow, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_event::Timestamp;
use qw_log::{
    Builtin, Multiline, Redactor, cri, fields,
    join::{Joiner, Options},
    json_file::Decoder,
    severity,
    tag::{Container, Template},
};

const LINES: usize = 10_000;

/// Lines of 120 bytes as a service writes them.
fn texts() -> Vec<String> {
    let levels = ["INFO ", "DEBUG", "WARN ", "ERROR"];
    let text = |number: usize| {
        let level = levels.get(number % 7).unwrap_or(&"INFO ");
        let text = format!(
            "2026-11-21T07:15:50.{:03}Z {level} request handled path=/api/v1/items/{number} status=200 duration={}ms client=10.0.0.7 ",
            number % 1000,
            number % 90,
        );
        format!("{text:x<120}").chars().take(120).collect()
    };
    (0..LINES).map(text).collect()
}

/// The same lines as the engine's file holds them; every eighth with quotes in it.
fn json_lines() -> Vec<Vec<u8>> {
    let line = |(number, text): (usize, String)| {
        let text = if number.is_multiple_of(8) {
            text.replace("handled", "\"handl\"")
        } else {
            text
        };
        let log = serde_json::to_string(&format!("{text}\n")).unwrap();
        let stream = if number.is_multiple_of(16) {
            "stderr"
        } else {
            "stdout"
        };
        let nanos = number * 7919 % 1_000_000_000;
        format!(
            "{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-11-21T07:15:50.{nanos:09}Z\"}}\n"
        )
        .into_bytes()
    };
    texts().into_iter().enumerate().map(line).collect()
}

fn joined(lines: &[Vec<u8>], multiline: Option<Multiline>, with_severity: bool) -> usize {
    let mut decoder = Decoder::new();
    let mut joiner = Joiner::new(Options {
        multiline,
        ..Options::default()
    });
    let mut sum = 0;
    let mut at = 0;
    let mut emit = |record: qw_log::join::Record<'_>| {
        sum += record.text.len();
        if with_severity {
            sum += severity::detect(record.text).map_or(0, |severity| severity.text().len());
        }
    };
    for line in lines {
        let entry = decoder.decode(line).unwrap();
        let end = at + line.len() as u64;
        joiner.push(&entry, at..end, Timestamp::EPOCH, &mut emit);
        at = end;
    }
    joiner.finish(&mut emit);
    sum
}

fn lines(criterion: &mut Criterion) {
    let json = json_lines();
    let texts = texts();
    let cri_lines: Vec<String> = texts
        .iter()
        .map(|text| format!("2026-11-21T07:15:50.601341045Z stdout F {text}"))
        .collect();
    let mut group = criterion.benchmark_group("lines");
    group
        .throughput(Throughput::Elements(LINES as u64))
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("json_file", |bencher| {
        let mut decoder = Decoder::new();
        bencher.iter(|| {
            for line in &json {
                black_box(decoder.decode(line).unwrap());
            }
        });
    });
    group.bench_function("json_file+join", |bencher| {
        bencher.iter(|| joined(&json, None, false));
    });
    group.bench_function("json_file+join+severity", |bencher| {
        bencher.iter(|| joined(&json, None, true));
    });
    group.bench_function("json_file+join+multiline+severity", |bencher| {
        let multiline = Multiline::parse("auto").unwrap();
        bencher.iter(|| joined(&json, multiline.clone(), true));
    });
    group.bench_function("cri", |bencher| {
        bencher.iter(|| {
            for line in &cri_lines {
                black_box(cri::parse(line.as_bytes()).unwrap());
            }
        });
    });
    group.bench_function("severity", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                black_box(severity::detect(text.as_bytes()));
            }
        });
    });
    group.bench_function("redact", |bencher| {
        let redactor = Redactor::new(&Builtin::ALL, &[]).unwrap();
        bencher.iter(|| {
            for text in &texts {
                black_box(redactor.redact(text));
            }
        });
    });
    group.bench_function("fields/find", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                black_box(fields::find(text, "status"));
            }
        });
    });
    group.bench_function("fields/all", |bencher| {
        bencher.iter(|| {
            for text in &texts {
                fields::for_each_field(text, &mut |name, value| {
                    black_box((name, value));
                    ControlFlow::Continue(())
                });
            }
        });
    });
    group.finish();
    criterion.bench_function("tag", |bencher| {
        let template = Template::parse("{{.ImageName}}/{{.Name}}/{{.ID}}").unwrap();
        let container = Container {
            id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            name: "/web-1",
            image_name: "shop/web:1.2",
            ..Container::default()
        };
        bencher.iter(|| template.render(&container).unwrap());
    });
}

criterion_group!(benches, lines);
criterion_main!(benches);
