//! The traces of a wave, one for each time that the engine called `runc`, read as one.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::trace;

/// A line, in the order of time over all traces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traced {
    /// Of the first line of a trace: `runc`, and the shim that called it.
    pub(super) root: Option<Root>,
    /// As `strace` wrote it.
    pub(super) text: String,
}

/// Where a trace begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Root {
    /// Process that is `runc`.
    pub(super) runc: u32,
    /// Process that called it.
    pub(super) shim: u32,
}

/// Reads all traces side by side.
pub(super) struct Traces {
    files: Vec<One>,
    /// Files by the time of the line they are at.
    order: BinaryHeap<Reverse<(u64, usize)>>,
}

struct One {
    file: BufReader<fs_err::File>,
    line: String,
    time: u64,
    root: Option<Root>,
}

impl Traces {
    /// Opens the traces in `folder`, each named `SHIM-RUNC` by its processes.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut traces = Self {
            files: Vec::new(),
            order: BinaryHeap::new(),
        };
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            let root = path
                .file_name()
                .and_then(|name| name.to_str()?.split_once('-'))
                .and_then(|(shim, runc)| {
                    let (shim, runc) = (shim.parse().ok()?, runc.parse().ok()?);
                    Some(Root { runc, shim })
                })
                .with_context(|| format!("`{}` is no trace", path.display()))?;
            let mut one = One {
                file: BufReader::new(fs_err::File::open(&path)?),
                line: String::new(),
                time: 0,
                root: Some(root),
            };
            if one.advance()? {
                traces.order.push(Reverse((one.time, traces.files.len())));
            }
            traces.files.push(one);
        }
        Ok(traces)
    }

    /// The next line; `None` after the last.
    pub(super) fn next_line(&mut self) -> Result<Option<Traced>> {
        let Some(Reverse((_, at))) = self.order.pop() else {
            return Ok(None);
        };
        let Some(one) = self.files.get_mut(at) else {
            return Ok(None);
        };
        let traced = Traced {
            root: one.root.take(),
            text: std::mem::take(&mut one.line),
        };
        if one.advance()? {
            self.order.push(Reverse((one.time, at)));
        }
        Ok(Some(traced))
    }
}

impl One {
    /// Goes to the next whole line; false at the end.
    fn advance(&mut self) -> Result<bool> {
        let mut bytes = Vec::new();
        self.file.read_until(b'\n', &mut bytes)?;
        self.line = String::from_utf8_lossy(&bytes).into_owned();
        // A line without a time stays where it is.
        self.time = trace::time(&self.line).unwrap_or(self.time);
        Ok(bytes.ends_with(b"\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_by_time_and_roots_come_first() {
        let folder = std::env::temp_dir().join(format!("quaywatch-traces-{}", std::process::id()));
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("70-71"), "71 1.5 a\n?\n71 1.9 d\n71 2.0 cut").unwrap();
        fs_err::write(folder.join("80-81"), "81   1.6 b\n82 1.7 c\n").unwrap();
        let mut traces = Traces::open(&folder).unwrap();
        let mut found = Vec::new();
        while let Some(line) = traces.next_line().unwrap() {
            found.push((line.root.map(|root| (root.shim, root.runc)), line.text));
        }
        let expected = [
            (Some((70, 71)), "71 1.5 a\n"),
            (None, "?\n"),
            (Some((80, 81)), "81   1.6 b\n"),
            (None, "82 1.7 c\n"),
            (None, "71 1.9 d\n"),
        ];
        assert_eq!(found, expected.map(|(root, text)| (root, text.to_owned())));
        fs_err::write(folder.join("notes"), "").unwrap();
        assert!(Traces::open(&folder).is_err());
        fs_err::remove_dir_all(folder).unwrap();
    }
}
