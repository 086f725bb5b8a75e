//! JSON text: read in place, member by member, and written.
//!
//! The syntax is `serde_json`'s. Values stay slices of the text they stand in, so that a value is
//! copied at most once, and the place of each is known.

mod write;

use std::{borrow::Cow, fmt};

use qw_event::InvalidReason;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

pub(crate) use super::fault::Fault;
pub(crate) use write::{ObjectWriter, on_one_line, push_string, quote};

/// Most brackets that may be open at once, as in `serde_json`'s values.
const MAX_DEPTH: usize = 127;
/// Most members of one object.
pub(crate) const MAX_MEMBERS: usize = 4096;

/// Name and value of a member; the value as it was written.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a str);

/// `bytes` as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let what = "the text is not UTF-8";
        Fault::new(what, error.valid_up_to(), InvalidReason::NotUtf8)
    })
}

/// The byte of `whole` at which its slice `part` begins.
pub(crate) fn offset_in(whole: &str, part: &str) -> usize {
    let offset = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    offset.min(whole.len())
}

/// The members of the object that `text` is.
pub(crate) fn object(text: &str) -> Result<Vec<Member<'_>>, Fault> {
    let (members, rest) = first_object(text)?;
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        Ok(members)
    } else {
        Err(not_json(offset_in(text, rest)))
    }
}

/// The members of the object with which `text` begins, and what stands behind it.
pub(crate) fn first_object(text: &str) -> Result<(Vec<Member<'_>>, &str), Fault> {
    let (members, rest) = first::<Members<'_>>(text)?;
    if members.list.len() > MAX_MEMBERS {
        return Err(Fault::too_long("an object has more than 4096 members", 0));
    }
    Ok((members.list, rest))
}

/// The elements of the array that `text` is, one after the other.
///
/// After a fault comes nothing more.
pub(crate) fn elements(text: &str) -> Elements<'_> {
    Elements {
        whole: text,
        rest: text,
        opened: false,
        is_done: false,
    }
}

/// See [`elements`].
pub(crate) struct Elements<'a> {
    whole: &'a str,
    rest: &'a str,
    opened: bool,
    is_done: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a str, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let found = self.element().transpose();
        self.is_done = !matches!(found, Some(Ok(_)));
        found
    }
}

impl<'a> Elements<'a> {
    fn element(&mut self) -> Result<Option<&'a str>, Fault> {
        let rest = self.rest.trim_ascii_start();
        let at = offset_in(self.whole, rest);
        let rest = match (self.opened, rest.as_bytes().first()) {
            (false, Some(b'[')) => {
                self.opened = true;
                let rest = rest
                    .strip_prefix('[')
                    .unwrap_or_default()
                    .trim_ascii_start();
                if rest.starts_with(']') {
                    return self.end(rest);
                }
                rest
            }
            (false, _) => return Err(Fault::form("a value is no array", at)),
            (true, Some(b',')) => rest.strip_prefix(',').unwrap_or_default(),
            (true, Some(b']')) => return self.end(rest),
            (true, _) => return Err(not_json(at)),
        };
        let at = offset_in(self.whole, rest);
        let (value, rest) = first::<&RawValue>(rest).map_err(|fault| fault.after(at))?;
        self.rest = rest;
        Ok(Some(value.get()))
    }

    fn end(&mut self, rest: &'a str) -> Result<Option<&'a str>, Fault> {
        let behind = rest
            .strip_prefix(']')
            .unwrap_or_default()
            .trim_ascii_start();
        if behind.is_empty() {
            Ok(None)
        } else {
            Err(not_json(offset_in(self.whole, behind)))
        }
    }
}

/// The string that `value` is; lone halves of surrogates are replaced.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let Some((plain, _)) = inner.split_once('\\') else {
        return Some(Cow::Borrowed(inner));
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(plain);
    let mut rest = inner.get(plain.len()..)?;
    while let Some(escape) = rest.strip_prefix('\\') {
        let mut characters = escape.chars();
        let plain = match characters.next()? {
            'u' => {
                let (scalar, behind) = unicode(characters.as_str())?;
                text.push(scalar);
                behind
            }
            other => {
                text.push(match other {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    '"' | '\\' | '/' => other,
                    _ => return None,
                });
                characters.as_str()
            }
        };
        let end = memchr::memchr(b'\\', plain.as_bytes()).unwrap_or(plain.len());
        text.push_str(plain.get(..end)?);
        rest = plain.get(end..)?;
    }
    Some(Cow::Owned(text))
}

/// The text of a string, or of a value as it was written; nothing for `null`.
pub(crate) fn text(value: &str) -> Cow<'_, str> {
    match string(value) {
        Some(text) => text,
        None if value == "null" => Cow::Borrowed(""),
        None => on_one_line(value),
    }
}

/// Checks that no more than 127 brackets are open at once.
pub(crate) fn check_depth(text: &str) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let what = "brackets are nested deeper than 127";
                    return Err(Fault::new(what, at, InvalidReason::TooDeep));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = end_of_string(bytes, at + 1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The place of the quote that ends the string whose inner begins at `from`, or the end of the text.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

/// The character of `0041…`, or of a pair of surrogates, and what stands behind.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    let rest = text.get(4..)?;
    if let 0xd800..0xdc00 = first
        && let Some(low) = rest.strip_prefix("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(low)
    {
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(scalar)?, low.get(4..)?));
    }
    let scalar = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((scalar, rest))
}

/// The value with which `text` begins, and what stands behind it.
fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Result<(T, &'a str), Fault> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    match values.next() {
        Some(Ok(value)) => {
            let rest = text.get(values.byte_offset()..).unwrap_or_default();
            Ok((value, rest))
        }
        Some(Err(error)) => {
            let byte = byte_of(text, error.line(), error.column());
            Err(if error.is_data() {
                Fault::form("a value is not of the type that is expected", byte)
            } else {
                not_json(byte)
            })
        }
        None => Err(not_json(text.len())),
    }
}

const fn not_json(byte: usize) -> Fault {
    Fault::new("the text is not JSON", byte, InvalidReason::NotJson)
}

/// The place of a column, both counted as `serde_json` does.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let begin = match line {
        0 | 1 => 0,
        _ => memchr::memchr_iter(b'\n', text.as_bytes())
            .nth(line - 2)
            .map_or(0, |end| end + 1),
    };
    (begin + column.saturating_sub(1)).min(text.len())
}

/// The members of an object in their order; one more than allowed is kept, to show that there are more.
struct Members<'a> {
    list: Vec<Member<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(name) = map.next_key::<&RawValue>()? {
                    let value: &'de RawValue = map.next_value()?;
                    if list.len() <= MAX_MEMBERS {
                        let name = string(name.get()).unwrap_or_default();
                        list.push((name, value.get()));
                    }
                }
                Ok(Members { list })
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests;
