//! The inventory beside an engine with ten thousand containers, played by a socket.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use qw_docker::{Docker, Endpoint, Limits};
use qw_inventory::{Inventory, Options};
use qw_pipeline::Notices;
use qw_store::{Embedded, StateStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const CONTAINERS: usize = 10_000;

fn list() -> String {
    let mut text = "[".to_owned();
    for number in 0..CONTAINERS {
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"Id":"{number:064x}","Names":["/web-{number}"],"Image":"shop/web:1","ImageID":"sha256:1","State":"running","Status":"Up","Created":1795251600,"Labels":{{"com.docker.compose.service":"web"}}}}"#
        )
        .unwrap();
    }
    text + "]"
}

fn answer(path: &str, list: &str) -> String {
    match path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .split('?')
        .next()
    {
        Some("version") => {
            r#"{"ApiVersion":"1.41","MinAPIVersion":"1.12","Version":"20"}"#.to_owned()
        }
        Some("info") => r#"{"Name":"node-1","ServerVersion":"20"}"#.to_owned(),
        _ if path.contains("/images/json") => {
            r#"[{"Id":"sha256:1","RepoTags":["shop/web:1"],"RepoDigests":["shop/web@sha256:aa"]}]"#
                .to_owned()
        }
        _ if path.contains("/containers/json") => list.to_owned(),
        _ => {
            let id = path.split('/').nth(3).unwrap_or_default();
            format!(
                r#"{{"Id":"{id}","Config":{{"Image":"shop/web:1"}},"State":{{"Running":true,"StartedAt":"2026-11-21T09:00:00Z"}}}}"#
            )
        }
    }
}

async fn serve(mut stream: UnixStream, list: Arc<str>) {
    let mut request = vec![0; 8192];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let head = String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path.contains("/events") {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    }
    let body = answer(path, &list);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_containers_are_listed_at_once_and_looked_at_soon() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let list: Arc<str> = list().into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&list)));
        }
    });
    let store = Arc::new(Embedded::open(folder.path(), qw_store::Options::default()).unwrap());
    let state = Arc::clone(&store) as Arc<dyn StateStore>;
    let inventory = Inventory::open(state, Options::default()).unwrap();
    let docker = Docker::new(Endpoint::Unix(socket), Limits::default()).unwrap();
    let stop = CancellationToken::new();
    let (running, token) = (inventory.clone(), stop.clone());
    let task = tokio::spawn(async move { running.run(docker, Notices::default(), token).await });

    let deadline = Instant::now() + Duration::from_secs(60);
    while inventory.containers().len() < CONTAINERS {
        assert!(Instant::now() < deadline, "{:?}", inventory.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while inventory.status().last_sync.is_none() {
        assert!(Instant::now() < deadline, "{:?}", inventory.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let containers = inventory.containers();
    assert!(
        containers
            .iter()
            .all(|one| one.started.is_some() && one.image_digest == "sha256:aa")
    );
    let index = inventory.index().load_full();
    assert_eq!(index.len(), CONTAINERS);
    assert_eq!(&*index.find("web-9999").unwrap().compose_service, "web");
    stop.cancel();
    task.await.unwrap();

    let again = Inventory::open(store, Options::default()).unwrap();
    assert_eq!(again.containers().len(), CONTAINERS);
}
