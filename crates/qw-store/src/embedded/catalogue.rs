//! The SQLite file: schema, connections, and the statements of everything but the roll-ups.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use qw_event::{Position, RecordKind, SourceId};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, TransactionBehavior, params, types::Value,
};

use crate::{KeyRange, SourceCursor, StateChange, StoreError, embedded::alerts};

/// Epochs remembered per source; older ones no longer recognise a repeated batch.
const EPOCHS_PER_SOURCE: i64 = 256;
const READERS: usize = 4;
/// SQLite's way to the file: locked for this process alone, with the index of the write-ahead log in
/// plain memory. A mapped file would end the process (SIGBUS) when its disk becomes read-only.
const VFS: &str = "unix-excl";
/// Marks the file as ours (`PRAGMA application_id`): "Qway".
const APPLICATION: i32 = 0x5177_6179;

/// The versions of the schema: `MIGRATIONS[n]` turns version `n` into `n + 1`.
const MIGRATIONS: [&str; 5] = [
    "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE source_cursor (
    source TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    position TEXT
) WITHOUT ROWID;
CREATE TABLE source_epoch (
    source TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    started_id INTEGER NOT NULL,
    PRIMARY KEY (source, epoch)
) WITHOUT ROWID;
CREATE TABLE hot_batch (
    first_id INTEGER PRIMARY KEY,
    last_id INTEGER NOT NULL,
    min_time INTEGER NOT NULL,
    max_time INTEGER NOT NULL,
    count INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE segment (
    file INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    min_time INTEGER NOT NULL,
    max_time INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    row_groups INTEGER NOT NULL,
    priorities INTEGER NOT NULL,
    categories INTEGER NOT NULL,
    containers BLOB,
    rules BLOB
);
CREATE TABLE container (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    first_event INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    UNIQUE (id, name)
);
CREATE TABLE rule (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    category INTEGER NOT NULL,
    UNIQUE (name, category)
);
CREATE TABLE total_minute (
    minute INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    category INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, priority, category)
) WITHOUT ROWID;
CREATE TABLE rollup_hour (
    hour INTEGER NOT NULL,
    container INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, container, rule, priority)
) WITHOUT ROWID;
CREATE TABLE rollup_minute (
    hour INTEGER NOT NULL,
    container INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, container, rule, priority, minute)
) WITHOUT ROWID;
CREATE TABLE state (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;
",
    alerts::SCHEMA,
    "
ALTER TABLE hot_batch ADD COLUMN age_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN age_time INTEGER NOT NULL DEFAULT 0;
UPDATE hot_batch SET age_time = max_time;
UPDATE segment SET age_time = max_time;
",
    alerts::CONTAINERS_SCHEMA,
    // The extremes of time stand for a container that has no events, or no log.
    "
ALTER TABLE hot_batch ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE container ADD COLUMN first_log INTEGER NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE container ADD COLUMN last_log INTEGER NOT NULL DEFAULT -9223372036854775808;
CREATE TABLE log_total_minute (
    minute INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    category INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, priority, category)
) WITHOUT ROWID;
CREATE TABLE log_rollup_hour (
    hour INTEGER NOT NULL,
    container INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, container, rule, priority)
) WITHOUT ROWID;
CREATE TABLE log_rollup_minute (
    hour INTEGER NOT NULL,
    container INTEGER NOT NULL,
    rule INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, container, rule, priority, minute)
) WITHOUT ROWID;
",
];

/// Why the catalogue could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatalogueError {
    #[error("it was written by a newer version of this program (schema {found}, known {known})")]
    Newer { found: i64, known: usize },
    #[error("it is some other program's database")]
    Foreign,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens the connection that writes, creating and migrating the file as needed.
pub(super) fn open_writer(path: &Path) -> Result<Connection, CatalogueError> {
    let mut connection = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), VFS)?;
    configure(&connection, 4096)?;
    // A foreign database is told apart before anything in it is changed.
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Err(CatalogueError::Foreign);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    migrate(&mut connection)?;
    Ok(connection)
}

fn configure(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), CatalogueError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= MIGRATIONS.len())
        .ok_or(CatalogueError::Newer {
            found,
            known: MIGRATIONS.len(),
        })?;
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Connections that only read, opened as they are needed and kept.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs `read` in one read transaction, so that all it reads is of one moment.
    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = || {
            let idle = self.idle.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.open()?,
            };
            let transaction = connection.transaction()?;
            let value = read(&transaction)?;
            transaction.commit()?;
            let mut idle = self.idle.lock();
            if idle.len() < READERS {
                idle.push(connection);
            }
            Ok(value)
        };
        run().map_err(|source| StoreError::Catalogue { doing, source })
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(&self.path, flags, VFS)?;
        configure(&connection, 2048)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

/// One row of `hot_batch`.
#[derive(Debug)]
pub(super) struct HotRow {
    pub(super) kind: RecordKind,
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) age_time: i64,
    pub(super) count: u64,
    pub(super) payload: Vec<u8>,
}

pub(super) fn insert_hot(connection: &Connection, row: &HotRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO hot_batch (first_id, last_id, min_time, max_time, age_time, count, payload,
                kind)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.first_id as i64,
            row.last_id as i64,
            row.min_time,
            row.max_time,
            row.age_time,
            row.count as i64,
            row.payload,
            row.kind as u8,
        ])?;
    Ok(())
}

pub(super) fn hot_rows(connection: &Connection) -> rusqlite::Result<Vec<HotRow>> {
    connection
        .prepare(
            "SELECT first_id, last_id, min_time, max_time, count, payload, age_time, kind
             FROM hot_batch ORDER BY first_id",
        )?
        .query_map([], |row| {
            Ok(HotRow {
                first_id: row.get::<_, i64>(0)? as u64,
                last_id: row.get::<_, i64>(1)? as u64,
                min_time: row.get(2)?,
                max_time: row.get(3)?,
                count: row.get::<_, i64>(4)? as u64,
                payload: row.get(5)?,
                age_time: row.get(6)?,
                kind: kind(row.get(7)?),
            })
        })?
        .collect()
}

/// Deletes the rows of `kind` up to the record numbered `last_id`.
pub(super) fn delete_hot_through(
    connection: &Connection,
    kind: RecordKind,
    last_id: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM hot_batch WHERE first_id <= ? AND kind = ?")?
        .execute(params![last_id as i64, kind as u8])?;
    Ok(())
}

fn kind(number: u8) -> RecordKind {
    RecordKind::from_number(number).unwrap_or_default()
}

/// One row of `segment`.
#[derive(Debug, Clone)]
pub(super) struct SegmentRow {
    /// Number in the file's name.
    pub(super) file: u64,
    /// What its records are.
    pub(super) kind: RecordKind,
    pub(super) first_id: u64,
    pub(super) last_id: u64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// The time that retention goes by; see [`HotChunk::age_time`].
    ///
    /// [`HotChunk::age_time`]: super::hot::HotChunk::age_time
    pub(super) age_time: i64,
    pub(super) count: u64,
    /// Length of the file.
    pub(super) bytes: u64,
    pub(super) row_groups: u32,
    /// Bit `n` is set when an event has priority number `n`.
    pub(super) priorities: u8,
    /// Bit `n` is set when an event has category number `n`.
    pub(super) categories: u8,
    /// Numbers of the containers, ascending; `None` when there are too many to list.
    pub(super) containers: Option<Box<[u32]>>,
    /// Numbers of the rules, ascending; `None` when there are too many to list.
    pub(super) rules: Option<Box<[u32]>>,
}

pub(super) fn insert_segment(connection: &Connection, row: &SegmentRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO segment (file, first_id, last_id, min_time, max_time, count, bytes,
                row_groups, priorities, categories, containers, rules, age_time, kind)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            row.file as i64,
            row.first_id as i64,
            row.last_id as i64,
            row.min_time,
            row.max_time,
            row.count as i64,
            row.bytes as i64,
            row.row_groups,
            row.priorities,
            row.categories,
            row.containers.as_deref().map(numbers_to_bytes),
            row.rules.as_deref().map(numbers_to_bytes),
            row.age_time,
            row.kind as u8,
        ])?;
    Ok(())
}

pub(super) fn segments(connection: &Connection) -> rusqlite::Result<Vec<SegmentRow>> {
    connection
        .prepare(
            "SELECT file, first_id, last_id, min_time, max_time, count, bytes, row_groups,
                priorities, categories, containers, rules, age_time, kind
             FROM segment ORDER BY file",
        )?
        .query_map([], |row| {
            Ok(SegmentRow {
                file: row.get::<_, i64>(0)? as u64,
                first_id: row.get::<_, i64>(1)? as u64,
                last_id: row.get::<_, i64>(2)? as u64,
                min_time: row.get(3)?,
                max_time: row.get(4)?,
                count: row.get::<_, i64>(5)? as u64,
                bytes: row.get::<_, i64>(6)? as u64,
                row_groups: row.get(7)?,
                priorities: row.get(8)?,
                categories: row.get(9)?,
                containers: row
                    .get::<_, Option<Vec<u8>>>(10)?
                    .map(|bytes| bytes_to_numbers(&bytes)),
                rules: row
                    .get::<_, Option<Vec<u8>>>(11)?
                    .map(|bytes| bytes_to_numbers(&bytes)),
                age_time: row.get(12)?,
                kind: kind(row.get(13)?),
            })
        })?
        .collect()
}

pub(super) fn delete_segment(connection: &Connection, file: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM segment WHERE file = ?")?
        .execute([file as i64])?;
    Ok(())
}

fn numbers_to_bytes(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn bytes_to_numbers(bytes: &[u8]) -> Box<[u32]> {
    bytes
        .chunks_exact(4)
        .filter_map(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)))
        .collect()
}

/// The number kept under `key`; zero when there is none.
pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<u64> {
    let value: Option<i64> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0) as u64)
}

pub(super) fn set_meta(connection: &Connection, key: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute(params![key, value as i64])?;
    Ok(())
}

/// The highest sequence stored of an epoch.
pub(super) fn highest_sequence(
    connection: &Connection,
    source: &SourceId,
    epoch: u64,
) -> rusqlite::Result<Option<u64>> {
    let sequence: Option<i64> = connection
        .prepare_cached("SELECT sequence FROM source_epoch WHERE source = ? AND epoch = ?")?
        .query_row(params![source.as_str(), epoch as i64], |row| row.get(0))
        .optional()?;
    Ok(sequence.map(|sequence| sequence as u64))
}

/// Moves a source on; `last_id` orders epochs by when they began.
pub(super) fn set_cursor(
    connection: &Connection,
    source: &SourceId,
    cursor: &SourceCursor,
    new_epoch: bool,
    last_id: u64,
) -> rusqlite::Result<()> {
    let (epoch, sequence) = (cursor.epoch as i64, cursor.sequence as i64);
    connection
        .prepare_cached(
            "INSERT INTO source_cursor (source, epoch, sequence, position) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence,
                position = coalesce(excluded.position, position)",
        )?
        .execute(params![
            source.as_str(),
            epoch,
            sequence,
            cursor.position.as_ref().map(|position| position.0.as_str())
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO source_epoch (source, epoch, sequence, started_id) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET sequence = excluded.sequence",
        )?
        .execute(params![source.as_str(), epoch, sequence, last_id as i64])?;
    if new_epoch {
        connection
            .prepare_cached(
                "DELETE FROM source_epoch WHERE source = ?1 AND epoch IN (
                    SELECT epoch FROM source_epoch WHERE source = ?1 AND epoch <> ?2
                    ORDER BY started_id DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![source.as_str(), epoch, EPOCHS_PER_SOURCE - 1])?;
    }
    Ok(())
}

pub(super) fn cursor(
    connection: &Connection,
    source: &SourceId,
) -> rusqlite::Result<Option<SourceCursor>> {
    connection
        .prepare_cached("SELECT epoch, sequence, position FROM source_cursor WHERE source = ?")?
        .query_row([source.as_str()], |row| {
            Ok(SourceCursor {
                epoch: row.get::<_, i64>(0)? as u64,
                sequence: row.get::<_, i64>(1)? as u64,
                position: row.get::<_, Option<String>>(2)?.map(Position),
            })
        })
        .optional()
}

pub(super) fn state(
    connection: &Connection,
    collection: &str,
    key: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM state WHERE collection = ? AND key = ?")?
        .query_row([collection, key], |row| row.get(0))
        .optional()
}

pub(super) fn states(
    connection: &Connection,
    collection: &str,
) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare_cached("SELECT key, value FROM state WHERE collection = ? ORDER BY key")?
        .query_map([collection], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn states_between(
    connection: &Connection,
    collection: &str,
    between: KeyRange<'_>,
    limit: usize,
) -> rusqlite::Result<Vec<(String, String)>> {
    // Texts compare as less than blobs, so that without an upper end every key is below.
    let sql = format!(
        "SELECT key, value FROM state WHERE collection = ?1 AND key {} ?2 AND key < ?3
         ORDER BY key {} LIMIT ?4",
        if between.after.is_some() { ">" } else { ">=" },
        if between.descending { "DESC" } else { "ASC" },
    );
    let before = match between.before {
        Some(before) => Value::Text(before.to_owned()),
        None => Value::Blob(Vec::new()),
    };
    let after = between.after.unwrap_or("");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&sql)?
        .query_map(params![collection, after, before, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

pub(super) fn change_state(
    connection: &Connection,
    change: &StateChange<'_>,
) -> rusqlite::Result<()> {
    match *change {
        StateChange::Put {
            collection,
            key,
            value,
        } => connection
            .prepare_cached(
                "INSERT INTO state (collection, key, value) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute([collection, key, value])?,
        StateChange::Delete { collection, key } => connection
            .prepare_cached("DELETE FROM state WHERE collection = ? AND key = ?")?
            .execute([collection, key])?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_before_know_their_newest_container_and_that_there_may_be_others() {
        let connection = Connection::open_in_memory().unwrap();
        let (before, after) = MIGRATIONS.split_at(3);
        for migration in before {
            connection.execute_batch(migration).unwrap();
        }
        connection
            .execute_batch(
                "INSERT INTO alert VALUES
                    (7, 0, 4, 'falco', 'A', 'w', 'id-1', 'web-1', 'shop/web', 'shop', '', 0, 't',
                     1, 2, 5, 1, '{}');
                 INSERT INTO alert_minute VALUES (60, 7, 5);",
            )
            .unwrap();
        for migration in after {
            connection.execute_batch(migration).unwrap();
        }
        let text = |sql: &str| -> String {
            let row = connection.query_row(sql, [], |row| row.get(0));
            row.unwrap()
        };
        assert_eq!(
            text("SELECT id || ' ' || name || ' ' || namespace FROM alert_container"),
            "id-1 web-1 shop"
        );
        assert_eq!(
            text("SELECT minute || ' ' || container || ' ' || count FROM alert_minute"),
            "60 id-1 5"
        );
        assert_eq!(
            text("SELECT more_containers || audience_namespace || audience_labels FROM alert"),
            "1[]"
        );
    }
}
