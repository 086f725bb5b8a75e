//! Numbers that look random and follow from a seed.

/// A splitmix64 generator.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// A stream of its own for every list of keys.
    pub(super) fn of(keys: &[u64]) -> Self {
        let mut random = Self { state: 0 };
        for key in keys {
            random.state ^= *key;
            random.state = random.number();
        }
        random
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; zero when there is none.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.number()) * limit as u128) >> 64) as usize
    }

    /// A number from 0 up to, not including, 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of `items`; `None` when there are none.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// A number that follows from a text (FNV-1a).
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `digits` hexadecimal digits that follow from `name`.
pub(super) fn hexadecimal(name: &str, digits: usize) -> String {
    let mut random = Random::of(&[hash(name)]);
    let mut text = String::with_capacity(digits + 16);
    while text.len() < digits {
        text.push_str(&format!("{:016x}", random.number()));
    }
    text.truncate(digits);
    text
}

/// `letters` letters that follow from `name`, of those that Kubernetes ends the names of pods with.
pub(super) fn drawn(name: &str, letters: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = Random::of(&[hash(name)]);
    let drawn = (0..letters).filter_map(|_| random.pick(LETTERS));
    drawn.map(|letter| char::from(*letter)).collect()
}
