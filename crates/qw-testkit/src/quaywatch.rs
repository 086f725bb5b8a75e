//! The real binary, started in a folder of its own on free ports.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    http::{self, EventStream, Response},
    wait_for,
};

/// Password of the user `admin` in scenario tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// Far longer than it takes, also on a machine that does many other things.
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How to start the binary.
#[derive(Debug)]
pub struct Builder {
    binary: PathBuf,
    folder: Option<PathBuf>,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    configuration: String,
    pipes_input: bool,
}

/// A running `quaywatch serve`; killed when dropped.
#[derive(Debug)]
pub struct Quaywatch {
    child: Child,
    data_dir: PathBuf,
    _folder: Option<TempDir>,
    /// Console, API and `/falco`.
    pub console: SocketAddr,
    /// Metrics.
    pub metrics: SocketAddr,
    /// Falco receiver.
    pub falco: SocketAddr,
    /// Token with every scope, as the command line of the same host uses it.
    pub token: String,
}

impl Builder {
    /// Starts `binary`, without the Docker engine of this host unless configured.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            folder: None,
            arguments: vec![String::from("serve")],
            environment: BTreeMap::new(),
            configuration: String::from("inventory: {docker: false}\n"),
            pipes_input: false,
        }
    }

    /// Its standard input is what [`Quaywatch::input`] writes to; without this it is empty.
    #[must_use]
    pub fn pipe_input(mut self) -> Self {
        self.pipes_input = true;
        self
    }

    /// Data lies in `folder` and stays there afterwards.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Command and arguments in place of `serve`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&argument| argument.into()).collect();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Configuration as YAML, in place of one that leaves the Docker engine alone.
    #[must_use]
    pub fn configuration(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.configuration);
        self
    }

    /// Starts the binary and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready within two minutes.
    #[track_caller]
    pub fn start(self) -> Quaywatch {
        let folder = self
            .folder
            .is_none()
            .then(|| TempDir::new().expect("a temporary folder"));
        let data_dir = match (&self.folder, &folder) {
            (Some(folder), _) => folder.clone(),
            (None, Some(folder)) => folder.path().join("data"),
            (None, None) => unreachable!("one of them is there"),
        };
        std::fs::create_dir_all(&data_dir).expect("the data folder can be made");
        let configuration = data_dir.with_extension("yaml");
        let mut file = std::fs::File::create(&configuration).expect("a configuration file");
        file.write_all(self.configuration.as_bytes())
            .expect("the configuration can be written");
        let run_file = data_dir.join("run.json");
        drop(std::fs::remove_file(&run_file));

        let mut command = Command::new(&self.binary);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("QUAYWATCH_CONFIG", &configuration)
            .env("QUAYWATCH_DATA_DIR", &data_dir)
            .env("QUAYWATCH_PASSWORD", PASSWORD)
            .env("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_METRICS_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_FALCO_ADDRESS", "127.0.0.1:0")
            .envs(&self.environment)
            .stdin(if self.pipes_input {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start `{}`: {error}", self.binary.display());
        });
        let id = child.id();
        let run: Value = wait_for("quaywatch ready", START_WITHIN, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("quaywatch ended with {status} before it was ready");
            }
            let run: Value = serde_json::from_slice(&std::fs::read(&run_file).ok()?).ok()?;
            (run["pid"] == json!(id)).then_some(run)
        });
        let address = |name: &str| {
            run["listen"][name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .expect("an address")
        };
        let token = std::fs::read_to_string(data_dir.join("cli.token"))
            .map(|token| token.trim().to_owned())
            .expect("the command line's token");
        Quaywatch {
            console: address("console"),
            metrics: address("metrics"),
            falco: address("falco"),
            child,
            data_dir,
            _folder: folder,
            token,
        }
    }
}

impl Quaywatch {
    /// Folder of the store.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The other end of its standard input; `None` when taken before or not asked for.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `GET` on the API with the token; JSON of a 200.
    ///
    /// # Panics
    /// On any other answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let response = self.request("GET", path, &[], b"");
        assert_eq!(response.status, 200, "GET {path}: {}", response.text());
        response.json()
    }

    /// A request to the API with the token.
    ///
    /// # Panics
    /// When nobody answers.
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        http::request(self.console, method, path, &all, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error:#}"))
    }

    /// Posts events to the Falco receiver and returns its answer, or why there is none.
    pub fn post_events(&self, body: &str) -> anyhow::Result<Response> {
        http::request(
            self.falco,
            "POST",
            "/",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    }

    /// The text at `path` of the metrics listener.
    ///
    /// # Panics
    /// When it does not answer 200.
    #[track_caller]
    pub fn metrics(&self, path: &str) -> String {
        let response = http::request(self.metrics, "GET", path, &[], b"").expect("metrics answer");
        assert_eq!(response.status, 200, "{}", response.text());
        response.text()
    }

    /// Sum of the samples of `family` at `/metrics` that carry the label `label`, such as
    /// `source="stdin"`; of all when it is empty.
    ///
    /// # Panics
    /// When the metrics are not answered.
    #[track_caller]
    pub fn metric(&self, family: &str, label: &str) -> u64 {
        sum_of(&self.metrics("/metrics"), family, label)
    }

    /// How often each number occurs in the field `number` of the stored events that `query`
    /// selects, whenever they were.
    ///
    /// # Panics
    /// When the API does not answer.
    #[track_caller]
    pub fn numbers(&self, query: &str) -> BTreeMap<u64, usize> {
        let mut seen = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!(
                "/api/events?query={query}&limit=1000&start=1970-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&cursor={cursor}"
            ));
            for event in page["items"].as_array().into_iter().flatten() {
                if let Some(number) = event["output_fields"]["number"].as_u64() {
                    *seen.entry(number).or_default() += 1;
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return seen,
            }
        }
    }

    /// Opens a stream with the token.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[track_caller]
    pub fn stream(&self, path: &str, silence: Duration) -> EventStream {
        let bearer = format!("Bearer {}", self.token);
        EventStream::open(self.console, path, &[("authorization", &bearer)], silence)
            .unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }

    /// Kills the process at once, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks the process to end (SIGTERM) and waits; returns its exit status.
    ///
    /// # Panics
    /// When it does not end within a minute.
    #[track_caller]
    pub fn stop(mut self) -> std::process::ExitStatus {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cannot send SIGTERM"
        );
        wait_for("quaywatch to stop", STOP_WITHIN, || {
            self.child.try_wait().ok()?
        })
    }
}

impl Drop for Quaywatch {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sum of the samples of `family` in the text of `/metrics` that carry the label `label`.
pub fn sum_of(metrics: &str, family: &str, label: &str) -> u64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(family)?;
        let is_it = rest.starts_with(['{', ' ']) && rest.contains(label);
        is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    samples.sum::<f64>() as u64
}
