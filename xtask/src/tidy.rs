//! The rules of the tree that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process::{program, root, say};

/// Layer of each crate; a crate uses crates of lower layers only.
const LAYERS: &[(&str, u8)] = &[
    ("qw-event", 0),
    ("qw-auth", 1),
    ("qw-log", 1),
    ("qw-profile", 1),
    ("qw-wire", 1),
    ("qw-alerts", 2),
    ("qw-pipeline", 2),
    ("qw-store", 2),
    ("qw-cgroup", 3),
    ("qw-docker", 3),
    ("qw-oci", 3),
    ("qw-oidc", 3),
    ("qw-tls", 3),
    ("qw-exporters", 4),
    ("qw-inventory", 4),
    ("qw-sinks", 4),
    ("qw-sources", 4),
    ("qw-usage", 4),
    ("qw-api", 5),
    ("qw-testkit", 6),
    ("quaywatch", 6),
];

/// Edges within a layer that are meant.
const ALLOWED: &[(&str, &str)] = &[
    // The pipeline calls the store's trait, whose query types also serve as its filters.
    ("qw-pipeline", "qw-store"),
    // Alerts are stored with the events that caused them, within one append.
    ("qw-alerts", "qw-store"),
    ("qw-pipeline", "qw-alerts"),
    // What a format says of a line is told in the words of the reader of log files.
    ("qw-wire", "qw-log"),
];

/// Words that never stand in a lock file: where packages were fetched from is nobody's business.
const FOREIGN: &[&str] = &["\"resolved\""];

/// Checks all rules; an error names every offence.
pub(crate) fn tidy() -> Result<()> {
    let mut offences = layers()?;
    offences.extend(engines_stay_pure()?);
    offences.extend(lock_files()?);
    offences.extend(main_stays_short()?);
    ensure!(offences.is_empty(), "tidy:\n  {}", offences.join("\n  "));
    say("── tidy");
    Ok(())
}

/// Normal dependencies of each workspace crate, by name.
fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = program(
        "cargo",
        &[
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ],
        &root(),
    )
    .output()
    .context("cannot start `cargo metadata`")?;
    ensure!(
        output.status.success(),
        "`cargo metadata` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut all = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let normal = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        all.insert(name, normal);
    }
    Ok(all)
}

fn layers() -> Result<Vec<String>> {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let mut offences = Vec::new();
    for (name, dependencies) in dependencies()? {
        if name == "xtask" {
            continue;
        }
        let Some(&own) = layers.get(name.as_str()) else {
            bail!("`{name}` has no layer: give it one in xtask/src/tidy.rs");
        };
        for dependency in &dependencies {
            if let Some(&other) = layers.get(dependency.as_str())
                && other >= own
                && !ALLOWED.contains(&(name.as_str(), dependency.as_str()))
            {
                offences.push(format!(
                    "`{name}` (layer {own}) uses `{dependency}` (layer {other}): only lower layers are allowed"
                ));
            }
        }
    }
    Ok(offences)
}

/// The lowest layers know no runtime, no client and no server.
fn engines_stay_pure() -> Result<Vec<String>> {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let foreign = ["tokio", "axum", "hyper", "hyper-util", "reqwest"];
    let mut offences = Vec::new();
    for (name, dependencies) in dependencies()? {
        if layers.get(name.as_str()).is_some_and(|layer| *layer <= 1) || name == "qw-store" {
            for dependency in dependencies
                .iter()
                .filter(|name| foreign.contains(&name.as_str()))
            {
                offences.push(format!(
                    "`{name}` is synchronous and pure, and must not use `{dependency}`"
                ));
            }
        }
    }
    Ok(offences)
}

fn lock_files() -> Result<Vec<String>> {
    let mut offences = Vec::new();
    let path = root().join("console/package-lock.json");
    if path.exists() {
        let text = fs_err::read_to_string(&path)?;
        for word in FOREIGN {
            if text.contains(word) {
                offences.push(format!("console/package-lock.json contains `{word}`"));
            }
        }
    }
    Ok(offences)
}

fn main_stays_short() -> Result<Vec<String>> {
    let lines = fs_err::read_to_string(root().join("crates/quaywatch/src/main.rs"))?
        .lines()
        .count();
    Ok(if lines > 150 {
        vec![format!(
            "crates/quaywatch/src/main.rs has {lines} lines, more than 150"
        )]
    } else {
        Vec::new()
    })
}
