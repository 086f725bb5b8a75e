//! A shop that does not exist: the Falco events of forty containers, made up from a seed.
//!
//! [`Generator::lines`] gives the lines of any stretch of time. What happens in a second follows
//! from the seed, the rate and that second alone, so that stretches can be asked for in any order
//! and two that touch continue each other: a back-fill and the live stream after it are one story.
//! The lines are JSON as Falco prints it and go through the same parser as Falco's own.
//!
//! In the story: three rules that see everything and a tail of Falco's rules by name, with few
//! frequent and many rare ones; more in the afternoon than at night; bursts of single containers;
//! a backup at night, builds by day; and three attacks a day (03:12, 11:25 and 17:48 UTC).

mod fleet;
mod incidents;
mod random;
mod render;
mod roles;
mod rules;
mod source;

use std::{net::Ipv4Addr, ops::Range, sync::LazyLock};

use qw_event::Timestamp;

pub use self::{
    fleet::{DemoContainer, fleet},
    source::{Clock, Config, DemoSource, KIND},
};
use self::{
    fleet::{FLEET, Fleet},
    incidents::{Step, StepTarget},
    random::Random,
    render::{Happening, Process, Renderer, Target, push_number},
    roles::{Command, Peer, RoleName},
    rules::{About, RULES, Rule},
};

/// Most events a second may have; a higher rate is taken for this one.
pub const MAX_RATE: f64 = 1_000_000.0;

/// Makes up events. The same seed always tells the same story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    seed: u64,
}

impl Generator {
    /// The story of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The lines of the events from `range.start` (included) to `range.end` (excluded), in order of
    /// time, without line ends.
    ///
    /// `rate` is events per second on the average of a day; the attacks come on top. One that is not
    /// a number, or negative, counts as zero.
    pub fn lines(
        &self,
        range: Range<Timestamp>,
        rate: f64,
    ) -> impl Iterator<Item = (Timestamp, String)> + Send + use<> {
        let rate = if rate > 0.0 { rate.min(MAX_RATE) } else { 0.0 };
        Lines {
            seed: self.seed,
            fleet: LazyLock::force(&FLEET),
            rate,
            next_second: range.start.as_seconds(),
            range,
            plan: Vec::new(),
            renderer: Renderer::default(),
            texts: Texts::default(),
        }
    }
}

/// `count` lines of an ordinary day at 5,000 events per second, for benchmarks.
pub fn benchmark_lines(seed: u64, count: usize) -> impl Iterator<Item = String> + Send + use<> {
    // A Monday; the year and the day are of no importance.
    let start = Timestamp::from_seconds(1_798_416_000);
    Generator::new(seed)
        .lines(start..Timestamp::MAX, 5_000.0)
        .take(count)
        .map(|(_, line)| line)
}

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

struct Lines {
    seed: u64,
    fleet: &'static Fleet,
    rate: f64,
    range: Range<Timestamp>,
    next_second: i64,
    /// What is left of the current second, latest first.
    plan: Vec<(Timestamp, Planned)>,
    renderer: Renderer,
    texts: Texts,
}

/// Something that will happen.
#[derive(Clone, Copy)]
enum Planned {
    /// Day to day business; the number makes it up.
    Usual {
        number: u64,
        container: Option<usize>,
    },
    /// Part of an attack.
    Attack(&'static Step),
}

/// Texts of the event that is being made up, kept to be filled again.
#[derive(Default)]
struct Texts {
    command: String,
    path: String,
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
            let last = self.range.end.as_seconds();
            if self.next_second > last || self.range.is_empty() {
                return None;
            }
            if self.rate == 0.0 {
                // Without day to day business only attacks are left; go to the next one at once.
                self.next_second = self.next_second.max(next_attack(self.next_second));
                if self.next_second > last {
                    return None;
                }
            }
            self.plan_second(self.next_second);
            self.next_second += 1;
        }
    }
}

/// The first second from `second` on in which an attack goes on.
fn next_attack(second: i64) -> i64 {
    let of_day = second.rem_euclid(DAY_SECONDS);
    let midnight = second - of_day;
    match incidents::between(of_day * NANOS, i64::MAX).first() {
        Some(step) => midnight + step.at / NANOS,
        None => midnight + DAY_SECONDS,
    }
}

impl Lines {
    fn plan_second(&mut self, second: i64) {
        let start = second.saturating_mul(NANOS);
        let of_day = second.rem_euclid(DAY_SECONDS);
        let mut random = Random::of(&[self.seed, second as u64]);
        let burst = Burst::at(self.seed, second);
        let factor = burst.map_or(1.0, |burst| burst.factor);
        let usual = self.rate * time_of_day_factor(of_day);
        // The fraction decides whether there is one more, so that small rates come out right too.
        let count = (usual * factor + random.fraction()) as usize;
        for _ in 0..count {
            let offset = random.below(NANOS as usize) as i64;
            let in_burst = factor > 1.0 && random.fraction() * factor >= 1.0;
            let container = burst.filter(|_| in_burst).map(|burst| burst.container);
            let planned = Planned::Usual {
                number: random.number(),
                container,
            };
            self.plan
                .push((Timestamp::from_nanos(start.saturating_add(offset)), planned));
        }
        for step in incidents::between(of_day * NANOS, (of_day + 1) * NANOS) {
            let time = start.saturating_add(step.at - of_day * NANOS);
            self.plan
                .push((Timestamp::from_nanos(time), Planned::Attack(step)));
        }
        // Taken from the end, so the earliest last; a stable order keeps equal times reproducible.
        self.plan.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    }

    fn line(&mut self, time: Timestamp, planned: Planned) -> String {
        match planned {
            Planned::Usual { number, container } => self.usual(time, number, container),
            Planned::Attack(step) => self.attack(time, step),
        }
    }

    fn usual(&mut self, time: Timestamp, number: u64, container: Option<usize>) -> String {
        let mut random = Random::of(&[number]);
        let container = match container {
            Some(index) => self.fleet.at(index),
            None => self.container(time, &mut random),
        };
        let rule = rules::choose(random.number());
        let role = container.role();
        let mut user = (role.user, role.uid);
        let mut command = role.main;
        let texts = &mut self.texts;
        texts.path.clear();
        let target = match rule.about {
            About::UsualProcess => {
                command = random.pick(role.commands).copied().unwrap_or(command);
                Target::Nothing
            }
            About::UsualFile => match random.pick(role.files) {
                Some(file) => {
                    fill(&mut texts.path, file.path, &mut random);
                    Target::File {
                        path: &texts.path,
                        call: file.call,
                    }
                }
                None => Target::Nothing,
            },
            About::UsualConnection => match random.pick(role.connections) {
                Some(connection) => {
                    let reliable = !matches!(connection.peer, Peer::Resolver);
                    let peer = peer_address(connection.peer, container, self.fleet, &mut random);
                    let ephemeral = 32_768 + random.below(28_000) as u16;
                    let call = connection.call;
                    if call == "accept4" {
                        let server = (container.address, connection.port);
                        Target::Connection {
                            client: (peer, ephemeral),
                            server,
                            call,
                            reliable,
                        }
                    } else {
                        let client = (container.address, ephemeral);
                        Target::Connection {
                            client,
                            server: (peer, connection.port),
                            call,
                            reliable,
                        }
                    }
                }
                None => Target::Nothing,
            },
            About::Process(commands) => {
                user = ("root", 0);
                command = random.pick(commands).copied().unwrap_or(command);
                Target::Nothing
            }
            About::File {
                commands,
                paths,
                call,
            } => {
                user = ("root", 0);
                command = random.pick(commands).copied().unwrap_or(command);
                fill(
                    &mut texts.path,
                    random.pick(paths).copied().unwrap_or("/"),
                    &mut random,
                );
                Target::File {
                    path: &texts.path,
                    call,
                }
            }
            About::Connection {
                commands,
                ports,
                call,
            } => {
                command = random.pick(commands).copied().unwrap_or(command);
                let peer = peer_address(Peer::Internet, container, self.fleet, &mut random);
                let port = random.pick(ports).copied().unwrap_or(443);
                let client = (container.address, 32_768 + random.below(28_000) as u16);
                Target::Connection {
                    client,
                    server: (peer, port),
                    call,
                    reliable: true,
                }
            }
        };
        texts.command.clear();
        fill(&mut texts.command, command.line, &mut random);
        let terminal = if rule.name == SHELL_RULE {
            34_816 + random.below(4) as u64
        } else {
            0
        };
        let process = process(&command, &texts.command, user, terminal, &mut random);
        self.renderer.line(
            time,
            &Happening {
                container,
                rule,
                process,
                target,
            },
        )
    }

    fn attack(&mut self, time: Timestamp, step: &Step) -> String {
        let mut random = Random::of(&[self.seed, time.as_nanos() as u64]);
        let container = self
            .fleet
            .named(step.container)
            .unwrap_or_else(|| self.fleet.at(0));
        let rule: &Rule = rules::named(step.rule).unwrap_or(&RULES[0]);
        let target = match step.target {
            StepTarget::Nothing => Target::Nothing,
            StepTarget::File(path) => Target::File {
                path,
                call: "openat",
            },
            StepTarget::Server(address, port) => Target::Connection {
                client: (container.address, 32_768 + random.below(28_000) as u16),
                server: (Ipv4Addr::from(address), port),
                call: "connect",
                reliable: true,
            },
        };
        let role = container.role();
        let user = (role.user, role.uid);
        let process = process(&step.process, step.process.line, user, 0, &mut random);
        self.renderer.line(
            time,
            &Happening {
                container,
                rule,
                process,
                target,
            },
        )
    }

    /// Somebody who is at work at that time of the day.
    fn container(&self, time: Timestamp, random: &mut Random) -> &'static DemoContainer {
        let hour = time.as_seconds().rem_euclid(DAY_SECONDS) / 3600;
        let mut container = self.fleet.at_share(random.fraction());
        let idle = match container.role {
            RoleName::Backup => hour != 2,
            RoleName::Jenkins => !(6..19).contains(&hour),
            _ => false,
        };
        if idle && random.below(20) != 0 {
            container = self.fleet.of_role(RoleName::Web, random.number());
        }
        container
    }
}

/// The rule whose processes have a terminal.
const SHELL_RULE: &str = "Terminal shell in container";

/// A minute or two in which one container does more than usual.
#[derive(Clone, Copy)]
struct Burst {
    container: usize,
    factor: f64,
}

impl Burst {
    /// The burst that goes on in `second`, if there is one: in one of eight stretches of five
    /// minutes.
    fn at(seed: u64, second: i64) -> Option<Self> {
        const STRETCH: i64 = 300;
        let mut random = Random::of(&[seed, 0x6275_7273_7400, second.div_euclid(STRETCH) as u64]);
        if random.below(8) != 0 {
            return None;
        }
        let begins = random.below(180) as i64;
        let lasts = 30 + random.below(90) as i64;
        let container = random.below(fleet().len());
        let factor = 2.0 + 2.0 * random.fraction();
        let place = second.rem_euclid(STRETCH) - begins;
        (0..lasts)
            .contains(&place)
            .then_some(Self { container, factor })
    }
}

/// How much more than on average happens at `second` of the day: 1.6 at 15:00, 0.4 at 03:00.
fn time_of_day_factor(second: i64) -> f64 {
    let turn = (second - 9 * 3600) as f64 / DAY_SECONDS as f64;
    1.0 + 0.6 * (turn * std::f64::consts::TAU).sin()
}

fn peer_address(
    peer: Peer,
    container: &DemoContainer,
    fleet: &Fleet,
    random: &mut Random,
) -> Ipv4Addr {
    match peer {
        Peer::Role(role) => fleet.of_role(role, random.number()).address,
        Peer::Resolver => {
            let [first, second, third, _] = container.address.octets();
            Ipv4Addr::new(first, second, third, 2)
        }
        Peer::Internet => {
            const RANGES: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
            let [first, second, third] = RANGES[random.below(RANGES.len())];
            Ipv4Addr::new(first, second, third, 1 + random.below(254) as u8)
        }
    }
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
    }
}

/// Appends `template` with its places filled.
fn fill(text: &mut String, template: &str, random: &mut Random) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}') {
            Some(("n", after)) => {
                push_number(text, random.below(250) as u64);
                rest = after;
            }
            Some(("h", after)) => {
                let number = random.number();
                for place in 0..8 {
                    text.extend(char::from_digit((number >> (4 * place) & 15) as u32, 16));
                }
                rest = after;
            }
            _ => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests;
