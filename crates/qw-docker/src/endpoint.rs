//! Where the engine listens, in the forms of `DOCKER_HOST`.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::Error;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where the engine listens.
///
/// Text forms: `unix:///var/run/docker.sock`, `tcp://host:2375`, `http://host:2375`,
/// `https://host:2376`, or the absolute path of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP without encryption.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// TCP with TLS.
    Tls {
        /// Name or address, which the engine's certificate must carry.
        host: String,
        /// Port.
        port: u16,
        /// Whom to trust and who we are.
        files: TlsFiles,
    },
}

/// PEM files for TLS, as `DOCKER_CERT_PATH` holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may sign the engine's certificate.
    pub authorities: PathBuf,
    /// Our certificate and its key, when the engine asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// `ca.pem`, and `cert.pem` with `key.pem`, in `folder`.
    pub fn in_folder(folder: &std::path::Path) -> Self {
        Self {
            authorities: folder.join("ca.pem"),
            identity: Some((folder.join("cert.pem"), folder.join("key.pem"))),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Unix(DEFAULT_SOCKET.into())
    }
}

impl Endpoint {
    /// The endpoint that the variables of the Docker command line name: `DOCKER_HOST`,
    /// `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `HOME`. Without them the default socket.
    ///
    /// `variable` looks one up; an empty value counts as unset.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let endpoint = match variable("DOCKER_HOST") {
            Some(text) => text.parse()?,
            None => Self::default(),
        };
        let files = || {
            let folder = variable("DOCKER_CERT_PATH")
                .map(PathBuf::from)
                .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".docker")));
            TlsFiles::in_folder(&folder.unwrap_or_default())
        };
        Ok(match endpoint {
            Self::Tcp { host, port } if variable("DOCKER_TLS_VERIFY").is_some() => Self::Tls {
                host,
                port,
                files: files(),
            },
            Self::Tls { host, port, .. } => Self::Tls {
                host,
                port,
                files: files(),
            },
            other => other,
        })
    }

    /// The same endpoint with TLS by `files`; a unix socket stays as it is.
    #[must_use]
    pub fn with_tls(self, files: TlsFiles) -> Self {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => {
                Self::Tls { host, port, files }
            }
            unix @ Self::Unix(_) => unix,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp://{}", Authority(host, *port)),
            Self::Tls { host, port, .. } => write!(f, "https://{}", Authority(host, *port)),
        }
    }
}

struct Authority<'a>(&'a str, u16);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| Error::InvalidEndpoint {
            endpoint: text.chars().take(200).collect(),
            reason,
        };
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid("it has no scheme; use unix://, tcp:// or https://"));
        };
        let rest = rest.trim_end_matches('/');
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::default()),
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => Err(invalid("the path of the socket must be absolute")),
            "tcp" | "http" => {
                let (host, port) = authority(rest, 2375).map_err(invalid)?;
                Ok(Self::Tcp { host, port })
            }
            "https" => {
                let (host, port) = authority(rest, 2376).map_err(invalid)?;
                Ok(Self::Tls {
                    host,
                    port,
                    files: TlsFiles::in_folder("".as_ref()),
                })
            }
            "ssh" | "npipe" => Err(invalid(
                "this transport is not supported; use unix, tcp or https",
            )),
            _ => Err(invalid(
                "its scheme is unknown; use unix://, tcp:// or https://",
            )),
        }
    }
}

fn authority(text: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the address lacks its `]`")?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(['/', '@', ' ']) {
        return Err("it names no host");
    }
    let port = match port {
        Some(port) => port
            .parse()
            .map_err(|_| "its port is not a number up to 65535")?,
        None => default_port,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = match text.parse::<Endpoint>() {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn forms_of_docker_host() {
        check("unix:///run/docker.sock", "unix:///run/docker.sock");
        check("unix://", "unix:///var/run/docker.sock");
        check("/tmp/engine.sock", "unix:///tmp/engine.sock");
        check("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375");
        check("http://engine/", "tcp://engine:2375");
        check("https://[::1]:99", "https://[::1]:99");
    }

    #[test]
    fn other_forms_say_what_is_wrong() {
        check(
            "unix://relative",
            "`unix://relative` is no Docker endpoint: the path of the socket must be absolute",
        );
        check(
            "ssh://host",
            "`ssh://host` is no Docker endpoint: this transport is not supported; use unix, tcp or https",
        );
        check(
            "tcp://:1",
            "`tcp://:1` is no Docker endpoint: it names no host",
        );
        check(
            "tcp://h:99999",
            "`tcp://h:99999` is no Docker endpoint: its port is not a number up to 65535",
        );
        check(
            "docker",
            "`docker` is no Docker endpoint: it has no scheme; use unix://, tcp:// or https://",
        );
    }

    #[test]
    fn the_environment_chooses_tls() {
        let variables = |name: &str| match name {
            "DOCKER_HOST" => Some("tcp://engine:2376".to_owned()),
            "DOCKER_TLS_VERIFY" => Some("1".to_owned()),
            "DOCKER_CERT_PATH" => Some("/certs".to_owned()),
            _ => None,
        };
        assert_eq!(
            Endpoint::from_environment(variables).unwrap(),
            Endpoint::Tls {
                host: "engine".to_owned(),
                port: 2376,
                files: TlsFiles::in_folder("/certs".as_ref()),
            }
        );
        assert_eq!(
            Endpoint::from_environment(|_| None).unwrap(),
            Endpoint::default()
        );
        let plain = |name: &str| (name == "DOCKER_HOST").then(|| "tcp://engine".to_owned());
        assert_eq!(
            Endpoint::from_environment(plain).unwrap().to_string(),
            "tcp://engine:2375"
        );
    }
}
