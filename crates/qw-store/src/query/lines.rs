//! The fields within a line of a log, found when a query asks for them.
//!
//! A line that is JSON, logfmt or the like has fields of its own. They are not stored beside it: it is
//! read again by whoever asks, after the words of the query have left few lines to read.

use std::ops::ControlFlow;

use qw_event::{Event, RecordKind};
use qw_log::fields::{self, Found, Shape, ValueKind};

use crate::query::{expression::Number, fields::Json};

/// Calls `visit` with each value that the line that `event` is has under one of `names`, and the index
/// of that name; never when `event` is no line.
pub(crate) fn for_each_value<N: AsRef<str>>(
    event: &Event,
    names: &[N],
    visit: &mut impl FnMut(usize, Found),
) {
    let line = &*event.output;
    let is_possible = |name: &N| may_hold(line, name.as_ref());
    if event.kind != RecordKind::Log || !names.iter().any(is_possible) {
        return;
    }
    fields::for_each_field(line, &mut |name, value| {
        if let Some(index) = names.iter().position(|wanted| wanted.as_ref() == name) {
            let (text, kind) = (value.text.to_owned(), value.kind);
            visit(index, Found { text, kind });
        }
        ControlFlow::Continue(())
    });
}

/// False when a line of JSON does not hold the name of a member.
fn may_hold(line: &str, name: &str) -> bool {
    let bytes = line.as_bytes();
    let last = name.rsplit('.').next().unwrap_or(name);
    !line.trim_start().starts_with('{')
        || memchr::memmem::find(bytes, last.as_bytes()).is_some()
        || memchr::memchr(b'\\', bytes).is_some()
}

/// A value found in a line as values of `output_fields` are judged.
pub(crate) fn as_json(found: &Found) -> Json<'_> {
    match found.kind {
        ValueKind::Null => Json::Null,
        ValueKind::Bool => Json::Bool(found.text == "true"),
        ValueKind::Number => Json::Number(&found.text),
        ValueKind::Text => Json::Text {
            raw: &found.text,
            escaped: false,
        },
    }
}

/// Calls `visit` with the texts as which values in `line` are matched.
pub(crate) fn for_each_text(line: &str, visit: &mut impl FnMut(&str)) {
    fields::for_each_field(line, &mut |_, value| {
        visit(value.text);
        // `4.43e2` equals 443, so it must be found as such.
        if value.kind == ValueKind::Number
            && value.text.contains(['e', 'E'])
            && let Some(number @ Number::Integer(_)) = Number::parse(value.text)
        {
            visit(&number.to_string());
        }
        ControlFlow::Continue(())
    });
}

/// True when the words of all values in `line` are words of the line itself, which escapes, numbers with
/// an exponent, and formats that run fields together prevent.
pub(crate) fn values_are_words(line: &str) -> bool {
    let bytes = line.as_bytes();
    memchr::memchr(b'\\', bytes).is_none()
        && !memchr::memchr2_iter(b'e', b'E', bytes).any(|at| is_exponent(bytes, at))
        && matches!(
            fields::shape(line),
            Shape::Json | Shape::Logfmt | Shape::Plain
        )
}

/// True when the letter at `at` can be that of a number with an exponent, such as `43e2`.
fn is_exponent(bytes: &[u8], at: usize) -> bool {
    let (before, after) = (&bytes[..at], &bytes[at + 1..]);
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let left = before.len() - digits.count();
    let more = after
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let is_in_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let starts = left < at || before.last() == Some(&b'.');
    let ends = more > 0 || matches!(after.first(), Some(b'+' | b'-'));
    starts
        && ends
        && !is_in_word(left.checked_sub(1).and_then(|left| bytes.get(left)))
        && !is_in_word(after.get(more))
}
