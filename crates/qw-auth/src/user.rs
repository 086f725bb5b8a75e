//! Local users.

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Scope, Scopes};

/// Longest name of a user, in bytes.
pub const MAX_USERNAME_BYTES: usize = 64;

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name, in lower case.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// argon2id hash as a PHC string.
    pub password_hash: String,
    /// When the user was made.
    pub created: Timestamp,
    /// When the password was last set.
    pub password_changed: Timestamp,
}

/// What a user may do; viewers and analysts will have a place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
}

impl Role {
    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }

    /// What someone with this role may do.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Admin => [Scope::Admin].into_iter().collect(),
        }
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
}
