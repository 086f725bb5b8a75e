//! File systems that can be made to fail while a process writes to them; all need root.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::skip_without;

/// A file system in memory of a chosen size, so that a full disk is a real one.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size`, such as `24m`, in `folder`; `None` when that is not allowed, which is
    /// said loudly.
    ///
    /// # Panics
    /// In CI when it is not allowed.
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        let path = new_folder(folder);
        let options = format!("size={size}");
        if run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], &path) {
            Some(Self { path })
        } else {
            skip_without("mount (needs root)");
            None
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the last free byte; returns the file that holds it.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }

    /// Makes it as large as `size`.
    ///
    /// # Panics
    /// When that fails.
    pub fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(
            run("mount", &["-o", &options], &self.path),
            "cannot grow the file system"
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// An ext4 file system in a file, mounted through a loop device: one that can become read-only under
/// a process that writes, as a disk with errors does.
#[derive(Debug)]
pub struct BlockDisk {
    image: PathBuf,
    path: PathBuf,
}

impl BlockDisk {
    /// Makes and mounts one of 64 MiB in `folder`; `None` when that is not allowed, which is said
    /// loudly.
    ///
    /// # Panics
    /// In CI when it is not allowed; when the image cannot be written.
    pub fn mount(folder: &Path) -> Option<Self> {
        let image = folder.join("image");
        std::fs::File::create(&image)
            .and_then(|file| file.set_len(64 << 20))
            .expect("an image can be made");
        let disk = Self {
            image,
            path: new_folder(folder),
        };
        let is_there = run("mkfs.ext4", &["-q", "-F"], &disk.image)
            || run("/usr/sbin/mkfs.ext4", &["-q", "-F"], &disk.image);
        if is_there && disk.attach() {
            Some(disk)
        } else {
            skip_without("mkfs.ext4, and mount through a loop device (needs root)");
            None
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it read-only at once, open files included, as the kernel does when the disk has errors.
    /// Only [`Self::mount_again`] cures it.
    ///
    /// # Panics
    /// When that fails.
    pub fn abort(&self) {
        assert!(
            run("mount", &["-o", "remount,abort"], &self.path),
            "cannot make the file system read-only"
        );
    }

    /// Refuses every write below it, through open files, too; or allows them again.
    ///
    /// # Panics
    /// When that fails.
    pub fn set_immutable(&self, immutable: bool) {
        let change = if immutable { "+i" } else { "-i" };
        assert!(
            run("chattr", &["-R", change], &self.path),
            "cannot change the attributes of files"
        );
    }

    /// Takes it off and mounts it anew; nobody may use it meanwhile.
    ///
    /// # Panics
    /// When that fails.
    pub fn mount_again(&self) {
        assert!(
            run("umount", &[], &self.path) && self.attach(),
            "cannot mount the file system again"
        );
    }

    fn attach(&self) -> bool {
        let image = self.image.display().to_string();
        run("mount", &["-t", "ext4", "-o", "loop", &image], &self.path)
    }
}

impl Drop for BlockDisk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

fn new_folder(folder: &Path) -> PathBuf {
    let path = folder.join("disk");
    std::fs::create_dir(&path).expect("a folder can be made");
    path
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    Command::new(program)
        .args(arguments)
        .arg(last)
        .status()
        .is_ok_and(|status| status.success())
}

fn unmount(path: &Path) {
    // What stays mounted stays behind in the folder for temporary files, and does no harm.
    drop(Command::new("umount").arg("--lazy").arg(path).status());
}
