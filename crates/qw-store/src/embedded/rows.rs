//! Rows of a row group → events, as far as they are needed.

use std::sync::Arc;

use parquet::{data_type::ByteArray, errors::Result};
use qw_event::{Category, ContainerRef, Event, EventId, Priority, StoredEvent, Timestamp};
use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use crate::embedded::{
    format::{COLUMNS, Column, ColumnSet, malformed},
    segment_reader::{GroupReader, Rows},
};

const CONTAINER: [Column; 10] = [
    Column::ContainerId,
    Column::ContainerName,
    Column::Image,
    Column::ImageRepository,
    Column::ImageTag,
    Column::ImageDigest,
    Column::ComposeProject,
    Column::ComposeService,
    Column::K8sNamespace,
    Column::K8sPod,
];

/// Reads the rows with the indices `rows`; fields outside `columns` stay empty.
pub(super) fn read_events(
    reader: &mut GroupReader,
    rows: &[u32],
    columns: ColumnSet,
) -> Result<Vec<StoredEvent>> {
    let rows = Rows::Some(rows);
    let ids = optional(columns, Column::Id, || reader.numbers(Column::Id, rows))?;
    let times = optional(columns, Column::Time, || reader.numbers(Column::Time, rows))?;
    let priorities = optional(columns, Column::Priority, || reader.priorities(rows))?;
    let mut texts: [Vec<ByteArray>; COLUMNS] = [const { Vec::new() }; COLUMNS];
    for column in Column::ALL {
        if columns.contains(column)
            && !matches!(column, Column::Id | Column::Time | Column::Priority)
        {
            texts[column.index()] = reader.texts(column, rows)?;
        }
    }
    let kind = reader.kind();
    let mut shared = Shared::default();
    let Rows::Some(indices) = rows else {
        return Ok(Vec::new());
    };
    (0..indices.len())
        .map(|row| {
            let text = |column: Column| texts[column.index()].get(row);
            let event = Event {
                kind,
                time: Timestamp::from_nanos(times.get(row).copied().unwrap_or_default()),
                source: shared.text(text(Column::Source))?,
                rule: shared.text(text(Column::Rule))?,
                priority: priority(priorities.get(row).copied().unwrap_or(7))?,
                category: text(Column::Category).map_or(Ok(Category::Unknown), category)?,
                hostname: shared.text(text(Column::Hostname))?,
                container: shared.container(&texts, row)?,
                process_name: shared.text(text(Column::ProcessName))?,
                tags: shared.tags(text(Column::Tags))?,
                output: text(Column::Output).map_or(Ok(""), as_str)?.into(),
                output_fields: fields(text(Column::OutputFields).map_or(Ok("{}"), as_str)?)?,
            };
            Ok(StoredEvent {
                id: EventId(ids.get(row).copied().unwrap_or_default() as u64),
                event,
            })
        })
        .collect()
}

fn optional<T>(
    columns: ColumnSet,
    column: Column,
    read: impl FnOnce() -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    if columns.contains(column) {
        read()
    } else {
        Ok(Vec::new())
    }
}

/// The priority a segment's number stands for.
pub(super) fn priority(number: i32) -> Result<Priority> {
    u8::try_from(number)
        .ok()
        .and_then(Priority::from_number)
        .ok_or_else(|| malformed("a priority is out of range"))
}

/// The category a segment's text stands for.
pub(super) fn category(text: &ByteArray) -> Result<Category> {
    Category::ALL
        .into_iter()
        .find(|category| category.as_str().as_bytes() == text.data())
        .ok_or_else(|| malformed("a category is unknown"))
}

/// The text of a value.
pub(super) fn as_str(value: &ByteArray) -> Result<&str> {
    std::str::from_utf8(value.data()).map_err(|_| malformed("a text is not UTF-8"))
}

fn fields(json: &str) -> Result<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).map_err(|_| malformed("output_fields are not JSON"))
}

/// Where a value's bytes lie; equal for rows that share a dictionary entry.
pub(super) fn address(value: &ByteArray) -> (usize, usize) {
    (value.data().as_ptr() as usize, value.len())
}

/// Texts that rows have in common, made once.
#[derive(Default)]
struct Shared {
    texts: FxHashMap<(usize, usize), Arc<str>>,
    tags: FxHashMap<(usize, usize), Arc<[Arc<str>]>>,
    containers: FxHashMap<[usize; CONTAINER.len()], Arc<ContainerRef>>,
    empty: Arc<str>,
}

impl Shared {
    fn text(&mut self, value: Option<&ByteArray>) -> Result<Arc<str>> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(self.empty.clone());
        };
        if let Some(text) = self.texts.get(&address(value)) {
            return Ok(text.clone());
        }
        let text: Arc<str> = as_str(value)?.into();
        self.texts.insert(address(value), text.clone());
        Ok(text)
    }

    fn tags(&mut self, value: Option<&ByteArray>) -> Result<Arc<[Arc<str>]>> {
        let Some(value) = value else {
            return Ok(Arc::default());
        };
        if let Some(tags) = self.tags.get(&address(value)) {
            return Ok(tags.clone());
        }
        let tags: Arc<[Arc<str>]> = serde_json::from_slice(value.data())
            .map_err(|_| malformed("tags are not a JSON list of texts"))?;
        self.tags.insert(address(value), tags.clone());
        Ok(tags)
    }

    fn container(
        &mut self,
        texts: &[Vec<ByteArray>; COLUMNS],
        row: usize,
    ) -> Result<Arc<ContainerRef>> {
        let value = |column: Column| texts[column.index()].get(row);
        let key = CONTAINER.map(|column| value(column).map_or(0, |value| address(value).0));
        if let Some(container) = self.containers.get(&key) {
            return Ok(container.clone());
        }
        let container = Arc::new(ContainerRef {
            id: self.text(value(Column::ContainerId))?,
            name: self.text(value(Column::ContainerName))?,
            image: self.text(value(Column::Image))?,
            image_repository: self.text(value(Column::ImageRepository))?,
            image_tag: self.text(value(Column::ImageTag))?,
            image_digest: self.text(value(Column::ImageDigest))?,
            compose_project: self.text(value(Column::ComposeProject))?,
            compose_service: self.text(value(Column::ComposeService))?,
            k8s_namespace: self.text(value(Column::K8sNamespace))?,
            k8s_pod: self.text(value(Column::K8sPod))?,
        });
        self.containers.insert(key, container.clone());
        Ok(container)
    }
}
