//! Which three letters or digits stand together somewhere in a row group: what a search for a part
//! of a word is answered by when the part is not there.
//!
//! One bit for each of 36³ combinations, regardless of case. Those of digits alone say nothing,
//! because nearly every row group has them all.

/// Combinations of three letters or digits.
const COMBINATIONS: usize = 36 * 36 * 36;

/// Bytes of a set in a file.
pub(super) const TRIGRAM_BYTES: usize = COMBINATIONS.div_ceil(64) * 8;

/// Value of a byte that is no ASCII letter or digit.
const NONE: u8 = u8::MAX;

const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 10 {
        table[b'0' as usize + value] = value as u8;
        value += 1;
    }
    let mut letter = 0;
    while letter < 26 {
        table[b'a' as usize + letter] = 10 + letter as u8;
        table[b'A' as usize + letter] = 10 + letter as u8;
        letter += 1;
    }
    table
};

/// The trigrams of a row group.
#[derive(Debug, Clone)]
pub(super) struct Trigrams {
    bits: Box<[u64]>,
}

impl Trigrams {
    /// No trigrams.
    pub(super) fn new() -> Self {
        let bits = vec![0; TRIGRAM_BYTES / 8].into();
        Self { bits }
    }

    /// Enters those of `text`.
    pub(super) fn insert(&mut self, text: &[u8]) {
        for_each(text, |trigram| {
            self.bits[usize::from(trigram) / 64] |= 1 << (trigram % 64);
        });
    }

    /// Enters all there are, for a text whose trigrams cannot be told.
    pub(super) fn insert_all(&mut self) {
        self.bits.fill(u64::MAX);
    }

    /// As stored: little-endian.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.bits
            .iter()
            .flat_map(|bits| bits.to_le_bytes())
            .collect()
    }
}

/// True when a set stored as `bytes` has `trigram`, or is too short to tell.
pub(super) fn has(bytes: &[u8], trigram: u16) -> bool {
    bytes
        .get(usize::from(trigram / 8))
        .is_none_or(|byte| byte >> (trigram % 8) & 1 == 1)
}

/// The trigrams of `part` that say something; every text that contains `part`, whatever its case,
/// has them.
pub(super) fn of_part(part: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for_each(part.as_bytes(), |trigram| {
        if !is_of_digits(trigram) {
            found.push(trigram);
        }
    });
    found.sort_unstable();
    found.dedup();
    found
}

fn is_of_digits(trigram: u16) -> bool {
    trigram / (36 * 36) < 10 && trigram / 36 % 36 < 10 && trigram % 36 < 10
}

fn for_each(text: &[u8], mut visit: impl FnMut(u16)) {
    let (mut length, mut trigram) = (0, 0);
    for byte in text {
        let value = VALUES[usize::from(*byte)];
        if value == NONE {
            length = 0;
            continue;
        }
        trigram = trigram % (36 * 36) * 36 + u32::from(value);
        length += 1;
        if length >= 3 {
            visit(trigram as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_alone_say_nothing() {
        let check =
            |part: &str, expected: usize| assert_eq!(of_part(part).len(), expected, "{part}");
        check("", 0);
        check("ab", 0);
        check("abc", 1);
        check("ABCabc", 3);
        check("aaaaaa", 1);
        check("ab/cd", 0);
        check("abc/def", 2);
        check("12345", 0);
        check("12a", 1);
        check("zzz", 1);
    }

    #[test]
    fn last_combination_has_its_bit() {
        let mut set = Trigrams::new();
        assert!(!has(&set.to_bytes(), of_part("zzz")[0]));
        set.insert(b"zzz");
        assert!(has(&set.to_bytes(), of_part("ZZZ")[0]));
        assert!(!has(&set.to_bytes(), of_part("zzy")[0]));
        set.insert_all();
        assert!(has(&set.to_bytes(), of_part("zzy")[0]));
        assert_eq!(set.to_bytes().len(), TRIGRAM_BYTES);
    }

    proptest! {
        #[test]
        fn every_part_of_a_text_is_found(text in "[ -~]{0,40}", from in 0_usize..40, to in 0_usize..40) {
            let mut set = Trigrams::new();
            set.insert(text.as_bytes());
            let bytes = set.to_bytes();
            let part = text.get(from.min(to)..from.max(to)).unwrap_or("").to_lowercase();
            for trigram in of_part(&part) {
                prop_assert!(has(&bytes, trigram));
            }
        }
    }
}
