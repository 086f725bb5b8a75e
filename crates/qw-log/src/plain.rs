//! Lines of plain files → entries: the line is the text, and the time is that of its reading.

use qw_event::Timestamp;

use crate::{Entry, Reject, Stream};

/// Takes one line, with or without its line end.
///
/// An empty line is an entry with no text. NUL bytes in front are what a crash leaves, or what a writer
/// leaves that keeps its place in a file that was emptied; they are passed over.
///
/// # Errors
/// [`Reject::Nuls`] when nothing else stands in it.
pub fn parse(line: &[u8], now: Timestamp) -> Result<Entry<'_>, Reject> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let nuls = line.iter().take_while(|byte| **byte == 0).count();
    let text = line.get(nuls..).unwrap_or_default();
    if text.is_empty() && nuls > 0 {
        return Err(Reject::Nuls);
    }
    Ok(Entry {
        time: now,
        stream: Stream::Stdout,
        text,
        ends_line: true,
        attrs: None,
        skipped: 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_their_text() {
        let check = |line: &[u8], expected: Result<&[u8], Reject>| {
            let found = parse(line, Timestamp::EPOCH).map(|entry| entry.text);
            assert_eq!(found, expected, "{line:?}");
        };
        check(b"a line\n", Ok(b"a line"));
        check(b"a line", Ok(b"a line"));
        check(b"\n", Ok(b""));
        check(b"a\xff\r\n", Ok(b"a\xff\r"));
        check(b"\0\0after a crash\n", Ok(b"after a crash"));
        check(b"\0\0\n", Err(Reject::Nuls));
        check(b"a\0b\n", Ok(b"a\0b"));
    }

    proptest! {
        #[test]
        fn nothing_but_nuls_in_front_is_left_out(
            line in proptest::collection::vec(any::<u8>().prop_filter("line end", |byte| *byte != b'\n'), 0..100),
        ) {
            if let Ok(entry) = parse(&line, Timestamp::EPOCH) {
                prop_assert!(line.ends_with(entry.text));
                let before = &line[..line.len() - entry.text.len()];
                prop_assert!(before.iter().all(|byte| *byte == 0));
                prop_assert!(entry.ends_line);
            }
        }
    }
}
