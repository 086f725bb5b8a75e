//! What a receiver answers, in the form that clients check.

use super::{Action, Fault};
use crate::outgoing::json::{ObjectWriter, push_string, quote};

/// The version that [`root`] states unless told otherwise.
pub const DEFAULT_VERSION: &str = "8.17.0";

/// The answer to what changes nothing here: templates, policies, pipelines. Status 200.
pub const ACKNOWLEDGED: &str = r#"{"acknowledged":true}"#;

/// The answer of `GET /`. Clients also want the header `X-Elastic-Product: Elasticsearch`.
///
/// `name` is the node's, `version` Elasticsearch's that clients should take us for.
pub fn root(name: &str, version: &str) -> String {
    let (name, version) = (quote(name), quote(version));
    format!(
        concat!(
            r#"{{"name":{name},"cluster_name":"quaywatch","cluster_uuid":"cXVheXdhdGNoLWNsdXN0ZQ","#,
            r#""version":{{"number":{version},"build_flavor":"default","build_type":"docker","#,
            r#""build_hash":"0000000000000000000000000000000000000000","#,
            r#""build_date":"2024-12-11T12:08:05.663969764Z","build_snapshot":false,"#,
            r#""lucene_version":"9.12.0","minimum_wire_compatibility_version":"7.17.0","#,
            r#""minimum_index_compatibility_version":"7.0.0"}},"tagline":"You Know, for Search"}}"#,
        ),
        name = name,
        version = version,
    )
}

/// The answer of `GET /_license` and `GET /_xpack/license`.
pub const fn license() -> &'static str {
    concat!(
        r#"{"license":{"status":"active","uid":"00000000-0000-4000-8000-000000000000","type":"basic","#,
        r#""issue_date":"2024-01-01T00:00:00.000Z","issue_date_in_millis":1704067200000,"#,
        r#""max_nodes":1000,"max_resource_units":null,"issued_to":"quaywatch","issuer":"elasticsearch","#,
        r#""start_date_in_millis":-1}}"#,
    )
}

/// The answer of `GET /_index_template/NAME`: it is there, so that clients do not put theirs.
pub fn index_template(name: &str) -> String {
    format!(
        concat!(
            r#"{{"index_templates":[{{"name":{name},"index_template":{{"index_patterns":[{name}],"#,
            r#""composed_of":[],"priority":100,"data_stream":{{"hidden":false,"allow_custom_routing":false}}}}}}]}}"#,
        ),
        name = quote(name),
    )
}

/// The answer to a request that is refused as a whole, such as `illegal_argument_exception` with
/// status 400.
pub fn error_answer(status: u16, kind: &str, reason: &str) -> String {
    let (kind, reason) = (quote(kind), quote(reason));
    format!(
        concat!(
            r#"{{"error":{{"root_cause":[{{"type":{kind},"reason":{reason}}}],"type":{kind},"#,
            r#""reason":{reason}}},"status":{status}}}"#,
        ),
        kind = kind,
        reason = reason,
        status = status,
    )
}

/// Writes the answer to a bulk, item by item in their order.
#[derive(Debug, Clone, Default)]
pub struct BulkAnswer {
    items: Vec<u8>,
    has_errors: bool,
}

impl BulkAnswer {
    /// An answer without items.
    pub fn new() -> Self {
        Self::default()
    }

    /// The document is kept; `id` is the sender's, or the one it has here.
    pub fn accepted(&mut self, action: Action, index: &str, id: &str) {
        self.item(action, index, id, 201, |item| {
            item.raw("_version", "1").text("result", "created");
            item.raw("_shards", r#"{"total":1,"successful":1,"failed":0}"#);
            item.raw("_seq_no", "0").raw("_primary_term", "1");
        });
    }

    /// The document has a fault: status 400. As Elasticsearch would, updates are answered with 404 and
    /// an error, removals with 404 and without one, because the document is not there.
    pub fn refused(&mut self, action: Action, index: &str, id: &str, fault: &Fault) {
        match action {
            Action::Index | Action::Create => {
                let reason = fault.to_string();
                self.failed(
                    action,
                    index,
                    id,
                    400,
                    "document_parsing_exception",
                    &reason,
                );
            }
            Action::Update => {
                let reason = format!("[{id}]: document missing");
                self.failed(
                    action,
                    index,
                    id,
                    404,
                    "document_missing_exception",
                    &reason,
                );
            }
            Action::Delete => self.item(action, index, id, 404, |item| {
                item.raw("_version", "1").text("result", "not_found");
                item.raw("_shards", r#"{"total":1,"successful":1,"failed":0}"#);
                item.raw("_seq_no", "0").raw("_primary_term", "1");
            }),
        }
    }

    /// The document was not kept, for a reason of our own: with status 429 and
    /// `es_rejected_execution_exception` clients send it again.
    pub fn failed(
        &mut self,
        action: Action,
        index: &str,
        id: &str,
        status: u16,
        kind: &str,
        reason: &str,
    ) {
        self.has_errors = true;
        self.item(action, index, id, status, |item| {
            let mut error = ObjectWriter::begin(item.name("error"));
            error.text("type", kind).text("reason", reason);
            error.end();
        });
    }

    fn item(
        &mut self,
        action: Action,
        index: &str,
        id: &str,
        status: u16,
        rest: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        let out = &mut self.items;
        if !out.is_empty() {
            out.push(b',');
        }
        out.push(b'{');
        push_string(out, action.as_str());
        out.push(b':');
        let mut item = ObjectWriter::begin(out);
        item.text("_index", index);
        if id.is_empty() {
            item.raw("_id", "null");
        } else {
            item.text("_id", id);
        }
        rest(&mut item);
        item.raw("status", &status.to_string());
        item.end();
        out.push(b'}');
    }

    /// The body, of status 200 whatever the items hold.
    pub fn finish(self, took_millis: u64) -> Vec<u8> {
        let errors = self.has_errors;
        let mut body =
            format!("{{\"errors\":{errors},\"took\":{took_millis},\"items\":[").into_bytes();
        body.extend_from_slice(&self.items);
        body.extend_from_slice(b"]}");
        body
    }
}
