//! People who can sign in.

use std::{fmt, str::FromStr};

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::DataScope;

/// Longest name of a user, in bytes.
pub const MAX_USERNAME_BYTES: usize = 64;

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name, in lower case.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whose data the user may see; `None` for everything.
    #[serde(default)]
    pub scope: Option<DataScope>,
    /// Where the user's identity is proved.
    #[serde(default)]
    pub origin: Origin,
    /// True while the user may not sign in.
    #[serde(default)]
    pub disabled: bool,
    /// argon2id hash as a PHC string; empty for those who have no password here.
    pub password_hash: String,
    /// When the user was made.
    pub created: Timestamp,
    /// When the password was last set.
    pub password_changed: Timestamp,
    /// When the user last signed in.
    #[serde(default)]
    pub last_sign_in: Option<Timestamp>,
}

impl User {
    /// A local user, made at `now`.
    pub fn local(name: String, role: Role, password_hash: String, now: Timestamp) -> Self {
        Self {
            name,
            role,
            scope: None,
            origin: Origin::Local,
            disabled: false,
            password_hash,
            created: now,
            password_changed: now,
            last_sign_in: None,
        }
    }

    /// The hash to check a password against; `None` when none is ever right.
    pub fn usable_hash(&self) -> Option<&str> {
        (self.origin == Origin::Local && !self.disabled && !self.password_hash.is_empty())
            .then_some(self.password_hash.as_str())
    }

    /// True when the user may change who may do what, now.
    pub fn is_active_admin(&self) -> bool {
        self.role == Role::Admin && self.scope.is_none() && !self.disabled
    }
}

/// Where the identity of a user is proved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// Here, with a password.
    #[default]
    Local,
    /// By an OpenID Connect provider.
    Oidc {
        /// Its issuer.
        issuer: String,
        /// Who the user is there, for ever.
        subject: String,
    },
}

/// What a user may do; [`Role::permissions`] is the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees events and logs, nothing else.
    LogReader,
    /// Sees everything but who has access and what they did.
    Viewer,
    /// As a viewer, and works on alerts and profiles.
    Analyst,
    /// Everything.
    Admin,
}

impl Role {
    /// All roles; each may do what the one before may.
    pub const ALL: [Self; 4] = [Self::LogReader, Self::Viewer, Self::Analyst, Self::Admin];

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LogReader => "log_reader",
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; expected one of log_reader, viewer, analyst, admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.chars().take(64).collect()))
    }
}

/// A text that cannot name a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a username has 1 to {MAX_USERNAME_BYTES} of the characters a-z, 0-9, `.`, `_`, `-`, `@` and starts with a letter or digit"
)]
pub struct UsernameRefused;

/// The form of `name` under which the user is kept: lower case, without spaces around it.
pub fn check_username(name: &str) -> Result<String, UsernameRefused> {
    let name = name.trim().to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && name.len() <= MAX_USERNAME_BYTES && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(UsernameRefused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        assert_eq!(check_username(" Admin "), Ok("admin".to_owned()));
        assert_eq!(check_username("a.b_c-d@e.f"), Ok("a.b_c-d@e.f".to_owned()));
        for bad in ["", " ", ".a", "a b", "a/b", "ünal", &"a".repeat(65)] {
            assert_eq!(check_username(bad), Err(UsernameRefused), "{bad}");
        }
    }

    #[test]
    fn roles_read_back() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("Admin".parse::<Role>().is_err());
    }

    #[test]
    fn only_local_users_that_are_not_disabled_have_a_password() {
        let user = User::local("a".into(), Role::Viewer, "$argon2".into(), Timestamp::EPOCH);
        assert!(user.usable_hash().is_some());
        let disabled = User {
            disabled: true,
            ..user.clone()
        };
        assert!(disabled.usable_hash().is_none());
        let foreign = User {
            origin: Origin::Oidc {
                issuer: "https://id.example".into(),
                subject: "1".into(),
            },
            ..user.clone()
        };
        assert!(foreign.usable_hash().is_none());
        let empty = User {
            password_hash: String::new(),
            ..user
        };
        assert!(empty.usable_hash().is_none());
    }
}
