//! The flow: a browser is sent away, comes back with a code, and the code becomes an identity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openidconnect::{
    AccessTokenHash, AdditionalProviderMetadata, AuthType, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, IssuerUrl, JsonWebKeySet, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl,
    Scope, SignatureVerificationError, TokenResponse as _,
    core::{
        CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient,
        CoreClientAuthMethod, CoreGrantType, CoreIdToken, CoreIdTokenClaims, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
        CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType, CoreTokenResponse,
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qw_auth::Secret;
use qw_event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::{
    Config, ConfigError, Identity,
    attempts::{Attempt, Attempts},
    config::is_loopback,
    http_client::HttpClient,
    identity::{identify, is_complete},
};

/// What the provider says of itself is asked again after this long.
const KEEP: Duration = Duration::from_hours(1);

/// Keys are asked for again, because of a signature, at most this often.
const KEYS_EVERY: Duration = Duration::from_secs(10);

/// Longest texts that a callback may carry, in bytes.
const MAX_PARAMETER: usize = 4 << 10;

/// Signatures that prove something: never a shared secret, never none.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// A provider that people sign in through.
pub struct Provider {
    config: Config,
    secret: Option<Secret>,
    http: HttpClient,
    attempts: Attempts,
    known: Mutex<Option<Known>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.config.issuer)
            .finish_non_exhaustive()
    }
}

/// Where to send a browser that wants to sign in.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The provider's page.
    pub redirect: String,
    /// What the browser must bring back in a cookie of its own.
    pub browser: Secret,
}

/// What a browser brings back from the provider, in the query string.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Callback {
    /// The code.
    pub code: Option<String>,
    /// The state that [`Provider::begin`] gave out.
    pub state: Option<String>,
    /// The provider that answers (RFC 9207).
    pub iss: Option<String>,
    /// What went wrong at the provider.
    pub error: Option<String>,
    /// The same, for people.
    pub error_description: Option<String>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The sign-in is not known, was used already, took too long, or began in another browser.
    #[error("this sign-in is not known any more; begin again")]
    Attempt,
    /// The provider said no.
    #[error("the provider refused: {0}")]
    Provider(String),
    /// The callback carries too much or too little.
    #[error("the provider's answer has no `{0}` of a sensible length")]
    Parameter(&'static str),
    /// The answer comes from another provider than the one asked.
    #[error("the answer comes from another issuer")]
    Issuer,
    /// The provider could not be asked, or gave no sensible answer.
    #[error("cannot ask the provider for its {doing}: {why}")]
    Unreachable {
        /// What was asked for.
        doing: &'static str,
        /// What went wrong.
        why: String,
    },
    /// The provider did not take the code.
    #[error("the provider did not exchange the code: {0}")]
    Code(String),
    /// The ID token is missing or cannot be trusted.
    #[error("the provider's ID token is not to be trusted: {0}")]
    Token(String),
    /// A claim is missing or cannot be used.
    #[error("the claim `{0}` is missing or cannot be used")]
    Claim(String),
    /// No rule gives this person a role.
    #[error("no role is given to you here; ask an administrator")]
    NoRole,
}

impl Refused {
    /// Stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Provider(_) => "provider",
            Self::Parameter(_) => "parameter",
            Self::Issuer => "issuer",
            Self::Unreachable { .. } => "unreachable",
            Self::Code(_) => "code",
            Self::Token(_) => "token",
            Self::Claim(_) => "claim",
            Self::NoRole => "no_role",
        }
    }
}

/// What a provider says of itself beside the usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Extra {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

#[derive(Clone)]
struct Known {
    metadata: Metadata,
    asked: Timestamp,
    keys_asked: Timestamp,
}

/// Makes the crate's client from what is known; its type depends on which addresses are.
macro_rules! client {
    ($provider:expr, $metadata:expr) => {{
        let provider: &Provider = $provider;
        let metadata: Metadata = $metadata;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let only_in_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let secret = provider.secret.as_ref();
        CoreClient::from_provider_metadata(
            metadata,
            ClientId::new(provider.config.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.expose().to_owned())),
        )
        .set_auth_type(if only_in_body {
            AuthType::RequestBody
        } else {
            AuthType::BasicAuth
        })
        .set_redirect_uri(provider.redirect_url()?)
    }};
}

impl Provider {
    /// A provider as `config` describes it, with our `secret` there. Asks nothing yet.
    pub fn new(config: Config, secret: Option<Secret>) -> Result<Self, ConfigError> {
        let config = config.checked()?;
        let plain = config.issuer.starts_with("http://");
        let http = HttpClient::new(config.ca_file.as_deref(), plain)?;
        Ok(Self {
            config,
            secret,
            http,
            attempts: Attempts::default(),
            known: Mutex::new(None),
        })
    }

    /// What the button says.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The provider's issuer.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Begins a sign-in that is to end at `return_to`, a path of the console.
    pub async fn begin(&self, return_to: &str, now: Timestamp) -> Result<Begun, Refused> {
        let known = self.known(now).await?;
        let client = client!(self, known.metadata);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        );
        for scope in self.config.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        let browser = CsrfToken::new_random_len(32).secret().clone();
        self.attempts.put(
            state.secret().clone(),
            Attempt {
                browser: browser.clone(),
                nonce: nonce.secret().clone(),
                verifier: verifier.secret().clone(),
                began: now,
                return_to: local_path(return_to),
            },
        );
        Ok(Begun {
            redirect: url.to_string(),
            browser: Secret::new(browser),
        })
    }

    /// Ends a sign-in: `callback` is what the browser brings from the provider, `browser` its
    /// cookie.
    pub async fn finish(
        &self,
        callback: &Callback,
        browser: Option<&str>,
        now: Timestamp,
    ) -> Result<Identity, Refused> {
        let state = parameter("state", callback.state.as_deref())?;
        let attempt = self.attempts.take(state, now).ok_or(Refused::Attempt)?;
        // Both are random and used once, so the time it takes to compare them tells nothing.
        if browser != Some(attempt.browser.as_str()) {
            return Err(Refused::Attempt);
        }
        let known = self.known(now).await?;
        self.check_issuer(&known, callback)?;
        if let Some(error) = &callback.error {
            let why = callback.error_description.as_deref().unwrap_or(error);
            return Err(Refused::Provider(short(why)));
        }
        let code = parameter("code", callback.code.as_deref())?.to_owned();
        let tokens = self.exchange(&known, code, &attempt).await?;
        let (subject, mut claims) = self.verified(known.clone(), &tokens, &attempt, now).await?;
        if !is_complete(&self.config, &claims) {
            self.add_user_info(&known, &tokens, &subject, &mut claims)
                .await?;
        }
        let (username, role, scope) = identify(&self.config, &subject, &claims)?;
        Ok(Identity {
            issuer: self.config.issuer.clone(),
            subject,
            username,
            role,
            scope,
            may_be_created: self.config.create_users,
            logout_url: self.logout_url(&known),
            return_to: attempt.return_to,
        })
    }

    /// RFC 9207: a provider that names itself in the answer must be the one that was asked.
    fn check_issuer(&self, known: &Known, callback: &Callback) -> Result<(), Refused> {
        let extra = known.metadata.additional_metadata();
        match &callback.iss {
            Some(issuer) if *issuer != self.config.issuer => Err(Refused::Issuer),
            None if extra.authorization_response_iss_parameter_supported => Err(Refused::Issuer),
            _ => Ok(()),
        }
    }

    async fn exchange(
        &self,
        known: &Known,
        code: String,
        attempt: &Attempt,
    ) -> Result<CoreTokenResponse, Refused> {
        let client = client!(self, known.metadata.clone());
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| Refused::Code(short(&error.to_string())))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        request
            .request_async(&self.http)
            .await
            .map_err(|error| Refused::Code(short(&chain(&error))))
    }

    /// Subject and claims of a token that has passed every check.
    async fn verified(
        &self,
        known: Known,
        tokens: &CoreTokenResponse,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(String, Map<String, Value>), Refused> {
        let token = tokens
            .id_token()
            .ok_or_else(|| Refused::Token("there is none".to_owned()))?;
        match self.verify(&known, token, tokens, attempt, now) {
            Err(Untrusted::Signature(_)) => {}
            Err(Untrusted::Other(why)) => return Err(Refused::Token(why)),
            Ok(subject) => return Ok((subject, payload(token)?)),
        }
        // The provider may have changed its keys since we asked.
        let known = self.with_new_keys(known, now).await?;
        match self.verify(&known, token, tokens, attempt, now) {
            Ok(subject) => Ok((subject, payload(token)?)),
            Err(Untrusted::Signature(why) | Untrusted::Other(why)) => Err(Refused::Token(why)),
        }
    }

    fn verify(
        &self,
        known: &Known,
        token: &CoreIdToken,
        tokens: &CoreTokenResponse,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<String, Untrusted> {
        let other = |why: &str| Untrusted::Other(why.to_owned());
        let skew = Duration::from_secs(self.config.clock_skew_seconds);
        let (early, late) = (now.saturating_sub(skew), now.saturating_add(skew));
        // Times in tokens are whole seconds.
        let began = attempt.began.saturating_sub(skew);
        let began = system_time(began.floor_to(Duration::from_secs(1)));
        let late = system_time(late);
        let client = CoreClient::from_provider_metadata(
            known.metadata.clone(),
            ClientId::new(self.config.client_id.clone()),
            None,
        );
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || system_time(early).into())
            .set_issue_time_verifier_fn(move |issued| {
                let issued = SystemTime::from(issued);
                if issued > late {
                    Err("it was issued in the future".to_owned())
                } else if issued < began {
                    Err("it was issued before the sign-in began".to_owned())
                } else {
                    Ok(())
                }
            });
        let nonce = Nonce::new(attempt.nonce.clone());
        let claims: &CoreIdTokenClaims = token
            .claims(&verifier, &nonce)
            .map_err(Untrusted::from_crate)?;
        let azp = claims.authorized_party();
        if azp.is_some_and(|party| party.as_str() != self.config.client_id) {
            return Err(other("it was made for another client"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|_| other("it is not signed"))?;
            let key = token
                .signing_key(&verifier)
                .map_err(|_| other("its key is not known"))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)
                .map_err(|_| other("the access token's hash cannot be made"))?;
            if actual != *expected {
                return Err(other("it belongs to another access token"));
            }
        }
        Ok(claims.subject().as_str().to_owned())
    }

    /// Adds the claims that only the provider's user info has.
    async fn add_user_info(
        &self,
        known: &Known,
        tokens: &CoreTokenResponse,
        subject: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), Refused> {
        let Some(address) = known.metadata.userinfo_endpoint() else {
            return Ok(());
        };
        let wrong = |why: String| Refused::Unreachable {
            doing: "user info",
            why: short(&why),
        };
        let bearer = format!("Bearer {}", tokens.access_token().secret());
        let request = http::Request::get(address.as_str())
            .header(http::header::AUTHORIZATION, bearer)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|error| wrong(error.to_string()))?;
        let answer = self.http.ask(request).await;
        let answer = answer.map_err(|error| wrong(chain(&error)))?;
        if !answer.status().is_success() {
            return Err(wrong(answer.status().to_string()));
        }
        let told: Map<String, Value> = serde_json::from_slice(answer.body())
            .map_err(|_| wrong("it is no JSON object".to_owned()))?;
        // It is not signed; what ties it to the ID token is the subject (Core 1.0, section 5.3.2).
        if told.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(wrong("it speaks of somebody else".to_owned()));
        }
        for (name, value) in told {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// What the provider says of itself, as fresh as it needs to be.
    async fn known(&self, now: Timestamp) -> Result<Known, Refused> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && now.since(known.asked) < KEEP
        {
            return Ok(known.clone());
        }
        let wrong = |why: String| Refused::Unreachable {
            doing: "description",
            why: short(&why),
        };
        let issuer = IssuerUrl::new(self.config.issuer.clone());
        let issuer = issuer.map_err(|error| wrong(error.to_string()))?;
        let metadata = Metadata::discover_async(issuer, &self.http)
            .await
            .map_err(|error| wrong(chain(&error)))?;
        self.check_authorization_address(&metadata)?;
        let fresh = Known {
            metadata,
            asked: now,
            keys_asked: now,
        };
        *known = Some(fresh.clone());
        Ok(fresh)
    }

    /// Browsers carry secrets there, so it must be as safe as the issuer.
    fn check_authorization_address(&self, metadata: &Metadata) -> Result<(), Refused> {
        let url = metadata.authorization_endpoint().url();
        let plain_is_meant = self.config.issuer.starts_with("http://");
        let is_local = url.host_str().is_some_and(is_loopback);
        if url.scheme() == "https" || (url.scheme() == "http" && plain_is_meant && is_local) {
            return Ok(());
        }
        Err(Refused::Unreachable {
            doing: "description",
            why: "its authorisation address is not `https`".to_owned(),
        })
    }

    async fn with_new_keys(&self, mut known: Known, now: Timestamp) -> Result<Known, Refused> {
        let mut current = self.known.lock().await;
        if let Some(newer) = &*current
            && newer.keys_asked > known.keys_asked
        {
            return Ok(newer.clone());
        }
        if now.since(known.keys_asked) < KEYS_EVERY {
            return Ok(known);
        }
        let keys = JsonWebKeySet::fetch_async(known.metadata.jwks_uri(), &self.http)
            .await
            .map_err(|error| Refused::Unreachable {
                doing: "keys",
                why: short(&chain(&error)),
            })?;
        known.metadata = known.metadata.set_jwks(keys);
        known.keys_asked = now;
        *current = Some(known.clone());
        Ok(known)
    }

    /// RP-initiated logout: by our id, because ID tokens are not kept.
    fn logout_url(&self, known: &Known) -> Option<String> {
        let extra = known.metadata.additional_metadata();
        let endpoint = extra.end_session_endpoint.as_deref()?;
        let uri: http::Uri = endpoint.parse().ok()?;
        let local = self.config.issuer.starts_with("http://") && is_loopback(uri.host()?);
        if uri.scheme_str() != Some("https") && !local {
            return None;
        }
        let home = self
            .config
            .redirect_url
            .split("/api/")
            .next()
            .unwrap_or_default();
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!(
            "{endpoint}{separator}client_id={}&post_logout_redirect_uri={}",
            encode(&self.config.client_id),
            encode(&format!("{home}/")),
        ))
    }

    fn redirect_url(&self) -> Result<RedirectUrl, Refused> {
        RedirectUrl::new(self.config.redirect_url.clone()).map_err(|error| Refused::Unreachable {
            doing: "description",
            why: error.to_string(),
        })
    }
}

/// Why a token is not trusted.
enum Untrusted {
    /// No key that is known made its signature.
    Signature(String),
    Other(String),
}

impl Untrusted {
    fn from_crate(error: ClaimsVerificationError) -> Self {
        let why = short(&chain(&error));
        match error {
            ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::CryptoError(_)
                | SignatureVerificationError::AmbiguousKeyId(_),
            ) => Self::Signature(why),
            _ => Self::Other(why),
        }
    }
}

/// All claims of a token whose signature has been checked.
fn payload(token: &CoreIdToken) -> Result<Map<String, Value>, Refused> {
    let wrong = || Refused::Token("its claims cannot be read".to_owned());
    let text = token.to_string();
    let middle = text.split('.').nth(1).ok_or_else(wrong)?;
    let bytes = decode(middle).ok_or_else(wrong)?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

/// Base64url without padding (RFC 4648, section 5).
fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn parameter<'a>(name: &'static str, value: Option<&'a str>) -> Result<&'a str, Refused> {
    value
        .filter(|value| !value.is_empty() && value.len() <= MAX_PARAMETER)
        .ok_or(Refused::Parameter(name))
}

/// `path` when it is one of ours: it begins with one slash and names no other host.
fn local_path(path: &str) -> String {
    let second = path.as_bytes().get(1);
    let is_local = path.starts_with('/')
        && !matches!(second, Some(b'/' | b'\\'))
        && path.len() <= MAX_PARAMETER
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { path } else { "/" }.to_owned()
}

/// The first words of what a foreign system says.
fn short(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

fn system_time(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(time.as_nanos()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        assert_eq!(local_path(path), expected, "{path}");
    }

    #[test]
    fn browsers_are_sent_back_to_us_only() {
        check("/", "/");
        check("/events?query=rule%3Ashell", "/events?query=rule%3Ashell");
        check("", "/");
        check("events", "/");
        check("//evil.example", "/");
        check("/\\evil.example", "/");
        check("/a\\b", "/");
        check("https://evil.example", "/");
        check("/\nSet-Cookie: a=b", "/");
    }

    #[test]
    fn foreign_words_are_cut() {
        assert_eq!(short("a\nb"), "a b");
        assert_eq!(short(&"é".repeat(1_000)).chars().count(), 300);
    }
}
