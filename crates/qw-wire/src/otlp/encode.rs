//! Records → OpenTelemetry's messages, and the answers of a receiver.

use prost::Message as _;
use qw_log::Severity;

use super::message::{
    AnyValue, ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    InstrumentationScope, KeyValue, LogRecord, Resource, ResourceLogs, ScopeLogs, Status,
};
use crate::{
    Outgoing,
    outgoing::{
        Attribute,
        json::{self, ObjectWriter, push_string},
    },
};

/// An `ExportLogsServiceRequest` of protobuf with all `records`.
///
/// Records of one container and host that follow each other share a resource. The number of a record
/// goes into `log.record.uid`.
pub fn encode_protobuf(records: &[Outgoing<'_>]) -> Vec<u8> {
    let mut request = ExportLogsServiceRequest::default();
    for group in groups(records) {
        let resource = group.first().into_iter().flat_map(Outgoing::resource);
        request.resource_logs.push(ResourceLogs {
            resource: Some(Resource {
                attributes: resource.map(attribute).collect(),
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: SCOPE.to_owned(),
                    version: String::new(),
                }),
                log_records: group.iter().map(record).collect(),
            }],
        });
    }
    request.encode_to_vec()
}

/// As [`encode_protobuf`], of JSON.
pub fn encode_json(records: &[Outgoing<'_>]) -> Vec<u8> {
    let mut out = b"{\"resourceLogs\":[".to_vec();
    for (index, group) in groups(records).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"resource\":{\"attributes\":[");
        let resource = group.first().into_iter().flat_map(Outgoing::resource);
        push_attributes(&mut out, resource);
        out.extend_from_slice(b"]},\"scopeLogs\":[{\"scope\":{\"name\":");
        push_string(&mut out, SCOPE);
        out.extend_from_slice(b"},\"logRecords\":[");
        for (index, record) in group.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_record(&mut out, record);
        }
        out.extend_from_slice(b"]}]}");
    }
    out.extend_from_slice(b"]}");
    out
}

/// The protobuf body with which an export is answered.
///
/// `rejected` lines were not taken, for the reason `message`; without either, all is well.
pub fn answer_protobuf(rejected: u64, message: &str) -> Vec<u8> {
    let partial_success = (rejected > 0 || !message.is_empty()).then(|| ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: message.to_owned(),
    });
    ExportLogsServiceResponse { partial_success }.encode_to_vec()
}

/// As [`answer_protobuf`], of JSON.
pub fn answer_json(rejected: u64, message: &str) -> String {
    if rejected == 0 && message.is_empty() {
        return "{}".to_owned();
    }
    let message = json::quote(message);
    format!(
        "{{\"partialSuccess\":{{\"rejectedLogRecords\":\"{rejected}\",\"errorMessage\":{message}}}}}"
    )
}

/// The protobuf body of an error over HTTP: `google.rpc.Status` with a code of gRPC, such as 3 for an
/// invalid argument.
pub fn status_protobuf(code: i32, message: &str) -> Vec<u8> {
    let message = message.to_owned();
    Status { code, message }.encode_to_vec()
}

/// As [`status_protobuf`], of JSON.
pub fn status_json(code: i32, message: &str) -> String {
    format!("{{\"code\":{code},\"message\":{}}}", json::quote(message))
}

/// Name of the scope that our own messages state.
const SCOPE: &str = "quaywatch";

/// Records that follow each other and come from one container.
fn groups<'s, 'a>(records: &'s [Outgoing<'a>]) -> impl Iterator<Item = &'s [Outgoing<'a>]> {
    records.chunk_by(|a, b| a.container == b.container && a.hostname == b.hostname)
}

fn attribute((name, text): Attribute<'_>) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(text.into()),
    }
}

fn record(from: &Outgoing<'_>) -> LogRecord {
    let uid = from.id.to_string();
    let own = from.line_attributes().chain([(UID, &*uid)]).map(attribute);
    let fields = from.members().into_iter().map(|(name, value)| KeyValue {
        key: name.into_owned(),
        value: Some(any(value)),
    });
    LogRecord {
        time_unix_nano: nanos(from),
        severity_number: from.severity.map_or(0, number),
        severity_text: from.severity.map_or("", Severity::text).to_owned(),
        body: Some(from.text.into()),
        attributes: own.chain(fields).collect(),
        ..LogRecord::default()
    }
}

/// Name of the attribute that tells one record from all others.
const UID: &str = "log.record.uid";

fn any(value: &str) -> AnyValue {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(value);
    parsed.map_or_else(|_| value.into(), AnyValue::from)
}

fn nanos(record: &Outgoing<'_>) -> u64 {
    u64::try_from(record.time.as_nanos()).unwrap_or(0)
}

/// OpenTelemetry's number, as its data model maps syslog's severities as far as its six steps allow.
const fn number(severity: Severity) -> i32 {
    match severity {
        Severity::Trace => 1,
        Severity::Debug => 5,
        Severity::Info => 9,
        Severity::Notice => 10,
        Severity::Warn => 13,
        Severity::Error => 17,
        Severity::Critical => 21,
        Severity::Alert => 22,
        Severity::Emergency => 24,
    }
}

fn push_record(out: &mut Vec<u8>, record: &Outgoing<'_>) {
    let mut object = ObjectWriter::begin(out);
    object.text("timeUnixNano", &nanos(record).to_string());
    if let Some(severity) = record.severity {
        object.raw("severityNumber", &number(severity).to_string());
        object.text("severityText", severity.text());
    }
    ObjectWriter::begin(object.name("body"))
        .text("stringValue", record.text)
        .close();
    let out = object.name("attributes");
    out.push(b'[');
    let uid = record.id.to_string();
    push_attributes(out, record.line_attributes().chain([(UID, &*uid)]));
    for (name, value) in record.members() {
        out.push(b',');
        let mut pair = ObjectWriter::begin(out);
        pair.text("key", &name);
        push_any(pair.name("value"), &any(value));
        pair.end();
    }
    out.push(b']');
    object.end();
}

fn push_attributes<'a>(out: &mut Vec<u8>, attributes: impl Iterator<Item = Attribute<'a>>) {
    for (index, (name, text)) in attributes.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut pair = ObjectWriter::begin(out);
        pair.text("key", name);
        ObjectWriter::begin(pair.name("value"))
            .text("stringValue", text)
            .close();
        pair.end();
    }
}

fn push_any(out: &mut Vec<u8>, value: &AnyValue) {
    use super::message::Any;
    let mut object = ObjectWriter::begin(out);
    match &value.value {
        None => {}
        Some(Any::String(text)) => {
            object.text("stringValue", text);
        }
        Some(Any::Bool(value)) => {
            object.raw("boolValue", &value.to_string());
        }
        Some(Any::Int(value)) => {
            object.text("intValue", &value.to_string());
        }
        Some(Any::Double(value)) => {
            object.raw("doubleValue", &serde_json::Value::from(*value).to_string());
        }
        // JSON holds no bytes.
        Some(Any::Bytes(_)) => {}
        Some(Any::Array(array)) => {
            let out = object.name("arrayValue");
            out.extend_from_slice(b"{\"values\":[");
            for (index, value) in array.values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_any(out, value);
            }
            out.extend_from_slice(b"]}");
        }
        Some(Any::KeyValueList(list)) => {
            let out = object.name("kvlistValue");
            out.extend_from_slice(b"{\"values\":[");
            for (index, pair) in list.values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let mut object = ObjectWriter::begin(out);
                object.text("key", &pair.key);
                if let Some(value) = &pair.value {
                    push_any(object.name("value"), value);
                }
                object.end();
            }
            out.extend_from_slice(b"]}");
        }
    }
    object.end();
}
