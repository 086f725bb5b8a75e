//! A segment file → its rows, column by column and only where they are asked for.
//!
//! What the footer says is kept in a compact form: sixteen bytes per column chunk, so that the
//! layout of every segment of a large store fits in memory.

use std::{
    io::Read,
    ops::Range,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use fs_err as fs;
use parquet::{
    basic::{Compression, ZstdLevel},
    column::{
        page::PageReader,
        reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader},
    },
    data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        reader::{ChunkReader, Length},
        serialized_reader::SerializedPageReader,
        statistics::Statistics,
    },
};
use qw_event::RecordKind;

use crate::embedded::{
    bloom::{BLOCK_BYTES, BLOOM_ROWS, block_contains, block_index},
    checks::{self, Checks, GroupChecks},
    codes::{Codes, Layout},
    format::{
        BLOOMS_KEY, CHECKS_KEY, COLUMNS, Column, DESCRIPTOR, FORMAT, FORMAT_KEY, FORMAT_UNCHECKED,
        KIND_KEY, malformed,
    },
    trigrams::TRIGRAM_BYTES,
};

/// An open segment file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: fs::File,
    length: u64,
    kind: RecordKind,
    groups: Box<[Group]>,
}

/// A row group of a segment.
#[derive(Debug)]
pub(super) struct Group {
    /// Rows.
    pub(super) rows: u32,
    /// Earliest time, nanoseconds.
    pub(super) min_time: i64,
    /// Latest time, nanoseconds.
    pub(super) max_time: i64,
    /// Lowest number.
    pub(super) min_id: u64,
    /// Highest number.
    pub(super) max_id: u64,
    /// Bytes before compression.
    plain_bytes: u64,
    /// Offset and blocks of the filter of every [`BLOOM_ROWS`] rows, one after the other.
    pub(super) blooms: Box<[(u64, u32)]>,
    pub(super) chunks: [Chunk; COLUMNS],
    /// Checksums, unless the segment is older than they are.
    pub(super) checks: Option<GroupChecks>,
    /// Set once the bloom filters have been found to be as written.
    blooms_checked: AtomicBool,
}

/// Place of a column of a row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) dictionary: bool,
    pub(super) compressed: bool,
}

impl SegmentFile {
    /// Opens the file at `path` and reads its footer.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut opened = Self {
            file,
            length,
            kind: RecordKind::Event,
            groups: Box::default(),
        };
        let metadata = opened.metadata()?;
        (opened.kind, opened.groups) = guarded(|| layout(&metadata, length))?;
        Ok(opened)
    }

    /// The whole footer, read anew.
    pub(super) fn metadata(&self) -> Result<ParquetMetaData> {
        guarded(|| ParquetMetaDataReader::new().parse_and_finish(self))
    }

    /// The row groups.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Bytes of all rows before compression.
    pub(super) fn plain_bytes(&self) -> u64 {
        self.groups.iter().map(|group| group.plain_bytes).sum()
    }

    /// Approximate memory this takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let blooms = self
            .groups
            .iter()
            .map(|group| size_of_val(&*group.blooms))
            .sum::<usize>();
        size_of::<Self>() + size_of_val(&*self.groups) + blooms
    }

    /// The parts of row group `group`, in rows, that have a filter of their own.
    pub(super) fn parts(&self, group: usize) -> impl Iterator<Item = (usize, Range<u32>)> {
        let group = &self.groups[group];
        let part = BLOOM_ROWS as u32;
        (0..group.blooms.len())
            .zip((0..group.rows).step_by(BLOOM_ROWS))
            .map(move |(index, start)| (index, start..start.saturating_add(part).min(group.rows)))
    }

    /// False when no row of part `part` of row group `group` has been given `hash`; reads 32 bytes.
    pub(super) fn may_contain(&self, group: usize, part: usize, hash: u64) -> Result<bool> {
        let (offset, blocks) = self.groups[group].blooms[part];
        if blocks == 0 {
            return Ok(true);
        }
        if !self.groups[group].blooms_checked.load(Relaxed) {
            self.blooms(group)?;
        }
        let mut block = [0; BLOCK_BYTES];
        let index = block_index(hash, blocks as usize);
        read_exact_at(
            &self.file,
            &mut block,
            offset + (index * BLOCK_BYTES) as u64,
        )?;
        Ok(block_contains(&block, hash))
    }

    /// The bloom filters of row group `group`, checked.
    pub(super) fn blooms(&self, group: usize) -> Result<Vec<Vec<u8>>> {
        let group = &self.groups[group];
        let read = |(offset, blocks): &(u64, u32)| {
            let mut bytes = vec![0; *blocks as usize * BLOCK_BYTES];
            read_exact_at(&self.file, &mut bytes, *offset)?;
            Ok(bytes)
        };
        let blooms: Vec<Vec<u8>> = group.blooms.iter().map(read).collect::<Result<_>>()?;
        if let Some(expected) = &group.checks {
            check(&blooms.concat(), expected.blooms, "the bloom filters")?;
        }
        group.blooms_checked.store(true, Relaxed);
        Ok(blooms)
    }

    /// The trigrams of row group `group`, checked; `None` when it has none.
    pub(super) fn trigrams(&self, group: usize) -> Result<Option<Bytes>> {
        let Some((offset, checksum)) = self.groups[group].checks.and_then(|checks| checks.trigrams)
        else {
            return Ok(None);
        };
        let bytes = self.get_bytes(offset, TRIGRAM_BYTES)?;
        check(&bytes, checksum, "the trigrams")?;
        Ok(Some(bytes))
    }

    /// The bytes of a column of row group `group`, checked.
    pub(super) fn chunk(&self, group: usize, column: Column) -> Result<ChunkBytes> {
        let group = &self.groups[group];
        let Chunk { offset, length, .. } = group.chunks[column.index()];
        let bytes = self.get_bytes(offset, length as usize)?;
        if let Some(expected) = &group.checks {
            check(&bytes, expected.columns[column.index()], column.name())?;
        }
        Ok(ChunkBytes { offset, bytes })
    }

    /// Reader of one row group.
    pub(super) fn group(self: &Arc<Self>, group: usize) -> GroupReader {
        GroupReader {
            file: Arc::clone(self),
            group,
            chunks: [const { None }; COLUMNS],
            codes: [const { None }; COLUMNS],
        }
    }
}

fn check(bytes: &[u8], expected: u32, what: &str) -> Result<()> {
    if checks::of(bytes) == expected {
        Ok(())
    } else {
        Err(ParquetError::General(format!(
            "{what} of a row group differ from what was written (checksum)"
        )))
    }
}

impl Length for SegmentFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for SegmentFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let file = self.file.file().try_clone()?;
        Ok(Box::new(std::io::BufReader::with_capacity(
            64 * 1024,
            FileFrom { file, at: start },
        )))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.length)
        {
            return Err(malformed("the footer points beyond the end of the file"));
        }
        let mut bytes = vec![0; length];
        read_exact_at(&self.file, &mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// Reads a file from a place on without moving anybody else's place in it.
struct FileFrom {
    file: std::fs::File,
    at: u64,
}

impl Read for FileFrom {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = FileExt::read_at(&self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Runs `read`; a panic of the Parquet reader over a damaged file becomes an error.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic leaves half done is thrown away with the error.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(malformed(
            "the file is damaged in a way the reader cannot bear",
        ))
    })
}

/// Reads at a place, which any number of threads may do at once.
fn read_exact_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    FileExt::read_exact_at(file.file(), buffer, offset)
}

fn layout(metadata: &ParquetMetaData, length: u64) -> Result<(RecordKind, Box<[Group]>)> {
    let file = metadata.file_metadata();
    let value = |key: &str| {
        file.key_value_metadata()?
            .iter()
            .find(|entry| entry.key == key)
            .and_then(|entry| entry.value.as_deref())
    };
    let checks = match value(FORMAT_KEY) {
        Some(FORMAT_UNCHECKED) => None,
        Some(FORMAT) => Some(
            value(CHECKS_KEY)
                .and_then(|text| serde_json::from_str::<Checks>(text).ok())
                .filter(|checks| checks.groups.len() == metadata.num_row_groups())
                .ok_or_else(|| malformed("the checksums are missing"))?,
        ),
        _ => {
            return Err(malformed(
                "not a segment of the version that this program reads",
            ));
        }
    };
    let kind = match value(KIND_KEY) {
        None => RecordKind::Event,
        Some(name) => RecordKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| malformed("its records are of an unknown kind"))?,
    };
    let blooms: Vec<Vec<(u64, u32)>> = value(BLOOMS_KEY)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| malformed("the places of the bloom filters are missing"))?;
    if blooms.len() != metadata.num_row_groups() {
        return Err(malformed("there are not bloom filters for each row group"));
    }
    let schema = file.schema_descr();
    let matches = schema.num_columns() == COLUMNS
        && Column::ALL.iter().all(|column| {
            let (ours, theirs) = (
                DESCRIPTOR.column(column.index()),
                schema.column(column.index()),
            );
            ours.name() == theirs.name() && ours.physical_type() == theirs.physical_type()
        });
    if !matches {
        return Err(malformed("the columns are not those of a segment"));
    }
    let groups: Box<[Group]> = metadata
        .row_groups()
        .iter()
        .zip(blooms)
        .enumerate()
        .map(|(index, (group, blooms))| {
            let checks = checks.as_ref().map(|checks| checks.groups[index]);
            group_layout(group, blooms.into(), checks, length)
        })
        .collect::<Result<_>>()?;
    if checks.is_some_and(|checks| checks.layout != checks::of_layout(&groups, kind)) {
        return Err(malformed(
            "the footer differs from what was written (checksum)",
        ));
    }
    Ok((kind, groups))
}

/// The layout of a row group that lies, filters included, before `length`.
pub(super) fn group_layout(
    group: &RowGroupMetaData,
    blooms: Box<[(u64, u32)]>,
    checks: Option<GroupChecks>,
    length: u64,
) -> Result<Group> {
    let (min_id, max_id) = bounds(group.column(Column::Id.index()))?;
    let (min_time, max_time) = bounds(group.column(Column::Time.index()))?;
    let rows = u32::try_from(group.num_rows())?;
    let fits = |(offset, blocks): &(u64, u32)| {
        offset
            .checked_add(u64::from(*blocks) * BLOCK_BYTES as u64)
            .is_some_and(|end| end <= length)
    };
    if !blooms.iter().all(fits) || blooms.len() != (rows as usize).div_ceil(BLOOM_ROWS) {
        return Err(malformed("a bloom filter has an impossible place"));
    }
    let mut chunks = [Chunk {
        offset: 0,
        length: 0,
        dictionary: false,
        compressed: false,
    }; COLUMNS];
    for (chunk, column) in chunks.iter_mut().zip(group.columns()) {
        let (offset, bytes) = column.byte_range();
        if offset.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(malformed("the footer points beyond the end of the file"));
        }
        *chunk = Chunk {
            offset,
            length: u32::try_from(bytes)?,
            dictionary: column.dictionary_page_offset().is_some(),
            compressed: column.compression() != Compression::UNCOMPRESSED,
        };
    }
    Ok(Group {
        rows,
        min_time,
        max_time,
        min_id: min_id as u64,
        max_id: max_id as u64,
        plain_bytes: u64::try_from(group.total_byte_size())?,
        blooms,
        chunks,
        checks,
        blooms_checked: AtomicBool::new(false),
    })
}

fn bounds(column: &ColumnChunkMetaData) -> Result<(i64, i64)> {
    match column.statistics() {
        Some(Statistics::Int64(statistics)) => statistics
            .min_opt()
            .copied()
            .zip(statistics.max_opt().copied()),
        _ => None,
    }
    .ok_or_else(|| malformed("a row group does not state its bounds"))
}

/// Reads columns of one row group; keeps the chunks it has read until it is dropped.
pub(super) struct GroupReader {
    file: Arc<SegmentFile>,
    group: usize,
    chunks: [Option<Arc<ChunkBytes>>; COLUMNS],
    codes: [Option<Arc<Codes>>; COLUMNS],
}

/// Which rows of a row group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// All of them.
    All,
    /// Those with these indices, ascending.
    Some(&'a [u32]),
}

impl Rows<'_> {
    fn count(self, all: u32) -> usize {
        match self {
            Self::All => all as usize,
            Self::Some(rows) => rows.len(),
        }
    }
}

impl GroupReader {
    /// What the records are.
    pub(super) fn kind(&self) -> RecordKind {
        self.file.kind
    }

    /// What the footer says about the row group.
    pub(super) fn layout(&self) -> &Group {
        &self.file.groups[self.group]
    }

    /// Values of [`Column::Id`] or [`Column::Time`].
    pub(super) fn numbers(&mut self, column: Column, rows: Rows<'_>) -> Result<Vec<i64>> {
        self.read::<Int64Type>(column, rows)
    }

    /// Values of [`Column::Priority`].
    pub(super) fn priorities(&mut self, rows: Rows<'_>) -> Result<Vec<i32>> {
        self.read::<Int32Type>(Column::Priority, rows)
    }

    /// Values of a text column. Equal values of a dictionary share their bytes.
    pub(super) fn texts(&mut self, column: Column, rows: Rows<'_>) -> Result<Vec<ByteArray>> {
        self.read::<ByteArrayType>(column, rows)
    }

    /// A text column or [`Column::Priority`] as indices into its values, kept until the reader goes.
    pub(super) fn codes(&mut self, column: Column) -> Result<Arc<Codes>> {
        if let Some(codes) = &self.codes[column.index()] {
            return Ok(Arc::clone(codes));
        }
        let rows = self.layout().rows as usize;
        let layout = match column {
            Column::Priority => Layout::Numbers,
            _ => Layout::Texts,
        };
        let mut read = None;
        if self.layout().chunks[column.index()].dictionary {
            read = guarded(|| Codes::read(&mut *self.pages(column)?, layout, rows))?;
        }
        let codes = match (read, layout) {
            (Some(codes), _) => codes,
            (None, Layout::Texts) => Codes::intern(self.texts(column, Rows::All)?),
            (None, Layout::Numbers) => {
                let bytes = |number: i32| number.to_le_bytes().to_vec().into();
                let numbers = self.priorities(Rows::All)?;
                Codes::intern(numbers.into_iter().map(bytes).collect())
            }
        };
        let codes = Arc::new(codes);
        self.codes[column.index()] = Some(Arc::clone(&codes));
        Ok(codes)
    }

    fn read<T: DataType>(&mut self, column: Column, rows: Rows<'_>) -> Result<Vec<T::T>> {
        guarded(|| self.decode::<T>(column, rows))
    }

    fn decode<T: DataType>(&mut self, column: Column, rows: Rows<'_>) -> Result<Vec<T::T>> {
        let total = self.layout().rows;
        let count = rows.count(total);
        let mut values = Vec::with_capacity(count);
        let mut reader = self.column::<T>(column)?;
        match rows {
            Rows::All => drop(reader.read_records(count, None, None, &mut values)?),
            Rows::Some(rows) => {
                let mut at = 0;
                for run in rows.chunk_by(|left, right| left + 1 == *right) {
                    let (start, length) = (run[0] as usize, run.len());
                    reader.skip_records(start - at)?;
                    reader.read_records(length, None, None, &mut values)?;
                    at = start + length;
                }
            }
        }
        if values.len() != count {
            return Err(malformed("a column has fewer rows than its row group"));
        }
        Ok(values)
    }

    fn column<T: DataType>(&mut self, column: Column) -> Result<ColumnReaderImpl<T>> {
        let pages = self.pages(column)?;
        Ok(get_typed_column_reader(get_column_reader(
            DESCRIPTOR.column(column.index()),
            pages,
        )))
    }

    fn pages(&mut self, column: Column) -> Result<Box<dyn PageReader>> {
        let rows = self.layout().rows;
        let place = self.layout().chunks[column.index()];
        let chunk = match &mut self.chunks[column.index()] {
            Some(chunk) => Arc::clone(chunk),
            empty => {
                let chunk = self.file.chunk(self.group, column)?;
                Arc::clone(empty.insert(Arc::new(chunk)))
            }
        };
        let descriptor = DESCRIPTOR.column(column.index());
        let offset = place.offset as i64;
        let metadata = ColumnChunkMetaData::builder(descriptor)
            .set_compression(if place.compressed {
                Compression::ZSTD(ZstdLevel::default())
            } else {
                Compression::UNCOMPRESSED
            })
            .set_num_values(i64::from(rows))
            .set_total_compressed_size(i64::from(place.length))
            .set_data_page_offset(offset)
            .set_dictionary_page_offset(place.dictionary.then_some(offset))
            .build()?;
        Ok(Box::new(SerializedPageReader::new(
            chunk,
            &metadata,
            rows as usize,
            None,
        )?))
    }
}

/// One column chunk in memory, addressed as in the file.
pub(super) struct ChunkBytes {
    offset: u64,
    pub(super) bytes: Bytes,
}

impl ChunkBytes {
    fn from(&self, start: u64) -> Result<Bytes> {
        start
            .checked_sub(self.offset)
            .and_then(|start| usize::try_from(start).ok())
            .filter(|start| *start <= self.bytes.len())
            .map(|start| self.bytes.slice(start..))
            .ok_or_else(|| ParquetError::EOF("a page lies outside its column".to_owned()))
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl ChunkReader for ChunkBytes {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(bytes::Buf::reader(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF(
                "a page is longer than its column".to_owned(),
            ));
        }
        Ok(bytes.slice(..length))
    }
}
