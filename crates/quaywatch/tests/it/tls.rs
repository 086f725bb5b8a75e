//! TLS and mutual TLS, spoken by curl.

use std::{path::Path, process::Command};

use qw_testkit::skip_without;

use crate::{falco_line, server};

/// An authority, and a server's and a client's certificate of it, as PEM files.
pub(crate) fn certificates(folder: &Path) {
    use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let key = || KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "authority of a test");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("written");
    for (name, host) in [("server", "127.0.0.1"), ("client", "falco.example")] {
        let own = key();
        let certificate = CertificateParams::new(vec![host.to_owned()])
            .and_then(|parameters| parameters.signed_by(&own, &authority))
            .expect("a certificate");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), own.serialize_pem()).expect("written");
    }
}

#[test]
fn falco_listener_takes_events_over_mutual_tls_only() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip_without("curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let configuration = format!(
        "inventory: {{docker: false}}\nlisten:\n  falco:\n    tls: {{certificate: {}, key: {}, client_ca: {}}}\n",
        file("server.pem"),
        file("server.key"),
        file("ca.pem"),
    );
    let quaywatch = server().configuration(&configuration).start();
    let url = format!("https://{}/", quaywatch.falco);
    let line = falco_line("web", 1, "A", "Notice");
    let curl = |with_certificate: bool| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--cacert",
            &file("ca.pem"),
            "--data-binary",
            &line,
        ]);
        curl.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
        if with_certificate {
            curl.args(["--cert", &file("client.pem"), "--key", &file("client.key")]);
        }
        String::from_utf8(curl.arg(&url).output().unwrap().stdout).unwrap()
    };
    assert_eq!(curl(true), "200");
    assert_eq!(
        curl(false),
        "000",
        "without a certificate the handshake fails"
    );
    let page = quaywatch.get("/api/containers/web/logs");
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn console_over_tls_serves_the_api_and_the_page() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip_without("curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let configuration = format!(
        "inventory: {{docker: false}}\nlisten: {{console: {{tls: {{certificate: {}, key: {}}}}}}}\n",
        file("server.pem"),
        file("server.key"),
    );
    let quaywatch = server().configuration(&configuration).start();
    let get = |path: &str| {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--cacert",
                &file("ca.pem"),
                "-H",
                "accept: text/html",
            ])
            .args(["-H", &format!("authorization: Bearer {}", quaywatch.token)])
            .arg(format!("https://{}{path}", quaywatch.console))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(get("/healthz"), "ok");
    assert!(get("/api/overview").starts_with('{'));
    assert!(
        get("/events").contains("<html"),
        "every page of the console is the console"
    );
}
