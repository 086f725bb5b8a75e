//! One YAML file and the environment → a checked [`Config`].
//!
//! Every key has a name in the environment: `QUAYWATCH_` and its path in capitals, joined by `_`
//! (`store.retention.max_age` → `QUAYWATCH_STORE_RETENTION_MAX_AGE`); its value is YAML. Names that
//! the replaced tools use are honoured where they mean the same. `docs/configuration.md` lists all.

// Named, because the fuzz target includes this file from elsewhere.
#[path = "config/load.rs"]
mod load;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

#[allow(unused_imports, reason = "the fuzz target reads single files")]
pub(crate) use load::from_yaml;
pub(crate) use load::{Loaded, load, to_yaml};
use qw_sources::{docker, file, stdin};
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// Everything that can be configured. Each field's default is what an empty file means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the store; made when absent.
    pub(crate) data_dir: PathBuf,
    /// Addresses we listen on.
    pub(crate) listen: Listen,
    /// Where events come from. Empty: the container `falco` of the local Docker engine, when
    /// there is an engine.
    pub(crate) sources: Vec<SourceConfig>,
    /// What is known of containers.
    pub(crate) inventory: InventoryConfig,
    /// Bounds between sources and store.
    pub(crate) pipeline: PipelineConfig,
    /// How long and how much is kept.
    pub(crate) store: StoreConfig,
    /// Bounds of the metrics.
    pub(crate) metrics: MetricsConfig,
    /// Prometheus for `/api/prom/…`, such as `http://127.0.0.1:9090`.
    pub(crate) prometheus_url: Option<String>,
    /// Folder of a console to serve in place of the embedded one.
    pub(crate) ui_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("quaywatch-data"),
            listen: Listen::default(),
            sources: Vec::new(),
            inventory: InventoryConfig::default(),
            pipeline: PipelineConfig::default(),
            store: StoreConfig::default(),
            metrics: MetricsConfig::default(),
            prometheus_url: None,
            ui_dir: None,
        }
    }
}

/// Addresses we listen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// Console, API, streams and `/falco`.
    pub(crate) console: Listener,
    /// `/metrics`, `/metrics/falco`.
    pub(crate) metrics: Listener,
    /// Falco `http_output` and falcosidekick-style ingest at `/`.
    pub(crate) falco: Listener,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            console: Listener::on(18_000),
            metrics: Listener::on(9_876),
            falco: Listener::on(2_801),
        }
    }
}

/// One address and who may use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listener {
    /// Address and port; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// False leaves the address alone.
    pub(crate) enabled: bool,
    /// For metrics and receivers bound wider than loopback: true answers without credentials.
    pub(crate) open: bool,
    /// Names under which a listener on loopback may be asked besides loopback's own, such as that
    /// of a proxy in front of it.
    pub(crate) allowed_hosts: Vec<String>,
    /// TLS; without it the listener speaks plain HTTP.
    pub(crate) tls: Option<Tls>,
}

impl Default for Listener {
    fn default() -> Self {
        Self::on(0)
    }
}

impl Listener {
    fn on(port: u16) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            enabled: true,
            open: false,
            allowed_hosts: Vec::new(),
            tls: None,
        }
    }
}

/// Files of a TLS listener, PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain, leaf first.
    pub(crate) certificate: PathBuf,
    /// Private key.
    pub(crate) key: PathBuf,
    /// Authorities of client certificates; when given, a client must have one (mutual TLS).
    #[serde(default)]
    pub(crate) client_ca: Option<PathBuf>,
}

/// One source of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum SourceConfig {
    /// Standard output of containers, through the Docker engine.
    Docker(docker::Config),
    /// A file of JSON lines.
    File(file::Config),
    /// Standard input.
    Stdin(stdin::Config),
}

/// What is known of containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InventoryConfig {
    /// Watch the Docker engine.
    pub(crate) docker: bool,
    /// Engine, as in `DOCKER_HOST`.
    pub(crate) endpoint: Option<String>,
}

impl Default for InventoryConfig {
    fn default() -> Self {
        Self {
            docker: true,
            endpoint: None,
        }
    }
}

/// Bounds between sources and store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PipelineConfig {
    /// Memory that events on their way may hold.
    pub(crate) memory: Size,
    /// Events that match one of these queries are counted as filtered and not stored.
    pub(crate) exclude: Vec<String>,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            memory: Size(32 << 20),
            exclude: Vec::new(),
        }
    }
}

/// The store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// How long and how much is kept.
    pub(crate) retention: RetentionConfig,
}

/// How long and how much is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// Events older than this are dropped.
    pub(crate) max_age: Span,
    /// The oldest are dropped while the store is larger.
    pub(crate) max_size: Size,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            max_age: Span(std::time::Duration::from_secs(30 * 86_400)),
            max_size: Size(20 << 30),
        }
    }
}

/// Bounds of the metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MetricsConfig {
    /// Series of one family; what is over is folded into `other` and counted.
    pub(crate) max_series: usize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { max_series: 10_000 }
    }
}

impl Config {
    /// The sources, with the default in place of an empty list.
    pub(crate) fn effective_sources(&self) -> Vec<SourceConfig> {
        let endpoint = self.inventory.endpoint.clone();
        let socket = Path::new("/var/run/docker.sock");
        if self.sources.is_empty()
            && self.inventory.docker
            && (endpoint.is_some() || socket.exists())
        {
            let container = "falco".parse().into_iter().collect();
            vec![SourceConfig::Docker(docker::Config {
                container,
                endpoint,
                ..docker::Config::default()
            })]
        } else {
            self.sources.clone()
        }
    }
}
