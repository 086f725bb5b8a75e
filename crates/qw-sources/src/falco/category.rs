//! What a rule and its fields say → kind of activity (`rule_category` of the metrics).
//!
//! Asked in this order, the first clear answer counts: the rule's tags, the system call, the file
//! descriptor, the words of the rule's name, the process fields. Tags that name two kinds say
//! nothing.

use qw_event::Category;

/// What the category is told from. Empty texts are unknown.
#[derive(Debug, Default)]
pub(crate) struct Hints<'a> {
    pub(crate) source: &'a str,
    pub(crate) rule: &'a str,
    /// Category that the tags name, if they name exactly one.
    pub(crate) tags: Option<Category>,
    pub(crate) event_type: &'a str,
    pub(crate) fd_type: &'a str,
    pub(crate) fd_name: &'a str,
    /// True when the event has addresses or ports of a connection.
    pub(crate) has_connection: bool,
    /// True when the event names a process.
    pub(crate) has_process: bool,
}

/// The category of an event.
pub(crate) fn of(hints: &Hints<'_>) -> Category {
    hints
        .tags
        .or_else(|| of_system_call(hints.event_type))
        .or_else(|| of_descriptor(hints))
        .or_else(|| {
            let is_syscall = matches!(hints.source, "" | "syscall");
            is_syscall.then(|| of_rule_name(hints.rule)).flatten()
        })
        .or_else(|| hints.has_process.then_some(Category::Process))
        .unwrap_or(Category::Unknown)
}

/// The category that `tags` name, if they name exactly one.
pub(crate) fn of_tags<'a>(tags: impl Iterator<Item = &'a str>) -> Option<Category> {
    let mut named = None;
    for tag in tags {
        let category = match tag {
            "process" | "syscall_category_process" => Category::Process,
            "network" | "syscall_category_network" => Category::Network,
            "file" | "filesystem" | "syscall_category_file" => Category::File,
            _ => continue,
        };
        if named.is_some_and(|other| other != category) {
            return None;
        }
        named = Some(category);
    }
    named
}

fn of_system_call(name: &str) -> Option<Category> {
    Some(match name {
        "execve" | "execveat" | "clone" | "clone3" | "fork" | "vfork" | "exit" | "exit_group"
        | "procexit" | "kill" | "tkill" | "tgkill" | "ptrace" | "setuid" | "setgid"
        | "setreuid" | "setregid" | "setresuid" | "setresgid" | "setfsuid" | "setfsgid"
        | "setpgid" | "setsid" | "setns" | "unshare" | "prctl" | "arch_prctl" | "prlimit"
        | "prlimit64" | "capset" | "seccomp" | "bpf" | "init_module" | "finit_module"
        | "delete_module" | "process_vm_readv" | "process_vm_writev" | "userfaultfd" | "mmap"
        | "mmap2" | "mprotect" | "munmap" | "brk" | "signal" | "sched_setaffinity" | "wait4" => {
            Category::Process
        }
        "socket" | "socketpair" | "connect" | "accept" | "accept4" | "bind" | "listen" | "send"
        | "sendto" | "sendmsg" | "sendmmsg" | "recv" | "recvfrom" | "recvmsg" | "recvmmsg"
        | "shutdown" | "getsockopt" | "setsockopt" | "getsockname" | "getpeername" => {
            Category::Network
        }
        "open" | "openat" | "openat2" | "open_by_handle_at" | "creat" | "close" | "read"
        | "readv" | "pread" | "pread64" | "preadv" | "write" | "writev" | "pwrite" | "pwrite64"
        | "pwritev" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" | "mkdir"
        | "mkdirat" | "rmdir" | "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "chown"
        | "lchown" | "fchown" | "fchownat" | "link" | "linkat" | "symlink" | "symlinkat"
        | "readlink" | "readlinkat" | "mount" | "umount" | "umount2" | "truncate" | "ftruncate"
        | "stat" | "lstat" | "fstat" | "newfstatat" | "statx" | "access" | "faccessat"
        | "getdents" | "getdents64" | "chdir" | "fchdir" | "chroot" | "pivot_root"
        | "fallocate" | "copy_file_range" | "sendfile" | "setxattr" | "lsetxattr" | "fsetxattr"
        | "mknod" | "mknodat" | "utimensat" | "memfd_create" | "flock" => Category::File,
        _ => return None,
    })
}

fn of_descriptor(hints: &Hints<'_>) -> Option<Category> {
    match hints.fd_type {
        "ipv4" | "ipv6" | "4" | "6" => return Some(Category::Network),
        "file" | "directory" | "f" | "d" => return Some(Category::File),
        _ => {}
    }
    if hints.has_connection || hints.fd_name.contains("->") {
        return Some(Category::Network);
    }
    hints.fd_name.starts_with('/').then_some(Category::File)
}

fn of_rule_name(rule: &str) -> Option<Category> {
    let words = rule.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).find_map(|word| {
        let mut lowercase = [0_u8; 16];
        let lowercase = lowercase.get_mut(..word.len())?;
        lowercase.copy_from_slice(word.as_bytes());
        lowercase.make_ascii_lowercase();
        Some(match &*lowercase {
            b"network" | b"net" | b"connection" | b"connections" | b"connect" | b"outbound"
            | b"inbound" | b"ingress" | b"egress" | b"socket" | b"packet" | b"port" | b"ports"
            | b"dns" | b"ssh" | b"netcat" | b"proxy" | b"server" => Category::Network,
            b"file" | b"files" | b"directory" | b"directories" | b"read" | b"write"
            | b"written" | b"writing" | b"symlink" | b"symlinks" | b"hardlink" | b"hardlinks"
            | b"mount" | b"disk" | b"log" | b"logs" | b"etc" | b"traversal" => Category::File,
            b"process" | b"processes" | b"proc" | b"exec" | b"executed" | b"executing"
            | b"execution" | b"execute" | b"shell" | b"spawned" | b"spawn" | b"launched"
            | b"launch" | b"run" | b"binary" | b"program" | b"ptrace" | b"fork" | b"module"
            | b"privilege" | b"setuid" | b"interactive" => Category::Process,
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_when_they_agree() {
        let check = |tags: &[&str], expected| {
            assert_eq!(of_tags(tags.iter().copied()), expected, "{tags:?}");
        };
        check(
            &["container", "filesystem", "mitre_execution"],
            Some(Category::File),
        );
        check(&["file", "filesystem"], Some(Category::File));
        check(&["network", "process"], None);
        check(&["maturity_stable"], None);
    }

    #[test]
    fn system_call_then_descriptor_then_words() {
        let check = |hints: Hints<'_>, expected| assert_eq!(of(&hints), expected, "{hints:?}");
        let hints = Hints::default;
        check(hints(), Category::Unknown);
        check(
            Hints {
                event_type: "execve",
                fd_name: "/a",
                ..hints()
            },
            Category::Process,
        );
        check(
            Hints {
                event_type: "connect",
                ..hints()
            },
            Category::Network,
        );
        check(
            Hints {
                event_type: "openat",
                ..hints()
            },
            Category::File,
        );
        check(
            Hints {
                event_type: "dup2",
                fd_type: "ipv4",
                ..hints()
            },
            Category::Network,
        );
        check(
            Hints {
                fd_name: "10.0.0.1:3->10.0.0.2:80",
                ..hints()
            },
            Category::Network,
        );
        check(
            Hints {
                fd_name: "/etc/shadow",
                has_process: true,
                ..hints()
            },
            Category::File,
        );
        check(
            Hints {
                has_connection: true,
                ..hints()
            },
            Category::Network,
        );
        check(
            Hints {
                rule: "Terminal shell in container",
                ..hints()
            },
            Category::Process,
        );
        check(
            Hints {
                rule: "Clear Log Activities",
                ..hints()
            },
            Category::File,
        );
        check(
            Hints {
                rule: "Outbound to C2",
                has_process: true,
                ..hints()
            },
            Category::Network,
        );
        check(
            Hints {
                rule: "Something odd",
                has_process: true,
                ..hints()
            },
            Category::Process,
        );
        check(
            Hints {
                rule: "Read of a secret",
                source: "k8s_audit",
                ..hints()
            },
            Category::Unknown,
        );
        check(
            Hints {
                tags: Some(Category::Network),
                event_type: "execve",
                ..hints()
            },
            Category::Network,
        );
    }
}
