//! A private journal: systemd's `systemd-journald` with sockets and files of its own, gone when it is
//! dropped.
//!
//! Needs root. What is to write to it must see its folder in place of the host's: see
//! [`Journal::shell`].

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{docker::is_root, skip_without};

/// Where the package `systemd` puts the program, which is on nobody's path.
const PROGRAM: &str = "/lib/systemd/systemd-journald";
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running journal of our own.
#[derive(Debug)]
pub struct Journal {
    folder: TempDir,
    daemon: Child,
}

impl Journal {
    /// Starts a journal; `None` when the machine has none, which is said loudly.
    ///
    /// # Panics
    /// In CI when the machine has none; everywhere when it does not start.
    pub fn start() -> Option<Self> {
        if !Path::new(PROGRAM).exists() && skip_without("systemd-journald") {
            return None;
        }
        if !is_root() && skip_without("systemd-journald, which needs root,") {
            return None;
        }
        match Self::try_start() {
            Ok(journal) => Some(journal),
            Err(error) => panic!("the journal does not start: {error:#}"),
        }
    }

    fn try_start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("journal").tempdir()?;
        let machine = fs_err::read_to_string("/etc/machine-id")?;
        fs_err::create_dir_all(folder.path().join("log").join(machine.trim()))?;
        fs_err::create_dir_all(folder.path().join("run"))?;
        let mut command = Command::new("unshare");
        command.args(Self::arguments(folder.path())).arg(PROGRAM);
        let daemon = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `unshare`")?;
        let mut journal = Self { folder, daemon };
        let start = Instant::now();
        while journal.send(&[("MESSAGE", "is it there?")]).is_err() {
            if let Some(status) = journal.daemon.try_wait()? {
                anyhow::bail!("`{PROGRAM}` ended with {status}");
            }
            ensure!(
                start.elapsed() < START_WITHIN,
                "no socket within {START_WITHIN:?}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(journal)
    }

    /// Arguments of `unshare`, before a program and its own, that make it see the journal in place of
    /// the host's.
    pub fn shell(&self) -> Vec<String> {
        Self::arguments(self.folder.path())
    }

    fn arguments(folder: &Path) -> Vec<String> {
        let script = "mkdir -p /run/systemd/journal /run/log/journal && mount --bind \"$0/run\" \
                      /run/systemd/journal && mount --bind \"$0/log\" /run/log/journal && exec \"$@\"";
        let folder = folder.display().to_string();
        [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            &folder,
        ]
        .map(str::to_owned)
        .into()
    }

    /// Folder of its files, as `journalctl --directory` takes it.
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Writes an entry; values have no line ends.
    pub fn send(&self, fields: &[(&str, &str)]) -> std::io::Result<()> {
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        let socket = UnixDatagram::unbound()?;
        socket.send_to(
            lines.collect::<String>().as_bytes(),
            self.folder.path().join("run/socket"),
        )?;
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nothing more can be done about one that survives this.
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}
