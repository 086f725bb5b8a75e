//! Names of block devices by their numbers.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    parse,
    read::{Buffer, read_path},
};

/// Most names that are kept.
const MAX_NAMES: usize = 4096;

/// Names of block devices, read again when an unknown one is asked for.
#[derive(Debug)]
pub struct DeviceNames {
    partitions: PathBuf,
    names: BTreeMap<(u32, u32), Box<str>>,
}

impl DeviceNames {
    /// Names out of `partitions` below `proc`, the root of a process file system.
    pub fn new(proc: &std::path::Path) -> Self {
        Self {
            partitions: proc.join("partitions"),
            names: BTreeMap::new(),
        }
    }

    /// Reads the names when any of `devices` has none. Those that have none after that, such as
    /// devices that are gone, are named by their number.
    pub fn learn(&mut self, devices: impl IntoIterator<Item = (u32, u32)>) {
        let mut unknown = devices
            .into_iter()
            .filter(|device| !self.names.contains_key(device))
            .take(MAX_NAMES)
            .peekable();
        if unknown.peek().is_none() {
            return;
        }
        let unknown: Vec<(u32, u32)> = unknown.collect();
        if self.names.len() >= MAX_NAMES {
            self.names.clear();
        }
        let names = &mut self.names;
        // Without the file every device goes by its number.
        if let Ok(text) = read_path(&self.partitions, &mut Buffer::default()) {
            parse::partitions(text, |major, minor, name| {
                if names.len() < MAX_NAMES {
                    names.insert((major, minor), format!("/dev/{name}").into());
                }
            });
        }
        for (major, minor) in unknown {
            if names.len() < 2 * MAX_NAMES {
                names
                    .entry((major, minor))
                    .or_insert_with(|| format!("{major}:{minor}").into());
            }
        }
    }

    /// The name of a device, such as `/dev/sda`; `None` before it was [learned](Self::learn).
    pub fn name(&self, major: u32, minor: u32) -> Option<&str> {
        self.names.get(&(major, minor)).map(|name| &**name)
    }
}
