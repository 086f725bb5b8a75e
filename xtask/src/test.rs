//! `cargo xtask test` and `cargo xtask soak`.

use std::time::Instant;

use anyhow::Result;

use crate::{
    console, parts,
    process::{is_installed, program, root, say, step},
    schemathesis, tidy,
};

/// Checks and tests everything; with arguments, only the Rust tests that match them.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    parts::install()?;
    schemathesis::install()?;
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
    licences_and_bans()?;

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

/// What other people's packages may be, and under which licence.
fn licences_and_bans() -> Result<()> {
    if !is_installed("cargo-deny") {
        say(concat!(
            "!!!!!! NOT CHECKED: licences, bans and sources of packages, for want of `cargo-deny`; ",
            "`cargo install cargo-deny --locked` brings it !!!!!!"
        ));
        return Ok(());
    }
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
            &root(),
        ),
    )
}

/// The scenario tests with their full counts.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    parts::install()?;
    schemathesis::install()?;
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
