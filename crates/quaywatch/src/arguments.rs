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
    /// Print what containers wrote, also those that are gone
    Logs(Logs),
    /// List, read and triage alerts
    Alerts(Alerts),
    /// Show, compare, ship and steer what is learned about workloads
    Profile(Profile),
    /// Create, list and revoke API tokens
    Token(Token),
    /// Add, list, change and remove users
    User(User),
    /// Read, check and take away the audit log
    Audit(Audit),
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
pub(crate) struct Logs {
    /// Containers by name, id, or prefix of the id of at least twelve characters
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
    /// Follow new lines as they arrive
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the newest lines, this many; `all` is the default
    #[arg(long, short = 'n', value_name = "N", value_parser = tail)]
    pub(crate) tail: Option<Tail>,
    /// First instant: RFC 3339, seconds since 1970, or a span such as `10m` for so long ago
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// First instant after, in the same forms; now by default
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Put the time in front of each line
    #[arg(long, short)]
    pub(crate) timestamps: bool,
    /// Only what was written there
    #[arg(long, value_enum)]
    pub(crate) stream: Option<LogStream>,
    /// Only lines that this query selects, such as `level:error` or `status>=500`
    #[arg(long, short, value_name = "QUERY")]
    pub(crate) query: Option<String>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// How many of the newest lines; `None` is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail(pub(crate) Option<u64>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        text => text
            .parse()
            .map(|count| Tail(Some(count)))
            .map_err(|_| String::from("expected a number or `all`")),
    }
}

/// A standard stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogStream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

#[derive(Debug, Args)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// List alerts, newest first
    List(Box<AlertFilter>),
    /// Show an alert: why it was raised, and what was done about it
    Show {
        /// Number of the alert
        id: u64,
    },
    /// Acknowledge alerts
    Ack {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
    },
    /// Take an acknowledgement back: the alerts are new again
    Unack {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
    },
    /// Say that alerts are being worked on
    Start {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
    },
    /// Close alerts
    Close {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
        /// Why; after `expected` and `false-positive` the same again only counts for a while
        #[arg(long, value_enum, default_value_t = Reason::Resolved)]
        reason: Reason,
        /// Have the profiles learn what deviated, whatever the reason; those of `expected` alerts do
        /// anyway
        #[arg(long, conflicts_with = "no_teach")]
        teach: bool,
        /// Leave the profiles as they are, though the alerts were expected
        #[arg(long)]
        no_teach: bool,
    },
    /// Open closed alerts again; what profiles learned from them is forgotten
    Reopen {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
    },
    /// Give alerts to a user
    Assign {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
        /// The user; refused when there is none of this name who may triage
        #[arg(long, required_unless_present = "nobody")]
        to: Option<String>,
        /// Take them back
        #[arg(long, conflicts_with = "to")]
        nobody: bool,
    },
    /// Write something down about alerts
    Note {
        /// Numbers of the alerts
        #[arg(required = true)]
        ids: Vec<u64>,
        /// The note; `-` reads it from standard input
        #[arg(long)]
        text: String,
    },
    /// Keep alerts quiet for a while
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AlertFilter {
    /// States, with commas: new, acknowledged, in_progress, closed; `open` stands for the first
    /// three, `all` for all
    #[arg(long, default_value = "open")]
    pub(crate) state: String,
    /// Least urgent priority; a list with commas is exactly those
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// Who noticed, with commas: falco, profile
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Rule
    #[arg(long)]
    pub(crate) rule: Option<String>,
    /// Workload
    #[arg(long)]
    pub(crate) workload: Option<String>,
    /// Container, by id or name
    #[arg(long)]
    pub(crate) container: Option<String>,
    /// Image: its reference, or the repository
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Kubernetes namespace
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// User who takes care of them; `none` for nobody
    #[arg(long)]
    pub(crate) assignee: Option<String>,
    /// Part of title, rule, workload or container
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// `true` for only those that a silence keeps quiet, `false` for only the others
    #[arg(long)]
    pub(crate) silenced: Option<bool>,
    /// Last seen from then on: RFC 3339, or relative such as `now-24h`
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// Last seen before then
    #[arg(long)]
    pub(crate) end: Option<String>,
    /// Order: last_seen, first_seen, priority, count
    #[arg(long)]
    pub(crate) sort: Option<String>,
    /// At most this many
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) limit: u64,
    /// End with exit code 1 when an alert is at least this urgent
    #[arg(long, value_name = "PRIORITY")]
    pub(crate) fail_on: Option<qw_event::Priority>,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the newest entries
    List {
        #[command(flatten)]
        filter: AuditFilter,
        /// At most this many
        #[arg(long, short = 'n', default_value_t = 100)]
        limit: u64,
        /// How to print
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Check every entry against the one before; exit code 1 when something was changed or removed
    Verify,
    /// Write the log to a file, or to standard output
    Export {
        #[command(flatten)]
        filter: AuditFilter,
        /// The file; standard output when absent or `-`
        file: Option<PathBuf>,
        /// In which form
        #[arg(long, value_enum, default_value_t = AuditFormat::Ndjson)]
        format: AuditFormat,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditFilter {
    /// User who did it
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// What was done, whole or up to a dot: `user`, `token.first_use`
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// How it ended: done, refused, failed
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// From then on: RFC 3339, or relative such as `now-7d`
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// Before then
    #[arg(long)]
    pub(crate) end: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFormat {
    /// A JSON object per line
    Ndjson,
    /// Comma-separated, with a line of names
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reason {
    /// It was real and is over
    Resolved,
    /// It was nothing
    FalsePositive,
    /// It was meant to happen
    Expected,
    /// Another alert tells the same
    Duplicate,
    /// It is known and is left so
    Accepted,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// List silences
    List,
    /// Silence the alerts that match all conditions
    Add {
        /// Conditions such as `rule=Terminal shell`, `container!=web`, `image=~shop/*`,
        /// `namespace!~kube-*`; fields: rule, source, priority, workload, container, image,
        /// namespace, hostname
        #[arg(required = true, value_name = "CONDITION")]
        conditions: Vec<String>,
        /// How long, such as `2h`
        #[arg(long = "for", value_name = "SPAN", required_unless_present = "until")]
        span: Option<crate::units::Span>,
        /// Until when (RFC 3339)
        #[arg(long, conflicts_with = "span")]
        until: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// End a silence at once
    End {
        /// Number of the silence
        id: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Profile {
    #[command(subcommand)]
    pub(crate) task: ProfileTask,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// What can be done with profiles: most of it by a running server.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileTask {
    #[command(flatten)]
    AtServer(ProfileCommand),
    /// Copy the profile of an image from one registry to another, where the image is already
    Copy {
        /// The image, such as `oci://registry.example/shop/api:1.7`
        from: Place,
        /// The same image elsewhere
        to: Place,
        #[command(flatten)]
        access: RegistryAccess,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// List profiles and how far their learning is
    List {
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<ProfileState>,
        /// Part of the key or of an image
        #[arg(long)]
        search: Option<String>,
    },
    /// Show a profile and its tree
    Show {
        /// Key of the profile, or id or name of a container
        key: String,
        /// Only this branch of the tree
        #[arg(long, value_enum)]
        branch: Option<BranchName>,
        /// Only nodes whose name contains this
        #[arg(long)]
        search: Option<String>,
        /// Only what deviated
        #[arg(long)]
        deviating: bool,
    },
    /// Compare a profile with another, or with an earlier state of itself
    Diff {
        /// Key of the profile, or id or name of a container
        key: String,
        /// The other profile; without it, an earlier state of the same
        #[arg(long)]
        with: Option<String>,
        /// Time of the earlier state: RFC 3339, or relative such as `now-7d`; the newest that is kept
        /// when absent
        #[arg(long, conflicts_with = "with")]
        at: Option<String>,
    },
    /// Write a profile to a file, or attach it to its image in a registry
    Export {
        /// Key of the profile, or id or name of a container
        key: String,
        /// The file, standard output when absent or `-`; or the image, such as
        /// `oci://registry.example/shop/api:1.7`
        #[arg(conflicts_with = "oci", value_name = "FILE|IMAGE")]
        place: Option<Place>,
        /// Folder to write as an OCI image layout with the profile as an artifact in it
        #[arg(long, value_name = "DIR")]
        oci: Option<PathBuf>,
        /// Tag of the artifact in the layout
        #[arg(long, requires = "oci", default_value = "latest")]
        tag: String,
        /// Image the artifact refers to: a file with its manifest, as `skopeo inspect --raw` prints
        /// it (`-` is standard input), or its digest
        #[arg(long, requires = "oci", value_name = "FILE|DIGEST")]
        subject: Option<String>,
        /// Size of the image's manifest in bytes, when only its digest is given
        #[arg(long, requires = "subject", value_name = "BYTES")]
        subject_size: Option<u64>,
        #[command(flatten)]
        access: RegistryAccess,
    },
    /// Take in a profile that was exported; it detects at once
    Import {
        /// The file, `-` for standard input; or the image it is attached to, or the artifact itself,
        /// such as `oci://registry.example/shop/api:1.7` or `oci://…/api@sha256:…`
        #[arg(
            required_unless_present = "oci",
            conflicts_with = "oci",
            value_name = "FILE|IMAGE"
        )]
        place: Option<Place>,
        /// Folder with an OCI image layout, as `skopeo copy docker://… oci:DIR` makes it
        #[arg(long, value_name = "DIR")]
        oci: Option<PathBuf>,
        /// Tag of the artifact, when the layout holds several
        #[arg(long, requires = "oci")]
        tag: Option<String>,
        /// Key it gets; its own by default
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        access: RegistryAccess,
    },
    /// Let a profile learn again
    Learn {
        /// Key of the profile, or id or name of a container
        key: String,
        /// Only this branch
        #[arg(long, value_enum)]
        branch: Option<BranchName>,
    },
    /// End learning now: what is unknown from now on deviates
    Freeze {
        /// Key of the profile, or id or name of a container
        key: String,
        /// Only this branch
        #[arg(long, value_enum)]
        branch: Option<BranchName>,
    },
    /// Make known what deviated
    Accept {
        /// Key of the profile, or id or name of a container
        key: String,
        /// Branch, then as far as wanted: operation, process, attribute
        #[arg(required = true, num_args = 1..=4)]
        path: Vec<String>,
    },
}

/// Where a profile is written to or read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// A file; `-` is standard input or output.
    File(PathBuf),
    /// Beside an image in a registry.
    Registry(qw_oci::Reference),
}

impl std::str::FromStr for Place {
    type Err = qw_oci::OciError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("oci://") {
            Some(image) => Ok(Self::Registry(image.parse()?)),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// How a registry is reached.
#[derive(Debug, Args)]
pub(crate) struct RegistryAccess {
    /// Speak HTTP without TLS with the registry
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// PEM file of the authorities trusted for the registry, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File of credentials, as `docker login` and `skopeo login` write it; theirs by default
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileState {
    /// Any branch learns
    Learning,
    /// All branches detect
    Detecting,
    /// Learning was ended by command
    Frozen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BranchName {
    /// What runs
    Process,
    /// What is reached, and who reaches in
    Network,
    /// What is read and written
    File,
    /// Who starts whom
    Lineage,
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
        /// What it may do: read, triage, ingest, metrics, admin
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
pub(crate) struct User {
    #[command(subcommand)]
    pub(crate) command: UserCommand,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user; without --password-stdin a password is made up and printed once
    Add {
        /// Name: a-z, 0-9, `.`, `_`, `-`, `@`
        name: String,
        /// What the user may do: log_reader, viewer, analyst, admin
        #[arg(long, default_value = "viewer")]
        role: String,
        #[command(flatten)]
        scope: UserScope,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users
    List {
        /// How to print
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Set a user's password, read from standard input; ends the user's sessions
    Passwd {
        /// Name of the user
        name: String,
    },
    /// Change what a user may do and see; what is not named stays
    Role {
        /// Name of the user
        name: String,
        /// What the user may do: log_reader, viewer, analyst, admin
        role: Option<String>,
        #[command(flatten)]
        scope: UserScope,
        /// Let the user see everything
        #[arg(long, conflicts_with_all = ["namespace", "label"])]
        everything: bool,
        /// Let the user sign in no more
        #[arg(long)]
        disable: bool,
        /// Let the user sign in again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
    },
    /// Remove a user with all sessions and tokens
    Remove {
        /// Name of the user
        name: String,
    },
}

/// Whose data a user sees; everything when nothing is named.
#[derive(Debug, Args)]
pub(crate) struct UserScope {
    /// Kubernetes namespace whose containers the user sees; can be repeated
    #[arg(long)]
    pub(crate) namespace: Vec<String>,
    /// Label whose containers the user sees, such as `team=shop`; can be repeated
    #[arg(long)]
    pub(crate) label: Vec<String>,
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
    #[arg(
        long = "server",
        env = "QUAYWATCH_SERVER",
        value_name = "URL",
        global = true
    )]
    pub(crate) address: Option<String>,
    /// API token; of the running server of the data folder by default
    #[arg(long, env = "QUAYWATCH_TOKEN", hide_env_values = true, global = true)]
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
    /// Recordings of real programs, as `docs/recordings.md` tells, for the profiles and for what sees
    /// everything
    #[arg(long, value_name = "DIR")]
    pub(crate) recordings: Option<PathBuf>,
    /// Further ordinary runs, of which nothing is learned: only these are judged, by profiles that
    /// learned from all of the recordings
    #[arg(long, value_name = "DIR", requires = "recordings")]
    pub(crate) judge: Option<PathBuf>,
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
    /// … → profiled; memory of profiles; what they find in recordings
    Profile,
    /// … → durable store
    Store,
    /// Questions to a full store
    Query,
    /// API under ingest, event in → stream out
    Api,
    /// Two minutes of rules that see everything: what is kept, and at what cost
    CatchAll,
    /// Log file of a container → parsed → merged → batches
    Logs,
    /// Syslog in, syslog out, beside rsyslog
    Forward,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// JSON, one object a line
    Json,
}
