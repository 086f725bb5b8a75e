//! Bytes of container logs become records.
//!
//! Pure and synchronous: bytes, positions and the time are arguments; who reads the files and asks the
//! clock stands above. The order of work on one log:
//!
//! 1. [`json_file`], [`cri`] or [`plain`] makes of one line of a file an [`Entry`];
//! 2. [`join`] makes of entries whole records: pieces of long lines, lines that belong together
//!    ([`multiline`]);
//! 3. [`severity`] says how grave a record is, [`redact`] takes secrets out of it;
//! 4. [`fields`] finds named values in a record when somebody asks for them;
//! 5. [`tag`] names a container as Docker's log drivers do.

pub mod cri;
mod entry;
pub mod fields;
pub mod join;
pub mod journal;
pub mod json_file;
pub mod multiline;
pub mod plain;
pub mod redact;
pub mod severity;
pub mod tag;
pub mod time;

pub use entry::{Entry, Reject, Stream};
pub use multiline::{Multiline, PatternError};
pub use redact::{Builtin, RedactError, Redacted, Redactor, Rule};
pub use severity::Severity;
