//! Which events are stored, and which only counted and profiled.
//!
//! Rules that see everything give thousands of events a second, most of them of no interest once
//! they are counted. Those that `observe` names are kept when something was noticed in them, when
//! they happened shortly before or after that in the same container, or as a sample. Events that
//! may yet turn out to come shortly before are held for a moment.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use qw_event::{Detection, Event, SourceId, Timestamp};
use qw_store::query::Filter;
use rustc_hash::FxHashMap;

use crate::{SourceStatus, intake::Submission};

/// Events held for one container, and for all.
const HELD_PER_CONTAINER: usize = 32;
const HELD: usize = 8_192;
/// What is held is looked through this often.
const LOOK_EVERY_NANOS: i64 = 500_000_000;
/// Containers whose end of context is remembered.
const REMEMBERED: usize = 10_000;

/// Which events are only observed.
#[derive(Debug, Clone, Default)]
pub struct Observe {
    /// Events that match one of these are not stored, with the exceptions above.
    pub filters: Vec<Filter>,
    /// Of those, one in this many is stored all the same; zero stores none.
    pub sample: u32,
    /// How long before and after a detection the events of its container are stored.
    pub context: Duration,
}

/// Decides for each event whether it is stored.
pub(crate) struct Keep {
    observe: Observe,
    held: BTreeMap<Arc<str>, VecDeque<Held>>,
    held_events: usize,
    /// Until when everything of a container is kept, by the time of its events.
    until: FxHashMap<Arc<str>, Timestamp>,
    counted: u64,
    let_go: Vec<Held>,
    /// When what is held was last looked through.
    looked: Timestamp,
}

/// An event that is not stored unless something is noticed soon.
struct Held {
    source: SourceId,
    status: Arc<SourceStatus>,
    received: Timestamp,
    event: Event,
}

/// Events that arrived together and are not stored.
pub(crate) struct Observed {
    pub(crate) source: SourceId,
    pub(crate) status: Arc<SourceStatus>,
    pub(crate) received: Timestamp,
    pub(crate) events: Vec<Event>,
}

impl Keep {
    pub(crate) fn new(observe: Observe) -> Self {
        Self {
            observe,
            held: BTreeMap::new(),
            held_events: 0,
            until: FxHashMap::default(),
            counted: 0,
            let_go: Vec::new(),
            looked: Timestamp::MIN,
        }
    }

    /// Leaves in `submission` what is to be stored, puts what was held before a detection in front of
    /// it, and brings the indices of its detections in line.
    pub(crate) fn apply(&mut self, submission: &mut Submission) {
        if self.observe.filters.is_empty() {
            return;
        }
        let mut detections = std::mem::take(&mut submission.detections)
            .into_iter()
            .peekable();
        let events = std::mem::take(&mut submission.events);
        let mut kept = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let is_noticed = detections.peek().is_some_and(|next| next.event == index);
            if is_noticed {
                self.begin_context(&event);
                self.take_held(&event.container.id, submission, &mut kept);
            }
            while let Some(detection) = detections.next_if(|next| next.event == index) {
                submission.detections.push(Detection {
                    event: kept.len(),
                    ..detection
                });
            }
            if is_noticed || self.is_kept(&event) {
                kept.push(event);
            } else {
                self.hold(Held {
                    source: submission.source.clone(),
                    status: Arc::clone(&submission.status),
                    received: submission.received,
                    event,
                });
            }
        }
        submission.events = kept;
    }

    /// How soon [`Self::let_go`] has something to do though nothing arrives; `None` while nothing is
    /// held.
    pub(crate) fn look_again(&self) -> Option<Duration> {
        let is_idle = self.held.is_empty() && self.let_go.is_empty();
        (!is_idle).then_some(Duration::from_nanos(LOOK_EVERY_NANOS as u64))
    }

    /// Lets go of what was held for longer than the context, everything when `now` is `None`.
    /// Returns what is not stored for good, in order of arrival.
    pub(crate) fn let_go(&mut self, now: Option<Timestamp>) -> Vec<Observed> {
        let mut let_go = std::mem::take(&mut self.let_go);
        if self.is_time(now) {
            let context = i64::try_from(self.observe.context.as_nanos()).unwrap_or(i64::MAX);
            let is_due = |held: &Held| {
                let until = held.received.as_nanos().saturating_add(context);
                now.is_none_or(|now| until <= now.as_nanos())
            };
            for ring in self.held.values_mut() {
                while let Some(held) = ring.pop_front_if(|held| is_due(held)) {
                    self.held_events -= 1;
                    let_go.push(held);
                }
            }
            self.held.retain(|_, ring| !ring.is_empty());
        }
        let_go.sort_by_key(|held| held.received);
        let mut groups: Vec<Observed> = Vec::new();
        for held in let_go {
            match groups.last_mut() {
                Some(group)
                    if Arc::ptr_eq(&group.status, &held.status)
                        && group.received == held.received =>
                {
                    group.events.push(held.event);
                }
                _ => groups.push(Observed {
                    source: held.source,
                    status: held.status,
                    received: held.received,
                    events: vec![held.event],
                }),
            }
        }
        groups
    }

    /// True when what is held is to be looked through.
    fn is_time(&mut self, now: Option<Timestamp>) -> bool {
        let Some(now) = now else { return true };
        let soon = self.looked.as_nanos().saturating_add(LOOK_EVERY_NANOS);
        if self.held.is_empty() || (self.looked.as_nanos()..soon).contains(&now.as_nanos()) {
            return false;
        }
        self.looked = now;
        true
    }

    fn begin_context(&mut self, event: &Event) {
        if self.until.len() >= REMEMBERED {
            self.until.clear();
        }
        let context = i64::try_from(self.observe.context.as_nanos()).unwrap_or(i64::MAX);
        let end = Timestamp::from_nanos(event.time.as_nanos().saturating_add(context));
        let until = self
            .until
            .entry(Arc::clone(&event.container.id))
            .or_insert(end);
        *until = (*until).max(end);
    }

    fn take_held(&mut self, container: &str, submission: &Submission, kept: &mut Vec<Event>) {
        let Some(ring) = self.held.remove(container) else {
            return;
        };
        self.held_events -= ring.len();
        for held in ring {
            // A batch has one source. The same container by way of two is rare.
            if Arc::ptr_eq(&held.status, &submission.status) {
                kept.push(held.event);
            } else {
                self.let_go.push(held);
            }
        }
    }

    fn is_kept(&mut self, event: &Event) -> bool {
        // A line that a container wrote is not one of many that a rule makes.
        if !event.kind.is_event() {
            return true;
        }
        if !self
            .observe
            .filters
            .iter()
            .any(|filter| filter.matches(event))
        {
            return true;
        }
        self.counted += 1;
        let sample = u64::from(self.observe.sample);
        if sample > 0 && self.counted.is_multiple_of(sample) {
            return true;
        }
        let until = self.until.get(&event.container.id);
        until.is_some_and(|until| event.time <= *until)
    }

    fn hold(&mut self, held: Held) {
        let id = &held.event.container.id;
        if !self.held.contains_key(id) {
            if self.held_events >= HELD {
                self.let_go.push(held);
                return;
            }
            self.held.insert(Arc::clone(id), VecDeque::new());
        }
        if let Some(ring) = self.held.get_mut(id) {
            if ring.len() >= HELD_PER_CONTAINER || self.held_events >= HELD {
                self.let_go.extend(ring.pop_front());
                self.held_events -= 1;
            }
            ring.push_back(held);
            self.held_events += 1;
        }
    }
}
