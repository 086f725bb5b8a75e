//! Rules that see everything, as `docs/configuration.md` proposes to receive them: all is profiled
//! and counted, and what is kept is checked event by event.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{BufRead as _, BufReader},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use qw_sources::demo;
use serde_json::{Value, json};

use super::{
    Row, Show,
    api::{Started, nanos},
    machine,
};
use crate::cli::client::{Client, encode};

/// How long the load lasts.
const LASTS: Duration = Duration::from_secs(120);
/// Events sent a second.
const RATE: usize = 20_000;
/// Events in one request of the sender.
const BATCH: usize = 500;
/// Different lines that are sent, again and again.
const LINES: usize = 40_000;
/// Recorded runs that they are taken of.
const CONTAINERS: usize = 40;
/// A deviation is sent this often, each in another container.
const DEVIATES_EVERY: Duration = Duration::from_secs(5);
/// As `pipeline.observe_context` has it by default.
const CONTEXT_NANOS: i64 = 10_000_000_000;
/// Events before a deviation that are looked for: at most what is held of a container, and of half
/// the time for which it is held.
const BEFORE: usize = 32;

/// A line that is filled with a number and a time.
struct Line {
    container: usize,
    parts: [String; 3],
}

/// What was sent.
#[derive(Default)]
struct Sent {
    /// Container and time of every event; its number is its place.
    events: Vec<(u16, i64)>,
    /// Numbers of the deviations.
    deviations: Vec<usize>,
    /// Milliseconds from sending a request to its answer.
    answers: Vec<f64>,
    /// Seconds by which the sender was behind its clock at worst.
    behind: f64,
}

/// Starts this binary as a server, feeds it for two minutes with lines of `recordings`, else with
/// made-up ones, and looks at what it kept.
pub(super) fn run(recordings: Option<&Path>, folder: &Path, show: Show<'_>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(recordings, &folder.join("catch-all"), show))
}

async fn measure(recordings: Option<&Path>, folder: &Path, show: Show<'_>) -> Result<()> {
    let observe = [("QUAYWATCH_PIPELINE_OBSERVE", r#"["rule:Quaywatch*"]"#)];
    let server = Started::new(folder, &observe).await?;
    let console = server.client("console")?;
    let falco = server.client("falco")?;
    let (lines, deviations) = match recordings {
        Some(folder) => lines(recorded(folder)?)?,
        None => lines(demo::benchmark_lines(1, usize::MAX))?,
    };

    // Everything once, to learn what is usual; from then on all else deviates.
    let mut taught = Sent::default();
    for batch in 0..lines.len().div_ceil(BATCH) {
        let chosen = lines.iter().skip(batch * BATCH).take(BATCH);
        send(&falco, chosen, &mut taught).await?;
    }
    freeze(&console).await?;

    let watch = tokio::spawn({
        let metrics = server.client("metrics")?;
        async move { largest_lag(&metrics).await }
    });
    let before = machine::cpu_seconds(&server.pid())?;
    let begin = Instant::now();
    let sent = feed(&falco, &lines, &deviations, taught.events.len()).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = machine::cpu_seconds(&server.pid())? - before;
    let memory = machine::resident_megabytes(&server.pid())?;
    let most = machine::most_resident_megabytes(&server.pid())?;
    let lag = watch.await??;

    // What is held for a moment gets its outcome when the moment is over.
    let all = taught.events.len() + sent.events.len();
    let (received, outcomes) = settled(&console, all).await?;
    let stored = stored(&console).await?;
    let wanted = wanted(&sent, taught.events.len());
    let missing = |numbers: &BTreeSet<usize>| numbers.difference(&stored).count() as f64;
    let noticed: BTreeSet<usize> = sent.deviations.iter().copied().collect();
    let noticed_sum = noticed.len();

    let mut answers = sent.answers;
    let count = sent.events.len() as f64;
    show(Row::new(
        "catch-all: events taken a second",
        count / seconds,
        "events/s",
    ))?;
    show(Row::new(
        "catch-all: sender behind its clock at worst",
        sent.behind,
        "s",
    ))?;
    show(Row::new(
        "catch-all: from a request to its answer, p99",
        machine::quantile(&mut answers, 0.99),
        "ms",
    ))?;
    show(Row::new(
        "catch-all: lag at worst, by the server's own metric",
        lag,
        "s",
    ))?;
    show(Row::new(
        "catch-all: server, all of it",
        cpu / (count / 1e6),
        "CPU s per million",
    ))?;
    show(Row::new(
        "catch-all: server, of one core",
        cpu / seconds * 100.0,
        "%",
    ))?;
    show(Row::new("catch-all: server's memory", memory, "MB").must(150.0))?;
    show(Row::new("catch-all: server's memory, largest", most, "MB"))?;
    show(
        Row::new(
            "catch-all: sent and not received",
            all as f64 - received as f64,
            "events",
        )
        .must(0.0),
    )?;
    let sum: u64 = outcomes.values().sum();
    show(
        Row::new(
            "catch-all: received without an outcome",
            received as f64 - sum as f64,
            "events",
        )
        .must(0.0),
    )?;
    let kept = outcomes.get("stored").copied().unwrap_or_default();
    show(Row::new(
        "catch-all: kept",
        kept as f64 / received.max(1) as f64 * 100.0,
        "%",
    ))?;
    show(
        Row::new(
            "catch-all: counted as stored and not found",
            kept as f64 - stored.len() as f64,
            "events",
        )
        .must(0.0),
    )?;
    show(Row::new(
        "catch-all: deviations",
        noticed_sum as f64,
        "events",
    ))?;
    show(
        Row::new(
            "catch-all: deviations that were not kept",
            missing(&noticed),
            "events",
        )
        .must(0.0),
    )?;
    show(Row::new(
        "catch-all: their context",
        wanted.len() as f64,
        "events",
    ))?;
    show(
        Row::new(
            "catch-all: context that was not kept",
            missing(&wanted),
            "events",
        )
        .must(0.0),
    )
}

/// Of each of [`CONTAINERS`] recorded runs the first lines, in turns.
fn recorded(folder: &Path) -> Result<impl Iterator<Item = String> + use<>> {
    let mut paths = Vec::new();
    for part in ["heldout", "learn"] {
        for entry in fs_err::read_dir(folder.join(part))? {
            paths.push(entry?.path());
        }
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "zst"));
    paths.sort();
    let mut runs = Vec::new();
    for path in paths.iter().take(CONTAINERS) {
        let file = zstd::Decoder::new(fs_err::File::open(path)?)?;
        let lines = BufReader::new(file).lines().take(LINES / CONTAINERS);
        runs.push(lines.collect::<Result<Vec<String>, _>>()?.into_iter());
    }
    let longest = LINES / CONTAINERS;
    let mut turns = Vec::with_capacity(LINES);
    for _ in 0..longest {
        turns.extend(runs.iter_mut().filter_map(Iterator::next));
    }
    Ok(turns.into_iter())
}

/// Of `texts` those of the catch-all rules, and a deviation for each of their containers.
fn lines(texts: impl Iterator<Item = String>) -> Result<(Vec<Line>, Vec<Line>)> {
    let mut containers: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Vec::with_capacity(LINES);
    let mut deviations = Vec::new();
    for text in texts {
        let mut event: Value = serde_json::from_str(&text)?;
        let is_caught = |rule: &str| rule.starts_with("Quaywatch ");
        let text = if event["rule"].as_str().is_some_and(is_caught) {
            text
        } else {
            // A line of another rule stands for what a rule for everything would say.
            event["rule"] = json!("Quaywatch process activity");
            event.to_string()
        };
        let fields = &mut event["output_fields"];
        let id = fields["container.id"]
            .as_str()
            .context("a container")?
            .to_owned();
        let next = containers.len();
        let container = *containers.entry(id).or_insert(next);
        lines.push(Line::new(container, &text)?);
        if container == next {
            for (name, value) in [
                ("evt.type", json!("connect")),
                ("proc.name", json!("nc")),
                ("proc.cmdline", json!("nc 45.9.148.108 4444")),
                ("proc.exepath", json!("/tmp/nc")),
                ("fd.type", json!("ipv4")),
                ("fd.l4proto", json!("tcp")),
                ("fd.name", json!("172.17.0.2:41000->45.9.148.108:4444")),
            ] {
                fields[name] = value;
            }
            event["rule"] = json!("Quaywatch network activity");
            deviations.push(Line::new(container, &event.to_string())?);
        }
        if lines.len() == LINES {
            break;
        }
    }
    Ok((lines, deviations))
}

impl Line {
    /// Splits a line where its number is to stand, and around its time.
    fn new(container: usize, text: &str) -> Result<Self> {
        let split = || {
            let (head, rest) = text.split_once("\"output_fields\":{")?;
            let (fields, rest) = rest.rsplit_once("\"time\":\"")?;
            let (_, tail) = rest.split_once('"')?;
            Some([
                format!("{head}\"output_fields\":{{\"number\":"),
                format!(",{fields}\"time\":\""),
                format!("\"{tail}\n"),
            ])
        };
        Ok(Self {
            container,
            parts: split().context("a line without fields or time")?,
        })
    }
}

/// Sends lines in one request, with the time of now, and notes them.
async fn send<'l>(
    falco: &Client,
    lines: impl Iterator<Item = &'l Line>,
    sent: &mut Sent,
) -> Result<()> {
    send_numbered(falco, lines, 0, sent).await
}

async fn send_numbered<'l>(
    falco: &Client,
    lines: impl Iterator<Item = &'l Line>,
    first: usize,
    sent: &mut Sent,
) -> Result<()> {
    let now = nanos();
    let time = qw_event::Timestamp::from_nanos(now).to_string();
    let mut body = String::with_capacity(BATCH * 1_200);
    for line in lines {
        let [head, fields, tail] = &line.parts;
        let number = (first + sent.events.len()).to_string();
        for part in [head, &number, fields, &time, tail] {
            body.push_str(part);
        }
        sent.events.push((line.container as u16, now));
    }
    let start = Instant::now();
    let (status, answer) = falco.exchange("POST", "/", &[], body.into_bytes()).await?;
    ensure!(
        status.is_success(),
        "the server answered {status}: {answer}"
    );
    sent.answers.push(start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Sends lines at [`RATE`], numbered from `first`, with a deviation now and then.
async fn feed(falco: &Client, lines: &[Line], deviations: &[Line], first: usize) -> Result<Sent> {
    let mut sent = Sent::default();
    let begin = Instant::now();
    let step = Duration::from_secs(1) * BATCH as u32 / RATE as u32;
    let mut tick = tokio::time::interval(step);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut usual = lines.iter().cycle();
    let mut deviating = deviations.iter().cycle();
    // Not at once, so that there is a context before.
    let mut next = DEVIATES_EVERY;
    while begin.elapsed() < LASTS {
        tick.tick().await;
        let mut batch: Vec<&Line> = usual.by_ref().take(BATCH).collect();
        // The last context is over before the end.
        let has_room = LASTS.saturating_sub(begin.elapsed()).as_nanos() > CONTEXT_NANOS as u128;
        if begin.elapsed() >= next && has_room {
            next += DEVIATES_EVERY;
            let at = BATCH / 2;
            if let (Some(place), Some(line)) = (batch.get_mut(at), deviating.next()) {
                sent.deviations.push(first + sent.events.len() + at);
                *place = line;
            }
        }
        send_numbered(falco, batch.into_iter(), first, &mut sent).await?;
        let due = sent.events.len() as f64 / RATE as f64;
        sent.behind = sent.behind.max(begin.elapsed().as_secs_f64() - due);
    }
    Ok(sent)
}

/// Ends the learning of every profile.
async fn freeze(console: &Client) -> Result<()> {
    let page = console
        .send("GET", "/api/profiles?limit=1000", None)
        .await?;
    for profile in page["items"].as_array().into_iter().flatten() {
        let key = profile["key"].as_str().unwrap_or_default();
        let path = format!("/api/profiles/{}/freeze", encode(key));
        console.send("POST", &path, Some(&json!({}))).await?;
    }
    Ok(())
}

/// The largest `quaywatch_source_lag_seconds` of one look a second, while the load lasts.
async fn largest_lag(metrics: &Client) -> Result<f64> {
    let begin = Instant::now();
    let mut largest: f64 = 0.0;
    while begin.elapsed() < LASTS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let page = metrics.download("/metrics").await?;
        let page = String::from_utf8_lossy(&page);
        let samples = page.lines().filter_map(|line| {
            let sample = line.strip_prefix("quaywatch_source_lag_seconds{")?;
            sample.rsplit(' ').next()?.parse().ok()
        });
        largest = samples.fold(largest, f64::max);
    }
    Ok(largest)
}

/// What the Falco receiver has received, and its outcomes, once they are `all` events or nothing
/// changes any more.
async fn settled(console: &Client, all: usize) -> Result<(u64, BTreeMap<String, u64>)> {
    let begin = Instant::now();
    loop {
        let sources = console.send("GET", "/api/sources", None).await?;
        let mut items = sources["items"].as_array().into_iter().flatten();
        let source = items
            .find(|source| source["id"] == "falco_http")
            .context("the Falco receiver is no source")?;
        let mut outcomes = BTreeMap::new();
        for (name, value) in source["outcomes"].as_object().into_iter().flatten() {
            outcomes.insert(name.clone(), sum(value));
        }
        if outcomes.values().sum::<u64>() == all as u64 || begin.elapsed().as_secs() > 60 {
            let received = source["received_total"].as_u64().unwrap_or_default();
            return Ok((received, outcomes));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// All numbers in `value`.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(entries) => entries.values().map(sum).sum(),
        value => value.as_u64().unwrap_or_default(),
    }
}

/// The numbers of all events in the store.
async fn stored(console: &Client) -> Result<BTreeSet<usize>> {
    let mut numbers = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!(
            "/api/events?limit=1000&start=1970-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&cursor={}",
            encode(&cursor)
        );
        let page = console.send("GET", &path, None).await?;
        for event in page["items"].as_array().into_iter().flatten() {
            let number = event["output_fields"]["number"].as_u64();
            let number = number.context("an event that was not sent is stored")?;
            ensure!(
                numbers.insert(number as usize),
                "event {number} is stored twice"
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(numbers),
        }
    }
}

/// Numbers of the events that surround deviations: those of the same container for as long as
/// [`CONTEXT_NANOS`] afterwards, and the last [`BEFORE`] before.
fn wanted(sent: &Sent, first: usize) -> BTreeSet<usize> {
    let deviations: BTreeSet<usize> = sent.deviations.iter().copied().collect();
    let mut until: BTreeMap<u16, i64> = BTreeMap::new();
    let mut recent: BTreeMap<u16, VecDeque<(usize, i64)>> = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    for (place, (container, time)) in sent.events.iter().enumerate() {
        let number = first + place;
        let before = recent.entry(*container).or_default();
        if deviations.contains(&number) {
            until.insert(*container, time + CONTEXT_NANOS);
            let near = before
                .iter()
                .filter(|(_, then)| time - then <= CONTEXT_NANOS / 2);
            wanted.extend(near.map(|(number, _)| *number));
        } else if until.get(container).is_some_and(|until| time <= until) {
            wanted.insert(number);
        }
        if before.len() == BEFORE {
            before.pop_front();
        }
        before.push_back((number, *time));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_take_number_and_time() {
        let (lines, deviations) = lines(demo::benchmark_lines(1, usize::MAX)).unwrap();
        assert_eq!(lines.len(), LINES);
        assert!(deviations.len() > 30, "{} containers", deviations.len());
        for line in lines.iter().take(100).chain(&deviations) {
            let [head, fields, tail] = &line.parts;
            let text = format!("{head}7{fields}2026-01-01T00:00:00Z{tail}");
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["output_fields"]["number"], 7);
            assert_eq!(event["time"], "2026-01-01T00:00:00Z");
        }
    }

    #[test]
    fn context_is_what_surrounds_a_deviation() {
        let second = 1_000_000_000;
        // Container 0 at 0, 6, 8, 10 (deviating), 15, 20, 21 s; container 1 in between.
        let times = [0, 6, 7, 8, 10, 11, 15, 20, 21];
        let containers = [0, 0, 1, 0, 0, 1, 0, 0, 0];
        let events = containers.into_iter().zip(times.map(|time| time * second));
        let sent = Sent {
            events: events.collect(),
            deviations: vec![104],
            ..Sent::default()
        };
        let expected: BTreeSet<usize> = [101, 103, 106, 107].into();
        assert_eq!(wanted(&sent, 100), expected);
    }
}
