//! Starts the sinks, and answers questions about them.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use qw_event::Timestamp;
use qw_store::{AlertStore, StateStore};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alertmanager::Alertmanager,
    config::{Config, ConfigError, MAX_SINKS, SinkConfig, Target},
    message::Message,
    receiver::{Answer, Receiver},
    runner::{Runner, Sink, starting_position},
    smtp::Smtp,
    status::{SinkStatus, Standing},
    syslog::Syslog,
    webhook::Webhook,
};

/// What sinks take from the world around them.
#[derive(Clone)]
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// A number from 0 to 1, new at each call, that spreads repetitions.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause after a failure.
    pub longest_pause: Duration,
    /// How often the history is looked at when nobody says that there is something new.
    pub poll: Duration,
}

impl Options {
    /// The usual pauses, with this clock and jitter.
    pub fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        jitter: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Arc::new(clock),
            jitter: Arc::new(jitter),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            poll: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

/// The running sinks.
#[derive(Debug)]
pub struct Notifier {
    notifications: Notifications,
    tasks: JoinSet<()>,
}

impl Notifier {
    /// Reads positions, and starts a task per sink that runs until `stop`. Needs a runtime of tokio
    /// around it; reads and writes the store, so it blocks for a moment.
    ///
    /// # Errors
    /// What is wrong with the configuration, its files and secrets, or why a position cannot be
    /// read; nothing has been started then.
    pub fn start(
        config: &Config,
        alerts: Arc<dyn AlertStore>,
        state: Arc<dyn StateStore>,
        options: Options,
        stop: &CancellationToken,
    ) -> Result<Self, ConfigError> {
        let sinks = check(config)?;
        let (_, newest) = alerts
            .last_alert()
            .map_err(|source| ConfigError::Position {
                sink: String::from("all"),
                source,
            })?;
        let head = Arc::new(watch::Sender::new(newest));
        let mut running = Vec::new();
        let mut entries = Vec::new();
        for (sink, receiver) in sinks {
            let position = if receiver.is_some() {
                starting_position(sink, &*state, newest).map_err(|source| {
                    ConfigError::Position {
                        sink: sink.name.clone(),
                        source,
                    }
                })?
            } else {
                0
            };
            let place = receiver
                .as_ref()
                .map_or(String::new(), |receiver| receiver.place());
            let status = SinkStatus::new(sink, place, position);
            let entry = Arc::new(Sink::new(sink.clone(), receiver, status));
            if sink.enabled {
                running.push((Arc::clone(&entry), position));
            }
            entries.push(entry);
        }
        let mut tasks = JoinSet::new();
        for (sink, position) in running {
            let runner = Runner::new(
                sink,
                position,
                config.console_url.clone(),
                Arc::clone(&alerts),
                Arc::clone(&state),
                Arc::clone(&head),
                options.clone(),
                stop.clone(),
            );
            tasks.spawn(runner.run());
        }
        let notifications = Notifications(Arc::new(Shared {
            sinks: entries,
            head,
            console_url: config.console_url.clone(),
            clock: options.clock,
        }));
        Ok(Self {
            notifications,
            tasks,
        })
    }

    /// What questions are asked of, and what is told of news.
    pub fn notifications(&self) -> Notifications {
        self.notifications.clone()
    }

    /// Waits until all sinks have ended after the stop: a message on its way may arrive, for at most
    /// three seconds.
    pub async fn stopped(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a notification sink ended by a fault");
            }
        }
    }
}

/// Questions about the sinks, and news for them. Clones speak of the same sinks.
#[derive(Clone)]
pub struct Notifications(Arc<Shared>);

struct Shared {
    sinks: Vec<Arc<Sink>>,
    head: Arc<watch::Sender<u64>>,
    console_url: Option<String>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Notifications {
    /// Changes up to the number `sequence` are in the history now.
    pub fn committed(&self, sequence: u64) {
        self.0.head.send_if_modified(|head| {
            let is_new = sequence > *head;
            *head = sequence.max(*head);
            is_new
        });
    }

    /// How each sink fares, in the order of the configuration.
    pub fn statuses(&self) -> Vec<SinkStatus> {
        let head = *self.0.head.borrow();
        let status = |sink: &Arc<Sink>| {
            let mut status = sink.status();
            if status.standing != Standing::Disabled {
                status.lag = head.saturating_sub(status.position);
            }
            status
        };
        self.0.sinks.iter().map(status).collect()
    }

    /// Sends a message that is clearly a test, past selection, pace and position, and returns what
    /// the receiver answered.
    pub async fn test_send(&self, name: &str) -> Result<Answer, TestFailed> {
        let unknown = || TestFailed::Unknown(name.chars().take(64).collect());
        let mut sinks = self.0.sinks.iter();
        let sink = sinks
            .find(|sink| sink.config.name == name)
            .ok_or_else(unknown)?;
        let receiver = sink.receiver.as_ref().ok_or(TestFailed::Disabled)?;
        let now = (self.0.clock)();
        let message = Message::test(name, now, self.0.console_url.as_deref());
        receiver
            .deliver(&[message], now)
            .await
            .map_err(|refusal| TestFailed::Refused(refusal.text))
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.sinks.iter().map(|sink| &sink.config.name);
        f.debug_list().entries(names).finish()
    }
}

/// Why a test message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TestFailed {
    /// There is no sink of that name.
    #[error("there is no notification sink `{0}`")]
    Unknown(String),
    /// The sink is switched off.
    #[error("the notification sink is switched off")]
    Disabled,
    /// What the receiver said, or why it could not be reached; no secrets.
    #[error("{0}")]
    Refused(String),
}

impl Config {
    /// Finds what is wrong with the configuration, its templates, files and secrets, without
    /// starting anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        check(self).map(drop)
    }
}

type Checked<'a> = Vec<(&'a SinkConfig, Option<Box<dyn Receiver>>)>;

fn check(config: &Config) -> Result<Checked<'_>, ConfigError> {
    if config.sinks.len() > MAX_SINKS {
        return Err(ConfigError::TooMany {
            count: config.sinks.len(),
        });
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for sink in &config.sinks {
        sink.check()?;
        if !names.insert(&sink.name) {
            return Err(ConfigError::Name {
                name: sink.name.clone(),
            });
        }
        // What is switched off may lack its files.
        let receiver = sink.enabled.then(|| receiver(sink)).transpose()?;
        checked.push((sink, receiver));
    }
    Ok(checked)
}

fn receiver(sink: &SinkConfig) -> Result<Box<dyn Receiver>, ConfigError> {
    Ok(match &sink.to {
        Target::Webhook(config) => Box::new(Webhook::new(sink, config)?),
        Target::Alertmanager(config) => Box::new(Alertmanager::new(sink, config)?),
        Target::Syslog(config) => Box::new(Syslog::new(sink, config)?),
        Target::Smtp(config) => Box::new(Smtp::new(sink, config)?),
    })
}
