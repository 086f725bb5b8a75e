//! The one place where alerts change.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard, RwLock};
use qw_event::{
    Alert, AlertAction, AlertChange, AlertId, AlertSource, AlertState, Audience, ContainerRef,
    Detection, Priority, Timestamp,
};
use qw_store::{AlertStore, AlertsWritten, StateChange, StateStore, StoreError};
use rustc_hash::FxHashMap;

use crate::{Folding, NewSilence, Silence};

const SILENCES: &str = "silences";
/// Silences there may be; those that ended longest ago make room.
const MAX_SILENCES: usize = 1_000;

/// Folds detections into alerts and takes triage. Clones share it.
///
/// Calls that change something block on the store; call them where that is allowed.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn AlertStore>,
    documents: Arc<dyn StateStore>,
    pub(crate) options: DeskOptions,
    /// Held from folding until the store has committed, so that changes of detectors and of people
    /// never overtake each other.
    pub(crate) state: Mutex<State>,
    audiences: RwLock<Arc<Audiences>>,
}

/// Says who may see a container, as far as that is told apart.
pub type Audiences = dyn Fn(&ContainerRef) -> Audience + Send + Sync;

/// How alerts are folded and kept.
#[derive(Debug, Clone, Copy)]
pub struct DeskOptions {
    /// Deviations of one workload within this time of each other tell one story, and are one alert.
    pub story_window: Duration,
    /// After an alert was closed as expected or as a false positive, the same again only counts.
    pub mute_closed: Duration,
    /// Alerts that may be open. Beyond, detections of new groups are folded together.
    pub max_open: usize,
    /// Closed alerts are forgotten after this long.
    pub keep_closed: Duration,
    /// Closed alerts that are kept at most.
    pub max_alerts: u64,
}

impl Default for DeskOptions {
    fn default() -> Self {
        Self {
            story_window: Duration::from_secs(5 * 60),
            mute_closed: Duration::from_secs(7 * 86_400),
            max_open: 10_000,
            keep_closed: Duration::from_secs(90 * 86_400),
            max_alerts: 100_000,
        }
    }
}

/// Alerts that still matter to folding, and silences.
#[derive(Default)]
pub(crate) struct State {
    /// Those that are open, and closed ones that mute their like.
    pub(crate) alerts: BTreeMap<AlertId, Alert>,
    /// Of these, by group, oldest first.
    pub(crate) groups: FxHashMap<Group, Vec<AlertId>>,
    pub(crate) open: usize,
    pub(crate) silences: BTreeMap<u64, Silence>,
    pub(crate) last_id: u64,
    last_silence: u64,
}

/// What belongs together: never what different people may see. Deviations from a profile belong together
/// whatever check finds them: their rule is empty here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) source: AlertSource,
    pub(crate) rule: Arc<str>,
    pub(crate) workload: Arc<str>,
    pub(crate) audience: Audience,
}

impl Group {
    pub(crate) fn of(alert: &Alert) -> Self {
        let audience = alert.audience.clone();
        Self::new(alert.source, &alert.rule, &alert.workload, audience)
    }

    pub(crate) fn of_detection(detection: &Detection, audience: Audience) -> Self {
        let (rule, workload) = (&detection.rule, &detection.workload);
        Self::new(detection.source, rule, workload, audience)
    }

    /// Where deviations of `workload` belong.
    pub(crate) fn of_deviations(workload: &Arc<str>, audience: Audience) -> Self {
        Self::new(AlertSource::Profile, &Arc::default(), workload, audience)
    }

    fn new(source: AlertSource, rule: &Arc<str>, workload: &Arc<str>, audience: Audience) -> Self {
        Self {
            source,
            rule: match source {
                AlertSource::Profile => Arc::default(),
                AlertSource::Falco | AlertSource::Engine => Arc::clone(rule),
            },
            workload: Arc::clone(workload),
            audience,
        }
    }
}

/// The audience of a container where scopes name nothing but namespaces.
fn of_namespace(container: &ContainerRef) -> Audience {
    Audience {
        namespace: Arc::clone(&container.k8s_namespace),
        ..Audience::default()
    }
}

/// Alerts that are open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertCounts {
    /// Those that are not silenced.
    pub open: BTreeMap<(AlertState, Priority), u64>,
    /// Those that are.
    pub silenced: u64,
}

/// An alert as it has become, and what happened to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The alert, now.
    pub alert: Arc<Alert>,
    /// What happened, in order; nothing when only more of the same came.
    pub changes: Vec<AlertChange>,
}

impl Desk {
    /// Reads open alerts and silences from the stores. `now` is the time by our clock.
    pub fn open(
        store: Arc<dyn AlertStore>,
        documents: Arc<dyn StateStore>,
        options: DeskOptions,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut state = State::default();
        for alert in store.alerts_to_fold(before(now, options.mute_closed))? {
            state.remember(alert);
        }
        let (last, _) = store.last_alert()?;
        state.last_id = last.0;
        for (key, text) in documents.list(SILENCES)? {
            // One that cannot be read any more silences nothing, which is the safe side.
            if let Ok(silence) = serde_json::from_str::<Silence>(&text) {
                state.last_silence = state.last_silence.max(silence.id);
                state.silences.insert(silence.id, silence);
            } else {
                documents.apply(&[StateChange::Delete {
                    collection: SILENCES,
                    key: &key,
                }])?;
            }
        }
        Ok(Self(Arc::new(Inner {
            store,
            documents,
            options,
            state: Mutex::new(state),
            audiences: RwLock::new(Arc::new(of_namespace)),
        })))
    }

    /// From now on only containers of which `audiences` says the same are folded into one alert.
    /// Before, namespaces alone keep them apart.
    pub fn keep_apart_by(&self, audiences: Arc<Audiences>) {
        *self.0.audiences.write() = audiences;
    }

    /// Begins to fold `detections`, one list per batch of the append that follows. Until the result
    /// is gone, everybody else waits.
    pub fn fold<'a>(&'a self, detections: &'a [Vec<Detection>], now: Timestamp) -> Folding<'a> {
        Folding::new(&self.0, detections, now)
    }

    /// Alerts that are open.
    pub fn open_alerts(&self) -> usize {
        self.0.state.lock().open
    }

    /// How many alerts are open, by state and urgency.
    pub fn counts(&self) -> AlertCounts {
        let mut counts = AlertCounts::default();
        for alert in self.0.state.lock().alerts.values() {
            if !alert.state.is_open() {
                continue;
            }
            if alert.silenced_by.is_some() {
                counts.silenced += 1;
            } else {
                *counts
                    .open
                    .entry((alert.state, alert.priority))
                    .or_default() += 1;
            }
        }
        counts
    }

    /// All silences, by number.
    pub fn silences(&self) -> Vec<Silence> {
        self.0.state.lock().silences.values().cloned().collect()
    }

    /// Makes a silence that has been checked, and silences the open alerts that it matches.
    pub fn add_silence(
        &self,
        asked: NewSilence,
        who: &str,
        now: Timestamp,
    ) -> Result<(Silence, Vec<Seen>), StoreError> {
        let mut state = self.0.state.lock();
        let silence = Silence {
            id: state.last_silence + 1,
            matchers: asked.matchers,
            starts: asked.starts,
            ends: asked.ends,
            created_by: who.to_owned(),
            created: now,
            comment: asked.comment,
        };
        let text = serde_json::to_string(&silence).expect("a silence has text keys only");
        let key = format!("{:012}", silence.id);
        let mut changes = vec![StateChange::Put {
            collection: SILENCES,
            key: &key,
            value: &text,
        }];
        let oldest = state.silences.values().min_by_key(|silence| silence.ends);
        let forgotten = oldest
            .filter(|_| state.silences.len() >= MAX_SILENCES)
            .map(|oldest| (oldest.id, format!("{:012}", oldest.id)));
        if let Some((_, key)) = &forgotten {
            changes.push(StateChange::Delete {
                collection: SILENCES,
                key,
            });
        }
        self.0.documents.apply(&changes)?;
        if let Some((id, _)) = forgotten {
            state.silences.remove(&id);
        }
        state.last_silence = silence.id;
        state.silences.insert(silence.id, silence.clone());
        let seen = self.apply_silences(&mut state, who, now)?;
        Ok((silence, seen))
    }

    /// Ends a silence at once; `None` when there is none of this number.
    pub fn remove_silence(
        &self,
        id: u64,
        who: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<Seen>>, StoreError> {
        let mut state = self.0.state.lock();
        if !state.silences.contains_key(&id) {
            return Ok(None);
        }
        self.0.documents.apply(&[StateChange::Delete {
            collection: SILENCES,
            key: &format!("{id:012}"),
        }])?;
        state.silences.remove(&id);
        self.apply_silences(&mut state, who, now).map(Some)
    }

    /// Lets silences begin and end, and forgets what is old. Call it about once a minute.
    pub fn tick(&self, now: Timestamp) -> Result<Vec<Seen>, StoreError> {
        let mut state = self.0.state.lock();
        let seen = self.apply_silences(&mut state, "", now)?;
        let unmuted = before(now, self.0.options.mute_closed);
        let old: Vec<AlertId> = state
            .alerts
            .values()
            .filter(|alert| !alert.state.is_open() && alert.changed < unmuted)
            .map(|alert| alert.id)
            .collect();
        for id in old {
            state.forget(id);
        }
        drop(state);
        let keep = before(now, self.0.options.keep_closed);
        self.0
            .store
            .expire_alerts(keep, self.0.options.max_alerts)?;
        Ok(seen)
    }

    /// Brings the silenced state of open alerts in line with the silences in force.
    fn apply_silences(
        &self,
        state: &mut MutexGuard<'_, State>,
        who: &str,
        now: Timestamp,
    ) -> Result<Vec<Seen>, StoreError> {
        let mut written = AlertsWritten::default();
        for alert in state.alerts.values() {
            let silence = state.silence_of(alert, now);
            if !alert.state.is_open() || silence == alert.silenced_by {
                continue;
            }
            let mut alert = alert.clone();
            alert.silenced_by = silence;
            alert.changed = now;
            written.changes.push(AlertChange {
                sequence: 0,
                alert: alert.id,
                time: now,
                who: who.to_owned(),
                what: AlertAction::Silenced { silence },
            });
            written.alerts.push(alert);
        }
        self.write(state, written)
    }

    /// Stores `written`, then remembers it.
    pub(crate) fn write(
        &self,
        state: &mut State,
        written: AlertsWritten,
    ) -> Result<Vec<Seen>, StoreError> {
        if written.is_empty() {
            return Ok(Vec::new());
        }
        let changes = self.0.store.write_alerts(&written)?;
        Ok(remember(state, written.alerts, changes))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    pub(crate) fn audiences(&self) -> Arc<Audiences> {
        Arc::clone(&self.audiences.read())
    }
}

impl State {
    /// Takes `alert` as it is now.
    pub(crate) fn remember(&mut self, alert: Alert) {
        let (id, is_open) = (alert.id, alert.state.is_open());
        let group = Group::of(&alert);
        let was_open = match self.alerts.insert(id, alert) {
            Some(before) => before.state.is_open(),
            None => {
                let ids = self.groups.entry(group).or_default();
                ids.push(id);
                ids.sort_unstable();
                false
            }
        };
        self.open = self.open + usize::from(is_open) - usize::from(was_open);
    }

    fn forget(&mut self, id: AlertId) {
        let Some(alert) = self.alerts.remove(&id) else {
            return;
        };
        self.open -= usize::from(alert.state.is_open());
        let group = Group::of(&alert);
        if let Some(ids) = self.groups.get_mut(&group) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// The silence in force that has `alert` quiet: the one it has, or the first that matches.
    pub(crate) fn silence_of(&self, alert: &Alert, now: Timestamp) -> Option<u64> {
        let applies = |silence: &Silence| silence.is_active(now) && silence.matches(alert);
        alert
            .silenced_by
            .filter(|id| self.silences.get(id).is_some_and(applies))
            .or_else(|| {
                let mut silences = self.silences.values();
                silences.find(|silence| applies(silence)).map(|it| it.id)
            })
    }
}

/// Takes alerts as they were stored.
pub(crate) fn remember(
    state: &mut State,
    alerts: Vec<Alert>,
    changes: Vec<AlertChange>,
) -> Vec<Seen> {
    let seen = seen(&alerts, changes);
    for alert in alerts {
        state.remember(alert);
    }
    seen
}

/// Pairs alerts with what happened to each.
pub(crate) fn seen(alerts: &[Alert], changes: Vec<AlertChange>) -> Vec<Seen> {
    let mut by_alert: FxHashMap<AlertId, Vec<AlertChange>> = FxHashMap::default();
    for change in changes {
        by_alert.entry(change.alert).or_default().push(change);
    }
    alerts
        .iter()
        .map(|alert| Seen {
            changes: by_alert.remove(&alert.id).unwrap_or_default(),
            alert: Arc::new(alert.clone()),
        })
        .collect()
}

/// The instant `span` before `now`.
pub(crate) fn before(now: Timestamp, span: Duration) -> Timestamp {
    let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(now.as_nanos().saturating_sub(nanos))
}
