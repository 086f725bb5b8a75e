//! Runs a query over events.
//!
//! [`Program`] is the compiled form of an expression: names resolved, patterns folded, priorities
//! and categories turned into masks, and the cheap tests of a conjunction put first.

use std::{cell::OnceCell, net::IpAddr};

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind, Timestamp};
use qw_log::fields::Found;

use crate::query::{
    constraints::Known,
    expression::{Comparison, Expression, Network, Number, Pattern, Value},
    fields::{self, EventField, Json, OutputFields, Place},
    lines,
    parse::parse_time,
    search::{self, Phrase, Wildcard},
    tokens::fold,
};

/// A query ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) root: Matcher,
    /// Names of `output_fields` that the matchers refer to by index.
    slots: Vec<String>,
}

/// One compiled node.
#[derive(Debug)]
pub(crate) enum Matcher {
    Everything,
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    /// Bit n stands for the kind with number n.
    Kind(u8),
    /// Bit n stands for the priority with number n.
    Priority(u8),
    /// Bit n stands for the category with number n.
    Category(u8),
    Time(Vec<TimeTest>),
    Event(EventField, TextTest),
    Output(usize, OutputTest),
    Text(Phrase),
}

#[derive(Debug)]
pub(crate) enum TimeTest {
    Is(Timestamp),
    Looks(Wildcard),
    Compares(Comparison, Timestamp),
}

#[derive(Debug)]
pub(crate) enum TextTest {
    Exists,
    AnyOf(Vec<TextPattern>),
}

#[derive(Debug)]
pub(crate) enum TextPattern {
    /// Folded.
    Exact(String),
    Wildcard(Wildcard),
    Network(Network),
}

#[derive(Debug)]
pub(crate) enum OutputTest {
    Exists,
    AnyOf(Vec<(TextPattern, Option<Number>)>),
    Compares(Comparison, Value),
}

/// What is known of a test without all of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    No,
    Maybe,
    Yes,
}

/// An event on trial; its `output_fields`, or its line, are read once, when a test first needs them.
struct Trial<'a> {
    event: &'a Event,
    slots: &'a [String],
    values: OnceCell<Vec<Option<FieldValue<'a>>>>,
}

/// The value of a slot.
#[derive(Debug, Clone)]
enum FieldValue<'a> {
    /// Of `output_fields`.
    Output(Json<'a>),
    /// Found in the line of a log; one matches.
    Line(Vec<Found>),
}

impl Program {
    pub(crate) fn compile(expression: &Expression) -> Self {
        let mut slots = Vec::new();
        let root = compile(expression, &mut slots);
        Self { root, slots }
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.root.matches(&Trial {
            event,
            slots: &self.slots,
            values: OnceCell::new(),
        })
    }

    pub(crate) fn may_match(&self, known: &Known<'_>) -> bool {
        self.root.judge(known) != Verdict::No
    }
}

fn compile(expression: &Expression, slots: &mut Vec<String>) -> Matcher {
    match expression {
        Expression::Everything => Matcher::Everything,
        Expression::And(parts) => Matcher::And(compile_all(parts, slots)),
        Expression::Or(parts) => Matcher::Or(compile_all(parts, slots)),
        Expression::Not(part) => Matcher::Not(Box::new(compile(part, slots))),
        Expression::Text(Pattern::Exact(text)) => {
            Matcher::Text(Phrase::new(std::slice::from_ref(text)))
        }
        Expression::Text(Pattern::Wildcard(pieces)) => Matcher::Text(Phrase::new(pieces)),
        Expression::Text(Pattern::Network(network)) => {
            Matcher::Text(Phrase::new(&[network.to_string()]))
        }
        Expression::Exists { field } => match fields::resolve(field) {
            Place::Event(EventField::Priority) => Matcher::Priority(u8::MAX),
            Place::Event(EventField::Category) => Matcher::Category(u8::MAX),
            Place::Event(EventField::Time | EventField::Kind) => Matcher::Everything,
            Place::Event(field) => Matcher::Event(field, TextTest::Exists),
            Place::Output => Matcher::Output(slot(field, slots), OutputTest::Exists),
        },
        Expression::Matches { field, patterns } => match fields::resolve(field) {
            Place::Event(EventField::Kind) => Matcher::Kind(kind_mask(patterns)),
            Place::Event(EventField::Priority) => Matcher::Priority(priority_mask(patterns)),
            Place::Event(EventField::Category) => Matcher::Category(category_mask(patterns)),
            Place::Event(EventField::Time) => {
                Matcher::Time(patterns.iter().filter_map(time_test).collect())
            }
            Place::Event(EventField::Severity) => Matcher::Event(
                EventField::Severity,
                TextTest::AnyOf(patterns.iter().map(severity_pattern).collect()),
            ),
            Place::Event(field) => Matcher::Event(
                field,
                TextTest::AnyOf(patterns.iter().map(text_pattern).collect()),
            ),
            Place::Output => {
                let patterns = patterns
                    .iter()
                    .map(|pattern| {
                        let number = match pattern {
                            Pattern::Exact(text) => Number::parse(text),
                            Pattern::Wildcard(_) | Pattern::Network(_) => None,
                        };
                        (text_pattern(pattern), number)
                    })
                    .collect();
                Matcher::Output(slot(field, slots), OutputTest::AnyOf(patterns))
            }
        },
        Expression::Compare {
            field,
            comparison,
            value,
        } => {
            match (fields::resolve(field), *value) {
                (Place::Event(EventField::Priority), Value::Priority(priority)) => {
                    // The smaller number is the more urgent, and so the greater, priority.
                    Matcher::Priority(mask(Priority::ALL.into_iter().map(|candidate| {
                        comparison.accepts(priority.as_number().cmp(&candidate.as_number()))
                    })))
                }
                (Place::Event(EventField::Time), Value::Time(time)) => {
                    Matcher::Time(vec![TimeTest::Compares(*comparison, time)])
                }
                (Place::Output, value) => {
                    Matcher::Output(slot(field, slots), OutputTest::Compares(*comparison, value))
                }
                // The parser lets no other pair through; without an order nothing matches.
                (Place::Event(_), _) => Matcher::Not(Box::new(Matcher::Everything)),
            }
        }
    }
}

fn compile_all(parts: &[Expression], slots: &mut Vec<String>) -> Vec<Matcher> {
    let mut matchers: Vec<Matcher> = parts.iter().map(|part| compile(part, slots)).collect();
    matchers.sort_by_key(Matcher::cost);
    matchers
}

fn slot(field: &str, slots: &mut Vec<String>) -> usize {
    slots
        .iter()
        .position(|slot| slot == field)
        .unwrap_or_else(|| {
            slots.push(field.to_owned());
            slots.len() - 1
        })
}

fn mask(accepted: impl Iterator<Item = bool>) -> u8 {
    accepted.enumerate().fold(0, |mask, (bit, accepted)| {
        mask | (u8::from(accepted) << bit)
    })
}

fn priority_mask(patterns: &[Pattern]) -> u8 {
    let mut accepted = 0;
    for pattern in patterns {
        accepted |= match pattern {
            Pattern::Exact(text) => text
                .parse::<Priority>()
                .map_or(0, |priority| 1 << priority.as_number()),
            pattern => {
                let pattern = text_pattern(pattern);
                mask(
                    Priority::ALL
                        .into_iter()
                        .map(|priority| pattern.matches(priority.as_str())),
                )
            }
        };
    }
    accepted
}

fn category_mask(patterns: &[Pattern]) -> u8 {
    word_mask(patterns, &Category::ALL.map(Category::as_str))
}

fn kind_mask(patterns: &[Pattern]) -> u8 {
    word_mask(patterns, &RecordKind::ALL.map(RecordKind::as_str))
}

/// Bit n is set when a pattern matches word n.
fn word_mask(patterns: &[Pattern], words: &[&str]) -> u8 {
    patterns
        .iter()
        .map(text_pattern)
        .fold(0, |accepted, pattern| {
            accepted | mask(words.iter().map(|word| pattern.matches(word)))
        })
}

/// The pattern of a level, where other words for it stand for the one that is stored.
fn severity_pattern(pattern: &Pattern) -> TextPattern {
    let known = match text_pattern(pattern) {
        TextPattern::Exact(text) => text,
        pattern => return pattern,
    };
    let stored = match &*known {
        "warning" => "warn",
        "information" | "informational" => "info",
        "err" => "error",
        "critical" | "crit" | "alert" | "emergency" | "emerg" | "panic" => "fatal",
        known => known,
    };
    TextPattern::Exact(stored.to_owned())
}

fn time_test(pattern: &Pattern) -> Option<TimeTest> {
    match pattern {
        Pattern::Exact(text) => parse_time(text).map(TimeTest::Is),
        Pattern::Wildcard(pieces) => Some(TimeTest::Looks(Wildcard::new(pieces))),
        Pattern::Network(_) => None,
    }
}

fn text_pattern(pattern: &Pattern) -> TextPattern {
    match pattern {
        Pattern::Exact(text) => TextPattern::Exact(fold(text)),
        Pattern::Wildcard(pieces) => TextPattern::Wildcard(Wildcard::new(pieces)),
        Pattern::Network(network) => TextPattern::Network(*network),
    }
}

impl Matcher {
    /// How much work the test is, roughly.
    fn cost(&self) -> usize {
        match self {
            Self::Everything | Self::Kind(_) | Self::Priority(_) | Self::Category(_) => 0,
            Self::Time(_) => 1,
            Self::Event(EventField::Output, _) => 8,
            Self::Event(..) => 2,
            Self::Output(..) => 20,
            Self::Text(_) => 40,
            Self::Not(part) => part.cost(),
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::cost).sum(),
        }
    }

    fn matches(&self, trial: &Trial<'_>) -> bool {
        let event = trial.event;
        match self {
            Self::Everything => true,
            Self::And(parts) => parts.iter().all(|part| part.matches(trial)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(trial)),
            Self::Not(part) => !part.matches(trial),
            Self::Kind(mask) => has_bit(*mask, event.kind as u8),
            Self::Priority(mask) => has_bit(*mask, event.priority.as_number()),
            Self::Category(mask) => has_bit(*mask, event.category as u8),
            Self::Time(tests) => tests.iter().any(|test| test.matches(event.time)),
            Self::Event(EventField::Tags, test) => event.tags.iter().any(|tag| test.matches(tag)),
            Self::Event(
                field @ (EventField::Container
                | EventField::ContainerId
                | EventField::ContainerName),
                test,
            ) => test.matches_container(*field, &event.container.id, &event.container.name),
            Self::Event(field, test) => test.matches(field.text(event)),
            Self::Output(slot, test) => trial
                .values()
                .get(*slot)
                .and_then(Option::as_ref)
                .is_some_and(|value| match value {
                    FieldValue::Output(value) => test.matches(value),
                    FieldValue::Line(found) => {
                        let mut found = found.iter();
                        found.any(|found| test.matches(&lines::as_json(found)))
                    }
                }),
            Self::Text(phrase) => occurs(phrase, event),
        }
    }

    fn judge(&self, known: &Known<'_>) -> Verdict {
        match self {
            Self::Everything => Verdict::Yes,
            Self::And(parts) => parts
                .iter()
                .map(|part| part.judge(known))
                .min()
                .unwrap_or(Verdict::Yes),
            Self::Or(parts) => parts
                .iter()
                .map(|part| part.judge(known))
                .max()
                .unwrap_or(Verdict::No),
            Self::Not(part) => match part.judge(known) {
                Verdict::No => Verdict::Yes,
                Verdict::Maybe => Verdict::Maybe,
                Verdict::Yes => Verdict::No,
            },
            Self::Kind(mask) => known
                .kind
                .map_or(Verdict::Maybe, |kind| has_bit(*mask, kind as u8).into()),
            Self::Priority(mask) => known.priority.map_or(Verdict::Maybe, |priority| {
                has_bit(*mask, priority.as_number()).into()
            }),
            Self::Category(mask) => known.category.map_or(Verdict::Maybe, |category| {
                has_bit(*mask, category as u8).into()
            }),
            Self::Event(EventField::Rule, test) => known
                .rule
                .map_or(Verdict::Maybe, |rule| test.matches(rule).into()),
            Self::Event(EventField::Severity, test) => match (known.kind, known.rule) {
                (Some(RecordKind::Event), _) => Verdict::No,
                (_, Some(rule)) if !test.matches(rule) => Verdict::No,
                (Some(RecordKind::Log), Some(_)) => Verdict::Yes,
                _ => Verdict::Maybe,
            },
            Self::Event(
                field @ (EventField::Container
                | EventField::ContainerId
                | EventField::ContainerName),
                test,
            ) => known.container.map_or(Verdict::Maybe, |(id, name)| {
                test.matches_container(*field, id, name).into()
            }),
            Self::Time(_) | Self::Event(..) | Self::Output(..) | Self::Text(_) => Verdict::Maybe,
        }
    }
}

impl From<bool> for Verdict {
    fn from(certain: bool) -> Self {
        if certain { Self::Yes } else { Self::No }
    }
}

fn has_bit(mask: u8, bit: u8) -> bool {
    mask >> bit & 1 == 1
}

impl<'a> Trial<'a> {
    fn values(&self) -> &[Option<FieldValue<'a>>] {
        self.values.get_or_init(|| {
            let mut values = vec![None; self.slots.len()];
            let mut missing = self.slots.len();
            for (key, value) in OutputFields::of(self.event) {
                let slot = self.slots.iter().position(|slot| *slot == key);
                if let Some(entry @ None) = slot.and_then(|slot| values.get_mut(slot)) {
                    *entry = Some(FieldValue::Output(value));
                    missing -= 1;
                    if missing == 0 {
                        break;
                    }
                }
            }
            if missing > 0 && self.event.kind == RecordKind::Log {
                lines::for_each_value(self.event, self.slots, &mut |slot, found| {
                    match values.get_mut(slot) {
                        Some(Some(FieldValue::Line(all))) => all.push(found),
                        Some(value @ None) => *value = Some(FieldValue::Line(vec![found])),
                        // What the record says of itself goes first.
                        Some(Some(FieldValue::Output(_))) | None => {}
                    }
                });
            }
            values
        })
    }
}

impl TimeTest {
    fn matches(&self, time: Timestamp) -> bool {
        match self {
            Self::Is(instant) => time == *instant,
            Self::Looks(wildcard) => wildcard.matches(&time.to_string()),
            Self::Compares(comparison, instant) => comparison.accepts(time.cmp(instant)),
        }
    }
}

impl TextTest {
    /// An empty text is a value that is not known.
    fn matches(&self, text: &str) -> bool {
        !text.is_empty()
            && match self {
                Self::Exists => true,
                Self::AnyOf(patterns) => patterns.iter().any(|pattern| pattern.matches(text)),
            }
    }

    /// Names match by themselves, ids by a prefix too.
    fn matches_container(&self, field: EventField, id: &str, name: &str) -> bool {
        let by_name = field != EventField::ContainerId && self.matches(name);
        let by_id = field != EventField::ContainerName
            && (self.matches(id)
                || match self {
                    Self::Exists => false,
                    Self::AnyOf(patterns) => patterns.iter().any(|pattern| match pattern {
                        TextPattern::Exact(prefix) => {
                            prefix.len() >= SHORTEST_ID_PREFIX && search::starts_with(id, prefix)
                        }
                        TextPattern::Wildcard(_) | TextPattern::Network(_) => false,
                    }),
                });
        by_name || by_id
    }
}

/// As [`ContainerRef::answers_to`] has it.
const SHORTEST_ID_PREFIX: usize = 12;

impl TextPattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(folded) => search::equals(text, folded),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Network(network) => {
                text.parse::<IpAddr>()
                    .is_ok_and(|address| network.contains(address))
                    || text.parse::<Network>().is_ok_and(|text| text == *network)
            }
        }
    }
}

impl OutputTest {
    /// A list matches when one of its members does; null is no value.
    fn matches(&self, value: &Json<'_>) -> bool {
        let mut found = false;
        value.for_each_element(&mut |member| found = found || self.matches_one(member));
        found
    }

    fn matches_one(&self, value: &Json<'_>) -> bool {
        if matches!(value, Json::Null) {
            return false;
        }
        match self {
            Self::Exists => true,
            Self::AnyOf(patterns) => {
                let text = value.text();
                patterns
                    .iter()
                    .any(|(pattern, number)| match (value, number) {
                        (Json::Number(raw), Some(number)) => {
                            Number::parse(raw).is_some_and(|value| value.order(*number).is_eq())
                        }
                        _ => pattern.matches(&text),
                    })
            }
            Self::Compares(comparison, Value::Number(number)) => match value {
                Json::Number(_) | Json::Text { .. } => Number::parse(&value.text())
                    .is_some_and(|value| comparison.accepts(value.order(*number))),
                _ => false,
            },
            Self::Compares(comparison, Value::Time(time)) => {
                let text = value.text();
                let value = match value {
                    // Falco writes times as nanoseconds.
                    Json::Number(_) => text.parse().ok().map(Timestamp::from_nanos),
                    Json::Text { .. } => text.parse().ok(),
                    _ => None,
                };
                value.is_some_and(|value| comparison.accepts(value.cmp(time)))
            }
            Self::Compares(_, Value::Priority(_)) => false,
        }
    }
}

/// Searches free text in everything an event says.
fn occurs(phrase: &Phrase, event: &Event) -> bool {
    if phrase.matches(&event.output) || event.tags.iter().any(|tag| phrase.matches(tag)) {
        return true;
    }
    let ContainerRef {
        name,
        image,
        image_repository,
        image_digest,
        compose_project,
        compose_service,
        k8s_namespace,
        k8s_pod,
        ..
    } = &*event.container;
    let texts = [
        &event.rule,
        &event.hostname,
        &event.process_name,
        name,
        image,
        image_repository,
        image_digest,
        compose_project,
        compose_service,
        k8s_namespace,
        k8s_pod,
    ];
    if texts.into_iter().any(|text| phrase.matches(text)) {
        return true;
    }
    if !phrase.may_be_in(event.output_fields.get()) {
        return false;
    }
    let mut found = false;
    for (_, value) in OutputFields::of(event) {
        value.for_each_element(&mut |member| {
            found = found || (*member != Json::Null && phrase.matches(&member.text()));
        });
        if found {
            return true;
        }
    }
    false
}
