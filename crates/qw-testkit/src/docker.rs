//! A private Docker engine: its own socket, data and containers, gone when it is dropped.
//!
//! Needs root and the package `docker.io`; images are made from `busybox-static`, since nothing can
//! be pulled. Containers have no network.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use qw_docker::{Docker, Endpoint, Limits, LogFormat, LogsQuery};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::{journal::Journal, skip_without};

/// The image that [`DockerEngine::build_busybox_image`] makes.
pub const BUSYBOX: &str = "busybox:test";

/// Id and secret of the key with which the engine's driver `awslogs` signs.
pub const AWS_ACCESS_KEY: (&str, &str) = ("AKIATESTKIT", "made-up-for-tests");

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// A running engine of our own.
pub struct DockerEngine {
    folder: TempDir,
    daemon: Option<Child>,
    docker: Docker,
    arguments: Vec<String>,
    /// Arguments of `unshare` that the engine is started with, if any.
    unshare: Vec<String>,
}

/// A container that runs a shell script.
#[derive(Debug, Clone, Default)]
pub struct Printer<'a> {
    /// Name of the container.
    pub name: &'a str,
    /// Script for busybox `sh`.
    pub script: &'a str,
    /// Labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// Gives it a terminal.
    pub tty: bool,
    /// Log driver; `json-file` when empty.
    pub log_driver: &'a str,
    /// Options of the log driver, such as `max-size`.
    pub log_options: &'a [(&'a str, &'a str)],
    /// Most memory, in bytes; 0 without limit.
    pub memory_bytes: i64,
    /// Processors it may use at once, in billionths; 0 without limit.
    pub nano_cpus: i64,
    /// Most threads; 0 without limit.
    pub threads: i64,
}

impl DockerEngine {
    /// Starts an engine with the image [`BUSYBOX`] in it; `None` when the machine has none, which is
    /// said loudly.
    ///
    /// # Panics
    /// In CI when the machine has no engine; everywhere when it has one that does not start.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// As [`Self::start`], with more arguments for `dockerd`, such as a further `--host`.
    pub async fn start_with(arguments: &[String]) -> Option<Self> {
        Self::start_in(arguments, &[]).await
    }

    /// As [`Self::start`], with `journal` in place of the host's, for the log driver `journald`.
    pub async fn start_with_journal(journal: &Journal) -> Option<Self> {
        Self::start_in(&[], &journal.shell()).await
    }

    async fn start_in(arguments: &[String], unshare: &[String]) -> Option<Self> {
        for part in ["dockerd", "busybox"] {
            if find_program(part).is_none() && skip_without(part) {
                return None;
            }
        }
        if !is_root() && skip_without("dockerd, which needs root,") {
            return None;
        }
        match Self::try_start(arguments, unshare).await {
            Ok(engine) => Some(engine),
            Err(error) => panic!("the Docker engine does not start: {error:#}"),
        }
    }

    async fn try_start(arguments: &[String], unshare: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("engine").tempdir()?;
        let socket = folder.path().join("docker.sock");
        let docker = Docker::new(Endpoint::Unix(socket), Limits::default())?;
        let mut engine = Self {
            folder,
            daemon: None,
            docker,
            arguments: arguments.to_vec(),
            unshare: unshare.to_vec(),
        };
        engine.launch().await?;
        engine.build_busybox_image().await?;
        Ok(engine)
    }

    /// A client of the engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Address of the engine, as `DOCKER_HOST` takes it.
    pub fn address(&self) -> String {
        self.docker.endpoint().to_string()
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Stops the engine, and with it its containers.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            end(&mut daemon);
        }
    }

    /// Kills the engine as a crash would; its containers are lost with it when it is started again.
    pub fn kill(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        // What survives being killed cannot be waited for either.
        drop(daemon.kill());
        drop(daemon.wait());
        // Its containerd ends a moment later; an engine started before that would wait for it in vain.
        let pid_file = self.folder.path().join("exec/containerd/containerd.pid");
        let pid = fs_err::read_to_string(pid_file).unwrap_or_default();
        let process = Path::new("/proc").join(pid.trim());
        let start = Instant::now();
        while !pid.is_empty() && process.exists() && start.elapsed() < STOP_WITHIN {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`]. Its containers are there, stopped.
    pub async fn launch(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the engine runs already");
        let path = |name: &str| self.folder.path().join(name);
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path("log"))?;
        let program = find_program("dockerd").context("there is no `dockerd`")?;
        let mut command = if self.unshare.is_empty() {
            Command::new(program)
        } else {
            let mut unshare = Command::new("unshare");
            unshare.args(&self.unshare).arg(program);
            unshare
        };
        let daemon = command
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver=vfs", "--shutdown-timeout=1"])
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(self.address())
            .args(&self.arguments)
            .env_remove("DOCKER_HOST")
            .env("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", AWS_ACCESS_KEY.1)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .context("cannot start `dockerd`")?;
        let daemon = self.daemon.insert(daemon);
        let start = Instant::now();
        while let Err(error) = self.docker.ping().await {
            if let Some(status) = daemon.try_wait()? {
                bail!(
                    "`dockerd` ended with {status}: {}",
                    last_lines(&path("log"))
                );
            }
            ensure!(
                start.elapsed() < START_WITHIN,
                "no answer within {START_WITHIN:?} ({error}): {}",
                last_lines(&path("log"))
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops the engine and starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        self.launch().await
    }

    /// Makes the image [`BUSYBOX`] from this machine's static busybox.
    pub async fn build_busybox_image(&self) -> Result<()> {
        let root = self.folder.path().join("image");
        let bin = root.join("bin");
        fs_err::create_dir_all(&bin)?;
        let busybox = find_program("busybox").context("there is no `busybox`")?;
        fs_err::copy(busybox, bin.join("busybox"))?;
        for name in [
            "sh", "seq", "sleep", "cat", "head", "tr", "true", "usleep", "tail",
        ] {
            let link = bin.join(name);
            if !link.exists() {
                fs_err::os::unix::fs::symlink("busybox", link)?;
            }
        }
        let tar = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .args(["-cf", "-", "."])
            .output()?;
        ensure!(
            tar.status.success(),
            "tar: {}",
            String::from_utf8_lossy(&tar.stderr)
        );
        let (repository, tag) = BUSYBOX.split_once(':').unwrap_or((BUSYBOX, "latest"));
        let path = format!("/images/create?fromSrc=-&repo={repository}&tag={tag}");
        let answer = self
            .docker
            .send(Method::POST, &path, Some(("application/x-tar", tar.stdout)))
            .await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            !answer.contains("\"error\""),
            "importing the image: {answer}"
        );
        Ok(())
    }

    /// Creates and starts a container `name` that runs `script`; returns its id.
    pub async fn run_printer(&self, name: &str, script: &str) -> Result<String> {
        self.run(&Printer {
            name,
            script,
            ..Printer::default()
        })
        .await
    }

    /// Creates and starts a container; returns its id.
    pub async fn run(&self, printer: &Printer<'_>) -> Result<String> {
        let id = self.create(printer).await?;
        self.start_container(&id).await?;
        Ok(id)
    }

    /// Creates a container without starting it; returns its id.
    pub async fn create(&self, printer: &Printer<'_>) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "Id")]
            id: String,
        }
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let log_driver = match printer.log_driver {
            "" => "json-file",
            driver => driver,
        };
        let body = json!({
            "Image": BUSYBOX,
            "Cmd": ["/bin/sh", "-c", printer.script],
            "Env": ["PATH=/bin"],
            "Tty": printer.tty,
            "StopTimeout": 1,
            "Labels": map(printer.labels),
            "HostConfig": {
                "NetworkMode": "none",
                "LogConfig": { "Type": log_driver, "Config": map(printer.log_options) },
                "Memory": printer.memory_bytes,
                "NanoCpus": printer.nano_cpus,
                "PidsLimit": printer.threads,
            },
        });
        let path = format!("/containers/create?name={}", printer.name);
        let body = ("application/json", serde_json::to_vec(&body)?);
        let answer = self.docker.send(Method::POST, &path, Some(body)).await?;
        Ok(serde_json::from_slice::<Created>(&answer)?.id)
    }

    /// Starts a container; without effect when it runs.
    pub async fn start_container(&self, id_or_name: &str) -> Result<()> {
        self.post(&format!("/containers/{id_or_name}/start")).await
    }

    /// Every line that the engine has on record of a container's standard output.
    pub async fn logged_lines(&self, id_or_name: &str) -> Result<Vec<String>> {
        self.logged(id_or_name, false).await
    }

    /// As [`Self::logged_lines`], of standard error, too.
    pub async fn all_logged_lines(&self, id_or_name: &str) -> Result<Vec<String>> {
        self.logged(id_or_name, true).await
    }

    async fn logged(&self, id_or_name: &str, stderr: bool) -> Result<Vec<String>> {
        let query = LogsQuery {
            stdout: true,
            stderr,
            follow: false,
            since: None,
            until: None,
            timestamps: false,
            tail: None,
        };
        let mut stream = self
            .docker
            .logs(id_or_name, &query, LogFormat::Framed)
            .await?;
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        while let Some(piece) = stream.next().await? {
            line.extend_from_slice(&piece.text);
            if piece.ends_line {
                lines.push(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        }
        if !line.is_empty() {
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(lines)
    }

    /// Stops a container at once.
    pub async fn stop_container(&self, id_or_name: &str) -> Result<()> {
        self.post(&format!("/containers/{id_or_name}/stop?t=0"))
            .await
    }

    /// Stops a container and starts it again.
    pub async fn restart_container(&self, id_or_name: &str) -> Result<()> {
        self.post(&format!("/containers/{id_or_name}/restart?t=0"))
            .await
    }

    /// Gives a container another name.
    pub async fn rename_container(&self, id_or_name: &str, name: &str) -> Result<()> {
        self.post(&format!("/containers/{id_or_name}/rename?name={name}"))
            .await
    }

    /// Removes a container, running or not.
    pub async fn remove_container(&self, id_or_name: &str) -> Result<()> {
        let path = format!("/containers/{id_or_name}?force=1");
        self.docker.send(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Waits until a container has stopped; returns its exit code.
    pub async fn wait_container(&self, id_or_name: &str) -> Result<i64> {
        #[derive(Deserialize)]
        struct Waited {
            #[serde(rename = "StatusCode")]
            code: i64,
        }
        let path = format!("/containers/{id_or_name}/wait");
        let answer = self.docker.send(Method::POST, &path, None).await?;
        Ok(serde_json::from_slice::<Waited>(&answer)?.code)
    }

    async fn post(&self, path: &str) -> Result<()> {
        self.docker.send(Method::POST, path, None).await?;
        Ok(())
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        self.stop();
        unmount_below(self.folder.path());
    }
}

/// Asks the daemon to end, so that it stops its containers and lets go of its mounts; kills it when
/// it does not.
fn end(daemon: &mut Child) {
    let asked = Command::new("kill")
        .arg("-TERM")
        .arg(daemon.id().to_string())
        .status();
    let start = Instant::now();
    while asked.is_ok() && start.elapsed() < STOP_WITHIN {
        match daemon.try_wait() {
            Ok(None) => std::thread::park_timeout(Duration::from_millis(20)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    // Nothing more can be done about a daemon that survives this.
    drop(daemon.kill());
    drop(daemon.wait());
}

/// Undoes what an engine that was killed has left mounted, so that its folder can be removed.
fn unmount_below(folder: &Path) {
    let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<_> = points
        .filter(|point| Path::new(point).starts_with(folder))
        .collect();
    below.reverse();
    for point in below {
        // What stays mounted stays behind in the folder for temporary files, and does no harm.
        drop(Command::new("umount").arg(point).status());
    }
}

pub(crate) fn is_root() -> bool {
    fs_err::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn last_lines(log: &Path) -> String {
    let text = fs_err::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
