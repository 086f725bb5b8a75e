//! `cargo xtask run`: build everything and start it.

use std::{os::unix::process::CommandExt as _, time::Instant};

use anyhow::Result;

use crate::{
    console,
    process::{program, root, say, step},
};

/// Builds console and binary, then becomes `quaywatch demo`, or `quaywatch` with the arguments
/// behind `--`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    let root = root();
    console::build()?;
    step(
        "binary",
        &mut program(
            "cargo",
            &[
                "build",
                "--locked",
                "--profile",
                "quick",
                "--package",
                "quaywatch",
            ],
            &root,
        ),
    )?;
    say(&format!(
        "   ready to start after {:.0} s",
        start.elapsed().as_secs_f64()
    ));

    let arguments = match arguments {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    let demo = [String::from("demo")];
    let arguments = if arguments.is_empty() {
        &demo
    } else {
        arguments
    };
    let binary = target_folder().join("quick/quaywatch");
    let error = program(&binary, &[], &root).args(arguments).exec();
    Err(anyhow::Error::from(error).context(format!("cannot start `{}`", binary.display())))
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}
