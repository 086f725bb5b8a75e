//! Sessions: begun, recognised, listed, ended.

use std::net::IpAddr;

use qw_auth::{Session, SessionSecret, User};
use qw_event::Timestamp;
use qw_store::StateChange;
use tokio_util::sync::CancellationToken;

use super::{
    Access, AccessError, Audit, Identity, LiveSession, SESSIONS, SESSIONS_PER_USER, SignedIn,
    USERS, Who, accounts::shared_scope, to_json,
};

/// Longest name of a browser that is kept, in characters.
const MAX_AGENT_CHARACTERS: usize = 200;

/// Where a sign-in comes from.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// What the browser calls itself.
    pub(crate) agent: String,
}

/// A session as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct LiveView {
    pub(crate) session: Session,
    pub(crate) expires: Timestamp,
}

impl Access {
    /// Begins a session of `user`, whom it also writes; the caller holds `changing`.
    pub(super) fn begin(
        &self,
        user: User,
        logout_url: String,
        visitor: &Visitor,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        let secret = SessionSecret::generate()?;
        let agent = visitor.agent.chars().filter(|c| !c.is_control());
        let session = Session {
            address: visitor.address.to_string(),
            agent: agent.take(MAX_AGENT_CHARACTERS).collect(),
            logout_url: logout_url.clone(),
            ..Session::start(&secret, &user.name, now)
        };
        let user = User {
            last_sign_in: Some(now),
            ..user
        };
        let expires = session.expires(&self.0.options.sessions);
        let crowded_out = self.crowded_out(&user.name);
        let key = session.hash.to_text();
        let (value, user_value) = (to_json(&session), to_json(&user));
        let mut changes = vec![
            StateChange::Put {
                collection: SESSIONS,
                key: &key,
                value: &value,
            },
            StateChange::Put {
                collection: USERS,
                key: &user.name,
                value: &user_value,
            },
        ];
        if let Some((_, key)) = &crowded_out {
            changes.push(StateChange::Delete {
                collection: SESSIONS,
                key,
            });
        }
        audit.by_user(&user.name);
        self.commit(&changes, audit, now)?;
        let mut memory = self.0.memory.lock();
        if let Some((hash, _)) = crowded_out
            && let Some(gone) = memory.sessions.remove(&hash)
        {
            gone.ended.cancel();
        }
        memory.users.put(user.clone());
        memory.sessions.insert(
            session.hash,
            LiveSession {
                session,
                ended: CancellationToken::new(),
                written: now,
            },
        );
        Ok(SignedIn {
            secret,
            user,
            expires,
            logout_url,
        })
    }

    /// Sessions that may be used at `now`, of `name` or of all, latest used first.
    pub(crate) fn sessions(&self, name: Option<&str>, now: Timestamp) -> Vec<LiveView> {
        let limits = &self.0.options.sessions;
        let memory = self.0.memory.lock();
        let mut sessions: Vec<LiveView> = memory
            .sessions
            .values()
            .map(|live| &live.session)
            .filter(|session| name.is_none_or(|name| session.username == name))
            .filter(|session| session.is_valid(limits, now))
            .map(|session| LiveView {
                session: session.clone(),
                expires: session.expires(limits),
            })
            .collect();
        sessions.sort_by(|a, b| {
            let last = b.session.last_used.cmp(&a.session.last_used);
            last.then_with(|| a.session.hash.cmp(&b.session.hash))
        });
        sessions
    }

    /// Ends the session with the public name `id`, of `name` or of anyone; its streams end at once.
    pub(crate) fn end_session(
        &self,
        id: &str,
        name: Option<&str>,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        audit.action("session.revoke", id);
        let _changing = self.0.changing.lock();
        let found = {
            let memory = self.0.memory.lock();
            let mut sessions = memory.sessions.values().map(|live| &live.session);
            sessions
                .find(|session| {
                    session.id() == id && name.is_none_or(|name| session.username == name)
                })
                .map(|session| (session.hash, session.username.clone()))
        };
        let Some((hash, username)) = found else {
            return Err(AccessError::NotFound(id.to_owned()));
        };
        audit.detail(format!("session of {username}"));
        self.end(hash, audit, now)
    }

    fn end(
        &self,
        hash: qw_auth::SecretHash,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let change = StateChange::Delete {
            collection: SESSIONS,
            key: &hash.to_text(),
        };
        self.commit(&[change], audit, now)?;
        if let Some(gone) = self.0.memory.lock().sessions.remove(&hash) {
            gone.ended.cancel();
        }
        Ok(())
    }

    /// Who presents `secret`; counts as a use.
    pub(crate) fn recognise_session(
        &self,
        secret: &SessionSecret,
        now: Timestamp,
    ) -> Option<Identity> {
        let mut memory = self.0.memory.lock();
        let memory = &mut *memory;
        let live = memory.sessions.get_mut(&secret.hash())?;
        if !live.session.is_valid(&self.0.options.sessions, now) {
            return None;
        }
        let user = memory.users.get(&live.session.username)?;
        if user.disabled {
            return None;
        }
        live.session.last_used = live.session.last_used.max(now);
        Some(Identity {
            who: Who::Session(secret.clone()),
            username: user.name.clone(),
            permissions: user.role.permissions(),
            scope: shared_scope(user),
            system: false,
            ended: live.ended.clone(),
        })
    }

    /// The user and end of the session `secret`.
    pub(crate) fn signed_in(&self, secret: &SessionSecret) -> Option<SignedIn> {
        let memory = self.0.memory.lock();
        let session = &memory.sessions.get(&secret.hash())?.session;
        let user = memory.users.get(&session.username)?.clone();
        let expires = session.expires(&self.0.options.sessions);
        Some(SignedIn {
            secret: secret.clone(),
            user,
            expires,
            logout_url: session.logout_url.clone(),
        })
    }

    /// Ends the session `secret`; its streams end at once.
    pub(crate) fn sign_out(
        &self,
        secret: &SessionSecret,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        audit.action("session.end", "");
        let _changing = self.0.changing.lock();
        self.end(secret.hash(), audit, now)
    }

    pub(super) fn flush_sessions(&self, now: Timestamp) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        let limits = &self.0.options.sessions;
        let (mut expired, mut used) = (Vec::new(), Vec::new());
        {
            let memory = self.0.memory.lock();
            for live in memory.sessions.values() {
                if !live.session.is_valid(limits, now) {
                    expired.push((live.session.hash, live.session.hash.to_text()));
                } else if live.session.last_used > live.written {
                    used.push((live.session.hash.to_text(), live.session.clone()));
                }
            }
        }
        if expired.is_empty() && used.is_empty() {
            return Ok(());
        }
        let values: Vec<String> = used.iter().map(|(_, session)| to_json(session)).collect();
        let mut changes = Vec::with_capacity(expired.len() + used.len());
        for (_, key) in &expired {
            changes.push(StateChange::Delete {
                collection: SESSIONS,
                key,
            });
        }
        for ((key, _), value) in used.iter().zip(&values) {
            changes.push(StateChange::Put {
                collection: SESSIONS,
                key,
                value,
            });
        }
        self.0.store.apply(&changes)?;
        let mut memory = self.0.memory.lock();
        for (hash, _) in expired {
            if let Some(gone) = memory.sessions.remove(&hash) {
                gone.ended.cancel();
            }
        }
        for (_, session) in used {
            if let Some(live) = memory.sessions.get_mut(&session.hash) {
                live.written = session.last_used;
            }
        }
        Ok(())
    }

    /// Keys of the sessions of `name` but `keep`.
    pub(super) fn session_keys(&self, name: &str, keep: Option<&SessionSecret>) -> Vec<String> {
        let keep = keep.map(SessionSecret::hash);
        let memory = self.0.memory.lock();
        memory
            .sessions
            .values()
            .filter(|live| live.session.username == name && Some(live.session.hash) != keep)
            .map(|live| live.session.hash.to_text())
            .collect()
    }

    /// Ends the sessions of `name` but `keep`, in memory.
    pub(super) fn forget_sessions(&self, name: &str, keep: Option<&SessionSecret>) {
        let keep = keep.map(SessionSecret::hash);
        self.0.memory.lock().sessions.retain(|hash, live| {
            let stays = live.session.username != name || Some(*hash) == keep;
            if !stays {
                live.ended.cancel();
            }
            stays
        });
    }

    /// The session of `name` that must make room for another, with its key.
    fn crowded_out(&self, name: &str) -> Option<(qw_auth::SecretHash, String)> {
        let memory = self.0.memory.lock();
        let sessions = memory.sessions.values().map(|live| &live.session);
        let own: Vec<&Session> = sessions
            .filter(|session| session.username == name)
            .collect();
        if own.len() < SESSIONS_PER_USER {
            return None;
        }
        own.into_iter()
            .min_by_key(|session| session.last_used)
            .map(|session| (session.hash, session.hash.to_text()))
    }
}
