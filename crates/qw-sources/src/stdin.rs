//! JSON lines on standard input, until it ends.
//!
//! What was read cannot be read again: lines that were not stored when the process stops are lost,
//! and counted.

use std::io::{self, Read};

use async_trait::async_trait;
use qw_event::SourceId;
use qw_pipeline::{Intake, NotStored, Receipt, Source, SourceError, SourceState};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now,
    falco::Limits,
    lines::{Assembly, Fill, Splitter, settled},
};

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "stdin";

const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait to be parsed.
const CHUNKS: usize = 4;

/// How standard input is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Longest line, in bytes; longer ones are counted as invalid.
    pub max_line_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_line_bytes: Limits::default().line_bytes,
        }
    }
}

impl Config {
    /// Name of the source: `stdin`.
    pub fn source_id(&self) -> SourceId {
        SourceId::new(KIND)
    }

    /// What the source reads, in words.
    pub fn description(&self) -> String {
        "standard input".to_owned()
    }
}

/// The source: reads to the end, waits until all is stored, and ends.
pub struct StdinSource {
    config: Config,
    reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for StdinSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StdinSource")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl StdinSource {
    /// A source that reads the process's standard input.
    pub fn new(config: Config) -> Self {
        Self::reading(config, io::stdin())
    }

    /// A source that reads `reader` in the same way.
    pub fn reading(config: Config, reader: impl Read + Send + 'static) -> Self {
        Self {
            config,
            reader: Box::new(reader),
        }
    }
}

#[async_trait]
impl Source for StdinSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let limits = Limits {
            line_bytes: self.config.max_line_bytes,
            ..Limits::default()
        };
        let mut splitter = Splitter::new(limits.line_bytes);
        let mut assembly = Assembly::new(intake, limits, Fill::default());
        let mut chunks = read_aside(self.reader)?;
        assembly
            .intake()
            .status()
            .set_state(SourceState::Running, now());
        let mut last: Option<Receipt> = None;
        let mut goes_on = true;
        while goes_on {
            let due = assembly.due();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => goes_on = false,
                () = is_due => {
                    let Ok(receipt) = assembly.send(None, now(), &stop).await else { break };
                    last = Some(receipt);
                }
                chunk = chunks.recv() => match chunk {
                    Some(Ok(chunk)) => splitter.push(&chunk, |line, _| assembly.line(&line, now())),
                    Some(Err(error)) => {
                        assembly.intake().status().error(error.to_string(), now());
                        goes_on = false;
                    }
                    None => {
                        splitter.finish(|line, _| assembly.line(&line, now()));
                        goes_on = false;
                    }
                },
            }
            if assembly.is_full() || (!goes_on && !assembly.is_empty()) {
                let Ok(receipt) = assembly.send(None, now(), &stop).await else {
                    break;
                };
                last = Some(receipt);
            }
        }
        // Batches are stored in order, so the last one speaks for all.
        if let Some(receipt) = last
            && let Err(NotStored::Refused(why)) = settled(receipt, &stop).await
        {
            assembly.intake().status().error(why, now());
        }
        Ok(())
    }
}

/// Reads on a thread of its own, which a read that never returns may hold for ever.
fn read_aside(
    mut reader: Box<dyn Read + Send>,
) -> Result<mpsc::Receiver<io::Result<Vec<u8>>>, SourceError> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let read = move || {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let chunk = match reader.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    chunk.truncate(length);
                    Ok(chunk)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(read)
        .map_err(|error| SourceError::new("cannot start a thread to read standard input", error))?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use qw_event::Outcome;

    use super::*;
    use crate::harness::{Harness, line};

    #[tokio::test]
    async fn everything_is_stored_when_the_input_ends() {
        let harness = Harness::start();
        let input = line("a").repeat(2500) + "starting up\n\n" + line("b").trim_end();
        let source = StdinSource::reading(Config::default(), io::Cursor::new(input));
        let run = Box::new(source).run(harness.intake("stdin"), CancellationToken::new());
        run.await.unwrap();
        assert_eq!(harness.store.rules(2501).last().unwrap(), "b");
        assert_eq!(harness.snapshot("stdin").received, 2502);
        assert_eq!(harness.outcome("stdin", Outcome::Stored), 2501);
        harness.check_conservation("stdin");
    }

    #[tokio::test]
    async fn a_slow_input_is_stored_as_it_comes_and_stopping_ends_it() {
        let harness = Harness::start();
        let (reader, mut writer) = io::pipe().unwrap();
        let stop = CancellationToken::new();
        let source = StdinSource::reading(Config::default(), reader);
        let run = Box::new(source).run(harness.intake("stdin"), stop.clone());
        let run = tokio::spawn(run);
        io::Write::write_all(&mut writer, line("a").as_bytes()).unwrap();
        let store = std::sync::Arc::clone(&harness.store);
        tokio::task::spawn_blocking(move || store.wait_for(1))
            .await
            .unwrap();
        stop.cancel();
        run.await.unwrap().unwrap();
        harness.check_conservation("stdin");
    }
}
