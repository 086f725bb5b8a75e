//! Any file: reading a configuration gives one or says what is wrong, and never panics; what is read
//! has a text form that reads back the same.
#![no_main]
#![allow(dead_code, reason = "the target uses a part of the binary's modules")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/quaywatch/src/config.rs"]
mod config;
#[path = "../../crates/quaywatch/src/units.rs"]
mod units;

fuzz_target!(|text: &str| {
    if let Ok(read) = config::from_yaml(text, "fuzz") {
        let again = config::to_yaml(&read).expect("a configuration has a text form");
        assert_eq!(config::from_yaml(&again, "fuzz").expect("it reads back"), read, "{again}");
    }
});
