//! Everything at a glance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State as Extract};
use qw_event::{AlertState, Category, Priority, Timestamp};
use qw_pipeline::{Notice, SourceState};
use qw_store::{
    AlertFilter, AlertQuery, ContainerActivity, FacetQuery, HistogramQuery, Kinds, QueryError,
    RecordStore, RuleActivity, TimeRange, query::Filter,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    event_view::{ByPriority, CategoryName, PriorityName},
    parameters::{Parameters, range},
    problem::Problem,
    routes::{
        Routes,
        alerts::{access_of, ask_alerts},
        containers::{DAY, Found, activity, all},
        histogram::{HistogramView, filled, step},
    },
    state::State,
};

/// Rules and containers that are told.
const TOP: usize = 10;

/// Notices that are told.
const NOTICES: usize = 50;

pub(super) fn routes() -> Routes {
    vec![routes!(overview)]
}

/// Of which time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OverviewParameters {
    /// Begin, RFC 3339 or `now-24h`; a day before the end when absent.
    #[param(example = "now-24h", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
}

/// Everything at a glance.
#[derive(Serialize, ToSchema)]
struct Overview {
    /// Events in the range.
    events_total: u64,
    /// Events per second over the last minute.
    event_rate_per_second: f64,
    /// Time of the latest event there is.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_event: Option<Timestamp>,
    /// Events in the range by priority.
    by_priority: ByPriority,
    /// Events in the range by category.
    by_category: ByCategory,
    /// Most frequent rules of the range.
    top_rules: Vec<TopRule>,
    /// Containers with the most events in the range.
    top_containers: Vec<TopContainer>,
    /// Alerts of the range, and those that are open.
    alerts: AlertCounts,
    /// Containers known now.
    containers: ContainerCounts,
    /// Hosts that events of the last day, or the engine, name.
    hosts: usize,
    /// Images of the known containers.
    images: usize,
    /// Sources and their health.
    sources: SourceCounts,
    /// Events over the range.
    histogram: HistogramView,
    /// The store itself.
    store: StoreView,
    /// What the operator should see, newest first.
    notices: Vec<NoticeView>,
    /// True when the data is made up.
    demo: bool,
    /// Version of Quaywatch.
    version: &'static str,
}

/// Events by category.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ByCategory {
    process: u64,
    network: u64,
    file: u64,
    unknown: u64,
}

/// A rule and how often it fired.
#[derive(Serialize, ToSchema)]
struct TopRule {
    /// Name of the rule.
    #[schema(value_type = String)]
    rule: Arc<str>,
    /// Its priority.
    #[schema(value_type = PriorityName)]
    priority: Priority,
    /// Its category.
    #[schema(value_type = CategoryName)]
    category: Category,
    /// Events.
    count: u64,
}

/// A container and how many events it has.
#[derive(Serialize, ToSchema)]
struct TopContainer {
    /// Id.
    #[schema(value_type = String)]
    id: Arc<str>,
    /// Name.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Image.
    #[schema(value_type = String)]
    image: Arc<str>,
    /// Events.
    count: u64,
    /// Time of its latest event.
    #[schema(value_type = String, format = DateTime)]
    last_event: Timestamp,
}

/// Alerts, counted.
#[derive(Serialize, ToSchema)]
#[schema(as = OverviewAlerts)]
struct AlertCounts {
    /// Alerts whose last event lies in the range, silenced ones left out.
    total: u64,
    /// Of these, by priority.
    by_priority: ByPriority,
    /// Alerts that are open now, silenced ones left out.
    open: OpenAlerts,
    /// Alerts that are open now and silenced.
    silenced: u64,
}

/// Open alerts by state.
#[derive(Serialize, ToSchema)]
struct OpenAlerts {
    /// Nobody has looked at them.
    new: u64,
    /// Somebody has seen them.
    acknowledged: u64,
    /// Somebody works on them.
    in_progress: u64,
}

/// Containers.
#[derive(Serialize, ToSchema)]
struct ContainerCounts {
    /// Running now.
    running: usize,
    /// Known, also those that only events tell of.
    total: usize,
}

/// Sources; zeros for whoever is confined to some containers.
#[derive(Default, Serialize, ToSchema)]
struct SourceCounts {
    /// All.
    total: usize,
    /// That read.
    healthy: usize,
    /// That have failed or wait for their peer.
    failing: usize,
}

/// Size and span of the store; empty for whoever is confined to some containers.
#[derive(Default, Serialize, ToSchema)]
struct StoreView {
    /// Events that can be found.
    events: u64,
    /// Bytes on disk.
    bytes: u64,
    /// Time of the oldest event.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest: Option<Timestamp>,
    /// Time of the newest event.
    #[schema(value_type = Option<String>, format = DateTime)]
    newest: Option<Timestamp>,
}

/// Something the operator should see.
#[derive(Serialize, ToSchema)]
#[schema(as = Notice)]
struct NoticeView {
    /// When it was raised.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// `info`, `warning` or `error`.
    #[schema(example = "warning")]
    level: &'static str,
    /// What happened, and what can be done.
    text: String,
    /// Part or source it comes from.
    source: String,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        Self {
            time: notice.time,
            level: notice.level.as_str(),
            text: notice.text,
            source: notice.origin,
        }
    }
}

/// Gives everything at a glance
#[utoipa::path(get, path = "/api/overview", tag = "overview", params(OverviewParameters), responses(
    (status = 200, body = Overview),
))]
async fn overview(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<OverviewParameters>,
) -> Result<Json<Overview>, Problem> {
    let now = state.now();
    let range = range(
        parameters.start.as_deref(),
        parameters.end.as_deref(),
        DAY,
        now,
    )?;
    let step = step(None, range)?;
    let budget = state.parts.settings.query_budget;
    // Everything here comes from roll-ups, unless some of it is not to be seen.
    let seen = visibility.filter();
    let (rules, mut did, counted) = state
        .ask(move |records| {
            let filter = seen.clone().unwrap_or_default();
            Ok((
                match seen {
                    None => records.rule_activity(range, Kinds::EVENTS)?,
                    Some(seen) => seen_rules(records, seen, range, budget)?,
                },
                records.container_activity(range, Kinds::EVENTS)?,
                records.histogram(&HistogramQuery {
                    kinds: Kinds::EVENTS,
                    range,
                    filter,
                    step,
                    budget,
                })?,
            ))
        })
        .await?;
    let alerts = alert_counts(&state, &visibility, range).await?;
    let day = activity(&state).await?;
    let containers = all(&state, &day, &visibility);
    did.retain(|row| visibility.contains_id(&row.container_id));
    let everything = visibility.is_everything();
    let parts = &state.parts;
    let store = parts.records.statistics();
    let mut hosts = if everything {
        host_count(&state).await?
    } else {
        0
    };
    let engine_hosts: BTreeSet<&str> = containers
        .iter()
        .filter_map(|found| match found {
            Found::Known(known) if !known.host.is_empty() => Some(known.host.as_str()),
            _ => None,
        })
        .collect();
    hosts = hosts.max(engine_hosts.len());
    let images: BTreeSet<&str> = containers
        .iter()
        .map(Found::image)
        .filter(|image| !image.is_empty())
        .collect();
    let images = images.len();
    let (by_priority, by_category) = sums(&rules);
    let (events_total, event_rate_per_second, last_event) = if everything {
        let total = rules.iter().map(|rule| rule.count).sum();
        (total, parts.hub.rate(now), store.newest)
    } else {
        let rates = containers
            .iter()
            .map(|found| parts.hub.container_rate(found.id(), now));
        let last = did.iter().map(|row| row.last_event).max();
        (counted.total, rates.sum(), last)
    };
    Ok(Json(Overview {
        events_total,
        event_rate_per_second,
        last_event,
        by_priority,
        by_category,
        top_rules: top_rules(rules),
        top_containers: top_containers(did),
        alerts,
        containers: ContainerCounts {
            running: containers.iter().filter(|found| found.is_running()).count(),
            total: containers.len(),
        },
        hosts,
        images,
        sources: if everything {
            source_counts(&state)
        } else {
            SourceCounts::default()
        },
        histogram: filled(&counted, range, step),
        store: if everything {
            StoreView {
                events: store.events,
                bytes: store.segment_bytes + store.catalogue_bytes,
                oldest: store.oldest,
                newest: store.newest,
            }
        } else {
            StoreView::default()
        },
        notices: parts
            .notices
            .newest_first()
            .into_iter()
            .take(if everything { NOTICES } else { 0 })
            .map(NoticeView::from)
            .collect(),
        demo: parts.settings.demo,
        version: parts.settings.version,
    }))
}

async fn alert_counts(
    state: &State,
    visibility: &Visibility,
    range: TimeRange,
) -> Result<AlertCounts, Problem> {
    let loud = AlertQuery {
        filter: AlertFilter {
            access: access_of(visibility),
            ..AlertFilter::default()
        },
        silenced: Some(false),
        limit: 1,
        ..AlertQuery::default()
    };
    let of_range = AlertQuery {
        range: Some(range),
        ..loud.clone()
    };
    let silenced = AlertQuery {
        silenced: Some(true),
        ..loud.clone()
    };
    let (of_range, open, silenced) = ask_alerts(state, move |alerts| {
        let counted = alerts.alerts(&of_range)?;
        let (open, silenced) = (alerts.alerts(&loud)?, alerts.alerts(&silenced)?);
        Ok((counted.by_priority, open.by_state, silenced.by_state))
    })
    .await?;
    let count = |state| open.get(&state).copied().unwrap_or(0);
    let open_states = AlertState::ALL.iter().filter(|state| state.is_open());
    Ok(AlertCounts {
        total: of_range.iter().sum(),
        by_priority: of_range.into(),
        open: OpenAlerts {
            new: count(AlertState::New),
            acknowledged: count(AlertState::Acknowledged),
            in_progress: count(AlertState::InProgress),
        },
        silenced: open_states.filter_map(|state| silenced.get(state)).sum(),
    })
}

/// The rules of the events that `seen` selects.
fn seen_rules(
    records: &dyn RecordStore,
    seen: Filter,
    range: TimeRange,
    budget: Duration,
) -> Result<Vec<RuleActivity>, QueryError> {
    let counted = records.facets(&FacetQuery {
        kinds: Kinds::EVENTS,
        range,
        filter: seen,
        fields: vec!["rule".to_owned()],
        limit: 1_000,
        budget,
    })?;
    let counts: BTreeMap<String, u64> = counted
        .facets
        .into_iter()
        .flat_map(|facet| facet.values)
        .map(|entry| (entry.value, entry.count))
        .collect();
    // A rule nearly always has one priority and one category; the most frequent ones stand for it.
    let mut rules: Vec<RuleActivity> = Vec::new();
    for rule in records.rule_activity(range, Kinds::EVENTS)? {
        if let Some(count) = counts.get(&*rule.rule)
            && rules.iter().all(|known| known.rule != rule.rule)
        {
            rules.push(RuleActivity {
                count: *count,
                ..rule
            });
        }
    }
    Ok(rules)
}

/// Hosts that events of the last day name; remembered for a minute.
async fn host_count(state: &State) -> Result<usize, Problem> {
    if let Some(count) = state.caches.hosts.get(&()) {
        return Ok(count);
    }
    let now = state.now();
    let query = FacetQuery {
        kinds: Kinds::EVENTS,
        range: TimeRange {
            start: now.saturating_sub(DAY),
            end: now,
        },
        filter: Filter::everything(),
        fields: vec!["hostname".to_owned()],
        limit: 1_000,
        budget: Duration::from_millis(250),
    };
    let facets = state.ask(move |records| records.facets(&query)).await?;
    let count = facets
        .facets
        .iter()
        .flat_map(|facet| &facet.values)
        .filter(|entry| !entry.value.is_empty())
        .count();
    state.caches.hosts.put((), count);
    Ok(count)
}

fn sums(rules: &[RuleActivity]) -> (ByPriority, ByCategory) {
    let mut by_priority = [0; 8];
    let mut by_category = ByCategory::default();
    for rule in rules {
        if let Some(sum) = by_priority.get_mut(usize::from(rule.priority.as_number())) {
            *sum += rule.count;
        }
        let sum = match rule.category {
            Category::Process => &mut by_category.process,
            Category::Network => &mut by_category.network,
            Category::File => &mut by_category.file,
            Category::Unknown => &mut by_category.unknown,
        };
        *sum += rule.count;
    }
    (by_priority.into(), by_category)
}

fn top_rules(mut rules: Vec<RuleActivity>) -> Vec<TopRule> {
    rules.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.rule.cmp(&b.rule)));
    rules
        .into_iter()
        .take(TOP)
        .map(|rule| TopRule {
            rule: rule.rule,
            priority: rule.priority,
            category: rule.category,
            count: rule.count,
        })
        .collect()
}

fn top_containers(did: Vec<ContainerActivity>) -> Vec<TopContainer> {
    let mut top: Vec<TopContainer> = did
        .into_iter()
        .map(|row| TopContainer {
            count: row.by_priority.iter().sum(),
            id: row.container_id,
            name: row.container_name,
            image: row.image,
            last_event: row.last_event,
        })
        .collect();
    top.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    top.truncate(TOP);
    top
}

fn source_counts(state: &State) -> SourceCounts {
    let sources = state.parts.sources.snapshots();
    let count = |wanted: fn(SourceState) -> bool| {
        sources.iter().filter(|source| wanted(source.state)).count()
    };
    SourceCounts {
        total: sources.len(),
        healthy: count(|state| matches!(state, SourceState::Running)),
        failing: count(|state| matches!(state, SourceState::Failed | SourceState::Waiting)),
    }
}
