//! Alerts and their history, in tables of the catalogue.

use std::{collections::BTreeMap, time::Duration};

use qw_event::{Alert, AlertChange, AlertId, AlertState, Priority, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};

use crate::{
    Accompaniment, AlertAccess, AlertFilter, AlertGrouping, AlertPage, AlertQuery, AlertSort,
    AlertStore, AlertTop, AlertTrendPoint, AlertsWritten, QueryError, StoreError, TimeRange,
    embedded::{Embedded, catalogue, change_states},
};

/// Schema of alerts: third part of the catalogue.
pub(super) const SCHEMA: &str = "
CREATE TABLE alert (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    source TEXT NOT NULL,
    rule TEXT NOT NULL,
    workload TEXT NOT NULL,
    container_id TEXT NOT NULL,
    container_name TEXT NOT NULL,
    image TEXT NOT NULL,
    namespace TEXT NOT NULL,
    assignee TEXT NOT NULL,
    silenced INTEGER NOT NULL,
    title TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX alert_last_seen ON alert (last_seen, id);
CREATE INDEX alert_state ON alert (state, changed);
CREATE INDEX alert_container ON alert (container_id, last_seen);
CREATE TABLE alert_minute (
    minute INTEGER NOT NULL,
    alert INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, alert)
) WITHOUT ROWID;
CREATE INDEX alert_minute_alert ON alert_minute (alert);
CREATE TABLE alert_change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    alert INTEGER NOT NULL,
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX alert_change_alert ON alert_change (alert, sequence);
";

/// Containers of alerts: a later part. Of alerts written before, only the newest is known; the default
/// of `more_containers` says that there may be others.
pub(super) const CONTAINERS_SCHEMA: &str = "
ALTER TABLE alert ADD COLUMN more_containers INTEGER NOT NULL DEFAULT 1;
ALTER TABLE alert ADD COLUMN audience_namespace TEXT NOT NULL DEFAULT '';
ALTER TABLE alert ADD COLUMN audience_labels TEXT NOT NULL DEFAULT '[]';
DROP INDEX alert_container;
CREATE TABLE alert_container (
    alert INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    repository TEXT NOT NULL,
    namespace TEXT NOT NULL,
    PRIMARY KEY (alert, id)
) WITHOUT ROWID;
CREATE INDEX alert_container_id ON alert_container (id);
CREATE INDEX alert_container_name ON alert_container (name);
INSERT INTO alert_container
    SELECT id, container_id, container_name, image, image, namespace FROM alert;
ALTER TABLE alert_minute RENAME TO old_minute;
CREATE TABLE alert_minute (
    minute INTEGER NOT NULL,
    alert INTEGER NOT NULL,
    container TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, alert, container)
) WITHOUT ROWID;
INSERT INTO alert_minute
    SELECT minute, alert, container_id, old_minute.count
    FROM old_minute JOIN alert ON alert.id = old_minute.alert;
DROP TABLE old_minute;
CREATE INDEX alert_minute_alert ON alert_minute (alert);
";

const LAST_ALERT: &str = "last_alert_id";
const MAX_PAGE: usize = 1_000;
/// Rules counted for a page.
const TOP_RULES: usize = 10;
const MINUTE_NANOS: i64 = 60_000_000_000;

/// Writes alerts and history within a transaction; returns the changes with their numbers.
pub(super) fn write(
    connection: &Connection,
    written: &AlertsWritten,
) -> rusqlite::Result<Vec<AlertChange>> {
    let mut last = 0;
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO alert VALUES
         (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21)",
    )?;
    let mut put_containers = connection.prepare_cached(
        "INSERT INTO alert_container
         SELECT ?1, value ->> 'id', value ->> 'name', value ->> 'image',
                value ->> 'image_repository', value ->> 'namespace'
         FROM json_each(?2) WHERE true
         ON CONFLICT DO UPDATE SET name = excluded.name, image = excluded.image,
             repository = excluded.repository, namespace = excluded.namespace
         WHERE name <> excluded.name OR image <> excluded.image",
    )?;
    let mut drop_containers = connection.prepare_cached(
        "DELETE FROM alert_container
         WHERE alert = ?1 AND id NOT IN (SELECT value ->> 'id' FROM json_each(?2))",
    )?;
    for alert in &written.alerts {
        last = last.max(alert.id.0);
        put.execute(params![
            alert.id.0 as i64,
            state_number(alert.state),
            alert.priority.as_number(),
            alert.source.as_str(),
            alert.rule,
            alert.workload,
            alert.container.id,
            alert.container.name,
            alert.container.image_repository,
            alert.container.k8s_namespace,
            alert.assignee.as_deref().unwrap_or(""),
            alert.silenced_by.is_some(),
            alert.title,
            alert.first_seen.as_nanos(),
            alert.last_seen.as_nanos(),
            alert.count as i64,
            alert.changed.as_nanos(),
            to_json(alert),
            alert.more_containers,
            alert.audience.namespace,
            to_json(&alert.audience.labels),
        ])?;
        let containers = to_json(&alert.containers);
        put_containers.execute(params![alert.id.0 as i64, containers])?;
        if alert.more_containers {
            drop_containers.execute(params![alert.id.0 as i64, containers])?;
        }
    }
    if last > catalogue::meta(connection, LAST_ALERT)? {
        catalogue::set_meta(connection, LAST_ALERT, last)?;
    }
    let mut count = connection.prepare_cached(
        "INSERT INTO alert_minute VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for occurrence in &written.occurrences {
        count.execute(params![
            occurrence.minute.as_nanos(),
            occurrence.alert.0 as i64,
            occurrence.container,
            occurrence.count as i64
        ])?;
    }
    let mut note = connection.prepare_cached(
        "INSERT INTO alert_change (alert, time, who, what) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut changes = written.changes.clone();
    for change in &mut changes {
        note.execute(params![
            change.alert.0 as i64,
            change.time.as_nanos(),
            change.who,
            to_json(&change.what),
        ])?;
        change.sequence = connection.last_insert_rowid() as u64;
    }
    Ok(changes)
}

impl AlertStore for Embedded {
    fn write_alerts_with(
        &self,
        make: &mut dyn FnMut() -> Accompaniment,
    ) -> Result<Vec<AlertChange>, StoreError> {
        let doing = "write alerts";
        self.transact(
            doing,
            |connection| {
                let Accompaniment { alerts, state } = make();
                change_states(connection, &state, doing)?;
                write(connection, &alerts).map_err(|source| StoreError::Catalogue { doing, source })
            },
            |changes| changes,
        )
    }

    fn alert(&self, id: AlertId) -> Result<Option<Alert>, StoreError> {
        self.readers.read("read an alert", |connection| {
            connection
                .prepare_cached("SELECT document FROM alert WHERE id = ?1")?
                .query_row([id.0 as i64], |row| from_json(row, 0))
                .optional()
        })
    }

    fn alerts(&self, query: &AlertQuery) -> Result<AlertPage, QueryError> {
        if query.limit == 0 || query.limit > MAX_PAGE {
            return Err(QueryError::Invalid(format!(
                "a page has 1 to {MAX_PAGE} alerts, not {}",
                query.limit
            )));
        }
        let after = match &query.after {
            Some(text) => Some(place(text, query.sort)?),
            None => None,
        };
        let page = self.readers.read("list alerts", |connection| {
            read_page(connection, query, after.as_deref())
        })?;
        Ok(page)
    }

    fn alerts_to_fold(&self, closed_since: Timestamp) -> Result<Vec<Alert>, StoreError> {
        self.readers.read("read open alerts", |connection| {
            let closed = state_number(AlertState::Closed);
            connection
                .prepare(
                    "SELECT document FROM alert WHERE state < ?1 OR changed >= ?2 ORDER BY id",
                )?
                .query_map(params![closed, closed_since.as_nanos()], |row| {
                    from_json(row, 0)
                })?
                .collect()
        })
    }

    fn alert_trend(
        &self,
        range: TimeRange,
        step: Duration,
        filter: &AlertFilter,
    ) -> Result<Vec<AlertTrendPoint>, QueryError> {
        let step = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
        if step < MINUTE_NANOS {
            return Err(QueryError::Invalid(
                "the step of a trend is at least a minute".to_owned(),
            ));
        }
        let mut sql = Sql::new(
            "SELECT minute - minute % ?, alert.priority, sum(alert_minute.count)
             FROM alert_minute JOIN alert ON alert.id = alert_minute.alert",
        );
        sql.values.push(Value::Integer(step));
        sql.minutes(range);
        sql.filter(filter, true);
        sql.text.push_str(" GROUP BY 1, 2 ORDER BY 1");
        let rows = self.readers.read("count alerts", |connection| {
            sql.rows(connection, |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, u8>(1)?,
                    row.get::<_, i64>(2)? as u64,
                ))
            })
        })?;
        let mut points: BTreeMap<i64, AlertTrendPoint> = BTreeMap::new();
        for (start, priority, count) in rows {
            let point = points.entry(start).or_insert_with(|| AlertTrendPoint {
                start: Timestamp::from_nanos(start),
                by_priority: [0; 8],
            });
            if let Some(place) = point.by_priority.get_mut(usize::from(priority)) {
                *place += count;
            }
        }
        Ok(points.into_values().collect())
    }

    fn alert_top(
        &self,
        range: TimeRange,
        by: AlertGrouping,
        limit: usize,
        filter: &AlertFilter,
    ) -> Result<Vec<AlertTop>, QueryError> {
        // A container that the alert names no more counts for the one seen last.
        let name = match by {
            AlertGrouping::Rule => "alert.rule",
            AlertGrouping::Container => "coalesce(one.name, alert.container_name)",
            AlertGrouping::Image => "coalesce(one.repository, alert.image)",
            AlertGrouping::Workload => "alert.workload",
        };
        let mut sql = Sql::new(&format!(
            "SELECT {name}, sum(alert_minute.count), count(DISTINCT alert.id),
                    min(alert.priority)
             FROM alert_minute JOIN alert ON alert.id = alert_minute.alert
             LEFT JOIN alert_container AS one
                ON one.alert = alert_minute.alert AND one.id = alert_minute.container"
        ));
        sql.minutes(range);
        sql.filter(filter, true);
        sql.text.push_str(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?");
        sql.values.push(Value::Integer(limit.min(MAX_PAGE) as i64));
        let top = self.readers.read("rank alerts", |connection| {
            sql.rows(connection, |row| {
                Ok(AlertTop {
                    name: row.get::<_, String>(0)?.into(),
                    occurrences: row.get::<_, i64>(1)? as u64,
                    alerts: row.get::<_, i64>(2)? as u64,
                    priority: priority(row, 3)?,
                })
            })
        })?;
        Ok(top)
    }

    fn alert_history(&self, id: AlertId) -> Result<Vec<AlertChange>, StoreError> {
        self.readers
            .read("read the history of an alert", |connection| {
                connection
                    .prepare_cached(
                        "SELECT sequence, alert, time, who, what FROM alert_change
                     WHERE alert = ?1 ORDER BY sequence",
                    )?
                    .query_map([id.0 as i64], change)?
                    .collect()
            })
    }

    fn alert_changes_after(
        &self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(AlertChange, Option<Alert>)>, StoreError> {
        self.readers
            .read("read the history of alerts", |connection| {
                connection
                    .prepare_cached(
                        "SELECT sequence, alert, time, who, what, document FROM alert_change
                     LEFT JOIN alert ON alert.id = alert_change.alert
                     WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
                    )?
                    .query_map(
                        params![sequence as i64, limit.min(MAX_PAGE) as i64],
                        |row| {
                            let document: Option<String> = row.get(5)?;
                            let alert = document.map(|_| from_json(row, 5)).transpose()?;
                            Ok((change(row)?, alert))
                        },
                    )?
                    .collect()
            })
    }

    fn last_alert(&self) -> Result<(AlertId, u64), StoreError> {
        self.readers.read("read the last alert", |connection| {
            let id = catalogue::meta(connection, LAST_ALERT)?;
            let sequence = connection
                .query_row(
                    "SELECT seq FROM sqlite_sequence WHERE name = 'alert_change'",
                    [],
                    |row| row.get::<_, i64>(0),
                )
                .optional()?;
            Ok((AlertId(id), sequence.unwrap_or(0) as u64))
        })
    }

    fn expire_alerts(&self, before: Timestamp, most: u64) -> Result<u64, StoreError> {
        let doing = "forget old alerts";
        let old = "SELECT id FROM alert WHERE state = ?1 AND (changed < ?2 OR id IN (
                       SELECT id FROM alert WHERE state = ?1 ORDER BY changed DESC, id DESC
                       LIMIT -1 OFFSET ?3))";
        let closed = state_number(AlertState::Closed);
        // Mostly there is nothing to forget, and nothing is written then.
        let found = self.readers.read(doing, |connection| {
            connection
                .prepare_cached(old)?
                .exists(params![closed, before.as_nanos(), most as i64])
        })?;
        if !found {
            return Ok(0);
        }
        self.transact(
            doing,
            |connection| {
                let forget = || {
                    let ids: Vec<i64> = connection
                        .prepare(old)?
                        .query_map(params![closed, before.as_nanos(), most as i64], |row| {
                            row.get(0)
                        })?
                        .collect::<rusqlite::Result<_>>()?;
                    for id in &ids {
                        connection.execute("DELETE FROM alert WHERE id = ?1", [id])?;
                        connection.execute("DELETE FROM alert_minute WHERE alert = ?1", [id])?;
                        connection.execute("DELETE FROM alert_change WHERE alert = ?1", [id])?;
                        connection.execute("DELETE FROM alert_container WHERE alert = ?1", [id])?;
                    }
                    Ok(ids.len() as u64)
                };
                forget().map_err(|source| StoreError::Catalogue { doing, source })
            },
            |forgotten| forgotten,
        )
    }
}

fn read_page(
    connection: &Connection,
    query: &AlertQuery,
    after: Option<&[i64]>,
) -> rusqlite::Result<AlertPage> {
    let mut page = AlertPage::default();
    let mut sql = Sql::new("SELECT state, count(*) FROM alert");
    sql.conditions(query, false);
    sql.text.push_str(" GROUP BY state");
    for (state, count) in sql.rows(connection, |row| {
        Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)? as u64))
    })? {
        if let Some(state) = AlertState::ALL.get(usize::from(state)) {
            page.by_state.insert(*state, count);
        }
    }
    let mut sql = Sql::new("SELECT priority, count(*) FROM alert");
    sql.conditions(query, true);
    sql.text.push_str(" GROUP BY priority");
    for (priority, count) in sql.rows(connection, |row| {
        Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)? as u64))
    })? {
        if let Some(place) = page.by_priority.get_mut(usize::from(priority)) {
            *place = count;
        }
    }
    let mut sql = Sql::new("SELECT rule, count(*) FROM alert");
    sql.conditions(query, true);
    sql.text.push_str(&format!(
        " GROUP BY rule ORDER BY 2 DESC, 1 LIMIT {TOP_RULES}"
    ));
    page.by_rule = sql.rows(connection, |row| {
        Ok((
            row.get::<_, String>(0)?.into(),
            row.get::<_, i64>(1)? as u64,
        ))
    })?;

    let mut sql = Sql::new("SELECT document FROM alert");
    sql.conditions(query, true);
    let keys = sort_keys(query.sort);
    if let Some(after) = after {
        let marks = vec!["?"; keys.len()].join(", ");
        sql.and(&format!("({}) > ({marks})", keys.join(", ")));
        sql.values
            .extend(after.iter().map(|number| Value::Integer(*number)));
    }
    sql.text
        .push_str(&format!(" ORDER BY {} LIMIT ?", keys.join(", ")));
    sql.values.push(Value::Integer(query.limit as i64 + 1));
    page.alerts = sql.rows(connection, |row| from_json(row, 0))?;
    if page.alerts.len() > query.limit {
        page.alerts.truncate(query.limit);
        page.next = page.alerts.last().map(|alert| place_of(alert, query.sort));
    }
    Ok(page)
}

/// What a page is ordered by, ascending; the last one is unique.
fn sort_keys(sort: AlertSort) -> &'static [&'static str] {
    match sort {
        AlertSort::LastSeen => &["-last_seen", "-id"],
        AlertSort::Priority => &["priority", "-last_seen", "-id"],
        AlertSort::Count => &["-count", "-last_seen", "-id"],
        AlertSort::FirstSeen => &["first_seen", "id"],
    }
}

/// The place of `alert` in a listing.
fn place_of(alert: &Alert, sort: AlertSort) -> String {
    let (last_seen, id) = (-alert.last_seen.as_nanos(), -(alert.id.0 as i64));
    let numbers = match sort {
        AlertSort::LastSeen => vec![last_seen, id],
        AlertSort::Priority => vec![i64::from(alert.priority.as_number()), last_seen, id],
        AlertSort::Count => vec![-(alert.count as i64), last_seen, id],
        AlertSort::FirstSeen => vec![alert.first_seen.as_nanos(), alert.id.0 as i64],
    };
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    texts.join(".")
}

fn place(text: &str, sort: AlertSort) -> Result<Vec<i64>, QueryError> {
    let numbers: Option<Vec<i64>> = text.split('.').map(|part| part.parse().ok()).collect();
    numbers
        .filter(|numbers| numbers.len() == sort_keys(sort).len())
        .ok_or_else(|| QueryError::Invalid("the cursor is not one of this listing".to_owned()))
}

/// A statement that grows.
struct Sql {
    text: String,
    values: Vec<Value>,
    has_where: bool,
}

impl Sql {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
            has_where: false,
        }
    }

    fn and(&mut self, condition: &str) {
        let word = if self.has_where { " AND " } else { " WHERE " };
        self.has_where = true;
        self.text.push_str(word);
        self.text.push_str(condition);
    }

    fn and_text(&mut self, condition: &str, value: &str) {
        self.and(condition);
        self.values.push(Value::Text(value.to_owned()));
    }

    fn and_number(&mut self, condition: &str, value: i64) {
        self.and(condition);
        self.values.push(Value::Integer(value));
    }

    fn conditions(&mut self, query: &AlertQuery, with_states: bool) {
        if let Some(range) = query.range {
            self.and_number("last_seen >= ?", range.start.as_nanos());
            self.and_number("last_seen < ?", range.end.as_nanos());
        }
        if with_states && !query.states.is_empty() {
            let states = query.states.iter().map(|state| state_number(*state));
            self.and(&format!("state IN ({})", list(states)));
        }
        if let Some(assignee) = &query.assignee {
            self.and_text("assignee = ?", assignee);
        }
        if let Some(silenced) = query.silenced {
            self.and_number("silenced = ?", i64::from(silenced));
        }
        if let Some(text) = &query.text {
            self.and_text(
                "(instr(lower(title || char(10) || rule || char(10) || workload), lower(?)) > 0
                  OR alert.id IN (SELECT alert FROM alert_container
                                  WHERE instr(lower(name), lower(?)) > 0))",
                text,
            );
            self.values.push(Value::Text(text.clone()));
        }
        self.filter(&query.filter, false);
    }

    /// `of_container` selects occurrences in the containers asked for, not alerts that have some.
    fn filter(&mut self, filter: &AlertFilter, of_container: bool) {
        if let Some(least) = filter.min_priority {
            self.and_number("alert.priority <= ?", i64::from(least.as_number()));
        }
        if !filter.priorities.is_empty() {
            let priorities = filter.priorities.iter().map(|one| one.as_number());
            self.and(&format!("alert.priority IN ({})", list(priorities)));
        }
        if !filter.sources.is_empty() {
            let sources = filter.sources.iter().map(|source| source.as_str());
            let sources: Vec<&str> = sources.collect();
            self.and_text(
                "alert.source IN (SELECT value FROM json_each(?))",
                &to_json(&sources),
            );
        }
        if let Some(rule) = &filter.rule {
            self.and_text("alert.rule = ?", rule);
        }
        if let Some(workload) = &filter.workload {
            self.and_text("alert.workload = ?", workload);
        }
        // One container must answer to all three.
        let (left, right) = if of_container {
            ("(alert.id, alert_minute.container)", "alert, id")
        } else {
            ("alert.id", "alert")
        };
        let mut containers = Self::new(&format!("SELECT {right} FROM alert_container"));
        let mut either = |condition, value: &Option<String>| {
            if let Some(value) = value {
                containers.and_text(condition, value);
                containers.values.push(Value::Text(value.clone()));
            }
        };
        either("(id = ? OR name = ?)", &filter.container);
        either("(image = ? OR repository = ?)", &filter.image);
        if let Some(namespace) = &filter.namespace {
            containers.and_text("namespace = ?", namespace);
        }
        if containers.has_where {
            self.and(&format!("{left} IN ({})", containers.text));
            self.values.append(&mut containers.values);
        }
        self.access(&filter.access);
    }

    fn minutes(&mut self, range: TimeRange) {
        let start = range.start.as_nanos();
        self.and_number(
            "minute >= ?",
            start.saturating_sub(start.rem_euclid(MINUTE_NANOS)),
        );
        self.and_number("minute < ?", range.end.as_nanos());
    }

    fn access(&mut self, access: &AlertAccess) {
        if let Some(only) = &access.only {
            // As `Alert::is_within` has it.
            self.and(
                "((audience_namespace <> ''
                   AND audience_namespace IN (SELECT value FROM json_each(?)))
                  OR EXISTS (SELECT 1 FROM json_each(audience_labels) AS label
                             WHERE label.value IN (SELECT value FROM json_each(?)))
                  OR (more_containers = 0
                      AND EXISTS (SELECT 1 FROM alert_container WHERE alert = alert.id)
                      AND NOT EXISTS (SELECT 1 FROM alert_container AS one
                                      WHERE one.alert = alert.id
                                      AND one.id NOT IN (SELECT value FROM json_each(?)))))",
            );
            for list in [&only.namespaces, &only.labels, &only.containers] {
                self.values.push(Value::Text(to_json(list)));
            }
        }
    }

    fn rows<T>(
        &self,
        connection: &Connection,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        connection
            .prepare_cached(&self.text)?
            .query_map(params_from_iter(&self.values), read)?
            .collect()
    }
}

fn list(numbers: impl Iterator<Item = u8>) -> String {
    let texts: Vec<String> = numbers.map(|number| number.to_string()).collect();
    texts.join(",")
}

fn state_number(state: AlertState) -> u8 {
    match state {
        AlertState::New => 0,
        AlertState::Acknowledged => 1,
        AlertState::InProgress => 2,
        AlertState::Closed => 3,
    }
}

fn priority(row: &Row<'_>, index: usize) -> rusqlite::Result<Priority> {
    let number: u8 = row.get(index)?;
    Ok(Priority::from_number(number).unwrap_or(Priority::Debug))
}

fn change(row: &Row<'_>) -> rusqlite::Result<AlertChange> {
    Ok(AlertChange {
        sequence: row.get::<_, i64>(0)? as u64,
        alert: AlertId(row.get::<_, i64>(1)? as u64),
        time: Timestamp::from_nanos(row.get(2)?),
        who: row.get(3)?,
        what: from_json(row, 4)?,
    })
}

fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("alerts have text keys only")
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}
