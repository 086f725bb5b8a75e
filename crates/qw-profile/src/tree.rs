//! The nodes of one profile: branch → operation → process → token, in one array.
//!
//! A node is 40 bytes and names its text by number. Children hang in a list; one open-addressing
//! table over all nodes answers "which child of this node has this kind and text". Counts are right
//! at every level at any time: whoever counts at a leaf counts at all nodes above it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{symbols::Symbol, teaching::Acceptance};

/// Number of a node in its tree; the branches are the first four.
pub(crate) type NodeIndex = u32;

pub(crate) const NONE: NodeIndex = u32::MAX;

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    /// Part of a profile.
    Branch = 0,
    /// A system call, or `spawn` in the lineage.
    Operation = 1,
    /// Name of the program; of the parent in the lineage.
    Process = 2,
    /// A file that is read or only named.
    Path = 3,
    /// A file that is written, created, moved or removed.
    WrittenPath = 4,
    /// File of the program.
    Executable = 5,
    /// Option of a command.
    Flag = 6,
    /// Other argument of a command.
    Word = 7,
    /// Program text given as an argument.
    Script = 8,
    /// Who runs the program.
    User = 9,
    /// Where a connection goes to.
    Destination = 10,
    /// Where a connection comes from, and the port it comes to.
    Origin = 11,
    /// A port that is listened on.
    Listener = 12,
    /// A Unix socket.
    Socket = 13,
    /// Program that was started.
    Child = 14,
    /// A call without attributes.
    Nothing = 15,
    /// A detail of a call that is none of the above, such as the kind of a socket.
    Detail = 16,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::Branch,
        Self::Operation,
        Self::Process,
        Self::Path,
        Self::WrittenPath,
        Self::Executable,
        Self::Flag,
        Self::Word,
        Self::Script,
        Self::User,
        Self::Destination,
        Self::Origin,
        Self::Listener,
        Self::Socket,
        Self::Child,
        Self::Nothing,
        Self::Detail,
    ];

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Operation => "operation",
            Self::Process => "process",
            Self::Path => "path",
            Self::WrittenPath => "written_path",
            Self::Executable => "executable",
            Self::Flag => "flag",
            Self::Word => "word",
            Self::Script => "script",
            Self::User => "user",
            Self::Destination => "destination",
            Self::Origin => "origin",
            Self::Listener => "listener",
            Self::Socket => "socket",
            Self::Child => "child",
            Self::Nothing => "nothing",
            Self::Detail => "detail",
        }
    }

    /// Distance from the branch.
    pub(crate) const fn depth(self) -> usize {
        match self {
            Self::Branch => 0,
            Self::Operation => 1,
            Self::Process => 2,
            _ => 3,
        }
    }

    /// True for kinds that may be compared by similarity.
    pub(crate) const fn is_fuzzy(self) -> bool {
        matches!(self, Self::Path | Self::WrittenPath | Self::Flag)
    }
}

/// Properties of a node, as bits.
pub(crate) mod mark {
    /// Part of what was known when learning last ended.
    pub(crate) const LEARNED: u8 = 1;
    /// First met while detecting, and not accepted since.
    pub(crate) const DEVIATING: u8 = 2;
    /// Met once since it was first met, after the warm-up: a singleton of Good and Turing.
    pub(crate) const SINGLE: u8 = 4;
    /// Known because it resembles another; nothing is compared with it.
    pub(crate) const SIMILAR: u8 = 8;
    /// Stands for many texts.
    pub(crate) const WILDCARD: u8 = 16;
    /// Has a wildcard among its children.
    pub(crate) const OPEN: u8 = 32;
    /// About to be removed.
    pub(crate) const DOOMED: u8 = 64;
    /// Gives access to something: compared to the letter only.
    pub(crate) const SENSITIVE: u8 = 128;
    /// Bits that a document carries.
    pub(crate) const STORED: u8 = LEARNED | DEVIATING | SINGLE | SIMILAR | WILDCARD;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) count: u64,
    pub(crate) parent: NodeIndex,
    pub(crate) first_child: NodeIndex,
    pub(crate) next_sibling: NodeIndex,
    pub(crate) symbol: Symbol,
    /// Seconds since 1970.
    pub(crate) first_seen: u32,
    pub(crate) last_seen: u32,
    pub(crate) kind: Kind,
    pub(crate) marks: u8,
}

impl Node {
    pub(crate) const fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }
}

/// Branches of every tree; their nodes are the first.
pub(crate) const BRANCHES: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    index: Vec<NodeIndex>,
    /// Leaves that somebody accepted.
    accepted: BTreeMap<NodeIndex, Acceptance>,
}

impl Tree {
    /// A tree of four empty branches.
    pub(crate) fn new() -> Self {
        let branch = Node {
            count: 0,
            parent: NONE,
            first_child: NONE,
            next_sibling: NONE,
            symbol: Symbol(0),
            first_seen: u32::MAX,
            last_seen: 0,
            kind: Kind::Branch,
            marks: 0,
        };
        Self {
            nodes: vec![branch; BRANCHES],
            index: vec![NONE; 16],
            accepted: BTreeMap::new(),
        }
    }

    /// Nodes without the branches.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - BRANCHES
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        // A name is up to 64 bytes.
        const ACCEPTED: usize = size_of::<(NodeIndex, Acceptance)>() + 64;
        self.nodes.capacity() * size_of::<Node>()
            + self.index.len() * size_of::<NodeIndex>()
            + self.accepted.len() * ACCEPTED
    }

    /// Who accepted which leaves, in the order of their numbers.
    pub(crate) fn accepted(&self) -> &BTreeMap<NodeIndex, Acceptance> {
        &self.accepted
    }

    /// Notes who accepted a leaf, or that nobody did.
    pub(crate) fn set_accepted(&mut self, leaf: NodeIndex, acceptance: Option<Acceptance>) {
        match acceptance {
            Some(acceptance) => drop(self.accepted.insert(leaf, acceptance)),
            None => drop(self.accepted.remove(&leaf)),
        }
    }

    pub(crate) fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    pub(crate) fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    pub(crate) fn indices(&self) -> std::ops::Range<NodeIndex> {
        BRANCHES as NodeIndex..self.nodes.len() as NodeIndex
    }

    pub(crate) fn children(&self, parent: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        let mut next = self.node(parent).first_child;
        std::iter::from_fn(move || {
            if next == NONE {
                return None;
            }
            let this = next;
            next = self.node(this).next_sibling;
            Some(this)
        })
    }

    #[inline]
    pub(crate) fn find(&self, parent: NodeIndex, kind: Kind, symbol: Symbol) -> Option<NodeIndex> {
        let mask = self.index.len() - 1;
        let mut slot = hash(parent, kind, symbol) & mask;
        loop {
            let index = *self.index.get(slot)?;
            if index == NONE {
                return None;
            }
            let node = self.node(index);
            if node.parent == parent && node.symbol == symbol && node.kind == kind {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Adds a child that is not there yet, with nothing counted.
    pub(crate) fn add(
        &mut self,
        parent: NodeIndex,
        kind: Kind,
        symbol: Symbol,
        now: u32,
    ) -> NodeIndex {
        if (self.nodes.len() + 1) * 4 > self.index.len() * 3 {
            let size = self.index.len() * 2;
            self.rebuild_index(size);
        }
        if self.nodes.len() == self.nodes.capacity() {
            // Doubling would waste up to half of what ten thousand profiles need.
            self.nodes.reserve_exact(self.nodes.len() / 8 + 8);
        }
        let index = self.nodes.len() as NodeIndex;
        self.nodes.push(Node {
            count: 0,
            parent,
            first_child: NONE,
            next_sibling: self.node(parent).first_child,
            symbol,
            first_seen: now,
            last_seen: now,
            kind,
            marks: 0,
        });
        self.node_mut(parent).first_child = index;
        place(&mut self.index, hash(parent, kind, symbol), index);
        index
    }

    /// Counts `times` at a leaf and at everything above it.
    #[inline]
    pub(crate) fn count(&mut self, leaf: NodeIndex, times: u64, now: u32) {
        let mut at = leaf;
        while let Some(node) = self.nodes.get_mut(at as usize) {
            node.count = node.count.saturating_add(times);
            node.first_seen = node.first_seen.min(now);
            node.last_seen = node.last_seen.max(now);
            at = node.parent;
        }
    }

    /// Removes leaves for which `remove` says so, and what has no children any more.
    ///
    /// Numbers of nodes change. Counts above go down by what is removed.
    pub(crate) fn remove(&mut self, mut remove: impl FnMut(&Node) -> bool) {
        let mut gone = vec![false; self.nodes.len()];
        // Children come behind their parents, so one pass from the end sees them first.
        let mut live_children = vec![0_u32; self.nodes.len()];
        for at in (BRANCHES..self.nodes.len()).rev() {
            let node = self.nodes[at];
            let is_leaf = node.kind.depth() == 3;
            gone[at] = if is_leaf {
                remove(&node)
            } else {
                live_children[at] == 0
            };
            if !gone[at] {
                live_children[node.parent as usize] += 1;
            } else if is_leaf {
                let mut above = node.parent;
                while let Some(node_above) = self.nodes.get_mut(above as usize) {
                    node_above.count = node_above.count.saturating_sub(node.count);
                    above = node_above.parent;
                }
            }
        }
        let mut numbers = vec![NONE; self.nodes.len()];
        let mut kept = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            if gone[at] {
                continue;
            }
            numbers[at] = kept.len() as NodeIndex;
            let mut node = *node;
            node.first_child = NONE;
            node.next_sibling = NONE;
            if at >= BRANCHES {
                node.parent = numbers[node.parent as usize];
            }
            kept.push(node);
        }
        self.nodes = kept;
        self.accepted = std::mem::take(&mut self.accepted)
            .into_iter()
            .filter_map(|(leaf, acceptance)| {
                let number = numbers.get(leaf as usize).copied();
                Some((number.filter(|number| *number != NONE)?, acceptance))
            })
            .collect();
        for at in BRANCHES..self.nodes.len() {
            let parent = self.nodes[at].parent as usize;
            self.nodes[at].next_sibling = self.nodes[parent].first_child;
            self.nodes[parent].first_child = at as NodeIndex;
        }
        self.rebuild_index(self.index.len());
    }

    /// Gives texts their new numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(Symbol) -> Symbol) {
        for node in self.nodes.iter_mut().skip(BRANCHES) {
            node.symbol = number(node.symbol);
        }
        self.rebuild_index(self.index.len());
    }

    fn rebuild_index(&mut self, size: usize) {
        self.index.clear();
        self.index.resize(size, NONE);
        for (at, node) in self.nodes.iter().enumerate().skip(BRANCHES) {
            place(
                &mut self.index,
                hash(node.parent, node.kind, node.symbol),
                at as NodeIndex,
            );
        }
    }
}

#[inline]
fn hash(parent: NodeIndex, kind: Kind, symbol: Symbol) -> usize {
    let packed = u64::from(parent) << 37 ^ u64::from(symbol.0) << 5 ^ kind as u64;
    let mixed = packed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)) as usize
}

fn place(index: &mut [NodeIndex], hash: usize, number: NodeIndex) {
    let mask = index.len() - 1;
    let mut slot = hash & mask;
    while let Some(place) = index.get_mut(slot) {
        if *place == NONE {
            *place = number;
            return;
        }
        slot = (slot + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 40);
    }

    fn sums_are_right(tree: &Tree) {
        for index in 0..tree.nodes.len() as NodeIndex {
            if tree.node(index).kind.depth() < 3 {
                let sum: u64 = tree
                    .children(index)
                    .map(|child| tree.node(child).count)
                    .sum();
                assert_eq!(tree.node(index).count, sum);
            }
        }
    }

    proptest! {
        #[test]
        fn counts_are_the_sum_of_what_is_below(
            paths in prop::collection::vec((0_u32..4, 0_u32..3, 0_u32..3, 0_u32..20), 1..200),
            removed in 0_u32..20,
        ) {
            let mut tree = Tree::new();
            for (branch, operation, process, token) in paths {
                let mut at = branch;
                for (kind, symbol) in [(Kind::Operation, operation), (Kind::Process, process), (Kind::Path, token)] {
                    at = match tree.find(at, kind, Symbol(symbol)) {
                        Some(found) => found,
                        None => tree.add(at, kind, Symbol(symbol), 7),
                    };
                }
                tree.count(at, 1, 8);
            }
            sums_are_right(&tree);
            tree.remove(|node| node.symbol.0 < removed);
            sums_are_right(&tree);
            for index in tree.indices() {
                let node = *tree.node(index);
                prop_assert_eq!(tree.find(node.parent, node.kind, node.symbol), Some(index));
                if node.kind.depth() == 3 {
                    prop_assert!(node.symbol.0 >= removed);
                } else {
                    prop_assert!(tree.children(index).next().is_some());
                }
            }
        }
    }
}
