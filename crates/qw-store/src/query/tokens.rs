//! Text → words. The one tokenizer that blooms and queries share, so that a query never asks a bloom
//! for a word that storing would have cut differently.
//!
//! A token is a longest run of letters and digits after folding to lower case, cut to
//! [`MAX_TOKEN_BYTES`].

use std::borrow::Cow;

use qw_event::{Event, RecordKind};

use crate::query::{
    expression::Number,
    fields::{Json, OutputFields},
    lines,
};

/// Tokens are cut to this many bytes, or a few less at a character boundary.
pub const MAX_TOKEN_BYTES: usize = 64;

/// The tokens of `text`, in order, with repetitions.
pub fn tokens(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    // Folding can change what is a letter (`İ` becomes `i` and a combining dot), so it comes first.
    let (ascii, folded) = if text.is_ascii() {
        (text, None)
    } else {
        ("", Some(fold(text)))
    };
    let borrowed = runs(ascii).map(|run| {
        if run.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(run.to_ascii_lowercase())
        } else {
            Cow::Borrowed(run)
        }
    });
    let owned: Vec<String> = folded
        .iter()
        .flat_map(|folded| folded.split(|character: char| !character.is_alphanumeric()))
        .filter(|run| !run.is_empty())
        .map(|run| cut(run).to_owned())
        .collect();
    borrowed.chain(owned.into_iter().map(Cow::Owned))
}

/// Calls `visit` with every token of the event that a query may ask for, with repetitions.
///
/// These are the tokens of what free text is searched in, and of every text a field can have: put
/// all of them into a bloom, or pruning by [`Constraints::required_tokens`] loses events.
///
/// [`Constraints::required_tokens`]: crate::query::Constraints::required_tokens
pub fn event_tokens(event: &Event, visit: &mut impl FnMut(&str)) {
    let container = &*event.container;
    visit_tokens(&event.output, visit);
    for text in [
        &event.source,
        &event.rule,
        &event.hostname,
        &event.process_name,
        &container.name,
        &container.image,
        &container.image_repository,
        &container.image_tag,
        &container.image_digest,
        &container.compose_project,
        &container.compose_service,
        &container.k8s_namespace,
        &container.k8s_pod,
    ] {
        visit_tokens(text, visit);
    }
    for tag in &*event.tags {
        visit_tokens(tag, visit);
    }
    for (_, value) in OutputFields::of(event) {
        json_tokens(&value, visit);
    }
    if event.kind == RecordKind::Log {
        lines::for_each_text(&event.output, &mut |text| visit_tokens(text, visit));
    }
}

fn json_tokens(value: &Json<'_>, visit: &mut impl FnMut(&str)) {
    match value {
        Json::Null => {}
        Json::List(_) => value.for_each_element(&mut |member| scalar_tokens(member, visit)),
        value => scalar_tokens(value, visit),
    }
}

/// Lists and objects within a list are texts.
fn scalar_tokens(value: &Json<'_>, visit: &mut impl FnMut(&str)) {
    match value {
        Json::Null => {}
        Json::Number(text) => {
            visit_tokens(text, visit);
            // `4.43e2` equals 443, so it must be found as such.
            if text.contains(['e', 'E'])
                && let Some(number @ Number::Integer(_)) = Number::parse(text)
            {
                visit_tokens(&number.to_string(), visit);
            }
        }
        value => visit_tokens(&value.text(), visit),
    }
}

/// Calls `visit` with the tokens of `text`; allocates only for text beyond ASCII.
pub(crate) fn visit_tokens(text: &str, visit: &mut impl FnMut(&str)) {
    if !text.is_ascii() {
        tokens(text).for_each(|token| visit(&token));
        return;
    }
    let bytes = text.as_bytes();
    let mut start = 0;
    while let Some(offset) = position(bytes, start, u8::is_ascii_alphanumeric) {
        let end = position(bytes, offset, |byte| !byte.is_ascii_alphanumeric());
        let end = end.unwrap_or(bytes.len());
        start = end;
        let Some(run) = text.get(offset..end.min(offset + MAX_TOKEN_BYTES)) else {
            return;
        };
        if run.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let mut lower = [0; MAX_TOKEN_BYTES];
            let lower = &mut lower[..run.len()];
            lower.copy_from_slice(run.as_bytes());
            lower.make_ascii_lowercase();
            if let Ok(token) = str::from_utf8(lower) {
                visit(token);
            }
        } else {
            visit(run);
        }
    }
}

fn position(bytes: &[u8], from: usize, wanted: impl Fn(&u8) -> bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(wanted).map(|offset| from + offset)
}

/// The runs of letters and digits of an ASCII text, cut to the longest length.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|run| !run.is_empty())
        .map(cut)
}

fn cut(run: &str) -> &str {
    run.get(..run.floor_char_boundary(MAX_TOKEN_BYTES))
        .unwrap_or(run)
}

/// `text` in lower case, each character by itself.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}
