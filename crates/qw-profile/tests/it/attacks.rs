//! What must worry stands far above what programs do by themselves.

use qw_event::Priority;
use qw_profile::Deviation;
use serde_json::{Value, json};

use crate::common::{World, connect, exec, open, options, web_server, write};

fn world() -> World {
    let mut world = World::new(options());
    world.live(&web_server());
    world
}

fn worst(steps: &[Value]) -> Deviation {
    let mut world = world();
    steps
        .iter()
        .map(|fields| {
            world.now += 1;
            world.deviation(fields)
        })
        .max_by(|a, b| a.score.total_cmp(&b.score))
        .unwrap()
}

#[track_caller]
fn worries(steps: &[Value], least: f32, codes: &[&str]) {
    let mut world = world();
    let mut found: Vec<String> = Vec::new();
    let mut most = 0_f32;
    for fields in steps {
        world.now += 1;
        let deviation = world.deviation(fields);
        most = most.max(deviation.score);
        found.extend(
            deviation
                .reasons
                .iter()
                .map(|reason| reason.code.to_string()),
        );
        let weights: Vec<f32> = deviation
            .reasons
            .iter()
            .map(|reason| reason.weight)
            .collect();
        assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
        assert!(
            deviation
                .reasons
                .iter()
                .all(|reason| !reason.text.is_empty())
        );
    }
    assert!(most >= least, "{most} < {least}: {found:?}");
    for code in codes {
        assert!(
            found.iter().any(|other| other == code),
            "{code} is not among {found:?}"
        );
    }
}

#[test]
fn reverse_shell() {
    worries(
        &[
            json!({"evt.type": "execve", "proc.name": "sh", "proc.pname": "nginx", "proc.cmdline": "sh -i",
                   "proc.exepath": "/bin/sh", "proc.stdin.type": "ipv4"}),
            json!({"evt.type": "dup2", "proc.name": "sh", "fd.type": "ipv4", "fd.num": 0,
                   "fd.name": "172.17.0.2:41000->45.9.148.3:4444"}),
            connect("sh", "45.9.148.3:4444"),
        ],
        0.95,
        &[
            "shell_from_server",
            "socket_as_input",
            "new_destination",
            "new_process",
            "shell",
        ],
    );
}

#[test]
fn credentials() {
    worries(&[open("nginx", "/etc/shadow")], 0.75, &["credentials"]);
    worries(
        &[open(
            "cat",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
        )],
        0.8,
        &["credentials", "new_process"],
    );
    worries(
        &[connect("nginx", "169.254.169.254:80")],
        0.6,
        &["metadata_service"],
    );
}

#[test]
fn dropped_program() {
    worries(
        &[
            json!({"evt.type": "openat", "proc.name": "nginx", "fd.name": "/tmp/.x/agent", "fd.type": "file",
                   "evt.arg.flags": "O_WRONLY|O_CREAT", "evt.arg.mode": "0755"}),
            json!({"evt.type": "chmod", "proc.name": "nginx", "evt.arg.filename": "/tmp/.x/agent", "evt.arg.mode": "S_IXUSR"}),
            json!({"evt.type": "execve", "proc.name": "agent", "proc.pname": "nginx", "proc.exepath": "/tmp/.x/agent",
                   "proc.cmdline": "agent", "proc.is_exe_upper_layer": true}),
        ],
        0.95,
        &[
            "dropped_executable",
            "not_in_image",
            "temporary_executable",
            "made_executable",
        ],
    );
}

#[test]
fn crypto_miner() {
    worries(
        &[
            json!({"evt.type": "execve", "proc.name": "xmrig", "proc.pname": "nginx", "proc.exepath": "/tmp/xmrig",
                   "proc.cmdline": "xmrig -o stratum+tcp://pool.example:3333"}),
            connect("xmrig", "45.9.148.3:3333"),
        ],
        0.95,
        &["miner", "miner_port", "new_destination"],
    );
    // Under an innocent name, from the image: the connection alone must do.
    worries(
        &[connect("worker", "45.9.148.3:3333")],
        0.7,
        &["miner_port"],
    );
}

#[test]
fn ways_out_and_to_stay() {
    let docker = json!({"evt.type": "connect", "proc.name": "nginx", "fd.type": "unix", "fd.name": "/run/docker.sock"});
    worries(&[docker], 0.7, &["host_access"]);
    worries(&[write("nginx", "/etc/cron.d/x")], 0.6, &["persistence"]);
    worries(
        &[write("nginx", "/root/.ssh/authorized_keys")],
        0.6,
        &["persistence"],
    );
    let module = json!({"evt.type": "finit_module", "proc.name": "nginx"});
    worries(&[module], 0.8, &["powerful_call"]);
    let memory = json!({"evt.type": "execve", "proc.name": "x", "proc.pname": "nginx", "proc.exepath": "memfd:x",
                        "proc.is_exe_from_memfd": true});
    worries(&[memory], 0.8, &["fileless"]);
    worries(
        &[write("nginx", "/usr/share/nginx/html/up.php")],
        0.4,
        &["script_written"],
    );
}

#[test]
fn everyday_news_stay_far_below() {
    let attacks = [
        worst(&[exec("nginx", "bash", "bash -i")]),
        worst(&[open("nginx", "/etc/shadow")]),
        worst(&[connect("nginx", "45.9.148.3:3333")]),
    ];
    for attack in &attacks {
        assert!(
            attack.score >= 0.7 && attack.priority <= Priority::Error,
            "{attack:?}"
        );
    }
    for fields in [
        write("nginx", "/var/log/nginx/quite-another.log"),
        write("nginx", "/var/log/nginx/audit/today.log"),
        open("nginx", "/usr/share/nginx/html/news.html"),
        open("nginx", "/etc/nginx/conf.d/shop.conf"),
        open("nginx", "/etc/hosts"),
        connect("nginx", "10.0.9.9:8080"),
        connect("nginx", "127.0.0.1:9000"),
        exec("containerd-shim", "nginx", "nginx -t"),
        write("nginx", "/var/cache/nginx/client_temp/upload"),
    ] {
        let deviation = worst(std::slice::from_ref(&fields));
        assert!(deviation.score < 0.35, "{fields}: {deviation:?}");
    }
}

#[test]
fn what_follows_an_attack_weighs_more() {
    let mut world = world();
    let step = write("nginx", "/var/www/upload.txt");
    let alone = world.deviation(&step).score;
    world.now += 1;
    world.deviation(&exec("nginx", "bash", "bash -i"));
    world.now += 1;
    let after = world.deviation(&step);
    assert!(after.score > alone + 0.1, "{} {alone}", after.score);
    assert!(
        after
            .reasons
            .iter()
            .any(|reason| &*reason.code == "follows_deviation")
    );
    world.now += 3_600;
    assert!((world.deviation(&step).score - alone).abs() < 0.01);
}
