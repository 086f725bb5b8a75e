//! Log file → parsed → merged → severity told → batches, and no further.

use std::{hint::black_box, io::Write as _, path::Path};

use anyhow::{Result, ensure};

use qw_sources::logs::{FileKind, read_file};

use super::{Row, Show, machine, parse};

/// Lines of the file; each of 120 bytes, in the engine's form of about 190.
const LINES: usize = 1_000_000;
/// Rounds over the file.
const ROUNDS: usize = 3;

/// Measures the reading of a log file of the driver `json-file`, beside peers.
pub(super) fn run(
    folder: &Path,
    peers: &[(String, std::path::PathBuf)],
    show: Show<'_>,
) -> Result<()> {
    let path = folder.join("bench-json.log");
    let mut file = std::io::BufWriter::new(fs_err::File::create(&path)?);
    for number in 0..LINES {
        writeln!(file, "{}", line(number))?;
    }
    file.into_inner()?.sync_all()?;
    let bytes = fs_err::metadata(&path)?.len();
    show(Row::new(
        "line in the engine's file, average",
        bytes as f64 / LINES as f64,
        "bytes",
    ))?;

    machine::forget_most_resident();
    let before = machine::resident_megabytes("self")?;
    let mut records = 0;
    let ((), cpu) = machine::measured(|| {
        for _ in 0..ROUNDS {
            read_file(&path, FileKind::JsonFile, |events| {
                records += black_box(events).len();
            })?;
        }
        Ok(())
    })?;
    ensure!(
        records == LINES * ROUNDS,
        "{records} records of {} lines",
        LINES * ROUNDS
    );
    let memory = machine::most_resident_megabytes("self")? - before;
    let mut row = Row::new(
        "log file → parsed, merged → batches",
        cpu / (LINES * ROUNDS) as f64 * 1e6,
        "CPU s per million",
    )
    .must(0.4);
    row = match peers.iter().find(|(name, _)| name == "logs") {
        Some((name, program)) => {
            let lines: Vec<String> = (0..LINES).map(line).collect();
            let peer = parse::run_peer(program, &lines)?;
            row.peer(name, peer / (LINES as f64 / 1e6), false)
        }
        None => row.peer("Fluent Bit 5.1, tail to nowhere", 1.91, true),
    };
    show(row)?;
    show(
        Row::new("memory of reading one file, at most", memory.max(0.0), "MB")
            .must(25.0)
            .peer("Fluent Bit 5.1, whole process", 64.0, true),
    )?;
    fs_err::remove_file(&path)?;
    run_plain(folder, show)
}

/// Measures the reading of a plain file.
fn run_plain(folder: &Path, show: Show<'_>) -> Result<()> {
    let path = folder.join("bench-plain.log");
    let mut file = std::io::BufWriter::new(fs_err::File::create(&path)?);
    for number in 0..LINES {
        writeln!(file, "{}", text(number))?;
    }
    file.into_inner()?.sync_all()?;
    let mut records = 0;
    let ((), cpu) = machine::measured(|| {
        for _ in 0..ROUNDS {
            read_file(&path, FileKind::Plain, |events| {
                records += black_box(events).len();
            })?;
        }
        Ok(())
    })?;
    ensure!(
        records == LINES * ROUNDS,
        "{records} records of a plain file"
    );
    show(Row::new(
        "plain file → severity told → batches",
        cpu / (LINES * ROUNDS) as f64 * 1e6,
        "CPU s per million",
    ))?;
    fs_err::remove_file(&path)?;
    Ok(())
}

/// A line of an ordinary service, as the driver writes it.
fn line(number: usize) -> String {
    let text = text(number);
    format!(
        r#"{{"log":"{text}\n","stream":"stdout","time":"2026-11-21T07:15:{:02}.{:09}Z"}}"#,
        number / 20_000 % 60,
        number * 50_000 % 1_000_000_000,
    )
}

/// What the service wrote: 120 bytes.
fn text(number: usize) -> String {
    let text = format!(
        "10.0.{}.{} GET /api/orders/{number:08} 200 {} ms ",
        number % 250,
        number % 249,
        number % 997
    );
    format!("{text:x<120}")
}
