//! Positions of routes, as they are stored.

use qw_event::EventId;
use qw_store::{StateChange, StateStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{config::RouteConfig, log::LogKind};
use crate::config::From;

/// Collection of the store of state that holds the positions, by name of the route.
pub(crate) const POSITIONS: &str = "route_positions";

/// What is kept of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Everything up to this record of the stored log is done.
    pub(crate) id: EventId,
    /// Everything up to this record of the disk buffer is done.
    #[serde(default)]
    pub(crate) transit: EventId,
    /// Random, made with the position: numbers of records are unique together with it, even when a
    /// store is made anew.
    pub(crate) epoch: String,
    /// What the destination wants to know after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
}

impl Stored {
    /// As JSON.
    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The position in one of the logs.
    pub(crate) fn of(&self, log: LogKind) -> EventId {
        match log {
            LogKind::Stored => self.id,
            LogKind::Transit => self.transit,
        }
    }

    /// The position in one of the logs, to be changed.
    pub(crate) fn of_mut(&mut self, log: LogKind) -> &mut EventId {
        match log {
            LogKind::Stored => &mut self.id,
            LogKind::Transit => &mut self.transit,
        }
    }
}

/// Where `route` begins, when the newest records of the stored log and the disk buffer have the numbers
/// `newest`; a new route's beginning is
/// stored at once, so that a restart does not move it.
pub(crate) fn starting_position(
    route: &RouteConfig,
    state: &dyn StateStore,
    newest: (EventId, EventId),
) -> Result<Stored, StoreError> {
    let stored = state
        .get(POSITIONS, &route.name)?
        .and_then(|text| serde_json::from_str::<Stored>(&text).ok());
    let beginning = match (stored, route.from) {
        (Some(mut stored), _) if stored.id <= newest.0 => {
            if stored.transit > newest.1 {
                stored.transit = EventId(0);
            }
            return Ok(stored);
        }
        (Some(stored), _) => {
            tracing::warn!(
                route = route.name,
                position = stored.id.0,
                newest = newest.0.0,
                "the log is shorter than the route's position; the route begins with what is in it"
            );
            (EventId(0), EventId(0))
        }
        (None, From::Now) => newest,
        (None, From::Beginning) => (EventId(0), EventId(0)),
    };
    let stored = Stored {
        id: beginning.0,
        transit: beginning.1,
        epoch: random_name(),
        mark: None,
    };
    state.apply(&[StateChange::Put {
        collection: POSITIONS,
        key: &route.name,
        value: &stored.encode(),
    }])?;
    Ok(stored)
}

/// Sixteen random hexadecimal digits.
pub(crate) fn random_name() -> String {
    format!("{:016x}", u64::from_le_bytes(random_bytes()))
}

/// Random bytes; of the seeds of hash maps on a system that has none.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    use std::{
        hash::{BuildHasher as _, RandomState},
        iter::repeat_with,
    };
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        let words = repeat_with(|| RandomState::new().hash_one(0)).flat_map(u64::to_le_bytes);
        for (byte, random) in bytes.iter_mut().zip(words) {
            *byte = random;
        }
    }
    bytes
}
