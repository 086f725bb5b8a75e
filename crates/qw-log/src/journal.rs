//! The export format of systemd's journal → its entries.
//!
//! A field is a line `NAME=value`, or, when the value is not plain text, a line `NAME`, the length as 64
//! bits (little endian), the value and a line end. An empty line ends an entry.
//! Source: systemd, "Journal Export Formats" (docs/JOURNAL_EXPORT_FORMATS.md).

use memchr::memchr;

/// Longest name of a field; the journal itself allows no longer ones.
const MOST_NAME: usize = 64;
/// Fields of one entry that are kept.
const MOST_FIELDS: usize = 1024;
/// Bytes of one entry that are kept, in values that reach the limit of one.
const MOST_LARGE: usize = 4;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalEntry {
    fields: Vec<(String, Vec<u8>)>,
    /// Bytes of values that were longer than the limit and were cut off, or of fields that were too many.
    pub cut_bytes: u64,
}

impl JournalEntry {
    /// The first value of the field `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// As [`Self::get`], when it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Takes the first value of the field `name` out.
    pub fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let mut fields = self.fields.iter_mut();
        let (_, value) = fields.find(|(field, _)| field == name)?;
        Some(std::mem::take(value))
    }

    /// Names and values in their order; a name may come more than once.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

/// What stands in the stream is not the export format; it is passed over up to the next empty line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream is not in the journal's export format")]
pub struct NotExport;

/// Takes the stream in pieces of any size.
#[derive(Debug)]
pub struct JournalDecoder {
    most_value: usize,
    state: State,
    /// The line, or the length of a value, so far.
    line: Vec<u8>,
    entry: JournalEntry,
    kept_bytes: usize,
    is_broken: bool,
}

#[derive(Debug)]
enum State {
    Line,
    Length {
        name: String,
    },
    Value {
        name: String,
        value: Vec<u8>,
        left: u64,
    },
    AfterValue,
}

impl JournalDecoder {
    /// A decoder at the beginning of an entry, which keeps `most_value` bytes of each value, and no more
    /// than four times that of an entry.
    pub fn new(most_value: usize) -> Self {
        Self {
            most_value,
            state: State::Line,
            line: Vec::new(),
            entry: JournalEntry::default(),
            kept_bytes: 0,
            is_broken: false,
        }
    }

    /// Takes the next bytes, and calls `emit` with each entry that they complete.
    pub fn push(&mut self, bytes: &[u8], emit: &mut impl FnMut(Result<JournalEntry, NotExport>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.state {
                State::Line => self.push_line(rest, emit),
                State::Length { .. } => self.push_length(rest),
                State::Value { value, left, .. } => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let room = self.most_value.saturating_sub(value.len()).min(length);
                    value.extend_from_slice(rest.get(..room).unwrap_or_default());
                    self.entry.cut_bytes += (length - room) as u64;
                    *left -= length as u64;
                    self.end_value_when_whole();
                    length
                }
                State::AfterValue => {
                    self.state = State::Line;
                    self.is_broken |= rest.first() != Some(&b'\n');
                    1
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn push_line(
        &mut self,
        bytes: &[u8],
        emit: &mut impl FnMut(Result<JournalEntry, NotExport>),
    ) -> usize {
        let end = memchr(b'\n', bytes);
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let most = self.most_value.saturating_add(MOST_NAME + 1);
        let room = most.saturating_sub(self.line.len()).min(part.len());
        self.line
            .extend_from_slice(part.get(..room).unwrap_or_default());
        self.entry.cut_bytes += (part.len() - room) as u64;
        let Some(end) = end else {
            return bytes.len();
        };
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let entry = std::mem::take(&mut self.entry);
            self.kept_bytes = 0;
            if std::mem::take(&mut self.is_broken) {
                emit(Err(NotExport));
            } else if !entry.fields.is_empty() {
                emit(Ok(entry));
            }
            return end + 1;
        }
        let (name, value) = match memchr(b'=', &line) {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (line.get(..), None),
        };
        match (name.and_then(field_name), value) {
            (Some(name), Some(value)) => {
                self.entry.cut_bytes += value.len().saturating_sub(self.most_value) as u64;
                let value = value.get(..self.most_value).unwrap_or(value).to_vec();
                self.keep(name, value);
            }
            (Some(name), None) => self.state = State::Length { name },
            (None, _) => self.is_broken = true,
        }
        end + 1
    }

    fn push_length(&mut self, bytes: &[u8]) -> usize {
        let used = (size_of::<u64>() - self.line.len()).min(bytes.len());
        self.line
            .extend_from_slice(bytes.get(..used).unwrap_or_default());
        if let Some(length) = self.line.first_chunk() {
            let left = u64::from_le_bytes(*length);
            self.line.clear();
            if let State::Length { name } = &mut self.state {
                self.state = State::Value {
                    name: std::mem::take(name),
                    value: Vec::new(),
                    left,
                };
                self.end_value_when_whole();
            }
        }
        used
    }

    fn end_value_when_whole(&mut self) {
        if let State::Value {
            name,
            value,
            left: 0,
        } = &mut self.state
        {
            let (name, value) = (std::mem::take(name), std::mem::take(value));
            self.state = State::AfterValue;
            self.keep(name, value);
        }
    }

    fn keep(&mut self, name: String, value: Vec<u8>) {
        let bytes = name.len() + value.len();
        let most = self
            .most_value
            .saturating_mul(MOST_LARGE)
            .saturating_add(1 << 16);
        if self.entry.fields.len() >= MOST_FIELDS || self.kept_bytes + bytes > most {
            self.entry.cut_bytes += value.len() as u64;
            return;
        }
        self.kept_bytes += bytes;
        self.entry.fields.push((name, value));
    }
}

/// Upper-case letters, digits and `_`, as the journal itself checks it.
fn field_name(name: &[u8]) -> Option<String> {
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let is_good = !name.is_empty() && name.len() <= MOST_NAME && name.iter().all(is_name);
    let name = std::str::from_utf8(name).ok()?;
    is_good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes as `journalctl --output=export` does.
    fn export(entries: &[Vec<(String, Vec<u8>)>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            for (name, value) in entry {
                bytes.extend_from_slice(name.as_bytes());
                if value.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
                    bytes.push(b'\n');
                    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
                } else {
                    bytes.push(b'=');
                }
                bytes.extend_from_slice(value);
                bytes.push(b'\n');
            }
            bytes.push(b'\n');
        }
        bytes
    }

    fn decode(bytes: &[u8], most: usize, piece: usize) -> Vec<Result<JournalEntry, NotExport>> {
        let mut decoder = JournalDecoder::new(most);
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.push(piece, &mut |entry| found.push(entry));
        }
        found
    }

    #[test]
    fn text_and_other_values_are_read() {
        let bytes =
            b"__CURSOR=s=1;i=2\nMESSAGE\n\x05\0\0\0\0\0\0\0a\n\nb=\nPRIORITY=6\nX=\n\n\n_PID=1\n\n";
        let found = decode(bytes, 100, 3);
        let [Ok(first), Ok(second)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(first.text("__CURSOR"), Some("s=1;i=2"));
        assert_eq!(first.get("MESSAGE"), Some(&b"a\n\nb="[..]));
        assert_eq!(first.text("PRIORITY"), Some("6"));
        assert_eq!(first.text("X"), Some(""));
        assert_eq!(second.text("_PID"), Some("1"));
        assert_eq!(second.text("MESSAGE"), None);
    }

    #[test]
    fn what_is_no_export_is_passed_over() {
        let bytes =
            b"MESSAGE=a\nlower case\n\nMESSAGE=b\n\nM\n\x01\0\0\0\0\0\0\0xyz=\n\nMESSAGE=c\n\n";
        let found: Vec<_> = decode(bytes, 100, 7)
            .into_iter()
            .map(|entry| entry.map(|entry| entry.text("MESSAGE").map(str::to_owned)))
            .collect();
        let good = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            found,
            [Err(NotExport), good("b"), Err(NotExport), good("c")]
        );
    }

    #[test]
    fn values_are_bounded() {
        let mut bytes = format!("A={}\nB\n", "x".repeat(200)).into_bytes();
        bytes.extend_from_slice(&200_u64.to_le_bytes());
        bytes.extend_from_slice(&[b'\n'; 200]);
        bytes.extend_from_slice(b"\nC=1\n\n");
        let found = decode(&bytes, 50, 9);
        let [Ok(entry)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(entry.get("A").map(<[u8]>::len), Some(50));
        assert_eq!(entry.get("B").map(<[u8]>::len), Some(50));
        assert_eq!(entry.text("C"), Some("1"));
        assert!(entry.cut_bytes >= 150);
        let many = "A=1\n".repeat(5000) + "\n";
        let found = decode(many.as_bytes(), 50, 1000);
        assert!(matches!(&found[..], [Ok(entry)] if entry.fields().count() == MOST_FIELDS));
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let mut bytes = b"MESSAGE\n".to_vec();
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        bytes.extend_from_slice(&[b'x'; 5000]);
        let mut decoder = JournalDecoder::new(100);
        decoder.push(&bytes, &mut |_| panic!("it has not ended"));
        let State::Value { value, .. } = &decoder.state else {
            panic!("{:?}", decoder.state);
        };
        assert_eq!(value.len(), 100);
    }

    proptest! {
        #[test]
        fn what_was_written_comes_back(
            entries in proptest::collection::vec(
                proptest::collection::vec(("[A-Z_][A-Z0-9_]{0,10}", proptest::collection::vec(any::<u8>(), 0..60)), 1..6),
                0..5,
            ),
            piece in 1_usize..50,
        ) {
            let found: Vec<_> = decode(&export(&entries), 1000, piece)
                .into_iter()
                .map(|entry| entry.unwrap().fields)
                .collect();
            prop_assert_eq!(found, entries);
        }

        #[test]
        fn any_bytes_are_entries_or_errors(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..20) {
            let whole = decode(&bytes, 20, 1000);
            prop_assert_eq!(whole, decode(&bytes, 20, piece));
        }
    }
}
