//! Who may do what: users, sessions, API tokens, the setup token, and limits on guessing.
//!
//! Values in, values out: time comes in as an argument, storage is the caller's, and only the
//! operating system's randomness is read (through `getrandom`). What is kept of a secret is never
//! the secret itself: passwords become argon2id hashes, everything random becomes SHA-256.

mod limiter;
mod password;
mod scope;
mod secret;
mod session;
mod setup;
mod token;
mod user;

pub use limiter::{Allowance, RateLimiter, address_key};
pub use password::{
    HashError, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS, PasswordHashes, PasswordRefused,
    check_password, generate_password,
};
pub use scope::{Scope, Scopes, UnknownScope};
pub use secret::{NoRandomness, Secret, SecretHash};
pub use session::{Session, SessionLimits, SessionSecret};
pub use setup::SetupToken;
pub use token::{ApiToken, NewToken, PresentedToken, TokenRefused, check_token_name};
pub use user::{MAX_USERNAME_BYTES, Role, User, UsernameRefused, check_username};
