//! Users: made, signed in, changed, removed.

use std::net::IpAddr;

use qw_auth::{Role, SessionSecret, User, address_key, check_password, check_username};
use qw_event::Timestamp;
use qw_store::StateChange;

use super::{Access, AccessError, SESSIONS, SignedIn, USERS, charge_try, to_json};

impl Access {
    /// All users, by name.
    pub fn users(&self) -> Vec<User> {
        self.0.memory.lock().users.values().cloned().collect()
    }

    /// Makes the user `name`. Hashes a password, which takes about 20 ms.
    pub fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<User, AccessError> {
        let name = check_username(name)?;
        check_password(password, &name)?;
        let password_hash = self.0.hashes.hash(password)?;
        let _changing = self.0.changing.lock();
        if self.0.memory.lock().users.contains_key(&name) {
            return Err(AccessError::UserExists(name));
        }
        let user = User {
            name,
            role,
            password_hash,
            created: now,
            password_changed: now,
        };
        self.put_user(&user)?;
        Ok(user)
    }

    /// Sets the password of `name` and ends all its sessions.
    pub fn set_password(
        &self,
        name: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        self.replace_password(name, password, None, now)
    }

    /// Removes the user `name` and ends its sessions; the last user stays.
    pub fn remove_user(&self, name: &str) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        {
            let memory = self.0.memory.lock();
            if !memory.users.contains_key(name) {
                return Err(AccessError::NotFound(name.to_owned()));
            }
            if memory.users.len() == 1 {
                return Err(AccessError::LastUser(name.to_owned()));
            }
        }
        let keys = self.session_keys(name, None);
        let mut changes = vec![StateChange::Delete {
            collection: USERS,
            key: name,
        }];
        changes.extend(keys.iter().map(|key| StateChange::Delete {
            collection: SESSIONS,
            key,
        }));
        self.0.store.apply(&changes)?;
        self.0.memory.lock().users.remove(name);
        self.forget_sessions(name, None);
        Ok(())
    }

    /// Makes the first user for whoever holds the setup token, and signs in.
    pub(crate) fn set_up(
        &self,
        token: &str,
        name: &str,
        password: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        {
            let mut memory = self.0.memory.lock();
            if !memory.users.is_empty() {
                return Err(AccessError::SetUpAlready);
            }
            charge_try(&mut memory, address, None, now)?;
            if !memory.setup.is_some_and(|setup| setup.accepts(token)) {
                return Err(AccessError::Wrong);
            }
        }
        let name = check_username(name)?;
        check_password(password, &name)?;
        let password_hash = self.0.hashes.hash(password)?;
        let user = User {
            name,
            role: Role::Admin,
            password_hash,
            created: now,
            password_changed: now,
        };
        {
            let _changing = self.0.changing.lock();
            if !self.0.memory.lock().users.is_empty() {
                return Err(AccessError::SetUpAlready);
            }
            self.put_user(&user)?;
            self.0.memory.lock().setup = None;
        }
        self.start_session(user, now)
    }

    /// Signs `name` in. A name that does not exist takes as long as a wrong password.
    pub(crate) fn sign_in(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        let name = name.trim().to_ascii_lowercase();
        let user = {
            let mut memory = self.0.memory.lock();
            charge_try(&mut memory, address, Some(&name), now)?;
            memory.users.get(&name).cloned()
        };
        let stored = user.as_ref().map(|user| user.password_hash.as_str());
        let right = self.0.hashes.verify(password, stored);
        let Some(user) = user.filter(|_| right) else {
            return Err(AccessError::Wrong);
        };
        {
            let mut memory = self.0.memory.lock();
            memory.by_address.forgive(&address_key(address));
            memory.by_user.forgive(&name);
            // The password may have been changed while this one was checked.
            let same = |now: &User| now.password_hash == user.password_hash;
            if !memory.users.get(&name).is_some_and(same) {
                return Err(AccessError::Wrong);
            }
        }
        self.start_session(user, now)
    }

    /// Changes the password of the user of session `secret`, who must know the current one; other
    /// sessions of the user end.
    pub(crate) fn change_password(
        &self,
        secret: &SessionSecret,
        name: &str,
        current: &str,
        new: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let stored = {
            let mut memory = self.0.memory.lock();
            charge_try(&mut memory, address, Some(name), now)?;
            memory
                .users
                .get(name)
                .map(|user| user.password_hash.clone())
        };
        if !self.0.hashes.verify(current, stored.as_deref()) {
            return Err(AccessError::Wrong);
        }
        self.0.memory.lock().by_user.forgive(name);
        self.replace_password(name, new, Some(secret), now)
    }

    fn replace_password(
        &self,
        name: &str,
        password: &str,
        keep: Option<&SessionSecret>,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        check_password(password, name)?;
        let password_hash = self.0.hashes.hash(password)?;
        let _changing = self.0.changing.lock();
        let user = self.0.memory.lock().users.get(name).cloned();
        let Some(user) = user else {
            return Err(AccessError::NotFound(name.to_owned()));
        };
        let user = User {
            password_hash,
            password_changed: now,
            ..user
        };
        let keys = self.session_keys(name, keep);
        let value = to_json(&user);
        let mut changes = vec![StateChange::Put {
            collection: USERS,
            key: name,
            value: &value,
        }];
        changes.extend(keys.iter().map(|key| StateChange::Delete {
            collection: SESSIONS,
            key,
        }));
        self.0.store.apply(&changes)?;
        self.0.memory.lock().users.insert(name.to_owned(), user);
        self.forget_sessions(name, keep);
        Ok(())
    }

    /// Writes `user`; the caller holds `changing`.
    fn put_user(&self, user: &User) -> Result<(), AccessError> {
        let value = to_json(user);
        self.0.store.apply(&[StateChange::Put {
            collection: USERS,
            key: &user.name,
            value: &value,
        }])?;
        self.0
            .memory
            .lock()
            .users
            .insert(user.name.clone(), user.clone());
        Ok(())
    }
}
