//! Containers: what is known of them and what they did in the last day.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State as Extract},
    response::Response,
};
use qw_event::{ContainerRef, Timestamp};
use qw_inventory::{Container, Mount, Network, Port};
use qw_store::{ContainerActivity, EventQuery, Kinds, TimeRange, query::Filter};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    event_view::ByPriority,
    parameters::{
        DEFAULT_LIMIT, MAX_LIMIT, Parameters, event_cursor, filter, limit, open_cursor, order,
        priority_filter, range, seal_cursor, wrong_cursor,
    },
    problem::{Problem, ProblemBody},
    routes::{
        Routes,
        events::{EventList, HOUR, page},
    },
    state::State,
};

/// Span over which the events of a container are counted.
pub(super) const DAY: Duration = Duration::from_hours(24);

pub(super) fn routes() -> Routes {
    vec![routes!(containers), routes!(container)]
}

/// What reads events rather than containers.
pub(super) fn event_routes() -> Routes {
    vec![routes!(logs)]
}

/// What containers did in the last day, by id as their events carry it.
pub(crate) type Activity = FxHashMap<Arc<str>, ContainerActivity>;

/// Which containers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ContainerParameters {
    /// `running` or `all`.
    #[param(pattern = "^(running|all)?$", default = "all")]
    state: Option<String>,
    /// Part of name, id, image, Compose project or service, Kubernetes namespace or pod.
    search: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "container-cursor")]
    cursor: Option<String>,
}

/// A page of containers.
#[derive(Serialize, ToSchema)]
struct ContainerList {
    /// The containers, by name.
    items: Vec<ContainerView>,
    /// Where the next page begins; null when this is the last.
    next_cursor: Option<String>,
}

/// A container and what it did in the last day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Container)]
pub(super) struct ContainerView {
    /// Full id when known, else what events say.
    id: String,
    /// Name.
    name: String,
    /// Image reference it was started with.
    image: String,
    /// Id of the image; empty when unknown.
    image_id: String,
    /// Repository digest of the image; empty when unknown.
    image_digest: String,
    /// `running`, `exited`, … as the engine says; `unknown` when only events tell of it.
    #[schema(example = "running")]
    state: String,
    /// The engine's sentence, such as `Up 2 hours`.
    status: Option<String>,
    /// When it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    created: Option<Timestamp>,
    /// When it last started.
    #[schema(value_type = Option<String>, format = DateTime)]
    started: Option<Timestamp>,
    /// When it last ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished: Option<Timestamp>,
    /// Host it is on; empty when unknown.
    host: String,
    /// Compose project; empty when there is none.
    compose_project: String,
    /// Compose service; empty when there is none.
    compose_service: String,
    /// Kubernetes namespace; empty when there is none.
    k8s_namespace: String,
    /// Kubernetes pod; empty when there is none.
    k8s_pod: String,
    /// Labels.
    labels: BTreeMap<String, String>,
    /// Events of the last 24 hours.
    events: EventCounts,
    /// Time of its earliest event that is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    first_event: Option<Timestamp>,
    /// Time of its latest event.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event: Option<Timestamp>,
    /// Events per second over the last minute.
    event_rate_per_second: f64,
    /// Command line; of one container only.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Published ports; of one container only.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<Vec<PortView>>,
    /// Mounts; of one container only.
    #[serde(skip_serializing_if = "Option::is_none")]
    mounts: Option<Vec<MountView>>,
    /// Networks; of one container only.
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<Vec<NetworkView>>,
}

/// Events, in all and by priority.
#[derive(Debug, Serialize, ToSchema)]
struct EventCounts {
    /// All.
    total: u64,
    /// By priority.
    by_priority: ByPriority,
}

/// Lists containers
#[utoipa::path(get, path = "/api/containers", tag = "containers", params(ContainerParameters), responses(
    (status = 200, body = ContainerList),
))]
async fn containers(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<ContainerParameters>,
) -> Result<Json<ContainerList>, Problem> {
    let running_only = match parameters.state.as_deref() {
        None | Some("" | "all") => false,
        Some("running") => true,
        Some(_) => return Err(Problem::invalid("`state` must be `running` or `all`")),
    };
    let limit = limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = parameters.cursor.filter(|cursor| !cursor.is_empty());
    let after = after.map(|cursor| list_position(&cursor)).transpose()?;
    let search = parameters.search.unwrap_or_default().trim().to_lowercase();

    let activity = activity(&state).await?;
    let mut found: Vec<Found> = all(&state, &activity, &visibility)
        .into_iter()
        .filter(|found| !running_only || found.is_running())
        .filter(|found| found.answers_search(&search))
        .collect();
    found.sort_unstable_by(|a, b| a.position().cmp(&b.position()));
    if let Some((name, id)) = &after {
        found.retain(|found| found.position() > (name.as_str(), id.as_str()));
    }
    let next_cursor = (found.len() > limit)
        .then(|| found.get(limit - 1))
        .flatten()
        .map(|last| seal_cursor(&format!("{}\0{}", last.name(), last.id())));
    found.truncate(limit);
    let now = state.now();
    let items = found
        .iter()
        .map(|found| found.view(&state, &activity, now, false))
        .collect();
    Ok(Json(ContainerList { items, next_cursor }))
}

fn list_position(cursor: &str) -> Result<(String, String), Problem> {
    let inner = open_cursor(cursor)?;
    let (name, id) = inner.split_once('\0').ok_or_else(wrong_cursor)?;
    Ok((name.to_owned(), id.to_owned()))
}

/// Gives one container
#[utoipa::path(get, path = "/api/containers/{id}", tag = "containers",
    params(("id" = String, Path, description = "Id, a prefix of it of at least 12 characters, or name")),
    responses(
        (status = 200, body = ContainerView),
        (status = 404, description = "Neither engine nor events know it", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn container(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
) -> Result<Json<ContainerView>, Problem> {
    let activity = activity(&state).await?;
    let known = state.parts.inventory.container(&id);
    let known = known.filter(|known| visibility.contains_id(&known.id));
    let found = match known {
        Some(known) => Found::Known(known),
        None => all(&state, &activity, &visibility)
            .into_iter()
            .filter(|found| found.answers_to(&id))
            .max_by_key(|found| activity.get(found.id()).map(|did| did.last_event))
            .ok_or_else(|| Problem::not_found(format!("no container `{id}` is known")))?,
    };
    Ok(Json(found.view(&state, &activity, state.now(), true)))
}

/// Which events of the container.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct LogParameters {
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Least urgent priority that is wanted, such as `Warning`; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// Query; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// `next_cursor` of the page before.
    #[param(format = "event-cursor")]
    cursor: Option<String>,
    /// `desc` (newest first) or `asc`.
    #[param(pattern = "^(asc|desc)?$", default = "desc")]
    order: Option<String>,
}

/// Lists the events of one container
#[utoipa::path(get, path = "/api/containers/{id}/logs", tag = "containers",
    params(
        ("id" = String, Path, description = "Id, a prefix of it of at least 12 characters, or name"),
        LogParameters,
    ),
    responses((status = 200, body = EventList)))]
async fn logs(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<LogParameters>,
) -> Result<Response, Problem> {
    let query = EventQuery {
        kinds: Kinds::EVENTS,
        range: range(
            parameters.start.as_deref(),
            parameters.end.as_deref(),
            HOUR,
            state.now(),
        )?,
        filter: Filter::container(&id)
            .and(priority_filter(parameters.priority.as_deref())?)
            .and(visibility.narrow(filter(parameters.query.as_deref())?)),
        order: order(parameters.order.as_deref())?,
        after: event_cursor(parameters.cursor.as_deref())?,
        limit: limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        budget: state.parts.settings.query_budget,
    };
    page(&state, query, visibility).await
}

/// What containers did in the last day; remembered for a moment.
pub(super) async fn activity(state: &State) -> Result<Arc<Activity>, Problem> {
    if let Some(activity) = state.caches.activity.get(&()) {
        return Ok(activity);
    }
    let now = state.now();
    let range = TimeRange {
        start: now.saturating_sub(DAY),
        end: now.saturating_add(Duration::from_mins(1)),
    };
    let rows = state
        .ask(move |records| records.container_activity(range, Kinds::EVENTS))
        .await?;
    let mut activity = Activity::default();
    for row in rows {
        // A container that was renamed has a row per name, the most recent first.
        activity
            .entry(Arc::clone(&row.container_id))
            .and_modify(|kept| add(kept, &row))
            .or_insert(row);
    }
    let activity = Arc::new(activity);
    state.caches.activity.put((), Arc::clone(&activity));
    Ok(activity)
}

fn add(kept: &mut ContainerActivity, row: &ContainerActivity) {
    for (sum, count) in kept.by_priority.iter_mut().zip(row.by_priority) {
        *sum += count;
    }
    kept.first_event = kept.first_event.min(row.first_event);
    kept.last_event = kept.last_event.max(row.last_event);
}

/// A container, as the engine or as events tell of it.
pub(super) enum Found {
    Known(Arc<Container>),
    Seen(ContainerRef),
}

/// All containers that may be seen: those of the inventory, and those that only events tell of.
pub(super) fn all(state: &State, activity: &Activity, visibility: &Visibility) -> Vec<Found> {
    let known = state.parts.inventory.containers();
    let ids: FxHashSet<&str> = known.iter().map(|known| known.id.as_str()).collect();
    let mut rows: Vec<&ContainerActivity> = activity
        .values()
        .filter(|row| !row.container_id.is_empty() && !ids.contains(&*row.container_id))
        .collect();
    rows.sort_unstable_by(|a, b| a.container_id.cmp(&b.container_id));
    let mut found: Vec<Found> = rows.into_iter().map(|row| Found::Seen(seen(row))).collect();
    found.extend(known.iter().map(|known| Found::Known(Arc::clone(known))));
    found.retain(|found| visibility.contains_id(found.id()));
    found
}

fn seen(row: &ContainerActivity) -> ContainerRef {
    ContainerRef {
        id: Arc::clone(&row.container_id),
        name: Arc::clone(&row.container_name),
        image: Arc::clone(&row.image),
        ..ContainerRef::default()
    }
}

impl Found {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Known(known) => &known.id,
            Self::Seen(reference) => &reference.id,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Known(known) => &known.name,
            Self::Seen(reference) => &reference.name,
        }
    }

    pub(super) fn image(&self) -> &str {
        match self {
            Self::Known(known) => &known.image,
            Self::Seen(reference) => &reference.image,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Known(known) if known.is_running())
    }

    fn answers_to(&self, id_or_name: &str) -> bool {
        match self {
            Self::Known(known) => known.answers_to(id_or_name),
            Self::Seen(reference) => reference.answers_to(id_or_name),
        }
    }

    /// Place in the list, which is by name.
    fn position(&self) -> (&str, &str) {
        (self.name(), self.id())
    }

    fn answers_search(&self, search: &str) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(search);
        if search.is_empty()
            || [self.name(), self.id(), self.image()]
                .into_iter()
                .any(holds)
        {
            return true;
        }
        let Self::Known(known) = self else {
            return false;
        };
        [
            &known.compose_project,
            &known.compose_service,
            &known.k8s_namespace,
            &known.k8s_pod,
            &known.host,
        ]
        .into_iter()
        .any(|text| holds(text))
    }

    fn view(
        &self,
        state: &State,
        activity: &Activity,
        now: Timestamp,
        in_full: bool,
    ) -> ContainerView {
        let did = activity.get(self.id());
        let by_priority = did.map_or([0; 8], |did| did.by_priority);
        let known = match self {
            Self::Known(known) => Arc::clone(known),
            Self::Seen(reference) => Arc::new(Container {
                id: reference.id.to_string(),
                name: reference.name.to_string(),
                image: reference.image.to_string(),
                state: qw_inventory::UNKNOWN.to_owned(),
                ..Container::default()
            }),
        };
        ContainerView {
            events: EventCounts {
                total: by_priority.iter().sum(),
                by_priority: by_priority.into(),
            },
            first_event: did.map(|did| did.first_event),
            last_event: did.map(|did| did.last_event),
            event_rate_per_second: state.parts.hub.container_rate(&known.id, now),
            command: (in_full && !known.command.is_empty()).then(|| known.command.clone()),
            ports: in_full.then(|| known.ports.iter().map(PortView::from).collect()),
            mounts: in_full.then(|| known.mounts.iter().map(MountView::from).collect()),
            networks: in_full.then(|| known.networks.iter().map(NetworkView::from).collect()),
            id: known.id.clone(),
            name: known.name.clone(),
            image: known.image.clone(),
            image_id: known.image_id.clone(),
            image_digest: known.image_digest.clone(),
            state: known.state.clone(),
            status: (!known.status.is_empty()).then(|| known.status.clone()),
            created: known.created,
            started: known.started,
            finished: known.finished,
            host: known.host.clone(),
            compose_project: known.compose_project.clone(),
            compose_service: known.compose_service.clone(),
            k8s_namespace: known.k8s_namespace.clone(),
            k8s_pod: known.k8s_pod.clone(),
            labels: known.labels.clone(),
        }
    }
}

/// A port of a container.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Port)]
struct PortView {
    /// Address on the host; empty when not published.
    address: String,
    /// Port in the container.
    private: u16,
    /// Port on the host; null when not published.
    public: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    #[schema(example = "tcp")]
    protocol: String,
}

impl From<&Port> for PortView {
    fn from(port: &Port) -> Self {
        Self {
            address: port.address.clone(),
            private: port.private,
            public: port.public,
            protocol: port.protocol.clone(),
        }
    }
}

/// A mount of a container.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mount)]
struct MountView {
    /// `bind`, `volume` or `tmpfs`.
    #[schema(example = "bind")]
    kind: String,
    /// Path on the host, or name of the volume.
    source: String,
    /// Path in the container.
    destination: String,
    /// True when the container may write.
    writable: bool,
}

impl From<&Mount> for MountView {
    fn from(mount: &Mount) -> Self {
        Self {
            kind: mount.kind.clone(),
            source: mount.source.clone(),
            destination: mount.destination.clone(),
            writable: mount.writable,
        }
    }
}

/// A container's place in a network.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Network)]
struct NetworkView {
    /// Name of the network.
    name: String,
    /// Address in it; empty while not running.
    address: String,
}

impl From<&Network> for NetworkView {
    fn from(network: &Network) -> Self {
        Self {
            name: network.name.clone(),
            address: network.address.clone(),
        }
    }
}
