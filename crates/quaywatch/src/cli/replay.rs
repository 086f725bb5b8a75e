//! `quaywatch replay FILE`: a recording of Falco's JSON lines → the running server.
//!
//! Batches carry an epoch and a sequence, so that one sent again after a fault is stored once.

use std::time::Duration;

use anyhow::{Result, bail};
use qw_sources::replay::{Recording, Speed};

use crate::{
    Usage,
    arguments::Replay,
    cli::{client::Client, say},
    config::Config,
    wiring::now,
};

/// Bytes in one request.
const BATCH_BYTES: usize = 1 << 20;
/// A batch waits at most this long for more lines.
const LINGER: Duration = Duration::from_millis(200);
/// Tries for one request while the server cannot store.
const TRIES: u32 = 20;

/// Sends the lines of the file at the asked speed and says what became of them.
pub(crate) async fn run(config: Config, arguments: Replay) -> Result<()> {
    let speed: Speed = arguments
        .speed
        .parse()
        .map_err(|error| Usage(format!("--speed: {error}")))?;
    let client = Client::new(&config, &arguments.server)?;
    let mut recording = Recording::open(&arguments.file, speed, arguments.now)?;
    let epoch = now().as_nanos().to_string();
    let mut sequence: u64 = 0;
    let (mut stored, mut invalid) = (0, 0);
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut begun = now();
    loop {
        let line = recording.next_line(now())?;
        let due = line
            .as_ref()
            .map_or(Duration::ZERO, |line| line.due.since(now()));
        let is_full = batch.len() >= BATCH_BYTES || now().since(begun) >= LINGER || due >= LINGER;
        if !batch.is_empty() && (line.is_none() || is_full) {
            sequence += 1;
            let counts = send(&client, std::mem::take(&mut batch), &epoch, sequence).await?;
            stored += counts.0;
            invalid += counts.1;
        }
        let Some(line) = line else { break };
        if !due.is_zero() {
            tokio::time::sleep(due).await;
        }
        if batch.is_empty() {
            begun = now();
        }
        batch.extend_from_slice(&line.text);
        batch.push(b'\n');
    }
    say(&format!(
        "{stored} events stored, {invalid} lines are no events"
    ));
    Ok(())
}

/// Sends one batch until it is stored; the numbers of events stored and of lines that are none.
async fn send(client: &Client, batch: Vec<u8>, epoch: &str, sequence: u64) -> Result<(u64, u64)> {
    let sequence = sequence.to_string();
    let headers = [
        ("x-quaywatch-source", "replay"),
        ("x-quaywatch-epoch", epoch),
        ("x-quaywatch-sequence", sequence.as_str()),
    ];
    for attempt in 1..=TRIES {
        match client
            .exchange("POST", "/falco", &headers, batch.clone())
            .await
        {
            Ok((status, answer)) if status.is_success() || answer["stored"].is_u64() => {
                let count = |name: &str| answer[name].as_u64().unwrap_or_default();
                return Ok((count("stored"), count("invalid")));
            }
            Ok((status, answer)) if status.is_client_error() => {
                let detail = answer["detail"].as_str().unwrap_or("no reason given");
                // A batch without a single event is no reason to stop.
                if status.as_u16() == 400 {
                    let lines = batch.split(|byte| *byte == b'\n').count() - 1;
                    return Ok((0, lines as u64));
                }
                bail!("the server refused the events with {status}: {detail}");
            }
            Ok((status, _)) => say(&format!(
                "the server answered {status}; try {attempt} of {TRIES}"
            )),
            Err(error) => say(&format!("{error:#}; try {attempt} of {TRIES}")),
        }
        tokio::time::sleep(Duration::from_millis(250) * attempt).await;
    }
    bail!("the server did not take the events after {TRIES} tries")
}
