//! Records → events.

use qw_log::Severity;

use crate::{Outgoing, outgoing::json::ObjectWriter};

/// Where in Splunk events go. What is empty is left to the token's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Destination<'a> {
    /// The index.
    pub index: &'a str,
    /// The source; the tag of the record, or the name of its container, when it is empty.
    pub source: &'a str,
    /// The source type.
    pub sourcetype: &'a str,
}

/// Adds the event of a record to a body of events.
pub fn encode(record: &Outgoing<'_>, out: &mut Vec<u8>) {
    encode_for(record, &Destination::default(), out);
}

/// As [`encode`], for a certain index, source and source type.
///
/// An empty line becomes a space, because Splunk refuses events without text. Indexed fields must not
/// be nested: objects and arrays among them become texts.
pub fn encode_for(record: &Outgoing<'_>, to: &Destination<'_>, out: &mut Vec<u8>) {
    let container = record.container;
    let source = [to.source, record.tag, &container.name];
    let source = source.into_iter().find(|text| !text.is_empty());
    let nanos = record.time.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, fraction) = (
        nanos.unsigned_abs() / 1_000_000_000,
        nanos.unsigned_abs() % 1_000_000_000,
    );

    let mut event = ObjectWriter::begin(out);
    event
        .raw("time", &format!("{sign}{seconds}.{fraction:09}"))
        .text_if_any("host", record.hostname)
        .text_if_any("source", source.unwrap_or_default())
        .text_if_any("sourcetype", to.sourcetype)
        .text_if_any("index", to.index)
        .text(
            "event",
            if record.text.is_empty() {
                " "
            } else {
                record.text
            },
        );
    let mut fields = ObjectWriter::begin(event.name("fields"));
    let known = record.resource().filter(|(name, _)| *name != "host.name");
    for (name, text) in known.chain(record.line_attributes()) {
        fields.text(name, text);
    }
    if let Some(severity) = record.severity {
        fields.text("severity", word(severity));
    }
    fields.text("log.record.uid", &record.id.to_string());
    for (name, value) in record.members() {
        if value.starts_with(['{', '[']) {
            fields.text(&name, value);
        } else {
            fields.raw(&name, value);
        }
    }
    fields.end();
    event.end();
}

/// The word that names a severity, and that every reader of ours understands.
pub(crate) const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Trace => "trace",
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Notice => "notice",
        Severity::Warn => "warn",
        Severity::Error => "error",
        Severity::Critical => "critical",
        Severity::Alert => "alert",
        Severity::Emergency => "emergency",
    }
}
