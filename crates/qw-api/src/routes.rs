//! All routes, and the document made from them.
//!
//! What a route asks of its sender is said once, where its group is put together: the same line
//! guards the route and describes it in the document.

#![allow(
    unused_qualifications,
    reason = "the macro that describes routes writes them"
)]

mod access;
mod alerts;
mod audit;
pub(crate) mod containers;
mod docs;
mod events;
mod export;
mod formats;
mod forwarding;
mod histogram;
mod notifications;
mod oidc;
mod overview;
mod probes;
mod profiles;
mod prom;
mod query;
mod sessions;
mod silences;
mod sources;
mod streams;
mod test_event;
mod usage;
mod users;
mod views;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::from_fn_with_state,
    routing::{MethodRouter, any},
};
use qw_auth::Permission;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use utoipa::{
    OpenApi,
    openapi::{
        Components, Content, Ref, ResponseBuilder,
        extensions::ExtensionsBuilder,
        path::{Operation, PathItem},
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::{
    assets::Assets,
    audited::audited,
    guard::{Data, Need, Rule, SESSION_COOKIE, guard},
    layers::{nothing_here, time_limit},
    problem::ProblemBody,
    state::State,
};

/// Largest body of a request to the API, in bytes: room for the longest saved view, each of its
/// characters escaped.
const MAX_BODY: usize = 256 << 10;

/// The document of the API, OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    document(api(None).into_openapi())
}

/// Everything on the console's listener; `receiver` takes events below `/falco`.
pub(crate) fn console(state: &State, receiver: Router) -> Router {
    let (router, paths) = api(Some(state)).split_for_parts();
    let assets = match &state.parts.settings.ui_dir {
        Some(folder) => Assets::Folder(folder.clone()),
        None => Assets::Embedded,
    };
    router
        .merge(docs::routes(document(paths)))
        .route("/api/{*rest}", any(nothing_here))
        .fallback(move |request: Request| {
            let assets = assets.clone();
            async move {
                assets
                    .answer(request.method(), request.uri().path(), request.headers())
                    .await
            }
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CompressionLayer::new().gzip(true))
        .with_state(state.clone())
        // Not below the layers above: senders of events have their own bounds.
        .merge(
            Router::new()
                .route("/falco", pass_to(&receiver))
                .route("/falco/", pass_to(&receiver))
                .route("/falco/{token}", pass_to(&receiver)),
        )
}

/// A route that hands its requests to `router` as they are.
pub(crate) fn pass_to(router: &Router) -> MethodRouter {
    let router = router.clone();
    any(move |request: Request| router.clone().oneshot(request))
}

/// Routes of one area, each with its description.
type Routes = Vec<UtoipaMethodRouter<State>>;

/// The routes of the API. Without a state they only describe themselves.
fn api(state: Option<&State>) -> OpenApiRouter<State> {
    let limit = state.map(|state| state.parts.settings.request_timeout);
    let may = |permission, data| Rule {
        need: Need::Permission(permission),
        data,
    };
    let open = Rule {
        need: Need::Nothing,
        data: Data::Nothing,
    };
    let signed_in = Rule {
        need: Need::Session,
        data: Data::Nothing,
    };
    let events = [
        events::routes(),
        histogram::routes(),
        query::routes(),
        containers::event_routes(),
    ];
    // A new route goes into the line that says what it needs and what it gives away.
    let groups = [
        (
            open,
            limit,
            [access::open_routes(), oidc::routes(), probes::routes()].concat(),
        ),
        (
            signed_in,
            limit,
            [access::session_routes(), sessions::routes()].concat(),
        ),
        (
            may(Permission::ViewEvents, Data::Filtered),
            limit,
            events.concat(),
        ),
        // What has no end has no limit either.
        (
            may(Permission::ViewEvents, Data::Filtered),
            None,
            [export::routes(), streams::routes()].concat(),
        ),
        (
            may(Permission::ViewEvents, Data::Nothing),
            limit,
            views::read_routes(),
        ),
        (
            may(Permission::View, Data::Filtered),
            limit,
            [
                containers::routes(),
                usage::routes(),
                overview::routes(),
                alerts::read_routes(),
                profiles::read_routes(),
                silences::read_routes(),
            ]
            .concat(),
        ),
        (
            may(Permission::Triage, Data::Filtered),
            limit,
            alerts::triage_routes(),
        ),
        (
            may(Permission::Triage, Data::Nothing),
            limit,
            users::triage_routes(),
        ),
        (
            may(Permission::Triage, Data::Whole),
            limit,
            silences::write_routes(),
        ),
        (
            may(Permission::ManageProfiles, Data::Whole),
            limit,
            profiles::write_routes(),
        ),
        (
            may(Permission::ManageNotifications, Data::Whole),
            limit,
            [notifications::routes(), forwarding::routes()].concat(),
        ),
        (
            may(Permission::ViewSystem, Data::Whole),
            limit,
            [sources::routes(), prom::routes()].concat(),
        ),
        (
            may(Permission::SaveViews, Data::Nothing),
            limit,
            views::write_routes(),
        ),
        (
            may(Permission::Ingest, Data::Nothing),
            limit,
            test_event::routes(),
        ),
        (
            may(Permission::OwnTokens, Data::Nothing),
            limit,
            access::token_routes(),
        ),
        (
            may(Permission::ManageAccess, Data::Nothing),
            limit,
            users::routes(),
        ),
        (
            may(Permission::ReadAudit, Data::Whole),
            limit,
            audit::routes(),
        ),
        (
            may(Permission::ReadAudit, Data::Whole),
            None,
            audit::export_routes(),
        ),
    ];
    let mut router = OpenApiRouter::with_openapi(Description::openapi());
    for (rule, limit, routes) in groups {
        for route in routes {
            router = router.routes(guarded(route, rule, limit, state));
        }
    }
    router
}

/// Puts guard, time limit and audit log before `route`, and says in its description what it needs.
fn guarded(
    (schemas, mut paths, mut route): UtoipaMethodRouter<State>,
    rule: Rule,
    limit: Option<Duration>,
    state: Option<&State>,
) -> UtoipaMethodRouter<State> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        describe_rule(operation, rule);
    }
    if let Some(state) = state
        && rule.need != Need::Nothing
    {
        route = route.route_layer(from_fn_with_state((state.clone(), rule), guard));
    }
    if let Some(limit) = limit {
        route = route.route_layer(from_fn_with_state(limit, time_limit));
    }
    if let Some(state) = state {
        route = route.route_layer(from_fn_with_state(state.clone(), audited));
    }
    (schemas, paths, route)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

/// What a route needs is in `security`, `x-permission` and `x-data`.
fn describe_rule(operation: &mut Operation, rule: Rule) {
    let mut said = ExtensionsBuilder::new().add("x-data", rule.data.as_str());
    if let Some(permission) = rule.need.as_str() {
        said = said.add("x-permission", permission);
    }
    operation.extensions = Some(said.build());
    if rule.need == Need::Nothing {
        return;
    }
    let nothing: [String; 0] = [];
    let mut security = vec![SecurityRequirement::new("session", nothing)];
    if let Need::Permission(permission) = rule.need {
        let scope = permission.scope();
        security.push(SecurityRequirement::new("token", [scope.as_str()]));
    }
    operation.security = Some(security);
    for (status, description) in [
        ("401", "Not signed in, or the token is not valid"),
        (
            "403",
            "Signed in, but not allowed; or the CSRF token is missing",
        ),
        (
            "429",
            "Too many requests; `Retry-After` says when to try again",
        ),
    ] {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| problem_response(description).into());
    }
}

fn problem_response(description: &str) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

/// Adds to every operation what every operation may answer, and the ways to prove who one is.
fn document(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            formats::describe(operation);
            let takes = operation
                .parameters
                .as_ref()
                .is_some_and(|list| !list.is_empty())
                || operation.request_body.is_some();
            if takes {
                let entry = operation.responses.responses.entry("400".to_owned());
                entry.or_insert_with(|| problem_response("A parameter is not valid").into());
            }
            if operation.request_body.is_some() {
                for (status, description) in [
                    ("413", "The body is too large"),
                    ("415", "The body is not `application/json`"),
                ] {
                    let entry = operation.responses.responses.entry(status.to_owned());
                    entry.or_insert_with(|| problem_response(description).into());
                }
            }
            let entry = operation.responses.responses.entry("default".to_owned());
            entry.or_insert_with(|| problem_response("Anything else that went wrong").into());
        }
    }
    let components = document.components.get_or_insert_with(Components::default);
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            SESSION_COOKIE,
            "Cookie of a signed-in user. Requests other than GET also carry the session's \
             `csrf_token` in the header `X-Quaywatch-CSRF`.",
        ))),
    );
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("qw_<id>_<secret>")
                .description(Some("API token with the scope that the operation names."))
                .build(),
        ),
    );
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quaywatch",
        description = "What containers are made of, what they do, and what is wrong with them.\n\n\
            Times are RFC 3339; `start` and `end` also take `now` and `now-15m`. Errors are \
            `application/problem+json` with a stable `code`. Lists hold `items` and `next_cursor`, \
            which goes into `cursor` of the next request and is `null` at the end.\n\n\
            Each operation says in `x-permission` what its sender must be allowed, and in `x-data` \
            whether it tells of containers: `filtered` (of those the sender may see), `whole` (of all, \
            so that whoever is confined to a scope may not ask) or `nothing`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    components(schemas(ProblemBody)),
    tags(
        (name = "access", description = "Setup, sign-in, users, sessions, tokens"),
        (name = "audit", description = "Who did what, when"),
        (name = "events", description = "Stored events"),
        (name = "query", description = "The query language"),
        (name = "containers", description = "Containers and what they did"),
        (name = "overview", description = "Everything at a glance"),
        (name = "alerts", description = "Alerts, triage and silences"),
        (name = "profiles", description = "What workloads do, learned"),
        (name = "notifications", description = "Who is told about alerts"),
        (name = "routes", description = "Where records are forwarded to"),
        (name = "sources", description = "Where events come from"),
        (name = "streams", description = "Events as they come, as server-sent events"),
        (name = "views", description = "Saved views of the console"),
        (name = "prometheus", description = "Questions to a Prometheus server"),
        (name = "probes", description = "Is it alive, is it ready")
    )
)]
struct Description;
