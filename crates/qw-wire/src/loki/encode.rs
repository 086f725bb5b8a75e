//! Records → push requests.

use std::borrow::Cow;

use prost::Message;

use crate::{
    Outgoing,
    hec::word,
    outgoing::json::{self, ObjectWriter, push_string},
};

/// Most pairs of structured metadata of a line: Loki refuses lines with more than 128.
const MAX_METADATA: usize = 120;
/// Most bytes of them: Loki refuses lines with more than 64 KiB.
const MAX_METADATA_BYTES: usize = 60 << 10;

/// Records that have the same labels.
#[derive(Debug, Clone)]
pub struct Stream<'a> {
    /// Names and values; the names are of letters, digits and `_`.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The records, in their order.
    pub records: Vec<Outgoing<'a>>,
}

/// Sorts records by their labels, in the order in which each set comes first.
///
/// Labels are few, because Loki keeps each set on its own: `container`, `host`, `stream`, `namespace`,
/// `pod`, `compose_project`, `compose_service`, and those of `extra`, which every stream has. All else
/// goes beside each line as structured metadata.
pub fn group<'a>(records: &[Outgoing<'a>], extra: &[(&'a str, &'a str)]) -> Vec<Stream<'a>> {
    let mut streams: Vec<Stream<'a>> = Vec::new();
    for record in records {
        let is_same = |stream: &&mut Stream<'a>| {
            stream.records.first().is_some_and(|first| {
                let (of, other) = (first.container, record.container);
                (first.hostname, first.stream) == (record.hostname, record.stream)
                    && (&of.name, &of.k8s_namespace, &of.k8s_pod)
                        == (&other.name, &other.k8s_namespace, &other.k8s_pod)
                    && (&of.compose_project, &of.compose_service)
                        == (&other.compose_project, &other.compose_service)
                    && (!of.name.is_empty() || of.id == other.id)
            })
        };
        if let Some(stream) = streams.iter_mut().rev().find(is_same) {
            stream.records.push(*record);
            continue;
        }
        streams.push(Stream {
            labels: labels(record, extra),
            records: vec![*record],
        });
    }
    streams
}

fn labels<'a>(
    record: &Outgoing<'a>,
    extra: &[(&'a str, &'a str)],
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let container = record.container;
    let own = [
        ("container", container.display_name()),
        ("host", record.hostname),
        ("stream", record.stream),
        ("namespace", &*container.k8s_namespace),
        ("pod", &*container.k8s_pod),
        ("compose_project", &*container.compose_project),
        ("compose_service", &*container.compose_service),
    ];
    let mut labels: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    for (name, value) in extra.iter().copied().chain(own) {
        let name = label_name(Cow::Borrowed(name));
        if !value.is_empty() && labels.iter().all(|(known, _)| *known != name) {
            labels.push((name, Cow::Borrowed(value)));
        }
    }
    // Loki takes no stream without labels.
    if labels.is_empty() {
        labels.push(("job".into(), "quaywatch".into()));
    }
    labels.sort_unstable();
    labels
}

/// Structured metadata of a line.
fn metadata<'a>(record: &Outgoing<'a>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let container = record.container;
    let mut list: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    let own = [
        ("container_id", &*container.id),
        ("image", &*container.image),
        ("tag", record.tag),
        ("level", record.severity.map_or("", word)),
    ];
    let own = own.into_iter().filter(|(_, text)| !text.is_empty());
    list.extend(own.map(|(name, text)| (Cow::Borrowed(name), Cow::Borrowed(text))));
    list.push(("log_record_uid".into(), record.id.to_string().into()));
    let mut bytes = 0;
    for (name, value) in record.members() {
        let (name, value) = (label_name(name), json::text(value));
        bytes += name.len() + value.len();
        if list.len() == MAX_METADATA || bytes > MAX_METADATA_BYTES {
            break;
        }
        if list.iter().all(|(known, _)| *known != name) {
            list.push((name, value));
        }
    }
    list
}

/// A name as Loki takes it: other characters become `_`.
fn label_name(name: Cow<'_, str>) -> Cow<'_, str> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|first| !first.is_ascii_digit());
    if starts_well && name.bytes().all(is_fine) {
        return name;
    }
    let mut fine = String::with_capacity(name.len() + 1);
    if !starts_well {
        fine.push('_');
    }
    let letters = name.chars().map(|letter| match u8::try_from(letter) {
        Ok(byte) if is_fine(byte) => letter,
        _ => '_',
    });
    fine.extend(letters);
    fine.into()
}

/// The body of a push: a `PushRequest` of protobuf in snappy's block format.
///
/// Fields beyond 120 pairs or 60 KiB of a line are left out, because Loki would refuse the line.
pub fn encode_protobuf(streams: &[Stream<'_>]) -> Vec<u8> {
    let request = PushRequest {
        streams: streams.iter().map(adapter).collect(),
    };
    let plain = request.encode_to_vec();
    // It fails for more than 4 GiB only.
    snap::raw::Encoder::new()
        .compress_vec(&plain)
        .unwrap_or_default()
}

/// As [`encode_protobuf`], of JSON, not compressed.
pub fn encode_json(streams: &[Stream<'_>]) -> Vec<u8> {
    let mut out = b"{\"streams\":[".to_vec();
    for (index, stream) in streams.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"stream\":");
        push_pairs(&mut out, &stream.labels);
        out.extend_from_slice(b",\"values\":[");
        for (index, record) in stream.records.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
            push_string(&mut out, &record.time.as_nanos().to_string());
            out.push(b',');
            push_string(&mut out, record.text);
            out.push(b',');
            push_pairs(&mut out, &metadata(record));
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

fn push_pairs(out: &mut Vec<u8>, pairs: &[(Cow<'_, str>, Cow<'_, str>)]) {
    let mut object = ObjectWriter::begin(out);
    for (name, value) in pairs {
        object.text(name, value);
    }
    object.end();
}

fn adapter(stream: &Stream<'_>) -> StreamAdapter {
    StreamAdapter {
        labels: labels_text(&stream.labels),
        entries: stream.records.iter().map(entry).collect(),
    }
}

fn entry(record: &Outgoing<'_>) -> EntryAdapter {
    let nanos = record.time.as_nanos();
    let pairs = metadata(record).into_iter().map(|(name, value)| LabelPair {
        name: name.into_owned(),
        value: value.into_owned(),
    });
    EntryAdapter {
        timestamp: Some(Time {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: nanos.rem_euclid(1_000_000_000) as i32,
        }),
        line: record.text.to_owned(),
        structured_metadata: pairs.collect(),
    }
}

/// `{a="b", c="d"}`. The escapes of JSON are Go's, too, but for `\/`, which is not written.
fn labels_text(labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut out = vec![b'{'];
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        push_string(&mut out, value);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) streams: Vec<StreamAdapter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamAdapter {
    #[prost(string, tag = "1")]
    pub(super) labels: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<EntryAdapter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryAdapter {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Time>,
    #[prost(string, tag = "2")]
    pub(super) line: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) structured_metadata: Vec<LabelPair>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}
