//! Who notices things in events, before they are stored.

use std::sync::Arc;

use qw_event::{AlertSource, Detection, Event, EventId, Priority, Reason, Timestamp};
use qw_profile::{Per, write_key};
use qw_store::OwnedStateChange;

/// Longest part of a message that becomes a reason, in characters.
const MESSAGE_CHARACTERS: usize = 300;

/// Looks at every event once, in the order in which they are stored. Lines of logs are among them, and
/// passed over.
///
/// Called on the pipeline's thread: must be quick and must not wait.
pub trait Detector: Send {
    /// Adds what is noticed in `events`, which were received at `received`, to `found`, in the order
    /// of the events.
    fn detect(&mut self, events: &[Event], received: Timestamp, found: &mut Vec<Detection>);

    /// Documents to be stored in the transaction that stores everything seen so far, if it is time;
    /// `last` is the number of the newest event in it. Asked again when the transaction is tried
    /// again.
    fn state(&mut self, _last: EventId, _now: Timestamp) -> Vec<OwnedStateChange> {
        Vec::new()
    }

    /// What [`Detector::state`] returned last is on disk.
    fn state_stored(&mut self) {}
}

/// Event source of what the container engine tells.
pub const ENGINE_EVENTS: &str = "docker";

/// Has events of Falco rules, and of the container engine, that are urgent enough become alerts.
#[derive(Debug, Clone)]
pub struct FalcoRules {
    least: Priority,
    engine_least: Priority,
    per: Per,
    key: String,
}

impl FalcoRules {
    /// Rules of priority `least` or more urgent, events of the engine of `engine_least` or more urgent;
    /// an alert concerns what has one profile by `per`.
    pub fn new(least: Priority, engine_least: Priority, per: Per) -> Self {
        Self {
            least,
            engine_least,
            per,
            key: String::new(),
        }
    }

    fn workload(&mut self, event: &Event) -> Arc<str> {
        self.key.clear();
        if !write_key(self.per, event, &mut self.key) {
            self.key.push_str("host:");
            self.key.push_str(&event.hostname);
        }
        self.key.as_str().into()
    }
}

impl Detector for FalcoRules {
    fn detect(&mut self, events: &[Event], _: Timestamp, found: &mut Vec<Detection>) {
        for (index, event) in events.iter().enumerate() {
            let (source, code, least) = match &*event.source {
                // What Falco says of itself is a notice to the operator, not an alert.
                "internal" => continue,
                ENGINE_EVENTS => (AlertSource::Engine, "engine_event", self.engine_least),
                _ => (AlertSource::Falco, "falco_rule", self.least),
            };
            if event.priority > least || !event.kind.is_event() {
                continue;
            }
            found.push(Detection {
                event: index,
                source,
                rule: Arc::clone(&event.rule),
                priority: event.priority,
                workload: self.workload(event),
                score: None,
                reasons: vec![Reason {
                    code: code.into(),
                    text: message(event),
                    time: event.time,
                    weight: 0.0,
                }],
                behaviour: Vec::new(),
            });
        }
    }
}

/// What the rule says, without the time and the priority that Falco puts in front.
fn message(event: &Event) -> String {
    let text = event.output.trim();
    let head = format!(": {} ", event.priority.as_str());
    let said = match text.split_once(&*head) {
        Some((time, said)) if time.starts_with(|first: char| first.is_ascii_digit()) => said,
        _ => text,
    };
    let said = if said.is_empty() { &*event.rule } else { said };
    match said.char_indices().nth(MESSAGE_CHARACTERS) {
        Some((end, _)) => format!("{}…", said.get(..end).unwrap_or(said)),
        None => said.to_owned(),
    }
}
