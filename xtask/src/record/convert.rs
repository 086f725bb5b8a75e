//! From system calls to what Falco would say about them under the rules of `deploy/falco`.
//!
//! Follows every thread from `runc` on: who started whom, what each is called, which container it
//! is in, as whom it acts, and what its sockets are.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

use serde_json::{Map, Value, json};

use super::{
    ContainerFacts,
    fields::{
        Address, clock, connection, join, listening, mode, parent, parse_address, two_paths, unix,
    },
    trace::{Call, Line, Reader, annotation, list, member, text},
};

/// One Falco line, and what it is sorted and cut by.
#[derive(Debug)]
pub(crate) struct FalcoLine {
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// Place in the list of containers.
    pub(crate) container: usize,
    /// The line, without its end.
    pub(crate) text: String,
}

/// Reads a trace from its first line to its last.
pub(crate) struct Converter<'a> {
    containers: &'a [ContainerFacts],
    by_id: HashMap<&'a str, usize>,
    reader: Reader,
    threads: HashMap<u32, Thread>,
    processes: BTreeMap<u32, Process>,
    sockets: HashMap<String, Socket>,
    /// First process of each container.
    first: HashMap<usize, u32>,
    /// Calls of threads whose start has not been seen yet.
    waiting: HashMap<u32, Vec<Line>>,
    lines: Vec<FalcoLine>,
}

#[derive(Debug, Clone)]
struct Thread {
    process: u32,
    name: String,
}

#[derive(Debug, Clone, Default)]
struct Process {
    parent: u32,
    threads: u32,
    arguments: Vec<String>,
    program: String,
    folder: String,
    user: u32,
    container: Option<usize>,
    /// Container that `runc` is about to enter.
    entering: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct Socket {
    datagram: bool,
    local: Option<(IpAddr, u16)>,
    /// Of a socket with a path.
    path: String,
}

/// A rule of `deploy/falco`, and the fields that its lines have besides those of all.
struct Rule {
    name: &'static str,
    tag: &'static str,
    fields: &'static [&'static str],
}

const PROCESS: Rule = Rule {
    name: "Quaywatch process activity",
    tag: "process",
    fields: &[],
};
const PRIVILEGE: Rule = Rule {
    name: "Quaywatch privilege activity",
    tag: "privilege",
    fields: &[
        "evt.arg.cmd",
        "evt.arg.dev",
        "evt.arg.dir",
        "evt.arg.euid",
        "evt.arg.flags",
        "evt.arg.name",
        "evt.arg.request",
        "evt.arg.type",
        "evt.arg.uid",
    ],
};
const NETWORK: Rule = Rule {
    name: "Quaywatch network activity",
    tag: "network",
    fields: &[
        "fd.cip",
        "fd.cport",
        "fd.l4proto",
        "fd.lip",
        "fd.lport",
        "fd.name",
        "fd.rip",
        "fd.rport",
        "fd.sip",
        "fd.sport",
        "fd.type",
    ],
};
const FILE: Rule = Rule {
    name: "Quaywatch file activity",
    tag: "file",
    fields: &[
        "evt.arg.flags",
        "evt.arg.mode",
        "evt.is_open_read",
        "evt.is_open_write",
        "fd.directory",
        "fd.name",
        "fd.type",
        "fs.path.name",
        "fs.path.source",
        "fs.path.target",
    ],
};

impl<'a> Converter<'a> {
    /// A converter for a trace in which `containers` ran.
    pub(crate) fn new(containers: &'a [ContainerFacts]) -> Self {
        let ids = containers.iter().enumerate();
        Self {
            containers,
            by_id: ids.map(|(at, facts)| (facts.id.as_str(), at)).collect(),
            reader: Reader::default(),
            threads: HashMap::new(),
            processes: BTreeMap::new(),
            sockets: HashMap::new(),
            first: HashMap::new(),
            waiting: HashMap::new(),
            lines: Vec::new(),
        }
    }

    /// Says that the process `runc`, started by the shim `shim`, is told of from now on.
    pub(crate) fn root(&mut self, runc: u32, shim: u32) {
        for (process, parent, name) in [(shim, 0, "containerd-shim"), (runc, shim, "runc")] {
            let state = Process {
                parent,
                threads: 1,
                folder: "/".to_owned(),
                ..Process::default()
            };
            self.processes.insert(process, state);
            let name = name.to_owned();
            self.threads.insert(process, Thread { process, name });
        }
    }

    /// Takes one line of the trace.
    pub(crate) fn read(&mut self, line: &str) {
        let thread = match self.reader.read(line) {
            Line::Nothing => return,
            Line::Call(call) => (call.thread, Line::Call(call)),
            Line::Exit { thread } => (thread, Line::Exit { thread }),
        };
        let mut queue = VecDeque::from([thread]);
        while let Some((thread, line)) = queue.pop_front() {
            if !self.threads.contains_key(&thread) {
                self.waiting.entry(thread).or_default().push(line);
                continue;
            }
            match line {
                Line::Call(call) => {
                    if let Some(child) = self.follow(&call) {
                        let waited = self.waiting.remove(&child).unwrap_or_default();
                        queue.extend(waited.into_iter().map(|line| (child, line)));
                    }
                }
                Line::Exit { thread } => self.end(thread),
                Line::Nothing => {}
            }
        }
    }

    /// All lines, oldest first, and how many calls belong to threads of unknown origin.
    pub(crate) fn finish(mut self) -> (Vec<FalcoLine>, usize) {
        self.lines.sort_by_key(|line| line.time);
        (self.lines, self.waiting.values().map(Vec::len).sum())
    }

    fn end(&mut self, thread: u32) {
        let Some(Thread { process, .. }) = self.threads.remove(&thread) else {
            return;
        };
        let Some(state) = self.processes.get_mut(&process) else {
            return;
        };
        state.threads = state.threads.saturating_sub(1);
        if state.threads > 0 {
            return;
        }
        // Orphans go to the first process of their container, or to the shim.
        let heir = match state
            .container
            .and_then(|container| self.first.get(&container))
        {
            Some(first) if *first != process => *first,
            _ => state.parent,
        };
        for child in self.processes.values_mut() {
            if child.parent == process {
                child.parent = heir;
            }
        }
        // The name of a dead parent is asked for no more.
        self.processes.remove(&process);
    }

    /// Keeps account of what `call` changes and writes down what Falco would say; returns the
    /// thread that it started.
    fn follow(&mut self, call: &Call) -> Option<u32> {
        let process = self.threads.get(&call.thread)?.process;
        self.note_folder(process, call);
        let failed = call.result.starts_with('-') || call.result.starts_with('?');
        match call.name.as_str() {
            "clone" | "clone3" | "fork" | "vfork" if !failed => return self.start(process, call),
            "execve" | "execveat" if !failed => self.execute(process, call),
            "prctl"
                if call
                    .arguments
                    .first()
                    .is_some_and(|option| option == "PR_SET_NAME") =>
            {
                self.rename(process, call);
            }
            "chdir" if !failed => {
                let target = text(call.arguments.first()?);
                let state = self.processes.get_mut(&process)?;
                state.folder = join(&state.folder, &target);
            }
            "fchdir" if !failed => {
                let target = annotation(call.arguments.first()?)?;
                target.clone_into(&mut self.processes.get_mut(&process)?.folder);
            }
            "socket" if !failed => {
                let datagram = call.arguments.get(1)?.contains("SOCK_DGRAM");
                let inode = annotation(&call.result)?.to_owned();
                let socket = Socket {
                    datagram,
                    ..Socket::default()
                };
                self.sockets.insert(inode, socket);
            }
            "setuid" | "setreuid" | "setresuid" => {
                let at = usize::from(call.name != "setuid");
                let user = call.arguments.get(at).and_then(|user| user.parse().ok());
                if let Some(user) = user.filter(|_| !failed) {
                    self.processes.get_mut(&process)?.user = user;
                }
                match call.name.as_str() {
                    "setuid" => self.say_arguments(call, &["evt.arg.uid"]),
                    "setresuid" => self.say_arguments(call, &["", "evt.arg.euid"]),
                    _ => {}
                }
            }
            "ptrace" => self.say_arguments(call, &["evt.arg.request"]),
            "memfd_create" => self.say_arguments(call, &["evt.arg.name", "evt.arg.flags"]),
            "mount" => self.say_arguments(
                call,
                &[
                    "evt.arg.dev",
                    "evt.arg.dir",
                    "evt.arg.type",
                    "evt.arg.flags",
                ],
            ),
            "umount2" => self.say_arguments(call, &["evt.arg.name", "evt.arg.flags"]),
            "unshare" => self.say_arguments(call, &["evt.arg.flags"]),
            "bpf" => self.say_arguments(call, &["evt.arg.cmd"]),
            "setns" | "init_module" | "finit_module" => self.say_arguments(call, &[]),
            "connect" | "bind" | "listen" | "accept" | "accept4" | "sendto" | "sendmsg" => {
                self.network(process, call, failed);
            }
            // Programs look for files that do not exist all the time; what was forbidden is told.
            name if failed && !(name.starts_with("open") && is_forbidden(&call.result)) => {}
            _ => self.file(process, call, failed),
        }
        None
    }

    fn start(&mut self, process: u32, call: &Call) -> Option<u32> {
        // `35 /* 5555 in strace's PID NS */`, or the number itself where no namespace intervenes.
        let child = match call.result.split_once("/* ") {
            Some((_, own)) => own.split(' ').next()?.parse().ok()?,
            None => call.result.trim().parse().ok()?,
        };
        let flags = call.arguments.join(",");
        let name = self.threads.get(&call.thread)?.name.clone();
        if flags.contains("CLONE_THREAD") {
            self.processes.get_mut(&process)?.threads += 1;
            self.threads.insert(child, Thread { process, name });
            return Some(child);
        }
        let state = self.processes.get(&process)?;
        let parent = if flags.contains("CLONE_PARENT|") || flags.contains("CLONE_PARENT,") {
            state.parent
        } else {
            process
        };
        let state = Process {
            parent,
            threads: 1,
            ..state.clone()
        };
        self.processes.insert(child, state);
        self.threads.insert(
            child,
            Thread {
                process: child,
                name,
            },
        );
        Some(child)
    }

    fn execute(&mut self, process: u32, call: &Call) {
        let (file, arguments) = if call.name == "execve" {
            (call.arguments.first(), call.arguments.get(1))
        } else {
            (call.arguments.get(1), call.arguments.get(2))
        };
        let mut file = file.map(|file| text(file)).unwrap_or_default();
        let arguments = arguments
            .map(|arguments| list(arguments))
            .unwrap_or_default();
        if file.is_empty() {
            // `execveat` with an open file, as programs without a place in the file system are run.
            let opened = call.arguments.first().and_then(|file| annotation(file));
            opened.unwrap_or_default().clone_into(&mut file);
        }
        let Some(state) = self.processes.get_mut(&process) else {
            return;
        };
        let path = join(&state.folder, &file);
        state.program = match state.container {
            Some(container) => self
                .containers
                .get(container)
                .and_then(|facts| facts.programs.get(&path))
                .cloned(),
            None => None,
        }
        .unwrap_or_else(|| path.clone());
        if is_runc(&path) {
            let named = arguments.iter().find_map(|id| self.by_id.get(id.as_str()));
            if let Some(container) = named {
                state.entering = Some(*container);
            }
        }
        state.arguments = arguments;
        state.threads = 1;
        let name = short(path.rsplit('/').next().unwrap_or_default());
        self.threads.insert(process, Thread { process, name });
        self.say(&PROCESS, call, []);
    }

    fn rename(&mut self, process: u32, call: &Call) {
        let name = short(
            &call
                .arguments
                .get(1)
                .map(|name| text(name))
                .unwrap_or_default(),
        );
        // From this stage on runc acts within the container's control group.
        if name == "runc:[2:INIT]"
            && let Some(state) = self.processes.get_mut(&process)
            && let Some(container) = state.entering
        {
            state.container = Some(container);
            state.user = 0;
            self.first.entry(container).or_insert(process);
        }
        if let Some(thread) = self.threads.get_mut(&call.thread) {
            thread.name = name;
        }
    }

    /// `AT_FDCWD</srv>` tells the working folder with every call.
    fn note_folder(&mut self, process: u32, call: &Call) {
        let mut arguments = call.arguments.iter();
        let folder = arguments.find_map(|argument| argument.strip_prefix("AT_FDCWD<"));
        if let Some(folder) = folder.and_then(|folder| folder.strip_suffix('>'))
            && let Some(state) = self.processes.get_mut(&process)
            && state.folder != folder
        {
            folder.clone_into(&mut state.folder);
        }
    }

    fn network(&mut self, process: u32, call: &Call, failed: bool) {
        let Some(inode) = call.arguments.first().and_then(|socket| annotation(socket)) else {
            return;
        };
        let inode = inode.to_owned();
        let at = match call.name.as_str() {
            "sendto" => 4,
            _ => 1,
        };
        let address = match call.name.as_str() {
            "sendmsg" => call
                .arguments
                .get(1)
                .and_then(|message| message.split_once("msg_name="))
                .and_then(|(_, rest)| parse_address(rest.split('}').next().unwrap_or_default())),
            _ => call
                .arguments
                .get(at)
                .and_then(|address| parse_address(address)),
        };
        let facts = self
            .processes
            .get(&process)
            .and_then(|state| state.container)
            .and_then(|container| self.containers.get(container));
        let own: Option<IpAddr> = facts.and_then(|facts| facts.address.parse().ok());
        let client: Option<IpAddr> = facts.and_then(|facts| facts.client.parse().ok());
        let socket = self.sockets.entry(inode.clone()).or_default();
        let protocol = if socket.datagram { "udp" } else { "tcp" };
        let new = annotation(&call.result).map(str::to_owned);
        let chosen = stand_in(new.as_deref().unwrap_or(&inode));
        let mut fields = Vec::new();
        match (call.name.as_str(), address) {
            ("accept" | "accept4", _) if failed => return,
            ("accept" | "accept4", address) => match (socket.local, address) {
                (None, _) => unix(&mut fields, &socket.path),
                (Some((bound, port)), address) => {
                    // Not every program asks who connects; from outside, only this client does.
                    let (peer, peer_port) = match (address, client) {
                        (Some(Address::Ip(peer, peer_port)), _) => (peer, peer_port),
                        (_, Some(client)) => (client, chosen),
                        _ => return,
                    };
                    let local = match own {
                        _ if !bound.is_unspecified() => bound,
                        Some(own) if !peer.is_loopback() => own,
                        _ => peer,
                    };
                    connection(
                        &mut fields,
                        (peer, peer_port),
                        (local, port),
                        false,
                        protocol,
                    );
                }
            },
            ("bind", Some(Address::Ip(address, port))) => {
                socket.local = Some((address, port));
                listening(&mut fields, address, port, protocol);
            }
            ("listen", _) => match socket.local {
                Some((address, port)) => listening(&mut fields, address, port, protocol),
                None => unix(&mut fields, &socket.path),
            },
            ("sendto" | "sendmsg", _) if !socket.datagram => return,
            ("connect" | "sendto" | "sendmsg", Some(Address::Ip(address, port))) => {
                let local = match address {
                    _ if address.is_loopback() => address,
                    _ => own.unwrap_or(address),
                };
                let local = socket.local.unwrap_or((local, chosen));
                connection(&mut fields, local, (address, port), true, protocol);
            }
            ("connect", Some(Address::Unix(path))) => unix(&mut fields, &path),
            ("bind", Some(Address::Unix(path))) => {
                unix(&mut fields, &path);
                socket.path = path;
            }
            _ => return,
        }
        self.say(&NETWORK, call, fields);
    }

    fn file(&mut self, process: u32, call: &Call, failed: bool) {
        let Some(folder) = self
            .processes
            .get(&process)
            .map(|state| state.folder.clone())
        else {
            return;
        };
        let argument = |at: usize| {
            call.arguments
                .get(at)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let beneath = |base: usize, path: usize| {
            join(
                annotation(argument(base)).unwrap_or(&folder),
                &text(argument(path)),
            )
        };
        let below = |path: usize| join(&folder, &text(argument(path)));
        let mut fields: Vec<(&'static str, Value)> = Vec::new();
        match call.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => {
                let (path, flags) = match call.name.as_str() {
                    "open" => (below(0), argument(1)),
                    "creat" => (below(0), "O_WRONLY|O_CREAT|O_TRUNC"),
                    "openat2" => (
                        beneath(0, 1),
                        member(argument(2), "flags").unwrap_or_default(),
                    ),
                    _ => (beneath(0, 1), argument(2)),
                };
                let writes = flags.contains("O_WRONLY") || flags.contains("O_RDWR");
                let reads = !flags.contains("O_WRONLY");
                fields.push(("fd.name", json!(path)));
                fields.push(("fd.directory", json!(parent(&path))));
                if !failed {
                    let folder = flags.contains("O_DIRECTORY");
                    fields.push(("fd.type", json!(if folder { "directory" } else { "file" })));
                    fields.push(("fs.path.name", json!(path)));
                }
                fields.push(("evt.arg.flags", json!(flags)));
                fields.push(("evt.is_open_read", json!(reads)));
                fields.push(("evt.is_open_write", json!(writes)));
            }
            "unlink" | "rmdir" => fields.push(("fs.path.name", json!(below(0)))),
            "unlinkat" => fields.push(("fs.path.name", json!(beneath(0, 1)))),
            "mkdir" => fields.push(("fs.path.name", json!(below(0)))),
            "mkdirat" => fields.push(("fs.path.name", json!(beneath(0, 1)))),
            "chmod" => {
                fields.push(("fs.path.name", json!(below(0))));
                fields.push(("evt.arg.mode", json!(mode(argument(1)))));
            }
            "fchmod" => {
                let path = annotation(argument(0)).unwrap_or_default();
                fields.push(("fd.name", json!(path)));
                fields.push(("fd.directory", json!(parent(path))));
                fields.push(("fd.type", json!("file")));
                fields.push(("fs.path.name", json!(path)));
                fields.push(("evt.arg.mode", json!(mode(argument(1)))));
            }
            "fchmodat" => {
                fields.push(("fs.path.name", json!(beneath(0, 1))));
                fields.push(("evt.arg.mode", json!(mode(argument(2)))));
            }
            "rename" => two_paths(&mut fields, below(0), below(1)),
            "renameat" | "renameat2" => two_paths(&mut fields, beneath(0, 1), beneath(2, 3)),
            // To Falco, the new name of a link is its source, and what it leads to its target.
            "link" => two_paths(&mut fields, below(1), below(0)),
            "linkat" => two_paths(&mut fields, beneath(2, 3), beneath(0, 1)),
            "symlink" => two_paths(&mut fields, below(1), below(0)),
            "symlinkat" => two_paths(&mut fields, beneath(1, 2), below(0)),
            _ => return,
        }
        self.say(&FILE, call, fields);
    }

    /// Tells the arguments of a call under the names given to them; an empty name leaves one out.
    fn say_arguments(&mut self, call: &Call, names: &[&'static str]) {
        let named: Vec<(&str, Value)> = names
            .iter()
            .zip(&call.arguments)
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, argument)| {
                let quoted = argument.starts_with('"');
                let value = if quoted {
                    text(argument)
                } else {
                    argument.clone()
                };
                (*name, json!(value))
            })
            .collect();
        self.say(&PRIVILEGE, call, named);
    }

    fn say(
        &mut self,
        rule: &Rule,
        call: &Call,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) {
        let Some(thread) = self.threads.get(&call.thread) else {
            return;
        };
        let Some(state) = self.processes.get(&thread.process) else {
            return;
        };
        let Some((at, facts)) = state
            .container
            .and_then(|at| Some((at, self.containers.get(at)?)))
        else {
            return;
        };
        let parent = self
            .threads
            .get(&state.parent)
            .map(|parent| parent.name.clone());
        let arguments = state.arguments.get(1..).unwrap_or_default().join(" ");
        let command = format!("{} {arguments}", thread.name);
        let user = facts.users.get(&state.user).cloned();
        let own: BTreeMap<&str, Value> = [
            (
                "container.id",
                json!(facts.id.get(..12).unwrap_or_default()),
            ),
            ("container.image.repository", json!(facts.image)),
            ("container.image.tag", json!("latest")),
            ("container.name", json!(facts.name)),
            ("evt.res", json!(outcome(&call.result))),
            ("evt.time", json!(call.time)),
            ("evt.type", json!(call.name)),
            ("proc.cmdline", json!(command.trim_end())),
            ("proc.exepath", json!(state.program)),
            ("proc.name", json!(thread.name)),
            ("proc.pid", json!(thread.process)),
            ("proc.pname", json!(parent)),
            ("proc.ppid", json!(state.parent)),
            ("user.name", json!(user)),
            ("user.uid", json!(state.user)),
        ]
        .into_iter()
        // What an event does not have, Falco writes as null.
        .chain(rule.fields.iter().map(|key| (*key, Value::Null)))
        .chain(fields)
        .collect();
        let output_fields: Map<String, Value> = own
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let (clock, stamp) = clock(call.time);
        let line = json!({
            "hostname": "recorder",
            "output": format!("{clock}: Debug {} by {} in {}", call.name, thread.name, facts.name),
            "output_fields": output_fields,
            "priority": "Debug",
            "rule": rule.name,
            "source": "syscall",
            "tags": [rule.tag, "quaywatch"],
            "time": stamp,
        });
        self.lines.push(FalcoLine {
            time: call.time,
            container: at,
            text: line.to_string(),
        });
    }
}

/// What port the kernel chose is not in the trace; this one, made of the socket's number, stands
/// for it.
fn stand_in(socket: &str) -> u16 {
    let digits = socket.bytes().filter(u8::is_ascii_digit);
    let number = digits.fold(0_u64, |number, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit - b'0'))
    });
    (32_768 + number % 28_232) as u16
}

fn is_runc(path: &str) -> bool {
    path.ends_with("/runc")
}

fn is_forbidden(result: &str) -> bool {
    result.starts_with("-1 EACCES") || result.starts_with("-1 EPERM")
}

/// `SUCCESS`, or the name of the error.
fn outcome(result: &str) -> &str {
    let error = result
        .strip_prefix("-1 ")
        .and_then(|error| error.split(' ').next());
    error.unwrap_or("SUCCESS")
}

/// The kernel keeps 15 bytes of a thread's name.
fn short(name: &str) -> String {
    let mut end = name.len().min(15);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Lines of a trace in which `runc` starts a container, followed by `lines` of its process 5.
    fn convert(lines: &[&str]) -> Vec<Value> {
        let containers = [ContainerFacts {
            id: ID.to_owned(),
            name: "web-1".to_owned(),
            image: "shop/web".to_owned(),
            address: "172.20.0.5".to_owned(),
            client: "172.20.0.2".to_owned(),
            users: BTreeMap::from([(0, "root".to_owned()), (33, "www-data".to_owned())]),
            programs: BTreeMap::from([("/bin/sh".to_owned(), "/usr/bin/dash".to_owned())]),
        }];
        let mut converter = Converter::new(&containers);
        let create = format!(
            r#"3 1.0 execve("/usr/bin/runc", ["runc", "create", "{ID}"], 0x0 /* 1 var */) = 0 <0.1>"#
        );
        converter.root(3, 2);
        let start = [
            &create,
            // The child acts before the start of it is told.
            r#"5 1.1 prctl(PR_SET_NAME, "runc:[2:INIT]") = 0 <0.1>"#,
            "3 1.1 clone(child_stack=NULL, flags=SIGCHLD) = 1 /* 5 in strace's PID NS */ <0.1>",
            "3 1.2 +++ exited with 0 +++",
            r#"5 1.2 execve("/bin/sh", ["sh", "-c", "x y"], 0x0 /* 1 var */) = 0 <0.1>"#,
        ];
        for line in start.iter().chain(lines) {
            converter.read(line);
        }
        let (lines, lost) = converter.finish();
        assert_eq!(lost, 0);
        lines
            .iter()
            .map(|line| serde_json::from_str(&line.text).unwrap())
            .collect()
    }

    /// Checks fields of the last Falco line.
    fn check(lines: &[&str], rule: Rule, expected: &[(&str, Value)]) {
        let lines = convert(lines);
        let last = lines.last().unwrap();
        assert_eq!(last["rule"], rule.name);
        for (key, value) in expected {
            assert_eq!(&last["output_fields"][key], value, "{key} of {last}");
        }
    }

    #[test]
    fn first_process_of_a_container() {
        check(
            &[],
            PROCESS,
            &[
                ("container.id", json!("0123456789ab")),
                ("proc.name", json!("sh")),
                ("proc.pname", json!("containerd-shim")),
                ("proc.cmdline", json!("sh -c x y")),
                ("proc.exepath", json!("/usr/bin/dash")),
                ("evt.time", json!(1_300_000_000_u64)),
            ],
        );
    }

    #[test]
    fn files() {
        check(
            &[
                r#"5 2.0 openat(AT_FDCWD</srv>, "a/../b", O_WRONLY|O_CREAT, 0644) = 3</srv/b> <0.1>"#,
            ],
            FILE,
            &[
                ("fd.name", json!("/srv/b")),
                ("fd.directory", json!("/srv")),
                ("evt.is_open_write", json!(true)),
                ("evt.is_open_read", json!(false)),
            ],
        );
        check(
            &[
                "5 2.0 setuid(33) = 0 <0.1>",
                r#"5 2.0 openat(AT_FDCWD</>, "/etc/shadow", O_RDONLY) = -1 EACCES (Permission denied) <0.1>"#,
                r#"5 3.0 openat(AT_FDCWD</>, "/lib/none", O_RDONLY) = -1 ENOENT (No such file or directory) <0.1>"#,
            ],
            FILE,
            &[
                ("fd.name", json!("/etc/shadow")),
                ("fs.path.name", Value::Null),
                ("evt.res", json!("EACCES")),
                ("user.name", json!("www-data")),
            ],
        );
        check(
            &[
                r#"5 2.0 chdir("/tmp") = 0 <0.1>"#,
                r#"5 2.0 chmod("b", 04755) = 0 <0.1>"#,
            ],
            FILE,
            &[
                ("fs.path.name", json!("/tmp/b")),
                (
                    "evt.arg.mode",
                    json!("S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"),
                ),
            ],
        );
        check(
            &[r#"5 2.0 rename("/a", "/b") = 0 <0.1>"#],
            FILE,
            &[
                ("fs.path.source", json!("/a")),
                ("fs.path.target", json!("/b")),
            ],
        );
        check(
            &[r#"5 2.0 symlink("/dev/null", "/root/.bash_history") = 0 <0.1>"#],
            FILE,
            &[
                ("fs.path.source", json!("/root/.bash_history")),
                ("fs.path.target", json!("/dev/null")),
            ],
        );
        check(
            &[
                r#"5 2.0 mount("/dev/vda", "/mnt", "ext4", 0, NULL) = -1 EPERM (Operation not permitted) <0.1>"#,
            ],
            PRIVILEGE,
            &[
                ("evt.arg.dev", json!("/dev/vda")),
                ("evt.arg.cmd", Value::Null),
            ],
        );
    }

    #[test]
    fn connections() {
        let server = [
            "5 2.0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3<socket:[70]> <0.1>",
            r#"5 2.0 bind(3<socket:[70]>, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::", &sin6_addr), sin6_scope_id=0}, 28) = 0 <0.1>"#,
            r#"5 3.0 accept(3<socket:[70]>, {sa_family=AF_INET6, sin6_port=htons(555), inet_pton(AF_INET6, "::ffff:172.20.0.2", &sin6_addr), sin6_scope_id=0}, [28]) = 4<socket:[71]> <0.1>"#,
        ];
        check(
            &server,
            NETWORK,
            &[
                ("fd.name", json!("172.20.0.2:555->172.20.0.5:80")),
                ("fd.sport", json!(80)),
                ("fd.rip", json!("172.20.0.2")),
                ("fd.l4proto", json!("tcp")),
            ],
        );
        check(
            &[
                server[0],
                server[1],
                "5 3.0 accept4(3<socket:[70]>, NULL, NULL, SOCK_CLOEXEC) = 4<socket:[71]> <0.1>",
            ],
            NETWORK,
            &[("fd.name", json!("172.20.0.2:32839->172.20.0.5:80"))],
        );
        check(
            &[
                r#"5 2.0 bind(3<socket:[70]>, {sa_family=AF_UNIX, sun_path="/run/s"}, 9) = 0 <0.1>"#,
                "5 3.0 accept4(3<socket:[70]>, NULL, NULL, SOCK_CLOEXEC) = 4<socket:[71]> <0.1>",
            ],
            NETWORK,
            &[("fd.name", json!("/run/s")), ("fd.type", json!("unix"))],
        );
        check(
            &[
                "5 2.0 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3<socket:[70]> <0.1>",
                r#"5 2.0 sendto(3<socket:[70]>, "abc", 3, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("8.8.8.8")}, 16) = 3 <0.1>"#,
            ],
            NETWORK,
            &[
                ("fd.name", json!("172.20.0.5:32838->8.8.8.8:53")),
                ("fd.l4proto", json!("udp")),
                ("fd.sip", json!("8.8.8.8")),
            ],
        );
        check(
            &[
                r#"5 2.0 connect(3<socket:[9]>, {sa_family=AF_UNIX, sun_path="/run/a.sock"}, 110) = -1 ENOENT (No such file or directory) <0.1>"#,
            ],
            NETWORK,
            &[
                ("fd.name", json!("/run/a.sock")),
                ("fd.type", json!("unix")),
            ],
        );
    }

    #[test]
    fn children_threads_and_orphans() {
        let lines = [
            "5 2.0 clone(child_stack=NULL, flags=SIGCHLD) = 2 /* 6 in strace's PID NS */ <0.1>",
            r#"6 2.0 execve("/usr/bin/node", ["node"], 0x0 /* 1 var */) = 0 <0.1>"#,
            "6 2.1 clone3({flags=CLONE_VM|CLONE_THREAD|CLONE_SYSVSEM}, 88) = 3 /* 7 in strace's PID NS */ <0.1>",
            r#"7 2.1 prctl(PR_SET_NAME, "libuv-worker") = 0 <0.1>"#,
            "6 2.2 clone(child_stack=NULL, flags=SIGCHLD) = 4 /* 8 in strace's PID NS */ <0.1>",
            r#"7 2.3 openat(AT_FDCWD</>, "/a", O_RDONLY) = 3</a> <0.1>"#,
            "7 2.4 +++ exited with 0 +++",
            "6 2.4 +++ exited with 0 +++",
            r#"8 2.5 execve("/bin/ls", ["ls"], 0x0 /* 1 var */) = 0 <0.1>"#,
        ];
        let said: Vec<(String, String)> = convert(&lines)
            .iter()
            .skip(1)
            .map(|line| {
                let field = |key: &str| line["output_fields"][key].as_str().unwrap().to_owned();
                (field("proc.name"), field("proc.pname"))
            })
            .collect();
        let pair = |name: &str, parent: &str| (name.to_owned(), parent.to_owned());
        assert_eq!(
            said,
            [
                pair("node", "sh"),
                pair("libuv-worker", "sh"),
                pair("ls", "sh")
            ]
        );
    }
}
