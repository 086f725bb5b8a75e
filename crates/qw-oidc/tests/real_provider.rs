//! A provider that others wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use qw_auth::{Role, Secret};
use qw_event::Timestamp;
use qw_oidc::{Begun, Callback, Config, Identity, Provider, Refused};
use qw_testkit::oidc::OidcProvider;
use serde_json::json;

fn provider(running: &OidcProvider) -> Provider {
    let config: Config = serde_json::from_value(json!({
        "issuer": format!("http://{}", running.address),
        "client_id": "quaywatch",
        "redirect_url": "http://127.0.0.1:18000/api/auth/oidc/callback",
        "roles": [{ "value": "team-shop", "role": "analyst", "scope": { "labels": ["team=shop"] } }],
    }))
    .unwrap();
    Provider::new(config, Some(Secret::new("anything"))).unwrap()
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(now.as_nanos() as i64)
}

/// Fills the provider's form in; what it sends the browser back with.
async fn fill_in(begun: &Begun, form: &'static str) -> Callback {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::post(&begun.redirect)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let said = body.collect().await.unwrap().to_bytes();
    let place = head.headers.get("location");
    let place =
        place.unwrap_or_else(|| panic!("{}: {}", head.status, String::from_utf8_lossy(&said)));
    let place = place.to_str().unwrap();
    let (ours, query) = place.split_once('?').unwrap();
    assert_eq!(ours, "http://127.0.0.1:18000/api/auth/oidc/callback");
    let value = |name: &str| {
        let pair = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        pair.map(ToOwned::to_owned)
    };
    Callback {
        code: value("code"),
        state: value("state"),
        iss: value("iss"),
        error: value("error"),
        error_description: value("error_description"),
    }
}

async fn sign_in(provider: &Provider, form: &'static str) -> Result<Identity, Refused> {
    let begun = provider.begin("/alerts", now()).await?;
    let callback = fill_in(&begun, form).await;
    let browser = Some(begun.browser.expose());
    provider.finish(&callback, browser, now()).await
}

const ADA: &str =
    r#"{"sub":"subject-7","preferred_username":"Ada","groups":["staff","team-shop"]}"#;

#[tokio::test]
async fn somebody_signs_in_through_a_real_provider() {
    let Some(running) = OidcProvider::start(&["--user-claims", ADA, "--require-nonce", "true"])
    else {
        return;
    };
    let provider = provider(&running);
    let found = sign_in(&provider, "sub=subject-7").await.unwrap();
    assert_eq!(found.subject, "subject-7");
    assert_eq!(found.username, "ada");
    assert_eq!(found.role, Role::Analyst);
    assert_eq!(found.scope.unwrap().labels[0].to_string(), "team=shop");
    assert_eq!(found.return_to, "/alerts");
    assert!(found.logout_url.unwrap().contains("/oauth2/end_session?"));
    // Somebody without a group has no role, and somebody who declines no identity.
    let refused = sign_in(&provider, "sub=stranger").await.unwrap_err();
    assert_eq!(refused.code(), "no_role");
    let refused = sign_in(&provider, "action=deny").await.unwrap_err();
    // It sends the browser back without the state (RFC 6749, section 4.1.2.1, asks for it).
    assert!(
        ["provider", "parameter"].contains(&refused.code()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_code_of_a_real_provider_is_used_once() {
    let Some(running) = OidcProvider::start(&["--user-claims", ADA]) else {
        return;
    };
    let provider = provider(&running);
    let begun = provider.begin("/", now()).await.unwrap();
    let callback = fill_in(&begun, "sub=subject-7").await;
    let browser = Some(begun.browser.expose());
    provider.finish(&callback, browser, now()).await.unwrap();
    // The same code under another sign-in.
    let other = provider.begin("/", now()).await.unwrap();
    let stolen = Callback {
        code: callback.code,
        ..fill_in(&other, "sub=subject-7").await
    };
    let refused = provider
        .finish(&stolen, Some(other.browser.expose()), now())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "code", "{refused}");
}
