//! Schemathesis, in a virtual environment below the target folder.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{
    parts,
    process::{is_installed, program, root, say, step},
    run::target_folder,
};

/// Installs what `xtask/schemathesis/requirements.txt` names, unless it is there.
///
/// # Errors
/// In CI, when it cannot be installed; elsewhere the test that needs it says so and is skipped.
pub(crate) fn install() -> Result<()> {
    match install_now() {
        Err(error) if std::env::var_os("CI").is_none() => {
            say(&format!(
                "!! the test that needs schemathesis will say so and be skipped: {error:#}"
            ));
            Ok(())
        }
        result => result,
    }
}

fn install_now() -> Result<()> {
    let root = root();
    let wanted = fs_err::read(root.join("xtask/schemathesis/requirements.txt"))?;
    let folder = target_folder().join("schemathesis");
    // Written last, so that what was interrupted begins anew.
    let installed = folder.join("installed.txt");
    if fs_err::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    make_environment(&folder)?;
    let pip = folder.join("bin/pip");
    let arguments = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        "xtask/schemathesis/requirements.txt",
    ];
    step("schemathesis", &mut program(pip, &arguments, &root))?;
    fs_err::write(installed, wanted)?;
    Ok(())
}

/// A virtual environment of Python; Debian keeps what makes one in a package of its own.
fn make_environment(folder: &Path) -> Result<()> {
    let root = root();
    let name = folder.to_str().context("the target folder is no text")?;
    let mut has_tried = false;
    loop {
        if is_installed("python3") {
            let mut command = program("python3", &["-m", "venv", name], &root);
            match step("environment of schemathesis", &mut command) {
                Err(error) if has_tried => return Err(error),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
        if has_tried || !parts::can_install() {
            bail!("`python3 -m venv` does not work here; Debian has it in `python3-venv`");
        }
        has_tried = true;
        parts::install_packages(&["python3", "python3-venv"])?;
    }
}
