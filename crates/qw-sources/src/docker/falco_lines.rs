//! Records of a container that prints Falco's lines → events.

use std::sync::Arc;

use async_trait::async_trait;
use qw_docker::LogPiece;
use qw_event::{Event, InvalidReason, Timestamp};
use qw_pipeline::{Intake, NotAccepted, Receipt};
use tokio::sync::Mutex;

use super::{
    cursor::Cursor,
    follow::Gather,
    lines::{Line, Lines},
    now,
    positions::Positions,
};
use crate::falco;

/// Makes events of lines; the cursors of all containers are one position.
pub(super) struct FalcoLines {
    id: String,
    intake: Intake,
    /// Held while a batch is handed over, so that positions are sent in the order they grow.
    sent: Arc<Mutex<Sent>>,
    max_line_bytes: usize,
    lines: Lines,
    parser: falco::Parser,
    events: Vec<Event>,
    waiting: (usize, u64),
}

/// What was handed to the pipeline.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) positions: Positions,
    /// Of the newest batch; when it is on disk, all are.
    pub(super) last: Option<Receipt>,
}

impl FalcoLines {
    pub(super) fn new(
        id: String,
        intake: Intake,
        sent: Arc<Mutex<Sent>>,
        max_line_bytes: usize,
    ) -> Self {
        let limits = falco::Limits {
            line_bytes: max_line_bytes,
            ..falco::Limits::default()
        };
        Self {
            id,
            intake,
            sent,
            max_line_bytes,
            lines: Lines::new(max_line_bytes),
            parser: falco::Parser::new(limits),
            events: Vec::new(),
            waiting: (0, 0),
        }
    }

    fn take(&mut self, line: Line) {
        let received = now();
        let status = self.intake.status();
        status.received(1, line.length, received);
        if line.too_long {
            status.invalid(InvalidReason::TooLong, &line.text);
        } else {
            match self.parser.parse(&line.text, received) {
                Ok(event) => self.events.push(event),
                Err(reason) => status.invalid(reason, &line.text),
            }
        }
        self.waiting.0 += 1;
        self.waiting.1 += line.length;
    }
}

#[async_trait]
impl Gather for FalcoLines {
    fn streams(&self) -> (bool, bool) {
        (true, false)
    }

    fn begin(&mut self) {
        self.lines = Lines::new(self.max_line_bytes);
    }

    fn push(&mut self, piece: LogPiece, time: Timestamp, number: u64) {
        for line in self.lines.push(piece, time, number).into_iter().flatten() {
            self.take(line);
        }
    }

    fn oldest_pending(&self) -> Option<u64> {
        self.lines.oldest_pending()
    }

    fn finish(&mut self) {
        if let Some(line) = self.lines.finish() {
            self.take(line);
        }
    }

    fn gap(&mut self, container: &str) {
        let text = format!(
            "log of container `{container}`: records are missing, because the engine threw them away \
             (log rotation) before they were read; raise `max-size` or `max-file` of its log driver"
        );
        tracing::warn!(container, "records were thrown away before they were read");
        self.intake.status().error(text, now());
    }

    fn failed(&mut self, _: &str) {}

    fn waiting(&self) -> (usize, u64) {
        self.waiting
    }

    async fn send(&mut self, cursor: &Cursor, _: u64, _: u64) -> Result<(), NotAccepted> {
        self.waiting = (0, 0);
        let events = std::mem::take(&mut self.events);
        let mut sent = self.sent.lock().await;
        let mut positions = sent.positions.clone();
        positions.set(&self.id, cursor.clone());
        let position = positions.render();
        let receipt = self.intake.send(events, Some(position), now()).await;
        // Only now has it been handed over; before this the future may be dropped.
        sent.last = Some(receipt?);
        sent.positions = positions;
        Ok(())
    }
}
