//! Builds the web console when its sources are newer than its last build.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};

use crate::process::{is_installed, program, root, say, step};

/// What the console is built from, below `console/`.
const INPUTS: &[&str] = &[
    "src",
    "public",
    "scripts",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
];

/// Builds `console/dist` unless it is newer than all it is built from.
pub(crate) fn build() -> Result<()> {
    let folder = root().join("console");
    let built = modified(&folder.join("dist/index.html"));
    let newest = INPUTS
        .iter()
        .filter_map(|input| newest_in(&folder.join(input)))
        .max();
    if built.is_some() && built >= newest {
        say("── console is up to date");
        return Ok(());
    }
    install_packages(&folder)?;
    step(
        "console",
        &mut program("npm", &["run", "--silent", "build"], &folder),
    )
}

/// Installs what the console is built with, unless it is there.
pub(crate) fn install_packages(folder: &Path) -> Result<()> {
    if !is_installed("npm") {
        bail!("`npm` is not installed: install Node.js 20.19 or later, which brings it");
    }
    let marker = folder.join("node_modules/.package-lock.json");
    if modified(&marker) >= modified(&folder.join("package-lock.json")) && marker.exists() {
        return Ok(());
    }
    step(
        "console packages",
        &mut program(
            "npm",
            &["ci", "--no-audit", "--no-fund", "--prefer-offline"],
            folder,
        ),
    )
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs_err::metadata(path).ok()?.modified().ok()
}

fn newest_in(path: &Path) -> Option<SystemTime> {
    let mut newest = modified(path)?;
    if path.is_dir() {
        let entries: Vec<PathBuf> = fs_err::read_dir(path)
            .with_context(|| format!("cannot list `{}`", path.display()))
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        for entry in entries {
            newest = newest.max(newest_in(&entry)?);
        }
    }
    Some(newest)
}
