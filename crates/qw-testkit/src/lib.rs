//! Runs the real binary and the real parts for scenario tests.

pub mod alertmanager;
pub mod broker;
pub mod disk;
pub mod docker;
pub mod http;
pub mod journal;
pub mod mail;
pub mod oidc;
mod part;
pub mod prometheus;
pub mod quaywatch;
pub mod registry;
pub mod rsyslog;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

/// Waits until `condition` gives a value, looking every 20 ms.
///
/// # Panics
/// When `limit` passes first; the message names `what`.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A loopback port that is free at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .expect("loopback has a free port")
}

/// True when the test should go on without `part`; says so loudly.
///
/// # Panics
/// In CI, where a missing part is a failure.
#[allow(
    clippy::print_stderr,
    reason = "a skipped test says so where people look"
)]
pub fn skip_without(part: &str) -> bool {
    assert!(
        std::env::var_os("CI").is_none(),
        "`{part}` is missing, and CI does not skip tests"
    );
    eprintln!("!!!!!! SKIPPED: `{part}` is not installed !!!!!!");
    true
}

/// How much of something a test does: `sample` as a rule, `full` in the soak run
/// (`QUAYWATCH_SOAK=1`).
pub fn sampled(sample: usize, full: usize) -> usize {
    let is_soak = scale("QUAYWATCH_SOAK", 0) > 0;
    if is_soak { full } else { sample }
}

/// How often a test kills a process: `QUAYWATCH_KILLS` times, else five, and fifty in the soak run.
pub fn kills() -> usize {
    scale("QUAYWATCH_KILLS", sampled(5, 50))
}

/// Value of an environment variable that scales a test, such as `QUAYWATCH_KILLS`.
pub fn scale(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
