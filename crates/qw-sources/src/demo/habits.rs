//! What the containers of the demo do day in, day out.
//!
//! A container does everything in its list at least once in 47 minutes, so that nothing in it is
//! ever new to who has watched for an hour. What differs from time to time stands in places:
//! `{n}` a number, `{h}` eight and `{m}` thirty-two hexadecimal digits, `{x}` one of them and `{y}`
//! two, `{t}` ten letters and digits, `{d}` the date.

use std::{net::Ipv4Addr, sync::LazyLock};

use super::{
    fleet::{DemoContainer, FLEET, Fleet},
    random::Random,
    render::push_number,
    roles::{Command, RoleName},
};

use Deed::{Accepts, Connects, Reads, Removes, Renames, Runs, Writes};
use With::{Anyone, Cluster, Resolver, Role, Server};

/// Something that the containers of a role do again and again.
#[derive(Debug)]
pub(super) struct Habit {
    /// Who does it.
    pub(super) process: Command,
    pub(super) deed: Deed,
    /// How often, relative to the others; 0 for not more often than it must.
    pub(super) often: u32,
    /// A rule of Falco's that it sets off, instead of the one that sees everything.
    pub(super) rule: Option<&'static str>,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    /// The process starts.
    Runs,
    Reads(&'static str),
    Writes(&'static str),
    Renames(&'static str, &'static str),
    Removes(&'static str),
    Connects(With, u16),
    Accepts(With, u16),
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    /// Containers of a role: those of the same project or namespace, if it has any.
    Role(RoleName),
    /// Clients anywhere on the internet, in ranges that are set aside for documentation.
    Anyone,
    /// A server on the internet.
    Server([u8; 4]),
    /// The name server.
    Resolver,
    /// The API of the cluster; only of containers in Kubernetes.
    Cluster,
}

/// A habit of one container.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) habit: &'static Habit,
    /// Addresses of the other end, all of one network; empty for clients anywhere and when there is
    /// no other end.
    pub(super) peers: Vec<Ipv4Addr>,
}

/// Everything that one container does.
#[derive(Debug)]
pub(super) struct Repertoire {
    pub(super) acts: Vec<Act>,
    /// One thing after the other, as a job does, and not all the time.
    pub(super) is_job: bool,
    /// Running sums of how often.
    often: Vec<u32>,
}

/// By container, in the order of the fleet.
pub(super) static REPERTOIRES: LazyLock<Vec<Repertoire>> = LazyLock::new(|| {
    let containers = FLEET.containers.iter();
    containers
        .map(|container| Repertoire::of(container, &FLEET))
        .collect()
});

impl Repertoire {
    fn of(container: &DemoContainer, fleet: &Fleet) -> Self {
        let mut acts = Vec::new();
        for habit in HABITS[container.role as usize] {
            let with = match habit.deed {
                Connects(with, _) | Accepts(with, _) => Some(with),
                _ => None,
            };
            match with {
                None | Some(Anyone) => acts.push(Act {
                    habit,
                    peers: Vec::new(),
                }),
                Some(Cluster) if container.k8s_namespace.is_empty() => {}
                Some(Role(role)) => {
                    let is_client = matches!(habit.deed, Accepts(..));
                    acts.extend(
                        networks(container, role, is_client, fleet)
                            .into_iter()
                            .map(|peers| Act { habit, peers }),
                    );
                }
                Some(Server(address)) => acts.push(Act {
                    habit,
                    peers: vec![address.into()],
                }),
                Some(Resolver) => {
                    let [first, second, third, _] = container.address.octets();
                    acts.push(Act {
                        habit,
                        peers: vec![Ipv4Addr::new(first, second, third, 2)],
                    });
                }
                Some(Cluster) => acts.push(Act {
                    habit,
                    peers: vec![Ipv4Addr::new(10, 96, 0, 1)],
                }),
            }
        }
        let often = acts.iter().scan(0, |sum, act| {
            *sum += act.habit.often;
            Some(*sum)
        });
        Self {
            often: often.collect(),
            is_job: container.role == RoleName::Backup,
            acts,
        }
    }

    /// One of the acts, the usual ones more often.
    pub(super) fn choose(&self, random: &mut Random) -> usize {
        let all = self.often.last().copied().unwrap_or(0);
        let chosen = random.below(all as usize) as u32;
        self.often.partition_point(|sum| *sum <= chosen)
    }
}

/// Addresses of the containers of `role` that `container` talks to, by network. Whose clients are
/// asked for, for that they may be anywhere: one network of all.
fn networks(
    container: &DemoContainer,
    role: RoleName,
    is_client: bool,
    fleet: &Fleet,
) -> Vec<Vec<Ipv4Addr>> {
    let scope = |of: &DemoContainer| (of.compose_project, of.k8s_namespace);
    let others: Vec<&DemoContainer> = fleet
        .containers
        .iter()
        .filter(|other| other.role == role && other.id != container.id)
        .collect();
    let has_own = others.iter().any(|other| scope(other) == scope(container));
    let mut networks: Vec<Vec<Ipv4Addr>> = Vec::new();
    for other in others {
        if has_own && scope(other) != scope(container) {
            continue;
        }
        let network = |address: &Ipv4Addr| address.octets()[2];
        let same = |peers: &&mut Vec<Ipv4Addr>| {
            is_client || peers.first().map(network) == Some(network(&other.address))
        };
        match networks.iter_mut().find(same) {
            Some(peers) => peers.push(other.address),
            None => networks.push(vec![other.address]),
        }
    }
    networks
}

/// Appends `template` with its places filled, for something that happens on the day `date`.
pub(super) fn fill(text: &mut String, template: &str, date: &str, random: &mut Random) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (place, after) = after.split_once('}').unwrap_or((after, ""));
        match place {
            "n" => push_number(text, random.below(250) as u64),
            "x" => push_hexadecimal(text, 1, random),
            "y" => push_hexadecimal(text, 2, random),
            "h" => push_identifier(text, 8, random),
            "m" => push_identifier(text, 32, random),
            "t" => {
                const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
                let drawn = (0..10).filter_map(|_| random.pick(LETTERS).copied());
                text.extend(drawn.map(char::from));
            }
            "d" => text.push_str(date),
            _ => debug_assert!(false, "no such place: `{place}`"),
        }
        rest = after;
    }
    text.push_str(rest);
}

/// Has a digit and a letter, as nearly all that are drawn have.
fn push_identifier(text: &mut String, digits: usize, random: &mut Random) {
    text.push(char::from(b'2' + random.below(8) as u8));
    text.push(char::from(b'a' + random.below(6) as u8));
    push_hexadecimal(text, digits.saturating_sub(2), random);
}

fn push_hexadecimal(text: &mut String, digits: usize, random: &mut Random) {
    for _ in 0..digits {
        text.extend(char::from_digit(random.below(16) as u32, 16));
    }
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

const fn habit(often: u32, process: Command, deed: Deed) -> Habit {
    Habit {
        process,
        deed,
        often,
        rule: None,
    }
}

/// One that sets off a rule of Falco's.
const fn noticed(rule: &'static str, process: Command, deed: Deed) -> Habit {
    Habit {
        process,
        deed,
        often: 0,
        rule: Some(rule),
    }
}

/// Who starts what the engine runs in a container to ask for its health.
const ENGINE: &str = "containerd-shim";

const OUTBOUND: &str = "Unexpected outbound connection destination";

/// Indexed by [`RoleName`].
const HABITS: [&[Habit]; 12] = [
    WEB, API, WORKER, POSTGRES, REDIS, KAFKA, PROMETHEUS, JENKINS, BACKUP, SHIPPER, AUTH, MAILER,
];

const NGINX: Command = process("nginx", "/usr/sbin/nginx", "nginx: worker process", "nginx");
const WEB: &[Habit] = &[
    habit(
        3,
        process(
            "curl",
            "/usr/bin/curl",
            "curl -fsS http://127.0.0.1/healthz",
            ENGINE,
        ),
        Runs,
    ),
    habit(
        0,
        process("nginx", "/usr/sbin/nginx", "nginx -t -q", ENGINE),
        Runs,
    ),
    habit(8, NGINX, Reads("/usr/share/nginx/html/index.html")),
    habit(9, NGINX, Reads("/usr/share/nginx/html/assets/app-{h}.js")),
    habit(6, NGINX, Reads("/var/cache/nginx/{x}/{y}/{m}")),
    habit(1, NGINX, Reads("/etc/nginx/conf.d/shop.conf")),
    habit(1, NGINX, Reads("/etc/ssl/certs/shop.example.com.pem")),
    habit(8, NGINX, Writes("/var/log/nginx/access-{d}.log")),
    habit(1, NGINX, Writes("/var/log/nginx/error-{d}.log")),
    habit(2, NGINX, Writes("/var/cache/nginx/client_temp/00000000{n}")),
    habit(16, NGINX, Accepts(Anyone, 443)),
    habit(4, NGINX, Accepts(Anyone, 80)),
    habit(10, NGINX, Connects(Role(RoleName::Api), 8080)),
    habit(3, NGINX, Connects(Role(RoleName::Auth), 9000)),
    habit(1, NGINX, Connects(Resolver, 53)),
];

const API_JAVA: Command = process(
    "java",
    "/opt/java/bin/java",
    "java -Xmx512m -jar /app/api.jar",
    "tini",
);
const API: &[Habit] = &[
    habit(
        3,
        process(
            "wget",
            "/usr/bin/wget",
            "wget -qO- http://127.0.0.1:8080/health",
            ENGINE,
        ),
        Runs,
    ),
    habit(
        0,
        process("jstat", "/opt/java/bin/jstat", "jstat -gcutil {n}", ENGINE),
        Runs,
    ),
    habit(1, API_JAVA, Reads("/app/config/application.yaml")),
    habit(3, API_JAVA, Reads("/app/lib/catalogue-{n}.jar")),
    habit(2, API_JAVA, Reads("/proc/self/status")),
    habit(2, API_JAVA, Reads("/sys/fs/cgroup/memory.current")),
    habit(1, API_JAVA, Reads("/run/secrets/database-url")),
    habit(1, API_JAVA, Reads("/etc/resolv.conf")),
    habit(6, API_JAVA, Writes("/app/logs/api-{d}.log")),
    habit(4, API_JAVA, Writes("/tmp/upload-{h}.part")),
    habit(3, API_JAVA, Removes("/tmp/upload-{h}.part")),
    habit(12, API_JAVA, Accepts(Role(RoleName::Web), 8080)),
    habit(4, API_JAVA, Accepts(Role(RoleName::Prometheus), 8080)),
    habit(10, API_JAVA, Connects(Role(RoleName::Postgres), 5432)),
    habit(8, API_JAVA, Connects(Role(RoleName::Redis), 6379)),
    habit(4, API_JAVA, Connects(Role(RoleName::Kafka), 9092)),
    habit(3, API_JAVA, Connects(Role(RoleName::Auth), 9000)),
    habit(2, API_JAVA, Connects(Resolver, 53)),
];

const PYTHON: Command = process(
    "python3",
    "/usr/bin/python3",
    "python3 -m shop.worker --queue orders",
    "tini",
);
const INVOICE: Command = process(
    "wkhtmltopdf",
    "/usr/bin/wkhtmltopdf",
    "wkhtmltopdf --quiet /tmp/tmp.{t} /tmp/invoice-{n}.pdf",
    "python3",
);
const RESIZE: Command = process(
    "convert",
    "/usr/bin/convert",
    "convert -resize 640x /tmp/in-{h}.png /tmp/out-{h}.webp",
    "python3",
);
const WORKER: &[Habit] = &[
    habit(4, INVOICE, Runs),
    habit(3, INVOICE, Reads("/tmp/tmp.{t}")),
    habit(3, INVOICE, Writes("/tmp/invoice-{n}.pdf")),
    habit(
        1,
        INVOICE,
        Reads("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    ),
    habit(3, RESIZE, Runs),
    habit(3, RESIZE, Reads("/tmp/in-{h}.png")),
    habit(3, RESIZE, Writes("/tmp/out-{h}.webp")),
    habit(
        2,
        process(
            "python3",
            "/usr/bin/python3",
            "python3 -m shop.health",
            ENGINE,
        ),
        Runs,
    ),
    habit(3, PYTHON, Writes("/tmp/tmp.{t}")),
    habit(3, PYTHON, Removes("/tmp/tmp.{t}")),
    habit(3, PYTHON, Reads("/app/shop/templates/invoice.html")),
    habit(
        1,
        PYTHON,
        Reads("/usr/lib/python3/dist-packages/shop/orders.py"),
    ),
    habit(2, PYTHON, Reads("/proc/self/statm")),
    habit(5, PYTHON, Writes("/var/log/shop/worker-{d}.log")),
    habit(8, PYTHON, Connects(Role(RoleName::Kafka), 9092)),
    habit(6, PYTHON, Connects(Role(RoleName::Postgres), 5432)),
    habit(4, PYTHON, Connects(Role(RoleName::Redis), 6379)),
    habit(3, PYTHON, Connects(Role(RoleName::Mailer), 8025)),
    habit(1, PYTHON, Connects(Resolver, 53)),
];

const BACKEND: Command = process(
    "postgres",
    "/usr/lib/postgresql/17/bin/postgres",
    "postgres: shop shop 10.20.1.11({n}) SELECT",
    "postgres",
);
const WRITER: Command = process(
    "postgres",
    "/usr/lib/postgresql/17/bin/postgres",
    "postgres: walwriter",
    "postgres",
);
const POSTGRES: &[Habit] = &[
    habit(
        3,
        process(
            "pg_isready",
            "/usr/lib/postgresql/17/bin/pg_isready",
            "pg_isready -U shop -d shop",
            ENGINE,
        ),
        Runs,
    ),
    noticed(
        "DB program spawned process",
        process(
            "sh",
            "/bin/sh",
            "sh -c cp pg_wal/0000000100000000{h} /archive/0000000100000000{h}",
            "postgres",
        ),
        Runs,
    ),
    habit(
        0,
        process(
            "cp",
            "/bin/cp",
            "cp pg_wal/0000000100000000{h} /archive/0000000100000000{h}",
            "sh",
        ),
        Runs,
    ),
    habit(
        12,
        BACKEND,
        Reads("/var/lib/postgresql/data/base/16384/{n}"),
    ),
    habit(
        2,
        BACKEND,
        Writes("/var/lib/postgresql/data/base/pgsql_tmp/pgsql_tmp{n}.0"),
    ),
    habit(
        2,
        BACKEND,
        Removes("/var/lib/postgresql/data/base/pgsql_tmp/pgsql_tmp{n}.0"),
    ),
    habit(
        6,
        WRITER,
        Writes("/var/lib/postgresql/data/pg_wal/0000000100000000{h}"),
    ),
    habit(
        1,
        WRITER,
        Renames(
            "/var/lib/postgresql/data/pg_wal/0000000100000000{h}",
            "/var/lib/postgresql/data/pg_wal/0000000100000000{h}",
        ),
    ),
    habit(
        3,
        WRITER,
        Writes("/var/lib/postgresql/data/log/postgresql-{d}.log"),
    ),
    habit(
        1,
        WRITER,
        Removes("/var/lib/postgresql/data/log/postgresql-{d}.log"),
    ),
    habit(
        2,
        WRITER,
        Reads("/var/lib/postgresql/data/global/pg_control"),
    ),
    habit(10, BACKEND, Accepts(Role(RoleName::Api), 5432)),
    habit(4, BACKEND, Accepts(Role(RoleName::Worker), 5432)),
    habit(1, BACKEND, Accepts(Role(RoleName::Backup), 5432)),
    habit(2, BACKEND, Connects(Role(RoleName::Postgres), 5432)),
];

const REDIS_SERVER: Command = process(
    "redis-server",
    "/usr/local/bin/redis-server",
    "redis-server *:6379",
    "tini",
);
const REDIS_SAVE: Command = process(
    "redis-server",
    "/usr/local/bin/redis-server",
    "redis-rdb-bgsave *:6379",
    "redis-server",
);
const REDIS: &[Habit] = &[
    habit(
        3,
        process(
            "redis-cli",
            "/usr/local/bin/redis-cli",
            "redis-cli ping",
            ENGINE,
        ),
        Runs,
    ),
    habit(2, REDIS_SAVE, Writes("/data/temp-{n}.rdb")),
    habit(
        2,
        REDIS_SAVE,
        Renames("/data/temp-{n}.rdb", "/data/dump.rdb"),
    ),
    habit(
        4,
        REDIS_SERVER,
        Writes("/data/appendonlydir/appendonly.aof.{n}.incr.aof"),
    ),
    habit(
        0,
        REDIS_SERVER,
        Removes("/data/appendonlydir/appendonly.aof.{n}.incr.aof"),
    ),
    habit(2, REDIS_SERVER, Reads("/proc/self/stat")),
    habit(10, REDIS_SERVER, Accepts(Role(RoleName::Api), 6379)),
    habit(5, REDIS_SERVER, Accepts(Role(RoleName::Worker), 6379)),
    habit(2, REDIS_SERVER, Accepts(Role(RoleName::Auth), 6379)),
];

const BROKER: Command = process(
    "java",
    "/opt/java/openjdk/bin/java",
    "java -Xmx1G -server kafka.Kafka /opt/kafka/config/server.properties",
    "tini",
);
const KAFKA: &[Habit] = &[
    habit(
        2,
        process(
            "kafka-broker-ap",
            "/usr/bin/bash",
            "kafka-broker-ap /opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server localhost:9092",
            ENGINE,
        ),
        Runs,
    ),
    habit(
        2,
        process(
            "java",
            "/opt/java/openjdk/bin/java",
            "java -Xmx256M org.apache.kafka.tools.BrokerApiVersionsCommand --bootstrap-server localhost:9092",
            "kafka-broker-ap",
        ),
        Runs,
    ),
    habit(
        10,
        BROKER,
        Writes("/var/lib/kafka/data/orders-{n}/00000000000000{h}.log"),
    ),
    habit(
        4,
        BROKER,
        Writes("/var/lib/kafka/data/orders-{n}/00000000000000{h}.index"),
    ),
    habit(
        2,
        BROKER,
        Writes("/var/lib/kafka/data/replication-offset-checkpoint.tmp"),
    ),
    habit(
        1,
        BROKER,
        Renames(
            "/var/lib/kafka/data/replication-offset-checkpoint.tmp",
            "/var/lib/kafka/data/replication-offset-checkpoint",
        ),
    ),
    habit(
        0,
        BROKER,
        Renames(
            "/var/lib/kafka/data/orders-{n}/00000000000000{h}.log",
            "/var/lib/kafka/data/orders-{n}/00000000000000{h}.log.deleted",
        ),
    ),
    habit(
        0,
        BROKER,
        Removes("/var/lib/kafka/data/orders-{n}/00000000000000{h}.log.deleted"),
    ),
    habit(2, BROKER, Writes("/opt/kafka/logs/server.log.{d}-{n}")),
    habit(8, BROKER, Accepts(Role(RoleName::Api), 9092)),
    habit(6, BROKER, Accepts(Role(RoleName::Worker), 9092)),
    habit(4, BROKER, Accepts(Role(RoleName::Shipper), 9092)),
    habit(3, BROKER, Connects(Role(RoleName::Kafka), 9093)),
];

const TSDB: Command = process(
    "prometheus",
    "/bin/prometheus",
    "prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus",
    "tini",
);
const PROMETHEUS: &[Habit] = &[
    habit(
        1,
        process(
            "promtool",
            "/bin/promtool",
            "promtool check config /etc/prometheus/prometheus.yml",
            ENGINE,
        ),
        Runs,
    ),
    habit(6, TSDB, Writes("/prometheus/wal/00000{n}")),
    habit(3, TSDB, Writes("/prometheus/chunks_head/00000{n}")),
    habit(1, TSDB, Removes("/prometheus/wal/00000{n}")),
    habit(2, TSDB, Reads("/etc/prometheus/rules/shop.yml")),
    habit(2, TSDB, Reads("/proc/self/stat")),
    habit(8, TSDB, Connects(Role(RoleName::Api), 8080)),
    habit(3, TSDB, Connects(Role(RoleName::Kafka), 7071)),
    habit(3, TSDB, Connects(Role(RoleName::Shipper), 2020)),
    habit(1, TSDB, Connects(Resolver, 53)),
];

const JENKINS_JAVA: Command = process(
    "java",
    "/opt/java/openjdk/bin/java",
    "java -Duser.home=/var/jenkins_home -jar /usr/share/jenkins/jenkins.war",
    "tini",
);
const GIT: Command = process(
    "git",
    "/usr/bin/git",
    "git fetch --tags --force origin",
    "java",
);
const GIT_HTTPS: Command = process(
    "git-remote-http",
    "/usr/lib/git-core/git-remote-https",
    "git-remote-https origin https://git.example.com/shop.git",
    "git",
);
const MAVEN: Command = process("mvn", "/usr/share/maven/bin/mvn", "mvn -B -q verify", "sh");
const VITE: Command = process(
    "node",
    "/usr/bin/node",
    "node node_modules/.bin/vite build",
    "sh",
);
const JENKINS: &[Habit] = &[
    noticed(
        "Run shell untrusted",
        process("sh", "/bin/sh", "sh -xe /tmp/jenkins{n}.sh", "java"),
        Runs,
    ),
    habit(3, GIT, Runs),
    habit(2, GIT_HTTPS, Runs),
    habit(2, MAVEN, Runs),
    habit(2, VITE, Runs),
    habit(
        4,
        GIT,
        Writes("/var/jenkins_home/workspace/shop/.git/objects/{y}/{m}{h}"),
    ),
    habit(
        6,
        MAVEN,
        Writes("/var/jenkins_home/workspace/shop/target/classes/{m}.class"),
    ),
    habit(4, MAVEN, Reads("/var/jenkins_home/workspace/shop/pom.xml")),
    habit(
        4,
        VITE,
        Writes("/var/jenkins_home/workspace/shop/dist/assets/app-{h}.js"),
    ),
    habit(
        6,
        JENKINS_JAVA,
        Writes("/var/jenkins_home/jobs/shop/builds/{n}/log"),
    ),
    habit(2, JENKINS_JAVA, Writes("/tmp/jenkins{n}.sh")),
    habit(2, JENKINS_JAVA, Removes("/tmp/jenkins{n}.sh")),
    habit(2, JENKINS_JAVA, Reads("/var/jenkins_home/config.xml")),
    habit(6, JENKINS_JAVA, Accepts(Anyone, 8080)),
    habit(3, GIT_HTTPS, Connects(Server([198, 51, 100, 80]), 443)),
    noticed(OUTBOUND, MAVEN, Connects(Server([192, 0, 2, 35]), 443)),
    habit(2, JENKINS_JAVA, Connects(Resolver, 53)),
];

const JOB: Command = process(
    "backup.sh",
    "/bin/sh",
    "backup.sh /usr/local/bin/backup.sh",
    "crond",
);
const DUMP: Command = process(
    "pg_dump",
    "/usr/bin/pg_dump",
    "pg_dump -h postgres -U backup -Fc -f /backup/shop-{d}.dump shop",
    "backup.sh",
);
const RESTIC: Command = process(
    "restic",
    "/usr/bin/restic",
    "restic backup /backup --tag {d} --quiet",
    "backup.sh",
);
const PING: Command = process(
    "curl",
    "/usr/bin/curl",
    "curl -fsS -o /dev/null https://status.example.com/ping",
    "backup.sh",
);
/// In the order of the job; at night there is more to save.
const BACKUP: &[Habit] = &[
    habit(1, JOB, Runs),
    habit(1, DUMP, Runs),
    habit(1, DUMP, Reads("/root/.pgpass")),
    habit(4, DUMP, Connects(Role(RoleName::Postgres), 5432)),
    habit(20, DUMP, Writes("/backup/shop-{d}.dump")),
    habit(1, RESTIC, Runs),
    habit(20, RESTIC, Reads("/backup/shop-{d}.dump")),
    habit(4, RESTIC, Writes("/root/.cache/restic/{m}/index/{h}")),
    habit(20, RESTIC, Connects(Server([203, 0, 113, 20]), 443)),
    habit(
        1,
        process(
            "restic",
            "/usr/bin/restic",
            "restic forget --keep-daily 14 --prune --quiet",
            "backup.sh",
        ),
        Runs,
    ),
    habit(
        1,
        process("rm", "/bin/rm", "rm -f /backup/shop-{d}.dump", "backup.sh"),
        Removes("/backup/shop-{d}.dump"),
    ),
    habit(1, PING, Runs),
    noticed(OUTBOUND, PING, Connects(Server([192, 0, 2, 61]), 443)),
];

const FLUENT_BIT: Command = process(
    "fluent-bit",
    "/fluent-bit/bin/fluent-bit",
    "fluent-bit -c /fluent-bit/etc/fluent-bit.conf",
    "tini",
);
const SHIPPER: &[Habit] = &[
    habit(
        10,
        FLUENT_BIT,
        Reads("/var/lib/docker/containers/{m}{m}/{m}{m}-json.log"),
    ),
    habit(
        6,
        FLUENT_BIT,
        Writes("/var/fluent-bit/state/tail.db-journal"),
    ),
    habit(
        4,
        FLUENT_BIT,
        Removes("/var/fluent-bit/state/tail.db-journal"),
    ),
    habit(1, FLUENT_BIT, Reads("/fluent-bit/etc/parsers.conf")),
    habit(8, FLUENT_BIT, Connects(Role(RoleName::Kafka), 9092)),
    habit(3, FLUENT_BIT, Accepts(Role(RoleName::Prometheus), 2020)),
    habit(1, FLUENT_BIT, Connects(Resolver, 53)),
    noticed(
        "Contact K8S API Server From Container",
        FLUENT_BIT,
        Connects(Cluster, 443),
    ),
];

const AUTH_SERVER: Command = process("auth", "/app/auth", "auth serve --listen :9000", "tini");
const AUTH: &[Habit] = &[
    habit(
        2,
        process("auth", "/app/auth", "auth health --quiet", ENGINE),
        Runs,
    ),
    habit(2, AUTH_SERVER, Reads("/app/keys/signing-{n}.pem")),
    habit(1, AUTH_SERVER, Reads("/run/secrets/session-key")),
    habit(1, AUTH_SERVER, Reads("/etc/resolv.conf")),
    habit(5, AUTH_SERVER, Writes("/app/logs/audit-{d}.log")),
    habit(8, AUTH_SERVER, Accepts(Role(RoleName::Web), 9000)),
    habit(6, AUTH_SERVER, Accepts(Role(RoleName::Api), 9000)),
    habit(6, AUTH_SERVER, Connects(Role(RoleName::Postgres), 5432)),
    habit(6, AUTH_SERVER, Connects(Role(RoleName::Redis), 6379)),
];

const NODE: Command = process("node", "/usr/local/bin/node", "node /app/mailer.js", "tini");
const MAILER: &[Habit] = &[
    habit(
        3,
        process(
            "node",
            "/usr/local/bin/node",
            "node /app/render.js --template order-{n}",
            "node",
        ),
        Runs,
    ),
    habit(
        2,
        process("node", "/usr/local/bin/node", "node /app/health.js", ENGINE),
        Runs,
    ),
    habit(3, NODE, Reads("/app/templates/order-confirmed.mjml")),
    habit(
        1,
        NODE,
        Reads("/app/node_modules/nodemailer/lib/mailer/index.js"),
    ),
    habit(4, NODE, Writes("/tmp/mail-{h}.eml")),
    habit(4, NODE, Removes("/tmp/mail-{h}.eml")),
    habit(3, NODE, Writes("/var/log/mailer/sent-{d}.log")),
    habit(6, NODE, Accepts(Role(RoleName::Worker), 8025)),
    noticed(OUTBOUND, NODE, Connects(Server([198, 51, 100, 25]), 587)),
    habit(2, NODE, Connects(Resolver, 53)),
];
