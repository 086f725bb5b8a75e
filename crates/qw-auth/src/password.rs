//! Passwords → argon2id hashes, and back to yes or no.
//!
//! Parameters follow the OWASP Password Storage Cheat Sheet: argon2id, 19 MiB, two passes, one lane.
//! Rules follow NIST SP 800-63B: length counts, composition does not, and what is commonly chosen
//! or derived from the user's name is refused.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash};

use crate::{
    Secret,
    secret::{NoRandomness, random_bytes},
};

/// Shortest password, in characters.
pub const MIN_PASSWORD_CHARACTERS: usize = 12;

/// Longest password, in bytes; bounds the work that an unknown sender can ask for.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// Why a password may not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// Fewer than [`MIN_PASSWORD_CHARACTERS`].
    #[error("the password has fewer than {MIN_PASSWORD_CHARACTERS} characters")]
    TooShort,
    /// More than [`MAX_PASSWORD_BYTES`].
    #[error("the password has more than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// Holds the user's name.
    #[error("the password contains the username")]
    HoldsUsername,
    /// Fewer than five different characters.
    #[error("the password repeats too few characters")]
    Monotonous,
    /// Starts what everyone starts with.
    #[error("the password is one that is guessed first")]
    Common,
}

/// Beginnings of what is guessed first at this length.
const COMMON: [&str; 14] = [
    "password",
    "passw0rd",
    "p@ssw0rd",
    "123456789",
    "qwertyuiop",
    "qwerty123",
    "letmein",
    "iloveyou",
    "administrator",
    "adminadmin",
    "changeme",
    "welcome",
    "abcdefgh",
    "quaywatch",
];

/// Checks that `password` may be chosen by the user `username`.
pub fn check_password(password: &str, username: &str) -> Result<(), PasswordRefused> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordRefused::TooLong);
    }
    if password.chars().count() < MIN_PASSWORD_CHARACTERS {
        return Err(PasswordRefused::TooShort);
    }
    let lower = password.to_lowercase();
    let username = username.to_lowercase();
    if username.len() >= 3 && lower.contains(&username) {
        return Err(PasswordRefused::HoldsUsername);
    }
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return Err(PasswordRefused::Monotonous);
    }
    // A common beginning is no harm when enough follows it.
    let is_common = |common: &str| {
        lower
            .strip_prefix(common)
            .is_some_and(|rest| rest.chars().count() < 8)
    };
    if COMMON.iter().any(|common| is_common(common)) {
        return Err(PasswordRefused::Common);
    }
    Ok(())
}

/// A random password of 100 bits that can be read aloud and typed, such as
/// `wkd4-8mz2-…` in five groups.
pub fn generate_password() -> Result<Secret, NoRandomness> {
    // 32 characters without those that look alike, so five bits each without bias.
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz234567890";
    let mut text = String::with_capacity(24);
    for (index, byte) in random_bytes::<20>()?.into_iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(Secret::new(text))
}

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("cannot hash a password: {0}")]
pub struct HashError(password_hash::Error);

/// Hashes passwords and checks them. Slow and hungry on purpose (about 20 ms, 19 MiB): call it
/// from a thread that may block, few at a time.
#[derive(Debug, Clone)]
pub struct PasswordHashes {
    argon2: Argon2<'static>,
    /// Stands in for the hash of a user who does not exist.
    decoy: String,
}

impl PasswordHashes {
    /// With the parameters OWASP recommends.
    pub fn new() -> Result<Self, HashError> {
        Self::with_memory(19 * 1024)
    }

    /// With `memory_kib` KiB instead, at least 8; for tests, which need no strength.
    pub fn with_memory(memory_kib: u32) -> Result<Self, HashError> {
        let parameters =
            Params::new(memory_kib.max(8), 2, 1, None).map_err(|error| HashError(error.into()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut hashes = Self {
            argon2,
            decoy: String::new(),
        };
        hashes.decoy = hashes.hash("nobody has this password")?;
        Ok(hashes)
    }

    /// The hash of `password` with a fresh salt, as a PHC string (`$argon2id$v=19$m=…`).
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        let hash: password_hash::phc::PasswordHash = self
            .argon2
            .hash_password(password.as_bytes())
            .map_err(HashError)?;
        Ok(hash.to_string())
    }

    /// True when `password` is the one that `stored` was made from.
    ///
    /// `None`, for a user who does not exist, takes as long and is never true. A password over the
    /// bound is never true.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> bool {
        let password = if password.len() > MAX_PASSWORD_BYTES {
            ""
        } else {
            password
        };
        let right = self
            .argon2
            .verify_password(password.as_bytes(), stored.unwrap_or(&self.decoy))
            .is_ok();
        right && stored.is_some() && !password.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(password: &str, expected: Result<(), PasswordRefused>) {
        assert_eq!(check_password(password, "harbour"), expected, "{password}");
    }

    #[test]
    fn rules() {
        check("tide-and-lantern", Ok(()));
        check("elevenchars", Err(PasswordRefused::TooShort));
        check("日本語の長い合言葉です今日", Ok(()));
        check(&"x1y2z3".repeat(100), Err(PasswordRefused::TooLong));
        check("my-Harbour-is-calm", Err(PasswordRefused::HoldsUsername));
        check("abababababababab", Err(PasswordRefused::Monotonous));
        check("Password12345", Err(PasswordRefused::Common));
        check("passwords-are-a-thing-of-the-past", Ok(()));
    }

    #[test]
    fn generated_passwords_follow_the_rules_and_differ() {
        let first = generate_password().unwrap();
        let second = generate_password().unwrap();
        assert_ne!(first, second);
        assert_eq!(first.expose().len(), 24);
        assert_eq!(check_password(first.expose(), "admin"), Ok(()));
    }

    #[test]
    fn only_the_right_password_of_a_user_who_exists_is_right() {
        let hashes = PasswordHashes::with_memory(8).unwrap();
        let stored = hashes.hash("tide-and-lantern").unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=8,t=2,p=1$"),
            "{stored}"
        );
        assert!(hashes.verify("tide-and-lantern", Some(&stored)));
        assert!(!hashes.verify("tide-and-lanterN", Some(&stored)));
        assert!(!hashes.verify("", Some(&stored)));
        assert!(!hashes.verify("nobody has this password", None));
        assert!(!hashes.verify("tide-and-lantern", Some("not a hash")));
    }

    #[test]
    fn the_same_password_never_hashes_to_the_same_text() {
        let hashes = PasswordHashes::with_memory(8).unwrap();
        assert_ne!(hashes.hash("a").unwrap(), hashes.hash("a").unwrap());
    }

    #[test]
    fn production_parameters_are_owasps() {
        let hashes = PasswordHashes::new().unwrap();
        assert!(
            hashes.decoy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hashes.decoy
        );
    }
}
