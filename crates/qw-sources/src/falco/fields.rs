//! The entries of `output_fields` that an event's own properties come from.

use std::{borrow::Cow, sync::Arc};

use qw_event::{ContainerRef, Timestamp};

use super::{
    intern::Interner,
    scan::{Scanner, Text, Value},
    time::nanoseconds,
};

/// Known entries as text, empty when absent, null, or `<NA>`.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) container_id: Cow<'a, str>,
    pub(crate) container_name: Cow<'a, str>,
    pub(crate) container_image: Cow<'a, str>,
    pub(crate) image_repository: Cow<'a, str>,
    pub(crate) image_tag: Cow<'a, str>,
    pub(crate) image_digest: Cow<'a, str>,
    pub(crate) compose_project: Cow<'a, str>,
    pub(crate) compose_service: Cow<'a, str>,
    pub(crate) k8s_namespace: Cow<'a, str>,
    pub(crate) k8s_pod: Cow<'a, str>,
    pub(crate) audit_namespace: Cow<'a, str>,
    pub(crate) audit_pod: Cow<'a, str>,
    pub(crate) audit_resource: Cow<'a, str>,
    pub(crate) audit_name: Cow<'a, str>,
    pub(crate) process_name: Cow<'a, str>,
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) hostname: Cow<'a, str>,
    pub(crate) fd_type: Cow<'a, str>,
    pub(crate) fd_name: Cow<'a, str>,
    pub(crate) has_connection: bool,
    pub(crate) has_process: bool,
    /// The entries that say the time, in the order of trust; read only where nothing else says it.
    times: [Option<Value<'a>>; 3],
    /// Source that the names of the entries give away.
    pub(crate) plugin_source: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// Takes note of one entry.
    pub(crate) fn note(&mut self, key: Text<'a>, value: Value<'a>) {
        let key = key.decode();
        let Some(dot) = key.bytes().position(|byte| byte == b'.') else {
            return;
        };
        let (group, name) = key.split_at(dot);
        let place = match group {
            "container" => match name {
                ".id" => &mut self.container_id,
                ".name" => &mut self.container_name,
                ".image" => &mut self.container_image,
                ".image.repository" => &mut self.image_repository,
                ".image.tag" => &mut self.image_tag,
                ".image.digest" => &mut self.image_digest,
                ".label[com.docker.compose.project]" => &mut self.compose_project,
                ".label[com.docker.compose.service]" => &mut self.compose_service,
                _ => return,
            },
            "proc" => {
                self.has_process = true;
                if name != ".name" {
                    return;
                }
                &mut self.process_name
            }
            "evt" => match name {
                ".type" => &mut self.event_type,
                ".hostname" => &mut self.hostname,
                ".time" => return self.times[0] = Some(value),
                ".time.iso8601" => return self.times[1] = Some(value),
                ".rawtime" => return self.times[2] = Some(value),
                _ => return,
            },
            "fd" => match name {
                ".type" | ".typechar" => &mut self.fd_type,
                ".name" => &mut self.fd_name,
                ".sip" | ".cip" | ".rip" | ".lip" | ".sport" | ".cport" | ".rport" | ".lport"
                | ".l4proto" => {
                    self.has_connection |= !text(value).is_empty();
                    return;
                }
                _ => return,
            },
            "k8s" => match name {
                ".ns.name" => &mut self.k8s_namespace,
                ".pod.name" => &mut self.k8s_pod,
                _ => return,
            },
            "ka" => {
                self.plugin_source = Some("k8s_audit");
                match name {
                    ".target.namespace" => &mut self.audit_namespace,
                    ".target.pod.name" | ".target.pod" => &mut self.audit_pod,
                    ".target.resource" => &mut self.audit_resource,
                    ".target.name" => &mut self.audit_name,
                    _ => return,
                }
            }
            "ct" => {
                self.plugin_source = Some("aws_cloudtrail");
                return;
            }
            _ => return,
        };
        *place = text(value);
    }

    /// The time that these entries say.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.times.iter().flatten().copied().find_map(nanoseconds)
    }

    /// The container that these entries speak of, shared with others that say the same.
    pub(crate) fn container(&self, containers: &mut Containers) -> Arc<ContainerRef> {
        let namespace = either(&self.k8s_namespace, &self.audit_namespace);
        let named_pod = if self.audit_resource == "pods" {
            &*self.audit_name
        } else {
            ""
        };
        let pod = either(&self.k8s_pod, either(&self.audit_pod, named_pod));
        let said = [
            &*self.container_id,
            &self.container_name,
            &self.container_image,
            &self.image_repository,
            &self.image_tag,
            &self.image_digest,
            &self.compose_project,
            &self.compose_service,
            namespace,
            pod,
        ];
        containers.get(said)
    }
}

/// The newest containers that were spoken of.
pub(crate) struct Containers {
    /// By everything that was said, joined.
    known: Interner<Box<str>, Arc<ContainerRef>>,
    key: String,
}

impl Containers {
    pub(crate) fn new(containers: usize) -> Self {
        Self {
            known: Interner::new(containers),
            key: String::new(),
        }
    }

    /// The container of which `said` is said: id, name, image, repository, tag, digest, project, service,
    /// namespace, pod.
    pub(crate) fn get(&mut self, said: [&str; 10]) -> Arc<ContainerRef> {
        self.key.clear();
        for text in said {
            self.key.push_str(text);
            self.key.push('\0');
        }
        self.known.get(
            self.key.as_str(),
            |key, wanted| **key == *wanted,
            |wanted| (wanted.into(), Arc::new(container(said))),
        )
    }
}

fn container(
    [
        id,
        name,
        image,
        repository,
        tag,
        digest,
        project,
        service,
        namespace,
        pod,
    ]: [&str; 10],
) -> ContainerRef {
    let named = split_image(image);
    let repository = either(repository, named.0);
    let tag = either(tag, named.1);
    let image = match (image, tag) {
        ("", "") => repository.to_owned(),
        ("", tag) if !repository.is_empty() => format!("{repository}:{tag}"),
        (image, _) => image.to_owned(),
    };
    ContainerRef {
        id: id.into(),
        name: either(
            name.trim_start_matches('/'),
            if id == "host" { "host" } else { "" },
        )
        .into(),
        image: image.into(),
        image_repository: repository.into(),
        image_tag: tag.into(),
        image_digest: either(digest, named.2).into(),
        compose_project: project.into(),
        compose_service: service.into(),
        k8s_namespace: namespace.into(),
        k8s_pod: pod.into(),
    }
}

/// Repository, tag and digest of an image reference.
fn split_image(image: &str) -> (&str, &str, &str) {
    let (named, digest) = image.split_once('@').unwrap_or((image, ""));
    if named.starts_with("sha256:") {
        return ("", "", named);
    }
    match named.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag, digest),
        _ => (named, "", digest),
    }
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// A value as text; empty when it is null, not a scalar, or `<NA>`.
#[inline]
pub(crate) fn text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Text(text) => match text.decode() {
            absent if matches!(&*absent, "<NA>" | "N/A") => Cow::Borrowed(""),
            text => text,
        },
        Value::Number(number) => Cow::Borrowed(number),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Null | Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
    }
}

/// Calls `each` for the entries of the object `json`; stops at what is no entry.
pub(crate) fn entries<'a>(
    json: &'a str,
    most_depth: usize,
    mut each: impl FnMut(Text<'a>, Value<'a>),
) {
    let outcome = Scanner::new(json, most_depth).object(|scanner, key| {
        each(key, scanner.value()?);
        Ok(())
    });
    debug_assert_eq!(outcome, Ok(()), "the text was validated before");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references_come_apart() {
        let check = |image, expected| assert_eq!(split_image(image), expected, "{image}");
        check("", ("", "", ""));
        check("busybox", ("busybox", "", ""));
        check(
            "docker.io/library/busybox:1.36",
            ("docker.io/library/busybox", "1.36", ""),
        );
        check("registry:5000/app", ("registry:5000/app", "", ""));
        check(
            "registry:5000/app:2@sha256:ab",
            ("registry:5000/app", "2", "sha256:ab"),
        );
        check("sha256:abcd", ("", "", "sha256:abcd"));
    }
}
