//! What a query says, as a tree; its text form parses to the same tree again.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use qw_event::{Priority, Timestamp};

/// A node of a query.
///
/// In normal form, which the parser, [`Expression::all`], [`Expression::any`] and
/// [`Expression::negation`] produce, an `And`
/// holds at least two nodes none of which is an `And`; the same goes for `Or`; and a `Not` holds no
/// `Not`.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Every event; `*`.
    Everything,
    /// All of these.
    And(Vec<Self>),
    /// At least one of these.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The field has a value; `field:*`.
    Exists {
        /// Name of the field.
        field: String,
    },
    /// The field has a value that one of the patterns matches; `field:(a or b)`.
    Matches {
        /// Name of the field.
        field: String,
        /// At least one.
        patterns: Vec<Pattern>,
    },
    /// The field stands in an order to a value; `field>=1024`.
    Compare {
        /// Name of the field.
        field: String,
        /// Which order.
        comparison: Comparison,
        /// What with.
        value: Value,
    },
    /// The pattern occurs somewhere in the event; `word`. Never a [`Pattern::Network`].
    Text(Pattern),
}

impl Expression {
    /// All of `parts`, in normal form; [`Expression::Everything`] when there are none.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::And(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::Everything,
            1 => flat.swap_remove(0),
            _ => Self::And(flat),
        }
    }

    /// At least one of `parts`, in normal form; the negation of everything when there are none.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::negation(Self::Everything),
            1 => flat.swap_remove(0),
            _ => Self::Or(flat),
        }
    }

    /// Everything but `part`, in normal form: two negations are none.
    #[must_use]
    pub fn negation(part: Self) -> Self {
        match part {
            Self::Not(part) => *part,
            part => Self::Not(Box::new(part)),
        }
    }
}

/// What a value is compared with, regardless of case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The whole value is this text. In free text: the text occurs as whole words.
    Exact(String),
    /// These pieces with anything between them; an empty first or last piece leaves that end open.
    ///
    /// At least two pieces, at least one not empty, and only the first and last may be empty.
    Wildcard(Vec<String>),
    /// The value is an address in this network.
    Network(Network),
}

impl Pattern {
    /// The pattern of values that contain `part`.
    pub fn contains(part: &str) -> Self {
        Self::Wildcard(vec![String::new(), part.to_owned(), String::new()])
    }
}

/// An address range in CIDR notation; an address outside [`Network::prefix`] is kept as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Leading bits that an address has in common with the network.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True when `address` lies in the network. IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                bits4(network) & mask == bits4(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                bits6(network) & mask == bits6(address) & mask
            }
            _ => false,
        }
    }
}

fn bits4(address: Ipv4Addr) -> u32 {
    address.to_bits()
}

fn bits6(address: Ipv6Addr) -> u128 {
    address.to_bits()
}

/// A text that is not an address, a slash, and a number of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as `10.0.0.0/8` or `fd00::/8`")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').ok_or(NotANetwork)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotANetwork);
        }
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let prefix: u8 = prefix.parse().map_err(|_| NotANetwork)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(NotANetwork);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// How a field is compared with a value.
///
/// Of priorities the more urgent one is the greater: `priority>=Warning` is Warning or more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// True when something that stands in `ordering` to the value satisfies the comparison.
    pub fn accepts(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Something that has an order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A number.
    Number(Number),
    /// An instant.
    Time(Timestamp),
    /// A priority.
    Priority(Priority),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Priority(priority) => write!(f, "{priority}"),
        }
    }
}

/// A finite number; whole numbers of 64 bits are kept exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Integer(i64),
    /// Any other; never a whole number that fits [`Number::Integer`], never infinite, never NaN.
    Float(f64),
}

impl Number {
    /// Reads a decimal number, with fraction and exponent if need be; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        let first = text
            .bytes()
            .find(|byte| !matches!(byte, b'-' | b'+' | b'.'))?;
        if !first.is_ascii_digit() {
            return None;
        }
        text.parse().ok().and_then(Self::from_f64)
    }

    fn from_f64(number: f64) -> Option<Self> {
        // 2^63 is the first float beyond the range; the cast below it is exact for whole numbers.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if !number.is_finite() {
            return None;
        }
        if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) {
            return Some(Self::Integer(number as i64));
        }
        Some(Self::Float(number))
    }

    /// The order of two numbers.
    pub fn order(self, other: Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(&right),
            (left, right) => left.as_f64().total_cmp(&right.as_f64()),
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            // The debug form is the shortest that reads back as the same number.
            Self::Float(float) => write!(f, "{float:?}"),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::And(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" and ")?;
                    }
                    write_part(part, matches!(part, Self::And(_) | Self::Or(_)), f)?;
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" or ")?;
                    }
                    write_part(part, matches!(part, Self::Or(_)), f)?;
                }
                Ok(())
            }
            Self::Not(part) => {
                f.write_str("not ")?;
                write_part(part, matches!(**part, Self::And(_) | Self::Or(_)), f)
            }
            Self::Exists { field } => write!(f, "{field}:*"),
            Self::Matches { field, patterns } => match patterns.as_slice() {
                [pattern] => {
                    write!(f, "{field}:")?;
                    write_pattern(pattern, f)
                }
                patterns => {
                    write!(f, "{field}:(")?;
                    for (index, pattern) in patterns.iter().enumerate() {
                        if index > 0 {
                            f.write_str(" or ")?;
                        }
                        write_pattern(pattern, f)?;
                    }
                    f.write_str(")")
                }
            },
            Self::Compare {
                field,
                comparison,
                value,
            } => {
                write!(f, "{field}{}{value}", comparison.as_str())
            }
            Self::Text(pattern) => write_pattern(pattern, f),
        }
    }
}

fn write_part(part: &Expression, brackets: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if brackets {
        write!(f, "({part})")
    } else {
        write!(f, "{part}")
    }
}

fn write_pattern(pattern: &Pattern, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match pattern {
        Pattern::Exact(text) => write_text(text, f),
        Pattern::Wildcard(pieces) => {
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    f.write_str("*")?;
                }
                if !piece.is_empty() {
                    write_text(piece, f)?;
                }
            }
            Ok(())
        }
        Pattern::Network(network) => write!(f, "{network}"),
    }
}

/// Writes `text` so that it reads back as this text in any place of a query: quoted unless it is
/// plainly a word.
fn write_text(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if is_plain(text) {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            character if character.is_control() => write!(f, "\\u{{{:x}}}", u32::from(character))?,
            character => write!(f, "{character}")?,
        }
    }
    f.write_str("\"")
}

fn is_plain(text: &str) -> bool {
    let starts_plainly = text.starts_with(|first: char| first.is_alphanumeric() || first == '/');
    starts_plainly
        && text.chars().all(|character| {
            character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | '@')
        })
        && !["and", "or", "not"]
            .iter()
            .any(|keyword| text.eq_ignore_ascii_case(keyword))
        && !begins_like_a_network(text)
}

/// True for texts that the parser takes for a network, be it a wrong one, where they are not quoted.
fn begins_like_a_network(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok())
}
