//! Any bytes as the journal's export: decoding never panics, and does not depend on how they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_log::journal::{JournalDecoder, JournalEntry, NotExport};

fn decode(bytes: &[u8], piece: usize) -> Vec<Result<JournalEntry, NotExport>> {
    let mut decoder = JournalDecoder::new(64);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece, &mut |entry| found.push(entry));
    }
    found
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(bytes, bytes.len().max(1)), decode(bytes, 3));
});
