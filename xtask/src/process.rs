//! Running other programs, and saying what is done.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Prints a line for the person who waits.
pub(crate) fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(stderr, "{line}"));
}

/// A program to be run in the folder `folder`.
pub(crate) fn program(name: impl AsRef<OsStr>, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder);
    command
}

/// Runs `command` to its end under the heading `heading`; an error when it fails.
pub(crate) fn step(heading: &str, command: &mut Command) -> Result<()> {
    say(&format!("── {heading}"));
    let start = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{heading}: `{}` ended with {status}", shown(command));
    }
    say(&format!(
        "   {heading}: {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// True when `name` can be found on the path.
pub(crate) fn is_installed(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
