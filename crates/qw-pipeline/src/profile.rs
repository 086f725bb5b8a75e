//! Profiles of behaviour, fed by the pipeline: what deviates becomes a detection, what is learned is
//! stored with the events it was learned from.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use qw_alerts::{Learned, Learner, Lesson};
use qw_event::{AlertSource, Detection, Event, EventId, Timestamp};
use qw_profile::{
    Acceptance, Deviation, Document, DocumentError, Mode, Observation, Options, Profiles, write_key,
};
use qw_store::{
    KeyRange, Kinds, OwnedStateChange, QueryError, RecordStore, StateStore, StoreError,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Detector, ENGINE_EVENTS};

/// Profiles shared between the pipeline, which feeds them, and everyone who reads them.
pub type SharedProfiles = Arc<Mutex<Profiles>>;

/// Newest state of each profile, by key.
const PROFILES: &str = "profiles";
/// Earlier states, by key, separator and slot: a slot holds the newest state of its kind, so that
/// what is kept of a profile is bounded.
const SNAPSHOTS: &str = "profile_snapshots";
/// Between key and slot, and the character after it.
const SEPARATOR: char = '\u{1f}';
const AFTER_SEPARATOR: char = '\u{20}';

/// A profile that changes is stored this often.
const SAVE_EVERY: Duration = Duration::from_secs(60);
const DAY_SECONDS: i64 = 86_400;
/// Days of which the first state is kept.
const DAYS: i64 = 7;
/// Profiles stored in one transaction, and time between two such transactions.
const SAVED_AT_ONCE: usize = 32;
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// Longest document that is stored; a state of the store may be 8 MiB.
const MAX_DOCUMENT: usize = 8 << 20;
/// Events that are gone through again at the start at most, and how many at a time.
const CATCH_UP: u64 = 500_000;
const CATCH_UP_PAGE: usize = 5_000;
/// Newest events whose containers are known after the start.
const RECALLED: u64 = 20_000;

/// Compares every event with the profile of its container.
pub struct ProfileDetector {
    profiles: SharedProfiles,
    least_score: f32,
    /// Profiles that changed, in the order in which they are to be stored.
    waiting: VecDeque<Arc<str>>,
    known: BTreeMap<Arc<str>, Known>,
    /// Those that are being stored.
    saving: Vec<Arc<str>>,
    next_save: Timestamp,
}

/// What is remembered of a profile between two times that it is stored.
#[derive(Default)]
struct Known {
    is_waiting: bool,
    saved: Option<Timestamp>,
    day: Option<i64>,
    mode: Option<Mode>,
}

/// An earlier state of a profile.
#[derive(Debug, Deserialize)]
pub struct ProfileSnapshot {
    /// When it was stored.
    pub time: Timestamp,
    /// Why.
    pub kind: SnapshotKind,
    document: Box<RawValue>,
}

impl ProfileSnapshot {
    /// The profile as it was.
    pub fn document(&self) -> Result<Document, DocumentError> {
        Document::parse(self.document.get().as_bytes())
    }
}

/// Why a state of a profile is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// The first of a day.
    Daily,
    /// Learning had just ended.
    Learned,
    /// Somebody was about to change it.
    Command,
    /// It had just come from elsewhere.
    Imported,
}

impl SnapshotKind {
    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Learned => "learned",
            Self::Command => "command",
            Self::Imported => "imported",
        }
    }
}

impl ProfileDetector {
    /// Feeds `profiles`; deviations of score `least_score` (0 to 1) or more become detections.
    pub fn new(profiles: SharedProfiles, least_score: f32) -> Self {
        Self {
            profiles,
            least_score,
            waiting: VecDeque::new(),
            known: BTreeMap::new(),
            saving: Vec::new(),
            next_save: Timestamp::MIN,
        }
    }
}

impl Detector for ProfileDetector {
    fn detect(&mut self, events: &[Event], received: Timestamp, found: &mut Vec<Detection>) {
        let events = events.iter().enumerate();
        let is_falcos = |event: &Event| event.kind.is_event() && &*event.source != ENGINE_EVENTS;
        let mut events = events.filter(|(_, event)| is_falcos(event)).peekable();
        if events.peek().is_none() {
            return;
        }
        let mut profiles = self.profiles.lock();
        for (index, event) in events {
            if let Observation::Deviation(deviation) = profiles.observe(event, received)
                && deviation.score >= self.least_score
            {
                found.push(detection(index, *deviation));
            }
        }
    }

    fn state(&mut self, last: EventId, now: Timestamp) -> Vec<OwnedStateChange> {
        if now < self.next_save && self.saving.is_empty() {
            return Vec::new();
        }
        self.next_save = now.saturating_add(SAVE_PAUSE);
        let mut profiles = self.profiles.lock();
        for key in profiles.take_changed(usize::MAX) {
            let known = self.known.entry(Arc::clone(&key)).or_default();
            if !std::mem::replace(&mut known.is_waiting, true) {
                self.waiting.push_back(key);
            }
        }
        // What was being stored and is not known to be on disk comes first.
        let mut keys = std::mem::take(&mut self.saving);
        let old = now.saturating_sub(SAVE_EVERY);
        for _ in 0..self.waiting.len() {
            if keys.len() >= SAVED_AT_ONCE {
                break;
            }
            let Some(key) = self.waiting.pop_front() else {
                break;
            };
            let known = self.known.entry(Arc::clone(&key)).or_default();
            if known.saved.is_some_and(|saved| saved > old && saved <= now) {
                self.waiting.push_back(key);
            } else {
                known.is_waiting = false;
                keys.push(key);
            }
        }
        let mut changes = Vec::new();
        for key in &keys {
            let Some(document) = profiles.snapshot(key, last) else {
                continue;
            };
            let Some(text) = to_text(&document) else {
                continue;
            };
            let known = self.known.entry(Arc::clone(key)).or_default();
            let mode = profiles.summary(key).map(|summary| summary.mode());
            let has_learned = known.mode == Some(Mode::Learning) && mode == Some(Mode::Detecting);
            let day = Some(now.as_seconds().div_euclid(DAY_SECONDS));
            if has_learned {
                changes.push(snapshot_change(key, now, SnapshotKind::Learned, &text));
            }
            if known.day != day {
                known.day = day;
                changes.push(snapshot_change(key, now, SnapshotKind::Daily, &text));
            }
            known.mode = mode;
            known.saved = Some(now);
            changes.push(newest(key, text));
        }
        self.saving = keys;
        changes
    }

    fn state_stored(&mut self) {
        self.saving.clear();
    }
}

fn detection(index: usize, deviation: Deviation) -> Detection {
    Detection {
        event: index,
        source: AlertSource::Profile,
        rule: Deviation::RULE.into(),
        priority: deviation.priority,
        workload: deviation.key,
        score: Some(deviation.score),
        reasons: deviation.reasons,
        behaviour: deviation.behaviour,
    }
}

/// The document as the store keeps it; `None` when it is too long for that.
fn to_text(document: &Document) -> Option<String> {
    let text = String::from_utf8(document.to_json()).ok()?;
    if text.len() > MAX_DOCUMENT {
        tracing::warn!(
            profile = document.key(),
            "profile is too large to be stored"
        );
        return None;
    }
    Some(text)
}

fn snapshot_change(
    key: &str,
    time: Timestamp,
    kind: SnapshotKind,
    document: &str,
) -> OwnedStateChange {
    let name = kind.as_str();
    let slot = match kind {
        SnapshotKind::Daily => {
            let day = time.as_seconds().div_euclid(DAY_SECONDS).rem_euclid(DAYS);
            format!("{key}{SEPARATOR}{name}{day}")
        }
        _ => format!("{key}{SEPARATOR}{name}"),
    };
    OwnedStateChange {
        collection: SNAPSHOTS.to_owned(),
        key: slot,
        value: Some(format!(
            "{{\"time\":\"{time}\",\"kind\":\"{name}\",\"document\":{document}}}"
        )),
    }
}

/// Reads the stored profiles, goes once more through the events that came after each was stored, and
/// finds out from the newest events which containers there are.
///
/// Documents that cannot be read any more are left where they are and said in the log.
pub fn open_profiles(
    options: Options,
    documents: &dyn StateStore,
    records: &dyn RecordStore,
) -> Result<SharedProfiles, QueryError> {
    let per = options.per;
    let mut profiles = Profiles::new(options);
    let mut seen: BTreeMap<Arc<str>, EventId> = BTreeMap::new();
    for (key, text) in documents.list(PROFILES)? {
        let restored = Document::parse(text.as_bytes()).and_then(|document| {
            let key = profiles.restore(&document)?;
            Ok((key, document.seen()))
        });
        match restored {
            Ok((key, event)) => drop(seen.insert(key, event)),
            Err(error) => {
                tracing::warn!(profile = key, %error, "stored profile cannot be read");
            }
        }
    }
    let reachable = records.last_id().0.saturating_sub(CATCH_UP);
    let Some(oldest) = seen.values().min().copied() else {
        return Ok(Arc::new(Mutex::new(profiles)));
    };
    let recalled = records.last_id().0.saturating_sub(RECALLED);
    let mut after = EventId(recalled.min(oldest.0).max(reachable));
    let mut key = String::new();
    loop {
        let page = records.events_after(after, CATCH_UP_PAGE, Kinds::EVENTS)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for stored in page {
            key.clear();
            let known = write_key(per, &stored.event, &mut key);
            let seen = seen.get(&*key).copied().unwrap_or(oldest);
            if known && stored.id > seen {
                profiles.observe(&stored.event, stored.event.time);
            } else {
                profiles.recall(&stored.event);
            }
        }
    }
    Ok(Arc::new(Mutex::new(profiles)))
}

/// Stores the profile `key` as it is now, among its earlier states, too, when `kind` says why. Call it
/// when somebody changes it. The newest event of `records` is the newest that the profile has seen.
pub fn save_profile(
    profiles: &SharedProfiles,
    key: &str,
    documents: &dyn StateStore,
    records: &dyn RecordStore,
    kind: Option<SnapshotKind>,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Asked within the transaction: else what is learned meanwhile, and stored by somebody else, would
    // be overwritten by an older state.
    documents.apply_made(&mut || {
        let Some(text) = current(&profiles.lock(), key, records) else {
            return Vec::new();
        };
        let snapshot = kind.map(|kind| snapshot_change(key, now, kind, &text));
        snapshot.into_iter().chain([newest(key, text)]).collect()
    })
}

/// The profile as it is now, as the store keeps it. What comes later is gone through again at a start.
fn current(profiles: &Profiles, key: &str, records: &dyn RecordStore) -> Option<String> {
    to_text(&profiles.snapshot(key, records.last_id())?)
}

fn newest(key: &str, text: String) -> OwnedStateChange {
    OwnedStateChange {
        collection: PROFILES.to_owned(),
        key: key.to_owned(),
        value: Some(text),
    }
}

/// Has profiles learn from what people say about alerts.
#[derive(Clone)]
pub struct ProfileLearner {
    /// The profiles.
    pub profiles: SharedProfiles,
    /// The store of events, whose newest is the newest that the profiles have seen.
    pub records: Arc<dyn RecordStore>,
}

impl Learner for ProfileLearner {
    fn learn(&self, lessons: &[Lesson<'_>], who: &str, now: Timestamp) -> Learned {
        let mut profiles = self.profiles.lock();
        let mut learned = Learned::default();
        let keys: BTreeSet<&Arc<str>> = lessons.iter().map(|it| &it.alert.workload).collect();
        for key in &keys {
            let before = current(&profiles, key, &*self.records);
            let before = before.map(|text| snapshot_change(key, now, SnapshotKind::Command, &text));
            learned.documents.extend(before);
        }
        for Lesson { alert, is_known } in lessons {
            let count = if *is_known {
                let acceptance = Acceptance {
                    by: who.into(),
                    time: now,
                    alert: Some(alert.id.0),
                };
                profiles.teach(&alert.workload, &alert.behaviour, &acceptance)
            } else {
                profiles.unteach(&alert.workload, alert.id.0)
            };
            // A profile that is gone learns nothing.
            let count = count.unwrap_or(0);
            learned
                .counts
                .push(u32::try_from(count).unwrap_or(u32::MAX));
        }
        for key in keys {
            let after = current(&profiles, key, &*self.records);
            learned
                .documents
                .extend(after.map(|text| newest(key, text)));
        }
        learned
    }
}

/// Stores every profile that has changed, at the end of a process whose newest event is `last`.
pub fn save_profiles(
    profiles: &SharedProfiles,
    documents: &dyn StateStore,
    last: EventId,
) -> Result<(), StoreError> {
    let keys: Vec<Arc<str>> = {
        let profiles = profiles.lock();
        profiles.list().into_iter().map(|each| each.key).collect()
    };
    for keys in keys.chunks(SAVED_AT_ONCE) {
        documents.apply_made(&mut || {
            let profiles = profiles.lock();
            keys.iter()
                .filter_map(|key| Some(newest(key, to_text(&profiles.snapshot(key, last)?)?)))
                .collect()
        })?;
    }
    Ok(())
}

/// The earlier states of the profile `key`, oldest first. Those that cannot be read any more are left
/// out.
pub fn profile_snapshots(
    documents: &dyn StateStore,
    key: &str,
) -> Result<Vec<ProfileSnapshot>, StoreError> {
    let (after, before) = (
        format!("{key}{SEPARATOR}"),
        format!("{key}{AFTER_SEPARATOR}"),
    );
    let between = KeyRange {
        after: Some(&after),
        before: Some(&before),
        descending: false,
    };
    let found = documents.range(SNAPSHOTS, between, 64)?;
    let mut snapshots: Vec<ProfileSnapshot> = found
        .iter()
        .filter_map(|(_, text)| serde_json::from_str(text).ok())
        .collect();
    snapshots.sort_by_key(|snapshot| snapshot.time);
    Ok(snapshots)
}
