//! What is known about one container.

use std::{collections::BTreeMap, sync::Arc};

use qw_docker::{ContainerDetails, ContainerSummary, EngineEvent};
use qw_event::{ContainerRef, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Image, ImageReference};

/// State of a container that the engine no longer has.
pub const REMOVED: &str = "removed";
/// State of a container that is known from before and of which the engine has not spoken yet.
pub const UNKNOWN: &str = "unknown";

const MAX_LABELS: usize = 256;
const MAX_LABEL_BYTES: usize = 256 << 10;
const MAX_TEXT_CHARACTERS: usize = 4096;
const MAX_ITEMS: usize = 64;

/// A container, there or gone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without slash.
    pub name: String,
    /// Image reference as it was started with.
    pub image: String,
    /// Id of the image, `sha256:…`.
    pub image_id: String,
    /// Repository digest, `sha256:…`; empty for an image that was built here.
    pub image_digest: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`, [`REMOVED`] or
    /// [`UNKNOWN`].
    pub state: String,
    /// State in words, such as `Up 2 hours`, as of the last listing.
    pub status: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it last started.
    pub started: Option<Timestamp>,
    /// When it last stopped; `None` while it runs.
    pub finished: Option<Timestamp>,
    /// When it was found removed.
    pub removed: Option<Timestamp>,
    /// Name of the engine's host.
    pub host: String,
    /// Labels, at most 256 of together 256 KiB.
    pub labels: BTreeMap<String, String>,
    /// Label `com.docker.compose.project`.
    pub compose_project: String,
    /// Label `com.docker.compose.service`.
    pub compose_service: String,
    /// Label `io.kubernetes.pod.namespace`.
    pub k8s_namespace: String,
    /// Label `io.kubernetes.pod.name`.
    pub k8s_pod: String,
    /// Label `io.kubernetes.container.name`.
    pub k8s_container: String,
    /// Command line.
    pub command: String,
    /// Ports.
    pub ports: Vec<Port>,
    /// Networks.
    pub networks: Vec<Network>,
    /// Mounts.
    pub mounts: Vec<Mount>,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Port {
    /// Address on the host; empty when not published.
    pub address: String,
    /// Port in the container.
    pub private: u16,
    /// Port on the host; `None` when not published.
    pub public: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Name of the network.
    pub name: String,
    /// Address in it; empty while not running.
    pub address: String,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// Path on the host, or name of the volume.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// True when the container may write.
    pub writable: bool,
}

impl Container {
    /// True when a process of it exists, as far as is known.
    pub fn is_running(&self) -> bool {
        ["running", "paused", "restarting"].contains(&self.state.as_str())
    }

    /// True when `id_or_name` is the id, a prefix of it of at least twelve characters, or the name.
    pub fn answers_to(&self, id_or_name: &str) -> bool {
        !id_or_name.is_empty()
            && (self.id == id_or_name
                || self.name == id_or_name
                || (id_or_name.len() >= 12 && self.id.starts_with(id_or_name)))
    }

    /// What events carry of it.
    pub fn reference(&self) -> ContainerRef {
        let parts = ImageReference::parse(&self.image);
        let digest = if self.image_digest.is_empty() {
            parts.digest
        } else {
            &self.image_digest
        };
        let shared = |text: &str| -> Arc<str> { text.into() };
        ContainerRef {
            id: shared(&self.id),
            name: shared(&self.name),
            image: shared(&self.image),
            image_repository: shared(parts.repository),
            image_tag: shared(parts.tag),
            image_digest: shared(digest),
            compose_project: shared(&self.compose_project),
            compose_service: shared(&self.compose_service),
            k8s_namespace: shared(&self.k8s_namespace),
            k8s_pod: shared(&self.k8s_pod),
        }
    }

    /// What the engine's list says of it; what only its details say is missing.
    pub(crate) fn from_summary(summary: ContainerSummary, host: &str) -> Self {
        let mut container = Self {
            name: summary.name().to_owned(),
            id: summary.id,
            image: summary.image,
            image_id: summary.image_id,
            state: summary.state,
            status: bounded(summary.status),
            created: (summary.created > 0).then(|| Timestamp::from_seconds(summary.created)),
            host: host.to_owned(),
            command: bounded(summary.command),
            ports: summary
                .ports
                .into_iter()
                .take(MAX_ITEMS)
                .map(|port| Port {
                    address: port.address,
                    private: port.private,
                    public: port.public,
                    protocol: port.protocol,
                })
                .collect(),
            networks: summary
                .network_settings
                .networks
                .into_iter()
                .take(MAX_ITEMS)
                .map(|(name, network)| Network {
                    name,
                    address: network.address,
                })
                .collect(),
            mounts: summary
                .mounts
                .into_iter()
                .take(MAX_ITEMS)
                .map(|mount| Mount {
                    source: if mount.name.is_empty() {
                        mount.source
                    } else {
                        mount.name
                    },
                    kind: mount.kind,
                    destination: mount.destination,
                    writable: mount.writable,
                })
                .collect(),
            ..Self::default()
        };
        container.set_labels(summary.labels);
        container
    }

    /// What an event of the engine says of a container that may be gone before it can be asked.
    pub(crate) fn from_event(event: &EngineEvent, host: &str) -> Self {
        let attribute = |name: &str| event.attributes.get(name).cloned().unwrap_or_default();
        let mut container = Self {
            id: event.id.clone(),
            name: attribute("name"),
            image: attribute("image"),
            state: "created".to_owned(),
            created: Some(event.time),
            host: host.to_owned(),
            ..Self::default()
        };
        // The attributes are the labels and some words of the engine's own.
        let own = [
            "name",
            "image",
            "exitCode",
            "signal",
            "oldName",
            "execID",
            "execDuration",
        ];
        let mut labels = event.attributes.clone();
        labels.retain(|key, _| !own.contains(&key.as_str()));
        container.set_labels(labels);
        container
    }

    /// Adds what only the details say.
    pub(crate) fn add_details(&mut self, details: &ContainerDetails) {
        if !details.config.image.is_empty() {
            // The list shows an id once the reference has moved on to another image.
            self.image.clone_from(&details.config.image);
        }
        self.created = details.created.or(self.created);
        self.started = details.state.started_at;
        self.finished = details.state.finished_at.filter(|_| !details.state.running);
    }

    /// Takes over from `before` what the list does not say.
    pub(crate) fn keep_details(&mut self, before: &Self) {
        if before.image_id == self.image_id && !before.image.is_empty() {
            self.image.clone_from(&before.image);
        }
        self.created = before.created.or(self.created);
        self.started = before.started;
        self.finished = if self.is_running() {
            None
        } else {
            before.finished
        };
    }

    /// Sets the repository digest by the image.
    pub(crate) fn set_digest(&mut self, image: Option<&Image>) {
        if let Some(image) = image {
            image
                .digest_for(&self.image)
                .clone_into(&mut self.image_digest);
        }
    }

    fn set_labels(&mut self, labels: BTreeMap<String, String>) {
        let label = |name: &str| bounded(labels.get(name).cloned().unwrap_or_default());
        self.compose_project = label("com.docker.compose.project");
        self.compose_service = label("com.docker.compose.service");
        self.k8s_namespace = label("io.kubernetes.pod.namespace");
        self.k8s_pod = label("io.kubernetes.pod.name");
        self.k8s_container = label("io.kubernetes.container.name");
        let mut room = MAX_LABEL_BYTES;
        self.labels = labels
            .into_iter()
            .take(MAX_LABELS)
            .map(|(key, value)| (bounded(key), bounded(value)))
            .take_while(|(key, value)| {
                let fits = room.checked_sub(key.len() + value.len());
                room = fits.unwrap_or(0);
                fits.is_some()
            })
            .collect();
    }
}

fn bounded(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARACTERS) {
        None => text,
        Some(_) => text.chars().take(MAX_TEXT_CHARACTERS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EngineEvent {
        let attributes = [
            ("name", "shop-web-1"),
            ("image", "registry:5000/web:2"),
            ("exitCode", "0"),
            ("com.docker.compose.project", "shop"),
            ("io.kubernetes.pod.name", "web-0"),
        ];
        EngineEvent {
            kind: "container".to_owned(),
            action: "start".to_owned(),
            id: "3f2a".to_owned(),
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            time: Timestamp::from_seconds(7),
        }
    }

    #[test]
    fn an_event_alone_names_the_container() {
        let container = Container::from_event(&event(), "node-1");
        assert_eq!(container.labels.len(), 2);
        let reference = container.reference();
        assert_eq!(&*reference.name, "shop-web-1");
        assert_eq!(&*reference.image_repository, "registry:5000/web");
        assert_eq!(&*reference.image_tag, "2");
        assert_eq!(&*reference.compose_project, "shop");
        assert_eq!(&*reference.k8s_pod, "web-0");
    }

    #[test]
    fn a_later_listing_keeps_what_only_the_details_say() {
        let mut before = Container::from_event(&event(), "node-1");
        before.image_id = "sha256:1".to_owned();
        before.started = Some(Timestamp::from_seconds(8));
        before.finished = Some(Timestamp::from_seconds(9));
        let summary = ContainerSummary {
            id: "3f2a".to_owned(),
            image: "sha256:1".to_owned(),
            image_id: "sha256:1".to_owned(),
            state: "running".to_owned(),
            ..ContainerSummary::default()
        };
        let mut after = Container::from_summary(summary, "node-1");
        after.keep_details(&before);
        assert_eq!(after.image, "registry:5000/web:2");
        assert_eq!(after.started, before.started);
        assert_eq!(after.finished, None);
    }

    #[test]
    fn hostile_labels_are_bounded() {
        let labels = (0..1000)
            .map(|n| (format!("{n:04}"), "é".repeat(5000)))
            .collect();
        let mut container = Container::default();
        container.set_labels(labels);
        assert!(
            container
                .labels
                .values()
                .all(|value| value.chars().count() == MAX_TEXT_CHARACTERS)
        );
        let bytes: usize = container
            .labels
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(bytes <= MAX_LABEL_BYTES && container.labels.len() > 10);
    }
}
