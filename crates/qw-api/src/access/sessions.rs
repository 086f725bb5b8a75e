//! Sessions: begun, recognised, ended.

use qw_auth::{Session, SessionSecret, User};
use qw_event::Timestamp;
use qw_store::StateChange;
use tokio_util::sync::CancellationToken;

use super::{
    Access, AccessError, Identity, LiveSession, SESSIONS, SESSIONS_PER_USER, SignedIn, Who, to_json,
};

impl Access {
    /// Begins a session of `user`.
    pub(crate) fn start_session(
        &self,
        user: User,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        let secret = SessionSecret::generate()?;
        let session = Session::start(&secret, &user.name, now);
        let expires = session.expires(&self.0.options.sessions);
        let _changing = self.0.changing.lock();
        let crowded_out = self.crowded_out(&user.name);
        let key = session.hash.to_text();
        let value = to_json(&session);
        let mut changes = vec![StateChange::Put {
            collection: SESSIONS,
            key: &key,
            value: &value,
        }];
        if let Some((_, key)) = &crowded_out {
            changes.push(StateChange::Delete {
                collection: SESSIONS,
                key,
            });
        }
        self.0.store.apply(&changes)?;
        let mut memory = self.0.memory.lock();
        if let Some((hash, _)) = crowded_out
            && let Some(gone) = memory.sessions.remove(&hash)
        {
            gone.ended.cancel();
        }
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
        })
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
        live.session.last_used = live.session.last_used.max(now);
        Some(Identity {
            who: Who::Session(secret.clone()),
            username: user.name.clone(),
            scopes: user.role.scopes(),
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
        })
    }

    /// Ends the session `secret`; its streams end at once.
    pub(crate) fn sign_out(&self, secret: &SessionSecret) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        let hash = secret.hash();
        self.0.store.apply(&[StateChange::Delete {
            collection: SESSIONS,
            key: &hash.to_text(),
        }])?;
        if let Some(gone) = self.0.memory.lock().sessions.remove(&hash) {
            gone.ended.cancel();
        }
        Ok(())
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
