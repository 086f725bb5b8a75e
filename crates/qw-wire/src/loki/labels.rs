//! The text of labels, `{a="b", c="d"}`, with strings as Go writes them.

use std::borrow::Cow;

use super::{Fault, MAX_LABELS};

/// Calls `each` with name and value of every label.
pub(super) fn for_each<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Cow<'a, str>, Cow<'a, str>),
) -> Result<(), Fault> {
    let fault = |what, rest: &str| Fault::form(what, text.len() - rest.len());
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() {
        return Ok(());
    }
    let mut rest = trimmed
        .strip_prefix('{')
        .ok_or(fault("labels do not begin with `{`", text))?
        .trim_ascii_start();
    let mut count = 0;
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return if behind.is_empty() {
                Ok(())
            } else {
                Err(fault("something stands behind the labels", behind))
            };
        }
        let (name, behind) = name(rest).ok_or(fault("a label has no name", rest))?;
        let behind = behind.trim_ascii_start();
        let behind = behind
            .strip_prefix('=')
            .ok_or(fault("a label has no `=`", behind))?
            .trim_ascii_start();
        let (value, behind) =
            string(behind).ok_or(fault("the value of a label is no string in quotes", behind))?;
        count += 1;
        if count > MAX_LABELS {
            return Err(Fault::too_long(
                "there are more than 1024 labels",
                text.len() - rest.len(),
            ));
        }
        each(name, value);
        rest = behind.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_ascii_start();
        } else if !rest.starts_with('}') {
            return Err(fault("labels are not separated by `,`", rest));
        }
    }
}

/// A bare name, or one in quotes.
fn name(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if text.starts_with(['"', '`']) {
        return string(text);
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.');
    let length = text.bytes().take_while(is_name).count();
    let (name, rest) = text.split_at_checked(length)?;
    (!name.is_empty()).then_some((Cow::Borrowed(name), rest))
}

/// A string as Go's `strconv.Quote` writes it, or a raw one in back quotes.
fn string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (value, rest) = raw.split_once('`')?;
        return Some((Cow::Borrowed(value), rest));
    }
    let inner = text.strip_prefix('"')?;
    let end = memchr::memchr2(b'"', b'\\', inner.as_bytes())?;
    let (plain, mut rest) = inner.split_at_checked(end)?;
    if let Some(rest) = rest.strip_prefix('"') {
        return Some((Cow::Borrowed(plain), rest));
    }
    // Escapes of single bytes need not make UTF-8.
    let mut value = plain.as_bytes().to_vec();
    loop {
        if let Some(rest) = rest.strip_prefix('"') {
            let value = match String::from_utf8(value) {
                Ok(value) => value,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            };
            return Some((Cow::Owned(value), rest));
        }
        rest = if let Some(escape) = rest.strip_prefix('\\') {
            unescape(escape, &mut value)?
        } else {
            let end = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
            let (plain, rest) = rest.split_at_checked(end)?;
            value.extend_from_slice(plain.as_bytes());
            rest
        };
    }
}

/// Adds what stands for an escape; returns what follows it.
fn unescape<'a>(escape: &'a str, value: &mut Vec<u8>) -> Option<&'a str> {
    let mut characters = escape.chars();
    let kind = characters.next()?;
    let rest = characters.as_str();
    let (digits, radix) = match kind {
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (3, 8),
        _ => {
            value.push(match kind {
                'n' => b'\n',
                't' => b'\t',
                'r' => b'\r',
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'v' => 11,
                '"' | '\\' | '\'' => kind as u8,
                _ => return None,
            });
            return Some(rest);
        }
    };
    let text = if radix == 8 { escape } else { rest };
    let (number, rest) = text.split_at_checked(digits)?;
    if !number
        .bytes()
        .all(|digit| char::from(digit).is_digit(radix))
    {
        return None;
    }
    let number = u32::from_str_radix(number, radix).ok()?;
    if matches!(kind, 'u' | 'U') {
        let scalar = char::from_u32(number)?;
        value.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        value.push(u8::try_from(number).ok()?);
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, Fault> {
        let mut list = Vec::new();
        for_each(text, &mut |name, value| {
            list.push((name.into(), value.into()));
        })?;
        Ok(list)
    }

    #[test]
    fn labels_are_read() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = read(text).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("{}", &[]);
        check(" ", &[]);
        check(r#"{a="b", c="d"}"#, &[("a", "b"), ("c", "d")]);
        check(r#" { a = "b" ,c="d", } "#, &[("a", "b"), ("c", "d")]);
        check(r#"{"a.b"="c",d=`\n`}"#, &[("a.b", "c"), ("d", "\\n")]);
        check(
            r#"{a="q\"\\\n\t\x41\u00e9\U0001f600\101\a"}"#,
            &[("a", "q\"\\\n\tAé😀A\u{7}")],
        );
        check(
            r#"{a="\xff",b="}, c=\"x\""}"#,
            &[("a", "\u{fffd}"), ("b", "}, c=\"x\"")],
        );
        check(r#"{a="é,{"}"#, &[("a", "é,{")]);
    }

    #[test]
    fn faults_name_the_byte() {
        let check = |text: &str, byte: usize| {
            assert_eq!(read(text).unwrap_err().byte, byte, "{text}");
        };
        check("a", 0);
        check("{", 1);
        check("{a", 2);
        check("{a=", 3);
        check("{a=b}", 3);
        check(r#"{a="b"#, 3);
        check(r#"{a="\q"}"#, 3);
        check(r#"{a="\ud800"}"#, 3);
        check(r#"{a="b" c="d"}"#, 7);
        check(r#"{a="b"}x"#, 7);
        check(r#"{a="b","#, 7);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}a=\"`\\\\xuU01,é ]{0,40}") {
            let _fault = read(&text);
        }
    }
}
