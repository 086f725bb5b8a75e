//! What every event that matches a query has in common: what a store prunes by.
//!
//! Each constraint errs on one side only: an event that breaks it cannot match, an event that keeps
//! it may still not match.

use std::collections::BTreeSet;

use qw_event::{Category, Priority, RecordKind, Timestamp};

use crate::{
    Kinds,
    query::{
        eval::{Matcher, OutputTest, Program, TextPattern, TextTest, TimeTest},
        expression::{Comparison, Number},
        fields::EventField,
        search::equals,
        tokens::tokens,
    },
};

/// What is known of events before they are looked at; `None` is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What the record is.
    pub kind: Option<RecordKind>,
    /// Id and name of the container.
    pub container: Option<(&'a str, &'a str)>,
    /// Rule.
    pub rule: Option<&'a str>,
    /// Priority.
    pub priority: Option<Priority>,
    /// Category.
    pub category: Option<Category>,
}

/// What matching events have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// Ids, id prefixes and names in lower case, one of which the container answers to; `None` sets
    /// no bound. For dictionaries of containers [`Filter::may_match`] is sharper.
    ///
    /// [`Filter::may_match`]: crate::query::Filter::may_match
    pub containers: Option<BTreeSet<String>>,
    /// Names of rules in lower case, one of which is the event's; `None` sets no bound.
    pub rules: Option<BTreeSet<String>>,
    /// Records of no other kinds match.
    pub kinds: Kinds,
    /// Bit n set: the priority with number n can match; `None` when all can.
    pub priorities: Option<u8>,
    /// Bit n set: the category with number n can match; `None` when all can.
    pub categories: Option<u8>,
    /// No event before this instant matches.
    pub earliest: Option<Timestamp>,
    /// No event after this instant matches.
    pub latest: Option<Timestamp>,
    /// From each inner list an event has at least one token among those that [`event_tokens`]
    /// yields; no inner list is empty.
    ///
    /// [`event_tokens`]: crate::query::event_tokens
    pub required_tokens: Vec<Vec<String>>,
    /// From each inner list an event contains at least one text, regardless of case, within one of
    /// the texts that [`event_tokens`] takes tokens from; no inner list is empty. These are parts of
    /// words, or of several, where `required_tokens` has whole words.
    ///
    /// [`event_tokens`]: crate::query::event_tokens
    pub required_parts: Vec<Vec<String>>,
    /// True when kind, container (id and name), rule, priority and category alone decide, so that
    /// [`Filter::matches_rollup`] is exact.
    ///
    /// [`Filter::matches_rollup`]: crate::query::Filter::matches_rollup
    pub only_rollup_fields: bool,
}

impl Constraints {
    /// The constraints of the query for everything.
    pub(crate) const fn none() -> Self {
        Self {
            containers: None,
            rules: None,
            kinds: Kinds::ALL,
            priorities: None,
            categories: None,
            earliest: None,
            latest: None,
            required_tokens: Vec::new(),
            required_parts: Vec::new(),
            only_rollup_fields: true,
        }
    }

    /// True when events with tokens of which `has_token` knows can match.
    ///
    /// `has_token` may say true of a token that is not there (a bloom does), never the reverse.
    pub fn allow_tokens(&self, has_token: impl Fn(&str) -> bool) -> bool {
        self.required_tokens
            .iter()
            .all(|any| any.iter().any(|token| has_token(token)))
    }

    /// True when events of rule `rule` can match.
    pub fn allow_rule(&self, rule: &str) -> bool {
        self.rules
            .as_ref()
            .is_none_or(|rules| rules.iter().any(|candidate| equals(rule, candidate)))
    }

    /// True when events of `priority` can match.
    pub fn allow_priority(&self, priority: Priority) -> bool {
        self.priorities
            .is_none_or(|mask| mask >> priority.as_number() & 1 == 1)
    }

    /// True when events of `category` can match.
    pub fn allow_category(&self, category: Category) -> bool {
        self.categories
            .is_none_or(|mask| mask >> category as u8 & 1 == 1)
    }

    /// True when events between `first` and `last`, both included, can match.
    pub fn allow_times(&self, first: Timestamp, last: Timestamp) -> bool {
        self.earliest.is_none_or(|earliest| last >= earliest)
            && self.latest.is_none_or(|latest| first <= latest)
    }
}

impl Program {
    pub(crate) fn constraints(&self) -> Constraints {
        let mut priorities = 0;
        for priority in Priority::ALL {
            let known = Known {
                priority: Some(priority),
                ..Known::default()
            };
            priorities |= u8::from(self.may_match(&known)) << priority.as_number();
        }
        let mut categories = 0;
        for category in Category::ALL {
            let known = Known {
                category: Some(category),
                ..Known::default()
            };
            categories |= u8::from(self.may_match(&known)) << category as u8;
        }
        let kinds = RecordKind::ALL.into_iter().filter(|kind| {
            self.may_match(&Known {
                kind: Some(*kind),
                ..Known::default()
            })
        });
        let (earliest, latest) = times(&self.root);
        Constraints {
            containers: names(&self.root, is_container),
            rules: names(&self.root, is_rule),
            kinds: kinds.collect(),
            priorities: (priorities != u8::MAX).then_some(priorities),
            categories: (categories != 0b1111).then_some(categories),
            earliest,
            latest,
            required_tokens: required(&self.root, Kind::Tokens),
            required_parts: required(&self.root, Kind::Parts),
            only_rollup_fields: only_rollup_fields(&self.root),
        }
    }
}

fn is_container(field: EventField) -> bool {
    matches!(
        field,
        EventField::Container | EventField::ContainerId | EventField::ContainerName
    )
}

fn is_rule(field: EventField) -> bool {
    matches!(field, EventField::Rule | EventField::Severity)
}

/// The exact values of the fields that `wanted` selects.
fn names(matcher: &Matcher, wanted: fn(EventField) -> bool) -> Option<BTreeSet<String>> {
    match matcher {
        // One container can have both an id and a name that are asked for, so the sets of a
        // conjunction are not intersected; the smaller one is bound enough.
        Matcher::And(parts) => parts
            .iter()
            .filter_map(|part| names(part, wanted))
            .min_by_key(BTreeSet::len),
        Matcher::Or(parts) => parts
            .iter()
            .map(|part| names(part, wanted))
            .collect::<Option<Vec<_>>>()
            .map(|sets| sets.into_iter().flatten().collect()),
        Matcher::Event(field, TextTest::AnyOf(patterns)) if wanted(*field) => patterns
            .iter()
            .map(|pattern| match pattern {
                TextPattern::Exact(text) => Some(text.clone()),
                TextPattern::Wildcard(_) | TextPattern::Network(_) => None,
            })
            .collect(),
        _ => None,
    }
}

/// The first and the last instant that can match.
fn times(matcher: &Matcher) -> (Option<Timestamp>, Option<Timestamp>) {
    match matcher {
        Matcher::And(parts) => parts.iter().map(times).fold((None, None), |bounds, part| {
            (
                bounds.0.max(part.0),
                match (bounds.1, part.1) {
                    (Some(left), Some(right)) => Some(left.min(right)),
                    (left, right) => left.or(right),
                },
            )
        }),
        Matcher::Time(tests) => match tests.as_slice() {
            [TimeTest::Is(time)] => (Some(*time), Some(*time)),
            [TimeTest::Compares(Comparison::Less | Comparison::LessOrEqual, time)] => {
                (None, Some(*time))
            }
            [TimeTest::Compares(Comparison::Greater | Comparison::GreaterOrEqual, time)] => {
                (Some(*time), None)
            }
            _ => (None, None),
        },
        _ => (None, None),
    }
}

fn only_rollup_fields(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Everything | Matcher::Kind(_) | Matcher::Priority(_) | Matcher::Category(_) => {
            true
        }
        Matcher::And(parts) | Matcher::Or(parts) => parts.iter().all(only_rollup_fields),
        Matcher::Not(part) => only_rollup_fields(part),
        Matcher::Event(field, _) => is_container(*field) || is_rule(*field),
        Matcher::Time(_) | Matcher::Output(..) | Matcher::Text(_) => false,
    }
}

/// What a clause is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tokens,
    Parts,
}

fn required(matcher: &Matcher, kind: Kind) -> Vec<Vec<String>> {
    let one_each = |texts: Vec<String>| texts.into_iter().map(|text| vec![text]).collect();
    let of_pattern = |pattern: &TextPattern| match kind {
        Kind::Tokens => pattern.tokens(),
        Kind::Parts => pattern.parts(),
    };
    match matcher {
        Matcher::And(parts) => {
            let mut clauses: Vec<Vec<String>> =
                parts.iter().flat_map(|part| required(part, kind)).collect();
            clauses.sort();
            clauses.dedup();
            clauses
        }
        Matcher::Or(parts) => {
            // Of each alternative the clause that says most: with the fewest and longest texts.
            let alternatives = parts.iter().map(|part| {
                required(part, kind).into_iter().min_by_key(|clause| {
                    let shortest = clause.iter().map(String::len).min().unwrap_or(0);
                    (clause.len(), usize::MAX - shortest)
                })
            });
            merged(alternatives)
        }
        Matcher::Text(phrase) => one_each(match kind {
            Kind::Tokens => phrase.tokens(),
            Kind::Parts => phrase.parts(),
        }),
        Matcher::Event(field, TextTest::AnyOf(patterns)) if is_tokenized(*field) => {
            match patterns.as_slice() {
                [pattern] => one_each(of_pattern(pattern)),
                patterns => merged(patterns.iter().map(|pattern| longest(of_pattern(pattern)))),
            }
        }
        Matcher::Output(_, OutputTest::AnyOf(patterns)) => {
            let texts = |(pattern, number): &(TextPattern, Option<Number>)| match (pattern, number)
            {
                // 443 is also written 443.0, and 4.50 is 4.5.
                (TextPattern::Exact(text), Some(Number::Integer(integer)))
                    if integer.to_string() == *text && kind == Kind::Tokens =>
                {
                    pattern.tokens()
                }
                (_, Some(_)) => Vec::new(),
                (pattern, None) => of_pattern(pattern),
            };
            match patterns.as_slice() {
                [pattern] => one_each(texts(pattern)),
                patterns => merged(patterns.iter().map(|pattern| longest(texts(pattern)))),
            }
        }
        _ => Vec::new(),
    }
}

/// One clause out of one per alternative; none when an alternative has none.
fn merged(alternatives: impl Iterator<Item = Option<Vec<String>>>) -> Vec<Vec<String>> {
    match alternatives.collect::<Option<Vec<_>>>() {
        Some(clauses) => {
            let mut clause: Vec<String> = clauses.into_iter().flatten().collect();
            clause.sort();
            clause.dedup();
            if clause.is_empty() {
                Vec::new()
            } else {
                vec![clause]
            }
        }
        None => Vec::new(),
    }
}

fn longest(tokens: Vec<String>) -> Option<Vec<String>> {
    tokens
        .into_iter()
        .max_by_key(String::len)
        .map(|token| vec![token])
}

/// True for fields whose tokens [`event_tokens`] yields.
///
/// [`event_tokens`]: crate::query::event_tokens
fn is_tokenized(field: EventField) -> bool {
    match field {
        EventField::Kind
        | EventField::Priority
        | EventField::Category
        | EventField::Time
        | EventField::Container
        | EventField::ContainerId => false,
        EventField::Rule
        | EventField::Severity
        | EventField::Source
        | EventField::Hostname
        | EventField::Tags
        | EventField::Output
        | EventField::ContainerName
        | EventField::ContainerImage
        | EventField::ImageRepository
        | EventField::ImageTag
        | EventField::ImageDigest
        | EventField::ComposeProject
        | EventField::ComposeService
        | EventField::K8sNamespace
        | EventField::K8sPod
        | EventField::ProcessName => true,
    }
}

impl TextPattern {
    /// Tokens every text that matches has.
    fn tokens(&self) -> Vec<String> {
        match self {
            Self::Exact(text) => tokens(text).map(std::borrow::Cow::into_owned).collect(),
            Self::Wildcard(wildcard) => wildcard.tokens(),
            Self::Network(_) => Vec::new(),
        }
    }

    /// Folded texts that every text that matches contains.
    fn parts(&self) -> Vec<String> {
        match self {
            Self::Exact(text) if text.is_empty() => Vec::new(),
            Self::Exact(text) => vec![text.clone()],
            Self::Wildcard(wildcard) => wildcard.parts(),
            Self::Network(_) => Vec::new(),
        }
    }
}
