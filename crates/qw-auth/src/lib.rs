//! Who may do what: users, roles, permissions, data scopes, sessions, API tokens, the setup token,
//! limits on guessing, and the chain of the audit log.
//!
//! Values in, values out: time comes in as an argument, storage is the caller's, and only the
//! operating system's randomness is read (through `getrandom`). What is kept of a secret is never
//! the secret itself: passwords become argon2id hashes, everything random becomes SHA-256.

mod audit;
mod data_scope;
mod limiter;
mod password;
mod permission;
mod scope;
mod secret;
mod session;
mod setup;
mod token;
mod user;

pub use audit::{AuditBroken, AuditBy, AuditDraft, AuditEntry, AuditHash, AuditHead, AuditOutcome};
pub use data_scope::{DataScope, DataScopeRefused, LabelMatch, MAX_SCOPE_PARTS};
pub use limiter::{Allowance, RateLimiter, address_key};
pub use password::{
    HashError, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS, PasswordHashes, PasswordRefused,
    check_password, generate_password,
};
pub use permission::{Permission, Permissions};
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{NoRandomness, Secret, SecretHash};
pub use session::{Session, SessionLimits, SessionSecret};
pub use setup::SetupToken;
pub use token::{
    ApiToken, MAX_TOKEN_ADDRESSES, NewToken, PresentedToken, TokenRefused, TokenUse,
    check_token_name,
};
pub use user::{
    MAX_USERNAME_BYTES, Origin, Role, UnknownRole, User, UsernameRefused, check_username,
};
