//! The audit log through the API: one entry per change, whole, readable by administrators.

use std::time::Duration;

use http::Method;
use qw_auth::{Role, Scope};
use qw_store::StateChange;
use serde_json::{Value, json};

use super::harness::{Harness, PASSWORD, Proof, request};
use crate::{AuditOptions, guard::Peer};

async fn entries(harness: &Harness, admin: &Proof, query: &str) -> Vec<Value> {
    let path = format!("/api/audit?limit=1000{query}");
    let list = harness.get(&path, admin).await.expect(200).json();
    list["items"].as_array().unwrap().clone()
}

async fn newest(harness: &Harness, admin: &Proof) -> Value {
    entries(harness, admin, "").await.remove(0)
}

/// Methods and paths of everything that is no reading.
fn writes() -> Vec<(Method, String)> {
    let document: Value = serde_json::to_value(crate::openapi()).unwrap();
    let mut writes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            if !method.is_safe() && ["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                writes.push((method, path.clone()));
            }
        }
    }
    writes
}

#[tokio::test]
async fn every_write_leaves_exactly_one_entry_whatever_becomes_of_it() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let reader = harness.session_of("eve", Role::LogReader, None);
    let token = harness.token(&[Scope::Admin]);
    // Its first use has an entry of its own.
    harness.get("/api/users", &token).await.expect(200);
    let writes = writes();
    assert!(writes.len() >= 12, "{}", writes.len());
    for (method, path) in writes {
        let asked = ["{id}", "{container}", "{name}", "{key}"]
            .iter()
            .fold(path.clone(), |path, part| path.replace(part, "nothing"));
        let body = (method != Method::DELETE).then_some("{}");
        for (who, proof) in [
            ("nobody", Proof::default()),
            ("eve", reader.clone()),
            ("", token.clone()),
            ("root", harness.again("root")),
        ] {
            // So that refusals of strangers are not too many.
            harness.advance(10);
            let before = entries(&harness, &admin, "").await.len();
            let answer = harness.call(method.clone(), &asked, &proof, body).await;
            let after = entries(&harness, &admin, "").await;
            let what = format!("{method} {path} by {who}: {}", answer.status);
            assert_eq!(after.len(), before + 1, "{what}");
            let entry = &after[0];
            assert_eq!(
                entry["request_id"],
                answer.headers["x-request-id"].to_str().unwrap(),
                "{what}"
            );
            let outcome = match answer.status.as_u16() {
                401 | 403 => "refused",
                400.. => "failed",
                _ => "done",
            };
            assert_eq!(entry["outcome"], outcome, "{what}");
            // Signing out and in again gave eve's and root's places to others.
            if answer.status == 403 && who == "eve" {
                assert_eq!(entry["user"], "eve", "{what}");
                assert_eq!(entry["by"], "session", "{what}");
            }
        }
    }
    let state = harness.get("/api/audit/verify", &admin).await.json();
    assert_eq!(state["whole"], true, "{state}");
}

#[tokio::test]
async fn reading_leaves_none_and_signing_in_leaves_one() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let before = entries(&harness, &admin, "").await.len();
    for path in ["/api/session", "/api/users", "/api/tokens", "/api/events"] {
        harness.get(path, &admin).await.expect(200);
    }
    assert_eq!(entries(&harness, &admin, "").await.len(), before);
    let credentials =
        |name: &str, password: &str| json!({ "username": name, "password": password }).to_string();
    for (name, password, status, outcome, target) in [
        ("root", PASSWORD, 200, "done", "root"),
        ("root", "wrong", 401, "refused", "root"),
        (
            "my-password-typed-here",
            "x",
            401,
            "refused",
            "unknown user",
        ),
    ] {
        let body = credentials(name, password);
        let answer = harness.post("/api/session", &Proof::default(), &body).await;
        assert_eq!(answer.status, status);
        let entry = newest(&harness, &admin).await;
        assert_eq!(entry["action"], "session.begin");
        assert_eq!(entry["outcome"], outcome);
        assert_eq!(entry["target"], target);
        assert!(!entry.to_string().contains("typed"), "{entry}");
        assert!(!entry.to_string().contains(PASSWORD), "{entry}");
    }
    assert_eq!(entries(&harness, &admin, "").await.len(), before + 3);
}

#[tokio::test]
async fn what_costs_nothing_cannot_flood_the_log() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let before = entries(&harness, &admin, "").await.len();
    for _ in 0..100 {
        harness
            .delete("/api/tokens/1", &Proof::default())
            .await
            .expect(401);
    }
    assert_eq!(entries(&harness, &admin, "").await.len(), before + 20);
    harness.advance(60);
    harness
        .delete("/api/tokens/1", &Proof::default())
        .await
        .expect(401);
    let entry = newest(&harness, &admin).await;
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("80 more"), "{detail}");
}

#[tokio::test]
async fn entries_are_found_by_user_action_outcome_and_time() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    harness.advance(3_600);
    for name in ["ada", "grace"] {
        let body = json!({ "username": name, "role": "viewer", "password": PASSWORD }).to_string();
        harness.post("/api/users", &admin, &body).await.expect(201);
    }
    harness
        .delete("/api/users/nobody", &admin)
        .await
        .expect(404);
    harness.delete("/api/users/grace", &admin).await.expect(204);
    let count = async |query: &str| entries(&harness, &admin, query).await.len();
    // The session that began with, two users made, one not found, one removed.
    assert_eq!(count("&user=root").await, 5);
    assert_eq!(count("&action=user.create&start=now-1m").await, 2);
    assert_eq!(count("&action=user&user=root").await, 4);
    assert_eq!(count("&action=use").await, 0);
    assert_eq!(count("&outcome=failed").await, 1);
    assert_eq!(count("&end=now-30m").await, 2);
    let found = entries(&harness, &admin, "&action=user.delete&outcome=done").await;
    assert_eq!(found[0]["target"], "grace");
    assert_eq!(found[0]["user"], "root");
    // Pages join without gap or repetition.
    let (mut sequences, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/audit?limit=2&cursor={cursor}");
        let page = harness.get(&path, &admin).await.expect(200).json();
        for item in page["items"].as_array().unwrap() {
            sequences.push(item["sequence"].as_u64().unwrap());
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let expected: Vec<u64> = (1..=sequences.len() as u64).rev().collect();
    assert_eq!(sequences, expected);
}

#[tokio::test]
async fn the_log_can_be_taken_away_as_a_file() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let hostile = json!({ "name": "=cmd|'/c calc'!A0", "scopes": ["read"] }).to_string();
    harness
        .post("/api/tokens", &admin, &hostile)
        .await
        .expect(201);
    let all = entries(&harness, &admin, "").await;
    let lines = harness.get("/api/audit/export", &admin).await.expect(200);
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let read: Vec<Value> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, all);
    let csv = harness
        .get("/api/audit/export?format=csv&action=token", &admin)
        .await
        .expect(200);
    assert_eq!(csv.text.lines().count(), 2);
    assert!(csv.text.contains("\"'=cmd|"), "{}", csv.text);
    for path in ["/api/audit", "/api/audit/export", "/api/audit/verify"] {
        let analyst = harness.token(&[Scope::Triage]);
        harness.get(path, &analyst).await.expect(403);
    }
}

#[tokio::test]
async fn tampering_is_seen_and_retention_is_not_tampering() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    for _ in 0..5 {
        harness.delete("/api/tokens/1", &admin).await.expect(404);
    }
    let verify = async || harness.get("/api/audit/verify", &admin).await.json();
    let whole = verify().await;
    assert_eq!(whole["whole"], true);
    let documents = &harness.state.parts.documents;
    let key = format!("{:020}", 4);
    let kept = documents.get("audit", &key).unwrap().unwrap();
    let put = |value: &str| {
        let change = StateChange::Put {
            collection: "audit",
            key: &key,
            value,
        };
        documents.apply(&[change]).unwrap();
    };
    put(&kept.replace("nothing", "x").replace("\"root\"", "\"eve\""));
    assert_eq!(verify().await["problem"], "entry 4 has been changed");
    put("not json");
    assert_eq!(verify().await["problem"], "entry 4 has been changed");
    let delete = StateChange::Delete {
        collection: "audit",
        key: &key,
    };
    documents.apply(&[delete]).unwrap();
    assert_eq!(
        verify().await["problem"],
        "entries are missing between 3 and 5"
    );
    put(&kept);
    assert_eq!(verify().await["whole"], true);
    // The newest too.
    let newest = format!("{:020}", whole["newest"].as_u64().unwrap());
    let delete = StateChange::Delete {
        collection: "audit",
        key: &newest,
    };
    documents.apply(&[delete]).unwrap();
    assert_eq!(verify().await["whole"], false);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_and_the_rest_is_whole() {
    let harness = Harness::new();
    let options = crate::AccessOptions {
        audit: AuditOptions {
            max_age: Duration::from_secs(100),
            max_entries: 10,
        },
        ..crate::AccessOptions::default()
    };
    let access = crate::Access::open(
        std::sync::Arc::clone(&harness.state.parts.documents),
        qw_auth::PasswordHashes::with_memory(8).unwrap(),
        options,
    )
    .unwrap();
    let write = |count: usize| {
        for _ in 0..count {
            let audit = crate::access::Audit::system();
            audit.action("test", "");
            access.write(&[], &audit, harness.now()).unwrap();
        }
    };
    write(1_200);
    access.flush(harness.now()).unwrap();
    let check = access.verify_audit().unwrap();
    assert_eq!(check.broken, None);
    // Each of the three rounds of removing is an entry itself.
    assert_eq!((check.floor.sequence, check.entries), (1_192, 11));
    harness.advance(101);
    access.flush(harness.now()).unwrap();
    let check = access.verify_audit().unwrap();
    assert_eq!((check.broken, check.entries), (None, 1));
}

#[tokio::test]
async fn a_token_from_where_it_never_came_is_told() {
    let harness = Harness::new();
    let admin = harness.session_of("root", Role::Admin, None);
    let token = harness.token_of("root", &[Scope::Read]);
    let use_from = async |address: std::net::IpAddr| {
        let mut asked = request(Method::GET, "/api/query/check", &token, None);
        asked.extensions_mut().insert(Peer {
            address: (address, 4_000).into(),
            certified: false,
            encrypted: false,
        });
        harness.send(asked).await.expect(200)
    };
    let told = async || entries(&harness, &admin, "&action=token").await;
    let from = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
    let answer = use_from(from(1)).await;
    use_from(from(1)).await;
    let first = told().await.remove(0);
    assert_eq!(first["action"], "token.first_use");
    assert_eq!(
        (&first["user"], &first["by"]),
        (&"root".into(), &"token".into())
    );
    assert_eq!(first["address"], "10.0.0.1");
    assert_eq!(first["detail"], "test");
    assert_eq!(first["token"], first["target"]);
    assert_eq!(
        first["request_id"],
        answer.headers["x-request-id"].to_str().unwrap()
    );
    assert_eq!(told().await.len(), 2, "made, and used");
    use_from(from(2)).await;
    use_from(from(1)).await;
    assert_eq!(told().await[0]["action"], "token.new_address");
    assert_eq!(told().await[0]["address"], "10.0.0.2");
    assert_eq!(told().await.len(), 3);
    // A network of IPv6 is one address; many addresses are remembered, not all, and that is said.
    for last in 0..3 {
        use_from(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()).await;
    }
    assert_eq!(told().await.len(), 4);
    for last in 3..40 {
        use_from(from(last)).await;
        use_from(from(1)).await;
    }
    let all = told().await;
    assert_eq!(all.len() - 1, qw_auth::MAX_TOKEN_ADDRESSES, "{all:?}");
    harness.advance(600);
    use_from(from(200)).await;
    let detail = told().await.remove(0)["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        detail.contains("10.0.0.9 is forgotten") && detail.contains("and 8 more uses"),
        "{detail}"
    );
    let tokens = harness.get("/api/tokens", &admin).await.json();
    let addresses = tokens["items"][0]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), qw_auth::MAX_TOKEN_ADDRESSES);
    assert_eq!(addresses[0], "10.0.0.200");
    // What is remembered outlives the process.
    let stored = harness.state.parts.documents.list("tokens").unwrap();
    assert!(stored[0].1.contains("\"10.0.0.200\""), "{}", stored[0].1);
    let check = harness.get("/api/audit/verify", &admin).await.json();
    assert_eq!(check["whole"], true, "{check}");
}
