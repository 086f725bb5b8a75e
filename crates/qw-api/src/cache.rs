//! Answers that may be given again for a moment.

use std::{hash::Hash, time::Duration};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// Keeps values for a time, at most so many; the oldest makes room.
pub(crate) struct Cache<Key, Value> {
    keep: Duration,
    capacity: usize,
    entries: Mutex<FxHashMap<Key, (Instant, Value)>>,
}

impl<Key: Eq + Hash + Clone, Value: Clone> Cache<Key, Value> {
    pub(crate) fn new(keep: Duration, capacity: usize) -> Self {
        Self {
            keep,
            capacity: capacity.max(1),
            entries: Mutex::default(),
        }
    }

    /// The value under `key`, unless it is older than it may be.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        let entries = self.entries.lock();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.keep).then(|| value.clone())
    }

    pub(crate) fn put(&self, key: Key, value: Value) {
        let mut entries = self.entries.lock();
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            entries.retain(|_, (since, _)| since.elapsed() < self.keep);
            let oldest = entries
                .iter()
                .min_by_key(|(_, (since, _))| *since)
                .map(|(key, _)| key.clone());
            if entries.len() >= self.capacity
                && let Some(oldest) = oldest
            {
                entries.remove(&oldest);
            }
        }
        entries.insert(key, (Instant::now(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_age_and_make_room() {
        let cache = Cache::new(Duration::from_secs(10), 2);
        cache.put("a", 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        cache.put("b", 2);
        cache.put("c", 3);
        assert_eq!(cache.get(&"a"), None);
        assert_eq!((cache.get(&"b"), cache.get(&"c")), (Some(2), Some(3)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cache.get(&"b"), None);
    }
}
