//! Lines of logs → how many each container wrote, and what could not be had.

use std::sync::Arc;

use qw_event::{ContainerRef, Event, RecordKind, StoredEvent, Timestamp};
use qw_store::query::field_value;
use rustc_hash::FxHashMap;

use crate::{
    Exposition, Family,
    exposition::write_labels,
    series::{Fold, SeriesIndex, SeriesTable, TableSize},
};

/// Combinations of texts remembered before the memory is cleared.
const REMEMBERED: usize = 32_768;

const OTHER: &str = "other";

/// The tag of a record that stands for lines that could not be had.
const GAP: &str = "gap";

pub(crate) static RECORDS: Family = Family::counter(
    "quaywatch_log_records_total",
    "Lines of container logs stored, several that belong together as one.",
    &["container_name", "stream", "level"],
);

pub(crate) static GAPS: Family = Family::counter(
    "quaywatch_log_gaps_total",
    "Places where lines of a container's log could not be had.",
    &["container_name", "reason"],
);

pub(crate) const FAMILIES: [&Family; 2] = [&RECORDS, &GAPS];

/// What is counted of logs.
#[derive(Debug)]
pub(crate) struct LogCounts {
    records: SeriesTable,
    gaps: SeriesTable,
    memory: FxHashMap<Key, Cell>,
    scratch: String,
}

/// Addresses of a line's shared texts.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    container: usize,
    stream: usize,
    level: usize,
}

/// Where lines with the same texts are counted; keeps the addresses of its [`Key`] taken.
#[derive(Debug)]
struct Cell {
    series: SeriesIndex,
    _container: Arc<ContainerRef>,
    _stream: Arc<str>,
    _level: Arc<str>,
}

impl LogCounts {
    /// Nothing counted; each family has at most `bound` series.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            records: SeriesTable::new(bound),
            gaps: SeriesTable::new(bound),
            memory: FxHashMap::default(),
            scratch: String::new(),
        }
    }

    /// Counts the lines of logs among `events`, which arrived at `received`.
    pub(crate) fn count(&mut self, events: &[StoredEvent], received: Timestamp) {
        for StoredEvent { event, .. } in events {
            if event.kind != RecordKind::Log {
                continue;
            }
            if event.tags.iter().any(|tag| &**tag == GAP) {
                self.count_gap(event, received);
            } else {
                let series = self.series(event);
                self.records.add(series, 1, received);
            }
        }
    }

    fn series(&mut self, event: &Event) -> SeriesIndex {
        let text = |text: &Arc<str>| Arc::as_ptr(text).cast::<u8>().addr();
        let key = Key {
            container: Arc::as_ptr(&event.container).addr(),
            stream: text(&event.source),
            level: text(&event.rule),
        };
        if let Some(cell) = self.memory.get(&key) {
            return cell.series;
        }
        if self.memory.len() >= REMEMBERED {
            self.memory.clear();
        }
        let (container, stream) = (container_name(event), &*event.source);
        let level = match &*event.rule {
            "" => "unknown",
            level => level,
        };
        let series = self.records.find(&mut self.scratch, |text, fold| {
            let container = if fold == Fold::Not { container } else { OTHER };
            write_labels(
                text,
                RECORDS.labels,
                &[container, any(fold, stream), any(fold, level)],
            );
        });
        let cell = Cell {
            series,
            _container: Arc::clone(&event.container),
            _stream: Arc::clone(&event.source),
            _level: Arc::clone(&event.rule),
        };
        self.memory.insert(key, cell);
        series
    }

    fn count_gap(&mut self, event: &Event, received: Timestamp) {
        let reason = field_value(event, "log.gap.reason");
        let reason = reason.as_deref().unwrap_or("unknown");
        let container = container_name(event);
        let series = self.gaps.find(&mut self.scratch, |text, fold| {
            let container = if fold == Fold::Not { container } else { OTHER };
            write_labels(text, GAPS.labels, &[container, any(fold, reason)]);
        });
        self.gaps.add(series, 1, received);
    }

    /// What a page says of logs.
    pub(crate) fn page(&self) -> LogPage {
        LogPage {
            records: self.records.snapshot(),
            gaps: self.gaps.snapshot(),
            sizes: [
                (RECORDS.name, self.records.size()),
                (GAPS.name, self.gaps.size()),
            ],
        }
    }
}

fn container_name(event: &Event) -> &str {
    match event.container.display_name() {
        "" => "unknown",
        name => name,
    }
}

/// A value that gives way when its table is full.
fn any(fold: Fold, value: &str) -> &str {
    if fold == Fold::Fully { OTHER } else { value }
}

/// Copies of the counts.
#[derive(Debug)]
pub(crate) struct LogPage {
    records: Vec<(Arc<str>, u64)>,
    gaps: Vec<(Arc<str>, u64)>,
    /// How full each family's table is.
    pub(crate) sizes: [(&'static str, TableSize); 2],
}

impl LogPage {
    pub(crate) fn write(&mut self, exposition: &mut Exposition) {
        for (family, series) in [(&RECORDS, &mut self.records), (&GAPS, &mut self.gaps)] {
            series.sort_unstable();
            let mut samples = exposition.family(family);
            for (labels, count) in series {
                samples.sample_written(labels, *count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use qw_event::{Category, EventId, Priority};
    use serde_json::value::RawValue;

    use super::*;
    use crate::Format;

    fn line(container: &str, stream: &str, level: &str) -> StoredEvent {
        let event = Event {
            kind: RecordKind::Log,
            time: Timestamp::EPOCH,
            source: stream.into(),
            rule: level.into(),
            priority: Priority::Informational,
            category: Category::Unknown,
            hostname: "node-1".into(),
            container: Arc::new(ContainerRef {
                name: container.into(),
                ..ContainerRef::default()
            }),
            process_name: "".into(),
            tags: Arc::from([]),
            output: "listening".into(),
            output_fields: RawValue::from_string("{}".to_owned()).unwrap(),
        };
        let id = EventId(1);
        StoredEvent { id, event }
    }

    fn gap(container: &str, fields: &str) -> StoredEvent {
        let mut gap = line(container, "stdout", "");
        gap.event.tags = Arc::from([GAP.into()]);
        gap.event.output_fields = RawValue::from_string(fields.to_owned()).unwrap();
        gap
    }

    #[test]
    fn lines_and_gaps_are_counted_by_container() {
        let mut counts = LogCounts::new(100);
        let mut event = line("web", "stdout", "INFO");
        event.event.kind = RecordKind::Event;
        let records = [
            line("web", "stdout", "INFO"),
            line("web", "stdout", "INFO"),
            line("web", "stderr", ""),
            line("db", "stdout", "ERROR"),
            gap("db", r#"{"log.gap.reason":"rotated","log.gap.bytes":7}"#),
            gap("db", "{}"),
            event,
        ];
        counts.count(&records, Timestamp::EPOCH);
        let mut page = Exposition::new(Format::Text);
        counts.page().write(&mut page);
        let text = page.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        expect![[r#"
            quaywatch_log_records_total{container_name="db",stream="stdout",level="ERROR"} 1
            quaywatch_log_records_total{container_name="web",stream="stderr",level="unknown"} 1
            quaywatch_log_records_total{container_name="web",stream="stdout",level="INFO"} 2
            quaywatch_log_gaps_total{container_name="db",reason="rotated"} 1
            quaywatch_log_gaps_total{container_name="db",reason="unknown"} 1"#]]
        .assert_eq(&samples.join("\n"));
    }

    #[test]
    fn series_are_bounded() {
        let mut counts = LogCounts::new(50);
        let records: Vec<_> = (0..500)
            .map(|number| line(&format!("c{number}"), "stdout", "INFO"))
            .collect();
        counts.count(&records, Timestamp::EPOCH);
        let page = counts.page();
        let total: u64 = page.records.iter().map(|(_, count)| count).sum();
        assert_eq!(total, 500);
        assert!(page.records.len() <= 51, "{}", page.records.len());
    }
}
