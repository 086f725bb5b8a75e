//! Detections → alerts, within the transaction that stores their events.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::MutexGuard;
use qw_event::{
    Alert, AlertAction, AlertChange, AlertId, AlertSource, AlertState, Audience, CloseReason,
    Detection, MAX_BEHAVIOUR, MAX_EVIDENCE, MAX_REASONS, Reason, StoredEvent, Timestamp,
};
use qw_store::{Accompaniment, AlertsWritten, Appended, Companion, Occurrence};

use crate::desk::{Audiences, Group, Inner, Seen, State, before, seen};

/// Rule and workload of the alerts that take what has no room of its own.
const OTHER: &str = "(other)";
/// Open alerts of one group that tell different stories; beyond, the newest takes everything.
const MAX_STORIES: usize = 20;
/// Reasons of one event that an alert tells, the heaviest.
const EVENT_REASONS: usize = 3;
/// Reasons that make up a title, and its length in characters.
const TITLE_REASONS: usize = 3;
const TITLE_CHARACTERS: usize = 300;
const MINUTE_NANOS: i64 = 60_000_000_000;

/// Folds the detections of one append; see [`crate::Desk::fold`].
pub struct Folding<'a> {
    inner: &'a Inner,
    state: MutexGuard<'a, State>,
    detections: &'a [Vec<Detection>],
    audiences: Arc<Audiences>,
    now: Timestamp,
    pending: Pending,
    seen: Vec<Seen>,
}

/// What becomes true when the transaction commits.
#[derive(Default)]
struct Pending {
    alerts: BTreeMap<AlertId, Alert>,
    groups: Vec<(Group, AlertId)>,
    occurrences: BTreeMap<(AlertId, i64, Arc<str>), u64>,
    changes: Vec<AlertChange>,
    last_id: u64,
    opened: usize,
}

/// Where a detection goes.
enum Place {
    /// To an open alert.
    Open(AlertId),
    /// To a closed one that mutes it.
    Muted(AlertId),
    /// To a new one of this group.
    New(Group),
}

impl<'a> Folding<'a> {
    pub(crate) fn new(inner: &'a Inner, detections: &'a [Vec<Detection>], now: Timestamp) -> Self {
        Self {
            inner,
            state: inner.state.lock(),
            audiences: inner.audiences(),
            detections,
            now,
            pending: Pending::default(),
            seen: Vec::new(),
        }
    }

    /// What was committed; empty when nothing was.
    pub fn finish(self) -> Vec<Seen> {
        self.seen
    }

    fn alert(&self, id: AlertId) -> Option<&Alert> {
        let pending = self.pending.alerts.get(&id);
        pending.or_else(|| self.state.alerts.get(&id))
    }

    fn take(&mut self, detection: &Detection, event: &StoredEvent) {
        match self.place(detection, event) {
            Place::Open(id) | Place::Muted(id) => self.add(id, detection, event),
            Place::New(group) => self.raise(group, detection, event),
        }
    }

    fn place(&self, detection: &Detection, event: &StoredEvent) -> Place {
        let audience = (self.audiences)(&event.event.container);
        if let Some(story) = self.story(detection, event, &audience) {
            return Place::Open(story);
        }
        let group = Group::of_detection(detection, audience);
        if let Some(place) = self.place_in(&group, detection, event) {
            return place;
        }
        let open = self.state.open + self.pending.opened;
        if open < self.inner.options.max_open {
            return Place::New(group);
        }
        // Two steps, so that a flood of workloads and one of rules are both bounded. The last takes
        // what nobody may see together but those who may see everything.
        let other_workload = Group {
            workload: OTHER.into(),
            ..group
        };
        let other_rule = Group {
            rule: OTHER.into(),
            audience: Audience::default(),
            ..other_workload.clone()
        };
        let room = open < self.inner.options.max_open + self.inner.options.max_open / 10;
        self.place_in(&other_workload, detection, event)
            .or_else(|| room.then_some(Place::New(other_workload)))
            .or_else(|| self.place_in(&other_rule, detection, event))
            .unwrap_or(Place::New(other_rule))
    }

    /// The open alert about deviations in the same container a short time ago, of which a rule of
    /// Falco's tells one more part.
    fn story(
        &self,
        detection: &Detection,
        event: &StoredEvent,
        audience: &Audience,
    ) -> Option<AlertId> {
        if detection.source != AlertSource::Falco {
            return None;
        }
        let group = Group::of_deviations(&detection.workload, audience.clone());
        let since = before(event.event.time, self.inner.options.story_window);
        let alert = self.alerts_of(&group).into_iter().rev().find(|alert| {
            alert.state.is_open()
                && alert.last_seen >= since
                && alert.container.id == event.event.container.id
        });
        alert.map(|alert| alert.id)
    }

    /// Alerts of `group` as they are about to be, oldest first.
    fn alerts_of(&self, group: &Group) -> Vec<&Alert> {
        let known = self.state.groups.get(group).into_iter().flatten();
        let raised = self.pending.groups.iter();
        let raised = raised.filter(|(of, _)| of == group).map(|(_, id)| id);
        known
            .chain(raised)
            .filter_map(|id| self.alert(*id))
            .collect()
    }

    /// The alert of `group` that takes the detection.
    fn place_in(&self, group: &Group, detection: &Detection, event: &StoredEvent) -> Option<Place> {
        let alerts = self.alerts_of(group);
        let unmuted = before(self.now, self.inner.options.mute_closed);
        let mutes = |alert: &&&Alert| {
            let reason = matches!(
                alert.close_reason,
                Some(CloseReason::Expected | CloseReason::FalsePositive)
            );
            alert.state == AlertState::Closed && reason && alert.changed >= unmuted
        };
        let is_open = |alert: &&&Alert| alert.state.is_open();
        if group.source == AlertSource::Falco || &*group.workload == OTHER {
            let open = alerts.iter().rev().find(is_open);
            let muted = || alerts.iter().rev().find(mutes);
            return open
                .map(|alert| Place::Open(alert.id))
                .or_else(|| muted().map(|alert| Place::Muted(alert.id)));
        }
        // The same again belongs to the alert that tells it already.
        let tells = |alert: &&&Alert| {
            if !detection.behaviour.is_empty() {
                let mut behaviour = detection.behaviour.iter();
                return behaviour.all(|each| alert.behaviour.contains(each));
            }
            let mut weighty = detection.reasons.iter().filter(|it| it.weight > 0.0);
            weighty.all(|reason| {
                let told = &alert.reasons;
                told.iter()
                    .any(|told| told.code == reason.code && told.text == reason.text)
            })
        };
        if let Some(alert) = alerts.iter().filter(is_open).find(tells) {
            return Some(Place::Open(alert.id));
        }
        if let Some(alert) = alerts.iter().rev().filter(mutes).find(tells) {
            return Some(Place::Muted(alert.id));
        }
        let newest = alerts.iter().rev().find(is_open)?;
        let window = self.inner.options.story_window;
        let continues = newest.last_seen >= before(event.event.time, window);
        let stories = alerts.iter().filter(is_open).count();
        (continues || stories >= MAX_STORIES).then_some(Place::Open(newest.id))
    }

    fn raise(&mut self, group: Group, detection: &Detection, event: &StoredEvent) {
        self.pending.last_id += 1;
        self.pending.opened += 1;
        let id = AlertId(self.pending.last_id);
        let mut alert = Alert {
            id,
            source: group.source,
            rule: if &*group.rule == OTHER {
                Arc::clone(&group.rule)
            } else {
                Arc::clone(&detection.rule)
            },
            priority: detection.priority,
            workload: Arc::clone(&group.workload),
            container: Arc::clone(&event.event.container),
            containers: Vec::new(),
            more_containers: false,
            audience: group.audience.clone(),
            hostname: Arc::clone(&event.event.hostname),
            title: String::new(),
            score: None,
            reasons: Vec::new(),
            behaviour: Vec::new(),
            taught: 0,
            evidence: Vec::new(),
            first_seen: event.event.time,
            last_seen: event.event.time,
            count: 0,
            state: AlertState::New,
            close_reason: None,
            assignee: None,
            silenced_by: None,
            changed: self.now,
        };
        fold(&mut alert, detection, event);
        self.change(id, AlertAction::Raised);
        alert.silenced_by = self.state.silence_of(&alert, self.now);
        if let Some(silence) = alert.silenced_by {
            self.change(
                id,
                AlertAction::Silenced {
                    silence: Some(silence),
                },
            );
        }
        self.pending.groups.push((group, id));
        self.pending.alerts.insert(id, alert);
        self.occurred(id, event);
    }

    fn add(&mut self, id: AlertId, detection: &Detection, event: &StoredEvent) {
        let Some(mut alert) = self.alert(id).cloned() else {
            return;
        };
        let counted = alert.count;
        let priority = alert.priority;
        fold(&mut alert, detection, event);
        if alert.count > counted {
            self.occurred(id, event);
        }
        if alert.state.is_open() && alert.priority < priority {
            alert.changed = self.now;
            let priority = alert.priority;
            self.change(id, AlertAction::Escalated { priority });
        }
        // A silence may have ended, or speak of a priority that it has no more.
        let silence = self.state.silence_of(&alert, self.now);
        if alert.state.is_open() && silence != alert.silenced_by {
            alert.silenced_by = silence;
            alert.changed = self.now;
            self.change(id, AlertAction::Silenced { silence });
        }
        self.pending.alerts.insert(id, alert);
    }

    fn change(&mut self, alert: AlertId, what: AlertAction) {
        self.pending.changes.push(AlertChange {
            sequence: 0,
            alert,
            time: self.now,
            who: String::new(),
            what,
        });
    }

    fn occurred(&mut self, id: AlertId, event: &StoredEvent) {
        let nanos = event.event.time.as_nanos();
        let minute = nanos - nanos.rem_euclid(MINUTE_NANOS);
        let container = Arc::clone(&event.event.container.id);
        let occurrences = &mut self.pending.occurrences;
        *occurrences.entry((id, minute, container)).or_default() += 1;
    }
}

impl Companion for Folding<'_> {
    fn accompany(&mut self, appended: &[Appended]) -> Accompaniment {
        self.pending = Pending {
            last_id: self.state.last_id,
            ..Pending::default()
        };
        let detections = self.detections;
        for (appended, detections) in appended.iter().zip(detections) {
            let Appended::Stored(events) = appended else {
                continue;
            };
            for detection in detections {
                if let Some(event) = events.get(detection.event) {
                    self.take(detection, event);
                }
            }
        }
        let occurrences = self.pending.occurrences.iter();
        let occurrences = occurrences.map(|((alert, minute, container), count)| Occurrence {
            alert: *alert,
            container: Arc::clone(container),
            minute: Timestamp::from_nanos(*minute),
            count: *count,
        });
        Accompaniment {
            alerts: AlertsWritten {
                alerts: self.pending.alerts.values().cloned().collect(),
                occurrences: occurrences.collect(),
                changes: self.pending.changes.clone(),
            },
            state: Vec::new(),
        }
    }

    fn committed(&mut self, changes: Vec<AlertChange>) {
        let pending = std::mem::take(&mut self.pending);
        self.state.last_id = self.state.last_id.max(pending.last_id);
        let alerts: Vec<Alert> = pending.alerts.into_values().collect();
        self.seen = seen(&alerts, changes);
        for alert in alerts {
            self.state.remember(alert);
        }
    }
}

/// Adds what was noticed in `event` to `alert`.
fn fold(alert: &mut Alert, detection: &Detection, event: &StoredEvent) {
    // Several things may be noticed in one event; it counts once.
    if alert.evidence.last() != Some(&event.id) {
        alert.count += 1;
        alert.evidence.push(event.id);
        if alert.evidence.len() > MAX_EVIDENCE {
            alert.evidence.remove(1);
        }
    }
    let time = event.event.time;
    alert.saw(&event.event.container, time);
    alert.first_seen = alert.first_seen.min(time);
    if time >= alert.last_seen {
        alert.last_seen = time;
        alert.container = Arc::clone(&event.event.container);
        alert.hostname = Arc::clone(&event.event.hostname);
    }
    alert.priority = alert.priority.min(detection.priority);
    alert.score = match (alert.score, detection.score) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    };
    // Alerts that take what has no room of its own speak of many workloads, and teach none of them.
    if alert.workload == detection.workload {
        for behaviour in &detection.behaviour {
            let has_room = alert.behaviour.len() < MAX_BEHAVIOUR;
            if has_room && !alert.behaviour.contains(behaviour) {
                alert.behaviour.push(behaviour.clone());
            }
        }
    }
    // Every event of a Falco rule has its own message: the first one stands for them.
    if alert.source == AlertSource::Falco && !alert.reasons.is_empty() {
        return;
    }
    let mut is_news = false;
    let mut weighty = 0;
    for reason in &detection.reasons {
        let mut reason = reason.clone();
        if detection.source == AlertSource::Falco && alert.source == AlertSource::Profile {
            reason.text = format!("Falco rule `{}`", detection.rule);
        }
        // Those without weight explain the ones before them, and what follows a deviation does so
        // all along.
        let explains = detection.source == AlertSource::Profile
            && (reason.weight == 0.0 || &*reason.code == "follows_deviation");
        weighty += usize::from(!explains);
        if weighty > EVENT_REASONS {
            continue;
        }
        let is_told = alert
            .reasons
            .iter()
            .any(|told| told.code == reason.code && (told.text == reason.text || explains));
        if is_told {
            continue;
        }
        if alert.reasons.len() < MAX_REASONS {
            alert.reasons.push(reason);
            is_news = true;
            continue;
        }
        // What weighs most is told to the end.
        let lightest = alert.reasons.iter_mut();
        let lightest = lightest.min_by(|a, b| a.weight.total_cmp(&b.weight));
        if let Some(lightest) = lightest.filter(|lightest| lightest.weight < reason.weight) {
            *lightest = reason;
            is_news = true;
        }
    }
    if is_news {
        alert.reasons.sort_by_key(|reason| reason.time);
        alert.title = title(alert);
    }
}

/// The weightiest reason of each moment, of the weightiest moments, in the order in which they
/// happened.
fn title(alert: &Alert) -> String {
    let mut moments: Vec<&Reason> = Vec::new();
    for reason in &alert.reasons {
        match moments.last_mut() {
            Some(last) if last.time == reason.time => {
                if reason.weight > last.weight {
                    *last = reason;
                }
            }
            _ => moments.push(reason),
        }
    }
    moments.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    moments.truncate(TITLE_REASONS);
    // Whole sentences only, as long as there is more than one.
    let length = |moments: &[&Reason]| -> usize {
        let texts = moments.iter().map(|reason| reason.text.chars().count() + 2);
        texts.sum()
    };
    while moments.len() > 1 && length(&moments) > TITLE_CHARACTERS {
        moments.pop();
    }
    moments.sort_by_key(|reason| reason.time);
    let told: Vec<&str> = moments.iter().map(|reason| reason.text.as_str()).collect();
    let mut title = told.join("; ");
    if let Some((end, _)) = title.char_indices().nth(TITLE_CHARACTERS) {
        title.truncate(end);
        title.push('…');
    }
    // What only explains is not counted.
    let weighty = alert.reasons.iter().filter(|reason| reason.weight > 0.0);
    let more = weighty.count().saturating_sub(told.len());
    if more > 0 {
        title.push_str(&format!(" (and {more} more)"));
    }
    title
}
