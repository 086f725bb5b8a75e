//! The audit log: entries in the store of state, written with the changes they tell of.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_auth::{AuditBroken, AuditBy, AuditDraft, AuditEntry, AuditHead, AuditOutcome, address_key};
use qw_event::Timestamp;
use qw_store::{KeyRange, StateChange, StateStore};

use super::{Access, AccessError, Identity, Who, to_json};

/// Entries, by their number in twenty digits.
pub(super) const ENTRIES: &str = "audit";

/// Both ends of the log: `head`, and `floor` for what retention has removed.
pub(super) const ENDS: &str = "audit_ends";
const HEAD: &str = "head";
const FLOOR: &str = "floor";

/// Entries read or removed at a time.
const PAGE: usize = 500;

/// Entries looked at for one page of answers.
const MAX_SCANNED: usize = 20_000;

/// How long and how much of the audit log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// Entries older than this are removed.
    pub max_age: Duration,
    /// The oldest are removed while there are more.
    pub max_entries: u64,
}

impl Default for AuditOptions {
    /// A year, and a million entries.
    fn default() -> Self {
        Self {
            max_age: Duration::from_hours(365 * 24),
            max_entries: 1_000_000,
        }
    }
}

/// What is being done by whom: filled on the way of a request, written once.
///
/// [`Access::commit`] writes it with a change; what has not been written when the request has been
/// answered is written then.
#[derive(Clone, Default)]
pub(crate) struct Audit(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    draft: AuditDraft,
    wanted: bool,
    /// The handler has said how it ended, whatever the status says.
    ended: bool,
    written: bool,
}

impl Audit {
    /// Of a request with this id from `address`; `action` and `target` stand until the handler
    /// knows better.
    pub(crate) fn of_request(address: String, id: String, action: String, target: String) -> Self {
        Self::from(AuditDraft {
            address,
            request_id: id,
            action,
            target,
            ..AuditDraft::default()
        })
    }

    /// Of the process itself.
    pub(crate) fn system() -> Self {
        Self::from(AuditDraft {
            by: AuditBy::System,
            ..AuditDraft::default()
        })
    }

    /// Says who it is.
    pub(crate) fn by(&self, identity: &Identity) {
        let draft = &mut self.0.lock().draft;
        draft.actor.clone_from(&identity.username);
        match &identity.who {
            Who::Session(_) => draft.by = AuditBy::Session,
            Who::Token(id) => {
                draft.by = AuditBy::Token;
                draft.token.clone_from(id);
            }
        }
    }

    /// Says that it is the user `name`, who has just proved it.
    pub(crate) fn by_user(&self, name: &str) {
        let draft = &mut self.0.lock().draft;
        name.clone_into(&mut draft.actor);
        draft.by = AuditBy::Session;
    }

    /// Says what is done to what; also makes a request that only reads leave an entry.
    pub(crate) fn action(&self, action: &str, target: &str) {
        let slot = &mut *self.0.lock();
        action.clone_into(&mut slot.draft.action);
        target.clone_into(&mut slot.draft.target);
        slot.wanted = true;
    }

    /// Says more, for people.
    pub(crate) fn detail(&self, detail: impl Into<String>) {
        self.0.lock().draft.detail = detail.into();
    }

    /// True when an entry is still to be written for a request that has been answered.
    pub(crate) fn is_due(&self, is_write: bool) -> bool {
        let slot = self.0.lock();
        !slot.written && (is_write || slot.wanted)
    }

    /// Says that it was refused, though the answer's status will not.
    pub(crate) fn refuse(&self, detail: &str) {
        self.end(AuditOutcome::Refused, detail);
        self.0.lock().ended = true;
    }

    /// Says how it ended, unless that was said.
    pub(crate) fn end(&self, outcome: AuditOutcome, detail: &str) {
        let slot = &mut *self.0.lock();
        if slot.ended {
            return;
        }
        slot.draft.outcome = outcome;
        if !detail.is_empty() {
            detail.clone_into(&mut slot.draft.detail);
        }
    }

    fn draft(&self) -> AuditDraft {
        self.0.lock().draft.clone()
    }

    fn set_written(&self) {
        self.0.lock().written = true;
    }
}

impl From<AuditDraft> for Audit {
    fn from(draft: AuditDraft) -> Self {
        Self(Arc::new(Mutex::new(Slot {
            draft,
            ..Slot::default()
        })))
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Audit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    pub(crate) actor: Option<String>,
    /// Whole, or up to one of its dots.
    pub(crate) action: Option<String>,
    pub(crate) outcome: Option<AuditOutcome>,
    pub(crate) range: Option<qw_store::TimeRange>,
    /// Only entries with smaller numbers.
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
}

impl AuditQuery {
    fn selects(&self, entry: &AuditEntry) -> bool {
        let action = |asked: &String| {
            entry
                .action
                .strip_prefix(asked.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.actor
            .as_ref()
            .is_none_or(|asked| *asked == entry.actor)
            && self.action.as_ref().is_none_or(action)
            && self.outcome.is_none_or(|asked| asked == entry.outcome)
            && self.range.is_none_or(|range| range.contains(entry.time))
    }
}

/// Entries, newest first.
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<AuditEntry>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<u64>,
}

/// What checking the whole log has shown.
pub(crate) struct AuditCheck {
    /// What is wrong; `None` when it is whole.
    pub(crate) broken: Option<AuditBroken>,
    /// Entries that are in order.
    pub(crate) entries: u64,
    /// What retention has removed up to.
    pub(crate) floor: AuditHead,
    /// The newest entry.
    pub(crate) head: AuditHead,
}

/// The ends of the log in `store`.
pub(super) fn ends(store: &dyn StateStore) -> Result<(AuditHead, AuditHead), AccessError> {
    let end = |key: &str| -> Result<AuditHead, AccessError> {
        match store.get(ENDS, key)? {
            None => Ok(AuditHead::default()),
            Some(text) => serde_json::from_str(&text).map_err(|source| AccessError::Damaged {
                collection: ENDS,
                key: key.to_owned(),
                source,
            }),
        }
    };
    Ok((end(HEAD)?, end(FLOOR)?))
}

impl Access {
    /// Carries out `changes` together with the entry that tells of them. The caller holds
    /// `changing`.
    pub(super) fn commit(
        &self,
        changes: &[StateChange<'_>],
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let head = self.0.memory.lock().audit.head;
        let entry = head.seal(audit.draft(), now);
        let (key, value) = (key(entry.sequence), to_json(&entry));
        let head = to_json(&entry.head());
        let mut all = changes.to_vec();
        all.push(StateChange::Put {
            collection: ENTRIES,
            key: &key,
            value: &value,
        });
        all.push(StateChange::Put {
            collection: ENDS,
            key: HEAD,
            value: &head,
        });
        self.0.store.apply(&all)?;
        self.0.memory.lock().audit.head = entry.head();
        audit.set_written();
        Ok(())
    }

    /// Carries out `changes` of other collections together with their entry.
    pub(crate) fn write(
        &self,
        changes: &[StateChange<'_>],
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        self.commit(changes, audit, now)
    }

    /// Writes the entry of a request that has been answered. Of refusals that cost the sender
    /// nothing so many are written per address; the others are counted in the next.
    pub(crate) fn record(
        &self,
        audit: &Audit,
        is_cheap: bool,
        address: std::net::IpAddr,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        if is_cheap {
            let memory = &mut *self.0.memory.lock();
            let log = &mut memory.audit;
            if log.refusals.try_now(&address_key(address), now).is_err() {
                log.suppressed += 1;
                audit.set_written();
                return Ok(());
            }
            let suppressed = std::mem::take(&mut log.suppressed);
            if suppressed > 0 {
                let slot = &mut *audit.0.lock();
                slot.draft
                    .detail
                    .push_str(&format!(" (and {suppressed} more that are not listed)"));
            }
        }
        self.write(&[], audit, now)
    }

    /// One page of the log.
    pub(crate) fn audit_page(&self, query: &AuditQuery) -> Result<AuditPage, AccessError> {
        let mut before = query.before;
        let (mut entries, mut scanned) = (Vec::new(), 0);
        loop {
            let rows = self.entries(None, before, true)?;
            let is_last = rows.len() < PAGE;
            for entry in rows {
                if query.range.is_some_and(|range| entry.time < range.start) {
                    // Times never run backwards by more than a clock that is set.
                    return Ok(AuditPage {
                        entries,
                        next: None,
                    });
                }
                before = Some(entry.sequence);
                scanned += 1;
                if query.selects(&entry) {
                    entries.push(entry);
                    if entries.len() >= query.limit {
                        return Ok(AuditPage {
                            entries,
                            next: before,
                        });
                    }
                }
            }
            if is_last || scanned >= MAX_SCANNED {
                let next = if is_last { None } else { before };
                return Ok(AuditPage { entries, next });
            }
        }
    }

    /// Checks every entry from the oldest to the newest.
    pub(crate) fn verify_audit(&self) -> Result<AuditCheck, AccessError> {
        // Nothing is written or removed while the ends are noted; entries above are ignored.
        let (head, floor) = {
            let _changing = self.0.changing.lock();
            ends(&*self.0.store)?
        };
        let mut place = floor;
        let mut check = AuditCheck {
            broken: None,
            entries: 0,
            floor,
            head,
        };
        while place.sequence < head.sequence {
            let rows = match self.entries(Some(place.sequence), Some(head.sequence + 1), false) {
                Err(AccessError::Damaged { key, .. }) => {
                    let sequence = key.parse().unwrap_or(place.sequence + 1);
                    check.broken = Some(AuditBroken::Changed(sequence));
                    return Ok(check);
                }
                rows => rows?,
            };
            if rows.is_empty() {
                check.broken = Some(AuditBroken::Missing {
                    after: place.sequence,
                    found: head.sequence + 1,
                });
                return Ok(check);
            }
            for entry in rows {
                match entry.verify(place) {
                    Ok(next) => place = next,
                    Err(broken) => {
                        check.broken = Some(broken);
                        return Ok(check);
                    }
                }
                check.entries += 1;
            }
        }
        if place != head {
            check.broken = Some(AuditBroken::Replaced(head.sequence));
        }
        Ok(check)
    }

    /// Removes what is too old or too much, and says so in the log itself.
    pub(super) fn expire_audit(&self, now: Timestamp) -> Result<(), AccessError> {
        let options = self.0.options.audit;
        let oldest = now.saturating_sub(options.max_age);
        loop {
            let _changing = self.0.changing.lock();
            let (head, floor) = ends(&*self.0.store)?;
            let most = head.sequence.saturating_sub(options.max_entries);
            let rows = self.entries(Some(floor.sequence), None, false)?;
            let is_full = rows.len() >= PAGE;
            let gone: Vec<AuditEntry> = rows
                .into_iter()
                .take_while(|entry| entry.time < oldest || entry.sequence <= most)
                .collect();
            let Some(last) = gone.last() else {
                return Ok(());
            };
            let keys: Vec<String> = gone.iter().map(|entry| key(entry.sequence)).collect();
            let new_floor = to_json(&last.head());
            let mut changes: Vec<StateChange<'_>> = keys
                .iter()
                .map(|key| StateChange::Delete {
                    collection: ENTRIES,
                    key,
                })
                .collect();
            changes.push(StateChange::Put {
                collection: ENDS,
                key: FLOOR,
                value: &new_floor,
            });
            let audit = Audit::system();
            audit.action(
                "audit.expire",
                &format!("{}-{}", floor.sequence + 1, last.sequence),
            );
            self.commit(&changes, &audit, now)?;
            if !is_full || gone.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// At most [`PAGE`] entries with numbers between two others.
    fn entries(
        &self,
        after: Option<u64>,
        before: Option<u64>,
        descending: bool,
    ) -> Result<Vec<AuditEntry>, AccessError> {
        let (after, before) = (after.map(key), before.map(key));
        let between = KeyRange {
            after: after.as_deref(),
            before: before.as_deref(),
            descending,
        };
        self.0
            .store
            .range(ENTRIES, between, PAGE)?
            .into_iter()
            .map(|(key, value)| {
                serde_json::from_str(&value).map_err(|source| AccessError::Damaged {
                    collection: ENTRIES,
                    key,
                    source,
                })
            })
            .collect()
    }
}

/// Ordered as text like the numbers themselves.
fn key(sequence: u64) -> String {
    format!("{sequence:020}")
}
