//! What the running containers use: read every few seconds, kept for a while.
//!
//! A [`Sampler`] goes round the containers it is told of. It reads their control groups where they
//! are visible (`qw_cgroup`), and asks the engine where they are not (`qw_docker`). [`Usage`] holds
//! the newest reading of each, how it is read and why, and a bounded history of rates.
//!
//! It does not know names, images or labels: those who show readings join them by the container's
//! id.

mod engine;
mod history;
mod sampler;
mod usage;

pub use history::{History, Point, Series};
pub use sampler::{Observer, Options, Sampler, Target, Targets};
pub use usage::{Reading, RoundStatus, Tracked, Usage, Way};
