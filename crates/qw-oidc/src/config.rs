//! What an operator says about the provider.

use std::{net::IpAddr, path::PathBuf};

use qw_auth::{DataScope, DataScopeRefused, Role, Secret};
use serde::{Deserialize, Serialize};

/// Longest secret read from a file, in bytes.
const MAX_SECRET_BYTES: usize = 4 << 10;

/// One provider, and who its people are here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The provider's issuer, exactly as it writes it, such as `https://id.example/realms/main`.
    /// Plain `http` is taken on loopback only.
    pub issuer: String,
    /// Our id at the provider.
    pub client_id: String,
    /// File that holds our secret; none for a public client.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Our own address that the provider sends browsers back to; ends with
    /// `/api/auth/oidc/callback`.
    pub redirect_url: String,
    /// What the button says.
    #[serde(default = "default_name")]
    pub name: String,
    /// What is asked for besides `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Claim that names the user here.
    #[serde(default = "default_username_claim")]
    pub username_claim: String,
    /// Claim with groups or roles, a text or a list; a path with dots reaches into objects, as
    /// `realm_access.roles`.
    #[serde(default = "default_roles_claim")]
    pub roles_claim: String,
    /// From groups to roles; the first rule that fits counts.
    #[serde(default)]
    pub roles: Vec<RoleRule>,
    /// Role of those whom no rule fits; without it they may not sign in.
    #[serde(default)]
    pub default_role: Option<Role>,
    /// False lets in only those who exist here already.
    #[serde(default = "yes")]
    pub create_users: bool,
    /// How far the provider's clock may be from ours, in seconds.
    #[serde(default = "default_skew")]
    pub clock_skew_seconds: u64,
    /// Authorities of the provider's certificate, PEM; the system's by default.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// From a group to a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// Value of the claim, whole and case-sensitive.
    pub value: String,
    /// The role it gives.
    pub role: Role,
    /// Whose data; everything when absent.
    #[serde(default)]
    pub scope: Option<DataScope>,
}

fn default_name() -> String {
    "Single sign-on".to_owned()
}

fn default_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

fn default_username_claim() -> String {
    "preferred_username".to_owned()
}

fn default_roles_claim() -> String {
    "groups".to_owned()
}

const fn default_skew() -> u64 {
    60
}

const fn yes() -> bool {
    true
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An address is none, or not one that keeps secrets.
    #[error("oidc `{key}`: {what}")]
    Address {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A rule's scope cannot be used.
    #[error("oidc `roles`, value `{value}`")]
    Scope {
        /// The rule's value.
        value: String,
        /// What is wrong.
        #[source]
        source: DataScopeRefused,
    },
    /// Administrators see everything.
    #[error("oidc `roles`, value `{0}`: an administrator cannot be confined to a scope")]
    ScopedAdmin(String),
    /// Nobody could sign in.
    #[error("oidc: neither `roles` nor `default_role` is set, so nobody could sign in")]
    Nobody,
    /// More than a day of skew would make old tokens good.
    #[error("oidc `clock_skew_seconds`: at most 600")]
    Skew,
    /// A file cannot be read.
    #[error("oidc `{key}`: cannot read `{path}`")]
    File {
        /// Which key.
        key: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file holds nothing useful.
    #[error("oidc `{key}`: `{path}`: {what}")]
    Content {
        /// Which key.
        key: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Config {
    /// Checks everything that can be checked without the provider, and puts scopes in order.
    pub fn checked(mut self) -> Result<Self, ConfigError> {
        check_address("issuer", &self.issuer)?;
        check_address("redirect_url", &self.redirect_url)?;
        if self.client_id.is_empty() {
            return Err(ConfigError::Address {
                key: "client_id",
                what: "it is empty".to_owned(),
            });
        }
        if self.clock_skew_seconds > 600 {
            return Err(ConfigError::Skew);
        }
        for rule in &mut self.roles {
            if rule.role == Role::Admin && rule.scope.is_some() {
                return Err(ConfigError::ScopedAdmin(rule.value.clone()));
            }
            if let Some(scope) = rule.scope.take() {
                let scope = scope.checked().map_err(|source| ConfigError::Scope {
                    value: rule.value.clone(),
                    source,
                })?;
                rule.scope = Some(scope);
            }
        }
        if self.roles.is_empty() && self.default_role.is_none() {
            return Err(ConfigError::Nobody);
        }
        Ok(self)
    }

    /// Reads the client's secret.
    pub fn client_secret(&self) -> Result<Option<Secret>, ConfigError> {
        let Some(path) = &self.client_secret_file else {
            return Ok(None);
        };
        let key = "client_secret_file";
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            key,
            path: path.clone(),
            source,
        })?;
        let secret = text.trim();
        if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
            return Err(ConfigError::Content {
                key,
                path: path.clone(),
                what: format!("it holds no secret of 1 to {MAX_SECRET_BYTES} bytes"),
            });
        }
        Ok(Some(Secret::new(secret)))
    }
}

fn check_address(key: &'static str, text: &str) -> Result<(), ConfigError> {
    let wrong = |what: &str| ConfigError::Address {
        key,
        what: format!("`{text}` {what}"),
    };
    let uri: http::Uri = text.parse().map_err(|_| wrong("is no address"))?;
    let host = uri.host().ok_or_else(|| wrong("names no host"))?;
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(host) => Ok(()),
        _ => Err(wrong("must be `https`; plain `http` is for loopback only")),
    }
}

/// True for `localhost` and addresses of this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config(issuer: &str) -> Config {
        serde_json::from_value(serde_json::json!({
            "issuer": issuer,
            "client_id": "quaywatch",
            "redirect_url": "https://quay.example/api/auth/oidc/callback",
            "roles": [
                { "value": "admins", "role": "admin" },
                { "value": "shop", "role": "analyst",
                  "scope": { "namespaces": ["shop"], "labels": ["team=shop"] } },
            ],
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(issuer: &str, good: bool) {
        assert_eq!(config(issuer).checked().is_ok(), good, "{issuer}");
    }

    #[test]
    fn addresses_keep_secrets() {
        check("https://id.example/realms/a", true);
        check("http://127.0.0.1:9400", true);
        check("http://localhost:9400", true);
        check("http://[::1]:9400", true);
        check("http://id.example", false);
        check("http://127.0.0.1.evil.example", false);
        check("ftp://id.example", false);
        check("id.example", false);
        check("", false);
    }

    #[test]
    fn what_would_let_nobody_or_too_many_in_is_refused() {
        let good = config("https://id.example");
        let nobody = Config {
            roles: Vec::new(),
            ..good.clone()
        };
        assert!(matches!(nobody.checked(), Err(ConfigError::Nobody)));
        let skewed = Config {
            clock_skew_seconds: 601,
            ..good.clone()
        };
        assert!(matches!(skewed.checked(), Err(ConfigError::Skew)));
        let mut scoped = good;
        scoped.roles[1].scope = Some(DataScope {
            namespaces: vec!["Not One".to_owned()],
            labels: Vec::new(),
        });
        assert!(matches!(scoped.checked(), Err(ConfigError::Scope { .. })));
    }

    #[test]
    fn unknown_keys_are_errors() {
        let text =
            r#"{"issuer":"https://a","client_id":"b","redirect_url":"https://c","secret":"x"}"#;
        assert!(serde_json::from_str::<Config>(text).is_err());
    }
}
