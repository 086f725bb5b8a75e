//! Roll-ups: how many events each container had per rule, priority and minute, counted as events
//! are stored and uncounted as they are dropped, so that they always equal the events kept.
//!
//! Lines of logs are counted in tables of their own, where a line's level stands for the rule.
//! Containers and rules go by numbers that SQLite hands out; [`Names`] keeps them in memory.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::Arc};

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, StoredEvent};
use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;

/// Nanoseconds of a minute.
pub(super) const MINUTE: i64 = 60_000_000_000;
/// Minutes of an hour.
pub(super) const HOUR_MINUTES: i64 = 60;

/// A container as events name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ContainerName {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
}

/// A rule with the category it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RuleName {
    pub(super) rule: Arc<str>,
    pub(super) category: Category,
}

/// The numbers of containers and rules.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    pub(super) containers: BTreeMap<u32, ContainerName>,
    pub(super) rules: BTreeMap<u32, RuleName>,
    container_numbers: FxHashMap<ContainerName, u32>,
    rule_numbers: FxHashMap<RuleName, u32>,
}

impl Names {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut names = Self::default();
        let mut statement = connection.prepare("SELECT number, id, name FROM container")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name = ContainerName {
                id: row.get(1)?,
                name: row.get(2)?,
            };
            names.add_container(row.get(0)?, name);
        }
        let mut statement = connection.prepare("SELECT number, name, category FROM rule")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let category = Category::from_number(row.get(2)?).unwrap_or(Category::Unknown);
            names.add_rule(
                row.get(0)?,
                RuleName {
                    rule: row.get(1)?,
                    category,
                },
            );
        }
        Ok(names)
    }

    fn add_container(&mut self, number: u32, name: ContainerName) {
        self.container_numbers.insert(name.clone(), number);
        self.containers.insert(number, name);
    }

    fn add_rule(&mut self, number: u32, name: RuleName) {
        self.rule_numbers.insert(name.clone(), number);
        self.rules.insert(number, name);
    }

    /// Takes in what an append has added and committed.
    pub(super) fn extend(&mut self, added: Added) {
        for (number, name) in added.containers {
            self.add_container(number, name);
        }
        for (number, name) in added.rules {
            self.add_rule(number, name);
        }
    }

    pub(super) fn container_number(&self, id: &str, name: &str) -> Option<u32> {
        let name = ContainerName {
            id: id.into(),
            name: name.into(),
        };
        self.container_numbers.get(&name).copied()
    }

    pub(super) fn rule_number(&self, rule: &str, category: Category) -> Option<u32> {
        self.rule_numbers
            .get(&RuleName {
                rule: rule.into(),
                category,
            })
            .copied()
    }

    pub(super) fn remove_containers(&mut self, numbers: &[u32]) {
        for number in numbers {
            if let Some(name) = self.containers.remove(number) {
                self.container_numbers.remove(&name);
            }
        }
    }
}

/// Names given numbers in a transaction that is not committed yet.
#[derive(Debug, Default)]
pub(super) struct Added {
    containers: Vec<(u32, ContainerName)>,
    rules: Vec<(u32, RuleName)>,
}

impl Added {
    pub(super) fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.rules.is_empty()
    }
}

/// What a roll-up counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    /// Minutes since the epoch.
    pub(super) minute: i64,
    pub(super) container: u32,
    pub(super) rule: u32,
    pub(super) priority: u8,
}

/// Counts of records by kind, index = its number.
pub(super) type Tallies = [Tally; RecordKind::ALL.len()];

/// Counts of some records of one kind.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cells: FxHashMap<Cell, i64>,
    pub(super) totals: BTreeMap<(i64, u8, u8), i64>,
    containers: BTreeMap<u32, Seen>,
    rules: std::collections::BTreeSet<u32>,
}

#[derive(Debug)]
struct Seen {
    image: Arc<str>,
    first: i64,
    last: i64,
}

impl Tally {
    pub(super) fn add(&mut self, cell: Cell, category: Category) {
        *self.cells.entry(cell).or_default() += 1;
        *self
            .totals
            .entry((cell.minute, cell.priority, category as u8))
            .or_default() += 1;
    }

    /// Numbers of the containers counted, ascending.
    pub(super) fn container_numbers(&self) -> impl ExactSizeIterator<Item = u32> {
        self.containers.keys().copied()
    }

    /// Numbers of the rules counted, ascending.
    pub(super) fn rule_numbers(&self) -> impl ExactSizeIterator<Item = u32> {
        self.rules.iter().copied()
    }

    /// Bit sets of the priorities and categories counted.
    pub(super) fn masks(&self) -> (u8, u8) {
        self.totals.keys().fold(
            (0, 0),
            |(priorities, categories), (_, priority, category)| {
                (priorities | 1 << priority, categories | 1 << category)
            },
        )
    }
}

/// The minute that holds `nanos`.
pub(super) fn minute_of(nanos: i64) -> i64 {
    nanos.div_euclid(MINUTE)
}

/// Counts records, giving numbers to containers and rules that have none yet.
///
/// Texts that events share are recognised by address, so `events` must stay where they are.
pub(super) fn count<'a>(
    connection: &Connection,
    names: &Names,
    events: impl Iterator<Item = &'a StoredEvent>,
) -> rusqlite::Result<(Tallies, Added)> {
    let mut tallies = Tallies::default();
    let mut numbering = Numbering {
        connection,
        names,
        added: Added::default(),
        containers: FxHashMap::default(),
        rules: FxHashMap::default(),
        added_containers: FxHashMap::default(),
        added_rules: FxHashMap::default(),
    };
    for stored in events {
        let event = &stored.event;
        let time = event.time.as_nanos();
        let container = numbering.container(&event.container)?;
        let rule = numbering.rule(event)?;
        let cell = Cell {
            minute: minute_of(time),
            container,
            rule,
            priority: event.priority.as_number(),
        };
        let tally = &mut tallies[event.kind as usize];
        tally.add(cell, event.category);
        tally.rules.insert(rule);
        let seen = tally.containers.entry(container).or_insert_with(|| Seen {
            image: Arc::default(),
            first: time,
            last: time,
        });
        seen.first = seen.first.min(time);
        seen.last = seen.last.max(time);
        if seen.image.is_empty() {
            seen.image = image(&event.container).clone();
        }
    }
    Ok((tallies, numbering.added))
}

fn image(container: &ContainerRef) -> &Arc<str> {
    if container.image.is_empty() {
        &container.image_repository
    } else {
        &container.image
    }
}

struct Numbering<'a> {
    connection: &'a Connection,
    names: &'a Names,
    added: Added,
    containers: FxHashMap<*const ContainerRef, u32>,
    rules: FxHashMap<(*const u8, usize, Category), u32>,
    added_containers: FxHashMap<ContainerName, u32>,
    added_rules: FxHashMap<RuleName, u32>,
}

impl Numbering<'_> {
    fn container(&mut self, container: &Arc<ContainerRef>) -> rusqlite::Result<u32> {
        let address = Arc::as_ptr(container);
        if let Some(number) = self.containers.get(&address) {
            return Ok(*number);
        }
        let name = ContainerName {
            id: container.id.clone(),
            name: container.name.clone(),
        };
        let known = self.names.container_numbers.get(&name);
        let number = match known.or_else(|| self.added_containers.get(&name)) {
            Some(number) => *number,
            None => {
                let number = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO container (id, name, image, first_event, last_event)
                         VALUES (?, ?, '', ?, ?) RETURNING number",
                    )?
                    .query_row(params![name.id, name.name, NEVER.0, NEVER.1], |row| {
                        row.get(0)
                    })?;
                self.added_containers.insert(name.clone(), number);
                self.added.containers.push((number, name));
                number
            }
        };
        self.containers.insert(address, number);
        Ok(number)
    }

    fn rule(&mut self, event: &Event) -> rusqlite::Result<u32> {
        let key = (event.rule.as_ptr(), event.rule.len(), event.category);
        if let Some(number) = self.rules.get(&key) {
            return Ok(*number);
        }
        let name = RuleName {
            rule: event.rule.clone(),
            category: event.category,
        };
        let known = self.names.rule_numbers.get(&name);
        let number = match known.or_else(|| self.added_rules.get(&name)) {
            Some(number) => *number,
            None => {
                let number = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO rule (name, category) VALUES (?, ?) RETURNING number",
                    )?
                    .query_row(params![name.rule, name.category as u8], |row| row.get(0))?;
                self.added_rules.insert(name.clone(), number);
                self.added.rules.push((number, name));
                number
            }
        };
        self.rules.insert(key, number);
        Ok(number)
    }
}

/// First and last time of a container without any record of a kind.
const NEVER: (i64, i64) = (i64::MAX, i64::MIN);

/// The statement for the tables of `kind`, given that for the tables of events.
fn sql(kind: RecordKind, statement: &str) -> Cow<'_, str> {
    match kind {
        RecordKind::Event => Cow::Borrowed(statement),
        RecordKind::Log => Cow::Owned(
            statement
                .replace(" rollup_", " log_rollup_")
                .replace(" total_minute", " log_total_minute")
                .replace("first_event", "first_log")
                .replace("last_event", "last_log"),
        ),
    }
}

/// Adds `tally`, of records of `kind`, to what is stored.
pub(super) fn add(
    connection: &Connection,
    kind: RecordKind,
    tally: &Tally,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&sql(
        kind,
        "UPDATE container SET first_event = min(first_event, ?2), last_event = max(last_event, ?3),
            image = CASE WHEN ?4 = '' THEN image ELSE ?4 END
         WHERE number = ?1",
    ))?;
    for (number, seen) in &tally.containers {
        statement.execute(params![number, seen.first, seen.last, seen.image])?;
    }
    change(connection, kind, tally, 1)
}

/// Takes `tally`, of records of `kind`, off what is stored.
pub(super) fn subtract(
    connection: &Connection,
    kind: RecordKind,
    tally: &Tally,
) -> rusqlite::Result<()> {
    change(connection, kind, tally, -1)
}

fn change(
    connection: &Connection,
    kind: RecordKind,
    tally: &Tally,
    sign: i64,
) -> rusqlite::Result<()> {
    let mut cells: Vec<(Cell, i64)> = tally
        .cells
        .iter()
        .map(|(cell, count)| (*cell, count * sign))
        .collect();
    let hour = |cell: &Cell| cell.minute.div_euclid(HOUR_MINUTES);
    let key = |cell: &Cell| (hour(cell), cell.container, cell.rule, cell.priority);
    cells.sort_unstable_by_key(|(cell, _)| (key(cell), cell.minute));
    let mut minutes = Upsert::new(
        connection,
        kind,
        sign,
        "INSERT INTO rollup_minute (hour, container, rule, priority, minute, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        "DELETE FROM rollup_minute WHERE hour = ?1 AND container = ?2 AND rule = ?3
            AND priority = ?4 AND minute = ?5 AND count + ?6 <= 0",
    )?;
    for (cell, count) in &cells {
        let Cell {
            minute,
            container,
            rule,
            priority,
        } = *cell;
        minutes.run(params![
            hour(cell),
            container,
            rule,
            priority,
            minute,
            count
        ])?;
    }
    let mut hours = Upsert::new(
        connection,
        kind,
        sign,
        "INSERT INTO rollup_hour (hour, container, rule, priority, count)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        "DELETE FROM rollup_hour WHERE hour = ?1 AND container = ?2 AND rule = ?3
            AND priority = ?4 AND count + ?5 <= 0",
    )?;
    for same in cells.chunk_by(|left, right| key(&left.0) == key(&right.0)) {
        let (hour, container, rule, priority) = key(&same[0].0);
        let count: i64 = same.iter().map(|(_, count)| count).sum();
        hours.run(params![hour, container, rule, priority, count])?;
    }
    let mut totals = Upsert::new(
        connection,
        kind,
        sign,
        "INSERT INTO total_minute (minute, priority, category, count)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        "DELETE FROM total_minute WHERE minute = ?1 AND priority = ?2 AND category = ?3
            AND count + ?4 <= 0",
    )?;
    for ((minute, priority, category), count) in &tally.totals {
        totals.run(params![minute, priority, category, count * sign])?;
    }
    Ok(())
}

/// Adds to a counter, or removes it when subtracting leaves nothing.
struct Upsert<'a> {
    upsert: rusqlite::CachedStatement<'a>,
    delete: Option<rusqlite::CachedStatement<'a>>,
}

impl<'a> Upsert<'a> {
    fn new(
        connection: &'a Connection,
        kind: RecordKind,
        sign: i64,
        upsert: &str,
        delete: &str,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            upsert: connection.prepare_cached(&sql(kind, upsert))?,
            delete: if sign < 0 {
                Some(connection.prepare_cached(&sql(kind, delete))?)
            } else {
                None
            },
        })
    }

    fn run(&mut self, params: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        if let Some(delete) = &mut self.delete
            && delete.execute(params)? > 0
        {
            return Ok(());
        }
        self.upsert.execute(params)?;
        Ok(())
    }
}

/// Removes the roll-ups of `kind` of hours that end before `before`, in nanoseconds.
pub(super) fn forget_before(
    connection: &Connection,
    kind: RecordKind,
    before: i64,
) -> rusqlite::Result<()> {
    let hour = minute_of(before).div_euclid(HOUR_MINUTES);
    for (statement, bound) in [
        ("DELETE FROM rollup_minute WHERE hour < ?", hour),
        ("DELETE FROM rollup_hour WHERE hour < ?", hour),
        (
            "DELETE FROM total_minute WHERE minute < ?",
            hour * HOUR_MINUTES,
        ),
    ] {
        connection
            .prepare_cached(&sql(kind, statement))?
            .execute([bound])?;
    }
    Ok(())
}

/// Forgets containers without roll-ups whose last event lies before `before[0]` or after `now`, and
/// whose last line of a log before `before[1]` or after `now`; their numbers.
pub(super) fn forget_containers(
    connection: &Connection,
    before: [i64; RecordKind::ALL.len()],
    now: i64,
) -> rusqlite::Result<Vec<u32>> {
    connection
        .prepare_cached(
            "DELETE FROM container
             WHERE (last_event = ?4 OR last_event < ?1 OR last_event > ?3)
                AND (last_log = ?4 OR last_log < ?2 OR last_log > ?3)
                AND number NOT IN (SELECT DISTINCT container FROM rollup_hour)
                AND number NOT IN (SELECT DISTINCT container FROM log_rollup_hour)
             RETURNING number",
        )?
        .query_map([before[0], before[1], now, NEVER.1], |row| row.get(0))?
        .collect()
}

/// Totals of `kind` per minute, priority and category of the minutes in `minutes`.
pub(super) fn totals(
    connection: &Connection,
    kind: RecordKind,
    minutes: &Range<i64>,
    mut visit: impl FnMut(i64, Priority, Category, u64),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&sql(
        kind,
        "SELECT minute, priority, category, count FROM total_minute
         WHERE minute >= ? AND minute < ?",
    ))?;
    let mut rows = statement.query([minutes.start, minutes.end])?;
    while let Some(row) = rows.next()? {
        if let (Some(priority), Some(category)) = (
            Priority::from_number(row.get(1)?),
            Category::from_number(row.get(2)?),
        ) {
            visit(
                row.get(0)?,
                priority,
                category,
                row.get::<_, i64>(3)?.max(0) as u64,
            );
        }
    }
    Ok(())
}

/// Counts of `kind` per container, rule and priority over `minutes`; a combination may come several
/// times, each time with a minute of the part it was counted in. Whole hours are read as such.
pub(super) fn counts(
    connection: &Connection,
    kind: RecordKind,
    minutes: &Range<i64>,
    mut visit: impl FnMut(Cell, u64),
) -> rusqlite::Result<()> {
    let mut each = |statement: &str, from: i64, to: i64| -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&sql(kind, statement))?;
        let mut rows = statement.query([from, to, minutes.start, minutes.end])?;
        while let Some(row) = rows.next()? {
            let cell = Cell {
                minute: row.get(0)?,
                container: row.get(1)?,
                rule: row.get(2)?,
                priority: row.get(3)?,
            };
            visit(cell, row.get::<_, i64>(4)?.max(0) as u64);
        }
        Ok(())
    };
    let mut part = |from: i64, to: i64| {
        each(
            "SELECT minute, container, rule, priority, count FROM rollup_minute
             WHERE hour >= ?1 AND hour < ?2 AND minute >= ?3 AND minute < ?4",
            from,
            to,
        )
    };
    let whole = whole_hours(minutes);
    if whole.is_empty() {
        return part(
            minutes.start.div_euclid(HOUR_MINUTES),
            minutes
                .end
                .saturating_sub(1)
                .div_euclid(HOUR_MINUTES)
                .saturating_add(1),
        );
    }
    if minutes.start < whole.start.saturating_mul(HOUR_MINUTES) {
        part(whole.start - 1, whole.start)?;
    }
    if minutes.end > whole.end.saturating_mul(HOUR_MINUTES) {
        part(whole.end, whole.end + 1)?;
    }
    each(
        "SELECT hour * 60, container, rule, priority, count FROM rollup_hour
         WHERE hour >= ?1 AND hour < ?2 AND ?3 = ?3 AND ?4 = ?4",
        whole.start,
        whole.end,
    )
}

/// Container, rule and priority by their numbers, and how many events they have.
pub(super) type Sum = ((u32, u32, u8), u64);

/// Counts of `kind` per container, rule and priority over `minutes`, summed up, in ascending order.
pub(super) fn sums(
    connection: &Connection,
    kind: RecordKind,
    minutes: &Range<i64>,
) -> rusqlite::Result<Vec<Sum>> {
    let mut sums: FxHashMap<(u32, u32, u8), u64> = FxHashMap::default();
    let whole = whole_hours(minutes);
    let (start, end) = (
        minutes.start.div_euclid(HOUR_MINUTES),
        minutes
            .end
            .saturating_sub(1)
            .div_euclid(HOUR_MINUTES)
            .saturating_add(1),
    );
    // The keys of a partial hour are in the order of its groups, so SQLite adds them up in passing.
    let partial = "SELECT container, rule, priority, sum(count) FROM rollup_minute
         WHERE hour = ?1 AND minute >= ?3 AND minute < ?4 AND ?2 = ?2
         GROUP BY hour, container, rule, priority";
    let full = "SELECT container, rule, priority, count FROM rollup_hour
         WHERE hour >= ?1 AND hour < ?2 AND ?3 = ?3 AND ?4 = ?4";
    let mut parts = Vec::new();
    if !whole.is_empty() {
        parts.push((full, whole.start, whole.end));
    }
    for hour in [start, end - 1] {
        let is_last = parts.last().is_some_and(|part| part.1 == hour);
        if start < end && !whole.contains(&hour) && !is_last {
            parts.push((partial, hour, hour));
        }
    }
    for (statement, from, to) in parts {
        let mut statement = connection.prepare_cached(&sql(kind, statement))?;
        let mut rows = statement.query([from, to, minutes.start, minutes.end])?;
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?);
            *sums.entry(key).or_default() += row.get::<_, i64>(3)?.max(0) as u64;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable();
    Ok(sums)
}

/// The hours that lie in `minutes` as a whole.
pub(super) fn whole_hours(minutes: &Range<i64>) -> Range<i64> {
    let start = minutes
        .start
        .saturating_add(HOUR_MINUTES - 1)
        .div_euclid(HOUR_MINUTES);
    let end = minutes.end.div_euclid(HOUR_MINUTES);
    if start < end { start..end } else { 0..0 }
}

/// Counts of `kind` per minute of one combination within `hour`.
pub(super) fn minutes_of(
    connection: &Connection,
    kind: RecordKind,
    hour: i64,
    cell: Cell,
    mut visit: impl FnMut(i64, u64),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&sql(
        kind,
        "SELECT minute, count FROM rollup_minute
         WHERE hour = ? AND container = ? AND rule = ? AND priority = ?",
    ))?;
    let mut rows = statement.query(params![hour, cell.container, cell.rule, cell.priority])?;
    while let Some(row) = rows.next()? {
        visit(row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64);
    }
    Ok(())
}

/// What is kept of a container itself.
#[derive(Debug)]
pub(super) struct ContainerRow {
    pub(super) image: Arc<str>,
    /// First and last time of its records by kind; the first is the later one when there are none.
    pub(super) times: [(i64, i64); RecordKind::ALL.len()],
}

/// What is kept of each container, by its number.
pub(super) fn containers(
    connection: &Connection,
) -> rusqlite::Result<FxHashMap<u32, ContainerRow>> {
    connection
        .prepare_cached(
            "SELECT number, image, first_event, last_event, first_log, last_log FROM container",
        )?
        .query_map([], |row| {
            let container = ContainerRow {
                image: row.get(1)?,
                times: [(row.get(2)?, row.get(3)?), (row.get(4)?, row.get(5)?)],
            };
            Ok((row.get(0)?, container))
        })?
        .collect()
}
