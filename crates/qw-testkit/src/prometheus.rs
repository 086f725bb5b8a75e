//! A real Prometheus that scrapes what a test serves.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::{free_port, http, wait_for};

/// Longest wait for the server to be ready.
const START: Duration = Duration::from_secs(60);

/// A running Prometheus with storage of its own; stopped when dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// True when the program `prometheus` is on the path (Debian package `prometheus`).
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// Starts one with the configuration file `configuration` (YAML, whole) on a free loopback port,
    /// and waits until it is ready.
    ///
    /// # Panics
    /// When it is not installed, exits at once, or is not ready within a minute; the message holds
    /// what it logged.
    #[track_caller]
    pub fn start(configuration: &str) -> Self {
        let program = program().expect("`prometheus` is on the path");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("prometheus.yml");
        fs_err::write(&file, configuration).expect("the configuration can be written");
        let log = folder.path().join("prometheus.log");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let output = fs_err::File::create(&log)
            .expect("the log can be written")
            .into_parts()
            .0;
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("`prometheus` can be started");
        let mut server = Self {
            child,
            address,
            _folder: folder,
        };
        wait_for("Prometheus is ready", START, || {
            if let Ok(Some(status)) = server.child.try_wait() {
                let log = fs_err::read_to_string(&log).unwrap_or_default();
                panic!("Prometheus ended with {status}:\n{log}");
            }
            let ready = http::request(address, "GET", "/-/ready", &[], b"").ok()?;
            (ready.status == 200).then_some(())
        });
        server
    }

    /// Starts one that scrapes `target`'s pages `/metrics` (job `quaywatch`) and `/metrics/falco`
    /// (job `quaywatch-falco`) every second.
    #[track_caller]
    pub fn scraping(target: SocketAddr) -> Self {
        Self::start(&format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs:\n\
             \x20 - job_name: quaywatch\n\
             \x20   static_configs: [{{targets: ['{target}']}}]\n\
             \x20 - job_name: quaywatch-falco\n\
             \x20   metrics_path: /metrics/falco\n\
             \x20   static_configs: [{{targets: ['{target}']}}]\n"
        ))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The result of an instant query: the array `data.result` of the HTTP API.
    ///
    /// # Panics
    /// When Prometheus refuses the expression or does not answer.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Value {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        self.get(&path)["data"]["result"].take()
    }

    /// The number of an instant query that yields one sample; `None` when it yields none or several.
    #[track_caller]
    pub fn value(&self, expression: &str) -> Option<f64> {
        match self.query(expression).as_array()?.as_slice() {
            [sample] => sample["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }

    /// Queries until `accept` takes the result, and returns that.
    ///
    /// # Panics
    /// When `limit` passes first.
    #[track_caller]
    pub fn wait_for_query(
        &self,
        expression: &str,
        limit: Duration,
        accept: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_for(expression, limit, || {
            Some(self.query(expression)).filter(&accept)
        })
    }

    /// What it says of the scrapes: the array `data.activeTargets` of the HTTP API, with `health`
    /// and `lastError` of each.
    #[track_caller]
    pub fn targets(&self) -> Value {
        self.get("/api/v1/targets?state=active")["data"]["activeTargets"].take()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = http::request(self.address, "GET", path, &[], b"")
            .unwrap_or_else(|error| panic!("Prometheus does not answer `{path}`: {error:#}"));
        assert_eq!(answer.status, 200, "`{path}`: {}", answer.text());
        answer.json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Its storage is thrown away, so there is nothing to end in order.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("prometheus"))
        .find(|file| file.is_file())
}

fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;
    use crate::skip_without;

    #[test]
    fn what_is_served_can_be_queried() {
        if !Prometheus::is_installed() && skip_without("prometheus") {
            return;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let target = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut connection, _)) = listener.accept() {
                let mut request = [0; 2048];
                let length = connection.read(&mut request).unwrap_or(0);
                let falco = request
                    .get(..length)
                    .unwrap_or_default()
                    .starts_with(b"GET /metrics/falco");
                let value = if falco { 7 } else { 5 };
                let body = format!("# TYPE things gauge\nthings{{a=\"x y\"}} {value}\n");
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                if connection.write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
        });
        let prometheus = Prometheus::scraping(target);
        let limit = Duration::from_secs(30);
        prometheus.wait_for_query("sum(things{a=\"x y\"}) == 12", limit, |result| {
            result.as_array().is_some_and(|samples| samples.len() == 1)
        });
        assert_eq!(
            prometheus.value("things{job=\"quaywatch-falco\"} + 1"),
            Some(8.0)
        );
        assert_eq!(prometheus.value("nothing"), None);
        for target in prometheus.targets().as_array().unwrap() {
            assert_eq!(target["health"], "up", "{target}");
        }
    }
}
