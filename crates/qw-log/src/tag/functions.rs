//! Functions of templates: Docker's and those of Go's `text/template`.

use std::{borrow::Cow, cmp::Ordering};

use super::{MAX_OUTPUT, value::Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Join,
    Js,
    Json,
    Le,
    Len,
    Lower,
    Lt,
    Ne,
    Not,
    Or,
    Pad,
    Print,
    Printf,
    Println,
    Slice,
    Split,
    Title,
    Truncate,
    Upper,
    Urlquery,
}

pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "and" => Function::And,
        "eq" => Function::Eq,
        "ge" => Function::Ge,
        "gt" => Function::Gt,
        "html" => Function::Html,
        "index" => Function::Index,
        "join" => Function::Join,
        "js" => Function::Js,
        "json" => Function::Json,
        "le" => Function::Le,
        "len" => Function::Len,
        "lower" => Function::Lower,
        "lt" => Function::Lt,
        "ne" => Function::Ne,
        "not" => Function::Not,
        "or" => Function::Or,
        "pad" => Function::Pad,
        "print" => Function::Print,
        "printf" => Function::Printf,
        "println" => Function::Println,
        "slice" => Function::Slice,
        "split" => Function::Split,
        "title" => Function::Title,
        "truncate" => Function::Truncate,
        "upper" => Function::Upper,
        "urlquery" => Function::Urlquery,
        _ => return None,
    })
}

/// Calls a function; the error says what is wrong with the arguments.
pub(super) fn call(function: Function, values: Vec<Value<'_>>) -> Result<Value<'_>, String> {
    use Function as F;
    let name = format!("{function:?}").to_lowercase();
    let name = name.as_str();
    Ok(match function {
        F::Lower => one_text(name, values)?.to_lowercase().into(),
        F::Upper => one_text(name, values)?.to_uppercase().into(),
        F::Title => title(&one_text(name, values)?).into(),
        F::Json => match values.as_slice() {
            [value] => value
                .to_json()
                .ok_or("`json` cannot write the container itself")?
                .into(),
            _ => return Err(count(name, "one value", values.len())),
        },
        F::Split => match values.as_slice() {
            [Value::Text(text), Value::Text(by)] => Value::List(split(text, by)),
            _ => return Err(wrong(name, "two strings", &values)),
        },
        F::Join => match values.as_slice() {
            [Value::List(list), Value::Text(by)] => list
                .iter()
                .map(Value::to_text)
                .collect::<Vec<_>>()
                .join(by)
                .into(),
            _ => return Err(wrong(name, "a list and a string", &values)),
        },
        F::Pad => match values.as_slice() {
            [Value::Text(text), Value::Int(before), Value::Int(behind)] => {
                pad(text, *before, *behind)?
            }
            _ => return Err(wrong(name, "a string and two numbers", &values)),
        },
        F::Truncate => match values.as_slice() {
            [Value::Text(text), Value::Int(length)] => truncate(text, *length)?,
            _ => return Err(wrong(name, "a string and a number", &values)),
        },
        F::Print => print(&values).into(),
        F::Println => {
            let words: Vec<_> = values.iter().map(Value::to_text).collect();
            format!("{}\n", words.join(" ")).into()
        }
        F::Printf => match values.split_first() {
            Some((Value::Text(format), rest)) => printf(format, rest)?.into(),
            _ => return Err(wrong(name, "a string first", &values)),
        },
        F::Html => escape_html(&print(&values)).into(),
        F::Js => escape_js(&print(&values)).into(),
        F::Urlquery => escape_query(&print(&values)).into(),
        F::Len => match values.as_slice() {
            [Value::Text(text)] => Value::Int(text.len() as i64),
            [Value::List(list)] => Value::Int(list.len() as i64),
            [Value::Map(map)] => Value::Int(map.len() as i64),
            _ => return Err(wrong(name, "a string, a list or a map", &values)),
        },
        F::Index => index(values)?,
        F::Slice => slice(values)?,
        F::Not => match values.as_slice() {
            [value] => Value::Bool(!value.is_true()),
            _ => return Err(count(name, "one value", values.len())),
        },
        F::Eq => match values.split_first() {
            Some((first, others)) if !others.is_empty() => {
                let mut is_equal = false;
                for other in others {
                    is_equal |= compare(first, other)? == Ordering::Equal;
                }
                Value::Bool(is_equal)
            }
            _ => return Err(count(name, "two values", values.len())),
        },
        F::Ne | F::Lt | F::Le | F::Gt | F::Ge => match values.as_slice() {
            [left, right] => {
                let ordering = compare(left, right)?;
                Value::Bool(match function {
                    F::Ne => ordering.is_ne(),
                    F::Lt => ordering.is_lt(),
                    F::Le => ordering.is_le(),
                    F::Gt => ordering.is_gt(),
                    _ => ordering.is_ge(),
                })
            }
            _ => return Err(count(name, "two values", values.len())),
        },
        // With arguments they are evaluated where those are.
        F::And | F::Or => return Err(format!("`{name}` takes at least one value")),
    })
}

fn count(name: &str, expected: &str, found: usize) -> String {
    format!("`{name}` takes {expected}, not {found}")
}

fn wrong(name: &str, expected: &str, found: &[Value<'_>]) -> String {
    let kinds: Vec<_> = found.iter().map(Value::kind).collect();
    format!("`{name}` takes {expected}, not ({})", kinds.join(", "))
}

fn one_text<'a>(name: &str, values: Vec<Value<'a>>) -> Result<Cow<'a, str>, String> {
    match <[Value<'a>; 1]>::try_from(values) {
        Ok([Value::Text(text)]) => Ok(text),
        Ok(other) => Err(wrong(name, "one string", &other)),
        Err(values) => Err(count(name, "one string", values.len())),
    }
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut begins = true;
    for letter in text.chars() {
        if begins {
            output.extend(letter.to_uppercase());
        } else {
            output.push(letter);
        }
        begins = !(letter.is_alphanumeric() || letter == '_');
    }
    output
}

fn split<'a>(text: &str, by: &str) -> Vec<Value<'a>> {
    if by.is_empty() {
        return text
            .chars()
            .map(|letter| letter.to_string().into())
            .collect();
    }
    text.split(by).map(|part| part.to_owned().into()).collect()
}

fn pad<'a>(text: &str, before: i64, behind: i64) -> Result<Value<'a>, String> {
    let spaces = |count: i64| match usize::try_from(count) {
        Ok(count) if count <= MAX_OUTPUT => Ok(" ".repeat(count)),
        _ => Err(format!("`pad` takes 0 to {MAX_OUTPUT} spaces, not {count}")),
    };
    if text.is_empty() {
        return Ok(String::new().into());
    }
    Ok(format!("{}{text}{}", spaces(before)?, spaces(behind)?).into())
}

/// The first `length` bytes, or a few less when a character stands there.
fn truncate<'a>(text: &str, length: i64) -> Result<Value<'a>, String> {
    let length = usize::try_from(length)
        .map_err(|_| format!("`truncate` takes a length of 0 or more, not {length}"))?;
    let end = text.floor_char_boundary(length.min(text.len()));
    Ok(text.get(..end).unwrap_or_default().to_owned().into())
}

/// Operands without space between them, unless neither is a string.
fn print(values: &[Value<'_>]) -> String {
    let mut output = String::new();
    let mut was_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !output.is_empty() && !was_text && !is_text {
            output.push(' ');
        }
        value.print(&mut output);
        was_text = is_text;
    }
    output
}

fn index(values: Vec<Value<'_>>) -> Result<Value<'_>, String> {
    let mut values = values.into_iter();
    let mut current = values
        .next()
        .ok_or("`index` takes a value and where in it")?;
    for key in values {
        current = match (current, key) {
            (Value::Map(map), Value::Text(key)) => {
                Value::Text(map.get(&key).cloned().unwrap_or_default())
            }
            (Value::List(list), Value::Int(at)) => {
                let length = list.len();
                let item = usize::try_from(at)
                    .ok()
                    .and_then(|at| list.into_iter().nth(at));
                item.ok_or_else(|| format!("`index`: {at} is not in a list of {length}"))?
            }
            (Value::Text(text), Value::Int(at)) => {
                let byte = usize::try_from(at)
                    .ok()
                    .and_then(|at| text.as_bytes().get(at).copied());
                let byte = byte
                    .ok_or_else(|| format!("`index`: {at} is not in a string of {}", text.len()))?;
                Value::Int(byte.into())
            }
            (value, key) => {
                return Err(format!(
                    "`index`: a {} has no {} index",
                    value.kind(),
                    key.kind()
                ));
            }
        };
    }
    Ok(current)
}

fn slice(values: Vec<Value<'_>>) -> Result<Value<'_>, String> {
    let mut values = values.into_iter();
    let value = values.next().ok_or("`slice` takes a value and bounds")?;
    let bounds: Option<Vec<usize>> = values
        .map(|bound| match bound {
            Value::Int(bound) => usize::try_from(bound).ok(),
            _ => None,
        })
        .collect();
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("`slice`: a {} has no parts", other.kind())),
    };
    let (from, to) = match bounds.as_deref() {
        Some([]) => (0, length),
        Some([from]) => (*from, length),
        Some([from, to]) => (*from, *to),
        _ => return Err("`slice` takes at most two bounds, which are numbers".to_owned()),
    };
    let outside = || format!("`slice`: {from} to {to} is not within {length}");
    match value {
        Value::Text(text) => {
            let part = text.get(from..to).ok_or_else(outside)?;
            Ok(part.to_owned().into())
        }
        Value::List(list) => {
            let part = list.get(from..to).ok_or_else(outside)?;
            Ok(Value::List(part.to_vec()))
        }
        _ => Err(outside()),
    }
}

fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, String> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Ok(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Ok(left.cmp(right)),
        (Value::Nil, Value::Nil) => Ok(Ordering::Equal),
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        (left, right) => Err(format!(
            "a {} and a {} cannot be compared",
            left.kind(),
            right.kind()
        )),
    }
}

/// The verbs `v s q d x X t f g e c`, with width, precision and the flags `-`, `+`, `0`.
fn printf(format: &str, values: &[Value<'_>]) -> Result<String, String> {
    let mut output = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((plain, directive)) = rest.split_once('%') {
        output.push_str(plain);
        let flags = directive.find(|letter| !matches!(letter, '-' | '+' | '0' | ' ' | '#'));
        let (flags, tail) = directive.split_at(flags.unwrap_or(directive.len()));
        let (width, tail) = digits(tail);
        let (precision, tail) = match tail.strip_prefix('.') {
            Some(tail) => {
                let (precision, tail) = digits(tail);
                (Some(precision.unwrap_or(0)), tail)
            }
            None => (None, tail),
        };
        let Some(verb) = tail.chars().next() else {
            output.push_str("%!(NOVERB)");
            return Ok(output);
        };
        rest = tail.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            output.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            output.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let written = written(verb, flags, precision, value);
        let width = width.unwrap_or(0);
        if width > MAX_OUTPUT || output.len() > MAX_OUTPUT {
            return Err(format!("`printf`: more than {MAX_OUTPUT} bytes"));
        }
        let missing = width.saturating_sub(written.chars().count());
        match written.strip_prefix('-') {
            _ if flags.contains('-') => {
                output.push_str(&written);
                output.push_str(&" ".repeat(missing));
            }
            Some(number) if flags.contains('0') => {
                output.push_str(&format!("-{}{number}", "0".repeat(missing)));
            }
            _ => {
                let fill = if flags.contains('0') { "0" } else { " " };
                output.push_str(&fill.repeat(missing));
                output.push_str(&written);
            }
        }
    }
    output.push_str(rest);
    let extra: Vec<_> = values
        .map(|value| format!("{}={}", value.kind(), value.to_text()))
        .collect();
    if !extra.is_empty() {
        output.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(output)
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}

fn written(verb: char, flags: &str, precision: Option<usize>, value: &Value<'_>) -> String {
    let cut = |text: String| match precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    };
    match (verb, value) {
        ('v', value) => value.to_text(),
        ('s', Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Time(_)) => {
            cut(value.to_text())
        }
        ('q', Value::Text(text)) => {
            serde_json::to_string(&cut(text.to_string())).unwrap_or_default()
        }
        ('d', Value::Int(number)) if flags.contains('+') => format!("{number:+}"),
        ('d', Value::Int(number)) => number.to_string(),
        ('x', Value::Int(number)) => format!("{number:x}"),
        ('X', Value::Int(number)) => format!("{number:X}"),
        ('x', Value::Text(text)) => text.bytes().fold(String::new(), |mut output, byte| {
            output.push_str(&format!("{byte:02x}"));
            output
        }),
        ('c', Value::Int(number)) => u32::try_from(*number)
            .ok()
            .and_then(char::from_u32)
            .unwrap_or(char::REPLACEMENT_CHARACTER)
            .to_string(),
        ('t', Value::Bool(_)) => value.to_text(),
        ('f', Value::Float(number)) => {
            let precision = precision.unwrap_or(6).min(100);
            format!("{number:.precision$}")
        }
        ('g', Value::Float(number)) => number.to_string(),
        ('e', Value::Float(number)) => format!("{number:e}"),
        (verb, value) => format!("%!{verb}({}={})", value.kind(), value.to_text()),
    }
}

fn escape_html(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => output.push_str("&amp;"),
            '<' => output.push_str("&lt;"),
            '>' => output.push_str("&gt;"),
            '"' => output.push_str("&#34;"),
            '\'' => output.push_str("&#39;"),
            '\0' => output.push('\u{fffd}'),
            other => output.push(other),
        }
    }
    output
}

fn escape_js(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '\'' | '"' => {
                output.push('\\');
                output.push(letter);
            }
            '<' | '>' | '&' | '=' => output.push_str(&format!("\\u{:04X}", u32::from(letter))),
            control if control < ' ' => output.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => output.push(other),
        }
    }
    output
}

fn escape_query(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                output.push(char::from(byte));
            }
            b' ' => output.push('+'),
            other => output.push_str(&format!("%{other:02X}")),
        }
    }
    output
}
