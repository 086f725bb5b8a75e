//! Files inside containers, as the engine hands them out: nothing is executed in the container.
//!
//! Source: Docker Engine API, `HEAD` and `GET /containers/{id}/archive`.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use qw_event::Timestamp;
use serde::Deserialize;

use crate::{Error, Result, transport::Body};

/// Header in which the engine says what lies at a path: JSON in base64.
pub(crate) const STAT_HEADER: &str = "x-docker-container-path-stat";
/// Longest such header that is believed.
const MOST_HEADER: usize = 16 << 10;
/// Bits of Go's `fs.FileMode` that tell a folder from a file from what is neither.
const FOLDER: u32 = 1 << 31;
const NO_FILE: u32 = FOLDER | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

/// What lies at a path inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Its size, in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
    /// It is a folder.
    pub is_folder: bool,
    /// It is a regular file.
    pub is_file: bool,
}

impl PathStat {
    /// Reads the header's value.
    pub(crate) fn parse(header: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            size: i64,
            mode: u32,
            mtime: String,
        }
        let header = header.get(..header.len().min(MOST_HEADER))?;
        let wire: Wire = serde_json::from_slice(&BASE64_STANDARD.decode(header).ok()?).ok()?;
        Some(Self {
            size: u64::try_from(wire.size).unwrap_or(0),
            modified: wire.mtime.parse().ok()?,
            is_folder: wire.mode & FOLDER != 0,
            is_file: wire.mode & NO_FILE == 0,
        })
    }
}

/// A tar archive on its way.
#[derive(Debug)]
pub struct ArchiveStream {
    body: Body,
    within: Duration,
}

impl ArchiveStream {
    pub(crate) fn new(body: Body, within: Duration) -> Self {
        Self { body, within }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for as long as the client waits.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = tokio::time::timeout(self.within, self.body.next()).await;
        next.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                call: self.body.call().to_owned(),
                after: self.within,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_at_a_path_is_read() {
        let check = |json: &str| PathStat::parse(BASE64_STANDARD.encode(json).as_bytes());
        let stat = check(
            r#"{"name":"a.log","size":42,"mode":420,"mtime":"2026-11-22T10:15:00.5+01:00","linkTarget":""}"#,
        )
        .unwrap();
        assert_eq!(stat.modified.to_string(), "2026-11-22T09:15:00.5Z");
        assert_eq!((stat.size, stat.is_file, stat.is_folder), (42, true, false));
        let folder = check(
            r#"{"name":"log","size":4096,"mode":2147484141,"mtime":"2026-11-22T10:15:00Z","linkTarget":""}"#,
        );
        assert!(folder.is_some_and(|stat| stat.is_folder && !stat.is_file));
        let link = check(
            r#"{"name":"l","size":11,"mode":134218239,"mtime":"2026-11-22T10:15:00Z","linkTarget":"/x"}"#,
        );
        assert!(link.is_some_and(|stat| !stat.is_folder && !stat.is_file));
        assert_eq!(check("{}"), None);
        assert_eq!(PathStat::parse(b"?"), None);
    }
}
