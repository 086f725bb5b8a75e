//! Lines of `strace -f`: taken apart, put in order, joined to whole calls.

use std::collections::HashMap;

/// One finished system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Thread that called.
    pub(crate) thread: u32,
    /// When it returned: nanoseconds since 1970.
    pub(crate) time: u64,
    /// Name, such as `openat`.
    pub(crate) name: String,
    /// Arguments as `strace` wrote them.
    pub(crate) arguments: Vec<String>,
    /// What it returned, such as `3</etc/passwd>` or `-1 ENOENT (No such file or directory)`.
    pub(crate) result: String,
}

/// What a line, together with those before it, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// A call returned.
    Call(Call),
    /// A thread ended.
    Exit { thread: u32 },
    /// Nothing yet, or nothing of use.
    Nothing,
}

/// Joins the halves of calls that were interrupted by lines of other threads.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    unfinished: HashMap<u32, String>,
}

impl Reader {
    /// Takes one line of the trace file.
    pub(crate) fn read(&mut self, line: &str) -> Line {
        let Some((thread, rest)) = line.trim_end().split_once(' ') else {
            return Line::Nothing;
        };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else {
            return Line::Nothing;
        };
        let (Ok(thread), Some(time)) = (thread.parse(), nanoseconds(time)) else {
            return Line::Nothing;
        };
        if let Some(text) = rest.strip_prefix("+++ ") {
            return self.end(thread, text);
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            self.unfinished.insert(thread, begun.to_owned());
            return Line::Nothing;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let begun = self.unfinished.remove(&thread);
            let tail = resumed.split_once(" resumed>").map(|(_, tail)| tail);
            return match begun.zip(tail) {
                Some((begun, tail)) => call(thread, time, &format!("{begun}{tail}"), true),
                None => Line::Nothing,
            };
        }
        call(thread, time, rest, false)
    }

    fn end(&mut self, thread: u32, text: &str) -> Line {
        // A thread that executes a program takes over the number of its process.
        if let Some(other) = text.strip_prefix("superseded by execve in pid ") {
            let other = other.trim_end_matches(" +++").parse().unwrap_or_default();
            if let Some(begun) = self.unfinished.remove(&other) {
                self.unfinished.insert(thread, begun);
            }
            return Line::Exit { thread: other };
        }
        self.unfinished.remove(&thread);
        Line::Exit { thread }
    }
}

fn call(thread: u32, time: u64, text: &str, resumed: bool) -> Line {
    let whole = || {
        let (name, rest) = text.split_once('(')?;
        let (rest, took) = match rest.rsplit_once(" <") {
            Some((rest, took)) if took.ends_with('>') => {
                (rest, nanoseconds(took.trim_end_matches('>')))
            }
            _ => (rest, None),
        };
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let arguments = arguments.trim_end().strip_suffix(')')?;
        Some(Call {
            thread,
            // A whole line bears the time of the call, the second half of a split one that of the
            // return.
            time: if resumed {
                time
            } else {
                time + took.unwrap_or_default()
            },
            name: name.to_owned(),
            arguments: split(arguments),
            result: result.to_owned(),
        })
    };
    whole().map_or(Line::Nothing, Line::Call)
}

/// Splits arguments at the commas that stand in no string, list or path.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped, mut before) = (0_u32, false, false, ' ');
    for letter in text.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            match letter {
                '"' => quoted = true,
                '{' | '[' | '(' => depth += 1,
                '<' if before.is_ascii_alphanumeric() => depth += 1,
                '}' | ']' | ')' => depth = depth.saturating_sub(1),
                '>' if before != '=' && before != '-' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(part.trim().to_owned());
                    part.clear();
                    before = ' ';
                    continue;
                }
                _ => {}
            }
        }
        before = letter;
        part.push(letter);
    }
    if !part.trim().is_empty() {
        parts.push(part.trim().to_owned());
    }
    parts
}

/// Text of a string argument, with its escapes resolved; empty for what is no string.
pub(crate) fn text(argument: &str) -> String {
    let inner = argument.strip_prefix('"').unwrap_or_default();
    let mut bytes = Vec::new();
    let mut letters = inner.bytes().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            b'"' => break,
            b'\\' => match letters.next() {
                Some(b'n') => bytes.push(b'\n'),
                Some(b't') => bytes.push(b'\t'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b'v') => bytes.push(0x0b),
                Some(b'f') => bytes.push(0x0c),
                Some(digit @ b'0'..=b'7') => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        if let Some(digit) = letters.next_if(|next| matches!(next, b'0'..=b'7')) {
                            value = value * 8 + u32::from(digit - b'0');
                        }
                    }
                    bytes.push(value as u8);
                }
                Some(other) => bytes.push(other),
                None => break,
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Strings of a list argument such as `["ls", "-l"]`.
pub(crate) fn list(argument: &str) -> Vec<String> {
    let inner = argument.strip_prefix('[').unwrap_or_default();
    let inner = inner.strip_suffix(']').unwrap_or(inner);
    let parts = split(inner);
    let strings = parts.iter().filter(|part| part.starts_with('"'));
    strings.map(|part| text(part)).collect()
}

/// What stands in angle brackets behind a file descriptor, as in `3</etc/passwd>`.
pub(crate) fn annotation(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('<')?;
    Some(rest.rsplit_once('>').map_or(rest, |(inner, _)| inner))
}

/// Value of `key` in a structure such as `{sa_family=AF_INET, sin_port=htons(80)}`.
pub(crate) fn member<'a>(structure: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = structure.split_once(&format!("{key}="))?;
    let end = rest
        .char_indices()
        .scan((0_u32, false), |(depth, quoted), (at, letter)| {
            match letter {
                '"' => *quoted = !*quoted,
                '(' if !*quoted => *depth += 1,
                ')' if !*quoted && *depth > 0 => *depth -= 1,
                ',' | '}' | ')' if !*quoted && *depth == 0 => return Some((at, true)),
                _ => {}
            }
            Some((at, false))
        })
        .find_map(|(at, ends)| ends.then_some(at));
    end.map_or(Some(rest), |end| rest.get(..end))
}

/// When a line of a trace was written: nanoseconds since 1970.
pub(crate) fn time(line: &str) -> Option<u64> {
    nanoseconds(line.split_whitespace().nth(1)?)
}

/// `1.000000002` as nanoseconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], name: &str, time: u64, arguments: &[&str], result: &str) {
        let mut reader = Reader::default();
        let mut last = Line::Nothing;
        for line in lines {
            last = reader.read(line);
        }
        let expected = Call {
            thread: 7,
            time,
            name: name.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            result: result.to_owned(),
        };
        assert_eq!(last, Line::Call(expected));
    }

    #[test]
    fn calls() {
        check(
            &[
                r#"7  2.500000000 openat(AT_FDCWD</a, b>, "x,\"y", O_RDONLY) = 3</a, b/x,"y> <0.000000010>"#,
            ],
            "openat",
            2_500_000_010,
            &["AT_FDCWD</a, b>", r#""x,\"y""#, "O_RDONLY"],
            r#"3</a, b/x,"y>"#,
        );
        check(
            &[
                "7 1.0 accept4(6<socket:[1]>,  <unfinished ...>",
                "8 1.5 +++ exited with 0 +++",
                "7 2.0 <... accept4 resumed>{sa_family=AF_INET, sin_port=htons(5), sin_addr=inet_addr(\"1.2.3.4\")}, [16], 0) = 7<socket:[2]> <1.0>",
            ],
            "accept4",
            2_000_000_000,
            &[
                "6<socket:[1]>",
                "{sa_family=AF_INET, sin_port=htons(5), sin_addr=inet_addr(\"1.2.3.4\")}",
                "[16]",
                "0",
            ],
            "7<socket:[2]>",
        );
        check(
            &["7 1.0 fork()      = 9 <0.1>"],
            "fork",
            1_100_000_000,
            &[],
            "9",
        );
    }

    #[test]
    fn program_run_by_a_thread_belongs_to_its_process() {
        check(
            &[
                r#"9 1.0 execve("/bin/ls", ["ls"], 0x7 /* 2 vars */ <unfinished ...>"#,
                "7 1.1 +++ superseded by execve in pid 9 +++",
                "7 1.2 <... execve resumed>) = 0 <0.2>",
            ],
            "execve",
            1_200_000_000,
            &[r#""/bin/ls""#, r#"["ls"]"#, "0x7 /* 2 vars */"],
            "0",
        );
    }

    #[test]
    fn parts_of_arguments() {
        assert_eq!(text(r#""a\n\"\303\251\0"..."#), "a\n\"é\0");
        assert_eq!(list(r#"["sh", "-c", "a, b"...]"#), ["sh", "-c", "a, b"]);
        let address = r#"{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}"#;
        assert_eq!(member(address, "sin6_port"), Some("htons(80)"));
        assert_eq!(
            member(r#"{sa_family=AF_UNIX, sun_path="/a, b"}"#, "sun_path"),
            Some(r#""/a, b""#)
        );
        assert_eq!(annotation("3</a/b>"), Some("/a/b"));
        assert_eq!(annotation("3"), None);
    }
}
