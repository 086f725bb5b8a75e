//! How much a deviation should worry, and why.
//!
//! Each reason has a weight, the share of the remaining trust that it takes. The score is
//! `1 - Π (1 - weight)`, the noisy-or of independent causes (J. Pearl, *Probabilistic Reasoning in
//! Intelligent Systems*, 1988): it grows with every reason, never exceeds 1, and each reason can be
//! named. The weights order what is known of intrusions (MITRE ATT&CK for containers) far above what
//! programs do by themselves, such as another name of a log file.

use qw_event::{Priority, Reason, Timestamp};

use crate::{
    action::{About, Branch, has_failed, is_network_descriptor, is_shell},
    fields::Fields,
    lists::{
        file_verb, is_backdoor_port, is_log, is_miner_port, is_program_directory, is_server,
        is_temporary, network_verb, powerful, program, runs_files, suspicious,
    },
    network::{AddressClass, ends},
    sensitive::{self, Sensitivity},
    tree::Kind,
};

/// The reasons of one deviation.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    list: Vec<(&'static str, f32, String)>,
}

impl Reasons {
    /// Adds a reason; of two with the same code the heavier counts.
    pub(crate) fn add(&mut self, code: &'static str, weight: f32, text: String) {
        match self.list.iter_mut().find(|(known, ..)| *known == code) {
            Some(known) if known.1 < weight => *known = (code, weight, text),
            Some(_) => {}
            None => self.list.push((code, weight, text)),
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        for (code, weight, text) in other.list {
            self.add(code, weight, text);
        }
    }

    /// 0 to 1.
    pub(crate) fn score(&self) -> f32 {
        1.0 - self
            .list
            .iter()
            .map(|(_, weight, _)| 1.0 - weight)
            .product::<f32>()
    }

    /// Heaviest first.
    pub(crate) fn finish(mut self, time: Timestamp) -> Vec<Reason> {
        self.list
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        self.list
            .into_iter()
            .map(|(code, weight, text)| Reason {
                code: code.into(),
                text,
                time,
                weight,
            })
            .collect()
    }
}

/// Urgency of a score.
pub fn priority(score: f32) -> Priority {
    match score {
        score if score >= 0.9 => Priority::Critical,
        score if score >= 0.7 => Priority::Error,
        score if score >= 0.5 => Priority::Warning,
        score if score >= 0.3 => Priority::Notice,
        score if score >= 0.1 => Priority::Informational,
        _ => Priority::Debug,
    }
}

/// What the profile knows about an action that it does not know as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// The process was met doing anything.
    pub(crate) process: bool,
    /// This process was met doing this.
    pub(crate) operation: bool,
    /// The parent answers connections, as far as is known.
    pub(crate) serves: bool,
    /// The process was met with the network.
    pub(crate) connects: bool,
    /// The process was met with this port in another network.
    pub(crate) port: bool,
    /// The process was met with another file of this directory.
    pub(crate) directory: bool,
    /// The file of the program was written a short time ago, which was a deviation.
    pub(crate) dropped: bool,
    /// The attribute names such a file.
    pub(crate) names_dropped: bool,
}

/// What is not known of an action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unknown<'a> {
    pub(crate) branch: Branch,
    pub(crate) operation: &'a str,
    pub(crate) process: &'a str,
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) about: About,
    /// Similarity to the closest known one; 0 where nothing is comparable.
    pub(crate) closest: f32,
}

/// Adds what an unknown attribute, process or operation gives reason for.
pub(crate) fn assess(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    match unknown.branch {
        Branch::Lineage => lineage(unknown, known, fields, into),
        Branch::Network => network(unknown, known, fields, into),
        Branch::File => file(unknown, known, fields, into),
        Branch::Process => process(unknown, known, fields, into),
    }
    if !known.operation && unknown.branch != Branch::Lineage {
        operation(unknown, known, fields, into);
    }
}

/// Adds that things like it happened a moment ago in the container in which `process` runs.
pub(crate) fn context(heat: f32, process: &str, into: &mut Reasons) {
    if heat > 0.5 {
        into.add(
            "follows_deviation",
            (heat - 0.5) * 0.6,
            format!(
                "`{process}` did this shortly after other things that this container never did before"
            ),
        );
    }
}

/// `nginx` started `sh`: who ran a program, as far as it is said.
fn started(program: &str, fields: &Fields<'_>) -> String {
    match &*fields.parent {
        "" => format!("`{program}` was started"),
        parent => format!("`{parent}` started `{program}`"),
    }
}

fn operation(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown {
        operation, process, ..
    } = *unknown;
    if known.process {
        into.add(
            "new_operation",
            0.12,
            format!("`{process}` called `{operation}`, which it never did before"),
        );
    } else {
        let what = match operation {
            "execve" | "execveat" if !has_failed(fields) => started(process, fields),
            _ => format!("`{process}` ran"),
        };
        into.add(
            "new_process",
            0.3,
            format!("{what}, a program that this workload never ran before"),
        );
    }
    if let Some((weight, what)) = powerful(operation) {
        into.add(
            "powerful_call",
            weight,
            format!("`{process}` called `{operation}`, which {what}"),
        );
    }
}

fn process(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    let is_run = matches!(unknown.operation, "execve" | "execveat");
    let is_attempt = is_run && has_failed(fields);
    if is_run && !is_attempt {
        if !known.process
            && let Some((code, weight, what)) = program(process)
        {
            into.add(
                code,
                weight,
                format!("{}, {what}", started(process, fields)),
            );
        }
        execution(unknown, known, fields, into);
    }
    if is_attempt && known.dropped {
        into.add(
            "dropped_executable",
            DROPPED,
            format!(
                "`{process}` tried to run `{text}`, a file that was written here shortly before"
            ),
        );
    }
    // Interpreters run what they are given, and what is new here may do so, such as `timeout` and
    // `nohup`; a compiler that works here anyway is given files that were written before all the time.
    let may_run_it = !known.process || runs_files(process);
    if is_run && !is_attempt && may_run_it && known.names_dropped {
        into.add(
            "dropped_argument",
            0.25,
            format!(
                "{} with `{text}`, a file that was written here shortly before",
                started(process, fields)
            ),
        );
    }
    if !known.operation {
        if unknown.kind == Kind::Script {
            script(process, text, into);
        }
        return;
    }
    let given = || format!("`{process}` was given `{text}`");
    match unknown.kind {
        Kind::Executable => into.add(
            "new_executable",
            0.35,
            format!("`{process}` ran from the file `{text}`, which it never did before"),
        ),
        Kind::User => {
            into.add(
                "new_user",
                if text == "root" { 0.45 } else { 0.3 },
                format!("`{process}` ran as user `{text}`, which it never did before"),
            );
        }
        Kind::Script => {
            script(process, text, into);
            into.add(
                "new_script",
                0.2,
                format!("`{process}` ran the command `{text}`, which it never did before"),
            );
        }
        Kind::Path if is_attempt => {
            path_access(text, "tried to run", process, false, into);
            into.add(
                "new_argument",
                0.05 + 0.05 * (1.0 - unknown.closest),
                format!("`{process}` tried to run `{text}`, which it never did before"),
            );
        }
        Kind::Path => {
            path_access(text, "was given", process, false, into);
            into.add(
                "new_argument",
                0.05 + 0.05 * (1.0 - unknown.closest),
                format!("{}, which it never was before", given()),
            );
        }
        Kind::Flag => into.add(
            "new_argument",
            0.05 + 0.05 * (1.0 - unknown.closest),
            format!("{}, which it never was before", given()),
        ),
        _ => into.add(
            "new_argument",
            0.05,
            format!("{}, which it never was before", given()),
        ),
    }
}

/// What running a file weighs that was written a short time ago.
const DROPPED: f32 = 0.65;

/// Where a program comes from, and what it is tied to.
fn execution(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let process = unknown.process;
    let executable = &*fields.executable;
    let is_from_memory =
        fields.is_from_memory || executable.starts_with("memfd:") || executable.contains("/memfd:");
    let name = if executable.is_empty() {
        process
    } else {
        executable
    };
    if is_from_memory {
        into.add(
            "fileless",
            0.8,
            format!(
                "{} from memory, so that there is no file to look at",
                started(process, fields)
            ),
        );
    } else if fields.is_upper_layer {
        into.add(
            "not_in_image",
            0.6,
            format!(
                "{}, a file that is not part of the image",
                started(name, fields)
            ),
        );
    }
    if is_temporary(executable) {
        into.add(
            "temporary_executable",
            0.5,
            format!(
                "{}, which lies in a directory for temporary files",
                started(name, fields)
            ),
        );
    }
    if known.dropped {
        into.add(
            "dropped_executable",
            DROPPED,
            format!(
                "{}, a file that was written here shortly before",
                started(name, fields)
            ),
        );
    }
    socket_as_input(process, fields, into);
    let line = if fields.command_line.is_empty() {
        &fields.arguments
    } else {
        &fields.command_line
    };
    script(process, line, into);
}

/// A program that was started on a network connection.
fn socket_as_input(process: &str, fields: &Fields<'_>, into: &mut Reasons) {
    if matches!(&*fields.standard_input, "ipv4" | "ipv6") {
        into.add(
            "socket_as_input",
            0.8,
            format!(
                "{} on a network connection, so that whoever is at the other end types its input",
                started(process, fields)
            ),
        );
    }
}

fn script(process: &str, text: &str, into: &mut Reasons) {
    if let Some((word, what)) = suspicious(text) {
        into.add(
            "suspicious_command",
            0.7,
            format!("`{process}` was told to run a command with `{word}`, which {what}"),
        );
    }
}

fn lineage(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let (parent, child) = (unknown.process, unknown.text);
    into.add(
        "new_lineage",
        0.25,
        format!("`{parent}` started `{child}`, which it never did before"),
    );
    if is_shell(child) && (known.serves || is_server(parent)) {
        into.add(
            "shell_from_server",
            0.65,
            format!(
                "`{parent}`, which answers connections, started the shell `{child}`, as after a break-in"
            ),
        );
    }
    socket_as_input(child, fields, into);
}

fn network(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown {
        process,
        operation,
        text,
        about,
        ..
    } = *unknown;
    if matches!(operation, "dup" | "dup2" | "dup3")
        && is_network_descriptor(&fields.descriptor_type)
        && matches!(&*fields.descriptor_number, "" | "0" | "1" | "2")
    {
        let other = ends(&fields.descriptor).map_or(String::new(), |(_, other)| {
            format!(" to `{}`", other.chars().take(64).collect::<String>())
        });
        into.add(
            "socket_as_input",
            0.8,
            format!(
                "`{process}` made the network connection{other} its input or output, so that whoever \
                 is at the other end controls it"
            ),
        );
    }
    if operation == "socket" && (text.contains("AF_PACKET") || text.contains("PF_PACKET")) {
        into.add(
            "packet_socket",
            0.6,
            format!("`{process}` opened a socket that sees what others send over the network"),
        );
    }
    if !known.connects && !known.operation {
        into.add(
            "first_connection",
            0.2,
            format!("`{process}` used the network, which it never did before"),
        );
    }
    let port = match about {
        About::Address { port, .. } => port,
        About::Nothing => 0,
    };
    match unknown.kind {
        Kind::Socket => {
            path_access(text, "used the socket", process, true, into);
            into.add(
                "new_socket",
                0.12,
                format!("`{process}` used the socket `{text}`, which it never did before"),
            );
        }
        Kind::Listener => into.add(
            "new_listener",
            0.3,
            format!("`{process}` waited for connections at port {port}, which it never did before"),
        ),
        Kind::Origin => into.add(
            "new_origin",
            0.15,
            format!(
                "`{process}` took a connection at port {port} from {}, which it never did before",
                match about {
                    About::Address { class, .. } => class.described(),
                    About::Nothing => "an address",
                }
            ),
        ),
        Kind::Destination => destination(unknown, known, into),
        _ => {}
    }
}

fn destination(unknown: &Unknown<'_>, known: Known, into: &mut Reasons) {
    let Unknown {
        process,
        operation,
        text,
        about,
        ..
    } = *unknown;
    let verb = network_verb(operation);
    let About::Address { class, port, .. } = about else {
        return;
    };
    let weight = match class {
        AddressClass::Metadata => {
            into.add(
                "metadata_service",
                0.6,
                format!(
                    "`{process}` {verb} the cloud's metadata service, which gives out the machine's \
                     credentials"
                ),
            );
            return;
        }
        AddressClass::Public if port == 53 => 0.12,
        AddressClass::Public if known.port => 0.2,
        AddressClass::Public => 0.35,
        AddressClass::Private if known.port => 0.08,
        AddressClass::Private => 0.15,
        AddressClass::LinkLocal | AddressClass::Multicast => 0.1,
        AddressClass::Loopback | AddressClass::Any => 0.05,
    };
    into.add(
        "new_destination",
        weight,
        format!("`{process}` {verb} `{text}`, which it never did before"),
    );
    if matches!(class, AddressClass::Public | AddressClass::Private) {
        if is_miner_port(port) {
            into.add(
                "miner_port",
                0.55,
                format!(
                    "`{process}` {verb} `{text}`: port {port} is where pools of crypto-currency miners \
                     listen"
                ),
            );
        } else if is_backdoor_port(port) {
            into.add(
                "backdoor_port",
                0.4,
                format!(
                    "`{process}` {verb} `{text}`: port {port} is the usual one of tools for attacks"
                ),
            );
        }
    }
}

fn file(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    let is_written = unknown.kind == Kind::WrittenPath;
    let verb = file_verb(unknown.operation, is_written);
    path_access(text, verb, process, is_written, into);
    if is_written {
        written(unknown, fields, into);
    }
    if !known.operation {
        return;
    }
    if !is_written && matches!(text, "/etc/passwd" | "/etc/group") {
        // Whoever makes a server read files begins with the accounts, which every system has.
        let (weight, who) = if known.serves || is_server(process) {
            (0.5, ", which answers connections,")
        } else {
            (0.35, "")
        };
        into.add(
            "accounts",
            weight,
            format!("`{process}`{who} {verb} `{text}`, the list of accounts, which it never needed before"),
        );
    }
    let novelty = 1.0 - unknown.closest;
    let is_log = is_log(text);
    let weight = match (is_written, is_log, known.directory) {
        (_, true, _) => 0.02 + 0.02 * novelty,
        (false, false, true) => 0.03 + 0.04 * novelty,
        (false, false, false) => 0.06 + 0.06 * novelty,
        (true, false, true) => 0.06 + 0.06 * novelty,
        (true, false, false) => 0.12 + 0.06 * novelty,
    };
    into.add(
        "new_file",
        weight,
        format!("`{process}` {verb} `{text}`, which it never did before"),
    );
}

/// What a path gives to who does with it what `verb` says.
fn path_access(path: &str, verb: &str, process: &str, is_written: bool, into: &mut Reasons) {
    let Some(sensitivity) = sensitive::of_path(path) else {
        return;
    };
    let (code, weight, why) = match (sensitivity, is_written) {
        (Sensitivity::Credential, _) => ("credentials", 0.75, "which holds credentials"),
        (Sensitivity::Escape, _) => ("host_access", 0.7, "which leads out of the container"),
        (Sensitivity::Persistence, true) => (
            "persistence",
            0.65,
            "from where it takes effect again and again",
        ),
        (Sensitivity::Persistence, false) => return,
    };
    into.add(code, weight, format!("`{process}` {verb} `{path}`, {why}"));
}

fn written(unknown: &Unknown<'_>, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    let (directory, name) = text.rsplit_once('/').unwrap_or(("", text));
    let verb = file_verb(unknown.operation, true);
    if makes_executable(&fields.mode) && !unknown.operation.starts_with("mkdir") {
        into.add(
            "made_executable",
            0.35,
            format!("`{process}` made `{text}` a program that can be run"),
        );
    }
    if is_program_directory(directory) {
        into.add(
            "program_written",
            0.5,
            format!("`{process}` {verb} `{text}`, where programs of the system lie"),
        );
    }
    let is_script = [".php", ".jsp", ".aspx", ".phtml", ".sh", ".cgi"]
        .iter()
        .any(|extension| name.ends_with(extension));
    if is_script && !unknown.operation.starts_with("unlink") {
        into.add(
            "script_written",
            0.4,
            format!("`{process}` {verb} `{text}`, a program that others may run"),
        );
    }
    if name.starts_with('.') && is_temporary(text) {
        into.add(
            "hidden_file",
            0.25,
            format!("`{process}` {verb} the hidden file `{text}`"),
        );
    }
    if text.starts_with("/var/log/") && unknown.operation.starts_with("unlink") {
        into.add(
            "log_removed",
            0.2,
            format!("`{process}` removed the log `{text}`"),
        );
    }
}

fn makes_executable(mode: &str) -> bool {
    mode.contains("S_IX")
        || u32::from_str_radix(mode.trim_start_matches("0o").trim_start_matches('0'), 8)
            .is_ok_and(|mode| mode & 0o111 != 0 && mode <= 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_grows_with_every_reason_and_stays_below_one() {
        let mut reasons = Reasons::default();
        let mut before = 0.0;
        for code in ["a", "b", "c", "d"] {
            reasons.add(code, 0.7, String::new());
            let score = reasons.score();
            assert!(score > before && score < 1.0);
            before = score;
        }
        // The same reason twice is one reason.
        reasons.add("a", 0.1, String::new());
        assert!((reasons.score() - before).abs() < f32::EPSILON);
    }

    #[test]
    fn modes_are_understood() {
        for mode in ["0755", "755", "0o755", "S_IXUSR|S_IRUSR"] {
            assert!(makes_executable(mode), "{mode}");
        }
        for mode in ["", "0644", "600", "0", "S_IRUSR", "nonsense"] {
            assert!(!makes_executable(mode), "{mode}");
        }
    }

    #[test]
    fn urgency_follows_the_score() {
        assert_eq!(priority(0.95), Priority::Critical);
        assert_eq!(priority(0.5), Priority::Warning);
        assert_eq!(priority(0.0), Priority::Debug);
    }
}
