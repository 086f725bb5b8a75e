//! Finds Prometheus' checker.

#![expect(clippy::print_stderr, reason = "a skipped check is said aloud")]

use std::path::PathBuf;

/// The `promtool` on the path. When there is none, says so and returns `None`; panics in CI.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("promtool"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "`promtool` is not installed; CI needs it"
        );
        eprintln!("SKIPPED: `promtool` is not installed (Debian package `prometheus`)");
    }
    found
}
