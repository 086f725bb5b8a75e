//! Ordinary runs that came later, judged by profiles that learned from every recording.
//!
//! Nothing is learned from these runs, so that they may be as long and as many as wanted.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Result, ensure};
use qw_event::Event;

use super::{
    super::{Row, Show},
    Judge, Recording, Role, events, learn, manifest, most_events, span,
};
use crate::cli::plain;

/// Sums over some runs.
#[derive(Default)]
struct Sums {
    runs: u32,
    events: usize,
    judged: Duration,
    longest: Duration,
    highest: f32,
    false_alerts: u32,
    causes: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.judged += other.judged;
        self.longest = self.longest.max(other.longest);
        self.highest = self.highest.max(other.highest);
        self.false_alerts += other.false_alerts;
        self.causes += other.causes;
    }

    fn hours(&self) -> f64 {
        self.judged.as_secs_f64() / 3_600.0
    }
}

/// Judges the ordinary runs in the folder `further` by what each program does in `folder`.
pub(in super::super) fn run(
    folder: &Path,
    further: &Path,
    scratch: &Path,
    show: Show<'_>,
) -> Result<()> {
    let mut programs: BTreeMap<String, Vec<Recording>> = BTreeMap::new();
    for recording in manifest(further)?.recordings {
        if recording.role != Role::Attack {
            let known = programs.entry(recording.program.clone()).or_default();
            known.push(recording);
        }
    }
    ensure!(!programs.is_empty(), "no ordinary run to judge");
    let known = manifest(folder)?.recordings;
    let bench = Judge::new(&scratch.join("alerts"))?;
    let mut total = Sums::default();
    for (program, runs) in &programs {
        let ordinary = known
            .iter()
            .filter(|it| it.role != Role::Attack && it.program == *program);
        let ordinary: Vec<Vec<Event>> = ordinary
            .map(|recording| events(folder, recording))
            .collect::<Result<_>>()?;
        let program = plain(program);
        ensure!(
            !ordinary.is_empty(),
            "no recording of `{program}` to learn from"
        );
        let ordinary: Vec<&[Event]> = ordinary.iter().map(Vec::as_slice).collect();
        let learned = learn(&ordinary)?;
        let mut sums = Sums::default();
        for recording in runs {
            // One at a time: they are long.
            let run = events(further, recording)?;
            let verdict = bench.judge(&learned, &[], &run, None)?;
            for alert in verdict.alerts.values() {
                show(Row::new(
                    format!(
                        "false alert in {program}-{}: {}",
                        recording.run,
                        plain(&alert.title)
                    ),
                    f64::from(alert.score.unwrap_or_default()),
                    "score",
                ))?;
                for reason in &alert.reasons {
                    let after = reason.time.since(learned.end).as_secs_f64() / 60.0;
                    show(Row::new(
                        format!(
                            "  after {after:.1} min, {}: {}",
                            reason.code,
                            plain(&reason.text)
                        ),
                        f64::from(reason.weight),
                        "weight",
                    ))?;
                }
            }
            let judged = span(&run);
            sums.add(&Sums {
                runs: 1,
                events: run.len(),
                judged,
                longest: judged,
                highest: verdict.highest(),
                false_alerts: verdict.alerts.len() as u32,
                causes: verdict.alerts.values().map(|alert| alert.count).sum(),
            });
        }
        show_program(&program, &sums, show)?;
        total.add(&sums);
    }
    show_total(&total, programs.len(), show)
}

fn show_program(program: &str, sums: &Sums, show: Show<'_>) -> Result<()> {
    show(Row::new(
        format!(
            "{program}: {} runs, {} events, {} false alerts, highest score {:.2}",
            sums.runs, sums.events, sums.false_alerts, sums.highest
        ),
        sums.hours(),
        "container hours",
    ))
}

fn show_total(total: &Sums, programs: usize, show: Show<'_>) -> Result<()> {
    let hours = total.hours();
    let alerts = f64::from(total.false_alerts);
    let a_day = 24.0 / hours.max(f64::MIN_POSITIVE);
    let rows = [
        Row::new(
            format!("further runs of {programs} programs: {}", total.runs),
            hours,
            "container hours",
        ),
        Row::new("longest of them", total.longest.as_secs_f64() / 60.0, "min"),
        Row::new("events in them", total.events as f64, "events"),
        Row::new("false alerts in them", alerts, "alerts"),
        Row::new("events that caused these", total.causes as f64, "events"),
        Row::new(
            "highest score of ordinary work",
            f64::from(total.highest),
            "score",
        ),
        Row::new(
            "false alerts, extrapolated",
            alerts * a_day,
            "per container and day",
        )
        .must(1.0),
        Row::new(
            "… if alerts come by chance, at most with 95 % confidence",
            most_events(total.false_alerts) * a_day,
            "per container and day",
        ),
    ];
    for row in rows {
        show(row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    /// A manifest of recordings of memcached, each file with its role.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let recordings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../qw-profile/recordings");
        let entries: Vec<serde_json::Value> = files
            .iter()
            .enumerate()
            .map(|(run, (file, role))| {
                json!({
                    "file": recordings.join(file), "program": "memcached", "run": run, "role": role,
                })
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let manifest = json!({ "recordings": entries }).to_string();
        fs_err::write(folder.path().join("manifest.json"), manifest).unwrap();
        folder
    }

    #[test]
    fn ordinary_work_is_quiet_and_an_attack_taken_for_it_is_not() {
        let learned = folder(&[
            ("learn/memcached-1.ndjson.zst", "learn"),
            ("learn/memcached-2.ndjson.zst", "heldout"),
        ]);
        let check = |files: &[(&str, &str)], expected: &[(&str, f64)]| {
            let (further, scratch) = (folder(files), tempfile::tempdir().unwrap());
            let mut rows = BTreeMap::new();
            run(
                learned.path(),
                further.path(),
                scratch.path(),
                &mut |row: Row| {
                    rows.insert(row.what, row.value);
                    Ok(())
                },
            )
            .unwrap();
            for (what, value) in expected {
                assert_eq!(rows.get(*what), Some(value), "{what} in {rows:#?}");
            }
        };
        let attack = "attack/memcached-package-installed.ndjson.zst";
        let ordinary = ("learn/memcached-3.ndjson.zst", "learn");
        // Attacks in the list are no ordinary work.
        check(
            &[ordinary, (attack, "attack")],
            &[
                ("events in them", 581.0),
                ("false alerts in them", 0.0),
                ("events that caused these", 0.0),
                ("false alerts, extrapolated", 0.0),
            ],
        );
        check(
            &[ordinary, (attack, "heldout")],
            &[("false alerts in them", 1.0)],
        );
    }

    #[test]
    fn programs_without_anything_learned_are_errors() {
        let (nothing, scratch) = (folder(&[]), tempfile::tempdir().unwrap());
        let further = folder(&[("learn/memcached-3.ndjson.zst", "learn")]);
        let mut show = |_: Row| -> Result<()> { Ok(()) };
        let error = run(nothing.path(), further.path(), scratch.path(), &mut show).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no recording of `memcached` to learn from"
        );
        let error = run(further.path(), nothing.path(), scratch.path(), &mut show).unwrap_err();
        assert_eq!(error.to_string(), "no ordinary run to judge");
    }
}
