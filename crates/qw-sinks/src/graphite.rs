//! Numbers to Graphite: carbon's plaintext protocol over TCP, `PATH VALUE SECONDS` and a line's end.
//!
//! The protocol knows no answers. What waits is bounded: when carbon is away for long, the oldest
//! points give way and are counted. Lines that were written into a connection that then broke are
//! written again; Graphite keeps one value per path and time, so that repetition does no harm.
//!
//! Source: Graphite's manual, "Feeding In Your Data", "The plaintext protocol".

use std::{collections::VecDeque, fmt::Write as _, io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

/// Bytes written at once, about.
const BATCH_BYTES: usize = 64 << 10;
/// Longest part of a path, in bytes.
const MAX_PART: usize = 128;
/// Most destinations.
pub const MAX_DESTINATIONS: usize = 10;
/// Longest time to write what waits when the process ends.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(60),
};

/// One carbon server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host and port, such as `carbon.example:2003`.
    pub address: String,
    /// Path of each number, with `{metric}` and any of `{host}`, `{name}`, `{id}`, `{image}`,
    /// `{compose_project}`, `{compose_service}`, `{k8s_namespace}`, `{k8s_pod}`. One that is not
    /// known is `_`.
    #[serde(default = "usual_path")]
    pub path: String,
    /// Points that wait at most while carbon is away.
    #[serde(default = "usual_max_points")]
    pub max_points: usize,
    /// Longest wait for a connection, and for carbon to take what is written, in seconds; 1 to 120.
    #[serde(default = "usual_timeout")]
    pub timeout_seconds: u32,
}

fn usual_path() -> String {
    String::from("quaywatch.{host}.containers.{name}.{metric}")
}

fn usual_max_points() -> usize {
    100_000
}

fn usual_timeout() -> u32 {
    10
}

/// Why a [`Config`] cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {what}")]
pub struct InvalidConfig {
    /// Which key.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: String,
}

/// A place in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Name of the engine's host.
    Host,
    /// Name of the container.
    Name,
    /// First twelve characters of its id.
    Id,
    /// Image it was started with.
    Image,
    /// Compose project.
    ComposeProject,
    /// Compose service.
    ComposeService,
    /// Kubernetes namespace.
    K8sNamespace,
    /// Kubernetes pod.
    K8sPod,
    /// What is told.
    Metric,
}

impl Place {
    const ALL: [(&'static str, Self); 9] = [
        ("host", Self::Host),
        ("name", Self::Name),
        ("id", Self::Id),
        ("image", Self::Image),
        ("compose_project", Self::ComposeProject),
        ("compose_service", Self::ComposeService),
        ("k8s_namespace", Self::K8sNamespace),
        ("k8s_pod", Self::K8sPod),
        ("metric", Self::Metric),
    ];
}

/// A path with places, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

impl PathTemplate {
    /// Reads `text`; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| String::from("a `{` has no `}`"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let place = Place::ALL.iter().find(|(known, _)| *known == name);
            let (_, place) = place.ok_or_else(|| {
                let known: Vec<_> = Place::ALL.iter().map(|(known, _)| *known).collect();
                format!("`{{{name}}}` is not known; known are {}", known.join(", "))
            })?;
            pieces.push(Piece::Place(*place));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let texts = pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Place(_) => None,
        });
        for text in texts {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if let Some(wrong) = text.chars().find(|c| !is_plain(*c)) {
                return Err(format!(
                    "`{wrong}` may not stand in a path: letters, digits, `.`, `-`, `_` and places in braces"
                ));
            }
        }
        let has = |place| pieces.contains(&Piece::Place(place));
        if !has(Place::Metric) {
            return Err(String::from(
                "it has no `{metric}`: all numbers would be one",
            ));
        }
        if !has(Place::Name) && !has(Place::Id) && !has(Place::K8sPod) {
            return Err(String::from(
                "it has neither `{name}` nor `{id}` nor `{k8s_pod}`: all containers would be one",
            ));
        }
        Ok(Self { pieces })
    }

    /// Adds the path to `line`, with the value of each place that `value_of` gives. Whatever is not a
    /// letter, a digit, `-` or `_` becomes `_`: a name cannot add a level or a line.
    fn write<'a>(&self, line: &mut String, value_of: impl Fn(Place) -> &'a str) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Place(place) => {
                    let value = value_of(*place);
                    let value = match place {
                        Place::Id => value.get(..12).unwrap_or(value),
                        _ => value,
                    };
                    let length = line.len();
                    for character in value.chars().take(MAX_PART) {
                        // A metric may have levels of its own.
                        let is_kept = character.is_ascii_alphanumeric()
                            || matches!(character, '-' | '_')
                            || (character == '.' && *place == Place::Metric);
                        line.push(if is_kept { character } else { '_' });
                    }
                    if line.len() == length {
                        line.push('_');
                    }
                }
            }
        }
    }
}

/// How a destination fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Host and port.
    pub address: String,
    /// True while there is a connection.
    pub connected: bool,
    /// Points written.
    pub sent: u64,
    /// Points that gave way to newer ones, never written.
    pub dropped: u64,
    /// Points that wait.
    pub waiting: u64,
    /// The newest error.
    pub last_error: Option<String>,
}

/// A sink of numbers. Clones share it.
#[derive(Debug, Clone)]
pub struct Graphite {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    template: PathTemplate,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Box<str>>,
    /// Lines let go of at the front since the process started.
    taken: u64,
    status: Status,
}

impl Graphite {
    /// A sink for one server; it does not connect yet.
    ///
    /// # Errors
    /// Which key of `config` cannot be used.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        let invalid = |key, what: String| InvalidConfig { key, what };
        let host = config.address.rsplit_once(':');
        if !host.is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        }) {
            let what = String::from("is a host and a port, as in `carbon.example:2003`");
            return Err(invalid("address", what));
        }
        if !(1..=120).contains(&config.timeout_seconds) {
            return Err(invalid("timeout_seconds", String::from("is from 1 to 120")));
        }
        if !(1..=10_000_000).contains(&config.max_points) {
            let what = String::from("is from 1 to 10000000");
            return Err(invalid("max_points", what));
        }
        let template = PathTemplate::parse(&config.path).map_err(|what| invalid("path", what))?;
        let status = Status {
            address: config.address.clone(),
            ..Status::default()
        };
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                template,
                queue: Mutex::new(Queue {
                    status,
                    ..Queue::default()
                }),
                arrived: Notify::new(),
            }),
        })
    }

    /// Queues `value` as it was at `seconds` since 1970, under the path that `value_of` fills. Never
    /// waits: when too many wait, the oldest gives way. What is no finite number is left out.
    pub fn push<'a>(&self, value: f64, seconds: i64, value_of: impl Fn(Place) -> &'a str) {
        if !value.is_finite() {
            return;
        }
        let mut line = String::with_capacity(96);
        self.shared.template.write(&mut line, value_of);
        writeln!(line, " {value} {seconds}").expect("writing into a string does not fail");
        let mut queue = self.shared.queue.lock();
        if queue.lines.len() >= self.shared.config.max_points {
            queue.lines.pop_front();
            queue.taken += 1;
            queue.status.dropped += 1;
        }
        queue.lines.push_back(line.into());
        drop(queue);
        self.shared.arrived.notify_one();
    }

    /// How it fares.
    pub fn status(&self) -> Status {
        let queue = self.shared.queue.lock();
        Status {
            waiting: queue.lines.len() as u64,
            ..queue.status.clone()
        }
    }

    /// Writes what is queued until `stop` fires, and then what is left if that goes quickly.
    /// `jitter` gives a number from 0 to 1 that spreads attempts.
    pub async fn run(self, jitter: fn() -> f64, stop: CancellationToken) {
        let mut failures = 0_u32;
        loop {
            let error = tokio::select! {
                () = stop.cancelled() => break,
                error = self.serve(&mut failures) => error,
            };
            self.failed(&error, failures);
            failures = failures.saturating_add(1);
            let pause = BACKOFF.pause(failures, jitter(), None);
            if stop
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
        }
        if self.status().waiting > 0
            && tokio::time::timeout(FINISH_WITHIN, self.finish())
                .await
                .is_err()
        {
            tracing::warn!(
                address = self.shared.config.address,
                "points for Graphite are left behind"
            );
        }
    }

    fn failed(&self, error: &io::Error, failures: u32) {
        let address = &self.shared.config.address;
        let text = format!("carbon at `{address}`: {error}");
        if failures == 0 {
            tracing::warn!(error = text, "no connection to Graphite; tried again");
        }
        let mut queue = self.shared.queue.lock();
        queue.status.connected = false;
        queue.status.last_error = Some(text);
    }

    /// Connects, and writes until something fails.
    async fn serve(&self, failures: &mut u32) -> io::Error {
        let mut stream = match self.connect().await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        self.shared.queue.lock().status.connected = true;
        let mut byte = [0_u8; 64];
        loop {
            // Carbon says nothing; what comes is its end, and writing after that would be lost.
            tokio::select! {
                biased;
                read = stream.read(&mut byte) => match read {
                    Ok(0) => return io::Error::other("it ended the connection"),
                    Ok(_) => continue,
                    Err(error) => return error,
                },
                () = self.not_empty() => {}
            }
            if let Err(error) = self.write_batch(&mut stream).await {
                return error;
            }
            *failures = 0;
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect(&self.shared.config.address);
        let stream = self.in_time(connecting).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn in_time<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let limit = Duration::from_secs(u64::from(self.shared.config.timeout_seconds));
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }

    async fn not_empty(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            if !self.shared.queue.lock().lines.is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Writes the oldest lines; they are let go of once they are written.
    async fn write_batch(&self, stream: &mut TcpStream) -> io::Result<()> {
        let (text, count, taken) = {
            let queue = self.shared.queue.lock();
            let mut text = String::new();
            let mut count = 0_u64;
            for line in &queue.lines {
                if text.len() >= BATCH_BYTES {
                    break;
                }
                text.push_str(line);
                count += 1;
            }
            (text, count, queue.taken)
        };
        self.in_time(stream.write_all(text.as_bytes())).await?;
        let mut queue = self.shared.queue.lock();
        // Some may have given way meanwhile: those were counted as dropped, and written all the same.
        let gone = queue.taken - taken;
        let both = gone.min(count);
        queue.status.dropped -= both;
        queue.status.sent += count;
        for _ in both..count {
            queue.lines.pop_front();
            queue.taken += 1;
        }
        Ok(())
    }

    async fn finish(&self) {
        let Ok(mut stream) = self.connect().await else {
            return;
        };
        while self.status().waiting > 0 {
            if self.write_batch(&mut stream).await.is_err() {
                return;
            }
        }
        // The end of the connection carries what is still on its way.
        drop(stream.shutdown().await);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        net::TcpListener,
    };

    use super::*;

    fn config(address: &str) -> Config {
        Config {
            address: address.to_owned(),
            path: usual_path(),
            max_points: 5,
            timeout_seconds: 5,
        }
    }

    fn web(place: Place) -> &'static str {
        match place {
            Place::Host => "node-1.example",
            Place::Name => "web",
            Place::Metric => "cpu_cores",
            Place::Id => "3ad7b26ded0f4c0e",
            _ => "",
        }
    }

    #[test]
    fn paths() {
        let path = |template: &str| {
            let mut line = String::new();
            PathTemplate::parse(template).map(|template| {
                template.write(&mut line, web);
                line
            })
        };
        for (template, expected) in [
            (
                "quaywatch.{host}.containers.{name}.{metric}",
                "quaywatch.node-1_example.containers.web.cpu_cores",
            ),
            ("{id}.{k8s_pod}.{metric}", "3ad7b26ded0f._.cpu_cores"),
        ] {
            assert_eq!(path(template).unwrap(), expected);
        }
        for (template, what) in [
            ("a.{name}", "no `{metric}`"),
            ("a.{metric}", "neither"),
            ("a {name}.{metric}", "may not stand"),
            ("{nam}.{metric}", "not known"),
            ("{name.metric", "no `}`"),
        ] {
            let error = path(template).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn wrong_configurations_are_named() {
        for (address, key) in [
            ("carbon", "address"),
            (":2003", "address"),
            ("a:0", "address"),
        ] {
            assert_eq!(Graphite::new(config(address)).unwrap_err().key, key);
        }
        let wrong = Config {
            path: String::from("x"),
            ..config("a:1")
        };
        assert_eq!(Graphite::new(wrong).unwrap_err().key, "path");
    }

    proptest! {
        #[test]
        fn no_value_adds_a_level_or_a_line(name in any::<String>(), value in any::<f64>()) {
            let graphite = Graphite::new(config("a:1")).unwrap();
            graphite.push(value, 7, |place| match place {
                Place::Name => &name,
                other => web(other),
            });
            let queue = graphite.shared.queue.lock();
            match queue.lines.front() {
                Some(line) => {
                    let words: Vec<_> = line.trim_end().split(' ').collect();
                    prop_assert_eq!(words.len(), 3, "{}", line);
                    prop_assert_eq!(words[0].split('.').count(), 5);
                    prop_assert_eq!(words[1].parse::<f64>().unwrap().to_bits(), value.to_bits());
                    prop_assert_eq!(words[2], "7");
                    prop_assert_eq!(line.matches('\n').count(), 1);
                }
                None => prop_assert!(!value.is_finite()),
            }
        }
    }

    async fn line(listener: &TcpListener) -> (String, BufReader<TcpStream>) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        (line, reader)
    }

    async fn until(graphite: &Graphite, holds: impl Fn(&Status) -> bool) -> Status {
        for _ in 0..1000 {
            let status = graphite.status();
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", graphite.status());
    }

    #[tokio::test]
    async fn points_wait_for_carbon_the_oldest_give_way_and_a_broken_connection_is_renewed() {
        // A port that is taken, and free again when carbon "starts".
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let graphite = Graphite::new(config(&address.to_string())).unwrap();
        for second in 0..8 {
            graphite.push(0.5, second, web);
        }
        let stop = CancellationToken::new();
        let running = tokio::spawn(graphite.clone().run(|| 1.0, stop.clone()));
        let status = until(&graphite, |status| status.last_error.is_some()).await;
        assert_eq!((status.waiting, status.dropped), (5, 3));

        let listener = TcpListener::bind(address).await.unwrap();
        let (first, connection) = line(&listener).await;
        assert_eq!(
            first,
            "quaywatch.node-1_example.containers.web.cpu_cores 0.5 3\n"
        );
        let status = until(&graphite, |status| status.sent == 5).await;
        assert!(status.connected);
        drop(connection);
        until(&graphite, |status| !status.connected).await;
        graphite.push(1.5, 100, web);
        let (next, connection) = line(&listener).await;
        assert!(next.ends_with(" 1.5 100\n"), "{next}");
        drop(connection);

        // What comes last is written before the process ends.
        until(&graphite, |status| !status.connected).await;
        graphite.push(2.5, 200, web);
        stop.cancel();
        let (last, _connection) = line(&listener).await;
        assert!(last.ends_with(" 2.5 200\n"), "{last}");
        running.await.unwrap();
        assert_eq!(graphite.status().dropped, 3);
    }
}
