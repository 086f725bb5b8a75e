//! Secrets, which lie in files or in the environment and are shown nowhere.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 16 << 10;

/// Where a secret lies. It is read anew for each message, so that it can be replaced at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretFrom {
    /// In this file; white space around it does not count.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
}

impl SecretFrom {
    /// The secret.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::File(path) => {
                let unreadable = |source| SecretError::File {
                    path: path.clone(),
                    source,
                };
                let metadata = std::fs::metadata(path).map_err(unreadable)?;
                if metadata.len() > MAX_SECRET_BYTES {
                    return Err(SecretError::TooLong(path.clone()));
                }
                std::fs::read_to_string(path).map_err(unreadable)?
            }
            Self::Env(name) => {
                std::env::var(name).map_err(|_| SecretError::Variable(name.clone()))?
            }
        };
        let secret = text.trim();
        if secret.is_empty() {
            return Err(SecretError::Empty(self.place()));
        }
        Ok(Secret(secret.to_owned()))
    }

    fn place(&self) -> String {
        match self {
            Self::File(path) => format!("file `{}`", path.display()),
            Self::Env(name) => format!("variable `{name}`"),
        }
    }
}

/// A secret; its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too long.
    #[error("the secret in `{0}` is longer than 16 KiB")]
    TooLong(PathBuf),
    /// The variable is not set.
    #[error("the variable `{0}` is not set, or no text")]
    Variable(String),
    /// There is nothing in it.
    #[error("the secret in the {0} is empty")]
    Empty(String),
}

/// `text` without any of `secrets`, nor of their long words (the token of `Bearer token`, the parts
/// of an address), for answers of receivers that repeat what they were sent.
pub(crate) fn redacted(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        let parts = secret
            .0
            .split(|character: char| character.is_whitespace() || character == '/');
        for part in std::iter::once(secret.reveal()).chain(parts) {
            // Too short a part would blacken everything, and is no secret.
            if part.len() >= 8 {
                text = text.replace(part, "***");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs_err::write(&path, "  Bearer hunter22\n").unwrap();
        let from: SecretFrom = serde_json::from_value(serde_json::json!({ "file": path })).unwrap();
        let secret = from.read().unwrap();
        assert_eq!(secret.reveal(), "Bearer hunter22");
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(
            redacted("got hunter22, not known", &[secret]),
            "got ***, not known"
        );
        fs_err::write(&path, " \n").unwrap();
        assert!(matches!(from.read(), Err(SecretError::Empty(_))));
        fs_err::write(&path, "x".repeat(20_000)).unwrap();
        assert!(matches!(from.read(), Err(SecretError::TooLong(_))));
        let absent = SecretFrom::Env("QUAYWATCH_NO_SUCH_SECRET".into());
        assert!(absent.read().unwrap_err().to_string().contains("NO_SUCH"));
        let present = SecretFrom::Env("CARGO_PKG_NAME".into());
        assert_eq!(present.read().unwrap().reveal(), "qw-sinks");
    }
}
