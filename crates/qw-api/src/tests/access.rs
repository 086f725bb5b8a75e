//! Setup, sessions, passwords, tokens.

use http::Method;
use qw_auth::Scope;
use serde_json::json;

use super::harness::{Harness, PASSWORD, Proof};

const NOBODY: Proof = Proof {
    cookie: None,
    csrf: None,
    token: None,
};

fn credentials(username: &str, password: &str) -> String {
    json!({ "username": username, "password": password }).to_string()
}

#[tokio::test]
async fn the_first_user_is_made_with_the_printed_token_and_only_once() {
    let harness = Harness::new();
    assert_eq!(
        harness.get("/api/setup", &NOBODY).await.json()["required"],
        true
    );
    let printed = harness
        .state
        .parts
        .access
        .new_setup_token()
        .unwrap()
        .unwrap();
    let body = |token: &str, password: &str| {
        json!({ "token": token, "username": "Admin", "password": password }).to_string()
    };
    let wrong = harness
        .post("/api/setup", &NOBODY, &body("guess", PASSWORD))
        .await;
    assert_eq!(wrong.code(), "unauthenticated");
    let weak = harness
        .post("/api/setup", &NOBODY, &body(printed.expose(), "short"))
        .await;
    assert_eq!(weak.code(), "invalid_parameter");
    let made = harness
        .post("/api/setup", &NOBODY, &body(printed.expose(), PASSWORD))
        .await;
    let made = made.expect(201);
    assert_eq!(made.json()["username"], "admin");
    harness
        .get("/api/session", &Harness::proof(&made))
        .await
        .expect(200);
    assert_eq!(
        harness.get("/api/setup", &NOBODY).await.json()["required"],
        false
    );
    let again = harness
        .post("/api/setup", &NOBODY, &body(printed.expose(), PASSWORD))
        .await;
    assert_eq!(again.code(), "conflict");
    assert!(
        harness
            .state
            .parts
            .access
            .new_setup_token()
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_session_begins_and_ends() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let view = harness
        .get("/api/session", &session)
        .await
        .expect(200)
        .json();
    assert_eq!(view["username"], "admin");
    assert_eq!(view["role"], "admin");
    assert_eq!(view["csrf_token"], session.csrf.as_deref().unwrap());
    let ended = harness.delete("/api/session", &session).await.expect(204);
    assert!(
        ended.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(
        harness.get("/api/session", &session).await.code(),
        "unauthenticated"
    );
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let harness = Harness::new();
    harness.sign_in().await;
    let answer = harness
        .post("/api/session", &NOBODY, &credentials("ADMIN ", PASSWORD))
        .await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for part in [
        "quaywatch_session=",
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Strict",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
}

#[tokio::test]
async fn unused_sessions_end() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    harness.advance(23 * 3_600);
    harness.get("/api/session", &session).await.expect(200);
    harness.advance(25 * 3_600);
    harness.get("/api/session", &session).await.expect(401);
    harness.state.parts.access.flush(harness.now()).unwrap();
    assert!(
        harness
            .state
            .parts
            .documents
            .list("sessions")
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn sessions_and_tokens_outlive_the_process_and_their_secrets_are_not_stored() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let token = harness.reader();
    let documents = &harness.state.parts.documents;
    for collection in ["users", "sessions", "tokens"] {
        let stored = format!("{:?}", documents.list(collection).unwrap());
        let (_, cookie) = session.cookie.as_deref().unwrap().split_once('=').unwrap();
        let secret = token.token.as_deref().unwrap().rsplit_once('_').unwrap().1;
        for text in [PASSWORD, cookie, secret] {
            assert!(!stored.contains(text), "{collection}: {stored}");
        }
    }
    let hashes = qw_auth::PasswordHashes::with_memory(8).unwrap();
    let again = crate::Access::open(
        std::sync::Arc::clone(documents),
        hashes,
        crate::AccessOptions::default(),
    )
    .unwrap();
    let secret = token.token.as_deref().unwrap();
    assert!(again.recognise_token(secret, harness.now()).is_some());
    assert!(!again.setup_required());
}

#[tokio::test]
async fn guessing_is_slowed_down_and_a_right_password_still_counts() {
    let harness = Harness::new();
    harness.sign_in().await;
    let mut refused = 0;
    let limited = loop {
        let answer = harness
            .post("/api/session", &NOBODY, &credentials("admin", "wrong"))
            .await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.code(), "unauthenticated");
        refused += 1;
        assert!(refused < 100, "never limited");
    };
    assert_eq!(refused, 10);
    assert_eq!(limited.code(), "rate_limited");
    let wait: i64 = limited.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    harness.advance(wait);
    harness
        .post("/api/session", &NOBODY, &credentials("admin", PASSWORD))
        .await
        .expect(200);
    harness
        .post("/api/session", &NOBODY, &credentials("admin", "wrong"))
        .await
        .expect(401);
}

#[tokio::test]
async fn an_unknown_user_is_answered_like_a_wrong_password() {
    let harness = Harness::new();
    harness.sign_in().await;
    let wrong = harness
        .post("/api/session", &NOBODY, &credentials("admin", "x"))
        .await;
    let unknown = harness
        .post("/api/session", &NOBODY, &credentials("nobody", "x"))
        .await;
    assert_eq!(
        (wrong.status, wrong.code()),
        (unknown.status, unknown.code())
    );
    assert_eq!(wrong.json()["detail"], unknown.json()["detail"]);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let harness = Harness::new();
    let (first, second) = (harness.sign_in().await, harness.sign_in().await);
    let new = "harbour-lights-at-dusk";
    let body = |current: &str| json!({ "current": current, "new": new }).to_string();
    let path = "/api/session/password";
    assert_eq!(
        harness.post(path, &first, &body("wrong")).await.code(),
        "forbidden"
    );
    harness.get("/api/session", &second).await.expect(200);
    harness
        .post(path, &first, &body(PASSWORD))
        .await
        .expect(204);
    harness.get("/api/session", &first).await.expect(200);
    harness.get("/api/session", &second).await.expect(401);
    harness
        .post("/api/session", &NOBODY, &credentials("admin", PASSWORD))
        .await
        .expect(401);
    harness
        .post("/api/session", &NOBODY, &credentials("admin", new))
        .await
        .expect(200);
}

#[tokio::test]
async fn tokens_are_made_listed_used_and_revoked() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let body = json!({ "name": "scraper", "scopes": ["read"] }).to_string();
    let made = harness
        .post("/api/tokens", &session, &body)
        .await
        .expect(201)
        .json();
    let proof = Proof {
        token: Some(made["token"].as_str().unwrap().to_owned()),
        ..Proof::default()
    };
    harness.get("/api/query/check", &proof).await.expect(200);
    harness.get("/api/tokens", &proof).await.expect(403);
    let list = harness
        .get("/api/tokens", &session)
        .await
        .expect(200)
        .json();
    let item = &list["items"][0];
    assert_eq!(item["name"], "scraper");
    assert_eq!(item["scopes"], json!(["read"]));
    assert_eq!(item["created_by"], "admin");
    assert!(item["last_used"].is_string());
    assert_eq!(item.get("token"), None);
    let path = format!("/api/tokens/{}", item["id"].as_str().unwrap());
    harness.delete(&path, &session).await.expect(204);
    harness.get("/api/query/check", &proof).await.expect(401);
    assert_eq!(harness.delete(&path, &session).await.code(), "not_found");
}

#[tokio::test]
async fn tokens_that_make_no_sense_are_not_made() {
    let harness = Harness::new();
    let admin = harness.token(&[Scope::Admin]);
    for body in [
        json!({ "name": "", "scopes": ["read"] }),
        json!({ "name": "x", "scopes": [] }),
        json!({ "name": "x", "scopes": ["write"] }),
        json!({ "name": "x", "scopes": ["read"], "typo": 1 }),
        json!({ "name": "x" }),
    ] {
        let answer = harness.post("/api/tokens", &admin, &body.to_string()).await;
        assert_eq!(answer.code(), "invalid_parameter", "{body}");
    }
    let past = json!({ "name": "x", "scopes": ["read"], "expires": "2001-01-01T00:00:00Z" });
    let answer = harness.post("/api/tokens", &admin, &past.to_string()).await;
    assert_eq!(answer.code(), "conflict");
}

#[tokio::test]
async fn tokens_expire() {
    let harness = Harness::new();
    let admin = harness.token(&[Scope::Admin]);
    let expires = harness
        .now()
        .saturating_add(std::time::Duration::from_secs(60));
    let body = json!({ "name": "x", "scopes": ["read"], "expires": expires }).to_string();
    let made = harness
        .post("/api/tokens", &admin, &body)
        .await
        .expect(201)
        .json();
    let proof = Proof {
        token: Some(made["token"].as_str().unwrap().to_owned()),
        ..Proof::default()
    };
    harness.advance(59);
    harness.get("/api/query/check", &proof).await.expect(200);
    harness.advance(1);
    harness.get("/api/query/check", &proof).await.expect(401);
}

#[tokio::test]
async fn saved_views_belong_to_their_maker_unless_shared() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let body = json!({ "name": "shells", "page": "events", "state": "query=rule%3Ashell" });
    let made = harness
        .post("/api/views", &session, &body.to_string())
        .await
        .expect(201)
        .json();
    assert_eq!(made["owner"], "admin");
    assert_eq!(made["shared"], false);
    let list = harness.get("/api/views", &session).await.json();
    assert_eq!(list["items"], json!([made]));
    let path = format!("/api/views/{}", made["id"].as_str().unwrap());
    let renamed = harness
        .call(
            Method::PATCH,
            &path,
            &session,
            Some(r#"{"name":" shells at night "}"#),
        )
        .await
        .expect(200)
        .json();
    let mut expected = made.clone();
    expected["name"] = json!("shells at night");
    assert_eq!(renamed, expected);
    for bad in [r#"{"name":" "}"#, r#"{"owner":"eve"}"#] {
        let answer = harness
            .call(Method::PATCH, &path, &session, Some(bad))
            .await;
        assert_eq!(answer.code(), "invalid_parameter", "{bad}");
    }
    let list = harness.get("/api/views", &session).await.json();
    assert_eq!(list["items"], json!([expected]));
    harness.delete(&path, &session).await.expect(204);
    harness.delete(&path, &session).await.expect(404);
    let long = json!({ "name": "x".repeat(101), "page": "events", "state": "" }).to_string();
    assert_eq!(
        harness.post("/api/views", &session, &long).await.code(),
        "invalid_parameter"
    );
}
