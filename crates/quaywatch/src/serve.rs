//! `quaywatch serve` and `quaywatch demo`: parts are opened, joined, run, and ended in order.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use qw_alerts::{Desk, Seen};
use qw_api::{Access, Hub, HubOptions, ListenerOptions, Parts, Settings, State};
use qw_auth::{NewToken, PasswordHashes, Role, Scope};
use qw_event::{SourceId, StoredEvent, Timestamp};
use qw_exporters::Metrics;
use qw_inventory::Inventory;
use qw_pipeline::{
    CancellationToken, FalcoRules, NoticeLevel, Notices, Observer, Pipeline, ProfileDetector,
    SharedProfiles, SourceState, SourceStatuses,
};
use qw_sinks::{Notifications, Notifier};
use qw_sources::http::Receiver;
use qw_store::{AlertStore, Embedded, RecordStore, StateStore};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix,
    task::{JoinHandle, JoinSet},
};

use crate::{
    arguments::{Demo, Serve},
    cli::say,
    config::{Config, Listener, Tls},
    demo, trees,
    usage::Reading,
    wiring::{self, ReadyReceiver, ReadySource, now},
};

/// User whose password comes from the environment or is made up for a demo.
const FIRST_USER: &str = "admin";
/// Name of the token that the command line of the same host uses.
const COMMAND_LINE_TOKEN: &str = "command line of this host";
/// Time the pipeline has to store what is on its way.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
const UPKEEP_AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// Time between two writings of what tokens and sessions were last used.
const FLUSH_EVERY: Duration = Duration::from_secs(60);

/// Collects, keeps and shows events until the process is asked to end.
pub(crate) async fn serve(config: Config, _: Serve) -> Result<()> {
    let mut sources = wiring::sources(&config)?;
    // Binds, which needs the runtime, and fails before anything is opened.
    let (receiving, served) = wiring::receivers(&config)?;
    sources.extend(receiving);
    let mut server = Server::open(config, false)?;
    if server.config.inventory.docker {
        let docker = wiring::docker(server.config.inventory.endpoint.as_deref())?;
        server.watch(docker.clone());
        server.read_usage(docker);
    }
    match std::env::var("QUAYWATCH_PASSWORD") {
        Ok(password) => server.first_user(&password)?,
        Err(_) => server.print_setup_when_new()?,
    }
    server.run(sources, served).await
}

/// As [`serve`], with made-up data in a folder of its own that is removed at the end.
pub(crate) async fn demo(mut config: Config, arguments: Demo) -> Result<()> {
    let folder = demo::Folder::new()?;
    config.data_dir = folder.path().to_owned();
    config.inventory.docker = false;
    demo::check_loopback(&config)?;
    let server = Server::open(config, true)?;
    server.inventory.set_static(demo::containers(now()));
    let password = qw_auth::generate_password()?;
    server.first_user(password.expose())?;
    say("\n  DEMO: everything below is made up. Nothing is collected, nothing is kept.\n");
    say(&format!(
        "  User `{FIRST_USER}`, one-time password: {}",
        password.expose()
    ));
    let source = demo::source(&arguments)?;
    server.run(vec![source], Vec::new()).await
}

/// Everything of one process, joined but not yet running.
struct Server {
    config: Config,
    demo: bool,
    store: Arc<Embedded>,
    statuses: SourceStatuses,
    notices: Notices,
    metrics: Metrics,
    hub: Hub,
    access: Access,
    inventory: Inventory,
    /// What containers use; `None` where it is not read.
    reading: Option<Reading>,
    /// Tasks that end with `stop`, and are waited for.
    tasks: Vec<JoinHandle<()>>,
    desk: Desk,
    profiles: SharedProfiles,
    pipeline: Pipeline,
    stop: CancellationToken,
}

impl Server {
    fn open(config: Config, demo: bool) -> Result<Self> {
        let reading = Reading::new(&config.usage)?.filter(|_| config.inventory.docker);
        let store = wiring::open_store(&config)?;
        let state = Arc::clone(&store) as Arc<dyn StateStore>;
        let (statuses, notices) = (SourceStatuses::default(), Notices::default());
        let metrics = Metrics::new(qw_exporters::Options {
            series_per_family: config.metrics.max_series,
            ..qw_exporters::Options::new(env!("CARGO_PKG_VERSION"))
        });
        let hub = Hub::new(HubOptions::default(), store.last_id());
        let access = Access::open(
            Arc::clone(&state),
            PasswordHashes::new()?,
            wiring::access_options(&config),
        )?;
        let inventory = Inventory::open(Arc::clone(&state), qw_inventory::Options::default())?;
        let alerts = Arc::clone(&store) as Arc<dyn AlertStore>;
        let desk = Desk::open(alerts, state, wiring::desk_options(&config), now())?;
        desk.keep_apart_by(qw_api::audiences(&access, &inventory));
        let options = wiring::profile_options(&config);
        let profiles = qw_pipeline::open_profiles(options, &*store, &*store)?;
        let mut pipeline = Pipeline::new(
            Arc::clone(&store) as Arc<dyn RecordStore>,
            inventory.index(),
            statuses.clone(),
            notices.clone(),
            wiring::pipeline_options(&config)?,
        );
        // Deviations first: what Falco says of the same event is then part of their story.
        if config.profiles.enabled {
            let least_score = config.profiles.least_score as f32;
            let detector = ProfileDetector::new(Arc::clone(&profiles), least_score);
            pipeline.detect(Box::new(detector));
        }
        pipeline.detect(Box::new(FalcoRules::new(
            config.alerts.falco_min_priority,
            config.alerts.engine_min_priority,
            config.profiles.per,
        )));
        pipeline.alert(desk.clone());
        pipeline.observe(metrics.observer());
        pipeline.observe(hub.observer());
        pipeline.observe(notices.observer());
        let stop = CancellationToken::new();
        Ok(Self {
            config,
            demo,
            store,
            statuses,
            notices,
            metrics,
            hub,
            access,
            inventory,
            reading,
            tasks: Vec::new(),
            desk,
            profiles,
            pipeline,
            stop,
        })
    }

    /// Keeps the inventory up to date with an engine.
    fn watch(&self, docker: qw_docker::Docker) {
        let (inventory, stop) = (self.inventory.clone(), self.stop.clone());
        let notices = self.notices.clone();
        // Ends with `stop`; holds nothing that must be written at the end.
        tokio::spawn(async move { inventory.run(docker, notices, stop).await });
    }

    /// Reads what the containers of an engine use.
    fn read_usage(&mut self, docker: qw_docker::Docker) {
        if let Some(reading) = &self.reading {
            self.tasks = reading.start(&self.inventory, docker, &self.stop);
        }
    }

    /// Makes the first user with `password`, when there is none yet.
    fn first_user(&self, password: &str) -> Result<()> {
        if self.access.setup_required() {
            self.access
                .create_user(FIRST_USER, password, Role::Admin, now())?;
        }
        Ok(())
    }

    fn print_setup_when_new(&self) -> Result<()> {
        if let Some(token) = self.access.new_setup_token()? {
            let address = self.config.listen.console.address;
            say(&format!(
                "no user exists yet; create the first one at\n  http://{address}/setup?token={}",
                token.expose()
            ));
        }
        Ok(())
    }

    /// Runs until a signal or a listener's failure, then ends everything in order.
    async fn run(self, sources: Vec<ReadySource>, receivers: Vec<ReadyReceiver>) -> Result<()> {
        let Self {
            config,
            store,
            stop,
            mut pipeline,
            statuses,
            notices,
            desk,
            profiles,
            hub,
            ..
        } = self;
        let notifier = Notifier::start(
            &config.notifications,
            Arc::clone(&store) as Arc<dyn AlertStore>,
            Arc::clone(&store) as Arc<dyn StateStore>,
            qw_sinks::Options::new(now, wiring::jitter),
            &stop,
        )
        .context("notifications")?;
        let notifications = notifier.notifications();
        pipeline.observe(Box::new(Told(notifications.clone())));
        let transit = wiring::transit_log(&config, &*store)?;
        let router = qw_sinks::routes::Router::start(
            &qw_sinks::routes::Config {
                routes: config.routes.clone(),
            },
            Arc::clone(&store) as Arc<dyn RecordStore>,
            transit.clone(),
            Arc::clone(&store) as Arc<dyn StateStore>,
            qw_sinks::Options::new(now, wiring::jitter),
            &stop,
        )
        .context("routes")?;
        pipeline.observe(Box::new(Forwarded(router.routes())));
        if let Some(transit) = transit {
            let routes = router.routes();
            let filters = wiring::forward_only(&config)?;
            pipeline.forward_only(transit, filters, move || routes.is_any_running());
        }
        let oidc = config.oidc.as_ref().map(wiring::oidc).transpose()?;
        let sources_stop = CancellationToken::new();
        let mut source_tasks = JoinSet::new();
        for ready in sources {
            let intake = pipeline.intake(&ready.id, ready.kind, &ready.description);
            let (stop, notices) = (sources_stop.clone(), notices.clone());
            source_tasks.spawn(async move {
                let status = Arc::clone(intake.status());
                match ready.source.run(intake, stop).await {
                    Ok(()) => status.set_state(SourceState::Stopped, now()),
                    Err(error) => {
                        let text = format!("{:#}", anyhow::Error::from(error));
                        status.error(&text, now());
                        status.set_state(SourceState::Failed, now());
                        notices.raise(now(), NoticeLevel::Error, ready.id.as_str(), &text);
                    }
                }
            });
        }
        let mut doors = Vec::new();
        for ready in receivers {
            let kind = ready.config.kind().as_str();
            let intake = pipeline.intake(&ready.id, kind, &ready.config.description());
            intake.status().set_state(SourceState::Running, now());
            let router = qw_sources::receivers::http::router(&ready.config, ready.options, intake)
                .with_context(|| format!("receiver `{}`", ready.id))?;
            for (address, listener) in ready.listeners {
                let listener = TcpListener::from_std(listener)?;
                let options = ListenerOptions {
                    tls: ready.config.tls().filter(|_| address.is_encrypted()),
                    // Those who sign their requests are known by that.
                    open: ready.config.open || !ready.config.keys.is_empty(),
                    plain_http2: true,
                    ..ListenerOptions::default()
                };
                doors.push((listener, options, router.clone()));
            }
        }
        let http = SourceId::new("falco_http");
        let intake = pipeline.intake(&http, qw_sources::http::KIND, "Falco's http_output");
        intake.status().set_state(SourceState::Running, now());
        let receiver = Receiver::new(
            intake.clone(),
            statuses.clone(),
            qw_sources::http::Options::default(),
        );
        let test = SourceId::new("test");
        let test_events = pipeline.intake(&test, "test", "test events sent from the console");
        test_events.status().set_state(SourceState::Running, now());
        let state = State::new(Parts {
            records: Arc::clone(&store) as Arc<dyn RecordStore>,
            documents: Arc::clone(&store) as Arc<dyn StateStore>,
            alerts: Arc::clone(&store) as Arc<dyn AlertStore>,
            desk: desk.clone(),
            profiles: Arc::clone(&profiles),
            notifications: Some(notifications.clone()),
            forwarding: Some(router.routes()),
            usage: self.reading.as_ref().map(|reading| reading.usage.clone()),
            graphite: self
                .reading
                .map_or_else(Vec::new, |reading| reading.graphite),
            access: self.access.clone(),
            hub: hub.clone(),
            sources: statuses.clone(),
            notices,
            pipeline: pipeline.statistics(),
            inventory: self.inventory,
            metrics: self.metrics,
            test_events: Some(test_events),
            clock: Arc::new(now),
            settings: Settings {
                version: env!("CARGO_PKG_VERSION"),
                demo: self.demo,
                prometheus_url: config.prometheus_url.clone(),
                ui_dir: config.ui_dir.clone(),
                usage_labels: config.usage.container_labels.clone(),
                oidc,
                ..Settings::default()
            },
        })?;

        let pipeline_stop = CancellationToken::new();
        let (drained, pipeline_ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name(String::from("pipeline"))
            .spawn({
                let stop = pipeline_stop.clone();
                move || {
                    pipeline.run(&stop, now);
                    // Nobody waits when the process ends early.
                    drained.send(()).unwrap_or_default();
                }
            })?;

        let mut listeners = JoinSet::new();
        let console = bind(&config.listen.console).await?;
        let metrics = bind(&config.listen.metrics).await?;
        let falco = bind(&config.listen.falco).await?;
        let addresses = json!({
            "console": local(console.as_ref())?,
            "metrics": local(metrics.as_ref())?,
            "falco": local(falco.as_ref())?,
        });
        if let Some(listener) = console {
            let router = qw_sources::http::router(receiver.clone());
            let options = listener_options(&config.listen.console);
            let (state, stop) = (state.clone(), stop.clone());
            listeners.spawn(async move {
                qw_api::serve_console(listener, options, state, router, stop).await
            });
        }
        if let Some(listener) = metrics {
            let options = listener_options(&config.listen.metrics);
            listeners.spawn(qw_api::serve_metrics(
                listener,
                options,
                state.clone(),
                stop.clone(),
            ));
        }
        if let Some(listener) = falco {
            let router = qw_sources::http::router(receiver.clone());
            let options = listener_options(&config.listen.falco);
            let (state, stop) = (state.clone(), stop.clone());
            listeners.spawn(async move {
                qw_api::serve_ingest(listener, options, state, router, stop).await
            });
        }
        for (listener, options, router) in doors {
            let (state, stop) = (state.clone(), stop.clone());
            listeners.spawn(async move {
                qw_api::serve_ingest(listener, options, state, router, stop).await
            });
        }
        drop((receiver, intake, state));

        let upkeep = tokio::spawn(
            Upkeep {
                store: Arc::clone(&store),
                access: self.access.clone(),
                desk,
                profiles: Arc::clone(&profiles),
                hub,
                notifications,
                config: config.clone(),
            }
            .run(stop.clone()),
        );
        let files = announce(&config, &addresses, &self.access)?;

        let failed = tokio::select! {
            () = signal() => None,
            Some(ended) = listeners.join_next() => Some(ended),
        };

        // Sources first, so that nothing new comes; then the doors; then what is on its way.
        sources_stop.cancel();
        while source_tasks.join_next().await.is_some() {}
        stop.cancel();
        while listeners.join_next().await.is_some() {}
        pipeline_stop.cancel();
        if tokio::time::timeout(DRAIN_WITHIN, pipeline_ended)
            .await
            .is_err()
        {
            tracing::warn!(
                "the pipeline did not drain in time; what was not stored was not acknowledged"
            );
        }
        upkeep.await?;
        for task in self.tasks {
            task.await?;
        }
        notifier.stopped().await;
        router.stopped().await;
        qw_pipeline::save_profiles(&profiles, &*store, store.last_id())?;
        if let Some(folder) = &config.profiles.storage_path {
            report("writing trees", trees::write(&profiles, folder));
        }
        self.access.flush(now())?;
        for file in files {
            // It may be gone already; the next start writes it anew.
            drop(fs_err::remove_file(file));
        }
        if let Some(ended) = failed {
            ended?.context("a listener has failed")?;
        }
        Ok(())
    }
}

/// Wakes those who notify about alerts.
struct Told(Notifications);

impl Observer for Told {
    fn committed(&mut self, _: &SourceId, _: &Arc<[StoredEvent]>, _: Timestamp) {}

    fn alerted(&mut self, alerts: &[Seen]) {
        tell(&self.0, alerts);
    }
}

/// Hands what is committed to those who forward it.
struct Forwarded(qw_sinks::routes::Routes);

impl Observer for Forwarded {
    fn committed(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
        self.0.committed(events);
    }

    fn forwarded(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
        self.0.forwarded(events);
    }
}

fn tell(notifications: &Notifications, alerts: &[Seen]) {
    let changes = alerts.iter().flat_map(|seen| &seen.changes);
    if let Some(newest) = changes.map(|change| change.sequence).max() {
        notifications.committed(newest);
    }
}

/// What is done from time to time.
#[derive(Clone)]
struct Upkeep {
    store: Arc<Embedded>,
    access: Access,
    desk: Desk,
    profiles: SharedProfiles,
    hub: Hub,
    notifications: Notifications,
    config: Config,
}

impl Upkeep {
    /// Seals, compacts, drops what is too old, and writes what is only in memory, until `stop` fires.
    async fn run(self, stop: CancellationToken) {
        let every = self.config.store.upkeep_every.0.max(UPKEEP_AT_MOST_EVERY);
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flushed = Instant::now();
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let flushes = flushed.elapsed() >= FLUSH_EVERY;
            if flushes {
                flushed = Instant::now();
            }
            let upkeep = self.clone();
            let round = tokio::task::spawn_blocking(move || {
                let retention = wiring::retention(&upkeep.config);
                let maintained = upkeep.store.maintain(now(), &retention).map(drop);
                report("maintenance of the store", maintained);
                if flushes {
                    upkeep.flush();
                }
            });
            if round.await.is_err() {
                tracing::error!("a round of maintenance panicked; the next one goes on");
            }
        }
    }

    fn flush(&self) {
        report("writing times of last use", self.access.flush(now()));
        match self.desk.tick(now()) {
            Ok(seen) => {
                self.hub.tell_alerts(&seen);
                tell(&self.notifications, &seen);
            }
            Err(error) => report("upkeep of alerts", Err(error)),
        }
        if let Some(folder) = &self.config.profiles.storage_path {
            report("writing trees", trees::write(&self.profiles, folder));
        }
    }
}

fn report<E: Into<anyhow::Error>>(what: &str, result: Result<(), E>) {
    if let Err(error) = result {
        let error: anyhow::Error = error.into();
        tracing::error!(error = format!("{error:#}"), "{what}");
    }
}

/// Tells people and the command line where we are; returns the files to remove at the end.
fn announce(
    config: &Config,
    addresses: &serde_json::Value,
    access: &Access,
) -> Result<Vec<PathBuf>> {
    for old in access
        .tokens()
        .iter()
        .filter(|token| token.name == COMMAND_LINE_TOKEN)
    {
        access.revoke_token(&old.id, now())?;
    }
    let token = NewToken {
        name: COMMAND_LINE_TOKEN.to_owned(),
        scopes: Scope::ALL.into_iter().collect(),
        expires: None,
        created_by: FIRST_USER.to_owned(),
    };
    let (_, secret) = access.create_token(token, now())?;
    let token_file = config.data_dir.join("cli.token");
    wiring::write_private(&token_file, secret.expose())?;

    let tls = config.listen.console.tls.is_some();
    let run_file = config.data_dir.join("run.json");
    let run = json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "started": now(),
        "listen": addresses,
        "tls": tls,
    });
    wiring::write_private(&run_file, &run.to_string())?;

    let scheme = if tls { "https" } else { "http" };
    for (name, path) in [("console", "/"), ("metrics", "/metrics"), ("falco", "/")] {
        if let Some(address) = addresses[name].as_str() {
            say(&format!("  {name:<8} {scheme}://{address}{path}"));
        }
    }
    Ok(vec![run_file, token_file])
}

async fn bind(listener: &Listener) -> Result<Option<TcpListener>> {
    if !listener.enabled {
        return Ok(None);
    }
    let address = listener.address;
    let bound = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on `{address}`; is another quaywatch running, or choose another address"
        )
    })?;
    Ok(Some(bound))
}

fn local(listener: Option<&TcpListener>) -> Result<Option<SocketAddr>> {
    Ok(listener.map(TcpListener::local_addr).transpose()?)
}

fn listener_options(listener: &Listener) -> ListenerOptions {
    let tls = listener.tls.as_ref().map(
        |Tls {
             certificate,
             key,
             client_ca,
         }| qw_api::TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: client_ca.clone(),
        },
    );
    ListenerOptions {
        tls,
        open: listener.open,
        allowed_hosts: listener.allowed_hosts.clone(),
        ..ListenerOptions::default()
    }
}

/// Waits for SIGINT or SIGTERM.
async fn signal() {
    let terminate = async {
        match unix::signal(unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}
