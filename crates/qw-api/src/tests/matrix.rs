//! Every route of the document × everyone who could ask: who is allowed, who is not, and what those
//! who are confined to a scope get to see. A route without a declared need fails here.

use std::sync::Arc;

use http::Method;
use qw_alerts::{MatchField, MatchOperator, Matcher, NewSilence};
use qw_auth::{DataScope, Permission, Permissions, Role, Scope};
use qw_event::{AlertId, ContainerRef};
use qw_inventory::Container;
use qw_store::{AlertsWritten, Occurrence};
use serde_json::Value;

use super::harness::{Harness, Proof, alert};
use crate::{
    access::{Audit, UserChange},
    guard::Need,
};

/// A route as the document declares it.
struct Operation {
    method: Method,
    path: String,
    need: Need,
    data: String,
    /// Streams have no end.
    is_stream: bool,
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::to_value(crate::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            let what = format!("{method} {path}");
            let data = operation["x-data"].as_str();
            let data = data.unwrap_or_else(|| panic!("{what}: says nothing of its data"));
            let need = match operation["x-permission"].as_str() {
                None => Need::Nothing,
                Some("session") => Need::Session,
                Some(name) => {
                    let found = Permission::ALL
                        .into_iter()
                        .find(|permission| permission.as_str() == name);
                    Need::Permission(found.unwrap_or_else(|| panic!("{what}: {name}")))
                }
            };
            assert_eq!(
                need != Need::Nothing,
                operation["security"].is_array(),
                "{what}: need and security differ"
            );
            operations.push(Operation {
                method,
                path: path.clone(),
                need,
                data: data.to_owned(),
                is_stream: path.starts_with("/api/stream"),
            });
        }
    }
    operations
}

impl Operation {
    fn path(&self, id: &str) -> String {
        ["{id}", "{container}", "{name}", "{key}"]
            .iter()
            .fold(self.path.clone(), |path, part| path.replace(part, id))
    }

    fn body(&self) -> Option<&'static str> {
        [Method::POST, Method::PATCH, Method::PUT]
            .contains(&self.method)
            .then_some("{}")
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Someone who asks.
struct Asker {
    name: String,
    proof: Proof,
    /// `None` when nobody knows the asker.
    may: Option<Permissions>,
    is_session: bool,
    is_confined: bool,
}

impl Asker {
    /// The status that must come, if it is a refusal.
    fn refusal(&self, operation: &Operation) -> Option<u16> {
        if operation.need == Need::Nothing {
            return None;
        }
        let Some(may) = self.may else {
            return Some(401);
        };
        let allowed = match operation.need {
            Need::Nothing => true,
            Need::Session => self.is_session,
            Need::Permission(permission) => may.allow(permission),
        };
        let hidden = self.is_confined && operation.data == "whole";
        (!allowed || hidden).then_some(403)
    }
}

fn team(name: &str) -> DataScope {
    DataScope {
        namespaces: Vec::new(),
        labels: vec![format!("team={name}").parse().unwrap()],
    }
}

/// Everyone: nobody, bad and ended credentials, each role × each scope of data by session and by
/// token with each scope.
fn askers(harness: &Harness) -> Vec<Asker> {
    let access = &harness.state.parts.access;
    let now = harness.now();
    let nobody = |name: &str, proof: Proof| Asker {
        name: name.to_owned(),
        proof,
        may: None,
        is_session: false,
        is_confined: false,
    };
    let mut askers = vec![
        nobody("nobody", Proof::default()),
        nobody(
            "made-up token",
            Proof {
                token: Some(format!("qw_{}_{}", "0".repeat(16), "0".repeat(64))),
                ..Proof::default()
            },
        ),
    ];
    harness.session_of("keeper", Role::Admin, None);
    for gone in ["removed", "disabled"] {
        let session = harness.session_of(gone, Role::Admin, None);
        let token = harness.token_of(gone, &[Scope::Admin]);
        if gone == "removed" {
            access.remove_user(gone, &Audit::system(), now).unwrap();
        } else {
            let change = UserChange {
                disabled: Some(true),
                ..UserChange::default()
            };
            access
                .change_user(gone, change, &Audit::system(), now)
                .unwrap();
        }
        askers.push(nobody(&format!("session of a {gone} user"), session));
        askers.push(nobody(&format!("token of a {gone} user"), token));
    }
    let demoted = harness.session_of("demoted", Role::Admin, None);
    let token = harness.token_of("demoted", &[Scope::Admin]);
    let change = UserChange {
        role: Some(Role::LogReader),
        ..UserChange::default()
    };
    access
        .change_user("demoted", change, &Audit::system(), now)
        .unwrap();
    for (proof, is_session) in [(demoted, true), (token, false)] {
        askers.push(Asker {
            name: format!("demoted, session {is_session}"),
            proof,
            may: Some(Role::LogReader.permissions()),
            is_session,
            is_confined: false,
        });
    }
    for scope in Scope::ALL {
        askers.push(Asker {
            name: format!("system token {scope}"),
            proof: harness.token(&[scope]),
            may: Some(scope.permissions()),
            is_session: false,
            is_confined: false,
        });
    }
    for role in Role::ALL {
        for (word, data) in [
            ("all", None),
            ("a", Some(team("a"))),
            ("none", Some(team("nobody"))),
        ] {
            if role == Role::Admin && data.is_some() {
                continue;
            }
            let name = format!("{role}-{word}");
            let is_confined = data.is_some();
            askers.push(Asker {
                proof: harness.session_of(&name, role, data),
                may: Some(role.permissions()),
                is_session: true,
                is_confined,
                name: name.clone(),
            });
            for scope in Scope::ALL {
                askers.push(Asker {
                    name: format!("token {scope} of {name}"),
                    proof: harness.token_of(&name, &[scope]),
                    may: Some(scope.permissions().within(role.permissions())),
                    is_session: false,
                    is_confined,
                });
            }
        }
    }
    askers
}

#[tokio::test]
async fn every_route_by_everyone() {
    let harness = Harness::new();
    let askers = askers(&harness);
    let operations = operations();
    assert!(operations.len() >= 35, "{}", operations.len());
    assert!(askers.len() >= 60, "{}", askers.len());
    let (mut refused, mut allowed) = (0, 0);
    for asker in &askers {
        let mut own = asker.proof.clone();
        for operation in &operations {
            let what = format!("{} by {}", operation.what(), asker.name);
            let path = operation.path("1");
            let (method, body) = (operation.method.clone(), operation.body());
            let status = harness.status(method, &path, &own, body).await;
            match asker.refusal(operation) {
                Some(expected) => {
                    assert_eq!(status, expected, "{what}");
                    refused += 1;
                }
                // Signing in and setting up refuse by themselves.
                None if operation.need != Need::Nothing => {
                    assert!(!matches!(status, 401 | 403), "{what}: {status}");
                    allowed += 1;
                }
                None => {}
            }
            if asker.is_session && operation.what() == "DELETE /api/session" {
                own = harness.again(&asker.name.replace("demoted, session true", "demoted"));
            }
        }
    }
    assert!(refused > 1_000 && allowed > 500, "{refused} {allowed}");
}

#[tokio::test]
async fn credentials_that_have_expired_are_nobodys() {
    let harness = Harness::new();
    let session = harness.session_of("ada", Role::Admin, None);
    let token = {
        let asked = qw_auth::NewToken {
            name: "short".to_owned(),
            scopes: [Scope::Admin].into_iter().collect(),
            expires: Some(
                harness
                    .now()
                    .saturating_add(std::time::Duration::from_hours(1)),
            ),
            created_by: "ada".to_owned(),
        };
        let access = &harness.state.parts.access;
        let (_, secret) = access
            .add_token(asked, false, &Audit::system(), harness.now())
            .unwrap();
        Proof {
            token: Some(secret.expose().to_owned()),
            ..Proof::default()
        }
    };
    harness.advance(8 * 24 * 3_600);
    for operation in operations() {
        if operation.need == Need::Nothing {
            continue;
        }
        for proof in [&session, &token] {
            let (method, body) = (operation.method.clone(), operation.body());
            let status = harness
                .status(method, &operation.path("1"), proof, body)
                .await;
            assert_eq!(status, 401, "{}", operation.what());
        }
    }
}

/// The table in the manual is made from the document that the test above holds against the routes.
#[test]
fn the_manual_says_who_may_do_what() {
    let mut table = String::from(
        "| Operation | Permission | Containers | log_reader | viewer | analyst | admin |\n|---|---|---|---|---|---|---|\n",
    );
    for operation in operations() {
        let (permission, may): (&str, &dyn Fn(Role) -> bool) = match operation.need {
            Need::Nothing => ("everybody", &|_| true),
            Need::Session => ("signed in", &|_| true),
            Need::Permission(permission) => (permission.as_str(), &move |role: Role| {
                role.permissions().allow(permission)
            }),
        };
        let marks = [Role::LogReader, Role::Viewer, Role::Analyst, Role::Admin]
            .map(|role| if may(role) { "✓" } else { "" });
        let row = format!(
            "| `{}` | {permission} | {} | {} |\n",
            operation.what(),
            operation.data,
            marks.join(" | ")
        );
        table.push_str(&row);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/access.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (head, rest) = manual.split_once("<!-- operations -->\n").unwrap();
    let (written, tail) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() && written != table {
        let manual = format!("{head}<!-- operations -->\n{table}<!-- end -->{tail}");
        std::fs::write(path, manual).unwrap();
        return;
    }
    assert_eq!(
        written, table,
        "docs/access.md is old; UPDATE_EXPECT=1 writes it anew"
    );
}

/// Two containers, one of team a and one of team b, each with events of its own.
fn two_teams(harness: &mut Harness) {
    let container = |name: &str, team: &str| Container {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        image: format!("registry/{name}:1"),
        state: "running".to_owned(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..Container::default()
    };
    let inventory = &harness.state.parts.inventory;
    inventory.set_static(vec![container("openweb", "a"), container("vaultdb", "b")]);
    let index = inventory.index().load_full();
    let mut events = Vec::new();
    let mut alerts = AlertsWritten::default();
    // The second alert and the last event have the same number.
    for (name, rule, id) in [("openweb", "Plain rule", 7), ("vaultdb", "Quiet rule", 38)] {
        for ago in 1..20 {
            let time =
                qw_event::Timestamp::from_nanos(harness.now().as_nanos() - ago * 1_000_000_000);
            let mut event = crate::event_view::tests::event(0, time, rule, name).event;
            event.container = Arc::clone(index.find(name).unwrap());
            event.output = format!("{rule} in {name}").into();
            events.push(event);
        }
        add_alert(&mut alerts, id, rule, &[index.find(name).unwrap()], harness);
    }
    // Its newest event comes from a container of team a; another from one of team b.
    let both = ["openweb", "vaultdb"].map(|name| index.find(name).unwrap());
    add_alert(&mut alerts, 39, "Folded rule", &both, harness);
    let mut profiles = harness.state.parts.profiles.lock();
    for event in &events {
        profiles.observe(event, harness.now());
    }
    drop(profiles);
    harness.state.parts.alerts.write_alerts(&alerts).unwrap();
    for container in ["openweb", "vaultdb"] {
        let silence = NewSilence {
            matchers: vec![Matcher {
                field: MatchField::Container,
                operator: MatchOperator::Equal,
                value: container.to_owned(),
            }],
            starts: harness.now(),
            ends: harness
                .now()
                .saturating_add(std::time::Duration::from_hours(1)),
            comment: String::new(),
        };
        let desk = &harness.state.parts.desk;
        desk.add_silence(silence, "root", harness.now()).unwrap();
    }
    harness.store_events(events);
}

/// Adds an alert of some containers, the one seen last first.
fn add_alert(
    alerts: &mut AlertsWritten,
    id: u64,
    rule: &str,
    containers: &[&Arc<ContainerRef>],
    harness: &Harness,
) {
    let now = harness.now();
    for container in containers {
        alerts.occurrences.push(Occurrence {
            alert: AlertId(id),
            container: Arc::clone(&container.id),
            minute: now.floor_to(std::time::Duration::from_mins(1)),
            count: 19,
        });
    }
    alerts.alerts.push(alert(id, rule, containers, now));
}

/// What must not be seen by team a.
const HIDDEN: [&str; 3] = ["vaultdb", "Quiet rule", "Folded rule"];

#[tokio::test]
async fn nothing_of_other_containers_is_told() {
    let mut harness = Harness::new();
    two_teams(&mut harness);
    let all = harness.session_of("all", Role::Analyst, None);
    let own = harness.session_of("own", Role::Analyst, Some(team("a")));
    let none = harness.session_of("none", Role::Analyst, Some(team("nobody")));
    let mut told = 0;
    for operation in operations() {
        if operation.method != Method::GET || operation.data != "filtered" || operation.is_stream {
            continue;
        }
        for id in [
            "vaultdb".to_owned(),
            format!("{:0<64}", "vaultdb"),
            "38".to_owned(),
            "39".to_owned(),
        ] {
            let mut paths = vec![operation.path(&id)];
            if operation.path.ends_with("/values") {
                paths = ["rule", "container.name", "container.id", "output"]
                    .map(|field| format!("{}?field={field}", operation.path))
                    .to_vec();
            }
            for path in paths {
                let what = format!("{} {path}", operation.method);
                for proof in [&own, &none] {
                    let answer = harness.get(&path, proof).await;
                    // What was asked for may be repeated.
                    let text = answer.text.replace(&id, "");
                    for hidden in HIDDEN {
                        assert!(!text.contains(hidden), "{what}: {hidden} in {text}");
                    }
                }
                let answer = harness.get(&path, &all).await;
                told += usize::from(HIDDEN.iter().any(|hidden| answer.text.contains(hidden)));
            }
        }
    }
    assert!(
        told >= 15,
        "who may see everything saw it {told} times only"
    );
}

#[tokio::test]
async fn what_is_ones_own_is_told() {
    let mut harness = Harness::new();
    two_teams(&mut harness);
    let own = harness.session_of("own", Role::Viewer, Some(team("a")));
    let json = async |path: &str| harness.get(path, &own).await.expect(200).json();
    let events = json("/api/events?limit=1000").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 19);
    let histogram = json("/api/events/histogram").await;
    assert_eq!(histogram["total"], 19);
    let overview = json("/api/overview").await;
    assert_eq!(overview["events_total"], 19);
    assert_eq!(overview["containers"]["total"], 1);
    assert_eq!(overview["top_rules"][0]["rule"], "Plain rule");
    assert_eq!(overview["top_rules"][0]["count"], 19);
    assert_eq!(overview["top_containers"][0]["name"], "openweb");
    assert_eq!(overview["store"]["events"], 0);
    let containers = json("/api/containers").await;
    assert_eq!(containers["items"][0]["name"], "openweb");
    assert_eq!(containers["items"].as_array().unwrap().len(), 1);
    assert_eq!(json("/api/containers/openweb").await["name"], "openweb");
    let logs = json("/api/containers/openweb/logs").await;
    assert_eq!(logs["items"].as_array().unwrap().len(), 19);
    let hidden = json("/api/containers/vaultdb/logs").await;
    assert_eq!(hidden["items"].as_array().unwrap().len(), 0);
    harness
        .get("/api/containers/vaultdb", &own)
        .await
        .expect(404);
    let alerts = json("/api/alerts").await;
    assert_eq!(alerts["items"].as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!(alerts["items"][0]["id"], 7);
    assert_eq!(alerts["aggregates"]["total"], 1);
    assert_eq!(overview["alerts"]["total"], 1);
    assert_eq!(overview["alerts"]["open"]["new"], 1);
    let trend = json("/api/alerts/trend").await;
    assert_eq!(trend["items"][0]["total"], 19, "{trend}");
    let top = json("/api/alerts/top?by=container").await;
    assert_eq!(top["items"][0]["occurrences"], 19, "{top}");
    assert_eq!(top["items"].as_array().unwrap().len(), 1);
    for (container, count) in [("openweb", 1), ("vaultdb", 0)] {
        let of = json(&format!("/api/containers/{container}/alerts")).await;
        assert_eq!(of["aggregates"]["total"], count, "{container}");
        let of = json(&format!("/api/alerts?container={container}")).await;
        assert_eq!(of["items"].as_array().unwrap().len(), count, "{container}");
    }
    for (id, status) in [(7, 200), (38, 404), (39, 404)] {
        let answer = harness.get(&format!("/api/alerts/{id}"), &own).await;
        answer.expect(status);
    }
    let silences = json("/api/silences").await;
    assert_eq!(silences["items"].as_array().unwrap().len(), 1, "{silences}");
    // A query cannot widen what is seen.
    for query in [
        "*",
        "container:vaultdb",
        "not%20rule:x%20or%20container:vaultdb",
    ] {
        let found = json(&format!("/api/events?limit=1000&query={query}")).await;
        for event in found["items"].as_array().unwrap() {
            assert_eq!(event["container"]["name"], "openweb", "{query}");
        }
    }
    let export = harness.get("/api/events/export?format=ndjson", &own).await;
    assert_eq!(export.text.lines().count(), 19);
}
