//! What happened → one line of JSON as Falco writes it, with its keys in Falco's order.

use std::net::Ipv4Addr;

use qw_event::Timestamp;

use super::{fleet::DemoContainer, rules::Rule};

/// Everything that goes into a line.
pub(super) struct Happening<'a> {
    pub(super) container: &'a DemoContainer,
    pub(super) rule: &'a Rule,
    pub(super) process: Process<'a>,
    pub(super) target: Target<'a>,
}

/// Who did it.
pub(super) struct Process<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) command: &'a str,
    pub(super) parent: &'a str,
    pub(super) pid: u64,
    pub(super) parent_pid: u64,
    pub(super) terminal: u64,
    pub(super) user: &'a str,
    pub(super) uid: u32,
    /// The program is not part of the image.
    pub(super) is_foreign: bool,
}

/// What it was done to.
pub(super) enum Target<'a> {
    Nothing,
    File {
        path: &'a str,
        call: &'a str,
        access: Access,
    },
    /// A file gets another name.
    Renamed {
        from: &'a str,
        to: &'a str,
    },
    /// A file goes.
    Removed {
        path: &'a str,
    },
    Connection {
        client: (Ipv4Addr, u16),
        server: (Ipv4Addr, u16),
        call: &'a str,
        /// True for `tcp`, false for `udp`.
        reliable: bool,
    },
}

/// What an event says of how a file was opened.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Nothing: not every rule says it.
    Unsaid,
    Read,
    Write,
}

/// Writes lines; remembers the text of the current second, which most neighbours share.
#[derive(Default)]
pub(super) struct Renderer {
    second: Option<i64>,
    /// Such as `2026-11-21T09:00:00`.
    second_text: String,
    /// Name of the connection being written.
    connection: String,
}

impl Renderer {
    pub(super) fn line(&mut self, time: Timestamp, happening: &Happening<'_>) -> String {
        self.enter(time);
        self.connection.clear();
        if let Target::Connection { client, server, .. } = happening.target {
            push_endpoint(&mut self.connection, client);
            self.connection.push_str("->");
            push_endpoint(&mut self.connection, server);
        }
        let mut line = String::with_capacity(1536);
        let Happening {
            container, rule, ..
        } = happening;
        line.push_str("{\"hostname\":\"");
        line.push_str(container.host);
        line.push_str("\",\"output\":\"");
        self.push_output(&mut line, time, happening);
        line.push_str("\",\"output_fields\":{");
        self.push_fields(&mut line, time, happening);
        line.push_str("},\"priority\":\"");
        line.push_str(rule.priority.as_str());
        line.push_str("\",\"rule\":\"");
        line.push_str(rule.name);
        line.push_str("\",\"source\":\"syscall\",\"tags\":[");
        for (index, tag) in rule.tags.iter().enumerate() {
            line.push_str(if index == 0 { "\"" } else { ",\"" });
            line.push_str(tag);
            line.push('"');
        }
        line.push_str("],\"time\":\"");
        line.push_str(&self.second_text);
        line.push('.');
        push_nanoseconds(&mut line, time);
        line.push_str("Z\"}");
        line
    }

    fn enter(&mut self, time: Timestamp) {
        // Not `as_seconds`: the difference matters only before 1970, and there it is right.
        let second = time.as_seconds();
        if self.second != Some(second) {
            self.second = Some(second);
            self.second_text = Timestamp::from_seconds(second).to_string();
            self.second_text
                .truncate(self.second_text.trim_end_matches('Z').len());
        }
    }

    fn push_output(&self, line: &mut String, time: Timestamp, happening: &Happening<'_>) {
        let Happening {
            container,
            rule,
            process,
            target,
        } = happening;
        let time_of_day = self
            .second_text
            .split_once('T')
            .map_or("", |(_, time)| time);
        line.push_str(time_of_day);
        line.push('.');
        push_nanoseconds(line, time);
        line.push_str(": ");
        line.push_str(rule.priority.as_str());
        line.push(' ');
        line.push_str(rule.message);
        line.push_str(" | evt_type=");
        line.push_str(target.call());
        match target {
            Target::Nothing => {}
            Target::File { path, .. } | Target::Removed { path } => {
                line.push_str(" file=");
                push_escaped(line, path);
            }
            Target::Renamed { from, to } => {
                line.push_str(" file=");
                push_escaped(line, from);
                line.push_str(" new_name=");
                push_escaped(line, to);
            }
            Target::Connection { reliable, .. } => {
                line.push_str(" connection=");
                line.push_str(&self.connection);
                line.push_str(" proto=");
                line.push_str(protocol(*reliable));
            }
        }
        line.push_str(" user=");
        line.push_str(process.user);
        line.push_str(" user_uid=");
        push_number(line, u64::from(process.uid));
        line.push_str(" process=");
        line.push_str(process.name);
        line.push_str(" proc_exepath=");
        push_escaped(line, process.path);
        line.push_str(" parent=");
        line.push_str(process.parent);
        line.push_str(" command=");
        push_escaped(line, process.command);
        line.push_str(" container_id=");
        line.push_str(container.short_id());
        line.push_str(" container_name=");
        line.push_str(container.name);
        line.push_str(" container_image_repository=");
        line.push_str(container.repository);
        line.push_str(" container_image_tag=");
        line.push_str(container.tag);
        line.push_str(" k8s_pod_name=");
        line.push_str(if container.k8s_pod.is_empty() {
            "<NA>"
        } else {
            &container.k8s_pod
        });
        line.push_str(" k8s_ns_name=");
        line.push_str(if container.k8s_namespace.is_empty() {
            "<NA>"
        } else {
            container.k8s_namespace
        });
    }

    fn push_fields(&self, line: &mut String, time: Timestamp, happening: &Happening<'_>) {
        let Happening {
            container,
            process,
            target,
            ..
        } = happening;
        line.push_str("\"container.id\":\"");
        line.push_str(container.short_id());
        push_text(line, "container.image.repository", container.repository);
        push_text(line, "container.image.tag", container.tag);
        push_text(line, "container.name", container.name);
        let opened = match target {
            Target::File {
                access: Access::Read,
                ..
            } => "\"evt.arg.flags\":\"O_RDONLY|O_CLOEXEC\",\"evt.is_open_write\":false,",
            Target::File {
                access: Access::Write,
                ..
            } => "\"evt.arg.flags\":\"O_WRONLY|O_CREAT|O_APPEND\",\"evt.is_open_write\":true,",
            _ => "",
        };
        line.push_str("\",");
        line.push_str(opened);
        line.push_str("\"evt.time\":");
        // Falco's clock is after 1970.
        push_number(line, u64::try_from(time.as_nanos()).unwrap_or(0));
        line.push_str(",\"evt.type\":\"");
        line.push_str(target.call());
        match target {
            Target::Nothing => {}
            Target::File { path, .. } => {
                let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
                push_text(
                    line,
                    "fd.directory",
                    if directory.is_empty() { "/" } else { directory },
                );
                push_text(line, "fd.filename", file);
                push_text(line, "fd.name", path);
                push_text(line, "fd.type", "file");
            }
            Target::Renamed { from, to } => {
                push_text(line, "fs.path.source", from);
                push_text(line, "fs.path.target", to);
            }
            Target::Removed { path } => push_text(line, "fs.path.name", path),
            Target::Connection {
                client,
                server,
                call,
                reliable,
            } => {
                line.push_str("\",\"fd.cip\":\"");
                push_address(line, client.0);
                line.push_str("\",\"fd.cport\":");
                push_number(line, u64::from(client.1));
                line.push_str(",\"fd.l4proto\":\"");
                line.push_str(protocol(*reliable));
                push_text(line, "fd.name", &self.connection);
                // Of all calls about a connection this one has a number: that of standard input.
                line.push_str(if *call == "dup3" {
                    "\",\"fd.num\":0,\"fd.sip\":\""
                } else {
                    "\",\"fd.sip\":\""
                });
                push_address(line, server.0);
                line.push_str("\",\"fd.sport\":");
                push_number(line, u64::from(server.1));
                line.push_str(",\"fd.type\":\"ipv4");
            }
        }
        if container.k8s_pod.is_empty() {
            line.push_str("\",\"k8s.ns.name\":null,\"k8s.pod.name\":null,\"proc.cmdline\":\"");
            push_escaped(line, process.command);
        } else {
            push_text(line, "k8s.ns.name", container.k8s_namespace);
            push_text(line, "k8s.pod.name", &container.k8s_pod);
            push_text(line, "proc.cmdline", process.command);
        }
        push_text(line, "proc.exepath", process.path);
        line.push_str(if process.is_foreign {
            "\",\"proc.is_exe_upper_layer\":true,\"proc.name\":\""
        } else {
            "\",\"proc.name\":\""
        });
        push_escaped(line, process.name);
        line.push_str("\",\"proc.pid\":");
        push_number(line, process.pid);
        line.push_str(",\"proc.pname\":\"");
        line.push_str(process.parent);
        line.push_str("\",\"proc.ppid\":");
        push_number(line, process.parent_pid);
        line.push_str(",\"proc.tty\":");
        push_number(line, process.terminal);
        line.push_str(",\"user.loginuid\":-1,\"user.name\":\"");
        line.push_str(process.user);
        line.push_str("\",\"user.uid\":");
        push_number(line, u64::from(process.uid));
    }
}

impl Target<'_> {
    fn call(&self) -> &str {
        match self {
            Self::Nothing => "execve",
            Self::File { call, .. } | Self::Connection { call, .. } => call,
            Self::Renamed { .. } => "rename",
            Self::Removed { .. } => "unlinkat",
        }
    }
}

const fn protocol(reliable: bool) -> &'static str {
    if reliable { "tcp" } else { "udp" }
}

/// Closes the text before and begins another entry with a text, which it leaves open.
fn push_text(line: &mut String, key: &str, value: &str) {
    line.push_str("\",\"");
    line.push_str(key);
    line.push_str("\":\"");
    push_escaped(line, value);
}

/// Writes a text with what JSON escapes; the demo's texts have no control characters.
fn push_escaped(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(position) = rest.find(['"', '\\']) {
        let (plain, from) = rest.split_at(position);
        line.push_str(plain);
        line.push('\\');
        let mut characters = from.chars();
        line.extend(characters.next());
        rest = characters.as_str();
    }
    line.push_str(rest);
}

fn push_endpoint(text: &mut String, (address, port): (Ipv4Addr, u16)) {
    push_address(text, address);
    text.push(':');
    push_number(text, u64::from(port));
}

fn push_address(text: &mut String, address: Ipv4Addr) {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        push_number(text, u64::from(octet));
    }
}

fn push_nanoseconds(text: &mut String, time: Timestamp) {
    let nanoseconds = time.as_nanos().rem_euclid(1_000_000_000) as u64;
    let mut scale = 100_000_000;
    while scale > 0 {
        text.push(digit(nanoseconds / scale % 10));
        scale /= 10;
    }
}

/// Writes a number; the standard way is several times slower, and this one is most of a line.
pub(super) fn push_number(text: &mut String, number: u64) {
    let mut scale = 1;
    while number / scale >= 10 {
        scale *= 10;
    }
    while scale > 0 {
        text.push(digit(number / scale % 10));
        scale /= 10;
    }
}

fn digit(value: u64) -> char {
    char::from(b'0' + (value % 10) as u8)
}
