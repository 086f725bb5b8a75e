//! What one round of samples of 100 containers costs, in processor time of this thread.
//!
//! As root on version 1 the groups are real ones, made for this and removed again; elsewhere nothing
//! is measured. The target is 0.5 % of one processor at a round every 10 s: 50 ms.

#![allow(clippy::print_stderr, reason = "a benchmark tells its figures")]

use std::{
    fs, hint,
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{
    Criterion, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use qw_cgroup::{Locator, Reader, Roots};

const CONTAINERS: usize = 100;
const ROUNDS: u32 = 200;
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "blkio"];

/// Groups of control made for the measurement, removed when dropped.
struct Groups(Vec<PathBuf>);

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One that stays does no harm.
            drop(fs::remove_dir(folder));
        }
    }
}

fn id(number: usize) -> String {
    format!("{number:064x}")
}

fn real_groups() -> Option<Groups> {
    let mut made = Groups(Vec::new());
    for controller in CONTROLLERS {
        let parent = Path::new("/sys/fs/cgroup")
            .join(controller)
            .join(format!("quaywatch-bench-{}", std::process::id()));
        fs::create_dir(&parent).ok()?;
        made.0.push(parent.clone());
        for number in 0..CONTAINERS {
            let folder = parent.join(id(number));
            fs::create_dir(&folder).ok()?;
            made.0.push(folder);
        }
    }
    Some(made)
}

fn rounds(criterion: &mut Criterion<ProcessorTime>) {
    let groups = real_groups();
    let Some(_groups) = &groups else {
        eprintln!("cannot make control groups of version 1 here: nothing is measured");
        return;
    };
    let roots = Roots::default();
    let locator = Locator::new(roots.clone()).expect("version 1 is mounted");
    let mut readers: Vec<Reader> = (0..CONTAINERS)
        .map(|number| {
            let groups = locator.find(&id(number), None).expect("was made above");
            // The own network stands for that of a container.
            Reader::open(groups, Some((&roots.proc, std::process::id()))).expect("is readable")
        })
        .collect();
    let begun = processor_time();
    for _ in 0..ROUNDS {
        for reader in &mut readers {
            hint::black_box(reader.sample().expect("is there"));
        }
    }
    let round = processor_time().saturating_sub(begun) / ROUNDS;
    let share = round.as_secs_f64() / 10.0;
    eprintln!(
        "{round:?} a round: {:.4} % of one processor at a round every 10 s, 1/{:.0} of the 0.5 % that are allowed",
        share * 100.0,
        0.005 / share
    );
    criterion.bench_function("round of 100 containers, version 1", |bencher| {
        bencher.iter(|| {
            for reader in &mut readers {
                hint::black_box(reader.sample().expect("is there"));
            }
        });
    });
}

/// Time this thread was on a processor.
struct ProcessorTime;

fn processor_time() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = statistics
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        processor_time()
    }

    fn end(&self, start: Duration) -> Duration {
        // Never zero, which criterion takes for a fault.
        processor_time()
            .saturating_sub(start)
            .max(Duration::from_nanos(1))
    }

    fn add(&self, first: &Duration, second: &Duration) -> Duration {
        *first + *second
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime).sample_size(20);
    targets = rounds
}
criterion_main!(benches);
