//! What happens to containers, as the engine tells it: started, ended with which exit code, out of memory,
//! unhealthy, again and again.
//!
//! Each is an event like those of Falco, with the event source `docker`, and its priority decides whether
//! it is an alert. A container that is asked to end and then does is nothing unusual; one that ends by
//! itself with an error is. The engine remembers its newest events, so what happened while we were away
//! is read as far as it does.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use qw_docker::{Docker, EngineEvent, EngineEvents};
use qw_event::{
    Category, ContainerRef, Event, Position, Priority, RecordKind, SourceId, Timestamp,
};
use qw_pipeline::{CancellationToken, ENGINE_EVENTS, Intake, Source, SourceError, SourceState};
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::clock::now;

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "docker_events";
/// Events that are remembered, to know them when the engine tells them again.
const REMEMBERED: usize = 512;
/// The engine's clock may step back a little between two events.
const OVERLAP: Duration = Duration::from_secs(2);
/// How long after a signal an end counts as asked for.
const ASKED_WITHIN: Duration = Duration::from_secs(60);
/// So many ends with an error ...
const LOOP_ENDS: usize = 3;
/// ... within this time are a loop, which is told once in it.
const LOOP_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Containers of which something is remembered.
const MOST_CONTAINERS: usize = 10_000;
/// Pause after a fault.
const RETRY: Duration = Duration::from_secs(2);

/// Follows the events of one engine.
pub struct EngineSource {
    docker: Docker,
}

impl EngineSource {
    /// A source of the events of `docker`.
    pub fn new(docker: Docker) -> Self {
        Self { docker }
    }

    /// Name of the source.
    pub fn source_id() -> SourceId {
        SourceId::new("docker:events")
    }
}

/// What is stored with the events.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    newest: Timestamp,
    /// What has been taken, by hash, the newest last.
    taken: VecDeque<u64>,
}

#[async_trait]
impl Source for EngineSource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let cursor = intake.cursor().await.map_err(|error| {
            SourceError::new("cannot read where the engine's events were left", error)
        })?;
        let place = cursor
            .and_then(|cursor| serde_json::from_str(&cursor.position?.0).ok())
            .unwrap_or_default();
        let mut follower = Follower {
            intake,
            place,
            fates: Fates::default(),
        };
        let endpoint = self.docker.endpoint().to_string();
        while !stop.is_cancelled() {
            let since = (follower.place.newest != Timestamp::EPOCH)
                .then(|| follower.place.newest.saturating_sub(OVERLAP));
            let opened = stop.run_until_cancelled(self.docker.events(since, &["container"]));
            let ended = match opened.await {
                None => break,
                Some(Ok(events)) => follower.follow(events, &stop).await,
                Some(Err(error)) => Err(error.to_string()),
            };
            let status = follower.intake.status();
            if let Err(error) = ended {
                status.set_state(SourceState::Waiting, now());
                status.error(format!("events of {endpoint}: {error}"), now());
            }
            stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
        }
        Ok(())
    }
}

struct Follower {
    intake: Intake,
    place: Place,
    fates: Fates,
}

impl Follower {
    async fn follow(
        &mut self,
        mut events: EngineEvents,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        self.intake.status().set_state(SourceState::Running, now());
        loop {
            let event = match stop.run_until_cancelled(events.next()).await {
                None => return Ok(()),
                Some(Ok(Some(event))) => event,
                Some(Ok(None)) => return Err("the engine ended the stream".to_owned()),
                Some(Err(error)) => return Err(error.to_string()),
            };
            if !self.place.take(&event) {
                continue;
            }
            let records = self.fates.records(&event);
            let time = now();
            self.intake.status().received(records.len() as u64, 0, time);
            let position = serde_json::to_string(&self.place).ok().map(Position);
            if self.intake.send(records, position, time).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Place {
    /// Notes that `event` is taken; false when it was before.
    fn take(&mut self, event: &EngineEvent) -> bool {
        let mut hasher = FxHasher::default();
        (event.time.as_nanos(), &event.id, &event.action).hash(&mut hasher);
        let hash = hasher.finish();
        if self.taken.contains(&hash) {
            return false;
        }
        self.taken.push_back(hash);
        if self.taken.len() > REMEMBERED {
            self.taken.pop_front();
        }
        self.newest = self.newest.max(event.time);
        true
    }
}

/// What is remembered of containers, to tell an end that was asked for from one that was not.
#[derive(Debug, Default)]
struct Fates {
    containers: BTreeMap<String, Fate>,
}

#[derive(Debug, Default)]
struct Fate {
    newest: Timestamp,
    signalled: Option<Timestamp>,
    ends: VecDeque<Timestamp>,
    loop_told: Option<Timestamp>,
}

/// What one action of the engine means.
struct Meaning {
    rule: &'static str,
    priority: Priority,
    text: String,
}

impl Fates {
    /// The records for `event`; none for what only matters to the engine.
    fn records(&mut self, event: &EngineEvent) -> Vec<Event> {
        if self.containers.len() >= MOST_CONTAINERS && !self.containers.contains_key(&event.id) {
            let oldest = self.containers.iter().min_by_key(|(_, fate)| fate.newest);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.containers.remove(&id);
            }
        }
        let fate = self.containers.entry(event.id.clone()).or_default();
        fate.newest = event.time;
        let meanings = fate.meanings(event);
        if event.action == "destroy" {
            self.containers.remove(&event.id);
        }
        meanings
            .into_iter()
            .map(|meaning| record(event, meaning))
            .collect()
    }
}

impl Fate {
    fn meanings(&mut self, event: &EngineEvent) -> Vec<Meaning> {
        let name = event.attributes.get("name").map_or("", String::as_str);
        let say = |rule, priority, what: &str| Meaning {
            rule,
            priority,
            text: format!("Container {name} {what}"),
        };
        let is_within = |then: Timestamp, span| event.time.since(then) <= span;
        let (action, detail) = event
            .action
            .split_once(':')
            .map_or((event.action.as_str(), ""), |(action, detail)| {
                (action, detail.trim())
            });
        match (action, detail) {
            ("create", _) => vec![say(
                "Container created",
                Priority::Informational,
                "was created",
            )],
            ("start", _) => vec![say("Container started", Priority::Informational, "started")],
            ("destroy", _) => vec![say(
                "Container removed",
                Priority::Informational,
                "was removed",
            )],
            ("rename", _) => vec![say(
                "Container renamed",
                Priority::Informational,
                "has a new name",
            )],
            ("pause", _) => vec![say("Container paused", Priority::Notice, "was paused")],
            ("unpause", _) => vec![say(
                "Container resumed",
                Priority::Informational,
                "goes on after a pause",
            )],
            ("update", _) => vec![say(
                "Container limits changed",
                Priority::Notice,
                "has other limits now",
            )],
            ("kill", _) => {
                self.signalled = Some(event.time);
                Vec::new()
            }
            ("oom", _) => vec![say(
                "Container ran out of memory",
                Priority::Error,
                "ran out of memory; the kernel ended a process of it",
            )],
            ("health_status", "unhealthy") => vec![say(
                "Container became unhealthy",
                Priority::Warning,
                "became unhealthy",
            )],
            ("health_status", "healthy") => vec![say(
                "Container became healthy",
                Priority::Informational,
                "became healthy",
            )],
            ("die", _) => {
                let code = event.attributes.get("exitCode").map_or("", String::as_str);
                let was_asked = self
                    .signalled
                    .take()
                    .is_some_and(|then| is_within(then, ASKED_WITHIN));
                if was_asked || code == "0" {
                    let text = format!("ended (exit code {code})");
                    return vec![say("Container ended", Priority::Informational, &text)];
                }
                let text = format!("ended by itself with exit code {code}");
                let mut meanings = vec![say(
                    "Container ended with an error",
                    Priority::Warning,
                    &text,
                )];
                self.ends.retain(|then| is_within(*then, LOOP_WITHIN));
                self.ends.push_back(event.time);
                let was_told = self
                    .loop_told
                    .is_some_and(|then| is_within(then, LOOP_WITHIN));
                if self.ends.len() >= LOOP_ENDS && !was_told {
                    self.loop_told = Some(event.time);
                    let text = format!(
                        "ended with an error {} times within 5 minutes",
                        self.ends.len()
                    );
                    meanings.push(say("Container restarts in a loop", Priority::Error, &text));
                }
                if self.ends.len() > 100 {
                    self.ends.pop_front();
                }
                meanings
            }
            _ => Vec::new(),
        }
    }
}

fn record(event: &EngineEvent, meaning: Meaning) -> Event {
    let attribute = |name: &str| event.attributes.get(name).map_or("", String::as_str);
    let mut fields = serde_json::Map::new();
    let mut put = |name: &str, value: serde_json::Value| fields.insert(name.to_owned(), value);
    put("container.id", event.id.as_str().into());
    put("container.name", attribute("name").into());
    put("container.image", attribute("image").into());
    put("docker.event.action", event.action.as_str().into());
    if let Ok(code) = attribute("exitCode").parse::<i64>() {
        put("process.exit.code", code.into());
    }
    if let Ok(seconds) = attribute("execDuration").parse::<u64>() {
        put("docker.event.exec_duration", seconds.into());
    }
    let nothing: Arc<str> = "".into();
    Event {
        kind: RecordKind::Event,
        time: event.time,
        source: ENGINE_EVENTS.into(),
        rule: meaning.rule.into(),
        priority: meaning.priority,
        category: Category::Unknown,
        hostname: Arc::clone(&nothing),
        container: Arc::new(ContainerRef {
            id: event.id.as_str().into(),
            name: attribute("name").into(),
            image: attribute("image").into(),
            ..ContainerRef::default()
        }),
        process_name: nothing,
        tags: ["container".into(), "engine".into()].into(),
        output: meaning.text.into(),
        output_fields: serde_json::value::to_raw_value(&fields).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, second: i64, attributes: &[(&str, &str)]) -> EngineEvent {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        EngineEvent {
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: "ab".to_owned(),
            attributes: attributes
                .iter()
                .chain(&[("name", "web")])
                .map(own)
                .collect(),
            time: Timestamp::from_seconds(second),
        }
    }

    fn rules(fates: &mut Fates, event: &EngineEvent) -> Vec<(String, Priority)> {
        let records = fates.records(event);
        let rule = |record: &Event| (record.rule.to_string(), record.priority);
        records.iter().map(rule).collect()
    }

    #[test]
    fn an_end_that_was_asked_for_is_no_error() {
        let mut fates = Fates::default();
        let failed = [("exitCode", "137")];
        assert_eq!(
            rules(&mut fates, &event("kill", 1, &[("signal", "15")])),
            []
        );
        assert_eq!(
            rules(&mut fates, &event("die", 5, &failed)),
            [("Container ended".to_owned(), Priority::Informational)]
        );
        assert_eq!(
            rules(&mut fates, &event("die", 6, &failed)),
            [(
                "Container ended with an error".to_owned(),
                Priority::Warning
            )]
        );
        assert_eq!(
            rules(&mut fates, &event("die", 7, &[("exitCode", "0")])),
            [("Container ended".to_owned(), Priority::Informational)]
        );
        // A signal such as the one that has a program read its configuration again ends nothing.
        rules(&mut fates, &event("kill", 10, &[("signal", "1")]));
        assert_eq!(
            rules(&mut fates, &event("die", 100, &failed))[0].1,
            Priority::Warning
        );
    }

    #[test]
    fn a_loop_is_told_once_in_a_while() {
        let mut fates = Fates::default();
        let mut told = Vec::new();
        for second in [0, 10, 20, 30, 40, 400, 410, 420] {
            let rules = rules(&mut fates, &event("die", second, &[("exitCode", "1")]));
            if rules.len() == 2 {
                assert_eq!(
                    rules[1],
                    ("Container restarts in a loop".to_owned(), Priority::Error)
                );
                told.push(second);
            }
        }
        assert_eq!(told, [20, 420]);
    }

    #[test]
    fn records_carry_what_the_engine_says() {
        let mut fates = Fates::default();
        let records = fates.records(&event("die", 5, &[("exitCode", "3"), ("image", "shop:1")]));
        assert_eq!(
            &*records[0].output,
            "Container web ended by itself with exit code 3"
        );
        assert_eq!(
            records[0].output_fields.get(),
            r#"{"container.id":"ab","container.name":"web","container.image":"shop:1","docker.event.action":"die","process.exit.code":3}"#
        );
        assert_eq!(
            rules(&mut fates, &event("health_status: unhealthy", 6, &[])).len(),
            1
        );
        assert_eq!(
            rules(&mut fates, &event("exec_create: sh", 6, &[])).len(),
            0
        );
    }

    #[test]
    fn what_the_engine_tells_again_is_known() {
        let mut place = Place::default();
        assert!(place.take(&event("die", 5, &[])));
        assert!(place.take(&event("start", 5, &[])));
        let text = serde_json::to_string(&place).unwrap();
        let mut place: Place = serde_json::from_str(&text).unwrap();
        assert!(!place.take(&event("die", 5, &[])));
        assert!(place.take(&event("die", 6, &[])));
        for second in 0..2000 {
            place.take(&event("die", second, &[]));
        }
        assert!(serde_json::to_string(&place).unwrap().len() < 16 * 1024);
    }
}
