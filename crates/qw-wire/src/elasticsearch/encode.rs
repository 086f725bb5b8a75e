//! Records → documents.

use crate::{Outgoing, hec::word, outgoing::json::ObjectWriter};

/// Adds a record to a body of `_bulk`: an action `create` and its document.
///
/// With the same `id` a record that is sent again is refused with status 409, which means that it is
/// there. The document is of the Elastic Common Schema; the fields of the record stand in `attributes`,
/// where their names meet no others.
pub fn encode_bulk_item(record: &Outgoing<'_>, index: &str, id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"create\":");
    let mut action = ObjectWriter::begin(out);
    action.text_if_any("_index", index).text_if_any("_id", id);
    action.end();
    out.extend_from_slice(b"}\n");

    let container = record.container;
    let mut document = ObjectWriter::begin(out);
    document
        .text("@timestamp", &record.time.to_string())
        .text("message", record.text);
    document
        .text_if_any("stream", record.stream)
        .text_if_any("tag", record.tag);
    if let Some(severity) = record.severity {
        let mut log = ObjectWriter::begin(document.name("log"));
        log.text("level", word(severity));
        log.end();
    }
    if !record.hostname.is_empty() {
        let mut host = ObjectWriter::begin(document.name("host"));
        host.text("name", record.hostname);
        host.end();
    }
    if !(container.id.is_empty() && container.name.is_empty() && container.image.is_empty()) {
        let mut of = ObjectWriter::begin(document.name("container"));
        of.text_if_any("id", &container.id)
            .text_if_any("name", &container.name);
        if !container.image.is_empty() {
            let mut image = ObjectWriter::begin(of.name("image"));
            image.text("name", &container.image);
            image.end();
        }
        of.end();
    }
    if !(container.k8s_namespace.is_empty() && container.k8s_pod.is_empty()) {
        let mut of = ObjectWriter::begin(document.name("kubernetes"));
        of.text_if_any("namespace", &container.k8s_namespace);
        if !container.k8s_pod.is_empty() {
            let mut pod = ObjectWriter::begin(of.name("pod"));
            pod.text("name", &container.k8s_pod);
            pod.end();
        }
        of.end();
    }
    let mut attributes = ObjectWriter::begin(document.name("attributes"));
    attributes
        .text_if_any("com.docker.compose.project", &container.compose_project)
        .text_if_any("com.docker.compose.service", &container.compose_service)
        .text("log.record.uid", &record.id.to_string());
    for (name, value) in record.members() {
        attributes.raw(&name, value);
    }
    attributes.end();
    document.end();
    out.push(b'\n');
}
