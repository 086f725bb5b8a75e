//! Every route of the document, with every way not to be allowed.

use http::Method;
use serde_json::Value;

use super::harness::{Harness, Proof, request};

struct Operation {
    method: Method,
    path: String,
}

/// The operations that ask for credentials, from the document itself.
fn guarded() -> (Vec<Operation>, Vec<String>) {
    let document: Value = serde_json::to_value(crate::openapi()).unwrap();
    let (mut guarded, mut open) = (Vec::new(), Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            if operation["security"].as_array().is_none() {
                open.push(format!("{method} {path}"));
                continue;
            }
            let path = ["{id}", "{container}", "{name}"]
                .iter()
                .fold(path.clone(), |path, name| path.replace(name, "1"));
            guarded.push(Operation { method, path });
        }
    }
    (guarded, open)
}

#[test]
fn only_these_routes_are_for_everyone() {
    let (guarded, open) = guarded();
    assert_eq!(
        open,
        [
            "GET /api/auth/oidc/callback",
            "GET /api/auth/oidc/login",
            "POST /api/session",
            "GET /api/setup",
            "POST /api/setup",
            "GET /healthz",
            "GET /readyz"
        ]
    );
    assert!(guarded.len() >= 25, "{}", guarded.len());
}

#[tokio::test]
async fn without_credentials_nothing_is_told() {
    let harness = Harness::new();
    for operation in guarded().0 {
        let body = (operation.method == Method::POST).then_some("{}");
        let proofs = [
            Proof::default(),
            Proof {
                token: Some("qw_0_0".to_owned()),
                ..Proof::default()
            },
            Proof {
                token: Some(format!("qw_{}_{}", "0".repeat(16), "0".repeat(64))),
                ..Proof::default()
            },
            Proof {
                cookie: Some("quaywatch_session=made-up".to_owned()),
                csrf: Some("made-up".to_owned()),
                ..Proof::default()
            },
        ];
        for proof in proofs {
            let answer = harness
                .call(operation.method.clone(), &operation.path, &proof, body)
                .await;
            assert_eq!(
                answer.status, 401,
                "{} {}",
                operation.method, operation.path
            );
            assert_eq!(answer.code(), "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_whoever_asks() {
    let harness = Harness::new();
    for path in ["/api/session", "/api/events", "/api/tokens"] {
        let answer = harness
            .call(Method::PUT, path, &Proof::default(), None)
            .await;
        assert_eq!(answer.code(), "method_not_allowed", "{path}");
        assert!(answer.headers.contains_key("allow"));
    }
}

#[tokio::test]
async fn a_session_needs_its_csrf_token_for_changes() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let other = harness.sign_in().await;
    for operation in guarded().0 {
        if operation.method == Method::GET {
            continue;
        }
        let body = (operation.method == Method::POST).then_some("{}");
        for csrf in [None, Some(String::new()), other.csrf.clone()] {
            let proof = Proof {
                csrf,
                ..session.clone()
            };
            let answer = harness
                .call(operation.method.clone(), &operation.path, &proof, body)
                .await;
            assert_eq!(
                answer.status, 403,
                "{} {}",
                operation.method, operation.path
            );
            assert_eq!(answer.code(), "csrf");
        }
    }
    harness.get("/api/session", &session).await.expect(200);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_even_with_the_csrf_token() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let mut request = request(Method::DELETE, "/api/session", &session, None);
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = harness.send(request).await;
        assert_eq!(answer.code(), "csrf", "{name}: {value}");
    }
    let mut own = request(Method::DELETE, "/api/session", &session, None);
    own.headers_mut()
        .insert("origin", "http://quay".parse().unwrap());
    own.headers_mut()
        .insert("sec-fetch-site", "same-origin".parse().unwrap());
    harness.send(own).await.expect(204);
}

#[tokio::test]
async fn http2_names_the_host_in_the_address() {
    let harness = Harness::new();
    let session = harness.sign_in().await;
    let mut own = request(Method::DELETE, "https://quay/api/session", &session, None);
    own.headers_mut().remove("host");
    own.headers_mut()
        .insert("origin", "https://quay".parse().unwrap());
    harness.send(own).await.expect(204);
}

#[tokio::test]
async fn a_foreign_page_cannot_sign_anyone_in() {
    let harness = Harness::new();
    for path in ["/api/session", "/api/setup"] {
        let mut request = request(Method::POST, path, &Proof::default(), Some("{}"));
        request
            .headers_mut()
            .insert("origin", "http://evil.example".parse().unwrap());
        let answer = harness.send(request).await;
        assert!(["csrf", "invalid_parameter"].contains(&answer.code().as_str()));
        assert_eq!(answer.headers.get("set-cookie"), None);
    }
    // A form cannot send JSON.
    let mut form = request(Method::POST, "/api/session", &Proof::default(), Some("{}"));
    form.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(harness.send(form).await.code(), "unsupported_media_type");
}

#[tokio::test]
async fn too_many_requests_of_one_token_are_told_to_wait() {
    let harness = Harness::new();
    let busy = harness.reader();
    let mut limited = None;
    for _ in 0..700 {
        let answer = harness.get("/api/query/check", &busy).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("the limit was reached");
    assert_eq!(limited.code(), "rate_limited");
    assert_eq!(limited.headers["retry-after"], "1");
    harness
        .get("/api/query/check", &harness.reader())
        .await
        .expect(200);
    harness.advance(10);
    harness.get("/api/query/check", &busy).await.expect(200);
}
