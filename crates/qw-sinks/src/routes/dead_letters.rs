//! Records that a destination refused for good.

use qw_event::{EventId, StoredEvent, Timestamp};
use qw_pipeline::FIRST_TRANSIT_ID;
use qw_store::{KeyRange, OwnedStateChange, StateStore, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Collection of the store of state that holds them, by route and number.
pub(crate) const DEAD_LETTERS: &str = "route_dead_letters";

/// Dead letters kept of each route: the newest.
pub const MAX_DEAD_LETTERS: usize = 1_000;

/// Longest record that is kept with a dead letter, as JSON, in bytes.
const MAX_RECORD: usize = 256 << 10;

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// A record that a destination refused for good. The record itself is in the stored log, as long as
/// retention keeps it; one that was not stored is kept here unless it is very long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub id: EventId,
    /// What the destination said; no secrets.
    pub reason: String,
    /// When.
    pub time: Timestamp,
    /// The record itself, when it is not in the stored log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
}

impl DeadLetter {
    /// One with the text of `record`, if that is not stored.
    pub(crate) fn new(
        id: EventId,
        reason: String,
        time: Timestamp,
        record: Option<&StoredEvent>,
    ) -> Self {
        let is_passing = |record: &&StoredEvent| record.id >= FIRST_TRANSIT_ID;
        let record = record
            .filter(is_passing)
            .and_then(|record| serde_json::value::to_raw_value(record).ok())
            .filter(|record| record.get().len() <= MAX_RECORD);
        Self {
            id,
            reason,
            time,
            record,
        }
    }

    /// The record, when it is kept here.
    pub(crate) fn kept(&self) -> Option<StoredEvent> {
        serde_json::from_str(self.record.as_ref()?.get()).ok()
    }
}

/// What became of dead letters that were sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Replayed {
    /// Taken by the destination now; they are dead letters no more.
    pub sent: u64,
    /// Refused again.
    pub refused: u64,
    /// Dropped by retention in the meantime; they are dead letters no more.
    pub missing: u64,
}

/// The key of a dead letter; keys are in the order of the numbers.
pub(crate) fn key(route: &str, id: EventId) -> String {
    format!("{route}/{:020}", id.0)
}

/// Changes that add `letters` to those of `route`, and drop the oldest above the bound.
pub(crate) fn changes(
    state: &dyn StateStore,
    route: &str,
    letters: &[DeadLetter],
) -> Result<Vec<OwnedStateChange>, StoreError> {
    let kept = letters.len().min(MAX_DEAD_LETTERS);
    let newest = letters.get(letters.len() - kept..).unwrap_or_default();
    let mut changes: Vec<OwnedStateChange> = Vec::with_capacity(newest.len());
    let old = list_keys(state, route)?;
    let too_many = (old.len() + kept).saturating_sub(MAX_DEAD_LETTERS);
    for (key, _) in old.into_iter().take(too_many) {
        changes.push(OwnedStateChange {
            collection: DEAD_LETTERS.to_owned(),
            key,
            value: None,
        });
    }
    for letter in newest {
        let letter = DeadLetter {
            reason: letter.reason.chars().take(MAX_REASON).collect(),
            ..letter.clone()
        };
        changes.push(OwnedStateChange {
            collection: DEAD_LETTERS.to_owned(),
            key: key(route, letter.id),
            value: serde_json::to_string(&letter).ok(),
        });
    }
    Ok(changes)
}

/// The dead letters of `route`, the oldest first.
pub(crate) fn list(state: &dyn StateStore, route: &str) -> Result<Vec<DeadLetter>, StoreError> {
    let entries = list_keys(state, route)?.into_iter();
    Ok(entries
        .filter_map(|(_, value)| serde_json::from_str(&value).ok())
        .collect())
}

fn list_keys(state: &dyn StateStore, route: &str) -> Result<Vec<(String, String)>, StoreError> {
    // Names hold no `/`, and `0` is the character behind it.
    let (after, before) = (format!("{route}/"), format!("{route}0"));
    let between = KeyRange {
        after: Some(&after),
        before: Some(&before),
        descending: false,
    };
    state.range(DEAD_LETTERS, between, 2 * MAX_DEAD_LETTERS)
}
