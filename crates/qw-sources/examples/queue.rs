//! Prints the rule and output of every event in a file: `queue FILE`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
use std::{error::Error, path::Path, time::Duration};

use qw_sources::queue::EventQueue;
use qw_sources::replay::{Recording, ReplaySource, Speed};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("name a file of Falco's JSON lines")?;
    let recording = Recording::open(Path::new(&path), Speed::Full, false)?;
    let queue = EventQueue::start(Box::new(ReplaySource::new(recording)), 1000)?;
    while let Ok(event) = queue.recv(Duration::from_secs(10)) {
        println!("{}: {}", event.rule, event.output);
    }
    println!("{:?}", queue.stop()?);
    Ok(())
}
