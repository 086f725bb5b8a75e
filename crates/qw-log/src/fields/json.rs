//! Members of JSON objects, nested names joined by dots.

use std::{borrow::Cow, ops::ControlFlow};

use super::{Value, ValueKind, Visit, closing_quote, quoted, unescape, unquoted};

/// Objects and arrays within each other that are followed.
const MAX_DEPTH: usize = 8;

pub(super) fn visit(text: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let mut walk = Walk {
        rest: text,
        name: String::new(),
        visit,
    };
    walk.value(0)
}

struct Walk<'t, 'v, 'w> {
    rest: &'t str,
    /// Names of the members that are open, joined by dots.
    name: String,
    visit: &'v mut Visit<'w>,
}

/// A damaged text ends the walk as a visitor does.
const DAMAGED: ControlFlow<()> = ControlFlow::Break(());

impl<'t> Walk<'t, '_, '_> {
    fn value(&mut self, depth: usize) -> ControlFlow<()> {
        self.space();
        match self.rest.as_bytes().first() {
            Some(b'{') if depth < MAX_DEPTH => self.members(depth),
            Some(b'[') if depth < MAX_DEPTH => self.elements(depth),
            Some(b'{' | b'[') => self.pass_over(),
            Some(b'"') => {
                let Some(text) = self.string() else {
                    return DAMAGED;
                };
                (self.visit)(&self.name, quoted(&text))
            }
            _ => self.word(),
        }
    }

    fn members(&mut self, depth: usize) -> ControlFlow<()> {
        self.skip(1);
        loop {
            self.space();
            match self.rest.as_bytes().first() {
                Some(b'}') => {
                    self.skip(1);
                    return ControlFlow::Continue(());
                }
                Some(b',') => self.skip(1),
                Some(b'"') => {
                    let Some(member) = self.string() else {
                        return DAMAGED;
                    };
                    self.space();
                    if !self.rest.starts_with(':') {
                        return DAMAGED;
                    }
                    self.skip(1);
                    let outer = self.name.len();
                    if outer > 0 {
                        self.name.push('.');
                    }
                    self.name.push_str(&member);
                    self.value(depth + 1)?;
                    self.name.truncate(outer);
                }
                _ => return DAMAGED,
            }
        }
    }

    fn elements(&mut self, depth: usize) -> ControlFlow<()> {
        self.skip(1);
        loop {
            self.space();
            match self.rest.as_bytes().first() {
                Some(b']') => {
                    self.skip(1);
                    return ControlFlow::Continue(());
                }
                Some(b',') => self.skip(1),
                Some(_) => self.value(depth + 1)?,
                None => return DAMAGED,
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> ControlFlow<()> {
        let ends = |byte: u8| {
            matches!(
                byte,
                b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b':' | b'{' | b'['
            )
        };
        let end = self.rest.bytes().position(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word {
            "null" => Value {
                text: word,
                kind: ValueKind::Null,
            },
            _ => unquoted(word),
        };
        if value.kind == ValueKind::Text {
            return DAMAGED;
        }
        self.rest = rest;
        (self.visit)(&self.name, value)
    }

    /// The string that begins here, without its quotes and escapes.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let text = self.rest.get(1..)?;
        let end = closing_quote(text)?;
        let raw = text.get(..end)?;
        self.rest = text.get(end + 1..)?;
        Some(if raw.contains('\\') {
            Cow::Owned(unescape(raw))
        } else {
            Cow::Borrowed(raw)
        })
    }

    /// Passes over an object or array whatever is in it.
    fn pass_over(&mut self) -> ControlFlow<()> {
        let mut depth = 0_usize;
        loop {
            match self.rest.as_bytes().first() {
                None => return DAMAGED,
                Some(b'"') => {
                    if self.string().is_none() {
                        return DAMAGED;
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {
                    let next = |byte: u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
                    let at = self.rest.bytes().position(next).unwrap_or(self.rest.len());
                    self.skip(at);
                    continue;
                }
            }
            self.skip(1);
            if depth == 0 {
                return ControlFlow::Continue(());
            }
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Passes over `count` bytes that are known to be ASCII, or end at a character.
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}
