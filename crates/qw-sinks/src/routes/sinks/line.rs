//! A record → a line of JSON or text.

use qw_event::Timestamp;

use qw_wire::Outgoing;

use crate::routes::{
    config::FileFormat,
    record::{PerContainer, Record},
};

/// Writes lines; remembers what it has made of the last second, and of containers.
#[derive(Debug)]
pub(super) struct LineWriter {
    second: Option<i64>,
    /// `2026-11-21T07:15:50`.
    second_text: Vec<u8>,
    /// Members of the object that speak of the container, with a comma in front of each.
    containers: PerContainer<Vec<u8>>,
}

impl LineWriter {
    pub(super) fn new() -> Self {
        Self {
            second: None,
            second_text: Vec::new(),
            containers: PerContainer::new(),
        }
    }

    /// Appends a JSON object and a line end to `out`: `id`, `timestamp`, `body`, and what is known by
    /// OpenTelemetry's names.
    pub(super) fn json(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let from = &record.outgoing;
        out.extend_from_slice(b"{\"id\":");
        decimal(from.id, out);
        out.extend_from_slice(b",\"timestamp\":\"");
        self.time(from.time, out);
        out.push(b'"');
        if let Some(severity) = from.severity {
            out.extend_from_slice(b",\"severity_text\":\"");
            out.extend_from_slice(severity.text().as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"body\":");
        string(from.text, out);
        for (name, text) in [
            ("log.iostream", from.stream),
            ("log.tag", from.tag),
            ("host.name", from.hostname),
        ] {
            member(name, text, out);
        }
        let container = record.container;
        let known = self.containers.get(container, || {
            let mut known = Vec::new();
            for (name, text) in [
                ("container.id", &container.id),
                ("container.name", &container.name),
                ("container.image.name", &container.image),
                ("oci.manifest.digest", &container.image_digest),
                ("com.docker.compose.project", &container.compose_project),
                ("com.docker.compose.service", &container.compose_service),
                ("k8s.namespace.name", &container.k8s_namespace),
                ("k8s.pod.name", &container.k8s_pod),
            ] {
                member(name, text, &mut known);
            }
            known
        });
        out.extend_from_slice(known);
        if from.fields.starts_with('{') {
            out.extend_from_slice(b",\"attributes\":");
            one_line(from.fields, out);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends `record` to `out` as one message of a broker, without a line end; its tag, which says where
    /// the message goes, is no part of it.
    pub(super) fn payload(&mut self, record: &Record<'_>, format: FileFormat, out: &mut Vec<u8>) {
        let mut record = *record;
        record.outgoing.tag = "";
        match format {
            FileFormat::Json => self.json(&record, out),
            FileFormat::Text => self.text(&record.outgoing, out),
        }
        out.pop();
    }

    /// Appends `time container stream text` and a line end to `out`, with the tag in place of the
    /// container when there is one. Line ends within the text become `\n`.
    pub(super) fn text(&mut self, from: &Outgoing<'_>, out: &mut Vec<u8>) {
        self.time(from.time, out);
        let name = match from.tag {
            "" => from.container.display_name(),
            tag => tag,
        };
        for word in [name, from.stream] {
            out.push(b' ');
            let word = if word.is_empty() { "-" } else { word };
            out.extend(word.bytes().map(|byte| match byte {
                b' ' | b'\n' | b'\r' => b'_',
                other => other,
            }));
        }
        out.push(b' ');
        for (index, line) in from.text.split('\n').enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\\n");
            }
            out.extend_from_slice(line.as_bytes());
        }
        out.push(b'\n');
    }

    /// RFC 3339 in UTC with nanoseconds.
    fn time(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let second = time.as_seconds();
        if self.second != Some(second) {
            self.second = Some(second);
            let text = Timestamp::from_seconds(second).to_string();
            self.second_text = text.trim_end_matches('Z').as_bytes().to_vec();
        }
        out.extend_from_slice(&self.second_text);
        let mut nanos = time.as_nanos().rem_euclid(1_000_000_000) as u32;
        let mut digits = *b".000000000Z";
        for digit in digits.iter_mut().skip(1).take(9).rev() {
            *digit = b'0' + (nanos % 10) as u8;
            nanos /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

fn member(name: &str, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        string(text, out);
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing a text to memory cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"\"\"");
    }
}

/// JSON without line ends, which only stand between its parts.
fn one_line(json: &str, out: &mut Vec<u8>) {
    for part in json.split(['\n', '\r']) {
        out.extend_from_slice(part.as_bytes());
    }
}

fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use qw_event::{ContainerRef, Priority};
    use qw_log::Severity;

    use super::*;

    #[test]
    fn lines_hold_what_is_known() {
        let container = Arc::new(ContainerRef {
            id: "ab12".into(),
            name: "web".into(),
            ..ContainerRef::default()
        });
        let tag: Arc<str> = "".into();
        let record = Record {
            outgoing: Outgoing {
                time: Timestamp::from_nanos(-1),
                severity: Some(Severity::Warn),
                priority: Priority::Warning,
                stream: "stderr",
                hostname: "box",
                tag: "",
                container: &container,
                text: "a\n\"b\"",
                fields: "{\"x\":\n[1]}",
                id: 1_200,
            },
            container: &container,
            tag: &tag,
        };
        let mut writer = LineWriter::new();
        let mut out = Vec::new();
        writer.json(&record, &mut out);
        writer.text(&record.outgoing, &mut out);
        let expected = concat!(
            r#"{"id":1200,"timestamp":"1969-12-31T23:59:59.999999999Z","severity_text":"WARN","#,
            r#""body":"a\n\"b\"","log.iostream":"stderr","host.name":"box","container.id":"ab12","#,
            r#""container.name":"web","attributes":{"x":[1]}}"#,
            "\n1969-12-31T23:59:59.999999999Z web stderr a\\n\"b\"\n",
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
