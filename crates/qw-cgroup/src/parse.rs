//! Contents of the files → numbers. Pure: bytes in, values out; what is no number is left out.
//!
//! The kernel writes these files, but what a path leads to is not ours to vouch for: every parser
//! takes any bytes, and keeps at most what its bound allows.

use crate::{Device, Interface, Traffic};

/// Block devices kept of one container.
pub const MAX_DEVICES: usize = 64;
/// Interfaces kept of one container.
pub const MAX_INTERFACES: usize = 64;
/// Longest name of an interface that the kernel allows is 15 bytes; there is room for more.
const MAX_INTERFACE_NAME: usize = 64;
/// Interfaces that are not a container's own traffic, as cAdvisor leaves them out.
const IGNORED_INTERFACES: [&[u8]; 4] = [b"lo", b"veth", b"docker", b"nerdctl"];
/// What is larger counts as no limit: version 1 writes the largest page-aligned number.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// The number that is all of `text`, but for blanks around it.
pub fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut number = 0_u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A limit: a number, or `max` or `-1` for none. Byte limits at or above 2^62 are none, too.
pub fn limit(text: &[u8]) -> Option<u64> {
    number(text).filter(|limit| *limit < UNLIMITED_BYTES)
}

/// Gives each `key value` line of a flat keyed file, such as `memory.stat` and `cpu.stat`, to `take`.
pub fn flat_keyed(text: &[u8], mut take: impl FnMut(&[u8], u64)) {
    for line in lines(text) {
        let mut words = words(line);
        if let (Some(key), Some(value), None) = (words.next(), words.next(), words.next())
            && let Some(value) = number(value)
        {
            take(key, value);
        }
    }
}

/// `cpu.max` of version 2: the quota (`None` for `max`) and the period, in microseconds.
pub fn cpu_max(text: &[u8]) -> Option<(Option<u64>, u64)> {
    let mut words = words(text.trim_ascii());
    let (quota, period) = (words.next()?, number(words.next()?)?);
    let quota = match quota {
        b"max" => None,
        quota => Some(number(quota)?),
    };
    Some((quota, period))
}

/// Processes in a piece of `cgroup.procs`: its ends of lines.
pub fn lines_in(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// Adds a piece of `io.stat` of version 2 to `devices`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
pub fn io_stat(text: &[u8], devices: &mut Vec<Device>) {
    for line in lines(text) {
        let mut words = words(line);
        let Some((major, minor)) = words.next().and_then(device_number) else {
            continue;
        };
        let Some(device) = device_of(devices, major, minor) else {
            continue;
        };
        for word in words {
            let Some(at) = word.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let (key, value) = word.split_at(at);
            let Some(value) = value.get(1..).and_then(number) else {
                continue;
            };
            match key {
                b"rbytes" => device.read_bytes = value,
                b"wbytes" => device.written_bytes = value,
                b"rios" => device.reads = value,
                b"wios" => device.writes = value,
                _ => {}
            }
        }
    }
}

/// What a file of version 1's `blkio` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Bytes: `blkio.throttle.io_service_bytes`.
    Bytes,
    /// Reads and writes: `blkio.throttle.io_serviced`.
    Operations,
}

/// Adds a file of version 1's `blkio` to `devices`: `8:0 Read 1`, `8:0 Write 2`, and others.
pub fn blkio(text: &[u8], counted: Counted, devices: &mut Vec<Device>) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(device), Some(operation), Some(value)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (Some((major, minor)), Some(value)) = (device_number(device), number(value)) else {
            continue;
        };
        let is_read = match operation {
            b"Read" => true,
            b"Write" => false,
            _ => continue,
        };
        let Some(device) = device_of(devices, major, minor) else {
            continue;
        };
        *match (counted, is_read) {
            (Counted::Bytes, true) => &mut device.read_bytes,
            (Counted::Bytes, false) => &mut device.written_bytes,
            (Counted::Operations, true) => &mut device.reads,
            (Counted::Operations, false) => &mut device.writes,
        } = value;
    }
}

fn device_number(text: &[u8]) -> Option<(u32, u32)> {
    let at = text.iter().position(|byte| *byte == b':')?;
    let (major, minor) = text.split_at(at);
    let part = |text: &[u8]| u32::try_from(number(text)?).ok();
    Some((part(major)?, part(minor.get(1..)?)?))
}

/// The entry of a device, made when there is room for it.
fn device_of(devices: &mut Vec<Device>, major: u32, minor: u32) -> Option<&mut Device> {
    let is_it = |device: &Device| (device.major, device.minor) == (major, minor);
    let at = match devices.iter().position(is_it) {
        Some(at) => at,
        None if devices.len() < MAX_DEVICES => {
            devices.push(Device {
                major,
                minor,
                ..Device::default()
            });
            devices.len() - 1
        }
        None => return None,
    };
    devices.get_mut(at)
}

/// `/proc/PID/net/dev`: the interfaces but for loopback and the host's ends of other containers.
pub fn net_dev(text: &[u8]) -> Vec<Interface> {
    let mut interfaces = Vec::new();
    // The first two lines are the heading.
    for line in lines(text).skip(2) {
        if interfaces.len() == MAX_INTERFACES {
            break;
        }
        let Some(at) = line.iter().rposition(|byte| *byte == b':') else {
            continue;
        };
        let (name, counts) = line.split_at(at);
        let name = name.trim_ascii();
        if name.is_empty()
            || name.len() > MAX_INTERFACE_NAME
            || IGNORED_INTERFACES
                .iter()
                .any(|ignored| name.starts_with(ignored))
        {
            continue;
        }
        let mut values = [0_u64; 16];
        let mut found = 0;
        for (value, word) in values
            .iter_mut()
            .zip(words(counts.get(1..).unwrap_or_default()))
        {
            let Some(number) = number(word) else { break };
            *value = number;
            found += 1;
        }
        if found < values.len() {
            continue;
        }
        let traffic = |first: &[u64]| match *first {
            [bytes, packets, errors, dropped, ..] => Traffic {
                bytes,
                packets,
                errors,
                dropped,
            },
            _ => Traffic::default(),
        };
        let (received, transmitted) = values.split_at(8);
        interfaces.push(Interface {
            name: String::from_utf8_lossy(name).into(),
            received: traffic(received),
            transmitted: traffic(transmitted),
        });
    }
    interfaces
}

/// One line of `/proc/PID/cgroup`: `hierarchy:controllers:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership<'a> {
    /// Names of the controllers, with commas; empty for version 2, `name=…` for one without
    /// controllers.
    pub controllers: &'a str,
    /// Path of the group, from the root of the hierarchy as the reader's namespace sees it.
    pub path: &'a str,
}

/// The lines of `/proc/PID/cgroup`; those that are not UTF-8 or whose path is not absolute are left
/// out.
pub fn memberships(text: &[u8]) -> impl Iterator<Item = Membership<'_>> {
    lines(text).filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (_, rest) = line.split_once(':')?;
        // A path may hold colons, controllers do not.
        let (controllers, path) = rest.split_once(':')?;
        // A group that was removed while its process goes on.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        path.starts_with('/')
            .then_some(Membership { controllers, path })
    })
}

/// `/proc/partitions`: gives the number and name of each block device to `take`.
pub fn partitions(text: &[u8], mut take: impl FnMut(u32, u32, &str)) {
    for line in lines(text) {
        let mut words = words(line);
        let (Some(major), Some(minor), Some(_), Some(name)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let part = |text: &[u8]| u32::try_from(number(text)?).ok();
        if let (Some(major), Some(minor), Ok(name)) =
            (part(major), part(minor), std::str::from_utf8(name))
        {
            take(major, minor, name);
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_limits() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 42\n", Some(42)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("max", None),
            ("", None),
            ("1 2", None),
            ("0x10", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(limit(b"9223372036854771712\n"), None);
        assert_eq!(limit(b"max\n"), None);
        assert_eq!(limit(b"-1\n"), None);
        assert_eq!(limit(b"67108864\n"), Some(64 << 20));
        assert_eq!(cpu_max(b"50000 100000\n"), Some((Some(50_000), 100_000)));
        assert_eq!(cpu_max(b"max 100000\n"), Some((None, 100_000)));
        assert_eq!(cpu_max(b"max\n"), None);
        assert_eq!(cpu_max(b"-5 100000\n"), None);
    }

    #[test]
    fn devices_of_version_2() {
        // From the kernel's cgroup-v2.rst, with a device that has not been used.
        let text = b"8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
            8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021\n\
            7:0 \n";
        let mut devices = Vec::new();
        io_stat(text, &mut devices);
        assert_eq!(devices.len(), 3);
        assert_eq!(
            devices.get(1),
            Some(&Device {
                major: 8,
                minor: 0,
                read_bytes: 90_430_464,
                written_bytes: 299_008_000,
                reads: 8950,
                writes: 1252,
            })
        );
    }

    #[test]
    fn devices_of_version_1() {
        let bytes = b"254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 12288\n254:0 Async 0\n\
            254:0 Discard 0\n254:0 Total 12288\nTotal 12288\n";
        let operations = b"254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3\n";
        let mut devices = Vec::new();
        blkio(bytes, Counted::Bytes, &mut devices);
        blkio(operations, Counted::Operations, &mut devices);
        let expected = Device {
            major: 254,
            minor: 0,
            read_bytes: 4096,
            written_bytes: 8192,
            reads: 1,
            writes: 2,
        };
        assert_eq!(devices, [expected]);
    }

    #[test]
    fn interfaces_of_a_container() {
        let text = b"Inter-|   Receive                                                |  Transmit\n \
face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n  \
eth0: 261958431   11567    1    2    0     0          0         0   820460    8022    3    4    0     0       0          0\n\
br:1: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n\
bad0: 1 2 3\nveth1a2b: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let interfaces = net_dev(text);
        let names: Vec<_> = interfaces.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["eth0", "br:1"]);
        let eth0 = interfaces.first().unwrap();
        assert_eq!(
            (eth0.received, eth0.transmitted),
            (
                Traffic {
                    bytes: 261_958_431,
                    packets: 11_567,
                    errors: 1,
                    dropped: 2
                },
                Traffic {
                    bytes: 820_460,
                    packets: 8022,
                    errors: 3,
                    dropped: 4
                }
            )
        );
    }

    #[test]
    fn memberships_of_both_versions() {
        let text = b"9:name=systemd:/\n4:memory:/docker/ab\n2:cpu,cpuacct:/docker/a:b\n0::/../x (deleted)\nrubbish\n";
        let all: Vec<_> = memberships(text)
            .map(|one| (one.controllers, one.path))
            .collect();
        assert_eq!(
            all,
            [
                ("name=systemd", "/"),
                ("memory", "/docker/ab"),
                ("cpu,cpuacct", "/docker/a:b"),
                ("", "/../x")
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
            everything(&text);
        }

        #[test]
        fn nearly_right_text_is_taken(text in "([0-9]{1,21}:[0-9]{0,4}|Read|Write|max|[a-z]{1,8}=?[0-9]{0,21}|eth0:|[ \n:=]){0,200}") {
            everything(text.as_bytes());
        }

        #[test]
        fn numbers_round_trip(value in any::<u64>()) {
            prop_assert_eq!(number(format!(" {value}\n").as_bytes()), Some(value));
        }

        #[test]
        fn what_the_kernel_writes_is_read(devices in proptest::collection::vec(any::<(u32, u32, u64, u64)>(), 0..100)) {
            let mut text = String::new();
            for (major, minor, read, written) in &devices {
                text.push_str(&format!("{major}:{minor} rbytes={read} wbytes={written} rios=1 wios=2 dbytes=0 dios=0\n"));
            }
            let mut found = Vec::new();
            io_stat(text.as_bytes(), &mut found);
            let mut distinct: Vec<_> = devices.iter().map(|(major, minor, ..)| (*major, *minor)).collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(found.len(), distinct.len().min(MAX_DEVICES));
            for device in &found {
                let (.., read, written) = devices.iter().rfind(|(major, minor, ..)| (*major, *minor) == (device.major, device.minor)).unwrap();
                prop_assert_eq!((device.read_bytes, device.written_bytes), (*read, *written));
            }
        }
    }

    fn everything(text: &[u8]) {
        let mut devices = Vec::new();
        io_stat(text, &mut devices);
        blkio(text, Counted::Bytes, &mut devices);
        assert!(devices.len() <= MAX_DEVICES);
        assert!(net_dev(text).len() <= MAX_INTERFACES);
        flat_keyed(text, |key, _| assert!(!key.is_empty()));
        assert!(memberships(text).all(|one| one.path.starts_with('/')));
        partitions(text, |_, _, _| {});
        limit(text);
        cpu_max(text);
    }
}
