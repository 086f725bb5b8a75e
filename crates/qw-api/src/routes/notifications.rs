//! Who is told about alerts, and how that goes.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use qw_event::Timestamp;
use qw_sinks::{SinkStatus, TestFailed};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    access::Audit,
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

pub(super) fn routes() -> Routes {
    vec![routes!(notifications), routes!(test_notification)]
}

/// All sinks of notifications.
#[derive(Serialize, ToSchema)]
struct NotificationList {
    /// The sinks, as configured.
    items: Vec<NotificationView>,
    /// Always null: the list is complete.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<()>,
}

/// A sink of notifications.
#[derive(Serialize, ToSchema)]
#[schema(as = Notification)]
struct NotificationView {
    /// Name.
    name: String,
    /// `webhook`, `alertmanager`, `syslog` or `smtp`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where messages go, without secrets.
    description: String,
    /// `disabled`, `idle`, `sending`, `paced` or `retrying`.
    #[schema(value_type = String)]
    state: qw_sinks::Standing,
    /// When the receiver last took a message.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success: Option<Timestamp>,
    /// Newest failure, with its causes.
    last_error: Option<String>,
    /// When it failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_error_time: Option<Timestamp>,
    /// Changes of alerts that the receiver took.
    sent: u64,
    /// Changes that were refused for good.
    failed: u64,
    /// Attempts that were made again.
    retried: u64,
    /// Changes that are not yet handled.
    lag: u64,
}

impl From<SinkStatus> for NotificationView {
    fn from(status: SinkStatus) -> Self {
        let (last_error, last_error_time) = status
            .last_failure
            .map(|failure| (failure.text, failure.time))
            .unzip();
        Self {
            name: status.name,
            kind: status.kind,
            description: status.place,
            state: status.standing,
            last_success: status.last_success,
            last_error,
            last_error_time,
            sent: status.sent,
            failed: status.failed,
            retried: status.retried,
            lag: status.lag,
        }
    }
}

/// Lists the sinks of notifications
#[utoipa::path(get, path = "/api/notifications", tag = "notifications", responses(
    (status = 200, body = NotificationList),
))]
async fn notifications(Extract(state): Extract<State>) -> Json<NotificationList> {
    let notifications = state.parts.notifications.as_ref();
    let statuses = notifications.map(qw_sinks::Notifications::statuses);
    Json(NotificationList {
        items: statuses
            .into_iter()
            .flatten()
            .map(NotificationView::from)
            .collect(),
        next_cursor: None,
    })
}

/// How a test message fared.
#[derive(Serialize, ToSchema)]
struct TestAnswer {
    /// True when the receiver took it.
    ok: bool,
    /// What the receiver said, or why it could not be reached.
    detail: String,
}

/// Sends a test message
///
/// It is marked as such. Answers once the receiver has.
#[utoipa::path(post, path = "/api/notifications/{name}/test", tag = "notifications",
    params(("name" = String, Path, description = "Name of the sink")),
    responses(
        (status = 200, body = TestAnswer),
        (status = 404, description = "There is no such sink", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn test_notification(
    Extract(state): Extract<State>,
    audit: Audit,
    Path(name): Path<String>,
) -> Result<Json<TestAnswer>, Problem> {
    audit.action(
        "notification.test",
        &name.chars().take(100).collect::<String>(),
    );
    let unknown = || {
        let name: String = name.chars().take(100).collect();
        Problem::new(Code::NotFound, format!("there is no sink `{name}`"))
    };
    let notifications = state.parts.notifications.clone().ok_or_else(unknown)?;
    let (ok, detail) = match notifications.test_send(&name).await {
        Ok(answer) => (true, answer.0),
        Err(TestFailed::Unknown(_)) => return Err(unknown()),
        Err(error) => (false, error.to_string()),
    };
    Ok(Json(TestAnswer { ok, detail }))
}
