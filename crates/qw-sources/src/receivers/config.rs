//! How a receiver is configured, and what a configuration may not say.

use std::{net::SocketAddr, path::PathBuf};

use qw_event::SourceId;
use qw_pipeline::SourceError;
use qw_tls::TlsFiles;
use serde::{Deserialize, Serialize};

use super::Address;

/// One receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is spoken.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Tells several receivers of one kind apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it listens; the kind's own port on loopback when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<Address>,
    /// Files for the addresses with `tls` and `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whoever reaches the address may send.
    #[serde(default)]
    pub open: bool,
    /// Minutes by which the clock of senders that name no zone is ahead of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset_minutes: Option<i32>,
    /// Fluentd's shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_key: Option<SecretFile>,
    /// Access keys that may sign requests to CloudWatch Logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<CloudwatchKey>,
}

/// What a receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// RFC 3164 and 5424.
    Syslog,
    /// Graylog Extended Log Format 1.1.
    Gelf,
    /// Fluentd's forward protocol, version 1.
    Fluentd,
    /// Splunk's HTTP event collector.
    SplunkHec,
    /// Grafana Loki's push API.
    Loki,
    /// OpenTelemetry logs over HTTP and gRPC.
    Otlp,
    /// Elasticsearch's bulk API.
    Elasticsearch,
    /// AWS CloudWatch Logs.
    Cloudwatch,
}

/// Files of a receiver that speaks TLS, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Authorities of client certificates; when given, a client must have one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// A file that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// The file; white space at its end does not count.
    pub file: PathBuf,
}

impl SecretFile {
    /// The secret.
    pub(super) fn read(&self) -> Result<Vec<u8>, SourceError> {
        let failed = |error| {
            SourceError::new(
                format!("cannot read the secret in `{}`", self.file.display()),
                error,
            )
        };
        let secret = std::fs::read(&self.file).map_err(failed)?;
        Ok(secret.trim_ascii_end().to_vec())
    }
}

/// An access key and where its secret lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudwatchKey {
    /// `AKIA…`, or any other word.
    pub access_key_id: String,
    /// File with the secret access key.
    pub secret: SecretFile,
}

/// Why a receiver cannot be as it is configured; the text names the key and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidReceiver(String);

impl Kind {
    /// Name in configurations, statuses and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Gelf => "gelf",
            Self::Fluentd => "fluentd",
            Self::SplunkHec => "splunk_hec",
            Self::Loki => "loki",
            Self::Otlp => "otlp",
            Self::Elasticsearch => "elasticsearch",
            Self::Cloudwatch => "cloudwatch",
        }
    }

    /// True for the kinds that are served over HTTP.
    pub const fn is_http(self) -> bool {
        !matches!(self, Self::Syslog | Self::Gelf | Self::Fluentd)
    }

    fn default_addresses(self) -> Vec<Address> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        match self {
            Self::Syslog => vec![Address::Udp(local(5514)), Address::Tcp(local(5514))],
            Self::Gelf => vec![Address::Udp(local(12201)), Address::Tcp(local(12201))],
            Self::Fluentd => vec![Address::Tcp(local(24224))],
            Self::SplunkHec => vec![Address::Http(local(8088))],
            Self::Loki => vec![Address::Http(local(3100))],
            Self::Otlp => vec![Address::Http(local(4318)), Address::Http(local(4317))],
            Self::Elasticsearch => vec![Address::Http(local(9200))],
            Self::Cloudwatch => vec![Address::Http(local(4586))],
        }
    }
}

impl Config {
    /// What is spoken.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<Address> {
        if self.listen.is_empty() {
            self.kind.default_addresses()
        } else {
            self.listen.clone()
        }
    }

    /// Files for TLS.
    pub fn tls(&self) -> Option<TlsFiles> {
        self.tls.as_ref().map(|tls| TlsFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_ca: tls.client_ca.clone(),
        })
    }

    /// Name of the source.
    pub fn source_id(&self) -> SourceId {
        match &self.name {
            None => SourceId::new(self.kind.as_str()),
            Some(name) => SourceId::new(&format!("{}:{name}", self.kind.as_str())),
        }
    }

    /// What it receives, and where.
    pub fn description(&self) -> String {
        let addresses: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        addresses.join(", ")
    }

    /// Refuses what cannot work, and doors that would be open by mistake.
    pub fn check(&self) -> Result<(), InvalidReceiver> {
        let kind = self.kind.as_str();
        let refuse = |text: String| {
            Err(InvalidReceiver(format!(
                "receiver `{}`: {text}",
                self.source_id()
            )))
        };
        for address in self.addresses() {
            let fits = match self.kind {
                Kind::Syslog => !address.is_http(),
                Kind::Gelf => !address.is_http(),
                Kind::Fluentd => matches!(
                    address,
                    Address::Tcp(_) | Address::Tls(_) | Address::Unix(_)
                ),
                _ => address.is_http(),
            };
            if !fits {
                return refuse(format!("`{address}`: `{kind}` is not spoken this way"));
            }
            if address.is_encrypted() && self.tls.is_none() {
                return refuse(format!(
                    "`{address}` needs `tls` with `certificate` and `key`"
                ));
            }
            let knows_senders = match self.kind {
                Kind::Cloudwatch => !self.keys.is_empty(),
                Kind::Fluentd => self.shared_key.is_some(),
                // Tokens, which the server checks.
                kind if kind.is_http() => true,
                _ => false,
            };
            let has_certificates = address.is_encrypted()
                && self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
            if !address.is_local() && !self.open && !knows_senders && !has_certificates {
                let way_out = match self.kind {
                    Kind::Fluentd => "`shared_key`, ",
                    Kind::Cloudwatch => "`keys`, ",
                    _ => "",
                };
                return refuse(format!(
                    "everybody who reaches `{address}` could send; set {way_out}`tls.client_ca` with a `tls` address, or `open: true` to say that this is meant"
                ));
            }
        }
        if self.shared_key.is_some() && self.kind != Kind::Fluentd {
            return refuse("`shared_key` is Fluentd's alone".to_owned());
        }
        if !self.keys.is_empty() && self.kind != Kind::Cloudwatch {
            return refuse("`keys` are CloudWatch's alone".to_owned());
        }
        if self
            .utc_offset_minutes
            .is_some_and(|minutes| minutes.abs() > 14 * 60)
        {
            return refuse("`utc_offset_minutes` must be from -840 to 840".to_owned());
        }
        let name_is_good = self.name.as_ref().is_none_or(|name| {
            let allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            (1..=64).contains(&name.len()) && name.bytes().all(allowed)
        });
        if !name_is_good {
            return refuse("`name` must be 1 to 64 letters, digits, `.`, `_` or `-`".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_door_is_open_to_all_only_when_that_is_said() {
        let check =
            |json: serde_json::Value| config(json).check().map_err(|error| error.to_string());
        let tls = serde_json::json!({"certificate": "/a", "key": "/b"});
        let with_ca = serde_json::json!({"certificate": "/a", "key": "/b", "client_ca": "/c"});
        assert_eq!(check(serde_json::json!({"type": "syslog"})), Ok(()));
        for (json, expected) in [
            (
                serde_json::json!({"type": "syslog", "listen": ["udp://0.0.0.0:514"]}),
                "everybody who reaches",
            ),
            (
                serde_json::json!({"type": "syslog", "listen": ["tls://0.0.0.0:6514"]}),
                "needs `tls`",
            ),
            (
                serde_json::json!({"type": "syslog", "listen": ["tls://0.0.0.0:6514"], "tls": tls}),
                "everybody",
            ),
            (
                serde_json::json!({"type": "fluentd", "listen": ["tcp://0.0.0.0:24224"]}),
                "`shared_key`",
            ),
            (
                serde_json::json!({"type": "gelf", "listen": ["http://127.0.0.1:1"]}),
                "not spoken this way",
            ),
            (
                serde_json::json!({"type": "gelf", "shared_key": {"file": "/a"}}),
                "Fluentd's alone",
            ),
            (serde_json::json!({"type": "gelf", "name": "a b"}), "`name`"),
        ] {
            let error = check(json).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(
            check(
                serde_json::json!({"type": "syslog", "listen": ["udp://0.0.0.0:514"], "open": true})
            ),
            Ok(())
        );
        assert_eq!(
            check(
                serde_json::json!({"type": "syslog", "listen": ["tls://0.0.0.0:6514"], "tls": with_ca})
            ),
            Ok(())
        );
        assert_eq!(
            check(serde_json::json!({"type": "loki", "listen": ["http://0.0.0.0:3100"]})),
            Ok(())
        );
    }
}
