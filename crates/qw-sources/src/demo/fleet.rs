//! The containers of the demo: 40 on 6 hosts, from 12 images.

use std::{net::Ipv4Addr, sync::LazyLock, time::Duration};

use qw_event::{ContainerRef, Timestamp};

use super::{
    random::{drawn, hexadecimal},
    roles::{ROLES, Role, RoleName},
};

/// A container of the demo.
#[derive(Debug, Clone)]
pub struct DemoContainer {
    /// 64 hexadecimal digits; events carry the first twelve, as Falco's do.
    pub id: String,
    /// Name.
    pub name: &'static str,
    /// Image reference, `repository:tag`.
    pub image: String,
    /// Its repository part.
    pub repository: &'static str,
    /// Its tag part.
    pub tag: &'static str,
    /// Id of the image, `sha256:…`.
    pub image_id: String,
    /// Repository digest of the image, `sha256:…`.
    pub digest: String,
    /// Host it runs on.
    pub host: &'static str,
    /// Labels, ordered by name.
    pub labels: Vec<(&'static str, String)>,
    /// Compose project; empty in Kubernetes.
    pub compose_project: &'static str,
    /// Compose service; empty in Kubernetes.
    pub compose_service: &'static str,
    /// Kubernetes namespace; empty outside of it.
    pub k8s_namespace: &'static str,
    /// Kubernetes pod; empty outside of it.
    pub k8s_pod: String,
    /// Address in the network of the containers.
    pub address: Ipv4Addr,
    /// How long it had been running when the demo began.
    pub age: Duration,
    pub(super) role: RoleName,
}

impl DemoContainer {
    /// When it was created, for a demo that began at `began`.
    pub fn created(&self, began: Timestamp) -> Timestamp {
        began.saturating_sub(self.age)
    }

    /// The reference that events of this container carry once they are enriched.
    pub fn container_ref(&self) -> ContainerRef {
        ContainerRef {
            id: self.id.as_str().into(),
            name: self.name.into(),
            image: self.image.as_str().into(),
            image_repository: self.repository.into(),
            image_tag: self.tag.into(),
            image_digest: self.digest.as_str().into(),
            compose_project: self.compose_project.into(),
            compose_service: self.compose_service.into(),
            k8s_namespace: self.k8s_namespace.into(),
            k8s_pod: self.k8s_pod.as_str().into(),
        }
    }

    pub(super) fn role(&self) -> &'static Role {
        &ROLES[self.role as usize]
    }

    pub(super) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// The containers of the demo, the same for every seed.
pub fn fleet() -> &'static [DemoContainer] {
    &FLEET.containers
}

/// The fleet and what is looked up in it for every event.
pub(super) struct Fleet {
    pub(super) containers: Vec<DemoContainer>,
    /// Indices by role.
    by_role: [Vec<usize>; ROLES.len()],
    /// Running sums of the weights.
    weights: Vec<f64>,
}

pub(super) static FLEET: LazyLock<Fleet> = LazyLock::new(Fleet::build);

impl Fleet {
    /// The container at `share` (0 to 1) of the way through the weights.
    pub(super) fn at_share(&self, share: f64) -> &DemoContainer {
        self.at(self.index_at_share(share))
    }

    /// Its number.
    pub(super) fn index_at_share(&self, share: f64) -> usize {
        let total = self.weights.last().copied().unwrap_or(0.0);
        self.weights.partition_point(|sum| *sum <= share * total)
    }

    /// The container with the number `index`, counted around.
    pub(super) fn at(&self, index: usize) -> &DemoContainer {
        &self.containers[index % self.containers.len()]
    }

    /// A container of `role`; `choice` says which.
    pub(super) fn of_role(&self, role: RoleName, choice: u64) -> &DemoContainer {
        self.at(self.index_of_role(role, choice))
    }

    /// Its number.
    pub(super) fn index_of_role(&self, role: RoleName, choice: u64) -> usize {
        let indices = &self.by_role[role as usize];
        indices[choice as usize % indices.len()]
    }

    /// The container named `name`.
    pub(super) fn named(&self, name: &str) -> Option<&DemoContainer> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }

    fn build() -> Self {
        let containers: Vec<DemoContainer> = PLACES.iter().enumerate().map(container).collect();
        let by_role = std::array::from_fn(|role| {
            let of_role = |(index, container): (usize, &DemoContainer)| {
                (container.role as usize == role).then_some(index)
            };
            containers.iter().enumerate().filter_map(of_role).collect()
        });
        let weights = containers
            .iter()
            .scan(0.0, |sum, container| {
                *sum += container.role().weight;
                Some(*sum)
            })
            .collect();
        Self {
            containers,
            by_role,
            weights,
        }
    }
}

/// Where a container runs and under which name.
struct Place {
    name: &'static str,
    role: RoleName,
    host: &'static str,
    belongs: Belongs,
}

enum Belongs {
    Compose {
        project: &'static str,
        service: &'static str,
    },
    Kubernetes {
        namespace: &'static str,
    },
}

const fn compose(
    host: &'static str,
    name: &'static str,
    role: RoleName,
    project: &'static str,
    service: &'static str,
) -> Place {
    Place {
        name,
        role,
        host,
        belongs: Belongs::Compose { project, service },
    }
}

const fn pod(name: &'static str, role: RoleName, namespace: &'static str) -> Place {
    Place {
        name,
        role,
        host: "kube-1",
        belongs: Belongs::Kubernetes { namespace },
    }
}

const HOSTS: [&str; 6] = ["edge-1", "app-1", "app-2", "data-1", "ops-1", "kube-1"];

const PLACES: [Place; 40] = [
    compose("edge-1", "shop-web-1", RoleName::Web, "shop", "web"),
    compose("edge-1", "shop-web-2", RoleName::Web, "shop", "web"),
    compose(
        "edge-1",
        "logging-edge-1",
        RoleName::Shipper,
        "logging",
        "fluent-bit",
    ),
    compose("app-1", "shop-api-1", RoleName::Api, "shop", "api"),
    compose("app-1", "shop-api-2", RoleName::Api, "shop", "api"),
    compose("app-1", "shop-api-3", RoleName::Api, "shop", "api"),
    compose("app-1", "shop-worker-1", RoleName::Worker, "shop", "worker"),
    compose("app-1", "shop-worker-2", RoleName::Worker, "shop", "worker"),
    compose("app-1", "shop-auth-1", RoleName::Auth, "shop", "auth"),
    compose("app-1", "shop-mailer-1", RoleName::Mailer, "shop", "mailer"),
    compose(
        "app-1",
        "logging-app-1",
        RoleName::Shipper,
        "logging",
        "fluent-bit",
    ),
    compose("app-2", "shop-api-4", RoleName::Api, "shop", "api"),
    compose("app-2", "shop-api-5", RoleName::Api, "shop", "api"),
    compose("app-2", "shop-api-6", RoleName::Api, "shop", "api"),
    compose("app-2", "shop-worker-3", RoleName::Worker, "shop", "worker"),
    compose("app-2", "shop-worker-4", RoleName::Worker, "shop", "worker"),
    compose("app-2", "shop-auth-2", RoleName::Auth, "shop", "auth"),
    compose("app-2", "shop-mailer-2", RoleName::Mailer, "shop", "mailer"),
    compose(
        "app-2",
        "logging-app-2",
        RoleName::Shipper,
        "logging",
        "fluent-bit",
    ),
    compose(
        "data-1",
        "shop-postgres-1",
        RoleName::Postgres,
        "shop",
        "postgres",
    ),
    compose(
        "data-1",
        "shop-postgres-replica-1",
        RoleName::Postgres,
        "shop",
        "postgres-replica",
    ),
    compose("data-1", "shop-redis-1", RoleName::Redis, "shop", "redis"),
    compose("data-1", "shop-redis-2", RoleName::Redis, "shop", "redis"),
    compose("data-1", "shop-kafka-1", RoleName::Kafka, "shop", "kafka"),
    compose("data-1", "shop-kafka-2", RoleName::Kafka, "shop", "kafka"),
    compose("data-1", "shop-kafka-3", RoleName::Kafka, "shop", "kafka"),
    compose(
        "data-1",
        "logging-data-1",
        RoleName::Shipper,
        "logging",
        "fluent-bit",
    ),
    compose(
        "ops-1",
        "ops-prometheus-1",
        RoleName::Prometheus,
        "ops",
        "prometheus",
    ),
    compose(
        "ops-1",
        "ops-jenkins-1",
        RoleName::Jenkins,
        "ops",
        "jenkins",
    ),
    compose("ops-1", "ops-backup-1", RoleName::Backup, "ops", "backup"),
    compose(
        "ops-1",
        "logging-ops-1",
        RoleName::Shipper,
        "logging",
        "fluent-bit",
    ),
    pod("storefront-web-1", RoleName::Web, "storefront"),
    pod("storefront-web-2", RoleName::Web, "storefront"),
    pod("storefront-web-3", RoleName::Web, "storefront"),
    pod("checkout-api-1", RoleName::Api, "checkout"),
    pod("checkout-api-2", RoleName::Api, "checkout"),
    pod("checkout-api-3", RoleName::Api, "checkout"),
    pod("checkout-worker-1", RoleName::Worker, "checkout"),
    pod("checkout-redis-1", RoleName::Redis, "checkout"),
    pod("logging-kube-1", RoleName::Shipper, "logging"),
];

fn container((index, place): (usize, &Place)) -> DemoContainer {
    let role = &ROLES[place.role as usize];
    let host = HOSTS
        .iter()
        .position(|host| *host == place.host)
        .unwrap_or(0);
    let id = hexadecimal(place.name, 64);
    let (compose_project, compose_service, k8s_namespace) = match place.belongs {
        Belongs::Compose { project, service } => (project, service, ""),
        Belongs::Kubernetes { namespace } => ("", "", namespace),
    };
    let workload = place
        .name
        .rsplit_once('-')
        .map_or(place.name, |(workload, _)| workload);
    let (k8s_pod, labels) = match place.belongs {
        Belongs::Compose { project, service } => {
            let number = place
                .name
                .rsplit_once('-')
                .map_or("1", |(_, number)| number);
            let labels = vec![
                ("com.docker.compose.container-number", number.to_owned()),
                ("com.docker.compose.project", project.to_owned()),
                ("com.docker.compose.service", service.to_owned()),
                ("org.opencontainers.image.version", role.tag.to_owned()),
            ];
            (String::new(), labels)
        }
        Belongs::Kubernetes { namespace } => {
            let pod = format!("{workload}-{}-{}", drawn(workload, 9), drawn(place.name, 5));
            let labels = vec![
                ("io.kubernetes.container.name", workload.to_owned()),
                ("io.kubernetes.pod.name", pod.clone()),
                ("io.kubernetes.pod.namespace", namespace.to_owned()),
                ("org.opencontainers.image.version", role.tag.to_owned()),
            ];
            (pod, labels)
        }
    };
    let image = format!("{}:{}", role.repository, role.tag);
    DemoContainer {
        id,
        name: place.name,
        repository: role.repository,
        tag: role.tag,
        image_id: format!("sha256:{}", hexadecimal(&format!("config {image}"), 64)),
        digest: format!("sha256:{}", hexadecimal(&format!("manifest {image}"), 64)),
        image,
        host: place.host,
        labels,
        compose_project,
        compose_service,
        k8s_namespace,
        k8s_pod,
        address: Ipv4Addr::new(10, 20, host as u8, 10 + index as u8),
        age: Duration::from_secs(3600 * (26 + 37 * index as u64)),
        role: place.role,
    }
}
