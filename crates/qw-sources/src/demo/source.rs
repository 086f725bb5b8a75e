//! Feeds the made-up lines into the pipeline: first the past in big batches, then what happens now.

use std::{iter::Peekable, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use qw_event::{Event, Position, SourceId, Timestamp};
use qw_pipeline::{CancellationToken, Intake, Source, SourceError, SourceState, SourceStatus};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::{Generator, MAX_RATE};
use crate::falco::Parser;

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "demo";

/// What is made up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The same seed tells the same story.
    pub seed: u64,
    /// When the story began, around which its attacks lie; `None` for when the source starts.
    pub began: Option<Timestamp>,
    /// Events per second on the average of a day.
    pub rate: f64,
    /// How much past there is when the demo is new, in hours.
    pub backfill_hours: u32,
    /// How many times as many events happen from now on.
    pub speed: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            began: None,
            rate: 12.0,
            backfill_hours: 24,
            speed: 1.0,
        }
    }
}

impl Config {
    /// Name of the source.
    pub fn source_id(&self) -> SourceId {
        SourceId::new(KIND)
    }

    /// What the source does, in words.
    pub fn description(&self) -> String {
        format!(
            "made-up events of {} containers, seed {}, {} a second",
            super::fleet().len(),
            self.seed,
            self.rate * self.speed
        )
    }
}

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The source; [`Config::source_id`] is its name.
///
/// Its position is the instant up to which everything has been told. After a pause it tells what
/// happened meanwhile, at most as much as the back-fill.
pub struct DemoSource {
    config: Config,
    clock: Clock,
}

impl DemoSource {
    /// A source that makes up what `config` says until the instant that `clock` tells.
    pub fn new(config: Config, clock: Clock) -> Self {
        Self { config, clock }
    }
}

/// Events happen in the story all the time; they are sent this often.
const TICK: Duration = Duration::from_millis(250);
/// A batch is sent when it has this many events; big enough to be stored by itself.
const BATCH_EVENTS: usize = 10_000;

#[async_trait]
impl Source for DemoSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let Self { config, clock } = *self;
        let status = Arc::clone(intake.status());
        let starts = clock();
        let back_fill = Duration::from_secs(u64::from(config.backfill_hours) * 3600);
        let mut told = stored_position(&intake, starts)
            .await?
            .unwrap_or(Timestamp::MIN)
            .max(starts.saturating_sub(back_fill));
        status.set_state(SourceState::Running, starts);

        let mut teller = Teller {
            generator: Generator::new(config.seed, config.began.unwrap_or(starts)),
            parser: Parser::default(),
        };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rate = config.rate;
        loop {
            let now = clock();
            if now > told {
                let stretch = Stretch {
                    range: told..now,
                    rate,
                    now,
                };
                let sent = stop
                    .run_until_cancelled(teller.tell(stretch, &intake))
                    .await
                    .unwrap_or(Ok(Told::Stopped))?;
                if sent == Told::Stopped {
                    break;
                }
                told = now;
            }
            rate = (config.rate * config.speed).min(MAX_RATE);
            if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                break;
            }
        }
        status.set_state(SourceState::Stopped, clock());
        Ok(())
    }
}

/// Where to go on. First waits for batches of an earlier run in this process, which move it.
async fn stored_position(
    intake: &Intake,
    now: Timestamp,
) -> Result<Option<Timestamp>, SourceError> {
    if let Ok(receipt) = intake.send(Vec::new(), None, now).await {
        // Whether this empty batch was stored is of no interest; those before it are settled.
        drop(receipt.await);
    }
    let cursor = intake
        .cursor()
        .await
        .map_err(|error| SourceError::new("cannot read where the demo was left", error))?;
    Ok(cursor
        .and_then(|cursor| cursor.position)
        .and_then(|position| position.0.parse().ok())
        .map(Timestamp::from_nanos))
}

/// Whether the pipeline took everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    All,
    Stopped,
}

/// What to tell.
struct Stretch {
    range: Range<Timestamp>,
    rate: f64,
    now: Timestamp,
}

/// Makes up lines and parses them as if Falco had written them.
struct Teller {
    generator: Generator,
    parser: Parser,
}

impl Teller {
    async fn tell(&mut self, stretch: Stretch, intake: &Intake) -> Result<Told, SourceError> {
        let Stretch { range, rate, now } = stretch;
        let end = range.end;
        let lines: Box<dyn Iterator<Item = (Timestamp, String)> + Send> =
            Box::new(self.generator.lines(range, rate));
        let mut lines: Lines = lines.peekable();
        let mut parser = std::mem::take(&mut self.parser);
        loop {
            let status = Arc::clone(intake.status());
            let made_up = tokio::task::spawn_blocking(move || {
                let batch = next_batch(&mut lines, &mut parser, &status, now);
                (lines, parser, batch)
            });
            let (rest, used, batch) = made_up
                .await
                .map_err(|error| SourceError::new("cannot make up events of the demo", error))?;
            lines = rest;
            parser = used;
            let position = Position(batch.told.unwrap_or(end).as_nanos().to_string());
            if intake
                .send(batch.events, Some(position), now)
                .await
                .is_err()
            {
                return Ok(Told::Stopped);
            }
            if batch.told.is_none() {
                self.parser = parser;
                return Ok(Told::All);
            }
        }
    }
}

type Lines = Peekable<Box<dyn Iterator<Item = (Timestamp, String)> + Send>>;

/// Events, and the instant up to which they tell; `None` when they tell to the end.
struct Batch {
    events: Vec<Event>,
    told: Option<Timestamp>,
}

/// Takes as many lines as make a batch. Events of one instant are not torn apart, so that the instant
/// after them is a position.
fn next_batch(
    lines: &mut Lines,
    parser: &mut Parser,
    status: &SourceStatus,
    now: Timestamp,
) -> Batch {
    let mut events = Vec::new();
    let mut taken = 0;
    let mut last = None;
    while let Some((time, line)) =
        lines.next_if(|(time, _)| taken < BATCH_EVENTS || last == Some(*time))
    {
        status.received(1, line.len() as u64, now);
        match parser.parse(line.as_bytes(), now) {
            Ok(event) => events.push(event),
            Err(reason) => status.invalid(reason, line.as_bytes()),
        }
        taken += 1;
        last = Some(time);
    }
    let more = lines.peek().is_some();
    let told = last
        .filter(|_| more)
        .map(|time| time.saturating_add(Duration::from_nanos(1)));
    Batch { events, told }
}
