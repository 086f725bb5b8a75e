//! Events as clients see them.

use std::sync::Arc;

use qw_event::{Category, ContainerRef, Priority, RecordKind, StoredEvent, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// One runtime security event, or a line of a container's log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Number in the order of arrival, as text; the cursor of streams.
    #[schema(example = "123")]
    id: String,
    /// What it is.
    #[schema(value_type = KindName)]
    kind: RecordKind,
    /// When it happened, by the sender's clock.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Falco's event source; of a line where it came from.
    #[schema(value_type = String, example = "syscall")]
    source: Arc<str>,
    /// Of a line: `stdout` or `stderr`.
    #[schema(value_type = Option<String>, example = "stdout")]
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Arc<str>>,
    /// Of a line: its level, `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `FATAL`; empty when it does not
    /// tell.
    #[schema(value_type = Option<String>, example = "INFO")]
    #[serde(skip_serializing_if = "Option::is_none")]
    severity_text: Option<Arc<str>>,
    /// Rule that matched; of a line its level.
    #[schema(value_type = String)]
    rule: Arc<str>,
    /// Urgency.
    #[schema(value_type = PriorityName)]
    priority: Priority,
    /// Kind of activity.
    #[schema(value_type = CategoryName)]
    category: Category,
    /// Host Falco ran on; empty when not said.
    #[schema(value_type = String)]
    hostname: Arc<str>,
    /// Container it happened in.
    #[schema(value_type = ContainerReference)]
    container: Arc<ContainerRef>,
    /// `proc.name`; empty when not said.
    #[schema(value_type = String)]
    process_name: Arc<str>,
    /// Tags of the rule.
    #[schema(value_type = Vec<String>)]
    tags: Arc<[Arc<str>]>,
    /// Falco's message; of a line its text.
    #[schema(value_type = String)]
    output: Box<str>,
    /// Falco's `output_fields`, to the letter.
    #[schema(value_type = Object)]
    output_fields: Box<RawValue>,
}

impl From<StoredEvent> for EventView {
    fn from(stored: StoredEvent) -> Self {
        let StoredEvent { id, event } = stored;
        let of_log = |text: &Arc<str>| (event.kind == RecordKind::Log).then(|| Arc::clone(text));
        Self {
            id: id.to_string(),
            kind: event.kind,
            stream: of_log(&event.source),
            severity_text: of_log(&event.rule),
            time: event.time,
            source: event.source,
            rule: event.rule,
            priority: event.priority,
            category: event.category,
            hostname: event.hostname,
            container: event.container,
            process_name: event.process_name,
            tags: event.tags,
            output: event.output,
            output_fields: event.output_fields,
        }
    }
}

/// An event as JSON in one line, shared between all who send it.
///
/// `output_fields` is kept to the letter and may hold line breaks between its parts; in JSON these
/// can be spaces, and a line of a stream must not hold them.
pub(crate) fn json_line(stored: &StoredEvent) -> Arc<str> {
    let mut text = serde_json::to_string(&EventView::from(stored.clone()))
        .expect("events have text keys only");
    if text.contains(['\n', '\r']) {
        text = text.replace(['\n', '\r'], " ");
    }
    text.into()
}

/// The container a record speaks of; every text is empty when unknown.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "describes `qw_event::ContainerRef` to readers of the document"
)]
pub(crate) struct ContainerReference {
    /// Full id when known; `host` for the host itself.
    id: String,
    /// Name.
    name: String,
    /// Image reference the container was started with.
    image: String,
    /// Repository part of it.
    image_repository: String,
    /// Tag part of it.
    image_tag: String,
    /// Repository digest.
    image_digest: String,
    /// Compose project.
    compose_project: String,
    /// Compose service.
    compose_service: String,
    /// Kubernetes namespace.
    k8s_namespace: String,
    /// Kubernetes pod.
    k8s_pod: String,
}

/// What a record is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordKind)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "describes `qw_event::RecordKind` to readers of the document"
)]
pub(crate) enum KindName {
    Event,
    Log,
}

/// Falco's priorities, most urgent first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Priority)]
#[expect(
    dead_code,
    reason = "describes `qw_event::Priority` to readers of the document"
)]
pub(crate) enum PriorityName {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

/// Kind of activity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Category)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "describes `qw_event::Category` to readers of the document"
)]
pub(crate) enum CategoryName {
    Process,
    Network,
    File,
    Unknown,
}

/// Counts by priority.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ByPriority {
    emergency: u64,
    alert: u64,
    critical: u64,
    error: u64,
    warning: u64,
    notice: u64,
    informational: u64,
    debug: u64,
}

impl From<[u64; 8]> for ByPriority {
    fn from(counts: [u64; 8]) -> Self {
        let [
            emergency,
            alert,
            critical,
            error,
            warning,
            notice,
            informational,
            debug,
        ] = counts;
        Self {
            emergency,
            alert,
            critical,
            error,
            warning,
            notice,
            informational,
            debug,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use qw_event::{Event, EventId};

    use super::*;

    /// An event with little in it.
    pub(crate) fn event(id: u64, time: Timestamp, rule: &str, container: &str) -> StoredEvent {
        StoredEvent {
            id: EventId(id),
            event: Event {
                kind: RecordKind::Event,
                time,
                source: "syscall".into(),
                rule: rule.into(),
                priority: Priority::Notice,
                category: Category::Process,
                hostname: "node-1".into(),
                container: Arc::new(ContainerRef {
                    id: format!("{container:0<64}").into(),
                    name: container.into(),
                    image: "registry/app:1".into(),
                    ..ContainerRef::default()
                }),
                process_name: "bash".into(),
                tags: Arc::from([Arc::from("shell")]),
                output: "a shell".into(),
                output_fields: RawValue::from_string("{\"proc.name\":\n \"bash\"}".to_owned())
                    .unwrap(),
            },
        }
    }

    #[test]
    fn the_line_is_the_contracts_event_in_one_line() {
        let line = json_line(&event(7, Timestamp::from_seconds(60), "Rule", "web"));
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["id"], "7");
        assert_eq!(value["time"], "1970-01-01T00:01:00Z");
        assert_eq!(value["container"]["name"], "web");
        assert_eq!(value["output_fields"]["proc.name"], "bash");
        assert_eq!(value["priority"], "Notice");
        assert_eq!(value["category"], "process");
    }
}
