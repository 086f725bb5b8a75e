//! Destinations.

use super::{BTreeMap, Deserialize, Facility, PathBuf, SecretFrom, Serialize, TlsConfig};

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// Host and port, such as `logs.example:514`; a path for `unix` and `unixgram`.
    pub address: String,
    /// How messages travel.
    pub transport: SyslogTransport,
    /// Form of a message.
    pub format: SyslogFormat,
    /// What tells where a message ends on a stream.
    pub framing: SyslogFraming,
    /// Facility, such as `daemon` or `local0`.
    pub facility: Facility,
    /// Name of the program: Docker's tag template.
    pub tag: String,
    /// Says number, container and stream in structured data, RFC 5424 only.
    pub structured_data: bool,
    /// Longest text, in bytes, 480 to 1,048,576; what is longer is cut and counted. Without it 60,000
    /// in datagrams and 1,048,576 on streams.
    pub max_bytes: Option<usize>,
    /// When a batch on a stream counts as taken.
    pub confirm: Confirm,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for the destination, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: SyslogTransport::Tcp,
            format: SyslogFormat::Rfc5424micro,
            framing: SyslogFraming::OctetCounting,
            facility: Facility::Daemon,
            tag: String::from("{{.Name}}"),
            structured_data: false,
            max_bytes: None,
            confirm: Confirm::default(),
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// How syslog messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTransport {
    /// One datagram each (RFC 5426).
    Udp,
    /// A stream (RFC 6587).
    Tcp,
    /// A stream over TLS (RFC 5425).
    Tls,
    /// A Unix socket that takes a stream.
    Unix,
    /// A Unix socket that takes datagrams, such as `/dev/log`.
    Unixgram,
}

/// Form of a syslog message, by the names of Docker's driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// RFC 5424 in whole seconds.
    Rfc5424,
    /// RFC 5424 in microseconds.
    Rfc5424micro,
    /// RFC 3164, in UTC.
    Rfc3164,
}

/// What tells where a message ends on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFraming {
    /// A line end; those within a text become `#012`.
    Lf,
    /// The length in front.
    OctetCounting,
}

/// When a batch on a stream whose protocol knows no answers counts as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// When the destination has read all of it: a connection for each batch; we end our side and wait
    /// until the destination ends its own. Nothing is lost, however either side ends.
    #[default]
    Close,
    /// When the kernel has it: one connection that stays open. After it breaks, the batch before is sent
    /// again; what the destination had not yet read of older ones when it died is lost.
    Written,
}

/// How a stream travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamTransport {
    /// TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
    /// A Unix socket.
    Unix,
}

/// JSON lines over a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonConfig {
    /// Host and port; a path for `unix`.
    pub address: String,
    /// How the stream travels.
    pub transport: StreamTransport,
    /// Docker's tag template for `log.tag`; empty leaves it out.
    pub tag: String,
    /// When a batch counts as taken.
    pub confirm: Confirm,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for the destination, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for JsonConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            tag: String::new(),
            confirm: Confirm::default(),
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// Graylog, and others that speak GELF.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GelfConfig {
    /// Host and port, such as `graylog.example:12201`.
    pub address: String,
    /// How messages travel.
    pub transport: GelfTransport,
    /// Compression of datagrams; a stream is never compressed.
    pub compression: GelfCompression,
    /// Largest datagram, in bytes, 512 to 65,000; a longer message goes in up to 128 chunks.
    pub max_datagram_bytes: usize,
    /// Docker's tag template for `_tag`; empty leaves it out.
    pub tag: String,
    /// When a batch on a stream counts as taken.
    pub confirm: Confirm,
    /// Longest wait for the destination, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for GelfConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: GelfTransport::Udp,
            compression: GelfCompression::None,
            max_datagram_bytes: 8_192,
            tag: String::from("{{.ID}}"),
            confirm: Confirm::default(),
            timeout_seconds: 10,
        }
    }
}

/// How GELF messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GelfTransport {
    /// Datagrams.
    Udp,
    /// A stream, a NUL behind each message.
    Tcp,
}

/// Compression of GELF datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GelfCompression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// zlib.
    Zlib,
}

/// Fluentd, Fluent Bit: the forward protocol in its mode PackedForward, with acknowledgements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FluentdConfig {
    /// Host and port, such as `fluentd.example:24224`; a path for `unix`.
    pub address: String,
    /// How the stream travels.
    pub transport: StreamTransport,
    /// Fluentd's tag: Docker's tag template.
    pub tag: String,
    /// Compresses entries with gzip.
    pub compressed: bool,
    /// Asks for an acknowledgement of each message; without it a message counts as taken when the
    /// kernel has it.
    pub acknowledge: bool,
    /// Key that both sides know.
    pub shared_key: Option<SecretFrom>,
    /// User, when the server wants one beside the key.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<SecretFrom>,
    /// Name under which we greet.
    pub hostname: String,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for FluentdConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            tag: String::from("docker.{{.Name}}"),
            compressed: false,
            acknowledge: true,
            shared_key: None,
            username: None,
            password: None,
            hostname: String::from("quaywatch"),
            tls: TlsConfig::default(),
            timeout_seconds: 30,
        }
    }
}

/// What all destinations that speak HTTP have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Headers. They are shown as they stand here.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets, such as `Authorization`.
    pub secret_headers: BTreeMap<String, SecretFrom>,
    /// Compression of requests.
    pub compression: Compression,
    /// Trust and identity for `https`.
    pub tls: TlsConfig,
    /// Longest wait for an answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
            compression: Compression::Gzip,
            tls: TlsConfig::default(),
            timeout_seconds: 30,
        }
    }
}

/// Compression of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
}

/// Splunk's HTTP Event Collector.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplunkConfig {
    /// Address, such as `https://splunk.example:8088`; `/services/collector/event` is added when it has
    /// no path.
    pub url: String,
    /// Token.
    pub token: Option<SecretFrom>,
    /// Index; the token's own when empty.
    pub index: String,
    /// Source; the name of the container when empty.
    pub source: String,
    /// Source type; the token's own when empty.
    pub sourcetype: String,
    /// Headers, compression, trust, waiting.
    pub http: HttpConfig,
}

/// Grafana Loki.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LokiConfig {
    /// Address, such as `http://loki.example:3100`; `/loki/api/v1/push` is added when it has no path.
    pub url: String,
    /// Labels of every stream.
    pub labels: BTreeMap<String, String>,
    /// Tenant, for `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Headers, trust, waiting; bodies are compressed with snappy, as Loki wants them.
    pub http: HttpConfig,
}

/// Elasticsearch and OpenSearch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// Address, such as `https://es.example:9200`; `/_bulk` is added to its path.
    pub url: String,
    /// Data stream or index.
    pub index: String,
    /// Headers (`Authorization: ApiKey …` among the secret ones), compression, trust, waiting.
    pub http: HttpConfig,
}

impl Default for ElasticsearchConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            index: String::from("logs-quaywatch-default"),
            http: HttpConfig::default(),
        }
    }
}

/// OpenTelemetry's protocol over HTTP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Address, such as `http://collector.example:4318`; `/v1/logs` is added when it has no path.
    pub url: String,
    /// Headers, compression, trust, waiting.
    pub http: HttpConfig,
}

/// A file that is rotated as Docker rotates its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Path; its folder must be there. Older files are `PATH.1`, `PATH.2` and so on.
    pub path: PathBuf,
    /// Bytes after which a new file is begun, checked before each batch; 0 never begins one. May be
    /// written as Docker's `max-size` is: `10m`.
    #[serde(alias = "max-size", deserialize_with = "size")]
    pub max_size: u64,
    /// Most files, the current one included; 1 to 1,000. With 1 the file is emptied when it is full.
    #[serde(alias = "max-file")]
    pub max_file: u32,
    /// Compresses older files with gzip.
    pub compress: bool,
    /// What a line is.
    pub format: FileFormat,
    /// Docker's tag template; empty leaves the tag out.
    pub tag: String,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_size: 100 << 20,
            max_file: 5,
            compress: false,
            format: FileFormat::Json,
            tag: String::new(),
        }
    }
}

/// Reads bytes as a number, or as Docker writes them: `100k`, `10m`, `1g`, in powers of 1,024, and `-1` for
/// no bound.
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(i64),
        Text(String),
    }
    let wrong = || serde::de::Error::custom("is a number of bytes, or a text such as `10m`");
    match Written::deserialize(deserializer)? {
        Written::Bytes(-1) => Ok(0),
        Written::Bytes(bytes) => u64::try_from(bytes).map_err(|_| wrong()),
        Written::Text(text) if text == "-1" => Ok(0),
        Written::Text(text) => {
            let text = text.trim().to_ascii_lowercase();
            let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
            let unit = text.strip_prefix(digits).unwrap_or_default().trim();
            let shift = match unit {
                "" | "b" => 0,
                "k" | "kb" => 10,
                "m" | "mb" => 20,
                "g" | "gb" => 30,
                "t" | "tb" => 40,
                _ => return Err(wrong()),
            };
            let number: u64 = digits.parse().map_err(|_| wrong())?;
            number.checked_mul(1 << shift).ok_or_else(wrong)
        }
    }
}

/// What a line of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// A JSON object.
    Json,
    /// Time, container, stream and text.
    Text,
}

/// Any HTTP server that takes records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Address. It is shown as it stands here: use `url_from` when it holds a secret.
    pub url: Option<String>,
    /// Address that is a secret.
    pub url_from: Option<SecretFrom>,
    /// `POST`, `PUT` or `PATCH`.
    pub method: String,
    /// What a request holds.
    pub framing: HttpFraming,
    /// Template of each record; without it the JSON object that files hold.
    pub body: Option<String>,
    /// Type of the body; JSON is escaped by the template as JSON.
    pub content_type: Option<String>,
    /// Docker's tag template for `log.tag`; empty leaves it out.
    pub tag: String,
    /// Headers, compression, trust, waiting.
    pub http: HttpConfig,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_from: None,
            method: String::from("POST"),
            framing: HttpFraming::Array,
            body: None,
            content_type: None,
            tag: String::new(),
            http: HttpConfig {
                compression: Compression::None,
                ..HttpConfig::default()
            },
        }
    }
}

/// What a request of [`WebhookConfig`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpFraming {
    /// All records of the batch, as a JSON array.
    Array,
    /// All records of the batch, a line end behind each.
    Lines,
    /// One record.
    Single,
}

/// NATS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// Host and port, such as `nats.example:4222`.
    pub address: String,
    /// How the stream travels.
    pub transport: StreamTransport,
    /// Subject: Docker's tag template.
    pub subject: String,
    /// Waits until JetStream has stored each message; without it until the server has taken it.
    pub jetstream: bool,
    /// What a message is.
    pub format: FileFormat,
    /// User.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<SecretFrom>,
    /// Token, in place of user and password.
    pub token: Option<SecretFrom>,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            subject: String::from("logs.{{.Name}}"),
            jetstream: true,
            format: FileFormat::Json,
            username: None,
            password: None,
            token: None,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// A stream of Redis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// Host and port, such as `redis.example:6379`; a path for `unix`.
    pub address: String,
    /// How the connection travels.
    pub transport: StreamTransport,
    /// Key of the stream: Docker's tag template.
    pub stream: String,
    /// Field of the entry that holds the record.
    pub field: String,
    /// Length to which the stream is kept, roughly (`MAXLEN ~`); without it, it grows for ever.
    pub max_length: Option<u64>,
    /// Number of the database.
    pub database: u16,
    /// What the field holds.
    pub format: FileFormat,
    /// User, of Redis 6 and newer.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretFrom>,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            stream: String::from("logs"),
            field: String::from("record"),
            max_length: Some(1_000_000),
            database: 0,
            format: FileFormat::Json,
            username: None,
            password: None,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// MQTT, with quality of service 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// Host and port, such as `mqtt.example:1883`.
    pub address: String,
    /// How the stream travels.
    pub transport: StreamTransport,
    /// Version of the protocol: 5, or 3 for 3.1.1, which cannot say that a message was refused.
    pub version: u8,
    /// Topic: Docker's tag template.
    pub topic: String,
    /// Name at the server; a random one when empty.
    pub client_id: String,
    /// Has the server keep the newest message of each topic.
    pub retain: bool,
    /// What a message is.
    pub format: FileFormat,
    /// User.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretFrom>,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            version: 5,
            topic: String::from("logs/{{.Name}}"),
            client_id: String::new(),
            retain: false,
            format: FileFormat::Json,
            username: None,
            password: None,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// Who we are to Amazon's services, and to those that speak as they do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsConfig {
    /// Region, such as `eu-central-1`.
    pub region: String,
    /// The public part of the credentials.
    pub access_key_id: String,
    /// The secret part.
    pub secret_access_key: Option<SecretFrom>,
    /// The token of temporary credentials.
    pub session_token: Option<SecretFrom>,
}

/// Objects in S3, and in what speaks as it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Address, such as `https://s3.eu-central-1.amazonaws.com`.
    pub url: String,
    /// Bucket; empty when the host of the address names it.
    pub bucket: String,
    /// Beginning of the names of objects: Docker's tag template, with `%Y`, `%m`, `%d`, `%H` for the
    /// time (UTC) of the records.
    pub object: String,
    /// Compression of objects.
    pub compression: ObjectCompression,
    /// What a line is.
    pub format: FileFormat,
    /// Region and credentials.
    pub aws: AwsConfig,
    /// Headers, trust, waiting.
    pub http: HttpConfig,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            bucket: String::new(),
            object: String::from("logs/{{.Name}}/%Y/%m/%d/"),
            compression: ObjectCompression::Gzip,
            format: FileFormat::Json,
            aws: AwsConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

/// Compression of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectCompression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// CloudWatch Logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudwatchConfig {
    /// Address; that of Amazon for the region when empty.
    pub url: String,
    /// Log group.
    pub log_group: String,
    /// Log stream: Docker's tag template.
    pub log_stream: String,
    /// Makes streams that are not there.
    pub create_stream: bool,
    /// Makes the group when it is not there.
    pub create_group: bool,
    /// Region and credentials.
    pub aws: AwsConfig,
    /// Headers, trust, waiting.
    pub http: HttpConfig,
}

impl Default for CloudwatchConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            log_group: String::new(),
            log_stream: String::from("{{.Name}}"),
            create_stream: true,
            create_group: false,
            aws: AwsConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

/// Kafka, acknowledged by all replicas that are in step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Some of the brokers, such as `kafka-0.example:9092`; they tell of the others.
    pub brokers: Vec<String>,
    /// Topic, which has to be there: Docker's tag template.
    pub topic: String,
    /// Compression of batches.
    pub compression: KafkaCompression,
    /// What a message is.
    pub format: FileFormat,
    /// How the user is proved (SASL).
    pub mechanism: KafkaMechanism,
    /// User.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<SecretFrom>,
    /// Speaks TLS.
    pub encrypted: bool,
    /// Trust and identity when `encrypted`.
    pub tls: TlsConfig,
    /// How long the client repeats by itself, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topic: String::from("logs"),
            compression: KafkaCompression::Gzip,
            format: FileFormat::Json,
            mechanism: KafkaMechanism::ScramSha512,
            username: None,
            password: None,
            encrypted: false,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

/// Compression of batches for Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaCompression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
}

/// How a user is proved to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KafkaMechanism {
    /// By the password itself (RFC 4616).
    #[serde(rename = "plain")]
    Plain,
    /// Without showing the password (RFC 7677).
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

/// AMQP 0-9-1, with publisher confirms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AmqpConfig {
    /// Host and port, such as `rabbitmq.example:5672`.
    pub address: String,
    /// How the stream travels.
    pub transport: StreamTransport,
    /// Virtual host.
    pub virtual_host: String,
    /// Exchange; the default one when empty, where a routing key is the name of a queue.
    pub exchange: String,
    /// Routing key: Docker's tag template. A queue has to be bound to it.
    pub routing_key: String,
    /// What a message is.
    pub format: FileFormat,
    /// User.
    pub username: String,
    /// Password of that user.
    pub password: Option<SecretFrom>,
    /// Trust and identity for the transport `tls`.
    pub tls: TlsConfig,
    /// Longest wait for each answer, in seconds; 1 to 120.
    pub timeout_seconds: u32,
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            transport: StreamTransport::Tcp,
            virtual_host: String::from("/"),
            exchange: String::new(),
            routing_key: String::from("logs"),
            format: FileFormat::Json,
            username: String::from("guest"),
            password: None,
            tls: TlsConfig::default(),
            timeout_seconds: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_docker_does() {
        for (text, expected) in [
            (r#"{"max_size":5}"#, Some((5, 5))),
            (r#"{"max-size":"10m","max-file":3}"#, Some((10 << 20, 3))),
            (r#"{"max_size":"64 KB"}"#, Some((64 << 10, 5))),
            (r#"{"max_size":"1g"}"#, Some((1 << 30, 5))),
            (r#"{"max_size":"-1"}"#, Some((0, 5))),
            (r#"{"max_size":-1}"#, Some((0, 5))),
            (r#"{"max_size":-2}"#, None),
            (r#"{"max_size":"10x"}"#, None),
            (r#"{"max_size":"m"}"#, None),
            (r#"{"max_size":"99999999999t"}"#, None),
        ] {
            let config: Option<FileConfig> = serde_json::from_str(text).ok();
            let found = config.map(|config| (config.max_size, config.max_file));
            assert_eq!(found, expected, "{text}");
        }
    }
}
