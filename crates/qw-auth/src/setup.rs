//! The one-time token with which the first user is made.

use crate::{
    Secret, SecretHash,
    secret::{NoRandomness, random_text},
};

const PURPOSE: &str = "quaywatch setup token";

/// What is kept of the setup token while no user exists.
#[derive(Debug, Clone, Copy)]
pub struct SetupToken(SecretHash);

impl SetupToken {
    /// A fresh token; the secret is printed where only the operator sees it.
    pub fn generate() -> Result<(Self, Secret), NoRandomness> {
        let text = random_text()?;
        Ok((Self(SecretHash::of(PURPOSE, &text)), Secret::new(text)))
    }

    /// True when `text` is the token.
    pub fn accepts(&self, text: &str) -> bool {
        self.0.matches(&SecretHash::of(PURPOSE, text.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_printed_token_is_accepted() {
        let (token, printed) = SetupToken::generate().unwrap();
        assert!(token.accepts(printed.expose()));
        assert!(token.accepts(&format!(" {}\n", printed.expose())));
        assert!(!token.accepts(""));
        assert!(!token.accepts("guess"));
    }
}
