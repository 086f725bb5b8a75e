//! Fields of protobuf messages, read in place.
//!
//! `prost` makes owned structs, which take many times the bytes that a hostile body has, and does not
//! tell where something is wrong. Source: protobuf.dev, "Encoding".

use std::borrow::Cow;

use crate::outgoing::fault::Fault;

/// A message that has not been read yet, and where it begins in the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// What it holds.
    pub(crate) value: Value<'a>,
    /// Where it begins.
    pub(crate) at: usize,
}

/// What a field holds, by its form on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A text, bytes, or a message.
    Length(Message<'a>),
}

impl<'a> Message<'a> {
    /// A message that stands for itself.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Its bytes, when it is no message.
    pub(crate) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its text, when it is one; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }

    /// Where it begins in the whole.
    pub(crate) const fn at(self) -> usize {
        self.at
    }

    /// Takes the next field; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Fault> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(0);
        if number == 0 || number >= 1 << 29 {
            return Err(Fault::form("a field of a message has no valid number", at));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(*self.chunk()?)),
            2 => {
                let length = self.varint()?;
                Value::Length(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(*self.chunk()?)),
            _ => return Err(Fault::form("a field of a message is of no known type", at)),
        };
        Ok(Some(Field { number, value, at }))
    }

    /// Calls `each` with every field.
    pub(crate) fn for_each(
        mut self,
        mut each: impl FnMut(Field<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(field) = self.next()? {
            each(field)?;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if *byte < 0x80 {
                self.advance(index + 1);
                return Ok(value);
            }
        }
        let what = if self.bytes.len() < 10 {
            "a number of a message is cut off"
        } else {
            "a number of a message is too long"
        };
        Err(Fault::form(what, self.at))
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let cut = Fault::form("a number of a message is cut off", self.at);
        let chunk = self.bytes.first_chunk().ok_or(cut)?;
        self.advance(N);
        Ok(chunk)
    }

    fn take(&mut self, length: u64) -> Result<Self, Fault> {
        let at = self.at;
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.get(..length));
        let what = "a part of a message is longer than what is there";
        let bytes = bytes.ok_or(Fault::form(what, at))?;
        self.advance(bytes.len());
        Ok(Self { bytes, at })
    }

    fn advance(&mut self, count: usize) {
        self.bytes = self.bytes.get(count..).unwrap_or_default();
        self.at += count;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_name_the_byte() {
        let check = |bytes: &[u8], byte: usize| {
            let fault = Message::new(bytes).for_each(|_| Ok(())).unwrap_err();
            assert_eq!(fault.byte, byte, "{bytes:?}");
        };
        check(&[0x08], 1);
        check(&[0x08, 0x80], 1);
        check(&[0x08, 1, 0x12, 5, b'a'], 4);
        check(&[0x09, 1, 2, 3], 1);
        check(&[0x0d, 1], 1);
        check(&[0x00, 1], 0);
        check(&[0x0b], 0);
        check(&[&[0x08][..], &[0xff; 10]].concat(), 1);
        let lie = [&[0x12][..], &[0xff; 9], &[1]].concat();
        check(&lie, 11);
    }

    proptest! {
        #[test]
        fn numbers_agree_with_the_other_reader(value in any::<u64>()) {
            let mut bytes = vec![0x08];
            prost::encoding::encode_varint(value, &mut bytes);
            let field = Message::new(&bytes).next().unwrap().unwrap();
            prop_assert!(matches!(field.value, Value::Varint(found) if found == value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _fault = Message::new(&bytes).for_each(|_| Ok(()));
        }
    }
}
