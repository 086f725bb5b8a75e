//! A provider that conforms, and then one that does not, in every way that we know of.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use openidconnect::{
    JsonWebKeyId, PkceCodeChallenge, PkceCodeVerifier, PrivateSigningKey as _,
    core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm},
};
use qw_auth::{Role, Secret};
use qw_event::Timestamp;
use qw_oidc::{Begun, Callback, Config, Identity, Provider, Refused};
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What the provider does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    None,
    Nonce,
    NoNonce,
    Audience,
    ExtraAudience,
    OtherParty,
    Expired,
    Future,
    BeforeWeAsked,
    TokenIssuer,
    NoSignature,
    SharedSecret,
    ForeignKey,
    ForeignKeySameName,
    NoToken,
    AccessTokenHash,
    GiantToken,
    Redirect,
    DiscoveryIssuer,
    GiantDiscovery,
    PlainAuthorization,
    OtherSubjectInUserInfo,
}

struct Fake {
    issuer: String,
    trick: Mutex<Trick>,
    /// Seed of the key that signs.
    seed: Mutex<u8>,
    claims: Mutex<Map<String, Value>>,
    user_info: Mutex<Option<Map<String, Value>>>,
    /// Nonce and challenge of the sign-in on its way.
    asked: Mutex<(String, String)>,
    keys_asked: AtomicUsize,
    names_itself: Mutex<bool>,
}

impl Fake {
    fn trick(&self) -> Trick {
        *self.trick.lock().unwrap()
    }
}

fn key(seed: u8, name: &str) -> CoreEdDsaPrivateSigningKey {
    // PKCS#8 of an Ed25519 key (RFC 8410): a fixed head and 32 bytes.
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let der: Vec<u8> = head.into_iter().chain([seed; 32]).collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der)
    );
    let name = JsonWebKeyId::new(name.to_owned());
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(name)).unwrap()
}

async fn start() -> Arc<Fake> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Arc::new(Fake {
        issuer: format!("http://{}", listener.local_addr().unwrap()),
        trick: Mutex::new(Trick::None),
        seed: Mutex::new(1),
        claims: Mutex::new(
            json!({ "preferred_username": "ada", "groups": ["admins"] })
                .as_object()
                .unwrap()
                .clone(),
        ),
        user_info: Mutex::new(None),
        asked: Mutex::default(),
        keys_asked: AtomicUsize::new(0),
        names_itself: Mutex::new(false),
    });
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .route("/user", get(user_info))
        .with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    fake
}

async fn discovery(State(fake): State<Arc<Fake>>) -> Json<Value> {
    let issuer = &fake.issuer;
    let trick = fake.trick();
    let mut told = json!({
        "issuer": if trick == Trick::DiscoveryIssuer { "http://127.0.0.1:1" } else { issuer },
        "authorization_endpoint": if trick == Trick::PlainAuthorization {
            "http://id.example/authorize".to_owned()
        } else {
            format!("{issuer}/authorize")
        },
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "authorization_response_iss_parameter_supported": *fake.names_itself.lock().unwrap(),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    });
    if fake.user_info.lock().unwrap().is_some() {
        told["userinfo_endpoint"] = format!("{issuer}/user").into();
    }
    if trick == Trick::GiantDiscovery {
        told["padding"] = "x".repeat(2 << 20).into();
    }
    Json(told)
}

async fn keys(State(fake): State<Arc<Fake>>) -> Json<Value> {
    fake.keys_asked.fetch_add(1, Relaxed);
    let seed = *fake.seed.lock().unwrap();
    let public = key(seed, &format!("key-{seed}")).as_verification_key();
    Json(json!({ "keys": [public] }))
}

async fn token(
    State(fake): State<Arc<Fake>>,
    headers: HeaderMap,
    Form(form): Form<Map<String, Value>>,
) -> Response {
    let text = |name: &str| {
        form.get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (nonce, challenge) = fake.asked.lock().unwrap().clone();
    let verifier = PkceCodeVerifier::new(text("code_verifier"));
    let made = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("quaywatch:our-secret"));
    let known = headers
        .get("authorization")
        .is_some_and(|value| value == basic.as_str());
    if made.as_str() != challenge || text("code") != "good" || !known {
        let problem = json!({ "error": "invalid_grant", "error_description": "no such code" });
        return (StatusCode::BAD_REQUEST, Json(problem)).into_response();
    }
    let trick = fake.trick();
    if trick == Trick::Redirect {
        let place = [("location", format!("{}/keys", fake.issuer))];
        return (StatusCode::TEMPORARY_REDIRECT, place).into_response();
    }
    let mut answer = json!({ "access_token": "access", "token_type": "Bearer", "expires_in": 60 });
    if trick != Trick::NoToken {
        answer["id_token"] = id_token(&fake, trick, &nonce).into();
    }
    if trick == Trick::GiantToken {
        answer["padding"] = "x".repeat(2 << 20).into();
    }
    Json(answer).into_response()
}

fn id_token(fake: &Fake, trick: Trick, nonce: &str) -> String {
    let now = NOW.as_seconds();
    let (issued, expires) = match trick {
        Trick::Expired => (now, now - 61),
        Trick::Future => (now + 61, now + 600),
        Trick::BeforeWeAsked => (now - 61, now + 600),
        _ => (now + 59, now + 300),
    };
    let mut claims = json!({
        "iss": if trick == Trick::TokenIssuer { "http://127.0.0.1:1" } else { &fake.issuer },
        "sub": "subject-1",
        "aud": match trick {
            Trick::Audience => json!("somebody-else"),
            Trick::ExtraAudience => json!(["quaywatch", "somebody-else"]),
            _ => json!(["quaywatch"]),
        },
        "iat": issued,
        "exp": expires,
        "nonce": if trick == Trick::Nonce { "another" } else { nonce },
    });
    let object = claims.as_object_mut().unwrap();
    if trick == Trick::NoNonce {
        object.remove("nonce");
    }
    if trick == Trick::OtherParty {
        object.insert("azp".to_owned(), "somebody-else".into());
    }
    if trick == Trick::AccessTokenHash {
        object.insert("at_hash".to_owned(), "AAAAAAAAAAAAAAAAAAAAAA".into());
    }
    object.extend(fake.claims.lock().unwrap().clone());
    let seed = *fake.seed.lock().unwrap();
    let name = match trick {
        Trick::ForeignKey => "key-99".to_owned(),
        _ => format!("key-{seed}"),
    };
    let algorithm = match trick {
        Trick::NoSignature => "none",
        Trick::SharedSecret => "HS256",
        _ => "EdDSA",
    };
    let head = json!({ "alg": algorithm, "kid": name, "typ": "JWT" });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let seed = match trick {
        Trick::ForeignKey | Trick::ForeignKeySameName => 99,
        _ => seed,
    };
    let signature = match trick {
        Trick::NoSignature => Vec::new(),
        // Whatever it is: no shared secret is taken at all.
        Trick::SharedSecret => vec![7; 32],
        _ => key(seed, &name)
            .sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes())
            .unwrap(),
    };
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

async fn user_info(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|value| value != "Bearer access")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut told = fake.user_info.lock().unwrap().clone().unwrap_or_default();
    let subject = match fake.trick() {
        Trick::OtherSubjectInUserInfo => "subject-2",
        _ => "subject-1",
    };
    told.insert("sub".to_owned(), subject.into());
    Json(told).into_response()
}

fn provider(fake: &Fake) -> Provider {
    let config: Config = serde_json::from_value(json!({
        "issuer": fake.issuer,
        "client_id": "quaywatch",
        "redirect_url": "https://quay.example/api/auth/oidc/callback",
        "scopes": ["openid", "profile", "groups"],
        "roles": [
            { "value": "admins", "role": "admin" },
            { "value": "shop", "role": "analyst", "scope": { "namespaces": ["shop"] } },
        ],
    }))
    .unwrap();
    Provider::new(config, Some(Secret::new("our-secret"))).unwrap()
}

/// What the provider's page does when somebody proves who they are.
fn at_the_provider(fake: &Fake, begun: &Begun) -> Callback {
    let uri: Uri = begun.redirect.parse().unwrap();
    let query = uri.query().unwrap();
    let value = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
            .unwrap_or_else(|| panic!("no `{name}` in {query}"))
            .to_owned()
    };
    assert_eq!(value("response_type"), "code");
    assert_eq!(value("client_id"), "quaywatch");
    assert_eq!(value("code_challenge_method"), "S256");
    assert_eq!(value("scope"), "openid+profile+groups");
    *fake.asked.lock().unwrap() = (value("nonce"), value("code_challenge"));
    Callback {
        code: Some("good".to_owned()),
        state: Some(value("state")),
        ..Callback::default()
    }
}

async fn sign_in(fake: &Fake, provider: &Provider) -> Result<Identity, Refused> {
    let begun = provider.begin("/events", NOW).await?;
    let callback = at_the_provider(fake, &begun);
    let browser = Some(begun.browser.expose());
    provider.finish(&callback, browser, NOW).await
}

#[tokio::test]
async fn a_code_becomes_an_identity() {
    let fake = start().await;
    let provider = provider(&fake);
    let found = sign_in(&fake, &provider).await.unwrap();
    assert_eq!(found.issuer, fake.issuer);
    assert_eq!(found.subject, "subject-1");
    assert_eq!(found.username, "ada");
    assert_eq!((found.role, &found.scope), (Role::Admin, &None));
    assert!(found.may_be_created);
    assert_eq!(found.return_to, "/events");
    assert_eq!(
        found.logout_url.unwrap(),
        format!(
            "{}/logout?client_id=quaywatch&post_logout_redirect_uri=https%3A%2F%2Fquay.example%2F",
            fake.issuer
        )
    );
}

#[tokio::test]
async fn every_trick_is_refused_and_the_next_honest_answer_is_taken() {
    let fake = start().await;
    for (trick, code) in [
        (Trick::Nonce, "token"),
        (Trick::NoNonce, "token"),
        (Trick::Audience, "token"),
        (Trick::ExtraAudience, "token"),
        (Trick::OtherParty, "token"),
        (Trick::Expired, "token"),
        (Trick::Future, "token"),
        (Trick::BeforeWeAsked, "token"),
        (Trick::TokenIssuer, "token"),
        (Trick::NoSignature, "token"),
        (Trick::SharedSecret, "token"),
        (Trick::ForeignKey, "token"),
        (Trick::ForeignKeySameName, "token"),
        (Trick::NoToken, "token"),
        (Trick::AccessTokenHash, "token"),
        (Trick::GiantToken, "code"),
        (Trick::Redirect, "code"),
        (Trick::DiscoveryIssuer, "unreachable"),
        (Trick::GiantDiscovery, "unreachable"),
        (Trick::PlainAuthorization, "unreachable"),
    ] {
        let provider = provider(&fake);
        *fake.trick.lock().unwrap() = trick;
        let refused = sign_in(&fake, &provider)
            .await
            .expect_err(&format!("{trick:?}"));
        assert_eq!(refused.code(), code, "{trick:?}: {refused}");
        *fake.trick.lock().unwrap() = Trick::None;
        sign_in(&fake, &provider).await.expect("honest again");
    }
}

#[tokio::test]
async fn a_sign_in_belongs_to_one_browser_and_is_used_once() {
    let fake = start().await;
    let provider = provider(&fake);
    let attempt = |refused: Result<Identity, Refused>| refused.unwrap_err().code();
    let begun = provider.begin("/", NOW).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    let other = provider.begin("/", NOW).await.unwrap();
    let foreign = Some(other.browser.expose());
    assert_eq!(
        attempt(provider.finish(&callback, foreign, NOW).await),
        "attempt"
    );
    // The wrong browser has used it up.
    let own = Some(begun.browser.expose());
    assert_eq!(
        attempt(provider.finish(&callback, own, NOW).await),
        "attempt"
    );

    let begun = provider.begin("/", NOW).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    assert_eq!(
        attempt(provider.finish(&callback, None, NOW).await),
        "attempt"
    );

    let begun = provider.begin("/", NOW).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    let own = Some(begun.browser.expose());
    provider.finish(&callback, own, NOW).await.unwrap();
    assert_eq!(
        attempt(provider.finish(&callback, own, NOW).await),
        "attempt"
    );

    let begun = provider.begin("/", NOW).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    let own = Some(begun.browser.expose());
    let late = NOW.saturating_add(std::time::Duration::from_mins(10));
    assert_eq!(
        attempt(provider.finish(&callback, own, late).await),
        "attempt"
    );
}

#[tokio::test]
async fn a_code_without_its_verifier_is_worth_nothing() {
    let fake = start().await;
    let provider = provider(&fake);
    let begun = provider.begin("/", NOW).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    // The code was asked for with another challenge.
    fake.asked.lock().unwrap().1 = "somebody-elses-challenge".to_owned();
    let refused = provider
        .finish(&callback, Some(begun.browser.expose()), NOW)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "code");
    assert!(refused.to_string().contains("no such code"), "{refused}");
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_a_mix_up() {
    let fake = start().await;
    *fake.names_itself.lock().unwrap() = true;
    let provider = provider(&fake);
    for (issuer, expected) in [
        (Some(fake.issuer.clone()), Ok(())),
        (Some("https://evil.example".to_owned()), Err("issuer")),
        (None, Err("issuer")),
    ] {
        let begun = provider.begin("/", NOW).await.unwrap();
        let callback = Callback {
            iss: issuer,
            ..at_the_provider(&fake, &begun)
        };
        let own = Some(begun.browser.expose());
        let found = provider.finish(&callback, own, NOW).await;
        let found = found.map(|_| ()).map_err(|refused| refused.code());
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn new_keys_are_asked_for_when_a_signature_needs_them() {
    let fake = start().await;
    let provider = provider(&fake);
    sign_in(&fake, &provider).await.unwrap();
    assert_eq!(fake.keys_asked.load(Relaxed), 1);
    *fake.seed.lock().unwrap() = 2;
    // Keys were asked for this very second.
    assert_eq!(sign_in(&fake, &provider).await.unwrap_err().code(), "token");
    let later = NOW.saturating_add(std::time::Duration::from_secs(11));
    let begun = provider.begin("/", later).await.unwrap();
    let callback = at_the_provider(&fake, &begun);
    let own = Some(begun.browser.expose());
    provider.finish(&callback, own, later).await.unwrap();
    assert_eq!(fake.keys_asked.load(Relaxed), 2);
    // And a foreign key does not make us ask again and again.
    *fake.trick.lock().unwrap() = Trick::ForeignKey;
    for _ in 0..5 {
        let begun = provider.begin("/", later).await.unwrap();
        let callback = at_the_provider(&fake, &begun);
        let own = Some(begun.browser.expose());
        provider.finish(&callback, own, later).await.unwrap_err();
    }
    assert_eq!(fake.keys_asked.load(Relaxed), 2);
}

#[tokio::test]
async fn claims_that_only_the_user_info_has_count() {
    let fake = start().await;
    fake.claims.lock().unwrap().clear();
    let told = json!({ "preferred_username": "grace", "groups": ["shop"] });
    *fake.user_info.lock().unwrap() = told.as_object().cloned();
    let provider = provider(&fake);
    let found = sign_in(&fake, &provider).await.unwrap();
    assert_eq!(
        (found.username.as_str(), found.role),
        ("grace", Role::Analyst)
    );
    assert_eq!(found.scope.unwrap().namespaces, ["shop"]);
    *fake.trick.lock().unwrap() = Trick::OtherSubjectInUserInfo;
    let refused = sign_in(&fake, &provider).await.unwrap_err();
    assert!(refused.to_string().contains("somebody else"), "{refused}");
}

#[tokio::test]
async fn people_without_a_role_and_providers_that_say_no() {
    let fake = start().await;
    let provider = provider(&fake);
    fake.claims
        .lock()
        .unwrap()
        .insert("groups".to_owned(), json!(["guests"]));
    assert_eq!(
        sign_in(&fake, &provider).await.unwrap_err().code(),
        "no_role"
    );
    let begun = provider.begin("/", NOW).await.unwrap();
    let denied = Callback {
        code: None,
        error: Some("access_denied".to_owned()),
        error_description: Some("not today\u{7}".to_owned()),
        ..at_the_provider(&fake, &begun)
    };
    let refused = provider
        .finish(&denied, Some(begun.browser.expose()), NOW)
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "the provider refused: not today ");
}
