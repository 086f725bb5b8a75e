//! Which lines of a log belong together: stack traces of known languages, or by a pattern.
//!
//! Known languages are told by what their runtimes print; an ordinary line is passed by after a look at
//! a few bytes. A line is held back only when it may begin a trace.

use std::sync::Arc;

use memchr::memchr2_iter;
use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Most memory that a compiled pattern, or the cache of its search, may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// Patterns see this much of a line, in bytes.
const SEEN: usize = 4096;

/// A rule that says which lines belong together; cheap to clone.
#[derive(Debug, Clone)]
pub struct Multiline(Rule);

#[derive(Debug, Clone)]
enum Rule {
    Traces(Languages),
    /// A line that matches begins a record.
    First(Arc<Regex>),
    /// A line that matches belongs to the record before it.
    Next(Arc<Regex>),
}

impl Multiline {
    /// Reads what a configuration or a label says.
    ///
    /// `off` (or nothing): each line is a record. `auto`: stack traces of all known languages.
    /// `java,python`: those of some; known are `java`, `python`, `go`, `ruby`, `node`, `dotnet`.
    /// `first:<pattern>`: a line that the regular expression matches begins a record, all others belong
    /// to the one before. `next:<pattern>`: a line that it matches belongs to the record before.
    ///
    /// # Errors
    /// When a language is not known, or a pattern is not valid or too large.
    pub fn parse(text: &str) -> Result<Option<Self>, PatternError> {
        if let Some(pattern) = text.strip_prefix("first:") {
            return Ok(Some(Self(Rule::First(compile(pattern)?))));
        }
        if let Some(pattern) = text.strip_prefix("next:") {
            return Ok(Some(Self(Rule::Next(compile(pattern)?))));
        }
        let text = text.trim();
        if text.is_empty() || ["off", "false", "none"].contains(&text) {
            return Ok(None);
        }
        let mut languages = Languages::default();
        for name in text.split(',') {
            match name.trim() {
                "auto" => languages = Languages::ALL,
                "java" => languages.java = true,
                "python" => languages.python = true,
                "go" => languages.go = true,
                "ruby" => languages.ruby = true,
                "node" => languages.node = true,
                "dotnet" => languages.dotnet = true,
                other => {
                    return Err(PatternError::UnknownLanguage(
                        other.chars().take(64).collect(),
                    ));
                }
            }
        }
        Ok(Some(Self(Rule::Traces(languages))))
    }

    /// What the next line of a stream is.
    #[inline]
    pub(crate) fn step(&self, progress: &mut Progress, line: &[u8]) -> Step {
        let seen = |pattern: &Regex| pattern.is_match(line.get(..SEEN).unwrap_or(line));
        match &self.0 {
            Rule::Traces(languages) => languages.step(progress, line),
            // The first line of a log may be in the middle of a record.
            Rule::First(pattern) => match (seen(pattern), &progress) {
                (false, Progress::Open) => Step::Next,
                _ => {
                    *progress = Progress::Open;
                    Step::First
                }
            },
            Rule::Next(pattern) => match (seen(pattern), &progress) {
                (true, Progress::Open) => Step::Next,
                _ => {
                    *progress = Progress::Open;
                    Step::First
                }
            },
        }
    }
}

fn compile(pattern: &str) -> Result<Arc<Regex>, PatternError> {
    if pattern.is_empty() || pattern.len() > MAX_PATTERN {
        return Err(PatternError::Length);
    }
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build();
    built.map(Arc::new).map_err(|error| PatternError::Pattern {
        pattern: pattern.chars().take(64).collect(),
        reason: error.to_string(),
    })
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A word that is neither a language nor `off`, `auto`, `first:…`, `next:…`.
    #[error(
        "`{0}` is no multi-line rule; expected `off`, `auto`, `first:<pattern>`, `next:<pattern>`, or some of `java`, `python`, `go`, `ruby`, `node`, `dotnet`"
    )]
    UnknownLanguage(String),
    /// A pattern is empty or too long.
    #[error("a multi-line pattern must have 1 to {MAX_PATTERN} bytes")]
    Length,
    /// A pattern is no regular expression, or takes too much memory.
    #[error("multi-line pattern `{pattern}`: {reason}")]
    Pattern {
        /// Its beginning.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a line relates to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It stands alone.
    Single,
    /// It may have more lines.
    First,
    /// It belongs to the record before it.
    Next,
}

/// Where in a record a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    /// In no record that could go on.
    #[default]
    Idle,
    /// In a record that a pattern began.
    Open,
    /// Behind the message of an error of Java, Node or .NET, before or among its frames.
    Frames,
    /// Behind the place that Node prints first; so many lines may come before the message.
    NodePlace(u8),
    /// Behind a line of a Node error that opened a block of members.
    NodeMembers,
    /// Among the frames of Python.
    PythonFrames,
    /// In a group of Python errors, which is set off by a margin.
    PythonGroup,
    /// Behind the message of a Python error, where another trace may follow.
    PythonMessage,
    /// In what Go prints of a panic.
    Go,
    /// Behind the message of a Ruby error.
    Ruby,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Languages {
    java: bool,
    python: bool,
    go: bool,
    ruby: bool,
    node: bool,
    dotnet: bool,
}

impl Languages {
    const ALL: Self = Self {
        java: true,
        python: true,
        go: true,
        ruby: true,
        node: true,
        dotnet: true,
    };

    #[inline]
    fn step(self, progress: &mut Progress, line: &[u8]) -> Step {
        if *progress != Progress::Idle
            && let Some(next) = goes_on(*progress, line)
        {
            *progress = next;
            return Step::Next;
        }
        match self.begins(line) {
            Some(begun) => {
                *progress = begun;
                Step::First
            }
            None => {
                *progress = Progress::Idle;
                Step::Single
            }
        }
    }

    /// The trace that `line` may begin.
    #[inline]
    fn begins(self, line: &[u8]) -> Option<Progress> {
        let first = *line.first()?;
        if self.python && is_python_start(first, line) {
            return Some(python_start(line));
        }
        if self.go && is_go_start(first, line) {
            return Some(Progress::Go);
        }
        if self.ruby && is_ruby_start(first, line) {
            return Some(Progress::Ruby);
        }
        if self.node && is_node_place(first, line) {
            return Some(Progress::NodePlace(4));
        }
        let named = self.java || self.node || self.dotnet;
        if named && names_an_error(line) {
            return Some(Progress::Frames);
        }
        None
    }
}

/// Where a trace is after `line`, if that belongs to it.
fn goes_on(progress: Progress, line: &[u8]) -> Option<Progress> {
    let text = line.trim_ascii();
    let is_indented = matches!(line.first(), Some(b' ' | b'\t'));
    match progress {
        Progress::Idle | Progress::Open => None,
        Progress::Frames => {
            let is_frame = is_indented
                && (text.starts_with(b"at ")
                    || text.starts_with(b"... ")
                    || text.starts_with(b"--- End of")
                    || text.starts_with(b"- locked <")
                    || text.starts_with(b"- waiting ")
                    || text.starts_with(b"[cause]: "));
            let is_cause = ["Caused by: ", "Suppressed: ", "---> ", "--- End of "]
                .iter()
                .any(|start| text.starts_with(start.as_bytes()))
                || text == b"nested exception is:";
            if is_frame && text.ends_with(b" {") {
                Some(Progress::NodeMembers)
            } else {
                (is_frame || is_cause).then_some(Progress::Frames)
            }
        }
        Progress::NodeMembers => match text {
            b"}" | b"}," => Some(Progress::Frames),
            _ => is_indented.then_some(Progress::NodeMembers),
        },
        Progress::NodePlace(left) => {
            if names_an_error(line) {
                Some(Progress::Frames)
            } else {
                (left > 0).then(|| Progress::NodePlace(left - 1))
            }
        }
        Progress::PythonGroup => (is_indented && matches!(text.first(), Some(b'|' | b'+')))
            .then_some(Progress::PythonGroup),
        Progress::PythonFrames if is_indented || text.is_empty() => Some(Progress::PythonFrames),
        Progress::PythonFrames => Some(Progress::PythonMessage),
        Progress::PythonMessage => {
            let is_link = text.starts_with(b"During handling of the above exception")
                || text.starts_with(b"The above exception was the direct cause");
            if is_python_start(line.first().copied().unwrap_or_default(), line) {
                Some(python_start(line))
            } else {
                (is_link || text.is_empty()).then_some(Progress::PythonMessage)
            }
        }
        Progress::Go => {
            let is_call = text.ends_with(b")") && is_go_call(text);
            let is_known = [
                "goroutine ",
                "created by ",
                "[signal ",
                "exit status ",
                "panic: ",
                "[recovered]",
                "...additional frames elided...",
                "runtime stack:",
                "rax ",
            ]
            .iter()
            .any(|start| text.starts_with(start.as_bytes()));
            (line.starts_with(b"\t") || text.is_empty() || is_call || is_known)
                .then_some(Progress::Go)
        }
        Progress::Ruby => {
            let is_place = is_ruby_place(text);
            (is_indented || text.is_empty() || is_place).then_some(Progress::Ruby)
        }
    }
}

fn is_python_start(first: u8, line: &[u8]) -> bool {
    match first {
        b'T' => line.starts_with(b"Traceback (most recent call last):"),
        b' ' => {
            let text = line.trim_ascii_start();
            text.starts_with(b"+ Exception Group Traceback (most recent")
                || (text.starts_with(b"File \"") && contains(text, b"\", line "))
        }
        _ => false,
    }
}

/// Where a trace is after a line that begins one.
fn python_start(line: &[u8]) -> Progress {
    if line.trim_ascii_start().starts_with(b"+") {
        Progress::PythonGroup
    } else {
        Progress::PythonFrames
    }
}

fn is_go_start(first: u8, line: &[u8]) -> bool {
    match first {
        b'p' => line.starts_with(b"panic: "),
        b'f' => line.starts_with(b"fatal error: "),
        b'g' => line.starts_with(b"goroutine ") && line.ends_with(b"]:"),
        b'S' => line.starts_with(b"SIG") && contains(line, b": "),
        b'r' => line.starts_with(b"runtime: goroutine stack exceeds"),
        // A time, then what the HTTP server of the standard library prints.
        b'0'..=b'9' => contains(line, b" http: panic serving "),
        _ => false,
    }
}

/// `main.run(0x1, {0x2, 0x3})`, `main.(*T).Run(...)`: a path without spaces before the parameters.
fn is_go_call(text: &[u8]) -> bool {
    let name = text.split(|byte| *byte == b'(').next().unwrap_or_default();
    !name.is_empty() && name.contains(&b'.') && !name.contains(&b' ')
}

/// ``app.rb:3:in `run': message (SomeError)``, or `Some::Error (message):` as Rails prints it.
fn is_ruby_start(first: u8, line: &[u8]) -> bool {
    match first {
        b'T' => line.starts_with(b"Traceback (most recent call last):"),
        b'A'..=b'Z' => {
            let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            contains(name, b"::")
                && (contains(line, b" (") && line.ends_with(b"):") || name.ends_with(b"Error:"))
        }
        _ => line.ends_with(b")") && is_ruby_place(line),
    }
}

/// `app/models/user.rb:12:in …`.
fn is_ruby_place(text: &[u8]) -> bool {
    let place = memchr::memmem::find(text, b":in ").and_then(|end| text.get(..end));
    place.is_some_and(|place| {
        let digits = place
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let path = place.get(..place.len() - digits).unwrap_or_default();
        digits > 0 && (path.ends_with(b":") && contains(path, b".") || path.ends_with(b"<main>:"))
    })
}

/// `/app/server.js:12` or `file:///app/server.mjs:12`, alone in its line.
fn is_node_place(first: u8, line: &[u8]) -> bool {
    if !matches!(first, b'/' | b'f' | b'n') || !matches!(line.last(), Some(b'0'..=b'9')) {
        return false;
    }
    let digits = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let path = line.get(..line.len() - digits).unwrap_or_default();
    (line.starts_with(b"node:internal/") && path.ends_with(b":"))
        || [".js:", ".mjs:", ".cjs:", ".ts:"]
            .iter()
            .any(|end| path.ends_with(end.as_bytes()))
}

/// Whether an `…Error`, `…Exception` or `…Throwable` stands at a place where its message may follow.
fn names_an_error(line: &[u8]) -> bool {
    const NAMES: [&[u8]; 3] = [b"Exception", b"Error", b"Throwable"];
    let line = line.get(..SEEN).unwrap_or(line);
    memchr2_iter(b'E', b'T', line).any(|at| {
        let rest = line.get(at..).unwrap_or_default();
        NAMES.iter().any(|name| {
            rest.strip_prefix(*name).is_some_and(|behind| {
                matches!(behind, [] | [b':', ..] | [b'\r'] | [b' ', b'[' | b'{', ..])
            })
        })
    }) || line.starts_with(b"Unhandled exception.")
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}

#[cfg(test)]
mod tests;
