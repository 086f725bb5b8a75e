//! Where a receiver listens: `udp://127.0.0.1:5514`, `tls://0.0.0.0:6514`, `unix:///run/log.sock`.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a receiver listens, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Datagrams.
    Udp(SocketAddr),
    /// Connections.
    Tcp(SocketAddr),
    /// Encrypted connections.
    Tls(SocketAddr),
    /// Connections to a socket file.
    Unix(PathBuf),
    /// Datagrams to a socket file.
    UnixDatagram(PathBuf),
    /// HTTP.
    Http(SocketAddr),
    /// HTTP over TLS.
    Https(SocketAddr),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address to listen at; expected `udp://`, `tcp://`, `tls://`, `http://` or `https://` \
     with an IP address and a port, such as `tcp://127.0.0.1:5514`, or `unix://` or `unixgram://` with \
     the path of a socket"
)]
pub struct InvalidAddress(String);

impl Address {
    /// The address in the network; `None` for socket files.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp(address)
            | Self::Tcp(address)
            | Self::Tls(address)
            | Self::Http(address)
            | Self::Https(address) => Some(*address),
            Self::Unix(_) | Self::UnixDatagram(_) => None,
        }
    }

    /// True when only this host can send to it.
    pub fn is_local(&self) -> bool {
        self.socket()
            .is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// True for `tls://` and `https://`.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Https(_))
    }

    /// True for `http://` and `https://`.
    pub fn is_http(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Https(_))
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        let socket = || rest.parse::<SocketAddr>().map_err(|_| invalid());
        let path = || {
            let path = PathBuf::from(rest);
            path.is_absolute().then_some(path).ok_or_else(invalid)
        };
        Ok(match scheme {
            "udp" => Self::Udp(socket()?),
            "tcp" => Self::Tcp(socket()?),
            "tls" | "tcp+tls" => Self::Tls(socket()?),
            "http" => Self::Http(socket()?),
            "https" => Self::Https(socket()?),
            "unix" => Self::Unix(path()?),
            "unixgram" => Self::UnixDatagram(path()?),
            _ => return Err(invalid()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Tls(address) => write!(f, "tls://{address}"),
            Self::Http(address) => write!(f, "http://{address}"),
            Self::Https(address) => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::UnixDatagram(path) => write!(f, "unixgram://{}", path.display()),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "udp://127.0.0.1:5514",
            "tcp://[::1]:5514",
            "tls://0.0.0.0:6514",
            "http://127.0.0.1:0",
            "https://10.0.0.1:8088",
            "unix:///run/log.sock",
            "unixgram:///dev/log",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "5514",
            "udp://",
            "udp://localhost:1",
            "unix://a",
            "ftp://127.0.0.1:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_this_host_alone_can_reach_is_local() {
        let is_local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(is_local("udp://127.0.0.1:1") && is_local("unix:///a"));
        assert!(is_local("tcp://[::ffff:127.0.0.1]:1"));
        assert!(!is_local("udp://0.0.0.0:1") && !is_local("tcp://192.0.2.1:1"));
    }
}
