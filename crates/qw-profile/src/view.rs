//! A profile as people look at it: a tree of named nodes.

use std::{collections::BTreeMap, sync::Arc};

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    action::Branch,
    learning::BranchState,
    options::Options,
    profile::Profile,
    profiles::{seconds, timestamp},
    symbols::Symbols,
    teaching::Acceptance,
    tree::{NodeIndex, mark},
};

/// What to show of a tree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeQuery {
    /// Only this branch.
    pub branch: Option<Branch>,
    /// Only nodes whose name contains this, in any case, with what is above and below them.
    pub search: String,
    /// Only what had been seen by then.
    pub at: Option<Timestamp>,
    /// Only nodes in this state, with what is above them.
    pub state: Option<NodeState>,
}

/// What a node is to its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Part of what verdicts are based on.
    Learned,
    /// Known because somebody said that it belongs to the workload.
    Accepted,
    /// Met while its branch learns.
    Seen,
    /// Met while its branch detects, and not known.
    Deviating,
}

/// One node with all below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// Text of the node.
    pub name: String,
    /// What it stands for: `profile`, `branch`, `operation`, `process`, or a kind of attribute.
    #[serde(rename = "type")]
    pub kind: String,
    /// Sum of the counts below; at an attribute, events that had it.
    pub events_count: u64,
    /// What else is known.
    pub metadata: Metadata,
    /// Nodes below, most frequent first.
    pub children: Vec<Self>,
}

/// What is known of a node beside its name and count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Time of the first event; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// Time of the newest event; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// What it is to its profile; of inner nodes, deviating when something below is, else seen when
    /// something below is, else learned.
    pub state: NodeState,
    /// The count, halved for every half-life since it was last met.
    pub weight: f64,
    /// It stands for many names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wildcard: bool,
    /// It is known because it resembles another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub similar: bool,
    /// It gives access to something, and is compared to the letter only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// Who said that it belongs to the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// State of learning, of branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning: Option<BranchState>,
    /// Attributes below by state, of inner nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub states: BTreeMap<NodeState, u64>,
}

pub(crate) fn tree(
    profile: &Profile,
    symbols: &Symbols,
    options: &Options,
    query: &TreeQuery,
) -> TreeNode {
    let view = View {
        profile,
        symbols,
        search: query.search.to_lowercase(),
        at: query.at.map_or(u32::MAX, seconds),
        state: query.state,
        half_life: options.half_life.as_secs_f64().max(1.0),
    };
    let branches = Branch::ALL
        .into_iter()
        .filter(|branch| query.branch.is_none_or(|only| only == *branch))
        .map(|branch| {
            let learning = &profile.branches[branch as usize];
            let mut node = view.inner(
                branch.as_str().to_owned(),
                "branch",
                branch as NodeIndex,
                learning.is_learning(),
                view.search.is_empty(),
            );
            node.metadata.learning = Some(learning.report(profile.last_seen, options));
            node
        })
        .collect();
    let mut root = fold(
        String::from(&*Arc::clone(&profile.key)),
        "profile",
        branches,
    );
    root.metadata.first_seen = Some(timestamp(profile.created));
    root.metadata.last_seen = Some(timestamp(profile.last_seen));
    root
}

struct View<'a> {
    profile: &'a Profile,
    symbols: &'a Symbols,
    search: String,
    at: u32,
    state: Option<NodeState>,
    half_life: f64,
}

impl View<'_> {
    /// An inner node with what is to be shown below it. Depth is bounded by the form of the tree.
    fn inner(
        &self,
        name: String,
        kind: &str,
        index: NodeIndex,
        is_learning: bool,
        is_found: bool,
    ) -> TreeNode {
        let mut children = Vec::new();
        for child in self.profile.tree.children(index) {
            let node = self.profile.tree.node(child);
            let text = self.symbols.text(node.symbol);
            let is_found = is_found || text.to_lowercase().contains(&self.search);
            if node.first_seen > self.at {
                continue;
            }
            if node.kind.depth() == 3 {
                let leaf = self.leaf(child, is_learning);
                if is_found && self.state.is_none_or(|state| leaf.metadata.state == state) {
                    children.push(leaf);
                }
                continue;
            }
            let inner = self.inner(
                text.to_owned(),
                node.kind.as_str(),
                child,
                is_learning,
                is_found,
            );
            if !inner.children.is_empty() {
                children.push(inner);
            }
        }
        fold(name, kind, children)
    }

    fn leaf(&self, index: NodeIndex, is_learning: bool) -> TreeNode {
        let node = self.profile.tree.node(index);
        let accepted = self.profile.tree.accepted().get(&index).cloned();
        let state = if node.has(mark::DEVIATING) {
            NodeState::Deviating
        } else if accepted.is_some() {
            NodeState::Accepted
        } else if node.has(mark::LEARNED) || !is_learning {
            NodeState::Learned
        } else {
            NodeState::Seen
        };
        let idle = f64::from(self.profile.last_seen.saturating_sub(node.last_seen));
        TreeNode {
            name: self.symbols.text(node.symbol).to_owned(),
            kind: node.kind.as_str().to_owned(),
            events_count: node.count,
            metadata: Metadata {
                first_seen: Some(timestamp(node.first_seen)),
                last_seen: Some(timestamp(node.last_seen)),
                state,
                weight: node.count as f64 * (-idle / self.half_life).exp2(),
                wildcard: node.has(mark::WILDCARD),
                similar: node.has(mark::SIMILAR),
                sensitive: node.has(mark::SENSITIVE),
                accepted,
                learning: None,
                states: BTreeMap::new(),
            },
            children: Vec::new(),
        }
    }
}

/// An inner node whose figures follow from its children.
fn fold(name: String, kind: &str, mut children: Vec<TreeNode>) -> TreeNode {
    children.sort_by(|a, b| {
        b.events_count
            .cmp(&a.events_count)
            .then_with(|| a.name.cmp(&b.name))
            .then_with(|| a.kind.cmp(&b.kind))
    });
    let mut states: BTreeMap<NodeState, u64> = BTreeMap::new();
    for child in &children {
        // A branch may be empty; other nodes without children are attributes.
        if child.children.is_empty() && kind != "profile" {
            *states.entry(child.metadata.state).or_default() += 1;
        }
        for (state, count) in &child.metadata.states {
            *states.entry(*state).or_default() += count;
        }
    }
    let has = |state| states.contains_key(&state);
    let state = if has(NodeState::Deviating) {
        NodeState::Deviating
    } else if has(NodeState::Seen) {
        NodeState::Seen
    } else {
        NodeState::Learned
    };
    TreeNode {
        name,
        kind: kind.to_owned(),
        events_count: children.iter().map(|child| child.events_count).sum(),
        metadata: Metadata {
            first_seen: children
                .iter()
                .filter_map(|child| child.metadata.first_seen)
                .min(),
            last_seen: children
                .iter()
                .filter_map(|child| child.metadata.last_seen)
                .max(),
            state,
            weight: children.iter().map(|child| child.metadata.weight).sum(),
            wildcard: false,
            similar: false,
            sensitive: false,
            accepted: None,
            learning: None,
            states,
        },
        children,
    }
}
