//! The API under ingest, and the way from an event in to a stream message out.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use qw_sources::demo;
use serde_json::Value;

use super::{Row, Show, machine};
use crate::{arguments::Server, cli::client::Client, config::Config};

/// How long the load lasts.
const LASTS: Duration = Duration::from_secs(30);
/// Events sent a second.
const RATE: usize = 20_000;
/// Events in one request of the sender.
const BATCH: usize = 500;
/// Questions asked a second.
const QUESTIONS: u32 = 50;

/// Starts this binary as a server, loads it, and asks it meanwhile.
pub(super) fn run(folder: &Path, show: Show<'_>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&folder.join("api"), show))
}

async fn measure(folder: &Path, show: Show<'_>) -> Result<()> {
    let server = Started::new(folder, &[]).await?;
    let client = server.client("console")?;
    let falco = server.client("falco")?;

    let stream = tokio::spawn({
        let client = server.client("console")?;
        async move { stream_latencies(&client).await }
    });
    let sender = tokio::spawn(async move { send(&falco).await });
    let questions = [
        "/api/overview",
        "/api/containers",
        "/api/events?limit=100",
        "/api/events/histogram",
        "/api/events?limit=100&query=priority%3E%3DWarning",
        "/api/sources",
    ];
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / QUESTIONS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut asked = Vec::new();
    let mut number = 0;
    while begin.elapsed() < LASTS {
        tick.tick().await;
        let client = client.clone();
        let question = questions[number % questions.len()];
        number += 1;
        asked.push(tokio::spawn(async move {
            let start = Instant::now();
            client.send("GET", question, None).await?;
            anyhow::Ok(start.elapsed().as_secs_f64() * 1e3)
        }));
    }
    let mut times = Vec::with_capacity(asked.len());
    for question in asked {
        times.push(question.await??);
    }
    let sent = sender.await??;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = machine::cpu_seconds(&server.pid())?;
    let mut latencies = stream.await??;

    show(Row::new(
        "events stored a second meanwhile",
        sent as f64 / seconds,
        "events/s",
    ))?;
    show(Row::new(
        "API at 50 requests/s, p50",
        machine::quantile(&mut times, 0.5),
        "ms",
    ))?;
    show(
        Row::new(
            "API at 50 requests/s under ingest, p95",
            machine::quantile(&mut times, 0.95),
            "ms",
        )
        .must(50.0)
        .peer("original's goal, cached", 200.0, true),
    )?;
    ensure!(!latencies.is_empty(), "the stream showed no event");
    show(
        Row::new(
            "event in → stream out, p99",
            machine::quantile(&mut latencies, 0.99),
            "s",
        )
        .must(0.8)
        .peer("original's goal", 1.0, true),
    )?;
    show(Row::new(
        "server, all of it",
        cpu / (sent as f64 / 1e6),
        "CPU s per million",
    ))?;
    show(
        Row::new(
            "server's memory",
            machine::resident_megabytes(&server.pid())?,
            "MB",
        )
        .must(150.0),
    )
}

/// Sends numbered lines at [`RATE`]; returns how many were acknowledged.
async fn send(falco: &Client) -> Result<usize> {
    let lines: Vec<String> = demo::benchmark_lines(1, 20_000).collect();
    let begin = Instant::now();
    let mut sent = 0;
    let mut tick = tokio::time::interval(Duration::from_secs(1) * BATCH as u32 / RATE as u32);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    while begin.elapsed() < LASTS {
        tick.tick().await;
        let now = nanos();
        let mut body = Vec::with_capacity(BATCH * 1_200);
        for offset in 0..BATCH {
            let line = lines
                .get((sent + offset) % lines.len())
                .map_or("", String::as_str);
            body.extend_from_slice(now_instead(line, now).as_bytes());
            body.push(b'\n');
        }
        let (status, answer) = falco.exchange("POST", "/", &[], body).await?;
        ensure!(
            status.is_success(),
            "the server answered {status}: {answer}"
        );
        sent += BATCH;
    }
    Ok(sent)
}

/// The line with the moment of sending in place of its time, which tells the latency at the end.
fn now_instead(line: &str, now: i64) -> String {
    let time = qw_event::Timestamp::from_nanos(now);
    match line
        .rfind("\"time\":\"")
        .and_then(|at| Some((at + 8, line.get(at + 8..)?.find('"')?)))
    {
        Some((at, length)) => {
            let mut line = line.to_owned();
            line.replace_range(at..at + length, &time.to_string());
            line
        }
        None => line.to_owned(),
    }
}

/// Seconds from an event's time to its message, while there are messages.
async fn stream_latencies(client: &Client) -> Result<Vec<f64>> {
    let mut stream = client.stream("event", "", "").await?;
    let mut latencies = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < LASTS {
        let next = tokio::time::timeout(Duration::from_secs(5), stream.next());
        let Ok(message) = next.await else { continue };
        let Some(message) = message? else { break };
        let now = nanos();
        for event in message["payload"]["events"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let Some(time) = event["time"].as_str().and_then(|time| time.parse().ok()) {
                let time: qw_event::Timestamp = time;
                latencies.push((now - time.as_nanos()) as f64 / 1e9);
            }
        }
    }
    Ok(latencies)
}

/// Nanoseconds since 1970.
pub(super) fn nanos() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A server of our own; killed at the end.
pub(super) struct Started {
    child: Child,
    run: Value,
    token: String,
}

impl Started {
    /// Starts one with its data in `folder` and more `environment`.
    pub(super) async fn new(folder: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .envs(environment.iter().copied())
            .env("QUAYWATCH_DATA_DIR", folder)
            .env("QUAYWATCH_INVENTORY_DOCKER", "false")
            .env("QUAYWATCH_PASSWORD", "a password of the benchmark")
            .env("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_METRICS_ADDRESS", "127.0.0.1:0")
            .env("QUAYWATCH_LISTEN_FALCO_ADDRESS", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the server")?;
        let mut started = Self {
            child,
            run: Value::Null,
            token: String::new(),
        };
        let begin = Instant::now();
        loop {
            ensure!(
                begin.elapsed() < Duration::from_secs(30),
                "the server is not ready after 30 s"
            );
            ensure!(
                started.child.try_wait()?.is_none(),
                "the server ended before it was ready"
            );
            if let Ok(run) = fs_err::read(folder.join("run.json"))
                && let Ok(run) = serde_json::from_slice::<Value>(&run)
                && run["pid"] == started.child.id()
            {
                started.run = run;
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let token = fs_err::read_to_string(folder.join("cli.token"))?;
        token.trim().clone_into(&mut started.token);
        Ok(started)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// A client of one of its listeners: `console`, `falco` or `metrics`.
    pub(super) fn client(&self, listener: &str) -> Result<Client> {
        let address = self.run["listen"][listener]
            .as_str()
            .context("no such listener")?;
        let server = Server {
            address: Some(format!("http://{address}")),
            token: Some(self.token.clone()),
        };
        Client::new(&Config::default(), &server)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
