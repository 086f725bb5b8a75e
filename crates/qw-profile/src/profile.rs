//! One profile: what is known, what is learned, what deviates.

use std::{hash::Hasher as _, sync::Arc};

use qw_event::{Behaviour, EventId};
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::{
    action::{About, Action, Branch, Token, Tokens, has_failed},
    fields::Fields,
    generalise::{covering, generalise},
    learning::{Cause, Learning},
    options::Options,
    profiles::BranchSize,
    score::{Known, Reasons, Unknown, assess},
    sensitive,
    similar::{Embedding, Embeddings},
    symbols::{Symbol, Symbols},
    tree::{BRANCHES, Kind, NodeIndex, Tree, mark},
};

/// Operations under one branch.
const MAX_OPERATIONS: usize = 128;

/// Images that a profile remembers.
const MAX_IMAGES: usize = 16;

/// Written files that a profile remembers, to know them again when they are run.
const DROPPED: usize = 16;

const DAY: u32 = 86_400;

/// What all profiles share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) symbols: Symbols,
    pub(crate) embeddings: Embeddings,
    pub(crate) buffer: String,
    /// Memory is used up: nothing new is recorded.
    pub(crate) is_full: bool,
}

/// An image that a profile has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Reference the container was started with.
    pub reference: Arc<str>,
    /// Digest, empty when it was not said.
    pub digest: Arc<str>,
}

/// What a deviation consists in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviationKind {
    /// A process that was never seen.
    NewProcess,
    /// A known process does what it never did.
    NewOperation,
    /// A program starts another one that it never started.
    NewLineage,
    /// A known process does what it does, with an attribute never seen.
    NewToken,
}

/// What one action was to the profile.
pub(crate) enum Met {
    Known,
    Learned(u32),
    Deviating(Finding),
}

pub(crate) struct Finding {
    pub(crate) kind: DeviationKind,
    /// Which of the event's tokens weighs most.
    pub(crate) token: usize,
    pub(crate) reasons: Reasons,
    pub(crate) closest: Option<(Symbol, f32)>,
    /// Everything about the action that is not known.
    pub(crate) behaviour: Vec<Behaviour>,
}

#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) key: Arc<str>,
    pub(crate) images: Vec<Image>,
    /// Seconds since 1970.
    pub(crate) created: u32,
    /// Seconds since 1970; the profile's clock.
    pub(crate) last_seen: u32,
    pub(crate) events: u64,
    pub(crate) deviations: u64,
    /// Nodes that were not recorded because something was full.
    pub(crate) refused: u64,
    /// Ended by command: no image change opens it again.
    pub(crate) pinned: bool,
    pub(crate) branches: [Learning; BRANCHES],
    pub(crate) tree: Tree,
    pub(crate) deviating_nodes: usize,
    pub(crate) seen: EventId,
    /// Something happened since the last snapshot.
    pub(crate) changed: bool,
    cleaned: u32,
    dropped: [u64; DROPPED],
    next_dropped: usize,
}

impl Profile {
    pub(crate) fn new(key: Arc<str>, now: u32) -> Self {
        Self {
            key,
            images: Vec::new(),
            created: now,
            last_seen: now,
            events: 0,
            deviations: 0,
            refused: 0,
            pinned: false,
            branches: std::array::from_fn(|_| Learning::new(Cause::New, now)),
            tree: Tree::new(),
            deviating_nodes: 0,
            seen: EventId(0),
            changed: true,
            cleaned: now,
            dropped: [0; DROPPED],
            next_dropped: 0,
        }
    }

    /// True while any branch learns.
    pub(crate) fn is_learning(&self) -> bool {
        self.branches.iter().any(Learning::is_learning)
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.tree.bytes() + self.key.len()
    }

    /// Takes note of an event at `now`: time passes, learning may end.
    pub(crate) fn advance(&mut self, now: u32, options: &Options) {
        self.events += 1;
        self.changed = true;
        if now <= self.last_seen {
            return;
        }
        self.last_seen = now;
        for branch in Branch::ALL {
            let learning = &self.branches[branch as usize];
            if learning.is_learning()
                && let Some(cause) = learning.conclusion(now, options)
            {
                self.end_learning(branch, cause, now);
            }
        }
        if now.saturating_sub(self.cleaned) >= DAY {
            self.cleaned = now;
            self.forget(now, options);
        }
    }

    /// Ends learning of one branch: all that is known there is the base of verdicts from now on.
    pub(crate) fn end_learning(&mut self, branch: Branch, cause: Cause, now: u32) {
        let below = self.below(branch);
        for index in self.tree.indices() {
            let node = self.tree.node_mut(index);
            if below(index) && !node.has(mark::DEVIATING) {
                node.marks = (node.marks | mark::LEARNED) & !mark::SINGLE;
            }
        }
        self.branches[branch as usize].end(cause, now);
        self.changed = true;
    }

    /// Opens learning of one branch again; what is known stays known.
    pub(crate) fn learn_again(&mut self, branch: Branch, cause: Cause, now: u32) {
        self.branches[branch as usize] = Learning::new(cause, now);
        self.changed = true;
    }

    /// Size of each branch.
    pub(crate) fn sizes(&self) -> [BranchSize; BRANCHES] {
        let mut sizes = [BranchSize::default(); BRANCHES];
        // Parents come before their children.
        let mut branches: Vec<u8> = (0..BRANCHES as u8).collect();
        for index in self.tree.indices() {
            let node = self.tree.node(index);
            let branch = branches.get(node.parent as usize).copied().unwrap_or(0);
            branches.push(branch);
            if let Some(size) = sizes.get_mut(usize::from(branch)) {
                if node.has(mark::DEVIATING) {
                    size.deviating_nodes += 1;
                } else {
                    size.nodes += 1;
                }
            }
        }
        sizes
    }

    /// Whether a node lies in `branch`.
    pub(crate) fn below(&self, branch: Branch) -> impl Fn(NodeIndex) -> bool + use<> {
        let mut branches: Vec<u8> = (0..BRANCHES as u8).collect();
        for index in self.tree.indices() {
            // Parents come before their children.
            let parent = self.tree.node(index).parent as usize;
            branches.push(branches.get(parent).copied().unwrap_or(0));
        }
        move |index| branches.get(index as usize) == Some(&(branch as u8))
    }

    /// A container of this profile runs `image`; a new one opens learning again.
    pub(crate) fn runs(&mut self, reference: &Arc<str>, digest: &Arc<str>, now: u32) {
        if reference.is_empty() && digest.is_empty() {
            return;
        }
        let is_same = |known: &Image| {
            known.reference == *reference
                && (known.digest == *digest || known.digest.is_empty() || digest.is_empty())
        };
        if let Some(known) = self.images.iter_mut().find(|image| is_same(image)) {
            if known.digest.is_empty() && !digest.is_empty() {
                known.digest = Arc::clone(digest);
                self.changed = true;
            }
            return;
        }
        let is_first = self.images.is_empty();
        if self.images.len() >= MAX_IMAGES {
            self.images.remove(0);
        }
        self.images.push(Image {
            reference: Arc::clone(reference),
            digest: Arc::clone(digest),
        });
        self.changed = true;
        if is_first || self.pinned {
            return;
        }
        for branch in Branch::ALL {
            if !self.branches[branch as usize].is_learning() {
                self.learn_again(branch, Cause::ImageChanged, now);
            }
        }
    }

    /// Removes what was not met for long in branches that learn, and old deviations everywhere.
    fn forget(&mut self, now: u32, options: &Options) {
        let before =
            now.saturating_sub(u32::try_from(options.forget_after.as_secs()).unwrap_or(u32::MAX));
        let learning: [bool; BRANCHES] = std::array::from_fn(|at| self.branches[at].is_learning());
        let below = Branch::ALL.map(|branch| self.below(branch));
        let mut doomed = Vec::new();
        for index in self.tree.indices() {
            let node = self.tree.node(index);
            let branch = below.iter().position(|below| below(index)).unwrap_or(0);
            let is_stale = node.kind.depth() == 3
                && node.last_seen < before
                && (learning[branch] || node.has(mark::DEVIATING));
            if is_stale {
                if node.has(mark::SINGLE) {
                    let singletons = &mut self.branches[branch].singletons;
                    *singletons = singletons.saturating_sub(1);
                }
                doomed.push(index);
            }
        }
        if doomed.is_empty() {
            return;
        }
        for index in doomed {
            self.tree.node_mut(index).marks |= mark::DOOMED;
        }
        self.tree.remove(|node| node.has(mark::DOOMED));
        self.recount_deviating();
    }

    /// Old nodes are next looked for a day after `now`.
    pub(crate) fn set_cleaned(&mut self, now: u32) {
        self.cleaned = now;
    }

    pub(crate) fn recount_singletons(&mut self) {
        for branch in Branch::ALL {
            let below = self.below(branch);
            let singletons = self
                .tree
                .indices()
                .filter(|index| below(*index) && self.tree.node(*index).has(mark::SINGLE))
                .count();
            let learning = &mut self.branches[branch as usize];
            if learning.is_learning() {
                learning.singletons = singletons as u64;
            }
        }
    }

    pub(crate) fn recount_deviating(&mut self) {
        self.deviating_nodes = self
            .tree
            .indices()
            .filter(|index| self.tree.node(*index).has(mark::DEVIATING))
            .count();
    }

    /// Compares one action with what is known, and learns it or finds fault with it.
    ///
    /// `is_suspect` tells that the same event deviated in another branch.
    pub(crate) fn meet(
        &mut self,
        action: &Action<'_>,
        tokens: &Tokens,
        fields: &Fields<'_>,
        is_suspect: bool,
        now: u32,
        shared: &mut Shared,
    ) -> Met {
        let branch = action.branch as usize;
        let is_learning = self.branches[branch].is_learning();
        if is_learning && !self.branches[branch].is_warming_up(now, &shared.options) {
            self.branches[branch].observations += 1;
        }
        let place = self.place(action, &shared.symbols);
        let mut unknown: Vec<Novelty> = Vec::new();
        for (at, token) in action.tokens.clone().zip(tokens.of(&action.tokens)) {
            let text = tokens.text(token);
            match self.recognise(&place, token, text, is_learning, shared) {
                Recognised::Known(leaf) => self.hit(leaf, branch, now),
                Recognised::Similar(representative) => {
                    let learned = if is_learning { 0 } else { mark::LEARNED };
                    let marks = mark::SIMILAR | learned;
                    // Its own node answers faster the next time.
                    let leaf = self
                        .insert(action.way(), token.kind, text, marks, now, shared)
                        .map_or(representative, |(leaf, _)| leaf);
                    self.hit(leaf, branch, now);
                }
                Recognised::Unknown(closest) => unknown.push(Novelty { at, closest }),
            }
        }
        if unknown.is_empty() {
            return Met::Known;
        }
        let is_guarded = is_learning && self.branches[branch].cause == Cause::ImageChanged;
        if !is_learning || is_guarded {
            let mut finding = self.judge(action, tokens, &unknown, fields, shared);
            if !is_learning || is_suspect || finding.reasons.score() >= shared.options.guard_score {
                finding.behaviour = self.record(action, tokens, &unknown, now, shared);
                self.deviations += 1;
                return Met::Deviating(finding);
            }
        }
        let mut new_nodes = 0;
        for novelty in unknown {
            if let Some(token) = tokens.of(&(novelty.at..novelty.at + 1)).first() {
                new_nodes += self.learn(action, token, tokens.text(token), now, shared);
            }
        }
        if new_nodes == 0 {
            Met::Known
        } else {
            Met::Learned(new_nodes)
        }
    }

    fn place(&self, action: &Action<'_>, symbols: &Symbols) -> Place {
        let operation = symbols.find(action.operation).and_then(|symbol| {
            self.tree
                .find(action.branch as NodeIndex, Kind::Operation, symbol)
        });
        let process = symbols.find(action.process);
        Place {
            process: operation
                .zip(process)
                .and_then(|(operation, symbol)| self.tree.find(operation, Kind::Process, symbol)),
        }
    }

    fn recognise(
        &self,
        place: &Place,
        token: &Token,
        text: &str,
        is_learning: bool,
        shared: &mut Shared,
    ) -> Recognised {
        let Some(process) = place.process else {
            return Recognised::Unknown(None);
        };
        let exact = shared
            .symbols
            .find(text)
            .and_then(|symbol| self.tree.find(process, token.kind, symbol));
        if let Some(leaf) = exact {
            let node = self.tree.node(leaf);
            if !node.has(mark::DEVIATING) {
                return Recognised::Known(leaf);
            }
            if is_learning {
                return Recognised::Unknown(None);
            }
        }
        if self.tree.node(process).has(mark::OPEN) {
            let Shared {
                symbols, buffer, ..
            } = shared;
            let covered = covering(token.kind, text, token.about, buffer, |wildcard| {
                let symbol = symbols.find(wildcard)?;
                let leaf = self.tree.find(process, token.kind, symbol)?;
                self.tree.node(leaf).has(mark::WILDCARD).then_some(leaf)
            });
            if let Some(leaf) = covered {
                return Recognised::Known(leaf);
            }
        }
        if !token.kind.is_fuzzy()
            || (token.kind != Kind::Flag && sensitive::of_path(text).is_some())
        {
            return Recognised::Unknown(None);
        }
        match self.closest(process, token.kind, text, shared) {
            Some((symbol, similarity))
                if similarity >= shared.options.threshold && exact.is_none() =>
            {
                self.tree
                    .find(process, token.kind, symbol)
                    .map_or(Recognised::Unknown(None), Recognised::Similar)
            }
            closest => Recognised::Unknown(closest),
        }
    }

    /// The most similar known text of the same kind, and how similar it is.
    fn closest(
        &self,
        process: NodeIndex,
        kind: Kind,
        text: &str,
        shared: &mut Shared,
    ) -> Option<(Symbol, f32)> {
        let mut embedding = None;
        let mut best: Option<(Symbol, f32)> = None;
        let excluded = mark::DEVIATING | mark::SIMILAR | mark::WILDCARD | mark::SENSITIVE;
        for index in self.tree.children(process) {
            let node = self.tree.node(index);
            if node.kind != kind || node.has(excluded) {
                continue;
            }
            let embedding = embedding.get_or_insert_with(|| Embedding::of(text));
            let similarity = shared
                .embeddings
                .similarity(embedding, node.symbol, &shared.symbols);
            if best.is_none_or(|(_, most)| similarity > most) {
                best = Some((node.symbol, similarity));
            }
        }
        best
    }

    #[inline]
    fn hit(&mut self, leaf: NodeIndex, branch: usize, now: u32) {
        let node = self.tree.node_mut(leaf);
        if node.has(mark::SINGLE) {
            node.marks &= !mark::SINGLE;
            let singletons = &mut self.branches[branch].singletons;
            *singletons = singletons.saturating_sub(1);
        }
        self.tree.count(leaf, 1, now);
    }

    /// Takes in what was not known; says how many nodes are new.
    fn learn(
        &mut self,
        action: &Action<'_>,
        token: &Token,
        text: &str,
        now: u32,
        shared: &mut Shared,
    ) -> u32 {
        let Some((leaf, added)) = self.insert(action.way(), token.kind, text, 0, now, shared)
        else {
            self.refused += 1;
            return 0;
        };
        self.know(leaf);
        self.tree.count(leaf, 1, now);
        if added == 0 {
            return 0;
        }
        let learning = &mut self.branches[action.branch as usize];
        if !learning.is_warming_up(now, &shared.options) {
            learning.note_new(now);
            self.tree.node_mut(leaf).marks |= mark::SINGLE;
        }
        let process = self.tree.node(leaf).parent;
        let least = shared.options.open_ended.min(shared.options.networks);
        let may_be_open = self
            .tree
            .children(process)
            .nth(least.saturating_sub(1))
            .is_some();
        if may_be_open
            && let Some(singletons) = generalise(
                &mut self.tree,
                &mut shared.symbols,
                process,
                token.kind,
                text,
                token.about,
                &shared.options,
            )
        {
            let learning = &mut self.branches[action.branch as usize];
            learning.singletons = learning.singletons.saturating_sub(singletons);
        }
        added
    }

    /// The leaf for an attribute, added where it is missing, and how many nodes that took; `None`
    /// when something is full.
    pub(crate) fn insert(
        &mut self,
        (branch, operation, process): (Branch, &str, &str),
        kind: Kind,
        text: &str,
        marks: u8,
        now: u32,
        shared: &mut Shared,
    ) -> Option<(NodeIndex, u32)> {
        let is_deviation = marks & mark::DEVIATING != 0;
        let way = [
            (Kind::Operation, operation, MAX_OPERATIONS),
            (Kind::Process, process, shared.options.max_children),
            (
                kind,
                text,
                shared.options.max_children * if kind.is_fuzzy() { 2 } else { 1 },
            ),
        ];
        let mut at = branch as NodeIndex;
        let mut added = 0;
        for (kind, text, most) in way {
            let found = shared
                .symbols
                .find(text)
                .and_then(|symbol| self.tree.find(at, kind, symbol));
            at = if let Some(found) = found {
                found
            } else {
                // Asked once for the whole way, so that no part of it stays without a leaf.
                if added == 0 && self.is_full(at, kind, most, marks, shared) {
                    return None;
                }
                let symbol = shared.symbols.intern(text);
                let node = self.tree.add(at, kind, symbol, now);
                added += 1;
                self.deviating_nodes += usize::from(is_deviation);
                let is_path = matches!(
                    kind,
                    Kind::Path | Kind::WrittenPath | Kind::Socket | Kind::Executable
                );
                let mut own = if kind.depth() == 3 {
                    marks
                } else {
                    marks & mark::DEVIATING
                };
                if is_path && sensitive::of_path(text).is_some() {
                    own |= mark::SENSITIVE;
                }
                self.tree.node_mut(node).marks = own;
                node
            };
        }
        Some((at, added))
    }

    fn is_full(
        &self,
        parent: NodeIndex,
        kind: Kind,
        most: usize,
        marks: u8,
        shared: &Shared,
    ) -> bool {
        let options = &shared.options;
        // A way has three parts.
        if marks & mark::DEVIATING != 0 {
            // What was accepted may have taken known nodes beyond their own bound.
            let most = options.max_nodes + options.max_deviating_nodes;
            return shared.is_full
                || self.tree.len() + 3 > most
                || self.deviating_nodes + 3 > options.max_deviating_nodes;
        }
        shared.is_full
            || self.tree.len() - self.deviating_nodes + 3 > options.max_nodes
            || self.siblings(parent, kind) >= most
    }

    fn siblings(&self, parent: NodeIndex, kind: Kind) -> usize {
        self.tree
            .children(parent)
            .filter(|child| {
                let node = self.tree.node(*child);
                node.kind == kind && !node.has(mark::DEVIATING)
            })
            .count()
    }

    /// Records what deviates, for people to see; says what it was.
    fn record(
        &mut self,
        action: &Action<'_>,
        tokens: &Tokens,
        unknown: &[Novelty],
        now: u32,
        shared: &mut Shared,
    ) -> Vec<Behaviour> {
        let mut behaviour = Vec::with_capacity(unknown.len());
        for novelty in unknown {
            let Some(token) = tokens.of(&(novelty.at..novelty.at + 1)).first() else {
                continue;
            };
            let text = tokens.text(token);
            behaviour.push(Behaviour {
                branch: action.branch.as_str().to_owned(),
                operation: action.operation.to_owned(),
                process: action.process.to_owned(),
                kind: token.kind.as_str().to_owned(),
                token: text.to_owned(),
            });
            if token.kind == Kind::WrittenPath {
                self.dropped[self.next_dropped % DROPPED] = hash(text);
                self.next_dropped = (self.next_dropped + 1) % DROPPED;
            }
            match self.insert(action.way(), token.kind, text, mark::DEVIATING, now, shared) {
                Some((leaf, _)) => self.tree.count(leaf, 1, now),
                None => self.refused += 1,
            }
        }
        behaviour
    }

    /// Makes a deviating node and what is above it known.
    pub(crate) fn know(&mut self, leaf: NodeIndex) {
        let mut at = leaf;
        while at >= BRANCHES as NodeIndex {
            let node = self.tree.node_mut(at);
            if node.has(mark::DEVIATING) {
                node.marks &= !mark::DEVIATING;
                self.deviating_nodes = self.deviating_nodes.saturating_sub(1);
            }
            at = node.parent;
        }
    }

    /// What is unusual about an action, and how much.
    fn judge(
        &self,
        action: &Action<'_>,
        tokens: &Tokens,
        unknown: &[Novelty],
        fields: &Fields<'_>,
        shared: &Shared,
    ) -> Finding {
        let symbols = &shared.symbols;
        let process_symbol = symbols.find(action.process);
        let is_known = |node: NodeIndex| !self.tree.node(node).has(mark::DEVIATING);
        let met_in = |branch: Branch, operations: Option<&[&str]>| {
            process_symbol.is_some_and(|symbol| {
                self.tree.children(branch as NodeIndex).any(|operation| {
                    operations.is_none_or(|names| {
                        names.contains(&symbols.text(self.tree.node(operation).symbol))
                    }) && self
                        .tree
                        .find(operation, Kind::Process, symbol)
                        .is_some_and(is_known)
                })
            })
        };
        let place = self
            .place(action, symbols)
            .process
            .filter(|node| is_known(*node));
        let connects = met_in(Branch::Network, None);
        let dropped = tokens.of(&action.tokens).iter().any(|token| {
            let is_attempt =
                matches!(action.operation, "execve" | "execveat") && has_failed(fields);
            let names_program =
                token.kind == Kind::Executable || (is_attempt && token.kind == Kind::Path);
            names_program && self.dropped.contains(&hash(tokens.text(token)))
        });
        let known = Known {
            process: connects || met_in(Branch::Process, None) || met_in(Branch::File, None),
            operation: place.is_some() || action.branch == Branch::Lineage,
            serves: matches!(action.branch, Branch::Lineage | Branch::File)
                && met_in(
                    Branch::Network,
                    Some(&["accept", "accept4", "listen", "bind"]),
                ),
            connects,
            dropped,
            ..Known::default()
        };
        let mut finding = Finding {
            kind: match (action.branch, known.process, known.operation) {
                (Branch::Lineage, ..) => DeviationKind::NewLineage,
                (_, false, false) => DeviationKind::NewProcess,
                (_, true, false) => DeviationKind::NewOperation,
                (_, _, true) => DeviationKind::NewToken,
            },
            token: action.tokens.start,
            reasons: Reasons::default(),
            closest: None,
            behaviour: Vec::new(),
        };
        let mut most = -1.0;
        for novelty in unknown {
            let Some(token) = tokens.of(&(novelty.at..novelty.at + 1)).first() else {
                continue;
            };
            let text = tokens.text(token);
            let (port, directory) = place.map_or((false, false), |process| {
                self.neighbours(process, token, text, symbols)
            });
            let mut reasons = Reasons::default();
            assess(
                &Unknown {
                    branch: action.branch,
                    operation: action.operation,
                    process: action.process,
                    kind: token.kind,
                    text,
                    about: token.about,
                    closest: novelty.closest.map_or(0.0, |(_, similarity)| similarity),
                },
                Known {
                    port,
                    directory,
                    names_dropped: token.kind == Kind::Path && self.dropped.contains(&hash(text)),
                    ..known
                },
                fields,
                &mut reasons,
            );
            let score = reasons.score();
            if score > most {
                most = score;
                finding.token = novelty.at;
                finding.closest = novelty.closest;
            }
            finding.reasons.append(reasons);
        }
        finding
    }

    /// Whether the process is known with the same port, and with the same directory.
    fn neighbours(
        &self,
        process: NodeIndex,
        token: &Token,
        text: &str,
        symbols: &Symbols,
    ) -> (bool, bool) {
        let directory = text.rsplit_once('/').map(|(directory, _)| directory);
        let (mut port_is_known, mut directory_is_known) = (false, false);
        for index in self.tree.children(process) {
            let node = self.tree.node(index);
            if node.has(mark::DEVIATING) {
                continue;
            }
            let other = symbols.text(node.symbol);
            match (node.kind, token.about) {
                (Kind::Destination, About::Address { port, .. }) => {
                    port_is_known |= other
                        .trim_end_matches("/udp")
                        .rsplit_once(':')
                        .is_some_and(|(_, known)| known.parse() == Ok(port));
                }
                (Kind::Path | Kind::WrittenPath, About::Nothing) => {
                    directory_is_known = directory_is_known
                        || directory.is_some_and(|directory| {
                            other
                                .strip_prefix(directory)
                                .and_then(|rest| rest.strip_prefix('/'))
                                .is_some_and(|name| !name.contains('/'))
                        });
                }
                _ => {}
            }
        }
        (port_is_known, directory_is_known)
    }
}

/// Where an action belongs in the tree.
struct Place {
    process: Option<NodeIndex>,
}

/// An attribute that is not known.
struct Novelty {
    at: usize,
    closest: Option<(Symbol, f32)>,
}

enum Recognised {
    Known(NodeIndex),
    Similar(NodeIndex),
    Unknown(Option<(Symbol, f32)>),
}

fn hash(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}
