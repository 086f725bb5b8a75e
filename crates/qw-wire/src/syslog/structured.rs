//! Structured data of RFC 5424, section 6.3 ↔ JSON and text.

use memchr::memchr2;

/// The structured data at the beginning of `bytes`, and the text behind it; nil is empty.
///
/// `None` when none stands there.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return match rest {
            [] => Some((b"", b"")),
            [b' ', text @ ..] => Some((b"", text)),
            _ => None,
        };
    }
    let mut rest = bytes;
    while rest.first() == Some(&b'[') {
        rest = element(rest, &mut |_| {})?;
    }
    let data = bytes.get(..bytes.len() - rest.len())?;
    match rest {
        _ if data.is_empty() => None,
        [] => Some((data, rest)),
        [b' ', text @ ..] => Some((data, text)),
        _ => None,
    }
}

/// A part of an element.
enum Part<'a> {
    /// Its id.
    Id(&'a [u8]),
    /// The name of a parameter, and its value with escapes.
    Parameter(&'a [u8], &'a [u8]),
}

/// Walks one `[id name="value" …]`; hands on what stands behind it.
fn element<'a>(bytes: &'a [u8], each: &mut impl FnMut(Part<'a>)) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(b"[")?;
    let id;
    (id, rest) = name(rest)?;
    each(Part::Id(id));
    loop {
        match rest {
            [b']', behind @ ..] => return Some(behind),
            [b' ', behind @ ..] => rest = behind,
            _ => return None,
        }
        // Some senders put spaces in front of the bracket.
        if matches!(rest.first(), Some(b']' | b' ')) {
            continue;
        }
        let parameter;
        (parameter, rest) = name(rest)?;
        rest = rest.strip_prefix(b"=\"")?;
        let mut end = 0;
        loop {
            end += memchr2(b'"', b'\\', rest.get(end..)?)?;
            match rest.get(end) {
                Some(b'\\') => end += 2,
                _ => break,
            }
        }
        each(Part::Parameter(parameter, rest.get(..end)?));
        rest = rest.get(end + 1..)?;
    }
}

/// A name of at least one byte: no control characters, space, `=`, `]` or `"`.
fn name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, 0..=b' ' | b'=' | b']' | b'"'))?;
    (end > 0).then(|| bytes.split_at(end))
}

/// Elements that [`split`] found → an object of objects, in their order.
pub(super) fn to_json(data: &[u8]) -> String {
    let mut json = Vec::with_capacity(data.len() + 32);
    let mut rest = data;
    json.push(b'{');
    while !rest.is_empty() {
        if rest.len() < data.len() {
            json.push(b',');
        }
        let mut separator: &[u8] = b"";
        let behind = element(rest, &mut |part| match part {
            Part::Id(id) => {
                quote(id, &mut json);
                json.extend_from_slice(b":{");
            }
            Part::Parameter(name, value) => {
                json.extend_from_slice(separator);
                separator = b",";
                quote(name, &mut json);
                json.push(b':');
                quote(&unescaped(value), &mut json);
            }
        });
        json.push(b'}');
        rest = behind.unwrap_or_default();
    }
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}

fn quote(bytes: &[u8], json: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    // Writing a text to memory cannot fail.
    if serde_json::to_writer(&mut *json, &*text).is_err() {
        json.extend_from_slice(b"\"\"");
    }
}

/// Without the `\` in front of `"`, `\` and `]`; in front of others it stays, as the RFC says.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(&next @ (b'"' | b'\\' | b']')) if byte == b'\\' => {
                plain.push(next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    plain
}
