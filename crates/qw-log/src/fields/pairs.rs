//! `name=value` and `name="value"`, as logfmt has them, between whatever other words.

use std::ops::ControlFlow;

use super::{Visit, closing_quote, quoted, unescape, unquoted};

/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// Whether a line begins with two pairs, or is one.
pub(super) fn begins(text: &str) -> bool {
    let mut count = 0;
    let mut rest = text;
    while count < 2 {
        rest = rest.trim_ascii_start();
        let Some((_, _, behind)) = pair(rest) else {
            return count == 1 && rest.is_empty();
        };
        count += 1;
        rest = behind;
    }
    true
}

pub(super) fn visit(text: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        match pair(rest) {
            Some((name, Raw::Bare(value), behind)) => {
                visit(name, unquoted(value))?;
                rest = behind;
            }
            Some((name, Raw::Quoted(value), behind)) => {
                if value.contains('\\') {
                    visit(name, quoted(&unescape(value)))?;
                } else {
                    visit(name, quoted(value))?;
                }
                rest = behind;
            }
            None => {
                let end = rest.find([' ', '\t']).unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
        }
        rest = rest.trim_ascii_start();
    }
    ControlFlow::Continue(())
}

enum Raw<'t> {
    Bare(&'t str),
    Quoted(&'t str),
}

/// The pair that `text` begins with, and what stands behind it.
fn pair(text: &str) -> Option<(&str, Raw<'_>, &str)> {
    let is_name =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/');
    // Brackets around pairs are no part of them: `(user=alice)`.
    let text = text.strip_prefix(['(', '[', '{']).unwrap_or(text);
    let end = text
        .bytes()
        .take(MAX_NAME + 1)
        .position(|byte| !is_name(byte))?;
    let (name, rest) = text.split_at_checked(end)?;
    let value = rest.strip_prefix('=')?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '@')) {
        return None;
    }
    if let Some(value) = value.strip_prefix('"')
        && let Some(end) = closing_quote(value)
    {
        let (inner, behind) = value.split_at_checked(end)?;
        return Some((name, Raw::Quoted(inner), behind.get(1..)?));
    }
    let end = value.find([' ', '\t', '\n']).unwrap_or(value.len());
    let (word, behind) = value.split_at_checked(end)?;
    // What ends a sentence or a list is no part of a value.
    let word = word.trim_end_matches([',', ';', ')', ']', '}']);
    Some((name, Raw::Bare(word), behind))
}
