//! REST, server-sent events, OpenAPI, metrics pages and the embedded console.
//!
//! The binary puts a [`State`] together and gives each listener its socket:
//!
//! ```text
//! let access = Access::open(store, PasswordHashes::new()?, AccessOptions::default())?;
//! let hub = Hub::new(HubOptions::default(), records.last_id());
//! pipeline.observe(hub.observer());
//! let state = State::new(Parts { … })?;
//! serve_console(listener, ListenerOptions::default(), state, falco, stop).await?;
//! ```
//!
//! A request passes, from the outside in: request id, measure, safe headers, host check, panics
//! caught (`layers`); then, by route, audit log (`audited`), time limit, compression, credentials
//! (`guard`); then its handler in `routes`. The document at `/api/openapi.json` is made from the
//! same handlers.

mod access;
mod alert_view;
mod assets;
mod audited;
mod cache;
mod event_view;
mod guard;
mod hub;
mod layers;
mod listen;
mod parameters;
mod problem;
mod prometheus;
mod routes;
mod serve;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod usage_view;

pub use access::{Access, AccessError, AccessOptions, AuditOptions, SignedIn, audiences};
pub use hub::{Hub, HubOptions};
pub use listen::{ListenError, ListenerOptions};
pub use qw_tls::{TlsError, TlsFiles};
pub use routes::openapi;
pub use serve::{serve_console, serve_ingest, serve_metrics};
pub use state::{Clock, Parts, Settings, SettingsError, State};
