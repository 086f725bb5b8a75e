//! Configuration → parts. Holds the matches from one to the other and nothing else.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use qw_alerts::DeskOptions;
use qw_api::{AccessOptions, AuditOptions};
use qw_docker::{Docker, Endpoint};
use qw_event::{SourceId, Timestamp};
use qw_log::{Builtin, Multiline, Redactor};
use qw_pipeline::{Observe, Source, TransitLog};
use qw_sources::{
    docker::DockerSource,
    engine::EngineSource,
    file::FileSource,
    logs::{
        InsideConfig, InsideSource, JournalSource, LogsSource, PathsConfig, PathsSource, Plan, Pods,
    },
    receivers::{self, ReceiverSource},
    stdin::StdinSource,
};
use qw_store::{
    Embedded, LogRetention, Retention, StateStore,
    query::{self, Filter},
};

use crate::{
    Usage,
    config::{Config, LogStream, LogsConfig, SourceConfig},
};

/// A source, ready to run, and what the operator sees of it.
pub(crate) struct ReadySource {
    pub(crate) id: SourceId,
    pub(crate) kind: &'static str,
    pub(crate) description: String,
    pub(crate) source: Box<dyn Source>,
}

/// The time, by the clock of this machine.
pub(crate) fn now() -> Timestamp {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Logs go to standard error; `QUAYWATCH_LOG` overrules `verbose`.
pub(crate) fn start_logging(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter =
        EnvFilter::try_from_env("QUAYWATCH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Opens the store in the data folder.
pub(crate) fn open_store(config: &Config) -> Result<Arc<Embedded>> {
    fs_err::create_dir_all(&config.data_dir)?;
    let options = qw_store::Options {
        seal_events: config.store.seal_events,
        ..qw_store::Options::default()
    };
    let store = Embedded::open(&config.data_dir, options)?;
    Ok(Arc::new(store))
}

/// How long and how much the store keeps.
pub(crate) fn retention(config: &Config) -> Retention {
    Retention {
        max_age: Some(config.store.retention.max_age.0),
        max_size_bytes: Some(config.store.retention.max_size.0),
        logs: LogRetention {
            max_age: Some(config.store.retention.logs.max_age.0),
            max_size_bytes: Some(config.store.retention.logs.max_size.0),
        },
    }
}

/// Bounds of the pipeline, with its queries checked.
pub(crate) fn pipeline_options(config: &Config) -> Result<qw_pipeline::Options> {
    let exclude = queries("pipeline.exclude", &config.pipeline.exclude)?;
    let observe = Observe {
        filters: queries("pipeline.observe", &config.pipeline.observe)?,
        sample: config.pipeline.observe_sample,
        context: config.pipeline.observe_context.0,
    };
    let memory_bytes = usize::try_from(config.pipeline.memory.0).unwrap_or(usize::MAX);
    Ok(qw_pipeline::Options {
        memory_bytes,
        exclude,
        observe,
        ..qw_pipeline::Options::default()
    })
}

/// The queries of what is forwarded and not stored.
pub(crate) fn forward_only(config: &Config) -> Result<Vec<Filter>> {
    queries("pipeline.forward_only", &config.pipeline.forward_only)
}

/// The disk buffer of what is forwarded and not stored; `None` when nothing is and nothing was.
pub(crate) fn transit_log(
    config: &Config,
    state: &dyn StateStore,
) -> Result<Option<Arc<TransitLog>>> {
    let folder = config.data_dir.join("transit");
    if config.pipeline.forward_only.is_empty() && !folder.exists() {
        return Ok(None);
    }
    TransitLog::open(&folder, config.pipeline.forward_buffer.0, state)
        .map(Some)
        .context("the disk buffer of what is forwarded and not stored")
}

fn queries(key: &str, texts: &[String]) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        filters.push(query::parse(text).map_err(|error| {
            Usage(format!(
                "`{key}[{index}]`: `{text}`: {} at position {}",
                error.message, error.position
            ))
        })?);
    }
    Ok(filters)
}

/// How workloads are learned.
pub(crate) fn profile_options(config: &Config) -> qw_profile::Options {
    let profiles = &config.profiles;
    qw_profile::Options {
        per: profiles.per,
        warm_up: profiles.warm_up.0,
        minimum_time: profiles.minimum_time.0,
        minimum_events: profiles.minimum_events,
        unseen_mass: profiles.unseen_mass,
        new_nodes_per_hour: profiles.new_nodes_per_hour,
        half_life: profiles.half_life.0,
        forget_after: profiles.forget_after.0,
        threshold: profiles.threshold as f32,
        max_profiles: profiles.max_profiles,
        max_bytes: usize::try_from(profiles.max_memory.0).unwrap_or(usize::MAX),
        ..qw_profile::Options::default()
    }
}

/// How alerts are folded and kept.
pub(crate) fn desk_options(config: &Config) -> DeskOptions {
    let alerts = &config.alerts;
    DeskOptions {
        story_window: alerts.story_window.0,
        mute_closed: alerts.mute_closed.0,
        keep_closed: alerts.keep_closed.0,
        max_alerts: alerts.max_alerts,
        ..DeskOptions::default()
    }
}

/// Sign-in, and how long it is kept who did what.
pub(crate) fn access_options(config: &Config) -> AccessOptions {
    AccessOptions {
        audit: AuditOptions {
            max_age: config.audit.max_age.0,
            max_entries: config.audit.max_entries,
        },
        ..AccessOptions::default()
    }
}

/// The provider through which people may sign in.
pub(crate) fn oidc(config: &qw_oidc::Config) -> Result<Arc<qw_oidc::Provider>> {
    let secret = config.client_secret()?;
    Ok(Arc::new(qw_oidc::Provider::new(config.clone(), secret)?))
}

/// A number from 0 to 1 that spreads repetitions; without randomness always the middle.
pub(crate) fn jitter() -> f64 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(random) / f64::from(u32::MAX)
}

/// A client of the engine at `endpoint`, or of the one that `DOCKER_HOST` names.
pub(crate) fn docker(endpoint: Option<&str>) -> Result<Docker> {
    let endpoint = match endpoint {
        Some(endpoint) => endpoint
            .parse::<Endpoint>()
            .map_err(|error| Usage(format!("docker endpoint: {error}")))?,
        None => Endpoint::from_environment(|name| std::env::var(name).ok())
            .map_err(|error| Usage(format!("docker endpoint: {error}")))?,
    };
    Docker::new(endpoint, qw_docker::Limits::default()).context("docker client")
}

/// The configured sources.
pub(crate) fn sources(config: &Config) -> Result<Vec<ReadySource>> {
    let mut sources = Vec::new();
    for each in config.effective_sources() {
        sources.push(source(each)?);
    }
    if config.logs.enabled {
        sources.push(logs(config)?);
    }
    if !config.logs.files.is_empty() {
        for (index, group) in config.logs.files.iter().enumerate() {
            group
                .check()
                .map_err(|error| Usage(format!("`logs.files[{index}]`: {error}")))?;
        }
        sources.push(paths(config, Plan::Files(config.logs.files.clone()))?);
    }
    if config.logs.pods.enabled {
        let shared = logs_config(&config.logs)?;
        let pods = Pods {
            path: config.logs.pods.path.clone(),
            from: shared.from,
            include: shared.include,
            exclude: shared.exclude,
            stdout: shared.stdout,
            stderr: shared.stderr,
            multiline: shared.multiline,
        };
        sources.push(paths(config, Plan::Pods(pods))?);
    }
    if config.logs.inside.enabled {
        sources.push(inside(config)?);
    }
    if config.logs.journal.enabled {
        sources.push(journal(config)?);
    }
    let endpoint = config.inventory.endpoint.as_deref();
    if config.inventory.docker && config.inventory.events && has_engine(endpoint) {
        let docker = docker(endpoint)?;
        sources.push(ReadySource {
            id: EngineSource::source_id(),
            kind: qw_sources::engine::KIND,
            description: format!("what happens to containers of {}", docker.endpoint()),
            source: Box::new(EngineSource::new(docker)),
        });
    }
    Ok(sources)
}

/// A receiver that speaks HTTP, its addresses taken.
pub(crate) struct ReadyReceiver {
    pub(crate) id: SourceId,
    pub(crate) config: receivers::Config,
    pub(crate) options: receivers::Options,
    pub(crate) listeners: Vec<(receivers::Address, std::net::TcpListener)>,
}

/// The configured receivers: those that are sources of their own, and those that speak HTTP.
pub(crate) fn receivers(config: &Config) -> Result<(Vec<ReadySource>, Vec<ReadyReceiver>)> {
    let options = receivers::Options {
        max_line_bytes: usize::try_from(config.logs.max_line_bytes.0).unwrap_or(usize::MAX),
        redactor: redactor(&config.logs.redact)?,
        hostname: hostname(),
        ..receivers::Options::default()
    };
    let (mut sources, mut served) = (Vec::new(), Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    for (index, each) in config.receivers.iter().enumerate() {
        each.check()
            .map_err(|error| Usage(format!("`receivers[{index}]`: {error}")))?;
        let id = each.source_id();
        if !seen.insert(id.clone()) {
            let text = format!(
                "`receivers[{index}]`: there is a receiver `{id}` already; give this one a `name`"
            );
            return Err(Usage(text).into());
        }
        let options = options.clone();
        if each.kind().is_http() {
            let mut listeners = Vec::new();
            for address in each.addresses() {
                let socket = address.socket().context("an address of HTTP has a port")?;
                let listener = std::net::TcpListener::bind(socket)
                    .and_then(|listener| {
                        listener.set_nonblocking(true)?;
                        Ok(listener)
                    })
                    .with_context(|| {
                        format!("receiver `{id}`: cannot listen at `{address}`; choose another address with `listen`")
                    })?;
                listeners.push((address, listener));
            }
            served.push(ReadyReceiver {
                id,
                config: each.clone(),
                options,
                listeners,
            });
        } else {
            sources.push(ReadySource {
                id: id.clone(),
                kind: each.kind().as_str(),
                description: each.description(),
                source: Box::new(
                    ReceiverSource::bind(each.clone(), options)
                        .with_context(|| format!("receiver `{id}`"))?,
                ),
            });
        }
    }
    Ok((sources, served))
}

/// True when there may be an engine: one is named, or the usual socket is there.
fn has_engine(endpoint: Option<&str>) -> bool {
    let is_named = endpoint.is_some() || std::env::var_os("DOCKER_HOST").is_some();
    is_named || Path::new("/var/run/docker.sock").exists()
}

fn logs(config: &Config) -> Result<ReadySource> {
    let docker = docker(config.inventory.endpoint.as_deref())?;
    let config = logs_config(&config.logs)?;
    Ok(ReadySource {
        id: qw_sources::logs::Config::source_id(),
        kind: qw_sources::logs::KIND,
        description: config.description(&docker),
        source: Box::new(LogsSource::new(config, docker)),
    })
}

fn paths(config: &Config, plan: Plan) -> Result<ReadySource> {
    let paths = PathsConfig {
        max_line_bytes: usize::try_from(config.logs.max_line_bytes.0).unwrap_or(usize::MAX),
        redactor: redactor(&config.logs.redact)?,
        max_held_bytes: config.logs.max_held.0,
        ..PathsConfig::new(plan, &hostname())
    };
    Ok(ReadySource {
        id: paths.source_id(),
        kind: qw_sources::logs::KIND,
        description: paths.description(),
        source: Box::new(PathsSource::new(paths)),
    })
}

fn inside(config: &Config) -> Result<ReadySource> {
    let docker = docker(config.inventory.endpoint.as_deref())?;
    let inside = InsideConfig {
        rules: config.logs.inside.rules.clone(),
        every: config.logs.inside.every.0.max(Duration::from_millis(100)),
        max_file_bytes: config.logs.inside.max_file.0,
        max_line_bytes: usize::try_from(config.logs.max_line_bytes.0).unwrap_or(usize::MAX),
        redactor: redactor(&config.logs.redact)?,
    };
    inside
        .check()
        .map_err(|error| Usage(format!("`logs.inside`: {error}")))?;
    Ok(ReadySource {
        id: InsideSource::source_id(),
        kind: qw_sources::logs::KIND,
        description: InsideSource::description(&docker),
        source: Box::new(InsideSource::new(inside, docker)),
    })
}

fn journal(config: &Config) -> Result<ReadySource> {
    let journal = &config.logs.journal;
    journal
        .check()
        .map_err(|error| Usage(format!("`logs.journal`: {error}")))?;
    let redactor = redactor(&config.logs.redact)?;
    let max_line_bytes = usize::try_from(config.logs.max_line_bytes.0).unwrap_or(usize::MAX);
    // What the engine is asked for is not to come from the journal, too.
    let with_containers = !config.logs.enabled;
    Ok(ReadySource {
        id: JournalSource::source_id(),
        kind: qw_sources::logs::KIND,
        description: journal.description(),
        source: Box::new(JournalSource::new(
            journal.clone(),
            redactor,
            max_line_bytes,
            with_containers,
        )),
    })
}

/// Name of this host, as the kernel knows it.
fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn logs_config(config: &LogsConfig) -> Result<qw_sources::logs::Config> {
    let multiline = Multiline::parse(&config.multiline)
        .map_err(|error| Usage(format!("`logs.multiline`: {error}")))?;
    Ok(qw_sources::logs::Config {
        from: config.from,
        way: config.way,
        include: config.include.clone(),
        exclude: config.exclude.clone(),
        stdout: config.streams.contains(&LogStream::Stdout),
        stderr: config.streams.contains(&LogStream::Stderr),
        max_line_bytes: usize::try_from(config.max_line_bytes.0).unwrap_or(usize::MAX),
        multiline,
        redactor: redactor(&config.redact)?,
        docker_root: config.docker_root.clone(),
        max_held_bytes: config.max_held.0,
        ..qw_sources::logs::Config::default()
    })
}

fn redactor(names: &[String]) -> Result<Option<Arc<Redactor>>> {
    let mut rules = Vec::new();
    for name in names {
        match (name.as_str(), Builtin::from_name(name)) {
            ("all", _) => rules.extend(Builtin::ALL),
            (_, Some(rule)) => rules.push(rule),
            (_, None) => {
                let known: Vec<&str> = Builtin::ALL.into_iter().map(Builtin::name).collect();
                let known = known.join("`, `");
                let text = format!(
                    "`logs.redact`: `{name}` is no built-in rule; expected `all`, `{known}`"
                );
                return Err(Usage(text).into());
            }
        }
    }
    if rules.is_empty() {
        return Ok(None);
    }
    let redactor =
        Redactor::new(&rules, &[]).map_err(|error| Usage(format!("`logs.redact`: {error}")))?;
    Ok(Some(Arc::new(redactor)))
}

fn source(config: SourceConfig) -> Result<ReadySource> {
    Ok(match config {
        SourceConfig::Docker(config) => {
            let docker = docker(config.endpoint.as_deref())?;
            ReadySource {
                id: config.source_id(),
                kind: qw_sources::docker::KIND,
                description: config.description(&docker),
                source: Box::new(DockerSource::new(config, docker)),
            }
        }
        SourceConfig::File(config) => ReadySource {
            id: config.source_id(),
            kind: qw_sources::file::KIND,
            description: config.description(),
            source: Box::new(FileSource::new(config)),
        },
        SourceConfig::Stdin(config) => ReadySource {
            id: config.source_id(),
            kind: qw_sources::stdin::KIND,
            description: config.description(),
            source: Box::new(StdinSource::new(config)),
        },
    })
}

/// Writes `text` to `path` so that only the owner can read it, in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let temporary = path.with_extension("new");
    let mut file = fs_err::OpenOptions::new();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    *file.options_mut() = options;
    let mut file = file.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    fs_err::rename(&temporary, path)?;
    Ok(())
}
