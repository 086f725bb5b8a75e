//! Any bytes as a file of the driver `json-file`: decoding never panics, agrees with the way that takes
//! any JSON, and joining keeps its bounds and every byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::Timestamp;
use qw_log::{
    Multiline,
    join::{Joiner, Options},
    json_file::Decoder,
};

const BOUND: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut other) = (Decoder::new(), Decoder::new());
    let multiline = Multiline::parse("auto").expect("a known rule");
    let mut joiner = Joiner::new(Options {
        max_record_bytes: BOUND,
        max_record_lines: 4,
        multiline,
        ..Options::default()
    });
    let (mut read, mut handed_on) = (0, 0);
    let mut emit = |record: qw_log::join::Record<'_>| {
        assert!(record.text.len() <= BOUND && record.lines <= 4);
        handed_on += record.text.len() + 1 - record.lines as usize;
    };
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let found = decoder.decode(line);
        if line.starts_with(b"{") && std::str::from_utf8(line).is_ok() {
            // A space in front makes it go the slow way.
            let spaced = [b" ", line].concat();
            match (found, other.decode(&spaced)) {
                (Ok(fast), Ok(slow)) => {
                    assert_eq!((fast.text, fast.ends_line), (slow.text, slow.ends_line));
                    assert_eq!(
                        (fast.time, fast.stream, fast.attrs),
                        (slow.time, slow.stream, slow.attrs)
                    );
                }
                (fast, slow) => assert_eq!(fast.err(), slow.err()),
            }
        }
        let Ok(entry) = decoder.decode(line) else {
            continue;
        };
        read += entry.text.len();
        let at = number as u64;
        joiner.push(&entry, at..at + 1, Timestamp::EPOCH, &mut emit);
    }
    joiner.finish(&mut emit);
    // Between the pieces of a line nothing is added.
    assert_eq!(read, handed_on);
});
