//! MessagePack → JSON text.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    Fault,
    reader::{Reader, Value},
};

/// Appends the next value as JSON, with at most `depth` levels of arrays and maps.
///
/// Binary and texts that are no UTF-8 become base64, numbers that JSON has not become null, names that are
/// no text become the text of their JSON, and an extension `{"type":1,"base64":"…"}`.
pub(super) fn write(reader: &mut Reader<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    match reader.value()? {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Signed(number) => json(&number, out),
        Value::Unsigned(number) => json(&number, out),
        Value::Float(number) if number.is_finite() => json(&number, out),
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Text(bytes) | Value::Binary(bytes) => quote(bytes, out),
        Value::Extension(kind, bytes) => {
            out.extend_from_slice(b"{\"type\":");
            json(&kind, out);
            out.extend_from_slice(b",\"base64\":");
            json(&BASE64_STANDARD.encode(bytes), out);
            out.push(b'}');
        }
        Value::Array(count) => {
            let depth = depth.checked_sub(1).ok_or_else(|| reader.too_deep())?;
            out.push(b'[');
            for index in 0..count {
                if index > 0 {
                    out.push(b',');
                }
                write(reader, depth, out)?;
            }
            out.push(b']');
        }
        Value::Map(count) => {
            let depth = depth.checked_sub(1).ok_or_else(|| reader.too_deep())?;
            out.push(b'{');
            for index in 0..count {
                if index > 0 {
                    out.push(b',');
                }
                write_name(reader, depth, out)?;
                out.push(b':');
                write(reader, depth, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_name(reader: &mut Reader<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    if let Some(name) = reader.text()? {
        quote(name, out);
        return Ok(());
    }
    let mut name = Vec::new();
    write(reader, depth, &mut name)?;
    quote(&name, out);
    Ok(())
}

/// A JSON text of bytes.
pub(super) fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => json(text, out),
        Err(_) => json(&BASE64_STANDARD.encode(bytes), out),
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing numbers and texts to memory cannot fail.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.extend_from_slice(b"null");
    }
}

/// JSON that was written here, as text.
pub(super) fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}
