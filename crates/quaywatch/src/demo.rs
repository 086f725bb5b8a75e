//! What `quaywatch demo` shows: a fleet that does not exist.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use qw_event::Timestamp;
use qw_inventory::Container;
use qw_sources::demo::{self, DemoSource};

use crate::{
    Usage,
    arguments::Demo,
    config::Config,
    wiring::{ReadySource, now},
};

/// A data folder that is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("quaywatch-demo-{}", std::process::id()));
        fs_err::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        drop(fs_err::remove_dir_all(&self.0));
    }
}

/// A demo is for the person at this machine: made-up data and a printed password stay here.
pub(crate) fn check_loopback(config: &Config) -> Result<()> {
    let listen = &config.listen;
    for (name, listener) in [
        ("console", &listen.console),
        ("metrics", &listen.metrics),
        ("falco", &listen.falco),
    ] {
        ensure!(
            listener.address.ip().is_loopback(),
            Usage(format!(
                "the demo listens on loopback only, and `listen.{name}.address` is `{}`",
                listener.address
            ))
        );
    }
    Ok(())
}

/// The fleet as an engine would tell it, for a demo that begins at `now`.
pub(crate) fn containers(now: Timestamp) -> Vec<Container> {
    demo::fleet()
        .iter()
        .map(|demo| {
            let created = demo.created(now);
            Container {
                id: demo.id.clone(),
                name: demo.name.to_owned(),
                image: demo.image.clone(),
                image_id: demo.image_id.clone(),
                image_digest: demo.digest.clone(),
                state: String::from("running"),
                status: format!("Up {}", age(demo.age)),
                created: Some(created),
                started: Some(created),
                host: demo.host.to_owned(),
                labels: demo
                    .labels
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
                compose_project: demo.compose_project.to_owned(),
                compose_service: demo.compose_service.to_owned(),
                k8s_namespace: demo.k8s_namespace.to_owned(),
                k8s_pod: demo.k8s_pod.clone(),
                ..Container::default()
            }
        })
        .collect()
}

fn age(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    if hours >= 48 {
        format!("{} days", hours / 24)
    } else {
        format!("{hours} hours")
    }
}

/// The source of made-up events.
pub(crate) fn source(arguments: &Demo) -> Result<ReadySource> {
    ensure!(
        arguments.speed.is_finite() && arguments.speed > 0.0,
        Usage(String::from("--speed must be above zero"))
    );
    let config = demo::Config {
        seed: arguments.seed,
        began: None,
        rate: arguments.rate,
        backfill_hours: arguments.hours.min(24 * 30),
        speed: arguments.speed,
    };
    Ok(ReadySource {
        id: config.source_id(),
        kind: demo::KIND,
        description: config.description(),
        source: Box::new(DemoSource::new(config, Arc::new(now))),
    })
}
