//! The API as a client sees it: through the router, over the real store.

mod access;
mod audit;
mod contract;
mod events;
mod guarding;
mod harness;
mod listeners;
mod matrix;
mod prometheus;
mod streams;
mod usage;
mod users;
