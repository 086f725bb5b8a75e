//! `cargo xtask bench`: the figures of `docs/bench.md`.

use anyhow::Result;

use crate::{
    console,
    process::{program, root, step},
    run::target_folder,
};

/// Builds as it is shipped, then runs `quaywatch bench` with `arguments`.
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
    let mut command = program(&binary, &["bench"], &root);
    command.args(arguments);
    step("bench", &mut command)
}
