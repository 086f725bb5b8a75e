//! The inventory beside engines.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod engine;
mod scale;
