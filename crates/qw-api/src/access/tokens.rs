//! API tokens: made, recognised, revoked.

use std::{net::IpAddr, time::Duration};

use qw_auth::{
    ApiToken, MAX_TOKEN_ADDRESSES, NewToken, PresentedToken, Scope, Secret, TokenUse, address_key,
};
use qw_event::Timestamp;
use qw_store::StateChange;
use tokio_util::sync::CancellationToken;

use super::{
    Access, AccessError, Audit, Identity, LiveToken, MAX_TOKENS, TOKENS, Who,
    accounts::shared_scope, to_json,
};

/// A use of a token that nobody has seen the like of.
pub(crate) struct TokenNews {
    token: String,
    from: IpAddr,
    /// As the token remembers it.
    address: String,
    action: &'static str,
    detail: String,
}

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

    /// Makes a token of the process itself, which no user bounds; its secret is told here and never
    /// again.
    pub fn create_token(
        &self,
        asked: NewToken,
        now: Timestamp,
    ) -> Result<(ApiToken, Secret), AccessError> {
        self.add_token(asked, true, &Audit::system(), now)
    }

    /// Makes a token that never exceeds the user who makes it, unless it is of the system.
    pub(crate) fn add_token(
        &self,
        asked: NewToken,
        system: bool,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(ApiToken, Secret), AccessError> {
        audit.action("token.create", "");
        let (mut token, secret) = ApiToken::generate(asked, now)??;
        token.system = system;
        let scopes: Vec<&str> = token.scopes.iter().map(Scope::as_str).collect();
        audit.action("token.create", &token.id);
        audit.detail(format!("{}: {}", token.name, scopes.join(", ")));
        let _changing = self.0.changing.lock();
        if self.0.memory.lock().tokens.len() >= MAX_TOKENS {
            return Err(AccessError::TooManyTokens);
        }
        let value = to_json(&token);
        let change = StateChange::Put {
            collection: TOKENS,
            key: &token.id,
            value: &value,
        };
        self.commit(&[change], audit, now)?;
        let live = LiveToken {
            token: token.clone(),
            ended: CancellationToken::new(),
            written: None,
        };
        self.0.memory.lock().tokens.insert(token.id.clone(), live);
        Ok((token, secret))
    }

    /// Revokes the token `id` for the process itself; its streams end at once.
    pub fn revoke_token(&self, id: &str, now: Timestamp) -> Result<(), AccessError> {
        self.remove_token(id, None, &Audit::system(), now)
    }

    /// Revokes the token `id`, of the user `name` or of anyone; its streams end at once.
    pub(crate) fn remove_token(
        &self,
        id: &str,
        name: Option<&str>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        audit.action("token.revoke", id);
        let _changing = self.0.changing.lock();
        {
            let memory = self.0.memory.lock();
            let found = memory.tokens.get(id).filter(|live| {
                name.is_none_or(|name| live.token.created_by == name && !live.token.system)
            });
            let Some(live) = found else {
                return Err(AccessError::NotFound(id.to_owned()));
            };
            audit.detail(live.token.name.clone());
        }
        let change = StateChange::Delete {
            collection: TOKENS,
            key: id,
        };
        self.commit(&[change], audit, now)?;
        self.forget_tokens(&[id.to_owned()]);
        Ok(())
    }

    /// Ids of the tokens that the user `name` made.
    pub(super) fn token_ids_of(&self, name: &str) -> Vec<String> {
        let memory = self.0.memory.lock();
        memory
            .tokens
            .values()
            .map(|live| &live.token)
            .filter(|token| token.created_by == name && !token.system)
            .map(|token| token.id.clone())
            .collect()
    }

    /// Ends tokens, in memory.
    pub(super) fn forget_tokens(&self, ids: &[String]) {
        let mut memory = self.0.memory.lock();
        for id in ids {
            if let Some(gone) = memory.tokens.remove(id) {
                gone.ended.cancel();
            }
        }
    }

    /// Who presents the token `text`; counts as a use.
    pub(crate) fn recognise_token(&self, text: &str, now: Timestamp) -> Option<Identity> {
        let presented = PresentedToken::parse(text)?;
        let memory = &mut *self.0.memory.lock();
        let live = memory.tokens.get_mut(presented.id)?;
        live.token.verify(&presented, now).ok()?;
        let allowed = live.token.scopes.permissions();
        let (permissions, scope) = if live.token.system {
            (allowed, None)
        } else {
            let maker = memory.users.get(&live.token.created_by)?;
            if maker.disabled {
                return None;
            }
            (
                allowed.within(maker.role.permissions()),
                shared_scope(maker),
            )
        };
        // To the minute, so that a busy token is not written all the time.
        let minute = now.floor_to(Duration::from_mins(1));
        live.token.last_used = live.token.last_used.max(Some(minute));
        Some(Identity {
            who: Who::Token(live.token.id.clone()),
            username: live.token.created_by.clone(),
            permissions,
            scope,
            system: live.token.system,
            ended: live.ended.clone(),
        })
    }

    /// Notes that `identity` comes from `address`; what is to be told of it in the audit log, if its
    /// token was never seen from there.
    pub(crate) fn note_address(
        &self,
        identity: &Identity,
        address: IpAddr,
        now: Timestamp,
    ) -> Option<TokenNews> {
        let Who::Token(id) = &identity.who else {
            return None;
        };
        let from = address.to_canonical();
        let address = address_key(address);
        let memory = &mut *self.0.memory.lock();
        let live = memory.tokens.get_mut(id)?;
        let (action, forgotten) = match live.token.used_from(&address) {
            TokenUse::Known => return None,
            TokenUse::First => ("token.first_use", None),
            TokenUse::NewAddress { forgotten } => ("token.new_address", forgotten),
        };
        let log = &mut memory.audit;
        if log.new_addresses.try_now(id, now).is_err() {
            log.untold_addresses += 1;
            return None;
        }
        let mut detail = live.token.name.clone();
        if let Some(forgotten) = forgotten {
            detail.push_str(&format!(
                "; {MAX_TOKEN_ADDRESSES} addresses are remembered, so {forgotten} is forgotten"
            ));
        }
        match std::mem::take(&mut log.untold_addresses) {
            0 => {}
            more => detail.push_str(&format!(" (and {more} more uses that are not listed)")),
        }
        Some(TokenNews {
            token: id.clone(),
            from,
            address,
            action,
            detail,
        })
    }

    /// Writes into the audit log what [`Self::note_address`] found, in the request `request_id`.
    pub(crate) fn tell_token_news(
        &self,
        identity: &Identity,
        news: TokenNews,
        request_id: String,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let action = news.action.to_owned();
        let (from, token) = (news.from.to_string(), news.token.clone());
        let audit = Audit::of_request(from, request_id, action, token);
        audit.by(identity);
        audit.detail(news.detail);
        let _changing = self.0.changing.lock();
        let token = {
            let memory = self.0.memory.lock();
            memory
                .tokens
                .get(&news.token)
                .map(|live| live.token.clone())
        };
        let Some(token) = token else { return Ok(()) };
        let value = to_json(&token);
        let change = StateChange::Put {
            collection: TOKENS,
            key: &token.id,
            value: &value,
        };
        let written = self.commit(&[change], &audit, now);
        if let Some(live) = self.0.memory.lock().tokens.get_mut(&news.token) {
            match &written {
                Ok(()) => live.written = token.last_used,
                // The next use from there tells it.
                Err(_) => live.token.addresses.retain(|known| *known != news.address),
            }
        }
        written
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
