//! What is known of programs, ports and directories by their name.

use crate::action::is_shell;

/// What a program is that somebody brought in: code of the reason, its weight, and the sentence that
/// follows its name.
pub(crate) fn program(process: &str) -> Option<(&'static str, f32, &'static str)> {
    let base =
        process.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    Some(match base {
        "sh" | "bash" | "dash" | "zsh" | "ash" | "ksh" | "csh" | "tcsh" | "fish" | "rbash"
        | "busybox" => ("shell", 0.35, "a shell, which runs whatever it is told"),
        "nc" | "ncat" | "netcat" | "nc.openbsd" | "nc.traditional" | "socat" | "telnet"
        | "nmap" | "masscan" | "zmap" | "chisel" | "ngrok" | "frpc" | "proxychains" | "tcpdump"
        | "tshark" | "hydra" => (
            "network_tool",
            0.5,
            "a tool that reaches or watches networks",
        ),
        "curl" | "wget" | "scp" | "sftp" | "ssh" | "ftp" | "tftp" | "rsync" => (
            "transfer_tool",
            0.35,
            "a tool that carries files over the network",
        ),
        "xmrig" | "minerd" | "kinsing" | "kdevtmpfsi" | "cpuminer" | "ethminer" | "xmr-stak"
        | "nbminer" | "t-rex" | "ccminer" => ("miner", 0.85, "a known miner of crypto-currency"),
        "whoami" | "id" | "uname" | "hostname" | "ifconfig" | "ip" | "netstat" | "ss" | "ps"
        | "w" | "who" | "last" | "lsof" | "env" | "printenv" | "mount" | "find" | "getent"
        | "nslookup" | "dig" | "capsh" => (
            "reconnaissance",
            0.2,
            "a tool with which intruders look around",
        ),
        "python" | "perl" | "ruby" | "php" | "node" | "lua" | "gdb" => {
            ("interpreter", 0.2, "which runs programs that it is given")
        }
        "apt" | "apt-get" | "dpkg" | "apk" | "yum" | "dnf" | "rpm" | "pip" | "npm" | "gem"
        | "gcc" | "cc" | "make" | "ld" | "go" | "cargo" => {
            ("installer", 0.25, "which installs or builds programs")
        }
        "useradd" | "adduser" | "usermod" | "passwd" | "chpasswd" | "su" | "sudo" | "newgrp"
        | "visudo" | "crontab" | "insmod" | "modprobe" | "nsenter" | "unshare" | "chroot"
        | "docker" | "kubectl" | "crictl" | "iptables" | "setcap" | "debugfs" => {
            ("administration", 0.45, "which changes who may do what")
        }
        "base64" | "xxd" | "openssl" | "shred" | "chattr" | "chmod" | "chown" | "dd" | "tar"
        | "gzip" | "mkfifo" => ("handling", 0.1, "which packs, hides or releases files"),
        _ => return None,
    })
}

/// True for programs that run the files that they are given.
pub(crate) fn runs_files(process: &str) -> bool {
    is_shell(process)
        || ["python", "perl", "ruby", "node", "php", "lua"]
            .iter()
            .any(|name| process.starts_with(name))
}

/// What a system call does that few programs need: its weight, and the sentence that follows it.
pub(crate) fn powerful(operation: &str) -> Option<(f32, &'static str)> {
    Some(match operation {
        "init_module" | "finit_module" => (0.85, "loads code into the kernel of the host"),
        "ptrace" | "process_vm_writev" | "process_vm_readv" => {
            (0.6, "reads or changes what another process does")
        }
        "pivot_root" => (0.6, "changes the root of the file system"),
        "bpf" => (0.5, "runs programs in the kernel of the host"),
        "setns" => (0.5, "enters what belongs to another container or the host"),
        "unshare" => (
            0.5,
            "makes a place of its own, a step on some ways out of a container",
        ),
        "mount" | "move_mount" => (0.5, "changes which file systems are seen"),
        "memfd_create" => (0.5, "makes a file in memory that a program can run from"),
        "userfaultfd" => (0.5, "is used by attacks on the kernel"),
        "delete_module" => (0.5, "removes code from the kernel of the host"),
        "perf_event_open" => (0.5, "watches other processes and the kernel"),
        "setuid" | "setresuid" | "setgid" => (0.3, "changes in whose name the program acts"),
        "capset" => (0.3, "changes what the program may do"),
        "keyctl" => (0.3, "handles keys that the kernel keeps"),
        "io_uring_setup" => (0.3, "opens a way past many watchers"),
        "umount" | "umount2" => (0.25, "changes which file systems are seen"),
        "chroot" => (0.25, "changes the root of the file system"),
        _ => return None,
    })
}

/// Words that programs in good order do not write, and what they do.
pub(crate) fn suspicious(text: &str) -> Option<(&'static str, &'static str)> {
    const WORDS: [(&str, &str); 13] = [
        ("/dev/tcp/", "makes a network connection out of a shell"),
        ("/dev/udp/", "makes a network connection out of a shell"),
        ("bash -i", "opens a shell for somebody to type into"),
        ("sh -i", "opens a shell for somebody to type into"),
        ("nc -e", "hands a program to whoever is at the other end"),
        ("ncat -e", "hands a program to whoever is at the other end"),
        ("base64 -d", "unpacks a text that was made unreadable"),
        ("base64 --decode", "unpacks a text that was made unreadable"),
        ("|sh", "runs whatever comes in"),
        ("| sh", "runs whatever comes in"),
        ("| bash", "runs whatever comes in"),
        ("|bash", "runs whatever comes in"),
        ("stratum+", "is how miners name their pool"),
    ];
    WORDS.into_iter().find(|(word, _)| text.contains(word))
}

/// What was done to a file, as the verb of a sentence.
pub(crate) fn file_verb(operation: &str, is_written: bool) -> &'static str {
    match operation {
        "open" | "openat" | "openat2" | "open_by_handle_at" if !is_written => "opened",
        "creat" => "created",
        "read" | "readv" | "pread" | "pread64" | "preadv" | "sendfile" => "read",
        "unlink" | "unlinkat" | "rmdir" => "removed",
        "rename" | "renameat" | "renameat2" => "renamed",
        "mkdir" | "mkdirat" => "made the directory",
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" => "changed the rights of",
        "chown" | "lchown" | "fchown" | "fchownat" => "changed the owner of",
        "link" | "linkat" | "symlink" | "symlinkat" => "linked",
        "truncate" | "ftruncate" => "cut off",
        "mknod" | "mknodat" => "made the device",
        "mount" | "move_mount" => "mounted",
        "umount" | "umount2" => "unmounted",
        "chroot" | "pivot_root" => "moved its root to",
        "chdir" => "went to",
        "setxattr" | "lsetxattr" | "fsetxattr" => "marked",
        _ if is_written => "wrote to",
        _ => "used",
    }
}

/// What was done with an address, as the verb of a sentence.
pub(crate) fn network_verb(operation: &str) -> &'static str {
    match operation {
        "connect" => "connected to",
        "read" | "readv" | "recv" | "recvfrom" | "recvmsg" | "recvmmsg" => "received from",
        "write" | "writev" | "send" | "sendto" | "sendmsg" | "sendmmsg" => "sent to",
        _ => "reached",
    }
}

pub(crate) fn is_temporary(path: &str) -> bool {
    ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/"]
        .iter()
        .any(|directory| path.starts_with(directory))
}

pub(crate) fn is_program_directory(directory: &str) -> bool {
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

pub(crate) fn is_log(path: &str) -> bool {
    path.starts_with("/var/log/")
        || path.contains(".log.")
        || path.rsplit('.').next() == Some("log")
}

/// Ports that public pools of miners name in their instructions.
pub(crate) fn is_miner_port(port: u16) -> bool {
    matches!(
        port,
        3333 | 3334 | 3335 | 3336 | 5555 | 6666 | 7777 | 9999 | 14_433 | 14_444 | 45_560 | 45_700
    )
}

/// Ports that tools for attacks listen on unless they are told otherwise: Metasploit and most reverse
/// shells of its kind (4444), botnets (6667), Tor (9001), older backdoors.
pub(crate) fn is_backdoor_port(port: u16) -> bool {
    matches!(port, 1337 | 4444 | 4445 | 5554 | 6667 | 9001 | 31_337)
}

/// True for programs that answer connections, by their name.
pub(crate) fn is_server(process: &str) -> bool {
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
