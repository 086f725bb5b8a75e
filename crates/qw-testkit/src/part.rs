//! A program of a package that runs beside a test.

use std::{
    ffi::OsStr,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::wait_for;

/// Longest wait for a program to be ready or to end.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts `program` with its output in `log`, and waits until `is_ready`.
    ///
    /// # Panics
    /// When it cannot be started, ends, or is not ready within a minute; the message holds its log.
    #[track_caller]
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
        is_ready: impl Fn() -> bool,
    ) -> Self {
        let output = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be written")
            .into_parts()
            .0;
        let errors = output.try_clone().expect("the log can be written twice");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("`{name}` cannot be started: {error}"));
        let mut part = Self {
            name,
            child,
            log: log.to_owned(),
        };
        wait_for(name, LIMIT, || {
            if let Ok(Some(status)) = part.child.try_wait() {
                let log = fs_err::read_to_string(&part.log).unwrap_or_default();
                panic!("`{name}` ended with {status}:\n{log}");
            }
            is_ready().then_some(())
        });
        part
    }

    /// Asks it to end in order, and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(asked.is_ok_and(|status| status.success()));
        let name = self.name;
        wait_for(&format!("{name} ends"), LIMIT, || {
            self.child.try_wait().expect("its state can be asked")
        });
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// Waits until a server can listen at `address` again: for a moment, somebody's connection may have
/// it as its own.
#[track_caller]
pub(crate) fn wait_until_free(address: SocketAddr) {
    wait_for(&format!("{address} is free"), LIMIT, || {
        TcpListener::bind(address).ok().map(drop)
    });
}

/// Where a program lies, on the path or where Debian puts those of the system.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
