//! Random secrets, and what is kept of them.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of a random secret: 256 bits.
pub(crate) const SECRET_BYTES: usize = 32;

/// A text that must not appear in logs; its debug form is `Secret(…)`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Say to whom it is shown where this is called.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot read random bytes from the operating system")]
pub struct NoRandomness(#[source] getrandom::Error);

/// What is kept of a random secret: SHA-256 over its purpose and itself.
///
/// Good for secrets of 256 random bits only; passwords need [`crate::PasswordHashes`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of `secret` when used for `purpose`; different purposes give unrelated hashes.
    pub(crate) fn of(purpose: &str, secret: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(purpose.as_bytes());
        hash.update([0]);
        hash.update(secret.as_bytes());
        Self(hash.finalize().into())
    }

    /// True when both are the same, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// A name for what the secret opens: 16 hexadecimal digits of a hash of the hash.
    pub(crate) fn public_id(&self) -> String {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"quaywatch public id\0")
            .chain_update(self.0)
            .finalize()
            .into();
        hexadecimal(&hash).chars().take(16).collect()
    }

    /// The hash as base64url text.
    pub fn to_text(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let error = || serde::de::Error::custom("not a hash of 32 bytes in base64url");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| error())?;
        bytes.try_into().map(Self).map_err(|_| error())
    }
}

/// True when both texts are the same, in a time that depends on their lengths only.
pub(crate) fn same_text(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// `N` bytes from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A fresh secret of 256 random bits, as base64url text.
pub(crate) fn random_text() -> Result<String, NoRandomness> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<SECRET_BYTES>()?))
}

/// `bytes` in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_kept_apart() {
        assert_ne!(SecretHash::of("session", "x"), SecretHash::of("csrf", "x"));
        assert_ne!(SecretHash::of("a", "bc"), SecretHash::of("ab", "c"));
        assert!(SecretHash::of("a", "b").matches(&SecretHash::of("a", "b")));
    }

    #[test]
    fn debug_forms_do_not_tell() {
        let hash = SecretHash::of("a", "hunter2");
        assert_eq!(
            format!("{:?} {hash:?}", Secret::new("hunter2")),
            "Secret(…) SecretHash(…)"
        );
    }

    #[test]
    fn text_form_of_a_hash_round_trips() {
        let hash = SecretHash::of("a", "b");
        let text = format!("\"{}\"", hash.to_text());
        let read: SecretHash = read(&text).unwrap();
        assert!(read.matches(&hash));
        assert!(read_fails("\"abc\""));
        assert!(read_fails("\"not base64 !\""));
    }

    fn read(text: &str) -> Result<SecretHash, serde::de::value::Error> {
        let inner = text.trim_matches('"').to_owned();
        SecretHash::deserialize(serde::de::value::StringDeserializer::new(inner))
    }

    fn read_fails(text: &str) -> bool {
        read(text).is_err()
    }

    #[test]
    fn hexadecimal_is_two_digits_a_byte() {
        assert_eq!(hexadecimal(&[0, 10, 255]), "000aff");
    }
}
