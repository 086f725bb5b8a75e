//! Texts that many nodes share, each kept once and named by a number.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;

/// Number of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(pub(crate) u32);

/// Letters that are allocated together; a text is never longer.
const CHUNK: usize = 1 << 16;

const EMPTY: u32 = u32::MAX;

/// The texts of all profiles.
#[derive(Default)]
pub(crate) struct Symbols {
    places: Vec<Place>,
    hashes: Vec<u32>,
    /// Open addressing; a power of two long.
    index: Vec<u32>,
    /// Each [`CHUNK`] bytes of capacity, filled one after the other.
    chunks: Vec<String>,
}

/// Where the letters of a text are.
#[derive(Clone, Copy)]
struct Place {
    chunk: u32,
    start: u16,
    length: u16,
}

impl Symbols {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.len() * (CHUNK + size_of::<String>())
            + self.places.capacity() * size_of::<Place>()
            + (self.hashes.capacity() + self.index.capacity()) * size_of::<u32>()
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        let place = self.places.get(symbol.0 as usize);
        place
            .and_then(|place| {
                let start = usize::from(place.start);
                let chunk = self.chunks.get(place.chunk as usize)?;
                chunk.get(start..start + usize::from(place.length))
            })
            .unwrap_or("")
    }

    /// The number of `text`, if it has one.
    #[inline]
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        if self.index.is_empty() {
            return None;
        }
        let hash = hash(text);
        let mask = self.index.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let number = *self.index.get(slot)?;
            if number == EMPTY {
                return None;
            }
            if self.hashes.get(number as usize) == Some(&hash) && self.text(Symbol(number)) == text
            {
                return Some(Symbol(number));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The number of `text`, given now if it has none.
    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.find(text) {
            return symbol;
        }
        if (self.places.len() + 1) * 4 > self.index.len() * 3 {
            self.grow();
        }
        let symbol = Symbol(u32::try_from(self.places.len()).unwrap_or(EMPTY - 1));
        let hash = hash(text);
        // Doubling would waste up to half of what millions of texts need.
        if self.places.len() == self.places.capacity() {
            let more = self.places.len() / 8 + 64;
            self.places.reserve_exact(more);
            self.hashes.reserve_exact(more);
        }
        let place = self.write(text);
        self.places.push(place);
        self.hashes.push(hash);
        put(&mut self.index, hash, symbol.0);
        symbol
    }

    fn write(&mut self, text: &str) -> Place {
        debug_assert!(text.len() < CHUNK, "texts of nodes are short");
        let has_room = |chunk: &String| chunk.len() + text.len() < CHUNK;
        if !self.chunks.last().is_some_and(has_room) {
            self.chunks.push(String::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        let letters = &mut self.chunks[chunk];
        let start = letters.len();
        letters.push_str(text);
        Place {
            chunk: chunk as u32,
            start: start as u16,
            length: text.len() as u16,
        }
    }

    fn grow(&mut self) {
        let size = (self.index.len() * 2).max(64);
        self.index = vec![EMPTY; size];
        for (number, hash) in (0_u32..).zip(&self.hashes) {
            put(&mut self.index, *hash, number);
        }
    }
}

#[inline]
fn hash(text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

fn put(index: &mut [u32], hash: u32, number: u32) {
    let mask = index.len() - 1;
    let mut slot = hash as usize & mask;
    while let Some(place) = index.get_mut(slot) {
        if *place == EMPTY {
            *place = number;
            return;
        }
        slot = (slot + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number() {
        let mut symbols = Symbols::default();
        let numbers: Vec<Symbol> = (0..5_000)
            .map(|n| symbols.intern(&format!("/a/{n}")))
            .collect();
        for (n, symbol) in numbers.iter().enumerate() {
            let text = format!("/a/{n}");
            assert_eq!(symbols.find(&text), Some(*symbol));
            assert_eq!(symbols.intern(&text), *symbol);
            assert_eq!(symbols.text(*symbol), text);
        }
        assert_eq!(symbols.find("/b"), None);
        assert_eq!(symbols.len(), 5_000);
    }
}
