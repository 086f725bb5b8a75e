//! Starts the routes, and answers questions about them.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use qw_event::{
    Category, ContainerRef, Event, EventId, Priority, RecordKind, StoredEvent, Timestamp,
};
use qw_pipeline::{FIRST_TRANSIT_ID, TransitLog};
use qw_store::{RecordStore, StateStore, StoreError};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, ConfigError, MAX_ROUTES, RouteConfig},
    dead_letters::{self, DeadLetter},
    destination::{self, Destination, Undelivered},
    log::{Log, LogKind},
    positions::{Stored, starting_position},
    record::{Batch, Part},
    runner::Runner,
    select::Selection,
    status::{RouteState, RouteStatus},
};
use crate::{Options, receiver::chain, runner::blocking};

mod change;
mod replay;

/// Collection of the store of state that holds routes that were added at run time, by name.
const ROUTES: &str = "routes";

/// A route, as its task and those who ask about it share it.
pub(crate) struct Route {
    pub(crate) config: RouteConfig,
    epoch: String,
    status: Mutex<RouteStatus>,
    /// Of each log, the number of the newest record that its task has looked at.
    reading: [AtomicU64; 2],
    /// Of each log, up to where everything is done and that is on disk.
    done: [AtomicU64; 2],
    is_running: AtomicBool,
    task: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
}

impl Route {
    /// The task has looked at everything up to `id`.
    pub(crate) fn set_reading(&self, log: LogKind, id: EventId) {
        raise(&self.reading, log, id);
    }

    /// That everything up to `id` is done, is on disk.
    pub(crate) fn set_done(&self, log: LogKind, id: EventId) {
        raise(&self.done, log, id);
    }

    /// Changes what is told of it.
    pub(crate) fn report(&self, change: impl FnOnce(&mut RouteStatus)) {
        change(&mut self.status.lock());
    }
}

fn raise(numbers: &[AtomicU64; 2], log: LogKind, id: EventId) {
    let [stored, transit] = numbers;
    let number = match log {
        LogKind::Stored => stored,
        LogKind::Transit => transit,
    };
    number.fetch_max(id.0, Ordering::Relaxed);
}

fn number(numbers: &[AtomicU64; 2], log: LogKind) -> EventId {
    let [stored, transit] = numbers;
    let number = match log {
        LogKind::Stored => stored,
        LogKind::Transit => transit,
    };
    EventId(number.load(Ordering::Relaxed))
}

/// What all routes share.
pub(crate) struct Shared {
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) state: Arc<dyn StateStore>,
    /// The stored log first.
    pub(crate) logs: Vec<Arc<Log>>,
    pub(crate) options: Options,
    routes: RwLock<Vec<Arc<Route>>>,
    /// One change of the list at a time.
    changing: tokio::sync::Mutex<()>,
    stop: CancellationToken,
}

impl Shared {
    /// Forgets the records that all routes have behind them: in memory, and in the disk buffer.
    pub(crate) fn release(&self) {
        let routes = self.routes.read();
        let running = || {
            routes
                .iter()
                .filter(|route| route.is_running.load(Ordering::Relaxed))
        };
        for log in &self.logs {
            let kind = log.kind();
            log.window
                .release(running().map(|route| number(&route.reading, kind)));
            if let Some(done) = running().map(|route| number(&route.done, kind)).min() {
                log.release(done);
            }
        }
    }

    fn log(&self, kind: LogKind) -> Option<&Arc<Log>> {
        self.logs.iter().find(|log| log.kind() == kind)
    }

    /// Number of the newest record of a log; 0 when there is no such log.
    fn last_id(&self, kind: LogKind) -> EventId {
        self.log(kind).map_or(EventId(0), |log| log.last_id())
    }

    fn find(&self, name: &str) -> Option<Arc<Route>> {
        let routes = self.routes.read();
        routes
            .iter()
            .find(|route| route.config.name == name)
            .map(Arc::clone)
    }
}

/// The running routes.
#[derive(Debug)]
pub struct Router {
    routes: Routes,
}

impl Router {
    /// Reads positions, and starts a task per route that runs until `stop`: those of `config`, and those
    /// that were added at run time under other names. Needs a runtime of tokio around it; reads and writes
    /// the store, so it blocks for a moment. What is forwarded and not stored is read from `transit`. Start it before anything is committed, so that no record has
    /// to be read back.
    ///
    /// # Errors
    /// What is wrong with the configuration, its files and secrets, or why a position cannot be read;
    /// nothing has been started then.
    pub fn start(
        config: &Config,
        records: Arc<dyn RecordStore>,
        transit: Option<Arc<TransitLog>>,
        state: Arc<dyn StateStore>,
        options: Options,
        stop: &CancellationToken,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let stored = Arc::new(Log::stored(Arc::clone(&records)));
        let transit = transit.map(|transit| Arc::new(Log::transit(transit)));
        let shared = Arc::new(Shared {
            logs: std::iter::once(stored).chain(transit).collect(),
            records,
            state,
            options,
            routes: RwLock::new(Vec::new()),
            changing: tokio::sync::Mutex::new(()),
            stop: stop.clone(),
        });
        let mut prepared = Vec::new();
        for route in &config.routes {
            prepared.push(prepare(&shared, route.clone())?);
        }
        let added = shared
            .state
            .list(ROUTES)
            .map_err(|source| ConfigError::Position {
                route: String::from("all"),
                source,
            })?;
        for (name, text) in added {
            if prepared.len() >= MAX_ROUTES || config.routes.iter().any(|route| route.name == name)
            {
                continue;
            }
            // One that was good once must not keep the others from starting.
            let route = serde_json::from_str::<RouteConfig>(&text)
                .map_err(|error| error.to_string())
                .and_then(|route| prepare(&shared, route).map_err(|error| chain(&error)));
            match route {
                Ok(route) => prepared.push(route),
                Err(error) => tracing::warn!(route = name, error, "a route cannot be started"),
            }
        }
        for route in prepared {
            launch(&shared, route);
        }
        Ok(Self {
            routes: Routes(shared),
        })
    }

    /// What questions are asked of, and what is told of news.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// Waits until all routes have ended after the stop: a batch on its way may arrive, for at most three
    /// seconds.
    pub async fn stopped(self) {
        let routes = self.routes.0.routes.read().clone();
        for route in routes {
            end(&route).await;
        }
    }
}

/// Questions about the routes, news for them, and changes of them. Clones speak of the same routes.
#[derive(Clone)]
pub struct Routes(Arc<Shared>);

impl Routes {
    /// These records are in the store now. To be called with every batch, in the order of the numbers;
    /// quick, and never waits. A batch that it is not called with is found in the store.
    pub fn committed(&self, records: &Arc<[StoredEvent]>) {
        self.news(LogKind::Stored, records);
    }

    /// These records are in the disk buffer now, as with [`Self::committed`].
    pub fn forwarded(&self, records: &Arc<[StoredEvent]>) {
        self.news(LogKind::Transit, records);
    }

    fn news(&self, kind: LogKind, records: &Arc<[StoredEvent]>) {
        if self.is_any_running()
            && let Some(log) = self.0.log(kind)
        {
            log.window.push(records);
        }
    }

    /// True when there is a route that is not switched off.
    pub fn is_any_running(&self) -> bool {
        let routes = self.0.routes.read();
        let is_running = |route: &Arc<Route>| route.is_running.load(Ordering::Relaxed);
        routes.iter().any(is_running)
    }

    /// How each route fares, in the order of the configuration.
    pub fn statuses(&self) -> Vec<RouteStatus> {
        let head = self.0.last_id(LogKind::Stored);
        let transit = self.0.last_id(LogKind::Transit);
        let routes = self.0.routes.read();
        let status = |route: &Arc<Route>| {
            let mut status = route.status.lock().clone();
            if status.state != RouteState::Disabled {
                status.lag = head.0.saturating_sub(status.position.0);
                let done = status.transit_position.max(EventId(FIRST_TRANSIT_ID.0 - 1));
                status.lag += transit.0.saturating_sub(done.0);
            }
            status
        };
        routes.iter().map(status).collect()
    }

    /// Sends a record that is clearly a test, past selection, pace and position, and returns what the
    /// destination answered. Files are only looked at.
    ///
    /// # Errors
    /// Why the record did not arrive.
    pub async fn test_send(&self, name: &str) -> Result<String, RouteError> {
        let route = self.0.find(name).ok_or_else(|| no_route(name))?;
        let config = &route.config;
        let mut destination = destination::open(config, "test", None)
            .map_err(|error| RouteError::Failed(chain(&error)))?;
        if let Some(found) = destination.probe().await {
            return found.map_err(|refusal| RouteError::Failed(refusal.text));
        }
        let now = (self.0.options.clock)();
        let records: Arc<[StoredEvent]> = Arc::new([test_record(config, now)]);
        let mut batch = Batch::default();
        let source = batch.add_source(&records);
        let mut selection = Selection::new(config)?;
        for (place, record) in records.iter().enumerate() {
            selection.add_any(&mut batch, source, place, record);
        }
        match destination.deliver(Part::new(&batch, &[0]), now).await {
            Ok(delivered) => match delivered.refused.into_iter().next() {
                Some((_, reason)) => Err(RouteError::Failed(reason)),
                None if !delivered.again.is_empty() => Err(RouteError::Failed(delivered.why_again)),
                None => Ok(delivered.answer),
            },
            Err(Undelivered::Split(text)) => Err(RouteError::Failed(text)),
            Err(Undelivered::Later { refusal, .. }) => Err(RouteError::Failed(refusal.text)),
        }
    }

    /// The records that the destination of a route refused for good, the oldest first; at most
    /// [`MAX_DEAD_LETTERS`](super::MAX_DEAD_LETTERS).
    ///
    /// # Errors
    /// When there is no such route, or the store cannot be read.
    pub async fn dead_letters(&self, name: &str) -> Result<Vec<DeadLetter>, RouteError> {
        let route = self.0.find(name).ok_or_else(|| no_route(name))?;
        let (state, name) = (Arc::clone(&self.0.state), route.config.name.clone());
        Ok(blocking(move || dead_letters::list(&*state, &name)).await?)
    }

    /// The configuration of each route, with those that were added at run time.
    pub fn configs(&self) -> Vec<RouteConfig> {
        let routes = self.0.routes.read();
        routes.iter().map(|route| route.config.clone()).collect()
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.0.routes.read();
        let names = routes.iter().map(|route| &route.config.name);
        f.debug_list().entries(names).finish()
    }
}

/// Why something could not be done with a route.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// There is no route of that name.
    #[error("there is no route `{0}`")]
    Unknown(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store of state failed.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("cannot read the log")]
    Log(#[source] qw_store::QueryError),
    /// The destination takes nothing; no secrets.
    #[error("{0}")]
    Failed(String),
}

fn no_route(name: &str) -> RouteError {
    RouteError::Unknown(name.chars().take(64).collect())
}

impl Config {
    /// Finds what is wrong with the configuration, its queries, files and secrets, without starting
    /// anything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.routes.len() > MAX_ROUTES {
            return Err(ConfigError::TooMany {
                count: self.routes.len(),
            });
        }
        let mut names = BTreeSet::new();
        for route in &self.routes {
            check(route)?;
            if !names.insert(&route.name) {
                return Err(ConfigError::Name {
                    name: route.name.clone(),
                });
            }
        }
        Ok(())
    }
}

fn check(route: &RouteConfig) -> Result<(), ConfigError> {
    route.check()?;
    Selection::new(route)?;
    // What is switched off may lack its files.
    if route.enabled {
        destination::open(route, "check", None)?;
    }
    Ok(())
}

/// A route that can be launched; what it runs with is `None` when it is switched off.
type Prepared = (
    Arc<Route>,
    Option<(Selection, Box<dyn Destination>, Stored)>,
);

fn prepare(shared: &Shared, config: RouteConfig) -> Result<Prepared, ConfigError> {
    config.check()?;
    let selection = Selection::new(&config)?;
    let mut status = RouteStatus {
        name: config.name.clone(),
        kind: config.to.kind(),
        place: String::new(),
        state: RouteState::Disabled,
        position: EventId(0),
        lag: 0,
        transit_position: EventId(0),
        sent: 0,
        sent_bytes: 0,
        filtered: 0,
        failed: 0,
        retried: 0,
        lost: 0,
        cut: 0,
        notice: None,
        last_success: None,
        last_error: None,
        last_error_time: None,
        next_attempt: None,
    };
    let mut running = None;
    let mut epoch = String::new();
    if config.enabled {
        let newest = (
            shared.last_id(LogKind::Stored),
            shared.last_id(LogKind::Transit),
        );
        let stored = starting_position(&config, &*shared.state, newest).map_err(|source| {
            ConfigError::Position {
                route: config.name.clone(),
                source,
            }
        })?;
        let destination = destination::open(&config, &stored.epoch, stored.mark.as_deref())?;
        status.place = destination.place();
        status.position = stored.id;
        status.transit_position = stored.transit;
        status.state = RouteState::Idle;
        epoch.clone_from(&stored.epoch);
        running = Some((selection, destination, stored));
    }
    let positions = running
        .as_ref()
        .map_or([0, 0], |(_, _, stored)| [stored.id.0, stored.transit.0]);
    let route = Route {
        reading: positions.map(AtomicU64::new),
        done: positions.map(AtomicU64::new),
        is_running: AtomicBool::new(running.is_some()),
        config,
        epoch,
        status: Mutex::new(status),
        task: Mutex::new(None),
    };
    Ok((Arc::new(route), running))
}

/// Puts a route into the list, in place of one of its name, and starts its task.
fn launch(shared: &Arc<Shared>, (route, running): Prepared) {
    {
        let mut routes = shared.routes.write();
        let same = routes
            .iter_mut()
            .find(|other| other.config.name == route.config.name);
        match same {
            Some(same) => *same = Arc::clone(&route),
            None => routes.push(Arc::clone(&route)),
        }
    }
    if let Some((selection, destination, stored)) = running {
        let stop = shared.stop.child_token();
        let runner = Runner::new(
            Arc::clone(shared),
            Arc::clone(&route),
            selection,
            destination,
            stored,
            stop.clone(),
        );
        *route.task.lock() = Some((stop, tokio::spawn(runner.run())));
    }
}

/// Ends the task of a route, and waits for it.
async fn end(route: &Route) {
    let Some((stop, task)) = route.task.lock().take() else {
        return;
    };
    stop.cancel();
    if let Err(error) = task.await {
        tracing::error!(%error, route = route.config.name, "a route ended by a fault");
    }
    route.is_running.store(false, Ordering::Relaxed);
}

/// A record that is clearly a test.
fn test_record(route: &RouteConfig, now: Timestamp) -> StoredEvent {
    let nothing: Arc<str> = "".into();
    StoredEvent {
        // No record of the log has it, and no two tests.
        id: EventId(u64::try_from(now.as_nanos()).unwrap_or(0)),
        event: Event {
            kind: RecordKind::Log,
            time: now,
            source: "stdout".into(),
            rule: "INFO".into(),
            priority: Priority::Informational,
            category: Category::Unknown,
            hostname: "quaywatch".into(),
            container: Arc::new(ContainerRef {
                name: "quaywatch-test".into(),
                ..ContainerRef::default()
            }),
            process_name: Arc::clone(&nothing),
            tags: Arc::new([]),
            output: format!("[TEST] The route `{}` of Quaywatch works.", route.name).into(),
            output_fields: RawValue::NULL.to_owned(),
        },
    }
}
