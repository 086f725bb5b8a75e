//! Alerts: what detectors notice, folded, and what people do with it.
//!
//! 1. **A detector notices something** in an event and says so with a [`qw_event::Detection`].
//! 2. **The [`Desk`] folds it**: detections of one rule in one workload are one alert while that
//!    alert is open. What different people may see is never folded together.
//! 3. **The store commits** alerts, their history and the events that caused them in one transaction.
//! 4. **People triage** through the same desk: acknowledge, work on, close, assign, note, silence.
//!
//! The history of all alerts is one numbered log; whoever must tell others about alerts reads it
//! from a position of his own.

mod desk;
mod fold;
mod silence;
mod triage;

pub use desk::{AlertCounts, Audiences, Desk, DeskOptions, Seen};
pub use fold::Folding;
pub use silence::{
    InvalidMatcher, MAX_MATCHERS, MatchField, MatchOperator, Matcher, NewSilence, Silence,
};
pub use triage::{Learned, Learner, Lesson, MAX_NOTE_BYTES, MAX_TRIAGED, Triage, TriageError};
