//! Profiles: what workloads do, how far learning is, and what is done about it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State as Extract},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use qw_event::{EventId, Timestamp};
use qw_pipeline::{SnapshotKind, profile_snapshots, save_profile};
use qw_profile::{
    Acceptance, Branch, Document, DocumentError, FILE_SUFFIX, MAX_DOCUMENT, Mode, NodeState,
    Summary, TreeNode, TreeQuery, diff,
};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::{Audit, Visibility},
    guard::Caller,
    parameters::{
        Body, DEFAULT_LIMIT, MAX_LIMIT, Parameters, instant, limit, open_cursor, seal_cursor,
    },
    problem::{Code, Problem, ProblemBody},
    routes::Routes,
    state::State,
};

/// Differences that are listed.
const MAX_DIFFERENCES: usize = 1_000;

pub(super) fn read_routes() -> Routes {
    vec![
        routes!(profiles),
        routes!(profile),
        routes!(export_profile),
        routes!(difference),
        routes!(tree),
    ]
}

pub(super) fn write_routes() -> Routes {
    let (schemas, paths, import) = routes!(import_profile);
    // A profile is larger than anything else that is sent.
    let import = import.layer(DefaultBodyLimit::max(MAX_DOCUMENT));
    vec![
        routes!(learn),
        routes!(freeze),
        routes!(accept),
        (schemas, paths, import),
    ]
}

/// A profile and how far its learning is.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileView {
    /// Key: image repository and role, or what the configuration makes a profile of.
    #[schema(value_type = String, example = "registry.example/shop/api/api")]
    key: Arc<str>,
    /// Images that ran under it, oldest first.
    images: Vec<String>,
    /// `learning` while one of its branches is, else `detecting`.
    #[schema(example = "detecting")]
    state: &'static str,
    /// True when learning was ended by command.
    frozen: bool,
    /// Progress of the branch that is furthest behind, 0 to 1.
    progress: f32,
    /// Containers known to run under it, of those whose events were met lately.
    containers: usize,
    /// Events compared with it.
    events: u64,
    /// Deviations found.
    deviations: u64,
    /// Nodes of its tree.
    nodes: usize,
    /// Of these, nodes that stand for deviations.
    deviating_nodes: usize,
    /// Attributes that somebody accepted.
    accepted: usize,
    /// Nodes that were not recorded because a bound was reached.
    refused: u64,
    /// Memory, in bytes.
    bytes: usize,
    /// Time of the first event.
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// Time of the newest event.
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// The branches: `process`, `network`, `file`, `lineage`.
    #[schema(value_type = Object)]
    branches: BTreeMap<&'static str, BranchView>,
}

/// How far a branch is.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileBranch)]
struct BranchView {
    /// `learning` or `detecting`.
    state: &'static str,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How far learning is, 0 to 1.
    progress: f32,
    /// Why it is in this state, or what is missing.
    reason: String,
    /// Events of the branch in the last time of learning.
    events: u64,
    /// Estimated share of coming events that show something new, 0 to 1.
    unseen_mass: f64,
    /// New nodes of the last hour.
    new_nodes_per_hour: f64,
    /// Nodes that are known.
    nodes: usize,
    /// Nodes that stand for deviations.
    deviating_nodes: usize,
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Learning => "learning",
        Mode::Detecting => "detecting",
    }
}

impl From<Summary> for ProfileView {
    fn from(summary: Summary) -> Self {
        Self {
            state: mode_name(summary.mode()),
            progress: summary.progress(),
            images: summary
                .images
                .iter()
                .map(|image| image.reference.to_string())
                .collect(),
            frozen: summary.frozen,
            containers: summary.containers,
            accepted: summary.accepted,
            events: summary.events,
            deviations: summary.deviations,
            nodes: summary.nodes,
            deviating_nodes: summary.deviating_nodes,
            refused: summary.refused,
            bytes: summary.bytes,
            first_seen: summary.first_seen,
            last_seen: summary.last_seen,
            branches: summary
                .branches
                .into_iter()
                .zip(summary.sizes)
                .map(|((branch, state), size)| {
                    let view = BranchView {
                        state: mode_name(state.mode),
                        since: state.since,
                        progress: state.progress,
                        reason: state.reason,
                        events: state.observations,
                        unseen_mass: state.unseen_mass,
                        new_nodes_per_hour: state.new_nodes_per_hour,
                        nodes: size.nodes,
                        deviating_nodes: size.deviating_nodes,
                    };
                    (branch.as_str(), view)
                })
                .collect(),
            key: summary.key,
        }
    }
}

/// Which profiles.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProfileParameters {
    /// `learning`, `detecting` or `frozen`.
    #[param(pattern = "^(learning|detecting|frozen)?$")]
    state: Option<String>,
    /// Part of the key or of an image.
    search: Option<String>,
    /// Items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(format = "profile-cursor")]
    cursor: Option<String>,
}

/// A page of profiles.
#[derive(Serialize, ToSchema)]
struct ProfileList {
    /// The profiles, by key.
    items: Vec<ProfileView>,
    /// Where the next page begins; null when this is the last.
    next_cursor: Option<String>,
    /// All that may be seen, counted.
    aggregates: ProfileCounts,
}

/// Profiles counted.
#[derive(Serialize, ToSchema, Default)]
struct ProfileCounts {
    /// Profiles.
    total: u64,
    /// Those that learn.
    learning: u64,
    /// Those that detect.
    detecting: u64,
    /// Those whose learning was ended by command.
    frozen: u64,
}

/// Lists profiles
#[utoipa::path(get, path = "/api/profiles", tag = "profiles", params(ProfileParameters), responses(
    (status = 200, body = ProfileList),
))]
async fn profiles(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<ProfileParameters>,
) -> Result<Json<ProfileList>, Problem> {
    let limit = limit(parameters.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let cursor = parameters.cursor.as_deref().filter(|text| !text.is_empty());
    let after = cursor.map(open_cursor).transpose()?;
    let wanted = match parameters.state.as_deref() {
        None | Some("") => None,
        Some(wanted @ ("learning" | "detecting" | "frozen")) => Some(wanted),
        Some(_) => {
            return Err(Problem::invalid(
                "`state` must be `learning`, `detecting` or `frozen`",
            ));
        }
    };
    let search = parameters.search.unwrap_or_default().to_lowercase();
    let mut all = state.parts.profiles.lock().list();
    if let Some(keys) = visible_keys(&state, &visibility) {
        all.retain(|summary| keys.contains(&summary.key));
    }
    let mut aggregates = ProfileCounts::default();
    for summary in &all {
        aggregates.total += 1;
        match summary.mode() {
            Mode::Learning => aggregates.learning += 1,
            Mode::Detecting => aggregates.detecting += 1,
        }
        aggregates.frozen += u64::from(summary.frozen);
    }
    all.retain(|summary| {
        let is_found = summary.key.to_lowercase().contains(&search)
            || summary
                .images
                .iter()
                .any(|image| image.reference.to_lowercase().contains(&search));
        let is_wanted = match wanted {
            None => true,
            Some("frozen") => summary.frozen,
            Some(mode) => mode_name(summary.mode()) == mode,
        };
        is_found && is_wanted && after.as_ref().is_none_or(|after| *summary.key > **after)
    });
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more);
    Ok(Json(ProfileList {
        next_cursor: next.map(|last| seal_cursor(&last.key)),
        items: all.into_iter().map(ProfileView::from).collect(),
        aggregates,
    }))
}

/// Keys of the profiles whose containers may be seen; `None` for all.
fn visible_keys(state: &State, visibility: &Visibility) -> Option<FxHashSet<Arc<str>>> {
    if visibility.is_everything() {
        return None;
    }
    let containers = state.parts.inventory.containers();
    let profiles = state.parts.profiles.lock();
    Some(
        containers
            .iter()
            .filter(|container| visibility.contains_id(&container.id))
            .filter_map(|container| profiles.find(&container.id))
            .collect(),
    )
}

/// The key of the profile that `id` (a key, or a container) means.
fn find(state: &State, visibility: &Visibility, id: &str) -> Result<Arc<str>, Problem> {
    let id = match state.parts.inventory.container(id) {
        Some(container) => container.id.clone(),
        None => id.to_owned(),
    };
    let key = state.parts.profiles.lock().find(&id);
    let visible = visible_keys(state, visibility);
    key.filter(|key| visible.as_ref().is_none_or(|keys| keys.contains(key)))
        .ok_or_else(|| no_profile(&id))
}

fn no_profile(id: &str) -> Problem {
    let id: String = id.chars().take(200).collect();
    Problem::new(Code::NotFound, format!("there is no profile of `{id}`"))
}

/// A profile and its earlier states.
#[derive(Serialize, ToSchema)]
struct ProfileDetail {
    /// The profile.
    #[serde(flatten)]
    profile: ProfileView,
    /// Earlier states that are kept, oldest first.
    snapshots: Vec<SnapshotView>,
}

/// An earlier state of a profile.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileSnapshot)]
struct SnapshotView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// `daily`, `learned`, `command` or `imported`.
    kind: &'static str,
}

/// Shows a profile
#[utoipa::path(get, path = "/api/profiles/{key}", tag = "profiles",
    params(("key" = String, Path, description = "Key of the profile, or id or name of a container")),
    responses(
        (status = 200, body = ProfileDetail),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn profile(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(key): Path<String>,
) -> Result<Json<ProfileDetail>, Problem> {
    let key = find(&state, &visibility, &key)?;
    detail(&state, key).await.map(Json)
}

async fn detail(state: &State, key: Arc<str>) -> Result<ProfileDetail, Problem> {
    let summary = state.parts.profiles.lock().summary(&key);
    let profile = summary.ok_or_else(|| no_profile(&key))?.into();
    let documents = Arc::clone(&state.parts.documents);
    let snapshots = blocking("read earlier states of a profile", move || {
        profile_snapshots(&*documents, &key)
    });
    Ok(ProfileDetail {
        profile,
        snapshots: snapshots
            .await?
            .iter()
            .map(|snapshot| SnapshotView {
                time: snapshot.time,
                kind: snapshot.kind.as_str(),
            })
            .collect(),
    })
}

/// Runs what blocks on the store where that is allowed.
async fn blocking<T: Send + 'static, E: std::error::Error + Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Problem::internal(doing, &error)),
        Err(panic) => Err(Problem::internal(doing, &panic)),
    }
}

/// Which branch.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BranchRequest {
    /// `process`, `network`, `file` or `lineage`; all when absent.
    #[schema(value_type = Option<BranchName>)]
    branch: Option<Branch>,
}

/// A branch of a profile.
#[derive(ToSchema)]
#[schema(as = BranchName, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the names to readers of the document")]
enum BranchName {
    Process,
    Network,
    File,
    Lineage,
}

/// Lets a profile learn
///
/// What is known stays known; what deviated becomes known when it is met again.
#[utoipa::path(post, path = "/api/profiles/{key}/learn", tag = "profiles", request_body = BranchRequest,
    params(("key" = String, Path, description = "Key of the profile, or id or name of a container")),
    responses(
        (status = 200, body = ProfileDetail),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn learn(
    Extract(state): Extract<State>,
    visibility: Visibility,
    audit: Audit,
    Path(key): Path<String>,
    Body(request): Body<BranchRequest>,
) -> Result<Json<ProfileDetail>, Problem> {
    let key = find(&state, &visibility, &key)?;
    audit.action("profile.learn", &key);
    let now = state.now();
    save(&state, &key, Some(SnapshotKind::Command)).await?;
    let done = state.parts.profiles.lock().learn(&key, request.branch, now);
    done.map_err(|_| no_profile(&key))?;
    save(&state, &key, None).await?;
    detail(&state, key).await.map(Json)
}

/// Ends learning
#[utoipa::path(post, path = "/api/profiles/{key}/freeze", tag = "profiles", request_body = BranchRequest,
    params(("key" = String, Path, description = "Key of the profile, or id or name of a container")),
    responses(
        (status = 200, body = ProfileDetail),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn freeze(
    Extract(state): Extract<State>,
    visibility: Visibility,
    audit: Audit,
    Path(key): Path<String>,
    Body(request): Body<BranchRequest>,
) -> Result<Json<ProfileDetail>, Problem> {
    let key = find(&state, &visibility, &key)?;
    audit.action("profile.freeze", &key);
    let now = state.now();
    let done = state
        .parts
        .profiles
        .lock()
        .freeze(&key, request.branch, now);
    done.map_err(|_| no_profile(&key))?;
    save(&state, &key, Some(SnapshotKind::Command)).await?;
    detail(&state, key).await.map(Json)
}

/// What becomes known.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptRequest {
    /// Branch, then as far as wanted: operation, process, attribute.
    #[schema(min_items = 1, max_items = 4, example = json!(["process", "execve", "curl"]))]
    path: Vec<String>,
}

/// How much became known.
#[derive(Serialize, ToSchema)]
struct Accepted {
    /// Attributes that are known from now on.
    accepted: usize,
    /// The profile.
    profile: ProfileView,
}

/// Makes deviations known
///
/// Everything at or below `path` that deviated is part of the profile from now on.
#[utoipa::path(post, path = "/api/profiles/{key}/accept", tag = "profiles", request_body = AcceptRequest,
    params(("key" = String, Path, description = "Key of the profile, or id or name of a container")),
    responses(
        (status = 200, body = Accepted),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn accept(
    Extract(state): Extract<State>,
    caller: Caller,
    visibility: Visibility,
    audit: Audit,
    Path(key): Path<String>,
    Body(request): Body<AcceptRequest>,
) -> Result<Json<Accepted>, Problem> {
    let key = find(&state, &visibility, &key)?;
    audit.action("profile.accept", &key);
    let Some((branch, below)) = request
        .path
        .split_first()
        .filter(|(_, below)| below.len() <= 3)
    else {
        return Err(Problem::invalid("`path` has 1 to 4 parts"));
    };
    let branch = Branch::named(branch).ok_or_else(|| {
        let what = "a profile has the branches `process`, `network`, `file` and `lineage`";
        Problem::new(Code::NotFound, what)
    })?;
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    save(&state, &key, Some(SnapshotKind::Command)).await?;
    let acceptance = Acceptance {
        by: caller.0.username.as_str().into(),
        time: state.now(),
        alert: None,
    };
    let accepted = state
        .parts
        .profiles
        .lock()
        .accept(&key, branch, &below, &acceptance);
    let accepted = accepted.map_err(|_| no_profile(&key))?;
    save(&state, &key, None).await?;
    let summary = state.parts.profiles.lock().summary(&key);
    Ok(Json(Accepted {
        accepted,
        profile: summary.ok_or_else(|| no_profile(&key))?.into(),
    }))
}

async fn save(state: &State, key: &Arc<str>, kind: Option<SnapshotKind>) -> Result<(), Problem> {
    let (profiles, documents, records) = (
        Arc::clone(&state.parts.profiles),
        Arc::clone(&state.parts.documents),
        Arc::clone(&state.parts.records),
    );
    let (key, now) = (Arc::clone(key), state.now());
    blocking("keep a profile", move || {
        save_profile(&profiles, &key, &*documents, &*records, kind, now)
    })
    .await
}

/// Exports a profile
///
/// A document that can be shipped with the image and imported elsewhere. What deviated, and who
/// accepted what, is not in it.
#[utoipa::path(get, path = "/api/profiles/{key}/export", tag = "profiles",
    params(("key" = String, Path, description = "Key of the profile, or id or name of a container")),
    responses(
        (status = 200, description = "The profile", body = Object, content_type = "application/json"),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn export_profile(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    let key = find(&state, &visibility, &key)?;
    let document = state.parts.profiles.lock().snapshot(&key, EventId(0));
    let document = document.ok_or_else(|| no_profile(&key))?.to_ship();
    let name: String = key
        .chars()
        .map(|each| {
            if each.is_ascii_alphanumeric() {
                each
            } else {
                '-'
            }
        })
        .collect();
    let mut response = document.to_json().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let disposition = format!("attachment; filename=\"{name}{FILE_SUFFIX}\"");
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Where an imported profile goes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ImportParameters {
    /// Key it gets; its own when absent.
    #[param(max_length = 128)]
    key: Option<String>,
}

/// Imports a profile
///
/// It detects from now on. A profile of the same key is replaced; its state until now is kept among
/// the earlier ones.
#[utoipa::path(post, path = "/api/profiles/import", tag = "profiles", params(ImportParameters),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, body = ProfileDetail),
        (status = 409, description = "There are as many profiles as there may be, or they take as much memory as they may", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn import_profile(
    Extract(state): Extract<State>,
    Parameters(parameters): Parameters<ImportParameters>,
    audit: Audit,
    headers: http::HeaderMap,
    body: Bytes,
) -> Result<Json<ProfileDetail>, Problem> {
    crate::parameters::check_json(&headers)?;
    let document = Document::parse(&body).map_err(|error| refused(&error))?;
    let wanted = parameters.key.filter(|key| !key.is_empty());
    let old: Arc<str> = wanted.as_deref().unwrap_or(document.key()).into();
    audit.action("profile.import", &old);
    save(&state, &old, Some(SnapshotKind::Command)).await?;
    let imported = state
        .parts
        .profiles
        .lock()
        .import(&document, wanted.as_deref(), state.now());
    let key = imported.map_err(|error| refused(&error))?;
    save(&state, &key, Some(SnapshotKind::Imported)).await?;
    detail(&state, key).await.map(Json)
}

fn refused(error: &DocumentError) -> Problem {
    match error {
        DocumentError::TooManyProfiles(_) | DocumentError::NoMemory(_) => {
            Problem::new(Code::Conflict, error.to_string())
        }
        DocumentError::NotAProfile(cause) => Problem::invalid(format!("{error}: {cause}")),
        _ => Problem::invalid(error.to_string()),
    }
}

/// With what to compare.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DiffParameters {
    /// Key of another profile, or a container.
    with: Option<String>,
    /// Without another profile: time of an earlier state of the same one; the newest that is not
    /// later is taken.
    #[param(format = "instant")]
    at: Option<String>,
}

/// How two profiles differ.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileDiff)]
struct DiffView {
    /// What this profile has and the other has not.
    added: Vec<PathView>,
    /// What the other has and this one has not.
    removed: Vec<PathView>,
    /// Attributes that both have.
    common: usize,
    /// Differences that are not listed.
    not_listed: usize,
    /// Time of the earlier state, when one was compared.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
}

/// An attribute with its way from the top.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfilePath)]
struct PathView {
    /// Branch, operation, process, attribute.
    path: [String; 4],
    /// What the attribute is.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: qw_profile::Kind,
    /// Events that had it.
    events_count: u64,
    /// True when it is known as a deviation only.
    deviating: bool,
}

impl From<qw_profile::Path> for PathView {
    fn from(path: qw_profile::Path) -> Self {
        Self {
            kind: path.kind,
            events_count: path.events_count,
            deviating: path.is_deviating,
            path: [
                path.branch.as_str().to_owned(),
                path.operation,
                path.process,
                path.token,
            ],
        }
    }
}

/// Compares a profile with another, or with an earlier state of itself
#[utoipa::path(get, path = "/api/profiles/{key}/diff", tag = "profiles",
    params(
        ("key" = String, Path, description = "Key of the profile, or id or name of a container"),
        DiffParameters,
    ),
    responses(
        (status = 200, body = DiffView),
        (status = 404, description = "There is no such profile or state", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn difference(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(key): Path<String>,
    Parameters(parameters): Parameters<DiffParameters>,
) -> Result<Json<DiffView>, Problem> {
    let key = find(&state, &visibility, &key)?;
    let with = parameters.with.filter(|text| !text.is_empty());
    let at = parameters.at.filter(|text| !text.is_empty());
    let (other, time) = match (with, at) {
        (Some(with), _) => {
            let with = find(&state, &visibility, &with)?;
            let document = state.parts.profiles.lock().snapshot(&with, EventId(0));
            (document.ok_or_else(|| no_profile(&with))?, None)
        }
        (None, at) => {
            let at = at.map(|at| instant("at", &at, state.now())).transpose()?;
            let (document, time) = earlier(&state, &key, at.unwrap_or(Timestamp::MAX)).await?;
            (document, Some(time))
        }
    };
    let own = state.parts.profiles.lock().snapshot(&key, EventId(0));
    let own = own.ok_or_else(|| no_profile(&key))?;
    let found = blocking("compare profiles", move || {
        Ok::<_, std::convert::Infallible>(diff(&own, &other))
    });
    let found = found.await?;
    let count = found.only_first.len().max(found.only_second.len());
    let views = |paths: Vec<qw_profile::Path>| {
        let paths = paths.into_iter().take(MAX_DIFFERENCES);
        paths.map(PathView::from).collect()
    };
    Ok(Json(DiffView {
        not_listed: count.saturating_sub(MAX_DIFFERENCES),
        added: views(found.only_first),
        removed: views(found.only_second),
        common: found.common,
        at: time,
    }))
}

/// The newest kept state of `key` that is not later than `at`, or the oldest.
async fn earlier(
    state: &State,
    key: &Arc<str>,
    at: Timestamp,
) -> Result<(Document, Timestamp), Problem> {
    let (documents, wanted) = (Arc::clone(&state.parts.documents), Arc::clone(key));
    let mut snapshots = blocking("read earlier states of a profile", move || {
        profile_snapshots(&*documents, &wanted)
    })
    .await?;
    let not_later = snapshots.partition_point(|snapshot| snapshot.time <= at);
    if snapshots.is_empty() {
        return Err(Problem::new(
            Code::NotFound,
            format!("no earlier state of `{key}` is kept"),
        ));
    }
    let snapshot = snapshots.swap_remove(not_later.saturating_sub(1));
    let document = snapshot.document().map_err(|error| refused(&error))?;
    Ok((document, snapshot.time))
}

/// What of a tree.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TreeParameters {
    /// Only this branch.
    #[param(pattern = "^(process|network|file|lineage)?$")]
    branch: Option<String>,
    /// Only nodes whose name contains this, with what is above and below them.
    #[param(max_length = 256)]
    search: Option<String>,
    /// Only what had been seen by then.
    #[param(format = "instant")]
    at: Option<String>,
    /// Only nodes in this state: `learned`, `accepted`, `seen` or `deviating`.
    #[param(pattern = "^(learned|accepted|seen|deviating)?$")]
    state: Option<String>,
}

/// A node of a profile's tree.
#[derive(ToSchema)]
#[schema(as = TreeNode, no_recursion)]
#[expect(dead_code, reason = "describes the tree to readers of the document")]
struct TreeNodeBody {
    /// Text of the node.
    name: String,
    /// `profile`, `branch`, `operation`, `process`, or a kind of attribute.
    r#type: String,
    /// Sum of the counts below; at an attribute, events that had it.
    events_count: u64,
    /// `state` (`learned`, `accepted`, `seen`, `deviating`), `first_seen`, `last_seen`, `accepted` (`by`
    /// whom, at which `time`, with which `alert`) and more.
    #[schema(value_type = Object)]
    metadata: (),
    /// Nodes below, most frequent first.
    children: Vec<Self>,
}

/// Shows what a workload does, as a tree
#[utoipa::path(get, path = "/api/hbt/{id}", tag = "profiles",
    params(
        ("id" = String, Path, description = "Id or name of a container, or key of a profile"),
        TreeParameters,
    ),
    responses(
        (status = 200, body = TreeNodeBody),
        (status = 404, description = "There is no such profile", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn tree(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<TreeParameters>,
) -> Result<Json<TreeNode>, Problem> {
    let key = find(&state, &visibility, &id)?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let branch = some(parameters.branch)
        .map(|name| {
            Branch::named(&name).ok_or_else(|| {
                Problem::invalid("`branch` must be `process`, `network`, `file` or `lineage`")
            })
        })
        .transpose()?;
    let node_state = match parameters.state.as_deref() {
        None | Some("") => None,
        Some("learned") => Some(NodeState::Learned),
        Some("accepted") => Some(NodeState::Accepted),
        Some("seen") => Some(NodeState::Seen),
        Some("deviating") => Some(NodeState::Deviating),
        Some(_) => {
            return Err(Problem::invalid(
                "`state` must be `learned`, `accepted`, `seen` or `deviating`",
            ));
        }
    };
    let query = TreeQuery {
        branch,
        search: some(parameters.search).unwrap_or_default(),
        at: some(parameters.at)
            .map(|text| instant("at", &text, state.now()))
            .transpose()?,
        state: node_state,
    };
    let (profiles, wanted) = (Arc::clone(&state.parts.profiles), Arc::clone(&key));
    let tree = blocking("show a profile", move || {
        Ok::<_, std::convert::Infallible>(profiles.lock().tree(&wanted, &query))
    });
    tree.await?.map(Json).ok_or_else(|| no_profile(&key))
}
