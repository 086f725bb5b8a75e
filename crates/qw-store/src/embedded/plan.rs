//! A filter and a range → what need not be looked at, and how to judge what must.

use std::{ops::Range, sync::Arc};

use parquet::{data_type::ByteArray, errors::Result};
use qw_event::{Category, Event, Priority, RecordKind};
use rustc_hash::FxHashMap;

use crate::{
    Kinds, TimeRange,
    embedded::{
        bloom::{Kind, hash_of, hash_of_word},
        catalogue::SegmentRow,
        codes::Codes,
        format::{Column, ColumnSet, malformed},
        rollup::Names,
        rows::{as_str, category, priority, read_events},
        segment_reader::{GroupReader, Rows, SegmentFile},
        trigrams,
    },
    query::{Expression, Filter, Known, canonical_name},
};

/// Blooms are asked for containers and rules by name when there are at most this many.
const ASKED_BY_NAME: usize = 16;

/// How to find the events that a filter selects in a range of time.
pub(super) struct Plan<'a> {
    filter: &'a Filter,
    /// Records of no other kinds are wanted, or can match.
    pub(super) kinds: Kinds,
    /// Nanoseconds, end excluded.
    pub(super) times: Range<i64>,
    /// Every event of the kinds in the range matches.
    pub(super) everything: bool,
    /// Kind, container, rule, priority and category alone decide.
    pub(super) exact: bool,
    containers: Option<Vec<u32>>,
    rules: Option<Vec<u32>>,
    priorities: u8,
    categories: u8,
    /// Of each inner list, one hash is in the bloom of every row group that can match.
    clauses: Vec<Vec<u64>>,
    /// Of each inner list, every row group that can match has all trigrams of one text.
    trigrams: Vec<Vec<Vec<u16>>>,
    /// Of each inner list, one text occurs in every event that matches, whatever its case.
    needles: Vec<Vec<String>>,
    /// What [`Filter::matches`] looks at in an event.
    columns: ColumnSet,
}

impl<'a> Plan<'a> {
    /// `names` must not be older than the segments the plan is used on.
    pub(super) fn new(filter: &'a Filter, range: TimeRange, kinds: Kinds, names: &Names) -> Self {
        let constraints = filter.constraints();
        let kinds = kinds.intersection(constraints.kinds);
        let earliest = constraints.earliest.unwrap_or(range.start);
        let latest = constraints.latest.map_or(range.end.as_nanos(), |latest| {
            latest.as_nanos().saturating_add(1)
        });
        let times = range.start.max(earliest).as_nanos()..range.end.as_nanos().min(latest);
        if filter.is_everything() {
            return Self {
                filter,
                kinds,
                times,
                everything: true,
                exact: true,
                containers: None,
                rules: None,
                priorities: u8::MAX,
                categories: u8::MAX,
                clauses: Vec::new(),
                trigrams: Vec::new(),
                needles: Vec::new(),
                columns: ColumnSet::default(),
            };
        }
        let containers: Vec<u32> = names
            .containers
            .iter()
            .filter(|(_, name)| {
                let container = Some((&*name.id, &*name.name));
                filter.may_match(&Known {
                    container,
                    ..Known::default()
                })
            })
            .map(|(number, _)| *number)
            .collect();
        let rules: Vec<u32> = names
            .rules
            .iter()
            .filter(|(_, name)| {
                let (rule, category) = (Some(&*name.rule), Some(name.category));
                filter.may_match(&Known {
                    rule,
                    category,
                    ..Known::default()
                })
            })
            .map(|(number, _)| *number)
            .collect();
        let containers = (containers.len() < names.containers.len()).then_some(containers);
        let rules = (rules.len() < names.rules.len()).then_some(rules);
        let mut clauses: Vec<Vec<u64>> = constraints
            .required_tokens
            .iter()
            .filter_map(|any| any.iter().map(|token| hash_of_word(token)).collect())
            .collect();
        // A part that is a whole word is a matter of the bloom filters.
        let parts: Vec<Vec<String>> = constraints
            .required_parts
            .into_iter()
            .filter(|any| !constraints.required_tokens.contains(any))
            .collect();
        let trigrams = parts
            .iter()
            .map(|any| any.iter().map(|part| trigrams::of_part(part)).collect())
            .filter(|any: &Vec<Vec<u16>>| any.iter().all(|trigrams| !trigrams.is_empty()))
            .collect();
        let needles = constraints
            .required_tokens
            .into_iter()
            .chain(parts)
            .filter(|any| any.iter().all(|text| is_needle(text)))
            .collect();
        let container_hash = |number: &u32| {
            let name = names.containers.get(number)?;
            let text = if name.id.is_empty() {
                &name.name
            } else {
                &name.id
            };
            (!text.is_empty()).then(|| hash_of(Kind::Container, text))
        };
        clauses.extend(asked(containers.as_deref(), container_hash));
        let rule_hash = |number: &u32| {
            let name = names.rules.get(number)?;
            (!name.rule.is_empty()).then(|| hash_of(Kind::Rule, &name.rule))
        };
        clauses.extend(asked(rules.as_deref(), rule_hash));
        Self {
            filter,
            kinds,
            times,
            everything: false,
            exact: constraints.only_rollup_fields,
            containers,
            rules,
            priorities: constraints.priorities.unwrap_or(u8::MAX),
            categories: constraints.categories.unwrap_or(u8::MAX),
            clauses,
            trigrams,
            needles,
            columns: filter.expression().map_or_else(ColumnSet::default, columns),
        }
    }

    /// True when the filter looks at nothing but kind, priority and category.
    pub(super) fn only_totals(&self) -> bool {
        self.exact
            && self
                .columns
                .without(ColumnSet::of(&[Column::Priority, Column::Category]))
                .is_empty()
    }

    /// True when `event`, which lies in the range, matches.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.everything || self.filter.matches(event)
    }

    /// What [`Filter::matches`] looks at in a record of `kind`; fields that an event has beside its
    /// text a line of a log may have within it.
    fn columns(&self, kind: RecordKind) -> ColumnSet {
        if kind == RecordKind::Log && self.columns.contains(Column::OutputFields) {
            return self.columns.with(Column::Output);
        }
        self.columns
    }

    /// True when events between `min_time` and `max_time`, both included, can be in the range.
    pub(super) fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        min_time < self.times.end && max_time >= self.times.start
    }

    /// True when events of the segment can match.
    pub(super) fn may_match_segment(&self, row: &SegmentRow) -> bool {
        self.kinds.contains(row.kind)
            && self.overlaps(row.min_time, row.max_time)
            && self.priorities & row.priorities != 0
            && self.categories & row.categories != 0
            && intersect(self.containers.as_deref(), row.containers.as_deref())
            && intersect(self.rules.as_deref(), row.rules.as_deref())
    }

    /// The rows of the row group that can match, as far as its bounds and filters tell.
    pub(super) fn parts_of_group(
        &self,
        file: &SegmentFile,
        group: usize,
    ) -> Result<Vec<Range<u32>>> {
        let layout = &file.groups()[group];
        if !self.overlaps(layout.min_time, layout.max_time) {
            return Ok(Vec::new());
        }
        if !self.trigrams.is_empty()
            && let Some(present) = file.trigrams(group)?
        {
            let has_all = |part: &Vec<u16>| part.iter().all(|one| trigrams::has(&present, *one));
            if !self.trigrams.iter().all(|any| any.iter().any(has_all)) {
                return Ok(Vec::new());
            }
        }
        if self.clauses.is_empty() {
            return Ok(std::iter::once(0..layout.rows).collect());
        }
        let mut parts = Vec::new();
        for (part, rows) in file.parts(group) {
            if self.may_match_part(file, group, part)? {
                parts.push(rows);
            }
        }
        Ok(parts)
    }

    fn may_match_part(&self, file: &SegmentFile, group: usize, part: usize) -> Result<bool> {
        for clause in &self.clauses {
            let mut found = false;
            for hash in clause {
                if file.may_contain(group, part, *hash)? {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Of `candidates`, ascending indices of rows in the range, those whose container, rule,
    /// priority and category allow a match. When the plan is exact, these match.
    pub(super) fn preselect(
        &self,
        reader: &mut GroupReader,
        mut candidates: Vec<u32>,
    ) -> Result<Vec<u32>> {
        if self.everything || candidates.is_empty() {
            return Ok(candidates);
        }
        let use_rules = self.exact && self.columns.contains(Column::Rule) || self.rules.is_some();
        let use_containers = self.exact
            && (self.columns.contains(Column::ContainerId)
                || self.columns.contains(Column::ContainerName))
            || self.containers.is_some();
        let use_priorities =
            self.exact && self.columns.contains(Column::Priority) || self.priorities != u8::MAX;
        let use_categories =
            self.exact && self.columns.contains(Column::Category) || self.categories != u8::MAX;
        let codes = |reader: &mut GroupReader, wanted: bool, column| {
            wanted.then(|| reader.codes(column)).transpose()
        };
        let columns = [
            codes(reader, use_containers, Column::ContainerId)?,
            codes(reader, use_containers, Column::ContainerName)?,
            codes(reader, use_rules, Column::Rule)?,
            codes(reader, use_categories, Column::Category)?,
            codes(reader, use_priorities, Column::Priority)?,
        ];
        let kind = reader.kind();
        let judge = |combination: [usize; 5]| {
            let value = |column: usize| {
                let codes = columns[column].as_ref()?;
                codes.values.get(combination[column])
            };
            let number = value(4).map(number).transpose()?;
            self.judge(kind, value(0).zip(value(1)), value(2), value(3), number)
        };
        // Most queries ask for one thing, and then each of its values is judged once.
        let mut wanted = columns
            .iter()
            .enumerate()
            .filter(|(_, codes)| codes.is_some());
        if let (Some((column, Some(codes))), None) = (wanted.next(), wanted.next()) {
            let verdicts = (0..codes.values.len())
                .map(|code| {
                    let mut combination = [0; 5];
                    combination[column] = code;
                    judge(combination)
                })
                .collect::<Result<Vec<bool>>>()?;
            if verdicts.contains(&false) {
                candidates.retain(|row| verdicts[codes.code(*row)]);
            }
            return Ok(candidates);
        }
        let mut verdicts = Verdicts::new(&columns);
        let mut error = None;
        candidates.retain(|row| {
            let combination = columns
                .each_ref()
                .map(|codes| codes.as_ref().map_or(0, |codes| codes.code(*row)));
            verdicts.of(combination, |combination| {
                judge(combination).unwrap_or_else(|failure| {
                    error.get_or_insert(failure);
                    false
                })
            })
        });
        error.map_or(Ok(candidates), Err)
    }

    fn judge(
        &self,
        kind: RecordKind,
        container: Option<(&ByteArray, &ByteArray)>,
        rule: Option<&ByteArray>,
        category_text: Option<&ByteArray>,
        priority_number: Option<i32>,
    ) -> Result<bool> {
        let container = match container {
            Some((id, name)) => Some((as_str(id)?, as_str(name)?)),
            None => None,
        };
        Ok(self.filter.may_match(&Known {
            kind: Some(kind),
            container,
            rule: rule.map(as_str).transpose()?,
            priority: priority_number.map(priority).transpose()?,
            category: category_text.map(category).transpose()?,
        }))
    }

    /// Of `rows`, ascending indices that [`Plan::preselect`] let through, those that match.
    pub(super) fn verify(&self, reader: &mut GroupReader, rows: &[u32]) -> Result<Vec<u32>> {
        if self.exact {
            return Ok(rows.to_vec());
        }
        let rows = &self.with_needles(reader, rows)?;
        let columns = self.columns(reader.kind());
        let events = read_events(reader, rows, columns)?;
        Ok(rows
            .iter()
            .zip(&events)
            .filter(|(_, stored)| self.filter.matches(&stored.event))
            .map(|(row, _)| *row)
            .collect())
    }

    /// Of `rows`, ascending, those in whose texts the needles occur, or may.
    fn with_needles(&self, reader: &mut GroupReader, rows: &[u32]) -> Result<Vec<u32>> {
        if self.needles.is_empty() || rows.is_empty() {
            return Ok(rows.to_vec());
        }
        let columns = self.columns(reader.kind());
        let selected = Rows::Some(rows);
        let mut found: Vec<bool> = vec![true; rows.len()];
        for needle in &self.needles {
            let mut here = vec![false; rows.len()];
            // A needle occurs in what the filter looks at, or the event does not match.
            for column in TEXTS.into_iter().filter(|column| columns.contains(*column)) {
                if here == found {
                    break;
                }
                if matches!(column, Column::Output | Column::OutputFields) {
                    for (row, value) in reader.texts(column, selected)?.iter().enumerate() {
                        here[row] |= found[row] && may_hold(value.data(), needle);
                    }
                } else {
                    let codes = reader.codes(column)?;
                    let hold: Vec<bool> = codes
                        .values
                        .iter()
                        .map(|value| may_hold(value.data(), needle))
                        .collect();
                    for (here, row) in here.iter_mut().zip(rows) {
                        *here |= hold[codes.code(*row)];
                    }
                }
            }
            for (here, found) in here.iter_mut().zip(&found) {
                *here &= *found;
            }
            found = here;
        }
        Ok(rows
            .iter()
            .zip(found)
            .filter(|(_, found)| *found)
            .map(|(row, _)| *row)
            .collect())
    }

    /// True when a roll-up of these matches; only for exact plans.
    pub(super) fn matches_rollup(
        &self,
        kind: RecordKind,
        container: (&str, &str),
        rule: &str,
        priority: Priority,
        category: Category,
    ) -> bool {
        self.everything
            || self
                .filter
                .matches_rollup(kind, container.0, container.1, rule, priority, category)
    }
}

/// What has been decided about combinations of container id, container name, rule, category and
/// priority of one row group, each once.
struct Verdicts {
    sizes: [usize; 5],
    /// By place when there are few combinations: 0 is open, 1 no, 2 yes.
    table: Vec<u8>,
    map: FxHashMap<[usize; 5], bool>,
}

impl Verdicts {
    /// At most this many combinations have a place in the table.
    const TABLE: usize = 1 << 16;

    fn new(columns: &[Option<Arc<Codes>>; 5]) -> Self {
        let sizes = columns
            .each_ref()
            .map(|codes| codes.as_ref().map_or(1, |codes| codes.values.len()));
        let combinations = sizes
            .iter()
            .try_fold(1_usize, |product, size| product.checked_mul(*size))
            .filter(|product| *product <= Self::TABLE);
        Self {
            sizes,
            table: vec![0; combinations.unwrap_or(0)],
            map: FxHashMap::default(),
        }
    }

    fn of(&mut self, combination: [usize; 5], judge: impl FnOnce([usize; 5]) -> bool) -> bool {
        let place = || {
            let codes = combination.iter().zip(self.sizes);
            codes.fold(0, |place, (code, size)| place * size + code)
        };
        if self.table.is_empty() {
            return *self
                .map
                .entry(combination)
                .or_insert_with(|| judge(combination));
        }
        let verdict = &mut self.table[place()];
        if *verdict == 0 {
            *verdict = 1 + u8::from(judge(combination));
        }
        *verdict == 2
    }
}

/// The number a value of [`Column::Priority`] stands for.
pub(super) fn number(value: &ByteArray) -> Result<i32> {
    value
        .data()
        .try_into()
        .map(i32::from_le_bytes)
        .map_err(|_| malformed("a priority is no number"))
}

/// Columns of texts, those first in which a word is most likely found.
const TEXTS: [Column; 18] = [
    Column::OutputFields,
    Column::Output,
    Column::Rule,
    Column::Tags,
    Column::ProcessName,
    Column::ContainerName,
    Column::Image,
    Column::ImageRepository,
    Column::ImageTag,
    Column::ImageDigest,
    Column::ContainerId,
    Column::ComposeProject,
    Column::ComposeService,
    Column::K8sNamespace,
    Column::K8sPod,
    Column::Hostname,
    Column::Source,
    Column::Category,
];

/// True for a text that stands in what holds it as it is, but for the case of its letters. Numbers
/// may be written in several ways, and JSON escapes quotes and control characters.
fn is_needle(text: &str) -> bool {
    text.is_ascii() && !text.bytes().all(|byte| byte.is_ascii_digit())
}

/// False when no needle occurs in `text`, whatever the case; true as well when escapes or letters
/// beyond ASCII may hide one.
fn may_hold(text: &[u8], needles: &[String]) -> bool {
    let hides = || !text.is_ascii() || memchr::memchr(b'\\', text).is_some();
    needles
        .iter()
        .any(|needle| contains(text, needle.as_bytes()))
        || hides()
}

/// True when `needle`, in lower case, occurs in `text`, whatever its case.
fn contains(text: &[u8], needle: &[u8]) -> bool {
    // The rarest letter makes the fewest stops.
    let rarity = |byte: &u8| COMMON_LETTERS.iter().position(|common| common == byte);
    let rarest =
        (0..needle.len()).max_by_key(|at| rarity(&needle[*at]).unwrap_or(COMMON_LETTERS.len()));
    let Some(rarest) = rarest else { return true };
    let (lower, upper) = (needle[rarest], needle[rarest].to_ascii_uppercase());
    memchr::memchr2_iter(lower, upper, text).any(|at| {
        at.checked_sub(rarest)
            .and_then(|start| text.get(start..start + needle.len()))
            .is_some_and(|candidate| candidate.eq_ignore_ascii_case(needle))
    })
}

/// What events are mostly made of, the commonest first; digits because of ids, ports and times.
const COMMON_LETTERS: &[u8] = b"e1023456789ataoinrscdplmu_fhgbvyxwkjqz";

/// One clause out of few wanted numbers; none when there are many, or one has no name.
fn asked(wanted: Option<&[u32]>, hash: impl Fn(&u32) -> Option<u64>) -> Option<Vec<u64>> {
    wanted
        .filter(|wanted| wanted.len() <= ASKED_BY_NAME)?
        .iter()
        .map(hash)
        .collect()
}

/// True unless both ascending lists are known and have nothing in common.
fn intersect(wanted: Option<&[u32]>, present: Option<&[u32]>) -> bool {
    let (Some(wanted), Some(present)) = (wanted, present) else {
        return true;
    };
    present
        .iter()
        .any(|number| wanted.binary_search(number).is_ok())
}

/// The columns that judging `expression` reads.
fn columns(expression: &Expression) -> ColumnSet {
    match expression {
        Expression::Everything => ColumnSet::default(),
        Expression::And(parts) | Expression::Or(parts) => parts
            .iter()
            .fold(ColumnSet::default(), |set, part| set.union(columns(part))),
        Expression::Not(part) => columns(part),
        Expression::Exists { field }
        | Expression::Matches { field, .. }
        | Expression::Compare { field, .. } => columns_of_field(field),
        Expression::Text(_) => ColumnSet::ALL,
    }
}

/// The columns that hold the field with the query name `field`.
pub(super) fn columns_of_field(field: &str) -> ColumnSet {
    let column = match canonical_name(field) {
        "kind" => return ColumnSet::default(),
        "rule" | "severity_text" => Column::Rule,
        "priority" => Column::Priority,
        "category" => Column::Category,
        "source" => Column::Source,
        "hostname" => Column::Hostname,
        "tags" => Column::Tags,
        "output" => Column::Output,
        "time" => Column::Time,
        "container" => return ColumnSet::of(&[Column::ContainerId, Column::ContainerName]),
        "container.id" => Column::ContainerId,
        "container.name" => Column::ContainerName,
        "container.image" => Column::Image,
        "container.image.repository" => Column::ImageRepository,
        "container.image.tag" => Column::ImageTag,
        "container.image.digest" => Column::ImageDigest,
        "compose.project" => Column::ComposeProject,
        "compose.service" => Column::ComposeService,
        "k8s.ns.name" => Column::K8sNamespace,
        "k8s.pod.name" => Column::K8sPod,
        "proc.name" => Column::ProcessName,
        _ => Column::OutputFields,
    };
    ColumnSet::of(&[column])
}

#[cfg(test)]
mod tests {
    use qw_event::{ContainerRef, RecordKind, Timestamp};

    use super::*;
    use crate::query::{FIELDS, field_value};

    /// Every field that the query language finds in the event itself has a column here, and every
    /// column named here holds what the field's value is made of.
    #[test]
    fn every_field_has_its_column() {
        let event = Event {
            kind: RecordKind::Event,
            time: Timestamp::EPOCH,
            source: "the source".into(),
            rule: "the rule".into(),
            priority: Priority::Alert,
            category: Category::File,
            hostname: "the hostname".into(),
            container: ContainerRef {
                id: "the id".into(),
                name: "the name".into(),
                image: "the image".into(),
                image_repository: "the repository".into(),
                image_tag: "the tag".into(),
                image_digest: "the digest".into(),
                compose_project: "the project".into(),
                compose_service: "the service".into(),
                k8s_namespace: "the namespace".into(),
                k8s_pod: "the pod".into(),
            }
            .into(),
            process_name: "the process".into(),
            tags: [].into(),
            output: "the output".into(),
            output_fields: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        };
        for field in FIELDS {
            let set = columns_of_field(field.name);
            let text = |column| crate::embedded::segment_writer::text_of(&event, column);
            match field_value(&event, field.name) {
                Some(_) if field.name == "kind" => assert!(set.is_empty()),
                Some(value) if !["time", "priority"].contains(&field.name) => assert!(
                    Column::ALL
                        .into_iter()
                        .any(|column| set.contains(column) && text(column) == value),
                    "{}",
                    field.name
                ),
                Some(_) => {}
                None if field.name == "tags" => assert!(set.contains(Column::Tags)),
                None if ["severity_text", "level"].contains(&field.name) => {
                    assert!(set.contains(Column::Rule));
                }
                None => assert_eq!(
                    set,
                    ColumnSet::of(&[Column::OutputFields]),
                    "{}",
                    field.name
                ),
            }
        }
    }
}
