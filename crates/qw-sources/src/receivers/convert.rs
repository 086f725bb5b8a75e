//! What a sender says → a record of ours.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use qw_log::{Redactor, Severity, Stream, severity};
use qw_wire::Received;
use serde_json::value::RawValue;

use super::{Kind, Options, Shared};
use crate::{
    falco::{Containers, Interner},
    logs::GAP_TAG,
};

/// Texts that are longer than this are not worth remembering, in bytes.
const REMEMBERED_BYTES: usize = 256;

/// Turns lines into records, and remembers what recurs so that records share it.
pub(super) struct Converter {
    kind: Kind,
    texts: Interner<Arc<str>, Arc<str>>,
    containers: Containers,
    no_tags: Arc<[Arc<str>]>,
    redactor: Option<Arc<Redactor>>,
    fields: String,
}

impl Converter {
    pub(super) fn new(kind: Kind, options: &Options) -> Self {
        Self {
            kind,
            texts: Interner::new(1024),
            containers: Containers::new(1024),
            no_tags: [].into(),
            redactor: options.redactor.clone(),
            fields: String::new(),
        }
    }

    /// The record for `received`, which came at `now` from `host`. `merged` names how pieces were
    /// recognised as one line, `is_truncated` that a bound cut it.
    pub(super) fn event(
        &mut self,
        received: &Received<'_>,
        host: &str,
        now: Timestamp,
        merged: Option<&str>,
        is_truncated: bool,
    ) -> Event {
        let Received {
            time,
            stream,
            tag,
            text,
            ..
        } = received;
        // Docker tells the stream by the severity, so there the line itself knows better.
        let said = received.severity.filter(|_| stream.is_none());
        let severity = said.or_else(|| severity::detect(text));
        let (output, original) = readable(text, self.redactor.as_deref());
        let output_fields = self.output_fields(received, original, merged, is_truncated);
        let id = match &*received.container.id {
            "" => id_in(tag),
            id => id,
        };
        let is_container = !id.is_empty() || !received.container.name.is_empty();
        let name = match &*received.container.name {
            // What stands before the id in `{{.ImageName}}/{{.Name}}/{{.ID}}`.
            "" if !id.is_empty() => tag
                .strip_suffix(id)
                .and_then(|before| before.strip_suffix('/')?.rsplit('/').next())
                .unwrap_or_default(),
            "" => tag,
            name => name,
        };
        let program = if is_container || stream.is_some() {
            ""
        } else {
            tag
        };
        let container = self.containers.get([
            id,
            name.trim_start_matches('/'),
            &received.container.image,
            "",
            "",
            "",
            "",
            "",
            &received.container.k8s_namespace,
            &received.container.k8s_pod,
        ]);
        let host = if received.hostname.is_empty() {
            host
        } else {
            &received.hostname
        };
        Event {
            kind: RecordKind::Log,
            time: time.unwrap_or(now),
            source: self.shared(stream.map_or(self.kind.as_str(), Stream::as_str)),
            rule: self.shared(severity.map_or("", Severity::text)),
            priority: severity.map_or(Priority::Informational, Severity::priority),
            category: Category::Unknown,
            hostname: self.shared(host),
            container,
            process_name: self.shared(program),
            tags: Arc::clone(&self.no_tags),
            output,
            output_fields,
        }
    }

    /// What else is known, as a JSON object.
    fn output_fields(
        &mut self,
        received: &Received<'_>,
        original: Option<String>,
        merged: Option<&str>,
        is_truncated: bool,
    ) -> Box<RawValue> {
        let fields = &mut self.fields;
        fields.clear();
        fields.push('{');
        let mut put = |name: &str, json: &str| {
            let comma = if fields.len() > 1 { "," } else { "" };
            let name = serde_json::to_string(name).unwrap_or_default();
            // Writing to a text does not fail.
            write!(fields, "{comma}{name}:{json}").unwrap_or_default();
        };
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        if !received.tag.is_empty()
            && received.tag != received.container.id
            && received.tag != received.container.name
        {
            put("log.tag", &text(&received.tag));
        }
        if !received.container.image_id.is_empty() {
            put("container.image.id", &text(&received.container.image_id));
        }
        if received.stream.is_none()
            && let Ok(id) = received.process_id.parse::<u32>()
        {
            put("process.pid", &id.to_string());
        }
        let mut seen: Vec<&str> = Vec::with_capacity(received.fields.len());
        for (name, json) in &received.fields {
            // JSON with one name twice means different things to different readers.
            if !seen.contains(&name.as_ref()) {
                seen.push(name);
                put(name, json);
            }
        }
        if let Some(original) = original {
            put("log.record.original", &text(&original));
        }
        if let Some(merged) = merged {
            put("log.merged_by", &text(merged));
        }
        if is_truncated {
            put("log.truncated", "true");
        }
        fields.push('}');
        RawValue::from_string(fields.clone()).unwrap_or_else(|_| {
            // A sender's value that is no JSON after all is left out with its like.
            RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
        })
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if text.len() > REMEMBERED_BYTES {
            return text.into();
        }
        self.texts.get(
            text,
            |key, wanted| **key == *wanted,
            |wanted| {
                let text: Arc<str> = wanted.into();
                (Arc::clone(&text), text)
            },
        )
    }
}

/// The container's id at the end of a tag such as `{{.ImageName}}/{{.Name}}/{{.ID}}`; empty when there is
/// none.
fn id_in(tag: &str) -> &str {
    let last = tag.rsplit(['/', '.', '-', ':']).next().unwrap_or_default();
    let is_id = matches!(last.len(), 12 | 64)
        && last
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { last } else { "" }
}

/// A record of the receiver `id` that says that something is missing.
pub(super) fn gap(
    shared: &Shared,
    id: &str,
    text: &str,
    fields: &serde_json::Value,
    now: Timestamp,
) -> Event {
    let nothing: Arc<str> = "".into();
    Event {
        kind: RecordKind::Log,
        time: now,
        source: shared.config.kind().as_str().into(),
        rule: Arc::clone(&nothing),
        priority: Priority::Warning,
        category: Category::Unknown,
        hostname: shared.options.hostname.as_str().into(),
        container: Arc::new(ContainerRef {
            name: id.into(),
            ..ContainerRef::default()
        }),
        process_name: nothing,
        tags: [GAP_TAG.into()].into(),
        output: text.into(),
        output_fields: serde_json::value::to_raw_value(fields).unwrap_or_default(),
    }
}

/// A line as text, secrets taken out; and, where bytes had to be replaced, the bytes in base64. The
/// latter is left out where it would tell what was taken out.
pub(crate) fn readable(text: &[u8], redactor: Option<&Redactor>) -> (Box<str>, Option<String>) {
    let (output, original): (Box<str>, _) = match str::from_utf8(text) {
        Ok(text) => (text.into(), None),
        Err(_) => {
            let original = BASE64_STANDARD.encode(text);
            (String::from_utf8_lossy(text).into(), Some(original))
        }
    };
    match redactor.and_then(|redactor| redactor.redact(&output)) {
        Some(redacted) => (redacted.text.into(), None),
        None => (output, original),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use qw_wire::Said;

    use super::*;

    fn converter() -> Converter {
        Converter::new(Kind::Syslog, &Options::default())
    }

    #[test]
    fn a_container_is_who_the_sender_says() {
        let received = Received {
            stream: Some(Stream::Stderr),
            severity: Some(Severity::Error),
            container: Said {
                id: Cow::Borrowed("0123456789ab"),
                name: Cow::Borrowed("/shop"),
                ..Said::default()
            },
            tag: Cow::Borrowed("shop/0123456789ab"),
            text: Cow::Borrowed(b"all is well"),
            ..Received::default()
        };
        let event = converter().event(&received, "here", Timestamp::EPOCH, None, false);
        assert_eq!(&*event.container.id, "0123456789ab");
        assert_eq!(&*event.container.name, "shop");
        assert_eq!(&*event.source, "stderr");
        assert_eq!(&*event.rule, "", "what goes to stderr need not be an error");
        assert_eq!(
            event.output_fields.get(),
            r#"{"log.tag":"shop/0123456789ab"}"#
        );
        assert_eq!(&*event.hostname, "here");
    }

    #[test]
    fn a_container_that_is_not_known_is_called_as_its_tag_says() {
        let name = |tag: &'static str| {
            let received = Received {
                tag: Cow::Borrowed(tag),
                ..Received::default()
            };
            let event = converter().event(&received, "", Timestamp::EPOCH, None, false);
            event.container.name.to_string()
        };
        assert_eq!(name("shop:1/web/0123456789ab"), "web");
        assert_eq!(name("web/0123456789ab"), "web");
        assert_eq!(name("0123456789ab"), "");
        assert_eq!(name("sshd"), "sshd");
    }

    #[test]
    fn tags_end_in_the_id_of_a_container() {
        assert_eq!(id_in("web/0123456789ab"), "0123456789ab");
        assert_eq!(id_in("0123456789ab"), "0123456789ab");
        assert_eq!(id_in("web/0123456789AB"), "");
        assert_eq!(id_in("web"), "");
        assert_eq!(id_in(""), "");
    }

    #[test]
    fn a_program_without_a_container_has_its_own_name() {
        let received = Received {
            severity: Some(Severity::Warn),
            tag: Cow::Borrowed("sshd"),
            process_id: Cow::Borrowed("42"),
            hostname: Cow::Borrowed("gate"),
            text: Cow::Borrowed(b"a\xffb"),
            fields: vec![
                (Cow::Borrowed("a"), Cow::Borrowed("1")),
                (Cow::Borrowed("a"), Cow::Borrowed("2")),
            ],
            ..Received::default()
        };
        let event = converter().event(&received, "here", Timestamp::EPOCH, None, true);
        assert_eq!(&*event.container.name, "sshd");
        assert_eq!(&*event.process_name, "sshd");
        assert_eq!(&*event.rule, "WARN");
        assert_eq!(&*event.hostname, "gate");
        assert_eq!(&*event.output, "a\u{fffd}b");
        assert_eq!(
            event.output_fields.get(),
            r#"{"log.tag":"sshd","process.pid":42,"a":1,"log.record.original":"Yf9i","log.truncated":true}"#
        );
    }
}
