//! What the benchmarks share: lines, and a clock of processor time.

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Lines of one round.
pub(crate) const LINES: u64 = 1000;

/// Lines as Falco writes them, of 40 containers.
pub(crate) fn lines() -> Vec<String> {
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

/// Time this thread was on a processor.
pub(crate) struct ProcessorTime;

fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
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
