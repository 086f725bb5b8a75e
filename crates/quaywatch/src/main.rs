//! Command-line entry point: arguments → configuration → parts → run → orderly end.

mod arguments;
mod cli;
mod config;
mod demo;
mod serve;
mod units;
mod wiring;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fault of usage or configuration: exit code 2 in place of 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    wiring::start_logging(arguments.verbose);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::say(&format!("error: {error:#}"));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 3 })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.config.as_deref();
    match arguments.command {
        Command::Serve(serve) => block_on(serve::serve(configuration(path)?.config, serve)),
        Command::Demo(demo) => block_on(serve::demo(configuration(path)?.config, demo)),
        Command::Replay(replay) => block_on(cli::replay::run(configuration(path)?.config, replay)),
        Command::Events(events) => block_on(cli::events::run(configuration(path)?.config, events)),
        Command::Token(token) => block_on(cli::token::run(configuration(path)?.config, token)),
        Command::Config(command) => cli::config::run(configuration(path)?, &command),
        Command::Bench(bench) => cli::bench::run(bench),
    }
}

fn configuration(path: Option<&std::path::Path>) -> anyhow::Result<config::Loaded> {
    config::load(path, std::env::vars()).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Usage(format!("{error}{}", cause.unwrap_or_default())).into()
    })
}

fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
