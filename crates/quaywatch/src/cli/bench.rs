//! `quaywatch bench`: speed, memory and size on this machine, beside a peer or a limit.
//!
//! Prefers CPU seconds per million records, bytes and ratios, which a busy machine changes least.

mod api;
mod catch_all;
mod forward;
mod lines;
mod logs;
mod machine;
mod parse;
mod profile;
mod query;
mod recordings;
mod store;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::{
    Usage,
    arguments::{Bench, Measurement, Output},
    cli::print,
};

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// What it is to be at most; `None` for figures that only inform.
    pub(crate) must: Option<f64>,
    /// A peer or limit beside it, and how many times its figure is ours.
    pub(crate) peer: Option<Peer>,
}

/// A figure of someone else.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Peer {
    /// Who.
    pub(crate) name: String,
    /// Its figure, in the unit of the row.
    pub(crate) value: f64,
    /// False: measured in this run. True: cited, not run here.
    pub(crate) cited: bool,
}

impl Row {
    fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            must: None,
            peer: None,
        }
    }

    fn must(mut self, must: f64) -> Self {
        self.must = Some(must);
        self
    }

    fn peer(mut self, name: &str, value: f64, cited: bool) -> Self {
        self.peer = Some(Peer {
            name: name.to_owned(),
            value,
            cited,
        });
        self
    }

    fn text(&self) -> String {
        let mut text = format!("{:<58} {:>10} {}", self.what, figure(self.value), self.unit);
        if let Some(must) = self.must {
            let verdict = if self.value <= must { "met" } else { "MISSED" };
            text.push_str(&format!("  (must be ≤ {}: {verdict})", figure(must)));
        }
        if let Some(peer) = &self.peer {
            text.push_str(&format!(
                "  [{}{}: {}, {:.1} times]",
                peer.name,
                if peer.cited { ", cited" } else { "" },
                figure(peer.value),
                peer.value / self.value.max(f64::MIN_POSITIVE),
            ));
        }
        text
    }
}

fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => String::from("0"),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Runs the chosen measurements and prints each row as it is there.
pub(crate) fn run(arguments: Bench) -> Result<()> {
    ensure!(
        arguments.events >= 10_000,
        Usage(String::from(
            "--events is too small to measure; give at least 10000"
        ))
    );
    let all = [
        Measurement::Parse,
        Measurement::Profile,
        Measurement::Store,
        Measurement::Query,
        Measurement::Api,
        Measurement::CatchAll,
        Measurement::Logs,
        Measurement::Forward,
    ];
    let chosen = if arguments.what.is_empty() {
        &all[..]
    } else {
        &arguments.what[..]
    };
    let temporary = TemporaryFolder::new()?;
    let folder = arguments
        .folder
        .clone()
        .unwrap_or_else(|| temporary.0.clone());
    let mut peers = Vec::new();
    for peer in &arguments.peer {
        let (name, path) = peer
            .split_once('=')
            .with_context(|| Usage(format!("--peer `{peer}` is not NAME=PATH")))?;
        peers.push((name.to_owned(), std::path::PathBuf::from(path)));
    }
    let mut show = |row: Row| -> Result<()> {
        print(&match arguments.output {
            Output::Text => row.text(),
            Output::Json => serde_json::to_string(&row)?,
        })?;
        Ok(())
    };
    for measurement in chosen {
        match measurement {
            Measurement::Parse => parse::run(&peers, &mut show)?,
            Measurement::Profile => match (&arguments.recordings, &arguments.judge) {
                (Some(recordings), Some(further)) => {
                    recordings::further::run(recordings, further, &folder, &mut show)?;
                }
                (recordings, _) => {
                    profile::run(recordings.as_deref(), &peers, &mut show)?;
                    if let Some(recordings) = recordings {
                        recordings::run(recordings, &folder, &mut show)?;
                    }
                }
            },
            Measurement::Store => {
                store::run(&folder, arguments.events, &mut show)?;
                store::small(&folder, &mut show)?;
                lines::run(&folder, &mut show)?;
            }
            Measurement::Query => query::run(&folder, arguments.events, &mut show)?,
            Measurement::Api => api::run(&folder, &mut show)?,
            Measurement::Logs => logs::run(&folder, &peers, &mut show)?,
            Measurement::Forward => forward::run(&folder, &peers, &mut show)?,
            Measurement::CatchAll => {
                catch_all::run(arguments.recordings.as_deref(), &folder, &mut show)?;
            }
        }
    }
    Ok(())
}

/// A folder that is removed at the end.
struct TemporaryFolder(std::path::PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("quaywatch-bench-{}", std::process::id()));
        fs_err::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        drop(fs_err::remove_dir_all(&self.0));
    }
}

/// Shows one row of a result.
type Show<'a> = &'a mut dyn FnMut(Row) -> Result<()>;
