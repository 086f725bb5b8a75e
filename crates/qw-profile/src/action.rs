//! An event → what somebody did: branch, operation, process, and the attributes to compare.

use std::{fmt::Write as _, net::IpAddr, ops::Range};

use qw_event::Category;
use serde::{Deserialize, Serialize};

use crate::{
    fields::Fields,
    network::{self, AddressClass, end, ends},
    normal,
    tree::Kind,
};

/// Attributes of one event that are looked at.
const MAX_TOKENS: usize = 24;

/// Bytes of a command line that are looked at.
const MAX_COMMAND: usize = 4_096;

/// Part of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// Programs that were run, with what, and what they did to processes.
    Process,
    /// Connections and sockets.
    Network,
    /// Files.
    File,
    /// Which program started which.
    Lineage,
}

impl Branch {
    /// All branches.
    pub const ALL: [Self; 4] = [Self::Process, Self::Network, Self::File, Self::Lineage];

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::File => "file",
            Self::Lineage => "lineage",
        }
    }

    /// The branch with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|branch| branch.as_str() == name)
    }
}

/// What one event did in one branch.
#[derive(Debug, Clone)]
pub(crate) struct Action<'f> {
    pub(crate) branch: Branch,
    pub(crate) operation: &'f str,
    pub(crate) process: &'f str,
    /// Which of the event's tokens.
    pub(crate) tokens: Range<usize>,
}

impl Action<'_> {
    /// Where it belongs in a tree.
    pub(crate) fn way(&self) -> (Branch, &str, &str) {
        (self.branch, self.operation, self.process)
    }
}

/// One attribute in its comparable form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    start: u32,
    end: u32,
    pub(crate) about: About,
}

/// What is known of an attribute beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Nothing,
    Address {
        class: AddressClass,
        port: u16,
        is_udp: bool,
    },
}

/// The attributes of one event; reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    text: String,
    items: Vec<Token>,
}

impl Tokens {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn of<'a>(&'a self, range: &Range<usize>) -> &'a [Token] {
        self.items.get(range.clone()).unwrap_or_default()
    }

    pub(crate) fn text(&self, token: &Token) -> &str {
        self.text
            .get(token.start as usize..token.end as usize)
            .unwrap_or("")
    }

    /// Adds what `write` appends, unless this event has it already.
    fn add(&mut self, kind: Kind, write: impl FnOnce(&mut String) -> About) {
        if self.items.len() >= MAX_TOKENS {
            return;
        }
        let start = self.text.len();
        let about = write(&mut self.text);
        let token = Token {
            kind,
            start: start as u32,
            end: self.text.len() as u32,
            about,
        };
        let text = self.text(&token);
        let is_repetition = self
            .items
            .iter()
            .any(|other| other.kind == kind && self.text(other) == text);
        if text.is_empty() || is_repetition {
            self.text.truncate(start);
        } else {
            self.items.push(token);
        }
    }

    fn add_with(&mut self, kind: Kind, text: &str, write: fn(&str, &mut String)) {
        if !text.is_empty() {
            self.add(kind, |into| {
                write(text, into);
                About::Nothing
            });
        }
    }

    fn add_text(&mut self, kind: Kind, text: &str) {
        self.add_with(kind, text, normal::write_word);
    }
}

/// What the event did, in at most two branches; nothing when it is of no interest.
pub(crate) fn actions<'f>(
    fields: &'f Fields<'_>,
    category: Category,
    process: &'f str,
    tokens: &mut Tokens,
) -> [Option<Action<'f>>; 2] {
    tokens.clear();
    let Some((branch, operation)) = branch(fields, category) else {
        return [None, None];
    };
    let is_exec = matches!(operation, "execve" | "execveat");
    match branch {
        Branch::Process if is_exec => exec_tokens(fields, process, tokens),
        Branch::Process => process_tokens(fields, tokens),
        Branch::Network => network_tokens(fields, operation, tokens),
        Branch::File => file_tokens(fields, operation, tokens),
        Branch::Lineage => {}
    }
    if tokens.len() == 0 {
        tokens.add_text(Kind::Nothing, "-");
    }
    let first = Action {
        branch,
        operation,
        process,
        tokens: 0..tokens.len(),
    };
    if !is_exec || has_failed(fields) || fields.parent.is_empty() {
        return [Some(first), None];
    }
    let before = tokens.len();
    tokens.add_with(Kind::Child, process, |name, into| into.push_str(name));
    let lineage = (tokens.len() > before).then(|| Action {
        branch: Branch::Lineage,
        operation: "spawn",
        process: &fields.parent,
        tokens: before..tokens.len(),
    });
    [Some(first), lineage]
}

pub(crate) fn has_failed(fields: &Fields<'_>) -> bool {
    let mut letters = fields.result.bytes();
    letters.next() == Some(b'E') && letters.next().is_some_and(|byte| byte.is_ascii_uppercase())
}

pub(crate) fn is_network_descriptor(descriptor_type: &str) -> bool {
    matches!(descriptor_type, "ipv4" | "ipv6" | "4" | "6")
}

/// The branch of a system call, by its name first; what has no name goes by its category.
fn branch<'f>(fields: &'f Fields<'_>, category: Category) -> Option<(Branch, &'f str)> {
    let operation = &*fields.event_type;
    let descriptor = &*fields.descriptor_type;
    let branch = match operation {
        "execve" | "execveat" | "clone" | "clone3" | "fork" | "vfork" | "setuid" | "setgid"
        | "setreuid" | "setregid" | "setresuid" | "setresgid" | "ptrace" | "bpf"
        | "init_module" | "finit_module" | "delete_module" | "setns" | "unshare" | "capset"
        | "memfd_create" | "kill" | "tkill" | "tgkill" | "userfaultfd" | "process_vm_readv"
        | "process_vm_writev" | "prctl" | "seccomp" | "keyctl" | "perf_event_open"
        | "io_uring_setup" => Branch::Process,
        "connect" | "accept" | "accept4" | "bind" | "listen" | "socket" | "send" | "sendto"
        | "sendmsg" | "sendmmsg" | "recv" | "recvfrom" | "recvmsg" | "recvmmsg" => Branch::Network,
        "dup" | "dup2" | "dup3" => {
            if !is_network_descriptor(descriptor) {
                return None;
            }
            Branch::Network
        }
        "read" | "readv" | "pread" | "pread64" | "preadv" | "write" | "writev" | "pwrite"
        | "pwrite64" | "pwritev" | "close" | "sendfile" => match descriptor {
            "ipv4" | "ipv6" | "unix" | "4" | "6" | "u" => Branch::Network,
            "" | "file" | "directory" | "f" | "d" if !fields.descriptor.is_empty() => Branch::File,
            _ => return None,
        },
        "open" | "openat" | "openat2" | "open_by_handle_at" | "creat" | "unlink" | "unlinkat"
        | "rename" | "renameat" | "renameat2" | "mkdir" | "mkdirat" | "rmdir" | "chmod"
        | "fchmod" | "fchmodat" | "fchmodat2" | "chown" | "lchown" | "fchown" | "fchownat"
        | "link" | "linkat" | "symlink" | "symlinkat" | "mount" | "umount" | "umount2"
        | "truncate" | "ftruncate" | "mknod" | "mknodat" | "chroot" | "pivot_root" | "chdir"
        | "setxattr" | "lsetxattr" | "fsetxattr" | "copy_file_range" | "move_mount" => Branch::File,
        // The end of a process says nothing about it.
        "procexit" | "exit" | "exit_group" => return None,
        _ => match category {
            Category::Process => Branch::Process,
            Category::Network => Branch::Network,
            Category::File => Branch::File,
            Category::Unknown => return None,
        },
    };
    Some((
        branch,
        if operation.is_empty() {
            branch.as_str()
        } else {
            operation
        },
    ))
}

fn exec_tokens(fields: &Fields<'_>, process: &str, tokens: &mut Tokens) {
    if has_failed(fields) {
        tokens.add_with(Kind::Path, &fields.path, normal::write_path);
        return;
    }
    let executable = if fields.executable.is_empty() {
        &fields.path
    } else {
        &fields.executable
    };
    tokens.add_with(Kind::Executable, executable, normal::write_path);
    // Falco names users as it finds the container's passwd file: at the start, and for users that are
    // not in it, there is only the number. That is no other user than the one with the name.
    let is_nameless_root = fields.user.is_empty() && fields.user_id == "0";
    let user = if is_nameless_root {
        "root"
    } else {
        &fields.user
    };
    tokens.add_with(Kind::User, user, |name, into| {
        into.extend(name.chars().take(64));
    });
    let line = if fields.arguments.is_empty() {
        // The first word is the program.
        fields
            .command_line
            .split_once(' ')
            .map_or("", |(_, arguments)| arguments)
    } else {
        &fields.arguments
    };
    argument_tokens(line, process, tokens);
}

fn argument_tokens(line: &str, process: &str, tokens: &mut Tokens) {
    let mut end = line.len().min(MAX_COMMAND);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let mut rest = line.get(..end).unwrap_or("").trim_start();
    let mut words = 0;
    while !rest.is_empty() {
        let (word, after) = rest
            .split_once(|character: char| character.is_ascii_whitespace())
            .unwrap_or((rest, ""));
        rest = after.trim_start();
        if word.len() > 1 && word.starts_with('-') {
            tokens.add_with(Kind::Flag, word, normal::write_flag);
            if takes_script(process, word) {
                tokens.add_with(Kind::Script, rest, normal::write_script);
                return;
            }
        } else if words < 8 {
            words += 1;
            let is_path =
                word.starts_with('/') || word.starts_with("./") || word.starts_with("../");
            if is_path {
                tokens.add_with(Kind::Path, word, normal::write_path);
            } else {
                tokens.add_with(Kind::Word, word, normal::write_word);
            }
        }
    }
}

/// True for `sh -c`, `bash -lc`, `python3 -c`, `perl -e` and the like: a program follows.
fn takes_script(process: &str, flag: &str) -> bool {
    let is_short = !flag.starts_with("--") && flag.len() <= 5;
    if is_shell(process) || process.starts_with("python") {
        return is_short && flag.ends_with('c');
    }
    matches!(process, "perl" | "ruby" | "node" | "nodejs") && matches!(flag, "-e" | "-E")
        || process.starts_with("php") && flag == "-r"
}

pub(crate) fn is_shell(process: &str) -> bool {
    matches!(
        process,
        "sh" | "bash"
            | "dash"
            | "zsh"
            | "ash"
            | "ksh"
            | "csh"
            | "tcsh"
            | "fish"
            | "rbash"
            | "busybox"
    )
}

fn process_tokens(fields: &Fields<'_>, tokens: &mut Tokens) {
    tokens.add_with(Kind::Path, &fields.path, normal::write_path);
    tokens.add_text(Kind::Detail, &fields.target);
}

fn file_tokens(fields: &Fields<'_>, operation: &str, tokens: &mut Tokens) {
    let kind = if is_write(fields, operation) {
        Kind::WrittenPath
    } else {
        Kind::Path
    };
    let named = [&fields.descriptor, &fields.path, &fields.directory]
        .into_iter()
        .find(|text| !text.is_empty());
    if let Some(path) = named {
        tokens.add_with(kind, path, normal::write_path);
    }
    tokens.add_with(kind, &fields.new_path, normal::write_path);
    tokens.add_with(Kind::Path, &fields.target, normal::write_path);
}

fn is_write(fields: &Fields<'_>, operation: &str) -> bool {
    match operation {
        "open" | "openat" | "openat2" | "open_by_handle_at" => {
            fields.is_open_for_writing
                || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"]
                    .iter()
                    .any(|flag| fields.flags.contains(flag))
        }
        "read" | "readv" | "pread" | "pread64" | "preadv" | "close" | "sendfile" | "chdir"
        | "chroot" | "file" => false,
        _ => true,
    }
}

fn network_tokens(fields: &Fields<'_>, operation: &str, tokens: &mut Tokens) {
    let name = &*fields.descriptor;
    if operation == "socket" {
        tokens.add_text(Kind::Detail, &fields.domain);
        return;
    }
    let is_unix = matches!(&*fields.descriptor_type, "unix" | "u");
    if is_unix || (!name.contains("->") && name.starts_with('/')) {
        // The kernel's addresses of the two ends stand before the path.
        match name.find('/') {
            Some(at) => {
                let path = name.get(at..).unwrap_or("");
                tokens.add_with(Kind::Socket, path, normal::write_path);
            }
            None => tokens.add_text(Kind::Socket, "unnamed"),
        }
        return;
    }
    let is_udp = &*fields.transport == "udp";
    let connection = ends(name);
    let server = address(&fields.server_address, &fields.server_port)
        .or_else(|| connection.and_then(|(_, server)| end(server)));
    match operation {
        "bind" | "listen" => {
            if let Some((address, port)) = server.or_else(|| end(name)) {
                listener(address, port, is_udp, tokens);
            }
            return;
        }
        "accept" | "accept4" => {
            let client = address(&fields.remote_address, &fields.remote_port)
                .or_else(|| connection.and_then(|(client, _)| end(client)));
            origin(client, server, fields, is_udp, tokens);
            return;
        }
        _ => {}
    }
    let is_served = operation != "connect"
        && !fields.local_port.is_empty()
        && fields.local_port == fields.server_port;
    let remote = address(&fields.remote_address, &fields.remote_port);
    if is_served {
        origin(remote, server, fields, is_udp, tokens);
    } else if let Some((address, port)) = remote.or(server).or_else(|| end(name)) {
        tokens.add(Kind::Destination, |into| {
            let class = network::write_network(address, port, into);
            if is_udp {
                into.push_str("/udp");
            }
            About::Address {
                class,
                port,
                is_udp,
            }
        });
    }
}

fn address(address: &str, port: &str) -> Option<(IpAddr, u16)> {
    Some((address.parse().ok()?, port.parse().ok()?))
}

/// Own address and port that is listened on: the address says who can reach it.
fn listener(address: IpAddr, port: u16, is_udp: bool, tokens: &mut Tokens) {
    let class = AddressClass::of(address);
    tokens.add(Kind::Listener, |into| {
        let text = format_args!(
            "{}:{port}{}",
            class.as_str(),
            if is_udp { "/udp" } else { "" }
        );
        let written = into.write_fmt(text);
        debug_assert!(written.is_ok(), "a String takes everything");
        About::Address {
            class,
            port,
            is_udp,
        }
    });
}

/// Who reaches which own port. Clients differ in everything but their class.
fn origin(
    client: Option<(IpAddr, u16)>,
    server: Option<(IpAddr, u16)>,
    fields: &Fields<'_>,
    is_udp: bool,
    tokens: &mut Tokens,
) {
    let port = server
        .map(|(_, port)| port)
        .or_else(|| fields.local_port.parse().ok());
    let (Some(port), Some(class)) = (port, client.map(|(address, _)| AddressClass::of(address)))
    else {
        return;
    };
    tokens.add(Kind::Origin, |into| {
        let text = format_args!(
            "{} -> :{port}{}",
            class.as_str(),
            if is_udp { "/udp" } else { "" }
        );
        let written = into.write_fmt(text);
        debug_assert!(written.is_ok(), "a String takes everything");
        About::Address {
            class,
            port,
            is_udp,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &str, expected: &[&str]) {
        let fields = Fields::of(fields);
        let mut tokens = Tokens::default();
        let process = fields.process.to_string();
        let found: Vec<String> = actions(&fields, Category::Unknown, &process, &mut tokens)
            .into_iter()
            .flatten()
            .map(|action| {
                let texts: Vec<String> = tokens
                    .of(&action.tokens)
                    .iter()
                    .map(|token| format!("{}={}", token.kind.as_str(), tokens.text(token)))
                    .collect();
                format!(
                    "{}/{}/{}: {}",
                    action.branch.as_str(),
                    action.operation,
                    action.process,
                    texts.join(", ")
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_started_program_is_process_and_lineage() {
        check(
            r#"{"evt.type":"execve","proc.name":"nginx","proc.pname":"sh","proc.exepath":"/usr/sbin/nginx",
               "proc.cmdline":"nginx -g daemon off; -c /etc/nginx/nginx.conf","user.name":"root"}"#,
            &[
                "process/execve/nginx: executable=/usr/sbin/nginx, user=root, flag=-g, word=daemon, word=off;, flag=-c, path=/etc/nginx/nginx.conf",
                "lineage/spawn/sh: child=nginx",
            ],
        );
        for (user, expected) in [
            (r#""user.uid":0,"user.name":"<NA>""#, ", user=root"),
            (r#""user.uid":33,"user.name":"www-data""#, ", user=www-data"),
            (r#""user.uid":33,"user.name":"" "#, ""),
        ] {
            check(
                &format!(
                    r#"{{"evt.type":"execve","proc.name":"sh","proc.exepath":"/bin/sh",{user}}}"#
                ),
                &[&format!("process/execve/sh: executable=/bin/sh{expected}")],
            );
        }
        check(
            r#"{"evt.type":"execve","proc.name":"bash","proc.pname":"cron","proc.args":"-lc backup --to /srv/17"}"#,
            &[
                "process/execve/bash: flag=-lc, script=backup --to /srv/<n>",
                "lineage/spawn/cron: child=bash",
            ],
        );
        check(
            r#"{"evt.type":"execve","evt.res":"ENOENT","proc.name":"sh","proc.pname":"x","evt.arg.filename":"/bin/nope"}"#,
            &["process/execve/sh: path=/bin/nope"],
        );
    }

    #[test]
    fn connections_keep_port_and_network() {
        check(
            r#"{"evt.type":"connect","proc.name":"curl","fd.type":"ipv4","fd.name":"172.17.0.2:41234->45.9.148.3:4444"}"#,
            &["network/connect/curl: destination=45.9.148.0/24:4444"],
        );
        check(
            r#"{"evt.type":"sendto","proc.name":"app","fd.l4proto":"udp","fd.rip":"10.0.0.2","fd.rport":53,"fd.sport":53,"fd.lport":33333}"#,
            &["network/sendto/app: destination=10.0.0.0/24:53/udp"],
        );
        check(
            r#"{"evt.type":"accept4","proc.name":"nginx","fd.name":"198.51.100.7:50000->172.17.0.2:80"}"#,
            &["network/accept4/nginx: origin=public -> :80"],
        );
        check(
            r#"{"evt.type":"bind","proc.name":"nginx","fd.name":"0.0.0.0:80","fd.type":"ipv4"}"#,
            &["network/bind/nginx: listener=any:80"],
        );
        check(
            r#"{"evt.type":"connect","proc.name":"app","fd.type":"unix","fd.name":"ffff88->ffff99 /run/docker.sock"}"#,
            &["network/connect/app: socket=/run/docker.sock"],
        );
        check(
            r#"{"evt.type":"dup2","proc.name":"sh","fd.type":"ipv4","fd.name":"10.0.0.5:1->45.9.148.3:4444"}"#,
            &["network/dup2/sh: destination=45.9.148.0/24:4444"],
        );
        check(
            r#"{"evt.type":"dup2","proc.name":"sh","fd.type":"file"}"#,
            &[],
        );
        // Events of the network without a name of the connection count as well.
        check(
            r#"{"evt.type":"listen","proc.name":"nginx"}"#,
            &["network/listen/nginx: nothing=-"],
        );
    }

    #[test]
    fn files_are_read_or_written() {
        check(
            r#"{"evt.type":"openat","proc.name":"nginx","fd.name":"/var/log/nginx/a.log.1","evt.arg.flags":"O_WRONLY|O_CREAT"}"#,
            &["file/openat/nginx: written_path=/var/log/nginx/a.log.<n>"],
        );
        check(
            r#"{"evt.type":"openat","proc.name":"nginx","fd.name":"/etc/nginx/nginx.conf","evt.arg.flags":"O_RDONLY"}"#,
            &["file/openat/nginx: path=/etc/nginx/nginx.conf"],
        );
        check(
            r#"{"evt.type":"rename","proc.name":"dpkg","evt.arg.oldpath":"/a.new","evt.arg.newpath":"/a"}"#,
            &["file/rename/dpkg: written_path=/a.new, written_path=/a"],
        );
        check(
            r#"{"evt.type":"read","proc.name":"x","fd.type":"pipe","fd.name":""}"#,
            &[],
        );
        check(r#"{"evt.type":"procexit","proc.name":"x"}"#, &[]);
    }
}
