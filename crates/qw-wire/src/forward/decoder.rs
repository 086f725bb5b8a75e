//! A stream → messages.

use std::borrow::Cow;

use super::{
    Fault, Limits,
    reader::{Reader, Scan, Stop, Value},
    record,
};
use crate::{
    Received,
    gelf::inflate::{Inflater, Problem, is_gzip},
};

/// Where bytes are counted when they come from the stream.
const STREAM: &str = "stream";
/// Deeper values are not walked, whatever the limits say.
const MAX_DEPTH: usize = 128;
/// MessagePack's nil, which keeps a connection alive.
const NIL: u8 = 0xc0;
/// Buffers beyond this size are given back once they are not needed.
const KEPT_CAPACITY: usize = 1 << 18;

/// Cuts a stream into messages.
///
/// After [`Self::feed`], call [`Self::next`] until it hands on nothing: only then no more than the
/// beginning of one message is kept.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Vec<u8>,
    /// What stands before it in `buffer` is done with.
    begin: usize,
    /// Length of the message that was handed on last.
    taken: usize,
    /// Where `buffer` begins within the stream.
    offset: u64,
    scan: Scan,
    /// Why nothing more is found in this stream.
    failed: Option<Fault>,
    inflater: Inflater,
    inflated: Vec<u8>,
}

/// One message: entries that share a tag.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Tag of all its entries.
    pub tag: Cow<'a, str>,
    /// What the sender wants acknowledged, if anything: send it back with [`super::ack`] once the entries
    /// are safe, also when some of them are none.
    pub chunk: Option<&'a [u8]>,
    /// How many entries the sender says there are.
    pub size: Option<u64>,
    max_entries: usize,
    entries: Entries<'a>,
}

/// Where the entries stand.
#[derive(Debug, Clone)]
enum Entries<'a> {
    /// Time and record of the only one.
    One(Reader<'a>),
    /// So many arrays of time and record.
    Counted(u32, Reader<'a>),
    /// Arrays of time and record, up to the end.
    All(Reader<'a>),
    /// Nowhere: the message is not as it should be.
    Bad(Fault),
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Limits {
                max_depth: limits.max_depth.min(MAX_DEPTH),
                ..limits
            },
            buffer: Vec::new(),
            begin: 0,
            taken: 0,
            offset: 0,
            scan: Scan::default(),
            failed: None,
            inflater: Inflater::default(),
            inflated: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.release();
        if self.begin == self.buffer.len() {
            self.offset += self.begin as u64;
            self.begin = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_CAPACITY);
        } else if self.begin > self.buffer.len() / 2 {
            self.offset += self.begin as u64;
            self.buffer.drain(..self.begin);
            self.begin = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message whose bytes are all there. Nils between messages, which keep a connection alive,
    /// are passed over.
    ///
    /// A message that is MessagePack but not as the protocol says has a fault as its only entry; its tag
    /// and chunk are told when they could be read.
    ///
    /// # Errors
    /// When nothing more can be read from the stream; each further call says the same.
    #[expect(
        clippy::should_implement_trait,
        reason = "messages borrow from the decoder"
    )]
    pub fn next(&mut self) -> Result<Option<Message<'_>>, Fault> {
        let Some((length, at)) = self.find(true)? else {
            return Ok(None);
        };
        self.inflated.clear();
        self.inflated.shrink_to(KEPT_CAPACITY);
        let bytes = self.buffer.get(self.begin..self.begin + length);
        let reader = Reader::new(bytes.unwrap_or_default(), at, STREAM, self.limits.max_depth);
        let found = message(reader, self.limits, &mut self.inflater, &mut self.inflated);
        Ok(Some(found.unwrap_or_else(|fault| Message {
            tag: Cow::default(),
            chunk: None,
            size: None,
            max_entries: self.limits.max_entries,
            entries: Entries::Bad(fault),
        })))
    }

    /// The next value whose bytes are all there, whatever it is: messages of the handshake, and
    /// acknowledgements. Nils are passed over.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_value(&mut self) -> Result<Option<&[u8]>, Fault> {
        let Some((length, _)) = self.find(false)? else {
            return Ok(None);
        };
        Ok(self.buffer.get(self.begin..self.begin + length))
    }

    /// Whether nothing more can be read from the stream.
    pub const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Bytes that are kept until the rest of their message comes.
    pub const fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.begin - self.taken
    }

    /// Lets go of the message that was handed on last.
    const fn release(&mut self) {
        self.begin += self.taken;
        self.taken = 0;
    }

    /// Length and position in the stream of the next value at `begin`.
    fn find(&mut self, must_be_array: bool) -> Result<Option<(usize, u64)>, Fault> {
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        self.release();
        let (max_bytes, max_depth) = (self.limits.max_message_bytes, self.limits.max_depth);
        loop {
            let bytes = self.buffer.get(self.begin..).unwrap_or_default();
            let Some(&first) = bytes.first() else {
                return Ok(None);
            };
            if first == NIL {
                self.begin += 1;
                continue;
            }
            let at = self.offset + self.begin as u64;
            let place = STREAM;
            // 0x90 and above, and 0xdc and above with a length, are arrays.
            let fault = if must_be_array && !matches!(first, 0x90..=0x9f | 0xdc | 0xdd) {
                let expected = "message, which is an array,";
                Fault::NotForward {
                    expected,
                    at,
                    place,
                }
            } else {
                match self.scan.advance(bytes, max_bytes, max_depth) {
                    Ok(None) => return Ok(None),
                    Ok(Some(length)) => {
                        self.scan.reset();
                        self.taken = length;
                        return Ok(Some((length, at)));
                    }
                    Err(Stop::TooLong) => Fault::TooLong {
                        at,
                        place,
                        max_bytes,
                    },
                    Err(Stop::TooDeep) => Fault::TooDeep {
                        at: at + self.scan.at as u64,
                        place,
                        max_depth,
                    },
                    Err(Stop::Reserved) => Fault::NotForward {
                        expected: "MessagePack",
                        at: at + self.scan.at as u64,
                        place,
                    },
                }
            };
            self.failed = Some(fault.clone());
            self.buffer = Vec::new();
            self.begin = 0;
            return Err(fault);
        }
    }
}

/// What the last member of a message says.
#[derive(Default)]
struct Options<'a> {
    chunk: Option<&'a [u8]>,
    size: Option<u64>,
    is_compressed: bool,
}

fn message<'a>(
    mut reader: Reader<'a>,
    limits: Limits,
    inflater: &mut Inflater,
    inflated: &'a mut Vec<u8>,
) -> Result<Message<'a>, Fault> {
    let members = reader.array("message, which is an array,")?;
    if members < 2 {
        return Err(reader.no("array of two or more"));
    }
    let tag = reader.text()?.ok_or_else(|| reader.no("tag"))?;
    let position = reader.position();
    let mut behind = reader.clone();
    let (entries, options) = match reader.value()? {
        Value::Text(packed) | Value::Binary(packed) => {
            let body = reader.position() - packed.len() as u64;
            let options = options(&mut reader, members - 2)?;
            let max_depth = limits.max_depth;
            let entries = if options.is_compressed || is_gzip(packed) {
                let max_bytes = limits.max_inflated_bytes;
                match inflater.gzip(packed, max_bytes, inflated) {
                    Ok(()) => Entries::All(Reader::new(inflated, 0, "inflated entries", max_depth)),
                    Err(Problem::TooLong) => Entries::Bad(Fault::TooLong {
                        at: position,
                        place: STREAM,
                        max_bytes,
                    }),
                    Err(Problem::Damaged(at)) => Entries::Bad(Fault::Damaged { at }),
                }
            } else {
                Entries::All(Reader::new(packed, body, STREAM, max_depth))
            };
            (entries, options)
        }
        Value::Array(count) => {
            behind.skip()?;
            let options = options(&mut behind, members - 2)?;
            (Entries::Counted(count, reader), options)
        }
        // The time of a single entry.
        _ => {
            let one = behind.clone();
            behind.skip()?;
            if members < 3 {
                return Err(behind.no("record"));
            }
            behind.skip()?;
            let options = options(&mut behind, members - 3)?;
            (Entries::One(one), options)
        }
    };
    Ok(Message {
        tag: String::from_utf8_lossy(tag),
        chunk: options.chunk,
        size: options.size,
        max_entries: limits.max_entries,
        entries,
    })
}

/// Reads the option of a message, when `left` says that there is one.
fn options<'a>(reader: &mut Reader<'a>, left: u32) -> Result<Options<'a>, Fault> {
    let mut options = Options::default();
    if left == 0 {
        return Ok(options);
    }
    let position = reader.position();
    let pairs = match reader.value()? {
        Value::Map(pairs) => pairs,
        Value::Nil => return Ok(options),
        _ => return Err(reader.no_at("option, which is a map,", position)),
    };
    for _ in 0..pairs {
        let Some(name) = reader.text()? else {
            reader.skip()?;
            reader.skip()?;
            continue;
        };
        let position = reader.position();
        match name {
            b"chunk" => match reader.text()? {
                Some(chunk) => options.chunk = Some(chunk),
                None => reader.skip()?,
            },
            b"size" => match reader.value()? {
                Value::Unsigned(size) => options.size = Some(size),
                Value::Signed(size) => options.size = u64::try_from(size).ok(),
                _ => return Err(reader.no_at("size", position)),
            },
            b"compressed" => match reader.text()? {
                Some(b"gzip") => options.is_compressed = true,
                Some(b"text" | b"") => {}
                Some(_) => return Err(reader.no_at("known compression", position)),
                None => reader.skip()?,
            },
            _ => reader.skip()?,
        }
    }
    Ok(options)
}

impl Message<'_> {
    /// Reads each entry, in its order; how many were handed on, faults included.
    ///
    /// An entry that is none is handed on as a fault, with those behind it to come. When the entries end
    /// early, hold no MessagePack, or are too many, a fault is the last that is handed on.
    pub fn for_each(&self, each: &mut impl FnMut(Result<Received<'_>, Fault>)) -> usize {
        let (mut reader, count) = match &self.entries {
            Entries::One(reader) => {
                let mut reader = reader.clone();
                each(record::entry(&mut reader, &self.tag));
                return 1;
            }
            Entries::Counted(count, reader) => (reader.clone(), Some(*count as usize)),
            Entries::All(reader) => (reader.clone(), None),
            Entries::Bad(fault) => {
                each(Err(fault.clone()));
                return 1;
            }
        };
        let mut done = 0;
        while count.map_or(!reader.is_at_end(), |count| done < count) {
            if done == self.max_entries {
                let max_entries = self.max_entries;
                each(Err(Fault::TooManyEntries { max_entries }));
                return done;
            }
            done += 1;
            let mut inner = match reader.sub_reader() {
                Ok(inner) => inner,
                Err(fault) => {
                    each(Err(fault));
                    return done;
                }
            };
            each(match inner.array("entry, which is an array,") {
                Ok(2..) => record::entry(&mut inner, &self.tag),
                Ok(_) => Err(inner.no("entry of time and record")),
                Err(fault) => Err(fault),
            });
        }
        done
    }
}
