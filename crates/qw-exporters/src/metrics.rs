//! What is counted, and a scrape of it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_alerts::AlertCounts;
use qw_event::Timestamp;
use qw_pipeline::{Observer, PipelineStatistics, SourceStatuses};
use qw_store::StoreStatistics;

use crate::{
    Exposition, Format, HttpRequests, ProcessSnapshot, RouteSnapshot, SinkSnapshot, StreamSnapshot,
    UsageSnapshot, native,
    syscall::{Counts, SyscallMetrics},
    usage,
};

/// Counts of one process. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    version: &'static str,
    series_per_family: usize,
    counts: Arc<Mutex<Counts>>,
    http: HttpRequests,
}

/// Bounds of the metrics.
#[derive(Debug, Clone)]
pub struct Options {
    /// Version of the binary, the label of `quaywatch_build_info`.
    pub version: &'static str,
    /// Series one family may have before it folds the rest into `other`; at least 10.
    pub series_per_family: usize,
    /// A family at its bound forgets series to which nothing was added for this long.
    pub forget_idle_after: Duration,
}

impl Options {
    /// 10,000 series per family, and a day until an idle one may be forgotten.
    pub fn new(version: &'static str) -> Self {
        Self {
            version,
            series_per_family: 10_000,
            forget_idle_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Which of the two pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/metrics`: the families of existing dashboards and our own, clean by `promtool check metrics`.
    Main,
    /// `/metrics/falco`: the families of falco-exporter and falcosidekick, whose names no linter accepts.
    Falco,
}

/// What a scrape says of the other parts, read when it begins.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The sources.
    pub sources: &'a SourceStatuses,
    /// The pipeline.
    pub pipeline: &'a PipelineStatistics,
    /// The store, from `RecordStore::statistics`.
    pub store: &'a StoreStatistics,
    /// The live streams.
    pub streams: StreamSnapshot,
    /// The profiles, from `Profiles::stats`.
    pub profiles: qw_profile::Stats,
    /// Open alerts, from `Desk::counts`.
    pub alerts: &'a AlertCounts,
    /// Receivers of notifications.
    pub sinks: &'a [SinkSnapshot],
    /// Routes of records.
    pub routes: &'a [RouteSnapshot],
    /// What containers use.
    pub usage: &'a UsageSnapshot<'a>,
    /// This process, from [`ProcessSnapshot::read`]; `None` where the system does not tell.
    pub process: Option<ProcessSnapshot>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(options: Options) -> Self {
        Self {
            version: options.version,
            series_per_family: options.series_per_family,
            counts: Arc::new(Mutex::new(Counts::new(
                options.series_per_family,
                options.forget_idle_after,
            ))),
            http: HttpRequests::default(),
        }
    }

    /// Counts every event the pipeline commits; give it to `Pipeline::observe` once.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(SyscallMetrics::new(Arc::clone(&self.counts)))
    }

    /// Where the HTTP server notes what it answered.
    pub fn http(&self) -> &HttpRequests {
        &self.http
    }

    /// The text of `page` as of `now`, complete and in an order that does not change between scrapes.
    pub fn render(
        &self,
        page: Page,
        format: Format,
        now: Timestamp,
        inputs: &Inputs<'_>,
    ) -> String {
        let mut exposition = Exposition::new(format);
        let sources = inputs.sources.snapshots();
        match page {
            Page::Main => {
                let mut counts = self.counts.lock().main_page(now);
                counts.write(&mut exposition);
                usage::write(&mut exposition, inputs.usage, self.series_per_family);
                native::write(&mut exposition, self.version, &sources, &counts, inputs);
                self.http.write(&mut exposition);
            }
            Page::Falco => {
                self.counts.lock().falco_page().write(&mut exposition);
                native::write_falco(&mut exposition, &sources);
            }
        }
        exposition.finish()
    }
}
