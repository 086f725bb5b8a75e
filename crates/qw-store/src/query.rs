//! The query language of events: text → [`Filter`] → does an event match?
//!
//! Specified in `docs/query-language.md`. [`parse`] turns text into an [`Expression`] and compiles it
//! into a [`Filter`]. A filter judges whole events ([`Filter::matches`]), says what can be known
//! beforehand for pruning ([`Filter::constraints`], [`Filter::may_match`]), and judges roll-ups.
//! Pure: no I/O, no clock, so there are no relative times here.

mod constraints;
mod eval;
mod expression;
mod fields;
mod lines;
mod parse;
mod search;
mod tokens;

use std::sync::Arc;

pub use constraints::{Constraints, Known};
pub use expression::{Comparison, Expression, Network, Number, Pattern, Value};
pub use fields::{FIELDS, Field, FieldKind, field_value, for_each_value};
pub(crate) use fields::{canonical_name, for_each_output_value};
pub(crate) use lines::{for_each_text as for_each_line_text, values_are_words};
pub use parse::{MAX_DEPTH, MAX_TERMS, MAX_TEXT_BYTES, ParseError, parse};
use qw_event::{Category, Event, Priority, RecordKind};
pub(crate) use tokens::fold;
pub use tokens::{MAX_TOKEN_BYTES, event_tokens, tokens};

use crate::query::eval::Program;

/// A checked query, ready to run; matches everything by default. Cheap to clone.
///
/// Two filters are equal when their expressions are.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    compiled: Option<Arc<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    expression: Expression,
    program: Program,
    names_kinds: bool,
}

impl Filter {
    /// The filter that every event matches.
    pub const fn everything() -> Self {
        Self { compiled: None }
    }

    /// Events of the container with the id, id prefix of at least twelve characters, or name
    /// `id_or_name`; the same as `container:"…"`.
    pub fn container(id_or_name: &str) -> Self {
        Self::equals("container", [id_or_name])
    }

    /// Events of `priority` or more urgent; the same as `priority>=…`.
    pub fn minimum_priority(priority: Priority) -> Self {
        Self::from(Expression::Compare {
            field: "priority".to_owned(),
            comparison: Comparison::GreaterOrEqual,
            value: Value::Priority(priority),
        })
    }

    /// Events whose `field` is one of `values`, regardless of case; nothing when there are none.
    pub fn equals<'a>(field: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        let field = canonical_name(field).to_owned();
        let patterns = values
            .into_iter()
            .map(|value| Pattern::Exact(value.to_owned()))
            .collect::<Vec<_>>();
        if patterns.is_empty() {
            return Self::from(Expression::negation(Expression::Everything));
        }
        Self::from(Expression::Matches { field, patterns })
    }

    /// Events that match both this filter and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.expression(), other.expression()) {
            (None, _) => other,
            (_, None) => self,
            (Some(left), Some(right)) => Self::from(Expression::all([left.clone(), right.clone()])),
        }
    }

    /// What was asked for; `None` when it was everything.
    pub fn expression(&self) -> Option<&Expression> {
        self.compiled
            .as_deref()
            .map(|compiled| &compiled.expression)
    }

    /// True when every event matches without being looked at.
    pub fn is_everything(&self) -> bool {
        self.compiled.is_none()
    }

    /// True when `event` matches.
    pub fn matches(&self, event: &Event) -> bool {
        self.compiled
            .as_deref()
            .is_none_or(|compiled| compiled.program.matches(event))
    }

    /// False when no event of which this much is known can match.
    ///
    /// It is the general form of pruning: ask it once per entry of a dictionary of containers or
    /// rules, and once per roll-up row.
    pub fn may_match(&self, known: &Known<'_>) -> bool {
        self.compiled
            .as_deref()
            .is_none_or(|compiled| compiled.program.may_match(known))
    }

    /// True when records with these six values can match.
    ///
    /// Exact (they do match) when [`Constraints::only_rollup_fields`] is true.
    pub fn matches_rollup(
        &self,
        kind: RecordKind,
        container_id: &str,
        container_name: &str,
        rule: &str,
        priority: Priority,
        category: Category,
    ) -> bool {
        self.may_match(&Known {
            kind: Some(kind),
            container: Some((container_id, container_name)),
            rule: Some(rule),
            priority: Some(priority),
            category: Some(category),
        })
    }

    /// True when the query itself says which kinds of records it is about.
    pub fn names_kinds(&self) -> bool {
        self.compiled
            .as_deref()
            .is_some_and(|compiled| compiled.names_kinds)
    }

    /// What every matching event has in common, as far as that can be said without events.
    pub fn constraints(&self) -> Constraints {
        match self.compiled.as_deref() {
            Some(compiled) => compiled.program.constraints(),
            None => Constraints::none(),
        }
    }
}

fn names_kinds(expression: &Expression) -> bool {
    match expression {
        Expression::And(parts) | Expression::Or(parts) => parts.iter().any(names_kinds),
        Expression::Not(part) => names_kinds(part),
        Expression::Exists { field }
        | Expression::Matches { field, .. }
        | Expression::Compare { field, .. } => fields::is_kind(field),
        Expression::Everything | Expression::Text(_) => false,
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.expression() == other.expression()
    }
}

impl From<Expression> for Filter {
    fn from(expression: Expression) -> Self {
        if expression == Expression::Everything {
            return Self::everything();
        }
        let program = Program::compile(&expression);
        Self {
            compiled: Some(Arc::new(Compiled {
                names_kinds: names_kinds(&expression),
                expression,
                program,
            })),
        }
    }
}

#[cfg(test)]
mod tests;
