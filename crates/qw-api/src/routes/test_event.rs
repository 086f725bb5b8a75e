//! A marked event through the whole pipeline, to see that it works.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use qw_event::{Category, ContainerRef, Event, Priority, RecordKind};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    guard::Caller,
    parameters::Body,
    problem::{Problem, ProblemBody},
    routes::Routes,
    state::State,
};

const RULE: &str = "Quaywatch test event";

/// Longest wait until the event is on disk.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Routes {
    vec![routes!(send)]
}

/// Where the event should seem to come from.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestEvent {
    /// Name or id of a container; the host itself when absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    container: Option<String>,
}

/// The event that was sent.
#[derive(Serialize, ToSchema)]
struct Sent {
    /// Its number; null when a rule of the operator has filtered it out.
    id: Option<String>,
}

/// Sends one clearly marked event through the whole pipeline
#[utoipa::path(post, path = "/api/events/test", tag = "events", request_body = TestEvent, responses(
    (status = 202, body = Sent, description = "It is on disk"),
    (status = 503, description = "Events cannot be stored now", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn send(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(asked): Body<TestEvent>,
) -> Result<Response, Problem> {
    let Some(intake) = &state.parts.test_events else {
        return Err(Problem::unavailable("test events are not taken here"));
    };
    if asked
        .container
        .as_ref()
        .is_some_and(|name| name.is_empty() || name.len() > 256)
    {
        return Err(Problem::invalid("`container` is no name of a container"));
    }
    let mark = getrandom::u64().map_err(|error| Problem::internal("make a mark", &error))?;
    let mark = format!("{mark:016x}");
    let event = event(
        &state,
        asked.container.as_deref(),
        &caller.0.username,
        &mark,
    );
    intake
        .status()
        .received(1, event.size_bytes() as u64, state.now());
    let sent = intake.send(vec![event], None, state.now());
    let stored = async {
        sent.await
            .map_err(|error| error.to_string())?
            .await
            .map_err(|error| error.to_string())
    };
    match tokio::time::timeout(PATIENCE, stored).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => {
            return Err(Problem::unavailable(format!(
                "the event is not stored: {why}"
            )));
        }
        Err(_) => {
            return Err(Problem::unavailable(
                "the event is not stored yet: the store waits",
            ));
        }
    }
    let found = state.parts.hub.find(|stored| {
        *stored.event.rule == *RULE && stored.event.output_fields.get().contains(&mark)
    });
    let sent = Sent {
        id: found.map(|stored| stored.id.to_string()),
    };
    Ok((StatusCode::ACCEPTED, Json(sent)).into_response())
}

fn event(state: &State, container: Option<&str>, username: &str, mark: &str) -> Event {
    let container = match container {
        None => Arc::new(ContainerRef {
            id: "host".into(),
            name: "host".into(),
            ..ContainerRef::default()
        }),
        Some(asked) => match state.parts.inventory.container(asked) {
            Some(known) => Arc::new(known.reference()),
            None => Arc::new(ContainerRef {
                name: asked.into(),
                ..ContainerRef::default()
            }),
        },
    };
    let output = format!(
        "Test event sent from the console by {username} (container={})",
        container.display_name()
    );
    let fields = json!({
        "container.id": &*container.id,
        "container.name": &*container.name,
        "quaywatch.test": mark,
        "user.name": username,
    });
    Event {
        kind: RecordKind::Event,
        time: state.now(),
        source: "internal".into(),
        rule: RULE.into(),
        priority: Priority::Notice,
        category: Category::Unknown,
        hostname: "".into(),
        container,
        process_name: "quaywatch".into(),
        tags: Arc::from([Arc::from("quaywatch"), Arc::from("test")]),
        output: output.into(),
        output_fields: RawValue::from_string(fields.to_string())
            .expect("a JSON value written as text is JSON"),
    }
}
