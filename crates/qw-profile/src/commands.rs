//! What people do with profiles.

use std::sync::Arc;

use qw_event::{Behaviour, EventId, Timestamp};

use crate::{
    action::Branch,
    document::{Document, DocumentError},
    learning::Cause,
    profiles::{Profiles, UnknownProfile, seconds},
    teaching::Acceptance,
    tree::{NodeIndex, mark},
};

impl Profiles {
    /// Ends learning by command, of one branch or of all; no change of the image opens it again.
    pub fn freeze(
        &mut self,
        key: &str,
        branch: Option<Branch>,
        now: Timestamp,
    ) -> Result<(), UnknownProfile> {
        let (profile, _) = self.get_mut(key)?;
        for each in Branch::ALL {
            let is_learning = profile.branches[each as usize].is_learning();
            if branch.is_none_or(|only| only == each) && is_learning {
                profile.end_learning(each, Cause::Command, seconds(now));
            }
        }
        profile.pinned |= branch.is_none();
        profile.changed = true;
        Ok(())
    }

    /// Opens learning by command, of one branch or of all. What is known stays known; what deviated
    /// becomes known when it is met again.
    pub fn learn(
        &mut self,
        key: &str,
        branch: Option<Branch>,
        now: Timestamp,
    ) -> Result<(), UnknownProfile> {
        let (profile, _) = self.get_mut(key)?;
        for each in Branch::ALL {
            if branch.is_none_or(|only| only == each) {
                profile.learn_again(each, Cause::Command, seconds(now));
            }
        }
        profile.pinned = false;
        Ok(())
    }

    /// Makes deviations known that lie at or below `path` (operation, process, attribute, as far as
    /// given) because somebody said so; says how many attributes that were.
    pub fn accept(
        &mut self,
        key: &str,
        branch: Branch,
        path: &[&str],
        acceptance: &Acceptance,
    ) -> Result<usize, UnknownProfile> {
        let acceptance = acceptance.clone().bounded();
        self.resize(key, |profile, shared| {
            let mut at = vec![branch as NodeIndex];
            for text in path {
                let symbol = shared.symbols.find(text);
                at = at
                    .into_iter()
                    .flat_map(|parent| profile.tree.children(parent))
                    .filter(|child| Some(profile.tree.node(*child).symbol) == symbol)
                    .collect();
            }
            let mut accepted = 0;
            while let Some(index) = at.pop() {
                at.extend(profile.tree.children(index));
                let node = profile.tree.node(index);
                if node.kind.depth() == 3 && node.has(mark::DEVIATING) {
                    profile.accept(index, &acceptance);
                    accepted += 1;
                }
            }
            accepted
        })
    }

    /// Makes `behaviour` known, whether it is still recorded as a deviation or not; says how much of it
    /// is known now. What the bounds leave no room for is not.
    pub fn teach(
        &mut self,
        key: &str,
        behaviour: &[Behaviour],
        acceptance: &Acceptance,
    ) -> Result<usize, UnknownProfile> {
        let acceptance = acceptance.clone().bounded();
        self.resize(key, |profile, shared| {
            profile.teach(behaviour, &acceptance, shared)
        })
    }

    /// Takes back what was taught with the alert of this number: it deviates again. Says how many
    /// attributes that were.
    pub fn unteach(&mut self, key: &str, alert: u64) -> Result<usize, UnknownProfile> {
        self.resize(key, |profile, shared| profile.unteach(alert, shared))
    }

    /// Takes in a profile from elsewhere: all that it knows is known here, and it detects from now
    /// on. `key` is the profile that it becomes, its own if not given.
    pub fn import(
        &mut self,
        document: &Document,
        key: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<str>, DocumentError> {
        let mut document = document.clone();
        if let Some(key) = key {
            document.rename(key)?;
        }
        if self.is_full() {
            return Err(DocumentError::NoMemory(self.options().max_bytes));
        }
        let key = self.restore(&document)?;
        if let Ok((profile, _)) = self.get_mut(&key) {
            for branch in Branch::ALL {
                profile.end_learning(branch, Cause::Imported, seconds(now));
            }
            profile.last_seen = profile.last_seen.min(seconds(now));
            profile.seen = EventId(0);
            profile.deviations = 0;
        }
        Ok(key)
    }
}
