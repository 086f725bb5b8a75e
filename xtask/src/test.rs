//! `cargo xtask test` and `cargo xtask soak`.

use std::time::Instant;

use anyhow::Result;

use crate::{
    console, parts,
    process::{is_installed, program, root, say, step},
    tidy,
};

/// Checks and tests everything; with arguments, only the Rust tests that match them.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    parts::install()?;
    if !arguments.is_empty() {
        console::build()?;
        return rust_tests(arguments, &[]);
    }
    tidy::tidy()?;
    let root = root();
    step(
        "format",
        &mut program("cargo", &["fmt", "--all", "--check"], &root),
    )?;
    if is_installed("cargo-deny") {
        step(
            "licences and bans",
            &mut program(
                "cargo",
                &[
                    "deny",
                    "--log-level",
                    "error",
                    "check",
                    "bans",
                    "licenses",
                    "sources",
                ],
                &root,
            ),
        )?;
    }

    let folder = root.join("console");
    console::install_packages(&folder)?;
    step(
        "console lint",
        &mut program("npm", &["run", "--silent", "lint"], &folder),
    )?;
    step(
        "console tests",
        &mut program("npm", &["test", "--silent"], &folder),
    )?;
    console::build()?;

    step(
        "clippy",
        &mut program(
            "cargo",
            &[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
            &root,
        ),
    )?;
    rust_tests(&[], &[])?;
    say(&format!(
        "── everything passed in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// The scenario tests with their full counts.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    parts::install()?;
    console::build()?;
    rust_tests(
        arguments,
        &[("QUAYWATCH_SOAK", "1"), ("QUAYWATCH_KILLS", "50")],
    )
}

fn rust_tests(filter: &[String], environment: &[(&str, &str)]) -> Result<()> {
    let mut command = program(
        "cargo",
        &["test", "--locked", "--workspace", "--no-fail-fast"],
        &root(),
    );
    command.args(filter);
    for (name, value) in environment {
        command.env(name, value);
    }
    step("tests", &mut command)
}
