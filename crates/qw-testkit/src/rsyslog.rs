//! A real rsyslog that writes what it receives into a file.

use std::{net::SocketAddr, path::Path};

use tempfile::TempDir;

use crate::{
    free_port,
    part::{Part, find, wait_until_free},
};

/// How it receives.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams over TLS, with PEM texts of authority, certificate and key.
    Tls {
        /// Authority.
        authority: String,
        /// Certificate chain.
        certificate: String,
        /// Private key.
        key: String,
    },
}

/// A running rsyslog; killed when dropped.
#[derive(Debug)]
pub struct Rsyslog {
    part: Option<Part>,
    transport: Transport,
    address: SocketAddr,
    folder: TempDir,
}

impl Rsyslog {
    /// True when the program is installed (Debian package `rsyslog`), and its driver for TLS
    /// (`rsyslog-gnutls`) when that is wanted.
    pub fn is_installed(with_tls: bool) -> bool {
        let driver = |folder: &str| Path::new(folder).join("rsyslog/lmnsd_gtls.so").is_file();
        let folders = [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
        ];
        find("rsyslogd").is_some() && (!with_tls || folders.iter().any(|folder| driver(folder)))
    }

    /// Starts one on a free loopback port.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start(transport: Transport) -> Self {
        let mut server = Self {
            part: None,
            transport,
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        };
        server.launch();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it in order: it stops to read at once, and writes what it has read.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut part) = self.part.take() {
            part.terminate();
        }
    }

    /// Starts it again at the same address, after [`Self::stop`].
    #[track_caller]
    pub fn launch(&mut self) {
        let folder = self.folder.path();
        let file = |name: &str| folder.join(name);
        let write = |name: &str, text: &str| {
            fs_err::write(file(name), text).expect("a file can be written");
        };
        let (global, module) = match &self.transport {
            Transport::Udp => (String::new(), "imudp\""),
            Transport::Tcp => (String::new(), "imtcp\""),
            Transport::Tls {
                authority,
                certificate,
                key,
            } => {
                write("ca.pem", authority);
                write("certificate.pem", certificate);
                write("key.pem", key);
                let global = format!(
                    "defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{}\" \
                     defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\"",
                    file("ca.pem").display(),
                    file("certificate.pem").display(),
                    file("key.pem").display(),
                );
                let module = "imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" \
                              streamDriver.authMode=\"anon\"";
                (global, module)
            }
        };
        let kind = module.get(..5).unwrap_or_default();
        let (port, received) = (self.address.port(), file("received"));
        let ready = file("ready");
        write(
            "rsyslog.conf",
            &format!(
                "global(workDirectory=\"{folder}\" maxMessageSize=\"64k\" {global})\n\
                 module(load=\"{module})\n\
                 input(type=\"{kind}\" address=\"127.0.0.1\" port=\"{port}\")\n\
                 template(name=\"all\" type=\"string\" string=\"%pri% %timereported:::date-rfc3339% \
                 %hostname% %app-name% %msgid% %structured-data% %msg%\\n\")\n\
                 if $syslogtag startswith \"rsyslogd\" then {{\n\
                 \x20 action(type=\"omfile\" file=\"{ready}\") stop\n}}\n\
                 action(type=\"omfile\" file=\"{received}\" template=\"all\")\n\
                 module(load=\"imuxsock\" sysSock.use=\"off\")\n",
                folder = folder.display(),
                received = received.display(),
                ready = ready.display(),
            ),
        );
        drop(std::fs::remove_file(&ready));
        let is_udp = matches!(self.transport, Transport::Udp);
        let address = self.address;
        wait_until_free(address);
        self.part = Some(Part::start(
            "rsyslogd",
            &find("rsyslogd").expect("`rsyslogd` is installed"),
            [
                "-n",
                "-f",
                &file("rsyslog.conf").display().to_string(),
                "-i",
                &file("pid").display().to_string(),
            ],
            &file("log"),
            // It says that it has started in its own log, once its listeners stand.
            || {
                if is_udp {
                    std::net::UdpSocket::bind(address).is_err()
                } else {
                    std::net::TcpStream::connect(address).is_ok()
                }
            },
        ));
    }

    /// The lines that it has received: `priority time host program message-id data text`.
    pub fn received(&self) -> Vec<String> {
        let text = fs_err::read_to_string(self.folder.path().join("received")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
