//! What people say belongs to a workload, and taking it back.

use std::sync::Arc;

use qw_event::{Behaviour, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::Branch,
    normal::MAX_TEXT,
    profile::{Profile, Shared},
    profiles::seconds,
    tree::{BRANCHES, Kind, NodeIndex, mark},
};

/// Longest name of who accepted something, in bytes.
pub(crate) const MAX_WHO: usize = 64;

/// Who said that behaviour belongs to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// User.
    pub by: Arc<str>,
    /// When.
    pub time: Timestamp,
    /// Number of the alert that was closed so; `None` when it was said in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<u64>,
}

impl Acceptance {
    /// With a name of at most the length that is kept.
    pub(crate) fn bounded(mut self) -> Self {
        if self.by.len() > MAX_WHO {
            let mut end = MAX_WHO;
            while !self.by.is_char_boundary(end) {
                end -= 1;
            }
            self.by = self.by.get(..end).unwrap_or("").into();
        }
        self
    }
}

impl Profile {
    /// Makes `behaviour` known, whether it was recorded as a deviation or not; says how much of it is
    /// known now. What the bounds leave no room for is not.
    pub(crate) fn teach(
        &mut self,
        behaviour: &[Behaviour],
        acceptance: &Acceptance,
        shared: &mut Shared,
    ) -> usize {
        let now = seconds(acceptance.time);
        let mut known = 0;
        for each in behaviour {
            let (Some(branch), Some(kind)) = (Branch::named(&each.branch), Kind::named(&each.kind))
            else {
                continue;
            };
            let texts = [&each.operation, &each.process, &each.token];
            if kind.depth() != 3 || texts.iter().any(|text| text.len() > MAX_TEXT + 4) {
                continue;
            }
            let way = (branch, &*each.operation, &*each.process);
            let Some((leaf, added)) = self.insert(way, kind, &each.token, 0, now, shared) else {
                self.refused += 1;
                continue;
            };
            known += 1;
            if added > 0 || self.tree.node(leaf).has(mark::DEVIATING) {
                self.accept(leaf, acceptance);
            }
        }
        self.changed = true;
        known
    }

    /// Makes a leaf known because somebody said so.
    pub(crate) fn accept(&mut self, leaf: NodeIndex, acceptance: &Acceptance) {
        self.know(leaf);
        self.tree.node_mut(leaf).marks |= mark::LEARNED;
        self.tree.set_accepted(leaf, Some(acceptance.clone()));
        self.changed = true;
    }

    /// Takes back what was accepted with `alert`: it deviates again. Says how much that was.
    pub(crate) fn unteach(&mut self, alert: u64, shared: &Shared) -> usize {
        let leaves: Vec<NodeIndex> = self
            .tree
            .accepted()
            .iter()
            .filter(|(_, acceptance)| acceptance.alert == Some(alert))
            .map(|(leaf, _)| *leaf)
            .collect();
        let mut is_any_doomed = false;
        for &leaf in &leaves {
            self.tree.set_accepted(leaf, None);
            // What has no room among the deviations is forgotten, which comes to the same.
            if self.deviating_nodes + 3 > shared.options.max_deviating_nodes {
                self.tree.node_mut(leaf).marks |= mark::DOOMED;
                is_any_doomed = true;
                continue;
            }
            let mut at = leaf;
            while at >= BRANCHES as NodeIndex {
                let is_all_unknown = at == leaf
                    || self
                        .tree
                        .children(at)
                        .all(|child| self.tree.node(child).has(mark::DEVIATING));
                if !is_all_unknown {
                    break;
                }
                let node = self.tree.node_mut(at);
                if !node.has(mark::DEVIATING) {
                    node.marks = (node.marks | mark::DEVIATING) & !(mark::LEARNED | mark::SINGLE);
                    self.deviating_nodes += 1;
                }
                at = node.parent;
            }
        }
        if is_any_doomed {
            self.tree.remove(|node| node.has(mark::DOOMED));
            self.recount_deviating();
        }
        self.changed |= !leaves.is_empty();
        leaves.len()
    }
}
