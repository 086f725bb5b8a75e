//! Command-line entry point: arguments → configuration → parts → run → orderly end.

mod arguments;
mod cli;
mod config;
mod demo;
mod serve;
mod trees;
mod units;
mod usage;
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

/// Something was found that the command was asked to fail on: exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Found(String);

fn main() -> ExitCode {
    keep_to_small_pages();
    let arguments = Arguments::parse();
    wiring::start_logging(arguments.verbose);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads our output has seen enough, as `head` does.
        Err(error) if is_output_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            cli::say(&format!("error: {error:#}"));
            ExitCode::from(if error.is::<Found>() {
                1
            } else if error.is::<Usage>() {
                2
            } else {
                3
            })
        }
    }
}

fn is_output_closed(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Has the kernel give memory by pages of 4 KiB.
///
/// Pages of 2 MiB are cleared whole and stay whole: of the bytes that a batch used and gave back,
/// most would still count as ours. Without them the server holds about 60 MB less, at no cost.
fn keep_to_small_pages() {
    #[cfg(target_os = "linux")]
    // A kernel that cannot do it costs memory and nothing else.
    rustix::thread::disable_transparent_huge_pages(true).ok();
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.config.as_deref();
    match arguments.command {
        Command::Serve(serve) => block_on(serve::serve(configuration(path)?.config, serve)),
        Command::Demo(demo) => block_on(serve::demo(configuration(path)?.config, demo)),
        Command::Replay(replay) => block_on(cli::replay::run(configuration(path)?.config, replay)),
        Command::Events(events) => block_on(cli::events::run(configuration(path)?.config, events)),
        Command::Logs(logs) => block_on(cli::logs::run(configuration(path)?.config, logs)),
        Command::Alerts(alerts) => block_on(cli::alerts::run(configuration(path)?.config, alerts)),
        Command::Profile(profile) => {
            block_on(cli::profile::run(configuration(path)?.config, profile))
        }
        Command::Token(token) => block_on(cli::token::run(configuration(path)?.config, token)),
        Command::User(user) => block_on(cli::user::run(configuration(path)?.config, user)),
        Command::Audit(audit) => block_on(cli::audit::run(configuration(path)?.config, audit)),
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
