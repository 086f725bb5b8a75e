//! What the engine says about itself, containers and images: only the fields that are used.
//!
//! The engine writes absent lists and maps as `null`; here they are empty. Times the engine does not
//! know (year 1) are `None`.

use std::collections::BTreeMap;

use qw_event::Timestamp;
use serde::{Deserialize, Deserializer};

/// `GET /version`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineVersion {
    /// Version of the engine, such as `20.10.24`.
    pub version: String,
    /// Newest API it speaks, such as `1.41`.
    pub api_version: String,
    /// Oldest API it speaks.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
}

/// `GET /info`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineInfo {
    /// Identity of the engine.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// Name of its host.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Version of the engine.
    #[serde(deserialize_with = "or_default")]
    pub server_version: String,
    /// Operating system of the host.
    #[serde(deserialize_with = "or_default")]
    pub operating_system: String,
    /// Kernel of the host.
    #[serde(deserialize_with = "or_default")]
    pub kernel_version: String,
    /// The engine's clock.
    #[serde(deserialize_with = "time")]
    pub system_time: Option<Timestamp>,
    /// Log driver of containers that name none.
    #[serde(deserialize_with = "or_default")]
    pub logging_driver: String,
    /// Folder of the engine's data, as the engine sees it.
    #[serde(deserialize_with = "or_default")]
    pub docker_root_dir: String,
}

/// One entry of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerSummary {
    /// Full id.
    pub id: String,
    /// Names, each with a leading slash; links add names with two.
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// Image reference, or its id when the reference has moved on.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Id of the image, `sha256:…`.
    #[serde(rename = "ImageID", deserialize_with = "or_default")]
    pub image_id: String,
    /// Command line.
    #[serde(deserialize_with = "or_default")]
    pub command: String,
    /// When it was created, seconds since 1970.
    pub created: i64,
    /// Published and exposed ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// State in words, such as `Up 2 hours`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// Networks.
    #[serde(deserialize_with = "or_default")]
    pub network_settings: NetworkSettings,
    /// Mounts.
    #[serde(deserialize_with = "or_default")]
    pub mounts: Vec<Mount>,
}

impl ContainerSummary {
    /// The container's own name without the slash: the one that is no link.
    pub fn name(&self) -> &str {
        self.names
            .iter()
            .filter_map(|name| name.strip_prefix('/'))
            .find(|name| !name.contains('/'))
            .unwrap_or("")
    }
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Address on the host; empty when not published.
    #[serde(rename = "IP", deserialize_with = "or_default")]
    pub address: String,
    /// Port in the container.
    #[serde(rename = "PrivatePort")]
    pub private: u16,
    /// Port on the host; `None` when not published.
    #[serde(rename = "PublicPort")]
    pub public: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub protocol: String,
}

/// Networks of a container by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// Networks by name.
    #[serde(deserialize_with = "or_default")]
    pub networks: BTreeMap<String, Network>,
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// IPv4 address; empty while not running.
    #[serde(rename = "IPAddress", deserialize_with = "or_default")]
    pub address: String,
}

/// A mount of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    /// Name of the volume; empty for others.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Path on the host.
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    /// Path in the container.
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
    /// True when the container may write.
    #[serde(rename = "RW")]
    pub writable: bool,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerDetails {
    /// Full id.
    pub id: String,
    /// Name with a leading slash.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// When it was created.
    #[serde(deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// Id of the image, `sha256:…`.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Program.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// Its arguments.
    #[serde(deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// What it does now.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// What it was created with.
    #[serde(deserialize_with = "or_default")]
    pub config: ContainerConfig,
    /// What the engine does for it.
    #[serde(deserialize_with = "or_default")]
    pub host_config: HostConfig,
    /// File that its log driver writes, as the engine sees it; empty when it has none, or was never
    /// started.
    #[serde(deserialize_with = "or_default")]
    pub log_path: String,
}

/// State of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerState {
    /// As [`ContainerSummary::state`].
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// True when a process of it exists, paused or not.
    pub running: bool,
    /// True while the engine starts it again.
    pub restarting: bool,
    /// When it last started.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
    /// When it last stopped.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Timestamp>,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Number of its first process on the engine's host; 0 while it does not run.
    #[serde(deserialize_with = "or_default")]
    pub pid: i64,
    /// Result of its health check, when it has one.
    pub health: Option<HealthState>,
}

/// Result of a health check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthState {
    /// `starting`, `healthy`, `unhealthy` or `none`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
}

/// What a container was created with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// Image reference as given.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// True when its output is a terminal, so its log stream has no frames.
    pub tty: bool,
    /// Host name inside.
    #[serde(deserialize_with = "or_default")]
    pub hostname: String,
    /// Environment, `NAME=value` each.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
}

/// What the engine does for a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// Where its output goes.
    #[serde(deserialize_with = "or_default")]
    pub log_config: LogConfig,
    /// `bridge`, `host`, `none`, `container:…` or the name of a network.
    #[serde(deserialize_with = "or_default")]
    pub network_mode: String,
    /// Most memory, in bytes; 0 without limit.
    #[serde(deserialize_with = "or_default")]
    pub memory: i64,
    /// Most memory and swap together, in bytes; 0 or less without limit.
    #[serde(deserialize_with = "or_default")]
    pub memory_swap: i64,
    /// Memory that it keeps when memory is short, in bytes; 0 for none.
    #[serde(deserialize_with = "or_default")]
    pub memory_reservation: i64,
    /// Processors it may use at once, in billionths; 0 without limit.
    #[serde(deserialize_with = "or_default")]
    pub nano_cpus: i64,
    /// Processor time per period, in microseconds; 0 or less without limit.
    #[serde(deserialize_with = "or_default")]
    pub cpu_quota: i64,
    /// Length of the period, in microseconds; 0 for the kernel's 100,000.
    #[serde(deserialize_with = "or_default")]
    pub cpu_period: i64,
    /// Weight among others; 0 for the kernel's 1,024.
    #[serde(deserialize_with = "or_default")]
    pub cpu_shares: i64,
    /// Most threads; 0 or less without limit.
    #[serde(deserialize_with = "or_default")]
    pub pids_limit: i64,
}

/// Where a container's output goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// Log driver, such as `json-file`.
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub driver: String,
    /// Its options, such as `max-size`.
    #[serde(rename = "Config", deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

/// One entry of `GET /images/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// Id, `sha256:…`.
    pub id: String,
    /// References, such as `nginx:1.27`.
    #[serde(deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// Repository digests, such as `nginx@sha256:…`.
    #[serde(deserialize_with = "or_default")]
    pub repo_digests: Vec<String>,
    /// When it was built, seconds since 1970.
    pub created: i64,
    /// Bytes on disk.
    #[serde(rename = "Size")]
    pub size_bytes: i64,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageDetails {
    /// Id, `sha256:…`.
    pub id: String,
    /// References.
    #[serde(deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// Repository digests.
    #[serde(deserialize_with = "or_default")]
    pub repo_digests: Vec<String>,
    /// When it was built.
    #[serde(deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// Bytes on disk.
    #[serde(rename = "Size")]
    pub size_bytes: i64,
    /// Processor it is for, such as `amd64`.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// Operating system it is for.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// RFC 3339 text; what is absent, unreadable or before the year 1970 is `None`.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.parse().ok())
        .filter(|time| *time > Timestamp::EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_empty_and_unknown_fields_are_ignored() {
        let text = r#"{"Id":"ab","Names":null,"Labels":null,"Ports":[{"PrivatePort":80,"Type":"tcp"}],
            "Created":5,"State":"running","NetworkSettings":{"Networks":null},"New":{"x":1}}"#;
        let container: ContainerSummary = serde_json::from_str(text).unwrap();
        assert_eq!(container.name(), "");
        assert!(container.labels.is_empty());
        assert_eq!(
            container
                .ports
                .first()
                .map(|port| (port.private, port.public)),
            Some((80, None))
        );
    }

    #[test]
    fn the_name_is_the_one_that_is_no_link() {
        let container = ContainerSummary {
            names: vec!["/web/db".to_owned(), "/db".to_owned()],
            ..ContainerSummary::default()
        };
        assert_eq!(container.name(), "db");
    }

    #[test]
    fn the_year_one_is_no_time() {
        let text = r#"{"StartedAt":"2026-11-21T09:00:00.5Z","FinishedAt":"0001-01-01T00:00:00Z"}"#;
        let state: ContainerState = serde_json::from_str(text).unwrap();
        assert_eq!(
            state.started_at.unwrap().to_string(),
            "2026-11-21T09:00:00.5Z"
        );
        assert_eq!(state.finished_at, None);
    }
}
