//! Records what real programs do in real containers, as Falco would tell it.
//!
//! An engine of our own runs under `strace`; every container has a network of its own that ends at
//! its loopback device. `docs/recordings.md` says more.

mod convert;
mod fields;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process::{program, root, say, step};

const HELP: &str = "\
cargo xtask record COMMAND --work FOLDER

  build                       root file systems by debootstrap, and an image for each recipe
  run WAVE SECONDS SEED…      run every recipe once per seed, at the same time; `--held-out` keeps the
                              first seed out of what is learned, `--attacks` attacks it afterwards
                              as well; `--only A,B` for some recipes
  convert WAVE…               write the waves' recordings, and what the manifest says of them
";

/// System calls that the rules of `deploy/falco` speak of, and those that tell who is who.
const CALLS: &str = "execve,execveat,clone,clone3,fork,vfork,prctl,chdir,fchdir,socket,connect,\
accept,accept4,bind,listen,sendto,sendmsg,open,openat,openat2,creat,unlink,unlinkat,rmdir,rename,\
renameat,renameat2,mkdir,mkdirat,chmod,fchmod,fchmodat,symlink,symlinkat,link,linkat,mount,umount2,\
ptrace,setuid,setreuid,setresuid,setns,unshare,memfd_create,init_module,finit_module,bpf";

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

/// What the runs with the first seed are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Learned,
    HeldOut,
    Attacked,
}

/// Runs `cargo xtask record`.
pub(crate) fn record(arguments: &[String]) -> Result<()> {
    let mut rest = Vec::new();
    let (mut work, mut only, mut first) = (None, None, First::Learned);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--work" => work = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            "--attacks" => first = First::Attacked,
            "--held-out" if first == First::Learned => first = First::HeldOut,
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
            let seeds: Result<Vec<u64>, _> = seeds.iter().map(|seed| seed.parse()).collect();
            let mut programs = studio.programs()?;
            if let Some(only) = only {
                let only: Vec<&str> = only.split(',').collect();
                programs.retain(|program| only.contains(&program.as_str()));
            }
            let seconds = Duration::from_secs(seconds.parse()?);
            studio.run(wave, seconds, &seeds?, &programs, first)
        }
        ["convert", waves @ ..] if !waves.is_empty() => studio.convert(waves),
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

    fn run(
        &self,
        wave: &str,
        length: Duration,
        seeds: &[u64],
        programs: &[String],
        first: First,
    ) -> Result<()> {
        let folder = self.work.join("waves").join(wave);
        fs_err::create_dir_all(&folder)?;
        self.furnish_outside(programs)?;
        let engine = Engine::start(&self.work, Some(&folder.join("trace")))?;
        let mut stages = Vec::new();
        for seed in seeds {
            for program in programs {
                let held_out = first != First::Learned && Some(seed) == seeds.first();
                stages.push(self.open(&engine, program, *seed, held_out)?);
            }
        }
        say(&format!(
            "── {} containers run for {} s",
            stages.len(),
            length.as_secs()
        ));
        thread::park_timeout(length);
        for stage in &mut stages {
            stage.run.end = now();
        }
        let mut attacks = Vec::new();
        let engine = &engine;
        thread::scope(|scope| {
            let attackers: Vec<_> = stages
                .iter()
                .enumerate()
                .filter(|(_, stage)| stage.run.held_out && first == First::Attacked)
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
        let mut wave = Wave {
            containers: Vec::new(),
            runs: Vec::new(),
            attacks,
        };
        let paths = executed(&folder.join("trace"))?;
        for (container, stage) in stages.iter().enumerate() {
            let mut facts = stage.facts.clone();
            facts.look(Path::new(&format!("/proc/{}/root", stage.pid)), &paths);
            wave.containers.push(facts);
            wave.runs.push(Run {
                container,
                ..stage.run.clone()
            });
        }
        fs_err::write(folder.join("wave.json"), serde_json::to_vec_pretty(&wave)?)?;
        for stage in &stages {
            engine.docker(&["rm", "-f", &stage.facts.name])?;
        }
        Ok(())
    }

    /// Puts what the outside world needs into the root file system it lives in.
    fn furnish_outside(&self, programs: &[String]) -> Result<()> {
        let outside = self.work.join("client/outside");
        fs_err::create_dir_all(&outside)?;
        for name in ["lib", "world", "answer"] {
            fs_err::copy(self.recipes.join("outside").join(name), outside.join(name))?;
        }
        for program in programs {
            let load = self.recipes.join(program).join("load");
            fs_err::copy(load, outside.join(format!("load-{program}")))?;
        }
        Ok(())
    }

    /// Starts a container and the world around it.
    fn open(&self, engine: &Engine, program: &str, seed: u64, held_out: bool) -> Result<Stage> {
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
            fs_err::write(&own, fs_err::read(&key)?)?;
            fs_err::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
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
            program: program.to_owned(),
            seed,
            held_out,
            end: now(),
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

    fn convert(&self, waves: &[&str]) -> Result<()> {
        let recordings = recordings();
        let mut entries = Vec::new();
        for name in waves {
            let folder = self.work.join("waves").join(name);
            let wave: Wave = serde_json::from_slice(&fs_err::read(folder.join("wave.json"))?)?;
            let mut converter = convert::Converter::new(&wave.containers);
            let mut file = BufReader::new(fs_err::File::open(folder.join("trace"))?);
            let mut line = Vec::new();
            let engine = self.work.join("engine");
            let (data, state) = (engine.join("data"), engine.join("exec"));
            while file.read_until(b'\n', &mut line)? > 0 {
                // The engine's folders as they are elsewhere: where this was recorded says nothing.
                let text = String::from_utf8_lossy(&line)
                    .replace(&*data.to_string_lossy(), "/var/lib/docker")
                    .replace(&*state.to_string_lossy(), "/run/docker");
                converter.read(&text);
                line.clear();
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
                let mut entry = cut.write(&recordings, &file, &lines)?;
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
                let mut entry = cut.write(&recordings, &file, &lines)?;
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
        let path = recordings.join("manifest.json");
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

impl ContainerFacts {
    /// Reads users, and which file each of `paths` stands for, from the container's root.
    fn look(&mut self, root: &Path, paths: &BTreeSet<String>) {
        let users = fs_err::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        for line in users.lines() {
            let mut parts = line.split(':');
            if let (Some(name), Some(number)) = (
                parts.next(),
                parts.nth(1).and_then(|number| number.parse().ok()),
            ) {
                self.users.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        for path in paths {
            if let Some(program) = resolve(root, path, 0) {
                self.programs.insert(path.clone(), program);
            }
        }
    }
}

/// Follows links within `root` and the first line of a script; `None` when there is no such file.
fn resolve(root: &Path, path: &str, depth: u32) -> Option<String> {
    if depth > 20 {
        return None;
    }
    let mut sofar = String::new();
    let mut rest = path.split('/').filter(|part| !part.is_empty());
    while let Some(part) = rest.next() {
        let next = format!("{sofar}/{part}");
        if let Ok(target) = fs_err::read_link(root.join(next.trim_start_matches('/'))) {
            let target = fields::join(
                &format!("/{}", sofar.trim_start_matches('/')),
                &target.to_string_lossy(),
            );
            let remaining: Vec<&str> = rest.collect();
            return resolve(
                root,
                &format!("{target}/{}", remaining.join("/")),
                depth + 1,
            );
        }
        sofar = next;
    }
    let bytes = fs_err::read(root.join(sofar.trim_start_matches('/'))).ok()?;
    if let Some(script) = bytes.strip_prefix(b"#!") {
        let line = script
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next()?;
        return resolve(root, interpreter, depth + 1);
    }
    Some(sofar)
}

/// Every path in the trace that was executed.
fn executed(trace: &Path) -> Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    let mut file = BufReader::new(fs_err::File::open(trace)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some((_, rest)) = text.split_once(" execve(\"")
            && let Some(path) = rest.split('"').next()
            && path.starts_with('/')
        {
            paths.insert(fields::join("/", path));
        }
        line.clear();
    }
    Ok(paths)
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
        folder: &Path,
        file: &str,
        lines: &[convert::FalcoLine],
    ) -> Result<serde_json::Value> {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut zstd = Command::new("zstd")
            .args(["-q", "-f", "-19", "--long=24", "-o"])
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

/// An engine of our own, traced or not; it ends with this value.
struct Engine {
    child: Child,
    socket: PathBuf,
}

impl Engine {
    fn start(work: &Path, trace: Option<&Path>) -> Result<Self> {
        let folder = work.join("engine");
        fs_err::create_dir_all(&folder)?;
        let socket = folder.join("sock");
        let mut command = match trace {
            None => Command::new("dockerd"),
            Some(trace) => {
                let mut command = Command::new("strace");
                command
                    .args([
                        "-f",
                        "--seccomp-bpf",
                        "--decode-pids=pidns",
                        "-y",
                        "-s",
                        "300",
                    ])
                    .args([
                        "--absolute-timestamps=format:unix,precision:ns",
                        "--syscall-times=ns",
                    ])
                    .args(["-e", "signal=none", "-e", &format!("trace={CALLS}"), "-o"])
                    .arg(trace)
                    .arg("dockerd");
                command
            }
        };
        let log = fs_err::File::create(folder.join("log"))?;
        let child = command
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver=overlay2", "--shutdown-timeout=1"])
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .process_group(0)
            .spawn()
            .context("cannot start the engine")?;
        let engine = Self { child, socket };
        let start = Instant::now();
        while engine.docker(&["version"]).is_err() {
            ensure!(
                start.elapsed() < Duration::from_secs(90),
                "the engine does not answer"
            );
            thread::park_timeout(Duration::from_millis(200));
        }
        Ok(engine)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the client of the engine; returns what it printed.
    fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", self.address())
            .stdin(Stdio::null())
            .output()
            .context("cannot start `docker`")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`docker {}`: {error}",
            arguments.join(" ")
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = self.socket.with_file_name("pid");
        let pid = fs_err::read_to_string(pid).unwrap_or_default();
        // The tracer ends with the daemon that it traces.
        drop(Command::new("kill").arg("-TERM").arg(pid.trim()).status());
        drop(self.child.wait());
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
