//! Bounded inflating of gzip (RFC 1952) and zlib (RFC 1950).

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Why compressed data could not be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The data is more than the bound.
    TooLong,
    /// It is damaged, or ends too early, at this byte.
    Damaged(u64),
}

/// Inflates; keeps its window from one piece of data to the next.
#[derive(Debug, Default)]
pub(crate) struct Inflater {
    state: Option<Decompress>,
}

/// Whether `bytes` begin as gzip does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Whether `bytes` begin as zlib does.
pub(crate) fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..] if method & 0x8f == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31))
}

impl Inflater {
    /// Replaces `out` with the data of one zlib stream, of at most `max_bytes`.
    pub(crate) fn zlib(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        out.clear();
        self.inflate(bytes, 0, true, max_bytes, out).map(|_| ())
    }

    /// Replaces `out` with the data of one or more gzip members, together of at most `max_bytes`.
    pub(crate) fn gzip(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        out.clear();
        let mut at = 0;
        while at < bytes.len() {
            let damaged = Problem::Damaged(at as u64);
            let member = bytes.get(at..).unwrap_or_default();
            let header = header(member).ok_or(damaged)?;
            let begin = out.len();
            at += header;
            at += self.inflate(
                bytes.get(at..).unwrap_or_default(),
                at as u64,
                false,
                max_bytes,
                out,
            )?;
            let trailer = bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk::<8>)
                .ok_or(Problem::Damaged(bytes.len() as u64))?;
            let [a, b, c, d, ..] = *trailer;
            let mut sum = Crc::new();
            sum.update(out.get(begin..).unwrap_or_default());
            if sum.sum() != u32::from_le_bytes([a, b, c, d]) {
                return Err(Problem::Damaged(at as u64));
            }
            at += 8;
        }
        Ok(())
    }

    /// Appends the data of one stream to `out`; how many bytes it took.
    fn inflate(
        &mut self,
        bytes: &[u8],
        offset: u64,
        zlib: bool,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Problem> {
        let state = self.state.get_or_insert_with(|| Decompress::new(zlib));
        state.reset(zlib);
        loop {
            let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let written = out.len();
            if out.capacity() == written {
                // One byte more than the bound tells that there is more.
                let room = (max_bytes + 1).saturating_sub(written);
                if room == 0 {
                    return Err(Problem::TooLong);
                }
                out.reserve_exact(written.max(bytes.len() * 4).clamp(256, 1 << 20).min(room));
            }
            let rest = bytes.get(read..).unwrap_or_default();
            let status = state.decompress_vec(rest, out, FlushDecompress::None);
            let at = state.total_in();
            if out.len() > max_bytes {
                return Err(Problem::TooLong);
            }
            match status {
                Ok(Status::StreamEnd) => return Ok(usize::try_from(at).unwrap_or(usize::MAX)),
                Ok(_) if at == read as u64 && out.len() == written && out.capacity() > written => {
                    return Err(Problem::Damaged(offset + at));
                }
                Ok(_) => {}
                Err(_) => return Err(Problem::Damaged(offset + at)),
            }
        }
    }
}

/// Length of a member's header.
fn header(bytes: &[u8]) -> Option<usize> {
    let [0x1f, 0x8b, 8, flags, ..] = *bytes else {
        return None;
    };
    let mut at = 10;
    if flags & 4 != 0 {
        let [low, high] = *bytes.get(at..)?.first_chunk::<2>()?;
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += memchr::memchr(0, bytes.get(at..)?)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (flags & 0xe0 == 0 && at <= bytes.len()).then_some(at)
}
