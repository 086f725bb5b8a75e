//! Pieces of long lines → lines.
//!
//! Docker hands its drivers lines in pieces of 16 KiB. Fluentd's driver numbers them; the others send
//! them as if each were a line. There a text of exactly that length is taken for a piece when the same
//! sender goes on soon, and the record says that it was guessed (`log.merged_by: length`).

use std::{collections::BTreeMap, time::Duration};

use qw_event::Timestamp;
use qw_wire::Received;

/// Length of Docker's pieces, in bytes.
const PIECE_BYTES: usize = 16 * 1024;
/// How long a text of a piece's length waits for the next.
const WAIT: Duration = Duration::from_secs(1);
/// How long a numbered piece does: its sender will go on, be it after a repeated attempt.
const WAIT_NUMBERED: Duration = Duration::from_secs(60);
/// Lines that may be unfinished at the same time; the oldest is then given out as it is.
const MOST_LINES: usize = 1024;

/// Lines of which pieces have come.
pub(super) struct Pieces {
    max_line_bytes: usize,
    lines: BTreeMap<Key, Line>,
    bytes: usize,
}

/// Who goes on: host, container or tag, stream, and the number that the sender gave the line.
type Key = (String, String, u8, String);

/// How numbered pieces are recognised.
const BY_ID: &str = "id";

struct Line {
    received: Received<'static>,
    host: String,
    newest: Timestamp,
    how: &'static str,
    is_truncated: bool,
}

/// A whole line, and how it became one.
pub(super) struct Whole<'a> {
    pub(super) received: Received<'a>,
    pub(super) host: String,
    pub(super) merged: Option<&'static str>,
    pub(super) is_truncated: bool,
}

impl Pieces {
    pub(super) fn new(max_line_bytes: usize) -> Self {
        Self {
            max_line_bytes,
            lines: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// True when nothing is unfinished, so that a text of another length is whole.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// True when `received` may be a piece, or unfinished lines may go on with it.
    pub(super) fn concerns(&self, received: &Received<'_>) -> bool {
        !self.lines.is_empty() || received.piece.is_some() || received.text.len() == PIECE_BYTES
    }

    /// Takes `received`; gives the line it completes to `each`, and a line that it does not continue.
    pub(super) fn push(
        &mut self,
        received: Received<'_>,
        host: &str,
        now: Timestamp,
        mut each: impl FnMut(Whole<'_>),
    ) {
        let (number, goes_on, how) = match &received.piece {
            Some(piece) => (piece.id.to_string(), !piece.is_last, BY_ID),
            None => (String::new(), received.text.len() == PIECE_BYTES, "length"),
        };
        let who = [
            &received.container.id,
            &received.container.name,
            &received.tag,
        ]
        .into_iter()
        .find(|text| !text.is_empty());
        let stream = received.stream.map_or(0, |stream| 1 + stream as u8);
        let key = (
            host.to_owned(),
            who.map_or_else(String::new, ToString::to_string),
            stream,
            number,
        );
        let Some(mut line) = self.lines.remove(&key) else {
            if !goes_on {
                let is_alone = received.piece.is_none() || received.text.is_empty();
                each(Whole {
                    received,
                    host: host.to_owned(),
                    merged: (!is_alone).then_some(how),
                    is_truncated: false,
                });
                return;
            }
            self.make_room(&mut each);
            self.bytes += received.text.len();
            self.lines.insert(
                key,
                Line {
                    received: owned(received),
                    host: host.to_owned(),
                    newest: now,
                    how,
                    is_truncated: false,
                },
            );
            return;
        };
        self.bytes -= line.received.text.len();
        let room = self.max_line_bytes.saturating_sub(line.received.text.len());
        let more = received.text.get(..room).unwrap_or(&received.text);
        line.is_truncated |= more.len() < received.text.len();
        line.received.text.to_mut().extend_from_slice(more);
        line.newest = now;
        if goes_on {
            self.bytes += line.received.text.len();
            self.lines.insert(key, line);
        } else {
            each(line.whole());
        }
    }

    /// Gives what has waited long enough to `each`, as it is.
    pub(super) fn flush(&mut self, now: Timestamp, mut each: impl FnMut(Whole<'_>)) {
        let waited = |line: &Line| {
            let wait = if line.how == BY_ID {
                WAIT_NUMBERED
            } else {
                WAIT
            };
            now.as_nanos() - line.newest.as_nanos() >= wait.as_nanos() as i64
        };
        let due: Vec<Key> = self
            .lines
            .iter()
            .filter(|(_, line)| waited(line))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.give(&key, &mut each);
        }
    }

    /// Gives everything to `each`.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Whole<'_>)) {
        self.bytes = 0;
        for (_, line) in std::mem::take(&mut self.lines) {
            each(line.whole());
        }
    }

    /// One line more must not be too many, nor what they hold together.
    fn make_room(&mut self, each: &mut impl FnMut(Whole<'_>)) {
        let most_bytes = self.max_line_bytes.saturating_mul(8).max(1 << 20);
        while self.lines.len() >= MOST_LINES || self.bytes > most_bytes {
            let oldest = self.lines.iter().min_by_key(|(_, line)| line.newest);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.give(&key, each);
        }
    }

    fn give(&mut self, key: &Key, each: &mut impl FnMut(Whole<'_>)) {
        if let Some(line) = self.lines.remove(key) {
            self.bytes -= line.received.text.len();
            each(line.whole());
        }
    }
}

impl Line {
    fn whole(self) -> Whole<'static> {
        let merged =
            (self.received.text.len() > PIECE_BYTES || self.how == BY_ID).then_some(self.how);
        Whole {
            received: self.received,
            host: self.host,
            merged,
            is_truncated: self.is_truncated,
        }
    }
}

fn owned(received: Received<'_>) -> Received<'static> {
    let own = |text: std::borrow::Cow<'_, str>| std::borrow::Cow::Owned(text.into_owned());
    let said = received.container;
    Received {
        time: received.time,
        severity: received.severity,
        stream: received.stream,
        hostname: own(received.hostname),
        tag: own(received.tag),
        process_id: own(received.process_id),
        container: qw_wire::Said {
            id: own(said.id),
            name: own(said.name),
            image: own(said.image),
            image_id: own(said.image_id),
            k8s_namespace: own(said.k8s_namespace),
            k8s_pod: own(said.k8s_pod),
        },
        text: std::borrow::Cow::Owned(received.text.into_owned()),
        fields: received
            .fields
            .into_iter()
            .map(|(name, json)| (own(name), own(json)))
            .collect(),
        piece: None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use qw_wire::Piece;

    use super::*;

    fn line(text: &[u8], tag: &'static str) -> Received<'static> {
        Received {
            tag: Cow::Borrowed(tag),
            text: Cow::Owned(text.to_vec()),
            ..Received::default()
        }
    }

    #[derive(Default)]
    struct Out(Vec<(usize, Option<&'static str>, bool)>);

    impl Out {
        fn take(&mut self, whole: Whole<'_>) {
            self.0
                .push((whole.received.text.len(), whole.merged, whole.is_truncated));
        }
    }

    #[test]
    fn texts_of_a_piece_s_length_go_together() {
        let (mut pieces, mut out) = (Pieces::new(1 << 20), Out::default());
        let now = Timestamp::from_seconds(1);
        for (length, tag) in [
            (PIECE_BYTES, "a"),
            (PIECE_BYTES, "b"),
            (5, "c"),
            (PIECE_BYTES, "a"),
            (100, "a"),
            (7, "b"),
        ] {
            pieces.push(line(&vec![b'x'; length], tag), "", now, |whole| {
                out.take(whole);
            });
        }
        assert_eq!(
            out.0,
            [
                (5, None, false),
                (2 * PIECE_BYTES + 100, Some("length"), false),
                (PIECE_BYTES + 7, Some("length"), false)
            ]
        );
        assert!(pieces.is_empty() && pieces.bytes == 0);
    }

    #[test]
    fn a_line_that_only_looks_like_a_piece_comes_after_a_while() {
        let (mut pieces, mut out) = (Pieces::new(1 << 20), Out::default());
        pieces.push(
            line(&[b'x'; PIECE_BYTES], "a"),
            "",
            Timestamp::from_seconds(1),
            |whole| out.take(whole),
        );
        pieces.flush(Timestamp::from_seconds(1), |whole| out.take(whole));
        assert_eq!(out.0, []);
        pieces.flush(Timestamp::from_seconds(2), |whole| out.take(whole));
        assert_eq!(out.0, [(PIECE_BYTES, None, false)]);
    }

    #[test]
    fn numbered_pieces_go_together_whatever_comes_between_and_are_bounded() {
        let (mut pieces, mut out) = (Pieces::new(20), Out::default());
        let now = Timestamp::from_seconds(1);
        let piece = |id: &'static str, ordinal, is_last| Received {
            piece: Some(Piece {
                id: Cow::Borrowed(id),
                ordinal,
                is_last,
            }),
            ..line(b"0123456789", "a")
        };
        for received in [
            piece("1", 1, false),
            piece("2", 1, false),
            line(b"whole", "a"),
            piece("1", 2, true),
            piece("2", 2, false),
            piece("2", 3, true),
        ] {
            pieces.push(received, "", now, |whole| out.take(whole));
        }
        assert_eq!(
            out.0,
            [
                (5, None, false),
                (20, Some("id"), false),
                (20, Some("id"), true)
            ]
        );
    }

    #[test]
    fn many_unfinished_lines_take_no_more_memory_than_allowed() {
        let (mut pieces, mut out) = (Pieces::new(1 << 20), Out::default());
        for number in 0..5000_i64 {
            let tag: &'static str = Box::leak(number.to_string().into_boxed_str());
            pieces.push(
                line(&[b'x'; PIECE_BYTES], tag),
                "",
                Timestamp::from_seconds(number),
                |whole| out.take(whole),
            );
        }
        assert!(pieces.lines.len() <= MOST_LINES && pieces.bytes <= 9 << 20);
        let before = out.0.len();
        pieces.finish(|whole| out.take(whole));
        assert_eq!(out.0.len(), 5000, "{before} before");
    }
}
