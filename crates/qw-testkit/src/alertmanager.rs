//! A real Alertmanager.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    free_port, http,
    part::{Part, find, wait_until_free},
};

/// A running Alertmanager; killed when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    part: Option<Part>,
    address: SocketAddr,
    folder: TempDir,
}

impl Alertmanager {
    /// True when the program is installed (Debian package `prometheus-alertmanager`).
    pub fn is_installed() -> bool {
        program().is_some()
    }

    /// Starts one on a free loopback port.
    ///
    /// # Panics
    /// When it is not installed or not ready within a minute.
    #[track_caller]
    pub fn start() -> Self {
        let mut server = Self {
            part: None,
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

    /// Kills it, so that it forgets what it knew.
    pub fn kill(&mut self) {
        self.part = None;
    }

    /// Starts it again at the same address, after [`Self::kill`].
    #[track_caller]
    pub fn launch(&mut self) {
        let configuration = self.folder.path().join("alertmanager.yml");
        fs_err::write(
            &configuration,
            "route: {receiver: nobody, group_wait: 0s}\nreceivers: [{name: nobody}]\n",
        )
        .expect("the configuration can be written");
        let data = tempfile::tempdir_in(self.folder.path()).expect("a folder can be made");
        let address = self.address;
        wait_until_free(address);
        let arguments = [
            format!("--config.file={}", configuration.display()),
            format!("--storage.path={}", data.keep().display()),
            format!("--web.listen-address={address}"),
            String::from("--cluster.listen-address="),
        ];
        self.part = Some(Part::start(
            "prometheus-alertmanager",
            &program().expect("`prometheus-alertmanager` is installed"),
            arguments,
            &self.folder.path().join("log"),
            || {
                http::request(address, "GET", "/-/ready", &[], b"")
                    .is_ok_and(|answer| answer.status == 200)
            },
        ));
    }

    /// The alerts that it holds to be open.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn alerts(&self) -> Vec<Value> {
        let answer = http::request(self.address, "GET", "/api/v2/alerts", &[], b"")
            .unwrap_or_else(|error| panic!("Alertmanager does not answer: {error:#}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().cloned().unwrap_or_default()
    }
}

fn program() -> Option<PathBuf> {
    find("prometheus-alertmanager").or_else(|| find("alertmanager"))
}
