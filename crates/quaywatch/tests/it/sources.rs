//! Every other way in: HTTP in all its forms, files across rotation, standard input, recordings.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use qw_testkit::{http::Connection, quaywatch::Quaywatch, sampled, wait_for};
use serde_json::{Value, json};

use crate::{BINARY, check_conservation, falco_line, falco_lines, once_each, server};

const SOON: Duration = Duration::from_secs(120);

/// The source of this kind, as the API shows it.
#[track_caller]
fn source(quaywatch: &Quaywatch, kind: &str) -> Value {
    let sources = quaywatch.get("/api/sources");
    let items = sources["items"].as_array().expect("sources");
    let found = items.iter().find(|source| source["kind"] == kind);
    found.unwrap_or_else(|| panic!("{sources}")).clone()
}

/// Waits until the stored numbers are exactly `0..count`, each once.
#[track_caller]
fn wait_for_once_each(quaywatch: &Quaywatch, count: usize) {
    let start = Instant::now();
    loop {
        let stored = quaywatch.numbers("rule:A");
        let wrong: Vec<_> = (0..count as u64)
            .map(|number| (number, stored.get(&number).copied().unwrap_or(0)))
            .filter(|(_, times)| *times != 1)
            .collect();
        let shown = wrong.get(..20).unwrap_or(&wrong);
        if wrong.is_empty() {
            assert_eq!(stored, once_each(0..count));
            return;
        }
        let hopeless = wrong.iter().any(|(_, times)| *times > 1);
        assert!(
            !hopeless && start.elapsed() < SOON,
            "of {count}, {} are wrong: (number, times stored) {shown:?}; {}",
            wrong.len(),
            quaywatch.get("/api/sources")
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Path, body, headers, and how many events it holds.
type Post<'a> = (&'a str, Vec<u8>, &'a [(&'a str, &'a str)], u64);

#[test]
fn receiver_takes_every_form_over_one_connection() {
    let quaywatch = server().start();
    let line = |number| falco_line("web", number, "A", "Notice");
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let array = format!("[{},\n {} , {}]", line(1), line(2), line(3));
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&line(0)).unwrap());
    let envelope = format!(r#"{{"event":{},"outputs":["webui"]}}"#, line(7));
    let ndjson = falco_lines("web", 4..7);
    let array_of_gzip = format!("[{},{}]", line(11), line(12));
    let posts: [Post<'_>; 7] = [
        // As Falco's http_output sends it.
        (
            "/falco",
            line(10).into_bytes(),
            &[("content-type", "application/json")],
            1,
        ),
        ("/falco", array.into_bytes(), &[], 3),
        (
            "/",
            ndjson.into_bytes(),
            &[("content-type", "application/x-ndjson")],
            3,
        ),
        ("/", pretty.unwrap().into_bytes(), &[], 1),
        // As falcosidekick sends to its web interface.
        ("/api/v1/", envelope.into_bytes(), &[], 1),
        (
            "/",
            gzip(&falco_lines("web", 8..10)),
            &[("content-encoding", "gzip")],
            2,
        ),
        // Without a word about it.
        ("/falco", gzip(&array_of_gzip), &[], 2),
    ];
    let mut connection = Connection::open(quaywatch.falco).unwrap();
    for (path, body, headers, stored) in &posts {
        let answer = connection.request("POST", path, headers, body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.json(), json!({"stored": stored, "invalid": 0}));
    }
    // A fault in between neither ends the connection nor harms the next post.
    for (method, body, status) in [
        ("POST", "{\"rule\":", 400),
        ("POST", "", 400),
        ("GET", "", 405),
    ] {
        let answer = connection
            .request(method, "/falco", &[], body.as_bytes())
            .unwrap();
        assert_eq!(
            answer.status,
            status,
            "{method} `{body}`: {}",
            answer.text()
        );
    }
    let answer = connection.request("GET", "/ping", &[], b"").unwrap();
    assert_eq!(answer.text(), "pong\n");
    for number in 13..sampled(100, 2_000) {
        let answer = connection
            .request("POST", "/falco", &[], line(number).as_bytes())
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // The other door leads to the same place.
    let last = sampled(100, 2_000);
    let answer = Connection::open(quaywatch.console)
        .and_then(|mut console| console.request("POST", "/falco", &[], line(last).as_bytes()))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..last + 1));
    check_conservation(&quaywatch);
}

#[test]
fn many_connections_at_once_store_everything_once() {
    let quaywatch = server().start();
    let (senders, posts, each) = (sampled(8, 64), 10, 20);
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let falco = quaywatch.falco;
            scope.spawn(move || {
                let mut connection = Connection::open(falco).unwrap();
                for post in 0..posts {
                    let first = (sender * posts + post) * each;
                    let lines = falco_lines("web", first..first + each);
                    let answer = connection
                        .request("POST", "/", &[], lines.as_bytes())
                        .unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    assert_eq!(
        quaywatch.numbers("rule:A"),
        once_each(0..senders * posts * each)
    );
    check_conservation(&quaywatch);
}

/// Writes numbered lines to a log file as a program does, in pieces that end within lines.
struct Writer {
    path: PathBuf,
    written: usize,
}

impl Writer {
    fn write(&mut self, lines: usize) {
        let text = falco_lines("web", self.written..self.written + lines);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .unwrap();
        for piece in text.as_bytes().chunks(1_000) {
            file.write_all(piece).unwrap();
        }
        self.written += lines;
    }

    fn rotated(&self, number: usize) -> PathBuf {
        self.path.with_extension(format!("json.{number}"))
    }

    /// Moves older files one number up, as logrotate does.
    fn shift(&self) {
        for number in (1..100)
            .rev()
            .filter(|number| self.rotated(*number).exists())
        {
            std::fs::rename(self.rotated(number), self.rotated(number + 1)).unwrap();
        }
    }

    fn rotate_by_rename(&self) {
        self.shift();
        std::fs::rename(&self.path, self.rotated(1)).unwrap();
    }

    fn rotate_by_copy(&self) {
        self.shift();
        std::fs::copy(&self.path, self.rotated(1)).unwrap();
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&self.path)
            .unwrap();
    }
}

fn follow(data: &Path, file: &Path) -> Quaywatch {
    server()
        .data_dir(data)
        .configuration(&format!(
            "inventory: {{docker: false}}\nsources: [{{type: file, path: {}}}]\n",
            file.display()
        ))
        .start()
}

#[test]
fn file_is_followed_across_rotations_and_our_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (data, path) = (
        folder.path().join("data"),
        folder.path().join("events.json"),
    );
    let mut writer = Writer { path, written: 0 };
    writer.write(100);
    let mut quaywatch = follow(&data, &writer.path);
    // What was rotated away before it was ever looked at is none of its business.
    wait_for_once_each(&quaywatch, writer.written);
    for rotation in 0..sampled(2, 12) {
        // Under our eyes, and without a look at whether we keep up.
        writer.write(700);
        writer.rotate_by_rename();
        writer.write(300);
        writer.rotate_by_copy();
        writer.write(50);
        writer.rotate_by_copy();
        writer.write(300);
        wait_for_once_each(&quaywatch, writer.written);

        // While we are killed in the midst of it, and while we are away.
        writer.write(500);
        quaywatch.kill();
        writer.write(500);
        if rotation % 2 == 0 {
            writer.rotate_by_rename();
        } else {
            writer.rotate_by_copy();
        }
        writer.write(200);
        quaywatch = follow(&data, &writer.path);
        writer.write(10);
        wait_for_once_each(&quaywatch, writer.written);

        assert!(quaywatch.stop().success());
        writer.write(20);
        writer.rotate_by_copy();
        quaywatch = follow(&data, &writer.path);
        // The name is gone for a while.
        writer.rotate_by_rename();
        wait_for_once_each(&quaywatch, writer.written);
        writer.write(30);
        wait_for_once_each(&quaywatch, writer.written);
    }
    let source = source(&quaywatch, "file");
    assert_eq!(source["state"], "running", "{source}");
    assert_eq!(source["last_error"], Value::Null, "{source}");
    check_conservation(&quaywatch);
}

#[test]
fn standard_input_is_stored_to_its_end() {
    let mut quaywatch = server()
        .configuration("inventory: {docker: false}\nsources: [{type: stdin}]\n")
        .pipe_input()
        .start();
    let mut input = quaywatch.input().expect("its standard input");
    // What comes slowly is stored as it comes.
    writeln!(input, "Sat Nov 21 09:00:00 2026: Falco version: 0.44.0").unwrap();
    input
        .write_all(falco_lines("web", 0..3).as_bytes())
        .unwrap();
    wait_for_once_each(&quaywatch, 3);
    let count = sampled(5_000, 100_000);
    input
        .write_all(falco_lines("web", 3..count).as_bytes())
        .unwrap();
    // The last line has no newline.
    let last = falco_line("web", count, "A", "Notice");
    input.write_all(last.as_bytes()).unwrap();
    drop(input);
    wait_for_once_each(&quaywatch, count + 1);
    wait_for("the source to end", SOON, || {
        (source(&quaywatch, "stdin")["state"] == "stopped").then_some(())
    });
    let source = source(&quaywatch, "stdin");
    assert_eq!(source["received_total"], count + 2, "{source}");
    assert_eq!(source["outcomes"]["invalid"]["not_json"], 1, "{source}");
    check_conservation(&quaywatch);
    assert!(quaywatch.stop().success());
}

/// A recording of `count` events, `apart` from each other, the last one an hour ago.
fn recording(path: &Path, count: usize, apart: Duration) {
    let lines = (0..count).map(|number| {
        let mut event: Value =
            serde_json::from_str(&falco_line("web", number, "A", "Notice")).unwrap();
        let now: qw_event::Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        let age = Duration::from_secs(3600) + apart * (count - 1 - number) as u32;
        event["time"] = json!(now.saturating_sub(age));
        event["output_fields"]["evt.time"] = json!(now.saturating_sub(age).as_nanos());
        format!("{event}\n")
    });
    std::fs::write(path, lines.collect::<String>()).unwrap();
}

fn replay(quaywatch: &Quaywatch, path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .arg("replay")
        .arg(path)
        .args(arguments)
        .env_clear()
        .env("QUAYWATCH_SERVER", format!("http://{}", quaywatch.console))
        .env("QUAYWATCH_TOKEN", &quaywatch.token)
        .stdin(Stdio::null());
    command
}

#[test]
fn recording_is_played_at_its_own_speed_and_at_full_speed() {
    let quaywatch = server().start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.json");
    // A hundred minutes, played in two seconds.
    recording(&path, 101, Duration::from_secs(60));
    let start = Instant::now();
    let mut player = replay(&quaywatch, &path, &["--speed", "3000"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen_on_the_way = false;
    let status = loop {
        let stored = quaywatch.numbers("rule:A").len();
        seen_on_the_way |= (1..101).contains(&stored);
        if let Some(status) = player.try_wait().unwrap() {
            break status;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(status.success());
    assert!(
        start.elapsed() >= Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert!(seen_on_the_way, "all came at once");
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..101));

    // A day, played at once, and as if it began now.
    recording(&path, 2_000, Duration::from_secs(43));
    let output = replay(&quaywatch, &path, &["--speed", "full", "--now"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("2000 events stored, 0 lines are no events"),
        "{told}"
    );
    let twice = quaywatch.numbers("rule:A");
    assert_eq!(twice.len(), 2_000);
    assert!(
        twice
            .iter()
            .all(|(number, times)| *times == 1 + usize::from(*number < 101))
    );
    let newest = quaywatch.get("/api/events?limit=1&start=now&end=now%2B48h");
    assert_eq!(
        newest["items"][0]["output_fields"]["number"], 1_999,
        "{newest}"
    );
    check_conservation(&quaywatch);
}
