//! Small files → bytes, without a new buffer each time.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// First size of a buffer: all but the longest files of control groups fit.
const FIRST_BYTES: usize = 8 << 10;
/// Most bytes read of one file.
const MAX_BYTES: usize = 1 << 20;
/// No line of these files is as long as the rest of a page of 4 KiB.
const NEARLY_A_PAGE: usize = 2 << 10;

/// Memory that files are read into, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

/// All of an open file, from its beginning, at most 1 MiB.
///
/// Files of control groups are made anew by each reading from position 0, and are given out whole
/// when the buffer is large enough.
pub(crate) fn read<'a>(file: &File, buffer: &'a mut Buffer) -> io::Result<&'a [u8]> {
    if buffer.0.is_empty() {
        buffer.0.resize(FIRST_BYTES, 0);
    }
    let mut length = 0;
    loop {
        let room = buffer.0.get_mut(length..).unwrap_or_default();
        let got = match file.read_at(room, length as u64) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += got;
        if length < buffer.0.len() {
            // Files that the kernel makes line by line come in pieces of nearly a page; what is
            // much shorter is whole, and needs no second call to learn that.
            if got == 0 || length < NEARLY_A_PAGE {
                break;
            }
            continue;
        }
        if length >= MAX_BYTES {
            break;
        }
        let larger = (buffer.0.len() * 2).min(MAX_BYTES);
        buffer.0.resize(larger, 0);
    }
    Ok(buffer.0.get(..length).unwrap_or_default())
}

/// All of the file at `path`, at most 1 MiB.
pub(crate) fn read_path<'a>(path: &Path, buffer: &'a mut Buffer) -> io::Result<&'a [u8]> {
    read(&File::open(path)?, buffer)
}
