//! Addresses → what a profile compares: the class of the address, its network, and the port.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// From this port on Linux gives out ports to whoever asks (`ip_local_port_range`).
pub(crate) const FIRST_HIGH_PORT: u16 = 32_768;

/// Where an address belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressClass {
    Loopback,
    Private,
    LinkLocal,
    /// The address under which clouds tell a machine its credentials.
    Metadata,
    Multicast,
    /// The unspecified address: any of the host's own.
    Any,
    Public,
}

impl AddressClass {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        if address.is_loopback() {
            Self::Loopback
        } else if address.is_unspecified() {
            Self::Any
        } else if address == Ipv4Addr::new(169, 254, 169, 254) {
            Self::Metadata
        } else if address.is_link_local() {
            Self::LinkLocal
        } else if address.is_private() || (first == 100 && (64..128).contains(&second)) {
            Self::Private
        } else if address.is_multicast() || address.is_broadcast() {
            Self::Multicast
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_loopback() {
            Self::Loopback
        } else if address.is_unspecified() {
            Self::Any
        } else if address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) {
            Self::Metadata
        } else if address.is_unicast_link_local() {
            Self::LinkLocal
        } else if address.is_unique_local() {
            Self::Private
        } else if address.is_multicast() {
            Self::Multicast
        } else {
            Self::Public
        }
    }

    /// The name, which also begins the wildcard of the class.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Any => "any",
            Self::Public => "public",
        }
    }

    /// An address of the class, in a sentence.
    pub(crate) const fn described(self) -> &'static str {
        match self {
            Self::Loopback => "the container itself",
            Self::Private => "a private address",
            Self::LinkLocal => "the same network",
            Self::Metadata => "the metadata service",
            Self::Multicast => "a multicast address",
            Self::Any => "an unnamed address",
            Self::Public => "a public address",
        }
    }

    /// True for classes of which one container may meet many networks.
    pub(crate) const fn has_networks(self) -> bool {
        matches!(self, Self::Private | Self::Public)
    }
}

/// Appends `network:port` for `address`: a /24 of IPv4, a /48 (public) or /64 (private) of IPv6, or
/// the name of a class that has no networks.
pub(crate) fn write_network(address: IpAddr, port: u16, into: &mut String) -> AddressClass {
    let class = AddressClass::of(address);
    let written = match (class.has_networks(), address.to_canonical()) {
        (true, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            write!(into, "{a}.{b}.{c}.0/24:{port}")
        }
        (true, IpAddr::V6(v6)) => {
            let groups = v6.segments();
            let bits: usize = if class == AddressClass::Public {
                48
            } else {
                64
            };
            let mut network = [0; 8];
            let kept = bits / 16;
            for (to, from) in network.iter_mut().zip(groups).take(kept) {
                *to = from;
            }
            write!(into, "[{}]/{bits}:{port}", Ipv6Addr::from(network))
        }
        (false, _) => write!(into, "{}:{port}", class.as_str()),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
    class
}

/// Class and port of a text that [`write_network`] wrote; `None` for wildcards.
pub(crate) fn read_network(text: &str) -> Option<(AddressClass, u16)> {
    let (network, port) = text.rsplit_once(':')?;
    let address = match network.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => network.split_once('/')?.0,
    };
    let port = port.trim_end_matches("/udp");
    Some((AddressClass::of(address.parse().ok()?), port.parse().ok()?))
}

/// Splits Falco's `client:port->server:port`.
pub(crate) fn ends(name: &str) -> Option<(&str, &str)> {
    name.split_once("->")
}

/// Address and port of one end; the port is behind the last colon, also after IPv6.
pub(crate) fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.trim().rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some((address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_becomes_class_or_network() {
        let check = |address: &str, expected: &str| {
            let mut text = String::new();
            let class = write_network(address.parse().unwrap(), 443, &mut text);
            assert_eq!(text, expected);
            let read = class.has_networks().then_some((class, 443));
            assert_eq!(read_network(&text), read, "{text}");
        };
        check("127.0.0.53", "loopback:443");
        check("::1", "loopback:443");
        check("10.1.2.3", "10.1.2.0/24:443");
        check("100.64.9.9", "100.64.9.0/24:443");
        check("::ffff:172.17.0.5", "172.17.0.0/24:443");
        check("169.254.169.254", "metadata:443");
        check("169.254.1.1", "link-local:443");
        check("fe80::1", "link-local:443");
        check("93.184.216.34", "93.184.216.0/24:443");
        check("2606:2800:220:1::1", "[2606:2800:220::]/48:443");
        check("fd12:3456:789a:1::7", "[fd12:3456:789a:1::]/64:443");
        check("0.0.0.0", "any:443");
        check("239.0.0.1", "multicast:443");
        assert_eq!(read_network("public:443"), None);
    }

    #[test]
    fn names_of_connections_come_apart() {
        let (client, server) = ends("10.0.0.5:41234->45.9.148.3:4444").unwrap();
        assert_eq!(end(client), Some(("10.0.0.5".parse().unwrap(), 41_234)));
        assert_eq!(end(server), Some(("45.9.148.3".parse().unwrap(), 4_444)));
        assert_eq!(end("::1:53"), Some(("::1".parse().unwrap(), 53)));
        assert_eq!(end("nonsense"), None);
    }
}
