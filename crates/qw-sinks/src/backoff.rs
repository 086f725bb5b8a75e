//! How long to wait before the next attempt.

use std::time::Duration;

/// Longest pause that a receiver may ask for.
const MAX_ASKED: Duration = Duration::from_secs(15 * 60);

/// Bounds of the pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after `failures` (at least 1) failures in a row: it doubles from the first to the
    /// longest, less up to half of it by `jitter` (0 to 1). What the receiver `asked` for is a
    /// least, up to 15 minutes.
    pub(crate) fn pause(self, failures: u32, jitter: f64, asked: Option<Duration>) -> Duration {
        let doubled = self
            .first
            .saturating_mul(
                1_u32
                    .checked_shl(failures.saturating_sub(1).min(20))
                    .unwrap_or(u32::MAX),
            )
            .min(self.longest);
        let pause = doubled.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
        pause.max(asked.unwrap_or_default().min(MAX_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        };
        for (failures, jitter, asked, milliseconds) in [
            (1, 0.0, None, 1_000),
            (1, 1.0, None, 500),
            (2, 0.0, None, 2_000),
            (6, 0.0, None, 32_000),
            (7, 0.0, None, 60_000),
            (4_000_000_000, 0.5, None, 45_000),
            (1, 0.0, Some(7), 7_000),
            (7, 0.0, Some(7), 60_000),
            (1, 0.0, Some(1_000_000), 900_000),
        ] {
            assert_eq!(
                backoff.pause(failures, jitter, asked.map(Duration::from_secs)),
                Duration::from_millis(milliseconds)
            );
        }
    }
}
