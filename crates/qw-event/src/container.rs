//! Which container a record speaks of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The container a record belongs to, as far as it is known.
///
/// Every text is empty when unknown. Records of the host itself have the id and name `host`, as
/// Falco writes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerRef {
    /// The full id of 64 hexadecimal digits when the inventory knows it, else what the event said.
    pub id: Arc<str>,
    /// Name without a leading slash.
    pub name: Arc<str>,
    /// Image reference as the container was started with it, such as `registry/app:1.4`.
    pub image: Arc<str>,
    /// Repository part of the image reference (Falco's `container.image.repository`).
    pub image_repository: Arc<str>,
    /// Tag part of the image reference (Falco's `container.image.tag`).
    pub image_tag: Arc<str>,
    /// Repository digest, `sha256:…` (Falco's `container.image.digest`).
    pub image_digest: Arc<str>,
    /// Compose project (label `com.docker.compose.project`).
    pub compose_project: Arc<str>,
    /// Compose service (label `com.docker.compose.service`).
    pub compose_service: Arc<str>,
    /// Kubernetes namespace (Falco's `k8s.ns.name`).
    pub k8s_namespace: Arc<str>,
    /// Kubernetes pod (Falco's `k8s.pod.name`).
    pub k8s_pod: Arc<str>,
}

impl ContainerRef {
    /// What people call the container: its name, or its short id when it has no name.
    pub fn display_name(&self) -> &str {
        if self.name.is_empty() {
            self.short_id()
        } else {
            &self.name
        }
    }

    /// The first twelve characters of the id, as `docker ps` shows it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// True when `id_or_name` is the id, a prefix of it of at least twelve characters, or the name.
    pub fn answers_to(&self, id_or_name: &str) -> bool {
        !id_or_name.is_empty()
            && (*self.id == *id_or_name
                || *self.name == *id_or_name
                || (id_or_name.len() >= 12 && self.id.starts_with(id_or_name)))
    }
}
