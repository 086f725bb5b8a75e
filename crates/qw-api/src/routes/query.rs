//! Help with queries: is one valid, which fields are there, which values.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State as Extract};
use qw_store::{
    EventQuery, FacetQuery, Kinds, Order, TimeRange,
    query::{self, Expression, FIELDS, Filter, Pattern},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    parameters::{Parameters, kinds, limit},
    problem::Problem,
    routes::Routes,
    state::State,
};

/// How far back values and unnamed fields are looked for.
const RECENT: Duration = Duration::from_hours(24);

/// Events that are looked at for the names of their fields.
const SAMPLE: usize = 300;

/// Fields that are told besides the known ones.
const MAX_SEEN: usize = 500;

pub(super) fn routes() -> Routes {
    vec![routes!(check), routes!(fields), routes!(values)]
}

/// A query to be checked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CheckParameters {
    /// The query.
    query: Option<String>,
}

/// Whether a query can be read.
#[derive(Serialize, ToSchema)]
struct Check {
    /// True when it can.
    valid: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Byte offset of the part to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// Length of that part in bytes; 0 when something is missing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
}

/// Tells whether a query can be read, and if not, why and where
#[utoipa::path(get, path = "/api/query/check", tag = "query", params(CheckParameters), responses(
    (status = 200, body = Check),
))]
async fn check(Parameters(parameters): Parameters<CheckParameters>) -> Json<Check> {
    Json(
        match query::parse(parameters.query.as_deref().unwrap_or("")) {
            Ok(_) => Check {
                valid: true,
                message: None,
                position: None,
                length: None,
            },
            Err(error) => Check {
                valid: false,
                message: Some(error.message),
                position: Some(error.position),
                length: Some(error.length),
            },
        },
    )
}

/// Fields that queries can name.
#[derive(Serialize, ToSchema)]
struct FieldList {
    /// The known fields, then those lately seen in `output_fields`.
    items: Vec<FieldView>,
}

/// A field that queries can name.
#[derive(Serialize, ToSchema)]
#[schema(as = Field)]
struct FieldView {
    /// Its name.
    #[schema(example = "proc.name")]
    name: String,
    /// `text`, `list`, `number`, `time`, `priority`, `category`, `address` or `any`.
    #[schema(example = "text")]
    r#type: &'static str,
    /// What it holds; empty for fields that are only seen.
    description: &'static str,
}

/// Lists the fields that queries can name
#[utoipa::path(get, path = "/api/query/fields", tag = "query", responses((status = 200, body = FieldList)))]
async fn fields(
    Extract(state): Extract<State>,
    visibility: Visibility,
) -> Result<Json<FieldList>, Problem> {
    // What is remembered comes from all events.
    let remembered = visibility
        .is_everything()
        .then(|| state.caches.fields.get(&()))
        .flatten();
    let seen = match remembered {
        Some(seen) => seen,
        None => {
            let seen = seen_fields(&state, &visibility).await?;
            if visibility.is_everything() {
                state.caches.fields.put((), Arc::clone(&seen));
            }
            seen
        }
    };
    let known = FIELDS.iter().map(|field| FieldView {
        name: field.name.to_owned(),
        r#type: field.kind.as_str(),
        description: field.description,
    });
    let seen = seen.iter().map(|name| FieldView {
        name: name.clone(),
        r#type: "any",
        description: "",
    });
    Ok(Json(FieldList {
        items: known.chain(seen).collect(),
    }))
}

/// Fields that tell records of several kinds apart, or that only logs have.
const OF_LOGS: [&str; 5] = ["kind", "severity_text", "level", "log.iostream", "body"];

async fn seen_fields(state: &State, visibility: &Visibility) -> Result<Arc<[String]>, Problem> {
    let now = state.now();
    let query = EventQuery {
        kinds: Kinds::EVENTS,
        range: TimeRange {
            start: now.saturating_sub(RECENT),
            end: now,
        },
        filter: visibility.narrow(Filter::everything()),
        order: Order::NewestFirst,
        after: None,
        limit: SAMPLE,
        budget: Duration::from_secs(1),
    };
    let page = state.ask(move |records| records.events(&query)).await?;
    let mut names = BTreeSet::new();
    for stored in &page.events {
        let fields =
            serde_json::from_str::<BTreeMap<String, &RawValue>>(stored.event.output_fields.get());
        names.extend(
            fields
                .unwrap_or_default()
                .into_keys()
                .filter(|name| name.len() <= 128),
        );
    }
    names.retain(|name| FIELDS.iter().all(|field| field.name != name));
    Ok(names.into_iter().take(MAX_SEEN).collect())
}

/// Which values.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ValueParameters {
    /// Name of the field.
    #[param(example = "rule", min_length = 1, max_length = 128)]
    field: String,
    /// Of which records: `event`, `log` or `all`; all for fields that only logs have, else events.
    #[param(pattern = "^(event|log|all)?$")]
    kind: Option<String>,
    /// Beginning of the values.
    #[param(example = "Te", max_length = 256)]
    prefix: Option<String>,
    /// Most values.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<usize>,
}

/// Values of a field.
#[derive(Serialize, ToSchema)]
struct ValueList {
    /// The values, most frequent first.
    items: Vec<String>,
}

/// Lists the most frequent values of a field in the last day
#[utoipa::path(get, path = "/api/query/values", tag = "query", params(ValueParameters), responses(
    (status = 200, body = ValueList),
))]
async fn values(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<ValueParameters>,
) -> Result<Json<ValueList>, Problem> {
    let ValueParameters {
        field,
        kind,
        prefix,
        limit: asked,
    } = parameters;
    if field.is_empty() || field.chars().count() > 128 {
        return Err(Problem::invalid("`field` is not the name of a field"));
    }
    let prefix = prefix.unwrap_or_default();
    if prefix.chars().count() > 256 {
        return Err(Problem::invalid("`prefix` is too long"));
    }
    let now = state.now();
    let filter = if prefix.is_empty() {
        Filter::everything()
    } else {
        let starts = Pattern::Wildcard(vec![prefix.clone(), String::new()]);
        Filter::from(Expression::Matches {
            field: field.clone(),
            patterns: vec![starts],
        })
    };
    let kinds = match kind.as_deref() {
        None | Some("") if OF_LOGS.contains(&&*field.to_ascii_lowercase()) => Kinds::ALL,
        kind => kinds(kind, &Filter::everything())?,
    };
    let query = FacetQuery {
        kinds,
        range: TimeRange {
            start: now.saturating_sub(RECENT),
            end: now,
        },
        filter: visibility.narrow(filter),
        fields: vec![field],
        limit: limit(asked, 20, 100)?,
        budget: Duration::from_millis(500),
    };
    let facets = state.ask(move |records| records.facets(&query)).await?;
    let prefix = prefix.to_lowercase();
    let items = facets
        .facets
        .into_iter()
        .flat_map(|facet| facet.values)
        .map(|entry| entry.value)
        .filter(|value| value.to_lowercase().starts_with(&prefix))
        .collect();
    Ok(Json(ValueList { items }))
}
