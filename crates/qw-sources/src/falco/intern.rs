//! Values that recur from event to event, kept once.
//!
//! Memory is a table of fixed size in which each key has four places; the newest pushes the oldest
//! out. So it is bounded, needs no clearing, and a sender who chooses keys that collide gains
//! nothing but copies of his own values.

use std::hash::{BuildHasher, Hash};

use rustc_hash::FxBuildHasher;

const PLACES: usize = 4;

/// The newest values by key.
pub(crate) struct Interner<Key, Shared> {
    sets: Box<[Set<Key, Shared>]>,
}

type Set<Key, Shared> = [Option<(Key, Shared)>; PLACES];

impl<Key, Shared: Clone> Interner<Key, Shared> {
    /// Room for `values` values, rounded up to a power of two.
    pub(crate) fn new(values: usize) -> Self {
        let sets = (values / PLACES).max(1).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Default::default()).collect(),
        }
    }

    /// The value kept for `wanted`, or a new one from `make`.
    pub(crate) fn get<Wanted: Hash + ?Sized>(
        &mut self,
        wanted: &Wanted,
        is_same: impl Fn(&Key, &Wanted) -> bool,
        make: impl FnOnce(&Wanted) -> (Key, Shared),
    ) -> Shared {
        let hash = FxBuildHasher.hash_one(wanted) as usize;
        let index = hash & (self.sets.len() - 1);
        let Some(set) = self.sets.get_mut(index) else {
            return make(wanted).1;
        };
        for (key, shared) in set.iter().flatten() {
            if is_same(key, wanted) {
                return shared.clone();
            }
        }
        let (key, shared) = make(wanted);
        set.rotate_right(1);
        if let Some(first) = set.first_mut() {
            *first = Some((key, shared.clone()));
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn get(interner: &mut Interner<Box<str>, Arc<str>>, text: &str) -> Arc<str> {
        interner.get(
            text,
            |key, text| **key == *text,
            |text| (text.into(), text.into()),
        )
    }

    #[test]
    fn a_value_that_recurs_is_shared() {
        let mut interner = Interner::new(64);
        let first = get(&mut interner, "rule");
        assert!(Arc::ptr_eq(&first, &get(&mut interner, "rule")));
        assert_eq!(&*get(&mut interner, "other"), "other");
    }

    #[test]
    fn memory_stays_bounded_and_values_right() {
        let mut interner = Interner::new(16);
        for number in 0..1000 {
            let text = number.to_string();
            assert_eq!(*get(&mut interner, &text), *text);
        }
        assert_eq!(interner.sets.iter().flatten().flatten().count(), 16);
    }
}
