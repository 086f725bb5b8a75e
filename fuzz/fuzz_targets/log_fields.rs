//! Any text as a line: finding its fields and its severity never panics, and each field is found by its name.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use qw_log::{fields, severity};

fuzz_target!(|line: &str| {
    let mut names = Vec::new();
    let mut count = 0;
    fields::for_each_field(line, &mut |name, value| {
        count += 1;
        if names.len() < 8 {
            names.push((name.to_owned(), value.text.to_owned()));
        }
        ControlFlow::Continue(())
    });
    assert!(count <= 1000);
    for (number, (name, text)) in names.iter().enumerate() {
        let is_first = !names[..number].iter().any(|(earlier, _)| earlier == name);
        if is_first {
            let found = fields::find(line, name).expect("a field that was visited");
            assert_eq!(found.text, *text);
        }
    }
    let _severity = severity::detect(line.as_bytes());
});
