//! What is known of the sources, the pipeline, the store and the streams → families of our own.

use std::collections::BTreeMap;

use qw_event::Outcome;
use qw_pipeline::{SourceSnapshot, SourceState};

use crate::{Exposition, Family, Inputs, syscall::MainPage};

/// Readers of one source that have a series.
const MOST_READERS: usize = 1000;

static BUILD: Family = Family::gauge(
    "quaywatch_build_info",
    "Always 1; the label says which version this is.",
    &["version"],
);

static RECORDS_RECEIVED: Family = Family::counter(
    "quaywatch_records_received_total",
    "Lines or objects that arrived, whatever became of them.",
    &["source"],
);
static RECEIVED_BYTES: Family = Family::counter(
    "quaywatch_received_bytes_total",
    "Bytes that arrived, as the source counts them.",
    &["source"],
);
static RECORDS: Family = Family::counter(
    "quaywatch_records_total",
    "Records by what became of them; the sum over outcomes is what was received and is not on its way.",
    &["source", "outcome", "reason"],
);
static SOURCE_INFO: Family = Family::gauge(
    "quaywatch_source_info",
    "Always 1; the label says what kind of source this is.",
    &["source", "kind"],
);
static SOURCE_UP: Family = Family::gauge(
    "quaywatch_source_up",
    "1 while the source reads, else 0; a source that ended by request or at its input's end is left out.",
    &["source"],
);
static SOURCE_STATE: Family = Family::gauge(
    "quaywatch_source_state",
    "1 for the state the source is in, 0 for the others.",
    &["source", "state"],
);
static SOURCE_LAG: Family = Family::gauge(
    "quaywatch_source_lag_seconds",
    "Seconds from the newest event of the last batch stored to its arrival here.",
    &["source"],
);
static SOURCE_LAST_RECEIVED: Family = Family::gauge(
    "quaywatch_source_last_received_timestamp_seconds",
    "When something last arrived, in seconds since 1970.",
    &["source"],
);
static SOURCE_LAST_EVENT: Family = Family::gauge(
    "quaywatch_source_last_event_timestamp_seconds",
    "Time of the newest event stored, by the sender's clock, in seconds since 1970.",
    &["source"],
);
static LOG_READERS: Family = Family::gauge(
    "quaywatch_log_readers",
    "Logs by how they are read: from files, through the engine (api), from inside containers (archive), from the journal, or not at all (none).",
    &["source", "way"],
);
static LOG_READER_INFO: Family = Family::gauge(
    "quaywatch_log_reader_info",
    "Always 1; the labels say how each log is read, and why. Of each source the first 1000 logs.",
    &["source", "container_id", "container_name", "way", "why"],
);
static QUEUE_EVENTS: Family = Family::gauge(
    "quaywatch_queue_events",
    "Events and lines accepted from the source and not yet stored.",
    &["source"],
);
static QUEUE_CAPACITY: Family = Family::gauge(
    "quaywatch_queue_capacity_bytes",
    "Memory that events on their way may hold, all sources together, in bytes.",
    &[],
);

static COMMITS: Family = Family::counter(
    "quaywatch_pipeline_commits_total",
    "Transactions committed.",
    &[],
);
static COMMITTED: Family = Family::counter(
    "quaywatch_pipeline_committed_events_total",
    "Events and lines of logs in committed transactions.",
    &[],
);
static COMMIT_FAILURES: Family = Family::counter(
    "quaywatch_pipeline_commit_failures_total",
    "Tries to commit that failed; each is tried again while the sources wait.",
    &[],
);
static FAILING: Family = Family::gauge(
    "quaywatch_pipeline_failing",
    "1 while the newest try to commit has failed, else 0.",
    &[],
);

static STORE_EVENTS: Family =
    Family::gauge("quaywatch_store_events", "Events that can be found.", &[]);
static STORE_HOT_EVENTS: Family = Family::gauge(
    "quaywatch_store_hot_events",
    "Events that are not yet sealed into a segment.",
    &[],
);
static STORE_LOG_RECORDS: Family = Family::gauge(
    "quaywatch_store_log_records",
    "Lines of logs that can be found.",
    &[],
);
static STORE_SEGMENTS: Family = Family::gauge("quaywatch_store_segments", "Sealed segments.", &[]);
static STORE_BYTES: Family = Family::gauge(
    "quaywatch_store_bytes",
    "Bytes on disk: `segments` of events with their word filters, those of `logs`, and the `catalogue` with the newest events and lines.",
    &["part"],
);
static STORE_OLDEST: Family = Family::gauge(
    "quaywatch_store_oldest_event_timestamp_seconds",
    "Time of the oldest event kept, in seconds since 1970.",
    &[],
);
static STORE_NEWEST: Family = Family::gauge(
    "quaywatch_store_newest_event_timestamp_seconds",
    "Time of the newest event kept, in seconds since 1970.",
    &[],
);
static STORE_COMMITS: Family = Family::counter(
    "quaywatch_store_commits_total",
    "Commits of the store.",
    &[],
);
static STORE_COMMIT_SECONDS: Family = Family::counter(
    "quaywatch_store_commit_seconds_total",
    "Time spent in commits of the store, in seconds.",
    &[],
);
static STORE_OPERATIONS: Family = Family::counter(
    "quaywatch_store_operations_total",
    "What the store did inside, by its own names, such as segments it did not have to read.",
    &["operation"],
);

static STORE_MEMORY: Family = Family::gauge(
    "quaywatch_store_memory_bytes",
    "Memory the store holds, by its own names, in bytes.",
    &["part"],
);

static STREAM_CLIENTS: Family =
    Family::gauge("quaywatch_stream_clients", "Live streams open now.", &[]);
static STREAM_OPENED: Family = Family::counter(
    "quaywatch_streams_opened_total",
    "Live streams opened.",
    &[],
);
static STREAM_SENT: Family = Family::counter(
    "quaywatch_stream_events_sent_total",
    "Events sent to live streams, once per stream.",
    &[],
);
static STREAM_MISSED: Family = Family::counter(
    "quaywatch_stream_events_missed_total",
    "Events that live streams were told they missed, because their clients read too slowly.",
    &[],
);

static SERIES: Family = Family::gauge(
    "quaywatch_metric_series",
    "Series the family has.",
    &["family"],
);
static SERIES_LIMIT: Family = Family::gauge(
    "quaywatch_metric_series_limit",
    "Series the family may have.",
    &["family"],
);
static SERIES_FOLDED: Family = Family::counter(
    "quaywatch_metric_series_folded_total",
    "Events counted under `other` because the family had as many series as it may have.",
    &["family"],
);
static SERIES_FORGOTTEN: Family = Family::counter(
    "quaywatch_metric_series_forgotten_total",
    "Idle series forgotten to make room in the family.",
    &["family"],
);

static SIDEKICK_INPUTS: Family = Family::counter(
    "falcosecurity_falcosidekick_inputs_total",
    "Records that arrived, as falcosidekick names them; source `requests` is Falco's http_output.",
    &["source", "status"],
);

pub(crate) static FAMILIES: [&Family; 37] = [
    &BUILD,
    &RECORDS_RECEIVED,
    &RECEIVED_BYTES,
    &RECORDS,
    &SOURCE_INFO,
    &SOURCE_UP,
    &SOURCE_STATE,
    &SOURCE_LAG,
    &SOURCE_LAST_RECEIVED,
    &SOURCE_LAST_EVENT,
    &LOG_READERS,
    &LOG_READER_INFO,
    &QUEUE_EVENTS,
    &QUEUE_CAPACITY,
    &COMMITS,
    &COMMITTED,
    &COMMIT_FAILURES,
    &FAILING,
    &STORE_EVENTS,
    &STORE_HOT_EVENTS,
    &STORE_LOG_RECORDS,
    &STORE_SEGMENTS,
    &STORE_BYTES,
    &STORE_OLDEST,
    &STORE_NEWEST,
    &STORE_COMMITS,
    &STORE_COMMIT_SECONDS,
    &STORE_OPERATIONS,
    &STORE_MEMORY,
    &STREAM_CLIENTS,
    &STREAM_OPENED,
    &STREAM_SENT,
    &STREAM_MISSED,
    &SERIES,
    &SERIES_LIMIT,
    &SERIES_FOLDED,
    &SERIES_FORGOTTEN,
];

pub(crate) static FALCO_FAMILIES: [&Family; 1] = [&SIDEKICK_INPUTS];

/// The live streams at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamSnapshot {
    /// Streams open now.
    pub clients: u64,
    /// Streams opened since the process started.
    pub opened: u64,
    /// Events sent since then, once per stream.
    pub events_sent: u64,
    /// Events that streams were told they missed since then.
    pub events_missed: u64,
}

pub(crate) fn write(
    page: &mut Exposition,
    version: &str,
    sources: &[SourceSnapshot],
    counts: &MainPage,
    inputs: &Inputs<'_>,
) {
    page.family(&BUILD).sample(&[version], 1_u64);
    write_sources(page, sources, counts);
    write_pipeline_and_store(page, inputs);

    page.single(&STREAM_CLIENTS, inputs.streams.clients);
    page.single(&STREAM_OPENED, inputs.streams.opened);
    page.single(&STREAM_SENT, inputs.streams.events_sent);
    page.single(&STREAM_MISSED, inputs.streams.events_missed);
    crate::findings::write(page, inputs);

    let sizes: Vec<_> = counts
        .sizes
        .iter()
        .chain(&counts.logs.sizes)
        .copied()
        .collect();
    let sizes = &sizes;
    each(page, &SERIES, sizes, |(family, size)| {
        (*family, size.series)
    });
    each(page, &SERIES_LIMIT, sizes, |(family, size)| {
        (*family, size.bound)
    });
    each(page, &SERIES_FOLDED, sizes, |(family, size)| {
        (*family, size.folded)
    });
    each(page, &SERIES_FORGOTTEN, sizes, |(family, size)| {
        (*family, size.forgotten)
    });

    if let Some(process) = inputs.process {
        process.write(page);
    }
}

/// One sample per element, with one label.
fn each<T, V: Into<crate::exposition::Value>>(
    page: &mut Exposition,
    family: &'static Family,
    elements: &[T],
    sample: impl Fn(&T) -> (&str, V),
) {
    let mut samples = page.family(family);
    for element in elements {
        let (label, value) = sample(element);
        samples.sample(&[label], value);
    }
}

fn write_sources(page: &mut Exposition, sources: &[SourceSnapshot], counts: &MainPage) {
    each(page, &RECORDS_RECEIVED, sources, |source| {
        (source.id.as_str(), source.received)
    });
    each(page, &RECEIVED_BYTES, sources, |source| {
        (source.id.as_str(), source.received_bytes)
    });
    let mut records = page.family(&RECORDS);
    for source in sources {
        for (outcome, count) in Outcome::ALL.iter().zip(source.outcomes) {
            records.sample(
                &[source.id.as_str(), outcome.name(), outcome.reason()],
                count,
            );
        }
    }
    let mut info = page.family(&SOURCE_INFO);
    for source in sources {
        info.sample(&[source.id.as_str(), source.kind], 1_u64);
    }
    let mut up = page.family(&SOURCE_UP);
    for source in sources {
        if source.state != SourceState::Stopped {
            up.sample(&[source.id.as_str()], source.state == SourceState::Running);
        }
    }
    let mut state = page.family(&SOURCE_STATE);
    for source in sources {
        for each in [
            SourceState::Starting,
            SourceState::Running,
            SourceState::Waiting,
            SourceState::Failed,
            SourceState::Stopped,
        ] {
            state.sample(&[source.id.as_str(), each.as_str()], source.state == each);
        }
    }
    let mut lag = page.family(&SOURCE_LAG);
    for source in sources {
        if let Some(behind) = counts.lags.get(&source.id) {
            lag.sample(&[source.id.as_str()], behind.as_secs_f64());
        }
    }
    let mut last_received = page.family(&SOURCE_LAST_RECEIVED);
    for source in sources {
        if let Some(time) = source.last_received {
            last_received.sample(&[source.id.as_str()], time.as_seconds_f64());
        }
    }
    let mut last_event = page.family(&SOURCE_LAST_EVENT);
    for source in sources {
        if let Some(time) = source.last_event {
            last_event.sample(&[source.id.as_str()], time.as_seconds_f64());
        }
    }
    each(page, &QUEUE_EVENTS, sources, |source| {
        (source.id.as_str(), source.in_flight)
    });
    if let Some(capacity) = sources.iter().map(|source| source.capacity).max() {
        page.single(&QUEUE_CAPACITY, capacity);
    }
    write_readers(page, sources);
}

/// How logs are read: each of the sources that read more than one thing tells it.
fn write_readers(page: &mut Exposition, sources: &[SourceSnapshot]) {
    let mut readers = page.family(&LOG_READERS);
    for source in sources {
        let mut ways: BTreeMap<&str, u64> = BTreeMap::new();
        for reader in &*source.readers {
            *ways.entry(reader.way).or_default() += 1;
        }
        for (way, count) in ways {
            readers.sample(&[source.id.as_str(), way], count);
        }
    }
    let mut info = page.family(&LOG_READER_INFO);
    for source in sources {
        for reader in source.readers.iter().take(MOST_READERS) {
            let labels = [
                source.id.as_str(),
                &reader.container_id,
                &reader.container_name,
                reader.way,
                &reader.why,
            ];
            info.sample(&labels, 1_u64);
        }
    }
}

fn write_pipeline_and_store(page: &mut Exposition, inputs: &Inputs<'_>) {
    let pipeline = inputs.pipeline;
    page.single(&COMMITS, pipeline.commits());
    page.single(&COMMITTED, pipeline.events());
    page.single(&COMMIT_FAILURES, pipeline.failures());
    page.single(&FAILING, pipeline.is_failing());

    let store = inputs.store;
    page.single(&STORE_EVENTS, store.events);
    page.single(&STORE_HOT_EVENTS, store.hot_events);
    page.single(&STORE_LOG_RECORDS, store.logs.lines);
    page.single(&STORE_SEGMENTS, store.segments);
    let logs = store.logs.segment_bytes;
    let parts = [
        ("segments", store.segment_bytes.saturating_sub(logs)),
        ("logs", logs),
        ("catalogue", store.catalogue_bytes),
    ];
    each(page, &STORE_BYTES, &parts, |(part, bytes)| (*part, *bytes));
    if let Some(time) = store.oldest {
        page.single(&STORE_OLDEST, time.as_seconds_f64());
    }
    if let Some(time) = store.newest {
        page.single(&STORE_NEWEST, time.as_seconds_f64());
    }
    page.single(&STORE_COMMITS, store.commits);
    page.single(&STORE_COMMIT_SECONDS, store.commit_seconds);
    let mut operations = page.family(&STORE_OPERATIONS);
    for (name, count) in &store.counters {
        if !name.ends_with("_bytes") {
            operations.sample(&[name.strip_suffix("_total").unwrap_or(name)], *count);
        }
    }
    let mut memory = page.family(&STORE_MEMORY);
    for (name, bytes) in &store.counters {
        if let Some(part) = name.strip_suffix("_bytes") {
            memory.sample(&[part], *bytes);
        }
    }
}

/// falcosidekick knows one input, `requests`, with what was accepted and what was rejected. Our other
/// kinds of sources are counted beside it under their own names.
pub(crate) fn write_falco(page: &mut Exposition, sources: &[SourceSnapshot]) {
    let mut by_kind = BTreeMap::<&str, [u64; 2]>::new();
    let of_falco = sources
        .iter()
        .filter(|source| !source.id.as_str().starts_with("logs:"));
    for source in of_falco {
        let kind = if source.kind == "falco_http" {
            "requests"
        } else {
            source.kind
        };
        let [accepted, rejected] = by_kind.entry(kind).or_default();
        for (outcome, count) in Outcome::ALL.iter().zip(source.outcomes) {
            match outcome {
                Outcome::Invalid(_) | Outcome::Dropped(_) => *rejected += count,
                _ => *accepted += count,
            }
        }
    }
    let mut inputs = page.family(&SIDEKICK_INPUTS);
    for (kind, [accepted, rejected]) in by_kind {
        inputs.sample(&[kind, "accepted"], accepted);
        inputs.sample(&[kind, "rejected"], rejected);
    }
}
