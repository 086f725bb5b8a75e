//! The command line's words.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Tells, for every container, what it is made of, what it does, and what is wrong with it.
#[derive(Debug, Parser)]
#[command(name = "quaywatch", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Configuration file (YAML); also QUAYWATCH_CONFIG
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Log more; twice for everything. QUAYWATCH_LOG takes a filter such as `info,qw_sources=debug`
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect, keep and show events
    Serve(Serve),
    /// Start with made-up data to look at: 40 containers on 6 hosts, one day of history, live events
    Demo(Demo),
    /// Store a file of Falco's JSON lines
    Replay(Replay),
    /// Print the events that a query selects
    Events(Events),
    /// Create, list and revoke API tokens
    Token(Token),
    /// Explain the configuration
    Config(ConfigCommand),
    /// Measure speed, memory and size on this machine
    Bench(Bench),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The same seed makes the same data
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many times faster than real the live part runs
    #[arg(long, default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// Hours of history made before the live part
    #[arg(long, default_value_t = 24)]
    pub(crate) hours: u32,
    /// Events a second, averaged over the fleet
    #[arg(long, default_value_t = 5.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// File of JSON lines; `.gz` is unpacked, `-` is standard input
    pub(crate) file: PathBuf,
    /// `full`, or a factor of the recorded speed such as `1` or `60`
    #[arg(long, default_value = "1")]
    pub(crate) speed: String,
    /// Move all times so that the first event happens now
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Query, such as `priority>=Warning container:web`
    #[arg(default_value = "")]
    pub(crate) query: String,
    /// First instant: RFC 3339, or relative such as `now-15m`
    #[arg(long, default_value = "now-1h")]
    pub(crate) start: String,
    /// First instant after
    #[arg(long, default_value = "now")]
    pub(crate) end: String,
    /// At most this many
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) limit: u64,
    /// Follow new events as they arrive
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it once
    Create {
        /// What it is for
        name: String,
        /// What it may do
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scopes: Vec<String>,
        /// When it ends (RFC 3339); never by default
        #[arg(long)]
        expires: Option<String>,
    },
    /// List tokens
    List {
        /// How to print
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Revoke a token at once
    Revoke {
        /// Id from `token list`
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    pub(crate) command: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Check the configuration and print the effective one with the origin of each value
    Check,
}

/// The server a command talks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// Address, such as `http://127.0.0.1:18000`; the running server of the data folder by default
    #[arg(long = "server", env = "QUAYWATCH_SERVER", value_name = "URL")]
    pub(crate) address: Option<String>,
    /// API token; of the running server of the data folder by default
    #[arg(long, env = "QUAYWATCH_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure; everything by default
    #[arg(value_enum)]
    pub(crate) what: Vec<Measurement>,
    /// Events to store
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// A peer to run beside us, such as `original=/path/to/script.py`
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) peer: Vec<String>,
    /// Folder for the data; a temporary one by default
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Line → parsed → enriched → counted
    Parse,
    /// … → durable store
    Store,
    /// Questions to a full store
    Query,
    /// API under ingest, event in → stream out
    Api,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// JSON, one object a line
    Json,
}
