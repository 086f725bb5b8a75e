//! Where in which file reading goes on.

use serde::{Deserialize, Serialize};

/// Bytes at the beginning of a file by which its content is known again.
pub(crate) const HEAD_BYTES: usize = 1024;
/// Fewer bytes tell nothing about a file under another inode.
const TELLING_BYTES: usize = 64;

/// A place in a file, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Name of the file when it was opened, links resolved.
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Behind the last line that was taken, in bytes.
    pub(super) offset: u64,
    /// When the file was last changed, nanoseconds since the epoch.
    pub(super) modified: i64,
    pub(super) head: Head,
}

impl Place {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("plain numbers and text become JSON")
    }

    pub(super) fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// A file, as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) length: usize,
    hash: u64,
}

impl Head {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        // FNV-1a: the same on every machine and in every version.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            length: bytes.len(),
            hash,
        }
    }

    /// True when `content` begins like this.
    pub(crate) fn begins(self, content: &[u8]) -> bool {
        content
            .get(..self.length)
            .is_some_and(|head| Self::of(head) == self)
    }

    /// True when it is long enough to know a content by.
    pub(crate) fn is_telling(self) -> bool {
        self.length >= TELLING_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text_form() {
        let place = Place {
            path: "/var/log/falco.json".into(),
            identity: Identity {
                device: 1,
                inode: u64::MAX,
            },
            offset: 3,
            modified: -1,
            head: Head::of(b"abc"),
        };
        assert_eq!(Place::from_text(&place.to_text()).unwrap(), place);
        assert!(Place::from_text("{}").is_err());
    }

    #[test]
    fn a_head_knows_what_begins_like_it() {
        assert!(Head::of(b"").begins(b""));
        assert!(Head::of(b"abc").begins(b"abcd"));
        assert!(!Head::of(b"abc").begins(b"ab"));
        assert!(!Head::of(b"abc").begins(b"abd"));
    }
}
