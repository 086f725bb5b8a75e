//! A container's log stream → pieces of lines.
//!
//! Without a terminal the engine sends frames: a stream number, three zero bytes, a length of four
//! bytes big-endian, and the payload; each frame is one record of the log. With a terminal it sends
//! the bytes as they are. When timestamps are asked for, each record starts with an RFC 3339 time of
//! thirty characters and a space. A line longer than the engine's buffer of 16 KiB comes in several
//! records of the same time, of which only the last ends with a newline; merging them is left to
//! the caller, who knows his bounds.
//!
//! The decoder is pure: bytes in, pieces out. Source: Docker Engine API, "Attach to a container,
//! stream format", and the behaviour of engine 20.10.

use bytes::{Buf, Bytes, BytesMut};
use qw_event::Timestamp;

use crate::{Error, Result, transport::Body};

const HEADER_BYTES: usize = 8;
/// `2026-11-21T09:40:22.223854546Z` and a space.
const STAMP_BYTES: usize = 31;
/// The buffer in which the engine collects a line.
const ENGINE_BUFFER_BYTES: usize = 16 * 1024;

/// How a log stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Frames: the container has no terminal.
    Framed,
    /// Plain bytes: the container has a terminal (`Config.Tty`).
    Raw,
}

/// Where a piece came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Standard input, echoed.
    Stdin,
    /// Standard output, and everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not the container: the engine reports that it cannot go on reading.
    EngineError,
}

/// One record of a log: a line or, of a long one, a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Where it came from.
    pub stream: StreamKind,
    /// The engine's time of the record; `None` when not asked for or not readable.
    pub time: Option<Timestamp>,
    /// The text, without time and newline.
    pub text: Bytes,
    /// True when the line ends with this piece.
    pub ends_line: bool,
    /// Bytes of the record that were over the bound and left out.
    pub cut_bytes: u64,
}

/// Why a stream cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    /// The bytes are not a frame's header; most likely the stream has no frames.
    #[error("{header:?} is no header of a log frame")]
    NotAFrame {
        /// The bytes.
        header: [u8; HEADER_BYTES],
    },
    /// The stream ended within a frame.
    #[error("the log stream ended within a frame")]
    EndedInFrame,
}

/// Cuts a log stream into pieces.
///
/// Alternate [`Self::push`] and, until it gives nothing, [`Self::next_piece`]; memory then stays
/// within the bound plus one push.
#[derive(Debug)]
pub struct LogDecoder {
    format: LogFormat,
    timestamps: bool,
    limit: usize,
    buffer: BytesMut,
    state: State,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A frame's header comes next; in a raw stream, a record.
    Start,
    /// A payload of `length` bytes comes next.
    Payload { stream: StreamKind, length: usize },
    /// The rest of a frame that was over the bound: this many bytes to leave out.
    SkipFrame { left: usize },
    /// The rest of a raw line that was over the bound: up to its newline.
    SkipLine,
}

impl LogDecoder {
    /// A decoder for one stream. `timestamps`: the records carry times. `limit`: bytes of one record
    /// that are kept; what is longer is cut, and the cut is told in [`LogPiece::cut_bytes`] (for raw
    /// streams, where the length is not known beforehand, as 1).
    pub fn new(format: LogFormat, timestamps: bool, limit: usize) -> Self {
        Self {
            format,
            timestamps,
            limit: limit.max(2 * (STAMP_BYTES + ENGINE_BUFFER_BYTES)),
            buffer: BytesMut::new(),
            state: State::Start,
            ended: false,
        }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next piece; `None` when more bytes are needed or the stream has ended.
    pub fn next_piece(&mut self) -> Result<Option<LogPiece>, LogFault> {
        match self.format {
            LogFormat::Framed => self.next_framed(),
            LogFormat::Raw => Ok(self.next_raw()),
        }
    }

    fn next_framed(&mut self) -> Result<Option<LogPiece>, LogFault> {
        loop {
            match self.state {
                State::Start | State::SkipLine => {
                    let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else {
                        return self.at_end();
                    };
                    let (stream, length) = parse_header(*header)?;
                    self.buffer.advance(HEADER_BYTES);
                    self.state = State::Payload { stream, length };
                }
                State::Payload { stream, length } => {
                    let kept = length.min(self.limit);
                    if self.buffer.len() < kept {
                        return self.at_end();
                    }
                    let payload = self.buffer.split_to(kept).freeze();
                    let cut = length - kept;
                    self.state = if cut == 0 {
                        State::Start
                    } else {
                        State::SkipFrame { left: cut }
                    };
                    return Ok(Some(self.piece(stream, payload, cut as u64)));
                }
                State::SkipFrame { left } => {
                    let skipped = left.min(self.buffer.len());
                    self.buffer.advance(skipped);
                    if skipped < left {
                        self.state = State::SkipFrame {
                            left: left - skipped,
                        };
                        return self.at_end();
                    }
                    self.state = State::Start;
                }
            }
        }
    }

    fn at_end(&self) -> Result<Option<LogPiece>, LogFault> {
        let whole = matches!(self.state, State::Start) && self.buffer.is_empty();
        if self.ended && !whole {
            Err(LogFault::EndedInFrame)
        } else {
            Ok(None)
        }
    }

    fn next_raw(&mut self) -> Option<LogPiece> {
        if let State::SkipLine = self.state {
            match self.buffer.iter().position(|byte| *byte == b'\n') {
                Some(newline) => {
                    self.buffer.advance(newline + 1);
                    self.state = State::Start;
                }
                None => self.buffer.clear(),
            }
        }
        if self.buffer.is_empty() {
            return None;
        }
        // A long line comes in records of the engine's buffer size, each with its own time.
        let record = if self.timestamps {
            STAMP_BYTES + ENGINE_BUFFER_BYTES
        } else {
            self.limit
        };
        let window = self.buffer.get(..=record).unwrap_or(&self.buffer);
        if let Some(newline) = window.iter().position(|byte| *byte == b'\n') {
            return Some(self.cut_raw(newline + 1, 0));
        }
        if self.timestamps {
            match self.buffer.get(record..record + STAMP_BYTES) {
                Some(next) if split_time(next).0.is_some() => return Some(self.cut_raw(record, 0)),
                Some(_) => {}
                None if self.ended => return Some(self.cut_raw(self.buffer.len(), 0)),
                None => return None,
            }
            // Another engine with a larger buffer.
            let window = self.buffer.get(..=self.limit).unwrap_or(&self.buffer);
            if let Some(newline) = window.iter().position(|byte| *byte == b'\n') {
                return Some(self.cut_raw(newline + 1, 0));
            }
        }
        if self.buffer.len() > self.limit {
            let piece = self.cut_raw(self.limit, 1);
            self.state = State::SkipLine;
            return Some(LogPiece {
                ends_line: true,
                ..piece
            });
        }
        self.ended.then(|| self.cut_raw(self.buffer.len(), 0))
    }

    fn cut_raw(&mut self, length: usize, cut: u64) -> LogPiece {
        let payload = self.buffer.split_to(length).freeze();
        let mut piece = self.piece(StreamKind::Stdout, payload, cut);
        if piece.ends_line && piece.text.last() == Some(&b'\r') {
            piece.text.truncate(piece.text.len() - 1);
        }
        piece
    }

    fn piece(&self, stream: StreamKind, payload: Bytes, cut_bytes: u64) -> LogPiece {
        // The engine's own words carry no time.
        let (time, skip) = if self.timestamps && stream != StreamKind::EngineError {
            split_time(&payload)
        } else {
            (None, 0)
        };
        let mut text = payload.slice(skip.min(payload.len())..);
        // A frame that was cut ended with its newline, or its next piece will tell.
        let ends_line = text.last() == Some(&b'\n');
        if ends_line {
            text.truncate(text.len() - 1);
        }
        LogPiece {
            stream,
            time,
            text,
            ends_line: ends_line || cut_bytes > 0,
            cut_bytes,
        }
    }
}

fn parse_header(header: [u8; HEADER_BYTES]) -> Result<(StreamKind, usize), LogFault> {
    let [stream, 0, 0, 0, a, b, c, d] = header else {
        return Err(LogFault::NotAFrame { header });
    };
    let stream = match stream {
        0 => StreamKind::Stdin,
        1 => StreamKind::Stdout,
        2 => StreamKind::Stderr,
        3 => StreamKind::EngineError,
        _ => return Err(LogFault::NotAFrame { header }),
    };
    Ok((stream, u32::from_be_bytes([a, b, c, d]) as usize))
}

/// The time a record starts with, and how many bytes it and its space take; zero without a time.
fn split_time(record: &[u8]) -> (Option<Timestamp>, usize) {
    // Other writers of this API trim zeros or write an offset: up to `…123456789+00:00 `.
    let Some(space) = record.iter().take(36).position(|byte| *byte == b' ') else {
        return (None, 0);
    };
    let time = record
        .get(..space)
        .filter(|text| text.len() >= 20)
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse().ok());
    (time, if time.is_some() { space + 1 } else { 0 })
}

/// A log stream of the engine as it comes.
#[derive(Debug)]
pub struct LogStream {
    body: Body,
    decoder: LogDecoder,
    ended: bool,
}

impl LogStream {
    pub(crate) fn new(body: Body, decoder: LogDecoder) -> Self {
        Self {
            body,
            decoder,
            ended: false,
        }
    }

    /// The next piece; `None` at the end of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Broken`] when the connection breaks, [`Error::Log`] when the frames are broken.
    pub async fn next(&mut self) -> Result<Option<LogPiece>> {
        loop {
            if let Some(piece) = self.buffered()? {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(bytes) = self.body.next().await? {
                self.decoder.push(&bytes);
            } else {
                self.ended = true;
                self.decoder.end();
            }
        }
    }

    /// The next piece among the bytes that have already come, without waiting.
    pub fn buffered(&mut self) -> Result<Option<LogPiece>> {
        self.decoder.next_piece().map_err(|source| Error::Log {
            call: self.body.call().to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn decode(mut decoder: LogDecoder, chunks: &[&[u8]]) -> Result<Vec<LogPiece>, LogFault> {
        let mut pieces = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            while let Some(piece) = decoder.next_piece()? {
                pieces.push(piece);
            }
        }
        decoder.end();
        while let Some(piece) = decoder.next_piece()? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    fn decoder(format: LogFormat) -> LogDecoder {
        LogDecoder::new(format, true, 1 << 20)
    }

    fn show(pieces: &[LogPiece]) -> Vec<String> {
        pieces
            .iter()
            .map(|piece| {
                let time = piece
                    .time
                    .map_or_else(|| "-".to_owned(), |time| time.to_string());
                let text = String::from_utf8_lossy(&piece.text);
                let text = if text.len() > 20 {
                    format!("{} bytes", text.len())
                } else {
                    text.into()
                };
                let end = if piece.ends_line { "." } else { "+" };
                format!("{:?} {time} {text}{end}", piece.stream)
            })
            .collect()
    }

    #[test]
    fn frames_become_pieces() {
        let mut bytes = frame(1, b"2026-11-21T09:40:22.223854546Z line 1\n");
        bytes.extend(frame(2, b"2026-11-21T09:40:23.000000000Z oops\n"));
        bytes.extend(frame(1, b"2026-11-21T09:40:24.000000000Z tail"));
        bytes.extend(frame(3, b"Error grabbing logs: gone"));
        let pieces = decode(decoder(LogFormat::Framed), &[&bytes]).unwrap();
        assert_eq!(
            show(&pieces),
            [
                "Stdout 2026-11-21T09:40:22.223854546Z line 1.",
                "Stderr 2026-11-21T09:40:23Z oops.",
                "Stdout 2026-11-21T09:40:24Z tail+",
                "EngineError - 25 bytes+",
            ]
        );
    }

    #[test]
    fn raw_long_lines_are_cut_where_the_engine_cut_them() {
        let stamp = b"2026-11-21T09:40:22.223854546Z ";
        let mut bytes = Vec::new();
        for length in [ENGINE_BUFFER_BYTES, ENGINE_BUFFER_BYTES, 100] {
            bytes.extend_from_slice(stamp);
            bytes.resize(bytes.len() + length, b'x');
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(b"2026-11-21T09:40:25.000000000Z next\r\n");
        let expected = [
            "Stdout 2026-11-21T09:40:22.223854546Z 16384 bytes+",
            "Stdout 2026-11-21T09:40:22.223854546Z 16384 bytes+",
            "Stdout 2026-11-21T09:40:22.223854546Z 100 bytes.",
            "Stdout 2026-11-21T09:40:25Z next.",
        ];
        assert_eq!(
            show(&decode(decoder(LogFormat::Raw), &[&bytes]).unwrap()),
            expected
        );
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            show(&decode(decoder(LogFormat::Raw), &single).unwrap()),
            expected
        );
    }

    #[test]
    fn an_overlong_frame_is_cut_and_the_next_one_is_whole() {
        let limit = 2 * (STAMP_BYTES + ENGINE_BUFFER_BYTES);
        let mut bytes = frame(1, &vec![b'x'; limit + 10]);
        bytes.extend(frame(1, b"after\n"));
        let pieces = decode(LogDecoder::new(LogFormat::Framed, false, 0), &[&bytes]).unwrap();
        let [first, second] = pieces.as_slice() else {
            panic!("{pieces:?}")
        };
        assert_eq!(
            (first.text.len(), first.cut_bytes, first.ends_line),
            (limit, 10, true)
        );
        assert_eq!(show(std::slice::from_ref(second)), ["Stdout - after."]);
    }

    #[test]
    fn a_terminal_read_as_frames_is_an_error() {
        let result = decode(
            decoder(LogFormat::Framed),
            &[b"2026-11-21T09:40:22Z line\n"],
        );
        assert!(
            matches!(result, Err(LogFault::NotAFrame { .. })),
            "{result:?}"
        );
        let result = decode(
            decoder(LogFormat::Framed),
            &[&[1, 0, 0, 0, 0, 0, 0, 9, b'x']],
        );
        assert_eq!(result, Err(LogFault::EndedInFrame));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            texts in prop::collection::vec((1_u8..=2, "[a-z]{0,40}", any::<bool>()), 0..12),
            cuts in prop::collection::vec(1_usize..50, 1..30),
            raw in any::<bool>(),
        ) {
            let mut bytes = Vec::new();
            for (stream, text, whole) in &texts {
                let end = if *whole || raw { "\n" } else { "" };
                let record = format!("2026-11-21T09:40:22.223854546Z {text}{end}");
                if raw {
                    bytes.extend_from_slice(record.as_bytes());
                } else {
                    bytes.extend(frame(*stream, record.as_bytes()));
                }
            }
            let format = if raw { LogFormat::Raw } else { LogFormat::Framed };
            let at_once = decode(decoder(format), &[&bytes]).unwrap();
            let mut chunks = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(at_once.len(), texts.len());
            prop_assert_eq!(decode(decoder(format), &chunks).unwrap(), at_once);
        }

        #[test]
        fn hostile_bytes_never_panic(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..10),
            raw in any::<bool>(),
        ) {
            let format = if raw { LogFormat::Raw } else { LogFormat::Framed };
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            drop(decode(decoder(format), &chunks));
        }
    }
}
