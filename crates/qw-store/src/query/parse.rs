//! Text of a query → [`Expression`], or what is wrong with it and where.
//!
//! Recursive descent over the grammar in `docs/query-language.md`. Length, depth and number of terms
//! are bounded before anything grows with them, so that no text can exhaust stack or memory.

use std::net::IpAddr;

use qw_event::{Category, Priority, RecordKind, Timestamp};

use crate::query::{
    Filter,
    expression::{Comparison, Expression, Network, Number, Pattern, Value},
    fields::{self, FieldKind},
};

/// Longest text of a query, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 64;

/// Most terms of a query; every member of a set counts.
pub const MAX_TERMS: usize = 256;

/// Reads a query; a text without anything in it asks for everything.
pub fn parse(text: &str) -> Result<Filter, ParseError> {
    parse_expression(text).map(Filter::from)
}

/// Why a text is not a query, and which part of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {position})")]
pub struct ParseError {
    /// What was expected and the way out: a sentence without a full stop.
    pub message: String,
    /// Byte offset of the part; the length of the text when something is missing at its end.
    pub position: usize,
    /// Length of the part in bytes; zero when something is missing.
    pub length: usize,
}

pub(crate) fn parse_expression(text: &str) -> Result<Expression, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError {
            message: format!(
                "the query has {} bytes; the longest has {MAX_TEXT_BYTES}",
                text.len()
            ),
            position: text.floor_char_boundary(MAX_TEXT_BYTES),
            length: text.len() - text.floor_char_boundary(MAX_TEXT_BYTES),
        });
    }
    let mut parser = Parser {
        text,
        position: 0,
        terms: 0,
    };
    parser.skip_whitespace();
    if parser.at_end() {
        return Ok(Expression::Everything);
    }
    let expression = parser.alternatives(0)?;
    if !parser.at_end() {
        return Err(parser.error(
            1,
            "this `)` closes nothing; remove it or write it in quotes",
        ));
    }
    Ok(expression)
}

struct Parser<'t> {
    text: &'t str,
    /// Always on a character boundary.
    position: usize,
    terms: usize,
}

/// A value as written.
struct Written {
    /// What stands between the stars; one piece when there are none.
    pieces: Vec<String>,
    /// True when any part of it was in quotes.
    quoted: bool,
    start: usize,
}

/// What stands between a field and its value.
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Matches,
    Differs,
    Contains,
    Compares(Comparison),
}

/// Longest first where one begins another.
const OPERATORS: [(&str, Operator); 10] = [
    ("!=", Operator::Differs),
    ("==", Operator::Matches),
    ("=~", Operator::Contains),
    (":~", Operator::Contains),
    ("<=", Operator::Compares(Comparison::LessOrEqual)),
    (">=", Operator::Compares(Comparison::GreaterOrEqual)),
    ("<", Operator::Compares(Comparison::Less)),
    (">", Operator::Compares(Comparison::Greater)),
    ("=", Operator::Matches),
    (":", Operator::Matches),
];

impl<'t> Parser<'t> {
    /// `a or b or c`, up to the end or a closing parenthesis.
    fn alternatives(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.take_keyword("or") {
            self.operand_follows("or")?;
            parts.push(self.conjunction(depth)?);
        }
        Ok(Expression::any(parts))
    }

    /// `a b and c`, up to `or`, the end or a closing parenthesis.
    fn conjunction(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut parts = vec![self.negation(depth)?];
        loop {
            self.skip_whitespace();
            if self.take_keyword("and") {
                self.operand_follows("and")?;
            } else if self.at_end() || self.next_is(')') || self.at_keyword("or") {
                return Ok(Expression::all(parts));
            }
            parts.push(self.negation(depth)?);
        }
    }

    /// Checks that something stands after a keyword that was just taken.
    fn operand_follows(&mut self, keyword: &str) -> Result<(), ParseError> {
        self.skip_whitespace();
        if self.at_end() || self.next_is(')') {
            return Err(self.error(0, &format!(
                "expected a term after `{keyword}`; to search for the word itself write it in quotes"
            )));
        }
        Ok(())
    }

    /// A term or parentheses, after any number of `not`, `-` and `!`.
    fn negation(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut negations = 0;
        loop {
            self.skip_whitespace();
            if self.take_keyword("not") {
                self.operand_follows("not")?;
            } else if let Some(sign @ ('-' | '!')) = self.peek() {
                let next = self.rest().chars().nth(1);
                if next.is_none_or(|next| next.is_whitespace() || next == ')') {
                    return Err(self.error(1, &format!(
                        "expected a term directly after `{sign}`; to search for the sign itself write it in quotes"
                    )));
                }
                self.position += 1;
            } else {
                break;
            }
            negations += 1;
            self.check_depth(depth + negations)?;
        }
        let mut expression = self.operand(depth + negations)?;
        for _ in 0..negations {
            expression = Expression::negation(expression);
        }
        Ok(expression)
    }

    fn check_depth(&self, depth: usize) -> Result<(), ParseError> {
        if depth > MAX_DEPTH {
            return Err(self.error(0, &format!(
                "parentheses and negations are nested more than {MAX_DEPTH} deep here; write the query flatter"
            )));
        }
        Ok(())
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, ParseError> {
        for keyword in ["and", "or"] {
            if self.at_keyword(keyword) {
                return Err(self.error(keyword.len(), &format!(
                    "expected a term before `{keyword}`; to search for the word itself write it in quotes"
                )));
            }
        }
        let Some(next) = self.peek() else {
            return Err(self.error(0, "expected a term"));
        };
        match next {
            '(' => self.parentheses(depth + 1),
            ')' => Err(self.error(1, "expected a term before `)`; remove it or write it in quotes")),
            ':' | '=' | '<' | '>' => Err(self.error(1, &format!(
                "expected the name of a field before `{next}`; to search for the sign itself write it in quotes"
            ))),
            '&' | '|' if self.rest().starts_with("&&") || self.rest().starts_with("||") => {
                let word = if next == '&' { "and" } else { "or" };
                Err(self.error(2, &format!("`{next}{next}` is written `{word}` here")))
            }
            _ => match self.field_and_operator() {
                Some((field, operator)) => {
                    // `field!=value` is the negation of `field:value`.
                    self.check_depth(depth + usize::from(operator == Operator::Differs))?;
                    self.field_term(&field, operator)
                }
                None => self.free_text(),
            },
        }
    }

    fn parentheses(&mut self, depth: usize) -> Result<Expression, ParseError> {
        self.check_depth(depth)?;
        let open = self.position;
        self.position += 1;
        self.skip_whitespace();
        if self.next_is(')') {
            let length = self.position + 1 - open;
            self.position = open;
            return Err(self.error(length, "expected a term between `(` and `)`"));
        }
        let expression = if self.at_end() {
            None
        } else {
            Some(self.alternatives(depth)?)
        };
        self.skip_whitespace();
        match expression {
            Some(expression) if self.next_is(')') => {
                self.position += 1;
                Ok(expression)
            }
            _ => {
                self.position = open;
                Err(self.error(1, "expected a `)` that closes this `(`"))
            }
        }
    }

    /// Takes `name:` or the like; takes nothing when this is not a field with an operator.
    fn field_and_operator(&mut self) -> Option<(String, Operator)> {
        let start = self.position;
        let length = field_name_length(self.rest());
        let name = self.rest().get(..length).filter(|name| !name.is_empty())?;
        self.position += length;
        self.skip_whitespace();
        for (sign, operator) in OPERATORS {
            if self.rest().starts_with(sign) {
                self.position += sign.len();
                return Some((fields::canonical_name(name).to_owned(), operator));
            }
        }
        self.position = start;
        None
    }

    fn field_term(&mut self, field: &str, operator: Operator) -> Result<Expression, ParseError> {
        let after_operator = self.position;
        self.skip_whitespace();
        if operator == Operator::Matches
            && let Some(sign @ ('<' | '>' | '=' | '!' | '~' | ':')) = self.peek()
        {
            return Err(self.error(1, &format!(
                "expected a value after `{field}:`; the operators are `:`, `=`, `!=`, `:~`, `<`, `<=`, `>` and `>=`, and a value that begins with `{sign}` is written in quotes"
            )));
        }
        if self.next_is('(') {
            return self.set(field, operator, after_operator);
        }
        let written = self.value(field, false)?;
        match operator {
            Operator::Compares(comparison) => self.comparison(field, comparison, &written),
            Operator::Matches => {
                let pattern = self.pattern(field, written, false)?;
                Ok(matches(field, pattern.into_iter().collect()))
            }
            Operator::Contains => {
                let pattern = self.pattern(field, written, true)?;
                Ok(matches(field, pattern.into_iter().collect()))
            }
            Operator::Differs => {
                let pattern = self.pattern(field, written, false)?;
                Ok(Expression::negation(matches(
                    field,
                    pattern.into_iter().collect(),
                )))
            }
        }
    }

    /// `(a or b, "c d")`.
    fn set(
        &mut self,
        field: &str,
        operator: Operator,
        after_operator: usize,
    ) -> Result<Expression, ParseError> {
        if let Operator::Compares(comparison) = operator {
            return Err(self.error(
                1,
                &format!(
                    "expected one value after `{field}{}`; a set has no order",
                    comparison.as_str()
                ),
            ));
        }
        let open = self.position;
        self.position += 1;
        let mut patterns = Vec::new();
        let mut anything = false;
        loop {
            self.skip_whitespace();
            if self.at_end() {
                self.position = open;
                return Err(self.error(1, "expected a `)` that closes this `(`"));
            }
            if self.next_is(')') || self.next_is(',') {
                return Err(self.error(
                    1,
                    &format!(
                        "expected a value in the set of `{field}`, such as `{field}:(a or b)`"
                    ),
                ));
            }
            if self.next_is('(') || self.at_keyword("not") {
                let length = if self.next_is('(') { 1 } else { 3 };
                return Err(self.error(length, &format!(
                    "expected a value in the set of `{field}`; a set holds values only, so negate the whole term or write the word in quotes"
                )));
            }
            let written = self.value(field, true)?;
            match self.pattern(field, written, operator == Operator::Contains)? {
                Some(pattern) => patterns.push(pattern),
                None => anything = true,
            }
            self.skip_whitespace();
            if self.next_is(')') {
                self.position += 1;
                break;
            }
            if self.next_is(',') {
                self.position += 1;
            } else if self.take_keyword("or") {
                self.skip_whitespace();
            } else if self.at_end() {
                self.position = open;
                return Err(self.error(1, "expected a `)` that closes this `(`"));
            } else {
                return Err(self.error(self.word_length(), &format!(
                    "expected `or` or `)` in the set of `{field}`; a value with spaces is written in quotes"
                )));
            }
        }
        debug_assert!(self.position > after_operator);
        let expression = matches(field, if anything { Vec::new() } else { patterns });
        Ok(if operator == Operator::Differs {
            Expression::negation(expression)
        } else {
            expression
        })
    }

    /// Takes what stands after an operator or in a set.
    fn value(&mut self, field: &str, in_set: bool) -> Result<Written, ParseError> {
        for keyword in ["and", "or", "not"] {
            if self.at_keyword(keyword) {
                return Err(self.error(keyword.len(), &format!(
                    "expected a value for `{field}`; to match the word `{keyword}` write it in quotes"
                )));
            }
        }
        if self.at_end() || self.next_is(')') {
            return Err(self.error(0, &format!(
                "expected a value for `{field}`; write `{field}:*` for any value and `{field}:\"\"` for an empty one"
            )));
        }
        self.written(in_set)
    }

    /// Takes a run of quoted parts, bare parts and stars.
    fn written(&mut self, in_set: bool) -> Result<Written, ParseError> {
        let start = self.position;
        if self.next_is('\'') {
            return Err(self.error(1, "texts are quoted with `\"`, not with `'`"));
        }
        let mut pieces = vec![String::new()];
        let mut quoted = false;
        while let Some(next) = self.peek() {
            match next {
                '(' | ')' => break,
                ',' if in_set => break,
                next if next.is_whitespace() => break,
                '*' => {
                    self.position += 1;
                    // Several stars in a row mean what one means.
                    if pieces.len() == 1 || pieces.last().is_some_and(|piece| !piece.is_empty()) {
                        pieces.push(String::new());
                    }
                }
                '"' => {
                    quoted = true;
                    let part = self.quoted()?;
                    if let Some(piece) = pieces.last_mut() {
                        piece.push_str(&part);
                    }
                }
                next => {
                    self.position += next.len_utf8();
                    if let Some(piece) = pieces.last_mut() {
                        piece.push(next);
                    }
                }
            }
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let length = self.position - start;
            self.position = start;
            return Err(self.error(length, &format!(
                "this is one term more than the {MAX_TERMS} a query may have; use a wildcard or two queries"
            )));
        }
        Ok(Written {
            pieces,
            quoted,
            start,
        })
    }

    /// Takes `"…"` and returns what it says.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let open = self.position;
        self.position += 1;
        let mut part = String::new();
        loop {
            let Some(next) = self.peek() else {
                self.position = open;
                return Err(self.error(
                    self.text.len() - open,
                    "expected a `\"` that closes this text; a quote within it is written `\\\"`",
                ));
            };
            let at = self.position;
            self.position += next.len_utf8();
            match next {
                '"' => return Ok(part),
                '\\' => part.push(self.escape(at)?),
                next => part.push(next),
            }
        }
    }

    /// Takes what stands after the backslash at `at`.
    fn escape(&mut self, at: usize) -> Result<char, ParseError> {
        let next = self.peek();
        let plain = match next {
            Some('"') => Some('"'),
            Some('\\') => Some('\\'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            _ => None,
        };
        if let Some(plain) = plain {
            self.position += 1;
            return Ok(plain);
        }
        let hexadecimal = self
            .rest()
            .strip_prefix("u{")
            .and_then(|rest| rest.split_once('}'))
            .map(|(digits, _)| digits)
            .filter(|digits| (1..=6).contains(&digits.len()));
        if let Some(digits) = hexadecimal
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            && let Some(character) = u32::from_str_radix(digits, 16)
                .ok()
                .and_then(char::from_u32)
        {
            self.position += "u{}".len() + digits.len();
            return Ok(character);
        }
        let length = 1 + next.map_or(0, char::len_utf8);
        self.position = at;
        Err(self.error(
            length,
            "unknown escape; expected one of `\\\"`, `\\\\`, `\\n`, `\\r`, `\\t`, `\\u{…}`, and a backslash is written `\\\\`",
        ))
    }

    /// Makes a pattern of a value; `None` when any value will do.
    fn pattern(
        &self,
        field: &str,
        written: Written,
        contains: bool,
    ) -> Result<Option<Pattern>, ParseError> {
        let Written {
            mut pieces,
            quoted,
            start,
        } = written;
        if pieces.len() > 1 || contains {
            if contains {
                // The ends of a part are open: an empty piece before and behind it.
                if pieces.first().is_some_and(|piece| !piece.is_empty()) {
                    pieces.insert(0, String::new());
                }
                if pieces.last().is_some_and(|piece| !piece.is_empty()) {
                    pieces.push(String::new());
                }
            }
            if pieces.iter().all(String::is_empty) {
                return Ok(None);
            }
            return Ok(Some(Pattern::Wildcard(pieces)));
        }
        let text = pieces.pop().unwrap_or_default();
        if !quoted
            && fields::kind(field) == FieldKind::Any
            && let Some(network) = network(&text, start)?
        {
            return Ok(Some(Pattern::Network(network)));
        }
        self.check_exact(field, &text, start)?;
        Ok(Some(Pattern::Exact(text)))
    }

    /// Checks that `text` can be a value of `field` at all.
    fn check_exact(&self, field: &str, text: &str, start: usize) -> Result<(), ParseError> {
        let span = self.position - start;
        match fields::kind(field) {
            FieldKind::Priority => {
                text.parse::<Priority>()
                    .map_err(|error| error_at(start, span, &error.to_string()))?;
            }
            FieldKind::Category => {
                let known = Category::ALL
                    .into_iter()
                    .any(|category| text.eq_ignore_ascii_case(category.as_str()));
                if !known {
                    return Err(error_at(
                        start,
                        span,
                        &format!(
                            "`{}` is no category; expected one of process, network, file, unknown",
                            excerpt(text)
                        ),
                    ));
                }
            }
            FieldKind::Time => {
                self.time(text, start)?;
            }
            FieldKind::Text if fields::is_kind(field) => {
                let known = RecordKind::ALL
                    .into_iter()
                    .any(|kind| text.eq_ignore_ascii_case(kind.as_str()));
                if !known {
                    let text = excerpt(text);
                    return Err(error_at(
                        start,
                        span,
                        &format!("`{text}` is no kind; expected one of event, log"),
                    ));
                }
            }
            FieldKind::Text
            | FieldKind::List
            | FieldKind::Number
            | FieldKind::Address
            | FieldKind::Any => {}
        }
        Ok(())
    }

    fn time(&self, text: &str, start: usize) -> Result<Timestamp, ParseError> {
        parse_time(text).ok_or_else(|| {
            error_at(start, self.position - start, &format!(
                "`{}` is no time; expected RFC 3339 such as `2026-11-21T09:00:00Z` or a day such as `2026-11-21`, and relative times belong to the time range beside the query",
                excerpt(text)
            ))
        })
    }

    fn comparison(
        &self,
        field: &str,
        comparison: Comparison,
        written: &Written,
    ) -> Result<Expression, ParseError> {
        let sign = comparison.as_str();
        let start = written.start;
        let span = self.position - start;
        let [text] = written.pieces.as_slice() else {
            return Err(error_at(
                start,
                span,
                &format!("expected one value after `{field}{sign}`; a wildcard has no order"),
            ));
        };
        let value = match fields::kind(field) {
            FieldKind::Priority => Value::Priority(
                text.parse::<Priority>()
                    .map_err(|error| error_at(start, span, &error.to_string()))?,
            ),
            FieldKind::Time => Value::Time(self.time(text, start)?),
            FieldKind::Number | FieldKind::Address | FieldKind::Any => {
                match (Number::parse(text), parse_time(text)) {
                    (Some(number), _) => Value::Number(number),
                    (None, Some(time)) => Value::Time(time),
                    (None, None) => {
                        return Err(error_at(
                            start,
                            span,
                            &format!(
                                "expected a number or an RFC 3339 time after `{field}{sign}`, found `{}`; texts have no order, match them with `{field}:`",
                                excerpt(text)
                            ),
                        ));
                    }
                }
            }
            FieldKind::Text | FieldKind::List | FieldKind::Category => {
                return Err(error_at(
                    start,
                    span,
                    &format!("`{field}` is a text and has no order; match it with `{field}:`"),
                ));
            }
        };
        Ok(Expression::Compare {
            field: field.to_owned(),
            comparison,
            value,
        })
    }

    fn free_text(&mut self) -> Result<Expression, ParseError> {
        let start = self.position;
        let mut written = self.written(false)?;
        if written.pieces.len() > 1 {
            if written.pieces.iter().all(String::is_empty) {
                return Ok(Expression::Everything);
            }
            return Ok(Expression::Text(Pattern::Wildcard(written.pieces)));
        }
        let text = written.pieces.pop().unwrap_or_default();
        if text.is_empty() {
            return Err(error_at(
                start,
                self.position - start,
                "expected a text between the quotes",
            ));
        }
        Ok(Expression::Text(Pattern::Exact(text)))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next_is(&self, character: char) -> bool {
        self.peek() == Some(character)
    }

    fn at_end(&self) -> bool {
        self.position >= self.text.len()
    }

    fn skip_whitespace(&mut self) {
        self.position = self.text.len() - self.rest().trim_start().len();
    }

    /// True when `keyword` stands here as a word of its own, in any case.
    fn at_keyword(&self, keyword: &str) -> bool {
        let Some((word, rest)) = self.rest().split_at_checked(keyword.len()) else {
            return false;
        };
        word.eq_ignore_ascii_case(keyword)
            && rest
                .chars()
                .next()
                .is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"'))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let taken = self.at_keyword(keyword);
        if taken {
            self.position += keyword.len();
        }
        taken
    }

    /// Bytes up to the next space or parenthesis, at least one character.
    fn word_length(&self) -> usize {
        let rest = self.rest();
        let end = rest.find(|next: char| next.is_whitespace() || matches!(next, '(' | ')'));
        end.unwrap_or(rest.len())
            .max(self.peek().map_or(0, char::len_utf8))
    }

    fn error(&self, length: usize, message: &str) -> ParseError {
        error_at(self.position, length, message)
    }
}

fn error_at(position: usize, length: usize, message: &str) -> ParseError {
    ParseError {
        message: message.to_owned(),
        position,
        length,
    }
}

/// The network `text` names; `None` when it is not shaped like one.
fn network(text: &str, start: usize) -> Result<Option<Network>, ParseError> {
    if let Ok(network) = text.parse() {
        return Ok(Some(network));
    }
    let Some((address, prefix)) = text.split_once('/') else {
        return Ok(None);
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Ok(None);
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    Err(error_at(
        start,
        text.len(),
        &format!(
            "`/{}` is no prefix of a network; expected a number from 0 to {bits}, and a text is written in quotes",
            excerpt(prefix)
        ),
    ))
}

/// No patterns mean that any value will do.
fn matches(field: &str, patterns: Vec<Pattern>) -> Expression {
    let field = field.to_owned();
    if patterns.is_empty() {
        Expression::Exists { field }
    } else {
        Expression::Matches { field, patterns }
    }
}

/// Bytes of the name of a field at the start of `text`, such as `proc.aname[2]`; zero when there is
/// none.
fn field_name_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes
        .first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
    {
        return 0;
    }
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        match byte {
            b'[' => {
                let inside = bytes.get(length + 1..).unwrap_or_default();
                let is_end = |byte: &u8| {
                    byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b'(' | b')' | b'"')
                };
                match inside.iter().position(is_end) {
                    Some(end) if end > 0 && inside.get(end) == Some(&b']') => length += end + 2,
                    _ => return length,
                }
            }
            b'_' | b'.' | b'-' => length += 1,
            byte if byte.is_ascii_alphanumeric() => length += 1,
            _ => return length,
        }
    }
    length
}

/// An RFC 3339 instant, or a day, which stands for its first instant in UTC.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == "2026-11-21".len()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_day {
        format!("{text}T00:00:00Z").parse().ok()
    } else {
        text.parse().ok()
    }
}

/// The first characters of a text, for messages.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 48;
    let mut excerpt: String = text.chars().take(LONGEST).collect();
    if excerpt.len() < text.len() {
        excerpt.push('…');
    }
    excerpt
}
