//! A real mail server: aiosmtpd, which keeps what it receives.

use std::{net::SocketAddr, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    free_port,
    part::{Part, find, wait_until_free},
};

/// Starts the server as its arguments say: folder, port, protection (`none`, `starttls`, `tls`).
/// Its user is `quaywatch` with the password `hunter2hunter2`. Recipients whose name begins with
/// `nobody` are refused for good.
const PROGRAM: &str = r#"
import json, signal, ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, SMTP

folder, port, protection = sys.argv[1], int(sys.argv[2]), sys.argv[3]

class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        text = envelope.content.decode("utf-8", "replace")
        with open(folder + "/received", "a") as received:
            received.write(json.dumps({
                "from": envelope.mail_from, "to": envelope.rcpt_tos, "text": text,
                "tls": session.ssl is not None or protection == "tls",
                "user": session.auth_data.decode() if session.auth_data else None,
            }) + "\n")
        return "250 kept"

def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"quaywatch" and data.password == b"hunter2hunter2"
    return AuthResult(success=good, handled=False, auth_data=data.login)

context = None
if protection != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/certificate.pem", folder + "/key.pem")

class Server(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="mail.test", authenticator=authenticate,
                    auth_require_tls=protection == "starttls",
                    tls_context=context if protection == "starttls" else None)

server = Server(Keep(), hostname="127.0.0.1", port=port,
                ssl_context=context if protection == "tls" else None)
server.start()
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
ended.wait()
server.stop()
"#;

/// How connections to it are protected.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Not at all.
    None,
    /// By `STARTTLS`, with PEM texts of certificate and key.
    Starttls(String, String),
    /// From the first byte, with PEM texts of certificate and key.
    Tls(String, String),
}

/// A running mail server; killed when dropped.
#[derive(Debug)]
pub struct MailServer {
    part: Option<Part>,
    protection: Protection,
    address: SocketAddr,
    folder: TempDir,
}

impl MailServer {
    /// True when aiosmtpd is installed (Debian package `python3-aiosmtpd`).
    pub fn is_installed() -> bool {
        python().is_some_and(|python| {
            Command::new(python)
                .args(["-c", "import aiosmtpd"])
                .output()
                .is_ok_and(|output| output.status.success())
        })
    }

    /// Starts one on a free loopback port.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start(protection: Protection) -> Self {
        let mut server = Self {
            part: None,
            protection,
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

    /// Kills it; what it has received stays.
    pub fn kill(&mut self) {
        self.part = None;
    }

    /// Starts it again at the same address, after [`Self::kill`].
    #[track_caller]
    pub fn launch(&mut self) {
        let folder = self.folder.path();
        let word = match &self.protection {
            Protection::None => "none",
            Protection::Starttls(certificate, key) => {
                write_identity(folder, certificate, key);
                "starttls"
            }
            Protection::Tls(certificate, key) => {
                write_identity(folder, certificate, key);
                "tls"
            }
        };
        let address = self.address;
        wait_until_free(address);
        self.part = Some(Part::start(
            "aiosmtpd",
            &python().expect("`python3` is installed"),
            [
                "-c",
                PROGRAM,
                &folder.display().to_string(),
                &address.port().to_string(),
                word,
            ],
            &folder.join("log"),
            || std::net::TcpStream::connect(address).is_ok(),
        ));
    }

    /// The mails that it has received, with `from`, `to`, `text`, `tls` and `user`.
    pub fn received(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.folder.path().join("received")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// Debian's own, for which its packages are installed.
fn python() -> Option<std::path::PathBuf> {
    let own = Path::new("/usr/bin/python3");
    if own.is_file() {
        Some(own.to_owned())
    } else {
        find("python3")
    }
}

fn write_identity(folder: &Path, certificate: &str, key: &str) {
    for (name, text) in [("certificate.pem", certificate), ("key.pem", key)] {
        fs_err::write(folder.join(name), text).expect("a file can be written");
    }
}
