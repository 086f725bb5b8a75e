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
    network::AddressClass,
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
    /// The file was written a short time ago, which was a deviation.
    pub(crate) dropped: bool,
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
        operation(unknown, known, into);
    }
}

/// Adds that things like it happened a moment ago.
pub(crate) fn context(heat: f32, into: &mut Reasons) {
    if heat > 0.5 {
        into.add(
            "follows_deviation",
            (heat - 0.5) * 0.6,
            "follows other behaviour never seen before".to_owned(),
        );
    }
}

fn operation(unknown: &Unknown<'_>, known: Known, into: &mut Reasons) {
    let Unknown {
        operation, process, ..
    } = unknown;
    if known.process {
        into.add(
            "new_operation",
            0.12,
            format!("`{process}` never did `{operation}` before"),
        );
    } else {
        into.add(
            "new_process",
            0.3,
            format!("process `{process}` was never seen before"),
        );
    }
    let weight = match *operation {
        "init_module" | "finit_module" => 0.85,
        "ptrace" | "process_vm_writev" | "process_vm_readv" | "pivot_root" => 0.6,
        "bpf" | "setns" | "unshare" | "mount" | "move_mount" | "memfd_create" | "userfaultfd"
        | "delete_module" | "perf_event_open" => 0.5,
        "setuid" | "setresuid" | "setgid" | "capset" | "keyctl" | "io_uring_setup" => 0.3,
        "umount" | "umount2" | "chroot" => 0.25,
        _ => return,
    };
    into.add(
        "powerful_call",
        weight,
        format!("`{operation}` changes what a process may do or see"),
    );
}

fn process(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    if matches!(unknown.operation, "execve" | "execveat") && !has_failed(fields) {
        if !known.process {
            program(process, into);
        }
        execution(unknown, known, fields, into);
    }
    if !known.operation {
        if unknown.kind == Kind::Script {
            script(text, into);
        }
        return;
    }
    match unknown.kind {
        Kind::Executable => into.add(
            "new_executable",
            0.35,
            format!("`{process}` was never run from `{text}` before"),
        ),
        Kind::User => {
            let is_root = matches!(text, "root" | "0");
            into.add(
                "new_user",
                if is_root { 0.45 } else { 0.3 },
                format!("`{process}` never ran as user `{text}` before"),
            );
        }
        Kind::Script => {
            script(text, into);
            into.add(
                "new_script",
                0.2,
                format!("`{process}` never ran `{text}` before"),
            );
        }
        Kind::Flag => into.add(
            "new_argument",
            0.05 + 0.05 * (1.0 - unknown.closest),
            format!("`{process}` was never given `{text}` before"),
        ),
        Kind::Path => {
            path_access(text, false, into);
            into.add(
                "new_argument",
                0.05 + 0.05 * (1.0 - unknown.closest),
                format!("`{process}` was never given `{text}` before"),
            );
        }
        _ => into.add(
            "new_argument",
            0.05,
            format!("`{process}` was never given `{text}` before"),
        ),
    }
}

/// What kind of program somebody brought in.
fn program(process: &str, into: &mut Reasons) {
    let base =
        process.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    let (code, weight, what) = match base {
        "sh" | "bash" | "dash" | "zsh" | "ash" | "ksh" | "csh" | "tcsh" | "fish" | "rbash"
        | "busybox" => ("shell", 0.35, "is a shell"),
        "nc" | "ncat" | "netcat" | "nc.openbsd" | "nc.traditional" | "socat" | "telnet"
        | "nmap" | "masscan" | "zmap" | "chisel" | "ngrok" | "frpc" | "proxychains" | "tcpdump"
        | "tshark" | "hydra" => ("network_tool", 0.5, "is a tool to reach or watch networks"),
        "curl" | "wget" | "scp" | "sftp" | "ssh" | "ftp" | "tftp" | "rsync" => {
            ("transfer_tool", 0.35, "carries files over the network")
        }
        "xmrig" | "minerd" | "kinsing" | "kdevtmpfsi" | "cpuminer" | "ethminer" | "xmr-stak"
        | "nbminer" | "t-rex" | "ccminer" => {
            ("miner", 0.85, "is known as a miner of crypto-currency")
        }
        "whoami" | "id" | "uname" | "hostname" | "ifconfig" | "ip" | "netstat" | "ss" | "ps"
        | "w" | "who" | "last" | "lsof" | "env" | "printenv" | "mount" | "find" | "getent"
        | "nslookup" | "dig" | "capsh" => ("reconnaissance", 0.2, "tells about the system"),
        "python" | "perl" | "ruby" | "php" | "node" | "lua" | "gdb" => {
            ("interpreter", 0.2, "runs programs that it is given")
        }
        "apt" | "apt-get" | "dpkg" | "apk" | "yum" | "dnf" | "rpm" | "pip" | "npm" | "gem"
        | "gcc" | "cc" | "make" | "ld" | "go" | "cargo" => {
            ("installer", 0.25, "installs or builds programs")
        }
        "useradd" | "adduser" | "usermod" | "passwd" | "chpasswd" | "su" | "sudo" | "newgrp"
        | "visudo" | "crontab" | "insmod" | "modprobe" | "nsenter" | "unshare" | "chroot"
        | "docker" | "kubectl" | "crictl" | "iptables" | "setcap" | "debugfs" => {
            ("administration", 0.45, "changes who may do what")
        }
        "base64" | "xxd" | "openssl" | "shred" | "chattr" | "chmod" | "chown" | "dd" | "tar"
        | "gzip" | "mkfifo" => ("handling", 0.1, "packs, hides or releases files"),
        _ => return,
    };
    into.add(code, weight, format!("`{process}` {what}"));
}

/// Where a program comes from, and what it is tied to.
fn execution(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let process = unknown.process;
    let executable = &*fields.executable;
    let is_from_memory =
        fields.is_from_memory || executable.starts_with("memfd:") || executable.contains("/memfd:");
    if is_from_memory {
        into.add(
            "fileless",
            0.8,
            format!("`{process}` runs from memory and has no file"),
        );
    } else if fields.is_upper_layer {
        into.add(
            "not_in_image",
            0.6,
            format!("`{executable}` is not part of the image"),
        );
    }
    if is_temporary(executable) {
        into.add(
            "temporary_executable",
            0.5,
            format!("`{executable}` lies in a directory for temporary files"),
        );
    }
    if known.dropped {
        into.add(
            "dropped_executable",
            0.65,
            format!("`{executable}` was written a short time ago"),
        );
    }
    if matches!(&*fields.standard_input, "ipv4" | "ipv6") {
        into.add(
            "socket_as_input",
            0.8,
            format!("a network connection is the standard input of `{process}`"),
        );
    }
    let line = if fields.command_line.is_empty() {
        &fields.arguments
    } else {
        &fields.command_line
    };
    script(line, into);
}

/// Words that programs in good order do not write.
fn script(text: &str, into: &mut Reasons) {
    const SUSPICIOUS: [&str; 13] = [
        "/dev/tcp/",
        "/dev/udp/",
        "bash -i",
        "sh -i",
        "nc -e",
        "ncat -e",
        "base64 -d",
        "base64 --decode",
        "|sh",
        "| sh",
        "| bash",
        "|bash",
        "stratum+",
    ];
    if let Some(found) = SUSPICIOUS.iter().find(|pattern| text.contains(**pattern)) {
        into.add(
            "suspicious_command",
            0.7,
            format!("the command contains `{found}`"),
        );
    }
}

fn lineage(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let (parent, child) = (unknown.process, unknown.text);
    into.add(
        "new_lineage",
        0.25,
        format!("`{parent}` never started `{child}` before"),
    );
    if is_shell(child) && (known.serves || is_server(parent)) {
        into.add(
            "shell_from_server",
            0.65,
            format!("`{parent}` answers connections and started the shell `{child}`"),
        );
    }
    if matches!(&*fields.standard_input, "ipv4" | "ipv6") {
        into.add(
            "socket_as_input",
            0.8,
            format!("a network connection is the standard input of `{child}`"),
        );
    }
}

fn network(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown {
        process,
        operation,
        text,
        ..
    } = *unknown;
    if matches!(operation, "dup" | "dup2" | "dup3")
        && is_network_descriptor(&fields.descriptor_type)
        && matches!(&*fields.descriptor_number, "" | "0" | "1" | "2")
    {
        into.add(
            "socket_as_input",
            0.8,
            format!("a network connection became standard input or output of `{process}`"),
        );
    }
    if operation == "socket" && (text.contains("AF_PACKET") || text.contains("PF_PACKET")) {
        into.add(
            "packet_socket",
            0.6,
            format!("`{process}` opened a socket that sees all packets"),
        );
    }
    if !known.connects && !known.operation {
        into.add(
            "first_connection",
            0.2,
            format!("`{process}` never used the network before"),
        );
    }
    match unknown.kind {
        Kind::Socket => {
            path_access(text, true, into);
            into.add(
                "new_socket",
                0.12,
                format!("`{process}` never used the socket `{text}` before"),
            );
        }
        Kind::Listener => into.add(
            "new_listener",
            0.3,
            format!("`{process}` never waited for connections at `{text}` before"),
        ),
        Kind::Origin => into.add(
            "new_origin",
            0.15,
            format!("`{process}` never took connections `{text}` before"),
        ),
        Kind::Destination => destination(unknown, known, into),
        _ => {}
    }
}

fn destination(unknown: &Unknown<'_>, known: Known, into: &mut Reasons) {
    let Unknown {
        process,
        text,
        about,
        ..
    } = *unknown;
    let About::Address { class, port, .. } = about else {
        return;
    };
    let weight = match class {
        AddressClass::Metadata => {
            into.add(
                "metadata_service",
                0.6,
                format!("`{process}` asked the service that gives out the machine's credentials"),
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
        format!("`{process}` never connected to `{text}` before"),
    );
    if matches!(class, AddressClass::Public | AddressClass::Private) {
        if is_miner_port(port) {
            into.add(
                "miner_port",
                0.55,
                format!("port {port} is what pools of miners listen on"),
            );
        } else if is_backdoor_port(port) {
            into.add(
                "backdoor_port",
                0.4,
                format!("port {port} is the usual one of tools for attacks"),
            );
        }
    }
}

fn file(unknown: &Unknown<'_>, known: Known, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    let is_written = unknown.kind == Kind::WrittenPath;
    path_access(text, is_written, into);
    if is_written {
        written(unknown, fields, into);
    }
    if !known.operation {
        return;
    }
    if !is_written && matches!(text, "/etc/passwd" | "/etc/group") {
        into.add(
            "accounts",
            0.35,
            format!("`{text}` lists the accounts, and `{process}` never needed it"),
        );
    }
    let novelty = 1.0 - unknown.closest;
    let is_log = is_log(text);
    let verb = if is_written { "wrote to" } else { "opened" };
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
        format!("`{process}` never {verb} `{text}` before"),
    );
}

/// What a path gives to who opens it.
fn path_access(path: &str, is_written: bool, into: &mut Reasons) {
    let Some(sensitivity) = sensitive::of_path(path) else {
        return;
    };
    match (sensitivity, is_written) {
        (Sensitivity::Credential, _) => {
            into.add("credentials", 0.75, format!("`{path}` holds credentials"));
        }
        (Sensitivity::Escape, _) => into.add(
            "host_access",
            0.7,
            format!("`{path}` leads out of the container"),
        ),
        (Sensitivity::Persistence, true) => into.add(
            "persistence",
            0.65,
            format!("what is written to `{path}` outlives the process"),
        ),
        (Sensitivity::Persistence, false) => {}
    }
}

fn written(unknown: &Unknown<'_>, fields: &Fields<'_>, into: &mut Reasons) {
    let Unknown { process, text, .. } = *unknown;
    let (directory, name) = text.rsplit_once('/').unwrap_or(("", text));
    if makes_executable(&fields.mode) && !unknown.operation.starts_with("mkdir") {
        into.add(
            "made_executable",
            0.35,
            format!("`{process}` made `{text}` executable"),
        );
    }
    if is_program_directory(directory) {
        into.add(
            "program_written",
            0.5,
            format!("`{text}` lies where programs are looked for"),
        );
    }
    let is_script = [".php", ".jsp", ".aspx", ".phtml", ".sh", ".cgi"]
        .iter()
        .any(|extension| name.ends_with(extension));
    if is_script && !unknown.operation.starts_with("unlink") {
        into.add("script_written", 0.4, format!("`{text}` is a program"));
    }
    if name.starts_with('.') && is_temporary(text) {
        into.add("hidden_file", 0.25, format!("`{text}` is hidden"));
    }
    if text.starts_with("/var/log/") && unknown.operation.starts_with("unlink") {
        into.add("log_removed", 0.2, format!("`{text}` is a log"));
    }
}

fn makes_executable(mode: &str) -> bool {
    mode.contains("S_IX")
        || u32::from_str_radix(mode.trim_start_matches("0o").trim_start_matches('0'), 8)
            .is_ok_and(|mode| mode & 0o111 != 0 && mode <= 0o7777)
}

fn is_temporary(path: &str) -> bool {
    ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/"]
        .iter()
        .any(|directory| path.starts_with(directory))
}

fn is_program_directory(directory: &str) -> bool {
    matches!(
        directory,
        "/bin"
            | "/sbin"
            | "/usr/bin"
            | "/usr/sbin"
            | "/usr/local/bin"
            | "/usr/local/sbin"
            | "/lib"
            | "/lib64"
            | "/usr/lib"
            | "/usr/local/lib"
    )
}

fn is_log(path: &str) -> bool {
    path.starts_with("/var/log/")
        || path.contains(".log.")
        || path.rsplit('.').next() == Some("log")
}

/// Ports that public pools of miners name in their instructions.
fn is_miner_port(port: u16) -> bool {
    matches!(
        port,
        3333 | 3334
            | 3335
            | 3336
            | 4444
            | 5555
            | 6666
            | 7777
            | 9999
            | 14_433
            | 14_444
            | 45_560
            | 45_700
    )
}

fn is_backdoor_port(port: u16) -> bool {
    matches!(port, 1337 | 4445 | 5554 | 6667 | 9001 | 31_337)
}

/// True for programs that answer connections, by their name.
fn is_server(process: &str) -> bool {
    matches!(
        process.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.'),
        "nginx"
            | "apache"
            | "httpd"
            | "php-fpm"
            | "java"
            | "node"
            | "postgres"
            | "mysqld"
            | "mariadbd"
            | "mongod"
            | "redis-server"
            | "uwsgi"
            | "gunicorn"
            | "lighttpd"
            | "haproxy"
            | "caddy"
            | "tomcat"
            | "memcached"
            | "vsftpd"
            | "proftpd"
    )
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
