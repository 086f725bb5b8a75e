//! API tokens: made, recognised, revoked.

use std::time::Duration;

use qw_auth::{ApiToken, NewToken, PresentedToken, Secret};
use qw_event::Timestamp;
use qw_store::StateChange;
use tokio_util::sync::CancellationToken;

use super::{Access, AccessError, Identity, LiveToken, MAX_TOKENS, TOKENS, Who, to_json};

impl Access {
    /// All tokens, newest first.
    pub fn tokens(&self) -> Vec<ApiToken> {
        let memory = self.0.memory.lock();
        let mut tokens: Vec<ApiToken> = memory
            .tokens
            .values()
            .map(|live| live.token.clone())
            .collect();
        tokens.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        tokens
    }

    /// Makes a token; its secret is told here and never again.
    pub fn create_token(
        &self,
        asked: NewToken,
        now: Timestamp,
    ) -> Result<(ApiToken, Secret), AccessError> {
        let (token, secret) = ApiToken::generate(asked, now)??;
        let _changing = self.0.changing.lock();
        if self.0.memory.lock().tokens.len() >= MAX_TOKENS {
            return Err(AccessError::TooManyTokens);
        }
        let value = to_json(&token);
        self.0.store.apply(&[StateChange::Put {
            collection: TOKENS,
            key: &token.id,
            value: &value,
        }])?;
        let live = LiveToken {
            token: token.clone(),
            ended: CancellationToken::new(),
            written: None,
        };
        self.0.memory.lock().tokens.insert(token.id.clone(), live);
        Ok((token, secret))
    }

    /// Revokes the token `id`; its streams end at once.
    pub fn revoke_token(&self, id: &str) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        if !self.0.memory.lock().tokens.contains_key(id) {
            return Err(AccessError::NotFound(id.to_owned()));
        }
        self.0.store.apply(&[StateChange::Delete {
            collection: TOKENS,
            key: id,
        }])?;
        if let Some(gone) = self.0.memory.lock().tokens.remove(id) {
            gone.ended.cancel();
        }
        Ok(())
    }

    /// Who presents the token `text`; counts as a use.
    pub(crate) fn recognise_token(&self, text: &str, now: Timestamp) -> Option<Identity> {
        let presented = PresentedToken::parse(text)?;
        let mut memory = self.0.memory.lock();
        let live = memory.tokens.get_mut(presented.id)?;
        live.token.verify(&presented, now).ok()?;
        // To the minute, so that a busy token is not written all the time.
        let minute = now.floor_to(Duration::from_mins(1));
        live.token.last_used = live.token.last_used.max(Some(minute));
        Some(Identity {
            who: Who::Token(live.token.id.clone()),
            username: live.token.created_by.clone(),
            scopes: live.token.scopes,
            ended: live.ended.clone(),
        })
    }

    pub(super) fn flush_tokens(&self) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        let used: Vec<ApiToken> = {
            let memory = self.0.memory.lock();
            memory
                .tokens
                .values()
                .filter(|live| live.token.last_used > live.written)
                .map(|live| live.token.clone())
                .collect()
        };
        if used.is_empty() {
            return Ok(());
        }
        let values: Vec<String> = used.iter().map(to_json).collect();
        let changes: Vec<StateChange<'_>> = used
            .iter()
            .zip(&values)
            .map(|(token, value)| StateChange::Put {
                collection: TOKENS,
                key: &token.id,
                value,
            })
            .collect();
        self.0.store.apply(&changes)?;
        let mut memory = self.0.memory.lock();
        for token in used {
            if let Some(live) = memory.tokens.get_mut(&token.id) {
                live.written = token.last_used;
            }
        }
        Ok(())
    }
}
