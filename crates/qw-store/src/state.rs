//! The contract of a store of state: small documents that are updated.

use crate::{OwnedStateChange, StoreError};

/// Keeps small documents (users, tokens, containers, saved views) by collection and key.
///
/// A value is JSON text, at most 8 MiB; a key is text of at most 1,024 bytes.
pub trait StateStore: Send + Sync + 'static {
    /// The value under `key`; `None` when there is none.
    fn get(&self, collection: &str, key: &str) -> Result<Option<String>, StoreError>;

    /// All keys and values of a collection, ordered by key.
    fn list(&self, collection: &str) -> Result<Vec<(String, String)>, StoreError>;

    /// At most `limit` keys and values of a collection, ordered by key, that lie between two keys.
    fn range(
        &self,
        collection: &str,
        between: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut found = self.list(collection)?;
        found.retain(|(key, _)| {
            between.after.is_none_or(|after| &**key > after)
                && between.before.is_none_or(|before| &**key < before)
        });
        if between.descending {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Carries out all changes or none; when it returns they are on disk.
    fn apply(&self, changes: &[StateChange<'_>]) -> Result<(), StoreError>;

    /// As [`StateStore::apply`]; `make` is asked for the changes within the transaction, so that nobody
    /// else writes between what it looks at and what is stored. Enough as it is for a store with one
    /// writer.
    fn apply_made(
        &self,
        make: &mut dyn FnMut() -> Vec<OwnedStateChange>,
    ) -> Result<(), StoreError> {
        let made = make();
        let changes: Vec<StateChange<'_>> = made.iter().map(OwnedStateChange::as_change).collect();
        self.apply(&changes)
    }
}

/// Keys between two others, neither of which is included; `None` leaves an end open.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyRange<'a> {
    /// Greater than this.
    pub after: Option<&'a str>,
    /// Less than this.
    pub before: Option<&'a str>,
    /// The greatest key first.
    pub descending: bool,
}

/// One change of state.
#[derive(Debug, Clone, Copy)]
pub enum StateChange<'a> {
    /// Sets the value under a key.
    Put {
        /// Which collection.
        collection: &'a str,
        /// Which key.
        key: &'a str,
        /// JSON text.
        value: &'a str,
    },
    /// Removes a key; without effect when it is not there.
    Delete {
        /// Which collection.
        collection: &'a str,
        /// Which key.
        key: &'a str,
    },
}
