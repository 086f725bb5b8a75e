//! Named values of a sender → what [`Received`] knows by name, and fields for the rest.
//!
//! Sources: OpenTelemetry semantic conventions (container, k8s, host, log); labels of Promtail,
//! Alloy and Loki's Docker driver; documents of Filebeat, Fluent Bit, Vector and Logstash.

use std::borrow::Cow;

use qw_log::{Severity, Stream, severity};

use crate::{
    Received,
    outgoing::{
        fault::Fault,
        json::{on_one_line, quote, string},
    },
};

/// A value of a sender.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// JSON of any kind.
    Json(Cow<'a, str>),
}

/// Which names are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// OpenTelemetry's only.
    OpenTelemetry,
    /// Those of all senders, too.
    Any,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Id,
    Name,
    Image,
    ImageId,
    Namespace,
    Pod,
    Host,
    Tag,
    Stream,
    Severity,
    /// A field that has this name here.
    Field(&'static str),
    /// A field, in which the id of the container may stand.
    Path,
}

/// Puts a value where its name says; what has a place already, or none, becomes a field.
pub(crate) fn put<'a>(
    received: &mut Received<'a>,
    names: Names,
    name: impl Into<Cow<'a, str>>,
    value: Value<'a>,
) {
    let name = name.into();
    let place = opentelemetry(&name).or_else(|| match names {
        Names::OpenTelemetry => None,
        Names::Any => of_others(&name),
    });
    let (name, value) = match place {
        None => (name, value),
        Some(Place::Field(own)) => (Cow::Borrowed(own), value),
        Some(Place::Path) => {
            put_path(received, &value);
            (Cow::Borrowed("log.file.path"), value)
        }
        Some(Place::Severity) => match severity_of(&value) {
            Some(severity) if received.severity.is_none_or(|known| known == severity) => {
                received.severity = Some(severity);
                return;
            }
            _ => (name, value),
        },
        Some(Place::Stream) => match stream_of(&value) {
            Some(stream) if received.stream.is_none_or(|known| known == stream) => {
                received.stream = Some(stream);
                return;
            }
            _ => (name, value),
        },
        Some(place) => match put_text(received, place, value) {
            Some(value) => (name, value),
            None => return,
        },
    };
    put_field(received, name, value);
}

/// Adds a field, whatever its name.
pub(crate) fn put_field<'a>(
    received: &mut Received<'a>,
    name: impl Into<Cow<'a, str>>,
    value: Value<'a>,
) {
    let json = match value {
        Value::Text(text) => Cow::Owned(quote(&text)),
        Value::Json(Cow::Borrowed(json)) => on_one_line(json),
        Value::Json(json) => Cow::Owned(on_one_line(&json).into_owned()),
    };
    received.fields.push((name.into(), json));
}

/// Spreads what is said once, of a whole stream, over its lines, and bounds what becomes of a body so:
/// short lines that share long attributes would make gigabytes of a megabyte.
#[derive(Debug)]
pub(crate) struct Spread {
    left: usize,
    count: usize,
}

impl Spread {
    /// Bytes that may be spread for each byte of the body, and for every body.
    const RATIO: usize = 64;
    const ALWAYS: usize = 1 << 20;

    pub(crate) fn new(body: usize) -> Self {
        Self {
            left: body
                .saturating_mul(Self::RATIO)
                .saturating_add(Self::ALWAYS),
            count: 0,
        }
    }

    /// Adds to a line, which begins at the byte `at`, what is said of its streams; the nearest first.
    pub(crate) fn fill<'a>(
        &mut self,
        received: &mut Received<'a>,
        streams: &[&'a Received<'_>],
        at: usize,
    ) -> Result<(), Fault> {
        for stream in streams {
            let fields = stream.fields.iter();
            let size: usize = fields.map(|(name, value)| name.len() + value.len()).sum();
            let what = "what the lines share is more than 64 times the body";
            let left = self.left.checked_sub(size);
            self.left = left.ok_or(Fault::too_long(what, at))?;
            fill(received, stream);
        }
        self.count += 1;
        Ok(())
    }

    /// How many lines there were.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }
}

/// Adds what a whole stream says to what the line itself says, which comes first.
fn fill<'a>(received: &mut Received<'a>, stream: &'a Received<'_>) {
    fn text<'a>(into: &mut Cow<'a, str>, from: &'a str) {
        if into.is_empty() {
            *into = Cow::Borrowed(from);
        }
    }
    received.severity = received.severity.or(stream.severity);
    received.stream = received.stream.or(stream.stream);
    text(&mut received.hostname, &stream.hostname);
    text(&mut received.tag, &stream.tag);
    let (into, from) = (&mut received.container, &stream.container);
    text(&mut into.id, &from.id);
    text(&mut into.name, &from.name);
    text(&mut into.image, &from.image);
    text(&mut into.image_id, &from.image_id);
    text(&mut into.k8s_namespace, &from.k8s_namespace);
    text(&mut into.k8s_pod, &from.k8s_pod);
    let fields = stream.fields.iter();
    let fields = fields.map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)));
    received.fields.extend(fields);
}

/// The severity that a word or number names, in the words of all senders.
pub(crate) fn severity_of(value: &Value<'_>) -> Option<Severity> {
    let word = match value {
        Value::Text(text) => Cow::Borrowed(&**text),
        Value::Json(json) => string(json).unwrap_or(Cow::Borrowed(json)),
    };
    let word = word.trim_ascii();
    if word.len() > 16 || !word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    severity::detect(format!("{{\"level\":\"{word}\"}}").as_bytes())
}

/// True of a container's id: 12 or 64 hexadecimal digits.
pub(crate) fn is_container_id(text: &str) -> bool {
    matches!(text.len(), 12 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Puts Docker's tag, which is the container's id unless a template says otherwise.
pub(crate) fn put_tag<'a>(received: &mut Received<'a>, tag: Cow<'a, str>) {
    if received.container.id.is_empty() && is_container_id(&tag) {
        received.container.id.clone_from(&tag);
    }
    received.tag = tag;
}

fn stream_of(value: &Value<'_>) -> Option<Stream> {
    match value {
        Value::Text(text) => Stream::from_name(text.as_bytes()),
        Value::Json(json) => Stream::from_name(string(json)?.as_bytes()),
    }
}

/// Gives the value back when it has to become a field.
fn put_text<'a>(received: &mut Received<'a>, place: Place, value: Value<'a>) -> Option<Value<'a>> {
    let text = match &value {
        Value::Text(text) => text.clone(),
        Value::Json(Cow::Borrowed(json)) => match string(json) {
            Some(text) => text,
            None => return Some(value),
        },
        Value::Json(Cow::Owned(json)) => match string(json) {
            Some(text) => Cow::Owned(text.into_owned()),
            None => return Some(value),
        },
    };
    let container = &mut received.container;
    let (into, text) = match place {
        // Kubernetes writes `containerd://0123…`.
        Place::Id => (&mut container.id, behind(text, "://")),
        Place::Name => (&mut container.name, without_slash(text)),
        Place::Image => (&mut container.image, text),
        Place::ImageId => (&mut container.image_id, text),
        Place::Namespace => (&mut container.k8s_namespace, text),
        Place::Pod => (&mut container.k8s_pod, text),
        Place::Host => (&mut received.hostname, text),
        Place::Tag if received.tag.is_empty() => {
            put_tag(received, text);
            return None;
        }
        Place::Tag => (&mut received.tag, text),
        Place::Stream | Place::Severity | Place::Field(_) | Place::Path => return Some(value),
    };
    if into.is_empty() {
        *into = text;
        return None;
    }
    (*into != text && !text.is_empty()).then_some(value)
}

/// `/var/lib/docker/containers/<id>/<id>-json.log` names a container.
fn put_path(received: &mut Received<'_>, value: &Value<'_>) {
    let path = match value {
        Value::Text(text) => Cow::Borrowed(&**text),
        Value::Json(json) => string(json).unwrap_or_default(),
    };
    if received.container.id.is_empty()
        && let Some(id) = path
            .split('/')
            .find(|part| part.len() == 64 && is_container_id(part))
    {
        received.container.id = Cow::Owned(id.to_owned());
    }
}

fn behind<'a>(text: Cow<'a, str>, mark: &str) -> Cow<'a, str> {
    match text.split_once(mark) {
        None => text,
        Some((_, rest)) => Cow::Owned(rest.to_owned()),
    }
}

fn without_slash(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('/').unwrap_or(text)),
        Cow::Owned(text) if text.starts_with('/') => Cow::Owned(text.replacen('/', "", 1)),
        Cow::Owned(text) => Cow::Owned(text),
    }
}

fn opentelemetry(name: &str) -> Option<Place> {
    Some(match name {
        "container.id" => Place::Id,
        "container.name" => Place::Name,
        "container.image.name" => Place::Image,
        "container.image.id" => Place::ImageId,
        "k8s.namespace.name" => Place::Namespace,
        "k8s.pod.name" => Place::Pod,
        // Within a pod the name of the container stands here.
        "k8s.container.name" => Place::Name,
        "host.name" => Place::Host,
        "log.iostream" => Place::Stream,
        "log.tag" => Place::Tag,
        "log.file.path" => Place::Path,
        _ => return None,
    })
}

fn of_others(name: &str) -> Option<Place> {
    Some(match name {
        "container_id"
        | "container_id_full"
        | "containerId"
        | "docker_id"
        | "docker.id"
        | "docker.container_id"
        | "docker.container.id"
        | "kubernetes.docker_id"
        | "kubernetes.container_id"
        | "kubernetes.container.id"
        | "CONTAINER_ID_FULL"
        | "__meta_docker_container_id"
        | "__meta_kubernetes_pod_container_id" => Place::Id,
        "container_name"
        | "container"
        | "containerName"
        | "docker.name"
        | "docker.container_name"
        | "docker.container.name"
        | "kubernetes.container_name"
        | "kubernetes.container.name"
        | "CONTAINER_NAME"
        | "__meta_docker_container_name"
        | "__meta_kubernetes_pod_container_name" => Place::Name,
        "image"
        | "image_name"
        | "container_image"
        | "container.image"
        | "docker.image"
        | "docker.container.image"
        | "kubernetes.container_image"
        | "kubernetes.container.image"
        | "IMAGE_NAME"
        | "__meta_docker_container_image"
        | "__meta_kubernetes_pod_container_image" => Place::Image,
        "image_id" | "container_image_id" | "docker.image_id" | "kubernetes.container_image_id" => {
            Place::ImageId
        }
        "namespace"
        | "namespace_name"
        | "kubernetes_namespace"
        | "kubernetes.namespace"
        | "kubernetes.namespace_name"
        | "kubernetes.pod_namespace"
        | "__meta_kubernetes_namespace" => Place::Namespace,
        "pod"
        | "pod_name"
        | "kubernetes_pod_name"
        | "kubernetes.pod.name"
        | "kubernetes.pod_name"
        | "__meta_kubernetes_pod_name" => Place::Pod,
        "host"
        | "hostname"
        | "nodename"
        | "node_name"
        | "host.hostname"
        | "kubernetes.host"
        | "kubernetes.node.name"
        | "kubernetes.pod_node_name"
        | "agent.hostname"
        | "_HOSTNAME"
        | "__meta_kubernetes_pod_node_name" => Place::Host,
        "tag" | "docker.tag" | "CONTAINER_TAG" | "fluentd_tag" | "fluent_tag" => Place::Tag,
        "stream" | "source" | "logstream" | "__meta_docker_container_log_stream" => Place::Stream,
        "level"
        | "severity"
        | "detected_level"
        | "log.level"
        | "log_level"
        | "loglevel"
        | "levelname"
        | "severity_text"
        | "PRIORITY"
        | "otel.log.severity.text" => Place::Severity,
        "compose_project" | "docker_compose_project" => Place::Field("com.docker.compose.project"),
        "compose_service" | "docker_compose_service" => Place::Field("com.docker.compose.service"),
        "swarm_service" => Place::Field("com.docker.swarm.service.name"),
        "swarm_stack" => Place::Field("com.docker.stack.namespace"),
        "service_name" => Place::Field("service.name"),
        "filename" => Place::Path,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_all(names: Names, list: &[(&'static str, &'static str)]) -> Received<'static> {
        let mut received = Received::default();
        for (name, value) in list {
            put(&mut received, names, *name, Value::Text((*value).into()));
        }
        received
    }

    #[test]
    fn names_of_senders_find_their_place() {
        let received = put_all(
            Names::Any,
            &[
                ("container_name", "/web"),
                ("container", "web"),
                ("kubernetes.docker_id", "docker://abc"),
                ("nodename", "box"),
                ("host", "other"),
                ("level", "WARNING"),
                ("detected_level", "unknown"),
                ("source", "stderr"),
                ("stream", "nothing"),
                ("compose_project", "shop"),
            ],
        );
        assert_eq!(received.container.name, "web");
        assert_eq!(received.container.id, "abc");
        assert_eq!(received.hostname, "box");
        assert_eq!(received.severity, Some(Severity::Warn));
        assert_eq!(received.stream, Some(Stream::Stderr));
        let fields: Vec<_> = received
            .fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            fields,
            [
                ("host", "\"other\""),
                ("detected_level", "\"unknown\""),
                ("stream", "\"nothing\""),
                ("com.docker.compose.project", "\"shop\""),
            ]
        );
    }

    #[test]
    fn attributes_of_opentelemetry_keep_their_names() {
        let received = put_all(
            Names::OpenTelemetry,
            &[("host", "a"), ("host.name", "b"), ("level", "info")],
        );
        assert_eq!(received.hostname, "b");
        assert_eq!(received.severity, None);
        assert_eq!(received.fields.len(), 2);
    }

    #[test]
    fn a_path_names_the_container() {
        let id = "0123456789abcdef".repeat(4);
        let path = format!("/var/lib/docker/containers/{id}/{id}-json.log");
        let mut received = Received::default();
        put(
            &mut received,
            Names::Any,
            "filename",
            Value::Text(path.into()),
        );
        assert_eq!(received.container.id, id);
        assert_eq!(received.fields[0].0, "log.file.path");
    }

    #[test]
    fn severities_are_words_or_numbers() {
        let check = |value: Value<'_>, expected: Option<Severity>| {
            assert_eq!(severity_of(&value), expected, "{value:?}");
        };
        check(Value::Text("Information".into()), Some(Severity::Info));
        check(Value::Json("30".into()), Some(Severity::Info));
        check(Value::Json("\"crit\"".into()), Some(Severity::Critical));
        check(Value::Json("3".into()), Some(Severity::Error));
        check(Value::Text("a\"b".into()), None);
        check(Value::Json("{}".into()), None);
        check(Value::Text("unknown".into()), None);
    }
}
