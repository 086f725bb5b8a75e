//! How many messages may go out at once.

use std::time::Duration;

use qw_event::Timestamp;

use crate::config::Pace;

/// Counts the messages of the current interval. The caller's clock is the only one.
#[derive(Debug)]
pub(crate) struct Meter {
    pace: Pace,
    began: Timestamp,
    sent: u32,
}

/// What may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// So many messages.
    Messages(usize),
    /// One message for everything that waits: the last of this interval.
    Together,
    /// Nothing for this long.
    Wait(Duration),
}

impl Meter {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            began: Timestamp::MIN,
            sent: 0,
        }
    }

    /// What may go out at `now`, when `waiting` messages do.
    pub(crate) fn leave(&mut self, now: Timestamp, waiting: usize) -> Leave {
        if self.pace.messages == 0 {
            return Leave::Messages(waiting);
        }
        let interval = Duration::from_secs(u64::from(self.pace.seconds));
        // A clock that was set back begins a new interval, too.
        if now < self.began || now.since(self.began) >= interval {
            self.began = now;
            self.sent = 0;
        }
        let left = self.pace.messages.saturating_sub(self.sent) as usize;
        match left {
            0 => Leave::Wait(interval.saturating_sub(now.since(self.began))),
            left if waiting <= left => Leave::Messages(waiting),
            1 => Leave::Together,
            left => Leave::Messages(left - 1),
        }
    }

    /// `messages` have gone out.
    pub(crate) fn count(&mut self, messages: usize) {
        self.sent = self
            .sent
            .saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_an_interval_carries_the_rest() {
        let mut meter = Meter::new(Pace {
            messages: 3,
            seconds: 60,
        });
        let at = Timestamp::from_seconds;
        assert_eq!(meter.leave(at(100), 40), Leave::Messages(2));
        meter.count(2);
        assert_eq!(meter.leave(at(101), 1), Leave::Messages(1));
        assert_eq!(meter.leave(at(101), 38), Leave::Together);
        meter.count(1);
        assert_eq!(
            meter.leave(at(130), 1),
            Leave::Wait(Duration::from_secs(30))
        );
        assert_eq!(meter.leave(at(160), 3), Leave::Messages(3));
        meter.count(3);
        assert_eq!(meter.leave(at(10), 1), Leave::Messages(1));
        let mut free = Meter::new(Pace {
            messages: 0,
            seconds: 60,
        });
        assert_eq!(free.leave(at(0), 5_000), Leave::Messages(5_000));
    }
}
