//! `quaywatch logs`: the lines that containers wrote, also those of containers that are gone.

use std::{
    collections::BTreeSet,
    io::{IsTerminal as _, Write as _},
};

use anyhow::Result;
use qw_event::Timestamp;
use serde_json::Value;

use crate::{
    Usage,
    arguments::{LogStream, Logs, Output},
    cli::{
        client::{Client, encode},
        print, say,
    },
    config::Config,
};

/// Largest page the API gives.
const PAGE: u64 = 1000;

/// Prints lines, oldest first, then follows new ones when asked to.
pub(crate) async fn run(config: Config, arguments: Logs) -> Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    let query = query(&arguments);
    let range = format!(
        "start={}&end={}",
        encode(&instant(
            "--since",
            arguments.since.as_deref(),
            "1970-01-01T00:00:00Z"
        )?),
        encode(&instant("--until", arguments.until.as_deref(), "now")?),
    );
    let printer = Printer::new(&arguments);
    // Whatever is stored from here on comes by the stream; what both tell is told once.
    let before = if arguments.follow {
        newest(&client).await?
    } else {
        0
    };
    let mut told = BTreeSet::new();
    let mut tell = |line: &Value| {
        if arguments.follow && id(line) > before {
            told.insert(id(line));
        }
        printer.print(line)
    };
    match arguments.tail.and_then(|tail| tail.0) {
        Some(0) => {}
        Some(tail) => {
            let lines = last(&client, &query, &range, tail).await?;
            lines.iter().rev().try_for_each(&mut tell)?;
        }
        None => {
            let mut cursor = String::new();
            loop {
                let page = page(&client, &query, &range, "asc", PAGE, &cursor).await?;
                items(&page).try_for_each(&mut tell)?;
                match page["next_cursor"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
        }
    }
    if !arguments.follow {
        return Ok(());
    }
    let mut stream = client.stream("log", &query, &before.to_string()).await?;
    while let Some(message) = stream.next().await? {
        let lines = message["payload"]["events"].as_array();
        for line in lines.into_iter().flatten() {
            if !told.remove(&id(line)) {
                printer.print(line)?;
            }
        }
        if let Some(missed) = message["payload"]["missed"].as_u64() {
            say(&format!(
                "--- up to {missed} lines were too fast and are not shown ---"
            ));
        }
    }
    Ok(())
}

/// The newest `count` lines, newest first.
async fn last(client: &Client, query: &str, range: &str, count: u64) -> Result<Vec<Value>> {
    let mut lines: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    while (lines.len() as u64) < count {
        let limit = (count - lines.len() as u64).min(PAGE);
        let page = page(client, query, range, "desc", limit, &cursor).await?;
        lines.extend(items(&page).cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    Ok(lines)
}

async fn page(
    client: &Client,
    query: &str,
    range: &str,
    order: &str,
    limit: u64,
    cursor: &str,
) -> Result<Value> {
    let path = format!(
        "/api/events?kind=log&query={}&{range}&order={order}&limit={limit}&cursor={}",
        encode(query),
        encode(cursor),
    );
    client.query(&path, query).await
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page["items"].as_array().into_iter().flatten()
}

/// Number of the newest record there is; zero when there is none.
async fn newest(client: &Client) -> Result<u64> {
    let path = "/api/events?kind=all&start=1970-01-01T00:00:00Z&limit=1";
    let page = client.query(path, "").await?;
    Ok(items(&page).map(id).next().unwrap_or(0))
}

fn id(line: &Value) -> u64 {
    line["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .unwrap_or(0)
}

/// The lines of these containers and this stream that the person's own query selects.
fn query(arguments: &Logs) -> String {
    let containers: Vec<String> = arguments
        .containers
        .iter()
        .map(|name| quoted(name))
        .collect();
    let mut query = format!("container:({})", containers.join(" or "));
    if let Some(stream) = arguments.stream {
        let name = match stream {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
        };
        query.push_str(&format!(" log.iostream:{name}"));
    }
    if let Some(own) = arguments
        .query
        .as_deref()
        .filter(|own| !own.trim().is_empty())
    {
        query.push_str(&format!(" ({own})"));
    }
    query
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                quoted.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// An instant as `docker logs` takes them — RFC 3339, seconds since 1970, or a span such as `10m` for so
/// long ago — as the API does.
fn instant(name: &str, given: Option<&str>, default: &str) -> Result<String> {
    let Some(text) = given.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(default.to_owned());
    };
    let is_time = text.parse::<Timestamp>().is_ok() || text.starts_with("now");
    if is_time {
        return Ok(text.to_owned());
    }
    if let Some((seconds, nanos)) = unix(text) {
        let time = Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000) + nanos);
        return Ok(time.to_string());
    }
    if let Some(seconds) = span(text) {
        return Ok(format!("now-{seconds}s"));
    }
    Err(Usage(format!(
        "{name} `{text}` is no time; give RFC 3339 such as `2026-11-21T09:00:00Z`, seconds since 1970, or a span such as `10m`"
    ))
    .into())
}

/// Seconds and nanoseconds of `1700000000` or `1700000000.25`.
fn unix(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = seconds.parse().ok()?;
    let is_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    is_digits.then(|| Some((seconds, nanos.parse().ok()?)))?
}

/// Seconds of a span such as `90s`, `10m`, `1h30m`, `7d`.
fn span(text: &str) -> Option<u64> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit = match behind.bytes().next()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(unit)?;
        seconds = seconds.checked_add(part)?;
        rest = behind.get(1..)?;
    }
    Some(seconds)
}

/// How lines are shown.
struct Printer {
    output: Output,
    timestamps: bool,
    /// Says which container wrote a line, when there are several.
    named: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Printer {
    fn new(arguments: &Logs) -> Self {
        Self {
            output: arguments.output,
            timestamps: arguments.timestamps,
            named: arguments.containers.len() > 1,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn print(&self, line: &Value) -> Result<()> {
        if self.output == Output::Json {
            print(&line.to_string())?;
            return Ok(());
        }
        if is_gap(line) {
            say(&self.headed(line, &gap(line), true));
            return Ok(());
        }
        let output = line["output"].as_str().unwrap_or_default();
        if line["stream"] == "stderr" {
            let text = self.headed(line, output, self.stderr_is_terminal);
            writeln!(std::io::stderr().lock(), "{text}")?;
        } else {
            print(&self.headed(line, output, self.stdout_is_terminal))?;
        }
        Ok(())
    }

    /// `text` behind the container's name and the time, as far as they are wanted.
    fn headed(&self, line: &Value, text: &str, for_terminal: bool) -> String {
        let mut head = String::new();
        if self.named {
            let container = &line["container"];
            let name = container["name"].as_str().filter(|name| !name.is_empty());
            let name = name.or(container["id"].as_str()).unwrap_or_default();
            head.push_str(&format!("{} | ", super::plain(name)));
        }
        if self.timestamps {
            head.push_str(line["time"].as_str().unwrap_or_default());
            head.push(' ');
        }
        if for_terminal {
            head + &colours_only(text)
        } else {
            head + text
        }
    }
}

fn is_gap(line: &Value) -> bool {
    let tags = line["tags"].as_array();
    tags.is_some_and(|tags| tags.iter().any(|tag| tag == "gap"))
}

/// What a record says that stands for lines that could not be had.
fn gap(line: &Value) -> String {
    let fields = &line["output_fields"];
    let text = |name: &str| match &fields[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let reason = text("log.gap.reason").unwrap_or_else(|| String::from("unknown"));
    let mut said = format!("--- lines are missing here: {reason}");
    for (name, unit) in [("log.gap.bytes", "bytes"), ("log.gap.files", "files")] {
        if let Some(number) = text(name) {
            said.push_str(&format!(", {number} {unit}"));
        }
    }
    let (after, before) = (text("log.gap.after"), text("log.gap.before"));
    if let (Some(after), Some(before)) = (after, before) {
        said.push_str(&format!(", between {after} and {before}"));
    }
    said + " ---"
}

/// `text` with its colours and line breaks, and without anything else that could steer a terminal.
fn colours_only(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = colour_length(rest) {
            let (colour, behind) = rest.split_at(length);
            shown.push_str(colour);
            rest = behind;
            continue;
        }
        match first {
            '\n' | '\t' => shown.push(first),
            first if first.is_control() => shown.push(' '),
            first => shown.push(first),
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    shown
}

/// Length of the sequence that sets a colour (`ESC [ 1 ; 31 m`) which `text` begins with.
fn colour_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b';')
        .count();
    (parameters.as_bytes().get(length) == Some(&b'm')).then_some(length + 3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn instants_are_those_of_docker() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                instant("--since", Some(text), "x").ok().as_deref(),
                expected,
                "{text}"
            );
        };
        check("", Some("x"));
        check("10m", Some("now-600s"));
        check("1h30m", Some("now-5400s"));
        check("7d", Some("now-604800s"));
        check("now-1h", Some("now-1h"));
        check("2026-11-21T09:00:00Z", Some("2026-11-21T09:00:00Z"));
        check("0", Some("1970-01-01T00:00:00Z"));
        check("1.5", Some("1970-01-01T00:00:01.5Z"));
        check("yesterday", None);
        check("10x", None);
        check("99999999999999999999d", None);
    }

    #[test]
    fn names_are_quoted() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("web-1", "\"web-1\"");
        check("a\"b\\c\n", "\"a\\\"b\\\\c\\u{a}\"");
    }

    #[test]
    fn only_colours_reach_a_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(colours_only(text), expected);
        check("plain", "plain");
        check("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m");
        check("\u{1b}[2Jgone\u{7}", " [2Jgone ");
        check("\u{1b}]0;title\u{7}x", " ]0;title x");
        check("a\n\tb\r", "a\n\tb ");
        check("größe\u{1b}", "größe ");
    }

    #[test]
    fn gaps_say_what_is_missing() {
        let check = |fields: Value, expected: &str| {
            let line = json!({ "tags": ["gap"], "output_fields": fields });
            assert!(is_gap(&line));
            assert_eq!(gap(&line), expected);
        };
        check(
            json!({"log.gap.reason": "rotated", "log.gap.bytes": 4096, "log.gap.files": 2}),
            "--- lines are missing here: rotated, 4096 bytes, 2 files ---",
        );
        check(
            json!({"log.gap.reason": "api", "log.gap.after": "A", "log.gap.before": "B"}),
            "--- lines are missing here: api, between A and B ---",
        );
        check(json!({}), "--- lines are missing here: unknown ---");
    }
}
