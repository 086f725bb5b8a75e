//! Finds out that the engine's clock was set back, from its answers and our monotonic clock.

use std::time::{Duration, Instant};

use qw_event::Timestamp;

/// The engine tells its time to the second, and answers take a while.
const TOLERANCE: Duration = Duration::from_secs(3);

/// What is known of the engine's clock.
#[derive(Debug, Default)]
pub(crate) struct EngineClock {
    latest: Option<(Instant, Timestamp)>,
    set_back: (u64, Timestamp),
}

impl EngineClock {
    /// Notes that the engine said `time` at our moment `at`; true when its clock was set back since
    /// it last said something.
    pub(crate) fn observe(&mut self, at: Instant, time: Timestamp) -> bool {
        let before = self.latest.replace((at, time));
        let Some((before_at, before)) = before else {
            return false;
        };
        let elapsed = at.saturating_duration_since(before_at);
        if time.saturating_add(TOLERANCE) >= before.saturating_add(elapsed) {
            return false;
        }
        // It may have been set back right after the last time.
        self.set_back = (
            self.set_back.0 + 1,
            time.saturating_sub(elapsed + TOLERANCE),
        );
        true
    }

    /// How often it was set back, and the earliest time it can have shown after the last.
    pub(crate) fn set_back(&self) -> (u64, Timestamp) {
        self.set_back
    }

    /// The latest time it was seen to show, less the tolerance.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.latest.map(|(_, time)| time.saturating_sub(TOLERANCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_seen_and_a_slow_clock_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut clock = EngineClock::default();
        assert!(!clock.observe(at(0), Timestamp::from_seconds(1000)));
        assert!(!clock.observe(at(10), Timestamp::from_seconds(1009)));
        assert!(
            !clock.observe(at(20), Timestamp::from_seconds(5000)),
            "forward"
        );
        assert!(clock.observe(at(30), Timestamp::from_seconds(4000)));
        assert_eq!(clock.set_back(), (1, Timestamp::from_seconds(3987)));
        assert_eq!(clock.latest(), Some(Timestamp::from_seconds(3997)));
    }
}
