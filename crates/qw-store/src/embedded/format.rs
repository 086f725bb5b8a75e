//! What a segment file looks like: its columns, their encodings, its own metadata.
//!
//! A segment is a plain Parquet file that any Parquet reader opens; the bloom filters lie between
//! row groups where readers that do not know them never look. `docs/design/store.md` specifies it.

use std::sync::{Arc, LazyLock};

use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    errors::{ParquetError, Result},
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, SchemaDescPtr, SchemaDescriptor, TypePtr},
    },
};

/// Key of the version of the layout, in the file's key-value metadata.
pub(super) const FORMAT_KEY: &str = "quaywatch.format";
/// The version written today.
pub(super) const FORMAT: &str = "2";
/// The version before, without checksums and trigrams; still read.
pub(super) const FORMAT_UNCHECKED: &str = "1";
/// Key of the places of the bloom filters: JSON, per row group a list of `[offset, blocks]`, one for
/// every 1,024 rows.
pub(super) const BLOOMS_KEY: &str = "quaywatch.blooms";
/// Key of the checksums: JSON, see [`Checks`].
///
/// [`Checks`]: super::checks::Checks
pub(super) const CHECKS_KEY: &str = "quaywatch.checks";

/// Key of the kind of the records when they are lines of logs; files of events do not have it.
pub(super) const KIND_KEY: &str = "quaywatch.kind";

/// Number of columns.
pub(super) const COLUMNS: usize = Column::ALL.len();

/// A column of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Column {
    Id,
    Time,
    Priority,
    Category,
    Source,
    Rule,
    Hostname,
    ContainerId,
    ContainerName,
    Image,
    ImageRepository,
    ImageTag,
    ImageDigest,
    ComposeProject,
    ComposeService,
    K8sNamespace,
    K8sPod,
    ProcessName,
    Tags,
    Output,
    OutputFields,
}

impl Column {
    /// All columns in the order of the file.
    pub(super) const ALL: [Self; 21] = [
        Self::Id,
        Self::Time,
        Self::Priority,
        Self::Category,
        Self::Source,
        Self::Rule,
        Self::Hostname,
        Self::ContainerId,
        Self::ContainerName,
        Self::Image,
        Self::ImageRepository,
        Self::ImageTag,
        Self::ImageDigest,
        Self::ComposeProject,
        Self::ComposeService,
        Self::K8sNamespace,
        Self::K8sPod,
        Self::ProcessName,
        Self::Tags,
        Self::Output,
        Self::OutputFields,
    ];

    /// Name in the file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Time => "time",
            Self::Priority => "priority",
            Self::Category => "category",
            Self::Source => "source",
            Self::Rule => "rule",
            Self::Hostname => "hostname",
            Self::ContainerId => "container_id",
            Self::ContainerName => "container_name",
            Self::Image => "container_image",
            Self::ImageRepository => "container_image_repository",
            Self::ImageTag => "container_image_tag",
            Self::ImageDigest => "container_image_digest",
            Self::ComposeProject => "compose_project",
            Self::ComposeService => "compose_service",
            Self::K8sNamespace => "k8s_namespace",
            Self::K8sPod => "k8s_pod",
            Self::ProcessName => "process_name",
            Self::Tags => "tags",
            Self::Output => "output",
            Self::OutputFields => "output_fields",
        }
    }

    const fn declaration(self) -> &'static str {
        match self {
            Self::Id => "int64 id (INTEGER(64,false))",
            Self::Time => "int64 time (TIMESTAMP(NANOS,true))",
            Self::Priority => "int32 priority (INTEGER(8,false))",
            Self::OutputFields => "byte_array output_fields (JSON)",
            Self::Tags => "byte_array tags (JSON)",
            _ => "",
        }
    }

    /// Place in the file and in arrays over all columns.
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// A set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ColumnSet(u32);

impl ColumnSet {
    /// Every column.
    pub(super) const ALL: Self = Self((1 << COLUMNS) - 1);

    /// The columns given.
    pub(super) fn of(columns: &[Column]) -> Self {
        columns
            .iter()
            .fold(Self::default(), |set, column| set.with(*column))
    }

    /// This set and `column`.
    #[must_use]
    pub(super) const fn with(self, column: Column) -> Self {
        Self(self.0 | (1 << column.index()))
    }

    /// What is in this set or in `other`.
    #[must_use]
    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True when there is nothing in the set.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when `column` is in the set.
    pub(super) const fn contains(self, column: Column) -> bool {
        self.0 & (1 << column.index()) != 0
    }
}

/// The schema of the file.
pub(super) static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| {
    let mut text = "message event {\n".to_owned();
    for column in Column::ALL {
        text.push_str("  required ");
        match column.declaration() {
            "" => {
                text.push_str("byte_array ");
                text.push_str(column.name());
                text.push_str(" (STRING)");
            }
            declaration => text.push_str(declaration),
        }
        text.push_str(";\n");
    }
    text.push('}');
    Arc::new(parse_message_type(&text).expect("the schema is a constant"))
});

/// The same with what readers need.
pub(super) static DESCRIPTOR: LazyLock<SchemaDescPtr> =
    LazyLock::new(|| Arc::new(SchemaDescriptor::new(SCHEMA.clone())));

/// How to write a segment; `level` is zstd's for the wide columns.
pub(super) fn properties(level: i32) -> Result<WriterProperties> {
    let wide = Compression::ZSTD(ZstdLevel::try_new(level)?);
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("quaywatch {}", env!("CARGO_PKG_VERSION")))
        .set_compression(wide)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_write_batch_size(256)
        .set_data_page_size_limit(256 * 1024)
        .set_data_page_row_count_limit(1024);
    for column in Column::ALL {
        let path = ColumnPath::from(column.name());
        match column {
            Column::Id | Column::Time => {
                builder = builder
                    .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
                    .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk)
                    .set_column_data_page_row_count_limit(path, usize::MAX);
            }
            Column::Output | Column::OutputFields => {}
            // Dictionary and bit packing leave zstd little to gain and it would cost every reader.
            _ => {
                builder = builder
                    .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
                    .set_column_dictionary_enabled(path.clone(), true)
                    .set_column_data_page_row_count_limit(path, usize::MAX);
            }
        }
    }
    Ok(builder.build())
}

/// The error for something in a file that no writer of ours puts there.
pub(super) fn malformed(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_names_every_column_in_order() {
        assert_eq!(DESCRIPTOR.num_columns(), COLUMNS);
        for column in Column::ALL {
            assert_eq!(DESCRIPTOR.column(column.index()).name(), column.name());
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = ColumnSet::of(&[Column::Time, Column::OutputFields]);
        assert!(set.contains(Column::Time) && set.contains(Column::OutputFields));
        assert!(!set.contains(Column::Id));
        assert!(
            Column::ALL
                .into_iter()
                .all(|column| ColumnSet::ALL.contains(column))
        );
    }
}
