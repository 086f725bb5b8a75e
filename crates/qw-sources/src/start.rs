//! Where reading begins.

use serde::{Deserialize, Serialize};

/// Where reading begins when a source starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// Where it was left; at the beginning of a container or file never seen.
    #[default]
    Position,
    /// With all that is still there, at every start: lines read before come again.
    Beginning,
    /// With what is written from now on: lines written while we were away are left out.
    Now,
}
