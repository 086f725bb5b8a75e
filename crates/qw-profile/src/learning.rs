//! When a branch has learned enough: estimates of what was not seen yet.
//!
//! Good and Turing: of `n` observations of which `s` showed something that was met only once, about
//! `s / n` of the coming ones will show something never met (I. J. Good, *The population frequencies
//! of species and the estimation of population parameters*, Biometrika 40, 1953). What is met in the
//! warm-up or was known before this time of learning is no singleton.

use qw_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::options::Options;

/// Whether a branch takes what it meets as known, or reports what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is taken in.
    Learning,
    /// What is not known is a deviation.
    Detecting,
}

/// Why a branch is in its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Learning: the profile is new.
    New,
    /// Learning: the container runs an image that the profile did not know.
    ImageChanged,
    /// Either: somebody said so.
    Command,
    /// Detecting: little is left to be seen, by the estimates.
    Converged,
    /// Detecting: nothing new came in the second half of the time.
    Settled,
    /// Detecting: the profile came learned from elsewhere.
    Imported,
}

/// One branch's way from learning to detecting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Learning {
    pub(crate) mode: Mode,
    pub(crate) cause: Cause,
    /// Beginning of this mode, in seconds since 1970.
    pub(crate) since: u32,
    /// Events of the branch in this time of learning, without the warm-up.
    pub(crate) observations: u64,
    /// Nodes met once in this time of learning.
    pub(crate) singletons: u64,
    /// Nodes first met in this time of learning.
    pub(crate) new_nodes: u64,
    /// When the newest node was first met.
    pub(crate) last_new: u32,
    /// New nodes of the last six intervals of ten minutes.
    recent: [u32; 6],
    /// Number of the interval that `recent` was last written in.
    interval: u32,
}

const INTERVAL: u32 = 600;
const HOUR: f64 = 3_600.0;

impl Learning {
    pub(crate) fn new(cause: Cause, now: u32) -> Self {
        Self {
            mode: Mode::Learning,
            cause,
            since: now,
            observations: 0,
            singletons: 0,
            new_nodes: 0,
            last_new: now,
            recent: [0; 6],
            interval: now / INTERVAL,
        }
    }

    pub(crate) fn is_learning(&self) -> bool {
        self.mode == Mode::Learning
    }

    pub(crate) fn is_warming_up(&self, now: u32, options: &Options) -> bool {
        u64::from(now.saturating_sub(self.since)) < options.warm_up.as_secs()
    }

    /// Ends learning.
    pub(crate) fn end(&mut self, cause: Cause, now: u32) {
        self.mode = Mode::Detecting;
        self.cause = cause;
        self.since = now;
    }

    /// Takes note of a node met for the first time, after the warm-up.
    pub(crate) fn note_new(&mut self, now: u32) {
        self.singletons += 1;
        self.new_nodes += 1;
        self.last_new = self.last_new.max(now);
        self.turn(now);
        if let Some(newest) = self.recent.get_mut((now / INTERVAL % 6) as usize)
            && now / INTERVAL + 6 > self.interval
        {
            *newest = newest.saturating_add(1);
        }
    }

    /// Empties the intervals that lie behind.
    fn turn(&mut self, now: u32) {
        let interval = now / INTERVAL;
        for at in (0..6).filter_map(|back| interval.checked_sub(back)) {
            if at > self.interval
                && let Some(slot) = self.recent.get_mut((at % 6) as usize)
            {
                *slot = 0;
            }
        }
        self.interval = self.interval.max(interval);
    }

    /// New nodes of the hour before `now`, extrapolated when learning is younger than that.
    fn new_nodes_per_hour(&self, now: u32, options: &Options) -> f64 {
        let interval = now / INTERVAL;
        let recent: u64 = (0..6)
            .filter_map(|back| interval.checked_sub(back))
            .filter(|at| *at <= self.interval && *at + 6 > self.interval)
            .filter_map(|at| self.recent.get((at % 6) as usize))
            .map(|new| u64::from(*new))
            .sum();
        let elapsed = f64::from(now.saturating_sub(self.since)) - options.warm_up.as_secs_f64();
        recent as f64 * HOUR / elapsed.clamp(1.0, HOUR)
    }

    /// Good and Turing's estimate of the share of coming events that show something new.
    pub(crate) fn unseen_mass(&self) -> f64 {
        if self.observations == 0 {
            return 1.0;
        }
        (self.singletons as f64 / self.observations as f64).min(1.0)
    }

    /// Why learning may end now; `None` while it may not.
    pub(crate) fn conclusion(&self, now: u32, options: &Options) -> Option<Cause> {
        let fractions = self.fractions(now, options);
        if fractions.estimates.iter().all(|fraction| *fraction >= 1.0) {
            Some(Cause::Converged)
        } else if fractions.settled >= 1.0 {
            Some(Cause::Settled)
        } else {
            None
        }
    }

    /// What was reached of each requirement, 0 to 1.
    fn fractions(&self, now: u32, options: &Options) -> Fractions {
        let fraction = |have: f64, want: f64| {
            if have >= want {
                1.0
            } else {
                (have / want).clamp(0.0, 0.999)
            }
        };
        let elapsed = f64::from(now.saturating_sub(self.since));
        let quiet = f64::from(now.saturating_sub(self.last_new.max(self.since)));
        let minimum = options.minimum_time.as_secs_f64().max(1.0);
        Fractions {
            elapsed,
            quiet,
            minimum,
            estimates: [
                fraction(elapsed, minimum),
                fraction(self.observations as f64, options.minimum_events as f64),
                fraction(options.unseen_mass, self.unseen_mass()),
                fraction(
                    options.new_nodes_per_hour,
                    self.new_nodes_per_hour(now, options),
                ),
            ],
            // Rare events never satisfy an estimate; twice the time, with nothing new in its second
            // half, does as well.
            settled: fraction(elapsed, 2.0 * minimum).min(fraction(quiet, elapsed / 2.0)),
        }
    }

    /// How far learning is, 0 to 1, and a sentence that names what is missing.
    fn progress(&self, now: u32, options: &Options) -> (f64, String) {
        let fractions = self.fractions(now, options);
        let Fractions {
            elapsed,
            quiet,
            minimum,
            ..
        } = fractions;
        let (least, progress) = fractions
            .estimates
            .into_iter()
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((0, 0.0));
        if progress >= 1.0 || fractions.settled >= 1.0 {
            return (1.0, "ends with the next event".to_owned());
        }
        if fractions.settled > progress {
            return (
                fractions.settled,
                format!(
                    "nothing new for {}; half of the time learned ({}, at least {}) is asked for",
                    span(quiet),
                    span(elapsed),
                    span(2.0 * minimum)
                ),
            );
        }
        let missing = match least {
            0 => format!("{} of at least {} learned", span(elapsed), span(minimum)),
            1 => format!(
                "{} of at least {} events seen",
                self.observations, options.minimum_events
            ),
            2 => format!(
                "about {:.1} % of coming events would be new, at most {:.1} % may be",
                self.unseen_mass() * 100.0,
                options.unseen_mass * 100.0
            ),
            _ => format!(
                "{:.0} new nodes per hour, at most {:.0} may come",
                self.new_nodes_per_hour(now, options),
                options.new_nodes_per_hour
            ),
        };
        (progress, missing)
    }

    /// State for people.
    pub(crate) fn report(&self, now: u32, options: &Options) -> BranchState {
        let now = now.max(self.since);
        let (progress, reason) = match self.mode {
            Mode::Detecting => (
                1.0,
                match self.cause {
                    Cause::Command => "learning was ended by command".to_owned(),
                    Cause::Imported => "learned elsewhere and imported".to_owned(),
                    Cause::Settled => {
                        "nothing new came in the second half of the time learned".to_owned()
                    }
                    _ => format!(
                        "after {} events about {:.2} % of the coming ones would be new",
                        self.observations,
                        self.unseen_mass() * 100.0
                    ),
                },
            ),
            Mode::Learning => {
                let (progress, missing) = self.progress(now, options);
                let why = match self.cause {
                    Cause::ImageChanged => "the image changed: ",
                    Cause::Command => "learning by command: ",
                    _ => "",
                };
                (progress, format!("{why}{missing}"))
            }
        };
        BranchState {
            mode: self.mode,
            cause: self.cause,
            since: Timestamp::from_seconds(i64::from(self.since)),
            progress: progress as f32,
            reason,
            observations: self.observations,
            unseen_mass: self.unseen_mass(),
            new_nodes_per_hour: if self.is_learning() {
                self.new_nodes_per_hour(now, options)
            } else {
                0.0
            },
        }
    }
}

struct Fractions {
    /// Seconds of learning.
    elapsed: f64,
    /// Seconds since the newest node.
    quiet: f64,
    /// Least seconds of learning.
    minimum: f64,
    /// Time, events, unseen mass, new nodes per hour.
    estimates: [f64; 4],
    /// The other way to the end: nothing new for long.
    settled: f64,
}

/// State of a branch for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchState {
    /// Learning or detecting.
    pub mode: Mode,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Timestamp,
    /// How far learning is, 0 to 1; 1 while detecting.
    pub progress: f32,
    /// A sentence that says why it is in this mode, or what is missing to its end.
    pub reason: String,
    /// Events of the branch in the last time of learning.
    pub observations: u64,
    /// Estimated share of coming events that show something new, 0 to 1.
    pub unseen_mass: f64,
    /// New nodes of the last hour while learning.
    pub new_nodes_per_hour: f64,
}

fn span(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / HOUR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 1_800_000_000;

    #[test]
    fn many_events_and_nothing_new_converge() {
        let options = Options::default();
        let mut learning = Learning::new(Cause::New, START);
        learning.note_new(START + 90);
        learning.observations = 500;
        let check = |learning: &Learning, after: u32, expected| {
            assert_eq!(learning.conclusion(START + after, &options), expected);
        };
        check(&learning, 3_599, None);
        check(&learning, 3_600, Some(Cause::Converged));
        // One in a hundred events still shows something new.
        learning.singletons = 10;
        check(&learning, 3_600, None);
    }

    #[test]
    fn a_branch_in_which_nothing_happens_ends_too() {
        let options = Options::default();
        let learning = Learning::new(Cause::New, START);
        assert_eq!(learning.conclusion(START + 7_199, &options), None);
        assert_eq!(
            learning.conclusion(START + 7_200, &options),
            Some(Cause::Settled)
        );
    }

    #[test]
    fn steady_news_keep_it_learning_and_say_so() {
        let options = Options::default();
        let mut learning = Learning::new(Cause::New, START);
        learning.observations = 1_000_000;
        for minute in 2..300 {
            learning.note_new(START + minute * 60);
        }
        let now = START + 300 * 60;
        assert_eq!(learning.conclusion(now, &options), None);
        let report = learning.report(now, &options);
        assert!(
            report.reason.contains("new nodes per hour"),
            "{}",
            report.reason
        );
        assert!(
            (50.0..=70.0).contains(&report.new_nodes_per_hour),
            "{}",
            report.new_nodes_per_hour
        );
        // Four quiet hours later the old news do not count any more.
        assert!(learning.conclusion(now + 4 * 3_600, &options).is_some());
    }

    #[test]
    fn progress_grows_to_one() {
        let options = Options::default();
        let learning = Learning::new(Cause::New, START);
        let mut before = 0.0;
        for minute in 0..120 {
            let report = learning.report(START + minute * 60, &options);
            assert!(report.progress >= before && report.progress <= 1.0);
            before = report.progress;
        }
        assert!(before > 0.95);
    }
}
