//! Forwarding of records to real and made-up destinations, across failures of either side.

mod answers;
mod brokers;
mod cost;
mod files;
mod forward;
mod log;
mod reading;
mod services;
mod streams;

/// The number in `line N …`.
fn number(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("line ")?;
    let digits = rest.split(|sign: char| !sign.is_ascii_digit()).next()?;
    digits.parse().ok()
}
