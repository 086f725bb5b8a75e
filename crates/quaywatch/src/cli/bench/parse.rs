//! Line → parsed → enriched → counted.

use std::{hint::black_box, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use qw_event::{EventId, SourceId, StoredEvent, Timestamp};
use qw_exporters::Metrics;
use qw_pipeline::{ContainerIndex, Enrich};
use qw_sources::{
    demo,
    falco::{Limits, Parser},
};

use super::{Row, Show, machine};

/// Distinct lines, gone through again and again.
const LINES: usize = 100_000;
/// Rounds over the lines.
const ROUNDS: usize = 10;

/// Measures parsing alone, everything up to the counters, and peers.
pub(super) fn run(peers: &[(String, PathBuf)], show: Show<'_>) -> Result<()> {
    let lines: Vec<String> = demo::benchmark_lines(1, LINES).collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    show(Row::new(
        "line length, average",
        bytes as f64 / LINES as f64,
        "bytes",
    ))?;
    let millions = (LINES * ROUNDS) as f64 / 1e6;

    let mut parser = Parser::new(Limits::default());
    let ((), parse_cpu) = machine::measured(|| {
        for line in std::iter::repeat_n(&lines, ROUNDS).flatten() {
            black_box(parser.parse(black_box(line.as_bytes()), Timestamp::EPOCH))
                .map_err(|reason| anyhow::anyhow!("a line is invalid: {}", reason.name()))?;
        }
        Ok(())
    })?;
    let ((), serde_cpu) = machine::measured(|| {
        for line in &lines {
            black_box(serde_json::from_str::<serde_json::Value>(black_box(line))?);
        }
        Ok(())
    })?;
    show(
        Row::new("parse alone", parse_cpu / millions, "CPU s per million").peer(
            "serde_json, whole value",
            serde_cpu / (LINES as f64 / 1e6),
            false,
        ),
    )?;

    let metrics = Metrics::new(qw_exporters::Options::new(env!("CARGO_PKG_VERSION")));
    let mut observer = metrics.observer();
    let index = ContainerIndex::new(
        demo::fleet()
            .iter()
            .map(|container| Arc::new(container.container_ref())),
    );
    let mut enrich = Enrich::new(Arc::new(ArcSwap::from_pointee(index)));
    let source = SourceId::new("bench");
    let ((), cpu) = machine::measured(|| {
        for round in 0..ROUNDS {
            for chunk in lines.chunks(1_000) {
                let mut events = Vec::with_capacity(chunk.len());
                for line in chunk {
                    events.push(
                        parser
                            .parse(line.as_bytes(), Timestamp::EPOCH)
                            .map_err(|reason| anyhow::anyhow!("invalid: {}", reason.name()))?,
                    );
                }
                enrich.apply(&mut events);
                let stored: Arc<[StoredEvent]> = events
                    .into_iter()
                    .map(|event| StoredEvent {
                        id: EventId(1),
                        event,
                    })
                    .collect();
                observer.committed(&source, &stored, Timestamp::from_seconds(round as i64));
            }
        }
        Ok(())
    })?;
    let mut row = Row::new(
        "line → parsed → enriched → counted",
        cpu / millions,
        "CPU s per million",
    )
    .must(1.5);
    match peers.iter().find(|(name, _)| name == "original") {
        Some((name, path)) => {
            let peer = run_peer(path, &lines)?;
            row = row.peer(name, peer / (LINES as f64 / 1e6), false);
        }
        None => row = row.peer("original's exporter", 21.1, true),
    }
    show(row)
}

/// CPU seconds of the program at `path` while it reads `lines` from standard input to its end.
pub(super) fn run_peer(path: &std::path::Path, lines: &[String]) -> Result<f64> {
    use std::{io::Write as _, process::Stdio};
    let children = || -> Result<f64> {
        let text = fs_err::read_to_string("/proc/self/stat")?;
        let rest = text
            .rsplit_once(") ")
            .map(|(_, rest)| rest)
            .context("no name in stat")?;
        let fields: Vec<f64> = rest
            .split(' ')
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        // Fields 16 and 17: user and system time of children that were waited for.
        Ok(fields.iter().skip(13).take(2).sum::<f64>() / 100.0)
    };
    let before = children()?;
    let mut child = std::process::Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start the peer `{}`", path.display()))?;
    let mut input = child
        .stdin
        .take()
        .context("the peer has no standard input")?;
    for line in lines {
        writeln!(input, "{line}")?;
    }
    drop(input);
    let status = child.wait()?;
    anyhow::ensure!(
        status.success(),
        "the peer `{}` ended with {status}",
        path.display()
    );
    Ok(children()? - before)
}
