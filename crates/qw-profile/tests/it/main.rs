//! Profiles through their public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

mod attacks;
mod bounds;
mod documents;
mod hostile;
mod learning;
mod pairs;
mod sentences;
mod teaching;
