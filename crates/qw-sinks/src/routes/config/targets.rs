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
    /// Bytes after which a new file is begun, checked before each batch; 0 never begins one.
    pub max_size: u64,
    /// Most files, the current one included; 1 to 1,000. With 1 the file is emptied when it is full.
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

/// What a line of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// A JSON object.
    Json,
    /// Time, container, stream and text.
    Text,
}
