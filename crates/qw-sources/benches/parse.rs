//! One line of about 1,090 bytes → event, beside serde_json's full value of the same line.
//!
//! Measures processor time, so that it can be compared on a machine that does other things, too.
#![allow(
    missing_docs,
    reason = "the macros of criterion make undocumented functions"
)]

mod shared;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qw_event::Timestamp;
use qw_sources::falco::Parser;

use crate::shared::{LINES, ProcessorTime, lines};

fn parse(criterion: &mut Criterion<ProcessorTime>) {
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

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime);
    targets = parse
}
criterion_main!(benches);
