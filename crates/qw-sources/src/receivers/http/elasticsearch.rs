//! Elasticsearch's bulk API, and as much beside it as its senders ask for before they send.
//!
//! Source: Elasticsearch, "Bulk API"; what Filebeat, Fluent Bit, Logstash and Vector ask at their start.

use std::time::Instant;

use axum::{
    Router,
    extract::{Path, Request, State},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http::{HeaderValue, Method, StatusCode, header};
use qw_wire::elasticsearch::{self as wire, Action, BulkAnswer};
use serde::Deserialize;

use super::{Invalid, Receiver, Refused};

pub(super) fn router(receiver: Receiver) -> Router {
    let bulk = || post(bulk).put(bulk);
    let own_bulk = || post(index_bulk).put(index_bulk);
    let acknowledge = || any(async || json(StatusCode::OK, wire::ACKNOWLEDGED));
    Router::new()
        .route("/", any(root))
        .route("/_bulk", bulk())
        .route("/{index}/_bulk", own_bulk())
        .route("/{index}/{type}/_bulk", own_bulk())
        .route("/{index}/_doc", post(document))
        .route("/{index}/_doc/{id}", post(document).put(document))
        .route("/{index}/_create/{id}", post(document).put(document))
        .route(
            "/_license",
            get(async || json(StatusCode::OK, wire::license())),
        )
        .route(
            "/_xpack/license",
            get(async || json(StatusCode::OK, wire::license())),
        )
        .route("/_cluster/health", get(health))
        .route("/_index_template/{name}", any(template))
        .route("/_template/{name}", any(template))
        .route("/_component_template/{name}", any(template))
        .route("/_data_stream/{name}", acknowledge())
        .route("/_ilm/policy/{name}", acknowledge())
        .route("/_ingest/pipeline/{name}", acknowledge())
        .fallback(nothing_here)
        .layer(map_response(as_elasticsearch))
        .with_state(receiver)
}

/// What a path names; routes around these ones may name more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    index: String,
    id: String,
    name: String,
}

/// Clients of Elastic refuse servers that do not say what they are.
async fn as_elasticsearch(mut response: Response) -> Response {
    let product = HeaderValue::from_static("Elasticsearch");
    response.headers_mut().insert("x-elastic-product", product);
    response
}

fn json(status: StatusCode, body: impl Into<Vec<u8>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.into()).into_response()
}

async fn root() -> Response {
    json(
        StatusCode::OK,
        wire::root("quaywatch", wire::DEFAULT_VERSION),
    )
}

async fn health() -> Response {
    let body = r#"{"cluster_name":"quaywatch","status":"green","timed_out":false,"number_of_nodes":1,"number_of_data_nodes":1}"#;
    json(StatusCode::OK, body)
}

async fn template(method: Method, Path(Named { name, .. }): Path<Named>) -> Response {
    match method {
        Method::GET => json(StatusCode::OK, wire::index_template(&name)),
        _ => json(StatusCode::OK, wire::ACKNOWLEDGED),
    }
}

async fn nothing_here() -> Response {
    let text = "only bulks of documents are received here";
    let body = wire::error_answer(404, "resource_not_found_exception", text);
    json(StatusCode::NOT_FOUND, body)
}

async fn bulk(State(receiver): State<Receiver>, request: Request) -> Response {
    take(&receiver, None, request).await
}

async fn index_bulk(
    State(receiver): State<Receiver>,
    Path(Named { index, .. }): Path<Named>,
    request: Request,
) -> Response {
    take(&receiver, Some(index), request).await
}

/// An item of a bulk, and what is wrong with it.
type Item = (Action, String, String, Option<wire::Fault>);

async fn take(receiver: &Receiver, index: Option<String>, request: Request) -> Response {
    let begun = Instant::now();
    let result = receiver
        .receive(request, move |body, each| {
            let mut items: Vec<Item> = Vec::new();
            let parsed = wire::parse_bulk(
                body,
                index.as_deref(),
                &mut |_, action, index, id, document| {
                    let fault = match document {
                        Ok(mut document) => {
                            let index = serde_json::to_string(index).unwrap_or_default();
                            document
                                .fields
                                .push(("elasticsearch.index".into(), index.into()));
                            each(document);
                            None
                        }
                        Err(fault) => Some(fault),
                    };
                    items.push((action, index.to_owned(), id.to_owned(), fault));
                },
            );
            match parsed {
                Ok(_) => Ok(items),
                Err(fault) => Err(Invalid {
                    reason: fault.reason(),
                    fault,
                }),
            }
        })
        .await;
    let items = match result {
        Ok(Ok(items)) => items,
        Ok(Err(fault)) => {
            let body = wire::error_answer(400, "illegal_argument_exception", &fault.to_string());
            return json(StatusCode::BAD_REQUEST, body);
        }
        Err(refused) => return refuse(&refused),
    };
    let status = receiver.0.shared.intake.status();
    let mut answer = BulkAnswer::new();
    for (action, index, id, fault) in items {
        match fault {
            None => answer.accepted(action, &index, &id),
            Some(fault) => {
                status.received(1, 0, crate::clock::now());
                status.invalid(fault.reason(), fault.to_string().as_bytes());
                answer.refused(action, &index, &id, &fault);
            }
        }
    }
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    json(StatusCode::OK, answer.finish(took))
}

fn refuse(refused: &Refused) -> Response {
    // 429 is what senders repeat after a while.
    let (status, kind) = match refused.status {
        StatusCode::SERVICE_UNAVAILABLE => (
            StatusCode::TOO_MANY_REQUESTS,
            "es_rejected_execution_exception",
        ),
        status => (status, "illegal_argument_exception"),
    };
    let body = wire::error_answer(status.as_u16(), kind, &refused.text);
    json(status, body)
}

async fn document(
    State(receiver): State<Receiver>,
    Path(Named { index, id, .. }): Path<Named>,
    request: Request,
) -> Response {
    one(&receiver, &index, &id, request).await
}

async fn one(receiver: &Receiver, index: &str, id: &str, request: Request) -> Response {
    let result = receiver
        .receive(request, |body, each| match wire::parse_document(body) {
            Ok(document) => {
                each(document);
                Ok(())
            }
            Err(fault) => Err(Invalid {
                reason: fault.reason(),
                fault,
            }),
        })
        .await;
    match result {
        Ok(Ok(())) => {
            let body = serde_json::json!({
                "_index": index, "_id": id, "_version": 1, "result": "created",
                "_shards": {"total": 1, "successful": 1, "failed": 0},
            });
            json(StatusCode::CREATED, body.to_string())
        }
        Ok(Err(fault)) => {
            let body = wire::error_answer(400, "mapper_parsing_exception", &fault.to_string());
            json(StatusCode::BAD_REQUEST, body)
        }
        Err(refused) => refuse(&refused),
    }
}
