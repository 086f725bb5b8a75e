//! Records what real programs do in real containers, as Falco would tell it.
//!
//! An engine of our own runs its containers under `strace`; every container has a network of its
//! own that ends at its loopback device. `docs/recordings.md` says more.

mod convert;
mod engine;
mod fields;
mod notes;
mod trace;
mod traces;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process::{program, root, say, step};
use engine::Engine;
use notes::Notes;
use traces::Traces;

const HELP: &str = "\
cargo xtask record COMMAND --work FOLDER

  build                       root file systems by debootstrap, and an image for each recipe
  run WAVE SECONDS SEED…      run every recipe once per seed, at the same time, for SECONDS after the
                              last has started; SEED:A,B runs only the recipes A and B with that
                              seed, `--only A,B` does so with all; `--held-out` keeps the first seed
                              out of what is learned, `--attacks` attacks it afterwards as well,
                              `--all-held-out` keeps every seed out. Ends early when a file `stop` is
                              put into the wave's folder, or when less than 8 GB are free
  convert WAVE…               write the waves' recordings, and what the manifest says of them, into the
                              repository or, packed less, `--to FOLDER`. A wave that still runs is
                              written as far as it was ten minutes ago at most
";

/// The wave ends when less is free for its traces.
const LEAST_FREE: u64 = 8_000_000_000;
/// How often a running wave looks whether it should end.
const PACE: Duration = Duration::from_secs(20);
/// How often a running wave writes down what can be converted.
const NOTES: Duration = Duration::from_mins(10);
/// Containers that are started at once.
const AT_ONCE: usize = 2;

/// Peers of the containers. All are addresses of the container's own loopback device: nothing
/// leaves it.
const PEERS: [&str; 10] = [
    "172.20.0.2",
    "172.20.0.3",
    "172.20.0.4",
    "172.20.0.10",
    "172.20.0.11",
    "172.20.0.12",
    "104.18.32.7",
    "8.8.8.8",
    "185.220.101.34",
    "45.9.148.108",
];

/// Stands in the containers' `resolv.conf`; nothing answers there.
const NAME_SERVER: &str = "10.0.0.53";

/// What is known of a container besides its trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ContainerFacts {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Name, ending with the number of the run.
    pub(crate) name: String,
    /// Repository of its image.
    pub(crate) image: String,
    /// Its address.
    pub(crate) address: String,
    /// Address of the clients that load it from outside.
    pub(crate) client: String,
    /// Names of its users by number.
    pub(crate) users: BTreeMap<u32, String>,
    /// The file that is executed for a path: behind links, and the interpreter of a script.
    pub(crate) programs: BTreeMap<String, String>,
}

/// What happened when; times are nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Wave {
    containers: Vec<ContainerFacts>,
    runs: Vec<Run>,
    attacks: Vec<Attack>,
}

/// The list of all recordings, `manifest.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    recordings: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    container: usize,
    program: String,
    seed: u64,
    held_out: bool,
    end: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Attack {
    container: usize,
    name: String,
    start: u64,
    end: u64,
}

/// What the runs of a wave are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Learned,
    FirstHeldOut,
    FirstAttacked,
    AllHeldOut,
}

/// A run to come.
#[derive(Debug, PartialEq, Eq)]
struct Planned {
    program: String,
    seed: u64,
    held_out: bool,
}

/// What comes of `seeds` as they stand in the command line.
fn plan(seeds: &[&str], programs: &[String], purpose: Purpose) -> Result<Vec<Planned>> {
    let mut plan = Vec::new();
    for (at, text) in seeds.iter().enumerate() {
        let (seed, some) = match text.split_once(':') {
            Some((seed, some)) => (seed, some.split(',').collect()),
            None => (*text, Vec::new()),
        };
        let seed = seed
            .parse()
            .with_context(|| format!("`{text}` does not begin with a number"))?;
        for name in &some {
            ensure!(
                programs.iter().any(|program| program == name),
                "no recipe `{name}`"
            );
        }
        let chosen = programs
            .iter()
            .filter(|program| some.is_empty() || some.contains(&program.as_str()));
        plan.extend(chosen.map(|program| Planned {
            program: program.clone(),
            seed,
            held_out: match purpose {
                Purpose::Learned => false,
                Purpose::FirstHeldOut | Purpose::FirstAttacked => at == 0,
                Purpose::AllHeldOut => true,
            },
        }));
    }
    Ok(plan)
}

/// Where recordings are put.
struct Shelf {
    folder: PathBuf,
    /// How hard `zstd` packs them.
    level: &'static str,
}

/// Runs `cargo xtask record`.
pub(crate) fn record(arguments: &[String]) -> Result<()> {
    let mut rest = Vec::new();
    let (mut work, mut only, mut to) = (None, None, None);
    let mut purpose = Purpose::Learned;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--work" => work = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            "--to" => to = arguments.next().map(PathBuf::from),
            "--attacks" => purpose = Purpose::FirstAttacked,
            "--all-held-out" => purpose = Purpose::AllHeldOut,
            "--held-out" if purpose == Purpose::Learned => purpose = Purpose::FirstHeldOut,
            "--held-out" => {}
            _ => rest.push(argument.as_str()),
        }
    }
    let studio = Studio {
        work: work.with_context(|| format!("where may it work?\n\n{HELP}"))?,
        recipes: recordings().join("recipes"),
    };
    match rest.as_slice() {
        ["build"] => studio.build(),
        ["run", wave, seconds, seeds @ ..] if !seeds.is_empty() => {
            let mut programs = studio.programs()?;
            if let Some(only) = only {
                let only: Vec<&str> = only.split(',').collect();
                programs.retain(|program| only.contains(&program.as_str()));
            }
            let seconds = Duration::from_secs(seconds.parse()?);
            let plan = plan(seeds, &programs, purpose)?;
            studio.run(wave, seconds, &plan, purpose == Purpose::FirstAttacked)
        }
        ["convert", waves @ ..] if !waves.is_empty() => {
            let shelf = match to {
                Some(folder) => Shelf {
                    folder,
                    level: "-6",
                },
                None => Shelf {
                    folder: recordings(),
                    level: "-19",
                },
            };
            studio.convert(waves, &shelf)
        }
        _ => bail!("{HELP}"),
    }
}

fn recordings() -> PathBuf {
    root().join("crates/qw-profile/recordings")
}

struct Studio {
    work: PathBuf,
    recipes: PathBuf,
}

impl Studio {
    fn programs(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&self.recipes)? {
            let entry = entry?;
            if entry.path().join("Dockerfile").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn build(&self) -> Result<()> {
        fs_err::create_dir_all(&self.work)?;
        let base = self.work.join("base");
        if !base.exists() {
            let include = "--include=ca-certificates,curl,netcat-openbsd,procps";
            let folder = base.to_string_lossy();
            let arguments = ["--variant=minbase", include, "bookworm", &folder];
            step(
                "root file system",
                &mut program("debootstrap", &arguments, &self.work),
            )?;
        }
        let client = self.work.join("client");
        if !client.exists() {
            step(
                "copy of it",
                &mut program("cp", &["-a", "base", "client"], &self.work),
            )?;
            fs_err::copy("/etc/resolv.conf", client.join("etc/resolv.conf"))?;
            let packages = "apt-get update && apt-get install -y --no-install-recommends socat rsync \
                openssh-client redis-tools mariadb-client postgresql-client postgresql-contrib";
            let arguments = ["client", "sh", "-c", packages];
            step("clients", &mut program("chroot", &arguments, &self.work))?;
        }
        let engine = Engine::start(&self.work, None)?;
        let import = "tar -C base -c --exclude './var/cache/apt/archives/*.deb' . \
            | docker import - recording/base";
        let mut import = program("sh", &["-c", import], &self.work);
        step("base image", import.env("DOCKER_HOST", engine.address()))?;
        for name in self.programs()? {
            let tag = format!("recording/{name}");
            let arguments = ["build", "--network", "host", "-q", "-t", &tag, &name];
            let mut build = program("docker", &arguments, &self.recipes);
            build
                .env("DOCKER_HOST", engine.address())
                .env("DOCKER_BUILDKIT", "0");
            step(&tag, &mut build)?;
        }
        Ok(())
    }

    /// Runs all that is planned, at the same time; `attacked`: then attacks those held out.
    fn run(&self, wave: &str, length: Duration, plan: &[Planned], attacked: bool) -> Result<()> {
        let folder = self.work.join("waves").join(wave);
        fs_err::create_dir_all(&folder)?;
        self.furnish_outside(plan)?;
        let engine = Engine::start(&self.work, Some(&folder.join("traces")))?;
        let engine = &engine;
        let mut stages = Vec::new();
        for planned in plan.chunks(AT_ONCE) {
            thread::scope(|scope| {
                let threads: Vec<_> = planned
                    .iter()
                    .map(|planned| scope.spawn(move || self.open(engine, planned)))
                    .collect();
                for (thread, planned) in threads.into_iter().zip(planned) {
                    let opened = thread.join();
                    match opened.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))) {
                        Ok(stage) => stages.push(stage),
                        Err(error) => say(&format!(
                            "   `{}-{}` did not start: {error:#}",
                            planned.program, planned.seed
                        )),
                    }
                }
            });
        }
        say(&format!(
            "── {} containers run for {} s",
            stages.len(),
            length.as_secs()
        ));
        let mut notes = Notes::new(&folder);
        notes.write(&stages, Vec::new())?;
        self.attend(&folder, length, &stages, &mut notes)?;
        for stage in &mut stages {
            stage.run.end = now();
        }
        let mut attacks = Vec::new();
        thread::scope(|scope| {
            let attackers: Vec<_> = stages
                .iter()
                .enumerate()
                .filter(|(_, stage)| stage.run.held_out && attacked)
                .map(|(at, stage)| scope.spawn(move || self.attack(engine, at, stage)))
                .collect();
            for attacker in attackers {
                match attacker.join() {
                    Ok(Ok(done)) => attacks.extend(done),
                    Ok(Err(error)) => say(&format!("   attack failed: {error:#}")),
                    Err(_) => say("   an attack panicked"),
                }
            }
        });
        notes.write(&stages, attacks)?;
        for stage in &stages {
            engine.docker(&["rm", "-f", &stage.facts.name])?;
        }
        let missing = plan.len() - stages.len();
        ensure!(missing == 0, "{missing} containers did not start");
        Ok(())
    }

    /// Waits for the end of the wave, and keeps notes from which it can be converted meanwhile.
    fn attend(
        &self,
        folder: &Path,
        length: Duration,
        stages: &[Stage],
        notes: &mut Notes,
    ) -> Result<()> {
        let start = Instant::now();
        let mut noted = start;
        while start.elapsed() < length {
            thread::park_timeout(PACE.min(length.saturating_sub(start.elapsed())));
            if folder.join("stop").exists() {
                say("   told to stop");
                break;
            }
            let free = free(&self.work)?;
            if free < LEAST_FREE {
                say(&format!("   ends early: only {free} bytes are free"));
                break;
            }
            if noted.elapsed() >= NOTES {
                notes.write(stages, Vec::new())?;
                noted = Instant::now();
            }
        }
        Ok(())
    }

    /// Puts what the outside world needs into the root file system it lives in.
    fn furnish_outside(&self, plan: &[Planned]) -> Result<()> {
        let outside = self.work.join("client/outside");
        fs_err::create_dir_all(&outside)?;
        for name in ["lib", "world", "answer"] {
            fs_err::copy(self.recipes.join("outside").join(name), outside.join(name))?;
        }
        let programs: BTreeSet<&str> = plan.iter().map(|run| run.program.as_str()).collect();
        for program in programs {
            let load = self.recipes.join(program).join("load");
            fs_err::copy(load, outside.join(format!("load-{program}")))?;
        }
        Ok(())
    }

    /// Starts a container and the world around it.
    fn open(&self, engine: &Engine, planned: &Planned) -> Result<Stage> {
        let Planned {
            program,
            seed,
            held_out,
        } = planned;
        let name = format!("{program}-{seed}");
        let image = format!("recording/{program}");
        let variable = format!("SEED={seed}");
        let id = engine.docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            "none",
            "--dns",
            NAME_SERVER,
            "--security-opt",
            "seccomp=unconfined",
            "-e",
            &variable,
            &image,
        ])?;
        let pid = engine.docker(&["inspect", "-f", "{{.State.Pid}}", &name])?;
        ensure!(
            pid != "0",
            "`{name}` ended: {}",
            engine.docker(&["logs", &name])?
        );
        let address = format!("172.20.0.{}", 30 + seed % 200);
        let client = format!("172.20.0.{}", 2 + seed % 3);
        let mut network = String::new();
        for address in PEERS.iter().chain([&address.as_str()]) {
            network += &format!("ip address add {address}/32 dev lo; ");
        }
        // Who connects to the container does so from another address than the container's own.
        network += &format!("ip route replace table local local {address} dev lo src {client}");
        let set_up = Command::new("nsenter")
            .args(["-t", &pid, "-n", "sh", "-c", &network])
            .status()?;
        ensure!(set_up.success(), "cannot set up the network of `{name}`");
        let key = PathBuf::from(format!("/proc/{pid}/root/home/alice/.ssh/id_rsa"));
        if key.exists() {
            let own = self.work.join("client/root/key");
            let key = fs_err::read(&key)?;
            // A client may be reading it: all containers of a recipe have the same.
            if fs_err::read(&own).ok().as_ref() != Some(&key) {
                fs_err::write(&own, key)?;
                fs_err::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            }
        }
        let facts = ContainerFacts {
            id,
            name,
            image,
            address,
            client,
            users: BTreeMap::new(),
            programs: BTreeMap::new(),
        };
        let run = Run {
            container: 0,
            program: program.clone(),
            seed: *seed,
            held_out: *held_out,
            end: u64::MAX,
        };
        let mut stage = Stage {
            facts,
            pid,
            run,
            outside: Vec::new(),
        };
        let world = stage.outside(&self.work, ". /outside/world").spawn()?;
        stage.outside.push(world);
        let script = format!(". /outside/lib; . /outside/load-{program}");
        let load = stage.outside(&self.work, &script).spawn()?;
        stage.outside.push(load);
        Ok(stage)
    }

    /// Attacks a container in every way its recipe knows, one after the other.
    fn attack(&self, engine: &Engine, container: usize, stage: &Stage) -> Result<Vec<Attack>> {
        let mut files: Vec<PathBuf> =
            fs_err::read_dir(self.recipes.join(&stage.run.program).join("attacks"))?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()?;
        files.sort();
        let mut attacks = Vec::new();
        for file in files {
            let script = fs_err::read_to_string(&file)?;
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            thread::park_timeout(Duration::from_secs(10));
            let start = now();
            if file
                .extension()
                .is_some_and(|extension| extension == "exec")
            {
                // Many attacks end with an error; what counts is what they did.
                drop(engine.docker(&["exec", &stage.facts.name, "bash", "-c", &script]));
            } else {
                let script = format!(". /outside/lib; {script}");
                stage.outside(&self.work, &script).status()?;
            }
            thread::park_timeout(Duration::from_secs(4));
            attacks.push(Attack {
                container,
                name: name
                    .split_once('-')
                    .map_or(name.clone(), |(_, name)| name.to_owned()),
                start,
                end: now(),
            });
        }
        Ok(attacks)
    }

    fn convert(&self, waves: &[&str], shelf: &Shelf) -> Result<()> {
        let mut entries = Vec::new();
        for name in waves {
            let folder = self.work.join("waves").join(name);
            let wave: Wave = serde_json::from_slice(&fs_err::read(folder.join("wave.json"))?)?;
            let mut converter = convert::Converter::new(&wave.containers);
            let mut traces = Traces::open(&folder.join("traces"))?;
            let engine = self.work.join("engine");
            let (data, state) = (engine.join("data"), engine.join("exec"));
            while let Some(line) = traces.next_line()? {
                if let Some(root) = line.root {
                    converter.root(root.runc, root.shim);
                }
                // The engine's folders as they are elsewhere: where this was recorded says nothing.
                let text = line
                    .text
                    .replace(&*data.to_string_lossy(), "/var/lib/docker")
                    .replace(&*state.to_string_lossy(), "/run/docker");
                converter.read(&text);
            }
            let (lines, lost) = converter.finish();
            say(&format!(
                "── {name}: {} events, {lost} calls of unknown origin",
                lines.len()
            ));
            for run in &wave.runs {
                let role = if run.held_out { "heldout" } else { "learn" };
                let file = format!("{role}/{}-{}.ndjson.zst", run.program, run.seed);
                let cut = Cut {
                    container: run.container,
                    start: 0,
                    end: run.end,
                };
                let mut entry = cut.write(shelf, &file, &lines)?;
                entry["program"] = json!(run.program);
                entry["run"] = json!(run.seed);
                entry["role"] = json!(role);
                entry["container"] = json!(wave.containers[run.container].name);
                entries.push(entry);
            }
            for attack in &wave.attacks {
                let run = &wave.runs[attack.container];
                let file = format!("attack/{}-{}.ndjson.zst", run.program, attack.name);
                // Some of the usual work stands before each attack.
                let cut = Cut {
                    container: attack.container,
                    start: attack.start - 5_000_000_000,
                    end: attack.end,
                };
                let mut entry = cut.write(shelf, &file, &lines)?;
                let times = || {
                    let own = lines
                        .iter()
                        .filter(|line| line.container == attack.container);
                    own.map(|line| line.time)
                        .filter(|time| (attack.start..=attack.end).contains(time))
                };
                entry["program"] = json!(run.program);
                entry["run"] = json!(run.seed);
                entry["role"] = json!("attack");
                entry["container"] = json!(wave.containers[attack.container].name);
                entry["attack"] = json!(attack.name);
                entry["attack_first"] = json!(times().min());
                entry["attack_last"] = json!(times().max());
                entries.push(entry);
            }
        }
        let path = shelf.folder.join("manifest.json");
        let before: Manifest = match fs_err::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_) => Manifest::default(),
        };
        let mut by_file: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for entry in before.recordings.into_iter().chain(entries) {
            by_file.insert(entry["file"].as_str().unwrap_or_default().to_owned(), entry);
        }
        let manifest = Manifest {
            version: 1,
            recordings: by_file.into_values().collect(),
        };
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        fs_err::write(path, [manifest, b"\n".to_vec()].concat())?;
        Ok(())
    }
}

/// A container with the world around it, which ends with this value.
struct Stage {
    facts: ContainerFacts,
    pid: String,
    run: Run,
    outside: Vec<Child>,
}

impl Stage {
    /// A bash script that runs outside of the container and its trace, but in its network.
    fn outside(&self, work: &Path, script: &str) -> Command {
        let client = work.join("client");
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &self.pid,
                "-n",
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "chroot",
            ])
            .arg(&client)
            .args(["bash", "-c", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("SELF", &self.facts.address)
            .env("SEED", self.run.seed.to_string())
            .env("END", (now() / 1_000_000_000 + 86_400).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.outside {
            // One that is gone already needs no ending.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Bytes that are free where `folder` is.
fn free(folder: &Path) -> Result<u64> {
    let output = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(folder)
        .output()
        .context("cannot start `df`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.lines().nth(1).unwrap_or_default().trim();
    number
        .parse()
        .with_context(|| format!("`df` says `{}`", text.trim()))
}

/// One container's events of a span of time.
struct Cut {
    container: usize,
    start: u64,
    end: u64,
}

impl Cut {
    /// Writes them compressed; returns what the manifest says about them.
    fn write(
        &self,
        shelf: &Shelf,
        file: &str,
        lines: &[convert::FalcoLine],
    ) -> Result<serde_json::Value> {
        let path = shelf.folder.join(file);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut zstd = Command::new("zstd")
            .args(["-q", "-f", shelf.level, "--long=24", "-o"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start `zstd`")?;
        let mut input = zstd.stdin.take().context("`zstd` takes no input")?;
        let own = lines.iter().filter(|line| {
            line.container == self.container && (self.start..=self.end).contains(&line.time)
        });
        let (mut events, mut first, mut last) = (0_u64, None, None);
        for line in own {
            input.write_all(line.text.as_bytes())?;
            input.write_all(b"\n")?;
            events += 1;
            first.get_or_insert(line.time);
            last = Some(line.time);
        }
        drop(input);
        ensure!(zstd.wait()?.success(), "`zstd` failed for `{file}`");
        let (first, last) = first
            .zip(last)
            .with_context(|| format!("no event for `{file}`"))?;
        Ok(json!({
            "file": file,
            "events": events,
            "first": first,
            "last": last,
            "seconds": (last - first) as f64 / 1e9,
        }))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_say_what_runs() {
        let programs = ["cron", "nginx", "redis"].map(str::to_owned);
        let check = |seeds: &[&str], purpose, expected: &[(&str, u64, bool)]| {
            let found = plan(seeds, &programs, purpose).unwrap();
            let found: Vec<(&str, u64, bool)> = found
                .iter()
                .map(|it| (it.program.as_str(), it.seed, it.held_out))
                .collect();
            assert_eq!(found, expected, "{seeds:?}");
        };
        check(
            &["4", "1:nginx"],
            Purpose::FirstHeldOut,
            &[
                ("cron", 4, true),
                ("nginx", 4, true),
                ("redis", 4, true),
                ("nginx", 1, false),
            ],
        );
        check(
            &["6:redis,cron"],
            Purpose::Learned,
            &[("cron", 6, false), ("redis", 6, false)],
        );
        check(
            &["6:cron", "7:cron"],
            Purpose::AllHeldOut,
            &[("cron", 6, true), ("cron", 7, true)],
        );
        for wrong in ["x", "6:nothing", ":cron", "6:"] {
            assert!(
                plan(&[wrong], &programs, Purpose::Learned).is_err(),
                "{wrong}"
            );
        }
    }
}
