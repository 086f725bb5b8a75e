//! Pieces of a container's log → lines.
//!
//! The engine writes a line longer than its buffer of 16 KiB in several records, of which only the
//! last ends with a newline. Its own drivers give them all one time. What a container wrote last,
//! without a newline, looks the same; the next record then has another time.

use bytes::Bytes;
use qw_docker::LogPiece;
use qw_event::Timestamp;

/// Length of a record that was cut because the engine's buffer was full.
const FULL_RECORD_BYTES: usize = 16 * 1024;
/// What is kept of a line that is too long, for the operator to see.
const SAMPLE_BYTES: usize = 256;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Records it came in; at least one.
    pub(super) records: u64,
    /// The text without newline; only its beginning when it is too long.
    pub(super) text: Bytes,
    /// Its length in bytes, newline not counted.
    pub(super) length: u64,
    /// True when it is longer than the bound.
    pub(super) too_long: bool,
}

/// Merges pieces of one stream of one container.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// Number of its first record.
    first: u64,
    records: u64,
    text: Vec<u8>,
    length: u64,
    last_piece: usize,
    last_time: Timestamp,
}

impl Lines {
    /// Lines of at most `limit` bytes; longer ones are marked so and cut.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            pending: None,
        }
    }

    /// Number of the first record of a line that is not complete.
    pub(super) fn oldest_pending(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.first)
    }

    /// Adds the record `number` of `time`; gives the lines that are complete by it, none to two.
    pub(super) fn push(
        &mut self,
        piece: LogPiece,
        time: Timestamp,
        number: u64,
    ) -> [Option<Line>; 2] {
        let interrupted = match &self.pending {
            Some(pending) if !pending.goes_on(time) => self.finish(),
            _ => None,
        };
        let length = piece.text.len() as u64 + piece.cut_bytes;
        let line = match self.pending.take() {
            None if piece.ends_line => Some(self.line(1, piece.text, length)),
            None => {
                self.pending = Some(Pending {
                    first: number,
                    records: 1,
                    last_piece: piece.text.len(),
                    last_time: time,
                    length,
                    text: piece.text.into(),
                });
                None
            }
            Some(mut pending) => {
                pending.records += 1;
                pending.last_piece = piece.text.len();
                pending.last_time = time;
                pending.length += length;
                // One byte over the bound is enough to know.
                let room = (self.limit + 1).saturating_sub(pending.text.len());
                pending
                    .text
                    .extend_from_slice(piece.text.get(..room).unwrap_or(&piece.text));
                if piece.ends_line {
                    Some(self.line(pending.records, pending.text.into(), pending.length))
                } else {
                    self.pending = Some(pending);
                    None
                }
            }
        };
        [interrupted, line]
    }

    /// The last line, when it ended without a newline and nothing more will come.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let pending = self.pending.take()?;
        Some(self.line(pending.records, pending.text.into(), pending.length))
    }

    fn line(&self, records: u64, mut text: Bytes, length: u64) -> Line {
        let too_long = length > self.limit as u64;
        if too_long {
            text.truncate(SAMPLE_BYTES);
        }
        Line {
            records,
            text,
            length,
            too_long,
        }
    }
}

impl Pending {
    fn goes_on(&self, time: Timestamp) -> bool {
        time == self.last_time || self.last_piece == FULL_RECORD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use qw_docker::StreamKind;

    use super::*;

    #[track_caller]
    fn check(pieces: &[(i64, &str)], expected: &[&str]) {
        let mut lines = Lines::new(10);
        let mut found = Vec::new();
        for (number, (time, text)) in pieces.iter().enumerate() {
            let (text, ends_line) = match text.strip_suffix('\n') {
                Some(text) => (text, true),
                None => (*text, false),
            };
            let piece = LogPiece {
                stream: StreamKind::Stdout,
                time: None,
                text: Bytes::copy_from_slice(text.as_bytes()),
                ends_line,
                cut_bytes: 0,
            };
            found.extend(
                lines
                    .push(piece, Timestamp::from_nanos(*time), number as u64)
                    .into_iter()
                    .flatten(),
            );
        }
        found.extend(lines.finish());
        let found: Vec<String> = found
            .iter()
            .map(|line| {
                let text = String::from_utf8_lossy(&line.text);
                let records = line.records;
                if line.too_long {
                    format!("{records} too long: {}", line.length)
                } else {
                    format!("{records} {text}")
                }
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn pieces_of_one_time_are_one_line() {
        check(
            &[(1, "abc"), (1, "def"), (1, "g\n"), (2, "h\n")],
            &["3 abcdefg", "1 h"],
        );
    }

    #[test]
    fn a_tail_without_newline_is_a_line_of_its_own() {
        check(
            &[(1, "tail"), (2, "next\n"), (3, "end")],
            &["1 tail", "1 next", "1 end"],
        );
    }

    #[test]
    fn a_line_over_the_bound_is_cut_and_counted_whole() {
        check(
            &[(1, "01234567890\n"), (2, "0123456789\n")],
            &["1 too long: 11", "1 0123456789"],
        );
        check(
            &[(1, "012345"), (1, "012345"), (1, "012345\n")],
            &["3 too long: 18"],
        );
    }

    #[test]
    fn a_full_record_goes_on_even_at_another_time() {
        let full = "x".repeat(FULL_RECORD_BYTES);
        check(
            &[(1, &full), (2, "y\n"), (3, "z\n")],
            &["2 too long: 16385", "1 z"],
        );
    }
}
