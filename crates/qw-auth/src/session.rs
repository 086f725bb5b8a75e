//! Sessions of the console: an opaque cookie, and what is kept of it.

use std::time::Duration;

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    SecretHash,
    secret::{NoRandomness, random_text, same_text},
};

/// Longest text that is looked at as a session secret, in bytes.
const MAX_PRESENTED_BYTES: usize = 128;

/// The secret a browser holds in its cookie: 256 random bits.
///
/// The CSRF token is derived from it, so it needs no storage and belongs to this session alone.
#[derive(Clone)]
pub struct SessionSecret(String);

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(…)")
    }
}

impl SessionSecret {
    /// A fresh secret.
    pub fn generate() -> Result<Self, NoRandomness> {
        random_text().map(Self)
    }

    /// The secret a cookie presents; `None` when it cannot be one.
    pub fn presented(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_PRESENTED_BYTES).then(|| Self(text.to_owned()))
    }

    /// The value of the cookie.
    pub fn cookie_value(&self) -> &str {
        &self.0
    }

    /// What the session is kept under.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of("quaywatch session", &self.0)
    }

    /// The token that requests of this session carry in a header.
    pub fn csrf_token(&self) -> String {
        SecretHash::of("quaywatch csrf", &self.0).to_text()
    }

    /// True when `token` is this session's CSRF token.
    pub fn accepts_csrf(&self, token: &str) -> bool {
        same_text(&self.csrf_token(), token)
    }
}

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Hash of its secret; its key.
    pub hash: SecretHash,
    /// Whose it is.
    pub username: String,
    /// When the user signed in.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Timestamp,
    /// Address it was begun from; empty when unknown.
    #[serde(default)]
    pub address: String,
    /// What the browser called itself, cut; empty when unknown.
    #[serde(default)]
    pub agent: String,
    /// Where to end the session at the provider that proved the user's identity; empty for none.
    #[serde(default)]
    pub logout_url: String,
}

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Ends when unused for this long.
    pub idle: Duration,
    /// Ends this long after signing in, used or not.
    pub absolute: Duration,
}

impl Default for SessionLimits {
    /// A day without use, a week in all.
    fn default() -> Self {
        Self {
            idle: Duration::from_hours(24),
            absolute: Duration::from_hours(7 * 24),
        }
    }
}

impl Session {
    /// A session of `username` that began with `secret` at `now`.
    pub fn start(secret: &SessionSecret, username: &str, now: Timestamp) -> Self {
        Self {
            hash: secret.hash(),
            username: username.to_owned(),
            created: now,
            last_used: now,
            address: String::new(),
            agent: String::new(),
            logout_url: String::new(),
        }
    }

    /// Public name of the session, from which its secret cannot be told.
    pub fn id(&self) -> String {
        self.hash.public_id()
    }

    /// When it ends unless it is used again.
    pub fn expires(&self, limits: &SessionLimits) -> Timestamp {
        let idle = self.last_used.saturating_add(limits.idle);
        idle.min(self.created.saturating_add(limits.absolute))
    }

    /// True while it may be used.
    pub fn is_valid(&self, limits: &SessionLimits, now: Timestamp) -> bool {
        now < self.expires(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_unused_and_at_last_in_any_case() {
        let limits = SessionLimits {
            idle: Duration::from_secs(10),
            absolute: Duration::from_secs(25),
        };
        let secret = SessionSecret::generate().unwrap();
        let mut session = Session::start(&secret, "admin", Timestamp::from_seconds(100));
        let valid = |session: &Session, seconds| {
            session.is_valid(&limits, Timestamp::from_seconds(seconds))
        };
        assert!(valid(&session, 109));
        assert!(!valid(&session, 110));
        session.last_used = Timestamp::from_seconds(120);
        assert!(valid(&session, 124));
        assert!(!valid(&session, 125));
    }

    #[test]
    fn the_csrf_token_belongs_to_one_session() {
        let first = SessionSecret::generate().unwrap();
        let second = SessionSecret::generate().unwrap();
        assert!(first.accepts_csrf(&first.csrf_token()));
        assert!(!first.accepts_csrf(&second.csrf_token()));
        assert!(!first.accepts_csrf(""));
        assert_ne!(first.csrf_token(), first.hash().to_text());
    }

    #[test]
    fn what_is_kept_is_not_the_secret() {
        let secret = SessionSecret::generate().unwrap();
        let again = SessionSecret::presented(secret.cookie_value()).unwrap();
        assert_eq!(secret.hash(), again.hash());
        assert_ne!(secret.hash().to_text(), secret.cookie_value());
        assert!(SessionSecret::presented(&"x".repeat(129)).is_none());
        assert!(SessionSecret::presented("").is_none());
    }
}
