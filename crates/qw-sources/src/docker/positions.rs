//! The position of a Docker source: a cursor per container, as one text.

use std::collections::BTreeMap;

use qw_event::Position;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;

/// A position may have 64 KiB.
const MAX_TEXT_BYTES: usize = 60 << 10;
/// Containers that are gone, but whose cursor is kept in case that they come back.
const MAX_ABSENT: usize = 8;

/// Cursors by container id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Positions {
    containers: BTreeMap<String, Cursor>,
}

/// A stored position cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored position is not one of a Docker source")]
pub(super) struct Unreadable(#[from] serde_json::Error);

#[derive(Serialize, Deserialize)]
struct Wire<Containers> {
    version: u32,
    containers: Containers,
}

impl Positions {
    /// What [`Self::render`] wrote.
    pub(super) fn parse(position: &Position) -> Result<Self, Unreadable> {
        let wire: Wire<BTreeMap<String, Cursor>> = serde_json::from_str(&position.0)?;
        Ok(Self {
            containers: wire.containers,
        })
    }

    /// All cursors as text; when that grows too long, less is kept for clocks that are set back,
    /// then the containers that have been silent longest are left out.
    pub(super) fn render(&mut self) -> Position {
        let mut text = self.text();
        if text.len() > MAX_TEXT_BYTES {
            self.containers.values_mut().for_each(Cursor::shorten);
            text = self.text();
        }
        while text.len() > MAX_TEXT_BYTES {
            self.forget_oldest(|_| true);
            text = self.text();
        }
        Position(text)
    }

    fn text(&self) -> String {
        serde_json::to_string(&Wire {
            version: 1,
            containers: &self.containers,
        })
        .expect("maps of texts and numbers are JSON")
    }

    /// The cursor of a container; `None` when it was never seen.
    pub(super) fn get(&self, id: &str) -> Option<&Cursor> {
        self.containers.get(id)
    }

    /// Sets the cursor of a container.
    pub(super) fn set(&mut self, id: &str, cursor: Cursor) {
        match self.containers.get_mut(id) {
            Some(old) => *old = cursor,
            None => drop(self.containers.insert(id.to_owned(), cursor)),
        }
    }

    /// Ids of the containers that have a cursor.
    pub(super) fn ids(&self) -> Vec<String> {
        self.containers.keys().cloned().collect()
    }

    /// Forgets all but the latest few of the containers that do not exist.
    pub(super) fn prune(&mut self, exists: impl Fn(&str) -> bool) {
        while self.containers.keys().filter(|id| !exists(id)).count() > MAX_ABSENT {
            self.forget_oldest(|id| !exists(id));
        }
    }

    fn forget_oldest(&mut self, among: impl Fn(&str) -> bool) {
        let oldest = self
            .containers
            .iter()
            .filter(|(id, _)| among(id))
            .min_by_key(|(_, cursor)| cursor.last())
            .map(|(id, _)| id.clone());
        if let Some(id) = oldest {
            self.containers.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use qw_event::Timestamp;

    use super::*;

    fn cursor(seconds: i64, records: i64) -> Cursor {
        let mut cursor = Cursor::at_beginning();
        for record in 0..records {
            cursor.take(Timestamp::from_seconds(seconds + record * 100));
        }
        cursor
    }

    #[test]
    fn text_form_round_trips() {
        let mut positions = Positions::default();
        positions.set("aa", cursor(1, 5));
        positions.set("bb", cursor(9, 1));
        let text = positions.render();
        assert_eq!(Positions::parse(&text).unwrap(), positions);
        assert!(Positions::parse(&Position("7".to_owned())).is_err());
    }

    #[test]
    fn the_text_is_bounded_and_the_latest_stay() {
        let mut positions = Positions::default();
        for number in 0..1000_i64 {
            positions.set(&format!("{number:064}"), cursor(number, 100));
        }
        let text = positions.render();
        assert!(text.0.len() <= MAX_TEXT_BYTES);
        let read = Positions::parse(&text).unwrap();
        assert!(read.ids().len() > 100, "{}", read.ids().len());
        assert!(read.get(&format!("{:064}", 999)).is_some());
        assert!(read.get(&format!("{:064}", 0)).is_none());
    }

    #[test]
    fn of_those_gone_only_the_latest_are_kept() {
        let mut positions = Positions::default();
        for number in 0..20_i64 {
            positions.set(&format!("{number:02}"), cursor(number, 1));
        }
        positions.prune(|id| id == "00");
        assert_eq!(positions.ids().len(), MAX_ABSENT + 1);
        assert!(positions.get("00").is_some() && positions.get("19").is_some());
    }
}
