//! Messages of one connection or socket → records, counted.

use qw_event::{Event, InvalidReason, Timestamp};
use qw_wire::{Received, gelf, syslog};

use super::{
    Config, Kind, Options, Shared,
    convert::Converter,
    pieces::{Pieces, Whole},
};

/// Zone of senders that name none.
pub(super) fn zone(minutes: Option<i32>) -> syslog::Offset {
    syslog::Offset::from_seconds(minutes.unwrap_or(0) * 60)
}

/// What comes through one connection or socket.
pub(super) struct Lines {
    pieces: Pieces,
    zone: syslog::Offset,
    pub(super) events: Vec<Event>,
    /// What was received and became no record.
    others: u64,
    bytes: u64,
}

impl Lines {
    pub(super) fn new(config: &Config, options: &Options) -> Self {
        Self {
            pieces: Pieces::new(options.max_line_bytes),
            zone: zone(config.utc_offset_minutes),
            events: Vec::new(),
            others: 0,
            bytes: 0,
        }
    }

    /// True while a line may go on with what comes next.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Takes one message of syslog or GELF.
    pub(super) fn message(
        &mut self,
        shared: &Shared,
        converter: &mut Converter,
        message: &[u8],
        host: &str,
        now: Timestamp,
        is_truncated: bool,
    ) {
        self.bytes += message.len() as u64;
        let parsed = match shared.config.kind() {
            Kind::Gelf => gelf::parse(message).map_err(|fault| fault.reason()),
            _ => syslog::parse(message, now, self.zone).map_err(|fault| fault.reason()),
        };
        match parsed {
            Ok(received) => self.line(converter, received, host, now, is_truncated),
            Err(reason) => self.invalid(shared, reason, message),
        }
    }

    /// Takes one line that is whole, whatever its length.
    pub(super) fn whole(
        &mut self,
        converter: &mut Converter,
        received: &Received<'_>,
        host: &str,
        now: Timestamp,
    ) {
        let event = converter.event(received, host, now, None, false);
        self.events.push(event);
    }

    /// Takes one line.
    pub(super) fn line(
        &mut self,
        converter: &mut Converter,
        received: Received<'_>,
        host: &str,
        now: Timestamp,
        is_truncated: bool,
    ) {
        let events = &mut self.events;
        if is_truncated || !self.pieces.concerns(&received) {
            events.push(converter.event(&received, host, now, None, is_truncated));
            return;
        }
        self.pieces.push(received, host, now, |whole| {
            events.push(event(converter, &whole, now));
        });
    }

    /// Counts what is received that is no message at all.
    pub(super) fn invalid(&mut self, shared: &Shared, reason: InvalidReason, sample: &[u8]) {
        self.others += 1;
        shared.intake.status().invalid(reason, sample);
    }

    /// Counts what was received, in bytes.
    pub(super) fn bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Counts `records` that became none of ours, whose outcome the caller counts.
    pub(super) fn others(&mut self, records: u64) {
        self.others += records;
    }

    /// Ends the lines whose next piece has not come in time.
    pub(super) fn flush(&mut self, converter: &mut Converter, now: Timestamp) {
        let events = &mut self.events;
        self.pieces
            .flush(now, |whole| events.push(event(converter, &whole, now)));
    }

    /// Ends all lines.
    pub(super) fn finish(&mut self, converter: &mut Converter, now: Timestamp) {
        let events = &mut self.events;
        self.pieces
            .finish(|whole| events.push(event(converter, &whole, now)));
    }

    /// What has come since the last call.
    pub(super) fn take(&mut self, shared: &Shared, now: Timestamp) -> Vec<Event> {
        let events = std::mem::take(&mut self.events);
        // A line that came in pieces is one record.
        let received = events.len() as u64 + std::mem::take(&mut self.others);
        let bytes = std::mem::take(&mut self.bytes);
        if received > 0 || bytes > 0 {
            shared.intake.status().received(received, bytes, now);
        }
        events
    }
}

fn event(converter: &mut Converter, whole: &Whole<'_>, now: Timestamp) -> Event {
    converter.event(
        &whole.received,
        &whole.host,
        now,
        whole.merged,
        whole.is_truncated,
    )
}
