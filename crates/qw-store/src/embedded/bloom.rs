//! Words of events → a bloom filter per thousand rows, and the question whether a word may occur.
//!
//! A filter is an array of 256-bit blocks. A word's hash picks one block and one bit in each of its
//! eight 32-bit lanes, so a lookup reads 32 bytes. The array starts large and is folded as far as
//! the estimated rate of false answers allows, so nobody has to count words beforehand. Hash, salts
//! and folding are part of the file format (`docs/design/store.md`).

use qw_event::{Event, RecordKind};

use crate::{
    embedded::trigrams::Trigrams,
    query::{MAX_TOKEN_BYTES, event_tokens, fold, for_each_line_text, tokens, values_are_words},
};

/// Bytes of one block.
pub(super) const BLOCK_BYTES: usize = 32;

/// Rows that one filter speaks for.
pub(super) const BLOOM_ROWS: usize = 1024;

const LANES: usize = 8;
/// Has many divisors, each of which is a way to fold.
const START_BLOCKS: usize = 1440;
const MIN_BLOCKS: usize = 4;
const FALSE_POSITIVES: f64 = 0.001;
/// Words entered last, by a part of their hash; most words of an event were in the one before.
const RECENT: usize = 1024;
/// Numbers of at least this many digits, such as times in nanoseconds, are left out: nearly every
/// event has its own, and hardly anyone looks for them.
const LONG_NUMBER: usize = 9;
/// Bytes of the longest character; tokens are cut between characters.
const MAX_CHARACTER: usize = 4;
const SALTS: [u32; LANES] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// What a word stands for; keeps an exact value apart from a word of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The container's id or name as a whole.
    Container = 1,
    /// The rule's name as a whole.
    Rule = 2,
}

/// A bloom filter being filled, and with it the trigrams of what is entered.
pub(super) struct BloomBuilder<'a> {
    blocks: Vec<[u32; LANES]>,
    recent: Vec<u64>,
    seen: rustc_hash::FxHashSet<(usize, usize)>,
    trigrams: &'a mut Trigrams,
}

impl<'a> BloomBuilder<'a> {
    pub(super) fn new(trigrams: &'a mut Trigrams) -> Self {
        Self {
            blocks: vec![[0; LANES]; START_BLOCKS],
            recent: vec![0; RECENT],
            seen: rustc_hash::FxHashSet::default(),
            trigrams,
        }
    }

    /// Enters everything of `event` that a query can look for by word.
    ///
    /// All events given to one builder must outlive it: texts they share are recognised by address.
    pub(super) fn insert_event(&mut self, event: &Event) {
        self.insert_words(&event.output);
        if event.kind == RecordKind::Log && !values_are_words(&event.output) {
            for_each_line_text(&event.output, &mut |text| self.insert_words(text));
        }
        self.insert_fields(event);
        let container = &event.container;
        for (kind, text) in [
            (Kind::Rule, &event.rule),
            (Kind::Container, &container.id),
            (Kind::Container, &container.name),
        ] {
            if self.first_time(text) {
                self.insert_words(text);
                self.insert(hash_of(kind, text));
            }
        }
        for text in [
            &event.source,
            &event.hostname,
            &event.process_name,
            &container.image,
            &container.image_repository,
            &container.image_tag,
            &container.image_digest,
            &container.compose_project,
            &container.compose_service,
            &container.k8s_namespace,
            &container.k8s_pod,
        ] {
            if self.first_time(text) {
                self.insert_words(text);
            }
        }
        for tag in event.tags.iter() {
            if self.first_time(tag) {
                self.insert_words(tag);
            }
        }
        self.insert_words(event.priority.as_str());
        self.insert_words(event.category.as_str());
    }

    fn first_time(&mut self, text: &str) -> bool {
        !text.is_empty() && self.seen.insert((text.as_ptr() as usize, text.len()))
    }

    fn insert_words(&mut self, text: &str) {
        if text.is_ascii() {
            let bytes = text.as_bytes();
            for_each_run(bytes, |start, end| self.insert_run(bytes, start, end));
        } else {
            self.trigrams.insert(fold(text).as_bytes());
            for_each_word(text, |hash| {
                self.insert(hash);
            });
        }
    }

    /// Values of a JSON object. Without escapes and exponents its text holds all their words.
    fn insert_fields(&mut self, event: &Event) {
        let json = event.output_fields.get();
        let mut plain = json.is_ascii() && memchr::memchr(b'\\', json.as_bytes()).is_none();
        if json.is_ascii() {
            let bytes = json.as_bytes();
            for_each_run(bytes, |start, end| {
                plain &= !is_exponent(&bytes[start..cut(start, end)]);
                self.insert_run(bytes, start, end);
            });
        } else {
            self.insert_words(json);
        }
        if !plain {
            event_tokens(event, &mut |token| {
                if token.len() + MAX_CHARACTER > MAX_TOKEN_BYTES {
                    // It may have been cut, and what was cut off is not known here.
                    self.trigrams.insert_all();
                }
                self.trigrams.insert(token.as_bytes());
                if let Some(hash) = hash_of_word(token) {
                    self.insert(hash);
                }
            });
        }
    }

    /// Enters the token that `bytes[start..end]`, a whole run, begins with.
    fn insert_run(&mut self, bytes: &[u8], start: usize, end: usize) {
        let cut = cut(start, end);
        // Trigrams of a long number are digits alone, which nobody asks for.
        if !is_long_number(&bytes[start..cut]) {
            let is_new = self.insert(mix(hash_within(bytes, start, cut)));
            if is_new || cut < end {
                self.trigrams.insert(&bytes[start..end]);
            }
        } else if cut < end {
            self.trigrams.insert(&bytes[start..end]);
        }
    }

    /// False when `hash` was entered lately.
    fn insert(&mut self, hash: u64) -> bool {
        let recent = &mut self.recent[hash as usize % RECENT];
        if *recent == hash {
            return false;
        }
        *recent = hash;
        let index = block_index(hash, START_BLOCKS);
        for (lane, bit) in self.blocks[index].iter_mut().zip(lane_bits(hash)) {
            *lane |= bit;
        }
        true
    }

    /// The filter's bytes, folded as far as it stays selective.
    pub(super) fn finish(self) -> Vec<u8> {
        let bits = (START_BLOCKS * LANES * 32) as f64;
        let ones: u32 = self
            .blocks
            .iter()
            .flatten()
            .map(|lane| lane.count_ones())
            .sum();
        let zeros = 1.0 - f64::from(ones) / bits;
        // Blocks fill unevenly, which makes the rate half again what even ones would have.
        let rate = |fold: usize| 1.5 * (1.0 - zeros.powi(fold as i32)).powi(LANES as i32);
        let fold = (1..=START_BLOCKS / MIN_BLOCKS)
            .filter(|fold| START_BLOCKS.is_multiple_of(*fold) && rate(*fold) <= FALSE_POSITIVES)
            .max()
            .unwrap_or(1);
        self.blocks
            .chunks_exact(fold)
            .flat_map(|blocks| -> [u32; LANES] {
                std::array::from_fn(|lane| blocks.iter().fold(0, |all, block| all | block[lane]))
            })
            .flat_map(u32::to_le_bytes)
            .collect()
    }
}

/// Which of `blocks` blocks decides about `hash`.
pub(super) fn block_index(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// True when `block`, the one that [`block_index`] names, may have been given `hash`.
pub(super) fn block_contains(block: &[u8; BLOCK_BYTES], hash: u64) -> bool {
    block
        .chunks_exact(4)
        .zip(lane_bits(hash))
        .all(|(bytes, bit)| {
            <[u8; 4]>::try_from(bytes).is_ok_and(|bytes| u32::from_le_bytes(bytes) & bit != 0)
        })
}

fn lane_bits(hash: u64) -> [u32; LANES] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// The hash of a whole value, to the letter.
pub(super) fn hash_of(kind: Kind, text: &str) -> u64 {
    let bytes = text.as_bytes();
    mix(hash_bytes(bytes, 0, bytes.len(), 0) ^ (kind as u64).wrapping_mul(MULTIPLIER))
}

/// The hash of a token; `None` for one that filters leave out.
pub(super) fn hash_of_word(token: &str) -> Option<u64> {
    let bytes = token.as_bytes();
    (!is_long_number(bytes)).then(|| mix(hash_within(bytes, 0, bytes.len())))
}

/// Calls `visit` with the hash of every token of `text`, as [`tokens`] cuts it, but long numbers.
fn for_each_word(text: &str, mut visit: impl FnMut(u64)) {
    if text.is_ascii() {
        let bytes = text.as_bytes();
        for_each_run(bytes, |start, end| {
            let end = cut(start, end);
            if !is_long_number(&bytes[start..end]) {
                visit(mix(hash_within(bytes, start, end)));
            }
        });
    } else {
        tokens(text)
            .filter_map(|token| hash_of_word(&token))
            .for_each(visit);
    }
}

/// Calls `visit` with start and end of every run of ASCII letters and digits.
fn for_each_run(bytes: &[u8], mut visit: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < bytes.len() {
        if !ALPHANUMERIC[usize::from(bytes[at])] {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && ALPHANUMERIC[usize::from(bytes[at])] {
            at += 1;
        }
        visit(start, at);
    }
}

/// Where the token that a run begins with ends.
fn cut(start: usize, end: usize) -> usize {
    end.min(start + MAX_TOKEN_BYTES)
}

fn is_long_number(run: &[u8]) -> bool {
    run.len() >= LONG_NUMBER && run.iter().all(u8::is_ascii_digit)
}

/// True for what can be the end of a number with an exponent, such as `43e2` or `4e`.
fn is_exponent(run: &[u8]) -> bool {
    run[0].is_ascii_digit()
        && run.iter().any(|byte| matches!(byte, b'e' | b'E'))
        && run.iter().filter(|byte| !byte.is_ascii_digit()).count() == 1
}

const ALPHANUMERIC: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Sets the bit that tells an upper-case ASCII letter from its lower-case form; digits have it.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Hash of the token `bytes[start..end]` regardless of ASCII case.
fn hash_within(bytes: &[u8], start: usize, end: usize) -> u64 {
    hash_bytes(bytes, start, end, LOWER)
}

fn hash_bytes(bytes: &[u8], start: usize, end: usize, or: u64) -> u64 {
    let mut hash = ((end - start) as u64).wrapping_mul(MULTIPLIER);
    let mut at = start;
    while at < end {
        let chunk = load(bytes, at, (end - at).min(8));
        hash = (hash ^ (chunk | or)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 29;
        at += 8;
    }
    hash
}

/// The `length` bytes from `at` on, little-endian, zeros above; reads eight at once where it can.
fn load(bytes: &[u8], at: usize, length: usize) -> u64 {
    match bytes
        .get(at..at + 8)
        .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
    {
        Some(eight) => u64::from_le_bytes(eight) & (u64::MAX >> (64 - 8 * length)),
        None => bytes[at..at + length]
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    }
}

fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::embedded::trigrams;

    fn words(text: &str) -> Vec<u64> {
        let mut words = Vec::new();
        for_each_word(text, |hash| words.push(hash));
        words
    }

    fn contains(filter: &[u8], hash: u64) -> bool {
        let at = block_index(hash, filter.len() / BLOCK_BYTES) * BLOCK_BYTES;
        block_contains(filter[at..at + BLOCK_BYTES].try_into().unwrap(), hash)
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<_> = expected
                .iter()
                .filter_map(|word| hash_of_word(word))
                .collect();
            assert_eq!(words(text), expected, "{text}");
        };
        check(
            "Shell spawned (user=root)",
            &["shell", "spawned", "user", "root"],
        );
        check("/usr/bin/bash-5.1", &["usr", "bin", "bash", "5", "1"]);
        check("Größe É", &["größe", "é"]);
        check("--", &[]);
        check("at 09:00:00.123456789", &["at", "09", "00", "00"]);
        check("a123456789", &["a123456789"]);
    }

    #[test]
    fn kinds_are_kept_apart() {
        let (container, rule) = (hash_of(Kind::Container, "web"), hash_of(Kind::Rule, "web"));
        let word = hash_of_word("web").unwrap();
        assert!(container != rule && rule != word && word != container);
    }

    #[test]
    fn folding_keeps_false_answers_rare() {
        let mut trigrams = Trigrams::new();
        let mut builder = BloomBuilder::new(&mut trigrams);
        for number in 0..6_000 {
            builder.insert_words(&format!("word{number}"));
        }
        let filter = builder.finish();
        assert!(filter.len() < 6_000 * 3, "{} bytes", filter.len());
        let wrong = (0..20_000)
            .filter_map(|number| hash_of_word(&format!("other{number}")))
            .filter(|hash| contains(&filter, *hash))
            .count();
        assert!(wrong < 20_000 / 400, "{wrong} false answers");
        let empty = BloomBuilder::new(&mut trigrams).finish();
        assert_eq!(empty.len(), MIN_BLOCKS * BLOCK_BYTES);
    }

    /// The filter holds every token that the query language may ask it for.
    #[test]
    fn every_token_of_an_event_is_found() {
        let mut sampler = crate::conformance::Sampler::new(5);
        let mut event = sampler.event(qw_event::Timestamp::EPOCH);
        let fields = [
            r#"{"a":"x\u0079z\n\\tab","b":4.43e2,"c":[1,"Two",null,{"d":true}],"e":-1.50E+3}"#,
            r#"{"größe":"Ärger İ","f.name":"/usr/bin/Zsh","long":123456789012,"hex":"12e4"}"#,
            "{}",
        ];
        for fields in fields {
            event.output_fields =
                serde_json::value::RawValue::from_string(fields.to_owned()).unwrap();
            let mut trigrams = Trigrams::new();
            let mut builder = BloomBuilder::new(&mut trigrams);
            builder.insert_event(&event);
            let filter = builder.finish();
            let set = trigrams.to_bytes();
            event_tokens(&event, &mut |token| {
                if let Some(hash) = hash_of_word(token) {
                    assert!(contains(&filter, hash), "`{token}` of {fields}");
                }
                for trigram in trigrams::of_part(token) {
                    assert!(
                        trigrams::has(&set, trigram),
                        "part of `{token}` of {fields}"
                    );
                }
            });
        }
    }

    proptest! {
        #[test]
        fn every_word_entered_is_found(texts in prop::collection::vec(any::<String>(), 0..50)) {
            let mut trigrams = Trigrams::new();
            let mut builder = BloomBuilder::new(&mut trigrams);
            for text in &texts {
                builder.insert_words(text);
            }
            let filter = builder.finish();
            let set = trigrams.to_bytes();
            for text in &texts {
                for hash in words(text) {
                    prop_assert!(contains(&filter, hash));
                }
                for trigram in trigrams::of_part(&fold(text)) {
                    prop_assert!(trigrams::has(&set, trigram));
                }
            }
        }

        #[test]
        fn lower_case_text_has_the_same_words(text in "[ -~]{0,60}") {
            prop_assert_eq!(words(&text), words(&text.to_lowercase()));
        }
    }
}
