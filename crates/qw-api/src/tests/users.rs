//! Users and their sessions and tokens: made, changed, confined, gone.

use http::Method;
use qw_auth::{DataScope, Role, Scope};
use serde_json::{Value, json};

use super::harness::{Harness, PASSWORD, Proof};
use crate::{
    AccessError,
    access::{Audit, Visitor},
};

async fn patch(harness: &Harness, admin: &Proof, name: &str, change: Value) -> u16 {
    let path = format!("/api/users/{name}");
    let answer = harness
        .call(Method::PATCH, &path, admin, Some(&change.to_string()))
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn users_are_made_listed_changed_and_removed() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let body = json!({
        "username": " Ada ", "role": "analyst",
        "scope": { "namespaces": ["shop", "shop"], "labels": ["team=a"] },
    });
    let made = harness
        .post("/api/users", &admin, &body.to_string())
        .await
        .expect(201)
        .json();
    assert_eq!(made["username"], "ada");
    assert_eq!(made["scope"]["namespaces"], json!(["shop"]));
    let password = made["password"].as_str().unwrap();
    let credentials = json!({ "username": "ada", "password": password }).to_string();
    let signed_in = harness
        .post("/api/session", &Proof::default(), &credentials)
        .await
        .expect(200);
    assert_eq!(signed_in.json()["role"], "analyst");
    assert_eq!(signed_in.json()["scope"]["labels"], json!(["team=a"]));
    let ada = Harness::proof(&signed_in);
    let list = harness.get("/api/users", &admin).await.json();
    assert_eq!(list["items"][0]["username"], "ada");
    assert!(list["items"][0]["last_sign_in"].is_string());
    assert!(!list.to_string().contains("argon2"));
    harness.get("/api/users", &ada).await.expect(403);
    let again = harness.post("/api/users", &admin, &body.to_string()).await;
    assert_eq!(again.code(), "conflict");

    harness.get("/api/sources", &ada).await.expect(403);
    assert_eq!(
        patch(&harness, &admin, "ada", json!({ "scope": null })).await,
        200
    );
    harness.get("/api/sources", &ada).await.expect(200);
    assert_eq!(
        patch(&harness, &admin, "ada", json!({ "role": "log_reader" })).await,
        200
    );
    harness.get("/api/sources", &ada).await.expect(403);
    harness.get("/api/events", &ada).await.expect(200);
    let change = json!({ "password": "harbour-lights-at-dusk" });
    assert_eq!(patch(&harness, &admin, "ada", change).await, 200);
    harness.get("/api/events", &ada).await.expect(401);
    harness.delete("/api/users/ada", &admin).await.expect(204);
    harness.delete("/api/users/ada", &admin).await.expect(404);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    for body in [
        json!({ "username": "a b", "role": "viewer" }),
        json!({ "username": "ada", "role": "owner" }),
        json!({ "username": "ada", "role": "viewer", "password": "short" }),
        json!({ "username": "ada", "role": "viewer", "scope": { "labels": ["ab"] } }),
        json!({ "username": "ada", "role": "viewer", "scope": { "namespaces": ["A"] } }),
        json!({ "username": "ada", "role": "viewer", "scope": { "typo": [] } }),
    ] {
        let answer = harness.post("/api/users", &admin, &body.to_string()).await;
        assert_eq!(answer.code(), "invalid_parameter", "{body}");
    }
    let scoped = json!({ "username": "ada", "role": "admin", "scope": { "labels": ["a=b"] } });
    let answer = harness
        .post("/api/users", &admin, &scoped.to_string())
        .await;
    assert_eq!(answer.code(), "conflict");
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    for change in [json!({ "role": "viewer" }), json!({ "disabled": true })] {
        assert_eq!(patch(&harness, &admin, "root", change).await, 409);
    }
    harness.delete("/api/users/root", &admin).await.expect(409);
    harness.session_of("second", Role::Admin, None);
    assert_eq!(
        patch(&harness, &admin, "second", json!({ "disabled": true })).await,
        200
    );
    // One who cannot sign in is no help.
    harness.delete("/api/users/root", &admin).await.expect(409);
    assert_eq!(
        patch(&harness, &admin, "second", json!({ "disabled": false })).await,
        200
    );
    harness.delete("/api/users/root", &admin).await.expect(204);
}

#[tokio::test]
async fn a_token_never_exceeds_its_maker() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let viewer = harness.session_of("ada", Role::Viewer, None);
    let ask = |scope: &str| json!({ "name": "x", "scopes": [scope] }).to_string();
    for scope in ["triage", "ingest", "metrics", "admin"] {
        let answer = harness.post("/api/tokens", &viewer, &ask(scope)).await;
        assert_eq!(answer.code(), "forbidden", "{scope}");
    }
    let made = harness
        .post("/api/tokens", &viewer, &ask("read"))
        .await
        .expect(201)
        .json();
    assert_eq!(made["created_by"], "ada");
    let token = Proof {
        token: made["token"].as_str().map(ToOwned::to_owned),
        ..Proof::default()
    };
    harness.get("/api/sources", &token).await.expect(200);
    let scope = json!({ "scope": { "namespaces": ["shop"] } });
    assert_eq!(patch(&harness, &admin, "ada", scope).await, 200);
    harness.get("/api/sources", &token).await.expect(403);
    harness.get("/api/events", &token).await.expect(200);
    assert_eq!(
        patch(&harness, &admin, "ada", json!({ "disabled": true })).await,
        200
    );
    harness.get("/api/events", &token).await.expect(401);
    assert_eq!(
        patch(&harness, &admin, "ada", json!({ "disabled": false })).await,
        200
    );
    harness.get("/api/events", &token).await.expect(200);
    harness.delete("/api/users/ada", &admin).await.expect(204);
    harness.get("/api/events", &token).await.expect(401);
    // Whoever gets the name next does not get the tokens.
    harness.session_of("ada", Role::Admin, None);
    harness.get("/api/events", &token).await.expect(401);
}

#[tokio::test]
async fn everyone_sees_their_own_tokens_and_administrators_all() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let ada = harness.session_of("ada", Role::Viewer, None);
    harness.token_of("root", &[Scope::Read]);
    harness.token_of("ada", &[Scope::Read]);
    let list = async |proof: &Proof| {
        let list = harness.get("/api/tokens", proof).await.expect(200).json();
        list["items"].as_array().unwrap().clone()
    };
    assert_eq!(list(&admin).await.len(), 2);
    let own = list(&ada).await;
    assert_eq!(own.len(), 1);
    let all = list(&admin).await;
    let foreign = all
        .iter()
        .find(|token| token["created_by"] == "root")
        .unwrap();
    let path = |token: &Value| format!("/api/tokens/{}", token["id"].as_str().unwrap());
    harness.delete(&path(foreign), &ada).await.expect(404);
    harness.delete(&path(&own[0]), &ada).await.expect(204);
    harness.delete(&path(foreign), &admin).await.expect(204);
}

#[tokio::test]
async fn sessions_are_listed_and_revoked() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let ada = harness.session_of("ada", Role::Viewer, None);
    let other = harness.again("ada");
    let list = async |path: &str, proof: &Proof| {
        let list = harness.get(path, proof).await.expect(200).json();
        list["items"].as_array().unwrap().clone()
    };
    let own = list("/api/sessions", &ada).await;
    assert_eq!(own.len(), 2);
    assert_eq!(own.iter().filter(|one| one["current"] == true).count(), 1);
    assert_eq!(own[0]["agent"], "test");
    assert_eq!(own[0]["address"], "127.0.0.1");
    harness
        .get("/api/sessions?all=true", &ada)
        .await
        .expect(403);
    let all = list("/api/sessions?all=true", &admin).await;
    assert_eq!(all.len(), 3);
    let path = |session: &Value| format!("/api/sessions/{}", session["id"].as_str().unwrap());
    let roots = all.iter().find(|one| one["username"] == "root").unwrap();
    harness.delete(&path(roots), &ada).await.expect(404);
    let others = own.iter().find(|one| one["current"] == false).unwrap();
    harness.delete(&path(others), &ada).await.expect(204);
    harness.get("/api/session", &other).await.expect(401);
    harness.get("/api/session", &ada).await.expect(200);
    let rest = list("/api/sessions", &ada).await;
    harness.delete(&path(&rest[0]), &admin).await.expect(204);
    harness.get("/api/session", &ada).await.expect(401);
}

fn proved(name: &str, subject: &str, role: Role) -> qw_oidc::Identity {
    qw_oidc::Identity {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        username: name.to_owned(),
        role,
        scope: None,
        may_be_created: true,
        logout_url: Some("https://id.example/logout".to_owned()),
        return_to: "/".to_owned(),
    }
}

#[tokio::test]
async fn people_whom_a_provider_proves_are_users_too() {
    let harness = Harness::new();
    harness.session_of("root", Role::Admin, None);
    let access = &harness.state.parts.access;
    let visitor = Visitor {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        agent: String::new(),
    };
    let sign_in = |identity: qw_oidc::Identity| {
        access.sign_in_proved(identity, &visitor, &Audit::system(), harness.now())
    };
    let first = sign_in(proved("ada", "1", Role::Viewer)).unwrap();
    assert_eq!(first.user.name, "ada");
    let proof = Proof {
        cookie: Some(format!("quaywatch_session={}", first.secret.cookie_value())),
        csrf: Some(first.secret.csrf_token()),
        token: None,
    };
    let view = harness.get("/api/session", &proof).await.expect(200).json();
    assert_eq!(view["has_password"], false);
    assert_eq!(view["sign_out_url"], "https://id.example/logout");
    // There is no password, not even an empty one.
    for password in ["", "x"] {
        let body = json!({ "username": "ada", "password": password }).to_string();
        harness
            .post("/api/session", &Proof::default(), &body)
            .await
            .expect(401);
    }
    let body = json!({ "current": "", "new": PASSWORD }).to_string();
    let answer = harness.post("/api/session/password", &proof, &body).await;
    assert_eq!(answer.code(), "conflict");

    // The subject is who it is; the name and rights may change.
    let again = proved("ada.lovelace", "1", Role::Analyst);
    assert_eq!(sign_in(again).unwrap().user.name, "ada");
    let view = harness.get("/api/session", &proof).await.expect(200).json();
    assert_eq!(view["role"], "analyst");
    let confined = qw_oidc::Identity {
        scope: Some(DataScope {
            namespaces: vec!["shop".to_owned()],
            labels: Vec::new(),
        }),
        ..proved("ada", "1", Role::Analyst)
    };
    sign_in(confined).unwrap();
    harness.get("/api/sources", &proof).await.expect(403);

    // Names of others are not taken over.
    for (name, subject) in [("root", "2"), ("ada", "3")] {
        let refused = sign_in(proved(name, subject, Role::Admin));
        assert!(matches!(refused, Err(AccessError::NameTaken(_))), "{name}");
    }
    let unknown = qw_oidc::Identity {
        may_be_created: false,
        ..proved("grace", "4", Role::Viewer)
    };
    assert!(matches!(sign_in(unknown), Err(AccessError::Unknown(_))));
    let admin = harness.again("root");
    assert_eq!(
        patch(&harness, &admin, "ada", json!({ "disabled": true })).await,
        200
    );
    let refused = sign_in(proved("ada", "1", Role::Admin));
    assert!(matches!(refused, Err(AccessError::Disabled(_))));
}

#[tokio::test]
async fn without_a_provider_there_is_nothing_to_sign_in_with() {
    let harness = Harness::new();
    let setup = harness.get("/api/setup", &Proof::default()).await.json();
    assert_eq!(setup["sign_in_with"], Value::Null);
    for path in [
        "/api/auth/oidc/login",
        "/api/auth/oidc/callback?code=a&state=b",
    ] {
        harness.get(path, &Proof::default()).await.expect(404);
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_and_answers_nobody_asked_for() {
    let config = json!({
        "issuer": "http://127.0.0.1:1",
        "client_id": "quaywatch",
        "redirect_url": "http://127.0.0.1:18000/api/auth/oidc/callback",
        "name": "Company",
        "default_role": "viewer",
    });
    let provider = qw_oidc::Provider::new(serde_json::from_value(config).unwrap(), None).unwrap();
    let harness = Harness::with(
        |parts| parts.settings.oidc = Some(std::sync::Arc::new(provider)),
        crate::HubOptions::default(),
    );
    let admin = harness.session_of("root", Role::Admin, None);
    let setup = harness.get("/api/setup", &Proof::default()).await.json();
    assert_eq!(setup["sign_in_with"]["name"], "Company");
    let login = harness.get("/api/auth/oidc/login", &Proof::default()).await;
    assert_eq!(login.code(), "upstream_failed");
    let mut page =
        super::harness::request(Method::GET, "/api/auth/oidc/login", &Proof::default(), None);
    page.headers_mut()
        .insert("accept", "text/html,*/*".parse().unwrap());
    let answer = harness.send(page).await.expect(303);
    assert_eq!(answer.headers["location"], "/login?error=unreachable");
    // Whoever has a password signs in all the same.
    harness.again("root");
    let path = "/api/auth/oidc/callback?code=a&state=b";
    let answer = harness.get(path, &Proof::default()).await;
    assert_eq!(answer.code(), "unauthenticated");
    let mut page = super::harness::request(Method::GET, path, &Proof::default(), None);
    page.headers_mut()
        .insert("accept", "text/html,*/*".parse().unwrap());
    let answer = harness.send(page).await.expect(303);
    assert_eq!(answer.headers["location"], "/login?error=attempt");
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("quaywatch_oidc=; Path=/api/auth/oidc; HttpOnly; SameSite=Lax"));
    let log = harness
        .get("/api/audit?action=session&outcome=refused", &admin)
        .await
        .json();
    let items = log["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for item in items {
        assert_eq!(item["action"], "session.begin");
        let detail = item["detail"].as_str().unwrap();
        assert!(detail.contains("not known any more"), "{detail}");
    }
}

#[tokio::test]
async fn whoever_may_triage_learns_the_names_of_those_who_may() {
    let harness = Harness::new();
    let analyst = harness.session_of("ada", Role::Analyst, None);
    harness.session_of("root", Role::Admin, None);
    harness.session_of("gone", Role::Analyst, None);
    let viewer = harness.session_of("vera", Role::Viewer, None);
    let admin = harness.again("root");
    assert_eq!(
        patch(&harness, &admin, "gone", json!({ "disabled": true })).await,
        200
    );
    let found = harness.get("/api/users/assignable", &analyst).await;
    assert_eq!(
        found.expect(200).json(),
        json!({
            "items": [
                { "username": "ada", "role": "analyst" },
                { "username": "root", "role": "admin" },
            ],
            "next_cursor": null,
        })
    );
    harness.get("/api/users", &analyst).await.expect(403);
    let refused = harness.get("/api/users/assignable", &viewer).await;
    refused.expect(403);
}
