//! Metric families and their exposition formats.
//!
//! [`Metrics`] counts what the pipeline commits and what the HTTP server answers; a scrape renders
//! these counts and what [`Inputs`] says of the other parts:
//!
//! ```text
//! let metrics = Metrics::new(Options::new(env!("CARGO_PKG_VERSION")));
//! pipeline.observe(metrics.observer());
//! // per HTTP request, when it is answered:
//! metrics.http().record("GET", "/api/events", 200, elapsed);
//! // per scrape:
//! let format = Format::negotiate(accept_header);
//! let text = metrics.render(Page::Main, format, now, &Inputs {
//!     sources: &statuses,
//!     pipeline: &statistics,
//!     store: &store.statistics(),
//!     streams: StreamSnapshot { clients: 3, ..Default::default() },
//!     profiles: profiles.lock().stats(),
//!     alerts: &desk.counts(),
//!     sinks: &sinks,
//!     routes: &routes,
//!     usage: &usage,
//!     process: ProcessSnapshot::read().ok(),
//! });
//! // answer with `Content-Type: format.content_type()`, and with `gzip(&text)` when
//! // `accepts_gzip(accept_encoding_header)`.
//! ```
//!
//! Adding a family: a `static` [`Family`] in the file that fills it, a line in that file's list,
//! and the samples where that file renders. `schema/metrics.txt` follows with `UPDATE_EXPECT=1`.

pub mod exposition;
mod families;
mod findings;
mod http;
mod logs;
mod metrics;
mod native;
mod process;
mod rate;
mod series;
mod syscall;
mod usage;

pub use exposition::{Exposition, Family, Format, Kind, accepts_gzip, gzip};
pub use families::{catalogue, families};
pub use findings::{RouteSnapshot, SinkSnapshot};
pub use http::HttpRequests;
pub use metrics::{Inputs, Metrics, Options, Page};
pub use native::StreamSnapshot;
pub use process::ProcessSnapshot;
pub use usage::{ContainerUsage, GraphiteSnapshot, UsageSnapshot};
