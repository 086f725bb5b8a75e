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
    time::Duration,
};

#[allow(unused_imports, reason = "the fuzz target reads single files")]
pub(crate) use load::from_yaml;
pub(crate) use load::{Loaded, load, to_yaml};
use qw_event::Priority;
use qw_sources::{StartFrom, docker, file, logs, receivers, stdin};
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
    /// What containers print.
    pub(crate) logs: LogsConfig,
    /// Where others send logs to.
    pub(crate) receivers: Vec<receivers::Config>,
    /// Where records are forwarded to.
    pub(crate) routes: Vec<qw_sinks::routes::RouteConfig>,
    /// What is known of containers.
    pub(crate) inventory: InventoryConfig,
    /// What containers use.
    pub(crate) usage: UsageConfig,
    /// Bounds between sources and store.
    pub(crate) pipeline: PipelineConfig,
    /// How long and how much is kept.
    pub(crate) store: StoreConfig,
    /// How workloads are learned.
    pub(crate) profiles: ProfilesConfig,
    /// What becomes an alert, and how alerts are kept.
    pub(crate) alerts: AlertsConfig,
    /// Who is told about alerts.
    pub(crate) notifications: qw_sinks::Config,
    /// Provider through which people may sign in besides local users.
    pub(crate) oidc: Option<qw_oidc::Config>,
    /// Who did what.
    pub(crate) audit: AuditConfig,
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
            logs: LogsConfig::default(),
            receivers: Vec::new(),
            routes: Vec::new(),
            inventory: InventoryConfig::default(),
            usage: UsageConfig::default(),
            pipeline: PipelineConfig::default(),
            store: StoreConfig::default(),
            profiles: ProfilesConfig::default(),
            alerts: AlertsConfig::default(),
            notifications: qw_sinks::Config::default(),
            oidc: None,
            audit: AuditConfig::default(),
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

/// What containers print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogsConfig {
    /// Read the logs of the Docker engine's containers.
    pub(crate) enabled: bool,
    /// Where to begin.
    pub(crate) from: StartFrom,
    /// How to read them.
    pub(crate) way: logs::Way,
    /// Containers to read; all when empty.
    pub(crate) include: Vec<logs::Pattern>,
    /// Containers not to read.
    pub(crate) exclude: Vec<logs::Pattern>,
    /// What to read of each container.
    pub(crate) streams: Vec<LogStream>,
    /// Longest record; what is longer becomes several.
    pub(crate) max_line_bytes: Size,
    /// Which lines belong together, in containers whose label does not say.
    pub(crate) multiline: String,
    /// Secrets that are replaced before anything is stored: names of built-in rules, or `all`.
    pub(crate) redact: Vec<String>,
    /// Where the engine's data folder is seen by us.
    pub(crate) docker_root: Option<PathBuf>,
    /// What may wait, unread, in files of one log that were rotated away.
    pub(crate) max_held: Size,
    /// Files of programs.
    pub(crate) files: Vec<logs::FileGroup>,
    /// Logs of Kubernetes' pods.
    pub(crate) pods: PodsConfig,
    /// The journal of this host.
    pub(crate) journal: logs::JournalConfig,
    /// Files inside containers.
    pub(crate) inside: InsideConfig,
}

/// Files inside containers, fetched through the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InsideConfig {
    /// Fetch those that containers name by their label, and those of `rules`.
    pub(crate) enabled: bool,
    /// Files of containers whose label does not say.
    pub(crate) rules: Vec<logs::InsideRule>,
    /// Time between two looks.
    pub(crate) every: Span,
    /// Largest file that is fetched, and largest folder that is listed.
    pub(crate) max_file: Size,
}

impl Default for InsideConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            rules: Vec::new(),
            every: Span(Duration::from_secs(5)),
            max_file: Size(64 << 20),
        }
    }
}

/// Logs of Kubernetes' pods, as the runtimes write them on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PodsConfig {
    /// Read them.
    pub(crate) enabled: bool,
    /// The kubelet's folder of logs, as we see it.
    pub(crate) path: PathBuf,
}

impl Default for PodsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            path: PathBuf::from("/var/log/pods"),
        }
    }
}

impl Default for LogsConfig {
    fn default() -> Self {
        let config = logs::Config::default();
        Self {
            enabled: false,
            from: config.from,
            way: config.way,
            include: config.include,
            exclude: config.exclude,
            streams: vec![LogStream::Stdout, LogStream::Stderr],
            max_line_bytes: Size(config.max_line_bytes as u64),
            multiline: String::from("off"),
            redact: Vec::new(),
            docker_root: config.docker_root,
            max_held: Size(config.max_held_bytes),
            files: Vec::new(),
            pods: PodsConfig::default(),
            journal: logs::JournalConfig::default(),
            inside: InsideConfig::default(),
        }
    }
}

/// What a container writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is known of containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InventoryConfig {
    /// Watch the Docker engine.
    pub(crate) docker: bool,
    /// Engine, as in `DOCKER_HOST`.
    pub(crate) endpoint: Option<String>,
    /// Keep what happens to containers as events.
    pub(crate) events: bool,
}

impl Default for InventoryConfig {
    fn default() -> Self {
        Self {
            docker: true,
            endpoint: None,
            events: true,
        }
    }
}

/// What containers use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UsageConfig {
    /// Read what the engine's containers use.
    pub(crate) enabled: bool,
    /// Time between two readings.
    pub(crate) interval: Span,
    /// Readings are kept in memory for this long.
    pub(crate) history: Span,
    /// Containers that are read at most.
    pub(crate) max_containers: usize,
    /// Where control groups are mounted.
    pub(crate) cgroup_root: PathBuf,
    /// Where the engine's processes are seen.
    pub(crate) proc_root: PathBuf,
    /// Labels of containers that metrics tell; all when absent.
    pub(crate) container_labels: Option<Vec<String>>,
    /// Graphite servers that are told of each reading.
    pub(crate) graphite: Vec<qw_sinks::graphite::Config>,
}

impl Default for UsageConfig {
    fn default() -> Self {
        let roots = qw_cgroup::Roots::default();
        Self {
            enabled: true,
            interval: Span(Duration::from_secs(10)),
            history: Span(Duration::from_secs(3600)),
            max_containers: 1000,
            cgroup_root: roots.cgroup,
            proc_root: roots.proc,
            container_labels: None,
            graphite: Vec::new(),
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
    /// Events that match one of these queries are profiled and counted, and stored only when
    /// something is noticed in them, shortly before or after that, or as a sample.
    pub(crate) observe: Vec<String>,
    /// Of these, one in so many is stored all the same; 0 stores none.
    pub(crate) observe_sample: u32,
    /// How long before and after something was noticed the events of its container are stored.
    pub(crate) observe_context: Span,
    /// Records that match one of these queries are forwarded by routes and not stored, as long as there is
    /// a route.
    pub(crate) forward_only: Vec<String>,
    /// Disk that such records may hold until every route has them; the oldest go first.
    pub(crate) forward_buffer: Size,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            memory: Size(32 << 20),
            exclude: Vec::new(),
            observe: Vec::new(),
            observe_sample: 1000,
            observe_context: Span(Duration::from_secs(10)),
            forward_only: Vec::new(),
            forward_buffer: Size(4 << 30),
        }
    }
}

/// The store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// How long and how much is kept.
    pub(crate) retention: RetentionConfig,
    /// The newest events are sealed into a segment when they are this many.
    pub(crate) seal_events: usize,
    /// Time between two rounds of sealing, merging and dropping.
    pub(crate) upkeep_every: Span,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            retention: RetentionConfig::default(),
            seal_events: qw_store::Options::default().seal_events,
            upkeep_every: Span(Duration::from_secs(2)),
        }
    }
}

/// How long and how much is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// Events older than this are dropped.
    pub(crate) max_age: Span,
    /// The oldest events are dropped while they and the catalogue are larger.
    pub(crate) max_size: Size,
    /// The same for lines of logs.
    pub(crate) logs: LogRetentionConfig,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            max_age: Span(Duration::from_secs(30 * 86_400)),
            max_size: Size(20 << 30),
            logs: LogRetentionConfig::default(),
        }
    }
}

/// How long and how much of logs is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogRetentionConfig {
    /// Lines older than this are dropped.
    pub(crate) max_age: Span,
    /// The oldest lines are dropped while logs are larger.
    pub(crate) max_size: Size,
}

impl Default for LogRetentionConfig {
    fn default() -> Self {
        Self {
            max_age: Span(Duration::from_secs(7 * 86_400)),
            max_size: Size(10 << 30),
        }
    }
}

/// How workloads are learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProfilesConfig {
    /// False learns nothing and finds no deviations.
    pub(crate) enabled: bool,
    /// What has one profile.
    pub(crate) per: qw_profile::Per,
    /// Deviations of at least this score become alerts, 0 to 1.
    pub(crate) least_score: f64,
    /// Time after the first event in which what is met does not count as new.
    pub(crate) warm_up: Span,
    /// Shortest time of learning.
    pub(crate) minimum_time: Span,
    /// Fewest events of a branch before it may end to learn.
    pub(crate) minimum_events: u64,
    /// Learning ends below this estimated share of events that show something new.
    pub(crate) unseen_mass: f64,
    /// Learning ends below this number of new nodes per hour.
    pub(crate) new_nodes_per_hour: f64,
    /// Time in which the weight of what is not met any more halves.
    pub(crate) half_life: Span,
    /// While learning, what was not met for so long is forgotten.
    pub(crate) forget_after: Span,
    /// Paths and flags at least this similar are the same, 0 to 1.
    pub(crate) threshold: f64,
    /// Profiles at most.
    pub(crate) max_profiles: usize,
    /// Memory of all profiles at most.
    pub(crate) max_memory: Size,
    /// Folder to which trees are written as JSON, too, one file per profile.
    pub(crate) storage_path: Option<PathBuf>,
}

impl Default for ProfilesConfig {
    fn default() -> Self {
        let options = qw_profile::Options::default();
        Self {
            enabled: true,
            per: options.per,
            least_score: 0.5,
            warm_up: Span(options.warm_up),
            minimum_time: Span(options.minimum_time),
            minimum_events: options.minimum_events,
            unseen_mass: options.unseen_mass,
            new_nodes_per_hour: options.new_nodes_per_hour,
            half_life: Span(options.half_life),
            forget_after: Span(options.forget_after),
            threshold: 0.85,
            max_profiles: options.max_profiles,
            max_memory: Size(options.max_bytes as u64),
            storage_path: None,
        }
    }
}

/// What becomes an alert, and how alerts are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AlertsConfig {
    /// Events of Falco rules of this priority, or a more urgent one, are alerts.
    pub(crate) falco_min_priority: Priority,
    /// Events of the container engine that are at least this urgent become alerts.
    pub(crate) engine_min_priority: Priority,
    /// What is noticed in a workload within this time of each other is one alert.
    pub(crate) story_window: Span,
    /// For so long after an alert was closed as expected or as a false positive, the same again only
    /// counts.
    pub(crate) mute_closed: Span,
    /// Closed alerts are forgotten after this long.
    pub(crate) keep_closed: Span,
    /// Closed alerts that are kept at most.
    pub(crate) max_alerts: u64,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        let options = qw_alerts::DeskOptions::default();
        Self {
            falco_min_priority: Priority::Warning,
            engine_min_priority: Priority::Warning,
            story_window: Span(options.story_window),
            mute_closed: Span(options.mute_closed),
            keep_closed: Span(options.keep_closed),
            max_alerts: options.max_alerts,
        }
    }
}

/// How long it is kept who did what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuditConfig {
    /// Entries older than this are removed.
    pub(crate) max_age: Span,
    /// The oldest are removed while there are more.
    pub(crate) max_entries: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            max_age: Span(Duration::from_secs(365 * 86_400)),
            max_entries: 1_000_000,
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
