//! `quaywatch config check`.

use crate::{
    arguments::{ConfigAction, ConfigCommand},
    cli::print,
    config::{Loaded, to_yaml},
};

/// Prints the effective configuration, and where each value that is not the default comes from.
pub(crate) fn run(loaded: Loaded, command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigAction::Check = command.command;
    print(to_yaml(&loaded.config)?.trim_end())?;
    print("\n# sources in effect:")?;
    for source in loaded.config.effective_sources() {
        print(&format!("#   {}", serde_json::to_string(&source)?))?;
    }
    if loaded.origins.is_empty() {
        print("# every value is the default")?;
    } else {
        print("# not the default:")?;
        for (path, origin) in &loaded.origins {
            print(&format!("#   {path}: from {origin}"))?;
        }
    }
    Ok(())
}
