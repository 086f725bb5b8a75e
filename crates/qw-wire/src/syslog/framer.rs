//! A stream → messages, RFC 6587.

#[cfg(test)]
mod tests;

use memchr::{memchr, memchr2};

use super::Fault;

/// More digits than this are no length.
const MAX_LENGTH_DIGITS: usize = 7;
/// A length beyond this many times the longest message is no length.
const ABSURD: usize = 10;

/// One message of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message, without what ends it; never empty.
    pub bytes: &'a [u8],
    /// There was more of it, which is lost: it is longer than the bound, or the stream ended within it.
    pub is_truncated: bool,
}

/// Cuts a stream into messages.
///
/// A message that begins with a length (`83 <30>1 …`) ends there, line end within or behind it or none;
/// any other ends with LF, CR LF or NUL. Each message is told apart anew. What lies whole within one read
/// is handed on without a copy. Empty messages are passed over. Source: RFC 6587, section 3.4.
#[derive(Debug)]
pub struct Framer {
    max_bytes: usize,
    state: State,
    /// The beginning of a message whose rest has not come; never longer than `max_bytes` + 2.
    torn: Vec<u8>,
    /// Bytes of the stream before those that are fed now.
    offset: u64,
    faults: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between messages, or within the digits of a length.
    Start,
    /// Within a message that ends with LF or NUL.
    Line,
    /// Within a message of which so many bytes are to come.
    Counted(usize),
    /// Behind what was handed on of a message that was too long.
    SkipLine,
    /// The same, for one of which so many bytes are to come.
    SkipCounted(usize),
    /// Behind an absurd length.
    Lost,
}

/// What stands at the beginning of a message.
enum Beginning {
    /// A length, and how many bytes it takes with its space.
    Length(usize, usize),
    Line,
    Absurd,
    /// Digits only: what they are is seen when more comes.
    Open,
}

impl Framer {
    /// A framer that cuts messages longer than `max_bytes` there.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: max_bytes.max(1),
            state: State::Start,
            torn: Vec::new(),
            offset: 0,
            faults: 0,
        }
    }

    /// Hands on every message that `bytes`, the next of the stream, complete.
    ///
    /// # Errors
    /// When a length cannot be meant. Everything else in `bytes` has been handed on nevertheless; of
    /// several faults it is the first ([`Self::faults`] counts all).
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<(), Fault> {
        let mut first_fault = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Start => match self.start(rest, each) {
                    Ok(rest) => rest,
                    Err((rest_len, rest)) => {
                        let at = self.offset + (bytes.len() - rest_len) as u64;
                        // Digits that came with an earlier read stand before it.
                        let at = at.saturating_sub(self.torn.len() as u64);
                        self.torn.clear();
                        self.state = State::Lost;
                        self.faults += 1;
                        first_fault.get_or_insert(Fault::BadLength { at });
                        rest
                    }
                },
                State::Line => self.line(rest, each),
                State::Counted(missing) => self.counted(rest, missing, each),
                State::SkipLine => self.skip_to(memchr2(b'\n', 0, rest), rest),
                State::Lost => self.skip_to(memchr(b'\n', rest), rest),
                State::SkipCounted(missing) => {
                    let taken = missing.min(rest.len());
                    self.state = match missing - taken {
                        0 => State::Start,
                        missing => State::SkipCounted(missing),
                    };
                    after(rest, taken)
                }
            };
        }
        self.offset += bytes.len() as u64;
        first_fault.map_or(Ok(()), Err)
    }

    /// Hands on what the stream ended within, and is ready for another stream.
    pub fn finish(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        match self.state {
            State::Start | State::Line => emit(&self.torn, self.max_bytes, false, each),
            State::Counted(_) => emit(&self.torn, self.max_bytes, true, each),
            State::SkipLine | State::SkipCounted(_) | State::Lost => {}
        }
        self.torn = Vec::new();
        self.state = State::Start;
        self.offset = 0;
    }

    /// Lengths that could not be meant, since the framer exists.
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// Bytes that are kept until the rest of their message comes.
    pub const fn pending_bytes(&self) -> usize {
        self.torn.len()
    }

    /// Messages that lie whole within `rest`, up to one that does not; an error is what is left of
    /// `rest` where an absurd length begins, as its length, and what stands behind the first digits.
    fn start<'b>(
        &mut self,
        mut rest: &'b [u8],
        each: &mut impl FnMut(Frame<'_>),
    ) -> Result<&'b [u8], (usize, &'b [u8])> {
        if !self.torn.is_empty() {
            return self.more_digits(rest);
        }
        loop {
            match rest.first() {
                None => return Ok(rest),
                // What some senders put behind a counted message, and empty lines.
                Some(b'\n' | b'\r' | 0) => {
                    rest = after(rest, 1);
                    continue;
                }
                Some(b'1'..=b'9') => match self.beginning(rest) {
                    Beginning::Length(length, digits) => {
                        let body = after(rest, digits);
                        let Some((message, behind)) = body.split_at_checked(length) else {
                            self.state = State::Counted(length);
                            return Ok(body);
                        };
                        emit(message, self.max_bytes, false, each);
                        rest = behind;
                        continue;
                    }
                    Beginning::Absurd => return Err((rest.len(), rest)),
                    Beginning::Open => {
                        self.torn.extend_from_slice(rest);
                        return Ok(&[]);
                    }
                    Beginning::Line => {}
                },
                Some(_) => {}
            }
            let Some(end) = memchr2(b'\n', 0, rest) else {
                self.state = State::Line;
                return Ok(rest);
            };
            let (message, behind) = rest.split_at(end);
            emit(message, self.max_bytes, false, each);
            rest = after(behind, 1);
        }
    }

    /// The kept digits of a length go on with `rest`.
    fn more_digits<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], (usize, &'b [u8])> {
        let known = self.torn.len();
        let more = rest.get(..MAX_LENGTH_DIGITS + 1).unwrap_or(rest);
        self.torn.extend_from_slice(more);
        let beginning = self.beginning(&self.torn);
        match beginning {
            Beginning::Length(length, digits) => {
                self.torn.clear();
                self.state = State::Counted(length);
                Ok(after(rest, digits.saturating_sub(known)))
            }
            Beginning::Absurd => {
                self.torn.truncate(known);
                Err((rest.len(), rest))
            }
            Beginning::Line => {
                self.torn.truncate(known);
                self.state = State::Line;
                Ok(rest)
            }
            Beginning::Open => Ok(after(rest, more.len())),
        }
    }

    fn beginning(&self, bytes: &[u8]) -> Beginning {
        let mut length = 0_usize;
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' if index < MAX_LENGTH_DIGITS => {
                    length = length * 10 + usize::from(byte - b'0');
                }
                b' ' if length <= self.max_bytes.saturating_mul(ABSURD) => {
                    return Beginning::Length(length, index + 1);
                }
                b'0'..=b'9' | b' ' => return Beginning::Absurd,
                _ => return Beginning::Line,
            }
        }
        Beginning::Open
    }

    fn line<'b>(&mut self, rest: &'b [u8], each: &mut impl FnMut(Frame<'_>)) -> &'b [u8] {
        let end = memchr2(b'\n', 0, rest);
        let more = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        // One byte more than the bound may be the CR of a line end.
        let room = (self.max_bytes + 1).saturating_sub(self.torn.len());
        self.torn
            .extend_from_slice(more.get(..room).unwrap_or(more));
        if more.len() > room {
            emit(&self.torn, self.max_bytes, true, each);
            self.torn.clear();
            self.state = State::SkipLine;
            return after(rest, room);
        }
        let Some(end) = end else { return &[] };
        emit(&self.torn, self.max_bytes, false, each);
        self.torn.clear();
        self.state = State::Start;
        after(rest, end + 1)
    }

    fn counted<'b>(
        &mut self,
        rest: &'b [u8],
        missing: usize,
        each: &mut impl FnMut(Frame<'_>),
    ) -> &'b [u8] {
        // Two bytes more than the bound may be a line end.
        let room = (self.max_bytes + 2).saturating_sub(self.torn.len());
        let taken = missing.min(rest.len());
        let more = rest.get(..taken).unwrap_or(rest);
        self.torn
            .extend_from_slice(more.get(..room).unwrap_or(more));
        if taken > room {
            emit(&self.torn, self.max_bytes, true, each);
            self.torn.clear();
            self.state = State::SkipCounted(missing - room);
            return after(rest, room);
        }
        if taken == missing {
            emit(&self.torn, self.max_bytes, false, each);
            self.torn.clear();
            self.state = State::Start;
        } else {
            self.state = State::Counted(missing - taken);
        }
        after(rest, taken)
    }

    fn skip_to<'b>(&mut self, end: Option<usize>, rest: &'b [u8]) -> &'b [u8] {
        let Some(end) = end else { return &[] };
        self.state = State::Start;
        after(rest, end + 1)
    }
}

fn after(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(count..).unwrap_or_default()
}

/// Hands on a message without its line end, cut at the bound.
fn emit(message: &[u8], max_bytes: usize, is_torn: bool, each: &mut impl FnMut(Frame<'_>)) {
    let mut message = message;
    if let Some(whole) = message.strip_suffix(b"\n") {
        message = whole;
    }
    if let [whole @ .., b'\r' | 0] = message {
        message = whole;
    }
    if message.is_empty() {
        return;
    }
    let cut = message.get(..max_bytes);
    let is_cut = message.len() > max_bytes;
    each(Frame {
        bytes: cut.unwrap_or(message),
        is_truncated: is_torn || is_cut,
    });
}
