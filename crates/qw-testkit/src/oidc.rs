//! An OpenID Connect provider that others wrote: PyPI's `oidc-provider-mock`, which
//! `cargo xtask test` installs below the target folder.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use crate::skip_without;

/// A running provider; killed when dropped.
#[derive(Debug)]
pub struct OidcProvider {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl OidcProvider {
    /// The provider on a free port, started with `arguments`; `None` when it is not installed, which
    /// is said loudly.
    ///
    /// # Panics
    /// In CI when it is not installed; everywhere when it does not start.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let test = std::env::current_exe().expect("a test knows its program");
        let target = test
            .ancestors()
            .nth(3)
            .expect("a test lies in the target folder");
        let program = target.join("schemathesis/bin/oidc-provider-mock");
        if !program.is_file() {
            skip_without("oidc-provider-mock");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = port.local_addr().expect("a bound port has an address");
        drop(port);
        let mut child = Command::new(program)
            .args(["--port", &address.port().to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("oidc-provider-mock can be started");
        let stderr = child.stderr.take().expect("its errors are piped");
        let mut stderr = BufReader::new(stderr);
        let mut said = String::new();
        while !said.contains("running on") {
            if stderr.read_line(&mut said).unwrap_or(0) == 0 {
                drop(child.wait());
                panic!("oidc-provider-mock does not start: {said}");
            }
        }
        // It would stop when nobody took what it says.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Some(Self { child, address })
    }
}

impl OidcProvider {
    /// Stops it; from then on nobody answers at its address.
    pub fn stop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.stop();
    }
}
