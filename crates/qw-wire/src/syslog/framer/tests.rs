use proptest::prelude::*;

use super::*;

fn frames(max_bytes: usize, reads: &[&[u8]]) -> (Vec<(String, bool)>, Option<Fault>) {
    let (mut framer, mut found, mut fault) = (Framer::new(max_bytes), Vec::new(), None);
    let mut each = |frame: Frame<'_>| {
        let text = String::from_utf8_lossy(frame.bytes).into_owned();
        found.push((text, frame.is_truncated));
    };
    for read in reads {
        fault = fault.or(framer.feed(read, &mut each).err());
        assert!(framer.pending_bytes() <= max_bytes + 10);
    }
    framer.finish(&mut each);
    (found, fault)
}

#[track_caller]
fn check_frames(stream: &str, expected: &[(&str, bool)], fault: Option<Fault>) {
    let whole = frames(10, &[stream.as_bytes()]);
    let found: Vec<(&str, bool)> = whole.0.iter().map(|(text, cut)| (&**text, *cut)).collect();
    assert_eq!((&*found, whole.1), (expected, fault), "{stream:?}");
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(frames(10, &bytes), whole, "byte by byte: {stream:?}");
}

#[test]
fn both_framings_are_told_apart_by_message() {
    check_frames(
        "<1>a\n6 <2>b c<3>d\r\n\n\0<4>e\x005 <5>f\n",
        &[
            ("<1>a", false),
            ("<2>b c", false),
            ("<3>d", false),
            ("<4>e", false),
            ("<5>f", false),
        ],
        None,
    );
    // Docker counts the line end that it writes; others write one behind what they count.
    check_frames(
        "5 <1>a\n4 <2>b\n<3>c",
        &[("<1>a", false), ("<2>b", false), ("<3>c", false)],
        None,
    );
    // Digits that are no length.
    check_frames(
        "12ab\n7\n0 x\n42",
        &[("12ab", false), ("7", false), ("0 x", false), ("42", false)],
        None,
    );
    // Line ends within a counted message belong to it.
    check_frames(
        "7 a\nb\n\n c<1>d\n",
        &[("a\nb\n\n c", false), ("<1>d", false)],
        None,
    );
    check_frames("9 <1>a", &[("<1>a", true)], None);
}

#[test]
fn long_messages_are_cut_and_the_rest_is_skipped() {
    check_frames(
        "<1>4567890\n<2>\n",
        &[("<1>4567890", false), ("<2>", false)],
        None,
    );
    check_frames(
        "<1>4567890\r\n<2>\n",
        &[("<1>4567890", false), ("<2>", false)],
        None,
    );
    check_frames(
        "<1>45678901\n<2>\n",
        &[("<1>4567890", true), ("<2>", false)],
        None,
    );
    check_frames(
        "<1>4567890123456\r\n<2>\n",
        &[("<1>4567890", true), ("<2>", false)],
        None,
    );
    check_frames(
        "11 <1>4567890\n<2>\n",
        &[("<1>4567890", false), ("<2>", false)],
        None,
    );
    check_frames(
        "15 <1>456789012345<2>\n",
        &[("<1>4567890", true), ("<2>", false)],
        None,
    );
    check_frames("<1>45678901", &[("<1>4567890", true)], None);
}

#[test]
fn an_absurd_length_is_told_and_the_next_line_is_found() {
    check_frames(
        "<1>a\n101 zz\n<2>b\n",
        &[("<1>a", false), ("<2>b", false)],
        Some(Fault::BadLength { at: 5 }),
    );
    check_frames(
        "12345678 z\n<2>b\n",
        &[("<2>b", false)],
        Some(Fault::BadLength { at: 0 }),
    );
    let text = Fault::BadLength { at: 5 }.to_string();
    assert!(text.contains("at byte 5 of the stream"), "{text}");
}

proptest! {
    #[test]
    fn cutting_a_stream_elsewhere_changes_nothing(
        stream in "(<1>[a-c]{0,9}(\n|\r\n|\u{0})|[0-9]{1,3} ?[a-c\n]{0,12}|\r|\n){0,12}",
        cuts in proptest::collection::vec(1_usize..9, 1..12),
    ) {
        let whole = frames(7, &[stream.as_bytes()]);
        let (mut rest, mut reads) = (stream.as_bytes(), Vec::new());
        for cut in cuts {
            let (read, behind) = rest.split_at(cut.min(rest.len()));
            reads.push(read);
            rest = behind;
        }
        reads.push(rest);
        prop_assert_eq!(frames(7, &reads), whole);
    }
}
