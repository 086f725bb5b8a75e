//! The entries of `output_fields` that tell what a process did, in one pass over the JSON.
//!
//! The text was validated when the event was parsed; a text that is no object all the same gives
//! the entries up to the place where it stops being one. Nothing is copied unless it has escapes.

use std::borrow::Cow;

/// Known entries as text, empty when absent, null, or `<NA>`.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) result: Cow<'a, str>,
    pub(crate) process: Cow<'a, str>,
    pub(crate) parent: Cow<'a, str>,
    pub(crate) command_line: Cow<'a, str>,
    pub(crate) arguments: Cow<'a, str>,
    pub(crate) executable: Cow<'a, str>,
    pub(crate) standard_input: Cow<'a, str>,
    pub(crate) user: Cow<'a, str>,
    pub(crate) user_id: Cow<'a, str>,
    pub(crate) descriptor: Cow<'a, str>,
    pub(crate) descriptor_number: Cow<'a, str>,
    pub(crate) descriptor_type: Cow<'a, str>,
    pub(crate) directory: Cow<'a, str>,
    pub(crate) server_address: Cow<'a, str>,
    pub(crate) server_port: Cow<'a, str>,
    pub(crate) remote_address: Cow<'a, str>,
    pub(crate) remote_port: Cow<'a, str>,
    pub(crate) local_port: Cow<'a, str>,
    pub(crate) transport: Cow<'a, str>,
    pub(crate) flags: Cow<'a, str>,
    pub(crate) mode: Cow<'a, str>,
    pub(crate) target: Cow<'a, str>,
    pub(crate) domain: Cow<'a, str>,
    /// What a call works on when no descriptor names it.
    pub(crate) path: Cow<'a, str>,
    /// Second path of a call that has two: the new name.
    pub(crate) new_path: Cow<'a, str>,
    /// The executable is not part of the image.
    pub(crate) is_upper_layer: bool,
    /// The executable has no file.
    pub(crate) is_from_memory: bool,
    pub(crate) is_open_for_writing: bool,
}

impl<'a> Fields<'a> {
    /// The known entries of the object `json`.
    pub(crate) fn of(json: &'a str) -> Self {
        let mut fields = Self::default();
        entries(json, |key, value| fields.note(key, value));
        fields
    }

    #[inline]
    fn note(&mut self, key: &str, value: Value<'a>) {
        // By length first: most keys are told apart by it, and comparing lengths is cheap.
        let place = match key.len() {
            6 if key == "fd.sip" => &mut self.server_address,
            6 if key == "fd.rip" => &mut self.remote_address,
            6 if key == "fd.num" => &mut self.descriptor_number,
            7 if key == "fd.name" => &mut self.descriptor,
            7 if key == "fd.type" => &mut self.descriptor_type,
            7 if key == "evt.res" => &mut self.result,
            8 if key == "evt.type" => &mut self.event_type,
            8 if key == "user.uid" => &mut self.user_id,
            8 if key == "fd.sport" => &mut self.server_port,
            8 if key == "fd.rport" => &mut self.remote_port,
            8 if key == "fd.lport" => &mut self.local_port,
            9 if key == "proc.name" => &mut self.process,
            9 if key == "user.name" => &mut self.user,
            9 if key == "proc.args" => &mut self.arguments,
            10 if key == "proc.pname" => &mut self.parent,
            10 if key == "fd.l4proto" => &mut self.transport,
            11 if key == "fd.typechar" && self.descriptor_type.is_empty() => {
                &mut self.descriptor_type
            }
            12 if key == "proc.cmdline" => &mut self.command_line,
            12 if key == "proc.exepath" => &mut self.executable,
            12 if key == "fd.directory" => &mut self.directory,
            12 if key == "evt.arg.mode" => &mut self.mode,
            12 if matches!(key, "evt.arg.path" | "evt.arg.name") => &mut self.path,
            12 if key == "fs.path.name" => &mut self.path,
            13 if key == "evt.arg.flags" => &mut self.flags,
            14 if key == "evt.arg.target" => &mut self.target,
            14 if key == "evt.arg.domain" => &mut self.domain,
            14 if key == "fs.path.source" => &mut self.path,
            14 if key == "fs.path.target" => &mut self.new_path,
            15 if key == "proc.stdin.type" => &mut self.standard_input,
            15 if key == "evt.arg.oldpath" => &mut self.path,
            15 if key == "evt.arg.newpath" => &mut self.new_path,
            16 if matches!(key, "evt.arg.filename" | "evt.arg.pathname") => &mut self.path,
            16 if key == "evt.arg.linkpath" => &mut self.new_path,
            17 if key == "evt.is_open_write" => {
                self.is_open_for_writing = value.is_true();
                return;
            }
            23 if key == "proc.is_exe_upper_layer" => {
                self.is_upper_layer = value.is_true();
                return;
            }
            22 if key == "proc.is_exe_from_memfd" => {
                self.is_from_memory = value.is_true();
                return;
            }
            _ => return,
        };
        let text = value.text();
        if !text.is_empty() {
            *place = text;
        }
    }
}

/// A value as it was written: a string without its quotes, or a scalar.
#[derive(Clone, Copy)]
struct Value<'a> {
    raw: &'a str,
    escaped: bool,
    is_string: bool,
}

impl<'a> Value<'a> {
    fn text(self) -> Cow<'a, str> {
        if self.escaped {
            // Escapes are rare in what we look at, so the general reader is good enough.
            let quoted = format!("\"{}\"", self.raw);
            return Cow::Owned(serde_json::from_str(&quoted).unwrap_or_default());
        }
        let is_absent = match self.raw.len() {
            3 => self.raw == "N/A",
            4 => self.raw == "<NA>" || (!self.is_string && self.raw == "null"),
            _ => false,
        };
        Cow::Borrowed(if is_absent { "" } else { self.raw })
    }

    fn is_true(self) -> bool {
        self.raw == "true"
    }
}

/// Calls `each` for the entries of the object `json` whose values are scalars.
fn entries<'a>(json: &'a str, mut each: impl FnMut(&'a str, Value<'a>)) {
    let bytes = json.as_bytes();
    let text = |start: usize, end: usize| json.get(start..end).unwrap_or_default();
    let Some(mut at) = bytes.iter().position(|&byte| byte == b'{') else {
        return;
    };
    at += 1;
    loop {
        while matches!(bytes.get(at), Some(b' ' | b',' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        if bytes.get(at) != Some(&b'"') {
            return;
        }
        let Some((key_end, _)) = string_end(bytes, at + 1) else {
            return;
        };
        let key = text(at + 1, key_end);
        at = key_end + 1;
        while matches!(bytes.get(at), Some(b' ' | b':' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        match bytes.get(at) {
            Some(b'"') => {
                let Some((end, escaped)) = string_end(bytes, at + 1) else {
                    return;
                };
                let raw = text(at + 1, end);
                each(
                    key,
                    Value {
                        raw,
                        escaped,
                        is_string: true,
                    },
                );
                at = end + 1;
            }
            Some(b'{' | b'[') => {
                let Some(end) = nested_end(bytes, at) else {
                    return;
                };
                at = end;
            }
            Some(_) => {
                let start = at;
                while !matches!(
                    bytes.get(at),
                    None | Some(b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r')
                ) {
                    at += 1;
                }
                let raw = text(start, at);
                each(
                    key,
                    Value {
                        raw,
                        escaped: false,
                        is_string: false,
                    },
                );
            }
            None => return,
        }
    }
}

/// Offset of the quote that ends the string whose first byte is at `from`, and whether it has
/// escapes.
#[inline]
fn string_end(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let mut at = from;
    let mut escaped = false;
    loop {
        at = quote_or_backslash(bytes, at)?;
        if bytes.get(at) == Some(&b'"') {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// Offset of the first quote or backslash from `from` on.
#[inline]
fn quote_or_backslash(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u128 = u128::from_ne_bytes([0x01; 16]);
    const HIGHS: u128 = u128::from_ne_bytes([0x80; 16]);
    const QUOTES: u128 = u128::from_ne_bytes([b'"'; 16]);
    const BACKSLASHES: u128 = u128::from_ne_bytes([b'\\'; 16]);
    let mut at = from;
    // Sixteen bytes at a time. The lowest bit that is set tells the first byte exactly; a borrow can
    // only disturb the bytes above it.
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u128::from_le_bytes(*word);
        let (quote, backslash) = (word ^ QUOTES, word ^ BACKSLASHES);
        let found =
            (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 16;
    }
    let rest = bytes.get(at..)?;
    let found = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + found)
}

/// Offset behind the array or object that begins at `from`.
fn nested_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at + 1)?.0,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wanted_entries_are_found_among_others() {
        let fields = Fields::of(
            r#" { "container.id":"abc", "evt.args":{"a":["}",1]}, "evt.type" : "openat",
                "fd.name":"/a\"b\\c", "fd.sport":443, "proc.name":null, "proc.pname":"<NA>",
                "user.uid":0,"proc.is_exe_upper_layer":true,"evt.num":[1,2],"proc.args":"" } "#,
        );
        assert_eq!(fields.event_type, "openat");
        assert_eq!(fields.descriptor, "/a\"b\\c");
        assert_eq!(fields.server_port, "443");
        assert_eq!(fields.process, "");
        assert_eq!(fields.parent, "");
        assert_eq!(fields.user_id, "0");
        assert!(fields.is_upper_layer);
        assert_eq!(fields.arguments, "");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\]{},:\"\\\\a-f.0-9 \\PC]{0,80}") {
            Fields::of(&text);
        }

        #[test]
        fn strings_are_read_as_serde_json_reads_them(name in any::<String>(), after in "[a-z]{0,9}") {
            let json = serde_json::json!({"x": [name.clone()], "fd.name": name, "evt.type": after}).to_string();
            let fields = Fields::of(&json);
            let expected = if matches!(name.as_str(), "<NA>" | "N/A") { "" } else { name.as_str() };
            prop_assert_eq!(&*fields.descriptor, expected);
            prop_assert_eq!(&*fields.event_type, after);
        }
    }
}
