//! Real sockets: doors, TLS, bounds, good order at the end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, routing::post};
use qw_auth::Scope;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Harness;
use crate::{ListenError, ListenerOptions, TlsFiles, serve_console, serve_ingest, serve_metrics};

/// A listener that runs, and ends when this is dropped.
struct Running {
    address: SocketAddr,
    task: tokio::task::JoinHandle<Result<(), ListenError>>,
    stop: CancellationToken,
    _guard: DropGuard,
}

#[derive(Clone, Copy)]
enum Which {
    Console,
    Metrics,
    Falco,
}

async fn start(harness: &Harness, which: Which, bind: &str, options: ListenerOptions) -> Running {
    let listener = TcpListener::bind((bind, 0)).await.unwrap();
    let mut address = listener.local_addr().unwrap();
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    let stop = CancellationToken::new();
    let (state, token) = (harness.state.clone(), stop.clone());
    let falco = Router::new().fallback(post(|uri: http::Uri| async move { uri.to_string() }));
    let task = tokio::spawn(async move {
        match which {
            Which::Console => serve_console(listener, options, state, falco, token).await,
            Which::Metrics => serve_metrics(listener, options, state, token).await,
            Which::Falco => serve_ingest(listener, options, state, falco, token).await,
        }
    });
    Running {
        address,
        task,
        _guard: stop.clone().drop_guard(),
        stop,
    }
}

/// Sends one request and reads all that comes back.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    let request = format!("{head}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A peer that closes without a TLS farewell has said all the same.
    if let Err(error) = stream.read_to_end(&mut answer).await {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(running: &Running, head: &str) -> String {
    exchange(TcpStream::connect(running.address).await.unwrap(), head).await
}

#[track_caller]
fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("no answer: {answer}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_console_answers_and_takes_loopbacks_names_only() {
    let harness = Harness::new();
    let running = start(
        &harness,
        Which::Console,
        "127.0.0.1",
        ListenerOptions::default(),
    )
    .await;
    let good = ask(&running, "GET /healthz HTTP/1.1\r\nHost: localhost").await;
    assert_eq!(status(&good), 200, "{good}");
    let page = ask(
        &running,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html",
    )
    .await;
    assert_eq!(status(&page), 200);
    assert!(page.contains("text/html"));
    let rebound = ask(&running, "GET /healthz HTTP/1.1\r\nHost: evil.example").await;
    assert_eq!(status(&rebound), 403);
    let falco = ask(
        &running,
        "POST /falco HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0",
    )
    .await;
    assert_eq!(status(&falco), 200, "{falco}");
    // Nobody needs a token here; one of ours that is bad is refused all the same.
    let read = harness.token(&[Scope::Read]).token.unwrap();
    for (token, expected) in [("qw_a_b", 401), (read.as_str(), 403), ("theirs", 200)] {
        let head = format!(
            "POST /falco HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nAuthorization: Bearer {token}"
        );
        assert_eq!(status(&ask(&running, &head).await), expected, "{token}");
    }
    let forged =
        "POST /falco HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\nContent-Length: 0";
    assert_eq!(status(&ask(&running, forged).await), 403);
}

#[tokio::test]
async fn metrics_are_open_on_loopback_and_need_a_token_elsewhere() {
    let harness = Harness::new();
    let local = start(
        &harness,
        Which::Metrics,
        "127.0.0.1",
        ListenerOptions::default(),
    )
    .await;
    let page = ask(&local, "GET /metrics HTTP/1.1\r\nHost: localhost").await;
    assert_eq!(status(&page), 200);
    assert!(page.contains("text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("quaywatch_build_info"), "{page}");
    let falco = ask(&local, "GET /metrics/falco HTTP/1.1\r\nHost: localhost").await;
    assert_eq!(status(&falco), 200);
    let zipped = ask(
        &local,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip",
    )
    .await;
    assert!(zipped.contains("content-encoding: gzip"));
    let landing = ask(&local, "GET / HTTP/1.1\r\nHost: localhost").await;
    assert!(landing.contains("href=\"/metrics/falco\""));

    let wide = start(
        &harness,
        Which::Metrics,
        "0.0.0.0",
        ListenerOptions::default(),
    )
    .await;
    let head = "GET /metrics HTTP/1.1\r\nHost: quay";
    assert_eq!(status(&ask(&wide, head).await), 401);
    for (scope, expected) in [(Scope::Read, 403), (Scope::Metrics, 200)] {
        let token = harness.token(&[scope]).token.unwrap();
        let head = format!("{head}\r\nAuthorization: Bearer {token}");
        assert_eq!(status(&ask(&wide, &head).await), expected);
    }
    let options = ListenerOptions {
        open: true,
        ..ListenerOptions::default()
    };
    let open = start(&harness, Which::Metrics, "0.0.0.0", options).await;
    assert_eq!(status(&ask(&open, head).await), 200);
}

#[tokio::test]
async fn events_beyond_loopback_need_a_token_in_header_or_path() {
    let harness = Harness::new();
    let wide = start(
        &harness,
        Which::Falco,
        "0.0.0.0",
        ListenerOptions::default(),
    )
    .await;
    let good = harness.token(&[Scope::Ingest]).token.unwrap();
    let other = harness.token(&[Scope::Read]).token.unwrap();
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: quay\r\nContent-Length: 0");
    assert_eq!(status(&ask(&wide, &post("/")).await), 401);
    assert_eq!(status(&ask(&wide, &post(&format!("/{other}"))).await), 403);
    let bearer = format!("{}\r\nAuthorization: Bearer {good}", post("/"));
    assert_eq!(status(&ask(&wide, &bearer).await), 200);
    for (path, rest) in [
        (format!("/{good}"), "/"),
        (format!("/falco/{good}"), "/falco"),
    ] {
        let answer = ask(&wide, &post(&path)).await;
        assert_eq!(status(&answer), 200);
        // The receiver does not see the token.
        assert!(answer.ends_with(&format!("\r\n\r\n{rest}")), "{answer}");
    }
}

#[tokio::test]
async fn stopping_ends_streams_and_says_when_to_come_back() {
    let harness = Harness::new();
    let running = start(
        &harness,
        Which::Console,
        "127.0.0.1",
        ListenerOptions::default(),
    )
    .await;
    let token = harness.reader().token.unwrap();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "GET /api/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("heartbeat") {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    running.stop.cancel();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("retry: 2000"), "{rest}");
    let ended = tokio::time::timeout(Duration::from_secs(4), running.task).await;
    ended
        .expect("it ends before the deadline")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let harness = Harness::new();
    let options = ListenerOptions {
        header_timeout: Duration::from_millis(200),
        ..ListenerOptions::default()
    };
    let running = start(&harness, Which::Console, "127.0.0.1", options).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(5), end).await;
        assert!(ended.is_ok(), "the connection stays open after `{begun}`");
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let harness = Harness::new();
    let options = ListenerOptions {
        max_connections: 1,
        ..ListenerOptions::default()
    };
    let running = start(&harness, Which::Console, "127.0.0.1", options).await;
    let holder = TcpStream::connect(running.address).await.unwrap();
    // Accepted once its first byte is answered.
    let address = running.address;
    let waiting = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        exchange(stream, "GET /healthz HTTP/1.1\r\nHost: localhost").await
    });
    exchange(holder, "GET /healthz HTTP/1.1\r\nHost: localhost").await;
    assert_eq!(status(&waiting.await.unwrap()), 200);
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: rcgen::Issuer::new(parameters, key),
        }
    }

    fn issue(&self, folder: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let files = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn client(
    authority: &Authority,
    identity: Option<&(std::path::PathBuf, std::path::PathBuf)>,
) -> tokio_rustls::TlsConnector {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    Arc::new(config).into()
}

#[tokio::test]
async fn tls_and_client_certificates() {
    let harness = Harness::new();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue(folder.path(), "server");
    let authority_file = folder.path().join("ca.pem");
    std::fs::write(&authority_file, authority.certificate.pem()).unwrap();
    let name = || rustls_pki_types::ServerName::try_from("localhost").unwrap();

    let files = TlsFiles {
        certificate,
        key,
        client_ca: None,
    };
    let options = ListenerOptions {
        tls: Some(files.clone()),
        ..ListenerOptions::default()
    };
    let plain = start(&harness, Which::Console, "127.0.0.1", options).await;
    let stream = TcpStream::connect(plain.address).await.unwrap();
    let stream = client(&authority, None)
        .connect(name(), stream)
        .await
        .unwrap();
    let answer = exchange(stream, "GET /healthz HTTP/1.1\r\nHost: localhost").await;
    assert_eq!(status(&answer), 200);

    // Mutual TLS stands in for a token, and nobody else comes in.
    let options = ListenerOptions {
        tls: Some(TlsFiles {
            client_ca: Some(authority_file),
            ..files
        }),
        ..ListenerOptions::default()
    };
    let mutual = start(&harness, Which::Falco, "0.0.0.0", options).await;
    let identity = authority.issue(folder.path(), "falco");
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0";
    let stream = TcpStream::connect(mutual.address).await.unwrap();
    let stream = client(&authority, Some(&identity))
        .connect(name(), stream)
        .await
        .unwrap();
    assert_eq!(status(&exchange(stream, head).await), 200);
    let stream = TcpStream::connect(mutual.address).await.unwrap();
    if let Ok(mut stream) = client(&authority, None).connect(name(), stream).await {
        let mut rest = Vec::new();
        let written = stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await;
        let read = stream.read_to_end(&mut rest).await;
        assert!(
            written.is_err() || read.is_err() || rest.is_empty(),
            "it was let in"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named() {
    let harness = Harness::new();
    let files = TlsFiles {
        certificate: "/nowhere/server.pem".into(),
        key: "/nowhere/server.key".into(),
        client_ca: None,
    };
    let options = ListenerOptions {
        tls: Some(files),
        ..ListenerOptions::default()
    };
    let running = start(&harness, Which::Console, "127.0.0.1", options).await;
    let error = running.task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("/nowhere/server.pem"), "{error}");
}
