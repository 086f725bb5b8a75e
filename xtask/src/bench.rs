//! `cargo xtask bench`: the figures of `docs/bench.md`.

use std::process::Command;

use anyhow::Result;

use crate::{
    console,
    process::{program, root, step},
    run::target_folder,
};

/// Builds as it is shipped, then runs `quaywatch bench` with `arguments`, where we are: paths in them
/// mean what they mean to whoever typed them.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let root = root();
    console::build()?;
    step(
        "binary as shipped",
        &mut program(
            "cargo",
            &[
                "build",
                "--locked",
                "--profile",
                "dist",
                "--package",
                "quaywatch",
            ],
            &root,
        ),
    )?;
    let binary = target_folder().join("dist/quaywatch");
    let arguments = match arguments {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    let mut command = Command::new(binary);
    command.arg("bench").args(arguments);
    step("bench", &mut command)
}
