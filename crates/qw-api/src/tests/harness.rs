//! A state over a real store in a folder of its own, a clock that is set by hand, and a client.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use qw_alerts::{Desk, DeskOptions};
use qw_auth::{DataScope, NewToken, PasswordHashes, Role, Scope};
use qw_event::{
    Alert, AlertId, AlertSource, AlertState, Audience, Batch, BatchId, ContainerRef, Priority,
    SourceId, StoredEvent, Timestamp,
};
use qw_inventory::{Container, Inventory};
use qw_pipeline::{Notices, Pipeline, SharedProfiles, SourceStatuses};
use qw_store::{AlertStore, Appended, Embedded, RecordStore, StateStore};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    Access, AccessOptions, Hub, HubOptions, Parts, Settings, State,
    access::{Audit, NewUser, Visitor},
    event_view::tests::event,
    layers::{Hosts, around},
    routes,
};

pub(super) const PASSWORD: &str = "tide-and-lantern";

/// When tests begin.
pub(super) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub(super) struct Harness {
    pub(super) state: State,
    pub(super) router: Router,
    store: Arc<Embedded>,
    now: Arc<AtomicI64>,
    sequence: u64,
    _folder: tempfile::TempDir,
}

/// How a request proves who sends it.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof {
    pub(super) cookie: Option<String>,
    pub(super) csrf: Option<String>,
    pub(super) token: Option<String>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Stable code of a problem.
    pub(super) fn code(&self) -> String {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{}",
            self.text
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(
            problem["request_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with(|_| {}, HubOptions::default())
    }

    pub(super) fn with(change: impl FnOnce(&mut Parts), hub: HubOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path(), qw_store::Options::default()).unwrap());
        let documents = Arc::clone(&store) as Arc<dyn StateStore>;
        let hashes = PasswordHashes::with_memory(8).unwrap();
        let access =
            Access::open(Arc::clone(&documents), hashes, AccessOptions::default()).unwrap();
        let inventory =
            Inventory::open(Arc::clone(&documents), qw_inventory::Options::default()).unwrap();
        let records = Arc::clone(&store) as Arc<dyn RecordStore>;
        let notices = Notices::default();
        let sources = SourceStatuses::default();
        let pipeline = Pipeline::new(
            Arc::clone(&records),
            inventory.index(),
            sources.clone(),
            notices.clone(),
            qw_pipeline::Options::default(),
        );
        let alerts = Arc::clone(&store) as Arc<dyn AlertStore>;
        let desk = Desk::open(
            Arc::clone(&alerts),
            Arc::clone(&documents),
            DeskOptions::default(),
            START,
        )
        .unwrap();
        let now = Arc::new(AtomicI64::new(START.as_nanos()));
        let clock = Arc::clone(&now);
        let mut parts = Parts {
            records,
            documents,
            alerts,
            desk,
            profiles: SharedProfiles::new(parking_lot::Mutex::new(qw_profile::Profiles::new(
                qw_profile::Options::default(),
            ))),
            notifications: None,
            forwarding: None,
            usage: None,
            graphite: Vec::new(),
            access,
            hub: Hub::new(hub, store.last_id()),
            sources,
            notices,
            pipeline: pipeline.statistics(),
            inventory,
            metrics: qw_exporters::Metrics::new(qw_exporters::Options::new("0.0.0")),
            test_events: None,
            clock: Arc::new(move || Timestamp::from_nanos(clock.load(Relaxed))),
            settings: Settings {
                version: "0.0.0",
                ..Settings::default()
            },
        };
        change(&mut parts);
        let state = State::new(parts).unwrap();
        let router = routes::console(&state, Router::new());
        let router = around(router, state.parts.metrics.clone(), Hosts::Any);
        Self {
            state,
            router,
            store,
            now,
            sequence: 0,
            _folder: folder,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.state.now()
    }

    /// Moves the clock of the process, not that of the runtime.
    pub(super) fn advance(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1_000_000_000, Relaxed);
    }

    /// Stores an event per (seconds before now, rule, container) and tells the hub.
    pub(super) fn store(&mut self, events: &[(i64, &str, &str)]) -> Arc<[StoredEvent]> {
        let now = self.now();
        let events = events
            .iter()
            .map(|(ago, rule, container)| {
                let time = Timestamp::from_nanos(now.as_nanos() - ago * 1_000_000_000);
                event(0, time, rule, container).event
            })
            .collect();
        self.store_events(events)
    }

    pub(super) fn store_events(&mut self, events: Vec<qw_event::Event>) -> Arc<[StoredEvent]> {
        self.sequence += 1;
        let source = SourceId::new("test");
        let mut batches = vec![Batch {
            id: BatchId {
                source: source.clone(),
                epoch: 1,
                sequence: self.sequence,
            },
            position: None,
            received: self.now(),
            events,
        }];
        let appended = self.store.append(&mut batches).unwrap();
        let Some(Appended::Stored(stored)) = appended.into_iter().next() else {
            panic!("the batch was not stored");
        };
        self.state
            .parts
            .hub
            .observer()
            .committed(&source, &stored, self.now());
        stored
    }

    pub(super) fn know(&self, name: &str, state: &str) {
        let mut all: Vec<Container> = self
            .state
            .parts
            .inventory
            .containers()
            .iter()
            .map(|container| (**container).clone())
            .collect();
        all.push(Container {
            id: format!("{name:0<64}"),
            name: name.to_owned(),
            image: "registry/app:1".to_owned(),
            state: state.to_owned(),
            ..Container::default()
        });
        self.state.parts.inventory.set_static(all);
    }

    /// A token with `scopes`.
    pub(super) fn token(&self, scopes: &[Scope]) -> Proof {
        let asked = NewToken {
            name: "test".to_owned(),
            scopes: scopes.iter().copied().collect(),
            expires: None,
            created_by: "admin".to_owned(),
        };
        let (_, secret) = self
            .state
            .parts
            .access
            .create_token(asked, self.now())
            .unwrap();
        Proof {
            token: Some(secret.expose().to_owned()),
            ..Proof::default()
        }
    }

    pub(super) fn reader(&self) -> Proof {
        self.token(&[Scope::Read])
    }

    /// Makes the user `admin`, unless it exists, and signs in.
    pub(super) async fn sign_in(&self) -> Proof {
        let access = &self.state.parts.access;
        if access.setup_required() {
            access
                .create_user("admin", PASSWORD, Role::Admin, self.now())
                .unwrap();
        }
        let body = format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}");
        let answer = self
            .post("/api/session", &Proof::default(), &body)
            .await
            .expect(200);
        Self::proof(&answer)
    }

    /// What a browser keeps of the answer to a sign-in.
    pub(super) fn proof(answer: &Answer) -> Proof {
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        Proof {
            cookie: Some(cookie.split(';').next().unwrap().to_owned()),
            csrf: Some(answer.json()["csrf_token"].as_str().unwrap().to_owned()),
            token: None,
        }
    }

    /// Makes the user `name`, confined to `scope` if there is one, and a session.
    pub(super) fn session_of(&self, name: &str, role: Role, scope: Option<DataScope>) -> Proof {
        let access = &self.state.parts.access;
        let now = self.now();
        let new = NewUser {
            name: name.to_owned(),
            password: Some(PASSWORD.to_owned()),
            role,
            scope,
        };
        access.add_user(new, &Audit::system(), now).unwrap();
        self.again(name)
    }

    /// Another session of the user `name`.
    pub(super) fn again(&self, name: &str) -> Proof {
        let visitor = Visitor {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            agent: "test".to_owned(),
        };
        let access = &self.state.parts.access;
        let signed_in = access
            .sign_in(name, PASSWORD, &visitor, &Audit::system(), self.now())
            .unwrap();
        Proof {
            cookie: Some(format!(
                "quaywatch_session={}",
                signed_in.secret.cookie_value()
            )),
            csrf: Some(signed_in.secret.csrf_token()),
            token: None,
        }
    }

    /// A token with `scopes` that the user `name` has made.
    pub(super) fn token_of(&self, name: &str, scopes: &[Scope]) -> Proof {
        let asked = NewToken {
            name: "test".to_owned(),
            scopes: scopes.iter().copied().collect(),
            expires: None,
            created_by: name.to_owned(),
        };
        let access = &self.state.parts.access;
        let (_, secret) = access
            .add_token(asked, false, &Audit::system(), self.now())
            .unwrap();
        Proof {
            token: Some(secret.expose().to_owned()),
            ..Proof::default()
        }
    }

    /// Status of the answer, whose body is not read.
    pub(super) async fn status(
        &self,
        method: Method,
        path: &str,
        proof: &Proof,
        body: Option<&str>,
    ) -> u16 {
        let request = request(method, path, proof, body);
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.status().as_u16()
    }

    pub(super) async fn get(&self, path: &str, proof: &Proof) -> Answer {
        self.call(Method::GET, path, proof, None).await
    }

    pub(super) async fn post(&self, path: &str, proof: &Proof, body: &str) -> Answer {
        self.call(Method::POST, path, proof, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str, proof: &Proof) -> Answer {
        self.call(Method::DELETE, path, proof, None).await
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        proof: &Proof,
        body: Option<&str>,
    ) -> Answer {
        self.send(request(method, path, proof, body)).await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }
}

/// An open alert of some containers, the one seen last first, with 19 events each.
pub(super) fn alert(
    id: u64,
    rule: &str,
    containers: &[&Arc<ContainerRef>],
    now: Timestamp,
) -> Alert {
    let newest = containers[0];
    let mut alert = Alert {
        id: AlertId(id),
        source: AlertSource::Falco,
        rule: rule.into(),
        priority: Priority::Critical,
        workload: format!("registry/{0}/{0}", newest.name).into(),
        container: Arc::clone(newest),
        containers: Vec::new(),
        more_containers: false,
        audience: Audience::default(),
        hostname: "host".into(),
        title: format!("{rule} in {}", newest.name),
        score: None,
        reasons: Vec::new(),
        behaviour: Vec::new(),
        taught: 0,
        evidence: Vec::new(),
        first_seen: now,
        last_seen: now,
        count: 19 * containers.len() as u64,
        state: AlertState::New,
        close_reason: None,
        assignee: None,
        silenced_by: None,
        changed: now,
    };
    for container in containers.iter().rev() {
        alert.saw(container, now);
    }
    alert
}

pub(super) fn request(
    method: Method,
    path: &str,
    proof: &Proof,
    body: Option<&str>,
) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "quay");
    if let Some(cookie) = &proof.cookie {
        request = request.header(header::COOKIE, cookie);
    }
    if let Some(csrf) = &proof.csrf {
        request = request.header("x-quaywatch-csrf", csrf);
    }
    if let Some(token) = &proof.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

/// `text` as it is written in a query string.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
