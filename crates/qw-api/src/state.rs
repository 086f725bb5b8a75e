//! What every handler can reach.

use std::{path::PathBuf, sync::Arc, time::Duration};

use qw_alerts::{Desk, Seen};
use qw_event::Timestamp;
use qw_inventory::Inventory;
use qw_pipeline::{Intake, Notices, PipelineStatistics, SharedProfiles, SourceStatuses};
use qw_sinks::Notifications;
use qw_store::{AlertStore, QueryError, RecordStore, StateStore, StoreError};
use tokio::sync::Semaphore;

use crate::{
    Access, Hub, cache::Cache, problem::Problem, prometheus::Prometheus,
    routes::containers::Activity,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The parts the API speaks for, and its settings.
pub struct Parts {
    /// Events.
    pub records: Arc<dyn RecordStore>,
    /// Saved views.
    pub documents: Arc<dyn StateStore>,
    /// Alerts.
    pub alerts: Arc<dyn AlertStore>,
    /// Where alerts are triaged and silenced.
    pub desk: Desk,
    /// What workloads do, learned.
    pub profiles: SharedProfiles,
    /// Who is told about alerts; `None` when nobody is configured.
    pub notifications: Option<Notifications>,
    /// Where records are forwarded to; `None` where nothing is.
    pub forwarding: Option<qw_sinks::routes::Routes>,
    /// What containers use; `None` where it is not read.
    pub usage: Option<qw_usage::Usage>,
    /// Where numbers are sent to.
    pub graphite: Vec<qw_sinks::graphite::Graphite>,
    /// Users, sessions, tokens.
    pub access: Access,
    /// Live events.
    pub hub: Hub,
    /// Sources and their counts.
    pub sources: SourceStatuses,
    /// What the operator should see.
    pub notices: Notices,
    /// Counts of the pipeline.
    pub pipeline: Arc<PipelineStatistics>,
    /// Known containers.
    pub inventory: Inventory,
    /// Where answered requests are counted; rendered by the metrics listener.
    pub metrics: qw_exporters::Metrics,
    /// Door for test events; without it `POST /api/events/test` answers 503.
    pub test_events: Option<Intake>,
    /// The clock.
    pub clock: Clock,
    /// Settings.
    pub settings: Settings,
}

/// Settings of the API. Every default is meant for production.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Version of the binary.
    pub version: &'static str,
    /// True when the data is made up; the console says so.
    pub demo: bool,
    /// Base address of a Prometheus for `/api/prom/…`, such as `http://127.0.0.1:9090`.
    pub prometheus_url: Option<String>,
    /// Folder of a console that is served in place of the embedded one.
    pub ui_dir: Option<PathBuf>,
    /// Questions the store answers at the same time.
    pub concurrent_queries: usize,
    /// Longest wait for a turn at the store.
    pub query_wait: Duration,
    /// Time after which a question is answered with what was found until then.
    pub query_budget: Duration,
    /// Longest time for an answer that is not streamed.
    pub request_timeout: Duration,
    /// Labels of containers that metrics tell; `None` tells all.
    pub usage_labels: Option<Vec<String>>,
    /// Provider through which people may sign in besides local users.
    pub oidc: Option<Arc<qw_oidc::Provider>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            demo: false,
            prometheus_url: None,
            ui_dir: None,
            concurrent_queries: 8,
            query_wait: Duration::from_secs(2),
            query_budget: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            usage_labels: None,
            oidc: None,
        }
    }
}

/// Shared by all handlers; clones are cheap.
#[derive(Clone)]
pub struct State {
    pub(crate) parts: Arc<Parts>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) prometheus: Option<Arc<Prometheus>>,
    queries: Arc<Semaphore>,
}

/// Answers that are asked for again and again.
pub(crate) struct Caches {
    pub(crate) activity: Cache<(), Arc<Activity>>,
    pub(crate) hosts: Cache<(), usize>,
    pub(crate) fields: Cache<(), Arc<[String]>>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("prometheus address `{address}`: {what}")]
pub struct SettingsError {
    pub(crate) address: String,
    pub(crate) what: &'static str,
}

impl State {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Result<Self, SettingsError> {
        let prometheus = parts
            .settings
            .prometheus_url
            .as_deref()
            .map(Prometheus::new)
            .transpose()?;
        Ok(Self {
            queries: Arc::new(Semaphore::new(parts.settings.concurrent_queries.max(1))),
            caches: Arc::new(Caches {
                activity: Cache::new(Duration::from_secs(2), 1),
                hosts: Cache::new(Duration::from_secs(60), 1),
                fields: Cache::new(Duration::from_secs(30), 1),
            }),
            prometheus: prometheus.map(Arc::new),
            parts: Arc::new(parts),
        })
    }

    /// Tells streams and sinks what has become of alerts.
    pub(crate) fn tell_alerts(&self, seen: &[Seen]) {
        self.parts.hub.tell_alerts(seen);
        let changes = seen.iter().flat_map(|seen| &seen.changes);
        let newest = changes.map(|change| change.sequence).max();
        if let (Some(notifications), Some(newest)) = (&self.parts.notifications, newest) {
            notifications.committed(newest);
        }
    }

    /// Now, by the clock of the process.
    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// Asks the store of events on a thread that may block.
    ///
    /// Waits for a turn when many ask at once; answers 503 when that takes too long. A question
    /// whose asker has gone keeps its turn until it is answered, so the bound holds.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn RecordStore) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.queries).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(self.parts.settings.query_wait, turn).await else {
            return Err(Problem::unavailable("too many queries at once; try again"));
        };
        let records = Arc::clone(&self.parts.records);
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&*records);
            drop(turn);
            answer
        });
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(panic) => Err(Problem::internal("answer the query", &panic)),
        }
    }

    /// Reads or writes the store of state on a thread that may block.
    pub(crate) async fn documents<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn StateStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let documents = Arc::clone(&self.parts.documents);
        match tokio::task::spawn_blocking(move || work(&*documents)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Problem::internal("reach the store", &error)),
            Err(panic) => Err(Problem::internal("reach the store", &panic)),
        }
    }
}
