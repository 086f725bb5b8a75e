//! Goes round the containers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qw_cgroup::{DeviceNames, Limits, Locator, Reader, Roots, Sample, Version};
use qw_docker::Docker;
use qw_event::Timestamp;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{Point, Reading, RoundStatus, Tracked, Usage, Way, engine};

/// Calls to the engine at once.
const CALLS: usize = 4;
/// Rounds until a container that is asked from the engine is looked for in control groups again.
const LOOK_AGAIN_AFTER: u32 = 30;
/// Until the first container is known, this often is looked for it.
const FIRST_LOOKS: Duration = Duration::from_secs(1);

/// What to read, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time between two rounds; at least 100 ms.
    pub interval: Duration,
    /// Points of a container are kept for this long.
    pub keep: Duration,
    /// Containers that are read at most, and containers whose points are kept.
    pub max_containers: usize,
    /// Where the file systems are.
    pub roots: Roots,
    /// Tells the time of a reading.
    pub clock: fn() -> Timestamp,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Full id.
    pub id: String,
    /// When it last started: with a new start come new control groups.
    pub started: Option<Timestamp>,
}

/// Says which containers run.
pub type Targets = Box<dyn Fn() -> Vec<Target> + Send + Sync>;
/// Is told what was read, after each round.
pub type Observer = Box<dyn Fn(&[Tracked]) + Send + Sync>;

/// Reads the containers, round after round.
pub struct Sampler {
    options: Options,
    docker: Option<Docker>,
    targets: Targets,
    observer: Option<Observer>,
    usage: Usage,
}

/// One container between two rounds.
struct Container {
    started: Option<Timestamp>,
    reach: Reach,
    why: Arc<str>,
    /// The last reading, for rates.
    before: Option<(Instant, Arc<Reading>)>,
    /// The reading of this round.
    now: Option<Arc<Reading>>,
    rounds: u32,
}

enum Reach {
    /// Not yet looked for.
    Unknown,
    Cgroup(Box<Reader>),
    Engine(Limits),
    /// Neither; looked for again after some rounds.
    Nothing,
}

/// What the engine says of a container before it is looked for.
#[derive(Debug, Clone, Copy, Default)]
struct Inspection {
    pid: Option<u32>,
    own_network: bool,
    limits: Limits,
}

/// All that lives from round to round.
struct Round {
    containers: BTreeMap<Arc<str>, Container>,
    locator: Option<Locator>,
    names: DeviceNames,
    status: RoundStatus,
}

impl Sampler {
    /// A sampler of `targets` that writes to `usage`. `docker` is asked for the first process of
    /// each container, and for what cannot be read here; without it containers are found by their
    /// ids.
    pub fn new(options: Options, docker: Option<Docker>, targets: Targets, usage: Usage) -> Self {
        Self {
            options,
            docker,
            targets,
            observer: None,
            usage,
        }
    }

    /// Tells `observer` after each round.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Goes round until `stop` fires.
    pub async fn run(self, stop: CancellationToken) {
        let interval = self.options.interval.max(Duration::from_millis(100));
        while (self.targets)().is_empty() {
            let pause = tokio::time::sleep(interval.min(FIRST_LOOKS));
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round {
            containers: BTreeMap::new(),
            locator: None,
            names: DeviceNames::new(&self.options.roots.proc),
            status: RoundStatus {
                interval,
                ..RoundStatus::default()
            },
        };
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(next) = stop.run_until_cancelled(self.round(round)).await else {
                return;
            };
            let Some(next) = next else {
                tracing::error!("reading what containers use panicked; it is not read any more");
                return;
            };
            round = next;
        }
    }

    /// One round; `None` when reading has panicked.
    async fn round(&self, mut round: Round) -> Option<Round> {
        let begun = Instant::now();
        round.status.last = Some((self.options.clock)());
        round.take_targets((self.targets)(), self.options.max_containers);
        // The engine gets half of the interval: those that it does not answer for wait their turn.
        let deadline = begun + self.options.interval / 2;
        let inspections = self.inspect(round.unknown(), deadline).await;
        let (roots, clock) = (self.options.roots.clone(), self.options.clock);
        let has_engine = self.docker.is_some();
        let mut round = tokio::task::spawn_blocking(move || {
            round.find(inspections, &roots, has_engine);
            round.read(clock);
            round
        })
        .await
        .ok()?;
        self.ask_engine(&mut round, deadline).await;
        round.status.rounds += 1;
        round.status.took = begun.elapsed();
        let tracked = round.finish();
        if let Some(observer) = &self.observer {
            observer(&tracked);
        }
        let interval = self.options.interval.as_millis().max(1);
        let most = self.options.keep.as_millis() / interval + 1;
        self.usage.publish(
            tracked,
            round.status,
            round.status.last.unwrap_or_default(),
            self.options.keep,
            usize::try_from(most).unwrap_or(usize::MAX),
            self.options.max_containers,
        );
        Some(round)
    }

    /// Asks the engine about containers that are not yet found, several at once.
    async fn inspect(
        &self,
        ids: Vec<Arc<str>>,
        deadline: Instant,
    ) -> Vec<(Arc<str>, Result<Inspection, String>)> {
        let Some(docker) = &self.docker else {
            let none = Inspection::default();
            return ids.into_iter().map(|id| (id, Ok(none))).collect();
        };
        each_at_once(ids, deadline, |id| {
            let docker = docker.clone();
            async move {
                let details = docker.container(&id).await.map_err(|error| error.chain())?;
                let mode = details.host_config.network_mode.as_str();
                Ok(Inspection {
                    pid: u32::try_from(details.state.pid).ok().filter(|pid| *pid > 0),
                    own_network: mode != "host" && !mode.starts_with("container:"),
                    limits: engine::limits(&details.host_config),
                })
            }
        })
        .await
    }

    /// Reads those containers from the engine whose control groups are not visible.
    async fn ask_engine(&self, round: &mut Round, deadline: Instant) {
        let Some(docker) = &self.docker else { return };
        let asked: Vec<Arc<str>> = round
            .containers
            .iter()
            .filter(|(_, container)| matches!(container.reach, Reach::Engine(_)))
            .map(|(id, _)| Arc::clone(id))
            .collect();
        let answers = each_at_once(asked, deadline, |id| {
            let docker = docker.clone();
            async move {
                let stats = docker.stats(&id).await.map_err(|error| error.chain())?;
                Ok((Instant::now(), stats))
            }
        })
        .await;
        for (id, answer) in answers {
            let Some(container) = round.containers.get_mut(&id) else {
                continue;
            };
            let Reach::Engine(limits) = container.reach else {
                continue;
            };
            let sample = answer.and_then(|(at, stats)| {
                engine::sample(&stats, limits)
                    .map(|sample| (at, sample))
                    .ok_or_else(|| String::from("the engine says that it does not run"))
            });
            match sample {
                Ok((at, sample)) => {
                    let group = format!("/docker/{id}").into();
                    let time = (self.options.clock)();
                    container.take(time, at, sample, group, &mut round.names);
                    round.status.readings += 1;
                }
                Err(error) => {
                    tracing::debug!(id = &*id, error, "cannot read what a container uses");
                    container.before = None;
                    round.status.failures += 1;
                }
            }
        }
    }
}

/// Runs `call` for each id, several at once; those that are not done at the deadline are errors.
async fn each_at_once<T: Send + 'static, F>(
    ids: Vec<Arc<str>>,
    deadline: Instant,
    call: impl Fn(Arc<str>) -> F,
) -> Vec<(Arc<str>, Result<T, String>)>
where
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let mut answers = Vec::with_capacity(ids.len());
    let mut tasks: JoinSet<(Arc<str>, Result<T, String>)> = JoinSet::new();
    let mut ids = ids.into_iter();
    loop {
        while tasks.len() < CALLS
            && Instant::now() < deadline
            && let Some(id) = ids.next()
        {
            let answer = call(Arc::clone(&id));
            tasks.spawn(async move {
                let answer = tokio::time::timeout_at(deadline, answer).await;
                let late = || String::from("the engine did not answer in time");
                (id, answer.unwrap_or_else(|_| Err(late())))
            });
        }
        match tasks.join_next().await {
            Some(Ok(answer)) => answers.push(answer),
            Some(Err(error)) => tracing::error!(error = %error, "a call to the engine failed"),
            None => break,
        }
    }
    answers
}

impl Round {
    /// Forgets those that do not run any more, and begins with those that are new or were started
    /// anew.
    fn take_targets(&mut self, mut targets: Vec<Target>, most: usize) {
        targets.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        targets.dedup_by(|a, b| a.id == b.id);
        targets.truncate(most);
        self.containers.retain(|id, _| {
            targets
                .binary_search_by(|target| target.id.as_str().cmp(id))
                .is_ok()
        });
        for target in targets {
            let entry = self.containers.entry(target.id.into());
            let container = entry.or_insert_with(|| Container::new(target.started));
            if container.started != target.started {
                *container = Container::new(target.started);
            }
            container.now = None;
            container.rounds = container.rounds.wrapping_add(1);
            let looks_again = container.rounds.is_multiple_of(LOOK_AGAIN_AFTER);
            if looks_again && !matches!(container.reach, Reach::Cgroup(_)) {
                container.reach = Reach::Unknown;
            }
        }
    }

    fn unknown(&self) -> Vec<Arc<str>> {
        self.containers
            .iter()
            .filter(|(_, container)| matches!(container.reach, Reach::Unknown))
            .map(|(id, _)| Arc::clone(id))
            .collect()
    }

    /// Finds the control groups of those that the engine has told about.
    fn find(
        &mut self,
        inspections: Vec<(Arc<str>, Result<Inspection, String>)>,
        roots: &Roots,
        has_engine: bool,
    ) {
        if inspections.is_empty() {
            return;
        }
        // Looked for again each time: it may be mounted later.
        let no_locator = match &self.locator {
            Some(_) => None,
            None => match Locator::new(roots.clone()) {
                Ok(locator) => {
                    self.locator = Some(locator);
                    None
                }
                Err(error) => Some(chain(&error)),
            },
        };
        for (id, inspection) in inspections {
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            let inspection = match inspection {
                Ok(inspection) => inspection,
                Err(error) => {
                    container.why = error.into();
                    self.status.failures += 1;
                    continue;
                }
            };
            let found = match (&self.locator, &no_locator) {
                (Some(locator), _) => open(locator, &id, inspection),
                (None, error) => Err(error.clone().unwrap_or_default()),
            };
            (container.reach, container.why) = match found {
                Ok((reader, why)) => (Reach::Cgroup(Box::new(reader)), why.into()),
                Err(error) if has_engine => (
                    Reach::Engine(inspection.limits),
                    format!("the engine is asked, because {error}").into(),
                ),
                Err(error) => (Reach::Nothing, error.into()),
            };
        }
    }

    /// Reads all whose control groups are visible.
    fn read(&mut self, clock: fn() -> Timestamp) {
        for (id, container) in &mut self.containers {
            let Reach::Cgroup(reader) = &mut container.reach else {
                continue;
            };
            let (at, time) = (Instant::now(), clock());
            match reader.sample() {
                Ok(sample) => {
                    let group = reader.groups().path.as_str().into();
                    container.take(time, at, sample, group, &mut self.names);
                    self.status.readings += 1;
                }
                Err(error) => {
                    // It has stopped, and the inventory will hear of it; or it was started anew.
                    let error = chain(&error);
                    tracing::debug!(id = &**id, error, "cannot read what a container uses");
                    container.why = error.into();
                    container.reach = Reach::Unknown;
                    container.before = None;
                    self.status.failures += 1;
                }
            }
        }
    }

    fn finish(&mut self) -> Vec<Tracked> {
        self.containers
            .iter()
            .map(|(id, container)| Tracked {
                id: Arc::clone(id),
                way: container.reach.way(),
                why: Arc::clone(&container.why),
                reading: container.now.clone(),
            })
            .collect()
    }
}

impl Container {
    fn new(started: Option<Timestamp>) -> Self {
        Self {
            started,
            reach: Reach::Unknown,
            why: "not looked for yet".into(),
            before: None,
            now: None,
            rounds: 0,
        }
    }

    fn take(
        &mut self,
        time: Timestamp,
        at: Instant,
        sample: Sample,
        group: Arc<str>,
        names: &mut DeviceNames,
    ) {
        let before = self
            .before
            .as_ref()
            .map(|(before, reading)| (&reading.sample, at.duration_since(*before)));
        let point = Point::new(time, &sample, before);
        let number = |device: &qw_cgroup::Device| (device.major, device.minor);
        names.learn(sample.devices.iter().map(number));
        let devices = sample
            .devices
            .iter()
            .map(|device| {
                let name = names.name(device.major, device.minor);
                name.map_or_else(
                    || format!("{}:{}", device.major, device.minor).into(),
                    Into::into,
                )
            })
            .collect();
        let reading = Arc::new(Reading {
            time,
            group,
            sample,
            devices,
            point,
        });
        self.before = Some((at, Arc::clone(&reading)));
        self.now = Some(reading);
    }
}

impl Reach {
    fn way(&self) -> Way {
        match self {
            Self::Cgroup(reader) => match reader.groups().version {
                Version::V1 => Way::CgroupV1,
                Version::V2 => Way::CgroupV2,
            },
            Self::Engine(_) => Way::Engine,
            Self::Unknown | Self::Nothing => Way::None,
        }
    }
}

/// A reader of the container, and in words how it was found.
fn open(locator: &Locator, id: &str, inspection: Inspection) -> Result<(Reader, String), String> {
    let groups = locator
        .find(id, inspection.pid)
        .map_err(|error| chain(&error))?;
    let path = &groups.path;
    let why = match inspection.pid.filter(|_| groups.by_process) {
        Some(pid) => format!("its first process, {pid}, is in the control group `{path}`"),
        None => format!("the control group `{path}` has its id"),
    };
    // Only a process that is known to be the container's has its network.
    let network = inspection
        .pid
        .filter(|_| groups.by_process && inspection.own_network)
        .map(|pid| (locator.roots().proc.as_path(), pid));
    let reader = Reader::open(groups, network).map_err(|error| chain(&error))?;
    Ok((reader, why))
}

/// The error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::Series;

    fn id(number: u32) -> String {
        format!("{number:064x}")
    }

    fn write(root: &Path, id: &str, cpu_microseconds: u64) {
        let folder = root.join("docker").join(id);
        fs::create_dir_all(&folder).unwrap();
        let text = format!("usage_usec {cpu_microseconds}\nuser_usec 0\nsystem_usec 0\n");
        fs::write(folder.join("cpu.stat"), text).unwrap();
        fs::write(folder.join("memory.current"), "4096\n").unwrap();
    }

    fn sampler(root: &Path, usage: &Usage, ids: Arc<parking_lot::Mutex<Vec<u32>>>) -> Sampler {
        fs::write(root.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let options = Options {
            interval: Duration::from_secs(10),
            keep: Duration::from_secs(3600),
            max_containers: 3,
            roots: Roots {
                cgroup: root.to_owned(),
                proc: root.join("proc"),
            },
            clock: || Timestamp::from_seconds(1_795_251_600),
        };
        let targets = move || {
            let ids = ids.lock();
            ids.iter()
                .map(|number| Target {
                    id: id(*number),
                    started: None,
                })
                .collect()
        };
        Sampler::new(options, None, Box::new(targets), usage.clone())
    }

    fn first_round() -> Round {
        Round {
            containers: BTreeMap::new(),
            locator: None,
            names: DeviceNames::new(Path::new("/nowhere")),
            status: RoundStatus::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rates_come_with_the_second_round_and_end_with_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let usage = Usage::default();
        let ids = Arc::new(parking_lot::Mutex::new(vec![1, 2]));
        let sampler = sampler(folder.path(), &usage, Arc::clone(&ids));
        write(folder.path(), &id(1), 1_000_000);
        let round = sampler.round(first_round()).await.unwrap();
        let one = usage.get(&id(1)).unwrap();
        assert_eq!(one.way, Way::CgroupV2);
        let point = one.reading.unwrap().point;
        assert_eq!(point.get(Series::CpuCores), None);
        assert_eq!(point.get(Series::MemoryUsageBytes), Some(4096.0));
        let two = usage.get(&id(2)).unwrap();
        assert_eq!((two.way, two.reading), (Way::None, None));
        assert!(two.why.contains("no control group"), "{}", two.why);

        tokio::time::advance(Duration::from_secs(10)).await;
        write(folder.path(), &id(1), 6_000_000);
        let round = sampler.round(round).await.unwrap();
        let point = usage.get(&id(1)).unwrap().reading.unwrap().point;
        let cores = point.get(Series::CpuCores).unwrap();
        assert!((cores - 0.5).abs() < 0.001, "{cores}");

        ids.lock().clear();
        let round = sampler.round(round).await.unwrap();
        assert!(usage.get(&id(1)).is_none());
        let points = usage.points(&id(1), Timestamp::MIN, Timestamp::MAX);
        assert_eq!(points.len(), 2);
        assert_eq!(round.status.rounds, 3);
        assert_eq!(round.status.readings, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let usage = Usage::default();
        let ids = Arc::new(parking_lot::Mutex::new((0..10).collect()));
        let sampler = sampler(folder.path(), &usage, ids);
        sampler.round(first_round()).await.unwrap();
        assert_eq!(usage.tracked().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_does_not_answer_is_not_waited_for() {
        let never = |_: Arc<str>| std::future::pending::<Result<(), String>>();
        let ids = (0..50).map(|number| id(number).into()).collect();
        let deadline = Instant::now() + Duration::from_secs(5);
        let answers = each_at_once(ids, deadline, never).await;
        assert_eq!(Instant::now(), deadline);
        assert_eq!(answers.len(), CALLS);
        assert!(answers.iter().all(|(_, answer)| answer.is_err()));
    }
}
