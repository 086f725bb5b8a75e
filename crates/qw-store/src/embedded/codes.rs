//! A column of few different values as one small number per row, without making the values.
//!
//! The writer dictionary-encodes every narrow column, so a row group holds each value once and the
//! rows as bit-packed indices. Counting and judging work on the indices; texts are looked at once
//! per value and row group.

use parquet::{
    basic::Encoding,
    column::page::{Page, PageReader},
    data_type::ByteArray,
    errors::Result,
};
use rustc_hash::FxHashMap;

use crate::embedded::format::malformed;

/// The rows of a column as indices into its values.
#[derive(Debug, Default)]
pub(super) struct Codes {
    /// The values: bytes of a text, or four little-endian bytes of a number.
    pub(super) values: Vec<ByteArray>,
    /// Of each row the index of its value.
    pub(super) rows: Vec<u32>,
}

/// How the values of a dictionary are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Length in four bytes, then as many bytes.
    Texts,
    /// Four bytes each.
    Numbers,
}

impl Codes {
    /// Reads the pages of a column of `rows` rows; `None` when a page is not dictionary-encoded,
    /// which is how the writer ends a dictionary that has become too large.
    pub(super) fn read(
        pages: &mut dyn PageReader,
        layout: Layout,
        rows: usize,
    ) -> Result<Option<Self>> {
        let mut codes = Self {
            values: Vec::new(),
            rows: Vec::with_capacity(rows),
        };
        while let Some(page) = pages.get_next_page()? {
            match page {
                Page::DictionaryPage {
                    buf, num_values, ..
                } => {
                    if !codes.values.is_empty() || !codes.rows.is_empty() {
                        return Err(malformed("a column has two dictionaries"));
                    }
                    codes.values = dictionary(&buf, layout, num_values as usize)?;
                }
                Page::DataPage {
                    buf,
                    num_values,
                    encoding: Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY,
                    ..
                } => {
                    let wanted = num_values as usize;
                    if codes.rows.len() + wanted > rows {
                        return Err(malformed("a column has more rows than its row group"));
                    }
                    unpack(&buf, wanted, &mut codes.rows)?;
                }
                _ => return Ok(None),
            }
        }
        if codes.rows.len() != rows {
            return Err(malformed("a column has fewer rows than its row group"));
        }
        let known = codes.values.len();
        if codes.rows.iter().any(|code| *code as usize >= known) {
            return Err(malformed("a row names a value that is not there"));
        }
        Ok(Some(codes))
    }

    /// The codes of `values`, one per row.
    pub(super) fn intern(values: Vec<ByteArray>) -> Self {
        let mut codes = Self::default();
        let mut known: FxHashMap<Vec<u8>, u32> = FxHashMap::default();
        for value in values {
            let next = codes.values.len() as u32;
            let code = match known.get(value.data()) {
                Some(code) => *code,
                None => {
                    known.insert(value.data().to_vec(), next);
                    codes.values.push(value);
                    next
                }
            };
            codes.rows.push(code);
        }
        codes
    }

    /// The code of row `row`, which is within the row group.
    pub(super) fn code(&self, row: u32) -> usize {
        self.rows[row as usize] as usize
    }

    /// How many of `rows`, or of all, have each value.
    pub(super) fn counts(&self, rows: Option<&[u32]>) -> Vec<u64> {
        let mut counts = vec![0; self.values.len()];
        match rows {
            _ if counts.len() == 1 => counts[0] = rows.map_or(self.rows.len(), <[u32]>::len) as u64,
            Some(rows) => rows.iter().for_each(|row| counts[self.code(*row)] += 1),
            None => self
                .rows
                .iter()
                .for_each(|code| counts[*code as usize] += 1),
        }
        counts
    }
}

fn dictionary(bytes: &bytes::Bytes, layout: Layout, count: usize) -> Result<Vec<ByteArray>> {
    let short = || malformed("a dictionary is cut short");
    let mut values = Vec::with_capacity(count.min(bytes.len()));
    let mut at = 0;
    for _ in 0..count {
        let length = match layout {
            Layout::Numbers => 4,
            Layout::Texts => {
                let length = bytes.get(at..at + 4).ok_or_else(short)?;
                at += 4;
                u32::from_le_bytes(length.try_into().map_err(|_| short())?) as usize
            }
        };
        let end = at
            .checked_add(length)
            .filter(|end| *end <= bytes.len())
            .ok_or_else(short)?;
        values.push(bytes.slice(at..end).into());
        at = end;
    }
    Ok(values)
}

/// Appends `count` indices to `codes` from a page: the width in bits, then runs, each of one index
/// repeated or of bit-packed groups of eight.
fn unpack(page: &[u8], count: usize, codes: &mut Vec<u32>) -> Result<()> {
    let short = || malformed("a page is cut short");
    let Some((&width, mut rest)) = page.split_first() else {
        return if count == 0 { Ok(()) } else { Err(short()) };
    };
    let width = usize::from(width);
    if width > 32 {
        return Err(malformed("indices are wider than 32 bits"));
    }
    let end = codes.len() + count;
    while codes.len() < end {
        let missing = end - codes.len();
        let header = varint(&mut rest).ok_or_else(short)?;
        let length = usize::try_from(header >> 1).map_err(|_| short())?;
        if header & 1 == 0 {
            let bytes = rest.split_off(..width.div_ceil(8)).ok_or_else(short)?;
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            if length == 0 {
                return Err(malformed("a run is empty"));
            }
            codes.resize(codes.len() + length.min(missing), value);
        } else {
            let values = length.checked_mul(8).ok_or_else(short)?.min(missing);
            if values == 0 {
                return Err(malformed("a run is empty"));
            }
            // The last group of a page may be cut where its values end.
            let bytes = length.checked_mul(width).ok_or_else(short)?.min(rest.len());
            let packed = rest.split_off(..bytes).ok_or_else(short)?;
            if (values * width).div_ceil(8) > packed.len() {
                return Err(short());
            }
            unpack_bits(packed, width, values, codes);
        }
    }
    Ok(())
}

/// Appends `count` indices of `width` bits; `packed` is long enough.
fn unpack_bits(packed: &[u8], width: usize, count: usize, codes: &mut Vec<u32>) {
    let mask = (1_u64 << width) - 1;
    let index = |at: usize| {
        let (byte, bit) = (at * width / 8, at * width % 8);
        let word = match packed.get(byte..byte + 8) {
            Some(eight) => eight.try_into().map_or(0, u64::from_le_bytes),
            None => packed[byte.min(packed.len())..]
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        (word >> bit & mask) as u32
    };
    codes.extend((0..count).map(index));
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_are_unpacked() {
        let check = |page: &[u8], count: usize, expected: Option<&[u32]>| {
            let mut codes = Vec::new();
            let result = unpack(page, count, &mut codes);
            assert_eq!(result.ok().map(|()| &*codes), expected, "{page:?}");
        };
        check(&[], 0, Some(&[]));
        check(&[], 1, None);
        // Five times 3, three bits wide.
        check(&[3, 10, 3], 5, Some(&[3; 5]));
        check(&[3, 10], 5, None);
        check(&[3, 0, 3], 5, None);
        // One group of eight: 0 to 7.
        check(
            &[3, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010],
            8,
            Some(&[0, 1, 2, 3, 4, 5, 6, 7]),
        );
        check(&[3, 3, 0b1000_1000], 2, Some(&[0, 1]));
        check(&[3, 3, 0b1000_1000], 8, None);
        // A single value needs no bits at all.
        check(&[0, 16], 8, Some(&[0; 8]));
        check(&[33, 2, 0, 0, 0, 0, 0], 1, None);
        check(
            &[
                1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
            ],
            1,
            None,
        );
    }

    #[test]
    fn dictionaries_are_cut_into_values() {
        let check = |bytes: &[u8], layout, count, expected: Option<&[&[u8]]>| {
            let values = dictionary(&bytes.to_vec().into(), layout, count).ok();
            let values: Option<Vec<&[u8]>> = values
                .as_ref()
                .map(|values| values.iter().map(ByteArray::data).collect());
            assert_eq!(values.as_deref(), expected, "{bytes:?}");
        };
        check(
            b"\x02\0\0\0ab\0\0\0\0",
            Layout::Texts,
            2,
            Some(&[b"ab", b""]),
        );
        check(b"\x02\0\0\0a", Layout::Texts, 1, None);
        check(b"\xff\xff\xff\xffa", Layout::Texts, 1, None);
        check(b"\x02\0", Layout::Texts, 1, None);
        check(b"abcdefgh", Layout::Numbers, 2, Some(&[b"abcd", b"efgh"]));
        check(b"abcdefg", Layout::Numbers, 2, None);
    }

    proptest! {
        #[test]
        fn packed_indices_come_back(
            width in 1_usize..=32,
            numbers in prop::collection::vec(any::<u32>(), 1..100),
        ) {
            let numbers: Vec<u32> = numbers
                .into_iter()
                .map(|number| (u64::from(number) & ((1 << width) - 1)) as u32)
                .collect();
            let groups = numbers.len().div_ceil(8);
            let mut page = vec![width as u8, (groups << 1 | 1) as u8];
            let mut packed = vec![0_u8; groups * width];
            for (place, number) in numbers.iter().enumerate() {
                for bit in (0..width).filter(|bit| number >> bit & 1 == 1) {
                    packed[(place * width + bit) / 8] |= 1 << ((place * width + bit) % 8);
                }
            }
            page.extend(packed);
            let mut codes = Vec::new();
            unpack(&page, numbers.len(), &mut codes).unwrap();
            prop_assert_eq!(codes, numbers);
        }

        #[test]
        fn any_bytes_are_borne(page: Vec<u8>, count in 0_usize..10_000) {
            let mut codes = Vec::new();
            if unpack(&page, count, &mut codes).is_ok() {
                prop_assert_eq!(codes.len(), count);
            }
            drop(dictionary(&page.into(), Layout::Texts, count));
        }
    }
}
