//! What people do with alerts.

use qw_event::{Alert, AlertAction, AlertChange, AlertId, AlertState, CloseReason, Timestamp};
use qw_store::{Accompaniment, AlertAccess, AlertsWritten, OwnedStateChange, StoreError};

use crate::{
    Desk, Seen,
    desk::{Group, State, remember},
};

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
    /// Nobody has seen them after all.
    Unacknowledge,
    /// They are done.
    Close {
        /// Why.
        reason: CloseReason,
        /// What deviated in them belongs to their workloads: the profiles learn it.
        teach: bool,
    },
    /// They are not done after all; what profiles were taught with them is taken back.
    Reopen,
    /// This user takes care of them; `None` for nobody.
    Assign(Option<String>),
    /// Writes something down.
    Note(String),
}

/// Who knows what workloads do, and can be told.
pub trait Learner {
    /// Makes what `lessons` say so, in the name of `who`. Called within the transaction that stores the
    /// alerts; what it returns is stored with them. When that fails, it is called again with the
    /// opposite.
    fn learn(&self, lessons: &[Lesson<'_>], who: &str, now: Timestamp) -> Learned;
}

/// What is to be learned from an alert.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// The alert; the profile is that of its workload.
    pub alert: &'a Alert,
    /// True when its behaviour belongs to the workload; false when what was learned from it is to be
    /// forgotten.
    pub is_known: bool,
}

/// What became of lessons.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// For each lesson, how much behaviour was learned or forgotten.
    pub counts: Vec<u32>,
    /// Documents to store.
    pub documents: Vec<OwnedStateChange>,
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
    /// stays as it is. What `learner` learns by it is stored in the same transaction; without one,
    /// nothing is learned. Returns the alerts in the order of their numbers.
    pub fn triage(
        &self,
        ids: &[AlertId],
        triage: &Triage,
        who: &str,
        now: Timestamp,
        access: &AlertAccess,
        learner: Option<&dyn Learner>,
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
        let mut steps = Vec::with_capacity(ids.len());
        for id in ids {
            let known = state.alerts.get(&id).cloned();
            let alert = match known {
                Some(alert) => Some(alert),
                None => self.inner().store.alert(id)?,
            };
            let mut alert = alert
                .filter(|alert| access.allows(alert))
                .ok_or(TriageError::NotFound(id))?;
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
            let lesson = learner.and_then(|_| lesson(&alert, triage));
            let what = change(&mut alert, triage)?;
            steps.push(Step {
                alert,
                what,
                lesson,
            });
        }
        Ok(self.carry_out(&mut state, steps, who, now, learner)?)
    }

    /// Stores what is to be done, and has learned what is to be learned by it, in one transaction.
    fn carry_out(
        &self,
        state: &mut State,
        steps: Vec<Step>,
        who: &str,
        now: Timestamp,
        learner: Option<&dyn Learner>,
    ) -> Result<Vec<Seen>, StoreError> {
        let lessons: Vec<Lesson<'_>> = steps.iter().filter_map(Step::as_lesson).collect();
        let Some(learner) = learner.filter(|_| !lessons.is_empty()) else {
            return self.write(state, written(&steps, &[], who, now));
        };
        let mut alerts = AlertsWritten::default();
        let stored = self.inner().store.write_alerts_with(&mut || {
            let Learned { counts, documents } = learner.learn(&lessons, who, now);
            alerts = written(&steps, &counts, who, now);
            Accompaniment {
                alerts: alerts.clone(),
                state: documents,
            }
        });
        match stored {
            Ok(changes) => Ok(remember(state, alerts.alerts, changes)),
            Err(error) => {
                let mut opposite = lessons;
                for lesson in &mut opposite {
                    lesson.is_known = !lesson.is_known;
                }
                learner.learn(&opposite, who, now);
                Err(error)
            }
        }
    }
}

/// One alert that is triaged.
struct Step {
    /// As it becomes.
    alert: Alert,
    /// What happens to it; `None` when it is so already.
    what: Option<AlertAction>,
    /// Whether its behaviour is to be learned or to be forgotten.
    lesson: Option<bool>,
}

impl Step {
    fn as_lesson(&self) -> Option<Lesson<'_>> {
        Some(Lesson {
            alert: &self.alert,
            is_known: self.lesson?,
        })
    }
}

/// What of `alert`, as it is before, is to be learned or to be forgotten.
fn lesson(alert: &Alert, triage: &Triage) -> Option<bool> {
    match triage {
        Triage::Close { teach: true, .. } => {
            ((alert.taught as usize) < alert.behaviour.len()).then_some(true)
        }
        Triage::Reopen => (alert.taught > 0).then_some(false),
        _ => None,
    }
}

/// What is stored of `steps`; `counts` tell of each lesson how much was learned or forgotten.
fn written(steps: &[Step], counts: &[u32], who: &str, now: Timestamp) -> AlertsWritten {
    let mut written = AlertsWritten::default();
    let mut counts = counts.iter().copied();
    for step in steps {
        let mut alert = step.alert.clone();
        let mut what = step.what.clone();
        let count = step.lesson.and_then(|_| counts.next()).unwrap_or(0);
        match step.lesson {
            Some(true) if count > 0 => {
                alert.taught = count;
                what = Some(AlertAction::State {
                    state: alert.state,
                    reason: alert.close_reason,
                    taught: count,
                    untaught: 0,
                });
            }
            Some(false) => {
                alert.taught = 0;
                what = Some(AlertAction::State {
                    state: alert.state,
                    reason: alert.close_reason,
                    taught: 0,
                    untaught: count,
                });
            }
            _ => {}
        }
        if let Some(what) = what {
            alert.changed = now;
            written.changes.push(AlertChange {
                sequence: 0,
                alert: alert.id,
                time: now,
                who: who.to_owned(),
                what,
            });
        }
        written.alerts.push(alert);
    }
    written
}

/// Changes `alert`; `None` when it is so already.
fn change(alert: &mut Alert, triage: &Triage) -> Result<Option<AlertAction>, TriageError> {
    let go_to = |alert: &mut Alert, state, reason| {
        if (alert.state, alert.close_reason) == (state, reason) {
            return None;
        }
        alert.state = state;
        alert.close_reason = reason;
        Some(AlertAction::to_state(state, reason))
    };
    let is_open = alert.state.is_open();
    Ok(match triage {
        Triage::Acknowledge | Triage::Start | Triage::Unacknowledge if !is_open => {
            return Err(TriageError::Closed(alert.id));
        }
        Triage::Acknowledge => go_to(alert, AlertState::Acknowledged, None),
        Triage::Start => go_to(alert, AlertState::InProgress, None),
        Triage::Unacknowledge => go_to(alert, AlertState::New, None),
        Triage::Close { reason, .. } => go_to(alert, AlertState::Closed, Some(*reason)),
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
