//! Notifications to real receivers, across failures of either side.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod alertmanager;
mod http_server;
mod mail;
mod memory;
mod routes;
mod services;
mod syslog;
mod webhook;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use qw_event::Timestamp;
use qw_sinks::{Config, Notifications, Notifier, Options, SinkStatus};
use qw_store::{AlertStore, StateStore};
use tokio_util::sync::CancellationToken;

use crate::memory::Memory;

/// Longest wait for anything, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

/// The system's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
}

/// Options with short pauses.
fn options() -> Options {
    let mut options = Options::new(now, || 0.5);
    options.first_pause = Duration::from_millis(20);
    options.longest_pause = Duration::from_millis(200);
    options.poll = Duration::from_millis(200);
    options
}

/// The sinks of `sinks` (a JSON list), running on a runtime of their own.
struct Running {
    runtime: tokio::runtime::Runtime,
    notifier: Option<Notifier>,
    stop: CancellationToken,
    notifications: Notifications,
}

impl Running {
    #[track_caller]
    fn start(memory: &Arc<Memory>, sinks: serde_json::Value) -> Self {
        Self::with_options(memory, sinks, options())
    }

    #[track_caller]
    fn with_options(memory: &Arc<Memory>, sinks: serde_json::Value, options: Options) -> Self {
        let config: Config = serde_json::from_value(serde_json::json!({
            "console_url": "https://quaywatch.example", "sinks": sinks,
        }))
        .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let notifier = {
            let _inside = runtime.enter();
            let alerts: Arc<dyn AlertStore> = Arc::<Memory>::clone(memory);
            let state: Arc<dyn StateStore> = Arc::<Memory>::clone(memory);
            Notifier::start(&config, alerts, state, options, &stop).unwrap()
        };
        Self {
            notifications: notifier.notifications(),
            runtime,
            notifier: Some(notifier),
            stop,
        }
    }

    /// How the first sink fares.
    fn status(&self) -> SinkStatus {
        self.notifications.statuses().remove(0)
    }

    /// Waits until the first sink is as `accept` wants it.
    #[track_caller]
    fn wait(&self, what: &str, accept: impl Fn(&SinkStatus) -> bool) -> SinkStatus {
        let last = std::cell::RefCell::new(None);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            qw_testkit::wait_for(what, LIMIT, || {
                let status = self.status();
                *last.borrow_mut() = Some(status.clone());
                accept(&status).then_some(status)
            })
        }));
        found.unwrap_or_else(|_| panic!("{what}: {:#?}", last.borrow()))
    }

    /// What a test message comes to.
    fn test_send(&self, name: &str) -> Result<String, String> {
        let answer = self.runtime.block_on(self.notifications.test_send(name));
        answer
            .map(|answer| answer.0)
            .map_err(|error| error.to_string())
    }

    /// Ends as a killed process does: nothing is finished, nothing is stored.
    fn crash(self) {
        self.runtime.shutdown_background();
    }

    fn stop(mut self) {
        self.stop.cancel();
        if let Some(notifier) = self.notifier.take() {
            self.runtime.block_on(notifier.stopped());
        }
    }
}

/// A number that no other call gives.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Asserts that every number of `wanted` is in `seen`, and that first arrivals are in order.
#[track_caller]
fn assert_in_order_and_complete(seen: &[u64], wanted: impl IntoIterator<Item = u64>) {
    let mut first = Vec::new();
    for number in seen {
        if !first.contains(number) {
            first.push(*number);
        }
    }
    assert_eq!(first, wanted.into_iter().collect::<Vec<_>>(), "{seen:?}");
}
