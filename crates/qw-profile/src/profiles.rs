//! All profiles, and the one function that every event passes.

use std::sync::Arc;

use qw_event::{Behaviour, ContainerRef, Event, EventId, Priority, Reason, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Branch, Tokens, actions},
    document::{Document, DocumentError},
    fields::Fields,
    key::write_key,
    learning::{BranchState, Mode},
    normal::MAX_TEXT,
    options::Options,
    profile::{DeviationKind, Finding, Image, Met, Profile, Shared},
    score::{context, priority},
    set_up::is_set_up,
    similar::Embeddings,
    symbols::{Symbol, Symbols},
    tree::BRANCHES,
    view::{TreeNode, TreeQuery, tree},
};

/// Containers of which the state is kept; more than profiles, because replicas share one.
const CONTAINERS_PER_PROFILE: usize = 4;

/// Slots that answer for a container without hashing its texts.
const RECENT: usize = 256;

/// Seconds in which the memory of a deviation halves.
const HEAT_HALF_LIFE: f32 = 120.0;

/// What an event was to its profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// The profile learns, and something was new.
    Learned {
        /// Nodes added.
        new_nodes: u32,
    },
    /// Everything about it is known.
    Known,
    /// Something about it was never seen.
    Deviation(Box<Deviation>),
    /// It says nothing about behaviour.
    Ignored(IgnoredReason),
}

/// Why an event was not compared with a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IgnoredReason {
    /// It does not come from system calls.
    NotSystemCalls,
    /// It says of no container and no host.
    NoContainer,
    /// It names no process.
    NoProcess,
    /// The container is still being set up by its runtime.
    SetUp,
    /// The call says nothing about behaviour.
    Uninteresting,
    /// There are as many profiles as there may be.
    TooManyProfiles,
}

impl IgnoredReason {
    /// All reasons, in the order of [`Stats::ignored`].
    pub const ALL: [Self; 6] = [
        Self::NotSystemCalls,
        Self::NoContainer,
        Self::NoProcess,
        Self::SetUp,
        Self::Uninteresting,
        Self::TooManyProfiles,
    ];

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSystemCalls => "not_system_calls",
            Self::NoContainer => "no_container",
            Self::NoProcess => "no_process",
            Self::SetUp => "set_up",
            Self::Uninteresting => "uninteresting",
            Self::TooManyProfiles => "too_many_profiles",
        }
    }
}

/// Behaviour that a profile does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// Profile it deviates from.
    pub key: Arc<str>,
    /// Part of the profile.
    pub branch: Branch,
    /// What it consists in.
    pub kind: DeviationKind,
    /// System call, or `spawn`.
    pub operation: String,
    /// Name of the process; of the parent in the lineage.
    pub process: String,
    /// The attribute that weighs most, in its comparable form.
    pub token: String,
    /// How unusual it is, 0 to 1.
    pub score: f32,
    /// Urgency of that score.
    pub priority: Priority,
    /// Why, heaviest first; the last one, of no weight, names the closest known attribute.
    pub reasons: Vec<Reason>,
    /// The closest known attribute and its similarity, 0 to 1, where such can be compared.
    pub closest: Option<(String, f32)>,
    /// Similarity from which on two attributes are the same.
    pub threshold: f32,
    /// Everything about the event that is not known: teaching it makes the event known.
    pub behaviour: Vec<Behaviour>,
}

impl Deviation {
    /// Name of the check that finds deviations, as the rule of an alert.
    pub const RULE: &'static str = "Behaviour never seen before";

    /// One line: what happened, how far from what is known.
    pub fn explanation(&self) -> String {
        let what = self.reasons.first().map_or("", |reason| &reason.text);
        match &self.closest {
            Some((closest, similarity)) => format!(
                "{what} (closest known: {closest}, similarity {similarity:.2}, threshold {:.2})",
                self.threshold
            ),
            None => what.to_owned(),
        }
    }
}

/// No profile has this key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no profile `{0}`")]
pub struct UnknownProfile(pub String);

/// One profile in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its key.
    pub key: Arc<str>,
    /// Images that ran under it, oldest first.
    pub images: Vec<Image>,
    /// Time of its first event.
    pub first_seen: Timestamp,
    /// Time of its newest event.
    pub last_seen: Timestamp,
    /// Events compared with it.
    pub events: u64,
    /// Deviations found.
    pub deviations: u64,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that stand for deviations.
    pub deviating_nodes: usize,
    /// Nodes that were not recorded because something was full.
    pub refused: u64,
    /// Approximate memory in bytes, without texts that profiles share.
    pub bytes: usize,
    /// True when learning was ended by command: no change of the image opens it again.
    pub frozen: bool,
    /// Containers known to run under it, of those whose events were met lately.
    pub containers: usize,
    /// Attributes that somebody accepted.
    pub accepted: usize,
    /// State of each branch.
    pub branches: Vec<(Branch, BranchState)>,
    /// Size of each branch, in the order of [`Branch::ALL`].
    pub sizes: [BranchSize; BRANCHES],
}

/// How large a branch of a profile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BranchSize {
    /// Nodes that are known.
    pub nodes: usize,
    /// Nodes that stand for deviations.
    pub deviating_nodes: usize,
}

impl Summary {
    /// Detecting when every branch is.
    pub fn mode(&self) -> Mode {
        let is_learning = |(_, state): &(Branch, BranchState)| state.mode == Mode::Learning;
        if self.branches.iter().any(is_learning) {
            Mode::Learning
        } else {
            Mode::Detecting
        }
    }

    /// Progress of the branch that is furthest behind, 0 to 1.
    pub fn progress(&self) -> f32 {
        self.branches
            .iter()
            .map(|(_, state)| state.progress)
            .fold(1.0, f32::min)
    }
}

/// Figures about all profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Profiles.
    pub profiles: usize,
    /// Of these, profiles that learn in any branch.
    pub learning: usize,
    /// Nodes of all profiles.
    pub nodes: usize,
    /// Texts, each kept once.
    pub texts: usize,
    /// Approximate memory in bytes.
    pub bytes: usize,
    /// Events in which everything was known.
    pub known: u64,
    /// Events that were learned from.
    pub learned: u64,
    /// Events that deviated.
    pub deviations: u64,
    /// Events that were not compared, by reason in the order of [`IgnoredReason::ALL`].
    pub ignored: [u64; 6],
    /// Nodes that were not recorded because something was full.
    pub refused: u64,
}

/// All profiles. One thread calls [`Self::observe`]; others read in between.
pub struct Profiles {
    shared: Shared,
    slots: Vec<Option<Box<Profile>>>,
    by_key: FxHashMap<Arc<str>, u32>,
    free: Vec<u32>,
    containers: Vec<Container>,
    by_container: FxHashMap<(Arc<ContainerRef>, Arc<str>), u32>,
    recent: Box<[u32; RECENT]>,
    tokens: Tokens,
    key: String,
    stats: Stats,
    /// Texts after the last time that unused ones were dropped.
    texts_after_sweep: usize,
    /// When room for a new profile was last looked for.
    looked_for_room: Timestamp,
    /// Newest time of an event.
    now: Timestamp,
}

/// What is remembered of one container.
struct Container {
    reference: Arc<ContainerRef>,
    hostname: Arc<str>,
    profile: u32,
    /// Something else than the runtime was seen in it.
    has_started: bool,
    /// Score of the last deviations, fading.
    heat: f32,
    heat_time: u32,
}

const NO_CONTAINER: u32 = u32::MAX;

impl Profiles {
    /// No profiles yet.
    pub fn new(options: Options) -> Self {
        Self {
            shared: Shared {
                options,
                symbols: Symbols::default(),
                embeddings: Embeddings::default(),
                buffer: String::new(),
                is_full: false,
            },
            slots: Vec::new(),
            by_key: FxHashMap::default(),
            free: Vec::new(),
            containers: Vec::new(),
            by_container: FxHashMap::default(),
            recent: Box::new([NO_CONTAINER; RECENT]),
            tokens: Tokens::default(),
            key: String::new(),
            stats: Stats::default(),
            texts_after_sweep: 0,
            looked_for_room: Timestamp::MIN,
            now: Timestamp::EPOCH,
        }
    }

    /// What was set.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Compares an event with the profile of its container, and learns from it.
    ///
    /// `received` bounds the sender's clock: an event is never later than that. The same events in
    /// the same order give the same answers and the same profiles.
    pub fn observe(&mut self, event: &Event, received: Timestamp) -> Observation {
        let observation = self.compare(event, received);
        match &observation {
            Observation::Learned { .. } => self.stats.learned += 1,
            Observation::Known => self.stats.known += 1,
            Observation::Deviation(_) => self.stats.deviations += 1,
            Observation::Ignored(reason) => {
                if let Some(count) = self.stats.ignored.get_mut(*reason as usize) {
                    *count += 1;
                }
            }
        }
        observation
    }

    fn compare(&mut self, event: &Event, received: Timestamp) -> Observation {
        if !matches!(&*event.source, "syscall" | "") {
            return Observation::Ignored(IgnoredReason::NotSystemCalls);
        }
        let time = event.time.min(received);
        self.now = self.now.max(time);
        let now = seconds(time);
        let container = match self.container(event, now) {
            Ok(container) => container,
            Err(reason) => return Observation::Ignored(reason),
        };
        let fields = Fields::of(event.output_fields.get());
        let process = if event.process_name.is_empty() {
            &*fields.process
        } else {
            &*event.process_name
        };
        if process.is_empty() {
            return Observation::Ignored(IgnoredReason::NoProcess);
        }
        // The kernel gives names of at most 15 bytes; Falco may give more of a script's.
        let too_long = |name: &str| name.len() > MAX_TEXT;
        if too_long(process) || too_long(&fields.parent) || too_long(&fields.event_type) {
            return Observation::Ignored(IgnoredReason::Uninteresting);
        }
        let Self {
            shared,
            slots,
            containers,
            tokens,
            ..
        } = self;
        let Some(container) = containers.get_mut(container as usize) else {
            return Observation::Ignored(IgnoredReason::NoContainer);
        };
        if is_set_up(process, &fields.executable, container.has_started) {
            return Observation::Ignored(IgnoredReason::SetUp);
        }
        container.has_started = true;
        let Some(profile) = slots
            .get_mut(container.profile as usize)
            .and_then(Option::as_deref_mut)
        else {
            return Observation::Ignored(IgnoredReason::TooManyProfiles);
        };
        let found = actions(&fields, event.category, process, tokens);
        if found.iter().all(Option::is_none) {
            return Observation::Ignored(IgnoredReason::Uninteresting);
        }
        let before = (profile.bytes(), profile.refused);
        profile.advance(now, &shared.options);
        let mut behaviour = Vec::new();
        let (mut new_nodes, mut worst) = (0, None::<(usize, Finding)>);
        // The lineage first: who started a program tells most about it.
        for (at, action) in found.iter().enumerate().rev() {
            let Some(action) = action else { continue };
            match profile.meet(action, tokens, &fields, worst.is_some(), now, shared) {
                Met::Known => {}
                Met::Learned(nodes) => new_nodes += nodes,
                Met::Deviating(mut finding) => {
                    behaviour.append(&mut finding.behaviour);
                    worst = Some(match worst {
                        None => (at, finding),
                        Some((other_at, mut other)) => {
                            let mut finding = finding;
                            if finding.reasons.score() > other.reasons.score() {
                                finding.reasons.append(other.reasons);
                                (at, finding)
                            } else {
                                other.reasons.append(finding.reasons);
                                (other_at, other)
                            }
                        }
                    });
                }
            }
        }
        let after = (profile.bytes(), profile.refused);
        let key = Arc::clone(&profile.key);
        let observation = match worst {
            Some((at, mut finding)) => {
                let passed = now.saturating_sub(container.heat_time) as f32;
                let heat = container.heat * (-passed / HEAT_HALF_LIFE).exp2();
                context(heat, process, &mut finding.reasons);
                container.heat = heat.max(finding.reasons.score());
                container.heat_time = container.heat_time.max(now);
                let action = found.get(at).and_then(Option::as_ref);
                let token = tokens.of(&(finding.token..finding.token + 1));
                let token = token.first().map_or("", |token| tokens.text(token));
                Observation::Deviation(Box::new(deviation(
                    key,
                    finding,
                    action.map_or(("", "", Branch::Process), |action| {
                        (action.operation, action.process, action.branch)
                    }),
                    token,
                    behaviour,
                    time,
                    shared,
                )))
            }
            None if new_nodes > 0 => Observation::Learned { new_nodes },
            None => Observation::Known,
        };
        self.stats.refused += after.1 - before.1;
        if after.0 != before.0 {
            self.stats.bytes = (self.stats.bytes + after.0).saturating_sub(before.0);
            self.bound_memory();
        }
        observation
    }

    /// Takes note of the container of an event that was compared before, so that [`Self::find`] knows
    /// it. Nothing is learned, and no profile is made.
    pub fn recall(&mut self, event: &Event) {
        let mut key = String::new();
        if !write_key(self.shared.options.per, event, &mut key) {
            return;
        }
        let Some(profile) = self.by_key.get(&*key).copied() else {
            return;
        };
        let hostname = if &*event.container.id == "host" {
            Arc::clone(&event.hostname)
        } else {
            Arc::default()
        };
        let wanted = (Arc::clone(&event.container), hostname);
        let most = self.shared.options.max_profiles * CONTAINERS_PER_PROFILE;
        if self.by_container.contains_key(&wanted) || self.containers.len() >= most {
            return;
        }
        let number = self.containers.len() as u32;
        self.containers.push(Container {
            reference: Arc::clone(&wanted.0),
            hostname: Arc::clone(&wanted.1),
            profile,
            has_started: true,
            heat: 0.0,
            heat_time: 0,
        });
        self.by_container.insert(wanted, number);
    }

    /// Number of what is remembered of the event's container, with its profile.
    fn container(&mut self, event: &Event, now: u32) -> Result<u32, IgnoredReason> {
        let slot = (Arc::as_ptr(&event.container).addr() >> 4) % RECENT;
        let recent = self.recent.get(slot).copied().unwrap_or(NO_CONTAINER);
        if let Some(container) = self.containers.get(recent as usize)
            && Arc::ptr_eq(&container.reference, &event.container)
            && (*event.container.id != *"host" || container.hostname == event.hostname)
        {
            return Ok(recent);
        }
        let hostname = if &*event.container.id == "host" {
            Arc::clone(&event.hostname)
        } else {
            Arc::default()
        };
        let wanted = (Arc::clone(&event.container), hostname);
        let number = match self.by_container.get(&wanted) {
            Some(number) => *number,
            None => self.new_container(event, wanted, now)?,
        };
        if let Some(place) = self.recent.get_mut(slot)
            && let Some(container) = self.containers.get(number as usize)
            && Arc::ptr_eq(&container.reference, &event.container)
        {
            *place = number;
        }
        Ok(number)
    }

    fn new_container(
        &mut self,
        event: &Event,
        wanted: (Arc<ContainerRef>, Arc<str>),
        now: u32,
    ) -> Result<u32, IgnoredReason> {
        self.key.clear();
        let mut key = std::mem::take(&mut self.key);
        let has_key = write_key(self.shared.options.per, event, &mut key);
        let profile = has_key.then(|| self.profile_for(&key, now));
        self.key = key;
        let profile = profile
            .ok_or(IgnoredReason::NoContainer)?
            .ok_or(IgnoredReason::TooManyProfiles)?;
        if let Some(Some(known)) = self.slots.get_mut(profile as usize) {
            known.runs(&event.container.image, &event.container.image_digest, now);
        }
        if self.containers.len() >= self.shared.options.max_profiles * CONTAINERS_PER_PROFILE {
            self.forget_containers();
        }
        let number = self.containers.len() as u32;
        self.containers.push(Container {
            reference: Arc::clone(&wanted.0),
            hostname: Arc::clone(&wanted.1),
            profile,
            has_started: false,
            heat: 0.0,
            heat_time: 0,
        });
        self.by_container.insert(wanted, number);
        Ok(number)
    }

    /// Number of the profile with this key, made now if there is none; `None` when there are too
    /// many.
    fn profile_for(&mut self, key: &str, now: u32) -> Option<u32> {
        if let Some(number) = self.by_key.get(key) {
            return Some(*number);
        }
        if self.shared.is_full
            || (self.by_key.len() >= self.shared.options.max_profiles && !self.make_room())
        {
            return None;
        }
        Some(self.put(Profile::new(key.into(), now)))
    }

    fn put(&mut self, profile: Profile) -> u32 {
        let key = Arc::clone(&profile.key);
        self.stats.bytes += profile.bytes();
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = Some(Box::new(profile));
            number
        } else {
            self.slots.push(Some(Box::new(profile)));
            self.slots.len() as u32 - 1
        };
        self.by_key.insert(key, number);
        number
    }

    /// Gives up the profile that was idle longest, if it was for long enough; looks once a minute.
    fn make_room(&mut self) -> bool {
        let minute = std::time::Duration::from_secs(60);
        if self.now < self.looked_for_room.saturating_add(minute) {
            return false;
        }
        self.looked_for_room = self.now;
        let limit = seconds(self.now.saturating_sub(self.shared.options.idle_after));
        let idle = self
            .slots
            .iter()
            .flatten()
            .filter(|profile| profile.last_seen < limit && !profile.pinned)
            .min_by_key(|profile| (profile.last_seen, Arc::clone(&profile.key)))
            .map(|profile| Arc::clone(&profile.key));
        idle.is_some_and(|key| self.remove(&key))
    }

    fn forget_containers(&mut self) {
        self.containers.clear();
        self.by_container.clear();
        self.recent.fill(NO_CONTAINER);
    }

    /// Keeps memory below its bound and drops texts that no node has any more.
    fn bound_memory(&mut self) {
        let texts = self.shared.symbols.len();
        let is_over = self.bytes() > self.shared.options.max_bytes;
        let has_grown = texts > 2 * self.texts_after_sweep + 16_384;
        // Room is looked for once, not for every event that finds none.
        if has_grown || (is_over && texts > self.texts_after_sweep + texts / 8) {
            self.sweep();
        }
        self.shared.is_full = self.bytes() > self.shared.options.max_bytes;
    }

    fn bytes(&self) -> usize {
        self.stats.bytes + self.shared.symbols.bytes() + self.shared.embeddings.bytes()
    }

    /// Drops texts that no node has any more, if they are a quarter of all: for a moment, those that
    /// stay are there twice.
    fn sweep(&mut self) {
        let mut is_used = vec![false; self.shared.symbols.len()];
        for profile in self.slots.iter().flatten() {
            for index in profile.tree.indices() {
                let symbol = profile.tree.node(index).symbol;
                if let Some(is_used) = is_used.get_mut(symbol.0 as usize) {
                    *is_used = true;
                }
            }
        }
        let used = is_used.iter().filter(|is_used| **is_used).count();
        if used > is_used.len() / 4 * 3 {
            self.texts_after_sweep = is_used.len();
            return;
        }
        let mut symbols = Symbols::default();
        let numbers: Vec<Option<Symbol>> = (0..)
            .zip(&is_used)
            .map(|(old, is_used)| {
                is_used.then(|| symbols.intern(self.shared.symbols.text(Symbol(old))))
            })
            .collect();
        for profile in self.slots.iter_mut().flatten() {
            profile.tree.renumber(|old| {
                numbers
                    .get(old.0 as usize)
                    .copied()
                    .flatten()
                    .unwrap_or(old)
            });
        }
        self.texts_after_sweep = symbols.len();
        self.shared.symbols = symbols;
        self.shared.embeddings.clear();
    }

    /// Removes a profile; true when there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        let Some(number) = self.by_key.remove(key) else {
            return false;
        };
        if let Some(profile) = self.slots.get_mut(number as usize).and_then(Option::take) {
            self.stats.bytes = self.stats.bytes.saturating_sub(profile.bytes());
        }
        self.free.push(number);
        self.forget_containers();
        self.bound_memory();
        true
    }

    /// The key of the profile that `id` means: a key, or id or name of a container seen lately.
    pub fn find(&self, id: &str) -> Option<Arc<str>> {
        if let Some((key, _)) = self.by_key.get_key_value(id) {
            return Some(Arc::clone(key));
        }
        let container = self
            .containers
            .iter()
            .rev()
            .find(|container| container.reference.answers_to(id))?;
        self.at(container.profile)
            .map(|profile| Arc::clone(&profile.key))
    }

    fn at(&self, number: u32) -> Option<&Profile> {
        self.slots.get(number as usize)?.as_deref()
    }

    fn get(&self, key: &str) -> Option<&Profile> {
        self.at(*self.by_key.get(key)?)
    }

    pub(crate) fn get_mut(
        &mut self,
        key: &str,
    ) -> Result<(&mut Profile, &mut Shared), UnknownProfile> {
        let number = self.by_key.get(key).copied();
        let profile = number
            .and_then(|number| self.slots.get_mut(number as usize))
            .and_then(Option::as_deref_mut)
            .ok_or_else(|| UnknownProfile(key.chars().take(128).collect()))?;
        Ok((profile, &mut self.shared))
    }

    /// Changes a profile that may grow or shrink by it.
    pub(crate) fn resize<T>(
        &mut self,
        key: &str,
        change: impl FnOnce(&mut Profile, &mut Shared) -> T,
    ) -> Result<T, UnknownProfile> {
        let (profile, shared) = self.get_mut(key)?;
        let before = profile.bytes();
        let done = change(profile, shared);
        let after = profile.bytes();
        self.stats.bytes = (self.stats.bytes + after).saturating_sub(before);
        self.bound_memory();
        Ok(done)
    }

    /// Memory is used up.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full
    }

    /// All profiles, by key.
    pub fn list(&self) -> Vec<Summary> {
        // A container whose description changed is there more than once.
        let mut ids: Vec<(u32, &str)> = self
            .containers
            .iter()
            .map(|container| (container.profile, &*container.reference.id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut containers = vec![0; self.slots.len()];
        for (profile, _) in ids {
            if let Some(count) = containers.get_mut(profile as usize) {
                *count += 1;
            }
        }
        let mut all: Vec<Summary> = self
            .slots
            .iter()
            .zip(containers)
            .filter_map(|(slot, containers)| Some(self.summarise(slot.as_deref()?, containers)))
            .collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// One profile.
    pub fn summary(&self, key: &str) -> Option<Summary> {
        let number = *self.by_key.get(key)?;
        let ids: FxHashSet<&str> = self
            .containers
            .iter()
            .filter(|container| container.profile == number)
            .map(|container| &*container.reference.id)
            .collect();
        self.at(number)
            .map(|profile| self.summarise(profile, ids.len()))
    }

    fn summarise(&self, profile: &Profile, containers: usize) -> Summary {
        let states = Branch::ALL.map(|branch| {
            let learning = &profile.branches[branch as usize];
            let state = learning.report(profile.last_seen, &self.shared.options);
            (branch, state)
        });
        Summary {
            key: Arc::clone(&profile.key),
            images: profile.images.clone(),
            first_seen: timestamp(profile.created),
            last_seen: timestamp(profile.last_seen),
            events: profile.events,
            deviations: profile.deviations,
            nodes: profile.tree.len(),
            deviating_nodes: profile.deviating_nodes,
            refused: profile.refused,
            bytes: profile.bytes(),
            frozen: profile.pinned,
            containers,
            accepted: profile.tree.accepted().len(),
            branches: states.into(),
            sizes: profile.sizes(),
        }
    }

    /// The tree of a profile, as `GET /api/hbt/{id}` shows it.
    pub fn tree(&self, key: &str, query: &TreeQuery) -> Option<TreeNode> {
        let profile = self.get(key)?;
        Some(tree(
            profile,
            &self.shared.symbols,
            &self.shared.options,
            query,
        ))
    }

    /// The profile as a document. `seen` is the newest event that it knows.
    pub fn snapshot(&self, key: &str, seen: EventId) -> Option<Document> {
        let profile = self.get(key)?;
        Some(Document::of(
            profile,
            &self.shared.symbols,
            seen.max(profile.seen),
        ))
    }

    /// Keys of at most `most` profiles that changed since they were last returned here.
    pub fn take_changed(&mut self, most: usize) -> Vec<Arc<str>> {
        self.slots
            .iter_mut()
            .flatten()
            .filter(|profile| profile.changed)
            .take(most)
            .map(|profile| {
                profile.changed = false;
                Arc::clone(&profile.key)
            })
            .collect()
    }

    /// Takes back a document that [`Self::snapshot`] gave; a profile of the same key is replaced.
    ///
    /// The verdicts afterwards are those that the original would have given, except that it does not
    /// remember which deviations happened in the last minutes.
    pub fn restore(&mut self, document: &Document) -> Result<Arc<str>, DocumentError> {
        let is_new = !self.by_key.contains_key(document.key());
        if is_new && self.by_key.len() >= self.shared.options.max_profiles {
            return Err(DocumentError::TooManyProfiles(
                self.shared.options.max_profiles,
            ));
        }
        let profile = document.profile(&mut self.shared)?;
        let key = Arc::clone(&profile.key);
        self.remove(&key);
        self.put(profile);
        self.bound_memory();
        Ok(key)
    }

    /// Figures about all profiles.
    pub fn stats(&self) -> Stats {
        Stats {
            profiles: self.by_key.len(),
            learning: self
                .slots
                .iter()
                .flatten()
                .filter(|profile| profile.is_learning())
                .count(),
            nodes: self
                .slots
                .iter()
                .flatten()
                .map(|profile| profile.tree.len())
                .sum(),
            texts: self.shared.symbols.len(),
            bytes: self.bytes(),
            ..self.stats
        }
    }
}

fn deviation(
    key: Arc<str>,
    finding: Finding,
    (operation, process, branch): (&str, &str, Branch),
    token: &str,
    behaviour: Vec<Behaviour>,
    time: Timestamp,
    shared: &Shared,
) -> Deviation {
    let score = finding.reasons.score();
    let threshold = shared.options.threshold;
    let closest = finding
        .closest
        .map(|(symbol, similarity)| (shared.symbols.text(symbol).to_owned(), similarity));
    let mut reasons = finding.reasons.finish(time);
    if let Some((text, similarity)) = &closest {
        reasons.push(Reason {
            code: "closest_known".into(),
            text: format!(
                "closest known: {text}, similarity {similarity:.2}, threshold {threshold:.2}"
            ),
            time,
            weight: 0.0,
        });
    }
    Deviation {
        key,
        branch,
        kind: finding.kind,
        operation: operation.to_owned(),
        process: process.to_owned(),
        token: token.to_owned(),
        score,
        priority: priority(score),
        reasons,
        closest,
        threshold,
        behaviour,
    }
}

/// Whole seconds since 1970 as profiles keep them.
pub(crate) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_seconds().max(0)).unwrap_or(u32::MAX)
}

pub(crate) fn timestamp(seconds: u32) -> Timestamp {
    Timestamp::from_seconds(i64::from(seconds))
}
