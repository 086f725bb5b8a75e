//! API tokens: `qw_<id>_<secret>`.

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Scope, Scopes, Secret, SecretHash,
    secret::{NoRandomness, SECRET_BYTES, hexadecimal, random_bytes},
};

const PREFIX: &str = "qw_";
const ID_BYTES: usize = 8;
const PURPOSE: &str = "quaywatch api token";
const MAX_NAME_CHARACTERS: usize = 100;

/// Addresses remembered of a token; the one unused for longest makes room.
pub const MAX_TOKEN_ADDRESSES: usize = 32;

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Public part of the token; its key.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// Hash of the secret part.
    pub hash: SecretHash,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// User who made it, and whom it never exceeds.
    pub created_by: String,
    /// True for a token of the process itself, which no user bounds.
    #[serde(default)]
    pub system: bool,
    /// Addresses it was used from, the one used last at the end; at most [`MAX_TOKEN_ADDRESSES`].
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// Where a token is used from, compared with before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenUse {
    /// From an address that is remembered.
    Known,
    /// For the first time at all.
    First,
    /// From an address that is not remembered.
    NewAddress {
        /// The address that made room for it.
        forgotten: Option<String>,
    },
}

/// A token as it is asked for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// User who makes it, and whom it never exceeds.
    pub created_by: String,
}

/// Why a token cannot be made, or be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Its name is empty, too long, or holds control characters.
    #[error("a token's name has 1 to {MAX_NAME_CHARACTERS} printable characters")]
    Name,
    /// It would allow nothing.
    #[error("a token needs at least one scope of read, triage, ingest, metrics, admin")]
    NoScope,
    /// It would end before it begins.
    #[error("the token would expire in the past")]
    ExpiresInThePast,
    /// Its secret is not the right one.
    #[error("the token is not valid")]
    WrongSecret,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It would allow what its maker may not.
    #[error("the scope `{0}` allows more than you may")]
    ExceedsMaker(Scope),
}

/// The form in which a token's name is kept.
pub fn check_token_name(name: &str) -> Result<String, TokenRefused> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME_CHARACTERS || name.chars().any(char::is_control) {
        return Err(TokenRefused::Name);
    }
    Ok(name.to_owned())
}

impl ApiToken {
    /// Makes the token that `asked` describes. The secret is shown to its maker once.
    pub fn generate(
        asked: NewToken,
        now: Timestamp,
    ) -> Result<Result<(Self, Secret), TokenRefused>, NoRandomness> {
        let name = match check_token_name(&asked.name) {
            Ok(name) => name,
            Err(refused) => return Ok(Err(refused)),
        };
        if asked.scopes.is_empty() {
            return Ok(Err(TokenRefused::NoScope));
        }
        if asked.expires.is_some_and(|expires| expires <= now) {
            return Ok(Err(TokenRefused::ExpiresInThePast));
        }
        let id = hexadecimal(&random_bytes::<ID_BYTES>()?);
        let secret = hexadecimal(&random_bytes::<SECRET_BYTES>()?);
        let token = Self {
            hash: SecretHash::of(PURPOSE, &secret),
            name,
            scopes: asked.scopes,
            created: now,
            expires: asked.expires,
            last_used: None,
            created_by: asked.created_by,
            system: false,
            addresses: Vec::new(),
            id,
        };
        let shown = Secret::new(format!("{PREFIX}{}_{secret}", token.id));
        Ok(Ok((token, shown)))
    }

    /// Checks the secret that was presented, and that the token has not ended.
    pub fn verify(
        &self,
        presented: &PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<(), TokenRefused> {
        if !self
            .hash
            .matches(&SecretHash::of(PURPOSE, presented.secret))
        {
            return Err(TokenRefused::WrongSecret);
        }
        if self.is_expired(now) {
            return Err(TokenRefused::Expired);
        }
        Ok(())
    }

    /// Remembers that it is used from `address`, a text of bounded length.
    pub fn used_from(&mut self, address: &str) -> TokenUse {
        let addresses = &mut self.addresses;
        if addresses.last().is_some_and(|last| last == address) {
            return TokenUse::Known;
        }
        if let Some(place) = addresses.iter().position(|known| known == address) {
            addresses[place..].rotate_left(1);
            return TokenUse::Known;
        }
        let found = if addresses.is_empty() {
            TokenUse::First
        } else {
            let is_full = addresses.len() >= MAX_TOKEN_ADDRESSES;
            TokenUse::NewAddress {
                forgotten: is_full.then(|| addresses.remove(0)),
            }
        };
        addresses.push(address.to_owned());
        found
    }

    /// True once it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The parts of a token that a request carries.
#[derive(Clone, Copy)]
pub struct PresentedToken<'a> {
    /// Public part, under which the token is kept.
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> PresentedToken<'a> {
    /// Takes `text` apart; `None` when it has not the form of a token.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hexadecimal = |text: &str, bytes: usize| {
            text.len() == bytes * 2
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        (is_hexadecimal(id, ID_BYTES) && is_hexadecimal(secret, SECRET_BYTES))
            .then_some(Self { id, secret })
    }
}

impl std::fmt::Debug for PresentedToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn asked() -> NewToken {
        NewToken {
            name: "scraper".to_owned(),
            scopes: [Scope::Metrics].into_iter().collect(),
            expires: Some(Timestamp::from_seconds(2_000)),
            created_by: "admin".to_owned(),
        }
    }

    #[test]
    fn a_token_verifies_until_it_expires() {
        let (token, shown) = ApiToken::generate(asked(), NOW).unwrap().unwrap();
        let presented = PresentedToken::parse(shown.expose()).unwrap();
        assert_eq!(presented.id, token.id);
        assert_eq!(token.verify(&presented, NOW), Ok(()));
        let end = Timestamp::from_seconds(2_000);
        assert_eq!(token.verify(&presented, end), Err(TokenRefused::Expired));
    }

    #[test]
    fn another_tokens_secret_is_wrong() {
        let (token, _) = ApiToken::generate(asked(), NOW).unwrap().unwrap();
        let (_, other) = ApiToken::generate(asked(), NOW).unwrap().unwrap();
        let presented = PresentedToken::parse(other.expose()).unwrap();
        assert_eq!(
            token.verify(&presented, NOW),
            Err(TokenRefused::WrongSecret)
        );
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let refused = |change: fn(&mut NewToken)| {
            let mut asked = asked();
            change(&mut asked);
            ApiToken::generate(asked, NOW).unwrap().unwrap_err()
        };
        assert_eq!(
            refused(|asked| asked.name = " ".to_owned()),
            TokenRefused::Name
        );
        assert_eq!(
            refused(|asked| asked.name = "a\nb".to_owned()),
            TokenRefused::Name
        );
        assert_eq!(
            refused(|asked| asked.scopes = Scopes::NONE),
            TokenRefused::NoScope
        );
        assert_eq!(
            refused(|asked| asked.expires = Some(NOW)),
            TokenRefused::ExpiresInThePast
        );
    }

    #[test]
    fn addresses_are_remembered_and_bounded() {
        let (mut token, _) = ApiToken::generate(asked(), NOW).unwrap().unwrap();
        let new = |forgotten: Option<&str>| TokenUse::NewAddress {
            forgotten: forgotten.map(ToOwned::to_owned),
        };
        assert_eq!(token.used_from("0"), TokenUse::First);
        assert_eq!(token.used_from("0"), TokenUse::Known);
        for number in 1..MAX_TOKEN_ADDRESSES {
            assert_eq!(token.used_from(&number.to_string()), new(None));
        }
        // Used again, and so not the one that makes room.
        assert_eq!(token.used_from("0"), TokenUse::Known);
        assert_eq!(token.used_from("more"), new(Some("1")));
        assert_eq!(token.used_from("1"), new(Some("2")));
        assert_eq!(token.used_from("0"), TokenUse::Known);
        assert_eq!(token.addresses.len(), MAX_TOKEN_ADDRESSES);
    }

    #[test]
    fn debug_form_hides_the_secret() {
        let (_, shown) = ApiToken::generate(asked(), NOW).unwrap().unwrap();
        let presented = PresentedToken::parse(shown.expose()).unwrap();
        assert!(!format!("{presented:?}").contains(presented.secret));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let id_length = PresentedToken::parse(&text).map(|token| token.id.len());
            prop_assert!(id_length.is_none_or(|length| length == ID_BYTES * 2));
        }
    }
}
