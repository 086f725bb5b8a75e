//! The API as a client sees it: through the router, over the real store.

mod access;
mod contract;
mod events;
mod guarding;
mod harness;
mod listeners;
mod prometheus;
mod streams;
