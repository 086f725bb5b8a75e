//! What people do with alerts.

use qw_event::{Alert, AlertAction, AlertChange, AlertId, AlertState, CloseReason, Timestamp};
use qw_store::{AlertAccess, AlertsWritten, StoreError};

use crate::{Desk, Seen, desk::Group};

/// Longest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 10_000;
/// Alerts that can be triaged in one go.
pub const MAX_TRIAGED: usize = 1_000;

/// What to do with alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Triage {
    /// Somebody has seen them.
    Acknowledge,
    /// Somebody works on them.
    Start,
    /// They are done.
    Close(CloseReason),
    /// They are not done after all.
    Reopen,
    /// This user takes care of them; `None` for nobody.
    Assign(Option<String>),
    /// Writes something down.
    Note(String),
}

/// Why alerts could not be triaged. None of them was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriageError {
    /// There is no such alert, or it may not be seen.
    #[error("there is no alert {0}")]
    NotFound(AlertId),
    /// Closed alerts must be reopened first.
    #[error("alert {0} is closed; reopen it first")]
    Closed(AlertId),
    /// Only closed alerts can be reopened.
    #[error("alert {0} is not closed")]
    NotClosed(AlertId),
    /// Its place has been taken.
    #[error("alert {alert} cannot be reopened: {newer} of the same rule and workload is open")]
    Superseded {
        /// The closed one.
        alert: AlertId,
        /// The open one.
        newer: AlertId,
    },
    /// The note is empty or too long.
    #[error("a note has 1 to {MAX_NOTE_BYTES} bytes")]
    Note,
    /// Too many at once.
    #[error("at most {MAX_TRIAGED} alerts can be triaged at once")]
    TooMany,
    /// The store failed.
    #[error("cannot keep what was done with the alerts")]
    Store(#[from] StoreError),
}

impl Desk {
    /// Does `triage` with the alerts `ids`, in the name of `who`; all or none. What is so already
    /// stays as it is. Returns the alerts in the order of their numbers.
    pub fn triage(
        &self,
        ids: &[AlertId],
        triage: &Triage,
        who: &str,
        now: Timestamp,
        access: &AlertAccess,
    ) -> Result<Vec<Seen>, TriageError> {
        if ids.len() > MAX_TRIAGED {
            return Err(TriageError::TooMany);
        }
        if let Triage::Note(text) = triage
            && (text.trim().is_empty() || text.len() > MAX_NOTE_BYTES)
        {
            return Err(TriageError::Note);
        }
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut state = self.inner().state.lock();
        let mut written = AlertsWritten::default();
        for id in ids {
            let known = state.alerts.get(&id).cloned();
            let alert = match known {
                Some(alert) => Some(alert),
                None => self.inner().store.alert(id)?,
            };
            let may_see = |alert: &Alert| {
                let only = access.only.as_ref();
                only.is_none_or(|only| only.contains(&alert.container))
            };
            let mut alert = alert.filter(may_see).ok_or(TriageError::NotFound(id))?;
            if matches!(triage, Triage::Reopen) && alert.source == qw_event::AlertSource::Falco {
                let others = state.groups.get(&Group::of(&alert)).into_iter().flatten();
                let mut open = others.filter(|other| {
                    let other = state.alerts.get(other);
                    other.is_some_and(|other| other.id != id && other.state.is_open())
                });
                if let Some(newer) = open.next() {
                    return Err(TriageError::Superseded {
                        alert: id,
                        newer: *newer,
                    });
                }
            }
            if let Some(what) = change(&mut alert, triage)? {
                alert.changed = now;
                written.changes.push(AlertChange {
                    sequence: 0,
                    alert: id,
                    time: now,
                    who: who.to_owned(),
                    what,
                });
            }
            written.alerts.push(alert);
        }
        Ok(self.write(&mut state, written)?)
    }
}

/// Changes `alert`; `None` when it is so already.
fn change(alert: &mut Alert, triage: &Triage) -> Result<Option<AlertAction>, TriageError> {
    let go_to = |alert: &mut Alert, state, reason| {
        if (alert.state, alert.close_reason) == (state, reason) {
            return None;
        }
        alert.state = state;
        alert.close_reason = reason;
        Some(AlertAction::State { state, reason })
    };
    let is_open = alert.state.is_open();
    Ok(match triage {
        Triage::Acknowledge | Triage::Start if !is_open => {
            return Err(TriageError::Closed(alert.id));
        }
        Triage::Acknowledge => go_to(alert, AlertState::Acknowledged, None),
        Triage::Start => go_to(alert, AlertState::InProgress, None),
        Triage::Close(reason) => go_to(alert, AlertState::Closed, Some(*reason)),
        Triage::Reopen if is_open => return Err(TriageError::NotClosed(alert.id)),
        Triage::Reopen => go_to(alert, AlertState::New, None),
        Triage::Assign(assignee) => {
            let is_new = alert.assignee != *assignee;
            alert.assignee.clone_from(assignee);
            is_new.then(|| AlertAction::Assigned {
                assignee: assignee.clone(),
            })
        }
        Triage::Note(text) => Some(AlertAction::Note { text: text.clone() }),
    })
}
