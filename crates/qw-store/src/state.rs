//! The contract of a store of state: small documents that are updated.

use crate::StoreError;

/// Keeps small documents (users, tokens, containers, saved views) by collection and key.
///
/// A value is JSON text, at most 1 MiB; a key is text of at most 512 bytes.
pub trait StateStore: Send + Sync + 'static {
    /// The value under `key`; `None` when there is none.
    fn get(&self, collection: &str, key: &str) -> Result<Option<String>, StoreError>;

    /// All keys and values of a collection, ordered by key.
    fn list(&self, collection: &str) -> Result<Vec<(String, String)>, StoreError>;

    /// Carries out all changes or none; when it returns they are on disk.
    fn apply(&self, changes: &[StateChange<'_>]) -> Result<(), StoreError>;
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
