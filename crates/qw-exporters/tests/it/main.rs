//! Whole pages, the committed list of families, and the files under `deploy/`.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

mod catalogue;
mod deploy;
mod page;
mod pipeline;
mod promtool;
