//! The inside of `{{…}}` as tokens.

use super::TagError;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    /// White space, or the beginning, stands in front of it.
    pub(super) spaced: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `.` alone.
    Dot,
    /// `.Name`.
    Field(String),
    /// `$` or `$name`, without the `$`.
    Variable(String),
    /// A function, keyword, or constant.
    Word(String),
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
}

/// Tokens of `text`, which begins at byte `start` of the template.
pub(super) fn lex(text: &str, start: usize) -> Result<Vec<Token>, TagError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut spaced = true;
    while let Some(first) = rest.chars().next() {
        let at = start + text.len() - rest.len();
        if first.is_whitespace() {
            rest = rest.trim_start();
            spaced = true;
            continue;
        }
        let (kind, behind) = token(first, rest, at)?;
        tokens.push(Token { at, spaced, kind });
        spaced = false;
        rest = behind;
    }
    Ok(tokens)
}

fn token(first: char, text: &str, at: usize) -> Result<(Kind, &str), TagError> {
    let after = |count: usize| text.get(count..).unwrap_or_default();
    Ok(match first {
        '|' => (Kind::Pipe, after(1)),
        '(' => (Kind::Open, after(1)),
        ')' => (Kind::Close, after(1)),
        ',' => (Kind::Comma, after(1)),
        ':' if after(1).starts_with('=') => (Kind::Declare, after(2)),
        '=' => (Kind::Assign, after(1)),
        '.' if after(1).starts_with(|next: char| next.is_ascii_digit()) => number(text, at)?,
        '.' => match word(after(1)) {
            ("", rest) => (Kind::Dot, rest),
            (name, rest) => (Kind::Field(name.to_owned()), rest),
        },
        '$' => {
            let (name, rest) = word(after(1));
            (Kind::Variable(name.to_owned()), rest)
        }
        '"' => quoted(text, at)?,
        '`' => {
            let inner = after(1);
            let end = inner
                .find('`')
                .ok_or_else(|| TagError::new(at, "the text in back quotes does not end"))?;
            let (inner, rest) = inner.split_at(end);
            (
                Kind::Text(inner.to_owned()),
                rest.get(1..).unwrap_or_default(),
            )
        }
        '\'' => character(text, at)?,
        '0'..='9' | '+' | '-' => number(text, at)?,
        _ => match word(text) {
            ("", _) => return Err(TagError::new(at, format!("unexpected `{first}`"))),
            (name, rest) => (Kind::Word(name.to_owned()), rest),
        },
    })
}

fn word(text: &str) -> (&str, &str) {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str, at: usize) -> Result<(Kind, &str), TagError> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
    let digits = text.get(sign..).unwrap_or_default();
    let end = sign
        + digits
            .find(|letter| !is_part(letter))
            .unwrap_or(digits.len());
    let (number, rest) = text.split_at(end);
    let plain = number.trim_start_matches('+').replace('_', "");
    let hexadecimal = plain
        .strip_prefix("0x")
        .and_then(|hex| i64::from_str_radix(hex, 16).ok());
    if let Some(int) = hexadecimal.or_else(|| plain.parse().ok()) {
        return Ok((Kind::Int(int), rest));
    }
    match plain.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok((Kind::Float(float), rest)),
        _ => Err(TagError::new(at, format!("`{number}` is no number"))),
    }
}

fn quoted(text: &str, at: usize) -> Result<(Kind, &str), TagError> {
    let error = || TagError::new(at, "the text in quotes does not end in its line");
    let mut output = String::new();
    let mut rest = text.get(1..).unwrap_or_default();
    loop {
        let end = rest.find(['"', '\\', '\n']).ok_or_else(error)?;
        let (plain, tail) = rest.split_at(end);
        output.push_str(plain);
        rest = tail.get(1..).unwrap_or_default();
        match tail.as_bytes().first() {
            Some(b'"') => return Ok((Kind::Text(output), rest)),
            Some(b'\\') => {
                let (escaped, behind) = escape(rest).ok_or_else(|| {
                    TagError::new(at, "the text in quotes holds an escape that does not exist")
                })?;
                output.push(escaped);
                rest = behind;
            }
            _ => return Err(error()),
        }
    }
}

/// A character in single quotes is its number.
fn character(text: &str, at: usize) -> Result<(Kind, &str), TagError> {
    let inner = text.get(1..).unwrap_or_default();
    let found = match inner.strip_prefix('\\') {
        Some(rest) => escape(rest),
        None => inner
            .chars()
            .next()
            .map(|first| (first, inner.get(first.len_utf8()..).unwrap_or_default())),
    };
    let closed = found.and_then(|(letter, rest)| Some((letter, rest.strip_prefix('\'')?)));
    match closed {
        Some((letter, rest)) => Ok((Kind::Int(i64::from(u32::from(letter))), rest)),
        None => Err(TagError::new(at, "single quotes hold one character")),
    }
}

/// What the escape behind a backslash stands for.
fn escape(text: &str) -> Option<(char, &str)> {
    let kind = text.chars().next()?;
    let rest = text.get(kind.len_utf8()..)?;
    let coded = |digits: usize| {
        let scalar = u32::from_str_radix(rest.get(..digits)?, 16).ok()?;
        Some((char::from_u32(scalar)?, rest.get(digits..)?))
    };
    let letter = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => kind,
        'x' => return coded(2),
        'u' => return coded(4),
        'U' => return coded(8),
        _ => return None,
    };
    Some((letter, rest))
}
