//! Configuration → parts. Holds the matches from one to the other and nothing else.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use qw_docker::{Docker, Endpoint};
use qw_event::{SourceId, Timestamp};
use qw_pipeline::Source;
use qw_sources::{docker::DockerSource, file::FileSource, stdin::StdinSource};
use qw_store::{Embedded, Retention, query};

use crate::{
    Usage,
    config::{Config, SourceConfig},
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
    let store = Embedded::open(&config.data_dir, qw_store::Options::default())?;
    Ok(Arc::new(store))
}

/// How long and how much the store keeps.
pub(crate) fn retention(config: &Config) -> Retention {
    Retention {
        max_age: Some(config.store.retention.max_age.0),
        max_size_bytes: Some(config.store.retention.max_size.0),
    }
}

/// Bounds of the pipeline, with its queries checked.
pub(crate) fn pipeline_options(config: &Config) -> Result<qw_pipeline::Options> {
    let mut exclude = Vec::new();
    for (index, text) in config.pipeline.exclude.iter().enumerate() {
        exclude.push(query::parse(text).map_err(|error| {
            Usage(format!(
                "`pipeline.exclude[{index}]`: `{text}`: {} at position {}",
                error.message, error.position
            ))
        })?);
    }
    let memory_bytes = usize::try_from(config.pipeline.memory.0).unwrap_or(usize::MAX);
    Ok(qw_pipeline::Options {
        memory_bytes,
        exclude,
        ..qw_pipeline::Options::default()
    })
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
    config.effective_sources().into_iter().map(source).collect()
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
