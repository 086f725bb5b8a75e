//! A tar archive in pieces → the files in it.
//!
//! Reads what Go's `archive/tar` writes: headers of POSIX ustar, their pax extensions for what does not
//! fit, and GNU's long names. Source: POSIX.1-2017, "pax Interchange Format".

/// Bytes of a block: headers are one, contents are filled up to whole ones.
const BLOCK: usize = 512;
/// Bytes of an extended header that are kept; longer ones are an error.
const MOST_EXTENDED: u64 = 64 << 10;

/// What comes next in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A regular file of this name and size begins.
    File { name: &'a str, size: u64 },
    /// Bytes of the file that began last.
    Bytes(&'a [u8]),
}

/// What stands there is no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine's answer is not a tar archive")]
pub(super) struct NotTar;

/// Takes an archive in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct TarReader {
    block: Vec<u8>,
    state: State,
    /// What an extended header says of the next file.
    name: Option<String>,
    size: Option<u64>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// Content, of which so much is left, and behind it so much to fill up the block.
    Content { left: u64, padding: u64, kind: Kind },
    /// Behind the end.
    End,
}

#[derive(Debug)]
enum Kind {
    File,
    Other,
    /// An extended header, as far as it has come.
    Pax(Vec<u8>),
    LongName(Vec<u8>),
}

impl TarReader {
    /// Takes the next bytes; calls `each` with what is in them.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Item<'_>),
    ) -> Result<(), NotTar> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.state {
                State::End => return Ok(()),
                State::Header => {
                    let used = (BLOCK - self.block.len()).min(rest.len());
                    self.block
                        .extend_from_slice(rest.get(..used).unwrap_or_default());
                    if self.block.len() == BLOCK {
                        let block = std::mem::take(&mut self.block);
                        self.header(&block, each)?;
                    }
                    used
                }
                State::Content {
                    left,
                    padding,
                    kind,
                } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    let part = rest.get(..length).unwrap_or_default();
                    match kind {
                        Kind::File if length > 0 => each(Item::Bytes(part)),
                        Kind::Pax(kept) | Kind::LongName(kept) => kept.extend_from_slice(part),
                        Kind::File | Kind::Other => {}
                    }
                    *left -= length as u64;
                    let after = rest.get(length..).unwrap_or_default();
                    let filled = usize::try_from(*padding)
                        .unwrap_or(usize::MAX)
                        .min(after.len());
                    *padding -= filled as u64;
                    if (*left, *padding) == (0, 0) {
                        self.end_content()?;
                    }
                    length + filled
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn header(&mut self, block: &[u8], each: &mut impl FnMut(Item<'_>)) -> Result<(), NotTar> {
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(());
        }
        let field = |from: usize, length: usize| block.get(from..from + length).unwrap_or_default();
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = field(148, 8).iter().map(|byte| u64::from(*byte)).sum();
        if number(field(148, 8)) != Some(sum - own + 8 * u64::from(b' ')) {
            return Err(NotTar);
        }
        let written = number(field(124, 12)).ok_or(NotTar)?;
        let kind = match block.get(156) {
            Some(b'x') => Kind::Pax(Vec::new()),
            Some(b'L') => Kind::LongName(Vec::new()),
            Some(b'0' | 0) => Kind::File,
            _ => Kind::Other,
        };
        let is_extended = matches!(kind, Kind::Pax(_) | Kind::LongName(_));
        if is_extended && written > MOST_EXTENDED {
            return Err(NotTar);
        }
        let size = if is_extended {
            written
        } else {
            self.size.take().unwrap_or(written)
        };
        if !is_extended {
            let extended = self.name.take();
            if matches!(kind, Kind::File) {
                let short = text(field(0, 100));
                let before = if field(257, 5) == b"ustar" {
                    text(field(345, 155))
                } else {
                    String::new()
                };
                let name = match (extended, &*before) {
                    (Some(name), _) => name,
                    (None, "") => short,
                    (None, before) => format!("{before}/{short}"),
                };
                each(Item::File { name: &name, size });
            }
        }
        self.state = State::Content {
            left: size,
            padding: size.wrapping_neg() % BLOCK as u64,
            kind,
        };
        if size == 0 {
            self.end_content()?;
        }
        Ok(())
    }

    fn end_content(&mut self) -> Result<(), NotTar> {
        if let State::Content { kind, .. } = std::mem::take(&mut self.state) {
            match kind {
                Kind::LongName(name) => self.name = Some(text(&name)),
                Kind::Pax(records) => self.take_pax(&records)?,
                Kind::File | Kind::Other => {}
            }
        }
        Ok(())
    }

    /// Records `<length> <key>=<value>\n`.
    fn take_pax(&mut self, records: &[u8]) -> Result<(), NotTar> {
        let mut rest = records;
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or(NotTar)?;
            let digits = rest
                .get(..space)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let length: usize = digits
                .and_then(|digits| digits.parse().ok())
                .ok_or(NotTar)?;
            let record = rest.get(space + 1..length).ok_or(NotTar)?;
            let record = record.strip_suffix(b"\n").ok_or(NotTar)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(NotTar)?;
            let value = text(record.get(equals + 1..).unwrap_or_default());
            match record.get(..equals) {
                Some(b"path") => self.name = Some(value),
                Some(b"size") => self.size = Some(value.parse().map_err(|_| NotTar)?),
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }
}

/// A number in octal digits, or, when it is large, in base 256.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let mut bytes = field.iter();
        let first = u64::from(bytes.next()? & 0x7f);
        return bytes.try_fold(first, |sum, byte| {
            Some(sum.checked_mul(256)? | u64::from(*byte))
        });
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

/// Text up to the first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    let field = field.get(..end.unwrap_or(field.len())).unwrap_or_default();
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, NotTar> {
        let mut reader = TarReader::default();
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece, &mut |item| match item {
                Item::File { name, .. } => found.push((name.to_owned(), Vec::new())),
                Item::Bytes(bytes) => found.last_mut().unwrap().1.extend_from_slice(bytes),
            })?;
        }
        Ok(found)
    }

    #[test]
    fn archives_of_tar_are_read_in_all_its_formats() {
        let folder = tempfile::tempdir().unwrap();
        let long = "long/".repeat(40) + "name.log";
        let files = [
            ("a.log", 3),
            ("empty", 0),
            ("block", 512),
            ("more", 1500),
            (&*long, 700),
        ];
        for (name, length) in files {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, vec![b'x'; length]).unwrap();
        }
        fs_err::os::unix::fs::symlink("a.log", folder.path().join("link")).unwrap();
        for format in ["ustar", "pax", "gnu"] {
            let made = Command::new("tar")
                .args([
                    "-C",
                    folder.path().to_str().unwrap(),
                    "-c",
                    "--format",
                    format,
                    ".",
                ])
                .output()
                .unwrap();
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
            for piece in [1, 511, 100_000] {
                let found = read(&made.stdout, piece).unwrap();
                let found: std::collections::BTreeMap<&str, usize> = found
                    .iter()
                    .map(|(name, bytes)| (name.trim_start_matches("./"), bytes.len()))
                    .collect();
                assert_eq!(found, files.into(), "{format}");
            }
        }
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        assert_eq!(read(&[b'x'; 600], 600), Err(NotTar));
        assert_eq!(read(&[0; 600], 600), Ok(Vec::new()));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(
            number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
        assert_eq!(number(b"0000644\0"), Some(420));
    }

    proptest! {
        #[test]
        fn any_bytes_are_files_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..600) {
            prop_assert_eq!(read(&bytes, 5000), read(&bytes, piece));
        }
    }
}
