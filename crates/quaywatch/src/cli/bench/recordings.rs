//! What profiles find in recordings of real programs, and what they wrongly find.
//!
//! Each run is judged by profiles that learned from all other runs of its program, with the options
//! and rules of alerts that are shipped. `docs/recordings.md` tells of the recordings.

pub(super) mod further;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;
use qw_alerts::Desk;
use qw_event::{
    Alert, AlertId, ContainerRef, Detection, Event, EventId, Reason, StoredEvent, Timestamp,
};
use qw_pipeline::{Detector as _, ProfileDetector, SharedProfiles};
use qw_profile::{Branch, BranchState, Document, Mode, Observation, Options, Profiles};
use qw_sources::falco::{Limits, Parser};
use qw_store::{AlertStore, Appended, Companion as _, Embedded, StateStore};
use serde::Deserialize;

use super::{Row, Show, profile};
use crate::{Usage, cli::plain, config::Config, wiring};

/// Recordings are gone through so often at most until learning has ended.
const MOST_PASSES: u32 = 40;
/// Between two runs.
const GAP: Duration = Duration::from_secs(5);
/// Least time to learn where recordings are gone through once.
const HURRY: Duration = Duration::from_mins(10);
/// Ordinary events of its container that come before an attack.
const BEFORE_ATTACK: usize = 200;
/// Events that are judged at once.
const BATCH: usize = 100;
/// Largest recording, unpacked.
const MOST_BYTES: usize = 1 << 30;

#[derive(Deserialize)]
struct Manifest {
    recordings: Vec<Recording>,
}

/// What a recording is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Ordinary work.
    Learn,
    /// Ordinary work, not looked at while profiles were made.
    Heldout,
    /// An attack, and the ordinary work beside it.
    Attack,
}

#[derive(Deserialize)]
struct Recording {
    file: PathBuf,
    program: String,
    run: u64,
    role: Role,
    #[serde(default)]
    attack: String,
    #[serde(default)]
    attack_first: i64,
    #[serde(default)]
    attack_last: i64,
}

/// All lines of the recordings of one role.
pub(super) fn lines(folder: &Path, role: Role) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for recording in manifest(folder)?.recordings {
        if recording.role == role {
            lines.extend(text(folder, &recording)?.lines().map(str::to_owned));
        }
    }
    ensure!(!lines.is_empty(), "no lines of {role:?} in the recordings");
    Ok(lines)
}

fn manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join("manifest.json");
    let text = fs_err::read_to_string(&path).map_err(|error| Usage(error.to_string()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is no manifest", path.display()))
}

fn text(folder: &Path, recording: &Recording) -> Result<String> {
    use std::io::Read as _;
    let path = folder.join(&recording.file);
    let mut text = String::new();
    zstd::Decoder::new(fs_err::File::open(&path)?)?
        .take(MOST_BYTES as u64)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text)
}

fn events(folder: &Path, recording: &Recording) -> Result<Vec<Event>> {
    let mut parser = Parser::new(Limits::default());
    text(folder, recording)?
        .lines()
        .map(|line| {
            parser
                .parse(line.as_bytes(), Timestamp::EPOCH)
                .map_err(|reason| {
                    let file = recording.file.display();
                    anyhow::anyhow!("a line of `{file}` is invalid: {}", reason.name())
                })
        })
        .collect()
}

/// Sums over all programs.
#[derive(Default)]
struct Totals {
    runs: u32,
    programs: u32,
    judged: Duration,
    false_alerts: u32,
    attacks: u32,
    found: u32,
    alerts_of_attacks: u32,
    branches: u32,
    ended: u32,
    hurried: Hurried,
}

/// Judges every run, and every attack, by profiles that do not know its container.
pub(super) fn run(folder: &Path, scratch: &Path, show: Show<'_>) -> Result<()> {
    let mut programs: BTreeMap<String, Vec<Recording>> = BTreeMap::new();
    for recording in manifest(folder)?.recordings {
        let known = programs.entry(recording.program.clone()).or_default();
        known.push(recording);
    }
    let bench = Judge::new(&scratch.join("alerts"))?;
    let mut totals = Totals::default();
    for (program, recordings) in &programs {
        judge_program(
            folder,
            &plain(program),
            recordings,
            &bench,
            &mut totals,
            show,
        )?;
    }
    let hours = totals.judged.as_secs_f64() / 3_600.0;
    show(Row::new(
        format!(
            "branches that ended learning by themselves, of {}",
            totals.branches
        ),
        f64::from(totals.ended),
        "branches",
    ))?;
    show(Row::new(
        format!(
            "ordinary work judged: {} runs of {} programs",
            totals.runs, totals.programs
        ),
        hours,
        "container hours",
    ))?;
    show(Row::new(
        "false alerts in it",
        f64::from(totals.false_alerts),
        "alerts",
    ))?;
    show(
        Row::new(
            "false alerts, extrapolated",
            f64::from(totals.false_alerts) / hours * 24.0,
            "per container and day",
        )
        .must(1.0),
    )?;
    show(Row::new(
        "… if alerts come by chance, at most with 95 % confidence",
        most_events(totals.false_alerts) / hours * 24.0,
        "per container and day",
    ))?;
    totals.hurried.show(show)?;
    let attacks = f64::from(totals.attacks);
    show(Row::new("attacks", attacks, "attacks"))?;
    show(
        Row::new(
            "attacks without an alert",
            f64::from(totals.attacks - totals.found) / attacks.max(1.0) * 100.0,
            "%",
        )
        .must(5.0),
    )?;
    show(Row::new(
        "alerts for each attack that was found",
        f64::from(totals.alerts_of_attacks) / f64::from(totals.found.max(1)),
        "alerts",
    ))
}

/// What comes of learning that may end long before it should, each recording gone through once.
#[derive(Default)]
struct Hurried {
    branches: u32,
    ended: u32,
    /// Time in which at least one branch compared.
    compared: Duration,
    false_alerts: u32,
}

impl Hurried {
    fn show(&self, show: Show<'_>) -> Result<()> {
        let minutes = HURRY.as_secs() / 60;
        let hours = self.compared.as_secs_f64() / 3_600.0;
        show(Row::new(
            format!(
                "once through, least time to learn {minutes} min: branches ended, of {}",
                self.branches
            ),
            f64::from(self.ended),
            "branches",
        ))?;
        show(Row::new(
            format!("… false alerts in the {hours:.1} container hours from then on"),
            f64::from(self.false_alerts),
            "alerts",
        ))
    }
}

/// Upper end of the one-sided 95 % interval of a Poisson mean of which `seen` were counted (F.
/// Garwood, Biometrika 28, 1936): the mean with which so few come in one of twenty cases.
fn most_events(seen: u32) -> f64 {
    let so_few = |mean: f64| {
        let mut term = (-mean).exp();
        let mut sum = term;
        for count in 1..=seen {
            term *= mean / f64::from(count);
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (f64::from(seen), 2.0 * f64::from(seen) + 10.0);
    while high - low > 1e-9 {
        let middle = f64::midpoint(low, high);
        if so_few(middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn judge_program(
    folder: &Path,
    program: &str,
    recordings: &[Recording],
    bench: &Judge,
    totals: &mut Totals,
    show: Show<'_>,
) -> Result<()> {
    let mut runs: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for recording in recordings {
        if recording.role != Role::Attack {
            runs.insert(recording.run, events(folder, recording)?);
        }
    }
    ensure!(
        runs.len() > 1,
        "`{program}` has one run: nothing to judge it by"
    );
    totals.programs += 1;
    let mut learnings = Vec::new();
    let mut highest = 0_f32;
    for (held, ordinary) in &runs {
        let others = runs.iter().filter(|(run, _)| *run != held);
        let others: Vec<&[Event]> = others.map(|(_, events)| events.as_slice()).collect();
        let learned = learn(&others)?;
        let verdict = bench.judge(&learned, &[], ordinary, None)?;
        highest = highest.max(verdict.highest());
        totals.runs += 1;
        totals.judged += span(ordinary);
        totals.false_alerts += verdict.alerts.len() as u32;
        for alert in verdict.alerts.values() {
            show(Row::new(
                format!("false alert in {program}-{held}: {}", plain(&alert.title)),
                f64::from(alert.score.unwrap_or_default()),
                "score",
            ))?;
        }
        bench.hurry(&others, ordinary, &mut totals.hurried)?;
        for attack in recordings {
            if attack.role != Role::Attack || attack.run != *held {
                continue;
            }
            let before = &ordinary[ordinary.len().saturating_sub(BEFORE_ATTACK)..];
            let during = (attack.attack_first, attack.attack_last);
            let verdict = bench.judge(&learned, before, &events(folder, attack)?, Some(during))?;
            totals.attacks += 1;
            totals.found += u32::from(!verdict.alerts.is_empty());
            totals.alerts_of_attacks += verdict.alerts.len() as u32;
            totals.false_alerts += u32::from(verdict.is_early);
            show(Row::new(
                format!(
                    "{program}, {}: {} {}",
                    attack.attack,
                    if verdict.alerts.is_empty() {
                        "MISSED"
                    } else {
                        "found"
                    },
                    verdict.told(),
                ),
                f64::from(verdict.highest()),
                "score",
            ))?;
        }
        learnings.push(learned);
    }
    show(Row::new(
        format!(
            "{program}: highest score of ordinary work, {} runs",
            runs.len()
        ),
        f64::from(highest),
        "score",
    ))?;
    describe(program, &learnings, totals, show)
}

/// How `program` was learned, over all rotations.
fn describe(
    program: &str,
    learnings: &[Learned],
    totals: &mut Totals,
    show: Show<'_>,
) -> Result<()> {
    let count = learnings.len() as f64;
    let mean = |figure: &dyn Fn(&Learned) -> f64| learnings.iter().map(figure).sum::<f64>() / count;
    let rows = [
        (
            "events learned from, once through",
            mean(&|it| it.events as f64),
            "events",
        ),
        (
            "time learned from, once through",
            mean(&|it| it.seconds / 60.0),
            "min",
        ),
        (
            "newest thing learned in it after",
            mean(&|it| it.last_new / 60.0),
            "min",
        ),
        ("nodes", mean(&|it| it.nodes as f64), "nodes"),
        (
            "memory, without texts",
            mean(&|it| it.bytes as f64),
            "bytes",
        ),
        (
            "document",
            mean(&|it| it.document.to_json().len() as f64),
            "bytes",
        ),
    ];
    for (what, figure, unit) in rows {
        show(Row::new(format!("{program}: {what}"), figure, unit))?;
    }
    for branch in Branch::ALL {
        let ends: Vec<&End> = learnings
            .iter()
            .filter_map(|learned| learned.ends.get(branch as usize)?.as_ref())
            .collect();
        let ended = ends.len() as u32;
        totals.ended += ended;
        totals.branches += learnings.len() as u32;
        let Some(longest) = ends.iter().map(|end| end.seconds).reduce(f64::max) else {
            show(Row::new(
                format!("{program}, {}: never ended learning", branch.as_str()),
                0.0,
                "times",
            ))?;
            continue;
        };
        let events = ends.iter().map(|end| end.events as f64).sum::<f64>() / f64::from(ended);
        let seconds = ends.iter().map(|end| end.seconds).sum::<f64>() / f64::from(ended);
        show(Row::new(
            format!(
                "{program}, {}: learned, {ended} times; {events:.0} events, longest {:.0} min",
                branch.as_str(),
                longest / 60.0
            ),
            seconds / 60.0,
            "min",
        ))?;
    }
    Ok(())
}

/// What was learned from some runs.
struct Learned {
    document: Document,
    /// When learning ended; the next event is later.
    end: Timestamp,
    /// Events once through.
    events: usize,
    /// Seconds once through.
    seconds: f64,
    /// Seconds to the newest thing learned, once through.
    last_new: f64,
    nodes: usize,
    bytes: usize,
    /// By branch; `None` where learning did not end by itself.
    ends: Vec<Option<End>>,
}

/// The end of learning of one branch.
struct End {
    events: u64,
    seconds: f64,
}

/// Learns from `runs`, one after the other, again and again until learning has ended by itself.
///
/// Repetition shows nothing new: it only passes the time that the options ask for.
fn learn(runs: &[&[Event]]) -> Result<Learned> {
    let start = Timestamp::from_seconds(1_800_000_000);
    let mut profiles = Profiles::new(profile::shipped());
    let mut clock = start;
    let mut once = (0.0, 0.0);
    for pass in 0..MOST_PASSES {
        for run in runs {
            let mut replay = Replay::new(run, clock, pass);
            for event in *run {
                let event = replay.event(event);
                let seen = profiles.observe(&event, event.time);
                if pass == 0 && matches!(seen, Observation::Learned { .. }) {
                    once.1 = event.time.since(start).as_secs_f64();
                }
                clock = clock.max(event.time);
            }
            if pass == 0 {
                once.0 = clock.since(start).as_secs_f64();
            }
            clock = clock.saturating_add(GAP);
        }
        if profiles
            .list()
            .iter()
            .all(|it| it.mode() == Mode::Detecting)
        {
            break;
        }
    }
    let all = profiles.list();
    let [summary] = all.as_slice() else {
        anyhow::bail!("{} profiles came of one program", all.len());
    };
    let end = |(_, state): &(Branch, BranchState)| {
        (state.mode == Mode::Detecting).then(|| End {
            events: state.observations,
            seconds: state.since.since(start).as_secs_f64(),
        })
    };
    let ends = summary.branches.iter().map(end).collect();
    profiles.freeze(&summary.key, None, clock)?;
    let document = profiles.snapshot(&summary.key, EventId(0));
    Ok(Learned {
        document: document.context("the profile is gone")?,
        end: clock,
        events: runs.iter().map(|run| run.len()).sum(),
        seconds: once.0,
        last_new: once.1,
        nodes: summary.nodes,
        bytes: summary.bytes,
        ends,
    })
}

/// Gives events of a recording another time, and its container another id.
struct Replay {
    first: Timestamp,
    start: Timestamp,
    turn: u32,
    containers: BTreeMap<Arc<str>, Arc<ContainerRef>>,
}

impl Replay {
    fn new(run: &[Event], start: Timestamp, turn: u32) -> Self {
        let first = run.first().map_or(Timestamp::EPOCH, |event| event.time);
        Self {
            first,
            start,
            turn,
            containers: BTreeMap::new(),
        }
    }

    fn event(&mut self, event: &Event) -> Event {
        let mut event = event.clone();
        event.time = self.start.saturating_add(event.time.since(self.first));
        let container = Arc::clone(&event.container);
        let turn = self.turn;
        let known = self.containers.entry(Arc::clone(&container.id));
        let known = known.or_insert_with(|| {
            Arc::new(ContainerRef {
                id: format!("{turn:04x}{}", container.id).into(),
                ..(*container).clone()
            })
        });
        event.container = Arc::clone(known);
        event
    }
}

fn span(events: &[Event]) -> Duration {
    match (events.first(), events.last()) {
        (Some(first), Some(last)) => last.time.since(first.time),
        _ => Duration::ZERO,
    }
}

/// Finds deviations and folds them into alerts as the product does.
struct Judge {
    store: Arc<Embedded>,
    config: Config,
}

/// What became of one recording.
#[derive(Default)]
struct Verdict {
    /// Those raised while the attack went on, if there was one.
    alerts: BTreeMap<AlertId, Arc<Alert>>,
    /// There was a cause for an alert before the attack began.
    is_early: bool,
    worst: Option<Detection>,
}

impl Verdict {
    fn highest(&self) -> f32 {
        self.worst
            .as_ref()
            .and_then(|worst| worst.score)
            .unwrap_or_default()
    }

    /// The weightiest things noticed, by their codes.
    fn told(&self) -> String {
        let reasons = self.worst.iter().flat_map(|worst| &worst.reasons);
        let codes: BTreeSet<&str> = reasons
            .filter(|reason: &&Reason| reason.weight > 0.0)
            .map(|reason| &*reason.code)
            .collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        format!("({})", codes.join(", "))
    }
}

impl Judge {
    fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            store: Arc::new(Embedded::open(folder, qw_store::Options::default())?),
            config: Config::default(),
        })
    }

    /// Judges `events`, after their container did `before`, by what was `learned`. Where an attack
    /// goes on `during` some of them (nanoseconds since 1970), only that counts as found.
    fn judge(
        &self,
        learned: &Learned,
        before: &[Event],
        events: &[Event],
        during: Option<(i64, i64)>,
    ) -> Result<Verdict> {
        let mut profiles = Profiles::new(profile::shipped());
        profiles.restore(&learned.document)?;
        let start = learned.end.saturating_add(GAP);
        let mut replay = Replay::new(before, start, 0xffff);
        for event in before {
            let event = replay.event(event);
            profiles.observe(&event, event.time);
        }
        replay.start = start.saturating_add(span(before)).saturating_add(GAP);
        replay.first = events.first().map_or(Timestamp::EPOCH, |event| event.time);
        let mut watch = self.watch(profiles, start)?;
        watch.feed(&mut replay, events, during);
        // A profile of its own would learn and never tell.
        let count = watch.profiles.lock().list().len();
        ensure!(count == 1, "the run is compared with {count} profiles");
        Ok(watch.verdict)
    }

    /// Learns from `others` and goes on to `last`, once through and with little patience.
    fn hurry(&self, others: &[&[Event]], last: &[Event], totals: &mut Hurried) -> Result<()> {
        let mut clock = Timestamp::from_seconds(1_800_000_000);
        let options = Options {
            minimum_time: HURRY,
            ..profile::shipped()
        };
        let mut watch = self.watch(Profiles::new(options), clock)?;
        for run in others.iter().chain([&last]) {
            watch.feed(&mut Replay::new(run, clock, 0), run, None);
            clock = clock.saturating_add(span(run)).saturating_add(GAP);
        }
        let all = watch.profiles.lock().list();
        let states = all.iter().flat_map(|summary| &summary.branches);
        let ends: Vec<Timestamp> = states
            .clone()
            .filter(|(_, state)| state.mode == Mode::Detecting)
            .map(|(_, state)| state.since)
            .collect();
        totals.branches += states.count() as u32;
        totals.ended += ends.len() as u32;
        totals.compared += ends
            .iter()
            .min()
            .map_or(Duration::ZERO, |end| clock.since(*end));
        totals.false_alerts += watch.verdict.alerts.len() as u32;
        Ok(())
    }

    fn watch(&self, profiles: Profiles, start: Timestamp) -> Result<Watch> {
        let alerts: Arc<dyn AlertStore> = self.store.clone();
        let documents: Arc<dyn StateStore> = self.store.clone();
        let options = wiring::desk_options(&self.config);
        let profiles = Arc::new(Mutex::new(profiles));
        Ok(Watch {
            detector: ProfileDetector::new(Arc::clone(&profiles), 0.0),
            profiles,
            desk: Desk::open(alerts, documents, options, start)?,
            least_score: self.config.profiles.least_score as f32,
            last: EventId(0),
            verdict: Verdict::default(),
        })
    }
}

/// Detector and desk, without a store.
struct Watch {
    profiles: SharedProfiles,
    detector: ProfileDetector,
    desk: Desk,
    least_score: f32,
    last: EventId,
    verdict: Verdict,
}

impl Watch {
    fn feed(&mut self, replay: &mut Replay, events: &[Event], during: Option<(i64, i64)>) {
        for originals in events.chunks(BATCH) {
            let batch: Vec<Event> = originals.iter().map(|it| replay.event(it)).collect();
            let now = batch.last().map_or(replay.start, |event| event.time);
            let mut found = Vec::new();
            self.detector.detect(&batch, now, &mut found);
            let is_during = |detection: &Detection| {
                let event = originals.get(detection.event);
                match (during, event) {
                    (Some((first, last)), Some(event)) => {
                        (first..=last).contains(&event.time.as_nanos())
                    }
                    _ => true,
                }
            };
            for detection in found.iter().filter(|it| is_during(it)) {
                let worst = self.verdict.worst.as_ref();
                if detection.score > worst.and_then(|worst| worst.score) {
                    self.verdict.worst = Some(detection.clone());
                }
            }
            found.retain(|detection| detection.score >= Some(self.least_score));
            let (kept, early): (Vec<Detection>, Vec<Detection>) =
                found.into_iter().partition(is_during);
            self.verdict.is_early |= !early.is_empty();
            let stored: Arc<[StoredEvent]> = batch
                .into_iter()
                .map(|event| {
                    self.last.0 += 1;
                    StoredEvent {
                        id: self.last,
                        event,
                    }
                })
                .collect();
            let kept = [kept];
            let mut folding = self.desk.fold(&kept, now);
            folding.accompany(&[Appended::Stored(stored)]);
            folding.committed(Vec::new());
            for seen in folding.finish() {
                self.verdict.alerts.insert(seen.alert.id, seen.alert);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_that_of_the_tables() {
        for (seen, expected) in [(0, 2.996), (1, 4.744), (5, 10.513), (20, 29.062)] {
            let found = most_events(seen);
            assert!((found - expected).abs() < 0.001, "{seen}: {found}");
        }
    }
}
