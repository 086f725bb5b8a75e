//! Sign-in through an OpenID Connect provider: authorisation code flow with PKCE.
//!
//! [`Provider::begin`] gives the address to send a browser to, [`Provider::finish`] turns what the
//! browser brings back into an [`Identity`] with a role. Everything that comes from outside is
//! bounded and checked: state and browser, issuer, audience, signature, times, nonce, and the hash
//! of the access token (OpenID Connect Core 1.0, RFC 7636, RFC 9207). Time is an argument.

mod attempts;
mod config;
mod http_client;
mod identity;
mod provider;

pub use config::{Config, ConfigError, RoleRule};
pub use identity::Identity;
pub use provider::{Begun, Callback, Provider, Refused};
