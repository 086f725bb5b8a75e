//! Lines of the Kubernetes container runtime interface → entries: `<time> stdout|stderr P|F <text>`.
//!
//! Written by containerd and CRI-O below `/var/log/pods`.
//! Source: kubernetes/design-proposals, "CRI: Log management for container stdout/stderr streams".

use memchr::memchr;

use crate::{Entry, Reject, Stream, time};

/// Parses one line, with or without its line end.
///
/// The tag may hold further parts behind a colon, which are passed over. A missing text is an empty one.
pub fn parse(line: &[u8]) -> Result<Entry<'_>, Reject> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let nuls = line.iter().take_while(|byte| **byte == 0).count();
    let rest = line.get(nuls..).unwrap_or_default();
    if rest.is_empty() {
        return Err(if nuls > 0 {
            Reject::Nuls
        } else {
            Reject::Empty
        });
    }
    let (time, rest) = word(rest).ok_or(Reject::NotCri)?;
    let (stream, rest) = word(rest).ok_or(Reject::NotCri)?;
    let (tag, text) = word(rest).unwrap_or((rest, b""));
    let ends_line = match tag.split(|byte| *byte == b':').next() {
        Some(b"F") => true,
        Some(b"P") => false,
        _ => return Err(Reject::NotCri),
    };
    Ok(Entry {
        time: time::parse_rfc3339(time).ok_or(Reject::BadTime)?,
        stream: Stream::from_name(stream).ok_or(Reject::BadStream)?,
        text,
        ends_line,
        attrs: None,
        skipped: nuls,
    })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', text)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_become_entries() {
        let check = |line: &str, expected: (&str, Stream, &str, bool, usize)| {
            let entry = parse(line.as_bytes()).unwrap();
            let text = std::str::from_utf8(entry.text).unwrap();
            let time = entry.time.to_string();
            let found = (
                time.as_str(),
                entry.stream,
                text,
                entry.ends_line,
                entry.skipped,
            );
            assert_eq!(found, expected, "{line}");
        };
        check(
            "2016-10-06T00:17:09.669794202Z stdout P log content 1\n",
            (
                "2016-10-06T00:17:09.669794202Z",
                Stream::Stdout,
                "log content 1",
                false,
                0,
            ),
        );
        check(
            "2016-10-06T02:17:09.66+02:00 stderr F log content 2",
            (
                "2016-10-06T00:17:09.66Z",
                Stream::Stderr,
                "log content 2",
                true,
                0,
            ),
        );
        check(
            "2016-10-06T00:17:09Z stdout F:later:parts  leading space",
            (
                "2016-10-06T00:17:09Z",
                Stream::Stdout,
                " leading space",
                true,
                0,
            ),
        );
        check(
            "2016-10-06T00:17:09Z stdout F \n",
            ("2016-10-06T00:17:09Z", Stream::Stdout, "", true, 0),
        );
        check(
            "2016-10-06T00:17:09Z stdout F",
            ("2016-10-06T00:17:09Z", Stream::Stdout, "", true, 0),
        );
        check(
            "\0\0\x002016-10-06T00:17:09Z stdout F after a crash",
            (
                "2016-10-06T00:17:09Z",
                Stream::Stdout,
                "after a crash",
                true,
                3,
            ),
        );
    }

    #[test]
    fn other_lines_are_refused_with_the_reason() {
        let check = |line: &str, expected: Reject| {
            assert_eq!(parse(line.as_bytes()), Err(expected), "{line:?}");
        };
        check("", Reject::Empty);
        check("\n", Reject::Empty);
        check("\0\0\n", Reject::Nuls);
        check("2016-10-06T00:17:09Z", Reject::NotCri);
        check("2016-10-06T00:17:09Z stdout", Reject::NotCri);
        check("2016-10-06T00:17:09Z stdout X text", Reject::NotCri);
        check("2016-10-06 stdout F text", Reject::BadTime);
        check("2016-10-06T00:17:09Z stdin F text", Reject::BadStream);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(
            text in proptest::collection::vec(any::<u8>().prop_filter("line end", |byte| *byte != b'\n'), 0..200),
            ends in any::<bool>(),
        ) {
            let mut line = b"2016-10-06T00:17:09.5Z stderr ".to_vec();
            line.extend_from_slice(if ends { b"F " } else { b"P " });
            line.extend_from_slice(&text);
            let entry = parse(&line).unwrap();
            prop_assert_eq!(entry.text, &text[..]);
            prop_assert_eq!((entry.ends_line, entry.stream), (ends, Stream::Stderr));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _entry = parse(&bytes);
        }
    }
}
