//! Datagrams → messages.

use std::{borrow::Cow, collections::HashMap, hash::Hash, time::Duration};

use qw_event::Timestamp;

use super::{
    CHUNK_HEADER, CHUNK_MAGIC, Fault, MAX_CHUNKS,
    inflate::{Inflater, Problem, is_gzip, is_zlib},
};

/// What an [`Assembler`] holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Longest message, inflated or not.
    pub max_message_bytes: usize,
    /// Memory of all messages that wait for chunks.
    pub max_pending_bytes: usize,
    /// Messages that wait for chunks.
    pub max_pending_messages: usize,
    /// Messages of one source that wait for chunks.
    pub max_per_source: usize,
    /// After this time without the rest, counted from its first chunk, a message is given up.
    pub give_up_after: Duration,
}

impl Default for Options {
    /// Messages of 1 MiB, 64 MiB of 4096 that wait, 512 of one source, 5 s as the specification says.
    fn default() -> Self {
        Self {
            max_message_bytes: 1 << 20,
            max_pending_bytes: 64 << 20,
            max_pending_messages: 4_096,
            max_per_source: 512,
            give_up_after: Duration::from_secs(5),
        }
    }
}

/// Makes messages of datagrams: plain, gzip or zlib, whole or in chunks.
///
/// `Source` tells senders apart, such as a `SocketAddr`: chunks of the same id from two sources are two
/// messages.
#[derive(Debug)]
pub struct Assembler<Source> {
    options: Options,
    pending: HashMap<(Source, [u8; 8]), Pending>,
    /// How many messages of a source are pending; none is zero.
    pub(super) of_source: HashMap<Source, usize>,
    pending_bytes: usize,
    /// No pending message began before it.
    oldest: Timestamp,
    given_up: u64,
    inflater: Inflater,
    assembled: Vec<u8>,
    pub(super) inflated: Vec<u8>,
}

/// A message of which some chunks have come.
#[derive(Debug)]
struct Pending {
    began: Timestamp,
    count: u8,
    /// One bit for each chunk that has come.
    seen: u128,
    /// Number, begin and end within `bytes` of each chunk, as they came.
    parts: Vec<(u8, usize, usize)>,
    bytes: Vec<u8>,
}

/// Memory of a pending message beside its chunks, roughly.
const OVERHEAD: usize = 256;
/// Buffers beyond this size are given back once they are not needed.
const KEPT_CAPACITY: usize = 1 << 18;

impl<Source: Hash + Eq + Clone> Assembler<Source> {
    /// An assembler without messages.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            pending: HashMap::new(),
            of_source: HashMap::new(),
            pending_bytes: 0,
            oldest: Timestamp::MAX,
            given_up: 0,
            inflater: Inflater::default(),
            assembled: Vec::new(),
            inflated: Vec::new(),
        }
    }

    /// Takes one datagram of `source`; hands on the message that it completes, inflated.
    ///
    /// A chunk that came before is passed over. An empty chunk is one like others: some senders end with
    /// it. Source: GELF 1.1, "Chunking".
    ///
    /// # Errors
    /// When the datagram is no chunk and no message, when it would exceed a bound, or when the compressed
    /// data of the message is damaged or too long; that message is lost.
    pub fn datagram<'a>(
        &'a mut self,
        source: Source,
        bytes: &'a [u8],
        now: Timestamp,
    ) -> Result<Option<Cow<'a, [u8]>>, Fault> {
        for buffer in [&mut self.assembled, &mut self.inflated] {
            buffer.clear();
            buffer.shrink_to(KEPT_CAPACITY);
        }
        let message = if bytes.starts_with(&CHUNK_MAGIC) {
            if !self.chunk(source, bytes, now)? {
                return Ok(None);
            }
            &self.assembled
        } else {
            bytes
        };
        let max_bytes = self.options.max_message_bytes;
        let inflated = if is_gzip(message) {
            self.inflater.gzip(message, max_bytes, &mut self.inflated)
        } else if is_zlib(message) {
            self.inflater.zlib(message, max_bytes, &mut self.inflated)
        } else if message.is_empty() {
            return Err(Fault::Empty);
        } else if message.len() > max_bytes {
            return Err(Fault::TooLong { max_bytes });
        } else {
            return Ok(Some(Cow::Borrowed(message)));
        };
        match inflated {
            Ok(()) => Ok(Some(Cow::Borrowed(&self.inflated))),
            Err(Problem::TooLong) => Err(Fault::TooLong { max_bytes }),
            Err(Problem::Damaged(at)) => Err(Fault::Damaged { at }),
        }
    }

    /// Forgets messages whose rest has not come in time; how many were given up since the last call.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        self.forget_old(now);
        std::mem::take(&mut self.given_up)
    }

    /// Memory of messages that wait for chunks.
    pub const fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Messages that wait for chunks.
    pub fn pending_messages(&self) -> usize {
        self.pending.len()
    }

    fn forget_old(&mut self, now: Timestamp) {
        let limit = self.options.give_up_after;
        // A clock that was set back would keep messages for ever.
        let is_old = |began: Timestamp| now.since(began) >= limit || began.since(now) > limit;
        if self.pending.is_empty() || !is_old(self.oldest) {
            return;
        }
        self.oldest = Timestamp::MAX;
        self.pending.retain(|(source, _), pending| {
            if !is_old(pending.began) {
                self.oldest = self.oldest.min(pending.began);
                return true;
            }
            self.pending_bytes -= pending.cost();
            self.given_up += 1;
            release(&mut self.of_source, source);
            false
        });
    }

    /// Takes a chunk; whether `assembled` is a message now.
    fn chunk(&mut self, source: Source, bytes: &[u8], now: Timestamp) -> Result<bool, Fault> {
        let Some((header, part)) = bytes.split_first_chunk::<CHUNK_HEADER>() else {
            let length = bytes.len();
            return Err(Fault::ShortChunk { length });
        };
        let [_, _, id @ .., number, count] = *header;
        let bad = |expected| Fault::BadChunk {
            number,
            count,
            expected,
        };
        if count == 0 || usize::from(count) > MAX_CHUNKS {
            return Err(bad("a count from 1 to 128"));
        }
        if number >= count {
            return Err(bad("a number below the count"));
        }
        if count == 1 {
            self.assembled.extend_from_slice(part);
            return Ok(true);
        }
        let bound = self.options;
        let cost = part.len() + size_of::<(u8, usize, usize)>();
        if self.pending_bytes + cost + OVERHEAD > bound.max_pending_bytes
            || self.pending.len() >= bound.max_pending_messages
        {
            self.forget_old(now);
        }
        if self.pending_bytes + cost + OVERHEAD > bound.max_pending_bytes {
            let what = "the memory for incomplete messages is used up";
            return Err(Fault::TooMuchPending { what });
        }
        let key = (source, id);
        let Some(pending) = self.pending.get_mut(&key) else {
            if self.pending.len() >= bound.max_pending_messages {
                let what = "too many messages are incomplete";
                return Err(Fault::TooMuchPending { what });
            }
            if part.len() > bound.max_message_bytes {
                let max_bytes = bound.max_message_bytes;
                return Err(Fault::TooLong { max_bytes });
            }
            let of_source = self.of_source.entry(key.0.clone()).or_insert(0);
            if *of_source >= bound.max_per_source {
                let what = "too many messages of its source are incomplete";
                if *of_source == 0 {
                    self.of_source.remove(&key.0);
                }
                return Err(Fault::TooMuchPending { what });
            }
            *of_source += 1;
            let pending = Pending {
                began: now,
                count,
                seen: 1 << number,
                parts: vec![(number, 0, part.len())],
                bytes: part.to_vec(),
            };
            self.pending_bytes += pending.cost();
            self.oldest = if self.pending.is_empty() {
                now
            } else {
                self.oldest.min(now)
            };
            self.pending.insert(key, pending);
            return Ok(false);
        };
        if pending.count != count {
            return Err(bad("the count of the chunks before it"));
        }
        if pending.seen & (1 << number) != 0 {
            return Ok(false);
        }
        // A compressed message that is too long already is so all the more when it is inflated.
        let is_too_long = pending.bytes.len() + part.len() > bound.max_message_bytes;
        if !is_too_long {
            self.pending_bytes += cost;
            let begin = pending.bytes.len();
            pending.bytes.extend_from_slice(part);
            pending.parts.push((number, begin, pending.bytes.len()));
            pending.seen |= 1 << number;
            if pending.parts.len() < usize::from(count) {
                return Ok(false);
            }
        }
        if let Some(pending) = self.pending.remove(&key) {
            self.pending_bytes -= pending.cost();
            release(&mut self.of_source, &key.0);
            if !is_too_long {
                pending.assemble(&mut self.assembled);
            }
        }
        if is_too_long {
            let max_bytes = bound.max_message_bytes;
            return Err(Fault::TooLong { max_bytes });
        }
        Ok(true)
    }
}

impl Pending {
    fn cost(&self) -> usize {
        OVERHEAD + self.bytes.len() + self.parts.len() * size_of::<(u8, usize, usize)>()
    }

    fn assemble(mut self, out: &mut Vec<u8>) {
        if self.parts.is_sorted_by_key(|part| part.0) {
            *out = self.bytes;
            return;
        }
        self.parts.sort_unstable_by_key(|part| part.0);
        for (_, begin, end) in self.parts {
            out.extend_from_slice(self.bytes.get(begin..end).unwrap_or_default());
        }
    }
}

fn release<Source: Hash + Eq>(of_source: &mut HashMap<Source, usize>, source: &Source) {
    if let Some(count) = of_source.get_mut(source) {
        *count -= 1;
        if *count == 0 {
            of_source.remove(source);
        }
    }
}
