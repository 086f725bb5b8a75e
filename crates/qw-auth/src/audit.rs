//! The audit log: who did what, from where, when, and whether it worked, each entry chained to the
//! one before by its hash.
//!
//! An entry carries the SHA-256 of the entry before it and its own, over all its fields. Whoever
//! changes or removes an entry would have to write every later one anew; comparing the newest hash
//! with one noted earlier elsewhere shows that too.

use std::fmt;

use qw_event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::secret::hexadecimal;

/// Longest text of an entry, in characters; longer ones are cut.
const MAX_TEXT_CHARACTERS: usize = 512;

/// What happened, before it has its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditDraft {
    /// Name of the user, or of the user who made the token; empty for nobody.
    pub actor: String,
    /// By what the actor was known.
    pub by: AuditBy,
    /// Public part of the token, when it was one.
    pub token: String,
    /// Address of the peer; empty for the process itself.
    pub address: String,
    /// Stable word such as `user.create`.
    pub action: String,
    /// What it was done to; empty when the action says it all.
    pub target: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Sentence for people; never a secret.
    pub detail: String,
    /// Id of the request; empty for the process itself.
    pub request_id: String,
}

/// By what an actor was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditBy {
    /// By nothing.
    #[default]
    Nobody,
    /// A session.
    Session,
    /// An API token.
    Token,
    /// The process itself.
    System,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    #[default]
    Done,
    /// It was not allowed.
    Refused,
    /// It was allowed and could not be done.
    Failed,
}

impl AuditBy {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Session => "session",
            Self::Token => "token",
            Self::System => "system",
        }
    }
}

impl AuditOutcome {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// SHA-256 of an entry; serde and text form are 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AuditHash([u8; 32]);

impl AuditHash {
    /// What the first entry of all names as the one before it.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(&self.0))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AuditHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("not a hash of 64 hexadecimal digits");
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let value = digit(pair[0]).zip(digit(pair[1]));
            *byte = value
                .map(|(high, low)| (high * 16 + low) as u8)
                .ok_or_else(wrong)?;
        }
        Ok(Self(hash))
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number, one more than that of the entry before.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// Name of the user; empty for nobody.
    pub actor: String,
    /// By what the actor was known.
    pub by: AuditBy,
    /// Public part of the token; empty when it was none.
    pub token: String,
    /// Address of the peer; empty for the process itself.
    pub address: String,
    /// Stable word such as `user.create`.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Sentence for people.
    pub detail: String,
    /// Id of the request.
    pub request_id: String,
    /// Hash of the entry before.
    pub previous: AuditHash,
    /// Hash of this entry.
    pub hash: AuditHash,
}

/// The end of a chain: where the next entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditHead {
    /// Number of the newest entry; zero when there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: AuditHash,
}

impl AuditHead {
    /// The entry that `draft` becomes behind this head, at `now`. Texts are cut, and control
    /// characters in them replaced.
    pub fn seal(self, draft: AuditDraft, now: Timestamp) -> AuditEntry {
        let mut entry = AuditEntry {
            sequence: self.sequence + 1,
            time: now,
            actor: plain(&draft.actor),
            by: draft.by,
            token: plain(&draft.token),
            address: plain(&draft.address),
            action: plain(&draft.action),
            target: plain(&draft.target),
            outcome: draft.outcome,
            detail: plain(&draft.detail),
            request_id: plain(&draft.request_id),
            previous: self.hash,
            hash: AuditHash::NONE,
        };
        entry.hash = entry.computed_hash();
        entry
    }
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditBroken {
    /// The fields of an entry do not give its hash.
    #[error("entry {0} has been changed")]
    Changed(u64),
    /// An entry does not follow the one before.
    #[error("entries are missing between {after} and {found}")]
    Missing {
        /// Number of the last entry in order.
        after: u64,
        /// Number of the entry found behind it.
        found: u64,
    },
    /// An entry has the right number and names another one as the one before.
    #[error("entry {0} does not follow the one before it")]
    Replaced(u64),
}

impl AuditEntry {
    /// The head of a chain that ends with this entry.
    pub fn head(&self) -> AuditHead {
        AuditHead {
            sequence: self.sequence,
            hash: self.hash,
        }
    }

    /// Checks that this entry is whole and follows `before`; returns the new head.
    pub fn verify(&self, before: AuditHead) -> Result<AuditHead, AuditBroken> {
        if self.sequence != before.sequence + 1 {
            return Err(AuditBroken::Missing {
                after: before.sequence,
                found: self.sequence,
            });
        }
        if self.previous != before.hash {
            return Err(AuditBroken::Replaced(self.sequence));
        }
        if self.computed_hash() != self.hash {
            return Err(AuditBroken::Changed(self.sequence));
        }
        Ok(self.head())
    }

    /// SHA-256 over the fields, each with its length before it so that none runs into the next.
    fn computed_hash(&self) -> AuditHash {
        let mut hash = Sha256::new();
        hash.update(b"quaywatch audit entry 1\0");
        hash.update(self.sequence.to_be_bytes());
        hash.update(self.time.as_nanos().to_be_bytes());
        for text in [
            &self.actor,
            self.by.as_str(),
            &self.token,
            &self.address,
            &self.action,
            &self.target,
            self.outcome.as_str(),
            &self.detail,
            &self.request_id,
        ] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(self.previous.0);
        AuditHash(hash.finalize().into())
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT_CHARACTERS)
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(length: u64) -> Vec<AuditEntry> {
        let mut head = AuditHead::default();
        (0..length)
            .map(|number| {
                let draft = AuditDraft {
                    actor: format!("user {number}"),
                    action: "user.create".to_owned(),
                    ..AuditDraft::default()
                };
                let entry = head.seal(draft, Timestamp::from_seconds(number as i64));
                head = entry.head();
                entry
            })
            .collect()
    }

    fn verify(entries: &[AuditEntry]) -> Result<AuditHead, AuditBroken> {
        entries
            .iter()
            .try_fold(AuditHead::default(), |head, entry| entry.verify(head))
    }

    #[test]
    fn a_whole_chain_verifies() {
        let entries = chain(5);
        assert_eq!(verify(&entries), Ok(entries[4].head()));
        assert_eq!(verify(&[]), Ok(AuditHead::default()));
    }

    #[test]
    fn what_is_removed_changed_or_replaced_is_seen() {
        let mut removed = chain(5);
        removed.remove(2);
        assert_eq!(
            verify(&removed),
            Err(AuditBroken::Missing { after: 2, found: 4 })
        );
        let mut changed = chain(5);
        changed[2].actor = "somebody else".to_owned();
        assert_eq!(verify(&changed), Err(AuditBroken::Changed(3)));
        let mut replaced = chain(5);
        let other = replaced[1]
            .head()
            .seal(AuditDraft::default(), Timestamp::EPOCH);
        replaced[2] = other;
        assert_eq!(verify(&replaced), Err(AuditBroken::Replaced(4)));
    }

    #[test]
    fn texts_are_cut_and_cannot_run_into_each_other() {
        let draft = |actor: &str, target: &str| AuditDraft {
            actor: actor.to_owned(),
            target: target.to_owned(),
            ..AuditDraft::default()
        };
        let seal = |draft| AuditHead::default().seal(draft, Timestamp::EPOCH);
        assert_ne!(seal(draft("ab", "c")).hash, seal(draft("a", "bc")).hash);
        let long = seal(draft(&"é".repeat(5_000), "a\nb"));
        assert_eq!(long.actor.chars().count(), 512);
        assert_eq!(long.target, "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn every_field_counts(actor in ".{0,20}", detail in ".{0,20}", address in ".{0,20}") {
            let draft = AuditDraft { actor, address, detail, ..AuditDraft::default() };
            let entry = AuditHead::default().seal(draft, Timestamp::EPOCH);
            prop_assert!(entry.verify(AuditHead::default()).is_ok());
            let mut other = entry.clone();
            other.detail.push('x');
            prop_assert!(other.verify(AuditHead::default()).is_err());
        }
    }
}
