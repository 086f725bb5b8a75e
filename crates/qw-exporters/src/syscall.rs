//! Events and alerts → the families that dashboards for Falco know. Lines of logs are not among them.
//!
//! An event's shared texts recur, so their addresses are hashed, not the texts: only the first event
//! with a new combination of texts is spelled out. An entry holds the texts it was made from, so that
//! an address cannot come to mean another text while the entry lives.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use parking_lot::Mutex;
use qw_event::{ContainerRef, Detection, Event, SourceId, StoredEvent, Timestamp};
use qw_pipeline::Observer;
use rustc_hash::FxHashMap;

use crate::{
    Exposition, Family,
    exposition::write_labels,
    logs::{LogCounts, LogPage},
    rate::{ContainerIndex, ContainerSample, Containers},
    series::{Fold, SeriesIndex, SeriesTable, TableSize},
};

/// Combinations of texts remembered before the memory is cleared; about 10 MB.
const REMEMBERED: usize = 32_768;

/// Pause between two tries to make room in a table that is full.
const FORGET_PAUSE: Duration = Duration::from_secs(60);

/// Sources whose lag is kept.
const SOURCES: usize = 10_000;

const OTHER: &str = "other";

pub(crate) static SYSCALL_EVENTS: Family = Family::counter(
    "syscall_events_total",
    "Events stored or observed, of every Falco source, by what they say.",
    &[
        "rule",
        "priority",
        "container_name",
        "image_repository",
        "process_name",
        "k8s_namespace",
        "k8s_pod",
        "rule_category",
    ],
);

pub(crate) static LAST_EVENT: Family = Family::gauge(
    "syscall_last_event_timestamp_seconds",
    "Time of the container's newest event, in seconds since 1970.",
    &["container_name"],
);

pub(crate) static EVENT_RATE: Family = Family::gauge(
    "syscall_event_rate_10s",
    "Events per second of the container over the last ten seconds, by arrival.",
    &["container_name"],
);

pub(crate) static FALCO_EVENTS_TOTAL: Family = Family::counter(
    "falco_events_total",
    "Events stored or observed, without the labels that make many series.",
    &[
        "rule",
        "priority",
        "source",
        "hostname",
        "container_name",
        "k8s_namespace",
        "k8s_pod",
    ],
);

pub(crate) static SECURITY_ALERTS: Family = Family::counter(
    "security_alerts_total",
    "Events that belong to an alert, of Falco's rules and of profiles.",
    &["container_name", "rule", "priority", "source"],
);

pub(crate) static FALCO_EVENTS: Family = Family::counter(
    "falco_events",
    "Events stored or observed, as falco-exporter names them; priority 0 is Emergency, 7 is Debug.",
    &[
        "rule",
        "priority",
        "hostname",
        "source",
        "k8s_ns_name",
        "k8s_pod_name",
        "tags",
    ],
);

pub(crate) static SIDEKICK_EVENTS: Family = Family::counter(
    "falcosecurity_falcosidekick_falco_events_total",
    "Events stored or observed, as falcosidekick names them; priority 8 is Emergency, 1 is Debug.",
    &[
        "hostname",
        "rule",
        "priority",
        "priority_raw",
        "source",
        "k8s_ns_name",
        "k8s_pod_name",
    ],
);

/// Counts every event that the pipeline commits or observes, and every alert.
pub(crate) struct SyscallMetrics {
    counts: Arc<Mutex<Counts>>,
}

impl SyscallMetrics {
    pub(crate) fn new(counts: Arc<Mutex<Counts>>) -> Self {
        Self { counts }
    }
}

impl Observer for SyscallMetrics {
    fn committed(&mut self, source: &SourceId, events: &Arc<[StoredEvent]>, received: Timestamp) {
        let mut counts = self.counts.lock();
        if events.iter().any(|stored| !stored.event.kind.is_event()) {
            counts.logs.count(events, received);
        }
        let of_falco = events.iter().map(|stored| &stored.event);
        let is_falcos =
            |event: &&Event| event.kind.is_event() && &*event.source != qw_pipeline::ENGINE_EVENTS;
        let mut of_falco = of_falco.filter(is_falcos).peekable();
        if of_falco.peek().is_some() {
            counts.count(source, of_falco, received);
        }
    }

    fn forwarded(&mut self, source: &SourceId, events: &Arc<[StoredEvent]>, received: Timestamp) {
        self.committed(source, events, received);
    }

    fn observed(&mut self, source: &SourceId, events: &[Event], received: Timestamp) {
        self.counts.lock().count(source, events, received);
    }

    fn detected(&mut self, detection: &Detection, event: &StoredEvent) {
        self.counts.lock().count_alert(detection, event);
    }
}

/// Everything counted about events.
#[derive(Debug)]
pub(crate) struct Counts {
    logs: LogCounts,
    tables: Tables,
    memory: FxHashMap<Key, u32>,
    cells: Vec<Cell>,
    /// Cells whose events are not in the tables yet.
    pending: Vec<u32>,
    lags: FxHashMap<SourceId, Duration>,
    forget_idle_after: Duration,
    forget_next: Timestamp,
}

#[derive(Debug)]
struct Tables {
    syscall: SeriesTable,
    falco: SeriesTable,
    exporter: SeriesTable,
    sidekick: SeriesTable,
    alerts: SeriesTable,
    containers: Containers,
    scratch: String,
}

/// Addresses of an event's shared texts, and its small values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    rule: usize,
    container: usize,
    process_name: usize,
    source: usize,
    hostname: usize,
    tags: usize,
    priority_and_category: u16,
}

impl Key {
    fn of(event: &Event) -> Self {
        let text = |text: &Arc<str>| Arc::as_ptr(text).cast::<u8>().addr();
        Self {
            rule: text(&event.rule),
            container: Arc::as_ptr(&event.container).addr(),
            process_name: text(&event.process_name),
            source: text(&event.source),
            hostname: text(&event.hostname),
            tags: Arc::as_ptr(&event.tags).cast::<u8>().addr(),
            priority_and_category: u16::from(event.priority.as_number()) << 8
                | event.category as u16,
        }
    }
}

/// Where the events of one combination of texts are counted.
#[derive(Debug)]
struct Cell {
    /// Events not in the tables yet, and the newest of them.
    events: u64,
    newest: Timestamp,
    syscall: SeriesIndex,
    falco: SeriesIndex,
    exporter: SeriesIndex,
    sidekick: SeriesIndex,
    container: ContainerIndex,
    _texts: Texts,
}

/// Keeps the addresses of a [`Key`] taken.
#[derive(Debug)]
struct Texts {
    _rule: Arc<str>,
    _container: Arc<ContainerRef>,
    _process_name: Arc<str>,
    _source: Arc<str>,
    _hostname: Arc<str>,
    _tags: Arc<[Arc<str>]>,
}

impl Counts {
    /// Nothing counted; each family has at most `bound` series, and one that is full forgets series
    /// that were idle for `forget_idle_after`.
    pub(crate) fn new(bound: usize, forget_idle_after: Duration) -> Self {
        Self {
            logs: LogCounts::new(bound),
            tables: Tables {
                syscall: SeriesTable::new(bound),
                falco: SeriesTable::new(bound),
                exporter: SeriesTable::new(bound),
                sidekick: SeriesTable::new(bound),
                alerts: SeriesTable::new(bound),
                containers: Containers::new(bound),
                scratch: String::new(),
            },
            memory: FxHashMap::default(),
            cells: Vec::new(),
            pending: Vec::new(),
            lags: FxHashMap::default(),
            forget_idle_after,
            forget_next: Timestamp::MIN,
        }
    }

    /// Counts `events`, which arrived from `source` at `received`.
    pub(crate) fn count(
        &mut self,
        source: &SourceId,
        events: impl IntoIterator<Item: Borrow<Event>>,
        received: Timestamp,
    ) {
        self.make_room(received);
        let mut newest = Timestamp::MIN;
        for event in events {
            let event = event.borrow();
            let key = Key::of(event);
            let index = match self.memory.get(&key) {
                Some(index) => *index,
                None => self.remember(key, event, received),
            };
            let Some(cell) = self.cells.get_mut(index as usize) else {
                continue;
            };
            if cell.events == 0 {
                self.pending.push(index);
            }
            cell.events += 1;
            cell.newest = cell.newest.max(event.time);
            newest = newest.max(event.time);
        }
        self.settle(received);
        if newest > Timestamp::MIN {
            let lag = received.since(newest);
            if let Some(known) = self.lags.get_mut(source) {
                *known = lag;
            } else if self.lags.len() < SOURCES {
                self.lags.insert(source.clone(), lag);
            }
        }
    }

    /// Counts what was noticed in `event`.
    fn count_alert(&mut self, detection: &Detection, event: &StoredEvent) {
        let Tables {
            alerts, scratch, ..
        } = &mut self.tables;
        let container_name = named(event.event.container.display_name(), "unknown");
        let index = alerts.find(scratch, |text, fold| {
            let values = [
                first(fold, container_name),
                any(fold, &detection.rule),
                detection.priority.as_str(),
                detection.source.as_str(),
            ];
            write_labels(text, SECURITY_ALERTS.labels, &values);
        });
        alerts.add(index, 1, event.event.time);
    }

    fn remember(&mut self, key: Key, event: &Event, received: Timestamp) -> u32 {
        if self.cells.len() >= REMEMBERED {
            self.settle(received);
            self.forget_texts();
        }
        let index = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        self.cells.push(self.tables.cell(event));
        self.memory.insert(key, index);
        index
    }

    /// Moves what the cells hold into the tables.
    fn settle(&mut self, received: Timestamp) {
        let Tables {
            syscall,
            falco,
            exporter,
            sidekick,
            containers,
            ..
        } = &mut self.tables;
        for index in self.pending.drain(..) {
            let Some(cell) = self.cells.get_mut(index as usize) else {
                continue;
            };
            let events = std::mem::take(&mut cell.events);
            let newest = std::mem::replace(&mut cell.newest, Timestamp::MIN);
            syscall.add(cell.syscall, events, received);
            falco.add(cell.falco, events, received);
            exporter.add(cell.exporter, events, received);
            sidekick.add(cell.sidekick, events, received);
            containers.add(cell.container, events, newest, received);
        }
    }

    /// Forgets idle series when a table is full. Called while no cell holds events.
    fn make_room(&mut self, now: Timestamp) {
        let Tables {
            syscall,
            falco,
            exporter,
            sidekick,
            containers,
            ..
        } = &mut self.tables;
        let full = containers.is_full()
            || [&*syscall, falco, exporter, sidekick]
                .iter()
                .any(|table| table.is_full());
        if !full || now < self.forget_next {
            return;
        }
        self.forget_next = now.saturating_add(FORGET_PAUSE);
        let mut forgotten = false;
        for table in [syscall, falco, exporter, sidekick] {
            forgotten |= table.is_full() && table.forget_idle(now, self.forget_idle_after);
        }
        forgotten |= containers.is_full() && containers.forget_idle(now, self.forget_idle_after);
        if forgotten {
            self.forget_texts();
        }
    }

    fn forget_texts(&mut self) {
        self.memory.clear();
        self.cells.clear();
    }

    /// What the main page says as of `now`.
    pub(crate) fn main_page(&self, now: Timestamp) -> MainPage {
        let tables = &self.tables;
        MainPage {
            syscall: tables.syscall.snapshot(),
            falco: tables.falco.snapshot(),
            alerts: tables.alerts.snapshot(),
            logs: self.logs.page(),
            containers: tables.containers.samples(now, LAST_EVENT.labels[0]),
            lags: self.lags.clone(),
            sizes: [
                (SYSCALL_EVENTS.name, tables.syscall.size()),
                (FALCO_EVENTS_TOTAL.name, tables.falco.size()),
                (LAST_EVENT.name, tables.containers.size()),
                (EVENT_RATE.name, tables.containers.size()),
                (FALCO_EVENTS.name, tables.exporter.size()),
                (SIDEKICK_EVENTS.name, tables.sidekick.size()),
                (SECURITY_ALERTS.name, tables.alerts.size()),
            ],
        }
    }

    /// What the Falco page says.
    pub(crate) fn falco_page(&self) -> FalcoPage {
        FalcoPage {
            exporter: self.tables.exporter.snapshot(),
            sidekick: self.tables.sidekick.snapshot(),
        }
    }
}

impl Tables {
    fn cell(&mut self, event: &Event) -> Cell {
        let Self {
            syscall,
            falco,
            exporter,
            sidekick,
            containers,
            scratch,
            alerts: _,
        } = self;
        let container = &*event.container;
        let container_name = named(container.display_name(), "unknown");
        let image_repository = named(&container.image_repository, "unknown");
        let process_name = named(&event.process_name, "unknown");
        let namespace = named(&container.k8s_namespace, "none");
        let pod = named(&container.k8s_pod, "none");
        let (rule, source, hostname) = (&*event.rule, &*event.source, &*event.hostname);
        let (k8s_ns_name, k8s_pod_name) = (&*container.k8s_namespace, &*container.k8s_pod);
        let priority = event.priority.as_str();
        let priority_number = event.priority.as_number().to_string();
        let sidekick_number = event.priority.as_falcosidekick_number().to_string();
        let priority_raw = event.priority.as_lowercase();
        let tags = tag_list(&event.tags);

        Cell {
            events: 0,
            newest: Timestamp::MIN,
            syscall: syscall.find(scratch, |text, fold| {
                let values = [
                    any(fold, rule),
                    priority,
                    any(fold, container_name),
                    any(fold, image_repository),
                    first(fold, process_name),
                    any(fold, namespace),
                    any(fold, pod),
                    event.category.as_str(),
                ];
                write_labels(text, SYSCALL_EVENTS.labels, &values);
            }),
            falco: falco.find(scratch, |text, fold| {
                let values = [
                    any(fold, rule),
                    priority,
                    any(fold, source),
                    any(fold, hostname),
                    first(fold, container_name),
                    any(fold, namespace),
                    first(fold, pod),
                ];
                write_labels(text, FALCO_EVENTS_TOTAL.labels, &values);
            }),
            exporter: exporter.find(scratch, |text, fold| {
                let values = [
                    any(fold, rule),
                    &*priority_number,
                    any(fold, hostname),
                    any(fold, source),
                    any(fold, k8s_ns_name),
                    first(fold, k8s_pod_name),
                    any(fold, &tags),
                ];
                write_labels(text, FALCO_EVENTS.labels, &values);
            }),
            sidekick: sidekick.find(scratch, |text, fold| {
                let values = [
                    any(fold, hostname),
                    any(fold, rule),
                    &*sidekick_number,
                    priority_raw,
                    any(fold, source),
                    any(fold, k8s_ns_name),
                    first(fold, k8s_pod_name),
                ];
                write_labels(text, SIDEKICK_EVENTS.labels, &values);
            }),
            container: containers.find(container_name),
            _texts: Texts {
                _rule: Arc::clone(&event.rule),
                _container: Arc::clone(&event.container),
                _process_name: Arc::clone(&event.process_name),
                _source: Arc::clone(&event.source),
                _hostname: Arc::clone(&event.hostname),
                _tags: Arc::clone(&event.tags),
            },
        }
    }
}

fn named<'a>(text: &'a str, absent: &'static str) -> &'a str {
    if text.is_empty() { absent } else { text }
}

/// A value that gives way when its table is nearly full.
fn first(fold: Fold, value: &str) -> &str {
    if fold == Fold::Not { value } else { OTHER }
}

/// A value that gives way when its table is full.
fn any(fold: Fold, value: &str) -> &str {
    if fold == Fold::Fully { OTHER } else { value }
}

/// The tags with a comma before, between and after, so that `.*,tag,.*` finds one; empty when there
/// are none.
fn tag_list(tags: &[Arc<str>]) -> String {
    let mut list = String::new();
    for tag in tags {
        list.push(',');
        list.push_str(tag);
    }
    if !list.is_empty() {
        list.push(',');
    }
    list
}

/// Copies of the counts that the main page shows.
#[derive(Debug)]
pub(crate) struct MainPage {
    syscall: Vec<(Arc<str>, u64)>,
    falco: Vec<(Arc<str>, u64)>,
    alerts: Vec<(Arc<str>, u64)>,
    pub(crate) logs: LogPage,
    containers: Vec<ContainerSample>,
    /// From the newest stored event of each source to its arrival.
    pub(crate) lags: FxHashMap<SourceId, Duration>,
    /// How full each family's table is.
    pub(crate) sizes: [(&'static str, TableSize); 7],
}

impl MainPage {
    pub(crate) fn write(&mut self, exposition: &mut Exposition) {
        write_counters(exposition, &SYSCALL_EVENTS, &mut self.syscall);
        self.containers
            .sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let mut last_event = exposition.family(&LAST_EVENT);
        for container in &self.containers {
            last_event.sample_written(&container.labels, container.last_event_seconds);
        }
        let mut rate = exposition.family(&EVENT_RATE);
        for container in &self.containers {
            rate.sample_written(&container.labels, container.rate);
        }
        write_counters(exposition, &FALCO_EVENTS_TOTAL, &mut self.falco);
        write_counters(exposition, &SECURITY_ALERTS, &mut self.alerts);
        self.logs.write(exposition);
    }
}

/// Copies of the counts that the Falco page shows.
#[derive(Debug)]
pub(crate) struct FalcoPage {
    exporter: Vec<(Arc<str>, u64)>,
    sidekick: Vec<(Arc<str>, u64)>,
}

impl FalcoPage {
    pub(crate) fn write(&mut self, exposition: &mut Exposition) {
        write_counters(exposition, &FALCO_EVENTS, &mut self.exporter);
        write_counters(exposition, &SIDEKICK_EVENTS, &mut self.sidekick);
    }
}

fn write_counters(
    exposition: &mut Exposition,
    family: &'static Family,
    series: &mut [(Arc<str>, u64)],
) {
    series.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut samples = exposition.family(family);
    for (labels, count) in series {
        samples.sample_written(labels, *count);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use qw_event::{AlertSource, Category, EventId, Priority, Reason, RecordKind};

    use super::*;
    use crate::Format;

    const RECEIVED: Timestamp = Timestamp::from_seconds(1_000);

    fn event(rule: &str, container: &str, process: &str) -> Event {
        Event {
            kind: RecordKind::Event,
            time: Timestamp::from_seconds(998),
            source: "syscall".into(),
            rule: rule.into(),
            priority: Priority::Notice,
            category: Category::Process,
            hostname: "node-1".into(),
            container: Arc::new(ContainerRef {
                name: container.into(),
                image_repository: "shop/app".into(),
                ..ContainerRef::default()
            }),
            process_name: process.into(),
            tags: Arc::from([]),
            output: "".into(),
            output_fields: serde_json::value::RawValue::NULL.to_owned(),
        }
    }

    fn counted(events: impl IntoIterator<Item = Event>) -> Counts {
        let mut counts = Counts::new(10_000, Duration::from_secs(3600));
        counts.count(&SourceId::new("test"), events, RECEIVED);
        counts
    }

    fn check(events: impl IntoIterator<Item = Event>, expected: Expect) {
        let counts = counted(events);
        let mut page = Exposition::new(Format::Text);
        counts.main_page(RECEIVED).write(&mut page);
        counts.falco_page().write(&mut page);
        let text = page.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        expected.assert_eq(&(samples.join("\n") + "\n"));
    }

    fn sum(series: &[(Arc<str>, u64)]) -> u64 {
        series.iter().map(|(_, count)| count).sum()
    }

    #[test]
    fn event_with_all_its_texts() {
        let mut full = event("Terminal shell in container", "web", "bash");
        full.priority = Priority::Informational;
        full.tags = Arc::from(["container".into(), "shell".into()]);
        full.container = Arc::new(ContainerRef {
            k8s_namespace: "shop".into(),
            k8s_pod: "web-7f".into(),
            ..(*full.container).clone()
        });
        check(
            [full.clone(), full],
            expect![[r#"
            syscall_events_total{rule="Terminal shell in container",priority="Informational",container_name="web",image_repository="shop/app",process_name="bash",k8s_namespace="shop",k8s_pod="web-7f",rule_category="process"} 2
            syscall_last_event_timestamp_seconds{container_name="web"} 998
            syscall_event_rate_10s{container_name="web"} 0.2
            falco_events_total{rule="Terminal shell in container",priority="Informational",source="syscall",hostname="node-1",container_name="web",k8s_namespace="shop",k8s_pod="web-7f"} 2
            falco_events{rule="Terminal shell in container",priority="6",hostname="node-1",source="syscall",k8s_ns_name="shop",k8s_pod_name="web-7f",tags=",container,shell,"} 2
            falcosecurity_falcosidekick_falco_events_total{hostname="node-1",rule="Terminal shell in container",priority="2",priority_raw="informational",source="syscall",k8s_ns_name="shop",k8s_pod_name="web-7f"} 2
        "#]],
        );
    }

    #[test]
    fn events_that_belong_to_alerts() {
        let mut counts = counted([]);
        let mut observer_counts = |rule: &str, times| {
            for _ in 0..times {
                let detection = Detection {
                    event: 0,
                    source: AlertSource::Profile,
                    rule: rule.into(),
                    priority: Priority::Critical,
                    workload: "shop/app".into(),
                    score: Some(0.9),
                    reasons: Vec::<Reason>::new(),
                    behaviour: Vec::new(),
                };
                let event = StoredEvent {
                    id: EventId(1),
                    event: event("Some rule", "web", "bash"),
                };
                counts.count_alert(&detection, &event);
            }
        };
        observer_counts("B", 2);
        observer_counts("A", 1);
        let mut page = Exposition::new(Format::Text);
        counts.main_page(RECEIVED).write(&mut page);
        let text = page.finish();
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("security"))
            .collect();
        expect![[r#"
            security_alerts_total{container_name="web",rule="A",priority="Critical",source="profile"} 1
            security_alerts_total{container_name="web",rule="B",priority="Critical",source="profile"} 2"#]]
        .assert_eq(&samples.join("\n"));
    }

    #[test]
    fn event_without_what_can_be_missing() {
        let mut bare = event("", "", "");
        bare.source = "".into();
        bare.hostname = "".into();
        bare.container = Arc::default();
        bare.category = Category::Unknown;
        check(
            [bare],
            expect![[r#"
            syscall_events_total{rule="",priority="Notice",container_name="unknown",image_repository="unknown",process_name="unknown",k8s_namespace="none",k8s_pod="none",rule_category="unknown"} 1
            syscall_last_event_timestamp_seconds{container_name="unknown"} 998
            syscall_event_rate_10s{container_name="unknown"} 0.1
            falco_events_total{rule="",priority="Notice",source="",hostname="",container_name="unknown",k8s_namespace="none",k8s_pod="none"} 1
            falco_events{rule="",priority="5",hostname="",source="",k8s_ns_name="",k8s_pod_name="",tags=""} 1
            falcosecurity_falcosidekick_falco_events_total{hostname="",rule="",priority="3",priority_raw="notice",source="",k8s_ns_name="",k8s_pod_name=""} 1
        "#]],
        );
    }

    #[test]
    fn container_without_a_name_goes_by_its_short_id() {
        let mut nameless = event("r", "", "p");
        nameless.container = Arc::new(ContainerRef {
            id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
            ..ContainerRef::default()
        });
        let page = counted([nameless]).main_page(RECEIVED);
        assert_eq!(
            page.containers[0].labels,
            r#"container_name="0123456789ab""#
        );
    }

    #[test]
    fn equal_texts_at_other_addresses_are_the_same_series() {
        let counts = counted((0..10).map(|_| event("r", "c", "p")));
        assert_eq!(counts.cells.len(), 10);
        let page = counts.main_page(RECEIVED);
        assert_eq!(page.syscall.len(), 1);
        assert_eq!(sum(&page.syscall), 10);
    }

    #[test]
    fn memory_of_texts_is_bounded() {
        let events = REMEMBERED * 2 + 5;
        let counts = counted((0..events).map(|number| event("r", "c", &(number % 3).to_string())));
        assert_eq!(counts.cells.len(), 5);
        assert_eq!(sum(&counts.main_page(RECEIVED).syscall), events as u64);
    }

    #[test]
    fn process_names_fold_before_containers_do() {
        let mut counts = Counts::new(100, Duration::from_secs(3600));
        let source = SourceId::new("test");
        let hostile = (0..500).map(|number| event("r", "hostile", &format!("p{number}")));
        counts.count(&source, hostile, RECEIVED);
        let late = (0..9).map(|number| event("r", &format!("late-{number}"), "nginx"));
        counts.count(&source, late, RECEIVED);
        let last = (0..7).map(|number| event("r", &format!("last-{number}"), "nginx"));
        counts.count(&source, last, RECEIVED);

        let page = counts.main_page(RECEIVED);
        let of = |label: &str| -> u64 {
            page.syscall
                .iter()
                .filter(|(labels, _)| labels.contains(label))
                .map(|(_, n)| n)
                .sum()
        };
        assert_eq!(sum(&page.syscall), 516);
        assert_eq!(of(r#"container_name="hostile""#), 500);
        assert_eq!(
            of(r#"container_name="late-8",image_repository="shop/app",process_name="other""#),
            1
        );
        assert_eq!(of(r#"container_name="other""#), 7);
        assert_eq!(of(r#"priority="Notice""#), 516);
        let (_, size) = page.sizes[0];
        assert_eq!((size.folded, size.series), (410 + 16, 101));
    }

    #[test]
    fn idle_series_are_forgotten_when_room_is_needed() {
        let mut counts = Counts::new(10, Duration::from_secs(3600));
        let source = SourceId::new("test");
        let old: Vec<Event> = (0..9)
            .map(|number| event("r", &format!("old-{number}"), "p"))
            .collect();
        counts.count(&source, old.iter().cloned(), RECEIVED);
        let later = RECEIVED.saturating_add(Duration::from_secs(7200));
        counts.count(&source, [old[3].clone()], later);
        assert_eq!(counts.main_page(later).syscall.len(), 1);
        counts.count(&source, [old[3].clone(), event("r", "new", "p")], later);
        let page = counts.main_page(later);
        assert_eq!(sum(&page.syscall), 3);
        assert!(
            page.syscall
                .iter()
                .any(|(labels, _)| labels.contains("new"))
        );
        assert_eq!(page.sizes[0].1.forgotten, 9);
    }

    #[test]
    fn lag_is_from_the_newest_event_to_its_arrival() {
        let mut late = event("r", "c", "p");
        late.time = Timestamp::from_seconds(900);
        let page = counted([late, event("r", "c", "p")]).main_page(RECEIVED);
        assert_eq!(page.lags[&SourceId::new("test")], Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn every_family_counts_every_event(
            batches in proptest::collection::vec(
                proptest::collection::vec((0_u8..8, 0_u8..4, 0_u8..30, 0_u8..30), 0..50),
                0..6,
            ),
            bound in 10_usize..60,
        ) {
            let mut counts = Counts::new(bound, Duration::from_secs(3600));
            let mut total = 0;
            for batch in batches {
                total += batch.len() as u64;
                let events = batch.into_iter().map(|(priority, category, container, process)| {
                    let mut event = event("r", &container.to_string(), &process.to_string());
                    event.priority = Priority::from_number(priority).unwrap();
                    event.category = Category::from_number(category).unwrap();
                    event
                });
                counts.count(&SourceId::new("test"), events, RECEIVED);
            }
            let (main, falco) = (counts.main_page(RECEIVED), counts.falco_page());
            for series in [&main.syscall, &main.falco, &falco.exporter, &falco.sidekick] {
                prop_assert_eq!(sum(series), total);
                prop_assert!(series.len() <= bound + 32);
            }
            let rates: f64 = main.containers.iter().map(|container| container.rate).sum();
            prop_assert!((rates - total as f64 / 10.0).abs() < 1e-6);
        }
    }
}
