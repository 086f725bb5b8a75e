//! Finding folded patterns in texts, regardless of case.
//!
//! A pattern is folded once, when the query is compiled. A pattern of ASCII alone is searched in the
//! text as it stands; for any other the text is folded first.

use std::borrow::Cow;

use crate::query::tokens::{fold, tokens};

/// True when `value` is `folded` but for its case.
pub(crate) fn equals(value: &str, folded: &str) -> bool {
    if value.is_ascii() || folded.is_ascii() {
        value.eq_ignore_ascii_case(folded)
    } else {
        fold(value) == folded
    }
}

/// True when `value` begins with `folded` but for its case.
pub(crate) fn starts_with(value: &str, folded: &str) -> bool {
    let value = prepared(value, folded.is_ascii());
    starts_at(value.as_bytes(), folded.as_bytes(), 0)
}

/// Pieces in order with anything between them, in a whole value.
#[derive(Debug, Clone)]
pub(crate) struct Wildcard {
    /// Folded; an empty first or last piece leaves that end open.
    pieces: Vec<Piece>,
    ascii: bool,
}

impl Wildcard {
    pub(crate) fn new(pieces: &[String]) -> Self {
        let pieces: Vec<Piece> = pieces.iter().map(|piece| Piece::new(piece)).collect();
        let ascii = pieces.iter().all(|piece| piece.text.is_ascii());
        Self { pieces, ascii }
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        if !self.ascii && value.is_ascii() {
            return false;
        }
        let value = prepared(value, self.ascii);
        let value = value.as_bytes();
        let Some(((first, last), middle)) = self
            .pieces
            .split_first()
            .and_then(|(first, rest)| rest.split_last().map(|(last, rest)| ((first, last), rest)))
        else {
            return false;
        };
        if !starts_at(value, first.text.as_bytes(), 0) {
            return false;
        }
        let mut position = first.text.len();
        for piece in middle {
            match piece.find(value, position) {
                Some(found) => position = found + piece.text.len(),
                None => return false,
            }
        }
        value
            .len()
            .checked_sub(last.text.len())
            .is_some_and(|start| start >= position && starts_at(value, last.text.as_bytes(), start))
    }

    /// Tokens every value that matches has.
    pub(crate) fn tokens(&self) -> Vec<String> {
        piece_tokens(&self.pieces)
    }

    /// Folded texts that every value that matches contains.
    pub(crate) fn parts(&self) -> Vec<String> {
        piece_texts(&self.pieces)
    }
}

/// Free text: pieces in order with anything between them, somewhere in a text.
///
/// Where the phrase begins or ends with a letter or digit, the text must not go on with another one
/// there, unless that end is open.
#[derive(Debug, Clone)]
pub(crate) struct Phrase {
    /// Folded; none empty but an open end's.
    pieces: Vec<Piece>,
    ascii: bool,
    starts_word: bool,
    ends_word: bool,
}

impl Phrase {
    pub(crate) fn new(pieces: &[String]) -> Self {
        let pieces: Vec<Piece> = pieces.iter().map(|piece| Piece::new(piece)).collect();
        let ascii = pieces.iter().all(|piece| piece.text.is_ascii());
        let starts_word = pieces
            .first()
            .is_some_and(|piece| piece.text.starts_with(char::is_alphanumeric));
        let ends_word = pieces
            .last()
            .is_some_and(|piece| piece.text.ends_with(char::is_alphanumeric));
        Self {
            pieces,
            ascii,
            starts_word,
            ends_word,
        }
    }

    /// The first piece that is not empty.
    fn needle(&self) -> Option<&Piece> {
        self.pieces.iter().find(|piece| !piece.text.is_empty())
    }

    /// False when no value in this JSON can match, without reading the values.
    pub(crate) fn may_be_in(&self, json: &str) -> bool {
        let is_possible = if self.ascii {
            self.needle().is_none_or(|piece| piece.is_in(json))
        } else {
            !json.is_ascii()
        };
        // What is escaped cannot be told without reading.
        is_possible || memchr::memchr(b'\\', json.as_bytes()).is_some()
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        if !self.ascii && text.is_ascii() {
            return false;
        }
        let text = prepared(text, self.ascii);
        let count = self.pieces.len();
        let mut position = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            if piece.text.is_empty() {
                continue;
            }
            let from_word = index == 0 && self.starts_word;
            let to_word = index + 1 == count && self.ends_word;
            loop {
                let Some(found) = piece.find(text.as_bytes(), position) else {
                    return false;
                };
                let end = found + piece.text.len();
                if (!from_word || !word_before(&text, found)) && (!to_word || !word_at(&text, end))
                {
                    position = end;
                    break;
                }
                position = found + 1;
            }
        }
        true
    }

    /// Tokens every text that matches has.
    pub(crate) fn tokens(&self) -> Vec<String> {
        piece_tokens(&self.pieces)
    }

    /// Folded texts that every text that matches contains.
    pub(crate) fn parts(&self) -> Vec<String> {
        piece_texts(&self.pieces)
    }
}

fn piece_texts(pieces: &[Piece]) -> Vec<String> {
    pieces
        .iter()
        .map(|piece| piece.text.clone())
        .filter(|text| !text.is_empty())
        .collect()
}

/// Tokens that stand in the pieces whole: not at an end where a star follows or comes before.
fn piece_tokens(pieces: &[Piece]) -> Vec<String> {
    let count = pieces.len();
    let mut required = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let open_start = index > 0 && piece.text.starts_with(char::is_alphanumeric);
        let open_end = index + 1 < count && piece.text.ends_with(char::is_alphanumeric);
        let found: Vec<Cow<'_, str>> = tokens(&piece.text).collect();
        let from = usize::from(open_start);
        let to = found.len().saturating_sub(usize::from(open_end));
        if let Some(whole) = found.get(from..to) {
            required.extend(whole.iter().map(|token| token.clone().into_owned()));
        }
    }
    required
}

fn prepared(text: &str, ascii: bool) -> Cow<'_, str> {
    if ascii || text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(fold(text))
    }
}

fn starts_at(text: &[u8], piece: &[u8], start: usize) -> bool {
    text.get(start..)
        .and_then(|rest| rest.get(..piece.len()))
        .is_some_and(|candidate| candidate.eq_ignore_ascii_case(piece))
}

/// A folded text and where to look for it.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    text: String,
    /// Place of the byte that texts of events have least; zero when the text is empty.
    anchor: usize,
}

/// Bytes of the texts of events, the most frequent first.
const FREQUENT: &[u8] = b"eatnorisc/0.-dp1lmh_=:2u34g5b6 789";

impl Piece {
    fn new(text: &str) -> Self {
        let text = fold(text);
        let frequency = |byte: u8| {
            let rank = FREQUENT.iter().position(|frequent| *frequent == byte);
            rank.map_or(0, |rank| FREQUENT.len() - rank)
        };
        let anchor = text
            .bytes()
            .enumerate()
            .min_by_key(|(_, byte)| frequency(*byte));
        Self {
            anchor: anchor.map_or(0, |(place, _)| place),
            text,
        }
    }

    /// True when the text, which is ASCII, stands in `haystack`, regardless of case.
    pub(crate) fn is_in(&self, haystack: &str) -> bool {
        self.find(haystack.as_bytes(), 0).is_some()
    }

    /// The first place from `from` on where the text stands, regardless of the case of ASCII
    /// letters.
    fn find(&self, haystack: &[u8], from: usize) -> Option<usize> {
        let text = self.text.as_bytes();
        let Some(byte) = text.get(self.anchor) else {
            return (from <= haystack.len()).then_some(from);
        };
        let upper = byte.to_ascii_uppercase();
        // The text stands where its anchor stands, that much further on.
        let mut start = from;
        loop {
            let rest = haystack.get(start + self.anchor..)?;
            start += if *byte == upper {
                memchr::memchr(*byte, rest)?
            } else {
                memchr::memchr2(*byte, upper, rest)?
            };
            if starts_at(haystack, text, start) {
                return Some(start);
            }
            start += 1;
        }
    }
}

fn word_before(text: &str, position: usize) -> bool {
    text.get(..position)
        .and_then(|before| before.chars().next_back())
        .and_then(|character| character.to_lowercase().next_back())
        .is_some_and(char::is_alphanumeric)
}

fn word_at(text: &str, position: usize) -> bool {
    text.get(position..)
        .and_then(|after| after.chars().next())
        .and_then(|character| character.to_lowercase().next())
        .is_some_and(char::is_alphanumeric)
}
