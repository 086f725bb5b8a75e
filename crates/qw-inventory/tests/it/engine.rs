//! The inventory beside a real engine.

use std::{sync::Arc, time::Duration};

use qw_inventory::{Container, Inventory, Options, REMOVED};
use qw_pipeline::Notices;
use qw_store::{Embedded, StateStore};
use qw_testkit::docker::{BUSYBOX, DockerEngine, Printer};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

fn open(store: &Arc<Embedded>) -> Inventory {
    let options = Options {
        retry: (Duration::from_millis(50), Duration::from_millis(500)),
        ..Options::default()
    };
    Inventory::open(Arc::clone(store) as Arc<dyn StateStore>, options).unwrap()
}

fn run(inventory: &Inventory, engine: &DockerEngine) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let (inventory, docker, token) = (inventory.clone(), engine.docker().clone(), stop.clone());
    (
        tokio::spawn(async move { inventory.run(docker, Notices::default(), token).await }),
        stop,
    )
}

async fn wait_for<T>(inventory: &Inventory, what: &str, condition: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: {:?} {:?}",
            inventory.status(),
            inventory.containers()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_for_container(
    inventory: &Inventory,
    name: &str,
    is_met: impl Fn(&Container) -> bool,
) -> Arc<Container> {
    wait_for(inventory, name, || {
        inventory
            .container(name)
            .filter(|container| is_met(container))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_come_change_and_go_and_are_remembered() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path(), qw_store::Options::default()).unwrap());

    // One that was there before.
    let labels = &[
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "web"),
        ("io.kubernetes.pod.namespace", "prod"),
        ("io.kubernetes.pod.name", "web-0"),
    ];
    let printer = Printer {
        name: "shop-web-1",
        script: "sleep 1000",
        labels,
        ..Printer::default()
    };
    let web = engine.run(&printer).await.unwrap();
    let inventory = open(&store);
    let (task, stop) = run(&inventory, &engine);
    let container = wait_for_container(&inventory, "shop-web-1", |one| one.started.is_some()).await;
    assert_eq!(
        (container.id.as_str(), container.state.as_str()),
        (web.as_str(), "running")
    );
    assert_eq!(
        (container.image.as_str(), container.compose_project.as_str()),
        (BUSYBOX, "shop")
    );
    assert_eq!(
        (container.k8s_namespace.as_str(), container.k8s_pod.as_str()),
        ("prod", "web-0")
    );
    assert!(container.image_id.starts_with("sha256:") && container.finished.is_none());
    assert!(container.command.contains("sleep 1000") && !container.host.is_empty());
    assert!(
        inventory
            .images()
            .iter()
            .any(|image| image.id == container.image_id)
    );
    let status = wait_for(&inventory, "a first listing", || {
        Some(inventory.status()).filter(|status| status.last_sync.is_some())
    })
    .await;
    assert!(status.connected && !status.engine_version.is_empty());
    let index = inventory.index().load_full();
    let found = index.find(web.get(..12).unwrap()).unwrap();
    assert_eq!(
        (&*found.name, &*found.image_repository, &*found.image_tag),
        ("shop-web-1", "busybox", "test")
    );

    // One that comes and goes, renamed in between.
    let short = engine.run_printer("short", "usleep 200000").await.unwrap();
    engine.wait_container(&short).await.unwrap();
    let ended = wait_for_container(&inventory, "short", |one| one.finished.is_some()).await;
    assert_eq!(ended.state, "exited");
    assert!(ended.started.is_some() && ended.finished >= ended.started);
    engine.rename_container(&short, "shorter").await.unwrap();
    wait_for_container(&inventory, "shorter", |one| one.id == short).await;
    engine.remove_container(&short).await.unwrap();
    wait_for_container(&inventory, "shorter", |one| one.state == REMOVED).await;
    assert!(inventory.index().load().find(&short).is_some());

    // The engine goes and comes back.
    engine.stop();
    let error = wait_for(&inventory, "the loss of the engine", || {
        let status = inventory.status();
        status.last_error.filter(|_| !status.connected)
    })
    .await;
    assert!(error.1.contains("docker.sock"), "{error:?}");
    engine.launch().await.unwrap();
    let container =
        wait_for_container(&inventory, "shop-web-1", |one| one.finished.is_some()).await;
    assert_eq!(container.state, "exited");
    stop.cancel();
    task.await.unwrap();

    // Removed while we are away; both are still known afterwards, first without the engine.
    engine.remove_container(&web).await.unwrap();
    drop(inventory);
    let inventory = open(&store);
    assert_eq!(inventory.container("shop-web-1").unwrap().state, "unknown");
    assert_eq!(inventory.container(&short).unwrap().state, REMOVED);
    let (task, stop) = run(&inventory, &engine);
    let gone = wait_for_container(&inventory, "shop-web-1", |one| one.state == REMOVED).await;
    assert_eq!(
        &*inventory.index().load().find(&web).unwrap().compose_service,
        "web"
    );
    assert!(gone.removed.is_some());
    stop.cancel();
    task.await.unwrap();
}
