use std::{io::Write, path::Path};

use fs_err::{File, OpenOptions};
use qw_event::Outcome;
use tempfile::TempDir;

use super::*;
use crate::{
    harness::{Harness, line},
    lines::Line,
};

/// A folder with a log file, and a tail that follows it.
struct Log {
    folder: TempDir,
    tail: Tail,
}

impl Log {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let tail = Tail::new(&folder.path().join("log"), Start::Beginning, 100);
        Self { folder, tail }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    fn rename(&self, from: &str, to: &str) {
        fs_err::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Every line that can be read now.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.read(), expected);
    }

    fn read(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let step = self.tail.step(|line| seen.push(text(line)));
            match step.unwrap() {
                Step::Read => {}
                Step::AtEnd | Step::Missing => return seen,
                Step::Lost(what) => seen.push(format!("lost: {}", what.contains("is gone"))),
            }
        }
    }

    /// Begins anew where the last line was taken, as after a restart.
    fn restart(&mut self) {
        let place = self.tail.place().unwrap();
        let place = Place::from_text(&place.to_text()).unwrap();
        self.tail = Tail::new(&self.path("log"), Start::At(place), 100);
    }
}

fn text(line: &Line<'_>) -> String {
    match line {
        Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
        Line::TooLong(_, length) => format!("too long: {length}"),
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Enough text to know a content by.
fn long(name: &str) -> String {
    format!("{name} {}", "-".repeat(80))
}

#[test]
fn lines_are_taken_when_their_newline_has_come() {
    let mut log = Log::new();
    log.check(&[]);
    log.append("log", "a\nb");
    log.check(&["a"]);
    log.append("log", "c\n");
    log.check(&["bc"]);
    log.append("log", &format!("{}\nd\n", "x".repeat(101)));
    log.check(&["too long: 101", "d"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_new_one() {
    let mut log = Log::new();
    log.append("log", "a\n");
    log.check(&["a"]);
    log.append("log", "b\n");
    log.rename("log", "log.1");
    log.check(&["b"]);
    log.append("log.1", "c\n");
    log.append("log", "d\n");
    log.append("log.1", "e without newline");
    log.check(&["c", "e without newline", "d"]);
}

#[test]
fn files_rotated_between_two_looks_are_read_in_order() {
    let mut log = Log::new();
    log.append("log", "a\n");
    log.check(&["a"]);
    log.rename("log", "log.1");
    log.append("log", "b\n");
    log.rename("log.1", "log.2");
    log.rename("log", "log.1");
    log.append("log", "c\n");
    log.check(&["b", "c"]);
    log.rename("log.2", "log.3");
    log.rename("log.1", "log.2");
    log.rename("log", "log.1");
    log.append("log", "d\n");
    log.check(&["d"]);
}

#[test]
fn a_file_that_was_emptied_is_read_anew() {
    let mut log = Log::new();
    log.append("log", "a\nb\n");
    log.check(&["a", "b"]);
    File::create(log.path("log")).unwrap();
    log.append("log", "c\n");
    log.check(&["c"]);
    // Emptied and longer than before when we look again.
    File::create(log.path("log")).unwrap();
    log.append("log", "d\ne\nf\ng\n");
    log.check(&["d", "e", "f", "g"]);
}

#[test]
fn what_only_the_copy_got_is_read_from_the_copy() {
    let mut log = Log::new();
    let (a, b) = (long("a"), long("b"));
    log.append("log", &format!("{a}\n"));
    log.check(&[&a]);
    log.append("log", &format!("{b}\n"));
    fs_err::copy(log.path("log"), log.path("log.1")).unwrap();
    File::create(log.path("log")).unwrap();
    log.append("log", "c\n");
    log.check(&[&b, "c"]);
}

#[test]
fn a_file_written_anew_before_it_was_read_to_its_end_is_noticed() {
    let mut log = Log::new();
    let lines = |name: &str| -> Vec<String> {
        (0..8_000)
            .map(|number| format!("{name} {number:06} {}", "x".repeat(50)))
            .collect()
    };
    let (old, new) = (lines("old"), lines("newer"));
    log.append("log", &(old.join("\n") + "\n"));
    let mut seen = Vec::new();
    // Opened, and read in part.
    for _ in 0..2 {
        log.tail.step(|line| seen.push(text(line))).expect("a step");
    }
    assert!((1..old.len()).contains(&seen.len()), "{}", seen.len());
    fs_err::copy(log.path("log"), log.path("log.1")).unwrap();
    File::create(log.path("log")).unwrap();
    log.append("log", &(new.join("\n") + "\n"));
    seen.extend(log.read());
    assert!(seen.iter().eq(old.iter().chain(&new)), "{}", seen.len());
}

#[test]
fn a_deleted_file_is_followed_until_it_is_made_again() {
    let mut log = Log::new();
    log.append("log", "a\n");
    log.check(&["a"]);
    let mut writer = OpenOptions::new()
        .append(true)
        .open(log.path("log"))
        .unwrap();
    fs_err::remove_file(log.path("log")).unwrap();
    writer.write_all(b"b\n").unwrap();
    log.check(&["b"]);
    log.append("log", "c\n");
    log.check(&["c"]);
}

#[test]
fn a_link_that_is_swapped_is_followed() {
    let mut log = Log::new();
    log.append("first", "a\n");
    std::os::unix::fs::symlink(log.path("first"), log.path("log")).unwrap();
    log.check(&["a"]);
    log.append("second", "c\n");
    std::os::unix::fs::symlink(log.path("second"), log.path("new")).unwrap();
    log.append("first", "b\n");
    log.rename("new", "log");
    log.check(&["b", "c"]);
}

#[test]
fn a_restart_goes_on_behind_the_last_line() {
    let mut log = Log::new();
    log.append("log", "a\nb\nc");
    log.check(&["a", "b"]);
    log.restart();
    log.append("log", "d\n");
    log.check(&["cd"]);
}

#[test]
fn a_restart_finds_the_file_under_its_new_name() {
    let mut log = Log::new();
    log.append("log", "a\n");
    log.check(&["a"]);
    log.append("log", "b\n");
    log.rename("log", "log.1");
    log.append("log", "c\n");
    log.restart();
    log.check(&["b", "c"]);
}

#[test]
fn a_restart_finds_the_copy_and_the_compressed_file() {
    let mut log = Log::new();
    let (a, b) = (long("a"), long("b"));
    log.append("log", &format!("{a}\n"));
    log.check(&[&a]);
    log.append("log", &format!("{b}\n"));
    fs_err::copy(log.path("log"), log.path("log.1")).unwrap();
    File::create(log.path("log")).unwrap();
    log.append("log", "c\n");
    log.restart();
    log.check(&[&b, "c"]);

    log.append("log", &format!("{a}\n"));
    log.append("log", &format!("{b}\n"));
    log.check(&[&a, &b]);
    let place = log.tail.place().unwrap();
    let content = fs_err::read(log.path("log")).unwrap();
    let file = File::create(log.path("log.1.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&content).unwrap();
    encoder.write_all(b"d\n").unwrap();
    encoder.finish().unwrap();
    fs_err::remove_file(log.path("log.1")).unwrap();
    fs_err::remove_file(log.path("log")).unwrap();
    log.append("log", "e\n");
    log.tail = Tail::new(&log.path("log"), Start::At(place), 100);
    log.check(&["d", "e"]);
}

#[test]
fn a_restart_without_the_file_says_so_and_goes_on() {
    let mut log = Log::new();
    log.append("log", "a\n");
    log.check(&["a"]);
    // Keeps the inode from being used again.
    let _held = File::open(log.path("log")).unwrap();
    fs_err::remove_file(log.path("log")).unwrap();
    log.append("log", "b\n");
    log.restart();
    log.check(&["lost: true", "b"]);
}

#[test]
fn reading_from_now_on_leaves_out_what_is_there() {
    let mut log = Log::new();
    log.tail = Tail::new(&log.path("log"), Start::End, 100);
    log.append("log", "a\nb");
    log.check(&[]);
    log.append("log", "b\nc\n");
    log.check(&["c"]);
    let mut log = Log::new();
    log.tail = Tail::new(&log.path("log"), Start::End, 100);
    log.check(&[]);
    log.append("log", "a\n");
    log.check(&["a"]);
}

#[test]
fn what_is_no_file_is_an_error() {
    let mut log = Log::new();
    fs_err::create_dir(log.path("log")).unwrap();
    let error = log.tail.step(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is not a regular file"));
}

fn run(harness: &Harness, config: &Config) -> (CancellationToken, std::thread::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let intake = harness.intake("file:test");
    let source = Box::new(FileSource::new(config.clone()));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(source.run(intake, stopped)).unwrap();
    });
    (stop, thread)
}

#[test]
fn events_and_position_are_stored_together_across_restarts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("falco.json");
    let mut config = Config::new(&path);
    config.poll_milliseconds = 1;
    let harness = Harness::start();

    append(&path, &(line("a") + "starting up\n" + &line("b")));
    let (stop, thread) = run(&harness, &config);
    assert_eq!(harness.store.rules(2), ["a", "b"]);
    append(&path, &line("c"));
    assert_eq!(harness.store.rules(3), ["a", "b", "c"]);
    stop.cancel();
    thread.join().unwrap();

    append(&path, &line("d"));
    fs_err::rename(&path, folder.path().join("falco.json.1")).unwrap();
    append(&path, &line("e"));
    let (stop, thread) = run(&harness, &config);
    assert_eq!(harness.store.rules(5), ["a", "b", "c", "d", "e"]);
    stop.cancel();
    thread.join().unwrap();

    let place = Place::from_text(&harness.store.position("file:test").unwrap().0).unwrap();
    assert_eq!(place.offset, line("e").len() as u64);
    harness.check_conservation("file:test");
    assert_eq!(harness.snapshot("file:test").received, 6);
    assert_eq!(harness.outcome("file:test", Outcome::Stored), 5);
}
