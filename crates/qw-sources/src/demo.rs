//! A shop that does not exist: the Falco events of forty containers, made up from a seed.
//!
//! [`Generator::lines`] gives the lines of any stretch of time. What happens in a second follows
//! from the seed, the instant at which the demo began, the rate and that second alone, so that
//! stretches can be asked for in any order and two that touch continue each other: a back-fill and
//! the live stream after it are one story. The lines are JSON as Falco prints it and go through the
//! same parser as Falco's own.
//!
//! In the story: what forty containers do day in, day out, seen by three rules that see everything
//! and now and then by a rule of Falco's; more in the afternoon than at night; bursts of single
//! containers; a backup that has most to do at night, builds by day; and three attacks, forty and
//! twelve minutes before the demo began and 75 seconds after. But for these nothing ever happens
//! that did not happen in the first hour, too.

mod fleet;
mod habits;
mod incidents;
mod load;
mod random;
mod render;
mod rhythm;
mod roles;
mod rules;
mod source;

use std::{net::Ipv4Addr, ops::Range, sync::LazyLock};

use qw_event::Timestamp;

pub use self::{
    fleet::{DemoContainer, fleet},
    load::benchmark_lines,
    source::{Clock, Config, DemoSource, KIND},
};
use self::{
    fleet::{FLEET, Fleet},
    habits::{Act, REPERTOIRES, Repertoire, fill},
    incidents::Step,
    random::Random,
    render::{Access, Happening, Process, Renderer, Target},
    rhythm::{Burst, is_idle, time_of_day_factor},
    roles::{Command, RoleName},
    rules::{CONNECTIONS, FILES, PROCESSES, RULES, Rule},
};

/// Most events a second may have; a higher rate is taken for this one.
pub const MAX_RATE: f64 = 1_000_000.0;

/// Makes up events. The same seed and beginning always tell the same story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    seed: u64,
    began: Timestamp,
}

impl Generator {
    /// The story of `seed` for a demo that began at `began`.
    pub const fn new(seed: u64, began: Timestamp) -> Self {
        Self { seed, began }
    }

    /// The lines of the events from `range.start` (included) to `range.end` (excluded), in order of
    /// time, without line ends.
    ///
    /// `rate` is events per second on the average of a day. There are never less than it takes for
    /// every container to do everything once in 45 minutes, about one in three seconds, whatever the
    /// rate. The attacks come on top.
    pub fn lines(
        &self,
        range: Range<Timestamp>,
        rate: f64,
    ) -> impl Iterator<Item = (Timestamp, String)> + Send + use<> {
        let rate = if rate > 0.0 { rate.min(MAX_RATE) } else { 0.0 };
        let repertoires: &'static [Repertoire] = &REPERTOIRES;
        let acts: usize = repertoires.iter().map(|each| each.acts.len()).sum();
        Lines {
            seed: self.seed,
            began: self.began,
            fleet: LazyLock::force(&FLEET),
            repertoires,
            rate: (rate - acts as f64 / ROUND as f64).max(0.0),
            next_second: range.start.as_seconds(),
            range,
            round: None,
            plan: Vec::new(),
            renderer: Renderer::default(),
            texts: Texts::default(),
        }
    }
}

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// The rule whose processes have a terminal.
const SHELL_RULE: &str = "Terminal shell in container";
/// Number of the first one: `/dev/pts/0`.
const FIRST_TERMINAL: u64 = 34_816;

/// Seconds in which every container does everything once.
const ROUND: i64 = 2_700;
/// By so many seconds rounds differ.
const ROUND_JITTER: i64 = 120;
/// Seconds between two parts of a job.
const JOB_STEP: i64 = 9;

struct Lines {
    seed: u64,
    began: Timestamp,
    fleet: &'static Fleet,
    repertoires: &'static [Repertoire],
    /// Events per second beside those of the round.
    rate: f64,
    range: Range<Timestamp>,
    next_second: i64,
    round: Option<Round>,
    /// What is left of the current second, latest first.
    plan: Vec<(Timestamp, Planned)>,
    renderer: Renderer,
    texts: Texts,
}

/// Something that will happen.
#[derive(Clone, Copy)]
enum Planned {
    /// Day to day business; the number makes it up. Without an act it chooses one, and without a
    /// container that, too.
    Usual {
        number: u64,
        container: Option<usize>,
        act: Option<usize>,
    },
    /// Part of an attack.
    Attack(&'static Step),
}

/// Texts of the event that is being made up, kept to be filled again.
#[derive(Default)]
struct Texts {
    date: String,
    /// Number of the day that `date` names.
    day: i64,
    command: String,
    path: String,
    new_path: String,
}

impl Iterator for Lines {
    type Item = (Timestamp, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((time, planned)) = self.plan.pop() {
                if self.range.contains(&time) {
                    return Some((time, self.line(time, planned)));
                }
                continue;
            }
            if self.next_second > self.range.end.as_seconds() || self.range.is_empty() {
                return None;
            }
            self.plan_second(self.next_second);
            self.next_second += 1;
        }
    }
}

impl Lines {
    fn plan_second(&mut self, second: i64) {
        let start = second.saturating_mul(NANOS);
        let mut random = Random::of(&[self.seed, second as u64]);
        let burst = Burst::at(self.seed, second);
        let factor = burst.map_or(1.0, |burst| burst.factor);
        let usual = self.rate * time_of_day_factor(second);
        // The fraction decides whether there is one more, so that small rates come out right too.
        let count = (usual * factor + random.fraction()) as usize;
        for _ in 0..count {
            let in_burst = factor > 1.0 && random.fraction() * factor >= 1.0;
            let planned = Planned::Usual {
                number: random.number(),
                container: burst.filter(|_| in_burst).map(|burst| burst.container),
                act: None,
            };
            self.plan(start, &mut random, planned);
        }
        let number = second.div_euclid(ROUND);
        let round = match self.round.take().filter(|round| round.number == number) {
            Some(round) => round,
            None => Round::new(self.seed, number, self.repertoires),
        };
        for &(_, container, act) in round.at(second.rem_euclid(ROUND)) {
            let planned = Planned::Usual {
                number: random.number(),
                container: Some(container),
                act: Some(act),
            };
            self.plan(start, &mut random, planned);
        }
        self.round = Some(round);
        let since = start.saturating_sub(self.began.as_nanos());
        for step in incidents::between(since, since.saturating_add(NANOS)) {
            let time = self.began.as_nanos().saturating_add(step.at);
            self.plan
                .push((Timestamp::from_nanos(time), Planned::Attack(step)));
        }
        // Taken from the end, so the earliest last; a stable order keeps equal times reproducible.
        self.plan.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    }

    /// Plans something for any instant of the second that begins at `start`.
    fn plan(&mut self, start: i64, random: &mut Random, planned: Planned) {
        let time = start.saturating_add(random.below(NANOS as usize) as i64);
        self.plan.push((Timestamp::from_nanos(time), planned));
    }

    fn line(&mut self, time: Timestamp, planned: Planned) -> String {
        match planned {
            Planned::Usual {
                number,
                container,
                act,
            } => self.usual(time, number, container, act),
            Planned::Attack(step) => self.attack(time, step),
        }
    }

    fn usual(
        &mut self,
        time: Timestamp,
        number: u64,
        container: Option<usize>,
        act: Option<usize>,
    ) -> String {
        let mut random = Random::of(&[number]);
        let index = match container {
            Some(index) => index,
            None => self.container(time, &mut random),
        };
        let container = self.fleet.at(index);
        let repertoire = &self.repertoires[index % self.repertoires.len()];
        let act = act.unwrap_or_else(|| repertoire.choose(&mut random));
        let Act { habit, peers } = &repertoire.acts[act % repertoire.acts.len()];

        self.texts.enter(time);
        let Texts {
            date,
            command,
            path,
            new_path,
            ..
        } = &mut self.texts;
        for text in [&mut *command, path, new_path] {
            text.clear();
        }
        fill(command, habit.process.line, date, &mut random);
        let ephemeral = 32_768 + random.below(28_000) as u16;
        let peer = match random.pick(peers) {
            Some(peer) => *peer,
            None => client(&mut random),
        };
        let (usual_rule, target) = match habit.deed {
            habits::Deed::Runs => (PROCESSES, Target::Nothing),
            habits::Deed::Reads(template) | habits::Deed::Writes(template) => {
                fill(path, template, date, &mut random);
                let access = match habit.deed {
                    habits::Deed::Reads(_) => Access::Read,
                    _ => Access::Write,
                };
                let call = "openat";
                (FILES, Target::File { path, call, access })
            }
            habits::Deed::Renames(from, to) => {
                fill(path, from, date, &mut random);
                fill(new_path, to, date, &mut random);
                let (from, to) = (path, new_path);
                (FILES, Target::Renamed { from, to })
            }
            habits::Deed::Removes(template) => {
                fill(path, template, date, &mut random);
                (FILES, Target::Removed { path })
            }
            habits::Deed::Connects(with, port) => {
                let target = Target::Connection {
                    client: (container.address, ephemeral),
                    server: (peer, port),
                    call: "connect",
                    reliable: with != habits::With::Resolver,
                };
                (CONNECTIONS, target)
            }
            habits::Deed::Accepts(_, port) => {
                let target = Target::Connection {
                    client: (peer, ephemeral),
                    server: (container.address, port),
                    call: "accept4",
                    reliable: true,
                };
                (CONNECTIONS, target)
            }
        };
        let rule = rule(habit.rule.unwrap_or(usual_rule));
        let role = container.role();
        let user = (role.user, role.uid);
        let process = process(&habit.process, command, user, 0, &mut random);
        let happening = Happening {
            container,
            rule,
            process,
            target,
        };
        self.renderer.line(time, &happening)
    }

    fn attack(&mut self, time: Timestamp, step: &Step) -> String {
        let mut random = Random::of(&[self.seed, step.at as u64]);
        let container = self
            .fleet
            .named(step.container)
            .unwrap_or_else(|| self.fleet.at(0));
        let own = (container.address, 32_768 + random.below(28_000) as u16);
        let connection = |address: [u8; 4], port, call| Target::Connection {
            client: own,
            server: (Ipv4Addr::from(address), port),
            call,
            reliable: true,
        };
        let file = |path, access| Target::File {
            path,
            call: "openat",
            access,
        };
        let target = match step.deed {
            incidents::Deed::Runs | incidents::Deed::RunsForeign => Target::Nothing,
            incidents::Deed::Reads(path) => file(path, Access::Read),
            incidents::Deed::Writes(path) => file(path, Access::Write),
            incidents::Deed::Connects(address, port) => connection(address, port, "connect"),
            incidents::Deed::IsFedBy(address, port) => connection(address, port, "dup3"),
        };
        let role = container.role();
        let user = (role.user, role.uid);
        let terminal = if step.rule == SHELL_RULE {
            FIRST_TERMINAL
        } else {
            0
        };
        let line = step.process.line;
        let mut process = process(&step.process, line, user, terminal, &mut random);
        process.is_foreign = matches!(step.deed, incidents::Deed::RunsForeign);
        let happening = Happening {
            container,
            rule: rule(step.rule),
            process,
            target,
        };
        self.renderer.line(time, &happening)
    }

    /// Number of somebody who is at work at that time of the day.
    fn container(&self, time: Timestamp, random: &mut Random) -> usize {
        let index = self.fleet.index_at_share(random.fraction());
        if is_idle(self.fleet.at(index).role, time) {
            return self.fleet.index_of_role(RoleName::Web, random.number());
        }
        index
    }
}

impl Texts {
    /// Has `date` name the day of `time`.
    fn enter(&mut self, time: Timestamp) {
        let day = time.as_seconds().div_euclid(DAY_SECONDS);
        if self.date.is_empty() || self.day != day {
            self.day = day;
            let text = Timestamp::from_seconds(day * DAY_SECONDS).to_string();
            let date = text.split_once('T').map_or("", |(date, _)| date);
            date.clone_into(&mut self.date);
        }
    }
}

/// What every container does once in 45 minutes, and when.
struct Round {
    number: i64,
    /// Second within the round, container and act, in order.
    items: Vec<(i64, usize, usize)>,
}

impl Round {
    fn new(seed: u64, number: i64, repertoires: &[Repertoire]) -> Self {
        let mut items = Vec::new();
        for (container, repertoire) in repertoires.iter().enumerate() {
            for act in 0..repertoire.acts.len() {
                let second = if repertoire.is_job {
                    act as i64 * JOB_STEP
                } else {
                    // The same in every round but for the jitter, so that a round's length is the
                    // longest time between two, or little more.
                    let keys = [seed, container as u64, act as u64];
                    let place = Random::of(&keys).below((ROUND - ROUND_JITTER) as usize);
                    let keys = [seed, container as u64, act as u64, number as u64];
                    (place + Random::of(&keys).below(ROUND_JITTER as usize)) as i64
                };
                items.push((second, container, act));
            }
        }
        items.sort_unstable();
        Self { number, items }
    }

    fn at(&self, second: i64) -> &[(i64, usize, usize)] {
        let from = self.items.partition_point(|(at, ..)| *at < second);
        let to = self.items.partition_point(|(at, ..)| *at <= second);
        self.items.get(from..to).unwrap_or_default()
    }
}

/// Somebody on the internet, in a range that is set aside for documentation.
fn client(random: &mut Random) -> Ipv4Addr {
    const RANGES: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
    let [first, second, third] = RANGES[random.below(RANGES.len())];
    Ipv4Addr::new(first, second, third, 1 + random.below(254) as u8)
}

fn rule(name: &str) -> &'static Rule {
    rules::named(name).unwrap_or(&RULES[0])
}

fn process<'a>(
    command: &Command,
    line: &'a str,
    (user, uid): (&'static str, u32),
    terminal: u64,
    random: &mut Random,
) -> Process<'a> {
    let pid = 1_000 + random.below(60_000) as u64;
    Process {
        name: command.name,
        path: command.path,
        command: line,
        parent: command.parent,
        pid,
        parent_pid: 1 + pid / 7,
        terminal,
        user,
        uid,
        is_foreign: false,
    }
}

#[cfg(test)]
mod tests;
