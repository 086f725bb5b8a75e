//! A stream → messages.

use memchr::memchr;

use super::Frame;

/// Cuts a stream into messages, each of which ends with NUL; empty ones are passed over.
///
/// What lies whole within one read is handed on without a copy.
#[derive(Debug)]
pub struct Framer {
    max_bytes: usize,
    /// The beginning of a message whose rest has not come.
    torn: Vec<u8>,
    /// Behind what was handed on of a message that was too long.
    skips: bool,
}

impl Framer {
    /// A framer that cuts messages longer than `max_bytes` there.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: max_bytes.max(1),
            torn: Vec::new(),
            skips: false,
        }
    }

    /// Hands on every message that `bytes`, the next of the stream, complete.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) {
        let mut rest = bytes;
        while let Some(end) = memchr(0, rest) {
            let (message, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if self.skips {
                self.skips = false;
            } else if self.torn.is_empty() {
                emit(message, self.max_bytes, each);
            } else {
                self.keep(message);
                emit(&self.torn, self.max_bytes, each);
                self.torn.clear();
            }
        }
        if self.skips {
            return;
        }
        self.keep(rest);
        if self.torn.len() > self.max_bytes {
            emit(&self.torn, self.max_bytes, each);
            self.torn = Vec::new();
            self.skips = true;
        }
    }

    /// Hands on what the stream ended within, as truncated, and is ready for another stream.
    pub fn finish(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        if !self.torn.is_empty() {
            each(Frame {
                bytes: &self.torn,
                is_truncated: true,
            });
        }
        self.torn = Vec::new();
        self.skips = false;
    }

    /// Bytes that are kept until the rest of their message comes.
    pub const fn pending_bytes(&self) -> usize {
        self.torn.len()
    }

    /// Keeps at most one byte more than the bound, which tells that there was more.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.max_bytes + 1).saturating_sub(self.torn.len());
        self.torn
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

fn emit(message: &[u8], max_bytes: usize, each: &mut impl FnMut(Frame<'_>)) {
    if !message.is_empty() {
        each(Frame {
            bytes: message.get(..max_bytes).unwrap_or(message),
            is_truncated: message.len() > max_bytes,
        });
    }
}
