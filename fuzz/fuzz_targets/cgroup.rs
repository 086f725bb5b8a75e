//! Any bytes in a file of control groups or processes are read without a panic, and within bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_cgroup::parse::{
    Counted, MAX_DEVICES, MAX_INTERFACES, blkio, cpu_max, flat_keyed, io_stat, limit, memberships,
    net_dev, partitions,
};

fuzz_target!(|text: &[u8]| {
    let mut devices = Vec::new();
    io_stat(text, &mut devices);
    blkio(text, Counted::Bytes, &mut devices);
    blkio(text, Counted::Operations, &mut devices);
    assert!(devices.len() <= MAX_DEVICES);
    assert!(net_dev(text).len() <= MAX_INTERFACES);
    flat_keyed(text, |key, _| assert!(!key.is_empty()));
    assert!(memberships(text).all(|one| one.path.starts_with('/')));
    partitions(text, |_, _, name| assert!(!name.is_empty()));
    limit(text);
    cpu_max(text);
});
