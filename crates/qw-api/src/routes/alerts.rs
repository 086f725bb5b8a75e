//! Alerts: the inbox, its figures, and what is done with them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use qw_alerts::{Learner, MAX_NOTE_BYTES, MAX_TRIAGED, Seen, Triage, TriageError};
use qw_auth::Permission;
use qw_event::{AlertAction, AlertId, AlertSource, AlertState, CloseReason, Priority, Timestamp};
use qw_pipeline::ProfileLearner;
use qw_store::{
    AlertAccess, AlertFilter, AlertGrouping, AlertPage, AlertQuery, AlertSort, AlertTop,
    AlertTrendPoint, QueryError, TimeRange,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::{Audit, Visibility},
    alert_view::{AlertView, BehaviourView, ChangeView},
    event_view::{ByPriority, PriorityName},
    guard::Caller,
    parameters::{
        Body, DEFAULT_LIMIT, MAX_LIMIT, Parameters, instant, limit, open_cursor, range,
        seal_cursor, span_of, wrong_cursor,
    },
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
/// Points of a trend.
const MAX_POINTS: u64 = 2_000;

pub(super) fn read_routes() -> Routes {
    vec![
        routes!(alerts),
        routes!(trend),
        routes!(top),
        routes!(alert),
        routes!(container_alerts),
    ]
}

pub(super) fn triage_routes() -> Routes {
    vec![routes!(triage)]
}

/// What of alerts may be seen.
pub(super) fn access_of(visibility: &Visibility) -> AlertAccess {
    AlertAccess {
        only: visibility.selection(),
    }
}

/// Which alerts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AlertParameters {
    /// States, with commas: `new`, `acknowledged`, `in_progress`, `closed`; `open` stands for the
    /// first three.
    #[param(
        example = "open",
        pattern = "^((new|acknowledged|in_progress|closed|open)(,(new|acknowledged|in_progress|closed|open))*)?$"
    )]
    state: Option<String>,
    /// Least urgent priority that is wanted; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// Which part noticed, with commas: `falco`, `profile`.
    #[param(pattern = "^((falco|profile)(,(falco|profile))*)?$")]
    source: Option<String>,
    /// Rule.
    rule: Option<String>,
    /// Workload.
    workload: Option<String>,
    /// Container, by id or name.
    container: Option<String>,
    /// Image: its reference, or the repository.
    #[param(example = "registry.example/shop/api")]
    image: Option<String>,
    /// Kubernetes namespace.
    namespace: Option<String>,
    /// User who takes care of them; `none` for nobody.
    assignee: Option<String>,
    /// Part of title, rule, workload or container.
    search: Option<String>,
    /// `false` leaves silenced ones out, `true` gives only those.
    silenced: Option<bool>,
    /// Last seen from then on: RFC 3339, or such as `now-24h`.
    #[param(format = "instant")]
    start: Option<String>,
    /// Last seen before then.
    #[param(format = "instant")]
    end: Option<String>,
    /// `last_seen`, `priority`, `count` or `first_seen`.
    #[param(
        pattern = "^(last_seen|priority|count|first_seen)?$",
        default = "last_seen"
    )]
    sort: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "alert-cursor")]
    cursor: Option<String>,
}

/// A page of alerts.
#[derive(Serialize, ToSchema)]
struct AlertList {
    /// The alerts.
    items: Vec<AlertView>,
    /// Where the next page begins; null when this is the last.
    next_cursor: Option<String>,
    /// All that the parameters select, counted.
    aggregates: Aggregates,
}

/// Alerts counted.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertAggregates)]
struct Aggregates {
    /// Alerts.
    total: u64,
    /// By state, whatever states were asked for.
    #[schema(value_type = Object)]
    by_state: BTreeMap<&'static str, u64>,
    /// By priority.
    by_priority: ByPriority,
    /// Of the most frequent rules.
    by_rule: Vec<RuleCount>,
}

/// Alerts of one rule.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertRuleCount)]
struct RuleCount {
    /// Rule.
    #[schema(value_type = String)]
    rule: Arc<str>,
    /// Alerts.
    count: u64,
}

/// Lists alerts
#[utoipa::path(get, path = "/api/alerts", tag = "alerts", params(AlertParameters), responses(
    (status = 200, body = AlertList),
))]
async fn alerts(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<AlertParameters>,
) -> Result<Json<AlertList>, Problem> {
    let query = query(parameters, &visibility, state.now())?;
    list(&state, query).await.map(Json)
}

async fn list(state: &State, query: AlertQuery) -> Result<AlertList, Problem> {
    let page = ask_alerts(state, move |alerts| alerts.alerts(&query)).await?;
    let AlertPage {
        alerts,
        next,
        by_state,
        by_priority,
        by_rule,
    } = page;
    let count = |state: &AlertState| (state.as_str(), by_state.get(state).copied().unwrap_or(0));
    Ok(AlertList {
        items: alerts.iter().map(AlertView::from).collect(),
        next_cursor: next.map(|place| seal_cursor(&place)),
        aggregates: Aggregates {
            total: by_priority.iter().sum(),
            by_state: AlertState::ALL.iter().map(count).collect(),
            by_priority: ByPriority::from(by_priority),
            by_rule: by_rule
                .into_iter()
                .map(|(rule, count)| RuleCount { rule, count })
                .collect(),
        },
    })
}

fn query(
    parameters: AlertParameters,
    visibility: &Visibility,
    now: Timestamp,
) -> Result<AlertQuery, Problem> {
    let some = given;
    let (start, end) = (some(parameters.start), some(parameters.end));
    let range = match (&start, &end) {
        (None, None) => None,
        _ => {
            let start = start.map(|text| instant("start", &text, now)).transpose()?;
            let end = end.map(|text| instant("end", &text, now)).transpose()?;
            let range = TimeRange {
                start: start.unwrap_or(Timestamp::MIN),
                end: end.unwrap_or(Timestamp::MAX),
            };
            if range.start >= range.end {
                return Err(Problem::invalid("`start` must lie before `end`"));
            }
            Some(range)
        }
    };
    Ok(AlertQuery {
        filter: filter(
            About {
                priority: parameters.priority,
                source: parameters.source,
                rule: parameters.rule,
                workload: parameters.workload,
                container: parameters.container,
                image: parameters.image,
                namespace: parameters.namespace,
            },
            visibility,
        )?,
        range,
        states: states(parameters.state.as_deref())?,
        assignee: some(parameters.assignee)
            .map(|user| if user == "none" { String::new() } else { user }),
        silenced: parameters.silenced,
        text: some(parameters.search),
        sort: match parameters.sort.as_deref() {
            None | Some("" | "last_seen") => AlertSort::LastSeen,
            Some("priority") => AlertSort::Priority,
            Some("count") => AlertSort::Count,
            Some("first_seen") => AlertSort::FirstSeen,
            Some(_) => {
                return Err(Problem::invalid(
                    "`sort` must be `last_seen`, `priority`, `count` or `first_seen`",
                ));
            }
        },
        after: some(parameters.cursor)
            .map(|text| open_cursor(&text))
            .transpose()?,
        limit: limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
    })
}

/// What alerts are about, as lists, trend and ranking ask for it.
struct About {
    priority: Option<String>,
    source: Option<String>,
    rule: Option<String>,
    workload: Option<String>,
    container: Option<String>,
    image: Option<String>,
    namespace: Option<String>,
}

fn filter(about: About, visibility: &Visibility) -> Result<AlertFilter, Problem> {
    let (min_priority, priorities) = priorities(about.priority.as_deref())?;
    Ok(AlertFilter {
        min_priority,
        priorities,
        sources: sources(about.source.as_deref())?,
        rule: given(about.rule),
        workload: given(about.workload),
        container: given(about.container),
        image: given(about.image),
        namespace: given(about.namespace),
        access: access_of(visibility),
    })
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn states(text: Option<&str>) -> Result<Vec<AlertState>, Problem> {
    let mut states = Vec::new();
    for word in words(text) {
        if word == "open" {
            states.extend(AlertState::ALL.iter().filter(|state| state.is_open()));
            continue;
        }
        let state = AlertState::ALL.iter().find(|state| state.as_str() == word);
        states.push(*state.ok_or_else(|| {
            Problem::invalid(
                "`state` lists `new`, `acknowledged`, `in_progress`, `closed`, or `open`",
            )
        })?);
    }
    Ok(states)
}

fn sources(text: Option<&str>) -> Result<Vec<AlertSource>, Problem> {
    let source = |word| {
        let mut all = AlertSource::ALL.into_iter();
        all.find(|source| source.as_str() == word)
            .ok_or_else(|| Problem::invalid("`source` lists `falco`, `profile`"))
    };
    words(text).map(source).collect()
}

/// The least urgent priority, or exactly some.
fn priorities(text: Option<&str>) -> Result<(Option<Priority>, Vec<Priority>), Problem> {
    let priority = |word: &str| {
        word.parse::<Priority>()
            .map_err(|error| Problem::invalid(error.to_string()))
    };
    let list: Vec<Priority> = words(text).map(priority).collect::<Result<_, _>>()?;
    let is_list = text.is_some_and(|text| text.contains(','));
    Ok(match &list[..] {
        [least] if !is_list => (Some(*least), Vec::new()),
        _ => (None, list),
    })
}

/// An alert and its history.
#[derive(Serialize, ToSchema)]
struct AlertDetail {
    /// The alert.
    #[serde(flatten)]
    alert: AlertView,
    /// What of it the profile of its workload did not know: closing it as expected teaches that.
    behaviour: Vec<BehaviourView>,
    /// What happened to it, oldest first.
    history: Vec<ChangeView>,
}

/// Shows an alert with its history
#[utoipa::path(get, path = "/api/alerts/{id}", tag = "alerts",
    params(("id" = u64, Path, description = "Number of the alert", maximum = 9_007_199_254_740_991_u64)),
    responses(
        (status = 200, body = AlertDetail),
        (status = 404, description = "There is no such alert", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn alert(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
) -> Result<Json<AlertDetail>, Problem> {
    let id: AlertId = id.parse().map_err(|_| no_alert(&id))?;
    let access = access_of(&visibility);
    let found = ask_alerts(&state, move |alerts| {
        let alert = alerts.alert(id)?.filter(|alert| access.allows(alert));
        Ok(match alert {
            Some(alert) => Some((alert, alerts.alert_history(id)?)),
            None => None,
        })
    });
    let (alert, history) = found.await?.ok_or_else(|| no_alert(&id.to_string()))?;
    Ok(Json(AlertDetail {
        alert: AlertView::from(&alert),
        behaviour: alert.behaviour.iter().map(BehaviourView::from).collect(),
        history: history.into_iter().map(ChangeView::from).collect(),
    }))
}

fn no_alert(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no alert {id}"))
}

/// Which alerts of a container.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ContainerAlertParameters {
    /// Last seen from then on: RFC 3339, or such as `now-24h`.
    #[param(format = "instant")]
    start: Option<String>,
    /// Last seen before then.
    #[param(format = "instant")]
    end: Option<String>,
    /// Least urgent priority that is wanted; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "alert-cursor")]
    cursor: Option<String>,
}

/// Lists the alerts of a container
#[utoipa::path(get, path = "/api/containers/{id}/alerts", tag = "alerts",
    params(("id" = String, Path, description = "Id or name of the container"), ContainerAlertParameters),
    responses((status = 200, body = AlertList)))]
async fn container_alerts(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<ContainerAlertParameters>,
) -> Result<Json<AlertList>, Problem> {
    let known = state.parts.inventory.container(&id);
    let parameters = AlertParameters {
        container: Some(known.map_or(id, |container| container.id.clone())),
        start: parameters.start,
        end: parameters.end,
        priority: parameters.priority,
        limit: parameters.limit,
        cursor: parameters.cursor,
        ..AlertParameters::default()
    };
    let query = query(parameters, &visibility, state.now())?;
    list(&state, query).await.map(Json)
}

/// Which time, in which steps.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TrendParameters {
    /// Beginning; RFC 3339, or such as `now-24h`.
    #[param(format = "instant", default = "now-24h")]
    start: Option<String>,
    /// End.
    #[param(format = "instant", default = "now")]
    end: Option<String>,
    /// Width of an interval, such as `5m`; less than a minute becomes a minute, and it is wider where
    /// there would be too many.
    #[param(format = "span", default = "5m")]
    step: Option<String>,
    /// Least urgent priority that is wanted; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// Which part noticed, with commas: `falco`, `profile`.
    #[param(pattern = "^((falco|profile)(,(falco|profile))*)?$")]
    source: Option<String>,
    /// Rule.
    rule: Option<String>,
    /// Workload.
    workload: Option<String>,
    /// Container, by id or name.
    container: Option<String>,
    /// Image: its reference, or the repository.
    image: Option<String>,
    /// Kubernetes namespace.
    namespace: Option<String>,
}

/// Occurrences over time.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTrend)]
struct Trend {
    /// Width of an interval, in seconds.
    step_seconds: u64,
    /// Intervals that are not empty, earliest first.
    items: Vec<TrendPoint>,
}

/// Occurrences of one interval.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTrendPoint)]
struct TrendPoint {
    /// Beginning of the interval.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Events that belong to alerts, by the priority of their alert.
    by_priority: ByPriority,
    /// All of them.
    total: u64,
}

impl From<AlertTrendPoint> for TrendPoint {
    fn from(point: AlertTrendPoint) -> Self {
        Self {
            start: point.start,
            total: point.by_priority.iter().sum(),
            by_priority: ByPriority::from(point.by_priority),
        }
    }
}

/// Counts what alerts noticed over time
#[utoipa::path(get, path = "/api/alerts/trend", tag = "alerts", params(TrendParameters), responses(
    (status = 200, body = Trend),
))]
async fn trend(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<TrendParameters>,
) -> Result<Json<Trend>, Problem> {
    let (start, end) = (parameters.start.as_deref(), parameters.end.as_deref());
    let range = range(start, end, DAY, state.now())?;
    let text = parameters.step.as_deref().filter(|text| !text.is_empty());
    let step = span_of(text.unwrap_or("5m"))
        .filter(|step| !step.is_zero())
        .ok_or_else(|| Problem::invalid("`step` is no span such as `5m`"))?
        .max(MINUTE);
    // A long range is told in wider intervals than asked for.
    let fewest = range.end.since(range.start).as_secs().div_ceil(MAX_POINTS);
    let minutes = fewest.div_ceil(60).saturating_mul(60);
    let step = step.max(Duration::from_secs(minutes));
    let about = About {
        priority: parameters.priority,
        source: parameters.source,
        rule: parameters.rule,
        workload: parameters.workload,
        container: parameters.container,
        image: parameters.image,
        namespace: parameters.namespace,
    };
    let filter = filter(about, &visibility)?;
    let points = ask_alerts(&state, move |alerts| {
        alerts.alert_trend(range, step, &filter)
    })
    .await?;
    Ok(Json(Trend {
        step_seconds: step.as_secs(),
        items: points.into_iter().map(TrendPoint::from).collect(),
    }))
}

/// Of what, in which time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TopParameters {
    /// How far back from now, such as `5m`, `15m`, `24h`.
    #[param(format = "span", default = "1h")]
    window: Option<String>,
    /// `rule`, `container`, `image` or `workload`.
    #[param(pattern = "^(rule|container|image|workload)?$", default = "rule")]
    by: Option<String>,
    /// Items.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    limit: Option<usize>,
    /// Least urgent priority that is wanted; a list with commas is exactly those.
    #[param(example = "Warning", format = "priorities")]
    priority: Option<String>,
    /// Which part noticed, with commas: `falco`, `profile`.
    #[param(pattern = "^((falco|profile)(,(falco|profile))*)?$")]
    source: Option<String>,
    /// Rule.
    rule: Option<String>,
    /// Workload.
    workload: Option<String>,
    /// Container, by id or name.
    container: Option<String>,
    /// Image: its reference, or the repository.
    image: Option<String>,
    /// Kubernetes namespace.
    namespace: Option<String>,
}

/// What occurred most.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTopList)]
struct TopList {
    /// Most occurrences first.
    items: Vec<TopItem>,
}

/// One of those that occurred most.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTop)]
struct TopItem {
    /// Rule, container, image or workload.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Events that belong to alerts.
    occurrences: u64,
    /// Alerts.
    alerts: u64,
    /// Highest urgency.
    #[schema(value_type = PriorityName)]
    priority: Priority,
}

impl From<AlertTop> for TopItem {
    fn from(top: AlertTop) -> Self {
        Self {
            name: top.name,
            occurrences: top.occurrences,
            alerts: top.alerts,
            priority: top.priority,
        }
    }
}

/// Ranks what occurred most in alerts
#[utoipa::path(get, path = "/api/alerts/top", tag = "alerts", params(TopParameters), responses(
    (status = 200, body = TopList),
))]
async fn top(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<TopParameters>,
) -> Result<Json<TopList>, Problem> {
    let text = parameters.window.as_deref().filter(|text| !text.is_empty());
    let window = text
        .map_or(Some(HOUR), span_of)
        .filter(|window| !window.is_zero())
        .ok_or_else(|| Problem::invalid("`window` is a span such as `15m`"))?;
    let by = match parameters.by.as_deref() {
        None | Some("" | "rule") => AlertGrouping::Rule,
        Some("container") => AlertGrouping::Container,
        Some("image") => AlertGrouping::Image,
        Some("workload") => AlertGrouping::Workload,
        Some(_) => {
            return Err(Problem::invalid(
                "`by` must be `rule`, `container`, `image` or `workload`",
            ));
        }
    };
    let limit = limit(parameters.limit, 10, MAX_LIMIT)?;
    let now = state.now();
    let range = TimeRange {
        start: now.saturating_sub(window),
        end: now.saturating_add(MINUTE),
    };
    let about = About {
        priority: parameters.priority,
        source: parameters.source,
        rule: parameters.rule,
        workload: parameters.workload,
        container: parameters.container,
        image: parameters.image,
        namespace: parameters.namespace,
    };
    let filter = filter(about, &visibility)?;
    let top = ask_alerts(&state, move |alerts| {
        alerts.alert_top(range, by, limit, &filter)
    });
    Ok(Json(TopList {
        items: top.await?.into_iter().map(TopItem::from).collect(),
    }))
}

/// What to do with which alerts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TriageRequest {
    /// Numbers of the alerts, at most 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Vec<u64>,
    /// `acknowledge`, `unacknowledge`, `start`, `close`, `reopen`, `assign` or `note`.
    action: TriageAction,
    /// Why, when they are closed: `resolved` (the default), `false_positive`, `expected`, `duplicate`
    /// or `accepted`.
    #[schema(value_type = Option<CloseReasonName>)]
    reason: Option<CloseReason>,
    /// Whether the profiles of their workloads learn what deviated in them, when they are closed: by
    /// default those of `expected` ones do, if the sender may change profiles. Reopening takes it back.
    teach: Option<bool>,
    /// User they are assigned to; null or empty for nobody.
    #[schema(max_length = 64)]
    assignee: Option<String>,
    /// The note.
    #[schema(max_length = 10_000)]
    text: Option<String>,
}

/// Why an alert is closed.
#[derive(ToSchema)]
#[schema(as = CloseReasonName, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the names to readers of the document")]
enum CloseReasonName {
    Resolved,
    FalsePositive,
    Expected,
    Duplicate,
    Accepted,
}

#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum TriageAction {
    /// Somebody has seen them.
    Acknowledge,
    /// They are new again.
    Unacknowledge,
    Start,
    Close,
    Reopen,
    Assign,
    Note,
}

impl TriageAction {
    /// The word for the audit log.
    const fn audited(self) -> &'static str {
        match self {
            Self::Acknowledge => "alert.acknowledge",
            Self::Unacknowledge => "alert.unacknowledge",
            Self::Start => "alert.start",
            Self::Close => "alert.close",
            Self::Reopen => "alert.reopen",
            Self::Assign => "alert.assign",
            Self::Note => "alert.note",
        }
    }
}

/// The alerts after they were triaged.
#[derive(Serialize, ToSchema)]
#[schema(as = TriagedAlerts)]
struct Triaged {
    /// The alerts, by number.
    items: Vec<AlertView>,
}

/// Triages alerts
///
/// All or none: when one of them cannot be changed so, nothing is. What profiles learn from closed
/// alerts is stored in the same step.
#[utoipa::path(post, path = "/api/alerts/triage", tag = "alerts", request_body = TriageRequest, responses(
    (status = 200, body = Triaged),
    (status = 403, description = "The sender may not do this, or not have profiles learn", body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "There is no such alert", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "An alert is in a state in which this cannot be done", body = ProblemBody, content_type = "application/problem+json"),
))]
async fn triage(
    Extract(state): Extract<State>,
    caller: Caller,
    visibility: Visibility,
    audit: Audit,
    Body(request): Body<TriageRequest>,
) -> Result<Json<Triaged>, Problem> {
    if request.ids.is_empty() || request.ids.len() > MAX_TRIAGED {
        return Err(Problem::invalid(format!(
            "`ids` names 1 to {MAX_TRIAGED} alerts"
        )));
    }
    let numbers: Vec<String> = request.ids.iter().take(20).map(u64::to_string).collect();
    audit.action(request.action.audited(), &numbers.join(","));
    if request.ids.len() > numbers.len() {
        audit.detail(format!("{} alerts", request.ids.len()));
    }
    // Profiles are shared between containers, so whoever is confined to some cannot change them.
    let may_teach = caller.0.allows(Permission::ManageProfiles) && visibility.is_everything();
    if request.teach == Some(true) && !may_teach {
        return Err(Problem::new(
            Code::Forbidden,
            "`teach` changes a profile, which takes a role that may manage profiles and is not \
             confined to some containers; leave it out, or send `false`",
        ));
    }
    let todo = match request.action {
        TriageAction::Acknowledge => Triage::Acknowledge,
        TriageAction::Unacknowledge => Triage::Unacknowledge,
        TriageAction::Start => Triage::Start,
        TriageAction::Close => {
            let reason = request.reason.unwrap_or(CloseReason::Resolved);
            let teach = request.teach.unwrap_or(reason == CloseReason::Expected);
            Triage::Close { reason, teach }
        }
        TriageAction::Reopen => Triage::Reopen,
        TriageAction::Assign => {
            let assignee = request.assignee.map(|user| user.trim().to_owned());
            let assignee = assignee.filter(|user| !user.is_empty());
            if assignee.as_ref().is_some_and(|user| user.len() > 64) {
                return Err(Problem::invalid("`assignee` has at most 64 bytes"));
            }
            Triage::Assign(assignee)
        }
        TriageAction::Note => Triage::Note(request.text.unwrap_or_default()),
    };
    let ids: Vec<AlertId> = request.ids.into_iter().map(AlertId).collect();
    let (desk, now) = (state.parts.desk.clone(), state.now());
    let (who, access) = (caller.0.username.clone(), access_of(&visibility));
    let learner = ProfileLearner {
        profiles: Arc::clone(&state.parts.profiles),
        records: Arc::clone(&state.parts.records),
    };
    let triaged = tokio::task::spawn_blocking(move || {
        let learner = may_teach.then_some(&learner as &dyn Learner);
        desk.triage(&ids, &todo, &who, now, &access, learner)
    });
    let seen = match triaged.await {
        Ok(seen) => seen.map_err(|error| refused(&error))?,
        Err(panic) => return Err(Problem::internal("triage alerts", &panic)),
    };
    audit_lessons(&audit, &seen);
    Ok(Json(tell(&state, &seen)))
}

/// Writes down which profiles were taught what.
fn audit_lessons(audit: &Audit, seen: &[Seen]) {
    let (mut taught, mut untaught) = (0, 0);
    for change in seen.iter().flat_map(|seen| &seen.changes) {
        if let AlertAction::State {
            taught: more,
            untaught: less,
            ..
        } = &change.what
        {
            taught += more;
            untaught += less;
        }
    }
    for (count, done) in [(taught, "learned"), (untaught, "forgot")] {
        if count > 0 {
            audit.detail(format!("profiles {done} {count} behaviours"));
        }
    }
}

fn tell(state: &State, seen: &[Seen]) -> Triaged {
    let changed: Vec<Seen> = seen
        .iter()
        .filter(|seen| !seen.changes.is_empty())
        .cloned()
        .collect();
    state.tell_alerts(&changed);
    Triaged {
        items: seen
            .iter()
            .map(|seen| AlertView::from(&*seen.alert))
            .collect(),
    }
}

fn refused(error: &TriageError) -> Problem {
    match error {
        TriageError::NotFound(id) => no_alert(&id.to_string()),
        TriageError::Closed(_) | TriageError::NotClosed(_) | TriageError::Superseded { .. } => {
            Problem::new(Code::Conflict, error.to_string())
        }
        TriageError::Note => {
            Problem::invalid(format!("`text` of a note has 1 to {MAX_NOTE_BYTES} bytes"))
        }
        TriageError::Store(cause) => Problem::internal("keep what was done with alerts", cause),
        _ => Problem::invalid(error.to_string()),
    }
}

/// Asks the store of alerts on a thread that may block.
pub(super) async fn ask_alerts<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn qw_store::AlertStore) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Problem> {
    let alerts = Arc::clone(&state.parts.alerts);
    match tokio::task::spawn_blocking(move || question(&*alerts)).await {
        Ok(Err(QueryError::Invalid(what))) if what.contains("cursor") => Err(wrong_cursor()),
        Ok(answer) => Ok(answer?),
        Err(panic) => Err(Problem::internal("answer a question about alerts", &panic)),
    }
}
