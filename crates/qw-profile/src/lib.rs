//! What each container does: learned per workload, compared event by event, explained.
//!
//! A profile has four branches (process, network, file, lineage); below each stand operation,
//! process, and typed attributes. A branch learns until estimates say that little is left to be seen
//! and then reports what it does not know. `docs/design/profile.md` tells how, with the formulas.
//!
//! Pure: events and their times come in, verdicts go out. No clock, no I/O, no randomness: the same
//! events in the same order give the same profiles, verdicts and documents.

mod action;
mod commands;
mod document;
mod fields;
mod generalise;
mod key;
mod learning;
mod lists;
mod network;
mod normal;
mod options;
mod profile;
mod profiles;
mod score;
mod sensitive;
mod set_up;
mod similar;
mod symbols;
mod teaching;
mod tree;
mod view;

pub use action::Branch;
pub use document::{Diff, Document, DocumentError, FILE_SUFFIX, MAX_DOCUMENT, Path, diff};
pub use key::{MAX_KEY, Per, write_key};
pub use learning::{BranchState, Cause, Mode};
pub use normal::{comparable_flag, comparable_path};
pub use options::Options;
pub use profile::{DeviationKind, Image};
pub use profiles::{
    BranchSize, Deviation, IgnoredReason, Observation, Profiles, Stats, Summary, UnknownProfile,
};
pub use score::priority;
pub use sensitive::is_sensitive;
pub use similar::similarity;
pub use teaching::Acceptance;
pub use tree::Kind;
pub use view::{Metadata, NodeState, TreeNode, TreeQuery};
