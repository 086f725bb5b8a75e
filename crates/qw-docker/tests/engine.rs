//! The client against a real engine.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use qw_docker::{
    ContainerFilter, Docker, Endpoint, Error, Limits, LogFormat, LogPiece, LogsQuery, StreamKind,
};
use qw_testkit::docker::{BUSYBOX, DockerEngine, Printer};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

async fn log(docker: &Docker, id: &str, query: &LogsQuery, format: LogFormat) -> Vec<LogPiece> {
    let mut stream = docker.logs(id, query, format).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().await.unwrap() {
        pieces.push(piece);
    }
    pieces
}

fn texts(pieces: &[LogPiece]) -> Vec<String> {
    pieces
        .iter()
        .map(|piece| String::from_utf8_lossy(&piece.text).into_owned())
        .collect()
}

#[tokio::test]
async fn containers_images_events_and_logs_of_a_real_engine() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let docker = engine.docker().clone();

    let version = docker.version().await.unwrap();
    assert!(version.api_version.starts_with("1."), "{version:?}");
    let info = docker.info().await.unwrap();
    let begin = info.system_time.unwrap();
    assert!(!info.name.is_empty());

    let mut events = docker.events(Some(begin), &["container"]).await.unwrap();
    let id = engine
        .run(&Printer {
            name: "speaker",
            script: "for i in 1 2 3; do echo line $i; done; echo oops >&2; printf tail",
            labels: &[("com.docker.compose.project", "shop")],
            ..Printer::default()
        })
        .await
        .unwrap();
    assert_eq!(engine.wait_container(&id).await.unwrap(), 0);

    let mut actions = Vec::new();
    while actions.last().map(String::as_str) != Some("die") {
        let event = events.next().await.unwrap().expect("the stream goes on");
        assert_eq!(
            (event.id.as_str(), event.kind.as_str()),
            (id.as_str(), "container")
        );
        assert_eq!(
            event.attributes.get("name").map(String::as_str),
            Some("speaker")
        );
        actions.push(event.action);
    }
    assert_eq!(actions, ["create", "start", "die"]);

    let running = docker
        .containers(&ContainerFilter::default())
        .await
        .unwrap();
    assert!(running.is_empty(), "{running:?}");
    let filter = ContainerFilter {
        all: true,
        labels: vec!["com.docker.compose.project=shop".to_owned()],
        ..ContainerFilter::default()
    };
    let all = docker.containers(&filter).await.unwrap();
    let [summary] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(
        (summary.name(), summary.image.as_str()),
        ("speaker", BUSYBOX)
    );
    assert_eq!(summary.state, "exited");

    let details = docker.container("speaker").await.unwrap();
    assert_eq!(details.id, id);
    // Of a container that ends at once the engine may note the end before the start.
    assert!(!details.state.running);
    assert!(details.state.started_at.is_some() && details.state.finished_at.is_some());
    assert_eq!(details.host_config.log_config.driver, "json-file");
    let image = docker.image(BUSYBOX).await.unwrap();
    assert_eq!(image.id, details.image);
    assert!(
        docker
            .images()
            .await
            .unwrap()
            .iter()
            .any(|one| one.id == image.id)
    );

    let both = log(&docker, &id, &LogsQuery::default(), LogFormat::Framed).await;
    assert_eq!(both.len(), 5);
    assert!(both.iter().any(|piece| piece.stream == StreamKind::Stderr));
    let stdout = LogsQuery {
        stderr: false,
        ..LogsQuery::default()
    };
    let out = log(&docker, &id, &stdout, LogFormat::Framed).await;
    assert_eq!(texts(&out), ["line 1", "line 2", "line 3", "tail"]);
    assert!(!out.last().unwrap().ends_line);
    // `since` includes its instant, to the nanosecond.
    let third = out[2].time;
    let since = LogsQuery {
        since: third,
        ..stdout.clone()
    };
    assert_eq!(
        texts(&log(&docker, &id, &since, LogFormat::Framed).await),
        ["line 3", "tail"]
    );
    let tail = LogsQuery {
        tail: Some(1),
        ..stdout.clone()
    };
    assert_eq!(
        texts(&log(&docker, &id, &tail, LogFormat::Framed).await),
        ["tail"]
    );
    let until = LogsQuery {
        until: third,
        ..stdout.clone()
    };
    assert_eq!(log(&docker, &id, &until, LogFormat::Framed).await.len(), 3);

    let long = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end";
    for (name, tty) in [("long", false), ("terminal", true)] {
        let printer = Printer {
            name,
            script: long,
            tty,
            ..Printer::default()
        };
        let id = engine.run(&printer).await.unwrap();
        engine.wait_container(&id).await.unwrap();
        let format = if tty {
            LogFormat::Raw
        } else {
            LogFormat::Framed
        };
        let pieces = log(&docker, &id, &stdout, format).await;
        let sizes: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.text.len(), piece.ends_line))
            .collect();
        assert_eq!(
            sizes,
            [(16384, false), (16384, false), (7232, true), (3, true)],
            "{name}"
        );
        assert!(pieces.iter().all(|piece| piece.time.is_some()), "{name}");
    }

    let error = docker.container("nobody").await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(
        error.to_string().contains("No such container: nobody"),
        "{error}"
    );

    // The engine goes away while a stream is open, and comes back.
    let id = engine
        .run_printer("sleeper", "echo up; sleep 1000")
        .await
        .unwrap();
    let query = LogsQuery {
        follow: true,
        ..stdout
    };
    let mut stream = docker.logs(&id, &query, LogFormat::Framed).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "up");
    engine.stop();
    loop {
        match tokio::time::timeout(Duration::from_secs(10), stream.next())
            .await
            .unwrap()
        {
            Ok(Some(_)) => {}
            Ok(None) | Err(Error::Broken { .. } | Error::Log { .. }) => break,
            Err(other) => panic!("{other}"),
        }
    }
    let error = docker.ping().await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. } | Error::NoSocket { .. }),
        "{error}"
    );
    engine.launch().await.unwrap();
    assert!(!docker.container(&id).await.unwrap().state.running);
}

#[tokio::test]
async fn an_engine_behind_tls_is_reached_with_the_right_certificates_only() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let issued = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (authority, stranger) = (issued("authority"), issued("stranger"));
    let leaf = |by: &CertifiedIssuer<'_, KeyPair>, usage| {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (
            params.signed_by(&key, by).unwrap().pem(),
            key.serialize_pem(),
        )
    };
    let ca = write("ca.pem", &authority.pem());
    let (certificate, key) = leaf(&authority, ExtendedKeyUsagePurpose::ServerAuth);
    let server = [
        write("server.pem", &certificate),
        write("server-key.pem", &key),
    ];
    for (name, by) in [("good", &authority), ("bad", &stranger)] {
        let (certificate, key) = leaf(by, ExtendedKeyUsagePurpose::ClientAuth);
        std::fs::create_dir(folder.path().join(name)).unwrap();
        write(&format!("{name}/ca.pem"), &by.pem());
        write(&format!("{name}/cert.pem"), &certificate);
        write(&format!("{name}/key.pem"), &key);
    }
    let port = qw_testkit::free_port();
    let arguments = [
        format!("--host=tcp://127.0.0.1:{port}"),
        "--tlsverify".to_owned(),
        format!("--tlscacert={ca}"),
        format!("--tlscert={}", server[0]),
        format!("--tlskey={}", server[1]),
    ];
    let Some(engine) = DockerEngine::start_with(&arguments).await else {
        return;
    };
    let connect = |certificates: &str, verify: bool| {
        let variables = |name: &str| match name {
            "DOCKER_HOST" => Some(format!("tcp://127.0.0.1:{port}")),
            "DOCKER_TLS_VERIFY" => verify.then(|| "1".to_owned()),
            "DOCKER_CERT_PATH" => Some(folder.path().join(certificates).display().to_string()),
            _ => None,
        };
        Docker::new(Endpoint::from_environment(variables)?, Limits::default())
    };

    let docker = connect("good", true).unwrap();
    let id = engine
        .run_printer("speaker", "echo one; echo two")
        .await
        .unwrap();
    engine.wait_container(&id).await.unwrap();
    let pieces = log(&docker, &id, &LogsQuery::default(), LogFormat::Framed).await;
    assert_eq!(texts(&pieces), ["one", "two"]);

    let error = connect("bad", true).unwrap().ping().await.unwrap_err();
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    let error = connect("good", false).unwrap().ping().await.unwrap_err();
    assert!(
        error.chain().contains("HTTP request to an HTTPS server"),
        "{}",
        error.chain()
    );
    let error = connect("missing", true).unwrap_err();
    assert!(error.to_string().contains("missing/ca.pem"), "{error}");
}

#[tokio::test]
async fn a_missing_socket_and_a_silent_engine_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let limits = Limits {
        timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let docker = Docker::new(Endpoint::Unix(socket.clone()), limits).unwrap();
    let error = docker.ping().await.unwrap_err();
    assert!(matches!(error, Error::NoSocket { .. }), "{error}");

    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let error = docker.ping().await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "`GET /_ping`: no answer from the Docker engine within 100ms"
    );

    drop(listener);
    let error = docker.ping().await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}
