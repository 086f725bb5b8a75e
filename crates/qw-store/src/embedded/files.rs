//! The seam between the store and the disk: everything that writes segment files goes through it.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use fs_err as fs;

/// Writes, renames and removes files; tests put a failing one in its place.
pub trait FileSystem: fmt::Debug + Send + Sync + 'static {
    /// Creates or empties the file at `path`.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileSink>>;
    /// Gives the file at `from` the name `to`, replacing what was there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes the file at `path`; one that is not there counts as removed.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names created, changed and removed in `directory` durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// A file being written.
pub trait FileSink: Write + Send {
    /// Returns once everything written is on disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFiles;

impl FileSystem for OsFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileSink>> {
        Ok(Box::new(fs::File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }
}

impl FileSink for fs::File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
