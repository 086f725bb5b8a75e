//! Lines for benchmarks: every rule over the whole fleet, as many a second as wanted.
//!
//! What happens in a second follows from the seed, the rate and that second alone. Published figures
//! were measured with these lines, so they stay as they are.

use std::{net::Ipv4Addr, sync::LazyLock};

use qw_event::Timestamp;

use super::{
    FIRST_TERMINAL, NANOS, SHELL_RULE,
    fleet::{DemoContainer, FLEET, Fleet},
    process,
    random::Random,
    render::{Access, Happening, Renderer, Target, push_number},
    rhythm::{Burst, is_idle, time_of_day_factor},
    roles::{Peer, RoleName},
    rules::{self, About},
};

/// Events per second on the average of a day.
const RATE: f64 = 5_000.0;

/// `count` lines of an ordinary day at 5,000 events per second, for benchmarks.
pub fn benchmark_lines(seed: u64, count: usize) -> impl Iterator<Item = String> + Send + use<> {
    Lines {
        seed,
        fleet: LazyLock::force(&FLEET),
        // A Monday; the year and the day are of no importance.
        next_second: 1_798_416_000,
        plan: Vec::new(),
        renderer: Renderer::default(),
        texts: Texts::default(),
    }
    .take(count)
}

struct Lines {
    seed: u64,
    fleet: &'static Fleet,
    next_second: i64,
    /// What is left of the current second, latest first.
    plan: Vec<(Timestamp, Planned)>,
    renderer: Renderer,
    texts: Texts,
}

/// Something that will happen; the number makes it up.
#[derive(Clone, Copy)]
struct Planned {
    number: u64,
    container: Option<usize>,
}

/// Texts of the event that is being made up, kept to be filled again.
#[derive(Default)]
struct Texts {
    command: String,
    path: String,
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((time, planned)) = self.plan.pop() {
                return Some(self.line(time, planned));
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
        let usual = RATE * time_of_day_factor(second);
        // The fraction decides whether there is one more, so that small rates come out right too.
        let count = (usual * factor + random.fraction()) as usize;
        for _ in 0..count {
            let offset = random.below(NANOS as usize) as i64;
            let in_burst = factor > 1.0 && random.fraction() * factor >= 1.0;
            let container = burst.filter(|_| in_burst).map(|burst| burst.container);
            let planned = Planned {
                number: random.number(),
                container,
            };
            self.plan
                .push((Timestamp::from_nanos(start.saturating_add(offset)), planned));
        }
        // Taken from the end, so the earliest last; a stable order keeps equal times reproducible.
        self.plan.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    }

    fn line(&mut self, time: Timestamp, Planned { number, container }: Planned) -> String {
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
                        access: Access::Unsaid,
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
                    access: Access::Unsaid,
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
            FIRST_TERMINAL + random.below(4) as u64
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

    /// Somebody who is at work at that time of the day.
    fn container(&self, time: Timestamp, random: &mut Random) -> &'static DemoContainer {
        let container = self.fleet.at_share(random.fraction());
        if is_idle(container.role, time) && random.below(20) != 0 {
            return self.fleet.of_role(RoleName::Web, random.number());
        }
        container
    }
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
