use proptest::prelude::*;

use super::*;

/// `text` of the severity, or `-`; then the line. Every line is one that some program writes.
const LINES: &str = include_str!("../../test_data/severity.txt");

#[test]
fn lines_of_many_programs_are_told() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in LINES.lines().filter(|case| !case.is_empty()) {
        let (expected, line) = case.split_once(' ').unwrap();
        let line = line.replace("\\t", "\t").replace("\\e", "\u{1b}");
        let found = match detect(line.as_bytes()) {
            None => "-".to_owned(),
            Some(severity) => format!("{severity:?}").to_uppercase(),
        };
        if found != expected {
            wrong.push(format!("{found} instead of {expected}: {line}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 120, "{count} lines");
}

#[test]
fn names_and_numbers_agree() {
    assert_eq!(Severity::Notice.text(), "INFO");
    assert_eq!(Severity::Emergency.text(), "FATAL");
    for number in 0..8 {
        let severity = Severity::from_syslog(number).unwrap();
        assert_eq!(severity.priority().as_number(), number);
    }
    assert_eq!(Severity::Trace.priority(), Priority::Debug);
}

#[test]
fn only_the_beginning_is_looked_at() {
    let far = format!(
        "{{\"message\":\"{}\",\"level\":\"error\"}}",
        "x".repeat(3000)
    );
    assert_eq!(detect(far.as_bytes()), None);
    let near = format!(
        "{{\"message\":\"{}\",\"level\":\"error\"}}",
        "x".repeat(1000)
    );
    assert_eq!(detect(near.as_bytes()), Some(Severity::Error));
}

proptest! {
    #[test]
    fn sentences_have_none(sentence in "[A-Z]?[a-z]{1,8}( [a-z]{1,8}){1,12}[.!]?") {
        prop_assert_eq!(detect(sentence.as_bytes()), None);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _severity = detect(&bytes);
    }

    #[test]
    fn no_json_like_text_makes_it_panic(text in "[{<\\[]([\"\\\\:,{}\\[\\]<>|=a-e0-9 ]|level|log|ERROR){0,40}") {
        let _severity = detect(text.as_bytes());
    }
}
