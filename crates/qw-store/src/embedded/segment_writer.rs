//! Events, or lines of logs, in order of time → a segment file.

use std::{
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::{
    column::writer::ColumnCloseResult,
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::Result,
    file::{
        metadata::{KeyValue, ParquetMetaData},
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
};
use qw_event::{ContainerRef, Event, RecordKind, StoredEvent};
use rustc_hash::FxHashMap;

use crate::embedded::{
    bloom::{BLOCK_BYTES, BLOOM_ROWS, BloomBuilder},
    checks::{self, Checks, GroupChecks},
    files::FileSink,
    format::{
        BLOOMS_KEY, CHECKS_KEY, COLUMNS, Column, FORMAT, FORMAT_KEY, KIND_KEY, SCHEMA, malformed,
    },
    segment_reader::{Group, SegmentFile, group_layout},
    trigrams::Trigrams,
};

/// A row group ends before its texts exceed this many bytes, unless one event alone does.
pub(super) const GROUP_BYTES: usize = 16 << 20;

/// A segment being written.
pub(super) struct SegmentWriter {
    kind: RecordKind,
    writer: SerializedFileWriter<Sink>,
    /// Checksum of what has gone to the sink since it was last taken.
    checksum: Checksum,
    /// Of each row group the offset and blocks of its filters.
    blooms: Vec<Box<[(u64, u32)]>>,
    /// Of each row group.
    checks: Vec<GroupChecks>,
    rows: u64,
}

/// Shared with the sink, which the Parquet writer has to itself while it writes a row group.
#[derive(Clone, Default)]
struct Checksum(Arc<Mutex<crc32fast::Hasher>>);

impl Checksum {
    fn take(&self) -> u32 {
        std::mem::take(&mut *self.0.lock()).finalize()
    }
}

/// A file that is written in large pieces: the Parquet writer flushes after every column, which
/// nobody needs before the end.
struct Sink {
    file: BufWriter<Box<dyn FileSink>>,
    checksum: Checksum,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.checksum.0.lock().update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl SegmentWriter {
    /// Writes records of `kind` alone.
    pub(super) fn new(
        sink: Box<dyn FileSink>,
        properties: Arc<WriterProperties>,
        kind: RecordKind,
    ) -> Result<Self> {
        let checksum = Checksum::default();
        let sink = Sink {
            file: BufWriter::with_capacity(128 * 1024, sink),
            checksum: checksum.clone(),
        };
        let writer = SerializedFileWriter::new(sink, SCHEMA.clone(), properties)?;
        Ok(Self {
            kind,
            writer,
            checksum,
            blooms: Vec::new(),
            checks: Vec::new(),
            rows: 0,
        })
    }

    /// Rows written so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Row groups written so far.
    pub(super) fn groups(&self) -> u32 {
        self.blooms.len() as u32
    }

    /// Writes `rows`, which are in order of time and number, as row groups of `group_rows` rows.
    pub(super) fn write(&mut self, mut rows: &[&StoredEvent], group_rows: usize) -> Result<()> {
        while !rows.is_empty() {
            let (group, rest) = rows.split_at(group_length(rows, group_rows));
            match self.kind {
                RecordKind::Event => self.write_group(group)?,
                RecordKind::Log => self.write_group(&by_container(group))?,
            }
            rows = rest;
        }
        Ok(())
    }

    fn write_group(&mut self, rows: &[&StoredEvent]) -> Result<()> {
        self.writer.flush()?;
        self.checksum.take();
        let mut group = self.writer.next_row_group()?;
        let mut shared = SharedTexts::default();
        let mut columns = [0; COLUMNS];
        for column in Column::ALL {
            let mut writer = group
                .next_column()?
                .ok_or_else(|| malformed("the schema has fewer columns than the writer"))?;
            write_column(&mut writer, column, rows, &mut shared)?;
            // Closing a column flushes it to the sink.
            writer.close()?;
            columns[column.index()] = self.checksum.take();
        }
        group.close()?;
        let mut trigrams = Trigrams::new();
        let mut blooms = Vec::with_capacity(rows.len().div_ceil(BLOOM_ROWS));
        for rows in rows.chunks(BLOOM_ROWS) {
            let mut bloom = BloomBuilder::new(&mut trigrams);
            for row in rows {
                bloom.insert_event(&row.event);
            }
            blooms.push(bloom.finish());
        }
        self.finish_group(
            columns,
            &blooms,
            Some(&trigrams.to_bytes()),
            rows.len() as u64,
        )
    }

    /// Writes what lies behind a row group.
    fn finish_group(
        &mut self,
        columns: [u32; COLUMNS],
        blooms: &[Vec<u8>],
        trigrams: Option<&[u8]>,
        rows: u64,
    ) -> Result<()> {
        let places = blooms.iter().map(|bloom| self.write_bloom(bloom));
        let places = places.collect::<Result<_>>()?;
        let trigrams = match trigrams {
            Some(trigrams) => {
                let place = (self.writer.bytes_written() as u64, checks::of(trigrams));
                self.writer.write_all(trigrams)?;
                Some(place)
            }
            None => None,
        };
        self.blooms.push(places);
        self.checks.push(GroupChecks {
            columns,
            blooms: checks::of(&blooms.concat()),
            trigrams,
        });
        self.rows += rows;
        Ok(())
    }

    /// Copies row group `group` of `source` as it is.
    ///
    /// `metadata` is the footer of `source`.
    pub(super) fn splice(
        &mut self,
        source: &SegmentFile,
        metadata: &ParquetMetaData,
        group: usize,
    ) -> Result<()> {
        let row_group = metadata.row_group(group);
        let rows = u64::try_from(row_group.num_rows())?;
        let blooms = source.blooms(group)?;
        let trigrams = source.trigrams(group)?;
        let mut columns = [0; COLUMNS];
        let mut target = self.writer.next_row_group()?;
        for (column, metadata) in Column::ALL.into_iter().zip(row_group.columns()) {
            let close = ColumnCloseResult {
                bytes_written: metadata.byte_range().1,
                rows_written: rows,
                metadata: metadata.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            let chunk = source.chunk(group, column)?;
            columns[column.index()] = checks::of(&chunk.bytes);
            target.append_column(&chunk, close)?;
        }
        target.close()?;
        self.finish_group(columns, &blooms, trigrams.as_deref(), rows)
    }

    /// Offset and blocks of the filter written.
    fn write_bloom(&mut self, bloom: &[u8]) -> Result<(u64, u32)> {
        let place = (
            self.writer.bytes_written() as u64,
            u32::try_from(bloom.len() / BLOCK_BYTES)?,
        );
        self.writer.write_all(bloom)?;
        Ok(place)
    }

    /// Writes the footer and returns once the file is on disk; its length in bytes.
    pub(super) fn finish(mut self) -> Result<u64> {
        let length = self.writer.bytes_written() as u64;
        let groups: Vec<Group> = self
            .writer
            .flushed_row_groups()
            .iter()
            .zip(self.blooms.iter().zip(&self.checks))
            .map(|(group, (blooms, checks))| {
                group_layout(group, blooms.clone(), Some(*checks), length)
            })
            .collect::<Result<_>>()?;
        let checks = Checks {
            layout: checks::of_layout(&groups, self.kind),
            groups: std::mem::take(&mut self.checks),
        };
        let json = |value: serde_json::Result<String>| {
            value.map_err(|error| malformed(&error.to_string()))
        };
        let kind = match self.kind {
            RecordKind::Event => None,
            RecordKind::Log => Some((KIND_KEY, self.kind.as_str().to_owned())),
        };
        for (key, value) in [
            (FORMAT_KEY, FORMAT.to_owned()),
            (BLOOMS_KEY, json(serde_json::to_string(&self.blooms))?),
            (CHECKS_KEY, json(serde_json::to_string(&checks))?),
        ]
        .into_iter()
        .chain(kind)
        {
            self.writer
                .append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.writer.finish()?;
        let length = self.writer.bytes_written() as u64;
        let file = &mut self.writer.inner_mut().file;
        file.flush()?;
        file.get_mut().sync()?;
        Ok(length)
    }
}

/// How many of the first `rows` make a row group.
fn group_length(rows: &[&StoredEvent], group_rows: usize) -> usize {
    // A last group of a few rows costs as much as a full one to open, so it is joined to this one.
    let wanted = if rows.len() < group_rows + group_rows / 4 {
        rows.len()
    } else {
        group_rows
    };
    let mut bytes = 0;
    let fitting = rows
        .iter()
        .take(wanted)
        .take_while(|row| {
            bytes += row.event.size_bytes();
            bytes <= GROUP_BYTES
        })
        .count();
    fitting.max(1)
}

/// The lines of a row group with those of one container together, like containers side by side: they
/// look alike and share their words, and whoever reads a log reads that of one container.
fn by_container<'a>(rows: &[&'a StoredEvent]) -> Vec<&'a StoredEvent> {
    let mut containers: FxHashMap<usize, u32> = FxHashMap::default();
    let mut known: Vec<&'a ContainerRef> = Vec::new();
    let address = |row: &StoredEvent| Arc::as_ptr(&row.event.container) as usize;
    for row in rows {
        containers.entry(address(row)).or_insert_with(|| {
            known.push(&row.event.container);
            known.len() as u32 - 1
        });
    }
    let key = |container: &'a ContainerRef| {
        let ContainerRef {
            image_repository,
            image,
            name,
            id,
            ..
        } = container;
        (image_repository, image, name, id)
    };
    let mut order: Vec<u32> = (0..known.len() as u32).collect();
    order.sort_by(|left, right| key(known[*left as usize]).cmp(&key(known[*right as usize])));
    let mut ranks = vec![0_u32; known.len()];
    // Equal containers that are not the same object have the same rank.
    let mut rank = 0;
    for (place, container) in order.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| order[before] as usize);
        if before.is_some_and(|before| key(known[before]) != key(known[*container as usize])) {
            rank += 1;
        }
        ranks[*container as usize] = rank;
    }
    let mut rows = rows.to_vec();
    rows.sort_by_cached_key(|row| {
        let rank = containers.get(&address(row)).map(|at| ranks[*at as usize]);
        (rank, row.event.time, row.id)
    });
    rows
}

fn write_column(
    writer: &mut SerializedColumnWriter<'_>,
    column: Column,
    rows: &[&StoredEvent],
    shared: &mut SharedTexts,
) -> Result<()> {
    match column {
        Column::Id => write_numbers(writer, rows, |row| row.id.0 as i64),
        Column::Time => write_numbers(writer, rows, |row| row.event.time.as_nanos()),
        Column::Priority => {
            let values: Vec<i32> = rows
                .iter()
                .map(|row| i32::from(row.event.priority.as_number()))
                .collect();
            writer
                .typed::<Int32Type>()
                .write_batch(&values, None, None)
                .map(|_| ())
        }
        Column::Output => write_own(writer, rows, |event| &event.output),
        Column::OutputFields => write_own(writer, rows, |event| event.output_fields.get()),
        Column::Tags => {
            let values: Vec<ByteArray> = rows.iter().map(|row| shared.tags(&row.event)).collect();
            write_texts(writer, &values)
        }
        _ => {
            let values: Vec<ByteArray> = rows
                .iter()
                .map(|row| shared.text(text_of(&row.event, column)))
                .collect();
            write_texts(writer, &values)
        }
    }
}

/// The value of a text column; empty for columns that are not plain text.
pub(super) fn text_of(event: &Event, column: Column) -> &str {
    let container = &*event.container;
    match column {
        Column::Category => event.category.as_str(),
        Column::Source => &event.source,
        Column::Rule => &event.rule,
        Column::Hostname => &event.hostname,
        Column::ContainerId => &container.id,
        Column::ContainerName => &container.name,
        Column::Image => &container.image,
        Column::ImageRepository => &container.image_repository,
        Column::ImageTag => &container.image_tag,
        Column::ImageDigest => &container.image_digest,
        Column::ComposeProject => &container.compose_project,
        Column::ComposeService => &container.compose_service,
        Column::K8sNamespace => &container.k8s_namespace,
        Column::K8sPod => &container.k8s_pod,
        Column::ProcessName => &event.process_name,
        Column::Output => &event.output,
        Column::OutputFields => event.output_fields.get(),
        Column::Id | Column::Time | Column::Priority | Column::Tags => "",
    }
}

fn write_numbers(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[&StoredEvent],
    number: impl Fn(&StoredEvent) -> i64,
) -> Result<()> {
    let values: Vec<i64> = rows.iter().map(|row| number(row)).collect();
    writer
        .typed::<Int64Type>()
        .write_batch(&values, None, None)
        .map(|_| ())
}

fn write_texts(writer: &mut SerializedColumnWriter<'_>, values: &[ByteArray]) -> Result<()> {
    writer
        .typed::<ByteArrayType>()
        .write_batch(values, None, None)
        .map(|_| ())
}

/// Writes a text that belongs to each event alone, copied once into one buffer.
fn write_own(
    writer: &mut SerializedColumnWriter<'_>,
    rows: &[&StoredEvent],
    text: impl Fn(&Event) -> &str,
) -> Result<()> {
    for rows in rows.chunks(1024) {
        let mut buffer = Vec::with_capacity(rows.iter().map(|row| text(&row.event).len()).sum());
        let mut ends = Vec::with_capacity(rows.len());
        for row in rows {
            buffer.extend_from_slice(text(&row.event).as_bytes());
            ends.push(buffer.len());
        }
        let buffer = Bytes::from(buffer);
        let mut start = 0;
        let values: Vec<ByteArray> = ends
            .into_iter()
            .map(|end| {
                let value = buffer.slice(start..end).into();
                start = end;
                value
            })
            .collect();
        write_texts(writer, &values)?;
    }
    Ok(())
}

/// Texts shared by the events of one row group, recognised by address.
#[derive(Default)]
struct SharedTexts {
    texts: FxHashMap<(usize, usize), ByteArray>,
    tags: FxHashMap<(usize, usize), ByteArray>,
}

impl SharedTexts {
    fn text(&mut self, text: &str) -> ByteArray {
        self.texts
            .entry((text.as_ptr() as usize, text.len()))
            .or_insert_with(|| text.into())
            .clone()
    }

    fn tags(&mut self, event: &Event) -> ByteArray {
        let tags = &event.tags;
        self.tags
            .entry((tags.as_ptr() as usize, tags.len()))
            .or_insert_with(|| serde_json::to_vec(tags).unwrap_or_default().into())
            .clone()
    }
}

/// Name under which a segment is written before it is complete.
pub(super) fn temporary(path: &Path) -> std::path::PathBuf {
    path.with_extension("parquet.tmp")
}
