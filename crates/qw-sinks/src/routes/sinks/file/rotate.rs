//! A file, and older ones beside it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use crate::routes::config::FileConfig;

/// A file that is written to, and rotated when it is full.
#[derive(Debug)]
pub(super) struct Rotated {
    config: FileConfig,
    file: File,
    inode: u64,
    length: u64,
}

impl Rotated {
    /// Opens the file; with the inode and length that it had when everything in it was acknowledged, it is
    /// cut to that, and rotations since are undone.
    pub(super) fn open(config: FileConfig, mark: Option<(u64, u64)>) -> io::Result<Self> {
        if let Some((inode, length)) = mark {
            restore(&config, inode, length)?;
        }
        let (file, inode, length) = open_end(&config.path)?;
        Ok(Self {
            config,
            file,
            inode,
            length,
        })
    }

    /// Inode and length.
    pub(super) fn end(&self) -> (u64, u64) {
        (self.inode, self.length)
    }

    /// Appends `lines`, and returns once they are on disk.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // What was written last is acknowledged now, so that the file before it need not come back.
        if self.config.compress && self.config.max_file > 1 {
            compress(&older(&self.config.path, 1))?;
        }
        let is_full = self.config.max_size > 0
            && self.length > 0
            && self.length + lines.len() as u64 > self.config.max_size;
        // Someone else may have moved or removed it.
        let is_elsewhere =
            fs::metadata(&self.config.path).map_or(true, |metadata| metadata.ino() != self.inode);
        if is_full && !is_elsewhere {
            rotate(&self.config)?;
        }
        if is_full || is_elsewhere {
            (self.file, self.inode, self.length) = open_end(&self.config.path)?;
        }
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        Ok(())
    }
}

fn open_end(path: &Path) -> io::Result<(File, u64, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let inode = file.metadata()?.ino();
    sync_folder(path)?;
    Ok((file, inode, length))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// `PATH.1`, `PATH.2` and so on.
fn older(path: &Path, number: u32) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn compressed(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// Makes room for a new file.
fn rotate(config: &FileConfig) -> io::Result<()> {
    let path = &config.path;
    if config.max_file <= 1 {
        return remove(path);
    }
    let oldest = older(path, config.max_file - 1);
    remove(&compressed(&oldest))?;
    remove(&oldest)?;
    for number in (1..config.max_file - 1).rev() {
        let (from, to) = (older(path, number), older(path, number + 1));
        rename(&from, &to)?;
        rename(&compressed(&from), &compressed(&to))?;
    }
    rename(path, &older(path, 1))?;
    sync_folder(path)
}

/// Brings the file back to `length`: it may have been rotated away by a batch that was not acknowledged.
fn restore(config: &FileConfig, inode: u64, length: u64) -> io::Result<()> {
    let path = &config.path;
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode);
    if !is_it(path) && config.max_file > 1 && is_it(&older(path, 1)) {
        // What is in the new file was not acknowledged.
        remove(path)?;
        rename(&older(path, 1), path)?;
        for number in 2..config.max_file {
            let (from, to) = (older(path, number), older(path, number - 1));
            rename(&from, &to)?;
            rename(&compressed(&from), &compressed(&to))?;
        }
    }
    if !is_it(path) {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
        file.sync_all()?;
    }
    sync_folder(path)
}

/// Compresses a file beside itself, and puts the result in its place once it is whole.
fn compress(path: &Path) -> io::Result<()> {
    let mut source = match File::open(path) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut unfinished: OsString = path.as_os_str().to_owned();
    unfinished.push(".gz.part");
    let unfinished = PathBuf::from(unfinished);
    let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::fast());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&unfinished, compressed(path))?;
    remove(path)?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    absent_is_fine(fs::rename(from, to))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
