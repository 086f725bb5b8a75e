//! What Falco calls things, from what `strace` calls them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::trace::{member, text};

/// What the address of a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Ip(IpAddr, u16),
    Unix(String),
}

/// Fields of a call with two paths.
pub(crate) fn two_paths(fields: &mut Vec<(&'static str, Value)>, source: String, target: String) {
    fields.push(("fs.path.source", json!(source)));
    fields.push(("fs.path.target", json!(target)));
}

/// Fields of a socket with a path.
pub(crate) fn unix(fields: &mut Vec<(&'static str, Value)>, path: &str) {
    fields.push(("fd.name", json!(path)));
    fields.push(("fd.type", json!("unix")));
}

/// Fields of a socket that waits at `address`.
pub(crate) fn listening(
    fields: &mut Vec<(&'static str, Value)>,
    address: IpAddr,
    port: u16,
    protocol: &str,
) {
    fields.push(("fd.name", json!(pair((address, port)))));
    fields.push(("fd.type", json!(family(address))));
    fields.push(("fd.l4proto", json!(protocol)));
    fields.push(("fd.sip", json!(address.to_string())));
    fields.push(("fd.sport", json!(port)));
}

/// Fields of a connection, or of a datagram, between `client` and `server`.
pub(crate) fn connection(
    fields: &mut Vec<(&'static str, Value)>,
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    from_here: bool,
    protocol: &str,
) {
    let (local, remote) = if from_here {
        (client, server)
    } else {
        (server, client)
    };
    fields.push((
        "fd.name",
        json!(format!("{}->{}", pair(client), pair(server))),
    ));
    fields.push(("fd.type", json!(family(server.0))));
    fields.push(("fd.l4proto", json!(protocol)));
    fields.push(("fd.cip", json!(client.0.to_string())));
    fields.push(("fd.cport", json!(client.1)));
    fields.push(("fd.sip", json!(server.0.to_string())));
    fields.push(("fd.sport", json!(server.1)));
    fields.push(("fd.lip", json!(local.0.to_string())));
    fields.push(("fd.lport", json!(local.1)));
    fields.push(("fd.rip", json!(remote.0.to_string())));
    fields.push(("fd.rport", json!(remote.1)));
}

/// Falco writes addresses of version 6 without brackets.
fn pair((address, port): (IpAddr, u16)) -> String {
    format!("{address}:{port}")
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

/// What `{sa_family=…}` says; `None` for families that no rule speaks of.
pub(crate) fn parse_address(argument: &str) -> Option<Address> {
    if let Some(path) = member(argument, "sun_path") {
        return Some(Address::Unix(text(path.trim_start_matches('@'))));
    }
    let number = |key: &str| {
        let port = member(argument, key)?.strip_prefix("htons(")?;
        port.trim_end_matches(')').parse().ok()
    };
    if let Some(port) = number("sin_port") {
        let address = member(argument, "sin_addr")?.split('"').nth(1)?;
        return Some(Address::Ip(address.parse().ok()?, port));
    }
    let port = number("sin6_port")?;
    let address = argument.split("AF_INET6, \"").nth(1)?.split('"').next()?;
    let address: IpAddr = address.parse().ok()?;
    // A socket for both versions names peers of version 4 so.
    Some(Address::Ip(address.to_canonical(), port))
}

/// Names of the bits of a file mode, in Falco's words.
pub(crate) fn mode(argument: &str) -> String {
    const BITS: [(u32, &str); 12] = [
        (0o1, "S_IXOTH"),
        (0o2, "S_IWOTH"),
        (0o4, "S_IROTH"),
        (0o10, "S_IXGRP"),
        (0o20, "S_IWGRP"),
        (0o40, "S_IRGRP"),
        (0o100, "S_IXUSR"),
        (0o200, "S_IWUSR"),
        (0o400, "S_IRUSR"),
        (0o1000, "S_ISVTX"),
        (0o2000, "S_ISGID"),
        (0o4000, "S_ISUID"),
    ];
    let bits = u32::from_str_radix(argument, 8).unwrap_or_default();
    let names: Vec<&str> = BITS
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    names.join("|")
}

/// `path` as seen from `folder`, without `.` and `..`.
pub(crate) fn join(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder of `path`.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Time of day and the whole time stamp of `time`, nanoseconds since 1970.
pub(crate) fn clock(time: u64) -> (String, String) {
    let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil calendar from a count of days, years beginning in March.
    let days = days as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let clock = format!(
        "{:02}:{:02}:{:02}.{rest:09}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    );
    let stamp = format!("{year:04}-{month:02}-{day:02}T{clock}Z");
    (clock, stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |argument: &str, expected: Option<Address>| {
            assert_eq!(parse_address(argument), expected);
        };
        let local = IpAddr::from([127, 0, 0, 1]);
        check(
            r#"{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}"#,
            Some(Address::Ip(local, 80)),
        );
        check(
            r#"{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::ffff:127.0.0.1", &sin6_addr), sin6_scope_id=0}"#,
            Some(Address::Ip(local, 80)),
        );
        check(
            r#"{sa_family=AF_UNIX, sun_path=@"/tmp/x"}"#,
            Some(Address::Unix("/tmp/x".to_owned())),
        );
        check("{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}", None);
        check("NULL", None);
    }

    #[test]
    fn paths() {
        assert_eq!(join("/a/b", "../c/./d"), "/a/c/d");
        assert_eq!(join("/a", "/b//c"), "/b/c");
        assert_eq!(join("/", "../.."), "/");
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/a/b"), "/a");
    }

    #[test]
    fn times() {
        let (clock, stamp) = clock(1_795_266_282_823_915_468);
        assert_eq!(clock, "13:04:42.823915468");
        assert_eq!(stamp, "2026-11-21T13:04:42.823915468Z");
    }
}
