//! The time, for the loops that need it.

use std::time::{SystemTime, UNIX_EPOCH};

use qw_event::Timestamp;

/// The time of the system's clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}
