//! Users, sessions and tokens of this process: kept in memory, written through to the store.
//!
//! Reading never touches the disk, so every request can be checked. Whatever changes who may do
//! what is on disk before it counts. Times of last use are written once a minute.

mod accounts;
mod audiences;
mod audit;
mod sessions;
mod tokens;
mod users;
mod visibility;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_auth::{
    Allowance, ApiToken, AuditHead, DataScope, DataScopeRefused, MAX_TOKEN_ADDRESSES,
    PasswordHashes, PasswordRefused, Permission, Permissions, RateLimiter, Secret, SecretHash,
    Session, SessionLimits, SessionSecret, SetupToken, TokenRefused, User, UsernameRefused,
    address_key,
};
use qw_event::Timestamp;
use qw_store::{StateStore, StoreError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use accounts::{NewUser, UserChange};
pub use audiences::audiences;
pub use audit::AuditOptions;
pub(crate) use audit::{Audit, AuditQuery};
pub(crate) use sessions::{LiveView, Visitor};
pub(crate) use visibility::Visibility;

use users::Users;

const USERS: &str = "users";
const SESSIONS: &str = "sessions";
const TOKENS: &str = "tokens";

/// Sessions one user may have; the one unused for longest makes room.
const SESSIONS_PER_USER: usize = 50;

/// Tokens there may be.
const MAX_TOKENS: usize = 1_000;

/// Entries in the audit log about new addresses of one token: every remembered one, and six an hour.
const NEW_ADDRESSES: Allowance = Allowance {
    burst: MAX_TOKEN_ADDRESSES as u32,
    refill: Duration::from_mins(10),
};

/// Users there may be.
const MAX_USERS: usize = 10_000;

/// Passwords hashed at the same time; each holds 19 MiB.
const CONCURRENT_HASHES: usize = 2;

/// Who may do what. Clones share it.
///
/// Calls that change something block on the store; call them where that is allowed.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    store: Arc<dyn StateStore>,
    hashes: PasswordHashes,
    options: AccessOptions,
    memory: Mutex<Memory>,
    /// Held while something is changed, so that changes reach disk and memory in the same order.
    changing: Mutex<()>,
    hashing: Semaphore,
}

/// How long sessions live, and how often something may be tried.
#[derive(Debug, Clone, Copy)]
pub struct AccessOptions {
    /// How long sessions live.
    pub sessions: SessionLimits,
    /// Tries to sign in, or to set up, from one address.
    pub sign_in_per_address: Allowance,
    /// Tries to sign in as one user.
    pub sign_in_per_user: Allowance,
    /// Requests of one session or token.
    pub requests: Allowance,
    /// How long and how much of the audit log is kept.
    pub audit: AuditOptions,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            sessions: SessionLimits::default(),
            sign_in_per_address: Allowance {
                burst: 20,
                refill: Duration::from_secs(6),
            },
            sign_in_per_user: Allowance {
                burst: 10,
                refill: Duration::from_secs(5),
            },
            requests: Allowance {
                burst: 600,
                refill: Duration::from_millis(5),
            },
            audit: AuditOptions::default(),
        }
    }
}

struct Memory {
    users: Users,
    sessions: BTreeMap<SecretHash, LiveSession>,
    tokens: BTreeMap<String, LiveToken>,
    setup: Option<SetupToken>,
    by_address: RateLimiter,
    by_user: RateLimiter,
    requests: RateLimiter,
    audit: AuditLog,
}

/// The end of the audit log, and what keeps it from being flooded.
struct AuditLog {
    head: AuditHead,
    /// Refusals that cost their sender nothing, by address.
    refusals: RateLimiter,
    /// Of these, how many are not in the log since the last that is.
    suppressed: u64,
    /// Uses of tokens from addresses that are not remembered, by token.
    new_addresses: RateLimiter,
    /// Of these, how many are not in the log since the last that is.
    untold_addresses: u64,
}

struct LiveSession {
    session: Session,
    /// Fires when the session ends before its time.
    ended: CancellationToken,
    /// When `last_used` was last written.
    written: Timestamp,
}

struct LiveToken {
    token: ApiToken,
    /// Fires when the token is revoked.
    ended: CancellationToken,
    written: Option<Timestamp>,
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) who: Who,
    /// User, or user who made the token.
    pub(crate) username: String,
    /// What the sender may do.
    pub(crate) permissions: Permissions,
    /// Whose data the sender may see; `None` for everything.
    pub(crate) scope: Option<Arc<DataScope>>,
    /// True for a token of the process itself.
    pub(crate) system: bool,
    /// Fires when the session or token is revoked, or may do something else from now on.
    pub(crate) ended: CancellationToken,
}

/// By what it proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// A signed-in user.
    Session(SessionSecret),
    /// An API token, by its id.
    Token(String),
}

impl Identity {
    pub(crate) fn allows(&self, permission: Permission) -> bool {
        self.permissions.allow(permission)
    }
}

/// A session that has just begun, or is asked about.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The cookie's secret.
    pub secret: SessionSecret,
    /// The user.
    pub user: User,
    /// When the session ends unless it is used.
    pub expires: Timestamp,
    /// Where to end the session at the provider that proved who the user is; empty for none.
    pub logout_url: String,
}

/// Why access could not be given or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Wrong name or password, or wrong setup token.
    #[error("the credentials are wrong")]
    Wrong,
    /// Tried too often; the next try is allowed after this long.
    #[error("tried too often")]
    Limited(Duration),
    /// The first user exists already.
    #[error("setup is done already")]
    SetUpAlready,
    /// A user of this name exists.
    #[error("the user `{0}` exists already")]
    UserExists(String),
    /// There is no such user, session or token.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// The last user who may change users must stay one.
    #[error("`{0}` is the last active administrator")]
    LastAdmin(String),
    /// There are as many users as there may be.
    #[error("there are {MAX_USERS} users; remove one first")]
    TooManyUsers,
    /// The user's identity is proved elsewhere.
    #[error("`{0}` signs in elsewhere and has no password here")]
    NoPasswordHere(String),
    /// The name belongs to somebody whose identity is proved elsewhere.
    #[error("the name `{0}` is taken here by another user")]
    NameTaken(String),
    /// Somebody whom nobody here knows, and who may not be let in for that.
    #[error("nobody here knows `{0}`; ask an administrator")]
    Unknown(String),
    /// The user may not sign in.
    #[error("`{0}` is disabled")]
    Disabled(String),
    /// Administrators see everything.
    #[error("an administrator cannot be confined to a scope")]
    ScopedAdmin,
    /// The scope cannot be used.
    #[error(transparent)]
    DataScope(#[from] DataScopeRefused),
    /// There are as many tokens as there may be.
    #[error("there are {MAX_TOKENS} tokens; revoke one first")]
    TooManyTokens,
    /// The name cannot be used.
    #[error(transparent)]
    Username(#[from] UsernameRefused),
    /// The password may not be chosen.
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    /// The token cannot be made.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The store failed.
    #[error("cannot keep users and tokens in the store")]
    Store(#[from] StoreError),
    /// What the store holds is not what was put there.
    #[error("`{collection}` in the store: entry `{key}` is damaged")]
    Damaged {
        /// Which collection.
        collection: &'static str,
        /// Which entry.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// No randomness, or no memory to hash with.
    #[error("cannot make a secret")]
    Secret(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<qw_auth::NoRandomness> for AccessError {
    fn from(error: qw_auth::NoRandomness) -> Self {
        Self::Secret(error.into())
    }
}

impl From<qw_auth::HashError> for AccessError {
    fn from(error: qw_auth::HashError) -> Self {
        Self::Secret(error.into())
    }
}

impl Access {
    /// Reads users, sessions and tokens from `store`.
    pub fn open(
        store: Arc<dyn StateStore>,
        hashes: PasswordHashes,
        options: AccessOptions,
    ) -> Result<Self, AccessError> {
        let memory = Memory {
            users: Users::default(),
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            setup: None,
            by_address: RateLimiter::new(options.sign_in_per_address, 10_000),
            by_user: RateLimiter::new(options.sign_in_per_user, 10_000),
            requests: RateLimiter::new(options.requests, 10_000),
            audit: AuditLog {
                head: audit::ends(&*store)?.0,
                refusals: RateLimiter::new(options.sign_in_per_address, 10_000),
                suppressed: 0,
                new_addresses: RateLimiter::new(NEW_ADDRESSES, MAX_TOKENS),
                untold_addresses: 0,
            },
        };
        let access = Self(Arc::new(Inner {
            store,
            hashes,
            options,
            memory: Mutex::new(memory),
            changing: Mutex::default(),
            hashing: Semaphore::new(CONCURRENT_HASHES),
        }));
        access.reload()?;
        Ok(access)
    }

    /// Reads everything from the store again, so that changes made by another process count;
    /// sessions and tokens that are gone from it end at once.
    pub fn reload(&self) -> Result<(), AccessError> {
        let _changing = self.0.changing.lock();
        let users = read::<User>(&*self.0.store, USERS)?;
        let sessions = read::<Session>(&*self.0.store, SESSIONS)?;
        let tokens = read::<ApiToken>(&*self.0.store, TOKENS)?;
        let mut memory = self.0.memory.lock();
        memory.users = users.into_iter().collect();
        let mut live = BTreeMap::new();
        for session in sessions {
            let entry = match memory.sessions.remove(&session.hash) {
                Some(known) => known,
                None => LiveSession {
                    written: session.last_used,
                    ended: CancellationToken::new(),
                    session,
                },
            };
            live.insert(entry.session.hash, entry);
        }
        for (_, gone) in std::mem::replace(&mut memory.sessions, live) {
            gone.ended.cancel();
        }
        let mut live = BTreeMap::new();
        for token in tokens {
            let entry = match memory.tokens.remove(&token.id) {
                Some(known) => known,
                None => LiveToken {
                    written: token.last_used,
                    ended: CancellationToken::new(),
                    token,
                },
            };
            live.insert(entry.token.id.clone(), entry);
        }
        for (_, gone) in std::mem::replace(&mut memory.tokens, live) {
            gone.ended.cancel();
        }
        Ok(())
    }

    /// Writes times of last use and removes what has expired. Call it once a minute and at the end.
    pub fn flush(&self, now: Timestamp) -> Result<(), AccessError> {
        self.flush_sessions(now)?;
        self.flush_tokens()?;
        self.expire_audit(now)
    }

    /// Counts a request of `who` at `now`; the error is how long to wait.
    pub(crate) fn charge_request(&self, who: &Identity, now: Timestamp) -> Result<(), Duration> {
        let key = match &who.who {
            Who::Session(secret) => secret.hash().to_text(),
            Who::Token(id) => id.clone(),
        };
        self.0.memory.lock().requests.try_now(&key, now)
    }

    /// Waits for a turn to hash a password.
    pub(crate) async fn turn_to_hash(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let turn = self.0.hashing.acquire();
        tokio::time::timeout(Duration::from_secs(5), turn)
            .await
            .ok()?
            .ok()
    }

    /// True while the session or token behind `identity` may be used.
    pub(crate) fn is_valid(&self, identity: &Identity, now: Timestamp) -> bool {
        let memory = self.0.memory.lock();
        match &identity.who {
            Who::Session(secret) => memory
                .sessions
                .get(&secret.hash())
                .is_some_and(|live| live.session.is_valid(&self.0.options.sessions, now)),
            Who::Token(id) => memory
                .tokens
                .get(id)
                .is_some_and(|live| !live.token.is_expired(now)),
        }
    }
}

impl Memory {
    /// Lets streams of the user `name`, and of tokens the user made, begin anew with other rights.
    fn renew_rights(&mut self, name: &str) {
        let sessions = self.sessions.values_mut();
        let sessions = sessions
            .filter(|live| live.session.username == name)
            .map(|live| &mut live.ended);
        let tokens = self.tokens.values_mut();
        let tokens = tokens
            .filter(|live| live.token.created_by == name && !live.token.system)
            .map(|live| &mut live.ended);
        for ended in sessions.chain(tokens) {
            std::mem::take(ended).cancel();
        }
    }

    /// Active administrators but `name`.
    fn other_admins(&self, name: &str) -> usize {
        self.users
            .values()
            .filter(|user| user.name != name && user.is_active_admin())
            .count()
    }
}

fn read<T: serde::de::DeserializeOwned>(
    store: &dyn StateStore,
    collection: &'static str,
) -> Result<Vec<T>, AccessError> {
    store
        .list(collection)?
        .into_iter()
        .map(|(key, value)| {
            serde_json::from_str(&value).map_err(|source| AccessError::Damaged {
                collection,
                key,
                source,
            })
        })
        .collect()
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("users, sessions and tokens have text keys only")
}

/// Counts a try to sign in from `address`, as `username` when one is given.
fn charge_try(
    memory: &mut Memory,
    address: IpAddr,
    username: Option<&str>,
    now: Timestamp,
) -> Result<(), AccessError> {
    memory
        .by_address
        .try_now(&address_key(address), now)
        .map_err(AccessError::Limited)?;
    if let Some(username) = username {
        // Names are cut: a key must not grow with what an unknown sender writes.
        let key: String = username.chars().take(64).collect();
        memory
            .by_user
            .try_now(&key, now)
            .map_err(AccessError::Limited)?;
    }
    Ok(())
}

/// Keeps a fresh setup token while there is no user.
impl Access {
    /// True while no user exists.
    pub fn setup_required(&self) -> bool {
        self.0.memory.lock().users.is_empty()
    }

    /// A fresh setup token while no user exists, to be printed at start; it replaces an earlier
    /// one.
    pub fn new_setup_token(&self) -> Result<Option<Secret>, AccessError> {
        let (token, secret) = SetupToken::generate()?;
        let mut memory = self.0.memory.lock();
        if !memory.users.is_empty() {
            return Ok(None);
        }
        memory.setup = Some(token);
        Ok(Some(secret))
    }
}
