//! How alike two paths or flags are: hashed n-grams and their cosine.
//!
//! A text becomes 256 counters. Its last part (the file's name, the flag) gives its 3-, 4- and
//! 5-grams, each directory above one feature of fixed weight, so that a long way to two files does
//! not make them alike. Features are added to a counter with a sign, both from a hash of the feature
//! (feature hashing, Weinberger et al. 2009). Everything is integer arithmetic until the last
//! division: the same on every machine.

use crate::symbols::{Symbol, Symbols};

/// Counters of a text.
const BUCKETS: usize = 256;

/// What a directory counts, where an n-gram counts 1.
const DIRECTORY_WEIGHT: i8 = 2;

/// Texts whose counters are kept, about 17 MB.
const KEPT: usize = 65_536;

/// The counters of one text.
#[derive(Clone)]
pub(crate) struct Embedding {
    counters: [i8; BUCKETS],
    /// Sum of squares.
    square: i32,
}

impl Embedding {
    pub(crate) fn of(text: &str) -> Self {
        let mut counters = [0_i8; BUCKETS];
        let mut add = |hash: u64, weight: i8| {
            let bucket = (hash >> 56) as usize;
            let sign = if hash & 1 == 0 { weight } else { -weight };
            if let Some(counter) = counters.get_mut(bucket) {
                *counter = counter.saturating_add(sign);
            }
        };
        let (directories, name) = text.rsplit_once('/').unwrap_or(("", text));
        let mut depth = 0_u64;
        for directory in directories
            .split('/')
            .filter(|directory| !directory.is_empty())
        {
            depth += 1;
            add(mix(depth, directory.as_bytes()), DIRECTORY_WEIGHT);
        }
        // Marks at both ends let beginnings and endings count for more than the middle.
        let mut marked = [0_u8; 130];
        let name = name
            .as_bytes()
            .get(..name.len().min(128))
            .unwrap_or_default();
        if let Some(inside) = marked.get_mut(1..=name.len()) {
            inside.copy_from_slice(name);
        }
        let marked = marked.get(..name.len() + 2).unwrap_or_default();
        for size in [3, 4, 5] {
            for gram in marked.windows(size) {
                add(mix(0x1000 + size as u64, gram), 1);
            }
        }
        let square = counters
            .iter()
            .map(|&counter| i32::from(counter).pow(2))
            .sum();
        Self { counters, square }
    }

    /// Cosine of the angle, 0 (nothing in common) to 1.
    pub(crate) fn similarity(&self, other: &Self) -> f32 {
        let product: i32 = self
            .counters
            .iter()
            .zip(&other.counters)
            .map(|(&a, &b)| i32::from(a) * i32::from(b))
            .sum();
        let squares = f64::from(self.square) * f64::from(other.square);
        if product <= 0 || squares <= 0.0 {
            return 0.0;
        }
        (f64::from(product) / squares.sqrt()) as f32
    }
}

/// Similarity of two texts as a profile sees it, 0 to 1; both in their comparable form.
pub fn similarity(a: &str, b: &str) -> f32 {
    if a == b {
        return 1.0;
    }
    Embedding::of(a).similarity(&Embedding::of(b))
}

fn mix(seed: u64, bytes: &[u8]) -> u64 {
    // FNV-1a with a final stir: short inputs, and the same on every machine.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// Counters of texts that were compared lately.
#[derive(Default)]
pub(crate) struct Embeddings {
    /// By number of the text: where its counters are, plus one; zero when nowhere.
    places: Vec<u32>,
    kept: Vec<Embedding>,
}

impl Embeddings {
    /// Similarity of `text` to the text `symbol`.
    pub(crate) fn similarity(
        &mut self,
        text: &Embedding,
        symbol: Symbol,
        symbols: &Symbols,
    ) -> f32 {
        let number = symbol.0 as usize;
        let place = self.places.get(number).copied().unwrap_or(0) as usize;
        if let Some(known) = place.checked_sub(1).and_then(|at| self.kept.get(at)) {
            return text.similarity(known);
        }
        if self.kept.len() >= KEPT {
            self.clear();
        }
        let other = Embedding::of(symbols.text(symbol));
        let similarity = text.similarity(&other);
        self.kept.push(other);
        if self.places.len() <= number {
            self.places.resize(symbols.len().max(number + 1), 0);
        }
        if let Some(place) = self.places.get_mut(number) {
            *place = self.kept.len() as u32;
        }
        similarity
    }

    /// Forgets everything: room is needed, or numbers of texts have changed.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.kept.clear();
    }

    /// Approximate memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Embedding>() + self.places.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_name_of_the_same_is_nearer_than_another_thing() {
        let same = similarity("/tmp/pip-build-env-kqzvxwpt", "/tmp/pip-build-env-mmabrtuv");
        let other = similarity("/etc/passwd", "/etc/shadow");
        assert!(same > other + 0.2, "{same} {other}");
        assert!((similarity("/a/b", "/a/b") - 1.0).abs() < f32::EPSILON);
    }

    proptest! {
        #[test]
        fn similarity_is_symmetric_and_bounded(a in any::<String>(), b in any::<String>()) {
            let similarity_ab = similarity(&a, &b);
            prop_assert_eq!(similarity_ab.to_bits(), similarity(&b, &a).to_bits());
            prop_assert!((0.0..=1.000_1).contains(&similarity_ab));
        }
    }
}
