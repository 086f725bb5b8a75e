use proptest::prelude::*;

use super::*;

/// A record as a line of text: `stream span lines reason[+] "text"`.
fn show(record: &Record<'_>) -> String {
    format!(
        "{} {}..{} {}{} {:?}{} {:?}",
        record.stream.as_str(),
        record.span.start,
        record.span.end,
        record.lines,
        if record.continues { "+" } else { "" },
        record.ended_by,
        record.attrs.unwrap_or_default(),
        String::from_utf8_lossy(record.text)
    )
}

struct Run {
    joiner: Joiner,
    at: u64,
    found: Vec<String>,
}

impl Run {
    fn new(options: Options) -> Self {
        Self {
            joiner: Joiner::new(options),
            at: 0,
            found: Vec::new(),
        }
    }

    /// `o:` standard output, `e:` standard error; a text that ends in `…` is a piece. Each takes 10.
    fn push(&mut self, now: i64, entries: &[&str]) {
        for entry in entries {
            let (stream, text) = match entry.split_at(2) {
                ("e:", text) => (Stream::Stderr, text),
                (_, text) => (Stream::Stdout, text),
            };
            let entry = Entry {
                time: Timestamp::from_seconds(self.at as i64),
                stream,
                text: text.strip_suffix('…').unwrap_or(text).as_bytes(),
                ends_line: !text.ends_with('…'),
                attrs: None,
                skipped: 0,
            };
            let span = self.at..self.at + 10;
            self.at += 10;
            let found = &mut self.found;
            let now = Timestamp::from_seconds(now);
            self.joiner
                .push(&entry, span, now, &mut |record| found.push(show(&record)));
        }
    }

    fn flush(&mut self, now: i64) {
        let found = &mut self.found;
        let now = Timestamp::from_seconds(now);
        self.joiner
            .flush(now, &mut |record| found.push(show(&record)));
    }

    fn finish(&mut self) {
        let found = &mut self.found;
        self.joiner.finish(&mut |record| found.push(show(&record)));
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.found), expected);
    }
}

fn multiline(rule: &str) -> Options {
    Options {
        multiline: Multiline::parse(rule).unwrap(),
        ..Options::default()
    }
}

#[test]
fn pieces_are_joined_per_stream() {
    let mut run = Run::new(Options::default());
    run.push(0, &["o:a…", "e:x…", "o:b…", "e:whole y", "o:", "o:next"]);
    run.expect(&[
        r#"stderr 10..40 1 Line "xwhole y""#,
        r#"stdout 0..50 1 Line "ab""#,
        r#"stdout 50..60 1 Line "next""#,
    ]);
    assert_eq!(run.joiner.oldest_pending(), None);
    assert_eq!(run.joiner.resume(60), Resume::at(60));
}

#[test]
fn positions_say_where_unfinished_records_begin() {
    let mut run = Run::new(Options::default());
    run.push(0, &["o:whole", "e:x…", "o:a…", "o:b…"]);
    assert_eq!(run.joiner.oldest_pending(), Some(10));
    let resume = run.joiner.resume(40);
    assert_eq!((resume.stdout, resume.stderr, resume.start()), (20, 10, 10));
    assert!(resume.wants(Stream::Stderr, 10) && !resume.wants(Stream::Stdout, 10));
    assert_eq!(run.joiner.pending_bytes(), 3);
}

#[test]
fn the_bound_cuts_at_entries_and_says_so() {
    let options = Options {
        max_record_bytes: 8,
        ..Options::default()
    };
    let mut run = Run::new(options);
    run.push(0, &["o:12345…", "o:678…", "o:9…", "o:0", "o:new"]);
    run.expect(&[
        r#"stdout 0..20 1 Size "12345678""#,
        r#"stdout 20..40 1+ Line "90""#,
        r#"stdout 40..50 1 Line "new""#,
    ]);
    run.push(0, &["o:0123456789abcdefgh", "o:1234567é", "o:x"]);
    run.expect(&[
        r#"stdout 50..50 1 Size "01234567""#,
        r#"stdout 50..50 1+ Size "89abcdef""#,
        r#"stdout 50..60 1+ Line "gh""#,
        r#"stdout 60..60 1 Size "1234567""#,
        r#"stdout 60..70 1+ Line "é""#,
        r#"stdout 70..80 1 Line "x""#,
    ]);
    run.push(0, &["o:12345678…", "o:"]);
    run.expect(&[r#"stdout 80..100 1 Line "12345678""#]);
}

#[test]
fn time_ends_what_waits() {
    let mut run = Run::new(Options::default());
    run.push(0, &["o:prompt…"]);
    assert_eq!(run.joiner.next_flush(), Some(Timestamp::from_seconds(5)));
    run.flush(4);
    run.expect(&[]);
    run.flush(5);
    run.expect(&[r#"stdout 0..10 1 Time "prompt""#]);
    assert_eq!(run.joiner.next_flush(), None);
    run.push(6, &["o: rest", "o:other"]);
    run.expect(&[
        r#"stdout 10..20 1+ Line " rest""#,
        r#"stdout 20..30 1 Line "other""#,
    ]);
}

#[test]
fn a_clock_set_back_does_not_make_it_wait() {
    let mut run = Run::new(Options::default());
    run.push(10_000, &["o:piece…"]);
    run.flush(100);
    run.expect(&[]);
    run.flush(105);
    run.expect(&[r#"stdout 0..10 1 Time "piece""#]);
}

#[test]
fn the_end_hands_on_everything() {
    let mut run = Run::new(multiline("first:^A"));
    run.push(0, &["o:A", "o:more", "o:half…", "e:A2"]);
    run.expect(&[]);
    run.finish();
    run.expect(&[
        r#"stdout 0..20 2 Close "A\nmore""#,
        r#"stdout 20..30 1 Close "half""#,
        r#"stderr 30..40 1 Close "A2""#,
    ]);
    run.push(0, &["o:next"]);
    run.finish();
    run.expect(&[r#"stdout 40..50 1 Close "next""#]);
}

#[test]
fn lines_that_belong_together_are_one_record() {
    let mut run = Run::new(multiline("first:^[A-Z]"));
    run.push(0, &["o:Ab", "o: c", "e: d", "o:…", "o: e", "o:F"]);
    run.expect(&[r#"stdout 0..50 3 Line "Ab\n c\n e""#]);
    assert_eq!(run.joiner.oldest_pending(), Some(20));
    run.flush(1);
    run.expect(&[
        r#"stdout 50..60 1 Time "F""#,
        r#"stderr 20..30 1 Time " d""#,
    ]);
    run.push(2, &["o: late"]);
    run.flush(3);
    run.expect(&[r#"stdout 60..70 1+ Time " late""#]);
}

#[test]
fn groups_wait_for_a_line_under_way() {
    let mut run = Run::new(multiline("next:^ "));
    run.push(0, &["o:a"]);
    run.push(1, &["o: b…"]);
    run.flush(3);
    run.expect(&[]);
    run.push(4, &["o:c"]);
    run.flush(5);
    run.expect(&[r#"stdout 0..30 2 Time "a\n bc""#]);
}

#[test]
fn groups_are_bounded_in_lines_and_bytes() {
    let options = Options {
        max_record_lines: 2,
        ..multiline("next:^ ")
    };
    let mut run = Run::new(options);
    run.push(0, &["o:a", "o: b", "o: c", "o:d"]);
    run.finish();
    run.expect(&[
        r#"stdout 0..20 2 Lines "a\n b""#,
        r#"stdout 20..30 1+ Line " c""#,
        r#"stdout 30..40 1 Close "d""#,
    ]);
    let options = Options {
        max_record_bytes: 6,
        ..multiline("next:^ ")
    };
    let mut run = Run::new(options);
    run.push(0, &["o:abc", "o: d", "o: e", "o:1234567"]);
    run.finish();
    run.expect(&[
        r#"stdout 0..20 2 Size "abc\n d""#,
        r#"stdout 20..30 1+ Line " e""#,
        r#"stdout 30..30 1 Size "123456""#,
        r#"stdout 30..40 1+ Line "7""#,
    ]);
}

#[test]
fn terminals_end_lines_with_two_bytes() {
    let mut run = Run::new(Options {
        strip_carriage_return: true,
        ..Options::default()
    });
    run.push(0, &["o:a\rb\r", "o:c\r…", "o:"]);
    run.expect(&[
        r#"stdout 0..10 1 Line "a\rb""#,
        r#"stdout 10..30 1 Line "c""#,
    ]);
}

#[test]
fn attributes_and_time_are_those_of_the_first_entry() {
    let mut joiner = Joiner::new(Options::default());
    let mut entry = Entry {
        time: Timestamp::from_seconds(1),
        stream: Stream::Stdout,
        text: b"a",
        ends_line: false,
        attrs: Some("{\"tag\":1}"),
        skipped: 0,
    };
    let mut found = Vec::new();
    let mut keep = |record: Record<'_>| {
        found.push((record.time.as_seconds(), record.attrs.map(str::to_owned)));
    };
    joiner.push(&entry, 0..1, Timestamp::EPOCH, &mut keep);
    (entry.time, entry.attrs, entry.ends_line) = (Timestamp::from_seconds(2), None, true);
    joiner.push(&entry, 1..2, Timestamp::EPOCH, &mut keep);
    joiner.push(&entry, 2..3, Timestamp::EPOCH, &mut keep);
    let tag = Some("{\"tag\":1}".to_owned());
    assert_eq!(found, [(1, tag), (2, None)]);
}

/// Entries as a property: stream, text, whether the line ends, seconds until the next.
type Spoken = (bool, String, bool, u8);

fn spoken() -> impl Strategy<Value = Vec<Spoken>> {
    let text = prop_oneof![
        "[a-z]{0,6}",
        Just(" at x".to_owned()),
        Just("E: Error: é".to_owned())
    ];
    proptest::collection::vec((any::<bool>(), text, any::<bool>(), 0_u8..7), 0..40)
}

fn entry_of((is_stderr, text, ends_line, _): &Spoken) -> Entry<'_> {
    Entry {
        time: Timestamp::EPOCH,
        stream: if *is_stderr {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        text: text.as_bytes(),
        ends_line: *ends_line,
        attrs: None,
        skipped: 0,
    }
}

/// All that was written to a stream, line ends included; an end that never came is not added.
fn written(entries: &[Spoken], stream: Stream) -> String {
    let of_stream = entries
        .iter()
        .filter(|spoken| entry_of(spoken).stream == stream);
    let text =
        of_stream.map(|(_, text, ends, _)| format!("{text}{}", if *ends { "\n" } else { "" }));
    text.collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_mixed(
        entries in spoken(),
        rule in prop_oneof![Just("off"), Just("auto"), Just("first:^E"), Just("next:^ ")],
        max_record_bytes in 4_usize..40,
        max_record_lines in 1_u32..6,
    ) {
        let mut joiner = Joiner::new(Options { max_record_bytes, max_record_lines, ..multiline(rule) });
        let mut texts = [String::new(), String::new()];
        let mut ends = [0, 0];
        let mut clock = 0;
        let mut emit = |record: Record<'_>| {
            assert!(record.text.len() <= max_record_bytes);
            assert!(record.lines <= max_record_lines);
            let lane = record.stream as usize;
            assert!(record.span.start >= ends[lane], "{record:?}");
            ends[lane] = record.span.end;
            texts[lane].push_str(std::str::from_utf8(record.text).unwrap());
            texts[lane].push('|');
        };
        for (at, spoken) in entries.iter().enumerate() {
            let at = at as u64;
            joiner.push(&entry_of(spoken), at..at + 1, Timestamp::from_seconds(clock), &mut emit);
            clock += i64::from(spoken.3);
            joiner.flush(Timestamp::from_seconds(clock), &mut emit);
            assert!(joiner.pending_bytes() <= 4 * max_record_bytes);
        }
        joiner.finish(&mut emit);
        prop_assert_eq!(joiner.oldest_pending(), None);
        for stream in Stream::ALL {
            // A bound or the time may end a record within a line: ends of records are not compared.
            let bare = |text: &str| text.replace(['\n', '|'], "");
            prop_assert_eq!(bare(&texts[stream as usize]), bare(&written(&entries, stream)));
        }
    }

    #[test]
    fn lines_come_back_as_they_were(entries in spoken()) {
        let mut joiner = Joiner::new(Options::default());
        let mut texts = [String::new(), String::new()];
        let mut emit = |record: Record<'_>| {
            let text = &mut texts[record.stream as usize];
            text.push_str(std::str::from_utf8(record.text).unwrap());
            text.push('\n');
        };
        for (at, spoken) in entries.iter().enumerate() {
            let at = at as u64;
            joiner.push(&entry_of(spoken), at..at + 1, Timestamp::EPOCH, &mut emit);
        }
        joiner.finish(&mut emit);
        for stream in Stream::ALL {
            let mut expected = written(&entries, stream);
            let of_stream = entries.iter().rev().find(|spoken| entry_of(spoken).stream == stream);
            if of_stream.is_some_and(|(_, _, ends, _)| !ends) {
                expected.push('\n');
            }
            prop_assert_eq!(&texts[stream as usize], &expected);
        }
    }

    #[test]
    fn a_restart_at_any_place_changes_nothing(
        entries in spoken(),
        crash in 0_usize..40,
        rule in prop_oneof![Just("off"), Just("auto"), Just("first:^E"), Just("next:^ ")],
    ) {
        let mut whole = Vec::new();
        let mut joiner = Joiner::new(multiline(rule));
        for (at, spoken) in entries.iter().enumerate() {
            let at = at as u64;
            joiner.push(&entry_of(spoken), at..at + 1, Timestamp::EPOCH, &mut |record| whole.push(show(&record)));
        }
        joiner.finish(&mut |record| whole.push(show(&record)));

        let crash = crash.min(entries.len());
        let mut parts = Vec::new();
        let mut joiner = Joiner::new(multiline(rule));
        for (at, spoken) in entries.iter().enumerate().take(crash) {
            let at = at as u64;
            joiner.push(&entry_of(spoken), at..at + 1, Timestamp::EPOCH, &mut |record| parts.push(show(&record)));
        }
        let resume = joiner.resume(crash as u64);
        let mut joiner = Joiner::new(multiline(rule));
        for (at, spoken) in entries.iter().enumerate() {
            let (at, entry) = (at as u64, entry_of(spoken));
            if resume.wants(entry.stream, at) {
                joiner.push(&entry, at..at + 1, Timestamp::EPOCH, &mut |record| parts.push(show(&record)));
            }
        }
        joiner.finish(&mut |record| parts.push(show(&record)));
        whole.sort();
        parts.sort();
        prop_assert_eq!(whole, parts);
    }
}
