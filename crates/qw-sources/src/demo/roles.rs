//! What the containers of the demo are: twelve images, and what runs, is opened and is connected to
//! in each.
//!
//! In texts, `{n}` stands for a number and `{h}` for eight hexadecimal digits, which differ from
//! event to event.

/// Index into [`ROLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoleName {
    Web,
    Api,
    Worker,
    Postgres,
    Redis,
    Kafka,
    Prometheus,
    Jenkins,
    Backup,
    Shipper,
    Auth,
    Mailer,
}

/// An image and the habits of its containers.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) repository: &'static str,
    pub(super) tag: &'static str,
    /// Share of the events, relative to the others.
    pub(super) weight: f64,
    pub(super) user: &'static str,
    pub(super) uid: u32,
    /// What the container was started with.
    pub(super) main: Command,
    /// What it starts.
    pub(super) commands: &'static [Command],
    /// What it opens.
    pub(super) files: &'static [File],
    /// Whom it talks to.
    pub(super) connections: &'static [Connection],
}

/// A process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) line: &'static str,
    pub(super) parent: &'static str,
}

/// A file that is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) path: &'static str,
    /// The system call.
    pub(super) call: &'static str,
}

/// A connection from or to the container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) port: u16,
    /// The system call; `accept4` when the peer is the client.
    pub(super) call: &'static str,
}

/// The other end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peer {
    /// A container of this role.
    Role(RoleName),
    /// Somebody on the internet, in a range that is set aside for documentation.
    Internet,
    /// The name server.
    Resolver,
}

const fn command(
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

const fn read(path: &'static str) -> File {
    File {
        path,
        call: "openat",
    }
}

const fn to(peer: Peer, port: u16) -> Connection {
    Connection {
        peer,
        port,
        call: "connect",
    }
}

const fn from(peer: Peer, port: u16) -> Connection {
    Connection {
        peer,
        port,
        call: "accept4",
    }
}

/// Indexed by [`RoleName`].
pub(super) const ROLES: [Role; 12] = [
    Role {
        repository: "docker.io/library/nginx",
        tag: "1.29.3",
        weight: 5.0,
        user: "nginx",
        uid: 101,
        main: command("nginx", "/usr/sbin/nginx", "nginx: worker process", "nginx"),
        commands: &[
            command("nginx", "/usr/sbin/nginx", "nginx -s reload", "sh"),
            command(
                "curl",
                "/usr/bin/curl",
                "curl -fsS http://127.0.0.1/healthz",
                "sh",
            ),
        ],
        files: &[
            read("/var/log/nginx/access.log"),
            read("/usr/share/nginx/html/assets/app-{h}.js"),
            read("/usr/share/nginx/html/index.html"),
            read("/var/cache/nginx/proxy/{n}/{h}"),
            read("/etc/nginx/conf.d/shop.conf"),
            read("/etc/ssl/certs/shop.example.com.pem"),
        ],
        connections: &[
            from(Peer::Internet, 443),
            from(Peer::Internet, 443),
            from(Peer::Internet, 80),
            to(Peer::Role(RoleName::Api), 8080),
            to(Peer::Role(RoleName::Auth), 9000),
        ],
    },
    Role {
        repository: "registry.example.com/shop/api",
        tag: "2.14.1",
        weight: 4.0,
        user: "app",
        uid: 1000,
        main: command(
            "java",
            "/opt/java/bin/java",
            "java -Xmx512m -jar /app/api.jar",
            "tini",
        ),
        commands: &[
            command(
                "wget",
                "/usr/bin/wget",
                "wget -qO- http://127.0.0.1:8080/health",
                "sh",
            ),
            command(
                "sh",
                "/bin/sh",
                "sh -c /app/warm-cache.sh --shard {n}",
                "java",
            ),
        ],
        files: &[
            read("/app/config/application.yaml"),
            read("/app/lib/catalogue-{n}.jar"),
            read("/tmp/upload-{h}.part"),
            read("/proc/self/status"),
            read("/run/secrets/database-url"),
            read("/etc/resolv.conf"),
        ],
        connections: &[
            to(Peer::Role(RoleName::Postgres), 5432),
            to(Peer::Role(RoleName::Redis), 6379),
            to(Peer::Role(RoleName::Kafka), 9092),
            to(Peer::Role(RoleName::Auth), 9000),
            from(Peer::Role(RoleName::Web), 8080),
            to(Peer::Resolver, 53),
        ],
    },
    Role {
        repository: "registry.example.com/shop/worker",
        tag: "2.14.1",
        weight: 3.0,
        user: "app",
        uid: 1000,
        main: command(
            "python3",
            "/usr/bin/python3",
            "python3 -m shop.worker --queue orders",
            "tini",
        ),
        commands: &[
            command(
                "wkhtmltopdf",
                "/usr/bin/wkhtmltopdf",
                "wkhtmltopdf --quiet /tmp/invoice-{n}.html /tmp/invoice-{n}.pdf",
                "python3",
            ),
            command(
                "convert",
                "/usr/bin/convert",
                "convert -resize 640x /tmp/in-{h}.png /tmp/out-{h}.webp",
                "python3",
            ),
            command(
                "python3",
                "/usr/bin/python3",
                "python3 -m shop.health",
                "sh",
            ),
        ],
        files: &[
            read("/tmp/invoice-{n}.pdf"),
            read("/tmp/in-{h}.png"),
            read("/app/shop/templates/invoice.html"),
            read("/usr/lib/python3/dist-packages/shop/orders.py"),
            read("/proc/self/statm"),
        ],
        connections: &[
            to(Peer::Role(RoleName::Kafka), 9092),
            to(Peer::Role(RoleName::Postgres), 5432),
            to(Peer::Role(RoleName::Redis), 6379),
            to(Peer::Role(RoleName::Mailer), 8025),
        ],
    },
    Role {
        repository: "docker.io/library/postgres",
        tag: "17.6",
        weight: 4.0,
        user: "postgres",
        uid: 999,
        main: command(
            "postgres",
            "/usr/lib/postgresql/17/bin/postgres",
            "postgres: shop shop 10.20.1.11({n}) SELECT",
            "postgres",
        ),
        commands: &[
            command(
                "pg_isready",
                "/usr/lib/postgresql/17/bin/pg_isready",
                "pg_isready -U shop -d shop",
                "sh",
            ),
            command(
                "postgres",
                "/usr/lib/postgresql/17/bin/postgres",
                "postgres: autovacuum worker shop",
                "postgres",
            ),
        ],
        files: &[
            read("/var/lib/postgresql/data/base/16384/{n}"),
            read("/var/lib/postgresql/data/pg_wal/00000001000000{h}"),
            read("/var/lib/postgresql/data/pg_stat_tmp/global.stat"),
            read("/var/lib/postgresql/data/base/pgsql_tmp/pgsql_tmp{n}.0"),
        ],
        connections: &[
            from(Peer::Role(RoleName::Api), 5432),
            from(Peer::Role(RoleName::Worker), 5432),
            from(Peer::Role(RoleName::Auth), 5432),
            to(Peer::Role(RoleName::Postgres), 5432),
        ],
    },
    Role {
        repository: "docker.io/library/redis",
        tag: "8.2.2",
        weight: 2.0,
        user: "redis",
        uid: 999,
        main: command(
            "redis-server",
            "/usr/local/bin/redis-server",
            "redis-server *:6379",
            "tini",
        ),
        commands: &[
            command(
                "redis-cli",
                "/usr/local/bin/redis-cli",
                "redis-cli ping",
                "sh",
            ),
            command(
                "redis-server",
                "/usr/local/bin/redis-server",
                "redis-rdb-bgsave *:6379",
                "redis-server",
            ),
        ],
        files: &[
            read("/data/temp-{n}.rdb"),
            read("/data/appendonlydir/appendonly.aof.{n}.incr.aof"),
            read("/proc/self/stat"),
        ],
        connections: &[
            from(Peer::Role(RoleName::Api), 6379),
            from(Peer::Role(RoleName::Worker), 6379),
            from(Peer::Role(RoleName::Auth), 6379),
        ],
    },
    Role {
        repository: "docker.io/apache/kafka",
        tag: "4.1.0",
        weight: 3.0,
        user: "appuser",
        uid: 1000,
        main: command(
            "java",
            "/opt/java/openjdk/bin/java",
            "java -Xmx1G -server kafka.Kafka /opt/kafka/config/server.properties",
            "run",
        ),
        commands: &[command(
            "kafka-topics.sh",
            "/opt/kafka/bin/kafka-topics.sh",
            "kafka-topics.sh --bootstrap-server localhost:9092 --list",
            "bash",
        )],
        files: &[
            read("/var/lib/kafka/data/orders-{n}/00000000000000{h}.log"),
            read("/var/lib/kafka/data/orders-{n}/00000000000000{h}.index"),
            read("/var/lib/kafka/data/replication-offset-checkpoint.tmp"),
        ],
        connections: &[
            from(Peer::Role(RoleName::Api), 9092),
            from(Peer::Role(RoleName::Worker), 9092),
            to(Peer::Role(RoleName::Kafka), 9093),
        ],
    },
    Role {
        repository: "docker.io/prom/prometheus",
        tag: "v3.7.1",
        weight: 2.0,
        user: "nobody",
        uid: 65534,
        main: command(
            "prometheus",
            "/bin/prometheus",
            "prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus",
            "containerd-shim",
        ),
        commands: &[command(
            "promtool",
            "/bin/promtool",
            "promtool check config /etc/prometheus/prometheus.yml",
            "sh",
        )],
        files: &[
            read("/prometheus/wal/000{n}"),
            read("/prometheus/chunks_head/000{n}"),
            read("/etc/prometheus/rules/shop.yml"),
        ],
        connections: &[
            to(Peer::Role(RoleName::Api), 8080),
            to(Peer::Role(RoleName::Kafka), 7071),
            to(Peer::Role(RoleName::Postgres), 9187),
            to(Peer::Role(RoleName::Shipper), 2020),
        ],
    },
    Role {
        repository: "docker.io/jenkins/jenkins",
        tag: "2.528-lts",
        weight: 2.5,
        user: "jenkins",
        uid: 1000,
        main: command(
            "java",
            "/opt/java/openjdk/bin/java",
            "java -Duser.home=/var/jenkins_home -jar /usr/share/jenkins/jenkins.war",
            "tini",
        ),
        commands: &[
            command(
                "git",
                "/usr/bin/git",
                "git fetch --tags --force origin",
                "java",
            ),
            command("mvn", "/usr/share/maven/bin/mvn", "mvn -B -q verify", "sh"),
            command("sh", "/bin/sh", "sh -xe /tmp/jenkins{n}.sh", "java"),
            command(
                "node",
                "/usr/bin/node",
                "node node_modules/.bin/vite build",
                "npm",
            ),
        ],
        files: &[
            read("/var/jenkins_home/jobs/shop/builds/{n}/log"),
            read("/var/jenkins_home/workspace/shop/pom.xml"),
            read("/var/jenkins_home/workspace/shop/.git/objects/{h}"),
            read("/tmp/jenkins{n}.sh"),
        ],
        connections: &[
            to(Peer::Internet, 443),
            to(Peer::Resolver, 53),
            from(Peer::Internet, 8080),
        ],
    },
    Role {
        repository: "registry.example.com/ops/backup",
        tag: "1.8.0",
        weight: 0.5,
        user: "root",
        uid: 0,
        main: command("crond", "/usr/sbin/crond", "crond -f -l 8", "tini"),
        commands: &[
            command(
                "pg_dump",
                "/usr/bin/pg_dump",
                "pg_dump -h postgres -U backup -Fc -f /backup/shop-{n}.dump shop",
                "sh",
            ),
            command(
                "restic",
                "/usr/bin/restic",
                "restic backup /backup --tag nightly --quiet",
                "sh",
            ),
            command("gzip", "/bin/gzip", "gzip -9 /backup/shop-{n}.dump", "sh"),
        ],
        files: &[
            read("/backup/shop-{n}.dump"),
            read("/backup/.restic/data/{h}"),
            read("/root/.pgpass"),
        ],
        connections: &[
            to(Peer::Role(RoleName::Postgres), 5432),
            to(Peer::Internet, 443),
        ],
    },
    Role {
        repository: "docker.io/fluent/fluent-bit",
        tag: "4.1.1",
        weight: 1.5,
        user: "root",
        uid: 0,
        main: command(
            "fluent-bit",
            "/fluent-bit/bin/fluent-bit",
            "fluent-bit -c /fluent-bit/etc/fluent-bit.conf",
            "containerd-shim",
        ),
        commands: &[],
        files: &[
            read("/var/log/containers/{h}.log"),
            read("/var/lib/docker/containers/{h}/{h}-json.log"),
            read("/var/fluent-bit/state/tail.db"),
        ],
        connections: &[
            to(Peer::Role(RoleName::Kafka), 9092),
            from(Peer::Role(RoleName::Prometheus), 2020),
        ],
    },
    Role {
        repository: "registry.example.com/shop/auth",
        tag: "3.2.0",
        weight: 1.5,
        user: "app",
        uid: 1000,
        main: command("auth", "/app/auth", "auth serve --listen :9000", "tini"),
        commands: &[command("auth", "/app/auth", "auth health --quiet", "sh")],
        files: &[
            read("/app/keys/signing-{n}.pem"),
            read("/run/secrets/session-key"),
            read("/etc/resolv.conf"),
        ],
        connections: &[
            from(Peer::Role(RoleName::Web), 9000),
            from(Peer::Role(RoleName::Api), 9000),
            to(Peer::Role(RoleName::Postgres), 5432),
            to(Peer::Role(RoleName::Redis), 6379),
        ],
    },
    Role {
        repository: "registry.example.com/shop/mailer",
        tag: "1.6.3",
        weight: 0.8,
        user: "app",
        uid: 1000,
        main: command("node", "/usr/local/bin/node", "node /app/mailer.js", "tini"),
        commands: &[command(
            "node",
            "/usr/local/bin/node",
            "node /app/render.js --template order-{n}",
            "node",
        )],
        files: &[
            read("/app/templates/order-confirmed.mjml"),
            read("/tmp/mail-{h}.eml"),
            read("/app/node_modules/nodemailer/lib/mailer/index.js"),
        ],
        connections: &[
            to(Peer::Internet, 587),
            to(Peer::Resolver, 53),
            from(Peer::Role(RoleName::Worker), 8025),
        ],
    },
];
