//! Users: made, signed in, changed, removed.

use std::{net::IpAddr, sync::Arc};

use qw_auth::{
    DataScope, Origin, Role, Secret, SessionSecret, User, address_key, check_password,
    check_username, generate_password,
};
use qw_event::Timestamp;
use qw_store::StateChange;

use super::{
    Access, AccessError, Audit, MAX_USERS, SESSIONS, SignedIn, TOKENS, USERS, Visitor, charge_try,
    to_json,
};

/// A local user to be made.
pub(crate) struct NewUser {
    pub(crate) name: String,
    /// Made up when absent.
    pub(crate) password: Option<String>,
    pub(crate) role: Role,
    pub(crate) scope: Option<DataScope>,
}

/// What is to be different in a user; what is absent stays.
#[derive(Default)]
pub(crate) struct UserChange {
    pub(crate) role: Option<Role>,
    #[expect(
        clippy::option_option,
        reason = "absent, null and a scope are three things"
    )]
    pub(crate) scope: Option<Option<DataScope>>,
    pub(crate) disabled: Option<bool>,
    pub(crate) password: Option<String>,
}

impl UserChange {
    /// What is different, in words.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(role) = self.role {
            words.push(format!("role {role}"));
        }
        match &self.scope {
            None => {}
            Some(None) => words.push("scope everything".to_owned()),
            Some(Some(scope)) => words.push(format!("scope {}", scope_words(scope))),
        }
        match self.disabled {
            None => {}
            Some(true) => words.push("disabled".to_owned()),
            Some(false) => words.push("enabled".to_owned()),
        }
        if self.password.is_some() {
            words.push("password".to_owned());
        }
        words.join(", ")
    }
}

fn scope_words(scope: &DataScope) -> String {
    let namespaces = scope.namespaces.iter().map(|name| format!("ns:{name}"));
    let labels = scope.labels.iter().map(ToString::to_string);
    let words: Vec<String> = namespaces.chain(labels).collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(" ")
    }
}

impl Access {
    /// All users, by name.
    pub fn users(&self) -> Vec<User> {
        self.0.memory.lock().users.values().cloned().collect()
    }

    /// The user `name`.
    pub(crate) fn user(&self, name: &str) -> Option<User> {
        self.0.memory.lock().users.get(name).cloned()
    }

    /// Makes the user `name` for the process itself. Hashes a password, which takes about 20 ms.
    pub fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        now: Timestamp,
    ) -> Result<User, AccessError> {
        let new = NewUser {
            name: name.to_owned(),
            password: Some(password.to_owned()),
            role,
            scope: None,
        };
        self.add_user(new, &Audit::system(), now)
            .map(|(user, _)| user)
    }

    /// Makes a local user; a password that was made up is told here and never again.
    pub(crate) fn add_user(
        &self,
        new: NewUser,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(User, Option<Secret>), AccessError> {
        let name = check_username(&new.name)?;
        audit.action("user.create", &name);
        let scope = checked_scope(new.role, new.scope)?;
        let (password_hash, told) = match new.password {
            Some(password) => {
                check_password(&password, &name)?;
                (self.0.hashes.hash(&password)?, None)
            }
            None => {
                let password = generate_password()?;
                (self.0.hashes.hash(password.expose())?, Some(password))
            }
        };
        let user = User {
            scope,
            ..User::local(name, new.role, password_hash, now)
        };
        let scope = user.scope.as_ref().map(scope_words);
        audit.detail(match scope {
            None => format!("role {}", user.role),
            Some(scope) => format!("role {}, scope {scope}", user.role),
        });
        let _changing = self.0.changing.lock();
        {
            let memory = self.0.memory.lock();
            if memory.users.contains_key(&user.name) {
                return Err(AccessError::UserExists(user.name));
            }
            if memory.users.len() >= MAX_USERS {
                return Err(AccessError::TooManyUsers);
            }
        }
        self.put_user(&user, audit, now)?;
        Ok((user, told))
    }

    /// Changes the user `name`. New rights count at once, also for the user's tokens and streams;
    /// a new password and being disabled end the user's sessions.
    pub(crate) fn change_user(
        &self,
        name: &str,
        change: UserChange,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<User, AccessError> {
        audit.action("user.change", name);
        audit.detail(change.words());
        let missing = || AccessError::NotFound(name.to_owned());
        let before = self.user(name).ok_or_else(missing)?;
        let password_hash = match &change.password {
            None => None,
            Some(_) if before.origin != Origin::Local => {
                return Err(AccessError::NoPasswordHere(name.to_owned()));
            }
            Some(password) => {
                check_password(password, name)?;
                Some(self.0.hashes.hash(password)?)
            }
        };
        let _changing = self.0.changing.lock();
        let mut user = self.user(name).ok_or_else(missing)?;
        let ends_sessions = password_hash.is_some() || change.disabled == Some(true);
        if let Some(role) = change.role {
            user.role = role;
        }
        if let Some(scope) = change.scope {
            user.scope = scope;
        }
        user.scope = checked_scope(user.role, user.scope)?;
        if let Some(disabled) = change.disabled {
            user.disabled = disabled;
        }
        if let Some(hash) = password_hash {
            user.password_hash = hash;
            user.password_changed = now;
        }
        self.keep_an_admin(name, user.is_active_admin())?;
        let keys = if ends_sessions {
            self.session_keys(name, None)
        } else {
            Vec::new()
        };
        let value = to_json(&user);
        let mut changes = vec![StateChange::Put {
            collection: USERS,
            key: name,
            value: &value,
        }];
        changes.extend(delete(SESSIONS, &keys));
        self.commit(&changes, audit, now)?;
        if ends_sessions {
            self.forget_sessions(name, None);
        }
        let mut memory = self.0.memory.lock();
        memory.users.put(user.clone());
        memory.renew_rights(name);
        Ok(user)
    }

    /// Removes the user `name` with all sessions and tokens; the last administrator stays.
    pub(crate) fn remove_user(
        &self,
        name: &str,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        audit.action("user.delete", name);
        let _changing = self.0.changing.lock();
        if self.user(name).is_none() {
            return Err(AccessError::NotFound(name.to_owned()));
        }
        self.keep_an_admin(name, false)?;
        let sessions = self.session_keys(name, None);
        let tokens = self.token_ids_of(name);
        let mut changes = vec![StateChange::Delete {
            collection: USERS,
            key: name,
        }];
        changes.extend(delete(SESSIONS, &sessions));
        // Somebody else may get the name one day.
        changes.extend(delete(TOKENS, &tokens));
        self.commit(&changes, audit, now)?;
        self.0.memory.lock().users.remove(name);
        self.forget_sessions(name, None);
        self.forget_tokens(&tokens);
        Ok(())
    }

    /// Makes the first user for whoever holds the setup token, and signs in.
    pub(crate) fn set_up(
        &self,
        token: &str,
        name: &str,
        password: &str,
        visitor: &Visitor,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        audit.action("setup", "");
        {
            let mut memory = self.0.memory.lock();
            if !memory.users.is_empty() {
                return Err(AccessError::SetUpAlready);
            }
            charge_try(&mut memory, visitor.address, None, now)?;
            if !memory.setup.is_some_and(|setup| setup.accepts(token)) {
                return Err(AccessError::Wrong);
            }
        }
        let name = check_username(name)?;
        check_password(password, &name)?;
        let user = User::local(name, Role::Admin, self.0.hashes.hash(password)?, now);
        let _changing = self.0.changing.lock();
        if !self.0.memory.lock().users.is_empty() {
            return Err(AccessError::SetUpAlready);
        }
        audit.action("setup", &user.name);
        let signed_in = self.begin(user, String::new(), visitor, audit, now)?;
        self.0.memory.lock().setup = None;
        Ok(signed_in)
    }

    /// Signs `name` in. A name that does not exist takes as long as a wrong password.
    pub(crate) fn sign_in(
        &self,
        name: &str,
        password: &str,
        visitor: &Visitor,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        let name = name.trim().to_ascii_lowercase();
        audit.action("session.begin", "");
        let user = {
            let mut memory = self.0.memory.lock();
            charge_try(&mut memory, visitor.address, Some(&name), now)?;
            memory.users.get(&name).cloned()
        };
        // What is no user's name may be a password typed into the wrong place.
        audit.action(
            "session.begin",
            user.as_ref().map_or("unknown user", |user| &user.name),
        );
        let stored = user.as_ref().and_then(User::usable_hash);
        let right = self.0.hashes.verify(password, stored);
        let Some(user) = user.filter(|_| right) else {
            return Err(AccessError::Wrong);
        };
        self.forgive(visitor.address, &name);
        let _changing = self.0.changing.lock();
        // Password and rights may have been changed while this one was checked.
        let current = self.user(&name);
        let Some(current) = current.filter(|now| now.usable_hash() == user.usable_hash()) else {
            return Err(AccessError::Wrong);
        };
        self.begin(current, String::new(), visitor, audit, now)
    }

    /// Signs in whom a provider has proved; role and scope are as the provider says now. Makes the
    /// user at the first sign-in, when that is allowed.
    pub(crate) fn sign_in_proved(
        &self,
        proved: qw_oidc::Identity,
        visitor: &Visitor,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<SignedIn, AccessError> {
        let origin = Origin::Oidc {
            issuer: proved.issuer,
            subject: proved.subject,
        };
        audit.action("session.begin", &proved.username);
        let scope = checked_scope(proved.role, proved.scope)?;
        let _changing = self.0.changing.lock();
        let known = {
            let memory = self.0.memory.lock();
            let known = memory.users.values().find(|user| user.origin == origin);
            match known {
                Some(user) => Some(user.clone()),
                None if memory.users.contains_key(&proved.username) => {
                    return Err(AccessError::NameTaken(proved.username));
                }
                None if !proved.may_be_created => {
                    return Err(AccessError::Unknown(proved.username));
                }
                None if memory.users.len() >= MAX_USERS => return Err(AccessError::TooManyUsers),
                None => None,
            }
        };
        let user = match known {
            Some(user) if user.disabled => return Err(AccessError::Disabled(user.name)),
            Some(user) => {
                audit.action("session.begin", &user.name);
                if user.role != proved.role || user.scope != scope {
                    audit.detail(format!("role now {}", proved.role));
                }
                User {
                    role: proved.role,
                    scope,
                    ..user
                }
            }
            None => {
                audit.detail(format!("first sign-in, role {}", proved.role));
                User {
                    scope,
                    origin,
                    ..User::local(proved.username, proved.role, String::new(), now)
                }
            }
        };
        self.keep_an_admin(&user.name, user.is_active_admin())?;
        let name = user.name.clone();
        let changed = self
            .user(&name)
            .is_some_and(|before| before.role != user.role || before.scope != user.scope);
        let logout_url = proved.logout_url.unwrap_or_default();
        let signed_in = self.begin(user, logout_url, visitor, audit, now)?;
        if changed {
            self.0.memory.lock().renew_rights(&name);
        }
        Ok(signed_in)
    }

    /// Counts a try to sign in through a provider.
    pub(crate) fn charge_sign_in(
        &self,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        charge_try(&mut self.0.memory.lock(), address, None, now)
    }

    /// Changes the password of the user of session `secret`, who must know the current one; other
    /// sessions of the user end.
    #[expect(clippy::too_many_arguments, reason = "each is another thing")]
    pub(crate) fn change_password(
        &self,
        secret: &SessionSecret,
        name: &str,
        current: &str,
        new: &str,
        address: IpAddr,
        audit: &Audit,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        audit.action("user.password", name);
        let user = {
            let mut memory = self.0.memory.lock();
            charge_try(&mut memory, address, Some(name), now)?;
            memory.users.get(name).cloned()
        };
        if user
            .as_ref()
            .is_some_and(|user| user.origin != Origin::Local)
        {
            return Err(AccessError::NoPasswordHere(name.to_owned()));
        }
        let stored = user.as_ref().and_then(User::usable_hash);
        if !self.0.hashes.verify(current, stored) {
            return Err(AccessError::Wrong);
        }
        self.0.memory.lock().by_user.forgive(name);
        check_password(new, name)?;
        let password_hash = self.0.hashes.hash(new)?;
        let _changing = self.0.changing.lock();
        let Some(user) = self.user(name) else {
            return Err(AccessError::NotFound(name.to_owned()));
        };
        let user = User {
            password_hash,
            password_changed: now,
            ..user
        };
        let keys = self.session_keys(name, Some(secret));
        let value = to_json(&user);
        let mut changes = vec![StateChange::Put {
            collection: USERS,
            key: name,
            value: &value,
        }];
        changes.extend(delete(SESSIONS, &keys));
        self.commit(&changes, audit, now)?;
        self.0.memory.lock().users.put(user);
        self.forget_sessions(name, Some(secret));
        Ok(())
    }

    /// Refuses to let the last active administrator go; `stays` is whether `name` will be one.
    fn keep_an_admin(&self, name: &str, stays: bool) -> Result<(), AccessError> {
        let memory = self.0.memory.lock();
        let was = memory.users.get(name).is_some_and(User::is_active_admin);
        if was && !stays && memory.other_admins(name) == 0 {
            return Err(AccessError::LastAdmin(name.to_owned()));
        }
        Ok(())
    }

    fn forgive(&self, address: IpAddr, name: &str) {
        let mut memory = self.0.memory.lock();
        memory.by_address.forgive(&address_key(address));
        memory.by_user.forgive(name);
    }

    /// Writes `user`; the caller holds `changing`.
    fn put_user(&self, user: &User, audit: &Audit, now: Timestamp) -> Result<(), AccessError> {
        let value = to_json(user);
        let change = StateChange::Put {
            collection: USERS,
            key: &user.name,
            value: &value,
        };
        self.commit(&[change], audit, now)?;
        let mut memory = self.0.memory.lock();
        memory.users.put(user.clone());
        Ok(())
    }
}

/// The scope of a user with `role`, checked.
fn checked_scope(role: Role, scope: Option<DataScope>) -> Result<Option<DataScope>, AccessError> {
    match scope {
        Some(_) if role == Role::Admin => Err(AccessError::ScopedAdmin),
        Some(scope) => Ok(Some(scope.checked()?)),
        None => Ok(None),
    }
}

/// The scope of `user`, to be shared.
pub(super) fn shared_scope(user: &User) -> Option<Arc<DataScope>> {
    user.scope.clone().map(Arc::new)
}

fn delete<'a>(
    collection: &'static str,
    keys: &'a [String],
) -> impl Iterator<Item = StateChange<'a>> {
    keys.iter()
        .map(move |key| StateChange::Delete { collection, key })
}
