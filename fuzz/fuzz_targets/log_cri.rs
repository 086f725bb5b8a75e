//! Any bytes as a line of a container runtime: parsing never panics, and the text is the end of the line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = qw_log::cri::parse(bytes) {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        assert!(line.ends_with(entry.text));
        assert!(bytes[..entry.skipped].iter().all(|byte| *byte == 0));
    }
});
