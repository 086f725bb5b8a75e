//! A record that leaves us, before a format makes bytes of it.

pub(crate) mod fault;
pub(crate) mod json;

use qw_event::{ContainerRef, Priority, Timestamp};
use qw_log::Severity;

/// One record as the encoders of all formats take it. Texts are empty when unknown.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// How grave it says it is; `None` when it does not say.
    pub severity: Option<Severity>,
    /// How urgent it is to us.
    pub priority: Priority,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// Host it comes from.
    pub hostname: &'a str,
    /// Tag, as Docker's log drivers call it.
    pub tag: &'a str,
    /// The container it comes from.
    pub container: &'a ContainerRef,
    /// The line, without its line end.
    pub text: &'a str,
    /// Everything else: a JSON object as it was written, or empty.
    pub fields: &'a str,
    /// Its number here, the same whenever it is sent again.
    pub id: u64,
}

/// The digits of bytes, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// A name, and its text.
pub(crate) type Attribute<'a> = (&'static str, &'a str);

impl<'a> Outgoing<'a> {
    /// What is known of the container and the host, by OpenTelemetry's names; nothing empty.
    pub(crate) fn resource(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let container = self.container;
        let attributes: [Attribute<'a>; 9] = [
            ("container.id", &container.id),
            ("container.name", &container.name),
            ("container.image.name", &container.image),
            ("oci.manifest.digest", &container.image_digest),
            ("com.docker.compose.project", &container.compose_project),
            ("com.docker.compose.service", &container.compose_service),
            ("k8s.namespace.name", &container.k8s_namespace),
            ("k8s.pod.name", &container.k8s_pod),
            ("host.name", self.hostname),
        ];
        attributes.into_iter().filter(|(_, text)| !text.is_empty())
    }

    /// What is known of the line beside its text, by OpenTelemetry's names; nothing empty.
    pub(crate) fn line_attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let attributes: [Attribute<'a>; 2] = [("log.iostream", self.stream), ("log.tag", self.tag)];
        attributes.into_iter().filter(|(_, text)| !text.is_empty())
    }

    /// The members of its fields; none when they are no JSON object.
    pub(crate) fn members(&self) -> Vec<json::Member<'a>> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        json::object(self.fields).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A container with every text.
    pub(crate) fn container() -> ContainerRef {
        ContainerRef {
            id: "ab".repeat(32).into(),
            name: "web".into(),
            image: "registry/web:1.4".into(),
            compose_project: "shop".into(),
            compose_service: "front".into(),
            k8s_namespace: "prod".into(),
            k8s_pod: "web-0".into(),
            ..ContainerRef::default()
        }
    }

    /// A record with every text.
    pub(crate) fn record<'a>(container: &'a ContainerRef, text: &'a str) -> Outgoing<'a> {
        Outgoing {
            time: Timestamp::from_nanos(1_700_000_000_123_456_789),
            severity: Some(Severity::Warn),
            priority: Priority::Warning,
            stream: "stderr",
            hostname: "box",
            tag: "web/1",
            container,
            text,
            fields: r#"{"answer":42,"user":"a\"b","deep":{"x":[1,null]}}"#,
            id: 7,
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let nothing = ContainerRef::default();
        let mut record = record(&nothing, "x");
        record.tag = "";
        let names = |attributes: Vec<Attribute<'_>>| -> Vec<&str> {
            attributes.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(record.resource().collect()), ["host.name"]);
        assert_eq!(names(record.line_attributes().collect()), ["log.iostream"]);
        assert_eq!(record.members().len(), 3);
        for fields in ["", "[1]", "{", "\"x\""] {
            record.fields = fields;
            assert!(record.members().is_empty(), "{fields}");
        }
    }
}
